//! Where the numbers come from: rows in memory or in a file, flowers, draws from known mixtures.

mod draws;
pub mod iris;
pub mod npy;
mod rows;

pub use draws::{five_blobs, three_stripes, two_gaussians, two_gaussians_model};
pub use rows::{RowBuffer, Rows};
pub(crate) use rows::{Survey, chunk_count, chunk_range};
