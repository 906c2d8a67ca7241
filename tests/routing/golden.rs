//! The cases of `tests/golden/caps_manifest.json`, computed in float64 by an independent program and checked against the blog's.

use std::path::Path;

use em_routing::capsnet::loss::{margin_at, spread_loss};
use em_routing::error::Error;
use em_routing::routing::{
    CapsuleLayer, Capsules, Reach, RoutingInput, RoutingOptions, add_coordinates, votes,
};
use ndarray::{Array, Array1, ArrayD, Dimension};
use safetensors::SafeTensors;
use serde_json::Value;

use super::largest_error;

struct Case {
    manifest: Value,
    bytes: Vec<u8>,
}

/// Reads the cases of a kind and checks their number.
fn cases(kind: &str, count: usize) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let manifest = std::fs::read(folder.join("caps_manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let all = manifest["cases"].as_array().unwrap().iter().filter(|case| case["kind"] == kind);
    let cases: Vec<Case> = all
        .map(|case| {
            let bytes = std::fs::read(folder.join(case["file"].as_str().unwrap())).unwrap();
            Case { manifest: case.clone(), bytes }
        })
        .collect();
    assert_eq!(cases.len(), count, "{kind}");
    cases
}

impl Case {
    fn name(&self) -> &str {
        self.manifest["name"].as_str().unwrap()
    }

    fn number(&self, key: &str) -> usize {
        self.manifest[key].as_u64().unwrap() as usize
    }

    fn tensor(&self, name: &str) -> ArrayD<f64> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{} {name}: {error}", self.name()));
        assert_eq!(tensor.dtype(), safetensors::Dtype::F64);
        let numbers =
            tensor.data().chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()));
        ArrayD::from_shape_vec(tensor.shape(), numbers.collect()).unwrap()
    }

    /// A tensor reshaped; a dimension of 0 is computed from the number of elements.
    fn reshaped<D: Dimension>(&self, name: &str, shape: D) -> Array<f64, D> {
        let tensor = self.tensor(name);
        let mut shape = shape;
        let known: usize = shape.slice().iter().filter(|&&size| size > 0).product();
        for size in shape.slice_mut().iter_mut().filter(|size| **size == 0) {
            *size = tensor.len() / known;
        }
        tensor.into_shape_with_order(shape).unwrap()
    }

    fn vector(&self, name: &str) -> Array1<f64> {
        self.tensor(name).into_dimensionality().unwrap()
    }

    fn options(&self) -> RoutingOptions {
        RoutingOptions { iterations: self.number("iters"), ..RoutingOptions::blog() }
    }

    /// The name of a gradient: `grad_safe` if there is one, since the blog's own gradient is NaN in these cases.
    fn gradient_name(&self, of: &str) -> String {
        let kind = if self.manifest["grad_safe_state"][of].is_null() { "grad" } else { "grad_safe" };
        format!("{kind}.{of}")
    }

    /// The largest number in all gradients.
    fn largest_gradient(&self) -> f64 {
        let gradients = self.manifest["grads_state"].as_object().unwrap().keys();
        gradients.map(|of| largest(&self.tensor(&self.gradient_name(of)))).fold(0.0, f64::max)
    }

    fn check_output<D: Dimension>(&self, of: &str, found: &Array<f64, D>) {
        let expected = self.tensor(&format!("out.{of}"));
        // no condition number was measured for R and sigma: take that of the poses and activations, which follow from them
        let condition = |of: &str| self.manifest["cond"][of].as_f64();
        let condition = match self.manifest["cond"].get(of) {
            Some(condition) => condition.as_f64(),
            None => condition("poses").zip(condition("act")).map(|(poses, act)| poses.max(act)),
        };
        self.check(&format!("out.{of}"), found, &expected, condition, largest(&expected));
    }

    fn check_gradient<D: Dimension>(&self, of: &str, found: &Array<f64, D>) {
        let name = self.gradient_name(of);
        let expected = self.tensor(&name);
        let condition = self.manifest["cond"][format!("grad.{of}")].as_f64();
        let scale = largest(&expected).max(1e-6 * self.largest_gradient());
        self.check(&name, found, &expected, condition, scale);
    }

    /// Fails unless the result is finite where the reference is, and close to it if the problem is well conditioned.
    fn check<D: Dimension>(
        &self,
        of: &str,
        found: &Array<f64, D>,
        expected: &ArrayD<f64>,
        condition: Option<f64>,
        scale: f64,
    ) {
        let name = self.name();
        assert_eq!(found.len(), expected.len(), "{name} {of}");
        let finite: Vec<(&f64, &f64)> =
            found.iter().zip(expected).filter(|(_, expected)| expected.is_finite()).collect();
        assert!(finite.iter().all(|(found, _)| found.is_finite()), "{name} {of}: not finite");
        let Some(condition) = condition.filter(|&condition| condition <= 1e7) else { return };
        let tolerance = 1e-10 + 50.0 * condition * 2.2e-16;
        let scale = scale.max(f64::MIN_POSITIVE);
        let error = largest_error(finite.iter().map(|both| both.0), finite.iter().map(|both| both.1), scale);
        assert!(error <= tolerance, "{name} {of}: error {error:e}, tolerance {tolerance:e}");
    }
}

/// The largest finite absolute value.
fn largest(tensor: &ArrayD<f64>) -> f64 {
    tensor.iter().filter(|value| value.is_finite()).fold(0.0, |largest, value| value.abs().max(largest))
}

#[test]
fn routing_agrees() {
    for case in cases("em_routing", 31) {
        let (children, parents, elements) = (case.number("n_in"), case.number("n_out"), case.number("dim"));
        let input = RoutingInput::new(
            case.reshaped("in.votes", ndarray::Dim([0, children, parents, elements])),
            case.reshaped("in.a", ndarray::Dim([0, children])),
            case.vector("in.beta_v"),
            case.vector("in.beta_a"),
        );
        let options = case.options();
        let routing = input.route(&options).unwrap();
        case.check_output("poses", routing.poses());
        case.check_output("act", routing.activations());
        case.check_output("R", &routing.last().responsibilities);
        case.check_output("sigma", &routing.last().variances.mapv(f64::sqrt));

        let d_poses = case.reshaped("in.g_poses", ndarray::Dim([0, parents, elements]));
        let d_activations = case.reshaped("in.g_act", ndarray::Dim([0, parents]));
        let gradient = input.gradient(&options, &routing, &d_poses, &d_activations).unwrap();
        case.check_gradient("votes", &gradient.d_votes);
        case.check_gradient("a", &gradient.d_activations);
        case.check_gradient("beta_v", &gradient.d_beta_v);
        case.check_gradient("beta_a", &gradient.d_beta_a);

        // the default options give finite results even if the blog's formula does not
        let options = RoutingOptions { iterations: options.iterations, ..Default::default() };
        let routing = input.route(&options).unwrap();
        let gradient = input.gradient(&options, &routing, &d_poses, &d_activations).unwrap();
        super::safety::assert_finite(case.name(), &routing, &gradient);
    }
}

#[test]
fn layers_agree() {
    let layers = cases("conv_caps", 7).into_iter().chain(cases("class_caps", 3));
    for case in layers {
        let shape = |name: &str| case.tensor(name).shape().to_vec();
        let below = shape("in.a");
        let below = Capsules {
            poses: case.reshaped("in.poses", ndarray::Dim([below[0], below[1], below[2], below[3], 16])),
            activations: case.tensor("in.a").into_dimensionality().unwrap(),
        };
        let reach = match case.manifest["kind"].as_str() {
            Some("conv_caps") => {
                Reach::Neighbourhood { size: case.number("kernel"), stride: case.number("stride") }
            }
            _ => Reach::Everywhere,
        };
        let layer = CapsuleLayer {
            reach,
            transforms: case.tensor("in.W").into_dimensionality().unwrap(),
            beta_v: case.vector("in.beta_v"),
            beta_a: case.vector("in.beta_a"),
        };
        let options = case.options();
        let run = layer.forward(&below, &options).unwrap();
        let above = shape("out.act");
        let activations = run.capsules.activations.shape();
        assert!(activations == above || activations == [above[0], 1, 1, above[above.len() - 1]]);
        case.check_output("poses", &run.capsules.poses);
        case.check_output("act", &run.capsules.activations);
        case.check_output("R", &run.routing.last().responsibilities);

        let d_poses = case.reshaped("in.g_poses", run.capsules.poses.raw_dim());
        let d_activations = case.reshaped("in.g_act", run.capsules.activations.raw_dim());
        let gradient = layer.gradient(&run, &options, &d_poses, &d_activations).unwrap();
        case.check_gradient("poses", &gradient.d_poses);
        case.check_gradient("a", &gradient.d_activations);
        case.check_gradient("W", &gradient.d_transforms);
        case.check_gradient("beta_v", &gradient.d_beta_v);
        case.check_gradient("beta_a", &gradient.d_beta_a);
    }
}

#[test]
fn patches_agree() {
    for case in cases("kernel_tile", 4) {
        let x = case.tensor("in.x");
        let (shape, grid) = (x.shape().to_vec(), case.tensor("out.y").shape().to_vec());
        let numbers = [shape[0], shape[1], shape[2], shape[3]];
        // some cases have negative activations, which are passed as poses
        let is_pose = shape.len() > 4;
        let poses = match is_pose {
            true => case.reshaped("in.x", ndarray::Dim([shape[0], shape[1], shape[2], shape[3], 16])),
            false => ndarray::Array5::from_shape_fn(
                [shape[0], shape[1], shape[2], shape[3], 16],
                |(n, y, column, capsule, _)| x[[n, y, column, capsule]],
            ),
        };
        let below = Capsules { poses, activations: ndarray::Array4::ones(numbers) };
        let reach = Reach::Neighbourhood { size: case.number("kernel"), stride: case.number("stride") };
        let patches = below.patches(reach).unwrap();
        assert_eq!([patches.grid.0, patches.grid.1], grid[1..3], "{}", case.name());
        let found = match is_pose {
            true => patches.poses.into_dyn(),
            false => patches.poses.slice(ndarray::s![.., .., 0]).to_owned().into_dyn(),
        };
        case.check("out.y", &found, &case.tensor("out.y"), Some(0.0), 1.0);
    }
}

#[test]
fn votes_agree() {
    for case in cases("mat_transform", 1) {
        let poses = case.tensor("in.P").into_dimensionality().unwrap();
        let transforms = case.tensor("in.W").into_dimensionality().unwrap();
        let found = votes(&poses, &transforms).unwrap();
        case.check("out.V", &found, &case.tensor("out.V"), Some(0.0), 1.0);
    }
    for case in cases("coord_addition", 1) {
        let shape = case.tensor("in.V").shape().to_vec();
        let mut found =
            case.reshaped("in.V", ndarray::Dim([shape[0], shape[1] * shape[2] * shape[3], shape[4], 16]));
        add_coordinates(&mut found, shape[1], shape[2]).unwrap();
        case.check("out.V", &found, &case.tensor("out.V"), Some(0.0), 1.0);
    }
}

#[test]
fn spread_losses_agree() {
    for case in cases("spread_loss", 3) {
        let activations = case.tensor("in.act").into_dimensionality().unwrap();
        let file = SafeTensors::deserialize(&case.bytes).unwrap();
        let labels = file.tensor("in.y").unwrap();
        let labels = labels.data().chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()));
        let labels: Vec<usize> = labels.map(|label| label as usize).collect();
        for margin in [0.2, 0.3, 0.5, 0.9] {
            let (loss, gradient) = spread_loss(&activations, &labels, margin).unwrap();
            let (loss_name, gradient_name) = (format!("out.loss_m{margin}"), format!("grad.m{margin}"));
            case.check(&loss_name, &ndarray::array![loss], &case.tensor(&loss_name), Some(0.0), 1.0);
            case.check(&gradient_name, &gradient, &case.tensor(&gradient_name), Some(0.0), 1.0);
        }
        let fault = spread_loss(&activations, &vec![99; labels.len()], 0.2).unwrap_err();
        assert!(matches!(fault, Error::LabelOutOfRange { index: 0, label: 99, .. }), "{fault}");
    }
}

#[test]
fn margins_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let manifest = std::fs::read(folder.join("caps_manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let mut schedules = manifest["cases"].as_array().unwrap().iter();
    let schedule = schedules.find(|case| case["kind"] == "margin_schedule").unwrap();
    let steps_per_epoch = schedule["iterations_per_epoch"].as_u64().unwrap() as usize;
    for row in schedule["table"].as_array().unwrap() {
        assert_eq!(Some(margin_at(row[0].as_u64().unwrap() as usize, steps_per_epoch)), row[1].as_f64());
    }
}
