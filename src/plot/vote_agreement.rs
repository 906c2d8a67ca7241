//! How well the votes for a parent agree, element by element of the pose.

use super::Figure;
use super::chart::{Axis, CARD, Chart, INK, Ink, Pen, Side, VERMILION, number};
use super::image::heat;
use super::plane::padded;
use super::routing_plane::check_routing;
use crate::error::{Error, Result};
use crate::routing::{Routing, RoutingInput};

/// Steps of the votes' axis.
const BINS: usize = 44;

/// Elements of a pose, at most.
const MOST_ELEMENTS: usize = 64;

/// Parents beside each other, at most.
const MOST: usize = 4;

/// The votes for some parents of one position after the last iteration, a panel each: for each element of the pose the darker,
/// the more mass a_i R_ij votes there, and the parent's mean with a standard deviation on either side.
///
/// `input` is what was routed and `routing` what came of it; `parents` are their numbers, from 0, each with a heading. Votes that
/// lie far from all of these parents (beyond 2.8 deviations) are outside the panels.
///
/// # Errors
///
/// Returns an error if there are no parents to show or more than four, if a parent or the position is not there, if poses have
/// no elements or more than 64, if input and routing differ in their shapes, if a number is not finite or a mean beyond 1e140,
/// and if a parent has no mass.
pub fn vote_agreement(
    input: &RoutingInput,
    routing: &Routing,
    position: usize,
    parents: &[(&str, usize)],
) -> Result<Figure> {
    let (children, count) = check_routing(routing, position)?;
    if parents.is_empty() {
        return Err(Error::Empty { what: "parents to show" });
    }
    let last = routing.last();
    let (positions, _, elements) = last.means.dim();
    if elements == 0 {
        return Err(Error::Empty { what: "elements of a pose" });
    }
    let expected = vec![positions, children, count, elements];
    if input.votes.shape() != expected {
        return Err(Error::Shape { name: "the votes", expected, found: input.votes.shape().to_vec() });
    }
    if input.activations.shape() != [positions, children] {
        let (expected, found) = (vec![positions, children], input.activations.shape().to_vec());
        return Err(Error::Shape { name: "the activations", expected, found });
    }
    for (name, expected, number, most) in [
        ("the number of parents to show", "at most 4", parents.len(), MOST),
        ("the number of elements", "at most 64 in this figure", elements, MOST_ELEMENTS),
    ] {
        if number > most {
            return Err(Error::Setting { name, expected, value: number as f64 });
        }
    }
    if let Some(&(_, parent)) = parents.iter().find(|parent| parent.1 >= count) {
        let (name, expected) = ("a parent", "one of the routing's, from 0");
        return Err(Error::Setting { name, expected, value: parent as f64 });
    }
    if let Some(&value) = input.votes.iter().find(|vote| !vote.is_finite()) {
        return Err(Error::Setting { name: "a vote", expected: "finite", value });
    }
    let reach = parents.iter().flat_map(|&(_, j)| {
        let ends = move |h: usize| {
            let (mean, deviation) = (last.means[(position, j, h)], last.variances[(position, j, h)].sqrt());
            [mean - 2.8 * deviation, mean + 2.8 * deviation]
        };
        (0..elements).flat_map(ends)
    });
    let reach: Vec<f64> = reach.collect();
    if let Some(&value) = reach.iter().find(|value| !value.is_finite()) {
        return Err(Error::Setting { name: "a mean or a variance", expected: "finite", value });
    }
    let (low, high) = padded(reach, 0.02);
    let bin = (high - low) / BINS as f64;

    // the share of the parent's mass that votes into each bin, by element and bin
    let mut shares: Vec<Vec<f64>> = Vec::new();
    for &(_, j) in parents {
        let weight = |i: usize| input.activations[(position, i)] * last.responsibilities[(position, i, j)];
        let mass: f64 = (0..children).map(weight).sum();
        if !(mass > 0.0 && mass.is_finite()) {
            let (name, expected) = ("the mass of a parent", "positive and finite");
            return Err(Error::Setting { name, expected, value: mass });
        }
        let mut cells = vec![0.0; elements * BINS];
        for i in 0..children {
            for h in 0..elements {
                let place = (input.votes[(position, i, j, h)] - low) / bin;
                if (0.0..BINS as f64).contains(&place) {
                    cells[h * BINS + place as usize] += weight(i) / mass;
                }
            }
        }
        shares.push(cells);
    }
    let most = shares.iter().flatten().fold(0.0, |most: f64, &share| most.max(share)).max(1e-300);

    const TOP: f64 = 40.0;
    const TALL: f64 = 270.0;
    const GAP: f64 = 22.0;
    let wide = (780.0 / parents.len() as f64).min(24.0 * elements as f64).max(120.0).round();
    let size = (((66.0 + parents.len() as f64 * (wide + GAP)).max(360.0)) as u32, (TOP + TALL + 62.0) as u32);
    let mut panels = Vec::new();
    let mut words = Vec::new();
    for (column, (&(title, j), cells)) in parents.iter().zip(&shares).enumerate() {
        let every = elements.div_ceil(16);
        let ticks = (0..elements).step_by(every).map(|h| (h as f64 + 0.5, (h + 1).to_string()));
        let x = Axis::new("element of the pose", 0.0, elements as f64).no_grid().ticks(ticks.collect());
        let y = Axis::new(if column == 0 { "vote" } else { "" }, low, high);
        let y = if column == 0 { y } else { y.bare() };
        let left = 62.0 + column as f64 * (wide + GAP);
        let mut panel = Chart::new("vote-agreement", size, x, y).panel((left, TOP), (wide, TALL));
        for (cell, &share) in cells.iter().enumerate().filter(|cell| *cell.1 > 0.002 * most) {
            let (h, bottom) = ((cell / BINS) as f64, low + (cell % BINS) as f64 * bin);
            // a root, so that the few votes far off show beside the many near the mean
            let shade = 0.1 + 0.9 * (share / most).sqrt();
            panel.block((h + 0.08, bottom), (h + 0.92, bottom + bin), heat(shade));
        }
        let mut deviations = 0.0;
        for h in 0..elements {
            let (mean, deviation) = (last.means[(position, j, h)], last.variances[(position, j, h)].sqrt());
            deviations += deviation.ln() / elements as f64;
            let middle = h as f64 + 0.5;
            for (colour, extra) in [(CARD, 2.0), (VERMILION, 0.0)] {
                panel.line(
                    [(middle, mean - deviation), (middle, mean + deviation)],
                    Pen::new(colour, 1.6 + extra),
                );
                panel.line([(middle - 0.3, mean), (middle + 0.3, mean)], Pen::new(colour, 2.2 + extra));
            }
        }
        let text = format!("{title}: σ {}", number(deviations.exp(), 3));
        panel.text((0.0, high), (0.0, -18.0), Side::Right, Ink::new(INK).plain().bold(), text.as_str());
        words.push(text);
        panels.push(panel);
    }
    let alt = format!(
        "The votes for {} parents, and the geometric mean of each one's deviations: {}.",
        parents.len(),
        words.join("; ")
    );
    let first = panels.remove(0).alt(alt);
    first.finish_with(&panels)
}
