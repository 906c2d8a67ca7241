//! Settings: a file or a command can change every field of the architecture and the recipe by name.

use serde::de::value::MapDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Architecture, Recipe};
use crate::error::{Error, Result};

/// The architecture of a network and the recipe of its training.
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
    /// The architecture of the network.
    #[serde(flatten)]
    pub architecture: Architecture,
    /// The training recipe.
    #[serde(flatten)]
    pub recipe: Recipe,
}

impl Settings {
    /// Returns the blog's network and training, as printed.
    pub fn blog() -> Settings {
        Settings { architecture: Architecture::blog(), recipe: Recipe::blog() }
    }

    /// Returns a plain network and its training.
    pub fn plain() -> Settings {
        Settings { architecture: Architecture::plain(), recipe: Recipe::plain() }
    }

    /// Returns a plain network with global average pooling, and its training.
    pub fn plain_pooled() -> Settings {
        Settings { architecture: Architecture::plain_pooled(), recipe: Recipe::plain() }
    }

    /// Returns the name and value of every setting, in the order of the fields, as [`Settings::set`] takes them.
    pub fn settings(&self) -> Vec<(String, String)> {
        texts(self)
    }

    /// Returns every setting as a `name = value` line, which [`Settings::set_lines`] reads.
    pub fn lines(&self) -> String {
        lines(self.settings())
    }

    /// Changes one setting.
    ///
    /// # Errors
    ///
    /// Returns an error if no setting has this name, or if the value has the wrong type.
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
        // the new value must have the type of the old one
        *stored = match stored {
            Value::Bool(_) => value.parse::<bool>().map_err(|_| wrong("true or false"))?.into(),
            Value::Number(number) if number.is_u64() => {
                value.parse::<usize>().map_err(|_| wrong("a whole number"))?.into()
            }
            Value::String(_) => value.into(),
            // JSON has neither infinity nor NaN: serde_json turns both into null
            _ => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => number.into(),
                _ => return Err(wrong("a number")),
            },
        };
        // only a word can still be wrong here; the error of its enum lists the words that are allowed
        let values = values.into_iter();
        *self = Settings::deserialize(MapDeserializer::new(values))
            .map_err(|error: serde_json::Error| wrong(&error.to_string()))?;
        Ok(())
    }

    /// Changes the settings in a text with one `name = value` per line. A `#` begins a comment. Windows line endings and a byte-order
    /// mark at the start are accepted.
    ///
    /// # Errors
    ///
    /// Returns an error if a line has another form, and the errors of [`Settings::set`].
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

    /// Checks that the network can be built and trained.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Architecture::check`] and [`Recipe::check`], and an error if the shift is not less than the side of an
    /// image.
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
    /// Returns the architecture's part of [`Settings::settings`].
    pub fn settings(&self) -> Vec<(String, String)> {
        texts(self)
    }
}

/// Formats settings as `name = value` lines.
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

/// Returns the names and values of the fields in their order. A JSON map would not keep the order.
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
