//! Random layers: all sizes and options, reproducible bits with any number of threads, extreme numbers, and errors.

use em_routing::error::Error;
use em_routing::routing::fused::{InstructionSet, Kernel, LayerGradient, LayerOutput, LayerShape};
use em_routing::routing::{
    Competition, CostScale, InverseTemperature, Parents, Reach, RoutingOptions, RoutingStart,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Case, error, largest, largest_gradient, one_position};

/// A random layer whose numbers make every term of the gradient matter.
fn random(shape: LayerShape, options: &RoutingOptions, seed: u64) -> Case {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let kernel = Kernel::new(shape, options, 1).unwrap();
    let below = shape.images * shape.height * shape.width * shape.capsules;
    let above = shape.images * kernel.grid().0 * kernel.grid().1 * shape.parents;
    let mut numbers =
        |count: usize, low: f32, high: f32| (0..count).map(|_| rng.gen_range(low..high)).collect();
    Case {
        shape,
        options: options.clone(),
        poses: numbers(below * 16, -1.0, 1.0),
        activations: numbers(below, 0.1, 0.9),
        transforms: numbers(kernel.transforms() * shape.parents * 16, -1.0, 1.0),
        beta_v: numbers(shape.parents, -1.0, 1.0),
        beta_a: numbers(shape.parents, -1.0, 1.0),
        d_poses: numbers(above * 16, -1.0, 1.0),
        d_activations: numbers(above, -1.0, 1.0),
    }
}

/// Checks the kernel against the reference. The tolerance follows from the condition of the layer: how much the reference
/// changes if the last bits of its inputs change. Returns how many outputs and gradients were well enough conditioned to
/// compare.
#[track_caller]
fn assert_agrees(name: &str, case: &Case) -> usize {
    let expected = case.expected();
    let smallest = 1e-6 * largest_gradient(&expected);
    let mut nudged = case.clone();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for number in nudged.poses.iter_mut().chain(&mut nudged.transforms).chain(&mut nudged.activations) {
        *number *= 1.0 + if rng.gen_bool(0.5) { 4.0 } else { -4.0 } * f32::EPSILON;
    }
    let nudged = nudged.expected();
    let scale_of = |of: &str, expected: &[f64]| match of.starts_with("grad.") {
        true => largest(expected).max(smallest),
        false => largest(expected),
    };
    let conditions = expected
        .iter()
        .zip(&nudged)
        .map(|((of, expected), (_, nudged))| error(nudged, expected, scale_of(of, expected)));
    let conditions: Vec<f64> = conditions.collect();
    // beyond this, the last bits of the inputs determine the result
    let is_fair = conditions.iter().all(|&condition| condition <= 1e-3);
    let mut compared = 0;
    for instructions in InstructionSet::all() {
        for (((of, found), (_, expected)), condition) in
            case.found(instructions).iter().zip(&expected).zip(&conditions)
        {
            assert!(found.iter().all(|number| number.is_finite()), "{name} {of}, {instructions}: not finite");
            if !is_fair {
                continue;
            }
            compared += 1;
            let fair = if of.starts_with("grad.") { 2e-4 } else { 2e-5 };
            let tolerance = (5.0 * condition).max(fair);
            let error = error(found, expected, scale_of(of, expected));
            assert!(error <= tolerance, "{name} {of}, {instructions}: {error:e} > {tolerance:e}");
        }
    }
    compared
}

/// The options of the blog, the paper and the default, and variants in which one option differs.
fn all_options() -> Vec<(&'static str, RoutingOptions)> {
    let default = RoutingOptions::default();
    vec![
        ("blog", RoutingOptions::blog()),
        ("paper", RoutingOptions::paper()),
        ("default", default.clone()),
        ("once", RoutingOptions { iterations: 1, ..default.clone() }),
        ("twice", RoutingOptions { iterations: 2, ..RoutingOptions::blog() }),
        ("five times", RoutingOptions { iterations: 5, ..default.clone() }),
        ("a start of 1", RoutingOptions { start: RoutingStart::One, ..default.clone() }),
        ("damped", RoutingOptions { mean_damping: 0.1, ..default.clone() }),
        ("a large mass epsilon", RoutingOptions { mass_epsilon: 0.1, ..default.clone() }),
        ("no coordinates", RoutingOptions { coordinate_addition: false, ..default.clone() }),
        ("R constant", RoutingOptions { stop_gradient_at_responsibilities: true, ..default.clone() }),
        (
            "R constant, damped",
            RoutingOptions {
                stop_gradient_at_responsibilities: true,
                mean_damping: 0.3,
                ..RoutingOptions::blog()
            },
        ),
        ("per child", RoutingOptions { cost_scale: CostScale::PerChild, ..default.clone() }),
        (
            "per child of parent",
            RoutingOptions { cost_scale: CostScale::PerChildOfParent { factor: 2.0 }, ..default.clone() },
        ),
        (
            "lambda",
            RoutingOptions { inverse_temperature: InverseTemperature::Constant(0.1), ..default.clone() },
        ),
    ]
}

#[test]
fn layers_of_every_size_match_the_reference() {
    let options = RoutingOptions::default();
    let mut compared = 0;
    for size in 1..=67 {
        for shape in [one_position(size, 5), one_position(9, size), one_position(size, 68 - size)] {
            let name = format!("{} children, {} parents", shape.capsules, shape.parents);
            compared += assert_agrees(&name, &random(shape, &options, size as u64));
        }
    }
    let all = 67 * 3 * 7 * InstructionSet::all().len();
    assert!(compared * 10 >= all * 9, "only {compared} of {all} are well conditioned");
}

#[test]
fn every_option_matches_the_reference() {
    for (name, options) in all_options() {
        let mut compared = 0;
        for (size, stride) in [(2, 1), (3, 2), (1, 2)] {
            let reach = Reach::Neighbourhood { size, stride };
            let shape = LayerShape { images: 2, height: 5, width: 4, capsules: 5, parents: 11, reach };
            compared += assert_agrees(name, &random(shape, &options, 1));
        }
        let shape =
            LayerShape { images: 2, height: 3, width: 2, capsules: 5, parents: 3, reach: Reach::Everywhere };
        compared += assert_agrees(name, &random(shape, &options, 2));
        assert!(compared >= 7 * InstructionSet::all().len(), "{name}: {compared} are well conditioned");
    }
}

/// Without coordinates, a layer that routes from everywhere cannot tell one order of the positions below from another.
#[test]
fn without_coordinates_the_order_of_the_positions_does_not_matter() {
    let shape =
        LayerShape { images: 1, height: 3, width: 2, capsules: 5, parents: 3, reach: Reach::Everywhere };
    for seed in 0..40 {
        for coordinate_addition in [false, true] {
            let options = RoutingOptions { coordinate_addition, ..RoutingOptions::default() };
            let case = random(shape, &options, seed);
            let mut moved = case.clone();
            moved.poses.rotate_left(5 * 16);
            moved.activations.rotate_left(5);
            let [before, after] = [case.expected(), moved.expected()];
            for of in [0, 1] {
                let change = error(&after[of].1, &before[of].1, largest(&before[of].1));
                let ok = if coordinate_addition { change > 1e-6 } else { change <= 1e-9 };
                assert!(ok, "seed {seed}, {coordinate_addition}, {}: {change:e}", before[of].0);
            }
            for instructions in InstructionSet::all() {
                let [before, after] = [case.found(instructions), moved.found(instructions)];
                for of in [0, 1] {
                    let change = error(&after[of].1, &before[of].1, largest(&before[of].1));
                    let ok = coordinate_addition || change <= 2e-4;
                    assert!(ok, "seed {seed}, {instructions}, {}: {change:e}", before[of].0);
                }
            }
        }
    }
}

/// The votes are far from 0, and the first child is far from the others: moments about the first child lose digits to
/// cancellation.
#[test]
fn variances_stay_accurate_if_the_votes_are_far_from_0() {
    let mut case = random(one_position(20, 9), &RoutingOptions::default(), 3);
    case.poses = (0..16).map(|h| if h % 5 == 0 { 1.0 } else { 0.0 }).collect::<Vec<f32>>().repeat(20);
    case.transforms[..9 * 16].iter_mut().for_each(|vote| *vote += 4096.0);
    case.activations[0] = 0.0;
    let expected = case.expected();
    for instructions in InstructionSet::all() {
        let found = case.found(instructions);
        for of in [0, 1] {
            let error = error(&found[of].1, &expected[of].1, largest(&expected[of].1));
            assert!(error <= 2e-4, "{}, {instructions}: {error:e}", found[of].0);
        }
    }
}

/// The bits of each output and gradient.
fn bits((output, gradient): &(LayerOutput, LayerGradient)) -> [Vec<u32>; 7] {
    [
        &output.poses,
        &output.activations,
        &gradient.d_poses,
        &gradient.d_activations,
        &gradient.d_transforms,
        &gradient.d_beta_v,
        &gradient.d_beta_a,
    ]
    .map(|numbers| numbers.iter().map(|number| number.to_bits()).collect())
}

#[test]
fn the_number_of_threads_does_not_change_a_bit_of_the_result() {
    let reach = Reach::Neighbourhood { size: 3, stride: 1 };
    let conv = |images| LayerShape { images, height: 8, width: 7, capsules: 3, parents: 10, reach };
    let class =
        LayerShape { images: 5, height: 3, width: 2, capsules: 5, parents: 3, reach: Reach::Everywhere };
    for shape in [conv(1), conv(3), conv(11), class] {
        let case = random(shape, &RoutingOptions::blog(), 7);
        for instructions in InstructionSet::all() {
            let all = |threads| bits(&case.kernel(instructions, threads));
            let one = all(1);
            for threads in [1, 2, 3, 2, 3, 0] {
                assert!(one == all(threads), "{shape:?}, {instructions}: {threads} threads");
            }
        }
    }
}

/// Training with AVX-512 has the same bits as with AVX2. The test compares the instruction sets of this processor; the
/// portable one has no fused multiply-add and rounds differently.
#[test]
fn the_vector_width_does_not_change_a_bit_of_the_result() {
    let fused = &InstructionSet::all()[1..];
    for reach in [Reach::Neighbourhood { size: 3, stride: 1 }, Reach::Everywhere] {
        for parents in [1, 8, 9, 16, 17, 32, 41] {
            let shape = LayerShape { images: 2, height: 4, width: 5, capsules: 3, parents, reach };
            for (name, options) in all_options() {
                let case = random(shape, &options, 5);
                let all: Vec<_> =
                    fused.iter().map(|&instructions| bits(&case.kernel(instructions, 1))).collect();
                assert!(all.windows(2).all(|two| two[0] == two[1]), "{name}, {parents} parents, {reach:?}");
            }
        }
    }
}

#[test]
fn keeping_intermediate_results_does_not_change_a_bit_of_the_result() {
    let reach = Reach::Neighbourhood { size: 3, stride: 1 };
    let shape = LayerShape { images: 3, height: 5, width: 4, capsules: 3, parents: 10, reach };
    for (name, options) in all_options() {
        let case = random(shape, &options, 3);
        for instructions in InstructionSet::all() {
            let kernel = Kernel::new(shape, &options, 2).unwrap().with_instructions(instructions);
            let (output, gradient) = case.kernel(instructions, 1);
            let (own_output, kept) = kernel.forward_keeping(&case.input()).unwrap();
            let own = kernel.backward_kept(&case.input(), &kept, &case.d_poses, &case.d_activations).unwrap();
            assert!(own_output == output && own == gradient, "{name}, {instructions}");
        }
    }
    let case = random(shape, &RoutingOptions::blog(), 3);
    let kernel = Kernel::new(shape, &case.options, 1).unwrap();
    let kept = kernel.forward_keeping(&case.input()).unwrap().1;
    let options = RoutingOptions { iterations: 2, ..case.options.clone() };
    let shorter = Kernel::new(shape, &options, 1).unwrap();
    let error = shorter.backward_kept(&case.input(), &kept, &case.d_poses, &case.d_activations).unwrap_err();
    assert!(matches!(error, Error::Shape { name: "what is kept", .. }), "{error}");
    // the same number of blocks of parents, but a different number of parents
    let shape = LayerShape { parents: 9, ..shape };
    let fewer = random(shape, &case.options, 3);
    let kernel = Kernel::new(shape, &case.options, 1).unwrap();
    let error =
        kernel.backward_kept(&fewer.input(), &kept, &fewer.d_poses, &fewer.d_activations).unwrap_err();
    assert!(matches!(error, Error::Shape { name: "what is kept", .. }), "{error}");
}

/// An image whose incoming gradient is 0 (of either sign) gets a gradient of 0; a single number other than 0 is enough to
/// compute it.
#[test]
fn images_whose_incoming_gradient_is_0_get_a_gradient_of_0() {
    let reach = Reach::Neighbourhood { size: 3, stride: 1 };
    let shape = LayerShape { images: 3, height: 5, width: 4, capsules: 3, parents: 10, reach };
    let case = random(shape, &RoutingOptions::default(), 3);
    let (poses, capsules) = (case.d_poses.len() / 3, case.d_activations.len() / 3);
    let of = |d_poses: &[f32], d_activations: &[f32]| {
        let kernel = Kernel::new(shape, &case.options, 2).unwrap();
        kernel.backward(&case.input(), d_poses, d_activations).unwrap()
    };
    let (no_poses, no_activations) = (vec![0.0; 3 * poses], vec![-0.0; 3 * capsules]);
    let none = of(&no_poses, &no_activations);
    for all in [&none.d_poses, &none.d_activations, &none.d_transforms, &none.d_beta_v, &none.d_beta_a] {
        assert!(all.iter().all(|d| d.to_bits() == 0));
    }
    let alive = |image: usize, all: &[f32]| {
        all.chunks_exact(all.len() / 3).nth(image).unwrap().iter().any(|d| d.is_nan() || *d != 0.0)
    };
    for value in [1.0, f32::NAN] {
        let (mut one_pose, mut one_activation) = (no_poses.clone(), no_activations.clone());
        one_pose[poses + 7] = value;
        one_activation[capsules + 7] = value;
        for found in [of(&one_pose, &no_activations), of(&no_poses, &one_activation)] {
            for image in 0..3 {
                assert_eq!(alive(image, &found.d_poses), image == 1, "image {image}, {value}");
            }
            assert_eq!(found.d_transforms.iter().any(|d| d.is_nan()), value.is_nan());
            assert!(found.d_transforms.iter().any(|d| d.is_nan() || *d != 0.0));
        }
    }
}

/// Numbers from 0 to the largest supported size.
fn hostile(rng: &mut ChaCha8Rng) -> f32 {
    let sizes = [0.0, 1e-38, 1e-30, 1e-9, 1e-4, 1.0, 1.000_000_1, 1e4, 1e7, 1e8];
    let sign = if rng.gen_bool(0.5) { 1.0 } else { -1.0 };
    match rng.gen_range(0..3) {
        0 => rng.gen_range(-1.0..1.0),
        1 => rng.gen_range(-1e8..1e8),
        _ => sign * sizes[rng.gen_range(0..sizes.len())],
    }
}

fn hostile_case(seed: u64) -> Case {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let rng = &mut rng;
    let default = RoutingOptions { iterations: rng.gen_range(1..6), ..Default::default() };
    let options = match rng.gen_bool(0.5) {
        false => default,
        // the two settings that keep the default finite keep the blog's form finite, too
        true => RoutingOptions {
            mass_epsilon: default.mass_epsilon,
            variance_floor: default.variance_floor,
            iterations: default.iterations,
            ..RoutingOptions::blog()
        },
    };
    let (children, parents) = (rng.gen_range(1..12), rng.gen_range(1..12));
    let mut case = random(one_position(children, parents), &options, seed);
    if rng.gen_bool(0.5) {
        // the votes themselves
        case.poses = (0..children * 16).map(|h| if h % 16 % 5 == 0 { 1.0 } else { 0.0 }).collect();
        case.transforms.iter_mut().for_each(|vote| *vote = hostile(rng));
    } else {
        // products of up to 4e8
        case.poses.iter_mut().for_each(|pose| *pose = hostile(rng).signum() * hostile(rng).abs().sqrt());
        case.transforms.iter_mut().for_each(|w| *w = hostile(rng).signum() * hostile(rng).abs().sqrt());
    }
    if rng.gen_bool(0.2) {
        let vote = hostile(rng);
        case.transforms.fill(vote);
    }
    let nobody = rng.gen_bool(0.1);
    for activation in &mut case.activations {
        let some = [0.0, 1.0, 1e-38, 1e-12, rng.gen_range(0.0..1.0)];
        *activation = if nobody { 0.0 } else { some[rng.gen_range(0..some.len())] };
    }
    for beta in case.beta_v.iter_mut().chain(&mut case.beta_a) {
        let some = [-50.0, 50.0, 0.0, 1e8, -1e8, rng.gen_range(-50.0..50.0)];
        *beta = some[rng.gen_range(0..some.len())];
    }
    case
}

#[test]
fn extreme_numbers_give_finite_results() {
    for seed in 0..10_000 {
        let case = hostile_case(seed);
        for instructions in InstructionSet::all() {
            for (name, numbers) in case.found(instructions) {
                let finite = numbers.iter().all(|number| number.is_finite());
                assert!(finite, "seed {seed}, {name}, {instructions}: {numbers:?} of {case:?}");
            }
        }
    }
}

#[test]
fn any_finite_input_gives_finite_output_or_an_error() {
    let sizes = [0.0, 1e-45, 1e-38, 1e-20, 1.0, 1e4, 1e9, 1e12, 1e19, 1e25, 1e38, f32::MAX];
    let mut refused = 0;
    for seed in 0..3_000 {
        let mut case = hostile_case(seed);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rng = &mut rng;
        let mut any = |numbers: &mut [f32], negative: bool| {
            if rng.gen_bool(0.5) {
                for number in numbers {
                    *number = sizes[rng.gen_range(0..sizes.len())];
                    *number = if negative && rng.gen_bool(0.5) { -*number } else { *number };
                }
            }
        };
        any(&mut case.poses, true);
        any(&mut case.transforms, true);
        any(&mut case.activations, false);
        any(&mut case.beta_v, true);
        any(&mut case.beta_a, true);
        any(&mut case.d_poses, true);
        any(&mut case.d_activations, true);
        for instructions in InstructionSet::all() {
            let kernel = Kernel::new(case.shape, &case.options, 1).unwrap().with_instructions(instructions);
            match kernel.forward(&case.input()) {
                Ok(LayerOutput { poses, activations }) => {
                    let finite = poses.iter().chain(&activations).all(|number| number.is_finite());
                    assert!(finite, "seed {seed}, {instructions}: {case:?}");
                }
                Err(Error::EntryOutOfRange { .. }) => refused += 1,
                Err(error) => panic!("seed {seed}, {instructions}: {error}"),
            }
            match kernel.backward(&case.input(), &case.d_poses, &case.d_activations) {
                Ok(LayerGradient { d_poses, d_activations, d_transforms, d_beta_v, d_beta_a }) => {
                    for all in [d_poses, d_activations, d_transforms, d_beta_v, d_beta_a] {
                        assert!(all.iter().all(|d| d.is_finite()), "seed {seed}, {instructions}: {case:?}");
                    }
                }
                Err(Error::EntryOutOfRange { .. }) => {}
                Err(error) => panic!("seed {seed}, {instructions}: {error}"),
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn errors_for_oversized_votes_name_the_pose_or_the_transform() {
    let shape = one_position(3, 2);
    let good = random(shape, &RoutingOptions::default(), 1);
    let kernel = Kernel::new(shape, &good.options, 1).unwrap();
    let mut case = good.clone();
    case.poses[17] = -1e38;
    let error = kernel.forward(&case.input()).unwrap_err();
    assert!(
        matches!(&error, Error::EntryOutOfRange { name: "poses", place, .. } if *place == [0, 0, 0, 1, 1]),
        "{error}"
    );
    assert!(error.to_string().contains("up to 1e8 in size"), "{error}");
    let mut case = good.clone();
    case.transforms[37] = 1e38;
    let error = kernel.forward(&case.input()).unwrap_err();
    assert!(
        matches!(&error, Error::EntryOutOfRange { name: "transforms", place, .. } if *place == [1, 0, 1, 1]),
        "{error}"
    );
}

#[test]
fn options_beyond_the_range_of_f32_are_rejected() {
    let shape = one_position(3, 2);
    let options = RoutingOptions { variance_floor: 1e40, ..Default::default() };
    let error = Kernel::new(shape, &options, 1).unwrap_err();
    assert!(matches!(error, Error::Setting { name: "variance_floor", .. }), "{error}");
}

#[test]
fn errors_name_the_invalid_argument() {
    let shape = one_position(3, 2);
    let good = random(shape, &RoutingOptions::default(), 1);
    let kernel = Kernel::new(shape, &good.options, 1).unwrap();
    for value in [f32::NAN, f32::INFINITY] {
        let mut case = good.clone();
        case.transforms[37] = value;
        let error = kernel.forward(&case.input()).unwrap_err();
        assert!(
            matches!(&error, Error::EntryOutOfRange { name: "transforms", place, .. } if *place == [1, 0, 1, 1]),
            "{error}"
        );
    }
    let mut case = good.clone();
    case.activations[1] = -0.5;
    let error = kernel.forward(&case.input()).unwrap_err();
    assert!(matches!(&error, Error::EntryOutOfRange { name: "activations", .. }), "{error}");
    let mut case = good.clone();
    case.poses.pop();
    let error = kernel.forward(&case.input()).unwrap_err();
    assert!(matches!(&error, Error::Shape { name: "poses", .. }), "{error}");
    let error = kernel.backward(&good.input(), &good.d_poses[1..], &good.d_activations).unwrap_err();
    assert!(matches!(&error, Error::Shape { name: "d_poses", .. }), "{error}");

    let parents = Parents {
        means: ndarray::Array2::zeros((2, 16)),
        variances: ndarray::Array2::ones((2, 16)),
        weights: ndarray::Array1::ones(2),
    };
    for options in [
        RoutingOptions { competition: Competition::AllPositions, ..Default::default() },
        RoutingOptions { start: RoutingStart::Parents(Box::new(parents)), ..Default::default() },
    ] {
        let error = Kernel::new(shape, &options, 1).unwrap_err();
        assert!(matches!(error, Error::OnlyReference { .. }), "{error}");
    }
    let reach = Reach::Neighbourhood { size: 2, stride: 1 };
    let error = Kernel::new(LayerShape { reach, ..shape }, &good.options, 1).unwrap_err();
    assert!(matches!(error, Error::NeighbourhoodTooLarge { size: 2, .. }), "{error}");
    let error = Kernel::new(LayerShape { parents: 0, ..shape }, &good.options, 1).unwrap_err();
    assert!(matches!(error, Error::Empty { what: "parents" }), "{error}");
}
