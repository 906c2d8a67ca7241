//! Figures of chapter 6: EM routing of votes in the plane.

use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, ArrayView3, Axis as Along};

use super::chapter05::vote_panels;
use super::{Entry, checks};
use crate::draw::{
    Axis, CARD, Chart, Figure, GREY, Grid, INK, Image, Ink, Label, Mark, PALE, Pen, Point, Side, Tint,
    animate, component, equal_units, legend_row, letter, number, padded, power_of_ten, ranges,
    shown_iterations, stride,
};
use crate::error::{Error, Result};
use crate::routing::{
    InverseTemperature, LadderOptions, LadderStep, Parents, Routing, RoutingInput, RoutingOptions,
    RoutingStep, ladder,
};
use crate::samples::{self, Wholes};

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[
    ("routing-votes", || {
        let Wholes { votes, activations, wholes } = wholes();
        let names = ["A", "B", "C"];
        Ok(vote_panels(VOTES_TITLE, &votes, &activations, &wholes, &names)?.named("routing-votes"))
    }),
    ("routing-cost", || cost_curves(&[1.0, 4.0, 10.0], &[0.05, 0.3, 1.0, 3.0])),
    ("routing-animation", || {
        let (input, routing) = two_wholes_routing(&wholes())?;
        routing_animation(&input, &routing, 0)
    }),
    ("routing-assignments", || assignments(&two_wholes_routing(&wholes())?.1, 0)),
    ("routing-curves", || routing_curves(&two_wholes_routing(&wholes())?.1, 0)),
    ("routing-ladder", || {
        let Wholes { votes, activations, .. } = wholes();
        routing_ladder(&votes, &activations, &two_wholes_ladder(&wholes(), ITERATIONS)?)
    }),
    ("ladder-likelihood", || {
        let Wholes { votes, activations, .. } = wholes();
        ladder_likelihood(&votes, &activations, &two_wholes_ladder(&wholes(), 12)?)
    }),
    ("routing-temperature", || {
        let (lambdas, activations, scheduled) = two_wholes_temperatures(&wholes())?;
        temperatures(&lambdas, &activations, &scheduled)
    }),
];

/// The title of the chapter's [`vote_panels`].
pub const VOTES_TITLE: &str = "The votes for A, B and C";

/// The number of iterations of the chapter's routing.
const ITERATIONS: usize = 6;

/// The titles of the ladder's rungs, in order.
pub const RUNGS: [&str; 5] = [
    "1: Gaussian mixture",
    "2: activations",
    "3: weighted children",
    "4: cost counts mass",
    "final: M-step first",
];

/// The colour of a child's vote for a parent to which it gives nothing.
const UNTAKEN: Tint = Tint::new([188, 184, 172], [92, 94, 96]);

/// The lines of the animation's legend.
const KEY: [&str; 7] = [
    "Dot: a vote, small if its",
    "child has a low activation.",
    "Stronger colour: the parent",
    "takes a larger share of it.",
    "Grey: it takes nothing.",
    "Solid ellipse: 1 σ;",
    "dashed ellipse: 2 σ.",
];

/// The duration of each frame of the animation, in seconds.
const SECONDS: f64 = 1.4;

/// The maximum number of parents that can be told apart.
const MOST_PARENTS: usize = 12;

/// The steps of each rung of the ladder.
pub type Ladder = [Vec<LadderStep>; 5];

/// Returns the votes that the chapter routes.
pub(super) fn wholes() -> Wholes {
    samples::two_wholes(11694)
}

/// Options for the votes of [`samples::two_wholes`]: lambda = 1 - 0.95^(t+1), and a variance floor of 0.001.
pub fn two_wholes_options(iterations: usize) -> RoutingOptions {
    RoutingOptions {
        iterations,
        inverse_temperature: InverseTemperature::Saturating { limit: 1.0 },
        variance_floor: 1e-3,
        ..RoutingOptions::default()
    }
}

/// Routes the votes of [`samples::two_wholes`]: six iterations with [`two_wholes_options`], betas of 0.
///
/// # Errors
///
/// Returns the errors of [`RoutingInput::route`].
pub fn two_wholes_routing(wholes: &Wholes) -> Result<(RoutingInput, Routing)> {
    let input = wholes.input();
    let routing = input.route(&two_wholes_options(ITERATIONS))?;
    Ok((input, routing))
}

/// Runs the five rungs on the votes of [`samples::two_wholes`], the first four starting from uniform responsibilities. The
/// options are those of [`two_wholes_routing`].
///
/// # Errors
///
/// Returns the errors of [`ladder::routing_1`].
pub fn two_wholes_ladder(wholes: &Wholes, iterations: usize) -> Result<Ladder> {
    let Wholes { votes, activations, .. } = wholes;
    let options = LadderOptions {
        iterations,
        inverse_temperature: InverseTemperature::Saturating { limit: 1.0 },
        variance_floor: 1e-3,
        ..LadderOptions::default()
    };
    let (children, parents, _) = votes.dim();
    let even = Array2::from_elem((children, parents), 1.0 / parents as f64);
    let start = Parents::from_responsibilities(votes, &even, &options)?;
    Ok([
        ladder::routing_1(votes, &start, &options)?,
        ladder::routing_2(votes, &start, &options)?,
        ladder::routing_3(votes, activations, &start, &options)?,
        ladder::routing_4(votes, activations, &start, &options)?,
        ladder::routing_final(votes, activations, &options)?,
    ])
}

/// Animates EM routing in the plane, one frame per iteration. A vote has its parent's colour, stronger if the parent
/// takes a larger share of the child. Ellipses of one and two standard deviations show the parents' Gaussians, stronger
/// for higher activations.
///
/// `input` has votes of two elements, x and y (positions x children x parents x 2), `routing` is its result, and
/// `position` the position to draw, counted from 0. Dots are small if the child's activation is low. Each frame shows the responsibilities at the start of an iteration, and the Gaussians and
/// activations after its M-step. Routings of more than 12 iterations show the first and a selection of the others.
///
/// # Errors
///
/// Returns an error if there are no iterations, children or parents or more than twelve parents, if votes are not points in
/// the plane within 1e140 of 0, if the position does not exist, or if the trace has a different shape or a number that is
/// not finite.
pub fn routing_animation(input: &RoutingInput, routing: &Routing, position: usize) -> Result<Figure> {
    let (children, parents) = checks::routing(routing, position)?;
    let scenes = Scene::all(input, routing, position)?;
    let (x, y) = ranges(&scenes[0].votes());
    let (width, height) = equal_units(x, y, (600.0, 500.0));
    let size = (width as u32 + 72 + 206, height.max(330.0) as u32 + 106);
    let count = scenes.len();
    let area = |t: usize, j: usize| scenes[t].variances.row(j).product();
    let shrinking: Vec<String> =
        (0..parents).filter(|&j| area(count - 1, j) < 0.5 * area(0, j)).map(letter).collect();
    let title = "EM routing: votes and parents in the plane";
    let frames = shown_iterations(count - 1, 12).into_iter().map(|t| {
        let scene = &scenes[t];
        let alt = format!(
            "Dots, the votes of {children} children for {parents} parents in the colour of each parent, grey where it takes \
             nothing of the child; around each mean a solid and a dashed ellipse; those of {} shrink. Activations after {} iterations: {}.",
            if shrinking.is_empty() { "none".to_owned() } else { shrinking.join(" and ") },
            t + 1,
            scene.weights_in_words()
        );
        let (x, y) = (Axis::new("x_1", x.0, x.1), Axis::new("x_2", y.0, y.1));
        let mut chart = Chart::new("routing-animation", title, size, x, y)
            .margins(72, 206, 50, size.1 - 50 - height as u32)
            .alt(alt);
        scene.draw(&mut chart, true);
        let ink = Ink::new(INK).plain();
        chart.note((72.0, 17.0), ink.bold().size(14.0), format!("iteration {} of {count}", t + 1));
        let what = match t {
            0 => "all shares are equal",
            _ => "stronger colour: the parent takes a larger share of the child",
        };
        chart.note((72.0, 37.0), if width < 460.0 { ink.size(12.0) } else { ink }, what);
        list_activations(&mut chart, 72.0 + width + 26.0, &routing.trace[t], &scene.weights);
        chart.finish()
    });
    animate("routing-animation", &frames.collect::<Result<Vec<_>>>()?, SECONDS)
}

/// Draws the inverse temperature and a bar for each activation, in a column that begins `left` pixels from the left.
fn list_activations(chart: &mut Chart, left: f64, step: &RoutingStep, activations: &ArrayView1<f64>) {
    let ink = Ink::new(INK).plain();
    chart.note((left, 62.0), ink.bold(), "inverse temperature");
    chart.note((left, 82.0), ink, format!("λ = {}", number(step.inverse_temperature, 3)));
    chart.note((left, 118.0), ink.bold(), "activations");
    let top = |j: usize| 142.0 + 23.0 * j as f64;
    for (j, &activation) in activations.iter().enumerate() {
        let along = |share: f64| [0.0, 64.0 * share].map(|x| (left + 22.0 + x, top(j)));
        chart.note((left, top(j)), Ink::new(component(j)).plain().bold(), letter(j));
        for (share, tint) in [(1.0, PALE), (activation.clamp(0.004, 1.0), component(j))] {
            let ends = along(share).map(|(x, y)| chart.at_pixel(x, y));
            chart.line_anywhere(ends, Pen::new(tint, 9.0));
        }
        chart.note((left + 96.0, top(j)), ink, number(activation, 2));
    }
    let lines = KEY.iter().enumerate().filter(|_| activations.len() <= 5);
    for (line, words) in lines {
        chart.note((left, top(activations.len()) + 14.0 + 18.0 * line as f64), ink.size(12.0), *words);
    }
}

/// Compares the rungs of the ladder on the same votes, side by side: votes, Gaussians and weights of the last iteration.
///
/// `votes` are children x parents x 2 (x and y); `child_activations` has one value per child, and a smaller value gives
/// smaller dots. Only votes of which the parent takes at least a sixteenth are drawn. The bars above a panel are the parents'
/// weights: pi_j on a rung without costs, a_j on the later ones. An ellipse of two standard deviations is left out if it
/// does not fit into the panel.
///
/// # Errors
///
/// Returns an error if a rung has no iterations, if there are no or more than twelve parents, if votes are not points in
/// the plane within 1e140 of 0, or if shapes do not match.
pub fn routing_ladder(
    votes: &Array3<f64>,
    child_activations: &Array1<f64>,
    rungs: &Ladder,
) -> Result<Figure> {
    let mut scenes = Vec::new();
    for trace in rungs {
        checks::not_empty("iterations", trace)?;
        let LadderStep { responsibilities, parents, .. } = &trace[trace.len() - 1];
        let gaussians = [parents.means.view(), parents.variances.view()];
        let (children, weights) = (child_activations.view(), parents.weights.view());
        scenes.push(Scene::new(votes.view(), children, responsibilities.view(), gaussians, weights)?);
    }
    let (x, y) = ranges(&scenes[0].votes());
    let panel = equal_units(x, y, (256.0, 330.0));
    let grid = Grid { columns: 3, panel, gap: (20.0, 72.0), origin: (60.0, 58.0) };
    let title = "What the five rungs make of the same votes";
    let mut chart = grid.canvas("routing-ladder", title, rungs.len(), (26.0, 58.0), 0);
    let mut words = Vec::new();
    for (index, (title, scene)) in RUNGS.into_iter().zip(&scenes).enumerate() {
        let (across, up) = (Axis::new("x_1", x.0, x.1).most(7), Axis::new("x_2", y.0, y.1).most(6));
        let across = if index < 2 { across.bare() } else { across };
        let up = if index % 3 == 0 { up } else { up.bare() };
        let (left, top) = grid.corner(index);
        let mut panel = chart.panel((left, top), grid.panel, across, up);
        scene.draw_taken(&mut panel, x, y);
        panel.note((left, top - 42.0), Ink::new(INK).plain().bold().size(14.0), title);
        let sign = if index == 0 { 'π' } else { 'a' };
        for (j, &weight) in scene.weights.iter().take(3).enumerate() {
            let (from, ink) = (left + 86.0 * j as f64, Ink::new(component(j)).plain().bold().size(12.5));
            panel.note((from, top - 19.0), ink, format!("{sign}_{} {}", letter(j), number(weight, 2)));
            for (share, tint) in [(1.0, PALE), (weight.clamp(0.004, 1.0), component(j))] {
                let ends = [from, from + 72.0 * share].map(|x| panel.at_pixel(x, top - 6.0));
                panel.line_anywhere(ends, Pen::new(tint, 5.0));
            }
        }
        words.push(format!("{title}: {}", scene.weights_in_words()));
        chart.add(panel);
    }
    let (left, top) = grid.corner(5); // the free cell of the grid
    let key = [
        "Dot: a vote of which the parent",
        "takes at least 1/16; stronger",
        "colour: more. Small: a faint child.",
        "Solid ellipse: 1 σ; dashed: 2 σ, if",
        "it fits. Bars: weight π_j of a parent",
        "on rung 1, activation a_j after it.",
    ];
    for (line, words) in key.into_iter().enumerate() {
        let place = (left + 8.0, top + 24.0 + 19.0 * line as f64);
        chart.note(place, Ink::new(INK).plain().size(12.5), words);
    }
    let alt = "For each rung the votes that each parent takes, and an ellipse around the mean of each parent. Weights";
    chart.alt(format!("{alt} of the parents after the last iteration: {}.", words.join("; "))).finish()
}

/// Draws the responsibilities as heat maps, children (rows, from the top) by parents (columns), one panel per iteration.
///
/// `position` is the position to draw, counted from 0. Routings of more than eight iterations show the first and a
/// selection of the others; of very many children, every n-th is drawn. Children are numbered from 1.
///
/// # Errors
///
/// Returns an error if there are no iterations, children or parents or more than 512 parents, if the position does not
/// exist, or if responsibilities differ in shape or are not finite.
pub fn assignments(routing: &Routing, position: usize) -> Result<Figure> {
    let (children, parents) = checks::routing(routing, position)?;
    checks::at_most("the number of parents", parents, 512, "at most 512 in a heat map")?;
    for step in &routing.trace {
        checks::finite("a responsibility", step.responsibilities.iter().copied())?;
    }
    let shown = shown_iterations(routing.trace.len() - 1, 7);
    let every = stride(shown.len() * children * parents, 64_000);
    let rows: Vec<usize> = (0..children).step_by(every).collect();
    let (m, n) = (rows.len() as f64, parents as f64);
    let width = (700.0 / shown.len() as f64 - 16.0).min(36.0 * n).clamp(24.0, 260.0).round();
    let height = (16.0 * m).clamp(110.0, 440.0);
    let grid = Grid { columns: shown.len(), panel: (width, height), gap: (16.0, 0.0), origin: (74.0, 58.0) };
    let title = "Responsibilities by iteration";
    let mut chart = grid.canvas("routing-assignments", title, shown.len(), (100.0, 58.0), 470);
    let few = parents <= 10 && width / n >= 13.0;
    for (column, &t) in shown.iter().enumerate() {
        let x = Axis::new(if column > 0 { "" } else { "parent" }, 0.0, n).no_grid();
        let x = x.ticks(match few {
            true => (0..parents).map(|j| (j as f64 + 0.5, letter(j))).collect(),
            false => [1, parents].map(|j| (j as f64 - 0.5, j.to_string())).to_vec(),
        });
        let y = Axis::new(if column == 0 { "child" } else { "" }, 0.0, m).no_grid();
        let step = if m <= 26.0 { 1 } else { rows.len().div_ceil(12) };
        let numbered = rows.iter().enumerate().step_by(step).filter(|_| column == 0);
        let y = y.ticks(numbered.map(|(row, i)| (m - row as f64 - 0.5, (i + 1).to_string())).collect());
        let mut panel = chart.panel(grid.corner(column), grid.panel, x, y);
        let shares = &routing.trace[t].responsibilities;
        let cells = rows.iter().flat_map(|&i| (0..parents).map(move |j| shares[(position, i, j)]));
        panel.image((0.0, m), (n, 0.0), Image::new(parents, &cells.collect::<Vec<_>>(), 256, true));
        for row in (1..rows.len()).filter(|_| height / m >= 9.0) {
            panel.line([(0.0, row as f64), (n, row as f64)], Pen::new(CARD, 1.2));
        }
        for j in (1..parents).filter(|_| few) {
            panel.line([(j as f64, 0.0), (j as f64, m)], Pen::new(CARD, 2.0));
        }
        let words = if width >= 66.0 { "iteration " } else { "" };
        let corner = grid.corner(column);
        panel.note((corner.0, 44.0), Ink::new(INK).plain().bold(), format!("{words}{}", t + 1));
        chart.add(panel);
    }
    let every = if every > 1 { format!(" (1 child in {every})") } else { String::new() };
    let words = format!("R_{{ij}}: share of each child assigned to each parent{every}");
    chart.note((74.0, 20.0), Ink::new(INK).plain().size(14.0), words);
    chart.heat_scale((grid.corner(shown.len() - 1).0 + width + 24.0, 58.0), height.min(150.0));
    let last = &routing.last().responsibilities;
    let most = |j: usize, i: usize| (0..parents).all(|k| last[(position, i, j)] >= last[(position, i, k)]);
    let mut taken: Vec<(usize, usize)> =
        (0..parents).map(|j| ((0..children).filter(|&i| most(j, i)).count(), j)).collect();
    taken.sort_by_key(|&(count, _)| std::cmp::Reverse(count));
    let name = |j: usize| if few { letter(j) } else { format!("{}", j + 1) };
    let taken = taken.iter().take(if few { parents } else { 3 });
    let taken = taken.map(|&(count, j)| format!("parent {} takes the largest share of {count}", name(j)));
    let alt = format!(
        "A table of coloured cells for each iteration, {children} children by {parents} parents; in the last one {}.",
        taken.collect::<Vec<_>>().join(", ")
    );
    chart.alt(alt).finish()
}

/// Draws the parents' activations and costs and the inverse temperature over the iterations, in three panels.
///
/// `position` is the position to draw, counted from 0. Costs are in nats, before normalisation.
///
/// # Errors
///
/// Returns an error if there are no iterations or parents or more than twelve parents, if the position does not exist, if
/// steps differ in shape, or if a number is not finite or a cost is beyond 1e140.
pub fn routing_curves(routing: &Routing, position: usize) -> Result<Figure> {
    let (_, parents) = checks::routing(routing, position)?;
    checks::at_most("the number of parents", parents, MOST_PARENTS, "at most 12 in curves")?;
    for step in &routing.trace {
        checks::finite("an activation", step.activations.iter().copied())?;
        checks::finite("a cost", step.costs.iter().copied())?;
        checks::finite("an inverse temperature", [step.inverse_temperature])?;
    }
    let along = |value: &dyn Fn(&RoutingStep) -> f64| -> Vec<Point> {
        routing.trace.iter().enumerate().map(|(t, step)| (t as f64 + 1.0, value(step))).collect()
    };
    let activations = (0..parents).map(|j| along(&|step| step.activations[(position, j)]));
    let costs = (0..parents).map(|j| along(&|step| step.costs[(position, j)]));
    let lambda = along(&|step| step.inverse_temperature);
    let curves: [Vec<Vec<Point>>; 3] = [activations.collect(), costs.collect(), vec![lambda]];
    let heights = |row: usize| curves[row].iter().flatten().map(|point| point.1);
    let (low, high) = padded(heights(1), 0.1);
    let hottest = padded(heights(2).chain([0.0]), 0.12).1;
    let shares = [0.0, 0.25, 0.5, 0.75, 1.0].map(|a| (a, number(a, 2))).to_vec();
    let rows = vec![
        (Axis::new("activation a_j", -0.04, 1.04).ticks(shares), 190.0),
        (Axis::new("cost_j (nats)", low, high).most(6), 170.0),
        (Axis::new("inverse temperature λ", hottest.min(0.0), hottest).most(4), 100.0),
    ];
    let count = routing.trace.len();
    let title = "Activations, costs and inverse temperature by iteration";
    let mut chart = Chart::canvas("routing-curves", title, (760.0, 590.0));
    let x = Axis::counted("iteration", 1, count);
    for (row, mut panel) in chart.stack((84.0, 20.0), 560.0, &x, rows).into_iter().enumerate() {
        let tint = |line: usize| if row == 2 { INK } else { component(line) };
        let mut labels = Vec::new();
        if row == 1 && low < 0.0 && high > 0.0 {
            panel.line([(1.0, 0.0), (count as f64, 0.0)], Pen::new(GREY, 1.2).dashed(5.0, 4.0));
        }
        for (index, line) in curves[row].iter().enumerate().rev() {
            panel.marked(line, tint(index), 2.2, 3.4);
            let value = line[count - 1].1;
            let text = match row {
                0 => format!("{}  {}", letter(index), number(value, 2)),
                1 => format!("{}  {}", letter(index), number(value, if value.abs() < 100.0 { 1 } else { 0 })),
                _ => number(value, 3),
            };
            labels.push(Label { at: value, tint: tint(index), text, note: String::new() });
        }
        panel.labels(&labels, false);
        chart.add(panel);
    }
    let ends = curves[0].iter().zip(&curves[1]).enumerate().map(|(j, (activation, cost))| {
        let (from, to) = (activation[0].1, activation[count - 1].1);
        format!("{} from {from:.2} to {to:.2}, its cost to {}", letter(j), number(cost[count - 1].1, 1))
    });
    let alt = "Three panels of curves over the iterations. Activations run";
    chart.alt(format!("{alt}: {}.", ends.collect::<Vec<_>>().join("; "))).finish()
}

/// Draws two log-likelihoods of the votes under the mixture of the parents over the iterations, a panel each with one
/// curve per rung: every child counts 1 in the upper panel, and as much as its activation in the lower one.
///
/// Only EM never lowers its own log-likelihood: rung 1 in the upper panel. A cross marks each iteration that lowers it.
/// Weights are divided by their sum; numbers are those of [`Parents::log_likelihood`], in nats.
///
/// # Errors
///
/// Returns an error if a rung has no iterations, if shapes do not match, or if a number is not finite or out of its range.
pub fn ladder_likelihood(
    votes: &Array3<f64>,
    child_activations: &Array1<f64>,
    rungs: &Ladder,
) -> Result<Figure> {
    let everyone = Array1::ones(child_activations.len());
    let mut panels: [Vec<Vec<Point>>; 2] = Default::default();
    for trace in rungs {
        checks::not_empty("iterations", trace)?;
        for (curves, weights) in panels.iter_mut().zip([&everyone, child_activations]) {
            let point = |(t, step): (usize, &LadderStep)| -> Result<Point> {
                Ok((t as f64 + 1.0, step.parents.log_likelihood(votes, weights)?))
            };
            curves.push(trace.iter().enumerate().map(point).collect::<Result<_>>()?);
        }
    }
    let count = rungs.iter().map(Vec::len).max().unwrap_or(1);
    let names = ["Σ_i log p_i (nats)", "Σ_i a_i log p_i (nats)"];
    let rows = panels.iter().zip(names).map(|(curves, name)| {
        let (low, high) = padded(curves.iter().flatten().map(|point| point.1), 0.07);
        (Axis::new(name, low, high).most(6), 232.0)
    });
    let title = "Two log-likelihoods by iteration on each rung";
    let mut chart = Chart::canvas("ladder-likelihood", title, (860.0, 620.0));
    let x = Axis::counted("iteration", 1, count);
    let mut words = Vec::new();
    let stack = chart.stack((84.0, 64.0), 560.0, &x, rows.collect());
    for (row, (mut panel, curves)) in stack.into_iter().zip(&panels).enumerate() {
        for (index, curve) in curves.iter().enumerate() {
            panel.marked(curve, component(index), 2.2, 3.2);
        }
        let mut labels = Vec::new();
        let objective = ["every child counts 1", "children count a_i"][row];
        for (index, (title, curve)) in RUNGS.into_iter().zip(curves).enumerate() {
            let falls = |pair: &&[Point]| pair[1].1 < pair[0].1 - 1e-9 * pair[0].1.abs().max(1.0);
            let lower: Vec<Point> = curve.windows(2).filter(falls).map(|pair| pair[1]).collect();
            for &point in lower.iter().step_by(stride(lower.len(), 200)) {
                panel.cross(point, 4.6, component(index));
            }
            let drop: f64 = curve.windows(2).map(|pair| (pair[0].1 - pair[1].1).max(0.0)).sum();
            let by = if drop < 0.01 { "< 0.01".to_string() } else { number(drop, 2) };
            let note = match lower.len() {
                0 => "never falls".to_string(),
                1 => format!("falls once, by {by} nats"),
                times => format!("falls {times} times, by {by} nats"),
            };
            let (first, last) = (curve[0].1, curve[curve.len() - 1].1);
            let ends = [first, last].map(|value| number(value, 1));
            words.push(format!("{title} runs from {} to {} and {note} ({objective})", ends[0], ends[1]));
            labels.push(Label { at: last, tint: component(index), text: title.to_string(), note });
        }
        panel.labels(&labels, true);
        chart.add(panel);
    }
    chart.cross(chart.at_pixel(94.0, 22.0), 4.6, GREY);
    let ink = Ink::new(INK).plain();
    chart.note((108.0, 22.0), ink, "this log-likelihood fell");
    chart.note((84.0, 46.0), ink.bold(), "above: every child counts 1; below: child i counts a_i");
    chart.alt(format!("A curve for each rung in two panels, in nats: {}.", words.join("; "))).finish()
}

/// Draws the cost of one element of a pose against the standard deviation of the votes, a curve for each mass (beta_v is 0),
/// and beside it the activation against the cost, a curve for each inverse temperature (beta_a is 0).
///
/// # Errors
///
/// Returns an error if there are no masses or no inverse temperatures, if there are more than six of one, or if one is not
/// from 0 to 1000.
pub fn cost_curves(masses: &[f64], lambdas: &[f64]) -> Result<Figure> {
    for (what, name, values) in
        [("masses", "a mass", masses), ("inverse temperatures", "an inverse temperature", lambdas)]
    {
        checks::not_empty(what, values)?;
        checks::at_most("the number of curves", values.len(), 6, "at most 6")?;
        checks::finite(name, values.iter().copied())?;
        if let Some(&value) = values.iter().find(|value| !(0.0..=1000.0).contains(*value)) {
            return Err(Error::Setting { name, expected: "from 0 to 1000", value });
        }
    }
    const ENDS: (f64, f64) = (0.05, 2.0);
    let most = masses.iter().fold(0.1, |most: f64, &mass| most.max(mass));
    let (low, high) = padded([most * ENDS.0.ln(), most * ENDS.1.ln()], 0.05);
    let grid = Grid { columns: 2, panel: (330.0, 300.0), gap: (96.0, 0.0), origin: (76.0, 62.0) };
    let title = "Cost by spread, and activation by cost";
    let mut chart = grid.canvas("routing-cost", title, 2, (34.0, 92.0), 0);
    let along = |(from, to): (f64, f64)| (0..=160).map(move |i| from + (to - from) * f64::from(i) / 160.0);
    let reds = [4, 1, 2, 0, 3, 5];
    let pen = |index: usize| Pen::new(component(reds[index]), 2.2);

    let x = Axis::new("standard deviation σ of the votes", 0.0, ENDS.1);
    let mut panel = chart.panel(grid.corner(0), grid.panel, x, Axis::new("S ln σ (nats)", low, high).most(7));
    panel.line([(0.0, 0.0), (ENDS.1, 0.0)], Pen::new(GREY, 1.2).dashed(5.0, 4.0));
    for (index, &mass) in masses.iter().enumerate() {
        panel.line(along(ENDS).map(|sigma| (sigma, mass * sigma.ln())), pen(index));
    }
    panel.heading("cost of one element", "negative where σ < 1; more mass, steeper");
    chart.add(panel);
    let x = Axis::new("cost (nats)", -20.0, 20.0);
    let mut panel = chart.panel(grid.corner(1), grid.panel, x, Axis::new("activation a", -0.03, 1.03));
    panel.line([(-20.0, 0.5), (20.0, 0.5)], Pen::new(GREY, 1.2).dashed(5.0, 4.0));
    for (index, &lambda) in lambdas.iter().enumerate() {
        let a = move |cost: f64| 1.0 / (1.0 + (lambda * cost).exp());
        panel.line(along((-20.0, 20.0)).map(|cost| (cost, a(cost))), pen(index));
    }
    panel.heading("activation", "a soft threshold; larger λ, sharper");
    chart.add(panel);
    let low = grid.corner(0).1 + grid.panel.1 + 68.0;
    let lists = [(0, "S", masses), (1, "λ", lambdas)];
    for (column, sign, values) in lists {
        let (left, _) = grid.corner(column);
        let entries =
            values.iter().enumerate().map(|(i, value)| (Mark::Line(pen(i)), format!("{sign} = {value}")));
        legend_row(&mut chart, (left, low), left + grid.panel.0 + 60.0, entries);
    }
    let alt = "Left, curves of S ln σ that all cross 0 at σ = 1, steeper for a larger mass S. Right, falling S-shaped \
               curves of the activation over the cost that all cross one half at cost 0, steeper for a larger λ.";
    chart.alt(alt).finish()
}

/// Routes the votes of [`samples::two_wholes`] with the same lambda in all six iterations, for 81 values of lambda from 0.001
/// to 10, and with the schedule of [`two_wholes_options`]. Returns the lambdas, the activations (lambdas x parents), and the
/// activations of the schedule.
///
/// # Errors
///
/// Returns the errors of [`RoutingInput::route`].
pub fn two_wholes_temperatures(wholes: &Wholes) -> Result<(Vec<f64>, Array2<f64>, Array1<f64>)> {
    let input = wholes.input();
    let lambdas: Vec<f64> = (0..=80).map(|i| 10f64.powf(-3.0 + 0.05 * f64::from(i))).collect();
    let mut activations = Array2::zeros((lambdas.len(), wholes.votes.dim().1));
    for (mut row, &lambda) in activations.rows_mut().into_iter().zip(&lambdas) {
        let inverse_temperature = InverseTemperature::Constant(lambda);
        let options = RoutingOptions { inverse_temperature, ..two_wholes_options(ITERATIONS) };
        row.assign(&input.route(&options)?.activations().row(0));
    }
    let scheduled = input.route(&two_wholes_options(ITERATIONS))?.activations().row(0).to_owned();
    Ok((lambdas, activations, scheduled))
}

/// Draws the parents' final activations (lambdas x parents) over an inverse temperature that is the same in all iterations,
/// and dots at the right for the activations under a schedule.
///
/// # Errors
///
/// Returns an error if there are fewer than two lambdas, no parents or more than twelve, if shapes do not match, if a lambda
/// is not between 1e-12 and 1e12, or if an activation is not from 0 to 1.
pub fn temperatures(lambdas: &[f64], activations: &Array2<f64>, scheduled: &Array1<f64>) -> Result<Figure> {
    let (count, parents) = activations.dim();
    checks::length("the inverse temperatures", count, lambdas.len())?;
    checks::length("the activations of the schedule", parents, scheduled.len())?;
    if count < 2 {
        return Err(Error::Length { name: "the inverse temperatures", expected: 2, found: count });
    }
    if parents == 0 {
        return Err(Error::Empty { what: "parents" });
    }
    checks::at_most("the number of parents", parents, MOST_PARENTS, "at most 12 in curves")?;
    if let Some(&value) = lambdas.iter().find(|value| !(1e-12..=1e12).contains(*value)) {
        let (name, expected) = ("an inverse temperature", "between 1e-12 and 1e12");
        return Err(Error::Setting { name, expected, value });
    }
    checks::shares("an activation", activations.iter().chain(scheduled).copied())?;
    let place = |lambda: f64| lambda.log10();
    let (low, high) = padded(lambdas.iter().map(|&lambda| place(lambda)), 0.01);
    let (first, last) = (low.ceil() as i32, high.floor() as i32);
    let every = ((last - first) / 8 + 1).max(1) as usize;
    let ticks = (first..=last).step_by(every).map(|power| (f64::from(power), power_of_ten(power))).collect();
    let x = Axis::new("inverse temperature λ, the same in all iterations", low, high).ticks(ticks);
    let shares = [0.0, 0.25, 0.5, 0.75, 1.0].map(|a| (a, number(a, 2))).to_vec();
    let y = Axis::new("activation after the last iteration", -0.04, 1.04).ticks(shares);
    let title = "Final activations by inverse temperature";
    let mut chart = Chart::new("routing-temperature", title, (840, 420), x, y).margins(84, 190, 46, 56);
    chart.line([(low, 0.5), (high, 0.5)], Pen::new(GREY, 1.2).dashed(5.0, 4.0));
    for j in 0..parents {
        let curve = lambdas.iter().zip(activations.column(j)).map(|(&lambda, &a)| (place(lambda), a));
        chart.line(curve, Pen::new(component(j), 2.2));
    }
    let mut labels = Vec::new();
    for (j, &a) in scheduled.iter().enumerate() {
        let (right, top) = chart.pixel((high, a));
        chart.line_anywhere(
            [chart.at_pixel(right, top), chart.at_pixel(right + 9.0, top)],
            Pen::new(component(j), 1.0),
        );
        let text = format!("{}  {}", letter(j), number(a, 2));
        labels.push(Label { at: a, tint: component(j), text, note: String::new() });
    }
    chart.labels(&labels, false);
    let (right, _) = chart.pixel((high, 1.0));
    chart.note((right + 14.0, 22.0), Ink::new(GREY).plain().size(12.5), "with the schedule:");
    let ends = (0..parents).map(|j| {
        let [from, to] = [0, count - 1].map(|i| number(activations[(i, j)], 2));
        format!("{} from {from} to {to}, with the schedule {}", letter(j), number(scheduled[j], 2))
    });
    let alt = "A curve for each parent over λ on a logarithmic axis";
    chart.alt(format!("{alt}: {}.", ends.collect::<Vec<_>>().join("; "))).finish()
}

/// One iteration of a routing at one position, in the plane.
pub(super) struct Scene<'a> {
    /// The votes (children x parents x 2).
    votes: ArrayView3<'a, f64>,
    children: ArrayView1<'a, f64>,
    /// The share of each child that each parent takes (children x parents).
    shares: ArrayView2<'a, f64>,
    /// The parents' means and variances (parents x 2).
    means: ArrayView2<'a, f64>,
    variances: ArrayView2<'a, f64>,
    weights: ArrayView1<'a, f64>,
}

impl<'a> Scene<'a> {
    /// Creates a scene, or returns an error if the votes are not in the plane, shapes do not match or a number is not
    /// finite.
    fn new(
        votes: ArrayView3<'a, f64>,
        children: ArrayView1<'a, f64>,
        shares: ArrayView2<'a, f64>,
        [means, variances]: [ArrayView2<'a, f64>; 2],
        weights: ArrayView1<'a, f64>,
    ) -> Result<Scene<'a>> {
        let (count, parents, elements) = votes.dim();
        checks::length("a vote to be drawn in the plane", 2, elements)?;
        if votes.is_empty() {
            return Err(Error::Empty { what: "children or parents" });
        }
        checks::at_most("the number of parents", parents, MOST_PARENTS, "at most 12 in the plane")?;
        checks::shape("the activations of the children", &[count], children.shape())?;
        checks::shape("the responsibilities", &[count, parents], shares.shape())?;
        checks::shape("the means", &[parents, 2], means.shape())?;
        checks::shape("the variances", &[parents, 2], variances.shape())?;
        checks::shape("the weights of the parents", &[parents], weights.shape())?;
        checks::finite("a vote", votes.iter().copied())?;
        checks::finite("the activation of a child", children.iter().copied())?;
        checks::finite("a responsibility", shares.iter().copied())?;
        checks::finite("a mean", means.iter().copied())?;
        checks::finite("a standard deviation", variances.iter().map(|variance| variance.sqrt()))?;
        checks::finite("the weight of a parent", weights.iter().copied())?;
        Ok(Scene { votes, children, shares, means, variances, weights })
    }

    /// Returns the iterations of a routing as scenes. The routing must have been checked, and the position must exist.
    pub fn all(input: &'a RoutingInput, routing: &'a Routing, position: usize) -> Result<Vec<Scene<'a>>> {
        let (positions, children, parents) = routing.trace[0].responsibilities.dim();
        let elements = routing.trace[0].means.dim().2;
        checks::shape("the votes", &[positions, children, parents, elements], input.votes.shape())?;
        checks::shape("the activations", &[positions, children], input.activations.shape())?;
        let of_parents = |values: &'a Array3<f64>| values.index_axis(Along(0), position);
        let scene = |step: &'a RoutingStep| {
            let gaussians = [of_parents(&step.means), of_parents(&step.variances)];
            let (votes, shares) =
                (input.votes.index_axis(Along(0), position), of_parents(&step.responsibilities));
            Scene::new(
                votes,
                input.activations.row(position),
                shares,
                gaussians,
                step.activations.row(position),
            )
        };
        routing.trace.iter().map(scene).collect()
    }

    /// The activations or weights of the parents with their letters, in words.
    fn weights_in_words(&self) -> String {
        let words = self.weights.iter().enumerate().map(|(j, weight)| format!("{} {weight:.2}", letter(j)));
        words.collect::<Vec<_>>().join(", ")
    }

    /// All votes, ordered by child.
    pub fn votes(&self) -> Vec<Point> {
        let (children, parents, _) = self.votes.dim();
        (0..children * parents).map(|at| self.vote(at / parents, at % parents)).collect()
    }

    fn vote(&self, i: usize, j: usize) -> Point {
        (self.votes[(i, j, 0)], self.votes[(i, j, 1)])
    }

    /// Draws votes, ellipses, and means with the parents' letters.
    pub fn draw(&self, chart: &mut Chart, large: bool) {
        let (children, parents, _) = self.votes.dim();
        let size = if large { 1.0 } else { 0.72 };
        for j in 0..parents {
            let strength = self.weights[j].clamp(0.0, 1.0);
            let tint = UNTAKEN.mixed(component(j), 0.25 + 0.75 * strength);
            let wide = size * (1.2 + 1.8 * strength);
            chart.line(self.ellipse(j, 1.0), Pen::new(tint, wide));
            chart.line(self.ellipse(j, 2.0), Pen::new(tint, 0.7 * wide).dashed(6.0, 4.0));
        }
        // Votes are subsampled by child (every n-th). Dots of one look are adjacent, and the strongest are drawn last.
        let every = stride(children * parents, if large { 1000 } else { 200 });
        let look = |i: usize, j: usize| {
            let level = (self.shares[(i, j)].clamp(0.0, 1.0) * 8.0).round() as u8;
            (level, if level > 0 { j } else { 0 }, self.children[i].to_bits(), i, j)
        };
        let mut dots: Vec<_> =
            (0..children).step_by(every).flat_map(|i| (0..parents).map(move |j| look(i, j))).collect();
        dots.sort_unstable();
        for (level, _, _, i, j) in dots {
            let radius = size * (2.2 + 2.6 * self.children[i].clamp(0.0, 1.0));
            chart.scatter(
                [self.vote(i, j)],
                radius,
                UNTAKEN.mixed(component(j), f64::from(level) / 8.0),
                1.0,
            );
        }
        let means: Vec<Point> = (0..parents).map(|j| (self.means[(j, 0)], self.means[(j, 1)])).collect();
        for (j, &mean) in means.iter().enumerate() {
            chart.disc(mean, 6.0 * size, INK);
            chart.dot(mean, 3.8 * size, component(j));
        }
        self.draw_letters(chart, &means, large);
    }

    /// Draws the votes of which a parent takes at least a sixteenth, means with letters, and ellipses; those of two standard
    /// deviations only if they fit into the ranges of x and y.
    fn draw_taken(&self, chart: &mut Chart, x: (f64, f64), y: (f64, f64)) {
        let (children, parents, _) = self.votes.dim();
        for j in 0..parents {
            let tint = UNTAKEN.mixed(component(j), 0.35 + 0.65 * self.weights[j].clamp(0.0, 1.0));
            chart.line(self.ellipse(j, 1.0), Pen::new(tint, 2.0));
            let outer = self.ellipse(j, 2.0);
            if outer.iter().all(|at| (x.0..=x.1).contains(&at.0) && (y.0..=y.1).contains(&at.1)) {
                chart.line(outer, Pen::new(tint, 1.4).dashed(6.0, 4.0));
            }
        }
        let every = stride(children * parents, 200);
        for i in (0..children).step_by(every) {
            for j in (0..parents).filter(|&j| self.shares[(i, j)] >= 1.0 / 16.0) {
                let radius = 1.8 + 2.2 * self.children[i].clamp(0.0, 1.0);
                let share = self.shares[(i, j)].clamp(0.0, 1.0);
                chart.scatter([self.vote(i, j)], radius, UNTAKEN.mixed(component(j), share), 1.0);
            }
        }
        let means: Vec<Point> = (0..parents).map(|j| (self.means[(j, 0)], self.means[(j, 1)])).collect();
        for (j, &mean) in means.iter().enumerate() {
            chart.disc(mean, 4.3, INK);
            chart.dot(mean, 2.7, component(j));
        }
        self.draw_letters(chart, &means, false);
    }

    /// Draws the parents' letters from top to bottom, each moved down if it would overlap another.
    fn draw_letters(&self, chart: &mut Chart, means: &[Point], large: bool) {
        let mut order: Vec<usize> = (0..means.len()).collect();
        order.sort_by(|&a, &b| means[b].1.total_cmp(&means[a].1));
        let mut taken: Vec<Point> = Vec::new();
        for j in order {
            // The letter stands beside a small ellipse, between the 1 σ and 2 σ ellipses, or inside a large one.
            let (left, top) = chart.pixel(means[j]);
            let reach = chart.pixel(self.ellipse(j, 2.0)[0]).0 - left;
            let right = left
                + match reach {
                    ..50.0 => reach.max(7.0) + 6.0,
                    ..80.0 => reach / 2.0 + 6.0,
                    _ => 13.0,
                };
            let near = taken.iter().filter(|(x, _)| (x - right).abs() < 18.0);
            let place =
                near.fold(top, |place, (_, y)| if place < y + 17.0 { place.max(y + 17.0) } else { place });
            taken.push((right, place));
            let ink = Ink::new(component(j)).bold().size(if large { 15.0 } else { 13.0 });
            chart.text(means[j], (right - left, place - top), Side::Right, ink, letter(j));
        }
    }

    fn ellipse(&self, j: usize, deviations: f64) -> Vec<Point> {
        let along =
            |h: usize, share: f64| self.means[(j, h)] + deviations * self.variances[(j, h)].sqrt() * share;
        let angle = |i: i32| std::f64::consts::TAU * f64::from(i) / 50.0;
        (0..=50).map(|i| (along(0, angle(i).cos()), along(1, angle(i).sin()))).collect()
    }
}
