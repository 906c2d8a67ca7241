//! Chapter 1: Jensen's inequality, and coins whose labels are known.

use super::chart::{Axis, BLUE, CARD, Chart, GREY, INK, Ink, Pen, Point, Side, VERMILION, number};
use crate::figures::coins::Groups;
use super::coin_path::check_thetas;
use super::plane::check_steps;
use super::surface::{DEPTHS, Scale, Surface};
use super::{Figure, colour, letter, theta};
use crate::coin::{Coins, Experiments};
use crate::em::Fit;
use crate::error::{Error, Result};

/// Jensen's inequality on the logarithm: of X, which is `a` with probability `weight` and `b` otherwise, the logarithm of
/// the mean lies above the mean of the logarithms, which lies on the chord.
///
/// # Errors
///
/// Returns an error if `a` or `b` is not from 1e-100 to 1e100, if both are equal or too close to tell apart on an axis, and if
/// the weight is outside [0, 1].
pub fn jensen_chord(a: f64, b: f64, weight: f64) -> Result<Figure> {
    for (name, value) in [("a", a), ("b", b)] {
        if !(1e-100..=1e100).contains(&value) {
            return Err(Error::Setting { name, expected: "a positive number, from 1e-100 to 1e100", value });
        }
    }
    if a == b {
        return Err(Error::Setting { name: "b", expected: "another number than a", value: b });
    }
    if !(0.0..=1.0).contains(&weight) {
        return Err(Error::Probability { name: "weight", index: 0, value: weight });
    }
    let (low, high) = (a.min(b), a.max(b));
    let width = high - low;
    let (x0, x1) = ((low - 0.25 * width).max(low * 0.5), high + 0.22 * width);
    let (y0, y1) = (x0.ln(), x1.ln());
    let pad = 0.08 * (y1 - y0);
    let mean = weight * a + (1.0 - weight) * b;
    let (log_mean, mean_log) = (mean.ln(), weight * a.ln() + (1.0 - weight) * b.ln());
    let alt = format!(
        "The curve of log x and the chord from x = {a} to x = {b}. At the mean {mean:.3} the curve is at {log_mean:.3}, \
         above the chord at {mean_log:.3}."
    );
    let x = Axis::new("x", x0, x1);
    let y = Axis::new("log x (nats)", y0 - pad, y1 + pad);
    let mut chart = Chart::new("jensen-chord", (760, 440), x, y).alt(alt);
    chart.line([(mean, y0 - pad), (mean, mean_log)], Pen::new(GREY, 1.2).dashed(3.0, 4.0));
    chart.curve(x0, x1, 400, Pen::new(BLUE, 2.6), f64::ln);
    chart.line([(a, a.ln()), (b, b.ln())], Pen::new(VERMILION, 2.2));
    chart.line([(mean, mean_log), (mean, log_mean)], Pen::new(INK, 2.0));
    for (name, value, share) in [("a", a, weight), ("b", b, 1.0 - weight)] {
        chart.disc((value, value.ln()), 5.0, INK);
        let at = (value, value.ln());
        chart.text(
            at,
            (12.0, 13.0),
            Side::Right,
            Ink::new(INK).bold(),
            format!("{name} = {}", trimmed(value)),
        );
        chart.text(at, (12.0, 31.0), Side::Right, Ink::new(INK), format!("probability {}", trimmed(share)));
    }
    chart.disc((mean, log_mean), 5.5, BLUE);
    chart.disc((mean, mean_log), 5.5, VERMILION);
    let upper = format!("log E[X] = {}", number(log_mean, 3));
    chart.text((mean, log_mean), (-10.0, -14.0), Side::Left, Ink::new(BLUE).bold(), upper);
    let lower = format!("E[log X] = {}", number(mean_log, 3));
    chart.text((mean, mean_log), (12.0, 16.0), Side::Right, Ink::new(VERMILION).bold(), lower);
    let at = (x1 + high) / 2.0;
    chart.text((at, at.ln()), (0.0, -18.0), Side::Middle, Ink::new(BLUE), "log x");
    chart.text(
        (mean, y0 - pad),
        (8.0, -12.0),
        Side::Right,
        Ink::new(GREY),
        format!("E[X] = {}", trimmed(mean)),
    );
    chart.finish()
}

/// A number without needless zeros.
fn trimmed(value: f64) -> String {
    let text = number(value, 3);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// The log-likelihood of each coin's theta where the labels are known, a curve a coin, with its maximum.
///
/// # Errors
///
/// Returns an error as [`Experiments::known_maximum`], for more than 100 coins, and for a coin whose experiments have more
/// than 2000 different counts of heads.
pub fn known_likelihood(experiments: &Experiments, labels: &[usize]) -> Result<Figure> {
    let coins = labels.iter().max().map_or(0, |largest| largest.saturating_add(1));
    if coins > 100 {
        let (name, expected) = ("the number of coins, the largest label + 1,", "at most 100 in a figure");
        return Err(Error::Setting { name, expected, value: coins as f64 });
    }
    let maxima = experiments.known_maximum(labels, coins)?;
    let own = of_each_coin(experiments, labels, coins)?;
    let mut curves = Vec::new();
    for (experiments, &theta) in own.iter().zip(&maxima) {
        let groups = Groups::new(experiments)?;
        let at = move |theta: f64| known(&groups, experiments, theta);
        let top = at(theta);
        curves.push((theta, top, at));
    }
    let top = curves.iter().map(|curve| curve.1).fold(f64::NEG_INFINITY, f64::max);
    let low = curves.iter().map(|curve| curve.1).fold(f64::INFINITY, f64::min) - 26.0;
    let pad = 0.14 * (top - low);
    let x = Axis::new("θ, probability of heads", 0.0, 1.0);
    let y = Axis::new("log-likelihood (nats)", low, top + pad);
    let alt = curves.iter().enumerate().map(|(coin, curve)| {
        format!("coin {} is most likely at {:.3}, with {:.3} nats", letter(coin), curve.0, curve.1)
    });
    let alt = format!("Log-likelihood over theta: {}.", alt.collect::<Vec<_>>().join("; "));
    let mut chart = Chart::new("known-likelihood", (760, 440), x, y).alt(alt);
    for (coin, (theta, top, at)) in curves.iter().enumerate() {
        chart.line([(*theta, low), (*theta, *top)], Pen::new(colour(coin), 1.2).dashed(3.0, 4.0));
        chart.curve(0.0, 1.0, 800, Pen::new(colour(coin), 2.6), at);
    }
    for (coin, (theta, top, _)) in curves.iter().enumerate() {
        chart.disc((*theta, *top), 5.5, colour(coin));
        let ink = Ink::new(colour(coin));
        let (_, y) = chart.pixel((*theta, *top));
        let at = chart.at_pixel(chart.pixel((*theta, 0.0)).0.clamp(176.0, 642.0), y);
        chart.text(at, (0.0, -34.0), Side::Middle, ink.bold(), format!("coin {}", letter(coin)));
        let text = format!("maximum {} at {} = {}", number(*top, 3), self::theta(coin), number(*theta, 4));
        chart.text(at, (0.0, -17.0), Side::Middle, ink, text);
    }
    chart.finish()
}

/// The experiments of each coin, of which there is one at least.
fn of_each_coin(experiments: &Experiments, labels: &[usize], coins: usize) -> Result<Vec<Experiments>> {
    let mut heads: Vec<Vec<u64>> = vec![Vec::new(); coins];
    for (&count, &label) in experiments.heads().iter().zip(labels) {
        heads[label].push(count);
    }
    heads.iter().map(|heads| Experiments::new(heads, experiments.tosses())).collect()
}

/// The log-likelihood of one coin's theta by all of these experiments.
fn known(groups: &Groups, experiments: &Experiments, theta: f64) -> f64 {
    match groups.grouped() {
        true => groups.log_likelihood(&Coins { thetas: vec![theta], weights: vec![1.0] }),
        false => experiments.known_log_likelihood(&vec![0; experiments.len()], &[theta]).unwrap_or(f64::NAN),
    }
}

/// The points at which a numerical minimiser evaluated minus the log-likelihood of two coins with known labels, joined
/// and numbered in its order, over isolines of that function, with the minimum in closed form.
///
/// # Errors
///
/// Returns an error as [`Experiments::known_maximum`], for a fit that is not of two coins or has no steps, thetas that are no
/// probabilities, more points than a figure holds, and experiments of more than 2000 different counts of heads.
pub fn minimiser_path(experiments: &Experiments, labels: &[usize], fit: &Fit<Vec<f64>>) -> Result<Figure> {
    check_steps(fit)?;
    let looked_at = fit.kept_models()?;
    looked_at.iter().try_for_each(|thetas| check_thetas(thetas))?;
    if looked_at.len() > 2000 {
        let (name, expected) = ("the number of evaluated points", "at most 2000");
        return Err(Error::Setting { name, expected, value: looked_at.len() as f64 });
    }
    if let Some(thetas) = looked_at.iter().find(|thetas| thetas.len() != 2) {
        return Err(Error::Length { name: "the fit's thetas", expected: 2, found: thetas.len() });
    }
    let minimum = experiments.known_maximum(labels, 2)?;
    let minimum = (minimum[0], minimum[1]);
    let own = of_each_coin(experiments, labels, 2)?;
    let groups = [Groups::new(&own[0])?, Groups::new(&own[1])?];
    let at = |a: f64, b: f64| match groups.iter().any(Groups::grouped) {
        true => known(&groups[0], &own[0], a) + known(&groups[1], &own[1], b),
        false => experiments.known_log_likelihood(labels, &[a, b]).unwrap_or(f64::NAN),
    };
    let best = at(minimum.0, minimum.1);
    let surface = Surface::of(200, at);

    let (x, y) =
        (Axis::new("θ_A, probability of heads", 0.0, 1.0), Axis::new("θ_B, probability of heads", 0.0, 1.0));
    let alt = format!(
        "Minus the log-likelihood over theta_A and theta_B; {} evaluated points lead from ({:.2}, {:.2}) to the minimum \
         at ({:.4}, {:.4}).",
        looked_at.len(),
        looked_at[0][0],
        looked_at[0][1],
        minimum.0,
        minimum.1
    );
    let mut chart = Chart::new("minimiser-path", (720, 600), x, y).margins(72, 116, 20, 56).alt(alt);
    surface.draw_heat(&mut chart, best, 64.0);
    let levels: Vec<f64> = DEPTHS.iter().map(|depth| best - depth).collect();
    for line in surface.isolines(&levels)? {
        chart.line(line, Pen { opacity: 0.45, ..Pen::new(INK, 0.8) });
    }
    let places: Vec<Point> = looked_at.iter().map(|thetas| (thetas[0], thetas[1])).collect();
    chart.line(places.iter().copied(), Pen::new(CARD, 3.6));
    chart.line(places.iter().copied(), Pen::new(VERMILION, 1.4));
    for &place in &places {
        chart.disc(place, 3.6, VERMILION);
    }
    chart.cross(minimum, 7.0, INK);
    for (at, text) in numbered(&chart, &places) {
        let ink = Ink::new(VERMILION).bold().size(12.0);
        chart.text(at, (0.0, 0.0), Side::Middle, ink, text);
    }
    let (dot, cross) = (chart.at_pixel(96.0, 44.0), chart.at_pixel(96.0, 66.0));
    chart.disc(dot, 3.6, VERMILION);
    chart.cross(cross, 6.0, INK);
    let ink = Ink::new(INK);
    let text = format!("evaluated, 1 to {} in this order", places.len());
    chart.text(dot, (14.0, 0.0), Side::Right, ink, text);
    let text = format!(
        "closed-form minimum {} at ({}, {})",
        number(-best, 4),
        number(minimum.0, 4),
        number(minimum.1, 4)
    );
    chart.text(cross, (14.0, 0.0), Side::Right, ink, text);
    surface.draw_scale(
        &mut chart,
        Scale { left: 628.0, top: 60.0, bottom: 540.0, minimum: true },
        best,
        64.0,
    );
    chart.finish()
}

/// Where the numbers of the points go, one text for points that lie on each other: beside each point on the side where
/// least is in the way.
fn numbered(chart: &Chart, places: &[Point]) -> Vec<(Point, String)> {
    let mut groups: Vec<(Point, Vec<usize>)> = Vec::new();
    for (index, &place) in places.iter().enumerate() {
        let (x, y) = chart.pixel(place);
        let near = groups.iter_mut().find(|(other, _)| (x - other.0).hypot(y - other.1) < 9.0);
        match near {
            Some((_, members)) => members.push(index + 1),
            None => groups.push(((x, y), vec![index + 1])),
        }
    }
    // Boxes as middle and half sizes, in pixels.
    let mut taken: Vec<(Point, Point)> = groups.iter().map(|(at, _)| (*at, (5.0, 5.0))).collect();
    let mut texts = Vec::new();
    for (at, members) in &groups {
        let text = runs(members);
        let half = (3.4 * text.chars().count() as f64 + 1.0, 7.0);
        let (across, up) = (half.0 + 7.0, 12.0);
        let sides = [
            (across, -up),
            (-across, -up),
            (across, 0.0),
            (-across, 0.0),
            (0.0, -15.0),
            (across, up),
            (-across, up),
            (0.0, -28.0),
            (across, -26.0),
            (-across, -26.0),
        ];
        let cost = |(dx, dy): Point| {
            let middle = (at.0 + dx, at.1 + dy);
            let overlap = |(other, size): &(Point, Point)| {
                let width = half.0 + size.0 - (middle.0 - other.0).abs();
                let height = half.1 + size.1 - (middle.1 - other.1).abs();
                width.max(0.0) * height.max(0.0)
            };
            let (right, bottom) = chart.pixel((1.0, 0.0));
            let beyond = (middle.0 + half.0 - right).max(0.0) + (middle.1 + half.1 - bottom).max(0.0);
            let far = if dy < -20.0 { 40.0 } else { 0.0 };
            taken.iter().map(overlap).sum::<f64>() + 100.0 * beyond + far
        };
        let (dx, dy) =
            sides.into_iter().min_by(|&a, &b| cost(a).total_cmp(&cost(b))).expect("there are sides");
        let middle = (at.0 + dx, at.1 + dy);
        taken.push((middle, half));
        texts.push((chart.at_pixel(middle.0, middle.1), text));
    }
    texts
}

/// Numbers in ascending order, neighbours joined: `3, 5–7`.
fn runs(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let text = |(first, last): (usize, usize)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}–{last}"),
    };
    runs.into_iter().map(text).collect::<Vec<_>>().join(", ")
}
