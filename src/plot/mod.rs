//! Pictures of what the other modules compute: a trace in, a [`Figure`] out. A plot never fits.
//!
//! Every figure is one SVG on a light card of its own, readable on a dark page too; an animation is one SVG that plays
//! without a script. Axes carry their units; coins are A, B, C, … in the order of their index.

mod animate;
mod architecture;
mod atlas;
mod bars;
mod chart;
mod clusters;

mod coin_hidden;
mod coin_known;
mod coin_path;
mod compact;
mod cost;
mod criteria;
mod figure;
mod gradients;
mod image;
mod learning;
mod maps;
mod mixtures;
mod network;
mod pairs;
mod plane;
mod routing_charts;
mod routing_plane;
mod spread_loss;
mod surface;
mod viewpoint;
mod vote_agreement;

pub use animate::animate;
pub use architecture::architecture;
pub use atlas::{AtlasGround, StartGrid, atlas};
pub use bars::bars;
pub use clusters::{Clustering, clusterings, kmeans_animation};
pub use coin_hidden::{bound_animation, likelihood_trace, responsibilities};
pub use coin_known::{jensen_chord, known_likelihood, minimiser_path};
pub use coin_path::{starts, surface};
pub use cost::cost_growth;
pub use criteria::{Objective, criterion_curve, elbow, information_criteria, objective_trace};
pub use figure::Figure;
pub use gradients::{StoppedGradient, difference_errors, stopped_gradients};
pub use learning::{LayerActivations, ablation, activation_histograms, error_curves};
pub use maps::{Map, maps};
pub use mixtures::{mixture_animation, mixture_contours};
pub use network::{confusion, digit_routing, mistakes};
pub use pairs::pair_plot;
pub use routing_charts::{assignments, ladder_likelihood, routing_curves};
pub use routing_plane::{Rung, ladder, routing_animation, vote_gradients};
pub use spread_loss::spread_loss;
pub use crate::draw::Table;
pub use viewpoint::{View, viewpoint};
pub use vote_agreement::vote_agreement;

use chart::{COLOURS, INK};
pub(crate) use plane::extent;

/// The letter of a coin: A, B, …, Z, then its number.
fn letter(coin: usize) -> String {
    match u8::try_from(coin) {
        Ok(index) if index < 26 => char::from(b'A' + index).to_string(),
        _ => (coin + 1).to_string(),
    }
}

/// θ with the coin's letter under the line.
fn theta(coin: usize) -> String {
    format!("θ_{{{}}}", letter(coin))
}

/// The colour of a component; after the sixth they come round again.
fn colour(component: usize) -> image::Rgb {
    COLOURS[component % (COLOURS.len() - 1)]
}

/// The colour of what no component owns.
const NEUTRAL: image::Rgb = INK;
