//! IDX files, plain or gzipped: the images and labels of MNIST and of the sets that come in its form.
//!
//! A file begins with two zero bytes, the kind of its numbers (8: bytes) and the count of its dimensions; each dimension's size
//! follows as a big-endian `u32`, then the numbers, the last dimension running fastest.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};

/// What keeps a file from being read as images or labels.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A gzip stream that is cut off or damaged.
    Gzip {
        /// The unpacker's own words.
        message: String,
    },
    /// It does not begin as an IDX file does.
    Magic {
        /// Its first four bytes.
        found: [u8; 4],
    },
    /// Numbers of another kind than bytes.
    Kind {
        /// The format's code of the kind.
        code: u8,
    },
    /// Another count of dimensions: 3 for images, 1 for labels.
    Dimensions {
        /// What is needed.
        expected: usize,
        /// What it has.
        found: usize,
    },
    /// A dimension of size 0, or more bytes than can be counted.
    Sizes {
        /// The sizes of the dimensions.
        sizes: Vec<u32>,
    },
    /// Fewer bytes, unpacked, than its header promises.
    Truncated {
        /// The bytes that it should have.
        expected: u64,
        /// The bytes that it has.
        found: u64,
    },
    /// More bytes, unpacked, than its header promises.
    Trailing {
        /// The bytes that it should have.
        expected: u64,
    },
    /// Not one label for each image.
    Count {
        /// The labels of this file.
        labels: usize,
        /// The images of the other.
        images: usize,
        /// The file of the images.
        other: PathBuf,
    },
    /// A label that names no class.
    Label {
        /// The image.
        index: usize,
        /// Its label.
        label: u8,
        /// The number of classes; labels run from 0 to one less.
        classes: usize,
    },
    /// Images of another size than those to train on.
    Side {
        /// Height and width of the images to train on.
        expected: (usize, usize),
        /// Height and width of these.
        found: (usize, usize),
    },
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Gzip { message } => write!(f, "cannot be unpacked: {message}"),
            Fault::Magic { found } => {
                write!(f, "not an IDX file: it begins with {found:02x?}, not with two zero bytes")
            }
            Fault::Kind { code } => {
                write!(f, "holds numbers of the kind {code:#04x}, but bytes (0x08) are needed")
            }
            Fault::Dimensions { expected, found } => {
                write!(f, "has {found} dimensions, but {expected} are needed (images have 3, labels 1)")
            }
            Fault::Sizes { sizes } => write!(f, "has the sizes {sizes:?}: empty, or too large to be true"),
            Fault::Truncated { expected, found } => {
                write!(f, "is cut off: {found} bytes, but its header promises {expected}")
            }
            Fault::Trailing { expected } => {
                write!(f, "goes on after the {expected} bytes that its header promises")
            }
            Fault::Count { labels, images, other } => {
                write!(f, "holds {labels} labels, but {} holds {images} images", other.display())
            }
            Fault::Label { index, label, classes } => {
                write!(f, "image {index} has label {label}, but there are only {classes} classes (from 0)")
            }
            Fault::Side { expected: (rows, columns), found: (height, width) } => {
                write!(f, "its images are {height} x {width}, but those to train on are {rows} x {columns}")
            }
        }
    }
}

/// Grey images of one size, each with the label of its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Grey levels (images x height x width), 0 to 255.
    pub pixels: Vec<u8>,
    /// The class of each image, from 0.
    pub labels: Vec<u8>,
    /// The rows of an image.
    pub height: usize,
    /// The columns of an image.
    pub width: usize,
    /// The number of classes.
    pub classes: usize,
}

impl Images {
    /// Reads a file of images and the file of their labels, each plain or gzipped.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is not what it should be ([`Fault`]), with its path.
    pub fn read(images: &Path, labels: &Path, classes: usize) -> Result<Images> {
        let (sizes, pixels) = read(images, 3)?;
        let (_, values) = read(labels, 1)?;
        let fault = |fault| Error::Idx { path: labels.to_path_buf(), fault };
        if values.len() != sizes[0] {
            let other = images.to_path_buf();
            return Err(fault(Fault::Count { labels: values.len(), images: sizes[0], other }));
        }
        if let Some(index) = values.iter().position(|&label| usize::from(label) >= classes) {
            return Err(fault(Fault::Label { index, label: values[index], classes }));
        }
        Ok(Images { pixels, labels: values, height: sizes[1], width: sizes[2], classes })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The grey levels of one image (height x width).
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.height * self.width;
        &self.pixels[index * size..][..size]
    }

    /// A copy of some images that stand one after another.
    pub fn slice(&self, range: Range<usize>) -> Images {
        let size = self.height * self.width;
        Images {
            pixels: self.pixels[range.start * size..range.end * size].to_vec(),
            labels: self.labels[range].to_vec(),
            ..*self
        }
    }

    /// Copies of these images, each moved so many pixels down and to the right; negative ones: up and to the left. What comes in
    /// is 0.
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

    /// Keeps the first `count` images, and gives the others.
    fn split_off(&mut self, count: usize) -> Images {
        let pixels = self.pixels.split_off(count * self.height * self.width);
        Images { pixels, labels: self.labels.split_off(count), ..*self }
    }
}

/// The three parts of a set: to learn from, to choose by, and to report on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSet {
    /// What parameters are fitted to.
    pub train: Images,
    /// What every choice is made on: the last of the images to train on, which are taken from those.
    pub validation: Images,
    /// What only the finished recipe sees.
    pub test: Images,
}

impl ImageSet {
    /// Reads a set of ten classes, as MNIST and Fashion-MNIST are, from a folder with the four files of MNIST's names
    /// (`train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and the same two with `t10k`), each plain or with `.gz` at its end.
    /// The last `validation` of the images to train on become the validation set.
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
    /// A file that is missing, cannot be read or is not what it should be ([`Fault`]), with its path; a validation set that
    /// leaves nothing to train on.
    pub fn load(folder: impl AsRef<Path>, validation: usize) -> Result<ImageSet> {
        ImageSet::load_classes(folder, validation, 10)
    }

    /// [`ImageSet::load`] with another number of classes, at most 256.
    ///
    /// # Errors
    ///
    /// Those of [`ImageSet::load`].
    pub fn load_classes(folder: impl AsRef<Path>, validation: usize, classes: usize) -> Result<ImageSet> {
        let folder = folder.as_ref();
        let (train, validation) = ImageSet::load_training(folder, validation, classes)?;
        let (test, path) = part(folder, "t10k", classes)?;
        let (expected, found) = ((train.height, train.width), (test.height, test.width));
        if expected != found {
            return Err(Error::Idx { path, fault: Fault::Side { expected, found } });
        }
        Ok(ImageSet { train, validation, test })
    }

    /// The images to train on and the validation set of [`ImageSet::load_classes`]; the test set is not opened.
    ///
    /// # Errors
    ///
    /// Those of [`ImageSet::load`].
    pub fn load_training(
        folder: impl AsRef<Path>,
        validation: usize,
        classes: usize,
    ) -> Result<(Images, Images)> {
        let (mut train, _) = part(folder.as_ref(), "train", classes)?;
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

    /// The test set of [`ImageSet::load_classes`]; the images to train on are not opened.
    ///
    /// # Errors
    ///
    /// Those of [`ImageSet::load`].
    pub fn load_test(folder: impl AsRef<Path>, classes: usize) -> Result<Images> {
        Ok(part(folder.as_ref(), "t10k", classes)?.0)
    }
}

/// The images whose files' names begin so, with the path of their pixels.
fn part(folder: &Path, name: &str, classes: usize) -> Result<(Images, PathBuf)> {
    let images = find(folder, &format!("{name}-images-idx3-ubyte"))?;
    let labels = find(folder, &format!("{name}-labels-idx1-ubyte"))?;
    Ok((Images::read(&images, &labels, classes)?, images))
}

/// The file of this name, or else the one with `.gz` at its end.
fn find(folder: &Path, name: &str) -> Result<PathBuf> {
    let plain = folder.join(name);
    let packed = folder.join(format!("{name}.gz"));
    if plain.exists() {
        Ok(plain)
    } else if packed.exists() {
        Ok(packed)
    } else {
        let words = "there is no such file, and none with .gz at its end";
        Err(Error::io(&plain)(std::io::Error::new(ErrorKind::NotFound, words)))
    }
}

/// The sizes of a file's dimensions, and its bytes. Nothing that the file promises is allocated before it is there.
fn read(path: &Path, dimensions: usize) -> Result<(Vec<usize>, Vec<u8>)> {
    let fault = |fault| Error::Idx { path: path.to_path_buf(), fault };
    let mut file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let packed = file.fill_buf().map_err(Error::io(path))?.starts_with(&[0x1f, 0x8b]);
    let mut stream: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut take = |count: u64| {
        let mut bytes = Vec::new();
        (&mut stream).take(count).read_to_end(&mut bytes).map(|_| bytes).map_err(|source| {
            match source.kind() {
                ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof if packed => {
                    fault(Fault::Gzip { message: source.to_string() })
                }
                _ => Error::io(path)(source),
            }
        })
    };
    let truncated = |expected, found| fault(Fault::Truncated { expected, found });
    let magic = take(4)?;
    let found: [u8; 4] = magic.as_slice().try_into().map_err(|_| truncated(4, magic.len() as u64))?;
    match found {
        [0, 0, 8, count] if usize::from(count) == dimensions => {}
        [0, 0, 8, count] => {
            return Err(fault(Fault::Dimensions { expected: dimensions, found: usize::from(count) }));
        }
        [0, 0, code, _] => return Err(fault(Fault::Kind { code })),
        _ => return Err(fault(Fault::Magic { found })),
    }
    let header = 4 + 4 * dimensions as u64;
    let sizes = take(header - 4)?;
    if (sizes.len() as u64) < header - 4 {
        return Err(truncated(header, 4 + sizes.len() as u64));
    }
    let sizes: Vec<u32> = sizes.as_chunks().0.iter().map(|&size| u32::from_be_bytes(size)).collect();
    let length = sizes
        .iter()
        .try_fold(1u64, |length, &size| length.checked_mul(u64::from(size)))
        .filter(|&length| length > 0 && length <= isize::MAX as u64)
        .ok_or_else(|| fault(Fault::Sizes { sizes: sizes.clone() }))?;
    let bytes = take(length)?;
    if (bytes.len() as u64) < length {
        return Err(truncated(header + length, header + bytes.len() as u64));
    }
    // Reading on to the end of a gzip stream is also what compares its checksum.
    if !take(1)?.is_empty() {
        return Err(fault(Fault::Trailing { expected: header + length }));
    }
    Ok((sizes.into_iter().map(|size| size as usize).collect(), bytes))
}
