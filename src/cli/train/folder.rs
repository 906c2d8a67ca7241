//! The folder of a training: its last two checkpoints, its log and its settings.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use em_routing::capsnet::Training;
use em_routing::capsnet::checkpoint::Fault;
use em_routing::data::idx::Images;

use super::super::command;
use super::super::failure::{AtPath, Failure, Outcome};
use super::super::lock::{self, Lock};
use super::super::progress::Board;

/// Number of checkpoints to keep.
const KEPT: usize = 2;
/// File that a training locks while it writes to the folder.
const LOCK: &str = ".lock";
const PREFIX: &str = "checkpoint-";
const SUFFIX: &str = ".safetensors";
const HEADER: &str = "epoch,step,loss,accuracy,seconds,validation_images,validation_errors,validation_error";

pub struct Folder {
    path: PathBuf,
}

/// The checkpoint from which a training resumes.
pub struct Newest {
    pub path: PathBuf,
    pub training: Training,
    /// Number of images on which the checkpoint was trained.
    pub images: usize,
    /// Damaged checkpoints newer than this one.
    pub damaged: Vec<PathBuf>,
}

/// A line of the log, for one epoch. Means are over those steps of the epoch that this run made.
pub struct EpochRow {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Number of steps so far.
    pub step: usize,
    /// Mean loss, accuracy and time; `None` if this run made no step of the epoch.
    pub seen: Option<(f64, f64, Duration)>,
    /// Number of errors on the validation set, and its size.
    pub errors: Option<(usize, usize)>,
}

/// `log.csv`, rewritten as a whole for each line.
pub struct Log {
    path: PathBuf,
    text: String,
    last_epoch: usize,
}

impl Folder {
    pub fn new(path: PathBuf) -> Folder {
        Folder { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the checkpoints with their steps, the newest last.
    pub fn checkpoints(&self) -> Outcome<Vec<(usize, PathBuf)>> {
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.at(&self.path)?,
        };
        let mut checkpoints = Vec::new();
        for entry in entries {
            let path = entry.at(&self.path)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let step = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX));
            if let Some(step) = step.and_then(|step| step.parse().ok()) {
                checkpoints.push((step, path));
            }
        }
        checkpoints.sort();
        Ok(checkpoints)
    }

    /// Loads the newest intact checkpoint. Newer damaged ones are reported and returned. A file that cannot be opened or has
    /// another format version is not damaged: it is an error, and no older checkpoint replaces it.
    pub fn newest(&self, board: &Board) -> Outcome<Newest> {
        let mut first = None;
        let mut damaged: Vec<PathBuf> = Vec::new();
        let mut checkpoints = self.checkpoints()?;
        while let Some((_, path)) = checkpoints.pop() {
            match Training::load(&path, 0) {
                Ok((training, images)) => return Ok(Newest { path, training, images, damaged }),
                Err(error) if error.fault().is_some_and(|fault| !matches!(fault, Fault::Version { .. })) => {
                    if !checkpoints.is_empty() {
                        board.say(&format!("{error}; trying the checkpoint before it"));
                    }
                    damaged.push(path);
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(match first {
            Some(error) => Failure::from(error)
                .mend("no other checkpoint can be read: start again in another folder with --out"),
            None => Failure::new(format!("{} holds no checkpoint", self.path.display())),
        })
    }

    /// Renames damaged checkpoints to `*.safetensors.damaged`.
    pub fn put_aside(damaged: &[PathBuf]) -> Outcome<()> {
        for path in damaged {
            std::fs::rename(path, path.with_extension("safetensors.damaged")).at(path)?;
        }
        Ok(())
    }

    /// Locks the folder, which must exist, so that only one training writes to it.
    pub fn lock(&self, resume: bool) -> Outcome<Lock> {
        let path = self.path.join(LOCK);
        if let Some(lock) = Lock::try_take(&path)? {
            return Ok(lock);
        }
        let (folder, holder) = (self.path.display(), lock::holder(&path));
        let failure = Failure::new(format!("another training writes to {folder}: {holder}"));
        if resume {
            return Err(failure.mend("start again when it has ended, or stop it: it saves its state"));
        }
        let other = super::free_beside(&self.path);
        Err(failure
            .mend("name another folder with --out, or wait until it has ended and add --resume")
            .next(command::again::<OsString>(&[], ["--out".into(), command::path(&other)])))
    }

    /// Removes half-written files of a killed training and writes settings.txt.
    pub fn prepare(&self, training: &Training) -> Outcome<()> {
        em_routing::files::remove_leftovers_in(&self.path);
        let lines = training.settings().lines();
        let text = format!("# seed {}; `train --config` takes this file\n{lines}", training.seed);
        Ok(em_routing::files::write(&self.path.join("settings.txt"), text.as_bytes())?)
    }

    /// Returns the path of the checkpoint of a step.
    pub fn checkpoint(&self, step: usize) -> PathBuf {
        self.path.join(format!("{PREFIX}{step:08}{SUFFIX}"))
    }

    /// Writes a checkpoint, then removes all but the newest `KEPT`.
    pub fn save(&self, training: &Training, images: &Images) -> Outcome<PathBuf> {
        let path = self.checkpoint(training.step);
        if !path.exists() {
            training.save(&path, images)?;
        }
        let mut checkpoints = self.checkpoints()?;
        checkpoints.truncate(checkpoints.len().saturating_sub(KEPT));
        for (_, old) in checkpoints {
            std::fs::remove_file(&old).at(&old)?;
        }
        Ok(path)
    }

    /// Opens the log and drops lines after `step`, because the resumed training writes them again.
    pub fn log(&self, step: usize) -> Outcome<Log> {
        let path = self.path.join("log.csv");
        let mut log = Log { text: format!("{HEADER}\n"), path, last_epoch: 0 };
        if step > 0 && log.path.exists() {
            for line in std::fs::read_to_string(&log.path).at(&log.path)?.lines().skip(1) {
                let mut columns = line.split(',').map_while(|column| column.trim().parse::<usize>().ok());
                if let (Some(epoch), Some(of)) = (columns.next(), columns.next())
                    && of <= step
                {
                    log.text += &format!("{line}\n");
                    log.last_epoch = epoch;
                }
            }
        }
        log.write()?;
        Ok(log)
    }
}

impl Log {
    /// The last epoch in the log; 0 if the log has no line.
    pub fn last_epoch(&self) -> usize {
        self.last_epoch
    }

    pub fn add(&mut self, row: EpochRow) -> Outcome<()> {
        let EpochRow { epoch, step, seen, errors } = row;
        let seen = seen.map_or(",,".to_owned(), |(loss, accuracy, time)| {
            format!("{loss:.6},{accuracy:.6},{:.1}", time.as_secs_f64())
        });
        let validation = errors.map_or(",,".to_owned(), |(errors, images)| {
            format!("{images},{errors},{}", errors as f64 / images as f64)
        });
        self.text += &format!("{epoch},{step},{seen},{validation}\n");
        self.last_epoch = epoch;
        self.write()
    }

    fn write(&self) -> Outcome<()> {
        Ok(em_routing::files::write(&self.path, self.text.as_bytes())?)
    }
}
