//! The figures of chapter 1.

use super::Entry;

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[];
