//! Matrices drawn as images, and their colour scale.

use super::chart::{Chart, Image, Ink, Pen, Point};
use super::palette::{FRAME, GREY, PALE};

impl Chart {
    /// Draws numbers in [0, 1] as a framed image in the colours of [`heat`](super::heat), `columns` per row. It fits into a
    /// square of `side` pixels and has grid lines if its cells are at least 8 pixels wide. If there are more numbers than
    /// pixels, only every n-th row and column is kept.
    pub fn picture(&mut self, (left, top): (f64, f64), side: f64, columns: usize, values: &[f64]) {
        let columns = columns.max(1);
        let rows = values.len() / columns;
        let unit = side / columns.max(rows) as f64;
        let from = self.at_pixel(left, top);
        let to = self.at_pixel(left + unit * columns as f64, top + unit * rows as f64);
        self.image(from, to, Image::new(columns, values, side as usize, true));
        if unit >= 8.0 {
            // all lines of one direction form a single path that runs back and forth
            let at = |row: usize, column: usize| {
                self.at_pixel(left + unit * column as f64, top + unit * row as f64)
            };
            let fro = |i: usize, end: usize| if i.is_multiple_of(2) { [0, end] } else { [end, 0] };
            let down: Vec<Point> = (1..columns).flat_map(|i| fro(i, rows).map(|row| at(row, i))).collect();
            let across: Vec<Point> =
                (1..rows).flat_map(|i| fro(i, columns).map(|column| at(i, column))).collect();
            for line in [down, across] {
                self.line_anywhere(line, Pen::new(PALE, 1.0));
            }
        }
        let frame = [from, (to.0, from.1), to, (from.0, to.1), from];
        self.line_anywhere(frame, Pen::new(PALE, 1.0));
    }

    /// Draws the colour scale of [`heat`](super::heat), 16 pixels wide, with 0 at the bottom and 1 at the top. Position
    /// and height are in pixels.
    pub fn heat_scale(&mut self, (left, top): (f64, f64), height: f64) {
        let [from, to] = self.colour_bar((left, top), height);
        self.line_anywhere([from, (to.0, from.1), to, (from.0, to.1), from], Pen::new(FRAME, 1.0));
        for (share, text) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
            let place = (left + 23.0, top + height * (1.0 - share));
            self.note(place, Ink::new(GREY).plain().size(12.5), text);
        }
    }

    /// Draws the colours of [`heat`](super::heat) as a bar 16 pixels wide, the strongest at the top, and returns its lower left
    /// and upper right corners. Position and height are in pixels.
    pub(super) fn colour_bar(&mut self, (left, top): (f64, f64), height: f64) -> [Point; 2] {
        let shades: Vec<f64> = (0..128).map(|i| 1.0 - (f64::from(i) + 0.5) / 128.0).collect();
        let corners = [self.at_pixel(left, top + height), self.at_pixel(left + 16.0, top)];
        self.image(corners[0], corners[1], Image::new(1, &shades, 256, false));
        corners
    }
}
