//! Checkpoints: read back to the bit, refused with the fault's name, and harmless whatever their bytes are.

use std::path::Path;

use em_routing::capsnet::checkpoint::Fault;
use em_routing::capsnet::{CapsNet, CapsNetConfig, Training};
use em_routing::data::idx::Images;
use em_routing::error::Error;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Folder;
use super::noting::LARGEST;

const IMAGES: usize = 10;

fn config() -> CapsNetConfig {
    let mut config =
        CapsNetConfig { height: 13, width: 13, features: 2, primary: 1, ..CapsNetConfig::default() };
    (config.first, config.second, config.classes) = (2, 1, 3);
    (config.training.batch, config.training.epochs) = (3, 4);
    config
}

fn images() -> Images {
    let mut generator = ChaCha8Rng::seed_from_u64(5);
    let pixels = (0..IMAGES * 169).map(|_| generator.r#gen()).collect();
    let labels = (0..IMAGES).map(|image| (image % 3) as u8).collect();
    Images { pixels, labels, height: 13, width: 13, classes: 3 }
}

fn trained(steps: usize, threads: usize) -> Training {
    let mut training = Training::new(config(), 7, threads).unwrap();
    for _ in 0..steps {
        training.step(&images()).unwrap();
    }
    training
}

/// The bits of all that a training has learnt.
fn bits(training: &Training) -> Vec<u32> {
    let average = training.average.as_ref().map_or(&[][..], |average| average.numbers());
    let vectors = [training.net.parameters().numbers(), &training.adam.first, &training.adam.second, average];
    vectors.into_iter().flatten().map(|number| number.to_bits()).collect()
}

fn fault<T: std::fmt::Debug>(outcome: em_routing::error::Result<T>, file: &Path) -> Fault {
    match outcome {
        Err(Error::Checkpoint { path, fault }) => {
            assert_eq!(path, file);
            fault
        }
        other => panic!("{other:?}"),
    }
}

/// Through a file, at several places and on other threads: the same bits as without a stop.
#[test]
fn training_goes_on_to_the_bit() {
    let folder = Folder::new("resumed");
    let file = folder.0.join("training.safetensors");
    let whole = trained(12, 1);
    for stop in [0, 1, 3, 5, 11] {
        for threads in [1, 2, 3] {
            trained(stop, 2).save(&file, IMAGES).unwrap();
            let (mut training, count) = Training::load(&file, threads).unwrap();
            assert_eq!((count, training.step), (IMAGES, stop));
            for _ in stop..12 {
                training.step(&images()).unwrap();
            }
            assert_eq!(bits(&training), bits(&whole), "stopped after {stop}, {threads} threads");
            assert_eq!(training.adam.updates, whole.adam.updates);
        }
    }
}

#[test]
fn a_file_has_the_same_bytes_each_time_and_its_network_is_the_average() {
    let folder = Folder::new("bytes");
    let [one, other] = ["one", "other"].map(|name| folder.0.join(name));
    let training = trained(4, 1);
    training.save(&one, IMAGES).unwrap();
    training.save(&other, IMAGES).unwrap();
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&other).unwrap());
    assert_eq!(CapsNet::load(&one).unwrap(), training.result());
    training.result().save(&other).unwrap();
    assert_eq!(CapsNet::load(&other).unwrap(), training.result());
    assert!(matches!(fault(Training::load(&other, 1), &other), Fault::NoTraining));
}

/// Settings are text in the file; every bit of an f64 comes back.
#[test]
fn settings_come_back_to_the_bit() {
    let folder = Folder::new("settings");
    let file = folder.0.join("network");
    let mut generator = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..200 {
        let mut config = config();
        config.training.learning_rate = f64::from(f32::from_bits(generator.gen_range(1..0x7f00_0000)));
        config.training.weight_decay = f64::from_bits(generator.gen_range(1..0x7f00_0000_0000_0000));
        config.start.pose_identity = f64::from(generator.gen_range(-1e3f32..1e3));
        CapsNet::zeros(config.clone()).unwrap().save(&file).unwrap();
        assert_eq!(CapsNet::load(&file).unwrap().config(), &config);
    }
}

#[test]
fn another_training_than_is_asked_for_is_told_by_its_setting() {
    let folder = Folder::new("other");
    let file = folder.0.join("training");
    trained(2, 1).save(&file, IMAGES).unwrap();
    assert_eq!(Training::resume(&file, &config(), 7, IMAGES, 1).unwrap().step, 2);
    let mut other = config();
    other.set("batch", "4").unwrap();
    match fault(Training::resume(&file, &other, 7, IMAGES, 1), &file) {
        Fault::Setting { name: "batch", expected, found } => assert_eq!((&*expected, &*found), ("4", "3")),
        other => panic!("{other:?}"),
    }
    let seed = fault(Training::resume(&file, &config(), 8, IMAGES, 1), &file);
    assert!(matches!(seed, Fault::Setting { name: "seed", .. }), "{seed:?}");
    let images = fault(Training::resume(&file, &config(), 7, 11, 1), &file);
    assert!(matches!(images, Fault::Images { expected: 11, found: IMAGES }), "{images:?}");
}

/// A part of the file's header for another of the same length, so that all offsets stay.
fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let place = bytes.windows(from.len()).position(|run| run == from.as_bytes()).expect(from);
    let mut bytes = bytes.to_vec();
    bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn each_fault_has_its_name() {
    let folder = Folder::new("faults");
    let file = folder.0.join("training");
    trained(2, 1).save(&file, IMAGES).unwrap();
    let sound = std::fs::read(&file).unwrap();
    let load = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        fault(Training::load(&file, 1), &file)
    };
    for cut in [0, 7, 8, 100, sound.len() / 2, sound.len() - 1] {
        assert!(matches!(load(&sound[..cut]), Fault::Damaged { .. }), "cut to {cut}");
    }
    assert!(matches!(load(b"PK\x03\x04 a zip archive"), Fault::Damaged { .. }));
    let mut flipped = sound.clone();
    flipped[sound.len() - 4] ^= 1; // the lowest bit of a number: only the checksum tells
    assert!(matches!(load(&flipped), Fault::Checksum { .. }));
    let mut infinite = sound.clone();
    let end = infinite.len();
    infinite[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    assert!(matches!(load(&infinite), Fault::NonFinite { .. }));

    let text = |from, to| load(&replaced(&sound, from, to));
    assert!(matches!(text("format = 1", "format = 9"), Fault::Version { found, .. } if found == "9"));
    assert!(matches!(text("format = 1", "farmat = 1"), Fault::Line { name: "format", found: None }));
    assert!(matches!(text("seed = 7", "seed = x"), Fault::Line { name: "seed", found: Some(_) }));
    assert!(matches!(text("batch = 3", "batch = 0"), Fault::Settings { .. }));
    assert!(matches!(text("batch = 3", "botch = 3"), Fault::Settings { .. }));
    assert!(matches!(text("step = 2", "step = 1"), Fault::Checksum { .. }));
    assert!(matches!(text("features = 2", "features = 9"), Fault::Shape { .. }));
    assert!(matches!(text("\"class.beta_a\"", "\"class.beta_x\""), Fault::Missing { .. }));
    assert!(matches!(text("\"em-routing\"", "\"xm-routing\""), Fault::Foreign));
    assert!(matches!(text("\"F32\"", "\"I32\""), Fault::Kind { found, .. } if found == "I32"));
}

/// What cannot be read again is not written over what can.
#[test]
fn numbers_that_are_not_finite_are_not_written() {
    let folder = Folder::new("nonfinite");
    let file = folder.0.join("training");
    let mut training = trained(1, 1);
    training.save(&file, IMAGES).unwrap();
    let before = std::fs::read(&file).unwrap();
    training.adam.second[3] = f32::NAN;
    assert!(matches!(fault(training.save(&file, IMAGES), &file), Fault::NonFinite { .. }));
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

/// Files with a few bytes changed, cut off or put in: the training that was written or an error with the file's name, and no
/// allocation beyond the file's size. `EM_ROUTING_FUZZ=1000000` tries as many.
#[test]
fn mutated_files_do_no_harm() {
    let cases = std::env::var("EM_ROUTING_FUZZ").map_or(4_000, |count| count.parse().unwrap());
    let folder = Folder::new("fuzz");
    let file = folder.0.join("training");
    let training = trained(2, 1);
    training.save(&file, IMAGES).unwrap();
    let sound = std::fs::read(&file).unwrap();
    let header = 8 + u64::from_le_bytes(*sound.first_chunk().unwrap()) as usize;
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let [mut read, mut refused] = [0; 2];
    for case in 0..cases {
        let mut bytes = sound.clone();
        for _ in 0..generator.gen_range(1..=3) {
            // the header is where most is decided
            let end = if generator.gen_bool(0.7) { header.min(bytes.len()) } else { bytes.len() };
            let place = generator.gen_range(0..=end);
            match generator.gen_range(0..5) {
                0 => bytes.truncate(place),
                1 => bytes.insert(place, generator.r#gen()),
                2 => {
                    let run = bytes[place..(place + generator.gen_range(0..40)).min(bytes.len())].to_vec();
                    bytes.splice(place..place, run);
                }
                // a digit for a digit keeps the header one that can be read
                3 => {
                    if let Some(digit) = bytes[place..].iter_mut().find(|byte| byte.is_ascii_digit()) {
                        *digit = b'0' + generator.gen_range(0..10);
                    }
                }
                _ => {
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte ^= 1 << generator.gen_range(0..8);
                    }
                }
            }
        }
        std::fs::write(&file, &bytes).unwrap();
        LARGEST.set(0);
        let outcome = Training::load(&file, 1);
        // a growing vector has up to twice what it holds
        assert!(LARGEST.get() <= (1 << 16) + 2 * bytes.len(), "case {case}: {} bytes", LARGEST.get());
        match outcome {
            Ok((found, images)) => {
                read += 1;
                assert_eq!((images, bits(&found)), (IMAGES, bits(&training)), "case {case}");
            }
            Err(Error::Checkpoint { path, .. }) => {
                refused += 1;
                assert_eq!(path, file, "case {case}");
            }
            Err(other) => panic!("case {case}: {other:?}"),
        }
    }
    println!("{read} read, {refused} refused");
    assert!(refused > cases / 2, "{read} read, {refused} refused");
}
