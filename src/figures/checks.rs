//! Validation of the figures' input. Each check returns an error if its condition fails.

use ndarray::{Array1, Array2, ArrayViewD, Axis, Dimension as _};

use crate::data::fits;
use crate::data::idx::Images;
use crate::draw::Point;
use crate::em::Fit;
use crate::error::{Error, Result};
use crate::gmm::Gmm;
use crate::routing::{CapsuleLayerRun, Routing};

/// The most clusters or components that a figure shows.
const MOST_CLUSTERS: usize = 200;

/// Checks that `found` is at most `most`. `expected` states the limit in words, such as "at most 12".
pub(super) fn at_most(name: &'static str, found: usize, most: usize, expected: &'static str) -> Result<()> {
    if found > most {
        return Err(Error::Setting { name, expected, value: found as f64 });
    }
    Ok(())
}

/// Checks that a list is not empty.
pub(super) fn not_empty<T>(what: &'static str, items: &[T]) -> Result<()> {
    if items.is_empty() { Err(Error::Empty { what }) } else { Ok(()) }
}

/// Checks that all numbers are from 0 to 1.
pub(super) fn shares(name: &'static str, values: impl IntoIterator<Item = f64>) -> Result<()> {
    within(name, (0.0, 1.0), "from 0 to 1", values)
}

/// Checks that all numbers are in a closed range. `expected` states the range in words.
pub(super) fn within(
    name: &'static str,
    (low, high): (f64, f64),
    expected: &'static str,
    values: impl IntoIterator<Item = f64>,
) -> Result<()> {
    match values.into_iter().find(|value| !(low..=high).contains(value)) {
        Some(value) => Err(Error::Setting { name, expected, value }),
        None => Ok(()),
    }
}

/// Checks that a length is the expected one.
pub(super) fn length(name: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Length { name, expected, found }) }
}

/// Checks that an array has the expected shape.
pub(super) fn shape(name: &'static str, expected: &[usize], found: &[usize]) -> Result<()> {
    match expected == found {
        true => Ok(()),
        false => Err(Error::Shape { name, expected: expected.to_vec(), found: found.to_vec() }),
    }
}

/// Checks that all numbers are finite.
pub(super) fn finite(name: &'static str, values: impl IntoIterator<Item = f64>) -> Result<()> {
    match values.into_iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::Setting { name, expected: "finite", value }),
        None => Ok(()),
    }
}

/// Checks that all entries of an array are finite.
pub(super) fn entries(name: &'static str, array: ArrayViewD<f64>) -> Result<()> {
    match array.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some((place, &value)) => {
            Err(Error::EntryOutOfRange { name, place: place.slice().to_vec(), expected: "finite", value })
        }
        None => Ok(()),
    }
}

/// Checks that there are samples and columns, and that all numbers and their squares are finite.
pub(super) fn samples(data: &Array2<f64>) -> Result<()> {
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

/// Checks samples as [`samples`] does, and that they are points in the plane.
pub(super) fn plane(data: &Array2<f64>) -> Result<()> {
    samples(data)?;
    length("a sample to be drawn in the plane", 2, data.ncols())
}

/// Returns samples in the plane, which must have been checked, as points.
pub(super) fn points(data: &Array2<f64>) -> Vec<Point> {
    data.rows().into_iter().map(|row| (row[0], row[1])).collect()
}

/// Checks that a fit has at least one step, its start.
pub(super) fn steps<M>(fit: &Fit<M>) -> Result<()> {
    not_empty("steps of the fit", &fit.objectives)
}

/// Checks centroids or means: equally many in each step, at most 200, and points in the plane within 1e130 of 0.
pub(super) fn centres<'a>(
    name: &'static str,
    steps: impl IntoIterator<Item = &'a Array2<f64>>,
) -> Result<()> {
    let mut first = None;
    for centres in steps {
        let (count, columns) = centres.dim();
        length("a mean to be drawn in the plane", 2, columns)?;
        if count == 0 {
            return Err(Error::Empty { what: "centroids or components" });
        }
        at_most("the number of clusters or components", count, MOST_CLUSTERS, "at most 200 in a figure")?;
        length(name, *first.get_or_insert(count), count)?;
        if let Some(((k, h), &value)) = centres.indexed_iter().find(|(_, value)| !fits(**value)) {
            let (place, expected) = (vec![k, h], "within 1e130 of 0");
            return Err(Error::EntryOutOfRange { name, place, expected, value });
        }
    }
    Ok(())
}

/// Checks that a mixture is valid and in the plane.
pub(super) fn mixture(mixture: &Gmm) -> Result<()> {
    centres("the means", [&mixture.means])?;
    Gmm::new(mixture.weights.clone(), mixture.means.clone(), mixture.covariances.clone()).map(|_| ())
}

/// Checks that there is one label per sample, and returns the number of clusters.
pub(super) fn labels(data: &Array2<f64>, labels: &Array1<usize>) -> Result<usize> {
    length("labels", data.nrows(), labels.len())?;
    // A larger label is probably an error: no figure can show so many clusters.
    let limit = data.nrows().max(64);
    if let Some(index) = labels.iter().position(|&label| label >= limit) {
        let label = labels[index];
        return Err(Error::LabelOutOfRange { item: "sample", index, label, count: limit, of: "clusters" });
    }
    let clusters = labels.iter().max().map_or(0, |label| label + 1);
    let name = "the number of clusters, the largest label + 1,";
    at_most(name, clusters, MOST_CLUSTERS, "at most 200 in a figure")?;
    Ok(clusters)
}

/// Checks that a routing has iterations of one shape, children, parents and this position. Returns the numbers of children
/// and parents.
pub(super) fn routing(routing: &Routing, position: usize) -> Result<(usize, usize)> {
    let Some(first) = routing.trace.first() else { return Err(Error::Empty { what: "iterations" }) };
    let (positions, children, parents) = first.responsibilities.dim();
    let elements = first.means.dim().2;
    if position >= positions {
        let (name, expected) = ("position", "one of the routing's positions");
        return Err(Error::Setting { name, expected, value: position as f64 });
    }
    for (size, what) in [(children, "children"), (parents, "parents")] {
        if size == 0 {
            return Err(Error::Empty { what });
        }
    }
    for step in &routing.trace {
        let found = step.responsibilities.shape();
        shape("the routing's responsibilities", &[positions, children, parents], found)?;
        shape("the routing's means", &[positions, parents, elements], step.means.shape())?;
        shape("the routing's variances", &[positions, parents, elements], step.variances.shape())?;
        shape("the routing's activations", &[positions, parents], step.activations.shape())?;
        shape("the routing's costs", &[positions, parents], step.costs.shape())?;
    }
    Ok((children, parents))
}

/// Checks that images have pixels, as many as their size requires.
pub(super) fn images(images: &Images) -> Result<()> {
    not_empty("pixels", &images.pixels)?;
    let expected = images.len().saturating_mul(images.height).saturating_mul(images.width);
    length("the pixels", expected, images.pixels.len())
}

/// Checks the arguments of [`digit_routing`](super::chapter08::digit_routing).
pub(super) fn digit_run(pixels: &[u8], width: usize, run: &CapsuleLayerRun) -> Result<()> {
    not_empty("pixels", pixels)?;
    if width == 0 || !pixels.len().is_multiple_of(width) {
        let expected = pixels.len().div_ceil(width.max(1)).saturating_mul(width.max(1));
        return Err(Error::Length { name: "the pixels", expected, found: pixels.len() });
    }
    class_run(run)
}

/// Checks the class layer's routing: one position of at most 16 classes, which sees all positions below, and finite numbers.
pub(super) fn class_run(run: &CapsuleLayerRun) -> Result<()> {
    let (children, classes) = routing(&run.routing, 0)?;
    length("the positions of the classes", 1, run.routing.last().activations.nrows())?;
    at_most("the number of classes", classes, 16, "at most 16 in this figure")?;
    let [_, rows, columns, kinds] = run.patches.below;
    let expected = rows.saturating_mul(columns).saturating_mul(kinds);
    length("the children of the classes", expected, children)?;
    let below = &run.input.activations;
    shape("the activations below", &[1, children], below.shape())?;
    entries("the activations below", below.row(0).into_dyn())?;
    for step in &run.routing.trace {
        entries("the activations", step.activations.row(0).into_dyn())?;
        let responsibilities = step.responsibilities.index_axis(Axis(0), 0);
        entries("the responsibilities", responsibilities.into_dyn())?;
        let masses = responsibilities.indexed_iter().map(|((i, _), share)| (below[(0, i)] * share).abs());
        finite("the mass of all children", [masses.sum()])?;
    }
    Ok(())
}
