//! Chapter 7: gradients beside differences, and beside gradients that stop half-way.

use super::chart::{Axis, Chart, GREY, INK, Ink, Pen, Point, Side, number, power_of_ten, scientific};
use super::cost::{check_curves, decades};
use super::plane::{extent, padded, spread};
use super::{Figure, colour};
use crate::error::{Error, Result};

/// The error of a difference quotient over its step size, both on logarithmic axes; the least of each curve is marked.
///
/// Each curve has a name, of at most about twenty letters, and its points (step size, error). With a large step the
/// function's curvature shows (truncation), with a small one the last digits of its values (rounding).
///
/// # Errors
///
/// Returns an error if there are no curves or more than twenty, if a curve has fewer than two points, and if a number is
/// not positive and finite.
pub fn difference_errors(curves: &[(&str, &[(f64, f64)])]) -> Result<Figure> {
    check_curves(curves)?;
    let all = || curves.iter().flat_map(|(_, points)| points.iter());
    let axis = |title: &str, (low, high): (f64, f64), every: usize| {
        let ticks = (low as i32..=high as i32).step_by(every);
        let ticks = ticks.map(|power| (f64::from(power), power_of_ten(power))).collect();
        Axis::new(title, low, high).ticks(ticks)
    };
    let (x, y) = (decades(all().map(|point| point.0)), decades(all().map(|point| point.1)));
    let every = |(low, high): (f64, f64)| (high - low) as usize / 9 + 1;
    let least = |points: &[(f64, f64)]| {
        points.iter().copied().fold(points[0], |best, point| if point.1 < best.1 { point } else { best })
    };
    let words = curves.iter().map(|(name, points)| {
        let (step, error) = least(points);
        format!("{name}: least error {error:.0e} at a step of {step:.0e}")
    });
    let alt = format!(
        "Error of difference quotients over the step size, on logarithmic axes. {}.",
        words.collect::<Vec<_>>().join("; ")
    );
    const SIZE: (u32, u32) = (820, 480);
    const RIGHT: u32 = 208;
    let (x_axis, y_axis) =
        (axis("step size h", x, every(x)), axis("relative error of the difference", y, every(y)));
    let mut chart = Chart::new("difference-errors", SIZE, x_axis, y_axis).margins(84, RIGHT, 20, 56).alt(alt);
    let place = |&(step, error): &(f64, f64)| -> Point { (step.log10(), error.log10()) };
    for (index, (_, points)) in curves.iter().enumerate() {
        chart.line(points.iter().map(place), Pen::new(colour(index), 1.4));
        if points.len() <= 1000 {
            chart.scatter(points.iter().map(place), 2.6, colour(index), 1.0);
        }
    }
    for (index, (_, points)) in curves.iter().enumerate() {
        chart.ring(place(&least(points)), 7.0, colour(index));
    }
    let wanted: Vec<f64> = curves.iter().map(|(_, points)| chart.pixel(place(&least(points))).1).collect();
    let left = f64::from(SIZE.0 - RIGHT) + 14.0;
    for (index, top) in spread(&wanted, 42.0, (34.0, 390.0)).into_iter().enumerate() {
        let (name, points) = curves[index];
        let (step, error) = least(points);
        let at = chart.at_pixel(left, top);
        chart.text(at, (0.0, 0.0), Side::Right, Ink::new(colour(index)).plain().bold(), name);
        let text = format!("{} at h = {}", scientific(error, 0), scientific(step, 0));
        chart.text(at, (0.0, 17.0), Side::Right, Ink::new(GREY).plain().size(12.0), text);
    }
    chart.finish()
}

/// How a gradient that is stopped half-way compares with the whole one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoppedGradient {
    /// Of the angle between them.
    pub cosine: f64,
    /// Its size over the whole one's.
    pub relative_size: f64,
}

impl StoppedGradient {
    /// From the numbers of both, in the same order.
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

/// A gradient that takes the responsibilities as constants beside the whole one, over the number of iterations: above the
/// cosine of the angle between them, below its size relative to the whole one's.
///
/// Each series has a name and, for each number of iterations from 1, what came of some draws: a curve through their medians
/// and a band from the tenth to the ninetieth of a hundred. Where the cosine is below 0, the step that should lower the
/// loss raises it.
///
/// # Errors
///
/// Returns an error if there are no series or more than six, no iterations or no draws, and if a number is not finite or
/// beyond 1e140.
pub fn stopped_gradients(series: &[(&str, Vec<Vec<StoppedGradient>>)]) -> Result<Figure> {
    if series.is_empty() {
        return Err(Error::Empty { what: "series" });
    }
    if series.len() > 6 {
        let (name, expected) = ("the number of series", "at most 6");
        return Err(Error::Setting { name, expected, value: series.len() as f64 });
    }
    for (_, iterations) in series {
        if iterations.is_empty() {
            return Err(Error::Empty { what: "iterations" });
        }
        if iterations.iter().any(Vec::is_empty) {
            return Err(Error::Empty { what: "draws" });
        }
        for value in iterations.iter().flatten().flat_map(|draw| [draw.cosine, draw.relative_size]) {
            if !value.is_finite() {
                return Err(Error::Setting { name: "a cosine or size", expected: "finite", value });
            }
        }
    }
    let of_draws = |pick: fn(&StoppedGradient) -> f64| -> Vec<Vec<[f64; 3]>> {
        let quantiles = |draws: &Vec<StoppedGradient>| {
            let mut values: Vec<f64> = draws.iter().map(pick).collect();
            values.sort_by(f64::total_cmp);
            [0.1, 0.5, 0.9].map(|share| values[(share * (values.len() - 1) as f64).round() as usize])
        };
        series.iter().map(|(_, iterations)| iterations.iter().map(quantiles).collect()).collect()
    };
    let (cosines, sizes) = (of_draws(|draw| draw.cosine), of_draws(|draw| draw.relative_size));
    let all = |lines: &[Vec<[f64; 3]>]| extent(lines.iter().flatten().flatten().copied());
    let range = |low: f64, high: f64| padded([low, high], 0.05);
    let rows = [
        ("cosine of the angle", range(all(&cosines).0.min(0.0), 1.0), &cosines),
        ("relative size", range(0.0, all(&sizes).1.max(1.0)), &sizes),
    ];
    let count = series.iter().map(|(_, iterations)| iterations.len()).max().unwrap_or(1);
    let words = series.iter().zip(&cosines).map(|((name, _), line)| {
        let medians: Vec<String> = line.iter().map(|quantiles| number(quantiles[1], 2)).collect();
        format!("{name}: median cosines {}", medians.join(", "))
    });
    let alt = format!(
        "Angle and size of the stopped gradient beside the whole one over 1 to {count} iterations. {}.",
        words.collect::<Vec<_>>().join("; ")
    );
    const SIZE: (u32, u32) = (800, 560);
    const LEFT: f64 = 84.0;
    const WIDTH: f64 = 540.0;
    const TALL: [f64; 2] = [270.0, 160.0];
    let mut panels = Vec::new();
    let mut top = 40.0;
    for (row, (title, range, lines)) in rows.into_iter().enumerate() {
        let x = Axis::new(if row == 1 { "iterations" } else { "" }, 0.8, count as f64 + 0.2);
        let name = |t: usize| if row == 1 { t.to_string() } else { String::new() };
        let ticks = (1..=count).step_by(count.div_ceil(16));
        let x = x.ticks(ticks.map(|t| (t as f64, name(t))).collect());
        let y = Axis::new(title, range.0, range.1).most(6);
        let mut panel = Chart::new("stopped-gradients", SIZE, x, y).panel((LEFT, top), (WIDTH, TALL[row]));
        for (index, line) in lines.iter().enumerate() {
            let along = |quantile: usize| {
                line.iter().enumerate().map(move |(t, values)| (t as f64 + 1.0, values[quantile]))
            };
            panel.area(along(0).chain(along(2).collect::<Vec<_>>().into_iter().rev()), colour(index), 0.16);
        }
        let level = if row == 0 { 0.0 } else { 1.0 }; // at a right angle; of the same size
        panel.line([(0.8, level), (count as f64 + 0.2, level)], Pen::new(INK, 1.2).dashed(5.0, 4.0));
        for (index, line) in lines.iter().enumerate() {
            let medians: Vec<Point> =
                line.iter().enumerate().map(|(t, values)| (t as f64 + 1.0, values[1])).collect();
            panel.line(medians.iter().copied(), Pen::new(colour(index), 2.4));
            if medians.len() <= 100 {
                for &point in &medians {
                    panel.disc(point, 3.4, colour(index));
                }
            }
        }
        let wanted: Vec<f64> =
            lines.iter().map(|line| panel.pixel((1.0, line[line.len() - 1][1])).1).collect();
        let room = (top + 8.0, top + TALL[row] - 8.0);
        for (index, place) in spread(&wanted, 17.0, room).into_iter().enumerate() {
            let at = panel.at_pixel(LEFT + WIDTH + 14.0, place);
            let ink = Ink::new(colour(index)).plain().bold();
            panel.text(at, (0.0, 0.0), Side::Right, ink, series[index].0);
        }
        if row == 0 {
            let at = panel.at_pixel(LEFT + 6.0, panel.pixel((1.0, 0.0)).1 + 12.0);
            let ink = Ink::new(GREY).size(12.0);
            panel.text(at, (0.0, 0.0), Side::Right, ink, "below: a step the wrong way");
            let at = panel.at_pixel(LEFT, 20.0);
            let text =
                "the gradient stopped at R beside the whole one: median, and 10 % to 90 % of the draws";
            panel.text(at, (0.0, 0.0), Side::Right, Ink::new(INK).plain(), text);
        }
        panels.push(panel);
        top += TALL[row] + 26.0;
    }
    let first = panels.remove(0).alt(alt);
    first.finish_with(&panels)
}
