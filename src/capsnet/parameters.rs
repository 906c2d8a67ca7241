//! The parameters of a network: one flat vector with named parts.

use std::ops::Range;

use rand::Rng;
use rand_distr::StandardNormal;

use crate::error::{Error, Result};
use crate::routing::ELEMENTS;

/// The name, shape, initial distribution and weight decay of a parameter array.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// The names of the layer and the array, as in `first.transforms`.
    pub name: String,
    /// The lengths of the axes.
    pub shape: Vec<usize>,
    /// The initial distribution of the numbers.
    pub draw: Draw,
    /// Whether weight decay applies to the numbers.
    pub decayed: bool,
}

impl ParameterSpec {
    /// Creates a specification without weight decay.
    pub(crate) fn new(name: impl Into<String>, shape: &[usize], draw: Draw) -> ParameterSpec {
        ParameterSpec { name: name.into(), shape: shape.to_vec(), draw, decayed: false }
    }

    /// Returns the same specification with weight decay.
    pub(crate) fn decayed(self) -> ParameterSpec {
        ParameterSpec { decayed: true, ..self }
    }

    /// Returns the number of parameters, in f64 because the product of mistyped sizes may not fit into a `usize`.
    pub(crate) fn count(&self) -> f64 {
        self.shape.iter().map(|&size| size as f64).product()
    }
}

/// The initial distribution of a parameter array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Draw {
    /// All numbers are 0.
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
        /// The mean on the diagonal; elsewhere, the mean is 0.
        diagonal: f64,
        /// The standard deviation before truncation.
        deviation: f64,
    },
}

impl Draw {
    /// Returns Xavier's uniform distribution for a map from `inputs` to `outputs` numbers, with its bound multiplied by `gain`.
    pub(crate) fn xavier(gain: f64, inputs: usize, outputs: usize) -> Draw {
        Draw::Uniform { centre: 0.0, within: gain * Draw::xavier_bound(inputs, outputs) }
    }

    /// Returns Xavier's bound, sqrt(6 / (inputs + outputs)).
    pub(crate) fn xavier_bound(inputs: usize, outputs: usize) -> f64 {
        (6.0 / (inputs + outputs) as f64).sqrt()
    }

    /// Fills `numbers`, which must all be 0, with draws from the distribution.
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

/// A part of the parameter vector: one array of parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The names of the layer and the array, as in `first.transforms`.
    pub name: String,
    /// The lengths of the axes.
    pub shape: Vec<usize>,
    /// The range of the array's numbers in the vector.
    pub range: Range<usize>,
    /// The initial distribution of the numbers.
    pub draw: Draw,
    /// Whether weight decay applies to the numbers.
    pub decayed: bool,
}

/// Parameters, or a gradient with respect to them: one vector with the names and shapes of its parts.
///
/// As one vector, they can be summed, averaged and written as a whole. [`Parameters::part`] returns one array by its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    parts: Vec<Part>,
    numbers: Vec<f32>,
}

impl Parameters {
    /// Creates parameters of 0 with these arrays, in this order.
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

    /// Returns parameters of 0 with the same parts.
    pub fn zeros_like(&self) -> Parameters {
        Parameters { parts: self.parts.clone(), numbers: vec![0.0; self.numbers.len()] }
    }

    /// Returns the number of parameters.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Returns whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Returns the parts in their order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Returns all numbers.
    pub fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// Returns all numbers as a mutable slice.
    pub fn numbers_mut(&mut self) -> &mut [f32] {
        &mut self.numbers
    }

    /// Returns the Euclidean length of the vector.
    pub fn length(&self) -> f64 {
        length(&self.numbers)
    }

    /// Returns the numbers of one part, flat in the order of its shape.
    ///
    /// # Errors
    ///
    /// Returns an error if no part has this name.
    pub fn part(&self, name: &str) -> Result<&[f32]> {
        Ok(&self.numbers[self.range(name)?])
    }

    /// Returns the numbers of one part as a mutable slice.
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
            what: "parameter array",
            found: name.to_owned(),
            known: self.parts.iter().map(|part| part.name.clone()).collect(),
        })
    }
}

/// Returns the Euclidean length of a vector.
pub(crate) fn length(numbers: &[f32]) -> f64 {
    numbers.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}
