//! Several files as one table (feature `csv`).

use std::fmt::{Display, Formatter};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::data::csv::{CsvFile, Survey};
use crate::data::npy::NpyFile;
use crate::data::{RowBuffer, Rows, count_missing};
use crate::error::{Error, Result};

/// The reason why files are not one table.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message beside each variant says what its fields are")]
#[non_exhaustive]
pub enum Fault {
    /// A file with more or fewer columns than the first.
    #[error("has {found} columns, but {} has {expected}", .first.display())]
    Columns { found: usize, expected: usize, first: PathBuf },
    /// A file whose column has another name than in the first; columns count from 1.
    #[error("its column {column} is named {found:?}, but {expected:?} in {}", .first.display())]
    Name { column: usize, found: String, expected: String, first: PathBuf },
}

/// A file of a table.
#[derive(Debug)]
enum Source {
    Npy(NpyFile),
    Csv(CsvFile),
}

/// The rows of one or more files, `.npy`, `.npz` or CSV, one after another. The columns of all files must agree.
///
/// ```no_run
/// use em_routing::prelude::*;
/// let mut table = data::tables::Tables::open(&["2023.csv".into(), "2024.csv".into()], None)?;
/// table.select(&[0, 2]);
/// let fit = KMeans::fit(&table, &KMeansOptions { clusters: 16, ..Default::default() })?;
/// # Ok::<(), em_routing::error::Error>(())
/// ```
#[derive(Debug)]
pub struct Tables {
    files: Vec<(PathBuf, Source)>,
    /// The row of the table at which each file begins, and the number of all rows.
    starts: Vec<usize>,
    names: Option<Vec<String>>,
    /// The number of all columns.
    columns: usize,
    chosen: Vec<usize>,
}

/// The place of a number in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line of a CSV file, counted from 1.
    pub line: Option<u64>,
    /// The row of the file, counted from 0.
    pub row: usize,
    /// The column of the file, counted from 0.
    pub column: usize,
    /// The name of the column.
    pub name: Option<String>,
}

impl Display for Place {
    /// Rows and columns are shown from 1 on.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Place { path, line, row, column, name } = self;
        match line {
            Some(line) => write!(f, "{}: line {line}, column {}", path.display(), column + 1)?,
            None => write!(f, "{}: row {}, column {} (counted from 1)", path.display(), row + 1, column + 1)?,
        }
        name.as_ref().map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

impl Tables {
    /// Opens the files. `array` names the array of `.npz` files that hold several.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no files, if one cannot be read or is no table, or if their columns do not agree
    /// ([`Fault`]).
    pub fn open(paths: &[PathBuf], array: Option<&str>) -> Result<Tables> {
        let mut files: Vec<(PathBuf, Source)> = Vec::new();
        for path in paths {
            files.push((path.clone(), Source::open(path, array)?));
        }
        let (first, source) = files.first().ok_or(Error::Empty { what: "files" })?;
        let expected = source.columns();
        for (path, source) in &files {
            let found = source.columns();
            if found != expected {
                return Err(Error::file(path, Fault::Columns { found, expected, first: first.clone() }));
            }
        }
        let mut named = files.iter().filter_map(|(path, source)| Some((path, source.names()?)));
        let names = named.next().map(|(first, names)| (first.clone(), names.to_vec()));
        if let Some((first, names)) = &names {
            for (path, found) in named {
                if let Some(column) = (0..names.len()).find(|&column| names[column] != found[column]) {
                    let (found, expected) = (found[column].clone(), names[column].clone());
                    let fault = Fault::Name { column: column + 1, found, expected, first: first.clone() };
                    return Err(Error::file(path, fault));
                }
            }
        }
        let ends = files.iter().scan(0, |rows, (_, source)| {
            *rows += source.rows().samples();
            Some(*rows)
        });
        let starts = std::iter::once(0).chain(ends).collect();
        let names = names.map(|(_, names)| names);
        Ok(Tables { files, starts, names, columns: expected, chosen: (0..expected).collect() })
    }

    /// Returns the names of all columns; None if no file has a header.
    pub fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// Returns the number of all columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Whether a file is text, so that each reading parses it again.
    pub fn has_text(&self) -> bool {
        self.files.iter().any(|(_, source)| matches!(source, Source::Csv(_)))
    }

    /// Selects the columns (counted from 0) that the table consists of, in this order.
    ///
    /// # Panics
    ///
    /// Panics if there is no such column.
    pub fn select(&mut self, columns: &[usize]) {
        assert!(columns.iter().all(|&column| column < self.columns), "there are {} columns", self.columns);
        self.chosen = columns.to_vec();
        for (_, source) in &mut self.files {
            if let Source::Csv(file) = source {
                file.select(columns);
            }
        }
    }

    /// Returns the index of the file that holds a row.
    fn file_of(&self, row: usize) -> usize {
        let begun = self.starts.partition_point(|&start| start <= row);
        begun.saturating_sub(1).min(self.files.len() - 1)
    }

    /// Returns the place of a number of the table.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be read.
    ///
    /// # Panics
    ///
    /// Panics if `row` or `column` is out of range.
    pub fn place(&self, row: usize, column: usize) -> Result<Place> {
        assert!(row < self.samples() && column < self.dimensions(), "place {row}, {column} of the table");
        let file = self.file_of(row);
        let (path, source) = &self.files[file];
        let (row, column) = (row - self.starts[file], self.chosen[column]);
        let line = match source {
            Source::Csv(file) => Some(file.line(row)?),
            Source::Npy(_) => None,
        };
        let name = self.names.as_ref().map(|names| names[column].clone());
        Ok(Place { path: path.clone(), line, row, column, name })
    }

    /// Reads all files and counts, for each of all columns, the numbers that are missing, and the fields that are no numbers.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be read.
    pub fn survey(&self) -> Result<Vec<Survey>> {
        let mut found = vec![Survey::default(); self.columns];
        for (_, source) in &self.files {
            let of_file = match source {
                Source::Csv(file) => file.survey()?,
                Source::Npy(file) => {
                    let missing = count_missing(file)?.into_iter();
                    missing.map(|missing| Survey { missing, ..Survey::default() }).collect()
                }
            };
            for (found, more) in found.iter_mut().zip(of_file) {
                found.missing += more.missing;
                found.words += more.words;
            }
        }
        Ok(found)
    }
}

impl Source {
    fn open(path: &Path, array: Option<&str>) -> Result<Source> {
        use std::io::Read as _;
        let mut begin = Vec::new();
        super::open(path)?.take(4).read_to_end(&mut begin).map_err(Error::io(path))?;
        Ok(match (&begin[..], array) {
            (b"PK\x03\x04" | b"PK\x05\x06", Some(name)) => Source::Npy(NpyFile::open_member(path, name)?),
            (b"\x93NUM" | b"PK\x03\x04" | b"PK\x05\x06", _) => Source::Npy(NpyFile::open(path)?),
            _ => Source::Csv(CsvFile::open(path)?),
        })
    }

    fn rows(&self) -> &dyn Rows {
        match self {
            Source::Npy(file) => file,
            Source::Csv(file) => file,
        }
    }

    fn columns(&self) -> usize {
        match self {
            Source::Npy(file) => file.dimensions(),
            Source::Csv(file) => file.columns(),
        }
    }

    fn names(&self) -> Option<&[String]> {
        match self {
            Source::Npy(_) => None,
            Source::Csv(file) => file.names(),
        }
    }
}

impl Rows for Tables {
    fn samples(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    fn dimensions(&self) -> usize {
        self.chosen.len()
    }

    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]> {
        assert!(range.end <= self.samples(), "there are only {} samples", self.samples());
        let whole = self.chosen.iter().copied().eq(0..self.columns);
        let file = self.file_of(range.start);
        if range.end <= self.starts[file + 1] && (whole || matches!(self.files[file].1, Source::Csv(_))) {
            let start = self.starts[file];
            return self.files[file].1.rows().read(range.start - start..range.end - start, buffer);
        }
        let mut inner = RowBuffer { values: Vec::new(), bytes: std::mem::take(&mut buffer.bytes) };
        buffer.values.clear();
        for ((_, source), ends) in self.files.iter().zip(self.starts.windows(2)) {
            let part = range.start.max(ends[0])..range.end.min(ends[1]);
            if part.is_empty() {
                continue;
            }
            let rows = source.rows().read(part.start - ends[0]..part.end - ends[0], &mut inner)?;
            match source {
                Source::Npy(_) if !whole => {
                    for row in rows.chunks_exact(self.columns) {
                        buffer.values.extend(self.chosen.iter().map(|&column| row[column]));
                    }
                }
                _ => buffer.values.extend(rows),
            }
        }
        buffer.bytes = inner.bytes;
        Ok(&buffer.values)
    }
}
