//! What a fitted mixture says about samples.

use ndarray::{Array1, Array2, Array3, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::cholesky::{cholesky, invert};
use super::density::{Prepared, Whitening, Workspace, expectation};
use super::{Covariance, Covariances, Gmm};
use crate::compute::simd::{BLOCK, InstructionSet};
use crate::data::{RowBuffer, Rows, Survey, chunk_count, chunk_range};
use crate::error::{Error, Result};
use crate::parallel::merge_in_order;

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
    /// A mixture of these weights (K), means (K x d) and covariances.
    ///
    /// # Errors
    ///
    /// Shapes that do not fit, weights that do not add up to 1, or a covariance that is not positive definite.
    pub fn new(weights: Array1<f64>, means: Array2<f64>, covariances: Covariances) -> Result<Gmm> {
        let model = Gmm { weights, means, covariances };
        model.prepare()?;
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
            all.extend(&space.log_density()[..samples])
        })
    }

    /// log p(x) of all samples together, in nats.
    ///
    /// # Errors
    ///
    /// As [`Gmm::log_density`].
    pub fn log_likelihood(&self, data: &dyn Rows) -> Result<f64> {
        Survey::new(data, 0)?;
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
            all.extend((0..samples).flat_map(|s| (0..components).map(move |k| space.responsibilities(k)[s])));
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
            all.extend((0..samples).map(|s| {
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
        let components = self.weights.len();
        let sums = self.each_block(data, |all: &mut Vec<[f64; 2]>, space, samples| {
            let log_likelihood = space.log_density()[..samples].iter().sum();
            let terms = (0..components).flat_map(|k| &space.responsibilities(k)[..samples]);
            let entropy = -terms.map(|&r| if r > 0.0 { r * r.ln() } else { 0.0 }).sum::<f64>();
            all.push([log_likelihood, entropy]);
        })?;
        let log_likelihood: f64 = sums.iter().map(|sum| sum[0]).sum();
        let entropy: f64 = sums.iter().map(|sum| sum[1]).sum();
        let parameters = self.parameters();
        let p = parameters as f64;
        let bic = p * (data.samples() as f64).ln() - 2.0 * log_likelihood;
        let aic = 2.0 * p - 2.0 * log_likelihood;
        Ok(Criteria { log_likelihood, parameters, aic, bic, icl: bic + 2.0 * entropy })
    }

    /// Draws samples (n x d) and says which component each is from. The same seed gives the same samples.
    ///
    /// # Errors
    ///
    /// A model that is none (see [`Gmm::new`]).
    pub fn sample(&self, samples: usize, seed: u64) -> Result<(Array2<f64>, Vec<usize>)> {
        self.prepare()?;
        let (components, d) = self.means.dim();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let factors: Vec<Vec<f64>> = (0..components)
            .map(|component| {
                let matrix: Vec<f64> = self.covariance(component).iter().copied().collect();
                cholesky(&matrix, d).ok_or(Error::NotPositiveDefinite { component })
            })
            .collect::<Result<_>>()?;
        let possible = self.weights.iter().rposition(|&weight| weight > 0.0).unwrap_or(0);
        let mut drawn = Array2::zeros((samples, d));
        let mut labels = Vec::with_capacity(samples);
        for mut row in drawn.rows_mut() {
            let mut rest = rng.r#gen::<f64>();
            let label = self.weights.iter().position(|&weight| {
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
        if let Some(index) = self.weights.iter().position(|weight| !(0.0..=1.0 + 1e-9).contains(weight)) {
            return Err(Error::Probability { name: "weights", index, value: self.weights[index] });
        }
        let sum = self.weights.sum();
        let is_1 = (sum - 1.0).abs() <= 1e-9;
        if !is_1 {
            return Err(Error::Sum { name: "weights", sum });
        }
        if let Some(&value) = self.means.iter().find(|&&value| !Survey::fits(value)) {
            return Err(Error::Setting { name: "a mean", expected: "within 1e130 of 0", value });
        }
        let singular = |component| Error::NotPositiveDefinite { component };
        let deviation = |component: usize, variance: f64| match 1.0 / variance.sqrt() {
            inverse if variance > 0.0 && inverse.is_finite() && inverse > 0.0 => Ok(inverse),
            _ => Err(singular(component)),
        };
        let whitening = match &self.covariances {
            Covariances::Full(full) => {
                let mut all = Vec::with_capacity(k * d * d);
                for (component, matrix) in full.axis_iter(Axis(0)).enumerate() {
                    all.extend(inverse_factor(&matrix.to_owned()).ok_or(singular(component))?);
                }
                Whitening::Full(all)
            }
            Covariances::Tied(tied) => Whitening::Full(inverse_factor(tied).ok_or(singular(0))?.repeat(k)),
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
        };
        let half_log_2_pi = 0.5 * (2.0 * std::f64::consts::PI).ln();
        let log_constants = (0..k)
            .map(|component| {
                // log det W = - log det L
                let log_determinant: f64 = match &whitening {
                    Whitening::Full(all) => (0..d).map(|i| all[(component * d + i) * d + i].ln()).sum(),
                    Whitening::Diagonal(all) => all[component * d..][..d].iter().map(|w| w.ln()).sum(),
                };
                self.weights[component].ln() + log_determinant - d as f64 * half_log_2_pi
            })
            .collect();
        let means = self.means.iter().copied().collect();
        Ok(Prepared { components: k, dimensions: d, means, whitening, log_constants })
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
        let (k, d) = self.means.dim();
        match data.dimensions() {
            found if found == d => Ok(()),
            wanted => Err(Error::Shape { name: "the means", expected: vec![k, wanted], found: vec![k, d] }),
        }
    }

    /// The E-step of all samples; `each` takes what it wants from a block, of which so many samples are real.
    fn each_block<T: Send>(
        &self,
        data: &dyn Rows,
        each: impl Fn(&mut Vec<T>, &Workspace, usize) + Sync,
    ) -> Result<Vec<T>> {
        Survey::new(data, 0)?;
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
                each(&mut found, space, samples);
                first += samples;
            }
            Ok(found)
        };
        let all = merge_in_order(chunk_count(data), 0, state, work, |all, more| all.extend(more))?;
        Ok(all.unwrap_or_default())
    }
}

/// L^-1 of a symmetric matrix, row by row, if it is positive definite.
fn inverse_factor(matrix: &Array2<f64>) -> Option<Vec<f64>> {
    let d = matrix.nrows();
    // A matrix that the user gave may differ from its transpose by rounding.
    let symmetric = matrix.indexed_iter().all(|((i, j), &value)| {
        let (scale, transposed) = ((matrix[(i, i)] * matrix[(j, j)]).sqrt(), matrix[(j, i)]);
        (value - transposed).abs() <= 1e-9 * scale || value == transposed
    });
    let rows: Vec<f64> = matrix.iter().copied().collect();
    symmetric.then(|| cholesky(&rows, d).and_then(|factor| invert(&factor, d))).flatten()
}
