//! The networks that the claims speak of: shipped, or trained here and kept in `target/claims/`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::time::Instant;

use em_routing::capsnet::{CapsNet, Settings, Training};
use em_routing::data::idx::{ImageSet, Images};
use em_routing::shipped;

use crate::Outcome;

/// The training of a network: its digits, each seen `epochs` times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub digits: usize,
    pub epochs: usize,
}

/// The digits that the network that tells digits from negatives needs.
const POLARITY: usize = 1000;

/// The networks that see the digits three times as often as the others: seen once, 5,500 digits leave them at errors of 23 and 12 %,
/// where the others have 4 to 5 %.
const SLOW: [&str; 2] = ["routing-1", "plain-pooled"];

/// The training of the shipped network.
pub const SHIPPED: Budget = Budget { digits: 55_000, epochs: 8 };

/// Returns the settings of an arm.
pub fn settings(arm: &str, epochs: usize) -> Outcome<Settings> {
    let (mut settings, change) = match arm {
        "routing-1" => (Settings::default(), "iterations = 1"),
        "routing-2" => (Settings::default(), ""),
        "polarity" => (Settings::default(), "classes = 2"),
        "plain" => (Settings::plain(), ""),
        "plain-pooled" => (Settings::plain_pooled(), ""),
        _ => return Err(format!("there is no network {arm}").into()),
    };
    settings.set_lines(change)?;
    settings.recipe.epochs = epochs;
    settings.check()?;
    Ok(settings)
}

/// Returns the trained network of an arm: the shipped one, or the one in the file of this arm, seed and budget. If there is no such
/// file, trains and writes it.
pub fn network(arm: &str, seed: u64, budget: Budget, set: &ImageSet) -> Outcome<CapsNet> {
    if arm == "shipped" {
        return Ok(CapsNet::load(shipped::mnist_weights())?);
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target").join("claims");
    std::fs::create_dir_all(&folder)?;
    let Budget { digits, epochs } = budget;
    let count = if arm == "polarity" { digits.min(POLARITY) } else { digits };
    let epochs = if SLOW.contains(&arm) { 3 * epochs } else { epochs };
    let settings = settings(arm, epochs)?;
    let mut hasher = DefaultHasher::new(); // with other settings it is another network
    settings.settings().hash(&mut hasher);
    let path = folder.join(format!("{arm}-{seed}-{count}-{epochs}-{:016x}.safetensors", hasher.finish()));
    if path.is_file() {
        return Ok(CapsNet::load(path)?);
    }
    let began = Instant::now();
    let images = set.train.slice(0..count);
    let images = if arm == "polarity" { with_negatives(&images) } else { images };
    let mut training = Training::new(settings, seed, 1)?;
    while training.step < training.steps(images.len()) {
        training.step(&images)?;
    }
    training.save_result(&path)?;
    eprintln!("trained {arm}, seed {seed}, on {count} digits, in {:.0} s", began.elapsed().as_secs_f64());
    Ok(training.result())
}

/// Returns the digits, each second one as its negative, with the label 0 for a digit and 1 for a negative.
pub fn with_negatives(digits: &Images) -> Images {
    let mut images = digits.clone();
    images.classes = 2;
    let size = images.height * images.width;
    for (at, (label, pixels)) in
        images.labels.iter_mut().zip(images.pixels.chunks_exact_mut(size)).enumerate()
    {
        *label = (at % 2) as u8;
        if at % 2 == 1 {
            pixels.iter_mut().for_each(|pixel| *pixel = 255 - *pixel);
        }
    }
    images
}

/// Returns the same parameters under other settings of the routing.
pub fn with_settings(net: &CapsNet, lines: &str) -> Outcome<CapsNet> {
    let mut settings = Settings { architecture: net.architecture().clone(), ..Settings::default() };
    settings.set_lines(lines)?;
    let mut changed = CapsNet::zeros(settings.architecture)?;
    changed.parameters_mut().numbers_mut().copy_from_slice(net.parameters().numbers());
    Ok(changed)
}
