//! Architecture and recipe as settings: each field by a name, with which a file or a command changes it.

use serde::de::value::MapDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Architecture, Recipe};
use crate::error::{Error, Result};

/// What is trained, and how.
///
/// Every field of the architecture and the recipe is a setting under its own name, in kebab-case.
///
/// ```
/// use em_routing::prelude::*;
/// let mut settings = Settings::default();
/// settings.set("iterations", "3")?;
/// assert_eq!(settings.architecture.routing.iterations, 3);
/// let error = settings.set("iterations", "three").unwrap_err();
/// assert_eq!(error.to_string(), "iterations is \"three\", but should be a whole number");
/// # Ok::<(), em_routing::error::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// What the network is made of.
    #[serde(flatten)]
    pub architecture: Architecture,
    /// How it is trained.
    #[serde(flatten)]
    pub recipe: Recipe,
}

impl Settings {
    /// The blog's network and its training, as printed.
    pub fn blog() -> Settings {
        Settings { architecture: Architecture::blog(), recipe: Recipe::blog() }
    }

    /// Every setting with its name, in the order of the fields, as [`Settings::set`] takes them.
    pub fn settings(&self) -> Vec<(String, String)> {
        texts(self)
    }

    /// Every setting as a `name = value` line, which [`Settings::set_lines`] reads.
    pub fn lines(&self) -> String {
        lines(self.settings())
    }

    /// Changes one setting.
    ///
    /// # Errors
    ///
    /// Returns an error if no setting has this name, or if the value is not of its type.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let mut values = values(self);
        let Some((_, stored)) = values.iter_mut().find(|setting| setting.0 == name) else {
            let known = values.into_iter().map(|(name, _)| name).collect();
            return Err(Error::UnknownName { what: "setting", found: name.to_owned(), known });
        };
        let value = value.trim();
        let wrong = |expected: &str| Error::UnreadableSetting {
            name: name.to_owned(),
            expected: expected.to_owned(),
            found: value.to_owned(),
        };
        // the new value is of the type of the old one
        *stored = match stored {
            Value::Bool(_) => value.parse::<bool>().map_err(|_| wrong("true or false"))?.into(),
            Value::Number(number) if number.is_u64() => {
                value.parse::<usize>().map_err(|_| wrong("a whole number"))?.into()
            }
            Value::String(_) => value.into(),
            // JSON has no infinity and no NaN: from and to these it makes null
            _ => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => number.into(),
                _ => return Err(wrong("a number")),
            },
        };
        // of all values only a word can still be wrong, and its enum says what may be written
        let values = values.into_iter();
        *self = Settings::deserialize(MapDeserializer::new(values))
            .map_err(|error: serde_json::Error| wrong(&error.to_string()))?;
        Ok(())
    }

    /// Changes what a text names, one `name = value` a line. A `#` begins a comment. Lines may end as on Windows, and a byte-order mark
    /// may stand before the first.
    ///
    /// # Errors
    ///
    /// Returns an error if a line has another form, and as [`Settings::set`].
    pub fn set_lines(&mut self, text: &str) -> Result<()> {
        let text = text.trim_start_matches('\u{feff}');
        for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
            if line.is_empty() {
                continue;
            }
            let (name, value) = line.split_once('=').ok_or_else(|| Error::UnreadableSetting {
                name: "a line of the settings".into(),
                expected: "name = value".into(),
                found: line.to_owned(),
            })?;
            self.set(name.trim(), value)?;
        }
        Ok(())
    }

    /// Checks that such a network can be made and trained.
    ///
    /// # Errors
    ///
    /// As [`Architecture::check`] and [`Recipe::check`], and if images would be shifted by a whole side.
    pub fn check(&self) -> Result<()> {
        self.architecture.check()?;
        self.recipe.check()?;
        if self.recipe.shift >= self.architecture.height.min(self.architecture.width) {
            let (name, value) = ("shift", self.recipe.shift as f64);
            return Err(Error::Setting { name, expected: "less than the side of an image", value });
        }
        Ok(())
    }
}

impl Architecture {
    /// Its part of [`Settings::settings`].
    pub fn settings(&self) -> Vec<(String, String)> {
        texts(self)
    }
}

/// `name = value` lines.
pub(super) fn lines(settings: Vec<(String, String)>) -> String {
    settings.into_iter().map(|(name, value)| format!("{name} = {value}\n")).collect()
}

/// Checks that each size is from 1 to 2^16.
pub(super) fn check_sizes(sizes: &[(usize, &'static str)]) -> Result<()> {
    for &(size, what) in sizes {
        if size == 0 {
            return Err(Error::Empty { what });
        }
        if size > 1 << 16 {
            return Err(Error::Setting { name: what, expected: "at most 65536", value: size as f64 });
        }
    }
    Ok(())
}

fn texts(of: &impl Serialize) -> Vec<(String, String)> {
    let text = |value| match value {
        Value::String(word) => word,
        // 1 and 0.000001 rather than JSON's 1.0 and 1e-6
        Value::Number(number) if number.is_f64() => number.as_f64().expect("f64").to_string(),
        value => value.to_string(),
    };
    values(of).into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// The fields in their order, which a map of JSON would not keep.
fn values(of: &impl Serialize) -> Vec<(String, Value)> {
    let json = serde_json::to_string(of).expect("numbers, words and names are JSON");
    let Fields(fields) = serde_json::from_str(&json).expect("the JSON of a struct is a map");
    fields
}

struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Fields, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Fields, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
