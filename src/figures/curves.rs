//! Curves of routing: activations, costs and log-likelihoods over the iterations, the spread and lambda.

use ndarray::{Array1, Array2, Array3};

use super::checks;
use crate::draw::{
    Axis, Chart, Figure, GREY, Grid, INK, Ink, Label, Mark, Pen, Point, component, legend_row, letter,
    number, padded, power_of_ten, stride,
};
use crate::error::{Error, Result};
use crate::routing::{LadderStep, Routing, RoutingStep};

/// The titles of the ladder's rungs, in order.
pub const RUNGS: [&str; 5] = [
    "1: Gaussian mixture",
    "2: activations",
    "3: weighted children",
    "4: cost counts mass",
    "final: M-step first",
];

/// The maximum number of parents that can be told apart.
pub(super) const MOST_PARENTS: usize = 12;

/// The steps of each rung of the ladder.
pub type Ladder = [Vec<LadderStep>; 5];

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
        (Axis::new("λ", hottest.min(0.0), hottest).most(4), 100.0),
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
/// Weights are divided by their sum; numbers are those of [`Parents::log_likelihood`](crate::routing::Parents::log_likelihood), in nats.
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
    let names = ["ℓ (nats)", "ℓ_a (nats)"];
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
