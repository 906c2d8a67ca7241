//! Figures of chapter 2: EM for coins with hidden labels.

use std::cmp::Ordering;

use super::checks::{at_most, length, not_empty, steps};
use super::coins::{Groups, UNIT, inside, path, theta, theta_axis};
use super::{Entry, animate};
use crate::coin::{CoinOptions, Coins, Expectation, Experiments, Mixing};
use crate::draw::{
    Axis, BLUE, CARD, Chart, Field, Figure, GREEN, GREY, INK, Ink, Palette, Pen, Point, Scale, Tint,
    VERMILION, component, draw_scale, extent, letter, number, padded, stride,
};
use crate::em::{self, Fit, Stop};
use crate::error::{Error, Result};

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[
    ("landscape", || landscape(&Experiments::blog_hidden())),
    ("bound-animation", || {
        let experiments = Experiments::blog_hidden();
        bound_animation(&experiments, &first_coin_free(&experiments, &Coins::even(&[0.3, 0.52])?)?, 0, 7)
    }),
    ("surface", || surface(&Experiments::blog_hidden(), &[&fit_from([0.6, 0.5])?, &fit_from([0.5, 0.6])?])),
    ("likelihood-trace", || likelihood_trace(&Experiments::blog_hidden(), &fit_from([0.6, 0.5])?)),
    ("responsibilities", || {
        let experiments = Experiments::blog_hidden();
        responsibilities(&experiments, &experiments.expectations(&fit_from([0.6, 0.5])?)?)
    }),
    ("starts", || {
        let experiments = Experiments::blog_hidden();
        starts(&experiments, &fits_from_grid(&experiments, 21)?)
    }),
    ("falling-number", || {
        let experiments = Experiments::blog_hidden();
        Ok(likelihood_trace(&experiments, &fit_from([0.8, 0.45])?)?.named("falling-number"))
    }),
];

/// The heat map's colours reach this many nats below the maximum.
const DEPTH: f64 = 32.0;

/// The title of [`surface`].
const SURFACE: &str = "Hidden labels: the log-likelihood of two coins and EM's path";

/// Ends of EM paths within this distance in theta count as the same.
const SAME_END: f64 = 0.02;

/// Colours of paths that are visible on the heat map.
const PATHS: [Tint; 4] =
    [VERMILION, INK, Tint::new([140, 60, 130], [214, 140, 204]), Tint::new([150, 95, 0], [232, 184, 92])];

/// The colour of the gap between log-likelihood and bound.
const GAP: Tint = Tint::new([248, 221, 196], [84, 56, 36]);

/// A fit of more iterations is drawn without marks.
const MOST_MARKS: usize = 400;

/// The fit of the blog post's experiments from these thetas, with all its models.
fn fit_from(thetas: [f64; 2]) -> Result<Fit<Coins>> {
    let options = CoinOptions { start: Coins::even(&thetas)?, keep_models: true, ..Default::default() };
    Coins::fit(&Experiments::blog_hidden(), &options)
}

/// Runs EM with every parameter fixed except the theta of the first coin, so the curve of the log-likelihood over that
/// theta does not change. The fit keeps its models.
///
/// # Errors
///
/// Returns an error if the start is invalid or makes an experiment impossible.
pub fn first_coin_free(experiments: &Experiments, start: &Coins) -> Result<Fit<Coins>> {
    em::maximise(start.clone(), Stop::default(), true, |coins| {
        let found = experiments.expectation(coins)?;
        let moved = experiments.maximisation(&found.responsibilities, coins, Mixing::Given)?;
        Ok((found.log_likelihood, along(coins, 0, moved.thetas[0])))
    })
}

/// Runs EM from a `per_axis` x `per_axis` grid of starts (theta_A, theta_B) in (0, 1), diagonal included, with equal mixing
/// weights. theta_A varies fastest. The fits keep their models.
///
/// # Errors
///
/// Returns the errors of [`Coins::fit`].
pub fn fits_from_grid(experiments: &Experiments, per_axis: usize) -> Result<Vec<Fit<Coins>>> {
    let middle = |i: usize| (i as f64 + 0.5) / per_axis as f64;
    let fit = |i: usize| {
        let start = Coins::even(&[middle(i % per_axis), middle(i / per_axis)])?;
        Coins::fit(experiments, &CoinOptions { start, keep_models: true, ..Default::default() })
    };
    (0..per_axis * per_axis).map(fit).collect()
}

/// Returns the model with one coin's theta replaced.
fn along(model: &Coins, coin: usize, theta: f64) -> Coins {
    let mut moved = model.clone();
    moved.thetas[coin] = theta;
    moved
}

/// Formats a pair: `(0.797, 0.520)`
fn pair((a, b): Point) -> String {
    format!("({}, {})", number(a, 3), number(b, 3))
}

/// Formats a value: `-9.797 nats`
fn nats(value: f64) -> String {
    format!("{} nats", number(value, 3))
}

/// Computes the log-likelihood on a grid of both thetas, for the given mixing weights.
fn field(groups: &Groups, weights: &[f64]) -> Result<Field> {
    Coins::new(&[0.5, 0.5], weights)?;
    let coins = |a, b| Coins { thetas: vec![inside(a), inside(b)], weights: weights.to_vec() };
    Ok(Field::of(128, UNIT, UNIT, |a, b| groups.log_likelihood(&coins(a, b))))
}

/// Draws a square chart over both thetas: heat map, contour lines, diagonal and colour scale.
fn ground(name: &str, title: &str, field: &Field, highest: f64) -> Result<Chart> {
    let chart = Chart::new(name, title, (720, 600), theta_axis(0), theta_axis(1));
    let mut chart = chart.margins(72, 116, 20, 56);
    field.draw_heat(&mut chart, highest, DEPTH);
    field.draw_depths(&mut chart, highest, 0.45)?;
    chart.line([(0.0, 0.0), (1.0, 1.0)], Pen::new(INK, 1.4).dashed(5.0, 5.0));
    chart.label((0.16, 0.16), (10.0, 12.0), Ink::new(INK), "diagonal θ_A = θ_B");
    let scale = Scale { left: 628.0, top: 60.0, bottom: 540.0, name: "maximum", sign: "\u{2212}" };
    draw_scale(&mut chart, scale, DEPTH);
    Ok(chart)
}

/// Writes lines of text beside a point: at its right, or at its left if `left` or if there is no room.
fn told(chart: &mut Chart, at: Point, left: bool, lines: &[String]) {
    let across = if left || at.0 > 0.82 { -12.0 } else { 12.0 };
    let down = if at.1 < 0.09 { 4.0 - 17.0 * lines.len() as f64 } else { -2.0 };
    chart.paragraph(at, (across, down), Ink::new(INK).bold(), lines);
}

/// Draws the log-likelihood of two coins with hidden labels and equal mixing weights over theta_A and theta_B: colours,
/// contour lines, the maxima, and the saddle point where both coins are equal.
///
/// # Errors
///
/// Returns an error for more than 2000 distinct counts of heads.
pub fn landscape(experiments: &Experiments) -> Result<Figure> {
    let groups = Groups::new(experiments)?;
    let height = |(a, b): Point| groups.log_likelihood(&Coins { thetas: vec![a, b], weights: vec![0.5; 2] });
    // Two equal coins act as one coin, whose maximum has a closed form.
    let pooled = experiments.known_maximum(&vec![0; experiments.len()], 1)?[0];
    let (a, b) = climbed((inside(pooled + 0.1), inside(pooled - 0.1)), height);
    let marks = match a - b > 0.01 {
        true => vec![("saddle point", (pooled, pooled)), ("maximum", (a, b)), ("maximum", (b, a))],
        false => vec![("maximum", (pooled, pooled))],
    };
    let lines = |&(name, at): &(&str, Point)| [name.to_string(), pair(at), nats(height(at))];
    let alt = marks.iter().map(|mark| lines(mark).join(" ")).collect::<Vec<_>>().join("; ");
    let alt =
        format!("Colours and contour lines, which mirror each other at a dashed diagonal. Marks: {alt}.");
    let field = field(&groups, &[0.5; 2])?;
    let highest = field.highest.max(height((a, b)));
    let title = "Hidden labels: the log-likelihood of two coins";
    let mut chart = ground("landscape", title, &field, highest)?.alt(alt);
    for mark in &marks {
        match mark.0 {
            "saddle point" => chart.ring(mark.1, 5.0, INK),
            _ => chart.cross(mark.1, 6.0, INK),
        }
        told(&mut chart, mark.1, false, &lines(mark));
    }
    chart.finish()
}

/// Climbs from a point to a maximum by steps along x or y. The steps are halved when none of them goes up.
fn climbed(mut at: Point, height: impl Fn(Point) -> f64) -> Point {
    let mut step = 0.05;
    for _ in 0..200 {
        let moved = |(a, b): Point| (inside(at.0 + step * a), inside(at.1 + step * b));
        let next = [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)].map(moved);
        match next.into_iter().find(|&next| height(next) > height(at)) {
            Some(next) => at = next,
            None => step /= 2.0,
        }
    }
    at
}

/// Draws the log-likelihood of two coins with hidden labels over theta_A and theta_B as colours and contour lines, with the
/// path of each fit and the diagonal theta_A = theta_B, which EM never leaves.
///
/// The mixing weights are those of the first fit's last model, or equal if there are no fits.
///
/// # Errors
///
/// Returns an error if a fit is not of two coins or has no steps, if thetas or weights are not probabilities, if an
/// objective is not finite, or for more than 100 fits or 2000 distinct counts of heads.
pub fn surface(experiments: &Experiments, fits: &[&Fit<Coins>]) -> Result<Figure> {
    at_most("the number of fits", fits.len(), 100, "at most 100")?;
    fits.iter().try_for_each(|fit| steps(fit))?;
    let weights = fits.first().map_or(vec![0.5; 2], |fit| fit.model().weights.clone());
    let field = field(&Groups::new(experiments)?, &weights)?;
    let highest = fits.iter().map(|fit| fit.objective()).fold(field.highest, f64::max);
    paths_on(ground("surface", SURFACE, &field, highest)?, fits)
}

/// Draws [`surface`] for the blog post's experiments and equal mixing weights. Keeps what lies under the path, because a live
/// figure draws it again at each move of the hand.
///
/// # Errors
///
/// Returns the errors of [`surface`].
#[cfg(feature = "live")]
pub(crate) fn blog_surface(fit: &Fit<Coins>) -> Result<Figure> {
    static GROUND: std::sync::OnceLock<Chart> = std::sync::OnceLock::new();
    if let Some(ground) = GROUND.get() {
        return paths_on(ground.clone(), &[fit]);
    }
    let field = field(&Groups::new(&Experiments::blog_hidden())?, &[0.5; 2])?;
    let ground = ground("surface", SURFACE, &field, field.highest)?;
    paths_on(GROUND.get_or_init(|| ground).clone(), &[fit])
}

/// Draws the paths of fits on the heat map.
fn paths_on(ground: Chart, fits: &[&Fit<Coins>]) -> Result<Figure> {
    let paths = fits.iter().map(|fit| path(fit, |coins| &coins.thetas)).collect::<Result<Vec<_>>>()?;
    let steps = |places: &Vec<Point>| {
        let last = places.len() - 1;
        format!(" A path of {last} steps from {} to {}.", pair(places[0]), pair(places[last]))
    };
    let alt = paths.iter().map(steps).collect::<String>();
    let alt = format!("Colours and contour lines on both sides of a dashed diagonal.{alt}");
    let mut chart = ground.alt(alt);
    for ((places, fit), &tint) in paths.iter().zip(fits).zip(PATHS.iter().cycle()) {
        chart.haloed(places, Pen::new(tint, 2.2));
        places.iter().step_by(stride(places.len(), 1000)).for_each(|&place| chart.dot(place, 3.2, tint));
        let (start, end) = (places[0], places[places.len() - 1]);
        chart.ring(start, 5.0, tint);
        chart.cross(end, 6.0, tint);
        // keep the text inside the square
        let across = 6.0 * (f64::from(start.0 < 0.12) - f64::from(start.0 > 0.88));
        let down = if start.1 < 0.06 { -20.0 } else { 20.0 };
        let text = format!("start ({}, {})", number(start.0, 2), number(start.1, 2));
        chart.label(start, (across, down), Ink::new(INK).bold(), text);
        let left = end.0 > 0.18 && places.iter().any(|place| place.0 > end.0 + 0.02);
        told(&mut chart, end, left, &[pair(end), nats(fit.objective())]);
    }
    chart.finish()
}

/// Draws a mark at each start, coloured by the end point to which EM converges from there.
///
/// End points within 0.02 of each other in both thetas count as one; the legend counts the starts that lead to each.
///
/// # Errors
///
/// Returns an error if there are no fits or more than 20,000, if a fit is not of two coins or has no steps, if thetas or
/// weights are not probabilities, if an objective is not finite, or for more than 2000 distinct counts of heads.
pub fn starts(experiments: &Experiments, fits: &[Fit<Coins>]) -> Result<Figure> {
    not_empty("fits", fits)?;
    at_most("the number of fits", fits.len(), 20_000, "at most 20000")?;
    let field = field(&Groups::new(experiments)?, &fits[0].model().weights)?;
    // The end points with their best log-likelihoods, and the starts that lead to them.
    let mut ends: Vec<(f64, Point, Vec<Point>)> = Vec::new();
    for fit in fits {
        let places = path(fit, |coins| &coins.thetas)?;
        let (start, (a, b)) = (places[0], places[places.len() - 1]);
        let near = |(_, (c, d), _): &(f64, Point, Vec<Point>)| (a - c).abs().max((b - d).abs()) <= SAME_END;
        let same = ends.iter().position(near).unwrap_or(ends.len());
        if same == ends.len() {
            ends.push((fit.objective(), (a, b), Vec::new()));
        }
        let (best, end, starts) = &mut ends[same];
        starts.push(start);
        if fit.objective() > *best {
            (*best, *end) = (fit.objective(), (a, b));
        }
    }
    // The best end points take the first colours; ties are ordered by theta_A.
    let rank = |(best, end, _): &(f64, Point, Vec<Point>)| ((-1e6 * best).round(), -end.0);
    ends.sort_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(Ordering::Equal));

    let lines = |(best, end, starts): &(f64, Point, Vec<Point>)| {
        let plural = if starts.len() == 1 { "" } else { "s" };
        [format!("EM ends at {}", pair(*end)), nats(*best), format!("from {} start{plural}", starts.len())]
    };
    let alt = ends.iter().map(|end| lines(end).join(", ")).collect::<Vec<_>>().join("; ");
    let alt = format!("A dot at each start has the colour of the disc where EM ends: {alt}.");
    let title = "Where EM ends from each start";
    let chart = Chart::new("starts", title, (860, 600), theta_axis(0), theta_axis(1));
    let mut chart = chart.margins(72, 256, 20, 56).alt(alt);
    field.draw_depths(&mut chart, field.highest, 0.3)?;
    let radius = if fits.len() > 900 { 2.2 } else { 4.2 };
    for (k, end) in ends.iter().enumerate() {
        end.2.iter().for_each(|&start| chart.dot(start, radius, component(k)));
    }
    ends.iter().enumerate().for_each(|(k, end)| chart.centre(end.1, component(k)));
    const SHOWN: usize = 7;
    let ink = Ink::new(INK).plain();
    let row = |k: usize| 40.0 + 74.0 * k as f64;
    for (k, end) in ends.iter().enumerate().take(SHOWN) {
        let at = chart.at_pixel(632.0, row(k));
        chart.centre(at, component(k));
        let lines = lines(end);
        chart.label(at, (18.0, 0.0), ink.bold(), &lines[0]);
        chart.paragraph(at, (18.0, 17.0), ink, &lines[1..]);
    }
    let more = match ends.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("And {more} more. "),
    };
    let foot = format!("{more}Lines: equal log-likelihood.");
    chart.note((622.0, row(ends.len().min(SHOWN))), ink.size(12.0), &foot);
    chart.finish()
}

/// Animates the lower bound, one frame per iteration. A frame shows the log-likelihood along one coin's theta (other
/// parameters as in that step), the bound that touches it at the current theta, and the bound's maximum, the next
/// theta.
///
/// `frames` is the maximum number of frames, from the first iteration on; it is capped at 60. All frames have the same
/// axes.
///
/// # Errors
///
/// Returns an error if there are no frames or no iterations, if the fit has not kept its models
/// ([`CoinOptions::keep_models`]), if a model lacks the coin, is invalid or gives an experiment probability 0, if an
/// objective is not finite, or for more than 2000 distinct counts of heads.
pub fn bound_animation(
    experiments: &Experiments,
    fit: &Fit<Coins>,
    coin: usize,
    frames: usize,
) -> Result<Figure> {
    steps(fit)?;
    let models = fit.kept_models()?;
    if models.iter().any(|model| coin >= model.thetas.len()) {
        return Err(Error::Setting { name: "coin", expected: "the index of a coin", value: coin as f64 });
    }
    let frames = frames.min(fit.iterations()).min(60);
    if frames == 0 {
        return Err(Error::Empty { what: "iterations to draw" });
    }
    let groups = Groups::new(experiments)?;
    // Axes that contain every theta, and every curve near its maximum.
    let (low, high) = extent(models[..=frames].iter().map(|model| model.thetas[coin]));
    let pad = (0.3 * (high - low)).max(0.02);
    let x = ((low - pad).max(0.001), (high + pad).min(0.999));
    let mut heights = Vec::new();
    for model in &models[..=frames] {
        let height =
            |i: u32| groups.log_likelihood(&along(model, coin, x.0 + (x.1 - x.0) * f64::from(i) / 100.0));
        heights.extend((0..=100).map(height).filter(|height| height.is_finite()));
    }
    let y = padded(heights, 0.12);
    let frame = |t| bound_frame(&groups, fit, coin, t, (x, y));
    animate("bound-animation", &(0..frames).map(frame).collect::<Result<Vec<_>>>()?, 1.6)
}

/// Draws the log-likelihood and the lower bound of iteration `t`.
fn bound_frame(
    groups: &Groups,
    fit: &Fit<Coins>,
    coin: usize,
    t: usize,
    ((x0, x1), (y0, y1)): ((f64, f64), (f64, f64)),
) -> Result<Figure> {
    let model = &fit.models[t];
    let (now, next) = (model.thetas[coin], fit.models[t + 1].thetas[coin]);
    let curve = |theta: f64| groups.log_likelihood(&along(model, coin, theta));
    let lower_bound = groups.lower_bound(model)?;
    let bound = |theta: f64| lower_bound(&along(model, coin, theta));
    let (touches, maximum) = (number(now, 4), number(next, 4));
    let alt = format!(
        "Over theta of coin {}, a blue curve, the log-likelihood, touches an orange one below it, the lower bound, at \
         {touches}. The orange curve has its maximum at {maximum}. Grey dots on the axis are earlier values of theta.",
        letter(coin)
    );
    let x = Axis::new(format!("{}, probability of heads", theta(coin)), x0, x1);
    let y = Axis::new("log-likelihood, lower bound (nats)", y0, y1);
    let title = "Log-likelihood and lower bound along one theta";
    let mut chart = Chart::new("bound", title, (760, 480), x, y).margins(72, 24, 44, 56).alt(alt);
    chart.curve(x0, x1, 400, Pen::new(BLUE, 2.6), curve);
    chart.curve(x0, x1, 400, Pen::new(VERMILION, 2.2), bound);
    let (touch, peak) = ((now, fit.objectives[t]), (next, bound(next)));
    chart.line([(now, y0), touch], Pen::new(GREY, 1.2).dashed(3.0, 4.0));
    chart.line([(next, y0), peak], Pen::new(VERMILION, 1.2).dashed(3.0, 4.0));
    fit.models[..t].iter().for_each(|before| chart.dot((before.thetas[coin], y0), 3.0, GREY));
    chart.disc(touch, 7.0, BLUE);
    chart.disc(peak, 4.5, VERMILION);
    let at = x0 + 0.26 * (x1 - x0);
    chart.label((at, curve(at)), (-10.0, -18.0), Ink::new(BLUE).bold(), "log-likelihood");
    // the label stands beside the bound's left part, or beside the right one if the left one does not come down far
    // enough
    let (place, foot) = (|i: usize| x0 + (x1 - x0) * i as f64 / 100.0, y0 + 0.16 * (y1 - y0));
    let above = |i: &usize| bound(place(*i)) >= foot;
    let left = (0..=100).find(above).filter(|&i| i > 0);
    let at = left.or((0..=90).rev().find(above)).map_or(next, place);
    chart.label((at, foot), (11.0, 6.0), Ink::new(VERMILION).bold(), "lower bound");
    let ink = |tint| Ink::new(tint).plain().size(14.0);
    chart.note((72.0, 22.0), ink(INK).bold(), format!("iteration {}", t + 1));
    chart.note((182.0, 22.0), ink(BLUE), format!("touches at {} = {touches}", theta(coin)));
    chart.note((390.0, 22.0), ink(VERMILION), format!("maximum at {} = {maximum}", theta(coin)));
    chart.finish()
}

/// Draws the log-likelihood over the iterations with the lower bound as a staircase below it. A second panel shows the
/// number that the blog post prints.
///
/// In each iteration the M-step raises the bound with the old q. The bound then lies below the log-likelihood, and the
/// next E-step raises it until both touch.
///
/// # Errors
///
/// Returns the errors of [`Experiments::expectation`], and an error if the fit has no steps or has not kept its models.
pub fn likelihood_trace(experiments: &Experiments, fit: &Fit<Coins>) -> Result<Figure> {
    steps(fit)?;
    let expectations = experiments.expectations(fit)?;
    let climbed = expectations.iter().zip(&fit.models[1..]);
    let climbed = climbed.map(|(found, next)| experiments.lower_bound(&found.responsibilities, next));
    let climbed = climbed.collect::<Result<Vec<f64>>>()?;
    let points = |value: fn(&Expectation) -> f64| -> Vec<Point> {
        expectations.iter().enumerate().map(|(t, found)| (t as f64, value(found))).collect()
    };
    let levels = points(|found| found.log_likelihood);
    let blog = points(|found| found.expected_conditional_log_likelihood);
    let (end, last) = (levels.len() - 1, (fit.iterations() as f64).max(1.0));
    let ticks = (0..).map(|i| f64::from(i) * (last / 12.0).ceil()).take_while(|&t| t <= last);
    let x = Axis::new("iteration", -0.3, last + 0.3).ticks(ticks.map(|t| (t, number(t, 0))).collect());
    let [from, to, below] = [levels[0], levels[end], blog[end]].map(|point| nats(point.1));
    let alt = format!(
        "A blue line, the log-likelihood, rises from {from} to {to} in {end} steps. An orange staircase under it touches it \
         at each whole iteration; the shaded gaps between both shrink. In a panel below, a green line ends at {below}."
    );
    let title = "Log-likelihood, lower bound and the blog's number by iteration";
    let (low, high) = padded(levels.iter().map(|level| level.1).chain(climbed.iter().copied()), 0.1);
    let chart = Chart::new(
        "likelihood-trace",
        title,
        (820, 600),
        x.clone().bare(),
        Axis::new("log-likelihood and bound (nats)", low, high),
    );
    let mut chart = chart.margins(84, 24, 20, 200).alt(alt);
    staircase(&mut chart, &levels, &climbed);
    chart.label(levels[end], (-1.0, -18.0), Ink::new(BLUE).bold(), "log-likelihood");
    chart.label(levels[end], (-1.0, 20.0), Ink::new(VERMILION).bold(), "lower bound");
    if end > 0 {
        let middle = |a: f64, b: f64| a + (b - a) / 2.0;
        let (climbs, lifts) = (middle(levels[0].1, climbed[0]), middle(climbed[0], levels[1].1));
        chart.label((0.5, climbs), (10.0, 0.0), Ink::new(INK), "the M-step climbs the bound;");
        chart.label((1.0, lifts), (10.0, 0.0), Ink::new(INK), "the E-step lifts it until it touches");
    }
    let (low, high) = padded(blog.iter().map(|point| point.1), 0.2);
    let mut panel =
        chart.panel((84.0, 416.0), (712.0, 128.0), x, Axis::new("blog's number (nats)", low, high).most(4));
    panel.line(blog.iter().copied(), Pen::new(GREEN, 2.0));
    marked(&mut panel, &blog, GREEN);
    let beside = if blog[end].1 < blog[0].1 { -18.0 } else { 20.0 };
    panel.label(blog[end], (-1.0, beside), Ink::new(GREEN).bold(), "the blog's number");
    chart.add(panel);
    // The first steps are large, so the later ones are repeated in an inset.
    if let Some(inset) = later_steps(&mut chart, &levels, &climbed) {
        chart.add(inset);
    }
    chart.finish()
}

/// Draws the inset: the staircase from iteration 3 on, enlarged. Returns `None` for a shorter fit.
fn later_steps(chart: &mut Chart, levels: &[Point], climbed: &[f64]) -> Option<Chart> {
    let levels = levels.get(3..).filter(|levels| levels.len() > 2)?;
    let climbed = &climbed[3..];
    let last = levels[levels.len() - 1].0;
    let (low, high) = padded(levels.iter().map(|level| level.1).chain(climbed.iter().copied()), 0.1);
    // an opaque background hides the grid behind it
    let corners = [(378.0, 146.0), (784.0, 378.0)].map(|(x, y)| chart.at_pixel(x, y));
    chart.block(corners[0], corners[1], CARD);
    let x = Axis::new("", 2.8, last + 0.2).most(8);
    let mut inset = chart.panel((430.0, 170.0), (340.0, 180.0), x, Axis::new("", low, high).most(5));
    staircase(&mut inset, levels, climbed);
    inset.note((430.0, 156.0), Ink::new(GREY).plain().size(12.5), "from iteration 3 on, enlarged");
    Some(inset)
}

/// Draws a disc at each iteration, unless there are more than [`MOST_MARKS`].
fn marked(chart: &mut Chart, points: &[Point], tint: Tint) {
    points.iter().filter(|_| points.len() <= MOST_MARKS).for_each(|&point| chart.disc(point, 3.8, tint));
}

/// Draws the log-likelihoods, `levels`, and the lower bound; `climbed` holds its values after each M-step. The M-step,
/// drawn halfway between two iterations, moves theta and raises both curves. The E-step, drawn at the iteration, raises
/// only the bound.
fn staircase(chart: &mut Chart, levels: &[Point], climbed: &[f64]) {
    let (mut stairs, mut line) = (vec![levels[0]], vec![levels[0]]);
    for (pair, &climbed) in levels.windows(2).zip(climbed) {
        let ((t, before), (whole, after)) = (pair[0], pair[1]);
        let half = t + 0.5;
        if levels.len() <= MOST_MARKS {
            chart.block((half, climbed), (whole, after), GAP);
        }
        stairs.extend([(half, before), (half, climbed), (whole, climbed), (whole, after)]);
        line.extend([(half, before), (half, after), (whole, after)]);
    }
    chart.line(stairs, Pen::new(VERMILION, 2.0));
    chart.line(line, Pen::new(BLUE, 2.4));
    marked(chart, levels, BLUE);
}

/// Draws the responsibilities over the iterations as colours and numbers: one row per experiment, one column per E-step.
///
/// For two coins the number is coin A's share, blue if the experiment is assigned to A and orange if to B. For more coins,
/// each cell names the coin with the largest share. Long fits show the first columns and the last one; of more than 260
/// experiments, every n-th is shown.
///
/// # Errors
///
/// Returns an error if there are no expectations, if an expectation has no coins or is not of these experiments, or if a
/// responsibility is not from 0 to 1.
pub fn responsibilities(experiments: &Experiments, expectations: &[Expectation]) -> Result<Figure> {
    not_empty("expectations", expectations)?;
    let coins = expectations[0].responsibilities.ncols();
    if coins == 0 {
        return Err(Error::Empty { what: "coins" });
    }
    for Expectation { responsibilities: found, .. } in expectations {
        length("responsibilities' rows", experiments.len(), found.nrows())?;
        length("responsibilities' columns", coins, found.ncols())?;
        let is_share = |share: f64| (0.0..=1.0 + 1e-9).contains(&share);
        if let Some(((i, j), &value)) = found.indexed_iter().find(|(_, share)| !is_share(**share)) {
            let (name, expected) = ("responsibilities", "from 0 to 1");
            return Err(Error::EntryOutOfRange { name, place: vec![i, j], expected, value });
        }
    }
    const MOST: usize = 14;
    let count = expectations.len();
    let shown: Vec<usize> = (0..count).filter(|&t| count <= MOST || t < MOST - 1 || t == count - 1).collect();
    let rows: Vec<usize> = (0..experiments.len()).step_by(stride(experiments.len(), 260)).collect();
    let (m, columns) = (rows.len(), shown.len());
    let height = (44.0 * m as f64).clamp(120.0, 520.0);
    let column = |(x, t): (usize, &usize)| (x as f64 + 0.5, t.to_string());
    let x = Axis::new("iteration", 0.0, columns as f64).no_grid();
    let x = x.ticks(shown.iter().enumerate().map(column).collect());
    let heads = |i: usize| format!("{} of {} heads", experiments.heads()[rows[i]], experiments.tosses());
    let row = |i: usize| ((m - i) as f64 - 0.5, heads(i));
    let y = Axis::new("experiment", 0.0, m as f64).no_grid();
    let y = y.ticks((0..m).step_by(m.div_ceil(26)).map(row).collect());
    let last = &expectations[count - 1].responsibilities;
    let alt = format!(
        "A coloured cell for each experiment, downwards, and iteration, to the right. In the last column coin A's \
         responsibilities are {}.",
        last.column(0).iter().map(|share| number(*share, 2)).collect::<Vec<_>>().join(", ")
    );
    let title = "Which coin made which experiment, by iteration";
    let chart = Chart::new("responsibilities", title, (820, height as u32 + 98), x, y);
    let mut chart = chart.margins(150, 24, 42, 56).alt(alt);
    legend(&mut chart, coins);
    let gap = (columns as f64 / 646.0, (m as f64 / height).min(0.15));
    let mut numbers = Vec::new();
    for (column, &t) in shown.iter().enumerate() {
        for (i, &experiment) in rows.iter().enumerate() {
            let shares = expectations[t].responsibilities.row(experiment);
            let larger = |best: (usize, f64), (j, &share)| if share > best.1 { (j, share) } else { best };
            let (coin, share) = shares.iter().enumerate().fold((0, -1.0), larger);
            let (x, y) = (column as f64, (m - 1 - i) as f64);
            let to = (x + 1.0 - gap.0, y + 1.0 - gap.1);
            chart.block((x + gap.0, y + gap.1), to, shaded(coin, share, coins));
            let name = if coins == 2 { String::new() } else { letter(coin) + " " };
            numbers.push(((x + 0.5, y + 0.5), name + &number(if coins == 2 { shares[0] } else { share }, 2)));
        }
    }
    for (at, text) in numbers.into_iter().filter(|_| height / m as f64 >= 15.0) {
        chart.label(at, (0.0, 0.0), Ink::new(INK).plain().size(12.5), text);
    }
    chart.finish()
}

/// The colour of a cell whose largest responsibility is `share` for this coin.
fn shaded(coin: usize, share: f64, coins: usize) -> Tint {
    let strength = if coins > 1 { (share * coins as f64 - 1.0) / (coins as f64 - 1.0) } else { 1.0 };
    // darker on a dark page, where the number is light
    let tint = component(coin);
    let under_text = tint.mixed(Tint::new(tint.of(Palette::Light), [0; 3]), 0.4);
    Tint::new([244, 242, 234], [44, 46, 50]).mixed(under_text, 0.75 * strength)
}

/// Explains the numbers in the cells, with a colour bar for two coins.
fn legend(chart: &mut Chart, coins: usize) {
    let ink = Ink::new(INK).plain();
    if coins != 2 {
        return chart.note((150.0, 22.0), ink, "letter and number: the coin with the largest responsibility");
    }
    chart.note((150.0, 22.0), ink, "number: responsibility of coin A");
    for i in 0..25 {
        let (share, x) = ((f64::from(i) + 0.5) / 25.0, 630.0 + 4.0 * f64::from(i));
        let tint = shaded(usize::from(share < 0.5), share.max(1.0 - share), 2);
        chart.block(chart.at_pixel(x, 14.0), chart.at_pixel(730.0, 30.0), tint);
    }
    chart.label(chart.at_pixel(630.0, 22.0), (-8.0, 0.0), ink, "0 (coin B)");
    chart.note((738.0, 22.0), ink, "1 (coin A)");
}
