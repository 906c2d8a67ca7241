//! Model files: a mixture or K-means as JSON, with the columns that it was fitted to.

use std::io::Write as _;
use std::path::Path;

use em_routing::data::tables::Tables;
use em_routing::error::Error;
use em_routing::files;
use em_routing::gmm::{Criteria, Gmm};
use em_routing::kmeans::KMeans;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::failure::{AtPath, Failure, Outcome};
use super::table::{self, Column, Source};

/// A fitted model.
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    /// A mixture.
    Mixture(Gmm),
    /// Centroids.
    KMeans(KMeans),
}

/// The criteria of a fit with one number of components.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rated {
    pub components: usize,
    pub log_likelihood: f64,
    pub parameters: usize,
    pub aic: f64,
    pub bic: f64,
    pub icl: f64,
}

impl Rated {
    pub fn new(components: usize, criteria: &Criteria) -> Rated {
        let Criteria { log_likelihood, parameters, aic, bic, icl } = *criteria;
        Rated { components, log_likelihood, parameters, aic, bic, icl }
    }

    pub fn criteria(&self) -> Criteria {
        let Rated { log_likelihood, parameters, aic, bic, icl, .. } = *self;
        Criteria { log_likelihood, parameters, aic, bic, icl }
    }
}

/// The contents of a model file.
#[derive(Debug)]
pub struct ModelFile {
    pub model: Model,
    /// The columns that the model was fitted to; empty in a file that the library has saved.
    pub columns: Vec<Column>,
    /// The criteria of each number of components that the fit tried; empty for K-means.
    pub criteria: Vec<Rated>,
}

#[derive(Serialize)]
struct Written<'a, M> {
    #[serde(flatten)]
    model: &'a M,
    columns: &'a [Column],
    #[serde(skip_serializing_if = "<[Rated]>::is_empty")]
    criteria: &'a [Rated],
}

/// What a file holds beside the model.
#[derive(Deserialize)]
struct Beside {
    means: Option<IgnoredAny>,
    centroids: Option<IgnoredAny>,
    #[serde(default)]
    columns: Vec<Column>,
    #[serde(default)]
    criteria: Vec<Rated>,
}

impl ModelFile {
    /// Writes the file atomically.
    pub fn save(&self, path: &Path) -> Outcome<()> {
        let ModelFile { model, columns, criteria } = self;
        files::write_with(path, |file| {
            let written = match model {
                Model::Mixture(model) => {
                    serde_json::to_writer(&mut *file, &Written { model, columns, criteria })
                }
                Model::KMeans(model) => {
                    serde_json::to_writer(&mut *file, &Written { model, columns, criteria })
                }
            };
            let io = |source| Error::Io { path: path.to_path_buf(), source };
            written.map_err(|error| io(error.into()))?;
            file.write_all(b"\n").map_err(io)
        })?;
        Ok(())
    }

    /// Reads a file that `fit` or the library has written.
    pub fn load(path: &Path) -> Outcome<ModelFile> {
        let contents = std::fs::read(path).at(path)?;
        let wrong = |words: &str| {
            Failure::new(format!("{} does not hold a model: {words}", path.display()))
                .mend("name a file that `fit` has written")
        };
        let beside: Beside = serde_json::from_slice(&contents).map_err(|error| wrong(&error.to_string()))?;
        let model = match beside {
            Beside { means: Some(_), .. } => Model::Mixture(Gmm::load(path)?),
            Beside { centroids: Some(_), .. } => Model::KMeans(KMeans::load(path)?),
            _ => return Err(wrong("it has neither means nor centroids")),
        };
        let Beside { columns, criteria, .. } = beside;
        if !(columns.is_empty() || columns.len() == model.dimensions()) {
            return Err(wrong("its columns are not as many as those of its means"));
        }
        Ok(ModelFile { model, columns, criteria })
    }

    /// Selects the columns of the table that the model takes: those of `--columns`, or else those that it was fitted to. A
    /// table without a header may consist of just these columns.
    pub fn select(&self, table: &mut Tables, source: &Source) -> Outcome<Vec<usize>> {
        let expected = self.model.dimensions();
        let found = if source.columns.is_empty() {
            let fits = table.columns() == expected;
            match self.named_columns(table) {
                Ok(columns) => columns,
                Err(_) if fits && table.names().is_none() => (0..expected).collect(),
                Err(failure) => {
                    return Err(failure.mend("name the columns that take their place with --columns"));
                }
            }
        } else {
            source.columns(table, None)?
        };
        if found.len() != expected {
            let names: Vec<String> = self.columns.iter().map(Column::to_string).collect();
            let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
            let (count, columns) = (found.len(), if expected == 1 { "column" } else { "columns" });
            return Err(Failure::new(format!(
                "the model takes {expected} {columns}{names}, but the data give {count}"
            ))
            .mend("name as many columns with --columns, in the order of the model"));
        }
        table.select(&found);
        Ok(found)
    }

    fn named_columns(&self, table: &Tables) -> Outcome<Vec<usize>> {
        if self.columns.is_empty() {
            return Ok((0..table.columns()).collect());
        }
        let find = |column: &Column| match (column, table.names()) {
            // a name is never taken for a number
            (Column::Name(name), None) => {
                Err(Failure::new(format!("the model takes a column {name:?}, but the table has no header")))
            }
            _ => table::find(table, &column.to_string()),
        };
        self.columns.iter().map(find).collect()
    }

    /// Returns the name of each column for a header.
    pub fn header(&self) -> Vec<String> {
        match &self.columns[..] {
            [] => (1..=self.model.dimensions()).map(|number| format!("x{number}")).collect(),
            columns => columns
                .iter()
                .map(|column| match column {
                    Column::Name(name) => name.clone(),
                    Column::Number(number) => format!("x{number}"),
                })
                .collect(),
        }
    }
}

impl Model {
    /// Returns the number of components or clusters.
    pub fn components(&self) -> usize {
        match self {
            Model::Mixture(model) => model.weights.len(),
            Model::KMeans(model) => model.centroids.nrows(),
        }
    }

    /// Returns the number of columns.
    pub fn dimensions(&self) -> usize {
        match self {
            Model::Mixture(model) => model.means.ncols(),
            Model::KMeans(model) => model.centroids.ncols(),
        }
    }

    /// Returns the word for one component or cluster.
    pub fn part(&self) -> &'static str {
        match self {
            Model::Mixture(_) => "component",
            Model::KMeans(_) => "cluster",
        }
    }
}
