//! The matrix-capsule network: layers, loss and training.

pub mod adam;
pub mod config;
pub mod convolution;
pub mod events;
pub mod loss;
mod network;
pub mod parameters;

pub use config::{CapsNetConfig, Clipping, Initialiser, Margin, Recipe, Schedule};
pub use network::{CapsNet, Pass};
pub use parameters::Parameters;
