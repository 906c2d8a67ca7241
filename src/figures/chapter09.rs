//! Figures of chapter 9: error curves, the effect of each setting, and the mistakes of a trained network.

use super::chapter08::grey_levels;
use super::records::{EpochRecord, Trial, read_epochs, read_trials};
use super::trials::{ERROR, error_axis, mean, on_error_axis, percent};
pub use super::trials::{ablation, grid, grid_errors};
use super::{Entry, checks};
use crate::capsnet::Evaluation;
use crate::data::idx::Images;
use crate::draw::{
    Axis, CARD, Chart, Figure, GREY, Grid, INK, Ink, Label, PALE, Pen, Point, Side, component, extent, heat,
    number,
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
pub(super) fn grouped<K: PartialEq, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Vec<(K, Vec<V>)> {
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

/// A name, and the curves of this name.
pub(super) type Named<'a> = (&'a str, Vec<&'a [Point]>);

/// Checks all curves and groups them by name.
pub(super) fn by_name<N: AsRef<str>, P: AsRef<[Point]>>(curves: &[(N, P)]) -> Result<Vec<Named<'_>>> {
    checks::not_empty("curves", curves)?;
    curves.iter().try_for_each(|(_, points)| check_curve(points.as_ref()))?;
    Ok(grouped(curves.iter().map(|(name, points)| (name.as_ref(), points.as_ref()))))
}

/// Checks that a curve has points, increasing x, and errors from 0 to 1.
fn check_curve(points: &[Point]) -> Result<()> {
    checks::not_empty("points of a curve", points)?;
    checks::finite("x of a point", points.iter().map(|point| point.0))?;
    if let Some(pair) = points.windows(2).find(|pair| pair[1].0 <= pair[0].0) {
        let (name, expected) = ("x of a point", "greater than the x before it");
        return Err(Error::Setting { name, expected, value: pair[1].0 });
    }
    checks::shares(ERROR, points.iter().map(|point| point.1))
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
