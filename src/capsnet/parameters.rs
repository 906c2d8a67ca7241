//! All that a network learns, as one flat vector with named parts.

use std::ops::Range;

use rand::Rng;
use rand_distr::StandardNormal;

use crate::error::{Error, Result};
use crate::routing::ELEMENTS;

/// An array of parameters that a layer asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// The layer and the letter, as in `first.transforms`.
    pub name: String,
    /// The axes.
    pub shape: Vec<usize>,
    /// How the numbers are drawn before training.
    pub draw: Draw,
    /// Whether weight decay pulls the numbers towards 0.
    pub decayed: bool,
}

impl ParameterSpec {
    /// Parameters that are not decayed.
    pub(crate) fn new(name: impl Into<String>, shape: &[usize], draw: Draw) -> ParameterSpec {
        ParameterSpec { name: name.into(), shape: shape.to_vec(), draw, decayed: false }
    }

    /// The same with weight decay.
    pub(crate) fn decayed(self) -> ParameterSpec {
        ParameterSpec { decayed: true, ..self }
    }

    /// The number of parameters. A product in f64, since sizes that were mistyped may not fit a `usize`.
    pub(crate) fn count(&self) -> f64 {
        self.shape.iter().map(|&size| size as f64).product()
    }
}

/// The distribution that parameters are drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Draw {
    /// All 0.
    Zero,
    /// 4 x 4 matrices with this number on their diagonals, 0 elsewhere.
    Diagonal(f64),
    /// Uniform between `centre - within` and `centre + within`.
    Uniform {
        /// The mean.
        centre: f64,
        /// The largest distance from the mean.
        within: f64,
    },
    /// 4 x 4 matrices of normal numbers, truncated at two standard deviations.
    TruncatedNormal {
        /// The mean on the diagonal; 0 elsewhere.
        diagonal: f64,
        /// The standard deviation before truncation.
        deviation: f64,
    },
}

impl Draw {
    /// Xavier's uniform distribution, times `gain`, for a map of so many inputs to so many outputs.
    pub(crate) fn xavier(gain: f64, inputs: usize, outputs: usize) -> Draw {
        Draw::Uniform { centre: 0.0, within: gain * Draw::xavier_bound(inputs, outputs) }
    }

    /// sqrt(6 / (inputs + outputs))
    pub(crate) fn xavier_bound(inputs: usize, outputs: usize) -> f64 {
        (6.0 / (inputs + outputs) as f64).sqrt()
    }

    /// Draws numbers, which are 0 before.
    pub(crate) fn fill(self, numbers: &mut [f32], rng: &mut impl Rng) {
        // elements 0, 5, 10, 15 of a 4 x 4 matrix
        let on_diagonal = |at: usize| (at % ELEMENTS).is_multiple_of(5);
        match self {
            Draw::Zero => {}
            Draw::Diagonal(value) => {
                let diagonal = numbers.iter_mut().enumerate().filter(|(at, _)| on_diagonal(*at));
                diagonal.for_each(|(_, number)| *number = value as f32);
            }
            Draw::Uniform { centre, within } => {
                let mut offset = || if within > 0.0 { rng.gen_range(-within..within) as f32 } else { 0.0 };
                numbers.iter_mut().for_each(|number| *number = centre as f32 + offset());
            }
            Draw::TruncatedNormal { diagonal, deviation } => {
                for (at, number) in numbers.iter_mut().enumerate() {
                    let mean = if on_diagonal(at) { diagonal } else { 0.0 };
                    *number = (deviation * truncated_normal(rng) + mean) as f32;
                }
            }
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

/// A part of the vector: one array of parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The layer and the letter, as in `first.transforms`.
    pub name: String,
    /// The axes.
    pub shape: Vec<usize>,
    /// Where the numbers stand in the vector.
    pub range: Range<usize>,
    /// How the numbers are drawn before training.
    pub draw: Draw,
    /// Whether weight decay pulls the numbers towards 0.
    pub decayed: bool,
}

/// Parameters, or a gradient with respect to them: one vector, so that it can be summed, averaged and written as a whole, with the
/// names and shapes of its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    parts: Vec<Part>,
    numbers: Vec<f32>,
}

impl Parameters {
    /// Zeros, laid out in this order.
    pub(crate) fn zeros(specs: Vec<ParameterSpec>) -> Parameters {
        let mut end = 0;
        let place = |ParameterSpec { name, shape, draw, decayed }| {
            let start = end;
            end += shape.iter().product::<usize>();
            Part { name, shape, range: start..end, draw, decayed }
        };
        let parts: Vec<Part> = specs.into_iter().map(place).collect();
        Parameters { numbers: vec![0.0; end], parts }
    }

    /// Zeros of the same layout.
    pub fn zeros_like(&self) -> Parameters {
        Parameters { parts: self.parts.clone(), numbers: vec![0.0; self.numbers.len()] }
    }

    /// The number of parameters.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The parts in their order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// All numbers.
    pub fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// All numbers, to be changed.
    pub fn numbers_mut(&mut self) -> &mut [f32] {
        &mut self.numbers
    }

    /// The Euclidean length of the vector.
    pub fn length(&self) -> f64 {
        length(&self.numbers)
    }

    /// The numbers of one part, flat in the order of its shape.
    ///
    /// # Errors
    ///
    /// Returns an error if no part has this name.
    pub fn part(&self, name: &str) -> Result<&[f32]> {
        Ok(&self.numbers[self.range(name)?])
    }

    /// The numbers of one part, to be changed.
    ///
    /// # Errors
    ///
    /// Returns an error if no part has this name.
    pub fn part_mut(&mut self, name: &str) -> Result<&mut [f32]> {
        let range = self.range(name)?;
        Ok(&mut self.numbers[range])
    }

    fn range(&self, name: &str) -> Result<Range<usize>> {
        let part = self.parts.iter().find(|part| part.name == name);
        part.map(|part| part.range.clone()).ok_or_else(|| Error::UnknownName {
            what: "part of the parameters",
            found: name.to_owned(),
            known: self.parts.iter().map(|part| part.name.clone()).collect(),
        })
    }
}

/// The Euclidean length of a vector.
pub(crate) fn length(numbers: &[f32]) -> f64 {
    numbers.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}
