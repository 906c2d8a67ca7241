//! Novel viewpoints: trains networks with and without routing on some views of objects, and classifies familiar and novel views.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use em_routing::capsnet::{Evaluation, Settings, Training};
use em_routing::data::idx::ImageSet;
use em_routing::error::Error;
use em_routing::files;
use em_routing::samples::views::{self, AFFINE_SIDE, SHAPE_SIDE, Split, ViewSet, Views};
use em_routing::shipped::{mnist_folder, viewpoints_file};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
Trains networks on images of familiar viewpoints and classifies familiar and novel views. The seed N of a run draws both the images
and the training.

Usage: cargo bench --bench viewpoints -- [OPTIONS]

Options:
  --set SET        the images, as `em-routing render` draws them (default published; below)
  --seeds N        run each arm with seeds 1 to N (default 10)
  --epochs N       train for N epochs (default 30 for published, 4 for solids and solids-48, 2 for development,
                   1 for affine)
  --only ARM       run only this arm; may be repeated. The arms are listed below
  --change NAME=VALUE
                   change a setting of all arms; may be repeated. Use another --out, since the file does not hold the change
  --threads N      number of threads, 0 for one per core (default); does not affect the result
  --out FILE       CSV file (set,arm,seed,epochs,parameters,loss,familiar,novel) to which each run adds a line (default
                   assets/capsnet/viewpoints.csv). loss: the mean loss of the last epoch; familiar and novel: the shares of correctly
                   classified images, empty if the training diverged. Runs that it already holds are skipped, so a stop costs only
                   the current run. FILE-views.csv beside it holds the correctly classified images of each azimuth and elevation
  --help           show this help

Sets:
  published        five shapes of points, 32 x 32: 450 images from azimuths of 0 to 150 degrees; 180 familiar views, and 180 novel
                   ones of 200 to 330 degrees
  solids           five kinds of solid bodies, 32 x 32, in the manner of smallNORB: 8,100 images of five instances of each, from a
                   third of the azimuths; 8,100 familiar and 16,200 novel views of five other instances
  solids-48        the same with 48 x 48 pixels
  affine           MNIST's digits, 40 x 40: 60,000 shifted ones; 10,000 shifted test digits as familiar views, and the same digits
                   rotated, sheared and scaled as novel ones
  development      the solid bodies, split by elevation instead; settings are chosen here, so that no reported set chooses its own

Arms:
  routing-1, routing-2, routing-3   the default network with this many iterations; routing-1 does not route, routing-2 is the default
  stop-gradient                     the default network, with the gradient stopped at the responsibilities
  no-coordinates                    the default network without coordinate addition: its class layer does not see where a capsule is
  plain, plain-pooled               convolutional networks without capsules, flat and with global average pooling, by their own recipe
  plain-tuned, pooled-tuned         the same with the learning rate and the dropout that were best on the set development

Novel accuracies can be compared at equal familiar accuracy only. Read the column familiar first: where it differs between arms, choose
--epochs for each arm (with --only) until it matches; the epochs are a column of the file, so such runs do not replace others.

Example, in a minute:
  cargo bench --bench viewpoints -- --seeds 1 --epochs 5 --only routing-2 --only plain --out target/viewpoints.csv";

const ARMS: [&str; 9] = [
    "routing-2",
    "routing-1",
    "plain",
    "plain-pooled",
    "plain-tuned",
    "pooled-tuned",
    "stop-gradient",
    "no-coordinates",
    "routing-3",
];
const HEADER: &str = "set,arm,seed,epochs,parameters,loss,familiar,novel\n";
const VIEWS_HEADER: &str = "set,arm,seed,epochs,part,azimuth,elevation,images,correct\n";

/// A set of images.
struct Set {
    name: &'static str,
    /// The height and width of an image, in pixels.
    side: usize,
    classes: usize,
    /// The epochs that its networks are trained for by default.
    epochs: usize,
    /// Draws images of a side by a seed.
    draw: fn(usize, u64) -> Result<ViewSet, Error>,
}

const SETS: [Set; 5] = [
    Set { name: "published", side: SHAPE_SIDE, classes: 5, epochs: 30, draw: views::shapes },
    Set { name: "solids", side: SHAPE_SIDE, classes: 5, epochs: 4, draw: by_azimuth },
    Set { name: "solids-48", side: 48, classes: 5, epochs: 4, draw: by_azimuth },
    Set { name: "affine", side: AFFINE_SIDE, classes: 10, epochs: 1, draw: affine },
    Set { name: "development", side: SHAPE_SIDE, classes: 5, epochs: 2, draw: by_elevation },
];

fn by_azimuth(side: usize, seed: u64) -> Result<ViewSet, Error> {
    views::solids(side, Split::Azimuth, seed)
}

fn by_elevation(side: usize, seed: u64) -> Result<ViewSet, Error> {
    views::solids(side, Split::Elevation, seed)
}

/// These images have one side only.
fn affine(_: usize, seed: u64) -> Result<ViewSet, Error> {
    views::affine_digits(&ImageSet::load(mnist_folder(), 0)?, seed)
}

/// Returns the set of this name.
fn set_named(name: &str) -> Outcome<&'static Set> {
    SETS.iter().find(|set| set.name == name).ok_or_else(|| {
        let names = SETS.each_ref().map(|set| set.name).join(", ");
        format!("there is no set {name}; there are: {names}").into()
    })
}

/// Returns the settings of an arm.
fn settings(arm: &str, options: &Options) -> Outcome<Settings> {
    let (mut settings, change) = match arm {
        "routing-1" => (Settings::default(), "iterations = 1"),
        "routing-2" => (Settings::default(), "iterations = 2"),
        "routing-3" => (Settings::default(), "iterations = 3"),
        "stop-gradient" => (Settings::default(), "stop-gradient = true"),
        "no-coordinates" => (Settings::default(), "coordinate-addition = false"),
        "plain" => (Settings::plain(), ""),
        "plain-pooled" => (Settings::plain_pooled(), ""),
        // chosen on the set development, seed 1; the table is in docs/measurements.md
        "plain-tuned" => (Settings::plain(), "dropout = 0"),
        "pooled-tuned" => (Settings::plain_pooled(), "dropout = 0\nlearning-rate = 0.004"),
        _ => return Err(format!("there is no arm {arm}; there are: {}", ARMS.join(", ")).into()),
    };
    settings.set_lines(change)?;
    let (Set { side, classes, .. }, epochs) = (options.set, options.epochs());
    settings
        .set_lines(&format!("height = {side}\nwidth = {side}\nclasses = {classes}\nepochs = {epochs}"))?;
    settings.set_lines(&options.changes.join("\n"))?;
    settings.check()?;
    Ok(settings)
}

struct Options {
    set: &'static Set,
    seeds: u64,
    epochs: Option<usize>,
    only: Vec<String>,
    changes: Vec<String>,
    threads: usize,
    out: PathBuf,
}

impl Options {
    fn parse(arguments: &[String]) -> Outcome<Options> {
        let mut options = Options {
            set: &SETS[0],
            seeds: 10,
            epochs: None,
            only: Vec::new(),
            changes: Vec::new(),
            threads: 0,
            out: viewpoints_file(),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().cloned().ok_or(format!("{argument} needs a value"));
            let number = |text: String, least: usize| match text.parse() {
                Ok(number) if number >= least => Ok(number),
                _ => Err(format!("{argument} needs a whole number of at least {least}")),
            };
            match argument.as_str() {
                "--set" => options.set = set_named(&value()?)?,
                "--seeds" => options.seeds = number(value()?, 1)? as u64,
                "--epochs" => options.epochs = Some(number(value()?, 1)?),
                "--only" => options.only.push(value()?),
                "--change" => options.changes.push(value()?.replacen('=', " = ", 1)),
                "--threads" => options.threads = number(value()?, 0)?,
                "--out" => options.out = value()?.into(),
                other => return Err(format!("{other}? See --help.").into()),
            }
        }
        Ok(options)
    }

    fn epochs(&self) -> usize {
        self.epochs.unwrap_or(self.set.epochs)
    }

    /// The first columns of a run, which no other run has.
    fn key(&self, arm: &str, seed: u64) -> String {
        format!("{},{arm},{seed},{},", self.set.name, self.epochs())
    }

    /// The file with the counts of each view.
    fn views_file(&self) -> PathBuf {
        let name = self.out.file_stem().map(|name| name.to_string_lossy()).unwrap_or_default();
        self.out.with_file_name(format!("{name}-views.csv"))
    }
}

/// What a run adds to the two files, after the columns of its key.
struct Found {
    line: String,
    views: Vec<String>,
}

/// Trains a network and evaluates it.
fn run(settings: Settings, seed: u64, threads: usize, set: &ViewSet) -> Outcome<Found> {
    let mut training = Training::new(settings, seed, threads)?;
    let parameters = training.net.parameters().len();
    let images = &set.train.images;
    let (steps, last_epoch) = (training.steps(images.len()), training.steps_per_epoch(images.len()));
    let mut loss = 0.0;
    let trained: Result<[Evaluation; 2], Error> = (|| {
        while training.step < steps {
            let report = training.step(images)?;
            if report.step + last_epoch >= steps {
                loss += report.loss / last_epoch as f64;
            }
        }
        let net = training.result();
        let found = |views: &Views| net.evaluate(&views.images, threads, |_| {});
        Ok([found(&set.familiar)?, found(&set.novel)?])
    })();
    match trained {
        Ok([familiar, novel]) => {
            let [own, other] = [&familiar, &novel].map(|found| 1.0 - found.error_rate());
            let mut views = count_views("familiar", &set.familiar, &familiar);
            views.extend(count_views("novel", &set.novel, &novel));
            Ok(Found { line: format!("{parameters},{loss:.6},{own:.6},{other:.6}"), views })
        }
        Err(error) if error.is_divergence() => Ok(Found { line: format!("{parameters},,,"), views: vec![] }),
        Err(error) => Err(error.into()),
    }
}

/// Counts the correctly classified images of each azimuth and elevation. Returns the last columns of the file; none if the views have no
/// azimuth.
fn count_views(part: &str, views: &Views, found: &Evaluation) -> Vec<String> {
    let ["azimuth", "elevation", ..] = views.names else { return Vec::new() };
    let mut counts: BTreeMap<[i64; 2], [usize; 2]> = BTreeMap::new();
    for (parameters, (predicted, label)) in
        views.parameters.iter().zip(found.predictions.iter().zip(&found.labels))
    {
        // angles are whole degrees
        let [images, correct] = counts.entry([parameters[0] as i64, parameters[1] as i64]).or_default();
        *images += 1;
        *correct += usize::from(predicted == label);
    }
    let line = |([azimuth, elevation], [images, correct]): ([i64; 2], [usize; 2])| {
        format!("{part},{azimuth},{elevation},{images},{correct}")
    };
    counts.into_iter().map(line).collect()
}

/// Reads the lines of a file without its header; none if there is no such file.
fn read(path: &Path, header: &str) -> Outcome<Vec<String>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: {error}", path.display()).into()),
    };
    let lines = text.strip_prefix(header).ok_or_else(|| format!("{} has another header", path.display()))?;
    Ok(lines.lines().map(str::to_owned).collect())
}

/// Writes a file of these lines.
fn write(path: &Path, header: &str, lines: &[String]) -> Outcome<()> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    Ok(files::write(path, format!("{header}{text}").as_bytes())?)
}

fn measure(options: &Options) -> Outcome<()> {
    let arms: Vec<&str> = match options.only.is_empty() {
        true => ARMS.to_vec(),
        false => options.only.iter().map(String::as_str).collect(),
    };
    // check all arms before the first run
    for arm in &arms {
        settings(arm, options)?;
    }
    let (out, views_out) = (&options.out, options.views_file());
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut lines = read(out, HEADER)?;
    let mut views = read(&views_out, VIEWS_HEADER)?;
    // seed by seed, so that a stopped bench has all arms of the first seeds
    for seed in 1..=options.seeds {
        let mut set = None;
        for arm in &arms {
            let key = options.key(arm, seed);
            if lines.iter().any(|line| line.starts_with(&key)) {
                continue;
            }
            let set = match &mut set {
                Some(set) => set,
                none => none.insert((options.set.draw)(options.set.side, seed)?),
            };
            let began = Instant::now();
            let found = run(settings(arm, options)?, seed, options.threads, set)?;
            eprintln!("{key}{}    in {:.0} s", found.line, began.elapsed().as_secs_f64());
            views.retain(|line| !line.starts_with(&key));
            views.extend(found.views.iter().map(|line| format!("{key}{line}")));
            write(&views_out, VIEWS_HEADER, &views)?;
            // last, since this line says that the run is complete
            lines.push(format!("{key}{}", found.line));
            write(out, HEADER, &lines)?;
        }
    }
    print_table(&lines, &arms, options);
    println!("\nThe results are in {}, by view in {}.", out.display(), views_out.display());
    Ok(())
}

/// Prints the mean and the range of the accuracies of each arm.
fn print_table(lines: &[String], arms: &[&str], options: &Options) {
    let (set, epochs) = (options.set.name, options.epochs());
    println!("| {set}, {epochs} epochs | seeds | familiar | novel |\n|---|---|---|---|");
    for arm in arms {
        let fields = lines.iter().map(|line| line.split(',').collect::<Vec<&str>>());
        let wanted = [set, arm, &epochs.to_string()];
        let own: Vec<_> =
            fields.filter(|line| line.len() == 8 && [line[0], line[1], line[3]] == wanted).collect();
        let words = |at: usize| {
            let numbers: Vec<f64> = own.iter().filter_map(|line| line[at].parse().ok()).collect();
            let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
            let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
            let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            format!("{mean:.3} ({least:.3} to {most:.3})")
        };
        println!("| {arm} | {} | {} | {} |", own.len(), words(6), words(7));
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
