//! `em-routing train`: trains the capsule network, writes checkpoints and logs, and resumes a stopped training.

mod events;
pub mod folder;
mod meter;
mod run;

use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use em_routing::capsnet::{Settings, Training};
use em_routing::data::idx::Images;
use em_routing::error::Error;

use self::events::EventLog;
use self::folder::{Folder, Newest};
use self::meter::Meter;
use self::run::{Files, Run};
use super::command;
use super::failure::{AtPath, Failure, Outcome};
use super::images::{Source, fitting_settings, set};
use super::progress::Board;
use super::ranks::Ranks;
use super::stop;

/// Default size of the validation set.
pub const VALIDATION: usize = 5_000;

/// The default time between two checkpoints, in minutes.
const MINUTES: f64 = 10.0;

#[derive(clap::Args)]
pub struct Arguments {
    /// Folder with the image set: four files with the names of MNIST's files, uncompressed or .gz [default: assets/mnist]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The recipe: `default`, `blog`, a convolutional network without capsules (`plain`, `plain-pooled`), or a file with a
    /// `name = value` line for each changed setting [default: default]
    #[arg(long, value_name = "NAME|FILE")]
    config: Option<String>,
    /// Changes one setting; may be repeated. settings.txt in the output folder lists all settings
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Number of passes over the training images (the setting `epochs`)
    #[arg(long)]
    epochs: Option<usize>,
    /// Number of images per training step (the setting `batch`)
    #[arg(long)]
    batch: Option<usize>,
    /// Random seed of the initial parameters and of the order of the images [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// Number of threads, 0 for one per core; does not affect the result
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    threads: u16,
    /// Folder for checkpoints, logs and the network [default: target/train/CONFIG-seedSEED]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continues from the newest checkpoint in the output folder
    #[arg(long)]
    resume: bool,
    /// Minutes between two checkpoints
    #[arg(long, value_name = "N", default_value_t = MINUTES)]
    minutes: f64,
    /// Size of the validation set: the last N training images, which are not trained on
    #[arg(long, value_name = "N", default_value_t = VALIDATION)]
    validation: usize,
    /// Trains on all images, without a validation set
    #[arg(long, conflicts_with = "validation")]
    all_images: bool,
}

/// Trains a network, or continues a training with `--resume`. Under `mpirun` the processes share each batch.
pub fn train(arguments: &Arguments) -> Outcome<ExitCode> {
    Ranks::run("the images of each batch", |ranks| train_together(arguments, ranks))
}

fn train_together(arguments: &Arguments, ranks: &Ranks) -> Outcome<ExitCode> {
    let board = Board::default();
    ranks.check_same(Default::default())?;
    let mut first = None;
    let step = ranks.same_as_first(|| {
        let (state, files) = begin(arguments, ranks, &board)?;
        let step = state.training.step;
        first = Some((state, files));
        Ok(step)
    })?;
    // the others read the training from the checkpoint that the first has just written, which also compares the images
    let (state, files) = match first {
        Some((state, files)) => (Ok(state), Some(files)),
        None => (follow(arguments, step, &board), None),
    };
    let State { training, images, validation } = ranks.agree(state)?;
    let validated = validation.len();
    let validation = match ranks.team() {
        None => validation,
        Some(team) => {
            ranks.check_same([("the validation set".to_owned(), mark(&validation))].into())?;
            validation.slice(team.part(validated))
        }
    };
    Run { training, images, validation, validated, files, board, ranks }.train()
}

/// Returns the number of images and a hash of them.
fn mark(images: &Images) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    (&images.pixels, &images.labels).hash(&mut hasher);
    format!("{} images with the hash {:016x}", images.len(), hasher.finish())
}

/// A training and its images.
struct State {
    training: Training,
    images: Images,
    validation: Images,
}

/// Reads the training from the checkpoint of this step, which another process has written, and the same images.
fn follow(arguments: &Arguments, step: usize, board: &Board) -> Outcome<State> {
    // mpirun passes signals to all; the first process decides when to stop
    stop::on_signals(board, "this step will be finished and saved");
    let (folder, threads) = (folder(arguments), usize::from(arguments.threads));
    let path = folder.checkpoint(step);
    let (training, count) = Training::load(&path, threads)?;
    let settings = training.settings();
    let newest = Newest { path, training, images: count, damaged: Vec::new() };
    let (images, validation) = read_images(arguments, &settings, Some(&newest), &folder)?;
    let training = Training::resume(&newest.path, &settings, newest.training.seed, &images, threads)?;
    Ok(State { training, images, validation })
}

/// Returns the output folder.
fn folder(arguments: &Arguments) -> Folder {
    let name = arguments.config.as_deref().unwrap_or("default");
    let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let seed = arguments.seed.unwrap_or(1);
    let default_out = || Path::new("target").join("train").join(format!("{stem}-seed{seed}"));
    Folder::new(arguments.out.clone().unwrap_or_else(default_out))
}

/// Reads the images, takes the output folder and writes the first checkpoint into it, on the first process.
fn begin(arguments: &Arguments, ranks: &Ranks, board: &Board) -> Outcome<(State, Files)> {
    let interval = Duration::try_from_secs_f64(60.0 * arguments.minutes).map_err(|_| {
        Failure::new(format!("--minutes is {}, but should be from 0 to a million", arguments.minutes))
    })?;
    let (seed, folder) = (arguments.seed.unwrap_or(1), folder(arguments));

    // lock before reading: another training may be writing to the folder
    let lock = if folder.path().is_dir() { Some(folder.lock(arguments.resume)?) } else { None };
    let newest = if arguments.resume { Some(newest(arguments, &folder, board)?) } else { None };
    let config = config(arguments, newest.as_ref().map(|newest| newest.training.settings()))?;
    config.check().map_err(|error| explain_config(arguments, &config, error))?;
    let (images, validation) = read_images(arguments, &config, newest.as_ref(), &folder)?;
    let threads = usize::from(arguments.threads);
    let training = match &newest {
        Some(newest) => {
            let seed = arguments.seed.unwrap_or(newest.training.seed);
            Training::resume(&newest.path, &config, seed, &images, threads)
                .map_err(|error| explain_resume(arguments, &folder, newest, [&images, &validation], error))?
        }
        None => Training::new(config, seed, threads)?,
    };
    // check before anything is written or moved
    training.check(&images).map_err(|error| explain(error, &training.settings(), &images))?;
    training.check_team(ranks.team()).map_err(|error| explain(error, &training.settings(), &images))?;
    let lock = match lock {
        Some(lock) => lock,
        None => {
            std::fs::create_dir_all(folder.path()).at(folder.path())?;
            folder.lock(false)?
        }
    };
    if newest.is_none() {
        refuse_earlier(&folder, &training, &images)?;
    }
    Folder::put_aside(newest.as_ref().map_or(&[], |newest| &newest.damaged))?;
    folder.prepare(&training)?;
    let events = EventLog::create(folder.path(), training.step as u64)?;
    let kept = validation.len();
    let way_on = way_on(arguments, &folder, kept);
    let to_eval = to_eval(arguments, &folder, &training, kept);
    let stop = stop::on_signals(board, "this step will be finished and saved");
    let log = folder.log(training.step)?;
    let saved = folder.save(&training, &images)?;
    let meter = Meter::new(training.steps(images.len()));
    let files = Files { folder, events, log, meter, interval, saved, stop, way_on, to_eval, _lock: lock };
    Ok((State { training, images, validation }, files))
}

/// Loads the newest checkpoint that can be read.
fn newest(arguments: &Arguments, folder: &Folder, board: &Board) -> Outcome<Newest> {
    if folder.checkpoints()?.is_empty() {
        let path = folder.path().display();
        return Err(Failure::new(format!("{path} holds no checkpoint to resume from"))
            .mend("name the folder of the training with --out, or start it without --resume")
            .next(command::again::<OsString>(&["--resume"], [])));
    }
    folder.newest(board).map_err(|failure| failure.next(anew(arguments, folder, arguments.seed.unwrap_or(1))))
}

/// Reads the training and validation images. An error names the flags that fix it.
fn read_images(
    arguments: &Arguments,
    config: &Settings,
    newest: Option<&Newest>,
    folder: &Folder,
) -> Outcome<(Images, Images)> {
    let source = Source::new(arguments.data.as_deref(), config.architecture.form());
    let validation = if arguments.all_images { 0 } else { arguments.validation };
    let images = source.training(validation, [config.recipe.batch, 0]);
    if let Some(newest) = newest {
        return images.map_err(|failure| {
            // the images that the checkpoint was not trained on were its validation set
            let all = source.training(0, [1, 0]).map(|(images, _)| images.len());
            match all.ok().and_then(|all| all.checked_sub(newest.images)) {
                Some(kept) => failure
                    .mend(format!("the training began with {kept} images kept for validation: keep as many"))
                    .next(way_on(arguments, folder, kept)),
                None => failure,
            }
        });
    }
    if images.is_ok() {
        return images;
    }
    // some labels exceed the number of classes: propose more classes
    match source.classes_of_labels().filter(|&classes| classes > config.architecture.classes) {
        Some(classes) => images.map_err(|failure| {
            let setting = format!("classes={classes}");
            failure
                .mend(format!("add --set {setting}: the labels of these images run up to {}", classes - 1))
                .next(command::again(&[], ["--set", &setting]))
        }),
        None => images,
    }
}

/// Returns an error if the folder holds checkpoints or the network of an earlier training.
fn refuse_earlier(folder: &Folder, training: &Training, images: &Images) -> Outcome<()> {
    let other = free_beside(folder.path());
    let elsewhere = || command::again::<OsString>(&[], ["--out".into(), command::path(&other)]);
    let checkpoints = folder.checkpoints()?;
    let Some((_, newest)) = checkpoints.last() else {
        let network = folder.path().join("network.safetensors");
        if !network.exists() {
            return Ok(());
        }
        return Err(Failure::new(format!("{} is from an earlier training", network.display()))
            .mend("name another folder with --out, or move this file away")
            .next(elsewhere()));
    };
    let resumed = Training::resume(newest, &training.settings(), training.seed, images, training.threads);
    let next = match resumed {
        Ok(_) => command::again(&[], ["--resume"]),
        Err(_) => elsewhere(),
    };
    Err(Failure::new(format!("{} is from an earlier training", newest.display()))
        .mend("add --resume to continue it, if it has the same settings; or name another folder with --out")
        .next(next))
}

/// Returns a folder beside this one that does not exist yet: NAME-2, NAME-3, …
fn free_beside(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or("training".as_ref()).to_owned();
    let numbered = |number: usize| {
        let mut name = name.clone();
        name.push(format!("-{number}"));
        folder.with_file_name(name)
    };
    (2..).map(numbered).find(|path| !path.exists()).unwrap_or_else(|| numbered(2))
}

/// Returns the arguments that select the same images again.
fn images_again(arguments: &Arguments, validation: usize) -> Vec<OsString> {
    let mut words = Vec::new();
    if let Some(data) = &arguments.data {
        words.extend(["--data".into(), command::path(data)]);
    }
    if validation == 0 {
        words.push("--all-images".into());
    } else if validation != VALIDATION {
        words.extend(["--validation".into(), validation.to_string().into()]);
    }
    words
}

/// Returns the command that repeats this training from the start in another folder, with the settings in its settings.txt.
fn anew(arguments: &Arguments, folder: &Folder, seed: u64) -> String {
    let mut words: Vec<OsString> = vec!["train".into()];
    words.extend(images_again(arguments, if arguments.all_images { 0 } else { arguments.validation }));
    let settings = folder.path().join("settings.txt");
    if settings.is_file() {
        words.extend(["--config".into(), command::path(&settings)]);
    }
    words.extend(["--seed".into(), seed.to_string().into()]);
    words.extend(["--out".into(), command::path(&free_beside(folder.path()))]);
    command::line(words)
}

/// Adds a remedy to an error of `--resume`: the original settings or images, or a new training.
fn explain_resume(
    arguments: &Arguments,
    folder: &Folder,
    newest: &Newest,
    [images, validation]: [&Images; 2],
    error: Error,
) -> Failure {
    let failure = Failure::from(error);
    let (config, seed) = (newest.training.settings(), newest.training.seed);
    let goes_on = |images: &Images| Training::resume(&newest.path, &config, seed, images, 1).is_ok();
    if goes_on(images) {
        return failure
            .mend("resume with the original settings, or start without --resume in another --out")
            .next(way_on(arguments, folder, validation.len()));
    }
    // the same images with a validation set of another size
    let kept = (images.len() + validation.len()).checked_sub(newest.images);
    let source = Source::new(arguments.data.as_deref(), config.architecture.form());
    if let Some(kept) = kept
        && source.training(kept, [1, 0]).is_ok_and(|(images, _)| goes_on(&images))
    {
        return failure
            .mend(format!("the training began with {kept} images kept for validation: keep as many"))
            .next(way_on(arguments, folder, kept));
    }
    let failure =
        failure.mend("name the original images with --data, or start without --resume in another --out");
    match newest.training.check(images) {
        Ok(()) => failure.next(anew(arguments, folder, seed)),
        Err(_) => failure,
    }
}

/// Returns the command that resumes this training. It names the images, because the checkpoint holds only the settings.
fn way_on(arguments: &Arguments, folder: &Folder, validation: usize) -> String {
    let mut words = vec!["train".into(), "--resume".into(), "--out".into(), command::path(folder.path())];
    words.extend(images_again(arguments, validation));
    if arguments.threads > 0 {
        words.extend(["--threads".into(), arguments.threads.to_string().into()]);
    }
    if arguments.minutes != MINUTES {
        words.extend(["--minutes".into(), arguments.minutes.to_string().into()]);
    }
    command::line(words)
}

/// Returns the command that evaluates the network: on the test set, or without one on the validation or training images.
fn to_eval(arguments: &Arguments, folder: &Folder, training: &Training, validation: usize) -> String {
    let architecture = training.net.architecture();
    let mut words =
        vec!["eval".into(), "--weights".into(), command::path(&folder.path().join("network.safetensors"))];
    if let Some(data) = &arguments.data {
        words.extend(["--data".into(), command::path(data)]);
    }
    let test = Source::new(arguments.data.as_deref(), architecture.form()).test();
    let fits = test.is_ok_and(|test| (test.height, test.width) == (architecture.height, architecture.width));
    if !fits {
        let split = if validation > 0 { "validation" } else { "train" };
        let validation = validation.to_string();
        words.extend(["--split", split, "--validation", &validation].map(OsString::from));
    }
    command::line(words)
}

/// Returns the settings: those of `--config`, or else `stored`, or else the default, with the changes of the other flags.
fn config(arguments: &Arguments, stored: Option<Settings>) -> Outcome<Settings> {
    let mut config = match (arguments.config.as_deref(), stored) {
        (None, Some(stored)) => stored,
        (None | Some("default"), _) => Settings::default(),
        (Some("blog"), _) => Settings::blog(),
        (Some("plain"), _) => Settings::plain(),
        (Some("plain-pooled"), _) => Settings::plain_pooled(),
        (Some(file), _) => {
            let path = Path::new(file);
            let text = std::fs::read_to_string(path).at(path).map_err(|failure| {
                failure.mend(
                    "--config takes default, blog, plain, plain-pooled, or a file of `name = value` lines",
                )
            })?;
            let mut config = Settings::default();
            let named = |error| Failure::new(format!("{}: {error}", path.display()));
            config.set_lines(&text).map_err(named)?;
            config
        }
    };
    for setting in &arguments.settings {
        let (name, value) = setting.split_once('=').ok_or_else(|| {
            Failure::new(format!("--set {setting} has no `=`")).mend("give it a value: --set NAME=VALUE")
        })?;
        config.set(name.trim(), value)?;
    }
    for (name, value) in [("epochs", arguments.epochs), ("batch", arguments.batch)] {
        if let Some(value) = value {
            config.set(name, &value.to_string())?;
        }
    }
    Ok(config)
}

/// Adds a remedy to an error of the settings: settings that fit the images, if any do.
fn explain_config(arguments: &Arguments, config: &Settings, error: Error) -> Failure {
    let images = Source::new(arguments.data.as_deref(), config.architecture.form()).training(0, [1, 0]);
    let settings = images.ok().and_then(|(images, _)| fitting_settings(config, &images));
    match settings.filter(|settings| !settings.is_empty() && !arguments.resume) {
        Some(settings) => Failure::from(error)
            .mend(format!("add {}, which fits these images", set(&settings).join(" ")))
            .next(command::again(&[], set(&settings))),
        None => error.into(),
    }
}

/// Adds a remedy to an error about images that do not fit the settings.
fn explain(error: Error, config: &Settings, images: &Images) -> Failure {
    match error {
        Error::Shape { .. } => match fitting_settings(config, images) {
            Some(settings) => Failure::from(error)
                .mend(format!("add {}, which fits these images", set(&settings).join(" ")))
                .next(command::again(&[], set(&settings))),
            None => {
                let Images { height, width, .. } = images;
                Failure::from(error)
                    .mend(format!("name larger images with --data: {height} x {width} pixels are too few"))
            }
        },
        Error::BatchTooLarge { images, .. } => Failure::from(error)
            .mend(format!("name a --batch of at most {images}"))
            .next(command::again(&[], ["--batch", &images.to_string()])),
        Error::BatchTooSmall { batch, .. } => {
            Failure::from(error).mend(format!("start at most {batch} processes"))
        }
        error => error.into(),
    }
}
