//! Predictions: in the order of the samples, in one pass over the data, with any number of threads.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use em_routing::data::{RowBuffer, Rows};
use em_routing::error::{Error, Result};
use em_routing::gmm::{CovarianceKind, Gmm};
use em_routing::kmeans::KMeans;
use em_routing::on_threads;
use ndarray::{Array2, Axis, s};

use super::blobs;

/// Five full chunks and a partial one.
const SAMPLES: usize = 11_000;

fn models(data: &Array2<f64>) -> (KMeans, Gmm) {
    let centroids = data.slice(s![..5, ..]).to_owned();
    (KMeans { centroids: centroids.clone() }, Gmm::standard(centroids, CovarianceKind::Full))
}

#[test]
fn predictions_match_single_samples_for_any_number_of_threads() {
    let data = blobs(SAMPLES, 3, 5, 7);
    let (kmeans, mixture) = models(&data);
    let all = || {
        (
            kmeans.predict(&data).unwrap(),
            kmeans.squared_distances(&data).unwrap(),
            kmeans.distances(&data).unwrap(),
            mixture.predict(&data).unwrap(),
            mixture.log_density(&data).unwrap(),
            mixture.responsibilities(&data).unwrap(),
            (kmeans.inertia(&data).unwrap(), kmeans.sizes(&data, None).unwrap()),
            (mixture.log_likelihood(&data).unwrap(), mixture.criteria(&data).unwrap()),
        )
    };
    let found = all();
    for threads in 1..=3 {
        assert!(on_threads(threads, all) == found, "{threads} threads");
    }
    let (labels, squares, distances, components, log_densities, responsibilities, ..) = found;
    for sample in (0..SAMPLES).step_by(61) {
        let one = data.slice(s![sample..sample + 1, ..]);
        assert_eq!(kmeans.predict(&one).unwrap()[0], labels[sample]);
        assert_eq!(kmeans.squared_distances(&one).unwrap()[0], squares[sample]);
        assert_eq!(kmeans.distances(&one).unwrap().row(0), distances.row(sample));
        assert_eq!(mixture.predict(&one).unwrap()[0], components[sample]);
        assert_eq!(mixture.log_density(&one).unwrap()[0], log_densities[sample]);
        assert_eq!(mixture.responsibilities(&one).unwrap().row(0), responsibilities.row(sample));
        for (centroid, &distance) in kmeans.centroids.rows().into_iter().zip(distances.row(sample)) {
            let expected = (&one.row(0) - &centroid).mapv(|x| x * x).sum().sqrt();
            assert!((distance - expected).abs() <= 1e-14 * expected);
        }
    }
}

/// A table that counts how many rows are read.
struct Counted<'a> {
    data: &'a Array2<f64>,
    rows: AtomicUsize,
}

impl Rows for Counted<'_> {
    fn samples(&self) -> usize {
        self.data.nrows()
    }

    fn dimensions(&self) -> usize {
        self.data.ncols()
    }

    fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut RowBuffer) -> Result<&'a [f64]> {
        self.rows.fetch_add(range.len(), Ordering::Relaxed);
        self.data.read(range, buffer)
    }
}

type Prediction = (&'static str, fn(&KMeans, &Gmm, &dyn Rows) -> Result<()>);

const PREDICTIONS: [Prediction; 10] = [
    ("the clusters", |kmeans, _, data| kmeans.predict(data).map(drop)),
    ("the squared distances", |kmeans, _, data| kmeans.squared_distances(data).map(drop)),
    ("the distances", |kmeans, _, data| kmeans.distances(data).map(drop)),
    ("the inertia", |kmeans, _, data| kmeans.inertia(data).map(drop)),
    ("the sizes", |kmeans, _, data| kmeans.sizes(data, None).map(drop)),
    ("the components", |_, mixture, data| mixture.predict(data).map(drop)),
    ("the log-densities", |_, mixture, data| mixture.log_density(data).map(drop)),
    ("the responsibilities", |_, mixture, data| mixture.responsibilities(data).map(drop)),
    ("the log-likelihood", |_, mixture, data| mixture.log_likelihood(data).map(drop)),
    ("the criteria", |_, mixture, data| mixture.criteria(data).map(drop)),
];

#[test]
fn a_prediction_reads_each_sample_once() {
    let data = blobs(SAMPLES, 3, 5, 7);
    let (kmeans, mixture) = models(&data);
    for (name, predict) in PREDICTIONS {
        let counted = Counted { data: &data, rows: AtomicUsize::new(0) };
        predict(&kmeans, &mixture, &counted).unwrap();
        assert_eq!(counted.rows.into_inner(), SAMPLES, "{name}");
    }
}

#[test]
fn predictions_report_the_first_invalid_number() {
    let good = blobs(SAMPLES, 3, 5, 7);
    let (kmeans, mixture) = models(&good);
    for (row, column, value) in [(0, 0, f64::NAN), (7_777, 2, f64::NEG_INFINITY), (SAMPLES - 1, 1, 1e131)] {
        let mut data = good.clone();
        data[(row, column)] = value;
        data[(SAMPLES - 1, 2)] = f64::NAN; // a later one
        for (name, predict) in PREDICTIONS {
            for threads in 1..=3 {
                let error = on_threads(threads, || predict(&kmeans, &mixture, &data)).unwrap_err();
                let place = match error {
                    Error::NonFinite { row, column, .. } | Error::Magnitude { row, column, .. } => {
                        (row, column)
                    }
                    error => panic!("{name}: {error}"),
                };
                assert_eq!(place, (row, column), "{name}");
            }
        }
    }
    for (name, predict) in PREDICTIONS {
        for (shape, words) in [((0, 3), "there are no samples"), ((4, 0), "there are no columns")] {
            let error = predict(&kmeans, &mixture, &Array2::zeros(shape)).unwrap_err();
            assert!(error.to_string().starts_with(words), "{name}: {error}");
        }
    }
}

#[test]
fn models_without_clusters_or_columns_are_rejected() {
    let data = blobs(20, 2, 2, 1);
    let none = KMeans { centroids: Array2::zeros((0, 2)) };
    let narrow = KMeans { centroids: Array2::zeros((2, 0)) };
    let mixture = models(&data).1;
    let empty = data.select(Axis(1), &[]);
    for (name, predict) in &PREDICTIONS[..5] {
        let error = predict(&none, &mixture, &data).unwrap_err();
        assert!(matches!(error, Error::Empty { what: "centroids" }), "{name}: {error}");
        assert!(predict(&narrow, &mixture, &data).is_err(), "{name}");
        assert!(predict(&narrow, &mixture, &empty).is_err(), "{name}");
    }
    assert!(narrow.statistics(&empty, None, &[]).is_err());
    let mut broken = mixture.clone();
    broken.weights = ndarray::array![0.5, 0.5];
    for (name, predict) in &PREDICTIONS[5..] {
        assert!(matches!(predict(&none, &broken, &data), Err(Error::Shape { .. })), "{name}");
    }
}

#[test]
fn the_log_likelihood_equals_the_objective_of_the_fit() {
    let data = blobs(SAMPLES, 3, 5, 7);
    for &covariance in CovarianceKind::ALL {
        let options = em_routing::gmm::GmmOptions { components: 3, covariance, ..Default::default() };
        let fit = Gmm::fit(&data, &options).unwrap();
        assert_eq!(fit.model().log_likelihood(&data).unwrap(), fit.objective());
        assert_eq!(fit.model().criteria(&data).unwrap().log_likelihood, fit.objective());
    }
}
