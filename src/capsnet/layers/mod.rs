//! The layers of a network, one file each.
//!
//! A new layer is a file here that implements [`Layer`], and a line in [`Architecture::layers`](super::Architecture::layers). All
//! arrays are flat f32 in the order of their shapes: images x rows x columns x kinds, and x 16 for poses.

mod convolution;
mod features;
mod pooling;
mod primary;
mod routed;

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

pub(crate) use self::features::Features;
pub(crate) use self::primary::Primary;
pub(crate) use self::routed::Routed;
use super::parameters::ParameterSpec;
use crate::error::Result;
use crate::routing::fused::LayerOutput;

/// A layer: how its output follows from its input, and the gradient of that.
///
/// Input and output are a [`LayerOutput`]. Layers of plain numbers, such as pixels and features, have activations only; their poses
/// are empty.
pub(crate) trait Layer {
    /// The name by which a [`Pass`](super::Pass) has its output.
    fn name(&self) -> &'static str;

    /// The shape of its output.
    fn grid(&self) -> Grid;

    /// What it learns. The numbers stand in the network's vector in this order.
    fn parameters(&self) -> Vec<ParameterSpec>;

    /// Its output for a batch. `keep` asks for all that makes [`Layer::backward`] faster.
    ///
    /// # Errors
    ///
    /// Returns an error if an input is out of its range.
    fn forward(&self, batch: &Batch, input: &LayerOutput, keep: bool) -> Result<(LayerOutput, Memory)>;

    /// The gradient of a loss, from that with respect to the output. The gradient of the input is left empty unless `with_input`
    /// asks for it.
    ///
    /// # Errors
    ///
    /// As [`Layer::forward`].
    fn backward(
        &self,
        batch: &Batch,
        forward: Forward,
        d_output: LayerOutput,
        with_input: bool,
    ) -> Result<Backward>;

    /// What a drawing says about it.
    fn caption(&self) -> Caption;

    /// The rows and columns of its input that a rectangle of its output depends on.
    fn receptive_field(&self, rows: Range<usize>, columns: Range<usize>) -> [Range<usize>; 2];

    /// The layer, if it routes.
    fn as_routed(&self) -> Option<&Routed> {
        None
    }
}

/// The places of a layer, and what stands at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub rows: usize,
    pub columns: usize,
    /// Channels, features or capsules at each place.
    pub kinds: usize,
}

/// What all layers need to know of a batch, and the parameters of the layer that is called.
pub(crate) struct Batch<'a> {
    pub images: usize,
    /// 0: one thread for each core.
    pub threads: usize,
    /// In the order of [`Layer::parameters`].
    pub parameters: Vec<&'a [f32]>,
}

impl<'a> Batch<'a> {
    /// The parameters, whose number the layer knows.
    fn parameters<const N: usize>(&self) -> [&'a [f32]; N] {
        self.parameters[..].try_into().expect("the network passes all parameters of the layer")
    }
}

/// What [`Layer::forward`] keeps for [`Layer::backward`]: of a type that only the layer knows.
pub(crate) type Memory = Arc<dyn Any + Send + Sync>;

/// A forward pass that is to be undone.
pub(crate) struct Forward<'a> {
    pub input: &'a LayerOutput,
    pub output: &'a LayerOutput,
    pub memory: &'a Memory,
}

impl<'a> Forward<'a> {
    /// What the layer has kept.
    fn memory<T: 'static>(&self) -> &'a T {
        self.memory.downcast_ref().expect("the network passes what the same layer has kept")
    }
}

/// The gradient of a layer.
pub(crate) struct Backward {
    /// For each of [`Layer::parameters`], as long as its shape says.
    pub d_parameters: Vec<Vec<f32>>,
    /// With the lengths of the input; empty unless it was asked for.
    pub d_input: LayerOutput,
}

/// What a drawing of the network says about a layer.
pub(crate) struct Caption {
    /// Its name in words.
    pub title: &'static str,
    /// How it is made from the layer below, in two lines.
    pub step: [String; 2],
    /// What stands at each place, in the plural.
    pub kinds: &'static str,
}

/// Activations without poses.
pub(crate) fn plain(activations: Vec<f32>) -> LayerOutput {
    LayerOutput { poses: Vec::new(), activations }
}
