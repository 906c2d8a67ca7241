//! Samples from known mixtures, so that a fit can be compared with the truth.

use ndarray::{Array1, Array2, Array3, array};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::gmm::{Covariances, Gmm};

/// Returns the blog post's mixture: means (0, 4) and (-2, 0), covariances diag(3, 0.5) and diag(1, 2), weights 0.6 and
/// 0.4.
pub fn two_gaussians_model() -> Gmm {
    Gmm {
        weights: array![0.6, 0.4],
        means: array![[0.0, 4.0], [-2.0, 0.0]],
        covariances: Covariances::Full(array![[[3.0, 0.0], [0.0, 0.5]], [[1.0, 0.0], [0.0, 2.0]]]),
    }
}

/// Returns the blog post's data: `samples` draws (n x 2) from [`two_gaussians_model`] and their components (n).
///
/// As in the post, the first 0.6 n draws (rounded) are from the first Gaussian, all others from the second: of 1000
/// draws, 600 and 400. The same seed gives the same samples.
pub fn two_gaussians(samples: usize, seed: u64) -> (Array2<f64>, Array1<usize>) {
    let first = (0.6 * samples as f64).round() as usize;
    stratified(&two_gaussians_model(), &[first, samples - first], seed)
}

/// Returns `samples` draws (n x 2) and their clusters (n). The five clusters are round, equally large and touch: four on
/// a ring, one in the middle. From a bad start, K-means ends in one of several local optima.
pub fn five_blobs(samples: usize, seed: u64) -> (Array2<f64>, Array1<usize>) {
    let means = array![[-4.0, -2.5], [4.0, -3.0], [3.6, 3.4], [-3.6, 3.2], [0.2, 0.3]];
    let model = Gmm {
        weights: Array1::from_elem(5, 0.2),
        means,
        covariances: Covariances::Spherical(array![0.9, 0.7, 0.8, 0.6, 0.7]),
    };
    stratified(&model, &shares(samples, 5), seed)
}

/// Returns `samples` draws (n x 2) and their clusters (n). The three clusters are long, parallel and equally large.
/// K-means assumes round clusters and cuts across these long ones.
pub fn three_stripes(samples: usize, seed: u64) -> (Array2<f64>, Array1<usize>) {
    let mut covariances = Array3::zeros((3, 2, 2));
    for mut covariance in covariances.outer_iter_mut() {
        covariance.assign(&array![[4.2, 3.7], [3.7, 3.6]]);
    }
    let model = Gmm {
        weights: Array1::from_elem(3, 1.0 / 3.0),
        means: array![[-1.6, 1.6], [0.0, 0.0], [1.6, -1.6]],
        covariances: Covariances::Full(covariances),
    };
    stratified(&model, &shares(samples, 3), seed)
}

/// Splits `samples` evenly among the components; the first components get the remainder.
fn shares(samples: usize, components: usize) -> Vec<usize> {
    (0..components).map(|k| samples / components + usize::from(k < samples % components)).collect()
}

/// Draws `counts[k]` samples from each component of a two-dimensional model, one component after another.
fn stratified(model: &Gmm, counts: &[usize], seed: u64) -> (Array2<f64>, Array1<usize>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let labels: Array1<usize> =
        counts.iter().enumerate().flat_map(|(k, &count)| std::iter::repeat_n(k, count)).collect();
    let mut data = Array2::zeros((labels.len(), 2));
    for (mut row, &k) in data.rows_mut().into_iter().zip(&labels) {
        let covariance = model.covariance(k);
        // x = mu + L e with L L^T = Sigma
        let (first, second): (f64, f64) = (rng.sample(StandardNormal), rng.sample(StandardNormal));
        let l11 = covariance[(0, 0)].sqrt();
        let l21 = covariance[(1, 0)] / l11;
        let l22 = (covariance[(1, 1)] - l21 * l21).sqrt();
        row[0] = model.means[(k, 0)] + l11 * first;
        row[1] = model.means[(k, 1)] + l21 * first + l22 * second;
    }
    (data, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_gaussians_have_the_counts_and_moments_of_the_blog() {
        let (data, labels) = two_gaussians(100_000, 3);
        assert_eq!(labels.iter().filter(|&&label| label == 0).count(), 60_000);
        for (k, mean, variance) in [(0, [0.0, 4.0], [3.0, 0.5]), (1, [-2.0, 0.0], [1.0, 2.0])] {
            for column in 0..2 {
                let values: Array1<f64> =
                    (0..labels.len()).filter(|&i| labels[i] == k).map(|i| data[(i, column)]).collect();
                assert!((values.mean().unwrap() - mean[column]).abs() < 0.03);
                assert!((values.var(0.0) / variance[column] - 1.0).abs() < 0.03);
            }
        }
        assert_eq!(two_gaussians(10, 3), two_gaussians(10, 3));
        assert_ne!(two_gaussians(10, 3), two_gaussians(10, 4));
    }

    #[test]
    fn two_gaussians_accepts_zero_samples_and_shares_add_up_to_the_total() {
        assert_eq!(two_gaussians(0, 1).0.dim(), (0, 2));
        assert_eq!(shares(11, 3), [4, 4, 3]);
    }
}
