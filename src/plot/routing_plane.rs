//! Chapters 6 and 7: votes and parents in the plane.

use ndarray::{
    Array1, Array3, Array4, ArrayView, ArrayView1, ArrayView2, ArrayView3, Axis as Along, Dimension,
};

use super::animate::shown_iterations;
use super::chart::{Chart, GREY, INK, Ink, PALE, Pen, Point, Side, number};
use super::image::{Rgb, between};
use super::plane::{axes, equal_units, ranges};
use super::viewpoint::arrow;
use super::{Figure, animate, colour, letter};
use crate::error::{Error, Result};
use crate::routing::{LadderStep, Routing, RoutingInput, RoutingStep};

/// What a vote looks like whose parent takes none of its child.
const UNTAKEN: Rgb = [214, 211, 201];

/// Parents whose activations are listed, at most.
const MOST_PARENTS: usize = 9;

/// A rung of the ladder, for [`ladder`] and [`ladder_likelihood`](super::ladder_likelihood).
#[derive(Debug, Clone, Copy)]
pub struct Rung<'a> {
    /// What it is called, as short as a heading.
    pub title: &'a str,
    /// What it went through.
    pub trace: &'a [LadderStep],
}

/// EM routing at work in the plane, a frame an iteration: the votes for each parent in its colour, the fuller the more of
/// its child the parent takes, and the parents' Gaussians (ellipses of one and two standard deviations), the stronger the
/// higher their activation.
///
/// `input` has votes of two elements, x and y (positions x children x parents x 2), and `routing` is what came of it;
/// `position` is the one that is drawn, counted from 0. The votes of a child are joined, and small where it is faint.
/// Responsibilities are those that an iteration begins with, Gaussians and activations those that its M-step makes. Of more
/// than 12 iterations (fewer where parents are many) the first and some of the others are shown.
///
/// # Errors
///
/// Returns an error if there are no iterations, children or parents or more than 1000 parents, if votes are not of two finite
/// numbers within 1e140 of 0, if the position is not there, and for a trace of another shape or with a number that is not finite.
pub fn routing_animation(input: &RoutingInput, routing: &Routing, position: usize) -> Result<Figure> {
    const SECONDS: f64 = 1.4;
    let (children, parents) = check_routing(routing, position)?;
    let scenes = scenes(input, routing, position)?;
    let all = scenes.iter().map(Scene::check).collect::<Result<Vec<_>>>()?.swap_remove(0);
    let (x, y) = ranges(&all);
    let (width, height) = equal_units(x, y, (600.0, 500.0));
    let size = (width as u32 + 72 + 168, height.max(250.0) as u32 + 106);
    let count = scenes.len();
    let mut frames = Vec::new();
    // Ellipses take most of the room of many parents.
    for t in shown_iterations(count - 1, (200 / parents).clamp(5, 12)) {
        let (scene, step) = (&scenes[t], &routing.trace[t]);
        let words = (0..parents).map(|j| format!("{} {:.2}", letter(j), scene.weights[j]));
        let alt = format!(
            "Votes of {children} children for {parents} parents and the parents' Gaussians; activations after {} iterations: {}.",
            t + 1,
            words.collect::<Vec<_>>().join(", ")
        );
        let (x_axis, y_axis) = axes(x, y);
        let mut chart = Chart::new("routing-animation", size, x_axis, y_axis)
            .panel((72.0, 50.0), (width, height))
            .alt(alt);
        scene.draw(&mut chart, true);
        let ink = Ink::new(INK).plain().size(14.0);
        let title = format!("iteration {} of {count}", t + 1);
        chart.text(chart.at_pixel(72.0, 17.0), (0.0, 0.0), Side::Right, ink.bold(), title);
        let what = match t {
            0 => "every child is shared out evenly",
            _ => "the fuller a vote, the more of its child that parent takes",
        };
        let small = if width < 460.0 { ink.size(12.0) } else { ink };
        chart.text(chart.at_pixel(72.0, 37.0), (0.0, 0.0), Side::Right, small, what);
        let left = 72.0 + width + 26.0;
        let at = |chart: &Chart, top: f64| chart.at_pixel(left, top);
        let (plain, grey) = (Ink::new(INK).plain(), Ink::new(GREY).plain().size(12.0));
        chart.text(at(&chart, 62.0), (0.0, 0.0), Side::Right, plain.bold(), "inverse temperature");
        let lambda = format!("λ = {}", number(step.inverse_temperature, 3));
        chart.text(at(&chart, 82.0), (0.0, 0.0), Side::Right, plain, lambda);
        chart.text(at(&chart, 118.0), (0.0, 0.0), Side::Right, plain.bold(), "activations");
        let mut top = 142.0;
        for j in 0..parents.min(MOST_PARENTS) {
            let bar = |chart: &Chart, share: f64| {
                [chart.at_pixel(left + 22.0, top), chart.at_pixel(left + 22.0 + 64.0 * share, top)]
            };
            chart.text(
                at(&chart, top),
                (0.0, 0.0),
                Side::Right,
                Ink::new(colour(j)).plain().bold(),
                letter(j),
            );
            chart.line_anywhere(bar(&chart, 1.0), Pen::new(PALE, 9.0));
            chart.line_anywhere(bar(&chart, scene.weights[j].clamp(0.004, 1.0)), Pen::new(colour(j), 9.0));
            chart.text(at(&chart, top), (94.0, 0.0), Side::Right, plain, number(scene.weights[j], 2));
            top += 23.0;
        }
        if parents > MOST_PARENTS {
            let text = format!("and {} more", parents - MOST_PARENTS);
            chart.text(at(&chart, top), (0.0, 0.0), Side::Right, grey, text);
        }
        frames.push(chart.finish()?);
    }
    animate("routing-animation", &frames, SECONDS)
}

/// What the rungs of the ladder make of the same votes, side by side: votes, Gaussians and weights of the last iteration.
///
/// `votes` are children x parents x 2 (x and y), `child_activations` one for each child: the smaller, the fainter. The
/// number beside a parent is its weight: pi_j on a rung without costs, a_j above. Colours and ellipses as in
/// [`routing_animation`].
///
/// # Errors
///
/// Returns an error if there are no rungs or more than six, if a rung has no iterations, if there are more than 1000 parents,
/// if votes are not of two finite numbers within 1e140 of 0, and if shapes do not fit together.
pub fn ladder(votes: &Array3<f64>, child_activations: &Array1<f64>, rungs: &[Rung]) -> Result<Figure> {
    if rungs.is_empty() {
        return Err(Error::Empty { what: "rungs" });
    }
    if rungs.len() > 6 {
        let (name, expected) = ("the number of rungs", "at most 6");
        return Err(Error::Setting { name, expected, value: rungs.len() as f64 });
    }
    let (children, parents, elements) = votes.dim();
    same("the activations", &[children], child_activations.shape())?;
    let mut scenes = Vec::new();
    let mut all = Vec::new();
    for rung in rungs {
        let Some(step) = rung.trace.last() else { return Err(Error::Empty { what: "iterations" }) };
        same("a rung's responsibilities", &[children, parents], step.responsibilities.shape())?;
        same("a rung's means", &[parents, elements], step.parents.means.shape())?;
        same("a rung's variances", &[parents, elements], step.parents.variances.shape())?;
        same("a rung's weights", &[parents], step.parents.weights.shape())?;
        let scene = Scene {
            votes: votes.view(),
            children: child_activations.view(),
            shares: step.responsibilities.view(),
            means: step.parents.means.view(),
            variances: step.parents.variances.view(),
            weights: step.parents.weights.view(),
        };
        all = scene.check()?;
        scenes.push(scene);
    }
    let (x, y) = ranges(&all);
    const LEFT: f64 = 60.0;
    const GAP: f64 = 20.0;
    const HEAD: f64 = 50.0;
    let columns = rungs.len().min(3);
    let rows = rungs.len().div_ceil(3);
    let (width, height) = equal_units(x, y, (if columns == 1 { 500.0 } else { 256.0 }, 330.0));
    let size = (
        (LEFT + columns as f64 * (width + GAP) + 6.0) as u32,
        (rows as f64 * (HEAD + height + 14.0) + 50.0) as u32,
    );
    let mut panels = Vec::new();
    let mut words = Vec::new();
    for (index, (rung, scene)) in rungs.iter().zip(&scenes).enumerate() {
        let (column, row) = (index % 3, index / 3);
        let place = (LEFT + column as f64 * (width + GAP), HEAD + row as f64 * (HEAD + height + 14.0));
        let (x_axis, y_axis) = axes(x, y);
        let x_axis = x_axis.most(7);
        let x_axis = if index + 3 < rungs.len() { x_axis.bare() } else { x_axis };
        let y_axis = y_axis.most(6);
        let y_axis = if column == 0 { y_axis } else { y_axis.bare() };
        let mut panel = Chart::new("ladder", size, x_axis, y_axis).panel(place, (width, height));
        scene.draw(&mut panel, false);
        let ink = Ink::new(INK).plain();
        panel.text((x.0, y.1), (0.0, -34.0), Side::Right, ink.bold().size(14.0), rung.title);
        let sign = if rung.trace.last().is_some_and(|step| step.costs.is_some()) { 'a' } else { 'π' };
        let mut right = 0.0;
        for j in 0..parents.min(4) {
            let text = format!("{sign}_{} = {}", letter(j), number(scene.weights[j], 2));
            panel.text((x.0, y.1), (right, -14.0), Side::Right, Ink::new(colour(j)).plain().bold(), text);
            right += 80.0;
        }
        let own = (0..parents).map(|j| format!("{} {:.2}", letter(j), scene.weights[j]));
        words.push(format!("{}: {}", rung.title, own.collect::<Vec<_>>().join(", ")));
        panels.push(panel);
    }
    let alt = format!("Weights of the parents after the last iteration. {}.", words.join("; "));
    let mut first = panels.remove(0).alt(alt);
    if rungs.len() == 5 {
        // The sixth place says how to read the others.
        let left = LEFT + 2.0 * (width + GAP) + 14.0;
        let mut top = 2.0 * HEAD + height + 40.0;
        let ink = Ink::new(INK).plain();
        let lines = [
            "Dot: a vote, small if its child is faint.",
            "The fuller its colour, the more of the",
            "child that parent takes.",
            "",
            "Ellipses: 1 σ and 2 σ of a parent, the",
            "stronger the larger its weight.",
        ];
        for line in lines {
            if !line.is_empty() {
                first.text(first.at_pixel(left, top), (0.0, 0.0), Side::Right, ink.size(12.5), line);
            }
            top += if line.is_empty() { 10.0 } else { 19.0 };
        }
    }
    first.finish_with(&panels)
}

/// Where each vote would go to lower a loss: arrows against its gradient, a panel for each title and gradient.
///
/// `input` has votes of two elements, x and y, `routing` is what came of it, and each gradient has the shape of the votes
/// (positions x children x parents x 2). Votes and Gaussians are those of the last iteration, drawn as by
/// [`routing_animation`], `position` is counted from 0. In each panel the longest arrow has the same length, and of very many
/// the longest are drawn; the size of the gradient (its root of the sum of squares) stands above.
///
/// # Errors
///
/// Returns an error as [`routing_animation`], if there are no gradients or more than three, and if a gradient has another shape,
/// is not finite or is all 0.
pub fn vote_gradients(
    input: &RoutingInput,
    routing: &Routing,
    position: usize,
    gradients: &[(&str, &Array4<f64>)],
) -> Result<Figure> {
    if gradients.is_empty() {
        return Err(Error::Empty { what: "gradients" });
    }
    if gradients.len() > 3 {
        let (name, expected) = ("the number of gradients", "at most 3");
        return Err(Error::Setting { name, expected, value: gradients.len() as f64 });
    }
    let (children, parents) = check_routing(routing, position)?;
    let scene = scenes(input, routing, position)?.pop().expect("there are iterations");
    let all = scene.check()?;
    const LEFT: f64 = 60.0;
    const GAP: f64 = 20.0;
    const HEAD: f64 = 50.0;
    const LONGEST: f64 = 44.0;
    const MOST_ARROWS: usize = 360;
    let (x, y) = ranges(&all);
    let across = if gradients.len() == 3 { 256.0 } else { 396.0 };
    let (width, height) = equal_units(x, y, (across, 400.0));
    let columns = gradients.len() as f64;
    let size = ((LEFT + columns * (width + GAP) + 6.0) as u32, (HEAD + height + 60.0) as u32);
    let unit = (x.1 - x.0) / width;
    let mut panels = Vec::new();
    let mut words = Vec::new();
    for (column, (title, gradient)) in gradients.iter().enumerate() {
        same("a gradient", input.votes.shape(), gradient.shape())?;
        let gradient = gradient.index_axis(Along(0), position);
        let mut arrows: Vec<([f64; 3], f64, usize)> = (0..children * parents)
            .map(|at| {
                let (i, j) = (at / parents, at % parents);
                let (across, up) = (-gradient[(i, j, 0)], -gradient[(i, j, 1)]);
                let (x, y) = scene.vote((i, j));
                ([x, y, up.atan2(across)], across.hypot(up), j)
            })
            .collect();
        arrows.sort_by(|a, b| b.1.total_cmp(&a.1));
        let longest = arrows[0].1;
        let whole = gradient.iter().map(|value| value * value).sum::<f64>().sqrt();
        if !(longest > 0.0 && whole.is_finite()) {
            let (name, expected) = ("the size of a gradient", "positive and finite");
            return Err(Error::Setting { name, expected, value: whole });
        }
        let (x_axis, y_axis) = axes(x, y);
        let x_axis = x_axis.most(7);
        let y_axis = if column == 0 { y_axis.most(7) } else { y_axis.most(7).bare() };
        let place = (LEFT + column as f64 * (width + GAP), HEAD);
        let mut panel = Chart::new("vote-gradients", size, x_axis, y_axis).panel(place, (width, height));
        // Under the votes, so that a short arrow spoils none.
        for (from, length, j) in arrows.into_iter().take(MOST_ARROWS / gradients.len()) {
            let pixels = LONGEST * length / longest;
            if pixels >= 4.0 {
                arrow(&mut panel, from, pixels * unit, 0.0, colour(j), 1.8);
            }
        }
        scene.draw(&mut panel, false);
        let ink = Ink::new(INK).plain();
        panel.text((x.0, y.1), (0.0, -34.0), Side::Right, ink.bold().size(14.0), *title);
        let text = format!("size {}", number(whole, 4));
        panel.text((x.0, y.1), (0.0, -14.0), Side::Right, Ink::new(GREY).plain().size(12.5), text);
        words.push(format!("{title}: size {whole:.4}"));
        panels.push(panel);
    }
    let alt = format!(
        "Votes of {children} children for {parents} parents, with arrows against the gradient of a loss. {}.",
        words.join("; ")
    );
    let first = panels.remove(0).alt(alt);
    first.finish_with(&panels)
}

/// One moment of a routing at one position, in the plane.
struct Scene<'a> {
    /// Children x parents x 2.
    votes: ArrayView3<'a, f64>,
    children: ArrayView1<'a, f64>,
    /// Children x parents.
    shares: ArrayView2<'a, f64>,
    /// Parents x 2.
    means: ArrayView2<'a, f64>,
    variances: ArrayView2<'a, f64>,
    weights: ArrayView1<'a, f64>,
}

impl Scene<'_> {
    /// Is it in the plane, and all of it finite? All votes, as points.
    fn check(&self) -> Result<Vec<Point>> {
        let (children, parents, elements) = self.votes.dim();
        for (size, what) in [(children, "children"), (parents, "parents")] {
            if size == 0 {
                return Err(Error::Empty { what });
            }
        }
        if elements != 2 {
            return Err(Error::Length {
                name: "a vote to be drawn in the plane",
                expected: 2,
                found: elements,
            });
        }
        if parents > 1000 {
            let (name, expected) = ("the number of parents", "at most 1000 in the plane");
            return Err(Error::Setting { name, expected, value: parents as f64 });
        }
        finite("the votes", self.votes)?;
        finite("the children's activations", self.children)?;
        finite("the responsibilities", self.shares)?;
        finite("the means", self.means)?;
        finite("the variances", self.variances)?;
        finite("the activations", self.weights)?;
        if let Some(((j, h), &value)) = self.variances.indexed_iter().find(|(_, variance)| **variance < 0.0) {
            let (name, expected) = ("the variances", "not negative");
            return Err(Error::EntryOutOfRange { name, place: vec![j, h], expected, value });
        }
        Ok((0..children).flat_map(|i| (0..parents).map(move |j| (i, j))).map(|at| self.vote(at)).collect())
    }

    fn vote(&self, (i, j): (usize, usize)) -> Point {
        (self.votes[(i, j, 0)], self.votes[(i, j, 1)])
    }

    /// Votes, ellipses and means; with the parents' letters and weights beside their means.
    fn draw(&self, chart: &mut Chart, large: bool) {
        let (children, parents, _) = self.votes.dim();
        let size = if large { 1.0 } else { 0.72 };
        if large && children * parents <= 300 {
            for i in 0..children {
                let star: Vec<Point> = (0..parents).map(|j| self.vote((i, j))).collect();
                let ends = if parents > 2 { star.len() + 1 } else { star.len() };
                chart.line((0..ends).map(|j| star[j % parents]), Pen::new([238, 236, 229], 1.0));
            }
        }
        for j in 0..parents {
            let strength = self.weights[j].clamp(0.0, 1.0);
            let tint = between(&[UNTAKEN, colour(j)], 0.25 + 0.75 * strength);
            let wide = size * (1.2 + 1.8 * strength);
            for (deviations, pen) in
                [(1.0, Pen::new(tint, wide)), (2.0, Pen::new(tint, 0.7 * wide).dashed(6.0, 4.0))]
            {
                if deviations > 1.0 && parents > 12 {
                    continue;
                }
                let ring = self.ellipse(j, deviations);
                chart.line(ring, pen);
            }
        }
        // Of many votes every so manieth child's.
        let every = (children * parents).div_ceil(if large { 1000 } else { 200 });
        let mut dots: Vec<(u8, Rgb, usize, usize)> = Vec::new();
        for i in (0..children).step_by(every.max(1)) {
            for j in 0..parents {
                let level = (self.shares[(i, j)].clamp(0.0, 1.0) * 8.0).round() as u8;
                dots.push((level, between(&[UNTAKEN, colour(j)], f64::from(level) / 8.0), i, j));
            }
        }
        dots.sort_unstable();
        for (_, tint, i, j) in dots {
            let radius = size * (2.2 + 2.6 * self.children[i].clamp(0.0, 1.0));
            chart.scatter([self.vote((i, j))], radius, tint, 1.0);
        }
        let means: Vec<Point> = (0..parents).map(|j| (self.means[(j, 0)], self.means[(j, 1)])).collect();
        for (j, &mean) in means.iter().enumerate() {
            chart.disc(mean, 6.0 * size, INK);
            chart.dot(mean, 3.8 * size, colour(j));
        }
        // Letters from the top down, each as high as those beside it let it.
        let mut order: Vec<usize> = (0..parents).collect();
        order.sort_by(|&a, &b| means[b].1.total_cmp(&means[a].1));
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for j in order {
            // Beside a small ellipse, inside of a large one.
            let (left, top) = chart.pixel(means[j]);
            let reach = chart.pixel(self.ellipse(j, 2.0)[0]).0 - left;
            let right = left + if reach < 80.0 { reach.max(7.0) + 6.0 } else { 13.0 };
            let mut place = top;
            for &(x, y) in &taken {
                if (x - right).abs() < 18.0 && place < y + 17.0 {
                    place = place.max(y + 17.0);
                }
            }
            taken.push((right, place));
            let ink = Ink::new(colour(j)).bold().size(if large { 15.0 } else { 13.0 });
            chart.text(means[j], (right - left, place - top), Side::Right, ink, letter(j));
        }
    }

    fn ellipse(&self, j: usize, deviations: f64) -> Vec<Point> {
        let corners = if self.weights.len() > 12 { 24 } else { 72 };
        let along =
            |h: usize, share: f64| self.means[(j, h)] + deviations * self.variances[(j, h)].sqrt() * share;
        (0..=corners)
            .map(|i| {
                let (sine, cosine) = (2.0 * std::f64::consts::PI * i as f64 / corners as f64).sin_cos();
                (along(0, cosine), along(1, sine))
            })
            .collect()
    }
}

/// Each step of a routing in the plane, at a position that is there.
fn scenes<'a>(input: &'a RoutingInput, routing: &'a Routing, position: usize) -> Result<Vec<Scene<'a>>> {
    for step in &routing.trace {
        let (positions, children, parents) = step.responsibilities.dim();
        let elements = step.means.dim().2;
        same("the votes", &[positions, children, parents, elements], input.votes.shape())?;
        same("the activations", &[positions, children], input.activations.shape())?;
    }
    let scene = |step: &'a RoutingStep| Scene {
        votes: input.votes.index_axis(Along(0), position),
        children: input.activations.row(position),
        shares: step.responsibilities.index_axis(Along(0), position),
        means: step.means.index_axis(Along(0), position),
        variances: step.variances.index_axis(Along(0), position),
        weights: step.activations.row(position),
    };
    Ok(routing.trace.iter().map(scene).collect())
}

/// Is there something to draw: iterations, the position, children and parents, the same in each step? How many children and
/// parents there are.
pub(super) fn check_routing(routing: &Routing, position: usize) -> Result<(usize, usize)> {
    let Some(first) = routing.trace.first() else { return Err(Error::Empty { what: "iterations" }) };
    let (positions, children, parents) = first.responsibilities.dim();
    let elements = first.means.dim().2;
    if position >= positions {
        let (name, expected) = ("position", "one of the routing's positions");
        return Err(Error::Setting { name, expected, value: position as f64 });
    }
    for (size, what) in [(children, "children"), (parents, "parents")] {
        if size == 0 {
            return Err(Error::Empty { what });
        }
    }
    for step in &routing.trace {
        let found = step.responsibilities.shape();
        same("the routing's responsibilities", &[positions, children, parents], found)?;
        same("the routing's means", &[positions, parents, elements], step.means.shape())?;
        same("the routing's variances", &[positions, parents, elements], step.variances.shape())?;
        same("the routing's activations", &[positions, parents], step.activations.shape())?;
        same("the routing's costs", &[positions, parents], step.costs.shape())?;
    }
    Ok((children, parents))
}

/// Are all numbers finite? The error has the place of the first that is not.
fn finite<D: Dimension>(name: &'static str, numbers: ArrayView<f64, D>) -> Result<()> {
    match numbers.into_dyn().indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some((place, &value)) => {
            let place = place.slice().to_vec();
            Err(Error::EntryOutOfRange { name, place, expected: "finite", value })
        }
    }
}

/// Is the shape the one that the other arguments ask for?
fn same(name: &'static str, expected: &[usize], found: &[usize]) -> Result<()> {
    match expected == found {
        true => Ok(()),
        false => Err(Error::Shape { name, expected: expected.to_vec(), found: found.to_vec() }),
    }
}
