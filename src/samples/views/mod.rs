//! Images with known viewpoints, to measure how well a network classifies views that training never showed.
//!
//! [`shapes`] and [`solids`] draw views of bodies in space, [`shape_views`] draws chosen views, [`affine_digits`] moves digits in the
//! plane, and [`small_norb`] divides the photographs of smallNORB. All but [`shape_views`] return a [`ViewSet`].

mod affine;
mod bodies;
mod norb;
mod points;
mod rays;

use std::path::Path;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

pub use self::affine::{SIDE as AFFINE_SIDE, affine_digits};
pub use self::bodies::solids;
pub use self::norb::{Crop, small_norb};
pub use self::points::{
    ELEVATIONS as SHAPE_ELEVATIONS, FAMILIAR as FAMILIAR_SHAPE_AZIMUTHS, NAMES as SHAPE_NAMES,
    PUBLISHED_SIDE as SHAPE_SIDE, shape_views, shapes,
};
use crate::compute::for_each_chunk;
use crate::data::idx::Images;
use crate::error::{Error, Result};
use crate::files;

/// Images and what is known of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Views {
    /// The images and their labels.
    pub images: Images,
    /// The names of the columns of `parameters`, such as `azimuth`.
    pub names: &'static [&'static str],
    /// The parameters of each image, in the order of the images. Angles are in degrees.
    pub parameters: Vec<Vec<f64>>,
}

/// Images to train on, and two test sets: familiar views are as in training, novel views are not.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewSet {
    /// The images to train on.
    pub train: Views,
    /// Other images of the views in training.
    pub familiar: Views,
    /// Images of other views.
    pub novel: Views,
}

/// The viewpoint in which novel views differ from familiar ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// The direction from which the camera looks.
    Azimuth,
    /// The height from which the camera looks.
    Elevation,
}

/// The azimuths of familiar views of [`solids`] and [`small_norb`], in degrees, as in the paper on matrix capsules.
pub const FAMILIAR_AZIMUTHS: [usize; 6] = [300, 320, 340, 0, 20, 40];
/// The highest elevation of familiar views, in degrees; the others are 30 and 35.
const FAMILIAR_ELEVATION: usize = 40;

impl Split {
    /// Whether a view from this azimuth and elevation, in degrees, is familiar: a third of the views are.
    fn is_familiar(self, azimuth: usize, elevation: usize) -> bool {
        match self {
            Split::Azimuth => FAMILIAR_AZIMUTHS.contains(&azimuth),
            Split::Elevation => elevation <= FAMILIAR_ELEVATION,
        }
    }
}

/// The label and the parameters of an image that is not drawn yet.
struct Shot {
    label: u8,
    parameters: Vec<f64>,
}

impl Views {
    /// Draws an image of `side` x `side` pixels for each shot, on all cores. `draw` gets the number of the shot and the pixels.
    fn drawn(
        shots: Vec<Shot>,
        names: &'static [&'static str],
        side: usize,
        classes: usize,
        draw: impl Fn(usize, &Shot, &mut [u8]) + Sync,
    ) -> Views {
        let mut pixels = vec![0; shots.len() * side * side];
        let images = pixels.chunks_exact_mut(side * side).zip(&shots).enumerate();
        let work = |(): &mut (), (at, (pixels, shot)): (usize, (&mut [u8], &Shot))| {
            draw(at, shot, pixels);
            Ok(())
        };
        for_each_chunk(images, 0, || (), work).expect("no image returns an error");
        let labels = shots.iter().map(|shot| shot.label).collect();
        let parameters = shots.into_iter().map(|shot| shot.parameters).collect();
        Views { images: Images { pixels, labels, height: side, width: side, classes }, names, parameters }
    }

    /// Returns the labels and parameters as CSV, with a header and a line for each image.
    pub fn csv(&self) -> String {
        let mut text = format!("label,{}\n", self.names.join(","));
        for (label, parameters) in self.images.labels.iter().zip(&self.parameters) {
            text += &label.to_string();
            parameters.iter().for_each(|parameter| text += &format!(",{parameter}"));
            text.push('\n');
        }
        text
    }

    fn write(&self, folder: &Path, name: &str) -> Result<()> {
        // an older set's table goes first, so that it never stands beside images of this set
        let table = folder.join(format!("{name}.csv"));
        match std::fs::remove_file(&table) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(&table)(error));
            }
            _ => self.images.write(folder, name)?,
        }
        files::write(&table, self.csv().as_bytes())
    }
}

impl ViewSet {
    /// Writes the set as IDX files, each with a table of its parameters (`train.csv`, `t10k.csv`). `familiar/` in this folder holds
    /// the training images and the familiar test images, `novel/` the novel test images.
    ///
    /// # Errors
    ///
    /// Returns an error with the path if a folder or a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let [familiar, novel] = ["familiar", "novel"].map(|name| folder.join(name));
        for folder in [&familiar, &novel] {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        self.train.write(&familiar, "train")?;
        self.familiar.write(&familiar, "t10k")?;
        self.novel.write(&novel, "t10k")
    }
}

/// Shuffles the shots of a part of a set. Each part has a random stream of its own.
fn shuffled(mut shots: Vec<Shot>, seed: u64, part: u64) -> Vec<Shot> {
    shots.shuffle(&mut random(seed, part));
    shots
}

fn random(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Checks that an image has a side from 16 to 256 pixels.
fn check_side(side: usize) -> Result<()> {
    if (16..=256).contains(&side) {
        return Ok(());
    }
    Err(Error::Setting { name: "the side of an image", expected: "from 16 to 256", value: side as f64 })
}

/// Returns the grey level of a brightness from 0 to 1.
fn grey(brightness: f64) -> u8 {
    (255.0 * brightness.clamp(0.0, 1.0)).round() as u8
}
