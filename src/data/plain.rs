//! Opens data files, and recognises other formats by their first bytes.

use std::fs::{File, FileType};
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};

/// Opens a regular file.
///
/// Folders, pipes and devices cannot be read at an offset, and opening a pipe would wait for a writer that may never come.
///
/// # Errors
///
/// Returns an error if the path is not a regular file (the message says what it is and what to do), or if the system cannot
/// open it.
pub(crate) fn open(path: &Path) -> Result<File> {
    let kind = std::fs::metadata(path).map_err(Error::io(path))?.file_type();
    if kind.is_file() {
        return File::open(path).map_err(Error::io(path));
    }
    let (error, words) = if kind.is_dir() {
        (ErrorKind::IsADirectory, "is a folder, but a file is needed".to_owned())
    } else if is_pipe(kind) {
        let copy = Path::new("copy").with_extension(path.extension().unwrap_or_default());
        let (from, to) = (in_shell(path), in_shell(&copy));
        let words = format!(
            "is a pipe, which cannot be read at an offset; copy it to a file first: cat {from} > {to}"
        );
        (ErrorKind::InvalidInput, words)
    } else {
        (ErrorKind::InvalidInput, "is a device or a socket, but a file is needed".to_owned())
    };
    Err(Error::io(path)(std::io::Error::new(error, words)))
}

#[cfg(unix)]
fn is_pipe(kind: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&kind)
}

#[cfg(not(unix))]
fn is_pipe(_: FileType) -> bool {
    false
}

/// Quotes a path for a POSIX shell if necessary.
pub(crate) fn in_shell(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    match text.chars().all(plain) && !text.starts_with('-') {
        true => text.into_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Writes a path as a Python string literal.
pub(crate) fn in_python(path: &Path) -> String {
    let mut text = String::from("\"");
    for c in path.to_string_lossy().chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => text += &format!("\\x{:02x}", u32::from(c)),
            c => text.push(c),
        }
    }
    text + "\""
}

/// The first bytes of common file formats, with their names.
const BEGINNINGS: &[(&[u8], &str)] = &[
    (b"\x93NUMPY", "a .npy file"),
    (b"PK\x03\x04", "a zip archive (such as a .npz or .xlsx file)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow or Feather file"),
    (b"FEA1", "a Feather file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\0\0\x08\x01", "an IDX file of labels"),
    (b"\0\0\x08\x03", "an IDX file of images"),
    (b"version https://git-lfs", "a Git LFS pointer, without the contents (git lfs pull fetches them)"),
    (b"<!DOCTYPE", "a web page"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML file"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
];

/// Names the format of a file that begins with these bytes (at least four), if it is known.
pub(crate) fn looks_like(begin: &[u8]) -> Option<&'static str> {
    let alike = |known: &[u8]| begin.len() >= 4 && begin.starts_with(&known[..known.len().min(begin.len())]);
    BEGINNINGS.iter().find(|(known, _)| alike(known)).map(|&(_, words)| words)
}
