//! IDX files: MNIST is read as shipped, every fault is reported with the path, and mutated files cause neither panics nor
//! large allocations.

use std::io::Write as _;
use std::path::Path;

use em_routing::data::idx::Fault;
use em_routing::prelude::*;
use flate2::{Compression, write::GzEncoder};
use rand::{Rng, SeedableRng};

#[path = "support/chain.rs"]
mod chain;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/noting.rs"]
mod noting;

use chain::chain;
use folder::Folder;
use noting::LARGEST;

fn file(kind: u8, sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, kind, sizes.len() as u8];
    file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    file.extend(bytes);
    file
}

/// Images of 3 x 2 with consecutive grey levels.
fn images(count: u32) -> Vec<u8> {
    file(8, &[count, 3, 2], &(0..count * 6).map(|level| level as u8).collect::<Vec<_>>())
}

fn labels(values: &[u8]) -> Vec<u8> {
    file(8, &[values.len() as u32], values)
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A set of 5 training images and 2 test images.
fn small_set(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("train-images-idx3-ubyte", &images(5));
    folder.write("train-labels-idx1-ubyte.gz", &packed(&labels(&[3, 1, 4, 1, 5])));
    folder.write("t10k-images-idx3-ubyte.gz", &packed(&images(2)));
    folder.write("t10k-labels-idx1-ubyte", &labels(&[9, 2]));
    folder
}

/// Returns the fault of an image file with these bytes and four labels; checks that the error names the file.
fn image_fault(folder: &Folder, bytes: &[u8]) -> Fault {
    let labels = folder.write("labels", &labels(&[0, 1, 2, 3]));
    fault_at(&folder.write("images", bytes), Images::read(&folder.0.join("images"), &labels, 10))
}

fn fault_at<T: std::fmt::Debug>(file: &Path, outcome: em_routing::error::Result<T>) -> Fault {
    let error = outcome.expect_err("the file is at fault");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{}: ", file.display())), "{text}");
    match error {
        Error::File { path, source, .. } if path == file => *source.downcast().expect("a fault of IDX"),
        other => panic!("{other:?}"),
    }
}

/// Faults hold system errors, which cannot be compared; their debug output can.
#[track_caller]
fn assert_same(found: impl std::fmt::Debug, expected: impl std::fmt::Debug) {
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
}

#[test]
fn mnist_has_the_known_numbers_of_images_and_mean_grey_level() {
    let digits = ImageSet::load(shipped::mnist_folder(), 5_000).unwrap();
    for (part, count) in [(&digits.train, 55_000), (&digits.validation, 5_000), (&digits.test, 10_000)] {
        assert_eq!((part.len(), part.height, part.width, part.classes), (count, 28, 28, 10));
        assert_eq!(part.pixels.len(), count * 28 * 28);
    }
    let counts = |parts: &[&Images]| {
        let mut counts = [0; 10];
        parts.iter().flat_map(|part| &part.labels).for_each(|&label| counts[usize::from(label)] += 1);
        counts
    };
    let all = counts(&[&digits.train, &digits.validation]);
    assert_eq!(all, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    assert_eq!(counts(&[&digits.test]), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    // The mean grey level of all training images, used by many programs for normalisation: 0.1307.
    let levels = digits.train.pixels.iter().chain(&digits.validation.pixels).map(|&level| u64::from(level));
    let mean = levels.sum::<u64>() as f64 / (60_000.0 * 784.0) / 255.0;
    assert!((mean - 0.1307).abs() <= 0.00005, "{mean}");
}

#[test]
fn the_last_images_are_the_validation_set() {
    let folder = small_set("split");
    let set = ImageSet::load(&folder.0, 2).unwrap();
    assert_eq!(
        (set.train.labels.as_slice(), set.validation.labels.as_slice()),
        (&[3, 1, 4][..], &[1, 5][..])
    );
    assert_eq!(
        (set.train.image(2), set.validation.image(0)),
        (&[12, 13, 14, 15, 16, 17][..], &[18, 19, 20, 21, 22, 23][..])
    );
    assert_eq!((set.test.labels.as_slice(), set.test.pixels.len()), (&[9, 2][..], 12));
    let middle = set.train.slice(1..3);
    assert_eq!(
        (middle.len(), middle.labels.as_slice(), middle.image(1)),
        (2, &[1, 4][..], set.train.image(2))
    );
    let whole = ImageSet::load(&folder.0, 0).unwrap();
    assert!(whole.train.len() == 5 && whole.validation.is_empty());
    assert!(matches!(ImageSet::load(&folder.0, 5), Err(Error::Setting { value: 5.0, .. })));
    assert_eq!(ImageSet::load_training(&folder.0, 2, 10).unwrap(), (set.train, set.validation));
    assert_eq!(ImageSet::load_test(&folder.0, 10).unwrap(), set.test);
}

#[test]
fn errors_say_what_is_wrong_with_an_idx_file() {
    let folder = Folder::new("faults");
    let good = images(4);
    let full = good.len() as u64;
    let mut magic = good.clone();
    magic[0] = 7;
    assert_same(image_fault(&folder, &magic), Fault::Magic { found: [7, 0, 8, 3] });
    assert_same(image_fault(&folder, &file(0x0d, &[4, 3, 2], &[0; 96])), Fault::Kind { code: 0x0d });
    assert_same(image_fault(&folder, &labels(&[0, 1, 2, 3])), Fault::Dimensions { expected: 3, found: 1 });
    for sizes in [[0, 3, 2], [4, 0, 2], [4, 3, 0], [u32::MAX; 3]] {
        assert_same(image_fault(&folder, &file(8, &sizes, &[])), Fault::Sizes { sizes: sizes.to_vec() });
    }
    for (cut, expected) in [(0, 4), (3, 4), (4, 16), (15, 16), (16, full), (full - 1, full)] {
        let fault = Fault::Truncated { expected, found: cut };
        assert_same(image_fault(&folder, &good[..cut as usize]), &fault);
        if cut > 0 {
            assert_same(image_fault(&folder, &packed(&good[..cut as usize])), &fault);
        }
    }
    let longer = [good.as_slice(), &[0]].concat();
    assert_same(image_fault(&folder, &longer), Fault::Trailing { expected: full });
    assert_same(image_fault(&folder, &packed(&longer)), Fault::Trailing { expected: full });
}

#[test]
fn errors_say_what_is_wrong_with_a_gzip_file() {
    let folder = Folder::new("gzip");
    let whole = packed(&images(4));
    assert!(matches!(image_fault(&folder, &packed(&[])), Fault::Truncated { expected: 4, found: 0 }));
    for cut in 2..whole.len() {
        let fault = image_fault(&folder, &whole[..cut]);
        assert!(matches!(fault, Fault::Gzip { .. }), "cut off at {cut}: {fault:?}");
    }
    let mut checksum = whole.clone();
    let place = checksum.len() - 8;
    checksum[place] ^= 1;
    assert!(matches!(image_fault(&folder, &checksum), Fault::Gzip { .. }));
    let mut method = whole.clone();
    method[2] = 9;
    assert!(matches!(image_fault(&folder, &method), Fault::Gzip { .. }));
    let garbage = [whole.as_slice(), b"garbage"].concat();
    assert!(matches!(image_fault(&folder, &garbage), Fault::Gzip { .. }));
}

#[test]
fn the_sources_of_an_error_end_at_its_root_cause() {
    let folder = Folder::new("sources");
    let labels = folder.write("labels", &labels(&[0, 1, 2, 3]));
    let read = |bytes: &[u8]| Images::read(&folder.write("images", bytes), &labels, 10).unwrap_err();
    let whole = packed(&images(4));
    for cut in [12, whole.len() - 1] {
        let error = read(&whole[..cut]);
        let [_, fault, root] = chain(&error)[..] else { panic!("{error:?}") };
        assert!(matches!(fault.downcast_ref(), Some(Fault::Gzip { .. })), "{fault:?}");
        let root = root.downcast_ref::<std::io::Error>().expect("the system's error");
        assert_eq!(root.kind(), std::io::ErrorKind::UnexpectedEof);
    }
    let error = read(b"\x07\0\x08\x03");
    let [_, root] = chain(&error)[..] else { panic!("{error:?}") };
    assert!(matches!(root.downcast_ref(), Some(Fault::Magic { .. })), "{root:?}");
    let error = Images::read(&folder.0.join("missing"), &labels, 10).unwrap_err();
    assert!(chain(&error).last().is_some_and(|root| root.is::<std::io::Error>()), "{error:?}");
}

#[test]
fn errors_say_which_files_of_a_set_do_not_match() {
    let folder = small_set("between");
    let load = || ImageSet::load(&folder.0, 1);
    let train_labels = folder.write("train-labels-idx1-ubyte", &labels(&[3, 1, 4, 1]));
    let other = folder.0.join("train-images-idx3-ubyte");
    assert_same(fault_at(&train_labels, load()), Fault::Count { labels: 4, images: 5, other });
    folder.write("train-labels-idx1-ubyte", &labels(&[3, 1, 4, 10, 5]));
    assert_same(fault_at(&train_labels, load()), Fault::Label { index: 3, label: 10, classes: 10 });
    assert_eq!(ImageSet::load_classes(&folder.0, 1, 11).unwrap().train.classes, 11);
    folder.write("train-labels-idx1-ubyte", &labels(&[3, 1, 4, 1, 5]));
    let test_images = folder.write("t10k-images-idx3-ubyte", &file(8, &[2, 2, 3], &[0; 12]));
    assert_same(fault_at(&test_images, load()), Fault::Side { expected: (3, 2), found: (2, 3) });
    std::fs::remove_file(&test_images).unwrap();
    load().unwrap();
    std::fs::remove_file(folder.0.join("t10k-images-idx3-ubyte.gz")).unwrap();
    let missing = load().unwrap_err().to_string();
    assert!(missing.starts_with(&format!("{}: there is no such file", test_images.display())), "{missing}");
}

/// The file names used by unpackers, Kaggle and EMNIST.
#[test]
fn image_sets_are_found_under_all_common_file_names() {
    let names = |dot: &str, end: &str, prefix: &str, test: &str| {
        ["train", test].map(|part| {
            [
                format!("{prefix}{part}-images{dot}idx3-ubyte{end}"),
                format!("{prefix}{part}-labels{dot}idx1-ubyte{end}"),
            ]
        })
    };
    for (number, (dot, end, prefix, test)) in [
        ("-", "", "", "t10k"),
        (".", "", "", "t10k"),
        (".", ".gz", "", "t10k"),
        ("-", "", "emnist-letters-", "test"),
        ("-", ".gz", "emnist-letters-", "test"),
        (".", "", "my ", "t10k"),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = Folder::new(&format!("names-{number}"));
        let wrap = |bytes: Vec<u8>| if end.is_empty() { bytes } else { packed(&bytes) };
        for ([image, label], count) in names(dot, end, prefix, test).into_iter().zip([5, 2]) {
            folder.write(&image, &wrap(images(count)));
            folder.write(&label, &wrap(labels(&[3, 1, 4, 1, 5][..count as usize])));
        }
        let set = ImageSet::load(&folder.0, 1).unwrap();
        assert_eq!((set.train.len(), set.validation.len(), set.test.len()), (4, 1, 2), "{prefix}{dot}{end}");
    }

    // if several names match, the first in the documented order is read; folders are skipped
    let folder = small_set("order");
    folder.write("train-images-idx3-ubyte.gz", b"not read");
    folder.write("train-images.idx3-ubyte", b"not read");
    folder.write("emnist-letters-train-images-idx3-ubyte", b"not read");
    std::fs::create_dir(folder.0.join("t10k-images-idx3-ubyte")).unwrap();
    assert_eq!(ImageSet::load(&folder.0, 1).unwrap().train.len(), 4);

    // with several sets, none is read
    let folder = Folder::new("several");
    for set in ["letters", "digits"] {
        folder.write(&format!("emnist-{set}-train-images-idx3-ubyte.gz"), b"");
    }
    let text = ImageSet::load_training(&folder.0, 0, 10).unwrap_err().to_string();
    assert!(text.contains("several sets") && text.contains("emnist-digits-…, emnist-letters-…"), "{text}");
    std::fs::remove_file(folder.0.join("emnist-digits-train-images-idx3-ubyte.gz")).unwrap();
    let text = ImageSet::load_training(&folder.0, 0, 10).unwrap_err().to_string();
    assert!(text.contains("emnist-letters-train-labels-idx1-ubyte: there is no such file"), "{text}");
}

#[test]
fn a_form_transposes_images_and_shifts_labels() {
    let folder = Folder::new("form");
    let image = folder.write("images", &images(2));
    let label = folder.write("labels", &labels(&[1, 26]));
    let form = idx::Form { classes: 26, transposed: true, first_label: 1 };
    let found = Images::read(&image, &label, form).unwrap();
    assert_eq!((found.height, found.width, found.labels.as_slice()), (2, 3, &[0, 25][..]));
    assert_eq!(found.image(1), [6, 8, 10, 7, 9, 11]);
    let plain = Images::read(&image, &label, 27).unwrap();
    assert_eq!((plain.height, plain.width, plain.labels.as_slice()), (3, 2, &[1, 26][..]));
    // labels out of range are reported with the settings that fix it
    let refused = |values: &[u8], form: idx::Form| {
        folder.write("labels", &labels(values));
        folder.write("images", &images(values.len() as u32));
        let text = Images::read(&image, &label, form).unwrap_err().to_string();
        let mended: Vec<usize> = text
            .split("--set ")
            .skip(1)
            .map(|word| word.split(['=', ' ']).nth(1).unwrap().parse().unwrap())
            .collect();
        let mended = match mended[..] {
            [classes] => idx::Form { classes, ..form },
            [first_label, classes] => idx::Form { classes, first_label, ..form },
            _ => panic!("{text}"),
        };
        Images::read(&image, &label, mended).unwrap();
        text
    };
    assert!(refused(&[0, 46, 3], 10.into()).contains("image 1 has label 46, but there are only 10 classes"));
    assert!(refused(&[1, 3, 2], 3.into()).contains("--set first-label=1 --set classes=3"));
    assert!(refused(&[0, 3, 2], idx::Form { first_label: 1, ..4.into() }).contains("first-label=0"));
    assert!(refused(&[1, 30], form).contains("classes=30"));
    refused(&[255, 0], 10.into());
    assert!(
        refused(&[255, 0], idx::Form { first_label: 1, ..10.into() })
            .contains("first-label=0 --set classes=256")
    );
    refused(&[255, 0], idx::Form { classes: 300, transposed: false, first_label: usize::MAX });
}

#[test]
fn labels_of_every_type_are_read() {
    let folder = Folder::new("kinds");
    let image = folder.write("images", &images(3));
    let bytes = |values: [f64; 3]| -> [(u8, Vec<u8>); 5] {
        [
            (0x09, values.iter().flat_map(|&value| (value as i8).to_be_bytes()).collect()),
            (0x0b, values.iter().flat_map(|&value| (value as i16).to_be_bytes()).collect()),
            (0x0c, values.iter().flat_map(|&value| (value as i32).to_be_bytes()).collect()),
            (0x0d, values.iter().flat_map(|&value| (value as f32).to_be_bytes()).collect()),
            (0x0e, values.iter().flat_map(|&value| value.to_be_bytes()).collect()),
        ]
    };
    for (kind, bytes) in bytes([0.0, 7.0, 99.0]) {
        let label = folder.write("labels", &file(kind, &[3], &bytes));
        assert_eq!(Images::read(&image, &label, 100).unwrap().labels, [0, 7, 99], "{kind:#x}");
    }
    for (kind, bytes) in
        bytes([0.0, -1.0, 99.0]).into_iter().chain(bytes([1.0, f64::NAN, 1e30]).split_off_floats())
    {
        let label = folder.write("labels", &file(kind, &[3], &bytes));
        let fault = fault_at(&label, Images::read(&image, &label, 100));
        assert!(matches!(fault, Fault::LabelValue { index: 1, .. }), "{kind:#x}: {fault}");
    }
    let label = folder.write("labels", &file(0x0a, &[3], &[0, 1, 2]));
    assert_same(fault_at(&label, Images::read(&image, &label, 100)), Fault::Kind { code: 0x0a });
    // images of other types are rejected with a line of Python, which was tested
    let image = folder.write("images", &file(0x0d, &[1, 2, 1], &[0; 8]));
    let text = Images::read(&image, &label, 10).unwrap_err().to_string();
    assert!(
        text.contains("F32") && text.contains("; in Python: import gzip, numpy, os; os.rename("),
        "{text}"
    );
}

/// Selects the types that have NaN.
trait Floats {
    fn split_off_floats(self) -> Vec<(u8, Vec<u8>)>;
}

impl Floats for [(u8, Vec<u8>); 5] {
    fn split_off_floats(self) -> Vec<(u8, Vec<u8>)> {
        self.into_iter().filter(|(kind, _)| *kind >= 0x0d).collect()
    }
}

#[test]
fn gzip_files_with_padding_or_several_members_are_read() {
    let folder = Folder::new("members");
    let label = folder.write("labels", &labels(&[0, 1, 2, 3]));
    let whole = images(4);
    let parts = [packed(&whole[..7]), packed(&[]), packed(&whole[7..])];
    for bytes in [
        [packed(&whole), vec![0; 20_000]].concat(),
        parts.concat(),
        [parts.concat(), vec![0; 3]].concat(),
        [&parts[0][..], &[0; 512], &parts[2]].concat(),
    ] {
        let image = folder.write("images.gz", &bytes);
        assert_eq!(Images::read(&image, &label, 10).unwrap().pixels, whole[16..]);
    }
    let garbage = [packed(&whole), vec![0; 20], b"garbage".to_vec()].concat();
    let image = folder.write("images.gz", &garbage);
    let fault = fault_at(&image, Images::read(&image, &label, 10));
    assert_eq!(fault.to_string(), "cannot be unpacked: other bytes follow its end");
    let image = folder.write("images.gz", &packed(&whole)[..30]);
    let fault = fault_at(&image, Images::read(&image, &label, 10));
    assert_eq!(fault.to_string(), "cannot be unpacked: the packed file is cut off");
}

#[test]
fn errors_name_the_format_of_a_file_that_is_not_idx() {
    let folder = Folder::new("plain");
    let label = folder.write("labels", &labels(&[0]));
    let text = |image: &Path| {
        let text = Images::read(image, &label, 10).unwrap_err().to_string();
        assert!(text.starts_with(&format!("{}: ", image.display())), "{text}");
        text
    };
    for (bytes, words) in [
        (&b"PK\x03\x04...."[..], "a zip archive"),
        (b"version https://git-lfs", "git lfs pull"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"\x93NUMPY\x01\0", "a .npy file"),
        (b"abcd", "begins with [61, 62, 63, 64]"),
        (b"", "is empty"),
    ] {
        let found = text(&folder.write("images", bytes));
        assert!(found.contains(words), "{found}");
    }
    assert!(text(&folder.0).contains("is a folder"));
    #[cfg(unix)]
    {
        let pipe = folder.0.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let found = text(&pipe); // opening it would block: nobody writes to it
        assert!(
            found.contains("is a pipe") && found.contains(&format!("cat {} > copy", pipe.display())),
            "{found}"
        );
        assert!(text(Path::new("/dev/null")).contains("is a device"));
    }
}

/// A short file whose header claims gigabytes: the error comes before any such allocation.
#[test]
fn a_size_that_a_header_only_claims_is_never_allocated() {
    let folder = Folder::new("promise");
    let short = file(8, &[60_000, 10_000, 10_000], &[1; 1000]);
    for bytes in [short.clone(), packed(&short)] {
        LARGEST.set(0);
        let fault = image_fault(&folder, &bytes);
        assert_same(fault, Fault::Truncated { expected: 16 + 6_000_000_000_000, found: 16 + 1000 });
        assert!(LARGEST.get() <= 1 << 16, "{} bytes at once", LARGEST.get());
    }
}

/// Files with a few bytes changed, removed or inserted give an image set or an error with the file's name, and never
/// allocate much more than the file can hold. `EM_ROUTING_FUZZ=1000000` tries that many files.
#[test]
fn mutated_files_never_panic_or_allocate_too_much() {
    let cases = std::env::var("EM_ROUTING_FUZZ").map_or(4_000, |count| count.parse().unwrap());
    let folder = Folder::new("fuzz");
    let plain = [images(4), labels(&[0, 1, 2, 3])];
    let zipped = plain.clone().map(|bytes| packed(&bytes));
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let [mut read, mut refused] = [0; 2];
    for case in 0..cases {
        // plain, or damaged after compression, or damaged before compression
        let mut files = if case % 3 == 1 { zipped.clone() } else { plain.clone() };
        let bytes = &mut files[usize::from(generator.gen_bool(0.3))];
        mutate(bytes, &mut generator);
        if case % 3 == 2 {
            *bytes = packed(bytes);
        }
        // Deflate expands a byte to at most 1032, and a growing vector allocates up to twice its length.
        let unpacked = if bytes.starts_with(&[0x1f, 0x8b]) { 1032 * bytes.len() } else { bytes.len() };
        let paths = [folder.write("images", &files[0]), folder.write("labels", &files[1])];
        LARGEST.set(0);
        let form = idx::Form { classes: 10, transposed: case % 2 == 0, first_label: 0 };
        let outcome = Images::read(&paths[0], &paths[1], form);
        assert!(LARGEST.get() <= (1 << 16) + 2 * unpacked, "case {case}: {} bytes at once", LARGEST.get());
        match outcome {
            Ok(images) => {
                read += 1;
                assert_eq!(images.pixels.len(), images.len() * images.height * images.width, "case {case}");
                assert!(images.labels.iter().all(|&label| label < 10), "case {case}");
            }
            Err(error @ Error::File { .. }) if error.fault::<Fault>().is_none() => {
                panic!("case {case}: {error:?}")
            }
            Err(Error::File { path, .. }) => {
                refused += 1;
                assert!(paths.contains(&path), "case {case}");
            }
            Err(other) => panic!("case {case}: {other:?}"),
        }
    }
    println!("{read} read, {refused} refused");
    assert!(read > cases / 100 && refused > cases / 100, "{read} read, {refused} refused");
}

fn mutate(bytes: &mut Vec<u8>, generator: &mut impl Rng) {
    for _ in 0..generator.gen_range(1..=4) {
        let place = generator.gen_range(0..=bytes.len());
        match generator.gen_range(0..6) {
            0 => bytes.truncate(place),
            1 => bytes.insert(place, generator.r#gen()),
            // repeat a part of the file
            2 => {
                let run = bytes[place..(place + generator.gen_range(0..16)).min(bytes.len())].to_vec();
                bytes.splice(place..place, run);
            }
            // the header is the most sensitive part
            3 => bytes.iter_mut().take(16).for_each(|byte| {
                if generator.gen_bool(0.1) {
                    *byte = *[0, 1, 2, 3, 4, 8, 0x7f, 0x80, 0xff].get(generator.gen_range(0..9)).unwrap();
                }
            }),
            _ => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << generator.gen_range(0..8);
                }
            }
        }
    }
}
