//! Shared by the live figures of chapters 3 and 4: points in the plane, drawn by a seed or placed by the reader, and centres that can
//! be dragged.

use ndarray::{Array2, Axis as NdAxis, concatenate};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::form::{Control, Kind};
use super::scene::{Handle, Number, Scene, idle};
use super::settings::Settings;
use super::{Event, sentence, unknown};
use crate::draw::{Axis, Chart, Figure, GREY, INK, Ink, Pen, Point, Side, component, letter, number, padded};
use crate::error::{Error, Result};
use crate::figures::clusters::axes;
use crate::samples;

/// The ranges of the plane, which hold almost all draws of each data set.
pub(super) const RANGES: ((f64, f64), (f64, f64)) = ((-8.0, 8.0), (-6.5, 6.5));

/// The most centres: as many as there are colours.
pub(super) const MOST_CENTRES: usize = 6;

/// The buttons of both figures.
pub(super) const BUTTONS: [(&str, &str); 4] = [
    ("step", "Next step"),
    ("end", "Run to the end"),
    ("again", "Another random start"),
    ("add", "Add in the middle"),
];

/// The digits after the point of the coordinates in the settings.
const DECIMALS: usize = 2;

/// The size of the picture, and the margins around the plane.
const SIZE: (u32, u32) = (720, 440);
const MARGINS: [u32; 4] = [56, 224, 36, 46];

/// The left end of what stands beside the plane, and its width.
const BESIDE: (f64, f64) = (560.0, 146.0);

/// The most values of a course that get a mark each.
const MOST_MARKS: usize = 60;

/// How a figure calls its centres.
#[derive(Clone, Copy)]
pub(super) struct Names {
    /// What to count, with its symbol.
    pub count: &'static str,
    /// What a click can add.
    pub click: &'static [(&'static str, &'static str)],
    /// The random starts, of which a button chooses the first.
    pub random: &'static [&'static str],
    /// The starts that depend on the seed of the start.
    pub seeded: &'static [&'static str],
}

/// The controls of the points.
pub(super) fn point_controls(data: &'static str, samples: usize, seed: u64) -> Vec<Control> {
    const DATA: &[(&str, &str)] = &[
        ("blobs", "five blobs"),
        ("stripes", "three stripes"),
        ("gaussians", "the blog’s two Gaussians"),
        ("square", "a square without clusters"),
        ("none", "none: click to add points"),
    ];
    vec![
        Control::new("data", "points", Kind::Choice(DATA), data),
        Control::range("samples", "number of points n", (10.0, 500.0), 10.0, samples as f64),
        Control::new("seed", "seed of the points", Kind::Number { low: 0.0, high: 9999.0 }, seed),
    ]
}

/// The controls of the centres, of what a click adds, and of the steps: at most `most`. `seed` is that of the start.
pub(super) fn centre_controls(
    names: &Names,
    count: usize,
    starts: &'static [(&'static str, &'static str)],
    centres: &str,
    most: usize,
    seed: u64,
) -> Vec<Control> {
    let count = Control::range("k", names.count, (1.0, MOST_CENTRES as f64), 1.0, count as f64);
    vec![
        count,
        Control::new("start", "start", Kind::Choice(starts), starts[0].0),
        Control::new("start_seed", "seed of the start", Kind::Number { low: 0.0, high: 9999.0 }, seed),
        Control::new("click", "a click adds", Kind::Choice(names.click), names.click[0].0),
        Control::range("steps", "steps to make", (0.0, most as f64), 1.0, 1.0),
        Control::new("added", "added points", Kind::Points, ""),
        Control::new("centres", "centres at the start", Kind::Points, centres),
    ]
}

/// The nearest point in the plane.
fn inside((x, y): Point) -> Point {
    (x.clamp(RANGES.0.0, RANGES.0.1), y.clamp(RANGES.1.0, RANGES.1.1))
}

/// The points that the reader added.
fn added(settings: &Settings) -> Vec<Point> {
    settings.points("added").into_iter().map(inside).collect()
}

/// Converts points to a table, n x 2.
pub(super) fn table(points: &[Point]) -> Array2<f64> {
    Array2::from_shape_fn((points.len(), 2), |(row, h)| if h == 0 { points[row].0 } else { points[row].1 })
}

/// The points of the figure (n x 2): those of the data set, then the added ones. A point outside the plane moves to its edge.
pub(super) fn data(settings: &Settings) -> Array2<f64> {
    let (n, seed) = (settings.count("samples"), settings.count("seed") as u64);
    let drawn = match settings.text("data") {
        "blobs" => samples::five_blobs(n, seed).0,
        "stripes" => samples::three_stripes(n, seed).0,
        "gaussians" => samples::two_gaussians(n, seed).0,
        "square" => {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            Array2::from_shape_simple_fn((n, 2), || rng.gen_range(-5.0..5.0))
        }
        _ => Array2::zeros((0, 2)),
    };
    let mut points = concatenate![NdAxis(0), drawn, table(&added(settings))];
    for mut point in points.rows_mut() {
        (point[0], point[1]) = inside((point[0], point[1]));
    }
    points
}

/// The centres that the reader placed, as many as the figure has. Missing ones are those of the start.
pub(super) fn placed(settings: &Settings, centres: &str) -> Array2<f64> {
    let mut placed = settings.points("centres");
    let mut others = Settings::start(&[Control::new("centres", "", Kind::Points, centres)]).points("centres");
    if placed.len() < others.len() {
        placed.extend(others.drain(placed.len()..));
    }
    placed.truncate(settings.count("k"));
    table(&placed.into_iter().map(inside).collect::<Vec<_>>())
}

/// Changes the settings after an event. `centres` computes where the centres are now (k x 2), `end` the steps up to the end.
pub(super) fn settle(
    settings: &mut Settings,
    event: &Event,
    names: &Names,
    centres: fn(&Settings) -> Result<Array2<f64>>,
    end: fn(&Settings) -> Result<usize>,
) -> Result<()> {
    match event {
        Event::Press { name } if name == "step" => settings.put("steps", settings.number("steps") + 1.0, 0),
        Event::Press { name } if name == "end" => settings.put("steps", end(settings)? as f64, 0),
        Event::Press { name } if name == "again" => {
            if !names.random.contains(&settings.text("start")) {
                settings.set("start", names.random[0])?;
            }
            settings.put("start_seed", settings.number("start_seed") + 1.0, 0)?;
            settings.put("steps", 0.0, 0)
        }
        Event::Press { name } if name == "add" => {
            self::settle(settings, &Event::Place { at: (0.0, 0.0) }, names, centres, end)
        }
        Event::Place { at } if settings.text("click") == "point" => {
            let mut points = added(settings);
            points.push(inside(*at));
            settings.put_points("added", &points, DECIMALS)
        }
        Event::Place { at } => {
            let mut centres = points_of(&centres(settings)?);
            if centres.len() == MOST_CENTRES {
                return Err(Error::Setting { name: "K", expected: "at most 6", value: 7.0 });
            }
            centres.push(*at);
            start_from(settings, &centres)
        }
        Event::Drag { handle, .. } | Event::Remove { handle } => {
            let to = if let Event::Drag { at, .. } = event { Some(inside(*at)) } else { None };
            let (is_centre, index) = of_handle(handle).ok_or_else(|| unknown(event))?;
            let mut points = if is_centre { points_of(&centres(settings)?) } else { added(settings) };
            match to {
                _ if index >= points.len() => return Err(unknown(event)),
                Some(to) => points[index] = to,
                None if is_centre && points.len() == 1 => {
                    return Err(Error::Setting { name: "K", expected: "at least 1", value: 0.0 });
                }
                None => drop(points.remove(index)),
            }
            if is_centre {
                start_from(settings, &points)
            } else {
                settings.put_points("added", &points, DECIMALS)
            }
        }
        other => Err(unknown(other)),
    }
}

/// Whether a handle is a centre's, and its index.
fn of_handle(handle: &str) -> Option<(bool, usize)> {
    let (kind, index) = handle.split_once('-')?;
    ["centre", "point"].contains(&kind).then_some((kind == "centre", index.parse().ok()?))
}

/// Starts anew from these centres, with the first E-step made, so that colours follow the hand.
fn start_from(settings: &mut Settings, centres: &[Point]) -> Result<()> {
    let centres: Vec<Point> = centres.iter().copied().map(inside).collect();
    settings.put_points("centres", &centres, DECIMALS)?;
    settings.put("k", centres.len() as f64, 0)?;
    settings.set("start", "hand")?;
    settings.put("steps", 1.0, 0)
}

/// Converts a table (n x 2) to points.
pub(super) fn points_of(table: &Array2<f64>) -> Vec<Point> {
    table.rows().into_iter().map(|row| (row[0], row[1])).collect()
}

/// The picture's empty plane, with a line of text above it.
pub(super) fn plane(name: &str, title: &str, said: &str) -> Chart {
    let [x, y] = axes(RANGES.0, RANGES.1);
    let [left, right, top, bottom] = MARGINS;
    let mut chart = Chart::new(name, title, SIZE, x, y).margins(left, right, top, bottom);
    chart.note((f64::from(left), 18.0), Ink::new(INK).plain().bold().size(14.0), said);
    chart
}

/// Draws the path of each centre, from a ring at its start, and the centre with its letter.
pub(super) fn draw_centres(chart: &mut Chart, steps: &[&Array2<f64>]) {
    let Some(now) = steps.last() else { return };
    for k in (0..now.nrows()).filter(|_| steps.len() > 1) {
        let path: Vec<Point> = steps.iter().map(|step| (step[(k, 0)], step[(k, 1)])).collect();
        chart.haloed(&path, Pen::new(INK, 1.4));
        chart.ring(path[0], 3.6, INK);
    }
    for (k, at) in points_of(now).into_iter().enumerate() {
        chart.centre(at, component(k));
        chart.label(at, (12.0, -12.0), Ink::new(INK).bold().size(14.0), letter(k));
    }
}

/// Draws values over the steps in which they were reached, beside the plane, with a disc at the last one.
pub(super) fn draw_course(chart: &mut Chart, title: &str, unit: &str, values: &[Point]) {
    let Some(&last) = values.last() else { return };
    let (low, high) = padded(values.iter().map(|value| value.1), 0.12);
    let x = Axis::new(unit, 0.0, last.0.max(4.0)).most(4);
    let mut panel = chart.panel((BESIDE.0, 44.0), (BESIDE.1, 150.0), x, Axis::new("", low, high).most(5));
    match values.len() {
        ..=MOST_MARKS => panel.marked(values, INK, 1.8, 2.5),
        _ => panel.line(values.iter().copied(), Pen::new(INK, 1.8)),
    }
    panel.disc(last, 4.5, INK);
    chart.note((BESIDE.0, 26.0), Ink::new(INK).plain().size(12.5), title);
    chart.add(panel);
}

/// Draws a bar for each centre beside the plane, with its letter and its value.
pub(super) fn draw_bars(chart: &mut Chart, title: &str, values: &[f64], decimals: usize) {
    let (left, top) = (BESIDE.0, 270.0);
    chart.note((left, top - 12.0), Ink::new(INK).plain().size(12.5), title);
    let longest = values.iter().copied().fold(1e-9, f64::max);
    for (k, &value) in values.iter().enumerate() {
        let (y, length) = (top + 10.0 + 21.0 * k as f64, 86.0 * value / longest);
        let corner = |x: f64, y: f64| chart.at_pixel(x, y);
        let (from, to) = (corner(left + 16.0, y - 7.0), corner(left + 16.0 + length, y + 7.0));
        chart.block(from, to, component(k));
        chart.write((left + 11.0, y), Side::Left, Ink::new(INK).plain().bold(), letter(k));
        chart.note((left + 22.0 + length, y), Ink::new(GREY).plain(), number(value, decimals));
    }
}

/// The handles of the centres, each with this name and its letter, and of the added points.
pub(super) fn handles(figure: &Figure, settings: &Settings, name: &str, centres: &[Point]) -> Vec<Handle> {
    let Some(frame) = figure.frame(0) else { return Vec::new() };
    let handle = |name: String, label: String, at, radius| Handle { name, label, at, frame, radius };
    let centre = |(k, &at)| handle(format!("centre-{k}"), format!("{name} {}", letter(k)), at, 15.0);
    let point = |(i, at)| handle(format!("point-{i}"), format!("added point {}", i + 1), at, 9.0);
    let points = added(settings).into_iter().enumerate().map(point);
    centres.iter().enumerate().map(centre).chain(points).collect()
}

/// The controls without an effect for the present settings. `over`: no step can follow.
pub(super) fn idle_controls(settings: &Settings, names: &Names, over: bool) -> Vec<&'static str> {
    let empty = settings.text("data") == "none";
    idle([
        ("step", over),
        ("end", over),
        ("samples", empty),
        ("seed", empty),
        ("start_seed", !names.seeded.contains(&settings.text("start"))),
    ])
}

/// The scene when there is no model to draw, such as with fewer points than centres: the points alone, and the reason in words.
pub(super) fn points_alone(
    (name, title, names): (&str, &str, &Names),
    settings: &Settings,
    why: &Error,
) -> Result<Scene> {
    let points = points_of(&data(settings));
    let (said, words) = match points.is_empty() {
        true => ("no points yet", "Click to add points.".to_owned()),
        false => ("no start to draw: the text below says why", format!("{}.", sentence(why))),
    };
    let mut chart = plane(name, title, said);
    chart.scatter(points.iter().copied(), 2.7, GREY, 1.0);
    let figure = chart.alt(format!("{} grey points and no centres. {words}", points.len())).finish()?;
    Ok(Scene {
        handles: handles(&figure, settings, "", &[]),
        plane: figure.frame(0),
        numbers: vec![Number::new("samples", "points n", points.len() as f64, 0)],
        words,
        idle: idle_controls(settings, names, true),
        figure,
    })
}
