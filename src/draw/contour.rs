//! Functions of two variables: values on a grid, drawn as a heat map and contour lines.

use contour::ContourBuilder;

use super::chart::{Chart, Image, Ink, Pen, Point};
use super::number::number;
use super::palette::INK;
use crate::error::{Error, Result};

/// Distances of the contour lines below the maximum, in nats.
pub const DEPTHS: [f64; 8] = [0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// Values of a function on an `n` x `n` grid over a rectangle, borders included.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    n: usize,
    x: (f64, f64),
    y: (f64, f64),
    /// The values row by row, lowest y first.
    values: Vec<f64>,
    /// The maximum of the values.
    pub highest: f64,
}

/// The position of a colour scale, in pixels of the figure, and the name of its maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale<'a> {
    /// The left edge of the scale.
    pub left: f64,
    /// The upper edge of the scale.
    pub top: f64,
    /// The lower edge of the scale.
    pub bottom: f64,
    /// The name of the scale's maximum.
    pub name: &'a str,
    /// The sign in front of each depth: minus, or plus if the figure shows the negated function.
    pub sign: &'a str,
}

impl Field {
    /// Evaluates `f(x, y)` on the grid; NaN counts as minus infinity.
    ///
    /// # Panics
    ///
    /// Panics if `n` is below 2.
    pub fn of(n: usize, x: (f64, f64), y: (f64, f64), f: impl Fn(f64, f64) -> f64) -> Field {
        let places = Field::places(n, x, y);
        Field::new(n, x, y, places.into_iter().map(|(x, y)| f(x, y)).collect())
    }

    /// The grid points in the order of the values: x varies fastest, lowest y first.
    ///
    /// # Panics
    ///
    /// Panics if `n` is below 2.
    pub fn places(n: usize, x: (f64, f64), y: (f64, f64)) -> Vec<Point> {
        assert!(n >= 2, "a field has at least 2 x 2 places");
        let along = |range: (f64, f64), i: usize| range.0 + (range.1 - range.0) * i as f64 / (n - 1) as f64;
        (0..n * n).map(|index| (along(x, index % n), along(y, index / n))).collect()
    }

    /// Creates a field from its values at [`Field::places`]; NaN counts as minus infinity.
    ///
    /// # Panics
    ///
    /// Panics if there are not `n` * `n` values.
    pub fn new(n: usize, x: (f64, f64), y: (f64, f64), values: Vec<f64>) -> Field {
        assert_eq!(values.len(), n * n, "a field of {n} x {n} places");
        let number = |value: f64| if value.is_nan() { f64::NEG_INFINITY } else { value };
        let values: Vec<f64> = values.into_iter().map(number).collect();
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Field { n, x, y, values, highest }
    }

    /// Draws the values from `highest` to `depth` below it as a heat map. Each grid cell is one pixel with the mean
    /// shade of its four corners.
    pub fn draw_heat(&self, chart: &mut Chart, highest: f64, depth: f64) {
        let cells = self.n - 1;
        let at = |row: usize, column: usize| shade(self.values[row * self.n + column], highest, depth);
        let shades: Vec<f64> = (0..cells * cells)
            .map(|index| (cells - 1 - index / cells, index % cells))
            .map(|(row, column)| {
                (at(row, column) + at(row, column + 1) + at(row + 1, column) + at(row + 1, column + 1)) / 4.0
            })
            .collect();
        let image = Image::new(cells, &shades, 256, false);
        chart.image((self.x.0, self.y.0), (self.x.1, self.y.1), image);
    }

    /// Draws the contour lines at [`DEPTHS`] below `highest`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Field::isolines`].
    pub fn draw_depths(&self, chart: &mut Chart, highest: f64, opacity: f64) -> Result<()> {
        for line in self.isolines(&DEPTHS.map(|depth| highest - depth))? {
            chart.line(line, Pen::new(INK, 0.8).faded(opacity));
        }
        Ok(())
    }

    /// Computes contour lines at the given levels, each a list of points.
    ///
    /// # Errors
    ///
    /// Returns an error if the maximum or the levels are not finite or too far apart, or if the crate `contour` fails.
    pub fn isolines(&self, levels: &[f64]) -> Result<Vec<Vec<Point>>> {
        let failed =
            |error: contour::Error| Error::Drawing { figure: "isolines".into(), source: error.into() };
        // Minus infinity cannot be interpolated; a value far below every level replaces it.
        let floor = levels.iter().copied().fold(self.highest, f64::min) - 1e3;
        if !(self.highest - floor).is_finite() {
            let message = format!("the maximum {:e} is too far from the levels {levels:?}", self.highest);
            return Err(Error::Drawing { figure: "isolines".into(), source: message.into() });
        }
        let values: Vec<f64> = self.values.iter().map(|&value| value.max(floor)).collect();
        // The crate places the first value at 0.5; this shifts it to 0, in grid steps.
        let builder = ContourBuilder::new(self.n, self.n, true).x_origin(-0.5).y_origin(-0.5);
        let last = (self.n - 1) as f64;
        let along = |range: (f64, f64), steps: f64| range.0 + (range.1 - range.0) * steps / last;
        let mut lines = Vec::new();
        for line in builder.lines(&values, levels).map_err(failed)? {
            for string in line.geometry() {
                let points: Vec<Point> = string.0.iter().map(|point| (point.x, point.y)).collect();
                let parts = without_border(&points, last).into_iter();
                let placed = |(u, v): Point| (along(self.x, u), along(self.y, v));
                lines.extend(parts.map(|part| part.into_iter().map(placed).collect()));
            }
        }
        Ok(lines)
    }
}

/// Draws the colour scale of [`Field::draw_heat`], 16 pixels wide, labelled with the contour lines' depths.
pub fn draw_scale(chart: &mut Chart, Scale { left, top, bottom, name, sign }: Scale, depth: f64) {
    chart.colour_bar((left, top), bottom - top);
    let ink = Ink::new(INK).plain().size(12.0);
    chart.note((left + 22.0, top), ink, name);
    let side = if sign == "+" { "above" } else { "below" };
    for (up, words) in [(36.0, format!("nats {side}")), (20.0, format!("the {name}"))] {
        chart.note((left, top - up), ink, words);
    }
    let mut last = top;
    for below in DEPTHS.into_iter().filter(|&below| below <= depth) {
        let y = top + (bottom - top) * (1.0 - shade(-below, 0.0, depth));
        if y - last < 14.0 && below > DEPTHS[0] {
            continue; // no room
        }
        last = y;
        let (a, b) = (chart.at_pixel(left, y), chart.at_pixel(left + 16.0, y));
        chart.line_anywhere([a, b], Pen::new(INK, 1.0));
        let text = format!("{sign}{}", number(below, if below < 1.0 { 1 } else { 0 }));
        chart.note((left + 22.0, y), ink, text);
    }
}

/// The position of a value on the colour scale: 1 at `highest`, 0 at `depth` below it. The scale is finest near the top.
fn shade(value: f64, highest: f64, depth: f64) -> f64 {
    1.0 - ((highest - value).max(0.0) / depth).powf(0.35).min(1.0)
}

/// Removes the parts of a closed contour line outside the grid, which runs from 0 to `last`.
fn without_border(points: &[Point], last: f64) -> Vec<Vec<Point>> {
    let inside = |value: f64| (-1e-7..=last + 1e-7).contains(&value);
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
        let field = Field::of(50, (1.0, 3.0), (0.0, 1.0), |x, y| x + y);
        let lines = field.isolines(&[2.2]).expect("the grid is whole");
        assert_eq!(lines.len(), 1);
        let ys = lines[0].iter().map(|point| point.1);
        assert!(ys.clone().fold(1.0, f64::min) < 1e-9 && ys.fold(0.0, f64::max) > 1.0 - 1e-9);
        for &(x, y) in &lines[0] {
            assert!((x + y - 2.2).abs() < 1e-6, "({x}, {y})");
        }
    }
}
