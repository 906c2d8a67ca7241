//! How a network's error grows if digits are mapped affinely, or changed along the gradient.

use em_routing::capsnet::CapsNet;
use em_routing::data::idx::{ImageSet, Images};
use em_routing::samples::views::affine_digits;

use crate::Outcome;
use crate::routing::Measures;

/// The images of a batch.
const BATCH: usize = 50;
/// The changes of the attack, in units of the range of a grey level.
pub const EPSILONS: [f64; 6] = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3];

/// Returns the digits of a set's test images, rotated, sheared and scaled as in affNIST, each in the middle of 28 x 28 pixels.
pub fn affine(digits: &ImageSet, count: usize, seed: u64) -> Outcome<Images> {
    let few = ImageSet {
        train: digits.train.slice(0..1),
        validation: digits.validation.slice(0..1),
        test: digits.test.slice(0..count),
    };
    let novel = affine_digits(&few, seed)?.novel;
    let (old, side) = (novel.images.width as isize, few.test.width as isize);
    let column = |name: &str| novel.names.iter().position(|own| *own == name).ok_or("no such column");
    let (down, right) = (column("down")?, column("right")?);
    let mut pixels = Vec::with_capacity(count * few.test.height * few.test.width);
    for (image, parameters) in novel.parameters.iter().enumerate() {
        let image = novel.images.image(image);
        let [top, left] = [down, right].map(|at| parameters[at] as isize + (old - side) / 2);
        for row in top..top + side {
            for column in left..left + side {
                let inside = (0..old).contains(&row) && (0..old).contains(&column);
                pixels.push(if inside { image[(row * old + column) as usize] } else { 0 });
            }
        }
    }
    Ok(Images { pixels, ..few.test })
}

/// Gu and Tresp: the error on digits as they are, and on the same digits mapped affinely.
pub fn affine_errors(net: &CapsNet, digits: &Images, affine: &Images) -> Outcome<Measures> {
    let error = |images: &Images| -> Outcome<f64> { Ok(net.evaluate(images, 1, |_| {})?.error_rate()) };
    let (clean, moved) = (error(digits)?, error(affine)?);
    Ok(vec![("clean error".to_owned(), clean), ("affine error".to_owned(), moved)])
}

/// The fast gradient sign method: the errors of `net` on digits changed along its own gradient, and on digits changed along the
/// gradient of another network. Also the share of digits whose own gradient is 0, which cannot be attacked.
pub fn attacked(net: &CapsNet, other: &CapsNet, digits: &Images) -> Outcome<Measures> {
    let numbers: Vec<usize> = (0..digits.len()).collect();
    let (mut own, mut transferred, mut flat) = ([0; EPSILONS.len()], [0; EPSILONS.len()], 0);
    for batch in numbers.chunks(BATCH) {
        let pixels = net.pixels(digits, batch)?;
        let labels: Vec<usize> = batch.iter().map(|&at| digits.labels[at].into()).collect();
        let [gradient, elsewhere] = [net, other].map(|net| gradient(net, &pixels, &labels));
        let gradient = gradient?;
        flat += gradient.chunks(pixels.len() / batch.len()).filter(|d| d.iter().all(|&d| d == 0.0)).count();
        for (d, errors) in [(gradient, &mut own), (elsewhere?, &mut transferred)] {
            for (errors, epsilon) in errors.iter_mut().zip(EPSILONS) {
                let changed = changed(&pixels, &d, epsilon);
                let pass = net.forward(&changed, 1)?;
                let classes = pass.classes().activations.chunks_exact(net.architecture().classes);
                let found = classes.map(em_routing::capsnet::training::most_active);
                *errors += found.zip(&labels).filter(|(found, label)| found != *label).count();
            }
        }
    }
    let share = |count: usize| count as f64 / digits.len() as f64;
    let mut measures = vec![("no gradient".to_owned(), share(flat))];
    for (at, epsilon) in EPSILONS.into_iter().enumerate() {
        measures.push((format!("error, {epsilon}"), share(own[at])));
        measures.push((format!("error by the other's gradient, {epsilon}"), share(transferred[at])));
    }
    Ok(measures)
}

/// Returns the gradient, with respect to the pixels, of the most active wrong class minus the true class.
fn gradient(net: &CapsNet, pixels: &[f32], labels: &[usize]) -> Outcome<Vec<f32>> {
    let pass = net.forward_keeping(pixels, 1)?;
    let (activations, classes) = (&pass.classes().activations, net.architecture().classes);
    let mut d = vec![0.0; activations.len()];
    for ((d, a), &label) in d.chunks_exact_mut(classes).zip(activations.chunks_exact(classes)).zip(labels) {
        let wrong = (0..classes).filter(|&class| class != label).max_by(|&i, &j| a[i].total_cmp(&a[j]));
        d[label] = -1.0;
        d[wrong.ok_or("there is one class only")?] = 1.0;
    }
    Ok(net.backward_to_pixels(&pass, &d, 1)?.pixels)
}

/// Returns the pixels moved by epsilon along the sign of the gradient, within the range of grey levels: (x - 128) / 128 for x from 0
/// to 255.
fn changed(pixels: &[f32], gradient: &[f32], epsilon: f64) -> Vec<f32> {
    let step = (epsilon * 255.0 / 128.0) as f32;
    let sign = |d: f32| if d == 0.0 { 0.0 } else { d.signum() };
    let moved = pixels.iter().zip(gradient).map(|(x, &d)| (x + step * sign(d)).clamp(-1.0, 127.0 / 128.0));
    moved.collect()
}
