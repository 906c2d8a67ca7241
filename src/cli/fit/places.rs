//! The files beside the output of a fit.

use std::path::{Path, PathBuf};

use super::super::failure::{AtPath, Failure, Outcome};
use super::super::lock::{self, Lock};
use super::super::table::Source;
use super::checkpoint;

/// The files beside the output, held for one process. The lock's file is removed at the end.
pub struct Places {
    /// `OUT.checkpoint`.
    pub checkpoint: PathBuf,
    /// `OUT.numbers.npy`, a copy of tables of text.
    pub numbers: PathBuf,
    lock: PathBuf,
    _held: Lock,
}

impl Places {
    /// Takes the lock, and removes what a killed process has left.
    pub fn take(out: &Path, source: &Source) -> Outcome<Places> {
        let name = out.file_name().ok_or_else(|| {
            Failure::new(format!("{} is not the name of a file", out.display()))
                .mend("name a file with --out")
        })?;
        let beside = |end: &str| {
            let mut name = name.to_owned();
            name.push(end);
            out.with_file_name(name)
        };
        source.check_output(out, None)?;
        for end in [".lock", ".checkpoint", ".numbers.npy"] {
            source.check_output(&beside(end), None)?;
        }
        if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).at(folder)?;
        }
        let lock = beside(".lock");
        let Some(held) = Lock::try_take(&lock)? else {
            let holder = lock::holder(&lock);
            return Err(Failure::new(format!("another fit ({holder}) writes to {}", out.display()))
                .mend("wait until it ends, or name another file with --out"));
        };
        let places =
            Places { checkpoint: beside(".checkpoint"), numbers: beside(".numbers.npy"), lock, _held: held };
        places.remove_leftovers(&name.to_string_lossy(), out);
        Ok(places)
    }

    /// Removes partly written files of a killed process. It is no error if one cannot be removed: nothing reads them.
    fn remove_leftovers(&self, name: &str, out: &Path) {
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(".".as_ref());
        let begins = format!(".{name}.");
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let file = entry.file_name();
            let file = file.to_string_lossy();
            if file.starts_with(&begins) && file.ends_with(".part") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let _ = std::fs::remove_file(&self.numbers);
    }

    /// Removes the checkpoint. If it stays, the next fit says so.
    pub fn remove_checkpoint(&self) {
        let _ = std::fs::remove_file(&self.checkpoint);
    }

    /// Returns the error of a checkpoint with the wrong contents.
    pub fn damaged(&self) -> Failure {
        checkpoint::damaged(&self.checkpoint, "its models cannot be read")
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.lock);
    }
}

/// Returns a mark of a file's contents: its length, and a checksum of its first and last MiB.
pub fn mark(path: &Path) -> Outcome<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    const PART: u64 = 1 << 20;
    let mut file = std::fs::File::open(path).at(path)?;
    let length = file.metadata().at(path)?.len();
    let mut bytes = Vec::new();
    file.by_ref().take(PART).read_to_end(&mut bytes).at(path)?;
    file.seek(SeekFrom::Start(length.saturating_sub(PART).max(bytes.len() as u64))).at(path)?;
    file.take(PART).read_to_end(&mut bytes).at(path)?;
    Ok(format!("{length} bytes with the checksum {:08x}", crc32c::crc32c(&bytes)))
}
