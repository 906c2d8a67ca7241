//! The errors of the library.
//!
//! Each message is one sentence that says what is wrong, where, and (if known) how to fix it. A message contains the
//! messages of the error's sources, so print the error alone. To find a cause by its type, walk the sources or call
//! [`Error::fault`].

use std::fmt::Formatter;
use std::path::{Path, PathBuf};

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// The cause of another error, of any type.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error of the library. Rows, columns, indices and steps count from 0.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message beside each variant says what its fields are")]
#[non_exhaustive]
pub enum Error {
    /// An empty list where at least one item is needed.
    #[error("there are no {what}; at least one is needed")]
    Empty { what: &'static str },
    /// A length that does not match the other arguments.
    #[error("{name} has length {found}, but {expected} is needed")]
    Length { name: &'static str, expected: usize, found: usize },
    /// A probability outside [0, 1], or NaN.
    #[error("{name}[{index}] is {value}, but a probability lies in [0, 1]")]
    Probability { name: &'static str, index: usize, value: f64 },
    /// Probabilities that do not add up to 1.
    #[error("{name} add up to {sum}, but should add up to 1")]
    NotNormalised { name: &'static str, sum: f64 },
    /// An experiment with more heads than tosses.
    #[error("experiment {index} counts {heads} heads in {tosses} tosses")]
    MoreHeadsThanTosses { index: usize, heads: u64, tosses: u64 },
    /// A label of an experiment, a sample or an image that is not below the number of coins, clusters or classes.
    #[error("{item} {index} has label {label}, but there are only {count} {of} (from 0)")]
    LabelOutOfRange { item: &'static str, index: usize, label: usize, count: usize, of: &'static str },
    /// A coin without any experiment.
    #[error("coin {coin} was never tossed, so its maximum likelihood is not defined")]
    NeverTossed { coin: usize },
    /// A sample whose log-likelihood is minus infinity.
    #[error("sample {index} has probability 0 under every component of the model")]
    Impossible { index: usize },
    /// A setting or an argument outside its range.
    #[error("{name} is {}, but should be {expected}", Short(.value))]
    Setting { name: &'static str, expected: &'static str, value: f64 },
    /// The numerical minimiser of the coins' likelihood failed; `status` is the minimiser's error code.
    #[error("the minimiser stopped without a minimum: {status}")]
    Minimiser { status: String },
    /// A figure that cannot be drawn; the source says why.
    #[error("figure {figure} cannot be drawn: {source}")]
    Drawing { figure: String, source: Cause },
    /// The system cannot read or write a file or folder.
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: std::io::Error },
    /// A file with the wrong contents. [`Error::fault`] returns the fault as a value of its own type.
    #[error("{}: {source}{}", .path.display(), after(.remedy))]
    File {
        path: PathBuf,
        /// The fault. The module that read the file defines its type.
        source: Cause,
        /// A command or a line of code that fixes the file, if there is one.
        remedy: Option<String>,
    },

    // Tables of samples, clusters and mixtures
    /// A number in the data that is NaN or infinite.
    #[error(
        "row {row}, column {column} of the data is {value}, but should be a finite number{}",
        if .value.is_nan() { "; if NaN means a missing value, wrap the table of a mixture or K-means: `Incomplete(&data)`" } else { "" }
    )]
    NonFinite { row: usize, column: usize, value: f64 },
    /// A column in which every value is missing.
    #[error(
        "column {column} has no value in any sample that counts, so it cannot be fitted; drop the column"
    )]
    NoValues { column: usize },
    /// An error of another process that shares a fit or a training; that process has the error itself.
    #[error("rank {rank} has failed")]
    OtherRank { rank: usize },
    /// A number too large for a fit (its square must fit in `f64`) or for a file of `f32`.
    #[error(
        "row {row}, column {column} of the data is {value:e}, which is too large: fits compute with numbers up to 1e130, \
         and f32 holds them up to 3.4e38"
    )]
    Magnitude { row: usize, column: usize, value: f64 },
    /// An array whose shape does not fit the other arguments.
    #[error("the shape of {name} is {found:?}, but the other arguments ask for {expected:?}")]
    Shape { name: &'static str, expected: Vec<usize>, found: Vec<usize> },
    /// The start of a mixture has another kind of covariance than the options ask for.
    #[error("the start has covariances of the kind {found}, but the options ask for {expected}")]
    CovarianceMismatch { expected: String, found: String },
    /// More clusters or components than samples.
    #[error("there are {wanted} {what}, but only {samples} samples")]
    TooFew { what: &'static str, wanted: usize, samples: usize },
    /// More clusters or components than samples with a weight above 0 and at least one value.
    #[error(
        "there are {wanted} {what}, but only {counted} of the {samples} samples have a weight above 0 and a value"
    )]
    TooFewCounted { what: &'static str, wanted: usize, counted: usize, samples: usize },
    /// Fewer images than one batch.
    #[error("a batch has {batch} images, but there are only {images} to train on")]
    BatchTooLarge { batch: usize, images: usize },
    /// More processes share a batch than it has images.
    #[error("a batch has {batch} images, too few for {ranks} processes")]
    BatchTooSmall { batch: usize, ranks: usize },
    /// Data with a different number of columns than the model or the start.
    #[error("the data have {found} column{}, but {of} {expected}", if *.found == 1 { "" } else { "s" })]
    Columns { found: usize, of: &'static str, expected: usize },
    /// The models of all iterations are needed, but the fit did not keep them.
    #[error(
        "the fit has kept only its last model, but the model of each iteration is needed: set `keep_models: true` in its \
         options (CoinOptions, KMeansOptions or GmmOptions)"
    )]
    ModelsNotKept,
    /// A sample weight that is negative, too large, or NaN.
    #[error("the weight of sample {index} is {}, but should lie between 0 and 1e30", Short(.value))]
    SampleWeight { index: usize, value: f64 },
    /// A covariance that differs from its transpose by more than rounding. For a shared covariance, `component` is 0.
    #[error(
        "the covariance of component {component} is not symmetric: row {row}, column {column} is {}, but row {column}, \
         column {row} is {}",
        Short(.value),
        Short(.transposed)
    )]
    Asymmetric { component: usize, row: usize, column: usize, value: f64, transposed: f64 },
    /// A covariance that is not positive definite. For a shared covariance, `component` is 0.
    #[error(
        "the covariance of component {component} is not positive definite: in some direction its variance is 0, negative, \
         or too small to compute with"
    )]
    NotPositiveDefinite { component: usize },
    /// A component that collapsed during a fit onto a point, a line or a flat of more dimensions. For a shared
    /// covariance, `component` is 0.
    #[error(
        "component {component} has collapsed: its covariance has no inverse with the regularisation {regularisation:e}; \
         the largest standard deviation of the data is {deviation:.3e} (column {column}); the regularisation \
         {suggestion:e} keeps all components from collapsing; fewer components or another start may help too"
    )]
    Collapsed { component: usize, regularisation: f64, column: usize, deviation: f64, suggestion: f64 },
    /// Nested lists in a model's file with the wrong number of levels.
    #[cfg(feature = "serde")]
    #[error("{name} is nested {found} deep, but should be nested {expected} deep")]
    Nesting { name: &'static str, expected: usize, found: usize },
    /// A file that does not hold the expected model.
    #[cfg(feature = "serde")]
    #[error("{} does not hold {what}: {message}", path.display())]
    ModelFile { path: PathBuf, what: &'static str, message: String },
    /// A data set that linfa rejects.
    #[cfg(feature = "linfa")]
    #[error("linfa: {source}")]
    Dataset { source: Cause },

    // Capsules and routing
    /// A number of an array outside the valid range; `place` has one index per axis.
    #[error("{name}{place:?} is {}, but should be {expected}", Short(.value))]
    EntryOutOfRange { name: &'static str, place: Vec<usize>, expected: &'static str, value: f64 },
    /// A neighbourhood of K x K capsules that is larger than the layer below.
    #[error("a neighbourhood of {size} x {size} does not fit into {height} x {width} capsules")]
    NeighbourhoodTooLarge { size: usize, height: usize, width: usize },
    /// An option of the reference that the fused kernel lacks.
    #[error("the fused kernel has no {option}: only the reference in f64 has")]
    OnlyReference { option: &'static str },

    // The network
    /// An unknown name; the known names are listed.
    #[error("there is no {what} named {found:?}; there are: {}", .known.join(", "))]
    UnknownName { what: &'static str, found: String, known: Vec<String> },
    /// A setting whose text cannot be parsed.
    #[error("{name} is {found:?}, but should be {expected}")]
    UnreadableSetting { name: String, expected: String, found: String },
    /// A pass made by a network of another architecture; the message names the first setting that differs.
    #[error("the pass was made by a network with {name} = {found}, but this one has {expected}")]
    OtherArchitecture { name: String, expected: String, found: String },
    /// The training diverged to numbers that are not finite.
    #[error("step {step} of the training made numbers that are not finite ({what}); {}", against_divergence(.step))]
    Diverged { step: usize, what: String },
}

impl Error {
    /// Returns the first source of type `F`, if this is an error of a file's contents.
    ///
    /// ```
    /// use em_routing::prelude::*;
    /// let path = std::env::temp_dir().join("em-routing-example-fault.npy");
    /// std::fs::write(&path, "1,2\n3,4\n").unwrap();
    /// let error = NpyFile::open(&path).unwrap_err();
    /// assert!(matches!(error.fault(), Some(npy::Fault::Text { delimiter: Some(','), .. })));
    /// # std::fs::remove_file(&path).unwrap();
    /// ```
    pub fn fault<F: std::error::Error + 'static>(&self) -> Option<&F> {
        let Error::File { source, .. } = self else { return None };
        let first: &(dyn std::error::Error + 'static) = &**source;
        std::iter::successors(Some(first), |error| error.source()).find_map(|error| error.downcast_ref())
    }

    /// Whether a network's numbers were no longer finite: in training, or in a layer that was given them.
    pub fn is_divergence(&self) -> bool {
        match self {
            Error::Diverged { .. } => true,
            Error::EntryOutOfRange { value, .. } => !value.is_finite(),
            _ => false,
        }
    }

    /// Checks that every label is below `count`.
    pub(crate) fn check_labels(
        item: &'static str,
        labels: &[usize],
        count: usize,
        of: &'static str,
    ) -> Result<()> {
        match labels.iter().position(|&label| label >= count) {
            Some(index) => Err(Error::LabelOutOfRange { item, index, label: labels[index], count, of }),
            None => Ok(()),
        }
    }

    /// Wraps a system error with the path of the file.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Io { path: path.to_path_buf(), source }
    }

    /// Makes an error from a fault of a file's contents, without a remedy.
    pub(crate) fn file(path: &Path, fault: impl Into<Cause>) -> Error {
        Error::File { path: path.to_path_buf(), source: fault.into(), remedy: None }
    }
}

/// A number in a message. Very large and very small numbers appear in scientific notation.
struct Short<'a>(&'a f64);

impl std::fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self.0.abs() {
            size if size == 0.0 || (1e-5..1e16).contains(&size) || !size.is_finite() => {
                write!(f, "{}", self.0)
            }
            _ => write!(f, "{:e}", self.0),
        }
    }
}

/// Formats a remedy for the end of a message.
fn after(remedy: &Option<String>) -> String {
    remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default()
}

/// Returns advice against divergence at this step.
fn against_divergence(step: &usize) -> &'static str {
    match step {
        0 => {
            "no parameter has been changed yet, so the start is to blame: smaller pose-gain, transform-deviation or betas may help"
        }
        _ => "a lower learning rate may help",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an error of each variant, with its message.
    fn table() -> Vec<(Error, &'static str)> {
        [first_errors(), more_errors(), last_errors()].into_iter().flatten().collect()
    }

    fn first_errors() -> Vec<(Error, &'static str)> {
        let path = || PathBuf::from("data/a.npy");
        vec![
            (Error::Empty { what: "samples" }, "there are no samples; at least one is needed"),
            (Error::Length { name: "labels", expected: 3, found: 2 }, "labels has length 2, but 3 is needed"),
            (
                Error::Probability { name: "weights", index: 1, value: 1.5 },
                "weights[1] is 1.5, but a probability lies in [0, 1]",
            ),
            (
                Error::NotNormalised { name: "weights", sum: 1.5 },
                "weights add up to 1.5, but should add up to 1",
            ),
            (
                Error::MoreHeadsThanTosses { index: 2, heads: 11, tosses: 10 },
                "experiment 2 counts 11 heads in 10 tosses",
            ),
            (
                Error::LabelOutOfRange { item: "experiment", index: 2, label: 5, count: 2, of: "coins" },
                "experiment 2 has label 5, but there are only 2 coins (from 0)",
            ),
            (
                Error::NeverTossed { coin: 1 },
                "coin 1 was never tossed, so its maximum likelihood is not defined",
            ),
            (Error::Impossible { index: 4 }, "sample 4 has probability 0 under every component of the model"),
            (
                Error::Setting { name: "tolerance", expected: "at most 1", value: 1e300 },
                "tolerance is 1e300, but should be at most 1",
            ),
            (
                Error::Minimiser { status: "Diverged".to_owned() },
                "the minimiser stopped without a minimum: Diverged",
            ),
            (
                Error::Drawing { figure: "atlas".to_owned(), source: "no room".into() },
                "figure atlas cannot be drawn: no room",
            ),
            (Error::io(&path())(std::io::Error::other("is a folder")), "data/a.npy: is a folder"),
            (Error::file(&path(), "is cut off"), "data/a.npy: is cut off"),
            (
                Error::File { path: path(), source: "is empty".into(), remedy: Some("fill it".to_owned()) },
                "data/a.npy: is empty; fill it",
            ),
            (
                Error::NonFinite { row: 1, column: 2, value: f64::NAN },
                "row 1, column 2 of the data is NaN, but should be a finite number; if NaN means a missing value, wrap the \
                 table of a mixture or K-means: `Incomplete(&data)`",
            ),
            (
                Error::NonFinite { row: 1, column: 2, value: f64::INFINITY },
                "row 1, column 2 of the data is inf, but should be a finite number",
            ),
            (
                Error::NoValues { column: 2 },
                "column 2 has no value in any sample that counts, so it cannot be fitted; drop the column",
            ),
            (Error::OtherRank { rank: 3 }, "rank 3 has failed"),
            (
                Error::Magnitude { row: 1, column: 2, value: 1e200 },
                "row 1, column 2 of the data is 1e200, which is too large: fits compute with numbers up to 1e130, and f32 \
                 holds them up to 3.4e38",
            ),
            (
                Error::Shape { name: "votes", expected: vec![2, 16], found: vec![3] },
                "the shape of votes is [3], but the other arguments ask for [2, 16]",
            ),
        ]
    }

    fn more_errors() -> Vec<(Error, &'static str)> {
        vec![
            (
                Error::CovarianceMismatch { expected: "Full".to_owned(), found: "Tied".to_owned() },
                "the start has covariances of the kind Tied, but the options ask for Full",
            ),
            (
                Error::TooFew { what: "clusters", wanted: 4, samples: 3 },
                "there are 4 clusters, but only 3 samples",
            ),
            (
                Error::TooFewCounted { what: "clusters", wanted: 4, counted: 3, samples: 7 },
                "there are 4 clusters, but only 3 of the 7 samples have a weight above 0 and a value",
            ),
            (
                Error::BatchTooLarge { batch: 24, images: 10 },
                "a batch has 24 images, but there are only 10 to train on",
            ),
            (Error::BatchTooSmall { batch: 8, ranks: 9 }, "a batch has 8 images, too few for 9 processes"),
            (
                Error::Columns { found: 1, of: "the model", expected: 2 },
                "the data have 1 column, but the model 2",
            ),
            (
                Error::Columns { found: 3, of: "the model", expected: 2 },
                "the data have 3 columns, but the model 2",
            ),
            (
                Error::ModelsNotKept,
                "the fit has kept only its last model, but the model of each iteration is needed: set `keep_models: true` \
                 in its options (CoinOptions, KMeansOptions or GmmOptions)",
            ),
            (
                Error::SampleWeight { index: 2, value: -1.0 },
                "the weight of sample 2 is -1, but should lie between 0 and 1e30",
            ),
            (
                Error::Asymmetric { component: 1, row: 0, column: 2, value: 0.5, transposed: 1e-9 },
                "the covariance of component 1 is not symmetric: row 0, column 2 is 0.5, but row 2, column 0 is 1e-9",
            ),
            (
                Error::NotPositiveDefinite { component: 1 },
                "the covariance of component 1 is not positive definite: in some direction its variance is 0, negative, or \
                 too small to compute with",
            ),
            (
                Error::Collapsed {
                    component: 1,
                    regularisation: 1e-6,
                    column: 0,
                    deviation: 2.0,
                    suggestion: 1e-3,
                },
                "component 1 has collapsed: its covariance has no inverse with the regularisation 1e-6; the largest \
                 standard deviation of the data is 2.000e0 (column 0); the regularisation 1e-3 keeps all components \
                 from collapsing; fewer components or another start may help too",
            ),
        ]
    }

    fn last_errors() -> Vec<(Error, &'static str)> {
        let path = || PathBuf::from("data/a.npy");
        let names = || vec!["a".to_owned(), "b".to_owned()];
        vec![
            #[cfg(feature = "serde")]
            (
                Error::Nesting { name: "means", expected: 2, found: 1 },
                "means is nested 1 deep, but should be nested 2 deep",
            ),
            #[cfg(feature = "serde")]
            (
                Error::ModelFile {
                    path: path(),
                    what: "a mixture",
                    message: "there are no weights".to_owned(),
                },
                "data/a.npy does not hold a mixture: there are no weights",
            ),
            #[cfg(feature = "linfa")]
            (Error::Dataset { source: "no targets".into() }, "linfa: no targets"),
            (
                Error::EntryOutOfRange {
                    name: "votes",
                    place: vec![0, 3],
                    expected: "finite",
                    value: f64::INFINITY,
                },
                "votes[0, 3] is inf, but should be finite",
            ),
            (
                Error::NeighbourhoodTooLarge { size: 3, height: 2, width: 4 },
                "a neighbourhood of 3 x 3 does not fit into 2 x 4 capsules",
            ),
            (
                Error::OnlyReference { option: "Competition::AllPositions" },
                "the fused kernel has no Competition::AllPositions: only the reference in f64 has",
            ),
            (
                Error::UnknownName { what: "figure", found: "c".to_owned(), known: names() },
                "there is no figure named \"c\"; there are: a, b",
            ),
            (
                Error::UnreadableSetting {
                    name: "batch".into(),
                    expected: "a number".into(),
                    found: "x".to_owned(),
                },
                "batch is \"x\", but should be a number",
            ),
            (
                Error::OtherArchitecture { name: "first".into(), expected: "32".into(), found: "8".into() },
                "the pass was made by a network with first = 8, but this one has 32",
            ),
            (
                Error::Diverged { step: 0, what: "the loss is NaN".to_owned() },
                "step 0 of the training made numbers that are not finite (the loss is NaN); no parameter has been changed \
                 yet, so the start is to blame: smaller pose-gain, transform-deviation or betas may help",
            ),
            (
                Error::Diverged { step: 7, what: "the loss is NaN".to_owned() },
                "step 7 of the training made numbers that are not finite (the loss is NaN); a lower learning rate may help",
            ),
        ]
    }

    /// Numbers the variants. A new variant does not compile until it is added here and to the table.
    fn number(error: &Error) -> usize {
        match error {
            Error::Empty { .. } => 0,
            Error::Length { .. } => 1,
            Error::Probability { .. } => 2,
            Error::NotNormalised { .. } => 3,
            Error::MoreHeadsThanTosses { .. } => 4,
            Error::LabelOutOfRange { .. } => 5,
            Error::NeverTossed { .. } => 6,
            Error::Impossible { .. } => 7,
            Error::Setting { .. } => 8,
            Error::Minimiser { .. } => 9,
            Error::Drawing { .. } => 10,
            Error::Io { .. } => 11,
            Error::File { .. } => 12,
            Error::NonFinite { .. } => 13,
            Error::Magnitude { .. } => 14,
            Error::Shape { .. } => 15,
            Error::CovarianceMismatch { .. } => 16,
            Error::TooFew { .. } => 17,
            Error::TooFewCounted { .. } => 18,
            Error::BatchTooLarge { .. } => 19,
            Error::Columns { .. } => 20,
            Error::ModelsNotKept => 21,
            Error::SampleWeight { .. } => 22,
            Error::Asymmetric { .. } => 23,
            Error::NotPositiveDefinite { .. } => 24,
            Error::Collapsed { .. } => 25,
            #[cfg(feature = "linfa")]
            Error::Dataset { .. } => 26,
            #[cfg(feature = "serde")]
            Error::Nesting { .. } => 34,
            #[cfg(feature = "serde")]
            Error::ModelFile { .. } => 35,
            Error::EntryOutOfRange { .. } => 27,
            Error::NeighbourhoodTooLarge { .. } => 28,
            Error::OnlyReference { .. } => 29,
            Error::UnknownName { .. } => 30,
            Error::UnreadableSetting { .. } => 31,
            Error::Diverged { .. } => 32,
            Error::OtherArchitecture { .. } => 33,
            Error::NoValues { .. } => 36,
            Error::OtherRank { .. } => 37,
            Error::BatchTooSmall { .. } => 38,
        }
    }

    #[test]
    fn each_error_variant_prints_the_expected_sentence() {
        let table = table();
        for (error, words) in &table {
            assert_eq!(error.to_string(), *words);
            assert!(!words.ends_with('.') && !words.contains('\n') && !words.contains(". "), "{words}");
        }
        let seen: std::collections::BTreeSet<usize> = table.iter().map(|(error, _)| number(error)).collect();
        let with_features = usize::from(cfg!(feature = "linfa")) + 2 * usize::from(cfg!(feature = "serde"));
        assert_eq!(seen.len(), 36 + with_features, "a variant is not in the table");
    }
}
