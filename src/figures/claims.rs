//! Figures of what critics and authors claim of capsules, measured by `cargo bench --bench claims`.

use super::chapter09::by_name;
use super::checks;
use super::records::ClaimRecord;
use super::trials::{mean, percent};
use crate::draw::{Along, Axis, Chart, Figure, Label, Pen, Point, bars, component, extent};
use crate::error::Result;

/// Draws the errors of networks on digits that were changed along the gradient.
pub(super) fn attack_errors(claims: &[ClaimRecord]) -> Result<Figure> {
    let titles = ["largest change of a grey level, in units of the range", "misclassified"];
    share_curves("attack-errors", "Digits changed along the gradient", titles, &attack_curves(claims))
}

/// Draws the entropy of the responsibilities over the iterations.
pub(super) fn entropy_by_iteration(claims: &[ClaimRecord]) -> Result<Figure> {
    let titles = ["iterations of routing", "mean entropy of R, in units of ln(parents)"];
    share_curves("entropy-by-iteration", "Routing polarises the shares", titles, &entropy_curves(claims))
}

/// The networks and their names in figures.
const ARMS: [(&str, &str); 4] = [
    ("routing-2", "capsules, routed"),
    ("routing-1", "capsules, not routed"),
    ("plain", "plain network"),
    ("plain-pooled", "plain, pooled"),
];

/// Returns the numbers of one network and claim whose measure begins with these words, by what follows them.
fn numbers(claims: &[ClaimRecord], claim: &str, arm: &str, seed: u64, words: &str) -> Vec<Point> {
    let own = claims.iter().filter(|of| of.claim == claim && of.arm == arm && of.seed == seed);
    own.filter_map(|of| Some((of.measure.strip_prefix(words)?.parse().ok()?, of.value))).collect()
}

/// Returns the seeds of a claim, without the shipped network.
fn seeds(claims: &[ClaimRecord], claim: &str) -> Vec<u64> {
    let mut seeds: Vec<u64> =
        claims.iter().filter(|of| of.claim == claim && of.seed > 0).map(|of| of.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}

/// Returns the error of each network and seed over the size of the attack.
fn attack_curves(claims: &[ClaimRecord]) -> Vec<(String, Vec<Point>)> {
    let curves = ARMS.iter().flat_map(|(arm, name)| {
        let curve = |seed| ((*name).to_owned(), numbers(claims, "attack", arm, seed, "error; "));
        seeds(claims, "attack").into_iter().map(curve)
    });
    curves.filter(|(_, points)| !points.is_empty()).collect()
}

/// Returns the entropy of the responsibilities of each routed layer and seed over the iterations.
fn entropy_curves(claims: &[ClaimRecord]) -> Vec<(String, Vec<Point>)> {
    let curves = ["first", "second", "class"].into_iter().flat_map(|layer| {
        let words = format!("entropy of {layer}; ");
        let curve =
            move |seed| (format!("layer {layer}"), numbers(claims, "iterations", "routing-2", seed, &words));
        seeds(claims, "iterations").into_iter().map(curve)
    });
    curves.filter(|(_, points)| !points.is_empty()).collect()
}

/// Draws the mean error of each network on affine digits. Its error on the digits as they are stands beside its name.
///
/// # Errors
///
/// Returns an error if no network has been measured, or if an error is outside [0, 1].
pub fn affine_bars(claims: &[ClaimRecord]) -> Result<Figure> {
    let of = |arm: &str, measure: &str| -> Vec<f64> {
        let own = claims.iter().filter(|of| of.claim == "affine" && of.arm == arm && of.seed > 0);
        own.filter(|of| of.measure == measure).map(|of| of.value).collect()
    };
    let rows: Vec<[Vec<f64>; 2]> =
        ARMS.iter().map(|(arm, _)| [of(arm, "clean error"), of(arm, "affine error")]).collect();
    checks::shares("an error", rows.iter().flatten().flatten().copied())?;
    let measured = ARMS.iter().zip(&rows).filter(|(_, row)| row.iter().all(|errors| !errors.is_empty()));
    let named: Vec<(String, f64)> = measured
        .map(|((_, name), [clean, moved])| {
            let clean = percent(mean(clean.iter().copied()));
            (format!("{name} ({clean} unmoved)"), 100.0 * mean(moved.iter().copied()))
        })
        .collect();
    let named: Vec<(&str, f64)> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let title = "Digits rotated, sheared and scaled";
    bars("affine-errors", title, "misclassified, in percent", &named, Along::Linear)
}

/// Draws curves of shares from 0 to 1. Curves with the same name, such as different seeds, share a colour and a label with the mean
/// of their last points.
///
/// # Errors
///
/// Returns an error if there are no curves or more than six names, if a curve has no points, if x does not increase or is
/// beyond 1e140, or if a share is outside [0, 1].
pub fn share_curves<N: AsRef<str>, P: AsRef<[Point]>>(
    name: &str,
    title: &str,
    [x_title, y_title]: [&str; 2],
    curves: &[(N, P)],
) -> Result<Figure> {
    let groups = by_name(curves)?;
    checks::at_most("the number of names", groups.len(), 6, "at most 6")?;
    let all = || groups.iter().flat_map(|(_, runs)| runs.iter().copied().flatten());
    let (from, to) = extent(all().map(|point| point.0));
    let room = if to > from { 0.02 * (to - from) } else { 0.5 };
    let top = (1.1 * extent(all().map(|point| point.1)).1).clamp(0.02, 1.0);
    let labels: Vec<Label> = groups
        .iter()
        .enumerate()
        .map(|(hue, (name, runs))| {
            let at = mean(runs.iter().map(|points| points[points.len() - 1].1));
            let count = if runs.len() > 1 { format!(", mean of {}", runs.len()) } else { String::new() };
            let note = format!("{}{count}", percent(at));
            Label { at, tint: component(hue), text: name.to_string(), note }
        })
        .collect();
    let words: Vec<String> =
        labels.iter().map(|label| format!("{} ends at {}", label.text, label.note)).collect();
    let alt = format!("Curves of {y_title} over {x_title}: {}.", words.join("; "));
    let (x, y) = (Axis::new(x_title, from - room, to + room), Axis::new(y_title, 0.0, top));
    let mut chart = Chart::new(name, title, (820, 420), x, y).margins(84, 200, 20, 56).alt(alt);
    for (hue, (_, runs)) in groups.iter().enumerate() {
        let tint = component(hue);
        for points in runs {
            chart.line(points.iter().copied(), Pen::new(tint, 2.0));
            for &point in points.iter().filter(|_| points.len() <= 40) {
                // every second name has rings, for colour-blind readers
                if hue % 2 == 0 { chart.disc(point, 3.6, tint) } else { chart.ring(point, 3.6, tint) }
            }
        }
    }
    chart.labels(&labels, true);
    chart.finish()
}
