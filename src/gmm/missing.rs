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
//! With W_o Sigma_oo W_o^T = 1, the whitening of the E-step, and B = Sigma_mo W_o^T: A = B W_o and C = Sigma_mm - B B^T.
//! Samples that lack the same values share A and C: the rows of a chunk are grouped by them. The groups depend only on the
//! chunk, and so do all sums.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{Array1, Array2};

use super::density::{Prepared, Whitening, Workspace};
use super::statistics::GivenResponsibilities;
use super::{Covariances, Gmm};
use crate::compute::simd::BLOCK;
use crate::compute::sum_chunks;
use crate::data::{RowBuffer, Weighted, chunk_ranges};
use crate::error::Result;

/// The rows of a chunk that lack the same values.
pub(super) struct Group {
    /// The columns that have a value, in ascending order.
    pub(super) observed: Vec<usize>,
    /// The other columns.
    pub(super) missing: Vec<usize>,
    /// The rows, counted from the chunk's first.
    pub(super) rows: Vec<usize>,
}

/// Groups the rows of a chunk (m x d): one group if NaN is no missing value. Complete rows come first.
pub(super) fn groups(rows: &[f64], dimensions: usize, nan_is_missing: bool) -> Vec<Group> {
    if !nan_is_missing {
        let rows = (0..rows.len() / dimensions).collect();
        return vec![Group { observed: (0..dimensions).collect(), missing: Vec::new(), rows }];
    }
    // A bit for each missing value, so that rows are compared 64 columns at a time.
    let mut by_pattern: BTreeMap<Vec<u64>, Vec<usize>> = BTreeMap::new();
    let mut pattern = vec![0; dimensions.div_ceil(64)];
    for (index, row) in rows.chunks_exact(dimensions).enumerate() {
        for (bits, values) in pattern.iter_mut().zip(row.chunks(64)) {
            *bits = values.iter().rev().fold(0, |bits, x| bits << 1 | u64::from(x.is_nan()));
        }
        match by_pattern.get_mut(&pattern) {
            Some(rows) => rows.push(index),
            None => drop(by_pattern.insert(pattern.clone(), vec![index])),
        }
    }
    let group = |(pattern, rows): (Vec<u64>, Vec<usize>)| {
        let is_missing = |column: &usize| pattern[column / 64] >> (column % 64) & 1 == 1;
        let (missing, observed) = (0..dimensions).partition(is_missing);
        Group { observed, missing, rows }
    };
    by_pattern.into_iter().map(group).collect()
}

impl Group {
    /// Returns the marginal of a model over the observed columns; `prepared` is that of all columns.
    ///
    /// # Errors
    ///
    /// Returns an error if rounding makes a covariance of these columns singular.
    pub(super) fn marginal<'a>(&self, model: &Gmm, prepared: &'a Prepared) -> Result<Cow<'a, Prepared>> {
        match self.missing.is_empty() {
            true => Ok(Cow::Borrowed(prepared)),
            false => model.prepare_marginal(&self.observed).map(Cow::Owned),
        }
    }

    /// Loads these rows of the chunk, up to `BLOCK`, for the E-step of the marginal.
    pub(super) fn load(&self, rows: &[f64], indices: &[usize], space: &mut Workspace) {
        let adjacent = indices[indices.len() - 1] - indices[0] + 1 == indices.len();
        let dimensions = self.observed.len();
        match adjacent && self.missing.is_empty() {
            true => space.load(&rows[indices[0] * dimensions..][..indices.len() * dimensions]),
            false => space.load_columns(rows, indices, &self.observed),
        }
    }
}

/// The conditional distribution of the missing values of a group, for each component.
pub(super) struct Completion<'a> {
    model: &'a Gmm,
    group: &'a Group,
    /// A (k x m x o); empty if the columns are independent.
    regression: Vec<f64>,
    /// C (k x m x m); if the columns are independent, only its diagonal (k x m).
    covariances: Vec<f64>,
}

impl<'a> Completion<'a> {
    /// `whitening` is that of the marginal over the observed columns; None means that the columns are independent.
    pub(super) fn new(model: &'a Gmm, whitening: Option<&Whitening>, group: &'a Group) -> Completion<'a> {
        let (mut regression, mut covariances) = (Vec::new(), Vec::new());
        let size = group.observed.len().pow(2);
        for component in 0..model.weights.len() {
            if let Some(Whitening::Full(whitening)) = whitening {
                let (a, c) = conditional(model, component, &whitening[component * size..][..size], group);
                regression.extend(a);
                covariances.extend(c);
            } else {
                covariances.extend(group.missing.iter().map(|&i| model.covariances.entry(component, i, i)));
            }
        }
        Completion { model, group, regression, covariances }
    }

    /// Moves the observed values of the loaded block to their columns.
    pub(super) fn spread(&self, space: &mut Workspace) {
        space.spread(&self.group.observed);
    }

    /// Fills the missing values of the loaded block with their conditional means under a component; the observed ones must
    /// be in their columns.
    pub(super) fn fill(&self, component: usize, space: &mut Workspace) {
        let (means, m) = (self.model.means.row(component), self.group.missing.len());
        let observed = &self.group.observed;
        for (row, &i) in self.group.missing.iter().enumerate() {
            // Unused lanes have the weight 0: any finite number will do.
            let mut filled = [means[i]; BLOCK];
            let used = &mut filled[..space.samples()];
            if !self.regression.is_empty() {
                let a = &self.regression[(component * m + row) * observed.len()..][..observed.len()];
                for (&j, a) in observed.iter().zip(a) {
                    used.iter_mut().zip(space.column(j)).for_each(|(sum, x)| *sum += a * (x - means[j]));
                }
            }
            *space.column_mut(i) = filled;
        }
    }

    /// Adds `count` times C to the second moments of a component: all pairs of columns, or only the single columns (d).
    pub(super) fn add_covariance(&self, component: usize, count: f64, second: &mut [f64]) {
        let (missing, m) = (&self.group.missing, self.group.missing.len());
        let d = m + self.group.observed.len();
        let diagonal = self.covariances.len() == self.model.weights.len() * m;
        for (row, &i) in missing.iter().enumerate() {
            let c = match diagonal {
                true => &self.covariances[component * m + row..][..1],
                false => &self.covariances[(component * m + row) * m..][..=row],
            };
            let pairs = if diagonal { &missing[row..=row] } else { &missing[..=row] };
            for (&j, c) in pairs.iter().zip(c) {
                let at = if second.len() == d { i } else { i * (i + 1) / 2 + j };
                second[at] += count * c;
            }
        }
    }
}

/// Returns A (m x o) and C (m x m) of a component; `whitening` is W_o (o x o).
fn conditional(model: &Gmm, component: usize, whitening: &[f64], group: &Group) -> (Vec<f64>, Vec<f64>) {
    let (o, m) = (group.observed.len(), group.missing.len());
    let entry = |i: usize, j: usize| model.covariances.entry(component, i, j);
    let (mut a, mut b) = (vec![0.0; m * o], vec![0.0; m * o]);
    for (row, &i) in group.missing.iter().enumerate() {
        let cross: Vec<f64> = group.observed.iter().map(|&j| entry(i, j)).collect();
        for t in 0..o {
            let w = &whitening[t * o..][..=t];
            let value: f64 = w.iter().zip(&cross).map(|(w, cross)| w * cross).sum();
            b[row * o + t] = value;
            a[row * o..].iter_mut().zip(w).for_each(|(a, w)| *a += value * w);
        }
    }
    let mut c = Vec::with_capacity(m * m);
    for (row, &i) in group.missing.iter().enumerate() {
        for (column, &j) in group.missing.iter().enumerate() {
            let pairs = b[row * o..][..o].iter().zip(&b[column * o..][..o]);
            c.push(entry(i, j) - pairs.map(|(left, right)| left * right).sum::<f64>());
        }
    }
    (a, c)
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
    let sums = sum_chunks(chunk_ranges(samples.data()), threads, RowBuffer::default, work, merge)?;
    Ok(sums.unwrap_or_else(none))
}
