//! The layers of a network, one file each.
//!
//! To add a layer, implement [`Layer`] in a new file here and add it to [`Architecture::layers`](super::Architecture::layers). All
//! arrays are flat f32 in the order of their shapes: images x rows x columns x kinds, and x 16 for poses.

mod average;
mod convolution;
mod dense;
mod features;
mod pooling;
mod primary;
mod routed;

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

pub(crate) use self::average::Average;
pub(crate) use self::dense::Dense;
pub(crate) use self::features::Features;
pub(crate) use self::primary::Primary;
pub(crate) use self::routed::Routed;
use super::parameters::ParameterSpec;
use crate::compute::Team;
use crate::error::Result;
use crate::routing::fused::LayerOutput;

/// A layer: its forward pass and its gradient.
///
/// Input and output are each a [`LayerOutput`]. Layers without capsules, such as pixels and features, have activations only; their
/// poses are empty.
pub(crate) trait Layer {
    /// Returns the name of the layer's output in a [`Pass`](super::Pass).
    fn name(&self) -> &'static str;

    /// Returns the shape of the layer's output.
    fn grid(&self) -> Grid;

    /// Returns the layer's parameter arrays, in the order in which the parameter vector holds them.
    fn parameters(&self) -> Vec<ParameterSpec>;

    /// Computes the output for a batch. If `keep` is true, also keeps whatever makes [`Layer::backward`] faster.
    ///
    /// # Errors
    ///
    /// Returns an error if an input is out of its range.
    fn forward(&self, batch: &Batch, input: &LayerOutput, keep: bool) -> Result<(LayerOutput, Memory)>;

    /// Computes the gradient of a loss with respect to parameters and input. `d_output` is the gradient with respect to the output.
    /// The gradient of the input may be empty unless `with_input` is true.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Layer::forward`].
    fn backward(
        &self,
        batch: &Batch,
        forward: Forward,
        d_output: LayerOutput,
        with_input: bool,
    ) -> Result<Backward>;

    /// Returns the labels of the layer in a drawing.
    fn caption(&self) -> Caption;

    /// Returns the input rows and columns that a rectangle of the output depends on.
    fn receptive_field(&self, rows: Range<usize>, columns: Range<usize>) -> [Range<usize>; 2];

    /// Returns the layer if it is a routing layer.
    fn as_routed(&self) -> Option<&Routed> {
        None
    }
}

/// The output shape of a layer for one image: a grid with several channels, features or capsules at each position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub rows: usize,
    pub columns: usize,
    /// Channels, features or capsules at each position.
    pub kinds: usize,
}

/// The size of a batch, the number of threads, the parameters of one layer, and its dropout.
pub(crate) struct Batch<'a> {
    pub images: usize,
    /// The number of threads (0: one for each core).
    pub threads: usize,
    /// The parameter arrays, ordered as in [`Layer::parameters`].
    pub parameters: Vec<&'a [f32]>,
    /// The dropout of a training step.
    pub dropout: Option<Dropout>,
    /// If processes share a batch: which of its images these are.
    pub share: Option<Share<'a>>,
}

/// The part of a batch that one process computes.
#[derive(Clone, Copy)]
pub(crate) struct Share<'a> {
    pub team: &'a dyn Team,
    /// The number of the first image in the batch.
    pub first: usize,
    /// The number of images in the batch.
    pub all: usize,
}

/// The dropout of one layer in one step of a training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dropout {
    /// The probability that a number is dropped.
    pub probability: f64,
    /// The seed of the draws.
    pub seed: u64,
}

impl<'a> Batch<'a> {
    /// Returns the layer's N parameter arrays.
    fn parameters<const N: usize>(&self) -> [&'a [f32]; N] {
        self.parameters[..].try_into().expect("the network passes all parameters of the layer")
    }

    /// Returns the processes that share the batch, if there are several.
    fn team(&self) -> Option<&'a dyn Team> {
        self.share.map(|share| share.team)
    }
}

/// The data that [`Layer::forward`] keeps for [`Layer::backward`]. Only the layer knows their type.
pub(crate) type Memory = Arc<dyn Any + Send + Sync>;

/// Input, output and memory of a finished forward pass, for [`Layer::backward`].
pub(crate) struct Forward<'a> {
    pub input: &'a LayerOutput,
    pub output: &'a LayerOutput,
    pub memory: &'a Memory,
}

impl<'a> Forward<'a> {
    /// Returns the data of type T that the layer's forward pass kept.
    fn memory<T: 'static>(&self) -> &'a T {
        self.memory.downcast_ref().expect("the network passes what the same layer has kept")
    }
}

/// The gradient of a loss with respect to a layer's parameters and input.
pub(crate) struct Backward {
    /// The gradients of the arrays in [`Layer::parameters`], in the same order and shapes.
    pub d_parameters: Vec<Vec<f32>>,
    /// The gradient of the input; may be empty unless requested.
    pub d_input: LayerOutput,
}

/// The labels of a layer in a drawing of the network.
pub(crate) struct Caption {
    /// The layer's name in words.
    pub title: &'static str,
    /// How the layer is computed from the layer below, in two lines.
    pub step: [String; 2],
    /// A plural noun for the contents of each position.
    pub kinds: &'static str,
}

/// Returns a [`LayerOutput`] of activations without poses.
pub(crate) fn plain(activations: Vec<f32>) -> LayerOutput {
    LayerOutput { poses: Vec::new(), activations }
}

/// Turns the gradient with respect to y = max(0, z) into that with respect to z: dz = dy where y > 0, else 0.
fn relu_backward(d: &mut [f32], y: &[f32]) {
    for (d, &y) in d.iter_mut().zip(y) {
        *d = if y > 0.0 { *d } else { 0.0 };
    }
}
