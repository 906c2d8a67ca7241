//! Quantities beside each other, as bars.

use super::chart::{Axis, Chart, INK, Ink, Pen, Side, number};
use super::{Figure, colour};
use crate::error::{Error, Result};

/// Horizontal bars from 0, each with its name at its left and its value at its end; `title` names the quantity and its unit.
///
/// # Errors
///
/// Returns an error if there are no bars or more than twelve, if a value is negative or not finite, and if the longest bar
/// is too long or too short for an axis (1e-140 to 1e140).
pub fn bars(title: &str, bars: &[(&str, f64)]) -> Result<Figure> {
    if bars.is_empty() {
        return Err(Error::Empty { what: "bars" });
    }
    if bars.len() > 12 {
        let (name, expected) = ("the number of bars", "at most 12");
        return Err(Error::Setting { name, expected, value: bars.len() as f64 });
    }
    if let Some(&(_, value)) = bars.iter().find(|bar| !(0.0..f64::INFINITY).contains(&bar.1)) {
        return Err(Error::Setting { name: "a bar", expected: "finite and not negative", value });
    }
    let longest = bars.iter().fold(0.0, |longest: f64, bar| longest.max(bar.1));
    let high = if longest > 0.0 { 1.16 * longest } else { 1.0 };
    let letters = bars.iter().map(|bar| bar.0.chars().count()).max().unwrap_or(0);
    let left = (7 * letters.min(60) as u32 + 24).clamp(80, 400);
    let words = bars.iter().map(|(name, value)| format!("{name} {}", three_digits(*value)));
    let count = bars.len() as f64;
    let x = Axis::new(title, 0.0, high).most(7);
    let y = Axis::new("", 0.0, count).ticks(Vec::new());
    let mut chart = Chart::new("bars", (left + 500, 38 * bars.len() as u32 + 76), x, y)
        .margins(left, 24, 14, 56)
        .alt(format!("{title}: {}.", words.collect::<Vec<_>>().join(", ")));
    for (index, (name, value)) in bars.iter().enumerate() {
        let middle = count - index as f64 - 0.5;
        chart.block((0.0, middle - 0.3), (*value, middle + 0.3), colour(index));
        let foot = [(0.0, middle - 0.3), (0.0, middle + 0.3)];
        chart.line(foot, Pen::new(colour(index), 2.0)); // a value of nearly 0 still shows
        chart.text((0.0, middle), (-10.0, 0.0), Side::Left, Ink::new(INK).plain(), *name);
        let ink = Ink::new(colour(index)).plain().bold();
        chart.text((*value, middle), (8.0, 0.0), Side::Right, ink, three_digits(*value));
    }
    chart.finish()
}

/// A number to about three digits.
fn three_digits(value: f64) -> String {
    let decimals = match value {
        100.0.. => 0,
        10.0..100.0 => 1,
        _ => 2,
    };
    number(value, decimals)
}
