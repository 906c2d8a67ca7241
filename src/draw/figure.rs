//! Finished figures: displayed by a notebook, saved by a program.

use std::path::Path;
use std::sync::Arc;

use super::animation::Animation;
use super::chart::{Chart, Frame};
use super::palette::Palette;
use super::render;
use crate::error::Result;
use crate::files;

/// The media type under which an animation's strip travels from the kernel to `em-routing run`. No viewer knows it, so none
/// shows it.
pub const STRIP: &str = "application/vnd.em-routing.strip+xml";

/// A figure with a name, a title and an alternative text. It is rendered as an SVG in a [`Palette`].
///
/// A notebook displays the figure if it is the last expression of a cell. Its caption is the cell of text below.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    name: String,
    title: String,
    alt: String,
    pub(super) picture: Picture,
}

/// The content of a figure: charts or an animation.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Picture {
    Still(Arc<Vec<Chart>>),
    Moving(Arc<Animation>),
}

impl Figure {
    pub(super) fn new(name: &str, title: &str, alt: &str, charts: Vec<Chart>) -> Figure {
        let name = slug(name);
        let or_name = |words: &str| if words.trim().is_empty() { name.clone() } else { words.to_string() };
        Figure {
            title: or_name(title),
            alt: shortened(&or_name(alt)),
            name,
            picture: Picture::Still(Arc::new(charts)),
        }
    }

    pub(super) fn moving(name: &str, title: &str, alt: &str, animation: Animation) -> Figure {
        let picture = Picture::Moving(Arc::new(animation));
        Figure { picture, ..Figure::new(name, title, alt, Vec::new()) }
    }

    /// The name, usable as a file name: lower-case letters, digits and hyphens.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The title, a single line.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The alternative text: what the figure shows, in words.
    pub fn alt(&self) -> &str {
        &self.alt
    }

    /// The axes of the figure's chart (0) or of one of its panels (from 1 on); `None` for an animation or an unknown panel.
    pub fn frame(&self, panel: usize) -> Option<Frame> {
        match &self.picture {
            Picture::Still(charts) => charts.get(panel).map(Chart::frame),
            Picture::Moving(_) => None,
        }
    }

    /// Renders the figure as one SVG document, without other files or scripts. An animation plays by itself, unless the
    /// reader's system asks for reduced motion.
    pub fn svg(&self, palette: Palette) -> String {
        match &self.picture {
            Picture::Still(charts) => render::svg(charts, (&self.title, &self.alt), palette, 1.0),
            Picture::Moving(animation) => animation.svg(&self.name, (&self.title, &self.alt), palette),
        }
    }

    /// Renders the figure for print. An animation becomes up to six frames, two per row. Any other figure is rendered as by
    /// [`Figure::svg`].
    pub fn strip(&self, palette: Palette) -> String {
        match &self.picture {
            Picture::Still(_) => self.svg(palette),
            Picture::Moving(animation) => animation.strip(&self.title, &self.alt, palette),
        }
    }

    /// Whether the figure is an animation.
    pub fn is_animation(&self) -> bool {
        matches!(self.picture, Picture::Moving(_))
    }

    /// Returns the figure under another name; characters not allowed in a name become hyphens.
    // Takes a reference because a notebook cell that moves a variable may fail to display it.
    pub fn named(&self, name: &str) -> Figure {
        Figure { name: slug(name), ..self.clone() }
    }

    /// Writes the SVG to a file atomically ([`files`]).
    ///
    /// # Errors
    ///
    /// Returns an error with the path if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>, palette: Palette) -> Result<()> {
        files::write(path.as_ref(), self.svg(palette).as_bytes())
    }

    /// Returns the figure as a notebook stores it: media types and their contents.
    ///
    /// These are the SVG, with the figure's name in its root element, and the alternative text as plain text. An animation adds
    /// its strip ([`STRIP`]). `em-routing run` turns the SVG, or the strip, into a PNG, for viewers that do not show an SVG.
    pub fn contents(&self) -> Vec<(&'static str, String)> {
        let svg = self.svg(Palette::Light);
        let named = svg.replacen("<svg ", &format!("<svg data-figure=\"{}\" ", self.name), 1);
        let strip = self.is_animation().then(|| (STRIP, self.strip(Palette::Light)));
        let words = self.alt.split_whitespace().collect::<Vec<_>>().join(" ");
        [("image/svg+xml", named)].into_iter().chain(strip).chain([("text/plain", words)]).collect()
    }

    /// Displays the figure in a Rust notebook; the kernel calls this for the last expression of a cell.
    pub fn evcxr_display(&self) {
        for (kind, content) in self.contents() {
            println!("EVCXR_BEGIN_CONTENT {kind}\n{content}\nEVCXR_END_CONTENT");
        }
    }
}

/// Escapes text for XML and HTML, between tags or in an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.extend(printable(other)),
        }
    }
    safe
}

/// Makes a character valid in XML: tabs and line ends become spaces, other control characters are dropped.
pub(super) fn printable(character: char) -> Option<char> {
    match character {
        '\n' | '\r' | '\t' => Some(' '),
        '\u{fffe}' | '\u{ffff}' => None,
        control if control.is_control() => None,
        other => Some(other),
    }
}

/// Truncates the alternative text to 3000 letters for screen readers.
fn shortened(alt: &str) -> String {
    match alt.char_indices().nth(3000) {
        None => alt.to_string(),
        Some((end, _)) => format!("{}…", &alt[..end]),
    }
}

fn slug(name: &str) -> String {
    let mut slug = String::new();
    for character in name.chars() {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(100); // file systems limit names to 255 bytes
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "figure".to_string() } else { slug.to_string() }
}
