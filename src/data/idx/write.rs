//! Writes images and labels as IDX files.

use std::path::Path;

use super::Images;
use crate::error::Result;
use crate::files;

impl Images {
    /// Writes the images and labels to a folder as `NAME-images-idx3-ubyte` and `NAME-labels-idx1-ubyte`. With the names `train` and
    /// `t10k`, [`ImageSet::load`](super::ImageSet::load) reads the folder.
    ///
    /// # Errors
    ///
    /// Returns an error with the path if a file cannot be written.
    ///
    /// # Panics
    ///
    /// Panics if a size is above 2^32 - 1.
    pub fn write(&self, folder: &Path, name: &str) -> Result<()> {
        let file = |kind: &str, sizes: &[usize], numbers: &[u8]| {
            let mut bytes = vec![0, 0, 8, sizes.len() as u8];
            for &size in sizes {
                bytes.extend(u32::try_from(size).expect("a size fits in 32 bits").to_be_bytes());
            }
            bytes.extend(numbers);
            files::write(&folder.join(format!("{name}-{kind}-ubyte")), &bytes)
        };
        file("images-idx3", &[self.len(), self.height, self.width], &self.pixels)?;
        file("labels-idx1", &[self.len()], &self.labels)
    }
}
