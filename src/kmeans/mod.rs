//! K-means clustering: assigns each sample to its nearest centroid, then moves each centroid to the mean of its samples.
//!
//! [`KMeans::fit`] takes a table ([`Rows`]) and [`KMeansOptions`] and returns a [`Fit`] of [`KMeans`]; the model then
//! assigns new samples to clusters ([`KMeans::predict`]). K-means is the hard counterpart of EM: the E-step picks one
//! cluster for each sample.
//!
//! | letter | meaning | here |
//! |---|---|---|
//! | n | samples | `data.samples()` |
//! | d | numbers of a sample | `data.dimensions()` |
//! | k | clusters | [`KMeansOptions::clusters`] |
//! | mu_j | centroid of cluster j | [`KMeans::centroids`], row j |
//! | z_i | the cluster of sample i | [`KMeans::predict`] |
//!
//! # Formula
//!
//! ```text
//! z_i = argmin_j |x_i - mu_j|^2                     (E-step, hard: the nearest centroid; ties go to the first)
//! mu_j = mean of the x_i with z_i = j               (M-step)
//! inertia = sum_i |x_i - mu_{z_i}|^2                (never rises; the objective is minus the inertia)
//! ```
//!
//! Values may be missing, as NaN in a table in [`Incomplete`](crate::data::Incomplete): the sums over the columns then leave them out, in distances
//! and in means (k-POD: Chi, Chi and Baraniuk 2016). The inertia still never rises.
//!
//! A sample weight of w counts the sample w times, in the means and in the inertia.
//!
//! ```
//! use em_routing::prelude::*;
//!
//! let flowers = samples::iris::measurements(); // 150 x 4, in cm
//! let fit = KMeans::fit(&flowers, &KMeansOptions { clusters: 3, restarts: 5, ..Default::default() })?;
//! assert!(fit.converged);
//! println!("inertia {:.2} cm² after {} iterations", -fit.objective(), fit.iterations());
//!
//! let model = fit.into_model();
//! let labels = model.predict(&flowers)?; // the cluster of each flower (150)
//! let sizes = model.sizes(&flowers, None)?; // how many flowers each cluster has (3)
//!
//! let new = array![[5.9, 3.0, 4.2, 1.5]]; // a flower that the fit has not seen
//! let cluster = model.predict(&new)?[0];
//! let distance = model.distances(&new)?[[0, cluster]]; // in cm
//! assert!(distance < 1.0 && sizes[cluster] == labels.iter().filter(|&&label| label == cluster).count() as f64);
//! # Ok::<(), em_routing::error::Error>(())
//! ```
//!
//! K-means is the limit of EM for a mixture of spherical Gaussians with equal weights as their common variance goes to 0.

mod nearest;
mod relocation;
mod start;
mod statistics;

use std::ops::{ControlFlow, Range};

use ndarray::{Array1, Array2};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::compute::simd::{BLOCK, InstructionSet};
use crate::compute::{for_each_chunk, in_pool};
use crate::data::{Checked, ColumnScan, RowBuffer, Rows, Weighted, chunks_with_output, fits, sum_rows};
use crate::em::{Course, Fit, Run, Stop};
use crate::error::{Error, Result};
use nearest::{Workspace, nearest};
pub use statistics::KMeansStatistics;
use statistics::sum_of_four;

/// The model: the centroid of each cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    /// mu_j, k x d.
    pub centroids: Array2<f64>,
}

/// What [`KMeans::fit_course`] calls before each iteration.
pub type Watch<'a> = dyn FnMut(&Course<KMeans>) -> ControlFlow<()> + Send + 'a;

/// Runs a fit from its beginning to its end.
fn fit_whole(
    data: &dyn Rows,
    sample_weights: Option<&[f64]>,
    options: &KMeansOptions,
) -> Result<Fit<KMeans>> {
    let watch = &mut |_: &Course<KMeans>| ControlFlow::Continue(());
    let fit = KMeans::fit_course(data, sample_weights, options, &mut Course::default(), watch)?;
    Ok(fit.expect("nothing stops this fit before its end"))
}

/// The initial centroids. If a sample with missing values is drawn, the means of the columns complete the centroid.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum KMeansStart {
    /// Given points, k x d.
    Given(Array2<f64>),
    /// k different samples, drawn with equal probability, or with probability proportional to their weight.
    RandomPoints,
    /// Samples far from each other: greedy k-means++ (Arthur and Vassilvitskii 2007), as in scikit-learn.
    ///
    /// To add a centroid, k-means++ draws 2 + ln k candidates. The probability of a sample is proportional to its weight
    /// times its squared distance to the nearest centroid so far. The candidate with the smallest weighted sum of squared
    /// distances wins. Tables of more than 2^21 numbers are randomly subsampled to about that many, but to at least 64
    /// samples for each cluster. The search runs on one thread.
    #[default]
    PlusPlus,
}

/// Options of [`KMeans::fit`].
#[derive(Debug, Clone, PartialEq)]
pub struct KMeansOptions {
    /// k, the number of clusters.
    pub clusters: usize,
    /// The initial centroids.
    pub start: KMeansStart,
    /// The number of runs, each from a new random start; the fit keeps the run with the smallest inertia. A given start is
    /// run once.
    pub restarts: usize,
    /// The seed of the random starts.
    pub seed: u64,
    /// When to stop; the tolerance is in units of the inertia. With 0 a run ends when no sample changes its cluster.
    pub stop: Stop,
    /// Whether the fit keeps the model of each iteration, for figures.
    pub keep_models: bool,
    /// The number of threads; 0 means those of [`on_threads`](crate::on_threads), or one per core. The result is the same
    /// for any number.
    pub threads: usize,
}

impl Default for KMeansOptions {
    fn default() -> Self {
        KMeansOptions {
            clusters: 8,
            start: KMeansStart::PlusPlus,
            restarts: 1,
            seed: 0,
            stop: Stop { max_iterations: 300, tolerance: 0.0 },
            keep_models: false,
            threads: 0,
        }
    }
}

impl KMeans {
    /// Fits the centroids by Lloyd's iterations.
    ///
    /// An empty cluster is moved to the sample farthest from its centroid, as in scikit-learn; that sample leaves its old
    /// cluster. If every sample lies on its centroid (fewer different samples than clusters), the cluster stays empty:
    /// [`KMeans::empty_clusters`] lists such clusters.
    ///
    /// ```
    /// use em_routing::prelude::*;
    /// let data = array![[0.0, 0.0], [0.0, 1.0], [9.0, 9.0], [9.0, 8.0]];
    /// let fit = KMeans::fit(&data, &KMeansOptions { clusters: 2, ..Default::default() })?;
    /// let labels = fit.model().predict(&data)?;
    /// assert!(labels[0] == labels[1] && labels[2] == labels[3] && labels[0] != labels[2]);
    /// assert_eq!(fit.objective(), -1.0); // minus the inertia
    /// # Ok::<(), em_routing::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if there are no clusters, no restarts or fewer samples than clusters, if the start has the wrong
    /// shape, if a number is not finite or beyond 1e130 (NaN is allowed in [`Incomplete`](crate::data::Incomplete)), if a column has no value, if
    /// the tolerance is NaN, or if the data cannot be read.
    ///
    /// Differences of values below 1e-160 are rounded to 0 when they are squared, so scale such tiny data up.
    pub fn fit(data: &dyn Rows, options: &KMeansOptions) -> Result<Fit<KMeans>> {
        fit_whole(data, None, options)
    }

    /// Fits the centroids to weighted samples: weight 2 counts a sample twice, weight 0 ignores it.
    ///
    /// The weights (n) lie between 0 and 1e30.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`KMeans::fit`], counting only samples with a weight above 0. Also if a weight is
    /// negative or beyond 1e30, if there is not exactly one weight per sample, or if the weights add up to less than 1e-100.
    pub fn fit_weighted(
        data: &dyn Rows,
        sample_weights: &[f64],
        options: &KMeansOptions,
    ) -> Result<Fit<KMeans>> {
        fit_whole(data, Some(sample_weights), options)
    }

    /// Fits as [`KMeans::fit`] and [`KMeans::fit_weighted`] do, but can be stopped and continued.
    ///
    /// `watch` sees the fit before each iteration and may stop it; then the result is None. The fit goes on from `course`: an
    /// empty one ([`Course::default`]), or one that `watch` has seen with the same data and options. It ends with the same
    /// bits in either case, except that `keep_models` keeps no models of iterations before `course`.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`KMeans::fit_weighted`].
    pub fn fit_course(
        data: &dyn Rows,
        sample_weights: Option<&[f64]>,
        options: &KMeansOptions,
        course: &mut Course<KMeans>,
        watch: &mut Watch,
    ) -> Result<Option<Fit<KMeans>>> {
        KMeans::fit_samples(&Weighted::new(data, sample_weights, options.threads)?, options, course, watch)
    }

    fn fit_samples(
        samples: &Weighted,
        options: &KMeansOptions,
        course: &mut Course<KMeans>,
        watch: &mut Watch,
    ) -> Result<Option<Fit<KMeans>>> {
        if options.clusters == 0 {
            return Err(Error::Empty { what: "clusters" });
        }
        if options.restarts == 0 {
            return Err(Error::Empty { what: "restarts" });
        }
        let scan = samples.scan(options.threads)?;
        samples.check_enough("clusters", options.clusters)?;
        KMeans::fit_scanned(samples, &scan, options, course, watch)
    }

    /// Fits samples that have been scanned and are at least as many as the clusters. Returns None if `watch` has stopped the
    /// fit.
    pub(crate) fn fit_scanned(
        samples: &Weighted,
        scan: &ColumnScan,
        options: &KMeansOptions,
        course: &mut Course<KMeans>,
        watch: &mut Watch,
    ) -> Result<Option<Fit<KMeans>>> {
        let step = |model: &KMeans| {
            let mut statistics = model.accumulate_statistics(samples, &scan.mean, options.threads)?;
            if statistics.counts.iter().all(|&count| count > 0) {
                return Ok((-statistics.inertia, statistics.maximisation(model)));
            }
            let moved = model.relocate(samples, &mut statistics, options.threads)?;
            Ok((-statistics.inertia, statistics.maximisation(&moved)))
        };
        let given = matches!(options.start, KMeansStart::Given(_));
        let mut seeds = ChaCha8Rng::seed_from_u64(options.seed);
        for number in 0..if given { 1 } else { options.restarts } {
            let mut rng = ChaCha8Rng::seed_from_u64(seeds.r#gen());
            if number < course.ended {
                continue;
            }
            if course.run.is_none() {
                let centroids = match &options.start {
                    KMeansStart::Given(centroids) => {
                        check_start(centroids, options.clusters, samples.data())?;
                        centroids.clone()
                    }
                    KMeansStart::RandomPoints => {
                        start::random_points(samples, scan, options.clusters, &mut rng)?
                    }
                    KMeansStart::PlusPlus => {
                        start::plus_plus(samples, scan, options.clusters, options.threads, &mut rng)?
                    }
                };
                course.run = Some(Run { model: KMeans { centroids }, objectives: Vec::new() });
            }
            let run = || course.finish_run(options.stop, options.keep_models, step, watch);
            if !in_pool(options.threads, run)? {
                return Ok(None);
            }
        }
        Ok(course.best.take())
    }

    /// Runs the E-step on all samples and returns the sums for the M-step. `sample_weights` are as for
    /// [`KMeans::fit_weighted`]; `origin` is a point near the data (d). The data are not checked for NaN and infinity.
    ///
    /// # Errors
    ///
    /// Returns an error if the centroids or the origin have other dimensions than the data, if a centroid is not finite, if
    /// the weights are invalid (see [`KMeans::fit_weighted`]), or if the data cannot be read.
    pub fn statistics(
        &self,
        data: &dyn Rows,
        sample_weights: Option<&[f64]>,
        origin: &[f64],
    ) -> Result<KMeansStatistics> {
        self.accumulate_statistics(&Weighted::new(data, sample_weights, 0)?, origin, 0)
    }

    fn accumulate_statistics(
        &self,
        samples: &Weighted,
        origin: &[f64],
        threads: usize,
    ) -> Result<KMeansStatistics> {
        let (clusters, dimensions) = self.centroids.dim();
        if origin.len() != dimensions {
            return Err(Error::Length { name: "origin", expected: dimensions, found: origin.len() });
        }
        let search = Search::new(self, samples.data())?;
        let none = || KMeansStatistics::new(clusters, origin, samples.data().nan_is_missing());
        let work = |space: &mut Space, range: Range<usize>| {
            let mut statistics = none();
            search.each_block(space, range, |block| {
                statistics.add(search.instructions, &block, samples.weights());
            })?;
            Ok(statistics)
        };
        let merge = |all: &mut KMeansStatistics, more: KMeansStatistics| all.merge(&more);
        let sum = sum_rows(samples.data(), threads, || search.space(), work, merge)?;
        let mut found = sum.unwrap_or_else(none);
        if samples.weights().is_none() {
            found.weights = found.counts.mapv(|count| count as f64);
        }
        Ok(found)
    }

    /// Returns the cluster of each sample (n). A sample without any value is equally near to all centroids: it gets the
    /// first.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no samples, columns or centroids, if the data have other dimensions than the centroids, if a number
    /// of the data or the centroids is not finite or beyond 1e130 (NaN is allowed in [`Incomplete`](crate::data::Incomplete)), or if the
    /// data cannot be read.
    pub fn predict(&self, data: &dyn Rows) -> Result<Array1<usize>> {
        self.each_sample(data, |block, labels| {
            labels.iter_mut().zip(block.labels).for_each(|(label, &found)| *label = found as usize);
        })
    }

    /// Returns the squared distance of each sample to its nearest centroid (n). The distances add up to the inertia.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`KMeans::predict`].
    pub fn squared_distances(&self, data: &dyn Rows) -> Result<Array1<f64>> {
        self.each_sample(data, |block, distances| distances.copy_from_slice(block.distances))
    }

    /// Runs the E-step on each block; `write` then fills the block's part of the output, one item per sample.
    fn each_sample<T: Clone + Default + Send>(
        &self,
        data: &dyn Rows,
        write: impl Fn(Block, &mut [T]) + Sync,
    ) -> Result<Array1<T>> {
        let data = Checked::new(data)?;
        let search = Search::new(self, &data)?;
        let mut output = vec![T::default(); data.samples()];
        let work = |space: &mut Space, (range, output): (Range<usize>, &mut [T])| {
            let first = range.start;
            search.each_block(space, range, |block| {
                let output = &mut output[block.first - first..][..block.labels.len()];
                write(block, output);
            })
        };
        for_each_chunk(chunks_with_output(&data, &mut output, 1), 0, || search.space(), work)?;
        Ok(output.into())
    }

    /// Returns the distance of each sample to each centroid, n x k, over the values that the sample has.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`KMeans::predict`].
    pub fn distances(&self, data: &dyn Rows) -> Result<Array2<f64>> {
        let data = Checked::new(data)?;
        let search = Search::new(self, &data)?;
        let (clusters, dimensions) = self.centroids.dim();
        let mut output = vec![0.0; data.samples() * clusters];
        let work = |(buffer, space): &mut Space, (range, output): (Range<usize>, &mut [f64])| {
            let blocks = data.read(range, buffer)?.chunks(BLOCK * dimensions);
            for (rows, output) in blocks.zip(output.chunks_mut(BLOCK * clusters)) {
                nearest::distances(search.instructions, rows, dimensions, &search.centroids, space, output);
            }
            Ok(())
        };
        for_each_chunk(chunks_with_output(&data, &mut output, clusters), 0, || search.space(), work)?;
        Ok(Array2::from_shape_vec((data.samples(), clusters), output).expect("k distances for each sample"))
    }

    /// Returns the inertia: the sum of the squared distances of the samples to their nearest centroids.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`KMeans::predict`].
    pub fn inertia(&self, data: &dyn Rows) -> Result<f64> {
        let data = Checked::new(data)?;
        let search = Search::new(self, &data)?;
        let work = |space: &mut Space, range: Range<usize>| {
            let mut inertia = 0.0;
            search.each_block(space, range, |block| inertia += sum_of_four(block.distances))?;
            Ok(inertia)
        };
        let sum = sum_rows(&data, 0, || search.space(), work, |all, more| *all += more)?;
        Ok(sum.unwrap_or_default())
    }

    /// Returns the size of each cluster (k): its number of samples, or the sum of their weights. Samples without any value do not
    /// count.
    ///
    /// ```
    /// use em_routing::prelude::*;
    /// let data = array![[1.0], [1.0], [5.0]]; // two different samples
    /// let fit = KMeans::fit(&data, &KMeansOptions { clusters: 3, ..Default::default() })?;
    /// let mut sizes = fit.model().sizes(&data, None)?.to_vec();
    /// sizes.sort_by(f64::total_cmp);
    /// assert_eq!(sizes, [0.0, 1.0, 2.0]);
    /// assert_eq!(fit.model().empty_clusters(&data, None)?.len(), 1);
    /// # Ok::<(), em_routing::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`KMeans::predict`], or if the weights are invalid (see [`KMeans::fit_weighted`]).
    pub fn sizes(&self, data: &dyn Rows, sample_weights: Option<&[f64]>) -> Result<Array1<f64>> {
        let samples = Weighted::new(data, sample_weights, 0)?;
        samples.check_uncounted(0)?;
        let data = Checked::new(samples.data())?;
        let search = Search::new(self, &data)?;
        let clusters = self.centroids.nrows();
        let work = |space: &mut Space, range: Range<usize>| {
            let mut sizes = Array1::zeros(clusters);
            search.each_block(space, range, |block| {
                for (s, &label) in block.labels.iter().enumerate() {
                    sizes[label as usize] +=
                        samples.weights().map_or(1.0, |weights| weights[block.first + s]);
                }
            })?;
            Ok(sizes)
        };
        let merge = |all: &mut Array1<f64>, more: Array1<f64>| *all += &more;
        let sum = sum_rows(&data, 0, || search.space(), work, merge)?;
        Ok(sum.unwrap_or_else(|| Array1::zeros(clusters)))
    }

    /// Lists the clusters without a sample of weight above 0. A fit leaves clusters empty if there are fewer different
    /// samples than clusters.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`KMeans::sizes`].
    pub fn empty_clusters(&self, data: &dyn Rows, sample_weights: Option<&[f64]>) -> Result<Vec<usize>> {
        let sizes = self.sizes(data, sample_weights)?;
        Ok((0..sizes.len()).filter(|&cluster| sizes[cluster] == 0.0).collect())
    }

    /// Checks that the centroids exist and are finite numbers within 1e130 of 0.
    pub(crate) fn check(&self) -> Result<()> {
        if self.centroids.nrows() == 0 {
            return Err(Error::Empty { what: "centroids" });
        }
        if self.centroids.ncols() == 0 {
            return Err(Error::Empty { what: "columns" });
        }
        match self.centroids.iter().find(|&&value| !fits(value)) {
            Some(&value) => Err(Error::Setting { name: "a centroid", expected: "within 1e130 of 0", value }),
            None => Ok(()),
        }
    }
}

/// Checks that these centroids fit the number of clusters and the columns of the data.
fn check_start(centroids: &Array2<f64>, clusters: usize, data: &dyn Rows) -> Result<()> {
    let (found, expected) = (data.dimensions(), centroids.ncols());
    if found != expected {
        return Err(Error::Columns { found, of: "the start", expected });
    }
    let expected = vec![clusters, expected];
    if centroids.shape() != expected {
        let found = centroids.shape().to_vec();
        return Err(Error::Shape { name: "the start's centroids", expected, found });
    }
    Ok(())
}

/// Finds the nearest centroid of each sample of a table, block by block.
struct Search<'a> {
    data: &'a dyn Rows,
    /// The centroids row by row, k x d.
    centroids: Vec<f64>,
    instructions: InstructionSet,
}

/// The buffers of a thread for a [`Search`].
type Space = (RowBuffer, Workspace);

/// A block of samples with their nearest centroids.
struct Block<'a> {
    /// The index of the block's first sample.
    first: usize,
    rows: &'a [f64],
    /// Indices of the nearest centroids.
    labels: &'a [u32],
    /// Squared distances to the nearest centroids.
    distances: &'a [f64],
}

impl<'a> Search<'a> {
    /// # Errors
    ///
    /// Returns an error if there are no centroids, if the data have other dimensions, or if a centroid is not finite or
    /// beyond 1e130.
    fn new(model: &KMeans, data: &'a dyn Rows) -> Result<Search<'a>> {
        let (found, expected) = (data.dimensions(), model.centroids.ncols());
        if found != expected {
            return Err(Error::Columns { found, of: "the model", expected });
        }
        model.check()?;
        let centroids = model.centroids.iter().copied().collect();
        Ok(Search { data, centroids, instructions: InstructionSet::detect() })
    }

    fn space(&self) -> Space {
        (RowBuffer::default(), Workspace::new(self.data.dimensions(), self.data.nan_is_missing()))
    }

    /// Finds the nearest centroids of a chunk's samples and passes each block to `each`.
    fn each_block(
        &self,
        (buffer, space): &mut Space,
        range: Range<usize>,
        mut each: impl FnMut(Block),
    ) -> Result<()> {
        let dimensions = self.data.dimensions();
        let mut first = range.start;
        for rows in self.data.read(range, buffer)?.chunks(BLOCK * dimensions) {
            nearest(self.instructions, rows, dimensions, &self.centroids, space);
            let samples = rows.len() / dimensions;
            let (labels, distances) = (&space.labels()[..samples], &space.distances()[..samples]);
            each(Block { first, rows, labels, distances });
            first += samples;
        }
        Ok(())
    }
}
