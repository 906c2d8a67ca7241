//! The figures of routing in the network: votes, masses and activations of parents, and what a layer's numbers tell.

use ndarray::{Array2, Axis as Along};

use super::checks;
use crate::capsnet::{CapsNet, Pass};
use crate::draw::{
    Axis, CARD, Chart, FRAME, Figure, GREY, INK, Image, Ink, Mark, Pen, Side, VERMILION, component, extent,
    legend_row, number, padded,
};
use crate::error::{Error, Result};
use crate::routing::{Routing, RoutingInput};

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

/// Returns the second most active parent of the first position.
pub fn runner_up(routing: &Routing) -> usize {
    let row = routing.activations().row(0);
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&one, &other| row[other].total_cmp(&row[one]));
    order[1.min(order.len() - 1)]
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
                panel.text((spread, a), (10.0 + 13.0 * share.sqrt(), 0.0), Side::Middle, ink, j.to_string());
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

/// Creates an axis of the numbers from 1 to `count`, with at most 16 labels.
pub(super) fn numbered(title: &str, count: usize) -> Axis {
    let ticks = (1..=count).step_by(count.div_ceil(16)).map(|number| (number as f64, number.to_string()));
    Axis::new(title, 0.5, count as f64 + 0.5).no_grid().ticks(ticks.collect())
}
