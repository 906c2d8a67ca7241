//! Rendering charts with plotters: axes, and items as plotters' elements.

use plotters::element::{Drawable, PointCollection};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{BackendCoord, DrawingErrorKind};

use super::backend::{HALO, PLAIN, SCALE, Svg, text_width};
use super::chart::{Chart, Image, Ink, Pen, Point, Side, plain};
use super::palette::{self, FRAME, GREY, INK, PALE, Tint, heat};

/// An item of a chart: points in the axes' units and a shape.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub points: Vec<Point>,
    pub shape: Shape,
}

/// The shape drawn at an item's points.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Line(Pen),
    Area { tint: Tint, opacity: f64 },
    Disc { radius: f64, tint: Tint, opacity: f64 },
    Ring { radius: f64, pen: Pen },
    Cross { radius: f64, pen: Pen },
    Text { offset: (f64, f64), side: Side, ink: Ink, text: String },
    Image(Image),
}

impl Item {
    /// The approximate size of the item's SVG, in bytes.
    pub fn bytes(&self) -> usize {
        match &self.shape {
            Shape::Line(_) | Shape::Area { .. } => 60 + 9 * self.points.len(),
            Shape::Disc { opacity, .. } => {
                if *opacity < 1.0 {
                    44
                } else {
                    16
                }
            }
            Shape::Ring { .. } | Shape::Cross { .. } => 60,
            Shape::Text { text, .. } => 130 + text.len(),
            Shape::Image(image) => 1200 + 4 * image.levels.len() / 3,
        }
    }
}

/// Renders charts on one card as an SVG, with text enlarged by the factor `letters`.
pub(super) fn svg(
    charts: &[Chart],
    (title, description): (&str, &str),
    palette: palette::Palette,
    letters: f64,
) -> String {
    let mut out = String::new();
    let backend = Svg::new(&mut out, charts[0].size, palette, (title, description));
    let root = backend.into_drawing_area();
    let canvas = Canvas { root: &root, palette, letters };
    for chart in charts {
        canvas.axes(chart);
        for item in &chart.items {
            let points = item.points.iter().map(|&point| place(chart, point)).collect();
            canvas.item(points, &item.shape);
        }
    }
    canvas.done(root.present());
    drop(root);
    out
}

fn place(chart: &Chart, point: Point) -> BackendCoord {
    let (x, y) = chart.pixel(point);
    (tenths(x), tenths(y))
}

/// Converts pixels to tenths of a pixel. Positions far outside the figure are clamped to avoid integer overflow.
fn tenths(pixels: f64) -> i32 {
    const FAR: f64 = 2e5;
    (pixels * f64::from(SCALE)).round().clamp(-FAR, FAR) as i32
}

struct Canvas<'r, 's> {
    root: &'r DrawingArea<Svg<'s>, plotters::coord::Shift>,
    palette: palette::Palette,
    /// The scale factor of text.
    letters: f64,
}

impl Canvas<'_, '_> {
    /// Ignores a result: writing to a string cannot fail, and neither can plotters' elements.
    fn done<E>(&self, result: Result<(), E>) {
        debug_assert!(result.is_ok(), "drawing to a string failed");
    }

    fn rgb(&self, tint: Tint) -> RGBColor {
        let [r, g, b] = tint.of(self.palette);
        RGBColor(r, g, b)
    }

    fn style(&self, pen: &Pen) -> ShapeStyle {
        ShapeStyle {
            color: self.rgb(pen.tint).mix(pen.opacity),
            filled: false,
            stroke_width: tenths(pen.width).max(0) as u32,
        }
    }

    /// Draws grid, tick labels, titles and frame.
    fn axes(&self, chart: &Chart) {
        let ((x0, x1), (y0, y1)) = (chart.x.range, chart.y.range);
        let line = |from: Point, to: Point, tint: Tint| {
            self.item(vec![place(chart, from), place(chart, to)], &Shape::Line(Pen::new(tint, 1.0)));
        };
        let (x_ticks, y_ticks) = (chart.x.chosen_ticks(9), chart.y.chosen_ticks(8));
        x_ticks.iter().filter(|_| chart.x.grid).for_each(|&(x, _)| line((x, y0), (x, y1), PALE));
        y_ticks.iter().filter(|_| chart.y.grid).for_each(|&(y, _)| line((x0, y), (x1, y), PALE));
        let tick = Ink::new(GREY).plain().size(12.5);
        let mut widest = 26.0_f64;
        for (x, label) in x_ticks.iter().filter(|tick| !tick.1.is_empty()) {
            self.text(place(chart, (*x, y0)), (0.0, 14.0), Side::Middle, tick, false, label);
        }
        for (y, label) in y_ticks.iter().filter(|tick| !tick.1.is_empty()) {
            self.text(place(chart, (x0, *y)), (-8.0, 0.0), Side::Left, tick, false, label);
            widest = widest.max(text_width(label, tick.size));
        }
        let title = Ink::new(INK).plain();
        if !chart.x.title.is_empty() {
            let at = place(chart, ((x0 + x1) / 2.0, y0));
            let foot = f64::from(chart.size.1) - f64::from(at.1) / f64::from(SCALE);
            let down = (foot / self.letters - 10.0).clamp(28.0, 38.0);
            self.text(at, (0.0, down), Side::Middle, title, false, &chart.x.title);
        }
        if !chart.y.title.is_empty() {
            // left of the widest tick label
            let middle = place(chart, (x0, (y0 + y1) / 2.0));
            let left = (-20.0 - widest).max(10.0 - f64::from(middle.0) / f64::from(SCALE) / self.letters);
            self.text(middle, (left, 0.0), Side::Middle, title, true, &chart.y.title);
        }
        if chart.frame {
            let corners = [(x0, y1), (x0, y0), (x1, y0)].map(|corner| place(chart, corner));
            self.item(corners.to_vec(), &Shape::Line(Pen::new(FRAME, 1.0)));
        }
    }

    fn item(&self, points: Vec<BackendCoord>, shape: &Shape) {
        let first = points.first().copied().unwrap_or_default();
        match shape {
            Shape::Line(pen) => {
                let dash = pen.dash.map(|(on, off)| (tenths(on), tenths(off)));
                let line = PathElement::new(points, self.style(pen));
                self.done(self.root.draw(&Dashed { line, dash }));
            }
            Shape::Area { tint, opacity } => {
                self.done(self.root.draw(&Polygon::new(points, self.rgb(*tint).mix(*opacity))));
            }
            Shape::Disc { radius, tint, opacity } => {
                let style = self.rgb(*tint).mix(*opacity).filled();
                self.done(self.root.draw(&Circle::new(first, tenths(*radius), style)));
            }
            Shape::Ring { radius, pen } => {
                self.done(self.root.draw(&Circle::new(first, tenths(*radius), self.style(pen))));
            }
            Shape::Cross { radius, pen } => {
                let ((x, y), arm) = (first, tenths(*radius));
                for arm in [(arm, arm), (arm, -arm)] {
                    let ends = vec![(x - arm.0, y - arm.1), (x + arm.0, y + arm.1)];
                    self.done(self.root.draw(&PathElement::new(ends, self.style(pen))));
                }
            }
            Shape::Text { offset, side, ink, text } => {
                self.text(first, *offset, *side, *ink, false, text);
            }
            Shape::Image(image) => {
                let corners = [first, points.get(1).copied().unwrap_or(first)];
                let colours: Vec<[u8; 3]> =
                    (0..=255).map(|level| heat(f64::from(level) / 255.0).of(self.palette)).collect();
                let pixels = image.levels.iter().flat_map(|&level| colours[usize::from(level)]).collect();
                self.done(self.root.draw(&Stretched { corners, image, pixels }));
            }
        }
    }

    fn text(&self, at: BackendCoord, offset: (f64, f64), side: Side, ink: Ink, turned: bool, text: &str) {
        if text.is_empty() {
            return; // a screen reader would stop at an empty text
        }
        let position = match side {
            Side::Left => HPos::Right,
            Side::Middle => HPos::Center,
            Side::Right => HPos::Left,
        };
        let mut font =
            (if ink.halo { HALO } else { PLAIN }, self.letters * ink.size * f64::from(SCALE)).into_font();
        if ink.bold {
            font = font.style(FontStyle::Bold);
        }
        if turned {
            font = font.transform(FontTransform::Rotate270);
        }
        let style = font.color(&self.rgb(ink.tint)).pos(Pos::new(position, VPos::Center));
        let at = (at.0 + tenths(self.letters * offset.0), at.1 + tenths(self.letters * offset.1));
        self.done(self.root.draw(&Text::new(plain(text), at, style)));
    }
}

/// A line that may be dashed. plotters' own dashed line would write each dash as a separate line.
struct Dashed {
    line: PathElement<BackendCoord>,
    dash: Option<(i32, i32)>,
}

impl<'a> PointCollection<'a, BackendCoord> for &'a Dashed {
    type Point = &'a BackendCoord;
    type IntoIter = <&'a PathElement<BackendCoord> as PointCollection<'a, BackendCoord>>::IntoIter;

    fn point_iter(self) -> Self::IntoIter {
        self.line.point_iter()
    }
}

impl Drawable<Svg<'_>> for Dashed {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        points: I,
        backend: &mut Svg<'_>,
        size: (u32, u32),
    ) -> Result<(), DrawingErrorKind<std::convert::Infallible>> {
        backend.dash = self.dash;
        let drawn = self.line.draw(points, backend, size);
        backend.dash = None;
        drawn
    }
}

/// An image stretched between two corners.
struct Stretched<'i> {
    corners: [BackendCoord; 2],
    image: &'i Image,
    pixels: Vec<u8>,
}

impl<'a> PointCollection<'a, BackendCoord> for &'a Stretched<'_> {
    type Point = &'a BackendCoord;
    type IntoIter = &'a [BackendCoord];

    fn point_iter(self) -> &'a [BackendCoord] {
        &self.corners
    }
}

impl Drawable<Svg<'_>> for Stretched<'_> {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        mut corners: I,
        backend: &mut Svg<'_>,
        _: (u32, u32),
    ) -> Result<(), DrawingErrorKind<std::convert::Infallible>> {
        let (Some(a), Some(b)) = (corners.next(), corners.next()) else { return Ok(()) };
        let height = self.image.levels.len() / self.image.width.max(1);
        backend.stretch = Some((((a.0 - b.0).abs(), (a.1 - b.1).abs()), self.image.sharp));
        let size = (self.image.width as u32, height as u32);
        let drawn = backend.blit_bitmap((a.0.min(b.0), a.1.min(b.1)), size, &self.pixels);
        backend.stretch = None;
        drawn
    }
}
