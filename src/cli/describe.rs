//! `em-routing describe`: prints a fitted model, and draws it with its table.

use std::path::{Path, PathBuf};

use em_routing::data::tables::Tables;
use em_routing::data::{Incomplete, Rows};
use em_routing::draw::{Figure, Palette, Table};
use em_routing::error::Result;
use em_routing::figures::{chapter04, pairs};
use em_routing::kmeans::KMeans;
use em_routing::ndarray::{Array1, Array2, ArrayView1};

use super::command;
use super::failure::{AtPath, Failure, Outcome};
use super::model::{Model, ModelFile, Rated};
use super::table::{self, Source};

/// Columns of a table that are printed.
const SHOWN: usize = 8;

/// Rows that are drawn.
const DRAWN: usize = 5000;

#[derive(clap::Args)]
pub struct Arguments {
    /// Model file that `fit` has written
    model: PathBuf,
    /// Files with a table, as for `fit`: adds the sizes of the clusters or components and the criteria on these rows
    #[arg(value_name = "DATA")]
    data: Vec<PathBuf>,
    /// Columns of the table that the model takes, by name or by number from 1 [default: those of the fit]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    columns: Vec<String>,
    /// Name of the array in .npz files that hold several
    #[arg(long, value_name = "NAME")]
    array: Option<String>,
    /// Folder for the figures (SVG): the table by pairs of columns, and the criteria by number of components
    #[arg(long, value_name = "DIR")]
    figures: Option<PathBuf>,
    /// Draws light lines on a dark background
    #[arg(long)]
    dark: bool,
}

/// Prints the model and draws the figures.
pub fn describe(arguments: &Arguments) -> Outcome<()> {
    let file = ModelFile::load(&arguments.model)?;
    let mut figures = Vec::new();
    let Arguments { data, columns, array, .. } = arguments;
    if data.is_empty() {
        print(&file, None)?;
        say_criteria(&file.criteria)?;
    } else {
        let source = Source { data: data.clone(), columns: columns.clone(), array: array.clone() };
        let mut table = source.open()?;
        let columns = file.select(&mut table, &source)?;
        let weights = file.read_weights(&mut table, &columns)?;
        let explain = |error| table::explain(error, &table, &columns, false);
        let (rows, weights) = (Incomplete(&table), weights.as_deref());
        print(&file, Some(sizes(&file.model, &rows, weights).map_err(explain)?))?;
        say!("{} rows", table.samples());
        match &file.model {
            Model::Mixture(model) => {
                let criteria = match weights {
                    Some(weights) => model.criteria_weighted(&rows, weights),
                    None => model.criteria(&rows),
                };
                say_criteria(&[Rated::new(file.model.components(), &criteria.map_err(explain)?)])?;
            }
            model => say!("inertia {:?}", model.total(&rows, weights).map_err(explain)?.0),
        }
        if arguments.figures.is_some() && file.model.dimensions() > 1 {
            figures.push(draw(&file, &table).map_err(explain)?);
        }
    }
    if file.criteria.len() > 1 {
        let counts: Vec<usize> = file.criteria.iter().map(|rated| rated.components).collect();
        let criteria: Vec<_> = file.criteria.iter().map(Rated::criteria).collect();
        figures.push(chapter04::information_criteria(&counts, &criteria)?.named("criteria"));
    }
    match &arguments.figures {
        Some(folder) => save(&figures, folder, if arguments.dark { Palette::Dark } else { Palette::Light }),
        None if data.is_empty() => {
            say!(
                "With the files of a table after the model's, it also counts rows, and --figures DIR draws them."
            );
            Ok(())
        }
        None if !file.can_be_drawn() => Ok(()),
        None => {
            let next = command::again(&[], ["--figures", "figures"]);
            say!("To draw the model with its table:\nNext: {next}");
            Ok(())
        }
    }
}

fn save(figures: &[Figure], folder: &Path, palette: Palette) -> Outcome<()> {
    if figures.is_empty() {
        return Err(Failure::new("there is nothing to draw")
            .mend("name the table as DATA, with at least two columns, or fit a range of --components"));
    }
    std::fs::create_dir_all(folder).at(folder)?;
    for figure in figures {
        let path = folder.join(format!("{}.svg", figure.name()));
        figure.save(&path, palette)?;
        say!("  {}   {}", path.display(), figure.title());
    }
    say!("Open them in a browser.");
    Ok(())
}

/// Counts the rows of each cluster or component, or adds up their weights.
fn sizes(model: &Model, rows: &dyn Rows, weights: Option<&[f64]>) -> Result<Array1<f64>> {
    match model {
        Model::KMeans(model) => model.sizes(rows, weights),
        Model::Mixture(mixture) => {
            let mut sizes = Array1::zeros(model.components());
            for (row, label) in mixture.predict(rows)?.into_iter().enumerate() {
                sizes[label] += weights.map_or(1.0, |weights| weights[row]);
            }
            Ok(sizes)
        }
    }
}

/// Prints a row for each component or cluster: its weight, its size, and its means and standard deviations.
fn print(file: &ModelFile, sizes: Option<Array1<f64>>) -> Outcome<()> {
    let part = file.model.part();
    let columns = file.header();
    let shown = &columns[..columns.len().min(SHOWN)];
    let (centres, weights, kind) = match &file.model {
        Model::Mixture(model) => (
            &model.means,
            Some(&model.weights),
            format!(", {:?} covariances", model.covariance_kind()).to_lowercase(),
        ),
        Model::KMeans(KMeans { centroids }) => (centroids, None, String::new()),
    };
    say!("{} {part}s, {} columns{kind}\n", centres.nrows(), columns.len());
    let mut headers = vec![part];
    headers.extend(weights.map(|_| "weight"));
    headers.extend(sizes.as_ref().map(|_| "rows"));
    let first = headers.len();
    headers.extend(shown.iter().map(String::as_str));
    let row =
        |values: ArrayView1<f64>| values.iter().take(SHOWN).map(|value| short(*value)).collect::<Vec<_>>();
    let mut table = Table::new(&headers);
    for k in 0..centres.nrows() {
        let mut cells = vec![k.to_string()];
        cells.extend(weights.map(|weights| format!("{:.4}", weights[k])));
        cells.extend(sizes.as_ref().map(|sizes| match sizes[k] {
            size if size.fract() == 0.0 => size.to_string(),
            size => short(size),
        }));
        cells.extend(row(centres.row(k)));
        add(&mut table, &cells)?;
    }
    say!("{}:\n{table}", if weights.is_some() { "means" } else { "centroids" });
    if let Model::Mixture(model) = &file.model {
        let mut headers = headers[first..].to_vec();
        headers.insert(0, part);
        let mut table = Table::new(&headers);
        for k in 0..model.weights.len() {
            let mut cells = vec![k.to_string()];
            match model.weights[k] {
                0.0 => cells.resize(headers.len(), "-".to_owned()), // without rows it has no variance of its own
                _ => cells.extend(row(model.covariance(k).diag().mapv(f64::sqrt).view())),
            }
            add(&mut table, &cells)?;
        }
        say!("standard deviations:\n{table}");
    }
    if columns.len() > SHOWN {
        say!("and {} more columns, in the file", columns.len() - SHOWN);
    }
    Ok(())
}

fn add(table: &mut Table, cells: &[String]) -> Outcome<()> {
    let cells: Vec<&dyn std::fmt::Display> = cells.iter().map(|cell| cell as _).collect();
    table.row(&cells)?;
    Ok(())
}

/// Prints the criteria by number of components.
pub fn say_criteria(criteria: &[Rated]) -> Outcome<()> {
    if criteria.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["components", "log-likelihood", "parameters", "AIC", "BIC", "ICL"]);
    for rated in criteria {
        let [log_likelihood, aic, bic, icl] =
            [rated.log_likelihood, rated.aic, rated.bic, rated.icl].map(|value| format!("{value:.2}"));
        table.row(&[&rated.components, &log_likelihood, &rated.parameters, &aic, &bic, &icl])?;
    }
    say!("\n{table}");
    Ok(())
}

/// Formats a number with about five digits.
fn short(value: f64) -> String {
    match value.abs() {
        size if size == 0.0 || (1e-3..1e7).contains(&size) => {
            let decimals = (4 - size.max(1.0).log10() as i32).clamp(0, 4) as usize;
            format!("{value:.decimals$}")
        }
        _ => format!("{value:.3e}"),
    }
}

/// Draws the pair plot of at most 5000 rows, evenly spaced in the table.
fn draw(file: &ModelFile, table: &Tables) -> Result<Figure> {
    let (rows, dimensions) = (table.samples(), table.dimensions());
    let every = rows.div_ceil(DRAWN);
    let mut values = Vec::new();
    table::each_row(table, |at, row| {
        if at % every == 0 {
            values.extend(row);
        }
    })?;
    let shape = (values.len() / dimensions, dimensions);
    let data = Array2::from_shape_vec(shape, values).expect("each row has one number for each column");
    let names = file.header();
    match &file.model {
        Model::Mixture(model) => {
            pairs::pairs(&names, &data, &model.predict(&Incomplete(&data))?, &model.means, Some(model))
        }
        Model::KMeans(model) => {
            pairs::pairs(&names, &data, &model.predict(&Incomplete(&data))?, &model.centroids, None)
        }
    }
}
