//! Maps of regions: a rectangle divided into coloured areas.

use contour::ContourBuilder;

use super::chart::{Chart, Pen, Point};
use super::palette::{CARD, Tint};
use crate::error::{Error, Result};

/// Draws a rectangle of equal cells, each coloured by its region. Corners are cut, so that slanted borders look smooth.
///
/// `regions` holds the region of each cell, row by row, lowest row first, with `columns` cells per row. Thin lines in the
/// card's colour separate the regions. Returns a position for each region's name: the centre of its largest square of
/// cells.
///
/// # Errors
///
/// Returns an error if the crate `contour` fails.
pub fn draw_regions(
    chart: &mut Chart,
    (x, y): ((f64, f64), (f64, f64)),
    columns: usize,
    regions: &[usize],
    tints: &[Tint],
) -> Result<Vec<Point>> {
    let failed = |error: contour::Error| Error::Drawing { figure: "regions".into(), source: error.into() };
    let rows = regions.len() / columns;
    let along = |range: (f64, f64), share: f64| range.0 + (range.1 - range.0) * share;
    let place = |u: f64, v: f64| (along(x, u / columns as f64), along(y, v / rows as f64));
    chart.block((x.0, y.0), (x.1, y.1), tints[0]);
    let mut rings = Vec::new();
    // Each region is filled together with all later ones, which then cover their part; this leaves no gaps.
    for (region, &tint) in tints.iter().enumerate().skip(1) {
        let inside: Vec<f64> = regions.iter().map(|&other| f64::from(u8::from(other >= region))).collect();
        let found = ContourBuilder::new(columns, rows, false).contours(&inside, &[0.5]).map_err(failed)?;
        for polygon in found.iter().flat_map(|contour| contour.geometry()) {
            // Holes have the opposite orientation, so they stay holes when all rings form one path.
            for ring in std::iter::once(polygon.exterior()).chain(polygon.interiors()) {
                let ring: Vec<Point> = ring.0.iter().map(|point| place(point.x, point.y)).collect();
                chart.area(ring.iter().copied(), tint, 1.0);
                rings.push(ring);
            }
        }
    }
    rings.into_iter().for_each(|ring| chart.line_anywhere(ring, Pen::new(CARD, 1.4)));
    Ok(middles(columns, regions, tints.len()).into_iter().map(|(u, v)| place(u, v)).collect())
}

/// The centre of the largest square of cells in each region.
fn middles(columns: usize, regions: &[usize], count: usize) -> Vec<Point> {
    let mut largest = vec![(0, (0.0, 0.0)); count];
    // the side of the largest square that ends at this cell
    let mut sides = vec![1; regions.len()];
    for (cell, &region) in regions.iter().enumerate() {
        let (row, column) = (cell / columns, cell % columns);
        if row > 0 && column > 0 {
            let before = [1, columns, columns + 1].map(|back| cell - back);
            let same = |&other: &usize| if regions[other] == region { sides[other] } else { 0 };
            sides[cell] = 1 + before.iter().map(same).min().unwrap_or(0);
        }
        if sides[cell] > largest[region].0 {
            let half = sides[cell] as f64 / 2.0;
            largest[region] = (sides[cell], ((column + 1) as f64 - half, (row + 1) as f64 - half));
        }
    }
    largest.into_iter().map(|(_, middle)| middle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_names_are_placed_in_the_largest_square_of_the_region() {
        let regions = [0, 1, 1, 0, 1, 1, 0, 0, 0];
        assert_eq!(middles(3, &regions, 2), [(0.5, 0.5), (2.0, 1.0)]);
    }
}
