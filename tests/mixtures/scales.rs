//! Models from outside and data of every scale: errors name the place, and the suggested regularisation works.

use em_routing::em::Stop;
use em_routing::error::Error;
use em_routing::gmm::{CovarianceKind, Covariances, Gmm, GmmOptions, GmmStart};
use em_routing::kmeans::KMeans;
use ndarray::{Array2, array};
use proptest::prelude::*;

use super::{blobs, close};

/// Extracts the regularisation suggested by the message of a collapse.
fn suggestion(error: &Error) -> f64 {
    let text = error.to_string();
    let (_, after) = text.split_once("; the regularisation ").unwrap_or_else(|| panic!("{text}"));
    after.split(' ').next().unwrap().parse().unwrap()
}

/// Fits; if a component collapses, fits again with the suggested regularisation. Returns whether it collapsed.
#[track_caller]
fn mended(data: &Array2<f64>, weights: Option<&[f64]>, options: &GmmOptions) -> bool {
    let fit = |options: &GmmOptions| match weights {
        None => Gmm::fit(data, options),
        Some(weights) => Gmm::fit_weighted(data, weights, options),
    };
    let error = match fit(options) {
        Ok(_) => return false,
        Err(error @ Error::Collapsed { .. }) => error,
        Err(error) => panic!("{error}"),
    };
    let regularisation = suggestion(&error);
    assert!(matches!(error, Error::Collapsed { suggestion, .. } if suggestion == regularisation));
    let again = fit(&GmmOptions { regularisation, ..options.clone() });
    let again = again.unwrap_or_else(|again| panic!("{error}\nand then: {again}"));
    assert!(again.objectives.iter().all(|objective| objective.is_finite()));
    true
}

#[test]
fn collapse_by_an_outlier_or_collinear_columns_suggests_a_regularisation() {
    let mut outlier = blobs(100, 2, 1, 1);
    outlier.row_mut(50).fill(1e9);
    let error = Gmm::fit(&outlier, &GmmOptions::default()).unwrap_err();
    let words = error.to_string();
    assert!(words.contains("component 0 has collapsed") && words.contains("regularisation 1e-6"), "{words}");
    assert!(matches!(error, Error::Collapsed { deviation, .. } if (deviation / 9.95e7 - 1.0).abs() < 0.01));
    assert!(mended(&outlier, None, &GmmOptions::default()));

    let along = blobs(200, 1, 3, 2);
    let collinear = Array2::from_shape_fn((200, 3), |(i, j)| 1e4 * along[(i, 0)] * (1.0 + 0.7 * j as f64));
    let error = Gmm::fit(&collinear, &GmmOptions::default()).unwrap_err();
    assert!(suggestion(&error) < 1e4, "no small part of the variances: {error}");
    assert!(mended(&collinear, None, &GmmOptions::default()));
}

proptest! {
    #[test]
    fn the_suggested_regularisation_prevents_the_collapse(
        samples in 4usize..80, dimensions in 1usize..6, components in 1usize..4, seed: u64,
        scale in prop::sample::select(vec![1e-9, 1e-3, 1.0, 1e4, 1e9, 1e60]),
        shift in prop::sample::select(vec![0.0, 1.0, 1e3, -1e7]),
        form in 0usize..4, regularisation in prop::sample::select(vec![0.0, 1e-12, 1e-6]),
        covariance in prop::sample::select(CovarianceKind::ALL.to_vec()), labels: bool, weighted: bool
    ) {
        let round = blobs(samples, dimensions, 3, seed);
        let data = Array2::from_shape_fn((samples, dimensions), |(i, j)| {
            let x = match form {
                0 => round[(i, 0)] * (1.0 + j as f64), // a line
                1 if i == samples / 2 => 1e9,
                2 if j == 0 => 0.3, // a constant column
                3 => round[(i % 2, j)], // two points
                _ => round[(i, j)],
            };
            scale * (x + shift)
        });
        let start = match labels {
            true => GmmStart::Labels((0..samples).map(|i| i % components).collect()),
            false => GmmStart::KMeans,
        };
        let options = GmmOptions {
            components, covariance, start, regularisation, seed,
            stop: Stop { max_iterations: 30, tolerance: 0.0 },
            ..Default::default()
        };
        let weights: Vec<f64> = (0..samples).map(|i| (i % 3) as f64 + 0.5).collect();
        mended(&data, weighted.then_some(&weights[..]), &options);
    }
}

fn two(covariances: Covariances) -> Gmm {
    Gmm { weights: array![0.5, 0.5], means: array![[0.0, 0.0], [1.0, 1.0]], covariances }
}

/// Passes an invalid model to every function that takes one; returns the errors.
fn refused(model: &Gmm) -> Vec<Error> {
    let data = blobs(20, 2, 2, 1);
    let covariance = model.covariance_kind();
    let start = GmmStart::Given(model.clone());
    let components = model.weights.len();
    let options = GmmOptions { components, covariance, start, ..Default::default() };
    vec![
        Gmm::new(model.weights.clone(), model.means.clone(), model.covariances.clone()).unwrap_err(),
        model.predict(&data).unwrap_err(),
        model.log_density(&data).unwrap_err(),
        model.responsibilities(&data).unwrap_err(),
        model.log_likelihood(&data).unwrap_err(),
        model.criteria(&data).unwrap_err(),
        model.sample(3, 1).unwrap_err(),
        Gmm::fit(&data, &options).unwrap_err(),
    ]
}

#[test]
fn errors_for_invalid_covariances_name_the_entry_and_do_not_mention_collapse() {
    let unit = [[1.0, 0.0], [0.0, 1.0]];
    let full = |second: [[f64; 2]; 2]| Covariances::Full(array![unit, second]);
    let cases = [
        (
            full([[1.0, 0.5], [0.2, 1.0]]),
            "component 1 is not symmetric: row 0, column 1 is 0.5, but row 1, column 0 is 0.2",
        ),
        (full([[1.0, f64::NAN], [0.2, 1.0]]), "covariances[1, 0, 1] is NaN, but should be finite"),
        (full([[1.0, 0.0], [0.0, f64::INFINITY]]), "covariances[1, 1, 1] is inf, but should be finite"),
        (full([[1.0, 2.0], [2.0, 1.0]]), "component 1 is not positive definite"),
        (full([[-1.0, 0.0], [0.0, 1.0]]), "component 1 is not positive definite"),
        (
            Covariances::Tied(array![[1.0, 0.5], [0.0, 1.0]]),
            "row 0, column 1 is 0.5, but row 1, column 0 is 0",
        ),
        (Covariances::Tied(array![[1.0, 0.0], [f64::NAN, 1.0]]), "covariances[1, 0] is NaN"),
        (Covariances::Diagonal(array![[1.0, 1.0], [1.0, 0.0]]), "component 1 is not positive definite"),
        (Covariances::Diagonal(array![[1.0, 1.0], [f64::NAN, 1.0]]), "covariances[1, 0] is NaN"),
        (Covariances::Spherical(array![-2.0, 1.0]), "component 0 is not positive definite"),
        (Covariances::Spherical(array![2.0, f64::NEG_INFINITY]), "covariances[1] is -inf"),
    ];
    for (covariances, words) in cases {
        for error in refused(&two(covariances)) {
            let text = error.to_string();
            assert!(text.contains(words), "{text} (expected: {words})");
            assert!(!text.contains("collapse") && !text.contains("regularisation"), "{text}");
        }
    }
    let mut lost = two(full(unit));
    lost.means[(1, 0)] = f64::NAN;
    for error in refused(&lost) {
        assert_eq!(error.to_string(), "means[1, 0] is NaN, but should be within 1e130 of 0");
    }
}

#[test]
fn mixtures_rounded_to_f32_are_normalised_and_made_symmetric() {
    let rounded = |x: f64| f64::from(x as f32);
    let k = 3;
    let weights = array![0.1, 0.7, 0.2].mapv(rounded);
    assert!((weights.sum() - 1.0).abs() > 1e-9, "{:e}", weights.sum() - 1.0);
    let means = Array2::from_shape_fn((k, 2), |(i, j)| (i * 2 + j) as f64);
    let mut full = ndarray::Array3::zeros((k, 2, 2));
    for i in 0..k {
        let (a, b, c) = (rounded(2.0 + 0.1 * i as f64), rounded(0.7), rounded(1.0 / 3.0));
        full.index_axis_mut(ndarray::Axis(0), i).assign(&array![[a, c], [f64::from(1.0f32 / 3.0 + 6e-8), b]]);
    }
    assert!(full[(0, 0, 1)] != full[(0, 1, 0)]);
    let literal =
        Gmm { weights: weights.clone(), means: means.clone(), covariances: Covariances::Full(full) };
    let model = Gmm::new(weights, means, literal.covariances.clone()).unwrap();
    assert!((model.weights.sum() - 1.0).abs() <= 1e-15);
    let Covariances::Full(symmetric) = &model.covariances else { unreachable!() };
    assert_eq!(symmetric[(0, 0, 1)], symmetric[(0, 1, 0)]);
    let data = blobs(50, 2, 3, 2);
    let found = literal.log_density(&data).unwrap();
    close("log-density", &found, &model.log_density(&data).unwrap(), 1e-14);
    assert_eq!(literal.predict(&data).unwrap(), model.predict(&data).unwrap());
    assert_eq!(literal.sample(40, 3).unwrap(), model.sample(40, 3).unwrap());
    let stop = Stop { max_iterations: 2, tolerance: 0.0 };
    let start = GmmStart::Given(literal);
    let fit =
        Gmm::fit(&data, &GmmOptions { components: k, start, stop, keep_models: true, ..Default::default() });
    assert_eq!(fit.unwrap().models[0], model);
    // a single weight
    let one = Covariances::Spherical(array![1.0]);
    assert_eq!(Gmm::new(array![1.00000006], array![[0.0]], one.clone()).unwrap().weights, array![1.0]);
    assert!(matches!(Gmm::new(array![1.00001], array![[0.0]], one), Err(Error::Probability { .. })));
}

#[test]
fn a_wrong_number_of_columns_is_reported() {
    let data = Array2::zeros((4, 3));
    let words = "the data have 3 columns, but the model 2";
    let kmeans = KMeans { centroids: Array2::zeros((2, 2)) };
    let found = [
        kmeans.predict(&data).unwrap_err(),
        kmeans.squared_distances(&data).unwrap_err(),
        kmeans.distances(&data).unwrap_err(),
        kmeans.inertia(&data).unwrap_err(),
        kmeans.sizes(&data, None).unwrap_err(),
        kmeans.empty_clusters(&data, None).unwrap_err(),
        kmeans.statistics(&data, None, &[0.0; 2]).unwrap_err(),
    ];
    for error in found {
        assert_eq!(error.to_string(), words);
    }
    let model = Gmm::standard(Array2::zeros((2, 2)), CovarianceKind::Full);
    let found = [
        model.predict(&data).unwrap_err(),
        model.log_density(&data).unwrap_err(),
        model.responsibilities(&data).unwrap_err(),
        model.log_likelihood(&data).unwrap_err(),
        model.criteria(&data).unwrap_err(),
        model.statistics(&data, None).unwrap_err(),
    ];
    for error in found {
        assert_eq!(error.to_string(), words);
    }
    let start = GmmStart::Given(model);
    let error = Gmm::fit(&data, &GmmOptions { components: 2, start, ..Default::default() }).unwrap_err();
    assert_eq!(error.to_string(), "the data have 3 columns, but the start 2");
}
