//! Checks of SVG, for tests of figures.

use em_routing::draw::{Figure, Palette};

/// Asserts that every tag is closed in order, attributes are quoted, and `<` and `&` occur only in tags and entities.
pub fn assert_well_formed(name: &str, svg: &str) {
    let held = |letter: char| !letter.is_control() || "\n\r\t".contains(letter);
    assert!(
        svg.chars().all(|letter| held(letter) && !"\u{fffe}\u{ffff}".contains(letter)),
        "{name}: an invalid character"
    );
    let mut open = Vec::new();
    let mut rest = svg;
    let mut roots = 0;
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        assert!(!text.contains('>'), "{name}: a bare > in {text:?}");
        for entity in text.split('&').skip(1) {
            assert!(
                ["lt;", "gt;", "amp;", "quot;", "apos;"].iter().any(|known| entity.starts_with(known)),
                "{name}: &{entity}"
            );
        }
        let end = start + rest[start..].find('>').unwrap_or_else(|| panic!("{name}: a tag without an end"));
        let tag = &rest[start + 1..end];
        if let Some(closing) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closing), "{name}");
        } else {
            assert_eq!(tag.matches('"').count() % 2, 0, "{name}: {tag}");
            let tag_name = tag.split([' ', '/']).next().unwrap();
            assert!(
                !tag_name.is_empty() && tag_name.bytes().all(|byte| byte.is_ascii_alphabetic()),
                "{name}: {tag}"
            );
            roots += usize::from(open.is_empty());
            if !tag.ends_with('/') {
                open.push(tag_name);
            }
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && roots == 1 && rest.trim().is_empty(), "{name}: {open:?} left open");
}

/// Asserts that the SVG is well-formed and contains no NaN or infinity.
pub fn assert_numbers(figure: &Figure) {
    let (name, svg) = (figure.name(), &figure.svg(Palette::Light));
    assert_well_formed(name, svg);
    // Base64 may spell anything; the numbers stand outside it.
    let numbers: String = svg
        .split("base64,")
        .enumerate()
        .map(|(i, part)| if i == 0 { part } else { part.split_once('"').unwrap().1 })
        .collect();
    for word in ["NaN", "inf\"", "inf ", "inf<", "<script", "Infinity"] {
        assert!(!numbers.contains(word), "{name} contains {word}");
    }
    assert!(!figure.alt().is_empty() && !figure.title().is_empty());
    assert!(svg.contains("<title>") && svg.contains("<desc>"), "{name}");
}

/// Asserts that a figure is well-formed, finite, small enough for a notebook, no wider than a cell, and described in words.
pub fn assert_sound(figure: &Figure) {
    assert_numbers(figure);
    let (name, svg) = (figure.name(), figure.svg(Palette::Light));
    let limit = if svg.contains("@keyframes") { 600_000 } else { 150_000 };
    assert!(svg.len() < limit, "{name} has {} bytes", svg.len());
    let width: f64 =
        svg.split("width=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().parse().unwrap();
    assert!(width <= 900.0, "{name} is {width} wide");
}
