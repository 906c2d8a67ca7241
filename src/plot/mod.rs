//! Figures: a trace goes in, a figure comes out; a plot never fits.
