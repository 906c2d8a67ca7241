//! Novel viewpoints: trains networks with and without routing on a published test, and classifies familiar and novel views.

use std::path::{Path, PathBuf};
use std::time::Instant;

use em_routing::capsnet::{Settings, Training};
use em_routing::data::idx::Images;
use em_routing::error::Error;
use em_routing::files;
use em_routing::samples::views::{self, ViewSet};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
Trains networks on the published test of novel viewpoints (em-routing render published: 450 images of five shapes, seen from azimuths
of 0 to 150 degrees) and classifies 180 familiar views and 180 views of azimuths from 200 to 330 degrees. The seed N of a run draws
both the images and the training.

Usage: cargo bench --bench viewpoints -- [OPTIONS]

Options:
  --seeds N        run each arm with seeds 1 to N (default 10)
  --epochs N       train for N epochs (default 30)
  --only ARM       run only this arm; may be repeated. The arms are listed below
  --out FILE       CSV file (arm,seed,epochs,parameters,loss,familiar,novel) to which each run adds a line (default
                   assets/capsnet/viewpoints.csv). loss: the mean loss of the last epoch; familiar and novel: the shares of correctly
                   classified images, empty if the training diverged. Runs that it already holds are skipped, so a stop costs only
                   the current run
  --help           show this help

Arms:
  routing-1, routing-2, routing-3   the default network with this many iterations; routing-1 does not route, routing-2 is the default
  stop-gradient                     the default network, with the gradient stopped at the responsibilities
  no-coordinates                    the default network without coordinate addition: its class layer does not see where a capsule is
  plain, plain-pooled               convolutional networks without capsules, flat and with global average pooling

Novel accuracies can be compared at equal familiar accuracy only. Read the column familiar first: where it differs between arms, choose
--epochs for each arm (with --only) until it matches; the epochs are a column of the file, so such runs do not replace others.

Example, in a minute:
  cargo bench --bench viewpoints -- --seeds 1 --epochs 5 --only routing-2 --only plain --out target/viewpoints.csv";

const ARMS: [&str; 7] =
    ["routing-2", "routing-1", "routing-3", "stop-gradient", "no-coordinates", "plain", "plain-pooled"];
const HEADER: &str = "arm,seed,epochs,parameters,loss,familiar,novel\n";
/// The side of the images.
const SIDE: usize = 32;

/// Returns the settings of an arm.
fn settings(arm: &str, epochs: usize) -> Outcome<Settings> {
    let (mut settings, change) = match arm {
        "routing-1" => (Settings::default(), "iterations = 1"),
        "routing-2" => (Settings::default(), "iterations = 2"),
        "routing-3" => (Settings::default(), "iterations = 3"),
        "stop-gradient" => (Settings::default(), "stop-gradient = true"),
        "no-coordinates" => (Settings::default(), "coordinate-addition = false"),
        "plain" => (Settings::plain(), ""),
        "plain-pooled" => (Settings::plain_pooled(), ""),
        _ => return Err(format!("there is no arm {arm}; there are: {}", ARMS.join(", ")).into()),
    };
    settings.set_lines(change)?;
    settings.set_lines(&format!("height = {SIDE}\nwidth = {SIDE}\nclasses = 5\nepochs = {epochs}"))?;
    settings.check()?;
    Ok(settings)
}

struct Options {
    seeds: u64,
    epochs: usize,
    only: Vec<String>,
    out: PathBuf,
}

impl Options {
    fn parse(arguments: &[String]) -> Outcome<Options> {
        let out = em_routing::shipped::viewpoints_file();
        let mut options = Options { seeds: 10, epochs: 30, only: Vec::new(), out };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().cloned().ok_or(format!("{argument} needs a value"));
            let number = |text: String| match text.parse() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(format!("{argument} needs a whole number of at least 1")),
            };
            match argument.as_str() {
                "--seeds" => options.seeds = number(value()?)? as u64,
                "--epochs" => options.epochs = number(value()?)?,
                "--only" => options.only.push(value()?),
                "--out" => options.out = value()?.into(),
                other => return Err(format!("{other}? See --help.").into()),
            }
        }
        Ok(options)
    }
}

/// Trains a network and returns the line of the file, without its end.
fn run(arm: &str, seed: u64, settings: Settings, set: &ViewSet) -> Outcome<String> {
    let epochs = settings.recipe.epochs;
    let mut training = Training::new(settings, seed, 0)?;
    let parameters = training.net.parameters().len();
    let images = &set.train.images;
    let (steps, last_epoch) = (training.steps(images.len()), training.steps_per_epoch(images.len()));
    let mut loss = 0.0;
    let trained = (|| {
        while training.step < steps {
            let report = training.step(images)?;
            if report.step + last_epoch >= steps {
                loss += report.loss / last_epoch as f64;
            }
        }
        let net = training.result();
        let correct = |images: &Images| net.evaluate(images, 0, |_| {}).map(|found| 1.0 - found.error_rate());
        Ok([correct(&set.familiar.images)?, correct(&set.novel.images)?])
    })();
    let run = format!("{arm},{seed},{epochs},{parameters}");
    match trained {
        Ok([familiar, novel]) => Ok(format!("{run},{loss:.6},{familiar:.6},{novel:.6}")),
        Err(Error::Diverged { .. }) => Ok(format!("{run},,,")),
        // the evaluation diverged: a layer returned a number that is not finite
        Err(Error::EntryOutOfRange { value, .. }) if !value.is_finite() => Ok(format!("{run},,,")),
        Err(error) => Err(error.into()),
    }
}

/// Reads the lines of a file without its header; none if there is no such file.
fn read(path: &Path) -> Outcome<Vec<String>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: {error}", path.display()).into()),
    };
    let lines = text.strip_prefix(HEADER).ok_or_else(|| format!("{} has another header", path.display()))?;
    Ok(lines.lines().map(str::to_owned).collect())
}

fn measure(options: &Options) -> Outcome<()> {
    let arms: Vec<&str> = match options.only.is_empty() {
        true => ARMS.to_vec(),
        false => options.only.iter().map(String::as_str).collect(),
    };
    // check all arms before the first run
    for arm in &arms {
        settings(arm, options.epochs)?;
    }
    let out = &options.out;
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut lines = read(out)?;
    // seed by seed, so that a stopped bench has all arms of the first seeds
    for seed in 1..=options.seeds {
        let set = views::shapes(SIDE, seed)?;
        for arm in &arms {
            let begin = format!("{arm},{seed},{},", options.epochs);
            if lines.iter().any(|line| line.starts_with(&begin)) {
                continue;
            }
            let began = Instant::now();
            let line = run(arm, seed, settings(arm, options.epochs)?, &set)?;
            eprintln!("{line}    in {:.0} s", began.elapsed().as_secs_f64());
            lines.push(line);
            files::write(out, format!("{HEADER}{}\n", lines.join("\n")).as_bytes())?;
        }
    }
    print_table(&lines, &arms, options);
    println!("\nThe results are in {}.", out.display());
    Ok(())
}

/// Prints the mean and the range of the accuracies of each arm.
fn print_table(lines: &[String], arms: &[&str], options: &Options) {
    println!("| arm, {} epochs | seeds | familiar | novel |\n|---|---|---|---|", options.epochs);
    for arm in arms {
        let own: Vec<Vec<&str>> = lines.iter().map(|line| line.split(',').collect()).collect();
        let epochs = options.epochs.to_string();
        let own =
            own.iter().filter(|line| line.first() == Some(arm) && line.get(2) == Some(&epochs.as_str()));
        let column = |at: usize| -> Vec<f64> {
            own.clone().filter_map(|line| line.get(at).and_then(|text| text.parse().ok())).collect()
        };
        let words = |numbers: Vec<f64>| {
            let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
            let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
            let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            format!("{mean:.3} ({least:.3} to {most:.3})")
        };
        println!("| {arm} | {} | {} | {} |", own.clone().count(), words(column(5)), words(column(6)));
    }
}

fn main() {
    // Cargo adds --bench of its own accord.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{HELP}");
        return;
    }
    if let Err(error) = Options::parse(&arguments).and_then(|options| measure(&options)) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}
