//! Where the numbers come from: rows in memory or in a file, flowers, digits, draws from known mixtures, votes for wholes.

mod draws;
pub mod idx;
pub mod iris;
pub mod npy;
mod plain;
mod rows;
mod wholes;

pub use draws::{five_blobs, three_stripes, two_gaussians, two_gaussians_model};
pub use rows::{RowBuffer, Rows};
pub(crate) use rows::{Survey, Weighted, chunk_count, chunk_range};
pub use wholes::{Wholes, two_wholes};
