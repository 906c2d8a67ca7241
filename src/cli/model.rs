//! Model files: a mixture or K-means as JSON, with the columns that it was fitted to.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use em_routing::data::Rows;
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
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
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
#[derive(Debug, Serialize)]
pub struct ModelFile {
    #[serde(flatten)]
    pub model: Model,
    /// The columns that the model was fitted to; empty in a file that the library has saved.
    pub columns: Vec<Column>,
    /// The column with the weights of the rows, if the fit had weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_weights: Option<Column>,
    /// The criteria of each number of components that the fit tried; empty for K-means.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub criteria: Vec<Rated>,
}

/// Writes a value as a line of JSON, atomically.
pub fn save_json(value: &impl Serialize, path: &Path) -> Outcome<()> {
    files::write_with(path, |file| {
        let io = |source| Error::Io { path: path.to_path_buf(), source };
        serde_json::to_writer(&mut *file, value).map_err(|error| io(error.into()))?;
        file.write_all(b"\n").map_err(io)
    })?;
    Ok(())
}

/// What a file holds beside the model.
#[derive(Deserialize)]
struct Beside {
    means: Option<IgnoredAny>,
    centroids: Option<IgnoredAny>,
    #[serde(default)]
    columns: Vec<Column>,
    row_weights: Option<Column>,
    #[serde(default)]
    criteria: Vec<Rated>,
}

impl ModelFile {
    /// Reads a file that `fit` or the library has written.
    pub fn load(path: &Path) -> Outcome<ModelFile> {
        let wrong = |words: &str| {
            Failure::new(format!("{} does not hold a model: {words}", path.display()))
                .mend("name a file that `fit` has written")
        };
        // a table in the place of the model may be larger than memory
        let mut begin = Vec::new();
        File::open(path).and_then(|file| file.take(64).read_to_end(&mut begin)).at(path)?;
        if begin.trim_ascii_start().first().is_some_and(|&byte| byte != b'{') {
            return Err(wrong("it does not begin with {"));
        }
        let contents = std::fs::read(path).at(path)?;
        let beside: Beside = serde_json::from_slice(&contents).map_err(|error| wrong(&error.to_string()))?;
        let model = match beside {
            Beside { means: Some(_), .. } => Model::Mixture(Gmm::load(path)?),
            Beside { centroids: Some(_), .. } => Model::KMeans(KMeans::load(path)?),
            _ => return Err(wrong("it has neither means nor centroids")),
        };
        let Beside { columns, row_weights, criteria, .. } = beside;
        if !(columns.is_empty() || columns.len() == model.dimensions()) {
            return Err(wrong("its columns are not as many as those of its means"));
        }
        Ok(ModelFile { model, columns, row_weights, criteria })
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
        self.columns.iter().map(|column| column.find(table)).collect()
    }

    /// Reads the weights of the rows, if the fit had weights and the table has their column beside those of the model, and says
    /// how rows count.
    pub fn read_weights(&self, table: &mut Tables, columns: &[usize]) -> Outcome<Option<Vec<f64>>> {
        let Some(name) = &self.row_weights else { return Ok(None) };
        let found = name.find(table).ok().filter(|column| !columns.contains(column));
        let Some(column) = found else {
            say!("the fit took weights from column {name}, which this table lacks: each row counts once");
            return Ok(None);
        };
        let weights = table::read_column(table, column);
        let weights = weights.map_err(|error| table::explain(error, table, &[column], false))?;
        table.select(columns);
        say!("each row counts with its weight in column {name}, as in the fit");
        Ok(Some(weights))
    }

    /// Whether `describe` has a figure of this model and its table: pairs of columns, or criteria.
    pub fn can_be_drawn(&self) -> bool {
        self.model.dimensions() > 1 || self.criteria.len() > 1
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
    /// Returns the log-likelihood or inertia of the rows, and the sum of their weights; without weights, each row counts once.
    pub fn total(&self, rows: &dyn Rows, weights: Option<&[f64]>) -> Result<(f64, f64), Error> {
        let Some(weights) = weights else {
            let sum = match self {
                Model::Mixture(model) => model.log_likelihood(rows)?,
                Model::KMeans(model) => model.inertia(rows)?,
            };
            return Ok((sum, rows.samples() as f64));
        };
        let sum = match self {
            Model::Mixture(model) => model.criteria_weighted(rows, weights)?.log_likelihood,
            Model::KMeans(model) => {
                model.sizes(rows, Some(weights))?; // checks the weights
                model
                    .squared_distances(rows)?
                    .iter()
                    .zip(weights)
                    .map(|(distance, weight)| distance * weight)
                    .sum()
            }
        };
        Ok((sum, weights.iter().sum()))
    }

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
