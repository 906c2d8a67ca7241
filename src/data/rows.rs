//! Tables that are read by ranges of rows, so that they need not fit in memory.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::{ArrayBase, Data, Ix2};

use crate::compute::{Message, Team, message_of_fields, parts, sum_chunks, sum_in_team};
use crate::error::{Error, Result};

/// A table of n samples (rows) with d numbers each, such as an array in memory or a file ([`crate::data::npy::NpyFile`]).
///
/// A fit reads the table in chunks of rows with [`Rows::read`], several chunks at a time on different threads.
pub trait Rows: Sync {
    /// Returns n, the number of samples.
    fn samples(&self) -> usize;

    /// Returns d, the number of columns.
    fn dimensions(&self) -> usize;

    /// Returns the numbers of these samples, row by row: borrowed from the table if its memory has this layout, otherwise
    /// copied to the buffer.
    ///
    /// # Errors
    ///
    /// Returns an error if the numbers cannot be read.
    ///
    /// # Panics
    ///
    /// May panic if the range reaches beyond the samples.
    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]>;

    /// Whether NaN stands for a missing value, as in [`Incomplete`]. Otherwise NaN is an error.
    fn nan_is_missing(&self) -> bool {
        false
    }

    /// Returns the processes that share the rows, as in [`Shared`]; None for one.
    fn team(&self) -> Option<&dyn Team> {
        None
    }
}

/// A table whose rows are shared by several processes.
///
/// All of them run the same fit. Each reads and computes its part of the rows, and all get the same model, equal to the last
/// bit to that of one process.
pub struct Shared<'a> {
    /// The whole table. A process reads the rows of [`own_rows`], and a few others.
    pub rows: &'a dyn Rows,
    /// The processes; None for one.
    pub team: Option<&'a dyn Team>,
}

impl Rows for Shared<'_> {
    fn samples(&self) -> usize {
        self.rows.samples()
    }

    fn dimensions(&self) -> usize {
        self.rows.dimensions()
    }

    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]> {
        self.rows.read(range, buffer)
    }

    fn nan_is_missing(&self) -> bool {
        self.rows.nan_is_missing()
    }

    fn team(&self) -> Option<&dyn Team> {
        self.team
    }
}

/// A table in which NaN stands for a missing value.
///
/// Mixtures integrate over missing values: a sample counts with the density of the values that it has. K-means measures
/// distances over the values that a sample has. Nothing is filled in beforehand. A sample without any value counts for
/// nothing in a fit.
///
/// ```
/// use em_routing::prelude::*;
/// let nan = f64::NAN;
/// let data = array![[0.0, 0.1], [0.2, nan], [nan, 0.0], [9.0, 9.2], [9.1, nan], [8.8, 9.0]];
/// let options = GmmOptions { components: 2, ..Default::default() };
/// assert!(Gmm::fit(&data, &options).is_err()); // NaN may also be a mistake
/// let fit = Gmm::fit(&Incomplete(&data), &options)?;
/// let labels = fit.model().predict(&Incomplete(&data))?;
/// assert!(labels[0] == labels[1] && labels[3] == labels[4] && labels[0] != labels[3]);
/// # Ok::<(), em_routing::error::Error>(())
/// ```
pub struct Incomplete<'a>(pub &'a dyn Rows);

impl Rows for Incomplete<'_> {
    fn samples(&self) -> usize {
        self.0.samples()
    }

    fn dimensions(&self) -> usize {
        self.0.dimensions()
    }

    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]> {
        self.0.read(range, buffer)
    }

    fn nan_is_missing(&self) -> bool {
        true
    }

    fn team(&self) -> Option<&dyn Team> {
        self.0.team()
    }
}

/// A buffer for [`Rows::read`]. Reuse it when you read many ranges.
#[derive(Debug, Default)]
pub struct RowBuffer {
    /// The numbers.
    pub values: Vec<f64>,
    /// The undecoded bytes of a file.
    pub bytes: Vec<u8>,
}

impl<S: Data<Elem = f64> + Sync> Rows for ArrayBase<S, Ix2> {
    fn samples(&self) -> usize {
        self.nrows()
    }

    fn dimensions(&self) -> usize {
        self.ncols()
    }

    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]> {
        let dimensions = self.ncols();
        if let Some(all) = self.as_slice() {
            return Ok(&all[range.start * dimensions..range.end * dimensions]);
        }
        buffer.values.clear();
        buffer.values.extend(self.slice(ndarray::s![range, ..]));
        Ok(&buffer.values)
    }
}

/// Returns the number of samples per chunk. It depends only on d, so the bits of a sum over chunks do not depend on the
/// threads.
pub(super) fn chunk_samples(dimensions: usize) -> usize {
    const NUMBERS: usize = 1 << 15; // 256 KiB: half of a core's second-level cache
    const MULTIPLE: usize = 64;
    (NUMBERS / dimensions.max(1) / MULTIPLE * MULTIPLE).clamp(MULTIPLE, 2048)
}

/// Returns the range of samples of each chunk of a table.
pub(crate) fn chunk_ranges(data: &dyn Rows) -> impl Iterator<Item = Range<usize>> + use<> {
    let (samples, of_chunk) = (data.samples(), chunk_samples(data.dimensions()));
    (0..samples).step_by(of_chunk).map(move |first| first..(first + of_chunk).min(samples))
}

/// Sums over the chunks of a table with [`sum_chunks`], or with [`sum_in_team`] if processes share it.
///
/// # Errors
///
/// Returns the error of the first chunk that fails. Returns `None` if the table has no samples.
pub(crate) fn sum_rows<T: Send, S: Send + Message>(
    data: &dyn Rows,
    threads: usize,
    state: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, Range<usize>) -> Result<S> + Sync,
    merge: impl Fn(&mut S, S) + Sync,
) -> Result<Option<S>> {
    match data.team() {
        // a web page has one process, and should not load what more would need
        Some(team) if !cfg!(target_family = "wasm") => {
            sum_in_team(team, chunk_ranges(data).collect(), threads, state, work, merge)
        }
        _ => sum_chunks(chunk_ranges(data), threads, state, work, merge),
    }
}

/// Returns the range of rows that this process reads in sums over the table: all rows, unless processes share it.
pub fn own_rows(data: &dyn Rows) -> Range<usize> {
    let (samples, of_chunk) = (data.samples(), chunk_samples(data.dimensions()));
    let Some(team) = data.team() else { return 0..samples };
    let starts = parts(samples.div_ceil(of_chunk), team.size());
    let row = |rank: usize| (starts[rank] * of_chunk).min(samples);
    row(team.rank())..row(team.rank() + 1)
}

/// Returns all numbers of a table, row by row. If processes share it, each reads its part, and all get the whole.
///
/// # Errors
///
/// Returns an error if the numbers cannot be read.
pub fn all_numbers(data: &dyn Rows) -> Result<Vec<f64>> {
    let work = |buffer: &mut RowBuffer, range| Ok(vec![data.read(range, buffer)?.to_vec()]);
    let parts = sum_rows(data, 0, RowBuffer::default, work, |all, more| all.extend(more))?;
    Ok(parts.unwrap_or_default().concat())
}

/// Counts the missing numbers (NaN) of each column (d).
///
/// # Errors
///
/// Returns an error if the numbers cannot be read.
pub fn count_missing(data: &dyn Rows) -> Result<Vec<usize>> {
    let columns = data.dimensions();
    let work = |buffer: &mut RowBuffer, range| {
        let mut missing = vec![0; columns];
        for row in data.read(range, buffer)?.chunks_exact(columns.max(1)) {
            missing.iter_mut().zip(row).for_each(|(count, value)| *count += usize::from(value.is_nan()));
        }
        Ok(missing)
    };
    let merge = |all: &mut Vec<usize>, more: Vec<usize>| {
        all.iter_mut().zip(more).for_each(|(all, more)| *all += more);
    };
    Ok(sum_rows(data, 0, RowBuffer::default, work, merge)?.unwrap_or_else(|| vec![0; columns]))
}

/// Returns, for each chunk, its range of samples and its part of `output` (at least one number per sample: `width`).
pub(crate) fn chunks_with_output<'a, T>(
    data: &dyn Rows,
    output: &'a mut [T],
    width: usize,
) -> impl Iterator<Item = (Range<usize>, &'a mut [T])> + use<'a, T> {
    chunk_ranges(data).zip(output.chunks_mut(chunk_samples(data.dimensions()) * width))
}

/// A table whose numbers are checked when they are read.
pub(crate) struct Checked<'a>(&'a dyn Rows);

impl<'a> Checked<'a> {
    /// Returns an error if there are no samples or no columns.
    pub(crate) fn new(data: &'a dyn Rows) -> Result<Checked<'a>> {
        if data.samples() == 0 {
            return Err(Error::Empty { what: "samples" });
        }
        if data.dimensions() == 0 {
            return Err(Error::Empty { what: "columns" });
        }
        Ok(Checked(data))
    }
}

impl Rows for Checked<'_> {
    fn samples(&self) -> usize {
        self.0.samples()
    }

    fn dimensions(&self) -> usize {
        self.0.dimensions()
    }

    /// Returns an error that names the first number that is not finite or is [too large](fits). A missing value is neither.
    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]> {
        let (first, expected) = (range.start, range.len() * self.dimensions());
        let rows = self.0.read(range, buffer)?;
        check_length(rows, expected)?;
        let fault = match self.nan_is_missing() {
            false => rows.iter().position(|&value| !fits(value)),
            true => rows.iter().position(|&value| !(fits(value) || value.is_nan())),
        };
        let Some(index) = fault else { return Ok(rows) };
        let (row, column) = (first + index / self.dimensions(), index % self.dimensions());
        Err(match rows[index] {
            value if value.is_finite() => Error::Magnitude { row, column, value },
            value => Error::NonFinite { row, column, value },
        })
    }

    fn nan_is_missing(&self) -> bool {
        self.0.nan_is_missing()
    }

    fn team(&self) -> Option<&dyn Team> {
        self.0.team()
    }
}

/// Returns an error if a table has returned more or fewer numbers than were asked for.
pub(super) fn check_length(rows: &[f64], expected: usize) -> Result<()> {
    match rows.len() {
        found if found == expected => Ok(()),
        found => Err(Error::Length { name: "a range of rows", expected, found }),
    }
}

/// Whether a number is small enough that its square, and sums of such squares, are finite.
pub(crate) fn fits(value: f64) -> bool {
    value.abs() <= 1e130
}

/// The most numbers between two selected rows that are read with them.
const GAP: usize = 512;

/// A table that consists of selected rows of another table.
struct Chosen<'a> {
    data: &'a dyn Rows,
    /// The indices of the rows, in ascending order.
    rows: Vec<usize>,
}

impl Rows for Chosen<'_> {
    fn samples(&self) -> usize {
        self.rows.len()
    }

    fn dimensions(&self) -> usize {
        self.data.dimensions()
    }

    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]> {
        let mut inner = RowBuffer { values: Vec::new(), bytes: std::mem::take(&mut buffer.bytes) };
        buffer.values.clear();
        // Rows that are near each other are read together.
        let columns = self.dimensions();
        for near in self.rows[range].chunk_by(|&row, &next| (next - row - 1) * columns <= GAP) {
            let (first, end) = (near[0], near[near.len() - 1] + 1);
            let values = self.data.read(first..end, &mut inner)?;
            check_length(values, (end - first) * columns)?;
            for row in near {
                buffer.values.extend_from_slice(&values[(row - first) * columns..][..columns]);
            }
        }
        buffer.bytes = inner.bytes;
        Ok(&buffer.values)
    }

    fn nan_is_missing(&self) -> bool {
        self.data.nan_is_missing()
    }

    fn team(&self) -> Option<&dyn Team> {
        self.data.team()
    }
}

/// The samples that count: those with a weight above 0 and at least one value.
///
/// Other samples are ignored, in sums and in random draws: results have the same bits without them. If all weights are 1,
/// the weights are dropped.
pub(crate) struct Weighted<'a> {
    /// The table with all of its rows.
    all: &'a dyn Rows,
    /// The rows that count, if some do not.
    chosen: Option<Chosen<'a>>,
    /// The weights of the samples that count; None if all are 1.
    weights: Option<Cow<'a, [f64]>>,
}

impl<'a> Weighted<'a> {
    /// # Errors
    ///
    /// Returns an error if there is not exactly one weight per sample, if a weight is negative, beyond 1e30 or NaN, if the
    /// weights of the samples that count add up to less than 1e-100, if no sample has a value, or if a table with missing
    /// values cannot be read.
    pub(crate) fn new(
        data: &'a dyn Rows,
        weights: Option<&'a [f64]>,
        threads: usize,
    ) -> Result<Weighted<'a>> {
        let mut samples = Weighted { all: data, chosen: None, weights: None };
        if let Some(weights) = weights {
            samples.check_length("sample_weights", weights.len())?;
            if let Some(index) = weights.iter().position(|weight| !(0.0..=1e30).contains(weight)) {
                return Err(Error::SampleWeight { index, value: weights[index] });
            }
        }
        let without = rows_without_values(data, threads)?;
        let counts = |row: usize| {
            weights.is_none_or(|weights| weights[row] > 0.0) && without.binary_search(&row).is_err()
        };
        if weights.is_some() || !without.is_empty() {
            let rows: Vec<usize> = (0..data.samples()).filter(|&row| counts(row)).collect();
            if rows.len() < data.samples() {
                samples.chosen = Some(Chosen { data, rows });
            }
        }
        let Some(weights) = weights else { return Ok(samples) };
        let weights = match &samples.chosen {
            None => Cow::Borrowed(weights),
            Some(chosen) => chosen.rows.iter().map(|&row| weights[row]).collect(),
        };
        let sum = weights.iter().sum::<f64>();
        // With a smaller sum, all products of weight and responsibility could underflow.
        if sum < 1e-100 && data.samples() > 0 {
            let expected = "at least 1e-100";
            return Err(Error::Setting { name: "the sum of sample_weights", expected, value: sum });
        }
        let counts_once = weights.iter().all(|&weight| weight == 1.0);
        samples.weights = (!counts_once).then_some(weights);
        Ok(samples)
    }

    /// Returns the samples that count.
    pub(crate) fn data(&self) -> &dyn Rows {
        self.chosen.as_ref().map_or(self.all, |chosen| chosen as &dyn Rows)
    }

    /// Returns the weights of the samples that count; None if all are 1.
    pub(crate) fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// Returns the sum of the weights: n if all are 1.
    pub(crate) fn total(&self) -> f64 {
        self.weights().map_or(self.data().samples() as f64, |weights| weights.iter().sum())
    }

    /// Checks that an argument has one item per sample of the whole table.
    pub(crate) fn check_length(&self, name: &'static str, found: usize) -> Result<()> {
        match self.all.samples() {
            expected if expected == found => Ok(()),
            expected => Err(Error::Length { name, expected, found }),
        }
    }

    /// Selects the items of the samples that count; `all` has one item per sample of the whole table.
    pub(crate) fn select<'b, T: Clone>(&self, all: &'b [T]) -> Cow<'b, [T]> {
        match &self.chosen {
            None => Cow::Borrowed(all),
            Some(chosen) => chosen.rows.iter().map(|&row| all[row].clone()).collect(),
        }
    }

    /// Checks all numbers of the table and computes the mean of the samples that count.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`ColumnScan::new`], or if a column has no value.
    pub(crate) fn scan(&self, threads: usize) -> Result<ColumnScan> {
        self.check_uncounted(threads)?;
        let scan = ColumnScan::new(self.data(), self.weights(), threads)?;
        match scan.mean.iter().position(|mean| mean.is_nan()) {
            Some(column) => Err(Error::NoValues { column }),
            None => Ok(scan),
        }
    }

    /// Checks the whole table if it has samples that do not count, because no other function reads these samples. A number that
    /// is not finite is an error at any weight; the error gives its row in the whole table.
    pub(crate) fn check_uncounted(&self, threads: usize) -> Result<()> {
        match self.chosen {
            Some(_) => ColumnScan::new(self.all, None, threads).map(drop),
            None => Ok(()),
        }
    }

    /// Checks that at least `wanted` samples count; `what` names the clusters or components that need them.
    pub(crate) fn check_enough(&self, what: &'static str, wanted: usize) -> Result<()> {
        let (counted, samples) = (self.data().samples(), self.all.samples());
        match wanted <= counted {
            true => Ok(()),
            false if counted == samples => Err(Error::TooFew { what, wanted, samples }),
            false => Err(Error::TooFewCounted { what, wanted, counted, samples }),
        }
    }

    /// Changes the index of a sample in an error to its row in the whole table.
    pub(crate) fn rename(&self, error: Error) -> Error {
        match (error, &self.chosen) {
            (Error::Impossible { index }, Some(chosen)) => Error::Impossible { index: chosen.rows[index] },
            (error, _) => error,
        }
    }
}

/// The result of a first pass over the data, which found all numbers valid.
#[derive(Debug, Clone)]
pub(crate) struct ColumnScan {
    /// The mean of each column over its values; NaN if there are none. A running sum is accurate enough, since the mean serves only as an origin.
    pub(crate) mean: Vec<f64>,
}

impl ColumnScan {
    /// Checks the samples and computes their mean, weighted if there are weights.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no samples or no columns. Also if a number is not finite or too large to be squared;
    /// the error names the first such number.
    pub(crate) fn new(data: &dyn Rows, weights: Option<&[f64]>, threads: usize) -> Result<ColumnScan> {
        let data = Checked::new(data)?;
        let dimensions = data.dimensions();
        let work = |buffer: &mut RowBuffer, range: Range<usize>| {
            let first = range.start;
            let rows = data.read(range, buffer)?.chunks_exact(dimensions);
            let weights = weights.map(|weights| &weights[first..]);
            let mut sums = ColumnSums::new(dimensions);
            match data.nan_is_missing() {
                false => sums.add(rows, weights),
                true => sums.add_observed(rows, weights),
            }
            Ok(sums)
        };
        let merge = |all: &mut ColumnSums, more: ColumnSums| all.merge(more);
        let sums = sum_rows(&data, threads, RowBuffer::default, work, merge)?;
        let sums = sums.unwrap_or_else(|| ColumnSums::new(dimensions));
        let total = weights.map_or(data.samples() as f64, |weights| weights.iter().sum());
        let mean = |column: usize| match sums.incomplete[column] {
            false => sums.values[column] / total,
            // 0 / 0 is NaN: the column has no value
            true => sums.values[column] / sums.observed[column],
        };
        Ok(ColumnScan { mean: (0..dimensions).map(mean).collect() })
    }
}

/// Sums over the values of each column (d).
struct ColumnSums {
    /// The weighted sum of the values.
    values: Vec<f64>,
    /// The sum of the weights of the samples that have a value; only for tables with missing values.
    observed: Vec<f64>,
    /// Whether a value is missing.
    incomplete: Vec<bool>,
}

message_of_fields! { ColumnSums { values, observed, incomplete } }

impl ColumnSums {
    fn new(dimensions: usize) -> ColumnSums {
        let zeros = vec![0.0; dimensions];
        ColumnSums { values: zeros.clone(), observed: zeros, incomplete: vec![false; dimensions] }
    }

    fn add<'a>(&mut self, rows: impl Iterator<Item = &'a [f64]>, weights: Option<&[f64]>) {
        for (sample, row) in rows.enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[sample]);
            self.values.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
        }
    }

    fn add_observed<'a>(&mut self, rows: impl Iterator<Item = &'a [f64]>, weights: Option<&[f64]>) {
        for (sample, row) in rows.enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[sample]);
            for (column, value) in row.iter().enumerate() {
                match value.is_nan() {
                    true => self.incomplete[column] = true,
                    false => {
                        self.values[column] += weight * value;
                        self.observed[column] += weight;
                    }
                }
            }
        }
    }

    fn merge(&mut self, more: ColumnSums) {
        self.values.iter_mut().zip(more.values).for_each(|(all, more)| *all += more);
        self.observed.iter_mut().zip(more.observed).for_each(|(all, more)| *all += more);
        self.incomplete.iter_mut().zip(more.incomplete).for_each(|(all, more)| *all |= more);
    }
}

/// Returns the indices of the rows in which every value is missing, in ascending order.
///
/// # Errors
///
/// Returns an error if all rows are such rows, or if the data cannot be read.
fn rows_without_values(data: &dyn Rows, threads: usize) -> Result<Vec<usize>> {
    let (samples, dimensions) = (data.samples(), data.dimensions());
    if !data.nan_is_missing() || samples == 0 || dimensions == 0 {
        return Ok(Vec::new());
    }
    let work = |buffer: &mut RowBuffer, range: Range<usize>| {
        let first = range.start;
        let rows = data.read(range, buffer)?.chunks_exact(dimensions).enumerate();
        Ok(rows.filter(|(_, row)| row.iter().all(|x| x.is_nan())).map(|(at, _)| first + at).collect())
    };
    let merge = |all: &mut Vec<usize>, more: Vec<usize>| all.extend(more);
    let without = sum_rows(data, threads, RowBuffer::default, work, merge)?.unwrap_or_default();
    match without.len() < samples {
        true => Ok(without),
        false => Err(Error::NoValues { column: 0 }),
    }
}
