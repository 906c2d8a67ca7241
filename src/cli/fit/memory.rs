//! The memory that the covariances of a mixture take in a fit.

use super::super::command;
use super::super::failure::{Failure, Outcome};
use super::super::progress::Board;
use super::{Arguments, Covariance, Family};

/// Returns an error if the covariances take more memory than the machine has, and says how much if it is more than 1 GB.
pub fn check(arguments: &Arguments, columns: usize, board: &Board) -> Outcome<()> {
    let is_square = matches!(arguments.covariance, Covariance::Full | Covariance::Tied);
    if arguments.family == Family::Kmeans || !is_square {
        return Ok(());
    }
    let components = *arguments.components.end();
    // measured: a component takes about eight matrices, for models, sums, factors and what a checkpoint copies
    let bytes = 8.0 * 8.0 * components as f64 * (columns as f64).powi(2);
    if bytes < 1e9 {
        return Ok(());
    }
    let gigabytes = |bytes: f64| format!("{:.0} GB", bytes / 1e9);
    let words = format!(
        "the covariances of {components} components and {columns} columns take about {} of memory",
        gigabytes(bytes)
    );
    match machine() {
        Some(memory) if bytes > memory => {
            Err(Failure::new(format!("{words}, but the machine has {}", gigabytes(memory)))
                .mend("choose diagonal covariances, or fewer columns or components")
                .next(command::again(&[], ["--covariance", "diagonal"])))
        }
        _ => {
            board.say(&format!("  {words}"));
            Ok(())
        }
    }
}

/// Returns the memory of the machine in bytes, where the system tells it in a file (Linux).
fn machine() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(1024.0 * total.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()?)
}
