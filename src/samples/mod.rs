//! The data sets of the chapters: iris flowers, draws from known mixtures, votes for wholes.

mod draws;
pub mod iris;
mod wholes;

pub use draws::{five_blobs, three_stripes, two_gaussians, two_gaussians_model};
pub use wholes::{Wholes, two_wholes};
