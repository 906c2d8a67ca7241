//! Gaussian mixtures, fitted by EM: each sample is assumed to come from one of K Gaussians, and which one is hidden.
//!
//! [`Gmm::fit`] takes a table ([`Rows`]) and [`GmmOptions`] and returns a [`Fit`] of [`Gmm`]: weights, means and
//! covariances. The model then gives responsibilities, labels and log-densities of new samples, information criteria, and
//! draws.
//!
//! | letter | meaning | here |
//! |---|---|---|
//! | n | samples | `data.samples()` |
//! | d | numbers of a sample | `data.dimensions()` |
//! | K | components | [`GmmOptions::components`] |
//! | pi_k | mixing weight of component k | [`Gmm::weights`] |
//! | mu_k | mean of component k | [`Gmm::means`], row k |
//! | Sigma_k | covariance of component k | [`Gmm::covariances`] |
//! | R_ik | posterior of component k for sample i | [`Gmm::responsibilities`] (n x K) |
//!
//! # Formula
//!
//! ```text
//! p(x) = sum_k pi_k N(x; mu_k, Sigma_k)
//! R_ik = pi_k N(x_i; mu_k, Sigma_k) / p(x_i)                       (E-step)
//! N_k = sum_i R_ik        pi_k = N_k / n                           (M-step)
//! mu_k = sum_i R_ik x_i / N_k
//! Sigma_k = sum_i R_ik (x_i - mu_k) (x_i - mu_k)^T / N_k
//! ```
//!
//! ```
//! use em_routing::prelude::*;
//!
//! let flowers = samples::iris::measurements(); // 150 x 4, in cm
//! let options = GmmOptions { components: 3, covariance: CovarianceKind::Tied, restarts: 5, ..Default::default() };
//! let fit = Gmm::fit(&flowers, &options)?;
//! assert!(fit.converged);
//! println!("log-likelihood {:.1} nats after {} iterations", fit.objective(), fit.iterations());
//!
//! let model = fit.into_model();
//! let labels = model.predict(&flowers)?; // the most likely component of each flower (150)
//! let bic = model.criteria(&flowers)?.bic; // to compare with those of other numbers of components
//!
//! let new = array![[5.9, 3.0, 4.2, 1.5]]; // a flower that the fit has not seen
//! let r = model.responsibilities(&new)?; // how likely it is from each component (1 x 3)
//! let component = model.predict(&new)?[0];
//! assert!(r[[0, component]] > 0.9 && labels.iter().any(|&label| label == component) && bic.is_finite());
//! let (drawn, _) = model.sample(10, 1)?; // ten new flowers (10 x 4)
//! assert_eq!(drawn.dim(), (10, 4));
//! # Ok::<(), em_routing::error::Error>(())
//! ```
//!
//! Values may be missing, as NaN in a table in [`Incomplete`](crate::data::Incomplete). Then the likelihood is that of the
//! observed values: the E-step uses the marginal of each Gaussian over the columns that a sample has, and the M-step the
//! conditional means and covariances of the others (Ghahramani and Jordan 1994). This holds for every type of covariance.
//! A sample without any value has the mixing weights as responsibilities and counts for nothing in a fit.
//!
//! [`plain`] has the formulas above as plain loops, without missing values. [`Gmm::fit`] does the same with both steps in one pass over the samples, in
//! chunks and with SIMD. All logarithms are natural, all likelihoods in nats.

mod cholesky;
mod covariance;
mod density;
mod fit;
mod missing;
mod model;
pub mod plain;
mod statistics;

use std::ops::ControlFlow;

use ndarray::{Array1, Array2};

use crate::data::{Rows, Weighted};
use crate::em::{Course, Fit, Stop};
use crate::error::{Error, Result};
use crate::kmeans::KMeans;
pub use covariance::{CovarianceKind, Covariances};
pub use model::Criteria;
pub use statistics::GmmStatistics;
use statistics::{Responsibilities, accumulate_statistics};

/// The model: the weight, the mean and the covariance of each Gaussian.
///
/// The fields are public, so a change can make the model invalid. Therefore each function that takes a model checks
/// it and returns an error in the cases of [`Gmm::new`]. The check costs about as much as the E-step of d samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Gmm {
    /// pi_k, the mixing weights (K); they add up to 1.
    pub weights: Array1<f64>,
    /// mu_k, the means (K x d).
    pub means: Array2<f64>,
    /// Sigma_k, the covariances.
    pub covariances: Covariances,
}

/// The initial model.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum GmmStart {
    /// A given model, with the options' type of covariance and number of components.
    Given(Gmm),
    /// The result of the M-step for given labels, one per sample.
    Labels(Array1<usize>),
    /// The result of the M-step for the clusters of [`KMeans`], fitted from one k-means++ start.
    #[default]
    KMeans,
    /// The result of the M-step for random responsibilities.
    RandomResponsibilities,
}

/// A fit of a mixture between two iterations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GmmCourse {
    /// The K-means that finds the start of the current run, until it has ended.
    pub start: Course<KMeans>,
    /// The runs of the mixture.
    pub fit: Course<Gmm>,
}

/// What [`Gmm::fit_course`] calls before each iteration: with the runs of the mixture, and with the K-means of the current
/// run's start while that goes on.
pub type Watch<'a> = dyn FnMut(&Course<Gmm>, Option<&Course<KMeans>>) -> ControlFlow<()> + Send + 'a;

/// Runs a fit from its beginning to its end.
fn fit_whole(data: &dyn Rows, sample_weights: Option<&[f64]>, options: &GmmOptions) -> Result<Fit<Gmm>> {
    let watch = &mut |_: &Course<Gmm>, _: Option<&Course<KMeans>>| ControlFlow::Continue(());
    let fit = Gmm::fit_course(data, sample_weights, options, &mut GmmCourse::default(), watch)?;
    Ok(fit.expect("nothing stops this fit before its end"))
}

/// Options of [`Gmm::fit`].
#[derive(Debug, Clone, PartialEq)]
pub struct GmmOptions {
    /// K, the number of components.
    pub components: usize,
    /// The type of covariance.
    pub covariance: CovarianceKind,
    /// The initial model.
    pub start: GmmStart,
    /// The number of runs, each from a new random start; the fit keeps the run with the highest likelihood. A given start is
    /// run once.
    pub restarts: usize,
    /// The seed of the random starts.
    pub seed: u64,
    /// This number is added to each variance, in squared units of the data, so that no component collapses. It hides columns whose
    /// deviation is below about its root (0.001 by default): scale such columns, or lower it. With 0 the log-likelihood never falls;
    /// otherwise it may fall slightly. If a share f of a column is missing, its variances grow by about 1 / (1 - f) of it.
    pub regularisation: f64,
    /// When to stop; the tolerance is in nats of the total log-likelihood, in which each sample counts by its weight. Scale it with
    /// weights whose mean is far from 1.
    pub stop: Stop,
    /// Whether the fit keeps the model of each iteration, for figures.
    pub keep_models: bool,
    /// The number of threads; 0 means those of [`on_threads`](crate::on_threads), or one per core. The result is the same
    /// for any number.
    pub threads: usize,
}

impl Default for GmmOptions {
    fn default() -> Self {
        GmmOptions {
            components: 1,
            covariance: CovarianceKind::Full,
            start: GmmStart::KMeans,
            restarts: 1,
            seed: 0,
            regularisation: 1e-6,
            stop: Stop::default(),
            keep_models: false,
            threads: 0,
        }
    }
}

impl Gmm {
    /// Fits a mixture by EM.
    ///
    /// A run in which a component collapses is dropped. If all runs collapse, the error suggests a regularisation for the
    /// scale of the widest column; scale columns of very different size, and leave out a column that depends on others. A component
    /// that loses all its samples, or begins without any, keeps its mean and covariance and has the weight 0.
    ///
    /// ```
    /// use em_routing::prelude::*;
    /// let data = array![[0.0, 0.1], [0.2, -0.1], [-0.1, 0.0], [9.0, 9.2], [9.1, 8.9], [8.8, 9.0]];
    /// let fit = Gmm::fit(&data, &GmmOptions { components: 2, ..Default::default() })?;
    /// assert!(fit.converged && (fit.model().weights[0] - 0.5).abs() < 1e-9);
    /// # Ok::<(), em_routing::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if there are no components, no restarts or fewer samples than components, if the start does not fit,
    /// if a number is not finite or beyond 1e130 (NaN is allowed in [`Incomplete`](crate::data::Incomplete)), if a column has
    /// no value, if the regularisation is negative, if a component collapses in every run
    /// ([`Error::Collapsed`]), if a sample is impossible under all components, if the
    /// tolerance is NaN, or if the data cannot be read.
    pub fn fit(data: &dyn Rows, options: &GmmOptions) -> Result<Fit<Gmm>> {
        fit_whole(data, None, options)
    }

    /// Fits a mixture to weighted samples: weight 2 counts a sample twice, weight 0 ignores it.
    ///
    /// The weights (n) lie between 0 and 1e30. The tolerance and the criteria take them as counts: weights that add up to n keep the
    /// meaning of both.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`Gmm::fit`], counting only samples with a weight above 0. Also if a weight is
    /// negative or beyond 1e30, if there is not exactly one weight per sample, or if the weights add up to less than 1e-100.
    pub fn fit_weighted(data: &dyn Rows, sample_weights: &[f64], options: &GmmOptions) -> Result<Fit<Gmm>> {
        fit_whole(data, Some(sample_weights), options)
    }

    /// Fits as [`Gmm::fit`] and [`Gmm::fit_weighted`] do, but can be stopped and continued.
    ///
    /// `watch` sees the fit before each iteration and may stop it; then the result is None. The fit goes on from `course`: an
    /// empty one (`GmmCourse::default()`), or one that `watch` has seen with the same data and options. It ends with the
    /// same bits in either case, except that `keep_models` keeps no models of iterations before `course`.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`Gmm::fit_weighted`].
    pub fn fit_course(
        data: &dyn Rows,
        sample_weights: Option<&[f64]>,
        options: &GmmOptions,
        course: &mut GmmCourse,
        watch: &mut Watch,
    ) -> Result<Option<Fit<Gmm>>> {
        fit::fit(&Weighted::new(data, sample_weights, options.threads)?, options, course, watch)
    }

    /// Runs the E-step on all samples and returns the sums for the M-step. Does not check the data for NaN and infinity.
    ///
    /// The moments are about the means of this model. If the new means are far from them, the variances
    /// [lose digits](GmmStatistics::loses_precision).
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`Gmm::log_density`] and [`Gmm::fit_weighted`].
    pub fn statistics(&self, data: &dyn Rows, sample_weights: Option<&[f64]>) -> Result<GmmStatistics> {
        self.statistics_about(data, sample_weights, &self.means)
    }

    /// Runs the E-step as [`Gmm::statistics`] does, with moments about these origins (K x d), such as the means of the next model.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Gmm::statistics`], and an error if the origins have another shape.
    pub fn statistics_about(
        &self,
        data: &dyn Rows,
        sample_weights: Option<&[f64]>,
        origins: &Array2<f64>,
    ) -> Result<GmmStatistics> {
        let prepared = self.prepare()?;
        self.check_dimensions(data)?;
        if origins.dim() != self.means.dim() {
            let (expected, found) = (self.means.shape().to_vec(), origins.shape().to_vec());
            return Err(Error::Shape { name: "the origins", expected, found });
        }
        let samples = Weighted::new(data, sample_weights, 0)?;
        let model = Responsibilities::Model(self, &prepared);
        accumulate_statistics(&samples, origins, self.covariance_kind(), &model, 0)
            .map_err(|error| samples.rename(error))
    }
}
