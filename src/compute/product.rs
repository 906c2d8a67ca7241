//! The matrix product in f32.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

use super::simd::InstructionSet;

/// Rows of the product that are computed at a time.
const ROWS: usize = 4;
/// Columns of the product that are computed at a time. Four rows of two WebAssembly vectors, and what they are multiplied with, stay
/// in registers.
const COLUMNS: usize = 8;

/// Computes c = a b, or c += a b if `add` is true.
///
/// ndarray's product has no vectors in WebAssembly. There, and with the portable instructions, which are to have the same bits, the
/// product is that of [`in_blocks`].
///
/// # Panics
///
/// Panics if the shapes do not fit, or if a has no columns.
pub(crate) fn multiply(a: &ArrayView2<f32>, b: &ArrayView2<f32>, add: bool, c: &mut ArrayViewMut2<f32>) {
    if InstructionSet::detect().is_fused() {
        general_mat_mul(1.0, a, b, if add { 1.0 } else { 0.0 }, c);
    } else {
        in_blocks(a, b, add, c);
    }
}

/// Computes the product in blocks of [`ROWS`] x [`COLUMNS`] from copies of a and b, whose numbers lie in the order in which a block
/// needs them. Each number of the product is a sum in the order of b's rows.
fn in_blocks(a: &ArrayView2<f32>, b: &ArrayView2<f32>, add: bool, c: &mut ArrayViewMut2<f32>) {
    let ((m, inner), n) = (a.dim(), b.ncols());
    assert!(inner > 0 && b.nrows() == inner && c.dim() == (m, n), "the shapes of a product");
    let mut rows = vec![[0.0; ROWS]; m.div_ceil(ROWS) * inner];
    for (i, row) in a.outer_iter().enumerate() {
        let block = &mut rows[i / ROWS * inner..][..inner];
        block.iter_mut().zip(row).for_each(|(to, &from)| to[i % ROWS] = from);
    }
    let mut columns = vec![[0.0; COLUMNS]; inner];
    for first in (0..n).step_by(COLUMNS) {
        let width = COLUMNS.min(n - first);
        for (k, to) in columns.iter_mut().enumerate() {
            let row = b.row(k);
            (0..width).for_each(|j| to[j] = row[first + j]);
        }
        for (block, rows) in rows.chunks_exact(inner).enumerate() {
            let sums = block_of(rows, &columns);
            for (i, sums) in (block * ROWS..m).zip(&sums) {
                for (j, &sum) in sums[..width].iter().enumerate() {
                    let c = &mut c[(i, first + j)];
                    *c = if add { *c + sum } else { sum };
                }
            }
        }
    }
}

/// Computes one block of the product.
fn block_of(rows: &[[f32; ROWS]], columns: &[[f32; COLUMNS]]) -> [[f32; COLUMNS]; ROWS] {
    let mut sums = [[0.0; COLUMNS]; ROWS];
    for (row, column) in rows.iter().zip(columns) {
        for i in 0..ROWS {
            for j in 0..COLUMNS {
                sums[i][j] += row[i] * column[j];
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn in_blocks_matches_the_formula_for_all_sizes_and_layouts() {
        let noise = |i: usize, j: usize| ((i * 31 + j * 17) * 2_654_435_761 % 1009) as f32 / 500.0 - 1.0;
        for (m, inner, n) in [(1, 1, 1), (4, 3, 8), (5, 7, 9), (9, 16, 17), (3, 25, 32), (13, 2, 7)] {
            let (a, b) = (
                Array2::from_shape_fn((m, inner), |(i, k)| noise(i, k)),
                Array2::from_shape_fn((inner, n), |(k, j)| noise(j, k + 5)),
            );
            let turned = (a.t().as_standard_layout().to_owned(), b.t().as_standard_layout().to_owned());
            for add in [false, true] {
                let before = if add { 0.5 } else { f32::NAN };
                let mut c = Array2::from_elem((m, n), before);
                in_blocks(&a.view(), &b.view(), add, &mut c.view_mut());
                for ((i, j), &found) in c.indexed_iter() {
                    let sum: f64 = (0..inner).map(|k| f64::from(a[(i, k)]) * f64::from(b[(k, j)])).sum();
                    let error = (f64::from(found) - sum - if add { 0.5 } else { 0.0 }).abs();
                    assert!(error <= 1e-5, "{m} x {inner} x {n} at {i}, {j}: {error}");
                }
                let mut other = Array2::from_elem((m, n), before);
                in_blocks(&turned.0.t(), &turned.1.t(), add, &mut other.view_mut());
                assert_eq!(c, other);
            }
        }
    }
}
