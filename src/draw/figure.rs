//! A finished picture: shown by a notebook on its own, saved by a program.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;

use super::animation::Animation;
use super::chart::Chart;
use super::palette::Palette;
use super::render;
use crate::error::Result;
use crate::files;

/// A picture with a name, and with words for those who cannot see it. It becomes an SVG in the [`Palette`] that is asked for.
///
/// A notebook cell whose last expression is a `Figure` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    name: String,
    title: String,
    alt: String,
    caption: Option<String>,
    pub(super) picture: Picture,
}

/// What a figure shows.
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
            caption: None,
            picture: Picture::Still(Arc::new(charts)),
        }
    }

    pub(super) fn moving(name: &str, title: &str, alt: &str, animation: Animation) -> Figure {
        let picture = Picture::Moving(Arc::new(animation));
        Figure { picture, ..Figure::new(name, title, alt, Vec::new()) }
    }

    /// The name, which a file can bear: lower-case letters, digits and hyphens.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the picture is about, in a line.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What is to be seen, in words.
    pub fn alt(&self) -> &str {
        &self.alt
    }

    /// The words under the picture, if there are any.
    pub fn caption(&self) -> Option<&str> {
        self.caption.as_deref()
    }

    /// The picture in a palette: one SVG document, which needs no other file and runs no script. An animation plays by itself,
    /// unless the reader's system asks for less motion.
    pub fn svg(&self, palette: Palette) -> String {
        match &self.picture {
            Picture::Still(charts) => render::svg(charts, (&self.title, &self.alt), palette, 1.0),
            Picture::Moving(animation) => animation.svg(&self.title, &self.alt, palette),
        }
    }

    /// For print: of an animation up to six of its frames, two to a row, and of any other figure what [`Figure::svg`] has.
    pub fn strip(&self, palette: Palette) -> String {
        match &self.picture {
            Picture::Still(_) => self.svg(palette),
            Picture::Moving(animation) => animation.strip(&self.title, &self.alt, palette),
        }
    }

    /// Whether it plays.
    pub fn is_animation(&self) -> bool {
        matches!(self.picture, Picture::Moving(_))
    }

    /// The figure with plain text under it.
    // By reference: a cell of a notebook that moves a variable may not be displayed.
    pub fn captioned(&self, caption: &str) -> Figure {
        Figure { caption: Some(caption.to_string()), ..self.clone() }
    }

    /// The figure under another name; what a file name cannot hold becomes a hyphen.
    pub fn named(&self, name: &str) -> Figure {
        Figure { name: slug(name), ..self.clone() }
    }

    /// Writes the SVG to a file, which is there as a whole or not at all ([`files`]).
    ///
    /// # Errors
    ///
    /// Returns an error with the path if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>, palette: Palette) -> Result<()> {
        files::write(path.as_ref(), self.svg(palette).as_bytes())
    }

    /// The figure as HTML: an image that holds its own data, since notebooks that are not trusted drop inline SVG.
    pub fn html(&self, palette: Palette) -> String {
        let data = base64::engine::general_purpose::STANDARD.encode(self.svg(palette));
        let caption = self
            .caption
            .as_deref()
            .map_or(String::new(), |caption| format!("<figcaption>{}</figcaption>", escaped(caption)));
        format!(
            "<figure data-figure=\"{}\"><img alt=\"{}\" src=\"data:image/svg+xml;base64,{data}\" \
             style=\"max-width:100%;height:auto\"/>{caption}</figure>",
            escaped(&self.name),
            escaped(&self.alt),
        )
    }

    /// Shows the figure in a Rust notebook; the kernel calls this for a cell's last expression.
    pub fn evcxr_display(&self) {
        println!("EVCXR_BEGIN_CONTENT text/html\n{}\nEVCXR_END_CONTENT", self.html(Palette::Light));
    }
}

/// Text as it stands in XML and HTML, between tags or in an attribute.
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

/// A character as XML can hold it: a space for a tab or the end of a line, nothing for other control characters.
pub(super) fn printable(character: char) -> Option<char> {
    match character {
        '\n' | '\r' | '\t' => Some(' '),
        '\u{fffe}' | '\u{ffff}' => None,
        control if control.is_control() => None,
        other => Some(other),
    }
}

/// Words for a screen reader, at most 3000 letters.
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
    slug.truncate(100); // a file system takes no longer names than 255 bytes
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "figure".to_string() } else { slug.to_string() }
}
