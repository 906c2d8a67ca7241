//! K-means and Gaussian mixtures: golden cases, comparisons with the plain formulas, and properties.

mod files;
mod golden;
mod incomplete;
mod missing;
mod predictions;
mod properties;
mod restarts;
mod scales;
mod weights;

use ndarray::{Array2, ArrayBase, Data, Dimension};

/// Checks that each number is within `tolerance` of the expected one, relative to the largest expected number. NaN fails.
#[track_caller]
pub fn close<S: Data<Elem = f64>, T: Data<Elem = f64>, D: Dimension>(
    what: &str,
    found: &ArrayBase<S, D>,
    expected: &ArrayBase<T, D>,
    tolerance: f64,
) {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    let scale =
        expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs())).max(f64::MIN_POSITIVE);
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        assert!(
            error <= tolerance * scale,
            "{what}: number {index} is {found:e}, but should be {expected:e}"
        );
    }
}

/// Checks that each number is within `tolerance` of the expected one, relative to that number. NaN fails.
#[track_caller]
pub fn close_each(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        let bound = tolerance * expected.abs();
        assert!(error <= bound, "{what}: number {index} is {found:e}, but should be {expected:e}");
    }
}

/// Draws from `clusters` overlapping blobs, with arithmetic that gives the same bits on every machine.
pub fn blobs(samples: usize, dimensions: usize, clusters: usize, seed: u64) -> Array2<f64> {
    let mut state = seed;
    let mut uniform = move || {
        // SplitMix64
        state = state.wrapping_add(0x9e3779b97f4a7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let centres = Array2::from_shape_simple_fn((clusters, dimensions), || 6.0 * uniform() - 3.0);
    Array2::from_shape_fn((samples, dimensions), |(i, j)| {
        centres[(i % clusters, j)] + (0..6).map(|_| uniform()).sum::<f64>() - 3.0
    })
}
