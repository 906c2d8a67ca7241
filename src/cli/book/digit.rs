//! What the live figure `digit` loads: the shipped network with numbers of 16 bits, and digits to choose from.

use std::fs;
use std::path::Path;

use em_routing::capsnet::CapsNet;
use em_routing::data::idx::{ImageSet, Images};
use em_routing::error::Error;
use em_routing::shipped::{mnist_folder, mnist_weights};
use serde_json::{Value, json};

use crate::cli::failure::{AtPath, Outcome};

/// MNIST test images in the order of their classes, of which the first is the one that the figure begins with.
const DIGITS: [usize; 12] = [4, 3, 2, 1, 18, 6, 8, 11, 0, 17, 61, 7];

/// MNIST test images that the shipped network misreads, the worst first (`em-routing eval`).
const MISTAKES: [usize; 10] = [6576, 9729, 2130, 9692, 1901, 4369, 2654, 9642, 1039, 4823];

/// Writes the figure's files into the folder of the site's static files.
pub fn write(folder: &Path) -> Outcome<()> {
    let net = CapsNet::load(mnist_weights())?;
    let images = ImageSet::load_test(mnist_folder(), net.architecture().form())?;
    for (name, bytes) in [
        ("digit-network.safetensors", rounded(&net)?),
        ("digit-images.json", choices(&images).to_string().into_bytes()),
    ] {
        let path = folder.join(name);
        fs::write(&path, bytes).at(&path)?;
    }
    Ok(())
}

/// The network's file with numbers of 16 bits, with which it makes the same 42 mistakes.
fn rounded(net: &CapsNet) -> Result<Vec<u8>, Error> {
    net.half_bytes(Path::new("digit-network.safetensors"))
}

/// The digits that can be chosen: number, label, whether the network misreads it, and pixels.
fn choices(images: &Images) -> Value {
    let choice = |(&number, mistake): (&usize, bool)| json!({ "number": number, "label": images.labels[number], "mistake": mistake, "pixels": images.image(number) });
    let digits = DIGITS.iter().map(|number| (number, false));
    digits.chain(MISTAKES.iter().map(|number| (number, true))).map(choice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All ten classes are there, and the network of 16 bits reads each image as that of 32 bits does: right, or wrong if said so.
    #[test]
    fn the_rounded_network_reads_the_choices_as_the_lists_say() {
        let whole = CapsNet::load(mnist_weights()).unwrap();
        let rounded = CapsNet::from_bytes(Path::new("rounded"), &rounded(&whole).unwrap()).unwrap();
        let images = ImageSet::load_test(mnist_folder(), whole.architecture().form()).unwrap();
        let numbers = [&DIGITS[..], &MISTAKES].concat();
        let chosen = Images {
            pixels: numbers.iter().flat_map(|&number| images.image(number)).copied().collect(),
            labels: numbers.iter().map(|&number| images.labels[number]).collect(),
            ..images.slice(0..0)
        };
        let [one, other] = [&whole, &rounded].map(|net| net.evaluate(&chosen, 0, |_| {}).unwrap());
        assert_eq!(one.predictions, other.predictions);
        let right: Vec<bool> =
            one.predictions.iter().zip(&one.labels).map(|(found, label)| found == label).collect();
        assert_eq!(right, [[true; DIGITS.len()].as_slice(), &[false; MISTAKES.len()]].concat());
        let mut classes: Vec<u8> = DIGITS.iter().map(|&number| images.labels[number]).collect();
        classes.sort_unstable();
        classes.dedup();
        assert_eq!(classes, (0..10).collect::<Vec<u8>>());
        let largest = one.activations.iter().zip(&other.activations).map(|(a, b)| (a - b).abs());
        assert!(largest.fold(0.0, f32::max) <= 2e-3);
    }
}
