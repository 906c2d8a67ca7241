//! What `fit` prints at its end.

use em_routing::gmm::Gmm;

use super::super::command;
use super::super::describe::say_criteria;
use super::super::failure::Outcome;
use super::super::model::{Model, ModelFile};
use super::Arguments;

/// Prints the criteria by number of components.
pub fn report(arguments: &Arguments, file: &ModelFile, collapsed: &[usize]) -> Outcome<()> {
    say_criteria(&file.criteria)?;
    for components in collapsed {
        say!("{components} components: every run collapsed; a larger --floor may help");
    }
    if file.criteria.len() + collapsed.len() > 1 {
        let name = format!("{:?}", arguments.criterion).to_uppercase();
        say!("the smallest {name} is that of {} components.", file.model.components());
    }
    warn_of_empty_components(file);
    warn_of_flat_components(arguments, file);
    Ok(())
}

/// Warns of components that no row belongs to.
fn warn_of_empty_components(file: &ModelFile) {
    let Model::Mixture(mixture) = &file.model else { return };
    for (k, _) in mixture.weights.iter().enumerate().filter(|(_, weight)| **weight == 0.0) {
        say!(
            "\ncaution: component {k} has no rows, though the criteria count its parameters; ask for fewer --components"
        );
    }
}

/// Warns of a component with a variance near the floor: it sits on equal values, and the floor decides its likelihood.
fn warn_of_flat_components(arguments: &Arguments, file: &ModelFile) {
    let Model::Mixture(mixture) = &file.model else { return };
    let is_flat = |variance: f64| variance < 4.0 * arguments.floor;
    let flat = (0..mixture.weights.len()).find_map(|k| {
        let variances = mixture.covariance(k).into_diag();
        variances.iter().position(|&variance| is_flat(variance)).map(|column| (k, column))
    });
    let Some((k, column)) = flat else { return };
    let (name, spread) = (&file.header()[column], variance(mixture, column) - arguments.floor);
    let size = mixture.means[(k, column)].powi(2) + arguments.floor;
    if spread <= 1e-12 * size {
        say!(
            "\ncaution: all rows have nearly the same {name}, so --floor decides the likelihood and the criteria. Leave this column out"
        );
    } else if spread < 1e3 * arguments.floor {
        say!(
            "\ncaution: --floor is large for the unit of {name}, whose variance is {spread:.1e}: it decides the likelihood and the \
             criteria. Try\na smaller one: {}",
            command::again(&[], ["--floor", &format!("{:.0e}", 1e-6 * spread)])
        );
    } else {
        say!(
            "\ncaution: component {k} has a variance near --floor in {name}: its rows have nearly equal values there. So the floor \
             decides its\nlikelihood: compare the criteria of such fits only at the same --floor."
        );
    }
}

/// Returns the variance of a column under the whole mixture.
///
/// ```text
/// sum_k pi_k (sigma_k^2 + (mu_k - mu)^2)   with mu = sum_k pi_k mu_k
/// ```
fn variance(mixture: &Gmm, column: usize) -> f64 {
    let (weights, means) = (&mixture.weights, mixture.means.column(column));
    let mean = weights.dot(&means);
    let of = |k: usize| mixture.covariance(k)[(column, column)] + (means[k] - mean).powi(2);
    (0..weights.len()).map(|k| weights[k] * of(k)).sum()
}

/// Prints what was written and the next command.
pub fn say_written(arguments: &Arguments, file: &ModelFile) {
    let out = command::path(&arguments.out);
    let contents = match file.model {
        Model::Mixture(_) => "the mixture: weights, means, covariances, columns, criteria (JSON)",
        Model::KMeans(_) => "the centroids and their columns (JSON)",
    };
    say!("  {}   {contents}", arguments.out.display());
    let with = |command: &str, more: &[&str]| {
        let data = arguments.source.again();
        let words = [command.into(), out.clone()].into_iter().chain(data);
        command::line(words.chain(more.iter().map(std::ffi::OsString::from)))
    };
    let is_read =
        |name: &&str| arguments.source.data.iter().any(|path| path.file_name().is_some_and(|of| of == *name));
    let labels = ["labels.csv", "labels-of-rows.csv"]
        .into_iter()
        .find(|name| !is_read(name))
        .unwrap_or("row-labels.csv");
    say!("To label each row: {}", with("predict", &["--out", labels]));
    let part = file.model.part();
    if file.can_be_drawn() {
        say!("To see the {part}s, and to draw them:\nNext: {}", with("describe", &["--figures", "figures"]));
    } else {
        say!("To see the {part}s:\nNext: {}", with("describe", &[]));
    }
}
