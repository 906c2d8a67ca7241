//! Frames into one SVG that plays by itself.

use std::fmt::Write as _;

use super::Figure;
use crate::error::{Error, Result};

/// Bytes of an animation that a notebook and a browser still bear.
const MOST_BYTES: usize = 4_000_000;

/// How long the last frame stays, in frames.
const LAST: f64 = 3.0;

/// One animated SVG of the frames, each shown for `seconds_per_frame` and the last one three times as long.
///
/// It plays by CSS alone, so in a README and in an untrusted notebook too; what all frames begin and end with is written
/// once. Where nothing plays, or the reader asks for reduced motion, the last frame stands still.
///
/// The frames are of one size: drawn by the same function of this module.
///
/// # Errors
///
/// Returns an error if there are no frames, if they differ in their size or hold more than 4 MB together, and if
/// `seconds_per_frame` is not from 0.01 to 3600.
pub fn animate(name: &str, frames: &[Figure], seconds_per_frame: f64) -> Result<Figure> {
    let Some(last) = frames.last() else { return Err(Error::Empty { what: "frames" }) };
    if !(0.01..=3600.0).contains(&seconds_per_frame) {
        let (name, expected) = ("seconds_per_frame", "from 0.01 to 3600 seconds");
        return Err(Error::Setting { name, expected, value: seconds_per_frame });
    }
    let lines: Vec<Vec<&str>> = frames.iter().map(|frame| frame.svg().lines().collect()).collect();
    if lines.iter().any(|frame| frame[0] != lines[0][0]) {
        let source = "its frames differ in their size".into();
        return Err(Error::Drawing { figure: name.to_string(), source });
    }
    if frames.len() == 1 {
        return Ok(last.clone().named(name));
    }
    let shortest = lines.iter().map(Vec::len).min().unwrap_or(0);
    let agree = |place: &dyn Fn(&[&str]) -> usize| {
        let line = lines[0][place(&lines[0])];
        lines.iter().all(|frame| frame[place(frame)] == line)
    };
    let prefix = (0..shortest).take_while(|&i| agree(&|_| i)).count().min(shortest - 1);
    let suffix = (1..=shortest - prefix).take_while(|&i| agree(&|frame| frame.len() - i)).count().max(1);

    let total = frames.len() as f64 - 1.0 + LAST;
    let mut svg = String::new();
    let _ = writeln!(svg, "{}", lines[0][0]);
    svg.push_str("<style>@media (prefers-reduced-motion:no-preference){");
    for t in 0..frames.len() {
        let percent = |t: usize| format!("{:.3}%", 100.0 * t as f64 / total);
        let _ = write!(
            svg,
            "#f{t}{{animation:f{t} {:.3}s step-end infinite}}@keyframes f{t}{{",
            total * seconds_per_frame
        );
        if t > 0 {
            svg.push_str("0%{visibility:hidden}");
        }
        let _ = write!(svg, "{}{{visibility:visible}}", percent(t));
        let _ = if t + 1 < frames.len() {
            write!(svg, "{},100%{{visibility:hidden}}}}", percent(t + 1))
        } else {
            write!(svg, "100%{{visibility:visible}}}}")
        };
    }
    svg.push_str("}</style>\n");
    for line in &lines[0][1..prefix.max(1)] {
        let _ = writeln!(svg, "{line}");
    }
    let own = |frame: &[&str]| -> usize {
        frame[prefix..frame.len() - suffix].iter().map(|line| line.len() + 1).sum()
    };
    let bytes = svg.len() + lines.iter().map(|frame| own(frame)).sum::<usize>();
    if bytes > MOST_BYTES {
        let message =
            format!("its {} frames take {} kB, and at most 4000 kB are drawn", frames.len(), bytes / 1000);
        return Err(Error::Drawing { figure: name.to_string(), source: message.into() });
    }
    for (t, frame) in lines.iter().enumerate() {
        let hidden = if t + 1 < frames.len() { " visibility=\"hidden\"" } else { "" };
        let _ = writeln!(svg, "<g id=\"f{t}\"{hidden}>");
        for line in &frame[prefix..frame.len() - suffix] {
            let _ = writeln!(svg, "{line}");
        }
        svg.push_str("</g>\n");
    }
    for line in &lines[0][lines[0].len() - suffix..] {
        let _ = writeln!(svg, "{line}");
    }
    Ok(Figure::new(name, last.alt(), svg))
}

/// The iterations of a fit to draw, `most` + 1 at most: the start, the end, and more of the first than of the others.
pub(crate) fn shown_iterations(iterations: usize, most: usize) -> Vec<usize> {
    if iterations <= most {
        return (0..=iterations).collect();
    }
    let mut shown: Vec<usize> = (0..=most)
        .map(|i| {
            // The share of the iterations that are over grows as a power of that of the frames.
            let power = (iterations as f64).ln() / (most as f64).ln();
            let t = (i as f64).powf(power).round() as usize;
            t.max(i).min(iterations - (most - i))
        })
        .collect();
    shown.dedup();
    shown
}
