//! The controls of a live figure, and its static HTML.

use std::fmt::Write as _;

use super::Live;
use super::scene::Scene;
use crate::draw::Palette;

/// A control: an element of the figure's form, or points that are dragged in its picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// The name of the control and of its setting.
    pub name: &'static str,
    /// The label.
    pub label: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The value at the start; empty for a button.
    pub start: String,
}

/// What a control is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A slider.
    Range {
        /// The smallest value.
        low: f64,
        /// The largest value.
        high: f64,
        /// The distance between two values.
        step: f64,
    },
    /// A field for a whole number.
    Number {
        /// The smallest value.
        low: f64,
        /// The largest value.
        high: f64,
    },
    /// A list of values with their labels, of which one is chosen.
    Choice(&'static [(&'static str, &'static str)]),
    /// A box that is checked ("on") or not ("off").
    Switch,
    /// Points in the picture: a setting without an element in the form.
    Points,
    /// A button: an element without a setting.
    Press,
}

impl Control {
    /// Creates a control.
    pub fn new(name: &'static str, label: &'static str, kind: Kind, start: impl ToString) -> Control {
        Control { name, label, kind, start: start.to_string() }
    }

    /// Creates a slider.
    pub fn range(
        name: &'static str,
        label: &'static str,
        (low, high): (f64, f64),
        step: f64,
        start: f64,
    ) -> Control {
        Control::new(name, label, Kind::Range { low, high, step }, start)
    }

    /// Creates a button.
    pub fn press(name: &'static str, label: &'static str) -> Control {
        Control::new(name, label, Kind::Press, "")
    }

    /// A value that differs from the start; `None` for a button.
    #[cfg(test)]
    pub(super) fn other_value(&self) -> Option<String> {
        let differs = |value: &String| *value != self.start;
        match &self.kind {
            Kind::Range { low, high, .. } | Kind::Number { low, high } => {
                [high, low].map(f64::to_string).into_iter().find(differs)
            }
            Kind::Choice(choices) => choices.iter().map(|choice| choice.0.to_owned()).find(differs),
            Kind::Switch => ["on", "off"].map(str::to_owned).into_iter().find(differs),
            Kind::Points => Some("0.25,0.25;0.75,0.5;0.5,0.75".to_owned()),
            Kind::Press => None,
        }
    }

    /// The HTML of the control. `id` is unique in the page.
    fn html(&self, id: &str) -> String {
        let Control { name, start, .. } = self;
        let label = with_subscripts(self.label);
        let labelled = |element: String| {
            format!("<div class=\"live-control\"><label for=\"{id}\">{label}</label>{element}</div>\n")
        };
        match &self.kind {
            Kind::Range { low, high, step } => labelled(format!(
                "<input type=\"range\" id=\"{id}\" name=\"{name}\" min=\"{low}\" max=\"{high}\" step=\"{step}\" value=\"{start}\">\
                 <output for=\"{id}\" aria-live=\"off\">{start}</output>"
            )),
            Kind::Number { low, high } => labelled(format!(
                "<input type=\"number\" id=\"{id}\" name=\"{name}\" min=\"{low}\" max=\"{high}\" step=\"1\" value=\"{start}\">"
            )),
            Kind::Choice(choices) => {
                let option = |(value, label): &(&str, &str)| {
                    let selected = if value == start { " selected" } else { "" };
                    format!("<option value=\"{value}\"{selected}>{label}</option>")
                };
                let options: String = choices.iter().map(option).collect();
                labelled(format!("<select id=\"{id}\" name=\"{name}\">{options}</select>"))
            }
            Kind::Switch => {
                let checked = if start == "on" { " checked" } else { "" };
                format!(
                    "<div class=\"live-control\"><label><input type=\"checkbox\" id=\"{id}\" name=\"{name}\"{checked}> {label}</label></div>\n"
                )
            }
            Kind::Points => String::new(),
            Kind::Press => format!("<button type=\"button\" name=\"{name}\">{label}</button>\n"),
        }
    }
}

/// Returns a label as HTML: `θ_A` with its subscript.
fn with_subscripts(label: &str) -> String {
    let mut parts = label.split('_');
    let mut html = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut rest = part.chars();
        let _ =
            write!(html, "<sub>{}</sub>{}", rest.next().map(String::from).unwrap_or_default(), rest.as_str());
    }
    html
}

/// Returns the figure's HTML: the picture, the form, the numbers, and what to try. Without a script only the picture, its
/// description and the numbers show. `files` are those that a figure of networks needs.
pub(super) fn html(live: &Live, files: Option<&str>, controls: &[Control], scene: &Scene) -> String {
    let Live { name, title, hint, .. } = live;
    let module = match files {
        Some(files) => format!(" data-module=\"network.wasm\" data-files=\"{files}\""),
        None => String::new(),
    };
    let mut html = format!(
        "<figure class=\"live\" id=\"live-{name}\" data-live=\"{name}\" data-state=\"static\"{module}>\n"
    );
    let _ = writeln!(html, "<div class=\"live-picture\">{}</div>", scene.figure.svg(Palette::Light));
    let _ = writeln!(html, "<form class=\"live-form\" aria-label=\"Settings: {title}\"><fieldset disabled>");
    let (buttons, fields): (Vec<&Control>, Vec<&Control>) =
        controls.iter().partition(|control| control.kind == Kind::Press);
    // The buttons come first, so that a small screen shows them together with the picture.
    html.push_str("<div class=\"live-buttons\">");
    for control in buttons {
        html.push_str(&control.html(""));
    }
    html.push_str("<button type=\"reset\">Reset</button></div>\n");
    for control in fields {
        html.push_str(&control.html(&format!("live-{name}-{}", control.name)));
    }
    html.push_str("</fieldset></form>\n<dl class=\"live-numbers\">");
    for number in &scene.numbers {
        let _ = write!(
            html,
            "<div><dt>{}</dt><dd data-number=\"{}\">{}</dd></div>",
            with_subscripts(&number.label),
            number.name,
            number.text
        );
    }
    html.push_str("</dl>\n<p class=\"live-words\" role=\"status\"></p>\n");
    let _ = writeln!(html, "<figcaption><strong>{title}.</strong> {hint}</figcaption>\n</figure>");
    html
}
