//! Texts beside points and at pixels, and arrows.

use super::chart::{Chart, Ink, Pen, Point, Side};
use super::palette::CARD;

/// From one line of text to the next, in pixels.
const LINE: f64 = 17.0;

impl Chart {
    /// Text beside a point: it begins `offset` pixels (right, down) from it, or ends there if that is to the left, or is
    /// centred there if that is right above or below.
    pub fn label(&mut self, at: Point, offset: (f64, f64), ink: Ink, text: impl Into<String>) {
        let side = match offset.0 {
            right if right > 0.0 => Side::Right,
            left if left < 0.0 => Side::Left,
            _ => Side::Middle,
        };
        self.text(at, offset, side, ink, text);
    }

    /// Lines of text under each other, the first one as [`Chart::label`] has it.
    pub fn paragraph(&mut self, at: Point, (right, down): (f64, f64), ink: Ink, lines: &[String]) {
        for (i, line) in lines.iter().enumerate() {
            self.label(at, (right, down + LINE * i as f64), ink, line);
        }
    }

    /// Text at a place in pixels of the figure.
    pub fn write(&mut self, (x, y): (f64, f64), side: Side, ink: Ink, text: impl Into<String>) {
        self.text(self.at_pixel(x, y), (0.0, 0.0), side, ink, text);
    }

    /// An arrow of `length` pixels that begins at a point; `angle` is anticlockwise from the x axis, as it is seen.
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
