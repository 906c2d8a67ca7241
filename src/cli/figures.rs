//! `em-routing figures`: every figure as SVG.

use std::path::Path;

use em_routing::gallery::FIGURES;

use super::failure::{AtPath, Outcome};
use super::progress::Board;

/// Draws every figure into a folder and returns how many there are.
pub fn draw_all(out: &Path) -> Outcome<usize> {
    std::fs::create_dir_all(out).at(out)?;
    let mut task = Board::default().task("figures");
    for (index, entry) in FIGURES.iter().enumerate() {
        task.at(index, FIGURES.len(), entry.name);
        (entry.draw)()?.save(out.join(format!("{}.svg", entry.name)))?;
    }
    task.done(&format!("{} SVG files in {}", FIGURES.len(), out.display()));
    Ok(FIGURES.len())
}
