//! Distances to the nearest centroid, a block of samples at a time.

use crate::lanes::{BLOCK, Simd, TILE, multiply_add, transpose};

/// Space for one block, and what is found of it.
pub(super) struct Workspace {
    /// The block with one lane for each sample, d x `BLOCK`.
    transposed: Vec<f64>,
    /// The squared distance of each sample to its nearest centroid.
    pub(super) distances: [f64; BLOCK],
    /// The index of this centroid, as a number so that it takes a lane like the distance.
    pub(super) labels: [f64; BLOCK],
}

impl Workspace {
    pub(super) fn new(dimensions: usize) -> Workspace {
        Workspace { transposed: vec![0.0; dimensions * BLOCK], distances: [0.0; BLOCK], labels: [0.0; BLOCK] }
    }
}

/// For each of up to `BLOCK` rows the nearest of the centroids (k x d), the first of them where several are equally near.
pub(super) fn nearest(simd: Simd, rows: &[f64], dimensions: usize, centroids: &[f64], space: &mut Workspace) {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this value exists only where the processor has AVX2 and FMA.
        Simd::Avx2 => unsafe { nearest_avx2(rows, dimensions, centroids, space) },
        Simd::Portable => nearest_body::<false>(rows, dimensions, centroids, space),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn nearest_avx2(rows: &[f64], dimensions: usize, centroids: &[f64], space: &mut Workspace) {
    nearest_body::<true>(rows, dimensions, centroids, space);
}

/// ```text
/// d_sj = sum_h (x_sh - c_jh)^2
/// ```
///
/// Written out as |x|^2 - 2 x c + |c|^2 it would take fewer operations, but lose digits where the data lie far from 0, and
/// ties would be decided by rounding.
#[inline(always)]
fn nearest_body<const FMA: bool>(rows: &[f64], dimensions: usize, centroids: &[f64], space: &mut Workspace) {
    transpose(rows, dimensions, &mut space.transposed);
    for tile in (0..BLOCK).step_by(TILE) {
        let mut smallest = [f64::INFINITY; TILE];
        let mut labels = [0.0; TILE];
        let mut keep = |distances: &[f64; TILE], label: usize| {
            let label = label as f64;
            for s in 0..TILE {
                let nearer = distances[s] < smallest[s];
                smallest[s] = if nearer { distances[s] } else { smallest[s] };
                labels[s] = if nearer { label } else { labels[s] };
            }
        };
        // Two centroids at a time: each sample that is loaded serves twice.
        let mut pairs = centroids.chunks_exact(2 * dimensions);
        let mut label = 0;
        for pair in &mut pairs {
            let (one, other) = pair.split_at(dimensions);
            let (mut to_one, mut to_other) = ([0.0; TILE], [0.0; TILE]);
            for ((lanes, &one), &other) in space.transposed.as_chunks::<BLOCK>().0.iter().zip(one).zip(other)
            {
                let x = lanes[tile..].first_chunk::<TILE>().expect("a tile lies within its block");
                for s in 0..TILE {
                    let (a, b) = (x[s] - one, x[s] - other);
                    to_one[s] = multiply_add::<FMA>(a, a, to_one[s]);
                    to_other[s] = multiply_add::<FMA>(b, b, to_other[s]);
                }
            }
            keep(&to_one, label);
            keep(&to_other, label + 1);
            label += 2;
        }
        let last = pairs.remainder();
        if !last.is_empty() {
            let mut to_last = [0.0; TILE];
            for (lanes, &last) in space.transposed.as_chunks::<BLOCK>().0.iter().zip(last) {
                for s in 0..TILE {
                    let a = lanes[tile + s] - last;
                    to_last[s] = multiply_add::<FMA>(a, a, to_last[s]);
                }
            }
            keep(&to_last, label);
        }
        space.distances[tile..tile + TILE].copy_from_slice(&smallest);
        space.labels[tile..tile + TILE].copy_from_slice(&labels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_finds_the_nearest_at_every_remainder() {
        for simd in Simd::all() {
            for samples in 1..=67 {
                for (dimensions, clusters) in [(1, 1), (2, 3), (3, 2), (5, 4), (7, 5), (16, 16), (17, 1)] {
                    let number = |i: usize| ((i * 2654435761) % 1009) as f64 / 500.0 - 1.0;
                    let rows: Vec<f64> = (0..samples * dimensions).map(number).collect();
                    let centroids: Vec<f64> = (0..clusters * dimensions).map(|i| number(i + 7777)).collect();
                    let mut space = Workspace::new(dimensions);
                    for block in rows.chunks(BLOCK * dimensions) {
                        nearest(simd, block, dimensions, &centroids, &mut space);
                        for (s, row) in block.chunks(dimensions).enumerate() {
                            let to = |centroid: &[f64]| -> f64 {
                                row.iter().zip(centroid).map(|(x, c)| (x - c) * (x - c)).sum()
                            };
                            let all: Vec<f64> = centroids.chunks(dimensions).map(to).collect();
                            let smallest = all.iter().copied().fold(f64::INFINITY, f64::min);
                            assert!((space.distances[s] - smallest).abs() <= 1e-14 * smallest);
                            assert!((all[space.labels[s] as usize] - smallest).abs() <= 1e-14 * smallest);
                        }
                    }
                }
            }
        }
    }
}
