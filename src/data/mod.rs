//! Where the numbers come from: rows in memory or in a file, flowers, digits, draws from known mixtures, votes for wholes.

mod draws;
pub mod idx;
pub mod iris;
pub mod npy;
mod plain;
mod rows;
mod wholes;

pub use draws::{five_blobs, three_stripes, two_gaussians, two_gaussians_model};
#[cfg(feature = "serde")]
pub(crate) use plain::{looks_like, open};
pub(crate) use rows::{Checked, ColumnScan, Weighted, chunk_ranges, chunks_with_output, fits};
pub use rows::{RowBuffer, Rows};
pub use wholes::{Wholes, two_wholes};
