//! Exact EM for samples with missing values (Ghahramani and Jordan 1994; Little and Rubin, Statistical Analysis with Missing
//! Data).
//!
//! A sample has the values x_o and lacks the values x_m. The missing values are integrated out, for each component:
//!
//! ```text
//! E-step       p(x_o | k) = N(x_o; mu_o, Sigma_oo)          the marginal of a Gaussian drops rows and columns
//! completion   E[x_m | x_o, k]   = mu_m + A (x_o - mu_o),   A = Sigma_mo Sigma_oo^-1
//!              Cov[x_m | x_o, k] = C = Sigma_mm - Sigma_mo Sigma_oo^-1 Sigma_om
//! M-step       as without missing values, with the completed sample; each sample adds w C to the second moments of x_m
//! ```
//!
//! Cholesky's method, stopped after the observed columns, gives all of it at once. With L L^T = Sigma_oo and B = Sigma_mo L^-T
//! it turns the covariance into
//!
//! ```text
//! Sigma_oo  Sigma_om         L  .
//! Sigma_mo  Sigma_mm    ->   B  C
//! ```
//!
//! and the same steps turn (x_o - mu_o, 0) into (y, -B y), with |y|^2 the square of the density and B y = A (x_o - mu_o).
//! Samples that lack the same values share L, B and C: the rows of a chunk are sorted by what they lack, and a block of lanes
//! holds rows of several patterns. Order and blocks depend only on the chunk and the model's shape, and so do all sums.
//! Independent columns need no factor: the density is a sum over the observed columns.

use std::ops::Range;

use ndarray::{Array1, Array2};

use super::cholesky::SINGULAR;
use super::density::{Workspace, normalise};
use super::statistics::GivenResponsibilities;
use super::{Covariances, Gmm};
use crate::compute::simd::{
    BLOCK, Chunk, F64s, InstructionSet, Lanes, Plain, Simd, Vector, WithSimd, ZERO_LANES, dot,
};
use crate::data::{RowBuffer, Weighted, sum_rows};
use crate::error::{Error, Result};

/// The samples that pass through a factor together.
const WIDTH: usize = 8;

/// The conditional covariances of a block have about at most this many numbers (4 MiB).
const COVARIANCES: usize = 1 << 19;

/// The rows of a chunk in the order in which they are processed.
pub(super) struct Order {
    /// The complete rows, then those that lack the same values side by side.
    rows: Vec<usize>,
    complete: usize,
    /// The number of rows in a block of incomplete ones.
    lanes: usize,
}

impl Order {
    /// Sorts the rows of a chunk (m x d). `model` completes missing values; None if NaN is no missing value.
    pub(super) fn new(rows: &[f64], dimensions: usize, model: Option<&Gmm>) -> Order {
        let all = 0..rows.len() / dimensions;
        let Some(model) = model else {
            return Order { rows: all.clone().collect(), complete: all.end, lanes: BLOCK };
        };
        let row = |index: usize| &rows[index * dimensions..][..dimensions];
        let (mut order, mut others): (Vec<_>, Vec<_>) =
            all.partition(|&index| !row(index).iter().any(|x| x.is_nan()));
        let (complete, mut lanes) = (order.len(), BLOCK);
        if model.covariances.matrix_view(0).is_some() {
            // Patterns of more than 64 columns may share a number. They are told apart when the block is processed.
            let pattern =
                |x: &[f64]| x.iter().fold(0u64, |bits, x| bits.rotate_left(1) ^ u64::from(x.is_nan()));
            others.sort_by_cached_key(|&index| pattern(row(index)));
            lanes = (COVARIANCES / (model.weights.len() * dimensions.pow(2).div_ceil(2))).clamp(1, BLOCK);
        }
        order.extend(others);
        Order { rows: order, complete, lanes }
    }

    /// Returns the blocks of rows, counted from the chunk's first, and whether they are complete.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (&[usize], bool)> {
        let (complete, others) = self.rows.split_at(self.complete);
        let complete = complete.chunks(BLOCK).map(|indices| (indices, true));
        complete.chain(others.chunks(self.lanes).map(|indices| (indices, false)))
    }
}

/// A block of incomplete samples, completed under each component.
pub(super) struct Completion<'a> {
    model: &'a Gmm,
    /// log pi_k, K.
    log_weights: Vec<f64>,
    /// 1 / sigma and log(1 / (sigma sqrt(2 pi))), K x d; empty if the columns are correlated.
    deviations: Vec<[f64; 2]>,
    /// The samples with the conditional means of their missing values, K x d lanes.
    filled: Vec<Lanes>,
    /// 1 where a value is missing, else 0, d lanes; only of independent columns.
    missing: Vec<Lanes>,
    /// The samples that lack the same values; only of correlated columns.
    groups: Vec<Group>,
}

/// The samples of a block that lack the same values.
struct Group {
    lanes: Range<usize>,
    /// The missing columns, in ascending order.
    missing: Vec<usize>,
    /// The lower triangle of C column by column, K x m(m+1)/2.
    covariances: Vec<f64>,
}

impl<'a> Completion<'a> {
    /// The model must be valid.
    pub(super) fn new(model: &'a Gmm) -> Completion<'a> {
        let (components, dimensions) = model.means.dim();
        let sum = model.weights.sum();
        let pairs = (0..components).flat_map(|k| (0..dimensions).map(move |j| (k, j)));
        let deviations =
            pairs.filter_map(|(k, j)| model.covariances.independent_variance(k, j)).map(|variance| {
                let inverse = 1.0 / variance.sqrt();
                [inverse, inverse.ln() - HALF_LOG_2_PI]
            });
        Completion {
            model,
            log_weights: model.weights.iter().map(|weight| (weight / sum).ln()).collect(),
            deviations: deviations.collect(),
            filled: Vec::new(),
            missing: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Runs the E-step of up to `BLOCK` incomplete rows and completes them.
    ///
    /// # Errors
    ///
    /// Returns an error if rounding makes a covariance of the observed columns singular.
    pub(super) fn expectation(
        &mut self,
        instructions: InstructionSet,
        rows: &[f64],
        indices: &[usize],
        space: &mut Workspace,
    ) -> Result<()> {
        let (components, dimensions) = self.model.means.dim();
        self.filled.resize(components * dimensions, ZERO_LANES);
        space.load_rows(rows, indices);
        instructions.run(Step { completion: self, rows, indices, space })
    }

    /// Loads the block as completed under a component.
    pub(super) fn load(&self, component: usize, space: &mut Workspace) {
        let x = &mut space.x[..];
        x.copy_from_slice(&self.filled[component * x.len()..][..x.len()]);
    }

    /// Adds w C of each sample to the second moments of a component: all pairs of columns, or only the single columns (d).
    pub(super) fn add_covariances(
        &self,
        component: usize,
        weights: &Lanes,
        space: &Workspace,
        second: &mut [f64],
    ) {
        let d = self.model.means.ncols();
        let mut w = ZERO_LANES;
        let products = weights.iter().zip(space.responsibilities(component)).map(|(weight, r)| weight * r);
        w.iter_mut().zip(products).for_each(|(w, product)| *w = product);
        for (j, missing) in self.missing.iter().enumerate() {
            let variance = self.model.covariances.independent_variance(component, j).unwrap_or_default();
            let at = if second.len() == d { j } else { j * (j + 3) / 2 };
            second[at] += variance * dot(Plain, missing, &w);
        }
        for group in &self.groups {
            let count: f64 = w[group.lanes.clone()].iter().sum();
            let size = group.missing.len() * (group.missing.len() + 1) / 2;
            let mut covariances = group.covariances[component * size..][..size].iter();
            for (column, &j) in group.missing.iter().enumerate() {
                for (&i, c) in group.missing[column..].iter().zip(&mut covariances) {
                    second[i * (i + 1) / 2 + j] += count * c;
                }
            }
        }
    }
}

/// log(2 pi) / 2
const HALF_LOG_2_PI: f64 = 0.918_938_533_204_672_8;

/// The E-step of a block of incomplete samples.
struct Step<'a, 'b> {
    completion: &'a mut Completion<'b>,
    rows: &'a [f64],
    indices: &'a [usize],
    space: &'a mut Workspace,
}

impl WithSimd for Step<'_, '_> {
    type Output = Result<()>;

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) -> Result<()> {
        match self.completion.deviations.is_empty() {
            true => correlated(simd, self.completion, self.rows, self.indices, self.space)?,
            false => independent_columns(self.completion, self.space),
        }
        normalise(simd, self.space);
        Ok(())
    }
}

/// Computes log pi_k p(x_o | k) and completes the loaded block: the columns are independent.
#[inline(always)]
fn independent_columns(completion: &mut Completion, space: &mut Workspace) {
    let (x, joint) = (&space.x, &mut space.responsibilities);
    let d = x.len();
    completion.missing.resize(d, ZERO_LANES);
    for (missing, x) in completion.missing.iter_mut().zip(x) {
        missing.iter_mut().zip(x).for_each(|(missing, x)| *missing = if x.is_nan() { 1.0 } else { 0.0 });
    }
    let means = completion.model.means.rows();
    for (component, (joint, means)) in joint.iter_mut().zip(means).enumerate() {
        *joint = [completion.log_weights[component]; BLOCK];
        let deviations = &completion.deviations[component * d..][..d];
        let filled = &mut completion.filled[component * d..][..d];
        for (((x, filled), &mean), &[inverse, constant]) in x.iter().zip(filled).zip(means).zip(deviations) {
            for ((x, filled), joint) in x.iter().zip(filled).zip(joint.iter_mut()) {
                let y = (x - mean) * inverse;
                let (value, log) = if x.is_nan() { (mean, 0.0) } else { (*x, constant - 0.5 * y * y) };
                *filled = value;
                *joint += log;
            }
        }
    }
}

/// Computes log pi_k p(x_o | k) and completes these rows: the columns are correlated.
///
/// # Errors
///
/// Returns an error if rounding makes a covariance of the observed columns singular.
#[inline(always)]
fn correlated<S: Simd>(
    simd: S,
    completion: &mut Completion,
    rows: &[f64],
    indices: &[usize],
    space: &mut Workspace,
) -> Result<()> {
    let joint = &mut space.responsibilities;
    let (components, d) = completion.model.means.dim();
    if indices.len() < BLOCK {
        // any finite number will do: unused lanes have the weight 0
        joint.fill(ZERO_LANES);
        completion.filled.fill(ZERO_LANES);
    }
    completion.groups.clear();
    let row = |index: usize| &rows[index * d..][..d];
    let alike = |&a: &usize, &b: &usize| row(a).iter().zip(row(b)).all(|(a, b)| a.is_nan() == b.is_nan());
    let (mut factor, mut z, mut first) = (vec![0.0; d * d], vec![[0.0; WIDTH]; d], 0);
    for indices in indices.chunk_by(alike) {
        let (missing, mut order): (Vec<usize>, Vec<usize>) =
            (0..d).partition(|&j| row(indices[0])[j].is_nan());
        let observed = order.len();
        order.extend(&missing);
        let (mut covariances, mut log_determinant) = (Vec::new(), 0.0);
        for component in 0..components {
            if component == 0 || !matches!(completion.model.covariances, Covariances::Tied(_)) {
                let factored =
                    eliminate(&completion.model.covariances, component, &order, observed, &mut factor);
                log_determinant = factored.ok_or(Error::NotPositiveDefinite { component })?;
            }
            (observed..d).for_each(|c| covariances.extend(&factor[c * d + c..(c + 1) * d]));
            let constant =
                completion.log_weights[component] - log_determinant - observed as f64 * HALF_LOG_2_PI;
            let means = completion.model.means.row(component);
            let filled = &mut completion.filled[component * d..][..d];
            for (number, indices) in indices.chunks(WIDTH).enumerate() {
                let lanes = first + number * WIDTH..first + number * WIDTH + indices.len();
                z.fill([0.0; WIDTH]);
                for (lane, &index) in indices.iter().enumerate() {
                    for (z, &j) in z.iter_mut().zip(&order[..observed]) {
                        let x = row(index)[j];
                        z[lane] = x - means[j];
                        filled[j][lanes.start + lane] = x;
                    }
                }
                let squares = whiten(simd, &factor, observed, &mut z);
                for (z, &j) in z[observed..].iter().zip(&missing) {
                    filled[j][lanes.clone()].iter_mut().zip(z).for_each(|(x, z)| *x = means[j] - z);
                }
                for (joint, square) in joint[component][lanes].iter_mut().zip(squares) {
                    // A square that overflows (or is NaN, since its parts overflow) means a density of 0.
                    *joint = if square < f64::INFINITY { constant - 0.5 * square } else { f64::NEG_INFINITY };
                }
            }
        }
        let lanes = first..first + indices.len();
        first = lanes.end;
        completion.groups.push(Group { lanes, missing, covariances });
    }
    Ok(())
}

/// Turns the covariance of a component, with its rows and columns in this order, into L, B and C: the lower triangle, each
/// column in d numbers, with 1 / L_tt on the diagonal. Returns log det L, or None if Sigma_oo is not positive definite.
#[inline(always)]
fn eliminate(
    covariances: &Covariances,
    component: usize,
    order: &[usize],
    observed: usize,
    factor: &mut [f64],
) -> Option<f64> {
    let (d, matrix) = (order.len(), covariances.matrix_view(component)?);
    for (t, &j) in order.iter().enumerate() {
        let (row, column) = (matrix.row(j), matrix.column(j));
        for (value, &i) in factor[t * d + t..(t + 1) * d].iter_mut().zip(&order[t..]) {
            // a given matrix may be symmetric only to the rounding of f32
            *value = 0.5 * row[i] + 0.5 * column[i];
        }
    }
    let mut log_determinant = 0.0;
    for (t, &j) in order[..observed].iter().enumerate() {
        let (column, rest) = factor[t * d..].split_at_mut(d);
        if !(column[t] > SINGULAR * matrix[(j, j)] && column[t].is_finite()) {
            return None;
        }
        let inverse = 1.0 / column[t].sqrt();
        log_determinant -= inverse.ln();
        column[t] = inverse;
        column[t + 1..].iter_mut().for_each(|l| *l *= inverse);
        for (s, other) in (t + 1..d).zip(rest.chunks_exact_mut(d)) {
            let l = column[s];
            other[s..].iter_mut().zip(&column[s..]).for_each(|(value, below)| *value -= l * below);
        }
    }
    Some(log_determinant)
}

/// Replaces the missing part of z = (x_o - mu_o, 0) by -B y, for each lane, and returns |y|^2. The observed part is scratch.
#[inline(always)]
fn whiten<S: Simd>(simd: S, factor: &[f64], observed: usize, z: &mut [[f64; WIDTH]]) -> [f64; WIDTH] {
    let (d, mut squares) = (z.len(), [0.0; WIDTH]);
    for part in 0..WIDTH / S::F64_WIDTH {
        let mut square = simd.splat_f64(0.0);
        for t in 0..observed {
            let (done, rest) = z.split_at_mut(t + 1);
            let y = simd.load_f64(&S::F64Array::split(&done[t]).0[part]) * simd.splat_f64(factor[t * d + t]);
            let minus = simd.splat_f64(0.0) - y;
            square = y.multiply_add(y, square);
            for (z, &l) in rest.iter_mut().zip(&factor[t * d + t + 1..]) {
                let z = &mut S::F64Array::split_mut(z).0[part];
                minus.multiply_add(simd.splat_f64(l), simd.load_f64(z)).store(z);
            }
        }
        square.store(&mut S::F64Array::split_mut(&mut squares).0[part]);
    }
    squares
}

/// Returns the model that completes missing values where the responsibilities are given: independent columns, with the mean
/// and the variance of the observed values. With it the M-step finds the means and the variances of the observed values, and
/// covariances that are positive definite. Where a component has no value in a column, or only equal ones, the mean or the
/// variance of the whole column stands in. `centre` has the mean of each column (K x d).
///
/// # Errors
///
/// Returns an error if the data cannot be read.
pub(super) fn independent(
    samples: &Weighted,
    centre: &Array2<f64>,
    given: &GivenResponsibilities,
    threads: usize,
) -> Result<Gmm> {
    let [counts, shifts, _] = observed_moments(samples, centre, given, threads)?;
    let shift = |at| if counts[at] > 0.0 { shifts[at] / counts[at] } else { 0.0 };
    let means = Array2::from_shape_fn(centre.dim(), |at| centre[at] + shift(at));
    // Moments about the means lose no digits.
    let [_, shifts, squares] = observed_moments(samples, &means, given, threads)?;
    let components = 0..centre.nrows();
    let of_column = |j: usize| {
        let squares = components.clone().map(|k| squares[(k, j)] + counts[(k, j)] * shift((k, j)).powi(2));
        squares.sum::<f64>() / counts.column(j).sum()
    };
    let of_columns: Vec<f64> = (0..centre.ncols()).map(of_column).collect();
    let variances = Array2::from_shape_fn(centre.dim(), |at| {
        let count = counts[at].max(f64::MIN_POSITIVE);
        let variance = squares[at] / count - (shifts[at] / count).powi(2);
        if variance > 0.0 { variance } else { of_columns[at.1] }
    });
    let weights = Array1::from_elem(centre.nrows(), 1.0 / centre.nrows() as f64);
    Ok(Gmm { weights, means, covariances: Covariances::Diagonal(variances) })
}

/// Returns sum w, sum w z and sum w z^2 over the observed values for each component and column (K x d), with
/// w = (weight of the sample) r and z = x - origin.
///
/// # Errors
///
/// Returns an error if the data cannot be read.
fn observed_moments(
    samples: &Weighted,
    origins: &Array2<f64>,
    given: &GivenResponsibilities,
    threads: usize,
) -> Result<[Array2<f64>; 3]> {
    let none = || [Array2::zeros(origins.dim()), Array2::zeros(origins.dim()), Array2::zeros(origins.dim())];
    let work = |buffer: &mut RowBuffer, range: Range<usize>| {
        let first = range.start;
        let rows = samples.data().read(range, buffer)?;
        let responsibilities = given(first, rows)?;
        let mut sums = none();
        for (index, row) in rows.chunks_exact(origins.ncols()).enumerate() {
            let weight = samples.weights().map_or(1.0, |weights| weights[first + index]);
            for (k, r) in responsibilities.row(index).iter().enumerate().filter(|(_, r)| **r > 0.0) {
                for (j, x) in row.iter().enumerate().filter(|(_, x)| !x.is_nan()) {
                    let (w, z) = (weight * r, x - origins[(k, j)]);
                    sums[0][(k, j)] += w;
                    sums[1][(k, j)] += w * z;
                    sums[2][(k, j)] += w * z * z;
                }
            }
        }
        Ok(sums)
    };
    let merge = |all: &mut [Array2<f64>; 3], more: [Array2<f64>; 3]| {
        all.iter_mut().zip(&more).for_each(|(all, more)| *all += more);
    };
    let sums = sum_rows(samples.data(), threads, RowBuffer::default, work, merge)?;
    Ok(sums.unwrap_or_else(none))
}
