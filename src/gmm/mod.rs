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

use crate::compute::in_pool;
use crate::data::{RowBuffer, Rows, Survey, Weighted, chunk_count, chunk_range};
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
    /// Whether the fit keeps every model that it goes through, as figures of its course need it.
    pub keep_models: bool,
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
            keep_models: false,
            threads: 0,
        }
    }
}

impl Gmm {
    /// Fits a mixture by EM.
    ///
    /// A run in which a component collapses is given up; if there are other runs they go on without it. If there are none, the
    /// error says which regularisation suits the scale of the data.
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
    /// negative regularisation, no restarts, a component that collapses ([`Error::Collapsed`]) in each run, a sample that is
    /// impossible under all components, and what reading the data brings.
    pub fn fit(data: &dyn Rows, options: &GmmOptions) -> Result<Fit<Gmm>> {
        fit(&Weighted::new(data, None)?, options)
    }

    /// Fits a mixture to samples that count more or less than once: a weight of 2 is the sample twice, and one of weight 0 is
    /// not there.
    ///
    /// The weights (n) lie between 0 and 1e30.
    ///
    /// # Errors
    ///
    /// As [`Gmm::fit`], where more components than samples means: than samples of weight above 0. Also weights that are
    /// negative, beyond 1e30, more or fewer than the samples, or that add up to less than 1e-100.
    pub fn fit_weighted(data: &dyn Rows, sample_weights: &[f64], options: &GmmOptions) -> Result<Fit<Gmm>> {
        fit(&Weighted::new(data, Some(sample_weights))?, options)
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
        let samples = Weighted::new(data, sample_weights)?;
        let model = Responsibilities::Model(&prepared);
        look(&samples, &self.means, self.covariance_kind(), &model, threads)
            .map_err(|error| samples.rename(error))
    }
}

fn fit(samples: &Weighted, options: &GmmOptions) -> Result<Fit<Gmm>> {
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
    let survey = samples.survey(options.threads)?;
    samples.check_enough("components", options.components)?;
    let starts = Starts { samples, options, survey: &survey };
    let step = |model: &Gmm| {
        let statistics = {
            let prepared = model.prepare()?;
            look_closely(
                samples,
                &model.means,
                options.covariance,
                &Responsibilities::Model(&prepared),
                (regularisation, options.threads),
            )?
        };
        Ok((statistics.log_likelihood, statistics.maximisation(model, regularisation)))
    };
    let run = |start: Gmm| {
        in_pool(options.threads, || em::maximise(start, options.stop, options.keep_models, step))
    };
    // In a run a covariance without an inverse comes from the data: the component has collapsed.
    let explain = |error| match error {
        Error::NotPositiveDefinite { component } => {
            collapse(samples, &survey, component, options).unwrap_or_else(|error| error)
        }
        error => samples.rename(error),
    };
    match &options.start {
        GmmStart::Given(start) => {
            start.check_start(options, samples.data())?;
            return run(start.normalised()?).map_err(explain);
        }
        GmmStart::Labels(labels) => return starts.labels(labels).and_then(run).map_err(explain),
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
    best.ok_or_else(|| explain(collapse.expect("a run either ends or collapses")))
}

/// Why a component has collapsed: the scale of the data, and a regularisation that suits it.
///
/// # Errors
///
/// What reading the data brings.
fn collapse(samples: &Weighted, survey: &Survey, component: usize, options: &GmmOptions) -> Result<Error> {
    let (data, dimensions) = (samples.data(), survey.mean.len());
    let (mut squares, mut lowest) = (vec![0.0; dimensions], vec![f64::INFINITY; dimensions]);
    let mut highest = vec![f64::NEG_INFINITY; dimensions];
    let mut buffer = RowBuffer::default();
    for chunk in 0..chunk_count(data) {
        let range = chunk_range(data, chunk);
        let first = range.start;
        for (at, row) in data.read(range, &mut buffer)?.chunks_exact(dimensions).enumerate() {
            let weight = samples.weights().map_or(1.0, |weights| weights[first + at]);
            for (j, &x) in row.iter().enumerate() {
                squares[j] += weight * (x - survey.mean[j]).powi(2);
                (lowest[j], highest[j]) = (lowest[j].min(x), highest[j].max(x));
            }
        }
    }
    let deviations: Vec<f64> = squares.iter().map(|square| (square / samples.total()).sqrt()).collect();
    let widest = |a: &usize, b: &usize| deviations[*a].total_cmp(&deviations[*b]);
    let column = (0..dimensions).max_by(widest).unwrap_or(0);
    // No variance of any component exceeds (range / 2)^2, and the rounding of its moments is a part in 1e11 of it at most. So
    // this share of it, as a regularisation, leaves every covariance an inverse that has digits. Where the numbers are large
    // and all alike, their own rounding takes the place of the range.
    const SHARE: f64 = 1e-8;
    let half =
        |j: usize| (0.5 * highest[j] - 0.5 * lowest[j]).max(1e-10 * highest[j].abs().max(lowest[j].abs()));
    let half = (0..dimensions).map(half).fold(0.0, f64::max);
    let least = if deviations[column] > 0.0 { f64::MIN_POSITIVE } else { 1e-6 };
    let needed = (SHARE * half * half).max(10.0 * options.regularisation).max(least);
    // One digit, so that it is easily typed; half as much again, so that rounding to it does not fall below.
    let regularisation = format!("{:.0e}", 1.5 * needed).parse().unwrap_or(needed);
    Ok(Error::Collapsed {
        component,
        regularisation: options.regularisation,
        column,
        deviation: deviations[column],
        suggestion: regularisation,
    })
}

/// What a random start is made from.
struct Starts<'a> {
    samples: &'a Weighted<'a>,
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
            self.samples,
            &origins,
            covariance,
            &responsibilities,
            (regularisation, self.options.threads),
        )?;
        Ok(sums.maximisation(&Gmm::standard(origins, covariance), regularisation))
    }

    /// The same mean for each component: that of the data.
    fn centre(&self) -> Array2<f64> {
        let shape = (self.options.components, self.survey.mean.len());
        Array2::from_shape_fn(shape, |(_, column)| self.survey.mean[column])
    }

    fn labels(&self, labels: &[usize]) -> Result<Gmm> {
        let clusters = self.options.components;
        self.samples.check_length("the start's labels", labels.len())?;
        if let Some(index) = labels.iter().position(|&label| label >= clusters) {
            return Err(Error::Cluster { index, label: labels[index], clusters });
        }
        let labels = self.samples.of(labels);
        self.maximisation(self.centre(), &|first, rows| {
            let samples = rows.len() / self.survey.mean.len();
            Ok(one_hot(&labels[first..first + samples], clusters))
        })
    }

    fn kmeans(&self, seed: u64) -> Result<Gmm> {
        let clusters = self.options.components;
        let options = KMeansOptions { clusters, seed, threads: self.options.threads, ..Default::default() };
        let model = KMeans::fit_samples(self.samples, &options)?.into_model();
        self.maximisation(model.centroids.clone(), &|_, rows| {
            let dimensions = model.centroids.ncols();
            let shape = (rows.len() / dimensions, dimensions);
            let rows = ArrayView2::from_shape(shape, rows).expect("rows of d numbers");
            Ok(one_hot(&model.predict(&rows)?, clusters))
        })
    }

    fn random_responsibilities(&self, seed: u64) -> Result<Gmm> {
        self.maximisation(self.centre(), &|first, rows| {
            // Each chunk draws from a stream of its own, so that it does not matter who draws first.
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(first as u64);
            let shape = (rows.len() / self.survey.mean.len(), self.options.components);
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
