//! The file of results: a line for each measured number.

use std::path::{Path, PathBuf};

use em_routing::files;

use crate::Outcome;
use crate::networks::Budget;
use crate::routing::Measures;

const HEADER: &str = "claim,measure,arm,seed,digits,epochs,value\n";

/// A measured number.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    claim: String,
    measure: String,
    arm: String,
    seed: u64,
    budget: Budget,
    value: f64,
}

pub struct Table {
    path: PathBuf,
    rows: Vec<Row>,
}

impl Table {
    /// Reads a table; it is empty if there is no such file.
    pub fn read(path: &Path) -> Outcome<Table> {
        let mut table = Table { path: path.to_owned(), rows: Vec::new() };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(table),
            Err(error) => return Err(format!("{}: {error}", path.display()).into()),
        };
        let lines =
            text.strip_prefix(HEADER).ok_or_else(|| format!("{} has another header", path.display()))?;
        for (at, line) in lines.lines().enumerate() {
            let row = row(line).ok_or_else(|| format!("{}, line {}: {line}", path.display(), at + 2))?;
            table.rows.push(row);
        }
        Ok(table)
    }

    /// Whether the table has a claim's numbers for this network.
    pub fn has(&self, claim: &str, arm: &str, seed: u64, budget: Budget) -> bool {
        self.rows
            .iter()
            .any(|row| row.claim == claim && row.arm == arm && row.seed == seed && row.budget == budget)
    }

    /// Adds numbers and writes the file.
    pub fn add(
        &mut self,
        claim: &str,
        arm: &str,
        seed: u64,
        budget: Budget,
        measures: Measures,
    ) -> Outcome<()> {
        for (measure, value) in measures {
            // a comma would end the field
            let measure = measure.replace(',', ";");
            let (claim, arm) = (claim.to_owned(), arm.to_owned());
            self.rows.push(Row { claim, measure, arm, seed, budget, value });
        }
        let lines: Vec<String> = self.rows.iter().map(line).collect();
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(files::write(&self.path, format!("{HEADER}{}\n", lines.join("\n")).as_bytes())?)
    }

    /// Returns a number.
    pub fn value(&self, claim: &str, arm: &str, seed: u64, budget: Budget, measure: &str) -> Option<f64> {
        let measure = measure.replace(',', ";");
        let row = self.rows.iter().find(|row| {
            (&*row.claim, &*row.arm, row.seed, row.budget) == (claim, arm, seed, budget)
                && row.measure == measure
        });
        row.map(|row| row.value)
    }
}

fn row(line: &str) -> Option<Row> {
    let [claim, measure, arm, seed, digits, epochs, value] = line.split(',').collect::<Vec<_>>()[..] else {
        return None;
    };
    Some(Row {
        claim: claim.to_owned(),
        measure: measure.to_owned(),
        arm: arm.to_owned(),
        seed: seed.parse().ok()?,
        budget: Budget { digits: digits.parse().ok()?, epochs: epochs.parse().ok()? },
        value: value.parse().ok()?,
    })
}

fn line(row: &Row) -> String {
    let Row { claim, measure, arm, seed, budget: Budget { digits, epochs }, value } = row;
    // six digits after the point; small numbers as powers of ten
    let value =
        if value.abs() >= 1e-3 || *value == 0.0 { format!("{value:.6}") } else { format!("{value:.3e}") };
    format!("{claim},{measure},{arm},{seed},{digits},{epochs},{value}")
}
