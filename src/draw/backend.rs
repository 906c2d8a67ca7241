//! The drawing backend: turns plotters' drawing calls into one small SVG.
//!
//! Coordinates are tenths of a pixel; the `viewBox` scales them down. To save bytes, consecutive shapes of one style share
//! an element, invisible points are dropped, and common attributes are set once, at the root.

use std::convert::Infallible;
use std::fmt::Write as _;

use base64::Engine as _;
use plotters_backend::text_anchor::HPos;
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontStyle,
    FontTransform,
};

use super::figure::escaped;
use super::lines::simplified;
use super::palette::{CARD, Palette, RIM, Rgb};
use super::png::png;

/// Units per pixel.
pub(super) const SCALE: i32 = 10;
/// The font family that requests a halo in the card's colour around the letters.
pub(super) const HALO: &str = "halo";
/// The font family of letters without a halo.
pub(super) const PLAIN: &str = "plain";

const FONTS: &str = "Inter,'Segoe UI','Helvetica Neue',Arial,'Liberation Sans','DejaVu Sans',sans-serif";
const FONT_SIZE: i32 = 13;

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// An SVG under construction.
pub(super) struct Svg<'a> {
    /// The figure's width and height, in pixels.
    size: (u32, u32),
    palette: Palette,
    out: &'a mut String,
    open: Open,
    /// The dash pattern of the next lines: lengths of dashes and gaps, in tenths of a pixel.
    pub(super) dash: Option<(i32, i32)>,
    /// The size to which the next image is stretched, and whether its pixels keep sharp edges.
    pub(super) stretch: Option<((i32, i32), bool)>,
}

/// The open SVG element, to which shapes are appended, with its style attributes.
#[derive(PartialEq)]
enum Open {
    Nothing,
    /// Opaque lines and areas of one style.
    Path(String),
    /// Texts, and translucent shapes, whose overlaps must stay visible.
    Group(String),
}

impl<'a> Svg<'a> {
    /// Begins an SVG of `size` pixels at the end of `out`, with a title and a description for screen readers.
    pub fn new(
        out: &'a mut String,
        size: (u32, u32),
        palette: Palette,
        (title, description): (&str, &str),
    ) -> Svg<'a> {
        let (width, height) = (size.0 as i32 * SCALE, size.1 as i32 * SCALE);
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {width} {height}\" \
             fill=\"none\" stroke-width=\"10\" stroke-linecap=\"round\" stroke-linejoin=\"round\" \
             font-family=\"{FONTS}\" font-size=\"{}\" role=\"img\">",
            size.0,
            size.1,
            FONT_SIZE * SCALE
        );
        let _ = writeln!(out, "<title>{}</title>\n<desc>{}</desc>", escaped(title), escaped(description));
        let _ = writeln!(
            out,
            "<rect x=\"5\" y=\"5\" width=\"{}\" height=\"{}\" rx=\"80\" fill=\"{}\" stroke=\"{}\"/>",
            width - 10,
            height - 10,
            hex(CARD.of(palette)),
            hex(RIM.of(palette))
        );
        Svg { size, palette, out, open: Open::Nothing, dash: None, stretch: None }
    }

    /// Makes `next` the open element, closing the current one if it differs.
    fn open(&mut self, next: Open) {
        if self.open == next {
            return;
        }
        self.out.push_str(match self.open {
            Open::Nothing => "",
            Open::Path(_) => "\"/>\n",
            Open::Group(_) => "</g>\n",
        });
        let _ = match &next {
            Open::Nothing => Ok(()),
            Open::Path(look) => write!(self.out, "<path{look} d=\""),
            Open::Group(look) => write!(self.out, "<g{look}>"),
        };
        self.open = next;
    }

    /// Writes a shape as path data. It joins the open path if both are opaque and have the same style.
    fn shape(&mut self, look: String, opaque: bool, data: &str) {
        if opaque {
            self.open(Open::Path(look));
            self.out.push_str(data);
        } else {
            self.open(Open::Group(look));
            let _ = write!(self.out, "<path d=\"{data}\"/>");
        }
    }

    fn stroked<S: BackendStyle>(&mut self, style: &S, points: &[BackendCoord], closed: bool) -> Drawn {
        let mut look = paint("stroke", style.color());
        if style.stroke_width() as i32 != SCALE {
            let _ = write!(look, " stroke-width=\"{}\"", style.stroke_width());
        }
        if let Some((on, off)) = self.dash {
            let _ = write!(look, " stroke-dasharray=\"{on} {off}\"");
        }
        self.shape(look, style.color().alpha >= 1.0, &path_data(&simplified(points), closed));
        Ok(())
    }
}

impl DrawingBackend for Svg<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.size.0 * SCALE as u32, self.size.1 * SCALE as u32)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        if self.open != Open::Nothing || !self.out.ends_with("</svg>\n") {
            self.open(Open::Nothing);
            self.out.push_str("</svg>\n");
        }
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, colour: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x + 1, y + 1), &colour, true)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.stroked(style, &[from, to], false)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        self.stroked(style, &path.into_iter().collect::<Vec<_>>(), false)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        match fill {
            true => self.fill_polygon(corners, style),
            false => self.stroked(style, &corners, true),
        }
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Drawn {
        let data = path_data(&simplified(&corners.into_iter().collect::<Vec<_>>()), true);
        self.shape(paint("fill", style.color()), style.color().alpha >= 1.0, &data);
        Ok(())
    }

    /// An opaque disc is a line of length 0 with a round cap, so that discs of one style share one path.
    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let opaque = style.color().alpha >= 1.0;
        if fill && opaque {
            let look = format!("{} stroke-width=\"{}\"", paint("stroke", style.color()), 2 * radius);
            self.shape(look, true, &format!("M{x} {y}h0"));
            return Ok(());
        }
        let look = match fill {
            true => paint("fill", style.color()),
            false => format!("{} stroke-width=\"{}\"", paint("stroke", style.color()), style.stroke_width()),
        };
        self.open(Open::Group(look));
        let _ = write!(self.out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>");
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) -> Drawn {
        let size = style.size().round() as i32;
        let mut look = match style.anchor().h_pos {
            HPos::Left => String::new(),
            HPos::Center => " text-anchor=\"middle\"".to_string(),
            HPos::Right => " text-anchor=\"end\"".to_string(),
        };
        if size != FONT_SIZE * SCALE {
            let _ = write!(look, " font-size=\"{size}\"");
        }
        if matches!(style.style(), FontStyle::Bold) {
            look.push_str(" font-weight=\"600\"");
        }
        look.push_str(&paint("fill", style.color()));
        if style.family().as_str() == HALO {
            let card = hex(CARD.of(self.palette));
            let _ = write!(look, " stroke=\"{card}\" stroke-width=\"40\" paint-order=\"stroke\"");
        }
        self.open(Open::Group(look));
        let drop = (0.35 * f64::from(size)).round() as i32; // from the middle of the letters to the baseline
        let text = with_subscripts(&escaped(text));
        let _ = match style.transform() {
            FontTransform::None => write!(self.out, "<text x=\"{x}\" y=\"{}\">{text}</text>", y + drop),
            _ => {
                write!(self.out, "<text transform=\"translate({} {y})rotate(-90)\">{text}</text>", x + drop)
            }
        };
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        Ok((text_width(text, style.size()).ceil() as u32, (1.2 * style.size()).ceil() as u32))
    }

    /// Draws an image, stretched to [`Svg::stretch`]. Without it, one image pixel is a tenth of a figure pixel.
    fn blit_bitmap(&mut self, (x, y): BackendCoord, (width, height): (u32, u32), pixels: &[u8]) -> Drawn {
        let ((across, down), sharp) = self.stretch.unwrap_or(((width as i32, height as i32), false));
        let data = base64::engine::general_purpose::STANDARD.encode(png(width, height, pixels));
        self.open(Open::Nothing);
        // how to render the image is a style, because resvg ignores it as an attribute
        let _ = writeln!(
            self.out,
            "<image x=\"{x}\" y=\"{y}\" width=\"{across}\" height=\"{down}\" preserveAspectRatio=\"none\"{} \
             href=\"data:image/png;base64,{data}\"/>",
            if sharp { " style=\"image-rendering:pixelated\"" } else { "" },
        );
        Ok(())
    }
}

/// Returns a paint attribute, with an opacity if that is not 1.
fn paint(name: &str, colour: BackendColor) -> String {
    let (r, g, b) = colour.rgb;
    let hex = hex([r, g, b]);
    match colour.alpha {
        1.0.. => format!(" {name}=\"{hex}\""),
        alpha => format!(" {name}=\"{hex}\" {name}-opacity=\"{}\"", (alpha * 100.0).round() / 100.0),
    }
}

fn hex([r, g, b]: Rgb) -> String {
    match [r, g, b].iter().all(|channel| channel.is_multiple_of(17)) {
        true => format!("#{:x}{:x}{:x}", r / 17, g / 17, b / 17),
        false => format!("#{r:02x}{g:02x}{b:02x}"),
    }
}

/// Returns the path data of straight lines between points, in relative coordinates.
fn path_data(points: &[BackendCoord], closed: bool) -> String {
    let mut data = String::new();
    let mut before = (0, 0);
    for (index, &point) in points.iter().enumerate() {
        let (dx, dy) = (point.0 - before.0, point.1 - before.1);
        // numbers need a space between them unless the second one is negative
        let (letter, gap) = match index {
            0 => ("M", ""),
            1 => ("l", ""),
            _ if dx < 0 => ("", ""),
            _ => ("", " "),
        };
        let _ = write!(data, "{letter}{gap}{dx}{}{dy}", if dy < 0 { "" } else { " " });
        before = point;
    }
    if closed {
        data.push('z');
    }
    data
}

/// Estimates the width of a text in the units of `size`: Helvetica's advance widths, plus a tenth for wider fonts.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let thousandths = |letter: char| match letter {
        'i' | 'j' | 'l' | '\'' => 222.0,
        ' ' | '.' | ',' | ':' | ';' | '!' | 'I' | '/' | '[' | ']' | 'f' | 't' | '|' => 278.0,
        '(' | ')' | '-' | 'r' | '`' => 333.0,
        'c' | 'k' | 's' | 'v' | 'x' | 'y' | 'z' | 'J' => 500.0,
        '_' | '{' | '}' => 0.0, // subscript markers
        '\\' => 556.0,          // the underscore that follows
        'm' | 'M' | 'W' | 'w' | '%' | '…' => 860.0,
        'A' | 'B' | 'E' | 'K' | 'P' | 'S' | 'V' | 'X' | 'Y' => 667.0,
        'C' | 'D' | 'G' | 'H' | 'N' | 'O' | 'Q' | 'R' | 'U' => 750.0,
        letter if ('\u{2e80}'..='\u{ffdc}').contains(&letter) => 1000.0,
        _ => 570.0,
    };
    1.1 * size * text.chars().map(thousandths).sum::<f64>() / 1000.0
}

/// Marks the underscores of a text as such: in the texts of figures, `_` begins a subscript.
pub(crate) fn verbatim(text: &str) -> String {
    text.replace('_', "\\_")
}

/// Turns `θ_A` into SVG with a subscript; `_{…}` is a longer subscript, and `\_` an underscore. The text is already escaped.
fn with_subscripts(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut lowered = false;
    while let Some((before, after)) = rest.split_once('_') {
        if let Some(before) = before.strip_suffix('\\') {
            on_the_base_line(&mut out, &format!("{before}_"), lowered);
            lowered = false;
            rest = after;
            continue;
        }
        let (below, after) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(braced) => braced,
            None => after.split_at(first_letter(after)),
        };
        on_the_base_line(&mut out, before, lowered);
        let _ = write!(out, "<tspan dy=\".3em\" font-size=\"72%\">{below}</tspan>");
        lowered = true;
        rest = after;
    }
    on_the_base_line(&mut out, rest, lowered);
    out
}

/// The number of bytes of the first letter, which may be an entity such as `&lt;`.
fn first_letter(text: &str) -> usize {
    match text.split_once(';') {
        Some((entity, _)) if entity.starts_with('&') => entity.len() + 1,
        _ => text.chars().next().map_or(0, char::len_utf8),
    }
}

/// Writes text on the baseline. After a subscript, it first shifts back up.
fn on_the_base_line(out: &mut String, text: &str, lowered: bool) {
    if lowered && !text.is_empty() {
        // Some renderers drop a leading space in a tspan, so it becomes a shift.
        let (gap, text) = text.strip_prefix(' ').map_or(("", text), |rest| (" dx=\".27em\"", rest));
        let _ = write!(out, "<tspan{gap} dy=\"-.216em\">{text}</tspan>");
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(draw: impl Fn(&mut Svg)) -> String {
        let mut out = String::new();
        let mut svg = Svg::new(&mut out, (10, 10), Palette::Light, ("title", "words"));
        draw(&mut svg);
        svg.present().unwrap();
        out
    }

    #[test]
    fn opaque_shapes_merge_into_one_path_and_translucent_shapes_share_a_group() {
        let colour = |alpha| BackendColor { alpha, rgb: (0, 0, 0) };
        let discs = |alpha: f64| {
            drawn(|svg| {
                [1, 4].iter().for_each(|&x| svg.draw_circle((x, 2), 3, &colour(alpha), true).unwrap())
            })
        };
        assert!(discs(1.0).contains("<path stroke=\"#000\" stroke-width=\"6\" d=\"M1 2h0M4 2h0\"/>"));
        let group =
            "<g fill=\"#000\" fill-opacity=\"0.4\"><circle cx=\"1\" cy=\"2\" r=\"3\"/><circle cx=\"4\"";
        assert!(discs(0.4).contains(group));
    }

    #[test]
    fn subscripts_lower_the_baseline_and_restore_it() {
        let svg = with_subscripts("θ_A, θ_{12}");
        assert_eq!(svg.matches("<tspan").count(), 3);
        assert!(svg.starts_with("θ<tspan") && svg.ends_with(">12</tspan>") && !svg.contains('_'));
        assert!(with_subscripts("x_&lt;y").contains(">&lt;</tspan>"));
        assert_eq!(with_subscripts(&verbatim("sepal_length_1")), "sepal_length_1");
    }

    #[test]
    fn text_width_lies_between_helvetica_and_dejavu() {
        // 78.5 in Helvetica and 86.9 in DejaVu Sans at a size of 13, by their advance widths
        assert!((78.5..86.9).contains(&text_width("log-likelihood", 13.0)));
    }
}
