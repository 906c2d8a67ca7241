//! Texts beside points.

use super::chart::{Chart, Ink, Point, Side};

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
}
