//! The training recipe: batch, learning-rate schedule, gradient clipping, weight decay and the margin of the loss.

use serde::{Deserialize, Serialize};

use super::loss::margin_at;
use super::settings::check_sizes;
use crate::error::{Error, Result};
use crate::words::words;

/// The warm-up of [`Schedule::Cosine`]: 2 % of all steps, at least 200, but at most a quarter of all.
const WARM_UP: f64 = 0.02;
/// The least warm-up, which short runs need: after one epoch of 11,000 digits, seeds 1 and 2 misclassify 2.5 and 2.0 % with 200
/// warm-up steps, and 13.6 and 9.0 % with 27.
const WARM_UP_STEPS: f64 = 200.0;

/// How a network is trained: batch, learning rate, clipping, loss and averaging.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Recipe {
    /// Images per batch; each step takes one batch.
    pub batch: usize,
    /// The number of passes over the training images. Schedules of margin and learning rate may depend on this number.
    pub epochs: usize,
    /// Adam's peak learning rate.
    pub learning_rate: f64,
    /// The learning-rate schedule.
    pub schedule: Schedule,
    /// Weight decay of weights and transforms, decoupled from Adam: `w -= learning rate * weight_decay * w`.
    pub weight_decay: f64,
    /// Gradient clipping.
    pub clipping: Clipping,
    /// The loss.
    pub loss: Loss,
    /// The margin of the spread loss.
    pub margin: Margin,
    /// Whether the loss is the mean over a batch; the blog takes the sum.
    pub mean_loss: bool,
    /// The largest random shift of an image, vertically and horizontally, in pixels; 0 for no shift, as in the blog. Shifts are
    /// drawn anew in each epoch.
    pub shift: usize,
    /// The decay of the running average of the parameters; 0 turns averaging off. Otherwise, the average is evaluated and saved.
    pub averaging: f64,
    /// The probability with which a step drops each input of a dense layer; 0 for no dropout. Capsule networks have no dense layer.
    pub dropout: f64,
}

/// The learning-rate schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Schedule {
    /// Constant, as in the blog.
    Constant,
    /// Linear warm-up over 2 % of the steps (at least 200, but at most a quarter of them), then half a cosine down to 0.
    Cosine,
}

/// Gradient clipping.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Clipping {
    /// No clipping.
    None,
    /// Scales the gradient of each parameter array down to at most this length; 4 in the blog.
    Parts(f64),
    /// Scales the gradient as a whole down to at most this length.
    Whole(f64),
}

/// The loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Loss {
    /// The spread loss ([`spread_loss`](super::loss::spread_loss)), for the activations of capsules.
    Spread,
    /// The cross-entropy ([`cross_entropy`](super::loss::cross_entropy)), for the logits of a plain network.
    CrossEntropy,
}

/// The margin of the spread loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Margin {
    /// 0.2 in the first epoch, then 0.1 more in each epoch, up to 0.9, as in the blog.
    Epochs,
    /// Grows linearly from 0.2 to 0.9 over this share of the training.
    Ramp(f64),
    /// The same margin throughout.
    Constant(f64),
}

words!(Schedule, "constant or cosine": "constant" => Constant, "cosine" => Cosine;);
words!(Clipping, "none, parts:LENGTH or whole:LENGTH": "none" => None; "parts" => Parts, "whole" => Whole);
words!(Loss, "spread or cross-entropy": "spread" => Spread, "cross-entropy" => CrossEntropy;);
words!(Margin, "epochs, ramp:SHARE or constant:MARGIN":
    "epochs" => Epochs; "ramp" => Ramp, "constant" => Constant);

impl Clipping {
    /// The length of the longest gradient that Adam can take: it squares the numbers in f32, after they are clipped.
    pub(super) fn longest(self) -> f64 {
        let root = f64::from(f32::MAX.sqrt());
        match self {
            Clipping::Parts(length) | Clipping::Whole(length) if length <= root => f64::MAX,
            _ => root,
        }
    }
}

impl Recipe {
    /// Returns the blog's recipe, as printed.
    pub fn blog() -> Recipe {
        Recipe {
            batch: 8,
            epochs: 10,
            learning_rate: 1e-3,
            schedule: Schedule::Constant,
            weight_decay: 0.0,
            clipping: Clipping::Parts(4.0),
            loss: Loss::Spread,
            margin: Margin::Epochs,
            mean_loss: false,
            shift: 0,
            averaging: 0.0,
            dropout: 0.0,
        }
    }

    /// Returns the recipe of the plain networks, as in `benches/peers/cnn.py` with eight epochs. (There the warm-up is 2 % of the
    /// steps; here it is at least 200 steps.)
    pub fn plain() -> Recipe {
        Recipe {
            batch: 16,
            epochs: 8,
            learning_rate: 2e-3,
            schedule: Schedule::Cosine,
            clipping: Clipping::None,
            loss: Loss::CrossEntropy,
            mean_loss: true,
            dropout: 0.3,
            ..Recipe::blog()
        }
    }

    /// Checks that all numbers are in their ranges.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first number out of its range.
    pub fn check(&self) -> Result<()> {
        check_sizes(&[(self.batch, "images of a batch"), (self.epochs, "epochs")])?;
        let clipping = match self.clipping {
            Clipping::None => 1.0,
            Clipping::Parts(length) | Clipping::Whole(length) => length,
        };
        let margin = match self.margin {
            Margin::Epochs => 1.0,
            Margin::Ramp(margin) | Margin::Constant(margin) => margin,
        };
        let positive: (fn(f64) -> bool, _) = (|value| value > 0.0 && value.is_finite(), "positive");
        let share: (fn(f64) -> bool, _) = (|value| (0.0..1.0).contains(&value), "from 0 to below 1");
        for (name, value, (is_good, expected)) in [
            ("learning-rate", self.learning_rate, positive),
            ("clipping", clipping, positive),
            ("margin", margin, positive),
            ("weight-decay", self.weight_decay, (|value| (0.0..f64::INFINITY).contains(&value), "0 or more")),
            ("averaging", self.averaging, share),
            ("dropout", self.dropout, share),
        ] {
            if !is_good(value) {
                return Err(Error::Setting { name, expected, value });
            }
        }
        Ok(())
    }

    /// Returns the margin of the spread loss at a step.
    pub fn margin(&self, step: usize, steps_per_epoch: usize) -> f64 {
        match self.margin {
            Margin::Epochs => margin_at(step, steps_per_epoch),
            Margin::Ramp(share) => {
                let done = step as f64 / (steps_per_epoch * self.epochs) as f64;
                0.2 + 0.7 * (done / share).min(1.0)
            }
            Margin::Constant(margin) => margin,
        }
    }

    /// Returns the learning rate at a step.
    pub fn learning_rate(&self, step: usize, steps_per_epoch: usize) -> f64 {
        match self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Cosine => {
                let steps = (steps_per_epoch * self.epochs) as f64;
                let warm_up = (WARM_UP * steps).max(WARM_UP_STEPS.min(steps / 4.0));
                let (done, rise) = ((step as f64 + 0.5) / steps, (step as f64 + 1.0) / warm_up);
                let fall = 0.5 + 0.5 * (std::f64::consts::PI * done.min(1.0)).cos();
                self.learning_rate * rise.min(1.0) * fall
            }
        }
    }
}

impl Default for Recipe {
    /// Returns the recipe of the shipped weights (chapter 9).
    fn default() -> Self {
        Recipe {
            batch: 8,
            epochs: 8,
            learning_rate: 3e-3,
            schedule: Schedule::Cosine,
            clipping: Clipping::Whole(1.0),
            margin: Margin::Constant(0.4),
            mean_loss: true,
            averaging: 0.99,
            ..Recipe::blog()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_warms_up_linearly_and_decays_to_0() {
        let recipe =
            Recipe { epochs: 2, learning_rate: 0.5, schedule: Schedule::Cosine, ..Recipe::default() };
        // (all steps, warm-up steps): the warm-up is a quarter, 200 steps, or 2 % of all
        for (steps, rise) in [(4, 1), (400, 100), (800, 200), (9_000, 200), (100_000, 2_000)] {
            let rate = |step| recipe.learning_rate(step, steps / 2);
            let fall =
                |step: usize| 0.5 + 0.5 * (std::f64::consts::PI * (step as f64 + 0.5) / steps as f64).cos();
            for step in 0..steps {
                let wanted = 0.5 * ((step + 1) as f64 / rise as f64).min(1.0) * fall(step);
                assert!((rate(step) - wanted).abs() <= 1e-12, "step {step} of {steps}");
            }
            assert!(rate(steps - 1) <= 0.5 * rate(steps / 2));
        }
    }
}
