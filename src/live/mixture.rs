//! Chapter 4: EM for a mixture of Gaussians, step by step, with a component that collapses when the reader asks for it.

use std::cell::RefCell;
use std::rc::Rc;

use ndarray::{Array1, Array2, Array3, Axis};

use super::form::{Control, Kind};
use super::plane::{self, Names};
use super::scene::{Number, Scene};
use super::settings::Settings;
use super::{Event, Live, restart};
use crate::draw::{Chart, GREY, Point, component, letter, number};
use crate::em::Stop;
use crate::error::{Error, Result};
use crate::figures::chapter04::{look_tint, looks};
use crate::figures::clusters::{draw_ellipses, ellipse_pens};
use crate::gmm::{CovarianceKind, Covariances, Gmm, GmmOptions, GmmStart};

pub(super) const LIVE: Live = Live {
    name: "mixture",
    title: "A mixture of Gaussians, step by step",
    hint: "K-means has cut across the stripes. Press “Next step” or “Run to the end”: does EM find them from there? Drag a mean to \
           start EM by hand. Then press “Let one collapse”: one more component starts on a single point. Run to the end with the \
           covariance floors 0.01, 0.001 and 0.000001: by how much does the log-likelihood grow, and what does the floor 0 do?",
    controls,
    settle,
    draw,
    changed: |settings, name| {
        restart(settings, name, &["data", "samples", "seed", "k", "start", "start_seed", "covariance"])
    },
};

const NAMES: Names = Names {
    count: "number of components K",
    click: &[("point", "a point"), ("centre", "a mean")],
    random: &["random", "kmeans"],
    seeded: &["random", "kmeans", "point"],
};

/// The means of a start by hand: the poor start of chapter 4, and four more.
const BY_HAND: &str = "0.3,0.7;0.9,0.2;-3,3;3,-3;3,3;-3,-3";

/// The most steps: an E-step and an M-step in each iteration.
const MOST_STEPS: usize = 600;

fn controls() -> Vec<Control> {
    const STARTS: &[(&str, &str)] = &[
        ("kmeans", "K-means"),
        ("random", "random responsibilities"),
        ("hand", "by hand: unit covariances"),
        ("point", "one component on a single point"),
    ];
    const KINDS: &[(&str, &str)] =
        &[("full", "full"), ("tied", "tied"), ("diagonal", "diagonal"), ("spherical", "spherical")];
    const FLOORS: &[(&str, &str)] = &[
        ("0", "0"),
        ("0.000001", "0.000001"),
        ("0.001", "0.001"),
        ("0.01", "0.01"),
        ("0.1", "0.1"),
        ("1", "1"),
    ];
    let mut controls = plane::point_controls("stripes", 300, 2);
    controls.push(Control::new("covariance", "covariances", Kind::Choice(KINDS), "full"));
    controls.push(Control::new("floor", "covariance floor", Kind::Choice(FLOORS), "0.000001"));
    controls.extend(plane::centre_controls(&NAMES, 3, STARTS, BY_HAND, MOST_STEPS, 0));
    controls.extend(plane::BUTTONS.map(|(name, label)| Control::press(name, label)));
    controls.push(Control::press("collapse", "Let one collapse"));
    controls
}

fn settle(settings: &mut Settings, event: &Event) -> Result<()> {
    if *event != (Event::Press { name: "collapse".to_owned() }) {
        let end = |settings: &Settings| Ok(Course::kept(settings, MOST_STEPS / 2)?.steps());
        return plane::settle(
            settings,
            event,
            &NAMES,
            |settings| Ok(State::new(settings)?.model().means.clone()),
            end,
        );
    }
    if settings.text("start") != "point" {
        settings.put("k", settings.number("k") + 1.0, 0)?;
    }
    settings.set("start", "point")?;
    settings.set("floor", "0")?;
    settings.put("steps", 0.0, 0)?;
    // A shared covariance cannot collapse.
    if settings.text("covariance") == "tied" { settings.set("covariance", "full") } else { Ok(()) }
}

/// The options of the library's fit for the settings.
fn options(settings: &Settings, data: &Array2<f64>, max_iterations: usize) -> Result<GmmOptions> {
    let (components, seed) = (settings.count("k"), settings.count("start_seed") as u64);
    let covariance = match settings.text("covariance") {
        "tied" => CovarianceKind::Tied,
        "diagonal" => CovarianceKind::Diagonal,
        "spherical" => CovarianceKind::Spherical,
        _ => CovarianceKind::Full,
    };
    let start = match settings.text("start") {
        "kmeans" => GmmStart::KMeans,
        "random" => GmmStart::RandomResponsibilities,
        "point" => {
            GmmStart::Given(on_a_point(data, components, covariance, (seed, settings.number("floor")))?)
        }
        _ => GmmStart::Given(Gmm::standard(plane::placed(settings, BY_HAND), covariance)),
    };
    let stop = Stop { max_iterations, ..Default::default() };
    let regularisation = settings.number("floor");
    Ok(GmmOptions {
        components,
        covariance,
        start,
        seed,
        regularisation,
        stop,
        keep_models: true,
        threads: 1,
        ..Default::default()
    })
}

/// A start whose last component lies on the most isolated point, with the weight of a single point and narrower than the distance to
/// the next one; the others are where EM from K-means has converged without it, so that hardly anything else moves.
///
/// # Errors
///
/// Returns an error if there are fewer points than components.
fn on_a_point(
    data: &Array2<f64>,
    components: usize,
    covariance: CovarianceKind,
    (seed, floor): (u64, f64),
) -> Result<Gmm> {
    let points = plane::points_of(data);
    let Some((at, distance)) = isolated(&points) else { return Err(Error::Empty { what: "points" }) };
    let last = components - 1;
    let share = if last == 0 { 1.0 } else { 1.0 / points.len() as f64 };
    let mut weights = Array1::from_elem(components, share);
    let mut means = plane::table(&vec![points[at]; components]);
    let mut matrices = Array3::zeros((components, 2, 2));
    matrices.index_axis_mut(Axis(0), last).assign(&(Array2::eye(2) * (0.3 * distance).powi(2)));
    if last > 0 {
        let stop = Stop { max_iterations: MOST_STEPS / 2, ..Default::default() };
        let regularisation = floor.max(1e-6);
        let others = Gmm::fit(
            data,
            &GmmOptions {
                components: last,
                covariance,
                seed,
                regularisation,
                stop,
                threads: 1,
                ..Default::default()
            },
        )?;
        for k in 0..last {
            weights[k] = (1.0 - share) * others.model().weights[k];
            means.row_mut(k).assign(&others.model().means.row(k));
            matrices.index_axis_mut(Axis(0), k).assign(&others.model().covariance(k));
        }
    }
    let covariances = Covariances::from_matrices(covariance, &weights, matrices)?;
    Gmm::new(weights, means, covariances)
}

/// The point whose nearest other point is farthest, with that distance; 1 for a point alone.
fn isolated(points: &[Point]) -> Option<(usize, f64)> {
    let nearest = |i: usize| {
        let (x, y) = points[i];
        let others = points[..i].iter().chain(&points[i + 1..]);
        let square =
            others.map(|other| (other.0 - x).powi(2) + (other.1 - y).powi(2)).fold(f64::INFINITY, f64::min);
        if square.is_finite() { square.sqrt() } else { 1.0 }
    };
    (0..points.len()).map(|i| (i, nearest(i))).max_by(|a, b| a.1.total_cmp(&b.1))
}

/// The iterations of EM from the start of the settings.
struct Course {
    data: Array2<f64>,
    /// The number of iterations that were asked for.
    asked: usize,
    /// The model of each iteration, and its log-likelihood.
    models: Vec<Gmm>,
    objectives: Vec<f64>,
    converged: bool,
    /// Why an iteration could not be made.
    fault: Option<Error>,
}

thread_local! {
    /// The last course, with the settings that it depends on: sixty iterations take longer than all the rest of an answer.
    static LAST: RefCell<Option<(String, Rc<Course>)>> = const { RefCell::new(None) };
}

impl Course {
    /// Makes at least this many iterations, or takes them from the last answer.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Gmm::fit`] for the start.
    fn kept(settings: &Settings, iterations: usize) -> Result<Rc<Course>> {
        let others = settings.values().iter().filter(|(name, _)| !["steps", "click"].contains(*name));
        let key = format!("{:?}", others.collect::<Vec<_>>());
        let last = LAST.take().filter(|last| last.0 == key).map(|last| last.1);
        let course = match last {
            Some(course) if course.asked >= iterations => course,
            // The reader makes steps: the next answers will ask for more.
            Some(_) => Rc::new(Course::new(settings, MOST_STEPS / 2)?),
            None => Rc::new(Course::new(settings, iterations)?),
        };
        LAST.set(Some((key, course.clone())));
        Ok(course)
    }

    fn new(settings: &Settings, asked: usize) -> Result<Course> {
        let data = plane::data(settings);
        let options = options(settings, &data, asked)?;
        if let Ok(fit) = Gmm::fit(&data, &options) {
            let (models, objectives, converged) = (fit.models, fit.objectives, fit.converged);
            return Ok(Course { data, asked, models, objectives, converged, fault: None });
        }
        // One iteration after another, up to the one that fails.
        let one = |start: GmmStart, max_iterations: usize| {
            let stop = Stop { max_iterations, tolerance: -1.0 };
            Gmm::fit(&data, &GmmOptions { start, stop, ..options.clone() })
        };
        let start = one(options.start.clone(), 0)?;
        let (mut models, mut objectives) = (start.models, start.objectives);
        let fault = loop {
            match one(GmmStart::Given(models[models.len() - 1].clone()), 1) {
                Ok(mut fit) if models.len() <= asked => {
                    models.extend(fit.models.pop());
                    objectives.extend(fit.objectives.pop());
                }
                other => break other.err(),
            }
        };
        Ok(Course { data, asked, models, objectives, converged: false, fault })
    }

    /// The last iteration that was made.
    fn last(&self) -> usize {
        self.models.len() - 1
    }

    /// Whether no iteration can follow.
    fn is_over(&self) -> bool {
        self.converged || self.fault.is_some()
    }

    /// The steps up to the end: with a fault, up to the one that fails.
    fn steps(&self) -> usize {
        2 * self.last() + if self.fault.is_some() { 2 } else { 0 }
    }
}

/// EM after some steps, of which odd ones are E-steps and even ones M-steps.
struct State {
    course: Rc<Course>,
    steps: usize,
}

impl State {
    fn new(settings: &Settings) -> Result<State> {
        let steps = settings.count("steps");
        let course = Course::kept(settings, steps / 2)?;
        let steps = if course.is_over() { steps.min(course.steps()) } else { steps };
        Ok(State { course, steps })
    }

    /// The iterations that were made.
    fn made(&self) -> usize {
        (self.steps / 2).min(self.course.last())
    }

    /// The fault, if the steps have come to it.
    fn fault(&self) -> Option<&Error> {
        self.course.fault.as_ref().filter(|_| self.steps >= self.course.steps())
    }

    fn data(&self) -> &Array2<f64> {
        &self.course.data
    }

    /// The model now.
    fn model(&self) -> &Gmm {
        &self.course.models[self.made()]
    }

    /// The model of the last E-step; `None` before the first one.
    fn assigned(&self) -> Option<&Gmm> {
        let steps = self.steps.checked_sub(1)?;
        Some(&self.course.models[(steps / 2).min(self.course.last())])
    }

    /// The lower bound on the log-likelihood, for the responsibilities of the last E-step: the log-likelihood minus the divergence of
    /// the posterior from them.
    fn bound(&self, log_likelihood: f64) -> Result<Option<f64>> {
        let Some(assigned) = self.assigned() else { return Ok(None) };
        let (q, now) = (assigned.responsibilities(self.data())?, self.model().responsibilities(self.data())?);
        let term =
            |(&q, &r): (&f64, &f64)| if q > 0.0 { q * (q / r.max(f64::MIN_POSITIVE)).ln() } else { 0.0 };
        Ok(Some(log_likelihood - q.iter().zip(&now).map(term).sum::<f64>()))
    }

    /// Whether no step can follow.
    fn is_over(&self) -> bool {
        self.steps == MOST_STEPS || self.course.is_over() && self.steps == self.course.steps()
    }

    /// What the last step did.
    fn said(&self) -> String {
        match (self.fault(), self.steps) {
            (Some(Error::Collapsed { component, .. }), _) => {
                format!("after {}: component {} has collapsed", iterations(self.made()), letter(*component))
            }
            (Some(_), _) => format!("after {}: the next one fails", iterations(self.made())),
            _ if self.course.converged && self.steps >= self.course.steps() => {
                format!("after {}: the log-likelihood no longer changes", iterations(self.made()))
            }
            (_, MOST_STEPS) => format!("not converged after {}", iterations(self.made())),
            (_, 0) => "start: no responsibilities yet".to_owned(),
            (_, steps) if steps % 2 == 1 => format!("step {steps}, an E-step: the responsibilities"),
            (_, steps) => format!("step {steps}, an M-step: weights, means and covariances"),
        }
    }

    /// Why the next iteration could not be made, in words.
    fn said_of_fault(&self) -> String {
        match self.fault() {
            Some(Error::Collapsed { component, regularisation, suggestion, .. }) => format!(
                " Component {} has collapsed onto a point or a line: with the floor {regularisation} its next covariance has no \
                 inverse, and the log-likelihood would grow without bound. The library suggests a floor of {suggestion}.",
                letter(*component)
            ),
            Some(other) => format!(" The library says: {other}."),
            None => String::new(),
        }
    }
}

/// A number of iterations in words.
fn iterations(count: usize) -> String {
    if count == 1 { "1 iteration".to_owned() } else { format!("{count} iterations") }
}

fn draw(settings: &Settings) -> Result<Scene> {
    let state = match State::new(settings) {
        Ok(state) => state,
        Err(error) => return plane::points_alone((LIVE.name, LIVE.title, &NAMES), settings, &error),
    };
    let model = state.model();
    let criteria = model.criteria(state.data())?;
    let bound = state.bound(criteria.log_likelihood)?;
    let mut chart = plane::plane(LIVE.name, LIVE.title, &state.said());
    draw_points(&mut chart, &state)?;
    draw_ellipses(&mut chart, model, |k| ellipse_pens(component(k)))?;
    let made = state.made();
    let path: Vec<&Array2<f64>> = state.course.models[..=made].iter().map(|model| &model.means).collect();
    plane::draw_centres(&mut chart, &path);
    let values: Vec<Point> =
        state.course.objectives[..=made].iter().enumerate().map(|(t, &l)| (t as f64, l)).collect();
    plane::draw_course(&mut chart, "log-likelihood (nats)", "iteration", &values);
    plane::draw_bars(&mut chart, "weights π", &model.weights.to_vec(), 3);
    let said = state.said();
    let weights: Vec<String> = model
        .weights
        .iter()
        .enumerate()
        .map(|(k, &weight)| format!("{} {}", letter(k), number(weight, 3)))
        .collect();
    let words = format!(
        "{}{}. Log-likelihood {} nats, {} for each point.{} Weights: {}.{}",
        said[..1].to_uppercase(),
        &said[1..],
        number(criteria.log_likelihood, 2),
        number(criteria.log_likelihood / state.data().nrows() as f64, 3),
        bound.map_or(String::new(), |bound| format!(" Lower bound {} nats.", number(bound, 2))),
        weights.join(", "),
        state.said_of_fault()
    );
    let alt = format!(
        "{} points under the ellipses of {} components. {words}",
        state.data().nrows(),
        weights.len()
    );
    let figure = chart.alt(alt).finish()?;
    let mut numbers =
        vec![Number::new("log_likelihood", "log-likelihood (nats)", criteria.log_likelihood, 3)];
    numbers.extend(bound.map(|bound| Number::new("bound", "lower bound (nats)", bound, 3)));
    numbers.extend([
        Number::new("parameters", "free parameters p", criteria.parameters as f64, 0),
        Number::new("aic", "AIC", criteria.aic, 2),
        Number::new("bic", "BIC", criteria.bic, 2),
        Number::new("icl", "ICL", criteria.icl, 2),
        Number::new("step", "steps made", state.steps as f64, 0),
        Number::new("samples", "points n", state.data().nrows() as f64, 0),
    ]);
    let mut idle = plane::idle_controls(settings, &NAMES, state.is_over());
    // this button adds a component, except to the start at one point
    let is_full = settings.count("k") == plane::MOST_CENTRES && settings.text("start") != "point";
    idle.extend(is_full.then_some("collapse"));
    Ok(Scene {
        handles: plane::handles(&figure, settings, "mean of component", &plane::points_of(&model.means)),
        plane: figure.frame(0),
        numbers,
        words,
        idle,
        figure,
    })
}

/// Draws the points in the colours of their components, fainter where the responsibility is less certain; at the start grey points.
fn draw_points(chart: &mut Chart, state: &State) -> Result<()> {
    let points = plane::points_of(state.data());
    let Some(assigned) = state.assigned() else {
        chart.scatter(points, 2.7, GREY, 1.0);
        return Ok(());
    };
    let looks = looks(assigned, state.data())?;
    // Points of one look share an element.
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&i| looks[i]);
    order.into_iter().for_each(|i| chart.scatter([points[i]], 2.7, look_tint(looks[i]), 1.0));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(changes: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::start(&controls());
        changes.iter().for_each(|(name, value)| settings.set(name, *value).unwrap());
        settings
    }

    #[test]
    fn steps_are_the_librarys_and_the_bound_touches_after_each_e_step() {
        for changes in [
            &[("floor", "0")][..],
            &[("floor", "0"), ("covariance", "tied"), ("start", "hand"), ("data", "gaussians"), ("k", "2")],
            &[
                ("floor", "0.01"),
                ("covariance", "spherical"),
                ("start", "random"),
                ("data", "blobs"),
                ("k", "5"),
            ],
        ] {
            let mut settings = with(changes);
            let mut last = f64::NEG_INFINITY;
            for step in 1..=24 {
                settings.put("steps", f64::from(step), 0).unwrap();
                let scene = draw(&settings).unwrap();
                let data = plane::data(&settings);
                let fit = Gmm::fit(&data, &options(&settings, &data, step as usize / 2).unwrap()).unwrap();
                let expected = fit.model().criteria(&data).unwrap();
                assert!(
                    (scene.value("log_likelihood") - fit.objective()).abs() <= 1e-9 * fit.objective().abs()
                );
                assert_eq!(scene.value("bic"), expected.bic);
                let (level, bound) = (scene.value("log_likelihood"), scene.value("bound"));
                assert!(bound <= level + 1e-9);
                assert!(step % 2 == 0 || (level - bound).abs() <= 1e-9, "{changes:?}: step {step}");
                assert!(bound >= last - 1e-9 || settings.number("floor") > 0.0, "no step lowers the bound");
                last = bound;
            }
        }
    }

    #[test]
    fn a_component_on_a_point_collapses_and_a_floor_mends_it() {
        let mut settings = Settings::start(&controls());
        settle(&mut settings, &Event::Press { name: "collapse".to_owned() }).unwrap();
        let mut levels = vec![draw(&settings).unwrap().value("log_likelihood")];
        settle(&mut settings, &Event::Press { name: "end".to_owned() }).unwrap();
        let end = settings.count("steps");
        for step in (2..=end).step_by(2) {
            settings.put("steps", step as f64, 0).unwrap();
            levels.push(draw(&settings).unwrap().value("log_likelihood"));
        }
        let scene = draw(&settings).unwrap();
        assert!(scene.words.contains("component D has collapsed"), "{}", scene.words);
        assert_eq!(levels.pop(), levels.last().copied(), "the last step could not be made");
        assert!(levels.len() >= 2 && levels.windows(2).all(|pair| pair[1] > pair[0] + 1.0), "{levels:?}");
        for floor in ["0.000001", "0.001"] {
            settings.set("floor", floor).unwrap();
            let scene = draw(&settings).unwrap();
            assert!(!scene.words.contains("collapsed"), "{}", scene.words);
        }
    }

    #[test]
    fn without_a_start_the_points_stay_and_the_words_say_why() {
        for changes in
            [&[("data", "none")][..], &[("data", "none"), ("added", "1,1;1,1;2,2"), ("floor", "0")]]
        {
            for start in ["kmeans", "random", "hand", "point"] {
                let mut settings = with(changes);
                settings.set("start", start).unwrap();
                let scene = draw(&settings).unwrap();
                assert!(scene.words.len() >= 20 && scene.plane.is_some(), "{}", scene.words);
            }
        }
        assert!(draw(&with(&[("data", "none")])).unwrap().words.contains("Click to add points"));
    }
}
