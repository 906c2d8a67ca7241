//! Random starts.

use ndarray::Array2;
use rand::Rng;
use rand::seq::index;

use super::nearest::{Workspace, nearest};
use crate::compute::simd::{BLOCK, InstructionSet};
use crate::data::{RowBuffer, Rows, chunk_count, chunk_range};
use crate::error::Result;

/// The numbers that k-means++ looks at, if they make enough rows: 16 MiB.
const NUMBERS: usize = 1 << 21;

/// k different samples.
pub(super) fn random_points(data: &dyn Rows, clusters: usize, rng: &mut impl Rng) -> Result<Array2<f64>> {
    let rows = index::sample(rng, data.samples(), clusters).into_vec();
    let mut buffer = RowBuffer::default();
    let mut points = Array2::zeros((clusters, data.dimensions()));
    for (row, mut point) in rows.into_iter().zip(points.rows_mut()) {
        let sample = data.read(row..row + 1, &mut buffer)?;
        point.iter_mut().zip(sample).for_each(|(point, sample)| *point = *sample);
    }
    Ok(points)
}

/// Greedy k-means++.
pub(super) fn plus_plus(data: &dyn Rows, clusters: usize, rng: &mut impl Rng) -> Result<Array2<f64>> {
    let dimensions = data.dimensions();
    let looked_at = (NUMBERS / dimensions).max(64 * clusters).min(data.samples());
    let rows = gather(data, looked_at, rng)?;
    let row = |index: usize| &rows[index * dimensions..][..dimensions];
    let instructions = InstructionSet::detect();
    let mut space = Workspace::new(dimensions);
    // The smaller of the distances so far and those to a new centroid.
    let mut with = |before: &[f64], centroid: &[f64]| -> Vec<f64> {
        let mut after = Vec::with_capacity(before.len());
        for (block, before) in rows.chunks(BLOCK * dimensions).zip(before.chunks(BLOCK)) {
            nearest(instructions, block, dimensions, centroid, &mut space);
            after.extend(space.distances().iter().zip(before).map(|(&new, &old)| new.min(old)));
        }
        after
    };
    let trials = 2 + (clusters as f64).ln() as usize;
    let mut centroids = row(rng.gen_range(0..looked_at)).to_vec();
    let mut distances = with(&vec![f64::INFINITY; looked_at], &centroids);
    for _ in 1..clusters {
        let cumulative: Vec<f64> = distances
            .iter()
            .scan(0.0, |sum, distance| {
                *sum += distance;
                Some(*sum)
            })
            .collect();
        let potential = cumulative[looked_at - 1];
        let mut best: Option<(f64, usize, Vec<f64>)> = None;
        for _ in 0..trials {
            let drawn = rng.r#gen::<f64>() * potential;
            // Where all distances are 0, any sample is as good.
            let index = match potential > 0.0 {
                true => cumulative.partition_point(|&sum| sum <= drawn).min(looked_at - 1),
                false => rng.gen_range(0..looked_at),
            };
            let after = with(&distances, row(index));
            let sum: f64 = after.iter().sum();
            if best.as_ref().is_none_or(|(best, ..)| sum < *best) {
                best = Some((sum, index, after));
            }
        }
        let (_, index, after) = best.expect("there are at least two trials");
        centroids.extend(row(index));
        distances = after;
    }
    Ok(Array2::from_shape_vec((clusters, dimensions), centroids).expect("k rows of d numbers"))
}

/// `count` rows in their order, all or drawn at random.
fn gather(data: &dyn Rows, count: usize, rng: &mut impl Rng) -> Result<Vec<f64>> {
    let dimensions = data.dimensions();
    let mut rows = Vec::with_capacity(count * dimensions);
    let mut wanted = match count == data.samples() {
        true => (0..count).collect(),
        false => index::sample(rng, data.samples(), count).into_vec(),
    };
    wanted.sort_unstable();
    let mut wanted = wanted.into_iter().peekable();
    let mut buffer = RowBuffer::default();
    for chunk in 0..chunk_count(data) {
        let range = chunk_range(data, chunk);
        if wanted.peek().is_none_or(|&row| row >= range.end) {
            continue;
        }
        let chunk = data.read(range.clone(), &mut buffer)?;
        while let Some(row) = wanted.next_if(|&row| row < range.end) {
            rows.extend(&chunk[(row - range.start) * dimensions..][..dimensions]);
        }
    }
    Ok(rows)
}
