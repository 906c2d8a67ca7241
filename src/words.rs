//! Enums written as words in settings files and on the command line.

/// Implements `Display`, `FromStr` and the conversions for serde of an enum whose values are written as a word, or as
/// `word:number`. The text after the enum's name lists the valid values, for error messages.
macro_rules! words {
    (
        $kind:ident, $expected:literal:
        $($word:literal => $plain:ident),*;
        $($with:literal => $numbered:ident $({ $field:ident })?),*
        $(; else $other:literal)?
    ) => {
        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $($kind::$plain => f.write_str($word),)*
                    $(words!(@pattern $kind $numbered number $($field)?) => write!(f, "{}:{number}", $with),)*
                    $(_ => f.write_str($other),)?
                }
            }
        }

        impl std::str::FromStr for $kind {
            /// A text that lists the valid values.
            type Err = &'static str;

            fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
                $(if text == $word {
                    return Ok($kind::$plain);
                })*
                $(if let Some(number) = text.strip_prefix(concat!($with, ":")) {
                    let number: f64 = number.parse().map_err(|_| $expected)?;
                    return Ok(words!(@value $kind $numbered number $($field)?));
                })*
                Err($expected)
            }
        }

        impl From<$kind> for String {
            fn from(choice: $kind) -> String {
                choice.to_string()
            }
        }

        impl TryFrom<String> for $kind {
            type Error = &'static str;

            fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
                text.parse()
            }
        }
    };
    (@pattern $kind:ident $variant:ident $number:ident) => { $kind::$variant($number) };
    (@pattern $kind:ident $variant:ident $number:ident $field:ident) => { $kind::$variant { $field: $number } };
    (@value $kind:ident $variant:ident $number:ident) => { $kind::$variant($number) };
    (@value $kind:ident $variant:ident $number:ident $field:ident) => { $kind::$variant { $field: $number } };
}

pub(crate) use words;
