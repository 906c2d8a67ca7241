//! Readers of tables (in memory or in a file) and of labelled images. They do not depend on any model.
//!
//! K-means and mixtures read their data through the trait [`Rows`]: pass an `ndarray` array, or an
//! [`NpyFile`](npy::NpyFile) for tables larger than memory, or either in [`Incomplete`] if values are missing. With the feature
//! `csv` also pass a CSV file, or several files as one table. [`idx`] reads
//! MNIST and similar image sets, [`norb`] the files of smallNORB.

#[cfg(feature = "csv")]
pub mod csv;
pub(crate) mod half;
pub mod idx;
pub mod norb;
pub mod npy;
mod plain;
mod rows;
#[cfg(feature = "csv")]
pub mod tables;

pub use crate::compute::Team;
#[cfg(any(feature = "serde", feature = "csv"))]
pub(crate) use plain::{looks_like, open};
pub(crate) use rows::{Checked, ColumnScan, Weighted, chunk_ranges, chunks_with_output, fits, sum_rows};
pub use rows::{Incomplete, RowBuffer, Rows, Shared, all_numbers, count_missing, own_rows};
