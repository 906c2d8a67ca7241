//! Sample weights.

use em_routing::em::{Fit, Stop};
use em_routing::error::Error;
use em_routing::gmm::{CovarianceKind, Covariances, Gmm, GmmOptions, GmmStart};
use em_routing::kmeans::{KMeans, KMeansOptions, KMeansStart};
use ndarray::{Array1, Array2, Axis, array};
use proptest::prelude::*;

use super::{blobs, close, close_each};

#[test]
fn samples_of_weight_0_do_not_affect_the_start() {
    let data = array![[0.0], [0.1], [0.2], [5.0], [5.1], [5.2], [1e6]];
    let six = data.slice(ndarray::s![..6, ..]).to_owned();
    let weights = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0];
    for start in [GmmStart::KMeans, GmmStart::RandomResponsibilities] {
        let options = GmmOptions { components: 2, start: start.clone(), restarts: 3, ..Default::default() };
        let fit = Gmm::fit_weighted(&data, &weights, &options).unwrap();
        assert_eq!(fit, Gmm::fit(&six, &options).unwrap());
        if start == GmmStart::KMeans {
            assert!((fit.objective() - 2.3594).abs() <= 1e-4, "{}", fit.objective());
            close("weights", &fit.model().weights, &array![0.5, 0.5], 1e-9);
            let mut means = fit.model().means.column(0).to_vec();
            means.sort_by(f64::total_cmp);
            close_each("means", &means, &[0.1, 5.1], 1e-9);
        }
    }
    for start in [KMeansStart::PlusPlus, KMeansStart::RandomPoints] {
        let options = KMeansOptions { clusters: 2, start, ..Default::default() };
        let fit = KMeans::fit_weighted(&data, &weights, &options).unwrap();
        assert_eq!(fit, KMeans::fit(&six, &options).unwrap());
    }
}

/// Inserts rows of weight 0; also returns the new indices of the original rows.
fn with_nothing_between(
    data: &Array2<f64>,
    weights: &[f64],
    nothings: &[(usize, f64)],
) -> (Array2<f64>, Vec<f64>, Vec<usize>) {
    let columns = data.ncols();
    let (mut rows, mut all, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..=data.nrows() {
        for (_, value) in nothings.iter().filter(|(at, _)| at % (data.nrows() + 1) == row) {
            rows.extend((0..columns).map(|column| if column % 2 == 0 { *value } else { -0.5 * value }));
            all.push(0.0);
        }
        if let Some(&weight) = weights.get(row) {
            places.push(all.len());
            rows.extend(data.row(row));
            all.push(weight);
        }
    }
    (Array2::from_shape_vec((all.len(), columns), rows).unwrap(), all, places)
}

fn nothings() -> impl Strategy<Value = Vec<(usize, f64)>> {
    let value =
        prop_oneof![-10.0..10.0f64, prop::sample::select(vec![0.0, 1e9, -1e60, 1e130, -1e130, 1e-300])];
    prop::collection::vec((any::<usize>(), value), 1..8)
}

fn weights() -> impl Strategy<Value = Vec<f64>> {
    let weight = prop_oneof![Just(1.0), 0.01..5.0f64, Just(3.0), prop::sample::select(vec![1e-12, 1e12])];
    prop_oneof![Just(vec![1.0; 60]), prop::collection::vec(weight, 60)]
}

fn kinds() -> impl Strategy<Value = CovarianceKind> {
    let kinds = CovarianceKind::ALL;
    prop::sample::select(kinds.to_vec())
}

/// Checks that both fits are equal, or both errors.
fn same<M: PartialEq + std::fmt::Debug>(found: Result<Fit<M>, Error>, expected: Result<Fit<M>, Error>) {
    match (found, expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected),
        (Err(found), Err(expected)) => assert_eq!(found.to_string(), expected.to_string()),
        (found, expected) => panic!("{found:?} instead of {expected:?}"),
    }
}

proptest! {
    #[test]
    fn samples_of_weight_0_do_not_affect_the_fit(
        samples in 6usize..60, dimensions in 1usize..4, k in 1usize..5, kind in kinds(), seed: u64,
        weights in weights(), nothings in nothings(), start in 0usize..4, restarts in 1usize..3
    ) {
        let data = blobs(samples, dimensions, 3, seed);
        let weights = &weights[..samples];
        let (all, all_weights, places) = with_nothing_between(&data, weights, &nothings);
        let stop = Stop { max_iterations: 8, tolerance: 0.0 };

        let kmeans_start = match start {
            0 => KMeansStart::RandomPoints,
            1 => KMeansStart::Given(blobs(k, dimensions, 2, seed + 1) * 100.0), // some are empty
            _ => KMeansStart::PlusPlus,
        };
        let options =
            KMeansOptions { clusters: k, start: kmeans_start, restarts, seed, stop, keep_models: true, threads: 1 };
        same(
            KMeans::fit_weighted(&all, &all_weights, &options),
            KMeans::fit_weighted(&data, weights, &options),
        );

        let labels: Array1<usize> = (0..samples).map(|i| (i * 5 + 1) % k).collect();
        let labels_of = |rows: usize| -> Array1<usize> {
            (0..rows).map(|row| places.iter().position(|&at| at == row).map_or(0, |i| labels[i])).collect()
        };
        let gmm_start = |rows: usize| match start {
            0 => GmmStart::KMeans,
            1 => GmmStart::RandomResponsibilities,
            2 if rows == samples => GmmStart::Labels(labels.clone()),
            2 => GmmStart::Labels(labels_of(rows)),
            _ => GmmStart::Given(Gmm::standard(data.slice(ndarray::s![..k, ..]).to_owned(), kind)),
        };
        let options = |rows| GmmOptions {
            components: k, covariance: kind, start: gmm_start(rows), restarts, seed, regularisation: 1e-2, stop,
            keep_models: true, threads: 1,
        };
        same(
            Gmm::fit_weighted(&all, &all_weights, &options(all.nrows())),
            Gmm::fit_weighted(&data, weights, &options(samples)),
        );
    }

    #[test]
    fn a_sample_weight_of_n_counts_like_n_samples_in_kmeans(
        samples in 4usize..60, dimensions in 1usize..4, clusters in 1usize..6, seed: u64, far: bool
    ) {
        // no ties, which rounding might break differently; a distant start makes some clusters empty
        let data = blobs(samples, dimensions, 3, seed);
        let counts: Vec<usize> = (0..samples).map(|i| (i * 7 + (seed % 5) as usize) % 4).collect();
        let repeated: Vec<usize> = (0..samples).flat_map(|i| std::iter::repeat_n(i, counts[i])).collect();
        let counted = counts.iter().filter(|&&count| count > 0).count();
        prop_assume!(counted >= clusters);
        let start = blobs(clusters, dimensions, 2, seed + 1) * if far { 50.0 } else { 1.0 };
        let stop = Stop { max_iterations: 6, tolerance: -1.0 };
        let start = KMeansStart::Given(start);
        let options = KMeansOptions { clusters, start, stop, keep_models: true, ..Default::default() };
        let weights: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
        let weighted = KMeans::fit_weighted(&data, &weights, &options).unwrap();
        let rows = data.select(Axis(0), &repeated);
        let expected = KMeans::fit(&rows, &options).unwrap();
        for (found, expected) in weighted.objectives.iter().zip(&expected.objectives) {
            prop_assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1e-9), "{found} {expected}");
        }
        let largest = data.iter().fold(1.0, |largest: f64, x| largest.max(x.abs()));
        for (found, expected) in weighted.model().centroids.iter().zip(&expected.model().centroids) {
            prop_assert!((found - expected).abs() <= 1e-9 * largest, "{found} {expected}");
        }
        let sizes = weighted.model().sizes(&data, Some(&weights)).unwrap();
        prop_assert_eq!(&sizes, &weighted.model().sizes(&rows, None).unwrap());
        prop_assert!((sizes.iter().sum::<f64>() - repeated.len() as f64).abs() <= 1e-9);
    }

    #[test]
    fn weights_of_1_give_the_unweighted_fit(samples in 8usize..80, k in 1usize..5, seed: u64, random: bool) {
        let data = blobs(samples, 2, 3, seed);
        let ones = vec![1.0; samples];
        let start = if random { KMeansStart::RandomPoints } else { KMeansStart::PlusPlus };
        let kmeans = KMeansOptions { clusters: k, seed, start, ..Default::default() };
        same(KMeans::fit_weighted(&data, &ones, &kmeans), KMeans::fit(&data, &kmeans));
        let start = if random { GmmStart::RandomResponsibilities } else { GmmStart::KMeans };
        let gmm = GmmOptions { components: k, seed, start, ..Default::default() };
        same(Gmm::fit_weighted(&data, &ones, &gmm), Gmm::fit(&data, &gmm));
    }

    #[test]
    fn a_sample_weight_of_n_counts_like_n_samples_in_aic_bic_and_icl(samples in 20usize..80, seed: u64) {
        let data = blobs(samples, 2, 3, seed);
        let model = Gmm::standard(data.slice(ndarray::s![..3, ..]).to_owned(), CovarianceKind::Diagonal);
        let counts: Vec<usize> = (0..samples).map(|i| (i + seed as usize % 7) % 3).collect();
        let repeated: Vec<usize> = (0..samples).flat_map(|i| std::iter::repeat_n(i, counts[i])).collect();
        let weights: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
        let found = model.criteria_weighted(&data, &weights).unwrap();
        let expected = model.criteria(&data.select(Axis(0), &repeated)).unwrap();
        close_each(
            "criteria",
            &[found.log_likelihood, found.aic, found.bic, found.icl],
            &[expected.log_likelihood, expected.aic, expected.bic, expected.icl],
            1e-10,
        );
    }
}

#[test]
fn random_starts_draw_samples_in_proportion_to_their_weights() {
    let data = array![[0.0], [1.0]];
    for start in [KMeansStart::PlusPlus, KMeansStart::RandomPoints] {
        let mut drawn = [0; 2];
        for seed in 0..1000 {
            let stop = Stop { max_iterations: 0, tolerance: 0.0 };
            let start = start.clone();
            let options = KMeansOptions { clusters: 1, start, seed, stop, ..Default::default() };
            let fit = KMeans::fit_weighted(&data, &[9.0, 1.0], &options).unwrap();
            drawn[fit.model().centroids[(0, 0)] as usize] += 1;
        }
        // 900 of 1000, with a standard deviation of 9.5
        assert!((860..=940).contains(&drawn[0]), "{start:?}: {drawn:?}");
    }
}

#[test]
fn a_fit_needs_as_many_samples_of_positive_weight_as_clusters() {
    let data = blobs(7, 2, 2, 1);
    let weights = [0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.5];
    let words = "there are 4 clusters, but only 3 of the 7 samples have a weight above 0 and a value";
    let kmeans = KMeansOptions { clusters: 4, ..Default::default() };
    assert_eq!(KMeans::fit_weighted(&data, &weights, &kmeans).unwrap_err().to_string(), words);
    let gmm = GmmOptions { components: 4, ..Default::default() };
    let error = Gmm::fit_weighted(&data, &weights, &gmm).unwrap_err();
    assert_eq!(error.to_string(), words.replace("clusters", "components"));
    assert!(KMeans::fit_weighted(&data, &weights, &KMeansOptions { clusters: 3, ..kmeans }).is_ok());
}

#[test]
fn errors_count_rows_of_weight_0_when_they_give_a_row() {
    let mut data = blobs(40, 2, 2, 1);
    let mut weights = vec![1.0; 40];
    weights[3] = 0.0;
    weights[5] = 0.0;
    let narrow = Gmm {
        weights: array![1.0],
        means: array![[0.0, 0.0]],
        covariances: Covariances::Spherical(array![1e-80]),
    };
    data[(17, 0)] = 1e120;
    let start = GmmStart::Given(narrow.clone());
    let options = GmmOptions { start, covariance: CovarianceKind::Spherical, ..Default::default() };
    let error = Gmm::fit_weighted(&data, &weights, &options).unwrap_err();
    assert!(matches!(error, Error::Impossible { index: 17 }), "{error}");
    assert!(matches!(narrow.statistics(&data, Some(&weights)), Err(Error::Impossible { index: 17 })));
    assert!(matches!(narrow.criteria_weighted(&data, &weights), Err(Error::Impossible { index: 17 })));
    weights[17] = 0.0; // the impossible sample is now ignored
    assert!(narrow.statistics(&data, Some(&weights)).unwrap().log_likelihood.is_finite());
    assert!(narrow.criteria_weighted(&data, &weights).unwrap().bic.is_finite());
    // a number that is not finite is an error whatever its weight
    data[(5, 1)] = f64::NAN;
    let error = KMeans::fit_weighted(&data, &weights, &KMeansOptions::default()).unwrap_err();
    assert!(matches!(error, Error::NonFinite { row: 5, column: 1, .. }), "{error}");
    let error = KMeans::fit_weighted(&data, &[1.0; 3], &KMeansOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 40, found: 3, .. }), "{error}");
    weights[9] = -1.0;
    let error = KMeans::fit_weighted(&data, &weights, &KMeansOptions::default()).unwrap_err();
    assert!(matches!(error, Error::SampleWeight { index: 9, .. }), "{error}");
}

#[test]
fn weights_of_very_different_sizes_cause_no_nan() {
    let data = blobs(30, 2, 3, 4);
    for (small, large) in [(1e-300, 1.0), (5e-324, 1e30), (1e-50, 1e-50), (1e30, 1e30), (1e-5, 1e30)] {
        let weights: Vec<f64> = (0..30).map(|i| if i % 7 == 0 { large } else { small }).collect();
        let start = KMeansStart::Given(Array2::from_shape_fn((4, 2), |(j, _)| 100.0 * j as f64));
        for start in [start, KMeansStart::PlusPlus, KMeansStart::RandomPoints] {
            let fit = KMeans::fit_weighted(
                &data,
                &weights,
                &KMeansOptions { clusters: 4, start, ..Default::default() },
            );
            let fit = fit.unwrap();
            assert!(fit.objectives.iter().chain(&fit.model().centroids).all(|x| x.is_finite()), "{small}");
        }
        let fit =
            Gmm::fit_weighted(&data, &weights, &GmmOptions { components: 3, ..Default::default() }).unwrap();
        let numbers = fit.model().means.iter().chain(&fit.model().weights).chain(&fit.objectives);
        assert!(numbers.into_iter().all(|x| x.is_finite()), "{small}: {fit:?}");
    }
    let error = Gmm::fit_weighted(&data, &[5e-324; 30], &GmmOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Setting { name: "the sum of sample_weights", .. }), "{error}");
}

#[test]
fn empty_clusters_are_reported() {
    let data = array![[1.0, 2.0], [1.0, 2.0], [5.0, 5.0], [1.0, 2.0]];
    let fit = KMeans::fit(&data, &KMeansOptions { clusters: 4, ..Default::default() }).unwrap();
    assert_eq!(fit.objective(), 0.0);
    let mut sizes = fit.model().sizes(&data, None).unwrap().to_vec();
    let empty = fit.model().empty_clusters(&data, None).unwrap();
    assert_eq!(empty.len(), 2);
    assert!(empty.iter().all(|&cluster| sizes[cluster] == 0.0));
    sizes.sort_by(f64::total_cmp);
    assert_eq!(sizes, [0.0, 0.0, 1.0, 3.0]);
    let weights = [0.5, 0.25, 0.0, 0.0];
    let mut sizes = fit.model().sizes(&data, Some(&weights)).unwrap().to_vec();
    sizes.sort_by(f64::total_cmp);
    assert_eq!(sizes, [0.0, 0.0, 0.0, 0.75]);
    assert_eq!(fit.model().empty_clusters(&data, Some(&weights)).unwrap().len(), 3);
    let error = fit.model().sizes(&Array2::zeros((3, 1)), None).unwrap_err();
    assert_eq!(error.to_string(), "the data have 1 column, but the model 2");
    let _: Array1<f64> = fit.into_model().centroids.column(0).to_owned();
}
