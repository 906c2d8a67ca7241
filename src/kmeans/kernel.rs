//! Distances to the nearest centroid, a block of samples at a time.

#[cfg(target_arch = "x86_64")]
use crate::lanes::Avx2;
use crate::lanes::{Lanes, NOTHING, Plain, Simd, TILE, Vector, WIDTH, transpose};

/// Space for one block, and what is found of it.
pub(super) struct Workspace {
    /// The block, d lanes.
    x: Vec<Lanes>,
    distances: Lanes,
    /// The index of this centroid, as a number so that it takes a lane like the distance.
    labels: Lanes,
}

impl Workspace {
    pub(super) fn new(dimensions: usize) -> Workspace {
        Workspace { x: vec![NOTHING; dimensions], distances: NOTHING, labels: NOTHING }
    }

    /// The squared distance of each sample to its nearest centroid.
    pub(super) fn distances(&self) -> &[f64] {
        self.distances.as_flattened()
    }

    /// The index of this centroid.
    pub(super) fn labels(&self) -> &[f64] {
        self.labels.as_flattened()
    }
}

/// For each of up to `BLOCK` rows the nearest of the centroids (k x d), the first of them where several are equally near.
pub(super) fn nearest(simd: Simd, rows: &[f64], dimensions: usize, centroids: &[f64], space: &mut Workspace) {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this value exists only where the processor has AVX2 and FMA.
        Simd::Avx2 => unsafe { nearest_avx2(rows, dimensions, centroids, space) },
        Simd::Portable => nearest_body::<Plain>(rows, dimensions, centroids, space),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn nearest_avx2(rows: &[f64], dimensions: usize, centroids: &[f64], space: &mut Workspace) {
    nearest_body::<Avx2>(rows, dimensions, centroids, space);
}

/// ```text
/// d_sj = sum_h (x_sh - c_jh)^2
/// ```
///
/// Written out as |x|^2 - 2 x c + |c|^2 it would take fewer operations, but lose digits where the data lie far from 0, and
/// ties would be decided by rounding.
#[inline(always)]
fn nearest_body<V: Vector>(rows: &[f64], dimensions: usize, centroids: &[f64], space: &mut Workspace) {
    transpose::<V>(rows, &mut space.x);
    let results =
        space.distances.as_chunks_mut::<TILE>().0.iter_mut().zip(space.labels.as_chunks_mut::<TILE>().0);
    for (tile, (distances, labels)) in results.enumerate() {
        let mut smallest = [V::splat(f64::INFINITY); TILE];
        let mut nearest = [V::splat(0.0); TILE];
        // Two centroids at a time: each vector that is loaded serves twice, and eight sums run side by side.
        let mut pairs = centroids.chunks_exact(2 * dimensions);
        let mut label = 0.0;
        for pair in &mut pairs {
            let (one, other) = pair.split_at(dimensions);
            let (mut to_one, mut to_other) = ([V::splat(0.0); TILE], [V::splat(0.0); TILE]);
            for ((x, &one), &other) in space.x.iter().zip(one).zip(other) {
                let x = &x.as_chunks::<TILE>().0[tile];
                let (one, other) = (V::splat(one), V::splat(other));
                for t in 0..TILE {
                    let x = V::load(&x[t]);
                    let (a, b) = (x.minus(one), x.minus(other));
                    to_one[t] = a.multiply_add(a, to_one[t]);
                    to_other[t] = b.multiply_add(b, to_other[t]);
                }
            }
            let (one, other) = (V::splat(label), V::splat(label + 1.0));
            for t in 0..TILE {
                (smallest[t], nearest[t]) = to_one[t].smaller(one, smallest[t], nearest[t]);
                (smallest[t], nearest[t]) = to_other[t].smaller(other, smallest[t], nearest[t]);
            }
            label += 2.0;
        }
        let last = pairs.remainder();
        if !last.is_empty() {
            let mut to_last = [V::splat(0.0); TILE];
            for (x, &last) in space.x.iter().zip(last) {
                let x = &x.as_chunks::<TILE>().0[tile];
                for t in 0..TILE {
                    let a = V::load(&x[t]).minus(V::splat(last));
                    to_last[t] = a.multiply_add(a, to_last[t]);
                }
            }
            for t in 0..TILE {
                (smallest[t], nearest[t]) = to_last[t].smaller(V::splat(label), smallest[t], nearest[t]);
            }
        }
        for t in 0..TILE {
            smallest[t].store(&mut distances[t]);
            nearest[t].store(&mut labels[t]);
        }
    }
}

/// Adds each sample, minus the origin (d), to the sums of its label (k x d), one after another.
pub(super) fn accumulate(simd: Simd, rows: &[f64], labels: &[f64], origin: &[f64], sums: &mut [f64]) {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this value exists only where the processor has AVX2 and FMA.
        Simd::Avx2 => unsafe { accumulate_avx2(rows, labels, origin, sums) },
        Simd::Portable => accumulate_body(rows, labels, origin, sums),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn accumulate_avx2(rows: &[f64], labels: &[f64], origin: &[f64], sums: &mut [f64]) {
    accumulate_body(rows, labels, origin, sums);
}

#[inline(always)]
fn accumulate_body(rows: &[f64], labels: &[f64], origin: &[f64], sums: &mut [f64]) {
    let dimensions = origin.len();
    let (origins, last_origins) = origin.as_chunks::<WIDTH>();
    for (row, &label) in rows.chunks_exact(dimensions).zip(labels) {
        let sum = &mut sums[label as usize * dimensions..][..dimensions];
        let (sums, last_sums) = sum.as_chunks_mut::<WIDTH>();
        let (row, last_row) = row.as_chunks::<WIDTH>();
        for ((sum, x), origin) in sums.iter_mut().zip(row).zip(origins) {
            for lane in 0..WIDTH {
                sum[lane] += x[lane] - origin[lane];
            }
        }
        for ((sum, &x), &origin) in last_sums.iter_mut().zip(last_row).zip(last_origins) {
            *sum += x - origin;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::BLOCK;

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
                            assert!((space.distances()[s] - smallest).abs() <= 1e-14 * smallest);
                            assert!((all[space.labels()[s] as usize] - smallest).abs() <= 1e-14 * smallest);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn of_equally_near_centroids_the_first_is_taken() {
        for simd in Simd::all() {
            for clusters in 1..=5 {
                let mut space = Workspace::new(2);
                nearest(simd, &[0.0, 1.0, 0.0, -1.0], 2, &[1.0, 0.0].repeat(clusters), &mut space);
                assert_eq!((space.labels()[0], space.labels()[1]), (0.0, 0.0));
            }
        }
    }
}
