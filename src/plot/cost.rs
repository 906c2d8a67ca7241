//! What an iteration costs, over the number of samples.

use super::chart::{Axis, Chart, Ink, Pen, Point, Side, power_of_ten};
use super::plane::extent;
use super::{Figure, colour};
use crate::error::{Error, Result};

/// Seconds an iteration over the number of samples, both on logarithmic axes: where the cost grows in proportion to the
/// samples, a curve runs along the dashed line of slope 1 through its first point.
///
/// Each curve has a name and its points (samples, seconds), samples rising.
///
/// # Errors
///
/// Returns an error if there are no curves or more than twenty, if a curve has fewer than two points, and if a number is
/// not positive and finite.
pub fn cost_growth(curves: &[(&str, &[(f64, f64)])]) -> Result<Figure> {
    check_curves(curves)?;
    let all = || curves.iter().flat_map(|(_, points)| points.iter());
    let axis = |title: &str, (low, high): (f64, f64), words: &dyn Fn(i32) -> String| {
        let (low_power, high_power) = (low.ceil() as i32, high.floor() as i32);
        // each decade, unless they would touch
        let every = (high_power - low_power) as usize / 16 + 1;
        let ticks =
            (low_power..=high_power).step_by(every).map(|power| (f64::from(power), words(power))).collect();
        Axis::new(title, low, high).ticks(ticks)
    };
    let (low, high) = decades(all().map(|point| point.0));
    let x = axis("number of samples", (low - 0.1, high + 0.1), &|power| match power {
        15.. | ..-6 => power_of_ten(power),
        6.. => format!("{} million", 10i64.pow(power as u32 - 6)),
        3..6 => format!("{} thousand", 10i64.pow(power as u32 - 3)),
        _ => format!("{}", 10f64.powi(power)),
    });
    let y = axis("time of an iteration", decades(all().map(|point| point.1)), &|power| match power {
        9.. | ..-9 => format!("{} s", power_of_ten(power)),
        0.. => format!("{} s", 10f64.powi(power)),
        -3..0 => format!("{} ms", 10f64.powi(power + 3)),
        _ => format!("{} µs", 10f64.powi(power + 6)),
    });
    let mut chart = Chart::new("cost-growth", (720, 460), x, y)
        .margins(84, 150, 20, 56)
        .alt("Time of an iteration over the number of samples, on logarithmic axes.");
    for (index, (name, points)) in curves.iter().enumerate() {
        let places: Vec<Point> =
            points.iter().map(|(samples, seconds)| (samples.log10(), seconds.log10())).collect();
        let (first, last) = (places[0], places[places.len() - 1]);
        let proportional = (last.0, first.1 + last.0 - first.0);
        chart.line([first, proportional], Pen::new(colour(index), 1.2).dashed(4.0, 4.0));
        chart.line(places.iter().copied(), Pen::new(colour(index), 2.2));
        if places.len() <= 200 {
            for &place in &places {
                chart.dot(place, 4.0, colour(index));
            }
        }
        chart.text(last, (10.0, 0.0), Side::Right, Ink::new(colour(index)).bold(), *name);
    }
    chart.finish()
}

/// Are there curves, each of at least two points whose numbers have logarithms?
pub(super) fn check_curves(curves: &[(&str, &[(f64, f64)])]) -> Result<()> {
    if curves.is_empty() {
        return Err(Error::Empty { what: "curves" });
    }
    if curves.len() > 20 {
        let (name, expected) = ("the number of curves", "at most 20");
        return Err(Error::Setting { name, expected, value: curves.len() as f64 });
    }
    for (_, points) in curves {
        if points.len() < 2 {
            return Err(Error::Length { name: "a curve", expected: 2, found: points.len() });
        }
        for value in points.iter().flat_map(|&(x, y)| [x, y]) {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::Setting {
                    name: "a point of a curve",
                    expected: "positive and finite",
                    value,
                });
            }
        }
    }
    Ok(())
}

/// The whole decades that hold all values, as logarithms to base 10; never empty.
pub(super) fn decades(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = extent(values.map(f64::log10));
    (low.floor(), if high.ceil() > low.floor() { high.ceil() } else { high.ceil() + 1.0 })
}
