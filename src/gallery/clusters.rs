//! Chapters 3 and 4: K-means and Gaussian mixtures.

use ndarray::{Array1, Array2, array};

use crate::em::{Fit, Stop};
use crate::error::{Error, Result};
use crate::gmm::{CovarianceKind, Covariances, Gmm, GmmOptions, GmmStart};
use crate::kmeans::{KMeans, KMeansOptions, KMeansStart};
use crate::plot::{self, AtlasGround, Clustering, Figure, Objective, StartGrid};
use crate::samples::{self, iris};

/// Names of the columns of iris with their unit, for the axes.
const IRIS_AXES: [&str; 4] =
    ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"];

pub(super) fn iris_species() -> Result<Figure> {
    let figure = plot::pair_plot(&iris::measurements(), &IRIS_AXES, &iris::species(), &iris::SPECIES)?;
    Ok(figure.named("iris-species"))
}

pub(super) fn iris_pairs() -> Result<Figure> {
    let flowers = iris::measurements();
    let fit = KMeans::fit(&flowers, &KMeansOptions { clusters: 3, restarts: 5, ..Default::default() })?;
    let labels = in_order_of_appearance(&fit.model().predict(&flowers)?);
    Ok(plot::pair_plot(&flowers, &IRIS_AXES, &labels, &[])?.named("iris-pairs"))
}

/// The labels renumbered: the cluster of the first sample is 0, the next one that appears is 1, and so on.
pub fn in_order_of_appearance(labels: &Array1<usize>) -> Array1<usize> {
    let mut seen: Vec<usize> = Vec::new();
    let mut renumbered = |label: usize| {
        seen.iter().position(|&other| other == label).unwrap_or_else(|| {
            seen.push(label);
            seen.len() - 1
        })
    };
    labels.iter().map(|&label| renumbered(label)).collect()
}

pub(super) fn kmeans_start() -> Result<Figure> {
    let (samples, _) = samples::five_blobs(400, 1);
    let start = KMeans { centroids: crowded_start() };
    let labels = start.predict(&samples)?;
    let panel = Clustering { title: "the start", labels: &labels, kmeans: Some(&start), mixture: None };
    Ok(plot::clusterings(&samples, &[panel])?.named("kmeans-start"))
}

pub(super) fn kmeans_animation() -> Result<Figure> {
    let (samples, _) = samples::five_blobs(400, 1);
    plot::kmeans_animation(&samples, &crowded_fit(&samples)?)
}

/// K-means on [`samples::five_blobs`] from five centroids that all stand in one corner. The fit keeps its models.
///
/// # Errors
///
/// As [`KMeans::fit`].
pub fn crowded_fit(samples: &Array2<f64>) -> Result<Fit<KMeans>> {
    let start = KMeansStart::Given(crowded_start());
    KMeans::fit(samples, &KMeansOptions { clusters: 5, start, keep_models: true, ..one_thread() })
}

fn crowded_start() -> Array2<f64> {
    array![[-5.6, -4.2], [-5.2, -1.2], [-3.8, -3.8], [-2.6, -2.4], [-3.4, -0.8]]
}

pub(super) fn kmeans_elbow() -> Result<Figure> {
    let flowers = iris::measurements();
    let counts: Vec<usize> = (1..=9).collect();
    let inertias = counts
        .iter()
        .map(|&clusters| {
            let options = KMeansOptions { clusters, restarts: 10, ..one_thread() };
            Ok(-KMeans::fit(&flowers, &options)?.objective())
        })
        .collect::<Result<Vec<f64>>>()?;
    Ok(plot::elbow(&counts, &inertias, "cm²")?.named("kmeans-elbow"))
}

pub(super) fn kmeans_trace() -> Result<Figure> {
    let (samples, _) = samples::five_blobs(400, 1);
    let fits = kmeans_runs(&samples, 5, KMeansStart::RandomPoints, 30)?;
    let fits: Vec<&Fit<KMeans>> = fits.iter().collect();
    Ok(plot::objective_trace(&fits, &[], Objective::Inertia)?.named("kmeans-trace"))
}

/// `runs` fits of K-means, each from a start of its own (seeds 0, 1, …).
///
/// # Errors
///
/// As [`KMeans::fit`].
pub fn kmeans_runs(
    samples: &Array2<f64>,
    clusters: usize,
    start: KMeansStart,
    runs: usize,
) -> Result<Vec<Fit<KMeans>>> {
    (0..runs as u64)
        .map(|seed| {
            let options = KMeansOptions { clusters, start: start.clone(), seed, ..one_thread() };
            KMeans::fit(samples, &options)
        })
        .collect()
}

pub(super) fn kmeans_atlas() -> Result<Figure> {
    let (samples, _) = samples::five_blobs(100, 1);
    let fixed = array![[-3.6, 3.2], [0.2, 0.3]];
    let grid = StartGrid {
        x_title: "x_1 of the third centroid's start",
        x_range: (-7.0, 7.0),
        y_title: "x_2 of the third centroid's start",
        y_range: (-6.5, 6.5),
        columns: 56,
    };
    let fits = kmeans_from_grid(&samples, &fixed, &grid, 52)?;
    let ground = AtlasGround { samples: &samples, fixed: &fixed };
    Ok(plot::atlas(&fits, grid, Some(ground), Objective::Inertia, 3.0)?.named("kmeans-atlas"))
}

/// K-means from each start of a grid: the `fixed` centroids (m x 2) and one more at each of the grid's places.
///
/// # Errors
///
/// Fixed centroids that are not in the plane, and as [`KMeans::fit`].
pub fn kmeans_from_grid(
    samples: &Array2<f64>,
    fixed: &Array2<f64>,
    grid: &StartGrid,
    rows: usize,
) -> Result<Vec<Fit<KMeans>>> {
    if fixed.ncols() != 2 {
        let (expected, found) = (vec![fixed.nrows(), 2], fixed.shape().to_vec());
        return Err(Error::Shape { name: "the fixed centroids", expected, found });
    }
    let clusters = fixed.nrows() + 1;
    let fit = |(x, y): (f64, f64)| {
        let mut start = Array2::zeros((clusters, 2));
        start.slice_mut(ndarray::s![..clusters - 1, ..]).assign(fixed);
        start[(clusters - 1, 0)] = x;
        start[(clusters - 1, 1)] = y;
        KMeans::fit(samples, &KMeansOptions { clusters, start: KMeansStart::Given(start), ..one_thread() })
    };
    grid.starts(rows).into_iter().map(fit).collect()
}

pub(super) fn kmeans_failure() -> Result<Figure> {
    let (samples, drawn) = samples::three_stripes(450, 2);
    let kmeans = KMeans::fit(&samples, &KMeansOptions { clusters: 3, restarts: 5, ..one_thread() })?;
    let options =
        GmmOptions { components: 3, restarts: 5, covariance: CovarianceKind::Full, ..mixture_options() };
    let mixture = Gmm::fit(&samples, &options)?;
    let (hard, soft) = (kmeans.model().predict(&samples)?, mixture.model().predict(&samples)?);
    let truth = Clustering { title: "as drawn", labels: &drawn, kmeans: None, mixture: None };
    let panels = [
        truth,
        Clustering { title: "K-means", labels: &hard, kmeans: Some(kmeans.model()), ..truth },
        Clustering { title: "Gaussian mixture", labels: &soft, mixture: Some(mixture.model()), ..truth },
    ];
    Ok(plot::clusterings(&samples, &panels)?.named("kmeans-failure"))
}

/// EM on the blog post's data ([`samples::two_gaussians`]) from a poor start: means (0.3, 0.7) and (0.9, 0.2), equal
/// weights, unit covariances; no regularisation, so the log-likelihood never falls. The fit keeps its models.
///
/// # Errors
///
/// As [`Gmm::fit`].
pub fn blog_mixture_fit(samples: &Array2<f64>) -> Result<Fit<Gmm>> {
    let start = Gmm {
        weights: array![0.5, 0.5],
        means: array![[0.3, 0.7], [0.9, 0.2]],
        covariances: Covariances::Full(array![[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]),
    };
    let start = GmmStart::Given(start);
    Gmm::fit(samples, &GmmOptions { components: 2, start, keep_models: true, ..mixture_options() })
}

pub(super) fn mixture_truth() -> Result<Figure> {
    let (samples, _) = samples::two_gaussians(1000, 1234);
    let truth = samples::two_gaussians_model();
    Ok(plot::mixture_contours(&samples, &truth, (-8.0, 6.0), (-6.0, 8.0))?.named("mixture-truth"))
}

pub(super) fn mixture_contours() -> Result<Figure> {
    let (samples, _) = samples::two_gaussians(1000, 1234);
    let fit = blog_mixture_fit(&samples)?;
    plot::mixture_contours(&samples, fit.model(), (-8.0, 6.0), (-6.0, 8.0))
}

pub(super) fn mixture_animation() -> Result<Figure> {
    let (samples, _) = samples::two_gaussians(1000, 1234);
    plot::mixture_animation(&samples, &blog_mixture_fit(&samples)?)
}

pub(super) fn mixture_bic() -> Result<Figure> {
    let (samples, _) = samples::five_blobs(300, 1);
    let counts: Vec<usize> = (1..=9).collect();
    let criteria = counts
        .iter()
        .map(|&components| {
            let options = GmmOptions { components, restarts: 3, regularisation: 1e-3, ..mixture_options() };
            Gmm::fit(&samples, &options)?.model().criteria(&samples)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(plot::information_criteria(&counts, &criteria)?.named("mixture-bic"))
}

pub(super) fn mixture_trace() -> Result<Figure> {
    let (samples, _) = samples::five_blobs(300, 1);
    let fits = (0..12)
        .map(|seed| {
            let options = GmmOptions {
                components: 5,
                start: GmmStart::RandomResponsibilities,
                seed,
                stop: Stop { max_iterations: 150, tolerance: 1e-4 },
                ..mixture_options()
            };
            Gmm::fit(&samples, &options)
        })
        .collect::<Result<Vec<_>>>()?;
    let fits: Vec<&Fit<Gmm>> = fits.iter().collect();
    Ok(plot::objective_trace(&fits, &[], Objective::LogLikelihood)?.named("mixture-trace"))
}

/// Small data: more threads would only wait for each other.
fn one_thread() -> KMeansOptions {
    KMeansOptions { threads: 1, ..Default::default() }
}

fn mixture_options() -> GmmOptions {
    GmmOptions { threads: 1, regularisation: 0.0, ..Default::default() }
}
