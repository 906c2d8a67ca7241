//! The settings of a live figure: a text for each control, as in the page's address.

use std::collections::BTreeMap;

use super::form::{Control, Kind};
use crate::draw::Point;
use crate::error::{Error, Result};

/// The most points that a setting can hold.
const MOST_POINTS: usize = 2000;

/// The settings of a live figure, by the names of its controls. Every control but a button has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
    controls: Vec<Control>,
}

impl Settings {
    /// Returns the settings at the start.
    pub fn start(controls: &[Control]) -> Settings {
        let controls: Vec<Control> = controls.to_vec();
        let with_value = controls.iter().filter(|control| !matches!(control.kind, Kind::Press));
        let values = with_value.map(|control| (control.name, control.start.clone())).collect();
        Settings { values, controls }
    }

    /// Returns the settings at the start, with these changed.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no control of a name, or if its control does not allow a value.
    pub fn new(controls: &[Control], changed: &BTreeMap<String, String>) -> Result<Settings> {
        let mut settings = Settings::start(controls);
        for (name, value) in changed {
            settings.set(name, value.clone())?;
        }
        Ok(settings)
    }

    /// Returns the settings at the start with these changed, for tests.
    #[cfg(test)]
    pub(super) fn with(controls: &[Control], changes: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::start(controls);
        changes.iter().for_each(|&(name, value)| settings.set(name, value).unwrap());
        settings
    }

    /// All values, by name.
    pub fn values(&self) -> &BTreeMap<&'static str, String> {
        &self.values
    }

    fn control(&self, name: &str) -> Result<&Control> {
        let known = |control: &&Control| !matches!(control.kind, Kind::Press);
        self.controls.iter().filter(known).find(|control| control.name == name).ok_or_else(|| {
            Error::UnknownName {
                what: "setting",
                found: name.to_owned(),
                known: self.values.keys().map(|name| name.to_string()).collect(),
            }
        })
    }

    /// Sets a value.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no control of this name, or if it does not allow the value.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> Result<()> {
        let (control, value) = (self.control(name)?, value.into());
        let name = control.name;
        let fault = |expected: String| Error::UnreadableSetting {
            name: control.label.replace('_', ""),
            expected,
            found: value.clone(),
        };
        match &control.kind {
            Kind::Range { low, high, .. } | Kind::Number { low, high } => {
                let number = value.parse().unwrap_or(f64::NAN);
                let whole = matches!(control.kind, Kind::Number { .. });
                if number > *high {
                    return Err(fault(format!("at most {high}")));
                } else if number < *low {
                    return Err(fault(format!("at least {low}")));
                } else if number.is_nan() || (whole && number.fract() != 0.0) {
                    let kind = if whole { "whole number" } else { "number" };
                    return Err(fault(format!("a {kind} from {low} to {high}")));
                }
            }
            Kind::Choice(choices) => {
                if !choices.iter().any(|(known, _)| *known == value) {
                    let known = choices.iter().map(|(known, _)| known.to_string()).collect();
                    return Err(Error::UnknownName { what: name, found: value, known });
                }
            }
            Kind::Switch => {
                if value != "on" && value != "off" {
                    return Err(fault("on or off".to_owned()));
                }
            }
            Kind::Points => {
                if read_points(&value).is_none() {
                    return Err(fault("points like 0.1,0.2;0.3,0.4, at most 2000".to_owned()));
                }
            }
            Kind::Press => {}
        }
        self.values.insert(name, value);
        Ok(())
    }

    /// Sets a number, rounded to `decimals` digits and clamped to the range of its control.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no control of this name, or if the number is NaN.
    pub fn put(&mut self, name: &str, value: f64, decimals: usize) -> Result<()> {
        let value = match self.control(name)?.kind {
            Kind::Range { low, high, .. } | Kind::Number { low, high } => value.clamp(low, high),
            _ => value,
        };
        self.set(name, rounded(value, decimals))
    }

    /// A number; NaN if the setting is none.
    pub fn number(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap_or(f64::NAN)
    }

    /// A number that counts; 0 if the setting is none.
    pub fn count(&self, name: &str) -> usize {
        self.number(name) as usize
    }

    /// Whether a switch is on.
    pub fn on(&self, name: &str) -> bool {
        self.text(name) == "on"
    }

    /// A text, for example of a choice; empty if there is no such setting.
    pub fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |value| value)
    }

    /// The points of a setting.
    pub fn points(&self, name: &str) -> Vec<Point> {
        read_points(self.text(name)).unwrap_or_default()
    }

    /// Sets points, rounded to `decimals` digits.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no control of this name, if a coordinate is not finite, or for more than 2000 points.
    pub fn put_points(&mut self, name: &str, points: &[Point], decimals: usize) -> Result<()> {
        self.set(name, write_points(points, decimals))
    }
}

/// Writes points as a setting does: `0.1,0.2;0.3,0.4`.
pub fn write_points(points: &[Point], decimals: usize) -> String {
    let point = |(x, y): &Point| format!("{},{}", rounded(*x, decimals), rounded(*y, decimals));
    points.iter().map(point).collect::<Vec<_>>().join(";")
}

/// Reads points; `None` if the text is not as [`write_points`] writes, if a coordinate is not finite, or if there are too many.
fn read_points(text: &str) -> Option<Vec<Point>> {
    let coordinate = |text: &str| text.parse().ok().filter(|value: &f64| value.abs() <= 1e6);
    let point = |text: &str| {
        let (x, y) = text.split_once(',')?;
        Some((coordinate(x)?, coordinate(y)?))
    };
    let points: Vec<Point> =
        text.split(';').filter(|text| !text.is_empty()).map(point).collect::<Option<_>>()?;
    (points.len() <= MOST_POINTS).then_some(points)
}

/// Writes a number with at most `decimals` digits after the point, as a program reads it.
fn rounded(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_survive_an_address() {
        let points = [(0.5, -1.25), (3.0, 0.0)];
        assert_eq!(write_points(&points, 3), "0.5,-1.25;3,0");
        assert_eq!(read_points("0.5,-1.25;3,0").unwrap(), points);
        assert_eq!(read_points("").unwrap(), []);
        for wrong in ["1", "1,2,3", "1,x", "1,NaN", "inf,0", "1e9,0"] {
            assert_eq!(read_points(wrong), None, "{wrong}");
        }
        assert_eq!(rounded(-0.0001, 2), "0");
        assert_eq!(rounded(100.0, 0), "100");
    }
}
