//! Chapter 4: Gaussian mixtures in the plane.

use ndarray::Array2;

use super::animate::shown_iterations;
use super::chart::{CARD, Chart, GREY, INK, Ink, Pen, Point, Side, number, scientific};
use super::image::{Rgb, between};
use super::plane::{
    axes, centre, check_centres, check_plane, check_steps, equal_units, haloed, padded, points, stride,
};
use super::surface::Surface;
use super::{Figure, animate, colour, letter};
use crate::em::Fit;
use crate::error::{Error, Result};
use crate::gmm::Gmm;

/// Isolines, about.
const LEVELS: f64 = 10.0;

/// Places along each axis at which the density is evaluated.
const PLACES: usize = 140;

/// Colours of the isolines, from low to high.
const HEIGHTS: [Rgb; 3] = [[206, 190, 212], [142, 104, 160], [74, 34, 96]];

/// Samples that are drawn at most.
const MOST_SAMPLES: usize = 2500;

/// The density of a mixture as isolines over the samples, with each component's ellipses of one and two standard
/// deviations about its mean.
///
/// `data` are samples in the plane (n x 2), `mixture` one of means in the plane, the ranges those of the axes. The levels
/// are multiples of a round number, about ten. Of more than 2500 samples every so manieth is drawn.
///
/// # Errors
///
/// Returns an error if there are no samples, if samples or means are not of two finite numbers within 1e130 of 0, if a range
/// is empty, not finite, too long or too short for an axis, and for a mixture that is none, of more than 200 components, or
/// whose density overflows.
pub fn mixture_contours(
    data: &Array2<f64>,
    mixture: &Gmm,
    x_range: (f64, f64),
    y_range: (f64, f64),
) -> Result<Figure> {
    check_plane(data)?;
    check_mixture(mixture)?;
    let (name, expected) = ("the length of an axis", "positive and finite");
    for value in [x_range.1 - x_range.0, y_range.1 - y_range.0] {
        if !(value > 0.0 && value.is_finite()) {
            return Err(Error::Setting { name, expected, value });
        }
    }
    let along = |range: (f64, f64), share: f64| range.0 + share * (range.1 - range.0);
    let share = |i: usize| i as f64 / (PLACES - 1) as f64;
    let grid = Array2::from_shape_fn((PLACES * PLACES, 2), |(index, axis)| match axis {
        0 => along(x_range, share(index % PLACES)),
        _ => along(y_range, share(index / PLACES)),
    });
    let density = mixture.log_density(&grid)?.into_iter().map(f64::exp).collect();
    let surface = Surface::from_values(PLACES, density);
    if !surface.highest.is_finite() {
        let (name, expected) = ("the density of the mixture", "finite: a component is too narrow");
        return Err(Error::Setting { name, expected, value: surface.highest });
    }
    // A density of about 0 everywhere has no isolines.
    let step = if surface.highest > 1e-290 { round_step(surface.highest / LEVELS) } else { 1.0 };
    let levels: Vec<f64> = (1..=2 * LEVELS as u32)
        .map(|i| f64::from(i) * step)
        .take_while(|level| *level < surface.highest)
        .collect();

    let (width, height) = equal_units(x_range, y_range, (540.0, 540.0));
    let (x, y) = axes(x_range, y_range);
    let size = (width as u32 + 72 + 132, height as u32 + 76);
    let alt = (0..mixture.weights.len()).map(|k| {
        let (x, y) = mean(mixture, k);
        format!("{} at ({x:.2}, {y:.2}) with weight {:.2}", letter(k), mixture.weights[k])
    });
    let alt = format!(
        "{} samples, isolines of the mixture's density and the ellipses of its components: {}.",
        data.nrows(),
        alt.collect::<Vec<_>>().join(", ")
    );
    let mut chart = Chart::new("mixture-contours", size, x, y).margins(72, 132, 20, 56).alt(alt);
    let every = stride(data.nrows(), MOST_SAMPLES);
    chart.scatter(points(data).into_iter().step_by(every), 2.8, [70, 78, 84], 0.26);
    let tint = |index: usize| between(&HEIGHTS, index as f64 / (levels.len().max(2) - 1) as f64);
    for (index, &level) in levels.iter().enumerate() {
        for line in surface.isolines(&[level])? {
            let line = line.into_iter().map(|(u, v)| (along(x_range, u), along(y_range, v)));
            chart.line(line, Pen::new(tint(index), 1.5));
        }
    }
    draw_components(&mut chart, mixture)?;
    name_components(&mut chart, mixture, x_range, y_range)?;
    let left = 72.0 + width + 18.0;
    let ink = Ink::new(INK).plain().size(12.0);
    chart.text(chart.at_pixel(left, 30.0), (0.0, 0.0), Side::Right, ink.bold(), "density");
    let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
    let decimals = if (step * 10f64.powi(decimals as i32)).fract() > 1e-6 { decimals + 1 } else { decimals };
    // A row for each level, the highest at the top, as many as have room.
    let skip = levels.len().div_ceil(((height - 160.0) / 19.0) as usize).max(1);
    let mut top = 52.0;
    for (index, level) in levels.iter().enumerate().rev().step_by(skip) {
        let (from, to) = (chart.at_pixel(left, top), chart.at_pixel(left + 22.0, top));
        chart.line_anywhere([from, to], Pen::new(tint(index), 2.2));
        let text = if decimals > 12 { scientific(*level, 2) } else { number(*level, decimals) };
        chart.text(to, (8.0, 0.0), Side::Right, ink, text);
        top += 19.0;
    }
    top += 22.0;
    chart.text(chart.at_pixel(left, top), (0.0, 0.0), Side::Right, ink.bold(), "ellipses");
    for (deviations, pen) in DEVIATIONS {
        top += 20.0;
        let (from, to) = (chart.at_pixel(left, top), chart.at_pixel(left + 22.0, top));
        chart.line_anywhere([from, to], Pen { colour: INK, ..pen });
        chart.text(to, (8.0, 0.0), Side::Right, ink, format!("{deviations:.0} σ"));
    }
    chart.finish()
}

/// EM at work on a mixture, a frame an iteration: samples in the blend of the components' colours that their
/// responsibilities make, and each component's ellipses of one and two standard deviations with the trail of its mean.
///
/// `data` are samples in the plane (n x 2) and `fit` is one of theirs. Of a long fit the first iterations and some of the
/// others are shown, of more than 1200 samples every so manieth.
///
/// # Errors
///
/// Returns an error if there are no samples, if samples or means are not of two finite numbers within 1e130 of 0, if the fit
/// has not kept its models ([`GmmOptions::keep_models`](crate::gmm::GmmOptions::keep_models)), has no steps, steps of different numbers
/// of components or more than 200 components, and for a mixture that is none or gives a sample no density.
pub fn mixture_animation(data: &Array2<f64>, fit: &Fit<Gmm>) -> Result<Figure> {
    check_plane(data)?;
    check_steps(fit)?;
    let models = fit.kept_models()?;
    check_centres("the means", models.iter().chain([fit.model()]).map(|model| &model.means))?;
    check_mixture(fit.model())?;
    const SECONDS: f64 = 0.8;
    let components = fit.model().weights.len();
    // Ellipses take most of the room of many components.
    let shown = shown_iterations(fit.iterations(), (70 / components.max(1)).clamp(8, 20));
    let every = stride(data.nrows(), 1200);
    let all = points(data);
    let blends: Vec<Vec<Rgb>> = shown
        .iter()
        .map(|&t| {
            let shares = models[t].responsibilities(data)?;
            Ok(shares.rows().into_iter().map(|row| blend(&row.to_vec())).collect())
        })
        .collect::<Result<_>>()?;
    let trail =
        |k: usize, t: usize| -> Vec<Point> { models[..=t].iter().map(|model| mean(model, k)).collect() };
    let means: Vec<Point> = (0..components).flat_map(|k| trail(k, fit.iterations())).collect();
    let x = padded(all.iter().chain(&means).map(|point| point.0), 0.06);
    let y = padded(all.iter().chain(&means).map(|point| point.1), 0.06);
    let (width, height) = equal_units(x, y, (640.0, 520.0));
    let samples = (0..all.len()).step_by(every);
    let (still, moving): (Vec<usize>, Vec<usize>) =
        samples.partition(|&i| blends.iter().all(|now| now[i] == blends[0][i]));

    let mut frames = Vec::with_capacity(shown.len());
    for (index, &t) in shown.iter().enumerate() {
        let model = &models[t];
        let (x_axis, y_axis) = axes(x, y);
        let size = (width as u32 + 96, height as u32 + 106);
        let alt = format!(
            "{} samples in the colours of {components} components; after {t} iterations the log-likelihood is {:.2} nats.",
            all.len(),
            fit.objectives[t]
        );
        let mut chart =
            Chart::new("mixture-animation", size, x_axis, y_axis).margins(72, 24, 50, 56).alt(alt);
        for rows in [&still, &moving] {
            let mut order: Vec<(Rgb, usize)> = rows.iter().map(|&i| (blends[index][i], i)).collect();
            order.sort_unstable();
            for (colour, i) in order {
                chart.scatter([all[i]], 2.7, colour, 1.0);
            }
        }
        for k in 0..components {
            let trail = trail(k, t);
            haloed(&mut chart, &trail, Pen::new(INK, 1.2));
        }
        draw_components(&mut chart, model)?;
        name_components(&mut chart, model, x, y)?;
        let ink = Ink::new(INK).plain().size(14.0);
        let title = match t {
            0 => "start".to_string(),
            1 => "after 1 iteration".to_string(),
            _ => format!("after {t} iterations"),
        };
        let what = "each sample in the blend of colours that its responsibilities make";
        chart.text(chart.at_pixel(72.0, 17.0), (0.0, 0.0), Side::Right, ink.bold(), title);
        let small = if width < 520.0 { ink.size(12.0) } else { ink };
        chart.text(chart.at_pixel(72.0, 37.0), (0.0, 0.0), Side::Right, small, what);
        let text = format!("{} nats", number(fit.objectives[t], 2));
        chart.text(chart.at_pixel(72.0 + width, 17.0), (0.0, 0.0), Side::Left, ink.bold(), text);
        frames.push(chart.finish()?);
    }
    animate("mixture-animation", &frames, SECONDS)
}

/// The colours of the components, each as much as its share, in steps of an eighth so that samples of one colour can be
/// drawn together.
fn blend(shares: &[f64]) -> Rgb {
    let steps: Vec<f64> = shares.iter().map(|share| (share * 8.0).round() / 8.0).collect();
    let total: f64 = steps.iter().sum();
    if total <= 0.0 {
        return GREY; // many components, each with little
    }
    std::array::from_fn(|channel| {
        let mixed = steps.iter().enumerate().map(|(k, share)| share * f64::from(colour(k)[channel]));
        (mixed.sum::<f64>() / total).round() as u8
    })
}

/// Standard deviations at which ellipses run, and their look.
const DEVIATIONS: [(f64, Pen); 2] = [
    (1.0, Pen { colour: INK, width: 2.4, dash: None, opacity: 1.0 }),
    (2.0, Pen { colour: INK, width: 1.6, dash: Some((6.0, 4.0)), opacity: 1.0 }),
];

/// Ellipses and means, each component in its colour; of more than twelve components the inner ellipses only.
fn draw_components(chart: &mut Chart, model: &Gmm) -> Result<()> {
    let rings = if model.weights.len() > 12 { 1 } else { 2 };
    for k in 0..model.weights.len() {
        for (deviations, pen) in DEVIATIONS.into_iter().take(rings) {
            let ring = ellipse(model, k, deviations)?;
            chart.line(
                ring.iter().copied(),
                Pen { width: pen.width + 2.2, opacity: 0.85, ..Pen::new(CARD, 1.0) },
            );
            chart.line(ring, Pen { colour: colour(k), ..pen });
        }
    }
    for k in 0..model.weights.len() {
        centre(chart, mean(model, k), k);
    }
    Ok(())
}

/// The letter and weight of each component at that corner of its outer ellipse which is farthest from the others.
fn name_components(chart: &mut Chart, model: &Gmm, x: (f64, f64), y: (f64, f64)) -> Result<()> {
    let rings: Vec<Vec<Point>> =
        (0..model.weights.len()).map(|k| ellipse(model, k, 2.0)).collect::<Result<_>>()?;
    let share = |point: &Point| ((point.0 - x.0) / (x.1 - x.0), (point.1 - y.0) / (y.1 - y.0));
    let apart = |a: &Point, b: &Point| {
        let ((ax, ay), (bx, by)) = (share(a), share(b));
        (ax - bx).hypot(ay - by)
    };
    for (k, ring) in rings.iter().enumerate() {
        let corner = |(across, up): (f64, f64)| {
            let reach = |point: &Point| across * share(point).0 + up * share(point).1;
            let at = ring.iter().copied().max_by(|a, b| reach(a).total_cmp(&reach(b))).unwrap_or_default();
            // The text is wide, so it must begin well inside the axes.
            let (right, high) = share(&at);
            let inside = (0.02..0.98).contains(&high) && (0.01..0.99).contains(&(right + 0.13 * across));
            let others = rings.iter().enumerate().filter(|(other, _)| *other != k).flat_map(|(_, ring)| ring);
            let room = others.map(|point| apart(point, &at)).fold(1.0, f64::min);
            (if inside { room } else { room - 2.0 }, at, across, up)
        };
        let corners = [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)].map(corner);
        // The first of the best, so that it stays to the right where it may.
        let (_, at, across, up) =
            corners.into_iter().fold((f64::NEG_INFINITY, mean(model, k), 1.0, 1.0), |best, next| {
                if next.0 > best.0 + 1e-9 { next } else { best }
            });
        let at = (at.0.clamp(x.0, x.1), at.1.clamp(y.0, y.1));
        let side = if across < 0.0 { Side::Left } else { Side::Right };
        let text = format!("{}: {}", letter(k), number(model.weights[k], 2));
        chart.text(at, (7.0 * across, -9.0 * up), side, Ink::new(colour(k)).bold(), text);
    }
    Ok(())
}

fn mean(model: &Gmm, k: usize) -> Point {
    (model.means[(k, 0)], model.means[(k, 1)])
}

/// Is it a mixture, and in the plane?
pub(crate) fn check_mixture(mixture: &Gmm) -> Result<()> {
    check_centres("the means", [&mixture.means])?;
    Gmm::new(mixture.weights.clone(), mixture.means.clone(), mixture.covariances.clone()).map(|_| ())
}

/// The ellipse of so many standard deviations about a component's mean, closed.
///
/// # Errors
///
/// A covariance that is not positive definite.
pub(crate) fn ellipse(model: &Gmm, k: usize, deviations: f64) -> Result<Vec<Point>> {
    const CORNERS: usize = 80;
    let covariance = model.covariance(k);
    // Sigma = L L^T takes the circle to the ellipse.
    let l11 = covariance[(0, 0)].sqrt();
    let l21 = covariance[(1, 0)] / l11;
    let l22 = (covariance[(1, 1)] - l21 * l21).sqrt();
    if !(l11 > 0.0 && l22 > 0.0 && l21.is_finite()) {
        return Err(Error::NotPositiveDefinite { component: k });
    }
    let (x, y) = mean(model, k);
    Ok((0..=CORNERS)
        .map(|i| {
            let (sine, cosine) = (2.0 * std::f64::consts::PI * i as f64 / CORNERS as f64).sin_cos();
            (x + deviations * l11 * cosine, y + deviations * (l21 * cosine + l22 * sine))
        })
        .collect())
}

/// The round number nearest to a positive step: 1, 1.5, 2, 2.5, 3, 4, 5, 6 or 8 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let rounds = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let nearest =
        rounds.into_iter().min_by(|a, b| (a - step / power).abs().total_cmp(&(b - step / power).abs()));
    nearest.unwrap_or(1.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gmm::Covariances;
    use ndarray::array;

    #[test]
    fn an_ellipse_is_so_many_deviations_away() {
        let covariance = array![[2.0, 0.6], [0.6, 0.5]];
        let model = Gmm {
            weights: array![1.0],
            means: array![[1.0, -2.0]],
            covariances: Covariances::Tied(covariance.clone()),
        };
        let determinant = 2.0 * 0.5 - 0.36;
        for (x, y) in ellipse(&model, 0, 2.0).unwrap() {
            let (x, y) = (x - 1.0, y + 2.0);
            let squared = (0.5 * x * x - 1.2 * x * y + 2.0 * y * y) / determinant;
            assert!((squared - 4.0).abs() < 1e-9);
        }
        let flat = Gmm { covariances: Covariances::Tied(array![[1.0, 1.0], [1.0, 1.0]]), ..model };
        assert!(matches!(ellipse(&flat, 0, 1.0), Err(Error::NotPositiveDefinite { component: 0 })));
    }

    #[test]
    fn steps_are_round_and_blends_pure_at_their_ends() {
        assert!((round_step(0.0078) - 0.008).abs() < 1e-12 && (round_step(97.0) - 100.0).abs() < 1e-9);
        assert_eq!((blend(&[1.0, 0.0]), blend(&[0.03, 0.97])), (colour(0), colour(1)));
    }
}
