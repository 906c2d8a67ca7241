//! Large inputs, which are subsampled or refused with a limit, and huge values.

use em_routing::capsnet::{Architecture, CapsNet, Evaluation};
use em_routing::figures::chapter03::{self, Clustering, Objective};
use em_routing::figures::chapter04;
use em_routing::figures::chapter06;
use em_routing::figures::chapter07::{self, StoppedGradient};
use em_routing::figures::{self, chapter01, chapter02};
use em_routing::prelude::*;

use super::cases::pairs;
use super::{Drawn, drawn_in_time, svg};

/// The name of a case and its drawing function.
type Named = (&'static str, fn() -> Drawn);

/// A small wave, so that samples, costs and curves are neither equal nor sorted.
fn wave(i: usize) -> f64 {
    (0.7 * i as f64).sin() + 0.3 * (0.11 * i as f64).cos()
}

fn samples(count: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_fn((count, columns), |(i, j)| wave(i * (j + 1) + j) + (i % 3) as f64)
}

fn cycle(count: usize, classes: usize) -> Vec<usize> {
    (0..count).map(|i| i % classes).collect()
}

/// A fit with this many iterations, whose objective rises ever more slowly.
fn long_fit<M>(iterations: usize, model: impl Fn(usize) -> M) -> Fit<M> {
    let objectives = (0..=iterations).map(|t| -1.0 / (t as f64 + 1.0)).collect();
    let models = (0..=iterations).map(&model).collect();
    Fit { model: model(iterations), objectives, models, converged: false }
}

fn spiral(t: usize, k: usize) -> Array2<f64> {
    let along = |t: usize| 1.0 + 2.0 / (1.0 + 0.01 * t as f64);
    Array2::from_shape_fn((k, 2), |(k, h)| along(t) * (0.05 * t as f64 + k as f64 + 1.6 * h as f64).sin())
}

fn moving_coins(t: usize) -> Coins {
    Coins::even(&[0.5 + 0.3 / (t as f64 + 1.0), 0.5 - 0.2 / (t as f64 + 1.0)]).unwrap()
}

fn many_experiments(count: usize) -> Experiments {
    Experiments::new(&(0..count).map(|i| (i % 11) as u64).collect::<Vec<_>>(), 10).unwrap()
}

fn long_routing(children: usize, parents: usize, iterations: usize) -> (RoutingInput, Routing) {
    let votes = Array4::from_shape_fn((1, children, parents, 2), |(_, i, j, h)| wave(3 * i + 5 * j + h));
    let ones = || Array1::ones(parents);
    let input = RoutingInput::new(votes, Array2::from_elem((1, children), 0.7), ones(), ones());
    let mut routing = input.route(&RoutingOptions { iterations: 2, ..Default::default() }).unwrap();
    routing.trace = (0..iterations).map(|t| routing.trace[t % 2].clone()).collect();
    (input, routing)
}

/// Large inputs that must be subsampled and drawn.
const LARGE: &[Named] = &[
    ("pair_plot of 8 columns and 200,000 samples", || {
        pairs(&samples(200_000, 8), &["a"; 8], &Array1::from(cycle(200_000, 3)))
    }),
    ("pair_plot of 1,000,000 samples in 100 clusters", || {
        pairs(&samples(1_000_000, 2), &["a"; 2], &Array1::from(cycle(1_000_000, 100)))
    }),
    ("clusterings of 1,000,000 samples", || {
        let labels = Array1::from(cycle(1_000_000, 5));
        let one = Clustering { title: "t", labels: &labels, kmeans: None, mixture: None };
        chapter03::clusterings("", &samples(1_000_000, 2), &[one; 4])
    }),
    ("kmeans_animation of 1,000,000 samples and 10,000 iterations", || {
        let fit = long_fit(10_000, |t| KMeans { centroids: spiral(t, 5) });
        chapter03::kmeans_animation(&samples(1_000_000, 2), &fit)
    }),
    ("mixture_animation of 200,000 samples and 10,000 iterations", || {
        let fit = long_fit(10_000, |t| Gmm::standard(spiral(t, 3), CovarianceKind::Spherical));
        chapter04::mixture_animation(&samples(200_000, 2), &fit)
    }),
    ("mixture_contours of 1,000,000 samples", || {
        let mixture = Gmm::standard(spiral(0, 5), CovarianceKind::Full);
        chapter04::mixture_contours("", &samples(1_000_000, 2), &mixture, (-5.0, 5.0), (-5.0, 5.0))
    }),
    ("objective_trace of 1,000,000 iterations", || {
        chapter03::objective_trace("", &[long_fit(1_000_000, |_| ())], Objective::LogLikelihood)
    }),
    ("atlas of 90,000 optima", || {
        let model = KMeans { centroids: spiral(0, 3) };
        let fit = |i| Fit {
            model: model.clone(),
            objectives: vec![-f64::from(i)],
            models: vec![],
            converged: true,
        };
        let fits: Vec<Fit<KMeans>> = (0..90_000).map(fit).collect();
        chapter03::atlas(&samples(1_000_000, 2), &spiral(0, 2), &fits, 0.0)
    }),
    ("known_likelihood of 1,000,000 experiments", || {
        chapter01::known_likelihood(&many_experiments(1_000_000), &cycle(1_000_000, 3))
    }),
    ("minimiser_path of 1,000,000 experiments", || {
        let fit = long_fit(400, |t| moving_coins(t).thetas);
        chapter01::minimiser_path(&many_experiments(1_000_000), &cycle(1_000_000, 2), &fit)
    }),
    ("bound_animation of 1,000,000 experiments and 10,000 iterations", || {
        let objective = -2.4e6;
        let mut fit = long_fit(10_000, moving_coins);
        fit.objectives.fill(objective);
        chapter02::bound_animation(&many_experiments(1_000_000), &fit, 0, 10_000)
    }),
    ("surface of 1,000,000 experiments and 10,000 iterations", || {
        let fit = long_fit(10_000, moving_coins);
        chapter02::surface(&many_experiments(1_000_000), &[&fit; 3])
    }),
    ("likelihood_trace of 10,000 iterations", || {
        chapter02::likelihood_trace(&many_experiments(5), &long_fit(10_000, moving_coins))
    }),
    ("responsibilities of 100,000 experiments", || {
        let experiments = many_experiments(100_000);
        let found = experiments.expectation(&moving_coins(1)).unwrap();
        chapter02::responsibilities(&experiments, &vec![found; 20])
    }),
    ("starts of 2,000 fits", || {
        let fits: Vec<Fit<Coins>> = (0..2_000).map(|i| long_fit(1, |t| moving_coins(t + i % 9))).collect();
        chapter02::starts(&many_experiments(1_000_000), &fits)
    }),
    ("difference_errors of 1,000,000 points", || {
        let points: Vec<(f64, f64)> = (1..1_000_001).map(|i| (1e-6 * i as f64, 2.0 + wave(i))).collect();
        chapter07::difference_errors(&[("a", &points)])
    }),
    ("error_curves of 1,000,000 points", || {
        let points: Vec<(f64, f64)> = (0..1_000_000).map(|i| (i as f64, 0.5 + 0.3 * wave(i))).collect();
        figures::chapter09::error_curves("steps", &[("a", points)])
    }),
    ("stopped_gradients of 10,000 iterations", || {
        let draws = |t: usize| {
            (0..10).map(|i| StoppedGradient { cosine: 0.5 * wave(t + i), relative_size: 1.0 }).collect()
        };
        let series: Vec<Vec<StoppedGradient>> = (0..10_000).map(draws).collect();
        chapter07::stopped_gradients(&[("a", series.clone()), ("b", series)])
    }),
    ("activation_histograms of 1,000,000 capsules", || {
        let values: Vec<f32> = (0..1_000_000).map(|i| (i % 100) as f32 / 99.0).collect();
        figures::chapter09::activation_histograms(&[("a", &[("l", &values[..]); 5][..]); 4])
    }),
    ("mistakes of 10,000 images of 100 x 100, all wrong", || {
        let evaluation = Evaluation {
            activations: vec![0.5; 20_000],
            predictions: vec![1; 10_000],
            labels: vec![0; 10_000],
            classes: 2,
        };
        let images = Images {
            pixels: vec![9; 100_000_000],
            labels: vec![0; 10_000],
            height: 100,
            width: 100,
            classes: 2,
        };
        figures::chapter09::mistakes(&evaluation, &images, 10_000)
    }),
    ("assignments of 300,000 children", || chapter06::assignments(&long_routing(300_000, 4, 3).1, 0)),
    ("routing_curves of 10,000 iterations", || chapter06::routing_curves(&long_routing(3, 4, 10_000).1, 0)),
    ("routing_animation of 10,000 iterations", || {
        let (input, routing) = long_routing(30, 4, 10_000);
        chapter06::routing_animation(&input, &routing, 0)
    }),
    ("routing_animation of 100,000 children", || {
        let (input, routing) = long_routing(100_000, 3, 6);
        chapter06::routing_animation(&input, &routing, 0)
    }),
    ("vote_gradients of 100,000 children", || {
        let (input, routing) = long_routing(100_000, 3, 2);
        chapter07::vote_gradients(&input, &routing, 0, &[("a", &input.votes); 3])
    }),
    ("vote_agreement of 100,000 children", || {
        let (input, routing) = long_routing(100_000, 3, 2);
        figures::chapter08::vote_agreement(&input, &routing, 0, &[("a", 0), ("b", 1)])
    }),
    ("maps of 1000 x 1000 places", || {
        let images =
            Images { pixels: vec![9; 1_000_000], labels: vec![0], height: 1000, width: 1000, classes: 2 };
        let numbers: Vec<f32> = (0..4_000_000).map(|i| wave(i) as f32).collect();
        figures::chapter08::maps("maps", &images, &[0; 2], &numbers, (1000, 2))
    }),
    ("architecture of images of 1000 x 1000", || {
        let config = Architecture { height: 1000, width: 1000, ..Architecture::default() };
        figures::chapter08::architecture(&CapsNet::zeros(config)?)
    }),
    ("bars with names of 10 kB", || chapter07::vote_bytes(&[("w".repeat(10_000).as_str(), 1.0); 12])),
];

/// Inputs that are too large to draw.
const TOO_LARGE: &[Named] = &[
    ("pair_plot of 200 columns", || pairs(&samples(5, 200), &["a"; 200], &Array1::from(vec![0; 5]))),
    ("pair_plot of 10,000 clusters", || {
        pairs(&samples(10_000, 2), &["a"; 2], &Array1::from(cycle(10_000, 10_000)))
    }),
    ("clusterings with 10,000 clusters", || {
        let model = KMeans { centroids: samples(10_000, 2) };
        let labels = Array1::from(cycle(10_000, 10));
        let one = Clustering { title: "t", labels: &labels, kmeans: Some(&model), mixture: None };
        chapter03::clusterings("", &samples(10_000, 2), &[one; 2])
    }),
    ("kmeans_animation of 10,000 clusters", || {
        let fit = long_fit(2, |_| KMeans { centroids: samples(10_000, 2) });
        chapter03::kmeans_animation(&samples(10_000, 2), &fit)
    }),
    ("mixture_animation of 10,000 components", || {
        let fit = long_fit(2, |_| Gmm::standard(samples(10_000, 2), CovarianceKind::Spherical));
        chapter04::mixture_animation(&samples(100, 2), &fit)
    }),
    ("known_likelihood of 10,000 coins", || {
        chapter01::known_likelihood(&many_experiments(10_000), &cycle(10_000, 10_000))
    }),
    ("routing_animation of 2,000 parents", || {
        let (input, routing) = long_routing(2, 2_000, 2);
        chapter06::routing_animation(&input, &routing, 0)
    }),
    ("objective_trace of 100,000 fits", || {
        let fit = long_fit(1, |_| ());
        chapter03::objective_trace("", &vec![fit; 100_000], Objective::Inertia)
    }),
    ("animate with 1,000 frames that differ", || {
        let frames: Vec<Figure> =
            (0..1000).map(|i| chapter01::jensen_chord(1.0, 2.0 + i as f64, 0.5).unwrap()).collect();
        figures::animate("long", &frames, 1.0)
    }),
    ("confusion of 10,000 classes", || {
        let (labels, classes) = (vec![0; 10], 10_000);
        figures::chapter09::confusion(&Evaluation {
            activations: vec![0.0; 100_000],
            predictions: labels.clone(),
            labels,
            classes,
        })
    }),
];

#[test]
fn large_input_is_subsampled_and_drawn() {
    for &(name, draw) in LARGE {
        let figure = drawn_in_time(name, draw).unwrap_or_else(|error| panic!("{name}: {error}"));
        let most = if figure.svg(Palette::Light).contains("@keyframes") { 4_000_000 } else { 700_000 };
        assert!(
            figure.svg(Palette::Light).len() <= most,
            "{name} has {} bytes",
            figure.svg(Palette::Light).len()
        );
    }
}

#[test]
fn the_error_for_oversized_input_names_the_limit() {
    for &(name, draw) in TOO_LARGE {
        let error = drawn_in_time(name, draw)
            .map(|figure| figure.svg(Palette::Light).len())
            .expect_err(name)
            .to_string();
        assert!(error.contains("at most") || error.contains("from 1 to"), "{name}: {error}");
    }
}

#[test]
fn errors_for_huge_values_name_the_place_of_the_value() {
    let data = array![[8e307, 0.0], [-8e307, 1.0]];
    let error = drawn_in_time("pair_plot", move || pairs(&data, &["a", "b"], &array![0, 0]));
    assert!(matches!(error, Err(Error::Magnitude { row: 0, column: 0, .. })), "{error:?}");
    let error = drawn_in_time("elbow", || chapter03::elbow(&[1, 2], &[8e307, -8e307], "cm²", 1))
        .unwrap_err()
        .to_string();
    assert!(error.contains("inertia (cm²)") && error.contains("at most 1e140 from 0"), "{error}");
    // The largest and smallest allowed numbers draw like any others.
    for scale in [1e130, 1e-120, 1.0] {
        svg::assert_sound(
            &chapter03::elbow(&[1, 2, 3], &[scale, 0.2 * scale, 0.1 * scale], "cm²", 1).unwrap(),
        );
        let data = samples(50, 2) * (0.3 * scale);
        svg::assert_sound(&pairs(&data, &["a", "b"], &Array1::from(cycle(50, 2))).unwrap());
    }
}
