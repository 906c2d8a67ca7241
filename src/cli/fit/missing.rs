//! Missing numbers of a table: how many there are, and what a fit does about them.

use super::super::table::Column;
use super::Family;

/// Says how many numbers are missing, where, and what the fit does about them; None if there are none.
pub fn words(family: Family, missing: &[usize], columns: &[Column], rows: usize) -> Option<String> {
    const SHOWN: usize = 6;
    let all: usize = missing.iter().sum();
    if all == 0 {
        return None;
    }
    let counts = missing.iter().zip(columns).filter(|(count, _)| **count > 0);
    let mut shown: Vec<String> = counts.map(|(count, name)| format!("{name} {count}")).collect();
    let more = shown.len().saturating_sub(SHOWN);
    shown.truncate(SHOWN);
    if more > 0 {
        shown.push(format!("{more} more columns"));
    }
    let means = match family {
        Family::Mixture => "the mixture integrates over them",
        Family::Kmeans => "K-means leaves them out of distances and means",
    };
    let numbers = rows * columns.len();
    Some(format!("  {all} of {numbers} numbers are missing ({}): {means}", shown.join(", ")))
}
