//! Restarts are independent runs, and all results belong to the best run. linfa-clustering 0.8.1 fails both: each further
//! run of its mixture continues from the end of the last one, and its K-means counts clusters with the labels of the last
//! run but the centroids of the best.

use em_routing::gmm::{Gmm, GmmOptions, GmmStart};
use em_routing::kmeans::{KMeans, KMeansOptions, KMeansStart};

use super::blobs;

#[test]
fn each_run_of_kmeans_begins_with_its_own_centroids() {
    let data = blobs(400, 3, 9, 1);
    let mut starts = Vec::new();
    let mut best = f64::NEG_INFINITY;
    for restarts in 1..=12 {
        for start in [KMeansStart::RandomPoints, KMeansStart::PlusPlus] {
            let options = KMeansOptions {
                clusters: 9,
                restarts,
                start,
                seed: 5,
                keep_models: true,
                ..Default::default()
            };
            let fit = KMeans::fit(&data, &options).unwrap();
            // The fit equals a single run from its own first model.
            let start = KMeansStart::Given(fit.models[0].centroids.clone());
            let again = KMeans::fit(&data, &KMeansOptions { start, ..options.clone() }).unwrap();
            assert_eq!(fit, again);
            if options.start == KMeansStart::RandomPoints {
                assert!(fit.objective() >= best, "more runs are never worse");
                best = fit.objective();
                starts.push(fit.models[0].centroids.clone());
            }
        }
    }
    starts.dedup();
    assert!(starts.len() > 1, "a later run is sometimes better");
}

#[test]
fn each_run_of_a_mixture_begins_with_its_own_model() {
    let data = blobs(300, 2, 6, 2);
    let mut starts = Vec::new();
    let mut best = f64::NEG_INFINITY;
    for restarts in 1..=8 {
        let start = GmmStart::RandomResponsibilities;
        let options =
            GmmOptions { components: 6, restarts, start, seed: 1, keep_models: true, ..Default::default() };
        let fit = Gmm::fit(&data, &options).unwrap();
        let start = GmmStart::Given(fit.models[0].clone());
        assert_eq!(fit, Gmm::fit(&data, &GmmOptions { start, ..options.clone() }).unwrap());
        assert!(fit.objective() >= best);
        best = fit.objective();
        starts.push(fit.models[0].clone());
    }
    starts.dedup();
    assert!(starts.len() > 1);
}

#[test]
fn labels_inertia_and_centroids_belong_to_the_best_run() {
    let data = blobs(500, 4, 7, 3);
    for seed in 0..5 {
        let options = KMeansOptions { clusters: 7, restarts: 6, seed, ..Default::default() };
        let fit = KMeans::fit(&data, &options).unwrap();
        let model = fit.model();
        let labels = model.predict(&data).unwrap();
        let mut inertia = 0.0;
        for (row, &label) in data.rows().into_iter().zip(&labels) {
            let square = |j: usize| -> f64 { (&row - &model.centroids.row(j)).mapv(|x| x * x).sum() };
            let nearest = (0..7).map(square).fold(f64::INFINITY, f64::min);
            assert!(square(label) <= nearest * (1.0 + 1e-12));
            inertia += nearest;
        }
        assert!((inertia + fit.objective()).abs() <= 1e-10 * inertia);
        assert_eq!(model.inertia(&data).unwrap(), -fit.objective());
        let squares = model.squared_distances(&data).unwrap();
        assert!((squares.iter().sum::<f64>() - inertia).abs() <= 1e-10 * inertia);
        let distances = model.distances(&data).unwrap();
        for ((row, &label), square) in distances.rows().into_iter().zip(&labels).zip(squares) {
            assert!(row.iter().all(|&distance| distance >= row[label]));
            assert!((row[label] - square.sqrt()).abs() <= 1e-12 * row[label]);
        }
    }
}

#[test]
fn a_seed_determines_the_fit() {
    let data = blobs(300, 2, 5, 4);
    let fit = |seed: u64| {
        let start = KMeansStart::RandomPoints;
        KMeans::fit(
            &data,
            &KMeansOptions { clusters: 5, seed, start, keep_models: true, ..Default::default() },
        )
        .unwrap()
    };
    assert_eq!(fit(1), fit(1));
    assert_ne!(fit(1).models[0], fit(2).models[0]);
}
