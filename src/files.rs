//! Files that are there as a whole or not at all.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Writes a file beside its place, syncs it, moves it there and syncs the folder. Whatever fails, an older file of that name stays as it was.
///
/// ```no_run
/// em_routing::files::write("numbers.txt".as_ref(), b"1 2 3")?;
/// # Ok::<(), em_routing::error::Error>(())
/// ```
///
/// # Errors
///
/// What the file system says, with `path`.
pub fn write(path: &Path, contents: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(contents).map_err(Error::io(path)))
}

/// [`write()`] of contents that are made while they are written.
///
/// # Errors
///
/// What the file system says, with `path`; what `contents` brings.
pub fn write_with(path: &Path, contents: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let Some(name) = path.file_name() else {
        let words = "this is not the name of a file";
        return Err(Error::io(path)(std::io::Error::new(std::io::ErrorKind::InvalidInput, words)));
    };
    // Another process, or another thread of this one, may be writing the same file.
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}-{count}.part", std::process::id()));
    let beside = path.with_file_name(beside);
    let written = (|| {
        let mut file = BufWriter::new(File::create(&beside).map_err(Error::io(path))?);
        contents(&mut file)?;
        let file = file.into_inner().map_err(|error| Error::io(path)(error.into_error()))?;
        file.sync_all().and_then(|()| std::fs::rename(&beside, path)).map_err(Error::io(path))
    })();
    if written.is_ok() {
        sync_folder(path);
    }
    if written.is_err() {
        // It may not even exist; the error that matters is the first.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// Lets the new name of a file reach the disk, too: without this a crash of the system may bring the older file back.
///
/// The file is whole and in its place either way, so a folder that cannot be synced (by who may not read it, or on some file
/// systems) is no error.
#[cfg(unix)]
fn sync_folder(file: &Path) {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(".".as_ref());
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Only Unix opens a folder to sync it.
#[cfg(not(unix))]
fn sync_folder(_file: &Path) {}
