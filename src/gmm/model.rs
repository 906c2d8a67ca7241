//! Methods of a mixture: densities, responsibilities, labels, information criteria, draws.

use std::ops::Range;

use ndarray::{Array1, Array2};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::cholesky::cholesky;
use super::density::{Prepared, Workspace, expectation};
use super::missing::{Completion, Order};
use super::statistics::{check_possible, log_likelihood, weight_lanes};
use super::{CovarianceKind, Covariances, Gmm, GmmOptions};
use crate::coin::{weight_rounding, weight_sum};
use crate::compute::for_each_chunk;
use crate::compute::simd::{BLOCK, InstructionSet};
use crate::data::{Checked, RowBuffer, Rows, Weighted, chunks_with_output, fits, sum_rows};
use crate::error::{Error, Result};

/// Information criteria for choosing the number of components: choose the smallest AIC, BIC or ICL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Criteria {
    /// log p(x), in nats.
    pub log_likelihood: f64,
    /// p, the number of free parameters.
    pub parameters: usize,
    /// 2 p - 2 log p(x) (Akaike).
    pub aic: f64,
    /// p log n - 2 log p(x) (Schwarz).
    pub bic: f64,
    /// BIC - 2 sum_ik R_ik log R_ik: also penalises overlapping components (Biernacki, Celeux and Govaert).
    pub icl: f64,
}

impl Gmm {
    /// Returns a mixture with these weights (K), means (K x d) and covariances. It corrects rounding to f32: it divides the
    /// weights by their sum and makes the covariances symmetric.
    ///
    /// # Errors
    ///
    /// Returns an error if the shapes do not agree, if a number is not finite, if the weights do not add up to 1, or if a
    /// covariance is not symmetric or not positive definite.
    pub fn new(weights: Array1<f64>, means: Array2<f64>, covariances: Covariances) -> Result<Gmm> {
        Gmm { weights, means, covariances }.normalised()
    }

    /// Validates the model; returns a copy with normalised weights and symmetric covariances.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`Gmm::new`].
    pub(crate) fn normalised(&self) -> Result<Gmm> {
        self.prepare()?;
        let mut model = self.clone();
        model.weights /= weight_sum(self.weights.sum(), self.weights.len())?;
        model.covariances = model.covariances.symmetric()?;
        Ok(model)
    }

    /// Returns a mixture with these means (K x d), equal weights and the identity as covariance.
    #[must_use]
    pub fn standard(means: Array2<f64>, covariance: CovarianceKind) -> Gmm {
        let (k, d) = means.dim();
        Gmm { weights: Array1::from_elem(k, 1.0 / k as f64), means, covariances: covariance.standard(k, d) }
    }

    /// Returns the type of the covariances.
    #[must_use]
    pub fn covariance_kind(&self) -> CovarianceKind {
        self.covariances.kind()
    }

    /// Returns Sigma_k as a d x d matrix, for any type of covariance.
    ///
    /// # Panics
    ///
    /// Panics if `component` is out of range, except for tied covariances.
    #[must_use]
    pub fn covariance(&self, component: usize) -> Array2<f64> {
        self.covariances.matrix(component, self.means.ncols())
    }

    /// Returns the number of free parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let (k, d) = self.means.dim();
        self.covariance_kind().parameters(k, d) + k * d + k.saturating_sub(1)
    }

    /// Returns the log-density log p(x_i) of each sample (n), in nats: that of its observed values if some are missing.
    ///
    /// # Errors
    ///
    /// Returns an error if the model is not valid (see [`Gmm::new`]), if there are no samples, if the data have other dimensions, if a
    /// number is not finite or beyond 1e130 (NaN is allowed in [`Incomplete`](crate::data::Incomplete)), if a sample is so far from all
    /// components that even its log-density overflows, or if the data cannot be read.
    pub fn log_density(&self, data: &dyn Rows) -> Result<Array1<f64>> {
        let output = self.each_sample(data, 1, |space, s, output| output[0] = space.log_density()[s])?;
        Ok(output.into())
    }

    /// Returns the responsibilities R_ik, n x K: the posterior of each component for each sample. Each row adds up to 1.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`Gmm::log_density`].
    pub fn responsibilities(&self, data: &dyn Rows) -> Result<Array2<f64>> {
        let components = self.weights.len();
        let output = self.each_sample(data, components, |space, s, output| {
            output.iter_mut().enumerate().for_each(|(k, output)| *output = space.responsibilities(k)[s]);
        })?;
        let shape = (data.samples(), components);
        Ok(Array2::from_shape_vec(shape, output).expect("a responsibility for each sample and component"))
    }

    /// Returns the component with the largest responsibility for each sample (n); ties go to the first.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`Gmm::log_density`].
    pub fn predict(&self, data: &dyn Rows) -> Result<Array1<usize>> {
        let output = self.each_sample(data, 1, |space, s, label| {
            let each = (0..self.weights.len()).map(|k| (k, space.responsibilities(k)[s]));
            label[0] = each.fold((0, 0.0), |best, each| if each.1 > best.1 { each } else { best }).0;
        })?;
        Ok(output.into())
    }

    /// Returns log p(x), the log-likelihood of all samples together, in nats.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`Gmm::log_density`].
    pub fn log_likelihood(&self, data: &dyn Rows) -> Result<f64> {
        let data = Checked::new(data)?;
        let e_step = EStep::new(self, &data)?;
        let work = |space: &mut Space, range: Range<usize>| {
            let mut sum = 0.0;
            e_step.each_block(space, range, |space, _| sum += log_likelihood(space, &[1.0; BLOCK]))?;
            Ok(sum)
        };
        let sum = sum_rows(&data, 0, || e_step.space(), work, |all, more| *all += more)?;
        Ok(sum.unwrap_or_default())
    }

    /// Computes AIC, BIC and ICL. The n of BIC counts the samples that have at least one value.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`Gmm::log_density`], or if no sample has a value.
    pub fn criteria(&self, data: &dyn Rows) -> Result<Criteria> {
        self.criteria_of(&Weighted::new(data, None, 0)?)
    }

    /// Computes AIC, BIC and ICL for weighted samples; the n of BIC is the sum of the weights.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`Gmm::log_density`], or if the weights are invalid (see [`Gmm::fit_weighted`]).
    pub fn criteria_weighted(&self, data: &dyn Rows, sample_weights: &[f64]) -> Result<Criteria> {
        self.criteria_of(&Weighted::new(data, Some(sample_weights), 0)?)
    }

    fn criteria_of(&self, samples: &Weighted) -> Result<Criteria> {
        samples.check_uncounted(0)?;
        let data = Checked::new(samples.data())?;
        let e_step = EStep::new(self, &data)?;
        let work = |space: &mut Space, range: Range<usize>| {
            let (mut log_density, mut entropy) = (0.0, 0.0);
            let first = range.start;
            e_step.each_block(space, range, |space, indices| {
                let weights = weight_lanes(samples.weights(), first, indices);
                log_density += log_likelihood(space, &weights);
                entropy += weighted_entropy(space, &weights, self.weights.len());
            })?;
            Ok([log_density, entropy])
        };
        let merge = |all: &mut [f64; 2], more: [f64; 2]| *all = [all[0] + more[0], all[1] + more[1]];
        let sums = sum_rows(&data, 0, || e_step.space(), work, merge);
        let [log_likelihood, entropy] = sums.map_err(|error| samples.rename(error))?.unwrap_or_default();
        let parameters = self.parameters();
        let p = parameters as f64;
        let bic = p * samples.total().ln() - 2.0 * log_likelihood;
        let aic = 2.0 * p - 2.0 * log_likelihood;
        Ok(Criteria { log_likelihood, parameters, aic, bic, icl: bic + 2.0 * entropy })
    }

    /// Runs the E-step on each block; `write` then fills a sample's part of the output, `width` numbers. It gets the sample's
    /// index in the block.
    fn each_sample<T: Clone + Default + Send>(
        &self,
        data: &dyn Rows,
        width: usize,
        write: impl Fn(&Workspace, usize, &mut [T]) + Sync,
    ) -> Result<Vec<T>> {
        let data = Checked::new(data)?;
        let e_step = EStep::new(self, &data)?;
        let mut output = vec![T::default(); data.samples() * width];
        let work = |space: &mut Space, (range, output): (Range<usize>, &mut [T])| {
            e_step.each_block(space, range, |space, indices| {
                for (s, index) in indices.iter().enumerate() {
                    write(space, s, &mut output[index * width..][..width]);
                }
            })
        };
        for_each_chunk(chunks_with_output(&data, &mut output, width), 0, || e_step.space(), work)?;
        Ok(output)
    }

    /// Draws samples (n x d); also returns the component of each sample (n). The same seed gives the same samples.
    ///
    /// # Errors
    ///
    /// Returns an error if the model is not valid (see [`Gmm::new`]), or if there is no memory for the samples.
    pub fn sample(&self, samples: usize, seed: u64) -> Result<(Array2<f64>, Array1<usize>)> {
        let model = self.normalised()?;
        let (components, d) = self.means.dim();
        let (mut drawn, mut labels) = (Vec::new(), Vec::new());
        let reserved = samples.checked_mul(d).is_some_and(|count| {
            drawn.try_reserve_exact(count).is_ok() && labels.try_reserve_exact(samples).is_ok()
        });
        if !reserved {
            let (name, expected) = ("samples", "so few that they fit into memory");
            return Err(Error::Setting { name, expected, value: samples as f64 });
        }
        drawn.resize(samples * d, 0.0);
        labels.resize(samples, 0);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let factors: Vec<Vec<f64>> = (0..components)
            .map(|component| {
                let matrix: Vec<f64> = model.covariance(component).iter().copied().collect();
                cholesky(&matrix, d).ok_or(Error::NotPositiveDefinite { component })
            })
            .collect::<Result<_>>()?;
        let possible = model.weights.iter().rposition(|&weight| weight > 0.0).unwrap_or(0);
        for (row, drawn_from) in drawn.chunks_exact_mut(d).zip(&mut labels) {
            let mut rest = rng.r#gen::<f64>();
            let label = model.weights.iter().position(|&weight| {
                rest -= weight;
                rest < 0.0
            });
            let label = label.unwrap_or(possible);
            // x = mu + L e with e of variance 1 has the covariance L L^T
            let e: Vec<f64> = (0..d).map(|_| rng.sample(StandardNormal)).collect();
            for (i, x) in row.iter_mut().enumerate() {
                let factor = &factors[label][i * d..][..i + 1];
                *x = self.means[(label, i)] + factor.iter().zip(&e).map(|(l, e)| l * e).sum::<f64>();
            }
            *drawn_from = label;
        }
        let drawn = Array2::from_shape_vec((samples, d), drawn).expect("d numbers for each sample");
        Ok((drawn, Array1::from_vec(labels)))
    }

    /// Validates the model and precomputes what the E-step needs.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`Gmm::new`].
    pub(super) fn prepare(&self) -> Result<Prepared> {
        let (k, d) = self.means.dim();
        if k == 0 {
            return Err(Error::Empty { what: "components" });
        }
        if d == 0 {
            return Err(Error::Empty { what: "columns" });
        }
        self.check_shape("the means", k, d)?;
        let rounding = weight_rounding(k);
        if let Some(index) = self.weights.iter().position(|weight| !(0.0..=1.0 + rounding).contains(weight)) {
            return Err(Error::Probability { name: "weights", index, value: self.weights[index] });
        }
        let weight_sum = weight_sum(self.weights.sum(), k)?;
        let bad_mean = self.means.indexed_iter().find(|(_, value)| !fits(**value));
        if let Some(((component, column), &value)) = bad_mean {
            let (place, expected) = (vec![component, column], "within 1e130 of 0");
            return Err(Error::EntryOutOfRange { name: "means", place, expected, value });
        }
        let covariances = self.covariances.values();
        if let Some((place, &value)) = covariances.indexed_iter().find(|(_, value)| !value.is_finite()) {
            let place = ndarray::Dimension::slice(&place).to_vec();
            return Err(Error::EntryOutOfRange { name: "covariances", place, expected: "finite", value });
        }
        let whitening = self.covariances.whitening(k, d)?;
        let half_log_2_pi = 0.5 * (2.0 * std::f64::consts::PI).ln();
        let log_constants = (0..k)
            .map(|component| {
                let log_determinant = whitening.log_determinant(component, d);
                (self.weights[component] / weight_sum).ln() + log_determinant - d as f64 * half_log_2_pi
            })
            .collect();
        let means = self.means.iter().copied().collect();
        Ok(Prepared { components: k, dimensions: d, means, whitening, log_constants })
    }

    /// Checks that the model can start a fit with these options and data.
    pub(super) fn check_start(&self, options: &GmmOptions, data: &dyn Rows) -> Result<()> {
        let (found, expected) = (data.dimensions(), self.means.ncols());
        if found != expected {
            return Err(Error::Columns { found, of: "the start", expected });
        }
        self.check_shape("the start's means", options.components, expected)?;
        match (options.covariance, self.covariance_kind()) {
            (expected, found) if expected == found => Ok(()),
            (expected, found) => Err(Error::CovarianceMismatch {
                expected: format!("{expected:?}"),
                found: format!("{found:?}"),
            }),
        }
    }

    /// Checks the shapes of the model; error messages call the means `name`.
    pub(super) fn check_shape(&self, name: &'static str, k: usize, d: usize) -> Result<()> {
        let check = |name, expected: &[usize], found: &[usize]| match expected == found {
            true => Ok(()),
            false => Err(Error::Shape { name, expected: expected.to_vec(), found: found.to_vec() }),
        };
        check(name, &[k, d], self.means.shape())?;
        check("the weights", &[k], self.weights.shape())?;
        let expected = self.covariance_kind().shape(k, d);
        check("the covariances", &expected, self.covariances.values().shape())
    }

    pub(super) fn check_dimensions(&self, data: &dyn Rows) -> Result<()> {
        match (data.dimensions(), self.means.ncols()) {
            (found, expected) if found == expected => Ok(()),
            (found, expected) => Err(Error::Columns { found, of: "the model", expected }),
        }
    }
}

/// Runs the E-step on a table, one block at a time.
struct EStep<'a> {
    model: &'a Gmm,
    prepared: Prepared,
    data: &'a dyn Rows,
    instructions: InstructionSet,
}

/// The buffers of a thread for an [`EStep`].
type Space<'a> = (RowBuffer, Workspace, Option<Completion<'a>>);

impl<'a> EStep<'a> {
    /// # Errors
    ///
    /// Returns an error if the model is not valid, or if the data have other dimensions.
    fn new(model: &'a Gmm, data: &'a dyn Rows) -> Result<EStep<'a>> {
        let prepared = model.prepare()?;
        model.check_dimensions(data)?;
        Ok(EStep { model, prepared, data, instructions: InstructionSet::detect() })
    }

    /// Returns the model if it has to complete missing values.
    fn completing(&self) -> Option<&'a Gmm> {
        self.data.nan_is_missing().then_some(self.model)
    }

    fn space(&self) -> Space<'a> {
        let space = Workspace::new(self.prepared.components, self.prepared.dimensions);
        (RowBuffer::default(), space, self.completing().map(Completion::new))
    }

    /// Runs the E-step of a chunk and passes each block to `each`, with the indices of its samples in the chunk.
    ///
    /// # Errors
    ///
    /// Returns an error if the data cannot be read, or if a sample is impossible under every component.
    fn each_block(
        &self,
        (buffer, space, completion): &mut Space,
        range: Range<usize>,
        mut each: impl FnMut(&Workspace, &[usize]),
    ) -> Result<()> {
        let first = range.start;
        let rows = self.data.read(range, buffer)?;
        for (indices, complete) in Order::new(rows, self.prepared.dimensions, self.completing()).blocks() {
            match completion.as_mut().filter(|_| !complete) {
                Some(completion) => completion.expectation(self.instructions, rows, indices, space)?,
                None => {
                    space.load_rows(rows, indices);
                    expectation(self.instructions, &self.prepared, space);
                }
            }
            check_possible(first, indices, space)?;
            each(space, indices);
        }
        Ok(())
    }
}

/// Returns a weighted sum over the samples of a block: the entropy of each sample's responsibilities.
fn weighted_entropy(space: &Workspace, weights: &[f64], components: usize) -> f64 {
    let of_sample = |s: usize| {
        let terms = (0..components).map(|k| space.responsibilities(k)[s]);
        -terms.map(|r| if r > 0.0 { r * r.ln() } else { 0.0 }).sum::<f64>()
    };
    (0..space.samples()).map(|s| weights[s] * of_sample(s)).sum()
}
