//! Data sets that need no download: iris flowers, draws from known mixtures, votes for wholes, and rendered views.

mod draws;
pub mod iris;
pub mod views;
mod wholes;

pub use draws::{five_blobs, three_stripes, two_gaussians, two_gaussians_model};
pub use wholes::{Wholes, two_wholes};
