//! Five shapes made of points in space: a small published test of novel viewpoints.

use rand::Rng;
use rand_distr::StandardNormal;

use super::{Shot, ViewSet, Views, check_side, grey, random, shuffled};
use crate::error::{Error, Result};

/// The names of the shapes, by class.
pub const NAMES: [&str; 5] = ["cross", "L", "T", "wire frame", "tripod"];

/// The side of the published images, in pixels, for which the other lengths are given.
pub const PUBLISHED_SIDE: usize = 32;
const SIDE: f64 = PUBLISHED_SIDE as f64;
/// The standard deviation of a point's blob, in pixels.
const BLOB: f64 = 1.6;
/// The pixels between a shape's cube and the border.
const MARGIN: f64 = 4.0;
/// The standard deviation of the noise of a pixel.
const NOISE: f64 = 0.04;
/// The elevations of all views, in degrees.
pub const ELEVATIONS: [f64; 3] = [10.0, 30.0, 50.0];
/// The azimuths of familiar views, in degrees.
pub const FAMILIAR: [f64; 6] = [0.0, 30.0, 60.0, 90.0, 120.0, 150.0];
const NOVEL: [f64; 6] = [200.0, 226.0, 252.0, 278.0, 304.0, 330.0];

type Point = [f64; 3];

/// Draws five shapes (cross, L, T, wire frame, tripod) as blobs at points in space, in images of `side` x `side` pixels.
///
/// Training has 450 images: azimuths from 0 to 150 degrees (6), elevations from 10 to 50 degrees (3), five noisy copies of each view.
/// The familiar test has 180 images of the same views with other noise, the novel test 180 images of azimuths from 200 to 330 degrees.
/// The settings are those of `smallnorb-novel-viewpoint` in cybertronai/hinton-problems; for other sides than 32, its lengths are
/// scaled. The same seed gives the same images.
///
/// # Errors
///
/// Returns an error if `side` is not from 16 to 256.
pub fn shapes(side: usize, seed: u64) -> Result<ViewSet> {
    check_side(side)?;
    let part = |azimuths: [f64; 6], copies: usize, part: u64| {
        let mut shots = Vec::new();
        for label in 0..NAMES.len() {
            for azimuth in azimuths {
                for elevation in ELEVATIONS {
                    shots.extend((0..copies).map(|_| shot(label, azimuth, elevation)));
                }
            }
        }
        drawn(shuffled(shots, seed, part), side, seed, part + 1)
    };
    // streams of the random numbers: one for the order of each part, then one for each image
    Ok(ViewSet {
        train: part(FAMILIAR, 5, 0),
        familiar: part(FAMILIAR, 2, 1 << 32),
        novel: part(NOVEL, 2, 2 << 32),
    })
}

/// Draws chosen views of the five shapes of [`shapes`], in images of `side` x `side` pixels. A view is a class from 0 to 4, an azimuth
/// and an elevation, in degrees. The same seed gives the same images.
///
/// # Errors
///
/// Returns an error if `side` is not from 16 to 256, if there is no such class, or if an angle is not finite.
pub fn shape_views(side: usize, views: &[(usize, f64, f64)], seed: u64) -> Result<Views> {
    check_side(side)?;
    for &(class, azimuth, elevation) in views {
        Error::check_labels("view", &[class], NAMES.len(), "shapes")?;
        for (name, value) in [("the azimuth of a view", azimuth), ("the elevation of a view", elevation)] {
            if !value.is_finite() {
                return Err(Error::Setting { name, expected: "finite", value });
            }
        }
    }
    let shots = views.iter().map(|&(class, azimuth, elevation)| shot(class, azimuth, elevation));
    Ok(drawn(shots.collect(), side, seed, 3 << 32))
}

fn shot(label: usize, azimuth: f64, elevation: f64) -> Shot {
    Shot { label: label as u8, parameters: vec![azimuth, elevation] }
}

/// Draws the shots, the noise of each from a random stream of its own, counted from `first`.
fn drawn(shots: Vec<Shot>, side: usize, seed: u64, first: u64) -> Views {
    let bodies = bodies();
    Views::drawn(shots, &["azimuth", "elevation"], side, bodies.len(), |at, shot, pixels| {
        let rng = &mut random(seed, first + at as u64);
        draw(&bodies[usize::from(shot.label)], shot.parameters[0], shot.parameters[1], side, rng, pixels);
    })
}

/// Draws an orthographic view: a blob for each point, brighter if it is nearer.
fn draw(points: &[Point], azimuth: f64, elevation: f64, side: usize, rng: &mut impl Rng, pixels: &mut [u8]) {
    let ((sin_a, cos_a), (sin_e, cos_e)) = (azimuth.to_radians().sin_cos(), elevation.to_radians().sin_cos());
    let scale = side as f64 / SIDE;
    let place = |x: f64| scale * ((x + 1.0) / 2.0 * (SIDE - 2.0 * MARGIN) + MARGIN);
    let mut image = vec![0.0; pixels.len()];
    for &[x, y, z] in points {
        // about the vertical axis y, then about the horizontal axis x
        let (x, z) = (cos_a * x + sin_a * z, cos_a * z - sin_a * x);
        let (y, z) = (cos_e * y - sin_e * z, sin_e * y + cos_e * z);
        let (light, column, row) = (0.6 + 0.2 * (z + 1.0), place(x), place(-y));
        for (at, level) in image.iter_mut().enumerate() {
            let (dx, dy) = ((at % side) as f64 - column, (at / side) as f64 - row);
            *level += light * (-(dx * dx + dy * dy) / (2.0 * (scale * BLOB).powi(2))).exp();
        }
    }
    for (pixel, level) in pixels.iter_mut().zip(image) {
        let noise: f64 = rng.sample(StandardNormal);
        *pixel = grey(level.clamp(0.0, 1.0) + NOISE * noise);
    }
}

/// Returns `count` numbers at equal distances from `first` to `last`.
fn steps(first: f64, last: f64, count: usize) -> impl Iterator<Item = f64> {
    (0..count).map(move |at| first + (last - first) * at as f64 / (count - 1) as f64)
}

/// Returns the points of each shape, in the cube from -1 to 1.
fn bodies() -> [Vec<Point>; 5] {
    let axes = |d: f64| [[d, 0.0, 0.0], [0.0, d, 0.0], [0.0, 0.0, d]];
    let middle = || std::iter::once([0.0; 3]);
    let cross = middle().chain([-0.7, -0.35, 0.35, 0.7].into_iter().flat_map(axes));
    let ell = steps(-0.8, 0.8, 9).map(|d| [d, -0.7, -0.6]);
    let ell = ell.chain(steps(-0.6, 0.8, 8).map(|d| [-0.8, d, -0.6]));
    let ell = ell.chain(steps(-0.5, 0.5, 5).map(|d| [-0.8, -0.7, d]));
    let tee = steps(-0.8, 0.8, 9).map(|d| [d, 0.7, 0.0]);
    let tee = tee.chain(steps(-0.7, 0.6, 7).map(|d| [0.0, d, 0.0]));
    let tee = tee.chain(steps(-0.4, 0.4, 5).map(|d| [0.0, 0.7, d]));
    // the twelve edges of a cube: along each axis, one for each pair of signs of the other two
    let edge = |axis: usize, signs: usize, d: f64| {
        let mut point = [d; 3];
        point[(axis + 1) % 3] = if signs & 1 == 0 { -0.7 } else { 0.7 };
        point[(axis + 2) % 3] = if signs & 2 == 0 { -0.7 } else { 0.7 };
        point
    };
    let edges = (0..12).map(|at| (at / 4, at % 4));
    let frame = edges.flat_map(|(axis, signs)| steps(-0.7, 0.7, 5).map(move |d| edge(axis, signs, d)));
    let legs = |d: f64| [[d, 0.0, 0.0], [0.0, d, 0.0], [-0.7 * d; 3]];
    let tripod = middle().chain(steps(0.0, 0.85, 6).skip(1).flat_map(legs));
    [cross.collect(), ell.collect(), tee.collect(), frame.collect(), tripod.collect()]
}
