//! The sums that an iteration leaves of the samples, and the M-step that they are enough for.

use ndarray::{Array1, Array2, Array3, Axis};

use super::density::{Prepared, Sums, Workspace, accumulate, expectation};
use super::{Covariance, Covariances, Gmm};
use crate::compute::simd::{BLOCK, InstructionSet, NOTHING};
use crate::compute::sum_chunks;
use crate::data::{RowBuffer, Weighted, chunk_count, chunk_range};
use crate::error::{Error, Result};

/// A variance that is smaller than this times the mean square it is the rest of is rounding: the component has no width.
const WIDTHLESS: f64 = 1e-14;

/// A mean square that is larger than this times the variance that is the rest of it has cost the variance digits.
const FAR: f64 = 1e5;

/// A component whose effective count is below this share of all samples has lost them all.
const VANISHED: f64 = 1e-200;

/// What one look at the samples leaves for the M-step: sums, so that parts of the data can be looked at apart.
///
/// With z = x_i - origin_k and w = (weight of sample i) r_ik:
#[derive(Debug, Clone, PartialEq)]
pub struct GmmStatistics {
    /// log p(x) of the model that the look was taken with, in nats; each sample times its weight.
    pub log_likelihood: f64,
    /// N_k = sum_i w, k.
    pub effective_counts: Array1<f64>,
    /// sum_i w z, k x d.
    pub first_moments: Array2<f64>,
    /// sum_i w z z^T: its lower triangle row by row, k x d(d+1)/2, or of a diagonal model its diagonal alone, k x d.
    pub second_moments: Array2<f64>,
    /// A point near each component, k x d: its mean before the M-step. With it as origin the moments of a component far
    /// from 0 keep their digits.
    pub origins: Array2<f64>,
}

/// Where the responsibilities of a look come from.
pub(super) enum Responsibilities<'a> {
    /// From a model: its E-step.
    Model(&'a Prepared),
    /// From elsewhere: a function of the index of the first sample of a chunk and its rows, that returns the responsibilities of
    /// the chunk's samples (m x k).
    Chunk(&'a ChunkResponsibilities<'a>),
}

/// See [`Responsibilities::Chunk`].
pub(super) type ChunkResponsibilities<'a> = dyn Fn(usize, &[f64]) -> Result<Array2<f64>> + Sync + 'a;

impl GmmStatistics {
    fn new(origins: &Array2<f64>, covariance: Covariance) -> GmmStatistics {
        let (k, d) = origins.dim();
        let products = GmmStatistics::products(d, covariance);
        GmmStatistics {
            log_likelihood: 0.0,
            effective_counts: Array1::zeros(k),
            first_moments: Array2::zeros((k, d)),
            second_moments: Array2::zeros((k, products)),
            origins: origins.clone(),
        }
    }

    /// The number of second moments.
    fn products(d: usize, covariance: Covariance) -> usize {
        match covariance {
            Covariance::Full | Covariance::Tied => d * (d + 1) / 2,
            Covariance::Diagonal | Covariance::Spherical => d,
        }
    }

    /// Adds what was found of other samples, with the same model.
    ///
    /// # Panics
    ///
    /// Where the models differ.
    pub fn merge(&mut self, other: &GmmStatistics) {
        assert_eq!(self.origins, other.origins, "statistics about different origins");
        assert_eq!(self.second_moments.dim(), other.second_moments.dim(), "statistics of different models");
        self.log_likelihood += other.log_likelihood;
        self.effective_counts += &other.effective_counts;
        self.first_moments += &other.first_moments;
        self.second_moments += &other.second_moments;
    }

    /// The M-step.
    ///
    /// `before` says of what kind the covariances are, and what becomes of a component that has lost all its samples: it keeps
    /// its mean and covariance, at the weight 0. `regularisation` is added to each variance.
    ///
    /// # Formula
    ///
    /// ```text
    /// pi_k = N_k / sum_l N_l        mu_k = origin_k + m_k,    m_k = sum_i w z / N_k
    /// full       Sigma_k = sum_i w z z^T / N_k - m_k m_k^T
    /// tied       Sigma   = sum_k N_k Sigma_k / sum_k N_k
    /// diagonal   sigma_kj^2 = (Sigma_k)_jj
    /// spherical  sigma_k^2  = mean over j of (Sigma_k)_jj
    /// ```
    ///
    /// # Panics
    ///
    /// Where `before` is not of the shape and kind of the model that the look was taken with.
    pub fn maximisation(&self, before: &Gmm, regularisation: f64) -> Gmm {
        let (k, d) = self.origins.dim();
        assert_eq!(before.means.dim(), (k, d), "the M-step of another model");
        let products = GmmStatistics::products(d, before.covariance_kind());
        assert_eq!(self.second_moments.ncols(), products, "the M-step of another kind of covariance");
        let total = self.effective_counts.sum();
        let vanished = |component: usize| self.vanished(component);
        let mut weights = &self.effective_counts / total;
        (0..k).filter(|&component| vanished(component)).for_each(|component| weights[component] = 0.0);
        let means = self.means(&before.means);
        let covariances = match &before.covariances {
            Covariances::Full(kept) => {
                let mut full: Array3<f64> = kept.clone();
                for (component, mut matrix) in full.axis_iter_mut(Axis(0)).enumerate() {
                    if !vanished(component) {
                        matrix.assign(&self.scatter(component));
                        matrix.diag_mut().mapv_inplace(|variance| variance + regularisation);
                    }
                }
                Covariances::Full(full)
            }
            Covariances::Tied(_) => {
                let mut tied = Array2::zeros((d, d));
                for component in (0..k).filter(|&component| !vanished(component)) {
                    tied.scaled_add(self.effective_counts[component] / total, &self.scatter(component));
                }
                tied.diag_mut().mapv_inplace(|variance| variance + regularisation);
                Covariances::Tied(tied)
            }
            Covariances::Diagonal(kept) => {
                let mut diagonal = kept.clone();
                for component in (0..k).filter(|&component| !vanished(component)) {
                    let variances = self.variances(component) + regularisation;
                    diagonal.row_mut(component).assign(&variances);
                }
                Covariances::Diagonal(diagonal)
            }
            Covariances::Spherical(kept) => {
                let mut spherical = kept.clone();
                for component in (0..k).filter(|&component| !vanished(component)) {
                    spherical[component] = self.variances(component).sum() / d as f64 + regularisation;
                }
                Covariances::Spherical(spherical)
            }
        };
        Gmm { weights, means, covariances }
    }

    /// mu_k; of a component that has lost all its samples that of before.
    fn means(&self, before: &Array2<f64>) -> Array2<f64> {
        let mut means = before.clone();
        for (component, mut mean) in means.rows_mut().into_iter().enumerate() {
            if !self.vanished(component) {
                let shift = &self.first_moments.row(component) / self.effective_counts[component];
                mean.assign(&(&self.origins.row(component) + &shift));
            }
        }
        means
    }

    fn vanished(&self, component: usize) -> bool {
        self.effective_counts[component] <= VANISHED * self.effective_counts.sum()
    }

    /// Whether a component lies so far from its origin that the difference of its moments has lost digits: a second look,
    /// about the mean that this one found, has them. It happens in the first iterations after a start far off.
    fn cancels(&self, regularisation: f64) -> bool {
        let (k, d) = self.origins.dim();
        let diagonal = |j: usize| if self.second_moments.ncols() == d { j } else { j * (j + 3) / 2 };
        (0..k).filter(|&component| !self.vanished(component)).any(|component| {
            let count = self.effective_counts[component];
            (0..d).any(|j| {
                let square = self.second_moments[(component, diagonal(j))] / count;
                let shift = self.first_moments[(component, j)] / count;
                square > FAR * (square - shift * shift + regularisation)
            })
        })
    }

    /// Sigma_k, d x d.
    fn scatter(&self, component: usize) -> Array2<f64> {
        let d = self.origins.ncols();
        let count = self.effective_counts[component];
        let shift = &self.first_moments.row(component) / count;
        let mut scatter = Array2::zeros((d, d));
        for i in 0..d {
            for j in 0..=i {
                let product = self.second_moments[(component, i * (i + 1) / 2 + j)] / count;
                let value = product - shift[i] * shift[j];
                let value = if i == j { width(value, product) } else { value };
                scatter[(i, j)] = value;
                scatter[(j, i)] = value;
            }
        }
        scatter
    }

    /// The diagonal of Sigma_k, d.
    fn variances(&self, component: usize) -> Array1<f64> {
        let count = self.effective_counts[component];
        let shift = &self.first_moments.row(component) / count;
        let squares = &self.second_moments.row(component) / count;
        Array1::from_shape_fn(shift.len(), |j| width(squares[j] - shift[j] * shift[j], squares[j]))
    }
}

/// A variance that is only the rounding of the two terms it is the difference of is 0.
fn width(variance: f64, square: f64) -> f64 {
    if variance > WIDTHLESS * square { variance } else { 0.0 }
}

/// One look at the samples, or two where [`GmmStatistics::cancels`] asks for it.
///
/// # Errors
///
/// As [`look`].
pub(super) fn look_closely(
    samples: &Weighted,
    origins: &Array2<f64>,
    covariance: Covariance,
    responsibilities: &Responsibilities,
    (regularisation, threads): (f64, usize),
) -> Result<GmmStatistics> {
    let first = look(samples, origins, covariance, responsibilities, threads)?;
    if !first.cancels(regularisation) {
        return Ok(first);
    }
    look(samples, &first.means(origins), covariance, responsibilities, threads)
}

/// One look at the samples: responsibilities, and the sums that they weigh.
///
/// # Errors
///
/// What reading brings, and a sample that no component can have made.
pub(super) fn look(
    samples: &Weighted,
    origins: &Array2<f64>,
    covariance: Covariance,
    responsibilities: &Responsibilities,
    threads: usize,
) -> Result<GmmStatistics> {
    let (components, dimensions) = origins.dim();
    let (data, sample_weights) = (samples.data(), samples.weights());
    let instructions = InstructionSet::detect();
    let origin_rows: Vec<f64> = origins.iter().copied().collect();
    let state = || (RowBuffer::default(), Workspace::new(components, dimensions));
    let work = |(buffer, space): &mut (RowBuffer, Workspace), chunk: usize| {
        let range = chunk_range(data, chunk);
        let rows = data.read(range.clone(), buffer)?;
        let given = match responsibilities {
            Responsibilities::Model(_) => None,
            Responsibilities::Chunk(given) => Some(given(range.start, rows)?),
        };
        let mut sums = GmmStatistics::new(origins, covariance);
        for (index, block) in rows.chunks(BLOCK * dimensions).enumerate() {
            let samples = block.len() / dimensions;
            let first = range.start + index * BLOCK;
            // The lanes that are left over in the last block have the weight 0.
            let mut lanes = NOTHING;
            let weights = &mut lanes[..samples];
            match sample_weights {
                Some(all) => weights.copy_from_slice(&all[first..first + samples]),
                None => weights.fill(1.0),
            }
            space.load(block);
            match (responsibilities, &given) {
                (Responsibilities::Model(model), _) => {
                    expectation(instructions, model, space);
                    let mut log_likelihood = 0.0;
                    for (s, (weight, log_density)) in weights.iter().zip(space.log_density()).enumerate() {
                        if !log_density.is_finite() {
                            return Err(Error::Impossible { index: first + s });
                        }
                        log_likelihood += weight * log_density;
                    }
                    sums.log_likelihood += log_likelihood;
                }
                (_, Some(given)) => {
                    for component in 0..components {
                        let given = given.column(component);
                        let lanes = space.responsibilities_mut(component);
                        (0..samples).for_each(|s| lanes[s] = given[index * BLOCK + s]);
                    }
                }
                (_, None) => unreachable!("responsibilities that no model gives were made above"),
            }
            for component in 0..components {
                let sums = Sums {
                    count: &mut sums.effective_counts[component],
                    first: row_mut(&mut sums.first_moments, component),
                    second: row_mut(&mut sums.second_moments, component),
                };
                let origin = &origin_rows[component * dimensions..][..dimensions];
                accumulate(instructions, component, origin, &lanes, space, sums);
            }
        }
        Ok(sums)
    };
    let sums = sum_chunks(0..chunk_count(data), threads, state, work, |all, more| all.merge(&more))?;
    Ok(sums.unwrap_or_else(|| GmmStatistics::new(origins, covariance)))
}

fn row_mut(array: &mut Array2<f64>, row: usize) -> &mut [f64] {
    let columns = array.ncols();
    &mut array.as_slice_mut().expect("statistics are made in rows")[row * columns..][..columns]
}
