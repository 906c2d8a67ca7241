//! The sufficient statistics of an E-step, and the M-step that uses them.

use std::ops::Range;

use ndarray::{Array1, Array2};

use super::density::{Prepared, Sums, Workspace, accumulate, expectation};
use super::missing::{Completion, Order};
use super::{CovarianceKind, Gmm};
use crate::compute::message_of_fields;
use crate::compute::simd::{InstructionSet, Lanes, ZERO_LANES};
use crate::data::{RowBuffer, Weighted, sum_rows};
use crate::error::{Error, Result};

/// A variance below this times E[z^2] is cancellation noise and is set to 0.
const VARIANCE_ROUNDING: f64 = 1e-14;

/// If E[z^2] is more than this times Var[z] = E[z^2] - E[z]^2, the subtraction has lost about five digits.
const SQUARE_TO_VARIANCE: f64 = 1e5;

/// A component whose effective count is below this share of the total has lost all its samples.
const VANISHED_SHARE: f64 = 1e-200;

/// The sufficient statistics of an E-step: sums over samples, so that the statistics of parts of the data can be merged.
/// Notation: z = x_i - origin_k, w = (weight of sample i) R_ik.
#[derive(Debug, Clone, PartialEq)]
pub struct GmmStatistics {
    /// The weighted sum of log p(x_i) under the E-step's model, in nats.
    pub log_likelihood: f64,
    /// N_k = sum_i w (k), with w = (weight of sample i) R_ik.
    pub effective_counts: Array1<f64>,
    /// sum_i w z, k x d, with z = x_i - origin_k.
    pub first_moments: Array2<f64>,
    /// sum_i w z z^T: its lower triangle row by row, k x d(d+1)/2. For diagonal and spherical covariances only the diagonal,
    /// k x d.
    pub second_moments: Array2<f64>,
    /// A point near each component, k x d: the mean before the M-step. Moments about this point stay precise for
    /// components far from 0.
    pub origins: Array2<f64>,
}

message_of_fields! { GmmStatistics { log_likelihood, effective_counts, first_moments, second_moments, origins } }

impl GmmStatistics {
    fn new(origins: &Array2<f64>, covariance: CovarianceKind) -> GmmStatistics {
        let (k, d) = origins.dim();
        GmmStatistics {
            log_likelihood: 0.0,
            effective_counts: Array1::zeros(k),
            first_moments: Array2::zeros((k, d)),
            second_moments: Array2::zeros((k, covariance.second_moments(d))),
            origins: origins.as_standard_layout().into_owned(),
        }
    }

    /// Adds the statistics of other samples under the same model.
    ///
    /// # Panics
    ///
    /// Panics if the models differ.
    pub fn merge(&mut self, other: &GmmStatistics) {
        assert_eq!(self.origins, other.origins, "statistics about different origins");
        assert_eq!(self.second_moments.dim(), other.second_moments.dim(), "statistics of different models");
        self.log_likelihood += other.log_likelihood;
        self.effective_counts += &other.effective_counts;
        self.first_moments += &other.first_moments;
        self.second_moments += &other.second_moments;
    }

    /// The M-step: returns the new model.
    ///
    /// If the statistics [lose precision](GmmStatistics::loses_precision), take them again about the means of the returned model
    /// ([`Gmm::statistics_about`]) and make the M-step from those; a fit does so. `before` gives the type of
    /// covariance. A component that has lost all its samples keeps its mean and covariance from `before` and gets the weight 0.
    /// `regularisation` is added to each variance.
    ///
    /// # Formula
    ///
    /// ```text
    /// pi_k = N_k / sum_l N_l        mu_k = origin_k + m_k,    m_k = sum_i w z / N_k
    /// Sigma_k = sum_i w z z^T / N_k - m_k m_k^T                                       (full; others: from_matrices of these)
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `before` differs in shape or type of covariance from the E-step's model.
    #[must_use]
    pub fn maximisation(&self, before: &Gmm, regularisation: f64) -> Gmm {
        let (k, d) = self.origins.dim();
        assert_eq!(before.means.dim(), (k, d), "the M-step of another model");
        let products = before.covariance_kind().second_moments(d);
        assert_eq!(self.second_moments.ncols(), products, "the M-step of another type of covariance");
        let weight = |component| if self.has_vanished(component) { 0.0 } else { self.share(component) };
        Gmm {
            weights: Array1::from_shape_fn(k, weight),
            means: self.means(&before.means),
            covariances: before.covariances.maximisation(self, regularisation),
        }
    }

    /// Returns mu_k; a component that has lost all its samples keeps its mean from `before`.
    fn means(&self, before: &Array2<f64>) -> Array2<f64> {
        let mut means = before.clone();
        for (component, mut mean) in means.rows_mut().into_iter().enumerate() {
            if !self.has_vanished(component) {
                let shift = &self.first_moments.row(component) / self.effective_counts[component];
                mean.assign(&(&self.origins.row(component) + &shift));
            }
        }
        means
    }

    /// Returns N_k / sum_l N_l, the component's share of all samples.
    pub(super) fn share(&self, component: usize) -> f64 {
        self.effective_counts[component] / self.effective_counts.sum()
    }

    /// Whether a component has lost all its samples.
    pub(super) fn has_vanished(&self, component: usize) -> bool {
        self.effective_counts[component] <= VANISHED_SHARE * self.effective_counts.sum()
    }

    /// Whether a component is so far from its origin that cancellation has cost its variances digits. This happens soon
    /// after a bad start; a second pass with moments about the new means ([`Gmm::statistics_about`]) is precise.
    #[must_use]
    pub fn loses_precision(&self, regularisation: f64) -> bool {
        let (k, d) = self.origins.dim();
        let diagonal = |j: usize| if self.second_moments.ncols() == d { j } else { j * (j + 3) / 2 };
        (0..k).filter(|&component| !self.has_vanished(component)).any(|component| {
            let count = self.effective_counts[component];
            (0..d).any(|j| {
                let square = self.second_moments[(component, diagonal(j))] / count;
                let shift = self.first_moments[(component, j)] / count;
                square > SQUARE_TO_VARIANCE * (square - shift * shift + regularisation)
            })
        })
    }

    /// Computes Sigma_k, d x d, from the second moments of all pairs of columns.
    pub(super) fn scatter(&self, component: usize) -> Array2<f64> {
        let d = self.origins.ncols();
        let count = self.effective_counts[component];
        let shift = &self.first_moments.row(component) / count;
        let mut scatter = Array2::zeros((d, d));
        for i in 0..d {
            for j in 0..=i {
                let product = self.second_moments[(component, i * (i + 1) / 2 + j)] / count;
                let value = product - shift[i] * shift[j];
                let value = if i == j { without_rounding(value, product) } else { value };
                scatter[(i, j)] = value;
                scatter[(j, i)] = value;
            }
        }
        scatter
    }

    /// Computes the diagonal of Sigma_k (d numbers) from the second moments of the single columns.
    pub(super) fn variances(&self, component: usize) -> Array1<f64> {
        let count = self.effective_counts[component];
        let shift = &self.first_moments.row(component) / count;
        let squares = &self.second_moments.row(component) / count;
        let variance = |j: usize| without_rounding(squares[j] - shift[j] * shift[j], squares[j]);
        Array1::from_shape_fn(shift.len(), variance)
    }
}

/// Returns the variance E[z^2] - E[z]^2, or 0 if it is only rounding error; `square` is E[z^2].
fn without_rounding(variance: f64, square: f64) -> f64 {
    if variance > VARIANCE_ROUNDING * square { variance } else { 0.0 }
}

/// The source of the responsibilities.
pub(super) enum Responsibilities<'a> {
    /// The E-step of a model, which also completes missing values.
    Model(&'a Gmm, &'a Prepared),
    /// A function that takes the index of a chunk's first sample and its rows, and returns the chunk's responsibilities (m x
    /// k). The model completes missing values; it has independent columns, and is needed only if values are missing.
    Given(&'a GivenResponsibilities<'a>, Option<&'a Gmm>),
}

/// The function of [`Responsibilities::Given`].
pub(super) type GivenResponsibilities<'a> = dyn Fn(usize, &[f64]) -> Result<Array2<f64>> + Sync + 'a;

/// The settings shared by all passes of a fit over its samples.
pub(super) struct Pass<'a> {
    pub(super) samples: &'a Weighted<'a>,
    pub(super) covariance: CovarianceKind,
    pub(super) regularisation: f64,
    pub(super) threads: usize,
}

impl Pass<'_> {
    /// Computes the statistics in one pass over the samples, or in two if the first [loses
    /// precision](GmmStatistics::loses_precision).
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`accumulate_statistics`].
    pub(super) fn precise_statistics(
        &self,
        origins: &Array2<f64>,
        responsibilities: &Responsibilities,
    ) -> Result<GmmStatistics> {
        let pass = |origins: &Array2<f64>| {
            accumulate_statistics(self.samples, origins, self.covariance, responsibilities, self.threads)
        };
        let first = pass(origins)?;
        if !first.loses_precision(self.regularisation) {
            return Ok(first);
        }
        pass(&first.means(origins))
    }
}

/// Makes one pass over the samples: computes the responsibilities and the weighted sums.
///
/// # Errors
///
/// Returns an error if the data cannot be read, or if a sample is impossible under every component.
pub(super) fn accumulate_statistics(
    samples: &Weighted,
    origins: &Array2<f64>,
    covariance: CovarianceKind,
    responsibilities: &Responsibilities,
    threads: usize,
) -> Result<GmmStatistics> {
    let (components, dimensions) = origins.dim();
    let instructions = InstructionSet::detect();
    let completing = match *responsibilities {
        Responsibilities::Model(model, _) => Some(model),
        Responsibilities::Given(_, completing) => completing,
    };
    let completing = completing.filter(|_| samples.data().nan_is_missing());
    let state =
        || (RowBuffer::default(), Workspace::new(components, dimensions), completing.map(Completion::new));
    let work = |(buffer, space, completion): &mut (RowBuffer, Workspace, Option<Completion>),
                range: Range<usize>| {
        let first = range.start;
        let rows = samples.data().read(range, buffer)?;
        let mut statistics = GmmStatistics::new(origins, covariance);
        let (prepared, given) = match *responsibilities {
            Responsibilities::Model(_, prepared) => (Some(prepared), None),
            Responsibilities::Given(given, _) => (None, Some(given(first, rows)?)),
        };
        for (indices, complete) in Order::new(rows, dimensions, completing).blocks() {
            let mut completion = completion.as_mut().filter(|_| !complete);
            match &mut completion {
                Some(completion) => completion.expectation(instructions, rows, indices, space)?,
                None => {
                    space.load_rows(rows, indices);
                    if let Some(prepared) = prepared {
                        expectation(instructions, prepared, space);
                    }
                }
            }
            let weights = weight_lanes(samples.weights(), first, indices);
            if let Some(given) = &given {
                take_responsibilities(given, indices, space);
            } else {
                check_possible(first, indices, space)?;
                statistics.log_likelihood += log_likelihood(space, &weights);
            }
            statistics.add(instructions, &weights, completion.as_deref(), space);
        }
        Ok(statistics)
    };
    let sum = sum_rows(samples.data(), threads, state, work, |all, more| all.merge(&more))?;
    Ok(sum.unwrap_or_else(|| GmmStatistics::new(origins, covariance)))
}

/// Returns the weights of a block of samples; `first` is the index of the chunk's first sample, and `indices` count from
/// there. Unused lanes get the weight 0.
pub(super) fn weight_lanes(all: Option<&[f64]>, first: usize, indices: &[usize]) -> Lanes {
    let mut lanes = ZERO_LANES;
    for (lane, index) in lanes.iter_mut().zip(indices) {
        *lane = all.map_or(1.0, |all| all[first + index]);
    }
    lanes
}

/// Returns the weighted sum of log p(x_i) over the samples of a block, after the block's E-step.
pub(super) fn log_likelihood(space: &Workspace, weights: &[f64]) -> f64 {
    weights.iter().zip(space.log_density()).fold(0.0, |sum, (weight, log_density)| sum + weight * log_density)
}

/// Copies the responsibilities of these samples from those of the whole chunk.
fn take_responsibilities(of_chunk: &Array2<f64>, indices: &[usize], space: &mut Workspace) {
    for (component, column) in of_chunk.columns().into_iter().enumerate() {
        let lanes = &mut space.responsibilities[component];
        *lanes = ZERO_LANES;
        lanes.iter_mut().zip(indices).for_each(|(lane, &index)| *lane = column[index]);
    }
}

impl GmmStatistics {
    /// Adds a block's samples with these weights and with the responsibilities in `space`.
    fn add(
        &mut self,
        instructions: InstructionSet,
        weights: &Lanes,
        completion: Option<&Completion>,
        space: &mut Workspace,
    ) {
        let dimensions = self.origins.ncols();
        let origins = self.origins.as_slice().expect("statistics are made in rows");
        for component in 0..self.effective_counts.len() {
            if let Some(completion) = completion {
                completion.load(component, space);
            }
            let second = row_mut(&mut self.second_moments, component);
            let first = row_mut(&mut self.first_moments, component);
            let origin = &origins[component * dimensions..][..dimensions];
            let sums = Sums { count: &mut self.effective_counts[component], first, second: &mut *second };
            accumulate(instructions, component, origin, weights, space, sums);
            if let Some(completion) = completion {
                completion.add_covariances(component, weights, space, second);
            }
        }
    }
}

fn row_mut(array: &mut Array2<f64>, row: usize) -> &mut [f64] {
    let columns = array.ncols();
    &mut array.as_slice_mut().expect("statistics are made in rows")[row * columns..][..columns]
}

/// Checks the log-densities of a block; `first` is the index of the chunk's first sample, and `indices` count from there.
///
/// # Errors
///
/// Returns an error if a sample is so far from every component that even its log-density overflows.
pub(super) fn check_possible(first: usize, indices: &[usize], space: &Workspace) -> Result<()> {
    match space.log_density().iter().position(|log_density| !log_density.is_finite()) {
        Some(sample) => Err(Error::Impossible { index: first + indices[sample] }),
        None => Ok(()),
    }
}
