//! Gaussian mixtures: the hidden label of a sample is the Gaussian it was drawn from, and each iteration weighs them all.
//!
//! | letter | meaning | here |
//! |---|---|---|
//! | n | samples | `data.samples()` |
//! | d | numbers of a sample | `data.dimensions()` |
//! | K | components | [`GmmOptions::components`] |
//! | pi_k | share of component k | [`Gmm::weights`] |
//! | mu_k | mean of component k | [`Gmm::means`], row k |
//! | Sigma_k | covariance of component k | [`Gmm::covariances`] |
//! | r_ik | posterior of component k for sample i | [`Gmm::responsibilities`] (n x K) |
//!
//! # Formula
//!
//! ```text
//! p(x) = sum_k pi_k N(x; mu_k, Sigma_k)
//! r_ik = pi_k N(x_i; mu_k, Sigma_k) / p(x_i)                       (E-step)
//! N_k = sum_i r_ik        pi_k = N_k / n                           (M-step)
//! mu_k = sum_i r_ik x_i / N_k
//! Sigma_k = sum_i r_ik (x_i - mu_k) (x_i - mu_k)^T / N_k
//! ```
//!
//! [`plain`] is these lines as loops. What [`Gmm::fit`] runs is the same with both steps in one pass over the samples, in
//! chunks, several samples an instruction. All logarithms are natural, all likelihoods in nats.

mod cholesky;
mod density;
mod model;
pub mod plain;
mod statistics;

use ndarray::{Array1, Array2, Array3, ArrayView2};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::data::{Rows, Survey};
use crate::em::{self, Fit, Stop};
use crate::error::{Error, Result};
use crate::kmeans::{KMeans, KMeansOptions};
pub use model::Criteria;
pub use statistics::GmmStatistics;
use statistics::{ChunkResponsibilities, Responsibilities, look, look_closely};

/// The model: a Gaussian for each component, and how often each is drawn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Gmm {
    /// pi_k, the mixing weights, K; they add up to 1.
    pub weights: Array1<f64>,
    /// mu_k, K x d.
    pub means: Array2<f64>,
    /// Sigma_k.
    pub covariances: Covariances,
}

/// The covariances of a model.
#[derive(Debug, Clone, PartialEq)]
pub enum Covariances {
    /// A matrix for each component, K x d x d.
    Full(Array3<f64>),
    /// One matrix for all components, d x d.
    Tied(Array2<f64>),
    /// A variance for each component and column, K x d.
    Diagonal(Array2<f64>),
    /// A variance for each component, K.
    Spherical(Array1<f64>),
}

/// A kind of covariance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Covariance {
    /// A matrix for each component: ellipsoids of any shape and direction.
    #[default]
    Full,
    /// One matrix for all components: ellipsoids of the same shape and direction.
    Tied,
    /// A variance for each component and column: ellipsoids along the axes.
    Diagonal,
    /// A variance for each component: balls.
    Spherical,
}

/// Where the model begins.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum GmmStart {
    /// As this model; its kind of covariance and number of components must be those of the options.
    Given(Gmm),
    /// With the M-step of these labels, one for each sample.
    Labels(Vec<usize>),
    /// With the M-step of the clusters that [`KMeans`] finds from one k-means++ start.
    #[default]
    KMeans,
    /// With the M-step of responsibilities drawn at random.
    RandomResponsibilities,
}

/// Options of [`Gmm::fit`].
#[derive(Debug, Clone, PartialEq)]
pub struct GmmOptions {
    /// K, the number of components.
    pub components: usize,
    /// The kind of covariance.
    pub covariance: Covariance,
    /// Where the model begins.
    pub start: GmmStart,
    /// The number of runs, each from a random start of its own; the one with the highest likelihood is kept. A given start
    /// makes one run whatever this says.
    pub restarts: usize,
    /// What the random starts are drawn from.
    pub seed: u64,
    /// Added to each variance, so that no component collapses. At 0 the log-likelihood never falls; above, it may, a little.
    pub regularisation: f64,
    /// When to stop; the tolerance is in nats, of all samples together.
    pub stop: Stop,
    /// The number of threads, 0 for one on each core. The result does not depend on it.
    pub threads: usize,
}

impl Default for GmmOptions {
    fn default() -> Self {
        GmmOptions {
            components: 1,
            covariance: Covariance::Full,
            start: GmmStart::KMeans,
            restarts: 1,
            seed: 0,
            regularisation: 1e-6,
            stop: Stop::default(),
            threads: 0,
        }
    }
}

impl Gmm {
    /// Fits a mixture by EM.
    ///
    /// A run in which a component collapses is given up; if there are other runs they go on without it.
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
    /// No components, more components than samples, a start that does not fit, numbers that are not finite or beyond 1e130, a
    /// negative regularisation, no restarts, a component that collapses ([`Error::NotPositiveDefinite`]) in each run, a sample
    /// that is impossible under all components, and what reading the data brings.
    pub fn fit(data: &dyn Rows, options: &GmmOptions) -> Result<Fit<Gmm>> {
        fit(data, None, options)
    }

    /// Fits a mixture to samples that count more or less than once: a weight of 2 is the sample twice.
    ///
    /// The weights (n) lie between 0 and 1e30. K-means, where the start comes from it, does not see them.
    ///
    /// # Errors
    ///
    /// As [`Gmm::fit`], and weights that are negative, beyond 1e30, all 0, or more or fewer than the samples.
    pub fn fit_weighted(data: &dyn Rows, sample_weights: &[f64], options: &GmmOptions) -> Result<Fit<Gmm>> {
        fit(data, Some(sample_weights), options)
    }

    /// One look at the samples: the E-step and the sums for the M-step.
    ///
    /// # Errors
    ///
    /// As [`Gmm::log_density`] and [`Gmm::fit_weighted`], but for what the data hold: they are not looked at beforehand.
    pub fn statistics(
        &self,
        data: &dyn Rows,
        sample_weights: Option<&[f64]>,
        threads: usize,
    ) -> Result<GmmStatistics> {
        let prepared = self.prepare()?;
        self.check_dimensions(data)?;
        check_sample_weights(data, sample_weights)?;
        let model = Responsibilities::Model(&prepared);
        look(data, sample_weights, &self.means, self.covariance_kind(), &model, threads)
    }
}

fn fit(data: &dyn Rows, sample_weights: Option<&[f64]>, options: &GmmOptions) -> Result<Fit<Gmm>> {
    if options.components == 0 {
        return Err(Error::Empty { what: "components" });
    }
    if options.restarts == 0 {
        return Err(Error::Empty { what: "restarts" });
    }
    let regularisation = options.regularisation;
    if !(0.0..f64::INFINITY).contains(&regularisation) {
        let (name, expected) = ("regularisation", "finite and not negative");
        return Err(Error::Setting { name, expected, value: regularisation });
    }
    let survey = Survey::new(data, options.threads)?;
    if options.components > data.samples() {
        let (wanted, samples) = (options.components, data.samples());
        return Err(Error::TooFew { what: "components", wanted, samples });
    }
    check_sample_weights(data, sample_weights)?;

    let run = |start: Gmm| {
        em::maximise(start, options.stop, |model| {
            let prepared = model.prepare()?;
            let statistics = look_closely(
                data,
                sample_weights,
                &model.means,
                options.covariance,
                &Responsibilities::Model(&prepared),
                (regularisation, options.threads),
            )?;
            Ok((statistics.log_likelihood, statistics.maximisation(model, regularisation)))
        })
    };
    let starts = Starts { data, sample_weights, options, survey: &survey };
    match &options.start {
        GmmStart::Given(start) => {
            let name = "the start's means";
            start.check_shape(name, options.components, data.dimensions())?;
            let (expected, found) = (options.covariance, start.covariance_kind());
            if expected != found {
                return Err(Error::Kind { expected, found });
            }
            return run(start.clone());
        }
        GmmStart::Labels(labels) => return run(starts.labels(labels)?),
        GmmStart::KMeans | GmmStart::RandomResponsibilities => {}
    }
    let mut seeds = ChaCha8Rng::seed_from_u64(options.seed);
    let mut best: Option<Fit<Gmm>> = None;
    let mut collapse = None;
    for _ in 0..options.restarts {
        let seed = seeds.r#gen();
        let start = match options.start {
            GmmStart::RandomResponsibilities => starts.random_responsibilities(seed)?,
            _ => starts.kmeans(seed)?,
        };
        match run(start) {
            Ok(fit) if best.as_ref().is_none_or(|best| fit.objective() > best.objective()) => {
                best = Some(fit)
            }
            Ok(_) => {}
            Err(error @ (Error::NotPositiveDefinite { .. } | Error::Impossible { .. })) => {
                collapse.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    best.ok_or_else(|| collapse.expect("a run either ends or collapses"))
}

/// What a random start is made from.
struct Starts<'a> {
    data: &'a dyn Rows,
    sample_weights: Option<&'a [f64]>,
    options: &'a GmmOptions,
    survey: &'a Survey,
}

impl Starts<'_> {
    /// The M-step of responsibilities that come chunk by chunk, with moments about these origins (K x d).
    fn maximisation(&self, origins: Array2<f64>, responsibilities: &ChunkResponsibilities) -> Result<Gmm> {
        let covariance = self.options.covariance;
        let responsibilities = Responsibilities::Chunk(responsibilities);
        let regularisation = self.options.regularisation;
        let sums = look_closely(
            self.data,
            self.sample_weights,
            &origins,
            covariance,
            &responsibilities,
            (regularisation, self.options.threads),
        )?;
        Ok(sums.maximisation(&Gmm::standard(origins, covariance), regularisation))
    }

    /// The same mean for each component: that of the data.
    fn centre(&self) -> Array2<f64> {
        let shape = (self.options.components, self.data.dimensions());
        Array2::from_shape_fn(shape, |(_, column)| self.survey.mean[column])
    }

    fn labels(&self, labels: &[usize]) -> Result<Gmm> {
        let clusters = self.options.components;
        if labels.len() != self.data.samples() {
            let (expected, found) = (self.data.samples(), labels.len());
            return Err(Error::Length { name: "the start's labels", expected, found });
        }
        if let Some(index) = labels.iter().position(|&label| label >= clusters) {
            return Err(Error::Cluster { index, label: labels[index], clusters });
        }
        self.maximisation(self.centre(), &|first, rows| {
            let samples = rows.len() / self.data.dimensions();
            Ok(one_hot(&labels[first..first + samples], clusters))
        })
    }

    fn kmeans(&self, seed: u64) -> Result<Gmm> {
        let clusters = self.options.components;
        let options = KMeansOptions { clusters, seed, threads: self.options.threads, ..Default::default() };
        let fit = KMeans::fit(self.data, &options)?;
        let model = fit.model();
        self.maximisation(model.centroids.clone(), &|_, rows| {
            let shape = (rows.len() / self.data.dimensions(), self.data.dimensions());
            let rows = ArrayView2::from_shape(shape, rows).expect("rows of d numbers");
            Ok(one_hot(&model.predict(&rows)?, clusters))
        })
    }

    fn random_responsibilities(&self, seed: u64) -> Result<Gmm> {
        self.maximisation(self.centre(), &|first, rows| {
            // Each chunk draws from a stream of its own, so that it does not matter who draws first.
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(first as u64);
            let shape = (rows.len() / self.data.dimensions(), self.options.components);
            let mut responsibilities = Array2::from_shape_simple_fn(shape, || 1.0 - rng.r#gen::<f64>());
            for mut row in responsibilities.rows_mut() {
                row /= row.sum();
            }
            Ok(responsibilities)
        })
    }
}

fn one_hot(labels: &[usize], clusters: usize) -> Array2<f64> {
    let mut responsibilities = Array2::zeros((labels.len(), clusters));
    for (mut row, &label) in responsibilities.rows_mut().into_iter().zip(labels) {
        row[label] = 1.0;
    }
    responsibilities
}

fn check_sample_weights(data: &dyn Rows, sample_weights: Option<&[f64]>) -> Result<()> {
    let Some(weights) = sample_weights else { return Ok(()) };
    if weights.len() != data.samples() {
        let (expected, found) = (data.samples(), weights.len());
        return Err(Error::Length { name: "sample_weights", expected, found });
    }
    if let Some(index) = weights.iter().position(|weight| !(0.0..=1e30).contains(weight)) {
        return Err(Error::SampleWeight { index, value: weights[index] });
    }
    match weights.iter().sum::<f64>() {
        sum if sum > 0.0 => Ok(()),
        value => Err(Error::Setting { name: "the sum of sample_weights", expected: "positive", value }),
    }
}
