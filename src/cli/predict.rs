//! `em-routing predict`, `score` and `sample`: use a fitted model.

use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use em_routing::data::csv;
use em_routing::data::npy::{self, Precision};
use em_routing::data::tables::Tables;
use em_routing::data::{Incomplete, RowBuffer, Rows};
use em_routing::error::{Error, Result};
use em_routing::ndarray::{Array2, ArrayView2, Axis, concatenate};
use em_routing::on_threads;

use super::command;
use super::failure::{Failure, Outcome};
use super::model::{Model, ModelFile};
use super::progress::Board;
use super::table::{self, Column, Source};

#[derive(clap::Args)]
pub struct Arguments {
    /// Model file that `fit` has written
    model: PathBuf,
    #[command(flatten)]
    source: Source,
    /// File for the labels, .csv or .npy: one row for each row of the table, with the component (from 0) and the
    /// responsibility of each component, or with the cluster (from 0) and the distance to its centroid. A row without any value
    /// gets the mixing weights, or cluster 0 at distance 0
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(clap::Args)]
pub struct ScoreArguments {
    /// Model file that `fit` has written
    model: PathBuf,
    #[command(flatten)]
    source: Source,
    /// File for the log-density (in nats) or the squared distance of each row, .csv or .npy
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Number of threads, 0 for one per core; does not affect the result
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    threads: u16,
}

#[derive(clap::Args)]
pub struct SampleArguments {
    /// Model file that `fit mixture` has written
    model: PathBuf,
    /// Number of rows to draw
    #[arg(long, value_name = "N", default_value_t = 1000)]
    rows: usize,
    /// Random seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// File for the rows, .csv or .npy
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Also writes the component (from 0) that each row is drawn from, as the last column
    #[arg(long)]
    labels: bool,
}

/// What is computed for each row of a table.
#[derive(Clone, Copy)]
enum Computed {
    /// The label, and the responsibilities or the distance.
    Labels,
    /// The log-density or the squared distance.
    Score,
}

/// A table that is computed from another one, row by row, while it is read.
struct Derived<'a> {
    table: &'a Tables,
    model: &'a Model,
    computed: Computed,
}

impl Derived<'_> {
    fn header(&self) -> Vec<String> {
        match (self.model, self.computed) {
            (Model::Mixture(model), Computed::Labels) => {
                let columns = (0..model.weights.len()).map(|k| format!("responsibility_{k}"));
                std::iter::once("component".to_owned()).chain(columns).collect()
            }
            (Model::KMeans(_), Computed::Labels) => vec!["cluster".to_owned(), "distance".to_owned()],
            (Model::Mixture(_), Computed::Score) => vec!["log_density".to_owned()],
            (Model::KMeans(_), Computed::Score) => vec!["squared_distance".to_owned()],
        }
    }

    /// Writes the table as CSV or .npy.
    fn write(&self, path: &Path, columns: &[usize]) -> Outcome<()> {
        let task = Board::default().task(&format!("writing {}", path.display()));
        write(path, &self.header(), self, |error| table::explain(error, self.table, columns, false))?;
        task.done(&format!("{} rows", self.table.samples()));
        Ok(())
    }
}

impl Rows for Derived<'_> {
    fn samples(&self) -> usize {
        self.table.samples()
    }

    fn dimensions(&self) -> usize {
        self.header().len()
    }

    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]> {
        let (first, shape) = (range.start, (range.len(), self.table.dimensions()));
        let mut inner = RowBuffer { values: Vec::new(), bytes: std::mem::take(&mut buffer.bytes) };
        let rows = self.table.read(range, &mut inner)?;
        let rows = ArrayView2::from_shape(shape, rows).expect("`read` returns whole rows");
        let computed =
            compute(self.model, self.computed, &Incomplete(&rows)).map_err(|error| shifted(error, first))?;
        buffer.values.clear();
        buffer.values.extend(computed.iter());
        buffer.bytes = inner.bytes;
        Ok(&buffer.values)
    }
}

fn compute(model: &Model, computed: Computed, rows: &Incomplete) -> Result<Array2<f64>> {
    let as_column =
        |labels: em_routing::ndarray::Array1<usize>| labels.mapv(|label| label as f64).insert_axis(Axis(1));
    Ok(match (model, computed) {
        (Model::Mixture(model), Computed::Labels) => {
            let (labels, responsibilities) = (as_column(model.predict(rows)?), model.responsibilities(rows)?);
            joined(&labels, &responsibilities)
        }
        (Model::KMeans(model), Computed::Labels) => {
            let distances = model.squared_distances(rows)?.mapv(f64::sqrt).insert_axis(Axis(1));
            joined(&as_column(model.predict(rows)?), &distances)
        }
        (Model::Mixture(model), Computed::Score) => model.log_density(rows)?.insert_axis(Axis(1)),
        (Model::KMeans(model), Computed::Score) => model.squared_distances(rows)?.insert_axis(Axis(1)),
    })
}

/// Joins two tables with the same number of rows.
fn joined(left: &Array2<f64>, right: &Array2<f64>) -> Array2<f64> {
    concatenate(Axis(1), &[left.view(), right.view()]).expect("as many rows on both sides")
}

/// Changes the row in an error of a part of the table to its row in the whole table.
fn shifted(error: Error, first: usize) -> Error {
    match error {
        Error::NonFinite { row, column, value } => Error::NonFinite { row: first + row, column, value },
        Error::Magnitude { row, column, value } => Error::Magnitude { row: first + row, column, value },
        Error::Impossible { index } => Error::Impossible { index: first + index },
        error => error,
    }
}

/// Writes a table by the extension of its file; `explain` words an error of the library.
fn write(path: &Path, header: &[String], rows: &dyn Rows, explain: impl Fn(Error) -> Failure) -> Outcome<()> {
    let end = path.extension().and_then(|end| end.to_str());
    if !matches!(end, Some("csv" | "npy")) {
        let (name, mended) = (path.display(), path.with_extension("csv"));
        let out: [OsString; 2] = ["--out".into(), command::path(&mended)];
        return Err(Failure::new(format!("{name} ends neither in .csv nor in .npy"))
            .mend("name a file that does")
            .next(command::again(&[], out)));
    }
    table::make_room(path)?;
    let written = match end {
        Some("csv") => csv::write(path, Some(header), rows),
        _ => npy::write(path, rows, Precision::F64),
    };
    written.map_err(explain)
}

/// Opens the table of a model.
fn open(path: &Path, source: &Source) -> Outcome<(ModelFile, Tables, Vec<usize>)> {
    let file = ModelFile::load(path)?;
    let mut table = source.open()?;
    let columns = file.select(&mut table, source)?;
    Ok((file, table, columns))
}

/// Writes the labels of a table.
pub fn predict(arguments: &Arguments) -> Outcome<()> {
    arguments.source.check_output(&arguments.out, Some(&arguments.model))?;
    let (file, table, columns) = open(&arguments.model, &arguments.source)?;
    let derived = Derived { table: &table, model: &file.model, computed: Computed::Labels };
    derived.write(&arguments.out, &columns)?;
    say!("  {}   {}", arguments.out.display(), derived.header().join(", "));
    let words = ["score".into(), command::path(&arguments.model)].into_iter().chain(arguments.source.again());
    say!("To see how well the model fits these rows:\nNext: {}", command::line(words));
    Ok(())
}

/// Prints the mean log-density or squared distance; it is the last line.
pub fn score(arguments: &ScoreArguments) -> Outcome<()> {
    let (file, mut table, columns) = open(&arguments.model, &arguments.source)?;
    if let Some(out) = &arguments.out {
        arguments.source.check_output(out, Some(&arguments.model))?;
        let derived = Derived { table: &table, model: &file.model, computed: Computed::Score };
        derived.write(out, &columns)?;
        say!("  {}   {}", out.display(), derived.header().join(", "));
    }
    let weights = file.read_weights(&mut table, &columns)?;
    let total = || file.model.total(&Incomplete(&table), weights.as_deref());
    let (sum, count) = on_threads(arguments.threads.into(), total)
        .map_err(|error| table::explain(error, &table, &columns, false))?;
    let (rows, mean) = (table.samples(), sum / count);
    match &file.model {
        Model::Mixture(_) => {
            say!("log-likelihood of {rows} rows: {sum} nats");
            say!("mean log-density: {mean} nats a row");
        }
        Model::KMeans(_) => {
            say!("inertia of {rows} rows: {sum:?}");
            say!("mean squared distance: {mean:?}");
        }
    }
    Ok(())
}

/// Draws rows from a mixture.
pub fn sample(arguments: &SampleArguments) -> Outcome<()> {
    let file = ModelFile::load(&arguments.model)?;
    let Model::Mixture(model) = &file.model else {
        return Err(Failure::new("K-means is no distribution, so no rows can be drawn from it")
            .mend("fit a mixture to the same table with `fit mixture`, which is explained by")
            .next(command::line(["fit", "--help"])));
    };
    table::check_output(&arguments.out, [arguments.model.as_path()])?;
    let (mut drawn, labels) = model.sample(arguments.rows, arguments.seed)?;
    let mut header = file.header();
    if arguments.labels {
        drawn = joined(&drawn, &labels.mapv(|label| label as f64).insert_axis(Axis(1)));
        header.push("component".to_owned());
    }
    write(&arguments.out, &header, &drawn, Failure::from)?;
    say!("  {}   {} rows drawn with seed {}", arguments.out.display(), arguments.rows, arguments.seed);
    if !arguments.labels && arguments.rows > 0 {
        let words = ["score".into(), command::path(&arguments.model), command::path(&arguments.out)];
        // where the output has no names of the model's columns, their order replaces them
        let is_named = |column: &Column| matches!(column, Column::Name(_));
        let has_names = arguments.out.extension().is_some_and(|end| end == "csv");
        let by_order = !(file.columns.is_empty() || has_names && file.columns.iter().all(is_named));
        let numbers: Vec<String> = (1..=header.len()).map(|number| number.to_string()).collect();
        let columns = by_order.then(|| table::select(&numbers).into());
        say!("To see how likely they are:\nNext: {}", command::line(words.into_iter().chain(columns)));
    }
    Ok(())
}
