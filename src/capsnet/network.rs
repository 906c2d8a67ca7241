//! The network: features, primary capsules, then three layers of capsules that route.
//!
//! | layer | out, for 28 x 28 | parameters |
//! |---|---|---|
//! | features 5 x 5 ([`FeatureLayer`]: halved, ReLU) | 14 x 14 x A | `features.weights`, `features.bias` |
//! | deep features 3 x 3, of the features (halved, ReLU); may be absent | 7 x 7 x `deep_features` | `deep.*` |
//! | primary capsules: a linear map of the features at each place, and a sigmoid for the activation | 7 x 7 x B | `poses.*`, `activations.*` |
//! | capsules 3 x 3, routed | 5 x 5 x C | `first.transforms`, `first.beta_v`, `first.beta_a` |
//! | capsules 3 x 3, routed | 3 x 3 x D | `second.*` |
//! | class capsules: all places, one transform for each kind of capsule, coordinates added, routed | E | `class.*` |
//!
//! Without deep features, as in the blog, the primary capsules stand on 14 x 14 places, and the first layer that routes has a stride
//! of 2: 6 x 6 places, then 4 x 4.
//!
//! All arrays are flat f32 in the order of their shapes: images x rows x columns x capsules x 16.

use ndarray::Array;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::CapsNetConfig;
use super::convolution::Convolution;
use super::features::FeatureLayer;
use super::parameters::Parameters;
use super::pooling::Pooled;
use crate::error::{Error, Result};
use crate::routing::fused::{Kept, Kernel, LayerInput, LayerOutput, LayerShape, check_numbers};
use crate::routing::{CapsuleLayer, CapsuleLayerRun, Capsules, ELEMENTS, Reach};

/// Rows and columns of the windows of features and of deep features, and of a capsule layer's neighbourhood.
pub(crate) const WINDOW: usize = 5;
pub(crate) const DEEP_WINDOW: usize = 3;
const NEIGHBOURHOOD: usize = 3;

/// Of a network: 2^26, hundreds of times the blog's. Sizes that were mistyped do not fill the memory.
pub(super) const MOST_PARAMETERS: usize = 1 << 26;

/// The layers of capsules that route, as the names of their parameters begin.
const ROUTED: [&str; 3] = ["first", "second", "class"];

/// A network: what it is made of, and what it has learnt.
#[derive(Debug, Clone, PartialEq)]
pub struct CapsNet {
    config: CapsNetConfig,
    parameters: Parameters,
}

/// What each layer made of a batch, from the pixels to the classes.
#[derive(Debug, Clone)]
pub struct Pass {
    /// Images of the batch.
    pub images: usize,
    /// Images x height x width x channels.
    pub pixels: Vec<f32>,
    /// Images x rows x columns x A, none negative.
    pub features: Vec<f32>,
    /// The features of these, in the same order; empty where the network has none.
    pub deep_features: Vec<f32>,
    /// Which of the 2 x 2 places each number of the two is from; empty without pooling.
    winners: [Vec<u8>; 2],
    /// The primary capsules.
    pub primary: LayerOutput,
    /// The first layer that routes.
    pub first: LayerOutput,
    /// The second.
    pub second: LayerOutput,
    /// The classes: images x E capsules.
    pub class: LayerOutput,
    /// What the routing found on its way, where it was kept for the gradient.
    kept: Option<Vec<Kept>>,
}

impl CapsNet {
    /// A network that has learnt nothing yet.
    ///
    /// # Errors
    ///
    /// As [`CapsNetConfig::check`], and routing that the fused kernel does not have.
    pub fn new(config: CapsNetConfig, seed: u64) -> Result<CapsNet> {
        let mut net = CapsNet::zeros(config)?;
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let start = net.config.start;
        for part in net.parameters.parts().to_vec() {
            let numbers = &mut net.parameters.numbers_mut()[part.range];
            let (inputs, outputs) = match part.shape[..] {
                [size, _, channels, features] if part.name.ends_with("weights") => {
                    (size * size * channels, size * size * features)
                }
                _ => (1, numbers.len()),
            };
            let xavier = (6.0 / (inputs + outputs) as f64).sqrt();
            let uniform = |rng: &mut ChaCha8Rng, within: f64| match within > 0.0 {
                true => rng.gen_range(-within..within) as f32,
                false => 0.0,
            };
            match part.name.rsplit('.').next() {
                Some("weights") => {
                    let gain = match part.name.split('.').next() {
                        Some("features") => start.feature_gain,
                        Some("deep") => std::f64::consts::SQRT_2, // ReLU halves the mean square, this doubles it
                        Some("poses") => start.pose_gain,
                        _ => 1.0,
                    };
                    numbers.iter_mut().for_each(|w| *w = uniform(rng, gain * xavier));
                }
                Some("bias") if part.name.starts_with("poses") => {
                    for pose in numbers.as_chunks_mut::<ELEMENTS>().0 {
                        (0..ELEMENTS).step_by(5).for_each(|h| pose[h] = start.pose_identity as f32);
                    }
                }
                Some(letter @ ("beta_v" | "beta_a")) => {
                    let from = if letter == "beta_v" { start.beta_v } else { start.beta_a } as f32;
                    numbers
                        .iter_mut()
                        .for_each(|beta| *beta = from + uniform(rng, start.beta_spread * xavier));
                }
                Some("transforms") => {
                    for (at, w) in numbers.iter_mut().enumerate() {
                        let on_diagonal = (at % ELEMENTS).is_multiple_of(5); // elements 0, 5, 10, 15
                        let identity = if on_diagonal { start.transform_identity } else { 0.0 };
                        *w = (start.transform_deviation * truncated_normal(rng) + identity) as f32;
                    }
                }
                _ => {} // biases start at 0
            }
        }
        Ok(net)
    }

    /// A network whose parameters are all 0, to be filled by hand or from a file.
    ///
    /// # Errors
    ///
    /// As [`CapsNet::new`].
    pub fn zeros(config: CapsNetConfig) -> Result<CapsNet> {
        let net = CapsNet { parameters: Parameters::zeros(&CapsNet::layout(&config)?), config };
        net.kernels(1, 1)?;
        Ok(net)
    }

    /// Names and shapes of all that such a network learns, in the order of its vector. Nothing of that size is made.
    ///
    /// # Errors
    ///
    /// As [`CapsNetConfig::check`], and more than 2^26 parameters.
    pub fn layout(config: &CapsNetConfig) -> Result<Vec<(String, Vec<usize>)>> {
        config.check()?;
        let CapsNetConfig { channels, features, deep_features, primary, first, second, classes, .. } =
            *config;
        let neighbours = NEIGHBOURHOOD * NEIGHBOURHOOD;
        let mut layout = Vec::new();
        let convolution = |layer: &str, size, channels, features| {
            [
                (format!("{layer}.weights"), vec![size, size, channels, features]),
                (format!("{layer}.bias"), vec![features]),
            ]
        };
        layout.extend(convolution("features", WINDOW, channels, features));
        let mut below = features;
        if deep_features > 0 {
            layout.extend(convolution("deep", DEEP_WINDOW, features, deep_features));
            below = deep_features;
        }
        layout.extend(convolution("poses", 1, below, primary * ELEMENTS));
        layout.extend(convolution("activations", 1, below, primary));
        let children = [neighbours * primary, neighbours * first, second];
        for ((layer, children), parents) in ROUTED.into_iter().zip(children).zip([first, second, classes]) {
            layout.push((format!("{layer}.transforms"), vec![children, parents, 4, 4]));
            layout.push((format!("{layer}.beta_v"), vec![parents]));
            layout.push((format!("{layer}.beta_a"), vec![parents]));
        }
        let size = |(_, shape): &(String, Vec<usize>)| shape.iter().map(|&size| size as f64).product::<f64>();
        let value = layout.iter().map(size).sum();
        if value > MOST_PARAMETERS as f64 {
            return Err(Error::Setting {
                name: "the number of parameters",
                expected: "at most 67108864",
                value,
            });
        }
        Ok(layout)
    }

    /// What it is made of.
    pub fn config(&self) -> &CapsNetConfig {
        &self.config
    }

    /// What it has learnt.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// What it has learnt, to be changed.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    /// All layers' outputs for a batch of pixels (images x height x width x channels), on so many threads (0: one for each core).
    /// The result does not depend on their number.
    ///
    /// # Errors
    ///
    /// Pixels that are not a whole number of images, and at least one; numbers that are not finite.
    pub fn forward(&self, pixels: &[f32], threads: usize) -> Result<Pass> {
        self.forward_and(pixels, threads, false)
    }

    /// The same, keeping what spares [`CapsNet::backward`] the routing: what a training step calls. The blog's network takes 0.55 MiB
    /// for each image and iteration.
    ///
    /// # Errors
    ///
    /// As [`CapsNet::forward`].
    pub fn forward_keeping(&self, pixels: &[f32], threads: usize) -> Result<Pass> {
        self.forward_and(pixels, threads, true)
    }

    fn forward_and(&self, pixels: &[f32], threads: usize, keep: bool) -> Result<Pass> {
        let CapsNetConfig { height, width, channels, .. } = self.config;
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
        let part = |name: &str| self.parameters.part(name).expect("a part of the layout");
        let (shallow, deep) = self.feature_layers(images, threads);
        let [poses, activations] = self.primary_maps(images, threads);

        let Pooled { y: features, winners: of_features } =
            shallow.forward(pixels, part("features.weights"), part("features.bias"));
        let Pooled { y: deep_features, winners: of_deep } = match deep {
            Some(deep) => deep.forward(&features, part("deep.weights"), part("deep.bias")),
            None => Pooled { y: Vec::new(), winners: Vec::new() },
        };
        let seen = if deep.is_some() { &deep_features } else { &features };
        // pose = W x + b, activation = sigmoid(w x + b)
        let mut primary = LayerOutput {
            poses: poses.forward(seen, part("poses.weights"), part("poses.bias")),
            activations: activations.forward(seen, part("activations.weights"), part("activations.bias")),
        };
        primary.activations.iter_mut().for_each(|a| *a = 1.0 / (1.0 + (-*a).exp()));
        let kernels = self.kernels(images, threads)?;
        let mut kept = Vec::new();
        let mut route = |layer: usize, below: &LayerOutput| {
            let input = self.layer_input(layer, below);
            if !keep {
                return kernels[layer].forward(&input);
            }
            let (above, found) = kernels[layer].forward_keeping(&input)?;
            kept.push(found);
            Ok(above)
        };
        let first = route(0, &primary)?;
        let second = route(1, &first)?;
        let class = route(2, &second)?;
        let kept = keep.then_some(kept);
        let (pixels, winners) = (pixels.to_vec(), [of_features, of_deep]);
        Ok(Pass { images, pixels, features, deep_features, winners, primary, first, second, class, kept })
    }

    /// The gradient of a loss with respect to all parameters, from that with respect to the activations of the classes
    /// (images x E), of what [`CapsNet::forward`] made.
    ///
    /// # Errors
    ///
    /// A length that does not fit.
    pub fn backward(&self, pass: &Pass, d_activations: &[f32], threads: usize) -> Result<Parameters> {
        let mut gradient = self.parameters.zeros_like();
        let mut keep = |name: &str, numbers: &[f32]| {
            gradient.part_mut(name).expect("a part of the layout").copy_from_slice(numbers);
        };
        let kernels = self.kernels(pass.images, threads)?;
        let below = [&pass.primary, &pass.first, &pass.second];
        let mut above =
            LayerOutput { poses: vec![0.0; pass.class.poses.len()], activations: d_activations.to_vec() };
        for layer in (0..ROUTED.len()).rev() {
            let input = self.layer_input(layer, below[layer]);
            let d = match &pass.kept {
                Some(kept) => {
                    kernels[layer].backward_kept(&input, &kept[layer], &above.poses, &above.activations)?
                }
                None => kernels[layer].backward(&input, &above.poses, &above.activations)?,
            };
            keep(&format!("{}.transforms", ROUTED[layer]), &d.d_transforms);
            keep(&format!("{}.beta_v", ROUTED[layer]), &d.d_beta_v);
            keep(&format!("{}.beta_a", ROUTED[layer]), &d.d_beta_a);
            above = LayerOutput { poses: d.d_poses, activations: d.d_activations };
        }
        // a = sigmoid(x) gives dx = a (1 - a) da
        for (d, a) in above.activations.iter_mut().zip(&pass.primary.activations) {
            *d *= a * (1.0 - a);
        }
        let part = |name: &str| self.parameters.part(name).expect("a part of the layout");
        let (shallow, deep) = self.feature_layers(pass.images, threads);
        let [poses, activations] = self.primary_maps(pass.images, threads);
        let seen = if deep.is_some() { &pass.deep_features } else { &pass.features };
        let to_poses = poses.backward(seen, part("poses.weights"), &above.poses, true);
        let to_activations =
            activations.backward(seen, part("activations.weights"), &above.activations, true);
        let mut d_seen: Vec<f32> =
            to_poses.d_x.iter().zip(&to_activations.d_x).map(|(one, other)| one + other).collect();
        let [of_features, of_deep] = &pass.winners;
        if let Some(deep) = deep {
            let found = (&pass.deep_features[..], &of_deep[..]);
            let to_deep = deep.backward(&pass.features, part("deep.weights"), found, &d_seen, true);
            keep("deep.weights", &to_deep.d_weights);
            keep("deep.bias", &to_deep.d_bias);
            d_seen = to_deep.d_x;
        }
        let found = (&pass.features[..], &of_features[..]);
        let to_features = shallow.backward(&pass.pixels, part("features.weights"), found, &d_seen, false);
        for (layer, d) in [("features", to_features), ("poses", to_poses), ("activations", to_activations)] {
            keep(&format!("{layer}.weights"), &d.d_weights);
            keep(&format!("{layer}.bias"), &d.d_bias);
        }
        Ok(gradient)
    }

    /// The features, and the features of these where the network has them.
    fn feature_layers(&self, images: usize, threads: usize) -> (FeatureLayer, Option<FeatureLayer>) {
        let CapsNetConfig { height, width, channels, features, deep_features, pooling, .. } = self.config;
        let sides = (height, width);
        let shallow = FeatureLayer { images, sides, channels, features, size: WINDOW, pooling, threads };
        let deep = FeatureLayer {
            sides: shallow.grid(),
            channels: features,
            features: deep_features,
            size: DEEP_WINDOW,
            ..shallow
        };
        (shallow, (deep_features > 0).then_some(deep))
    }

    /// The two convolutions 1 x 1 that make the primary capsules' poses and activations.
    fn primary_maps(&self, images: usize, threads: usize) -> [Convolution; 2] {
        let (shallow, deep) = self.feature_layers(images, threads);
        let below = deep.unwrap_or(shallow);
        let ((height, width), channels) = (below.grid(), below.features);
        [ELEMENTS, 1].map(|numbers| Convolution {
            images,
            height,
            width,
            channels,
            features: self.config.primary * numbers,
            size: 1,
            stride: 1,
            threads,
        })
    }

    /// The shapes of the three layers that route.
    pub fn layer_shapes(&self, images: usize) -> [LayerShape; 3] {
        let CapsNetConfig { primary, first, second, classes, .. } = self.config;
        let near = |stride| Reach::Neighbourhood { size: NEIGHBOURHOOD, stride };
        // what deep features halve, the first capsules need not
        let (shallow, deep) = self.feature_layers(images, 1);
        let (stride, (height, width)) = deep.map_or((2, shallow.grid()), |deep| (1, deep.grid()));
        let below = |length: usize| {
            let first = (length - NEIGHBOURHOOD) / stride + 1;
            [length, first, first + 1 - NEIGHBOURHOOD]
        };
        let (rows, columns) = (below(height), below(width));
        let shape = |at: usize, capsules, parents, reach| LayerShape {
            images,
            height: rows[at],
            width: columns[at],
            capsules,
            parents,
            reach,
        };
        [
            shape(0, primary, first, near(stride)),
            shape(1, first, second, near(1)),
            shape(2, second, classes, Reach::Everywhere),
        ]
    }

    /// How a layer routes one image of a pass: votes, responsibilities and all else of each iteration, in f64. The layers are
    /// numbered as in [`CapsNet::layer_shapes`]: 0 is the first that routes, 2 that of the classes.
    ///
    /// # Errors
    ///
    /// No layer or no image of this number, and as [`CapsuleLayer::forward`].
    pub fn layer_routing(&self, pass: &Pass, layer: usize, image: usize) -> Result<CapsuleLayerRun> {
        let check = |name, expected, number: usize, count: usize| match number < count {
            true => Ok(()),
            false => Err(Error::Setting { name, expected, value: number as f64 }),
        };
        check("the number of the layer", "from 0 to 2", layer, ROUTED.len())?;
        check("the number of the image", "one of the pass, from 0", image, pass.images)?;
        let shape = self.layer_shapes(1)[layer];
        let wide = |numbers: &[f32]| numbers.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let size = shape.height * shape.width * shape.capsules;
        let grid = (1, shape.height, shape.width, shape.capsules);
        let input = self.layer_input(layer, [&pass.primary, &pass.first, &pass.second][layer]);
        let fits = "the shape of the layer";
        let below = Capsules {
            poses: Array::from_shape_vec(
                (grid.0, grid.1, grid.2, grid.3, ELEMENTS),
                wide(&input.poses[image * size * ELEMENTS..][..size * ELEMENTS]),
            )
            .expect(fits),
            activations: Array::from_shape_vec(grid, wide(&input.activations[image * size..][..size]))
                .expect(fits),
        };
        let children = input.transforms.len() / (shape.parents * ELEMENTS);
        let layer = CapsuleLayer {
            reach: shape.reach,
            transforms: Array::from_shape_vec((children, shape.parents, 4, 4), wide(input.transforms))
                .expect(fits),
            beta_v: wide(input.beta_v).into(),
            beta_a: wide(input.beta_a).into(),
        };
        layer.forward(&below, &self.config.routing)
    }

    fn kernels(&self, images: usize, threads: usize) -> Result<Vec<Kernel>> {
        let shapes = self.layer_shapes(images);
        shapes.into_iter().map(|shape| Kernel::new(shape, &self.config.routing, threads)).collect()
    }

    fn layer_input<'a>(&'a self, layer: usize, below: &'a LayerOutput) -> LayerInput<'a> {
        let part = |letter: &str| {
            let name = format!("{}.{letter}", ROUTED[layer]);
            self.parameters.part(&name).expect("a part of the layout")
        };
        LayerInput {
            poses: &below.poses,
            activations: &below.activations,
            transforms: part("transforms"),
            beta_v: part("beta_v"),
            beta_a: part("beta_a"),
        }
    }
}

/// Draws from the standard normal distribution, truncated to within two standard deviations.
fn truncated_normal(rng: &mut impl Rng) -> f64 {
    loop {
        let x: f64 = rng.sample(StandardNormal);
        if x.abs() <= 2.0 {
            return x;
        }
    }
}
