//! Primary capsules: a linear map of the features at each position.

use std::ops::Range;
use std::sync::Arc;

use super::convolution::Convolution;
use super::{Backward, Batch, Caption, Forward, Grid, Layer, Memory, plain};
use crate::capsnet::Initialiser;
use crate::capsnet::parameters::{Draw, ParameterSpec};
use crate::error::Result;
use crate::routing::ELEMENTS;
use crate::routing::fused::LayerOutput;

/// The first capsule layer. It does not route: poses and activations depend only on the features at the same position.
///
/// ```text
/// pose = W x + b,    activation = sigmoid(w x + b)
/// ```
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Primary {
    pub below: Grid,
    pub capsules: usize,
    pub start: Initialiser,
}

impl Primary {
    /// Returns the maps to poses and to activations, as 1 x 1 convolutions.
    fn maps(&self, batch: &Batch) -> [Convolution; 2] {
        let (images, threads) = (batch.images, batch.threads);
        let Grid { rows: height, columns: width, kinds: channels } = self.below;
        [ELEMENTS, 1].map(|numbers| Convolution {
            images,
            height,
            width,
            channels,
            features: self.capsules * numbers,
            size: 1,
            stride: 1,
            threads,
        })
    }
}

impl Layer for Primary {
    fn name(&self) -> &'static str {
        "primary"
    }

    fn grid(&self) -> Grid {
        Grid { kinds: self.capsules, ..self.below }
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        let (below, start) = (self.below.kinds, &self.start);
        let weights = |name: &str, outputs: usize, gain: f64| {
            let shape = [1, 1, below, outputs];
            ParameterSpec::new(name, &shape, Draw::xavier(gain, below, outputs)).decayed()
        };
        vec![
            weights("poses.weights", self.capsules * ELEMENTS, start.pose_gain),
            ParameterSpec::new(
                "poses.bias",
                &[self.capsules * ELEMENTS],
                Draw::Diagonal(start.pose_identity),
            ),
            weights("activations.weights", self.capsules, 1.0),
            ParameterSpec::new("activations.bias", &[self.capsules], Draw::Zero),
        ]
    }

    fn forward(&self, batch: &Batch, input: &LayerOutput, _keep: bool) -> Result<(LayerOutput, Memory)> {
        let ([to_poses, to_activations], x) = (self.maps(batch), &input.activations);
        let [pose_weights, pose_bias, weights, bias] = batch.parameters();
        let mut output = LayerOutput {
            poses: to_poses.forward(x, pose_weights, pose_bias),
            activations: to_activations.forward(x, weights, bias),
        };
        output.activations.iter_mut().for_each(|a| *a = 1.0 / (1.0 + (-*a).exp()));
        Ok((output, Arc::new(())))
    }

    fn backward(
        &self,
        batch: &Batch,
        forward: Forward,
        mut d_output: LayerOutput,
        with_input: bool,
    ) -> Result<Backward> {
        let ([to_poses, to_activations], x) = (self.maps(batch), &forward.input.activations);
        let ([pose_weights, _, weights, _], team) = (batch.parameters(), batch.team());
        // a = sigmoid(x) gives dx = a (1 - a) da
        for (d, a) in d_output.activations.iter_mut().zip(&forward.output.activations) {
            *d *= a * (1.0 - a);
        }
        let poses = to_poses.backward(team, x, pose_weights, &d_output.poses, with_input)?;
        let activations = to_activations.backward(team, x, weights, &d_output.activations, with_input)?;
        let d_x = poses.d_x.iter().zip(&activations.d_x).map(|(one, other)| one + other).collect();
        Ok(Backward {
            d_parameters: vec![poses.d_weights, poses.d_bias, activations.d_weights, activations.d_bias],
            d_input: plain(d_x),
        })
    }

    fn caption(&self) -> Caption {
        let step = ["1 × 1 convolution;", "activation: sigmoid"].map(str::to_owned);
        Caption { title: "primary", step, kinds: "capsules" }
    }

    fn receptive_field(&self, rows: Range<usize>, columns: Range<usize>) -> [Range<usize>; 2] {
        [rows, columns]
    }
}
