//! The network: a list of layers, run forward and backward.

use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::Architecture;
use super::layers::{Batch, Forward, Grid, Layer, Memory, plain};
use super::parameters::{ParameterSpec, Parameters};
use crate::error::{Error, Result};
use crate::routing::CapsuleLayerRun;
use crate::routing::fused::{LayerOutput, check_numbers};

/// The name of a pass's input.
const PIXELS: &str = "pixels";

/// A network: its architecture, and the parameters that it has learnt.
#[derive(Debug, Clone, PartialEq)]
pub struct CapsNet {
    architecture: Architecture,
    parameters: Parameters,
}

/// The output of every layer for a batch, from the pixels to the classes.
///
/// The output of a layer is found by the layer's name: `pass["first"].poses`. Pixels and features have activations only. The names are
/// those of [`CapsNet::layers`], and `pixels` for the input.
#[derive(Debug, Clone)]
pub struct Pass {
    images: usize,
    architecture: Architecture,
    /// The pixels, then the layers.
    outputs: Vec<Output>,
}

#[derive(Debug, Clone)]
struct Output {
    name: &'static str,
    numbers: LayerOutput,
    memory: Memory,
}

/// The gradient of a loss with respect to all that a network is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradient {
    /// With respect to the parameters.
    pub parameters: Parameters,
    /// With respect to the pixels, images x height x width x channels.
    pub pixels: Vec<f32>,
}

/// The shape of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerSummary {
    /// The name, as in a [`Pass`].
    pub name: &'static str,
    /// Rows of places.
    pub rows: usize,
    /// Columns of places.
    pub columns: usize,
    /// Features or capsules at each place.
    pub kinds: usize,
    /// The number of parameters.
    pub parameters: usize,
}

impl Pass {
    /// The number of images of the batch.
    pub fn images(&self) -> usize {
        self.images
    }

    /// The output of the layer of this name, in the order images x rows x columns x kinds.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such layer.
    pub fn layer(&self, name: &str) -> Result<&LayerOutput> {
        let output = self.outputs.iter().find(|output| output.name == name);
        output.map(|output| &output.numbers).ok_or_else(|| Error::UnknownName {
            what: "layer",
            found: name.to_owned(),
            known: self.outputs.iter().map(|output| output.name.to_owned()).collect(),
        })
    }

    /// The output of the last layer: the classes, images x E.
    pub fn classes(&self) -> &LayerOutput {
        &self.outputs[self.outputs.len() - 1].numbers
    }
}

impl std::ops::Index<&str> for Pass {
    type Output = LayerOutput;

    /// As [`Pass::layer`].
    ///
    /// # Panics
    ///
    /// If there is no such layer.
    fn index(&self, name: &str) -> &LayerOutput {
        self.layer(name).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl CapsNet {
    /// A network that has learnt nothing yet: its parameters are drawn.
    ///
    /// # Errors
    ///
    /// As [`Architecture::parameters`].
    pub fn new(architecture: Architecture, seed: u64) -> Result<CapsNet> {
        let mut net = CapsNet::zeros(architecture)?;
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        for part in net.parameters.parts().to_vec() {
            part.draw.fill(&mut net.parameters.numbers_mut()[part.range], rng);
        }
        Ok(net)
    }

    /// A network whose parameters are all 0, to be filled by hand or from a file.
    ///
    /// # Errors
    ///
    /// As [`Architecture::parameters`].
    pub fn zeros(architecture: Architecture) -> Result<CapsNet> {
        Ok(CapsNet { parameters: Parameters::zeros(architecture.parameters()?), architecture })
    }

    /// What it is made of.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// What it has learnt.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// What it has learnt, to be changed.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    /// The layers, from the one that sees the pixels to the classes.
    pub fn layers(&self) -> Vec<LayerSummary> {
        let summary = |layer: &dyn Layer| {
            let Grid { rows, columns, kinds } = layer.grid();
            let parameters = layer.parameters().iter().map(|spec| spec.count() as usize).sum();
            LayerSummary { name: layer.name(), rows, columns, kinds, parameters }
        };
        self.list().iter().map(|layer| summary(layer.as_ref())).collect()
    }

    /// The layer of this name.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such layer.
    pub fn layer(&self, name: &str) -> Result<LayerSummary> {
        let layers = self.layers();
        layers.iter().copied().find(|layer| layer.name == name).ok_or_else(|| Error::UnknownName {
            what: "layer",
            found: name.to_owned(),
            known: layers.iter().map(|layer| layer.name.to_owned()).collect(),
        })
    }

    /// The outputs of all layers for a batch of pixels (images x height x width x channels), on so many threads (0: one for each core).
    /// The result does not depend on their number.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no images, if the pixels are not a whole number of images, or if a number is not finite.
    pub fn forward(&self, pixels: &[f32], threads: usize) -> Result<Pass> {
        self.forward_and(pixels, threads, false)
    }

    /// [`CapsNet::forward`] for a training step: also keeps what [`CapsNet::backward`] would otherwise compute again. The blog's
    /// network takes 0.55 MiB for each image and iteration.
    ///
    /// # Errors
    ///
    /// As [`CapsNet::forward`].
    pub fn forward_keeping(&self, pixels: &[f32], threads: usize) -> Result<Pass> {
        self.forward_and(pixels, threads, true)
    }

    fn forward_and(&self, pixels: &[f32], threads: usize, keep: bool) -> Result<Pass> {
        let Architecture { height, width, channels, .. } = self.architecture;
        let image = height * width * channels;
        if pixels.is_empty() {
            return Err(Error::Empty { what: "images" });
        }
        if !pixels.len().is_multiple_of(image) {
            let found = vec![pixels.len()];
            return Err(Error::Shape { name: "pixels", expected: vec![height, width, channels], found });
        }
        let images = pixels.len() / image;
        check_numbers("pixels", &[images, height, width, channels], pixels, "finite", f32::is_finite)?;
        let layers = self.list();
        let pixels = Output { name: PIXELS, numbers: plain(pixels.to_vec()), memory: Arc::new(()) };
        let mut outputs = vec![pixels];
        for (layer, batch) in layers.iter().zip(self.batches(&layers, images, threads)) {
            let (numbers, memory) = layer.forward(&batch, &outputs[outputs.len() - 1].numbers, keep)?;
            outputs.push(Output { name: layer.name(), numbers, memory });
        }
        Ok(Pass { images, architecture: self.architecture.clone(), outputs })
    }

    /// The gradient of a loss with respect to all parameters, from that with respect to the activations of the classes (images x E)
    /// and a pass of the same network.
    ///
    /// # Errors
    ///
    /// Returns an error if the pass is of another architecture, or if `d_activations` has another length.
    pub fn backward(&self, pass: &Pass, d_activations: &[f32], threads: usize) -> Result<Parameters> {
        self.backward_and(pass, d_activations, threads, false).map(|gradient| gradient.parameters)
    }

    /// [`CapsNet::backward`] that goes on to the pixels.
    ///
    /// # Errors
    ///
    /// As [`CapsNet::backward`].
    pub fn backward_to_pixels(&self, pass: &Pass, d_activations: &[f32], threads: usize) -> Result<Gradient> {
        self.backward_and(pass, d_activations, threads, true)
    }

    fn backward_and(
        &self,
        pass: &Pass,
        d_activations: &[f32],
        threads: usize,
        to_pixels: bool,
    ) -> Result<Gradient> {
        self.check_pass(pass)?;
        let layers = self.list();
        let batches = self.batches(&layers, pass.images, threads);
        let mut parameters = self.parameters.zeros_like();
        let mut rest = parameters.numbers_mut();
        let poses = vec![0.0; pass.classes().poses.len()];
        let mut d_output = LayerOutput { poses, activations: d_activations.to_vec() };
        for (at, (layer, batch)) in layers.iter().zip(batches).enumerate().rev() {
            let [input, output] = [&pass.outputs[at], &pass.outputs[at + 1]];
            let forward = Forward { input: &input.numbers, output: &output.numbers, memory: &output.memory };
            let backward = layer.backward(&batch, forward, d_output, at > 0 || to_pixels)?;
            // the numbers of the layers before this one stay in `rest`
            for d in backward.d_parameters.iter().rev() {
                let (before, own) = rest.split_at_mut(rest.len() - d.len());
                own.copy_from_slice(d);
                rest = before;
            }
            d_output = backward.d_input;
        }
        Ok(Gradient { parameters, pixels: d_output.activations })
    }

    /// How a layer routes one image of a pass: votes, responsibilities and all else of each iteration, in f64.
    ///
    /// # Errors
    ///
    /// Returns an error if no layer that routes has this name, if the pass has no image of this number or is of another architecture,
    /// and as [`CapsuleLayer::forward`](crate::routing::CapsuleLayer::forward).
    pub fn layer_routing(&self, pass: &Pass, layer: &str, image: usize) -> Result<CapsuleLayerRun> {
        self.check_pass(pass)?;
        if image >= pass.images {
            let (name, expected) = ("the number of the image", "one of the pass, from 0");
            return Err(Error::Setting { name, expected, value: image as f64 });
        }
        let layers = self.list();
        let mut known = Vec::new();
        for ((own, batch), input) in
            layers.iter().zip(self.batches(&layers, pass.images, 1)).zip(&pass.outputs)
        {
            let Some(routed) = own.as_routed() else { continue };
            if own.name() == layer {
                return routed.run(&batch, &input.numbers, image);
            }
            known.push(own.name().to_owned());
        }
        Err(Error::UnknownName { what: "layer that routes", found: layer.to_owned(), known })
    }

    fn list(&self) -> Vec<Box<dyn Layer>> {
        self.architecture.layers().expect("the architecture was checked when the network was made")
    }

    /// What each layer needs to know of a batch.
    fn batches<'a>(&'a self, layers: &[Box<dyn Layer>], images: usize, threads: usize) -> Vec<Batch<'a>> {
        let mut rest = self.parameters.numbers();
        let mut take = |spec: &ParameterSpec| {
            let (own, behind) = rest.split_at(spec.count() as usize);
            rest = behind;
            own
        };
        let mut batch = |layer: &dyn Layer| {
            let parameters = layer.parameters().iter().map(&mut take).collect();
            Batch { images, threads, parameters }
        };
        layers.iter().map(|layer| batch(layer.as_ref())).collect()
    }

    /// Checks that a pass is of this architecture.
    fn check_pass(&self, pass: &Pass) -> Result<()> {
        if pass.architecture == self.architecture {
            return Ok(());
        }
        let settings = self.architecture.settings().into_iter().zip(pass.architecture.settings());
        let ((name, expected), (_, found)) =
            settings.into_iter().find(|(own, other)| own != other).expect("architectures are their settings");
        Err(Error::OtherArchitecture { name, expected, found })
    }
}
