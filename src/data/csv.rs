//! CSV files: tables of numbers as text, read by ranges of rows, which may be larger than memory (feature `csv`).
//!
//! [`CsvFile::open`] opens a file for any fit; [`write()`] writes a table. The fields are separated by commas, semicolons or
//! tabs and may be quoted. A first record with a field that is neither a number nor missing is a header. A field that is
//! empty, `NA` or `NaN` is missing and is read as NaN. Blank lines are skipped. A field in quotes may span 100 lines.

use std::fmt::Formatter;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek as _, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder, WriterBuilder};

use crate::data::npy::read_exact_at;
use crate::data::plain::in_shell;
use crate::data::rows::chunk_samples;
use crate::data::{RowBuffer, Rows, chunk_ranges, looks_like, open};
use crate::error::{Error, Result};
use crate::files;

/// The bytes at the start of a file that show its separator.
const BEGIN: u64 = 1 << 16;

/// The records that show the separator.
const SHOWING: usize = 20;

/// The buffer of the first pass over a file.
const BUFFER: usize = 1 << 20;

/// The lines that a quoted field may span.
const QUOTED_LINES: u64 = 100;

/// The reason why a file cannot be read as a table.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message beside each variant says what its fields are")]
#[non_exhaustive]
pub enum Fault {
    /// A file of another format, recognised by its first bytes.
    #[error("not a CSV file: it looks like {looks_like}")]
    Foreign { looks_like: &'static str },
    /// A file with bytes that text does not have.
    #[error("not a CSV file: it has bytes that are no text")]
    Binary,
    /// A file without a row of fields.
    #[error("has no rows of numbers")]
    Empty,
    /// A field that is no number; lines and columns count from 1.
    #[error(fmt = cell_in_words)]
    Cell { line: u64, column: usize, name: Option<String>, text: String },
    /// A line with more or fewer fields than the first.
    #[error("line {line} has {found} fields, but the first line has {expected}")]
    Fields { line: u64, found: usize, expected: usize },
    /// A quote without its end, which would make one field of all rows after it.
    #[error("the quote that opens on line {line} is not closed (a field may span {QUOTED_LINES} lines)")]
    Quote { line: u64 },
}

fn cell_in_words(
    line: &u64,
    column: &usize,
    name: &Option<String>,
    text: &str,
    f: &mut Formatter<'_>,
) -> std::fmt::Result {
    let name = name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    write!(f, "line {line}, column {column}{name} is {text:?}, which is not a number")
}

/// What a column holds that is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Survey {
    /// The number of missing fields.
    pub missing: usize,
    /// The number of fields that are neither numbers nor missing.
    pub words: usize,
}

/// The place of a record in the file.
#[derive(Debug, Clone, Copy)]
struct Place {
    byte: u64,
    /// Counts from 1.
    line: u64,
}

/// A table in a CSV file. It implements [`Rows`]: pass it to a fit like an array.
///
/// Memory holds the places of some rows, not the numbers. Each [`Rows::read`] parses its rows again, so write a table that is
/// read many times to a `.npy` file ([`npy::write`](crate::data::npy::write)).
///
/// ```
/// use em_routing::prelude::*;
/// # let path = std::env::temp_dir().join(format!("em-routing-doc-{}.csv", std::process::id()));
/// std::fs::write(&path, "x,y\n1,2\n3,NA\n").unwrap();
/// let table = data::csv::CsvFile::open(&path)?;
/// assert_eq!((table.samples(), table.dimensions()), (2, 2));
/// assert_eq!(table.names().unwrap(), ["x", "y"]);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), em_routing::error::Error>(())
/// ```
#[derive(Debug)]
pub struct CsvFile {
    path: PathBuf,
    file: File,
    delimiter: u8,
    names: Option<Vec<String>>,
    /// The number of fields of each record.
    fields: usize,
    /// The columns that are read, counted from 0.
    chosen: Vec<usize>,
    samples: usize,
    /// The places of the rows 0, `stride`, 2 `stride`, …, and of the end of the file.
    index: Vec<Place>,
    stride: usize,
}

impl CsvFile {
    /// Opens a file, finds its separator and header, and reads it once to check that all lines have as many fields.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, or is no table ([`Fault`]). Fields are checked when they are read.
    pub fn open(path: impl AsRef<Path>) -> Result<CsvFile> {
        let path = path.as_ref();
        let fault = |fault: Fault| Error::file(path, fault);
        let file = open(path)?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        let mut begin = Vec::new();
        let mut size = BEGIN;
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        // the first line may be long, if it names thousands of columns
        while begin.len() < length as usize && !begin.iter().any(is_end) {
            begin.resize(length.min(size) as usize, 0);
            read_exact_at(&file, &mut begin, 0).map_err(Error::io(path))?;
            if begin.contains(&0) {
                break;
            }
            size *= 4;
        }
        if let Some(looks_like) = looks_like(&begin) {
            return Err(fault(Fault::Foreign { looks_like }));
        }
        if begin.contains(&0) {
            return Err(fault(Fault::Binary));
        }
        if (begin.len() as u64) < length {
            // the last line may be cut
            let end = begin.iter().rposition(is_end).map_or(begin.len(), |at| at + 1);
            begin.truncate(end);
        }
        let delimiter = delimiter(&begin);
        let mut first = records(&begin, delimiter);
        first.truncate(1);
        let first = first.pop().ok_or_else(|| fault(Fault::Empty))?;
        let is_header = first.iter().any(|field| parse(field).is_none());
        let names = || first.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
        let names: Option<Vec<String>> = is_header.then(names);
        let (fields, path) = (first.len(), path.to_path_buf());
        let (chosen, stride) = ((0..fields).collect(), chunk_samples(fields));
        let mut table =
            CsvFile { path, file, delimiter, names, fields, chosen, samples: 0, index: Vec::new(), stride };
        table.find_rows(length)?;
        match table.samples {
            0 => Err(table.fault(Fault::Empty)),
            _ => Ok(table),
        }
    }

    /// Finds the places of the rows, and checks their numbers of fields.
    fn find_rows(&mut self, length: u64) -> Result<()> {
        let mut file = self.file.try_clone().map_err(Error::io(&self.path))?;
        // on Windows, reading the file's begin has moved its cursor
        file.rewind().map_err(Error::io(&self.path))?;
        let quotes = Quotes { file, delimiter: self.delimiter, at: At::Begin, line: 1, opened: 1 };
        let mut reader = builder(self.delimiter).buffer_capacity(BUFFER).from_reader(quotes);
        let mut record = ByteRecord::new();
        let mut is_header = self.names.is_some();
        let mut last = 1;
        loop {
            let more = reader.read_byte_record(&mut record);
            if reader.get_ref().at == At::Unclosed {
                return Err(self.fault(Fault::Quote { line: reader.get_ref().opened }));
            }
            if !more.map_err(|error| self.unreadable(error))? {
                break;
            }
            let Some(place) = record.position() else { break };
            let place = Place { byte: place.byte(), line: place.line() };
            if record.len() != self.fields {
                let (found, expected) = (record.len(), self.fields);
                return Err(self.fault(Fault::Fields { line: place.line, found, expected }));
            }
            if std::mem::take(&mut is_header) {
                continue;
            }
            if self.samples.is_multiple_of(self.stride) {
                self.index.push(place);
            }
            self.samples += 1;
            last = place.line;
        }
        self.index.push(Place { byte: length, line: last + 1 });
        Ok(())
    }

    /// Returns the names of all columns of the file; None if it has no header.
    pub fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// Returns the number of all columns of the file.
    pub fn columns(&self) -> usize {
        self.fields
    }

    /// Selects the columns (counted from 0) that [`Rows::read`] returns, in this order. The fields of others may be no
    /// numbers.
    ///
    /// # Panics
    ///
    /// Panics if the file has no such column.
    pub fn select(&mut self, columns: &[usize]) {
        assert!(columns.iter().all(|&column| column < self.fields), "there are only {} columns", self.fields);
        self.chosen = columns.to_vec();
    }

    /// Returns the line, counted from 1, on which a row begins.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read.
    ///
    /// # Panics
    ///
    /// Panics if `row` is out of range.
    pub fn line(&self, row: usize) -> Result<u64> {
        assert!(row < self.samples, "row {row} of {} rows", self.samples);
        let mut line = 0;
        let mut bytes = Vec::new();
        self.each_record(row..row + 1, &mut bytes, |_, at| {
            line = at;
            Ok(())
        })?;
        Ok(line)
    }

    /// Reads the whole file and counts, for each column, the fields that are no numbers.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read.
    pub fn survey(&self) -> Result<Vec<Survey>> {
        let mut found = vec![Survey::default(); self.fields];
        let mut bytes = Vec::new();
        for first in (0..self.samples).step_by(self.stride) {
            self.each_record(first..(first + self.stride).min(self.samples), &mut bytes, |record, _| {
                for (found, field) in found.iter_mut().zip(record) {
                    match parse(field) {
                        None => found.words += 1,
                        Some(value) => found.missing += usize::from(value.is_nan()),
                    }
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Passes each record of a range of rows to `each`, with its line.
    fn each_record(
        &self,
        range: Range<usize>,
        bytes: &mut Vec<u8>,
        mut each: impl FnMut(&ByteRecord, u64) -> Result<()>,
    ) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let (first, end) = (range.start / self.stride, range.end.div_ceil(self.stride));
        let (from, to) = (self.index[first], self.index[end]);
        bytes.resize((to.byte - from.byte) as usize, 0);
        read_exact_at(&self.file, bytes, from.byte).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => self.changed(),
            _ => Error::io(&self.path)(source),
        })?;
        let mut reader = builder(self.delimiter).from_reader(&bytes[..]);
        let mut record = ByteRecord::new();
        for row in first * self.stride..range.end {
            let more = reader.read_byte_record(&mut record).map_err(|error| self.unreadable(error))?;
            if !more || record.len() != self.fields {
                return Err(self.changed());
            }
            if row >= range.start {
                let line = record.position().map_or(1, csv::Position::line);
                each(&record, from.line + line - 1)?;
            }
        }
        Ok(())
    }

    fn fault(&self, fault: Fault) -> Error {
        let remedy = match &fault {
            Fault::Cell { text, .. } => remedy(&self.path, text),
            _ => None,
        };
        Error::File { path: self.path.clone(), source: fault.into(), remedy }
    }

    fn changed(&self) -> Error {
        Error::io(&self.path)(std::io::Error::other("has changed since it was opened"))
    }

    fn unreadable(&self, error: csv::Error) -> Error {
        Error::io(&self.path)(error.into())
    }
}

impl Rows for CsvFile {
    fn samples(&self) -> usize {
        self.samples
    }

    fn dimensions(&self) -> usize {
        self.chosen.len()
    }

    /// Returns an error that names the first field that is neither a number nor missing. Missing fields are NaN.
    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]> {
        assert!(range.end <= self.samples, "there are only {} samples", self.samples);
        let RowBuffer { values, bytes } = buffer;
        values.clear();
        self.each_record(range, bytes, |record, line| {
            for &column in &self.chosen {
                let field = &record[column];
                values.push(parse(field).ok_or_else(|| {
                    let name = self.names.as_ref().map(|names| names[column].clone());
                    let text = String::from_utf8_lossy(field).trim().chars().take(100).collect();
                    self.fault(Fault::Cell { line, column: column + 1, name, text })
                })?);
            }
            Ok(())
        })?;
        Ok(values)
    }
}

/// Where in a field the last byte was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the field.
    Begin,
    Unquoted,
    Quoted,
    /// At a quote within quotes: the end, or the first of two that stand for one.
    Quote,
    /// Behind a fault.
    Unclosed,
}

/// A file that ends at an unclosed quote, which the parser would follow to the end of the file.
struct Quotes {
    file: File,
    delimiter: u8,
    at: At,
    /// Counts from 1.
    line: u64,
    /// The line of the last opening quote.
    opened: u64,
}

impl Quotes {
    fn step(&mut self, byte: u8) {
        let spans = self.line - self.opened;
        self.at = match (self.at, byte) {
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) if spans >= QUOTED_LINES => At::Unclosed,
            (At::Quoted, _) | (At::Quote, b'"') => At::Quoted,
            (At::Unclosed, _) => At::Unclosed,
            (_, b'\n' | b'\r') => At::Begin,
            (_, byte) if byte == self.delimiter => At::Begin,
            (At::Begin, b'"') => {
                self.opened = self.line;
                At::Quoted
            }
            // the byte order mark of a file from Windows
            (At::Begin, b'\xef' | b'\xbb' | b'\xbf') => At::Begin,
            // on a later line, this quote opens the next field: that one's opening quote has closed this field
            (At::Quote, _) if spans > 0 => At::Unclosed,
            _ => At::Unquoted,
        };
        self.line += u64::from(byte == b'\n');
    }
}

impl Read for Quotes {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == At::Unclosed {
            return Ok(0);
        }
        let count = self.file.read(buffer)?;
        buffer[..count].iter().for_each(|&byte| self.step(byte));
        if count == 0 && self.at == At::Quoted {
            self.at = At::Unclosed;
        }
        Ok(count)
    }
}

fn builder(delimiter: u8) -> ReaderBuilder {
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(delimiter);
    builder
}

/// Returns the first records.
fn records(bytes: &[u8], delimiter: u8) -> Vec<ByteRecord> {
    let reader = builder(delimiter).from_reader(bytes);
    reader.into_byte_records().take(SHOWING).map_while(std::result::Result::ok).collect()
}

/// Finds the separator by the first records: tab, semicolon or comma, the first of them that splits all records into equally
/// many fields. The comma is tried last, because beside another separator it may be the decimal point. If none splits them
/// evenly, it is the one that splits the first record most.
fn delimiter(begin: &[u8]) -> u8 {
    const CANDIDATES: [u8; 3] = [b'\t', b';', b','];
    let fields =
        |delimiter| -> Vec<usize> { records(begin, delimiter).iter().map(ByteRecord::len).collect() };
    let even = |delimiter: &u8| {
        let fields = fields(*delimiter);
        fields.first().is_some_and(|&first| first > 1 && fields.iter().all(|&count| count == first))
    };
    let most = |delimiter: &u8| fields(*delimiter).first().copied();
    CANDIDATES.into_iter().find(even).or_else(|| CANDIDATES.into_iter().max_by_key(most)).unwrap_or(b',')
}

/// Parses a field: a number, NaN if it is missing, or None if it is something else.
fn parse(field: &[u8]) -> Option<f64> {
    let field = field.trim_ascii();
    if field.is_empty() || field.eq_ignore_ascii_case(b"NA") {
        return Some(f64::NAN);
    }
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Returns how to fix a file whose numbers or missing values are written in another way.
fn remedy(path: &Path, text: &str) -> Option<String> {
    let is_number = |text: &str| text.parse::<f64>().is_ok();
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push("-fixed.csv");
    let (file, fixed) = (in_shell(path), in_shell(&path.with_file_name(name)));
    if is_number(&text.replacen(',', ".", 1)) {
        return Some(format!("write a point for the decimal comma: tr , . < {file} > {fixed}"));
    }
    if text.split_whitespace().count() > 1 && text.split_whitespace().all(is_number) {
        return Some(format!(
            "separate the columns by commas: sed -E 's/^ +//; s/ +$//; s/ +/,/g' {file} > {fixed}"
        ));
    }
    let is_missing = |mark: &&str| text.eq_ignore_ascii_case(mark);
    if ["null", "none", "n/a", "#n/a", "nil", "-", "?", "."].iter().any(is_missing) {
        return Some("if it is missing, leave the field empty or write NA".to_owned());
    }
    None
}

/// Writes a table as a CSV file with commas, atomically ([`files`]). `names` are written as the header. A number is written
/// with the fewest digits that give the same number again, NaN as an empty field.
///
/// # Errors
///
/// Returns an error if there is not one name for each column, if there are no columns, if the table cannot be read, or if the file cannot be written.
pub fn write(path: impl AsRef<Path>, names: Option<&[String]>, data: &dyn Rows) -> Result<()> {
    let (path, dimensions) = (path.as_ref(), data.dimensions());
    if let Some(names) = names.filter(|names| names.len() != dimensions) {
        return Err(Error::Length { name: "the header", expected: dimensions, found: names.len() });
    }
    if dimensions == 0 {
        return Err(Error::Empty { what: "columns" });
    }
    files::write_with(path, |file| {
        let failed = |error: csv::Error| Error::io(path)(error.into());
        let mut writer = WriterBuilder::new().from_writer(file);
        if let Some(names) = names {
            writer.write_record(names).map_err(failed)?;
        }
        let (mut buffer, mut record, mut field) = (RowBuffer::default(), ByteRecord::new(), Vec::new());
        for range in chunk_ranges(data) {
            for row in data.read(range, &mut buffer)?.chunks_exact(dimensions) {
                record.clear();
                for &value in row {
                    field.clear();
                    // `{:?}` has an exponent for very large and very small numbers, but writes 2 as 2.0
                    let written = match value {
                        value if value.is_nan() => Ok(()),
                        value if value.fract() == 0.0 && value.abs() < 1e15 => write!(field, "{value}"),
                        value => write!(field, "{value:?}"),
                    };
                    written.map_err(Error::io(path))?;
                    record.push_field(&field);
                }
                writer.write_byte_record(&record).map_err(failed)?;
            }
        }
        writer.flush().map_err(Error::io(path))
    })
}
