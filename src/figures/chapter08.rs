//! Figures of chapter 8: the capsule network layer by layer, and a digit on its way through it.

use std::ops::Range;
use std::sync::OnceLock;

use ndarray::{Array2, Axis as Along, array};

use super::{Entry, checks};
use crate::capsnet::{Architecture, CapsNet, Pass, Recipe, loss};
use crate::data::idx::{ImageSet, Images};
use crate::draw::{
    Axis, CARD, Chart, FRAME, Figure, GREY, INK, Image, Ink, Mark, PALE, Pen, Side, Tint, VERMILION,
    component, extent, heat, legend_row, number, padded, trimmed,
};
use crate::error::{Error, Result};
use crate::routing::{CapsuleLayerRun, Routing, RoutingInput};
use crate::shipped::{mnist_folder, mnist_weights};

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[
    ("architecture", || architecture(&CapsNet::zeros(Architecture::blog())?)),
    ("blog-features", || {
        let net = CapsNet::new(Architecture::blog(), 1)?;
        let Shipped { images, .. } = shipped()?;
        let pass = net.forward(&net.pixels(images, &DIGITS[..1])?, 0)?;
        let (numbers, shape) = (&pass.layer("features")?.activations, net.layer("features")?);
        let title = "Features of a digit before training";
        Ok(maps(title, images, &DIGITS[..1], numbers, (shape.columns, shape.kinds))?.named("blog-features"))
    }),
    ("spread-loss", || spread_loss(&[0.2, 0.4, 0.9])),
    ("trained-architecture", || Ok(architecture(&shipped()?.net)?.named("trained-architecture"))),
    ("digit-features", || {
        let title = "Features of a digit after the first convolution";
        Ok(shipped()?.maps("features", 1, title)?.named("digit-features"))
    }),
    ("deep-features", || {
        let title = "Features of a digit after the last convolution";
        let deepest = deepest(&shipped()?.net);
        Ok(shipped()?.maps(deepest, 1, title)?.named("deep-features"))
    }),
    ("digit-routing", || {
        let Shipped { images, class, .. } = shipped()?;
        let label = usize::from(images.labels[DIGITS[0]]);
        digit_routing(images.image(DIGITS[0]), images.width, Some(label), class)
    }),
    ("position-assignments", || {
        let routing = &shipped()?.first.routing;
        position_assignments(routing, surest(routing).0)
    }),
    ("vote-agreement", || {
        let Shipped { first, second, class, .. } = shipped()?;
        agreement(&[("first", &first.routing), ("second", &second.routing), ("class", &class.routing)])
    }),
    ("class-votes", || {
        let Shipped { class, .. } = shipped()?;
        let (_, most, _) = surest(&class.routing);
        let next = runner_up(&class.routing);
        let parents =
            [(format!("class {most}, the most active"), most), (format!("class {next}, the next"), next)];
        let parents = [(parents[0].0.as_str(), most), (parents[1].0.as_str(), next)];
        Ok(vote_agreement(&class.input, &class.routing, 0, &parents)?.named("class-votes"))
    }),
    ("nearest-labels", || {
        let Shipped { net, images, .. } = shipped()?;
        let many: Vec<usize> = (0..MANY).collect();
        let pass = net.forward(&net.pixels(images, &many)?, 0)?;
        nearest_labels(&nearest_shares(net, &pass, &images.labels[..MANY])?)
    }),
];

/// The digits that the chapter follows, as indices of MNIST test images: a 4, another 4 and a 9.
pub const DIGITS: [usize; 3] = [4, 6, 7];

/// The number of test images in [`nearest_labels`].
pub const MANY: usize = 300;

/// The vertical centre of all layers in [`architecture`], in pixels from the top.
const MIDDLE: f64 = 100.0;

/// The shipped network and its forward pass on [`DIGITS`].
struct Shipped {
    net: CapsNet,
    /// The first MNIST test images.
    images: Images,
    pass: Pass,
    /// The routing of the first digit in each routing layer.
    first: CapsuleLayerRun,
    second: CapsuleLayerRun,
    class: CapsuleLayerRun,
}

/// Loads the shipped network and runs it, once for all figures.
fn shipped() -> Result<&'static Shipped> {
    static SHIPPED: OnceLock<Shipped> = OnceLock::new();
    if let Some(shipped) = SHIPPED.get() {
        return Ok(shipped);
    }
    let net = CapsNet::load(mnist_weights())?;
    let images = ImageSet::load_test(mnist_folder(), net.architecture().form())?.slice(0..MANY);
    let pass = net.forward(&net.pixels(&images, &DIGITS)?, 0)?;
    let run = |layer| net.layer_routing(&pass, layer, 0);
    let (first, second, class) = (run("first")?, run("second")?, run("class")?);
    Ok(SHIPPED.get_or_init(|| Shipped { net, images, pass, first, second, class }))
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

/// Returns the name of the last layer before the primary capsules.
pub fn deepest(net: &CapsNet) -> &'static str {
    let layers = net.layers();
    layers.iter().take_while(|layer| layer.name != "primary").last().map_or("features", |layer| layer.name)
}

/// Returns the second most active parent of the first position.
pub fn runner_up(routing: &Routing) -> usize {
    let row = routing.activations().row(0);
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&one, &other| row[other].total_cmp(&row[one]));
    order[1.min(order.len() - 1)]
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
    let mut chart = Chart::canvas("architecture", "The network, layer by layer", (WIDTH, 456.0));
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
    let parts = net.parameters().parts();
    let transforms = parts.iter().find(|part| part.name == "first.transforms").map(|part| part.shape.clone());
    let anatomy = draw_anatomy(&mut chart, 312.0, transforms.as_deref().unwrap_or(&[0, 0]));
    chart
        .alt(format!(
            "Square grids in a row, joined by arrows, {total} parameters in all: {}. Below: {anatomy}.",
            words.join("; ")
        ))
        .finish()
}

/// Draws what a capsule is, how it votes, and how the votes at one position are routed. `transforms` is the shape of the
/// first routing layer's transforms: children, parents. Returns the drawing in words.
fn draw_anatomy(chart: &mut Chart, top: f64, transforms: &[usize]) -> String {
    let (bold, small) = (Ink::new(INK).plain().bold().size(12.5), Ink::new(GREY).plain().size(12.0));
    let rule = [24.0, 872.0].map(|x| chart.at_pixel(x, top - 10.0));
    chart.line_anywhere(rule, Pen::new(PALE, 1.0));
    for (left, text) in
        [(24.0, "one capsule"), (222.0, "one vote"), (580.0, "one position of the first routing layer")]
    {
        chart.note((left, top + 10.0), bold, text);
    }
    // a capsule
    draw_matrix(chart, (32.0, top + 30.0), heat(0.4));
    chart.disc(chart.at_pixel(130.0, top + 58.0), 11.0, VERMILION);
    chart.write((60.0, top + 104.0), Side::Middle, small, "pose P: 4 × 4");
    chart.write((138.0, top + 104.0), Side::Middle, small, "activation a");
    // a vote
    for (left, tint, sign, text) in [
        (232.0, heat(0.4), "×", "pose P_i"),
        (340.0, component(4), "=", "transform W_{ij}"),
        (448.0, component(0), "", "vote V_{ij}"),
    ] {
        draw_matrix(chart, (left, top + 30.0), tint);
        chart.write((left + 82.0, top + 58.0), Side::Middle, bold.size(16.0), sign);
        chart.write((left + 28.0, top + 104.0), Side::Middle, small, text);
    }
    // a position: the tiles of a patch, and some of the parents
    let parents: Vec<f64> = (0..5).map(|row| top + 34.0 + 13.0 * f64::from(row)).collect();
    for (row, column) in (0..9).map(|tile| (tile / 3, tile % 3)) {
        let corner = (590.0 + 22.0 * f64::from(column), top + 28.0 + 22.0 * f64::from(row));
        for shift in [4.0, 2.0, 0.0] {
            let ends =
                [(corner.0 + shift, corner.1 + shift), (corner.0 + shift + 17.0, corner.1 + shift + 17.0)];
            let [from, to] = ends.map(|(x, y)| chart.at_pixel(x, y));
            chart.block(from, to, CARD);
            chart.line_anywhere([from, (to.0, from.1), to, (from.0, to.1), from], Pen::new(FRAME, 1.0));
        }
    }
    for from in [top + 37.0, top + 59.0, top + 81.0] {
        for &to in &parents {
            let ends = [chart.at_pixel(664.0, from), chart.at_pixel(756.0, to)];
            chart.line_anywhere(ends, Pen::new(FRAME, 0.8).faded(0.7));
        }
    }
    for &parent in &parents {
        chart.disc(chart.at_pixel(764.0, parent), 5.0, VERMILION);
    }
    let [children, parents] = [transforms[0], transforms[1]];
    chart.write((625.0, top + 104.0), Side::Middle, small, format!("patch: {children} children"));
    chart.write((764.0, top + 104.0), Side::Middle, small, format!("{parents} parents"));
    chart.note((784.0, top + 52.0), small, "EM routing:");
    chart.note((784.0, top + 68.0), small, "R_{ij}, μ_j, σ_j, a_j");
    format!(
        "a capsule, which is a 4 × 4 pose and an activation; a vote, which is a pose times a transform; a patch of {children} \
         children, joined to {parents} parents by lines"
    )
}

/// Draws a 4 x 4 matrix of 56 pixels.
fn draw_matrix(chart: &mut Chart, (left, top): (f64, f64), tint: Tint) {
    let [from, to] = [chart.at_pixel(left, top), chart.at_pixel(left + 56.0, top + 56.0)];
    chart.block(from, to, tint.mixed(CARD, 0.45));
    for step in 0..5 {
        let at = 14.0 * f64::from(step);
        let lines =
            [[(left + at, top), (left + at, top + 56.0)], [(left, top + at), (left + 56.0, top + at)]];
        for line in lines {
            let ends = line.map(|(x, y)| chart.at_pixel(x, y));
            chart.line_anywhere(ends, Pen::new(FRAME, 0.9));
        }
    }
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

/// Draws the parents of one position after the last iteration, ordered by mass: each parent's share of the mass, the mean
/// of ln sigma over the elements of its votes, and its activation. Colours mark the parent with the most mass and the most
/// active one.
///
/// # Errors
///
/// Returns an error if there are no iterations, children or parents or more than 64 parents, if the position does not exist,
/// if steps differ in shape, or if a number is not finite or the masses are all 0.
pub fn position_assignments(routing: &Routing, position: usize) -> Result<Figure> {
    let (_, parents) = checks::routing(routing, position)?;
    checks::at_most("the number of parents", parents, 64, "at most 64 in this figure")?;
    let (last, spreads) = (routing.last(), spreads(routing));
    checks::shape("the masses", spreads.shape(), last.masses.shape())?;
    let (masses, spreads) = (last.masses.row(position), spreads.row(position).to_vec());
    let activations = last.activations.row(position);
    checks::finite("a mass", masses.iter().copied())?;
    checks::finite("a spread", spreads.iter().copied())?;
    checks::finite("an activation", activations.iter().copied())?;
    let total = masses.sum();
    if total.is_nan() || total <= 0.0 {
        return Err(Error::Setting { name: "the mass of a position", expected: "positive", value: total });
    }
    let mut order: Vec<usize> = (0..parents).collect();
    order.sort_by(|&one, &other| masses[other].total_cmp(&masses[one]));
    let heaviest = order[0];
    let most = (0..parents).fold(0, |most, j| if activations[j] > activations[most] { j } else { most });
    let tint = |j: usize| match j {
        _ if j == most => VERMILION,
        _ if j == heaviest => component(0),
        _ => FRAME,
    };
    let n = parents as f64;
    let ticks = order.iter().enumerate().step_by(parents.div_ceil(32));
    let ticks = ticks.map(|(place, j)| (place as f64 + 1.0, (j + 1).to_string())).collect();
    let x = Axis::new("parent, ordered by mass", 0.4, n + 0.6).no_grid().ticks(ticks);
    let share = |j: usize| 100.0 * masses[j] / total;
    let (low, high) = padded(spreads.iter().copied(), 0.15);
    let top = activations.iter().fold(0.0, |most: f64, &a| most.max(a));
    let rows = vec![
        (Axis::new("mass, %", 0.0, 1.12 * share(heaviest).max(100.0 / n)).most(4), 130.0),
        (Axis::new("mean ln σ", low, high).most(4), 96.0),
        (Axis::new("activation", 0.0, 1.12 * top.max(1e-3)).most(4), 96.0),
    ];
    let size = (900.0, 488.0);
    let mut chart = Chart::canvas("position-assignments", "The parents of one position", size);
    let mut panels = chart.stack((82.0, 62.0), 790.0, &x, rows);
    for (place, &j) in order.iter().enumerate() {
        let at = place as f64 + 1.0;
        panels[0].block((at - 0.36, 0.0), (at + 0.36, share(j)), tint(j));
        panels[1].disc((at, spreads[j]), 4.4, tint(j));
        panels[2].block((at - 0.36, 0.0), (at + 0.36, activations[j]), tint(j));
    }
    panels[0].line([(0.4, 100.0 / n), (n + 0.6, 100.0 / n)], Pen::new(INK, 1.2).dashed(5.0, 4.0));
    let mut entries = vec![(Mark::Dot(component(0)), format!("parent {}: the most mass", heaviest + 1))];
    if most == heaviest {
        entries.clear();
    }
    entries.push((Mark::Dot(VERMILION), format!("parent {}: the most active", most + 1)));
    entries.push((Mark::Line(Pen::new(INK, 1.2).dashed(5.0, 4.0)), "even share: iteration 1".to_owned()));
    legend_row(&mut chart, (82.0, 30.0), 880.0, entries);
    for panel in panels {
        chart.add(panel);
    }
    let describe = |j: usize| {
        let [share, spread, a] = [number(share(j), 1), number(spreads[j], 2), number(activations[j], 3)];
        format!("parent {} has {share} % of the mass, a mean ln sigma of {spread} and activation {a}", j + 1)
    };
    let alt = format!(
        "Three rows of bars, dots and bars for {parents} parents, ordered by mass. The heaviest, {}; the most active, {}.",
        describe(heaviest),
        describe(most)
    );
    chart.alt(alt).finish()
}

/// Returns the mean of ln sigma over the elements of a pose, positions x parents, in the last iteration.
pub fn spreads(routing: &Routing) -> Array2<f64> {
    let last = routing.last();
    let elements = last.variances.shape()[2].max(1) as f64;
    last.variances.mapv(|variance| 0.5 * variance.ln()).sum_axis(Along(2)) / elements
}

/// Draws, for each routing layer in a panel of its own, a disc for every parent at every position: the agreement of its
/// votes (mean ln sigma; smaller is better) and its activation. The area of a disc is the parent's share of the position's
/// mass.
///
/// # Errors
///
/// Returns an error if there are no layers or more than four, if a layer has no iterations, positions or parents or more than
/// 4000 of them in all, if steps differ in shape, or if a number is not finite or beyond 1e140.
pub fn agreement(layers: &[(&str, &Routing)]) -> Result<Figure> {
    checks::not_empty("layers", layers)?;
    checks::at_most("the number of layers", layers.len(), 4, "at most 4")?;
    let wide = (840.0 - 60.0 * layers.len() as f64) / layers.len() as f64;
    let mut figure =
        Chart::canvas("vote-agreement", "Agreement, activation and mass of all parents", (900.0, 380.0));
    let mut words = Vec::new();
    for (column, (name, routing)) in layers.iter().enumerate() {
        checks::routing(routing, 0)?;
        let (last, spreads) = (routing.last(), spreads(routing));
        checks::at_most("the number of parents", spreads.len(), 4000, "at most 4000 discs in a panel")?;
        checks::shape("the masses", spreads.shape(), last.masses.shape())?;
        checks::finite("a spread", spreads.iter().copied())?;
        checks::finite("a mass", last.masses.iter().copied())?;
        checks::finite("an activation", last.activations.iter().copied())?;
        let (low, high) = padded(spreads.iter().copied(), 0.08);
        let x = Axis::new("mean ln σ of the votes", low, high).most(5);
        let y = Axis::new(if column == 0 { "activation" } else { "" }, -0.04, 1.04);
        let left = 66.0 + column as f64 * (wide + 60.0);
        let mut panel = figure.panel((left, 64.0), (wide, 250.0), x, y);
        let (_, parents) = spreads.dim();
        // one position with few parents: the class layer, whose two most active parents get their numbers
        let named = (spreads.nrows() == 1 && parents <= 16).then(|| [surest(routing).1, runner_up(routing)]);
        for ((p, j), &spread) in spreads.indexed_iter() {
            let (a, total) = (last.activations[(p, j)], last.masses.row(p).sum().max(1e-300));
            let share = (last.masses[(p, j)] / total).clamp(0.0, 1.0);
            panel.scatter([(spread, a)], 2.0 + 13.0 * share.sqrt(), component(column), 0.45);
            if named.is_some_and(|named| named.contains(&j)) {
                let ink = Ink::new(INK).bold().size(12.5);
                panel.text((spread, a), (18.0, 0.0), Side::Middle, ink, j.to_string());
            }
        }
        let counted = format!("{} × {parents} parents", spreads.nrows());
        figure.note((left, 30.0), Ink::new(INK).plain().bold(), format!("layer {name}"));
        figure.note((left, 48.0), Ink::new(GREY).plain().size(12.5), counted.clone());
        words.push(format!(
            "layer {name}, {counted}: correlation {}",
            number(correlation(&spreads, &last.activations), 2)
        ));
        figure.add(panel);
    }
    let alt = format!(
        "A scatter plot of activation over the mean logarithm of the votes' standard deviations for each routing layer. {}.",
        words.join("; ")
    );
    figure.alt(alt).finish()
}

/// Returns the correlation coefficient of two tables of the same shape; 0 if one of them is constant.
fn correlation(one: &Array2<f64>, other: &Array2<f64>) -> f64 {
    // scaled so that the squares of large numbers are finite
    let centred = |table: &Array2<f64>| {
        let centred = table - table.mean().unwrap_or(0.0);
        let largest = centred.iter().fold(f64::MIN_POSITIVE, |largest: f64, x| largest.max(x.abs()));
        centred / largest
    };
    let (one, other) = (centred(one), centred(other));
    let norms = (&one * &one).sum().sqrt() * (&other * &other).sum().sqrt();
    if norms > 0.0 { (&one * &other).sum() / norms } else { 0.0 }
}

/// How often the nearest of the other digits, by a layer's output, has the same label.
#[derive(Debug, Clone, PartialEq)]
pub struct NearestShare {
    /// The layer, as in a [`Pass`]; `pixels` for the input.
    pub layer: &'static str,
    /// The share by the layer's activations.
    pub activations: f64,
    /// The share by the layer's poses, if it has capsules.
    pub poses: Option<f64>,
}

/// Computes, for the pixels and each layer of a pass, how often the nearest of the other digits has the same label. The
/// distance is the sum of squared differences of the layer's activations, or of its poses.
///
/// # Errors
///
/// Returns an error if the pass does not have a label for each image, or if there are fewer than two images.
pub fn nearest_shares(net: &CapsNet, pass: &Pass, labels: &[u8]) -> Result<Vec<NearestShare>> {
    checks::length("the labels", pass.images(), labels.len())?;
    if labels.len() < 2 {
        return Err(Error::Setting {
            name: "the number of images",
            expected: "at least 2",
            value: labels.len() as f64,
        });
    }
    let names = std::iter::once("pixels").chain(net.layers().into_iter().map(|layer| layer.name));
    let of = |layer: &'static str| {
        let output = pass.layer(layer)?;
        let poses = (!output.poses.is_empty()).then(|| nearest_share(&output.poses, labels));
        Ok(NearestShare { layer, activations: nearest_share(&output.activations, labels), poses })
    };
    names.map(of).collect()
}

fn nearest_share(numbers: &[f32], labels: &[u8]) -> f64 {
    let size = numbers.len() / labels.len();
    let of = |image: usize| &numbers[image * size..][..size];
    let distance = |a: usize, b: usize| of(a).iter().zip(of(b)).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
    let hits = (0..labels.len()).filter(|&a| {
        let others = (0..labels.len()).filter(|&b| b != a).map(|b| (distance(a, b), b));
        others.min_by(|x, y| x.0.total_cmp(&y.0)).is_some_and(|(_, b)| labels[a] == labels[b])
    });
    hits.count() as f64 / labels.len() as f64
}

/// Draws how often the nearest of the other digits has the same label, layer by layer: a line for activations and one for
/// poses.
///
/// # Errors
///
/// Returns an error if there are no layers or more than 16, or if a share is not from 0 to 1.
pub fn nearest_labels(shares: &[NearestShare]) -> Result<Figure> {
    checks::not_empty("layers", shares)?;
    checks::at_most("the number of layers", shares.len(), 16, "at most 16")?;
    let place = |at: usize| at as f64 + 1.0;
    let activations: Vec<_> =
        shares.iter().enumerate().map(|(at, share)| (place(at), share.activations)).collect();
    let poses: Vec<_> =
        shares.iter().enumerate().filter_map(|(at, share)| Some((place(at), share.poses?))).collect();
    let all = || activations.iter().chain(&poses);
    checks::shares("a share", all().map(|point| point.1))?;
    let (low, _) = extent(all().map(|point| point.1));
    let low = (10.0 * (low - 0.02).max(0.0)).floor() / 10.0;
    let ticks = shares.iter().enumerate().map(|(at, share)| (place(at), share.layer.to_owned())).collect();
    let x = Axis::new("layer", 0.6, place(shares.len()) - 0.6).no_grid().ticks(ticks);
    let y = Axis::new("nearest digit has the same label", low, 1.0 + 0.04 * (1.0 - low));
    let title = "What the nearest digit's label is, layer by layer";
    let words: Vec<String> = shares
        .iter()
        .map(|share| {
            let poses = share.poses.map_or(String::new(), |poses| format!(", by poses {}", number(poses, 3)));
            format!("{} {}{poses}", share.layer, number(share.activations, 3))
        })
        .collect();
    let mut chart = Chart::new("nearest-labels", title, (760, 360), x, y)
        .alt(format!("Two lines over the layers. By activations: {}.", words.join("; ")));
    chart.marked(&activations, component(0), 2.0, 4.6);
    chart.marked(&poses, component(1), 2.0, 4.6);
    let entries = [(0, "by activations"), (1, "by poses")];
    let entries = entries.map(|(tint, name)| (Mark::Dot(component(tint)), name.to_owned()));
    legend_row(&mut chart, (90.0, 22.0), 740.0, entries);
    chart.finish()
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

/// Draws the spread loss from one wrong class i over a_t - a_i (t is the true class), one curve per margin, with a dot where
/// the margin is reached; and beside it the blog's margin and the default one over the steps of a training.
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
    let title = "The spread loss over the lead of the true class, and the margin over the steps";
    let mut figure = Chart::canvas("spread-loss", title, (900.0, 390.0));
    let mut chart = figure.panel((70.0, 46.0), (400.0, 280.0), x, y);
    for (index, &margin) in margins.iter().enumerate() {
        let pen = Pen::new(component(index), 2.4);
        chart.curve(-1.0, 1.0, 160, pen, |ahead| of(margin, ahead));
        let place = 66.0 + 22.0 * index as f64;
        chart.line_anywhere([330.0, 358.0].map(|left| chart.at_pixel(left, place)), pen);
        chart.note((368.0, place), Ink::new(INK), format!("margin {}", trimmed(margin, 3)));
    }
    for (index, &margin) in margins.iter().enumerate() {
        chart.disc((margin, 0.0), 4.6, component(index));
    }
    figure.note((70.0, 24.0), Ink::new(INK).plain().bold(), "loss");
    // the schedules: steps in thousands
    let (blog, ours) = (Recipe::blog(), Recipe::default());
    let epoch = 60_000 / blog.batch;
    let steps = epoch * blog.epochs;
    let x = Axis::new("step, thousands", 0.0, steps as f64 / 1000.0);
    let mut schedule = figure.panel((556.0, 46.0), (316.0, 280.0), x, Axis::new("margin", 0.0, 1.0));
    let margin = |recipe: &Recipe| -> Vec<(f64, f64)> {
        let ends = (0..blog.epochs).flat_map(|e| [e * epoch + 1, (e + 1) * epoch]);
        ends.map(|step| (step as f64 / 1000.0, recipe.margin(step, epoch))).collect()
    };
    let pens = [(&blog, INK, "the blog"), (&ours, component(2), "the default recipe")];
    for (row, (recipe, tint, name)) in pens.into_iter().enumerate() {
        schedule.line(margin(recipe), Pen::new(tint, 2.4));
        let place = 280.0 + 22.0 * row as f64;
        schedule
            .line_anywhere([690.0, 718.0].map(|left| schedule.at_pixel(left, place)), Pen::new(tint, 2.4));
        schedule.note((728.0, place), Ink::new(INK), name);
    }
    figure.note((556.0, 24.0), Ink::new(INK).plain().bold(), "margin schedule");
    figure.add(chart);
    figure.add(schedule);
    let alt = format!(
        "Left: parabolas that fall to the right, then stay at 0: {}. Right: the blog's margin climbs in stairs from {} to {} over \
         {steps} steps.",
        words.join("; "),
        trimmed(blog.margin(1, epoch), 3),
        trimmed(blog.margin(steps, epoch), 3)
    );
    figure.alt(alt).finish()
}
