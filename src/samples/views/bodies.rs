//! Five kinds of solid bodies in the manner of smallNORB: animals, humans, aeroplanes, lorries and cars.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::rays::{Form, Part, Scene, Vector, draw};
use super::{Shot, Split, ViewSet, Views, check_side, random, shuffled};
use crate::error::Result;

/// Instances of each kind: the first half is for training, the others are for the tests.
const INSTANCES: usize = 10;
/// Azimuths: multiples of 20 degrees.
const AZIMUTHS: usize = 18;
/// Elevations: 30 to 70 degrees in steps of 5.
const ELEVATIONS: usize = 9;
/// The direction of each light (azimuth from the camera's, elevation), the brightness in its shade, and what it adds.
const LIGHTS: [([f64; 2], f64, f64); 6] = [
    ([-60.0, 40.0], 0.25, 0.75),
    ([0.0, 60.0], 0.3, 0.7),
    ([60.0, 40.0], 0.25, 0.75),
    ([150.0, 50.0], 0.4, 0.5),
    ([10.0, 20.0], 0.2, 0.8),
    ([-120.0, 30.0], 0.4, 0.4),
];

/// The builders of the kinds, in the order of their labels.
const KINDS: [fn(&mut Proportions) -> Vec<Part>; 5] = [animal, human, aeroplane, lorry, car];

/// A body of radius 1 around the origin.
struct Body {
    parts: Vec<Part>,
    albedo: f64,
}

/// Draws five kinds of solid bodies, in the manner of smallNORB, in images of `side` x `side` pixels.
///
/// Each kind has ten instances with other proportions and another brightness; five are trained on, the other five tested on. Each is
/// seen from 18 azimuths and 9 elevations in 6 lights. Training and the familiar test see a third of the azimuths or elevations, the
/// novel test the others: 8,100, 8,100 and 16,200 images. The same seed gives the same images.
///
/// # Errors
///
/// Returns an error if `side` is not from 16 to 256.
pub fn solids(side: usize, split: Split, seed: u64) -> Result<ViewSet> {
    check_side(side)?;
    let instance = |at: usize| {
        let mut proportions = Proportions(random(seed, 3 + at as u64)); // streams 0 to 2 are the orders of the parts
        let albedo = proportions.draw(0.35, 0.95);
        Body { parts: normalised(KINDS[at / INSTANCES](&mut proportions)), albedo }
    };
    let bodies: Vec<Body> = (0..KINDS.len() * INSTANCES).map(instance).collect();
    let part = |trained: bool, familiar: bool, part: u64| {
        let instances = if trained { 0..INSTANCES / 2 } else { INSTANCES / 2..INSTANCES };
        let mut shots = Vec::new();
        for (label, instance) in (0..KINDS.len()).flat_map(|kind| instances.clone().map(move |at| (kind, at)))
        {
            for (azimuth, elevation) in
                (0..AZIMUTHS * ELEVATIONS).map(|at| (20 * (at / ELEVATIONS), 30 + 5 * (at % ELEVATIONS)))
            {
                if split.is_familiar(azimuth, elevation) == familiar {
                    shots.extend((0..LIGHTS.len()).map(|light| Shot {
                        label: label as u8,
                        parameters:
                            [azimuth, elevation, light, instance].map(|number| number as f64).to_vec(),
                    }));
                }
            }
        }
        let (shots, names) = (shuffled(shots, seed, part), &["azimuth", "elevation", "light", "instance"]);
        Views::drawn(shots, names, side, KINDS.len(), |_, shot, pixels| {
            let [azimuth, elevation, light, instance] = shot.parameters[..] else {
                unreachable!("as made above")
            };
            let body = &bodies[usize::from(shot.label) * INSTANCES + instance as usize];
            let (light, ambient, strength) = LIGHTS[light as usize];
            draw(
                &body.parts,
                body.albedo,
                &Scene { azimuth, elevation, light, ambient, strength },
                side,
                pixels,
            );
        })
    };
    Ok(ViewSet { train: part(true, true, 0), familiar: part(false, true, 1), novel: part(false, false, 2) })
}

/// Draws the proportions of an instance.
struct Proportions(ChaCha8Rng);

impl Proportions {
    fn draw(&mut self, least: f64, most: f64) -> f64 {
        self.0.gen_range(least..most)
    }
}

/// Moves and scales a body so that it fits in the ball of radius 1.
fn normalised(mut parts: Vec<Part>) -> Vec<Part> {
    // the middle of the box around the parts' centres, which are nearly symmetric
    let middle = [0, 1, 2].map(|i| {
        let ends = parts.iter().map(|part| part.centre[i]);
        0.5 * (ends.clone().fold(f64::INFINITY, f64::min) + ends.fold(f64::NEG_INFINITY, f64::max))
    });
    let radius = parts.iter().map(|part| part.reach(middle)).fold(0.0, f64::max);
    for part in &mut parts {
        part.centre = [0, 1, 2].map(|i| (part.centre[i] - middle[i]) / radius);
        part.half = part.half.map(|half| half / radius);
    }
    parts
}

/// Returns the point on the other side of the body. Its left and right are alike.
fn mirrored(at: Vector) -> Vector {
    [at[0], -at[1], at[2]]
}

/// Adds a cylinder on each side.
fn pair(parts: &mut Vec<Part>, from: Vector, to: Vector, radius: f64) {
    parts.push(Part::cylinder(from, to, radius));
    parts.push(Part::cylinder(mirrored(from), mirrored(to), radius));
}

fn animal(p: &mut Proportions) -> Vec<Part> {
    let (length, width, height) = (p.draw(0.6, 1.1), p.draw(0.22, 0.4), p.draw(0.25, 0.45));
    let (leg, thick, head) = (p.draw(0.35, 0.9), p.draw(0.06, 0.13), p.draw(0.17, 0.32));
    let body = leg + 0.6 * height;
    let neck = [length + p.draw(0.0, 0.4), 0.0, body + p.draw(0.3, 0.9)];
    let tail = [-length - p.draw(0.1, 0.5), 0.0, body + p.draw(-0.3, 0.5)];
    let mut parts = vec![
        Part::upright(Form::Ellipsoid, [0.0, 0.0, body], [length, width, height]),
        Part::upright(Form::Ellipsoid, neck, [1.4 * head, 0.8 * head, head]),
        Part::cylinder([0.75 * length, 0.0, body], neck, p.draw(0.1, 0.2)),
        Part::cylinder([-0.9 * length, 0.0, body], tail, p.draw(0.03, 0.08)),
    ];
    for x in [-0.6 * length, 0.6 * length] {
        let hip = [x, 0.6 * width, body];
        pair(&mut parts, [x, 0.7 * width, 0.0], hip, thick);
    }
    parts
}

fn human(p: &mut Proportions) -> Vec<Part> {
    let (leg, torso, head) = (p.draw(0.7, 1.0), p.draw(0.55, 0.8), p.draw(0.15, 0.24));
    let (shoulder, deep) = (p.draw(0.24, 0.38), p.draw(0.13, 0.22));
    let (stride, limb, top) = (p.draw(0.0, 0.3), p.draw(0.07, 0.12), leg + torso);
    let form = if p.draw(0.0, 1.0) < 0.5 { Form::Cuboid } else { Form::Ellipsoid };
    let mut parts = vec![
        Part::upright(form, [0.0, 0.0, leg + 0.5 * torso], [deep, shoulder, 0.55 * torso]),
        Part::upright(Form::Ellipsoid, [0.0, 0.0, top + 1.1 * head], [head, 0.85 * head, 1.15 * head]),
    ];
    for side in [-1.0, 1.0] {
        let hip = [0.0, side * 0.5 * shoulder, leg];
        parts.push(Part::cylinder([side * stride, side * 0.6 * shoulder, 0.0], hip, 1.2 * limb));
        let hand = [p.draw(-0.2, 0.6), side * (shoulder + p.draw(0.1, 0.4)), top - p.draw(0.1, 0.7)];
        parts.push(Part::cylinder([0.0, side * shoulder, top - 0.1], hand, limb));
    }
    parts
}

fn aeroplane(p: &mut Proportions) -> Vec<Part> {
    let (thick, span, chord) = (p.draw(0.1, 0.2), p.draw(0.7, 1.2), p.draw(0.12, 0.28));
    let (tail, fin, wing) = (p.draw(0.25, 0.5), p.draw(0.15, 0.35), p.draw(-0.1, 0.25));
    let height = p.draw(-0.8, 0.8) * thick;
    let flat = |x, z, chord, span| Part::upright(Form::Cuboid, [x, 0.0, z], [chord, span, 0.025]);
    let mut parts = vec![
        Part::upright(Form::Ellipsoid, [0.0; 3], [1.0, thick, 1.1 * thick]),
        flat(wing, height, chord, span),
        flat(-0.85, 0.05, 0.5 * chord, tail),
        Part::upright(Form::Cuboid, [-0.85, 0.0, fin], [0.6 * chord, 0.025, fin]),
    ];
    if p.draw(0.0, 1.0) < 0.6 {
        let (out, radius) = (p.draw(0.25, 0.5) * span, p.draw(0.05, 0.09));
        let front = [wing + 1.3 * chord, out, height - radius];
        pair(&mut parts, [wing - 0.5 * chord, out, height - radius], front, radius);
    }
    parts
}

fn lorry(p: &mut Proportions) -> Vec<Part> {
    let (length, width, wheel) = (p.draw(0.5, 0.9), p.draw(0.25, 0.35), p.draw(0.12, 0.18));
    let (load, cab, front) = (p.draw(0.2, 0.5), p.draw(0.25, 0.4), p.draw(0.18, 0.3));
    let (floor, gap) = (1.4 * wheel, p.draw(0.02, 0.12));
    let nose = length + gap + front;
    let mut parts = vec![
        Part::upright(Form::Cuboid, [0.0, 0.0, floor + load], [length, width, load]),
        Part::upright(Form::Cuboid, [nose, 0.0, floor + cab], [front, 0.95 * width, cab]),
        Part::upright(Form::Cuboid, [0.5 * (front + gap), 0.0, floor], [length + front, 0.6 * width, 0.05]),
    ];
    for x in [-0.75 * length, -0.75 * length + 2.2 * wheel, nose] {
        pair(&mut parts, [x, 0.7 * width, wheel], [x, width + 0.02, wheel], wheel);
    }
    parts
}

fn car(p: &mut Proportions) -> Vec<Part> {
    let (length, width, height) = (p.draw(0.8, 1.1), p.draw(0.36, 0.46), p.draw(0.1, 0.2));
    let (wheel, roof, cabin) = (p.draw(0.14, 0.22), p.draw(0.14, 0.26), p.draw(0.35, 0.65));
    let (middle, belt) = (p.draw(-0.35, 0.05), wheel + 2.0 * height);
    let form = if p.draw(0.0, 1.0) < 0.5 { Form::Cuboid } else { Form::Ellipsoid };
    // half of an ellipsoid is hidden in the body
    let (at, half) = if form == Form::Cuboid { (belt + roof, roof) } else { (belt, 2.0 * roof) };
    let mut parts = vec![
        Part::upright(Form::Cuboid, [0.0, 0.0, wheel + height], [length, width, height]),
        Part::upright(form, [middle * length, 0.0, at], [cabin * length, 0.85 * width, half]),
    ];
    for x in [-0.65 * length, 0.65 * length] {
        pair(&mut parts, [x, 0.75 * width, wheel], [x, width + 0.02, wheel], wheel);
    }
    parts
}
