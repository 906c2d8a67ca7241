//! Figures of chapter 9: error curves, the effect of each setting, and the mistakes of a trained network.

use super::chapter08::grey_levels;
use super::records::{EpochRecord, Trial, read_epochs, read_trials};
use super::{Entry, checks};
use crate::capsnet::Evaluation;
use crate::data::idx::Images;
use crate::draw::{
    Axis, CARD, Chart, Figure, GREEN, GREY, Grid, INK, Ink, Label, Mark, PALE, Pen, Point, Side, VERMILION,
    component, extent, heat, legend_row, number, trimmed,
};
use crate::error::{Error, Result};
use crate::shipped;

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[
    ("recipe-ablation", || {
        Ok(ablation(&by_setting(&read_trials(shipped::ablation_file())?))?.named("recipe-ablation"))
    }),
    ("recipe-grid", || Ok(grid(&read_trials(shipped::grid_file())?)?.named("recipe-grid"))),
    ("epoch-errors", || {
        let epochs = mnist_trainings(&read_epochs(shipped::runs_file())?);
        Ok(epoch_panels(&validation_curves(&epochs))?.named("epoch-errors"))
    }),
];

/// The name of an error rate in error messages.
const ERROR: &str = "a share of misclassified images";

/// Groups the errors of the trials by setting: `default` first, then in the order of the mean error. In this order a
/// diverged run counts as an error of 1.
pub fn by_setting(trials: &[Trial]) -> Vec<(String, Vec<Option<f64>>)> {
    let mut rows = grouped(trials.iter().map(|trial| (trial.setting.clone(), trial.error)));
    // a diverged run counts as misclassifying everything
    let errors = |runs: &[Option<f64>]| mean(runs.iter().map(|run| run.unwrap_or(1.0)));
    let place = |row: &(String, Vec<_>)| if row.0 == "default" { -1.0 } else { errors(&row.1) };
    rows.sort_by(|a, b| place(a).total_cmp(&place(b)));
    rows
}

/// Returns the curve of each training's validation error: the name of the recipe and the points (epoch, error). If a
/// recipe was trained for different numbers of epochs, the name includes the number.
pub fn validation_curves(epochs: &[EpochRecord]) -> Vec<(String, Vec<Point>)> {
    let point =
        |of: &EpochRecord| Some(((of.recipe.clone(), of.epochs, of.seed), (of.epoch as f64, of.validation?)));
    let runs = grouped(epochs.iter().filter_map(point));
    let name = |recipe: &str, epochs: usize| match runs.iter().all(|(of, _)| of.0 != recipe || of.1 == epochs)
    {
        true => recipe.to_owned(),
        false => format!("{recipe}, {epochs} epoch{}", if epochs == 1 { "" } else { "s" }),
    };
    runs.iter().map(|((recipe, epochs, _), points)| (name(recipe, *epochs), points.clone())).collect()
}

/// Returns the epochs of the trainings on MNIST that lasted longer than one epoch.
pub fn mnist_trainings(epochs: &[EpochRecord]) -> Vec<EpochRecord> {
    let is_mnist = |of: &&EpochRecord| of.epochs > 1 && !of.recipe.contains("fashion");
    epochs.iter().filter(is_mnist).cloned().collect()
}

/// Groups values by key, in the order in which keys first appear.
fn grouped<K: PartialEq, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Vec<(K, Vec<V>)> {
    let mut groups: Vec<(K, Vec<V>)> = Vec::new();
    for (key, value) in pairs {
        match groups.iter_mut().find(|group| group.0 == key) {
            Some(group) => group.1.push(value),
            None => groups.push((key, vec![value])),
        }
    }
    groups
}

/// Draws error curves: the share of misclassified images over the amount of training (images, steps or epochs: `x_title`),
/// with a logarithmic error axis.
///
/// Each curve has a name and points (x, error), with increasing x and errors in [0, 1]. Curves with the same name, such as
/// different seeds of a recipe, share a colour and a label with the mean of their last errors. An error of 0 is drawn at
/// the lower edge.
///
/// # Errors
///
/// Returns an error if there are no curves or more than eight names, if a curve has no points, if x does not increase or is
/// beyond 1e140, or if an error is outside [0, 1].
pub fn error_curves<N: AsRef<str>, P: AsRef<[Point]>>(x_title: &str, curves: &[(N, P)]) -> Result<Figure> {
    let groups = by_name(curves)?;
    checks::at_most("the number of names", groups.len(), 8, "at most 8")?;
    let all = || groups.iter().flat_map(|(_, runs)| runs.iter().copied().flatten());
    let (y, range) = error_axis(all().map(|point| point.1), "misclassified images");
    let (from, to) = extent(all().map(|point| point.0));
    let room = if to > from { 0.02 * (to - from) } else { 0.5 };
    let from = if from >= 0.0 { 0.0 } else { from };
    let tint = |hue: usize| if hue < 6 { component(hue) } else { [INK, GREY][hue - 6] };
    let labels: Vec<Label> = groups
        .iter()
        .enumerate()
        .map(|(hue, (name, runs))| {
            let mean = mean(runs.iter().map(|points| points[points.len() - 1].1));
            let count = if runs.len() > 1 { format!(", mean of {}", runs.len()) } else { String::new() };
            let (text, note) = (name.to_string(), format!("{}{count}", percent(mean)));
            Label { at: on_error_axis(mean, range), tint: tint(hue), text, note }
        })
        .collect();
    let words: Vec<String> =
        labels.iter().map(|label| format!("{} ends at {}", label.text, label.note)).collect();
    let lowest = labels.iter().min_by(|a, b| a.at.total_cmp(&b.at)).map(|label| label.text.as_str());
    let alt = format!(
        "Curves over {x_title} on a logarithmic axis of errors: {}. The lowest is {}.",
        words.join("; "),
        lowest.unwrap_or_default()
    );
    let x = Axis::new(x_title, from - room, to + room);
    let title = "Misclassified images during training";
    let mut chart = Chart::new("error-curves", title, (820, 460), x, y).margins(84, 190, 20, 56).alt(alt);
    for (hue, (_, runs)) in groups.iter().enumerate() {
        let pen = Pen::new(tint(hue), 2.0);
        // a dotted line connects a curve that ends early to its label
        let (end, level) = (runs[0][runs[0].len() - 1].0, labels[hue].at);
        chart.line([(end, level), (to + room, level)], Pen::new(pen.tint, 1.0).dashed(2.0, 3.0));
        for points in runs {
            let line: Vec<Point> =
                points.iter().map(|&(x, error)| (x, on_error_axis(error, range))).collect();
            chart.line(line.iter().copied(), pen);
            if line.len() <= 40 {
                chart.scatter(line.iter().copied(), 3.0, pen.tint, 1.0);
            }
            // every second name has rings, for colour-blind readers
            match (line[line.len() - 1], hue % 2) {
                (end, 0) => chart.disc(end, 4.2, pen.tint),
                (end, _) => chart.ring(end, 4.2, pen.tint),
            }
        }
    }
    chart.labels(&labels, true);
    chart.finish()
}

/// Draws the validation errors of trainings over their epochs, a panel for each recipe, with a logarithmic error axis that all
/// panels share. A panel shows the recipe's own trainings, one curve for each seed, before those of all others in grey.
///
/// Each curve has a name and points (epoch, error), with increasing epochs and errors in [0, 1]. Curves with the same name share
/// a panel, whose heading is the mean of their last errors. An error of 0 is drawn at the lower edge.
///
/// # Errors
///
/// Returns an error if there are no curves or more than twelve names, if a curve has no points, if its epochs do not increase
/// or are beyond 1e140, or if an error is outside [0, 1].
pub fn epoch_panels<N: AsRef<str>, P: AsRef<[Point]>>(curves: &[(N, P)]) -> Result<Figure> {
    const HEADING: f64 = 34.0;
    let groups = by_name(curves)?;
    checks::at_most("the number of names", groups.len(), 12, "at most 12")?;
    let all = || groups.iter().flat_map(|(_, runs)| runs.iter().copied().flatten());
    let (y, range) = error_axis(all().map(|point| point.1), "");
    let (from, to) = extent(all().map(|point| point.0));
    let room = if to > from { 0.05 * (to - from) } else { 0.5 };
    let columns = groups.len().min(3);
    let grid = Grid { columns, panel: (214.0, 150.0), gap: (22.0, 72.0), origin: (66.0, 68.0) };
    let size = grid.size(groups.len(), 24.0, 56.0);
    let size = (f64::from(size.0).max(420.0), f64::from(size.1));
    let title = "Misclassified validation images over the epochs";
    let mut figure = Chart::canvas("epoch-panels", title, size);
    figure.note((24.0, 18.0), Ink::new(GREY).plain().size(12.5), "misclassified validation images");
    let line = |points: &[Point]| -> Vec<Point> {
        points.iter().map(|&(x, error)| (x, on_error_axis(error, range))).collect()
    };
    let mut words = Vec::new();
    for (index, (name, runs)) in groups.iter().enumerate() {
        let (left, top) = grid.corner(index);
        let is_lowest = index + columns >= groups.len();
        let x = Axis::new(if is_lowest { "epochs" } else { "" }, from - room, to + room).no_grid().most(6);
        let y = if index % columns == 0 { y.clone() } else { y.clone().bare() };
        let mut panel = figure.panel((left, top), grid.panel, x, y);
        for (_, others) in groups.iter().filter(|other| other.0 != *name) {
            others.iter().for_each(|points| panel.line(line(points), Pen::new(GREY, 1.0).faded(0.35)));
        }
        for points in runs {
            panel.marked(&line(points), component(0), 2.0, 3.0);
        }
        figure.add(panel);
        let mean = mean(runs.iter().map(|points| points[points.len() - 1].1));
        let count = if runs.len() > 1 { format!(", mean of {}", runs.len()) } else { String::new() };
        let ends = format!("ends at {}{count}", percent(mean));
        figure.note((left, top - HEADING + 8.0), Ink::new(component(0)).plain().bold().size(13.5), *name);
        figure.note((left, top - HEADING + 24.0), Ink::new(INK).plain().size(12.0), &ends);
        words.push(format!("{name} {ends}"));
    }
    let alt = format!("A panel of error curves over the epochs for each recipe: {}.", words.join("; "));
    figure.alt(alt).finish()
}

/// Checks that a curve has points, increasing x, and errors from 0 to 1.
/// A name, and the curves of this name.
type Named<'a> = (&'a str, Vec<&'a [Point]>);

/// Checks all curves and groups them by name.
fn by_name<N: AsRef<str>, P: AsRef<[Point]>>(curves: &[(N, P)]) -> Result<Vec<Named<'_>>> {
    checks::not_empty("curves", curves)?;
    curves.iter().try_for_each(|(_, points)| check_curve(points.as_ref()))?;
    Ok(grouped(curves.iter().map(|(name, points)| (name.as_ref(), points.as_ref()))))
}

fn check_curve(points: &[Point]) -> Result<()> {
    checks::not_empty("points of a curve", points)?;
    checks::finite("x of a point", points.iter().map(|point| point.0))?;
    if let Some(pair) = points.windows(2).find(|pair| pair[1].0 <= pair[0].0) {
        let (name, expected) = ("x of a point", "greater than the x before it");
        return Err(Error::Setting { name, expected, value: pair[1].0 });
    }
    checks::shares(ERROR, points.iter().map(|point| point.1))
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Draws the effect of settings on the error: one row per setting, one dot per run, on a logarithmic axis. The first row is
/// the baseline: the band from its best run to its worst crosses all rows.
///
/// Each row has a name and the errors of its runs, from 0 to 1; `None` is a run that diverged.
///
/// # Errors
///
/// Returns an error if there are no rows or more than forty, if a row has no runs, if all runs of the first row diverged,
/// if an error is outside [0, 1], or if there are more runs than a figure can hold.
pub fn ablation<N: AsRef<str>, R: AsRef<[Option<f64>]>>(rows: &[(N, R)]) -> Result<Figure> {
    const ROW: f64 = 21.0;
    checks::not_empty("rows", rows)?;
    checks::at_most("the number of rows", rows.len(), 40, "at most 40")?;
    rows.iter().try_for_each(|row| checks::not_empty("runs of a row", row.1.as_ref()))?;
    let of = |row: &(N, R)| -> Vec<f64> { row.1.as_ref().iter().flatten().copied().collect() };
    let errors: Vec<Vec<f64>> = rows.iter().map(of).collect();
    checks::shares(ERROR, errors.iter().flatten().copied())?;
    checks::not_empty("runs of the first row that did not diverge", &errors[0])?;
    let (best, worst) = extent(errors[0].iter().copied());

    let letters = rows.iter().map(|row| row.0.as_ref().chars().count()).max().unwrap_or(0);
    let left = (6.8 * letters as f64 + 26.0).clamp(90.0, 340.0);
    let tall = ROW * rows.len() as f64;
    let (x, range) = error_axis(errors.iter().flatten().copied(), "misclassified validation images");
    let place = |error: f64| on_error_axis(error, range);
    let mut chart = Chart::canvas("ablation", "What each setting does to the error", (820.0, tall + 106.0));
    let level = |index: usize| tall - ROW * (index as f64 + 0.5);
    let names = rows.iter().enumerate().map(|(index, row)| (level(index), row.0.as_ref().to_owned()));
    let y = Axis::new("", 0.0, tall).no_grid().ticks(names.collect());
    let mut panel = chart.panel((left, 44.0), (820.0 - left - 118.0, tall), x, y);
    panel.block((place(best), 0.0), (place(worst), tall), PALE);
    let middle = place(mean(errors[0].iter().copied()));
    panel.line([(middle, 0.0), (middle, tall)], Pen::new(INK, 1.2).dashed(4.0, 4.0));
    let verdicts = [(GREEN, "better"), (GREY, "within the spread"), (VERMILION, "worse")];
    let key = verdicts.map(|(tint, word)| (Mark::Dot(tint), word.to_owned()));
    let first = [(Pen::new(INK, 1.2).dashed(4.0, 4.0), "mean"), (Pen::new(PALE, 5.0), "runs")];
    let first = first.map(|(pen, word)| (Mark::Line(pen), format!("{word} of the first row")));
    legend_row(&mut chart, (24.0, 22.0), 810.0, key.into_iter().chain(first));
    let mut words = Vec::new();
    for (index, (row, errors)) in rows.iter().zip(&errors).enumerate() {
        let (name, runs, level) = (row.0.as_ref(), row.1.as_ref().len(), level(index));
        let average = mean(errors.iter().copied());
        let (tint, verdict) = match average {
            _ if index == 0 => (INK, "the reference"),
            _ if errors.is_empty() => (VERMILION, "diverged"),
            average if average > worst => (VERMILION, "worse"),
            average if average < best => (GREEN, "better"),
            _ => (GREY, "within the spread"),
        };
        if !errors.is_empty() {
            panel.line([(middle, level), (place(average), level)], Pen::new(tint, 1.6));
        }
        errors.iter().for_each(|&error| panel.disc((place(error), level), 4.0, tint));
        let text = match runs - errors.len() {
            0 => percent(average),
            1 if runs == 1 => "diverged".to_owned(),
            gone if gone == runs => format!("{gone} diverged"),
            gone => format!("{}, {gone} diverged", percent(average)),
        };
        words.push(format!("{name} {text}, {verdict}"));
        let ink = Ink::new(tint).plain().size(12.5);
        let ink = if tint == GREY { ink } else { ink.bold() };
        panel.text((range.1, level), (14.0, 0.0), Side::Right, ink, text);
    }
    chart.add(panel);
    if words.len() > 10 {
        let counts = verdicts.map(|(_, verdict)| {
            format!("{} rows {verdict}", words.iter().filter(|words| words.ends_with(verdict)).count())
        });
        words.splice(3..words.len() - 2, [format!("in all {}", counts.join(", "))]);
    }
    chart.alt(format!("Rows of dots on a logarithmic axis of errors: {}.", words.join("; "))).finish()
}

/// The rows of the [`grid`]: values of the setting `inverse-temperature`, and their names.
const LAMBDAS: [(&str, &str); 4] = [
    ("linear", "the blog's, 1 to 3"),
    ("constant:1", "1"),
    ("constant:0.5", "0.5"),
    ("saturating:0.01", "the paper's"),
];

/// Returns the error of each run with these four choices. A run that diverged has an error of 1.
pub fn grid_errors(
    trials: &[Trial],
    standardized: bool,
    blogs_start: bool,
    lambda: &str,
    iterations: usize,
) -> Vec<f64> {
    let start = if blogs_start { "blog-start " } else { "" };
    let name =
        format!("normalise-costs={standardized} inverse-temperature={lambda} {start}iterations={iterations}");
    trials.iter().filter(|trial| trial.setting == name).map(|trial| trial.error.unwrap_or(1.0)).collect()
}

/// Draws the errors of the grid of `cargo bench --bench ablation -- --grid`: a block for each kind of costs and start, in it a
/// row for each lambda and a column for each number of iterations. A cell has the mean error of its runs and, if there are
/// several, the lowest and the highest. Colours are logarithmic in the error, from 2 to 90 %. A run that diverged counts as an
/// error of 1; a combination without runs stays empty.
///
/// # Errors
///
/// Returns an error if there are no trials of the grid.
pub fn grid(trials: &[Trial]) -> Result<Figure> {
    const CELL: (f64, f64) = (72.0, 44.0);
    let blocks =
        [(true, true), (true, false), (false, true), (false, false)].map(|(standardized, blogs_start)| {
            let costs = if standardized { "standardized costs" } else { "costs as they are" };
            let name = format!("{costs}, {} start", if blogs_start { "the blog's" } else { "our" });
            let cells = LAMBDAS.map(|(lambda, _)| {
                [1, 2, 3].map(|count| grid_errors(trials, standardized, blogs_start, lambda, count))
            });
            (name, cells)
        });
    let runs = blocks.iter().flat_map(|block| block.1.iter().flatten().flatten());
    checks::not_empty("trials of the grid", &runs.collect::<Vec<_>>())?;

    let grid =
        Grid { columns: 2, panel: (3.0 * CELL.0, 4.0 * CELL.1), gap: (40.0, 60.0), origin: (146.0, 72.0) };
    let size = (142.0 + 6.0 * CELL.0 + 40.0 + 20.0, 44.0 + 8.0 * CELL.1 + 60.0 + 60.0);
    let mut figure = Chart::canvas("grid", "Costs, start, lambda and iterations together", size);
    let mut words = Vec::new();
    for (index, (name, cells)) in blocks.iter().enumerate() {
        let (left, top) = grid.corner(index);
        let x = Axis::new(if index < 2 { "" } else { "iterations of routing" }, 0.0, 3.0).no_grid();
        let x = x.ticks([1, 2, 3].map(|count| (f64::from(count) - 0.5, count.to_string())).to_vec());
        let y = Axis::new("", 0.0, 4.0).no_grid();
        let rows = LAMBDAS.iter().enumerate().map(|(row, (_, name))| (3.5 - row as f64, (*name).to_owned()));
        let y = y.ticks(if index % 2 == 0 { rows.collect() } else { Vec::new() });
        let mut panel = figure.panel((left, top), grid.panel, x, y);
        figure.note((left, top - 14.0), Ink::new(INK).plain().bold().size(13.5), name);
        if index % 2 == 0 {
            let ink = Ink::new(GREY).plain().size(13.0);
            figure.note((left - 124.0, top - 14.0), ink, "lambda");
        }
        for (row, cells) in cells.iter().enumerate() {
            for (column, errors) in cells.iter().enumerate() {
                let corner = (column as f64, 3.0 - row as f64);
                draw_cell(&mut panel, corner, errors);
                if let Some(average) = (!errors.is_empty()).then(|| mean(errors.iter().copied())) {
                    let lambda = LAMBDAS[row].1;
                    let iterations = column + 1;
                    words.push((average, format!("{name}, lambda {lambda}, iterations {iterations}")));
                }
            }
        }
        figure.add(panel);
    }
    words.sort_by(|a, b| a.0.total_cmp(&b.0));
    let near_chance = words.iter().filter(|word| word.0 > 0.5).count();
    let [best, worst] = [&words[0], &words[words.len() - 1]];
    figure
        .alt(format!(
            "Four blocks of cells coloured by their error, {} cells with runs: {near_chance} misclassify more than half. Lowest: \
             {} of {}. Highest: {} of {}.",
            words.len(),
            percent(best.0),
            best.1,
            percent(worst.0),
            worst.1
        ))
        .finish()
}

/// Draws a cell of the [`grid`]: the mean of these errors and their range.
fn draw_cell(panel: &mut Chart, (left, bottom): (f64, f64), errors: &[f64]) {
    let at = |x: f64, y: f64| (left + x, bottom + y);
    let short = |error: f64| number(100.0 * error, usize::from(error < 0.0995));
    if errors.is_empty() {
        return panel.block(at(0.02, 0.03), at(0.98, 0.97), PALE);
    }
    let average = mean(errors.iter().copied());
    let shade = ((average / 0.02).ln() / (0.9f64 / 0.02).ln()).clamp(0.0, 1.0);
    let shade = 0.1 + 0.9 * shade;
    panel.block(at(0.02, 0.03), at(0.98, 0.97), heat(shade));
    let ink = Ink::on_heat(shade);
    let (low, high) = extent(errors.iter().copied());
    let up = if errors.len() > 1 { 0.63 } else { 0.5 };
    let words = format!("{} %", short(average));
    panel.text(at(0.5, up), (0.0, 0.0), Side::Middle, ink.bold().size(13.5), words);
    if errors.len() > 1 {
        let words = format!("{} to {}", short(low), short(high));
        panel.text(at(0.5, 0.27), (0.0, 0.0), Side::Middle, ink.size(11.0), words);
    }
}

/// The position of an error on an [`error_axis`] with this range; 0, which has no logarithm, is at the lower end.
fn on_error_axis(error: f64, (low, high): (f64, f64)) -> f64 {
    error.max(1e-300).log10().clamp(low, high)
}

/// A logarithmic axis for error rates with ticks in percent, and its range in base-10 logarithms. It runs from a round
/// value below the smallest error above 0 to a round value above the largest error.
fn error_axis(errors: impl Iterator<Item = f64>, title: &str) -> (Axis, (f64, f64)) {
    let (least, greatest) = extent(errors.filter(|&error| error > 0.0).map(|error| error.max(1e-6)));
    let (least, greatest) = if least <= greatest { (least, greatest) } else { (0.01, 0.01) };
    // 1e-7, 2e-7, 5e-7, …, 1: about equally spaced on a logarithmic scale
    let rounds: Vec<f64> =
        (0..22).map(|step| [1.0, 2.0, 5.0][step % 3] * 10f64.powi(step as i32 / 3 - 7)).collect();
    let below = rounds.iter().rposition(|&round| round < least * 0.97).unwrap_or(0);
    let above = rounds.iter().position(|&round| round > greatest * 1.03).unwrap_or(rounds.len() - 1);
    let tick = |&round: &f64| (round.log10(), format!("{} %", trimmed(100.0 * round, 5)));
    let range = (rounds[below].log10(), rounds[above].log10());
    (Axis::new(title, range.0, range.1).ticks(rounds[below..=above].iter().map(tick).collect()), range)
}

/// Formats a share in percent: two decimals below ten, otherwise one.
fn percent(share: f64) -> String {
    let value = 100.0 * share;
    format!("{} %", number(value, if value < 9.995 { 2 } else { 1 }))
}

/// A layer's name, and the activation of each of its capsules.
pub type LayerActivations<'a> = (&'a str, &'a [f32]);

/// Draws histograms of the activations in networks' layers: one row of panels per network, one panel per layer, with twenty
/// bins on [0, 1]. Above each panel is the share of saturated capsules: below 0.01 or above 0.99.
///
/// Each network has a name and, for each layer, a name and the capsules' activations. All networks have the same number of
/// layers.
///
/// # Errors
///
/// Returns an error if there are no networks or more than four, no layers or more than five, if the networks differ in
/// their number of layers, or if a layer has no activations or one outside [0, 1].
pub fn activation_histograms(networks: &[(&str, &[LayerActivations])]) -> Result<Figure> {
    const BINS: usize = 20;
    checks::not_empty("networks", networks)?;
    checks::at_most("the number of networks", networks.len(), 4, "at most 4")?;
    let columns = networks[0].1.len();
    for (_, layers) in networks {
        checks::not_empty("layers", layers)?;
        checks::length("a row of layers", columns, layers.len())?;
    }
    checks::at_most("the number of layers", columns, 5, "at most 5")?;
    let wide = 700.0 / columns as f64;
    let grid = Grid { columns, panel: (wide - 14.0, 104.0), gap: (18.0, 68.0), origin: (30.0, 62.0) };
    let size = (760.0, 62.0 + 172.0 * networks.len() as f64);
    let title = "Activations of the layers' capsules";
    let mut figure = Chart::canvas("activation-histograms", title, size);
    let mut words = Vec::new();
    let layers = networks
        .iter()
        .enumerate()
        .flat_map(|(row, network)| network.1.iter().map(move |layer| (row, layer)));
    for (index, (row, (layer, activations))) in layers.enumerate() {
        checks::not_empty("activations of a layer", activations)?;
        checks::shares("an activation", activations.iter().map(|&a| f64::from(a)))?;
        let mut counts = [0.0; BINS];
        activations.iter().for_each(|a| counts[((a * BINS as f32) as usize).min(BINS - 1)] += 1.0);
        let saturated = activations.iter().filter(|a| !(0.01..=0.99).contains(*a)).count();
        let saturated = number(100.0 * saturated as f64 / activations.len() as f64, 1);
        let ticks = [(0.0, "0"), (0.5, "0.5"), (1.0, "1")].map(|(at, text)| (at, text.to_owned()));
        let x = Axis::new(if row + 1 == networks.len() { "activation" } else { "" }, 0.0, 1.0);
        let y = Axis::new("", 0.0, 1.08 * extent(counts).1).ticks(Vec::new());
        let (left, top) = grid.corner(index);
        let mut panel = figure.panel((left, top), grid.panel, x.no_grid().ticks(ticks.to_vec()), y);
        for (bin, &count) in counts.iter().enumerate().filter(|bin| *bin.1 > 0.0) {
            let at = |bin: usize| bin as f64 / BINS as f64;
            panel.block((at(bin) + 0.003, 0.0), (at(bin + 1) - 0.003, count), component(row));
        }
        let ink = Ink::new(INK).plain().size(12.0);
        figure.note((left, top - 11.0), ink, format!("{layer}: {saturated} % saturated"));
        if index % columns == 0 {
            let ink = Ink::new(component(row)).plain().bold().size(14.0);
            figure.note((left, top - 34.0), ink, networks[row].0);
        }
        words.push(format!("{}, {layer}: {saturated} % saturated", networks[row].0));
        figure.add(panel);
    }
    figure.alt(format!("A histogram for each layer, a row for each network. {}.", words.join("; "))).finish()
}

/// Draws the confusion matrix: how often images of each class (row) are classified as each class (column). Mistakes are
/// coloured by their number; correct predictions are not coloured. The error of each class stands beside its row.
///
/// # Errors
///
/// Returns an error if there are no images or more than 16 classes, or if the parts of the evaluation do not match.
pub fn confusion(evaluation: &Evaluation) -> Result<Figure> {
    let classes = evaluation.classes;
    checks::at_most("the number of classes", classes, 16, "at most 16 in this figure")?;
    check_evaluation(evaluation)?;
    checks::not_empty("images", &evaluation.labels)?;
    let counts = evaluation.confusion();
    let places = (0..classes).flat_map(|row| (0..classes).map(move |column| (row, column)));
    let mut mistakes: Vec<(usize, usize)> =
        places.clone().filter(|&(row, column)| row != column && counts[row][column] > 0).collect();
    mistakes.sort_by_key(|&(row, column)| std::cmp::Reverse(counts[row][column]));
    let most = mistakes.first().map_or(1, |&(row, column)| counts[row][column]);
    let words: Vec<String> = mistakes
        .iter()
        .take(5)
        .map(|&(row, column)| format!(", {} times {row} is classified as {column}", counts[row][column]))
        .collect();
    let (errors, images) = (evaluation.errors(), evaluation.labels.len());
    let alt = format!(
        "A table of {classes} true classes by {classes} predicted classes, mistakes coloured by their number: {errors} of \
         {images} images are misclassified{}.",
        words.concat()
    );
    let (side, n) = ((44.0 * classes as f64).min(620.0), classes as f64);
    let names = (0..classes).map(|class| (class as f64 + 0.5, class.to_string()));
    let x = Axis::new("predicted class", 0.0, n).no_grid().ticks(names.clone().collect());
    let y = Axis::new("true class", 0.0, n).no_grid();
    let y = y.ticks(names.map(|(place, name)| (n - place, name)).collect());
    let size = ((side + 276.0) as u32, (side + 120.0) as u32);
    let mut chart = Chart::new("confusion", "Confusion matrix", size, x, y).margins(66, 210, 46, 74).alt(alt);
    for (row, column) in places {
        let (left, bottom, count) = (column as f64, n - row as f64 - 1.0, counts[row][column]);
        // the faintest colour means no mistake, so even one is visible
        let shade = if count == 0 { 0.0 } else { 0.12 + 0.88 * count as f64 / most as f64 };
        let (tint, ink) = match shade {
            _ if row == column => (PALE, Ink::new(INK).plain().size(12.5)),
            _ => (heat(shade), Ink::on_heat(shade).bold()),
        };
        chart.block((left, bottom), (left + 1.0, bottom + 1.0), tint);
        if count > 0 {
            let middle = (left + 0.5, bottom + 0.5);
            chart.text(middle, (0.0, 0.0), Side::Middle, ink, count.to_string());
        }
    }
    for line in (0..=classes).map(|line| line as f64) {
        chart.line_anywhere([(line, 0.0), (line, n)], Pen::new(CARD, 1.5));
        chart.line_anywhere([(0.0, line), (n, line)], Pen::new(CARD, 1.5));
    }
    let ink = Ink::new(INK).plain();
    chart.text((n, n), (16.0, -16.0), Side::Right, Ink::new(GREY).plain().size(12.5), "error of the class");
    for (class, row) in counts.iter().enumerate() {
        let all: usize = row.iter().sum();
        let wrong = all - row[class];
        let text = match all {
            0 => "no images".to_owned(),
            _ => format!("{} %  ({wrong} of {all})", number(100.0 * wrong as f64 / all as f64, 2)),
        };
        chart.text((n, n - class as f64 - 0.5), (16.0, 0.0), Side::Right, ink.size(12.5), text);
    }
    let text =
        format!("{errors} of {images} misclassified: {} %", number(100.0 * evaluation.error_rate(), 2));
    chart.text((0.0, n), (0.0, -28.0), Side::Right, ink.bold().size(14.0), text);
    chart.finish()
}

/// Draws the worst mistakes of an evaluation, at most `most` and at most 40: each image with its index, and its true and
/// predicted class with their activations.
///
/// # Errors
///
/// Returns an error if `most` is 0, if the number of images differs from the evaluation's or they have no pixels, or if the
/// parts of the evaluation do not match.
pub fn mistakes(evaluation: &Evaluation, images: &Images, most: usize) -> Result<Figure> {
    const SIDE: f64 = 84.0;
    if most == 0 {
        return Err(Error::Empty { what: "images to show" });
    }
    check_evaluation(evaluation)?;
    checks::length("the images", evaluation.labels.len(), images.len())?;
    checks::images(images)?;
    let all = evaluation.mistakes();
    let shown = &all[..all.len().min(most).min(40)];
    let columns = shown.len().clamp(1, 8);
    let grid = Grid { columns, panel: (SIDE, SIDE), gap: (20.0, 60.0), origin: (20.0, 56.0) };
    let rows = shown.len().div_ceil(columns) as f64;
    let size = ((20.0 + columns as f64 * 104.0).max(440.0), 56.0 + rows * (SIDE + 60.0));
    let heading = match (shown.len(), all.len(), images.len()) {
        (_, 0, count) => format!("none of {count} images is misclassified"),
        (few, many, count) if few == many => {
            format!("all {many} mistakes among {count} images, the worst first")
        }
        (few, many, count) => format!("the worst {few} of {many} mistakes among {count} images"),
    };
    let mut chart = Chart::canvas("mistakes", "The network's worst mistakes", size);
    let (ink, grey) = (Ink::new(INK).plain().bold(), Ink::new(GREY).plain());
    chart.note((20.0, 20.0), ink.size(14.0), &heading);
    let mut words = String::new();
    for (place, &image) in shown.iter().enumerate() {
        let (left, top) = grid.corner(place);
        chart.picture((left, top), SIDE, images.width, &grey_levels(images.image(image)));
        let (label, found) = (evaluation.labels[image], evaluation.predictions[image]);
        let activation = |class: usize| evaluation.activations[image * evaluation.classes + class];
        let numbers = format!("{:.2} and {:.2}", activation(label), activation(found));
        chart.note((left, top - 8.0), grey.size(11.0), format!("image {image}"));
        chart.note((left, top + SIDE + 14.0), ink.size(12.0), format!("{label} → {found}"));
        chart.note((left, top + SIDE + 29.0), grey.size(11.5), numbers);
        words +=
            &format!("{} image {image}, a {label} classified as {found}", if place > 0 { ";" } else { ":" });
    }
    chart.alt(format!("Pictures of digits in rows, {heading}{words}.")).finish()
}

/// Checks that an evaluation's parts have matching lengths, valid classes and finite activations.
fn check_evaluation(evaluation: &Evaluation) -> Result<()> {
    let Evaluation { activations, predictions, labels, classes } = evaluation;
    checks::length("the predictions", labels.len(), predictions.len())?;
    checks::length("the activations", labels.len().saturating_mul(*classes), activations.len())?;
    for numbers in [labels, predictions] {
        Error::check_labels("image", numbers, *classes, "classes")?;
    }
    match activations.iter().position(|activation| !activation.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::EntryOutOfRange {
            name: "the activations",
            place: vec![at / classes, at % classes],
            expected: "finite",
            value: f64::from(activations[at]),
        }),
    }
}
