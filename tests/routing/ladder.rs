//! The ladder: rung 1 is the diagonal mixture and never lowers its likelihood, the last rung is the reference, and properties of all.

use em_routing::em::Stop;
use em_routing::error::Error;
use em_routing::gmm::{Covariances, Gmm, plain};
use em_routing::routing::ladder::{
    LadderOptions, LadderStep, routing_1, routing_2, routing_3, routing_4, routing_final, shared_votes,
};
use em_routing::routing::{InverseTemperature, Parents, RoutingInput, RoutingOptions};
use ndarray::{Array1, Array2, Array3, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{largest_error, uniform};

/// Two clouds of poses with three elements, the activations of the children, and initial responsibilities for `parents` parents.
fn poses(children: usize, parents: usize, seed: u64) -> (Array2<f64>, Array1<f64>, Array2<f64>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let noise = uniform((children, 3), -1.0, 1.0, &mut rng);
    let poses = Array2::from_shape_fn((children, 3), |(i, h)| noise[(i, h)] + 2.0 * ((i + h) % 2) as f64);
    let activations = uniform(children, 0.1, 0.9, &mut rng);
    let mut start = uniform((children, parents), 0.1, 0.9, &mut rng);
    for mut row in start.rows_mut() {
        row /= row.sum();
    }
    (poses, activations, start)
}

fn exact(iterations: usize) -> LadderOptions {
    LadderOptions { iterations, variance_floor: 0.0, ..Default::default() }
}

/// All five rungs.
fn rungs(
    votes: &Array3<f64>,
    a: &Array1<f64>,
    start: &Parents,
    options: &LadderOptions,
) -> [Vec<LadderStep>; 5] {
    [
        routing_1(votes, start, options).unwrap(),
        routing_2(votes, start, options).unwrap(),
        routing_3(votes, a, start, options).unwrap(),
        routing_4(votes, a, start, options).unwrap(),
        routing_final(votes, a, options).unwrap(),
    ]
}

#[test]
fn rung_1_equals_em_for_a_diagonal_gaussian_mixture() {
    for (seed, (children, parents)) in [(40, 2), (33, 3), (50, 5)].into_iter().enumerate() {
        let (poses, _, responsibilities) = poses(children, parents, seed as u64);
        let votes = shared_votes(&poses, parents);
        let start = Parents::from_responsibilities(&votes, &responsibilities, &exact(1)).unwrap();
        let mixture = Gmm {
            weights: start.weights.clone(),
            means: start.means.clone(),
            covariances: Covariances::Diagonal(start.variances.clone()),
        };
        let stop = Stop { max_iterations: 8, tolerance: -1.0 };
        let fit = plain::fit(&poses, &mixture, 0.0, stop).unwrap();
        let trace = routing_1(&votes, &start, &exact(8)).unwrap();
        for (t, step) in trace.iter().enumerate() {
            let (before, after, objective) = (&fit.models[t], &fit.models[t + 1], fit.objectives[t + 1]);
            let responsibilities = before.responsibilities(&poses).unwrap();
            let Covariances::Diagonal(variances) = &after.covariances else { unreachable!() };
            let pairs = [
                (&step.responsibilities, &responsibilities),
                (&step.parents.means, &after.means),
                (&step.parents.variances, variances),
            ];
            for (found, expected) in pairs {
                assert!(largest_error(found, expected, 1.0) <= 1e-10);
            }
            assert!(largest_error(&step.parents.weights, &after.weights, 1.0) <= 1e-10);
            assert!((step.log_likelihood - objective).abs() <= 1e-10 * objective.abs());
        }
    }
}

#[test]
fn only_rung_1_never_lowers_the_likelihood() {
    let mut falls = [0; 5];
    for seed in 0..50 {
        let (poses, activations, responsibilities) = poses(30, 3, seed);
        // with separate votes for each parent, this is no mixture of one set of samples, but it is still EM
        let mut rng = ChaCha8Rng::seed_from_u64(seed + 1000);
        let shift = uniform((30, 3, 3), -0.5, 0.5, &mut rng);
        for votes in [shared_votes(&poses, 3), shared_votes(&poses, 3) + &shift] {
            let start = Parents::from_responsibilities(&votes, &responsibilities, &exact(6)).unwrap();
            let everyone = Array1::ones(30);
            let mut before = start.log_likelihood(&votes, &everyone).unwrap();
            let all = rungs(&votes, &activations, &start, &exact(6));
            for step in &all[0] {
                assert!(
                    step.log_likelihood >= before - 1e-9,
                    "seed {seed}: {before} {}",
                    step.log_likelihood
                );
                assert_eq!(step.log_likelihood, step.parents.log_likelihood(&votes, &everyone).unwrap());
                before = step.log_likelihood;
            }
            for (falls, trace) in falls.iter_mut().zip(&all) {
                let fell = |steps: &[LadderStep]| steps[1].log_likelihood < steps[0].log_likelihood - 1e-9;
                *falls += trace.windows(2).filter(|steps| fell(steps)).count();
            }
        }
    }
    assert_eq!(falls[0], 0);
    assert!(falls[1..].iter().all(|&falls| falls > 0), "higher rungs are not EM: {falls:?}");
}

#[test]
fn the_last_rung_equals_the_reference_implementation_of_routing() {
    let (poses, activations, _) = poses(12, 4, 7);
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let votes = shared_votes(&poses, 4) + uniform((12, 4, 3), -1.0, 1.0, &mut rng);
    for iterations in [1, 2, 3, 5] {
        let inverse_temperature = InverseTemperature::Saturating { limit: 0.3 };
        let options = LadderOptions { inverse_temperature, beta_v: 0.6, beta_a: -0.4, ..exact(iterations) };
        let trace = routing_final(&votes, &activations, &options).unwrap();
        let input = RoutingInput::new(
            votes.clone().insert_axis(Axis(0)),
            activations.clone().insert_axis(Axis(0)),
            Array1::from_elem(4, options.beta_v / 3.0), // once for each of the three elements
            Array1::from_elem(4, options.beta_a),
        );
        let paper = RoutingOptions { iterations, inverse_temperature, ..RoutingOptions::paper() };
        let routing = input.route(&paper).unwrap();
        for (step, expected) in trace.iter().zip(&routing.trace) {
            assert!(largest_error(&step.responsibilities, &expected.responsibilities, 1.0) <= 1e-12);
            assert!(largest_error(&step.parents.means, &expected.means, 1.0) <= 1e-12);
            assert!(largest_error(&step.parents.variances, &expected.variances, 1.0) <= 1e-12);
            assert!(largest_error(step.costs.as_ref().unwrap(), &expected.costs, 1.0) <= 1e-11);
            assert!(largest_error(&step.parents.weights, &expected.activations, 1.0) <= 1e-12);
            assert_eq!(step.inverse_temperature, Some(expected.inverse_temperature));
        }
    }
}

#[test]
fn each_rung_gives_other_weights_than_the_rung_before() {
    let (poses, activations, responsibilities) = poses(20, 3, 3);
    let votes = shared_votes(&poses, 3);
    let start = Parents::from_responsibilities(&votes, &responsibilities, &exact(3)).unwrap();
    let all = rungs(&votes, &activations, &start, &exact(3));
    for pair in all.windows(2) {
        let [below, above] = [&pair[0][2].parents.weights, &pair[1][2].parents.weights];
        assert!(largest_error(below, above, 1.0) > 1e-6);
    }
    // if all children are fully active, rung 3 equals rung 2
    let same = routing_3(&votes, &Array1::ones(20), &start, &exact(3)).unwrap();
    assert!(largest_error(&same[2].parents.means, &all[1][2].parents.means, 1.0) <= 1e-14);
    // parents that start equal stay equal
    let alike = routing_final(&votes, &activations, &exact(3)).unwrap();
    let means = &alike[2].parents.means;
    assert!(largest_error(means.row(0), means.row(2), 1.0) <= 1e-14);
}

#[test]
fn costs_and_weights_of_rungs_2_to_5_satisfy_their_equations() {
    let (poses, activations, responsibilities) = poses(20, 3, 5);
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let votes = shared_votes(&poses, 3) + uniform((20, 3, 3), -1.0, 1.0, &mut rng);
    let inverse_temperature = InverseTemperature::Constant(0.3);
    let options = LadderOptions { inverse_temperature, beta_v: 0.2, beta_a: 0.7, ..exact(4) };
    let start = Parents::from_responsibilities(&votes, &responsibilities, &options).unwrap();
    let all = rungs(&votes, &activations, &start, &options);
    for (rung, trace) in all.iter().enumerate().skip(1) {
        for step in trace {
            let prices = step.parents.variances.mapv(|v| v.sqrt().ln()).sum_axis(Axis(1)) + 0.2;
            let received = &step.responsibilities * &activations.view().insert_axis(Axis(1));
            let masses = if rung >= 3 { received.sum_axis(Axis(0)) } else { Array1::ones(3) };
            let costs = step.costs.as_ref().unwrap();
            assert!(largest_error(costs, &(prices * masses), 1.0) <= 1e-12, "rung {}", rung + 1);
            let weights = costs.mapv(|cost| 1.0 / (1.0 + (-0.3 * (0.7 - cost)).exp()));
            assert!(largest_error(&step.parents.weights, &weights, 1.0) <= 1e-14, "rung {}", rung + 1);
        }
    }
    // rung 4, started from the first M-step of the final rung, gives the same further steps
    let rest = LadderOptions { iterations: 3, ..options };
    let continued = routing_4(&votes, &activations, &all[4][0].parents, &rest).unwrap();
    assert_eq!(continued[..], all[4][1..]);
}

#[test]
fn responsibilities_add_up_to_1_and_follow_permutations_of_capsules() {
    let (poses, activations, responsibilities) = poses(15, 4, 11);
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let votes = shared_votes(&poses, 4) + uniform((15, 4, 3), -0.5, 0.5, &mut rng);
    let options = LadderOptions::default();
    let start = Parents::from_responsibilities(&votes, &responsibilities, &options).unwrap();
    let (parent_order, child_order) = ([2, 0, 3, 1], [4, 3, 2, 1, 0, 14, 13, 12, 11, 10, 5, 6, 7, 8, 9]);
    let permuted_votes = votes.select(Axis(0), &child_order).select(Axis(1), &parent_order);
    let permuted_activations = activations.select(Axis(0), &child_order);
    let permuted_start = Parents {
        means: start.means.select(Axis(0), &parent_order),
        variances: start.variances.select(Axis(0), &parent_order),
        weights: start.weights.select(Axis(0), &parent_order),
    };
    let all = rungs(&votes, &activations, &start, &options);
    let permuted = rungs(&permuted_votes, &permuted_activations, &permuted_start, &options);
    for (step, permuted) in all.iter().flatten().zip(permuted.iter().flatten()) {
        assert!(largest_error(&step.responsibilities.sum_axis(Axis(1)), &Array1::ones(15), 1.0) <= 1e-12);
        assert!(largest_error(&step.shares.sum_axis(Axis(0)), &Array1::ones(4), 1.0) <= 1e-12);
        let r = step.responsibilities.select(Axis(0), &child_order).select(Axis(1), &parent_order);
        assert!(largest_error(&permuted.responsibilities, &r, 1.0) <= 1e-9);
        let means = step.parents.means.select(Axis(0), &parent_order);
        assert!(largest_error(&permuted.parents.means, &means, 1.0) <= 1e-9);
        assert!((permuted.log_likelihood - step.log_likelihood).abs() <= 1e-9 * step.log_likelihood.abs());
    }
}

#[test]
fn children_with_activation_0_give_finite_results() {
    let votes = shared_votes(&ndarray::array![[1.0, 2.0], [1.0, 2.0]], 2);
    let nobody = Array1::zeros(2);
    let options = LadderOptions::default();
    let start = Parents::from_responsibilities(&votes, &Array2::from_elem((2, 2), 0.5), &options).unwrap();
    for step in rungs(&votes, &nobody, &start, &options).iter().flatten() {
        let mut all = step.responsibilities.iter().chain(&step.shares).chain(&step.parents.means);
        assert!(all.all(|value| value.is_finite()) && step.log_likelihood.is_finite());
    }
}

#[test]
fn errors_name_the_invalid_argument_and_the_index_of_its_entry() {
    let votes = shared_votes(&ndarray::array![[1.0, f64::NAN]], 2);
    let error = routing_final(&votes, &Array1::ones(1), &LadderOptions::default()).unwrap_err();
    assert!(
        matches!(&error, Error::EntryOutOfRange { name: "votes", place, .. } if place == &[0, 0, 1]),
        "{error}"
    );
    let votes = shared_votes(&ndarray::array![[1.0, 2.0]], 2);
    let error = routing_final(&votes, &Array1::ones(2), &LadderOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Shape { name: "the activations", .. }), "{error}");
    let error = routing_final(&votes, &Array1::ones(1), &exact(0)).unwrap_err();
    assert!(matches!(error, Error::Empty { what: "iterations" }), "{error}");
}
