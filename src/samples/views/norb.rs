//! smallNORB's photographs, divided by azimuth or elevation.

use super::{Shot, Split, ViewSet, Views};
use crate::data::norb::{CATEGORIES, SmallNorb};
use crate::error::{Error, Result};

/// The part of a photograph that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crop {
    /// The whole photograph, with half as many rows and columns: 48 x 48 of smallNORB's 96 x 96.
    Whole,
    /// A square of 32 x 32 in the middle of that.
    Middle,
}

/// Divides smallNORB's photographs into images to train on, familiar views and novel views, as in the paper on matrix capsules.
///
/// Trained on are the training toys from a third of the azimuths (300 to 40 degrees) or of the elevations (30 to 40 degrees): 8,100
/// images. The familiar views are those of the testing toys from the same third, the novel views those from the other two thirds. Each
/// 2 x 2 pixels are averaged, as in the paper, which then crops 32 x 32: at random in training, in the middle in the tests. Here
/// [`Crop::Middle`] crops all in the middle. `camera` is 0 (left) or 1 (right).
///
/// # Errors
///
/// Returns an error if there is no such camera, if a photograph is too small for the crop, if the parts differ in size, or if one of
/// the three sets is empty.
pub fn small_norb(
    training: &SmallNorb,
    testing: &SmallNorb,
    split: Split,
    crop: Crop,
    camera: usize,
) -> Result<ViewSet> {
    let (height, width) = (training.height, training.width);
    let (expected, found) = (vec![height, width], vec![testing.height, testing.width]);
    if expected != found || height != width {
        let expected = if height == width { expected } else { vec![height, height] };
        return Err(Error::Shape { name: "a photograph", expected, found });
    }
    if camera > 1 {
        return Err(Error::Setting { name: "the camera", expected: "0 or 1", value: camera as f64 });
    }
    let half = height / 2;
    let (side, least) = match crop {
        Crop::Whole => (half, 2),
        Crop::Middle => (32, 64),
    };
    if height < least {
        let (name, expected) = ("the side of a photograph", "at least 64 (2 if it is not cropped)");
        return Err(Error::Setting { name, expected, value: height as f64 });
    }
    let part = |of: &SmallNorb, familiar: bool| {
        let (mut shots, mut numbers) = (Vec::new(), Vec::new());
        for (at, (&label, &info)) in of.categories.iter().zip(&of.info).enumerate() {
            let [instance, elevation, azimuth, light] = info.map(usize::from);
            let (azimuth, elevation) = (10 * azimuth, 30 + 5 * elevation);
            if split.is_familiar(azimuth, elevation) == familiar {
                let parameters = [azimuth, elevation, light, instance].map(|number| number as f64).to_vec();
                shots.push(Shot { label, parameters });
                numbers.push(at);
            }
        }
        if shots.is_empty() {
            return Err(Error::Empty { what: if familiar { "familiar views" } else { "novel views" } });
        }
        let names = &["azimuth", "elevation", "light", "instance"];
        Ok(Views::drawn(shots, names, side, CATEGORIES, |at, _, pixels| {
            halve(of.image(numbers[at], camera), width, (half - side) / 2, side, pixels);
        }))
    };
    Ok(ViewSet { train: part(training, true)?, familiar: part(testing, true)?, novel: part(testing, false)? })
}

/// Averages each 2 x 2 pixels, and keeps the square of `side` pixels that begins `border` pixels from the left and the top.
fn halve(image: &[u8], width: usize, border: usize, side: usize, pixels: &mut [u8]) {
    for (at, pixel) in pixels.iter_mut().enumerate() {
        let (row, column) = (2 * (border + at / side), 2 * (border + at % side));
        let sum =
            |row: usize| u16::from(image[row * width + column]) + u16::from(image[row * width + column + 1]);
        *pixel = ((sum(row) + sum(row + 1) + 2) / 4) as u8;
    }
}
