//! The figures of the notebooks, drawn without one.
//!
//! Those are left out that show the machine they were drawn on: times, the rounding of differences (chapter 7), and what a network
//! in f32 makes of many images (chapter 9). Those of a digit in the network (chapter 8) are made of f32 numbers, too, whose last bits
//! are the same on processors of the same instructions.

mod capsules;
mod clusters;
mod gradients;
mod network;
pub mod records;
mod training;

pub use capsules::{
    FACE_PARTS, RUNGS, face_poses, face_votes, two_wholes_ladder, two_wholes_options, two_wholes_routing,
};
pub use clusters::{blog_mixture_fit, crowded_fit, in_order_of_appearance, kmeans_from_grid, kmeans_runs};
pub use gradients::{stopped_by_iterations, vote_megabytes, whole_and_stopped};
pub use network::{DIGITS, liveliest_maps, surest};
pub use training::{by_setting, validation_curves};

use crate::coin::{CoinOptions, Coins, Experiments, Mixing};
use crate::em::{self, Fit, Stop};
use crate::error::{Error, Result};
use crate::plot::{self, Figure};

/// A figure, and how to draw it.
pub struct Entry {
    /// The figure's name, which is also its file's.
    pub name: &'static str,
    /// The chapter that shows it.
    pub chapter: u8,
    /// What it shows.
    pub title: &'static str,
    /// Draws it; the same bytes each time.
    pub draw: fn() -> Result<Figure>,
}

/// Every figure that is the same on all machines, in the order of the chapters; of those that show a pass of the network in f32, but
/// for what the last bits change.
pub const FIGURES: &[Entry] = &[
    Entry {
        name: "jensen-chord",
        chapter: 1,
        title: "Jensen's inequality: the logarithm lies above its chord",
        draw: jensen_chord,
    },
    Entry {
        name: "known-likelihood",
        chapter: 1,
        title: "Known labels: the log-likelihood of each coin",
        draw: known_likelihood,
    },
    Entry {
        name: "minimiser-path",
        chapter: 1,
        title: "Known labels: a numerical minimiser on its way",
        draw: minimiser_path,
    },
    Entry {
        name: "landscape",
        chapter: 2,
        title: "Hidden labels: the log-likelihood of two coins",
        draw: landscape,
    },
    Entry {
        name: "bound-animation",
        chapter: 2,
        title: "The lower bound touches, EM climbs it, and it touches again",
        draw: bound_animation,
    },
    Entry {
        name: "surface",
        chapter: 2,
        title: "Hidden labels: the log-likelihood of two coins and EM's path",
        draw: surface,
    },
    Entry {
        name: "likelihood-trace",
        chapter: 2,
        title: "Log-likelihood, lower bound and the blog's number by iteration",
        draw: likelihood_trace,
    },
    Entry {
        name: "responsibilities",
        chapter: 2,
        title: "Which coin made which experiment, by iteration",
        draw: responsibilities,
    },
    Entry { name: "starts", chapter: 2, title: "Where EM ends from each start", draw: starts },
    Entry {
        name: "iris-species",
        chapter: 3,
        title: "Iris: the species, pair by pair of measurements",
        draw: clusters::iris_species,
    },
    Entry {
        name: "iris-pairs",
        chapter: 3,
        title: "Iris: the clusters that K-means finds",
        draw: clusters::iris_pairs,
    },
    Entry {
        name: "kmeans-start",
        chapter: 3,
        title: "K-means before its first iteration",
        draw: clusters::kmeans_start,
    },
    Entry {
        name: "kmeans-animation",
        chapter: 3,
        title: "K-means at work: nearest centroid, mean, and again",
        draw: clusters::kmeans_animation,
    },
    Entry {
        name: "kmeans-trace",
        chapter: 3,
        title: "Inertia by iteration from thirty random starts",
        draw: clusters::kmeans_trace,
    },
    Entry {
        name: "kmeans-atlas",
        chapter: 3,
        title: "Which optimum each start of one centroid leads to",
        draw: clusters::kmeans_atlas,
    },
    Entry {
        name: "kmeans-elbow",
        chapter: 3,
        title: "Iris: inertia over the number of clusters",
        draw: clusters::kmeans_elbow,
    },
    Entry {
        name: "kmeans-failure",
        chapter: 3,
        title: "Where K-means fails: long clusters",
        draw: clusters::kmeans_failure,
    },
    Entry {
        name: "mixture-truth",
        chapter: 4,
        title: "The density that the points are drawn from",
        draw: clusters::mixture_truth,
    },
    Entry {
        name: "mixture-contours",
        chapter: 4,
        title: "The density of the fitted mixture over points drawn as in the blog",
        draw: clusters::mixture_contours,
    },
    Entry {
        name: "mixture-animation",
        chapter: 4,
        title: "EM at work on a mixture of two Gaussians",
        draw: clusters::mixture_animation,
    },
    Entry {
        name: "mixture-trace",
        chapter: 4,
        title: "Log-likelihood by iteration from twelve random starts",
        draw: clusters::mixture_trace,
    },
    Entry {
        name: "mixture-bic",
        chapter: 4,
        title: "BIC, AIC and ICL over the number of components",
        draw: clusters::mixture_bic,
    },
    Entry {
        name: "viewpoint",
        chapter: 5,
        title: "A face turned: its parts' poses change and their votes agree",
        draw: capsules::viewpoint,
    },
    Entry {
        name: "routing-animation",
        chapter: 6,
        title: "EM routing at work: votes and parents in the plane",
        draw: capsules::routing_animation,
    },
    Entry {
        name: "routing-assignments",
        chapter: 6,
        title: "Which parent takes which child, by iteration",
        draw: capsules::routing_assignments,
    },
    Entry {
        name: "routing-curves",
        chapter: 6,
        title: "Activations, costs and inverse temperature by iteration",
        draw: capsules::routing_curves,
    },
    Entry {
        name: "routing-ladder",
        chapter: 6,
        title: "What the five rungs make of the same votes",
        draw: capsules::routing_ladder,
    },
    Entry {
        name: "ladder-likelihood",
        chapter: 6,
        title: "The mixture's log-likelihood by iteration on each rung",
        draw: capsules::ladder_likelihood,
    },
    Entry {
        name: "vote-gradients",
        chapter: 7,
        title: "Where each vote would go to switch a parent off",
        draw: gradients::vote_gradients,
    },
    Entry {
        name: "stopped-gradients",
        chapter: 7,
        title: "The gradient stopped at the responsibilities beside the whole one",
        draw: gradients::stopped_gradients,
    },
    Entry {
        name: "vote-bytes",
        chapter: 7,
        title: "The memory that an image's votes would take",
        draw: gradients::vote_bytes,
    },
    Entry {
        name: "architecture",
        chapter: 8,
        title: "The network, layer by layer",
        draw: network::architecture,
    },
    Entry {
        name: "digit-features",
        chapter: 8,
        title: "What the first convolution sees of a digit",
        draw: network::digit_features,
    },
    Entry {
        name: "deep-features",
        chapter: 8,
        title: "What the second convolution makes of what the first one sees",
        draw: network::deep_features,
    },
    Entry {
        name: "primary-activations",
        chapter: 8,
        title: "Where the primary capsules find what they look for",
        draw: network::primary_activations,
    },
    Entry {
        name: "position-assignments",
        chapter: 8,
        title: "Which capsule takes which child at one place of the first layer",
        draw: network::position_assignments,
    },
    Entry {
        name: "vote-agreement",
        chapter: 8,
        title: "Votes that agree on a capsule, and votes that don't",
        draw: network::vote_agreement,
    },
    Entry {
        name: "second-activations",
        chapter: 8,
        title: "The second layer's activations for two digits of a class and for another",
        draw: network::second_activations,
    },
    Entry {
        name: "digit-routing",
        chapter: 8,
        title: "How one digit comes to its class",
        draw: network::digit_routing,
    },
    Entry {
        name: "spread-loss",
        chapter: 8,
        title: "The spread loss over how far the true class is ahead",
        draw: network::spread_loss,
    },
    Entry {
        name: "recipe-ablation",
        chapter: 9,
        title: "What each setting of the recipe does to the error",
        draw: training::recipe_ablation,
    },
    Entry {
        name: "epoch-errors",
        chapter: 9,
        title: "The validation error over the epochs, each recipe with its seeds",
        draw: training::epoch_errors,
    },
];

/// Draws the figure of this name.
///
/// # Errors
///
/// Returns an error for a name that is not in [`FIGURES`].
pub fn figure(name: &str) -> Result<Figure> {
    match FIGURES.iter().find(|entry| entry.name == name) {
        Some(entry) => (entry.draw)(),
        None => Err(Error::UnknownName {
            what: "figure",
            found: name.to_owned(),
            known: FIGURES.iter().map(|entry| entry.name.to_owned()).collect(),
        }),
    }
}

fn jensen_chord() -> Result<Figure> {
    plot::jensen_chord(1.0, 6.0, 0.6)
}

fn known_likelihood() -> Result<Figure> {
    let (experiments, labels) = Experiments::blog_known();
    plot::known_likelihood(&experiments, &labels)
}

fn minimiser_path() -> Result<Figure> {
    let (experiments, labels) = Experiments::blog_known();
    plot::minimiser_path(&experiments, &labels, &experiments.minimise_known(&labels, &[0.5, 0.5])?)
}

fn bound_animation() -> Result<Figure> {
    let experiments = Experiments::blog_hidden();
    let fit = one_coin_free(&experiments, &Coins::even(&[0.3, 0.52])?, 0, Stop::default())?;
    plot::bound_animation(&experiments, &fit, 0, 7)
}

fn landscape() -> Result<Figure> {
    Ok(plot::surface(&Experiments::blog_hidden(), &[])?.named("landscape"))
}

fn surface() -> Result<Figure> {
    let experiments = Experiments::blog_hidden();
    plot::surface(&experiments, &[&blog_fit(&experiments)?])
}

fn likelihood_trace() -> Result<Figure> {
    let experiments = Experiments::blog_hidden();
    plot::likelihood_trace(&experiments, &blog_fit(&experiments)?)
}

fn responsibilities() -> Result<Figure> {
    let experiments = Experiments::blog_hidden();
    plot::responsibilities(&experiments, &experiments.expectations(&blog_fit(&experiments)?)?)
}

fn starts() -> Result<Figure> {
    let experiments = Experiments::blog_hidden();
    plot::starts(&experiments, &fits_from_grid(&experiments, 21, &keeping())?)
}

/// The blog post's fit: hidden labels, from theta = (0.6, 0.5).
fn blog_fit(experiments: &Experiments) -> Result<Fit<Coins>> {
    Coins::fit(experiments, &keeping())
}

/// Figures of a fit's course need all of its models.
fn keeping() -> CoinOptions {
    CoinOptions { keep_models: true, ..Default::default() }
}

/// EM in which only the theta of one coin moves, so that its log-likelihood is one curve that stands still. The fit keeps its
/// models.
///
/// # Errors
///
/// Returns an error for a start that is no model or has no coin of this index, or under which an experiment is impossible.
pub fn one_coin_free(
    experiments: &Experiments,
    start: &Coins,
    coin: usize,
    stop: Stop,
) -> Result<Fit<Coins>> {
    if coin >= start.thetas.len() {
        return Err(Error::Setting { name: "coin", expected: "the index of a coin", value: coin as f64 });
    }
    em::maximise(start.clone(), stop, true, |coins| {
        let expectation = experiments.expectation(coins)?;
        let moved = experiments.maximisation(&expectation.responsibilities, coins, Mixing::Given)?;
        let mut next = coins.clone();
        next.thetas[coin] = moved.thetas[coin];
        Ok((expectation.log_likelihood, next))
    })
}

/// EM from each point of a grid of `per_axis` x `per_axis` starts (theta_A, theta_B) in (0, 1), two coins taken equally
/// often, its diagonal included; theta_A varies fastest.
///
/// # Errors
///
/// As [`Coins::fit`].
pub fn fits_from_grid(
    experiments: &Experiments,
    per_axis: usize,
    options: &CoinOptions,
) -> Result<Vec<Fit<Coins>>> {
    let middle = |i: usize| (i as f64 + 0.5) / per_axis as f64;
    (0..per_axis * per_axis)
        .map(|i| {
            let start = Coins::even(&[middle(i % per_axis), middle(i / per_axis)])?;
            Coins::fit(experiments, &CoinOptions { start, ..options.clone() })
        })
        .collect()
}
