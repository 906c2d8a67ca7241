//! Chapter 3: K-means step by step, from a start that the reader chooses, on points that the reader can add.

use ndarray::{Array1, Array2, s};

use super::form::Control;
use super::plane::{self, Names};
use super::scene::{Number, Scene};
use super::settings::Settings;
use super::{Event, Live, restart};
use crate::draw::{CARD, Chart, GREY, Point, component, letter, number};
use crate::em::{Fit, Stop};
use crate::error::Result;
use crate::figures::clusters::{border_pen, borders, inertia_of};
use crate::kmeans::{KMeans, KMeansOptions, KMeansStart};

pub(super) const LIVE: Live = Live {
    name: "kmeans",
    title: "K-means, step by step",
    hint: "Press “Next step” or “Run to the end”: does each blob get a centroid of its own? Try another random start, or k-means++, \
           and compare the inertia. Where two centroids share a blob, drag one into a corner until its cluster is empty, and make \
           the next step: where does the centroid go?",
    controls,
    settle,
    draw,
    changed: |settings, name| {
        restart(settings, name, &["data", "samples", "seed", "k", "start", "start_seed"])
    },
};

const NAMES: Names = Names {
    count: "number of clusters K",
    click: &[("point", "a point"), ("centre", "a centroid")],
    random: &["random", "plus"],
    seeded: &["random", "plus"],
};

/// The crowded start of chapter 3, and a sixth centroid.
const BY_HAND: &str = "-5.6,-4.2;-5.2,-1.2;-3.8,-3.8;-2.6,-2.4;-3.4,-0.8;5,5";

/// The most steps: an E-step and an M-step in each iteration.
const MOST_STEPS: usize = 100;

fn controls() -> Vec<Control> {
    const STARTS: &[(&str, &str)] = &[
        ("random", "random points"),
        ("plus", "k-means++"),
        ("first", "the first points"),
        ("hand", "by hand"),
    ];
    let mut controls = plane::point_controls("blobs", 400, 1);
    controls.extend(plane::centre_controls(&NAMES, 5, STARTS, BY_HAND, MOST_STEPS, 9));
    controls.extend(plane::BUTTONS.map(|(name, label)| Control::press(name, label)));
    controls
}

fn settle(settings: &mut Settings, event: &Event) -> Result<()> {
    let centres = |settings: &Settings| Ok(State::new(settings)?.centroids().clone());
    let end =
        |settings: &Settings| Ok(2 * course(&plane::data(settings), settings, MOST_STEPS / 2)?.iterations());
    plane::settle(settings, event, &NAMES, centres, end)
}

/// Runs the library's K-means from the start of the settings.
fn course(data: &Array2<f64>, settings: &Settings, max_iterations: usize) -> Result<Fit<KMeans>> {
    let clusters = settings.count("k");
    let start = match settings.text("start") {
        "plus" => KMeansStart::PlusPlus,
        "random" => KMeansStart::RandomPoints,
        "first" if clusters <= data.nrows() => KMeansStart::Given(data.slice(s![..clusters, ..]).to_owned()),
        _ => KMeansStart::Given(plane::placed(settings, BY_HAND)),
    };
    let stop = Stop { max_iterations, tolerance: 0.0 };
    let seed = settings.count("start_seed") as u64;
    KMeans::fit(
        data,
        &KMeansOptions { clusters, start, seed, stop, keep_models: true, threads: 1, ..Default::default() },
    )
}

/// K-means after some steps.
struct State {
    data: Array2<f64>,
    steps: usize,
    fit: Fit<KMeans>,
    /// The labels after each step from the first E-step on.
    labels: Vec<Array1<usize>>,
    /// The clusters that were empty in the last E-step, and whether the M-step after it has moved them.
    empty: Vec<(usize, bool)>,
}

impl State {
    /// Replays the steps: odd ones are E-steps, even ones M-steps.
    fn new(settings: &Settings) -> Result<State> {
        let (data, mut steps) = (plane::data(settings), settings.count("steps"));
        let fit = course(&data, settings, steps / 2)?;
        if fit.converged {
            steps = steps.min(2 * fit.iterations());
        }
        let (models, last) = (fit.kept_models()?, fit.iterations());
        let mut labels: Vec<Array1<usize>> = Vec::new();
        let mut empty = Vec::new();
        for t in (0..steps.div_ceil(2)).take_while(|&t| t <= last) {
            let nearest = models[t].predict(&data)?;
            let lost: Vec<usize> = (0..models[t].centroids.nrows())
                .filter(|k| !nearest.iter().any(|label| label == k))
                .collect();
            labels.push(nearest.clone());
            empty = lost.iter().map(|&k| (k, false)).collect();
            if 2 * t + 2 <= steps && t < last {
                let (kept, moved) = relocated(&data, nearest, &lost, models, t);
                labels.push(kept);
                empty = lost.into_iter().zip(moved).collect();
            }
        }
        Ok(State { data, steps, fit, labels, empty })
    }

    /// The number of updates that were made.
    fn updates(&self) -> usize {
        (self.steps / 2).min(self.fit.iterations())
    }

    /// The centroids now.
    fn centroids(&self) -> &Array2<f64> {
        &self.fit.models[self.updates()].centroids
    }

    /// The inertia after each step, for the labels of that step.
    fn inertias(&self) -> Vec<f64> {
        let after = |(index, labels): (usize, &Array1<usize>)| {
            inertia_of(&self.data, labels, &self.fit.models[index.div_ceil(2)].centroids)
        };
        self.labels.iter().enumerate().map(after).collect()
    }

    fn is_converged(&self) -> bool {
        self.fit.converged && self.steps >= 2 * self.fit.iterations()
    }

    /// What the last step did.
    fn said(&self) -> String {
        match self.steps {
            _ if self.is_converged() => {
                format!("after {} iterations: no centroid moves any more", self.updates())
            }
            MOST_STEPS => format!("not converged after {} iterations", self.updates()),
            0 => "start: no point has a cluster yet".to_owned(),
            steps if steps % 2 == 1 => format!("step {steps}, an E-step: each point to its nearest centroid"),
            steps => format!("step {steps}, an M-step: each centroid to the mean of its points"),
        }
    }

    /// What happens with the empty clusters, in words.
    fn said_of_empty(&self) -> String {
        let of_one = |&(k, moved): &(usize, bool)| {
            let name = letter(k);
            match self.steps % 2 == 1 && !self.is_converged() {
                true => format!(
                    " Cluster {name} is empty: the next M-step moves its centroid to a point far from all centroids."
                ),
                false if moved => format!(
                    " Cluster {name} was empty, so its centroid moved to the point that was farthest from its own, which \
                     left its old cluster."
                ),
                false => format!(" Cluster {name} stays empty: each point lies on a centroid."),
            }
        };
        self.empty.iter().map(of_one).collect()
    }
}

/// The labels after the M-step from model `t`: a cluster that was `lost` takes the points to which the library has moved its
/// centroid. Also returns which of the lost clusters were moved.
fn relocated(
    data: &Array2<f64>,
    mut labels: Array1<usize>,
    lost: &[usize],
    models: &[KMeans],
    t: usize,
) -> (Array1<usize>, Vec<bool>) {
    let mut moved = Vec::new();
    for &k in lost {
        let (before, after) = (models[t].centroids.row(k), models[t + 1].centroids.row(k));
        moved.push(before != after);
        // The library computes the point as an origin plus a difference, which rounds.
        let is_there = |i: usize| (0..2).all(|h| (data[(i, h)] - after[h]).abs() <= 1e-12);
        (0..labels.len()).filter(|&i| before != after && is_there(i)).for_each(|i| labels[i] = k);
    }
    (labels, moved)
}

/// The cell of each centroid: the part of the plane that is nearer to it than to any other; empty for the second of two equal
/// centroids.
fn cells(centroids: &[Point]) -> Vec<Vec<Point>> {
    let ((left, right), (bottom, top)) = plane::RANGES;
    let of = |(k, &(x, y)): (usize, &Point)| {
        let mut cell = vec![(left, bottom), (right, bottom), (right, top), (left, top)];
        for (other, &(u, v)) in centroids.iter().enumerate().filter(|(other, _)| *other != k) {
            // positive where the other centroid is nearer
            let excess = |p: Point| (u - x) * (p.0 - (u + x) / 2.0) + (v - y) * (p.1 - (v + y) / 2.0);
            if (x, y) == (u, v) && other < k {
                return Vec::new();
            }
            cell = clipped(&cell, excess);
        }
        cell
    };
    centroids.iter().enumerate().map(of).collect()
}

/// The part of a convex polygon in which a linear function is not positive.
fn clipped(polygon: &[Point], excess: impl Fn(Point) -> f64) -> Vec<Point> {
    let mut kept = Vec::new();
    for (index, &a) in polygon.iter().enumerate() {
        let b = polygon[(index + 1) % polygon.len()];
        let (at_a, at_b) = (excess(a), excess(b));
        if at_a <= 0.0 {
            kept.push(a);
        }
        if (at_a <= 0.0) != (at_b <= 0.0) {
            let share = at_a / (at_a - at_b);
            kept.push((a.0 + share * (b.0 - a.0), a.1 + share * (b.1 - a.1)));
        }
    }
    kept
}

fn draw(settings: &Settings) -> Result<Scene> {
    let state = match State::new(settings) {
        Ok(state) => state,
        Err(error) => return plane::points_alone((LIVE.name, LIVE.title, &NAMES), settings, &error),
    };
    let (centroids, inertias) = (plane::points_of(state.centroids()), state.inertias());
    let sizes = sizes(&state, centroids.len());
    let mut chart = plane::plane(LIVE.name, LIVE.title, &state.said());
    draw_points(&mut chart, &state);
    let path: Vec<&Array2<f64>> =
        state.fit.models[..=state.updates()].iter().map(|model| &model.centroids).collect();
    plane::draw_centres(&mut chart, &path);
    let values: Vec<Point> = inertias.iter().enumerate().map(|(step, &j)| (step as f64 + 1.0, j)).collect();
    plane::draw_course(&mut chart, "inertia J after each step", "step", &values);
    plane::draw_bars(&mut chart, "cluster sizes", &sizes, 0);
    let inertia = match inertias.last() {
        Some(&inertia) => inertia,
        None => state.fit.models[0].inertia(&state.data)?,
    };
    let empty = sizes.iter().filter(|&&size| size == 0.0).count() as f64;
    let in_words: Vec<String> =
        sizes.iter().enumerate().map(|(k, &size)| format!("{} {}", letter(k), number(size, 0))).collect();
    let said = state.said();
    let words = format!(
        "{}{}. Inertia {}. Cluster sizes: {}.{}",
        said[..1].to_uppercase(),
        &said[1..],
        number(inertia, 2),
        in_words.join(", "),
        state.said_of_empty()
    );
    let alt = format!(
        "{} points in the colours of {} centroids, with dashed borders. {words}",
        state.data.nrows(),
        sizes.len()
    );
    let figure = chart.alt(alt).finish()?;
    let mut numbers = vec![
        Number::new("inertia", "inertia J", inertia, 2),
        Number::new("step", "steps made", state.steps as f64, 0),
        Number::new("samples", "points n", state.data.nrows() as f64, 0),
    ];
    if !state.labels.is_empty() {
        numbers.push(Number::new("empty", "empty clusters", empty, 0));
    }
    Ok(Scene {
        handles: plane::handles(&figure, settings, "centroid", &centroids),
        plane: figure.frame(0),
        numbers,
        words,
        idle: plane::idle_controls(settings, &NAMES, state.is_converged() || state.steps == MOST_STEPS),
        figure,
    })
}

/// The size of each cluster after the last step; 0 before the first one.
fn sizes(state: &State, clusters: usize) -> Vec<f64> {
    let mut sizes = vec![0.0; clusters];
    state.labels.last().into_iter().flatten().for_each(|&label| sizes[label] += 1.0);
    sizes
}

/// Draws the cells of the last E-step and the points in the colours of their clusters; at the start grey points.
fn draw_points(chart: &mut Chart, state: &State) {
    let points = plane::points_of(&state.data);
    let Some(labels) = state.labels.last() else {
        return chart.scatter(points, 2.7, GREY, 1.0);
    };
    let assigned = &state.fit.models[(state.labels.len() - 1) / 2].centroids;
    for (k, cell) in
        cells(&plane::points_of(assigned)).into_iter().enumerate().filter(|cell| !cell.1.is_empty())
    {
        chart.area(cell, component(k).mixed(CARD, 0.85), 1.0);
    }
    let ((x, y), moved) = (plane::RANGES, state.labels.len().is_multiple_of(2));
    let pen = border_pen().faded(if moved { 0.35 } else { 1.0 });
    borders(assigned, x, y).into_iter().for_each(|ends| chart.line(ends, pen));
    for k in 0..assigned.nrows() {
        let members = (0..points.len()).filter(|&i| labels[i] == k);
        chart.scatter(members.map(|i| points[i]), 2.7, component(k), 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(changes: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::start(&controls());
        changes.iter().for_each(|(name, value)| settings.set(name, *value).unwrap());
        settings
    }

    fn drag(settings: &mut Settings, handle: &str, at: Point) {
        settle(settings, &Event::Drag { handle: handle.to_owned(), at }).unwrap();
    }

    #[test]
    fn steps_are_the_librarys_and_none_raises_the_inertia() {
        for changes in [
            &[("start", "hand")][..],
            &[("start", "first"), ("data", "stripes")],
            &[("start", "plus"), ("k", "6"), ("data", "square")],
            // an empty cluster, whose centroid is moved
            &[("start", "hand"), ("centres", "0,0;8,6.5;-3,0"), ("k", "3"), ("data", "gaussians")],
        ] {
            let mut settings = with(changes);
            settle(&mut settings, &Event::Press { name: "end".to_owned() }).unwrap();
            let end = settings.count("steps");
            let state = State::new(&settings).unwrap();
            let inertias = state.inertias();
            assert!(end > 4 && inertias.len() == end && state.is_converged());
            assert!(inertias.windows(2).all(|pair| pair[1] <= pair[0] + 1e-9), "{changes:?}: {inertias:?}");
            for step in 0..=end {
                settings.put("steps", step as f64, 0).unwrap();
                let scene = draw(&settings).unwrap();
                let options = KMeansOptions {
                    clusters: settings.count("k"),
                    start: KMeansStart::Given(state.fit.models[0].centroids.clone()),
                    stop: Stop { max_iterations: step / 2, tolerance: 0.0 },
                    ..Default::default()
                };
                let fit = KMeans::fit(&state.data, &options).unwrap();
                for (k, handle) in scene.handles.iter().enumerate() {
                    let row = fit.model().centroids.row(k);
                    assert!((handle.at.0 - row[0]).abs() <= 1e-12 && (handle.at.1 - row[1]).abs() <= 1e-12);
                }
                let expected = -fit.objective();
                let shown = scene.numbers[0].value;
                assert!(
                    step % 2 == 0 && step > 0 || (shown - expected).abs() <= 1e-9 * expected,
                    "step {step}"
                );
            }
        }
    }

    #[test]
    fn the_centroid_of_an_empty_cluster_moves_to_a_point_which_it_takes() {
        let press = |name: &str| Event::Press { name: name.to_owned() };
        let mut settings = Settings::start(&controls());
        settle(&mut settings, &press("end")).unwrap();
        let before = draw(&settings).unwrap().numbers[0].value;
        drag(&mut settings, "centre-3", (8.0, -6.5));
        let scene = draw(&settings).unwrap();
        assert_eq!(scene.numbers[3].value, 1.0, "an empty cluster");
        assert!(scene.words.contains("Cluster D is empty"), "{}", scene.words);
        settle(&mut settings, &press("step")).unwrap();
        let scene = draw(&settings).unwrap();
        assert!(
            scene.words.contains("Cluster D was empty") && scene.words.contains("D 1,"),
            "{}",
            scene.words
        );
        let data = plane::data(&settings);
        let at = scene.handles[3].at;
        assert!(data.rows().into_iter().any(|row| (row[0] - at.0).hypot(row[1] - at.1) <= 1e-12));
        settle(&mut settings, &press("end")).unwrap();
        assert!(
            draw(&settings).unwrap().numbers[0].value < 0.5 * before,
            "it finds the blob without a centroid"
        );
    }

    #[test]
    fn points_and_centroids_are_added_dragged_and_removed() {
        let mut settings = with(&[("data", "none")]);
        assert!(draw(&settings).unwrap().words.contains("Click to add points"));
        for at in [(0.0, 0.0), (1.0, 1.0), (1e9, -1e9)] {
            settle(&mut settings, &Event::Place { at }).unwrap();
        }
        assert_eq!(settings.text("added"), "0,0;1,1;8,-6.5");
        drag(&mut settings, "point-1", (2.0, 3.0));
        settle(&mut settings, &Event::Remove { handle: "point-0".to_owned() }).unwrap();
        assert_eq!(settings.text("added"), "2,3;8,-6.5");
        settings.set("k", "1").unwrap();
        settings.set("click", "centre").unwrap();
        settle(&mut settings, &Event::Place { at: (5.0, 5.0) }).unwrap();
        assert_eq!((settings.count("k"), settings.text("start")), (2, "hand"));
        settle(&mut settings, &Event::Remove { handle: "centre-0".to_owned() }).unwrap();
        assert_eq!((settings.count("k"), settings.text("centres")), (1, "5,5"));
        assert!(settle(&mut settings, &Event::Remove { handle: "centre-0".to_owned() }).is_err());
        assert!(settle(&mut settings, &Event::Remove { handle: "point-9".to_owned() }).is_err());
    }

    #[test]
    fn cells_are_what_is_nearest() {
        let centroids = [(-3.0, 1.0), (2.0, -2.0), (2.0, 4.0), (2.0, 4.0)];
        let cells = cells(&centroids);
        assert!(cells[3].is_empty(), "ties go to the first");
        let area = |cell: &Vec<Point>| {
            let side = |i: usize| (cell[i], cell[(i + 1) % cell.len()]);
            let term = |i: usize| side(i).0.0 * side(i).1.1 - side(i).1.0 * side(i).0.1;
            (0..cell.len()).map(term).sum::<f64>() / 2.0
        };
        assert!((cells.iter().map(area).sum::<f64>() - 16.0 * 13.0).abs() <= 1e-9, "they fill the plane");
        for (k, cell) in cells.iter().enumerate() {
            for &(x, y) in cell {
                let to = |j: usize| (x - centroids[j].0).hypot(y - centroids[j].1);
                assert!((0..3).all(|j| to(k) <= to(j) + 1e-9));
            }
        }
    }
}
