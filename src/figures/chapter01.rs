//! Figures of chapter 1: Jensen's inequality, and coins with known labels.

use super::coins::{Groups, UNIT, inside, path, theta};
use super::{Entry, checks};
use crate::coin::Experiments;
use crate::draw::{
    Axis, BLUE, CARD, Chart, Field, Figure, GREEN, GREY, INK, Ink, Pen, Point, Scale, Side, Tint, VERMILION,
    component, draw_scale, extent, letter, number, padded, trimmed,
};
use crate::em::Fit;
use crate::error::{Error, Result};

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[
    ("jensen-chord", || jensen_chord(1.0, 6.0, 0.6)),
    ("jensen-tangent", || jensen_tangent(&[1.0, 2.0, 4.0, 6.0, 9.0], &[0.3, 0.25, 0.2, 0.15, 0.1])),
    ("known-likelihood", || {
        let (experiments, labels) = Experiments::blog_known();
        known_likelihood(&experiments, &labels)
    }),
    ("minimiser-path", || {
        let (experiments, labels) = Experiments::blog_known();
        minimiser_path(&experiments, &labels, &experiments.minimise_known(&labels, &[0.5, 0.5])?)
    }),
];

/// Draws Jensen's inequality for the logarithm. X is `a` with probability `weight` and `b` otherwise: `log E[X]` on the curve
/// lies above `E[log X]` on the chord.
///
/// # Errors
///
/// Returns an error if `a` or `b` is not from 1e-100 to 1e100, if they are equal or too close to tell apart on an axis, or
/// if the weight is outside [0, 1].
pub fn jensen_chord(a: f64, b: f64, weight: f64) -> Result<Figure> {
    for (name, value) in [("a", a), ("b", b)] {
        if !(1e-100..=1e100).contains(&value) {
            return Err(Error::Setting { name, expected: "a positive number, from 1e-100 to 1e100", value });
        }
    }
    if a == b {
        return Err(Error::Setting { name: "b", expected: "different from a", value: b });
    }
    if !(0.0..=1.0).contains(&weight) {
        return Err(Error::Probability { name: "weight", index: 0, value: weight });
    }
    let (low, high) = (a.min(b), a.max(b));
    let (x0, x1) = ((low - 0.25 * (high - low)).max(low * 0.5), high + 0.22 * (high - low));
    let pad = 0.08 * (x1.ln() - x0.ln());
    let (y0, y1) = (x0.ln() - pad, x1.ln() + pad);
    let mean = weight * a + (1.0 - weight) * b;
    let (curve, chord) = ((mean, mean.ln()), (mean, weight * a.ln() + (1.0 - weight) * b.ln()));
    let short = |value| trimmed(value, 3);
    let (from, to, at, below, above) =
        (short(a), short(b), short(mean), number(chord.1, 3), number(curve.1, 3));
    let alt = format!(
        "A blue curve, log x, bulges above an orange chord from x = {from} to x = {to}. A vertical line at x = {at} meets \
         the chord at {below} and the curve at {above}."
    );
    let title = "Jensen's inequality: the logarithm lies above its chord";
    let (x, y) = (Axis::new("x", x0, x1), Axis::new("log x (nats)", y0, y1));
    let mut chart = Chart::new("jensen-chord", title, (760, 440), x, y).alt(alt);
    chart.line([(mean, y0), chord], Pen::new(GREY, 1.2).dashed(3.0, 4.0));
    chart.curve(x0, x1, 400, Pen::new(BLUE, 2.6), f64::ln);
    chart.line([(a, a.ln()), (b, b.ln())], Pen::new(VERMILION, 2.2));
    chart.line([chord, curve], Pen::new(INK, 2.0));
    for (name, x, share) in [("a", a, weight), ("b", b, 1.0 - weight)] {
        chart.disc((x, x.ln()), 5.0, INK);
        chart.label((x, x.ln()), (12.0, 13.0), Ink::new(INK).bold(), format!("{name} = {}", short(x)));
        chart.label((x, x.ln()), (12.0, 31.0), Ink::new(INK), format!("probability {}", short(share)));
    }
    chart.disc(curve, 5.5, BLUE);
    chart.disc(chord, 5.5, VERMILION);
    chart.label(curve, (-10.0, -14.0), Ink::new(BLUE).bold(), format!("log E[X] = {above}"));
    chart.label(chord, (12.0, 16.0), Ink::new(VERMILION).bold(), format!("E[log X] = {below}"));
    let end = (x1 + high) / 2.0;
    chart.label((end, end.ln()), (0.0, -18.0), Ink::new(BLUE), "log x");
    chart.label((mean, y0), (8.0, -12.0), Ink::new(GREY), format!("E[X] = {at}"));
    chart.finish()
}

/// Draws the proof of Jensen's inequality for the logarithm. X takes `values` with `probabilities`: the tangent at the mean of X lies
/// above the curve, and the mean of the gaps between both is `log E[X] - E[log X]`.
///
/// # Errors
///
/// Returns an error if there are no values or more than 20, if a value is not from 1e-100 to 1e100, if the values are equal
/// or too close to tell apart on an axis, or if the probabilities are not one per value, not in [0, 1] or do not add up
/// to 1.
pub fn jensen_tangent(values: &[f64], probabilities: &[f64]) -> Result<Figure> {
    checks::not_empty("values", values)?;
    checks::at_most("the number of values", values.len(), 20, "at most 20 in a figure")?;
    checks::length("probabilities", values.len(), probabilities.len())?;
    if let Some(&value) = values.iter().find(|value| !(1e-100..=1e100).contains(*value)) {
        return Err(Error::Setting {
            name: "a value",
            expected: "a positive number, from 1e-100 to 1e100",
            value,
        });
    }
    if let Some(index) = probabilities.iter().position(|share| !(0.0..=1.0).contains(share)) {
        return Err(Error::Probability { name: "probabilities", index, value: probabilities[index] });
    }
    let sum: f64 = probabilities.iter().sum();
    let is_one = (sum - 1.0).abs() <= 1e-9; // false for NaN
    if !is_one {
        return Err(Error::NotNormalised { name: "probabilities", sum });
    }
    let (low, high) = extent(values.iter().copied());
    if low == high {
        return Err(Error::Setting { name: "the values", expected: "not all equal", value: low });
    }
    let average = |f: fn(f64) -> f64| values.iter().zip(probabilities).map(|(&x, p)| p * f(x)).sum::<f64>();
    let (mean, mean_log) = (average(|x| x), average(f64::ln));
    let tangent = |x: f64| mean.ln() + (x - mean) / mean;
    let (x0, x1) = ((low - 0.1 * (high - low)).max(low * 0.6), high + 0.1 * (high - low));
    let (y0, y1) = padded([x0.ln(), tangent(x1), tangent(x0), mean_log], 0.1);
    let (at, below, above) = (trimmed(mean, 3), number(mean_log, 3), number(mean.ln(), 3));
    let alt = format!(
        "A blue curve, log x, lies below a green line that touches it at x = {at}, height {above}. Dashed lines join {} discs \
         on the curve to the line above them. Below the point of contact an orange disc marks the height {below}.",
        values.len()
    );
    let title = "Jensen's inequality: the logarithm lies below its tangent";
    let (x, y) = (Axis::new("x", x0, x1), Axis::new("log x (nats)", y0, y1));
    let mut chart = Chart::new("jensen-tangent", title, (760, 440), x, y).alt(alt);
    chart.line([(mean, y0), (mean, mean_log)], Pen::new(GREY, 1.2).dashed(3.0, 4.0));
    chart.curve(x0, x1, 400, Pen::new(BLUE, 2.6), f64::ln);
    chart.line([(x0, tangent(x0)), (x1, tangent(x1))], Pen::new(GREEN, 2.2));
    chart.line([(mean, mean_log), (mean, mean.ln())], Pen::new(INK, 2.0));
    for (&x, &share) in values.iter().zip(probabilities) {
        chart.line([(x, x.ln()), (x, tangent(x))], Pen::new(INK, 1.4).dashed(3.0, 3.0));
        chart.disc((x, x.ln()), 5.0, INK);
        chart.label((x, x.ln()), (12.0, 14.0), Ink::new(INK), trimmed(share, 3));
    }
    chart.disc((mean, mean.ln()), 5.5, BLUE);
    chart.disc((mean, mean_log), 5.5, VERMILION);
    chart.label((mean, mean.ln()), (-10.0, -14.0), Ink::new(BLUE).bold(), format!("log E[X] = {above}"));
    chart.label((mean, mean_log), (12.0, 16.0), Ink::new(VERMILION).bold(), format!("E[log X] = {below}"));
    let end = x1 - 0.12 * (x1 - x0);
    chart.label((end, tangent(end)), (-10.0, -14.0), Ink::new(GREEN).bold(), "tangent at E[X]");
    chart.label((x1, x1.ln()), (-6.0, -16.0), Ink::new(BLUE), "log x");
    chart.label((mean, y0), (8.0, -12.0), Ink::new(GREY), format!("E[X] = {at}"));
    chart.finish()
}

/// Draws the log-likelihood of each coin's theta with known labels, one curve per coin, with its maximum.
///
/// # Errors
///
/// Returns the errors of [`Experiments::known_maximum`], and an error for more than 100 coins or if one coin's experiments
/// have more than 2000 distinct counts of heads.
pub fn known_likelihood(experiments: &Experiments, labels: &[usize]) -> Result<Figure> {
    let coins = labels.iter().max().map_or(0, |largest| largest.saturating_add(1));
    checks::at_most("the number of coins, the largest label + 1,", coins, 100, "at most 100 in a figure")?;
    let maxima = experiments.known_maximum(labels, coins)?;
    let curves = Groups::of_coins(experiments, labels, coins)?;
    let tops: Vec<Point> = curves.iter().zip(maxima).map(|(curve, x)| (x, curve.of_one_coin(x))).collect();
    let (lowest, highest) = extent(tops.iter().map(|top| top.1));
    let low = lowest - 26.0;
    let x = Axis::new("θ, probability of heads", 0.0, 1.0);
    let y = Axis::new("log-likelihood (nats)", low, highest + 0.14 * (highest - low));
    let told = |(coin, top): (usize, &Point)| {
        format!("maximum {} at {} = {}", number(top.1, 3), theta(coin), number(top.0, 4))
    };
    let told: Vec<String> = tops.iter().enumerate().map(told).collect();
    let alt = told.join(", ").replace(['_', '{', '}'], "");
    let alt = format!("A curve for each coin, which falls off to both sides of its maximum: {alt}.");
    let title = "Known labels: the log-likelihood of each coin";
    let mut chart = Chart::new("known-likelihood", title, (760, 440), x, y).alt(alt);
    for (coin, (&top, curve)) in tops.iter().zip(&curves).enumerate() {
        chart.line([(top.0, low), top], Pen::new(component(coin), 1.2).dashed(3.0, 4.0));
        chart.curve(0.0, 1.0, 800, Pen::new(component(coin), 2.6), |theta| curve.of_one_coin(theta));
    }
    for (coin, (&top, text)) in tops.iter().zip(told).enumerate() {
        chart.disc(top, 5.5, component(coin));
        // far enough from the edges that the longer text does not cross them
        let above = chart.at_pixel(chart.pixel(top).0.clamp(204.0, 604.0), chart.pixel(top).1);
        let ink = Ink::new(component(coin));
        chart.label(above, (0.0, -34.0), ink.bold(), format!("coin {}", letter(coin)));
        chart.label(above, (0.0, -17.0), ink, text);
    }
    chart.finish()
}

/// The heat map's colours reach this many nats above the minimum.
const DEPTH: f64 = 64.0;

/// The muted colour of points that did not lower the value.
const TRIAL: Tint = Tint::new([84, 92, 92], [150, 164, 166]);

/// The side length of the inset around the minimum, in theta and in pixels.
const INSET: (f64, f64) = (0.1, 200.0);

/// A numerical minimiser's search for the thetas of two coins with known labels.
struct Search {
    /// The experiments of each coin.
    groups: Vec<Groups>,
    /// The maximum of the log-likelihood in closed form, and its position.
    best: f64,
    minimum: Point,
    /// The points that lowered the best value so far (`accepted`), and the others (`trials`).
    accepted: Vec<Point>,
    trials: Vec<Point>,
}

/// Draws the path of a numerical minimiser over the negative log-likelihood of two coins with known labels.
///
/// Function evaluations that lowered the best value so far are joined and numbered from 0, the start; the others are small
/// rings. An inset enlarges the neighbourhood of the closed-form minimum.
///
/// # Errors
///
/// Returns the errors of [`Experiments::known_maximum`], and an error if the fit is not of two coins or has no steps, if
/// thetas are not probabilities, or for more than 2000 points or 2000 distinct counts of heads.
pub fn minimiser_path(experiments: &Experiments, labels: &[usize], fit: &Fit<Vec<f64>>) -> Result<Figure> {
    let places = path(fit, |thetas| thetas)?;
    checks::at_most("the number of evaluated points", places.len(), 2000, "at most 2000")?;
    let maximum = experiments.known_maximum(labels, 2)?;
    let groups = Groups::of_coins(experiments, labels, 2)?;
    let best = groups.iter().zip(&maximum).map(|(groups, &theta)| groups.of_one_coin(theta)).sum();
    let (mut accepted, mut trials, mut highest) = (Vec::new(), Vec::new(), f64::NEG_INFINITY);
    for (place, &objective) in places.into_iter().zip(&fit.objectives) {
        let better = objective > highest;
        if better { &mut accepted } else { &mut trials }.push(place);
        highest = highest.max(objective);
    }
    let search = Search { groups, best, minimum: (maximum[0], maximum[1]), accepted, trials };

    let (last, trials) = (search.accepted.len() - 1, search.trials.len());
    let minimum = [-best, maximum[0], maximum[1]].map(|value| number(value, 4));
    let minimum = format!("minimum {} at ({}, {})", minimum[0], minimum[1], minimum[2]);
    let alt = format!(
        "Contour lines close in on the {minimum}. A line with {} discs leads there from ({:.2}, {:.2}), in ever smaller steps; \
         {trials} small rings lie apart from it. An inset shows its end four times as large.",
        last + 1,
        search.accepted[0].0,
        search.accepted[0].1
    );
    let title = "Known labels: the path of a numerical minimiser";
    let axis = |coin| Axis::new(format!("{}, probability of heads", theta(coin)), -0.03, 1.03).no_grid();
    let chart = Chart::new("minimiser-path", title, (872, 640), axis(0), axis(1));
    let mut chart = chart.margins(72, 248, 64, 56).alt(alt);
    let around = |middle: f64| (middle - INSET.0 / 2.0).clamp(0.0, 1.0 - INSET.0);
    let [x, y] = [around(maximum[0]), around(maximum[1])].map(|low| (low, low + INSET.0));
    // steps inside the inset are numbered there
    let outside = |(a, b): Point| !((x.0..=x.1).contains(&a) && (y.0..=y.1).contains(&b));
    search.draw(&mut chart, (UNIT, UNIT), outside)?;
    let axis = |(low, high)| Axis::new("", low, high).ticks(Vec::new());
    let mut inset = chart.panel((652.0, 384.0), (INSET.1, INSET.1), axis(x), axis(y));
    search.draw(&mut inset, (x, y), |at| !outside(at))?;
    for chart in [&mut chart, &mut inset] {
        let corners = [(x.0, y.0), (x.1, y.0), (x.1, y.1), (x.0, y.1), (x.0, y.0)];
        chart.line_anywhere(corners, Pen::new(INK, 1.0));
    }
    let ink = Ink::new(INK).plain();
    chart.note((652.0, 368.0), ink.size(12.0), "near the minimum, 4 ×");
    let marks = [(82.0, 20.0), (82.0, 44.0), (400.0, 20.0)].map(|(x, y)| chart.at_pixel(x, y));
    chart.disc(marks[0], 3.6, VERMILION);
    chart.cross(marks[1], 5.0, INK);
    chart.ring(marks[2], 3.0, TRIAL);
    chart.label(marks[0], (14.0, 0.0), ink, format!("steps 0 to {last} (each a new lowest value)"));
    chart.label(marks[1], (14.0, 0.0), ink, format!("closed-form {minimum}"));
    chart.label(marks[2], (14.0, 0.0), ink, format!("rejected trial points: {trials}"));
    let scale = Scale { left: 652.0, top: 84.0, bottom: 342.0, name: "minimum", sign: "+" };
    draw_scale(&mut chart, scale, DEPTH);
    chart.add(inset);
    chart.finish()
}

impl Search {
    /// Draws the part of the search within the ranges `x` and `y`, on the log-likelihood's heat map and contour lines.
    fn draw(
        &self,
        chart: &mut Chart,
        (x, y): ((f64, f64), (f64, f64)),
        numbered: impl Fn(Point) -> bool,
    ) -> Result<()> {
        const N: usize = 120;
        let along = |groups: &Groups, (low, high): (f64, f64)| -> Vec<f64> {
            let place = |i| low + (high - low) * i as f64 / (N - 1) as f64;
            (0..N).map(|i| groups.of_one_coin(inside(place(i)))).collect()
        };
        let (a, b) = (along(&self.groups[0], x), along(&self.groups[1], y));
        let field = Field::new(N, x, y, (0..N * N).map(|i| a[i % N] + b[i / N]).collect());
        field.draw_heat(chart, self.best, DEPTH);
        field.draw_depths(chart, self.best, 0.45)?;
        let inside = |&&(a, b): &&Point| (x.0..=x.1).contains(&a) && (y.0..=y.1).contains(&b);
        self.trials.iter().filter(inside).for_each(|&at| chart.ring(at, 3.0, TRIAL));
        chart.cross(self.minimum, 5.0, INK);
        chart.haloed(&self.accepted, Pen::new(VERMILION, 1.6));
        chart.scatter(self.accepted.iter().copied(), 5.1, CARD, 1.0);
        chart.scatter(self.accepted.iter().copied(), 3.6, VERMILION, 1.0);
        self.number(chart, numbered);
        Ok(())
    }

    /// Writes each step's number beside it, where there is the most room. Steps at the same position share a text.
    fn number(&self, chart: &mut Chart, numbered: impl Fn(Point) -> bool) {
        let pixels: Vec<Point> = self.accepted.iter().map(|&at| chart.pixel(at)).collect();
        let apart = |a: Point, b: Point| (a.0 - b.0).hypot(a.1 - b.1);
        let mut taken: Vec<Point> = pixels.clone();
        for pair in pixels.windows(2) {
            let along = |i: i32| pair[0].0 + (pair[1].0 - pair[0].0) * f64::from(i) / 8.0;
            let up = |i: i32| pair[0].1 + (pair[1].1 - pair[0].1) * f64::from(i) / 8.0;
            taken.extend((1..8).map(|i| (along(i), up(i))));
        }
        let mut first = 0;
        for _ in 0..40 {
            let Some(&at) = pixels.get(first) else { return };
            let last =
                first + pixels[first..].iter().take_while(|&&other| apart(at, other) < 7.0).count() - 1;
            let text = if first == last { first.to_string() } else { format!("{first}\u{2013}{last}") };
            let wider = (text.chars().count() - 1) as f64;
            let beside = (0..16).map(|i| (f64::from(i) * std::f64::consts::PI / 8.0).sin_cos());
            let beside = beside.map(|(sine, cosine)| {
                (at.0 + (12.0 + 2.6 * wider) * cosine, at.1 + (12.0 + 1.5 * wider) * sine)
            });
            let room = |place| taken.iter().map(|&other| apart(place, other)).fold(f64::INFINITY, f64::min);
            let best = beside.map(|place| (room(place), place)).max_by(|a, b| a.0.total_cmp(&b.0));
            let best = best.filter(|best| best.0 > 6.0 && numbered(self.accepted[first]));
            if let Some((_, place)) = best {
                chart.write(place, Side::Middle, Ink::new(INK).bold().size(11.0), text);
                taken.push(place);
            }
            first = last + 1;
        }
    }
}
