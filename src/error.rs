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
    /// A number of the data so large that its square does not fit.
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
        expected: crate::gmm::Covariance,
        /// The kind of the model.
        found: crate::gmm::Covariance,
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
    /// A component whose covariance has no inverse: it has collapsed on a point, a line or another flat.
    NotPositiveDefinite {
        /// The component.
        component: usize,
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
        name: String,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A pass of a network of another architecture.
    OtherArchitecture {
        /// The first setting that differs.
        name: String,
        /// The network's value.
        expected: String,
        /// The value of the network that made the pass.
        found: String,
    },
    /// A batch of more images than there are.
    Batch {
        /// The number of images of a batch.
        batch: usize,
        /// The number of images to train on.
        images: usize,
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

            Error::NonFinite { row, column, value } => {
                write!(f, "row {row}, column {column} of the data is {value}, but should be a finite number")
            }
            Error::Magnitude { row, column, value } => {
                write!(f, "row {row}, column {column} of the data is {value:e}, whose square does not fit")
            }
            Error::Shape { name, expected, found } => {
                write!(f, "{name} has the shape {found:?}, but {expected:?} is needed")
            }
            Error::Kind { expected, found } => {
                write!(
                    f,
                    "the start has covariances of the kind {found:?}, but the options ask for {expected:?}"
                )
            }
            Error::TooFew { what, wanted, samples } => {
                write!(f, "there are {wanted} {what}, but only {samples} samples")
            }
            Error::SampleWeight { index, value } => {
                write!(f, "the weight of sample {index} is {value}, but should lie between 0 and 1e30")
            }
            Error::Cluster { index, label, clusters } => {
                write!(f, "sample {index} has label {label}, but there are only {clusters} clusters (from 0)")
            }
            Error::NotPositiveDefinite { component } => write!(
                f,
                "the covariance of component {component} is not positive definite: the component has collapsed; \
                 a larger regularisation, fewer components or another start may help"
            ),
            #[cfg(feature = "linfa")]
            Error::Dataset { message } => write!(f, "linfa: {message}"),
            Error::Npy { path, fault } => write!(f, "{}: {fault}", path.display()),
            Error::Idx { path, fault } => write!(f, "{}: {fault}", path.display()),

            Error::Entry { name, place, expected, value } => {
                write!(f, "{name}{place:?} is {value}, but should be {expected}")
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
            Error::OtherArchitecture { name, expected, found } => {
                write!(f, "the pass was made by a network with {name} = {found}, but this one has {expected}")
            }
            Error::Batch { batch, images } => {
                write!(f, "a batch has {batch} images, but there are only {images} to train on")
            }
            Error::Checkpoint { path, fault } => write!(f, "{}: {fault}", path.display()),
            Error::Record { path, line, field, expected, found } => {
                write!(f, "{}, line {line}: {field} is {found:?}, but should be {expected}", path.display())
            }
            Error::Diverged { step } => {
                write!(
                    f,
                    "step {step} of the training made numbers that are not finite; a lower learning rate may help"
                )
            }
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
