//! A table of numbers that is read by ranges of rows, so that it need not be in memory as a whole.

use std::ops::Range;

use ndarray::{ArrayBase, Data, Ix2};

use crate::compute::sum_chunks;
use crate::error::{Error, Result};

/// A table of n samples (rows) with d numbers each. Arrays in memory are one, and files: [`crate::data::npy::NpyFile`].
pub trait Rows: Sync {
    /// n, the number of samples.
    fn samples(&self) -> usize;

    /// d, the numbers of each sample.
    fn dimensions(&self) -> usize;

    /// The numbers of these samples, one sample after another: of the table itself where it holds them so, else copied to
    /// the buffer.
    ///
    /// # Errors
    ///
    /// What reading them brings. A range beyond the samples may panic.
    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]>;
}

/// Space that [`Rows::read`] may use; whoever reads many ranges passes the same one again.
#[derive(Debug, Default)]
pub struct RowBuffer {
    /// The numbers.
    pub values: Vec<f64>,
    /// The numbers as they lie in a file.
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

/// The number of samples of a chunk. It depends on nothing but d, so neither do the sums.
fn chunk_samples(dimensions: usize) -> usize {
    const NUMBERS: usize = 1 << 15; // 256 KiB: half of a core's second-level cache
    const MULTIPLE: usize = 64;
    (NUMBERS / dimensions.max(1) / MULTIPLE * MULTIPLE).clamp(MULTIPLE, 2048)
}

/// The number of chunks of a table.
pub(crate) fn chunk_count(data: &dyn Rows) -> usize {
    data.samples().div_ceil(chunk_samples(data.dimensions()))
}

/// The samples of a chunk.
pub(crate) fn chunk_range(data: &dyn Rows, chunk: usize) -> Range<usize> {
    let samples = chunk_samples(data.dimensions());
    chunk * samples..((chunk + 1) * samples).min(data.samples())
}

/// What one look at all the numbers finds: that they can be computed with, and their mean.
#[derive(Debug, Clone)]
pub(crate) struct Survey {
    /// Of each column, with the accuracy of a running sum: it serves as an origin.
    pub(crate) mean: Vec<f64>,
}

impl Survey {
    /// Whether the squares of such numbers, and their sums, are finite.
    pub(crate) fn fits(value: f64) -> bool {
        value.abs() <= 1e130
    }

    /// # Errors
    ///
    /// No samples, no columns, or a number that is not finite or whose square would not be: the first of them.
    pub(crate) fn new(data: &dyn Rows, threads: usize) -> Result<Survey> {
        let (samples, dimensions) = (data.samples(), data.dimensions());
        if samples == 0 {
            return Err(Error::Empty { what: "samples" });
        }
        if dimensions == 0 {
            return Err(Error::Empty { what: "columns" });
        }
        let sums = sum_chunks(
            0..chunk_count(data),
            threads,
            RowBuffer::default,
            |buffer, chunk| {
                let range = chunk_range(data, chunk);
                let first = range.start;
                let rows = data.read(range, buffer)?;
                let mut sums = vec![0.0; dimensions];
                for row in rows.chunks_exact(dimensions) {
                    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                }
                if let Some(index) = rows.iter().position(|&value| !Survey::fits(value)) {
                    let (row, column) = (first + index / dimensions, index % dimensions);
                    return Err(match rows[index] {
                        value if value.is_finite() => Error::Magnitude { row, column, value },
                        value => Error::NonFinite { row, column, value },
                    });
                }
                Ok(sums)
            },
            |total, sums| total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum),
        )?
        .unwrap_or_default();
        Ok(Survey { mean: sums.into_iter().map(|sum| sum / samples as f64).collect() })
    }
}
