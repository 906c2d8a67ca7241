//! Readers: tables in memory or in a file, and sets of labelled images. They know no model.

pub mod idx;
pub mod npy;
mod plain;
mod rows;

#[cfg(feature = "serde")]
pub(crate) use plain::{looks_like, open};
pub(crate) use rows::{Checked, ColumnScan, Weighted, chunk_ranges, chunks_with_output, fits};
pub use rows::{RowBuffer, Rows};
