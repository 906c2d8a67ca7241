//! EM for Gaussian mixtures as plain loops, close to the formulas. Tests compare the fast implementation with these
//! loops.
//!
//! This version has no SIMD, chunks, threads or sample weights, and handles every type of covariance as a full matrix.
//! For the letters see [the module above](super).

use ndarray::{Array1, Array2, Array3, ArrayView1};

use super::cholesky::cholesky;
use super::{Covariances, Gmm};
use crate::em::{self, Fit, Stop};
use crate::error::{Error, Result};

/// Returns log N(x; mu, Sigma); x and mu have d numbers, Sigma is d x d.
///
/// ```text
/// log N = -1/2 (d log 2 pi + log det Sigma + (x - mu)^T Sigma^-1 (x - mu))
/// ```
///
/// With Sigma = L L^T: log det Sigma = 2 log det L, and L y = x - mu turns the last term into y^T y. Returns None if Sigma
/// is not positive definite.
///
/// # Panics
///
/// Panics if the shapes do not agree.
#[must_use]
pub fn log_normal(x: ArrayView1<f64>, mean: ArrayView1<f64>, covariance: &Array2<f64>) -> Option<f64> {
    let d = x.len();
    let matrix: Vec<f64> = covariance.iter().copied().collect();
    let factor = cholesky(&matrix, d)?; // L, row by row
    let mut y = vec![0.0; d];
    let mut log_determinant = 0.0;
    let mut square = 0.0;
    for i in 0..d {
        let known: f64 = (0..i).map(|j| factor[i * d + j] * y[j]).sum();
        y[i] = (x[i] - mean[i] - known) / factor[i * d + i];
        square += y[i] * y[i];
        log_determinant += 2.0 * factor[i * d + i].ln();
    }
    Some(-0.5 * (d as f64 * (2.0 * std::f64::consts::PI).ln() + log_determinant + square))
}

/// The E-step: returns R_ik (n x K) and log p(x).
///
/// ```text
/// R_ik = pi_k N(x_i; mu_k, Sigma_k) / p(x_i)        p(x_i) = sum_k pi_k N(x_i; mu_k, Sigma_k)
/// ```
///
/// # Errors
///
/// Returns an error if a component's covariance is not positive definite.
///
/// # Panics
///
/// Panics if the shapes of the data and the model do not agree.
pub fn expectation(data: &Array2<f64>, model: &Gmm) -> Result<(Array2<f64>, f64)> {
    let (n, components) = (data.nrows(), model.weights.len());
    let covariances: Vec<Array2<f64>> = (0..components).map(|k| model.covariance(k)).collect();
    let mut responsibilities = Array2::zeros((n, components));
    let mut log_likelihood = 0.0;
    for i in 0..n {
        let mut log_joint = vec![0.0; components];
        for k in 0..components {
            let log_normal = log_normal(data.row(i), model.means.row(k), &covariances[k])
                .ok_or(Error::NotPositiveDefinite { component: k })?;
            log_joint[k] = model.weights[k].ln() + log_normal;
        }
        // log p(x_i) = log sum_k exp(log_joint_k); subtracting the largest term first prevents underflow
        let largest = log_joint.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_density = largest + log_joint.iter().map(|log| (log - largest).exp()).sum::<f64>().ln();
        for k in 0..components {
            responsibilities[(i, k)] = (log_joint[k] - log_density).exp();
        }
        log_likelihood += log_density;
    }
    Ok((responsibilities, log_likelihood))
}

/// The M-step: returns the model that maximises the likelihood for these responsibilities (n x K).
///
/// `before` gives the type of covariance; `regularisation` is added to each variance. A component without samples (N_k = 0)
/// divides 0 by 0, as the formulas do.
///
/// ```text
/// N_k = sum_i R_ik,    pi_k = N_k / n,    mu_k = sum_i R_ik x_i / N_k
/// Sigma_k = sum_i R_ik (x_i - mu_k) (x_i - mu_k)^T / N_k
/// ```
///
/// [`Covariances::from_matrices`] converts Sigma_k to the other types.
///
/// # Panics
///
/// Panics if the shapes of the data, the responsibilities and the model do not agree.
#[must_use]
pub fn maximisation(
    data: &Array2<f64>,
    responsibilities: &Array2<f64>,
    before: &Gmm,
    regularisation: f64,
) -> Gmm {
    let ((n, d), components) = (data.dim(), before.weights.len());
    let mut weights = Array1::zeros(components);
    let mut means = Array2::zeros((components, d));
    let mut full = Array3::zeros((components, d, d));
    for k in 0..components {
        let r = responsibilities.column(k);
        let effective_count = r.sum();
        weights[k] = effective_count / n as f64;
        for j in 0..d {
            means[(k, j)] = (0..n).map(|i| r[i] * data[(i, j)]).sum::<f64>() / effective_count;
        }
        for a in 0..d {
            for b in 0..d {
                let sum: f64 = (0..n)
                    .map(|i| r[i] * (data[(i, a)] - means[(k, a)]) * (data[(i, b)] - means[(k, b)]))
                    .sum();
                full[(k, a, b)] = sum / effective_count;
            }
            full[(k, a, a)] += regularisation;
        }
    }
    let covariances = Covariances::from_matrices(before.covariance_kind(), &weights, full)
        .expect("a weight and a matrix for each component");
    Gmm { weights, means, covariances }
}

/// Runs EM from a start. The fit keeps the model of each iteration.
///
/// # Errors
///
/// Returns an error if a component's covariance is not positive definite.
///
/// # Panics
///
/// Panics if the shapes of the data and the start do not agree.
pub fn fit(data: &Array2<f64>, start: &Gmm, regularisation: f64, stop: Stop) -> Result<Fit<Gmm>> {
    em::maximise(start.clone(), stop, true, |model| {
        let (responsibilities, log_likelihood) = expectation(data, model)?;
        Ok((log_likelihood, maximisation(data, &responsibilities, model, regularisation)))
    })
}
