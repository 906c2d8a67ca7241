//! Fits: starts, restarts, and the diagnosis of collapsed components.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::missing::independent;
use super::statistics::{GivenResponsibilities, Pass, Responsibilities};
use super::{Gmm, GmmCourse, GmmOptions, GmmStart, Watch};
use crate::compute::in_pool;
use crate::data::{ColumnScan, Incomplete, RowBuffer, Weighted, sum_rows};
use crate::em::{Course, Fit, Run};
use crate::error::{Error, Result};
use crate::kmeans::{KMeans, KMeansOptions};

/// Fits the samples from `course` on. Returns None if `watch` has stopped the fit.
pub(super) fn fit(
    samples: &Weighted,
    options: &GmmOptions,
    course: &mut GmmCourse,
    watch: &mut Watch,
) -> Result<Option<Fit<Gmm>>> {
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
    let scan = samples.scan(options.threads)?;
    samples.check_enough("components", options.components)?;
    let (covariance, threads) = (options.covariance, options.threads);
    let pass = Pass { samples, covariance, regularisation, threads };
    let problem = Problem { samples, options, scan, pass };
    let restarts = match &options.start {
        GmmStart::Given(start) => {
            start.check_start(options, samples.data())?;
            1
        }
        GmmStart::Labels(_) => 1,
        GmmStart::KMeans | GmmStart::RandomResponsibilities => options.restarts,
    };
    problem.best_of(restarts, course, watch)
}

/// The samples and options of a fit. The samples have been scanned and are at least as many as the components.
struct Problem<'a> {
    samples: &'a Weighted<'a>,
    options: &'a GmmOptions,
    scan: ColumnScan,
    pass: Pass<'a>,
}

impl Problem<'_> {
    /// Makes the iterations of the current run. Returns false if `watch` has stopped it.
    fn run(&self, course: &mut Course<Gmm>, watch: &mut Watch) -> Result<bool> {
        let options = self.options;
        let step = |model: &Gmm| {
            let statistics = {
                let prepared = model.prepare()?;
                self.pass.precise_statistics(&model.means, &Responsibilities::Model(model, &prepared))?
            };
            Ok((statistics.log_likelihood, statistics.maximisation(model, options.regularisation)))
        };
        let watch = &mut |course: &Course<Gmm>| watch(course, None);
        in_pool(options.threads, || course.finish_run(options.stop, options.keep_models, step, watch))
    }

    /// Returns the best run, or None if `watch` has stopped the fit. Of several runs, those in which a component collapses
    /// are dropped.
    fn best_of(
        &self,
        restarts: usize,
        course: &mut GmmCourse,
        watch: &mut Watch,
    ) -> Result<Option<Fit<Gmm>>> {
        let mut seeds = ChaCha8Rng::seed_from_u64(self.options.seed);
        let mut collapse = None;
        for number in 0..restarts {
            let seed = seeds.r#gen();
            if number < course.fit.ended {
                continue;
            }
            if course.fit.run.is_none() {
                let Some(model) = self.start(seed, course, watch)? else { return Ok(None) };
                course.fit.run = Some(Run { model, objectives: Vec::new() });
            }
            match self.run(&mut course.fit, watch) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error @ (Error::NotPositiveDefinite { .. } | Error::Impossible { .. })) => {
                    collapse.get_or_insert(error);
                    course.fit.drop_run();
                }
                Err(error) => return Err(error),
            }
        }
        match (course.fit.best.take(), collapse) {
            (None, Some(collapse)) => Err(self.explain(collapse)),
            (best, _) => Ok(best),
        }
    }

    /// Returns the model that a run starts from, or None if `watch` has stopped the K-means that finds it.
    fn start(&self, seed: u64, course: &mut GmmCourse, watch: &mut Watch) -> Result<Option<Gmm>> {
        match &self.options.start {
            GmmStart::Given(start) => start.normalised().map(Some),
            GmmStart::Labels(labels) => {
                let start = self.start_from_labels(&labels.to_vec());
                start.map(Some).map_err(|error| self.explain(error))
            }
            GmmStart::KMeans => self.start_from_kmeans(seed, course, watch),
            GmmStart::RandomResponsibilities => self.start_from_responsibilities(seed).map(Some),
        }
    }

    /// Translates an error of a run: a covariance that is not positive definite means that the component has collapsed.
    fn explain(&self, error: Error) -> Error {
        match error {
            Error::NotPositiveDefinite { component } => {
                self.collapse(component).unwrap_or_else(|error| error)
            }
            error => self.samples.rename(error),
        }
    }

    /// Diagnoses a collapse: finds the scale of the data and suggests a regularisation for it.
    ///
    /// # Errors
    ///
    /// Returns an error if the data cannot be read.
    fn collapse(&self, component: usize) -> Result<Error> {
        let (data, mean) = (self.samples.data(), &self.scan.mean);
        let dimensions = mean.len();
        // the sum of the weights, the weighted sum of the squares, the lowest and the highest value of each column
        let none = || vec![[0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY]; dimensions];
        let add = |[w, squares, lowest, highest]: &mut [f64; 4], more: [f64; 4]| {
            *w += more[0];
            *squares += more[1];
            (*lowest, *highest) = (lowest.min(more[2]), highest.max(more[3]));
        };
        let work = |buffer: &mut RowBuffer, range: Range<usize>| {
            let (first, mut columns) = (range.start, none());
            for (at, row) in data.read(range, buffer)?.chunks_exact(dimensions).enumerate() {
                let weight = self.samples.weights().map_or(1.0, |weights| weights[first + at]);
                for (j, &x) in row.iter().enumerate().filter(|(_, x)| !x.is_nan()) {
                    add(&mut columns[j], [weight, weight * (x - mean[j]).powi(2), x, x]);
                }
            }
            Ok(columns)
        };
        let merge = |all: &mut Vec<[f64; 4]>, more: Vec<[f64; 4]>| {
            all.iter_mut().zip(more).for_each(|(all, more)| add(all, more));
        };
        let columns = sum_rows(data, self.options.threads, RowBuffer::default, work, merge)?;
        let columns = columns.unwrap_or_else(none);
        let deviations: Vec<f64> = columns.iter().map(|[w, squares, ..]| (squares / w).sqrt()).collect();
        let widest = |a: &usize, b: &usize| deviations[*a].total_cmp(&deviations[*b]);
        let column = (0..dimensions).max_by(widest).unwrap_or(0);
        // The variance of a component is at most (range / 2)^2, and the rounding error of its moments is at most 1e-11 of
        // this bound. So with SHARE of the bound as regularisation every covariance has a precise inverse. For large,
        // almost equal numbers, their rounding error replaces the range.
        const SHARE: f64 = 1e-8;
        let half = |&[_, _, lowest, highest]: &[f64; 4]| {
            (0.5 * highest - 0.5 * lowest).max(1e-10 * highest.abs().max(lowest.abs()))
        };
        let half = columns.iter().map(half).fold(0.0, f64::max);
        let regularisation = self.options.regularisation;
        let least = if deviations[column] > 0.0 { f64::MIN_POSITIVE } else { 1e-6 };
        let needed = (SHARE * half * half).max(10.0 * regularisation).max(least);
        // One digit is easy to type. The factor 1.5 keeps the rounded number from falling below `needed`.
        let suggestion = format!("{:.0e}", 1.5 * needed).parse().unwrap_or(needed);
        let deviation = deviations[column];
        Ok(Error::Collapsed { component, regularisation, column, deviation, suggestion })
    }

    /// Runs the M-step for given responsibilities, with moments about these origins (K x d).
    fn maximisation(&self, origins: Array2<f64>, responsibilities: &GivenResponsibilities) -> Result<Gmm> {
        let completing = match self.samples.data().nan_is_missing() {
            false => None,
            true => Some(independent(self.samples, &self.centre(), responsibilities, self.options.threads)?),
        };
        let responsibilities = Responsibilities::Given(responsibilities, completing.as_ref());
        let statistics = self.pass.precise_statistics(&origins, &responsibilities)?;
        let before = Gmm::standard(origins, self.options.covariance);
        Ok(statistics.maximisation(&before, self.options.regularisation))
    }

    /// Returns the mean of the data, repeated for each component.
    fn centre(&self) -> Array2<f64> {
        let shape = (self.options.components, self.scan.mean.len());
        Array2::from_shape_fn(shape, |(_, column)| self.scan.mean[column])
    }

    fn start_from_labels(&self, labels: &[usize]) -> Result<Gmm> {
        let clusters = self.options.components;
        self.samples.check_length("the start's labels", labels.len())?;
        Error::check_labels("sample", labels, clusters, "clusters")?;
        let labels = self.samples.select(labels);
        self.maximisation(self.centre(), &|first, rows| {
            let samples = rows.len() / self.scan.mean.len();
            Ok(one_hot(&labels[first..first + samples], clusters))
        })
    }

    fn start_from_kmeans(&self, seed: u64, course: &mut GmmCourse, watch: &mut Watch) -> Result<Option<Gmm>> {
        let clusters = self.options.components;
        let options = KMeansOptions { clusters, seed, threads: self.options.threads, ..Default::default() };
        let GmmCourse { start, fit } = course;
        let watch = &mut |start: &Course<KMeans>| watch(fit, Some(start));
        let Some(clustering) = KMeans::fit_scanned(self.samples, &self.scan, &options, start, watch)? else {
            return Ok(None);
        };
        *start = Course::default();
        let model = clustering.into_model();
        self.maximisation(model.centroids.clone(), &|_, rows| {
            let dimensions = model.centroids.ncols();
            let shape = (rows.len() / dimensions, dimensions);
            let rows = ArrayView2::from_shape(shape, rows).expect("rows of d numbers");
            let labels = match self.samples.data().nan_is_missing() {
                false => model.predict(&rows)?,
                true => model.predict(&Incomplete(&rows))?,
            };
            Ok(one_hot(&labels.to_vec(), clusters))
        })
        .map(Some)
    }

    fn start_from_responsibilities(&self, seed: u64) -> Result<Gmm> {
        self.maximisation(self.centre(), &|first, rows| {
            // Each chunk has its own random stream, so that the order of the threads does not matter.
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(first as u64);
            let shape = (rows.len() / self.scan.mean.len(), self.options.components);
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
