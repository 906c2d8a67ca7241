//! Networks and trainings as safetensors files, which other programs can read too.
//!
//! Each parameter array is a tensor under its own name (`first.transforms`). A training has up to three more tensors for each
//! array: Adam's moments as `first_moment.first.transforms` and `second_moment.…`, and the running average as `average.…` if the
//! recipe averages. All numbers are little-endian f32; those of a network may be 16-bit floats instead. The metadata has one key,
//! `em-routing`, whose text has one `name = value` per line:
//!
//! ```text
//! format = 1              the version of the format
//! step = 1200             steps so far; only a training has this line and the next four
//! updates = 1200          Adam's updates so far
//! seed = 1                the seed of the initial draw and of the images' order
//! images = 55000          the number of training images
//! images-checksum = 5a…   CRC-32C of their sizes, labels and pixels
//! height = 28             every setting, as in Settings::settings; a network alone may omit those of the recipe
//! …
//! checksum = 9b0f3c1e     CRC-32C of the lines above and the bytes of all tensors: the parameters in the order of the layers,
//!                         then the first moments, the second moments and the average in the same order
//! ```
//!
//! This is enough to resume bit for bit. Seed and epoch determine the order of the images; step and number of images determine the
//! position in it. A setting that is newer than the file takes the blog's value, which turns additions off. If the images' checksum
//! is missing, only the number of images is compared.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crc32c::{crc32c, crc32c_append};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};

use super::adam::Adam;
use super::architecture::MOST_PARAMETERS;
use super::network::CapsNet;
use super::parameters::{ParameterSpec, Parameters};
use super::recipe::Recipe;
use super::settings::{Settings, lines};
use super::training::Training;
use crate::data::half::{half, whole};
use crate::data::idx::Images;
use crate::error::{Cause, Error, Result};
use crate::files;

/// The version of the format that this crate writes and reads.
const FORMAT: &str = "1";
/// The only key of the metadata. The library would write several keys in an order that changes from run to run.
const KEY: &str = "em-routing";
/// The names of the metadata lines that are not settings.
const STATE: [&str; 6] = ["format", "step", "updates", "seed", "images", IMAGES_CHECKSUM];
const IMAGES_CHECKSUM: &str = "images-checksum";
/// The largest header, in bytes. A training's header has about 12,000 bytes.
const MOST_HEADER: u64 = 1 << 16;
/// The largest file, in bytes: the largest network with moments and average.
const MOST_BYTES: u64 = 16 * MOST_PARAMETERS as u64 + MOST_HEADER + 8;
/// The prefix of Adam's first moments.
const FIRST_MOMENT: &str = "first_moment.";
/// The prefix of Adam's second moments.
const SECOND_MOMENT: &str = "second_moment.";
/// The prefix of the running average.
const AVERAGE: &str = "average.";

/// Why a file cannot be read as a network or a training, or why a training cannot be resumed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message beside each variant says what its fields are")]
#[non_exhaustive]
pub enum Fault {
    /// A file that is not safetensors, is cut off or is damaged. The source is the error of the safetensors library.
    #[error("not a checkpoint, cut off or damaged: {source}")]
    Damaged { source: Cause },
    /// A file larger than any network.
    #[error("not a checkpoint: more than {most} bytes")]
    Large { most: u64 },
    /// A safetensors file that another program wrote.
    #[error("a safetensors file, but not written by em-routing: its metadata has no key {KEY:?}")]
    Foreign,
    /// A version of the format that cannot be read.
    #[error("has version {found} of the format, but only version {expected} can be read")]
    Version { expected: &'static str, found: String },
    /// A line of the metadata that is missing or cannot be read.
    #[error("its metadata {}", line_in_words(.name, .found))]
    Line {
        name: &'static str,
        /// The value that cannot be read; `None` if the line is missing.
        found: Option<String>,
    },
    /// The settings in the file are not valid. `source()` returns the error that names the setting.
    #[error("its settings are not valid: {source}")]
    Settings { source: Error },
    /// A tensor that is missing.
    #[error("has no tensor {tensor}")]
    Missing { tensor: String },
    /// More tensors than the settings ask for.
    #[error("has {found} tensors, but {expected} are needed")]
    Extra { expected: usize, found: usize },
    /// A tensor that does not have the shape that the settings ask for.
    #[error("{tensor} has the shape {found:?}, but its settings ask for {expected:?}")]
    Shape { tensor: String, expected: Vec<usize>, found: Vec<usize> },
    /// A tensor whose numbers are neither f32 nor 16-bit floats; `found` is the format's name for their type.
    #[error("{tensor} holds {found}, but F32 or F16 is needed")]
    Kind { tensor: String, found: String },
    /// A number that is NaN or infinite. The index counts in the flat tensor.
    #[error("{tensor}[{index}] is {value}, but should be a finite number")]
    NonFinite { tensor: String, index: usize, value: f32 },
    /// Contents that have changed since they were written.
    #[error("is damaged: its checksum is {found}, but {expected} was written")]
    Checksum { expected: String, found: String },
    /// A network without a training to resume.
    #[error("holds a network but no training to resume: it lacks Adam's moments and the step")]
    NoTraining,
    /// A training with another setting or seed than requested.
    #[error("was trained with {name} = {found}, but {expected} is asked for")]
    Setting { name: String, expected: String, found: String },
    /// A training on another number of images than given now.
    #[error("was trained on {found} images, but there are {expected}")]
    Images { expected: usize, found: usize },
    /// A training on the same number of images, but different ones.
    #[error("was trained on other images than these: their checksum is {found}, not {expected}")]
    OtherImages { expected: String, found: String },
}

fn line_in_words(name: &str, found: &Option<String>) -> String {
    match found {
        Some(found) => format!("has the line {name} = {found}, which is not valid"),
        None => format!("has no line {name}"),
    }
}

/// The contents of a checkpoint.
struct Stored {
    net: CapsNet,
    training: Option<StoredTraining>,
}

/// The contents that only a training has.
struct StoredTraining {
    recipe: Recipe,
    adam: Adam,
    average: Option<Parameters>,
    state: State,
}

/// The metadata lines that only a training has.
struct State {
    step: u32,
    updates: u32,
    seed: u64,
    images: usize,
    images_checksum: Option<String>,
}

impl CapsNet {
    /// Writes the network's parameters and architecture to a file. The file is written as a whole or not at all ([`files`]).
    ///
    /// # Errors
    ///
    /// Returns an error with the path if a number is not finite or if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        files::write(path, &self.bytes(path)?)
    }

    /// Returns the file that [`CapsNet::save`] writes. Errors name it by this path.
    ///
    /// # Errors
    ///
    /// Returns an error if a number is not finite.
    pub fn bytes(&self, path: &Path) -> Result<Vec<u8>> {
        let (lines, parameters) = (lines(self.architecture().settings()), self.parameters());
        packed(path, &lines, &[("", parameters, parameters.numbers())], Dtype::F32)
    }

    /// Returns the file of [`CapsNet::bytes`] with numbers rounded to 16 bits: half as many bytes, for a web page.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`CapsNet::bytes`]. A number of 65520 or more in size is an error of [`CapsNet::load`].
    pub fn half_bytes(&self, path: &Path) -> Result<Vec<u8>> {
        let (lines, parameters) = (lines(self.architecture().settings()), self.parameters());
        packed(path, &lines, &[("", parameters, parameters.numbers())], Dtype::F16)
    }

    /// Reads a network from a file of [`CapsNet::save`]. From a file of [`Training::save`], reads the network of
    /// [`Training::result`].
    ///
    /// ```
    /// use em_routing::prelude::*;
    /// let small = Architecture { features: 2, deep_features: 2, primary: 2, first: 2, second: 2, ..Architecture::default() };
    /// let net = CapsNet::new(small, 1)?;
    /// let path = std::env::temp_dir().join("em-routing-example.safetensors");
    /// net.save(&path)?;
    /// assert_eq!(CapsNet::load(&path)?, net);
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), em_routing::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error with the path if the file cannot be read or does not hold a network ([`Fault`]).
    pub fn load(path: impl AsRef<Path>) -> Result<CapsNet> {
        let path = path.as_ref();
        CapsNet::from_bytes(path, &read_bytes(path)?)
    }

    /// Reads a network as [`CapsNet::load`] does, from the bytes of its file. Errors name it by this path.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes do not hold a network ([`Fault`]).
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<CapsNet> {
        let Stored { mut net, training } = parsed(path, bytes)?;
        if let Some(StoredTraining { average: Some(average), .. }) = training {
            net.parameters_mut().numbers_mut().copy_from_slice(average.numbers());
        }
        Ok(net)
    }
}

impl Training {
    /// Writes everything that the next step depends on to a file. Of the images, only their number and a checksum are written. The
    /// file is written as a whole or not at all ([`files`]).
    ///
    /// # Errors
    ///
    /// Returns an error with the path if a number is not finite or if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>, images: &Images) -> Result<()> {
        let parameters = self.net.parameters();
        let mut vectors = vec![
            ("", parameters, parameters.numbers()),
            (FIRST_MOMENT, parameters, &self.adam.first[..]),
            (SECOND_MOMENT, parameters, &self.adam.second[..]),
        ];
        if let Some(average) = self.averaged() {
            vectors.push((AVERAGE, average, average.numbers()));
        }
        let (step, updates, seed) = (self.step, self.adam.updates, self.seed);
        let (count, checksum) = (images.len(), checksum_of(images));
        let state = format!(
            "step = {step}\nupdates = {updates}\nseed = {seed}\nimages = {count}\n{IMAGES_CHECKSUM} = {checksum}\n"
        );
        let path = path.as_ref();
        files::write(path, &packed(path, &(state + &self.settings().lines()), &vectors, Dtype::F32)?)
    }

    /// Writes the network of [`Training::result`] as [`CapsNet::save`] does, together with the recipe.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`CapsNet::save`].
    pub fn save_result(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        files::write(path, &self.result_bytes(path)?)
    }

    /// Returns the file that [`Training::save_result`] writes. Errors name it by this path.
    ///
    /// # Errors
    ///
    /// Returns an error if a number is not finite.
    pub fn result_bytes(&self, path: &Path) -> Result<Vec<u8>> {
        let layout = self.net.parameters();
        let numbers = self.averaged().unwrap_or(layout).numbers();
        packed(path, &self.settings().lines(), &[("", layout, numbers)], Dtype::F32)
    }

    /// Reads a training written by [`Training::save`], and its number of images. With the same images, the next steps are bit for bit
    /// those of an uninterrupted training.
    ///
    /// # Errors
    ///
    /// Returns an error with the path if the file cannot be read or does not hold a training ([`Fault`]).
    pub fn load(path: impl AsRef<Path>, threads: usize) -> Result<(Training, usize)> {
        let (training, state) = read_training(path.as_ref(), threads)?;
        Ok((training, state.images))
    }

    /// Reads a training as [`Training::load`] does and checks that it has these settings, this seed and these images.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Training::load`], and an error if a setting, the seed or the images differ.
    pub fn resume(
        path: impl AsRef<Path>,
        settings: &Settings,
        seed: u64,
        images: &Images,
        threads: usize,
    ) -> Result<Training> {
        let path = path.as_ref();
        let (training, state) = read_training(path, threads)?;
        let mut expected = settings.settings();
        let mut stored = training.settings().settings();
        expected.push(("seed".to_owned(), seed.to_string()));
        stored.push(("seed".to_owned(), training.seed.to_string()));
        for ((name, expected), (_, found)) in expected.into_iter().zip(stored) {
            if expected != found {
                return Err(Error::file(path, Fault::Setting { name, expected, found }));
            }
        }
        if images.len() != state.images {
            return Err(Error::file(path, Fault::Images { expected: images.len(), found: state.images }));
        }
        let expected = checksum_of(images);
        if let Some(found) = state.images_checksum.filter(|found| *found != expected) {
            return Err(Error::file(path, Fault::OtherImages { expected, found }));
        }
        Ok(training)
    }
}

fn read_training(path: &Path, threads: usize) -> Result<(Training, State)> {
    let Stored { net, training } = parsed(path, &read_bytes(path)?)?;
    let StoredTraining { recipe, adam, average, state } =
        training.ok_or_else(|| Error::file(path, Fault::NoTraining))?;
    let training = Training::resumed(net, recipe, adam, average, state.step as usize, state.seed, threads);
    Ok((training, state))
}

/// Returns the checksum of images: CRC-32C of height and width (`u64`, little-endian), labels and pixels.
fn checksum_of(images: &Images) -> String {
    let sizes = [images.height, images.width].map(|size| (size as u64).to_le_bytes());
    let contents = [sizes.as_flattened(), &images.labels, &images.pixels];
    format!("{:08x}", contents.into_iter().fold(0, crc32c_append))
}

/// Returns a file of vectors that are laid out like the parameters. The names of a vector's tensors begin with its prefix.
fn packed(path: &Path, lines: &str, vectors: &[(&str, &Parameters, &[f32])], kind: Dtype) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut places = Vec::new();
    for (prefix, layout, numbers) in vectors {
        for part in layout.parts() {
            let numbers = &numbers[part.range.clone()];
            let tensor = format!("{prefix}{}", part.name);
            all_finite(path, &tensor, numbers)?;
            let start = bytes.len();
            match kind {
                Dtype::F16 => bytes.extend(numbers.iter().flat_map(|&number| half(number).to_le_bytes())),
                _ => bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes())),
            }
            places.push((tensor, &part.shape, start..bytes.len()));
        }
    }
    let lines = format!("format = {FORMAT}\n{lines}");
    let checksum = crc32c_append(crc32c(lines.as_bytes()), &bytes);
    let text = format!("{lines}checksum = {checksum:08x}\n");

    let in_words = |error: SafeTensorError| Error::file(path, Fault::Damaged { source: error.into() });
    let tensors: Vec<(String, TensorView)> = places
        .into_iter()
        .map(|(name, shape, range)| Ok((name, TensorView::new(kind, shape.clone(), &bytes[range])?)))
        .collect::<std::result::Result<_, _>>()
        .map_err(in_words)?;
    let metadata = [(KEY.to_owned(), text)].into_iter().collect();
    safetensors::serialize(tensors, Some(metadata)).map_err(in_words)
}

/// Parses a checkpoint. A size that the file merely claims causes no allocation.
fn parsed(path: &Path, bytes: &[u8]) -> Result<Stored> {
    let damaged = |error: SafeTensorError| Error::file(path, Fault::Damaged { source: error.into() });
    check_header(path, bytes)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let text = metadata.metadata().as_ref().and_then(|texts| texts.get(KEY));
    let text = text.ok_or_else(|| Error::file(path, Fault::Foreign))?;
    let (lines, checksum) = split_checksum(text);
    let (state, Settings { architecture, recipe }) = read_lines(path, lines)?;
    let unsettled = |source| Error::file(path, Fault::Settings { source });
    let layout = architecture.parameters().map_err(unsettled)?;

    let mut prefixes = vec![""];
    if state.is_some() {
        prefixes.extend([FIRST_MOMENT, SECOND_MOMENT]);
        prefixes.extend((recipe.averaging > 0.0).then_some(AVERAGE));
    }
    let views = find_tensors(path, &tensors, &prefixes, &layout)?;
    // The file holds tensors of these sizes, so from here on they may be allocated.
    let mut net = CapsNet::zeros(architecture).map_err(unsettled)?;
    let vectors: Vec<Vec<f32>> = views
        .chunks(layout.len())
        .map(|views| {
            let mut vector = Vec::with_capacity(net.parameters().len());
            for (tensor, view) in views {
                let start = vector.len();
                let data = view.data();
                match view.dtype() {
                    Dtype::F16 => vector
                        .extend(data.as_chunks().0.iter().map(|&bytes| whole(u16::from_le_bytes(bytes)))),
                    _ => vector.extend(data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))),
                }
                all_finite(path, tensor, &vector[start..])?;
            }
            Ok(vector)
        })
        .collect::<Result<_>>()?;
    let found = views.iter().fold(crc32c(lines.as_bytes()), |sum, (_, view)| crc32c_append(sum, view.data()));
    let found = format!("{found:08x}");
    if checksum != Some(&found) {
        let expected = checksum.unwrap_or("none").to_owned();
        return Err(Error::file(path, Fault::Checksum { expected, found }));
    }

    let mut vectors = vectors.into_iter();
    let mut next = || vectors.next();
    net.parameters_mut().numbers_mut().copy_from_slice(&next().expect("one vector for each prefix"));
    let training = match (state, next(), next()) {
        (Some(state), Some(first), Some(second)) => {
            let adam = Adam { first, second, updates: state.updates as usize };
            let average = next().map(|numbers| {
                let mut average = net.parameters().zeros_like();
                average.numbers_mut().copy_from_slice(&numbers);
                average
            });
            Some(StoredTraining { recipe, adam, average, state })
        }
        _ => None,
    };
    Ok(Stored { net, training })
}

/// Reads the bytes of a file unless it is too large to be a checkpoint.
fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    // A special file, such as a pipe, does not report its length, so its bytes are counted.
    let length = file.metadata().map_err(Error::io(path))?.len();
    if length <= MOST_BYTES {
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    }
    if length.max(bytes.len() as u64) > MOST_BYTES {
        return Err(Error::file(path, Fault::Large { most: MOST_BYTES }));
    }
    Ok(bytes)
}

/// Checks that the header does not claim to be too large.
fn check_header(path: &Path, bytes: &[u8]) -> Result<()> {
    let header = bytes.first_chunk().map(|&length| u64::from_le_bytes(length));
    match header.filter(|&header| header > MOST_HEADER) {
        None => Ok(()),
        Some(header) => {
            let source = format!("its header claims to have {header} bytes").into();
            Err(Error::file(path, Fault::Damaged { source }))
        }
    }
}

/// Parses the metadata lines: the settings, and the state of the training if the file holds one.
fn read_lines(path: &Path, lines: &str) -> Result<(Option<State>, Settings)> {
    let pairs = || lines.lines().map(|line| line.split_once(" = ").unwrap_or((line, "")));
    let value = |name: &str| pairs().find(|pair| pair.0 == name).map(|(_, value)| value.to_owned());
    let format =
        value("format").ok_or_else(|| Error::file(path, Fault::Line { name: "format", found: None }))?;
    if format != FORMAT {
        return Err(Error::file(path, Fault::Version { expected: FORMAT, found: format }));
    }
    let number = |name: &'static str, most: u64| {
        let found = value(name);
        let number =
            found.as_ref().and_then(|value| value.parse().ok()).filter(|&number: &u64| number <= most);
        number.ok_or_else(|| Error::file(path, Fault::Line { name, found }))
    };
    let state = match value("step") {
        None => None,
        Some(_) => Some(State {
            step: number("step", i32::MAX as u64)? as u32,
            updates: number("updates", i32::MAX as u64)? as u32,
            seed: number("seed", u64::MAX)?,
            images: number("images", isize::MAX as u64)? as usize,
            images_checksum: value(IMAGES_CHECKSUM),
        }),
    };
    let unsettled = |source| Error::file(path, Fault::Settings { source });
    let mut settings = Settings::blog();
    for (name, value) in pairs().filter(|(name, _)| !STATE.contains(name)) {
        settings.set(name, value).map_err(unsettled)?;
    }
    settings.check().map_err(unsettled)?;
    Ok((state, settings))
}

/// Finds the tensors of all parameter arrays under each prefix. Other tensors are an error.
fn find_tensors<'a>(
    path: &Path,
    tensors: &SafeTensors<'a>,
    prefixes: &[&str],
    layout: &[ParameterSpec],
) -> Result<Vec<(String, TensorView<'a>)>> {
    let mut views = Vec::new();
    for prefix in prefixes {
        for ParameterSpec { name, shape, .. } in layout {
            let tensor = format!("{prefix}{name}");
            let Ok(view) = tensors.tensor(&tensor) else {
                return Err(Error::file(path, Fault::Missing { tensor }));
            };
            if ![Dtype::F32, Dtype::F16].contains(&view.dtype()) {
                return Err(Error::file(path, Fault::Kind { tensor, found: format!("{:?}", view.dtype()) }));
            }
            if view.shape() != shape {
                let (expected, found) = (shape.clone(), view.shape().to_vec());
                return Err(Error::file(path, Fault::Shape { tensor, expected, found }));
            }
            views.push((tensor, view));
        }
    }
    if tensors.len() != views.len() {
        return Err(Error::file(path, Fault::Extra { expected: views.len(), found: tensors.len() }));
    }
    Ok(views)
}

/// Splits the metadata into the lines that the checksum covers and the checksum itself.
fn split_checksum(text: &str) -> (&str, Option<&str>) {
    let lines = text.trim_end();
    let last = lines.rfind('\n').map_or(0, |end| end + 1);
    match lines[last..].strip_prefix("checksum = ") {
        Some(checksum) => (&lines[..last], Some(checksum)),
        None => (text, None),
    }
}

fn all_finite(path: &Path, tensor: &str, numbers: &[f32]) -> Result<()> {
    match numbers.iter().position(|number| !number.is_finite()) {
        None => Ok(()),
        Some(index) => {
            let tensor = tensor.to_owned();
            Err(Error::file(path, Fault::NonFinite { tensor, index, value: numbers[index] }))
        }
    }
}
