//! From two coins with hidden labels to a matrix-capsule network, each step the one before it with one thing changed.
//!
//! | chapter | what is hidden | E-step | M-step | module |
//! |---|---|---|---|---|
//! | 1 | nothing: the coins' labels are known | - | heads over tosses | [`coin`] |
//! | 2 | the coin of each experiment | posterior of the coin | weighted heads over weighted tosses | [`coin`], [`em`] |
//! | 3 | the cluster of each sample | the nearest centroid: a hard posterior | mean of each cluster | [`kmeans`] |
//! | 4 | the Gaussian of each sample | posterior of the component | weighted mean and covariance | [`gmm`] |
//! | 5 | the whole that a part belongs to | - | votes: pose times transform | [`routing`] |
//! | 6 | the same | posterior of the parent, weighted by activations | mean, variance and activation of the parent | [`routing::ladder`], [`routing`] |
//! | 7 | the same, differentiated through all iterations | softmax, undone | moments, cost and activation, undone | [`routing`], [`routing::fused`] |
//!
//! The network that is made of them: [`capsnet`].
//! Tables of samples are arrays or files: [`data`]; [`samples`] has those that the chapters draw from. With the feature `linfa` K-means and the mixture have linfa's traits,
//! and with `serde` coins, K-means and mixtures are saved and loaded (`saved`).
//!
//! Figures of all of it are in [`figures`], drawn by [`draw`]; errors are in [`error`]; [`files`] writes files
//! that are whole or not there; [`shipped`] has the paths of what a clone brings along: MNIST, trained weights, results.

pub mod capsnet;
pub mod coin;
mod compute;
pub mod data;
pub mod draw;
pub mod em;
pub mod error;
pub mod figures;
pub mod files;
pub mod gmm;
pub mod kmeans;
pub mod routing;
pub mod samples;
#[cfg(feature = "serde")]
pub mod saved;
pub mod shipped;
#[cfg(feature = "linfa")]
pub mod with_linfa;
mod words;

pub use compute::on_threads;
/// The arrays of the whole interface. A notebook's type inference finds the names of their types here.
pub use ndarray;

/// What a notebook's first line brings in: `use em_routing::prelude::*;`.
///
/// `error::Result` is not among it: a notebook's cells are wrapped in code that means the standard library's.
pub mod prelude {
    pub use crate::capsnet::{Architecture, CapsNet, Evaluation, Pass, Recipe, Settings, Training};
    pub use crate::coin::{CoinOptions, Coins, Expectation, Experiments, Mixing};
    pub use crate::data::idx::{self, ImageSet, Images};
    pub use crate::data::npy::{self, NpyFile};
    pub use crate::data::{self, Rows};
    pub use crate::draw::{self, Figure, Palette, Table};
    pub use crate::em::{Fit, Stop, maximise};
    pub use crate::error::Error;
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
