//! Which part of a rectangle belongs to what.

use contour::ContourBuilder;

use super::chart::{Chart, Point};
use super::palette::Tint;
use crate::error::{Error, Result};

/// A rectangle of equal cells, each of which belongs to a region, with one colour for each region; corners are cut, so that
/// slanting borders have no stairs.
///
/// `regions` are those of the cells, row by row, the lowest row first, with `columns` cells a row.
///
/// # Errors
///
/// What the crate `contour` says.
pub fn draw_regions(
    chart: &mut Chart,
    (x, y): ((f64, f64), (f64, f64)),
    columns: usize,
    regions: &[usize],
    tints: &[Tint],
) -> Result<()> {
    let failed = |error: contour::Error| Error::Drawing { figure: "regions".into(), source: error.into() };
    let rows = regions.len() / columns;
    let along = |range: (f64, f64), share: f64| range.0 + (range.1 - range.0) * share;
    let place = |u: f64, v: f64| (along(x, u / columns as f64), along(y, v / rows as f64));
    chart.block((x.0, y.0), (x.1, y.1), tints[0]);
    // A region is painted together with all later ones, which then cover their part, so that no gaps show between two.
    for (region, &tint) in tints.iter().enumerate().skip(1) {
        let inside: Vec<f64> = regions.iter().map(|&other| f64::from(u8::from(other >= region))).collect();
        let found = ContourBuilder::new(columns, rows, false).contours(&inside, &[0.5]).map_err(failed)?;
        for polygon in found.iter().flat_map(|contour| contour.geometry()) {
            // Holes run the other way round, so they stay holes where all rings make one path.
            for ring in std::iter::once(polygon.exterior()).chain(polygon.interiors()) {
                let ring: Vec<Point> = ring.0.iter().map(|point| place(point.x, point.y)).collect();
                chart.area(ring, tint, 1.0);
            }
        }
    }
    Ok(())
}
