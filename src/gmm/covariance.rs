//! The types of covariance. All code that depends on the type is here: to add one, extend the two enums and each `match`.

use ndarray::{Array1, Array2, Array3, ArrayView2, ArrayViewD, ArrayViewMutD, Axis};

use super::GmmStatistics;
use super::cholesky::{cholesky, invert};
use super::density::Whitening;
use crate::error::{Error, Result};

/// A type of covariance; [`Covariances`] holds the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum CovarianceKind {
    /// One matrix per component: ellipsoids of any shape and direction.
    #[default]
    Full,
    /// One matrix shared by all components: ellipsoids of the same shape and direction.
    Tied,
    /// One variance per component and column: axis-aligned ellipsoids.
    Diagonal,
    /// One variance per component: spheres.
    Spherical,
}

/// The covariances of a model.
#[derive(Debug, Clone, PartialEq)]
pub enum Covariances {
    /// One matrix per component, K x d x d.
    Full(Array3<f64>),
    /// One matrix shared by all components, d x d.
    Tied(Array2<f64>),
    /// One variance per component and column, K x d.
    Diagonal(Array2<f64>),
    /// One variance per component, K.
    Spherical(Array1<f64>),
}

impl CovarianceKind {
    /// All types of covariance.
    pub const ALL: &[CovarianceKind] =
        &[CovarianceKind::Full, CovarianceKind::Tied, CovarianceKind::Diagonal, CovarianceKind::Spherical];

    /// Returns the shape of the covariances of K components in d dimensions.
    #[must_use]
    pub fn shape(self, components: usize, dimensions: usize) -> Vec<usize> {
        let (k, d) = (components, dimensions);
        match self {
            CovarianceKind::Full => vec![k, d, d],
            CovarianceKind::Tied => vec![d, d],
            CovarianceKind::Diagonal => vec![k, d],
            CovarianceKind::Spherical => vec![k],
        }
    }

    /// Returns the number of free parameters of the covariances of K components in d dimensions.
    #[must_use]
    pub fn parameters(self, components: usize, dimensions: usize) -> usize {
        let (k, d) = (components, dimensions);
        match self {
            CovarianceKind::Full => k * d * (d + 1) / 2,
            CovarianceKind::Tied => d * (d + 1) / 2,
            CovarianceKind::Diagonal => k * d,
            CovarianceKind::Spherical => k,
        }
    }

    /// Returns the number of second moments that the M-step needs per component: d(d+1)/2 for all pairs of columns, or d
    /// for the single columns.
    pub(super) fn second_moments(self, dimensions: usize) -> usize {
        match self {
            CovarianceKind::Full | CovarianceKind::Tied => dimensions * (dimensions + 1) / 2,
            CovarianceKind::Diagonal | CovarianceKind::Spherical => dimensions,
        }
    }

    /// Returns identity matrices as covariances.
    pub(super) fn standard(self, components: usize, dimensions: usize) -> Covariances {
        let (k, d) = (components, dimensions);
        match self {
            CovarianceKind::Full => {
                Covariances::Full(Array3::from_shape_fn((k, d, d), |(_, i, j)| f64::from(u8::from(i == j))))
            }
            CovarianceKind::Tied => Covariances::Tied(Array2::eye(d)),
            CovarianceKind::Diagonal => Covariances::Diagonal(Array2::ones((k, d))),
            CovarianceKind::Spherical => Covariances::Spherical(Array1::ones(k)),
        }
    }

    /// Returns covariances of this type with these values.
    ///
    /// # Errors
    ///
    /// Returns an error if the number of axes does not fit the type.
    #[cfg(feature = "serde")]
    pub(crate) fn with_values(self, values: ndarray::ArrayD<f64>) -> Result<Covariances> {
        let (expected, found) = (self.shape(1, 1).len(), values.ndim());
        let covariances = match self {
            CovarianceKind::Full => values.into_dimensionality().map(Covariances::Full),
            CovarianceKind::Tied => values.into_dimensionality().map(Covariances::Tied),
            CovarianceKind::Diagonal => values.into_dimensionality().map(Covariances::Diagonal),
            CovarianceKind::Spherical => values.into_dimensionality().map(Covariances::Spherical),
        };
        covariances.map_err(|_| Error::Nesting { name: "covariances", expected, found })
    }
}

impl Covariances {
    /// Returns the type of these covariances.
    #[must_use]
    pub fn kind(&self) -> CovarianceKind {
        match self {
            Covariances::Full(_) => CovarianceKind::Full,
            Covariances::Tied(_) => CovarianceKind::Tied,
            Covariances::Diagonal(_) => CovarianceKind::Diagonal,
            Covariances::Spherical(_) => CovarianceKind::Spherical,
        }
    }

    /// Returns all values, in the [shape](CovarianceKind::shape) of the type.
    #[must_use]
    pub fn values(&self) -> ArrayViewD<'_, f64> {
        match self {
            Covariances::Full(full) => full.view().into_dyn(),
            Covariances::Tied(tied) => tied.view().into_dyn(),
            Covariances::Diagonal(diagonal) => diagonal.view().into_dyn(),
            Covariances::Spherical(spherical) => spherical.view().into_dyn(),
        }
    }

    /// Returns a mutable view of all values.
    #[must_use]
    pub fn values_mut(&mut self) -> ArrayViewMutD<'_, f64> {
        match self {
            Covariances::Full(full) => full.view_mut().into_dyn(),
            Covariances::Tied(tied) => tied.view_mut().into_dyn(),
            Covariances::Diagonal(diagonal) => diagonal.view_mut().into_dyn(),
            Covariances::Spherical(spherical) => spherical.view_mut().into_dyn(),
        }
    }

    /// Converts one matrix per component (K x d x d) to covariances of type `kind`, as the M-step does. `weights` are the
    /// mixing weights (K).
    ///
    /// # Formula
    ///
    /// ```text
    /// full       Sigma_k
    /// tied       Sigma = sum_k pi_k Sigma_k
    /// diagonal   sigma_kj^2 = (Sigma_k)_jj
    /// spherical  sigma_k^2  = mean over j of (Sigma_k)_jj
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the shapes of the weights and the matrices do not agree.
    pub fn from_matrices(
        kind: CovarianceKind,
        weights: &Array1<f64>,
        matrices: Array3<f64>,
    ) -> Result<Covariances> {
        let (components, d, _) = matrices.dim();
        let expected = vec![weights.len(), d, d];
        if matrices.shape() != expected {
            let found = matrices.shape().to_vec();
            return Err(Error::Shape { name: "the matrices", expected, found });
        }
        let variance = |k: usize, j: usize| matrices[(k, j, j)];
        Ok(match kind {
            CovarianceKind::Full => Covariances::Full(matrices),
            CovarianceKind::Tied => {
                let mut tied = Array2::zeros((d, d));
                for k in 0..components {
                    tied.scaled_add(weights[k], &matrices.index_axis(Axis(0), k));
                }
                Covariances::Tied(tied)
            }
            CovarianceKind::Diagonal => {
                Covariances::Diagonal(Array2::from_shape_fn((components, d), |(k, j)| variance(k, j)))
            }
            CovarianceKind::Spherical => Covariances::Spherical(Array1::from_shape_fn(components, |k| {
                (0..d).map(|j| variance(k, j)).sum::<f64>() / d as f64
            })),
        })
    }

    /// Returns Sigma_k as a matrix, d x d.
    pub(super) fn matrix(&self, component: usize, dimensions: usize) -> Array2<f64> {
        match self {
            Covariances::Full(full) => full.index_axis(Axis(0), component).to_owned(),
            Covariances::Tied(tied) => tied.clone(),
            Covariances::Diagonal(diagonal) => Array2::from_diag(&diagonal.row(component)),
            Covariances::Spherical(spherical) => Array2::eye(dimensions) * spherical[component],
        }
    }

    /// Returns Sigma_k (d x d), or None if the columns are independent.
    pub(super) fn matrix_view(&self, component: usize) -> Option<ArrayView2<'_, f64>> {
        match self {
            Covariances::Full(full) => Some(full.index_axis(Axis(0), component)),
            Covariances::Tied(tied) => Some(tied.view()),
            Covariances::Diagonal(_) | Covariances::Spherical(_) => None,
        }
    }

    /// Returns (Sigma_k)_jj, or None if the columns are correlated.
    pub(super) fn independent_variance(&self, component: usize, column: usize) -> Option<f64> {
        match self {
            Covariances::Full(_) | Covariances::Tied(_) => None,
            Covariances::Diagonal(diagonal) => Some(diagonal[(component, column)]),
            Covariances::Spherical(spherical) => Some(spherical[component]),
        }
    }

    /// Returns the same covariances with exactly symmetric matrices.
    ///
    /// # Errors
    ///
    /// Returns an error if a matrix differs from its transpose by more than the rounding of f32.
    pub(super) fn symmetric(mut self) -> Result<Covariances> {
        match &mut self {
            Covariances::Full(full) => {
                for (component, mut matrix) in full.outer_iter_mut().enumerate() {
                    let symmetric = symmetric(&matrix.to_owned(), component)?;
                    matrix.assign(&symmetric);
                }
            }
            Covariances::Tied(tied) => *tied = symmetric(tied, 0)?,
            Covariances::Diagonal(_) | Covariances::Spherical(_) => {}
        }
        Ok(self)
    }

    /// Returns the transformations that turn x - mu_k into uncorrelated numbers of variance 1, for K components in d
    /// dimensions.
    ///
    /// # Errors
    ///
    /// Returns an error if a covariance is not symmetric or not positive definite.
    pub(super) fn whitening(&self, components: usize, dimensions: usize) -> Result<Whitening> {
        let (k, d) = (components, dimensions);
        Ok(match self {
            Covariances::Full(full) => {
                let mut all = Vec::with_capacity(k * d * d);
                for (component, matrix) in full.outer_iter().enumerate() {
                    all.extend(inverse_factor(&matrix.to_owned(), component)?);
                }
                Whitening::Full(all)
            }
            Covariances::Tied(tied) => Whitening::Full(inverse_factor(tied, 0)?.repeat(k)),
            Covariances::Diagonal(diagonal) => {
                let each = diagonal.indexed_iter();
                let each = each.map(|((component, _), &variance)| inverse_deviation(variance, component));
                Whitening::Diagonal(each.collect::<Result<_>>()?)
            }
            Covariances::Spherical(spherical) => {
                let mut all = Vec::with_capacity(k * d);
                for (component, &variance) in spherical.iter().enumerate() {
                    all.extend(std::iter::repeat_n(inverse_deviation(variance, component)?, d));
                }
                Whitening::Diagonal(all)
            }
        })
    }

    /// The M-step: returns the new covariances. `self` holds the old ones; a component that has lost all its samples
    /// keeps its covariance. `regularisation` is added to each variance.
    ///
    /// # Formula
    ///
    /// ```text
    /// full       Sigma_k = sum_i w z z^T / N_k - m_k m_k^T
    /// tied       Sigma   = sum_k N_k Sigma_k / sum_k N_k
    /// diagonal   sigma_kj^2 = (Sigma_k)_jj
    /// spherical  sigma_k^2  = mean over j of (Sigma_k)_jj
    /// ```
    pub(super) fn maximisation(&self, statistics: &GmmStatistics, regularisation: f64) -> Covariances {
        let (k, d) = statistics.origins.dim();
        let with_samples = (0..k).filter(|&component| !statistics.has_vanished(component));
        match self {
            Covariances::Full(before) => {
                let mut full = before.clone();
                for component in with_samples {
                    let mut matrix = full.index_axis_mut(Axis(0), component);
                    matrix.assign(&statistics.scatter(component));
                    matrix.diag_mut().mapv_inplace(|variance| variance + regularisation);
                }
                Covariances::Full(full)
            }
            Covariances::Tied(_) => {
                let mut tied = Array2::zeros((d, d));
                for component in with_samples {
                    tied.scaled_add(statistics.share(component), &statistics.scatter(component));
                }
                tied.diag_mut().mapv_inplace(|variance| variance + regularisation);
                Covariances::Tied(tied)
            }
            Covariances::Diagonal(before) => {
                let mut diagonal = before.clone();
                for component in with_samples {
                    let variances = statistics.variances(component) + regularisation;
                    diagonal.row_mut(component).assign(&variances);
                }
                Covariances::Diagonal(diagonal)
            }
            Covariances::Spherical(before) => {
                let mut spherical = before.clone();
                for component in with_samples {
                    spherical[component] = statistics.variances(component).sum() / d as f64 + regularisation;
                }
                Covariances::Spherical(spherical)
            }
        }
    }
}

/// Returns 1 / sigma for a component's variance sigma^2.
///
/// # Errors
///
/// Returns an error if the variance is not positive, or too small or too large to compute with.
fn inverse_deviation(variance: f64, component: usize) -> Result<f64> {
    match 1.0 / variance.sqrt() {
        inverse if variance > 0.0 && inverse.is_finite() && inverse > 0.0 => Ok(inverse),
        _ => Err(Error::NotPositiveDefinite { component }),
    }
}

/// Returns L^-1 for a component's covariance L L^T, row by row.
///
/// # Errors
///
/// Returns an error if the covariance is not symmetric or not positive definite.
fn inverse_factor(matrix: &Array2<f64>, component: usize) -> Result<Vec<f64>> {
    let d = matrix.nrows();
    let rows: Vec<f64> = symmetric(matrix, component)?.iter().copied().collect();
    let inverse = cholesky(&rows, d).and_then(|factor| invert(&factor, d));
    inverse.ok_or(Error::NotPositiveDefinite { component })
}

/// The tolerance on the asymmetry of a given covariance, relative to its variances: the rounding of f32.
const ASYMMETRY: f64 = 1e-6;

/// Returns the mean of a component's covariance and its transpose; a symmetric matrix is returned unchanged.
///
/// # Errors
///
/// Returns an error if the covariance differs from its transpose by more than the rounding of f32.
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
