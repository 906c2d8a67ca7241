//! The sufficient statistics of an E-step, and the M-step that uses them.

use ndarray::{Array1, Array2};

use super::nearest::{accumulate, accumulate_observed, accumulate_weighted};
use super::{Block, KMeans};
use crate::compute::message_of_fields;
use crate::compute::simd::InstructionSet;

/// The sufficient statistics of an E-step: sums over samples, so that the statistics of parts of the data can be merged.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeansStatistics {
    /// The weighted sum of the squared distances of the samples to their nearest centroids.
    pub inertia: f64,
    /// The number of samples of each cluster, without samples of weight 0.
    pub counts: Array1<u64>,
    /// The sum of the sample weights of each cluster; without weights, the number of samples.
    pub weights: Array1<f64>,
    /// The weighted sum of (sample - `origin`) for each cluster, k x d. Missing values add nothing.
    pub sums: Array2<f64>,
    /// For a table in which NaN is a missing value: the sum of the weights of the samples that have a value, for each
    /// cluster and column, k x d.
    pub observed: Option<Array2<f64>>,
    /// A point near the data; subtracting it keeps the sums precise. All parts of the data and all iterations must use
    /// the same point.
    pub origin: Array1<f64>,
}

message_of_fields! { KMeansStatistics { inertia, counts, weights, sums, observed, origin } }

impl KMeansStatistics {
    pub(super) fn new(clusters: usize, origin: &[f64], nan_is_missing: bool) -> KMeansStatistics {
        KMeansStatistics {
            inertia: 0.0,
            counts: Array1::zeros(clusters),
            weights: Array1::zeros(clusters),
            sums: Array2::zeros((clusters, origin.len())),
            observed: nan_is_missing.then(|| Array2::zeros((clusters, origin.len()))),
            origin: origin.to_vec().into(),
        }
    }

    /// Adds a block of samples; `weights` holds the weights of all samples of the table.
    pub(super) fn add(&mut self, instructions: InstructionSet, block: &Block, weights: Option<&[f64]>) {
        for &label in block.labels {
            self.counts[label as usize] += 1;
        }
        let origin = self.origin.as_slice().expect("origins are made in one piece");
        let sums = self.sums.as_slice_mut().expect("sums are made in rows");
        let weights = weights.map(|weights| &weights[block.first..][..block.labels.len()]);
        match (&mut self.observed, weights) {
            (Some(observed), _) => {
                let observed = observed.as_slice_mut().expect("weights are made in rows");
                accumulate_observed(block.rows, block.labels, weights, origin, sums, observed);
            }
            (None, Some(weights)) => accumulate_weighted(block.rows, block.labels, weights, origin, sums),
            (None, None) => accumulate(instructions, block.rows, block.labels, origin, sums),
        }
        let Some(weights) = weights else {
            self.inertia += sum_of_four(block.distances);
            return;
        };
        for ((&label, weight), distance) in block.labels.iter().zip(weights).zip(block.distances) {
            self.weights[label as usize] += weight;
            self.inertia += weight * distance;
        }
    }

    /// Adds the statistics of other samples, with the same centroids and origin.
    ///
    /// # Panics
    ///
    /// Panics if the origins or the shapes differ, or if NaN is a missing value in only one of the tables.
    pub fn merge(&mut self, other: &KMeansStatistics) {
        assert_eq!(self.origin, other.origin, "statistics about different origins");
        assert_eq!(self.sums.dim(), other.sums.dim(), "statistics of different models");
        assert_eq!(self.observed.is_some(), other.observed.is_some(), "statistics of different tables");
        self.inertia += other.inertia;
        self.counts += &other.counts;
        self.weights += &other.weights;
        self.sums += &other.sums;
        if let (Some(observed), Some(more)) = (&mut self.observed, &other.observed) {
            *observed += more;
        }
    }

    /// The M-step: moves each centroid to the mean of its cluster, in each column over the values that are not missing. An
    /// empty cluster keeps its centroid from `before`, and a column without a value its coordinate.
    ///
    /// # Panics
    ///
    /// Panics if `before` does not have the shape of the E-step's model.
    #[must_use]
    pub fn maximisation(&self, before: &KMeans) -> KMeans {
        assert_eq!(before.centroids.dim(), self.sums.dim(), "the M-step of another model");
        let mut centroids = before.centroids.clone();
        for (j, mut centroid) in centroids.rows_mut().into_iter().enumerate() {
            match &self.observed {
                _ if self.counts[j] == 0 => {}
                None => centroid.assign(&(&self.origin + &(&self.sums.row(j) / self.weights[j]))),
                Some(observed) => {
                    for (h, coordinate) in
                        centroid.iter_mut().enumerate().filter(|(h, _)| observed[(j, *h)] > 0.0)
                    {
                        *coordinate = self.origin[h] + self.sums[(j, h)] / observed[(j, h)];
                    }
                }
            }
        }
        KMeans { centroids }
    }
}

/// Sums numbers. Four independent sums let the additions overlap; a single sum would wait for each addition to finish.
pub(super) fn sum_of_four(numbers: &[f64]) -> f64 {
    let (fours, rest) = numbers.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for four in fours {
        for lane in 0..4 {
            sums[lane] += four[lane];
        }
    }
    sums.iter().chain(rest).sum()
}
