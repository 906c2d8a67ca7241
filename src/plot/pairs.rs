//! Every pair of columns against each other, with each cluster's density on the diagonal.

use ndarray::{Array1, Array2};

use super::chart::{Axis, Chart, GREY, INK, Ink, Pen, Point, Side};
use super::plane::{check_labels, check_samples, padded, stride};
use super::{Figure, colour};
use crate::error::{Error, Result};

/// The most columns that leave a panel large enough to read.
const MOST_COLUMNS: usize = 8;

/// Discs in a figure at most, so that it stays small.
const MOST_DISCS: usize = 9000;

/// Each pair of columns as a scatter plot, and on the diagonal the density of each cluster along one column: a d x d grid.
///
/// `data` are the samples (n x d, d at most 8), `names` their columns with units (d), `labels` the cluster of each sample
/// (n), `clusters` the clusters' names (one for each label; empty: "cluster 0", "cluster 1", …). Densities are Gaussian
/// kernel estimates (Scott's bandwidth: standard deviation times n_k^(-1/5)), each as high as its cluster's share; their
/// height has no scale. Of more samples than fit in a figure every so manieth is drawn, but all of them make the densities.
///
/// # Errors
///
/// Returns an error if there are no samples, more than 8 columns or more than 200 clusters, if a number is not finite or
/// beyond 1e130, if names or labels are too few or too many, and if the panels hold more than a figure can.
pub fn pair_plot(
    data: &Array2<f64>,
    names: &[&str],
    labels: &Array1<usize>,
    clusters: &[&str],
) -> Result<Figure> {
    check_samples(data)?;
    let d = data.ncols();
    if d > MOST_COLUMNS {
        let (name, expected) = ("the number of columns", "at most 8");
        return Err(Error::Setting { name, expected, value: d as f64 });
    }
    if names.len() != d {
        return Err(Error::Length { name: "names", expected: d, found: names.len() });
    }
    let count = check_labels(data, labels)?;
    if !clusters.is_empty() && clusters.len() < count {
        return Err(Error::Length { name: "clusters", expected: count, found: clusters.len() });
    }
    let called =
        |k: usize| clusters.get(k).map_or_else(|| format!("cluster {k}"), |name| (*name).to_string());
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (i, &label) in labels.iter().enumerate() {
        members[label].push(i);
    }

    const LEFT: f64 = 66.0;
    const TOP: f64 = 46.0;
    const GAP: f64 = 12.0;
    let side = ((860.0 - LEFT - GAP * d as f64) / d as f64).min(240.0).floor();
    let total = side * d as f64 + GAP * (d as f64 - 1.0);
    let size = ((LEFT + total + 22.0) as u32, (TOP + total + 58.0) as u32);
    let ranges: Vec<(f64, f64)> =
        data.columns().into_iter().map(|c| padded(c.iter().copied(), 0.1)).collect();
    let densities: Vec<Vec<Vec<Point>>> = (0..d)
        .map(|column| {
            members
                .iter()
                .map(|rows| {
                    let values: Vec<f64> = rows.iter().map(|&row| data[(row, column)]).collect();
                    density(&values, ranges[column], values.len() as f64 / labels.len() as f64)
                })
                .collect()
        })
        .collect();

    let every = stride(data.nrows(), MOST_DISCS / (d * (d - 1)).max(1));
    let radius = if data.nrows() / every > 400 { 1.8 } else { 2.4 };
    let mut panels = Vec::with_capacity(d * d);
    for row in 0..d {
        for column in 0..d {
            let axis = |k: usize, shown: bool| {
                let axis = Axis::new(names[k], ranges[k].0, ranges[k].1).most(5);
                if shown { axis } else { axis.bare() }
            };
            let place = (LEFT + (side + GAP) * column as f64, TOP + (side + GAP) * row as f64);
            let mut panel = Chart::new("pair-plot", size, axis(column, row + 1 == d), axis(row, column == 0))
                .panel(place, (side, side));
            if row == column {
                draw_densities(&mut panel, &densities[row], ranges[row]);
            } else {
                for (k, rows) in members.iter().enumerate() {
                    let shown = rows.iter().filter(|&&i| i % every == 0);
                    panel.scatter(
                        shown.map(|&i| (data[(i, column)], data[(i, row)])),
                        radius,
                        colour(k),
                        1.0,
                    );
                }
            }
            panels.push(panel);
        }
    }
    let mut first = panels.remove(0);
    let end = first.at_pixel(LEFT + total, 22.0);
    let grey = Ink::new(GREY).plain().size(12.5);
    let note = if d > 2 { "on the diagonal: each cluster's density" } else { "" };
    first.text(end, (0.0, 0.0), Side::Left, grey, note);
    let room = if d > 2 { 250.0 } else { 0.0 };
    legend(&mut first, (LEFT, 22.0), &members, called, f64::from(size.0) - room);
    let shares: Vec<String> =
        members.iter().enumerate().map(|(k, rows)| format!("{} of {}", rows.len(), called(k))).collect();
    let alt = format!(
        "Each pair of {} as a scatter plot, with the density of each cluster on the diagonal: {}.",
        names.join(", "),
        shares.join(", ")
    );
    first.alt(alt).finish_with(&panels)
}

/// A disc and a name for each cluster that has samples, in a row; what does not fit is left out with an ellipsis.
fn legend(
    chart: &mut Chart,
    (left, y): (f64, f64),
    members: &[Vec<usize>],
    called: impl Fn(usize) -> String,
    width: f64,
) {
    let ink = Ink::new(INK).plain();
    let mut x = left + 6.0;
    for k in (0..members.len()).filter(|&k| !members[k].is_empty()) {
        let text = format!("{} ({})", called(k), members[k].len());
        let room = 34.0 + 7.2 * text.chars().count() as f64;
        let at = chart.at_pixel(x, y);
        if x + room > width - 24.0 {
            chart.text(at, (0.0, 0.0), Side::Right, ink, "…");
            return;
        }
        chart.dot(at, 5.0, colour(k));
        chart.text(at, (12.0, 0.0), Side::Right, ink, text);
        x += room;
    }
}

/// The densities of all clusters along a column, scaled to their panel.
fn draw_densities(panel: &mut Chart, densities: &[Vec<Point>], (low, high): (f64, f64)) {
    let highest = densities.iter().flatten().map(|point| point.1).fold(0.0, f64::max);
    if highest <= 0.0 {
        return;
    }
    let up = |share: f64| low + 0.92 * (high - low) * share / highest;
    for (k, density) in densities.iter().enumerate().filter(|(_, density)| !density.is_empty()) {
        let line: Vec<Point> = density.iter().map(|&(x, y)| (x, up(y))).collect();
        let foot = [(line[line.len() - 1].0, low), (line[0].0, low)];
        panel.area(line.iter().copied().chain(foot), colour(k), 0.22);
    }
    for (k, density) in densities.iter().enumerate() {
        panel.line(density.iter().map(|&(x, y)| (x, up(y))), Pen::new(colour(k), 1.8));
    }
    panel.line([(low, low), (high, low)], Pen::new(GREY, 1.0));
}

/// A kernel estimate of the density of some numbers over a range, times `share`; none for fewer than two different ones.
fn density(values: &[f64], (low, high): (f64, f64), share: f64) -> Vec<Point> {
    const PLACES: usize = 120;
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    // Not narrower than a place, so that equal values still show.
    let bandwidth = (variance.sqrt() * n.powf(-0.2)).max(1.5 * (high - low) / PLACES as f64);
    if values.len() < 2 || !bandwidth.is_finite() {
        return Vec::new();
    }
    let scale = share / (n * bandwidth * (2.0 * std::f64::consts::PI).sqrt());
    // Very many values count by bins, five to a place: narrower than a seventh of the bandwidth.
    const BINS: usize = 5 * PLACES;
    let kernels: Vec<(f64, f64)> = if values.len() <= 2 * BINS {
        values.iter().map(|&value| (value, 1.0)).collect()
    } else {
        let mut counts = [0.0; BINS];
        for value in values {
            let place = (value - low) / (high - low) * BINS as f64;
            counts[(place as usize).min(BINS - 1)] += 1.0;
        }
        let middle = |bin: usize| low + (high - low) * (bin as f64 + 0.5) / BINS as f64;
        counts
            .into_iter()
            .enumerate()
            .map(|(bin, count)| (middle(bin), count))
            .filter(|bin| bin.1 > 0.0)
            .collect()
    };
    (0..=PLACES)
        .map(|i| {
            let x = low + (high - low) * i as f64 / PLACES as f64;
            let kernel =
                |&(value, count): &(f64, f64)| count * (-0.5 * ((x - value) / bandwidth).powi(2)).exp();
            (x, scale * kernels.iter().map(kernel).sum::<f64>())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_density_integrates_to_its_share() {
        let values: Vec<f64> = (0..50).map(|i| f64::from(i % 7)).collect();
        let density = density(&values, (-10.0, 16.0), 0.4);
        let step = 26.0 / 120.0;
        let integral: f64 = density.iter().map(|point| step * point.1).sum();
        assert!((integral - 0.4).abs() < 1e-3, "{integral}");
        assert!(super::density(&[1.0], (0.0, 2.0), 1.0).is_empty());
    }

    #[test]
    fn a_density_of_very_many_values_is_counted_in_bins_and_stays_the_same() {
        let few: Vec<f64> = (0..2000).map(|i| (i as f64).sin() + 0.1 * (0.7 * i as f64).cos()).collect();
        let many: Vec<f64> = few.iter().flat_map(|&value| [value; 3]).collect();
        let binned = density(&many, (-4.0, 4.0), 1.0);
        let n = many.len() as f64;
        let mean = many.iter().sum::<f64>() / n;
        let variance = many.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let bandwidth = variance.sqrt() * n.powf(-0.2);
        for &(x, height) in &binned {
            let kernels = many.iter().map(|value| (-0.5 * ((x - value) / bandwidth).powi(2)).exp());
            let exact = kernels.sum::<f64>() / (n * bandwidth * (2.0 * std::f64::consts::PI).sqrt());
            assert!((height - exact).abs() <= 2e-3, "at {x}: {height}, not {exact}");
        }
        let area = |density: &[Point]| density.iter().map(|point| point.1 * 8.0 / 120.0).sum::<f64>();
        assert!((area(&binned) - 1.0).abs() <= 1e-3, "{}", area(&binned));
    }
}
