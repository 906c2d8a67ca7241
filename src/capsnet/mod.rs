//! The matrix-capsule network: layers, loss, training and evaluation.

pub mod adam;
pub mod checkpoint;
pub mod config;
pub mod convolution;
mod evaluation;
pub mod features;
pub mod loss;
mod network;
pub mod parameters;
pub mod pooling;
pub mod training;

pub use config::{CapsNetConfig, Clipping, Initialiser, Margin, Pooling, Recipe, Schedule};
pub use evaluation::Evaluation;
pub use network::{CapsNet, Pass};
pub(crate) use network::{DEEP_WINDOW, WINDOW};
pub use parameters::Parameters;
pub use training::{StepReport, Training};
