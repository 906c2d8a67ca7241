//! Figures of chapter 4: Gaussian mixtures.

use ndarray::{Array2, array};

use super::clusters::{Course, axes, curves_over_counts, draw_ellipses, ellipse, ellipse_pens};
pub use super::clusters::{Objective, PictureRow, objective_trace, pictures};
use super::{Entry, checks};
use crate::draw::{
    CARD, Chart, Field, Figure, INK, Ink, Label, Pen, Point, Side, Tint, animate, between, component,
    equal_units, in_steps, letter, number, round_step, stride,
};
use crate::em::{Fit, Stop};
use crate::error::Result;
use crate::gmm::{Covariances, Criteria, Gmm, GmmOptions, GmmStart};
use crate::samples;

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[
    ("mixture-truth", || {
        let title = "The density that the points are drawn from";
        let (samples, truth) = (blog_samples(), samples::two_gaussians_model());
        Ok(mixture_contours(title, &samples, &truth, (-8.0, 6.0), (-6.0, 8.0))?.named("mixture-truth"))
    }),
    ("mixture-contours", || {
        let title = "The density of the fitted mixture over points drawn as in the blog";
        let samples = blog_samples();
        mixture_contours(title, &samples, blog_mixture_fit(&samples)?.model(), (-8.0, 6.0), (-6.0, 8.0))
    }),
    ("mixture-animation", || mixture_animation(&blog_samples(), &blog_mixture_fit(&blog_samples())?)),
    ("mixture-trace", mixture_trace),
    ("mixture-bic", mixture_bic),
];

fn mixture_trace() -> Result<Figure> {
    let (samples, _) = samples::five_blobs(300, 1);
    let (start, stop) = (GmmStart::RandomResponsibilities, Stop { max_iterations: 150, tolerance: 1e-4 });
    let options = GmmOptions { components: 5, start, stop, ..exact() };
    let fits = (0..12).map(|seed| Gmm::fit(&samples, &GmmOptions { seed, ..options.clone() }));
    let title = "Log-likelihood by iteration from twelve random starts";
    let figure = objective_trace(title, &fits.collect::<Result<Vec<_>>>()?, Objective::LogLikelihood)?;
    Ok(figure.named("mixture-trace"))
}

fn mixture_bic() -> Result<Figure> {
    let ((samples, _), counts) = (samples::five_blobs(300, 1), Vec::from_iter(1..=9));
    let criteria = |&components: &usize| {
        let options = GmmOptions { components, restarts: 3, regularisation: 1e-3, ..exact() };
        Gmm::fit(&samples, &options)?.model().criteria(&samples)
    };
    information_criteria(&counts, &counts.iter().map(criteria).collect::<Result<Vec<_>>>()?)
}

fn blog_samples() -> Array2<f64> {
    samples::two_gaussians(1000, 1234).0
}

/// Options without regularisation, with one thread: on small data, more threads would only wait for each other.
fn exact() -> GmmOptions {
    GmmOptions { threads: 1, regularisation: 0.0, ..Default::default() }
}

/// Runs EM on the blog post's data ([`samples::two_gaussians`]) from a poor start: means (0.3, 0.7) and (0.9, 0.2), equal
/// weights, unit covariances. Without regularisation, the log-likelihood never falls. The fit keeps its models.
///
/// # Errors
///
/// Returns the errors of [`Gmm::fit`].
pub fn blog_mixture_fit(samples: &Array2<f64>) -> Result<Fit<Gmm>> {
    let start = Gmm {
        weights: array![0.5, 0.5],
        means: array![[0.3, 0.7], [0.9, 0.2]],
        covariances: Covariances::Full(array![[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]),
    };
    let start = GmmStart::Given(start);
    Gmm::fit(samples, &GmmOptions { components: 2, start, keep_models: true, ..exact() })
}

/// Colours of contour lines from low to high, different from the components' colours.
const HEIGHTS: [Tint; 2] =
    [Tint::new([156, 100, 186], [150, 110, 190]), Tint::new([84, 16, 116], [222, 184, 250])];

/// Draws the density of a mixture as contour lines over the samples, with each component's ellipses of one and two standard
/// deviations.
///
/// `data` are samples in the plane (n x 2), `mixture` is a mixture in the plane, and `x_range` and `y_range` are the ranges of the
/// axes. The contour lines are at about six multiples of a round number. Of more than 2500 samples, every n-th is
/// drawn.
///
/// # Errors
///
/// Returns an error if there are no samples, if samples or means are not points in the plane within 1e130 of 0, if a range
/// is empty, not finite, too long or too short for an axis, or if the mixture is invalid, has more than 200 components, or
/// its density overflows.
pub fn mixture_contours(
    title: &str,
    data: &Array2<f64>,
    mixture: &Gmm,
    x_range: (f64, f64),
    y_range: (f64, f64),
) -> Result<Figure> {
    const PLACES: usize = 140;
    checks::plane(data)?;
    checks::mixture(mixture)?;
    let places = Field::places(PLACES, x_range, y_range);
    let grid = Array2::from(Vec::from_iter(places.into_iter().map(|(x, y)| [x, y])));
    let density = mixture.log_density(&grid)?.into_iter().map(f64::exp).collect();
    let field = Field::new(PLACES, x_range, y_range, density);
    checks::finite("the density of the mixture", [field.highest])?;
    // A density close to 0 everywhere has no contour lines.
    let step = if field.highest > 1e-290 { round_step(field.highest / 6.0) } else { 1.0 };
    let levels: Vec<f64> =
        (1..=12).map(|i| f64::from(i) * step).take_while(|&level| level < field.highest).collect();

    let (width, height) = equal_units(x_range, y_range, (540.0, 540.0));
    let [x, y] = axes(x_range, y_range);
    let size = (width as u32 + 72 + 132, height as u32 + 76);
    let mut chart = Chart::new("mixture-contours", title, size, x, y).margins(72, 132, 20, 56);
    let points = checks::points(data).into_iter().step_by(stride(data.nrows(), 2500));
    chart.scatter(points, 2.8, INK, 0.15);
    let tint = |index: usize| between(&HEIGHTS, index as f64 / (levels.len().max(2) - 1) as f64);
    for (index, &level) in levels.iter().enumerate() {
        for line in field.isolines(&[level])? {
            chart.haloed(&line, Pen::new(tint(index), 1.6));
        }
    }
    draw_components(&mut chart, mixture, x_range)?;

    let left = 72.0 + width + 18.0;
    let ink = Ink::new(INK).plain().size(12.5);
    let density = |level: f64| in_steps(level, 0.1 * step);
    let level = |(index, &level): (usize, &f64)| (Pen::new(tint(index), 1.6), density(level));
    let levels: Vec<(Pen, String)> = levels.iter().enumerate().rev().map(level).collect();
    let rings = Vec::from_iter(ellipse_pens(INK).into_iter().zip(["1 σ".to_string(), "2 σ".to_string()]));
    let mut top = 30.0;
    for (heading, lines) in [("density", levels), ("ellipses", rings)] {
        chart.note((left, top), ink.bold(), heading);
        for (pen, text) in lines {
            top += 20.0;
            chart.line_anywhere([left, left + 24.0].map(|x| chart.at_pixel(x, top)), pen);
            chart.note((left + 31.0, top), ink, text);
        }
        top += 32.0;
    }
    let alt = format!(
        "Grey points under purple contour lines of the density up to {} and, for each component, a solid and a dashed ellipse: {}.",
        density(field.highest),
        components_in_words(mixture)
    );
    chart.alt(alt).finish()
}

/// The letters, means and weights of the components, in words.
fn components_in_words(mixture: &Gmm) -> String {
    let word = |k: usize| {
        let [x, y, weight] =
            [mixture.means[(k, 0)], mixture.means[(k, 1)], mixture.weights[k]].map(|v| number(v, 2));
        format!("{} at ({x}, {y}) with weight {weight}", letter(k))
    };
    (0..mixture.weights.len()).map(word).collect::<Vec<_>>().join(", ")
}

/// Animates EM for a mixture, one frame per iteration. A sample has the colour of the component with the largest
/// responsibility, paler if that responsibility is smaller. Each component has ellipses of one and two standard
/// deviations and the path of its mean.
///
/// `data` are samples in the plane (n x 2), `fit` a fit to these samples. Long fits show the first iterations and a
/// selection of the others; of more than 1200 samples, every n-th is drawn.
///
/// # Errors
///
/// Returns an error if there are no samples, if samples or means are not points in the plane within 1e130 of 0, if the fit
/// has not kept its models ([`GmmOptions::keep_models`]), has no steps, changes its number of components, has more than 200
/// components or a log-likelihood that is not finite, or if a mixture is invalid or gives a sample density 0.
pub fn mixture_animation(data: &Array2<f64>, fit: &Fit<Gmm>) -> Result<Figure> {
    let course = Course::new(data, fit, |model| &model.means, |model| looks(model, data))?;
    let name = ("mixture-animation", "EM at work on a mixture of Gaussians");
    let what = "colour: component; fainter: less sure; number: weight; ring: start";
    let mut frames = Vec::new();
    for (index, &t) in course.shown.iter().enumerate() {
        let model = &fit.kept_models()?[t];
        let iteration = match t {
            0 => "start".to_string(),
            1 => "after 1 iteration".to_string(),
            _ => format!("after {t} iterations"),
        };
        let reached = format!("log-likelihood {} nats", number(fit.objectives[t], 2));
        let mut chart = course.chart(name, index, look_tint, (iteration, what, reached.clone()));
        course.draw_paths(&mut chart, t, component);
        draw_components(&mut chart, model, course.x)?;
        let alt = format!(
            "Points in the colours of the components, fainter between two. The ellipses separate, one over each cloud, and a \
             path runs from a hollow ring to each mean. In the end: {reached}, {}.",
            components_in_words(model)
        );
        frames.push(chart.alt(alt).finish()?);
    }
    animate("mixture-animation", &frames, 0.8)
}

/// The number of shades of a component's colour; the largest responsibility selects one.
const SHADES: usize = 4;

/// The colour of a [look](looks).
pub(crate) fn look_tint(look: usize) -> Tint {
    let unsure = (SHADES - 1 - look % SHADES) as f64 / (SHADES - 1) as f64;
    component(look / SHADES).mixed(CARD, 0.5 * unsure)
}

/// For each sample: the component with the largest responsibility times [`SHADES`], plus the shade.
pub(crate) fn looks(model: &Gmm, data: &Array2<f64>) -> Result<Vec<usize>> {
    let look = |row: ndarray::ArrayView1<f64>| {
        let best = (0..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
        best * SHADES + [0.65, 0.85, 0.97].iter().filter(|&&least| row[best] >= least).count()
    };
    Ok(model.responsibilities(data)?.rows().into_iter().map(look).collect())
}

/// Draws each component's ellipses and mean, and its letter and weight beside the outer ellipse.
fn draw_components(chart: &mut Chart, model: &Gmm, x: (f64, f64)) -> Result<()> {
    draw_ellipses(chart, model, |k| ellipse_pens(component(k)))?;
    let mut labels = Vec::new();
    for k in 0..model.weights.len() {
        chart.centre((model.means[(k, 0)], model.means[(k, 1)]), component(k));
        let ring = ellipse(model, k, 2.0)?;
        // The ellipse starts at its right end. If the text does not fit there, it goes to the left end.
        let fits = ring[0].0 < x.0 + 0.87 * (x.1 - x.0);
        let (at, gap, side) =
            if fits { (ring[0], 8.0, Side::Right) } else { (ring[ring.len() / 2], -8.0, Side::Left) };
        let (x, y) = chart.pixel(at);
        labels.push((x + gap, y, side, k));
    }
    // From top to bottom; a label that would overlap another one moves below it.
    labels.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut taken: Vec<Point> = Vec::new();
    for (x, mut y, side, k) in labels {
        for other in taken.iter().filter(|other| (other.0 - x).abs() < 70.0) {
            y = if (y - other.1).abs() < 20.0 { other.1 + 20.0 } else { y };
        }
        let text = format!("{}: {}", letter(k), number(model.weights[k], 2));
        chart.write((x, y), side, Ink::new(component(k)).bold(), text);
        taken.push((x, y));
    }
    Ok(())
}

/// Draws BIC, AIC and ICL over the number of components (`counts`, increasing), each with its minimum marked.
///
/// # Errors
///
/// Returns an error if there are no counts, if they do not increase, if there are too few or too many criteria, or if a
/// value is not finite or beyond 1e140.
pub fn information_criteria(counts: &[usize], criteria: &[Criteria]) -> Result<Figure> {
    let of = |value: fn(&Criteria) -> f64| criteria.iter().map(value).collect::<Vec<f64>>();
    let curves = [("BIC", of(|all| all.bic)), ("AIC", of(|all| all.aic)), ("ICL", of(|all| all.icl))];
    let title = ("mixture-bic", "BIC, AIC and ICL over the number of components");
    let axes = ("number of components", "\u{2212}2 log-likelihood + penalty");
    let mut chart = curves_over_counts(title, counts, &curves, axes, 150)?;
    let smallest =
        |values: &[f64]| (0..values.len()).min_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0);
    let best: Vec<usize> = curves.iter().map(|curve| smallest(&curve.1)).collect();
    let place = |c: usize, index: usize| (counts[index] as f64, curves[c].1[index]);
    let pixels: Vec<Point> = (0..3).map(|c| chart.pixel(place(c, best[c]))).collect();
    // Marks at the same position become concentric rings, the outermost drawn first.
    for c in (0..3).rev() {
        let (x, y) = pixels[c];
        let met = pixels[..c].iter().filter(|other| (other.0 - x).hypot(other.1 - y) < 14.0).count();
        chart.ring(place(c, best[c]), 8.0 + 4.5 * met as f64, component(c));
    }
    (0..3).for_each(|c| chart.dot(place(c, best[c]), 4.0, component(c)));
    let label = |c: usize| {
        let (name, values) = &curves[c];
        let text = format!("{name}: lowest at {}", counts[best[c]]);
        Label { at: values[values.len() - 1], tint: component(c), text, note: String::new() }
    };
    chart.labels(&[0, 1, 2].map(label), false);
    let words = [0, 1, 2]
        .map(|c| format!("{} {} at {}", curves[c].0, number(curves[c].1[best[c]], 0), counts[best[c]]));
    chart.alt(format!("Three curves, each with a ring at its lowest point: {}.", words.join(", "))).finish()
}
