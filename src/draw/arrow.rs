//! Arrows.

use super::chart::{Chart, Pen, Point};
use super::palette::CARD;

impl Chart {
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
