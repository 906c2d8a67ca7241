//! Bar charts.

use super::axis::Axis;
use super::backend::text_width;
use super::chart::{Chart, Ink, Pen, Side};
use super::figure::Figure;
use super::layout::extent;
use super::logarithmic::{decades, powers};
use super::number::{power_of_ten, three_digits, trimmed};
use super::palette::{BLUE, INK};
use crate::error::{Error, Result};

/// The maximum number of bars in a chart.
const MOST: usize = 12;

/// The kind of axis along which bars run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// The axis starts at 0, so the bars' lengths are proportional to the values.
    Linear,
    /// The axis starts at a power of ten below all values, for values of very different size.
    Logarithmic,
}

/// Draws horizontal bars of one colour, each with its name on the left and its value at its end. `quantity` is the axis
/// title: what the bars measure, with its unit.
///
/// # Errors
///
/// Returns an error if there are no bars or more than twelve, if a value is negative or not finite (or 0 on a logarithmic
/// axis), or if the longest bar is too long or too short for an axis (1e-140 to 1e140).
pub fn bars(name: &str, title: &str, quantity: &str, bars: &[(&str, f64)], along: Along) -> Result<Figure> {
    if bars.is_empty() {
        return Err(Error::Empty { what: "bars" });
    }
    if bars.len() > MOST {
        let (name, expected) = ("the number of bars", "at most 12");
        return Err(Error::Setting { name, expected, value: bars.len() as f64 });
    }
    let logarithmic = along == Along::Logarithmic;
    let held = |value: f64| (0.0..f64::INFINITY).contains(&value) && !(logarithmic && value == 0.0);
    if let Some(&(_, value)) = bars.iter().find(|bar| !held(bar.1)) {
        let expected = if logarithmic { "positive and finite" } else { "finite and not negative" };
        return Err(Error::Setting { name: "a bar", expected, value });
    }
    let values = || bars.iter().map(|bar| bar.1);
    let x = if logarithmic {
        let low = decades(values().map(|value| 0.7 * value)).0;
        let top = extent(values().map(f64::log10)).1;
        let range = (low, top + 0.14 * (top - low));
        let words = |power| match power {
            -3..7 => trimmed(10f64.powi(power), 3),
            _ => power_of_ten(power),
        };
        Axis::new(quantity, range.0, range.1).ticks(powers((low, range.1.floor()), words))
    } else {
        let longest = extent(values()).1;
        Axis::new(quantity, 0.0, if longest > 0.0 { 1.16 * longest } else { 1.0 }).most(7)
    };
    let place = |value: f64| if logarithmic { value.log10() } else { value };
    let foot = x.range.0;
    let letters = extent(bars.iter().map(|bar| text_width(bar.0, 13.0))).1;
    let left = (letters + 26.0).clamp(80.0, 400.0) as u32;
    let count = bars.len() as f64;
    let words: Vec<String> =
        bars.iter().map(|(name, value)| format!("{name} {}", three_digits(*value))).collect();
    let size = (left + 500, 38 * bars.len() as u32 + 76);
    let kind = if logarithmic { ", on a logarithmic axis" } else { "" };
    let mut chart = Chart::new(name, title, size, x, Axis::new("", 0.0, count).ticks(Vec::new()))
        .margins(left, 24, 14, 56)
        .alt(format!("Bars of {quantity}{kind}: {}.", words.join(", ")));
    for (index, &(name, value)) in bars.iter().enumerate() {
        let middle = count - index as f64 - 0.5;
        chart.block((foot, middle - 0.3), (place(value), middle + 0.3), BLUE);
        chart.line([(foot, middle - 0.27), (foot, middle + 0.27)], Pen::new(BLUE, 2.0)); // keeps bars near 0 visible
        chart.text((foot, middle), (-10.0, 0.0), Side::Left, Ink::new(INK).plain(), name);
        let end = (place(value), middle);
        chart.text(end, (8.0, 0.0), Side::Right, Ink::new(BLUE).plain().bold(), three_digits(value));
    }
    chart.finish()
}
