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
//! It is the limit of EM on a mixture of spherical Gaussians with equal weights as their common variance goes to 0.

mod nearest;
mod start;

use ndarray::{Array1, Array2};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::compute::simd::{BLOCK, InstructionSet};
use crate::data::{RowBuffer, Rows, Survey, chunk_count, chunk_range};
use crate::em::{self, Fit, Stop};
use crate::error::{Error, Result};
use crate::parallel::merge_in_order;
use nearest::{Workspace, accumulate, nearest};

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
    /// At k different samples, each equally likely.
    RandomPoints,
    /// At samples far from each other: greedy k-means++ (Arthur and Vassilvitskii 2007), as scikit-learn has it.
    ///
    /// Each further centroid is the best of 2 + ln k samples that are drawn with a probability proportional to their squared
    /// distance to the nearest centroid so far; the best leaves the smallest sum of these distances. Of a table of more than
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
            threads: 0,
        }
    }
}

/// What one look at the samples leaves for the M-step: sums, so that parts of the data can be looked at apart.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeansStatistics {
    /// The sum of the squared distances of the samples to their nearest centroids.
    pub inertia: f64,
    /// The number of samples of each cluster.
    pub counts: Vec<u64>,
    /// For each cluster the sum of its samples minus `origin`, k x d.
    pub sums: Array2<f64>,
    /// A point amid the data, so that the sums keep their digits. It must be the same for all parts and iterations.
    pub origin: Array1<f64>,
}

impl KMeansStatistics {
    fn new(clusters: usize, origin: &[f64]) -> KMeansStatistics {
        KMeansStatistics {
            inertia: 0.0,
            counts: vec![0; clusters],
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
                centroid.assign(&(&self.origin + &(&self.sums.row(j) / self.counts[j] as f64)));
            }
        }
        KMeans { centroids }
    }
}

/// A sample that lies far from its centroid.
#[derive(Debug, Clone)]
struct Far {
    distance: f64,
    row: usize,
    label: usize,
    point: Vec<f64>,
}

impl KMeans {
    /// Fits the centroids by Lloyd's iterations.
    ///
    /// A cluster that no sample is nearest to moves to the sample farthest from its centroid, which leaves its own cluster; as
    /// in scikit-learn. Where all samples lie on their centroids, as with fewer different samples than clusters, it stays.
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
        if options.clusters == 0 {
            return Err(Error::Empty { what: "clusters" });
        }
        if options.restarts == 0 {
            return Err(Error::Empty { what: "restarts" });
        }
        let survey = Survey::new(data, options.threads)?;
        if options.clusters > data.samples() {
            let (wanted, samples) = (options.clusters, data.samples());
            return Err(Error::TooFew { what: "clusters", wanted, samples });
        }
        let run = |start: Array2<f64>| {
            em::maximise(KMeans { centroids: start }, options.stop, |model| {
                let mut statistics = model.statistics(data, &survey.mean, options.threads)?;
                if statistics.counts.contains(&0) {
                    model.relocate(data, &mut statistics, options.threads)?;
                }
                Ok((-statistics.inertia, statistics.maximisation(model)))
            })
        };
        let plus_plus = match &options.start {
            KMeansStart::Given(centroids) => {
                let expected = vec![options.clusters, data.dimensions()];
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
                true => start::plus_plus(data, options.clusters, &mut rng)?,
                false => start::random_points(data, options.clusters, &mut rng)?,
            };
            let fit = run(start)?;
            if best.as_ref().is_none_or(|best| fit.objective() > best.objective()) {
                best = Some(fit);
            }
        }
        Ok(best.expect("there is at least one run"))
    }

    /// One look at the samples: the E-step and the sums for the M-step. `origin` is a point amid the data (d). Whether the data
    /// are finite is not looked at beforehand.
    ///
    /// # Errors
    ///
    /// Centroids or an origin of other dimensions than the data, centroids that are not finite, and what reading brings.
    pub fn statistics(&self, data: &dyn Rows, origin: &[f64], threads: usize) -> Result<KMeansStatistics> {
        let (clusters, dimensions) = self.centroids.dim();
        if origin.len() != dimensions {
            return Err(Error::Length { name: "origin", expected: dimensions, found: origin.len() });
        }
        let instructions = InstructionSet::detect();
        let each = |statistics: &mut KMeansStatistics, block: Block| {
            let sums = statistics.sums.as_slice_mut().expect("sums are made in rows");
            accumulate(instructions, block.rows, block.labels, origin, sums);
            for &label in block.labels {
                statistics.counts[label as usize] += 1;
            }
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
        Ok(self.look(data, threads, empty, each, |all, more| all.merge(&more))?.unwrap_or_else(empty))
    }

    /// The cluster of each sample.
    ///
    /// # Errors
    ///
    /// Data of other dimensions than the centroids, or that are not finite.
    pub fn predict(&self, data: &dyn Rows) -> Result<Vec<usize>> {
        Survey::new(data, 0)?;
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
        Survey::new(data, 0)?;
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
        let survey = Survey::new(data, 0)?;
        Ok(self.statistics(data, &survey.mean, 0)?.inertia)
    }

    /// Gives each empty cluster the farthest sample that can leave its own.
    fn relocate(&self, data: &dyn Rows, statistics: &mut KMeansStatistics, threads: usize) -> Result<()> {
        let clusters = statistics.counts.len();
        // Some of the farthest may be the only sample of their cluster; empty and such clusters together are at most k.
        let shorten = |far: &mut Vec<Far>| {
            far.sort_by(|a, b| b.distance.total_cmp(&a.distance).then(a.row.cmp(&b.row)));
            far.truncate(clusters);
        };
        let dimensions = data.dimensions();
        let each = |far: &mut Vec<Far>, block: Block| {
            let samples = block.rows.chunks_exact(dimensions).zip(block.labels).zip(block.distances);
            far.extend(samples.enumerate().filter(|(_, (_, distance))| **distance > 0.0).map(
                |(index, ((point, &label), &distance))| Far {
                    distance,
                    row: block.first + index,
                    label: label as usize,
                    point: point.to_vec(),
                },
            ));
            shorten(far);
        };
        let merge = |far: &mut Vec<Far>, more: Vec<Far>| {
            far.extend(more);
            shorten(far);
        };
        let mut farthest = self.look(data, threads, Vec::new, each, merge)?.unwrap_or_default().into_iter();
        for empty in 0..clusters {
            if statistics.counts[empty] > 0 {
                continue;
            }
            let Some(far) = farthest.find(|far| statistics.counts[far.label] > 1) else { return Ok(()) };
            let point = Array1::from(far.point) - &statistics.origin;
            statistics.counts[far.label] -= 1;
            statistics.counts[empty] = 1;
            let mut left = statistics.sums.row_mut(far.label);
            left -= &point;
            statistics.sums.row_mut(empty).assign(&point);
        }
        Ok(())
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
        if data.dimensions() != dimensions {
            let (expected, found) = (vec![clusters, data.dimensions()], vec![clusters, dimensions]);
            return Err(Error::Shape { name: "the centroids", expected, found });
        }
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
        merge_in_order(chunk_count(data), threads, state, work, merge)
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
