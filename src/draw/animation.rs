//! Animations: frames combined into one SVG that plays by itself, or into a strip for print.

use std::fmt::Write as _;

use super::backend::Svg;
use super::chart::Chart;
use super::figure::{Figure, Picture};
use super::palette::Palette;
use super::render;
use crate::error::{Error, Result};

/// The size limit of an animation, in bytes, for notebooks and browsers.
const MOST_BYTES: usize = 4_000_000;

/// How long an animation shows its last frame, as a multiple of the time of the others.
const LAST: f64 = 3.0;

/// The maximum number of frames in a strip.
const STRIP: usize = 6;

/// The width of a strip, in pixels.
const STRIP_WIDTH: f64 = 960.0;

/// The scale factor of text in a strip, because its frames are small. With a larger one the words of the wider figures would
/// run into each other in DejaVu Sans, the widest of the fonts.
const STRIP_LETTERS: f64 = 1.05;

/// The frames of an animation, of equal size, and the time for which each is shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Animation {
    frames: Vec<Figure>,
    seconds: f64,
}

/// Combines frames into one animated figure. Each frame is shown for `seconds_per_frame`, the last one three times as long.
///
/// The animation uses only CSS, so it also plays in a README and in an untrusted notebook. SVG lines with which all
/// frames begin or end are written once. If the animation does not play, or the reader asks for reduced motion, the
/// last frame is shown. Title and alternative text come from the last frame.
///
/// # Errors
///
/// Returns an error if there are no frames, if frames differ in size, are animations themselves or hold more than 4 MB
/// together, or if `seconds_per_frame` is not from 0.01 to 3600.
pub fn animate(name: &str, frames: &[Figure], seconds_per_frame: f64) -> Result<Figure> {
    let failed = |message: String| Error::Drawing { figure: name.to_string(), source: message.into() };
    let Some(last) = frames.last() else { return Err(Error::Empty { what: "frames" }) };
    if !(0.01..=3600.0).contains(&seconds_per_frame) {
        let (name, expected) = ("seconds_per_frame", "from 0.01 to 3600 seconds");
        return Err(Error::Setting { name, expected, value: seconds_per_frame });
    }
    let charts = frames.iter().map(charts).collect::<Option<Vec<_>>>();
    let charts = charts.ok_or_else(|| failed("a frame is itself an animation".to_string()))?;
    if charts.iter().any(|frame| frame[0].size != charts[0][0].size) {
        return Err(failed("its frames differ in size".to_string()));
    }
    let bytes = charts.iter().flat_map(|frame| frame.iter()).map(Chart::bytes).fold(0, usize::saturating_add);
    if bytes > MOST_BYTES {
        let count = frames.len();
        return Err(failed(format!(
            "its {count} frames take {} kB, but at most 4000 kB are allowed; use fewer or simpler frames",
            bytes / 1000
        )));
    }
    if frames.len() == 1 {
        return Ok(last.named(name));
    }
    let animation = Animation { frames: frames.to_vec(), seconds: seconds_per_frame };
    Ok(Figure::moving(name, last.title(), last.alt(), animation))
}

fn charts(frame: &Figure) -> Option<&[Chart]> {
    match &frame.picture {
        Picture::Still(charts) => Some(charts),
        Picture::Moving(_) => None,
    }
}

impl Animation {
    /// Draws each frame as an SVG, one element per line, all with the same title and description.
    fn drawn(&self, title: &str, alt: &str, palette: Palette, letters: f64) -> Vec<String> {
        let svg = |charts| render::svg(charts, (title, alt), palette, letters);
        self.frames.iter().filter_map(charts).map(svg).collect()
    }

    pub fn svg(&self, name: &str, (title, alt): (&str, &str), palette: Palette) -> String {
        let drawn = self.drawn(title, alt, palette, 1.0);
        let lines: Vec<Vec<&str>> = drawn.iter().map(|frame| frame.lines().collect()).collect();
        let first = &lines[0];
        let shortest = lines.iter().map(Vec::len).min().unwrap_or(0);
        let prefix =
            (0..shortest - 1).take_while(|&i| lines.iter().all(|frame| frame[i] == first[i])).count();
        let from_end = |frame: &[&str], i: usize| frame[frame.len() - i] == first[first.len() - i];
        let suffix =
            (1..=shortest - prefix).take_while(|&i| lines.iter().all(|frame| from_end(frame, i))).count();

        let mut svg = String::new();
        let _ = writeln!(svg, "{}\n{}", first[0], self.style(name));
        first[1..prefix.max(1)].iter().for_each(|line| svg.extend([line, "\n"]));
        for (t, frame) in lines.iter().enumerate() {
            let hidden = if t + 1 < lines.len() { " visibility=\"hidden\"" } else { "" };
            let _ = writeln!(svg, "<g id=\"f{t}-{name}\"{hidden}>");
            frame[prefix..frame.len() - suffix].iter().for_each(|line| svg.extend([line, "\n"]));
            svg.push_str("</g>\n");
        }
        first[first.len() - suffix..].iter().for_each(|line| svg.extend([line, "\n"]));
        svg
    }

    /// The CSS that shows one frame after the other, unless the reader asks for reduced motion. The frames' identifiers hold the
    /// figure's name, because viewers may put several figures into one page.
    fn style(&self, name: &str) -> String {
        let count = self.frames.len();
        let total = count as f64 - 1.0 + LAST;
        let percent = |t: usize| format!("{:.3}%", 100.0 * t as f64 / total);
        let mut style = "<style>@media (prefers-reduced-motion:no-preference){".to_string();
        for t in 0..count {
            let before = if t > 0 { "0%{visibility:hidden}" } else { "" };
            let end = match t + 1 < count {
                true => format!("{},100%{{visibility:hidden}}", percent(t + 1)),
                false => "100%{visibility:visible}".to_string(),
            };
            let _ = write!(
                style,
                "#f{t}-{name}{{animation:f{t}-{name} {:.3}s step-end infinite}}@keyframes f{t}-{name}{{{before}{}{{visibility:visible}}{end}}}",
                total * self.seconds,
                percent(t)
            );
        }
        style + "}</style>"
    }

    /// Draws a strip of up to six frames, two per row: the first, the last, and evenly spaced ones between them.
    pub fn strip(&self, title: &str, alt: &str, palette: Palette) -> String {
        let count = self.frames.len().min(STRIP);
        let columns = count.min(2);
        let frames = self.drawn(title, alt, palette, STRIP_LETTERS);
        let (width, height) = charts(&self.frames[0]).map_or((1, 1), |charts| charts[0].size);
        let scale = STRIP_WIDTH / (columns as f64 * f64::from(width));
        let (across, down) = (f64::from(width) * scale, f64::from(height) * scale);
        let size = (STRIP_WIDTH as u32, (down * count.div_ceil(columns) as f64).ceil() as u32);
        let mut out = String::new();
        let mut inner = String::new();
        for i in 0..count {
            let frame = &frames[i * (self.frames.len() - 1) / (count - 1).max(1)];
            let (x, y) = ((i % columns) as f64 * across, (i / columns) as f64 * down);
            let _ = writeln!(
                inner,
                "<svg x=\"{:.0}\" y=\"{:.0}\" width=\"{:.0}\" height=\"{:.0}\" viewBox=\"0 0 {} {}\">",
                10.0 * x,
                10.0 * y,
                10.0 * across,
                10.0 * down,
                10 * width,
                10 * height
            );
            // skip the frame's root, title, description and card
            frame.lines().skip(4).for_each(|line| inner.extend([line, "\n"]));
        }
        drop(Svg::new(&mut out, size, palette, (title, alt)));
        out + &inner + "</svg>\n"
    }
}

/// Selects at most `most` + 1 iterations of a fit for drawing (`most` must exceed 1): always the first and the last,
/// and more of the early than of the late ones.
pub fn shown_iterations(iterations: usize, most: usize) -> Vec<usize> {
    if iterations <= most {
        return (0..=iterations).collect();
    }
    // The fraction of iterations covered grows as a power of the fraction of frames.
    let power = (iterations as f64).ln() / (most as f64).ln();
    let step = |i: usize| ((i as f64).powf(power).round() as usize).clamp(i, iterations - (most - i));
    (0..=most).map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_fits_are_subsampled_but_keep_the_first_and_the_last_iteration() {
        assert_eq!(shown_iterations(3, 12), [0, 1, 2, 3]);
        for iterations in [13, 40, 300] {
            let shown = shown_iterations(iterations, 12);
            assert_eq!((shown[0], shown[1], shown[12]), (0, 1, iterations));
            assert!(shown.len() == 13 && shown.windows(2).all(|pair| pair[0] < pair[1]), "{shown:?}");
        }
    }
}
