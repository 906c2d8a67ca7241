//! Shared by chapters 3 and 4: samples in the plane with clusters, animated fits, objectives of fits as curves.

use std::cmp::Reverse;

use ndarray::{Array1, Array2};

use super::checks;
use crate::draw::{
    Axis, Chart, Figure, GREY, Grid, INK, Ink, Label, Mark, Pen, Point, Side, Tint, component, equal_units,
    extent, legend_row, number, padded, ranges, shown_iterations, stride,
};
use crate::em::Fit;
use crate::error::{Error, Result};
use crate::gmm::Gmm;
use crate::kmeans::KMeans;

/// A rectangle in the plane: the ranges of x and y.
pub(super) type Rectangle = ((f64, f64), (f64, f64));

/// The styles of the ellipses of one and two standard deviations.
pub(crate) fn ellipse_pens(tint: Tint) -> [Pen; 2] {
    [Pen::new(tint, 2.2), Pen::new(tint, 1.5).dashed(6.0, 4.0)]
}

/// The styles of the ellipses of one and two standard deviations beside dashed borders.
const SIGMAS: [Pen; 2] = [
    Pen { tint: INK, width: 2.2, dash: None, opacity: 1.0 },
    Pen { tint: INK, width: 1.1, dash: None, opacity: 1.0 },
];

/// The style of a border between clusters.
pub(crate) fn border_pen() -> Pen {
    Pen::new(INK, 1.2).dashed(5.0, 4.0)
}

/// The axes of a plane of samples.
pub(crate) fn axes(x: (f64, f64), y: (f64, f64)) -> [Axis; 2] {
    [Axis::new("x_1", x.0, x.1), Axis::new("x_2", y.0, y.1)]
}

/// The borders between the Voronoi cells of the centroids in a rectangle, each as its two end points.
pub(crate) fn borders(centroids: &Array2<f64>, x: (f64, f64), y: (f64, f64)) -> Vec<[Point; 2]> {
    let places = checks::points(centroids);
    let border = |(i, j): (usize, usize)| {
        let ((ax, ay), (bx, by)) = (places[i], places[j]);
        // The points m + t v are equally distant from both.
        let (mx, my, vx, vy) = ((ax + bx) / 2.0, (ay + by) / 2.0, ay - by, bx - ax);
        // slope * t <= room: inside this edge of the rectangle, or not nearer to c than to a (|p - a|^2 <= |p - c|^2)
        let sides = [(vx, x.1 - mx), (-vx, mx - x.0), (vy, y.1 - my), (-vy, my - y.0)];
        let others = (0..places.len()).filter(|&m| m != i && m != j).map(|m| {
            let (cx, cy) = places[m];
            let (dx, dy) = (cx - ax, cy - ay);
            let room = cx * cx + cy * cy - ax * ax - ay * ay - 2.0 * (mx * dx + my * dy);
            (2.0 * (vx * dx + vy * dy), room)
        });
        let whole = (f64::NEG_INFINITY, f64::INFINITY);
        let (from, to) = others.chain(sides).fold(whole, |(from, to), (slope, room)| match slope {
            0.0 if room < 0.0 => (f64::INFINITY, f64::NEG_INFINITY),
            0.0 => (from, to),
            0.0.. => (from, to.min(room / slope)),
            _ => (from.max(room / slope), to),
        });
        (from < to && (vx, vy) != (0.0, 0.0)).then(|| [from, to].map(|t| (mx + t * vx, my + t * vy)))
    };
    let pairs = (0..places.len()).flat_map(|i| (i + 1..places.len()).map(move |j| (i, j)));
    pairs.filter_map(border).collect()
}

/// The inertia of samples in the plane with these labels.
pub(crate) fn inertia_of(data: &Array2<f64>, labels: &Array1<usize>, centroids: &Array2<f64>) -> f64 {
    let apart = |(i, x): (usize, f64)| (x - centroids[(labels[i / 2], i % 2)]).powi(2);
    data.iter().copied().enumerate().map(apart).sum()
}

/// The closed ellipse at a number of standard deviations around a component's mean.
///
/// # Errors
///
/// Returns an error if the covariance is not positive definite.
pub(super) fn ellipse(model: &Gmm, k: usize, deviations: f64) -> Result<Vec<Point>> {
    const CORNERS: usize = 80;
    let covariance = model.covariance(k);
    // Sigma = L L^T, so L maps the circle to the ellipse.
    let l11 = covariance[(0, 0)].sqrt();
    let l21 = covariance[(1, 0)] / l11;
    let l22 = (covariance[(1, 1)] - l21 * l21).sqrt();
    if !(l11 > 0.0 && l22 > 0.0 && l21.is_finite()) {
        return Err(Error::NotPositiveDefinite { component: k });
    }
    let (x, y) = (model.means[(k, 0)], model.means[(k, 1)]);
    let corner = |i: usize| {
        let (sine, cosine) = (2.0 * std::f64::consts::PI * i as f64 / CORNERS as f64).sin_cos();
        (x + deviations * l11 * cosine, y + deviations * (l21 * cosine + l22 * sine))
    };
    Ok((0..=CORNERS).map(corner).collect())
}

/// The maximum number of components that are drawn with two ellipses each.
pub(super) const TWO_ELLIPSES: usize = 12;

/// Draws each component's ellipses of one and two standard deviations; with more than twelve components only the inner
/// ones.
pub(crate) fn draw_ellipses(chart: &mut Chart, model: &Gmm, pens: impl Fn(usize) -> [Pen; 2]) -> Result<()> {
    let components = model.weights.len();
    for k in 0..components {
        let pens = pens(k).into_iter().zip([1.0, 2.0]);
        for (pen, deviations) in pens.take(if components > TWO_ELLIPSES { 1 } else { 2 }) {
            chart.haloed(&ellipse(model, k, deviations)?, pen);
        }
    }
    Ok(())
}

/// One clustering of the samples, for [`clusterings`].
#[derive(Debug, Clone, Copy)]
pub struct Clustering<'a> {
    /// The panel's short heading.
    pub title: &'a str,
    /// The cluster of each sample (n).
    pub labels: &'a Array1<usize>,
    /// A K-means model, whose centroids and borders are drawn.
    pub kmeans: Option<&'a KMeans>,
    /// A mixture, whose ellipses of one and two standard deviations are drawn.
    pub mixture: Option<&'a Gmm>,
}

/// Draws several clusterings of the same samples side by side.
///
/// `data` are samples in the plane (n x 2). A cluster takes the colour of that cluster of the first clustering with
/// which it shares the most samples. Above each later panel is the number of samples whose cluster has the same colour
/// as in the first panel.
///
/// # Errors
///
/// Returns an error if there are no samples, if they are not points in the plane within 1e130 of 0, if there are no
/// clusterings or more than four, if there are too few or too many labels or more than 200 clusters, or if a model has a
/// different dimension, more than 200 clusters or is invalid.
pub fn clusterings(title: &str, data: &Array2<f64>, clusterings: &[Clustering]) -> Result<Figure> {
    checks::plane(data)?;
    checks::not_empty("clusterings", clusterings)?;
    checks::at_most("the number of clusterings", clusterings.len(), 4, "at most 4")?;
    let mut clusters = 0;
    for clustering in clusterings {
        clusters = clusters.max(checks::labels(data, clustering.labels)?);
        if let Some(model) = clustering.kmeans {
            checks::centres("the centroids", [&model.centroids])?;
            clusters = clusters.max(model.centroids.nrows());
        }
        if let Some(model) = clustering.mixture {
            checks::mixture(model)?;
            clusters = clusters.max(model.means.nrows());
        }
    }
    let (points, count) = (checks::points(data), clusterings.len());
    let every = stride(points.len(), 6000 / count);
    let (x, y) = ranges(&points);
    let panel = equal_units(x, y, ((820.0 / count as f64 - 18.0).min(420.0), 420.0));
    let grid = Grid { columns: count, panel, gap: (18.0, 0.0), origin: (60.0, 56.0) };
    let foot = if count == 1 { 58.0 } else { 84.0 };
    let mut chart = grid.canvas("clusterings", title, count, (24.0, foot), 1);
    let mut alt = format!("{} points in {clusters} colours, one per cluster.", points.len());
    for (index, clustering) in clusterings.iter().enumerate() {
        let (tints, same) = matched(clusterings[0].labels, clustering.labels, clusters);
        let [x_axis, y_axis] = axes(x, y).map(|axis| axis.most(6));
        let y_axis = if index == 0 { y_axis } else { y_axis.bare() };
        let mut panel = chart.panel(grid.corner(index), grid.panel, x_axis, y_axis);
        for (k, &tint) in tints.iter().enumerate() {
            let members = (0..points.len()).step_by(every).filter(|&i| clustering.labels[i] == k);
            panel.scatter(members.map(|i| points[i]), 2.3, component(tint), 1.0);
        }
        draw_models(&mut panel, clustering, &tints, (x, y))?;
        let mut note = String::new();
        if index > 0 {
            let share = number(100.0 * same as f64 / points.len() as f64, 1);
            note = format!("{share} % of labels match");
            alt += &format!(" {}: {note}.", clustering.title);
        }
        panel.heading(clustering.title, &note);
        chart.add(panel);
    }
    let any = |has: fn(&Clustering) -> bool| clusterings.iter().any(has);
    let (kmeans, mixture) = (any(|one| one.kmeans.is_some()), any(|one| one.mixture.is_some()));
    let marks = [
        (kmeans || mixture, Mark::Centre(GREY), if mixture { "centroid or mean" } else { "centroid" }),
        (kmeans, Mark::Line(border_pen()), "cluster border"),
        (mixture, Mark::Line(SIGMAS[0]), "ellipse of 1 σ"),
        (mixture, Mark::Line(SIGMAS[1]), "2 σ"),
    ];
    let marks = marks.into_iter().filter(|mark| mark.0).map(|(_, mark, name)| (mark, name.to_string()));
    let row = if count == 1 { 42.0 } else { 56.0 + panel.1 + 66.0 };
    legend_row(&mut chart, (60.0, row), f64::INFINITY, marks);
    if kmeans {
        alt += " Large rimmed discs are the centroids, dashed lines the borders between them.";
    }
    chart.alt(alt).finish()
}

/// Draws the centroids and borders of K-means, and the means and ellipses of a mixture.
fn draw_models(panel: &mut Chart, clustering: &Clustering, tints: &[usize], (x, y): Rectangle) -> Result<()> {
    let mut centres = Vec::new();
    if let Some(model) = clustering.kmeans {
        borders(&model.centroids, x, y).into_iter().for_each(|ends| panel.line(ends, border_pen()));
        centres.extend(checks::points(&model.centroids).into_iter().enumerate());
    }
    if let Some(model) = clustering.mixture {
        draw_ellipses(panel, model, |_| SIGMAS)?;
        centres.extend(checks::points(&model.means).into_iter().enumerate());
    }
    centres.into_iter().for_each(|(k, at)| panel.centre(at, component(tints[k])));
    Ok(())
}

/// Matches the clusters of `labels` one to one with those of `first`, largest overlaps first. Also returns the number
/// of samples whose two clusters match.
fn matched(first: &Array1<usize>, labels: &Array1<usize>, clusters: usize) -> (Vec<usize>, usize) {
    let mut shared: Array2<i64> = Array2::zeros((clusters, clusters));
    first.iter().zip(labels).for_each(|(&other, &own)| shared[(own, other)] += 1);
    let (mut tints, mut same) = (vec![0; clusters], 0);
    for _ in 0..clusters {
        let largest = shared.indexed_iter().max_by_key(|&(place, count)| (count, Reverse(place)));
        let Some(((own, other), &count)) = largest else { break };
        (tints[own], same) = (other, same + count as usize);
        // mark as used: below an overlap of 0
        shared.row_mut(own).fill(-1);
        shared.column_mut(other).fill(-1);
    }
    (tints, same)
}

/// The data that all frames of a fit's animation share.
pub(super) struct Course {
    points: Vec<Point>,
    /// The iterations that are shown.
    pub shown: Vec<usize>,
    /// For each shown iteration, a style index for each sample.
    looks: Vec<Vec<usize>>,
    /// For each drawn sample, whether its style changes between frames, and its index.
    drawn: Vec<(bool, usize)>,
    /// The path of each centre over the iterations.
    pub paths: Vec<Vec<Point>>,
    pub x: (f64, f64),
    pub y: (f64, f64),
}

impl Course {
    /// Prepares the animation of a fit. `look` gives the style index of each sample.
    ///
    /// # Errors
    ///
    /// Returns an error if the data or the fit are not in the plane, if the fit has not kept its models, or if `look`
    /// fails.
    pub fn new<M>(
        data: &Array2<f64>,
        fit: &Fit<M>,
        centres: fn(&M) -> &Array2<f64>,
        look: impl Fn(&M) -> Result<Vec<usize>>,
    ) -> Result<Course> {
        checks::plane(data)?;
        checks::steps(fit)?;
        checks::finite("an objective", fit.objectives.iter().copied())?;
        let models = fit.kept_models()?;
        checks::centres("the centroids or means", models.iter().map(centres))?;
        let count = centres(&models[0]).nrows();
        // With many components, ellipses make frames large, so fewer are shown.
        let shown = shown_iterations(fit.iterations(), (70 / count).clamp(8, 20));
        let looks = shown.iter().map(|&t| look(&models[t])).collect::<Result<Vec<_>>>()?;
        let points = checks::points(data);
        let path = |k: usize| models.iter().map(centres).map(|step| (step[(k, 0)], step[(k, 1)])).collect();
        let paths: Vec<Vec<Point>> = (0..count).map(path).collect();
        let (x, y) = ranges(&points.iter().chain(paths.iter().flatten()).copied().collect::<Vec<_>>());
        let moves = |i: usize| looks.iter().any(|now| now[i] != looks[0][i]);
        let drawn = (0..points.len()).step_by(stride(points.len(), 1200)).map(|i| (moves(i), i)).collect();
        Ok(Course { points, shown, looks, drawn, paths, x, y })
    }

    /// Creates the chart of an iteration: the samples, and above the axes the iteration's number, what happens in it,
    /// and the objective (at the right).
    pub fn chart(
        &self,
        (name, title): (&str, &str),
        index: usize,
        tint: impl Fn(usize) -> Tint,
        (iteration, what, objective): (String, &str, String),
    ) -> Chart {
        let [x, y] = axes(self.x, self.y);
        let (width, height) = equal_units(self.x, self.y, (640.0, 520.0));
        let size = (width as u32 + 96, height as u32 + 106);
        let mut chart = Chart::new(name, title, size, x, y).margins(72, 24, 50, 56);
        let look = &self.looks[index];
        let mut order = self.drawn.clone();
        // Samples with the same style in all frames come first, so that they are written only once; samples of one style
        // share an element.
        order.sort_by_key(|&(moves, i)| (moves, look[i]));
        order.into_iter().for_each(|(_, i)| chart.scatter([self.points[i]], 2.7, tint(look[i]), 1.0));
        let ink = Ink::new(INK).plain().size(14.0);
        chart.note((72.0, 15.0), ink.bold(), iteration);
        chart.note((72.0, 38.0), if width < 520.0 { ink.size(12.0) } else { ink }, what);
        let end = chart.at_pixel(72.0 + width, 15.0);
        chart.text(end, (0.0, 0.0), Side::Left, ink.bold(), objective);
        chart
    }

    /// Draws the path of each centre up to iteration `t`, with a ring at its start.
    pub fn draw_paths(&self, chart: &mut Chart, t: usize, tint: impl Fn(usize) -> Tint) {
        let paths = || self.paths.iter().enumerate().filter(|_| t > 0);
        paths().for_each(|(k, path)| chart.haloed(&path[..=t], Pen::new(tint(k), 1.4)));
        paths().for_each(|(k, path)| chart.ring(path[0], 3.6, tint(k)));
    }
}

/// The objective of a fit, for the axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// The log-likelihood of mixtures and coins: higher is better.
    LogLikelihood,
    /// The inertia of K-means: lower is better. The fits hold its negative; figures show the inertia.
    Inertia,
}

impl Objective {
    /// Converts a fit's objective to the value shown.
    fn value(self, objective: f64) -> f64 {
        match self {
            Objective::LogLikelihood => objective,
            Objective::Inertia => -objective,
        }
    }

    /// Formats an optimum's best and worst values for a legend, or one value if both read the same.
    pub(super) fn words(self, optimum: &Optimum) -> String {
        let best = self.value(optimum.best);
        let decimals = (3 - best.abs().max(1e-9).log10().floor() as i32).clamp(0, 6) as usize;
        let (from, to) = (number(best, decimals), number(self.value(optimum.worst), decimals));
        let values = if from == to { from } else { format!("{from} to {to}") };
        match self {
            Objective::LogLikelihood => format!("{values} nats"),
            Objective::Inertia => format!("inertia {values}"),
        }
    }
}

/// An optimum reached by one or more fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Optimum {
    /// The best and the worst objective counted as this optimum.
    pub best: f64,
    pub worst: f64,
    /// The number of fits that reach it.
    pub count: usize,
}

/// Groups objectives into optima: each optimum holds the objectives within `same` of its best one. Returns the optima, best
/// first, and the index of each objective's optimum.
pub(super) fn optima(objectives: &[f64], same: f64) -> (Vec<Optimum>, Vec<usize>) {
    let mut order: Vec<usize> = (0..objectives.len()).collect();
    order.sort_by(|&a, &b| objectives[b].total_cmp(&objectives[a]));
    let mut found: Vec<Optimum> = Vec::new();
    let mut member = vec![0; objectives.len()];
    for i in order {
        let value = objectives[i];
        match found.last_mut().filter(|last| last.best - value <= same) {
            Some(last) => {
                last.worst = value;
                last.count += 1;
            }
            None => found.push(Optimum { best: value, worst: value, count: 1 }),
        }
        member[i] = found.len() - 1;
    }
    (found, member)
}

/// A row of pictures: its name, the pictures (one per row of the table), and a note under each picture or none at all.
pub type PictureRow<'a> = (&'a str, &'a Array2<f64>, &'a [String]);

/// The maximum number of pictures in a row, and of rows, of [`pictures`].
const MOST_PICTURES: usize = 10;

/// Draws rows of small pictures, such as digits, each row under its name.
///
/// A picture's numbers are its pixels, row by row, `width` in each; 0 is paper and 1 is ink, and numbers beyond are drawn as 0
/// or 1.
///
/// # Errors
///
/// Returns an error if there are no rows or more than ten, if a row has no pictures or more than ten, if the pixels of a picture
/// do not fill rows of `width`, if a row has too few or too many notes, or if a pixel is not finite.
pub fn pictures(title: &str, width: usize, rows: &[PictureRow]) -> Result<Figure> {
    const SIDE: f64 = 66.0;
    const GAP: f64 = 14.0;
    checks::not_empty("rows of pictures", rows)?;
    checks::at_most("the number of rows", rows.len(), MOST_PICTURES, "at most 10")?;
    for (_, pictures, notes) in rows {
        let (count, pixels) = pictures.dim();
        if count == 0 {
            return Err(Error::Empty { what: "pictures" });
        }
        checks::at_most("the number of pictures in a row", count, MOST_PICTURES, "at most 10")?;
        let expected = pixels.max(1).div_ceil(width.max(1)).saturating_mul(width.max(1));
        checks::length("the pixels of a picture", expected, pixels)?;
        checks::length("the notes", if notes.is_empty() { 0 } else { count }, notes.len())?;
        checks::entries("the pixels", pictures.view().into_dyn())?;
    }
    let widest = rows.iter().map(|row| row.1.nrows()).max().unwrap_or(0);
    let below = |notes: &[String]| if notes.is_empty() { 0.0 } else { 18.0 };
    let height: f64 = rows.iter().map(|row| 30.0 + SIDE + below(row.2) + 10.0).sum();
    let size = ((26.0 + widest as f64 * (SIDE + GAP)).max(440.0), height + 14.0);
    let mut chart = Chart::canvas("pictures", title, size);
    let (bold, grey) = (Ink::new(INK).plain().bold().size(13.0), Ink::new(GREY).plain().size(11.5));
    let (mut top, mut words) = (12.0, Vec::new());
    for (name, pictures, notes) in rows {
        chart.note((20.0, top + 10.0), bold, *name);
        for (index, picture) in pictures.rows().into_iter().enumerate() {
            let left = 20.0 + index as f64 * (SIDE + GAP);
            chart.picture((left, top + 24.0), SIDE, width.max(1), &picture.to_vec());
            if let Some(note) = notes.get(index) {
                chart.note((left, top + 24.0 + SIDE + 12.0), grey, note);
            }
        }
        top += 30.0 + SIDE + below(notes) + 10.0;
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        words.push(format!("{name}: {}{notes}", pictures.nrows()));
    }
    chart.alt(format!("Rows of small pictures. {}.", words.join("; "))).finish()
}

/// Draws the objective of one or more fits over the iterations.
///
/// Fits that end at the same objective share a colour (the tolerance is a fiftieth of the range from best to worst). Labels
/// at the right show the final objectives and how many fits reach them.
///
/// # Errors
///
/// Returns an error if there are no fits or more than 2000, if a fit has no steps, if an objective is not finite or beyond
/// 1e140, or if the figure would be too large (about 100,000 iterations in all).
pub fn objective_trace<M>(title: &str, fits: &[Fit<M>], objective: Objective) -> Result<Figure> {
    checks::not_empty("fits", fits)?;
    checks::at_most("the number of fits", fits.len(), 2000, "at most 2000")?;
    for fit in fits {
        checks::steps(fit)?;
        checks::finite("an objective", fit.objectives.iter().copied())?;
    }
    let ends: Vec<f64> = fits.iter().map(Fit::objective).collect();
    let (worst, best) = extent(ends.iter().copied());
    let (groups, member) = optima(&ends, (0.02 * (best - worst)).max(1e-6 * worst.abs().max(best.abs())));
    let all = fits.iter().flat_map(|fit| fit.objectives.iter().map(|&value| objective.value(value)));
    let (low, high) = padded(all, 0.06);
    let last = fits.iter().map(Fit::iterations).max().unwrap_or(0).max(1) as f64;
    let x = Axis::new("iteration", -0.02 * last, last * 1.02);
    let name = match objective {
        Objective::LogLikelihood => "log-likelihood (nats)",
        Objective::Inertia => "inertia (squared units of the data)",
    };
    let longest =
        groups.iter().take(10).map(|group| objective.words(group).chars().count()).max().unwrap_or(0);
    let right = 44 + 8 * longest.max(14) as u32;
    let mut chart = Chart::new("objective-trace", title, (660 + right, 480), x, Axis::new(name, low, high))
        .margins(84, right, 20, 56);
    // The worst fits are drawn first, so that the best are on top.
    let mut order: Vec<usize> = (0..fits.len()).collect();
    order.sort_by(|&i, &j| ends[i].total_cmp(&ends[j]));
    for &i in &order {
        let values = fits[i].objectives.iter().map(|&value| objective.value(value));
        let line: Vec<Point> = values.enumerate().map(|(t, value)| (t as f64, value)).collect();
        let tint = component(member[i]);
        chart.line(line.iter().copied(), Pen::new(tint, 1.6).faded(0.75));
        chart.disc(line[line.len() - 1], 4.2, tint);
    }
    let label = |(index, group): (usize, &Optimum)| {
        let runs = if group.count == 1 { "1 run".to_string() } else { format!("{} runs", group.count) };
        let rank = match index {
            0 if groups.len() > 1 => "the best: ",
            last if last > 0 && last + 1 == groups.len() => "the worst: ",
            _ => "",
        };
        let (at, text) = (objective.value(group.best), objective.words(group));
        Label { at, tint: component(index), text, note: format!("{rank}{runs}") }
    };
    let labels: Vec<Label> = groups.iter().enumerate().take(10).map(label).collect();
    chart.labels(&labels, true);
    let words: Vec<String> = labels.iter().map(|label| format!("{} ({})", label.text, label.note)).collect();
    chart.alt(format!("Curves from iteration 0 to {last} that end at {}.", words.join(", "))).finish()
}

/// Creates a chart of curves with markers over the number of clusters or components, with a right margin of `right`
/// pixels.
///
/// `counts` are the numbers k in increasing order; each curve has a name and one value per count.
///
/// # Errors
///
/// Returns an error if there are no counts, if they do not increase, if a curve has a different length, or if a value is
/// not finite.
pub(super) fn curves_over_counts(
    (name, title): (&str, &str),
    counts: &[usize],
    curves: &[(&str, Vec<f64>)],
    (x_title, y_title): (&str, &str),
    right: u32,
) -> Result<Chart> {
    checks::not_empty("numbers of clusters", counts)?;
    if let Some(pair) = counts.windows(2).find(|pair| pair[0] >= pair[1]) {
        let (name, expected) = ("a number of clusters", "larger than the one before");
        return Err(Error::Setting { name, expected, value: pair[1] as f64 });
    }
    for (_, values) in curves {
        checks::length("a curve", counts.len(), values.len())?;
        checks::finite("a value of a curve", values.iter().copied())?;
    }
    let all = || curves.iter().flat_map(|curve| curve.1.iter().copied());
    let (low, high) = padded(all(), 0.12);
    let low = if extent(all()).0 >= 0.0 { low.max(0.0) } else { low };
    let (first, last) = (counts[0], counts[counts.len() - 1]);
    checks::at_most("a number of clusters", last, 1_000_000, "at most 1000000")?;
    let x = Axis::counted(x_title, first, last);
    let y = Axis::new(y_title, low, high);
    let mut chart = Chart::new(name, title, (760, 470), x, y).margins(84, right, 24, 56);
    for (c, (_, values)) in curves.iter().enumerate() {
        let line: Vec<Point> = counts.iter().zip(values).map(|(&k, &value)| (k as f64, value)).collect();
        chart.marked(&line, component(c), 2.2, 4.0);
    }
    Ok(chart)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gmm::Covariances;
    use ndarray::array;

    #[test]
    fn cell_borders_meet_at_the_point_equidistant_from_three_centroids() {
        let lines = borders(&array![[0.0, 0.0], [2.0, 0.0], [1.0, 2.0]], (-5.0, 5.0), (-5.0, 5.0));
        assert_eq!(lines.len(), 3);
        for line in &lines {
            // (1, 0.75) is equally distant from all three.
            assert!(line.iter().any(|&(x, y)| (x - 1.0).abs() < 1e-9 && (y - 0.75).abs() < 1e-9), "{line:?}");
        }
        assert!(borders(&array![[1.0, 1.0], [1.0, 1.0]], (0.0, 2.0), (0.0, 2.0)).is_empty());
    }

    #[test]
    fn ellipse_points_are_at_the_given_mahalanobis_distance() {
        let covariance = array![[2.0, 0.6], [0.6, 0.5]];
        let model = Gmm {
            weights: array![1.0],
            means: array![[1.0, -2.0]],
            covariances: Covariances::Tied(covariance.clone()),
        };
        let determinant = 2.0 * 0.5 - 0.36;
        for (x, y) in ellipse(&model, 0, 2.0).unwrap() {
            let (x, y) = (x - 1.0, y + 2.0);
            let squared = (0.5 * x * x - 1.2 * x * y + 2.0 * y * y) / determinant;
            assert!((squared - 4.0).abs() < 1e-9);
        }
        let flat = Gmm { covariances: Covariances::Tied(array![[1.0, 1.0], [1.0, 1.0]]), ..model };
        assert!(matches!(ellipse(&flat, 0, 1.0), Err(Error::NotPositiveDefinite { component: 0 })));
    }

    #[test]
    fn clusters_are_matched_by_shared_samples() {
        assert_eq!(matched(&array![0, 0, 1, 1, 1], &array![1, 1, 0, 0, 1], 2), (vec![1, 0], 4));
    }

    #[test]
    fn close_objectives_form_one_optimum_and_the_best_is_first() {
        let (found, member) = optima(&[-5.0, -3.0, -5.02, -3.0], 0.1);
        let optimum = |best, worst| Optimum { best, worst, count: 2 };
        assert_eq!(found, [optimum(-3.0, -3.0), optimum(-5.0, -5.02)]);
        assert_eq!(member, [1, 0, 1, 0]);
    }

    #[test]
    fn labels_show_the_inertia_as_the_negated_objective() {
        let words = |objective: Objective, best, worst| objective.words(&Optimum { best, worst, count: 1 });
        assert_eq!(words(Objective::Inertia, -78.851, -78.852), "inertia 78.85");
        assert_eq!(words(Objective::Inertia, -1856.2, -1870.9), "inertia 1856 to 1871");
        assert_eq!(words(Objective::LogLikelihood, -4021.7, -4021.7), "\u{2212}4022 nats");
    }
}
