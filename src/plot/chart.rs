//! A chart: two axes and what stands between them, collected first and drawn once.

use plotters::coord::{ranged1d::BoldPoints, types::RangedCoordf64};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Figure;
use super::compact::{HALO, PLAIN, SCALE, compact, placeholder};
use super::figure::printable;
use super::image::Rgb;
use crate::error::{Cause, Error, Result};

/// Colours that the colour-blind can tell apart (Okabe and Ito 2008), in the order in which components take them.
pub(crate) const COLOURS: [Rgb; 7] = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK];
pub(crate) const BLUE: Rgb = [0, 114, 178];
pub(crate) const VERMILION: Rgb = [213, 94, 0];
pub(crate) const GREEN: Rgb = [0, 158, 115];
pub(crate) const PURPLE: Rgb = [204, 121, 167];
pub(crate) const ORANGE: Rgb = [230, 159, 0];
pub(crate) const SKY: Rgb = [86, 180, 233];
pub(crate) const INK: Rgb = [34, 34, 34];
pub(crate) const GREY: Rgb = [100, 100, 96];
pub(crate) const PALE: Rgb = [228, 225, 214];
pub(crate) const CARD: Rgb = [253, 252, 248];

/// The farthest from 0 that an axis reaches: it leaves room around numbers up to 1e130, whose squares still fit.
const FARTHEST: f64 = 1e140;

/// The shortest axis, absolute and relative to its ends: on a shorter one the digits of an f64 run out.
const SHORTEST: (f64, f64) = (1e-140, 1e-12);

/// Bytes of an SVG, about, that a notebook and a browser still bear.
const MOST_BYTES: usize = 1_000_000;

/// Pixels of a figure's side.
const MOST_PIXELS: u32 = 6000;

/// Letters of one text; a longer one runs out of every figure.
const MOST_LETTERS: usize = 200;

/// Points of one line, after which only its turns are kept.
const MOST_POINTS: usize = 2000;

/// A point in the axes' units.
pub(crate) type Point = (f64, f64);

/// Where a text stands from its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// It ends there.
    Left,
    /// It is centred there.
    Middle,
    /// It begins there.
    Right,
}

/// The look of a line; widths and dashes in pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pen {
    pub colour: Rgb,
    pub width: f64,
    pub dash: Option<(f64, f64)>,
    pub opacity: f64,
}

impl Pen {
    pub fn new(colour: Rgb, width: f64) -> Pen {
        Pen { colour, width, dash: None, opacity: 1.0 }
    }

    pub fn dashed(self, on: f64, off: f64) -> Pen {
        Pen { dash: Some((on, off)), ..self }
    }

    fn style(&self) -> ShapeStyle {
        ShapeStyle {
            color: rgb(self.colour).mix(self.opacity),
            filled: false,
            stroke_width: px(self.width) as u32,
        }
    }
}

/// The look of a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ink {
    pub colour: Rgb,
    pub size: f64,
    pub bold: bool,
    pub halo: bool,
}

impl Ink {
    pub fn new(colour: Rgb) -> Ink {
        Ink { colour: colour.map(|c| (f64::from(c) * 0.86) as u8), size: 13.0, bold: false, halo: true }
    }

    pub fn bold(self) -> Ink {
        Ink { bold: true, ..self }
    }

    pub fn size(self, size: f64) -> Ink {
        Ink { size, ..self }
    }

    pub fn plain(self) -> Ink {
        Ink { halo: false, ..self }
    }
}

enum Item {
    Line { points: Vec<Point>, pen: Pen },
    Disc { at: Point, radius: f64, colour: Rgb, opacity: f64 },
    Area { points: Vec<Point>, colour: Rgb, opacity: f64 },
    Ring { at: Point, radius: f64, pen: Pen },
    Cross { at: Point, radius: f64, pen: Pen },
    Text { at: Point, offset: (f64, f64), side: Side, ink: Ink, text: String },
    Block { from: Point, to: Point, colour: Rgb },
    Image { from: Point, to: Point, uri: String },
}

/// An axis: its range, its title, and ticks where they are not to be chosen.
pub(crate) struct Axis {
    pub range: (f64, f64),
    pub title: String,
    pub ticks: Option<Vec<(f64, String)>>,
    pub grid: bool,
    /// The most ticks that are chosen, where it is not for the chart to say.
    pub most: Option<usize>,
}

impl Axis {
    pub fn new(title: impl Into<String>, low: f64, high: f64) -> Axis {
        Axis { range: (low, high), title: title.into(), ticks: None, grid: true, most: None }
    }

    pub fn ticks(self, ticks: Vec<(f64, String)>) -> Axis {
        Axis { ticks: Some(ticks), ..self }
    }

    pub fn no_grid(self) -> Axis {
        Axis { grid: false, ..self }
    }

    /// At most so many ticks.
    pub fn most(self, most: usize) -> Axis {
        Axis { most: Some(most), ..self }
    }

    /// Without numbers, for a panel whose neighbour bears them; the grid stays.
    pub fn bare(self) -> Axis {
        let ticks = self.chosen_ticks(9).into_iter().map(|(place, _)| (place, String::new())).collect();
        Axis { title: String::new(), ticks: Some(ticks), ..self }
    }

    fn chosen_ticks(&self, most: usize) -> Vec<(f64, String)> {
        if let Some(ticks) = &self.ticks {
            return ticks.clone();
        }
        if self.fault().is_some() {
            return Vec::new(); // plotters would search for ticks without end; `Chart::finish` names the fault
        }
        let (low, high) = self.range;
        // plotters compares with f64::EPSILON, so it gets very short and very long ranges in units of their length.
        let usual = (1e-9..1e12).contains(&(high - low));
        let unit = if usual { 1.0 } else { 10f64.powf((high - low).log10().floor()) };
        let coordinate: RangedCoordf64 = (low / unit..high / unit).into();
        let mut places = coordinate.key_points(BoldPoints(self.most.unwrap_or(most)));
        if !usual {
            places.iter_mut().for_each(|place| *place *= unit);
            places.retain(|place| (low..=high).contains(place));
        }
        let step = if places.len() > 1 { places[1] - places[0] } else { high - low };
        places.into_iter().map(|place| (place, in_steps(place, step))).collect()
    }

    /// What keeps the axis from being drawn, if anything does.
    fn fault(&self) -> Option<String> {
        let (low, high) = self.range;
        let largest = low.abs().max(high.abs());
        let why = if !(low.is_finite() && high.is_finite()) {
            "which is not finite".to_string()
        } else if low >= high {
            "which does not rise".to_string()
        } else if largest > FARTHEST {
            format!("but at most {FARTHEST:e} from 0 can be drawn")
        } else if high - low < SHORTEST.0.max(SHORTEST.1 * largest) {
            "which is too short to tell its numbers apart".to_string()
        } else {
            return None;
        };
        let name =
            if self.title.is_empty() { String::new() } else { format!(" of \"{}\"", plain(&self.title)) };
        Some(format!("the axis{name} runs from {low:e} to {high:e}, {why}"))
    }
}

/// A number of a row of numbers that are a `step` apart, with the digits that tell it from its neighbours.
pub(crate) fn in_steps(value: f64, step: f64) -> String {
    let decimals = -(step.abs() * 1.000_001).log10().floor();
    let digits = (value.abs() / step.abs()).log10().ceil();
    if value != 0.0 && (decimals > 9.0 || value.abs() >= MOST_WRITTEN) && digits.is_finite() {
        return scientific(value, digits.clamp(0.0, 12.0) as usize);
    }
    number(value, decimals.clamp(0.0, 9.0) as usize)
}

/// The size from which on a number is written with a power of ten: its last digits mean nothing in an f64.
const MOST_WRITTEN: f64 = 1e15;

/// A number times a power of ten, with at most so many decimals.
pub(crate) fn scientific(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$e}");
    let Some((digits, power)) = text.split_once('e') else { return text };
    let digits =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    let power = power_of_ten(power.parse().unwrap_or(0));
    format!("{}\u{b7}{power}", digits.replace('-', "\u{2212}"))
}

/// 10 to a power, with raised digits.
pub(crate) fn power_of_ten(power: i32) -> String {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raised = |letter: char| letter.to_digit(10).map_or('⁻', |digit| RAISED[digit as usize]);
    match power {
        0 => "1".to_string(),
        _ => format!("10{}", power.to_string().chars().map(raised).collect::<String>()),
    }
}

/// Text as it can stand in a figure: without control characters, and not without end.
fn plain(text: &str) -> String {
    let mut letters = text.chars().filter_map(printable);
    let mut plain: String = letters.by_ref().take(MOST_LETTERS).collect();
    if letters.next().is_some() {
        plain.push('…');
    }
    plain
}

/// A number with a true minus sign, and none before zero; a very large one times a power of ten.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    if value.is_finite() && value.abs() >= MOST_WRITTEN {
        return scientific(value, 3);
    }
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) => {
            format!("\u{2212}{digits}")
        }
        Some(digits) => digits.to_string(),
        None => text,
    }
}

/// What a figure is made of; items are drawn in the order in which they were added.
pub(crate) struct Chart {
    name: String,
    alt: String,
    size: (u32, u32),
    /// Left, right, top, bottom of the axes, in pixels.
    margins: [u32; 4],
    x: Axis,
    y: Axis,
    /// Where the title of the y axis stands, in pixels from the figure's left.
    y_title: f64,
    frame: bool,
    items: Vec<Item>,
}

impl Item {
    /// A point of it that is not finite.
    fn nowhere(&self) -> Option<Point> {
        let lost = |(x, y): &&Point| !(x.is_finite() && y.is_finite());
        match self {
            Item::Line { points, .. } | Item::Area { points, .. } => points.iter().find(lost).copied(),
            Item::Disc { at, .. } | Item::Ring { at, .. } | Item::Cross { at, .. } => {
                Some(at).filter(lost).copied()
            }
            Item::Text { at, offset, .. } => [at, offset].into_iter().find(lost).copied(),
            Item::Block { from, to, .. } | Item::Image { from, to, .. } => {
                [from, to].into_iter().find(lost).copied()
            }
        }
    }
}

impl Chart {
    pub fn new(name: &str, size: (u32, u32), x: Axis, y: Axis) -> Chart {
        Chart {
            name: name.to_string(),
            alt: name.replace('-', " "),
            size,
            margins: [72, 24, 20, 56],
            x,
            y,
            y_title: 20.0,
            frame: true,
            items: Vec::new(),
        }
    }

    /// A figure without axes. Its units are pixels from the upper left corner: x to the right, and y upwards, so below 0.
    pub fn canvas(name: &str, (width, height): (f64, f64)) -> Chart {
        let axis = |low, high| Axis::new("", low, high).no_grid().ticks(Vec::new());
        let size = (width.round() as u32, height.round() as u32);
        let chart = Chart::new(name, size, axis(0.0, width), axis(-height, 0.0)).margins(0, 0, 0, 0);
        Chart { frame: false, ..chart }
    }

    pub fn margins(mut self, left: u32, right: u32, top: u32, bottom: u32) -> Chart {
        self.margins = [left, right, top, bottom];
        self
    }

    /// A panel of a figure: where its axes stand in it, in pixels from its upper left corner.
    pub fn panel(mut self, (left, top): (f64, f64), (width, height): (f64, f64)) -> Chart {
        let right = f64::from(self.size.0) - left - width;
        let bottom = f64::from(self.size.1) - top - height;
        self.margins = [left, right, top, bottom].map(|margin| margin.max(0.0).round() as u32);
        self.y_title = left - 46.0;
        self
    }

    pub fn alt(mut self, alt: impl Into<String>) -> Chart {
        self.alt = alt.into();
        self
    }

    /// A line; the parts of it outside the axes are cut off.
    pub fn line(&mut self, points: impl IntoIterator<Item = Point>, pen: Pen) {
        let points: Vec<Point> = points.into_iter().collect();
        for points in clipped(&points, self.x.range, self.y.range) {
            self.items.push(Item::Line { points: thinned(points), pen });
        }
    }

    /// A line that may run outside the axes.
    pub fn line_anywhere(&mut self, points: impl IntoIterator<Item = Point>, pen: Pen) {
        self.items.push(Item::Line { points: thinned(points.into_iter().collect()), pen });
    }

    /// A line of a function at `samples` + 1 places from `low` to `high`, which lie closer at both ends, since there a
    /// log-likelihood falls most steeply. It is interrupted where the function is no number.
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

    /// A disc with a rim in the card's colour, so that it stands out from what is under it.
    pub fn disc(&mut self, at: Point, radius: f64, colour: Rgb) {
        self.items.push(Item::Disc { at, radius: radius + 1.5, colour: CARD, opacity: 1.0 });
        self.dot(at, radius, colour);
    }

    /// A disc without a rim.
    pub fn dot(&mut self, at: Point, radius: f64, colour: Rgb) {
        self.items.push(Item::Disc { at, radius, colour, opacity: 1.0 });
    }

    /// Discs without a rim, those inside the axes; translucent ones darken where they lie on each other.
    pub fn scatter(
        &mut self,
        points: impl IntoIterator<Item = Point>,
        radius: f64,
        colour: Rgb,
        opacity: f64,
    ) {
        let ((x0, x1), (y0, y1)) = (self.x.range, self.y.range);
        let inside = |&(x, y): &Point| (x0..=x1).contains(&x) && (y0..=y1).contains(&y);
        let discs = points.into_iter().filter(inside);
        self.items.extend(discs.map(|at| Item::Disc { at, radius, colour, opacity }));
    }

    /// A filled shape; it should lie inside the axes.
    pub fn area(&mut self, points: impl IntoIterator<Item = Point>, colour: Rgb, opacity: f64) {
        self.items.push(Item::Area { points: thinned(points.into_iter().collect()), colour, opacity });
    }

    /// A circle filled with the card's colour.
    pub fn ring(&mut self, at: Point, radius: f64, colour: Rgb) {
        self.items.push(Item::Disc { at, radius: radius + 2.5, colour: CARD, opacity: 1.0 });
        self.items.push(Item::Ring { at, radius, pen: Pen::new(colour, 2.0) });
    }

    /// An x-shaped cross with a rim in the card's colour.
    pub fn cross(&mut self, at: Point, radius: f64, colour: Rgb) {
        self.items.push(Item::Cross { at, radius, pen: Pen::new(CARD, 6.0) });
        self.items.push(Item::Cross { at, radius, pen: Pen::new(colour, 2.6) });
    }

    /// Text at `offset` pixels (right, down) from a point.
    pub fn text(&mut self, at: Point, offset: (f64, f64), side: Side, ink: Ink, text: impl Into<String>) {
        self.items.push(Item::Text { at, offset, side, ink, text: text.into() });
    }

    pub fn block(&mut self, from: Point, to: Point, colour: Rgb) {
        self.items.push(Item::Block { from, to, colour });
    }

    pub fn image(&mut self, from: Point, to: Point, uri: String) {
        self.items.push(Item::Image { from, to, uri });
    }

    /// A point in the axes' units from one in pixels of the figure (from its upper left corner).
    pub fn at_pixel(&self, x: f64, y: f64) -> Point {
        let [left, right, top, bottom] = self.margins.map(f64::from);
        let (width, height) = (f64::from(self.size.0) - left - right, f64::from(self.size.1) - top - bottom);
        (
            self.x.range.0 + (x - left) / width * (self.x.range.1 - self.x.range.0),
            self.y.range.1 - (y - top) / height * (self.y.range.1 - self.y.range.0),
        )
    }

    /// The place of a point in pixels of the figure.
    pub fn pixel(&self, (x, y): Point) -> (f64, f64) {
        let [left, right, top, bottom] = self.margins.map(f64::from);
        let (width, height) = (f64::from(self.size.0) - left - right, f64::from(self.size.1) - top - bottom);
        (
            left + (x - self.x.range.0) / (self.x.range.1 - self.x.range.0) * width,
            top + (self.y.range.1 - y) / (self.y.range.1 - self.y.range.0) * height,
        )
    }

    /// Draws it all.
    ///
    /// # Errors
    ///
    /// Returns an error for an axis that is empty, not finite, too long or too short, for a point that is not finite, and
    /// for more than a figure holds; all of them before anything is drawn.
    pub fn finish(self) -> Result<Figure> {
        self.finish_with(&[])
    }

    /// As [`Chart::finish`], with more panels of the same figure, which are drawn after this one.
    pub fn finish_with(self, panels: &[Chart]) -> Result<Figure> {
        let failed = |source: Cause| Error::Drawing { figure: self.name.clone(), source };
        let charts = || std::iter::once(&self).chain(panels);
        let (width, height) = self.size;
        if !((1..=MOST_PIXELS).contains(&width) && (1..=MOST_PIXELS).contains(&height)) {
            return Err(failed(
                format!("it would be {width} x {height} pixels; at most {MOST_PIXELS} a side are drawn")
                    .into(),
            ));
        }
        if let Some(fault) = charts().flat_map(|chart| [&chart.x, &chart.y]).find_map(Axis::fault) {
            return Err(failed(fault.into()));
        }
        if let Some((x, y)) = charts().flat_map(|chart| &chart.items).find_map(Item::nowhere) {
            return Err(failed(format!("a point would stand at ({x}, {y}), which is not finite").into()));
        }
        let bytes = charts().map(Chart::bytes).fold(0, usize::saturating_add);
        if bytes > MOST_BYTES {
            return Err(failed(
                format!(
                    "it would take about {} kB, and at most {} kB are drawn; show less of it",
                    bytes / 1000,
                    MOST_BYTES / 1000
                )
                .into(),
            ));
        }
        let mut raw = String::new();
        let mut images = Vec::new();
        {
            let canvas = (self.size.0 * SCALE as u32, self.size.1 * SCALE as u32);
            let root = SVGBackend::with_string(&mut raw, canvas).into_drawing_area();
            charts()
                .try_for_each(|chart| chart.draw(&root, &mut images))
                .and_then(|()| Ok(root.present()?))
                .map_err(failed)?;
        }
        Ok(Figure::new(&self.name, &self.alt, compact(&raw, self.size, &images)))
    }

    /// About how many bytes of SVG the chart takes.
    fn bytes(&self) -> usize {
        let ticks = [&self.x, &self.y].map(|axis| axis.ticks.as_ref().map_or(9, Vec::len) * 140);
        let items = self.items.iter().map(|item| match item {
            Item::Line { points, pen: Pen { dash: None, .. } } => 40 + 9 * points.len(),
            Item::Line { points, pen: Pen { dash: Some((on, off)), .. } } => {
                let length: f64 = points
                    .windows(2)
                    .map(|pair| {
                        let ((x0, y0), (x1, y1)) = (self.pixel(pair[0]), self.pixel(pair[1]));
                        (x1 - x0).hypot(y1 - y0)
                    })
                    .sum();
                // a cast saturates, so that what is not finite counts as too long
                40 + 9 * points.len() + (24.0 * length / (on + off)).min(1e12) as usize
            }
            Item::Disc { opacity, .. } => {
                if *opacity < 1.0 {
                    44
                } else {
                    16
                }
            }
            Item::Area { points, .. } => 60 + 9 * points.len(),
            Item::Ring { .. } | Item::Cross { .. } => 60,
            Item::Text { text, .. } => 130 + text.len().min(4 * MOST_LETTERS),
            Item::Block { .. } => 76,
            Item::Image { uri, .. } => 120 + uri.len(),
        });
        ticks.into_iter().chain(items).fold(0, usize::saturating_add)
    }

    fn draw(
        &self,
        root: &DrawingArea<SVGBackend, plotters::coord::Shift>,
        images: &mut Vec<String>,
    ) -> std::result::Result<(), Cause> {
        let place = |point: Point| {
            let (x, y) = self.pixel(point);
            (px(x), px(y))
        };
        let put = |result: std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>| {
            result.map_err(Cause::from)
        };
        let path = |points: Vec<(i32, i32)>, pen: Pen| match pen.dash {
            None => put(root.draw(&PathElement::new(points, pen.style()))),
            Some(dash) => dashes(&points, dash)
                .into_iter()
                .try_for_each(|dash| put(root.draw(&PathElement::new(dash, pen.style())))),
        };
        let write = |(x, y): (i32, i32), side: Side, ink: Ink, turned: bool, text: &str| {
            let position = match side {
                Side::Left => HPos::Right,
                Side::Middle => HPos::Center,
                Side::Right => HPos::Left,
            };
            let size = ink.size * f64::from(SCALE) * 1.24; // plotters divides by it
            let mut font = (if ink.halo { HALO } else { PLAIN }, size).into_font();
            if ink.bold {
                font = font.style(FontStyle::Bold);
            }
            if turned {
                font = font.transform(FontTransform::Rotate270);
            }
            let style = font.color(&rgb(ink.colour)).pos(Pos::new(position, VPos::Center));
            put(root.draw(&Text::new(plain(text), (x, y), style)))
        };
        let (x_ticks, y_ticks) = (self.x.chosen_ticks(9), self.y.chosen_ticks(8));
        let grid = Pen::new(PALE, 1.0);
        let ((x0, x1), (y0, y1)) = (self.x.range, self.y.range);
        if self.x.grid {
            for (x, _) in &x_ticks {
                path(vec![place((*x, y0)), place((*x, y1))], grid)?;
            }
        }
        if self.y.grid {
            for (y, _) in &y_ticks {
                path(vec![place((x0, *y)), place((x1, *y))], grid)?;
            }
        }
        let tick = Ink::new(GREY).plain().size(12.5);
        for (x, label) in &x_ticks {
            if label.is_empty() {
                continue;
            }
            let (x, y) = place((*x, y0));
            write((x, y + px(14.0)), Side::Middle, tick, false, label)?;
        }
        for (y, label) in &y_ticks {
            if label.is_empty() {
                continue;
            }
            let (x, y) = place((x0, *y));
            write((x - px(8.0), y), Side::Left, tick, false, label)?;
        }
        let title = Ink::new(INK).plain();
        let (middle, bottom) = place(((x0 + x1) / 2.0, y0));
        if !self.x.title.is_empty() {
            write((middle, bottom + px(38.0)), Side::Middle, title, false, &self.x.title)?;
        }
        let (_, middle) = place((x0, (y0 + y1) / 2.0));
        if !self.y.title.is_empty() {
            write((px(self.y_title), middle), Side::Middle, title, true, &self.y.title)?;
        }

        let frame = Pen::new([150, 147, 138], 1.0);
        if self.frame {
            path(vec![place((x0, y1)), place((x0, y0)), place((x1, y0))], frame)?;
        }
        for item in &self.items {
            match item {
                Item::Line { points, pen } => path(points.iter().copied().map(place).collect(), *pen)?,
                Item::Disc { at, radius, colour, opacity } => {
                    let style = rgb(*colour).mix(*opacity).filled();
                    put(root.draw(&Circle::new(place(*at), px(*radius), style)))?;
                }
                Item::Area { points, colour, opacity } => {
                    let points: Vec<_> = points.iter().copied().map(place).collect();
                    put(root.draw(&Polygon::new(points, rgb(*colour).mix(*opacity))))?;
                }
                Item::Ring { at, radius, pen } => {
                    put(root.draw(&Circle::new(place(*at), px(*radius), pen.style())))?;
                }
                Item::Cross { at, radius, pen } => {
                    let ((x, y), arm) = (place(*at), px(*radius));
                    path(vec![(x - arm, y - arm), (x + arm, y + arm)], *pen)?;
                    path(vec![(x - arm, y + arm), (x + arm, y - arm)], *pen)?;
                }
                Item::Text { at, offset, side, ink, text } => {
                    let (x, y) = place(*at);
                    write((x + px(offset.0), y + px(offset.1)), *side, *ink, false, text)?;
                }
                Item::Block { from, to, colour } => {
                    put(root.draw(&Rectangle::new([place(*from), place(*to)], rgb(*colour).filled())))?;
                }
                Item::Image { from, to, uri } => {
                    let style = rgb(placeholder(images.len())).filled();
                    put(root.draw(&Rectangle::new([place(*from), place(*to)], style)))?;
                    images.push(uri.clone());
                }
            }
        }
        Ok(())
    }
}

/// On the canvas. What is far outside the figure stays outside, but near enough for the arithmetic of whole numbers.
fn px(pixels: f64) -> i32 {
    const FAR: f64 = 2e5;
    (pixels * f64::from(SCALE)).round().clamp(-FAR, FAR) as i32
}

fn rgb([r, g, b]: Rgb) -> RGBColor {
    RGBColor(r, g, b)
}

/// Of a very long line about [`MOST_POINTS`] points: the ends, the lowest and the highest of each of its parts.
fn thinned(points: Vec<Point>) -> Vec<Point> {
    if points.len() <= MOST_POINTS {
        return points;
    }
    let mut kept = Vec::with_capacity(MOST_POINTS);
    for part in points.chunks(points.len().div_ceil(MOST_POINTS / 4)) {
        let by_height = |&a: &usize, &b: &usize| part[a].1.total_cmp(&part[b].1);
        let lowest = (0..part.len()).min_by(by_height).unwrap_or(0);
        let highest = (0..part.len()).max_by(by_height).unwrap_or(0);
        let mut places = [0, lowest.min(highest), lowest.max(highest), part.len() - 1].to_vec();
        places.dedup();
        kept.extend(places.into_iter().map(|place| part[place]));
    }
    kept
}

/// The parts of a line inside the axes (Liang and Barsky, segment by segment); it breaks where a point is no number.
fn clipped(points: &[Point], x: (f64, f64), y: (f64, f64)) -> Vec<Vec<Point>> {
    let mut parts: Vec<Vec<Point>> = Vec::new();
    let mut open = false;
    for pair in points.windows(2) {
        // Where a difference would overflow: both lie so far outside that it does not show.
        let near = |(x, y): Point| (x.clamp(-1e300, 1e300), y.clamp(-1e300, 1e300));
        let (a, b) = (near(pair[0]), near(pair[1]));
        let finite = [pair[0].0, pair[0].1, pair[1].0, pair[1].1].iter().all(|value| value.is_finite());
        let (mut enter, mut leave) = (0.0f64, 1.0f64);
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        for (delta, room) in [(-dx, a.0 - x.0), (dx, x.1 - a.0), (-dy, a.1 - y.0), (dy, y.1 - a.1)] {
            if delta == 0.0 {
                if room < 0.0 {
                    leave = -1.0;
                }
            } else if delta < 0.0 {
                enter = enter.max(room / delta);
            } else {
                leave = leave.min(room / delta);
            }
        }
        if !finite || enter > leave {
            open = false;
            continue;
        }
        let at = |t: f64| (a.0 + t * dx, a.1 + t * dy);
        match parts.last_mut().filter(|_| open && enter == 0.0) {
            Some(part) => part.push(at(leave)),
            None => parts.push(vec![at(enter), at(leave)]),
        }
        open = leave == 1.0;
    }
    parts
}

/// A line on canvas pixels, cut into dashes of `on` and gaps of `off` pixels of the figure.
fn dashes(points: &[(i32, i32)], (on, off): (f64, f64)) -> Vec<Vec<(i32, i32)>> {
    let lengths = [on * f64::from(SCALE), off * f64::from(SCALE)];
    let mut parts: Vec<Vec<(i32, i32)>> = Vec::new();
    let (mut phase, mut left) = (0, lengths[0]);
    if let Some(&first) = points.first() {
        parts.push(vec![first]);
    }
    for pair in points.windows(2) {
        let (dx, dy) = (f64::from(pair[1].0 - pair[0].0), f64::from(pair[1].1 - pair[0].1));
        let length = dx.hypot(dy);
        let mut done = 0.0;
        while length - done >= left {
            done += left;
            let t = done / length;
            let at = (
                (f64::from(pair[0].0) + t * dx).round() as i32,
                (f64::from(pair[0].1) + t * dy).round() as i32,
            );
            if phase == 0 {
                parts.last_mut().expect("a dash is open").push(at);
            } else {
                parts.push(vec![at]);
            }
            phase = 1 - phase;
            left = lengths[phase];
        }
        left -= length - done;
        if phase == 0 {
            parts.last_mut().expect("a dash is open").push(pair[1]);
        }
    }
    parts.retain(|part| part.len() > 1);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_the_axes() {
        let parts = clipped(&[(-1.0, 0.5), (2.0, 0.5), (2.0, 2.0)], (0.0, 1.0), (0.0, 1.0));
        assert_eq!(parts, [[(0.0, 0.5), (1.0, 0.5)]]);
        let parts = clipped(&[(0.1, 0.1), (0.2, f64::NAN), (0.3, 0.3), (0.4, 0.4)], (0.0, 1.0), (0.0, 1.0));
        assert_eq!(parts, [[(0.3, 0.3), (0.4, 0.4)]]);
    }

    #[test]
    fn dashes_keep_their_length() {
        let parts = dashes(&[(0, 0), (50, 0), (100, 0)], (2.0, 1.0));
        assert_eq!(
            parts,
            [vec![(0, 0), (20, 0)], vec![(30, 0), (50, 0)], vec![(60, 0), (80, 0)], vec![(90, 0), (100, 0)]]
        );
    }

    #[test]
    fn numbers_have_a_true_minus_sign_and_no_negative_zero() {
        assert_eq!(number(-1.25, 1), "\u{2212}1.2");
        assert_eq!(number(-0.001, 2), "0.00");
    }
}
