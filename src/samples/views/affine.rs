//! Digits under random affine maps, in the ranges of affNIST.

use rand::Rng;

use super::{Shot, ViewSet, Views, grey, random};
use crate::data::idx::{ImageSet, Images};
use crate::error::{Error, Result};

/// The side of an image with an affine digit, in pixels.
pub const SIDE: usize = 40;
const NAMES: [&str; 6] = ["rotation", "shear", "vertical-scale", "horizontal-scale", "down", "right"];
/// The largest rotation, in degrees.
const ROTATION: f64 = 20.0;
const SHEAR: f64 = 0.2;
/// The scales lie between 1 - SCALE and 1 + SCALE.
const SCALE: f64 = 0.2;

/// Draws affine views of a set of images such as MNIST, in images of 40 x 40 pixels. The sides of the given images must be at most 28.
///
/// The training images and the familiar test images are only shifted, to anywhere within the 40 x 40 pixels. The novel test images are
/// the same test digits, rotated by up to 20 degrees, sheared by up to 0.2 and scaled by 0.8 to 1.2 in each direction, then shifted;
/// all are drawn uniformly, as in affNIST. No stroke leaves the image, unless it is too large for it. The validation images are not used. The same seed gives the
/// same images.
///
/// # Errors
///
/// Returns an error if the images are larger than 28 x 28.
pub fn affine_digits(set: &ImageSet, seed: u64) -> Result<ViewSet> {
    for images in [&set.train, &set.test] {
        let side = images.height.max(images.width);
        if side > 28 {
            let (name, expected) = ("the side of a digit", "at most 28");
            return Err(Error::Setting { name, expected, value: side as f64 });
        }
    }
    let part = |images: &Images, affine: bool, part: u64| {
        let shot = |at: usize| {
            let mut rng = random(seed, part + at as u64);
            let mut map = [0.0, 0.0, 1.0, 1.0];
            if affine {
                let mut within = |most: f64| rng.gen_range(-most..=most);
                map = [within(ROTATION), within(SHEAR), 1.0 + within(SCALE), 1.0 + within(SCALE)];
            }
            let shift = shift(images, at, &matrix(map), &mut rng);
            Shot { label: images.labels[at], parameters: [&map[..], &shift].concat() }
        };
        let shots = (0..images.len()).map(shot).collect();
        Views::drawn(shots, &NAMES, SIDE, images.classes, |at, shot, pixels| {
            let [rotation, shear, vertical, horizontal, down, right] = shot.parameters[..] else {
                unreachable!("as made above")
            };
            draw(images, at, &matrix([rotation, shear, vertical, horizontal]), [down, right], pixels);
        })
    };
    let (train, familiar) = (part(&set.train, false, 0), part(&set.test, false, 1 << 32));
    Ok(ViewSet { train, familiar, novel: part(&set.test, true, 2 << 32) })
}

/// Returns the matrix that maps (down, right) from the middle of a digit: it scales, then shears, then rotates.
fn matrix([rotation, shear, vertical, horizontal]: [f64; 4]) -> [[f64; 2]; 2] {
    let (sin, cos) = rotation.to_radians().sin_cos();
    // down' = vertical down; right' = horizontal right + shear vertical down
    let sheared = [[vertical, 0.0], [shear * vertical, horizontal]];
    [[cos, sin], [-sin, cos]].map(|[a, b]| [0, 1].map(|k| a * sheared[0][k] + b * sheared[1][k]))
}

/// Draws a shift, down and right, that leaves the whole ink of the mapped digit in the image; none if the ink fills the image.
fn shift(images: &Images, at: usize, matrix: &[[f64; 2]; 2], rng: &mut impl Rng) -> [f64; 2] {
    let (height, width) = (images.height as f64, images.width as f64);
    let ink = images.image(at).iter().enumerate().filter(|(_, level)| **level > 0);
    let places: Vec<[f64; 2]> = ink
        .map(|(at, _)| {
            let row = (at / images.width) as f64 + 0.5 - height / 2.0;
            let column = (at % images.width) as f64 + 0.5 - width / 2.0;
            [row, column]
        })
        .collect();
    [0, 1].map(|axis| {
        let [a, b] = matrix[axis];
        let mapped = places.iter().map(|[row, column]| a * row + b * column);
        let (least, most) =
            mapped.fold((0.0, 0.0), |(least, most): (f64, f64), x| (least.min(x), most.max(x)));
        // a pixel reaches at most this far from its middle, also after interpolation
        let pixel = a.abs() + b.abs();
        let room = SIDE as f64 / 2.0 - pixel;
        let (first, last) = ((-room - least).ceil(), (room - most).floor());
        if first <= last { rng.gen_range(first as i64..=last as i64) as f64 } else { 0.0 }
    })
}

/// Draws the mapped digit with bilinear interpolation.
fn draw(images: &Images, at: usize, matrix: &[[f64; 2]; 2], shift: [f64; 2], pixels: &mut [u8]) {
    let (image, height, width) = (images.image(at), images.height as isize, images.width as isize);
    let [[a, b], [c, d]] = *matrix;
    let determinant = a * d - b * c;
    let level = |row: isize, column: isize| {
        let inside = (0..height).contains(&row) && (0..width).contains(&column);
        if inside { f64::from(image[(row * width + column) as usize]) / 255.0 } else { 0.0 }
    };
    for (at, pixel) in pixels.iter_mut().enumerate() {
        let place = |at: usize, shift: f64| at as f64 + 0.5 - SIDE as f64 / 2.0 - shift;
        let (down, right) = (place(at / SIDE, shift[0]), place(at % SIDE, shift[1]));
        let row = (d * down - b * right) / determinant + height as f64 / 2.0 - 0.5;
        let column = (a * right - c * down) / determinant + width as f64 / 2.0 - 0.5;
        let (first_row, first_column) = (row.floor(), column.floor());
        let (share_down, share_right) = (row - first_row, column - first_column);
        let mut sum = 0.0;
        for (i, weight_down) in [(0, 1.0 - share_down), (1, share_down)] {
            for (j, weight_right) in [(0, 1.0 - share_right), (1, share_right)] {
                sum += weight_down * weight_right * level(first_row as isize + i, first_column as isize + j);
            }
        }
        *pixel = grey(sum);
    }
}
