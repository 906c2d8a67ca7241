//! Curves on logarithmic axes.

use super::axis::Axis;
use super::chart::{Chart, Pen, Point};
use super::layout::extent;
use super::number::power_of_ten;
use super::palette::component;
use crate::error::{Error, Result};

/// The maximum number of curves.
const MOST_CURVES: usize = 20;

/// Curves with more points than this are drawn without markers.
const MOST_DOTS: usize = 1000;

/// Creates a chart of curves (x, y) on two logarithmic axes, in the components' colours. The chart's units are base-10
/// logarithms, and the axes cover whole decades. The right margin has room for [`Chart::labels`].
///
/// # Errors
///
/// Returns an error if there are no curves or more than twenty, if a curve has fewer than two points, or if a number is not
/// positive and finite.
pub fn log_curves(name: &str, title: &str, axes: [&str; 2], curves: &[(&str, &[Point])]) -> Result<Chart> {
    if curves.is_empty() {
        return Err(Error::Empty { what: "curves" });
    }
    if curves.len() > MOST_CURVES {
        let (name, expected) = ("the number of curves", "at most 20");
        return Err(Error::Setting { name, expected, value: curves.len() as f64 });
    }
    if let Some((_, points)) = curves.iter().find(|(_, points)| points.len() < 2) {
        return Err(Error::Length { name: "a curve", expected: 2, found: points.len() });
    }
    let all = || curves.iter().flat_map(|(_, points)| points.iter().copied());
    if let Some(value) = all().flat_map(|(x, y)| [x, y]).find(|&value| !(value > 0.0 && value.is_finite())) {
        return Err(Error::Setting { name: "a point of a curve", expected: "positive and finite", value });
    }
    let axis = |title: &str, range: (f64, f64)| {
        Axis::new(title, range.0, range.1).ticks(powers(range, power_of_ten))
    };
    let x = axis(axes[0], decades(all().map(|point| point.0)));
    let y = axis(axes[1], decades(all().map(|point| point.1)));
    let mut chart = Chart::new(name, title, (820, 480), x, y).margins(84, 208, 20, 56);
    for (index, (_, points)) in curves.iter().enumerate() {
        let places = points.iter().map(|&(x, y)| (x.log10(), y.log10()));
        chart.line(places.clone(), Pen::new(component(index), 1.4));
        if points.len() <= MOST_DOTS {
            chart.scatter(places, 2.6, component(index), 1.0);
        }
    }
    Ok(chart)
}

/// The range of whole decades that contains all values, as base-10 logarithms; never empty.
pub(super) fn decades(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = extent(values.map(f64::log10));
    (low.floor(), high.ceil().max(low.floor() + 1.0))
}

/// At most ten ticks at powers of ten.
pub(super) fn powers((low, high): (f64, f64), words: impl Fn(i32) -> String) -> Vec<(f64, String)> {
    let every = (high - low) as usize / 9 + 1;
    (low as i32..=high as i32).step_by(every).map(|power| (f64::from(power), words(power))).collect()
}
