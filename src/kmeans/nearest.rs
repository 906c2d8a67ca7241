//! Distances to the nearest centroid, computed for a block of samples at a time.

use crate::compute::simd::{
    BLOCK, Chunk, F64s, InstructionSet, Lanes, Simd, TILE, Vector, WithSimd, ZERO_LANES, tiles, tiles_mut,
    transpose,
};

/// The buffers and results for one block of samples.
pub(super) struct Workspace {
    /// The samples of the block, d x `BLOCK` lanes.
    x: Vec<Lanes>,
    /// 1 for each number of `x`, or 0 if it is missing; without missing values empty.
    present: Vec<Lanes>,
    distances: Lanes,
    /// The index of each sample's nearest centroid.
    labels: [u32; BLOCK],
}

impl Workspace {
    /// `nan_is_missing` says whether rows may contain NaN.
    pub(super) fn new(dimensions: usize, nan_is_missing: bool) -> Workspace {
        let present = vec![ZERO_LANES; if nan_is_missing { dimensions } else { 0 }];
        Workspace { x: vec![ZERO_LANES; dimensions], present, distances: ZERO_LANES, labels: [0; BLOCK] }
    }

    /// Loads up to `BLOCK` rows and returns whether a value is missing.
    #[inline(always)]
    fn load<S: Simd>(&mut self, simd: S, rows: &[f64]) -> bool {
        transpose(simd, rows, &mut self.x);
        if self.present.is_empty() || !rows.iter().any(|x| x.is_nan()) {
            return false;
        }
        for (x, present) in self.x.iter_mut().flatten().zip(self.present.iter_mut().flatten()) {
            (*x, *present) = if x.is_nan() { (0.0, 0.0) } else { (*x, 1.0) };
        }
        true
    }

    /// Returns the squared distance of each sample to its nearest centroid.
    pub(super) fn distances(&self) -> &[f64] {
        &self.distances
    }

    /// Returns the index of each sample's nearest centroid.
    pub(super) fn labels(&self) -> &[u32] {
        &self.labels
    }
}

/// Finds the nearest of the centroids (k x d) for each of up to `BLOCK` rows; ties go to the first centroid.
pub(super) fn nearest(
    instructions: InstructionSet,
    rows: &[f64],
    dimensions: usize,
    centroids: &[f64],
    space: &mut Workspace,
) {
    instructions.run(Nearest { rows, dimensions, centroids, space });
}

struct Nearest<'a> {
    rows: &'a [f64],
    dimensions: usize,
    centroids: &'a [f64],
    space: &'a mut Workspace,
}

impl WithSimd for Nearest<'_> {
    type Output = ();

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) {
        let Nearest { rows, dimensions, centroids, space } = self;
        let incomplete = space.load(simd, rows);
        // process together as many centroids as have room for their sums in registers
        match S::REGISTERS {
            _ if incomplete => nearest_body::<S, 2, true>(simd, dimensions, centroids, space),
            ..32 => nearest_body::<S, 2, false>(simd, dimensions, centroids, space),
            _ => nearest_body::<S, 4, false>(simd, dimensions, centroids, space),
        }
    }
}

/// Computes the distances (m x k) of up to `BLOCK` rows (m x d) to each centroid (k x d).
pub(super) fn distances(
    instructions: InstructionSet,
    rows: &[f64],
    dimensions: usize,
    centroids: &[f64],
    space: &mut Workspace,
    output: &mut [f64],
) {
    instructions.run(Distances { rows, dimensions, centroids, space, output });
}

struct Distances<'a> {
    rows: &'a [f64],
    dimensions: usize,
    centroids: &'a [f64],
    space: &'a mut Workspace,
    output: &'a mut [f64],
}

impl WithSimd for Distances<'_> {
    type Output = ();

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) {
        let Distances { rows, dimensions, centroids, space, output } = self;
        let incomplete = space.load(simd, rows);
        let block = (&space.x[..], &space.present[..]);
        let clusters = centroids.len() / dimensions;
        for (j, centroid) in centroids.chunks_exact(dimensions).enumerate() {
            for (tile, squares) in tiles_mut::<S>(&mut space.distances).iter_mut().enumerate() {
                let mut best = Best::none(simd);
                match incomplete {
                    false => best.compare::<S, 1, false>(simd, block, tile, [centroid], j),
                    true => best.compare::<S, 1, true>(simd, block, tile, [centroid], j),
                }
                for (found, squares) in best.distances.iter().zip(squares) {
                    found.store(squares);
                }
            }
            for (row, square) in output.chunks_exact_mut(clusters).zip(&space.distances) {
                row[j] = square.sqrt();
            }
        }
    }
}

/// ```text
/// d_sj = sum_h (x_sh - mu_jh)^2
/// ```
///
/// Expanding the square to |x|^2 - 2 x c + |c|^2 would take fewer operations, but data far from 0 would lose digits and
/// rounding would decide ties.
///
/// A missing x_sh adds nothing (`INCOMPLETE`).
///
/// `TOGETHER` centroids are processed at once: each loaded vector of x serves all of them, and their sums run in parallel.
#[inline(always)]
fn nearest_body<S: Simd, const TOGETHER: usize, const INCOMPLETE: bool>(
    simd: S,
    dimensions: usize,
    centroids: &[f64],
    space: &mut Workspace,
) {
    let block = (&space.x[..], &space.present[..]);
    let labels = space.labels.chunks_exact_mut(TILE * S::F64_WIDTH);
    let results = tiles_mut::<S>(&mut space.distances).iter_mut().zip(labels);
    for (tile, (distances, labels)) in results.enumerate() {
        let mut best = Best::none(simd);
        let groups = centroids.chunks_exact(TOGETHER * dimensions);
        let (rest, alone) = (groups.remainder(), centroids.len() / dimensions / TOGETHER * TOGETHER);
        for (group, centroids) in groups.enumerate() {
            let centroids: [&[f64]; TOGETHER] = split(centroids, dimensions);
            best.compare::<S, TOGETHER, INCOMPLETE>(simd, block, tile, centroids, group * TOGETHER);
        }
        for (at, centroid) in rest.chunks_exact(dimensions).enumerate() {
            best.compare::<S, 1, INCOMPLETE>(simd, block, tile, [centroid], alone + at);
        }
        for t in 0..TILE {
            best.distances[t].store(&mut distances[t]);
            best.labels[t].store_whole(&mut labels[t * S::F64_WIDTH..][..S::F64_WIDTH]);
        }
    }
}

/// Splits numbers into `ROWS` rows of d.
#[inline(always)]
fn split<const ROWS: usize>(numbers: &[f64], dimensions: usize) -> [&[f64]; ROWS] {
    let mut rows = [numbers; ROWS];
    for (row, numbers) in rows.iter_mut().zip(numbers.chunks_exact(dimensions)) {
        *row = numbers;
    }
    rows
}

/// The nearest centroid found so far for each sample of a tile.
struct Best<V> {
    distances: [V; TILE],
    /// Indices of centroids, stored as f64 so that they use the same lanes as the distances. (They stay below 2^31: more
    /// centroids would not fit in memory.)
    labels: [V; TILE],
}

impl<V: Vector> Best<V> {
    #[inline(always)]
    fn none<S: Simd<F64 = V>>(simd: S) -> Best<V> {
        Best { distances: [simd.splat_f64(f64::INFINITY); TILE], labels: [simd.splat_f64(0.0); TILE] }
    }

    /// Compares the samples with more centroids, whose first index is `label`. `present` is read only if a value is missing.
    #[inline(always)]
    fn compare<S: Simd<F64 = V>, const TOGETHER: usize, const INCOMPLETE: bool>(
        &mut self,
        simd: S,
        (x, present): (&[Lanes], &[Lanes]),
        tile: usize,
        centroids: [&[f64]; TOGETHER],
        label: usize,
    ) {
        let mut sums = [[simd.splat_f64(0.0); TILE]; TOGETHER];
        for (h, x) in x.iter().enumerate() {
            let x = &tiles::<S>(x)[tile];
            for c in 0..TOGETHER {
                let centroid = simd.splat_f64(centroids[c][h]);
                for t in 0..TILE {
                    let mut z = simd.load_f64(&x[t]) - centroid;
                    if INCOMPLETE {
                        z = z * simd.load_f64(&tiles::<S>(&present[h])[tile][t]);
                    }
                    sums[c][t] = z.multiply_add(z, sums[c][t]);
                }
            }
        }
        for (c, sums) in sums.iter().enumerate() {
            let label = simd.splat_f64((label + c) as f64);
            for (t, sum) in sums.iter().enumerate() {
                let distance = self.distances[t];
                self.distances[t] = sum.if_less(distance, *sum, distance);
                self.labels[t] = sum.if_less(distance, label, self.labels[t]);
            }
        }
    }
}

/// Adds each sample, minus the origin (d), to the row of its label in `sums` (k x d), sample by sample.
pub(super) fn accumulate(
    instructions: InstructionSet,
    rows: &[f64],
    labels: &[u32],
    origin: &[f64],
    sums: &mut [f64],
) {
    instructions.run(Accumulation { rows, labels, origin, sums });
}

struct Accumulation<'a> {
    rows: &'a [f64],
    labels: &'a [u32],
    origin: &'a [f64],
    sums: &'a mut [f64],
}

impl WithSimd for Accumulation<'_> {
    type Output = ();

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) {
        accumulate_body(simd, self.rows, self.labels, self.origin, self.sums);
    }
}

#[inline(always)]
fn accumulate_body<S: Simd>(simd: S, rows: &[f64], labels: &[u32], origin: &[f64], sums: &mut [f64]) {
    let dimensions = origin.len();
    for (row, &label) in rows.chunks_exact(dimensions).zip(labels) {
        let sum = &mut sums[label as usize * dimensions..][..dimensions];
        let ((sums, sum), (xs, row)) = (S::F64Array::split_mut(sum), S::F64Array::split(row));
        let (origins, origin) = S::F64Array::split(origin);
        for ((sum, x), origin) in sums.iter_mut().zip(xs).zip(origins) {
            (simd.load_f64(sum) + (simd.load_f64(x) - simd.load_f64(origin))).store(sum);
        }
        // The remaining columns, four at a time. Reading all four before writing lets the compiler vectorise: it need not
        // rule out overlap of the slices.
        let ((sums, sum), (xs, row)) = (sum.as_chunks_mut::<4>(), row.as_chunks::<4>());
        let (origins, origin) = origin.as_chunks::<4>();
        for ((sum, x), origin) in sums.iter_mut().zip(xs).zip(origins) {
            let mut total = *sum;
            for lane in 0..4 {
                total[lane] += x[lane] - origin[lane];
            }
            *sum = total;
        }
        for ((sum, &x), &origin) in sum.iter_mut().zip(row).zip(origin) {
            *sum += x - origin;
        }
    }
}

/// Adds the values of each sample that are not missing, minus the origin (d) and times the sample's weight, to the row of its
/// label in `sums` (k x d), and its weight to the same entries of `observed` (k x d), sample by sample.
pub(super) fn accumulate_observed(
    rows: &[f64],
    labels: &[u32],
    weights: Option<&[f64]>,
    origin: &[f64],
    sums: &mut [f64],
    observed: &mut [f64],
) {
    let dimensions = origin.len();
    for (sample, (row, &label)) in rows.chunks_exact(dimensions).zip(labels).enumerate() {
        let weight = weights.map_or(1.0, |weights| weights[sample]);
        let entries = label as usize * dimensions..(label as usize + 1) * dimensions;
        let sums = sums[entries.clone()].iter_mut().zip(&mut observed[entries]);
        for ((sum, observed), (x, origin)) in sums.zip(row.iter().zip(origin)) {
            if !x.is_nan() {
                *sum += weight * (x - origin);
                *observed += weight;
            }
        }
    }
}

/// Adds each sample, minus the origin (d) and times its weight, to the row of its label in `sums` (k x d), sample by
/// sample.
pub(super) fn accumulate_weighted(
    rows: &[f64],
    labels: &[u32],
    weights: &[f64],
    origin: &[f64],
    sums: &mut [f64],
) {
    let dimensions = origin.len();
    for ((row, &label), weight) in rows.chunks_exact(dimensions).zip(labels).zip(weights) {
        let sum = &mut sums[label as usize * dimensions..][..dimensions];
        for ((sum, x), origin) in sum.iter_mut().zip(row).zip(origin) {
            *sum += weight * (x - origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_finds_the_nearest_centroid() {
        for instructions in InstructionSet::all() {
            for samples in 1..=67 {
                for (dimensions, clusters) in [(1, 1), (2, 3), (3, 2), (5, 4), (7, 5), (16, 16), (17, 1)] {
                    let number = |i: usize| ((i as u64 * 2654435761) % 1009) as f64 / 500.0 - 1.0;
                    let rows: Vec<f64> = (0..samples * dimensions).map(number).collect();
                    let centroids: Vec<f64> = (0..clusters * dimensions).map(|i| number(i + 7777)).collect();
                    let mut space = Workspace::new(dimensions, false);
                    for block in rows.chunks(BLOCK * dimensions) {
                        nearest(instructions, block, dimensions, &centroids, &mut space);
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
    fn every_instruction_set_sums_bit_for_bit_like_scalar_code() {
        let number = |i: usize| ((i as u64 * 2654435761) % 1009) as f64 / 500.0 - 1.0;
        for instructions in InstructionSet::all() {
            for dimensions in 1..=33 {
                let rows: Vec<f64> = (0..9 * dimensions).map(number).collect();
                let origin: Vec<f64> = (0..dimensions).map(|h| number(h + 777)).collect();
                let labels = [0, 2, 1, 1, 2, 0, 0, 2, 1];
                let (mut found, mut expected) = (vec![0.5; 3 * dimensions], vec![0.5; 3 * dimensions]);
                accumulate(instructions, &rows, &labels, &origin, &mut found);
                for (s, &label) in labels.iter().enumerate() {
                    for h in 0..dimensions {
                        expected[label as usize * dimensions + h] += rows[s * dimensions + h] - origin[h];
                    }
                }
                assert_eq!(found, expected, "{instructions}: {dimensions} dimensions");
            }
        }
    }

    #[test]
    fn a_sample_equally_near_to_several_centroids_gets_the_first() {
        for instructions in InstructionSet::all() {
            for clusters in 1..=5 {
                let mut space = Workspace::new(2, false);
                nearest(instructions, &[0.0, 1.0, 0.0, -1.0], 2, &[1.0, 0.0].repeat(clusters), &mut space);
                assert_eq!((space.labels()[0], space.labels()[1]), (0, 0));
            }
        }
    }
}
