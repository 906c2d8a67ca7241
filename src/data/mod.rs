//! Where the numbers come from: rows in memory or in a file.

pub mod npy;
mod rows;

pub use rows::{RowBuffer, Rows};
pub(crate) use rows::{Survey, chunk_count, chunk_range};
