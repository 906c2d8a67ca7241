//! From what plotters writes to an SVG that is small, scales, and looks the same.
//!
//! plotters places everything on whole pixels, so it draws on a canvas [`SCALE`] times as large, which the `viewBox`
//! shrinks again. It writes one element a shape with all its attributes; here shapes of one look become one path, points
//! that change nothing go, and what is the same everywhere stands once, at the root.

use std::fmt::Write as _;

/// Canvas pixels in a pixel of the shown figure.
pub(crate) const SCALE: i32 = 10;
/// The colour of the card on which everything stands.
pub(crate) const CARD: &str = "#FDFCF8";
/// The role of a text, passed through plotters as its font family: with a halo in the card's colour.
pub(crate) const HALO: &str = "halo";
/// The role of a text without halo.
pub(crate) const PLAIN: &str = "plain";

const FONTS: &str = "Inter,'Segoe UI','Helvetica Neue',Arial,'Liberation Sans','DejaVu Sans',sans-serif";
const FONT_SIZE: i32 = 13;
/// How far a simplified line may stray, in canvas pixels.
const TOLERANCE: f64 = 0.8;

/// A plotters element: its tag, attributes and text.
struct Element<'a> {
    tag: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
    text: &'a str,
}

impl<'a> Element<'a> {
    fn get(&self, name: &str) -> &'a str {
        self.attributes.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    fn number(&self, name: &str) -> f64 {
        self.get(name).parse().unwrap_or(0.0)
    }

    fn whole(&self, name: &str) -> i32 {
        self.number(name).round() as i32
    }

    /// A paint attribute with its opacity, the latter only where it is not 1.
    fn paint(&self, name: &str) -> String {
        let opacity = self.number("opacity");
        let colour = self.get(name);
        if opacity >= 1.0 {
            format!(" {name}=\"{colour}\"")
        } else {
            format!(" {name}=\"{colour}\" {name}-opacity=\"{}\"", (opacity * 100.0).round() / 100.0)
        }
    }
}

/// A shape: its look as attributes, and its place as path data.
enum Piece {
    /// Path data under an opaque look: neighbours of the same look join.
    Path { look: String, data: String },
    /// Elements under a translucent look, which still show where they lie on each other: neighbours share a group.
    Group { look: String, elements: Vec<String> },
    /// Anything else, finished.
    Other(String),
}

/// The finished SVG, one element a line. `images` are data URIs, drawn as rectangles filled with [`placeholder`].
pub(crate) fn compact(raw: &str, (width, height): (u32, u32), images: &[String]) -> String {
    let (canvas_width, canvas_height) = (width as i32 * SCALE, height as i32 * SCALE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {canvas_width} {canvas_height}\" fill=\"none\" stroke-linecap=\"round\" \
         stroke-linejoin=\"round\" font-family=\"{FONTS}\" font-size=\"{}\" role=\"img\">\n",
        FONT_SIZE * SCALE
    );
    let _ = writeln!(
        svg,
        "<rect x=\"5\" y=\"5\" width=\"{}\" height=\"{}\" rx=\"80\" fill=\"{CARD}\" stroke=\"#DDD9CC\" \
         stroke-width=\"10\"/>",
        canvas_width - 10,
        canvas_height - 10
    );
    let mut pieces: Vec<Piece> = Vec::new();
    for element in elements(raw) {
        let piece = match element.tag {
            "polyline" => path(&element, "stroke", &simplified(&points(element.get("points"))), false),
            "line" => {
                let ends =
                    [(element.whole("x1"), element.whole("y1")), (element.whole("x2"), element.whole("y2"))];
                path(&element, "stroke", &ends, false)
            }
            "polygon" => path(&element, "fill", &simplified(&points(element.get("points"))), true),
            "circle" => circle(&element),
            "rect" => rectangle(&element, images),
            "text" => text(&element),
            _ => continue, // the root
        };
        match (pieces.last_mut(), piece) {
            (Some(Piece::Path { look, data }), Piece::Path { look: next_look, data: next })
                if *look == next_look =>
            {
                data.push_str(&next);
            }
            (Some(Piece::Group { look, elements }), Piece::Group { look: next_look, elements: next })
                if *look == next_look =>
            {
                elements.extend(next);
            }
            (_, piece) => pieces.push(piece),
        }
    }
    for piece in pieces {
        let _ = match piece {
            Piece::Path { look, data } => writeln!(svg, "<path{look} d=\"{data}\"/>"),
            Piece::Group { look, elements } => writeln!(svg, "<g{look}>{}</g>", elements.concat()),
            Piece::Other(element) => writeln!(svg, "{element}"),
        };
    }
    svg.push_str("</svg>\n");
    svg
}

/// The fill of the rectangle that stands for image `index` until it is put in.
pub(crate) fn placeholder(index: usize) -> [u8; 3] {
    [1, 2, index as u8]
}

/// The elements of plotters' SVG in their order; it nests nothing but text.
fn elements(raw: &str) -> impl Iterator<Item = Element<'_>> {
    raw.split('<').filter_map(|part| {
        let (tag, text) = part.split_once('>')?;
        let tag = tag.strip_suffix('/').unwrap_or(tag);
        let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
        if name.is_empty() || name.starts_with('/') {
            return None;
        }
        let mut attributes = Vec::new();
        while let Some((key, after)) = rest.split_once("=\"") {
            let (value, after) = after.split_once('"')?;
            attributes.push((key.trim(), value));
            rest = after;
        }
        Some(Element { tag: name, attributes, text: text.trim_matches('\n') })
    })
}

fn points(list: &str) -> Vec<(i32, i32)> {
    list.split_ascii_whitespace()
        .filter_map(|pair| {
            let (x, y) = pair.split_once(',')?;
            Some((x.parse().ok()?, y.parse().ok()?))
        })
        .collect()
}

/// The line without the points that do not show (Douglas and Peucker).
fn simplified(points: &[(i32, i32)]) -> Vec<(i32, i32)> {
    if points.len() < 3 {
        return points.to_vec();
    }
    let mut keep = vec![false; points.len()];
    keep[0] = true;
    keep[points.len() - 1] = true;
    let mut spans = vec![(0, points.len() - 1)];
    while let Some((from, to)) = spans.pop() {
        let farthest = (from + 1..to)
            .map(|i| (i, distance(points[i], points[from], points[to])))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((i, far)) = farthest
            && far > TOLERANCE
        {
            keep[i] = true;
            spans.push((from, i));
            spans.push((i, to));
        }
    }
    points.iter().zip(keep).filter(|(_, keep)| *keep).map(|(point, _)| *point).collect()
}

/// The distance of a point from the segment between two others.
fn distance(point: (i32, i32), from: (i32, i32), to: (i32, i32)) -> f64 {
    let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
    let (px, py) = (f64::from(point.0 - from.0), f64::from(point.1 - from.1));
    let length = dx * dx + dy * dy;
    let t = if length > 0.0 { ((px * dx + py * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (px - t * dx).hypot(py - t * dy)
}

/// A path of straight lines in relative coordinates.
fn path(element: &Element, paint: &str, points: &[(i32, i32)], closed: bool) -> Piece {
    let mut look = element.paint(paint);
    let width = element.whole("stroke-width");
    if paint == "stroke" && width != 1 {
        let _ = write!(look, " stroke-width=\"{width}\"");
    }
    let mut data = String::new();
    let mut before = (0, 0);
    for (index, &point) in points.iter().enumerate() {
        if index == 0 {
            let _ = write!(data, "M{} {}", point.0, point.1);
        } else {
            let (dx, dy) = (point.0 - before.0, point.1 - before.1);
            let letter = if index == 1 { "l" } else { "" };
            let gap = if index == 1 || dx < 0 { "" } else { " " };
            let comma = if dy < 0 { "" } else { " " };
            let _ = write!(data, "{letter}{gap}{dx}{comma}{dy}");
        }
        before = point;
    }
    if closed {
        data.push('z');
    }
    if element.number("opacity") >= 1.0 {
        Piece::Path { look, data }
    } else {
        Piece::Group { look, elements: vec![format!("<path d=\"{data}\"/>")] }
    }
}

/// A disc is a line of no length with a round cap, so that discs of one look make one path; a translucent one stays.
fn circle(element: &Element) -> Piece {
    let (x, y, radius) = (element.whole("cx"), element.whole("cy"), element.whole("r"));
    let filled = element.get("fill") != "none";
    if filled && element.number("opacity") >= 1.0 {
        let look = format!(" stroke=\"{}\" stroke-width=\"{}\"", element.get("fill"), 2 * radius);
        return Piece::Path { look, data: format!("M{x} {y}h0") };
    }
    let paint = if filled {
        element.paint("fill")
    } else {
        format!("{} stroke-width=\"{}\"", element.paint("stroke"), element.whole("stroke-width"))
    };
    Piece::Group { look: paint, elements: vec![format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>")] }
}

fn rectangle(element: &Element, images: &[String]) -> Piece {
    let place = format!(
        "x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
        element.whole("x"),
        element.whole("y"),
        element.whole("width"),
        element.whole("height")
    );
    let fill = element.get("fill");
    for (index, image) in images.iter().enumerate() {
        let [r, g, b] = placeholder(index);
        if fill == format!("#{r:02X}{g:02X}{b:02X}") {
            return Piece::Other(format!("<image {place} preserveAspectRatio=\"none\" href=\"{image}\"/>"));
        }
    }
    let paint = if fill == "none" {
        format!("{} stroke-width=\"10\"", element.paint("stroke"))
    } else {
        element.paint("fill")
    };
    Piece::Other(format!("<rect {place}{paint}/>"))
}

fn text(element: &Element) -> Piece {
    let size = element.number("font-size").round() as i32;
    let (x, y) = (element.whole("x"), element.whole("y"));
    let rotated = !element.get("transform").is_empty();
    let drop = (f64::from(size) * 0.35).round() as i32; // from the middle of the letters to their base line
    let mut out = if rotated {
        format!("<text transform=\"translate({} {y})rotate(-90)\"", x + drop)
    } else {
        format!("<text x=\"{x}\" y=\"{}\"", y + drop)
    };
    if element.get("text-anchor") != "start" {
        let _ = write!(out, " text-anchor=\"{}\"", element.get("text-anchor"));
    }
    if size != FONT_SIZE * SCALE {
        let _ = write!(out, " font-size=\"{size}\"");
    }
    if !element.get("font-weight").is_empty() {
        out.push_str(" font-weight=\"600\"");
    }
    out.push_str(&element.paint("fill"));
    if element.get("font-family") == HALO {
        let _ = write!(out, " stroke=\"{CARD}\" stroke-width=\"40\" paint-order=\"stroke\"");
    }
    let _ = write!(out, ">{}</text>", subscripts(element.text));
    Piece::Other(out)
}

/// `θ_A` with its A below the line; `_{…}` for more than one letter.
fn subscripts(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut lowered = false;
    while let Some((before, after)) = rest.split_once('_') {
        let (below, after) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(braced) => braced,
            None => after.split_at(first_letter(after)),
        };
        push_back(&mut out, before, lowered);
        let _ = write!(out, "<tspan dy=\".3em\" font-size=\"72%\">{below}</tspan>");
        lowered = true;
        rest = after;
    }
    push_back(&mut out, rest, lowered);
    out
}

/// The bytes of the first letter, which may be written as an entity.
fn first_letter(text: &str) -> usize {
    match text.split_once(';') {
        Some((entity, _)) if entity.starts_with('&') => entity.len() + 1,
        _ => text.chars().next().map_or(0, char::len_utf8),
    }
}

/// Text on the base line again, after something lowered.
fn push_back(out: &mut String, text: &str, lowered: bool) {
    if lowered && !text.is_empty() {
        // A space that begins a tspan is dropped by some renderers, so it becomes a shift.
        let (gap, text) = text.strip_prefix(' ').map_or(("", text), |rest| (" dx=\".27em\"", rest));
        let _ = write!(out, "<tspan{gap} dy=\"-.216em\">{text}</tspan>");
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_that_change_nothing_go_and_corners_stay() {
        let line: Vec<(i32, i32)> = (0..100).map(|x| (x, if x < 50 { 0 } else { x - 50 })).collect();
        assert_eq!(simplified(&line), [(0, 0), (50, 0), (99, 49)]);
    }

    #[test]
    fn discs_and_lines_of_one_look_become_one_path() {
        let raw = "<svg width=\"1\">\n<circle cx=\"1\" cy=\"2\" r=\"3\" opacity=\"1\" fill=\"#000000\" stroke=\"none\"/>\n\
                   <circle cx=\"4\" cy=\"5\" r=\"3\" opacity=\"1\" fill=\"#000000\" stroke=\"none\"/>\n</svg>\n";
        let svg = compact(raw, (10, 10), &[]);
        assert!(svg.contains("<path stroke=\"#000000\" stroke-width=\"6\" d=\"M1 2h0M4 5h0\"/>"), "{svg}");
    }

    #[test]
    fn translucent_discs_share_their_look_and_stay_apart() {
        let disc = |x| {
            format!(
                "<circle cx=\"{x}\" cy=\"2\" r=\"3\" opacity=\"0.4\" fill=\"#000000\" stroke=\"none\"/>\n"
            )
        };
        let svg = compact(&format!("<svg width=\"1\">\n{}{}</svg>\n", disc(1), disc(4)), (10, 10), &[]);
        assert!(
            svg.contains(
                "<g fill=\"#000000\" fill-opacity=\"0.4\"><circle cx=\"1\" cy=\"2\" r=\"3\"/><circle"
            ),
            "{svg}"
        );
    }

    #[test]
    fn subscripts_go_down_and_come_back() {
        let svg = subscripts("θ_A, θ_{12}");
        assert_eq!(svg.matches("<tspan").count(), 3);
        assert!(svg.starts_with("θ<tspan") && svg.ends_with(">12</tspan>") && !svg.contains('_'));
        assert!(subscripts("x_&lt;y").contains(">&lt;</tspan>"));
    }
}
