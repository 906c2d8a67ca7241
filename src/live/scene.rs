//! What a live figure shows for its settings.

use serde_json::{Value, json};

use super::settings::Settings;
use crate::draw::{Figure, Frame, Palette, Point};

/// A picture with its handles, numbers and words.
pub struct Scene {
    /// The picture.
    pub figure: Figure,
    /// The points that can be dragged.
    pub handles: Vec<Handle>,
    /// The axes in which a click places something.
    pub plane: Option<Frame>,
    /// The numbers beside the picture.
    pub numbers: Vec<Number>,
    /// What the picture shows, in a sentence with its numbers. A screen reader says it after each change.
    pub words: String,
    /// The names of the controls that have no effect for the present settings.
    pub idle: Vec<&'static str>,
}

/// A point of a picture that can be dragged.
#[derive(Debug, Clone, PartialEq)]
pub struct Handle {
    /// The name, unique in the figure.
    pub name: String,
    /// What the point is, for a screen reader.
    pub label: String,
    /// Where it is, in the units of its axes.
    pub at: Point,
    /// The axes.
    pub frame: Frame,
    /// The radius of the area that answers, in pixels.
    pub radius: f64,
}

impl Handle {
    /// Creates a handle for the only point of a picture that can be dragged.
    pub fn only(name: &str, label: &str, at: Point, frame: Frame) -> Handle {
        Handle { name: name.to_owned(), label: label.to_owned(), at, frame, radius: 16.0 }
    }
}

/// A number beside a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    /// The name, for programs.
    pub name: &'static str,
    /// What it is, for readers, with its unit.
    pub label: String,
    /// The number.
    pub value: f64,
    /// The number as it is shown.
    pub text: String,
}

impl Number {
    /// Creates a number that is shown with this many digits after the point.
    pub fn new(name: &'static str, label: impl Into<String>, value: f64, decimals: usize) -> Number {
        Number { name, label: label.into(), value, text: crate::draw::number(value, decimals) }
    }
}

impl Scene {
    /// The number of this name, for tests.
    #[cfg(test)]
    pub(super) fn value(&self, name: &str) -> f64 {
        self.numbers.iter().find(|number| number.name == name).unwrap().value
    }

    /// Returns the scene as JSON for the book's script.
    pub(super) fn answer(&self, settings: &Settings, palette: Palette) -> Value {
        let handle = |handle: &Handle| {
            let (x, y) = handle.frame.pixel(handle.at);
            json!({
                "name": handle.name, "label": handle.label, "at": handle.at, "pixel": [x, y],
                "frame": numbers_of(&handle.frame), "radius": handle.radius,
            })
        };
        let number = |number: &Number| json!({ "name": number.name, "label": number.label, "value": number.value, "text": number.text });
        json!({
            "settings": settings.values(),
            "svg": self.figure.svg(palette),
            "handles": self.handles.iter().map(handle).collect::<Vec<_>>(),
            "plane": self.plane.as_ref().map(numbers_of),
            "numbers": self.numbers.iter().map(number).collect::<Vec<_>>(),
            "words": self.words,
            "idle": self.idle,
        })
    }
}

/// The names of those controls that are idle.
pub(super) fn idle<const N: usize>(controls: [(&'static str, bool); N]) -> Vec<&'static str> {
    controls.into_iter().filter(|control| control.1).map(|control| control.0).collect()
}

fn numbers_of(frame: &Frame) -> [f64; 8] {
    let Frame { left, top, width, height, x, y } = *frame;
    [left, top, width, height, x.0, x.1, y.0, y.1]
}
