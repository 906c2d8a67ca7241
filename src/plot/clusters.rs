//! Chapter 3: K-means at work in the plane, and clusterings side by side.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2};

use super::animate::shown_iterations;
use super::chart::{CARD, Chart, GREY, INK, Ink, Pen, Point, Side, number};
use super::mixtures::{check_mixture, ellipse};
use super::plane::{
    axes, centre, check_centres, check_labels, check_plane, check_steps, equal_units, haloed, points, ranges,
    stride,
};
use super::{Figure, NEUTRAL, animate, colour};
use crate::em::Fit;
use crate::error::{Error, Result};
use crate::gmm::Gmm;
use crate::kmeans::KMeans;

/// Seconds that a frame stays: each iteration has two.
const SECONDS: f64 = 1.0;

/// Iterations that are drawn of a long fit.
const MOST_ITERATIONS: usize = 12;

/// Samples that are drawn at most, so that the animation stays small.
const MOST_SAMPLES: usize = 1200;

/// K-means at work, two frames an iteration: each sample takes the colour of its nearest centroid (between which the
/// borders run), then each centroid moves to the mean of its samples, with its trail behind it.
///
/// `data` are samples in the plane (n x 2) and `fit` is one of theirs. Of a long fit the first iterations and some of the
/// others are shown, of more than 1200 samples every so manieth.
///
/// # Errors
///
/// Returns an error if there are no samples, if samples or centroids are not of two finite numbers within 1e130 of 0, and
/// if the fit has not kept its models ([`KMeansOptions::keep_models`](crate::kmeans::KMeansOptions::keep_models)), has no steps,
/// steps of different numbers of clusters or more than 200 clusters.
pub fn kmeans_animation(data: &Array2<f64>, fit: &Fit<KMeans>) -> Result<Figure> {
    check_plane(data)?;
    check_steps(fit)?;
    let models = fit.kept_models()?;
    check_centres("the centroids", models.iter().chain([fit.model()]).map(|model| &model.centroids))?;
    let labels: Vec<Array1<usize>> = shown_iterations(fit.iterations(), MOST_ITERATIONS)
        .iter()
        .map(|&t| models[t].predict(data))
        .collect::<Result<_>>()?;
    let shown = shown_iterations(fit.iterations(), MOST_ITERATIONS);
    let every = stride(data.nrows(), MOST_SAMPLES);
    let all = points(data);
    let samples: Vec<usize> = (0..all.len()).step_by(every).collect();
    let clusters = fit.model().centroids.nrows();
    let trail = |k: usize, t: usize| -> Vec<Point> {
        models[..=t].iter().map(|model| (model.centroids[(k, 0)], model.centroids[(k, 1)])).collect()
    };
    let starts = (0..clusters).flat_map(|k| trail(k, fit.iterations()));
    let (x, y) = ranges(&all.iter().copied().chain(starts).collect::<Vec<_>>());
    let (width, height) = equal_units(x, y, (640.0, 520.0));
    let still = |&i: &usize| labels.iter().all(|now| now[i] == labels[0][i]);
    let (still, moving): (Vec<usize>, Vec<usize>) = samples.into_iter().partition(still);

    let frame = |index: usize, moved: bool| -> Result<Figure> {
        let t = shown[index];
        let now = if moved { t + 1 } else { t };
        let (x_axis, y_axis) = axes(x, y);
        let size = (width as u32 + 96, height as u32 + 106);
        let inertia = -fit.objectives[t];
        let alt = format!(
            "{} samples and {clusters} centroids; after {t} iterations the inertia is {inertia:.2}.",
            all.len()
        );
        let mut chart = Chart::new("kmeans-animation", size, x_axis, y_axis).margins(72, 24, 50, 56).alt(alt);
        // What keeps its colour comes first: it is the same in all frames, so it is written once.
        for rows in [&still, &moving] {
            for k in 0..clusters {
                let members = rows.iter().filter(|&&i| labels[index][i] == k);
                chart.scatter(members.map(|&i| all[i]), 2.7, colour(k), 1.0);
            }
        }
        for border in borders(&models[t].centroids, x, y) {
            let faded = if moved { 0.35 } else { 1.0 };
            chart.line(border, Pen { opacity: faded, ..Pen::new(INK, 1.2).dashed(5.0, 4.0) });
        }
        for k in 0..clusters {
            let trail = trail(k, now);
            haloed(&mut chart, &trail, Pen::new(INK, 1.4));
            for &t in shown.iter().filter(|&&t| t < now) {
                chart.dot(trail[t], 2.6, INK);
            }
            if trail.len() > 1 {
                chart.dot(trail[0], 4.4, INK);
                chart.dot(trail[0], 2.8, CARD);
            }
        }
        for k in 0..clusters {
            let at = (models[now].centroids[(k, 0)], models[now].centroids[(k, 1)]);
            centre(&mut chart, at, k);
        }
        let ink = Ink::new(INK).plain().size(14.0);
        let last = t == fit.iterations();
        let title = if last { format!("after {t} iterations") } else { format!("iteration {}", t + 1) };
        let what = match (last, moved) {
            (true, _) if fit.converged => "nothing moves any more",
            (true, _) => "the fit stopped here",
            (_, false) => "each sample to its nearest centroid",
            (_, true) => "each centroid to the mean of its samples",
        };
        let end = 72.0 + width;
        chart.text(chart.at_pixel(72.0, 17.0), (0.0, 0.0), Side::Right, ink.bold(), title);
        chart.text(chart.at_pixel(72.0, 37.0), (0.0, 0.0), Side::Right, ink, what);
        let text = format!("inertia {}", number(inertia, 1));
        chart.text(chart.at_pixel(end, 17.0), (0.0, 0.0), Side::Left, ink.bold(), text);
        chart.finish()
    };
    let mut frames = Vec::with_capacity(2 * shown.len());
    for (index, &t) in shown.iter().enumerate() {
        frames.push(frame(index, false)?);
        if t < fit.iterations() {
            frames.push(frame(index, true)?);
        }
    }
    animate("kmeans-animation", &frames, SECONDS)
}

/// The borders between the cells of the centroids in the plane (Voronoi), each as its two ends in a box.
pub(crate) fn borders(centroids: &Array2<f64>, x: (f64, f64), y: (f64, f64)) -> Vec<[Point; 2]> {
    let place = |k: usize| (centroids[(k, 0)], centroids[(k, 1)]);
    let mut lines = Vec::new();
    for i in 0..centroids.nrows() {
        for j in i + 1..centroids.nrows() {
            let ((ax, ay), (bx, by)) = (place(i), place(j));
            // The points middle + t along are equally far from both; along is as long as the two are apart.
            let (middle, along) = (((ax + bx) / 2.0, (ay + by) / 2.0), (ay - by, bx - ax));
            let mut span = (f64::NEG_INFINITY, f64::INFINITY);
            // Keeps the t with slope t <= room.
            let mut keep = |slope: f64, room: f64| {
                if slope > 0.0 {
                    span.1 = span.1.min(room / slope);
                } else if slope < 0.0 {
                    span.0 = span.0.max(room / slope);
                } else if room < 0.0 {
                    span = (0.0, -1.0);
                }
            };
            for m in (0..centroids.nrows()).filter(|&m| m != i && m != j) {
                // Not nearer to m than to i: |p - a|^2 <= |p - c|^2, which is linear in t.
                let (cx, cy) = place(m);
                let slope = 2.0 * (along.0 * (cx - ax) + along.1 * (cy - ay));
                let room = cx * cx + cy * cy
                    - ax * ax
                    - ay * ay
                    - 2.0 * (middle.0 * (cx - ax) + middle.1 * (cy - ay));
                keep(slope, room);
            }
            keep(along.0, x.1 - middle.0);
            keep(-along.0, middle.0 - x.0);
            keep(along.1, y.1 - middle.1);
            keep(-along.1, middle.1 - y.0);
            if span.0 < span.1 && along != (0.0, 0.0) {
                let at = |t: f64| (middle.0 + t * along.0, middle.1 + t * along.1);
                lines.push([at(span.0), at(span.1)]);
            }
        }
    }
    lines
}

/// One way to cluster the samples, for [`clusterings`].
#[derive(Debug, Clone, Copy)]
pub struct Clustering<'a> {
    /// What it is called, as short as a heading.
    pub title: &'a str,
    /// The cluster of each sample (n).
    pub labels: &'a Array1<usize>,
    /// K-means, whose centroids and borders are drawn.
    pub kmeans: Option<&'a KMeans>,
    /// The mixture, of which the ellipses of one and two standard deviations are drawn.
    pub mixture: Option<&'a Gmm>,
}

/// The same samples clustered in several ways, side by side.
///
/// `data` are samples in the plane (n x 2). Colours agree where clusters do: each cluster takes the colour of that of the
/// first clustering with which it shares the most samples. Under each stands how many samples are in the same cluster as in
/// the first one.
///
/// # Errors
///
/// Returns an error if there are no samples, if they are not of two finite numbers within 1e130 of 0, if there are no
/// clusterings or more than four, if labels are too few or too many or name more than 200 clusters, and for a model of
/// other dimensions, of more than 200 clusters, or that is none.
pub fn clusterings(data: &Array2<f64>, clusterings: &[Clustering]) -> Result<Figure> {
    check_plane(data)?;
    if clusterings.is_empty() {
        return Err(Error::Empty { what: "clusterings" });
    }
    if clusterings.len() > 4 {
        let (name, expected) = ("the number of clusterings", "at most 4");
        return Err(Error::Setting { name, expected, value: clusterings.len() as f64 });
    }
    let mut most = 0;
    for clustering in clusterings {
        most = most.max(check_labels(data, clustering.labels)?);
        let kmeans = clustering.kmeans.map(|model| model.centroids.dim());
        let mixture = clustering.mixture.map(|model| model.means.dim());
        for (rows, columns) in [kmeans, mixture].into_iter().flatten() {
            most = most.max(rows);
            if columns != 2 {
                return Err(Error::Length { name: "a model in the plane", expected: 2, found: columns });
            }
        }
        if let Some(model) = clustering.kmeans {
            check_centres("the centroids", [&model.centroids])?;
        }
        if let Some(model) = clustering.mixture {
            check_mixture(model)?;
        }
    }
    let all = points(data);
    let every = stride(all.len(), 6000 / clusterings.len());
    let (x, y) = ranges(&all);
    const LEFT: f64 = 60.0;
    const GAP: f64 = 18.0;
    const TOP: f64 = 62.0;
    let count = clusterings.len() as f64;
    let room = ((880.0 - LEFT - GAP * count) / count).min(420.0);
    let (width, height) = equal_units(x, y, (room, 420.0));
    let size = ((LEFT + count * (width + GAP) + 6.0) as u32, (TOP + height + 58.0) as u32);
    let mut panels = Vec::with_capacity(clusterings.len());
    let mut words = Vec::new();
    for (index, clustering) in clusterings.iter().enumerate() {
        let place = (LEFT + index as f64 * (width + GAP), TOP);
        let (x_axis, y_axis) = axes(x, y);
        let (x_axis, y_axis) = (x_axis.most(6), y_axis.most(6));
        let y_axis = if index == 0 { y_axis } else { y_axis.bare() };
        let mut panel = Chart::new("clusterings", size, x_axis, y_axis).panel(place, (width, height));
        let (tints, same) = matched(clusterings[0].labels, clustering.labels, most);
        for (k, &tint) in tints.iter().enumerate() {
            let members = (0..all.len()).step_by(every).filter(|&i| clustering.labels[i] == k);
            panel.scatter(members.map(|i| all[i]), 2.3, colour(tint), 1.0);
        }
        if let Some(model) = clustering.kmeans {
            for border in borders(&model.centroids, x, y) {
                panel.line(border, Pen::new(INK, 1.2).dashed(5.0, 4.0));
            }
            for (k, centroid) in model.centroids.rows().into_iter().enumerate() {
                centre(&mut panel, (centroid[0], centroid[1]), tints[k]);
            }
        }
        if let Some(model) = clustering.mixture {
            for (k, mean) in model.means.rows().into_iter().enumerate() {
                for deviations in [1.0, 2.0] {
                    let ring = ellipse(model, k, deviations)?;
                    haloed(&mut panel, &ring, Pen::new(NEUTRAL, if deviations > 1.0 { 1.0 } else { 1.8 }));
                }
                centre(&mut panel, (mean[0], mean[1]), tints[k]);
            }
        }
        let ink = Ink::new(INK).plain();
        panel.text((x.0, y.1), (0.0, -38.0), Side::Right, ink.bold().size(14.0), clustering.title);
        let share = 100.0 * same as f64 / all.len() as f64;
        if index > 0 {
            let text = format!("{} % agree with the first", number(share, 1));
            panel.text((x.0, y.1), (0.0, -18.0), Side::Right, Ink::new(GREY).plain().size(12.5), text);
            words.push(format!("{} agrees on {share:.1} %", clustering.title));
        }
        panels.push(panel);
    }
    let alt = match words.is_empty() {
        true => format!("{} samples by cluster: {}.", all.len(), clusterings[0].title),
        false => {
            format!("{} samples by cluster; with {}: {}.", all.len(), clusterings[0].title, words.join("; "))
        }
    };
    let first = panels.remove(0);
    first.alt(alt).finish_with(&panels)
}

/// For each cluster of `labels` the one of `first` that it shares most with, each taken once, largest shares first; and how
/// many samples they share in all.
fn matched(first: &Array1<usize>, labels: &Array1<usize>, clusters: usize) -> (Vec<usize>, usize) {
    // Only the pairs that share a sample are kept: there are far fewer than pairs.
    let mut shared: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for (&other, &own) in first.iter().zip(labels) {
        *shared.entry((own, other)).or_default() += 1;
    }
    let mut order: Vec<((usize, usize), usize)> = shared.into_iter().collect();
    order.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let (mut tints, mut taken, mut same) = (vec![None; clusters], vec![false; clusters], 0);
    for ((own, other), count) in order {
        if tints[own].is_none() && !taken[other] {
            tints[own] = Some(other);
            taken[other] = true;
            same += count;
        }
    }
    // What shares nothing with what is left takes the colours that are left.
    let mut left = (0..clusters).filter(|&other| !taken[other]);
    (tints.into_iter().map(|tint| tint.or_else(|| left.next()).unwrap_or(0)).collect(), same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn borders_meet_where_three_cells_do() {
        let lines = borders(&array![[0.0, 0.0], [2.0, 0.0], [1.0, 2.0]], (-5.0, 5.0), (-5.0, 5.0));
        assert_eq!(lines.len(), 3);
        for line in &lines {
            // (1, 0.75) is as far from all three.
            assert!(line.iter().any(|&(x, y)| (x - 1.0).abs() < 1e-9 && (y - 0.75).abs() < 1e-9), "{line:?}");
        }
        assert!(borders(&array![[1.0, 1.0], [1.0, 1.0]], (0.0, 2.0), (0.0, 2.0)).is_empty());
    }

    #[test]
    fn long_fits_are_thinned_out_and_keep_their_ends() {
        assert_eq!(shown_iterations(3, 12), [0, 1, 2, 3]);
        for iterations in [13, 40, 300] {
            let shown = shown_iterations(iterations, 12);
            assert_eq!((shown[0], shown[1], shown[shown.len() - 1]), (0, 1, iterations));
            assert!(shown.len() <= 13 && shown.windows(2).all(|pair| pair[0] < pair[1]), "{shown:?}");
        }
    }

    #[test]
    fn clusters_take_the_colour_they_share_most_with() {
        assert_eq!(matched(&array![0, 0, 1, 1, 1], &array![1, 1, 0, 0, 1], 2), (vec![1, 0], 4));
    }
}
