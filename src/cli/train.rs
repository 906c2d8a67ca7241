//! `em-routing train`: the capsule network, on images that a folder holds.

mod events;
mod folder;
mod meter;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use em_routing::capsnet::{Settings, Training};
use em_routing::data::idx::{ImageSet, Images};
use em_routing::error::Error;
use em_routing::shipped::mnist_folder;

use self::events::EventLog;
use self::folder::{EpochRow, Folder};
use self::meter::Meter;
use super::failure::{AtPath, Failure, Outcome};
use super::progress::{Board, seconds};

/// Images that are kept from the training unless something else is asked for.
pub const VALIDATION: usize = 5_000;

/// Steps between two points of TensorBoard's curves.
const LOG_STEPS: usize = 10;

/// What a shell says of a program that Ctrl-C has stopped.
const INTERRUPTED: u8 = 130;

#[derive(clap::Args)]
pub struct Arguments {
    /// The folder of the images: MNIST's four file names, plain or .gz [default: assets/mnist]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// default, blog, or a file of `name = value` lines that change the default [default: default]
    #[arg(long, value_name = "default|blog|FILE")]
    config: Option<String>,
    /// Changes one setting; a run's settings.txt lists them all
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// How often each image is seen (the setting `epochs`)
    #[arg(long)]
    epochs: Option<usize>,
    /// Images of a step (the setting `batch`)
    #[arg(long)]
    batch: Option<usize>,
    /// Of the parameters' first draw and of the images' order [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// Threads; 0 takes one for each core. The result does not depend on it
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    threads: u16,
    /// Where checkpoints, logs and the network go [default: target/train/CONFIG-seedSEED]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Goes on with the newest checkpoint in that folder
    #[arg(long)]
    resume: bool,
    /// Minutes between two checkpoints
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    minutes: f64,
    /// The last N of the images to train on are kept from it, to choose by
    #[arg(long, value_name = "N", default_value_t = VALIDATION)]
    validation: usize,
    /// Keeps none of them: for a recipe that is settled
    #[arg(long, conflicts_with = "validation")]
    all_images: bool,
}

/// Trains, or goes on training.
pub fn train(arguments: &Arguments) -> Outcome<ExitCode> {
    let board = Board::default();
    let interval = Duration::try_from_secs_f64(60.0 * arguments.minutes).map_err(|_| {
        Failure::new(format!("--minutes is {}, but should be from 0 to a million", arguments.minutes))
    })?;
    let name = arguments.config.as_deref().unwrap_or("default");
    let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let seed = arguments.seed.unwrap_or(1);
    let default_out = || Path::new("target").join("train").join(format!("{stem}-seed{seed}"));
    let folder = Folder::new(arguments.out.clone().unwrap_or_else(default_out));

    let newest = if arguments.resume { Some(folder.newest(&board)?) } else { None };
    if let (None, Some((_, checkpoint))) = (&newest, folder.checkpoints()?.last()) {
        return Err(Failure::new(format!("{} is from an earlier training", checkpoint.display()))
            .mend("add --resume to go on with it, or name another folder with --out"));
    }
    let config = config(arguments, newest.as_ref().map(|newest| newest.training.settings()))?;
    let data = arguments.data.clone().unwrap_or_else(mnist_folder);
    let validation = if arguments.all_images { 0 } else { arguments.validation };
    let (images, validation) = ImageSet::load_training(&data, validation, config.architecture.classes)?;
    let threads = usize::from(arguments.threads);
    let training = match &newest {
        Some(newest) => {
            let seed = arguments.seed.unwrap_or(newest.training.seed);
            Training::resume(&newest.path, &config, seed, &images, threads).map_err(|error| {
                Failure::from(error)
                    .mend("start with what the training began with, or without --resume in another --out")
            })?
        }
        None => Training::new(config, seed, threads)?,
    };
    // before anything is written or moved
    training.check(&images).map_err(|error| explain(error, &images))?;
    Folder::put_aside(newest.as_ref().map_or(&[], |newest| &newest.damaged))?;
    folder.prepare(&training)?;
    let events = EventLog::create(folder.path(), training.step as u64)?;
    let way_on = way_on(arguments, &folder);
    let stop = stop_on_signals(&board);
    let run = Run { training, images, validation, folder, events, board, interval, stop, way_on };
    run.train()
}

/// What goes on with this training after a stop: the settings are in its checkpoint, the images are not.
fn way_on(arguments: &Arguments, folder: &Folder) -> String {
    let mut command = format!("em-routing train --resume --out {}", folder.path().display());
    if let Some(data) = &arguments.data {
        command += &format!(" --data {}", data.display());
    }
    if arguments.all_images {
        command += " --all-images";
    } else if arguments.validation != VALIDATION {
        command += &format!(" --validation {}", arguments.validation);
    }
    command
}

/// What is asked for: on top of `stored` where nothing else is named.
fn config(arguments: &Arguments, stored: Option<Settings>) -> Outcome<Settings> {
    let mut config = match (arguments.config.as_deref(), stored) {
        (None, Some(stored)) => stored,
        (None | Some("default"), _) => Settings::default(),
        (Some("blog"), _) => Settings::blog(),
        (Some(file), _) => {
            let path = Path::new(file);
            let text = std::fs::read_to_string(path).at(path).map_err(|failure| {
                failure.mend("--config takes default, blog, or a file of `name = value` lines")
            })?;
            let mut config = Settings::default();
            let named = |error| Failure::new(format!("{}: {error}", path.display()));
            config.set_lines(&text).map_err(named)?;
            config
        }
    };
    for setting in &arguments.settings {
        let (name, value) = setting.split_once('=').ok_or_else(|| {
            Failure::new(format!("--set {setting} has no `=`")).mend("write --set NAME=VALUE")
        })?;
        config.set(name.trim(), value)?;
    }
    for (name, value) in [("epochs", arguments.epochs), ("batch", arguments.batch)] {
        if let Some(value) = value {
            config.set(name, &value.to_string())?;
        }
    }
    config.check()?;
    Ok(config)
}

/// How often a signal has asked to stop. The first lets the step end; the second ends at once.
fn stop_on_signals(board: &Board) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let (counted, board) = (count.clone(), board.clone());
    // Without a handler a signal ends at once; what was saved before stays as it is.
    drop(ctrlc::set_handler(move || match counted.fetch_add(1, Ordering::Relaxed) {
        0 => board.say("stopping: this step is finished and saved; once more ends at once"),
        _ => std::process::exit(INTERRUPTED.into()),
    }));
    count
}

struct Run {
    training: Training,
    images: Images,
    validation: Images,
    folder: Folder,
    events: EventLog,
    board: Board,
    interval: Duration,
    stop: Arc<AtomicUsize>,
    way_on: String,
}

impl Run {
    fn train(mut self) -> Outcome<ExitCode> {
        let started = Instant::now();
        let images = self.images.len();
        let (steps, steps_per_epoch) = (self.training.steps(images), self.training.steps_per_epoch(images));
        let mut log = self.folder.log(self.training.step)?;
        let mut meter = Meter::new(steps);
        let mut saved = Instant::now();
        self.folder.save(&self.training, &self.images)?;
        self.greet(steps);
        let mut task = self.board.task("training");
        loop {
            let step = self.training.step;
            if step > 0 && step.is_multiple_of(steps_per_epoch) && log.last_epoch() < step / steps_per_epoch {
                self.folder.save(&self.training, &self.images)?;
                let row = self.end_of_epoch(step / steps_per_epoch, &mut meter)?;
                log.add(row)?;
                meter.restart();
            }
            if step == steps && steps_per_epoch > 0 {
                break;
            }
            if self.stop.load(Ordering::Relaxed) > 0 {
                let file = self.folder.save(&self.training, &self.images)?;
                self.events.flush()?;
                drop(task);
                say!("\nstopped after {step} of {steps} steps; all of it is in {}.", file.display());
                say!("Next: {} goes on.", self.way_on);
                return Ok(ExitCode::from(INTERRUPTED));
            }
            let report = self.training.step(&self.images)?;
            meter.add(&report);
            if self.training.step.is_multiple_of(LOG_STEPS) {
                let (loss, accuracy) = meter.since_last_time();
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
            task.at(self.training.step, steps, &meter.words());
            if saved.elapsed() >= self.interval {
                self.folder.save(&self.training, &self.images)?;
                saved = Instant::now();
            }
        }
        drop(task);
        let network = self.folder.path().join("network.safetensors");
        self.training.save_result(&network)?;
        let out = self.folder.path().display();
        say!("\n{steps} steps trained, those of this start in {}.", seconds(started.elapsed()));
        say!("  {}     the network: its settings and its parameters", network.display());
        say!("  {out}/log.csv                 a line for each epoch; settings.txt: what it was trained with");
        say!("  tensorboard --logdir {out}    its curves");
        say!("Next: em-routing eval --weights {}, for its test error.", network.display());
        Ok(ExitCode::SUCCESS)
    }

    fn greet(&self, steps: usize) {
        let Run { training, images, validation, folder, .. } = self;
        self.board.say(&format!(
            "{} parameters, {} images to train on and {} to choose by; steps {} to {steps} go to {}",
            training.net.parameters().len(),
            images.len(),
            validation.len(),
            training.step,
            folder.path().display(),
        ));
    }

    /// What the network, as it would be kept now, makes of the validation set.
    fn end_of_epoch(&mut self, epoch: usize, meter: &mut Meter) -> Outcome<EpochRow> {
        let seen = meter.epoch();
        let mut words = vec![format!("epoch {epoch}")];
        if let Some((loss, accuracy, time)) = seen {
            words.push(format!("loss {loss:.4}, accuracy {:.2} % in {}", 100.0 * accuracy, seconds(time)));
        }
        let mut errors = None;
        if !self.validation.is_empty() {
            let mut task = self.board.task("validation");
            let net = self.training.result();
            let images = self.validation.len();
            let evaluation = net.evaluate(&self.validation, self.training.threads, |seen| {
                task.at(seen, images, "images");
            })?;
            drop(task);
            errors = Some((evaluation.errors(), images));
            words.push(format!(
                "validation error {:.2} % ({} of {images})",
                100.0 * evaluation.error_rate(),
                evaluation.errors()
            ));
            self.events.scalar(
                "validation/error",
                evaluation.error_rate() as f32,
                self.training.step as u64 - 1,
            )?;
            self.events.flush()?;
        }
        self.board.say(&format!("  {}", words.join("; ")));
        Ok(EpochRow { epoch, step: self.training.step, seen, errors })
    }
}

/// What mends images that do not fit the settings.
fn explain(error: Error, images: &Images) -> Failure {
    let Images { height, width, .. } = images;
    match error {
        Error::Shape { .. } => Failure::from(error)
            .mend(format!("add --set height={height} --set width={width}, as these images have")),
        Error::Batch { images, .. } => {
            Failure::from(error).mend(format!("name a --batch of at most {images}"))
        }
        error => error.into(),
    }
}
