//! Texts beside points and at pixel positions, and arrows.

use super::chart::{Chart, Ink, Pen, Point, Side};
use super::palette::CARD;

/// The line height of paragraphs, in pixels.
const LINE: f64 = 17.0;

impl Chart {
    /// Draws text at `offset` pixels (right, down) from a point. The text begins there if `offset` points right, ends
    /// there if `offset` points left, and is centred there if `offset` is vertical.
    pub fn label(&mut self, at: Point, offset: (f64, f64), ink: Ink, text: impl Into<String>) {
        let side = match offset.0 {
            right if right > 0.0 => Side::Right,
            left if left < 0.0 => Side::Left,
            _ => Side::Middle,
        };
        self.text(at, offset, side, ink, text);
    }

    /// Draws lines of text below each other, the first placed as by [`Chart::label`].
    pub fn paragraph(&mut self, at: Point, (right, down): (f64, f64), ink: Ink, lines: &[String]) {
        for (i, line) in lines.iter().enumerate() {
            self.label(at, (right, down + LINE * i as f64), ink, line);
        }
    }

    /// Draws text at a pixel position of the figure.
    pub fn write(&mut self, (x, y): (f64, f64), side: Side, ink: Ink, text: impl Into<String>) {
        self.text(self.at_pixel(x, y), (0.0, 0.0), side, ink, text);
    }

    /// Draws an arrow of `length` pixels from a point; `angle` is counterclockwise from the x axis, as seen in the figure.
    pub fn arrow(&mut self, from: Point, angle: f64, length: f64, pen: Pen) {
        let (x, y) = self.pixel(from);
        let (sine, cosine) = angle.sin_cos();
        let at = |along: f64, aside: f64| {
            self.at_pixel(x + cosine * along - sine * aside, y - sine * along - cosine * aside)
        };
        let head = (0.3 * length).clamp(2.5, 8.0);
        let (back, tip) = (length - head, at(length, 0.0));
        let head = [at(back, 0.6 * head), tip, at(back, -0.6 * head)];
        self.line([from, tip], Pen { tint: CARD, width: pen.width + 2.0, ..pen });
        self.line([from, tip], pen);
        self.line(head, pen);
    }
}
