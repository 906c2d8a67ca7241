//! The numbers of a fit: read from the files, or kept in binary form if the files are text.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use em_routing::data::npy::{self, NpyFile, Precision};
use em_routing::data::tables::Tables;
use em_routing::data::{RowBuffer, Rows};
use em_routing::error::{Error, Result};
use em_routing::ndarray::Array2;

use super::super::progress::{Board, Task};
use super::places::Places;

/// Tables of text up to this many bytes of numbers are held in memory, larger ones in a file.
const MEMORY: usize = 1 << 26;

/// The fields of text that are parsed at a time.
const PART: usize = 1 << 20;

/// The numbers that each iteration reads.
pub struct Numbers<'a> {
    table: &'a Tables,
    /// The rows of this process and their numbers, if they are text: in memory, or in a file that [`Places`] removes.
    copy: Option<(Range<usize>, Box<dyn Rows>)>,
}

impl Numbers<'_> {
    /// Parsing text in each iteration would take most of the time of a fit, so the rows of this process (`own`) are parsed
    /// once. Others are parsed each time that they are read.
    ///
    /// # Errors
    ///
    /// Returns an error if the table cannot be read, if the copy cannot be written, or after a signal to stop.
    pub fn new<'a>(
        table: &'a Tables,
        own: Range<usize>,
        places: &Places,
        board: &Board,
        stop: &AtomicUsize,
    ) -> Result<Numbers<'a>> {
        if !table.has_text() {
            return Ok(Numbers { table, copy: None });
        }
        let (samples, dimensions) = (own.len(), table.dimensions());
        let bytes = 8 * samples * dimensions;
        if bytes <= MEMORY {
            // by parts, since the text of all rows may be far larger than the numbers of a few columns
            let (mut numbers, mut buffer) = (Vec::with_capacity(samples * dimensions), RowBuffer::default());
            let rows = (PART / table.columns()).max(1);
            for first in own.clone().step_by(rows) {
                numbers.extend_from_slice(table.read(first..(first + rows).min(own.end), &mut buffer)?);
            }
            let numbers = Array2::from_shape_vec((samples, dimensions), numbers);
            let numbers = numbers.expect("`read` returns whole rows");
            return Ok(Numbers { table, copy: Some((own, Box::new(numbers))) });
        }
        let megabytes = bytes.div_ceil(1_000_000);
        board.say(&format!(
            "  the text is parsed once: {} holds its numbers ({megabytes} MB) until the fit ends",
            places.numbers.display()
        ));
        let task = Mutex::new(board.task("parsing the text"));
        npy::write(
            &places.numbers,
            &Shown { table, own: own.clone(), task: &task, stop, copy: &places.numbers },
            Precision::F64,
        )?;
        let file = NpyFile::open(&places.numbers)?;
        // On Unix the open file stays readable without a name, and the disk is free again even after a kill.
        #[cfg(unix)]
        places.remove_numbers();
        Ok(Numbers { table, copy: Some((own, Box::new(file))) })
    }
}

impl Rows for Numbers<'_> {
    fn samples(&self) -> usize {
        self.table.samples()
    }

    fn dimensions(&self) -> usize {
        self.table.dimensions()
    }

    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]> {
        match &self.copy {
            Some((own, copy)) if own.start <= range.start && range.end <= own.end => {
                copy.read(range.start - own.start..range.end - own.start, buffer)
            }
            _ => self.table.read(range, buffer),
        }
    }
}

/// A table that shows how much of it has been read. After a signal it cannot be read any more, so that its copy is removed.
struct Shown<'a> {
    table: &'a Tables,
    /// The rows that are shown.
    own: Range<usize>,
    task: &'a Mutex<Task>,
    stop: &'a AtomicUsize,
    copy: &'a Path,
}

impl Rows for Shown<'_> {
    fn samples(&self) -> usize {
        self.own.len()
    }

    fn dimensions(&self) -> usize {
        self.table.dimensions()
    }

    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]> {
        if self.stop.load(Ordering::Relaxed) > 0 {
            let (path, source) = (self.copy.to_path_buf(), ErrorKind::Interrupted.into());
            return Err(Error::Io { path, source });
        }
        if let Ok(mut task) = self.task.lock() {
            task.at(range.end, self.samples(), "rows");
        }
        self.table.read(self.own.start + range.start..self.own.start + range.end, buffer)
    }
}
