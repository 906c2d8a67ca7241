//! Charts: two axes and the items between them, collected first and drawn once.

use super::axis::Axis;
use super::figure::{Figure, printable};
use super::lines::{clipped, thinned};
use super::palette::{CARD, INK, Tint};
use super::render::{Item, Shape};
use crate::error::{Error, Result};

/// A point in the axes' units.
pub type Point = (f64, f64);

/// The approximate size limit of an SVG, in bytes, for notebooks and browsers.
const MOST_BYTES: usize = 1_000_000;

/// The maximum width and height of a figure, in pixels.
const MOST_PIXELS: u32 = 6000;

/// The maximum number of letters in one text; a longer text does not fit into any figure.
const MOST_LETTERS: usize = 200;

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Left of the point: the text ends there.
    Left,
    /// Centred on the point.
    Middle,
    /// Right of the point: the text begins there.
    Right,
}

/// The style of a line; widths and dashes are in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pen {
    /// The line's colour.
    pub tint: Tint,
    /// The line's width.
    pub width: f64,
    /// Lengths of dashes and gaps, if the line is dashed.
    pub dash: Option<(f64, f64)>,
    /// The line's opacity, from 0 (invisible) to 1 (opaque).
    pub opacity: f64,
}

impl Pen {
    /// Creates a solid line style.
    pub fn new(tint: Tint, width: f64) -> Pen {
        Pen { tint, width, dash: None, opacity: 1.0 }
    }

    /// Makes the line dashed.
    pub fn dashed(self, on: f64, off: f64) -> Pen {
        Pen { dash: Some((on, off)), ..self }
    }

    /// Makes the line translucent.
    pub fn faded(self, opacity: f64) -> Pen {
        Pen { opacity, ..self }
    }
}

/// The style of a text. It has a halo in the card's colour unless it is [`plain`](Ink::plain).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ink {
    pub(super) tint: Tint,
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) halo: bool,
}

impl Ink {
    /// Creates a text style with letters of 13 pixels.
    pub fn new(tint: Tint) -> Ink {
        Ink { tint: tint.for_text(), size: 13.0, bold: false, halo: true }
    }

    /// Creates a text style for letters on the colour [`heat`](super::heat)`(t)`, without a halo: dark letters on light colours
    /// and light letters on dark ones, with a contrast of about 4 or more.
    pub fn on_heat(t: f64) -> Ink {
        let light = if t < 0.88 { [34; 3] } else { [255; 3] };
        let dark = if t < 0.68 { [240; 3] } else { [0; 3] };
        Ink { tint: Tint::new(light, dark), size: 13.0, bold: false, halo: false }
    }

    /// Makes the text bold.
    pub fn bold(self) -> Ink {
        Ink { bold: true, ..self }
    }

    /// Sets the letter size in pixels.
    pub fn size(self, size: f64) -> Ink {
        Ink { size, ..self }
    }

    /// Removes the text's halo.
    pub fn plain(self) -> Ink {
        Ink { halo: false, ..self }
    }
}

/// A heat map as an image: levels in [0, 1], row by row from the top.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pub(super) width: usize,
    pub(super) levels: Vec<u8>,
    pub(super) sharp: bool,
}

impl Image {
    /// Creates an image of `width` columns, coloured by [`heat`](super::heat). If there are more than `most` * `most`
    /// values, only every n-th row and column is kept. `sharp` keeps pixel edges sharp when the image is enlarged.
    pub fn new(width: usize, values: &[f64], most: usize, sharp: bool) -> Image {
        let height = values.len() / width.max(1);
        let (across, down) = strides((width, height), most);
        let kept = |at: usize, size: usize, every: usize| (at * every + every / 2).min(size - 1);
        let (columns, rows) = (width.div_ceil(across), height.div_ceil(down));
        let level = |at: usize| {
            let (row, column) = (kept(at / columns, height, down), kept(at % columns, width, across));
            (values[row * width + column].clamp(0.0, 1.0) * 255.0).round() as u8
        };
        Image { width: columns, levels: (0..columns * rows).map(level).collect(), sharp }
    }
}

/// The strides along columns and rows that leave at most `most` * `most` values of an image of this size.
fn strides((width, height): (usize, usize), most: usize) -> (usize, usize) {
    if width.saturating_mul(height) <= most.saturating_mul(most) {
        return (1, 1);
    }
    // If one side is short, the other may keep more.
    let across = width.div_ceil((most * most / height.min(most)).min(width));
    let columns = width.div_ceil(across);
    (across, height.div_ceil((most * most / columns).max(1)))
}

/// Removes control characters and truncates the text to [`MOST_LETTERS`] letters.
pub(super) fn plain(text: &str) -> String {
    let mut letters = text.chars().filter_map(printable);
    let mut plain: String = letters.by_ref().take(MOST_LETTERS).collect();
    if letters.next().is_some() {
        plain.push('…');
    }
    plain
}

/// The axes of a chart in the figure: their rectangle in pixels from the upper left corner, and their ranges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// The left end of the x axis, in pixels.
    pub left: f64,
    /// The upper end of the y axis, in pixels.
    pub top: f64,
    /// The length of the x axis, in pixels.
    pub width: f64,
    /// The length of the y axis, in pixels.
    pub height: f64,
    /// The range of the x axis, in its units.
    pub x: (f64, f64),
    /// The range of the y axis, in its units.
    pub y: (f64, f64),
}

impl Frame {
    /// Converts a point in the axes' units to a pixel position in the figure.
    pub fn pixel(&self, (x, y): Point) -> (f64, f64) {
        (
            self.left + (x - self.x.0) / (self.x.1 - self.x.0) * self.width,
            self.top + (self.y.1 - y) / (self.y.1 - self.y.0) * self.height,
        )
    }
}

/// A figure, or a panel of a figure. Items are drawn in the order in which they were added.
///
/// Create one with [`Chart::new`] from two [`Axis`] values, add lines, discs, texts and panels in the units of the axes,
/// and turn it into a [`Figure`] with [`Chart::finish`].
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    name: String,
    title: String,
    alt: String,
    /// The size of the whole figure, in pixels.
    pub(super) size: (u32, u32),
    /// The margins left, right, above and below the axes, in pixels.
    margins: [f64; 4],
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) frame: bool,
    pub(super) items: Vec<Item>,
    panels: Vec<Chart>,
}

impl Chart {
    /// Creates a chart of `size` pixels. The name becomes the file name; the title is written into the SVG for screen
    /// readers.
    pub fn new(name: &str, title: &str, size: (u32, u32), x: Axis, y: Axis) -> Chart {
        Chart {
            name: name.to_string(),
            title: title.to_string(),
            alt: title.to_string(),
            size,
            margins: [72.0, 24.0, 20.0, 56.0],
            x,
            y,
            frame: true,
            items: Vec::new(),
            panels: Vec::new(),
        }
    }

    /// Creates a figure without axes. Its units are pixels from the upper left corner: x to the right, y upward, so y is
    /// negative.
    pub fn canvas(name: &str, title: &str, (width, height): (f64, f64)) -> Chart {
        let axis = |low, high| Axis::new("", low, high).no_grid().ticks(Vec::new());
        let size = (width.round() as u32, height.round() as u32);
        let chart = Chart::new(name, title, size, axis(0.0, width), axis(-height, 0.0));
        Chart { frame: false, ..chart }.margins(0, 0, 0, 0)
    }

    /// Sets the margins around the axes, in pixels.
    pub fn margins(mut self, left: u32, right: u32, top: u32, bottom: u32) -> Chart {
        self.margins = [left, right, top, bottom].map(f64::from);
        self
    }

    /// Creates a panel with separate axes for this figure, from its upper left corner and its size in pixels.
    /// [`Chart::add`] adds the panel.
    pub fn panel(&self, (left, top): (f64, f64), (width, height): (f64, f64), x: Axis, y: Axis) -> Chart {
        let right = f64::from(self.size.0) - left - width;
        let bottom = f64::from(self.size.1) - top - height;
        let margins = [left, right, top, bottom].map(|margin| margin.max(0.0).round());
        Chart { margins, ..Chart::new(&self.name, &self.title, self.size, x, y) }
    }

    /// Adds a panel, drawn on top of the chart's items.
    pub fn add(&mut self, panel: Chart) {
        self.panels.push(panel);
    }

    /// Sets the alternative text: what the figure shows, in words.
    pub fn alt(mut self, alt: impl Into<String>) -> Chart {
        self.alt = alt.into();
        self
    }

    /// Draws a line, clipped to the axes.
    pub fn line(&mut self, points: impl IntoIterator<Item = Point>, pen: Pen) {
        let points: Vec<Point> = points.into_iter().collect();
        for points in clipped(&points, self.x.range, self.y.range) {
            self.push(thinned(points), Shape::Line(pen));
        }
    }

    /// Draws a line without clipping it to the axes.
    pub fn line_anywhere(&mut self, points: impl IntoIterator<Item = Point>, pen: Pen) {
        self.push(thinned(points.into_iter().collect()), Shape::Line(pen));
    }

    /// Draws a line with a halo in the card's colour.
    pub fn haloed(&mut self, points: &[Point], pen: Pen) {
        self.line(points.iter().copied(), Pen { width: pen.width + 2.6, tint: CARD, ..pen });
        self.line(points.iter().copied(), pen);
    }

    /// Draws the curve of `f` through `samples` + 1 points from `low` to `high`. The points are denser at both ends,
    /// where a log-likelihood is steepest. The curve has a gap where `f` is NaN.
    pub fn curve(&mut self, low: f64, high: f64, samples: usize, pen: Pen, f: impl Fn(f64) -> f64) {
        let (bottom, top) = self.y.range;
        let points = (0..=samples).map(|i| {
            let x =
                low + (high - low) * (1.0 - (std::f64::consts::PI * i as f64 / samples as f64).cos()) / 2.0;
            let y = f(x);
            (x, if y == f64::NEG_INFINITY { bottom - 100.0 * (top - bottom) } else { y })
        });
        self.line(points.collect::<Vec<_>>(), pen);
    }

    /// Draws a disc with a rim in the card's colour.
    pub fn disc(&mut self, at: Point, radius: f64, tint: Tint) {
        self.dot(at, radius + 1.5, CARD);
        self.dot(at, radius, tint);
    }

    /// Draws a disc without a rim.
    pub fn dot(&mut self, at: Point, radius: f64, tint: Tint) {
        self.push(vec![at], Shape::Disc { radius, tint, opacity: 1.0 });
    }

    /// Draws the mark of a cluster's centre: a disc with a dark rim.
    pub fn centre(&mut self, at: Point, tint: Tint) {
        self.disc(at, 8.0, INK);
        self.dot(at, 5.8, tint);
    }

    /// Draws discs without a rim, skipping points outside the axes. Translucent discs are darker where they overlap.
    pub fn scatter(
        &mut self,
        points: impl IntoIterator<Item = Point>,
        radius: f64,
        tint: Tint,
        opacity: f64,
    ) {
        let ((x0, x1), (y0, y1)) = (self.x.range, self.y.range);
        let inside = |&(x, y): &Point| (x0..=x1).contains(&x) && (y0..=y1).contains(&y);
        for at in points.into_iter().filter(inside) {
            self.push(vec![at], Shape::Disc { radius, tint, opacity });
        }
    }

    /// Fills a polygon without clipping it to the axes.
    pub fn area(&mut self, points: impl IntoIterator<Item = Point>, tint: Tint, opacity: f64) {
        self.push(thinned(points.into_iter().collect()), Shape::Area { tint, opacity });
    }

    /// Fills a rectangle between two corners.
    pub fn block(&mut self, from: Point, to: Point, tint: Tint) {
        self.push(vec![from, (to.0, from.1), to, (from.0, to.1)], Shape::Area { tint, opacity: 1.0 });
    }

    /// Draws a circle filled with the card's colour.
    pub fn ring(&mut self, at: Point, radius: f64, tint: Tint) {
        self.dot(at, radius + 2.5, CARD);
        self.push(vec![at], Shape::Ring { radius, pen: Pen::new(tint, 2.0) });
    }

    /// Draws an x-shaped cross with a rim in the card's colour.
    pub fn cross(&mut self, at: Point, radius: f64, tint: Tint) {
        for pen in [Pen::new(CARD, 6.0), Pen::new(tint, 2.6)] {
            self.push(vec![at], Shape::Cross { radius, pen });
        }
    }

    /// Draws text at `offset` pixels (right, down) from a point.
    pub fn text(&mut self, at: Point, offset: (f64, f64), side: Side, ink: Ink, text: impl Into<String>) {
        // `finish` must reject a non-finite offset, so it becomes part of the point
        let at = if offset.0.is_finite() && offset.1.is_finite() { at } else { offset };
        self.push(vec![at], Shape::Text { offset, side, ink, text: plain(&text.into()) });
    }

    /// Draws text that begins at a pixel position of the figure.
    pub fn note(&mut self, at: (f64, f64), ink: Ink, text: impl Into<String>) {
        self.write(at, Side::Right, ink, text);
    }

    /// Draws an image between two corners.
    pub fn image(&mut self, from: Point, to: Point, image: Image) {
        self.push(vec![from, to], Shape::Image(image));
    }

    fn push(&mut self, points: Vec<Point>, shape: Shape) {
        self.items.push(Item { points, shape });
    }

    /// Converts a pixel position in the figure (from the upper left corner) to a point in the axes' units.
    pub fn at_pixel(&self, x: f64, y: f64) -> Point {
        let ([left, _, top, _], (width, height)) = (self.margins, self.axes_size());
        (
            self.x.range.0 + (x - left) / width * (self.x.range.1 - self.x.range.0),
            self.y.range.1 - (y - top) / height * (self.y.range.1 - self.y.range.0),
        )
    }

    /// Converts a point to a pixel position in the figure.
    pub fn pixel(&self, at: Point) -> (f64, f64) {
        self.frame().pixel(at)
    }

    /// Where the axes are in the figure, for a program that answers to the mouse.
    pub fn frame(&self) -> Frame {
        let ([left, _, top, _], (width, height)) = (self.margins, self.axes_size());
        Frame { left, top, width, height, x: self.x.range, y: self.y.range }
    }

    fn axes_size(&self) -> (f64, f64) {
        let [left, right, top, bottom] = self.margins;
        (f64::from(self.size.0) - left - right, f64::from(self.size.1) - top - bottom)
    }

    /// Turns the chart into a figure.
    ///
    /// # Errors
    ///
    /// Returns an error if an axis is empty, not finite, too long or too short, if a point is not finite, or if the figure
    /// would be too large.
    pub fn finish(mut self) -> Result<Figure> {
        let panels = std::mem::take(&mut self.panels);
        let (name, title, alt) = (self.name.clone(), self.title.clone(), self.alt.clone());
        let charts: Vec<Chart> = std::iter::once(self).chain(panels).collect();
        match fault(&charts) {
            Some(fault) => Err(Error::Drawing { figure: name, source: fault.into() }),
            None => Ok(Figure::new(&name, &title, &alt, charts)),
        }
    }

    /// The approximate size of the chart's SVG, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let ticks = [&self.x, &self.y].map(|axis| axis.chosen_ticks(9).len() * 140);
        ticks.into_iter().chain(self.items.iter().map(Item::bytes)).fold(0, usize::saturating_add)
    }
}

/// Returns the reason why the charts cannot be drawn as one figure, if there is one.
fn fault(charts: &[Chart]) -> Option<String> {
    let (width, height) = charts[0].size;
    if !((1..=MOST_PIXELS).contains(&width) && (1..=MOST_PIXELS).contains(&height)) {
        return Some(format!(
            "it would be {width} x {height} pixels, but at most {MOST_PIXELS} per side are allowed"
        ));
    }
    if let Some(fault) = charts.iter().flat_map(|chart| [&chart.x, &chart.y]).find_map(Axis::fault) {
        return Some(fault);
    }
    let mut points = charts.iter().flat_map(|chart| &chart.items).flat_map(|item| &item.points);
    if let Some((x, y)) = points.find(|(x, y)| !(x.is_finite() && y.is_finite())) {
        return Some(format!("the point ({x}, {y}) is not finite"));
    }
    let bytes = charts.iter().map(Chart::bytes).fold(0, usize::saturating_add);
    (bytes > MOST_BYTES).then(|| {
        format!(
            "it would take about {} kB, but at most {} kB are allowed; draw less data",
            bytes / 1000,
            MOST_BYTES / 1000
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_images_are_subsampled_to_the_limit() {
        for (width, height) in
            [(1, 1), (28, 28), (1, 100_000), (100_000, 1), (3000, 2000), (65, 64), (7, 50_000)]
        {
            let (across, down) = strides((width, height), 64);
            let kept = width.div_ceil(across) * height.div_ceil(down);
            assert!((1..=4096).contains(&kept), "{width} x {height}: {kept}");
            assert!(width * height > 4096 || (across, down) == (1, 1));
            assert!(width * height <= 4096 || kept >= 1000, "{width} x {height}: {kept}");
        }
        assert!(Image::new(1000, &vec![0.5; 1_000_000], 64, false).levels.len() <= 4096);
    }
}
