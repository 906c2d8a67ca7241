//! A function of two probabilities: its values on a grid, as heat map and as isolines.

use contour::ContourBuilder;

use super::chart::{Chart, INK, Ink, Pen, Point, Side, number};
use super::image::heat_map;
use crate::error::{Error, Result};

/// Depths under the highest value at which isolines run, in nats.
pub(crate) const DEPTHS: [f64; 8] = [0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// Values of a function on [0, 1] x [0, 1], at the middles of `n` x `n` cells.
pub(crate) struct Surface {
    n: usize,
    /// Row by row, the lowest y first.
    values: Vec<f64>,
    pub highest: f64,
}

impl Surface {
    /// Evaluates `f`; where it is no number it counts as minus infinity.
    pub fn of(n: usize, f: impl Fn(f64, f64) -> f64) -> Surface {
        let middle = |i: usize| (i as f64 + 0.5) / n as f64;
        let values: Vec<f64> = (0..n * n)
            .map(|index| f(middle(index % n), middle(index / n)))
            .map(|value| if value.is_nan() { f64::NEG_INFINITY } else { value })
            .collect();
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Surface { n, values, highest }
    }

    /// Where a value stands on the colour scale, whose steps are finest at the top: 1 at `highest`, 0 at `depth` below.
    fn shade(&self, value: f64, highest: f64, depth: f64) -> f64 {
        1.0 - ((highest - value).max(0.0) / depth).powf(0.35).min(1.0)
    }

    /// The heat map over the axes' unit square, down to `depth` under `highest`.
    pub fn draw_heat(&self, chart: &mut Chart, highest: f64, depth: f64) {
        let shades: Vec<f64> = (0..self.n)
            .rev()
            .flat_map(|row| &self.values[row * self.n..(row + 1) * self.n])
            .map(|&value| self.shade(value, highest, depth))
            .collect();
        chart.image((0.0, 0.0), (1.0, 1.0), heat_map(self.n, &shades));
    }

    /// The colour scale, in a column of pixels from `left`, 16 wide, with the isolines' depths beside it.
    pub fn draw_scale(
        &self,
        chart: &mut Chart,
        (left, top, bottom): (f64, f64, f64),
        highest: f64,
        depth: f64,
    ) {
        let steps = 128;
        let shades: Vec<f64> = (0..steps).map(|i| 1.0 - (i as f64 + 0.5) / steps as f64).collect();
        let (from, to) = (chart.at_pixel(left, bottom), chart.at_pixel(left + 16.0, top));
        chart.image(from, to, heat_map(1, &shades));
        let ink = Ink::new(INK).plain().size(12.0);
        chart.text(chart.at_pixel(left + 22.0, top), (0.0, 0.0), Side::Right, ink, "maximum");
        for below in DEPTHS.into_iter().filter(|&below| below <= depth) {
            let y = top + (bottom - top) * (1.0 - self.shade(highest - below, highest, depth));
            let places = if below < 1.0 { 1 } else { 0 };
            let (a, b) = (chart.at_pixel(left, y), chart.at_pixel(left + 16.0, y));
            chart.line_anywhere([a, b], Pen::new(INK, 1.0));
            chart.text(chart.at_pixel(left + 22.0, y), (0.0, 0.0), Side::Right, ink, number(-below, places));
        }
    }

    /// Lines of equal value, each a list of points.
    ///
    /// # Errors
    ///
    /// What the crate `contour` says.
    pub fn isolines(&self, levels: &[f64]) -> Result<Vec<Vec<Point>>> {
        let failed =
            |error: contour::Error| Error::Drawing { figure: "isolines".into(), message: error.to_string() };
        let step = 1.0 / self.n as f64;
        // Minus infinity cannot be interpolated; far below every level will do.
        let floor = levels.iter().copied().fold(self.highest, f64::min) - 1e3;
        let values: Vec<f64> = self.values.iter().map(|&value| value.max(floor)).collect();
        let mut lines = Vec::new();
        let builder = ContourBuilder::new(self.n, self.n, true).x_step(step).y_step(step);
        for line in builder.lines(&values, levels).map_err(failed)? {
            for string in line.geometry() {
                let points: Vec<Point> = string.0.iter().map(|point| (point.x, point.y)).collect();
                lines.extend(self.without_border(&points));
            }
        }
        Ok(lines)
    }

    /// The parts of a ring that are isoline; along the grid's border it only closes itself.
    fn without_border(&self, points: &[Point]) -> Vec<Vec<Point>> {
        let edge = 0.5 / self.n as f64 - 1e-12;
        let outside = |(x, y): Point| x <= edge || y <= edge || x >= 1.0 - edge || y >= 1.0 - edge;
        let mut parts: Vec<Vec<Point>> = Vec::new();
        let mut open = false;
        for pair in points.windows(2) {
            if outside(pair[0]) && outside(pair[1]) {
                open = false;
                continue;
            }
            match parts.last_mut().filter(|_| open) {
                Some(part) => part.push(pair[1]),
                None => parts.push(pair.to_vec()),
            }
            open = true;
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_isoline_runs_where_the_function_has_its_value() {
        let surface = Surface::of(50, |x, y| x + 0.5 * y);
        let lines = surface.isolines(&[0.6]).expect("the grid is whole");
        assert_eq!(lines.len(), 1);
        for &(x, y) in &lines[0] {
            if (0.02..0.98).contains(&y) {
                assert!((x + 0.5 * y - 0.6).abs() < 1e-9, "({x}, {y})");
            }
        }
    }
}
