//! The architecture of a network: its sizes, its routing, and the initial distribution of its parameters.

use serde::{Deserialize, Serialize};

use super::layers::{Average, Dense, Features, Grid, Layer, Primary, Routed};
use super::parameters::ParameterSpec;
use super::settings::check_sizes;
use crate::data::idx::Form;
use crate::error::{Error, Result};
use crate::routing::{CostScale, InverseTemperature, Reach, RoutingOptions};
use crate::words::words;

/// The side of the first convolution's window.
const WINDOW: usize = 5;
/// The side of the window of the deep features' convolutions.
const DEEP_WINDOW: usize = 3;
/// The names and titles of the layers of deep features.
const DEEP: [(&str, &str); 4] = [
    ("deep", "deep features"),
    ("deep2", "deep features 2"),
    ("deep3", "deep features 3"),
    ("deep4", "deep features 4"),
];
/// A factor on Xavier's bound before a ReLU, which halves the mean square: the gain doubles it again.
const RELU_GAIN: f64 = std::f64::consts::SQRT_2;
/// The side of a capsule layer's neighbourhood.
const NEIGHBOURHOOD: usize = 3;

/// The largest number of parameters: 2^26, hundreds of times the blog's. This limit keeps mistyped sizes from exhausting the
/// memory.
pub(super) const MOST_PARAMETERS: usize = 1 << 26;

/// The layers of a network, their sizes and their routing.
///
/// | layer | output, for 28 x 28 | parameters |
/// |---|---|---|
/// | `features`: convolution 5 x 5, max pooling, ReLU | 14 x 14 x A | `features.weights`, `features.bias` |
/// | `deep`: convolution 3 x 3 of the features, max pooling, ReLU; optional | 7 x 7 x `deep_features` | `deep.*` |
/// | `deep2` to `deep4`: convolution 3 x 3, ReLU; as many as `deep_layers` says | 7 x 7 x `deep_features` | `deep2.*`, … |
/// | `primary`: poses and activations, from a linear map of the features at each position | 7 x 7 x B | `poses.*`, `activations.*` |
/// | `first`: capsules, routed from 3 x 3 neighbourhoods | 5 x 5 x C | `first.transforms`, `first.beta_v`, `first.beta_a` |
/// | `second`: likewise | 3 x 3 x D | `second.*` |
/// | `class`: capsules, routed from all positions, with one transform for each kind of capsule and coordinate addition | E | `class.*` |
///
/// Without deep features, as in the blog, the grid of the primary capsules is 14 x 14. The layer `first` then has a stride of 2, so
/// its grid is 6 x 6 and that of `second` is 4 x 4.
///
/// The plain networks ([`NetworkKind`]) have the same features, then dense layers instead of capsules. Max pooling drops the last row
/// and column of an odd side, and the deep features after the first have twice as many kinds. Here with [`Architecture::plain`]:
///
/// | layer | output, for 28 x 28 | parameters |
/// |---|---|---|
/// | `features`, `deep`: as above | 14 x 14 x A, 7 x 7 x `deep_features` | |
/// | `deep2`: convolution 3 x 3, max pooling, ReLU | 3 x 3 x 2 `deep_features` | `deep2.*` |
/// | `hidden`: dense layer, ReLU | `hidden` | `hidden.weights`, `hidden.bias` |
/// | `class`: dense layer; the output is a logit for each class | E | `class.*` |
///
/// ```
/// use em_routing::prelude::*;
/// let architecture = Architecture { features: 8, deep_features: 16, ..Architecture::default() };
/// let net = CapsNet::new(architecture, 1)?;
/// assert_eq!(net.layers()[1].name, "deep");
/// # Ok::<(), em_routing::error::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Architecture {
    /// Capsules, or a plain network to compare them with.
    pub network: NetworkKind,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Channels of an image: 1 for grey. Only `forward` and `backward` take more: [`Images`](crate::data::idx::Images), and with them
    /// training and evaluation, are grey.
    pub channels: usize,
    /// A: features of the first convolution.
    pub features: usize,
    /// Features of the second convolution; 0 for no second convolution, as in the blog. With a second convolution, the first
    /// capsule layer's stride is 1 instead of 2.
    pub deep_features: usize,
    /// The number of layers of deep features, from 1 to 4. The first halves the grid, the others keep it; [`NetworkKind::Plain`] halves
    /// it twice. Without deep features this number has no effect.
    pub deep_layers: usize,
    /// How the first two convolutions halve the height and width of their input.
    pub pooling: Pooling,
    /// B: kinds of primary capsules.
    pub primary: usize,
    /// C: kinds of capsules in the first routed layer.
    pub first: usize,
    /// D: kinds of capsules in the second routed layer.
    pub second: usize,
    /// E: class capsules.
    pub classes: usize,
    /// Outputs of the hidden dense layer of a plain network.
    pub hidden: usize,
    /// Whether the files store each image column by column, as EMNIST's do ([`Form::transposed`]).
    pub transposed: bool,
    /// The label of the first class in the files: 0, or 1 for EMNIST's letters ([`Form::first_label`]).
    pub first_label: usize,
    /// The options of the routing between capsule layers.
    #[serde(flatten)]
    pub routing: RoutingOptions,
    /// The initial distribution of the parameters.
    #[serde(flatten)]
    pub start: Initialiser,
}

/// The kind of network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NetworkKind {
    /// Features, primary capsules and routed capsules.
    Capsules,
    /// Features, a hidden dense layer that sees all positions, and a dense layer for the classes.
    Plain,
    /// Features, their mean over all positions, and the same dense layers.
    PlainPooled,
}

/// How a convolution halves the height and width of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Pooling {
    /// A stride of 2, as in the blog and the paper.
    None,
    /// 2 x 2 max pooling: keeps the largest number of each 2 x 2 window, so shifting a stroke by one pixel changes little.
    Max,
}

/// The initial distribution of the parameters.
///
/// The weights of convolutions are drawn from Xavier's uniform distribution, with the bound sqrt(6 / (inputs + outputs)). For the
/// deep features, the bound is sqrt(2) times as large. Biases start at 0, except for `pose_identity`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Initialiser {
    /// A factor on Xavier's bound in the first convolution: 1 in the blog.
    pub feature_gain: f64,
    /// A factor on Xavier's bound in the map from features to poses.
    pub pose_gain: f64,
    /// The bias on the diagonal of each primary capsule's pose: 0 in the blog.
    pub pose_identity: f64,
    /// The standard deviation of the transforms' elements: 1 in the blog. The elements are normal, truncated at two standard
    /// deviations.
    pub transform_deviation: f64,
    /// A number added to each transform's diagonal: 0 in the blog.
    pub transform_identity: f64,
    /// The spread of the betas, 1 in the blog. Betas are drawn uniformly from mean ± spread * sqrt(6 / (1 + parents)).
    pub beta_spread: f64,
    /// The mean of beta_v: 0 in the blog.
    pub beta_v: f64,
    /// The mean of beta_a: 0 in the blog.
    pub beta_a: f64,
}

words!(NetworkKind, "capsules, plain or plain-pooled":
    "capsules" => Capsules, "plain" => Plain, "plain-pooled" => PlainPooled;);
words!(Pooling, "none or max": "none" => None, "max" => Max;);

impl Architecture {
    /// Returns the blog's architecture, as printed, for grey images of 28 x 28.
    pub fn blog() -> Architecture {
        Architecture {
            network: NetworkKind::Capsules,
            height: 28,
            width: 28,
            channels: 1,
            features: 32,
            deep_features: 0,
            deep_layers: 1,
            pooling: Pooling::None,
            primary: 32,
            first: 32,
            second: 32,
            classes: 10,
            hidden: 194,
            transposed: false,
            first_label: 0,
            routing: RoutingOptions::blog(),
            start: Initialiser {
                feature_gain: 1.0,
                pose_gain: 1.0,
                pose_identity: 0.0,
                transform_deviation: 1.0,
                transform_identity: 0.0,
                beta_spread: 1.0,
                beta_v: 0.0,
                beta_a: 0.0,
            },
        }
    }

    /// Returns a plain network of 318,816 parameters for 28 x 28: as many as the blog's network, a tenth fewer than the default's.
    pub fn plain() -> Architecture {
        Architecture { network: NetworkKind::Plain, deep_layers: 2, ..Architecture::default() }
    }

    /// Returns a plain network with global average pooling. For images of any size it has 357,801 parameters, 1 % more than the default
    /// network.
    pub fn plain_pooled() -> Architecture {
        Architecture {
            network: NetworkKind::PlainPooled,
            deep_features: 75,
            deep_layers: 3,
            ..Architecture::default()
        }
    }

    /// Returns the form in which the files hold images and labels.
    pub fn form(&self) -> Form {
        Form { classes: self.classes, transposed: self.transposed, first_label: self.first_label }
    }

    /// Returns the name, shape, initial distribution and weight decay of each parameter array, in the order of the parameter vector.
    /// Does not allocate the vector.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Architecture::check`], and an error if there are more than 2^26 parameters.
    pub fn parameters(&self) -> Result<Vec<ParameterSpec>> {
        let specs: Vec<_> = self.layers()?.iter().flat_map(|layer| layer.parameters()).collect();
        let value = specs.iter().map(ParameterSpec::count).sum();
        if value > MOST_PARAMETERS as f64 {
            return Err(Error::Setting {
                name: "the number of parameters",
                expected: "at most 67108864",
                value,
            });
        }
        Ok(specs)
    }

    /// Returns the layers in order, from the first features to the classes.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Architecture::check`].
    pub(crate) fn layers(&self) -> Result<Vec<Box<dyn Layer>>> {
        self.check_sizes()?;
        let mut layers = self.feature_layers();
        match self.network {
            NetworkKind::Capsules => self.add_capsules(&mut layers)?,
            NetworkKind::Plain => self.add_dense(&mut layers),
            NetworkKind::PlainPooled => {
                layers.push(Box::new(Average { below: self.top(&layers) }));
                self.add_dense(&mut layers);
            }
        }
        Ok(layers)
    }

    /// Returns the grid of the last of these layers, or that of an image.
    fn top(&self, layers: &[Box<dyn Layer>]) -> Grid {
        let image = Grid { rows: self.height, columns: self.width, kinds: self.channels };
        layers.last().map_or(image, |layer| layer.grid())
    }

    fn feature_layers(&self) -> Vec<Box<dyn Layer>> {
        let plain = self.network != NetworkKind::Capsules;
        let mut layers: Vec<Box<dyn Layer>> = vec![Box::new(Features {
            name: "features",
            title: "features",
            below: self.top(&[]),
            features: self.features,
            size: WINDOW,
            pooling: Some(self.pooling),
            whole: plain,
            gain: self.start.feature_gain,
        })];
        let deep_layers = if self.deep_features > 0 { self.deep_layers } else { 0 };
        for (at, (name, title)) in DEEP.into_iter().take(deep_layers).enumerate() {
            let halves = at == 0 || (at == 1 && self.network == NetworkKind::Plain);
            layers.push(Box::new(Features {
                name,
                title,
                below: self.top(&layers),
                features: if plain && at > 0 { 2 * self.deep_features } else { self.deep_features },
                size: DEEP_WINDOW,
                pooling: halves.then_some(self.pooling),
                whole: plain,
                gain: RELU_GAIN,
            }));
        }
        layers
    }

    fn add_capsules(&self, layers: &mut Vec<Box<dyn Layer>>) -> Result<()> {
        let Architecture { routing, start, .. } = self;
        // the deep features already halve the grid, so the first capsule layer need not
        let near = |stride| Reach::Neighbourhood { size: NEIGHBOURHOOD, stride };
        let stride = if self.deep_features > 0 { 1 } else { 2 };
        layers.push(Box::new(Primary { below: self.top(layers), capsules: self.primary, start: *start }));
        for (name, capsules, reach) in [
            ("first", self.first, near(stride)),
            ("second", self.second, near(1)),
            ("class", self.classes, Reach::Everywhere),
        ] {
            layers.push(Box::new(Routed::new(name, self.top(layers), capsules, reach, routing, start)?));
        }
        Ok(())
    }

    fn add_dense(&self, layers: &mut Vec<Box<dyn Layer>>) {
        for (name, outputs, relu, gain) in
            [("hidden", self.hidden, true, RELU_GAIN), ("class", self.classes, false, 1.0)]
        {
            layers.push(Box::new(Dense { name, below: self.top(layers), outputs, relu, gain }));
        }
    }

    /// Checks that a network with this architecture can be built.
    ///
    /// # Errors
    ///
    /// Returns an error if a size is 0 or above 2^16, if the image is too small for the layers, if a number is out of its range, or if
    /// the fused kernel does not support the routing options.
    pub fn check(&self) -> Result<()> {
        self.layers().map(drop)
    }

    fn check_sizes(&self) -> Result<()> {
        check_sizes(&[
            (self.height, "rows of an image"),
            (self.width, "columns of an image"),
            (self.channels, "channels"),
            (self.features, "features"),
            (self.deep_features.max(1), "deep features"), // 0 is allowed
            (self.primary, "primary capsules"),
            (self.first, "capsules of the first layer"),
            (self.second, "capsules of the second layer"),
            (self.classes, "classes"),
            (self.hidden, "outputs of the hidden layer"),
            (self.routing.iterations, "iterations"),
        ])?;
        // A plain network halves a side up to three times.
        // Without deep features, the features halve a side, the first capsule layer (3 x 3, stride 2) halves it again, and the second
        // subtracts 2. With deep features, both convolutions halve it, and both capsule layers subtract 2.
        let (least, expected) = match (self.network, self.deep_features) {
            (NetworkKind::Plain | NetworkKind::PlainPooled, _) => (8, "at least 8"),
            (NetworkKind::Capsules, 0) => (13, "at least 13"),
            (NetworkKind::Capsules, _) => (17, "at least 17 (13 without deep features)"),
        };
        let side = self.height.min(self.width);
        if side < least {
            return Err(Error::Setting { name: "the side of an image", expected, value: side as f64 });
        }
        if !(1..=DEEP.len()).contains(&self.deep_layers) {
            let (name, value) = ("deep-layers", self.deep_layers as f64);
            return Err(Error::Setting { name, expected: "from 1 to 4", value });
        }
        if self.first_label > 255 {
            let (name, value) = ("first-label", self.first_label as f64);
            return Err(Error::Setting { name, expected: "at most 255", value });
        }
        let start = &self.start;
        // these bounds keep the draws and their sums finite in f32
        let gain: (fn(f64) -> bool, _) = (|value| (0.0..=1e30).contains(&value), "from 0 to 1e30");
        let mean: (fn(f64) -> bool, _) = (|value| value.abs() <= 1e30, "within 1e30 of 0");
        for (name, value, (is_good, expected)) in [
            ("feature-gain", start.feature_gain, gain),
            ("pose-gain", start.pose_gain, gain),
            ("pose-identity", start.pose_identity, mean),
            ("transform-deviation", start.transform_deviation, gain),
            ("transform-identity", start.transform_identity, mean),
            ("beta-spread", start.beta_spread, gain),
            ("beta-v", start.beta_v, mean),
            ("beta-a", start.beta_a, mean),
        ] {
            if !is_good(value) {
                return Err(Error::Setting { name, expected, value });
            }
        }
        self.routing.check()
    }
}

impl Default for Architecture {
    /// Returns the architecture of the shipped weights: the blog's with two routing iterations, max pooling and deep features.
    ///
    /// Costs are scaled by parents / children, poses start near the identity, and activations start unsaturated. With the blog's
    /// initial distribution the votes shrink from layer to layer (standard deviations of 0.12, then 0.05), and its
    /// normalised costs with lambda = 3 saturate many activations whatever the votes are (chapter 9). Here the votes keep their
    /// size, so the activations depend on the digit.
    fn default() -> Self {
        Architecture {
            deep_features: 64,
            pooling: Pooling::Max,
            routing: RoutingOptions {
                iterations: 2,
                inverse_temperature: InverseTemperature::Constant(0.5),
                cost_scale: CostScale::PerChildOfParent { factor: 1.0 },
                ..RoutingOptions::default()
            },
            start: Initialiser {
                feature_gain: 5.0,
                pose_gain: 1.0,
                pose_identity: 1.0,
                transform_deviation: 0.3,
                transform_identity: 1.0,
                beta_spread: 0.0,
                beta_v: 1.2,
                beta_a: -2.0,
            },
            ..Architecture::blog()
        }
    }
}
