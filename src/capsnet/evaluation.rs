//! How well a network classifies images.

use super::network::CapsNet;
use super::training::most_active;
use crate::data::idx::Images;
use crate::error::{Error, Result};

/// Images of a batch.
const BATCH: usize = 50;

/// What a network classifies labelled images as.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The activation of each class, images x classes.
    pub activations: Vec<f32>,
    /// The most active class of each image.
    pub predictions: Vec<usize>,
    /// The true class of each image.
    pub labels: Vec<usize>,
    /// Classes.
    pub classes: usize,
}

impl CapsNet {
    /// The pixels of the images with these numbers, as the network takes them: (x - 128) / 128 as in the blog.
    ///
    /// # Errors
    ///
    /// Returns an error if the images are of another size than the network's.
    ///
    /// # Panics
    ///
    /// If there is no image of one of the numbers.
    pub fn pixels(&self, data: &Images, numbers: &[usize]) -> Result<Vec<f32>> {
        let architecture = self.architecture();
        let expected = vec![architecture.height, architecture.width, architecture.channels];
        let found = vec![data.height, data.width, 1];
        if expected != found {
            return Err(Error::Shape { name: "an image", expected, found });
        }
        let pixels = numbers.iter().flat_map(|&number| data.image(number));
        Ok(pixels.map(|&x| (f32::from(x) - 128.0) / 128.0).collect())
    }

    /// Classifies all images. Calls `seen` after each batch with the number of images so far.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no images, if they are of another size than the network's, or if a label names no class.
    pub fn evaluate(&self, data: &Images, threads: usize, mut seen: impl FnMut(usize)) -> Result<Evaluation> {
        let classes = self.architecture().classes;
        let labels: Vec<usize> = data.labels.iter().map(|&label| usize::from(label)).collect();
        Error::check_labels("image", &labels, classes, "classes")?;
        if labels.is_empty() {
            return Err(Error::Empty { what: "images" });
        }
        let mut activations = Vec::with_capacity(labels.len() * classes);
        let numbers: Vec<usize> = (0..labels.len()).collect();
        for batch in numbers.chunks(BATCH) {
            let pass = self.forward(&self.pixels(data, batch)?, threads)?;
            activations.extend(&pass.classes().activations);
            seen(activations.len() / classes);
        }
        let predictions = activations.chunks_exact(classes).map(most_active).collect();
        Ok(Evaluation { activations, predictions, labels, classes })
    }
}

impl Evaluation {
    /// The number of misclassified images.
    pub fn errors(&self) -> usize {
        self.predictions.iter().zip(&self.labels).filter(|(found, label)| found != label).count()
    }

    /// The share of misclassified images.
    pub fn error_rate(&self) -> f64 {
        self.errors() as f64 / self.labels.len() as f64
    }

    /// How often class i (row) was classified as class j (column).
    pub fn confusion(&self) -> Vec<Vec<usize>> {
        let mut counts = vec![vec![0; self.classes]; self.classes];
        for (&found, &label) in self.predictions.iter().zip(&self.labels) {
            counts[label][found] += 1;
        }
        counts
    }

    /// The misclassified images, first those whose true class is least active in comparison with the predicted one.
    pub fn mistakes(&self) -> Vec<usize> {
        let margin = |&image: &usize| {
            let activations = &self.activations[image * self.classes..][..self.classes];
            activations[self.labels[image]] - activations[self.predictions[image]]
        };
        let wrong = |&image: &usize| self.predictions[image] != self.labels[image];
        let mut mistakes: Vec<usize> = (0..self.labels.len()).filter(wrong).collect();
        mistakes.sort_by(|a, b| margin(a).total_cmp(&margin(b)));
        mistakes
    }
}
