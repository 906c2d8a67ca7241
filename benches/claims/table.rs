//! The file of results: a line for each measured number.

use std::path::{Path, PathBuf};

use em_routing::error::Error;
use em_routing::figures::records::{ClaimRecord, read_claims};
use em_routing::files;

use crate::Outcome;
use crate::networks::Budget;
use crate::routing::Measures;

const HEADER: &str = "claim,measure,arm,seed,digits,epochs,value\n";

pub struct Table {
    path: PathBuf,
    rows: Vec<ClaimRecord>,
}

impl Table {
    /// Reads a table; it is empty if there is no such file.
    pub fn read(path: &Path) -> Outcome<Table> {
        let rows = match read_claims(path) {
            Ok(rows) => rows,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Table { path: path.to_owned(), rows })
    }

    /// The numbers of a claim for this network.
    fn of<'a>(
        &'a self,
        claim: &'a str,
        arm: &'a str,
        seed: u64,
        budget: Budget,
    ) -> impl Iterator<Item = &'a ClaimRecord> {
        let key = (claim, arm, seed, budget.digits, budget.epochs);
        self.rows.iter().filter(move |row| {
            (row.claim.as_str(), row.arm.as_str(), row.seed, row.digits, row.epochs) == key
        })
    }

    /// Whether the table has a claim's numbers for this network.
    pub fn has(&self, claim: &str, arm: &str, seed: u64, budget: Budget) -> bool {
        self.of(claim, arm, seed, budget).next().is_some()
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
            let Budget { digits, epochs } = budget;
            self.rows.push(ClaimRecord { claim, measure, arm, seed, digits, epochs, value });
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
        self.of(claim, arm, seed, budget).find(|row| row.measure == measure).map(|row| row.value)
    }
}

fn line(row: &ClaimRecord) -> String {
    let ClaimRecord { claim, measure, arm, seed, digits, epochs, value } = row;
    // six digits after the point; small numbers as powers of ten
    let value =
        if value.abs() >= 1e-3 || *value == 0.0 { format!("{value:.6}") } else { format!("{value:.3e}") };
    format!("{claim},{measure},{arm},{seed},{digits},{epochs},{value}")
}
