//! The figures of chapter 8.

use super::Entry;

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[];
