//! The atlas of starts: which optimum each start leads to.

use ndarray::Array2;

use super::chart::{Axis, Chart, GREY, INK, Ink, Point, Side};
use super::criteria::{Objective, Optimum, optima};
use super::image::Rgb;
use super::plane::{check_plane, check_steps, equal_units, points, stride};
use super::{Figure, colour};
use crate::em::Fit;
use crate::error::{Error, Result};

/// The grid of starts that an [`atlas`] shows: `columns` times as many rows as there are fits for, cell by cell.
#[derive(Debug, Clone, Copy)]
pub struct StartGrid<'a> {
    /// What varies along x, with its unit.
    pub x_title: &'a str,
    /// From the left edge of the first cell to the right edge of the last one.
    pub x_range: (f64, f64),
    /// What varies along y, with its unit.
    pub y_title: &'a str,
    /// From the lower edge of the first row to the upper edge of the last one.
    pub y_range: (f64, f64),
    /// The starts of a row.
    pub columns: usize,
}

impl StartGrid<'_> {
    /// The middles of the cells of a grid of `rows` rows, in the order in which [`atlas`] wants the fits: x varies fastest,
    /// the lowest y first.
    pub fn starts(&self, rows: usize) -> Vec<(f64, f64)> {
        let middle = |range: (f64, f64), i: usize, n: usize| {
            range.0 + (range.1 - range.0) * (i as f64 + 0.5) / n as f64
        };
        (0..rows * self.columns)
            .map(|i| {
                let (column, row) = (i % self.columns, i / self.columns);
                (middle(self.x_range, column, self.columns), middle(self.y_range, row, rows))
            })
            .collect()
    }
}

/// What lies under an [`atlas`] where its axes are those of the samples.
#[derive(Debug, Clone, Copy)]
pub struct AtlasGround<'a> {
    /// Samples in the plane (n x 2).
    pub samples: &'a Array2<f64>,
    /// The parts of the start that are the same in all cells (m x 2), such as the other centroids.
    pub fixed: &'a Array2<f64>,
}

/// Which optimum each start leads to: a cell for each start, in the colour of its optimum.
///
/// `fits` are those from the starts of `grid`, in the order of [`StartGrid::starts`]. Fits whose objectives are at most
/// `same` apart (in the objective's own unit) count as one optimum; the best takes the first colour, and the legend says how
/// many starts reach each. Over a `ground`, samples and fixed parts of the start are drawn on the cells, and both units are equally long.
///
/// # Errors
///
/// Returns an error if there are no fits or more than 100,000, if a fit has no steps, if fits don't fill the rows, if a range
/// is empty, not finite, too long or too short for an axis, if an objective is not finite, if `same` is negative, and for a
/// ground that is not of points in the plane within 1e130 of 0.
pub fn atlas<M>(
    fits: &[Fit<M>],
    grid: StartGrid,
    ground: Option<AtlasGround>,
    objective: Objective,
    same: f64,
) -> Result<Figure> {
    if !(same >= 0.0 && same.is_finite()) {
        let (name, expected) = ("same", "finite and not negative");
        return Err(Error::Setting { name, expected, value: same });
    }
    if fits.is_empty() || grid.columns == 0 {
        return Err(Error::Empty { what: "starts" });
    }
    if fits.len() > 100_000 {
        let (name, expected) = ("the number of starts", "at most 100000");
        return Err(Error::Setting { name, expected, value: fits.len() as f64 });
    }
    fits.iter().try_for_each(check_steps)?;
    if !fits.len().is_multiple_of(grid.columns) {
        let expected = fits.len().next_multiple_of(grid.columns);
        return Err(Error::Length { name: "the fits from a grid", expected, found: fits.len() });
    }
    if let Some(ground) = ground {
        check_plane(ground.samples)?;
        if ground.fixed.nrows() > 0 {
            check_plane(ground.fixed)?;
        }
    }
    let ends: Vec<f64> = fits.iter().map(|fit| fit.objective()).collect();
    if let Some(&value) = ends.iter().find(|value| !value.is_finite()) {
        return Err(Error::Setting { name: "an objective", expected: "finite", value });
    }
    let (found, member) = optima(&ends, same);

    let (columns, rows) = (grid.columns, fits.len() / grid.columns);
    let (width, height) = match ground {
        Some(_) => equal_units(grid.x_range, grid.y_range, (560.0, 500.0)),
        None => (540.0, 500.0),
    };
    let size = (width as u32 + 72 + 216, (height as u32 + 76).max(330));
    let words = found.iter().map(|group| {
        let words = objective.words(group.best, group.worst);
        format!("{} of {} starts reach {words}", group.count, fits.len())
    });
    let alt = format!("The optimum that each start reaches: {}.", words.collect::<Vec<_>>().join("; "));
    let bottom = size.1 - 20 - height as u32;
    let x = Axis::new(grid.x_title, grid.x_range.0, grid.x_range.1);
    let y = Axis::new(grid.y_title, grid.y_range.0, grid.y_range.1);
    let mut chart = Chart::new("atlas", size, x, y).margins(72, 216, 20, bottom).alt(alt);
    // All optima after the first few have one colour, and are drawn at once.
    for group in 0..found.len().min(MOST + 1) {
        draw_cells(&mut chart, &grid, (columns, rows), |cell| member[cell].min(MOST) == group, tint(group));
    }
    if let Some(ground) = ground {
        let every = stride(ground.samples.nrows(), 1500);
        chart.scatter(points(ground.samples).into_iter().step_by(every), 1.9, INK, 0.55);
        for at in points(ground.fixed) {
            chart.cross(at, 6.5, INK);
        }
    }
    legend(&mut chart, 72.0 + width + 22.0, &found, objective, ground.is_some_and(|g| g.fixed.nrows() > 0));
    chart.finish()
}

/// The most optima with a colour and a place in the legend of their own.
const MOST: usize = 6;

/// The colour of an optimum as a surface: paler than as a line, and grey for those after the sixth.
fn tint(group: usize) -> Rgb {
    let solid = if group < MOST { colour(group) } else { [150, 148, 140] };
    solid.map(|channel| (0.62 * f64::from(channel) + 0.38 * 255.0).round() as u8)
}

/// The cells that are chosen, runs of them as one bar; a hair wider than they are, so that no gap shows.
fn draw_cells(
    chart: &mut Chart,
    grid: &StartGrid,
    (columns, rows): (usize, usize),
    chosen: impl Fn(usize) -> bool,
    colour: Rgb,
) {
    let edge = |range: (f64, f64), i: usize, n: usize| range.0 + (range.1 - range.0) * i as f64 / n as f64;
    for row in 0..rows {
        let (low, high) = (edge(grid.y_range, row, rows), edge(grid.y_range, row + 1, rows));
        let mut column = 0;
        while column < columns {
            let length = (column..columns).take_while(|&column| chosen(row * columns + column)).count();
            if length > 0 {
                let left = edge(grid.x_range, column, columns);
                let right = edge(grid.x_range, column + length, columns);
                chart.area([(left, low), (right, low), (right, high), (left, high)], colour, 1.0);
            }
            column += length.max(1);
        }
    }
}

/// The optima, the best first, with what they reach and from how many starts.
fn legend(chart: &mut Chart, left: f64, found: &[Optimum], objective: Objective, crosses: bool) {
    let ink = Ink::new(INK).plain();
    let grey = Ink::new(GREY).plain().size(12.5);
    let total: usize = found.iter().map(|group| group.count).sum();
    let share = |count: usize| format!("{count} of {total} starts");
    let box_at = |chart: &mut Chart, top: f64, colour: Rgb| -> Point {
        let corners = [(0.0, 0.0), (18.0, 0.0), (18.0, 18.0), (0.0, 18.0)];
        let corners = corners.map(|(x, y)| chart.at_pixel(left + x, top - 9.0 + y));
        chart.area(corners, colour, 1.0);
        chart.at_pixel(left + 28.0, top)
    };
    let mut top = 36.0;
    for (index, group) in found.iter().enumerate().take(MOST) {
        let at = box_at(chart, top, tint(index));
        chart.text(at, (0.0, 0.0), Side::Right, ink.bold(), objective.words(group.best, group.worst));
        chart.text(at, (0.0, 17.0), Side::Right, grey, share(group.count));
        top += 46.0;
    }
    if found.len() > MOST {
        let at = box_at(chart, top, tint(MOST));
        let text = format!("{} other optima", found.len() - MOST);
        chart.text(at, (0.0, 0.0), Side::Right, ink.bold(), text);
        chart.text(
            at,
            (0.0, 17.0),
            Side::Right,
            grey,
            share(found[MOST..].iter().map(|group| group.count).sum()),
        );
        top += 46.0;
    }
    if crosses {
        let at = chart.at_pixel(left + 9.0, top);
        chart.cross(at, 6.5, INK);
        chart.text(at, (19.0, 0.0), Side::Right, ink, "fixed in each start");
    }
}
