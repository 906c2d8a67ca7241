//! Checkpoints: read back bit for bit, rejected with the right fault, and harmless whatever their bytes are.

use std::path::Path;

use em_routing::capsnet::checkpoint::Fault;
use em_routing::capsnet::{Architecture, CapsNet, Recipe, Settings, Training};
use em_routing::data::idx::Images;
use em_routing::error::Error;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};

use super::Folder;
use super::chain::chain;
use super::noting::LARGEST;

const IMAGES: usize = 10;

fn settings() -> Settings {
    let architecture = Architecture {
        height: 17,
        width: 17,
        features: 2,
        deep_features: 3,
        primary: 1,
        first: 2,
        second: 1,
        classes: 3,
        ..Architecture::default()
    };
    Settings { architecture, recipe: Recipe { batch: 3, epochs: 4, ..Recipe::default() } }
}

fn images() -> Images {
    let mut generator = ChaCha8Rng::seed_from_u64(5);
    let pixels = (0..IMAGES * 17 * 17).map(|_| generator.r#gen()).collect();
    let labels = (0..IMAGES).map(|image| (image % 3) as u8).collect();
    Images { pixels, labels, height: 17, width: 17, classes: 3 }
}

fn trained(steps: usize, threads: usize) -> Training {
    let mut training = Training::new(settings(), 7, threads).unwrap();
    for _ in 0..steps {
        training.step(&images()).unwrap();
    }
    training
}

/// The bits of all numbers of a training: parameters, moments and average.
fn bits(training: &Training) -> Vec<u32> {
    let average = training.average.as_ref().map_or(&[][..], |average| average.numbers());
    let vectors = [training.net.parameters().numbers(), &training.adam.first, &training.adam.second, average];
    vectors.into_iter().flatten().map(|number| number.to_bits()).collect()
}

fn fault<T: std::fmt::Debug>(outcome: em_routing::error::Result<T>, file: &Path) -> Fault {
    match outcome {
        Err(Error::File { path, source, .. }) => {
            assert_eq!(path, file);
            *source.downcast().unwrap()
        }
        other => panic!("{other:?}"),
    }
}

/// Stopped at several steps and resumed from a file with other numbers of threads.
#[test]
fn a_resumed_training_equals_an_uninterrupted_one_bit_for_bit() {
    let folder = Folder::new("resumed");
    let file = folder.0.join("training.safetensors");
    let whole = trained(12, 1);
    for stop in [0, 1, 3, 5, 11] {
        for threads in [1, 2, 3] {
            trained(stop, 2).save(&file, &images()).unwrap();
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
fn a_training_whose_averaging_was_changed_is_saved_and_read() {
    let folder = Folder::new("averaging");
    for (before, after) in [(0.9, 0.0), (0.0, 0.9)] {
        let mut training = trained(2, 1);
        training.recipe.averaging = before;
        training.step(&images()).unwrap();
        assert_eq!(training.average.is_some(), before > 0.0);
        training.recipe.averaging = after;
        let path = folder.0.join("changed.safetensors");
        training.save(&path, &images()).unwrap();
        let (mut read, _) = Training::load(&path, 1).unwrap();
        assert_eq!(read.result(), training.result());
        read.step(&images()).unwrap();
        training.step(&images()).unwrap();
        assert_eq!(bits(&read), bits(&training));
    }
}

#[test]
fn saving_twice_gives_the_same_bytes_and_the_averaged_network() {
    let folder = Folder::new("bytes");
    let [one, other] = ["one", "other"].map(|name| folder.0.join(name));
    let training = trained(4, 1);
    training.save(&one, &images()).unwrap();
    training.save(&other, &images()).unwrap();
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&other).unwrap());
    assert_eq!(CapsNet::load(&one).unwrap(), training.result());
    training.result().save(&other).unwrap();
    assert_eq!(CapsNet::load(&other).unwrap(), training.result());
    assert!(matches!(fault(Training::load(&other, 1), &other), Fault::NoTraining));
}

#[test]
fn a_network_of_16_bits_has_half_the_bytes_and_nearly_the_same_numbers() {
    let folder = Folder::new("half");
    let file = folder.0.join("half");
    let net = trained(4, 1).result();
    let [bytes, whole] = [net.half_bytes(&file).unwrap(), net.bytes(&file).unwrap()];
    let numbers = net.parameters().len();
    // but for the header, where offsets have fewer digits
    assert!((whole.len() - bytes.len()).abs_diff(2 * numbers) < 200, "{} and {}", whole.len(), bytes.len());
    std::fs::write(&file, &bytes).unwrap();
    let read = CapsNet::load(&file).unwrap();
    assert_eq!(read.architecture(), net.architecture());
    for (half, whole) in read.parameters().numbers().iter().zip(net.parameters().numbers()) {
        assert!((half - whole).abs() <= whole.abs() / 2048.0 + 3e-8, "{half} and {whole}");
    }
    // what was rounded once stays as it is
    assert_eq!(read.half_bytes(&file).unwrap(), bytes);
    let mut large = net.clone();
    large.parameters_mut().numbers_mut()[3] = 1e5;
    let bytes = large.half_bytes(&file).unwrap();
    assert!(matches!(fault(CapsNet::from_bytes(&file, &bytes), &file), Fault::NonFinite { index: 3, .. }));
}

/// The file holds settings as text, from which every bit of an f64 must be restored.
#[test]
fn settings_are_restored_bit_for_bit() {
    let folder = Folder::new("settings");
    let file = folder.0.join("network");
    let mut generator = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..200 {
        let mut settings = settings();
        settings.recipe.learning_rate = f64::from(f32::from_bits(generator.gen_range(1..0x7f00_0000)));
        settings.recipe.weight_decay = f64::from_bits(generator.gen_range(1..0x7f00_0000_0000_0000));
        settings.architecture.start.pose_identity = f64::from(generator.gen_range(-1e3f32..1e3));
        let training = Training::new(settings.clone(), 1, 1).unwrap();
        training.save(&file, &images()).unwrap();
        assert_eq!(Training::load(&file, 1).unwrap().0.settings(), settings);
        training.net.save(&file).unwrap();
        assert_eq!(CapsNet::load(&file).unwrap().architecture(), &settings.architecture);
    }
}

#[test]
fn resuming_with_another_setting_seed_or_image_is_an_error() {
    let folder = Folder::new("other");
    let file = folder.0.join("training");
    trained(2, 1).save(&file, &images()).unwrap();
    let resume = |settings: &Settings, seed, images: &Images| {
        Training::resume(&file, settings, seed, images, 1).map(|training| training.step)
    };
    assert_eq!(resume(&settings(), 7, &images()).unwrap(), 2);
    let mut other = settings();
    other.set("batch", "4").unwrap();
    match fault(resume(&other, 7, &images()), &file) {
        Fault::Setting { name, expected, found } => {
            assert_eq!((&*name, &*expected, &*found), ("batch", "4", "3"));
        }
        other => panic!("{other:?}"),
    }
    let seed = fault(resume(&settings(), 8, &images()), &file);
    assert!(matches!(&seed, Fault::Setting { name, .. } if name == "seed"), "{seed:?}");
    let fewer = fault(resume(&settings(), 7, &images().slice(0..9)), &file);
    assert!(matches!(fewer, Fault::Images { expected: 9, found: IMAGES }), "{fewer:?}");
    // the same number of images, but another pixel, another label, or another shape
    let changes: [fn(&mut Images); 3] = [
        |images| images.pixels[500] ^= 1,
        |images| images.labels[3] = 2,
        |images| (images.height, images.width) = (1, 17 * 17),
    ];
    for change in changes {
        let mut others = images();
        change(&mut others);
        match fault(resume(&settings(), 7, &others), &file) {
            Fault::OtherImages { expected, found } => assert_ne!(expected, found),
            other => panic!("{other:?}"),
        }
    }
}

/// Older files lack the checksum of the images; only the number of images is compared.
#[test]
fn a_file_without_a_checksum_of_its_images_is_resumed() {
    let folder = Folder::new("before");
    let file = folder.0.join("training");
    trained(2, 1).save(&file, &images()).unwrap();
    let parts = Parts::read(&file);
    let lines: Vec<&str> = parts.text.lines().filter(|line| !line.starts_with("images-checksum")).collect();
    assert_eq!(lines.len() + 1, parts.text.lines().count());
    Parts { text: lines.join("\n") + "\n", ..parts }.write(&file);
    let training = Training::resume(&file, &settings(), 7, &images(), 1).unwrap();
    assert_eq!(bits(&training), bits(&trained(2, 1)));
}

/// The setting `coordinate-addition` is newer than the first files, whose networks add coordinates.
#[test]
fn a_network_without_coordinate_addition_is_restored_and_a_file_without_the_line_adds() {
    let folder = Folder::new("coordinates");
    let file = folder.0.join("network");
    let mut settings = settings();
    settings.set("coordinate-addition", "false").unwrap();
    let mut training = Training::new(settings, 7, 1).unwrap();
    training.step(&images()).unwrap();
    training.save(&file, &images()).unwrap();
    let read = CapsNet::load(&file).unwrap();
    assert_eq!(read, training.result());
    let parts = Parts::read(&file);
    let text = parts.text.replace("coordinate-addition = false\n", "");
    assert_ne!(text, parts.text);
    Parts { text, ..parts }.write(&file);
    let adds = CapsNet::load(&file).unwrap();
    assert!(adds.architecture().routing.coordinate_addition);
    let pixels = read.pixels(&images(), &[0]).unwrap();
    // with one position, coordinates only move the mean
    let [with, without] = [&adds, &read].map(|net| net.forward(&pixels, 1).unwrap().classes().poses.clone());
    assert!((with[0] - without[0] - 0.5).abs() <= 1e-5, "{} and {}", with[0], without[0]);
}

/// The parts of a file, read by the safetensors library, to be changed and written again.
#[derive(Clone)]
struct Parts {
    /// The metadata's text without the line of the checksum.
    text: String,
    /// In the order of the layout, which is the order of the checksum.
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

impl Parts {
    fn read(file: &Path) -> Parts {
        let bytes = std::fs::read(file).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let text = metadata.metadata().as_ref().unwrap()["em-routing"].clone();
        let text = text[..text.rfind("checksum = ").unwrap()].to_owned();
        let views = SafeTensors::deserialize(&bytes).unwrap();
        let layout = settings().architecture.parameters().unwrap();
        let names = ["", "first_moment.", "second_moment.", "average."]
            .into_iter()
            .flat_map(|prefix| layout.iter().map(move |part| format!("{prefix}{}", part.name)));
        let tensors = names.map(|name| {
            let view = views.tensor(&name).unwrap();
            (name, view.dtype(), view.shape().to_vec(), view.data().to_vec())
        });
        Parts { text, tensors: tensors.collect() }
    }

    /// Writes the parts with their right checksum, so that the checksum is never the fault.
    fn write(&self, file: &Path) {
        let contents = self.tensors.iter().flat_map(|(_, _, _, data)| data);
        let checksum = crc32c(self.text.bytes().chain(contents.copied()));
        let text = format!("{}checksum = {checksum:08x}\n", self.text);
        let views = self.tensors.iter().map(|(name, dtype, shape, data)| {
            (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        let metadata = [("em-routing".to_owned(), text)].into_iter().collect();
        std::fs::write(file, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
    }

    fn tensor(&mut self, name: &str) -> &mut (String, Dtype, Vec<usize>, Vec<u8>) {
        self.tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap()
    }
}

/// CRC-32C, a bit at a time.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

/// The safetensors library finds each number under its name, and a file that it writes can be read.
#[test]
fn the_safetensors_library_reads_and_writes_checkpoints() {
    let folder = Folder::new("foreign");
    let file = folder.0.join("training");
    let training = trained(3, 1);
    training.save(&file, &images()).unwrap();
    let mut parts = Parts::read(&file);
    let vectors = [
        ("", training.net.parameters().numbers()),
        ("first_moment.", &training.adam.first),
        ("second_moment.", &training.adam.second),
        ("average.", training.average.as_ref().unwrap().numbers()),
    ];
    let layout = training.net.parameters().parts();
    assert_eq!(parts.tensors.len(), vectors.len() * layout.len());
    for (prefix, vector) in vectors {
        for part in layout {
            let (name, dtype, shape, data) = parts.tensor(&format!("{prefix}{}", part.name));
            assert_eq!((*dtype, &*shape), (Dtype::F32, &part.shape), "{name}");
            let numbers: Vec<u8> = vector[part.range.clone()].iter().flat_map(|x| x.to_le_bytes()).collect();
            assert_eq!(*data, numbers, "{name}");
        }
    }
    assert!(parts.text.contains("\nstep = 3\n") && parts.text.ends_with(&settings().lines()));
    parts.write(&file);
    assert_eq!(bits(&Training::load(&file, 1).unwrap().0), bits(&training));
}

/// Tensors that do not fit the settings, in files that are otherwise valid.
#[test]
fn errors_name_a_tensor_that_does_not_fit_the_settings() {
    let folder = Folder::new("tensors");
    let file = folder.0.join("training");
    trained(2, 1).save(&file, &images()).unwrap();
    let sound = Parts::read(&file);
    let load = |change: &dyn Fn(&mut Parts)| {
        let mut parts = sound.clone();
        change(&mut parts);
        parts.write(&file);
        fault(Training::load(&file, 1), &file)
    };
    let count = sound.tensors.len();
    match load(&|parts| parts.tensors.push(("more".into(), Dtype::F32, vec![2], vec![0; 8]))) {
        Fault::Extra { expected, found } => assert_eq!((expected, found), (count, count + 1)),
        other => panic!("{other:?}"),
    }
    for name in
        ["first.transforms", "first_moment.class.beta_v", "second_moment.poses.bias", "average.features.bias"]
    {
        let missing = load(&|parts| parts.tensors.retain(|tensor| tensor.0 != name));
        assert!(matches!(&missing, Fault::Missing { tensor } if tensor == name), "{missing:?}");
        let flat = load(&|parts| {
            let (_, _, shape, _) = parts.tensor(name);
            *shape = vec![1, shape.iter().product()];
        });
        assert!(matches!(&flat, Fault::Shape { tensor, .. } if tensor == name), "{flat:?}");
        let wide = load(&|parts| {
            let (_, dtype, _, data) = parts.tensor(name);
            (*dtype, *data) = (Dtype::F64, [&data[..], &data[..]].concat());
        });
        assert!(
            matches!(&wide, Fault::Kind { tensor, found } if tensor == name && found == "F64"),
            "{wide:?}"
        );
        let longer = load(&|parts| {
            let (_, _, shape, data) = parts.tensor(name);
            (*shape, *data) = (vec![data.len() / 4 + 1], [&data[..], &[0; 4]].concat());
        });
        assert!(matches!(&longer, Fault::Shape { tensor, .. } if tensor == name), "{longer:?}");
    }
}

/// The bytes of a file with this header and these numbers.
fn with_header(header: &str, numbers: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), numbers].concat()
}

/// Long headers, large shapes, large networks, and files larger than any network.
#[test]
fn a_size_that_a_header_only_claims_is_never_allocated() {
    let folder = Folder::new("promises");
    let file = folder.0.join("training");
    trained(2, 1).save(&file, &images()).unwrap();
    let sound = std::fs::read(&file).unwrap();
    let sizes = |shape: &str, end: u64| {
        with_header(
            &format!(r#"{{"x":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#),
            &[0; 8],
        )
    };
    let length = |length: u64| [&length.to_le_bytes(), &sound[8..]].concat();
    let large = with_header(
        r#"{"__metadata__":{"em-routing":"format = 1\nfeatures = 65536\nprimary = 65536\nchecksum = 0\n"}}"#,
        &[],
    );
    let cases = [
        ("a header longer than the file", length(sound.len() as u64)),
        ("a header that ends with the file", length(sound.len() as u64 - 8)),
        ("a header of 2^63 bytes", length(1 << 63)),
        ("a header of 2^64 - 1 bytes", length(u64::MAX)),
        ("a header of 0 bytes", length(0)),
        ("a tensor of 2^42 bytes", sizes("[1048576,1048576]", 1 << 42)),
        ("a shape whose product does not fit", sizes("[4294967296,4294967296,4294967296]", 8)),
        ("an end of 2^64 - 1", sizes("[2]", u64::MAX)),
        ("a network of 2^36 parameters", large),
    ];
    for (name, bytes) in &cases {
        std::fs::write(&file, bytes).unwrap();
        LARGEST.set(0);
        let found = fault(Training::load(&file, 1), &file);
        assert!(LARGEST.get() <= (1 << 16) + 2 * bytes.len(), "{name}: {} bytes", LARGEST.get());
        match *name {
            "a network of 2^36 parameters" => assert!(matches!(found, Fault::Settings { .. }), "{found:?}"),
            _ => assert!(matches!(found, Fault::Damaged { .. }), "{name}: {found:?}"),
        }
    }
    // a sparse file of 2 GiB
    std::fs::File::create(&file).unwrap().set_len(1 << 31).unwrap();
    LARGEST.set(0);
    assert!(matches!(fault(CapsNet::load(&file), &file), Fault::Large { .. }));
    assert!(LARGEST.get() <= 1 << 16, "{} bytes", LARGEST.get());
}

/// Files cut off at the end of each section and tensor and one byte before and after it; files with a bit flipped in each tensor.
#[test]
fn every_truncation_and_every_flipped_bit_is_detected() {
    let folder = Folder::new("sections");
    let file = folder.0.join("training");
    trained(2, 1).save(&file, &images()).unwrap();
    let sound = std::fs::read(&file).unwrap();
    let load = |bytes: &[u8]| {
        std::fs::remove_file(&file).unwrap(); // writing over a file waits for the disk on ext4
        std::fs::write(&file, bytes).unwrap();
        fault(Training::load(&file, 1), &file)
    };
    let (length, metadata) = SafeTensors::read_metadata(&sound).unwrap();
    let header = 8 + length;
    let mut ends: Vec<usize> =
        metadata.tensors().values().map(|tensor| header + tensor.data_offsets.1).collect();
    ends.extend([0, 8, header]);
    ends.sort_unstable();
    assert_eq!(ends.pop(), Some(sound.len()));
    for &end in &ends {
        for cut in [end.saturating_sub(1), end, end + 1] {
            assert!(matches!(load(&sound[..cut]), Fault::Damaged { .. }), "cut to {cut}");
        }
    }
    for &start in &ends[2..] {
        let mut flipped = sound.clone();
        flipped[start] ^= 1 << (start % 7);
        let found = load(&flipped);
        assert!(matches!(found, Fault::Checksum { .. }), "a bit of byte {start}: {found:?}");
    }
}

/// Replaces a part of the file's header by another of the same length, so that all offsets stay valid.
fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let place = bytes.windows(from.len()).position(|run| run == from.as_bytes()).expect(from);
    let mut bytes = bytes.to_vec();
    bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn each_kind_of_damage_gives_its_own_error_variant() {
    let folder = Folder::new("faults");
    let file = folder.0.join("training");
    trained(2, 1).save(&file, &images()).unwrap();
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
    flipped[sound.len() - 4] ^= 1; // the lowest bit of a number: only the checksum can detect it
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

#[test]
fn the_sources_of_an_error_end_at_its_root_cause() {
    let folder = Folder::new("sources");
    let file = folder.0.join("training");
    trained(2, 1).save(&file, &images()).unwrap();
    let sound = std::fs::read(&file).unwrap();
    let load = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        Training::load(&file, 1).unwrap_err()
    };
    // a setting out of its range, and an unknown one
    let error = load(&replaced(&sound, "batch = 3", "batch = 0"));
    let [_, fault, root] = chain(&error)[..] else { panic!("{error:?}") };
    assert!(matches!(fault.downcast_ref(), Some(Fault::Settings { .. })), "{fault:?}");
    assert!(matches!(root.downcast_ref(), Some(Error::Empty { .. })), "{root:?}");
    let error = load(&replaced(&sound, "batch = 3", "botch = 3"));
    let root = chain(&error).pop().and_then(|root| root.downcast_ref());
    assert!(matches!(root, Some(Error::UnknownName { found, .. }) if found == "botch"), "{error:?}");

    let error = load(&sound[..sound.len() - 1]);
    let [_, fault, root] = chain(&error)[..] else { panic!("{error:?}") };
    assert!(matches!(fault.downcast_ref(), Some(Fault::Damaged { .. })), "{fault:?}");
    assert!(root.is::<SafeTensorError>(), "{root:?}");
    std::fs::remove_file(&file).unwrap();
    let error = Training::load(&file, 1).unwrap_err();
    assert!(chain(&error).last().is_some_and(|root| root.is::<std::io::Error>()), "{error:?}");
}

/// A file that could not be read again must not replace a good one.
#[test]
fn numbers_that_are_not_finite_are_not_written() {
    let folder = Folder::new("nonfinite");
    let file = folder.0.join("training");
    let mut training = trained(1, 1);
    training.save(&file, &images()).unwrap();
    let before = std::fs::read(&file).unwrap();
    training.adam.second[3] = f32::NAN;
    assert!(matches!(fault(training.save(&file, &images()), &file), Fault::NonFinite { .. }));
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

/// Files with a few bytes changed, cut off or inserted give the training that was written or an error with the file's name, and
/// allocate little more than the file's size. `EM_ROUTING_FUZZ=1000000` tries this number of files.
#[test]
fn mutated_files_never_panic_or_allocate_too_much() {
    let cases = std::env::var("EM_ROUTING_FUZZ").map_or(4_000, |count| count.parse().unwrap());
    let folder = Folder::new("fuzz");
    let file = folder.0.join("training");
    let training = trained(2, 1);
    training.save(&file, &images()).unwrap();
    let sound = std::fs::read(&file).unwrap();
    let header = 8 + u64::from_le_bytes(*sound.first_chunk().unwrap()) as usize;
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let [mut read, mut refused] = [0; 2];
    for case in 0..cases {
        let mut bytes = sound.clone();
        for _ in 0..generator.gen_range(1..=3) {
            // most decisions depend on the header
            let end = if generator.gen_bool(0.7) { header.min(bytes.len()) } else { bytes.len() };
            let place = generator.gen_range(0..=end);
            match generator.gen_range(0..5) {
                0 => bytes.truncate(place),
                1 => bytes.insert(place, generator.r#gen()),
                2 => {
                    let run = bytes[place..(place + generator.gen_range(0..40)).min(bytes.len())].to_vec();
                    bytes.splice(place..place, run);
                }
                // replacing a digit by a digit keeps the header readable
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
        std::fs::remove_file(&file).unwrap(); // writing over a file waits for the disk on ext4
        std::fs::write(&file, &bytes).unwrap();
        LARGEST.set(0);
        let outcome = Training::load(&file, 1);
        // a growing vector may allocate up to twice its length
        assert!(LARGEST.get() <= (1 << 16) + 2 * bytes.len(), "case {case}: {} bytes", LARGEST.get());
        match outcome {
            Ok((found, images)) => {
                read += 1;
                assert_eq!((images, bits(&found)), (IMAGES, bits(&training)), "case {case}");
            }
            Err(error @ Error::File { .. }) if error.fault::<Fault>().is_none() => {
                panic!("case {case}: {error:?}")
            }
            Err(Error::File { path, .. }) => {
                refused += 1;
                assert_eq!(path, file, "case {case}");
            }
            Err(other) => panic!("case {case}: {other:?}"),
        }
    }
    println!("{read} read, {refused} refused");
    assert!(refused > cases / 2, "{read} read, {refused} refused");
}
