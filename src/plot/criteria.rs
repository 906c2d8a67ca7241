//! Numbers of a fit as curves: over the number of clusters, and over the iterations.

use super::chart::{Axis, Chart, GREY, Ink, Pen, Point, Side, number};
use super::image::Rgb;
use super::plane::{check_steps, extent, padded, spread};
use super::{Figure, colour};
use crate::em::Fit;
use crate::error::{Error, Result};
use crate::gmm::Criteria;

/// What a fit's objective is, for the axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// Of mixtures and coins: higher is better.
    LogLikelihood,
    /// Of K-means, whose fits hold minus the inertia: the plots turn it round, lower is better.
    Inertia,
}

impl Objective {
    /// The axis's title, with its unit.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Objective::LogLikelihood => "log-likelihood (nats)",
            Objective::Inertia => "inertia (squared units of the data)",
        }
    }

    /// What is shown of a fit's objective.
    pub(crate) fn value(self, objective: f64) -> f64 {
        match self {
            Objective::LogLikelihood => objective,
            Objective::Inertia => -objective,
        }
    }

    /// The values with their name, as a legend has them: from the best to the worst, one where both read the same.
    pub(crate) fn words(self, best: f64, worst: f64) -> String {
        let best = self.value(best);
        let decimals = (3 - best.abs().max(1e-9).log10().floor() as i32).clamp(0, 6) as usize;
        let (from, to) = (number(best, decimals), number(self.value(worst), decimals));
        let values = if from == to { from } else { format!("{from} to {to}") };
        match self {
            Objective::LogLikelihood => format!("{values} nats"),
            Objective::Inertia => format!("inertia {values}"),
        }
    }
}

/// Curves over the number of clusters or components, with the smallest value of each marked if `mark_smallest` says so.
///
/// `counts` are the numbers k, rising; each curve has a name and a value for each of them. `title` names the values with
/// their unit. Up to eight values of a single curve are written at its points.
///
/// # Errors
///
/// Returns an error if there are no counts, no curves or more than twenty, if counts don't rise, if a curve has another
/// length, and if a value is not finite or beyond 1e140.
pub fn criterion_curve(
    title: &str,
    counts: &[usize],
    curves: &[(&str, &[f64])],
    mark_smallest: bool,
) -> Result<Figure> {
    if counts.is_empty() {
        return Err(Error::Empty { what: "numbers of clusters" });
    }
    if curves.is_empty() {
        return Err(Error::Empty { what: "curves" });
    }
    if curves.len() > 20 {
        let (name, expected) = ("the number of curves", "at most 20");
        return Err(Error::Setting { name, expected, value: curves.len() as f64 });
    }
    if let Some(pair) = counts.windows(2).find(|pair| pair[0] >= pair[1]) {
        let (name, expected) = ("a number of clusters", "larger than the one before");
        return Err(Error::Setting { name, expected, value: pair[1] as f64 });
    }
    for (_, values) in curves {
        if values.len() != counts.len() {
            return Err(Error::Length { name: "a curve", expected: counts.len(), found: values.len() });
        }
        if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::Setting { name: "a value of a curve", expected: "finite", value });
        }
    }
    let (low, high) = padded(curves.iter().flat_map(|curve| curve.1.iter().copied()), 0.12);
    // Of what can't be negative the axis begins at 0, unless that is far away.
    let low = if low < 0.0 && curves.iter().all(|curve| curve.1.iter().all(|&value| value >= 0.0)) {
        0.0
    } else {
        low
    };
    let (first, last) = (counts[0] as f64, counts[counts.len() - 1] as f64);
    let every = counts.len().div_ceil(16);
    let pad = (0.06 * (last - first)).max(0.4);
    let x = Axis::new("number of clusters k", first - pad, last + pad)
        .ticks(counts.iter().step_by(every).map(|&k| (k as f64, k.to_string())).collect());
    let best: Vec<usize> = curves
        .iter()
        .map(|(_, values)| (0..values.len()).min_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0))
        .collect();
    let words: Vec<String> = curves
        .iter()
        .zip(&best)
        .map(|((name, values), &at)| {
            let end = values[values.len() - 1];
            match mark_smallest {
                true => format!("{name} is smallest at k = {}, {:.2}", counts[at], values[at]),
                false => format!("{name} goes from {:.2} to {end:.2}", values[0]),
            }
        })
        .collect();
    let alt = format!("Over k from {first} to {last}: {}.", words.join("; "));
    let labelled = curves.len() == 1 && !mark_smallest && counts.len() <= 10;
    let mut chart = Chart::new("criterion-curve", (760, 470), x, Axis::new(title, low, high))
        .margins(84, if labelled { 40 } else { 150 }, 24, 56)
        .alt(alt);
    let point = |index: usize, values: &[f64]| (counts[index] as f64, values[index]);
    for (c, (_, values)) in curves.iter().enumerate() {
        let line: Vec<Point> = (0..counts.len()).map(|index| point(index, values)).collect();
        chart.line(line.iter().copied(), Pen::new(colour(c), 2.2));
        if line.len() <= 200 {
            for &at in &line {
                chart.disc(at, 4.0, colour(c));
            }
        }
    }
    if mark_smallest {
        // Marks that meet become rings around each other, the outermost drawn first.
        let marks: Vec<Point> =
            curves.iter().zip(&best).map(|((_, values), &at)| point(at, values)).collect();
        let meets = |a: Point, b: Point| {
            let ((ax, ay), (bx, by)) = (chart.pixel(a), chart.pixel(b));
            (ax - bx).hypot(ay - by) < 14.0
        };
        let rank = |c: usize| marks[..c].iter().filter(|&&other| meets(other, marks[c])).count();
        let ranks: Vec<usize> = (0..marks.len()).map(rank).collect();
        for c in (0..marks.len()).rev() {
            chart.ring(marks[c], 8.0 + 4.5 * ranks[c] as f64, colour(c));
            chart.dot(marks[c], 4.0, colour(c));
        }
    }
    if labelled {
        let (_, values) = curves[0];
        let decimals =
            (2 - extent(values.iter().copied()).1.abs().max(1e-9).log10().floor() as i32).clamp(0, 6);
        for index in 0..counts.len() {
            let text = number(values[index], decimals as usize);
            let ink = Ink::new(colour(0)).size(12.5);
            chart.text(point(index, values), (9.0, -12.0), Side::Right, ink, text);
        }
    } else {
        // Names at the curves' right ends.
        let end = |values: &[f64]| point(counts.len() - 1, values);
        let wanted: Vec<f64> = curves.iter().map(|(_, values)| chart.pixel(end(values)).1).collect();
        for (c, top) in spread(&wanted, 17.0, (30.0, 410.0)).into_iter().enumerate() {
            let (name, values) = curves[c];
            let (at, down) = (end(values), top - wanted[c]);
            let text = match mark_smallest {
                true => format!("{name}: least at {}", counts[best[c]]),
                false => name.to_string(),
            };
            chart.text(at, (12.0, down), Side::Right, Ink::new(colour(c)).bold(), text);
        }
    }
    chart.finish()
}

/// Inertia over the number of clusters: where it bends, more clusters stop paying. `unit` is that of the inertia ("cm²").
///
/// # Errors
///
/// Returns an error as [`criterion_curve`].
pub fn elbow(counts: &[usize], inertias: &[f64], unit: &str) -> Result<Figure> {
    let title = format!("inertia ({unit})");
    Ok(criterion_curve(&title, counts, &[("inertia", inertias)], false)?.named("elbow"))
}

/// BIC, AIC and ICL over the number of components (`counts`, rising), each with its smallest value marked.
///
/// # Errors
///
/// Returns an error as [`criterion_curve`].
pub fn information_criteria(counts: &[usize], criteria: &[Criteria]) -> Result<Figure> {
    let of = |value: fn(&Criteria) -> f64| criteria.iter().map(value).collect::<Vec<f64>>();
    let (bic, aic, icl) = (of(|all| all.bic), of(|all| all.aic), of(|all| all.icl));
    let curves: [(&str, &[f64]); 3] = [("BIC", &bic), ("AIC", &aic), ("ICL", &icl)];
    let figure = criterion_curve("\u{2212}2 log-likelihood + penalty (nats)", counts, &curves, true)?;
    Ok(figure.named("information-criteria"))
}

/// The objective of one or several fits by iteration.
///
/// `names` has a name for each fit, and fits of one name share a colour; without names (an empty slice) fits that end at
/// the same objective do (to a fiftieth of what lies between the best and the worst). The right ends say what they reach and how many do. The axis leaves out the worst of the first
/// steps, where they would squeeze the others.
///
/// # Errors
///
/// Returns an error if there are no fits or more than 2000, if a fit has no steps, if names are too few or too many, and if
/// an objective is not finite or beyond 1e140.
pub fn objective_trace<M>(fits: &[&Fit<M>], names: &[&str], objective: Objective) -> Result<Figure> {
    if fits.is_empty() {
        return Err(Error::Empty { what: "fits" });
    }
    if fits.len() > 2000 {
        let (name, expected) = ("the number of fits", "at most 2000");
        return Err(Error::Setting { name, expected, value: fits.len() as f64 });
    }
    fits.iter().try_for_each(|fit| check_steps(fit))?;
    if !names.is_empty() && names.len() != fits.len() {
        return Err(Error::Length { name: "names", expected: fits.len(), found: names.len() });
    }
    let traces: Vec<&Vec<f64>> = fits.iter().map(|fit| &fit.objectives).collect();
    if let Some(&value) = traces.iter().copied().flatten().find(|value| !value.is_finite()) {
        return Err(Error::Setting { name: "an objective", expected: "finite", value });
    }
    let ends: Vec<f64> = fits.iter().map(|fit| fit.objective()).collect();
    let (worst, best) = extent(ends.iter().copied());
    let same = (0.02 * (best - worst)).max(1e-6 * worst.abs().max(best.abs()));
    let (groups, member) = optima(&ends, same);
    // Colours: by name in the order of the names, or by optimum, the best first.
    let mut known: Vec<&str> = Vec::new();
    let hue: Vec<usize> = (0..fits.len())
        .map(|i| match names.get(i) {
            None => member[i],
            Some(name) => known.iter().position(|other| other == name).unwrap_or_else(|| {
                known.push(name);
                known.len() - 1
            }),
        })
        .collect();

    let second = traces.iter().map(|trace| trace[1.min(trace.len() - 1)]);
    let (seen, _) = extent(second.chain([worst]));
    let (floor, _) = extent(traces.iter().copied().flatten().copied());
    // All of it, unless the steps from the second on would have less than a third of the height.
    let lowest = if best - seen < 0.35 * (best - floor) { seen - 0.25 * (best - seen) } else { floor };
    let (a, b) = padded([objective.value(lowest), objective.value(best)], 0.06);
    let last = traces.iter().map(|trace| trace.len() - 1).max().unwrap_or(0).max(1) as f64;
    let alt = groups.iter().map(|group| {
        let words = objective.words(group.best, group.worst);
        format!("{} of {} fits end at {words}", group.count, fits.len())
    });
    let alt = format!("By iteration: {}.", alt.collect::<Vec<_>>().join("; "));
    let x = Axis::new("iteration", -0.02 * last, last * 1.02);
    let mut chart = Chart::new("objective-trace", (820, 480), x, Axis::new(objective.title(), a, b))
        .margins(84, 190, 20, 56)
        .alt(alt);
    let thin = fits.len() > 8;
    // The worst first, so that the best lie on top.
    let mut order: Vec<usize> = (0..fits.len()).collect();
    order.sort_by(|&i, &j| ends[i].total_cmp(&ends[j]));
    for &i in &order {
        let line: Vec<Point> =
            traces[i].iter().enumerate().map(|(t, &value)| (t as f64, objective.value(value))).collect();
        let pen = Pen::new(colour(hue[i]), if thin { 1.5 } else { 2.2 });
        chart.line(line.iter().copied(), Pen { opacity: if thin { 0.8 } else { 1.0 }, ..pen });
        if !thin && line.len() <= 40 {
            chart.scatter(line.iter().copied(), 3.2, colour(hue[i]), 1.0);
        }
        let end = line[line.len() - 1];
        chart.disc(end, 4.2, colour(hue[i]));
    }
    let labels = end_labels(&groups, &member, &hue, names, objective);
    let wanted: Vec<f64> =
        labels.iter().map(|label| chart.pixel((0.0, objective.value(label.0))).1).collect();
    for (label, top) in labels.iter().zip(spread(&wanted, 36.0, (36.0, 390.0))) {
        let left = 820.0 - 190.0 + 16.0;
        let from = chart.at_pixel(left - 12.0, chart.pixel((0.0, objective.value(label.0))).1);
        let to = chart.at_pixel(left - 2.0, top);
        chart.line_anywhere([from, to], Pen::new(label.1, 1.0));
        let ink = Ink::new(label.1).plain();
        chart.text(to, (5.0, 0.0), Side::Right, ink.bold(), label.2.clone());
        chart.text(to, (5.0, 16.0), Side::Right, Ink::new(GREY).plain().size(12.0), label.3.clone());
    }
    chart.finish()
}

/// The labels at the right: objective, colour, and two lines of words; of more than ten the best.
fn end_labels(
    groups: &[Optimum],
    member: &[usize],
    hue: &[usize],
    names: &[&str],
    objective: Objective,
) -> Vec<(f64, Rgb, String, String)> {
    const MOST: usize = 10;
    let runs = |count: usize| if count == 1 { "1 run".to_string() } else { format!("{count} runs") };
    if names.is_empty() {
        let label = |(index, group): (usize, &Optimum)| {
            (group.best, colour(index), objective.words(group.best, group.worst), runs(group.count))
        };
        return groups.iter().enumerate().take(MOST).map(label).collect();
    }
    let mut labels: Vec<(f64, Rgb, String, String)> = Vec::new();
    for tint in 0..=hue.iter().copied().max().unwrap_or(0) {
        let own: Vec<usize> = (0..hue.len()).filter(|&i| hue[i] == tint).collect();
        let best = own.iter().map(|&i| groups[member[i]].best).fold(f64::NEG_INFINITY, f64::max);
        let words = objective.words(best, best);
        let words = if own.len() == 1 { words } else { format!("{}, best {words}", runs(own.len())) };
        labels.push((best, colour(tint), names[own[0]].to_string(), words));
    }
    labels.truncate(MOST);
    labels
}

/// An optimum that fits reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Optimum {
    /// The best and the worst objective that counts as it.
    pub best: f64,
    pub worst: f64,
    /// How many fits reach it.
    pub count: usize,
}

/// Objectives that are not more than `same` apart count as one optimum: the optima, the best first; and which one each
/// belongs to.
pub(crate) fn optima(objectives: &[f64], same: f64) -> (Vec<Optimum>, Vec<usize>) {
    let mut order: Vec<usize> = (0..objectives.len()).collect();
    order.sort_by(|&a, &b| objectives[b].total_cmp(&objectives[a]));
    let mut found: Vec<Optimum> = Vec::new();
    let mut member = vec![0; objectives.len()];
    for i in order {
        let value = objectives[i];
        match found.last_mut().filter(|last| last.best - value <= same) {
            Some(last) => {
                last.worst = value;
                last.count += 1;
            }
            None => found.push(Optimum { best: value, worst: value, count: 1 }),
        }
        member[i] = found.len() - 1;
    }
    (found, member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ends_are_one_optimum_and_the_best_is_the_first() {
        let (found, member) = optima(&[-5.0, -3.0, -5.02, -3.0], 0.1);
        let optimum = |best, worst| Optimum { best, worst, count: 2 };
        assert_eq!(found, [optimum(-3.0, -3.0), optimum(-5.0, -5.02)]);
        assert_eq!(member, [1, 0, 1, 0]);
    }

    #[test]
    fn inertia_is_turned_round() {
        assert_eq!(Objective::Inertia.words(-78.851, -78.852), "inertia 78.85");
        assert_eq!(Objective::Inertia.words(-1856.2, -1870.9), "inertia 1856 to 1871");
        assert_eq!(Objective::LogLikelihood.words(-4021.7, -4021.7), "\u{2212}4022 nats");
    }
}
