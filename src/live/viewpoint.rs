//! Chapter 5: a face whose parts vote for its pose. The whole moves, or a part alone.

use ndarray::{Array1, Array2, Array3, Array4};

use super::form::{Control, Kind};
use super::scene::{Handle, Number, Scene};
use super::settings::Settings;
use super::{Event, Live, unknown};
use crate::draw::{
    Axis, CARD, Chart, Figure, Frame, INK, Ink, Mark, Pen, Point, Side, component, legend_row, number,
};
use crate::error::Result;
use crate::figures::chapter05::{
    FACE, PARTS, PENCIL, Pose, composed, dispersion, draw_poses, draw_votes, drawing, inverse,
};
use crate::figures::chapter08::spreads;
use crate::routing::{ELEMENTS, RoutingInput, RoutingOptions, SIDE, votes};

pub(super) const LIVE: Live = Live {
    name: "viewpoint",
    title: "A face and the votes of its parts",
    hint: "Drag “move” and “turn” to move, turn and scale the whole face: all four votes go with it. Does their spread change? \
           Then drag one part alone, such as the mouth. Which vote leaves the others, and does turning the face bring it back?",
    controls,
    settle,
    draw,
    changed: |_, _| Ok(()),
};

/// Half the side of the plane that is shown.
const REACH: f64 = 4.6;

/// How far a part can be moved from the origin of the face's frame.
const FARTHEST: f64 = 2.1;

/// Where the handles that move and turn the face are, in its frame.
const MOVER: Point = (0.0, 2.1);
const TURNER: Point = (1.8, -0.05);

/// Which part's place each part takes when they are swapped, as in the chapter.
const SWAPPED: [usize; 4] = [3, 0, 1, 2];

/// The error of a pose's elements, added to the variances of the votes, so that equal votes have a finite logarithm (5.5).
const FLOOR: f64 = 1e-4;

fn controls() -> Vec<Control> {
    vec![
        Control::range("angle", "angle of the face (degrees)", (-180.0, 180.0), 1.0, 20.0),
        Control::range("size", "size of the face", (0.6, 1.4), 0.01, 1.0),
        Control::range("x", "x of the face", (-1.4, 1.4), 0.01, 0.0),
        Control::range("y", "y of the face", (-1.4, 1.4), 0.01, 0.0),
        Control::range("mouth", "turn of the mouth alone (degrees)", (-180.0, 180.0), 1.0, 0.0),
        Control::new("swapped", "parts in each other’s places", Kind::Switch, "off"),
        Control::new("moved", "how far each part was moved in the face", Kind::Points, ""),
    ]
}

/// The pose of the face and its size.
fn face(settings: &Settings) -> (Pose, f64) {
    let pose = [settings.number("x"), settings.number("y"), settings.number("angle").to_radians()];
    (pose, settings.number("size"))
}

/// The pose of part `i` in the face's frame, before it is moved.
fn home(settings: &Settings, i: usize) -> Pose {
    FACE[if settings.on("swapped") { SWAPPED[i] } else { i }]
}

/// How far each part was moved alone, in the face's frame.
fn moved(settings: &Settings) -> [Point; 4] {
    let moved = settings.points("moved");
    std::array::from_fn(|i| moved.get(i).copied().unwrap_or_default())
}

/// The pose of part `i` in the face's frame.
fn inside(settings: &Settings, i: usize) -> Pose {
    let ([x, y, angle], (right, up)) = (home(settings, i), moved(settings)[i]);
    let (x, y) = (x + right, y + up);
    let shrink = (FARTHEST / x.hypot(y)).min(1.0);
    let turn = if PARTS[i] == "mouth" { settings.number("mouth").to_radians() } else { 0.0 };
    [shrink * x, shrink * y, angle + turn]
}

/// Where a point of the face's frame is in the plane.
fn seen((face, size): (Pose, f64), (x, y): Point) -> Point {
    let [x, y, _] = composed(face, [size * x, size * y, 0.0]);
    (x, y)
}

fn settle(settings: &mut Settings, event: &Event) -> Result<()> {
    let (pose, size) = face(settings);
    match event {
        Event::Drag { handle, at } if handle == "move" => {
            let (x, y) = seen((pose, size), MOVER);
            settings.put("x", pose[0] + at.0 - x, 3)?;
            settings.put("y", pose[1] + at.1 - y, 3)
        }
        Event::Drag { handle, at } if handle == "turn" => {
            let (right, up) = (at.0 - pose[0], at.1 - pose[1]);
            let angle = up.atan2(right) - TURNER.1.atan2(TURNER.0);
            settings.put("angle", angle.sin().atan2(angle.cos()).to_degrees(), 1)?;
            settings.put("size", right.hypot(up) / TURNER.0.hypot(TURNER.1), 3)
        }
        Event::Drag { handle, at } => {
            let part = PARTS.into_iter().position(|name| name == handle).ok_or_else(|| unknown(event))?;
            let [x, y, _] = composed(inverse(pose), [at.0, at.1, 0.0]);
            let (x, y) = (x / size, y / size);
            let shrink = (FARTHEST / x.hypot(y)).min(1.0);
            let [from_x, from_y, _] = home(settings, part);
            let mut moved = moved(settings);
            moved[part] = (shrink * x - from_x, shrink * y - from_y);
            settings.put_points("moved", &moved, 3)
        }
        other => Err(unknown(other)),
    }
}

/// A pose and a size as a 4 x 4 matrix, row by row.
fn matrix([x, y, angle]: Pose, size: f64) -> [f64; ELEMENTS] {
    let (sine, cosine) = (size * angle.sin(), size * angle.cos());
    [cosine, -sine, 0.0, x, sine, cosine, 0.0, y, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
}

/// What the parts show and vote for.
struct View {
    /// The poses of the parts (4 x 3: x, y and angle).
    poses: Array2<f64>,
    /// Their votes (4 x 3).
    votes: Array2<f64>,
    /// The mean over the 16 elements of the logarithm of the votes' standard deviation.
    log_deviation: f64,
}

impl View {
    fn of(settings: &Settings) -> Result<View> {
        let (face, size) = face(settings);
        let poses: [Pose; 4] = std::array::from_fn(|i| {
            let [x, y, angle] = inside(settings, i);
            composed(face, [size * x, size * y, angle])
        });
        let matrices = poses.map(|pose| matrix(pose, size));
        let transforms = FACE.map(|part| matrix(inverse(part), 1.0)); // W_i = M_i^-1
        let matrices = Array3::from_shape_fn((1, 4, ELEMENTS), |(_, i, h)| matrices[i][h]);
        let transforms = Array4::from_shape_fn((4, 1, SIDE, SIDE), |(i, _, row, column)| {
            transforms[i][SIDE * row + column]
        });
        let cast = votes(&matrices, &transforms)?;
        let element = |i: usize, h: usize| cast[(0, i, 0, h)];
        let votes: [Pose; 4] =
            std::array::from_fn(|i| [element(i, 3), element(i, 7), element(i, 4).atan2(element(i, 0))]);
        // the Gaussian of one parent that takes all votes
        let options = RoutingOptions {
            iterations: 1,
            mass_epsilon: 0.0,
            variance_floor: FLOOR,
            ..RoutingOptions::default()
        };
        let input = RoutingInput::new(cast, Array2::ones((1, 4)), Array1::zeros(1), Array1::zeros(1));
        let log_deviation = spreads(&input.route(&options)?)[(0, 0)];
        Ok(View { poses: poses.to_vec().into(), votes: votes.to_vec().into(), log_deviation })
    }

    fn vote(&self, i: usize) -> Point {
        (self.votes[(i, 0)], self.votes[(i, 1)])
    }

    /// The largest distance between the places of two votes.
    fn farthest(&self) -> f64 {
        let apart = |a: Point, b: Point| (a.0 - b.0).hypot(a.1 - b.1);
        let pairs = (0..4).flat_map(|i| (0..i).map(move |k| (i, k)));
        pairs.map(|(i, k)| apart(self.vote(i), self.vote(k))).fold(0.0, f64::max)
    }
}

fn picture(view: &View, (face, size): (Pose, f64), spread: (f64, f64)) -> Result<Figure> {
    const SIDE: f64 = 322.0;
    let axis = || Axis::new("", -REACH, REACH).most(7);
    let said = format!("spread of the votes: {}, {}°", number(spread.0, 2), number(spread.1.to_degrees(), 0));
    let alt = format!(
        "Left, the drawing of a face with a pair of arrows at each part. Right, dotted lines from the parts to the pairs of arrows \
         that they vote for; {said}."
    );
    let mut chart = Chart::canvas("viewpoint", LIVE.title, (720.0, 440.0)).alt(alt);
    for (left, y) in [(40.0, axis()), (386.0, axis().bare())] {
        let mut panel = chart.panel((left, 36.0), (SIDE, SIDE), axis(), y);
        let is_votes = left > 40.0;
        for stroke in drawing(&view.poses, Some(face), size) {
            panel.line(stroke, Pen::new(PENCIL, 2.0).faded(if is_votes { 0.7 } else { 1.0 }));
        }
        let heading = if is_votes { said.as_str() } else { "poses of the parts" };
        if is_votes {
            draw_votes(&mut panel, &view.poses, &view.votes, Some(face));
        } else {
            draw_poses(&mut panel, &view.poses);
            for (place, name) in [(MOVER, "move"), (TURNER, "turn")] {
                let at = seen((face, size), place);
                panel.dot(at, 6.0, INK);
                panel.dot(at, 3.0, CARD);
                panel.text(at, (0.0, -23.0), Side::Middle, Ink::new(INK), name);
            }
        }
        panel.note((left, 18.0), Ink::new(INK).plain().bold().size(15.0), heading);
        chart.add(panel);
    }
    let names = PARTS.into_iter().map(str::to_owned).chain(["face: the true pose".to_owned()]);
    let tints = (0..PARTS.len()).map(component).chain([INK]);
    legend_row(&mut chart, (40.0, 36.0 + SIDE + 52.0), 720.0, tints.map(Mark::Dot).zip(names));
    chart.finish()
}

fn handles(view: &View, face: (Pose, f64), frame: Frame) -> Vec<Handle> {
    let handle =
        |name: &str, label: String, at| Handle { name: name.to_owned(), label, at, frame, radius: 13.0 };
    let mut handles = vec![
        handle("move", "the whole face: move".to_owned(), seen(face, MOVER)),
        handle("turn", "the whole face: turn and scale".to_owned(), seen(face, TURNER)),
    ];
    handles.extend(
        PARTS
            .into_iter()
            .enumerate()
            .map(|(i, part)| handle(part, format!("{part} alone"), (view.poses[(i, 0)], view.poses[(i, 1)]))),
    );
    handles
}

fn draw(settings: &Settings) -> Result<Scene> {
    let (face, view) = (face(settings), View::of(settings)?);
    let (apart, turned) = dispersion(&view.votes);
    let figure = picture(&view, face, (apart, turned))?;
    let angle = {
        let mean = |part: fn(f64) -> f64| view.votes.column(2).mapv(part).sum();
        mean(f64::sin).atan2(mean(f64::cos)).to_degrees()
    };
    let said = if apart < 0.01 && turned < 0.01 { "The four votes agree" } else { "The votes disagree" };
    Ok(Scene {
        handles: figure.frame(1).map(|frame| handles(&view, face, frame)).unwrap_or_default(),
        plane: None,
        numbers: vec![
            Number::new("spread", "spread of the votes’ places (units of the axes)", apart, 3),
            Number::new("farthest", "largest distance of two votes", view.farthest(), 3),
            Number::new("spread_of_angles", "spread of their angles (degrees)", turned.to_degrees(), 1),
            Number::new("log_deviation", "mean ln σ of the 16 elements (nats)", view.log_deviation, 3),
            Number::new("angle", "mean angle of the votes (degrees)", angle, 1),
        ],
        words: format!(
            "{said}: their places spread by {}, their angles by {} degrees. The face is turned by {} degrees.",
            number(apart, 2),
            number(turned.to_degrees(), 0),
            number(face.0[2].to_degrees(), 0)
        ),
        idle: Vec::new(),
        figure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(changes: &[(&str, f64)]) -> (Settings, View) {
        let mut settings = Settings::start(&controls());
        changes.iter().for_each(|&(name, value)| settings.put(name, value, 3).unwrap());
        let view = View::of(&settings).unwrap();
        (settings, view)
    }

    fn spread(view: &View) -> (f64, f64) {
        dispersion(&view.votes)
    }

    #[test]
    fn votes_of_a_whole_face_are_its_pose_from_every_viewpoint() {
        for angle in [-180.0, -75.0, 0.0, 33.0, 180.0] {
            let (settings, view) = view(&[("angle", angle), ("size", 1.3), ("x", -1.2), ("y", 0.7)]);
            let (pose, _) = face(&settings);
            for i in 0..4 {
                assert!(
                    (view.vote(i).0 - pose[0]).abs() <= 1e-12 && (view.vote(i).1 - pose[1]).abs() <= 1e-12
                );
            }
            assert!(spread(&view).0 <= 1e-12 && spread(&view).1 <= 1e-7);
            assert!((view.log_deviation - 0.01f64.ln()).abs() <= 1e-9, "only the error of 0.01 is left");
        }
    }

    #[test]
    fn a_part_moved_alone_breaks_the_agreement_and_no_turn_mends_it() {
        let (mut settings, _) = view(&[]);
        settle(&mut settings, &Event::Drag { handle: "mouth".to_owned(), at: (1.5, -1.0) }).unwrap();
        let broken = View::of(&settings).unwrap();
        assert!((broken.poses[(3, 0)] - 1.5).abs() <= 2e-3 && (broken.poses[(3, 1)] + 1.0).abs() <= 2e-3);
        let lost = (broken.vote(3).0 - broken.vote(0).0).hypot(broken.vote(3).1 - broken.vote(0).1);
        assert!((broken.farthest() - lost).abs() <= 1e-12 && lost > 0.5);
        settings.put("angle", 140.0, 0).unwrap();
        let turned = View::of(&settings).unwrap();
        assert!((spread(&turned).0 - spread(&broken).0).abs() <= 1e-9);
        settings.put("size", 0.6, 1).unwrap();
        assert!((spread(&View::of(&settings).unwrap()).0 - 0.6 * spread(&broken).0).abs() <= 1e-9);
        settings.set("moved", "").unwrap();
        assert!(spread(&View::of(&settings).unwrap()).0 <= 1e-12);
    }

    #[test]
    fn swapped_parts_spread_as_in_the_chapter() {
        let (mut settings, _) = view(&[("angle", 0.0)]);
        settings.set("swapped", "on").unwrap();
        let swapped = View::of(&settings).unwrap();
        let poses = crate::figures::chapter05::face_poses([0.0; 3]).select(ndarray::Axis(0), &SWAPPED);
        let expected = crate::figures::chapter05::face_votes(&poses);
        assert!((&swapped.votes - &expected).iter().all(|off| off.abs() <= 1e-9));
        assert!(swapped.log_deviation > 0.01f64.ln() + 0.5);
    }
}
