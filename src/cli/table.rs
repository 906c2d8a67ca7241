//! Tables that commands read: their files, their columns, and remedies for their faults.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use em_routing::data::Rows as _;
use em_routing::data::csv;
use em_routing::data::npy;
use em_routing::data::tables::Tables;
use em_routing::error::Error;
use serde::{Deserialize, Serialize};

use super::command;
use super::failure::{Failure, Outcome};

/// The arguments that select a table.
#[derive(clap::Args)]
pub struct Source {
    /// Files with the table, .npy, .npz or CSV (a header is found; separated by , ; or tab; empty, NA and NaN are missing);
    /// several files follow each other as one table
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

    /// Returns the arguments that select the same files again.
    pub fn again(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = self.data.iter().map(|path| command::path(path)).collect();
        if let Some(array) = &self.array {
            words.extend(["--array".into(), array.into()]);
        }
        words
    }
}

/// Returns an error if `out` is one of these inputs, which it would replace, or something else than a regular file.
pub fn check_output<'a>(out: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Outcome<()> {
    let Ok(place) = out.canonicalize() else { return Ok(()) }; // there is nothing to replace
    if inputs.into_iter().any(|input| input.canonicalize().is_ok_and(|input| input == place)) {
        return Err(Failure::new(format!(
            "{} is also an input, which the output would replace",
            out.display()
        ))
        .mend("name another file with --out"));
    }
    if !place.is_file() {
        let kind = if place.is_dir() { "a folder" } else { "not a regular file" };
        return Err(Failure::new(format!("{} is {kind}", out.display())).mend("name a file with --out"));
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

/// Names the place of a fault in its file. If `may_choose`, proposes the columns without faults.
pub fn explain(error: Error, table: &Tables, columns: &[usize], may_choose: bool) -> Failure {
    let message = match &error {
        Error::NonFinite { row, column, value } => match table.place(*row, *column) {
            Ok(place) => format!("{place} is {value}, but should be a finite number"),
            Err(error) => return error.into(),
        },
        Error::NoValues { column } => match short_names(table, columns).get(*column) {
            Some(name) => format!("every number of column {name} is missing"),
            None => return error.into(),
        },
        Error::Magnitude { row, column, value } => match table.place(*row, *column) {
            Ok(place) => format!("{place} is {value:e}, but fits compute with numbers up to 1e130"),
            Err(error) => return error.into(),
        },
        Error::SampleWeight { index, value } => match table.place(*index, 0) {
            Ok(place) => {
                let at = place.line.map_or(format!("row {}", place.row + 1), |line| format!("line {line}"));
                let path = place.path.display();
                return Failure::new(format!(
                    "{path}: the weight of {at} is {value}, but should lie between 0 and 1e30"
                ));
            }
            Err(error) => return error.into(),
        },
        error if matches!(error.fault(), Some(csv::Fault::Cell { .. })) => error.to_string(),
        _ => return error.into(),
    };
    let failure = Failure::new(message);
    if may_choose && let Some(kept) = numeric(table, columns) {
        let next = command::again(&[], ["--columns".to_owned(), short_names(table, &kept).join(",")]);
        return failure.mend("leave out the columns without numbers").next(next);
    }
    failure
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
