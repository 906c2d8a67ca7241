//! Eight children that vote for three wholes in the plane: what the live figures of chapters 6 and 7 route.

use ndarray::{Array1, Array3};

use super::form::{Control, Kind};
use super::scene::Handle;
use super::settings::Settings;
use super::{Event, unknown};
use crate::draw::{Chart, Frame, INK, Ink, Point, Side, letter};
use crate::error::Result;
use crate::samples;

pub(super) const CHILDREN: usize = 8;
pub(super) const PARENTS: usize = 3;

/// The plane of the votes.
pub(super) const X: (f64, f64) = (-5.5, 5.5);
pub(super) const Y: (f64, f64) = (-4.3, 4.3);

/// The children of [`samples::two_wholes`] that take part: three parts of A, three of B, and two faint ones that agree on C.
const CHOSEN: [usize; CHILDREN] = [0, 1, 2, 10, 11, 12, 21, 22];

/// The seed of the chapters' votes.
const SEED: u64 = 11694;

/// Votes and activations have this many decimals, so that an address stays short.
const DECIMALS: usize = 2;

/// The settings for what was dragged: votes, ordered by child and parent, and points whose y is the activation of a child.
/// What they leave out is as in the sample.
pub(super) fn controls() -> [Control; 2] {
    [
        Control::new("votes", "votes", Kind::Points, ""),
        Control::new("activations", "activations of the children", Kind::Points, ""),
    ]
}

fn drawn(seed: u64) -> (Vec<Point>, Vec<f64>) {
    let sample = samples::two_wholes(seed);
    let rounded = |value: f64| (100.0 * value).round() / 100.0;
    let vote = |i: usize, j: usize| {
        let [x, y] = [0, 1].map(|h| rounded(sample.votes[(i, j, h)]));
        (x.clamp(X.0, X.1), y.clamp(Y.0, Y.1))
    };
    let votes = CHOSEN.into_iter().flat_map(|i| (0..PARENTS).map(move |j| vote(i, j))).collect();
    (votes, CHOSEN.map(|i| rounded(sample.activations[i])).to_vec())
}

/// The votes, ordered by child and parent, and the activations of the children.
fn dragged(settings: &Settings) -> (Vec<Point>, Vec<f64>) {
    let (mut votes, mut activations) = drawn(SEED);
    for (vote, (x, y)) in votes.iter_mut().zip(settings.points("votes")) {
        *vote = (x.clamp(X.0, X.1), y.clamp(Y.0, Y.1));
    }
    for (activation, (_, a)) in activations.iter_mut().zip(settings.points("activations")) {
        *activation = a.clamp(0.0, 1.0);
    }
    (votes, activations)
}

/// The votes (children x parents x 2) and the activations of the children.
pub(super) fn input(settings: &Settings) -> (Array3<f64>, Array1<f64>) {
    let (votes, activations) = dragged(settings);
    let element = |(i, j, h): (usize, usize, usize)| {
        let (x, y) = votes[i * PARENTS + j];
        [x, y][h]
    };
    (Array3::from_shape_fn((CHILDREN, PARENTS, 2), element), activations.into())
}

pub(super) fn put_votes(settings: &mut Settings, votes: &Array3<f64>) -> Result<()> {
    let points = votes.rows().into_iter().map(|vote| (vote[0].clamp(X.0, X.1), vote[1].clamp(Y.0, Y.1)));
    settings.put_points("votes", &points.collect::<Vec<_>>(), DECIMALS)
}

pub(super) fn put_activation(settings: &mut Settings, child: usize, activation: f64) -> Result<()> {
    let mut activations = dragged(settings).1;
    activations[child] = activation.clamp(0.0, 1.0);
    let points: Vec<Point> = activations.into_iter().enumerate().map(|(i, a)| ((i + 1) as f64, a)).collect();
    settings.put_points("activations", &points, DECIMALS)
}

/// Replaces the votes by other draws. Their seed depends on the present votes, so that each press gives new ones.
pub(super) fn redraw(settings: &mut Settings) -> Result<()> {
    let (votes, _) = dragged(settings);
    let seed = votes.iter().fold(SEED, |seed, (x, y)| {
        seed.wrapping_mul(31).wrapping_add((100.0 * (x + 10.0 * y)).round() as i64 as u64)
    });
    settings.put_points("votes", &drawn(seed).0, DECIMALS)
}

/// The child and the parent of a vote's handle.
pub(super) fn vote_of(handle: &str) -> Option<(usize, usize)> {
    let all = (0..CHILDREN).flat_map(|i| (0..PARENTS).map(move |j| (i, j)));
    all.into_iter().find(|&(i, j)| vote_name(i, j) == handle)
}

fn vote_name(i: usize, j: usize) -> String {
    format!("vote-{}-{}", i + 1, letter(j))
}

/// Moves the vote or the activation of a handle.
pub(super) fn drag(settings: &mut Settings, event: &Event) -> Result<()> {
    let Event::Drag { handle, at } = event else { return Err(unknown(event)) };
    if let Some((i, j)) = vote_of(handle) {
        let mut votes = dragged(settings).0;
        votes[i * PARENTS + j] = (at.0.clamp(X.0, X.1), at.1.clamp(Y.0, Y.1));
        return settings.put_points("votes", &votes, DECIMALS);
    }
    match (0..CHILDREN).find(|&i| activation_name(i) == *handle) {
        Some(i) => put_activation(settings, i, at.0),
        None => Err(unknown(event)),
    }
}

fn activation_name(i: usize) -> String {
    format!("activation-{}", i + 1)
}

/// Writes the number of its child beside each vote, on the first side where it covers no vote and no other number. Where there is no
/// such side the number is left out: votes are that close together.
pub(super) fn draw_numbers(panel: &mut Chart, votes: &Array3<f64>) {
    const SIDES: [Point; 6] = [(8.0, -8.0), (-8.0, -8.0), (-8.0, 8.0), (8.0, 8.0), (0.0, -12.0), (0.0, 12.0)];
    let frame = panel.frame();
    let far = |(x, y): Point, (u, v): Point, apart: f64| (x - u).hypot(y - v) >= apart;
    let places: Vec<Point> = votes.rows().into_iter().map(|vote| frame.pixel((vote[0], vote[1]))).collect();
    let mut written: Vec<Point> = Vec::new();
    for (at, vote) in votes.rows().into_iter().enumerate() {
        let (x, y) = places[at];
        let is_free = |&(right, down): &Point| {
            let to = (x + right, y + down);
            places.iter().all(|&place| far(to, place, 8.0))
                && written.iter().all(|&other| far(to, other, 10.0))
        };
        if let Some(side) = SIDES.into_iter().find(is_free) {
            written.push((x + side.0, y + side.1));
            let text = (at / PARENTS + 1).to_string();
            panel.text((vote[0], vote[1]), side, Side::Middle, Ink::new(INK).size(11.0), text);
        }
    }
}

/// The handles of the votes, child by child.
pub(super) fn vote_handles(votes: &Array3<f64>, frame: Frame) -> Vec<Handle> {
    let handle = |i: usize, j: usize| Handle {
        name: vote_name(i, j),
        label: format!("vote of child {} for {}", i + 1, letter(j)),
        at: (votes[(i, j, 0)], votes[(i, j, 1)]),
        frame,
        radius: 10.0,
    };
    (0..CHILDREN).flat_map(|i| (0..PARENTS).map(move |j| handle(i, j))).collect()
}

/// The handles of the children's activations, at the ends of their bars: x from 0 to 1, and a row for each child from the top.
pub(super) fn activation_handles(activations: &Array1<f64>, frame: Frame) -> Vec<Handle> {
    let handle = |(i, &a): (usize, &f64)| Handle {
        name: activation_name(i),
        label: format!("activation of child {}", i + 1),
        at: (a, CHILDREN as f64 - i as f64 - 0.5),
        frame,
        radius: 9.0,
    };
    activations.iter().enumerate().map(handle).collect()
}
