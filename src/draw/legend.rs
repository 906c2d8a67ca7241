//! Legends: markers with names.

use super::backend::text_width;
use super::chart::{Chart, Ink, Pen, Point};
use super::palette::{INK, Tint};

/// A marker in a legend, drawn as in the chart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mark {
    /// The disc of a sample.
    Dot(Tint),
    /// The centre of a cluster.
    Centre(Tint),
    /// A hollow circle, such as the start of a path.
    Ring(Tint),
    /// A cross.
    Cross(Tint),
    /// A line.
    Line(Pen),
}

/// Draws a row of markers with names, starting at the pixel position (`left`, `y`), and returns where it ends. Entries that
/// would cross `right` are replaced by an ellipsis.
pub fn legend_row(
    chart: &mut Chart,
    (left, y): Point,
    right: f64,
    entries: impl IntoIterator<Item = (Mark, String)>,
) -> f64 {
    const SIZE: f64 = 12.5;
    let ink = Ink::new(INK).plain().size(SIZE);
    let mut x = left;
    for (mark, name) in entries {
        let room = match mark {
            Mark::Dot(_) => 10.0,
            Mark::Line(_) => 24.0,
            _ => 18.0,
        };
        let end = x + room + 6.0 + text_width(&name, SIZE);
        if end > right {
            chart.note((x, y), ink, "…");
            break;
        }
        let at = chart.at_pixel(x + room / 2.0, y);
        match mark {
            Mark::Dot(tint) => chart.dot(at, 5.0, tint),
            Mark::Centre(tint) => chart.centre(at, tint),
            Mark::Ring(tint) => chart.ring(at, 5.0, tint),
            Mark::Cross(tint) => chart.cross(at, 6.5, tint),
            Mark::Line(pen) => {
                let ends = [x, x + room].map(|x| chart.at_pixel(x, y));
                chart.line_anywhere(ends, pen);
            }
        }
        chart.note((x + room + 6.0, y), ink, name);
        x = end + 18.0;
    }
    x
}
