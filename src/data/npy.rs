//! `.npy` files: tables of `f64` or `f32` that are read by ranges of rows, larger than memory if need be.

use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::data::{RowBuffer, Rows, chunk_count, chunk_range};
use crate::error::{Error, Result};
use crate::files;

/// What the numbers of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// `<f8`
    #[default]
    F64,
    /// `<f4`
    F32,
}

impl Precision {
    fn bytes(self) -> usize {
        match self {
            Precision::F64 => 8,
            Precision::F32 => 4,
        }
    }

    fn descriptor(self) -> &'static str {
        match self {
            Precision::F64 => "<f8",
            Precision::F32 => "<f4",
        }
    }
}

/// What keeps a file from being read as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It does not begin as a `.npy` file does.
    Magic,
    /// A version of the format other than 1, 2 and 3.
    Version {
        /// Its number.
        major: u8,
    },
    /// A header that cannot be made out.
    Header {
        /// The header.
        text: String,
    },
    /// Numbers of another kind than little-endian `f64` and `f32`, or no numbers at all.
    Kind {
        /// The header's word for them.
        descriptor: String,
    },
    /// Columns one after another instead of rows.
    FortranOrder,
    /// An array that is not a table of rows and columns.
    Dimensions {
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Fewer bytes than its header promises.
    Truncated {
        /// The bytes that it should have.
        expected: u64,
        /// The bytes that it has.
        found: u64,
    },
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Magic => write!(f, "not a .npy file"),
            Fault::Version { major } => write!(f, "version {major} of the .npy format is unknown"),
            Fault::Header { text } => write!(f, "the header cannot be made out: {text}"),
            Fault::Kind { descriptor } => {
                write!(f, "holds {descriptor}, but little-endian f64 (<f8) or f32 (<f4) are needed")
            }
            Fault::FortranOrder => {
                write!(f, "is stored column by column; save it with numpy.ascontiguousarray")
            }
            Fault::Dimensions { shape } => {
                write!(f, "has the shape {shape:?}, but a table of rows and columns is needed")
            }
            Fault::Truncated { expected, found } => {
                write!(f, "is cut off: {found} bytes, but its header promises {expected}")
            }
        }
    }
}

/// A `.npy` file of `f64` or `f32` in rows. Only its header is in memory.
///
/// ```no_run
/// use em_routing::prelude::*;
/// let data = NpyFile::open("data.npy".as_ref())?;
/// let fit = KMeans::fit(&data, &KMeansOptions { clusters: 16, ..Default::default() })?;
/// # Ok::<(), em_routing::error::Error>(())
/// ```
#[derive(Debug)]
pub struct NpyFile {
    path: PathBuf,
    file: File,
    precision: Precision,
    samples: usize,
    dimensions: usize,
    /// Where the numbers begin.
    offset: u64,
}

impl NpyFile {
    /// Opens a file and checks that all of its rows are there.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or is not such a table ([`Fault`]).
    pub fn open(path: &Path) -> Result<NpyFile> {
        let fault = |fault| Error::Npy { path: path.to_path_buf(), fault };
        let mut file = File::open(path).map_err(Error::io(path))?;
        let found = file.metadata().map_err(Error::io(path))?.len();
        let mut take = |count: usize| -> Result<Option<Vec<u8>>> {
            let mut bytes = Vec::new();
            (&mut file).take(count as u64).read_to_end(&mut bytes).map_err(Error::io(path))?;
            Ok((bytes.len() == count).then_some(bytes))
        };
        let begin = take(8)?.filter(|begin| begin.starts_with(b"\x93NUMPY")).ok_or(fault(Fault::Magic))?;
        let width = match begin[6] {
            1 => 2,
            2 | 3 => 4,
            major => return Err(fault(Fault::Version { major })),
        };
        let truncated = |expected| fault(Fault::Truncated { expected, found });
        let length = take(width)?.ok_or(truncated(8 + width as u64))?;
        let length = length.iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
        let offset = (8 + width + length) as u64;
        if offset > found {
            return Err(truncated(offset));
        }
        let header = take(length)?.ok_or(truncated(offset))?;
        let header = String::from_utf8_lossy(&header);
        let (descriptor, fortran, shape) = parse(&header)
            .ok_or_else(|| fault(Fault::Header { text: header.trim().chars().take(200).collect() }))?;
        let precision = match descriptor.as_str() {
            "<f8" => Precision::F64,
            "<f4" => Precision::F32,
            _ => return Err(fault(Fault::Kind { descriptor })),
        };
        let &[samples, dimensions] = shape.as_slice() else {
            return Err(fault(Fault::Dimensions { shape }));
        };
        if fortran && samples > 1 && dimensions > 1 {
            return Err(fault(Fault::FortranOrder));
        }
        let expected = samples
            .checked_mul(dimensions)
            .and_then(|numbers| numbers.checked_mul(precision.bytes()))
            .and_then(|bytes| offset.checked_add(bytes as u64))
            .ok_or_else(|| fault(Fault::Dimensions { shape }))?;
        if expected > found {
            return Err(truncated(expected));
        }
        Ok(NpyFile { path: path.to_path_buf(), file, precision, samples, dimensions, offset })
    }

    /// What its numbers are.
    pub fn precision(&self) -> Precision {
        self.precision
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
        let row = self.dimensions * self.precision.bytes();
        buffer.bytes.resize(range.len() * row, 0);
        let offset = self.offset + range.start as u64 * row as u64;
        read_exact_at(&self.file, &mut buffer.bytes, offset).map_err(Error::io(&self.path))?;
        buffer.values.clear();
        match self.precision {
            Precision::F64 => buffer
                .values
                .extend(buffer.bytes.as_chunks().0.iter().map(|&number| f64::from_le_bytes(number))),
            Precision::F32 => buffer.values.extend(
                buffer.bytes.as_chunks().0.iter().map(|&number| f64::from(f32::from_le_bytes(number))),
            ),
        }
        Ok(&buffer.values)
    }
}

/// Reads without a cursor, so that threads can share the file.
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
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
}

/// Writes a table as a `.npy` file, which is there as a whole or not at all ([`files`]).
///
/// # Errors
///
/// What writing, or reading the table, brings.
pub fn write(path: &Path, data: &dyn Rows, precision: Precision) -> Result<()> {
    let mut header = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}, {}), }}",
        precision.descriptor(),
        data.samples(),
        data.dimensions()
    );
    // 10 bytes come before it, and the numbers begin at a multiple of 64
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.push_str(&" ".repeat(length - header.len() - 1));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    files::write_with(path, |file| {
        file.write_all(&bytes).map_err(Error::io(path))?;
        let mut buffer = RowBuffer::default();
        for chunk in 0..chunk_count(data) {
            let values = data.read(chunk_range(data, chunk), &mut buffer)?;
            bytes.clear();
            match precision {
                Precision::F64 => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
                Precision::F32 => bytes.extend(values.iter().flat_map(|&value| (value as f32).to_le_bytes())),
            }
            file.write_all(&bytes).map_err(Error::io(path))?;
        }
        Ok(())
    })
}

/// The kind of number, whether it is in Fortran's order, and the shape, from the header's Python dictionary.
fn parse(header: &str) -> Option<(String, bool, Vec<usize>)> {
    let after = |key: &str| {
        let start = header.find(&format!("'{key}'")).or_else(|| header.find(&format!("\"{key}\"")))?;
        Some(header[start + key.len() + 2..].trim_start().strip_prefix(':')?.trim_start())
    };
    let descriptor = after("descr")?;
    let descriptor = match descriptor.chars().next()? {
        quote @ ('\'' | '"') => descriptor[1..].split(quote).next()?,
        _ => descriptor.split(']').next()?, // a record of several columns: the caller names it in its error
    };
    let fortran = match after("fortran_order")? {
        text if text.starts_with("False") => false,
        text if text.starts_with("True") => true,
        _ => return None,
    };
    let shape = after("shape")?.strip_prefix('(')?.split_once(')')?.0;
    let shape = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape: Option<Vec<usize>> = shape.map(|size| size.parse().ok()).collect();
    Some((descriptor.to_string(), fortran, shape?))
}
