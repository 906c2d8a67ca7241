//! Layout: axis ranges, grids of panels, labels without overlap.

use super::Point;

/// Returns the minimum and the maximum of the values; (infinity, -infinity) if there are none.
pub fn extent(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    values
        .into_iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// The range of the values, extended on both sides by a `share` of its length; never empty.
pub fn padded(values: impl IntoIterator<Item = f64>, share: f64) -> (f64, f64) {
    let (low, high) = extent(values);
    if low > high {
        return (-0.5, 0.5); // no values
    }
    let pad = match share * (high - low) {
        pad if pad > (1e-9 * low.abs().max(high.abs())).max(1e-130) => pad,
        _ => (0.1 * high.abs()).max(0.5),
    };
    (low - pad, high + pad)
}

/// Returns ranges of x and y that contain all points, with a small margin.
pub fn ranges(points: &[Point]) -> ((f64, f64), (f64, f64)) {
    (padded(points.iter().map(|point| point.0), 0.06), padded(points.iter().map(|point| point.1), 0.06))
}

/// Returns the width and height of axes whose units are equally long, within a maximum size. A very elongated range
/// fills the maximum size instead.
pub fn equal_units(x: (f64, f64), y: (f64, f64), (width, height): (f64, f64)) -> (f64, f64) {
    let (across, up) = (x.1 - x.0, y.1 - y.0);
    let unit = (width / across).min(height / up);
    if !(unit > 0.0 && unit.is_finite()) {
        return (width, height); // `Chart::finish` reports these invalid ranges
    }
    let (wide, high) = (across * unit, up * unit);
    if wide < 0.45 * width || high < 0.45 * height { (width, height) } else { (wide.round(), high.round()) }
}

/// Returns the smallest stride that selects at most `most` of the samples.
pub fn stride(samples: usize, most: usize) -> usize {
    samples.div_ceil(most.max(1)).max(1)
}

/// Positions of labels of equal height, in pixels: as close as possible to `wanted`, without overlap, between `top` and
/// `bottom`.
pub fn spread(wanted: &[f64], height: f64, (top, bottom): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut places = vec![0.0; wanted.len()];
    let mut least = top;
    for &i in &order {
        places[i] = wanted[i].max(least);
        least = places[i] + height;
    }
    let mut most = bottom;
    for &i in order.iter().rev() {
        places[i] = places[i].min(most);
        most = places[i] - height;
    }
    places
}

/// A grid of equal panels, in pixels of the figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// The number of panels per row.
    pub columns: usize,
    /// Width and height of a panel.
    pub panel: (f64, f64),
    /// Horizontal and vertical gaps between panels.
    pub gap: (f64, f64),
    /// The upper left corner of the first panel.
    pub origin: (f64, f64),
}

impl Grid {
    /// The upper left corner of a panel; panels are counted row by row.
    pub fn corner(&self, index: usize) -> (f64, f64) {
        let (row, column) = (index / self.columns.max(1), index % self.columns.max(1));
        (
            self.origin.0 + column as f64 * (self.panel.0 + self.gap.0),
            self.origin.1 + row as f64 * (self.panel.1 + self.gap.1),
        )
    }

    /// The size of a figure with this many panels and margins at its right and bottom.
    pub fn size(&self, panels: usize, right: f64, bottom: f64) -> (u32, u32) {
        let panels = panels.max(1);
        let right_most = self.corner(self.columns.clamp(1, panels) - 1).0;
        let lowest = self.corner(panels - 1).1;
        let size = (right_most + self.panel.0 + right, lowest + self.panel.1 + bottom);
        (size.0.round() as u32, size.1.round() as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_ranges_are_never_empty() {
        for values in [
            vec![0.0],
            vec![3.0, 3.0],
            vec![1e9, 1e9],
            vec![-1.0, 2.0],
            vec![5e-324, -5e-324],
            vec![1e130; 2],
        ] {
            let (low, high) = padded(values.iter().copied(), 0.1);
            assert!(low < values[0] && high > values[0]);
        }
    }

    #[test]
    fn spread_labels_do_not_overlap() {
        let places = spread(&[10.0, 11.0, 50.0, 99.0], 12.0, (0.0, 100.0));
        assert_eq!(places, [10.0, 22.0, 50.0, 99.0]);
        assert_eq!(spread(&[98.0, 99.0], 12.0, (0.0, 100.0)), [88.0, 100.0]);
    }

    #[test]
    fn grids_place_panels_in_rows() {
        let grid = Grid { columns: 3, panel: (100.0, 50.0), gap: (10.0, 20.0), origin: (40.0, 30.0) };
        assert_eq!((grid.corner(0), grid.corner(4)), ((40.0, 30.0), (150.0, 100.0)));
        assert_eq!((grid.size(5, 6.0, 8.0), grid.size(1, 6.0, 8.0)), ((366, 158), (146, 88)));
    }
}
