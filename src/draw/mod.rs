//! A small plotting library, independent of the models.
//!
//! A [`Chart`] collects axes and items, [`Chart::finish`] turns it into a [`Figure`], and the figure is rendered as an SVG
//! in a [`Palette`]. A [`Table`] holds rows of text and numbers.
//!
//! [plotters](https://docs.rs/plotters) draws, using this crate's backend. Every figure stands on a card and has a title
//! and a description for screen readers. Animations need no script.

mod animation;
mod axis;
mod backend;
mod bars;
mod chart;
mod contour;
mod curves;
mod figure;
mod heat;
mod layout;
mod legend;
mod lines;
mod logarithmic;
mod marks;
mod number;
mod palette;
mod png;
mod regions;
mod render;
mod table;

pub use animation::{animate, shown_iterations};
pub use axis::Axis;
pub(crate) use backend::verbatim;
pub use bars::{Along, bars};
pub use chart::{Chart, Frame, Image, Ink, Pen, Point, Side};
pub use contour::{DEPTHS, Field, Scale, draw_scale};
pub use curves::Label;
pub use figure::{Figure, STRIP};
pub use layout::{Grid, equal_units, extent, padded, ranges, spread, stride};
pub use legend::{Mark, legend_row};
pub use logarithmic::log_curves;
pub use number::{in_steps, letter, number, power_of_ten, round_step, scientific, three_digits, trimmed};
pub use palette::{
    BLUE, CARD, FRAME, GREEN, GREY, INK, ORANGE, PALE, PURPLE, Palette, Rgb, SKY, Tint, VERMILION, between,
    component, heat,
};
pub use regions::draw_regions;
pub use table::Table;
