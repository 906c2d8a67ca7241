//! Capsules computed by routing the votes of the capsules below.

use std::ops::Range;
use std::sync::Arc;

use ndarray::Array;

use super::{Backward, Batch, Caption, Forward, Grid, Layer, Memory};
use crate::capsnet::Initialiser;
use crate::capsnet::parameters::{Draw, ParameterSpec};
use crate::error::Result;
use crate::routing::fused::{Kept, Kernel, LayerInput, LayerOutput, LayerShape};
use crate::routing::{CapsuleLayer, CapsuleLayerRun, Capsules, ELEMENTS, Reach, RoutingOptions};

/// A capsule layer that routes the votes of a neighbourhood of the layer below, or of all capsules below.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Routed {
    name: &'static str,
    /// The sizes of the layer for one image.
    shape: LayerShape,
    grid: Grid,
    /// The number of transforms for each parent.
    transforms: usize,
    routing: RoutingOptions,
    start: Initialiser,
}

impl Routed {
    /// Creates a layer with `parents` kinds of capsules.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Kernel::new`].
    pub fn new(
        name: &'static str,
        below: Grid,
        parents: usize,
        reach: Reach,
        routing: &RoutingOptions,
        start: &Initialiser,
    ) -> Result<Routed> {
        let Grid { rows: height, columns: width, kinds: capsules } = below;
        let shape = LayerShape { images: 1, height, width, capsules, parents, reach };
        let kernel = Kernel::new(shape, routing, 1)?;
        let (rows, columns) = kernel.grid();
        Ok(Routed {
            name,
            shape,
            grid: Grid { rows, columns, kinds: parents },
            transforms: kernel.transforms(),
            routing: routing.clone(),
            start: *start,
        })
    }

    fn kernel(&self, batch: &Batch) -> Result<Kernel> {
        Kernel::new(LayerShape { images: batch.images, ..self.shape }, &self.routing, batch.threads)
    }

    fn input<'a>(batch: &Batch<'a>, below: &'a LayerOutput) -> LayerInput<'a> {
        let [transforms, beta_v, beta_a] = batch.parameters();
        LayerInput { poses: &below.poses, activations: &below.activations, transforms, beta_v, beta_a }
    }

    /// Routes one image of the input, in f64.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`CapsuleLayer::forward`].
    pub fn run(&self, batch: &Batch, below: &LayerOutput, image: usize) -> Result<CapsuleLayerRun> {
        let LayerShape { height, width, capsules, parents, reach, .. } = self.shape;
        let wide = |numbers: &[f32]| numbers.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let [transforms, beta_v, beta_a] = batch.parameters();
        let size = height * width * capsules;
        let (poses, activations) = (
            wide(&below.poses[image * size * ELEMENTS..][..size * ELEMENTS]),
            wide(&below.activations[image * size..][..size]),
        );
        let fits = "the shape of the layer";
        let below = Capsules {
            poses: Array::from_shape_vec((1, height, width, capsules, ELEMENTS), poses).expect(fits),
            activations: Array::from_shape_vec((1, height, width, capsules), activations).expect(fits),
        };
        let shape = (self.transforms, parents, 4, 4);
        let layer = CapsuleLayer {
            reach,
            transforms: Array::from_shape_vec(shape, wide(transforms)).expect(fits),
            beta_v: wide(beta_v).into(),
            beta_a: wide(beta_a).into(),
        };
        layer.forward(&below, &self.routing)
    }
}

impl Layer for Routed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn grid(&self) -> Grid {
        self.grid
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        let (start, parents) = (&self.start, self.grid.kinds);
        let transforms = Draw::TruncatedNormal {
            diagonal: start.transform_identity,
            deviation: start.transform_deviation,
        };
        let within = start.beta_spread * Draw::xavier_bound(1, parents);
        let name = |letter: &str| format!("{}.{letter}", self.name);
        let beta =
            |letter, centre| ParameterSpec::new(name(letter), &[parents], Draw::Uniform { centre, within });
        vec![
            ParameterSpec::new(name("transforms"), &[self.transforms, parents, 4, 4], transforms).decayed(),
            beta("beta_v", start.beta_v),
            beta("beta_a", start.beta_a),
        ]
    }

    fn forward(&self, batch: &Batch, input: &LayerOutput, keep: bool) -> Result<(LayerOutput, Memory)> {
        let (kernel, input) = (self.kernel(batch)?, Routed::input(batch, input));
        let (output, kept) = match keep {
            true => kernel.forward_keeping(&input).map(|(output, kept)| (output, Some(kept)))?,
            false => (kernel.forward(&input)?, None),
        };
        Ok((output, Arc::new(kept)))
    }

    fn backward(
        &self,
        batch: &Batch,
        forward: Forward,
        d_output: LayerOutput,
        _with_input: bool,
    ) -> Result<Backward> {
        let (kernel, input) = (self.kernel(batch)?, Routed::input(batch, forward.input));
        let kept = forward.memory::<Option<Kept>>().as_ref();
        let LayerOutput { poses: d_poses, activations: d_activations } = &d_output;
        let d = kernel.backward_in_team(batch.team(), &input, kept, d_poses, d_activations)?;
        Ok(Backward {
            d_parameters: vec![d.d_transforms, d.d_beta_v, d.d_beta_a],
            d_input: LayerOutput { poses: d.d_poses, activations: d.d_activations },
        })
    }

    fn caption(&self) -> Caption {
        let near = match self.shape.reach {
            Reach::Neighbourhood { size, stride: 1 } => format!("{size} × {size},"),
            Reach::Neighbourhood { size, stride } => format!("{size} × {size}, stride {stride},"),
            Reach::Everywhere => "all positions,".to_owned(),
        };
        Caption { title: self.name, step: [near, "EM routing".to_owned()], kinds: "capsules" }
    }

    fn receptive_field(&self, rows: Range<usize>, columns: Range<usize>) -> [Range<usize>; 2] {
        match self.shape.reach {
            Reach::Neighbourhood { size, stride } => {
                [rows, columns].map(|places| stride * places.start..stride * (places.end - 1) + size)
            }
            Reach::Everywhere => [0..self.shape.height, 0..self.shape.width],
        }
    }

    fn as_routed(&self) -> Option<&Routed> {
        Some(self)
    }
}
