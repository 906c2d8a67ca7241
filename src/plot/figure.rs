//! A finished picture: shown by a notebook on its own, saved by a program.

use std::path::Path;

use base64::Engine as _;

use crate::error::Result;
use crate::files;

/// A picture as SVG text, with a name and words for those who cannot see it.
///
/// A notebook cell whose last expression is a `Figure` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    name: String,
    svg: String,
    alt: String,
    caption: Option<String>,
}

impl Figure {
    pub(crate) fn new(name: &str, alt: &str, svg: String) -> Figure {
        Figure { name: slug(name), svg, alt: shortened(alt), caption: None }
    }

    /// The name, which a file can bear: lower-case letters, digits and hyphens.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The picture: one SVG document, which needs no other file and runs no script.
    pub fn svg(&self) -> &str {
        &self.svg
    }

    /// What the picture shows, in words: the caption if there is one.
    pub fn alt(&self) -> &str {
        self.caption.as_deref().unwrap_or(&self.alt)
    }

    /// The figure with words under it, plain text, which also become what a screen reader says.
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
    /// What the file system says, with the path that it is about.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write(path.as_ref(), self.svg.as_bytes())
    }

    /// The figure as HTML: an image that holds its own data, since notebooks that are not trusted drop inline SVG.
    pub fn html(&self) -> String {
        let data = base64::engine::general_purpose::STANDARD.encode(&self.svg);
        let caption = self
            .caption
            .as_deref()
            .map_or(String::new(), |caption| format!("<figcaption>{}</figcaption>", escaped(caption)));
        format!(
            "<figure data-figure=\"{}\"><img alt=\"{}\" src=\"data:image/svg+xml;base64,{data}\" \
             style=\"max-width:100%;height:auto\"/>{caption}</figure>",
            escaped(&self.name),
            escaped(self.alt()),
        )
    }

    /// Shows the figure in a Rust notebook; the kernel calls this for a cell's last expression.
    pub fn evcxr_display(&self) {
        println!("EVCXR_BEGIN_CONTENT text/html\n{}\nEVCXR_END_CONTENT", self.html());
    }
}

/// Text as it stands in XML and HTML, between tags or in an attribute.
pub(crate) fn escaped(text: &str) -> String {
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
pub(crate) fn printable(character: char) -> Option<char> {
    match character {
        '\n' | '\r' | '\t' => Some(' '),
        '\u{fffe}' | '\u{ffff}' => None,
        control if control.is_control() => None,
        other => Some(other),
    }
}

/// Words for a screen reader, which nobody listens to without end.
fn shortened(alt: &str) -> String {
    const MOST: usize = 3000;
    match alt.char_indices().nth(MOST) {
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
