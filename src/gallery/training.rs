//! Chapter 9: what the recipe's switches do, and how the full trainings went, from the results that are shipped.

use super::records::{EpochRecord, Trial, read_epochs, read_trials};
use crate::error::Result;
use crate::plot::{self, Figure};
use crate::shipped;

/// Trials by setting, the runs of each beside each other: `default` first, then from the least mean error to the greatest, and
/// last what diverged.
pub fn by_setting(trials: &[Trial]) -> Vec<(String, Vec<Option<f64>>)> {
    let mut rows: Vec<(String, Vec<Option<f64>>)> = Vec::new();
    for trial in trials {
        match rows.iter_mut().find(|row| row.0 == trial.setting) {
            Some(row) => row.1.push(trial.error),
            None => rows.push((trial.setting.clone(), vec![trial.error])),
        }
    }
    // a run that diverged counts as one that mistakes everything
    let mean =
        |runs: &[Option<f64>]| runs.iter().map(|run| run.unwrap_or(1.0)).sum::<f64>() / runs.len() as f64;
    let place = |row: &(String, Vec<Option<f64>>)| if row.0 == "default" { -1.0 } else { mean(&row.1) };
    rows.sort_by(|a, b| place(a).total_cmp(&place(b)));
    rows
}

/// The validation error over the epochs, a curve for each training: its recipe and its points (epoch, error). A recipe that is
/// trained for several numbers of epochs has these in its name.
pub fn validation_curves(epochs: &[EpochRecord]) -> Vec<(String, Vec<(f64, f64)>)> {
    let mut runs: Vec<(&str, u64, usize)> = Vec::new();
    for EpochRecord { recipe, seed, epochs, .. } in epochs {
        if !runs.contains(&(recipe, *seed, *epochs)) {
            runs.push((recipe, *seed, *epochs));
        }
    }
    let curve = |run: (&str, u64, usize)| {
        let own = epochs.iter().filter(|of| (of.recipe.as_str(), of.seed, of.epochs) == run);
        own.filter_map(|of| Some((of.epoch as f64, of.validation?.error_rate()))).collect()
    };
    let name = |run: (&str, u64, usize)| match runs.iter().all(|of| of.0 != run.0 || of.2 == run.2) {
        true => run.0.to_owned(),
        false => format!("{}, {} epoch{}", run.0, run.2, if run.2 == 1 { "" } else { "s" }),
    };
    let curves = runs.iter().map(|&run| (name(run), curve(run)));
    curves.filter(|curve: &(String, Vec<_>)| !curve.1.is_empty()).collect()
}

pub(super) fn recipe_ablation() -> Result<Figure> {
    let rows = by_setting(&read_trials(shipped::ablation_file())?);
    Ok(plot::ablation(&rows)?.named("recipe-ablation"))
}

pub(super) fn epoch_errors() -> Result<Figure> {
    let curves = validation_curves(&read_epochs(shipped::runs_file())?);
    Ok(plot::error_curves("epochs", &curves)?.named("epoch-errors"))
}
