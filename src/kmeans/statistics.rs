//! The sums that an iteration leaves of the samples, and the M-step that they are enough for.

use ndarray::{Array1, Array2};

use super::nearest::{accumulate, accumulate_weighted};
use super::{Block, KMeans};
use crate::compute::simd::InstructionSet;

/// What an E-step leaves of the samples for the M-step: sums, so that parts of the data can be taken apart and merged.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeansStatistics {
    /// The sum of the squared distances of the samples to their nearest centroids, each times its weight.
    pub inertia: f64,
    /// The number of samples of each cluster, without those of weight 0.
    pub counts: Array1<u64>,
    /// The sum of the weights of each cluster's samples: their number where each counts once.
    pub weights: Array1<f64>,
    /// For each cluster the sum of its samples minus `origin`, each times its weight, k x d.
    pub sums: Array2<f64>,
    /// A point amid the data, so that the sums keep their digits. It must be the same for all parts and iterations.
    pub origin: Array1<f64>,
}

impl KMeansStatistics {
    pub(super) fn new(clusters: usize, origin: &[f64]) -> KMeansStatistics {
        KMeansStatistics {
            inertia: 0.0,
            counts: Array1::zeros(clusters),
            weights: Array1::zeros(clusters),
            sums: Array2::zeros((clusters, origin.len())),
            origin: origin.to_vec().into(),
        }
    }

    /// Adds a block of samples; `weights` are those of all samples.
    pub(super) fn add(&mut self, instructions: InstructionSet, block: &Block, weights: Option<&[f64]>) {
        for &label in block.labels {
            self.counts[label as usize] += 1;
        }
        let origin = self.origin.as_slice().expect("origins are made in one piece");
        let sums = self.sums.as_slice_mut().expect("sums are made in rows");
        let Some(weights) = weights else {
            accumulate(instructions, block.rows, block.labels, origin, sums);
            self.inertia += sum_of_four(block.distances);
            return;
        };
        let weights = &weights[block.first..][..block.labels.len()];
        accumulate_weighted(block.rows, block.labels, weights, origin, sums);
        for ((&label, weight), distance) in block.labels.iter().zip(weights).zip(block.distances) {
            self.weights[label as usize] += weight;
            self.inertia += weight * distance;
        }
    }

    /// Adds what was found of other samples, with the same centroids and origin.
    ///
    /// # Panics
    ///
    /// Panics if the origins or the shapes differ.
    pub fn merge(&mut self, other: &KMeansStatistics) {
        assert_eq!(self.origin, other.origin, "statistics about different origins");
        assert_eq!(self.sums.dim(), other.sums.dim(), "statistics of different models");
        self.inertia += other.inertia;
        self.counts += &other.counts;
        self.weights += &other.weights;
        self.sums += &other.sums;
    }

    /// The M-step: the mean of each cluster. A cluster without a sample keeps the centroid of `before`.
    ///
    /// # Panics
    ///
    /// Panics if `before` does not have the shape of the model that the statistics are of.
    #[must_use]
    pub fn maximisation(&self, before: &KMeans) -> KMeans {
        assert_eq!(before.centroids.dim(), self.sums.dim(), "the M-step of another model");
        let mut centroids = before.centroids.clone();
        for (j, mut centroid) in centroids.rows_mut().into_iter().enumerate() {
            if self.counts[j] > 0 {
                centroid.assign(&(&self.origin + &(&self.sums.row(j) / self.weights[j])));
            }
        }
        KMeans { centroids }
    }
}

/// The sum of these numbers. Four sums run side by side: one alone would wait for each addition to end.
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
