//! Helpers around curves and panels: markers, labels beside a chart, headings, stacked panels.

use super::axis::Axis;
use super::chart::{Chart, Ink, Pen, Point, Side};
use super::layout::{Grid, spread};
use super::palette::{GREY, INK, Tint};

/// Curves with more points than this are drawn without markers.
const MOST_MARKS: usize = 40;

/// The label of a curve, at the right of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// The preferred position on the y axis.
    pub at: f64,
    /// The curve's colour.
    pub tint: Tint,
    /// The curve's name.
    pub text: String,
    /// A second line in small letters; may be empty.
    pub note: String,
}

impl Axis {
    /// Creates an axis of the whole numbers from `first` to `last`, with a small margin on both sides and at most 16 ticks.
    pub fn counted(title: impl Into<String>, first: usize, last: usize) -> Axis {
        let room = 0.02 * last.saturating_sub(first).max(4) as f64;
        let every = (last.saturating_sub(first) + 1).div_ceil(16);
        let ticks = (first..=last).step_by(every).map(|t| (t as f64, t.to_string())).collect();
        Axis::new(title, first as f64 - room, last as f64 + room).ticks(ticks)
    }
}

impl Chart {
    /// Draws a line with a disc at each point; lines of more than 40 points have no discs.
    pub fn marked(&mut self, points: &[Point], tint: Tint, width: f64, radius: f64) {
        self.line(points.iter().copied(), Pen::new(tint, width));
        for &point in points.iter().filter(|_| points.len() <= MOST_MARKS) {
            self.disc(point, radius, tint);
        }
    }

    /// Draws labels at the right of the axes, each as close to its preferred position as possible without overlap. With
    /// `leaders`, a line joins each label to its preferred position.
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

    /// Draws two lines of text above a panel: its title and a grey note.
    pub fn heading(&mut self, title: &str, note: &str) {
        let corner = (self.x.range.0, self.y.range.1);
        self.text(corner, (0.0, -34.0), Side::Right, Ink::new(INK).plain().bold().size(14.0), title);
        self.text(corner, (0.0, -14.0), Side::Right, Ink::new(GREY).plain().size(12.5), note);
    }

    /// Creates panels of this figure below each other, 24 pixels apart, starting at an upper left corner. Each row has a y
    /// axis and a height. Only the last panel shows the title and the numbers of the x axis.
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
    /// Creates an empty figure for `panels` panels, at least `least` pixels wide, with the margins `room` at its right
    /// and bottom.
    pub fn canvas(&self, name: &str, title: &str, panels: usize, room: (f64, f64), least: u32) -> Chart {
        let (width, height) = self.size(panels, room.0, room.1);
        Chart::canvas(name, title, (f64::from(width.max(least)), f64::from(height)))
    }
}
