//! Tables of numbers or words, for notebooks and terminals.

use std::fmt::{self, Display};

use super::figure::escaped;
use crate::error::{Error, Result};

/// A table: headers and rows of cells, shown as HTML in a notebook and as aligned text in a terminal.
///
/// ```
/// use em_routing::draw::Table;
/// let mut table = Table::new(&["iteration", "theta_A"]);
/// table.row(&[&0, &"0.6000"])?.row(&[&1, &"0.7131"])?;
/// assert_eq!(table.to_string(), "iteration  theta_A\n        0   0.6000\n        1   0.7131\n");
/// # Ok::<(), em_routing::error::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table without rows.
    pub fn new(headers: &[&str]) -> Table {
        Table { headers: headers.iter().map(|header| header.to_string()).collect(), rows: Vec::new() }
    }

    /// Adds a row with one cell per header.
    ///
    /// # Errors
    ///
    /// Returns an error if the row is longer or shorter than the headers.
    pub fn row(&mut self, cells: &[&dyn Display]) -> Result<&mut Table> {
        if cells.len() != self.headers.len() {
            let (expected, found) = (self.headers.len(), cells.len());
            return Err(Error::Length { name: "a table's row", expected, found });
        }
        self.rows.push(cells.iter().map(|cell| cell.to_string()).collect());
        Ok(self)
    }

    /// Creates a table of numbers with `decimals` decimals; a column of whole numbers is written without decimals.
    ///
    /// `rows` can be the rows of an `Array2` (`array.rows()`) or a `Vec<Vec<f64>>`.
    ///
    /// ```
    /// use em_routing::draw::Table;
    /// let table = Table::of(&["iteration", "theta_A"], &[vec![0.0, 0.6], vec![1.0, 0.7131]], 2)?;
    /// assert_eq!(table.to_string(), "iteration  theta_A\n        0     0.60\n        1     0.71\n");
    /// let table = Table::of(&["a", "b"], ndarray::array![[0.5, 0.6]].rows(), 1)?;
    /// # Ok::<(), em_routing::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if a row is longer or shorter than the headers.
    pub fn of<R>(headers: &[&str], rows: R, decimals: usize) -> Result<Table>
    where
        R: IntoIterator,
        R::Item: IntoIterator,
        <R::Item as IntoIterator>::Item: std::borrow::Borrow<f64>,
    {
        use std::borrow::Borrow as _;
        let rows: Vec<Vec<f64>> = rows
            .into_iter()
            .map(|row| row.into_iter().map(|value| *value.borrow()).collect::<Vec<f64>>())
            .collect();
        let mut table = Table::new(headers);
        if let Some(row) = rows.iter().find(|row| row.len() != headers.len()) {
            return Err(Error::Length { name: "a table's row", expected: headers.len(), found: row.len() });
        }
        let whole: Vec<bool> =
            (0..headers.len()).map(|column| rows.iter().all(|row| row[column].fract() == 0.0)).collect();
        for row in &rows {
            let cells = row.iter().zip(&whole);
            table.rows.push(
                cells
                    .map(|(value, &whole)| format!("{value:.*}", if whole { 0 } else { decimals.min(300) }))
                    .collect(),
            );
        }
        Ok(table)
    }

    /// Renders the table as HTML.
    pub fn html(&self) -> String {
        let cells = |cells: &[String], tag: &str| -> String {
            cells
                .iter()
                .map(|cell| format!("<{tag} style=\"text-align:right\">{}</{tag}>", escaped(cell)))
                .collect()
        };
        let body: String =
            self.rows.iter().map(|row| format!("<tr>{}</tr>", cells(row, "td"))).collect::<Vec<_>>().join("");
        format!("<table><thead><tr>{}</tr></thead><tbody>{body}</tbody></table>", cells(&self.headers, "th"))
    }

    /// Displays the table in a Rust notebook, with plain text as the alternative to HTML.
    pub fn evcxr_display(&self) {
        println!("EVCXR_BEGIN_CONTENT text/html\n{}\nEVCXR_END_CONTENT", self.html());
        println!("EVCXR_BEGIN_CONTENT text/plain\n{self}\nEVCXR_END_CONTENT");
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = || std::iter::once(&self.headers).chain(&self.rows);
        let widths: Vec<usize> = (0..self.headers.len())
            .map(|column| lines().map(|cells| cells[column].chars().count()).max().unwrap_or(0))
            .collect();
        for cells in lines() {
            for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
                write!(f, "{}{cell:>width$}", if column == 0 { "" } else { "  " })?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
