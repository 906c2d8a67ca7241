//! What `fit` prints at its end.

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
    warn_of_flat_components(arguments, file);
    Ok(())
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
    let floor = format!("{:e}", 1e3 * arguments.floor);
    say!(
        "\ncaution: component {k} has a variance near --floor in {}. Either its rows have nearly equal values there, or the \
         floor is\nlarge for the unit of this column. The floor decides its likelihood and the criteria. Try another one: {}",
        file.header()[column],
        command::again(&[], ["--floor", &floor])
    );
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
    say!("To label each row: {}", with("predict", &["--out", "labels.csv"]));
    say!(
        "To see the {}s, and to draw them:\nNext: {}",
        file.model.part(),
        with("describe", &["--figures", "figures"])
    );
}
