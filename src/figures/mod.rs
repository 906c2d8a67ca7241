//! The figures of the chapters, each with its data, drawn by [`draw`](crate::draw).
//!
//! Each figure is a function that takes data and options and returns a [`Figure`]. A line in its chapter's list calls it
//! with the chapter's own data. Notebooks, the command `figures` and web pages call the same functions.
//!
//! The lists contain only reproducible figures. They leave out run times, rounding errors of difference quotients (chapter
//! 7), and results of an f32 network on many images (chapter 9). Figures of one digit in the network (chapter 8) also use
//! f32, but their last bits agree on processors with the same instruction set.

pub mod chapter01;
pub mod chapter02;
pub mod chapter03;
pub mod chapter04;
pub mod chapter05;
pub mod chapter06;
pub mod chapter07;
pub mod chapter08;
pub mod chapter09;
pub mod chapter10;
pub mod chapter11;
mod checks;
mod claims;
pub(crate) mod clusters;
mod coins;
mod curves;
mod network;
pub mod pairs;
pub mod records;
mod routed;
mod trials;

pub use crate::draw::animate;

use crate::draw::Figure;
use crate::error::{Error, Result};

/// The name of a figure, which is also its file name, and the function that draws it, with the same bytes each time.
pub type Entry = (&'static str, fn() -> Result<Figure>);

/// The lists of the chapters, from chapter 1 on.
const CHAPTERS: [&[Entry]; 11] = [
    chapter01::FIGURES,
    chapter02::FIGURES,
    chapter03::FIGURES,
    chapter04::FIGURES,
    chapter05::FIGURES,
    chapter06::FIGURES,
    chapter07::FIGURES,
    chapter08::FIGURES,
    chapter09::FIGURES,
    chapter10::FIGURES,
    chapter11::FIGURES,
];

/// The reproducible figures of a chapter, in order; empty for an unknown chapter.
pub fn of_chapter(chapter: usize) -> &'static [Entry] {
    chapter.checked_sub(1).and_then(|index| CHAPTERS.get(index)).copied().unwrap_or_default()
}

/// All reproducible figures, by chapter.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    CHAPTERS.iter().copied().flatten()
}

/// Draws the figure with this name.
///
/// # Errors
///
/// Returns an error if the name is not in [`all`], or if the figure cannot be drawn.
pub fn figure(name: &str) -> Result<Figure> {
    match all().find(|entry| entry.0 == name) {
        Some((_, draw)) => draw(),
        None => Err(Error::UnknownName {
            what: "figure",
            found: name.to_owned(),
            known: all().map(|entry| entry.0.to_owned()).collect(),
        }),
    }
}
