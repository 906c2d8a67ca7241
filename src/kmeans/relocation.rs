//! Moves each empty cluster to a point far from all centroids.

use std::ops::Range;

use ndarray::Array1;

use super::statistics::KMeansStatistics;
use super::{Block, KMeans, Search, Space};
use crate::compute::message_of_fields;
use crate::data::{Weighted, sum_rows};
use crate::error::Result;

/// A point far from its centroid, with all samples equal to that point. These samples move together, so that a sample of
/// weight 2 behaves like two equal samples.
#[derive(Debug, Clone)]
struct FarPoint {
    distance: f64,
    /// The index of the first sample equal to the point.
    row: usize,
    label: usize,
    /// NaN where a value is missing.
    point: Vec<f64>,
    samples: u64,
    weight: f64,
}

message_of_fields! { FarPoint { distance, row, label, point, samples, weight } }

/// Merges equal points and keeps the `most` farthest points, in descending order of distance.
fn keep_farthest(far: &mut Vec<FarPoint>, most: usize) {
    // Equal points have equal distances and labels: sorting by distance and coordinates puts them side by side.
    far.sort_by(|a, b| {
        let coordinates = || a.point.iter().zip(&b.point).map(|(a, b)| a.total_cmp(b));
        let by_point = || coordinates().find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal);
        b.distance.total_cmp(&a.distance).then_with(by_point)
    });
    far.dedup_by(|next, kept| {
        let mut pairs = next.point.iter().zip(&kept.point);
        let same = pairs.all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
        if same {
            kept.row = kept.row.min(next.row);
            kept.samples += next.samples;
            kept.weight += next.weight;
        }
        same
    });
    far.sort_by(|a, b| b.distance.total_cmp(&a.distance).then(a.row.cmp(&b.row)));
    far.truncate(most);
}

/// Adds the points of a block that do not lie on their centroid. `weights` holds the weights of all samples of the table.
fn add_block(far: &mut Vec<FarPoint>, block: &Block, dimensions: usize, weights: Option<&[f64]>) {
    let samples = block.rows.chunks_exact(dimensions).zip(block.labels).zip(block.distances);
    for (s, ((point, &label), &distance)) in samples.enumerate() {
        if distance > 0.0 {
            far.push(FarPoint {
                distance,
                row: block.first + s,
                label: label as usize,
                // -0 is 0, and one NaN stands for all
                point: point.iter().map(|x| if x.is_nan() { f64::NAN } else { x + 0.0 }).collect(),
                samples: 1,
                weight: weights.map_or(1.0, |weights| weights[block.first + s]),
            });
        }
    }
}

impl KMeans {
    /// Moves each empty cluster to the farthest point that can leave its current cluster. Returns the model for the M-step:
    /// where the point misses a value, the moved centroid has the coordinate of the cluster that the point leaves.
    pub(super) fn relocate(
        &self,
        samples: &Weighted,
        statistics: &mut KMeansStatistics,
        threads: usize,
    ) -> Result<KMeans> {
        let (data, clusters) = (samples.data(), statistics.counts.len());
        // k points are enough: a point that is alone in its cluster cannot leave it, but such clusters and the empty ones
        // together are at most k.
        let search = Search::new(self, data)?;
        let work = |space: &mut Space, range: Range<usize>| {
            let mut far = Vec::new();
            search.each_block(space, range, |block| {
                add_block(&mut far, &block, data.dimensions(), samples.weights());
                keep_farthest(&mut far, clusters);
            })?;
            Ok(far)
        };
        let merge = |far: &mut Vec<FarPoint>, more: Vec<FarPoint>| {
            far.extend(more);
            keep_farthest(far, clusters);
        };
        let farthest = sum_rows(data, threads, || search.space(), work, merge)?;
        let mut farthest = farthest.unwrap_or_default().into_iter();
        let mut moved = self.clone();
        for empty in 0..clusters {
            if statistics.counts[empty] > 0 {
                continue;
            }
            // The weight that remains in the cluster must exceed its rounding error.
            let can_leave = |far: &FarPoint| {
                let (samples, weight) = (statistics.counts[far.label], statistics.weights[far.label]);
                samples > far.samples && weight - far.weight > 1e-12 * weight
            };
            let Some(far) = farthest.find(can_leave) else { break };
            let point = (Array1::from(far.point) - &statistics.origin) * far.weight;
            statistics.counts[far.label] -= far.samples;
            statistics.counts[empty] = far.samples;
            statistics.weights[far.label] -= far.weight;
            statistics.weights[empty] = far.weight;
            if let Some(observed) = &mut statistics.observed {
                moved.centroids.row_mut(empty).assign(&self.centroids.row(far.label));
                for (h, _) in point.iter().enumerate().filter(|(_, x)| !x.is_nan()) {
                    let rest = observed[(far.label, h)] - far.weight;
                    // a smaller rest is rounding error: no other sample of the cluster has a value
                    let is_left = rest > 1e-12 * observed[(far.label, h)];
                    observed[(far.label, h)] = if is_left { rest } else { 0.0 };
                    observed[(empty, h)] = far.weight;
                }
            }
            let point = point.mapv(|x| if x.is_nan() { 0.0 } else { x });
            let mut left = statistics.sums.row_mut(far.label);
            left -= &point;
            statistics.sums.row_mut(empty).assign(&point);
        }
        Ok(moved)
    }
}
