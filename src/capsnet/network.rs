//! The network: a list of layers, run forward and backward.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Architecture;
use super::layers::{Batch, Dropout, Forward, Grid, Layer, Memory, Share, plain};
use super::parameters::{ParameterSpec, Parameters};
use crate::compute::agree;
use crate::error::{Error, Result};
use crate::routing::CapsuleLayerRun;
use crate::routing::fused::{LayerOutput, check_numbers};

/// The name of the input in a [`Pass`].
const PIXELS: &str = "pixels";

/// A network, of capsules or a plain convolutional one: its architecture and its parameters.
///
/// [`CapsNet::new`] draws the parameters, [`Training`](super::Training) fits them, and [`CapsNet::load`] reads them from a file.
/// [`CapsNet::forward`] maps a batch of pixels to a [`Pass`] with the output of every layer, [`CapsNet::backward`] computes the
/// gradient of a loss, and [`CapsNet::evaluate`] classifies labelled images.
#[derive(Debug, Clone, PartialEq)]
pub struct CapsNet {
    architecture: Architecture,
    parameters: Parameters,
}

/// The output of every layer for a batch, from the pixels to the classes.
///
/// Index a pass by the name of a layer: `pass["first"].poses`. Names are those of [`CapsNet::layers`], plus `pixels` for the input.
/// Pixels and features have no poses.
#[derive(Debug, Clone)]
pub struct Pass {
    images: usize,
    architecture: Architecture,
    /// The pixels, then the output of each layer in order.
    outputs: Vec<Output>,
}

#[derive(Debug, Clone)]
struct Output {
    name: &'static str,
    numbers: LayerOutput,
    memory: Memory,
}

/// The gradient of a loss with respect to a network's parameters and input.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradient {
    /// The gradient with respect to the parameters.
    pub parameters: Parameters,
    /// The gradient with respect to the pixels, images x height x width x channels.
    pub pixels: Vec<f32>,
}

/// The name, the output shape and the number of parameters of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerSummary {
    /// The name of the layer, as in a [`Pass`].
    pub name: &'static str,
    /// Rows of the output grid.
    pub rows: usize,
    /// Columns of the output grid.
    pub columns: usize,
    /// Features or capsules at each grid position.
    pub kinds: usize,
    /// The number of the layer's parameters.
    pub parameters: usize,
}

impl Pass {
    /// Returns the number of images in the batch.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Returns the output of the layer with this name, flat in the order images x rows x columns x kinds.
    ///
    /// # Errors
    ///
    /// Returns an error if no layer has this name.
    pub fn layer(&self, name: &str) -> Result<&LayerOutput> {
        let output = self.outputs.iter().find(|output| output.name == name);
        output.map(|output| &output.numbers).ok_or_else(|| Error::UnknownName {
            what: "layer",
            found: name.to_owned(),
            known: self.outputs.iter().map(|output| output.name.to_owned()).collect(),
        })
    }

    /// Returns the output of the last layer: the class capsules, or the logits of a plain network, images x E.
    pub fn classes(&self) -> &LayerOutput {
        &self.outputs[self.outputs.len() - 1].numbers
    }
}

impl std::ops::Index<&str> for Pass {
    type Output = LayerOutput;

    /// Returns the output of the layer with this name.
    ///
    /// # Panics
    ///
    /// Panics if no layer has this name; [`Pass::layer`] returns an error instead.
    fn index(&self, name: &str) -> &LayerOutput {
        self.layer(name).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl CapsNet {
    /// Creates an untrained network with randomly drawn parameters.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Architecture::parameters`].
    pub fn new(architecture: Architecture, seed: u64) -> Result<CapsNet> {
        let mut net = CapsNet::zeros(architecture)?;
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        for part in net.parameters.parts().to_vec() {
            part.draw.fill(&mut net.parameters.numbers_mut()[part.range], rng);
        }
        Ok(net)
    }

    /// Creates a network whose parameters are all 0, to be filled by hand or from a file.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Architecture::parameters`].
    pub fn zeros(architecture: Architecture) -> Result<CapsNet> {
        Ok(CapsNet { parameters: Parameters::zeros(architecture.parameters()?), architecture })
    }

    /// Returns the architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Returns the parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Returns a mutable reference to the parameters.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    /// Returns the layers in order, from the first features to the classes.
    pub fn layers(&self) -> Vec<LayerSummary> {
        let summary = |layer: &dyn Layer| {
            let Grid { rows, columns, kinds } = layer.grid();
            let parameters = layer.parameters().iter().map(|spec| spec.count() as usize).sum();
            LayerSummary { name: layer.name(), rows, columns, kinds, parameters }
        };
        self.list().iter().map(|layer| summary(layer.as_ref())).collect()
    }

    /// Returns the layer with this name.
    ///
    /// # Errors
    ///
    /// Returns an error if no layer has this name.
    pub fn layer(&self, name: &str) -> Result<LayerSummary> {
        let layers = self.layers();
        layers.iter().copied().find(|layer| layer.name == name).ok_or_else(|| Error::UnknownName {
            what: "layer",
            found: name.to_owned(),
            known: layers.iter().map(|layer| layer.name.to_owned()).collect(),
        })
    }

    /// Computes the outputs of all layers for a batch of pixels (images x height x width x channels).
    ///
    /// `threads` is the number of threads (0: one per core). It does not change the result.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no images, if the pixels do not fill a whole number of images, or if a number is not finite. The
    /// activations of the classes may be NaN if the routing divides 0 by 0, as [`RoutingOptions::blog`] does in some cases.
    ///
    /// [`RoutingOptions::blog`]: crate::routing::RoutingOptions::blog
    pub fn forward(&self, pixels: &[f32], threads: usize) -> Result<Pass> {
        self.forward_and(pixels, threads, false, None, None)
    }

    /// Runs [`CapsNet::forward`] for a training step: keeps the routing results for [`CapsNet::backward`]. For the blog's network,
    /// they take 0.55 MiB for each image and iteration.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`CapsNet::forward`].
    pub fn forward_keeping(&self, pixels: &[f32], threads: usize) -> Result<Pass> {
        self.forward_and(pixels, threads, true, None, None)
    }

    /// Runs [`CapsNet::forward_keeping`] for a step of a training, on this process's share of the batch. `dropout`
    /// holds the probability that an input of a dense layer is dropped, and the generator of the draws.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`CapsNet::forward`].
    pub(super) fn forward_training(
        &self,
        pixels: &[f32],
        threads: usize,
        dropout: Option<(f64, &mut ChaCha8Rng)>,
        share: Option<Share>,
    ) -> Result<Pass> {
        self.forward_and(pixels, threads, true, dropout, share)
    }

    fn forward_and(
        &self,
        pixels: &[f32],
        threads: usize,
        keep: bool,
        mut dropout: Option<(f64, &mut ChaCha8Rng)>,
        share: Option<Share>,
    ) -> Result<Pass> {
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
        for (layer, mut batch) in layers.iter().zip(self.batches(&layers, images, threads, share)) {
            batch.dropout =
                dropout.as_mut().map(|(dropped, rng)| Dropout { probability: *dropped, seed: rng.r#gen() });
            let (numbers, memory) = layer.forward(&batch, &outputs[outputs.len() - 1].numbers, keep)?;
            outputs.push(Output { name: layer.name(), numbers, memory });
        }
        Ok(Pass { images, architecture: self.architecture.clone(), outputs })
    }

    /// Computes the gradient of a loss with respect to all parameters.
    ///
    /// `pass` is the result of this network's forward pass. `d_activations` (images x E) is the gradient with respect to the class
    /// activations.
    ///
    /// # Errors
    ///
    /// Returns an error if the pass comes from another architecture, or if `d_activations` has another length.
    pub fn backward(&self, pass: &Pass, d_activations: &[f32], threads: usize) -> Result<Parameters> {
        self.backward_and(pass, d_activations, threads, false, None).map(|gradient| gradient.parameters)
    }

    /// Computes the gradient of a loss with respect to all parameters, as [`CapsNet::backward`] does, and with respect to the
    /// pixels.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`CapsNet::backward`].
    pub fn backward_to_pixels(&self, pass: &Pass, d_activations: &[f32], threads: usize) -> Result<Gradient> {
        self.backward_and(pass, d_activations, threads, true, None)
    }

    /// Runs [`CapsNet::backward`] for this process's share of a batch, and returns the gradient of the whole batch.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`CapsNet::backward`], and [`Error::OtherRank`] if another process has failed.
    pub(super) fn backward_training(
        &self,
        pass: &Pass,
        d_activations: &[f32],
        threads: usize,
        share: Option<Share>,
    ) -> Result<Parameters> {
        self.backward_and(pass, d_activations, threads, false, share).map(|gradient| gradient.parameters)
    }

    fn backward_and(
        &self,
        pass: &Pass,
        d_activations: &[f32],
        threads: usize,
        to_pixels: bool,
        share: Option<Share>,
    ) -> Result<Gradient> {
        self.check_pass(pass)?;
        let expected = pass.classes().activations.len();
        if d_activations.len() != expected {
            return Err(Error::Length { name: "d_activations", expected, found: d_activations.len() });
        }
        let layers = self.list();
        let batches = self.batches(&layers, pass.images, threads, share);
        let mut parameters = self.parameters.zeros_like();
        let mut rest = parameters.numbers_mut();
        let poses = vec![0.0; pass.classes().poses.len()];
        let mut d_output = LayerOutput { poses, activations: d_activations.to_vec() };
        for (at, (layer, batch)) in layers.iter().zip(batches).enumerate().rev() {
            let [input, output] = [&pass.outputs[at], &pass.outputs[at + 1]];
            let forward = Forward { input: &input.numbers, output: &output.numbers, memory: &output.memory };
            let backward = layer.backward(&batch, forward, d_output, at > 0 || to_pixels);
            let backward = match share {
                None => backward?,
                // if one process fails here, the others must not wait for it in the sums of the next layer
                Some(Share { team, .. }) => agree(team, backward, |_| ())?.0,
            };
            // `rest` keeps the numbers of the layers before this one
            for d in backward.d_parameters.iter().rev() {
                let (before, own) = rest.split_at_mut(rest.len() - d.len());
                own.copy_from_slice(d);
                rest = before;
            }
            d_output = backward.d_input;
        }
        Ok(Gradient { parameters, pixels: d_output.activations })
    }

    /// Routes one image of a pass through a layer again, in f64. Returns votes, responsibilities and all other results of each
    /// iteration.
    ///
    /// # Errors
    ///
    /// Returns an error if no routing layer has this name, if the pass has no such image, or if the pass comes from another
    /// architecture. Also returns the errors of [`CapsuleLayer::forward`](crate::routing::CapsuleLayer::forward).
    pub fn layer_routing(&self, pass: &Pass, layer: &str, image: usize) -> Result<CapsuleLayerRun> {
        self.check_pass(pass)?;
        if image >= pass.images {
            let (name, expected) = ("the image number", "below the number of images in the pass");
            return Err(Error::Setting { name, expected, value: image as f64 });
        }
        let layers = self.list();
        let mut known = Vec::new();
        for ((own, batch), input) in
            layers.iter().zip(self.batches(&layers, pass.images, 1, None)).zip(&pass.outputs)
        {
            let Some(routed) = own.as_routed() else { continue };
            if own.name() == layer {
                return routed.run(&batch, &input.numbers, image);
            }
            known.push(own.name().to_owned());
        }
        Err(Error::UnknownName { what: "routing layer", found: layer.to_owned(), known })
    }

    fn list(&self) -> Vec<Box<dyn Layer>> {
        self.architecture.layers().expect("the architecture was checked when the network was made")
    }

    /// Returns a [`Batch`] for each layer, with the layer's own parameters.
    fn batches<'a>(
        &'a self,
        layers: &[Box<dyn Layer>],
        images: usize,
        threads: usize,
        share: Option<Share<'a>>,
    ) -> Vec<Batch<'a>> {
        let mut rest = self.parameters.numbers();
        let mut take = |spec: &ParameterSpec| {
            let (own, behind) = rest.split_at(spec.count() as usize);
            rest = behind;
            own
        };
        let mut batch = |layer: &dyn Layer| {
            let parameters = layer.parameters().iter().map(&mut take).collect();
            Batch { images, threads, parameters, dropout: None, share }
        };
        layers.iter().map(|layer| batch(layer.as_ref())).collect()
    }

    /// Checks that a pass has this network's architecture.
    fn check_pass(&self, pass: &Pass) -> Result<()> {
        if pass.architecture == self.architecture {
            return Ok(());
        }
        let settings = self.architecture.settings().into_iter().zip(pass.architecture.settings());
        let ((name, expected), (_, found)) =
            settings.into_iter().find(|(own, other)| own != other).expect("settings differ as well");
        Err(Error::OtherArchitecture { name, expected, found })
    }
}
