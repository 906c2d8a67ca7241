//! Blocks of samples in f64, with one lane per sample.

use super::{Chunk, F64s, Simd, Vector, prefetch_line};

/// The number of samples that a kernel processes at a time.
pub(crate) const BLOCK: usize = 64;

/// One number per sample of a block.
pub(crate) type Lanes = [f64; BLOCK];

/// Lanes of 0.
pub(crate) const ZERO_LANES: Lanes = [0.0; BLOCK];

/// The number of vectors in a tile. Their sums stay in registers.
pub(crate) const TILE: usize = 4;

/// The size of the squares that [`Simd::transpose_f64`] transposes.
const SQUARE: usize = 4;

/// Returns the vectors of a block's lanes, grouped into tiles.
#[inline(always)]
pub(crate) fn tiles<S: Simd>(lanes: &Lanes) -> &[[S::F64Array; TILE]] {
    S::F64Array::all(lanes).as_chunks().0
}

/// Returns the vectors of a block's lanes, grouped into tiles, for writing.
#[inline(always)]
pub(crate) fn tiles_mut<S: Simd>(lanes: &mut Lanes) -> &mut [[S::F64Array; TILE]] {
    S::F64Array::all_mut(lanes).as_chunks_mut().0
}

/// Loads the vectors of one tile.
#[inline(always)]
pub(crate) fn load_tile<S: Simd>(simd: S, lanes: &Lanes, tile: usize) -> [S::F64; TILE] {
    let tile = &tiles::<S>(lanes)[tile];
    [simd.load_f64(&tile[0]), simd.load_f64(&tile[1]), simd.load_f64(&tile[2]), simd.load_f64(&tile[3])]
}

/// Transposes up to [`BLOCK`] rows of d numbers into d arrays of `BLOCK` lanes, one lane per sample. Unused lanes repeat the
/// last sample; sums must give them the weight 0.
#[inline(always)]
pub(crate) fn transpose<S: Simd>(simd: S, rows: &[f64], transposed: &mut [Lanes]) {
    let dimensions = transposed.len();
    let samples = rows.len() / dimensions;
    assert!((1..=BLOCK).contains(&samples), "{samples} rows in a block of {BLOCK}");
    if samples == BLOCK {
        for (square, rows) in rows.chunks_exact(SQUARE * dimensions).enumerate() {
            let (a, rest) = rows.split_at(dimensions);
            let (b, rest) = rest.split_at(dimensions);
            let (c, d) = rest.split_at(dimensions);
            // the rows of the next block, if there is one; a cache line holds 8 numbers
            for at in (0..rows.len()).step_by(8) {
                prefetch_line::<true>(rows.as_ptr().wrapping_add(BLOCK * dimensions + at).cast());
            }
            let ((a, last_a), (b, last_b)) = (a.as_chunks(), b.as_chunks());
            let ((c, last_c), (d, last_d)) = (c.as_chunks(), d.as_chunks());
            let (columns, last) = transposed.as_chunks_mut::<SQUARE>();
            for ((((columns, a), b), c), d) in columns.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                for (column, turned) in columns.iter_mut().zip(simd.transpose_f64([a, b, c, d])) {
                    column.as_chunks_mut().0[square] = turned;
                }
            }
            for ((((column, a), b), c), d) in last.iter_mut().zip(last_a).zip(last_b).zip(last_c).zip(last_d)
            {
                column.as_chunks_mut().0[square] = [*a, *b, *c, *d];
            }
        }
    } else {
        for s in 0..BLOCK {
            let row = &rows[s.min(samples - 1) * dimensions..][..dimensions];
            for (lanes, &value) in transposed.iter_mut().zip(row) {
                lanes[s] = value;
            }
        }
    }
}

/// Returns sum_s a_s b_s over a block, always in the same order of addition.
#[inline(always)]
pub(crate) fn dot<S: Simd>(simd: S, a: &Lanes, b: &Lanes) -> f64 {
    let mut sums = [simd.splat_f64(0.0); TILE];
    for (a, b) in tiles::<S>(a).iter().zip(tiles::<S>(b)) {
        for t in 0..TILE {
            sums[t] = simd.load_f64(&a[t]).multiply_add(simd.load_f64(&b[t]), sums[t]);
        }
    }
    ((sums[0] + sums[2]) + (sums[1] + sums[3])).sum()
}
