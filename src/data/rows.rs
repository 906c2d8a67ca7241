//! Tables that are read by ranges of rows, so that they need not fit in memory.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::{ArrayBase, Data, Ix2};

use crate::compute::sum_chunks;
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

    /// Returns an error that names the first number that is not finite or is [too large](fits).
    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]> {
        let first = range.start;
        let rows = self.0.read(range, buffer)?;
        let Some(index) = rows.iter().position(|&value| !fits(value)) else { return Ok(rows) };
        let (row, column) = (first + index / self.dimensions(), index % self.dimensions());
        Err(match rows[index] {
            value if value.is_finite() => Error::Magnitude { row, column, value },
            value => Error::NonFinite { row, column, value },
        })
    }
}

/// Whether a number is small enough that its square, and sums of such squares, are finite.
pub(crate) fn fits(value: f64) -> bool {
    value.abs() <= 1e130
}

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
        // Adjacent rows are read together.
        for run in self.rows[range].chunk_by(|&row, &next| next == row + 1) {
            buffer.values.extend(self.data.read(run[0]..run[0] + run.len(), &mut inner)?);
        }
        buffer.bytes = inner.bytes;
        Ok(&buffer.values)
    }
}

/// The samples with a weight above 0.
///
/// Samples of weight 0 are ignored, in sums and in random draws: results have the same bits without them. If all weights
/// are 1, the weights are dropped.
pub(crate) struct Weighted<'a> {
    /// The table with all of its rows.
    all: &'a dyn Rows,
    /// The rows with a weight above 0, if some weights are 0.
    chosen: Option<Chosen<'a>>,
    /// The weights above 0; None if all are 1.
    weights: Option<Cow<'a, [f64]>>,
}

impl<'a> Weighted<'a> {
    /// # Errors
    ///
    /// Returns an error if there is not exactly one weight per sample, if a weight is negative, beyond 1e30 or NaN, or if
    /// the weights add up to less than 1e-100.
    pub(crate) fn new(data: &'a dyn Rows, weights: Option<&'a [f64]>) -> Result<Weighted<'a>> {
        let Some(weights) = weights else { return Ok(Weighted { all: data, chosen: None, weights: None }) };
        Weighted { all: data, chosen: None, weights: None }.check_length("sample_weights", weights.len())?;
        if let Some(index) = weights.iter().position(|weight| !(0.0..=1e30).contains(weight)) {
            return Err(Error::SampleWeight { index, value: weights[index] });
        }
        let sum = weights.iter().sum::<f64>();
        // With a smaller sum, all products of weight and responsibility could underflow.
        if sum < 1e-100 && !weights.is_empty() {
            let expected = "at least 1e-100";
            return Err(Error::Setting { name: "the sum of sample_weights", expected, value: sum });
        }
        let rows: Vec<usize> = (0..weights.len()).filter(|&row| weights[row] > 0.0).collect();
        let (chosen, weights) = match rows.len() == weights.len() {
            true => (None, Cow::Borrowed(weights)),
            false => {
                let weights = rows.iter().map(|&row| weights[row]).collect();
                (Some(Chosen { data, rows }), Cow::Owned(weights))
            }
        };
        let counts_once = weights.iter().all(|&weight| weight == 1.0);
        Ok(Weighted { all: data, chosen, weights: (!counts_once).then_some(weights) })
    }

    /// Returns the samples with a weight above 0.
    pub(crate) fn data(&self) -> &dyn Rows {
        self.chosen.as_ref().map_or(self.all, |chosen| chosen as &dyn Rows)
    }

    /// Returns the weights above 0; None if all are 1.
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

    /// Selects the items of the samples with a weight above 0; `all` has one item per sample of the whole table.
    pub(crate) fn select<'b, T: Clone>(&self, all: &'b [T]) -> Cow<'b, [T]> {
        match &self.chosen {
            None => Cow::Borrowed(all),
            Some(chosen) => chosen.rows.iter().map(|&row| all[row].clone()).collect(),
        }
    }

    /// Checks all numbers of the table and computes the mean of the samples with a weight above 0.
    pub(crate) fn scan(&self, threads: usize) -> Result<ColumnScan> {
        self.check_uncounted(threads)?;
        ColumnScan::new(self.data(), self.weights(), threads)
    }

    /// Checks the whole table if it has samples of weight 0, because no other function reads these samples. A number that
    /// is not finite is an error at any weight; the error gives its row in the whole table.
    pub(crate) fn check_uncounted(&self, threads: usize) -> Result<()> {
        match self.chosen {
            Some(_) => ColumnScan::new(self.all, None, threads).map(drop),
            None => Ok(()),
        }
    }

    /// Checks that there are at least `wanted` samples with a weight above 0; `what` names the clusters or components that need them.
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
    /// The mean of each column. A running sum is accurate enough, since the mean serves only as an origin.
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
        let sums = sum_chunks(
            chunk_ranges(&data),
            threads,
            RowBuffer::default,
            |buffer, range: Range<usize>| {
                let first = range.start;
                let mut sums = vec![0.0; dimensions];
                for (sample, row) in data.read(range, buffer)?.chunks_exact(dimensions).enumerate() {
                    let weight = weights.map_or(1.0, |weights| weights[first + sample]);
                    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
                }
                Ok(sums)
            },
            |total, sums| total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum),
        )?
        .unwrap_or_default();
        let total = weights.map_or(data.samples() as f64, |weights| weights.iter().sum());
        Ok(ColumnScan { mean: sums.into_iter().map(|sum| sum / total).collect() })
    }
}
