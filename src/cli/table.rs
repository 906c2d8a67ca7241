//! Tables that commands read: their files, their columns, and remedies for their faults.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use em_routing::data::csv;
use em_routing::data::npy;
use em_routing::data::tables::{Place, Tables};
use em_routing::data::{RowBuffer, Rows, all_numbers};
use em_routing::error::Error;
use em_routing::files;
use serde::{Deserialize, Serialize};

use super::command;
use super::failure::{AtPath as _, Failure, Outcome};

/// The arguments that select a table.
#[derive(clap::Args)]
pub struct Source {
    /// Files with the table, .npy, .npz or CSV (a first line with a word is the header; separated by , ; or tab; empty, NA and
    /// NaN are missing); several files follow each other as one table
    #[arg(required = true, value_name = "DATA")]
    pub data: Vec<PathBuf>,
    /// Columns to use, by name or by number from 1 [default: all]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Name of the array in .npz files that hold several
    #[arg(long, value_name = "NAME")]
    pub array: Option<String>,
}

/// A column of a table, as a model file names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// Its name in the header.
    Name(String),
    /// Its number, counted from 1, where there is no header.
    Number(usize),
}

impl std::fmt::Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Column::Name(name) => f.write_str(name),
            Column::Number(number) => write!(f, "{number}"),
        }
    }
}

impl Column {
    /// Finds this column. A name is never taken for a number, nor a number for a name.
    pub fn find(&self, table: &Tables) -> Outcome<usize> {
        match (self, table.names()) {
            (Column::Name(name), None) => {
                Err(Failure::new(format!("the model takes a column {name:?}, but the table has no header")))
            }
            (Column::Name(name), Some(names)) => {
                names.iter().position(|known| known == name).ok_or_else(|| {
                    Failure::new(format!("there is no column {name:?}; there are: {}", names.join(", ")))
                })
            }
            (Column::Number(number), _) if (1..=table.columns()).contains(number) => Ok(number - 1),
            (Column::Number(number), _) => Err(Failure::new(format!(
                "the model takes column {number}, but the table has {}",
                table.columns()
            ))),
        }
    }
}

impl Source {
    /// Opens the table with all columns.
    pub fn open(&self) -> Outcome<Tables> {
        Tables::open(&self.data, self.array.as_deref()).map_err(|error| match error.fault() {
            Some(npy::Fault::Members { names, .. }) if !names.is_empty() => {
                let (first, words) = (names[0].clone(), error.to_string());
                Failure::new(words)
                    .mend(format!("name one array with --array, for example --array {first}"))
                    .next(command::again(&[], ["--array", &first]))
            }
            _ => error.into(),
        })
    }

    /// Returns the indices of the columns named by `--columns`, or else of all columns except `without`.
    pub fn columns(&self, table: &Tables, without: Option<usize>) -> Outcome<Vec<usize>> {
        if self.columns.is_empty() {
            return Ok((0..table.columns()).filter(|&column| Some(column) != without).collect());
        }
        let columns: Vec<usize> =
            self.columns.iter().map(|column| find(table, column.trim())).collect::<Outcome<_>>()?;
        match (1..columns.len()).find(|&at| columns[..at].contains(&columns[at])) {
            Some(at) => {
                Err(Failure::new(format!("--columns names column {} twice", self.columns[at].trim())))
            }
            None => Ok(columns),
        }
    }

    /// Returns an error if `out` is one of the table's files or `model`, or no regular file.
    pub fn check_output(&self, out: &Path, model: Option<&Path>) -> Outcome<()> {
        check_output(out, self.data.iter().map(PathBuf::as_path).chain(model))
    }

    /// Returns the arguments that select the same table again.
    pub fn again(&self) -> Vec<OsString> {
        let files = self.data.iter().map(|path| command::path(path));
        let columns = (!self.columns.is_empty()).then(|| select(&self.columns).into());
        let array = self.array.as_ref().map(|array| format!("--array={array}").into());
        files.chain(columns).chain(array).collect()
    }
}

/// Returns the option that selects these columns. With `=`, a name may begin with a dash.
pub fn select(columns: &[String]) -> String {
    format!("--columns={}", columns.join(","))
}

/// Makes the folder of an output if it is missing, and removes what killed processes have left of the output.
pub fn make_room(out: &Path) -> Outcome<()> {
    if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).at(folder)?;
    }
    files::remove_leftovers(out);
    Ok(())
}

/// Returns an error if `out` is one of these inputs, which it would replace, or something else than a regular file.
pub fn check_output<'a>(out: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Outcome<()> {
    let refuse = |words: &str, mend: &str| Failure::new(format!("{} is {words}", out.display())).mend(mend);
    let ends_as_folder = |byte: &u8| std::path::is_separator(char::from(*byte));
    if out.as_os_str().as_encoded_bytes().last().is_some_and(ends_as_folder) {
        return Err(refuse("a folder", "name a file with --out"));
    }
    let Ok(place) = out.canonicalize() else { return Ok(()) }; // there is nothing to replace
    if inputs.into_iter().any(|input| input.canonicalize().is_ok_and(|input| input == place)) {
        return Err(refuse("also an input, which the output would replace", "name another file with --out"));
    }
    if !place.is_file() {
        let kind = if place.is_dir() { "a folder" } else { "not a regular file" };
        return Err(refuse(kind, "name a file with --out"));
    }
    Ok(())
}

/// Finds a column by its name, or else by its number from 1.
pub fn find(table: &Tables, column: &str) -> Outcome<usize> {
    let names = table.names().unwrap_or_default();
    if let Some(index) = names.iter().position(|name| name == column) {
        return Ok(index);
    }
    match column.parse::<usize>() {
        Ok(number) if (1..=table.columns()).contains(&number) => Ok(number - 1),
        _ => {
            let known = match names {
                [] => format!("the table has columns 1 to {} without names", table.columns()),
                names => format!("there are: {}", names.join(", ")),
            };
            Err(Failure::new(format!("there is no column {column:?}; {known}")))
        }
    }
}

/// Returns the names of these columns, or their numbers if they have no name or share it.
pub fn names(table: &Tables, columns: &[usize]) -> Vec<Column> {
    let is_unique = |names: &[String], column: usize| {
        !names[column].is_empty() && names.iter().filter(|name| **name == names[column]).count() == 1
    };
    let name = |&column: &usize| match table.names() {
        Some(names) if is_unique(names, column) => Column::Name(names[column].clone()),
        _ => Column::Number(column + 1),
    };
    columns.iter().map(name).collect()
}

/// Reads one column.
pub fn read_column(table: &mut Tables, column: usize) -> Result<Vec<f64>, Error> {
    table.select(&[column]);
    all_numbers(table)
}

/// Reads all rows and passes each to `each`, with its index.
pub fn each_row(rows: &dyn Rows, mut each: impl FnMut(usize, &[f64])) -> Result<(), Error> {
    const NUMBERS: usize = 1 << 16;
    let (samples, columns) = (rows.samples(), rows.dimensions().max(1));
    let (step, mut buffer) = ((NUMBERS / columns).max(1), RowBuffer::default());
    for first in (0..samples).step_by(step) {
        let read = rows.read(first..(first + step).min(samples), &mut buffer)?.chunks_exact(columns);
        read.enumerate().for_each(|(at, row)| each(first + at, row));
    }
    Ok(())
}

/// Names the place of a fault in its file. If `may_choose`, proposes the columns without faults.
pub fn explain(error: Error, table: &Tables, columns: &[usize], may_choose: bool) -> Failure {
    let message = match &error {
        Error::NonFinite { row, column, value } => match table.place(*row, *column) {
            Ok(place) => format!("{place} is {value}, but should be a finite number"),
            Err(error) => return error.into(),
        },
        Error::NoValues { column } => match short_names(table, columns).get(*column) {
            Some(name) => format!("column {name} has no number in the rows that count"),
            None => return error.into(),
        },
        Error::Magnitude { row, column, value } => match table.place(*row, *column) {
            Ok(place) => format!("{place} is {value:e}, but fits compute with numbers up to 1e130"),
            Err(error) => return error.into(),
        },
        Error::SampleWeight { index, value } => {
            let words =
                |row: &str| format!("the weight of {row} is {value}, but should lie between 0 and 1e30");
            return of_row(table, *index, words);
        }
        Error::Impossible { index } => {
            return of_row(table, *index, |row| format!("{row} has probability 0 under every component"));
        }
        Error::Setting { name: "the sum of sample_weights", expected, value } => {
            let sum = value + 0.0; // an empty sum is -0
            format!("the weights of the rows add up to {sum}, but should add up to {expected}")
        }
        error if matches!(error.fault(), Some(csv::Fault::Cell { .. })) => error.to_string(),
        _ => return error.into(),
    };
    let failure = Failure::new(message);
    if may_choose && let Some(kept) = numeric(table, columns) {
        let next = command::again(&[], [select(&short_names(table, &kept))]);
        return failure.mend("leave out the columns without numbers").next(next);
    }
    failure
}

/// Returns the failure of a row: its file, and what is wrong. `words` receives the row's line, or its number if the file has no
/// lines.
fn of_row(table: &Tables, row: usize, words: impl Fn(&str) -> String) -> Failure {
    match table.place(row, 0) {
        Ok(Place { path, line, row, .. }) => {
            let at = line.map_or(format!("row {}", row + 1), |line| format!("line {line}"));
            Failure::new(format!("{}: {}", path.display(), words(&at)))
        }
        Err(error) => error.into(),
    }
}

/// Returns those of these columns that hold numbers and no words, if they are some but not all.
fn numeric(table: &Tables, columns: &[usize]) -> Option<Vec<usize>> {
    let survey = table.survey().ok()?;
    let has_numbers = |&column: &usize| survey[column].missing < table.samples() && survey[column].words == 0;
    let kept: Vec<usize> = columns.iter().copied().filter(has_numbers).collect();
    (!kept.is_empty() && kept.len() < columns.len()).then_some(kept)
}

fn short_names(table: &Tables, columns: &[usize]) -> Vec<String> {
    columns.iter().map(|&column| short_name(table, column)).collect()
}

/// Returns the column's name if `--columns` takes it, or else its number.
fn short_name(table: &Tables, column: usize) -> String {
    let name = table.names().map_or("", |names| &names[column]);
    match find(table, name) {
        Ok(found) if found == column && !name.contains(',') && name.trim() == name => name.to_owned(),
        _ => (column + 1).to_string(),
    }
}
