//! All that a network learns, as one flat vector with named parts.

use std::ops::Range;

use crate::error::{Error, Result};

/// A part of the vector: one array of parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its layer and its letter, `first.transforms`.
    pub name: String,
    /// Its axes.
    pub shape: Vec<usize>,
    /// Where it lies.
    pub range: Range<usize>,
}

/// Parameters, or a gradient with respect to them: one vector, so that it can be summed, averaged and written as a whole, and the
/// names and shapes of its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    parts: Vec<Part>,
    numbers: Vec<f32>,
}

impl Parameters {
    /// Zeros, laid out in this order.
    pub fn zeros(parts: &[(String, Vec<usize>)]) -> Parameters {
        let mut end = 0;
        let place = |(name, shape): &(String, Vec<usize>)| {
            let start = end;
            end += shape.iter().product::<usize>();
            Part { name: name.clone(), shape: shape.clone(), range: start..end }
        };
        let parts: Vec<Part> = parts.iter().map(place).collect();
        Parameters { numbers: vec![0.0; end], parts }
    }

    /// Zeros of the same layout.
    pub fn zeros_like(&self) -> Parameters {
        Parameters { parts: self.parts.clone(), numbers: vec![0.0; self.numbers.len()] }
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there are none.
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

    /// The numbers of one part, flat in the order of its shape.
    ///
    /// # Errors
    ///
    /// No part has this name.
    pub fn part(&self, name: &str) -> Result<&[f32]> {
        Ok(&self.numbers[self.range(name)?])
    }

    /// The numbers of one part, to be changed.
    ///
    /// # Errors
    ///
    /// No part has this name.
    pub fn part_mut(&mut self, name: &str) -> Result<&mut [f32]> {
        let range = self.range(name)?;
        Ok(&mut self.numbers[range])
    }

    fn range(&self, name: &str) -> Result<Range<usize>> {
        let part = self.parts.iter().find(|part| part.name == name);
        part.map(|part| part.range.clone()).ok_or_else(|| Error::Name {
            what: "part of the parameters",
            found: name.to_owned(),
            known: self.parts.iter().map(|part| part.name.clone()).collect(),
        })
    }
}
