//! Chapter 2: the log-likelihood of two coins with hidden labels, and where EM goes on it.

use super::chart::{Axis, CARD, Chart, GREY, INK, Ink, Pen, Point, Side, VERMILION, number};
use crate::figures::coins::Groups;
use super::image::Rgb;
use super::plane::{check_steps, stride};
use super::surface::{DEPTHS, Scale, Surface};
use super::{Figure, NEUTRAL, colour};
use crate::coin::{Coins, Experiments};
use crate::em::Fit;
use crate::error::{Error, Result};

/// How far below the top the colours reach, in nats.
const DEPTH: f64 = 32.0;

/// The two ends of EM paths count as one within this distance in theta.
const SAME_END: f64 = 0.02;

/// Colours of paths, which show on the heat map.
const PATHS: [Rgb; 4] = [VERMILION, INK, [140, 60, 130], [150, 95, 0]];

/// Are they fits of two coins, with thetas in [0, 1] and finite objectives?
fn two_coins<'a>(fits: impl IntoIterator<Item = &'a Fit<Coins>>) -> Result<()> {
    for fit in fits {
        check_steps(fit)?;
        if let Some(&value) = fit.objectives.iter().find(|objective| !objective.is_finite()) {
            return Err(Error::Setting { name: "an objective", expected: "finite", value });
        }
        for coins in fit.kept_models()?.iter().chain([fit.model()]) {
            check_thetas(&coins.thetas)?;
            if coins.thetas.len() != 2 {
                let found = coins.thetas.len();
                return Err(Error::Length { name: "the fit's thetas", expected: 2, found });
            }
        }
    }
    Ok(())
}

/// Are all thetas probabilities?
pub(super) fn check_thetas(thetas: &[f64]) -> Result<()> {
    match thetas.iter().position(|theta| !(0.0..=1.0).contains(theta)) {
        None => Ok(()),
        Some(index) => Err(Error::Probability { name: "the fit's thetas", index, value: thetas[index] }),
    }
}

fn place(coins: &Coins) -> Point {
    (coins.thetas[0], coins.thetas[1])
}

/// The log-likelihood over both thetas, with these mixing weights.
fn log_likelihood(experiments: &Experiments, weights: &[f64], n: usize) -> Result<Surface> {
    Coins::new(&[0.5, 0.5], weights)?;
    let groups = Groups::new(experiments)?;
    Ok(Surface::of(n, |a, b| groups.log_likelihood(&Coins { thetas: vec![a, b], weights: weights.to_vec() })))
}

fn axes() -> (Axis, Axis) {
    let axis = |letter: char| Axis::new(format!("θ_{letter}, probability of heads"), 0.0, 1.0).no_grid();
    (axis('A'), axis('B'))
}

/// The log-likelihood of two coins with hidden labels over theta_A and theta_B, as colours and isolines, with the path of
/// each fit on it and the diagonal theta_A = theta_B, which EM never leaves.
///
/// The mixing weights are those of the first fit's last model; without a fit the coins are taken equally often.
///
/// # Errors
///
/// Returns an error for a fit that is not of two coins or has no steps, thetas or weights that are no probabilities, an
/// objective that is not finite, more fits than a figure holds, and experiments of more than 2000 different counts of heads.
pub fn surface(experiments: &Experiments, fits: &[&Fit<Coins>]) -> Result<Figure> {
    two_coins(fits.iter().copied())?;
    if fits.len() > 100 {
        let (name, expected) = ("the number of fits", "at most 100");
        return Err(Error::Setting { name, expected, value: fits.len() as f64 });
    }
    let weights = fits.first().map_or(vec![0.5, 0.5], |fit| fit.model().weights.clone());
    let grid = log_likelihood(experiments, &weights, 160)?;
    let highest = fits.iter().map(|fit| fit.objective()).fold(grid.highest, f64::max);
    let alt = fits.iter().map(|fit| {
        let ((a, b), (c, d)) = (place(&fit.models[0]), place(fit.model()));
        format!("from ({a:.2}, {b:.2}) to ({c:.3}, {d:.3}) in {} iterations", fit.iterations())
    });
    let alt = format!(
        "The log-likelihood over theta_A and theta_B; where both are equal there is a dashed diagonal.{}{}",
        if fits.is_empty() { "" } else { " EM goes " },
        alt.collect::<Vec<_>>().join("; ")
    );
    let (x, y) = axes();
    let mut chart = Chart::new("surface", (720, 600), x, y).margins(72, 116, 20, 56).alt(alt);
    draw_ground(&mut chart, &grid, highest)?;
    for (index, fit) in fits.iter().enumerate() {
        let colour = PATHS[index % PATHS.len()];
        let places: Vec<Point> = fit.models.iter().map(place).collect();
        chart.line(places.iter().copied(), Pen::new(CARD, 5.0));
        chart.line(places.iter().copied(), Pen::new(colour, 2.2));
        for &place in places.iter().step_by(stride(places.len(), 1000)) {
            chart.dot(place, 3.2, colour);
        }
        let (start, end) = (places[0], places[places.len() - 1]);
        chart.ring(start, 5.0, colour);
        chart.cross(end, 6.0, colour);
        let ink = Ink::new(colour).bold();
        let text = format!("start ({}, {})", number(start.0, 2), number(start.1, 2));
        let down = if start.1 < 0.06 { -20.0 } else { 20.0 };
        match start.0 {
            x if x < 0.12 => chart.text(start, (6.0, down), Side::Right, ink, text),
            x if x > 0.88 => chart.text(start, (-6.0, down), Side::Left, ink, text),
            _ => chart.text(start, (0.0, down), Side::Middle, ink, text),
        }
        let text = format!("({}, {})", number(end.0, 3), number(end.1, 3));
        let (across, side) = if end.0 > 0.82 { (-12.0, Side::Left) } else { (12.0, Side::Right) };
        let down = if end.1 < 0.06 { -20.0 } else { 0.0 };
        chart.text(end, (across, down - 2.0), side, ink, text);
        let text = format!("{} nats", number(fit.objective(), 3));
        chart.text(end, (across, down + 17.0), side, ink, text);
    }
    chart.finish()
}

/// Heat map, isolines, diagonal and scale.
fn draw_ground(chart: &mut Chart, grid: &Surface, highest: f64) -> Result<()> {
    grid.draw_heat(chart, highest, DEPTH);
    let levels: Vec<f64> = DEPTHS.iter().map(|depth| highest - depth).collect();
    for line in grid.isolines(&levels)? {
        chart.line(line, Pen { opacity: 0.45, ..Pen::new(INK, 0.8) });
    }
    chart.line([(0.0, 0.0), (1.0, 1.0)], Pen::new(NEUTRAL, 1.4).dashed(5.0, 5.0));
    chart.text((0.16, 0.16), (10.0, 12.0), Side::Right, Ink::new(INK), "diagonal θ_A = θ_B");
    grid.draw_scale(chart, Scale { left: 628.0, top: 60.0, bottom: 540.0, minimum: false }, highest, DEPTH);
    Ok(())
}

/// Where EM ends from each start: a mark at the start, in the colour of its end.
///
/// Ends within 0.02 of each other in both thetas are one; the legend counts the starts that lead to each.
///
/// # Errors
///
/// Returns an error if there are no fits or more than 20,000, for one that is not of two coins or has no steps, thetas or
/// weights that are no probabilities, an objective that is not finite, and experiments of more than 2000 different counts of
/// heads.
pub fn starts(experiments: &Experiments, fits: &[Fit<Coins>]) -> Result<Figure> {
    let Some(first) = fits.first() else { return Err(Error::Empty { what: "fits" }) };
    if fits.len() > 20_000 {
        let (name, expected) = ("the number of fits", "at most 20000");
        return Err(Error::Setting { name, expected, value: fits.len() as f64 });
    }
    two_coins(fits)?;
    let grid = log_likelihood(experiments, &first.model().weights, 160)?;
    let mut ends: Vec<(&Fit<Coins>, usize)> = Vec::new();
    let mut member = Vec::with_capacity(fits.len());
    for fit in fits {
        let (a, b) = place(fit.model());
        let same = |other: &Fit<Coins>| {
            let (c, d) = place(other.model());
            (a - c).abs().max((b - d).abs()) <= SAME_END
        };
        let end = ends.iter().position(|(other, _)| same(other)).unwrap_or_else(|| {
            ends.push((fit, 0));
            ends.len() - 1
        });
        let (best, count) = &mut ends[end];
        *count += 1;
        if fit.objective() > best.objective() {
            *best = fit;
        }
        member.push(end);
    }
    // The best ends take the first colours, equal ones in the order of theta_A.
    let mut order: Vec<usize> = (0..ends.len()).collect();
    let rank = |end: usize| ((-1e6 * ends[end].0.objective()).round(), -ends[end].0.model().thetas[0]);
    order.sort_by(|&a, &b| rank(a).partial_cmp(&rank(b)).unwrap_or(std::cmp::Ordering::Equal));
    let tint = |end: usize| colour(order.iter().position(|&other| other == end).unwrap_or(0));
    let alt = order.iter().map(|&end| {
        let (fit, count) = ends[end];
        let (a, b) = place(fit.model());
        format!("{count} end at ({a:.3}, {b:.3}) with {:.3} nats", fit.objective())
    });
    let alt = format!("Starts of EM over theta_A and theta_B: {}.", alt.collect::<Vec<_>>().join("; "));
    let (x, y) = axes();
    let mut chart = Chart::new("starts", (860, 600), x, y).margins(72, 256, 20, 56).alt(alt);
    let levels: Vec<f64> = DEPTHS.iter().map(|depth| grid.highest - depth).collect();
    for line in grid.isolines(&levels)? {
        chart.line(line, Pen { opacity: 0.3, ..Pen::new(INK, 0.8) });
    }
    for &end in &order {
        for (fit, _) in fits.iter().zip(&member).filter(|(_, member)| **member == end) {
            chart.dot(place(&fit.models[0]), if fits.len() > 900 { 2.2 } else { 4.2 }, tint(end));
        }
    }
    for &end in &order {
        chart.disc(place(ends[end].0.model()), 9.0, INK);
        chart.dot(place(ends[end].0.model()), 6.5, tint(end));
    }
    let ink = Ink::new(INK).plain();
    let mut top = 40.0;
    for &end in order.iter().take(8) {
        let (fit, count) = ends[end];
        let (a, b) = place(fit.model());
        let at = chart.at_pixel(632.0, top);
        chart.disc(at, 9.0, INK);
        chart.dot(at, 6.5, tint(end));
        let text = format!("ends at ({}, {})", number(a, 3), number(b, 3));
        chart.text(at, (18.0, 0.0), Side::Right, ink.bold(), text);
        chart.text(at, (18.0, 18.0), Side::Right, ink, format!("{} nats", number(fit.objective(), 3)));
        let text = format!("from {count} {}", if count == 1 { "start" } else { "starts" });
        chart.text(at, (18.0, 36.0), Side::Right, ink, text);
        top += 76.0;
    }
    let at = chart.at_pixel(622.0, top);
    let grey = Ink::new(GREY).plain().size(12.0);
    chart.text(at, (0.0, 0.0), Side::Right, grey, "Lines: equal log-likelihood.");
    chart.finish()
}
