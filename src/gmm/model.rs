//! What a fitted mixture says about samples.

use std::ops::Range;

use ndarray::{Array1, Array2, Array3, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::cholesky::{cholesky, invert};
use super::density::{Prepared, Whitening, Workspace, expectation};
use super::{Covariance, Covariances, Gmm, GmmOptions};
use crate::coin::{weight_rounding, weight_sum};
use crate::compute::simd::{BLOCK, InstructionSet};
use crate::compute::sum_chunks;
use crate::data::{RowBuffer, Rows, Survey, Weighted, chunk_count, chunk_range};
use crate::error::{Error, Result};

/// How far a covariance from outside may be from its transpose, relative to its variances: the rounding of f32.
const ASYMMETRY: f64 = 1e-6;

/// What to choose the number of components by; of all but the likelihood the smallest is the best.
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
    /// BIC - 2 sum_ik r_ik log r_ik: components that overlap cost (Biernacki, Celeux and Govaert).
    pub icl: f64,
}

impl Gmm {
    /// A mixture of these weights (K), means (K x d) and covariances. What is off by the rounding of f32 is put right: weights
    /// are divided by their sum, and covariances made symmetric.
    ///
    /// # Errors
    ///
    /// Shapes that do not fit, numbers that are not finite, weights that do not add up to 1, or a covariance that is not
    /// symmetric or not positive definite.
    pub fn new(weights: Array1<f64>, means: Array2<f64>, covariances: Covariances) -> Result<Gmm> {
        Gmm { weights, means, covariances }.normalised()
    }

    /// The same model with weights that add up to 1 and symmetric covariances.
    ///
    /// # Errors
    ///
    /// As [`Gmm::new`].
    pub(super) fn normalised(&self) -> Result<Gmm> {
        self.prepare()?;
        let mut model = self.clone();
        model.weights /= weight_sum(self.weights.sum(), self.weights.len())?;
        match &mut model.covariances {
            Covariances::Full(full) => {
                for (component, mut matrix) in full.outer_iter_mut().enumerate() {
                    let symmetric = symmetric(&matrix.to_owned(), component)?;
                    matrix.assign(&symmetric);
                }
            }
            Covariances::Tied(tied) => *tied = symmetric(tied, 0)?,
            Covariances::Diagonal(_) | Covariances::Spherical(_) => {}
        }
        Ok(model)
    }

    /// Components with these means (K x d), equal weights and variance 1 without correlation.
    pub fn standard(means: Array2<f64>, covariance: Covariance) -> Gmm {
        let (k, d) = means.dim();
        let covariances = match covariance {
            Covariance::Full => {
                Covariances::Full(Array3::from_shape_fn((k, d, d), |(_, i, j)| f64::from(u8::from(i == j))))
            }
            Covariance::Tied => Covariances::Tied(Array2::eye(d)),
            Covariance::Diagonal => Covariances::Diagonal(Array2::ones((k, d))),
            Covariance::Spherical => Covariances::Spherical(Array1::ones(k)),
        };
        Gmm { weights: Array1::from_elem(k, 1.0 / k as f64), means, covariances }
    }

    /// The kind of its covariances.
    pub fn covariance_kind(&self) -> Covariance {
        match self.covariances {
            Covariances::Full(_) => Covariance::Full,
            Covariances::Tied(_) => Covariance::Tied,
            Covariances::Diagonal(_) => Covariance::Diagonal,
            Covariances::Spherical(_) => Covariance::Spherical,
        }
    }

    /// Sigma_k as a matrix, d x d, of whatever kind it is.
    pub fn covariance(&self, component: usize) -> Array2<f64> {
        let d = self.means.ncols();
        match &self.covariances {
            Covariances::Full(full) => full.index_axis(Axis(0), component).to_owned(),
            Covariances::Tied(tied) => tied.clone(),
            Covariances::Diagonal(diagonal) => Array2::from_diag(&diagonal.row(component)),
            Covariances::Spherical(spherical) => Array2::eye(d) * spherical[component],
        }
    }

    /// log p(x_i) of each sample.
    ///
    /// # Errors
    ///
    /// A model that is none (see [`Gmm::new`]), data of other dimensions or that are not finite, a sample that is so far from
    /// all components that its density cannot be told from 0 even as a logarithm, and what reading brings.
    pub fn log_density(&self, data: &dyn Rows) -> Result<Vec<f64>> {
        self.each_block(data, |all: &mut Vec<f64>, space, samples| {
            all.extend(&space.log_density()[..samples.len()])
        })
    }

    /// log p(x) of all samples together, in nats.
    ///
    /// # Errors
    ///
    /// As [`Gmm::log_density`].
    pub fn log_likelihood(&self, data: &dyn Rows) -> Result<f64> {
        Survey::new(data, None, 0)?;
        Ok(self.statistics(data, None, 0)?.log_likelihood)
    }

    /// r_ik, n x K: the posterior of each component for each sample; each row adds up to 1.
    ///
    /// # Errors
    ///
    /// As [`Gmm::log_density`].
    pub fn responsibilities(&self, data: &dyn Rows) -> Result<Array2<f64>> {
        let components = self.weights.len();
        let all = self.each_block(data, |all: &mut Vec<f64>, space, samples| {
            let of = |s: usize| (0..components).map(move |k| space.responsibilities(k)[s]);
            all.extend((0..samples.len()).flat_map(of));
        })?;
        let shape = (data.samples(), self.weights.len());
        Ok(Array2::from_shape_vec(shape, all).expect("a responsibility for each sample and component"))
    }

    /// The component with the largest responsibility for each sample, the first of them where several are equal.
    ///
    /// # Errors
    ///
    /// As [`Gmm::log_density`].
    pub fn predict(&self, data: &dyn Rows) -> Result<Vec<usize>> {
        let components = self.weights.len();
        self.each_block(data, |all: &mut Vec<usize>, space, samples| {
            all.extend((0..samples.len()).map(|s| {
                let each = (0..components).map(|k| (k, space.responsibilities(k)[s]));
                each.fold((0, 0.0), |best, each| if each.1 > best.1 { each } else { best }).0
            }));
        })
    }

    /// The number of free parameters.
    pub fn parameters(&self) -> usize {
        let (k, d) = self.means.dim();
        let covariances = match self.covariances {
            Covariances::Full(_) => k * d * (d + 1) / 2,
            Covariances::Tied(_) => d * (d + 1) / 2,
            Covariances::Diagonal(_) => k * d,
            Covariances::Spherical(_) => k,
        };
        covariances + k * d + k - 1
    }

    /// AIC, BIC and ICL.
    ///
    /// # Errors
    ///
    /// As [`Gmm::log_density`].
    pub fn criteria(&self, data: &dyn Rows) -> Result<Criteria> {
        self.criteria_of(&Weighted::new(data, None)?)
    }

    /// AIC, BIC and ICL of samples that count more or less than once; the n of BIC is the sum of their weights.
    ///
    /// # Errors
    ///
    /// As [`Gmm::log_density`], and weights as for [`Gmm::fit_weighted`].
    pub fn criteria_weighted(&self, data: &dyn Rows, sample_weights: &[f64]) -> Result<Criteria> {
        self.criteria_of(&Weighted::new(data, Some(sample_weights))?)
    }

    fn criteria_of(&self, counted: &Weighted) -> Result<Criteria> {
        counted.survey(0)?; // also what does not count is looked at
        let components = self.weights.len();
        let weight = |index: usize| counted.weights().map_or(1.0, |weights| weights[index]);
        // Of each block: log p(x), and the entropy of the responsibilities.
        let sums = self.each_block(counted.data(), |all: &mut Vec<[f64; 2]>, space, samples| {
            let (mut log_likelihood, mut entropy) = (0.0, 0.0);
            for (s, index) in samples.enumerate() {
                let terms = (0..components).map(|k| space.responsibilities(k)[s]);
                let of_sample = -terms.map(|r| if r > 0.0 { r * r.ln() } else { 0.0 }).sum::<f64>();
                log_likelihood += weight(index) * space.log_density()[s];
                entropy += weight(index) * of_sample;
            }
            all.push([log_likelihood, entropy]);
        });
        let sums = sums.map_err(|error| counted.rename(error))?;
        let log_likelihood: f64 = sums.iter().map(|sum| sum[0]).sum();
        let entropy: f64 = sums.iter().map(|sum| sum[1]).sum();
        let parameters = self.parameters();
        let p = parameters as f64;
        let bic = p * counted.total().ln() - 2.0 * log_likelihood;
        let aic = 2.0 * p - 2.0 * log_likelihood;
        Ok(Criteria { log_likelihood, parameters, aic, bic, icl: bic + 2.0 * entropy })
    }

    /// Draws samples (n x d) and says which component each is from. The same seed gives the same samples.
    ///
    /// # Errors
    ///
    /// A model that is none (see [`Gmm::new`]).
    pub fn sample(&self, samples: usize, seed: u64) -> Result<(Array2<f64>, Vec<usize>)> {
        let model = self.normalised()?;
        let (components, d) = self.means.dim();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let factors: Vec<Vec<f64>> = (0..components)
            .map(|component| {
                let matrix: Vec<f64> = model.covariance(component).iter().copied().collect();
                cholesky(&matrix, d).ok_or(Error::NotPositiveDefinite { component })
            })
            .collect::<Result<_>>()?;
        let possible = model.weights.iter().rposition(|&weight| weight > 0.0).unwrap_or(0);
        let mut drawn = Array2::zeros((samples, d));
        let mut labels = Vec::with_capacity(samples);
        for mut row in drawn.rows_mut() {
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
            labels.push(label);
        }
        Ok((drawn, labels))
    }

    /// Is it a model? Then its parts, ready for the E-step.
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
        let bad_mean = self.means.indexed_iter().find(|(_, value)| !Survey::fits(**value));
        if let Some(((component, column), &value)) = bad_mean {
            let (place, expected) = (vec![component, column], "within 1e130 of 0");
            return Err(Error::Entry { name: "means", place, expected, value });
        }
        self.check_covariances_finite()?;
        let whitening = self.whitening()?;
        let half_log_2_pi = 0.5 * (2.0 * std::f64::consts::PI).ln();
        let log_constants = (0..k)
            .map(|component| {
                // log det W = - log det L
                let log_determinant: f64 = match &whitening {
                    Whitening::Full(all) => (0..d).map(|i| all[(component * d + i) * d + i].ln()).sum(),
                    Whitening::Diagonal(all) => all[component * d..][..d].iter().map(|w| w.ln()).sum(),
                };
                (self.weights[component] / weight_sum).ln() + log_determinant - d as f64 * half_log_2_pi
            })
            .collect();
        let means = self.means.iter().copied().collect();
        Ok(Prepared { components: k, dimensions: d, means, whitening, log_constants })
    }

    fn check_covariances_finite(&self) -> Result<()> {
        let all = match &self.covariances {
            Covariances::Full(full) => full.view().into_dyn(),
            Covariances::Tied(tied) => tied.view().into_dyn(),
            Covariances::Diagonal(diagonal) => diagonal.view().into_dyn(),
            Covariances::Spherical(spherical) => spherical.view().into_dyn(),
        };
        match all.indexed_iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(()),
            Some((place, &value)) => {
                let place = ndarray::Dimension::slice(&place).to_vec();
                Err(Error::Entry { name: "covariances", place, expected: "finite", value })
            }
        }
    }

    /// What the covariances make of x - mu_k, if they are symmetric and positive definite.
    fn whitening(&self) -> Result<Whitening> {
        let (k, d) = self.means.dim();
        let deviation = |component: usize, variance: f64| match 1.0 / variance.sqrt() {
            inverse if variance > 0.0 && inverse.is_finite() && inverse > 0.0 => Ok(inverse),
            _ => Err(Error::NotPositiveDefinite { component }),
        };
        Ok(match &self.covariances {
            Covariances::Full(full) => {
                let mut all = Vec::with_capacity(k * d * d);
                for (component, matrix) in full.outer_iter().enumerate() {
                    all.extend(inverse_factor(&matrix.to_owned(), component)?);
                }
                Whitening::Full(all)
            }
            Covariances::Tied(tied) => Whitening::Full(inverse_factor(tied, 0)?.repeat(k)),
            Covariances::Diagonal(diagonal) => {
                let each =
                    diagonal.indexed_iter().map(|((component, _), &variance)| deviation(component, variance));
                Whitening::Diagonal(each.collect::<Result<_>>()?)
            }
            Covariances::Spherical(spherical) => {
                let mut all = Vec::with_capacity(k * d);
                for (component, &variance) in spherical.iter().enumerate() {
                    all.extend(std::iter::repeat_n(deviation(component, variance)?, d));
                }
                Whitening::Diagonal(all)
            }
        })
    }

    /// Checks that it can be the start of a fit with these options to these data.
    pub(super) fn check_start(&self, options: &GmmOptions, data: &dyn Rows) -> Result<()> {
        let (found, expected) = (data.dimensions(), self.means.ncols());
        if found != expected {
            return Err(Error::Columns { found, of: "the start", expected });
        }
        self.check_shape("the start's means", options.components, expected)?;
        match (options.covariance, self.covariance_kind()) {
            (expected, found) if expected == found => Ok(()),
            (expected, found) => Err(Error::Kind { expected, found }),
        }
    }

    /// Checks its shapes; `name` is what the means are called.
    pub(super) fn check_shape(&self, name: &'static str, k: usize, d: usize) -> Result<()> {
        let check = |name, expected: &[usize], found: &[usize]| match expected == found {
            true => Ok(()),
            false => Err(Error::Shape { name, expected: expected.to_vec(), found: found.to_vec() }),
        };
        check(name, &[k, d], self.means.shape())?;
        check("the weights", &[k], self.weights.shape())?;
        let name = "the covariances";
        match &self.covariances {
            Covariances::Full(full) => check(name, &[k, d, d], full.shape()),
            Covariances::Tied(tied) => check(name, &[d, d], tied.shape()),
            Covariances::Diagonal(diagonal) => check(name, &[k, d], diagonal.shape()),
            Covariances::Spherical(spherical) => check(name, &[k], spherical.shape()),
        }
    }

    pub(super) fn check_dimensions(&self, data: &dyn Rows) -> Result<()> {
        match (data.dimensions(), self.means.ncols()) {
            (found, expected) if found == expected => Ok(()),
            (found, expected) => Err(Error::Columns { found, of: "the model", expected }),
        }
    }

    /// The E-step of all samples; `each` takes what it wants from a block, whose first lanes are these samples.
    fn each_block<T: Send>(
        &self,
        data: &dyn Rows,
        each: impl Fn(&mut Vec<T>, &Workspace, Range<usize>) + Sync,
    ) -> Result<Vec<T>> {
        Survey::new(data, None, 0)?;
        let model = self.prepare()?;
        self.check_dimensions(data)?;
        let instructions = InstructionSet::detect();
        let state = || (RowBuffer::default(), Workspace::new(model.components, model.dimensions));
        let work = |(buffer, space): &mut (RowBuffer, Workspace), chunk: usize| {
            let range = chunk_range(data, chunk);
            let mut first = range.start;
            let mut found = Vec::new();
            for rows in data.read(range, buffer)?.chunks(BLOCK * model.dimensions) {
                let samples = rows.len() / model.dimensions;
                space.load(rows);
                expectation(instructions, &model, space);
                if let Some(s) = space.log_density()[..samples].iter().position(|log| !log.is_finite()) {
                    return Err(Error::Impossible { index: first + s });
                }
                each(&mut found, space, first..first + samples);
                first += samples;
            }
            Ok(found)
        };
        let all = sum_chunks(0..chunk_count(data), 0, state, work, |all, more| all.extend(more))?;
        Ok(all.unwrap_or_default())
    }
}

/// L^-1 of a component's covariance, row by row.
///
/// # Errors
///
/// A covariance that is not symmetric or not positive definite.
fn inverse_factor(matrix: &Array2<f64>, component: usize) -> Result<Vec<f64>> {
    let d = matrix.nrows();
    let rows: Vec<f64> = symmetric(matrix, component)?.iter().copied().collect();
    let inverse = cholesky(&rows, d).and_then(|factor| invert(&factor, d));
    inverse.ok_or(Error::NotPositiveDefinite { component })
}

/// The mean of a component's covariance and its transpose, which is the same to the bit where it is symmetric.
///
/// # Errors
///
/// A covariance that differs from its transpose by more than the rounding of f32.
fn symmetric(matrix: &Array2<f64>, component: usize) -> Result<Array2<f64>> {
    let mut symmetric = matrix.clone();
    for ((row, column), &value) in matrix.indexed_iter().filter(|((row, column), _)| column > row) {
        let transposed = matrix[(column, row)];
        let scale = (matrix[(row, row)] * matrix[(column, column)]).sqrt();
        if !((value - transposed).abs() <= ASYMMETRY * scale || value == transposed) {
            return Err(Error::Asymmetric { component, row, column, value, transposed });
        }
        let mean = 0.5 * value + 0.5 * transposed;
        let mean = if value == transposed { value } else { mean };
        symmetric[(row, column)] = mean;
        symmetric[(column, row)] = mean;
    }
    Ok(symmetric)
}
