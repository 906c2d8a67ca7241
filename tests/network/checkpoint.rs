//! Checkpoints: read back to the bit, refused with the fault's name, and harmless whatever their bytes are.

use std::path::PathBuf;

use em_routing::capsnet::checkpoint::Fault;
use em_routing::capsnet::{CapsNet, CapsNetConfig, Training};
use em_routing::data::idx::Images;
use em_routing::error::Error;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::{Folder, LARGEST};

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
    (0..steps).for_each(|_| drop(training.step(&images()).unwrap()));
    training
}

/// The bits of all that a training has learnt.
fn bits(training: &Training) -> Vec<u32> {
    let average = training.average.as_ref().map_or(&[][..], |average| average.numbers());
    let vectors = [training.net.parameters().numbers(), &training.adam.first, &training.adam.second, average];
    vectors.into_iter().flatten().map(|number| number.to_bits()).collect()
}

fn fault(outcome: em_routing::error::Result<impl std::fmt::Debug>, file: &PathBuf) -> Fault {
    match outcome {
        Err(Error::Checkpoint { path, fault }) => {
            assert_eq!(&path, file);
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
            (stop..12).for_each(|_| drop(training.step(&images()).unwrap()));
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
    // another program finds each part under its name, in its shape
    let bytes = std::fs::read(&other).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    for part in training.result().parameters().parts() {
        assert_eq!(tensors.tensor(&part.name).unwrap().shape(), part.shape, "{}", part.name);
    }
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
        let net = CapsNet::zeros(config.clone()).unwrap();
        net.save(&file).unwrap();
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

type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// A training's file with its text and its tensors changed.
fn rewritten(change: impl FnOnce(&mut String, &mut Vec<Tensor>)) -> Vec<u8> {
    let folder = Folder::new("rewritten");
    let file = folder.0.join("training");
    trained(2, 1).save(&file, IMAGES).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut text = metadata.metadata().as_ref().unwrap()["em-routing"].clone();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let mut tensors: Vec<Tensor> = tensors
        .into_iter()
        .map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    change(&mut text, &mut tensors);
    let views = tensors
        .iter()
        .map(|(name, kind, shape, data)| (name, TensorView::new(*kind, shape.clone(), data).unwrap()));
    let metadata = [("em-routing".to_owned(), text)].into_iter().collect();
    safetensors::serialize(views, Some(metadata)).unwrap()
}

#[test]
fn each_fault_has_its_name() {
    let folder = Folder::new("faults");
    let file = folder.0.join("training");
    let load = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        fault(Training::load(&file, 1), &file)
    };
    let sound = rewritten(|_, _| ());
    std::fs::write(&file, &sound).unwrap();
    Training::load(&file, 1).unwrap();

    for cut in [0, 7, 8, 100, sound.len() / 2, sound.len() - 1] {
        assert!(matches!(load(&sound[..cut]), Fault::Damaged { .. }), "cut to {cut}");
    }
    assert!(matches!(load(b"PK\x03\x04 a zip archive"), Fault::Damaged { .. }));
    assert!(matches!(load(&[&sound[..], &[0]].concat()), Fault::Damaged { .. }));
    let mut flipped = sound.clone();
    *flipped.last_mut().unwrap() ^= 1 << 2; // a number stays finite: only the checksum tells
    flipped[sound.len() - 3] ^= 1;
    let fault = load(&flipped);
    assert!(matches!(fault, Fault::Checksum { .. } | Fault::NonFinite { .. }), "{fault:?}");
    flipped = sound.clone();
    flipped[sound.len() - 4] ^= 1;
    assert!(matches!(load(&flipped), Fault::Checksum { .. }));

    let text = |from: &'static str, to: &'static str| {
        rewritten(move |text, _| {
            assert!(text.contains(from));
            *text = text.replacen(from, to, 1);
        })
    };
    assert!(matches!(load(&text("format = 1", "format = 9")), Fault::Version { found, .. } if found == "9"));
    assert!(matches!(load(&text("format = 1\n", "")), Fault::Line { name: "format", found: None }));
    assert!(matches!(load(&text("seed = 7", "seed = -7")), Fault::Line { name: "seed", found: Some(_) }));
    assert!(matches!(load(&text("updates = 2\n", "")), Fault::Line { name: "updates", found: None }));
    assert!(matches!(load(&text("batch = 3", "batch = 0")), Fault::Settings { .. }));
    assert!(matches!(load(&text("batch = 3", "bach = 3")), Fault::Settings { .. }));
    assert!(matches!(load(&text("step = 2", "step = 1")), Fault::Checksum { .. }));
    // sizes that only the text promises are never allocated
    LARGEST.set(0);
    assert!(matches!(load(&text("features = 2", "features = 60000")), Fault::Shape { .. }));
    assert!(matches!(load(&text("features = 2", "features = 18446744073709551615")), Fault::Settings { .. }));
    assert!(LARGEST.get() <= 1 << 18, "{} bytes at once", LARGEST.get());

    let tensors = |change: fn(&mut Vec<Tensor>)| rewritten(move |_, tensors| change(tensors));
    assert!(matches!(load(&tensors(|all| drop(all.remove(0)))), Fault::Missing { .. }));
    assert!(matches!(
        load(&tensors(|all| all.push(("more".to_owned(), Dtype::F32, vec![1], vec![0; 4])))),
        Fault::Extra { .. }
    ));
    assert!(matches!(load(&tensors(|all| all[0].2.push(1))), Fault::Shape { .. }));
    assert!(
        matches!(load(&tensors(|all| all[0].1 = Dtype::I32)), Fault::Kind { found, .. } if found == "I32")
    );
    for value in [f32::NAN, f32::INFINITY] {
        let bytes = rewritten(|_, all| all[0].3[..4].copy_from_slice(&value.to_le_bytes()));
        assert!(matches!(load(&bytes), Fault::NonFinite { index: 0, .. }));
    }
    let foreign = safetensors::serialize::<String, TensorView, _>([], None).unwrap();
    assert!(matches!(load(&foreign), Fault::Foreign));
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
            match generator.gen_range(0..6) {
                0 => bytes.truncate(place),
                1 => bytes.insert(place, generator.r#gen()),
                2 => {
                    let run = bytes[place..(place + generator.gen_range(0..40)).min(bytes.len())].to_vec();
                    bytes.splice(place..place, run);
                }
                // a digit for a digit keeps the header one that can be read
                3 | 4 => {
                    let digits: Vec<usize> =
                        (8..header.min(bytes.len())).filter(|&at| bytes[at].is_ascii_digit()).collect();
                    if !digits.is_empty() {
                        bytes[digits[generator.gen_range(0..digits.len())]] =
                            b'0' + generator.gen_range(0..10);
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
