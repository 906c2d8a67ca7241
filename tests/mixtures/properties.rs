//! Properties that hold for all data.

use em_routing::em::Stop;
use em_routing::error::Error;
use em_routing::gmm::{CovarianceKind, Covariances, Gmm, GmmOptions, GmmStart, plain};
use em_routing::kmeans::{KMeans, KMeansOptions, KMeansStart};
use ndarray::{Array1, Array2, Array3, Axis, array};
use proptest::prelude::*;

use super::{blobs, close, close_each};

const KINDS: &[CovarianceKind] = CovarianceKind::ALL;

fn kinds() -> impl Strategy<Value = CovarianceKind> {
    prop::sample::select(KINDS.to_vec())
}

/// A start with some of the samples as means.
fn start_at(data: &Array2<f64>, components: usize, kind: CovarianceKind) -> Gmm {
    let step = data.nrows() / components;
    let rows: Vec<usize> = (0..components).map(|k| k * step).collect();
    Gmm::standard(data.select(Axis(0), &rows), kind)
}

fn options(start: Gmm, regularisation: f64, max_iterations: usize) -> GmmOptions {
    GmmOptions {
        components: start.weights.len(),
        covariance: start.covariance_kind(),
        start: GmmStart::Given(start),
        regularisation,
        stop: Stop { max_iterations, tolerance: -1.0 },
        ..Default::default()
    }
}

proptest! {
    #[test]
    fn the_likelihood_never_falls(
        samples in 30usize..300, dimensions in 1usize..5, components in 1usize..5, kind in kinds(), seed: u64
    ) {
        let data = blobs(samples, dimensions, 3, seed);
        let start = start_at(&data, components, kind);
        match Gmm::fit(&data, &options(start, 0.0, 40)) {
            Ok(fit) => {
                for pair in fit.objectives.windows(2) {
                    prop_assert!(pair[1] >= pair[0] - 1e-9 * pair[0].abs(), "{pair:?}");
                }
                let sums = fit.model().responsibilities(&data).unwrap().sum_axis(Axis(1));
                prop_assert!(sums.iter().all(|sum| (sum - 1.0).abs() <= 1e-12));
                prop_assert!((fit.model().weights.sum() - 1.0).abs() <= 1e-12);
            }
            Err(error) => prop_assert!(matches!(error, Error::Collapsed { .. }), "{error}"),
        }
    }

    #[test]
    fn the_inertia_never_rises(
        samples in 1usize..300, dimensions in 1usize..5, clusters in 1usize..12, seed: u64, plus_plus: bool
    ) {
        prop_assume!(clusters <= samples);
        let data = blobs(samples, dimensions, 3, seed).mapv(|x| (4.0 * x).round()); // many duplicates
        let start = if plus_plus { KMeansStart::PlusPlus } else { KMeansStart::RandomPoints };
        let fit = KMeans::fit(&data, &KMeansOptions { clusters, start, seed, ..Default::default() }).unwrap();
        // Centroids are rounded, so an inertia of 0 may rise by the square of the rounding error.
        let largest = data.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        let rounding = (samples * dimensions) as f64 * (1e-15 * largest).powi(2);
        for pair in fit.objectives.windows(2) {
            prop_assert!(pair[1] >= pair[0] - 1e-12 * pair[0].abs() - rounding, "{pair:?}");
        }
        prop_assert!(fit.converged);
        prop_assert!(fit.model().centroids.iter().all(|c| c.is_finite()));
    }

    #[test]
    fn the_fast_implementation_of_em_matches_the_plain_one(
        samples in 10usize..400, dimensions in 1usize..9, components in 1usize..6, kind in kinds(), seed: u64
    ) {
        prop_assume!(components <= samples);
        let data = blobs(samples, dimensions, 4, seed);
        let start = start_at(&data, components, kind);
        let stop = Stop { max_iterations: 5, tolerance: -1.0 };
        let fast = Gmm::fit(&data, &options(start.clone(), 1e-3, 5)).unwrap();
        let slow = plain::fit(&data, &start, 1e-3, stop).unwrap();
        close_each("log-likelihood", &fast.objectives, &slow.objectives, 1e-8);
        compare(fast.model(), slow.model());
        let (responsibilities, _) = plain::expectation(&data, slow.model()).unwrap();
        close("responsibilities", &fast.model().responsibilities(&data).unwrap(), &responsibilities, 1e-8);
    }

    #[test]
    fn the_order_of_samples_and_components_does_not_change_a_fit(
        samples in 30usize..200, dimensions in 1usize..4, components in 1usize..5, kind in kinds(), seed: u64
    ) {
        let data = blobs(samples, dimensions, 3, seed);
        let start = start_at(&data, components, kind);
        let expected = Gmm::fit(&data, &options(start.clone(), 1e-2, 5)).unwrap();
        let reversed: Vec<usize> = (0..samples).rev().collect();
        let upside_down = data.select(Axis(0), &reversed);
        let samples_permuted = Gmm::fit(&upside_down, &options(start.clone(), 1e-2, 5)).unwrap();
        close_each("log-likelihood", &samples_permuted.objectives, &expected.objectives, 1e-9);
        compare(samples_permuted.model(), expected.model());

        let order: Vec<usize> = (0..components).map(|k| (k + 1) % components).collect();
        let components_permuted = Gmm::fit(&data, &options(permuted(&start, &order), 1e-2, 5)).unwrap();
        close_each("log-likelihood", &components_permuted.objectives, &expected.objectives, 1e-9);
        compare(components_permuted.model(), &permuted(expected.model(), &order));
    }

    #[test]
    fn scaling_and_shifting_the_data_scales_and_shifts_the_model(
        samples in 60usize..200, dimensions in 1usize..4, components in 1usize..4, kind in kinds(), seed: u64,
        scale in prop::sample::select(vec![1e-6, 0.3, 1.0, 7.0, 1e6]), shift in -100.0f64..100.0
    ) {
        let data = blobs(samples, dimensions, 3, seed);
        let moved = data.mapv(|x| scale * (x + shift));
        let start = start_at(&data, components, kind);
        let move_along = |model: &Gmm| {
            let mut model = model.clone();
            model.means.mapv_inplace(|x| scale * (x + shift));
            model.covariances.values_mut().mapv_inplace(|x| scale * scale * x);
            model
        };
        let (Ok(expected), Ok(found)) = (
            Gmm::fit(&data, &options(start.clone(), 0.0, 5)),
            Gmm::fit(&moved, &options(move_along(&start), 0.0, 5)),
        ) else {
            return Ok(()); // a component has collapsed
        };
        let expected_model = move_along(expected.model());
        close("weights", &found.model().weights, &expected_model.weights, 1e-8);
        close("means", &found.model().means, &expected_model.means, 1e-8);
        for k in 0..components {
            close("covariance", &found.model().covariance(k), &expected_model.covariance(k), 1e-8);
        }
        // log p of a sample in d dimensions changes by d log scale, since a density is per volume.
        let change = (samples * dimensions) as f64 * f64::ln(scale);
        for (found, expected) in found.objectives.iter().zip(expected.objectives) {
            prop_assert!((found + change - expected).abs() <= 1e-8 * (expected.abs() + change.abs()));
        }

        let clusters = components;
        let kmeans = |data: &Array2<f64>, start: Array2<f64>| {
            let start = KMeansStart::Given(start);
            KMeans::fit(data, &KMeansOptions { clusters, start, ..Default::default() }).unwrap()
        };
        let expected = kmeans(&data, start.means.clone());
        let found = kmeans(&moved, start.means.mapv(|x| scale * (x + shift)));
        let expected_centroids = expected.model().centroids.mapv(|x| scale * (x + shift));
        close("centroids", &found.model().centroids, &expected_centroids, 1e-8);
    }

    #[test]
    fn a_sample_weight_of_n_counts_like_n_samples_in_a_mixture(
        samples in 10usize..120, dimensions in 1usize..4, components in 1usize..4, kind in kinds(), seed: u64
    ) {
        let data = blobs(samples, dimensions, 3, seed);
        let counts: Vec<usize> = (0..samples).map(|i| (i * 7 + seed as usize % 5) % 3).collect();
        let repeated: Vec<usize> = (0..samples).flat_map(|i| std::iter::repeat_n(i, counts[i])).collect();
        prop_assume!(repeated.len() >= components);
        let weights: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
        let options = options(start_at(&data, components, kind), 1e-2, 5);
        let weighted = Gmm::fit_weighted(&data, &weights, &options).unwrap();
        let expected = Gmm::fit(&data.select(Axis(0), &repeated), &options).unwrap();
        close_each("log-likelihood", &weighted.objectives, &expected.objectives, 1e-9);
        compare(weighted.model(), expected.model());
        let none = Gmm::fit_weighted(&data, &vec![1.0; samples], &options).unwrap();
        prop_assert_eq!(none, Gmm::fit(&data, &options).unwrap());
    }

    #[test]
    fn extreme_inputs_cause_neither_panic_nor_nan(
        rows in 0usize..40, columns in 0usize..5, components in 0usize..7, kind in kinds(), seed: u64,
        palette in prop::collection::vec(hostile(), 1..4), floor in prop::sample::select(vec![0.0, 1e-300, 1e-6, 1.0, -1.0, f64::NAN]),
        start in 0usize..5, restarts in 0usize..3
    ) {
        let mut state = seed;
        let mut pick = |choices: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % choices
        };
        let data = Array2::from_shape_simple_fn((rows, columns), || palette[pick(palette.len())]);
        let stop = Stop { max_iterations: 10, tolerance: 0.0 };
        let points = Array2::from_shape_simple_fn((components, columns), || palette[pick(palette.len())]);

        let kmeans_start = match start {
            0 => KMeansStart::PlusPlus,
            1 => KMeansStart::RandomPoints,
            2 => KMeansStart::Given(Array2::zeros((components, columns + 1))),
            _ => KMeansStart::Given(points.clone()),
        };
        let kmeans = KMeansOptions { clusters: components, start: kmeans_start, restarts, seed, stop, keep_models: true, threads: 1 };
        if let Ok(fit) = KMeans::fit(&data, &kmeans) {
            prop_assert!(fit.objectives.iter().all(|x| x.is_finite()));
            prop_assert!(fit.models.iter().all(|model| model.centroids.iter().all(|x| x.is_finite())));
            prop_assert!(fit.model().predict(&data).unwrap().iter().all(|&label| label < components));
            prop_assert!(fit.model().distances(&data).unwrap().iter().all(|x| x.is_finite()));
        }

        let gmm_start = match start {
            0 => GmmStart::KMeans,
            1 => GmmStart::RandomResponsibilities,
            2 => GmmStart::Labels((0..rows).map(|_| pick(components.max(1))).collect()),
            3 => GmmStart::Given(Gmm::standard(points, kind)),
            _ => {
                let mut start = Gmm::standard(points, kind);
                start.weights.mapv_inplace(|_| palette[0]);
                GmmStart::Given(start)
            }
        };
        let mixture = GmmOptions {
            components, covariance: kind, start: gmm_start, restarts, seed, regularisation: floor, stop, keep_models: true, threads: 1,
        };
        if let Ok(fit) = Gmm::fit(&data, &mixture) {
            prop_assert!(fit.objectives.iter().all(|objective| objective.is_finite()));
            for model in &fit.models {
                prop_assert!(model.weights.iter().chain(&model.means).all(|x| x.is_finite()));
                for k in 0..components {
                    prop_assert!(model.covariance(k).iter().all(|x| x.is_finite()));
                }
            }
            let model = fit.model();
            prop_assert!(model.responsibilities(&data).unwrap().iter().all(|x| (0.0..=1.0 + 1e-9).contains(x)));
            prop_assert!(model.log_density(&data).unwrap().iter().all(|x| x.is_finite()));
            prop_assert!(model.predict(&data).unwrap().iter().all(|&label| label < components));
            prop_assert!(model.criteria(&data).unwrap().icl.is_finite());
            prop_assert!(model.sample(5, seed).unwrap().0.iter().all(|x| x.is_finite()));
        }
        let weights: Vec<f64> = (0..rows).map(|_| palette[pick(palette.len())]).collect();
        if let Ok(fit) = Gmm::fit_weighted(&data, &weights, &mixture) {
            prop_assert!(fit.objective().is_finite());
        }
    }
}

fn hostile() -> impl Strategy<Value = f64> {
    let extremes = [
        0.0,
        -0.0,
        1.0,
        1.0 + f64::EPSILON,
        -1.0,
        0.1,
        3.0,
        1e-308,
        5e-324,
        1e-160,
        1e-20,
        1e20,
        1e100,
        -1e129,
        1e130,
        1e140,
        f64::MAX,
        f64::MIN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    // mostly numbers that a fit can handle
    prop_oneof![6 => -10.0..10.0f64, 3 => prop::sample::select(extremes[..13].to_vec()), 1 => prop::sample::select(extremes.to_vec())]
}

fn compare(found: &Gmm, expected: &Gmm) {
    close("weights", &found.weights, &expected.weights, 1e-8);
    close("means", &found.means, &expected.means, 1e-8);
    for component in 0..expected.weights.len() {
        close("covariance", &found.covariance(component), &expected.covariance(component), 1e-8);
    }
}

fn permuted(model: &Gmm, order: &[usize]) -> Gmm {
    let weights = model.weights.select(Axis(0), order);
    let matrices: Vec<Array2<f64>> = order.iter().map(|&component| model.covariance(component)).collect();
    let matrices: Vec<_> = matrices.iter().map(|matrix| matrix.view()).collect();
    let matrices = ndarray::stack(Axis(0), &matrices).unwrap();
    let covariances = Covariances::from_matrices(model.covariance_kind(), &weights, matrices).unwrap();
    Gmm { weights, means: model.means.select(Axis(0), order), covariances }
}

#[test]
fn the_number_of_threads_does_not_change_a_fit() {
    let data = blobs(10_000, 5, 6, 11);
    for &kind in KINDS {
        let fit = |threads: usize| {
            let start = GmmStart::RandomResponsibilities;
            let stop = Stop { max_iterations: 6, tolerance: 0.0 };
            let options =
                GmmOptions { components: 6, covariance: kind, threads, start, stop, ..Default::default() };
            Gmm::fit(&data, &options).unwrap()
        };
        assert!((2..=3).all(|threads| fit(threads) == fit(1)));
    }
    for start in [KMeansStart::PlusPlus, KMeansStart::RandomPoints] {
        let options =
            |threads| KMeansOptions { clusters: 6, threads, start: start.clone(), ..Default::default() };
        let one = KMeans::fit(&data, &options(1)).unwrap();
        assert!((2..=3).all(|threads| KMeans::fit(&data, &options(threads)).unwrap() == one));
    }
}

#[test]
fn statistics_far_from_their_origins_lose_digits_and_a_second_pass_about_the_new_means_does_not() {
    // a day in seconds since 1970: far from 0 beside its deviation
    let data = Array2::from_shape_fn((1000, 1), |(i, _)| 1.7e9 + (i as f64 - 499.5) * 0.2);
    let variance = 0.2 * 0.2 * (1000.0 * 1000.0 - 1.0) / 12.0;
    let start = Gmm::standard(array![[0.0]], CovarianceKind::Full);
    let first = start.statistics(&data, None).unwrap();
    assert!(first.loses_precision(0.0));
    let rough = first.maximisation(&start, 0.0);
    let second = start.statistics_about(&data, None, &rough.means).unwrap();
    assert!(!second.loses_precision(0.0));
    let found = second.maximisation(&start, 0.0).covariance(0)[(0, 0)];
    assert!((found / variance - 1.0).abs() < 1e-9, "{found} instead of {variance}");
    assert!((rough.covariance(0)[(0, 0)] / variance - 1.0).abs() > 0.1, "the first pass was precise, too");
    let error = start.statistics_about(&data, None, &Array2::zeros((2, 1))).unwrap_err();
    assert!(error.to_string().contains("origins"), "{error}");
}

#[test]
fn merged_statistics_of_two_parts_equal_the_statistics_of_all_samples() {
    let data = blobs(3000, 3, 4, 12);
    let (left, right) = data.view().split_at(Axis(0), 1234);
    let model = start_at(&data, 4, CovarianceKind::Full);
    let whole = model.statistics(&data, None).unwrap();
    let mut parts = model.statistics(&left, None).unwrap();
    parts.merge(&model.statistics(&right, None).unwrap());
    assert!((parts.log_likelihood - whole.log_likelihood).abs() <= 1e-12 * whole.log_likelihood.abs());
    compare(&parts.maximisation(&model, 0.0), &whole.maximisation(&model, 0.0));

    let model = KMeans { centroids: model.means };
    let origin = [0.5, 0.5, 0.5];
    let whole = model.statistics(&data, None, &origin).unwrap();
    let mut parts = model.statistics(&left, None, &origin).unwrap();
    parts.merge(&model.statistics(&right, None, &origin).unwrap());
    assert_eq!(parts.counts, whole.counts);
    close("centroids", &parts.maximisation(&model).centroids, &whole.maximisation(&model).centroids, 1e-12);
}

#[test]
fn samples_drawn_from_a_mixture_have_its_moments() {
    let truth = Gmm::new(
        ndarray::array![0.3, 0.0, 0.7],
        ndarray::array![[0.0, 4.0], [50.0, 50.0], [-2.0, 0.0]],
        Covariances::Full(
            Array3::from_shape_vec(
                (3, 2, 2),
                vec![3.0, 0.7, 0.7, 0.5, 1.0, 0.0, 0.0, 1.0, 1.0, -0.4, -0.4, 2.0],
            )
            .unwrap(),
        ),
    )
    .unwrap();
    let (data, labels) = truth.sample(200_000, 3).unwrap();
    assert_eq!(truth.sample(200_000, 3).unwrap().1, labels);
    assert!(labels.iter().all(|&label| label != 1), "a weight of 0 is never drawn");
    let options = GmmOptions {
        components: 3,
        start: GmmStart::Labels(labels),
        stop: Stop { max_iterations: 0, tolerance: 0.0 },
        ..Default::default()
    };
    let fit = Gmm::fit(&data, &options).unwrap();
    for k in [0, 2] {
        assert!((fit.model().weights[k] - truth.weights[k]).abs() < 5e-3);
        close("mean", &fit.model().means.row(k), &truth.means.row(k), 1e-2);
        close("covariance", &fit.model().covariance(k), &truth.covariance(k), 2e-2);
    }
    assert_eq!(fit.model().weights[1], 0.0);
}

#[test]
fn bic_finds_the_number_of_components() {
    let centres = ndarray::array![[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]];
    let (data, _) = Gmm::standard(centres, CovarianceKind::Spherical).sample(600, 1).unwrap();
    for &kind in KINDS {
        let criteria: Vec<_> = (1..=5)
            .map(|components| {
                let options = GmmOptions { components, covariance: kind, restarts: 3, ..Default::default() };
                let fit = Gmm::fit(&data, &options).unwrap();
                let criteria = fit.model().criteria(&data).unwrap();
                assert!((criteria.log_likelihood - fit.objective()).abs() <= 1e-9 * fit.objective().abs());
                let p = criteria.parameters as f64;
                assert!((criteria.aic - 2.0 * (p - criteria.log_likelihood)).abs() <= 1e-9 * criteria.aic);
                assert!(
                    (criteria.bic - (p * 600f64.ln() - 2.0 * criteria.log_likelihood)).abs()
                        <= 1e-9 * criteria.bic
                );
                assert!(criteria.icl >= criteria.bic);
                criteria
            })
            .collect();
        let best = |of: fn(&em_routing::gmm::Criteria) -> f64| {
            (0..5).min_by(|&a, &b| of(&criteria[a]).total_cmp(&of(&criteria[b]))).unwrap() + 1
        };
        assert_eq!((best(|c| c.bic), best(|c| c.icl)), (3, 3), "{kind:?}");
    }
    let kinds =
        [CovarianceKind::Full, CovarianceKind::Tied, CovarianceKind::Diagonal, CovarianceKind::Spherical];
    let parameters = kinds.map(|kind| Gmm::standard(Array2::zeros((3, 4)), kind).parameters());
    assert_eq!(parameters, [3 * 10 + 14, 10 + 14, 12 + 14, 3 + 14]);
}

#[test]
fn few_or_equal_samples_can_be_fitted() {
    // one sample
    let one = ndarray::array![[2.0, -1.0]];
    let fit = KMeans::fit(&one, &KMeansOptions { clusters: 1, ..Default::default() }).unwrap();
    assert_eq!((&fit.model().centroids, fit.objective()), (&one, 0.0));
    let fit = Gmm::fit(&one, &GmmOptions::default()).unwrap();
    close("covariance", &fit.model().covariance(0), &(Array2::eye(2) * 1e-6), 1e-9);
    let none = GmmOptions { regularisation: 0.0, ..Default::default() };
    assert!(matches!(Gmm::fit(&one, &none), Err(Error::Collapsed { component: 0, .. })));

    // a constant column
    let mut data = blobs(100, 3, 2, 1);
    data.column_mut(1).fill(0.1);
    for &kind in KINDS {
        let fit =
            Gmm::fit(&data, &GmmOptions { components: 2, covariance: kind, ..Default::default() }).unwrap();
        assert!((fit.model().means[(0, 1)] - 0.1).abs() <= 1e-15 && fit.objective().is_finite());
        let singular =
            GmmOptions { components: 2, covariance: kind, regularisation: 0.0, ..Default::default() };
        let result = Gmm::fit(&data, &singular);
        if kind == CovarianceKind::Spherical {
            assert!(result.is_ok(), "the other columns give the sphere its variance");
        } else {
            assert!(matches!(result, Err(Error::Collapsed { .. })));
        }
    }

    // duplicates only
    let data = Array2::from_elem((50, 2), 0.1);
    let fit = KMeans::fit(&data, &KMeansOptions { clusters: 4, ..Default::default() }).unwrap();
    assert_eq!(fit.objective(), 0.0);
    for &kind in KINDS {
        let options = GmmOptions { components: 3, covariance: kind, ..Default::default() };
        assert!(Gmm::fit(&data, &options).unwrap().objective().is_finite());
    }
}

#[test]
fn a_component_whose_samples_form_a_line_or_a_point_has_collapsed() {
    let along = blobs(50, 1, 1, 3);
    for direction in 1..60 {
        let (dx, dy) = (f64::from(direction).sin(), f64::from(direction).cos());
        let offset = f64::from(direction) * 0.37;
        let line =
            Array2::from_shape_fn((50, 2), |(i, j)| offset + along[(i, 0)] * if j == 0 { dx } else { dy });
        let point = Array2::from_shape_fn((50, 2), |(_, j)| offset + if j == 0 { dx } else { dy });
        let none = GmmOptions { regularisation: 0.0, ..Default::default() };
        let result = Gmm::fit(&line, &none);
        assert!(matches!(result, Err(Error::Collapsed { component: 0, .. })), "direction {direction}");
        for &kind in KINDS {
            let result = Gmm::fit(&point, &GmmOptions { covariance: kind, ..none.clone() });
            assert!(matches!(result, Err(Error::Collapsed { component: 0, .. })), "{kind:?} {direction}");
        }
        assert!(Gmm::fit(&line, &GmmOptions::default()).unwrap().objective().is_finite());
    }
}

#[test]
fn numbers_too_large_to_square_are_reported() {
    let mut data = blobs(20, 2, 2, 1);
    data[(7, 1)] = -1e200;
    let (kmeans, gmm) = (KMeansOptions { clusters: 2, ..Default::default() }, GmmOptions::default());
    for error in [KMeans::fit(&data, &kmeans).unwrap_err(), Gmm::fit(&data, &gmm).unwrap_err()] {
        assert!(matches!(error, Error::Magnitude { row: 7, column: 1, value: -1e200 }), "{error}");
    }
    data[(7, 1)] = -1e130;
    assert!(KMeans::fit(&data, &kmeans).unwrap().objective().is_finite());
    let start = GmmStart::RandomResponsibilities;
    assert!(Gmm::fit(&data, &GmmOptions { start, ..gmm }).unwrap().objective().is_finite());
}

#[test]
fn errors_name_the_invalid_argument() {
    let data = blobs(20, 2, 2, 1);
    let kmeans = |options: KMeansOptions| KMeans::fit(&data, &options).unwrap_err();
    let some = KMeansOptions { clusters: 3, ..Default::default() };
    assert!(matches!(
        kmeans(KMeansOptions { clusters: 0, ..some.clone() }),
        Error::Empty { what: "clusters" }
    ));
    assert!(matches!(
        kmeans(KMeansOptions { restarts: 0, ..some.clone() }),
        Error::Empty { what: "restarts" }
    ));
    let error = kmeans(KMeansOptions { clusters: 21, ..some.clone() });
    assert!(matches!(error, Error::TooFew { wanted: 21, samples: 20, .. }));
    let start = KMeansStart::Given(Array2::zeros((3, 5)));
    let error = kmeans(KMeansOptions { start, ..some.clone() });
    assert_eq!(error.to_string(), "the data have 2 columns, but the start 5");
    let start = KMeansStart::Given(Array2::zeros((4, 2)));
    assert!(matches!(kmeans(KMeansOptions { start, ..some.clone() }), Error::Shape { .. }));
    let start = KMeansStart::Given(Array2::from_elem((3, 2), f64::NAN));
    assert!(matches!(kmeans(KMeansOptions { start, ..some.clone() }), Error::Setting { .. }));
    for empty in [Array2::zeros((0, 2)), Array2::zeros((2, 0))] {
        assert!(matches!(KMeans::fit(&empty, &some), Err(Error::Empty { .. })));
        assert!(matches!(Gmm::fit(&empty, &GmmOptions::default()), Err(Error::Empty { .. })));
    }

    let gmm = |options: GmmOptions| Gmm::fit(&data, &options).unwrap_err();
    let given =
        |start: Gmm| gmm(GmmOptions { components: 2, start: GmmStart::Given(start), ..Default::default() });
    let start = || Gmm::standard(Array2::from_shape_fn((2, 2), |(k, _)| k as f64), CovarianceKind::Full);
    let mut weights = start();
    weights.weights = Array1::from(vec![0.5, 0.6]);
    assert!(matches!(given(weights), Error::NotNormalised { name: "weights", .. }));
    let mut weights = start();
    weights.weights = Array1::from(vec![-0.5, 1.5]);
    assert!(matches!(given(weights), Error::Probability { index: 0, .. }));
    let mut weights = start();
    weights.weights = Array1::from(vec![f64::NAN, 1.0]);
    assert!(matches!(given(weights), Error::Probability { index: 0, .. }));
    let mut weights = start();
    weights.weights = Array1::from(vec![1.0]);
    assert!(matches!(given(weights), Error::Shape { .. }));
    let mut covariances = start();
    covariances.covariances = Covariances::Full(Array3::zeros((2, 2, 3)));
    assert!(matches!(given(covariances), Error::Shape { .. }));
    let mut covariances = start();
    let Covariances::Full(full) = &mut covariances.covariances else { unreachable!() };
    full[(1, 0, 1)] = 0.5; // but [1, 0] is 0
    let error = given(covariances);
    assert!(matches!(error, Error::Asymmetric { component: 1, row: 0, column: 1, .. }), "{error}");
    // with 2 components in 2 dimensions both kinds have the same shape
    let other_kind = GmmOptions {
        components: 2,
        covariance: CovarianceKind::Diagonal,
        start: GmmStart::Given(Gmm::standard(Array2::zeros((2, 2)), CovarianceKind::Tied)),
        ..Default::default()
    };
    assert!(matches!(gmm(other_kind), Error::CovarianceMismatch { .. }));
    assert!(matches!(
        given(Gmm::standard(Array2::zeros((2, 2)), CovarianceKind::Tied)),
        Error::CovarianceMismatch { .. }
    ));
    assert!(matches!(given(Gmm::standard(Array2::zeros((3, 2)), CovarianceKind::Full)), Error::Shape { .. }));

    for regularisation in [-1e-9, f64::NAN, f64::INFINITY] {
        assert!(matches!(gmm(GmmOptions { regularisation, ..Default::default() }), Error::Setting { .. }));
    }
    let labels =
        |labels: Vec<usize>| gmm(GmmOptions { start: GmmStart::Labels(labels.into()), ..Default::default() });
    assert!(matches!(labels(vec![0; 19]), Error::Length { expected: 20, found: 19, .. }));
    assert!(matches!(labels(vec![1; 20]), Error::LabelOutOfRange { index: 0, label: 1, count: 1, .. }));
    let weighted = |weights: &[f64]| Gmm::fit_weighted(&data, weights, &GmmOptions::default()).unwrap_err();
    assert!(matches!(weighted(&[1.0; 3]), Error::Length { expected: 20, found: 3, .. }));
    let mut negative = vec![1.0; 20];
    negative[7] = -1.0;
    assert!(matches!(weighted(&negative), Error::SampleWeight { index: 7, .. }));
    assert!(matches!(weighted(&[0.0; 20]), Error::Setting { .. }));

    let model = start();
    let error = model.predict(&Array2::zeros((3, 5))).unwrap_err();
    assert_eq!(error.to_string(), "the data have 5 columns, but the model 2");
    let far = ndarray::array![[0.0, 0.0], [1e120, 0.0]];
    let mut narrow = start();
    narrow.covariances =
        Covariances::Full(Array3::from_shape_fn((2, 2, 2), |(_, i, j)| 1e-80 * f64::from(i == j)));
    assert!(matches!(narrow.log_density(&far), Err(Error::Impossible { index: 1 })));
}
