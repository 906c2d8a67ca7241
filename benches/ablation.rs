//! Ablation of the capsule network's default recipe: trains with one change at a time and counts misclassified validation images.
//! With `--grid`, trains with all combinations of four choices in which the blog and the default recipe differ.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use em_routing::capsnet::loss::spread_loss;
use em_routing::capsnet::{CapsNet, Recipe, Settings, Training};
use em_routing::data::idx::{ImageSet, Images};
use em_routing::error::Error;
use em_routing::figures::records::{Trial, read_trials};
use em_routing::files;
use em_routing::shipped::{ablation_file, grid_file, mnist_folder};
use ndarray::Array2;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
Trains the capsule network for one epoch on part of MNIST, by the default recipe and with one change at a time, and counts the
validation images that each network misclassifies. Before each training it also measures the untrained network: the share of
capsules that are saturated (activation below 0.01 or above 0.99), and the share of the promised decrease of the loss that a step
of 0.001 for each parameter keeps. The test set is not read.

Usage: cargo bench --bench ablation -- [OPTIONS]

Options:
  --images N       train on the first N images (default 5500, a tenth of them)
  --validation N   evaluate on the last N of the 5000 validation images (default 3000)
  --seeds N        train the default recipe with seeds 1 to N (default 3); compare a change with their spread. All other runs
                   have seed 1; with --grid, all runs have seeds 1 to N
  --grid           run all 48 combinations of normalised costs (yes, no), lambda (the blog's, 1, 0.5, the paper's), the initial
                   parameters (the blog's, ours) and the number of iterations (1, 2, 3), and the blog's own network with fewer
                   iterations and a smaller lambda
  --only SWITCH    run only this change; may be repeated. NAME=VALUE changes a setting; several, separated by spaces, change
                   together. default, blog, blog-start, blog-routing and blog-training are names of groups
  --out FILE       CSV file (setting,seed,images,saturated,kept,error) to which each run adds a line (default
                   assets/capsnet/ablation.csv; with --grid assets/capsnet/grid.csv). Runs that it already holds are skipped, so
                   a stop costs only the current run. Use one file per --validation and per default recipe. A training that
                   diverges has no error
  --help           show this help

Example, in half a minute:
  cargo bench --bench ablation -- --images 800 --validation 500 --seeds 1 --only iterations=3 --only 'beta-v=0 beta-a=0' \\
    --out target/ablation.csv";

/// The changes to run after the default, the most informative first, in case the bench is stopped half-way.
const SWITCHES: &[&str] = &[
    // The blog's network as published, and its differences from the default by part; the features, another part, follow below
    "blog",
    "blog-start",
    "blog-routing",
    "blog-training",
    // The features and their downsampling
    "deep-features=0",
    "pooling=none",
    "deep-features=0 pooling=none",
    "deep-layers=2",
    "deep-layers=2 first=16 second=16",
    // Routing
    "iterations=3",
    "iterations=1",
    "inverse-temperature=linear",
    "inverse-temperature=saturating:0.01",
    "normalise-costs=true",
    "cost-scale=one",
    // Initial parameters
    "transform-identity=0",
    "transform-deviation=1",
    "pose-identity=0",
    "feature-gain=1",
    "beta-v=0 beta-a=0",
    // Training
    "variance-floor=1e-9",
    "schedule=constant",
    "batch=16",
    "batch=24",
    "mean-loss=false",
    "weight-decay=0.1",
    "averaging=0",
    "learning-rate=1e-3",
    "learning-rate=1e-2",
    "margin=constant:0.6",
    "margin=constant:0.9",
    "margin=ramp:1",
    "clipping=parts:4",
    // Further values of settings above
    "variance-floor=1e-2",
    "inverse-temperature=constant:0.1",
    "inverse-temperature=constant:1",
    "clipping=none",
];

/// Returns the names of the grid's cells, and of trials with the blog's own network. The default recipe is one of the cells; it
/// keeps its long name.
fn grid() -> Vec<String> {
    let mut cells = Vec::new();
    for normalised in ["true", "false"] {
        for lambda in ["linear", "constant:1", "constant:0.5", "saturating:0.01"] {
            for start in ["blog-start ", ""] {
                for iterations in 1..=3 {
                    cells.push(format!(
                        "normalise-costs={normalised} inverse-temperature={lambda} {start}iterations={iterations}"
                    ));
                }
            }
        }
    }
    // what the grid says of the blog's corner, tried on the blog's own network and training
    let changes = ["", " iterations=2", " iterations=1", " inverse-temperature=constant:0.5"];
    cells.extend(changes.map(|change| format!("blog{change}")));
    cells.push("blog iterations=2 inverse-temperature=constant:0.5".into());
    cells
}

/// Returns the settings of the default recipe with this change, for one epoch.
fn settings(switch: &str) -> Outcome<Settings> {
    let (mut settings, blog) = (Settings::default(), Settings::blog());
    for word in switch.split_whitespace() {
        match (word, word.split_once('=')) {
            ("default", _) => {}
            ("blog", _) => settings = blog.clone(),
            ("blog-start", _) => settings.architecture.start = blog.architecture.start,
            ("blog-routing", _) => settings.architecture.routing = blog.architecture.routing.clone(),
            ("blog-training", _) => settings.recipe = blog.recipe,
            (_, Some((name, value))) => settings.set(name, value)?,
            _ => {
                return Err(format!("{word} is neither NAME=VALUE nor a known group. See --help.").into());
            }
        }
    }
    settings.recipe.epochs = 1;
    settings.check()?;
    Ok(settings)
}

struct Options {
    images: usize,
    validation: usize,
    seeds: u64,
    only: Vec<String>,
    grid: bool,
    out: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[String]) -> Outcome<Options> {
        let mut options =
            Options { images: 5500, validation: 3000, seeds: 3, only: Vec::new(), grid: false, out: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let value = |value: Option<&String>| value.cloned().ok_or(format!("{argument} needs a value"));
            let number = |text: Option<&String>| match value(text)?.parse() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(format!("{argument} needs a whole number of at least 1")),
            };
            match argument.as_str() {
                "--images" => options.images = number(arguments.next())?,
                "--validation" => options.validation = number(arguments.next())?,
                "--seeds" => options.seeds = number(arguments.next())? as u64,
                // separate settings by single spaces, so that a change has one name in the file
                "--only" => {
                    let words = value(arguments.next())?.replace(';', " ");
                    let switch = words.split_whitespace().collect::<Vec<_>>().join(" ");
                    if !options.only.contains(&switch) {
                        options.only.push(switch);
                    }
                }
                "--grid" => options.grid = true,
                "--out" => options.out = Some(value(arguments.next())?.into()),
                other => return Err(format!("{other}? See --help.").into()),
            }
        }
        Ok(options)
    }

    /// Returns the runs to make: a change and a seed each.
    fn runs(&self) -> Vec<(String, u64)> {
        let mut switches: Vec<String> = self.only.clone();
        if self.grid && switches.is_empty() {
            switches.extend(grid());
        } else if switches.is_empty() {
            switches.push("default".into());
            switches.extend(SWITCHES.iter().map(|&switch| switch.to_owned()));
        }
        let seeds = |switch: &str| if switch == "default" || self.grid { self.seeds } else { 1 };
        switches
            .into_iter()
            .flat_map(|switch| (1..=seeds(&switch)).map(move |seed| (switch.clone(), seed)))
            .collect()
    }

    fn out(&self) -> PathBuf {
        let default = if self.grid { grid_file } else { ablation_file };
        self.out.clone().unwrap_or_else(default)
    }
}

/// Reads the trials in a file; none if there is no such file.
fn read(path: &Path) -> Outcome<Vec<Trial>> {
    match read_trials(path) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => Ok(read?),
    }
}

fn write(path: &Path, rows: &[Trial]) -> Outcome<()> {
    let number = |number: &Option<f64>| number.map_or(String::new(), |number| format!("{number:.6}"));
    let line = |row: &Trial| {
        let [saturated, kept, error] = [&row.saturated, &row.kept, &row.error].map(number);
        format!("{},{},{},{saturated},{kept},{error}\n", row.setting, row.seed, row.images)
    };
    let text =
        format!("setting,seed,images,saturated,kept,error\n{}", rows.iter().map(line).collect::<String>());
    Ok(files::write(path, text.as_bytes())?)
}

/// Progress of all runs, on the standard error.
struct Progress {
    began: Instant,
    /// Work of all runs, in training images; an image in an evaluation counts as a third.
    all: f64,
    said: Instant,
}

impl Progress {
    /// Shows the progress on a terminal, where the line can be overwritten.
    fn at(&mut self, name: &str, seen: f64) {
        if std::io::stderr().is_terminal() && self.said.elapsed() > Duration::from_millis(500) {
            self.said = Instant::now();
            eprint!("\r{}: {name} ...\x1b[K", self.words(seen));
            let _ = std::io::stderr().flush();
        }
    }

    fn words(&self, seen: f64) -> String {
        let elapsed = self.began.elapsed().as_secs_f64();
        let left = elapsed / seen.max(1.0) * (self.all - seen);
        format!("{} elapsed, about {} left", clock(elapsed), clock(left))
    }
}

fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// The step, for each parameter, over which the promised decrease of the loss is checked: the blog's learning rate.
const STEP: f32 = 1e-3;
/// Images on which an untrained network is measured.
const LOOK: usize = 48;

/// Returns the spread loss of the first [`LOOK`] images, its gradient, and the share of saturated routed capsules.
fn look(net: &CapsNet, recipe: &Recipe, images: &Images) -> Outcome<(f64, Vec<f32>, f64)> {
    let numbers: Vec<usize> = (0..LOOK.min(images.len())).collect();
    let labels: Vec<usize> = numbers.iter().map(|&n| usize::from(images.labels[n])).collect();
    let pass = net.forward_keeping(&net.pixels(images, &numbers)?, 0)?;
    let classes = &pass.classes().activations;
    let wide = classes.iter().map(|&a| f64::from(a)).collect();
    let activations = Array2::from_shape_vec((labels.len(), classes.len() / labels.len()), wide)?;
    let (loss, d_activations) = spread_loss(&activations, &labels, recipe.margin(0, 1))?;
    let d_activations: Vec<f32> = d_activations.iter().map(|&d| d as f32).collect();
    let gradient = net.backward(&pass, &d_activations, 0)?.numbers().to_vec();
    let layers = ["first", "second", "class"].map(|layer| pass.layer(layer));
    let layers = layers.into_iter().collect::<Result<Vec<_>, _>>()?;
    let routed = || layers.iter().flat_map(|layer| &layer.activations);
    let saturated = routed().filter(|a| !(0.01..=0.99).contains(*a)).count();
    Ok((loss, gradient, saturated as f64 / routed().count() as f64))
}

/// Returns the share of saturated capsules of the untrained network, and the share of the promised decrease of the loss that a
/// step against the signs of the gradient keeps, as Adam's first step is. `None` for a number that is not finite.
///
/// ```text
/// kept = (L(w) - L(w - step sign(g))) / (step sum |g|)
/// ```
fn untrained(settings: &Settings, seed: u64, images: &Images) -> Outcome<[Option<f64>; 2]> {
    let Settings { architecture, recipe } = settings.clone();
    let mut net = CapsNet::new(architecture, seed)?;
    let Ok((before, gradient, saturated)) = look(&net, &recipe, images) else { return Ok([None, None]) };
    let promised = f64::from(STEP) * gradient.iter().map(|g| f64::from(g.abs())).sum::<f64>();
    let moved = net.parameters_mut().numbers_mut().iter_mut().zip(&gradient);
    moved.filter(|(_, g)| **g != 0.0).for_each(|(w, g)| *w -= STEP * g.signum());
    let kept = look(&net, &recipe, images).map(|(after, ..)| (before - after) / promised);
    Ok([Some(saturated), kept.ok().filter(|kept| kept.is_finite())])
}

/// Trains and returns the validation error, or `None` if the training diverged. Calls `seen` with the numbers of images
/// trained on and evaluated.
fn run(
    settings: Settings,
    seed: u64,
    images: &Images,
    validation: &Images,
    mut seen: impl FnMut(usize, usize),
) -> Outcome<Option<f64>> {
    let mut training = Training::new(settings, seed, 0)?;
    let trained: Result<f64, Error> = (|| {
        while training.step < training.steps(images.len()) {
            let report = training.step(images)?;
            seen((report.step + 1) * report.images, 0);
        }
        let evaluation = training.result().evaluate(validation, 0, |count| seen(images.len(), count))?;
        Ok(evaluation.error_rate())
    })();
    match trained {
        Ok(error) => Ok(Some(error)),
        Err(error) if error.is_divergence() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn ablate(options: &Options) -> Outcome<()> {
    let (mut images, mut validation) = ImageSet::load_training(mnist_folder(), 5000, 10)?;
    for (name, wanted, there) in
        [("--images", options.images, images.len()), ("--validation", options.validation, validation.len())]
    {
        if wanted > there {
            return Err(format!("{name} is {wanted}, but there are only {there}").into());
        }
    }
    images = images.slice(0..options.images);
    validation = validation.slice(validation.len() - options.validation..validation.len());
    let out = options.out();
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }

    let mut rows = read(&out)?;
    let is_there = |rows: &[Trial], setting: &str, seed: u64| {
        rows.iter().any(|row| (row.setting.as_str(), row.seed, row.images) == (setting, seed, options.images))
    };
    // check all settings before the first run
    let default = settings("default")?;
    let mut runs = Vec::new();
    for (switch, seed) in options.runs() {
        let settings = settings(&switch)?;
        if settings == default && switch != "default" && !options.grid {
            eprintln!("{switch} equals the default: skipped");
        } else {
            runs.push((switch, seed, settings));
        }
    }
    let asked = runs.len();
    runs.retain(|(switch, seed, _)| !is_there(&rows, switch, *seed));
    eprintln!("{} runs, {} of them in {} already", asked, asked - runs.len(), out.display());
    let whole = options.images as f64 + options.validation as f64 / 3.0;
    let began = Instant::now();
    let mut progress = Progress { began, all: whole * runs.len() as f64, said: began };
    let count = runs.len();
    for (at, (setting, seed, settings)) in runs.into_iter().enumerate() {
        let name = format!("{setting}, seed {seed} ({} of {count})", at + 1);
        let before = whole * at as f64;
        let started = Instant::now();
        let [saturated, kept] = untrained(&settings, seed, &images)?;
        let error = run(settings, seed, &images, &validation, |trained, looked_at| {
            progress.at(&name, before + trained as f64 + looked_at as f64 / 3.0);
        })?;
        let words = error.map_or("diverged".into(), |error| format!("error {:.2} %", 100.0 * error));
        let back = if std::io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
        let took = clock(started.elapsed().as_secs_f64());
        eprintln!("{back}{}: {name}: {words} in {took}", progress.words(before + whole));
        rows.push(Trial { setting, seed, images: options.images, saturated, kept, error });
        write(&out, &rows)?;
    }

    rows.retain(|row| row.images == options.images);
    print_table(&rows);
    println!("\nThe results are in {}.", out.display());
    println!("Next: notebook 9 draws it (cargo run --release -- lab).");
    Ok(())
}

/// Prints the errors and their differences from the default's mean.
fn print_table(rows: &[Trial]) {
    let default: Vec<f64> =
        rows.iter().filter(|row| row.setting == "default").filter_map(|row| row.error).collect();
    let mean = default.iter().sum::<f64>() / default.len() as f64;
    println!("| change | seed | saturated, % | kept, % | error, % | above the default's mean |");
    println!("|---|---|---|---|---|---|");
    let percent = |share: Option<f64>| share.map_or(String::new(), |share| format!("{:.1}", 100.0 * share));
    for row in rows {
        let error = row.error.map_or("diverged".to_owned(), |error| format!("{:.2}", 100.0 * error));
        let above =
            row.error.filter(|_| !default.is_empty()).map(|error| format!("{:+.2}", 100.0 * (error - mean)));
        let (saturated, kept) = (percent(row.saturated), percent(row.kept));
        let above = above.unwrap_or_default();
        println!("| {} | {} | {saturated} | {kept} | {error} | {above} |", row.setting, row.seed);
    }
    if default.len() > 1 {
        let [least, most] = [f64::min, f64::max].map(|of| default.iter().copied().reduce(of).unwrap_or(mean));
        println!(
            "\nThe default's {} seeds: mean {:.2} %, from {:.2} to {:.2} %. A difference within this range means nothing.",
            default.len(),
            100.0 * mean,
            100.0 * least,
            100.0 * most
        );
    }
}

fn main() {
    // Cargo adds --bench of its own accord.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{HELP}");
        return;
    }
    if let Err(error) = Options::parse(&arguments).and_then(|options| ablate(&options)) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}
