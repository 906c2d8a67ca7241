//! The figures of the chapters: data and picture together, drawn by [`draw`](crate::draw).
//!
//! A figure is a function, which takes its data and options and returns a [`Figure`], and a line in its chapter's list, which
//! calls it with the chapter's own. Notebooks, the command `figures` and web pages call the same functions.
//!
//! Lists leave out what shows the machine it was drawn on: times, the rounding of differences (chapter 7), and what a network
//! in f32 makes of many images (chapter 9). Figures of a digit in the network (chapter 8) are made of f32 numbers, whose last
//! bits are the same on processors of the same instructions.

pub mod chapter01;
pub mod chapter02;
pub mod chapter03;
pub mod chapter04;
pub mod chapter05;
pub mod chapter06;
pub mod chapter07;
pub mod chapter08;
pub mod chapter09;
mod checks;
mod clusters;
pub(crate) mod coins;

pub use crate::draw::animate;

use crate::draw::Figure;
use crate::error::{Error, Result};

/// A figure's name, which is also its file's, and how to draw it; the same bytes each time.
pub type Entry = (&'static str, fn() -> Result<Figure>);

/// The chapters' lists, from chapter 1 on.
const CHAPTERS: [&[Entry]; 9] = [
    chapter01::FIGURES,
    chapter02::FIGURES,
    chapter03::FIGURES,
    chapter04::FIGURES,
    chapter05::FIGURES,
    chapter06::FIGURES,
    chapter07::FIGURES,
    chapter08::FIGURES,
    chapter09::FIGURES,
];

/// The reproducible figures of a chapter, in its order; none for a chapter that there is not.
pub fn of_chapter(chapter: usize) -> &'static [Entry] {
    chapter.checked_sub(1).and_then(|index| CHAPTERS.get(index)).copied().unwrap_or_default()
}

/// All reproducible figures, in the order of the chapters.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    CHAPTERS.iter().copied().flatten()
}

/// Draws the figure of this name.
///
/// # Errors
///
/// Returns an error for a name that is not in [`all`].
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
