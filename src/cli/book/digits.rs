//! The digits on which a page trains: fewer than MNIST has, so that they load in seconds.

use std::io::Write;
use std::path::Path;

use em_routing::data::idx::ImageSet;
use em_routing::shipped;
use flate2::{Compression, write::GzEncoder};

use crate::cli::failure::{AtPath, Outcome};

/// The number of digits to train on, the first of the training images.
const TRAINING: usize = 11_000;
/// The number of digits held out, the first of the validation images. The module knows it too (book/live/src/network/train/).
const HELD_OUT: usize = 2_000;
/// The number of validation images in the chapters.
const VALIDATION: usize = 5_000;

/// Writes the digits as a pair of IDX files, packed by gzip, those that are held out last.
pub fn write(folder: &Path) -> Outcome<()> {
    let (train, validation) = ImageSet::load_training(shipped::mnist_folder(), VALIDATION, 10)?;
    let parts = [train.slice(0..TRAINING), validation.slice(0..HELD_OUT)];
    let count = (TRAINING + HELD_OUT) as u32;
    let sizes = [count, train.height as u32, train.width as u32];
    pack(folder, "digits-images.gz", &sizes, parts.each_ref().map(|part| &part.pixels[..]))?;
    pack(folder, "digits-labels.gz", &sizes[..1], parts.each_ref().map(|part| &part.labels[..]))
}

fn pack(folder: &Path, name: &str, sizes: &[u32], parts: [&[u8]; 2]) -> Outcome<()> {
    let path = folder.join(name);
    let packed = || {
        let mut file = GzEncoder::new(Vec::new(), Compression::best());
        file.write_all(&[0, 0, 8, sizes.len() as u8])?;
        for part in sizes.iter().map(|size| size.to_be_bytes()) {
            file.write_all(&part)?;
        }
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.finish()
    };
    std::fs::write(&path, packed().at(&path)?).at(&path)
}
