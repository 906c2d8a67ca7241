//! Expectation-maximisation (EM) from the ground up: from two coins with hidden labels to a matrix-capsule network.
//!
//! The chapters (the notebooks in `notebooks/`) build on each other: each chapter changes one thing in the previous one.
//! Read the modules in the same order:
//!
//! | chapter | hidden variable | E-step | M-step | module |
//! |---|---|---|---|---|
//! | 1 | none: the coins' labels are known | - | heads over tosses | [`coin`] |
//! | 2 | the coin of each experiment | posterior of the coin | weighted heads over weighted tosses | [`coin`], [`em`] |
//! | 3 | the cluster of each sample | the nearest centroid: a hard posterior | mean of each cluster | [`kmeans`] |
//! | 4 | the Gaussian of each sample | posterior of the component | weighted mean and covariance | [`gmm`] |
//! | 5 | the whole that a part belongs to | - | votes: pose times transform | [`routing`] |
//! | 6 | the same | posterior of the parent, weighted by activations | mean, variance and activation of the parent | [`routing::ladder`], [`routing`] |
//! | 7 | the same; now with gradients through all iterations | backward pass of the softmax | backward pass of moments, cost and activation | [`routing`], [`routing::fused`] |
//! | 8, 9 | the same, in a network for handwritten digits | as in chapter 6 | as in chapter 6 | [`capsnet`] |
//! | 10 | the same, for objects from views never seen | as in chapter 6 | as in chapter 6 | [`samples::views`], [`capsnet`] |
//! | 11 | the same; why a training fails | as in chapter 6 | as in chapter 6 | [`routing`], [`capsnet`] |
//!
//! # A first example
//!
//! Two coins, five experiments of ten tosses each. Nobody wrote down which coin was tossed; EM estimates each coin's
//! probability of heads all the same:
//!
//! ```
//! use em_routing::prelude::*;
//!
//! let experiments = Experiments::new(&[5, 9, 8, 4, 7], 10)?; // heads of ten tosses each
//! let options = CoinOptions { start: Coins::even(&[0.6, 0.5])?, ..Default::default() };
//! let fit = Coins::fit(&experiments, &options)?;
//! assert!(fit.converged);
//! println!("theta {:.2?}, {:.4} nats after {} iterations", fit.model().thetas, fit.objective(), fit.iterations());
//! # Ok::<(), em_routing::error::Error>(())
//! ```
//!
//! [`KMeans::fit`](kmeans::KMeans::fit) and [`Gmm::fit`](gmm::Gmm::fit) follow the same pattern: they take data and
//! options and return an [`em::Fit`] with the model and the objective of each iteration.
//!
//! # The other modules
//!
//! - [`data`] reads tables and labelled images from memory or files; [`samples`] has the data sets of the chapters.
//! - [`exercise`] checks the answers to the notebooks' exercises.
//! - [`figures`] has the figures of each chapter, drawn with [`draw`].
//! - `live` has the figures of the book that answer to the reader (feature `live`).
//! - `saved` saves and loads coins, K-means and mixtures as JSON (feature `serde`).
//! - `data::csv` and `data::tables` read CSV files, and several files as one table (feature `csv`).
//! - `with_linfa` implements linfa's traits for K-means and mixtures (feature `linfa`).
//! - [`error`] has the error type; [`files`] writes files atomically; [`shipped`] has the paths of MNIST, the trained
//!   weights and the recorded results.

pub mod capsnet;
pub mod coin;
mod compute;
pub mod data;
pub mod draw;
pub mod em;
pub mod error;
pub mod exercise;
pub mod figures;
pub mod files;
pub mod gmm;
pub mod kmeans;
#[cfg(feature = "live")]
pub mod live;
pub mod routing;
pub mod samples;
#[cfg(feature = "serde")]
pub mod saved;
pub mod shipped;
#[cfg(feature = "linfa")]
pub mod with_linfa;
mod words;

pub use compute::{instruction_set, on_threads};
/// The crate of the arrays in the public interface. Type inference in notebooks needs the names of its types here.
pub use ndarray;

/// The names that a notebook imports with its first line: `use em_routing::prelude::*;`.
///
/// `error::Result` is left out: the code that wraps a notebook's cells needs the standard library's `Result`.
pub mod prelude {
    pub use crate::capsnet::{Architecture, CapsNet, Evaluation, Pass, Recipe, Settings, Training};
    pub use crate::coin::{CoinOptions, Coins, Expectation, Experiments, Mixing};
    pub use crate::data::idx::{self, ImageSet, Images};
    pub use crate::data::npy::{self, NpyFile};
    pub use crate::data::{self, Incomplete, Rows};
    pub use crate::draw::{self, Figure, Palette, Table};
    pub use crate::em::{Fit, Stop, maximise};
    pub use crate::error::Error;
    pub use crate::exercise;
    pub use crate::figures;
    pub use crate::gmm::{self, CovarianceKind, Covariances, Gmm, GmmOptions, GmmStart};
    pub use crate::kmeans::{KMeans, KMeansOptions, KMeansStart};
    pub use crate::on_threads;
    pub use crate::routing::{
        self, CapsuleLayer, Capsules, Competition, CostScale, InverseTemperature, LadderOptions, Parents,
        Reach, Routing, RoutingInput, RoutingOptions, RoutingStart, ladder,
    };
    pub use crate::samples;
    pub use crate::shipped;
    pub use ndarray::{Array1, Array2, Array3, Array4, Axis, array, s};
}
