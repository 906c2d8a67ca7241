//! A function of two probabilities: its values on a grid, as heat map and as isolines.

use contour::ContourBuilder;

use super::chart::{Chart, INK, Ink, Pen, Point, Side, number};
use super::image::heat_map;
use crate::error::{Error, Result};

/// Depths under the highest value at which isolines run, in nats.
pub(crate) const DEPTHS: [f64; 8] = [0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// How far from 0 and 1 the outermost values are taken, where a log-likelihood may be infinite.
const EDGE: f64 = 1e-4;

/// Values of a function on [0, 1] x [0, 1], at `n` x `n` places that include the borders.
pub(crate) struct Surface {
    n: usize,
    /// Row by row, the lowest y first.
    values: Vec<f64>,
    pub highest: f64,
}

/// Where a colour scale stands, in pixels of the figure, and whether its top is called the minimum of minus the function.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub left: f64,
    pub top: f64,
    pub bottom: f64,
    pub minimum: bool,
}

impl Surface {
    /// Evaluates `f`; where it is no number it counts as minus infinity.
    pub fn of(n: usize, f: impl Fn(f64, f64) -> f64) -> Surface {
        let place = |i: usize| (i as f64 / (n - 1) as f64).clamp(EDGE, 1.0 - EDGE);
        Surface::from_values(n, (0..n * n).map(|index| f(place(index % n), place(index / n))).collect())
    }

    /// Values of a function at `n` x `n` places, row by row, the lowest y first; a NaN counts as minus infinity.
    pub fn from_values(n: usize, values: Vec<f64>) -> Surface {
        assert_eq!(values.len(), n * n, "a surface of {n} x {n} places");
        let number = |value: f64| if value.is_nan() { f64::NEG_INFINITY } else { value };
        let values: Vec<f64> = values.into_iter().map(number).collect();
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Surface { n, values, highest }
    }

    /// The heat map over the axes' unit square, down to `depth` under `highest`: a pixel for each cell of the grid, in the
    /// mean of the shades at its corners.
    pub fn draw_heat(&self, chart: &mut Chart, highest: f64, depth: f64) {
        let cells = self.n - 1;
        let at = |row: usize, column: usize| shade(self.values[row * self.n + column], highest, depth);
        let shades: Vec<f64> = (0..cells * cells)
            .map(|index| (cells - 1 - index / cells, index % cells))
            .map(|(row, column)| {
                (at(row, column) + at(row, column + 1) + at(row + 1, column) + at(row + 1, column + 1)) / 4.0
            })
            .collect();
        chart.image((0.0, 0.0), (1.0, 1.0), heat_map(cells, &shades, 256));
    }

    /// The colour scale, a column of 16 pixels, with the isolines' depths beside it.
    pub fn draw_scale(&self, chart: &mut Chart, scale: Scale, highest: f64, depth: f64) {
        let Scale { left, top, bottom, minimum } = scale;
        let steps = 128;
        let shades: Vec<f64> = (0..steps).map(|i| 1.0 - (f64::from(i) + 0.5) / f64::from(steps)).collect();
        let (from, to) = (chart.at_pixel(left, bottom), chart.at_pixel(left + 16.0, top));
        chart.image(from, to, heat_map(1, &shades, 256));
        let ink = Ink::new(INK).plain().size(12.0);
        let name = if minimum { "minimum" } else { "maximum" };
        chart.text(chart.at_pixel(left + 22.0, top), (0.0, 0.0), Side::Right, ink, name);
        let mut unit = " nats";
        for below in DEPTHS.into_iter().filter(|&below| below <= depth) {
            let y = top + (bottom - top) * (1.0 - shade(highest - below, highest, depth));
            let places = if below < 1.0 { 1 } else { 0 };
            let (a, b) = (chart.at_pixel(left, y), chart.at_pixel(left + 16.0, y));
            chart.line_anywhere([a, b], Pen::new(INK, 1.0));
            let below = if minimum { format!("+{}", number(below, places)) } else { number(-below, places) };
            chart.text(b, (6.0, 0.0), Side::Right, ink, format!("{below}{unit}"));
            unit = "";
        }
    }

    /// Lines of equal value, each a list of points.
    ///
    /// # Errors
    ///
    /// Returns an error for values and levels that are too far apart to be told from each other, and what the crate `contour` says.
    pub fn isolines(&self, levels: &[f64]) -> Result<Vec<Vec<Point>>> {
        let failed =
            |error: contour::Error| Error::Drawing { figure: "isolines".into(), source: error.into() };
        let step = 1.0 / (self.n - 1) as f64;
        // Minus infinity cannot be interpolated; far below every level will do.
        let floor = levels.iter().copied().fold(self.highest, f64::min) - 1e3;
        if !(self.highest - floor).is_finite() {
            let message = format!("the function reaches {:e} and its levels lie at {levels:?}", self.highest);
            return Err(Error::Drawing { figure: "isolines".into(), source: message.into() });
        }
        let values: Vec<f64> = self.values.iter().map(|&value| value.max(floor)).collect();
        // The crate puts the first value at half a step.
        let origin = -0.5 * step;
        let builder = ContourBuilder::new(self.n, self.n, true)
            .x_origin(origin)
            .y_origin(origin)
            .x_step(step)
            .y_step(step);
        let mut lines = Vec::new();
        for line in builder.lines(&values, levels).map_err(failed)? {
            for string in line.geometry() {
                let points: Vec<Point> = string.0.iter().map(|point| (point.x, point.y)).collect();
                lines.extend(without_border(&points));
            }
        }
        Ok(lines)
    }
}

/// Where a value stands on the colour scale, whose steps are finest at the top: 1 at `highest`, 0 at `depth` below.
fn shade(value: f64, highest: f64, depth: f64) -> f64 {
    1.0 - ((highest - value).max(0.0) / depth).powf(0.35).min(1.0)
}

/// The parts of a ring that are isoline; outside the grid it only closes itself.
fn without_border(points: &[Point]) -> Vec<Vec<Point>> {
    let inside = |value: f64| (-1e-9..=1.0 + 1e-9).contains(&value);
    let mut parts: Vec<Vec<Point>> = Vec::new();
    let mut open = false;
    for pair in points.windows(2) {
        if pair.iter().any(|&(x, y)| !inside(x) || !inside(y)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_isoline_runs_where_the_function_has_its_value() {
        let surface = Surface::of(50, |x, y| x + 0.5 * y);
        let lines = surface.isolines(&[0.6]).expect("the grid is whole");
        assert_eq!(lines.len(), 1);
        let ys = lines[0].iter().map(|point| point.1);
        assert!(ys.clone().fold(1.0, f64::min) < 1e-9 && ys.fold(0.0, f64::max) > 1.0 - 1e-9);
        for &(x, y) in &lines[0] {
            assert!((x + 0.5 * y - 0.6).abs() < 1e-3, "({x}, {y})"); // the border's values are taken at 1e-4
        }
    }
}
