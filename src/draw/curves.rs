//! What stands around curves and panels: marks, labels beside a chart, headings; panels under each other.

use super::axis::Axis;
use super::chart::{Chart, Ink, Pen, Point, Side};
use super::layout::{Grid, spread};
use super::palette::{GREY, INK, Tint};

/// Of more points than these a curve shows none.
const MOST_MARKS: usize = 40;

/// The words of a curve, which stand at the right of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Where on the y axis it wants to stand.
    pub at: f64,
    /// The curve's colour.
    pub tint: Tint,
    /// Its name.
    pub text: String,
    /// A small second line; may be empty.
    pub note: String,
}

impl Axis {
    /// An axis of the whole numbers from `first` to `last`, with a little room on both sides and at most 16 ticks.
    pub fn counted(title: impl Into<String>, first: usize, last: usize) -> Axis {
        let room = 0.02 * last.saturating_sub(first).max(4) as f64;
        let every = (last.saturating_sub(first) + 1).div_ceil(16);
        let ticks = (first..=last).step_by(every).map(|t| (t as f64, t.to_string())).collect();
        Axis::new(title, first as f64 - room, last as f64 + room).ticks(ticks)
    }
}

impl Chart {
    /// A line with a disc at each of its points, unless they are more than 40.
    pub fn marked(&mut self, points: &[Point], tint: Tint, width: f64, radius: f64) {
        self.line(points.iter().copied(), Pen::new(tint, width));
        for &point in points.iter().filter(|_| points.len() <= MOST_MARKS) {
            self.disc(point, radius, tint);
        }
    }

    /// Labels at the right of the axes, each as near to its place as the others let it. With `leaders` a line leads from the
    /// place to the label.
    pub fn labels(&mut self, labels: &[Label], leaders: bool) {
        let right = self.x.range.1;
        let wanted: Vec<f64> = labels.iter().map(|label| self.pixel((right, label.at)).1).collect();
        let noted = labels.iter().any(|label| !label.note.is_empty());
        let (height, below) = if noted { (38.0, 24.0) } else { (17.0, 7.0) };
        let ((edge, top), (_, bottom)) =
            (self.pixel((right, self.y.range.1)), self.pixel((right, self.y.range.0)));
        let left = edge + if leaders { 24.0 } else { 14.0 };
        for ((label, from), place) in
            labels.iter().zip(&wanted).zip(spread(&wanted, height, (top + 7.0, bottom - below)))
        {
            if leaders {
                let ends = [(edge + 4.0, *from), (edge + 18.0, place)].map(|(x, y)| self.at_pixel(x, y));
                self.line_anywhere(ends, Pen::new(label.tint, 1.0));
            }
            self.note((left, place), Ink::new(label.tint).plain().bold(), &label.text);
            if noted {
                self.note((left, place + 17.0), Ink::new(GREY).plain().size(12.0), &label.note);
            }
        }
    }

    /// Two lines above a panel: its title, and a grey note.
    pub fn heading(&mut self, title: &str, note: &str) {
        let corner = (self.x.range.0, self.y.range.1);
        self.text(corner, (0.0, -34.0), Side::Right, Ink::new(INK).plain().bold().size(14.0), title);
        self.text(corner, (0.0, -14.0), Side::Right, Ink::new(GREY).plain().size(12.5), note);
    }

    /// Panels of this figure under each other, 24 pixels apart, from an upper left corner on: one for each y axis and its
    /// height. Only the last one has the words and numbers of the x axis.
    pub fn stack(
        &self,
        (left, mut top): (f64, f64),
        width: f64,
        x: &Axis,
        rows: Vec<(Axis, f64)>,
    ) -> Vec<Chart> {
        let last = rows.len() - 1;
        let panel = |(row, (y, height)): (usize, (Axis, f64))| {
            let x = if row == last { x.clone() } else { x.clone().bare() };
            let panel = self.panel((left, top), (width, height), x, y);
            top += height + 24.0;
            panel
        };
        rows.into_iter().enumerate().map(panel).collect()
    }
}

impl Grid {
    /// A figure that holds so many panels, with room at its right and at its bottom, and at least so wide.
    pub fn canvas(&self, name: &str, title: &str, panels: usize, room: (f64, f64), least: u32) -> Chart {
        let (width, height) = self.size(panels, room.0, room.1);
        Chart::canvas(name, title, (f64::from(width.max(least)), f64::from(height)))
    }
}
