//! Figures of chapter 3: K-means.

use ndarray::{Array1, Array2, ArrayView1, Axis as NdAxis, array, s};

pub use super::clusters::{Clustering, Objective, PictureRow, clusterings, objective_trace, pictures};
use super::clusters::{
    Course, Optimum, Rectangle, border_pen, borders, curves_over_counts, inertia_of, optima,
};
use super::{Entry, checks};
use crate::draw::{
    Axis, CARD, Chart, FRAME, Figure, GREY, Grid, INK, Ink, Label, Mark, Pen, Point, Side, Tint, animate,
    component, draw_regions, equal_units, extent, legend_row, letter, number, padded, ranges, stride,
    trimmed,
};
use crate::em::Fit;
use crate::error::{Error, Result};
use crate::gmm::{Gmm, GmmOptions};
use crate::kmeans::{KMeans, KMeansOptions, KMeansStart};
use crate::samples::{self, iris};

/// The chapter's reproducible figures.
pub const FIGURES: &[Entry] = &[
    ("iris-species", || {
        let title = "Iris: the species, pair by pair of measurements";
        let flowers = iris::measurements();
        Ok(pair_plot(title, &flowers, &IRIS_AXES, &iris::species(), &iris::SPECIES, ("", &[]))?
            .named("iris-species"))
    }),
    ("iris-pairs", iris_pairs),
    ("kmeans-start", || {
        let (samples, start) = (blobs(), KMeans { centroids: crowded_start() });
        let labels = &start.predict(&samples)?;
        let panel = Clustering { title: "the start", labels, kmeans: Some(&start), mixture: None };
        Ok(clusterings("K-means before its first iteration", &samples, &[panel])?.named("kmeans-start"))
    }),
    ("kmeans-animation", || kmeans_animation(&blobs(), &crowded_fit(&blobs())?)),
    ("kmeans-trace", || {
        let fits = kmeans_runs(&blobs(), 5, KMeansStart::RandomPoints, 30)?;
        let title = "Inertia by iteration from thirty random starts";
        Ok(objective_trace(title, &fits, Objective::Inertia)?.named("kmeans-trace"))
    }),
    ("kmeans-atlas", || {
        let (samples, _) = samples::five_blobs(100, 1);
        let fixed = array![[-3.6, 3.2], [0.2, 0.3]];
        atlas(&samples, &fixed, &kmeans_from_grid(&samples, &fixed, 100)?, 3.0)
    }),
    ("kmeans-elbow", kmeans_elbow),
    ("kmeans-failure", kmeans_failure),
];

/// The columns of iris with their units, for the axes.
const IRIS_AXES: [&str; 4] =
    ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"];

fn iris_pairs() -> Result<Figure> {
    let (flowers, species) = (iris::measurements(), iris::species());
    let fit = KMeans::fit(&flowers, &KMeansOptions { clusters: 3, restarts: 5, ..one_thread() })?;
    let labels = in_order_of_appearance(&fit.model().predict(&flowers)?);
    let elsewhere: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] != species[i]).collect();
    let (title, names) = ("Iris: the clusters that K-means finds", ["cluster 0", "cluster 1", "cluster 2"]);
    Ok(pair_plot(title, &flowers, &IRIS_AXES, &labels, &names, ("not in its species' cluster", &elsewhere))?
        .named("iris-pairs"))
}

fn kmeans_elbow() -> Result<Figure> {
    let (flowers, counts) = (iris::measurements(), Vec::from_iter(1..=9));
    let inertia = |&clusters: &usize| {
        let fit = KMeans::fit(&flowers, &KMeansOptions { clusters, restarts: 10, ..one_thread() })?;
        Ok(-fit.objective())
    };
    elbow(&counts, &counts.iter().map(inertia).collect::<Result<Vec<f64>>>()?, "cm²", 3)
}

fn kmeans_failure() -> Result<Figure> {
    let (samples, drawn) = samples::three_stripes(450, 2);
    let kmeans = KMeans::fit(&samples, &KMeansOptions { clusters: 3, restarts: 5, ..one_thread() })?;
    let options =
        GmmOptions { components: 3, restarts: 5, regularisation: 0.0, threads: 1, ..Default::default() };
    let mixture = Gmm::fit(&samples, &options)?;
    let (hard, soft) = (kmeans.model().predict(&samples)?, mixture.model().predict(&samples)?);
    let truth = Clustering { title: "true clusters", labels: &drawn, kmeans: None, mixture: None };
    let panels = [
        truth,
        Clustering { title: "K-means", labels: &hard, kmeans: Some(kmeans.model()), ..truth },
        Clustering { title: "Gaussian mixture", labels: &soft, mixture: Some(mixture.model()), ..truth },
    ];
    Ok(clusterings("Where K-means fails: long clusters", &samples, &panels)?.named("kmeans-failure"))
}

fn blobs() -> Array2<f64> {
    samples::five_blobs(400, 1).0
}

/// Five starting centroids, all in one corner of [`samples::five_blobs`].
fn crowded_start() -> Array2<f64> {
    array![[-5.6, -4.2], [-5.2, -1.2], [-3.8, -3.8], [-2.6, -2.4], [-3.4, -0.8]]
}

/// Options with one thread: on small data, more threads would only wait for each other.
fn one_thread() -> KMeansOptions {
    KMeansOptions { threads: 1, ..Default::default() }
}

/// Runs K-means on [`samples::five_blobs`] from five centroids in one corner. The fit keeps its models.
///
/// # Errors
///
/// Returns the errors of [`KMeans::fit`].
pub fn crowded_fit(samples: &Array2<f64>) -> Result<Fit<KMeans>> {
    let start = KMeansStart::Given(crowded_start());
    KMeans::fit(samples, &KMeansOptions { clusters: 5, start, keep_models: true, ..one_thread() })
}

/// Runs K-means `runs` times, each from a different start (seeds 0, 1, …).
///
/// # Errors
///
/// Returns the errors of [`KMeans::fit`].
pub fn kmeans_runs(
    samples: &Array2<f64>,
    clusters: usize,
    start: KMeansStart,
    runs: usize,
) -> Result<Vec<Fit<KMeans>>> {
    let options = KMeansOptions { clusters, start, ..one_thread() };
    (0..runs as u64).map(|seed| KMeans::fit(samples, &KMeansOptions { seed, ..options.clone() })).collect()
}

/// Renumbers labels by first appearance: the first sample's cluster becomes 0, the next new one 1, and so on.
pub fn in_order_of_appearance(labels: &Array1<usize>) -> Array1<usize> {
    let mut seen: Vec<usize> = Vec::new();
    labels.mapv(|label| {
        seen.iter().position(|&other| other == label).unwrap_or_else(|| {
            seen.push(label);
            seen.len() - 1
        })
    })
}

/// Draws a d x d grid of panels: scatter plots of all pairs of columns, and on the diagonal each cluster's density
/// along one column.
///
/// `data` are the samples (n x d, d at most 8), `names` the columns with units (d), `labels` the cluster of each sample
/// (n), and `clusters` the names of the clusters. The samples in `rimmed` get a rim in the panels below the diagonal;
/// `meaning` explains the rim in the legend. Densities are Gaussian kernel estimates (Scott's bandwidth: standard deviation
/// times n_k^(-1/5)), scaled by the cluster's share of the samples; their height has no scale. Of large data the
/// scatter plots show every n-th sample, and below the diagonal each with a rim; all samples enter the densities.
///
/// # Errors
///
/// Returns an error if there are no samples, more than 8 columns or more than 200 clusters, if a number is not finite or
/// beyond 1e130, if there are too few or too many names or labels, if `rimmed` names a missing sample, or if the figure
/// would be too large.
pub fn pair_plot(
    title: &str,
    data: &Array2<f64>,
    names: &[&str],
    labels: &Array1<usize>,
    clusters: &[&str],
    (meaning, rimmed): (&str, &[usize]),
) -> Result<Figure> {
    checks::samples(data)?;
    let (n, d) = data.dim();
    checks::at_most("the number of columns", d, 8, "at most 8")?;
    checks::length("names", d, names.len())?;
    let count = checks::labels(data, labels)?;
    checks::length("clusters", count, clusters.len().min(count))?;
    let farthest = rimmed.iter().max().map_or(0, |sample| sample.saturating_add(1));
    checks::at_most("a rimmed sample", farthest, n, "the index of a sample")?;
    let mut with_rim = vec![false; n];
    rimmed.iter().for_each(|&sample| with_rim[sample] = true);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); count];
    labels.iter().enumerate().for_each(|(i, &label)| members[label].push(i));

    let side = ((860.0 - 66.0 - 12.0 * d as f64) / d as f64).min(240.0).floor();
    let grid = Grid { columns: d, panel: (side, side), gap: (12.0, 12.0), origin: (66.0, 46.0) };
    let mut chart = grid.canvas("pair-plot", title, d * d, (22.0, 58.0), 1);
    let every = stride(n, 9000 / (d * (d - 1)).max(1));
    let radius = if n / every > 400 { 1.8 } else { 2.4 };
    let axis = |k: usize, shown: bool| {
        let (low, high) = padded(data.column(k).iter().copied(), 0.1);
        let axis = Axis::new(names[k], low, high).most(5);
        if shown { axis } else { axis.bare() }
    };
    for index in 0..d * d {
        let (row, column) = (index / d, index % d);
        let (x, y) = (axis(column, row + 1 == d), axis(row, column == 0));
        let mut panel = chart.panel(grid.corner(index), grid.panel, x, y);
        let at = |i: usize| (data[(i, column)], data[(i, row)]);
        if row == column {
            draw_densities(&mut panel, data.column(row), &members);
        } else {
            let has_rim = |i: usize| row > column && with_rim[i];
            (0..n).filter(|&i| has_rim(i)).for_each(|i| panel.dot(at(i), radius + 1.0, INK));
            for (k, rows) in members.iter().enumerate() {
                let shown = rows.iter().filter(|&&i| i % every == 0 || has_rim(i));
                panel.scatter(shown.map(|&i| at(i)), radius, component(k), 1.0);
            }
        }
        chart.add(panel);
    }
    let seen = (0..count).filter(|&k| !members[k].is_empty());
    let words: Vec<(usize, String)> =
        seen.map(|k| (k, format!("{} ({})", clusters[k], members[k].len()))).collect();
    let mut alt = format!(
        "{d} x {d} panels of dots in the colours of their groups, on the diagonal density curves: {}.",
        words.iter().map(|word| word.1.as_str()).collect::<Vec<_>>().join(", ")
    );
    let right = 54.0 + (side + 12.0) * d as f64 - if d > 2 { 190.0 } else { 0.0 };
    let mut entries: Vec<(Mark, String)> =
        words.into_iter().map(|(k, word)| (Mark::Dot(component(k)), word)).collect();
    if !rimmed.is_empty() {
        let rims = format!("{meaning} ({})", rimmed.len());
        alt += &format!(" Below the diagonal rims mark those {rims}.");
        entries.push((Mark::Ring(INK), rims));
    }
    legend_row(&mut chart, (67.0, 22.0), right, entries);
    if d > 2 {
        let grey = Ink::new(GREY).plain().size(12.5);
        let note = "on the diagonal: densities";
        chart.text((right + 190.0, -22.0), (0.0, 0.0), Side::Left, grey, note);
    }
    chart.alt(alt).finish()
}

/// Draws the densities of all clusters along a column, scaled to the panel.
fn draw_densities(panel: &mut Chart, column: ArrayView1<f64>, members: &[Vec<usize>]) {
    let (low, high) = padded(column.iter().copied(), 0.1);
    let of = |rows: &Vec<usize>| density(&column.select(NdAxis(0), rows), (low, high), column.len());
    let densities: Vec<Vec<Point>> = members.iter().map(of).collect();
    let highest = densities.iter().flatten().map(|point| point.1).fold(1e-300, f64::max);
    let up = |&(x, share): &Point| (x, low + 0.92 * (high - low) * share / highest);
    for (k, density) in densities.iter().enumerate().filter(|(_, density)| !density.is_empty()) {
        let feet = [(high, low), (low, low)];
        panel.area(density.iter().map(up).chain(feet), component(k), 0.22);
        panel.line(density.iter().map(up), Pen::new(component(k), 1.8));
    }
    panel.line([(low, low), (high, low)], Pen::new(GREY, 1.0));
}

/// The kernel density estimate of a cluster's `values` among `total` samples; empty for fewer than two values.
fn density(values: &Array1<f64>, (low, high): (f64, f64), total: usize) -> Vec<Point> {
    const PLACES: usize = 100;
    // Values are binned, five bins per position; a bin is narrower than a seventh of the bandwidth.
    const BINS: usize = 5 * PLACES;
    if values.len() < 2 {
        return Vec::new();
    }
    let along = |share: f64| low + (high - low) * share;
    let mut counts = [0.0; BINS];
    for value in values {
        counts[(((value - low) / (high - low) * BINS as f64) as usize).min(BINS - 1)] += 1.0;
    }
    // The bandwidth is at least 1.5 positions, so that a cluster of equal values is still visible.
    let scott = values.std(1.0) * (values.len() as f64).powf(-0.2);
    let bandwidth = scott.max(1.5 * (high - low) / PLACES as f64);
    let scale = 1.0 / (total as f64 * bandwidth * (2.0 * std::f64::consts::PI).sqrt());
    let height = |x: f64| -> f64 {
        let kernel = |(bin, count): (usize, &f64)| {
            let from = (x - along((bin as f64 + 0.5) / BINS as f64)) / bandwidth;
            if *count > 0.0 { scale * count * (-0.5 * from * from).exp() } else { 0.0 }
        };
        counts.iter().enumerate().map(kernel).sum()
    };
    (0..=PLACES).map(|i| along(i as f64 / PLACES as f64)).map(|x| (x, height(x))).collect()
}

/// Animates K-means with two frames per iteration. First each sample takes the colour of its nearest centroid, with borders
/// between the clusters; then each centroid moves to the mean of its samples, leaving its path behind.
///
/// `data` are samples in the plane (n x 2), `fit` a fit to these samples. Long fits show the first iterations and a
/// selection of the others; of more than 1200 samples, every n-th is drawn.
///
/// # Errors
///
/// Returns an error if there are no samples, if samples or centroids are not points in the plane within 1e130 of 0, or if
/// the fit has not kept its models ([`KMeansOptions::keep_models`]), has no steps, changes its number of clusters, has more
/// than 200 clusters, or has an objective that is not finite.
pub fn kmeans_animation(data: &Array2<f64>, fit: &Fit<KMeans>) -> Result<Figure> {
    let course = Course::new(data, fit, |model| &model.centroids, |model| Ok(model.predict(data)?.to_vec()))?;
    let (models, last) = (fit.kept_models()?, fit.iterations());
    let name = ("kmeans-animation", "K-means at work: nearest centroid, mean, and again");
    let mut frames = Vec::new();
    for (index, &t) in course.shown.iter().enumerate() {
        for &moved in if t < last { &[false, true][..] } else { &[false] } {
            let title =
                if t == last { format!("after {t} iterations") } else { format!("iteration {}", t + 1) };
            let what = match (t == last, moved) {
                (true, _) if fit.converged => "no centroid moves any more",
                (true, _) => "the fit stopped here",
                (_, false) => "each sample to its nearest centroid",
                (_, true) => "each centroid to the mean of its samples",
            };
            let labels = models[t].predict(data)?;
            let now = t + usize::from(moved);
            let inertia = format!("inertia {}", number(inertia_of(data, &labels, &models[now].centroids), 1));
            let mut chart = course.chart(name, index, component, (title, what, inertia.clone()));
            let pen = border_pen().faded(if moved { 0.35 } else { 1.0 });
            let borders = borders(&models[t].centroids, course.x, course.y);
            borders.into_iter().for_each(|ends| chart.line(ends, pen));
            course.draw_paths(&mut chart, now, |_| INK);
            for (k, path) in course.paths.iter().enumerate() {
                let between = course.shown.iter().filter(|&&step| 0 < step && step < now);
                between.for_each(|&step| chart.dot(path[step], 2.6, INK));
                chart.centre(path[now], component(k));
            }
            let alt = format!(
                "Points in the colours of {} centroids, with dashed borders between them. Paths run from hollow rings \
                 to the centroids in {last} iterations. Final {inertia}.",
                course.paths.len()
            );
            frames.push(chart.alt(alt).finish()?);
        }
    }
    animate("kmeans-animation", &frames, 1.0)
}

/// Draws the inertia over the number of clusters. Beyond the elbow, more clusters bring little.
///
/// `counts` are the numbers of clusters in increasing order, `inertias` one value for each, and `unit` their unit
/// ("cm²"). The `chosen` count is marked, with how much the inertia falls from the count before and to the count after.
/// With at most ten counts, the values are written beside the points.
///
/// # Errors
///
/// Returns an error if there are no counts, if they do not increase or lack `chosen`, if there are too few or too many
/// inertias, or if an inertia is not finite or beyond 1e140.
pub fn elbow(counts: &[usize], inertias: &[f64], unit: &str, chosen: usize) -> Result<Figure> {
    let title = ("kmeans-elbow", "Inertia over the number of clusters");
    let y = format!("inertia ({unit})");
    let curves = [("inertia", inertias.to_vec())];
    let mut chart = curves_over_counts(title, counts, &curves, ("number of clusters K", &y), 40)?;
    let Some(at) = counts.iter().position(|&count| count == chosen) else {
        return Err(Error::Setting { name: "chosen", expected: "one of the counts", value: chosen as f64 });
    };
    let largest = extent(inertias.iter().copied()).1.abs().max(1e-9);
    let value = |inertia: f64| number(inertia, (2 - largest.log10().floor() as i32).clamp(0, 6) as usize);
    let place = |index: usize| (counts[index] as f64, inertias[index]);
    let ink = Ink::new(component(0)).size(12.5);
    for index in (0..counts.len()).filter(|_| counts.len() <= 10) {
        let last = index + 1 == counts.len();
        let offset = (
            if last {
                0.0
            } else if index == at {
                15.0
            } else {
                9.0
            },
            -12.0,
        );
        chart.label(place(index), offset, ink, value(inertias[index]));
    }
    chart.ring(place(at), 8.0, component(1));
    chart.dot(place(at), 4.0, component(0));
    let (x, y) = chart.pixel(place(at));
    let top = (34.0 - y).max(-128.0);
    chart.line([y - 11.0, y + top + 50.0].map(|y| chart.at_pixel(x, y)), Pen::new(component(1), 1.2));
    let note = Ink::new(component(1)).bold();
    chart.text(place(at), (0.0, top), Side::Middle, note, format!("K = {chosen}"));
    let mut alt = format!("A falling curve with a ring at K = {chosen}");
    for pair in at.saturating_sub(1)..(at + 1).min(counts.len() - 1) {
        let change = value(inertias[pair + 1] - inertias[pair]);
        let text = format!("from {} to {}: {change} {unit}", counts[pair], counts[pair + 1]);
        alt += &format!("; {text}");
        let down = top + if pair < at { 19.0 } else { 38.0 };
        chart.text(place(at), (0.0, down), Side::Middle, Ink::new(INK), text);
    }
    chart.alt(alt + ".").finish()
}

/// Draws errors over the number of clusters, which has a logarithmic axis.
///
/// `counts` are the numbers of clusters in increasing order; each curve has a name and one error for each count. `unit` is
/// the title of the axis of errors, which starts at 0.
///
/// # Errors
///
/// Returns an error if there are fewer than two counts, if they do not increase from 1 or more, if there are no curves or
/// more than six, if a curve has a different length, or if an error is negative, not finite or beyond 1e130.
pub fn errors_by_clusters(counts: &[usize], curves: &[(&str, &[f64])], unit: &str) -> Result<Figure> {
    checks::not_empty("curves", curves)?;
    checks::at_most("the number of curves", curves.len(), 6, "at most 6")?;
    if counts.len() < 2 {
        return Err(Error::Length { name: "the numbers of clusters", expected: 2, found: counts.len() });
    }
    let pairs = std::iter::once((0, counts[0])).chain(counts.windows(2).map(|pair| (pair[0], pair[1])));
    if let Some((_, now)) = pairs.into_iter().find(|(before, now)| before >= now) {
        let (name, expected) = ("a number of clusters", "larger than the one before");
        return Err(Error::Setting { name, expected, value: now as f64 });
    }
    for (_, errors) in curves {
        checks::length("a curve", counts.len(), errors.len())?;
        if let Some(&value) = errors.iter().find(|error| !(0.0..=1e130).contains(*error)) {
            return Err(Error::Setting { name: "an error", expected: "from 0 to 1e130", value });
        }
    }
    let (_, highest) = extent(curves.iter().flat_map(|(_, errors)| errors.iter().copied()));
    let places: Vec<f64> = counts.iter().map(|&count| (count as f64).log10()).collect();
    let (first, last) = (places[0], places[places.len() - 1]);
    let room = 0.03 * (last - first);
    // a tick at each count, unless there are many
    let every = counts.len().div_ceil(12);
    let mut ticks: Vec<(f64, String)> = Vec::new();
    for (&at, count) in places.iter().zip(counts).step_by(every) {
        // not so close to the one before that their numbers would overlap
        if ticks.last().is_none_or(|before| at - before.0 > 0.06 * (last - first)) {
            ticks.push((at, count.to_string()));
        }
    }
    let x = Axis::new("number of clusters K", first - room, last + room).ticks(ticks);
    let y = Axis::new(unit, 0.0, if highest > 0.0 { 1.1 * highest } else { 1.0 });
    let longest = curves.iter().map(|curve| curve.0.chars().count()).max().unwrap_or(0).clamp(6, 30);
    let right = 40 + 8 * longest as u32;
    let title = "The error over the number of clusters";
    let mut chart =
        Chart::new("errors-by-clusters", title, (640 + right, 400), x, y).margins(84, right, 20, 56);
    let mut labels = Vec::new();
    for (index, (name, errors)) in curves.iter().enumerate() {
        let line: Vec<Point> = places.iter().copied().zip(errors.iter().copied()).collect();
        chart.marked(&line, component(index), 2.2, 4.0);
        let note = String::new();
        labels.push(Label {
            at: errors[errors.len() - 1],
            tint: component(index),
            text: name.to_string(),
            note,
        });
    }
    chart.labels(&labels, true);
    let value = |error: f64| trimmed(error, 3);
    let word = |(name, errors): &(&str, &[f64])| {
        format!("{name} from {} to {}", value(errors[0]), value(errors[errors.len() - 1]))
    };
    let words: Vec<String> = curves.iter().map(word).collect();
    let alt =
        format!("Curves over {} to {} clusters: {}.", counts[0], counts[counts.len() - 1], words.join("; "));
    chart.alt(alt).finish()
}

/// Runs K-means from a grid of starts: the `fixed` centroids (m x 2), plus one at the centre of each of `side` x `side`
/// cells over the `samples` (n x 2). x varies fastest, lowest y first.
///
/// # Errors
///
/// Returns the errors of [`KMeans::fit`], and an error if samples or fixed centroids are missing or not points in the plane
/// within 1e130 of 0, or for more than 100,000 cells.
pub fn kmeans_from_grid(samples: &Array2<f64>, fixed: &Array2<f64>, side: usize) -> Result<Vec<Fit<KMeans>>> {
    checks::plane(samples)?;
    checks::centres("the fixed centroids", [fixed])?;
    checks::at_most("the number of cells", side.saturating_mul(side), 100_000, "at most 100000")?;
    let (x, y) = ranges(&checks::points(samples));
    let middle = |(low, high): (f64, f64), i: usize| low + (high - low) * (i as f64 + 0.5) / side as f64;
    let clusters = fixed.nrows() + 1;
    let fit = |cell: usize| {
        let mut start = Array2::zeros((clusters, 2));
        start.slice_mut(s![..clusters - 1, ..]).assign(fixed);
        start.row_mut(clusters - 1).assign(&array![middle(x, cell % side), middle(y, cell / side)]);
        KMeans::fit(samples, &KMeansOptions { clusters, start: KMeansStart::Given(start), ..one_thread() })
    };
    (0..side * side).map(fit).collect()
}

/// The maximum number of optima with separate colours in an [`atlas`].
const MOST_OPTIMA: usize = 6;

/// The share of the card's colour mixed into each optimum's colour, so that neighbours also differ in greyscale.
const SHADES: [f64; MOST_OPTIMA + 1] = [0.15, 0.38, 0.6, 0.25, 0.5, 0.7, 0.38];

/// Draws a map of the starts, each coloured by the optimum to which it leads. Samples and fixed centroids lie on the
/// map. Small pictures beside the map show each optimum.
///
/// `samples` (n x 2) and `fixed` (m x 2) are in the plane; `fits` come from [`kmeans_from_grid`]. An optimum holds the fits
/// whose inertias are within `same` of its best one; the best optimum takes the first colour.
///
/// # Errors
///
/// Returns an error if there are no fits, more than 100,000 fits or not a square number of them, if a fit has no steps or
/// an inertia that is not finite, if `same` is negative or not finite, or if samples or centroids are not points in the
/// plane within 1e130 of 0.
pub fn atlas(samples: &Array2<f64>, fixed: &Array2<f64>, fits: &[Fit<KMeans>], same: f64) -> Result<Figure> {
    if !(same >= 0.0 && same.is_finite()) {
        return Err(Error::Setting { name: "same", expected: "finite and not negative", value: same });
    }
    checks::plane(samples)?;
    checks::centres("the fixed centroids", [fixed])?;
    checks::not_empty("starts", fits)?;
    checks::at_most("the number of starts", fits.len(), 100_000, "at most 100000")?;
    let side = fits.len().isqrt();
    checks::length("the fits from a grid", side * side, fits.len())?;
    fits.iter().try_for_each(checks::steps)?;
    checks::centres("the centroids", fits.iter().map(|fit| &fit.model.centroids))?;
    let ends: Vec<f64> = fits.iter().map(Fit::objective).collect();
    checks::finite("an objective", ends.iter().copied())?;
    let (found, member) = optima(&ends, same);

    let points = checks::points(samples);
    let (x, y) = ranges(&points);
    let (width, height) = equal_units(x, y, (530.0, 520.0));
    let size = (width as u32 + 368, (height as u32 + 76).max(86 * found.len().min(7) as u32 + 50));
    let title = "Which optimum each start of one centroid leads to";
    let axis = |name: &str, (low, high)| Axis::new(format!("{name} of the free centroid's start"), low, high);
    let (x_axis, y_axis, bottom) = (axis("x_1", x), axis("x_2", y), size.1 - 20 - height as u32);
    let mut chart = Chart::new("kmeans-atlas", title, size, x_axis, y_axis).margins(72, 296, 20, bottom);
    // All optima beyond the first MOST_OPTIMA share one colour.
    let regions: Vec<usize> = member.iter().map(|&group| group.min(MOST_OPTIMA)).collect();
    let solid = |index: usize| if index < MOST_OPTIMA { component(index) } else { FRAME };
    let count = found.len().min(MOST_OPTIMA + 1);
    let tints: Vec<Tint> = (0..count).map(|index| solid(index).mixed(CARD, SHADES[index])).collect();
    let middles = draw_regions(&mut chart, (x, y), side, &regions, &tints)?;
    chart.scatter(points.iter().copied().step_by(stride(points.len(), 1500)), 1.8, INK, 1.0);
    checks::points(fixed).into_iter().for_each(|at| chart.cross(at, 6.5, INK));
    let name = |index: usize| letter(index).to_lowercase();
    for (index, &at) in middles.iter().enumerate() {
        chart.label(at, (0.0, 0.0), Ink::new(INK).bold().size(15.0), name(index));
    }

    // The optima beyond MOST_OPTIMA also share one entry of the legend.
    let mut shown = found;
    let others = shown.split_off(shown.len().min(MOST_OPTIMA));
    if let (Some(&first), Some(last)) = (others.first(), others.last()) {
        let count = others.iter().map(|optimum| optimum.count).sum();
        shown.push(Optimum { count, worst: last.worst, ..first });
    }
    let (left, mut top) = (72.0 + width + 20.0, 20.0);
    let ink = Ink::new(INK).plain();
    let mut words = Vec::new();
    for (index, (optimum, &tint)) in shown.iter().zip(&tints).enumerate() {
        let best = ends.iter().position(|&end| end == optimum.best).unwrap_or(0);
        let picture = thumbnail(&chart, (left, top), (x, y), &points, &fits[best].model, tint);
        chart.add(picture);
        let reached = format!("{}: {}", name(index), Objective::Inertia.words(optimum));
        let share = format!("{} of {} starts", optimum.count, fits.len());
        words.push(format!("{reached} from {share}"));
        chart.note((left + 90.0, top + 28.0), ink.bold(), reached);
        chart.note((left + 90.0, top + 46.0), Ink::new(GREY).plain().size(12.5), share);
        top += 86.0;
    }
    chart.cross(chart.at_pixel(left + 7.0, top + 6.0), 6.5, INK);
    chart.note((left + 24.0, top + 6.0), ink, "fixed in each start");
    let alt = format!(
        "The plane, coloured by the optimum that K-means reaches from each start: {}. Beside it a small picture of each optimum, \
         with its centroids and the borders between them.",
        words.join("; ")
    );
    chart.alt(alt).finish()
}

/// Draws an optimum as a small picture: a subsample, the centroids and their borders.
fn thumbnail(
    chart: &Chart,
    corner: Point,
    (x, y): Rectangle,
    points: &[Point],
    model: &KMeans,
    tint: Tint,
) -> Chart {
    let [x_axis, y_axis] = [x, y].map(|range| Axis::new("", range.0, range.1).ticks(Vec::new()));
    let mut panel = chart.panel(corner, equal_units(x, y, (82.0, 78.0)), x_axis, y_axis);
    panel.block((x.0, y.0), (x.1, y.1), tint);
    borders(&model.centroids, x, y).into_iter().for_each(|ends| panel.line(ends, Pen::new(INK, 1.0)));
    panel.scatter(points.iter().copied().step_by(stride(points.len(), 40)), 0.9, GREY, 1.0);
    let centroids = checks::points(&model.centroids);
    centroids.iter().for_each(|&at| panel.dot(at, 4.2, INK));
    centroids.iter().for_each(|&at| panel.dot(at, 2.6, CARD));
    panel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_density_curve_integrates_to_the_share_of_its_samples() {
        let values: Array1<f64> = (0..50).map(|i| f64::from(i % 7)).collect();
        let density = density(&values, (-10.0, 16.0), 125);
        let step = 26.0 / 100.0;
        let integral: f64 = density.iter().map(|point| step * point.1).sum();
        assert!((integral - 0.4).abs() < 1e-3, "{integral}");
        assert!(super::density(&array![1.0], (0.0, 2.0), 1).is_empty());
    }

    #[test]
    fn a_density_curve_from_bins_matches_the_exact_kernel_density() {
        let values: Array1<f64> =
            (0..2000).map(|i| (i as f64).sin() + 0.1 * (0.7 * i as f64).cos()).collect();
        let n = values.len() as f64;
        let bandwidth = values.std(1.0) * n.powf(-0.2);
        for (x, height) in density(&values, (-4.0, 4.0), 2000) {
            let kernels = values.iter().map(|value| (-0.5 * ((x - value) / bandwidth).powi(2)).exp());
            let exact = kernels.sum::<f64>() / (n * bandwidth * (2.0 * std::f64::consts::PI).sqrt());
            assert!((height - exact).abs() <= 2e-3, "at {x}: {height}, not {exact}");
        }
    }
}
