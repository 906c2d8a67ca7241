//! Measures how well a network classifies images.

use super::network::CapsNet;
use super::training::most_active;
use crate::data::idx::Images;
use crate::error::{Error, Result};
use crate::routing::fused::check_numbers;

/// The number of images in a batch.
const BATCH: usize = 50;

/// The classification of labelled images by a network: activations, predictions and true labels.
///
/// [`CapsNet::evaluate`] computes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The activation of each class, images x classes.
    pub activations: Vec<f32>,
    /// The most active class of each image.
    pub predictions: Vec<usize>,
    /// The true class of each image.
    pub labels: Vec<usize>,
    /// The number of classes.
    pub classes: usize,
}

impl CapsNet {
    /// Returns the pixels of the images with these indices, scaled for the network: (x - 128) / 128 as in the blog.
    ///
    /// # Errors
    ///
    /// Returns an error if the images do not have the size that the network expects.
    ///
    /// # Panics
    ///
    /// Panics if an index is out of range.
    pub fn pixels(&self, data: &Images, numbers: &[usize]) -> Result<Vec<f32>> {
        let architecture = self.architecture();
        let expected = vec![architecture.height, architecture.width, architecture.channels];
        let found = vec![data.height, data.width, 1];
        if expected != found {
            return Err(Error::Shape { name: "an image", expected, found });
        }
        let expected = data.len() * data.height * data.width;
        if data.pixels.len() != expected {
            return Err(Error::Length {
                name: "the pixels of the images",
                expected,
                found: data.pixels.len(),
            });
        }
        let pixels = numbers.iter().flat_map(|&number| data.image(number));
        Ok(pixels.map(|&x| (f32::from(x) - 128.0) / 128.0).collect())
    }

    /// Classifies all images. Calls `seen` after each batch with the number of images classified so far.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no images, if they do not have the size that the network expects, if a label is not a class, or if
    /// the activation of a class is not finite.
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
        // the comparison of classes would not notice a NaN
        let name = "the activations of the classes";
        check_numbers(name, &[labels.len(), classes], &activations, "finite", f32::is_finite)?;
        let predictions = activations.chunks_exact(classes).map(most_active).collect();
        Ok(Evaluation { activations, predictions, labels, classes })
    }
}

impl Evaluation {
    /// Returns the number of misclassified images.
    pub fn errors(&self) -> usize {
        self.predictions.iter().zip(&self.labels).filter(|(found, label)| found != label).count()
    }

    /// Returns the share of misclassified images.
    pub fn error_rate(&self) -> f64 {
        self.errors() as f64 / self.labels.len() as f64
    }

    /// Returns the confusion matrix: how often class i (row) was classified as class j (column).
    pub fn confusion(&self) -> Vec<Vec<usize>> {
        let mut counts = vec![vec![0; self.classes]; self.classes];
        for (&found, &label) in self.predictions.iter().zip(&self.labels) {
            counts[label][found] += 1;
        }
        counts
    }

    /// Returns the indices of the misclassified images, worst first: in order of the true class's activation minus the predicted
    /// class's activation.
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
