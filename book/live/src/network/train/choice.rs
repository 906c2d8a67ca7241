//! What the reader chooses before a training.

use em_routing::capsnet::Settings;
use serde_json::{Value, json};

use super::words;
use crate::network::Outcome;

/// The settings of the form.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Sizes, layers and recipe: `book` or `blog`.
    network: String,
    iterations: String,
    /// `scaled`, `normalised` or `plain`.
    costs: String,
    /// A setting of `inverse-temperature`.
    lambda: String,
    /// The initial distribution of the parameters: `book` or `blog`.
    start: String,
    /// The number of digits to train on.
    pub digits: usize,
    /// The number of passes over them.
    pub epochs: usize,
}

/// The lines of the settings for each of the `costs`.
const COSTS: [(&str, &str); 3] = [
    ("scaled", "normalise-costs = false\ncost-scale = per-child-of-parent:1"),
    ("normalised", "normalise-costs = true\ncost-scale = one"),
    ("plain", "normalise-costs = false\ncost-scale = one"),
];

impl Choice {
    /// Reads the settings of the form. What is missing has its default; if the network has just been changed, what else chapter 9
    /// changes is that network's.
    pub fn of(settings: &Value, changed: Option<&str>) -> Outcome<Choice> {
        let text = |name: &str, default: &str| settings[name].as_str().unwrap_or(default).to_owned();
        let number = |name: &str, default: &str, most: usize| {
            let found = text(name, default);
            let number = found.parse().ok().filter(|number| (1..=most).contains(number));
            number
                .ok_or_else(|| format!("{name} is {found:?}, but should be a whole number from 1 to {most}"))
        };
        let network = text("network", "book");
        let [iterations, costs, lambda, start] = match network.as_str() {
            "book" => ["2", "scaled", "constant:0.5", "book"],
            "blog" => ["3", "normalised", "linear", "blog"],
            _ => return Err(format!("the network is {network:?}, but should be book or blog")),
        };
        let text =
            |name: &str, own: &str| if changed == Some("network") { own.to_owned() } else { text(name, own) };
        Ok(Choice {
            iterations: text("iterations", iterations),
            costs: text("costs", costs),
            lambda: text("lambda", lambda),
            start: text("start", start),
            digits: number("digits", "5000", 60_000)?,
            epochs: number("epochs", "1", 100)?,
            network,
        })
    }

    /// The settings of the library.
    pub fn settings(&self) -> Outcome<Settings> {
        let of = |name: &str| if name == "blog" { Settings::blog() } else { Settings::default() };
        let mut settings = of(&self.network);
        settings.architecture.start = of(&self.start).architecture.start;
        let costs = COSTS.iter().find(|(name, _)| *name == self.costs).map(|(_, lines)| *lines);
        settings
            .set_lines(costs.ok_or_else(|| format!("there are no costs {:?}", self.costs))?)
            .map_err(words)?;
        for (name, value) in [
            ("iterations", &self.iterations),
            ("inverse-temperature", &self.lambda),
            ("epochs", &self.epochs.to_string()),
        ] {
            settings.set(name, value).map_err(words)?;
        }
        settings.check().map_err(words)?;
        Ok(settings)
    }

    /// The settings of the form, as the controls show them.
    pub fn texts(&self) -> Value {
        json!({
            "network": self.network,
            "iterations": self.iterations,
            "costs": self.costs,
            "lambda": self.lambda,
            "start": self.start,
            "digits": self.digits.to_string(),
            "epochs": self.epochs.to_string(),
        })
    }
}
