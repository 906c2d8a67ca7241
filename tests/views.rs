//! Rendered views: their counts, their viewpoints and their seeds; smallNORB's files, whatever their bytes are; and the command `render`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use em_routing::data::idx::ImageSet;
use em_routing::data::norb::{Fault, SmallNorb};
use em_routing::error::Error;
use em_routing::samples::views::{self, Crop, Split, ViewSet, Views};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[path = "support/folder.rs"]
mod folder;

use folder::Folder;

/// Returns the different values of a column of a table.
fn values(views: &Views, name: &str) -> BTreeSet<i64> {
    let column = views.names.iter().position(|own| *own == name).unwrap();
    views.parameters.iter().map(|row| row[column] as i64).collect()
}

fn counts(set: &ViewSet) -> [usize; 3] {
    [&set.train, &set.familiar, &set.novel].map(|views| {
        assert_eq!(views.parameters.len(), views.images.len());
        assert_eq!(views.images.pixels.len(), views.images.len() * views.images.height * views.images.width);
        views.images.len()
    })
}

#[test]
fn the_shapes_have_the_published_counts_and_viewpoints() {
    let set = views::shapes(32, 1).unwrap();
    assert_eq!(counts(&set), [450, 180, 180]);
    assert_eq!(values(&set.train, "azimuth"), (0..6).map(|at| 30 * at).collect());
    assert_eq!(values(&set.familiar, "azimuth"), values(&set.train, "azimuth"));
    assert_eq!(values(&set.novel, "azimuth"), [200, 226, 252, 278, 304, 330].into());
    for views in [&set.train, &set.familiar, &set.novel] {
        assert_eq!(values(views, "elevation"), [10, 30, 50].into());
        for label in 0..5 {
            let own = views.images.labels.iter().filter(|&&own| own == label).count();
            assert_eq!(own, views.images.len() / 5);
        }
    }
    // the last images, which may be kept for validation, have every label
    assert_eq!(set.train.images.labels[400..].iter().collect::<BTreeSet<_>>().len(), 5);
    assert_eq!(views::shapes(32, 1).unwrap(), set);
    assert_ne!(views::shapes(32, 2).unwrap(), set);
    assert!(views::shapes(15, 1).is_err() && views::shapes(257, 1).is_err());
}

/// A chosen view differs from the set's image of the same view only in its noise, of 0.04 x 255 in a pixel.
#[test]
fn chosen_views_are_those_of_the_set() {
    let set = views::shapes(32, 1).unwrap();
    for (at, row) in set.novel.parameters.iter().enumerate().take(20) {
        let label = set.novel.images.labels[at];
        let own = views::shape_views(32, &[(usize::from(label), row[0], row[1])], 5).unwrap();
        assert_eq!((own.images.labels[0], &own.parameters[0]), (label, row));
        let pairs = own.images.image(0).iter().zip(set.novel.images.image(at));
        let mean = pairs.map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / 1024.0;
        assert!(mean > 1.0 && mean < 14.0, "view {at}: {mean}");
    }
    let of = |views| views::shape_views(32, views, 1);
    assert_eq!(of(&[(0, 10.0, 20.0)]).unwrap(), of(&[(0, 10.0, 20.0)]).unwrap());
    assert!(of(&[(5, 0.0, 0.0)]).is_err() && of(&[(0, f64::NAN, 0.0)]).is_err());
    assert!(of(&[(0, 0.0, f64::INFINITY)]).is_err() && views::shape_views(15, &[], 1).is_err());
}

/// Both splits draw the same bodies with the same seed: an image that both hold, by their tables, has the same pixels in both.
#[test]
fn the_solids_split_instances_and_viewpoints() {
    let mut drawn: Vec<Views> = Vec::new();
    for (split, name, familiar) in [
        (Split::Azimuth, "azimuth", BTreeSet::from([300, 320, 340, 0, 20, 40])),
        (Split::Elevation, "elevation", [30, 35, 40].into()),
    ] {
        let set = views::solids(16, split, 3).unwrap();
        assert_eq!(counts(&set), [8_100, 8_100, 16_200]);
        drawn.push(set.train.clone());
        assert_eq!(values(&set.train, name), familiar);
        assert_eq!(values(&set.familiar, name), familiar);
        let novel = values(&set.novel, name);
        assert!(novel.is_disjoint(&familiar) && novel.len() == 2 * familiar.len());
        assert_eq!(values(&set.train, "instance"), (0..5).collect());
        assert_eq!(values(&set.familiar, "instance"), (5..10).collect());
        assert_eq!(values(&set.novel, "instance"), (5..10).collect());
        for views in [&set.train, &set.novel] {
            let different: BTreeSet<&[u8]> =
                (0..views.images.len()).map(|at| views.images.image(at)).collect();
            assert!(different.len() > views.images.len() * 9 / 10, "only {} images", different.len());
            let blank = |image: &[u8]| image.iter().all(|level| level.abs_diff(image[0]) < 3);
            assert!((0..views.images.len()).all(|at| !blank(views.images.image(at))));
        }
    }
    let place = |views: &Views, at: usize| format!("{} {:?}", views.images.labels[at], views.parameters[at]);
    let one: BTreeMap<String, usize> = (0..8_100).map(|at| (place(&drawn[0], at), at)).collect();
    assert_eq!(one.len(), 8_100);
    let both = (0..8_100).filter_map(|at| one.get(&place(&drawn[1], at)).map(|&one| (one, at)));
    let same = both.clone().all(|(one, other)| drawn[0].images.image(one) == drawn[1].images.image(other));
    assert!(same && both.count() == 5 * 5 * 6 * 3 * 6);
}

#[test]
fn affine_digits_keep_their_ink_in_the_image() {
    let mut set = ImageSet::load(em_routing::shipped::mnist_folder(), 59_900).unwrap();
    set.test = set.test.slice(0..500);
    let affine = views::affine_digits(&set, 4).unwrap();
    assert_eq!(counts(&affine), [100, 500, 500]);
    assert_eq!((affine.novel.images.height, affine.novel.images.width), (40, 40));
    let sum = |image: &[u8]| image.iter().map(|&level| f64::from(level)).sum::<f64>();
    for at in 0..500 {
        let ink = sum(set.test.image(at));
        // a shift by whole pixels changes no grey level
        assert_eq!(sum(affine.familiar.images.image(at)), ink);
        let [rotation, shear, vertical, horizontal, ..] = affine.novel.parameters[at][..] else { panic!() };
        assert!(rotation.abs() <= 20.0 && shear.abs() <= 0.2);
        assert!((0.8..=1.2).contains(&vertical) && (0.8..=1.2).contains(&horizontal));
        // the area grows with the determinant, which is that of the scales; less would be ink outside
        let share = sum(affine.novel.images.image(at)) / (ink * vertical * horizontal);
        assert!((share - 1.0).abs() <= 0.05, "image {at} keeps {share} of its ink");
    }
    assert_eq!(affine.novel.images.labels, set.test.labels);
    assert!(
        views::affine_digits(&set, 4).unwrap() == affine && views::affine_digits(&set, 5).unwrap() != affine
    );
    set.test = affine.novel.images;
    assert!(matches!(views::affine_digits(&set, 4), Err(Error::Setting { .. })));
}

const BYTES: u32 = 0x1E3D_4C55;
const INTEGERS: u32 = 0x1E3D_4C54;

fn matrix(kind: u32, sizes: &[i32], numbers: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_le_bytes(), (sizes.len() as u32).to_le_bytes()].concat();
    let padded = sizes.iter().copied().chain([1; 3]).take(sizes.len().max(3));
    padded.for_each(|size| bytes.extend(size.to_le_bytes()));
    bytes.extend(numbers);
    bytes
}

fn integers(numbers: impl IntoIterator<Item = i32>) -> Vec<u8> {
    numbers.into_iter().flat_map(i32::to_le_bytes).collect()
}

/// The three files of a part: an image for each category, azimuth and elevation, with photographs of `side` x `side`.
fn part(side: usize) -> [Vec<u8>; 3] {
    let views: Vec<[i32; 3]> = (0..5 * 18 * 9).map(|at| [at % 5, at / 5 % 18 * 2, at / 90]).collect();
    let count = views.len() as i32;
    let pixels: Vec<u8> = (0..views.len() * 2 * side * side).map(|at| (at * 7919 % 251) as u8).collect();
    let info = views.iter().flat_map(|&[_, azimuth, elevation]| [4, elevation, azimuth, 2]);
    [
        matrix(BYTES, &[count, 2, side as i32, side as i32], &pixels),
        matrix(INTEGERS, &[count], &integers(views.iter().map(|view| view[0]))),
        matrix(INTEGERS, &[count, 4], &integers(info)),
    ]
}

fn write(folder: &Folder, part: &str, files: &[Vec<u8>; 3]) {
    for (kind, bytes) in ["dat", "cat", "info"].into_iter().zip(files) {
        folder.write(&format!("smallnorb-{part}-{kind}.mat"), bytes);
    }
}

#[test]
fn smallnorb_is_read_and_divided_as_in_the_paper() {
    let folder = Folder::new("norb");
    let files = part(96);
    write(&folder, "training", &files);
    write(&folder, "testing", &files);
    let read = SmallNorb::read(&folder.0, "training").unwrap();
    assert_eq!((read.categories.len(), read.height, read.width), (810, 96, 96));
    assert_eq!(read.info[7], [4, 0, 2, 2]);
    // the second camera of the second image
    assert_eq!(read.image(1, 1)[..4], files[0][24 + 3 * 96 * 96..][..4]);
    for (split, familiar) in [(Split::Azimuth, 5 * 6 * 9), (Split::Elevation, 5 * 18 * 3)] {
        for (crop, side) in [(Crop::Middle, 32), (Crop::Whole, 48)] {
            let set = views::small_norb(&read, &read, split, crop, 1).unwrap();
            assert_eq!(counts(&set), [familiar, familiar, 810 - familiar]);
            assert_eq!(set.novel.images.height, side);
        }
    }
    let set = views::small_norb(&read, &read, Split::Azimuth, Crop::Middle, 0).unwrap();
    assert_eq!(values(&set.train, "azimuth"), [300, 320, 340, 0, 20, 40].into());
    assert_eq!(values(&set.novel, "elevation"), (0..9).map(|at| 30 + 5 * at).collect());
    // the first pixel of the crop is the mean of four: rows and columns 16 and 17
    let image = read.image(0, 0);
    let four = [16 * 96 + 16, 16 * 96 + 17, 17 * 96 + 16, 17 * 96 + 17].map(|at| u16::from(image[at]));
    assert_eq!(u16::from(set.train.images.pixels[0]), (four.iter().sum::<u16>() + 2) / 4);
    assert!(views::small_norb(&read, &read, Split::Azimuth, Crop::Middle, 2).is_err());
    let small = SmallNorb { pixels: vec![0; 810 * 2 * 9], height: 3, width: 3, ..read.clone() };
    assert!(views::small_norb(&small, &small, Split::Azimuth, Crop::Middle, 0).is_err());
    assert!(views::small_norb(&small, &read, Split::Azimuth, Crop::Whole, 0).is_err());
    assert!(views::small_norb(&small, &small, Split::Azimuth, Crop::Whole, 0).is_ok());
}

fn fault(folder: &Folder) -> Fault {
    match SmallNorb::read(&folder.0, "training") {
        Err(Error::File { source, .. }) => *source.downcast().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn wrong_files_of_smallnorb_are_named_with_their_fault() {
    let (folder, good) = (Folder::new("norb-faults"), part(2));
    let with = |kind: usize, bytes: Vec<u8>| {
        let mut files = good.clone();
        files[kind] = bytes;
        write(&folder, "training", &files);
        fault(&folder)
    };
    assert!(matches!(with(0, b"\x93NUMPY".to_vec()), Fault::Magic { .. }));
    assert!(matches!(with(0, good[1].clone()), Fault::Kind { expected: "bytes", found: "32-bit integers" }));
    assert!(matches!(with(2, good[1].clone()), Fault::Dimensions { expected: 2, found: 1 }));
    assert!(matches!(with(0, matrix(BYTES, &[810, 1, 2, 2], &[0; 3240])), Fault::Sizes { .. }));
    assert!(matches!(with(0, matrix(BYTES, &[-1, 2, 2, 2], &[])), Fault::Sizes { .. }));
    assert!(matches!(with(0, matrix(BYTES, &[i32::MAX; 4], &[])), Fault::Sizes { .. }));
    assert!(matches!(with(1, [&good[1][..], &[0]].concat()), Fault::Trailing { expected: 3260 }));
    let one_less = matrix(INTEGERS, &[809], &integers(vec![0; 809]));
    assert!(matches!(with(1, one_less), Fault::Count { expected: 810, found: 809, .. }));
    for (at, what) in ["instance", "elevation", "azimuth", "light"].into_iter().enumerate() {
        let mut bytes = good[2].clone();
        bytes[20 + 16 * 3 + 4 * at] = 200;
        assert!(
            matches!(with(2, bytes), Fault::Value { what: named, image: 3, found: 200, .. } if named == what)
        );
    }
    for (kind, whole) in good.iter().enumerate() {
        for length in [0, 3, 4, 7, 8, 19, 20, whole.len() - 1] {
            let cut = with(kind, whole[..length].to_vec());
            assert!(
                matches!(cut, Fault::Truncated { found, .. } if found == length as u64),
                "{length}: {cut}"
            );
        }
    }
    let empty = Folder::new("norb-empty");
    assert!(SmallNorb::read(&empty.0, "training").unwrap_err().to_string().contains("training-dat.mat"));
    assert!(SmallNorb::read(Path::new("nowhere"), "training").is_err());
    write(&empty, "training", &good);
    empty.write("other-training-cat.mat", &good[1]);
    assert!(SmallNorb::read(&empty.0, "training").unwrap_err().to_string().contains("several"));
}

#[test]
fn no_bytes_of_smallnorbs_files_cause_a_panic() {
    let (folder, good) = (Folder::new("norb-fuzz"), part(2));
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let mut read = 0;
    for _ in 0..600 {
        let mut files = good.clone();
        let file = &mut files[rng.gen_range(0..3)];
        for _ in 0..rng.gen_range(1..4) {
            // most often in the header
            let most = if rng.gen_bool(0.7) { 28 } else { file.len() };
            let at = rng.gen_range(0..most);
            file[at] = rng.r#gen();
        }
        if rng.gen_bool(0.2) {
            file.truncate(rng.gen_range(0..file.len()));
        }
        write(&folder, "training", &files);
        if let Ok(set) = SmallNorb::read(&folder.0, "training") {
            read += 1;
            let _ = views::small_norb(&set, &set, Split::Elevation, Crop::Whole, 0);
        }
    }
    assert!(read > 10 && read < 590, "{read} were read");
}

#[cfg(feature = "cli")]
mod command {
    use super::*;
    use std::process::Command;

    fn run(arguments: &[&str], folder: &Path) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_em-routing"));
        let output = command.args(arguments).current_dir(folder).output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    }

    fn succeeds(arguments: &[&str], folder: &Path) -> String {
        let (success, said) = run(arguments, folder);
        assert!(success, "{arguments:?}: {said}");
        said
    }

    /// The commands that `render` prints must work: training on familiar views, and the error on familiar and on novel ones.
    #[test]
    fn a_network_is_trained_on_a_rendered_folder_and_evaluated_on_both_test_sets() {
        let folder = Folder::new("render");
        let said = succeeds(&["render", "published", "--out", "views", "--seed", "2"], &folder.0);
        let set = views::shapes(32, 2).unwrap();
        let read = ImageSet::load_classes(folder.0.join("views/familiar"), 0, 5).unwrap();
        assert_eq!((read.train, read.test), (set.train.images.clone(), set.familiar.images.clone()));
        let table = std::fs::read_to_string(folder.0.join("views/novel/t10k.csv")).unwrap();
        assert_eq!(table, set.novel.csv());
        assert_eq!(table.lines().next(), Some("label,azimuth,elevation"));
        let next = said.lines().find_map(|line| line.strip_prefix("Next: ")).unwrap();
        let words: Vec<&str> = next.split_once(" train ").unwrap().1.split(' ').collect();
        let short = ["--config", "plain", "--epochs", "1", "--set", "features=4"];
        succeeds(&[&["train"], &words[..], &short].concat(), &folder.0);
        for (line, part) in said.lines().filter(|line| line.starts_with("Then: ")).zip(["familiar", "novel"])
        {
            let (_, words) = line.split_once(" eval ").unwrap();
            let said = succeeds(&[&["eval"][..], &words.split(' ').collect::<Vec<_>>()].concat(), &folder.0);
            assert!(words.ends_with(part) && said.contains("of 180)"), "{said}");
            assert!(said.contains("azimuth") && said.contains("elevation"), "{said}");
            assert!(!said.contains(" show "), "a plain network routes nothing: {said}");
        }
        // a table of other images is not used
        let other = views::shapes(32, 3).unwrap().novel.csv();
        folder.write("views/novel/t10k.csv", other.as_bytes());
        let weights = "views/trained/network.safetensors";
        let said = succeeds(&["eval", "--weights", weights, "--data", "views/novel"], &folder.0);
        assert!(said.contains("no error by viewpoint") && said.contains("of 180)"), "{said}");
        let show = ["show", "--image", "0", "--weights", weights, "--data", "views/familiar"];
        let (success, said) = run(&show, &folder.0);
        assert!(!success && said.contains("no capsules"), "{said}");
    }

    #[test]
    fn smallnorb_is_converted_and_faults_are_told() {
        let folder = Folder::new("render-norb");
        let files = part(96);
        write(&folder, "training", &files);
        write(&folder, "testing", &files);
        let said = succeeds(&["render", "smallnorb", ".", "--split", "elevation", "--size", "48"], &folder.0);
        assert!(said.contains("270 images of 48 x 48 to train on"), "{said}");
        assert!(folder.0.join("target/views/smallnorb/novel/t10k-labels-idx1-ubyte").is_file());
        folder.write("smallnorb-testing-cat.mat", b"nothing");
        let (success, said) = run(&["render", "smallnorb", "."], &folder.0);
        assert!(
            !success && said.contains("smallnorb-testing-cat.mat") && said.contains("not a binary matrix")
        );
        let (success, said) = run(&["render", "published", "--size", "8"], &folder.0);
        assert!(!success && said.contains("16..=256"), "{said}");
    }
}
