//! The figures of chapter 7.

use super::Entry;

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[];
