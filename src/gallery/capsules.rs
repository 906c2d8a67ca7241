//! Chapters 5 and 6: wholes and their parts, and EM routing in the plane.

use ndarray::Array2;

use crate::error::Result;
use crate::plot::{self, Figure, Rung, View};
use crate::routing::{
    InverseTemperature, LadderOptions, LadderStep, Parents, Routing, RoutingInput, RoutingOptions, ladder,
};
use crate::samples::{self, Wholes};

/// Iterations of the routing that is drawn.
const ITERATIONS: usize = 6;

/// The strokes of a drawing.
type Strokes = Vec<Vec<(f64, f64)>>;

/// Options for the votes of [`samples::two_wholes`]: lambda = 1 - 0.95^(t+1), and a variance floor of 0.001.
pub fn two_wholes_options(iterations: usize) -> RoutingOptions {
    RoutingOptions {
        iterations,
        inverse_temperature: InverseTemperature::Saturating { limit: 1.0 },
        variance_floor: 1e-3,
        ..RoutingOptions::default()
    }
}

/// The routing that is drawn in chapter 6, of [`samples::two_wholes`]: six iterations with [`two_wholes_options`], betas of 0.
///
/// # Errors
///
/// As [`RoutingInput::route`].
pub fn two_wholes_routing(wholes: &Wholes) -> Result<(RoutingInput, Routing)> {
    let input = wholes.input();
    let routing = input.route(&two_wholes_options(ITERATIONS))?;
    Ok((input, routing))
}

/// The titles of the rungs, in their order.
pub const RUNGS: [&str; 5] = [
    "1: Gaussian mixture",
    "2: activations",
    "3: weighted children",
    "4: cost counts mass",
    "final: M-step first",
];

/// What the five rungs go through on the votes of [`samples::two_wholes`], the first four from a start that shares out each
/// child evenly; options as in [`two_wholes_routing`].
///
/// # Errors
///
/// As [`ladder::routing_1`].
pub fn two_wholes_ladder(wholes: &Wholes, iterations: usize) -> Result<[Vec<LadderStep>; 5]> {
    let Wholes { votes, activations, .. } = wholes;
    let options = LadderOptions {
        iterations,
        inverse_temperature: InverseTemperature::Saturating { limit: 1.0 },
        variance_floor: 1e-3,
        ..LadderOptions::default()
    };
    let (children, parents, _) = votes.dim();
    let even = Array2::from_elem((children, parents), 1.0 / parents as f64);
    let start = Parents::from_responsibilities(votes, &even, &options)?;
    Ok([
        ladder::routing_1(votes, &start, &options)?,
        ladder::routing_2(votes, &start, &options)?,
        ladder::routing_3(votes, activations, &start, &options)?,
        ladder::routing_4(votes, activations, &start, &options)?,
        ladder::routing_final(votes, activations, &options)?,
    ])
}

/// Where the figures' votes come from.
pub(super) fn wholes() -> Wholes {
    samples::two_wholes(11694)
}

pub(super) fn routing_animation() -> Result<Figure> {
    let (input, routing) = two_wholes_routing(&wholes())?;
    plot::routing_animation(&input, &routing, 0)
}

pub(super) fn routing_assignments() -> Result<Figure> {
    Ok(plot::assignments(&two_wholes_routing(&wholes())?.1, 0)?.named("routing-assignments"))
}

pub(super) fn routing_curves() -> Result<Figure> {
    plot::routing_curves(&two_wholes_routing(&wholes())?.1, 0)
}

pub(super) fn routing_ladder() -> Result<Figure> {
    let Wholes { votes, activations, .. } = wholes();
    let traces = two_wholes_ladder(&wholes(), ITERATIONS)?;
    Ok(plot::ladder(&votes, &activations, &rungs(&traces))?.named("routing-ladder"))
}

pub(super) fn ladder_likelihood() -> Result<Figure> {
    let traces = two_wholes_ladder(&wholes(), 12)?;
    plot::ladder_likelihood(&rungs(&traces))
}

fn rungs(traces: &[Vec<LadderStep>; 5]) -> Vec<Rung<'_>> {
    RUNGS.into_iter().zip(traces).map(|(title, trace)| Rung { title, trace }).collect()
}

/// The parts of [`face_poses`].
pub const FACE_PARTS: [&str; 5] = ["left eye", "right eye", "nose", "mouth", "outline"];

/// The poses of a face's parts in the face's own frame (x, y, angle), whose origin is on the forehead.
const FACE: [[f64; 3]; 5] =
    [[-0.48, -0.5, 0.25], [0.48, -0.5, -0.25], [0.0, -0.95, 1.57], [0.0, -1.55, 0.0], [0.75, -1.75, 0.8]];

/// Poses of a face's parts (5 x 3: x, y and the angle in radians), where the face has the pose `face`.
pub fn face_poses(face: [f64; 3]) -> Array2<f64> {
    rows(FACE.map(|part| composed(face, part)))
}

/// The votes (5 x 3) that the parts of a face with these poses cast for the face's pose: each part's pose times its transform,
/// which is the face's pose as the part sees it.
pub fn face_votes(poses: &Array2<f64>) -> Array2<f64> {
    let vote = |i: usize| composed([poses[(i, 0)], poses[(i, 1)], poses[(i, 2)]], inverse(FACE[i]));
    rows(std::array::from_fn::<_, 5, _>(vote))
}

pub(super) fn viewpoint() -> Result<Figure> {
    // Poses as a layer below would find them: a little off.
    let off = |poses: Array2<f64>, seed: f64| {
        Array2::from_shape_fn(poses.dim(), |(i, h)| {
            let wave = (12.9898 * (i as f64 + 1.0) + 78.233 * (h as f64 + 1.0) + 37.719 * seed).sin();
            poses[(i, h)] + 0.045 * wave
        })
    };
    let upright = off(face_poses([0.0, 1.0, 0.0]), 1.0);
    let turned = off(face_poses([-0.75, 0.5, 0.87]), 2.0);
    let mut shuffled = upright.clone();
    for (i, from, shift, turn) in [
        (0, 3, [-0.3, 0.15], 0.7),
        (1, 2, [0.25, 0.0], -0.5),
        (2, 0, [0.1, 0.1], -0.9),
        (3, 1, [-0.1, 0.15], 0.4),
    ] {
        for h in 0..2 {
            shuffled[(i, h)] = upright[(from, h)] + shift[h];
        }
        shuffled[(i, 2)] = upright[(i, 2)] + turn;
    }
    let strokes = face_strokes();
    let votes = [&upright, &turned, &shuffled].map(face_votes);
    let view = |title, poses, votes| View { title, poses, votes, strokes: &strokes };
    let views = [
        view("upright", &upright, &votes[0]),
        view("turned by 50°", &turned, &votes[1]),
        view("the same parts, no face", &shuffled, &votes[2]),
    ];
    plot::viewpoint(&views, &FACE_PARTS)
}

/// Each part's strokes in its own frame.
fn face_strokes() -> Vec<Strokes> {
    let arc = |centre: (f64, f64), radii: (f64, f64), from: f64, to: f64| -> Vec<(f64, f64)> {
        let at = |i: i32| (from + (to - from) * f64::from(i) / 40.0).to_radians();
        (0..=40).map(|i| (centre.0 + radii.0 * at(i).cos(), centre.1 + radii.1 * at(i).sin())).collect()
    };
    let eye = vec![arc((0.0, 0.0), (0.26, 0.13), 0.0, 360.0)];
    let in_face = [
        vec![arc((0.0, -0.78), (0.16, 0.2), -150.0, -30.0)],
        vec![arc((0.0, -1.3), (0.42, 0.32), -155.0, -25.0)],
        vec![arc((0.0, -0.95), (1.08, 1.32), 0.0, 360.0)],
    ];
    let own = |(i, strokes): (usize, Strokes)| -> Strokes {
        let home = inverse(FACE[i + 2]);
        let seen = |(x, y): (f64, f64)| {
            let [x, y, _] = composed(home, [x, y, 0.0]);
            (x, y)
        };
        strokes.into_iter().map(|stroke| stroke.into_iter().map(seen).collect()).collect()
    };
    [eye.clone(), eye].into_iter().chain(in_face.into_iter().enumerate().map(own)).collect()
}

/// The pose whose frame has the pose `inner` in the frame of `outer`.
fn composed([x, y, angle]: [f64; 3], inner: [f64; 3]) -> [f64; 3] {
    let (sine, cosine) = angle.sin_cos();
    [x + cosine * inner[0] - sine * inner[1], y + sine * inner[0] + cosine * inner[1], angle + inner[2]]
}

fn inverse([x, y, angle]: [f64; 3]) -> [f64; 3] {
    let (sine, cosine) = angle.sin_cos();
    [-cosine * x - sine * y, sine * x - cosine * y, -angle]
}

fn rows(poses: [[f64; 3]; 5]) -> Array2<f64> {
    Array2::from(poses.to_vec())
}
