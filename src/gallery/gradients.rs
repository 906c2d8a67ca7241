//! Chapter 7: the gradient through the routing, and what its kernel keeps.

use std::ops::Range;

use ndarray::{Array3, Array4, array};

use super::capsules::{two_wholes_options, wholes};
use crate::error::Result;
use crate::plot::{self, Figure, StoppedGradient};
use crate::routing::{Routing, RoutingInput, RoutingOptions};
use crate::samples;

/// What a loss is made of that only sees the activations: sum_j weights_j a_j.
type Weights = [f64; 3];

/// Switch C off, the whole that is not there.
const C_OFF: Weights = [0.0, 0.0, 1.0];

/// Switch A on.
const A_ON: Weights = [-1.0, 0.0, 0.0];

/// The gradients of sum_j weights_j a_j with respect to the votes, through every iteration and stopped at the
/// responsibilities: of one position with three parents.
///
/// # Errors
///
/// As [`RoutingInput::gradient`].
pub fn whole_and_stopped(
    input: &RoutingInput,
    options: &RoutingOptions,
    weights: [f64; 3],
) -> Result<(Routing, [Array4<f64>; 2])> {
    let routing = input.route(options)?;
    let (d_poses, d_activations) = (Array3::zeros(routing.poses().raw_dim()), array![weights]);
    let of = |stop_gradient_at_responsibilities| -> Result<Array4<f64>> {
        let options = RoutingOptions { stop_gradient_at_responsibilities, ..options.clone() };
        Ok(input.gradient(&options, &routing, &d_poses, &d_activations)?.d_votes)
    };
    let gradients = [of(false)?, of(true)?];
    Ok((routing, gradients))
}

/// For 1 to `iterations` iterations, the stopped gradient beside the whole one on [`samples::two_wholes`] of each seed, with
/// [`two_wholes_options`]. Arguments as in [`whole_and_stopped`].
///
/// # Errors
///
/// As [`whole_and_stopped`].
pub fn stopped_by_iterations(
    seeds: Range<u64>,
    iterations: usize,
    weights: [f64; 3],
) -> Result<Vec<Vec<StoppedGradient>>> {
    let draw = |seed, iterations| -> Result<StoppedGradient> {
        let input = samples::two_wholes(seed).input();
        let (_, [whole, stopped]) = whole_and_stopped(&input, &two_wholes_options(iterations), weights)?;
        Ok(StoppedGradient::of(&stopped, &whole))
    };
    (1..=iterations).map(|t| seeds.clone().map(|seed| draw(seed, t)).collect()).collect()
}

pub(super) fn vote_gradients() -> Result<Figure> {
    let input = wholes().input();
    let (routing, [whole, stopped]) = whole_and_stopped(&input, &two_wholes_options(3), C_OFF)?;
    let panels = [("through every iteration", &whole), ("stopped at R", &stopped)];
    plot::vote_gradients(&input, &routing, 0, &panels)
}

pub(super) fn stopped_gradients() -> Result<Figure> {
    let of = |weights| stopped_by_iterations(0..200, 8, weights);
    plot::stopped_gradients(&[("switch A on", of(A_ON)?), ("switch C off", of(C_OFF)?)])
}

/// The votes of a 28 x 28 image in the blog's network as f32 arrays, and those that the fused kernel holds at a time, in
/// megabytes (10^6 bytes).
pub fn vote_megabytes() -> Vec<(&'static str, f64)> {
    // positions x children x parents x elements x bytes
    let votes =
        |positions: usize, children: usize, parents: usize| (positions * children * parents * 16 * 4) as f64;
    vec![
        ("first capsule layer", votes(6 * 6, 3 * 3 * 32, 32) / 1e6),
        ("second capsule layer", votes(4 * 4, 3 * 3 * 32, 32) / 1e6),
        ("class layer", votes(1, 4 * 4 * 32, 10) / 1e6),
        ("the kernel: one position", votes(1, 3 * 3 * 32, 32) / 1e6),
    ]
}

pub(super) fn vote_bytes() -> Result<Figure> {
    Ok(plot::bars("votes of one image (MB)", &vote_megabytes())?.named("vote-bytes"))
}
