//! The files beside the output of a fit.

use std::path::{Path, PathBuf};

use super::super::failure::{AtPath, Failure, Outcome};
use super::super::lock::{self, Lock};
use super::super::table::Source;
use super::checkpoint;

/// The files beside the output, held for one fit. The lock's file is removed at the end.
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
        let mut places = Places::of_rank(out, 0);
        source.check_output(out, None)?;
        for end in [".lock", ".checkpoint", ".numbers.npy"] {
            source.check_output(&beside(out, end), None)?;
        }
        if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).at(folder)?;
        }
        places.held = Lock::try_take(&places.lock)?;
        if places.held.is_none() {
            let holder = lock::holder(&places.lock);
            return Err(Failure::new(format!("another fit ({holder}) writes to {}", out.display()))
                .mend("wait until it ends, or name another file with --out"));
        }
        remove_leftovers(out);
        Ok(places)
    }

    /// Returns the files for one of the processes, without the lock, which the first of them has to take.
    pub fn of_rank(out: &Path, rank: usize) -> Places {
        let numbers = if rank == 0 { ".numbers.npy".to_owned() } else { format!(".numbers.{rank}.npy") };
        let (checkpoint, lock) = (beside(out, ".checkpoint"), beside(out, ".lock"));
        Places { checkpoint, numbers: beside(out, &numbers), lock, held: None }
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

/// Removes what killed processes have left. It is no error if a file cannot be removed: nothing reads them.
fn remove_leftovers(out: &Path) {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(".".as_ref());
    let (part, numbers) = (format!(".{name}."), format!("{name}.numbers."));
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = entry.file_name();
        let file = file.to_string_lossy();
        if file.starts_with(&part) && file.ends_with(".part")
            || file.starts_with(&numbers) && file.ends_with("npy")
        {
            let _ = std::fs::remove_file(entry.path());
        }
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
