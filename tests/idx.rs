//! IDX files: MNIST as it is shipped, every fault with its path, and mutated files, which must not panic or take memory that
//! they only promise.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use em_routing::data::idx::Fault;
use em_routing::prelude::*;
use flate2::{Compression, write::GzEncoder};
use rand::{Rng, SeedableRng};

#[path = "support/noting.rs"]
mod noting;

use noting::LARGEST;

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("em-routing-idx-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        let _ = std::fs::remove_file(&path); // ext4 waits for the disk where a file is written over
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn file(kind: u8, sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, kind, sizes.len() as u8];
    file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    file.extend(bytes);
    file
}

/// Images of 3 x 2 whose grey levels count up.
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

/// A set of 5 images to train on and 2 to test on.
fn small_set(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("train-images-idx3-ubyte", &images(5));
    folder.write("train-labels-idx1-ubyte.gz", &packed(&labels(&[3, 1, 4, 1, 5])));
    folder.write("t10k-images-idx3-ubyte.gz", &packed(&images(2)));
    folder.write("t10k-labels-idx1-ubyte", &labels(&[9, 2]));
    folder
}

/// What is wrong with an image file of these bytes beside four labels; the error must name the file.
fn image_fault(folder: &Folder, bytes: &[u8]) -> Fault {
    let labels = folder.write("labels", &labels(&[0, 1, 2, 3]));
    fault_at(&folder.write("images", bytes), Images::read(&folder.0.join("images"), &labels, 10))
}

fn fault_at<T: std::fmt::Debug>(file: &Path, outcome: em_routing::error::Result<T>) -> Fault {
    let error = outcome.expect_err("the file is at fault");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{}: ", file.display())), "{text}");
    match error {
        Error::Idx { path, fault } if path == file => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn mnist_is_whole() {
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
    // The mean grey level of all images to train on, which many programs normalise by: 0.1307.
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
fn faults_of_a_file_are_named() {
    let folder = Folder::new("faults");
    let good = images(4);
    let full = good.len() as u64;
    let mut magic = good.clone();
    magic[0] = 7;
    assert_eq!(image_fault(&folder, &magic), Fault::Magic { found: [7, 0, 8, 3] });
    assert_eq!(image_fault(&folder, &file(0x0d, &[4, 3, 2], &[0; 96])), Fault::Kind { code: 0x0d });
    assert_eq!(image_fault(&folder, &labels(&[0, 1, 2, 3])), Fault::Dimensions { expected: 3, found: 1 });
    for sizes in [[0, 3, 2], [4, 0, 2], [4, 3, 0], [u32::MAX; 3]] {
        assert_eq!(image_fault(&folder, &file(8, &sizes, &[])), Fault::Sizes { sizes: sizes.to_vec() });
    }
    for (cut, expected) in [(0, 4), (3, 4), (4, 16), (15, 16), (16, full), (full - 1, full)] {
        let fault = Fault::Truncated { expected, found: cut };
        assert_eq!(image_fault(&folder, &good[..cut as usize]), fault);
        if cut > 0 {
            assert_eq!(image_fault(&folder, &packed(&good[..cut as usize])), fault, "packed");
        }
    }
    let longer = [good.as_slice(), &[0]].concat();
    assert_eq!(image_fault(&folder, &longer), Fault::Trailing { expected: full });
    assert_eq!(image_fault(&folder, &packed(&longer)), Fault::Trailing { expected: full });
}

#[test]
fn faults_of_a_gzip_stream_are_named() {
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
fn faults_between_files_are_named() {
    let folder = small_set("between");
    let load = || ImageSet::load(&folder.0, 1);
    let train_labels = folder.write("train-labels-idx1-ubyte", &labels(&[3, 1, 4, 1]));
    let other = folder.0.join("train-images-idx3-ubyte");
    assert_eq!(fault_at(&train_labels, load()), Fault::Count { labels: 4, images: 5, other });
    folder.write("train-labels-idx1-ubyte", &labels(&[3, 1, 4, 10, 5]));
    assert_eq!(fault_at(&train_labels, load()), Fault::Label { index: 3, label: 10, classes: 10 });
    assert_eq!(ImageSet::load_classes(&folder.0, 1, 11).unwrap().train.classes, 11);
    folder.write("train-labels-idx1-ubyte", &labels(&[3, 1, 4, 1, 5]));
    let test_images = folder.write("t10k-images-idx3-ubyte", &file(8, &[2, 2, 3], &[0; 12]));
    assert_eq!(fault_at(&test_images, load()), Fault::Side { expected: (3, 2), found: (2, 3) });
    std::fs::remove_file(&test_images).unwrap();
    load().unwrap();
    std::fs::remove_file(folder.0.join("t10k-images-idx3-ubyte.gz")).unwrap();
    let missing = load().unwrap_err().to_string();
    assert!(missing.starts_with(&format!("{}: there is no such file", test_images.display())), "{missing}");
}

/// Sizes of gigabytes in the header of a short file: the error comes before any such allocation.
#[test]
fn a_promise_takes_no_memory() {
    let folder = Folder::new("promise");
    let short = file(8, &[60_000, 10_000, 10_000], &[1; 1000]);
    for bytes in [short.clone(), packed(&short)] {
        LARGEST.set(0);
        let fault = image_fault(&folder, &bytes);
        assert_eq!(fault, Fault::Truncated { expected: 16 + 6_000_000_000_000, found: 16 + 1000 });
        assert!(LARGEST.get() <= 1 << 16, "{} bytes at once", LARGEST.get());
    }
}

/// Files with a few bytes changed, cut off or put in: an image set or an error with the file's name, and no more memory than
/// the file holds. `EM_ROUTING_FUZZ=1000000` tries as many.
#[test]
fn mutated_files_do_no_harm() {
    let cases = std::env::var("EM_ROUTING_FUZZ").map_or(4_000, |count| count.parse().unwrap());
    let folder = Folder::new("fuzz");
    let plain = [images(4), labels(&[0, 1, 2, 3])];
    let zipped = plain.clone().map(|bytes| packed(&bytes));
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let [mut read, mut refused] = [0; 2];
    for case in 0..cases {
        // plain, damaged after it was packed, or packed after it was damaged
        let mut files = if case % 3 == 1 { zipped.clone() } else { plain.clone() };
        let bytes = &mut files[usize::from(generator.gen_bool(0.3))];
        mutate(bytes, &mut generator);
        if case % 3 == 2 {
            *bytes = packed(bytes);
        }
        // Deflate makes at most 1032 bytes of one, and a growing vector up to twice what it holds.
        let unpacked = if bytes.starts_with(&[0x1f, 0x8b]) { 1032 * bytes.len() } else { bytes.len() };
        let paths = [folder.write("images", &files[0]), folder.write("labels", &files[1])];
        LARGEST.set(0);
        let outcome = Images::read(&paths[0], &paths[1], 10);
        assert!(LARGEST.get() <= (1 << 16) + 2 * unpacked, "case {case}: {} bytes at once", LARGEST.get());
        match outcome {
            Ok(images) => {
                read += 1;
                assert_eq!(images.pixels.len(), images.len() * images.height * images.width, "case {case}");
                assert!(images.labels.iter().all(|&label| label < 10), "case {case}");
            }
            Err(Error::Idx { path, .. }) => {
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
            // a run of the file, once more
            2 => {
                let run = bytes[place..(place + generator.gen_range(0..16)).min(bytes.len())].to_vec();
                bytes.splice(place..place, run);
            }
            // the header and the end are where most is decided
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
