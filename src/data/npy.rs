//! `.npy` files and the arrays of `.npz` files: tables read by ranges of rows, which may be larger than memory.
//!
//! [`NpyFile::open`] opens a file for any fit; [`write()`] writes a table. A table may have any real type of numpy except
//! `longdouble`: `bool`, integers of 8 to 64 bits, floats of 16 to 64 bits, in either byte order, by rows (C) or by columns
//! (Fortran). All numbers are converted to `f64`; integers beyond 2^53 are rounded to the nearest `f64`, as by numpy's
//! `astype("f8")`.

mod archive;
mod header;

use std::fmt::Formatter;
use std::fs::File;
use std::io::{Error as IoError, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use self::archive::Archive;
use self::header::{Header, Number};
use crate::data::plain::{self, in_python, looks_like};
use crate::data::rows::check_length;
use crate::data::{RowBuffer, Rows, chunk_ranges};
use crate::error::{Error, Result};
use crate::files;

/// The maximum length of a header in bytes. Numpy's own reader accepts 10,000.
const MOST_HEADER: u64 = 1 << 20;

/// The precision of the numbers in a written file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// `<f8`
    #[default]
    F64,
    /// `<f4`
    F32,
}

impl Precision {
    fn descriptor(self) -> &'static str {
        match self {
            Precision::F64 => "<f8",
            Precision::F32 => "<f4",
        }
    }
}

/// The reason why a file, or an array of a `.npz` file, cannot be read as a table.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message beside each variant says what its fields are")]
#[non_exhaustive]
pub enum Fault {
    /// A file of an unknown format.
    #[error("not a .npy file: it does not begin with the bytes \\x93NUMPY")]
    Magic,
    /// A file of another format, recognised by its first bytes.
    #[error("not a .npy file: it looks like {looks_like}")]
    Foreign { looks_like: &'static str },
    /// A table as text.
    #[error("not a .npy file: it looks like text{}", between(.delimiter))]
    Text {
        /// The separator of the numbers; None if there is one number per line or spaces separate them.
        delimiter: Option<char>,
        /// Whether the first line names the columns.
        header: bool,
    },
    /// A version of the format that numpy does not have.
    #[error("version {major} of the .npy format is unknown; versions 1 to 3 are read")]
    Version { major: u8 },
    /// A header that cannot be parsed; `text` is at most its first 200 characters.
    #[error("the header cannot be parsed: {text}")]
    Header { text: String },
    /// An array whose items are not numbers of a supported type. The descriptor is numpy's name of the type.
    #[error("holds {} ({descriptor}), but real numbers of at most 64 bits are needed", kind_in_words(.descriptor))]
    Kind { descriptor: String },
    /// An array that does not have two dimensions, or is too large for any file.
    #[error(fmt = dimensions_in_words)]
    Dimensions {
        /// Sizes above `usize::MAX` are given as `usize::MAX`.
        shape: Vec<usize>,
    },
    /// A file shorter than its header says.
    #[error("is cut off: {found} bytes, but its header promises {expected}")]
    Truncated { expected: u64, found: u64 },
    /// A truncated or damaged `.npz` file.
    #[error("a damaged zip archive: {message}")]
    Archive { message: &'static str },
    /// A `.npz` file without the requested array, or with several arrays if none was requested.
    #[error(fmt = members_in_words)]
    Members { wanted: Option<String>, names: Vec<String> },
    /// An array requested by name from a `.npy` file, which holds a single array without a name.
    #[error("a .npy file, which holds one array without a name: open it without a name (NpyFile::open)")]
    NoMembers,
    /// An array that needs a password.
    #[error("is encrypted; unpack the file with its password (unzip, 7z)")]
    Encrypted,
    /// A compressed array that is damaged.
    #[error("is damaged and cannot be unpacked: {source}")]
    Unpack { source: IoError },
    /// An array with another compression method than stored (0) or deflated (8).
    #[error(
        "uses compression method {method} of the zip format, but only 0 (stored) and 8 (deflated) are supported"
    )]
    Compression { method: u16 },
    /// A deflated array that is too large to be unpacked into memory.
    #[error(
        "has {bytes} bytes unpacked, but a compressed array may have at most {most}; an uncompressed one may be larger"
    )]
    Large { bytes: u64, most: u64 },
}

/// The fault of one array of a `.npz` file.
#[derive(Debug, thiserror::Error)]
#[error("its array {name:?}: {fault}")]
pub struct MemberFault {
    /// The name of the array.
    pub name: String,
    /// The reason why the array cannot be read.
    #[source]
    pub fault: Fault,
}

/// Makes the error of a file; `member` names the array of a `.npz` file that has the fault.
fn error(path: &Path, member: Option<&str>, fault: Fault) -> Error {
    let loaded = |more: &str| {
        let member = member.map(|name| format!("[{}]", in_python(name.as_ref()))).unwrap_or_default();
        format!("numpy.load({}{more}){member}", in_python(path))
    };
    let remedy = python(path, &fault, &loaded).map(|python| format!("in Python: {python}"));
    let source = match member {
        Some(name) => MemberFault { name: name.to_owned(), fault }.into(),
        None => fault.into(),
    };
    Error::File { path: path.to_path_buf(), source, remedy }
}

/// Describes the separator of a text table.
fn between(delimiter: &Option<char>) -> &'static str {
    match delimiter {
        Some(',') => " with commas (CSV)",
        Some(';') => " with semicolons (CSV)",
        Some('\t') => " with tabs (TSV)",
        _ => "",
    }
}

fn dimensions_in_words(shape: &[usize], f: &mut Formatter<'_>) -> std::fmt::Result {
    match shape.len() {
        2 => {
            write!(
                f,
                "has the shape {shape:?}, which are more numbers than any file holds: the header is damaged"
            )
        }
        count => {
            let s = if count == 1 { "" } else { "s" };
            write!(f, "has {count} dimension{s} (shape {shape:?}), but a table of rows and columns has 2")
        }
    }
}

fn members_in_words(wanted: &Option<String>, names: &[String], f: &mut Formatter<'_>) -> std::fmt::Result {
    if names.is_empty() {
        let wanted = wanted.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
        return write!(f, "a zip archive without numpy arrays, so it has no array{wanted}");
    }
    match wanted {
        Some(wanted) => write!(f, "has no array {wanted:?}; there are: ")?,
        None => write!(f, "holds {} arrays; name one of them (open_member): ", names.len())?,
    }
    let shown: Vec<String> = names.iter().take(20).map(|name| format!("{name:?}")).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    write!(f, "{}{more}", shown.join(", "))
}

/// Describes in words a type given by its numpy name.
fn kind_in_words(descriptor: &str) -> &'static str {
    match descriptor.trim_start_matches(['<', '>', '=', '|']).chars().next() {
        Some('O') => "Python's objects",
        Some('c') => "complex numbers",
        Some('U' | 'S' | 'a') => "texts",
        Some('M' | 'm') => "dates or times",
        Some('[') => "records",
        Some('f') => "floats of other sizes",
        _ => "numbers of an unknown kind",
    }
}

/// Returns a line of Python that fixes the fault, if there is one; `loaded` returns code that loads the array, given
/// further arguments.
fn python(path: &Path, fault: &Fault, loaded: &dyn Fn(&str) -> String) -> Option<String> {
    let beside = |end: &str| {
        let mut name = path.file_stem().unwrap_or_default().to_os_string();
        name.push(end);
        in_python(&path.with_file_name(name))
    };
    let file = in_python(path);
    let mut import = "numpy";
    let table = match fault {
        Fault::Kind { descriptor } => {
            match descriptor.trim_start_matches(['<', '>', '=', '|']).chars().next()? {
                'O' => format!("{}.astype(\"f8\")", loaded(", allow_pickle=True")),
                'c' => format!("{}.real", loaded("")),
                'M' | 'm' => format!("{}.astype(\"i8\")", loaded("")),
                '[' => {
                    import = "numpy.lib.recfunctions";
                    format!("numpy.lib.recfunctions.structured_to_unstructured({})", loaded(""))
                }
                'V' => return None,
                _ => format!("{}.astype(\"f8\")", loaded("")),
            }
        }
        Fault::Dimensions { shape } => match shape[..] {
            [] => format!("{}.reshape(1, 1)", loaded("")),
            [_] => format!("{}.reshape(-1, 1)", loaded("")),
            [_, _] => return None,
            [rows, ref others @ ..] => {
                let columns = others.iter().try_fold(1usize, |product, &size| product.checked_mul(size))?;
                format!("{}.reshape({rows}, {columns})", loaded(""))
            }
        },
        Fault::Text { delimiter, header } => {
            let delimiter = delimiter.map(|c| format!(", delimiter={}", in_python(c.to_string().as_ref())));
            let (delimiter, header) =
                (delimiter.unwrap_or_default(), if *header { ", skip_header=1" } else { "" });
            format!("numpy.genfromtxt({file}{delimiter}{header}, ndmin=2, encoding=\"utf-8-sig\")")
        }
        Fault::Foreign { looks_like: "a Parquet file" } => {
            import = "numpy, pandas";
            format!("pandas.read_parquet({file}).to_numpy(\"f8\")")
        }
        Fault::Foreign { looks_like: "an Arrow or Feather file" | "a Feather file" } => {
            import = "numpy, pandas";
            format!("pandas.read_feather({file}).to_numpy(\"f8\")")
        }
        Fault::Compression { .. } | Fault::Large { .. } => {
            let to = beside("-stored.npz");
            return Some(format!("import numpy; numpy.savez({to}, **numpy.load({file}))"));
        }
        _ => return None,
    };
    Some(format!("import {import}; numpy.save({}, {table})", beside("-table.npy")))
}

/// Diagnoses a file that does not begin like a `.npy` file.
fn foreign(begin: &[u8]) -> Fault {
    if let Some(looks_like) = looks_like(begin) {
        return Fault::Foreign { looks_like };
    }
    let text = String::from_utf8_lossy(begin);
    let is_text = !text.contains(|c: char| c.is_control() && !"\t\r\n".contains(c));
    let mut lines =
        text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(line) = lines.next().filter(|_| is_text) else { return Fault::Magic };
    let delimiter = [',', ';', '\t'].into_iter().find(|&delimiter| line.contains(delimiter));
    let fields: Vec<&str> = match delimiter {
        Some(delimiter) => line.split(delimiter).collect(),
        None => line.split_whitespace().collect(),
    };
    // genfromtxt skips comments anyway; an incomplete last field does not matter
    let is_number = |field: &&str| field.trim().is_empty() || field.trim().parse::<f64>().is_ok();
    let header = !line.starts_with('#') && !fields.iter().all(is_number);
    Fault::Text { delimiter, header }
}

/// A table in a `.npy` file, or an array of a `.npz` file. It implements [`Rows`]: pass it to a fit like an array.
///
/// Memory holds only the header. For a deflated array, memory holds all numbers.
///
/// ```no_run
/// use em_routing::prelude::*;
/// let data = NpyFile::open("data.npy")?;
/// let fit = KMeans::fit(&data, &KMeansOptions { clusters: 16, ..Default::default() })?;
/// let digits = NpyFile::open_member("digits.npz", "x_train")?;
/// # Ok::<(), em_routing::error::Error>(())
/// ```
#[derive(Debug)]
pub struct NpyFile {
    path: PathBuf,
    source: Source,
    number: Number,
    /// Whether the numbers are stored column by column, instead of row by row.
    by_columns: bool,
    samples: usize,
    dimensions: usize,
    /// The offset of the first number in the source.
    offset: u64,
}

/// The source of an array's bytes.
enum Source {
    /// A part of a file.
    File { file: File, start: u64, length: u64 },
    /// Unpacked bytes.
    Memory(Vec<u8>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::File { start, length, .. } => write!(f, "{length} bytes of a file, from {start}"),
            Source::Memory(bytes) => write!(f, "{} bytes in memory", bytes.len()),
        }
    }
}

impl Source {
    fn length(&self) -> u64 {
        match self {
            Source::File { length, .. } => *length,
            Source::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Fills the buffer from this offset on, without a cursor, so that threads can share the source.
    fn read(&self, buffer: &mut [u8], place: u64) -> std::io::Result<()> {
        match self {
            Source::File { file, start, .. } => read_exact_at(file, buffer, start + place),
            Source::Memory(bytes) => {
                buffer.copy_from_slice(&bytes[place as usize..][..buffer.len()]);
                Ok(())
            }
        }
    }

    /// Returns the first `most` bytes, or fewer if the source is shorter.
    fn begin(&self, most: u64) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length().min(most) as usize];
        self.read(&mut bytes, 0)?;
        Ok(bytes)
    }
}

impl NpyFile {
    /// Opens a `.npy` file, or a `.npz` file with one array, and checks that it is complete.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, or does not hold a table of numbers ([`Fault`]).
    pub fn open(path: impl AsRef<Path>) -> Result<NpyFile> {
        let path = path.as_ref();
        NpyFile::open_either(path, None)
    }

    /// Opens the array with this name in a `.npz` file.
    ///
    /// A stored array (`numpy.savez`) is read from the file by ranges of rows. A deflated one (`numpy.savez_compressed`) is
    /// unpacked into memory, at most 1 GiB, and its checksum is verified.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, if it has no such array (the error lists its arrays), or if the array is
    /// not a table of numbers ([`Fault`]).
    pub fn open_member(path: impl AsRef<Path>, name: &str) -> Result<NpyFile> {
        let path = path.as_ref();
        NpyFile::open_either(path, Some(name))
    }

    fn open_either(path: &Path, wanted: Option<&str>) -> Result<NpyFile> {
        let fault = |fault| error(path, None, fault);
        let file = plain::open(path)?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        let source = Source::File { file, start: 0, length };
        let begin = source.begin(4096).map_err(Error::io(path))?;
        let Source::File { file, .. } = &source else { unreachable!("a file was opened") };
        match (&begin[..begin.len().min(4)], wanted) {
            (b"PK\x03\x04" | b"PK\x05\x06", _) => {
                let archive = Archive { path, file, length };
                let members = archive.members()?;
                let names = || members.iter().map(|member| member.name.clone()).collect();
                let member = match (wanted, &members[..]) {
                    (Some(wanted), _) => {
                        let wanted = wanted.strip_suffix(".npy").unwrap_or(wanted);
                        members.iter().rev().find(|member| member.name == wanted)
                    }
                    (None, [member]) => Some(member),
                    (None, _) => None,
                };
                let missing = || fault(Fault::Members { wanted: wanted.map(str::to_owned), names: names() });
                let member = member.ok_or_else(missing)?;
                let of_member = |fault| error(path, Some(&member.name), fault);
                NpyFile::read_header(path, archive.open(member)?, &of_member)
            }
            (b"\x93NUM", Some(_)) => Err(fault(Fault::NoMembers)),
            (_, Some(_)) => Err(fault(foreign(&begin))),
            (_, None) => NpyFile::read_header(path, source, &fault),
        }
    }

    fn read_header(path: &Path, source: Source, fault: &dyn Fn(Fault) -> Error) -> Result<NpyFile> {
        let found = source.length();
        let truncated = |expected| fault(Fault::Truncated { expected, found });
        let begin = source.begin(4096).map_err(Error::io(path))?;
        if !begin.is_empty() && begin.len() < 8 && b"\x93NUMPY".starts_with(&begin[..begin.len().min(6)]) {
            return Err(truncated(10));
        }
        let (magic, version) = (begin.starts_with(b"\x93NUMPY"), begin.get(6..8));
        let version = version.filter(|_| magic).ok_or_else(|| fault(foreign(&begin)))?;
        let width = match version[0] {
            1 => 2,
            2 | 3 => 4,
            major => return Err(fault(Fault::Version { major })),
        };
        let length = begin.get(8..8 + width).ok_or_else(|| truncated(8 + width as u64))?;
        let length = length.iter().rev().fold(0, |length, &byte| length << 8 | u64::from(byte));
        let offset = 8 + width as u64 + length;
        if offset > found {
            return Err(truncated(offset));
        }
        if length > MOST_HEADER {
            let text = format!("its length of {length} bytes exceeds 1 MiB");
            return Err(fault(Fault::Header { text }));
        }
        let mut header = vec![0; length as usize];
        source.read(&mut header, 8 + width as u64).map_err(Error::io(path))?;
        let header = String::from_utf8_lossy(&header);
        let Header { descriptor, fortran, shape } = Header::parse(&header)
            .ok_or_else(|| fault(Fault::Header { text: header.trim().chars().take(200).collect() }))?;
        let number = Number::parse(&descriptor).ok_or_else(|| fault(Fault::Kind { descriptor }))?;
        let &[samples, dimensions] = shape.as_slice() else {
            return Err(fault(Fault::Dimensions { shape }));
        };
        // check one row and one column first: in an empty table they may still be too long
        let expected = [dimensions, samples]
            .iter()
            .all(|size| size.checked_mul(number.size()).is_some_and(|bytes| bytes <= isize::MAX as usize))
            .then_some(())
            .and_then(|()| samples.checked_mul(dimensions)?.checked_mul(number.size()))
            .and_then(|bytes| offset.checked_add(bytes as u64))
            .ok_or_else(|| fault(Fault::Dimensions { shape }))?;
        if expected > found {
            return Err(truncated(expected));
        }
        let path = path.to_path_buf();
        Ok(NpyFile { path, source, number, by_columns: fortran, samples, dimensions, offset })
    }

    /// Returns the precision in which [`write()`] stores the numbers without loss: `F32` for floats of up to 32 bits and
    /// integers of up to 16.
    pub fn precision(&self) -> Precision {
        if self.number.fits_f32() { Precision::F32 } else { Precision::F64 }
    }

    /// Fills `bytes` from the file, starting with number `first` in the file's order.
    fn fill(&self, bytes: &mut [u8], first: usize) -> Result<()> {
        let place = self.offset + first as u64 * self.number.size() as u64;
        self.source.read(bytes, place).map_err(|source| {
            let source = match &self.source {
                Source::File { file, start, .. } if source.kind() == ErrorKind::UnexpectedEof => {
                    let (found, expected) = (file.metadata().map_or(0, |now| now.len()), start + place + bytes.len() as u64);
                    let words = format!(
                        "has become shorter since it was opened: {found} bytes, but at least {expected} are needed"
                    );
                    IoError::new(ErrorKind::UnexpectedEof, words)
                }
                _ => source,
            };
            Error::io(&self.path)(source)
        })
    }
}

impl Rows for NpyFile {
    fn samples(&self) -> usize {
        self.samples
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]> {
        assert!(range.end <= self.samples, "there are only {} samples", self.samples);
        let RowBuffer { values, bytes } = buffer;
        let (dimensions, size) = (self.dimensions, self.number.size());
        values.resize(range.len() * dimensions, 0.0);
        if self.by_columns {
            bytes.resize(range.len() * size, 0);
            for column in 0..dimensions {
                self.fill(bytes, column * self.samples + range.start)?;
                self.number.decode(bytes, values.iter_mut().skip(column).step_by(dimensions));
            }
        } else {
            bytes.resize(values.len() * size, 0);
            self.fill(bytes, range.start * dimensions)?;
            self.number.decode(bytes, values.iter_mut());
        }
        Ok(values)
    }
}

/// Fills `bytes` from this offset on, without a cursor, so that threads can share the file.
pub(super) fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset);
    #[cfg(windows)]
    {
        let mut done = 0;
        while done < bytes.len() {
            match std::os::windows::fs::FileExt::seek_read(file, &mut bytes[done..], offset + done as u64)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                more => done += more,
            }
        }
        Ok(())
    }
    #[cfg(not(any(unix, windows)))]
    {
        let _ = (file, bytes, offset);
        Err(std::io::ErrorKind::Unsupported.into()) // a web page has no files
    }
}

/// Writes a table as a `.npy` file, atomically ([`files`]). With `F32` each number is rounded to the nearest `f32`; NaN and
/// infinities are kept.
///
/// # Errors
///
/// Returns an error if a number is too large for the precision (with its row and column), if the table cannot be read, or if
/// the file cannot be written.
pub fn write(path: impl AsRef<Path>, data: &dyn Rows, precision: Precision) -> Result<()> {
    let path = path.as_ref();
    let mut header = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}, {}), }}",
        precision.descriptor(),
        data.samples(),
        data.dimensions()
    );
    // 10 bytes precede the header, and the numbers must begin at a multiple of 64
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.push_str(&" ".repeat(length - header.len() - 1));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    files::write_with(path, |file| {
        file.write_all(&bytes).map_err(Error::io(path))?;
        let mut buffer = RowBuffer::default();
        for range in chunk_ranges(data) {
            let (first, expected) = (range.start, range.len() * data.dimensions());
            let values = data.read(range, &mut buffer)?;
            check_length(values, expected)?;
            bytes.clear();
            match precision {
                Precision::F64 => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
                Precision::F32 => {
                    let too_large = |value: f64| value.is_finite() && (value as f32).is_infinite();
                    if let Some(index) = values.iter().position(|&value| too_large(value)) {
                        let (row, column) = (first + index / data.dimensions(), index % data.dimensions());
                        return Err(Error::Magnitude { row, column, value: values[index] });
                    }
                    bytes.extend(values.iter().flat_map(|&value| (value as f32).to_le_bytes()));
                }
            }
            file.write_all(&bytes).map_err(Error::io(path))?;
        }
        Ok(())
    })
}
