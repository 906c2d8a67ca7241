//! Whole networks against the independent float64 reference: each layer's output, the loss, and the gradient of every parameter.

use em_routing::capsnet::loss::spread_loss;
use em_routing::capsnet::training::batch_loss;
use em_routing::capsnet::{Architecture, CapsNet, Pass, Pooling, Settings, Training};
use em_routing::data::idx::Images;
use em_routing::error::Error;
use em_routing::routing::RoutingOptions;
use ndarray::Array2;
use safetensors::SafeTensors;
use serde_json::Value;

/// The reference's names of the parameters, in our order.
const NAMES: [(&str, &str); 15] = [
    ("features.weights", "conv1.w"),
    ("features.bias", "conv1.b"),
    ("poses.weights", "pose.w"),
    ("poses.bias", "pose.b"),
    ("activations.weights", "act.w"),
    ("activations.bias", "act.b"),
    ("first.transforms", "cc1.W"),
    ("first.beta_v", "cc1.beta_v"),
    ("first.beta_a", "cc1.beta_a"),
    ("second.transforms", "cc2.W"),
    ("second.beta_v", "cc2.beta_v"),
    ("second.beta_a", "cc2.beta_a"),
    ("class.transforms", "cls.W"),
    ("class.beta_v", "cls.beta_v"),
    ("class.beta_a", "cls.beta_a"),
];

fn read(file: &str) -> Vec<u8> {
    std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)).unwrap()
}

fn numbers(file: &SafeTensors, name: &str) -> Vec<f64> {
    let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    match tensor.dtype() {
        safetensors::Dtype::I64 => {
            tensor.data().as_chunks::<8>().0.iter().map(|&bytes| i64::from_le_bytes(bytes) as f64).collect()
        }
        _ => tensor.data().as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
    }
}

/// The largest error relative to the tensor's largest number, or to `floor` if that is larger; NaN if any number is NaN.
fn error(found: &[f32], expected: &[f64], floor: f64) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(floor, |largest, value| value.abs().max(largest));
    let errors =
        found.iter().zip(expected).map(|(&found, expected)| (f64::from(found) - expected).abs() / scale);
    errors.fold(0.0, |largest: f64, error| if error.is_nan() || error > largest { error } else { largest })
}

fn loss(pass: &Pass, classes: usize, labels: &[usize], margin: f64) -> (f64, Vec<f32>) {
    let activations: Vec<f64> = pass.classes().activations.iter().map(|&a| f64::from(a)).collect();
    let activations = Array2::from_shape_vec((labels.len(), classes), activations).unwrap();
    let (loss, d_activations) = spread_loss(&activations, labels, margin).unwrap();
    (loss, d_activations.iter().map(|&d| d as f32).collect())
}

#[test]
fn small_networks_agree_with_the_reference() {
    let manifest: Value = serde_json::from_slice(&read("caps_manifest.json")).unwrap();
    let cases: Vec<&Value> =
        manifest["cases"].as_array().unwrap().iter().filter(|case| case["kind"] == "capsnet").collect();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let bytes = read(case["file"].as_str().unwrap());
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let size = |letter: &str| case["dims"][letter].as_u64().unwrap() as usize;
        let side = case["size"].as_u64().unwrap() as usize;
        let iterations = case["iters"].as_u64().unwrap() as usize;
        let architecture = Architecture {
            height: side,
            width: side,
            features: size("A"),
            primary: size("B"),
            first: size("C"),
            second: size("D"),
            classes: size("E"),
            routing: RoutingOptions { iterations, ..RoutingOptions::blog() },
            ..Architecture::blog()
        };
        let classes = architecture.classes;
        let mut net = CapsNet::zeros(architecture).unwrap();
        for (ours, theirs) in NAMES {
            let theirs = numbers(&file, &format!("in.{theirs}"));
            let part = net.parameters_mut().part_mut(ours).unwrap();
            assert_eq!(part.len(), theirs.len(), "{ours}");
            part.iter_mut().zip(theirs).for_each(|(own, theirs)| *own = theirs as f32);
        }
        let pixels: Vec<f32> = numbers(&file, "in.x").into_iter().map(|x| x as f32).collect();
        let labels: Vec<usize> = numbers(&file, "in.y").into_iter().map(|y| y as usize).collect();
        let pass = net.forward(&pixels, 1).unwrap();
        // the tolerance: the general one for float32, or if larger, ten times the error of a plain float32 run of the same formula,
        // or the effect of rounding the inputs to float32 according to the measured condition number
        let fair = |of: &str, general: f64| {
            let number = |key: &str| case[key][of].as_f64().unwrap_or(0.0);
            general.max(10.0 * number("f32_rel_err")).max(50.0 * number("cond") * 6e-8)
        };
        for (what, found) in [
            ("conv1", &pass["features"].activations),
            ("prim_poses", &pass["primary"].poses),
            ("prim_act", &pass["primary"].activations),
            ("cc1_poses", &pass["first"].poses),
            ("cc1_act", &pass["first"].activations),
            ("cc2_poses", &pass["second"].poses),
            ("cc2_act", &pass["second"].activations),
            ("poses", &pass["class"].poses),
            ("act", &pass["class"].activations),
        ] {
            let error = error(found, &numbers(&file, &format!("out.{what}")), 0.0);
            assert!(error <= fair(what, 2e-4), "{name} {what}: off by {error:e}");
        }
        for margin in ["0.2", "0.9"] {
            let (loss, d_activations) = loss(&pass, classes, &labels, margin.parse().unwrap());
            let expected = numbers(&file, &format!("out.loss_m{margin}"))[0];
            let off = (loss - expected).abs() / expected.abs().max(1e-3);
            assert!(off <= fair(&format!("loss_m{margin}"), 2e-4), "{name} loss at {margin}: off by {off:e}");
            let gradient = net.backward(&pass, &d_activations, 1).unwrap();
            let all: Vec<(&str, &str, Vec<f64>)> = NAMES
                .iter()
                .map(|&(ours, theirs)| (ours, theirs, numbers(&file, &format!("grad.m{margin}.{theirs}"))))
                .collect();
            let largest = all.iter().flat_map(|(_, _, d)| d).fold(0.0f64, |most, d| d.abs().max(most));
            for (ours, theirs, expected) in all {
                let error = error(gradient.part(ours).unwrap(), &expected, 1e-6 * largest);
                let fair = fair(&format!("grad.m{margin}.{theirs}"), 2e-4);
                assert!(
                    error <= fair,
                    "{name} gradient of {ours} at {margin}: off by {error:e}, fair is {fair:e}"
                );
            }
        }
    }
}

/// Steele, Lea and Flood's SplitMix64, as numbers between -scale and scale.
fn split_mix(seed: u64, count: usize, scale: f64) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let u = ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        ((2.0 * u - 1.0) * scale) as f32
    };
    (0..count).map(next).collect()
}

#[test]
fn layer_routing_matches_the_layer_outputs_of_the_forward_pass() {
    let sizes = Architecture { height: 18, width: 21, features: 3, primary: 4, ..Architecture::default() };
    let net = CapsNet::new(Architecture { first: 5, second: 3, ..sizes }, 7).unwrap();
    let pass = net.forward(&split_mix(3, 2 * 18 * 21, 1.0), 1).unwrap();
    for layer in ["first", "second", "class"] {
        let above = &pass[layer];
        for image in 0..2 {
            let run = net.layer_routing(&pass, layer, image).unwrap();
            let all: [(&[f32], Vec<f64>); 2] = [
                (&above.poses, run.capsules.poses.iter().copied().collect()),
                (&above.activations, run.capsules.activations.iter().copied().collect()),
            ];
            for (found, exact) in all {
                assert_eq!(found.len(), 2 * exact.len());
                let error = error(&found[image * exact.len()..][..exact.len()], &exact, 0.0);
                assert!(error <= 2e-4, "layer {layer}, image {image}: off by {error:e}");
            }
        }
    }
    assert!(matches!(net.layer_routing(&pass, "first", 2), Err(Error::Setting { .. })));
    for layer in ["third", "features"] {
        let error = net.layer_routing(&pass, layer, 0).unwrap_err();
        assert!(
            matches!(&error, Error::UnknownName { known, .. } if known == &["first", "second", "class"]),
            "{error}"
        );
    }
}

/// The slope of the loss in a direction, from differences and from the gradient.
struct Slope {
    found: f64,
    wanted: f64,
    /// The length of the gradient.
    length: f64,
}

/// Measures the slope of the loss along the gradient `d` plus a random direction.
fn slope(d: &[f32], loss: impl Fn(&[f32], f64) -> f64) -> Slope {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    // the gradient plus noise, so that no number is missed even if its gradient is wrongly 0
    let mut direction = split_mix(11, d.len(), 0.5 * dot(d, d).sqrt());
    direction.iter_mut().zip(d).for_each(|(u, g)| *u += g);
    let length = dot(&direction, &direction).sqrt();
    let found = (loss(&direction, 2e-3 / length) - loss(&direction, -2e-3 / length)) / 4e-3;
    Slope { found, wanted: dot(&direction, d) / length, length: dot(d, d).sqrt() }
}

/// With and without max pooling, with and without deep features: for the parameters of both feature layers and for the pixels. (The
/// gradients of the other parameters are compared with the reference.)
#[test]
fn gradients_of_features_and_pixels_match_finite_differences() {
    let ways = [Pooling::None, Pooling::Max];
    for (pooling, deep_features) in ways.into_iter().flat_map(|pooling| [(pooling, 0), (pooling, 5)]) {
        let sizes =
            Architecture { height: 18, width: 21, features: 3, primary: 4, ..Architecture::default() };
        let architecture = Architecture { first: 5, second: 3, classes: 3, pooling, deep_features, ..sizes };
        let net = CapsNet::new(architecture, 7).unwrap();
        let pixels = split_mix(3, 2 * 18 * 21, 1.0);
        let pass = net.forward(&pixels, 1).unwrap();
        assert_eq!(pass.layer("deep").is_ok(), deep_features > 0);

        let labels = [0, 2];
        let d_activations = loss(&pass, 3, &labels, 0.9).1;
        let gradient = net.backward_to_pixels(&pass, &d_activations, 1).unwrap();
        assert_eq!(gradient.parameters, net.backward(&pass, &d_activations, 1).unwrap());
        assert_eq!(gradient.pixels.len(), pixels.len());
        let check = |name: &str, Slope { found, wanted, length }: Slope| {
            let off = (found - wanted).abs() / length;
            assert!(off <= 0.01, "{name}, pooling {pooling}, {deep_features} deep: {found} for {wanted}");
        };
        let is_feature = |name: &str| name.starts_with("features.") || name.starts_with("deep.");
        let parts = net.parameters().parts().iter().filter(|part| is_feature(&part.name));
        for part in parts {
            let moved = |direction: &[f32], by: f64| {
                let mut moved = net.clone();
                let numbers = &mut moved.parameters_mut().numbers_mut()[part.range.clone()];
                numbers.iter_mut().zip(direction).for_each(|(w, u)| *w += by as f32 * u);
                loss(&moved.forward(&pixels, 1).unwrap(), 3, &labels, 0.9).0
            };
            check(&part.name, slope(&gradient.parameters.numbers()[part.range.clone()], moved));
        }
        let moved = |direction: &[f32], by: f64| {
            let moved: Vec<f32> = pixels.iter().zip(direction).map(|(x, u)| x + by as f32 * u).collect();
            loss(&net.forward(&moved, 1).unwrap(), 3, &labels, 0.9).0
        };
        check("the pixels", slope(&gradient.pixels, moved));
    }
}

#[test]
fn a_forward_pass_of_another_architecture_is_an_error() {
    let small = |first| Architecture {
        height: 18,
        width: 21,
        features: 3,
        primary: 4,
        first,
        second: 3,
        ..Architecture::default()
    };
    let pixels = split_mix(3, 18 * 21, 1.0);
    let pass = CapsNet::new(small(5), 7).unwrap().forward(&pixels, 1).unwrap();
    let other = CapsNet::new(small(6), 7).unwrap();
    for error in [
        other.backward(&pass, &[0.1; 10], 1).unwrap_err(),
        other.layer_routing(&pass, "class", 0).unwrap_err(),
    ] {
        assert_eq!(error.to_string(), "the pass was made by a network with first = 5, but this one has 6");
    }
    let error = CapsNet::new(small(5), 7).unwrap().backward(&pass, &[0.1; 9], 1).unwrap_err();
    assert!(error.to_string().contains("d_activations"), "{error}");
    for architecture in [Architecture::plain(), Architecture::plain_pooled()] {
        let net = CapsNet::new(architecture, 7).unwrap();
        let pass = net.forward(&split_mix(3, 28 * 28, 1.0), 1).unwrap();
        for length in [0, 9, 11, 20] {
            let error = net.backward(&pass, &vec![0.1; length], 1).unwrap_err();
            assert!(error.to_string().contains("d_activations"), "{error}");
        }
    }
}

#[test]
fn images_of_another_length_than_their_labels_are_errors() {
    let pixels = vec![0; 8 * 28 * 28 - 1];
    let few = Images { pixels, labels: vec![0; 8], height: 28, width: 28, classes: 10 };
    let mut training = Training::new(Settings::default(), 1, 1).unwrap();
    let errors = [
        training.step(&few).unwrap_err(),
        training.check(&few).unwrap_err(),
        training.net.evaluate(&few, 1, |_| {}).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("the pixels of the images"), "{error}");
    }
}

#[test]
fn parameters_have_the_right_decay_and_initial_values() {
    let specs = Architecture::default().parameters().unwrap();
    for spec in &specs {
        let by_name = spec.name.ends_with("weights") || spec.name.ends_with("transforms");
        assert_eq!(spec.decayed, by_name, "{}", spec.name);
    }
    let net = CapsNet::new(Architecture::default(), 1).unwrap();
    let layers = net.layers();
    assert_eq!(layers.iter().map(|layer| layer.parameters).sum::<usize>(), net.parameters().len());
    let names: Vec<&str> = layers.iter().map(|layer| layer.name).collect();
    assert_eq!(names, ["features", "deep", "primary", "first", "second", "class"]);
    assert!(net.parameters().part("features.bias").unwrap().iter().all(|&b| b == 0.0));
    let pose = &net.parameters().part("poses.bias").unwrap()[..16];
    assert!((0..16).all(|h| pose[h] == if h % 5 == 0 { 1.0 } else { 0.0 }));
    assert!(net.parameters().part("first.beta_v").unwrap().iter().all(|&b| b == 1.2));
}

#[test]
fn batch_loss_returns_the_mean_loss_and_the_gradient_of_the_mean_or_the_sum() {
    let activations = [0.9, 0.5, 0.1, 0.2, 0.6, 0.3];
    let (loss, of_mean) = batch_loss(&activations, &[0, 2], 0.5, true).unwrap();
    let (same, of_sum) = batch_loss(&activations, &[0, 2], 0.5, false).unwrap();
    // within the margin: class 1 of the first by 0.1, classes 0 and 1 of the second by 0.4 and 0.8
    assert!((loss - (0.01 + 0.16 + 0.64) / 2.0).abs() <= 1e-6 && loss == same);
    for (mean, (sum, wanted)) in of_mean.iter().zip(of_sum.iter().zip([-0.2, 0.2, 0.0, 0.8, 1.6, -2.4])) {
        assert!((sum - wanted).abs() <= 1e-5 && (2.0 * mean - sum).abs() <= 1e-6, "{mean} {sum} {wanted}");
    }
    assert!(matches!(batch_loss(&activations, &[], 0.5, true), Err(Error::Empty { .. })));
    assert!(matches!(batch_loss(&activations, &[0; 4], 0.5, true), Err(Error::Length { .. })));
    assert!(matches!(batch_loss(&activations, &[0, 3], 0.5, true), Err(Error::LabelOutOfRange { .. })));
}

#[test]
fn pixels_that_are_not_finite_are_an_error() {
    let sizes = Architecture { height: 18, width: 21, features: 3, primary: 4, ..Architecture::default() };
    let net = CapsNet::new(Architecture { first: 5, second: 3, ..sizes }, 7).unwrap();
    for bad in [f32::NAN, f32::INFINITY] {
        let mut pixels = split_mix(3, 18 * 21, 1.0);
        pixels[200] = bad;
        assert!(matches!(net.forward(&pixels, 1), Err(Error::EntryOutOfRange { .. })), "{bad}");
    }
}

#[test]
fn a_class_that_is_nan_is_an_error_of_the_evaluation() {
    let mut settings = Settings::default();
    let small = "features = 2\ndeep-features = 2\nprimary = 2\nfirst = 2\nsecond = 2";
    settings.set_lines(&format!("{small}\nvariance-floor = 0\ncoordinate-addition = false")).unwrap();
    let mut net = CapsNet::new(settings.architecture, 1).unwrap();
    // all votes for the classes are 0, so the second iteration divides 0 by 0
    net.parameters_mut().part_mut("class.transforms").unwrap().fill(0.0);
    let images = Images { pixels: vec![9; 784], labels: vec![3], height: 28, width: 28, classes: 10 };
    let pass = net.forward(&net.pixels(&images, &[0]).unwrap(), 1).unwrap();
    assert!(pass.classes().activations.iter().all(|activation| activation.is_nan()));
    assert!(matches!(net.evaluate(&images, 1, |_| {}), Err(Error::EntryOutOfRange { .. })));
}

/// An image with a loss of 0 has a gradient of 0. The batch then has, bit for bit, the gradient of a batch without it.
#[test]
fn images_with_a_loss_of_0_add_nothing_to_the_gradient() {
    let sizes = Architecture { height: 18, width: 21, features: 3, primary: 4, ..Architecture::default() };
    let net = CapsNet::new(Architecture { first: 9, second: 3, classes: 3, ..sizes }, 7).unwrap();
    let image = 18 * 21;
    let pixels = split_mix(3, 5 * image, 1.0);
    for others in [vec![], vec![3], vec![0, 4], vec![1, 2, 3], vec![0, 1, 2, 3, 4]] {
        let (mut d_all, mut d_others, mut pixels_of_others) = (vec![0.0; 5 * 3], Vec::new(), Vec::new());
        for &other in &others {
            let d = split_mix(other as u64, 3, 0.5);
            d_all[other * 3..][..3].copy_from_slice(&d);
            d_others.extend(d);
            pixels_of_others.extend_from_slice(&pixels[other * image..][..image]);
        }
        for threads in [1, 2, 3] {
            let pass = net.forward_keeping(&pixels, threads).unwrap();
            let found = net.backward(&pass, &d_all, threads).unwrap();
            let wanted = match others[..] {
                [] => vec![0.0; found.len()],
                _ => {
                    let pass = net.forward(&pixels_of_others, 1).unwrap();
                    net.backward(&pass, &d_others, 1).unwrap().numbers().to_vec()
                }
            };
            let bits = |numbers: &[f32]| numbers.iter().map(|d| d.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(found.numbers()), bits(&wanted), "images {others:?}, {threads} threads");
            assert_eq!(others.is_empty(), wanted.iter().all(|&d| d == 0.0));
        }
    }
}

/// The blog's network in its full size. A correct float32 run has errors of up to 6e-5.
#[test]
fn the_full_network_agrees_with_the_reference() {
    let golden: Value = serde_json::from_slice(&read("net_full_seeded.json")).unwrap();
    let list = |value: &Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    let image = &golden["image"];
    let pixels = split_mix(image["seed"].as_u64().unwrap(), 2 * 28 * 28, image["scale"].as_f64().unwrap());
    let labels: Vec<usize> = list(&golden["labels"]).into_iter().map(|label| label as usize).collect();
    for (key, iterations) in [("iters3", 3), ("iters1", 1)] {
        let routing = RoutingOptions { iterations, ..RoutingOptions::blog() };
        let mut net = CapsNet::zeros(Architecture { routing, ..Architecture::blog() }).unwrap();
        for ((ours, theirs), part) in NAMES.iter().zip(golden["params"].as_array().unwrap()) {
            assert_eq!(part["name"], *theirs);
            let own = net.parameters_mut().part_mut(ours).unwrap();
            let (seed, scale) = (part["seed"].as_u64().unwrap(), part["scale"].as_f64().unwrap());
            own.copy_from_slice(&split_mix(seed, own.len(), scale));
            let first = list(&part["first3"]);
            // up to a unit in the last place of f32
            assert!(
                (0..3).all(|at| (f64::from(own[at]) - first[at]).abs() <= 1.2e-7 * first[at].abs()),
                "{ours}"
            );
        }
        let pass = net.forward_keeping(&pixels, 2).unwrap();
        let golden = &golden[key];
        let rows = |name: &str, found: &[f32]| {
            let expected: Vec<f64> = golden[name].as_array().unwrap().iter().flat_map(flatten).collect();
            let error = error(found, &expected, 0.0);
            assert!(error <= 2e-4, "{key} {name}: off by {error:e}");
        };
        rows("act", &pass.classes().activations);
        rows("poses", &pass.classes().poses);
        for margin in ["0.2", "0.9"] {
            let golden = &golden[&format!("margin{margin}")];
            let (loss, d_activations) = loss(&pass, 10, &labels, margin.parse().unwrap());
            let expected = golden["loss"].as_f64().unwrap();
            assert!(
                (loss - expected).abs() <= 2e-4 * expected,
                "{key} loss at {margin}: {loss}, not {expected}"
            );
            let gradient = net.backward(&pass, &d_activations, 2).unwrap();
            for (ours, theirs) in NAMES {
                let golden = &golden["grads"][theirs];
                let part = gradient.part(ours).unwrap();
                let fair = (10.0 * golden["f32_rel_err"].as_f64().unwrap()).max(2e-4);
                let length = golden["l2"].as_f64().unwrap();
                let found = part.iter().map(|&d| f64::from(d) * f64::from(d)).sum::<f64>().sqrt();
                let off = (found - length).abs() / length;
                assert!(off <= fair, "{key} length of the gradient of {ours} at {margin}: off by {off:e}");
                let places = list(&golden["index"]);
                let found: Vec<f32> = places.iter().map(|&place| part[place as usize]).collect();
                let largest = part.iter().fold(0.0f32, |most, d| d.abs().max(most));
                let error = error(&found, &list(&golden["value"]), f64::from(largest));
                assert!(error <= fair, "{key} gradient of {ours} at {margin}: off by {error:e}");
            }
        }
    }
}

/// Returns all numbers of nested lists.
fn flatten(value: &Value) -> Vec<f64> {
    match value.as_array() {
        Some(list) => list.iter().flat_map(flatten).collect(),
        None => vec![value.as_f64().unwrap()],
    }
}
