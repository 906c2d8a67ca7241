//! Chapter 9: errors as they fall, what each setting does to them, and the activations that a network starts with.

use super::chart::{Axis, Chart, GREEN, GREY, INK, Ink, Pen, Point, Side, VERMILION, number};
use super::image::Rgb;
use super::plane::{extent, spread};
use super::{Figure, colour};
use crate::error::{Error, Result};

/// Shares of mistaken images over what was trained (images, steps or epochs: `x_title`), errors on a logarithmic axis.
///
/// Each curve has a name and its points (x, error), x rising and the error a share in [0, 1]. Curves of one name, such as the
/// seeds of a recipe, share a colour (from the seventh name on with dashes) and a label, which has the mean of their last errors.
/// An error of 0 lies on the lower edge.
///
/// # Errors
///
/// Returns an error if there are no curves or more than eight names, if a curve has no points, if x do not rise or reach
/// beyond 1e140, and if an error is outside [0, 1].
pub fn error_curves<N: AsRef<str>, P: AsRef<[(f64, f64)]>>(
    x_title: &str,
    curves: &[(N, P)],
) -> Result<Figure> {
    let curves: Vec<(&str, &[(f64, f64)])> =
        curves.iter().map(|(name, points)| (name.as_ref(), points.as_ref())).collect();
    if curves.is_empty() {
        return Err(Error::Empty { what: "curves" });
    }
    for (_, points) in &curves {
        if points.is_empty() {
            return Err(Error::Empty { what: "points of a curve" });
        }
        for (at, &(x, error)) in points.iter().enumerate() {
            if !(x.is_finite() && (at == 0 || x > points[at - 1].0)) {
                return Err(Error::Setting {
                    name: "x of a point",
                    expected: "finite, and more than the one before",
                    value: x,
                });
            }
            check_error(error)?;
        }
    }
    let mut names: Vec<&str> = Vec::new();
    for &(name, _) in &curves {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > 8 {
        let (name, expected) = ("the number of names", "at most 8");
        return Err(Error::Setting { name, expected, value: names.len() as f64 });
    }
    let last = |points: &[(f64, f64)]| points[points.len() - 1];
    let of = |name: &str| -> Vec<&[(f64, f64)]> {
        curves.iter().filter(|curve| curve.0 == name).map(|curve| curve.1).collect()
    };
    let labels: Vec<(f64, String)> = names
        .iter()
        .map(|name| {
            let ends: Vec<f64> = of(name).into_iter().map(|points| last(points).1).collect();
            let mean = ends.iter().sum::<f64>() / ends.len() as f64;
            let words = match ends.len() {
                1 => percent(mean),
                runs => format!("{}, mean of {runs}", percent(mean)),
            };
            (mean, words)
        })
        .collect();
    let words: Vec<String> =
        names.iter().zip(&labels).map(|(name, label)| format!("{name} ends at {}", label.1)).collect();

    let all = || curves.iter().flat_map(|curve| curve.1.iter());
    let y = error_axis(all().map(|point| point.1), "mistaken images");
    let range = y.range;
    let (from, to) = extent(all().map(|point| point.0));
    let pad = if to > from { 0.02 * (to - from) } else { 0.5 };
    let from = if from >= 0.0 { 0.0 } else { from };
    const SIZE: (u32, u32) = (820, 460);
    const RIGHT: u32 = 190;
    let mut chart = Chart::new("error-curves", SIZE, Axis::new(x_title, from - pad, to + pad), y)
        .margins(84, RIGHT, 20, 56)
        .alt(format!("Share of mistaken images over {x_title}: {}.", words.join("; ")));
    let place = |error: f64| on_error_axis(error, range);
    // a name whose colour another has is dashed
    let pen = |hue: usize, width: f64| match (0..hue).any(|at| colour(at) == colour(hue)) {
        true => Pen::new(colour(hue), width).dashed(5.0, 3.0),
        false => Pen::new(colour(hue), width),
    };
    for (hue, name) in names.iter().enumerate() {
        for points in of(name) {
            let line: Vec<Point> = points.iter().map(|&(x, error)| (x, place(error))).collect();
            chart.line(line.iter().copied(), pen(hue, 2.0));
            if line.len() <= 40 {
                chart.scatter(line.iter().copied(), 3.0, colour(hue), 1.0);
            }
            chart.disc(line[line.len() - 1], 4.2, colour(hue));
        }
    }
    let ends: Vec<Point> = names
        .iter()
        .zip(&labels)
        .map(|(name, label)| {
            (of(name).into_iter().map(|points| last(points).0).fold(from, f64::max), place(label.0))
        })
        .collect();
    let wanted: Vec<f64> = ends.iter().map(|&end| chart.pixel(end).1).collect();
    let left = f64::from(SIZE.0 - RIGHT);
    for (hue, top) in spread(&wanted, 40.0, (34.0, 380.0)).into_iter().enumerate() {
        let to = chart.at_pixel(left + 12.0, top);
        let start = chart.at_pixel(chart.pixel(ends[hue]).0.max(left - 10.0) + 8.0, wanted[hue]);
        chart.line_anywhere([start, to], pen(hue, 1.0));
        chart.text(to, (5.0, 0.0), Side::Right, Ink::new(colour(hue)).plain().bold(), names[hue]);
        let ink = Ink::new(GREY).plain().size(12.0);
        chart.text(to, (5.0, 16.0), Side::Right, ink, labels[hue].1.as_str());
    }
    chart.finish()
}

/// What a setting does to the error: a row for each, a dot for each of its runs, on a logarithmic axis. The first row is what
/// the others are read against: the band from its best run to its worst goes through all rows.
///
/// Each row has a name and its runs' errors, shares in [0, 1]; none for a run that diverged.
///
/// # Errors
///
/// Returns an error if there are no rows or more than forty, if a row has no runs, if all runs of the first row diverged, if
/// an error is outside [0, 1], and if the runs are more than a figure can hold.
pub fn ablation<N: AsRef<str>, R: AsRef<[Option<f64>]>>(rows: &[(N, R)]) -> Result<Figure> {
    let rows: Vec<(&str, &[Option<f64>])> =
        rows.iter().map(|(name, runs)| (name.as_ref(), runs.as_ref())).collect();
    if rows.is_empty() {
        return Err(Error::Empty { what: "rows" });
    }
    if rows.len() > 40 {
        let (name, expected) = ("the number of rows", "at most 40");
        return Err(Error::Setting { name, expected, value: rows.len() as f64 });
    }
    if rows.iter().any(|row| row.1.is_empty()) {
        return Err(Error::Empty { what: "runs of a row" });
    }
    rows.iter().flat_map(|row| row.1).flatten().try_for_each(|&error| check_error(error))?;
    let baseline: Vec<f64> = rows[0].1.iter().flatten().copied().collect();
    if baseline.is_empty() {
        return Err(Error::Empty { what: "runs of the first row that did not diverge" });
    }
    let (best, worst) = extent(baseline.iter().copied());
    let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len() as f64;
    let verdict = |errors: &[f64]| -> (Rgb, &str) {
        match mean(errors) {
            mean if mean > worst => (VERMILION, "worse"),
            mean if mean < best => (GREEN, "better"),
            _ => (GREY, "within the spread"),
        }
    };

    const ROW: f64 = 21.0;
    let letters = rows.iter().map(|row| row.0.chars().count()).max().unwrap_or(0);
    let left = (6.7 * letters as f64 + 26.0).clamp(90.0, 330.0);
    let count = rows.len() as f64;
    let wide = 820.0 - left - 110.0;
    let x = error_axis(rows.iter().flat_map(|row| row.1).flatten().copied(), "mistaken validation images");
    let (low, high) = x.range;
    let place = |error: f64| on_error_axis(error, (low, high));
    let mut words = Vec::new();
    let y = Axis::new("", 0.0, count).no_grid().ticks(Vec::new());
    let mut chart = Chart::new("ablation", (820, (ROW * count + 84.0) as u32), x, y)
        .panel((left, 22.0), (wide, ROW * count));
    let band = [place(best), place(worst)];
    chart.area([(band[0], 0.0), (band[1], 0.0), (band[1], count), (band[0], count)], INK, 0.10);
    let middle = place(mean(&baseline));
    chart.line([(middle, 0.0), (middle, count)], Pen::new(INK, 1.2).dashed(4.0, 4.0));
    for (index, (name, runs)) in rows.iter().enumerate() {
        let level = count - index as f64 - 0.5;
        let errors: Vec<f64> = runs.iter().flatten().copied().collect();
        let diverged = runs.len() - errors.len();
        let (hue, word) = match (index, errors.is_empty()) {
            (0, _) => (INK, "the spread that it is read against"),
            (_, true) => (VERMILION, "diverged"),
            _ => verdict(&errors),
        };
        let ink = Ink::new(INK).plain().size(12.5);
        let ink = if index == 0 { ink.bold() } else { ink };
        chart.text((low, level), (-10.0, 0.0), Side::Left, ink, *name);
        if index > 0 && !errors.is_empty() {
            chart.line([(middle, level), (place(mean(&errors)), level)], Pen::new(hue, 1.6));
        }
        for &error in &errors {
            chart.disc((place(error), level), 4.0, hue);
        }
        let mut text = if errors.is_empty() { String::new() } else { percent(mean(&errors)) };
        if diverged > 0 {
            let gap = if text.is_empty() { "" } else { ", " };
            text = format!(
                "{text}{gap}{}",
                if runs.len() == 1 { "diverged".into() } else { format!("{diverged} diverged") }
            );
        }
        words.push(format!("{name} {text}, {word}"));
        let ink = Ink::new(hue).plain().size(12.5);
        let ink = if index == 0 || hue != GREY { ink.bold() } else { ink };
        chart.text((high, level), (14.0, 0.0), Side::Right, ink, text);
    }
    chart.alt(format!("Mistaken images by setting: {}.", words.join("; "))).finish()
}

/// A layer's name, and the activation of each of its capsules.
pub type LayerActivations<'a> = (&'a str, &'a [f32]);

/// The activations of networks' layers: a row of panels for each network, and in each panel the share of the capsules in each
/// twentieth of [0, 1]. Above it stands how many are saturated: below 0.01 or above 0.99.
///
/// Each network has a name, and for each layer its name and the activations of its capsules, as many layers in all rows.
///
/// # Errors
///
/// Returns an error if there are no networks or more than four, no layers or more than five, if the networks differ in their
/// number of layers, and if a layer has no activations or one outside [0, 1].
pub fn activation_histograms(networks: &[(&str, &[LayerActivations])]) -> Result<Figure> {
    let columns = networks.first().map_or(0, |network| network.1.len());
    for (value, most, expected, what, name) in [
        (networks.len(), 4, "at most 4", "networks", "the number of networks"),
        (columns, 5, "at most 5", "layers", "the number of layers"),
    ] {
        if value == 0 {
            return Err(Error::Empty { what });
        }
        if value > most {
            return Err(Error::Setting { name, expected, value: value as f64 });
        }
    }
    for (_, layers) in networks {
        if layers.len() != columns {
            return Err(Error::Length { name: "a row of layers", expected: columns, found: layers.len() });
        }
        for (_, activations) in *layers {
            if activations.is_empty() {
                return Err(Error::Empty { what: "activations of a layer" });
            }
            if let Some(&value) = activations.iter().find(|a| !(0.0..=1.0).contains(*a)) {
                let (name, expected) = ("an activation", "from 0 to 1");
                return Err(Error::Setting { name, expected, value: f64::from(value) });
            }
        }
    }
    const BINS: usize = 20;
    const TOP: f64 = 62.0;
    const HEIGHT: f64 = 104.0;
    const PITCH: f64 = 172.0;
    let wide = 700.0 / columns as f64;
    let rows = networks.len();
    let size = (760, (TOP + PITCH * rows as f64) as u32);
    let mut panels: Vec<Chart> = Vec::new();
    let mut words = Vec::new();
    for (row, (network, layers)) in networks.iter().enumerate() {
        for (column, (layer, activations)) in layers.iter().enumerate() {
            let mut shares = [0.0; BINS];
            for &a in *activations {
                shares[((f64::from(a) * BINS as f64) as usize).min(BINS - 1)] +=
                    1.0 / activations.len() as f64;
            }
            let saturated = activations.iter().filter(|a| !(0.01..=0.99).contains(*a)).count();
            let saturated = 100.0 * saturated as f64 / activations.len() as f64;
            let most = extent(shares).1;
            let ticks = [(0.0, "0"), (0.5, "0.5"), (1.0, "1")].map(|(at, text)| (at, text.to_owned()));
            let x = Axis::new(if row + 1 == rows { "activation" } else { "" }, 0.0, 1.0);
            let x = x.no_grid().ticks(ticks.to_vec());
            let y = Axis::new("", 0.0, 1.08 * most).ticks(Vec::new());
            let left = 30.0 + column as f64 * (wide + 4.0);
            let top = TOP + row as f64 * PITCH;
            let mut panel =
                Chart::new("activation-histograms", size, x, y).panel((left, top), (wide - 14.0, HEIGHT));
            let hue = colour(row);
            for (bin, share) in shares.into_iter().enumerate().filter(|bin| bin.1 > 0.0) {
                let at = |bin: usize| bin as f64 / BINS as f64;
                panel.block((at(bin) + 0.003, 0.0), (at(bin + 1) - 0.003, share), hue);
            }
            let text = format!("{layer}: {} % saturated", number(saturated, 1));
            let ink = Ink::new(INK).plain().size(12.0);
            panel.text((0.0, 1.08 * most), (0.0, -11.0), Side::Right, ink, text);
            if column == 0 {
                let ink = Ink::new(hue).plain().bold().size(14.0);
                panel.text((0.0, 1.08 * most), (0.0, -34.0), Side::Right, ink, *network);
            }
            words.push(format!("{network}, {layer}: {saturated:.1} % saturated"));
            panels.push(panel);
        }
    }
    let first = panels.remove(0);
    first
        .alt(format!("How the activations of each layer are spread. {}.", words.join("; ")))
        .finish_with(&panels)
}

fn check_error(value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::Setting { name: "a share of mistaken images", expected: "from 0 to 1", value })
}

/// Where an error stands on an [`error_axis`] of this range; one of 0, which has no logarithm, at its lower end.
fn on_error_axis(error: f64, (low, high): (f64, f64)) -> f64 {
    error.max(1e-300).log10().clamp(low, high)
}

/// A logarithmic axis for shares of mistaken images, from a round share below the least that is not 0 to one above the
/// greatest, with ticks in percent. Its units are logarithms to base 10.
fn error_axis(errors: impl Iterator<Item = f64>, title: &str) -> Axis {
    let (least, greatest) = extent(errors.filter(|&error| error > 0.0));
    let (least, greatest) = if least <= greatest { (least, greatest) } else { (0.01, 0.01) };
    let (least, greatest) = (least.max(1e-6), greatest.max(1e-6));
    // ..., 0.1, 0.2, 0.5, 1: about as far from each other
    let rounds: Vec<f64> =
        (-7..=0).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power))).collect();
    let rounds = &rounds[..rounds.len() - 2]; // up to 1
    let below = rounds.iter().rposition(|&round| round < least * 0.97).unwrap_or(0);
    let above = rounds.iter().position(|&round| round > greatest * 1.03).unwrap_or(rounds.len() - 1);
    let ticks = rounds[below..=above].iter().map(|&round| {
        let digits = (1e6 * round).round() / 1e4; // 0.1, not 0.1000…01
        (round.log10(), format!("{digits} %"))
    });
    let ticks = ticks.collect();
    Axis::new(title, rounds[below].log10(), rounds[above].log10()).ticks(ticks)
}

/// A share in percent: two decimals below ten, one above.
fn percent(share: f64) -> String {
    let value = 100.0 * share;
    format!("{} %", number(value, if value < 9.995 { 2 } else { 1 }))
}
