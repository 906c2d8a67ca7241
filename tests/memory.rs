//! The memory of a fit does not grow with the number of iterations, unless it keeps its models.

use em_routing::prelude::*;

#[path = "support/noting.rs"]
mod noting;

use noting::{HELD, LARGEST, PEAK};

/// The peak memory of a fit in bytes, beyond what was allocated before, and its number of iterations.
fn peak<M>(fit: impl FnOnce() -> Fit<M>) -> (isize, usize) {
    let before = HELD.get();
    PEAK.set(before);
    LARGEST.set(0);
    let iterations = fit().iterations();
    (PEAK.get() - before, iterations)
}

/// The growth of the peak memory from 20 to 400 iterations in bytes, without and with kept models.
fn growth<M>(fit: impl Fn(Stop, bool) -> Fit<M>) -> [isize; 2] {
    let stop = |max_iterations| Stop { max_iterations, tolerance: -1.0 };
    [false, true].map(|keep_models| {
        let (few, iterations) = peak(|| fit(stop(20), keep_models));
        assert_eq!(iterations, 20);
        let (many, iterations) = peak(|| fit(stop(400), keep_models));
        assert_eq!(iterations, 400);
        many - few
    })
}

/// The objectives of the best run, and of another run whose vector is being doubled: the old and the new allocation.
const OBJECTIVES: isize = 8 * (512 + 256 + 512);

#[track_caller]
fn assert_grows_by_models_only_if_kept([without, with]: [isize; 2], model: isize) {
    assert!(without <= OBJECTIVES, "grew by {without} bytes");
    assert!(with >= 380 * model, "grew by {with} bytes, for models of {model}");
}

#[test]
fn the_memory_of_mixtures_and_kmeans_does_not_grow_with_iterations() {
    let (data, _) = samples::five_blobs(600, 1);
    let data = Array2::from_shape_fn((200, 6), |(i, j)| data[(i * 3 + j % 3, j % 2)]);
    let (k, d) = (8, 6);
    for start in [KMeansStart::PlusPlus, KMeansStart::RandomPoints] {
        let fit = |stop, keep_models| {
            let options = KMeansOptions {
                clusters: k,
                start: start.clone(),
                restarts: 2,
                stop,
                keep_models,
                threads: 1,
                ..Default::default()
            };
            KMeans::fit(&data, &options).unwrap()
        };
        assert_grows_by_models_only_if_kept(growth(fit), (8 * k * d) as isize);
    }
    for (covariance, numbers) in [(CovarianceKind::Full, d * d), (CovarianceKind::Diagonal, d)] {
        let fit = |stop, keep_models| {
            let options = GmmOptions {
                components: k,
                covariance,
                restarts: 2,
                regularisation: 1e-2,
                stop,
                keep_models,
                threads: 1,
                ..Default::default()
            };
            Gmm::fit(&data, &options).unwrap()
        };
        assert_grows_by_models_only_if_kept(growth(fit), (8 * k * numbers) as isize);
    }
}

#[test]
fn the_memory_of_coins_does_not_grow_with_iterations() {
    let experiments = Experiments::simulate(&[0, 1, 2, 0, 1], &[0.2, 0.5, 0.9], 30, 1).unwrap();
    let start = Coins::even(&[0.3, 0.5, 0.7]).unwrap();
    let fit = |stop, keep_models| {
        let options = CoinOptions { start: start.clone(), stop, keep_models, ..Default::default() };
        Coins::fit(&experiments, &options).unwrap()
    };
    assert_grows_by_models_only_if_kept(growth(fit), 2 * 8 * 3);
}

#[test]
fn a_mixture_fit_holds_few_models_at_a_time() {
    let (k, d) = (20, 24);
    let data = Array2::from_shape_fn((400, d), |(i, j)| ((i * (j + 3) * 7919) % 1013) as f64 / 500.0);
    let start = Gmm::standard(data.slice(s![..k, ..]).to_owned(), CovarianceKind::Full);
    let options = GmmOptions {
        components: k,
        start: GmmStart::Given(start),
        regularisation: 1e-2,
        stop: Stop { max_iterations: 5, tolerance: -1.0 },
        threads: 1,
        ..Default::default()
    };
    let (held, _) = peak(|| Gmm::fit(&data, &options).unwrap());
    let model = (8 * k * d * d) as isize;
    // The model, plus either its factors and the sums of two chunks (half a model each), or these sums and the next model.
    assert!(held <= 4 * model, "{held} bytes are {:.1} models", held as f64 / model as f64);
}
