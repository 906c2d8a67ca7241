//! What the plots of samples share: checks of their arguments, ranges, panels with equal units on both axes.

use ndarray::{Array1, Array2};

use super::chart::{Axis, CARD, Chart, INK, Point};
use super::colour;
use crate::data::fits;
use crate::em::Fit;
use crate::error::{Error, Result};

/// The least and the greatest; of no numbers, the whole line turned round.
pub(crate) fn extent(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    values
        .into_iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// A range around all values with a `share` of its length to spare on both sides, never empty.
pub(crate) fn padded(values: impl IntoIterator<Item = f64>, share: f64) -> (f64, f64) {
    let (low, high) = extent(values);
    if low > high {
        return (-0.5, 0.5); // there are none
    }
    let pad = match share * (high - low) {
        pad if pad > (1e-9 * low.abs().max(high.abs())).max(1e-130) => pad,
        _ => (0.1 * high.abs()).max(0.5),
    };
    (low - pad, high + pad)
}

/// The most clusters or components that a figure shows.
const MOST_CLUSTERS: usize = 200;

/// Is there something to draw, and are all numbers finite, with squares that are finite too?
pub(crate) fn check_samples(data: &Array2<f64>) -> Result<()> {
    if data.nrows() == 0 {
        return Err(Error::Empty { what: "samples" });
    }
    if data.ncols() == 0 {
        return Err(Error::Empty { what: "columns" });
    }
    match data.indexed_iter().find(|(_, value)| !fits(**value)) {
        Some(((row, column), &value)) if value.is_finite() => Err(Error::Magnitude { row, column, value }),
        Some(((row, column), &value)) => Err(Error::NonFinite { row, column, value }),
        None => Ok(()),
    }
}

/// Does a fit hold at least its start?
pub(crate) fn check_steps<M>(fit: &Fit<M>) -> Result<()> {
    match fit.objectives.is_empty() {
        true => Err(Error::Empty { what: "steps of the fit" }),
        false => Ok(()),
    }
}

/// Can centroids or means be drawn: as many in each step, not too many, and points of the plane that are not too far off?
pub(crate) fn check_centres<'a>(
    name: &'static str,
    steps: impl IntoIterator<Item = &'a Array2<f64>>,
) -> Result<()> {
    let mut first = None;
    for centres in steps {
        let (count, columns) = centres.dim();
        if columns != 2 {
            return Err(Error::Length {
                name: "a mean to be drawn in the plane",
                expected: 2,
                found: columns,
            });
        }
        if count == 0 {
            return Err(Error::Empty { what: "centroids or components" });
        }
        if count > MOST_CLUSTERS {
            let (name, expected) = ("the number of clusters or components", "at most 200 in a figure");
            return Err(Error::Setting { name, expected, value: count as f64 });
        }
        let expected = *first.get_or_insert(count);
        if count != expected {
            return Err(Error::Length { name, expected, found: count });
        }
        if let Some(((k, h), &value)) = centres.indexed_iter().find(|(_, value)| !fits(**value)) {
            return Err(Error::EntryOutOfRange {
                name,
                place: vec![k, h],
                expected: "within 1e130 of 0",
                value,
            });
        }
    }
    Ok(())
}

/// As [`check_samples`], and are they points of the plane?
pub(crate) fn check_plane(data: &Array2<f64>) -> Result<()> {
    check_samples(data)?;
    match data.ncols() {
        2 => Ok(()),
        found => Err(Error::Length { name: "a sample to be drawn in the plane", expected: 2, found }),
    }
}

/// One label for each sample; how many clusters there are.
pub(crate) fn check_labels(data: &Array2<f64>, labels: &Array1<usize>) -> Result<usize> {
    if labels.len() != data.nrows() {
        return Err(Error::Length { name: "labels", expected: data.nrows(), found: labels.len() });
    }
    // A label as large as that is a slip, and a list of so many clusters no picture.
    let limit = data.nrows().max(64);
    if let Some(index) = labels.iter().position(|&label| label >= limit) {
        let label = labels[index];
        return Err(Error::LabelOutOfRange { item: "sample", index, label, count: limit, of: "clusters" });
    }
    let clusters = labels.iter().max().map_or(0, |label| label + 1);
    if clusters > MOST_CLUSTERS {
        let (name, expected) = ("the number of clusters, the largest label + 1,", "at most 200 in a figure");
        return Err(Error::Setting { name, expected, value: clusters as f64 });
    }
    Ok(clusters)
}

/// A centroid: a disc in the colour of its cluster with a dark rim.
pub(crate) fn centre(chart: &mut Chart, at: Point, k: usize) {
    chart.disc(at, 8.0, INK);
    chart.dot(at, 5.8, colour(k));
}

/// The samples as points.
pub(crate) fn points(data: &Array2<f64>) -> Vec<Point> {
    data.rows().into_iter().map(|row| (row[0], row[1])).collect()
}

/// Every so manieth sample is drawn where there are more than `most`.
pub(crate) fn stride(samples: usize, most: usize) -> usize {
    samples.div_ceil(most.max(1)).max(1)
}

/// Ranges that hold all points, with a little room.
pub(crate) fn ranges(points: &[Point]) -> ((f64, f64), (f64, f64)) {
    (padded(points.iter().map(|point| point.0), 0.06), padded(points.iter().map(|point| point.1), 0.06))
}

/// Width and height of axes in which both units are equally long, at most so large; very long ranges fill them instead.
pub(crate) fn equal_units(x: (f64, f64), y: (f64, f64), (width, height): (f64, f64)) -> (f64, f64) {
    let (across, up) = (x.1 - x.0, y.1 - y.0);
    let unit = (width / across).min(height / up);
    if !(unit > 0.0 && unit.is_finite()) {
        return (width, height); // ranges that cannot be drawn: `Chart::finish` says so
    }
    let (wide, high) = (across * unit, up * unit);
    if wide < 0.45 * width || high < 0.45 * height { (width, height) } else { (wide.round(), high.round()) }
}

/// The axes of a plane of samples. `name` is what its columns are called.
pub(crate) fn axes(x: (f64, f64), y: (f64, f64)) -> (Axis, Axis) {
    (Axis::new("x_1", x.0, x.1), Axis::new("x_2", y.0, y.1))
}

/// A line that stands out from what is under it.
pub(crate) fn haloed(chart: &mut Chart, points: &[Point], pen: super::chart::Pen) {
    chart.line(points.iter().copied(), super::chart::Pen { width: pen.width + 2.6, colour: CARD, ..pen });
    chart.line(points.iter().copied(), pen);
}

/// Places for labels of one height that want to stand at `wanted`, in pixels: as near as may be without touching, between
/// `top` and `bottom`.
pub(crate) fn spread(wanted: &[f64], height: f64, (top, bottom): (f64, f64)) -> Vec<f64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_never_empty() {
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
    fn labels_make_room_for_each_other() {
        let places = spread(&[10.0, 11.0, 50.0, 99.0], 12.0, (0.0, 100.0));
        assert_eq!(places, [10.0, 22.0, 50.0, 99.0]);
        assert_eq!(spread(&[98.0, 99.0], 12.0, (0.0, 100.0)), [88.0, 100.0]);
    }
}
