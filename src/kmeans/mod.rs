//! K-means: the hidden label of a sample is the cluster it belongs to, and each iteration makes up its mind about it.
//!
//! | letter | meaning | here |
//! |---|---|---|
//! | n | samples | `data.samples()` |
//! | d | numbers of a sample | `data.dimensions()` |
//! | k | clusters | [`KMeansOptions::clusters`] |
//! | c_j | centroid of cluster j | [`KMeans::centroids`], row j |
//! | z_i | the cluster of sample i | [`KMeans::predict`] |
//!
//! # Formula
//!
//! ```text
//! z_i = argmin_j |x_i - c_j|^2                      (E-step, hard: the nearest centroid, the first where several are)
//! c_j = mean of the x_i with z_i = j                (M-step)
//! inertia = sum_i |x_i - c_{z_i}|^2                 (never rises; the objective is minus the inertia)
//! ```
//!
//! Samples with weights count as often as their weights say, in the means and in the inertia.
//!
//! It is the limit of EM on a mixture of spherical Gaussians with equal weights as their common variance goes to 0.

mod nearest;
mod start;

use ndarray::{Array1, Array2};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::compute::simd::{BLOCK, InstructionSet};
use crate::compute::{in_pool, sum_chunks};
use crate::data::{RowBuffer, Rows, Survey, Weighted, chunk_count, chunk_range};
use crate::em::{self, Fit, Stop};
use crate::error::{Error, Result};
use nearest::{Workspace, accumulate, accumulate_weighted, nearest};

/// The model: the centroid of each cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    /// c_j, k x d.
    pub centroids: Array2<f64>,
}

/// Where the centroids begin.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum KMeansStart {
    /// At these points, k x d.
    Given(Array2<f64>),
    /// At k different samples, each equally likely, or as likely as its weight says.
    RandomPoints,
    /// At samples far from each other: greedy k-means++ (Arthur and Vassilvitskii 2007), as scikit-learn has it.
    ///
    /// Each further centroid is the best of 2 + ln k samples that are drawn with a probability proportional to their squared
    /// distance to the nearest centroid so far, times their weight; the best leaves the smallest sum of these products. Of a table of more than
    /// 2^21 numbers it looks at about that many, of rows drawn at random.
    #[default]
    PlusPlus,
}

/// Options of [`KMeans::fit`].
#[derive(Debug, Clone, PartialEq)]
pub struct KMeansOptions {
    /// k, the number of clusters.
    pub clusters: usize,
    /// Where the centroids begin.
    pub start: KMeansStart,
    /// The number of runs, each from a random start of its own; the one with the smallest inertia is kept. A given start
    /// makes one run whatever this says.
    pub restarts: usize,
    /// What the random starts are drawn from.
    pub seed: u64,
    /// When to stop; the tolerance is in units of the inertia. At 0 a run ends when no sample changes its cluster.
    pub stop: Stop,
    /// Whether the fit keeps every model that it goes through, as figures of its course need it.
    pub keep_models: bool,
    /// The number of threads, 0 for one on each core. The result does not depend on it.
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

/// What one look at the samples leaves for the M-step: sums, so that parts of the data can be looked at apart.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeansStatistics {
    /// The sum of the squared distances of the samples to their nearest centroids, each times its weight.
    pub inertia: f64,
    /// The number of samples of each cluster, without those of weight 0.
    pub counts: Vec<u64>,
    /// The sum of the weights of each cluster's samples: their number where each counts once.
    pub weights: Vec<f64>,
    /// For each cluster the sum of its samples minus `origin`, each times its weight, k x d.
    pub sums: Array2<f64>,
    /// A point amid the data, so that the sums keep their digits. It must be the same for all parts and iterations.
    pub origin: Array1<f64>,
}

impl KMeansStatistics {
    fn new(clusters: usize, origin: &[f64]) -> KMeansStatistics {
        KMeansStatistics {
            inertia: 0.0,
            counts: vec![0; clusters],
            weights: vec![0.0; clusters],
            sums: Array2::zeros((clusters, origin.len())),
            origin: origin.to_vec().into(),
        }
    }

    /// Adds what was found of other samples, with the same centroids and origin.
    ///
    /// # Panics
    ///
    /// Where the origins or the shapes differ.
    pub fn merge(&mut self, other: &KMeansStatistics) {
        assert_eq!(self.origin, other.origin, "statistics about different origins");
        assert_eq!(self.sums.dim(), other.sums.dim(), "statistics of different models");
        self.inertia += other.inertia;
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.weights.iter_mut().zip(&other.weights).for_each(|(weight, more)| *weight += more);
        self.sums += &other.sums;
    }

    /// The M-step: the mean of each cluster. A cluster without a sample keeps the centroid of `before`.
    ///
    /// # Panics
    ///
    /// Where `before` is not of the shape of the model that the look was taken with.
    pub fn maximisation(&self, before: &KMeans) -> KMeans {
        assert_eq!(before.centroids.dim(), self.sums.dim(), "the M-step of another model");
        let mut centroids = before.centroids.clone();
        for (j, mut centroid) in centroids.rows_mut().into_iter().enumerate() {
            if self.counts[j] > 0 {
                centroid.assign(&(&self.origin + &(&self.sums.row(j) / self.weights[j])));
            }
        }
        KMeans { centroids }
    }
}

/// A point that lies far from its centroid, with all samples that lie at it: they move together, so that a sample of weight 2
/// moves as two equal samples do.
#[derive(Debug, Clone)]
struct Far {
    distance: f64,
    /// The first of its samples.
    row: usize,
    label: usize,
    point: Vec<f64>,
    samples: u64,
    weight: f64,
}

/// Takes equal points together and leaves the `most` farthest, the farthest first.
fn shorten(far: &mut Vec<Far>, most: usize) {
    // Equal points have equal distances and labels: sorted by distance and coordinates they stand side by side.
    far.sort_by(|a, b| {
        let coordinates = || a.point.iter().zip(&b.point).map(|(a, b)| a.total_cmp(b));
        let by_point = || coordinates().find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal);
        b.distance.total_cmp(&a.distance).then_with(by_point)
    });
    far.dedup_by(|next, kept| {
        let same = next.point == kept.point;
        if same {
            kept.row = kept.row.min(next.row);
            kept.samples += next.samples;
            kept.weight += next.weight;
        }
        same
    });
    far.sort_by(|a, b| b.distance.total_cmp(&a.distance).then(a.row.cmp(&b.row)));
    far.truncate(most);
}

impl KMeans {
    /// Fits the centroids by Lloyd's iterations.
    ///
    /// A cluster that no sample is nearest to moves to the sample farthest from its centroid, which leaves its own cluster; as
    /// in scikit-learn. Where all samples lie on their centroids, as with fewer different samples than clusters, it stays
    /// empty: [`KMeans::empty_clusters`] tells.
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
    /// No clusters, more clusters than samples, a start of the wrong shape, numbers that are not finite or beyond 1e130, no
    /// restarts, and what reading the data brings.
    pub fn fit(data: &dyn Rows, options: &KMeansOptions) -> Result<Fit<KMeans>> {
        KMeans::fit_samples(&Weighted::new(data, None)?, options)
    }

    /// Fits the centroids to samples that count more or less than once: a weight of 2 is the sample twice, and one of weight 0
    /// is not there.
    ///
    /// The weights (n) lie between 0 and 1e30.
    ///
    /// # Errors
    ///
    /// As [`KMeans::fit`], where more clusters than samples means: than samples of weight above 0. Also weights that are
    /// negative, beyond 1e30, more or fewer than the samples, or that add up to less than 1e-100.
    pub fn fit_weighted(
        data: &dyn Rows,
        sample_weights: &[f64],
        options: &KMeansOptions,
    ) -> Result<Fit<KMeans>> {
        KMeans::fit_samples(&Weighted::new(data, Some(sample_weights))?, options)
    }

    pub(crate) fn fit_samples(samples: &Weighted, options: &KMeansOptions) -> Result<Fit<KMeans>> {
        if options.clusters == 0 {
            return Err(Error::Empty { what: "clusters" });
        }
        if options.restarts == 0 {
            return Err(Error::Empty { what: "restarts" });
        }
        let survey = samples.survey(options.threads)?;
        samples.check_enough("clusters", options.clusters)?;
        let step = |model: &KMeans| {
            let mut statistics = model.look_at(samples, &survey.mean, options.threads)?;
            if statistics.counts.contains(&0) {
                model.relocate(samples, &mut statistics, options.threads)?;
            }
            Ok((-statistics.inertia, statistics.maximisation(model)))
        };
        let run = |start: Array2<f64>| {
            let start = KMeans { centroids: start };
            in_pool(options.threads, || em::maximise(start, options.stop, options.keep_models, step))
        };
        let plus_plus = match &options.start {
            KMeansStart::Given(centroids) => {
                let (found, expected) = (samples.data().dimensions(), centroids.ncols());
                if found != expected {
                    return Err(Error::Columns { found, of: "the start", expected });
                }
                let expected = vec![options.clusters, expected];
                if centroids.shape() != expected {
                    let found = centroids.shape().to_vec();
                    return Err(Error::Shape { name: "the start's centroids", expected, found });
                }
                return run(centroids.clone());
            }
            KMeansStart::RandomPoints => false,
            KMeansStart::PlusPlus => true,
        };
        let mut seeds = ChaCha8Rng::seed_from_u64(options.seed);
        let mut best: Option<Fit<KMeans>> = None;
        for _ in 0..options.restarts {
            let mut rng = ChaCha8Rng::seed_from_u64(seeds.r#gen());
            let start = match plus_plus {
                true => start::plus_plus(samples, options.clusters, &mut rng)?,
                false => start::random_points(samples, options.clusters, &mut rng)?,
            };
            let fit = run(start)?;
            if best.as_ref().is_none_or(|best| fit.objective() > best.objective()) {
                best = Some(fit);
            }
        }
        Ok(best.expect("there is at least one run"))
    }

    /// One look at the samples: the E-step and the sums for the M-step. `sample_weights` are those of
    /// [`KMeans::fit_weighted`], and `origin` is a point amid the data (d). Whether the data are finite is not looked at
    /// beforehand.
    ///
    /// # Errors
    ///
    /// Centroids or an origin of other dimensions than the data, centroids that are not finite, weights as for
    /// [`KMeans::fit_weighted`], and what reading brings.
    pub fn statistics(
        &self,
        data: &dyn Rows,
        sample_weights: Option<&[f64]>,
        origin: &[f64],
        threads: usize,
    ) -> Result<KMeansStatistics> {
        self.look_at(&Weighted::new(data, sample_weights)?, origin, threads)
    }

    fn look_at(&self, samples: &Weighted, origin: &[f64], threads: usize) -> Result<KMeansStatistics> {
        let (clusters, dimensions) = self.centroids.dim();
        if origin.len() != dimensions {
            return Err(Error::Length { name: "origin", expected: dimensions, found: origin.len() });
        }
        let instructions = InstructionSet::detect();
        let each = |statistics: &mut KMeansStatistics, block: Block| {
            let sums = statistics.sums.as_slice_mut().expect("sums are made in rows");
            for &label in block.labels {
                statistics.counts[label as usize] += 1;
            }
            if let Some(weights) = samples.weights() {
                let weights = &weights[block.first..][..block.labels.len()];
                accumulate_weighted(block.rows, block.labels, weights, origin, sums);
                for ((&label, weight), distance) in block.labels.iter().zip(weights).zip(block.distances) {
                    statistics.weights[label as usize] += weight;
                    statistics.inertia += weight * distance;
                }
                return;
            }
            accumulate(instructions, block.rows, block.labels, origin, sums);
            // Four sums side by side: one alone would wait for each addition to end.
            let (fours, rest) = block.distances.as_chunks::<4>();
            let mut inertia = [0.0; 4];
            for four in fours {
                for lane in 0..4 {
                    inertia[lane] += four[lane];
                }
            }
            statistics.inertia += inertia.iter().chain(rest).sum::<f64>();
        };
        let empty = || KMeansStatistics::new(clusters, origin);
        let merge = |all: &mut KMeansStatistics, more: KMeansStatistics| all.merge(&more);
        let mut found = self.look(samples.data(), threads, empty, each, merge)?.unwrap_or_else(empty);
        if samples.weights().is_none() {
            found.weights = found.counts.iter().map(|&count| count as f64).collect();
        }
        Ok(found)
    }

    /// The cluster of each sample.
    ///
    /// # Errors
    ///
    /// Data of other dimensions than the centroids, or that are not finite.
    pub fn predict(&self, data: &dyn Rows) -> Result<Vec<usize>> {
        Survey::new(data, None, 0)?;
        let each = |labels: &mut Vec<usize>, block: Block| {
            labels.extend(block.labels.iter().map(|&label| label as usize));
        };
        Ok(self.look(data, 0, Vec::new, each, |all, more| all.extend(more))?.unwrap_or_default())
    }

    /// The squared distance of each sample to its nearest centroid; they add up to the inertia.
    ///
    /// # Errors
    ///
    /// As [`KMeans::predict`].
    pub fn squared_distances(&self, data: &dyn Rows) -> Result<Vec<f64>> {
        Survey::new(data, None, 0)?;
        let each = |distances: &mut Vec<f64>, block: Block| distances.extend(block.distances);
        Ok(self.look(data, 0, Vec::new, each, |all, more| all.extend(more))?.unwrap_or_default())
    }

    /// The distance of each sample to each centroid, n x k.
    ///
    /// # Errors
    ///
    /// As [`KMeans::predict`].
    pub fn distances(&self, data: &dyn Rows) -> Result<Array2<f64>> {
        let (clusters, _) = self.centroids.dim();
        let mut distances = Array2::zeros((data.samples(), clusters));
        for (j, mut column) in distances.columns_mut().into_iter().enumerate() {
            let one = KMeans { centroids: self.centroids.select(ndarray::Axis(0), &[j]) };
            column.assign(&Array1::from(one.squared_distances(data)?).mapv(f64::sqrt));
        }
        Ok(distances)
    }

    /// The sum of the squared distances of the samples to their nearest centroids.
    ///
    /// # Errors
    ///
    /// As [`KMeans::predict`].
    pub fn inertia(&self, data: &dyn Rows) -> Result<f64> {
        let survey = Survey::new(data, None, 0)?;
        self.check_columns(data)?;
        Ok(self.statistics(data, None, &survey.mean, 0)?.inertia)
    }

    /// The size of each cluster: how many samples are nearest to its centroid, or the sum of their weights.
    ///
    /// ```
    /// use em_routing::prelude::*;
    /// let data = array![[1.0], [1.0], [5.0]]; // two different samples
    /// let fit = KMeans::fit(&data, &KMeansOptions { clusters: 3, ..Default::default() })?;
    /// let mut sizes = fit.model().sizes(&data, None)?;
    /// sizes.sort_by(f64::total_cmp);
    /// assert_eq!(sizes, [0.0, 1.0, 2.0]);
    /// assert_eq!(fit.model().empty_clusters(&data, None)?.len(), 1);
    /// # Ok::<(), em_routing::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`KMeans::predict`], and weights as for [`KMeans::fit_weighted`].
    pub fn sizes(&self, data: &dyn Rows, sample_weights: Option<&[f64]>) -> Result<Vec<f64>> {
        let samples = Weighted::new(data, sample_weights)?;
        let survey = samples.survey(0)?;
        self.check_columns(data)?;
        Ok(self.look_at(&samples, &survey.mean, 0)?.weights)
    }

    /// The clusters that no sample (of weight above 0) is nearest to. A fit leaves some where there are fewer different samples
    /// than clusters.
    ///
    /// # Errors
    ///
    /// As [`KMeans::sizes`].
    pub fn empty_clusters(&self, data: &dyn Rows, sample_weights: Option<&[f64]>) -> Result<Vec<usize>> {
        let sizes = self.sizes(data, sample_weights)?;
        Ok((0..sizes.len()).filter(|&cluster| sizes[cluster] == 0.0).collect())
    }

    /// Gives each empty cluster the farthest point that can leave its own.
    fn relocate(&self, samples: &Weighted, statistics: &mut KMeansStatistics, threads: usize) -> Result<()> {
        let (data, weights) = (samples.data(), samples.weights());
        let clusters = statistics.counts.len();
        // Some of the farthest may be all there is in their cluster; empty and such clusters together are at most k.
        let dimensions = data.dimensions();
        let each = |far: &mut Vec<Far>, block: Block| {
            let samples = block.rows.chunks_exact(dimensions).zip(block.labels).zip(block.distances);
            far.extend(samples.enumerate().filter(|(_, (_, distance))| **distance > 0.0).map(
                |(index, ((point, &label), &distance))| Far {
                    distance,
                    row: block.first + index,
                    label: label as usize,
                    point: point.iter().map(|x| x + 0.0).collect(), // -0 is 0
                    samples: 1,
                    weight: weights.map_or(1.0, |weights| weights[block.first + index]),
                },
            ));
            shorten(far, clusters);
        };
        let merge = |far: &mut Vec<Far>, more: Vec<Far>| {
            far.extend(more);
            shorten(far, clusters);
        };
        let mut farthest = self.look(data, threads, Vec::new, each, merge)?.unwrap_or_default().into_iter();
        for empty in 0..clusters {
            if statistics.counts[empty] > 0 {
                continue;
            }
            // What stays in the cluster must be more than the rounding of its weight.
            let can_leave = |far: &Far| {
                let (samples, weight) = (statistics.counts[far.label], statistics.weights[far.label]);
                samples > far.samples && weight - far.weight > 1e-12 * weight
            };
            let Some(far) = farthest.find(can_leave) else { return Ok(()) };
            let point = (Array1::from(far.point) - &statistics.origin) * far.weight;
            statistics.counts[far.label] -= far.samples;
            statistics.counts[empty] = far.samples;
            statistics.weights[far.label] -= far.weight;
            statistics.weights[empty] = far.weight;
            let mut left = statistics.sums.row_mut(far.label);
            left -= &point;
            statistics.sums.row_mut(empty).assign(&point);
        }
        Ok(())
    }

    fn check_columns(&self, data: &dyn Rows) -> Result<()> {
        match (data.dimensions(), self.centroids.ncols()) {
            (found, expected) if found == expected => Ok(()),
            (found, expected) => Err(Error::Columns { found, of: "the model", expected }),
        }
    }

    /// Finds the nearest centroids of all samples, and hands the blocks to `each`, chunk by chunk.
    fn look<S: Send>(
        &self,
        data: &dyn Rows,
        threads: usize,
        empty: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, Block) + Sync,
        merge: impl Fn(&mut S, S) + Sync,
    ) -> Result<Option<S>> {
        let (clusters, dimensions) = self.centroids.dim();
        if clusters == 0 {
            return Err(Error::Empty { what: "centroids" });
        }
        self.check_columns(data)?;
        let centroids: Vec<f64> = self.centroids.iter().copied().collect();
        if let Some(index) = centroids.iter().position(|&value| !Survey::fits(value)) {
            let value = centroids[index];
            return Err(Error::Setting { name: "a centroid", expected: "within 1e130 of 0", value });
        }
        let instructions = InstructionSet::detect();
        let state = || (RowBuffer::default(), Workspace::new(dimensions));
        let work = |(buffer, space): &mut (RowBuffer, Workspace), chunk: usize| {
            let range = chunk_range(data, chunk);
            let mut first = range.start;
            let mut sum = empty();
            for rows in data.read(range, buffer)?.chunks(BLOCK * dimensions) {
                nearest(instructions, rows, dimensions, &centroids, space);
                let samples = rows.len() / dimensions;
                let (labels, distances) = (&space.labels()[..samples], &space.distances()[..samples]);
                each(&mut sum, Block { first, rows, labels, distances });
                first += samples;
            }
            Ok(sum)
        };
        sum_chunks(0..chunk_count(data), threads, state, work, merge)
    }
}

/// Some samples and what was found of them.
struct Block<'a> {
    /// The index of the first of them.
    first: usize,
    rows: &'a [f64],
    /// Indices of centroids.
    labels: &'a [u32],
    /// Squared.
    distances: &'a [f64],
}
