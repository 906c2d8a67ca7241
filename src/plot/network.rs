//! What the network makes of images: which classes it confuses, the digits that it gets wrong, and how one digit is routed.

use super::Figure;
use super::animate::shown_iterations;
use super::chart::{Axis, CARD, Chart, GREY, INK, Ink, Pen, Side, number};
use super::image::{heat, heat_map};
use super::routing_plane::check_routing;
use crate::capsnet::Evaluation;
use crate::data::idx::Images;
use crate::error::{Error, Result};
use crate::routing::CapsuleLayerRun;

/// The most mistakes that are shown.
const MOST_IMAGES: usize = 40;

/// The most classes that these figures have room for.
const MOST_CLASSES: usize = 16;

/// How often images of each class (row) are taken for each class (column). Mistakes are coloured by their number, what is right is
/// not; beside each row stands the error of its class.
///
/// # Errors
///
/// Returns an error if there are no images or more than 16 classes, and for an evaluation whose parts do not fit together.
pub fn confusion(evaluation: &Evaluation) -> Result<Figure> {
    let classes = evaluation.classes;
    few_classes(classes)?;
    check(evaluation)?;
    if evaluation.labels.is_empty() {
        return Err(Error::Empty { what: "images" });
    }
    let counts = evaluation.confusion();
    let mistakes = |&(row, column): &(usize, usize)| row != column && counts[row][column] > 0;
    let places = || (0..classes).flat_map(|row| (0..classes).map(move |column| (row, column)));
    let most = places().filter(mistakes).map(|(row, column)| counts[row][column]).max().unwrap_or(1);

    let side = (44.0 * classes as f64).min(620.0);
    let size = ((78.0 + side + 190.0) as u32, (58.0 + side + 62.0) as u32);
    let n = classes as f64;
    let middles = |turned: bool| {
        let place = move |class: usize| if turned { n - class as f64 - 0.5 } else { class as f64 + 0.5 };
        (0..classes).map(|class| (place(class), class.to_string())).collect()
    };
    let x = Axis::new("class that is found", 0.0, n).no_grid().ticks(middles(false));
    let y = Axis::new("true class", 0.0, n).no_grid().ticks(middles(true));
    let (errors, images) = (evaluation.errors(), evaluation.labels.len());
    let mut worst: Vec<(usize, usize)> = places().filter(mistakes).collect();
    worst.sort_by_key(|&(row, column)| std::cmp::Reverse(counts[row][column]));
    let words = worst
        .iter()
        .take(5)
        .map(|&(row, column)| format!("{} times {row} is taken for {column}", counts[row][column]));
    let words: Vec<String> =
        std::iter::once(format!("{errors} of {images} images are mistaken")).chain(words).collect();
    let alt = format!("Confusion of {classes} classes: {}.", words.join(", "));
    let mut chart = Chart::new("confusion", size, x, y).panel((66.0, 46.0), (side, side)).alt(alt);
    for (row, column) in places() {
        let (left, bottom) = (column as f64, n - row as f64 - 1.0);
        let count = counts[row][column];
        let right = row == column;
        // the lightest colour is for none; one mistake already shows
        let shade = if count == 0 { 0.0 } else { 0.12 + 0.88 * count as f64 / most as f64 };
        let fill = if right { [236, 233, 222] } else { heat(shade) };
        chart.block((left, bottom), (left + 1.0, bottom + 1.0), fill);
        if count > 0 {
            let colour = if !right && shade > 0.6 { CARD } else { INK };
            let ink = Ink { colour, ..Ink::new(colour).plain() };
            let ink = if right { ink.size(12.5) } else { ink.bold() };
            chart.text((left + 0.5, bottom + 0.5), (0.0, 0.0), Side::Middle, ink, count.to_string());
        }
    }
    for line in 0..=classes {
        let at = line as f64;
        chart.line_anywhere([(at, 0.0), (at, n)], Pen::new(CARD, 1.5));
        chart.line_anywhere([(0.0, at), (n, at)], Pen::new(CARD, 1.5));
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
    let title =
        format!("{errors} of {images} are mistaken: {} %", number(100.0 * evaluation.error_rate(), 2));
    chart.text((0.0, n), (0.0, -28.0), Side::Right, ink.bold().size(14.0), title);
    chart.finish()
}

/// The worst mistakes of an evaluation of these images, at most `most` and at most 40: each image, its true class and the class it is taken for,
/// with their activations, and the number of the image.
///
/// # Errors
///
/// Returns an error if no images are to be shown (`most` is 0), if there are not as many as were evaluated or they have no
/// pixels, and for an evaluation whose parts do not fit together.
pub fn mistakes(evaluation: &Evaluation, images: &Images, most: usize) -> Result<Figure> {
    if most == 0 {
        return Err(Error::Empty { what: "images to show" });
    }
    check(evaluation)?;
    if images.len() != evaluation.labels.len() {
        let (expected, found) = (evaluation.labels.len(), images.len());
        return Err(Error::Length { name: "the images", expected, found });
    }
    let size = images.height.saturating_mul(images.width);
    let expected = images.len().saturating_mul(size);
    if images.pixels.len() != expected {
        return Err(Error::Length { name: "the pixels", expected, found: images.pixels.len() });
    }
    if size == 0 && !images.is_empty() {
        return Err(Error::Empty { what: "pixels of an image" });
    }
    let all = evaluation.mistakes();
    let shown = &all[..all.len().min(most).min(MOST_IMAGES)];
    const SIDE: f64 = 84.0;
    const GAP: f64 = 20.0;
    const UNDER: f64 = 60.0;
    const TOP: f64 = 56.0;
    let columns = shown.len().clamp(1, 8);
    let rows = shown.len().div_ceil(columns) as f64;
    let size = ((GAP + columns as f64 * (SIDE + GAP)).max(440.0), TOP + rows * (SIDE + UNDER));
    let mut chart = Chart::canvas("mistakes", size);
    let mut words = Vec::new();
    let (ink, grey) = (Ink::new(INK).plain(), Ink::new(GREY).plain());
    for (place, &image) in shown.iter().enumerate() {
        let left = GAP + (place % columns) as f64 * (SIDE + GAP);
        let top = TOP + (place / columns) as f64 * (SIDE + UNDER);
        picture(&mut chart, (left, top), (SIDE, 64), images.image(image), images.width);
        let (label, found) = (evaluation.labels[image], evaluation.predictions[image]);
        let activation = |class: usize| evaluation.activations[image * evaluation.classes + class];
        let under = |down: f64| (left, -(top + SIDE + down));
        let text = format!("{label} taken for {found}");
        chart.text(under(14.0), (0.0, 0.0), Side::Right, ink.bold().size(12.0), text);
        let text = format!("{:.2} and {:.2}", activation(label), activation(found));
        chart.text(under(29.0), (0.0, 0.0), Side::Right, grey.size(11.5), text);
        chart.text((left, -(top - 8.0)), (0.0, 0.0), Side::Right, grey.size(11.0), format!("image {image}"));
        words.push(format!("image {image} is a {label} taken for a {found}"));
    }
    let title = match (shown.len(), all.len()) {
        (_, 0) => format!("none of {} images is mistaken", images.len()),
        (few, many) if few == many => {
            format!("all {many} mistakes among {} images, the worst first", images.len())
        }
        (few, many) => format!("the worst {few} of {many} mistakes among {} images", images.len()),
    };
    chart.text((GAP, -20.0), (0.0, 0.0), Side::Right, ink.bold().size(14.0), title.as_str());
    let alt = if words.is_empty() { format!("{title}.") } else { format!("{title}. {}.", words.join(", ")) };
    chart.alt(alt).finish()
}

/// How a digit comes to its class: the image, the activations of the classes, and what the class layer's routing gives to each
/// class - from each place, iteration by iteration, and from each kind of capsule.
///
/// `pixels` are the grey levels of the image, `width` to a row; `label` is its true class, where it is known. `run` is what the
/// class layer made of it ([`crate::capsnet::CapsNet::layer_routing`]). What a class j receives from child i is its mass a_i R_ij.
///
/// # Errors
///
/// Returns an error for a layer with more positions of parents than one or whose parents do not see all places below, without
/// iterations or children or with more of them than a figure holds, for more than 16 classes, parts that do not fit together,
/// numbers that are not finite, and pixels that are not whole rows.
pub fn digit_routing(
    pixels: &[u8],
    width: usize,
    label: Option<usize>,
    run: &CapsuleLayerRun,
) -> Result<Figure> {
    check_routing(&run.routing, 0)?;
    let last = run.routing.last();
    let (positions, children, classes) = last.responsibilities.dim();
    if positions != 1 {
        return Err(Error::Length { name: "the positions of the classes", expected: 1, found: positions });
    }
    few_classes(classes)?;
    if width == 0 || pixels.is_empty() || !pixels.len().is_multiple_of(width) {
        let expected = pixels.len().div_ceil(width.max(1)).max(1).saturating_mul(width.max(1));
        return Err(Error::Length { name: "the pixels", expected, found: pixels.len() });
    }
    let [_, rows, columns, kinds] = run.patches.below;
    let expected = rows.saturating_mul(columns).saturating_mul(kinds);
    if children != expected {
        return Err(Error::Length { name: "the children of the classes", expected, found: children });
    }
    let found = run.input.activations.shape();
    if found != [1, children] {
        let (expected, found) = (vec![1, children], found.to_vec());
        return Err(Error::Shape { name: "the activations below", expected, found });
    }
    check_finite(
        "the activations below",
        run.input.activations.indexed_iter().map(|((_, i), &a)| (vec![i], a)),
    )?;
    for step in &run.routing.trace {
        check_finite("the activations", step.activations.indexed_iter().map(|((_, j), &a)| (vec![j], a)))?;
        let shares = step.responsibilities.indexed_iter().map(|((_, i, j), &share)| (vec![i, j], share));
        check_finite("the responsibilities", shares)?;
    }
    let activations: Vec<f64> = last.activations.row(0).to_vec();
    let found = (1..classes).fold(0, |best, j| if activations[j] > activations[best] { j } else { best });
    // sums of a_i R_ij over the children of each place or kind: children are ordered by row, column, kind
    let masses = |iteration: usize, class: usize, group: &dyn Fn(usize) -> usize, groups: usize| {
        let shares = &run.routing.trace[iteration].responsibilities;
        let mut sums = vec![0.0; groups];
        for i in 0..children {
            sums[group(i)] += run.input.activations[(0, i)] * shares[(0, i, class)];
        }
        sums
    };
    let iterations = run.routing.trace.len();
    let by_place: Vec<Vec<Vec<f64>>> = shown_iterations(iterations - 1, 5)
        .into_iter()
        .map(|t| (0..classes).map(|j| masses(t, j, &|i| i / kinds, rows * columns)).collect())
        .collect();
    let by_kind: Vec<Vec<f64>> =
        (0..classes).map(|j| masses(iterations - 1, j, &|i| i % kinds, kinds)).collect();

    const LEFT: f64 = 96.0;
    const TOP: f64 = 56.0;
    const DIGIT: f64 = 150.0;
    let pitch = (752.0 / classes as f64).min(72.0);
    let side = pitch - 16.0;
    let bars_height = DIGIT.max(15.0 * classes as f64);
    let maps_top = TOP + bars_height + 68.0;
    let row_height = side + 30.0;
    let kinds_top = maps_top + by_place.len() as f64 * row_height + 48.0;
    let size = ((LEFT + pitch * classes as f64 + 16.0).max(620.0), kinds_top + KIND * classes as f64 + 46.0);
    const KIND: f64 = 15.0;
    let mut chart = Chart::canvas("digit-routing", size);
    let (ink, grey) = (Ink::new(INK).plain(), Ink::new(GREY).plain().size(12.0));
    let title = match label {
        Some(label) if label == found => format!("a {label}, and found to be one"),
        Some(label) => format!("a {label}, taken for a {found}"),
        None => format!("found to be a {found}"),
    };
    chart.text((24.0, -24.0), (0.0, 0.0), Side::Right, ink.bold().size(14.0), title.as_str());
    picture(&mut chart, (24.0, TOP), (DIGIT, 128), pixels, width);

    let bars = (230.0, size.0 - 110.0);
    chart.text((bars.0, -(TOP - 14.0)), (0.0, 0.0), Side::Right, grey, "activation of each class");
    let bar = bars_height / classes as f64;
    for (class, &activation) in activations.iter().enumerate() {
        let middle = TOP + (class as f64 + 0.5) * bar;
        let colour = if class == found { super::colour(0) } else { [176, 182, 178] };
        let right = bars.0 + activation.clamp(0.0, 1.0) * (bars.1 - bars.0);
        let half = 0.36 * bar;
        chart.block((bars.0, -(middle - half)), (right.max(bars.0 + 1.0), -(middle + half)), colour);
        let ink = if Some(class) == label { ink.bold() } else { ink };
        chart.text((bars.0 - 12.0, -middle), (0.0, 0.0), Side::Left, ink.size(12.5), class.to_string());
        let text = number(activation, 3);
        chart.text((right + 8.0, -middle), (0.0, 0.0), Side::Right, grey, text);
    }

    let most = by_place.iter().flatten().flatten().fold(0.0, |most: f64, &mass| mass.max(most));
    let text = format!(
        "what each class receives from each place: a_i R_{{ij}}, over its capsules (darkest: {})",
        number(most, 2)
    );
    chart.text((24.0, -(maps_top - 36.0)), (0.0, 0.0), Side::Right, ink.bold(), text);
    for (row, (t, maps)) in shown_iterations(iterations - 1, 5).into_iter().zip(&by_place).enumerate() {
        let top = maps_top + row as f64 * row_height;
        chart.text(
            (24.0, -(top + side / 2.0)),
            (0.0, 0.0),
            Side::Right,
            grey,
            format!("iteration {}", t + 1),
        );
        for (class, map) in maps.iter().enumerate() {
            let left = LEFT + class as f64 * pitch;
            grid(&mut chart, (left, top), (side, side), (rows, columns), |place| {
                map[place] / most.max(1e-300)
            });
            if row == 0 {
                let ink = if class == found { ink.bold() } else { ink };
                chart.text(
                    (left + side / 2.0, -(top - 12.0)),
                    (0.0, 0.0),
                    Side::Middle,
                    ink,
                    class.to_string(),
                );
            }
            let text = number(run.routing.trace[t].activations[(0, class)], 3);
            chart.text(
                (left + side / 2.0, -(top + side + 12.0)),
                (0.0, 0.0),
                Side::Middle,
                grey.size(11.5),
                text,
            );
        }
    }

    let most = by_kind.iter().flatten().fold(0.0, |most: f64, &mass| mass.max(most));
    let text = format!(
        "and from each of the {kinds} kinds of capsule, in the last iteration (darkest: {})",
        number(most, 2)
    );
    chart.text((24.0, -(kinds_top - 20.0)), (0.0, 0.0), Side::Right, ink.bold(), text);
    let wide = (size.0 - LEFT - 32.0).min(40.0 * kinds as f64);
    grid(&mut chart, (LEFT, kinds_top), (wide, KIND * classes as f64), (classes, kinds), |cell| {
        by_kind[cell / kinds][cell % kinds] / most.max(1e-300)
    });
    for class in 0..classes {
        let ink = if class == found { ink.bold() } else { ink };
        let at = (LEFT - 10.0, -(kinds_top + (class as f64 + 0.5) * KIND));
        chart.text(at, (0.0, 0.0), Side::Left, ink.size(12.0), class.to_string());
    }
    let under = -(kinds_top + KIND * classes as f64 + 14.0);
    for kind in (0..kinds).step_by(kinds.div_ceil(16)) {
        let x = LEFT + (kind as f64 + 0.5) * wide / kinds as f64;
        chart.text((x, under), (0.0, 0.0), Side::Middle, grey.size(11.0), (kind + 1).to_string());
    }
    chart.text((24.0, -(kinds_top + 0.5 * KIND)), (0.0, 0.0), Side::Right, grey, "class");
    let alt = format!(
        "How a digit is routed: {title}; its class {found} has activation {:.3} after {iterations} iterations.",
        activations[found]
    );
    chart.alt(alt).finish()
}

fn few_classes(classes: usize) -> Result<()> {
    if (1..=MOST_CLASSES).contains(&classes) {
        return Ok(());
    }
    let (name, expected) = ("the number of classes", "from 1 to 16 in this figure");
    Err(Error::Setting { name, expected, value: classes as f64 })
}

/// Whether an evaluation's parts have one length, its classes are known ones and its activations are finite.
fn check(evaluation: &Evaluation) -> Result<()> {
    let Evaluation { activations, predictions, labels, classes } = evaluation;
    for (name, expected, found) in [
        ("the predictions", labels.len(), predictions.len()),
        ("the activations", labels.len().saturating_mul(*classes), activations.len()),
    ] {
        if expected != found {
            return Err(Error::Length { name, expected, found });
        }
    }
    for numbers in [labels, predictions] {
        Error::check_labels("image", numbers, *classes, "classes")?;
    }
    let places = activations.iter().enumerate();
    check_finite("the activations", places.map(|(at, &a)| (vec![at / classes, at % classes], f64::from(a))))
}

/// Whether all numbers are finite, each with its place.
fn check_finite(name: &'static str, mut numbers: impl Iterator<Item = (Vec<usize>, f64)>) -> Result<()> {
    match numbers.find(|(_, value)| !value.is_finite()) {
        Some((place, value)) => Err(Error::EntryOutOfRange { name, place, expected: "finite", value }),
        None => Ok(()),
    }
}

/// A grey image, dark on light, its left upper corner at so many pixels, in a square of `side`; of a large image `most` x
/// `most` pixels are kept.
fn picture(
    chart: &mut Chart,
    (left, top): (f64, f64),
    (side, most): (f64, usize),
    pixels: &[u8],
    width: usize,
) {
    let values: Vec<f64> = pixels.iter().map(|&level| f64::from(level) / 255.0).collect();
    let rows = pixels.len() / width;
    let unit = side / width.max(rows) as f64;
    let (right, bottom) = (left + unit * width as f64, top + unit * rows as f64);
    chart.image((left, -top), (right, -bottom), heat_map(width, &values, most));
}

/// Cells with a share of the darkest colour each, row by row from the left upper corner.
fn grid(
    chart: &mut Chart,
    (left, top): (f64, f64),
    (width, height): (f64, f64),
    (rows, columns): (usize, usize),
    share: impl Fn(usize) -> f64,
) {
    let (step, down) = (width / columns as f64, height / rows as f64);
    let gap = (0.2 * step.min(down)).min(1.0); // of many cells something is left to see
    for cell in 0..rows * columns {
        let (x, y) = (left + (cell % columns) as f64 * step, top + (cell / columns) as f64 * down);
        chart.block((x, -y), (x + step - gap, -(y + down - gap)), heat(share(cell)));
    }
}
