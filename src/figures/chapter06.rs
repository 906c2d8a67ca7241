//! The figures of chapter 6.

use super::Entry;

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[];
