//! The losses. Spread loss: the true class should be more active than each other class by a margin, which may grow during training.
//! Cross-entropy, for plain networks: the true class should have a large probability.

use ndarray::Array2;

use crate::error::{Error, Result};

/// Returns the spread loss of a batch and its gradient with respect to the activations (images x classes).
///
/// `labels` holds the true class t of each image. The loss is a sum over the batch, not a mean.
///
/// # Formula
///
/// ```text
/// loss = sum_images sum_{i != t} max(0, margin - (a_t - a_i))^2
/// ```
///
/// ```
/// use em_routing::capsnet::loss::spread_loss;
/// use ndarray::array;
/// let (loss, d_activations) = spread_loss(&array![[0.9, 0.5, 0.1]], &[0], 0.5)?;
/// assert!((loss - 0.01).abs() < 1e-12); // only class 1 is within the margin, by 0.1
/// assert!((d_activations[(0, 1)] - 0.2).abs() < 1e-12 && d_activations[(0, 2)] == 0.0);
/// # Ok::<(), em_routing::error::Error>(())
/// ```
///
/// # Errors
///
/// Returns an error if there are more or fewer labels than images, or if a label is not a class.
pub fn spread_loss(activations: &Array2<f64>, labels: &[usize], margin: f64) -> Result<(f64, Array2<f64>)> {
    check_labels(activations, labels)?;
    let (images, classes) = activations.dim();
    let mut loss = 0.0;
    let mut d_activations = Array2::zeros((images, classes));
    for (image, &t) in labels.iter().enumerate() {
        for i in (0..classes).filter(|&i| i != t) {
            let short = margin - (activations[(image, t)] - activations[(image, i)]);
            if short <= 0.0 {
                continue; // a NaN is not skipped, so it reaches the loss
            }
            loss += short * short;
            d_activations[(image, i)] += 2.0 * short;
            d_activations[(image, t)] -= 2.0 * short;
        }
    }
    Ok((loss, d_activations))
}

/// Returns the cross-entropy of a batch and its gradient with respect to the logits (images x classes).
///
/// `labels` holds the true class t of each image. The loss is a sum over the batch, not a mean.
///
/// # Formula
///
/// ```text
/// loss = -sum_images log p_t,    p_i = exp(x_i) / sum_k exp(x_k),    d loss / d x_i = p_i - [i = t]
/// ```
///
/// ```
/// use em_routing::capsnet::loss::cross_entropy;
/// use ndarray::array;
/// let (loss, d_logits) = cross_entropy(&array![[2.0f64.ln(), 0.0]], &[0])?;
/// assert!((loss - 1.5f64.ln()).abs() < 1e-12 && (d_logits[(0, 1)] - 1.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), em_routing::error::Error>(())
/// ```
///
/// # Errors
///
/// Returns an error if there are more or fewer labels than images, or if a label is not a class.
pub fn cross_entropy(logits: &Array2<f64>, labels: &[usize]) -> Result<(f64, Array2<f64>)> {
    check_labels(logits, labels)?;
    let mut loss = 0.0;
    let mut d_logits = logits.clone();
    for (mut row, &t) in d_logits.rows_mut().into_iter().zip(labels) {
        let most = row.fold(f64::NEG_INFINITY, |most, &x| most.max(x)); // exp of the differences cannot overflow
        let lead = most - row[t];
        row.mapv_inplace(|x| (x - most).exp());
        let sum = row.sum();
        loss += sum.ln() + lead;
        row /= sum;
        row[t] -= 1.0;
    }
    Ok((loss, d_logits))
}

/// Checks that there is one label for each image and that each is a class.
fn check_labels(activations: &Array2<f64>, labels: &[usize]) -> Result<()> {
    let (images, classes) = activations.dim();
    if labels.len() != images {
        return Err(Error::Length { name: "labels", expected: images, found: labels.len() });
    }
    Error::check_labels("image", labels, classes, "classes")
}

/// Returns the blog's margin at a step: 0.2 in the first epoch, then 0.1 more in each epoch, up to 0.9.
///
/// ```
/// use em_routing::capsnet::loss::margin_at;
/// assert_eq!([0, 110, 111, 770, 771, 5000].map(|step| margin_at(step, 110)), [0.2, 0.2, 0.3, 0.8, 0.9, 0.9]);
/// ```
pub fn margin_at(step: usize, steps_per_epoch: usize) -> f64 {
    let epochs = step.div_ceil(steps_per_epoch.max(1)).saturating_sub(1);
    (2 + epochs.min(7)) as f64 / 10.0
}
