//! Chapter 6: what a routing goes through, in numbers.

use super::animate::shown_iterations;
use super::chart::{Axis, CARD, Chart, GREY, INK, Ink, Pen, Point, Side, number};
use super::image::{heat, heat_map};
use super::plane::{padded, spread, stride};
use super::routing_plane::{Rung, check_routing};
use super::{Figure, colour, letter};
use crate::error::{Error, Result};
use crate::routing::Routing;

/// Responsibilities as heat maps, children (rows, from above) by parents (columns), a panel an iteration.
///
/// `position` is the one that is drawn, counted from 0. Of more than eight iterations the first and some of the others are
/// shown, of very many children every so manieth. Children are numbered from 1, and only where there are few.
///
/// # Errors
///
/// Returns an error if there are no iterations, children or parents or more than 512 parents, if the position is not there,
/// and if responsibilities differ in their shapes or are not finite.
pub fn assignments(routing: &Routing, position: usize) -> Result<Figure> {
    let (children, parents) = check_routing(routing, position)?;
    if parents > 512 {
        let (name, expected) = ("the number of parents", "at most 512 in a heat map");
        return Err(Error::Setting { name, expected, value: parents as f64 });
    }
    for step in &routing.trace {
        finite("a responsibility", step.responsibilities.iter().copied())?;
    }
    let shown = shown_iterations(routing.trace.len() - 1, 7);
    let every = (shown.len() * children * parents).div_ceil(64_000);
    let rows: Vec<usize> = (0..children).step_by(every).collect();
    let m = rows.len() as f64;
    const LEFT: f64 = 74.0;
    const TOP: f64 = 58.0;
    const GAP: f64 = 16.0;
    let count = shown.len() as f64;
    let width = ((700.0 - GAP * count) / count).min(36.0 * parents as f64).clamp(24.0, 260.0).round();
    let height = (16.0 * m).clamp(110.0, 440.0);
    let right = LEFT + count * (width + GAP);
    let size = (((right + 84.0).max(380.0)) as u32, (TOP + height + 58.0) as u32);
    let few = parents <= 10 && width / parents as f64 >= 13.0;
    let last = &routing.trace[routing.trace.len() - 1].responsibilities;
    let taken = (0..parents).map(|j| {
        let most = |&i: &usize| (0..parents).all(|k| last[(position, i, j)] >= last[(position, i, k)]);
        format!("{} takes most of {}", letter(j), (0..children).filter(most).count())
    });
    let alt = format!(
        "Responsibilities of {parents} parents for {children} children, iteration by iteration; in the last one {}.",
        taken.take(8).collect::<Vec<_>>().join(", ")
    );
    let mut panels = Vec::new();
    for (column, &t) in shown.iter().enumerate() {
        let shares = &routing.trace[t].responsibilities;
        let x = Axis::new(if few || column > 0 { "" } else { "parent" }, 0.0, parents as f64).no_grid();
        let x = match few {
            true => x.ticks((0..parents).map(|j| (j as f64 + 0.5, letter(j))).collect()),
            false => x.ticks([1, parents].map(|j| (j as f64 - 0.5, j.to_string())).to_vec()),
        };
        let y = Axis::new(if column == 0 { "child" } else { "" }, 0.0, m).no_grid();
        let step = if m <= 26.0 { 1 } else { rows.len().div_ceil(12) };
        let labels = rows.iter().enumerate().step_by(step);
        let y = match column {
            0 => y.ticks(labels.map(|(row, i)| (m - row as f64 - 0.5, (i + 1).to_string())).collect()),
            _ => y.ticks(Vec::new()),
        };
        let place = (LEFT + column as f64 * (width + GAP), TOP);
        let mut panel = Chart::new("assignments", size, x, y).panel(place, (width, height));
        if rows.len() * parents * shown.len() <= 1500 {
            for (row, &i) in rows.iter().enumerate() {
                for j in 0..parents {
                    let (x, y) = (j as f64, m - row as f64 - 1.0);
                    panel.block((x, y), (x + 1.0, y + 1.0), heat(shares[(position, i, j)]));
                }
            }
            if height / m >= 9.0 {
                for row in 1..rows.len() {
                    panel.line([(0.0, row as f64), (parents as f64, row as f64)], Pen::new(CARD, 1.2));
                }
            }
            for j in 1..parents {
                panel.line([(j as f64, 0.0), (j as f64, m)], Pen::new(CARD, 2.0));
            }
        } else {
            let cells: Vec<f64> =
                rows.iter().flat_map(|&i| (0..parents).map(move |j| shares[(position, i, j)])).collect();
            panel.image((0.0, m), (parents as f64, 0.0), heat_map(parents, &cells, 256));
        }
        let text =
            if column == 0 || width < 62.0 { format!("{}", t + 1) } else { format!("iteration {}", t + 1) };
        let text = if column == 0 && width >= 62.0 { "iteration 1".to_string() } else { text };
        let ink = Ink::new(INK).plain().bold();
        panel.text((0.0, m), (0.0, -14.0), Side::Right, ink, text);
        panels.push(panel);
    }
    let mut first = panels.remove(0).alt(alt);
    let ink = Ink::new(INK).plain();
    let title = match every {
        1 => "R_{ij}: the share of a child that each parent takes".to_string(),
        _ => format!("R_{{ij}}: the share of a child that each parent takes (1 child in {every})"),
    };
    first.text(first.at_pixel(LEFT, 20.0), (0.0, 0.0), Side::Right, ink.size(14.0), title);
    // The scale, beside the last panel.
    const STEPS: usize = 20;
    let tall = height.min(150.0);
    let (x0, x1) = (right + 8.0, right + 24.0);
    for step in 0..STEPS {
        let bottom = TOP + tall * (1.0 - step as f64 / STEPS as f64);
        let (from, to) = (first.at_pixel(x0, bottom), first.at_pixel(x1, bottom - tall / STEPS as f64));
        first.block(from, to, heat((step as f64 + 0.5) / STEPS as f64));
    }
    let corners = [(x0, TOP), (x1, TOP), (x1, TOP + tall), (x0, TOP + tall), (x0, TOP)];
    let rim: Vec<Point> = corners.into_iter().map(|(x, y)| first.at_pixel(x, y)).collect();
    first.line_anywhere(rim, Pen::new([150, 147, 138], 1.0));
    for (share, text) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
        let at = first.at_pixel(x1 + 7.0, TOP + tall * (1.0 - share));
        first.text(at, (0.0, 0.0), Side::Right, Ink::new(GREY).plain().size(12.5), text);
    }
    first.finish_with(&panels)
}

/// Activations and costs of the parents and the inverse temperature over the iterations, under each other.
///
/// `position` is the one that is drawn, counted from 0. Of more than twelve parents the names are left out. Costs are in
/// nats, before they are normalised.
///
/// # Errors
///
/// Returns an error if there are no iterations or parents or more of them than a figure holds, if the position is not there,
/// if steps differ in their shapes, and if a number is not finite or a cost beyond 1e140.
pub fn routing_curves(routing: &Routing, position: usize) -> Result<Figure> {
    let (_, parents) = check_routing(routing, position)?;
    for step in &routing.trace {
        finite("an activation", step.activations.iter().copied())?;
        finite("a cost", step.costs.iter().copied())?;
        finite("an inverse temperature", [step.inverse_temperature])?;
    }
    let along = |value: &dyn Fn(usize) -> f64| -> Vec<Point> {
        (0..routing.trace.len()).map(|t| (t as f64 + 1.0, value(t))).collect()
    };
    let of_parents = |value: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<Point>> {
        (0..parents).map(|j| along(&|t| value(t, j))).collect()
    };
    let activations = of_parents(&|t, j| routing.trace[t].activations[(position, j)]);
    let costs = of_parents(&|t, j| routing.trace[t].costs[(position, j)]);
    let lambda = vec![along(&|t| routing.trace[t].inverse_temperature)];
    let heights = |lines: &[Vec<Point>]| lines.iter().flatten().map(|point| point.1).collect::<Vec<_>>();
    let (_, hottest) = padded(heights(&lambda).into_iter().chain([0.0]), 0.12);
    let rows = [
        ("activation a_j", (-0.04, 1.04), &activations),
        ("cost_j (nats)", padded(heights(&costs), 0.1), &costs),
        ("λ", (hottest.min(0.0), hottest), &lambda),
    ];
    const SIZE: (u32, u32) = (760, 590);
    const LEFT: f64 = 84.0;
    const WIDTH: f64 = 560.0;
    const TALL: [f64; 3] = [190.0, 170.0, 100.0];
    let count = routing.trace.len() as f64;
    let end = routing.trace.len() - 1;
    let words = (0..parents.min(12)).map(|j| format!("{} {:.2}", letter(j), activations[j][end].1));
    let alt = format!(
        "Activations, costs and inverse temperature over {count} iterations; the activations end at {}.",
        words.collect::<Vec<_>>().join(", ")
    );
    let mut panels = Vec::new();
    let mut top = 20.0;
    for (row, (title, range, lines)) in rows.into_iter().enumerate() {
        let reach = (0.9f64.min(1.0 - 0.02 * count), count + 0.02 * count.max(4.0));
        let x = Axis::new(if row == 2 { "iteration" } else { "" }, reach.0, reach.1);
        let every = routing.trace.len().div_ceil(16);
        let ticks = (1..=routing.trace.len()).step_by(every);
        let name = |t: usize| if row == 2 { t.to_string() } else { String::new() };
        let x = x.ticks(ticks.map(|t| (t as f64, name(t))).collect());
        let y = Axis::new(title, range.0, range.1).most([6, 6, 4][row]);
        let y = match row {
            0 => y.ticks([0.0, 0.25, 0.5, 0.75, 1.0].map(|a| (a, number(a, 2))).to_vec()),
            _ => y,
        };
        let mut panel = Chart::new("routing-curves", SIZE, x, y).panel((LEFT, top), (WIDTH, TALL[row]));
        let tint = |line: usize| if row == 2 { INK } else { colour(line) };
        for (index, line) in lines.iter().enumerate().rev() {
            let thin = lines.len() > 12;
            let pen = Pen::new(tint(index), if thin { 1.2 } else { 2.2 });
            panel.line(line.iter().copied(), pen);
            if !thin && line.len() <= 40 {
                for &point in line {
                    panel.disc(point, 3.4, tint(index));
                }
            }
        }
        if lines.len() <= 12 {
            let wanted: Vec<f64> = lines.iter().map(|line| panel.pixel(line[end]).1).collect();
            let room = (top + 6.0, top + TALL[row] - 2.0);
            for (index, place) in spread(&wanted, 16.0, room).into_iter().enumerate() {
                let value = lines[index][end].1;
                let text = match row {
                    0 => format!("{}  {}", letter(index), number(value, 2)),
                    1 => format!(
                        "{}  {}",
                        letter(index),
                        number(value, if value.abs() < 100.0 { 1 } else { 0 })
                    ),
                    _ => number(value, 3),
                };
                let ink = Ink::new(tint(index)).plain().bold();
                panel.text(panel.at_pixel(LEFT + WIDTH + 14.0, place), (0.0, 0.0), Side::Right, ink, text);
            }
        }
        panels.push(panel);
        top += TALL[row] + 24.0;
    }
    let first = panels.remove(0).alt(alt);
    first.finish_with(&panels)
}

/// How likely the votes are under the mixture of the parents, iteration by iteration, for each rung of the ladder.
///
/// Only EM never lowers it: a cross marks each iteration that does. Log-likelihoods are in nats, as
/// [`LadderStep::log_likelihood`](crate::routing::LadderStep::log_likelihood) has them; from rung 3 on children count by
/// their activation, so compare how curves run and not how high they lie.
///
/// # Errors
///
/// Returns an error if there are no rungs or more than six, if a rung has no iterations, and if a log-likelihood is not
/// finite or beyond 1e140.
pub fn ladder_likelihood(rungs: &[Rung]) -> Result<Figure> {
    if rungs.is_empty() {
        return Err(Error::Empty { what: "rungs" });
    }
    if rungs.len() > 6 {
        let (name, expected) = ("the number of rungs", "at most 6");
        return Err(Error::Setting { name, expected, value: rungs.len() as f64 });
    }
    let mut lines: Vec<Vec<Point>> = Vec::new();
    for rung in rungs {
        if rung.trace.is_empty() {
            return Err(Error::Empty { what: "iterations" });
        }
        finite("a log-likelihood", rung.trace.iter().map(|step| step.log_likelihood))?;
        let point = |(t, step): (usize, &crate::routing::LadderStep)| (t as f64 + 1.0, step.log_likelihood);
        lines.push(rung.trace.iter().enumerate().map(point).collect());
    }
    let falls = |line: &[Point]| -> Vec<Point> {
        let lower = |pair: &[Point]| pair[1].1 < pair[0].1 - 1e-9 * pair[0].1.abs().max(1.0);
        line.windows(2).filter(|pair| lower(pair)).map(|pair| pair[1]).collect()
    };
    let count = lines.iter().map(Vec::len).max().unwrap_or(1);
    let last = count as f64;
    let words = rungs.iter().zip(&lines).map(|(rung, line)| match falls(line).len() {
        0 => format!("{} never falls", rung.title),
        1 => format!("{} falls once", rung.title),
        times => format!("{} falls {times} times", rung.title),
    });
    let alt = format!("Log-likelihood by iteration: {}.", words.collect::<Vec<_>>().join("; "));
    let x = Axis::new("iteration", 1.0 - 0.02 * last.max(4.0), last + 0.02 * last.max(4.0))
        .ticks((1..=count).step_by(count.div_ceil(16)).map(|t| (t as f64, t.to_string())).collect());
    let (low, high) = padded(lines.iter().flatten().map(|point| point.1), 0.07);
    const SIZE: (u32, u32) = (840, 470);
    const RIGHT: u32 = 214;
    let mut chart = Chart::new("ladder-likelihood", SIZE, x, Axis::new("log-likelihood (nats)", low, high))
        .margins(84, RIGHT, 46, 56)
        .alt(alt);
    for (index, line) in lines.iter().enumerate() {
        chart.line(line.iter().copied(), Pen::new(colour(index), 2.2));
        if line.len() <= 40 {
            for &point in line {
                chart.disc(point, 3.2, colour(index));
            }
        }
    }
    for (index, line) in lines.iter().enumerate() {
        // of very many falls every so manieth is marked
        let falls = falls(line);
        for &point in falls.iter().step_by(stride(falls.len(), 200)) {
            chart.cross(point, 4.6, colour(index));
        }
    }
    chart.cross(chart.at_pixel(94.0, 22.0), 4.6, GREY);
    let ink = Ink::new(INK).plain();
    chart.text(
        chart.at_pixel(108.0, 22.0),
        (0.0, 0.0),
        Side::Right,
        ink,
        "the log-likelihood fell: no step of EM does that",
    );
    let wanted: Vec<f64> = lines.iter().map(|line| chart.pixel(line[line.len() - 1]).1).collect();
    let left = f64::from(SIZE.0 - RIGHT) + 22.0;
    for (index, top) in spread(&wanted, 36.0, (54.0, 396.0)).into_iter().enumerate() {
        let end = lines[index][lines[index].len() - 1];
        let from = chart.at_pixel(left - 18.0, chart.pixel(end).1);
        let to = chart.at_pixel(left - 4.0, top);
        chart.line_anywhere([from, to], Pen::new(colour(index), 1.0));
        let ink = Ink::new(colour(index)).plain();
        chart.text(to, (6.0, 0.0), Side::Right, ink.bold(), rungs[index].title);
        let drop: f64 = lines[index].windows(2).map(|pair| (pair[0].1 - pair[1].1).max(0.0)).sum();
        let by = if drop < 0.01 { "< 0.01".to_string() } else { number(drop, 2) };
        let text = match falls(&lines[index]).len() {
            0 => "never falls".to_string(),
            1 => format!("falls once, by {by} nats"),
            times => format!("falls {times} times, by {by} nats"),
        };
        chart.text(to, (6.0, 16.0), Side::Right, Ink::new(GREY).plain().size(12.0), text);
    }
    chart.finish()
}

fn finite(name: &'static str, values: impl IntoIterator<Item = f64>) -> Result<()> {
    match values.into_iter().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(value) => Err(Error::Setting { name, expected: "finite", value }),
    }
}
