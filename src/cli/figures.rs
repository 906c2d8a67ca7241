//! `em-routing figures`: draws every figure as SVG.

use std::path::Path;

use em_routing::draw::Palette;
use em_routing::{figures, files};

use super::failure::{AtPath, Outcome};
use super::progress::Board;

/// Draws every figure into a folder, and each animation also as a strip of frames; returns the number of figures.
pub fn draw_all(out: &Path, palette: Palette) -> Outcome<usize> {
    std::fs::create_dir_all(out).at(out)?;
    let mut task = Board::default().task("figures");
    let count = figures::all().count();
    for (index, (name, draw)) in figures::all().enumerate() {
        task.at(index, count, name);
        let figure = draw()?;
        figure.save(out.join(format!("{name}.svg")), palette)?;
        if figure.is_animation() {
            files::write(&out.join(format!("{name}-strip.svg")), figure.strip(palette).as_bytes())?;
        }
    }
    task.done(&format!("{count} figures in {}", out.display()));
    Ok(count)
}
