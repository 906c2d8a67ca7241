//! What can be wrong with an input, each with the value and its place.

use std::path::{Path, PathBuf};

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What was wrong, and where. Rows, columns and indices count from 0.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was given where at least one thing is needed.
    Empty {
        /// What there is none of.
        what: &'static str,
    },
    /// Two lengths that must agree do not.
    Length {
        /// The argument.
        name: &'static str,
        /// The length that the other arguments ask for.
        expected: usize,
        /// The length that it has.
        found: usize,
    },
    /// A probability outside [0, 1], or not a number.
    Probability {
        /// The argument.
        name: &'static str,
        /// Its place.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// Probabilities that should add up to 1 do not.
    Sum {
        /// The argument.
        name: &'static str,
        /// What it adds up to.
        sum: f64,
    },
    /// More heads than tosses.
    Count {
        /// The experiment.
        index: usize,
        /// Its number of heads.
        heads: u64,
        /// The number of tosses of each experiment.
        tosses: u64,
    },
    /// A label that names no coin.
    Label {
        /// The experiment.
        index: usize,
        /// Its label.
        label: usize,
        /// The number of coins; labels run from 0 to one less.
        coins: usize,
    },
    /// A coin that was never tossed: its maximum likelihood is not defined.
    NeverTossed {
        /// The coin.
        coin: usize,
    },
    /// A sample that the model says cannot happen, so that its log-likelihood is minus infinity.
    Impossible {
        /// The sample.
        index: usize,
    },
    /// A setting out of its range.
    Setting {
        /// The setting.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        value: f64,
    },
    /// A numerical minimiser that ended without a minimum.
    Minimiser {
        /// The minimiser's own words.
        status: String,
    },
    /// A figure that could not be drawn.
    Drawing {
        /// The figure.
        figure: String,
        /// The drawing library's own words.
        message: String,
    },
    /// A file that could not be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
}

impl Error {
    /// Wraps a system error with the path that it is about.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Io { path: path.to_path_buf(), source }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Empty { what } => write!(f, "there are no {what}; at least one is needed"),
            Error::Length { name, expected, found } => {
                write!(f, "{name} has length {found}, but {expected} is needed")
            }
            Error::Probability { name, index, value } => {
                write!(f, "{name}[{index}] is {value}, but a probability lies in [0, 1]")
            }
            Error::Sum { name, sum } => write!(f, "{name} add up to {sum}, but should to 1"),
            Error::Count { index, heads, tosses } => {
                write!(f, "experiment {index} counts {heads} heads in {tosses} tosses")
            }
            Error::Label { index, label, coins } => {
                write!(f, "experiment {index} has label {label}, but there are only {coins} coins (from 0)")
            }
            Error::NeverTossed { coin } => {
                write!(f, "coin {coin} was never tossed, so its maximum likelihood is not defined")
            }
            Error::Impossible { index } => {
                write!(f, "sample {index} has probability 0 under every component of the model")
            }
            Error::Setting { name, expected, value } => {
                write!(f, "{name} is {value}, but should be {expected}")
            }
            Error::Minimiser { status } => write!(f, "the minimiser stopped without a minimum: {status}"),
            Error::Drawing { figure, message } => write!(f, "figure {figure} cannot be drawn: {message}"),
            Error::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
