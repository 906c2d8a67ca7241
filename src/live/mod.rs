//! Live figures: the figures of the book that answer to the reader's hand.
//!
//! A live figure is a function from settings to a picture, with some numbers and a sentence. Its state is its settings and
//! nothing else: a button or a drag changes settings, and so a picture can be linked to by them. The same code runs in the
//! browser, as WebAssembly (`book/live/`), and here, where the tests compare both.
//!
//! To add one, write a [`Live`] in a file of its own and name it in [`ALL`].

mod bound;
mod clinic;
mod form;
mod gradient;
mod kmeans;
mod known_coins;
mod mixture;
mod object;
mod plane;
mod routing;
mod scene;
mod settings;
mod surface;
mod viewpoint;
mod wholes;

use serde::Deserialize;
use serde_json::{Value, json};

pub use form::{Control, Kind};
pub use object::{give_networks, has_networks};
pub use scene::{Handle, Number, Scene};
pub use settings::Settings;

use crate::draw::{Palette, Point};
use crate::error::{Error, Result};

/// All live figures, in the order of the chapters.
pub const ALL: [&Live; 9] = [
    &known_coins::LIVE,
    &bound::LIVE,
    &surface::LIVE,
    &kmeans::LIVE,
    &mixture::LIVE,
    &viewpoint::LIVE,
    &routing::LIVE,
    &gradient::LIVE,
    &clinic::LIVE,
];

/// The live figures that need networks, and the files of each in its page. They are answered by [`answer_with_networks`] only, so that a
/// module of the others has no code of networks.
const WITH_NETWORKS: [(&Live, &str); 1] =
    [(&object::LIVE, "views-capsules.safetensors views-plain.safetensors")];

/// A live figure.
pub struct Live {
    /// The name: of its page, its element and its part of an address.
    pub name: &'static str,
    /// The title.
    pub title: &'static str,
    /// What to try, in a sentence or two.
    pub hint: &'static str,
    /// The controls, with the settings at the start.
    pub controls: fn() -> Vec<Control>,
    /// Changes the settings after an event.
    pub settle: fn(&mut Settings, &Event) -> Result<()>,
    /// Draws the picture for the settings.
    pub draw: fn(&Settings) -> Result<Scene>,
    /// Changes other settings after the control of this name has a new value.
    pub changed: fn(&mut Settings, &str) -> Result<()>,
}

/// Sets the setting `steps` to 0 if the changed control is one of these.
fn restart(settings: &mut Settings, changed: &str, controls: &[&str]) -> Result<()> {
    if controls.contains(&changed) { settings.put("steps", 0.0, 0) } else { Ok(()) }
}

/// The error for an event that a figure does not know.
fn unknown(event: &Event) -> Error {
    let found = match event {
        Event::Press { name } => format!("press {name}"),
        Event::Drag { handle, .. } => format!("drag {handle}"),
        Event::Remove { handle } => format!("remove {handle}"),
        Event::Place { .. } => "place".to_owned(),
    };
    Error::UnknownName { what: "event", found, known: Vec::new() }
}

/// What the reader did to a figure, besides changing a control's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A button was pressed.
    Press {
        /// The button's name.
        name: String,
    },
    /// A handle was moved to a point, in the units of its axes.
    Drag {
        /// The handle's name.
        handle: String,
        /// Where it is now.
        at: Point,
    },
    /// A handle was removed.
    Remove {
        /// The handle's name.
        handle: String,
    },
    /// The plane was clicked at a point, in the units of its axes.
    Place {
        /// The point.
        at: Point,
    },
}

/// A question of the page: a figure, its settings, and what has happened since.
#[derive(Debug, Deserialize)]
struct Request {
    figure: String,
    #[serde(default)]
    settings: std::collections::BTreeMap<String, String>,
    event: Option<Happening>,
    #[serde(default)]
    dark: bool,
}

/// An [`Event`] as the script writes it: `kind` is `press`, `drag`, `remove` or `place`; or `change`, with the name of the control whose
/// value the reader has changed.
#[derive(Debug, Deserialize)]
struct Happening {
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    handle: String,
    #[serde(default)]
    at: Point,
}

impl Happening {
    fn event(self) -> Result<Event> {
        let Happening { kind, name, handle, at } = self;
        match kind.as_str() {
            "press" => Ok(Event::Press { name }),
            "drag" => Ok(Event::Drag { handle, at }),
            "remove" => Ok(Event::Remove { handle }),
            "place" => Ok(Event::Place { at }),
            _ => Err(Error::UnknownName {
                what: "event",
                found: kind,
                known: ["change", "press", "drag", "remove", "place"].map(str::to_owned).to_vec(),
            }),
        }
    }
}

/// Finds a live figure by its name.
fn found(all: impl Iterator<Item = &'static Live> + Clone, name: &str) -> Result<&'static Live> {
    all.clone().find(|live| live.name == name).ok_or_else(|| Error::UnknownName {
        what: "live figure",
        found: name.to_owned(),
        known: all.map(|live| live.name.to_owned()).collect(),
    })
}

fn with_networks() -> impl Iterator<Item = &'static Live> + Clone {
    WITH_NETWORKS.into_iter().map(|(live, _)| live)
}

/// The names of all live figures.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.into_iter().chain(with_networks()).map(|live| live.name)
}

/// Returns the static HTML of a live figure: its picture at the start, its form, and what to try. The book's script wakes it.
///
/// # Errors
///
/// Returns an error if there is no live figure of this name, or if it cannot be drawn.
pub fn html(name: &str) -> Result<String> {
    let live = found(ALL.into_iter().chain(with_networks()), name)?;
    let files = WITH_NETWORKS.into_iter().find(|(own, _)| own.name == name).map(|(_, files)| files);
    if files.is_some() {
        object::load_shipped()?;
    }
    let controls = (live.controls)();
    let scene = (live.draw)(&Settings::start(&controls))?;
    Ok(form::html(live, files, &controls, &scene))
}

/// Answers a request of the book's script, from JSON to JSON.
///
/// The request has the figure's name, the settings that differ from the start, perhaps an event, and whether the page is dark.
/// The answer has all settings, the SVG, the handles, the plane that can be clicked, the numbers, the words, and the names of the
/// controls that are idle; or `error`, with what is wrong in a sentence.
pub fn answer(request: &str) -> String {
    text(answered(request, ALL.into_iter()))
}

/// Answers a request for a live figure that needs networks, as [`answer`] does for the others.
pub fn answer_with_networks(request: &str) -> String {
    text(answered(request, with_networks()))
}

fn text(answer: Result<Value>) -> String {
    match answer {
        Ok(answer) => answer.to_string(),
        Err(error) => json!({ "error": sentence(&error) }).to_string(),
    }
}

/// An error in the words of a figure's reader, without its full stop.
fn sentence(error: &Error) -> String {
    let text = match error {
        Error::UnreadableSetting { name, expected, found } if found.is_empty() => {
            format!("{name} is empty, but should be {expected}")
        }
        Error::UnreadableSetting { name, expected, found } => {
            format!("{name} is {found}, but should be {expected}")
        }
        Error::Empty { what: "samples" } => "there are no points".to_owned(),
        Error::TooFew { wanted, samples: 1, .. } => {
            format!("K is {wanted}, but there is only 1 point; choose a lower K or add points")
        }
        Error::TooFew { wanted, samples, .. } => {
            format!("K is {wanted}, but there are only {samples} points; choose a lower K or add points")
        }
        Error::UnknownName { what: "event", found, .. } if found.starts_with("remove ") => {
            "a point of this figure cannot be removed".to_owned()
        }
        other => other.to_string(),
    };
    text.chars().take(1).flat_map(char::to_uppercase).chain(text.chars().skip(1)).collect()
}

fn answered(request: &str, all: impl Iterator<Item = &'static Live> + Clone) -> Result<Value> {
    let request: Request = serde_json::from_str(request)
        .map_err(|error| Error::Drawing { figure: "live".to_owned(), source: error.into() })?;
    let live = found(all, &request.figure)?;
    let mut settings = Settings::new(&(live.controls)(), &request.settings)?;
    match request.event {
        Some(Happening { kind, name, .. }) if kind == "change" => (live.changed)(&mut settings, &name)?,
        Some(happening) => (live.settle)(&mut settings, &happening.event()?)?,
        None => {}
    }
    let palette = if request.dark { Palette::Dark } else { Palette::Light };
    Ok((live.draw)(&settings)?.answer(&settings, palette))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: Value) -> Value {
        serde_json::from_str(&answer(&request.to_string())).unwrap()
    }

    #[test]
    fn every_figure_draws_its_start_and_its_page_says_what_to_try() {
        for live in ALL {
            let scene = ask(json!({ "figure": live.name }));
            assert_eq!(scene["error"], Value::Null, "{}", live.name);
            assert!(scene["svg"].as_str().unwrap().starts_with("<svg "));
            assert!(!scene["numbers"].as_array().unwrap().is_empty());
            assert!(!scene["words"].as_str().unwrap().is_empty());
            let html = html(live.name).unwrap();
            assert!(html.contains(&format!("data-live=\"{}\" data-state=\"static\"", live.name)));
            assert!(html.contains(live.hint.split(['&', '<', '"']).next().unwrap()));
        }
    }

    #[test]
    fn every_control_changes_the_picture_or_the_settings() {
        for live in ALL {
            let start = ask(json!({ "figure": live.name }));
            for control in (live.controls)() {
                let mut settings = serde_json::Map::new();
                let mut event = Value::Null;
                match control.other_value() {
                    Some(value) => drop(settings.insert(control.name.to_owned(), json!(value))),
                    None => event = json!({ "kind": "press", "name": control.name }),
                }
                let answer = ask(json!({ "figure": live.name, "settings": settings, "event": event }));
                assert_eq!(answer["error"], Value::Null, "{} {}", live.name, control.name);
                let same = answer["svg"] == start["svg"] && answer["settings"] == start["settings"];
                let is_idle = start["idle"].as_array().unwrap().contains(&json!(control.name));
                let expected = is_idle && control.kind == Kind::Press;
                assert_eq!(same, expected, "{}: does {} change anything?", live.name, control.name);
            }
        }
    }

    #[test]
    fn an_idle_control_changes_neither_the_picture_nor_the_numbers() {
        let mut tried = 0;
        for live in ALL {
            let controls = (live.controls)();
            for choice in &controls {
                let Kind::Choice(values) = choice.kind else { continue };
                for (value, _) in values {
                    let mut settings = json!({ (choice.name): value });
                    let before = ask(json!({ "figure": live.name, "settings": settings }));
                    for idle in before["idle"].as_array().unwrap() {
                        let control = controls.iter().find(|control| idle == control.name).unwrap();
                        let Some(other) = control.other_value() else { continue };
                        settings[control.name] = json!(other);
                        let after = ask(json!({ "figure": live.name, "settings": settings }));
                        assert_eq!(after["svg"], before["svg"], "{settings}");
                        assert_eq!(after["numbers"], before["numbers"], "{settings}");
                        tried += 1;
                    }
                }
            }
        }
        assert!(tried >= 10, "{tried}");
    }

    #[test]
    fn a_point_that_cannot_be_removed_is_said_to_stay() {
        for (figure, handle) in
            [("bound", "start"), ("routing", "0"), ("gradient", "0"), ("viewpoint", "eye")]
        {
            let event = json!({ "kind": "remove", "handle": handle });
            let answer = ask(json!({ "figure": figure, "event": event }));
            assert_eq!(answer["error"], "A point of this figure cannot be removed", "{figure}");
        }
    }

    #[test]
    fn another_start_sets_the_steps_to_0_and_a_button_at_the_end_is_idle() {
        let changed = |figure, name: &str, value: &str| {
            let event = json!({ "kind": "change", "name": name });
            let settings = json!({ "steps": "40", name: value });
            ask(json!({ "figure": figure, "settings": settings, "event": event }))["settings"]["steps"]
                .clone()
        };
        assert_eq!(changed("bound", "theta_a", "0.7"), "0");
        assert_eq!(changed("bound", "steps", "41"), "41");
        assert_eq!(changed("mixture", "k", "5"), "0");
        assert_eq!(changed("mixture", "floor", "1"), "40");
        let end = |figure| json!({ "figure": figure, "event": { "kind": "press", "name": "end" } });
        for figure in ["bound", "kmeans", "mixture"] {
            let idle = ask(end(figure))["idle"].as_array().unwrap().clone();
            assert!(idle.contains(&json!("step")) && idle.contains(&json!("end")), "{figure}");
        }
    }

    #[test]
    fn handles_can_be_dragged_to_every_corner_of_their_axes() {
        for live in ALL {
            let start = ask(json!({ "figure": live.name }));
            for handle in start["handles"].as_array().unwrap() {
                let frame: Vec<f64> = serde_json::from_value(handle["frame"].clone()).unwrap();
                for (x, y) in [(frame[4], frame[6]), (frame[5], frame[7]), (-1e9, 1e9)] {
                    let event = json!({ "kind": "drag", "handle": handle["name"], "at": [x, y] });
                    let answer = ask(json!({ "figure": live.name, "event": event }));
                    assert_eq!(answer["error"], Value::Null, "{} {}", live.name, handle["name"]);
                }
            }
        }
    }

    #[test]
    fn wrong_requests_are_errors_that_name_the_fault() {
        let error = |request: Value| ask(request)["error"].as_str().unwrap().to_owned();
        assert!(error(json!({ "figure": "nothing" })).contains("bound"));
        assert!(error(json!({ "figure": "bound", "settings": { "steps": "many" } })).contains("Steps made"));
        assert!(error(json!({ "figure": "bound", "settings": { "steps": "1e9" } })).contains("Steps made"));
        assert!(error(json!({ "figure": "bound", "settings": { "nothing": "1" } })).contains("nothing"));
        let heads = |value: &str| error(json!({ "figure": "bound", "settings": { "heads2": value } }));
        assert_eq!(heads("15"), "Heads in experiment 2 is 15, but should be at most 10");
        assert_eq!(heads("1.5"), "Heads in experiment 2 is 1.5, but should be a whole number from 0 to 10");
        assert!(error(json!(3)).contains("Figure live"));
        let event = json!({ "kind": "press", "name": "nothing" });
        assert!(error(json!({ "figure": "bound", "event": event })).contains("nothing"));
    }
}
