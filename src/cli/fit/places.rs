//! The files beside the output of a fit.

use std::path::{Path, PathBuf};

use em_routing::files;

use super::super::failure::{AtPath, Failure, Outcome};
use super::super::lock::{self, Lock};
use super::super::table::{self, Source};
use super::checkpoint;

/// The files beside the output, held for one fit. The lock's file and the copy of the numbers are removed at the end.
pub struct Places {
    /// `OUT.checkpoint`.
    pub checkpoint: PathBuf,
    /// `OUT.numbers.npy`, a copy of tables of text. Each further process of the fit has its own, `OUT.numbers.RANK.npy`.
    pub numbers: PathBuf,
    lock: PathBuf,
    /// None in the further processes.
    held: Option<Lock>,
}

impl Places {
    /// Takes the lock, and removes what a killed process has left.
    pub fn take(out: &Path, source: &Source) -> Outcome<Places> {
        if out.file_name().is_none() {
            return Err(Failure::new(format!("{} is not the name of a file", out.display()))
                .mend("name a file with --out"));
        }
        source.check_output(out, None)?;
        for end in [".lock", ".checkpoint", ".numbers.npy"] {
            source.check_output(&beside(out, end), None)?;
        }
        table::make_room(out)?;
        let lock = beside(out, ".lock");
        let Some(held) = Lock::try_take(&lock)? else {
            let holder = lock::holder(&lock);
            return Err(Failure::new(format!("another fit ({holder}) writes to {}", out.display()))
                .mend("wait until it ends, or name another file with --out"));
        };
        let (checkpoint, numbers) = (beside(out, ".checkpoint"), beside(out, ".numbers.npy"));
        files::remove_leftovers(&checkpoint);
        Ok(Places { checkpoint, numbers, lock, held: Some(held) }.cleared())
    }

    /// Returns the files for a further process of the fit. The first must hold the lock by then.
    pub fn of_rank(out: &Path, source: &Source, rank: usize) -> Outcome<Places> {
        let numbers = beside(out, &format!(".numbers.{rank}.npy"));
        source.check_output(&numbers, None)?;
        let (checkpoint, lock) = (beside(out, ".checkpoint"), beside(out, ".lock"));
        Ok(Places { checkpoint, numbers, lock, held: None }.cleared())
    }

    /// Removes what a killed process has left of the copy of the numbers.
    fn cleared(self) -> Places {
        files::remove_leftovers(&self.numbers);
        self.remove_numbers();
        self
    }

    /// Removes the copy of the numbers. It is no error if it stays: nothing reads it after this fit.
    pub fn remove_numbers(&self) {
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
        self.remove_numbers();
        if self.held.is_some() {
            let _ = std::fs::remove_file(&self.lock);
        }
    }
}

/// Returns the path of the output with this end added to its name.
fn beside(out: &Path, end: &str) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(end);
    out.with_file_name(name)
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
