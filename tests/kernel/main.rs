//! The fused kernel (f32) against the reference (f64), for every instruction set; reproducible bits, limits and errors.

mod golden;
mod random;

use em_routing::routing::fused::{
    InstructionSet, Kernel, LayerGradient, LayerInput, LayerOutput, LayerShape,
};
use em_routing::routing::{CapsuleLayer, Capsules, Reach, RoutingOptions};
use ndarray::{Array1, Array4, Array5};

/// A layer in f32, and the gradient of its loss with respect to its parents.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) shape: LayerShape,
    pub(crate) options: RoutingOptions,
    pub(crate) poses: Vec<f32>,
    pub(crate) activations: Vec<f32>,
    pub(crate) transforms: Vec<f32>,
    pub(crate) beta_v: Vec<f32>,
    pub(crate) beta_a: Vec<f32>,
    pub(crate) d_poses: Vec<f32>,
    pub(crate) d_activations: Vec<f32>,
}

/// The name and the numbers of each output and gradient.
pub(crate) type Named = Vec<(&'static str, Vec<f64>)>;

impl Case {
    pub(crate) fn input(&self) -> LayerInput<'_> {
        LayerInput {
            poses: &self.poses,
            activations: &self.activations,
            transforms: &self.transforms,
            beta_v: &self.beta_v,
            beta_a: &self.beta_a,
        }
    }

    pub(crate) fn kernel(
        &self,
        instructions: InstructionSet,
        threads: usize,
    ) -> (LayerOutput, LayerGradient) {
        let kernel = Kernel::new(self.shape, &self.options, threads).unwrap().with_instructions(instructions);
        let output = kernel.forward(&self.input()).unwrap();
        let gradient = kernel.backward(&self.input(), &self.d_poses, &self.d_activations).unwrap();
        (output, gradient)
    }

    pub(crate) fn found(&self, instructions: InstructionSet) -> Named {
        let (output, gradient) = self.kernel(instructions, 1);
        let wide = |numbers: Vec<f32>| numbers.into_iter().map(f64::from).collect();
        vec![
            ("poses", wide(output.poses)),
            ("act", wide(output.activations)),
            ("grad.poses", wide(gradient.d_poses)),
            ("grad.a", wide(gradient.d_activations)),
            ("grad.W", wide(gradient.d_transforms)),
            ("grad.beta_v", wide(gradient.d_beta_v)),
            ("grad.beta_a", wide(gradient.d_beta_a)),
        ]
    }

    /// Returns the results of the reference.
    pub(crate) fn expected(&self) -> Named {
        let wide =
            |numbers: &[f32]| -> Vec<f64> { numbers.iter().map(|&number| f64::from(number)).collect() };
        let LayerShape { images, height, width, capsules, parents, reach } = self.shape;
        let layer = CapsuleLayer {
            reach,
            transforms: Array4::from_shape_vec(
                (self.transforms.len() / parents / 16, parents, 4, 4),
                wide(&self.transforms),
            )
            .unwrap(),
            beta_v: Array1::from(wide(&self.beta_v)),
            beta_a: Array1::from(wide(&self.beta_a)),
        };
        let below = Capsules {
            poses: Array5::from_shape_vec((images, height, width, capsules, 16), wide(&self.poses)).unwrap(),
            activations: Array4::from_shape_vec((images, height, width, capsules), wide(&self.activations))
                .unwrap(),
        };
        let run = layer.forward(&below, &self.options).unwrap();
        let above = &run.capsules;
        let d_poses = Array5::from_shape_vec(above.poses.raw_dim(), wide(&self.d_poses)).unwrap();
        let d_activations =
            Array4::from_shape_vec(above.activations.raw_dim(), wide(&self.d_activations)).unwrap();
        let gradient = layer.gradient(&run, &self.options, &d_poses, &d_activations).unwrap();
        vec![
            ("poses", above.poses.iter().copied().collect()),
            ("act", above.activations.iter().copied().collect()),
            ("grad.poses", gradient.d_poses.into_iter().collect()),
            ("grad.a", gradient.d_activations.into_iter().collect()),
            ("grad.W", gradient.d_transforms.into_iter().collect()),
            ("grad.beta_v", gradient.d_beta_v.into_iter().collect()),
            ("grad.beta_a", gradient.d_beta_a.into_iter().collect()),
        ]
    }
}

/// Returns the largest absolute value, ignoring NaN and infinities.
pub(crate) fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().filter(|value| value.is_finite()).fold(0.0, |largest, value| value.abs().max(largest))
}

/// Returns the largest error relative to `scale` where the reference is finite; NaN if any number is NaN.
pub(crate) fn error(found: &[f64], expected: &[f64], scale: f64) -> f64 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected).filter(|(_, expected)| expected.is_finite());
    let errors = pairs.map(|(found, expected)| (found - expected).abs() / scale.max(f64::MIN_POSITIVE));
    errors.fold(0.0, |largest: f64, error| if error.is_nan() || error > largest { error } else { largest })
}

/// Returns the largest absolute value of all gradients.
pub(crate) fn largest_gradient(named: &Named) -> f64 {
    let gradients = named.iter().filter(|(name, _)| name.starts_with("grad."));
    gradients.map(|(_, numbers)| largest(numbers)).fold(0.0, f64::max)
}

/// A layer with a single position.
pub(crate) fn one_position(children: usize, parents: usize) -> LayerShape {
    let reach = Reach::Neighbourhood { size: 1, stride: 1 };
    LayerShape { images: 1, height: 1, width: 1, capsules: children, parents, reach }
}
