//! smallNORB's files: photographs of toys from known viewpoints, in the binary matrix format of its authors.
//!
//! [`SmallNorb::read`] reads the three files of a part. Each file begins with a magic number for the type of its numbers and the
//! number of dimensions, then come the sizes of the dimensions (at least three, padded with any number) and the numbers, with the last
//! dimension varying fastest. All are little-endian, sizes are `i32`.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use super::idx::{Unpacked, Unreadable};
use super::plain;
use crate::error::{Error, Result};

/// The kinds of numbers that the format has: the magic number and its name.
const KINDS: [(u32, &str); 6] = [
    (0x1E3D_4C51, "32-bit floats"),
    (0x1E3D_4C52, "packed numbers"),
    (0x1E3D_4C53, "64-bit floats"),
    (INTEGERS, "32-bit integers"),
    (BYTES, "bytes"),
    (0x1E3D_4C56, "16-bit integers"),
];
const INTEGERS: u32 = 0x1E3D_4C54;
const BYTES: u32 = 0x1E3D_4C55;

/// Categories of toys.
pub(crate) const CATEGORIES: usize = 5;
/// The cameras of the stereo pair.
const CAMERAS: usize = 2;
/// The numbers of a line of the info file, and how many values each may have, from 0.
const INFO: [(&str, i32); 4] = [("instance", 10), ("elevation", 9), ("azimuth", 35), ("light", 6)];

/// The reason why a file cannot be read as a part of smallNORB.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message beside each variant says what its fields are")]
#[non_exhaustive]
pub enum Fault {
    /// A truncated or damaged gzip stream.
    #[error("cannot be unpacked: {source}")]
    Gzip { source: IoError },
    /// A file that does not begin like a binary matrix; `found` holds its first four bytes.
    #[error("not a binary matrix: it begins with {found:02x?}, which is no magic number of the format")]
    Magic { found: [u8; 4] },
    /// Numbers of another kind than this file should have.
    #[error("holds {found}, but {expected} are needed")]
    Kind { expected: &'static str, found: &'static str },
    /// The wrong number of dimensions.
    #[error("has {found} dimensions, but {expected} are needed")]
    Dimensions { expected: usize, found: i32 },
    /// Sizes that do not fit the file's kind, that are not positive, or whose product overflows.
    #[error("has the sizes {found:?}, but {expected} are needed")]
    Sizes { expected: &'static str, found: Vec<i32> },
    /// A file that, unpacked, is shorter than a header, or than its header says.
    #[error("is cut off: {found} bytes, but {expected} are needed")]
    Truncated { expected: u64, found: u64 },
    /// A file that, unpacked, is longer than its header says.
    #[error("is longer than the {expected} bytes that its header promises")]
    Trailing { expected: u64 },
    /// Another number of images than in the file of the images.
    #[error("is about {found} images, but {} holds {expected}", .other.display())]
    Count { expected: usize, found: usize, other: PathBuf },
    /// A category, instance, elevation, azimuth or light that smallNORB does not have.
    #[error("image {image} has the {what} {found}, but it should be from 0 to {most}")]
    Value { what: &'static str, image: usize, found: i32, most: i32 },
}

/// A part of smallNORB: stereo pairs of photographs, their categories and their viewpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmallNorb {
    /// Grey levels, images x cameras (2) x height x width.
    pub pixels: Vec<u8>,
    /// The number of rows of a photograph.
    pub height: usize,
    /// The number of columns of a photograph.
    pub width: usize,
    /// The category of each image: animal, human, aeroplane, lorry, car.
    pub categories: Vec<u8>,
    /// The instance, elevation, azimuth and light of each image, as the files number them: an elevation is 30 degrees plus 5 times its
    /// number, an azimuth is 10 times its number.
    pub info: Vec<[u8; 4]>,
}

impl SmallNorb {
    /// Reads a part (`training` or `testing`) from a folder with its files `…-PART-dat.mat`, `…-PART-cat.mat` and `…-PART-info.mat`,
    /// each plain or with the extension `.gz`.
    ///
    /// # Errors
    ///
    /// Returns an error with the path if a file is missing, cannot be read or has the wrong contents ([`Fault`]).
    pub fn read(folder: &Path, part: &str) -> Result<SmallNorb> {
        let [images, categories, info] = ["dat", "cat", "info"].map(|kind| find(folder, part, kind));
        let (images, categories, info) = (images?, categories?, info?);
        let (sizes, pixels) =
            matrix(&images, BYTES, 4, "[images, 2, height, width]", |sizes| sizes[1] == CAMERAS)?;
        let count = sizes[0];
        let same = |path: &Path, found: usize| {
            let other = images.clone();
            let fault = Fault::Count { expected: count, found, other };
            if found == count { Ok(()) } else { Err(Error::file(path, fault)) }
        };
        let (of, bytes) = matrix(&categories, INTEGERS, 1, "[images]", |_| true)?;
        same(&categories, of[0])?;
        let category = ("category", CATEGORIES as i32);
        let labels =
            integers(&bytes).enumerate().map(|(image, found)| value(&categories, category, image, found));
        let labels = labels.collect::<Result<_>>()?;
        let (of, bytes) = matrix(&info, INTEGERS, 2, "[images, 4]", |sizes| sizes[1] == INFO.len())?;
        same(&info, of[0])?;
        let numbers =
            integers(&bytes).enumerate().map(|(at, found)| value(&info, INFO[at % 4], at / 4, found));
        let numbers: Vec<u8> = numbers.collect::<Result<_>>()?;
        let info = numbers.as_chunks().0.to_vec();
        Ok(SmallNorb { pixels, height: sizes[2], width: sizes[3], categories: labels, info })
    }

    /// Returns the grey levels of one photograph (height x width): camera 0 is the left one.
    ///
    /// # Panics
    ///
    /// Panics if there is no such image or camera.
    pub fn image(&self, index: usize, camera: usize) -> &[u8] {
        assert!(camera < CAMERAS, "there are two cameras");
        let size = self.height * self.width;
        &self.pixels[(index * CAMERAS + camera) * size..][..size]
    }
}

/// Returns the path of a file of a part. Its name may have any prefix.
fn find(folder: &Path, part: &str, kind: &str) -> Result<PathBuf> {
    let end = format!("{part}-{kind}.mat");
    let mut names: Vec<OsString> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let name = entry.map_err(Error::io(folder))?.file_name();
        let text = name.to_string_lossy();
        if text.trim_end_matches(".gz").ends_with(&end) {
            names.push(name);
        }
    }
    names.sort(); // a plain file comes before its packed copy
    let fault = |kind, words: String| Error::io(folder)(IoError::new(kind, words));
    let prefix = |name: &OsString| name.to_string_lossy().trim_end_matches(".gz").to_owned();
    match &names[..] {
        [] => Err(fault(ErrorKind::NotFound, format!("holds no file whose name ends in {end} or {end}.gz"))),
        [first, others @ ..] if others.iter().all(|other| prefix(other) == prefix(first)) => {
            Ok(folder.join(first))
        }
        _ => Err(fault(ErrorKind::InvalidInput, format!("holds several files whose names end in {end}"))),
    }
}

fn integers(bytes: &[u8]) -> impl Iterator<Item = i32> {
    bytes.as_chunks().0.iter().map(|&bytes| i32::from_le_bytes(bytes))
}

/// Checks that a number is one of the values that smallNORB has.
fn value(path: &Path, (what, values): (&'static str, i32), image: usize, found: i32) -> Result<u8> {
    let fault = Fault::Value { what, image, found, most: values - 1 };
    if (0..values).contains(&found) { Ok(found as u8) } else { Err(Error::file(path, fault)) }
}

/// Reads a file: the sizes of its dimensions and the bytes of its numbers. Memory is allocated only as bytes arrive.
fn matrix(
    path: &Path,
    kind: u32,
    dimensions: usize,
    expected: &'static str,
    fits: impl Fn(&[usize]) -> bool,
) -> Result<(Vec<usize>, Vec<u8>)> {
    let fault = |fault| Error::file(path, fault);
    let mut stream = Unpacked::new(BufReader::new(plain::open(path)?)).map_err(Error::io(path))?;
    let magic = take(path, &mut stream, 4)?;
    let magic: [u8; 4] = magic
        .as_slice()
        .try_into()
        .map_err(|_| fault(Fault::Truncated { expected: 4, found: magic.len() as u64 }))?;
    let name = |kind: u32| KINDS.iter().find(|known| known.0 == kind).map(|known| known.1);
    let number = u32::from_le_bytes(magic);
    match (name(number), name(kind)) {
        (None, _) => return Err(fault(Fault::Magic { found: magic })),
        (Some(found), Some(expected)) if number != kind => {
            return Err(fault(Fault::Kind { expected, found }));
        }
        _ => {}
    }
    let header = 8 + 4 * dimensions.max(3) as u64;
    let rest = take(path, &mut stream, header - 4)?;
    let cut = |found: u64| fault(Fault::Truncated { expected: header, found });
    let numbers: Vec<i32> = integers(&rest).collect();
    let (&found, sizes) = numbers.split_first().ok_or_else(|| cut(4 + rest.len() as u64))?;
    if found != dimensions as i32 {
        return Err(fault(Fault::Dimensions { expected: dimensions, found }));
    }
    if (rest.len() as u64) < header - 4 {
        return Err(cut(4 + rest.len() as u64));
    }
    let sizes = &sizes[..dimensions]; // what pads the header has no meaning
    let wrong = || fault(Fault::Sizes { expected, found: sizes.to_vec() });
    let counts: Vec<usize> = sizes.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
    let bytes = if kind == INTEGERS { 4u64 } else { 1 };
    let length = counts.iter().try_fold(bytes, |length, &size| length.checked_mul(size as u64));
    let length = length.filter(|&length| length > 0 && length <= isize::MAX as u64).ok_or_else(wrong)?;
    if !fits(&counts) {
        return Err(wrong());
    }
    let bytes = take(path, &mut stream, length)?;
    if (bytes.len() as u64) < length {
        let found = header + bytes.len() as u64;
        return Err(fault(Fault::Truncated { expected: header + length, found }));
    }
    // reading to the end of a gzip stream also verifies its checksum
    if !take(path, &mut stream, 1)?.is_empty() {
        return Err(fault(Fault::Trailing { expected: header + length }));
    }
    Ok((counts, bytes))
}

/// Reads at most `count` bytes.
fn take(path: &Path, stream: &mut Unpacked<impl BufRead>, count: u64) -> Result<Vec<u8>> {
    stream.bytes(count).map_err(|unreadable| match unreadable {
        Unreadable::Packed(source) => Error::file(path, Fault::Gzip { source }),
        Unreadable::File(source) => Error::io(path)(source),
    })
}
