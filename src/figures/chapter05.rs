//! The figures of chapter 5.

use super::Entry;

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[];
