//! Atomic writes: a file appears whole or not at all.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Writes a file atomically: writes a temporary file in the same folder, syncs it, renames it and syncs the folder. If an
/// error occurs, an older file of that name stays unchanged.
///
/// ```no_run
/// em_routing::files::write("numbers.txt".as_ref(), b"1 2 3")?;
/// # Ok::<(), em_routing::error::Error>(())
/// ```
///
/// # Errors
///
/// Returns an error with `path` if the file system fails.
pub fn write(path: &Path, contents: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(contents).map_err(Error::io(path)))
}

/// Writes a file atomically, as [`write()`] does; `contents` produces the contents piece by piece.
///
/// # Errors
///
/// Returns an error with `path` if the file system fails, or any error of `contents`.
pub fn write_with(path: &Path, contents: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let Some(name) = path.file_name() else {
        let words = "this is not the name of a file";
        return Err(Error::io(path)(std::io::Error::new(std::io::ErrorKind::InvalidInput, words)));
    };
    // The name must be unique: another process or thread may be writing the same file.
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}-{count}.part", std::process::id()));
    let beside = path.with_file_name(beside);
    // [`remove_leftovers`] leaves locked files alone. Some file systems have no locks.
    let written = (|| {
        let file = File::create(&beside).map_err(Error::io(path))?;
        let _ = file.try_lock();
        let mut file = BufWriter::new(file);
        contents(&mut file)?;
        let file = file.into_inner().map_err(|error| Error::io(path)(error.into_error()))?;
        file.sync_all().and_then(|()| std::fs::rename(&beside, path)).map_err(Error::io(path))
    })();
    if written.is_ok() {
        sync_folder(path);
    }
    if written.is_err() {
        // The temporary file may not exist; report the first error, not this one.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// Removes the temporary files that killed processes have left of this file; those of living processes stay. It is no error if
/// one cannot be removed: nothing reads them.
pub fn remove_leftovers(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(".".as_ref());
    let of = path.file_name().unwrap_or_default().to_string_lossy();
    remove_temporaries(folder, |name| name == of);
}

/// Removes the temporary files that killed processes have left of any file in this folder, as [`remove_leftovers`] does.
pub fn remove_leftovers_in(folder: &Path) {
    remove_temporaries(folder, |_| true);
}

/// Removes the temporary files of [`write_with`] in a folder, named `.NAME.PROCESS-COUNT.part`, whose name is chosen.
fn remove_temporaries(folder: &Path, is_chosen: impl Fn(&str) -> bool) {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let parts = name.strip_prefix('.').and_then(|name| name.strip_suffix(".part"));
        let is_ours = parts.and_then(|parts| parts.rsplit_once('.')).is_some_and(|(name, numbers)| {
            let numbers = numbers.split_once('-');
            is_chosen(name) && numbers.is_some_and(|(process, count)| is_number(process) && is_number(count))
        });
        if is_ours && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Syncs the folder, so that the rename reaches the disk: without this, a crash of the system may bring back the older file.
///
/// The file is complete and in place either way, so failing to sync the folder (no read permission, unsuitable file
/// system) is not an error.
#[cfg(unix)]
fn sync_folder(file: &Path) {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(".".as_ref());
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Does nothing: only Unix can open and sync a folder.
#[cfg(not(unix))]
fn sync_folder(_file: &Path) {}
