//! IDX files, plain or gzipped: the images and labels of MNIST and of data sets in the same format.
//!
//! [`ImageSet::load`] reads a whole set from a folder: images to train on, a validation set and a test set. [`Images::read`]
//! reads one pair of files, [`Images::write`] writes one.
//!
//! A file begins with two zero bytes, the type of its numbers (8: bytes) and the number of dimensions; then come the size of
//! each dimension as a big-endian `u32` and the numbers, with the last dimension varying fastest. Images are bytes; labels
//! may have any type of number, but must be integers from 0 to 255.

mod stream;
mod write;

use std::fmt::Formatter;
use std::io::{BufRead, BufReader, Error as IoError, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};

pub(super) use self::stream::{Unpacked, Unreadable};
use crate::data::plain::{self, in_python, looks_like};
use crate::error::{Error, Result};

/// The reason why a file cannot be read as images or labels.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message beside each variant says what its fields are")]
#[non_exhaustive]
pub enum Fault {
    /// A truncated or damaged gzip stream.
    #[error("cannot be unpacked: {source}")]
    Gzip { source: IoError },
    /// A file that does not begin like an IDX file; `found` holds its first four bytes.
    #[error("not an IDX file: it {}", begins(.found))]
    Magic { found: [u8; 4] },
    /// Images that are not bytes, or an unknown type of number.
    #[error("holds {}", kind_in_words(.code))]
    Kind { code: u8 },
    /// The wrong number of dimensions for images or labels.
    #[error("has {found} dimensions, but {expected} are needed (images have 3, labels 1)")]
    Dimensions { expected: usize, found: usize },
    /// A dimension of size 0, or a total size that overflows.
    #[error("has the sizes {sizes:?}: empty, or implausibly large")]
    Sizes { sizes: Vec<u32> },
    /// A file that, unpacked, is shorter than a header, or than its header says.
    #[error(fmt = truncated_in_words)]
    Truncated { expected: u64, found: u64 },
    /// A file that, unpacked, is longer than its header says.
    #[error("is longer than the {expected} bytes that its header promises")]
    Trailing { expected: u64 },
    /// More or fewer labels than images in the other file.
    #[error("holds {labels} labels, but {} holds {images} images", .other.display())]
    Count { labels: usize, images: usize, other: PathBuf },
    /// A label that is not below the number of classes; the largest is reported.
    #[error(
        "image {index} has label {label}, but there are only {classes} classes (from 0); train with --set classes={}",
        usize::from(*.label) + 1
    )]
    Label { index: usize, label: u8, classes: usize },
    /// Labels that do not count from the label of the first class.
    #[error(
        "its labels are {least} to {most}, but should be {classes} classes from {first} on; \
         train with --set first-label={least} --set classes={}",
        (*.classes).max(usize::from(.most - .least) + 1)
    )]
    Labels { least: u8, most: u8, first: u8, classes: usize },
    /// A label that is not an integer from 0 to 255.
    #[error("image {index} has label {label}, but labels are whole numbers from 0 to 255")]
    LabelValue { index: usize, label: String },
    /// Test images of a different size (height, width) than the training images.
    #[error("its images are {} x {}, but the training images are {} x {}", .found.0, .found.1, .expected.0, .expected.1)]
    Side { expected: (usize, usize), found: (usize, usize) },
}

/// Makes the error of a file, if possible with a line of Python that fixes it.
fn error(path: &Path, fault: Fault) -> Error {
    let remedy = match fault {
        Fault::Kind { code } => Number::of(code).map(|number| in_bytes(path, number)),
        _ => None,
    };
    Error::File { path: path.to_path_buf(), source: fault.into(), remedy }
}

fn begins(found: &[u8; 4]) -> String {
    match looks_like(found) {
        Some(looks_like) => format!("looks like {looks_like}"),
        None => format!("begins with {found:02x?}, not with two zero bytes"),
    }
}

fn kind_in_words(code: &u8) -> String {
    match Number::of(*code) {
        Some(number) => format!("{number:?} (kind {code:#04x}), but images are bytes (0x08)"),
        None => format!("numbers of the kind {code:#04x}, which the IDX format does not have"),
    }
}

fn truncated_in_words(expected: &u64, found: &u64, f: &mut Formatter<'_>) -> std::fmt::Result {
    let how = if *found == 0 && *expected <= 16 { "is empty" } else { "is cut off" };
    let header = if *expected <= 16 { "alone has at least" } else { "promises" };
    write!(f, "{how}: {found} bytes, but its header {header} {expected}")
}

/// Returns Python code that converts an image file's numbers to bytes and keeps the original file.
fn in_bytes(path: &Path, number: Number) -> String {
    let mut kept = path.as_os_str().to_os_string();
    kept.push(".original");
    let (file, kept, kind) = (in_python(path), in_python(kept.as_ref()), number.numpy());
    let open = if path.extension().is_some_and(|end| end == "gz") { "gzip.open" } else { "open" };
    // float grey levels mostly range from 0 to 1
    let scale = if kind.starts_with(">f") { " * (255 if x.max() <= 1 else 1)" } else { "" };
    let lines = [
        "import gzip, numpy, os".to_owned(),
        format!("os.rename({file}, {kept})"),
        format!("b = open({kept}, \"rb\").read()"),
        r#"b = gzip.decompress(b) if b[:2] == b"\x1f\x8b" else b"#.to_owned(),
        "n = 4 + 4 * b[3]".to_owned(),
        format!("x = numpy.frombuffer(b[n:], \"{kind}\")"),
        format!("x = (x{scale}).round().clip(0, 255).astype(\"u1\")"),
        format!(r#"{open}({file}, "wb").write(b[:2] + b"\x08" + b[3:n] + x.tobytes())"#),
    ];
    format!("in Python: {}", lines.join("; "))
}

/// The format of a data set.
///
/// A number of classes converts to a `Form`: MNIST is read with `10.into()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// The number of classes, at most 256.
    pub classes: usize,
    /// Whether the file stores each image column by column, as EMNIST does; reading then transposes it.
    pub transposed: bool,
    /// The label of the first class: 0, or 1 as in EMNIST's letters. [`Images::labels`] always count from 0.
    pub first_label: usize,
}

impl From<usize> for Form {
    fn from(classes: usize) -> Form {
        Form { classes, transposed: false, first_label: 0 }
    }
}

/// The types of numbers in an IDX file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    U8,
    I8,
    I16,
    I32,
    F32,
    F64,
}

impl Number {
    fn of(code: u8) -> Option<Number> {
        Some(match code {
            0x08 => Number::U8,
            0x09 => Number::I8,
            0x0b => Number::I16,
            0x0c => Number::I32,
            0x0d => Number::F32,
            0x0e => Number::F64,
            _ => return None,
        })
    }

    /// Returns numpy's name of the type.
    fn numpy(self) -> &'static str {
        match self {
            Number::U8 => "u1",
            Number::I8 => "i1",
            Number::I16 => ">i2",
            Number::I32 => ">i4",
            Number::F32 => ">f4",
            Number::F64 => ">f8",
        }
    }

    /// Returns the number of bytes per number.
    fn size(self) -> usize {
        match self {
            Number::U8 | Number::I8 => 1,
            Number::I16 => 2,
            Number::I32 | Number::F32 => 4,
            Number::F64 => 8,
        }
    }

    /// Decodes bytes as numbers of this type.
    fn decode(self, bytes: &[u8]) -> Vec<f64> {
        match self {
            Number::U8 => bytes.iter().map(|&byte| byte.into()).collect(),
            Number::I8 => bytes.iter().map(|&byte| (byte as i8).into()).collect(),
            Number::I16 => {
                bytes.as_chunks().0.iter().map(|&bytes| i16::from_be_bytes(bytes).into()).collect()
            }
            Number::I32 => {
                bytes.as_chunks().0.iter().map(|&bytes| i32::from_be_bytes(bytes).into()).collect()
            }
            Number::F32 => {
                bytes.as_chunks().0.iter().map(|&bytes| f32::from_be_bytes(bytes).into()).collect()
            }
            Number::F64 => bytes.as_chunks().0.iter().map(|&bytes| f64::from_be_bytes(bytes)).collect(),
        }
    }
}

/// Grey images of one size with their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Grey levels from 0 to 255, images x height x width.
    pub pixels: Vec<u8>,
    /// The class of each image, counted from 0.
    pub labels: Vec<u8>,
    /// The number of rows of an image.
    pub height: usize,
    /// The number of columns of an image.
    pub width: usize,
    /// The number of classes.
    pub classes: usize,
}

impl Images {
    /// Reads a file of images and a file of their labels, each plain or gzipped. `form` is a [`Form`] or just the number of
    /// classes.
    ///
    /// # Errors
    ///
    /// Returns an error with the path if a file cannot be read or has the wrong contents ([`Fault`]).
    pub fn read(images: &Path, labels: &Path, form: impl Into<Form>) -> Result<Images> {
        let open = |path| -> Result<_> { Ok((path, BufReader::new(plain::open(path)?))) };
        Images::from_streams(open(images)?, open(labels)?, form)
    }

    /// Reads images and labels as [`Images::read`] does, from streams. Each comes with the path that errors name it by.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Images::read`].
    pub fn from_streams(
        (images, pixels): (&Path, impl BufRead),
        (labels, numbers): (&Path, impl BufRead),
        form: impl Into<Form>,
    ) -> Result<Images> {
        let form = form.into();
        let (sizes, pixels) = read(images, pixels, 3, &[Number::U8])?;
        let labels_of = read_labels(labels, numbers, form)?;
        if labels_of.len() != sizes[0] {
            let other = images.to_path_buf();
            return Err(error(labels, Fault::Count { labels: labels_of.len(), images: sizes[0], other }));
        }
        let (height, width) = (sizes[1], sizes[2]);
        let images = Images { pixels: pixels.bytes, labels: labels_of, height, width, classes: form.classes };
        Ok(if form.transposed { images.transposed() } else { images })
    }

    /// Transposes each image.
    fn transposed(self) -> Images {
        let (height, width) = (self.width, self.height);
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for image in self.pixels.chunks_exact(height * width) {
            pixels.extend((0..height * width).map(|at| image[at % width * height + at / width]));
        }
        Images { pixels, height, width, ..self }
    }

    /// Returns the number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Returns the grey levels of one image (height x width).
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.height * self.width;
        &self.pixels[index * size..][..size]
    }

    /// Copies a range of images.
    pub fn slice(&self, range: Range<usize>) -> Images {
        let size = self.height * self.width;
        Images {
            pixels: self.pixels[range.start * size..range.end * size].to_vec(),
            labels: self.labels[range].to_vec(),
            ..*self
        }
    }

    /// Copies the images with these indices, each shifted by its move: pixels down and pixels right (negative: up, left).
    /// The uncovered border is 0.
    ///
    /// ```
    /// use em_routing::data::idx::Images;
    /// let images = Images { pixels: vec![1, 2, 3, 4, 5, 6], labels: vec![7], height: 2, width: 3, classes: 10 };
    /// assert_eq!(images.moved(&[0, 0], &[[0, 1], [-1, 0]]).pixels, [0, 1, 2, 0, 4, 5, /* the other */ 4, 5, 6, 0, 0, 0]);
    /// ```
    pub fn moved(&self, numbers: &[usize], moves: &[[isize; 2]]) -> Images {
        let mut pixels = Vec::with_capacity(numbers.len() * self.height * self.width);
        for (&number, &[down, right]) in numbers.iter().zip(moves) {
            let image = self.image(number);
            for row in 0..self.height {
                let from = row.checked_add_signed(-down).filter(|&row| row < self.height);
                pixels.extend((0..self.width).map(|column| {
                    let column = column.checked_add_signed(-right).filter(|&column| column < self.width);
                    from.zip(column).map_or(0, |(row, column)| image[row * self.width + column])
                }));
            }
        }
        Images { pixels, labels: numbers.iter().map(|&number| self.labels[number]).collect(), ..*self }
    }

    /// Keeps the first `count` images and returns the others.
    fn split_off(&mut self, count: usize) -> Images {
        let pixels = self.pixels.split_off(count * self.height * self.width);
        Images { pixels, labels: self.labels.split_off(count), ..*self }
    }
}

/// A data set in three parts: for training, for choosing settings, and for the final test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSet {
    /// The training set: the parameters are fitted to it.
    pub train: Images,
    /// The validation set, on which every choice is made: the last training images, which are removed from `train`.
    pub validation: Images,
    /// The test set, to be used only after the recipe is final.
    pub test: Images,
}

impl ImageSet {
    /// Reads a set of ten classes, such as MNIST or Fashion-MNIST, from a folder with four files named as MNIST's
    /// (`train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and the same two with `t10k` or `test`), each plain or with
    /// the extension `.gz`. The last `validation` training images become the validation set.
    ///
    /// A dot may replace the hyphen before `idx` (`train-images.idx3-ubyte`), as with some unpackers and on Kaggle. If
    /// several of these files exist, the first in this order is read: `-idx3`, `-idx3` with `.gz`, `.idx3`, `.idx3` with
    /// `.gz`. If none exists, the names may have any prefix, such as EMNIST's (`emnist-letters-train-images-idx3-ubyte.gz`),
    /// provided that all sets in the folder have the same prefix.
    ///
    /// ```
    /// use em_routing::prelude::*;
    /// let digits = ImageSet::load(shipped::mnist_folder(), 5_000)?;
    /// assert_eq!([digits.train.len(), digits.validation.len(), digits.test.len()], [55_000, 5_000, 10_000]);
    /// assert_eq!(digits.train.labels[..5], [5, 0, 4, 1, 9]);
    /// # Ok::<(), em_routing::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error with the path if a file is missing, cannot be read or has the wrong contents ([`Fault`]). Also if
    /// the validation set leaves no training images.
    pub fn load(folder: impl AsRef<Path>, validation: usize) -> Result<ImageSet> {
        ImageSet::load_classes(folder, validation, 10)
    }

    /// Reads a set as [`ImageSet::load`] does, with another number of classes or another [`Form`].
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`ImageSet::load`].
    pub fn load_classes(
        folder: impl AsRef<Path>,
        validation: usize,
        form: impl Into<Form>,
    ) -> Result<ImageSet> {
        let (folder, form) = (folder.as_ref(), form.into());
        let (train, validation) = ImageSet::load_training(folder, validation, form)?;
        let (test, path) = part(folder, &TEST, form)?;
        let (expected, found) = ((train.height, train.width), (test.height, test.width));
        if expected != found {
            return Err(error(&path, Fault::Side { expected, found }));
        }
        Ok(ImageSet { train, validation, test })
    }

    /// Reads the training and validation sets of [`ImageSet::load_classes`] without opening the test set.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`ImageSet::load`].
    pub fn load_training(
        folder: impl AsRef<Path>,
        validation: usize,
        form: impl Into<Form>,
    ) -> Result<(Images, Images)> {
        let (mut train, _) = part(folder.as_ref(), &TRAIN, form.into())?;
        if validation >= train.len() {
            return Err(Error::Setting {
                name: "the number of validation images",
                expected: "less than the number of images to train on",
                value: validation as f64,
            });
        }
        let validation = train.split_off(train.len() - validation);
        Ok((train, validation))
    }

    /// Reads the test set of [`ImageSet::load_classes`] without opening the training images.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`ImageSet::load`].
    pub fn load_test(folder: impl AsRef<Path>, form: impl Into<Form>) -> Result<Images> {
        Ok(part(folder.as_ref(), &TEST, form.into())?.0)
    }
}

/// The names of a part of the data set (training or test) in file names.
const TRAIN: [&str; 1] = ["train"];
const TEST: [&str; 2] = ["t10k", "test"];
/// The endings of file names after the name of the part, in the order of the search.
const IMAGES: [&str; 4] =
    ["-images-idx3-ubyte", "-images-idx3-ubyte.gz", "-images.idx3-ubyte", "-images.idx3-ubyte.gz"];
const LABELS: [&str; 4] =
    ["-labels-idx1-ubyte", "-labels-idx1-ubyte.gz", "-labels.idx1-ubyte", "-labels.idx1-ubyte.gz"];

/// Reads the images of a part (training or test); also returns the path of the image file.
fn part(folder: &Path, names: &[&str], form: Form) -> Result<(Images, PathBuf)> {
    let find = |ends: &[&str], prefix: &str| {
        let names = names.iter().flat_map(|name| ends.iter().map(move |end| format!("{prefix}{name}{end}")));
        let (folders, files): (Vec<_>, Vec<_>) =
            names.map(|name| folder.join(name)).filter(|path| path.exists()).partition(|path| path.is_dir());
        files.into_iter().chain(folders).next() // a folder comes last; reading it then fails with a clear error
    };
    let missing = |ends: &[&str], prefix: &str| {
        let path = folder.join(format!("{prefix}{}{}", names[0], ends[0]));
        let words = match folder.is_dir() {
            true => {
                "there is no such file, nor one ending in .gz, with a dot before idx or with a set's name as prefix"
            }
            false => "there is no such file: its folder is missing",
        };
        Error::io(&path)(IoError::new(ErrorKind::NotFound, words))
    };
    let prefix = match find(&IMAGES, "").or_else(|| find(&LABELS, "")) {
        Some(_) => String::new(),
        None => prefix(folder)?.ok_or_else(|| missing(&IMAGES, ""))?,
    };
    let images = find(&IMAGES, &prefix).ok_or_else(|| missing(&IMAGES, &prefix))?;
    let labels = find(&LABELS, &prefix).ok_or_else(|| missing(&LABELS, &prefix))?;
    Ok((Images::read(&images, &labels, form)?, images))
}

/// Returns the common prefix of the file names of the set in this folder, if there is one.
///
/// # Errors
///
/// Returns an error with the names if the folder holds several sets.
fn prefix(folder: &Path) -> Result<Option<String>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(None) };
    let mut prefixes = std::collections::BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(Error::io(folder))?.file_name();
        let name = name.to_string_lossy();
        let parts = TRAIN.iter().chain(&TEST);
        let ends = parts.flat_map(|part| IMAGES.iter().chain(&LABELS).map(move |end| format!("{part}{end}")));
        prefixes.extend(ends.filter_map(|end| name.strip_suffix(&end).map(str::to_owned)));
    }
    prefixes.remove("");
    if prefixes.len() > 1 {
        let names: Vec<String> = prefixes.into_iter().map(|prefix| format!("{prefix}…")).collect();
        let words =
            format!("holds several sets, but each set needs its own folder; found: {}", names.join(", "));
        return Err(Error::io(folder)(IoError::new(ErrorKind::InvalidInput, words)));
    }
    Ok(prefixes.pop_first())
}

/// Reads the labels of a file, counted from 0.
fn read_labels(path: &Path, stream: impl BufRead, form: Form) -> Result<Vec<u8>> {
    const ALL: [Number; 6] = [Number::U8, Number::I8, Number::I16, Number::I32, Number::F32, Number::F64];
    let fault = |fault| Err(error(path, fault));
    let (_, Numbers { number, bytes }) = read(path, stream, 1, &ALL)?;
    let mut labels = bytes;
    if number != Number::U8 {
        let values = number.decode(&labels);
        if let Some(index) = values.iter().position(|&value| f64::from(value as u8) != value) {
            return fault(Fault::LabelValue { index, label: values[index].to_string() });
        }
        labels = values.into_iter().map(|value| value as u8).collect();
    }
    let (Some(&least), Some(&most)) = (labels.iter().min(), labels.iter().max()) else { return Ok(labels) };
    let Form { classes, first_label, .. } = form;
    let in_range = (first_label..first_label.saturating_add(classes)).contains(&usize::from(most));
    if usize::from(least) >= first_label && in_range {
        labels.iter_mut().for_each(|label| *label -= first_label as u8); // it fits in a u8
        return Ok(labels);
    }
    // labels without 0 and without gaps count from 1
    let counted = least > 0 && (least..=most).all(|label| labels.contains(&label));
    if first_label > 0 || (least == 1 && counted) {
        return fault(Fault::Labels { least, most, first: first_label.min(255) as u8, classes });
    }
    let index = labels.iter().position(|&label| label == most).unwrap_or_default();
    fault(Fault::Label { index, label: most, classes })
}

/// The numbers of a file, not yet decoded.
struct Numbers {
    number: Number,
    bytes: Vec<u8>,
}

/// Returns the sizes of a file's dimensions and its numbers. Memory is allocated only as bytes arrive, never for a size that
/// the file merely claims.
fn read(
    path: &Path,
    stream: impl BufRead,
    dimensions: usize,
    kinds: &[Number],
) -> Result<(Vec<usize>, Numbers)> {
    let fault = |fault| error(path, fault);
    let mut stream = Unpacked::new(stream).map_err(Error::io(path))?;
    let mut take = |count: u64| {
        stream.bytes(count).map_err(|unreadable| match unreadable {
            Unreadable::Packed(source) => fault(Fault::Gzip { source }),
            Unreadable::File(source) => Error::io(path)(source),
        })
    };
    let truncated = |expected, found| fault(Fault::Truncated { expected, found });
    let magic = take(4)?;
    let found: [u8; 4] = magic.as_slice().try_into().map_err(|_| truncated(4, magic.len() as u64))?;
    let [0, 0, code, count] = found else { return Err(fault(Fault::Magic { found })) };
    let number = Number::of(code).filter(|number| kinds.contains(number));
    let number = number.ok_or_else(|| fault(Fault::Kind { code }))?;
    if usize::from(count) != dimensions {
        return Err(fault(Fault::Dimensions { expected: dimensions, found: usize::from(count) }));
    }
    let header = 4 + 4 * dimensions as u64;
    let sizes = take(header - 4)?;
    if (sizes.len() as u64) < header - 4 {
        return Err(truncated(header, 4 + sizes.len() as u64));
    }
    let sizes: Vec<u32> = sizes.as_chunks().0.iter().map(|&size| u32::from_be_bytes(size)).collect();
    let length = sizes
        .iter()
        .try_fold(number.size() as u64, |length, &size| length.checked_mul(u64::from(size)))
        .filter(|&length| length > 0 && length <= isize::MAX as u64)
        .ok_or_else(|| fault(Fault::Sizes { sizes: sizes.clone() }))?;
    let bytes = take(length)?;
    if (bytes.len() as u64) < length {
        return Err(truncated(header + length, header + bytes.len() as u64));
    }
    // Reading to the end of a gzip stream also verifies its checksum.
    if !take(1)?.is_empty() {
        return Err(fault(Fault::Trailing { expected: header + length }));
    }
    Ok((sizes.into_iter().map(|size| size as usize).collect(), Numbers { number, bytes }))
}
