//! What a network and its training are made of: every choice in one place, each with a name by which a file or a command sets it.

use std::fmt;
use std::str::FromStr;

use crate::data::idx::Form;
use crate::error::{Error, Result};
use crate::routing::{Competition, CostScale, InverseTemperature, RoutingOptions, RoutingStart};

/// The sizes of a network, its routing, how it starts and how it is trained.
///
/// ```
/// use em_routing::capsnet::CapsNetConfig;
/// let mut config = CapsNetConfig::default();
/// config.set("iterations", "2")?;
/// assert_eq!(config.routing.iterations, 2);
/// assert!(config.set("iterations", "two").is_err());
/// # Ok::<(), em_routing::error::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CapsNetConfig {
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Numbers for each pixel: 1 for grey.
    pub channels: usize,
    /// A: features of the first convolution.
    pub features: usize,
    /// Features of a second convolution, of the first one's features; with it the first capsule layer has a stride of 1 instead of
    /// 2. 0: there is none, as in the blog.
    pub deep_features: usize,
    /// How each of the two halves the sides of what it sees.
    pub pooling: Pooling,
    /// B: primary capsules at each position.
    pub primary: usize,
    /// C: capsules of the first convolutional capsule layer.
    pub first: usize,
    /// D: those of the second.
    pub second: usize,
    /// E: class capsules.
    pub classes: usize,
    /// Whether the files hold each image column by column, as EMNIST's do ([`Form::transposed`]).
    pub transposed: bool,
    /// The label of the first class in the files: 0, or 1 for EMNIST's letters ([`Form::first_label`]).
    pub first_label: usize,
    /// The routing between all layers of capsules.
    pub routing: RoutingOptions,
    /// What the parameters are drawn from.
    pub start: Initialiser,
    /// How it is trained.
    pub training: Recipe,
}

/// How features get to a grid of half the sides of what they are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The convolution's windows stand two places apart: the blog and the paper.
    None,
    /// They stand at every place, and of each 2 x 2 the greatest is kept, so that a stroke that moves by a pixel changes little.
    Max,
}

/// What the parameters are drawn from. The convolutions' are Xavier's: uniform within sqrt(6 / (inputs + outputs)), that of deep
/// features within sqrt(2) times as much; the biases 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Initialiser {
    /// What Xavier's bounds are multiplied by in the first convolution: 1 in the blog.
    pub feature_gain: f64,
    /// The same in the map from features to poses.
    pub pose_gain: f64,
    /// Where the diagonal of each primary capsule's pose starts (its bias): 0 in the blog.
    pub pose_identity: f64,
    /// Standard deviation of the transforms' elements, a normal distribution cut off at two of it: 1 in the blog.
    pub transform_deviation: f64,
    /// What is added to the diagonal of each transform: 0 in the blog.
    pub transform_identity: f64,
    /// The betas are uniform within this times sqrt(6 / (1 + parents)) of where they start: 1 in the blog.
    pub beta_spread: f64,
    /// Where beta_v starts: 0 in the blog.
    pub beta_v: f64,
    /// Where beta_a starts: 0 in the blog.
    pub beta_a: f64,
}

/// How a network is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recipe {
    /// Images of a step.
    pub batch: usize,
    /// How often each image is seen. The margin and the learning rate may depend on it.
    pub epochs: usize,
    /// Adam's learning rate, at its highest.
    pub learning_rate: f64,
    /// Its course.
    pub schedule: Schedule,
    /// Of the squared size of weights and transforms, decoupled from Adam: `w -= learning rate * weight_decay * w`.
    pub weight_decay: f64,
    /// What keeps a gradient from being too long.
    pub clipping: Clipping,
    /// The margin of the spread loss.
    pub margin: Margin,
    /// Whether the loss is the mean over a batch (the blog: the sum).
    pub mean_loss: bool,
    /// By how many pixels each image may be moved, up or down and to either side, anew in each epoch; 0: not at all, as the blog.
    pub shift: usize,
    /// The decay of the running average of the parameters that is evaluated and saved; 0: the parameters themselves.
    pub averaging: f64,
}

/// The course of the learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// Always the same: the blog.
    Constant,
    /// Up in equal steps within the first 2 % of the training (200 steps at least, but no more than a quarter of it), then down along
    /// half a cosine to 0 at its end.
    Cosine,
}

/// What keeps a gradient from being too long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clipping {
    /// Nothing.
    None,
    /// Each part of the parameters has a gradient no longer than this: the blog, 4.
    Parts(f64),
    /// The gradient as a whole is no longer than this.
    Whole(f64),
}

/// The margin of the spread loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Margin {
    /// 0.2 in the first epoch, then 0.1 more each epoch, up to 0.9: the blog.
    Epochs,
    /// From 0.2 to 0.9 in equal steps over this share of the training.
    Ramp(f64),
    /// Always the same.
    Constant(f64),
}

impl CapsNetConfig {
    /// The blog's network and its training, as printed, for grey images of 28 x 28.
    pub fn blog() -> CapsNetConfig {
        CapsNetConfig {
            height: 28,
            width: 28,
            channels: 1,
            features: 32,
            deep_features: 0,
            pooling: Pooling::None,
            primary: 32,
            first: 32,
            second: 32,
            classes: 10,
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
            training: Recipe {
                batch: 24,
                epochs: 10,
                learning_rate: 1e-3,
                schedule: Schedule::Constant,
                weight_decay: 0.0,
                clipping: Clipping::Parts(4.0),
                margin: Margin::Epochs,
                mean_loss: false,
                shift: 0,
                averaging: 0.0,
            },
        }
    }

    /// How the files of the images are to be read.
    pub fn form(&self) -> Form {
        Form { classes: self.classes, transposed: self.transposed, first_label: self.first_label }
    }

    /// Every setting by its name, as [`CapsNetConfig::set`] takes it.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        SETTINGS.iter().map(|setting| (setting.name, (setting.get)(self))).collect()
    }

    /// Every setting as a `name = value` line, which [`CapsNetConfig::set_lines`] reads.
    pub fn lines(&self) -> String {
        self.settings().into_iter().map(|(name, value)| format!("{name} = {value}\n")).collect()
    }

    /// Changes one setting.
    ///
    /// # Errors
    ///
    /// No setting has this name, or the value is not of its kind.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let setting = SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| Error::Name {
            what: "setting",
            found: name.to_owned(),
            known: SETTINGS.iter().map(|setting| setting.name.to_owned()).collect(),
        })?;
        (setting.set)(self, value.trim()).ok_or_else(|| Error::SettingText {
            name: setting.name,
            expected: setting.expected,
            found: value.trim().to_owned(),
        })
    }

    /// Changes what a text names, a `name = value` a line; what follows a `#` is a remark. Lines may end as on Windows, and a
    /// byte-order mark may stand before the first.
    ///
    /// # Errors
    ///
    /// A line of another form, and as [`CapsNetConfig::set`].
    pub fn set_lines(&mut self, text: &str) -> Result<()> {
        let text = text.trim_start_matches('\u{feff}');
        for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
            if line.is_empty() {
                continue;
            }
            let (name, value) = line.split_once('=').ok_or_else(|| Error::SettingText {
                name: "a line of the settings",
                expected: "name = value",
                found: line.to_owned(),
            })?;
            self.set(name.trim(), value)?;
        }
        Ok(())
    }

    /// Whether a network can be made and trained so.
    ///
    /// # Errors
    ///
    /// A size that is 0 or above 2^16, an image too small for the layers, or a number out of its range.
    pub fn check(&self) -> Result<()> {
        let recipe = &self.training;
        for (size, what) in [
            (self.height, "rows of an image"),
            (self.width, "columns of an image"),
            (self.channels, "channels"),
            (self.features, "features"),
            (self.deep_features.max(1), "deep features"), // there may be none
            (self.primary, "primary capsules"),
            (self.first, "capsules of the first layer"),
            (self.second, "capsules of the second layer"),
            (self.classes, "classes"),
            (self.routing.iterations, "iterations"),
            (recipe.batch, "images of a batch"),
            (recipe.epochs, "epochs"),
        ] {
            if size == 0 {
                return Err(Error::Empty { what });
            }
            if size > 1 << 16 {
                let name = what;
                return Err(Error::Setting { name, expected: "at most 65536", value: size as f64 });
            }
        }
        // features halve an image, then the first capsule layer (K = 3) does, and the second takes 2 off; or deep features halve
        // again, and both layers take 2 off
        let (least, expected) = if self.deep_features > 0 {
            (17, "at least 17 (13 without deep features)")
        } else {
            (13, "at least 13")
        };
        if self.height.min(self.width) < least {
            let (name, value) = ("the side of an image", self.height.min(self.width) as f64);
            return Err(Error::Setting { name, expected, value });
        }
        if recipe.shift >= self.height.min(self.width) {
            let (name, value) = ("shift", recipe.shift as f64);
            return Err(Error::Setting { name, expected: "less than the side of an image", value });
        }
        if self.first_label > 255 {
            let (name, value) = ("first-label", self.first_label as f64);
            return Err(Error::Setting { name, expected: "at most 255", value });
        }
        let clipping = match recipe.clipping {
            Clipping::None => 1.0,
            Clipping::Parts(length) | Clipping::Whole(length) => length,
        };
        let margin = match recipe.margin {
            Margin::Epochs => 1.0,
            Margin::Ramp(margin) | Margin::Constant(margin) => margin,
        };
        let positive: (fn(f64) -> bool, _) = (|value| value > 0.0 && value.is_finite(), "positive");
        // what is drawn and added up from these stays finite in f32
        let gain: (fn(f64) -> bool, _) = (|value| (0.0..=1e30).contains(&value), "from 0 to 1e30");
        let start: (fn(f64) -> bool, _) = (|value| value.abs() <= 1e30, "within 1e30 of 0");
        let not_negative: (fn(f64) -> bool, _) = (|value| (0.0..f64::INFINITY).contains(&value), "0 or more");
        for (name, value, (is_good, expected)) in [
            ("learning-rate", recipe.learning_rate, positive),
            ("clipping", clipping, positive),
            ("margin", margin, positive),
            ("weight-decay", recipe.weight_decay, not_negative),
            ("averaging", recipe.averaging, (|value| (0.0..1.0).contains(&value), "from 0 to below 1")),
            ("feature-gain", self.start.feature_gain, gain),
            ("pose-gain", self.start.pose_gain, gain),
            ("pose-identity", self.start.pose_identity, start),
            ("transform-deviation", self.start.transform_deviation, gain),
            ("transform-identity", self.start.transform_identity, start),
            ("beta-spread", self.start.beta_spread, gain),
            ("beta-v", self.start.beta_v, start),
            ("beta-a", self.start.beta_a, start),
        ] {
            if !is_good(value) {
                return Err(Error::Setting { name, expected, value });
            }
        }
        self.routing.check()
    }
}

impl Default for CapsNetConfig {
    /// What has learnt best so far: the blog's network with two iterations. Its features are the greatest of 2 x 2 places, and its
    /// primary capsules stand on features of these; costs are measured against an even share of the children, poses start near the
    /// identity, and activations undecided. At the blog's start the votes shrink from layer to layer (a standard deviation of 0.12,
    /// then 0.05), and its normalised costs saturate activations whatever the votes say (chapter 9); here the votes keep their size,
    /// and the digits decide.
    fn default() -> Self {
        let blog = CapsNetConfig::blog();
        CapsNetConfig {
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
            training: Recipe {
                batch: 8,
                epochs: 8,
                learning_rate: 3e-3,
                schedule: Schedule::Cosine,
                mean_loss: true,
                margin: Margin::Constant(0.4),
                clipping: Clipping::Whole(1.0),
                averaging: 0.99,
                ..blog.training
            },
            deep_features: 64,
            pooling: Pooling::Max,
            ..blog
        }
    }
}

/// A setting by name.
struct Setting {
    name: &'static str,
    expected: &'static str,
    get: fn(&CapsNetConfig) -> String,
    set: fn(&mut CapsNetConfig, &str) -> Option<()>,
}

macro_rules! setting {
    ($name:literal, $expected:expr, $($field:ident).+) => {
        Setting {
            name: $name,
            expected: $expected,
            get: |config| config.$($field).+.to_string(),
            set: |config, value| value.parse().ok().map(|value| config.$($field).+ = value),
        }
    };
}

const COUNT: &str = "a whole number";
const NUMBER: &str = "a number";
const YES: &str = "true or false";

const SETTINGS: &[Setting] = &[
    setting!("height", COUNT, height),
    setting!("width", COUNT, width),
    setting!("channels", COUNT, channels),
    setting!("features", COUNT, features),
    setting!("deep-features", COUNT, deep_features),
    setting!("pooling", "none or max", pooling),
    setting!("primary", COUNT, primary),
    setting!("first", COUNT, first),
    setting!("second", COUNT, second),
    setting!("classes", COUNT, classes),
    setting!("transposed", YES, transposed),
    setting!("first-label", COUNT, first_label),
    setting!("iterations", COUNT, routing.iterations),
    setting!(
        "inverse-temperature",
        "linear, saturating:LIMIT or constant:LAMBDA",
        routing.inverse_temperature
    ),
    setting!("routing-start", "uniform or one", routing.start),
    setting!("competition", "position or all-positions", routing.competition),
    setting!("normalise-costs", YES, routing.normalise_costs),
    setting!("cost-scale", "one, per-child or per-child-of-parent:FACTOR", routing.cost_scale),
    setting!("deviation-epsilon", NUMBER, routing.deviation_epsilon),
    setting!("cost-epsilon", NUMBER, routing.cost_epsilon),
    setting!("activation-epsilon", NUMBER, routing.activation_epsilon),
    setting!("mass-epsilon", NUMBER, routing.mass_epsilon),
    setting!("variance-floor", NUMBER, routing.variance_floor),
    setting!("mean-damping", NUMBER, routing.mean_damping),
    setting!("stop-gradient", YES, routing.stop_gradient_at_responsibilities),
    setting!("feature-gain", NUMBER, start.feature_gain),
    setting!("pose-gain", NUMBER, start.pose_gain),
    setting!("pose-identity", NUMBER, start.pose_identity),
    setting!("transform-deviation", NUMBER, start.transform_deviation),
    setting!("transform-identity", NUMBER, start.transform_identity),
    setting!("beta-spread", NUMBER, start.beta_spread),
    setting!("beta-v", NUMBER, start.beta_v),
    setting!("beta-a", NUMBER, start.beta_a),
    setting!("batch", COUNT, training.batch),
    setting!("epochs", COUNT, training.epochs),
    setting!("learning-rate", NUMBER, training.learning_rate),
    setting!("schedule", "constant or cosine", training.schedule),
    setting!("weight-decay", NUMBER, training.weight_decay),
    setting!("clipping", "none, parts:LENGTH or whole:LENGTH", training.clipping),
    setting!("margin", "epochs, ramp:SHARE or constant:MARGIN", training.margin),
    setting!("mean-loss", YES, training.mean_loss),
    setting!("shift", COUNT, training.shift),
    setting!("averaging", NUMBER, training.averaging),
];

/// How a choice is written: a word, or a word and a number behind a colon.
macro_rules! words {
    ($kind:ident: $($word:literal => $plain:ident),*; $($with:literal => $numbered:ident $({ $field:ident })?),*) => {
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $($kind::$plain => f.write_str($word),)*
                    $(words!(@pattern $kind $numbered number $($field)?) => write!(f, "{}:{number}", $with),)*
                }
            }
        }

        impl FromStr for $kind {
            type Err = ();
            fn from_str(text: &str) -> std::result::Result<Self, ()> {
                $(if text == $word {
                    return Ok($kind::$plain);
                })*
                $(if let Some(number) = text.strip_prefix(concat!($with, ":")) {
                    let number: f64 = number.parse().map_err(|_| ())?;
                    return Ok(words!(@value $kind $numbered number $($field)?));
                })*
                Err(())
            }
        }
    };
    (@pattern $kind:ident $variant:ident $number:ident) => { $kind::$variant($number) };
    (@pattern $kind:ident $variant:ident $number:ident $field:ident) => { $kind::$variant { $field: $number } };
    (@value $kind:ident $variant:ident $number:ident) => { $kind::$variant($number) };
    (@value $kind:ident $variant:ident $number:ident $field:ident) => { $kind::$variant { $field: $number } };
}

words!(Pooling: "none" => None, "max" => Max;);
words!(Schedule: "constant" => Constant, "cosine" => Cosine;);
words!(Clipping: "none" => None; "parts" => Parts, "whole" => Whole);
words!(Margin: "epochs" => Epochs; "ramp" => Ramp, "constant" => Constant);
words!(InverseTemperature: "linear" => Linear; "saturating" => Saturating { limit }, "constant" => Constant);
words!(CostScale: "one" => One, "per-child" => PerChild; "per-child-of-parent" => PerChildOfParent { factor });
words!(Competition: "position" => Position, "all-positions" => AllPositions;);

impl fmt::Display for RoutingStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RoutingStart::Uniform => "uniform",
            RoutingStart::One => "one",
            RoutingStart::Parents(_) => "parents",
        })
    }
}

impl FromStr for RoutingStart {
    type Err = ();
    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        match text {
            "uniform" => Ok(RoutingStart::Uniform),
            "one" => Ok(RoutingStart::One),
            _ => Err(()),
        }
    }
}
