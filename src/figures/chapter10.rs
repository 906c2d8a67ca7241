//! Figures of chapter 10: accuracy on novel viewpoints, for kinds of networks and by azimuth.

use std::collections::BTreeMap;

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::chapter09::grouped;
pub use super::claims::{affine_bars, share_curves};
use super::claims::{attack_errors, entropy_by_iteration};
pub use super::clusters::{PictureRow, pictures};
use super::records::{ViewCount, ViewTrial, read_claims, read_view_counts, read_view_trials};
use super::trials::mean;
use super::{Entry, checks};
use crate::draw::{
    Axis, Chart, Figure, GREY, INK, Ink, Label, Mark, PALE, Pen, Point, Side, component, extent, legend_row,
    number,
};
use crate::error::{Error, Result};
use crate::shipped;

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[
    ("novel-accuracy", || {
        let trials = read_view_trials(shipped::viewpoints_file())?;
        Ok(accuracies(&of_set(&trials, "published"))?.named("novel-accuracy"))
    }),
    ("accuracy-by-azimuth", || {
        let counts = read_view_counts(shipped::views_file())?;
        let curves = ["routing-2", "routing-1", "plain", "plain-pooled"]
            .map(|arm| (arm, by_azimuth(&counts, "published", arm)));
        let figure = over_azimuths("correctly classified images", FAMILIAR, &curves)?;
        Ok(figure.named("accuracy-by-azimuth"))
    }),
    ("harder-set", || {
        let trials = read_view_trials(shipped::viewpoints_file())?;
        let arms = SOLIDS.map(|(arm, epochs)| {
            let is_own = |trial: &&ViewTrial| {
                trial.set == "solids" && (trial.arm.as_str(), trial.epochs) == (arm, epochs)
            };
            (format!("{arm}, {epochs}"), trials.iter().filter(is_own).cloned().collect())
        });
        Ok(accuracies(&arms)?.named("harder-set"))
    }),
    ("attack-errors", || attack_errors(&read_claims(shipped::claims_file())?)),
    ("affine-errors", || affine_bars(&read_claims(shipped::claims_file())?)),
    ("entropy-by-iteration", || entropy_by_iteration(&read_claims(shipped::claims_file())?)),
];

/// The azimuths of training in the published test, from the first to the last, in degrees.
pub const FAMILIAR: (f64, f64) = (0.0, 150.0);

/// The networks on the set `solids`, and their numbers of epochs. After one epoch, the plain network classifies familiar views as well
/// as the one with capsules after four.
const SOLIDS: [(&str, usize); 5] =
    [("routing-2", 4), ("routing-1", 4), ("plain", 1), ("plain", 2), ("plain-pooled", 4)];

/// A kind of network, and its trainings.
pub type Arm = (String, Vec<ViewTrial>);

/// Returns the trainings on a set by kind of network, in the order of the file.
fn of_set(trials: &[ViewTrial], set: &str) -> Vec<Arm> {
    let own = trials.iter().filter(|trial| trial.set == set);
    grouped(own.map(|trial| (trial.arm.clone(), trial.clone())))
}

/// Returns the mean of some values and half the width of its 95 % confidence interval by Student's t distribution: t s / sqrt(n),
/// where s is the standard deviation of the n values and t the 97.5 % quantile with n - 1 degrees of freedom.
///
/// # Errors
///
/// Returns an error if there are fewer than two values, or if a value is not finite.
pub fn interval(values: &[f64]) -> Result<(f64, f64)> {
    if values.len() < 2 {
        return Err(Error::Setting {
            name: "the number of values",
            expected: "at least 2",
            value: values.len() as f64,
        });
    }
    checks::finite("a value", values.iter().copied())?;
    let (n, mean) = (values.len() as f64, mean(values.iter().copied()));
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0);
    let t = StudentsT::new(0.0, 1.0, n - 1.0).map_or(f64::NAN, |t| t.inverse_cdf(0.975));
    Ok((mean, t * (variance / n).sqrt()))
}

/// Returns the points (azimuth in degrees, share of correctly classified images) of a kind of network, over all its trainings on
/// a set and all elevations, by azimuth.
pub fn by_azimuth(counts: &[ViewCount], set: &str, arm: &str) -> Vec<Point> {
    let mut sums: BTreeMap<i64, (usize, usize)> = BTreeMap::new();
    for count in counts.iter().filter(|count| count.set == set && count.arm == arm) {
        // azimuths are whole degrees
        let sum = sums.entry(count.azimuth.round() as i64).or_default();
        *sum = (sum.0 + count.correct, sum.1 + count.images);
    }
    sums.into_iter()
        .map(|(azimuth, (correct, images))| (azimuth as f64, correct as f64 / images as f64))
        .collect()
}

/// Draws the accuracies of kinds of networks, a row for each: a ring for each training's familiar views, a disc for each training's
/// novel views, and the mean of the novel views with its 95 % confidence interval ([`interval`]).
///
/// # Errors
///
/// Returns an error if there are no rows or more than twelve, or if a kind has fewer than two trainings that did not diverge.
pub fn accuracies(arms: &[Arm]) -> Result<Figure> {
    const ROW: f64 = 46.0;
    checks::not_empty("rows", arms)?;
    checks::at_most("the number of rows", arms.len(), 12, "at most 12")?;
    let shares =
        |arm: &Arm, of: fn(&ViewTrial) -> Option<f64>| arm.1.iter().filter_map(of).collect::<Vec<f64>>();
    let novel: Vec<Vec<f64>> = arms.iter().map(|arm| shares(arm, |trial| trial.novel)).collect();
    let familiar: Vec<Vec<f64>> = arms.iter().map(|arm| shares(arm, |trial| trial.familiar)).collect();
    let all = || novel.iter().chain(&familiar).flatten().copied();
    checks::shares("a share of correctly classified images", all())?;
    let intervals: Vec<(f64, f64)> = novel.iter().map(|shares| interval(shares)).collect::<Result<_>>()?;
    let ends = intervals.iter().map(|(mean, half)| mean - half);
    let low = extent(all().chain(ends)).0;
    let tall = ROW * arms.len() as f64;
    let level = |row: usize| tall - ROW * (row as f64 + 0.5);
    let title = "Accuracy on novel and familiar viewpoints";
    let mut chart = Chart::canvas("accuracies", title, (820.0, tall + 118.0));
    let names = arms.iter().enumerate().map(|(row, arm)| (level(row), arm.0.clone()));
    let y = Axis::new("", 0.0, tall).no_grid().ticks(names.collect());
    let x = Axis::new("correctly classified images", (low - 0.02).max(0.0), 1.008);
    let mut panel = chart.panel((130.0, 44.0), (540.0, tall), x, y);
    let key = [
        (Mark::Dot(component(0)), "novel views, one training"),
        (Mark::Ring(GREY), "familiar views, one training"),
        (Mark::Line(Pen::new(INK, 2.4)), "mean of the novel views, 95 % interval"),
    ];
    legend_row(&mut chart, (24.0, 22.0), 810.0, key.map(|(mark, word)| (mark, word.to_owned())));
    let mut words = Vec::new();
    for (row, arm) in arms.iter().enumerate() {
        let (at, (mean, half)) = (level(row), intervals[row]);
        let count = novel[row].len();
        // trainings of equal accuracy stay visible beside one another
        let place = |training: usize| at + 15.0 * ((training as f64 + 0.5) / count as f64 - 0.5);
        panel.line([(mean - half, at), (mean + half, at)], Pen::new(INK, 2.4));
        panel.line([(mean, at - 11.0), (mean, at + 11.0)], Pen::new(INK, 2.4));
        for (training, &share) in familiar[row].iter().enumerate() {
            panel.ring((share, place(training)), 3.2, GREY);
        }
        for (training, &share) in novel[row].iter().enumerate() {
            panel.dot((share, place(training)), 3.4, component(0));
        }
        let text = format!("{} ± {} %", number(100.0 * mean, 1), number(100.0 * half, 1));
        panel.text((1.008, at), (14.0, 0.0), Side::Right, Ink::new(INK).plain().bold().size(12.5), &text);
        words.push(format!("{} {text} of {count} trainings", arm.0));
    }
    chart.add(panel);
    chart.alt(format!("Rows of dots on an axis of accuracies. Novel views: {}.", words.join("; "))).finish()
}

/// Draws curves over the azimuth, from 0 to 360 degrees, with a band behind the familiar azimuths. Their values are from 0 to 1, such as
/// accuracies or the activation of a class.
///
/// # Errors
///
/// Returns an error if there are no curves or more than six, if a curve has no points, if a value is outside [0, 1], or if an azimuth
/// is not from 0 to 360.
pub fn over_azimuths<N: AsRef<str>, P: AsRef<[Point]>>(
    quantity: &str,
    familiar: (f64, f64),
    curves: &[(N, P)],
) -> Result<Figure> {
    checks::not_empty("curves", curves)?;
    checks::at_most("the number of curves", curves.len(), 6, "at most 6")?;
    for (_, points) in curves {
        checks::not_empty("points of a curve", points.as_ref())?;
        checks::shares("a value", points.as_ref().iter().map(|point| point.1))?;
    }
    let azimuths = curves.iter().flat_map(|curve| curve.1.as_ref().iter().map(|point| point.0));
    let azimuths = azimuths.chain([familiar.0, familiar.1]);
    checks::within("an azimuth", (0.0, 360.0), "from 0 to 360 degrees", azimuths)?;
    let low = extent(curves.iter().flat_map(|curve| curve.1.as_ref().iter().map(|point| point.1))).0;
    let ticks = (0..=6).map(|at| (f64::from(60 * at), (60 * at).to_string())).collect();
    let x = Axis::new("azimuth in degrees", 0.0, 360.0).ticks(ticks);
    let bottom = (low - 0.05).max(0.0);
    let y = Axis::new(quantity, bottom, 1.02);
    let mut chart = Chart::new("over-azimuths", &format!("{quantity} over the azimuth"), (820, 420), x, y)
        .margins(72, 150, 24, 56);
    chart.block((familiar.0, bottom), (familiar.1, 1.02), PALE);
    let ink = Ink::new(GREY).plain().size(12.0);
    let middle = (familiar.0 + familiar.1) / 2.0;
    chart.text((middle, bottom), (0.0, -10.0), Side::Middle, ink, "familiar");
    let mut labels = Vec::new();
    for (index, (name, points)) in curves.iter().enumerate() {
        let points = points.as_ref();
        chart.marked(points, component(index), 2.0, 3.4);
        let (text, at) = (name.as_ref().to_owned(), points[points.len() - 1].1);
        labels.push(Label { at, tint: component(index), text, note: String::new() });
    }
    chart.labels(&labels, true);
    // a curve without novel azimuths has no range there
    let words = curves.iter().filter_map(|(name, points)| {
        let is_novel = |point: &&Point| !(familiar.0..=familiar.1).contains(&point.0);
        let novel: Vec<f64> = points.as_ref().iter().filter(is_novel).map(|point| point.1).collect();
        let (least, most) = extent(novel.iter().copied());
        (!novel.is_empty()).then(|| format!("{} {least:.2} to {most:.2}", name.as_ref()))
    });
    let words: Vec<String> = words.collect();
    chart
        .alt(format!("Curves of {quantity} over the azimuth; at novel azimuths {}.", words.join("; ")))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy: t.interval(0.95, 4, mean(x), sem(x)) for x = 1, 2, 4, 5, 9
    #[test]
    fn the_interval_is_students() {
        let (mean, half) = interval(&[1.0, 2.0, 4.0, 5.0, 9.0]).unwrap();
        assert!((mean - 4.2).abs() < 1e-12);
        assert!((half - 3.867_140_545_5).abs() < 1e-8, "{half}");
        assert!(interval(&[1.0]).is_err() && interval(&[1.0, f64::NAN]).is_err());
    }
}
