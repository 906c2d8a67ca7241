//! The loop over the steps of a training.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use em_routing::capsnet::{StepReport, Training};
use em_routing::data::idx::Images;
use serde::{Deserialize, Serialize};

use super::super::command;
use super::super::failure::Outcome;
use super::super::lock::Lock;
use super::super::progress::{Board, Task, seconds};
use super::super::ranks::Ranks;
use super::super::stop;
use super::events::EventLog;
use super::folder::{EpochRow, Folder, Log};
use super::meter::Meter;

/// Steps between two points of TensorBoard's curves.
const LOG_STEPS: usize = 10;

/// A training whose steps are to be made.
pub struct Run<'a> {
    pub training: Training,
    pub images: Images,
    /// The part of the validation set that this process classifies.
    pub validation: Images,
    /// The number of images of the validation set.
    pub validated: usize,
    /// The first process writes files; the others have none.
    pub files: Option<Files>,
    pub board: Board,
    pub ranks: &'a Ranks,
}

/// The files of a training, and what the process that writes them needs for it.
pub struct Files {
    pub folder: Folder,
    pub events: EventLog,
    pub log: Log,
    pub meter: Meter,
    /// The time between two checkpoints.
    pub interval: Duration,
    /// The newest checkpoint.
    pub saved: PathBuf,
    /// The number of signals to stop.
    pub stop: Arc<AtomicUsize>,
    /// The command that resumes the training.
    pub way_on: String,
    /// The command that evaluates the network.
    pub to_eval: String,
    /// Keeps other trainings out of the folder.
    pub _lock: Lock,
}

/// What all processes do next.
#[derive(Serialize, Deserialize)]
enum Next {
    Step,
    /// Validate at the end of this epoch.
    Validate(usize),
    Stop,
    End,
}

impl Run<'_> {
    pub fn train(mut self) -> Outcome<ExitCode> {
        let started = Instant::now();
        let steps = self.training.steps(self.images.len());
        self.greet(steps);
        let mut task = self.board.task("training");
        let mut last_save = started;
        loop {
            let (ranks, training, images) = (self.ranks, &self.training, &self.images);
            let files = &mut self.files;
            let next = ranks.same_as_first(|| match files {
                Some(files) => files.next(training, images, &mut last_save),
                None => Ok(Next::End), // not asked
            })?;
            match next {
                Next::Step => {
                    let report = self.training.step_in_team(&self.images, self.ranks.team());
                    let kept = report.map_err(Into::into).and_then(|report| match &mut self.files {
                        Some(files) => files.keep(&report, steps, &mut task),
                        None => Ok(()),
                    });
                    self.ranks.agree(kept)?;
                }
                Next::Validate(epoch) => {
                    let errors = self.errors()?;
                    let ended = self.files.as_mut().map_or(Ok(()), |files| {
                        files.end_of_epoch(epoch, self.training.step, errors, &self.board)
                    });
                    self.ranks.agree(ended)?;
                }
                Next::Stop | Next::End => {
                    drop(task);
                    return self.finish(matches!(next, Next::Stop), steps, started.elapsed());
                }
            }
        }
    }

    fn greet(&self, steps: usize) {
        let Run { training, images, validated, files, .. } = self;
        let Some(files) = files else { return };
        self.board.say(&format!(
            "{} parameters; {} images to train on and {validated} for validation; steps {} to {steps} go to {}",
            training.net.parameters().len(),
            images.len(),
            training.step,
            files.folder.path().display(),
        ));
    }

    /// Returns how many images of the validation set the network, as it would be saved now, misclassifies, and their number. The
    /// processes share the set.
    fn errors(&self) -> Outcome<Option<(usize, usize)>> {
        if self.validated == 0 {
            return Ok(None);
        }
        let mut task = self.board.task("validation");
        let net = self.training.result();
        let own = &self.validation;
        let errors = match own.is_empty() {
            true => Ok(0),
            false => net
                .evaluate(own, self.training.threads, |seen| task.at(seen, own.len(), "images"))
                .map(|evaluation| evaluation.errors()),
        };
        let errors = self.ranks.agree(errors.map_err(Into::into))?;
        Ok(Some((self.ranks.total(errors), self.validated)))
    }

    /// Writes the network, or the checkpoint of a stopped training, and says what to do next.
    fn finish(self, stopped: bool, steps: usize, time: Duration) -> Outcome<ExitCode> {
        let Run { training, files, ranks, .. } = self;
        let sent = ranks.bytes_sent();
        let Some(mut files) = files else { return Ok(ExitCode::SUCCESS) };
        if stopped {
            files.events.flush()?;
            let step = training.step;
            say!("\nstopped after {step} of {steps} steps; saved in {}.", files.saved.display());
            say!("To resume:\nNext: {}", files.way_on);
            return Ok(ExitCode::from(stop::INTERRUPTED));
        }
        let network = files.folder.path().join("network.safetensors");
        training.save_result(&network)?;
        let out = files.folder.path().display();
        say!("\ntraining finished after {steps} steps; this run took {}.", seconds(time));
        if let Some(sent) = sent {
            say!("  the ranks sent each other {sent} bytes");
        }
        say!("  {}     the network: settings and parameters", network.display());
        say!("  {out}/log.csv                 one line per epoch; settings.txt holds the settings");
        say!(
            "  tensorboard --logdir {}    training curves",
            command::quoted(files.folder.path().as_os_str())
        );
        say!("To evaluate it:\nNext: {}", files.to_eval);
        Ok(ExitCode::SUCCESS)
    }
}

impl Files {
    /// Decides what to do next, and saves the training where it is time to.
    fn next(&mut self, training: &Training, images: &Images, last_save: &mut Instant) -> Outcome<Next> {
        let (step, steps_per_epoch) = (training.step, training.steps_per_epoch(images.len()));
        let epoch = step / steps_per_epoch;
        if step > 0 && step.is_multiple_of(steps_per_epoch) && self.log.last_epoch() < epoch {
            self.saved = self.folder.save(training, images)?;
            return Ok(Next::Validate(epoch));
        }
        if step == training.steps(images.len()) {
            return Ok(Next::End);
        }
        let stopped = self.stop.load(Ordering::Relaxed) > 0;
        if stopped || last_save.elapsed() >= self.interval {
            self.saved = self.folder.save(training, images)?;
            *last_save = Instant::now();
        }
        Ok(if stopped { Next::Stop } else { Next::Step })
    }

    /// Shows a step and keeps it in TensorBoard's curves.
    fn keep(&mut self, report: &StepReport, steps: usize, task: &mut Task) -> Outcome<()> {
        self.meter.add(report);
        let step = report.step + 1;
        if step.is_multiple_of(LOG_STEPS) {
            let (loss, accuracy) = self.meter.since_last_time();
            for (tag, value) in [
                ("train/loss", loss),
                ("train/accuracy", accuracy),
                ("train/margin", report.margin),
                ("train/learning_rate", report.learning_rate),
                ("train/gradient_length", report.gradient_length),
            ] {
                self.events.scalar(tag, value as f32, report.step as u64)?;
            }
            self.events.flush()?;
        }
        task.at(step, steps, &self.meter.words());
        Ok(())
    }

    /// Reports the results of an epoch; `errors` are those of the validation set and its size.
    fn end_of_epoch(
        &mut self,
        epoch: usize,
        step: usize,
        errors: Option<(usize, usize)>,
        board: &Board,
    ) -> Outcome<()> {
        let seen = self.meter.epoch();
        let mut words = vec![format!("epoch {epoch}")];
        if let Some((loss, accuracy, time)) = seen {
            words.push(format!("loss {loss:.4}, accuracy {:.2} % in {}", 100.0 * accuracy, seconds(time)));
        }
        let rate = errors.map(|(errors, images)| errors as f64 / images as f64);
        if let (Some((errors, images)), Some(rate)) = (errors, rate) {
            words.push(format!("validation error {:.2} % ({errors} of {images})", 100.0 * rate));
        }
        board.say(&format!("  {}", words.join("; ")));
        if let Some(rate) = rate {
            self.events.scalar("validation/error", rate as f32, step as u64 - 1)?;
            self.events.flush()?;
        }
        self.log.add(EpochRow { epoch, step, seen, errors })?;
        self.meter.restart();
        Ok(())
    }
}
