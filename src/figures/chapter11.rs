//! Figures of chapter 11: trainings that fail beside trainings that work.

use super::{Entry, checks};
use crate::draw::{
    Axis, BLUE, Chart, Figure, GREEN, GREY, Grid, INK, Ink, Label, PALE, PURPLE, Pen, Point, Side, Tint,
    VERMILION, extent, number,
};
use crate::error::{Error, Result};
use crate::routing::ELEMENTS;

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] =
    &[("log-densities", || Ok(log_densities(&[0.0, 0.1, 1.0])?.named("log-densities")))];

/// The colours of the runs: the first fails, the second works.
const TINTS: [Tint; 4] = [VERMILION, GREEN, BLUE, PURPLE];

/// The logarithms beyond which `exp` returns infinity or 0 in f32.
const F32_LOGARITHMS: (f64, f64) = (-103.972, 88.7228);

/// The course of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingCurve {
    /// The name of the run.
    pub name: String,
    /// At each point: digits seen, mean loss and accuracy since the point before.
    pub points: Vec<TrainingPoint>,
    /// Whether the training ended early because a number was no longer finite.
    pub diverged: bool,
}

/// A point of a [`TrainingCurve`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingPoint {
    /// The number of images seen so far.
    pub seen: usize,
    /// The mean loss of an image.
    pub loss: f64,
    /// The share of images classified correctly.
    pub accuracy: f64,
}

/// Draws the loss and the accuracy of trainings over the images seen, in two panels. A dashed line marks each of the
/// `levels` of the loss, with its name. A cross ends the curves of a training that diverged.
///
/// # Errors
///
/// Returns an error if there are no runs or more than four, more than four levels, a run has no points, its number of images
/// does not increase, or a loss or level is not from 0 to 1e6 or an accuracy not from 0 to 1.
pub fn trainings(runs: &[TrainingCurve], levels: &[(&str, f64)]) -> Result<Figure> {
    checks::not_empty("runs", runs)?;
    checks::at_most("the number of runs", runs.len(), TINTS.len(), "at most 4")?;
    checks::at_most("the number of levels", levels.len(), 4, "at most 4")?;
    runs.iter().try_for_each(check_run)?;
    check_losses(levels.iter().map(|level| level.1))?;
    let all = || runs.iter().flat_map(|run| &run.points);
    let most = extent(all().map(|point| point.loss).chain(levels.iter().map(|level| level.1))).1;
    let top = if most > 0.0 { 1.12 * most } else { 1.0 };
    let last = extent(all().map(|point| point.seen as f64)).1;
    let x = || Axis::new("digits seen", 0.0, 1.03 * last).most(6);
    let shares = [0.0, 0.25, 0.5, 0.75, 1.0].map(|a| (a, format!("{} %", 100.0 * a))).to_vec();

    let mut figure = Chart::canvas("trainings", "Loss and accuracy during training", (880.0, 340.0));
    let mut loss = figure.panel((58.0, 46.0), (290.0, 236.0), x(), Axis::new("", 0.0, top).most(6));
    let y = Axis::new("", -0.03, 1.03).ticks(shares);
    let mut accuracy = figure.panel((416.0, 46.0), (290.0, 236.0), x(), y);
    loss.heading("mean loss of a digit", "");
    accuracy.heading("accuracy", "");
    for &(name, level) in levels {
        loss.line([(0.0, level), (1.03 * last, level)], Pen::new(GREY, 1.2).dashed(4.0, 4.0));
        let ink = Ink::new(GREY).size(11.5);
        loss.text((1.03 * last, level), (-4.0, -9.0), Side::Left, ink, name);
    }
    let (mut labels, mut words) = (Vec::new(), Vec::new());
    for (run, tint) in runs.iter().zip(TINTS) {
        let line = |value: fn(&TrainingPoint) -> f64| -> Vec<Point> {
            run.points.iter().map(|point| (point.seen as f64, value(point))).collect()
        };
        let curves = [line(|point| point.loss), line(|point| point.accuracy)];
        for (panel, curve) in [&mut loss, &mut accuracy].into_iter().zip(&curves) {
            panel.marked(curve, tint, 2.0, 2.6);
            if run.diverged {
                panel.cross(curve[curve.len() - 1], 7.0, tint);
            }
        }
        let end = run.points[run.points.len() - 1];
        let note = match run.diverged {
            true => "diverged here".to_owned(),
            false => format!("{} %, loss {}", number(100.0 * end.accuracy, 0), number(end.loss, 2)),
        };
        words.push(format!("{}: {note}", run.name));
        labels.push(Label { at: end.accuracy, tint, text: run.name.clone(), note });
    }
    accuracy.labels(&labels, true);
    figure.add(loss);
    figure.add(accuracy);
    figure
        .alt(format!("Curves of loss and accuracy over the digits seen, at the end {}.", words.join("; ")))
        .finish()
}

fn check_run(run: &TrainingCurve) -> Result<()> {
    checks::not_empty("points of a run", &run.points)?;
    check_losses(run.points.iter().map(|point| point.loss))?;
    if let Some(pair) = run.points.windows(2).find(|pair| pair[1].seen <= pair[0].seen) {
        let (name, expected) = ("the number of images seen", "greater than the one before it");
        return Err(Error::Setting { name, expected, value: pair[1].seen as f64 });
    }
    checks::shares("an accuracy", run.points.iter().map(|point| point.accuracy))
}

fn check_losses(losses: impl IntoIterator<Item = f64>) -> Result<()> {
    checks::within("a loss", (0.0, 1e6), "from 0 to 1e6", losses)
}

/// Draws how many images each of several networks classifies as each class: a panel for each network, a bar for each class.
/// A dashed line is an even share.
///
/// # Errors
///
/// Returns an error if there are no networks or more than four, no classes or more than 16, or if the networks differ in their
/// number of classes.
pub fn predictions(networks: &[(&str, &[usize])]) -> Result<Figure> {
    checks::not_empty("networks", networks)?;
    checks::at_most("the number of networks", networks.len(), TINTS.len(), "at most 4")?;
    let classes = networks[0].1.len();
    checks::not_empty("classes", networks[0].1)?;
    checks::at_most("the number of classes", classes, 16, "at most 16")?;
    networks
        .iter()
        .try_for_each(|network| checks::length("the counts of a network", classes, network.1.len()))?;
    let most = extent(networks.iter().flat_map(|network| network.1).map(|&count| count as f64)).1.max(1.0);
    let grid = Grid {
        columns: networks.len().min(2),
        panel: (340.0, 150.0),
        gap: (64.0, 92.0),
        origin: (64.0, 46.0),
    };
    let title = "Predicted classes";
    let mut figure = grid.canvas("predictions", title, networks.len(), (24.0, 58.0), 440);
    let mut words = Vec::new();
    for (index, ((name, counts), tint)) in networks.iter().zip(TINTS).enumerate() {
        let names = (0..classes).map(|class| (class as f64 + 0.5, class.to_string())).collect();
        let x = Axis::new("predicted class", 0.0, classes as f64).no_grid().ticks(names);
        let mut panel =
            figure.panel(grid.corner(index), grid.panel, x, Axis::new("", 0.0, 1.1 * most).most(5));
        panel.heading(name, "");
        for (class, &count) in counts.iter().enumerate() {
            let left = class as f64;
            panel.block((left + 0.12, 0.0), (left + 0.88, count as f64), tint);
        }
        let even = counts.iter().map(|&count| count as f64).sum::<f64>() / classes as f64;
        panel.line([(0.0, even), (classes as f64, even)], Pen::new(INK, 1.2).dashed(4.0, 4.0));
        figure.add(panel);
        let all = counts.iter().map(usize::to_string).collect::<Vec<_>>();
        words.push(format!("{name} {}", all.join(", ")));
    }
    figure
        .alt(format!("Bars of the number of images classified as each class: {}.", words.join("; ")))
        .finish()
}

/// Draws the logarithm of a Gaussian density of 16 elements over its standard deviation, a curve for each distance between vote
/// and mean (the same in each element), and the range in which the density itself can be stored in f32.
///
/// # Errors
///
/// Returns an error if there are no distances or more than four, or if one is not from 0 to 100.
pub fn log_densities(distances: &[f64]) -> Result<Figure> {
    checks::not_empty("distances", distances)?;
    checks::at_most("the number of distances", distances.len(), TINTS.len(), "at most 4")?;
    checks::within("a distance", (0.0, 100.0), "from 0 to 100", distances.iter().copied())?;
    let (low, high) = (-240.0, 200.0);
    let (least, most) = (-5.0, 1.0);
    let ticks = ["0.00001", "0.0001", "0.001", "0.01", "0.1", "1", "10"];
    let ticks = ticks.iter().enumerate().map(|(at, text)| (at as f64 - 5.0, (*text).to_owned())).collect();
    let x = Axis::new("standard deviation σ of the votes", least, most).ticks(ticks);
    let y = Axis::new("logarithm of the density (nats)", low, high).most(8);
    let title = "Density of a vote in f32";
    let mut chart = Chart::new("log-densities", title, (820, 420), x, y).margins(76, 190, 20, 56);
    let (zero, infinity) = F32_LOGARITHMS;
    chart.block((least, infinity), (most, high), PALE);
    chart.block((least, low), (most, zero), PALE);
    let ink = Ink::new(INK).plain().size(12.5);
    chart.text(
        (most, 0.5 * (infinity + high)),
        (-10.0, 0.0),
        Side::Left,
        ink,
        "in f32 the density is infinite",
    );
    chart.text((most, 0.5 * (low + zero)), (-10.0, 0.0), Side::Left, ink, "in f32 the density is 0");
    let density = |distance: f64, sigma: f64| {
        let z = distance / sigma;
        -(ELEMENTS as f64) * (0.5 * std::f64::consts::TAU.ln() + sigma.ln() + 0.5 * z * z)
    };
    let mut labels = Vec::new();
    for (&distance, tint) in distances.iter().zip(TINTS) {
        let points = (0..=600).map(|i| least + (most - least) * f64::from(i) / 600.0);
        let line: Vec<Point> = points.map(|x| (x, density(distance, 10f64.powf(x)).max(low - 1e4))).collect();
        chart.line(line.iter().copied(), Pen::new(tint, 2.2));
        let text = format!("distance {distance}");
        labels.push(Label { at: line[line.len() - 1].1.max(low), tint, text, note: String::new() });
    }
    chart.labels(&labels, true);
    let overflow = (-0.5 * std::f64::consts::TAU.ln() - infinity / ELEMENTS as f64).exp();
    let alt = format!(
        "Curves of the log density over the standard deviation. At distance 0 it rises without limit as the deviation shrinks, and \
         leaves the range of f32 below {}. At other distances it has a maximum and falls steeply for smaller deviations.",
        number(overflow, 4)
    );
    chart.alt(alt).finish()
}
