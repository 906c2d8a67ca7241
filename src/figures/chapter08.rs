//! Figures of chapter 8: the capsule network layer by layer, and a digit on its way through it.

use std::sync::OnceLock;

use ndarray::array;

pub(super) use super::network::grey_levels;
pub use super::network::{architecture, deepest, maps};
use super::routed::numbered;
pub use super::routed::{
    NearestShare, agreement, nearest_labels, nearest_shares, position_assignments, runner_up, spreads,
    surest, vote_agreement,
};
use super::{Entry, checks};
use crate::capsnet::{Architecture, CapsNet, Pass, Recipe, loss};
use crate::data::idx::{ImageSet, Images};
use crate::draw::{
    Axis, Chart, FRAME, Figure, GREY, INK, Image, Ink, PALE, Pen, Side, component, number, trimmed,
};
use crate::error::Result;
use crate::routing::CapsuleLayerRun;
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
];

/// The digits that the chapter follows, as indices of MNIST test images: a 4, another 4 and a 9.
pub const DIGITS: [usize; 3] = [4, 6, 7];

/// The number of test images in [`nearest_labels`].
pub const MANY: usize = 300;

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
    let images = ImageSet::load_test(mnist_folder(), net.architecture().form())?.slice(0..DIGITS[2] + 1);
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
        "An image, {title}. Bars of the classes' activations after {count} iterations: {}. Under them a grid for each \
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

/// Draws the votes that each class receives from each position, iteration by iteration: the grids of [`digit_routing`] alone, for a
/// narrow page. `run` is the class layer's routing.
///
/// # Errors
///
/// Returns the errors of [`digit_routing`], but for those of the pixels.
pub fn class_masses(run: &CapsuleLayerRun) -> Result<Figure> {
    const PITCH: f64 = 36.0;
    checks::class_run(run)?;
    let (count, classes) = (run.routing.trace.len(), run.routing.last().activations.ncols());
    let size = (96.0 + PITCH * classes as f64, 70.0 + count.min(6) as f64 * (PITCH + 14.0));
    let title = "What each class receives, iteration by iteration";
    let mut chart = Chart::canvas("class-masses", title, (size.0.max(440.0), size.1));
    let most = number(draw_masses_by_place(&mut chart, run, (96.0, 64.0), PITCH), 2);
    let text = format!("votes from each position: sum of a_i R_{{ij}} (strongest: {most})");
    chart.note((24.0, 24.0), Ink::new(INK).plain().bold(), text);
    let alt = format!(
        "A grid for each of {classes} classes and each of {count} iterations, coloured by what the class receives from each \
         position; the strongest is {most}."
    );
    chart.alt(alt).finish()
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
    let pens = [(&blog, INK, "the blog"), (&ours, component(1), "the default recipe")];
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
