//! Figures of chapter 8: the capsule network layer by layer, and a digit on its way through it.

use std::ops::Range;
use std::sync::OnceLock;

use ndarray::{Array2, Axis as Along, array};

use super::{Entry, checks};
use crate::capsnet::{Architecture, CapsNet, Pass, loss};
use crate::data::idx::{ImageSet, Images};
use crate::draw::{
    Axis, CARD, Chart, FRAME, Figure, GREY, INK, Image, Ink, PALE, Pen, Side, VERMILION, component, extent,
    heat, number, padded, trimmed,
};
use crate::error::{Error, Result};
use crate::routing::{CapsuleLayerRun, Routing, RoutingInput};
use crate::shipped::{mnist_folder, mnist_weights};

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[
    ("architecture", || architecture(&CapsNet::zeros(Architecture::default())?)),
    ("digit-features", || {
        let title = "Features of a digit after the first convolution";
        Ok(shipped()?.maps("features", 1, title)?.named("digit-features"))
    }),
    ("deep-features", || {
        let title = "Features of a digit after the second convolution";
        Ok(shipped()?.maps("deep", 1, title)?.named("deep-features"))
    }),
    ("primary-activations", || {
        let title = "Activations of the primary capsules for a digit";
        Ok(shipped()?.maps("primary", 1, title)?.named("primary-activations"))
    }),
    ("position-assignments", || {
        let routing = &shipped()?.first.routing;
        Ok(super::chapter06::assignments(routing, surest(routing).0)?.named("position-assignments"))
    }),
    ("vote-agreement", || {
        let CapsuleLayerRun { input, routing, .. } = &shipped()?.first;
        let (position, most, least) = surest(routing);
        let parents = [("the most active parent", most), ("the least active", least)];
        vote_agreement(input, routing, position, &parents)
    }),
    ("second-activations", || {
        let title = "Activations of the second layer for two digits of one class and one of another";
        Ok(shipped()?.maps("second", 3, title)?.named("second-activations"))
    }),
    ("digit-routing", || {
        let Shipped { images, class, .. } = shipped()?;
        let label = usize::from(images.labels[DIGITS[0]]);
        digit_routing(images.image(DIGITS[0]), images.width, Some(label), class)
    }),
    ("spread-loss", || spread_loss(&[0.2, 0.4, 0.9])),
];

/// The digits that the chapter follows, as indices of MNIST test images: a 4, another 4 and a 9.
pub const DIGITS: [usize; 3] = [4, 6, 7];

/// The vertical centre of all layers in [`architecture`], in pixels from the top.
const MIDDLE: f64 = 100.0;

/// The shipped network and its forward pass on [`DIGITS`].
struct Shipped {
    net: CapsNet,
    /// The first MNIST test images.
    images: Images,
    pass: Pass,
    /// The routing of the first digit in the first capsule layer and in the class layer.
    first: CapsuleLayerRun,
    class: CapsuleLayerRun,
}

/// Loads the shipped network and runs it, once for all figures.
fn shipped() -> Result<&'static Shipped> {
    static SHIPPED: OnceLock<Shipped> = OnceLock::new();
    if let Some(shipped) = SHIPPED.get() {
        return Ok(shipped);
    }
    let net = CapsNet::load(mnist_weights())?;
    let images = ImageSet::load_test(mnist_folder(), net.architecture().form())?.slice(0..DIGITS[2] + 1);
    let pass = net.forward(&net.pixels(&images, &DIGITS)?, 0)?;
    let (first, class) = (net.layer_routing(&pass, "first", 0)?, net.layer_routing(&pass, "class", 0)?);
    Ok(SHIPPED.get_or_init(|| Shipped { net, images, pass, first, class }))
}

impl Shipped {
    /// Draws the [`maps`] of a layer for the first `digits` images of [`DIGITS`].
    fn maps(&self, layer: &str, digits: usize, title: &str) -> Result<Figure> {
        let (numbers, shape) = (&self.pass.layer(layer)?.activations, self.net.layer(layer)?);
        let numbers = &numbers[..numbers.len() / DIGITS.len() * digits];
        maps(title, &self.images, &DIGITS[..digits], numbers, (shape.columns, shape.kinds))
    }
}

/// Returns the position of the most active parent, that parent, and the least active parent at this position.
pub fn surest(routing: &Routing) -> (usize, usize, usize) {
    let activations = routing.activations();
    let ((position, most), _) = activations
        .indexed_iter()
        .fold(((0, 0), f64::NEG_INFINITY), |best, (place, &a)| if a > best.1 { (place, a) } else { best });
    let row = activations.row(position);
    let least = (0..row.len()).fold(0, |least, parent| if row[parent] < row[least] { parent } else { least });
    (position, most, least)
}

/// Draws the layers of a network: positions as grids, the features or capsules at each position, and the number of
/// parameters. The receptive field of one capsule in the layer below the classes is coloured.
///
/// # Errors
///
/// Returns an error if drawing fails, which does not happen for a valid network.
pub fn architecture(net: &CapsNet) -> Result<Figure> {
    const LEFT: f64 = 66.0;
    const WIDTH: f64 = 896.0;
    let Architecture { channels, height, width, .. } = *net.architecture();
    let layers = net.architecture().layers()?;
    // the text below a layer, and the numbers of rows and columns of positions
    let levels = if channels == 1 { "1 grey level".into() } else { format!("{channels} channels") };
    let mut columns = vec![(["pixels".to_owned(), levels, "parameters:".to_owned()], (height, width))];
    columns.extend(layers.iter().zip(net.layers()).map(|(layer, summary)| {
        let caption = layer.caption();
        let kinds = format!("{} {}", summary.kinds, caption.kinds);
        let parameters = grouped(summary.parameters);
        ([caption.title.to_owned(), kinds, parameters], (summary.rows, summary.columns))
    }));
    let (total, mut words) = (grouped(net.parameters().len()), Vec::new());
    let (pitch, seen) = ((WIDTH - 2.0 * LEFT) / layers.len() as f64, seen(net)?);
    let mut chart = Chart::canvas("architecture", "The network, layer by layer", (WIDTH, 296.0));
    let (ink, small) = (Ink::new(INK).plain().size(12.5), |tint| Ink::new(tint).plain().size(11.5));
    for (index, ([title, kinds, parameters], size)) in columns.into_iter().enumerate() {
        let centre = LEFT + pitch * index as f64;
        draw_places(&mut chart, size, seen.get(index), centre, index > 0);
        let places =
            if size == (1, 1) { "1 position".into() } else { format!("{} × {} positions", size.0, size.1) };
        words.push(format!("{title} {places}, {kinds}"));
        let lines = [(title, ink.bold()), (places, ink), (kinds, ink), (parameters, small(GREY))];
        for (line, (text, ink)) in lines.into_iter().enumerate() {
            chart.write((centre, 224.0 + 17.0 * line as f64), Side::Middle, ink, text);
        }
        let Some(below) = index.checked_sub(1) else { continue };
        let middle = centre - 0.5 * pitch;
        for (line, text) in layers[below].caption().step.into_iter().enumerate() {
            chart.write((middle, 176.0 + 15.0 * line as f64), Side::Middle, small(VERMILION), text);
        }
        chart.arrow((middle - 4.0, -MIDDLE), 0.0, 16.0, Pen::new(VERMILION, 1.6));
    }
    let title =
        format!("{total} parameters; in colour, the receptive field of one capsule of the second layer");
    chart.note((24.0, 24.0), Ink::new(INK).plain().bold().size(14.0), title);
    chart
        .alt(format!(
            "Square grids in a row, joined by arrows, {total} parameters in all: {}.",
            words.join("; ")
        ))
        .finish()
}

/// Returns the receptive field of a capsule in the middle of the layer below the classes: rows and columns of pixels,
/// then of positions in each layer up to the capsule's own.
fn seen(net: &CapsNet) -> Result<Vec<[Range<usize>; 2]>> {
    let (layers, grids) = (net.architecture().layers()?, net.layers());
    let last = layers.len() - 2;
    let mut seen = vec![[grids[last].rows, grids[last].columns].map(|n| (n - 1) / 2..(n - 1) / 2 + 1)];
    for layer in layers[..=last].iter().rev() {
        let [rows, columns] = seen[seen.len() - 1].clone();
        seen.push(layer.receptive_field(rows, columns));
    }
    seen.reverse();
    Ok(seen)
}

/// Draws a layer's grid with its coloured positions. Sheets lie behind the grid if a position has several kinds of
/// feature or capsule.
fn draw_places(
    chart: &mut Chart,
    (rows, columns): (usize, usize),
    seen: Option<&[Range<usize>; 2]>,
    centre: f64,
    sheets: bool,
) {
    let longest = rows.max(columns) as f64;
    // the side grows with the logarithm of the number of positions: from a dot for one to 104 pixels for 28
    let side = 22.0 + 82.0 * longest.ln() / 28f64.ln();
    let unit = (side / longest).min(110.0 / longest);
    let (left, top) = (centre - 0.5 * unit * columns as f64, MIDDLE - 0.5 * unit * rows as f64);
    let at = |row: usize, column: usize| (left + unit * column as f64, -(top + unit * row as f64));
    let rim = Pen::new(FRAME, 1.0);
    for shift in if sheets { &[8.0, 4.0, 0.0][..] } else { &[0.0] } {
        let corners = [(0, 0), (0, columns), (rows, columns), (rows, 0), (0, 0)];
        let corners = corners.map(|(row, column)| (at(row, column).0 + shift, at(row, column).1 + shift));
        chart.area(corners, CARD, 1.0);
        chart.line_anywhere(corners, rim);
    }
    if let Some([rows, columns]) = seen {
        chart.block(at(rows.start, columns.start), at(rows.end, columns.end), heat(0.5));
    }
    if longest <= 32.0 {
        (1..rows).for_each(|row| chart.line_anywhere([at(row, 0), at(row, columns)], rim.faded(0.5)));
        (1..columns)
            .for_each(|column| chart.line_anywhere([at(0, column), at(rows, column)], rim.faded(0.5)));
    }
}

/// Formats a whole number with commas between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    groups.iter().map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

/// Draws what a layer computes for some images, one row per image: the image, and the nine kinds of feature or capsule with
/// the largest variance over all positions of these images.
///
/// `shown` are the images' indices, `numbers` is shown x rows x `columns` x `kinds`. All maps share one scale, from the
/// minimum to the maximum.
///
/// # Errors
///
/// Returns an error if there are no images or more than eight, if images do not exist or have no pixels, if `columns` or
/// `kinds` is 0, or if the count of numbers does not match the images or a number is not finite.
pub fn maps(
    title: &str,
    images: &Images,
    shown: &[usize],
    numbers: &[f32],
    (columns, kinds): (usize, usize),
) -> Result<Figure> {
    const PITCH: f64 = 86.0;
    const ROW: f64 = 132.0;
    checks::not_empty("images", shown)?;
    checks::at_most("the number of images", shown.len(), 8, "at most 8")?;
    checks::images(images)?;
    if let Some(&image) = shown.iter().find(|&&image| image >= images.len()) {
        let (name, expected) = ("the number of an image", "the index of an image, from 0");
        return Err(Error::Setting { name, expected, value: image as f64 });
    }
    let row = shown.len().saturating_mul(columns).saturating_mul(kinds);
    if numbers.is_empty() || row == 0 || !numbers.len().is_multiple_of(row) {
        return Err(Error::Length { name: "the numbers of a layer", expected: row, found: numbers.len() });
    }
    checks::finite("a number of a layer", numbers.iter().map(|&number| f64::from(number)))?;
    let number = |(place, kind): (usize, usize)| f64::from(numbers[place * kinds + kind]);
    let table = Array2::from_shape_fn((numbers.len() / kinds, kinds), number);
    let variances = table.var_axis(Along(0), 0.0);
    let mut liveliest: Vec<usize> = (0..kinds).collect();
    liveliest.sort_by(|&one, &other| variances[other].total_cmp(&variances[one]));
    let table = table.select(Along(1), &liveliest[..kinds.min(9)]);
    let (low, high) = extent(table.iter().copied());
    let range = if low < high { high - low } else { 1.0 };
    let width = (PITCH * (table.ncols() + 1) as f64 + 28.0).max(500.0);
    let mut chart = Chart::canvas("maps", title, (width, 8.0 + ROW * shown.len() as f64));
    let (ink, grey) = (Ink::new(INK).plain().bold(), Ink::new(GREY).plain().size(12.0));
    let mut words = Vec::new();
    for (row, (&image, places)) in
        shown.iter().zip(table.axis_chunks_iter(Along(0), table.nrows() / shown.len())).enumerate()
    {
        let top = 40.0 + ROW * row as f64;
        words.push(format!("a handwritten {}", images.labels[image]));
        let mut heading = format!("digit {}", images.labels[image]);
        if row == 0 {
            heading += &format!(
                " and {} of {kinds} maps: values from {low:.2} (weak) to {high:.2} (strong)",
                table.ncols()
            );
        }
        chart.note((20.0, top - 18.0), ink, heading);
        let digit = (format!("image no. {image}"), images.width, grey_levels(images.image(image)));
        let kind = |(column, &kind): (usize, &usize)| {
            let shares = places.column(column).mapv(|number| (number - low) / range).to_vec();
            (format!("map {}", kind + 1), columns, shares)
        };
        let maps = liveliest.iter().take(9).enumerate().map(kind);
        for (place, (name, columns, shares)) in std::iter::once(digit).chain(maps).enumerate() {
            let left = 20.0 + PITCH * place as f64;
            chart.picture((left, top), 74.0, columns, &shares);
            chart.write((left + 37.0, top + 87.0), Side::Middle, grey, name);
        }
    }
    let numbers: Vec<String> = liveliest.iter().take(9).map(|kind| (kind + 1).to_string()).collect();
    let alt = format!(
        "{}; beside each, heat maps with {columns} columns of cells, numbered {}",
        words.join(", "),
        numbers.join(", ")
    );
    chart.alt(format!("{alt}. Values run from {low:.2} to {high:.2}.")).finish()
}

/// Divides grey levels by 255, the maximum.
pub(super) fn grey_levels(pixels: &[u8]) -> Vec<f64> {
    pixels.iter().map(|&level| f64::from(level) / 255.0).collect()
}

/// Draws the votes for some parents of one position after the last iteration, one panel per parent. For each element of the
/// pose, the colour shows how much mass a_i R_ij votes for each value, and marks show the parent's mean and one standard
/// deviation on either side.
///
/// `input` is what was routed and `routing` its result; `parents` are indices from 0, each with a heading. Votes far from
/// all of these parents (beyond 2.8 standard deviations) fall outside the panels.
///
/// # Errors
///
/// Returns an error if there are no parents to show or more than four, if a parent or the position does not exist, if poses
/// have no elements or more than 64, if input and routing differ in shape, if a number is not finite or a mean beyond
/// 1e140, or if a parent has no mass.
pub fn vote_agreement(
    input: &RoutingInput,
    routing: &Routing,
    position: usize,
    parents: &[(&str, usize)],
) -> Result<Figure> {
    const TOP: f64 = 40.0;
    const TALL: f64 = 270.0;
    let (children, count) = checks::routing(routing, position)?;
    let last = routing.last();
    let (positions, _, elements) = last.means.dim();
    checks::not_empty("parents to show", parents)?;
    checks::at_most("the number of parents to show", parents.len(), 4, "at most 4")?;
    if elements == 0 {
        return Err(Error::Empty { what: "elements of a pose" });
    }
    checks::at_most("the number of elements", elements, 64, "at most 64 in this figure")?;
    checks::shape("the votes", &[positions, children, count, elements], input.votes.shape())?;
    checks::shape("the activations", &[positions, children], input.activations.shape())?;
    for parent in parents {
        checks::at_most("the number of a parent", parent.1, count - 1, "the index of a parent, from 0")?;
    }
    checks::finite("a vote", input.votes.index_axis(Along(0), position).iter().copied())?;
    // mean and standard deviation of an element
    let moments = |j, h| (last.means[(position, j, h)], last.variances[(position, j, h)].sqrt());
    let reach = parents.iter().flat_map(|&(_, j)| (0..elements).map(move |h| moments(j, h)));
    let reach: Vec<f64> = reach.flat_map(|(mean, sigma)| [mean - 2.8 * sigma, mean + 2.8 * sigma]).collect();
    checks::finite("a mean or a variance", reach.iter().copied())?;
    let (low, high) = padded(reach, 0.02);
    let shares = parents.iter().map(|&(_, j)| vote_shares(input, routing, (position, j), (low, high)));
    let shares: Vec<Vec<f64>> = shares.collect::<Result<_>>()?;
    let most = shares.iter().flatten().fold(1e-300, |most: f64, &share| most.max(share));

    let n = elements as f64;
    let wide = (780.0 / parents.len() as f64).min(24.0 * n).max(120.0).round();
    let size = ((66.0 + parents.len() as f64 * (wide + 22.0)).max(580.0), TOP + TALL + 84.0);
    let title = "Votes for a capsule, element by element of its pose";
    let mut figure = Chart::canvas("vote-agreement", title, size);
    let mut words = Vec::new();
    for (column, (&(title, j), shares)) in parents.iter().zip(&shares).enumerate() {
        let y = Axis::new("vote", low, high).no_grid();
        let y = if column == 0 { y } else { y.bare() };
        let left = 62.0 + column as f64 * (wide + 22.0);
        let mut panel = figure.panel((left, TOP), (wide, TALL), numbered("element of the pose", elements), y);
        // the square root keeps the few distant votes visible beside the many near the mean
        let shade = |share: &f64| if *share > 0.002 * most { 0.1 + 0.9 * (share / most).sqrt() } else { 0.0 };
        let shades: Vec<f64> = shares.iter().map(shade).collect();
        panel.image((0.5, low), (n + 0.5, high), Image::new(elements, &shades, 256, true));
        let mut log_sigma = 0.0;
        for h in 0..elements {
            let ((mean, sigma), middle) = (moments(j, h), 1.0 + h as f64);
            log_sigma += sigma.ln() / n;
            panel.line([(middle + 0.5, low), (middle + 0.5, high)], Pen::new(CARD, 0.16 * wide / n));
            if h + 1 == elements {
                panel.line([(0.5, 0.0), (n + 0.5, 0.0)], Pen::new(GREY, 0.8));
                panel.line([(0.5, high), (0.5, low), (n + 0.5, low)], Pen::new(FRAME, 1.0));
            }
            panel.haloed(&[(middle, mean - sigma), (middle, mean + sigma)], Pen::new(VERMILION, 1.3));
            panel.haloed(&[(middle - 0.3, mean), (middle + 0.3, mean)], Pen::new(VERMILION, 2.0));
        }
        words.push(format!("{title}: σ {}", number(log_sigma.exp(), 3)));
        figure.note((left, TOP - 18.0), Ink::new(INK).plain().bold(), &words[column]);
        figure.add(panel);
    }
    let key = "colour: share of the mass aR; bar: mean ± 1 standard deviation; σ: their geometric mean";
    figure.note((24.0, TOP + TALL + 66.0), Ink::new(GREY).plain().size(12.5), key);
    let alt = format!(
        "Panels with a column for each of {elements} elements of the pose, coloured where votes lie; a cross marks the mean and \
         a standard deviation either way, whose geometric mean is σ. {}.",
        words.join("; ")
    );
    figure.alt(alt).finish()
}

/// Returns a histogram of the votes for each element of the pose: the share of a parent's mass in each of 44 bins,
/// highest bin first (bins x elements).
fn vote_shares(
    input: &RoutingInput,
    routing: &Routing,
    (position, j): (usize, usize),
    (low, high): (f64, f64),
) -> Result<Vec<f64>> {
    const STEPS: usize = 44;
    let (_, children, _, elements) = input.votes.dim();
    let weight =
        |i: usize| input.activations[(position, i)] * routing.last().responsibilities[(position, i, j)];
    let mass: f64 = (0..children).map(weight).sum();
    if !(mass > 0.0 && mass.is_finite()) {
        let (name, expected) = ("the mass of a parent", "positive and finite");
        return Err(Error::Setting { name, expected, value: mass });
    }
    let mut shares = vec![0.0; STEPS * elements];
    for (i, h) in (0..children).flat_map(|i| (0..elements).map(move |h| (i, h))) {
        let step = (high - input.votes[(position, i, j, h)]) / (high - low) * STEPS as f64;
        if (0.0..STEPS as f64).contains(&step) {
            shares[step as usize * elements + h] += weight(i) / mass;
        }
    }
    Ok(shares)
}

/// Draws how a digit is classified: the image, the activations of the classes, and what each class receives in the class
/// layer's routing - from each position, iteration by iteration, and from each kind of capsule.
///
/// `pixels` are the grey levels of the image, `width` per row; `label` is its true class, if known. `run` is the class
/// layer's routing ([`CapsNet::layer_routing`]). Class j receives the mass a_i R_ij from child i. Routings of more than six
/// iterations show six of them.
///
/// # Errors
///
/// Returns an error if the layer has more than one parent position or its parents do not see all positions below, if it has
/// no iterations or no children, or more than a figure can hold, if there are more than 16 classes, if shapes do not match,
/// if a number is not finite, or if the pixels do not fill whole rows.
pub fn digit_routing(
    pixels: &[u8],
    width: usize,
    label: Option<usize>,
    run: &CapsuleLayerRun,
) -> Result<Figure> {
    const TOP: f64 = 56.0;
    const LEFT: f64 = 96.0;
    checks::digit_run(pixels, width, run)?;
    let activations = run.routing.last().activations.row(0);
    let (classes, count, kinds) = (activations.len(), run.routing.trace.len(), run.patches.below[3]);
    let found = (1..classes).fold(0, |best, j| if activations[j] > activations[best] { j } else { best });
    let title = match label {
        Some(label) if label == found => format!("a {label}, classified as {label}"),
        Some(label) => format!("a {label}, classified as {found}"),
        None => format!("classified as {found}"),
    };
    let share = |t: usize| {
        let sums = masses(run, t, 1, |_| 0).0;
        number((100.0 * sums[found] / sums.iter().sum::<f64>().max(1e-300)).clamp(0.0, 100.0), 0)
    };
    let shown = activations.iter().enumerate().map(|(class, a)| format!("{class} {}", number(*a, 3)));
    let alt = format!(
        "A handwritten digit, {title}. Bars of the classes' activations after {count} iterations: {}. Under them a grid for each \
         class and iteration, coloured by what the class receives from each position, and a table of classes and kinds of \
         capsule; class {found} receives {} % of the votes in iteration 1 and {} % in the last.",
        shown.collect::<Vec<_>>().join(", "),
        share(0),
        share(count - 1)
    );
    let n = classes as f64;
    let (pitch, tall) = ((752.0 / n).min(72.0), f64::max(150.0, 15.0 * n));
    let maps_top = TOP + tall + 68.0;
    let kinds_top = maps_top + count.min(6) as f64 * (pitch + 14.0) + 48.0;
    let size = ((LEFT + 16.0 + pitch * n).max(620.0), kinds_top + 15.0 * n + 62.0);
    let mut chart = Chart::canvas("digit-routing", "Routing of a digit in the class layer", size).alt(alt);
    let (bold, grey) = (Ink::new(INK).plain().bold(), Ink::new(GREY).plain().size(12.0));
    chart.note((24.0, 24.0), bold.size(14.0), title);
    chart.picture((24.0, TOP), 150.0, width, &grey_levels(pixels));
    chart.note((230.0, TOP - 14.0), grey, "activation of each class");
    for (class, &activation) in activations.iter().enumerate() {
        let (middle, right) = (TOP + tall / n * (class as f64 + 0.5), activation.clamp(0.0, 1.0));
        let right = 230.0 + (size.0 - 340.0) * right;
        let tint = if Some(class) == label { component(1) } else { FRAME };
        let tint = if class == found { component(0) } else { tint };
        let corners = [(230.0, -0.36), (right, 0.36)].map(|(x, y)| chart.at_pixel(x, middle + y * tall / n));
        chart.block(corners[0], corners[1], tint);
        let ink = if class == found { bold.size(12.0) } else { grey };
        chart.write((220.0, middle), Side::Left, ink, class.to_string());
        chart.note((right + 8.0, middle), ink, number(activation, 3));
    }
    let text = "votes that each class receives from each position: sum of a_i R_{ij} (strongest: ";
    let most = draw_masses_by_place(&mut chart, run, (LEFT, maps_top), pitch);
    chart.note((24.0, maps_top - 36.0), bold, format!("{text}{})", number(most, 2)));
    let (shares, most) = masses(run, count - 1, kinds, |i| i % kinds);
    let text =
        format!("the same for each of the {kinds} kinds of capsule, in the last iteration (strongest: ");
    chart.note((24.0, kinds_top - 20.0), bold, format!("{text}{})", number(most, 2)));
    let place = ((LEFT, kinds_top), ((size.0 - LEFT - 32.0).min(40.0 * kinds as f64), 15.0 * n));
    let mut table =
        chart.panel(place.0, place.1, numbered("kind of capsule", kinds), class_axis("class", classes));
    table.image((0.5, 0.0), (kinds as f64 + 0.5, n), Image::new(kinds, &shares, 256, true));
    for row in 1..classes {
        table.line([(0.5, row as f64), (kinds as f64 + 0.5, row as f64)], Pen::new(PALE, 1.0));
    }
    chart.add(table);
    chart.finish()
}

/// Draws a grid for each class and each of at most six iterations, with the class's activation. A cell is a position in
/// the layer below, coloured by the mass that the class receives from it. Returns the largest mass, which has the
/// strongest colour.
fn draw_masses_by_place(
    chart: &mut Chart,
    run: &CapsuleLayerRun,
    (left, top): (f64, f64),
    pitch: f64,
) -> f64 {
    let [_, rows, columns, kinds] = run.patches.below;
    let (side, ink, grey) = (pitch - 16.0, Ink::new(INK).plain(), Ink::new(GREY).plain().size(12.0));
    let last = run.routing.trace.len() - 1;
    let shown = (0..=last.min(5)).map(|row| row * last / last.clamp(1, 5));
    let sums: Vec<_> = shown.map(|t| (t, masses(run, t, rows * columns, |i| i / kinds))).collect();
    let most = sums.iter().fold(1e-300, |most: f64, (_, sums)| most.max(sums.1));
    for (row, (t, (shares, own))) in sums.iter().enumerate() {
        let top = top + row as f64 * (pitch + 14.0);
        chart.note((24.0, top + side / 2.0), grey, format!("iteration {}", t + 1));
        for (class, shares) in shares.chunks(rows * columns).enumerate() {
            let (left, activation) =
                (left + class as f64 * pitch, run.routing.trace[*t].activations[(0, class)]);
            let (middle, shares) = (left + side / 2.0, shares.iter().map(|share| share * own / most));
            chart.picture((left, top), side, columns, &shares.collect::<Vec<_>>());
            if row == 0 {
                chart.write((middle, top - 12.0), Side::Middle, ink, class.to_string());
            }
            let text = number(activation, 3);
            chart.write((middle, top + side + 12.0), Side::Middle, grey.size(11.5), text);
        }
    }
    most
}

/// Sums a_i R_ij over the children i of each group in one iteration. Returns the sums divided by their maximum (classes
/// x groups), and the maximum.
fn masses(
    run: &CapsuleLayerRun,
    iteration: usize,
    groups: usize,
    group: impl Fn(usize) -> usize,
) -> (Vec<f64>, f64) {
    let responsibilities = &run.routing.trace[iteration].responsibilities;
    let mut sums = vec![0.0; responsibilities.dim().2 * groups];
    for ((_, i, j), share) in responsibilities.indexed_iter() {
        sums[j * groups + group(i)] += run.input.activations[(0, i)] * share;
    }
    let most = sums.iter().fold(1e-300, |most: f64, &sum| most.max(sum));
    (sums.iter().map(|sum| sum / most).collect(), most)
}

/// Creates an axis of the numbers from 1 to `count`, with at most 16 labels.
fn numbered(title: &str, count: usize) -> Axis {
    let ticks = (1..=count).step_by(count.div_ceil(16)).map(|number| (number as f64, number.to_string()));
    Axis::new(title, 0.5, count as f64 + 0.5).no_grid().ticks(ticks.collect())
}

/// Creates an axis of classes from the top. Each class is one unit long, with its label at the centre.
pub(super) fn class_axis(title: &str, classes: usize) -> Axis {
    let tick = |class: usize| (classes as f64 - class as f64 - 0.5, class.to_string());
    Axis::new(title, 0.0, classes as f64).no_grid().ticks((0..classes).map(tick).collect())
}

/// Draws the spread loss from one wrong class i over a_t - a_i (t is the true class), one curve per margin. A dot marks
/// where the margin is reached.
///
/// # Errors
///
/// Returns an error if there are no margins or more than six, or if a margin is not from 0 to 1.
pub fn spread_loss(margins: &[f64]) -> Result<Figure> {
    checks::not_empty("margins", margins)?;
    checks::at_most("the number of margins", margins.len(), 6, "at most 6")?;
    checks::shares("a margin", margins.iter().copied())?;
    let of = |margin: f64, ahead: f64| {
        // the lead of the true class over one other class
        let activations = array![[0.5 + ahead / 2.0, 0.5 - ahead / 2.0]];
        loss::spread_loss(&activations, &[0], margin).map_or(f64::NAN, |(loss, _)| loss)
    };
    let largest = margins.iter().fold(0.0, |most: f64, &margin| most.max(of(margin, -1.0)));
    let x = Axis::new("lead of the true class, a_t − a_i", -1.0, 1.0);
    let y = Axis::new("loss from one wrong class", -0.03 * largest, 1.04 * largest);
    let words: Vec<String> = margins
        .iter()
        .map(|&margin| {
            let (margin, loss) = (trimmed(margin, 3), number(of(margin, -1.0), 2));
            format!("margin {margin}: from {loss} at a lead of -1 to 0 at {margin}")
        })
        .collect();
    let title = "The spread loss over the lead of the true class";
    let mut chart = Chart::new("spread-loss", title, (720, 380), x, y)
        .alt(format!("Parabolas that fall to the right, then stay at 0: {}.", words.join("; ")));
    for (index, &margin) in margins.iter().enumerate() {
        let (pen, place) = (Pen::new(component(index), 2.4), 46.0 + 22.0 * index as f64);
        chart.curve(-1.0, 1.0, 160, pen, |ahead| of(margin, ahead));
        chart.line_anywhere([430.0, 458.0].map(|left| chart.at_pixel(left, place)), pen);
        chart.note((468.0, place), Ink::new(INK).plain(), format!("margin {}", trimmed(margin, 3)));
    }
    for (index, &margin) in margins.iter().enumerate() {
        chart.disc((margin, 0.0), 4.6, component(index));
    }
    let place = 46.0 + 22.0 * margins.len() as f64;
    chart.dot(chart.at_pixel(444.0, place), 4.6, GREY);
    chart.note((468.0, place), Ink::new(INK).plain(), "the loss reaches 0");
    chart.finish()
}
