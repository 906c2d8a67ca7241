//! The matrix-capsule network, and plain convolutional networks to compare it with: layers, losses, training and evaluation.
//!
//! The [`Settings`] consist of an [`Architecture`] (layers, routing, initial distribution) and a [`Recipe`] (batch, learning rate,
//! loss). [`Training::new`] draws a network from them, [`Training::step`] trains it on one batch, and [`Training::result`] returns the
//! trained [`CapsNet`]. [`CapsNet::evaluate`] classifies labelled images and returns an [`Evaluation`].
//!
//! ```
//! use em_routing::prelude::*;
//! let mut settings = Settings::default();
//! settings.set_lines("height = 17\nwidth = 17\nfeatures = 2\ndeep-features = 2\nprimary = 2\nfirst = 2\nsecond = 2\nbatch = 4")?;
//! let pixels = (0..8 * 17 * 17).map(|i| (i * 37 % 256) as u8).collect();
//! let images = Images { pixels, labels: vec![0, 1, 2, 3, 4, 5, 6, 7], height: 17, width: 17, classes: 10 };
//! let mut training = Training::new(settings, 1, 0)?; // seed 1, all cores
//! while training.step < training.steps(images.len()) {
//!     training.step(&images)?;
//! }
//! let evaluation = training.result().evaluate(&images, 0, |_| {})?;
//! assert_eq!(evaluation.predictions.len(), 8);
//! # Ok::<(), em_routing::error::Error>(())
//! ```

mod adam;
mod architecture;
pub mod checkpoint;
mod evaluation;
mod layers;
pub mod loss;
mod network;
mod parameters;
mod recipe;
mod settings;
pub mod training;

pub use adam::Adam;
pub use architecture::{Architecture, Initialiser, NetworkKind, Pooling};
pub use evaluation::Evaluation;
pub use network::{CapsNet, Gradient, LayerSummary, Pass};
pub use parameters::{Draw, ParameterSpec, Parameters, Part};
pub use recipe::{Clipping, Loss, Margin, Recipe, Schedule};
pub use settings::Settings;
pub use training::{StepReport, Training};
