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

    // Tables of samples, clusters and mixtures
    /// A number of the data that is NaN or infinite.
    NonFinite {
        /// The sample.
        row: usize,
        /// The column.
        column: usize,
        /// Its value.
        value: f64,
    },
    /// A number of the data that is too large: to compute with, if its square does not fit, or to be written as `f32`.
    Magnitude {
        /// The sample.
        row: usize,
        /// The column.
        column: usize,
        /// Its value.
        value: f64,
    },
    /// An array whose shape does not fit the others.
    Shape {
        /// The argument.
        name: &'static str,
        /// The shape that the other arguments ask for.
        expected: Vec<usize>,
        /// The shape that it has.
        found: Vec<usize>,
    },
    /// A model whose covariances are of another kind than the options ask for.
    Kind {
        /// The kind of the options.
        expected: crate::gmm::CovarianceKind,
        /// The kind of the model.
        found: crate::gmm::CovarianceKind,
    },
    /// More clusters or components than samples.
    TooFew {
        /// What there are too many of.
        what: &'static str,
        /// Their number, k.
        wanted: usize,
        /// The number of samples, n.
        samples: usize,
    },
    /// More clusters or components than samples of weight above 0.
    TooFewCounted {
        /// What there are too many of.
        what: &'static str,
        /// Their number, k.
        wanted: usize,
        /// The number of samples of weight above 0.
        counted: usize,
        /// The number of all samples, n.
        samples: usize,
    },
    /// Data of other columns than what they are given to.
    Columns {
        /// The number of columns of the data.
        found: usize,
        /// What they are given to: a model, or the start of a fit.
        of: &'static str,
        /// Its number of columns.
        expected: usize,
    },
    /// A fit that has kept only its last model, where all are needed.
    ModelsNotKept,
    /// A sample's weight that is negative, too large, or not a number.
    SampleWeight {
        /// The sample.
        index: usize,
        /// Its weight.
        value: f64,
    },
    /// A start that names a cluster which does not exist.
    Cluster {
        /// The sample.
        index: usize,
        /// Its label.
        label: usize,
        /// The number of clusters; labels run from 0 to one less.
        clusters: usize,
    },
    /// A covariance that differs from its transpose by more than rounding.
    Asymmetric {
        /// The component; 0 where all have the same covariance.
        component: usize,
        /// The row of the covariance.
        row: usize,
        /// Its column.
        column: usize,
        /// The number there.
        value: f64,
        /// The number at the same place of the transpose.
        transposed: f64,
    },
    /// A covariance without an inverse: in some direction its variance is not positive, but for rounding.
    NotPositiveDefinite {
        /// The component; 0 where all have the same covariance.
        component: usize,
    },
    /// A component that collapsed in a fit, on a point, a line or another flat: its covariance lost its inverse.
    Collapsed {
        /// The component; 0 where all have the same covariance.
        component: usize,
        /// The regularisation of the fit.
        regularisation: f64,
        /// The column of the data with the largest standard deviation.
        column: usize,
        /// Its standard deviation.
        deviation: f64,
        /// A regularisation with which no component of these data can collapse.
        suggestion: f64,
    },
    /// A list of numbers within lists that are more or fewer than needed.
    #[cfg(feature = "serde")]
    Nesting {
        /// The field.
        name: &'static str,
        /// In how many lists each number should lie.
        expected: usize,
        /// In how many it lies.
        found: usize,
    },
    /// A file that does not hold the model that is needed.
    #[cfg(feature = "serde")]
    ModelFile {
        /// The file.
        path: PathBuf,
        /// The model that is needed.
        what: &'static str,
        /// Why it is none.
        message: String,
    },
    /// A data set that linfa has no use for.
    #[cfg(feature = "linfa")]
    Dataset {
        /// linfa's own words.
        message: String,
    },
    /// A `.npy` file that is not the table that is needed.
    Npy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: crate::data::npy::Fault,
    },
    /// An IDX file that does not hold the images or labels that are needed.
    Idx {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: crate::data::idx::Fault,
    },

    // Capsules and routing
    /// A number of an array that is out of its range.
    Entry {
        /// The array.
        name: &'static str,
        /// Its place in the array.
        place: Vec<usize>,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        value: f64,
    },
    /// A neighbourhood that does not fit into the layer below.
    Kernel {
        /// Its side, K.
        size: usize,
        /// The height of the layer below.
        height: usize,
        /// Its width.
        width: usize,
    },
    /// An option that the fused kernel leaves to the reference.
    OnlyReference {
        /// The option.
        option: &'static str,
    },
    /// A label that names no class.
    Class {
        /// The image.
        index: usize,
        /// Its label.
        label: usize,
        /// The number of classes; labels run from 0 to one less.
        classes: usize,
    },

    // The network
    /// A name that nothing has.
    Name {
        /// What has names.
        what: &'static str,
        /// The name that was asked for.
        found: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A setting whose text cannot be read.
    SettingText {
        /// The setting.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A checkpoint that is not what is needed.
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: crate::capsnet::checkpoint::Fault,
    },
    /// A file of results with a field that is not what it should be.
    Record {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The field.
        field: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// Training that has come to numbers that are not finite.
    Diverged {
        /// The step, from 0.
        step: usize,
        /// What is not finite.
        what: String,
    },
}

impl Error {
    /// Wraps a system error with the path that it is about.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Io { path: path.to_path_buf(), source }
    }
}

/// A number in a message: without hundreds of zeros where it is very large or very small.
struct Short(f64);

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.abs() {
            size if size == 0.0 || (1e-5..1e16).contains(&size) || !size.is_finite() => {
                write!(f, "{}", self.0)
            }
            _ => write!(f, "{:e}", self.0),
        }
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
                write!(f, "{name} is {}, but should be {expected}", Short(*value))
            }
            Error::Minimiser { status } => write!(f, "the minimiser stopped without a minimum: {status}"),
            Error::Drawing { figure, message } => write!(f, "figure {figure} cannot be drawn: {message}"),
            Error::Io { path, source } => write!(f, "{}: {source}", path.display()),

            Error::NonFinite { row, column, value } => {
                write!(f, "row {row}, column {column} of the data is {value}, but should be a finite number")
            }
            Error::Magnitude { row, column, value } => {
                let limit = "fits compute with numbers up to 1e130, and f32 holds them up to 3.4e38";
                write!(f, "row {row}, column {column} of the data is {value:e}, which is too large: {limit}")
            }
            Error::Shape { name, expected, found } => {
                write!(f, "the shape of {name} is {found:?}, but the other arguments ask for {expected:?}")
            }
            Error::Kind { expected, found } => {
                write!(
                    f,
                    "the start has covariances of the type {found:?}, but the options ask for {expected:?}"
                )
            }
            Error::TooFew { what, wanted, samples } => {
                write!(f, "there are {wanted} {what}, but only {samples} samples")
            }
            Error::TooFewCounted { what, wanted, counted, samples } => write!(
                f,
                "there are {wanted} {what}, but only {counted} of the {samples} samples have a weight above 0"
            ),
            Error::Columns { found, of, expected } => {
                let plural = if *found == 1 { "" } else { "s" };
                write!(f, "the data have {found} column{plural}, but {of} {expected}")
            }
            Error::ModelsNotKept => write!(
                f,
                "the fit has kept only its last model, but the model of each iteration is needed: set \
                 `keep_models: true` in its options (CoinOptions, KMeansOptions or GmmOptions)"
            ),
            Error::SampleWeight { index, value } => {
                write!(
                    f,
                    "the weight of sample {index} is {}, but should lie between 0 and 1e30",
                    Short(*value)
                )
            }
            Error::Cluster { index, label, clusters } => {
                write!(f, "sample {index} has label {label}, but there are only {clusters} clusters (from 0)")
            }
            Error::Asymmetric { component, row, column, value, transposed } => write!(
                f,
                "the covariance of component {component} is not symmetric: row {row}, column {column} is {}, but \
                 row {column}, column {row} is {}",
                Short(*value),
                Short(*transposed)
            ),
            Error::NotPositiveDefinite { component } => write!(
                f,
                "the covariance of component {component} is not positive definite: in some direction its variance \
                 is 0, negative, or too small to compute with"
            ),
            Error::Collapsed { component, regularisation, column, deviation, suggestion } => write!(
                f,
                "component {component} has collapsed: its covariance has no inverse with the regularisation \
                 {regularisation:e}. The largest standard deviation of the data is {deviation:.3e} (column {column}); \
                 the regularisation {suggestion:e} keeps all components from collapsing. Fewer components or another \
                 start may help too"
            ),
            #[cfg(feature = "serde")]
            Error::Nesting { name, expected, found } => {
                write!(f, "{name} is nested {found} deep, but should be nested {expected} deep")
            }
            #[cfg(feature = "serde")]
            Error::ModelFile { path, what, message } => {
                write!(f, "{} does not hold {what}: {message}", path.display())
            }
            #[cfg(feature = "linfa")]
            Error::Dataset { message } => write!(f, "linfa: {message}"),
            Error::Npy { path, fault } => f.write_str(&crate::data::npy::in_words(path, fault)),
            Error::Idx { path, fault } => f.write_str(&crate::data::idx::in_words(path, fault)),

            Error::Entry { name, place, expected, value } => {
                write!(f, "{name}{place:?} is {}, but should be {expected}", Short(*value))
            }
            Error::Kernel { size, height, width } => {
                write!(f, "a neighbourhood of {size} x {size} does not fit into {height} x {width} capsules")
            }
            Error::OnlyReference { option } => {
                write!(f, "the fused kernel has no {option}: only the reference in f64 has")
            }
            Error::Class { index, label, classes } => {
                write!(f, "image {index} has label {label}, but there are only {classes} classes (from 0)")
            }

            Error::Name { what, found, known } => {
                write!(f, "there is no {what} named {found:?}; there are: {}", known.join(", "))
            }
            Error::SettingText { name, expected, found } => {
                write!(f, "{name} is {found:?}, but should be {expected}")
            }
            Error::Checkpoint { path, fault } => write!(f, "{}: {fault}", path.display()),
            Error::Record { path, line, field, expected, found } => {
                write!(f, "{}, line {line}: {field} is {found:?}, but should be {expected}", path.display())
            }
            Error::Diverged { step: 0, what } => write!(
                f,
                "step 0 of the training made numbers that are not finite ({what}). No parameter has been changed yet, \
                 so the start is to blame: smaller pose-gain, transform-deviation or betas may help"
            ),
            Error::Diverged { step, what } => write!(
                f,
                "step {step} of the training made numbers that are not finite ({what}); a lower learning rate may help"
            ),
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
