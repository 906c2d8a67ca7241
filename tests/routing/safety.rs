//! Hostile votes, activations and betas: the default options stay finite, and errors say what is wrong with an input.

use em_routing::error::Error;
use em_routing::routing::fused::{Kernel, LayerShape};
use em_routing::routing::{
    Capsules, Competition, CostScale, InverseTemperature, LadderOptions, LadderStep, Parents, Reach, Routing,
    RoutingGradient, RoutingInput, RoutingOptions, RoutingStart, ladder, votes,
};
use ndarray::{Array1, Array2, Array3, Array4, Axis, s};
use proptest::prelude::*;

use super::{largest_error, random_input, uniform};

/// Fails unless every number of the trace and of the gradient is finite.
#[track_caller]
pub fn assert_finite(name: &str, routing: &Routing, gradient: &RoutingGradient) {
    for (iteration, step) in routing.trace.iter().enumerate() {
        let all = step.responsibilities.iter().chain(&step.masses).chain(&step.means).chain(&step.variances);
        let mut all = all.chain(&step.costs).chain(&step.logits).chain(&step.activations);
        assert!(all.all(|value| value.is_finite()), "{name}: iteration {iteration}: {step:?}");
    }
    let all = gradient.d_votes.iter().chain(&gradient.d_activations);
    let mut all = all.chain(&gradient.d_beta_v).chain(&gradient.d_beta_a);
    assert!(all.all(|value| value.is_finite()), "{name}: {gradient:?}");
}

#[track_caller]
fn assert_safe(name: &str, input: &RoutingInput, options: &RoutingOptions) {
    let routing = input.route(options).unwrap();
    let (d_poses, d_activations) = (routing.poses().mapv(|_| 1.0), routing.activations().mapv(|_| -1.0));
    let gradient = input.gradient(options, &routing, &d_poses, &d_activations).unwrap();
    assert_finite(name, &routing, &gradient);
    for step in &routing.trace {
        for (index, sum) in step.responsibilities.sum_axis(Axis(2)).indexed_iter() {
            assert!((sum - 1.0).abs() <= 1e-12, "{name}: the responsibilities of {index:?} add up to {sum}");
        }
    }
}

/// Numbers of all sizes, from 0 to the largest that the documentation allows.
fn hostile() -> impl Strategy<Value = f64> {
    let sizes = prop::sample::select(vec![0.0, 1e-300, 1e-30, 1e-9, 1e-4, 1.0, 1.0 + 1e-15, 1e4, 1e7, 1e8]);
    prop_oneof![
        (sizes, any::<bool>()).prop_map(|(size, negative)| if negative { -size } else { size }),
        -1e8..1e8,
        -1.0..1.0,
    ]
}

fn hostile_input() -> impl Strategy<Value = RoutingInput> {
    (1usize..3, 1usize..6, 1usize..5, 1usize..5).prop_flat_map(|(positions, children, parents, elements)| {
        let votes = prop_oneof![
            prop::collection::vec(hostile(), positions * children * parents * elements),
            hostile().prop_map(move |vote| vec![vote; positions * children * parents * elements]),
        ];
        let activation = prop_oneof![Just(0.0), Just(1.0), Just(1e-300), Just(1e-12), 0.0..1.0];
        let activations = prop_oneof![
            prop::collection::vec(activation, positions * children),
            Just(vec![0.0; positions * children]),
        ];
        let beta = prop_oneof![Just(-50.0), Just(50.0), Just(0.0), Just(1e8), Just(-1e8), -50.0..50.0];
        let betas = prop::collection::vec(beta, 2 * parents);
        (votes, activations, betas).prop_map(move |(votes, activations, betas)| RoutingInput {
            votes: Array4::from_shape_vec((positions, children, parents, elements), votes).unwrap(),
            activations: Array2::from_shape_vec((positions, children), activations).unwrap(),
            beta_v: Array1::from(betas[..parents].to_vec()),
            beta_a: Array1::from(betas[parents..].to_vec()),
            capsules: None,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    #[test]
    fn the_default_options_give_finite_results(input in hostile_input(), iterations in 1usize..6, blog_like in any::<bool>()) {
        let default = RoutingOptions { iterations, ..Default::default() };
        let options = match blog_like {
            false => default,
            // the default's epsilons make the blog's options finite too
            true => RoutingOptions {
                mass_epsilon: default.mass_epsilon,
                variance_floor: default.variance_floor,
                iterations,
                ..RoutingOptions::blog()
            },
        };
        assert_safe("hostile", &input, &options);
    }
}

#[test]
fn extreme_sizes_and_values_give_finite_results() {
    let ones = Array4::from_elem((1, 1, 1, 1), 1.0);
    for iterations in [1, 2, 3, 5] {
        let options = RoutingOptions { iterations, ..Default::default() };
        for (children, parents) in [(1, 1), (1, 4), (6, 1), (6, 4)] {
            for size in [0.0, 1e-8, 1.0, 1e8] {
                for activation in [0.0, 1.0] {
                    for beta in [-50.0, 0.0, 50.0] {
                        let votes = ones.broadcast((2, children, parents, 16)).unwrap().to_owned() * size;
                        let input = RoutingInput::new(
                            votes,
                            Array2::from_elem((2, children), activation),
                            Array1::from_elem(parents, beta),
                            Array1::from_elem(parents, -beta),
                        );
                        assert_safe("corner", &input, &options);
                    }
                }
            }
        }
    }
}

/// As [`RoutingOptions::blog`] documents, 0 / 0 occurs where it does in the blog, and affects no other position.
#[test]
fn the_options_of_the_blog_give_nan_only_where_documented() {
    let (mut input, _) = random_input([2, 6, 3, 4], 1);
    input.activations.row_mut(0).fill(0.0);
    let routing = input.route(&RoutingOptions::blog()).unwrap();
    assert!(routing.poses().index_axis(Axis(0), 0).iter().all(|pose| pose.is_nan()));
    assert!(routing.poses().index_axis(Axis(0), 1).iter().all(|pose| pose.is_finite()));

    let (mut input, _) = random_input([2, 6, 3, 4], 1);
    input.votes.slice_mut(s![0, .., 2, ..]).fill(0.0);
    let routing = input.route(&RoutingOptions::blog()).unwrap();
    assert!(routing.activations().row(0).iter().all(|activation| activation.is_nan()));
    assert!(routing.activations().row(1).iter().all(|activation| activation.is_finite()));
    // without an E-step, the parent's density is never evaluated
    let once = RoutingOptions { iterations: 1, ..RoutingOptions::blog() };
    assert!(input.route(&once).unwrap().activations().iter().all(|activation| activation.is_finite()));
}

#[test]
fn results_do_not_depend_on_the_order_of_capsules_or_on_other_positions() {
    let (input, _) = random_input([3, 7, 4, 5], 9);
    let (children, parents) = ([6, 2, 0, 1, 5, 4, 3], [3, 1, 0, 2]);
    let permuted = RoutingInput {
        votes: input.votes.select(Axis(1), &children).select(Axis(2), &parents),
        activations: input.activations.select(Axis(1), &children),
        beta_v: input.beta_v.select(Axis(0), &parents),
        beta_a: input.beta_a.select(Axis(0), &parents),
        capsules: None,
    };
    let alone = RoutingInput {
        votes: input.votes.slice(s![1..2, .., .., ..]).to_owned(),
        activations: input.activations.slice(s![1..2, ..]).to_owned(),
        ..input.clone()
    };
    for options in [RoutingOptions::blog(), RoutingOptions::paper(), RoutingOptions::default()] {
        let routing = input.route(&options).unwrap();
        let found = permuted.route(&options).unwrap();
        let expected = routing.poses().select(Axis(1), &parents);
        assert!(largest_error(found.poses(), &expected, 1.0) <= 1e-10);
        let expected = routing.activations().select(Axis(1), &parents);
        assert!(largest_error(found.activations(), &expected, 1.0) <= 1e-10);
        let r = &routing.last().responsibilities;
        let expected = r.select(Axis(1), &children).select(Axis(2), &parents);
        assert!(largest_error(&found.last().responsibilities, &expected, 1.0) <= 1e-10);
        let alone = alone.route(&options).unwrap();
        assert_eq!(alone.poses().index_axis(Axis(0), 0), routing.poses().index_axis(Axis(0), 1));
    }
}

#[test]
fn responsibilities_of_a_capsule_add_up_to_1_over_all_positions() {
    let (_, mut rng) = random_input([1, 1, 1, 1], 2);
    let below = Capsules {
        poses: uniform((2, 4, 3, 2, 16), -1.0, 1.0, &mut rng),
        activations: uniform((2, 4, 3, 2), 0.1, 0.9, &mut rng),
    };
    let patches = below.patches(Reach::Neighbourhood { size: 2, stride: 1 }).unwrap();
    let transforms = uniform((8, 3, 4, 4), -1.0, 1.0, &mut rng);
    let input = RoutingInput {
        votes: votes(&patches.poses, &transforms).unwrap(),
        activations: patches.activations.clone(),
        beta_v: Array1::zeros(3),
        beta_a: Array1::zeros(3),
        capsules: Some(patches.capsules.clone()),
    };
    let options = RoutingOptions { competition: Competition::AllPositions, ..Default::default() };
    for step in input.route(&options).unwrap().trace {
        let mut sums = vec![0.0; below.activations.len()];
        for ((p, i, _), r) in step.responsibilities.indexed_iter() {
            sums[patches.capsules[(p, i)]] += r;
        }
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() <= 1e-12), "{sums:?}");
    }
}

/// All votes turn with the whole, so they agree as well as before.
#[test]
fn votes_are_transformed_by_the_matrix_that_transforms_the_poses() {
    let (_, mut rng) = random_input([1, 1, 1, 1], 4);
    let poses: Array3<f64> = uniform((1, 6, 16), -1.0, 1.0, &mut rng);
    let transforms = uniform((6, 3, 4, 4), -1.0, 1.0, &mut rng);
    let turn: Array2<f64> = uniform((4, 4), -1.0, 1.0, &mut rng);
    let turned = |matrices: &Array2<f64>| {
        let rows = matrices.rows().into_iter().flat_map(|row| {
            let matrix = row.to_shape((4, 4)).unwrap().into_owned();
            turn.dot(&matrix).into_iter().collect::<Vec<f64>>()
        });
        rows.collect::<Vec<f64>>()
    };
    let flat = |array: &[f64]| Array2::from_shape_vec((array.len() / 16, 16), array.to_vec()).unwrap();
    let turned_poses = Array3::from_shape_vec((1, 6, 16), turned(&flat(poses.as_slice().unwrap()))).unwrap();
    let found = votes(&turned_poses, &transforms).unwrap();
    let expected = turned(&flat(votes(&poses, &transforms).unwrap().as_slice().unwrap()));
    assert!(largest_error(&found, &expected, 1.0) <= 1e-12);
}

#[test]
fn start_options_and_inverse_temperatures_have_the_documented_values() {
    let (input, _) = random_input([2, 5, 4, 3], 3);
    let uniform = input.route(&RoutingOptions { iterations: 1, ..RoutingOptions::paper() }).unwrap();
    let one = RoutingOptions { iterations: 1, start: RoutingStart::One, ..RoutingOptions::paper() };
    let one = input.route(&one).unwrap();
    assert!(largest_error(uniform.poses(), one.poses(), 1.0) <= 1e-14);
    assert!(largest_error(&(&uniform.last().masses * 4.0), &one.last().masses, 1.0) <= 1e-14);
    let lambdas = |options: RoutingOptions| -> Vec<f64> {
        input.route(&options).unwrap().trace.iter().map(|step| step.inverse_temperature).collect()
    };
    assert_eq!(lambdas(RoutingOptions::blog()), [1.0, 2.0, 3.0]);
    assert_eq!(lambdas(RoutingOptions { iterations: 1, ..RoutingOptions::blog() }), [1.0]);
    assert_eq!(lambdas(RoutingOptions { iterations: 2, ..RoutingOptions::blog() }), [1.0, 2.0]);
    assert_eq!(
        lambdas(RoutingOptions { iterations: 5, ..RoutingOptions::blog() }),
        [1.0, 1.5, 2.0, 2.5, 3.0]
    );
    let paper = lambdas(RoutingOptions::paper());
    assert!(largest_error(&paper, &[0.0005, 0.000975, 0.00142625], 1e-3) <= 1e-12);
}

#[test]
fn errors_name_the_invalid_argument_and_the_index_of_its_entry() {
    let (good, _) = random_input([2, 5, 3, 4], 1);
    let options = RoutingOptions::default();
    let fault = |input: &RoutingInput, options: &RoutingOptions| input.route(options).unwrap_err();
    let mut input = good.clone();
    input.votes[(1, 2, 0, 3)] = f64::NAN;
    assert_eq!(fault(&input, &options).to_string(), "votes[1, 2, 0, 3] is NaN, but should be finite");
    let mut input = good.clone();
    input.activations[(0, 4)] = -0.5;
    let expected = "activations[0, 4] is -0.5, but should be finite and not negative";
    assert_eq!(fault(&input, &options).to_string(), expected);
    let mut input = good.clone();
    input.beta_v[2] = f64::INFINITY;
    assert_eq!(fault(&input, &options).to_string(), "beta_v[2] is inf, but should be finite");
    let input = RoutingInput { beta_a: Array1::zeros(2), ..good.clone() };
    assert!(matches!(fault(&input, &options), Error::Shape { name: "beta_a", .. }));
    let input = RoutingInput { activations: Array2::zeros((2, 4)), ..good.clone() };
    assert!(matches!(fault(&input, &options), Error::Shape { name: "the activations", .. }));
    for (shape, missing) in [
        ((0, 5, 3, 4), "positions"),
        ((2, 0, 3, 4), "children"),
        ((2, 5, 0, 4), "parents"),
        ((2, 5, 3, 0), "elements of a pose"),
    ] {
        let input = RoutingInput { votes: Array4::zeros(shape), ..good.clone() };
        assert!(matches!(fault(&input, &options), Error::Empty { what } if what == missing));
    }
    let none = RoutingOptions { iterations: 0, ..Default::default() };
    assert!(matches!(fault(&good, &none), Error::Empty { what: "iterations" }));
    let alone = RoutingOptions { competition: Competition::AllPositions, ..Default::default() };
    assert!(matches!(fault(&good, &alone), Error::Empty { .. }));
    let negative = RoutingOptions { variance_floor: -1.0, ..Default::default() };
    assert!(matches!(fault(&good, &negative), Error::Setting { name: "variance_floor", .. }));
    let routing = good.route(&options).unwrap();
    let error = good.gradient(&options, &routing, &Array3::zeros((2, 3, 3)), &Array2::zeros((2, 3)));
    assert!(matches!(error, Err(Error::Shape { name: "d_poses", .. })));

    let below = Capsules {
        poses: Array4::zeros((1, 2, 2, 1)).insert_axis(Axis(4)),
        activations: Array4::zeros((1, 2, 2, 1)),
    };
    let reach = Reach::Neighbourhood { size: 2, stride: 1 };
    assert!(matches!(below.patches(reach), Err(Error::Shape { name: "the poses", .. })));
    let below = Capsules { poses: ndarray::Array5::zeros((1, 2, 2, 1, 16)), ..below };
    let error = below.patches(Reach::Neighbourhood { size: 3, stride: 1 }).unwrap_err();
    assert!(matches!(error, Error::NeighbourhoodTooLarge { size: 3, height: 2, width: 2 }));
    assert!(below.patches(Reach::Neighbourhood { size: 2, stride: 0 }).is_err());
    let transforms = Array4::zeros((3, 2, 4, 4));
    let patches = below.patches(reach).unwrap();
    assert!(matches!(votes(&patches.poses, &transforms), Err(Error::Shape { name: "the transforms", .. })));
}

/// Numbers from the smallest to the largest in f64.
fn any_size() -> impl Strategy<Value = f64> {
    let sizes =
        vec![0.0, 5e-324, 1e-200, 1e-100, 1e-30, 1.0, 1e8, 1e19, 1e60, 1e99, 1e150, 1e160, 1e200, 1e308];
    prop_oneof![
        (prop::sample::select(sizes), any::<bool>()).prop_map(|(size, negative)| if negative {
            -size
        } else {
            size
        }),
        -1.0..1.0,
    ]
}

fn any_option() -> impl Strategy<Value = f64> {
    prop::sample::select(vec![0.0, 5e-324, 1e-300, 1e-100, 1e-9, 1e-4, 1.0, 1e10, 1e30, 1e200, f64::MAX])
}

fn is_finite(step: &LadderStep) -> bool {
    let parents = step.parents.means.iter().chain(&step.parents.variances).chain(&step.parents.weights);
    parents.chain(&step.responsibilities).chain(&step.shares).all(|value| value.is_finite())
        && step.costs.iter().flatten().all(|cost| cost.is_finite())
        && step.log_likelihood.is_finite()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3_000) })]

    #[test]
    fn finite_input_of_any_size_gives_finite_results_or_an_error(
        numbers in prop::collection::vec(any_size(), 2 * 3 * 2 * 2),
        activations in prop::collection::vec(any_size().prop_map(f64::abs), 2 * 3),
        betas in prop::collection::vec(any_size(), 4),
        lambda in any_option(), floor in any_option(), mass in any_option(), factor in any_option(),
        normalise_costs: bool, linear: bool, from_parents: bool
    ) {
        let inverse_temperature = match linear {
            true => InverseTemperature::Linear,
            false => InverseTemperature::Constant(lambda),
        };
        let parents = Parents {
            means: Array2::from_shape_vec((2, 2), numbers[..4].to_vec()).unwrap(),
            variances: Array2::from_elem((2, 2), floor.max(5e-324)),
            weights: Array1::from_elem(2, mass.max(5e-324)),
        };
        let options = RoutingOptions {
            inverse_temperature,
            cost_scale: CostScale::PerChildOfParent { factor },
            variance_floor: floor.max(5e-324),
            mass_epsilon: mass.max(5e-324),
            normalise_costs,
            start: if from_parents { RoutingStart::Parents(Box::new(parents.clone())) } else { RoutingStart::Uniform },
            ..RoutingOptions::blog()
        };
        let input = RoutingInput {
            votes: Array4::from_shape_vec((2, 3, 2, 2), numbers.clone()).unwrap(),
            activations: Array2::from_shape_vec((2, 3), activations.clone()).unwrap(),
            beta_v: Array1::from(betas[..2].to_vec()),
            beta_a: Array1::from(betas[2..].to_vec()),
            capsules: None,
        };
        if let Ok(routing) = input.route(&options) {
            let ones = routing.poses().mapv(|_| 1.0);
            let none = RoutingGradient {
                d_votes: Array4::zeros((1, 1, 1, 1)),
                d_activations: Array2::zeros((1, 1)),
                d_beta_v: Array1::zeros(1),
                d_beta_a: Array1::zeros(1),
            };
            assert_finite("any size", &routing, &none);
            if let Ok(gradient) = input.gradient(&options, &routing, &ones, &routing.activations().mapv(|_| -1.0)) {
                assert_finite("any size", &routing, &gradient);
            }
        }

        let votes = Array3::from_shape_vec((3, 2, 2), numbers[..12].to_vec()).unwrap();
        let children = Array1::from(activations[..3].to_vec());
        let options = LadderOptions {
            inverse_temperature, beta_v: betas[0], beta_a: betas[2], variance_floor: floor, iterations: 3,
        };
        let rungs = [
            ladder::routing_1(&votes, &parents, &options),
            ladder::routing_2(&votes, &parents, &options),
            ladder::routing_3(&votes, &children, &parents, &options),
            ladder::routing_4(&votes, &children, &parents, &options),
            ladder::routing_final(&votes, &children, &options),
        ];
        for trace in rungs.into_iter().flatten() {
            prop_assert!(trace.iter().all(is_finite), "{trace:?}");
        }
        if let Ok(log_likelihood) = parents.log_likelihood(&votes, &children) {
            prop_assert!(log_likelihood.is_finite());
        }
        let poses = Array3::from_shape_fn((1, 2, 16), |(_, i, h)| numbers[(i * 16 + h) % 24]);
        let transforms = Array4::from_shape_fn((2, 1, 4, 4), |(i, _, k, l)| numbers[(i + 5 * k + 3 * l) % 24]);
        if let Ok(votes) = em_routing::routing::votes(&poses, &transforms) {
            prop_assert!(votes.iter().all(|vote| vote.is_finite()));
        }
    }
}

#[test]
fn errors_give_the_index_of_a_vote_that_is_too_large() {
    let (mut input, _) = random_input([2, 5, 3, 4], 1);
    input.votes[(1, 2, 0, 3)] = 1e200;
    for options in [RoutingOptions::default(), RoutingOptions::blog(), RoutingOptions::paper()] {
        let error = input.route(&options).unwrap_err();
        assert_eq!(error.to_string(), "votes[1, 2, 0, 3] is 1e200, but should be within 1e100 of 0");
    }
    let votes = input.votes.index_axis(Axis(0), 1).to_owned();
    let error = ladder::routing_final(&votes, &Array1::ones(5), &LadderOptions::default()).unwrap_err();
    assert!(
        matches!(&error, Error::EntryOutOfRange { name: "votes", place, .. } if place == &[2, 0, 3]),
        "{error}"
    );
}

#[test]
fn a_negative_inverse_temperature_is_an_error_everywhere() {
    let (input, _) = random_input([1, 5, 3, 4], 1);
    let votes = input.votes.index_axis(Axis(0), 0).to_owned();
    let children = Array1::ones(5);
    let start = Parents::from_responsibilities(
        &votes,
        &Array2::from_elem((5, 3), 1.0 / 3.0),
        &LadderOptions::default(),
    )
    .unwrap();
    let layer = LayerShape {
        images: 1,
        height: 3,
        width: 3,
        capsules: 2,
        parents: 3,
        reach: Reach::Neighbourhood { size: 3, stride: 1 },
    };
    for lambda in [-1e-9, -1.0, f64::NEG_INFINITY, f64::NAN, f64::INFINITY] {
        for inverse_temperature in
            [InverseTemperature::Constant(lambda), InverseTemperature::Saturating { limit: lambda }]
        {
            let options = RoutingOptions { inverse_temperature, ..Default::default() };
            let rung = LadderOptions { inverse_temperature, ..Default::default() };
            let mut config = em_routing::capsnet::Settings::default();
            config.set("inverse-temperature", &inverse_temperature.to_string()).unwrap();
            let errors = [
                input.route(&options).unwrap_err(),
                Kernel::new(layer, &options, 1).unwrap_err(),
                config.check().unwrap_err(),
                ladder::routing_1(&votes, &start, &rung).unwrap_err(),
                ladder::routing_2(&votes, &start, &rung).unwrap_err(),
                ladder::routing_3(&votes, &children, &start, &rung).unwrap_err(),
                ladder::routing_4(&votes, &children, &start, &rung).unwrap_err(),
                ladder::routing_final(&votes, &children, &rung).unwrap_err(),
                Parents::from_responsibilities(&votes, &Array2::ones((5, 3)), &rung).unwrap_err(),
            ];
            for error in errors {
                let Error::Setting { name: "inverse_temperature", value, .. } = error else {
                    panic!("{error}")
                };
                assert_eq!(value.to_bits(), lambda.to_bits());
            }
        }
    }
    let cost_scale = CostScale::PerChildOfParent { factor: -1.0 };
    let error = input.route(&RoutingOptions { cost_scale, ..Default::default() }).unwrap_err();
    assert!(matches!(error, Error::Setting { name: "cost_scale", .. }), "{error}");
}
