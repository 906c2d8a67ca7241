//! Adam with decoupled weight decay and gradient clipping.

use super::parameters::{Parameters, length};
use super::recipe::{Clipping, Recipe};

const FIRST_DECAY: f64 = 0.9;
const SECOND_DECAY: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The state of Adam: the running moments of the gradient.
///
/// ```text
/// m = 0.9 m + 0.1 g,    v = 0.999 v + 0.001 g^2
/// w = w - rate sqrt(1 - 0.999^t) / (1 - 0.9^t) m / (sqrt(v) + 1e-8)
/// ```
///
/// These formulas are from Kingma and Ba (2015), with the order of operations at the end of their section 2, as in TensorFlow.
/// Weight decay is that of Loshchilov and Hutter (2019): `w -= rate decay w` for the [decayed](super::Part::decayed) parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    /// The first moment m, one number for each parameter.
    pub first: Vec<f32>,
    /// The second moment v, one number for each parameter.
    pub second: Vec<f32>,
    /// t, the number of updates so far.
    pub updates: usize,
}

impl Adam {
    /// Creates moments of 0 for this number of parameters.
    pub fn new(parameters: usize) -> Adam {
        Adam { first: vec![0.0; parameters], second: vec![0.0; parameters], updates: 0 }
    }

    /// Updates the parameters by one step with this learning rate and the recipe's gradient clipping and weight decay.
    ///
    /// # Panics
    ///
    /// Panics if moments, gradient and parameters differ in length.
    pub fn update(&mut self, parameters: &mut Parameters, gradient: &Parameters, rate: f64, recipe: &Recipe) {
        for length in [self.first.len(), self.second.len(), gradient.len()] {
            assert_eq!(length, parameters.len(), "one moment and gradient per parameter");
        }
        self.updates += 1;
        let t = self.updates as i32;
        let correction = (1.0 - SECOND_DECAY.powi(t)).sqrt() / (1.0 - FIRST_DECAY.powi(t));
        let step = (rate * correction) as f32;
        let whole = gradient.length();
        for part in parameters.parts().to_vec() {
            let range = part.range;
            let scale = match recipe.clipping {
                Clipping::None => 1.0,
                Clipping::Parts(most) => shorten(length(&gradient.numbers()[range.clone()]), most),
                Clipping::Whole(most) => shorten(whole, most),
            };
            let keep = if part.decayed { (1.0 - rate * recipe.weight_decay) as f32 } else { 1.0 };
            let numbers = parameters.numbers_mut()[range.clone()].iter_mut();
            let moments = self.first[range.clone()].iter_mut().zip(&mut self.second[range.clone()]);
            for ((w, (m, v)), g) in numbers.zip(moments).zip(&gradient.numbers()[range]) {
                let g = g * scale;
                *m = FIRST_DECAY as f32 * *m + (1.0 - FIRST_DECAY) as f32 * g;
                *v = SECOND_DECAY as f32 * *v + (1.0 - SECOND_DECAY) as f32 * (g * g);
                *w = *w * keep - step * *m / (v.sqrt() + EPSILON as f32);
            }
        }
    }
}

/// Returns the factor that scales a vector of this length down to at most `most`.
fn shorten(length: f64, most: f64) -> f32 {
    if length > most { (most / length) as f32 } else { 1.0 }
}
