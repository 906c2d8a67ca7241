//! Figures of chapter 7, the gradient through the routing, and of the appendix on its fast kernel.

use std::ops::Range;

use ndarray::{Array3, Array4, Axis as Along, array};

use super::chapter06::{Scene, two_wholes_options, wholes};
use super::{Entry, checks};
use crate::draw::{
    self, Axis, Chart, Figure, GREY, Grid, INK, Ink, Label, Mark, Pen, Point, Side, component, equal_units,
    extent, legend_row, letter, log_curves, number, padded, ranges, round_step, scientific, trimmed,
};
use crate::error::{Error, Result};
use crate::routing::{Routing, RoutingInput, RoutingOptions};
use crate::samples;

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[
    ("vote-gradients", || {
        let input = wholes().input();
        let (routing, [whole, stopped]) = whole_and_stopped(&input, &two_wholes_options(3), C_OFF)?;
        let panels = [("through every iteration", &whole), ("stopped at R", &stopped)];
        vote_gradients(&input, &routing, 0, &panels)
    }),
    ("stopped-gradients", || {
        let of = |weights| stopped_by_iterations(0..200, 8, weights);
        stopped_gradients(&[("switch A on", of(A_ON)?), ("switch C off", of(C_OFF)?)])
    }),
    ("vote-bytes", || vote_bytes(&vote_megabytes())),
];

/// The weights of a loss that depends only on the activations: sum_j weights_j a_j.
type Weights = [f64; 3];

/// Penalises the activation of C, the whole that is absent.
const C_OFF: Weights = [0.0, 0.0, 1.0];

/// Rewards the activation of A.
const A_ON: Weights = [-1.0, 0.0, 0.0];

/// The longest arrow of [`vote_gradients`], in pixels.
const LONGEST: f64 = 46.0;

/// The maximum number of arrows in [`vote_gradients`].
const MOST_ARROWS: usize = 360;

/// Computes the gradients of sum_j weights_j a_j with respect to the votes, for one position with three parents: once
/// through every iteration, once stopped at the responsibilities.
///
/// # Errors
///
/// Returns the errors of [`RoutingInput::gradient`].
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

/// Compares the stopped gradient with the full one for 1 to `iterations` iterations, on the [`samples::two_wholes`] of each
/// seed with [`two_wholes_options`]. The other arguments are those of [`whole_and_stopped`].
///
/// # Errors
///
/// Returns the errors of [`whole_and_stopped`].
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

/// The memory of votes in the blog's network for a 28 x 28 image, in megabytes (10^6 bytes): all votes as f32 arrays, and
/// those that the fused kernel holds at a time.
pub fn vote_megabytes() -> Vec<(&'static str, f64)> {
    // positions x children x parents x elements x bytes
    let megabytes = |positions: usize, children: usize, parents: usize| {
        (positions * children * parents * 16 * 4) as f64 / 1e6
    };
    vec![
        ("first capsule layer", megabytes(6 * 6, 3 * 3 * 32, 32)),
        ("second capsule layer", megabytes(4 * 4, 3 * 3 * 32, 32)),
        ("class layer", megabytes(1, 4 * 4 * 32, 10)),
        ("fused kernel (one position)", megabytes(1, 3 * 3 * 32, 32)),
    ]
}

/// Draws arrows from the votes in the direction of the negative gradient, one panel per title and gradient.
///
/// `input` has votes of two elements, x and y, `routing` is its result, and each gradient has the shape of the votes
/// (positions x children x parents x 2). Votes and Gaussians are those of the last iteration, drawn as in
/// [`routing_animation`](super::chapter06::routing_animation); `position` is counted from 0. The length of an arrow is
/// proportional to the square root of its gradient's norm, with the same scale in all panels; if there are very many, only
/// the longest are drawn. The number above each panel is the Euclidean norm of the gradient at this position.
///
/// # Errors
///
/// Returns the errors of [`routing_animation`](super::chapter06::routing_animation), and an error if there are no gradients
/// or more than three, or if a gradient has a different shape, is not finite or is all 0.
pub fn vote_gradients(
    input: &RoutingInput,
    routing: &Routing,
    position: usize,
    gradients: &[(&str, &Array4<f64>)],
) -> Result<Figure> {
    checks::not_empty("gradients", gradients)?;
    checks::at_most("the number of gradients", gradients.len(), 3, "at most 3")?;
    let (_, parents) = checks::routing(routing, position)?;
    let scene = Scene::all(input, routing, position)?.swap_remove(routing.trace.len() - 1);
    let votes = scene.votes();
    let mut arrows = Vec::new();
    for (_, gradient) in gradients {
        checks::shape("a gradient", input.votes.shape(), gradient.shape())?;
        arrows.push(steepest(gradient, position)?);
    }
    let longest = extent(arrows.iter().map(|(_, arrows)| arrows[0].length)).1;
    let pixels = |length: f64| arrow_pixels(length, longest);
    let (x, y) = ranges(&votes);
    let across = if gradients.len() == 3 { 256.0 } else { 396.0 };
    let panel = equal_units(x, y, (across, 400.0));
    let grid = Grid { columns: gradients.len(), panel, gap: (20.0, 0.0), origin: (62.0, 50.0) };
    let title = "Where each vote would go to switch a parent off";
    let mut chart = grid.canvas("vote-gradients", title, gradients.len(), (24.0, 136.0), 650);
    let mut sizes = Vec::new();
    for (column, (&(title, _), (size, arrows))) in gradients.iter().zip(&arrows).enumerate() {
        let x = Axis::new("x_1", x.0, x.1).most(7);
        let y = Axis::new("x_2", y.0, y.1).most(7);
        let mut axes = chart.panel(grid.corner(column), panel, x, if column == 0 { y } else { y.bare() });
        let most = (MOST_ARROWS / gradients.len()).min(arrows.len());
        draw_arrows(&mut axes, &arrows[..most], (&votes, parents), &pixels); // below the votes, so that a short one hides none
        scene.draw(&mut axes, false);
        let size = number(*size, 4);
        axes.heading(title, &format!("size of the gradient {size}"));
        let clear = arrows.iter().filter(|arrow| pixels(arrow.length) > 0.1 * LONGEST).count();
        sizes.push(format!("{title}: {clear} arrows above a tenth of the longest, gradient of size {size}"));
        chart.add(axes);
    }
    let low = grid.origin.1 + panel.1 + 70.0;
    arrow_scale(&mut chart, (62.0, low), round_step(0.8 * longest), &pixels);
    let right = grid.corner(gradients.len() - 1).0 + panel.0;
    let names = (0..parents).map(|j| (Mark::Dot(component(j)), format!("votes for {}", letter(j))));
    legend_row(&mut chart, (62.0, low + 23.0), right.max(440.0), names);
    let words =
        "stronger colour: the parent takes a larger share of the child; ellipses: 1 σ and 2 σ of a parent";
    chart.note((62.0, low + 46.0), Ink::new(INK).plain().size(12.5), words);
    let alt = "Dots, the votes in the colours of their parents, with the parents' ellipses and an arrow from each vote";
    chart.alt(format!("{alt}. {}.", sizes.join("; "))).finish()
}

/// The arrow of one vote.
pub(crate) struct Arrow {
    /// The index of the vote among all votes, ordered by child.
    vote: usize,
    angle: f64,
    /// The norm of the vote's gradient.
    pub length: f64,
}

/// The length in pixels of the arrow for a gradient of norm `length`, if the largest norm is `longest`.
pub(crate) fn arrow_pixels(length: f64, longest: f64) -> f64 {
    LONGEST * (length / longest).sqrt()
}

/// Draws arrows that are at least 4 pixels long from the votes, in the colours of their parents.
pub(crate) fn draw_arrows(
    axes: &mut Chart,
    arrows: &[Arrow],
    (votes, parents): (&[Point], usize),
    pixels: &dyn Fn(f64) -> f64,
) {
    for arrow in arrows.iter().filter(|arrow| pixels(arrow.length) >= 4.0) {
        let pen = Pen::new(component(arrow.vote % parents), 1.6);
        axes.arrow(votes[arrow.vote], arrow.angle, pixels(arrow.length), pen);
    }
}

/// Returns the norm of the gradient at one position and the arrows of its votes, longest first. Arrows point against
/// the gradient.
pub(crate) fn arrows(gradient: &Array4<f64>, position: usize) -> (f64, Vec<Arrow>) {
    let here = gradient.index_axis(Along(0), position);
    let (children, parents, _) = here.dim();
    let arrow = |vote: usize| {
        let [across, up] = [0, 1].map(|h| -here[(vote / parents, vote % parents, h)]);
        Arrow { vote, angle: up.atan2(across), length: across.hypot(up) }
    };
    let mut arrows: Vec<Arrow> = (0..children * parents).map(arrow).collect();
    arrows.sort_by(|a, b| b.length.total_cmp(&a.length));
    (here.iter().map(|value| value * value).sum::<f64>().sqrt(), arrows)
}

/// Returns the [`arrows`] of a gradient that must be finite and not all 0.
fn steepest(gradient: &Array4<f64>, position: usize) -> Result<(f64, Vec<Arrow>)> {
    let (size, arrows) = arrows(gradient, position);
    if !(arrows[0].length > 0.0 && size.is_finite()) {
        let (name, expected) = ("the size of a gradient", "positive and finite");
        return Err(Error::Setting { name, expected, value: size });
    }
    Ok((size, arrows))
}

/// Draws the scale of the arrows: an arrow for a gradient of norm `size` and one for a quarter of that.
fn arrow_scale(chart: &mut Chart, (left, top): Point, size: f64, pixels: &dyn Fn(f64) -> f64) {
    let ink = Ink::new(INK).plain().size(12.5);
    let words = |size: f64| if (1e-4..1e4).contains(&size) { trimmed(size, 6) } else { scientific(size, 2) };
    let mut place = left;
    for size in [size, size / 4.0] {
        chart.arrow(chart.at_pixel(place, top), 0.0, pixels(size), Pen::new(INK, 1.6));
        chart.note((place + pixels(size) + 8.0, top), ink, words(size));
        place += pixels(size) + 76.0;
    }
    chart.note((place, top), ink, "size of ∂L/∂V (length ∝ its square root)");
}

/// Draws the error of difference quotients over the step size on logarithmic axes, with the minimum of each curve marked.
///
/// Each curve has a name, of at most about twenty letters, and points (step size, error). Large steps suffer from
/// truncation (the function's curvature), small ones from rounding (cancellation).
///
/// # Errors
///
/// Returns an error if there are no curves or more than twenty, if a curve has fewer than two points, or if a number is not
/// positive and finite.
pub fn difference_errors(curves: &[(&str, &[Point])]) -> Result<Figure> {
    let axes = ["step size ε", "relative error of the difference"];
    let title = "The error of difference quotients over their step size";
    let mut chart = log_curves("difference-errors", title, axes, curves)?;
    let (mut labels, mut words) = (Vec::new(), Vec::new());
    for (index, (name, points)) in curves.iter().enumerate() {
        let better = |best: Point, point: &Point| if point.1 < best.1 { *point } else { best };
        let (step, error) = points.iter().fold(points[0], better);
        chart.ring((step.log10(), error.log10()), 7.0, component(index));
        let note = format!("{} at ε = {}", scientific(error, 0), scientific(step, 0));
        words.push(format!("{name}: least error {error:.0e} at a step of {step:.0e}"));
        labels.push(Label { at: error.log10(), tint: component(index), text: name.to_string(), note });
    }
    chart.labels(&labels, false);
    chart
        .alt(format!(
            "A curve for each quotient on logarithmic axes, a ring at its lowest point. {}.",
            words.join("; ")
        ))
        .finish()
}

/// The comparison of a stopped gradient with the full one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoppedGradient {
    /// The cosine of the angle between the two gradients.
    pub cosine: f64,
    /// The norm of the stopped gradient divided by that of the full one.
    pub relative_size: f64,
}

impl StoppedGradient {
    /// Compares two gradients given as flat lists in the same order.
    pub fn of<'a>(
        stopped: impl IntoIterator<Item = &'a f64>,
        whole: impl IntoIterator<Item = &'a f64>,
    ) -> StoppedGradient {
        let (mut product, mut own, mut squares) = (0.0, 0.0, 0.0);
        for (a, b) in stopped.into_iter().zip(whole) {
            product += a * b;
            own += a * a;
            squares += b * b;
        }
        StoppedGradient { cosine: product / (own * squares).sqrt(), relative_size: (own / squares).sqrt() }
    }
}

/// Draws how the gradient with constant responsibilities compares with the full one, over the number of iterations: in the
/// upper panel the cosine of the angle between them, in the lower panel its relative norm.
///
/// Each series has a name and, for each number of iterations from 1, the results of several draws: a curve through the
/// medians and a band from the 10th to the 90th percentile. Where the cosine is below 0, a step along the stopped gradient
/// raises the loss instead of lowering it.
///
/// # Errors
///
/// Returns an error if there are no series or more than six, no iterations or no draws, or if a number is not finite or
/// beyond 1e140.
pub fn stopped_gradients(series: &[(&str, Vec<Vec<StoppedGradient>>)]) -> Result<Figure> {
    checks::not_empty("series", series)?;
    checks::at_most("the number of series", series.len(), 6, "at most 6")?;
    for (_, iterations) in series {
        checks::not_empty("iterations", iterations)?;
        iterations.iter().try_for_each(|draws| checks::not_empty("draws", draws))?;
        let draws = iterations.iter().flatten();
        checks::finite("a cosine or size", draws.flat_map(|draw| [draw.cosine, draw.relative_size]))?;
    }
    // the 10th, 50th and 90th percentiles of the draws, for each series and number of iterations
    let quantiles = |pick: fn(&StoppedGradient) -> f64| -> Vec<Vec<[f64; 3]>> {
        let of_draws = |draws: &Vec<StoppedGradient>| {
            let mut values: Vec<f64> = draws.iter().map(pick).collect();
            values.sort_by(f64::total_cmp);
            [0.1, 0.5, 0.9].map(|share| values[(share * (values.len() - 1) as f64).round() as usize])
        };
        series.iter().map(|(_, iterations)| iterations.iter().map(of_draws).collect()).collect()
    };
    let curves = [quantiles(|draw| draw.cosine), quantiles(|draw| draw.relative_size)];
    let all = |row: usize| extent(curves[row].iter().flatten().flatten().copied());
    let range = |low: f64, high: f64| padded([low, high], 0.05);
    let ((low, high), (smallest, largest)) = (range(all(0).0.min(-0.15), 1.0), range(0.0, all(1).1.max(1.0)));
    let rows = vec![
        (Axis::new("cosine of their angle", low, high).most(6), 270.0),
        (Axis::new("size: stopped ÷ full", smallest, largest).most(6), 160.0),
    ];
    let count = series.iter().map(|(_, iterations)| iterations.len()).max().unwrap_or(1);
    let draws = series[0].1[0].len();
    let x = Axis::counted("iterations", 1, count);
    let title = "The gradient stopped at the responsibilities beside the whole one";
    let mut chart = Chart::canvas("stopped-gradients", title, (800.0, 560.0));
    let words = format!("stopped against full gradient: median and 10–90 % range of {draws} draws");
    chart.note((84.0, 20.0), Ink::new(INK).plain(), words);
    for (row, mut panel) in chart.stack((84.0, 40.0), 590.0, &x, rows).into_iter().enumerate() {
        let along = |curve: &[[f64; 3]], quantile: usize| -> Vec<Point> {
            curve.iter().enumerate().map(|(t, values)| (t as f64 + 1.0, values[quantile])).collect()
        };
        for (index, curve) in curves[row].iter().enumerate() {
            let band = along(curve, 0).into_iter().chain(along(curve, 2).into_iter().rev());
            panel.area(band, component(index), 0.16);
        }
        let level = if row == 0 { 0.0 } else { 1.0 }; // orthogonal gradients; equal norms
        panel.line([(0.0, level), (2.0 * count as f64, level)], Pen::new(INK, 1.2).dashed(5.0, 4.0));
        let mut labels = Vec::new();
        for (index, curve) in curves[row].iter().enumerate() {
            panel.marked(&along(curve, 1), component(index), 2.4, 3.4);
            let (at, text) = (curve[curve.len() - 1][1], series[index].0.to_string());
            labels.push(Label { at, tint: component(index), text, note: String::new() });
        }
        if row == 0 {
            // right of the few iterations whose bands reach down there
            let (at, ink) = ((count as f64, 0.0), Ink::new(GREY).size(12.0));
            panel.text(at, (0.0, 13.0), Side::Left, ink, "below 0: the step raises the loss");
        }
        if row == 0 {
            panel.labels(&labels, false);
        }
        chart.add(panel);
    }
    let medians = series.iter().zip(&curves[0]).map(|((name, _), curve)| {
        let medians: Vec<String> = curve.iter().map(|quantiles| number(quantiles[1], 2)).collect();
        format!("{name}: median cosines {}", medians.join(", "))
    });
    let alt = "Two panels of curves in translucent bands over the number of iterations, a dashed line at cosine 0 and at \
               size 1.";
    chart.alt(format!("{alt} {}.", medians.collect::<Vec<_>>().join("; "))).finish()
}

/// Draws the memory of votes, in megabytes, as bars.
///
/// # Errors
///
/// Returns the errors of [`draw::bars`].
pub fn vote_bytes(megabytes: &[(&str, f64)]) -> Result<Figure> {
    let title = "Memory for one image's votes";
    draw::bars("vote-bytes", title, "memory for the votes of one image (MB)", megabytes, draw::Along::Linear)
}

/// Draws run times for the forward pass and gradient of one layer, in milliseconds, as bars on a logarithmic axis.
///
/// # Errors
///
/// Returns the errors of [`draw::bars`].
pub fn kernel_speed(milliseconds: &[(&str, f64)]) -> Result<Figure> {
    let (title, time) =
        ("Speed of plain code and of the fused kernel", "forward and gradient of one layer (ms)");
    draw::bars("kernel-speed", title, time, milliseconds, draw::Along::Logarithmic)
}
