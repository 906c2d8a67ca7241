//! `em-routing fit`: fits K-means or a mixture to a table, and resumes a stopped fit.

mod checkpoint;
mod keeper;
mod memory;
mod missing;
mod numbers;
mod places;
mod report;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use em_routing::data::tables::Tables;
use em_routing::data::{Incomplete, Rows, all_numbers, count_missing, own_rows};
use em_routing::em::{Course, Stop};
use em_routing::error::Error;
use em_routing::gmm::{CovarianceKind, Criteria, Gmm, GmmCourse, GmmOptions};
use em_routing::kmeans::{KMeans, KMeansOptions};
use em_routing::on_threads;

use self::checkpoint::{Checkpoint, Settings};
use self::keeper::Keeper;
use self::numbers::Numbers;
use self::places::Places;
use self::report::{report, say_written};
use super::command;
use super::failure::{Failure, Outcome};
use super::model::{Model, ModelFile, Rated, save_json};
use super::progress::{Board, seconds};
use super::ranks::Ranks;
use super::stop;
use super::table::{self, Source};

#[derive(clap::Args)]
pub struct Arguments {
    /// The model to fit
    #[arg(value_enum, value_name = "kmeans|mixture", hide_possible_values = true)]
    family: Family,
    #[command(flatten)]
    source: Source,
    /// Number of components or clusters; FROM..TO tries each of them and keeps the mixture with the smallest criterion
    #[arg(long, alias = "clusters", value_name = "K|FROM..TO", value_parser = counts)]
    components: RangeInclusive<usize>,
    /// Type of the covariances of a mixture
    #[arg(
        long,
        value_enum,
        value_name = "full|tied|diagonal|spherical",
        hide_possible_values = true,
        default_value = "full"
    )]
    covariance: Covariance,
    /// File for the model, as JSON
    #[arg(long, value_name = "FILE", default_value = "model.json")]
    out: PathBuf,
    /// Criterion that chooses the number of components of a mixture
    #[arg(long, value_enum, value_name = "bic|icl|aic", hide_possible_values = true, default_value = "bic")]
    criterion: Criterion,
    /// Random seed of the starts
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of runs from new random starts for each number of components; the best is kept
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    restarts: u32,
    /// Column with the weight of each row, by name or by number from 1: a row of weight 2 counts twice, one of 0 not at all
    #[arg(long, value_name = "COLUMN")]
    weights: Option<String>,
    /// A run ends when an iteration changes the log-likelihood of all rows (in nats) or the inertia by at most this number
    /// [default: 1e-6 for a mixture, 0 for K-means]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    tolerance: Option<f64>,
    /// Maximum number of iterations of a run [default: 100 for a mixture, 300 for K-means]
    #[arg(long, value_name = "N")]
    iterations: Option<usize>,
    /// This number is added to each variance of a mixture, so that no component collapses
    #[arg(long, value_name = "NUMBER", default_value_t = 1e-6, allow_negative_numbers = true)]
    floor: f64,
    /// Number of threads, 0 for one per core; does not affect the result
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    threads: u16,
    /// Continues a stopped fit from the checkpoint beside the output; the model has the same bytes as without the stop
    #[arg(long)]
    resume: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Family {
    Kmeans,
    Mixture,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Covariance {
    Full,
    Tied,
    Diagonal,
    Spherical,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Criterion {
    Bic,
    Icl,
    Aic,
}

impl Criterion {
    fn of(self, criteria: &Criteria) -> f64 {
        match self {
            Criterion::Bic => criteria.bic,
            Criterion::Icl => criteria.icl,
            Criterion::Aic => criteria.aic,
        }
    }
}

impl From<Covariance> for CovarianceKind {
    fn from(covariance: Covariance) -> CovarianceKind {
        match covariance {
            Covariance::Full => CovarianceKind::Full,
            Covariance::Tied => CovarianceKind::Tied,
            Covariance::Diagonal => CovarianceKind::Diagonal,
            Covariance::Spherical => CovarianceKind::Spherical,
        }
    }
}

/// Parses `3`, or `2..10` for 2 to 10.
fn counts(text: &str) -> Result<RangeInclusive<usize>, String> {
    let whole = |text: &str| text.trim().parse().ok().filter(|&count: &usize| count > 0);
    let range = match text.split_once("..") {
        Some((from, to)) => whole(from).zip(whole(to.trim_start_matches('='))),
        None => whole(text).map(|count| (count, count)),
    };
    match range {
        Some((from, to)) if from <= to => Ok(from..=to),
        _ => Err("should be a whole number from 1, such as 3, or a range, such as 2..10".to_owned()),
    }
}

/// A fit with its data, checked and ready to begin.
struct Job<'a> {
    arguments: &'a Arguments,
    data: &'a dyn Rows,
    weights: Option<Vec<f64>>,
    settings: Settings,
    places: &'a Places,
    board: Board,
    stop: Arc<AtomicUsize>,
    ranks: &'a Ranks,
}

/// How a fit ended.
enum Ended {
    /// With this model, the criteria of each number of components, and the numbers of components whose runs all collapsed.
    Done { model: Model, criteria: Vec<Rated>, collapsed: Vec<usize> },
    /// Stopped by a signal, with the best model so far.
    Stopped { model: Option<Model>, criteria: Vec<Rated> },
}

/// Fits a model and writes it, or continues a stopped fit with `--resume`. Under `mpirun` the processes share the rows.
pub fn fit(arguments: &Arguments) -> Outcome<ExitCode> {
    Ranks::run("the rows", |ranks| fit_together(arguments, ranks))
}

fn fit_together(arguments: &Arguments, ranks: &Ranks) -> Outcome<ExitCode> {
    let started = Instant::now();
    let board = Board::default();
    let (mut table, columns, weight) = ranks.agree(open(arguments, &board))?;
    let settings = ranks.agree(settings(arguments, &columns))?;
    ranks.check_same(settings.clone())?;
    let weights = match weight {
        Some(column) => Some(ranks.agree(weights(arguments, ranks, &mut table, column))?),
        None => None,
    };
    table.select(&columns);
    let (out, source) = (&arguments.out, &arguments.source);
    // the first has the lock before the others touch the files beside the output
    let first = ranks.agree(if ranks.is_first() { Places::take(out, source).map(Some) } else { Ok(None) })?;
    let own_places = || Places::of_rank(out, source, ranks.place().0);
    let places = ranks.agree(first.map_or_else(own_places, Ok))?;
    let checkpoint = ranks.same_as_first(|| checkpoint(arguments, &settings, &places))?;
    let explain = |error: Error| explain(error, arguments, &table, &columns);
    let stop = stop::on_signals(&board, "this iteration will be finished and saved");
    let own = own_rows(&ranks.share(&table));
    let numbers = Numbers::new(&table, own, &places, &board, &stop);
    let stopped = numbers.is_err() && stop.load(Ordering::Relaxed) > 0;
    let why = |error| if stopped { Failure::elsewhere() } else { explain(error) };
    let numbers = match ranks.agree(numbers.map_err(why)) {
        Err(failure) if stopped && failure.is_elsewhere() => {
            say!("\nstopped before the first iteration; nothing was written.");
            return Ok(ExitCode::from(stop::INTERRUPTED));
        }
        numbers => numbers?,
    };
    let rows = ranks.share(&numbers);
    let missing = on_threads(arguments.threads.into(), || count_missing(&rows));
    let missing = ranks.agree(missing.map_err(explain))?;
    let incomplete = Incomplete(&rows);
    let names = table::names(&table, &columns);
    let data: &dyn Rows = match missing::words(arguments.family, &missing, &names, table.samples()) {
        Some(words) => {
            board.say(&words);
            &incomplete
        }
        None => &rows,
    };
    let job = Job { arguments, data, weights, settings, places: &places, board, stop, ranks };
    let ended = on_threads(arguments.threads.into(), || match arguments.family {
        Family::Mixture => job.mixtures(checkpoint),
        Family::Kmeans => job.kmeans(checkpoint),
    });
    let ended = ranks.agree(ended.map_err(|fault| match fault {
        Fault::Library(error) => explain(error),
        Fault::Command(failure) => failure,
    }))?;
    if let Some(bytes) = ranks.bytes_sent() {
        say!("  the ranks sent each other {bytes} bytes");
    }
    let row_weights = weight.map(|column| table::names(&table, &[column]).remove(0));
    let file = |model, criteria| ModelFile { model, columns: names, row_weights, criteria };
    match ranks.is_first() {
        true => finish(arguments, ended, &places, file, started),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// Opens the table. Returns it, the columns of the fit, and that of the weights.
fn open(arguments: &Arguments, board: &Board) -> Outcome<(Tables, Vec<usize>, Option<usize>)> {
    check(arguments)?;
    let mut task = board.task("reading the table");
    let table = arguments.source.open()?;
    let weight = arguments.weights.as_ref().map(|column| table::find(&table, column)).transpose()?;
    let columns = arguments.source.columns(&table, weight)?;
    if columns.is_empty() {
        return Err(Failure::new(match weight {
            Some(_) => "the table has no columns beside the weights",
            None => "the table has no columns",
        }));
    }
    check_rows(arguments, &table)?;
    memory::check(arguments, columns.len(), board)?;
    task.message(&format!("{} rows", table.samples()));
    task.done(&format!("{} rows, {} of {} columns", table.samples(), columns.len(), table.columns()));
    Ok((table, columns, weight))
}

/// Reads the weights of all rows.
fn weights(arguments: &Arguments, ranks: &Ranks, table: &mut Tables, column: usize) -> Outcome<Vec<f64>> {
    table.select(&[column]);
    let weights = on_threads(arguments.threads.into(), || all_numbers(&ranks.share(table)));
    weights.map_err(|error| table::explain(error, table, &[column], false))
}

/// Writes the model of a fit that has ended or was stopped, and says what to do next.
fn finish(
    arguments: &Arguments,
    ended: Ended,
    places: &Places,
    file: impl FnOnce(Model, Vec<Rated>) -> ModelFile,
    started: Instant,
) -> Outcome<ExitCode> {
    match ended {
        Ended::Done { model, criteria, collapsed } => {
            let file = file(model, criteria);
            save_json(&file, &arguments.out)?;
            places.remove_checkpoint();
            report(arguments, &file, &collapsed)?;
            say!("\nfitted in {}.", seconds(started.elapsed()));
            say_written(arguments, &file);
            Ok(ExitCode::SUCCESS)
        }
        Ended::Stopped { model, criteria } => {
            say!(
                "\nstopped after {}; {} holds the state.",
                seconds(started.elapsed()),
                places.checkpoint.display()
            );
            if let Some(model) = model {
                save_json(&file(model, criteria), &arguments.out)?;
                say!("  {}   the best model so far", arguments.out.display());
            }
            say!(
                "To resume:\nNext: {}",
                command::again(&[], if arguments.resume { None } else { Some("--resume") })
            );
            Ok(ExitCode::from(stop::INTERRUPTED))
        }
    }
}

/// An error of the library, which needs the table to be explained, or of the command.
enum Fault {
    Library(Error),
    Command(Failure),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Library(error)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Fault {
        Fault::Command(failure)
    }
}

/// Checks the options that need no data.
fn check(arguments: &Arguments) -> Outcome<()> {
    let (from, to) = (arguments.components.start(), arguments.components.end());
    if !(0.0..f64::INFINITY).contains(&arguments.floor) {
        return Err(Failure::new(format!(
            "--floor is {}, but should be finite and not negative",
            arguments.floor
        )));
    }
    if arguments.tolerance.is_some_and(f64::is_nan) {
        return Err(Failure::new("--tolerance is NaN, but should be a number"));
    }
    if arguments.family == Family::Kmeans && from != to {
        let words =
            ["fit", "mixture"].map(std::ffi::OsString::from).into_iter().chain(arguments.source.again());
        let options = [
            "--covariance".into(),
            "spherical".into(),
            "--components".into(),
            format!("{from}..{to}").into(),
        ];
        let weights = arguments.weights.as_ref().map(|column| format!("--weights={column}").into());
        let out = ["--out".into(), command::path(&arguments.out)];
        return Err(Failure::new(
            "K-means has no likelihood, so no criterion chooses its number of clusters",
        )
        .mend("give one number of --components, or choose by a mixture of spheres")
        .next(command::line(words.chain(options).chain(weights).chain(out))));
    }
    Ok(())
}

fn check_rows(arguments: &Arguments, table: &Tables) -> Outcome<()> {
    let (from, to, rows) = (*arguments.components.start(), *arguments.components.end(), table.samples());
    if rows == 0 {
        return Err(Failure::new("the table has no rows"));
    }
    if to <= rows {
        return Ok(());
    }
    let fewer = if from < rows && from < to { format!("{from}..{rows}") } else { rows.to_string() };
    Err(Failure::new(format!("there are {to} components, but only {rows} rows"))
        .mend("ask for at most as many components as rows")
        .next(command::again(&[], ["--components", &fewer])))
}

/// Returns the options and the marks of the data that determine the result.
fn settings(arguments: &Arguments, columns: &[usize]) -> Outcome<Settings> {
    let mut settings = Settings::new();
    let mut add = |name: &str, value: String| drop(settings.insert(name.to_owned(), value));
    let (from, to) = (arguments.components.start(), arguments.components.end());
    add("the model", format!("{:?}", arguments.family).to_lowercase());
    add("--components", if from == to { from.to_string() } else { format!("{from}..{to}") });
    if arguments.family == Family::Mixture {
        add("--covariance", format!("{:?}", arguments.covariance).to_lowercase());
        add("--criterion", format!("{:?}", arguments.criterion).to_lowercase());
        add("--floor", format!("{:?}", arguments.floor));
    }
    add("--seed", arguments.seed.to_string());
    add("--restarts", arguments.restarts.to_string());
    let stop = arguments.stop();
    add("--tolerance", format!("{:?}", stop.tolerance));
    add("--iterations", stop.max_iterations.to_string());
    add("--weights", arguments.weights.clone().unwrap_or_default());
    add("the columns", columns.iter().map(|column| (column + 1).to_string()).collect::<Vec<_>>().join(","));
    add("--array", arguments.source.array.clone().unwrap_or_default());
    for (index, path) in arguments.source.data.iter().enumerate() {
        add(&format!("file {}", index + 1), places::mark(path)?);
    }
    Ok(settings)
}

/// Returns the checkpoint to resume from, if there is one.
fn checkpoint(arguments: &Arguments, settings: &Settings, places: &Places) -> Outcome<Option<Checkpoint>> {
    let path = &places.checkpoint;
    let Some(checkpoint) = Checkpoint::load(path)? else {
        if arguments.resume {
            say!("  there is no checkpoint: the fit begins at the start");
        }
        return Ok(None);
    };
    let anew = format!("remove it to start anew: rm {}", command::quoted(path.as_os_str()));
    let names = settings.keys().chain(checkpoint.settings.keys());
    let differs = names.into_iter().find(|&name| settings.get(name) != checkpoint.settings.get(name));
    match (differs, arguments.resume) {
        (None, true) => Ok(Some(checkpoint)),
        (None, false) => {
            Err(Failure::new(format!("{} is from an earlier fit with the same options", path.display()))
                .mend(format!("continue it with --resume, or {anew}"))
                .next(command::again(&[], ["--resume"])))
        }
        (Some(name), _) => {
            let show = |settings: &Settings| match settings.get(name).map(String::as_str) {
                None | Some("") => "nothing".to_owned(),
                Some(value) => value.to_owned(),
            };
            let (was, is) = (show(&checkpoint.settings), show(settings));
            Err(Failure::new(format!(
                "{} is from another fit: {name} was {was}, but is {is}",
                path.display()
            ))
            .mend(format!("use the same options and data, another --out, or {anew}")))
        }
    }
}

impl Arguments {
    fn stop(&self) -> Stop {
        let default = match self.family {
            Family::Mixture => GmmOptions::default().stop,
            Family::Kmeans => KMeansOptions::default().stop,
        };
        Stop {
            max_iterations: self.iterations.unwrap_or(default.max_iterations),
            tolerance: self.tolerance.unwrap_or(default.tolerance),
        }
    }
}

impl Job<'_> {
    fn kmeans(&self, checkpoint: Option<Checkpoint>) -> Result<Ended, Fault> {
        let arguments = self.arguments;
        let clusters = *arguments.components.start();
        let options = KMeansOptions {
            clusters,
            restarts: arguments.restarts as usize,
            seed: arguments.seed,
            stop: arguments.stop(),
            ..Default::default()
        };
        let mut course = match checkpoint {
            Some(checkpoint) => {
                let state = checkpoint.into_state().ok_or_else(|| self.places.damaged())?;
                state.2
            }
            None => Course::default(),
        };
        let name = format!("K-means, {clusters} clusters");
        let mut keeper = Keeper::new(self, &name, 0, &[], None);
        let weights = self.weights.as_deref();
        let fit = KMeans::fit_course(self.data, weights, &options, &mut course, &mut |course| {
            keeper.watch(course, None)
        })?;
        keeper.end()?;
        let Some(fit) = fit else {
            let model = course.best_model().cloned().map(Model::KMeans);
            return Ok(Ended::Stopped { model, criteria: Vec::new() });
        };
        let (iterations, inertia) = (fit.iterations(), -fit.objective());
        // clusters stay empty if there are fewer different rows, each of which then is a centroid
        let empty = if inertia == 0.0 { fit.model().empty_clusters(self.data, weights)?.len() } else { 0 };
        self.say_run(&name, &format!("inertia {inertia:?} after {iterations} iterations"), fit.converged);
        if empty > 0 {
            let clusters = if empty == 1 { "cluster has" } else { "clusters have" };
            self.board.say(&format!(
                "  {empty} {clusters} no rows, since there are too few different ones; ask for fewer"
            ));
        }
        Ok(Ended::Done {
            model: Model::KMeans(fit.into_model()),
            criteria: Vec::new(),
            collapsed: Vec::new(),
        })
    }

    fn mixtures(&self, checkpoint: Option<Checkpoint>) -> Result<Ended, Fault> {
        let mut course = GmmCourse::default();
        let (mut done, mut criteria, mut chosen) = (0, Vec::new(), None);
        if let Some(mut checkpoint) = checkpoint {
            done = checkpoint.done;
            criteria = std::mem::take(&mut checkpoint.criteria);
            let state = checkpoint.into_state().ok_or_else(|| self.places.damaged())?;
            (chosen, course.start, course.fit) = state;
        }
        let mut collapse = None;
        for components in self.arguments.components.clone().skip(done) {
            match self.mixture(components, &mut course, (done, &criteria, chosen.as_ref())) {
                Ok(Some((model, rated))) => {
                    let of = |rated: &Rated| self.arguments.criterion.of(&rated.criteria());
                    if criteria.iter().all(|before| of(&rated) < of(before)) {
                        chosen = Some(Model::Mixture(model));
                    }
                    criteria.push(rated);
                }
                Ok(None) => {
                    let now = course.fit.best_model().cloned().map(Model::Mixture);
                    return Ok(Ended::Stopped { model: chosen.or(now), criteria });
                }
                Err(Fault::Library(error @ Error::Collapsed { .. })) => {
                    collapse.get_or_insert(error);
                }
                Err(fault) => return Err(fault),
            }
            course = GmmCourse::default();
            done += 1;
        }
        match (chosen, collapse) {
            (Some(model), _) => {
                let rated = |&components: &usize| criteria.iter().any(|rated| rated.components == components);
                let collapsed = self.arguments.components.clone().filter(|components| !rated(components));
                let collapsed = collapsed.collect();
                Ok(Ended::Done { model, criteria, collapsed })
            }
            (None, Some(collapse)) => Err(collapse.into()),
            (None, None) => Err(self.places.damaged().into()),
        }
    }

    /// Fits one mixture and rates it; None if a signal has stopped the fit.
    fn mixture(
        &self,
        components: usize,
        course: &mut GmmCourse,
        (done, criteria, chosen): (usize, &[Rated], Option<&Model>),
    ) -> Result<Option<(Gmm, Rated)>, Fault> {
        let arguments = self.arguments;
        let options = GmmOptions {
            components,
            covariance: arguments.covariance.into(),
            restarts: arguments.restarts as usize,
            seed: arguments.seed,
            regularisation: arguments.floor,
            stop: arguments.stop(),
            ..Default::default()
        };
        let name = format!("mixture, {components} component{}", if components == 1 { "" } else { "s" });
        let mut keeper = Keeper::new(self, &name, done, criteria, chosen);
        let weights = self.weights.as_deref();
        let fit =
            Gmm::fit_course(self.data, weights, &options, course, &mut |fit, start| keeper.watch(fit, start));
        let mut task = keeper.end()?;
        let Some(fit) = fit? else { return Ok(None) };
        task.message("the criteria, in one more pass over the rows");
        let (iterations, converged) = (fit.iterations(), fit.converged);
        let words = format!("log-likelihood {:.4} after {iterations} iterations", fit.objective());
        let model = fit.into_model();
        let rated = match weights {
            Some(weights) => model.criteria_weighted(self.data, weights)?,
            None => model.criteria(self.data)?,
        };
        self.say_run(&name, &words, converged);
        Ok(Some((model, Rated::new(components, &rated))))
    }

    fn say_run(&self, name: &str, words: &str, converged: bool) {
        let note = if converged { "" } else { ", before it converged (--iterations allows more)" };
        self.board.say(&format!("  {name}: {words}{note}"));
    }
}

/// Adds a remedy to an error of the library.
fn explain(error: Error, arguments: &Arguments, table: &Tables, columns: &[usize]) -> Failure {
    match error {
        Error::Collapsed { component, column, deviation, suggestion, regularisation } => {
            let (floor, column) = (format!("{suggestion:e}"), &table::names(table, columns)[column]);
            Failure::new(format!(
                "component {component} has collapsed: its covariance has no inverse with --floor {regularisation:e}; the \
                 largest standard deviation of the data is {deviation:.3e} (column {column})"
            ))
                .mend(format!("add {floor} to each variance; fewer components or another --seed may help too"))
                .next(command::again(&[], ["--floor", &floor]))
        }
        Error::TooFewCounted { counted, .. }
            if counted > 0 && arguments.components.start() == arguments.components.end() =>
        {
            Failure::from(error)
                .mend("ask for at most as many components")
                .next(command::again(&[], ["--components", &counted.to_string()]))
        }
        error => table::explain(error, table, columns, true),
    }
}
