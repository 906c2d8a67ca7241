//! Figures of chapter 5: a face, and what its parts vote for.

use std::f64::consts::FRAC_PI_2;

use ndarray::{Array1, Array2, Array3, array};

use super::{Entry, checks};
use crate::draw::{
    Axis, CARD, Chart, Figure, GREY, Grid, INK, Ink, Mark, Pen, Point, Tint, component, equal_units,
    legend_row, number, padded, ranges, stride,
};
use crate::error::{Error, Result};

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[
    ("viewpoint", three_views),
    ("face-and-hand", || {
        let (votes, activations, wholes) = face_and_hand();
        Ok(vote_panels(HAND_TITLE, &votes, &activations, &wholes, &["face", "body"])?.named("face-and-hand"))
    }),
];

/// The title of the chapter's [`vote_panels`].
pub const HAND_TITLE: &str = "Votes of four parts of a face and two hands";

/// A pose in the plane: x, y and the angle in radians, counterclockwise from the x axis.
pub type Pose = [f64; 3];

/// The parts of the face.
pub(crate) const PARTS: [&str; 4] = ["left eye", "right eye", "nose", "mouth"];

/// The poses of the parts in the face's own frame, whose origin is the nose.
pub(crate) const FACE: [Pose; 4] = [[-1.0, 1.0, 0.1], [1.0, 1.0, -0.1], [0.0, 0.0, 0.0], [0.0, -1.2, 0.0]];

/// The grey of the drawn face under the arrows.
pub(crate) const PENCIL: Tint = Tint::new([196, 192, 180], [86, 86, 83]);

/// The parts of a face as seen in one view, for [`viewpoint`].
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The view's short heading.
    pub title: &'a str,
    /// The poses of the parts (4 x 3), in the order of [`face_poses`].
    pub poses: &'a Array2<f64>,
    /// The pose of the face, if the parts form one.
    pub face: Option<Pose>,
}

/// The poses of left eye, right eye, nose and mouth (4 x 3) of a face with the pose `face`.
pub fn face_poses(face: Pose) -> Array2<f64> {
    FACE.map(|part| composed(face, part)).to_vec().into()
}

/// The votes (4 x 3) of parts with these poses (4 x 3) for the pose of the face. Each vote is the part's pose times its
/// transform, which is the face's pose in the part's frame.
pub fn face_votes(poses: &Array2<f64>) -> Array2<f64> {
    let votes: [Pose; 4] = std::array::from_fn(|i| composed(pose(poses, i), inverse(FACE[i])));
    votes.to_vec().into()
}

/// Draws views of a face's parts side by side. The upper panel shows the poses of the parts, each as a pair of arrows along
/// its x and y axes. The lower panel shows each part's vote for the face's pose, joined to the part by a dotted line.
///
/// The votes' arrows have four lengths, so all stay visible if the votes agree. Under them, a longer pair of arrows
/// shows the actual pose of the face. The spread of the votes is written above: the root mean square of the distances
/// from the mean position, and that of the deviations from the mean angle, in degrees.
///
/// # Errors
///
/// Returns an error if there are no views or more than four, if poses are not 4 x 3, or if a number is not finite or beyond
/// 1e130.
pub fn viewpoint(views: &[View]) -> Result<Figure> {
    checks::not_empty("views", views)?;
    checks::at_most("the number of views", views.len(), 4, "at most 4")?;
    let mut all: Vec<Point> = Vec::new();
    for view in views {
        checks::samples(view.poses)?;
        checks::shape("the parts' poses", &[PARTS.len(), 3], view.poses.shape())?;
        checks::finite("the pose of the face", view.face.into_iter().flatten())?;
        all.extend(checks::points(view.poses));
        all.extend(checks::points(&face_votes(view.poses)));
        all.extend(drawing(view.poses, view.face, 1.0).into_iter().flatten());
    }
    let x = padded(all.iter().map(|point| point.0), 0.05);
    let y = padded(all.iter().map(|point| point.1), 0.08);
    let room = (810.0 / views.len() as f64 - 18.0).min(400.0);
    let panel = equal_units(x, y, (room, 400.0));
    let grid = Grid { columns: views.len(), panel, gap: (18.0, 36.0), origin: (62.0, 58.0) };
    let title = "A face, turned and rearranged: poses of its parts and their votes";
    let mut chart = grid.canvas("viewpoint", title, 2 * views.len(), (16.0, 92.0), 640);
    let mut words = Vec::new();
    for (column, view) in views.iter().enumerate() {
        let votes = face_votes(view.poses);
        let (apart, turned) = dispersion(&votes);
        let (apart, turned) = (number(apart, 2), number(turned.to_degrees(), 0));
        words.push(format!("{}: the votes spread by {apart} and {turned} degrees", view.title));
        for row in 0..2 {
            let corner = grid.corner(column + row * views.len());
            let x = Axis::new("x", x.0, x.1).most(6);
            let y = Axis::new("y", y.0, y.1).most(7);
            let x = if row == 0 { x.bare() } else { x };
            let y = if column == 0 { y } else { y.bare() };
            let mut panel = chart.panel(corner, grid.panel, x, y);
            for stroke in drawing(view.poses, view.face, 1.0) {
                panel.line(stroke, Pen::new(PENCIL, 2.0).faded(if row == 0 { 1.0 } else { 0.7 }));
            }
            if row == 0 {
                draw_poses(&mut panel, view.poses);
                panel.heading(view.title, "poses of the parts");
            } else {
                draw_votes(&mut panel, view.poses, &votes, view.face);
                panel.heading("", &format!("spread of the votes: {apart}, {turned}°"));
            }
            chart.add(panel);
        }
    }
    let names = PARTS.into_iter().chain(["face"]).map(str::to_string);
    let tints = (0..PARTS.len()).map(component).chain([INK]);
    let low = grid.corner(views.len()).1 + panel.1 + 68.0;
    let end = legend_row(&mut chart, (grid.origin.0, low), 900.0, tints.map(Mark::Dot).zip(names));
    chart.note((end, low), Ink::new(GREY).plain().size(12.5), "thick arrow: x axis; thin: y axis");
    let alt = "Above, grey drawings of eyes, nose and mouth with a pair of arrows in the colour of each part. Below, dotted \
               lines from the parts to the pairs of arrows that they vote for; where the parts make a face, all lines end \
               at its nose.";
    chart.alt(format!("{alt} {}.", words.join("; "))).finish()
}

/// Returns the votes of left eye, right eye, nose, mouth, left hand and right hand for the places of a face and of a body
/// (6 x 2 x 2), their activations, and the whole that each belongs to: 0 (the face) or 1 (the body).
pub fn face_and_hand() -> (Array3<f64>, Array1<f64>, Vec<Option<usize>>) {
    let votes = array![
        [[2.0, 1.1], [-2.1, -0.4]],
        [[2.1, 0.9], [0.3, 2.6]],
        [[1.9, 1.0], [2.9, -1.6]],
        [[2.0, 1.0], [-0.8, 0.9]],
        [[-1.7, 2.2], [0.6, -2.0]],
        [[0.2, -1.3], [0.4, -2.2]],
    ];
    let wholes = [0, 0, 0, 0, 1, 1].map(Some).to_vec();
    (votes, Array1::ones(6), wholes)
}

/// Draws votes in the plane, a panel for each parent that they are cast for. A vote has the colour of the parent that its
/// child belongs to and is grey if it belongs to none; it is small if the child's activation is low.
///
/// `votes` are children x parents x 2 (x and y), `wholes` the parent of each child, and `names` those of the parents.
///
/// # Errors
///
/// Returns an error if there are no children, no parents or more than four, if votes are not points in the plane within 1e130
/// of 0, if lengths do not match, if an activation is not finite, or if a parent does not exist.
pub fn vote_panels(
    title: &str,
    votes: &Array3<f64>,
    activations: &Array1<f64>,
    wholes: &[Option<usize>],
    names: &[&str],
) -> Result<Figure> {
    let (children, parents, elements) = votes.dim();
    checks::length("a vote to be drawn in the plane", 2, elements)?;
    if votes.is_empty() {
        return Err(Error::Empty { what: "children or parents" });
    }
    checks::at_most("the number of parents", parents, 4, "at most 4")?;
    checks::length("the names of the parents", parents, names.len())?;
    checks::length("the parents of the children", children, wholes.len())?;
    checks::shape("the activations of the children", &[children], activations.shape())?;
    checks::finite("the activation of a child", activations.iter().copied())?;
    checks::entries("votes", votes.view().into_dyn())?;
    if let Some(whole) = wholes.iter().flatten().find(|&&whole| whole >= parents) {
        let (name, expected) = ("the parent of a child", "one of the parents");
        return Err(Error::Setting { name, expected, value: *whole as f64 });
    }
    let vote = |i: usize, j: usize| (votes[(i, j, 0)], votes[(i, j, 1)]);
    let all: Vec<Point> = (0..children * parents).map(|at| vote(at / parents, at % parents)).collect();
    let (x, y) = ranges(&all);
    let room = (830.0 / parents as f64 - 18.0).min(330.0);
    let grid = Grid {
        columns: parents,
        panel: equal_units(x, y, (room, 300.0)),
        gap: (18.0, 0.0),
        origin: (58.0, 44.0),
    };
    let mut chart = grid.canvas("votes", title, parents, (20.0, 88.0), 560);
    let tint = |i: usize| wholes[i].map_or(GREY, component);
    let mut words = Vec::new();
    for (j, name) in names.iter().enumerate() {
        let up = Axis::new("x_2", y.0, y.1).most(6);
        let up = if j == 0 { up } else { up.bare() };
        let mut panel = chart.panel(grid.corner(j), grid.panel, Axis::new("x_1", x.0, x.1).most(6), up);
        for i in (0..children).step_by(stride(children, 400)) {
            panel.scatter([vote(i, j)], 2.2 + 2.6 * activations[i].clamp(0.0, 1.0), tint(i), 0.9);
        }
        let (left, top) = grid.corner(j);
        let heading = format!("votes for {}{name}", if name.chars().count() > 1 { "the " } else { "" });
        panel.note((left, top - 18.0), Ink::new(component(j)).plain().bold().size(14.0), heading);
        let own = wholes.iter().filter(|whole| **whole == Some(j)).count();
        words.push(format!("{own} of {children} children belong to {name}"));
        chart.add(panel);
    }
    let mut entries: Vec<(Mark, String)> = names
        .iter()
        .enumerate()
        .map(|(j, name)| (Mark::Dot(component(j)), format!("part of {name}")))
        .collect();
    entries.retain(|(mark, _)| (0..children).any(|i| *mark == Mark::Dot(tint(i))));
    if wholes.contains(&None) {
        entries.push((Mark::Dot(GREY), "part of nothing".to_owned()));
    }
    let low = grid.corner(0).1 + grid.panel.1 + 64.0;
    let end = legend_row(&mut chart, (grid.origin.0, low), 640.0, entries);
    if activations.iter().any(|&a| a < 0.5) {
        chart.note((end, low), Ink::new(GREY).plain().size(12.5), "small: a low activation");
    }
    let alt = "A panel for each parent with the votes of all children for it, in the colour of the parent that the child \
               belongs to";
    chart.alt(format!("{alt}: {}.", words.join(", "))).finish()
}

/// Draws each part's pose as a pair of arrows.
pub(crate) fn draw_poses(panel: &mut Chart, poses: &Array2<f64>) {
    for i in 0..PARTS.len() {
        let [x, y, _] = pose(poses, i);
        frame(panel, pose(poses, i), 30.0, Pen::new(component(i), 2.6));
        panel.disc((x, y), 4.4, component(i));
        panel.dot((x, y), 2.0, CARD);
    }
}

/// Draws the face's pose and each part's vote, joined to the part by a dotted line.
pub(crate) fn draw_votes(panel: &mut Chart, poses: &Array2<f64>, votes: &Array2<f64>, face: Option<Pose>) {
    for i in 0..PARTS.len() {
        let ([x, y, _], [to_x, to_y, _]) = (pose(poses, i), pose(votes, i));
        panel.line([(x, y), (to_x, to_y)], Pen::new(component(i), 1.4).dashed(2.0, 4.0));
        panel.dot((x, y), 4.4, component(i));
        panel.dot((x, y), 2.0, CARD);
    }
    if let Some(face) = face {
        frame(panel, face, 78.0, Pen::new(INK, 1.6));
    }
    for i in 0..PARTS.len() {
        frame(panel, pose(votes, i), 60.0 - 11.0 * i as f64, Pen::new(component(i), 2.6));
    }
}

/// Draws a pair of arrows of `length` pixels along the axes of a pose; the y arrow is thinner.
fn frame(panel: &mut Chart, [x, y, angle]: Pose, length: f64, pen: Pen) {
    panel.arrow((x, y), angle + FRAC_PI_2, length, Pen { width: 0.65 * pen.width, ..pen });
    panel.arrow((x, y), angle, length, pen);
}

/// Returns the strokes of the parts as seen, and the face's outline if there is a face; `size` is 1 for a face as in [`FACE`].
pub(crate) fn drawing(poses: &Array2<f64>, face: Option<Pose>, size: f64) -> Vec<Vec<Point>> {
    let arc = |home: Pose, centre: Point, radii: Point, from: f64, to: f64| -> Vec<Point> {
        let at = |i: i32| (from + (to - from) * f64::from(i) / 40.0).to_radians();
        let own = |angle: f64| [centre.0 + radii.0 * angle.cos(), centre.1 + radii.1 * angle.sin()];
        let seen = |i: i32| composed(home, [size * own(at(i))[0], size * own(at(i))[1], 0.0]);
        (0..=40).map(seen).map(|[x, y, _]| (x, y)).collect()
    };
    let part = |i: usize| pose(poses, i);
    let mut strokes = vec![
        arc(part(0), (0.0, 0.0), (0.42, 0.21), 0.0, 360.0),
        arc(part(1), (0.0, 0.0), (0.42, 0.21), 0.0, 360.0),
        arc(part(2), (0.0, 0.15), (0.27, 0.34), -150.0, -30.0),
        arc(part(3), (0.0, 0.42), (0.72, 0.5), -155.0, -25.0),
    ];
    strokes.extend(face.map(|face| arc(face, (0.0, -0.05), (1.8, 2.15), 0.0, 360.0)));
    strokes
}

/// Draws an upright face, the same face rotated, and its parts in swapped positions. The poses have small errors, as if
/// a layer below had estimated them.
fn three_views() -> Result<Figure> {
    let off = |poses: Array2<f64>, seed: f64| {
        Array2::from_shape_fn(poses.dim(), |(i, h)| {
            let wave = (12.9898 * (i as f64 + 1.0) + 78.233 * (h as f64 + 1.0) + 37.719 * seed).sin();
            poses[(i, h)] + 0.05 * wave
        })
    };
    let (face, turned) = ([0.0, 0.0, 0.0], [0.0, 0.0, 50f64.to_radians()]);
    let upright = off(face_poses(face), 1.0);
    let shuffled = upright.select(ndarray::Axis(0), &[3, 0, 1, 2]);
    viewpoint(&[
        View { title: "upright", poses: &upright, face: Some(face) },
        View { title: "turned by 50°", poses: &off(face_poses(turned), 2.0), face: Some(turned) },
        View { title: "the same parts, no face", poses: &shuffled, face: None },
    ])
}

fn pose(poses: &Array2<f64>, i: usize) -> Pose {
    [poses[(i, 0)], poses[(i, 1)], poses[(i, 2)]]
}

/// Composes two poses: the pose `inner`, given in the frame of `outer`.
pub(crate) fn composed([x, y, angle]: Pose, inner: Pose) -> Pose {
    let (sine, cosine) = angle.sin_cos();
    [x + cosine * inner[0] - sine * inner[1], y + sine * inner[0] + cosine * inner[1], angle + inner[2]]
}

/// Inverts a pose: the pose of the outer frame, given in the frame of this pose.
pub(crate) fn inverse([x, y, angle]: Pose) -> Pose {
    let (sine, cosine) = angle.sin_cos();
    [-cosine * x - sine * y, sine * x - cosine * y, -angle]
}

/// Returns the spread of poses: the root mean square of the distances from the mean position, and that of the
/// deviations from the mean angle.
pub(crate) fn dispersion(poses: &Array2<f64>) -> (f64, f64) {
    let mean = |values: &dyn Fn(Pose) -> f64| {
        (0..poses.nrows()).map(|i| values(pose(poses, i))).sum::<f64>() / poses.nrows() as f64
    };
    let (x, y) = (mean(&|pose| pose[0]), mean(&|pose| pose[1]));
    let middle = mean(&|pose| pose[2].sin()).atan2(mean(&|pose| pose[2].cos()));
    let turned = |angle: f64| (angle - middle).sin().atan2((angle - middle).cos());
    let square = mean(&|pose| (pose[0] - x).powi(2) + (pose[1] - y).powi(2));
    (square.sqrt(), mean(&|pose| turned(pose[2]).powi(2)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_difference_of_two_angles_wraps_around_the_circle() {
        let pi = std::f64::consts::PI;
        let (apart, turned) = dispersion(&array![[1.0, 0.0, pi - 0.1], [3.0, 0.0, 0.1 - pi]]);
        assert!((apart - 1.0).abs() < 1e-12 && (turned - 0.1).abs() < 1e-12);
    }
}
