//! Figures of chapter 6: EM routing of votes in the plane.

use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, ArrayView3, Axis as Along};

use super::chapter05::vote_panels;
use super::curves::MOST_PARENTS;
pub use super::curves::{Ladder, RUNGS, cost_curves, ladder_likelihood, routing_curves, temperatures};
use super::{Entry, checks};
use crate::draw::{
    Axis, CARD, Chart, Figure, Grid, INK, Image, Ink, PALE, Pen, Point, Side, Tint, animate, component,
    equal_units, letter, number, ranges, shown_iterations, stride,
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

/// Draws the responsibilities of these children at one position in a panel: a unit of the axes for each child and parent, the first child
/// at the top, with lines between rows and between columns if `lines` says so.
pub(crate) fn draw_shares(
    panel: &mut Chart,
    (shares, position): (&Array3<f64>, usize),
    children: &[usize],
    lines: [bool; 2],
) {
    let parents = shares.dim().2;
    let (m, n) = (children.len() as f64, parents as f64);
    let cells = children.iter().flat_map(|&i| (0..parents).map(move |j| shares[(position, i, j)]));
    panel.image((0.0, m), (n, 0.0), Image::new(parents, &cells.collect::<Vec<_>>(), 256, true));
    for row in (1..children.len()).filter(|_| lines[0]) {
        panel.line([(0.0, row as f64), (n, row as f64)], Pen::new(CARD, 1.2));
    }
    for j in (1..parents).filter(|_| lines[1]) {
        panel.line([(j as f64, 0.0), (j as f64, m)], Pen::new(CARD, 2.0));
    }
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
        draw_shares(&mut panel, (shares, position), &rows, [height / m >= 9.0, few]);
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

/// One iteration of a routing at one position, in the plane.
pub(crate) struct Scene<'a> {
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
    pub fn new(
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
