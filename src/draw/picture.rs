//! What stands at pixels of a figure: texts and pictures.

use super::chart::{Chart, Image, Ink, Pen, Side};
use super::palette::PALE;

impl Chart {
    /// Text at a place in pixels of the figure.
    pub fn write(&mut self, (x, y): (f64, f64), side: Side, ink: Ink, text: impl Into<String>) {
        self.text(self.at_pixel(x, y), (0.0, 0.0), side, ink, text);
    }

    /// A picture with a frame in a square of `side` pixels: numbers in [0, 1], `columns` to a row, as one image in the colours
    /// of [`heat`](super::heat). Of more numbers than pixels every n-th row and column is kept.
    pub fn picture(&mut self, (left, top): (f64, f64), side: f64, columns: usize, values: &[f64]) {
        let rows = values.len() / columns;
        let unit = side / columns.max(rows) as f64;
        let from = self.at_pixel(left, top);
        let to = self.at_pixel(left + unit * columns as f64, top + unit * rows as f64);
        self.image(from, to, Image::new(columns, values, side as usize, true));
        let frame = [from, (to.0, from.1), to, (from.0, to.1), from];
        self.line_anywhere(frame, Pen::new(PALE, 1.0));
    }
}
