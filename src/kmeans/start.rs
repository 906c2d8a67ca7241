//! Random initial centroids.

use std::ops::Range;

use ndarray::Array2;
use rand::Rng;
use rand::seq::index;

use super::nearest::{Workspace, nearest};
use crate::compute::simd::{BLOCK, InstructionSet};
use crate::data::{ColumnScan, RowBuffer, Rows, Weighted, sum_rows};
use crate::error::Result;

/// The maximum count of numbers that k-means++ reads (16 MiB), unless 64 rows per cluster have more.
const NUMBERS: usize = 1 << 21;

/// Draws k different samples one after another, with probability proportional to their weight.
pub(super) fn random_points(
    samples: &Weighted,
    scan: &ColumnScan,
    clusters: usize,
    rng: &mut impl Rng,
) -> Result<Array2<f64>> {
    let data = samples.data();
    let rows = match samples.weights() {
        None => index::sample(rng, data.samples(), clusters).into_vec(),
        Some(weights) => {
            // Efraimidis and Spirakis 2006: draw exponential waiting times with the weights as rates; the k shortest win,
            // in order.
            let waits: Vec<f64> =
                weights.iter().map(|weight| -(1.0 - rng.r#gen::<f64>()).ln() / weight).collect();
            let mut rows: Vec<usize> = (0..waits.len()).collect();
            rows.sort_by(|&a, &b| waits[a].total_cmp(&waits[b]));
            rows.truncate(clusters);
            rows
        }
    };
    let mut buffer = RowBuffer::default();
    let mut points = Array2::zeros((clusters, data.dimensions()));
    for (row, mut point) in rows.into_iter().zip(points.rows_mut()) {
        let sample = data.read(row..row + 1, &mut buffer)?;
        point.iter_mut().zip(completed(sample, scan)).for_each(|(point, x)| *point = x);
    }
    Ok(points)
}

/// Returns a sample as a centroid, with the means of the columns in the place of missing values.
fn completed(sample: &[f64], scan: &ColumnScan) -> impl Iterator<Item = f64> {
    sample.iter().zip(&scan.mean).map(|(&x, &mean)| if x.is_nan() { mean } else { x })
}

/// Chooses initial centroids by greedy k-means++.
pub(super) fn plus_plus(
    samples: &Weighted,
    scan: &ColumnScan,
    clusters: usize,
    threads: usize,
    rng: &mut impl Rng,
) -> Result<Array2<f64>> {
    let data = samples.data();
    let dimensions = data.dimensions();
    let considered = (NUMBERS / dimensions).max(64 * clusters).min(data.samples());
    let wanted = choose(data.samples(), considered, rng);
    let rows = gather(data, &wanted, threads)?;
    // Without weights each sample weighs 1.
    let weight = |index: usize| samples.weights().map_or(1.0, |weights| weights[wanted[index]]);
    let centroid =
        |index: usize| -> Vec<f64> { completed(&rows[index * dimensions..][..dimensions], scan).collect() };
    let instructions = InstructionSet::detect();
    let mut space = Workspace::new(dimensions, data.nan_is_missing());
    // Returns each sample's squared distance to the nearest centroid after adding `centroid`.
    let mut nearer_of = |before: &[f64], centroid: &[f64]| -> Vec<f64> {
        let mut after = Vec::with_capacity(before.len());
        for (block, before) in rows.chunks(BLOCK * dimensions).zip(before.chunks(BLOCK)) {
            nearest(instructions, block, dimensions, centroid, &mut space);
            after.extend(space.distances().iter().zip(before).map(|(&new, &old)| new.min(old)));
        }
        after
    };
    let trials = 2 + (clusters as f64).ln() as usize;
    // As u64, so that a seed gives the same sample where usize has 32 bits.
    let any = |rng: &mut _| Rng::gen_range(rng, 0..considered as u64) as usize;
    let first = match samples.weights() {
        None => any(rng),
        Some(_) => draw(&cumulative((0..considered).map(weight)), rng).unwrap_or(0),
    };
    let mut centroids = centroid(first);
    let mut distances = nearer_of(&vec![f64::INFINITY; considered], &centroids);
    for _ in 1..clusters {
        let shares =
            cumulative(distances.iter().enumerate().map(|(index, distance)| weight(index) * distance));
        let mut best: Option<(f64, usize, Vec<f64>)> = None;
        for _ in 0..trials {
            // If all distances are 0, any sample will do.
            let index = draw(&shares, rng).unwrap_or_else(|| any(rng));
            let after = nearer_of(&distances, &centroid(index));
            let sum: f64 = after.iter().enumerate().map(|(index, distance)| weight(index) * distance).sum();
            if best.as_ref().is_none_or(|(best, ..)| sum < *best) {
                best = Some((sum, index, after));
            }
        }
        let (_, index, after) = best.expect("there are at least two trials");
        centroids.extend(centroid(index));
        distances = after;
    }
    Ok(Array2::from_shape_vec((clusters, dimensions), centroids).expect("k rows of d numbers"))
}

/// Returns the cumulative sums of the numbers.
fn cumulative(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    numbers
        .scan(0.0, |sum, number| {
            *sum += number;
            Some(*sum)
        })
        .collect()
}

/// Draws an index with probability proportional to its number, given cumulative sums. Returns None if all numbers are 0.
fn draw(cumulative: &[f64], rng: &mut impl Rng) -> Option<usize> {
    let last = cumulative.len() - 1;
    let drawn = rng.r#gen::<f64>() * cumulative[last];
    (cumulative[last] > 0.0).then(|| cumulative.partition_point(|&sum| sum <= drawn).min(last))
}

/// Returns `count` row indices in ascending order: all rows, or a random subsample.
fn choose(rows: usize, count: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut chosen = match count == rows {
        true => (0..count).collect(),
        false => index::sample(rng, rows, count).into_vec(),
    };
    chosen.sort_unstable();
    chosen
}

/// Copies the rows with these indices, which must be in ascending order.
fn gather(data: &dyn Rows, wanted: &[usize], threads: usize) -> Result<Vec<f64>> {
    let dimensions = data.dimensions();
    let work = |buffer: &mut RowBuffer, range: Range<usize>| {
        let place = |row| wanted.partition_point(|&wanted| wanted < row);
        let wanted = &wanted[place(range.start)..place(range.end)];
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let first = range.start;
        let chunk = data.read(range, buffer)?;
        let rows = wanted.iter().flat_map(|row| &chunk[(row - first) * dimensions..][..dimensions]);
        Ok(vec![rows.copied().collect::<Vec<f64>>()])
    };
    let parts = sum_rows(data, threads, RowBuffer::default, work, |all, more| all.extend(more))?;
    Ok(parts.unwrap_or_default().concat())
}
