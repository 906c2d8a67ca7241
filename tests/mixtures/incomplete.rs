//! Missing values: NaN in a table in `Incomplete` for every kind of fit.

use em_routing::data::{Incomplete, Rows, npy};
use em_routing::em::Stop;
use em_routing::error::Error;
use em_routing::gmm::{CovarianceKind, Covariances, Gmm, GmmOptions, GmmStart};
use em_routing::kmeans::{KMeans, KMeansOptions, KMeansStart};
use ndarray::{Array1, Array2, Array3, Axis, array, s};

use super::missing::{holed, model, sample};
use super::{blobs, close, close_each};

const NAN: f64 = f64::NAN;

#[test]
fn the_log_likelihood_never_falls_and_the_inertia_never_rises() {
    for seed in 0..6 {
        let data = holed(&blobs(150, 4, 3, seed), 0.1 * (1 + seed) as f64, seed);
        for &covariance in CovarianceKind::ALL {
            for start in [GmmStart::KMeans, GmmStart::RandomResponsibilities] {
                let stop = Stop { max_iterations: 60, tolerance: -1.0 };
                let options = GmmOptions {
                    components: 2,
                    covariance,
                    start,
                    seed,
                    regularisation: 0.0,
                    stop,
                    ..Default::default()
                };
                let fit = Gmm::fit(&Incomplete(&data), &options).unwrap();
                for pair in fit.objectives.windows(2) {
                    assert!(pair[1] >= pair[0] - 1e-9 * pair[0].abs(), "{covariance:?}: {pair:?}");
                }
            }
        }
        for start in [KMeansStart::PlusPlus, KMeansStart::RandomPoints] {
            let options = KMeansOptions { clusters: 4, start, seed, ..Default::default() };
            let fit = KMeans::fit(&Incomplete(&data), &options).unwrap();
            assert!(fit.converged);
            for pair in fit.objectives.windows(2) {
                assert!(pair[1] >= pair[0] - 1e-9 * pair[0].abs(), "{pair:?}");
            }
        }
    }
}

#[test]
fn a_table_without_missing_values_gives_the_same_bits() {
    let data = blobs(5000, 3, 3, 5);
    let weights: Vec<f64> = (0..5000).map(|i| (i % 3) as f64 / 2.0).collect();
    for &covariance in CovarianceKind::ALL {
        for start in [
            GmmStart::KMeans,
            GmmStart::RandomResponsibilities,
            GmmStart::Labels((0..5000).map(|i| i % 3).collect()),
        ] {
            let stop = Stop { max_iterations: 5, tolerance: 0.0 };
            let options = GmmOptions { components: 3, covariance, start, stop, ..Default::default() };
            let fit = Gmm::fit(&data, &options).unwrap();
            assert_eq!(fit, Gmm::fit(&Incomplete(&data), &options).unwrap());
            assert_eq!(
                Gmm::fit_weighted(&data, &weights, &options).unwrap(),
                Gmm::fit_weighted(&Incomplete(&data), &weights, &options).unwrap()
            );
            let model = fit.model();
            assert_eq!(model.criteria(&data).unwrap(), model.criteria(&Incomplete(&data)).unwrap());
            assert_eq!(
                model.responsibilities(&data).unwrap(),
                model.responsibilities(&Incomplete(&data)).unwrap()
            );
        }
    }
    for start in [
        KMeansStart::PlusPlus,
        KMeansStart::RandomPoints,
        KMeansStart::Given(array![[0.0, 0.0, 0.0], [99.0, 0.0, 0.0], [0.5, 0.0, 0.0]]),
    ] {
        let options = KMeansOptions { clusters: 3, start, ..Default::default() };
        let fit = KMeans::fit(&data, &options).unwrap();
        assert_eq!(fit, KMeans::fit(&Incomplete(&data), &options).unwrap());
        assert_eq!(
            KMeans::fit_weighted(&data, &weights, &options).unwrap(),
            KMeans::fit_weighted(&Incomplete(&data), &weights, &options).unwrap()
        );
        assert_eq!(fit.model().distances(&data).unwrap(), fit.model().distances(&Incomplete(&data)).unwrap());
    }
}

#[test]
fn the_parameters_are_recovered_with_30_percent_missing() {
    for &kind in CovarianceKind::ALL {
        let (truth, data) = (model(kind), sample(kind, 5000, 6));
        let options = GmmOptions { components: 3, covariance: kind, restarts: 3, ..Default::default() };
        let fit = Gmm::fit(&Incomplete(&data), &options).unwrap();
        let found = fit.model();
        for k in 0..3 {
            let distance = |of: usize| {
                (0..3).map(|j| (found.means[(of, j)] - truth.means[(k, j)]).powi(2)).sum::<f64>().sqrt()
            };
            let of = (0..3).min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap();
            assert!(distance(of) <= 0.15, "{kind:?}: {found:?}");
            assert!((found.weights[of] - truth.weights[k]).abs() <= 0.03, "{kind:?}: {found:?}");
            let difference = found.covariance(of) - truth.covariance(k);
            assert!(difference.iter().all(|x| x.abs() <= 0.2), "{kind:?}: {difference:?}");
        }
    }
}

/// Inserts a row without any value before every seventh row.
fn with_empty_rows(data: &Array2<f64>) -> (Array2<f64>, Vec<usize>) {
    let (mut all, mut places) = (Vec::new(), Vec::new());
    for (i, row) in data.rows().into_iter().enumerate() {
        if i % 7 == 0 {
            all.extend(vec![NAN; data.ncols()]);
        }
        places.push(all.len() / data.ncols());
        all.extend(row);
    }
    (Array2::from_shape_vec((all.len() / data.ncols(), data.ncols()), all).unwrap(), places)
}

#[test]
fn rows_without_any_value_count_for_nothing() {
    let data = holed(&blobs(200, 5, 3, 7), 0.3, 7);
    assert!(data.rows().into_iter().all(|row| row.iter().any(|x| !x.is_nan())));
    let (all, places) = with_empty_rows(&data);
    let weights: Vec<f64> = (0..200).map(|i| 0.5 + (i % 3) as f64).collect();
    let mut all_weights = vec![4.0; all.nrows()];
    places.iter().zip(&weights).for_each(|(&at, &weight)| all_weights[at] = weight);
    for start in [GmmStart::KMeans, GmmStart::RandomResponsibilities] {
        let options = GmmOptions { components: 3, start, ..Default::default() };
        let fit = Gmm::fit(&Incomplete(&data), &options).unwrap();
        assert_eq!(fit, Gmm::fit(&Incomplete(&all), &options).unwrap());
        let model = fit.model();
        assert_eq!(model.criteria(&Incomplete(&data)).unwrap(), model.criteria(&Incomplete(&all)).unwrap());
        assert_eq!(
            Gmm::fit_weighted(&Incomplete(&data), &weights, &options).unwrap(),
            Gmm::fit_weighted(&Incomplete(&all), &all_weights, &options).unwrap()
        );
        let responsibilities = model.responsibilities(&Incomplete(&all)).unwrap();
        close("responsibilities", &responsibilities.row(0), &model.weights, 1e-14);
        assert!(model.log_density(&Incomplete(&all)).unwrap()[0].abs() <= 1e-14);
    }
    for start in [KMeansStart::PlusPlus, KMeansStart::RandomPoints] {
        let options = KMeansOptions { clusters: 3, start, ..Default::default() };
        let fit = KMeans::fit(&Incomplete(&data), &options).unwrap();
        assert_eq!(fit, KMeans::fit(&Incomplete(&all), &options).unwrap());
        let model = fit.model();
        assert_eq!(
            model.sizes(&Incomplete(&data), None).unwrap(),
            model.sizes(&Incomplete(&all), None).unwrap()
        );
        assert_eq!(model.predict(&Incomplete(&all)).unwrap()[0], 0);
        assert_eq!(model.squared_distances(&Incomplete(&all)).unwrap()[0], 0.0);
    }
}

#[test]
fn results_do_not_depend_on_threads_or_on_other_rows() {
    let data = holed(&blobs(9000, 3, 3, 8), 0.3, 8);
    let stop = Stop { max_iterations: 4, tolerance: 0.0 };
    let gmm = |threads| {
        let options = GmmOptions { components: 3, stop, threads, ..Default::default() };
        Gmm::fit(&Incomplete(&data), &options).unwrap()
    };
    let kmeans = |threads| {
        let options = KMeansOptions { clusters: 5, threads, ..Default::default() };
        KMeans::fit(&Incomplete(&data), &options).unwrap()
    };
    for threads in [2, 3] {
        assert_eq!(gmm(1), gmm(threads));
        assert_eq!(kmeans(1), kmeans(threads));
    }
    let model = gmm(1).into_model();
    let all = model.responsibilities(&Incomplete(&data)).unwrap();
    let (labels, log_density) =
        (model.predict(&Incomplete(&data)).unwrap(), model.log_density(&Incomplete(&data)).unwrap());
    let nearest = kmeans(1).into_model();
    let clusters = nearest.predict(&Incomplete(&data)).unwrap();
    for row in (0..9000).step_by(61) {
        let one = data.slice(s![row..row + 1, ..]);
        let one = Incomplete(&one);
        close("responsibilities", &all.row(row), &model.responsibilities(&one).unwrap().row(0), 1e-12);
        assert_eq!(labels[row], model.predict(&one).unwrap()[0]);
        assert!((log_density[row] - model.log_density(&one).unwrap()[0]).abs() <= 1e-12);
        assert_eq!(clusters[row], nearest.predict(&one).unwrap()[0]);
    }
}

#[test]
fn a_file_gives_the_same_fit_as_memory() {
    let data = holed(&blobs(5000, 3, 3, 9), 0.3, 9);
    let path = std::env::temp_dir().join(format!("em-routing-missing-{}.npy", std::process::id()));
    npy::write(&path, &data, npy::Precision::F64).unwrap();
    let file = npy::NpyFile::open(&path).unwrap();
    let options = GmmOptions { components: 3, ..Default::default() };
    assert_eq!(
        Gmm::fit(&Incomplete(&file), &options).unwrap(),
        Gmm::fit(&Incomplete(&data), &options).unwrap()
    );
    assert!(matches!(Gmm::fit(&file, &options), Err(Error::NonFinite { .. })));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_sample_weight_of_n_counts_like_n_samples() {
    let data = holed(&blobs(80, 3, 3, 10), 0.3, 10);
    let counts: Vec<usize> = (0..80).map(|i| i % 4).collect();
    let weights: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
    let repeated: Vec<usize> = (0..80).flat_map(|i| std::iter::repeat_n(i, counts[i])).collect();
    let rows = data.select(Axis(0), &repeated);
    for &covariance in CovarianceKind::ALL {
        let labels = |of: &[usize]| GmmStart::Labels(of.iter().map(|i| i % 3).collect());
        let stop = Stop { max_iterations: 5, tolerance: 0.0 };
        let options = |start| GmmOptions { components: 3, covariance, start, stop, ..Default::default() };
        let all: Vec<usize> = (0..80).collect();
        let found = Gmm::fit_weighted(&Incomplete(&data), &weights, &options(labels(&all))).unwrap();
        let expected = Gmm::fit(&Incomplete(&rows), &options(labels(&repeated))).unwrap();
        close_each("objectives", &found.objectives, &expected.objectives, 1e-9);
        close("means", &found.model().means, &expected.model().means, 1e-8);
    }
    // a distant centroid makes a cluster empty: the farthest point moves to it
    let start = KMeansStart::Given(array![[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [500.0, 500.0, 500.0]]);
    let stop = Stop { max_iterations: 6, tolerance: -1.0 };
    let options = KMeansOptions { clusters: 3, start, stop, ..Default::default() };
    let found = KMeans::fit_weighted(&Incomplete(&data), &weights, &options).unwrap();
    let expected = KMeans::fit(&Incomplete(&rows), &options).unwrap();
    close_each("objectives", &found.objectives, &expected.objectives, 1e-9);
    close("centroids", &found.model().centroids, &expected.model().centroids, 1e-9);
    assert!(found.model().centroids.iter().all(|x| x.abs() < 20.0), "{:?}", found.model());
}

#[test]
fn kmeans_measures_over_observed_values() {
    for dimensions in [1, 2, 5, 17] {
        let data = holed(&blobs(150, dimensions, 3, 11), 0.25, 11);
        let start = blobs(4, dimensions, 4, 12);
        let square = |row: usize, j: usize| -> f64 {
            let z = (0..dimensions).map(|h| data[(row, h)] - start[(j, h)]);
            z.filter(|z| !z.is_nan()).map(|z| z * z).sum()
        };
        let nearest =
            |row: usize| (0..4).fold(0, |best, j| if square(row, j) < square(row, best) { j } else { best });
        let labels: Array1<usize> = (0..150).map(nearest).collect();
        let model = KMeans { centroids: start.clone() };
        assert_eq!(model.predict(&Incomplete(&data)).unwrap(), labels);
        let squares: Array1<f64> = (0..150).map(|row| square(row, labels[row])).collect();
        close("squares", &model.squared_distances(&Incomplete(&data)).unwrap(), &squares, 1e-14);
        let distances = Array2::from_shape_fn((150, 4), |(row, j)| square(row, j).sqrt());
        close("distances", &model.distances(&Incomplete(&data)).unwrap(), &distances, 1e-14);
        let inertia = model.inertia(&Incomplete(&data)).unwrap();
        assert!((inertia - squares.sum()).abs() <= 1e-12 * inertia);
        let next = Array2::from_shape_fn((4, dimensions), |(j, h)| {
            let values: Vec<f64> = (0..150)
                .filter(|&row| labels[row] == j && !data[(row, h)].is_nan())
                .map(|row| data[(row, h)])
                .collect();
            if values.is_empty() { start[(j, h)] } else { values.iter().sum::<f64>() / values.len() as f64 }
        });
        let statistics = model.statistics(&Incomplete(&data), None, &vec![0.3; dimensions]).unwrap();
        close("centroids", &statistics.maximisation(&model).centroids, &next, 1e-13);
    }
}

#[test]
fn starts_cope_with_clusters_that_lack_a_column() {
    // cluster 1 has no value in column 1, and column 2 is constant
    let data = array![
        [0.0, 0.1, 5.0],
        [0.3, NAN, 5.0],
        [0.1, -0.2, NAN],
        [9.0, NAN, 5.0],
        [9.4, NAN, NAN],
        [9.1, NAN, 5.0]
    ];
    for &covariance in CovarianceKind::ALL {
        for start in
            [GmmStart::KMeans, GmmStart::RandomResponsibilities, GmmStart::Labels(array![0, 0, 0, 1, 1, 1])]
        {
            let options =
                GmmOptions { components: 2, covariance, start, regularisation: 1e-3, ..Default::default() };
            let fit = Gmm::fit(&Incomplete(&data), &options).unwrap();
            assert!(fit.objectives.iter().chain(&fit.model().means).all(|x| x.is_finite()));
        }
    }
    for clusters in 1..=6 {
        for start in [KMeansStart::PlusPlus, KMeansStart::RandomPoints] {
            let fit =
                KMeans::fit(&Incomplete(&data), &KMeansOptions { clusters, start, ..Default::default() });
            assert!(fit.unwrap().model().centroids.iter().all(|x| x.is_finite()));
        }
    }
}

#[test]
fn faults_of_incomplete_tables_are_named() {
    let kmeans = |data: &dyn Rows| KMeans::fit(data, &KMeansOptions { clusters: 2, ..Default::default() });
    let gmm = |data: &dyn Rows| Gmm::fit(data, &GmmOptions { components: 2, ..Default::default() });
    let mut data = holed(&blobs(30, 3, 2, 13), 0.2, 13);
    assert!(kmeans(&Incomplete(&data)).is_ok() && gmm(&Incomplete(&data)).is_ok());
    // without the wrapper, with the remedy
    for error in [kmeans(&data).unwrap_err(), gmm(&data).unwrap_err()] {
        assert!(matches!(error, Error::NonFinite { .. }));
        assert!(error.to_string().ends_with("`Incomplete(&data)`"), "{error}");
    }
    let model = model(CovarianceKind::Full);
    assert!(matches!(model.predict(&data), Err(Error::NonFinite { .. })));
    let full = data.clone();
    data.column_mut(1).fill(NAN);
    for error in [kmeans(&Incomplete(&data)).unwrap_err(), gmm(&Incomplete(&data)).unwrap_err()] {
        assert!(matches!(error, Error::NoValues { column: 1 }), "{error}");
        assert!(error.to_string().starts_with("column 1 has no value"), "{error}");
    }
    // a model that exists has its marginal
    assert!(model.criteria(&Incomplete(&data)).unwrap().bic.is_finite());
    let none = Array2::from_elem((30, 3), NAN);
    for error in [kmeans(&Incomplete(&none)).unwrap_err(), gmm(&Incomplete(&none)).unwrap_err()] {
        assert!(matches!(error, Error::NoValues { column: 0 }), "{error}");
    }
    assert!(matches!(model.criteria(&Incomplete(&none)), Err(Error::NoValues { .. })));
    for (bad, magnitude) in [(f64::INFINITY, false), (f64::NEG_INFINITY, false), (1e200, true)] {
        let mut data = full.clone();
        data[(29, 2)] = bad;
        let errors = [
            kmeans(&Incomplete(&data)).unwrap_err(),
            gmm(&Incomplete(&data)).unwrap_err(),
            model.log_density(&Incomplete(&data)).unwrap_err(),
        ];
        for error in errors {
            match error {
                Error::NonFinite { row: 29, column: 2, .. } if !magnitude => {}
                Error::Magnitude { row: 29, column: 2, .. } if magnitude => {}
                error => panic!("{error}"),
            }
        }
    }
    let mut few = Array2::from_elem((5, 2), NAN);
    few[(2, 0)] = 1.0;
    few[(2, 1)] = 2.0;
    assert!(matches!(gmm(&Incomplete(&few)), Err(Error::TooFewCounted { counted: 1, samples: 5, .. })));
    // an impossible sample is named by its row in the whole table
    let narrow = Gmm::standard(array![[0.0, 0.0]], CovarianceKind::Full);
    let narrow = Gmm {
        covariances: Covariances::Full(Array3::from_shape_fn(
            (1, 2, 2),
            |(_, i, j)| if i == j { 1e-100 } else { 0.0 },
        )),
        ..narrow
    };
    let rows = array![[NAN, NAN], [0.0, NAN], [NAN, 1e120]];
    assert!(matches!(narrow.log_density(&Incomplete(&rows)), Err(Error::Impossible { index: 2 })));
    assert!(matches!(narrow.criteria(&Incomplete(&rows)), Err(Error::Impossible { index: 2 })));
    assert!(matches!(narrow.statistics(&Incomplete(&rows), None), Err(Error::Impossible { index: 2 })));
    let error = gmm(&Incomplete(&Array2::zeros((0, 2)))).unwrap_err();
    assert!(matches!(error, Error::Empty { what: "samples" }), "{error}");
}
