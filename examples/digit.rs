//! Classifies a handwritten digit with the trained capsule network of this repository.
//!
//! `cargo run --release --example digit -- 7` draws the test image with this number (default 0) and prints the activation of each
//! class capsule.

use em_routing::capsnet::CapsNet;
use em_routing::data::idx::ImageSet;
use em_routing::shipped::{mnist_folder, mnist_weights};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number: usize = std::env::args().nth(1).map_or(Ok(0), |number| number.parse())?;
    let net = CapsNet::load(mnist_weights())?; // assets/capsnet/mnist.safetensors
    let images = ImageSet::load_test(mnist_folder(), 10)?; // assets/mnist, 10,000 images
    if number >= images.len() {
        return Err(format!("image {number}: there are {} (from 0)", images.len()).into());
    }

    for row in images.image(number).chunks(images.width) {
        println!(
            "{}",
            row.iter().map(|&grey| [' ', '.', 'o', '#'][usize::from(grey) / 64]).collect::<String>()
        );
    }
    let evaluation = net.evaluate(&images.slice(number..number + 1), 0, |_| ())?;
    for (class, activation) in evaluation.activations.iter().enumerate() {
        println!("{class}: {activation:.3}");
    }
    println!("the network says {}, the label {}", evaluation.predictions[0], evaluation.labels[0]);
    Ok(())
}
