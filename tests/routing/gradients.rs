//! Gradients against central differences, for each option and every input.

use em_routing::routing::{
    CapsuleLayer, Capsules, Competition, CostScale, InverseTemperature, Parents, Reach, RoutingInput,
    RoutingOptions, RoutingStart,
};
use ndarray::{Array, Array2, Array3, Axis, Dimension, s};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{largest_error, random_input, uniform};

/// Central differences, (f(x - 2h) - 8 f(x - h) + 8 f(x + h) - f(x + 2h)) / 12h, for each number x of the array that `at` selects.
fn differences<T: Clone, D: Dimension>(
    input: &T,
    at: impl Fn(&mut T) -> &mut Array<f64, D>,
    loss: impl Fn(&T) -> f64,
) -> Vec<f64> {
    let step = 2e-4;
    let count = at(&mut input.clone()).len();
    let moved = |index: usize, by: f64| {
        let mut input = input.clone();
        *at(&mut input).iter_mut().nth(index).unwrap() += by;
        loss(&input)
    };
    (0..count)
        .map(|index| {
            let near = moved(index, step) - moved(index, -step);
            let far = moved(index, 2.0 * step) - moved(index, -2.0 * step);
            (8.0 * near - far) / (12.0 * step)
        })
        .collect()
}

#[track_caller]
fn close<D: Dimension>(what: &str, found: &Array<f64, D>, expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    assert!(scale > 0.0, "{what}: nothing to compare");
    let error = largest_error(found, expected, scale);
    assert!(error <= 1e-7, "{what}: error {error:e}");
}

/// A random gradient of the loss with respect to the poses and the activations.
fn weights(input: &RoutingInput, rng: &mut ChaCha8Rng) -> (Array3<f64>, Array2<f64>) {
    let (positions, _, parents, elements) = input.votes.dim();
    (uniform((positions, parents, elements), -1.0, 1.0, rng), uniform((positions, parents), -9.0, 9.0, rng))
}

fn check(what: &str, input: &RoutingInput, options: &RoutingOptions, rng: &mut ChaCha8Rng) {
    let (d_poses, d_activations) = weights(input, rng);
    let loss = |input: &RoutingInput| {
        let routing = input.route(options).unwrap();
        (routing.poses() * &d_poses).sum() + (routing.activations() * &d_activations).sum()
    };
    let routing = input.route(options).unwrap();
    let gradient = input.gradient(options, &routing, &d_poses, &d_activations).unwrap();
    close(&format!("{what}: votes"), &gradient.d_votes, &differences(input, |i| &mut i.votes, loss));
    close(
        &format!("{what}: activations"),
        &gradient.d_activations,
        &differences(input, |i| &mut i.activations, loss),
    );
    close(&format!("{what}: beta_v"), &gradient.d_beta_v, &differences(input, |i| &mut i.beta_v, loss));
    close(&format!("{what}: beta_a"), &gradient.d_beta_a, &differences(input, |i| &mut i.beta_a, loss));
}

/// Options with a schedule steep enough that the activations matter.
fn base() -> RoutingOptions {
    RoutingOptions {
        inverse_temperature: InverseTemperature::Saturating { limit: 1.0 },
        ..Default::default()
    }
}

#[test]
fn gradients_match_finite_differences_with_each_option() {
    let start = Parents {
        means: ndarray::array![[0.2, -0.1], [-0.3, 0.1], [0.0, 0.4]],
        variances: ndarray::array![[0.5, 0.7], [0.6, 0.5], [0.8, 0.4]],
        weights: ndarray::array![0.3, 0.6, 0.2],
    };
    let switches = [
        ("blog", RoutingOptions::blog()),
        ("paper", RoutingOptions::paper()),
        ("default", RoutingOptions::default()),
        ("variance_floor", RoutingOptions { variance_floor: 0.1, ..base() }),
        ("mass_epsilon", RoutingOptions { mass_epsilon: 0.3, ..base() }),
        ("mean_damping", RoutingOptions { mean_damping: 0.1, ..base() }),
        ("deviation_epsilon", RoutingOptions { deviation_epsilon: 0.2, ..base() }),
        ("activation_epsilon", RoutingOptions { activation_epsilon: 0.1, ..base() }),
        ("normalise_costs", RoutingOptions { normalise_costs: true, cost_epsilon: 0.3, ..base() }),
        ("per child", RoutingOptions { cost_scale: CostScale::PerChild, ..base() }),
        (
            "per child of parent",
            RoutingOptions { cost_scale: CostScale::PerChildOfParent { factor: 2.0 }, ..base() },
        ),
        ("linear", RoutingOptions { inverse_temperature: InverseTemperature::Linear, ..base() }),
        ("constant", RoutingOptions { inverse_temperature: InverseTemperature::Constant(0.2), ..base() }),
        ("one", RoutingOptions { start: RoutingStart::One, ..base() }),
        ("parents", RoutingOptions { start: RoutingStart::Parents(Box::new(start)), ..base() }),
        ("all positions", RoutingOptions { competition: Competition::AllPositions, ..base() }),
    ];
    for (name, options) in switches {
        for iterations in [1, 2, 3, 5] {
            let (mut input, mut rng) = random_input([2, 9, 3, 2], 17);
            // children 0 to 7 of the first position are the same capsules as children 1 to 8 of the second
            input.capsules = Some(Array2::from_shape_fn((2, 9), |(p, i)| i + 1 - p));
            let options = RoutingOptions { iterations, ..options.clone() };
            check(&format!("{name}, {iterations} iterations"), &input, &options, &mut rng);
        }
    }
}

#[test]
fn gradients_match_finite_differences_with_all_options_combined() {
    for seed in 0..10 {
        let (mut input, mut rng) = random_input([3, 6, 4, 2], seed);
        input.capsules = Some(Array2::from_shape_fn((3, 6), |_| rng.gen_range(0..9)));
        let options = RoutingOptions {
            iterations: 4,
            inverse_temperature: InverseTemperature::Linear,
            start: RoutingStart::One,
            competition: Competition::AllPositions,
            normalise_costs: seed % 2 == 0,
            cost_scale: CostScale::PerChild,
            deviation_epsilon: 0.1,
            cost_epsilon: 0.1,
            activation_epsilon: 0.1,
            mass_epsilon: 0.1,
            variance_floor: 0.1,
            mean_damping: 0.3,
            stop_gradient_at_responsibilities: false,
            coordinate_addition: true,
        };
        check(&format!("seed {seed}"), &input, &options, &mut rng);
    }
}

/// With R constant, only the last M-step is differentiated. The test computes it from its equations.
#[test]
fn the_stop_gradient_option_treats_responsibilities_as_constants() {
    let (input, mut rng) = random_input([2, 5, 3, 4], 23);
    let options = RoutingOptions { stop_gradient_at_responsibilities: true, ..base() };
    let routing = input.route(&options).unwrap();
    let r = &routing.last().responsibilities;
    let (d_poses, d_activations) = weights(&input, &mut rng);
    let loss = |input: &RoutingInput| {
        let mut loss = 0.0;
        for p in 0..2 {
            for j in 0..3 {
                let w = &r.slice(s![p, .., j]) * &input.activations.row(p);
                let v = input.votes.slice(s![p, .., j, ..]);
                let (mass, w) = (w.sum(), w.insert_axis(Axis(1)));
                let mean = (&v * &w).sum_axis(Axis(0)) / (mass + options.mass_epsilon);
                let squares = (&v - &mean).mapv(|x| x * x);
                let variance =
                    (squares * &w).sum_axis(Axis(0)) / (mass + options.mass_epsilon) + options.variance_floor;
                let cost = (variance.mapv(|v| 0.5 * v.ln()) + input.beta_v[j]).sum() * mass;
                let lambda = routing.last().inverse_temperature;
                let activation = 1.0 / (1.0 + (-lambda * (input.beta_a[j] - cost)).exp());
                loss += (&mean * &d_poses.slice(s![p, j, ..])).sum() + activation * d_activations[(p, j)];
            }
        }
        loss
    };
    let gradient = input.gradient(&options, &routing, &d_poses, &d_activations).unwrap();
    close("votes", &gradient.d_votes, &differences(&input, |i| &mut i.votes, loss));
    close("activations", &gradient.d_activations, &differences(&input, |i| &mut i.activations, loss));
    close("beta_v", &gradient.d_beta_v, &differences(&input, |i| &mut i.beta_v, loss));
    close("beta_a", &gradient.d_beta_a, &differences(&input, |i| &mut i.beta_a, loss));
    let whole = RoutingOptions { stop_gradient_at_responsibilities: false, ..options.clone() };
    let whole = input.gradient(&whole, &routing, &d_poses, &d_activations).unwrap();
    assert!(largest_error(&gradient.d_votes, &whole.d_votes, 1.0) > 1e-3);
}

#[test]
fn layer_gradients_match_finite_differences() {
    let reaches = [Reach::Neighbourhood { size: 2, stride: 1 }, Reach::Everywhere];
    for (reach, competition, coordinate_addition) in [
        (reaches[0], Competition::Position, true),
        (reaches[0], Competition::AllPositions, true),
        (reaches[1], Competition::Position, true),
        (reaches[1], Competition::Position, false),
    ] {
        let (_, mut rng) = random_input([1, 1, 1, 1], 5);
        let below = Capsules {
            poses: uniform((2, 3, 2, 1, 16), -1.0, 1.0, &mut rng),
            activations: uniform((2, 3, 2, 1), 0.1, 0.9, &mut rng),
        };
        let children = if reach == Reach::Everywhere { 1 } else { 4 };
        let layer = CapsuleLayer {
            reach,
            transforms: uniform((children, 2, 4, 4), -0.7, 0.7, &mut rng),
            beta_v: uniform(2, -1.0, 1.0, &mut rng),
            beta_a: uniform(2, -1.0, 1.0, &mut rng),
        };
        let options = RoutingOptions {
            competition,
            coordinate_addition,
            cost_scale: CostScale::PerChild,
            variance_floor: 0.1,
            ..base()
        };
        let run = layer.forward(&below, &options).unwrap();
        let d_poses = uniform(run.capsules.poses.raw_dim(), -1.0, 1.0, &mut rng);
        let d_activations = uniform(run.capsules.activations.raw_dim(), -9.0, 9.0, &mut rng);
        let loss = |(layer, below): &(CapsuleLayer, Capsules)| {
            let above = layer.forward(below, &options).unwrap().capsules;
            (above.poses * &d_poses).sum() + (above.activations * &d_activations).sum()
        };
        let gradient = layer.gradient(&run, &options, &d_poses, &d_activations).unwrap();
        let both = (layer, below);
        let what = format!("{reach:?}, {competition:?}, coordinates: {coordinate_addition}");
        close(&what, &gradient.d_poses, &differences(&both, |both| &mut both.1.poses, loss));
        close(&what, &gradient.d_activations, &differences(&both, |both| &mut both.1.activations, loss));
        close(&what, &gradient.d_transforms, &differences(&both, |both| &mut both.0.transforms, loss));
        close(&what, &gradient.d_beta_v, &differences(&both, |both| &mut both.0.beta_v, loss));
        close(&what, &gradient.d_beta_a, &differences(&both, |both| &mut both.0.beta_a, loss));
    }
}
