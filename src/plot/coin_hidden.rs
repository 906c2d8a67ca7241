//! Chapter 2: the lower bound, the likelihoods and the responsibilities, iteration by iteration.

use super::chart::{Axis, BLUE, CARD, Chart, GREEN, GREY, INK, Ink, Pen, Point, Side, VERMILION, number};
use crate::figures::coins::Groups;
use super::image::{Rgb, between};
use super::plane::{check_steps, extent, stride};
use super::{Figure, animate, colour, letter, theta};
use crate::coin::{Coins, Expectation, Experiments};
use crate::em::Fit;
use crate::error::{Error, Result};

/// Seconds that a frame of an animation stays.
const SECONDS: f64 = 1.6;

/// Frames that are drawn of a long fit.
const MOST_FRAMES: usize = 60;

/// The gap between log-likelihood and bound.
const GAP: Rgb = [248, 221, 196];

/// The lower bound at work, a frame an iteration: the log-likelihood along theta of one coin (the other parameters as in
/// that step), the bound that touches it there, and the bound's maximum, which is the next theta.
///
/// `frames` is the most that are drawn, from the first iteration on; more than 60 never are. The axes are the same in all of them.
///
/// # Errors
///
/// Returns an error if there are no frames or no iterations, if the fit has not kept its models
/// ([`CoinOptions::keep_models`](crate::coin::CoinOptions::keep_models)), for a coin that a model of the fit does not have, a model that
/// gives an experiment no probability, an objective that is not finite, and experiments of more than 2000 different counts of
/// heads.
pub fn bound_animation(
    experiments: &Experiments,
    fit: &Fit<Coins>,
    coin: usize,
    frames: usize,
) -> Result<Figure> {
    check_steps(fit)?;
    let models = fit.kept_models()?;
    let coins = models.iter().map(|model| model.thetas.len()).min().unwrap_or(0);
    if coin >= coins {
        return Err(Error::Setting { name: "coin", expected: "the index of a coin", value: coin as f64 });
    }
    let frames = frames.min(fit.iterations()).min(MOST_FRAMES);
    if frames == 0 {
        return Err(Error::Empty { what: "iterations to draw" });
    }
    let along = |model: &Coins, theta: f64| {
        let mut moved = model.clone();
        moved.thetas[coin] = theta;
        moved
    };
    let groups = Groups::new(experiments)?;
    let curve = |model: &Coins, theta: f64| groups.log_likelihood(&along(model, theta));
    // Axes that hold every theta and every curve where it matters.
    let thetas: Vec<f64> = models[..=frames].iter().map(|model| model.thetas[coin]).collect();
    let (low, high) = extent(thetas.iter().copied());
    let pad = (0.3 * (high - low)).max(0.02);
    let (x0, x1) = ((low - pad).max(0.001), (high + pad).min(0.999));
    let mut heights = Vec::new();
    for model in &models[..=frames] {
        heights.extend((0..=100).map(|i| curve(model, x0 + (x1 - x0) * f64::from(i) / 100.0)));
    }
    heights.retain(|height| height.is_finite());
    let (y0, y1) = extent(heights.iter().copied());
    let (y0, y1) = (y0 - 0.12 * (y1 - y0), y1 + 0.1 * (y1 - y0));

    let mut pictures = Vec::with_capacity(frames);
    for t in 0..frames {
        let model = &models[t];
        let (now, next) = (thetas[t], thetas[t + 1]);
        let own_bound = groups.lower_bound(model)?;
        let bound = |theta: f64| own_bound(&along(model, theta));
        let alt = format!(
            "The log-likelihood over theta of coin {}, and the lower bound that touches it at {now:.4} and has its \
             maximum at {next:.4}, the next theta.",
            letter(coin)
        );
        let x = Axis::new(format!("{}, probability of heads", theta(coin)), x0, x1);
        let y = Axis::new("log-likelihood, lower bound (nats)", y0, y1);
        let mut chart = Chart::new("bound", (760, 480), x, y).margins(72, 24, 44, 56).alt(alt);
        chart.curve(x0, x1, 400, Pen::new(BLUE, 2.6), |theta| curve(model, theta));
        chart.curve(x0, x1, 400, Pen::new(VERMILION, 2.2), bound);
        let (touch, peak, above) = (fit.objectives[t], bound(next), curve(model, next));
        chart.line([(now, y0), (now, touch)], Pen::new(GREY, 1.2).dashed(3.0, 4.0));
        chart.line([(next, y0), (next, peak)], Pen::new(VERMILION, 1.2).dashed(3.0, 4.0));
        chart.line([(next, peak), (next, above)], Pen::new(INK, 1.8));
        for &before in &thetas[..t] {
            chart.dot((before, y0), 3.0, GREY);
        }
        chart.disc((now, touch), 5.5, BLUE);
        chart.disc((next, peak), 5.5, VERMILION);
        let at = x0 + 0.2 * (x1 - x0);
        chart.text(
            (at, curve(model, at)),
            (-10.0, -18.0),
            Side::Left,
            Ink::new(BLUE).bold(),
            "log-likelihood",
        );
        // The bound's name stands where it leaves the picture, on the side with room.
        let rest = |i: u32| next + (x1 - next) * f64::from(i) / 200.0;
        let last =
            (0..=200).rev().map(rest).find(|&theta| bound(theta) >= y0 + 0.15 * (y1 - y0)).unwrap_or(next);
        let (offset, side) = if last > x1 - 0.2 * (x1 - x0) {
            ((-14.0, 20.0), Side::Left)
        } else {
            ((14.0, -6.0), Side::Right)
        };
        chart.text((last, bound(last)), offset, side, Ink::new(VERMILION).bold(), "lower bound");
        let heading = chart.at_pixel(72.0, 22.0);
        chart.text(
            heading,
            (0.0, 0.0),
            Side::Right,
            Ink::new(INK).plain().bold().size(14.0),
            format!("iteration {}", t + 1),
        );
        let ink = |colour| Ink::new(colour).plain().size(14.0);
        let text = format!("touches at {} = {}", theta(coin), number(now, 4));
        chart.text(heading, (110.0, 0.0), Side::Right, ink(BLUE), text);
        let text = format!("maximum at {} = {}", theta(coin), number(next, 4));
        chart.text(heading, (310.0, 0.0), Side::Right, ink(VERMILION), text);
        pictures.push(chart.finish()?);
    }
    animate("bound-animation", &pictures, SECONDS)
}

/// Over the iterations: the log-likelihood, the lower bound as a staircase under it, and the blog post's number.
///
/// In each iteration the M-step climbs the bound with the old q, which ends below the log-likelihood; the next E-step
/// lifts the bound until it touches.
///
/// # Errors
///
/// Returns an error for a fit that has no steps or has not kept its models, and as [`Experiments::expectation`].
pub fn likelihood_trace(experiments: &Experiments, fit: &Fit<Coins>) -> Result<Figure> {
    check_steps(fit)?;
    let expectations = experiments.expectations(fit)?;
    let levels: Vec<Point> =
        expectations.iter().enumerate().map(|(t, found)| (t as f64, found.log_likelihood)).collect();
    let blog: Vec<Point> = expectations
        .iter()
        .enumerate()
        .map(|(t, found)| (t as f64, found.expected_conditional_log_likelihood))
        .collect();
    // Each iteration: the M-step moves theta and lifts both, half-way; the E-step lifts the bound alone, at its end.
    let (mut stairs, mut line) = (vec![levels[0]], vec![levels[0]]);
    let mut gaps = Vec::new();
    for (t, found) in expectations.iter().enumerate().take(fit.iterations()) {
        let climbed = experiments.lower_bound(&found.responsibilities, &fit.models[t + 1])?;
        let (half, whole) = (t as f64 + 0.5, t as f64 + 1.0);
        let (before, after) = (levels[t].1, levels[t + 1].1);
        stairs.extend([(half, before), (half, climbed), (whole, climbed), (whole, after)]);
        line.extend([(half, before), (half, after), (whole, after)]);
        gaps.push(((half, climbed), (whole, after)));
    }
    let all: Vec<f64> = levels.iter().chain(&blog).chain(&stairs).map(|point| point.1).collect();
    let (low, high) = extent(all);
    let pad = (0.12 * (high - low)).max(1e-6);
    let last = (fit.iterations() as f64).max(1.0);
    let every = (last / 12.0).ceil().max(1.0);
    let x = Axis::new("iteration", -0.3, last + 0.3).ticks(
        (0..).map(|i| f64::from(i) * every).take_while(|&t| t <= last).map(|t| (t, number(t, 0))).collect(),
    );
    let y = Axis::new("nats", low - pad, high + pad);
    let alt = format!(
        "Over {} iterations the log-likelihood rises from {:.3} to {:.3} nats; the lower bound touches it after each \
         E-step; the blog's number ends at {:.3}.",
        fit.iterations(),
        levels[0].1,
        fit.objective(),
        blog[blog.len() - 1].1
    );
    let mut chart = Chart::new("likelihood-trace", (820, 520), x, y).margins(72, 24, 20, 56).alt(alt);
    chart.line(blog.iter().copied(), Pen::new(GREEN, 1.8));
    // Of a long fit the lines say it all.
    let marked = levels.len() <= 400;
    for &point in blog.iter().filter(|_| marked) {
        chart.disc(point, 3.6, GREEN);
    }
    let staircase = |chart: &mut Chart, place: &dyn Fn(Point) -> Point, from: f64, to: f64| {
        let inside = |point: &&Point| (from..=to).contains(&point.0);
        for (low, high) in gaps.iter().filter(|(low, high)| marked && inside(&low) && inside(&high)) {
            chart.block(place(*low), place(*high), GAP);
        }
        // What begins in the middle begins after the E-step.
        let steps = stairs.iter().filter(inside).skip(usize::from(from > 0.0));
        chart.line(steps.copied().map(place), Pen::new(VERMILION, 2.0));
        chart.line(line.iter().filter(inside).copied().map(place), Pen::new(BLUE, 2.4));
        for point in levels.iter().filter(|point| marked && inside(point)) {
            chart.disc(place(*point), 3.8, BLUE);
        }
    };
    staircase(&mut chart, &|point| point, 0.0, last);
    if let Some(frame) = Enlarged::new(&chart, &levels, &stairs) {
        frame.draw(&mut chart);
        staircase(&mut chart, &|point| frame.place(point), 1.0, Enlarged::LAST);
    }
    let end = blog.len() - 1;
    chart.text(blog[end], (0.0, -18.0), Side::Left, Ink::new(GREEN).bold(), "the blog's number");
    chart.text(levels[end], (0.0, -18.0), Side::Left, Ink::new(BLUE).bold(), "log-likelihood");
    chart.text(levels[end], (0.0, 20.0), Side::Left, Ink::new(VERMILION).bold(), "lower bound");
    chart.finish()
}

/// Iterations 1 to 5 once more, larger, in the corner under the curves, which a rising log-likelihood leaves free.
struct Enlarged {
    /// What is shown: the least and the greatest iteration, the least and the greatest value.
    shown: (Point, Point),
    /// Where, in the chart's units.
    corners: (Point, Point),
}

impl Enlarged {
    const LAST: f64 = 5.0;

    /// Nothing for a short fit, or where the curves leave no room.
    fn new(chart: &Chart, levels: &[Point], stairs: &[Point]) -> Option<Enlarged> {
        let (left, top, right, bottom) = (340.0, 310.0, 776.0, 446.0);
        let room =
            levels.iter().map(|&level| chart.pixel(level)).all(|(x, y)| x < left - 30.0 || y < top - 50.0);
        if !room || levels.len() as f64 <= Enlarged::LAST {
            return None;
        }
        let values: Vec<f64> = stairs
            .iter()
            .filter(|(t, _)| (1.0..=Enlarged::LAST).contains(t))
            .skip(1)
            .map(|point| point.1)
            .collect();
        let (low, high) = extent(values);
        let corners = (chart.at_pixel(left, bottom), chart.at_pixel(right, top));
        (low < high).then_some(Enlarged { shown: ((1.0, low), (Enlarged::LAST, high)), corners })
    }

    fn place(&self, (t, value): Point) -> Point {
        let ((t0, low), (t1, high)) = self.shown;
        let ((x0, y0), (x1, y1)) = self.corners;
        let (across, up) = ((t - t0) / (t1 - t0), (value - low) / (high - low));
        (x0 + (0.03 + 0.94 * across) * (x1 - x0), y0 + (0.08 + 0.84 * up) * (y1 - y0))
    }

    fn draw(&self, chart: &mut Chart) {
        let ((x0, y0), (x1, y1)) = self.corners;
        chart.block((x0, y0), (x1, y1), CARD);
        chart.line([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], Pen::new(GREY, 1.0));
        let ((_, low), (_, high)) = self.shown;
        let text = format!("iterations 1 to 5 enlarged: {} to {} nats", number(low, 3), number(high, 3));
        chart.text((x0, y1), (0.0, -12.0), Side::Right, Ink::new(INK).size(12.0), text);
        let ink = Ink::new(GREY).size(12.0);
        chart.text((x1, y0), (-12.0, -30.0), Side::Left, ink, "after the M-step the bound lies below;");
        chart.text((x1, y0), (-12.0, -13.0), Side::Left, ink, "the next E-step lifts it until it touches");
    }
}

/// Responsibilities over the iterations, a row an experiment and a column an E-step, as colour and as number.
///
/// Of two coins the number is coin A's share, blue where the experiment is A's and orange where it is B's. Of more coins
/// each cell names the coin with the largest share. Of a long fit the first columns and the last one are shown, of more than
/// 260 experiments every so manieth.
///
/// # Errors
///
/// Returns an error if there are no expectations, for one that is not of these experiments or of no coins, and for a
/// responsibility that is not from 0 to 1.
pub fn responsibilities(experiments: &Experiments, expectations: &[Expectation]) -> Result<Figure> {
    let Some(first) = expectations.first() else { return Err(Error::Empty { what: "expectations" }) };
    let (m, coins) = (experiments.len(), first.responsibilities.ncols());
    if coins == 0 {
        return Err(Error::Empty { what: "coins" });
    }
    for found in expectations {
        let (rows, columns) = found.responsibilities.dim();
        if rows != m {
            return Err(Error::Length { name: "responsibilities' rows", expected: m, found: rows });
        }
        if columns != coins {
            return Err(Error::Length { name: "responsibilities' columns", expected: coins, found: columns });
        }
        let is_share = |share: &f64| (0.0..=1.0 + 1e-9).contains(share);
        if let Some(((i, j), &value)) =
            found.responsibilities.indexed_iter().find(|(_, share)| !is_share(share))
        {
            let (name, expected) = ("responsibilities", "from 0 to 1");
            return Err(Error::EntryOutOfRange { name, place: vec![i, j], expected, value });
        }
    }
    const MOST: usize = 14;
    let count = expectations.len();
    let shown: Vec<usize> =
        if count <= MOST { (0..count).collect() } else { (0..MOST - 1).chain([count - 1]).collect() };
    let rows: Vec<usize> = (0..m).step_by(stride(m, 260)).collect();
    let m = rows.len();
    let height = (44.0 * m as f64).clamp(120.0, 520.0);
    let middles = |n: usize| (0..n).map(|i| i as f64 + 0.5);
    let x = Axis::new("iteration", 0.0, shown.len() as f64)
        .ticks(middles(shown.len()).zip(&shown).map(|(x, t)| (x, t.to_string())).collect())
        .no_grid();
    let every = m.div_ceil(26);
    let row = |i: usize| format!("{} of {} heads", experiments.heads()[rows[i]], experiments.tosses());
    let y = Axis::new("experiment", 0.0, m as f64)
        .ticks((0..m).step_by(every).map(|i| ((m - i) as f64 - 0.5, row(i))).collect())
        .no_grid();
    let size = (820, height as u32 + 98);
    let last = &expectations[count - 1].responsibilities;
    let alt = format!(
        "Responsibilities by iteration; after the last E-step coin A's are {}.",
        last.column(0).iter().map(|w| format!("{w:.2}")).collect::<Vec<_>>().join(", ")
    );
    let mut chart = Chart::new("responsibilities", size, x, y).margins(150, 24, 42, 56).alt(alt);
    let title = match coins {
        2 => "number: responsibility of coin A (the rest is coin B's)".to_string(),
        _ => "letter and number: the coin with the largest responsibility".to_string(),
    };
    chart.text((0.0, m as f64), (0.0, -20.0), Side::Right, Ink::new(INK).plain(), title);
    let mut numbers = Vec::new();
    for (column, &t) in shown.iter().enumerate() {
        for (i, &experiment) in rows.iter().enumerate() {
            let shares = expectations[t].responsibilities.row(experiment);
            let (largest, share) =
                shares.iter().enumerate().fold((0, f64::NEG_INFINITY), |best, (j, &share)| {
                    if share > best.1 { (j, share) } else { best }
                });
            let strength = if coins > 1 { (share * coins as f64 - 1.0) / (coins as f64 - 1.0) } else { 1.0 };
            let fill = between(&[[244, 242, 234], colour(largest)], 0.75 * strength);
            let (x, y) = (column as f64, (m - 1 - i) as f64);
            chart.block((x, y), (x + 1.0, y + 1.0), fill);
            let text =
                if coins == 2 { number(shares[0], 2) } else { format!("{} {share:.2}", letter(largest)) };
            numbers.push(((x + 0.5, y + 0.5), text));
        }
    }
    let rim = Pen::new(CARD, 2.0);
    for i in 0..=m {
        chart.line([(0.0, i as f64), (shown.len() as f64, i as f64)], rim);
    }
    for j in 0..=shown.len() {
        chart.line([(j as f64, 0.0), (j as f64, m as f64)], rim);
    }
    if height / m as f64 >= 15.0 {
        for (at, text) in numbers {
            let ink = Ink::new(INK).plain().size(12.5);
            chart.text(at, (0.0, 0.0), Side::Middle, ink, text);
        }
    }
    chart.finish()
}
