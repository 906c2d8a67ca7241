//! `.npy` and `.npz` files: everything numpy writes is read, every fault is reported with the path and a remedy, and mutated
//! files cause neither panics nor large allocations.

use std::io::Write as _;
use std::path::Path;

use em_routing::data::npy::{self, Fault, MemberFault, Precision};
use em_routing::data::{RowBuffer, Rows, count_missing, csv};
use em_routing::prelude::*;
use flate2::{Compression, Crc, write::DeflateEncoder};
use ndarray::{Array2, array};
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

fn with_header(version: u8, header: &str, numbers: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    match version {
        1 => bytes.extend((header.len() as u16).to_le_bytes()),
        _ => bytes.extend((header.len() as u32).to_le_bytes()),
    }
    bytes.extend(header.as_bytes());
    bytes.extend(numbers);
    bytes
}

fn npy(descriptor: &str, fortran: bool, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{descriptor}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    with_header(1, &header, numbers)
}

/// Reads all rows, two at a time.
fn table(file: &NpyFile) -> Array2<f64> {
    let mut buffer = RowBuffer::default();
    let mut values = Vec::new();
    for start in (0..file.samples()).step_by(2) {
        let range = start..(start + 2).min(file.samples());
        values.extend_from_slice(file.read(range, &mut buffer).unwrap());
    }
    Array2::from_shape_vec((file.samples(), file.dimensions()), values).unwrap()
}

fn text_of<T: std::fmt::Debug>(path: &Path, outcome: em_routing::error::Result<T>) -> String {
    let text = outcome.expect_err("the file is at fault").to_string();
    assert!(text.starts_with(&format!("{}: ", path.display())), "{text}");
    text
}

/// Builds a zip archive by hand from the name, the method and the bytes of each member.
fn zip(members: &[(&str, u16, &[u8])], flags: u16, zip64: bool) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for &(name, method, contents) in members {
        let packed = match method {
            8 => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(contents).unwrap();
                encoder.finish().unwrap()
            }
            _ => contents.to_vec(),
        };
        let mut crc = Crc::new();
        crc.update(contents);
        let [size, length, place] = [contents.len() as u64, packed.len() as u64, bytes.len() as u64];
        let (mut local, mut entry) = (b"PK\x03\x04".to_vec(), b"PK\x01\x02\x2d\0".to_vec());
        for header in [&mut local, &mut entry] {
            header.extend([0x2d, 0]);
            header.extend([flags.to_le_bytes(), method.to_le_bytes(), [0; 2], [0; 2]].concat());
            header.extend(crc.sum().to_le_bytes());
            let narrow = |value: u64| if zip64 { u32::MAX } else { value as u32 };
            header.extend([narrow(length), narrow(size)].map(u32::to_le_bytes).concat());
            header.extend((name.len() as u16).to_le_bytes());
        }
        let mut extra =
            [[1, 0, 16, 0].to_vec(), size.to_le_bytes().to_vec(), length.to_le_bytes().to_vec()].concat();
        if !zip64 {
            extra.clear();
        }
        local.extend((extra.len() as u16).to_le_bytes());
        bytes.extend([&local, name.as_bytes(), &extra, &packed].concat());
        if zip64 {
            extra.extend(place.to_le_bytes());
            extra[2] = 24;
        }
        entry.extend((extra.len() as u16).to_le_bytes());
        entry.extend([0; 10]);
        entry.extend(if zip64 { u32::MAX } else { place as u32 }.to_le_bytes());
        directory.extend([&entry, name.as_bytes(), &extra].concat());
    }
    let [place, size, count] = [bytes.len() as u64, directory.len() as u64, members.len() as u64];
    bytes.extend(directory);
    if zip64 {
        let end = bytes.len() as u64;
        bytes.extend([&b"PK\x06\x06"[..], &44u64.to_le_bytes(), &[45, 0, 45, 0], &[0; 8]].concat());
        bytes.extend([count, count, size, place].map(u64::to_le_bytes).concat());
        bytes.extend([&b"PK\x06\x07"[..], &[0; 4], &end.to_le_bytes(), &[1, 0, 0, 0]].concat());
    }
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([count as u16, count as u16].map(u16::to_le_bytes).concat());
    let narrow = |value: u64| if zip64 { u32::MAX } else { value as u32 };
    bytes.extend([narrow(size), narrow(place)].map(u32::to_le_bytes).concat());
    bytes.extend([3, 0]);
    bytes.extend(b"end");
    bytes
}

/// A table in every type that can hold its numbers, in both byte orders.
#[test]
fn numbers_of_every_type_are_read() {
    let folder = Folder::new("kinds");
    let values: [i8; 6] = [0, 1, 2, 100, 127, 3];
    let expected = array![[0.0, 1.0, 2.0], [100.0, 127.0, 3.0]];
    macro_rules! bytes {
        ($number:ty, $order:ident) => {
            values.iter().flat_map(|&value| (value as $number).$order()).collect()
        };
    }
    let half = |value: i8| match value {
        0 => 0u16,
        value => {
            let exponent = (value as u8).ilog2() as u16;
            (exponent + 15) << 10 | ((value as u16) << (10 - exponent) & 1023)
        }
    };
    let kinds: [(&str, Vec<u8>, Vec<u8>); 11] = [
        ("i1", bytes!(i8, to_le_bytes), bytes!(i8, to_be_bytes)),
        ("u1", bytes!(u8, to_le_bytes), bytes!(u8, to_be_bytes)),
        ("i2", bytes!(i16, to_le_bytes), bytes!(i16, to_be_bytes)),
        ("u2", bytes!(u16, to_le_bytes), bytes!(u16, to_be_bytes)),
        ("i4", bytes!(i32, to_le_bytes), bytes!(i32, to_be_bytes)),
        ("u4", bytes!(u32, to_le_bytes), bytes!(u32, to_be_bytes)),
        ("i8", bytes!(i64, to_le_bytes), bytes!(i64, to_be_bytes)),
        ("u8", bytes!(u64, to_le_bytes), bytes!(u64, to_be_bytes)),
        (
            "f2",
            values.iter().flat_map(|&value| half(value).to_le_bytes()).collect(),
            values.iter().flat_map(|&value| half(value).to_be_bytes()).collect(),
        ),
        ("f4", bytes!(f32, to_le_bytes), bytes!(f32, to_be_bytes)),
        ("f8", bytes!(f64, to_le_bytes), bytes!(f64, to_be_bytes)),
    ];
    for (kind, little, big) in &kinds {
        let native = if cfg!(target_endian = "little") { little } else { big };
        for (order, numbers) in [("<", little), (">", big), ("=", native), ("|", native)] {
            let path = folder.write("a.npy", &npy(&format!("{order}{kind}"), false, "(2, 3)", numbers));
            assert_eq!(table(&NpyFile::open(&path).unwrap()), expected, "{order}{kind}");
            let path = folder.write("a.npy", &npy(&format!("{order}{kind}"), true, "(3, 2)", numbers));
            assert_eq!(table(&NpyFile::open(&path).unwrap()), expected.t(), "{order}{kind} by columns");
        }
    }
    let path = folder.write("a.npy", &npy("|b1", false, "(2, 2)", &[0, 1, 1, 0]));
    assert_eq!(table(&NpyFile::open(&path).unwrap()), array![[0.0, 1.0], [1.0, 0.0]]);
    let negative = [i64::MIN, -1, i64::MAX, (1 << 53) + 1].map(i64::to_le_bytes).concat();
    let path = folder.write("a.npy", &npy("<i8", false, "(2, 2)", &negative));
    // rounded to the nearest f64, as by numpy's astype("f8")
    let nearest =
        array![[-9_223_372_036_854_775_808.0, -1.0], [9_223_372_036_854_775_808.0, 9_007_199_254_740_992.0]];
    assert_eq!(table(&NpyFile::open(&path).unwrap()), nearest);
    let path = folder.write("a.npy", &npy("<u8", false, "(1, 1)", &[255; 8]));
    assert_eq!(table(&NpyFile::open(&path).unwrap()), array![[18_446_744_073_709_551_616.0]]);
}

#[test]
fn headers_of_every_version_and_of_python_2_are_read() {
    let folder = Folder::new("headers");
    let numbers: Vec<u8> = (0..6).flat_map(|value| f64::from(value).to_le_bytes()).collect();
    let expected = array![[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]];
    for header in [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }\n",
        "{'shape': (3L, 2L), 'fortran_order': False, 'descr': '<f8'}",
        "{\"fortran_order\": False,\n \"descr\":\"<f8\",\t\"shape\":(3,2,) }   \n",
    ] {
        for version in 1..=3 {
            let path = folder.write("a.npy", &with_header(version, header, &numbers));
            assert_eq!(table(&NpyFile::open(&path).unwrap()), expected, "version {version}: {header}");
        }
    }
    // bytes after the numbers are ignored, as by numpy
    let path = folder.write("a.npy", &[npy("<f8", false, "(3, 2)", &numbers), b"more".to_vec()].concat());
    assert_eq!(table(&NpyFile::open(&path).unwrap()), expected);
}

/// A file in Fortran order with several chunks and threads gives the bits of a fit in memory.
#[test]
fn a_file_in_fortran_order_gives_the_fit_of_the_array() {
    let folder = Folder::new("columns");
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let data = Array2::from_shape_simple_fn((5000, 3), || generator.r#gen::<f64>());
    let numbers: Vec<u8> = data.t().iter().flat_map(|value| value.to_be_bytes()).collect();
    let file = NpyFile::open(folder.write("a.npy", &npy(">f8", true, "(5000, 3)", &numbers))).unwrap();
    for threads in [1, 3] {
        let options = KMeansOptions { clusters: 4, threads, ..Default::default() };
        assert_eq!(KMeans::fit(&data, &options).unwrap(), KMeans::fit(&file, &options).unwrap());
    }
}

#[test]
fn arrays_of_an_archive_are_read_by_name() {
    let folder = Folder::new("archive");
    let numbers: Vec<u8> = (0..2000).flat_map(|value| f64::from(value).to_le_bytes()).collect();
    let rows = npy("<f8", false, "(1000, 2)", &numbers);
    let columns = npy("<f8", true, "(1000, 2)", &numbers);
    let expected = Array2::from_shape_fn((1000, 2), |(row, column)| (2 * row + column) as f64);
    let by_columns = Array2::from_shape_fn((1000, 2), |(row, column)| (1000 * column + row) as f64);
    for zip64 in [false, true] {
        for method in [0, 8] {
            let members =
                [("x.npy", method, &rows[..]), ("read me", 0, b"words"), ("deep/y.npy", method, &columns)];
            let path = folder.write("a.npz", &zip(&members, 0, zip64));
            for (name, expected) in [("x", &expected), ("x.npy", &expected), ("deep/y", &by_columns)] {
                assert_eq!(
                    table(&NpyFile::open_member(&path, name).unwrap()),
                    expected,
                    "{name} {method} {zip64}"
                );
            }
            let text = text_of(&path, NpyFile::open_member(&path, "z"));
            assert!(text.ends_with(r#"has no array "z"; there are: "x", "deep/y""#), "{text}");
            let text = text_of(&path, NpyFile::open(&path));
            assert!(text.contains("2 arrays") && text.ends_with(r#""x", "deep/y""#), "{text}");
            let path = folder.write("one.npz", &zip(&members[..2], 0, zip64));
            assert_eq!(table(&NpyFile::open(&path).unwrap()), expected);
        }
    }
}

/// Faults hold system errors, which cannot be compared; their debug output can.
fn in_words(fault: impl std::fmt::Debug) -> String {
    format!("{fault:?}")
}

#[test]
fn errors_say_what_is_wrong_with_an_archive() {
    let folder = Folder::new("archive-faults");
    let numbers: Vec<u8> = (0..6).flat_map(|value| f64::from(value).to_le_bytes()).collect();
    let rows = npy("<f8", false, "(3, 2)", &numbers);
    let fault = |bytes: &[u8]| {
        let path = folder.write("a.npz", bytes);
        match NpyFile::open_member(&path, "x") {
            Err(Error::File { path: found, source, .. }) if found == path => in_words(source),
            other => panic!("{other:?}"),
        }
    };
    let member = |fault| in_words(MemberFault { name: "x".into(), fault });
    assert_eq!(fault(&zip(&[("x.npy", 0, &rows)], 1, false)), member(Fault::Encrypted));
    let compressed = zip(&[("x.npy", 14, &rows)], 0, false);
    assert_eq!(fault(&compressed), member(Fault::Compression { method: 14 }));
    let text = text_of(&folder.0.join("a.npz"), NpyFile::open(folder.0.join("a.npz")));
    assert!(text.contains("numpy.savez(") && text.contains("a-stored.npz"), "{text}");
    let short = npy("<f8", false, "(4, 2)", &numbers);
    let [found, expected] = [short.len() as u64, short.len() as u64 + 16];
    for method in [0, 8] {
        let truncated = member(Fault::Truncated { expected, found });
        assert_eq!(fault(&zip(&[("x.npy", method, &short)], 0, false)), truncated);
    }
    let none = in_words(Fault::Members { wanted: Some("x".into()), names: vec![] });
    assert_eq!(fault(&zip(&[("x.txt", 0, b"words")], 0, false)), none);
    assert_eq!(fault(&zip(&[], 0, false)), none);
    assert_eq!(fault(&rows), in_words(Fault::NoMembers));
    assert!(fault(b"a,b\n1,2\n").starts_with("Text {"));
    let whole = zip(&[("x.npy", 8, &rows)], 0, true);
    for length in 4..whole.len() {
        assert!(fault(&whole[..length]).starts_with("Archive {"), "cut off at {length}");
    }
    // the decompressor finds a changed packed byte; the comparison finds a wrong checksum
    let mut damaged = zip(&[("x.npy", 8, &rows)], 0, false);
    damaged[60] ^= 1;
    let found = fault(&damaged);
    assert!(found.starts_with("MemberFault { name: \"x\", fault: Unpack {"), "{found}");
    let mut damaged = zip(&[("x.npy", 8, &rows)], 0, false);
    let entry = damaged.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    damaged[entry + 16] ^= 1;
    assert!(fault(&damaged).starts_with("Archive {"));
    // a few bytes that claim to unpack to more than the limit are rejected before unpacking
    let mut large = zip(&[("x.npy", 8, &rows)], 0, false);
    large[entry + 24..][..4].copy_from_slice(&(1u32 << 31).to_le_bytes());
    assert_eq!(fault(&large), member(Fault::Large { bytes: 1 << 31, most: 1 << 30 }));
}

#[test]
fn the_sources_of_an_error_end_at_its_root_cause() {
    let folder = Folder::new("sources");
    let error = NpyFile::open(folder.0.join("missing.npy")).unwrap_err();
    let [_, root] = chain(&error)[..] else { panic!("{error:?}") };
    let root = root.downcast_ref::<std::io::Error>().expect("the system's error");
    assert_eq!(root.kind(), std::io::ErrorKind::NotFound);

    let error = NpyFile::open(folder.write("table.csv", b"1,2\n3,4\n")).unwrap_err();
    let [_, root] = chain(&error)[..] else { panic!("{error:?}") };
    assert!(matches!(root.downcast_ref(), Some(Fault::Text { .. })), "{root:?}");
    assert!(matches!(error.fault(), Some(Fault::Text { .. })));
    assert!(error.fault::<MemberFault>().is_none());

    // a block of kind 3, which deflate does not define
    let rows = npy("<f8", false, "(1, 1)", &1f64.to_le_bytes());
    let mut damaged = zip(&[("x.npy", 8, &rows)], 0, false);
    let name = u16::from_le_bytes([damaged[26], damaged[27]]) as usize;
    let extra = u16::from_le_bytes([damaged[28], damaged[29]]) as usize;
    damaged[30 + name + extra] |= 0b110;
    let error = NpyFile::open_member(folder.write("a.npz", &damaged), "x").unwrap_err();
    let [_, member, fault, root] = chain(&error)[..] else { panic!("{error:?}") };
    assert!(matches!(member.downcast_ref(), Some(MemberFault { name, .. }) if name == "x"), "{member:?}");
    assert!(matches!(fault.downcast_ref(), Some(Fault::Unpack { .. })), "{fault:?}");
    assert!(root.is::<std::io::Error>(), "{root:?}");
    assert!(matches!(error.fault(), Some(Fault::Unpack { .. })));
    assert!(error.fault::<std::io::Error>().is_some());
}

/// Each rejected file comes with a line of Python that fixes it. These lines were tested with numpy 2.4.
#[test]
fn errors_for_rejected_files_suggest_a_remedy() {
    let folder = Folder::new("remedies");
    let quoted = |name: &str| format!("{:?}", folder.0.join(name).display().to_string());
    let load = format!("numpy.load({})", quoted("a.npy"));
    for (descriptor, shape, words, table) in [
        (
            "|O",
            "(2, 3)",
            "Python's objects",
            format!("numpy.load({}, allow_pickle=True).astype(\"f8\")", quoted("a.npy")),
        ),
        ("<c16", "(2, 3)", "complex", format!("{load}.real")),
        ("<U4", "(2, 3)", "texts", format!("{load}.astype(\"f8\")")),
        ("<M8[ns]", "(2, 3)", "dates", format!("{load}.astype(\"i8\")")),
        ("<f16", "(2, 3)", "other sizes", format!("{load}.astype(\"f8\")")),
        ("<f8", "(6,)", "1 dimension ", format!("{load}.reshape(-1, 1)")),
        ("<f8", "()", "0 dimensions", format!("{load}.reshape(1, 1)")),
        ("<f8", "(2, 1, 3)", "3 dimensions", format!("{load}.reshape(2, 3)")),
    ] {
        let path = folder.write("a.npy", &npy(descriptor, false, shape, &[0; 96]));
        let text = text_of(&path, NpyFile::open(&path));
        let line = format!("import numpy; numpy.save({}, {table})", quoted("a-table.npy"));
        assert!(text.contains(words) && text.ends_with(&line), "{text}");
    }
    for (name, bytes, words) in [
        ("a.csv", "a,b\n1,2\n", "delimiter=\",\", skip_header=1, ndmin=2"),
        ("a.csv", "\u{feff}1;2\r\n3;4\r\n", "delimiter=\";\", ndmin=2"),
        ("a.tsv", "1\t2\n", "delimiter=\"\\x09\", ndmin=2"),
        ("a.txt", "1 2\n3 4\n", "a.txt\", ndmin=2"),
        ("a.parquet", "PAR1....", "pandas.read_parquet("),
        ("a.gz", "\u{1f}....", "does not begin"),
        ("a.npy", "version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("a.npy", "<!DOCTYPE html>", "a web page"),
        ("a.npy", "\u{93}", "does not begin"),
        ("a.npy", "", "does not begin"),
    ] {
        let path = folder.write(name, bytes.as_bytes());
        let text = text_of(&path, NpyFile::open(&path));
        assert!(text.contains("not a .npy file") && text.contains(words), "{text}");
    }
    let shape = "(9000000000000000000, 3)";
    for (shape, fortran) in [
        (shape, false),
        (shape, true),
        ("(3, 99999999999999999999999)", false),
        ("(0, 9999999999999999999)", true),
    ] {
        let path = folder.write("a.npy", &npy("<f8", fortran, shape, &[0; 96]));
        let text = text_of(&path, NpyFile::open(&path));
        assert!(text.contains("more numbers than any file holds"), "{text}");
    }
}

#[test]
fn folders_pipes_and_devices_are_rejected() {
    let folder = Folder::new("plain");
    let text = text_of(&folder.0, NpyFile::open(&folder.0));
    assert!(text.contains("is a folder"), "{text}");
    #[cfg(unix)]
    {
        let pipe = folder.0.join("a pipe.npy");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let text = text_of(&pipe, NpyFile::open(&pipe)); // opening it would block: nobody writes to it
        let line = format!("cat '{}' > copy.npy", pipe.display());
        assert!(text.contains("is a pipe") && text.ends_with(&line), "{text}");
        let null = Path::new("/dev/null");
        assert!(text_of(null, NpyFile::open(null)).contains("is a device"));
        assert!(text_of(null, NpyFile::open_member(null, "x")).contains("is a device"));
    }
}

#[test]
fn a_file_truncated_after_opening_is_reported() {
    let folder = Folder::new("shorter");
    for fortran in [false, true] {
        let path = folder.write("a.npy", &npy("<f8", fortran, "(1000, 2)", &[0; 16_000]));
        let file = NpyFile::open(&path).unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(7_000).unwrap();
        let mut buffer = RowBuffer::default();
        assert_eq!(file.read(0..3, &mut buffer).is_ok(), !fortran);
        let text = text_of(&path, file.read(990..1000, &mut buffer));
        assert!(text.contains("7000 bytes, but at least ") && !text.contains("failed to fill"), "{text}");
    }
}

#[test]
fn a_table_without_columns_is_no_panic() {
    let folder = Folder::new("no-columns");
    let path = folder.write("t.npy", &npy("<f8", false, "(5, 0)", &[]));
    let file = NpyFile::open(&path).unwrap();
    assert_eq!(count_missing(&file).unwrap(), Vec::<usize>::new());
    assert!(matches!(csv::write(folder.0.join("t.csv"), None, &file), Err(Error::Empty { what: "columns" })));
    assert!(!folder.0.join("t.csv").exists());
}

#[test]
fn a_number_too_large_for_f32_is_reported_and_nothing_is_written() {
    let folder = Folder::new("narrow");
    let path = folder.0.join("a.npy");
    for value in [1e39, -1e39, f64::MAX, 3.402_823_6e38] {
        let mut data = Array2::zeros((3000, 2));
        data[(2900, 1)] = value;
        data[(2999, 0)] = 1e300; // a later one
        match npy::write(&path, &data, Precision::F32) {
            Err(Error::Magnitude { row: 2900, column: 1, value: found }) => assert_eq!(found, value),
            other => panic!("{other:?}"),
        }
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0);
        npy::write(&path, &data, Precision::F64).unwrap();
        assert_eq!(table(&NpyFile::open(&path).unwrap()), data);
        std::fs::remove_file(&path).unwrap();
    }
    // numbers that round to the largest f32, and numbers that f32 represents
    let kept = array![[f64::from(f32::MAX), f64::INFINITY], [f64::NEG_INFINITY, 1e-60]];
    npy::write(&path, &kept, Precision::F32).unwrap();
    let expected = array![[f64::from(f32::MAX), f64::INFINITY], [f64::NEG_INFINITY, 0.0]];
    assert_eq!(table(&NpyFile::open(&path).unwrap()), expected);
    assert_eq!(NpyFile::open(&path).unwrap().precision(), Precision::F32);
}

/// A header, a member and a directory that claim gigabytes: the error comes before any such allocation.
#[test]
fn a_size_that_a_header_only_claims_is_never_allocated() {
    let folder = Folder::new("promise");
    let mut header = npy("<f8", false, "(2, 3)", &[0; 48]);
    header[6] = 2;
    header[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let promise = npy("<f8", true, "(1000000000, 3)", &[0; 48]);
    let mut member = zip(&[("x.npy", 8, &promise)], 0, false);
    let entry = member.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    member[entry + 24..][..4].copy_from_slice(&(1u32 << 30).to_le_bytes());
    let mut directory = zip(&[("x.npy", 0, &promise)], 0, false);
    let end = directory.len() - 3 - 22;
    directory[end + 12..][..4].copy_from_slice(&(1u32 << 23).to_le_bytes());
    for bytes in [header, promise.clone(), zip(&[("x.npy", 8, &promise)], 0, false), member, directory] {
        let path = folder.write("a.npz", &bytes);
        LARGEST.set(0);
        let text = text_of(&path, NpyFile::open(&path));
        assert!(LARGEST.get() <= 1 << 17, "{} bytes at once: {text}", LARGEST.get());
    }
}

/// Files with a few bytes changed, removed or inserted give the numbers or an error with the file's name, and never allocate
/// much more than the file can hold. `EM_ROUTING_FUZZ=1000000` tries that many files.
#[test]
fn mutated_files_never_panic_or_allocate_too_much() {
    let cases = std::env::var("EM_ROUTING_FUZZ").map_or(8_000, |count| count.parse().unwrap());
    let folder = Folder::new("fuzz");
    let numbers: Vec<u8> = (0..12).flat_map(|value| f64::from(value).to_le_bytes()).collect();
    let rows = npy("<f8", false, "(6, 2)", &numbers);
    let columns = npy(">i2", true, "(6, 2)", &numbers);
    let members: [(&str, u16, &[u8]); 2] = [("x.npy", 0, &rows), ("y.npy", 8, &columns)];
    let whole = [rows.clone(), columns.clone(), zip(&members, 0, false), zip(&members, 0, true)];
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let [mut read, mut refused] = [0; 2];
    for case in 0..cases {
        let mut bytes = whole[case % whole.len()].clone();
        for _ in 0..generator.gen_range(1..=3) {
            mutate(&mut bytes, &mut generator);
        }
        let path = folder.write("a", &bytes);
        for name in [None, Some("x"), Some("y")] {
            LARGEST.set(0);
            let outcome = match name {
                None => NpyFile::open(&path),
                Some(name) => NpyFile::open_member(&path, name),
            };
            // Deflate expands a byte to at most 1032, and a growing vector allocates up to twice its length.
            let most = (1 << 17) + 2 * 1032 * bytes.len();
            assert!(LARGEST.get() <= most, "case {case}: {} bytes at once", LARGEST.get());
            match outcome {
                Ok(file) => {
                    read += 1;
                    let bytes = file.samples() * file.dimensions();
                    if bytes > 0 {
                        assert!(bytes <= 1032 * whole[2].len(), "case {case}");
                        assert_eq!(table(&file).len(), bytes, "case {case}");
                    }
                }
                Err(error @ Error::File { .. }) => {
                    refused += 1;
                    assert!(error.to_string().starts_with(&path.display().to_string()), "case {case}");
                }
                Err(other) => panic!("case {case}: {other:?}"),
            }
        }
    }
    println!("{read} read, {refused} refused");
    assert!(read > cases / 100 && refused > cases / 100, "{read} read, {refused} refused");
}

fn mutate(bytes: &mut Vec<u8>, generator: &mut impl Rng) {
    let place = generator.gen_range(0..=bytes.len());
    match generator.gen_range(0..6) {
        0 => bytes.truncate(place),
        1 => bytes.insert(place, *b"'(){}[],:0 9TL\0\xff".get(generator.gen_range(0..16)).unwrap()),
        2 => {
            let run = bytes[place..(place + generator.gen_range(0..16)).min(bytes.len())].to_vec();
            bytes.splice(place..place, run);
        }
        // overwrite a number of a header
        3 => {
            let value = *[0u64, 1, 0xff, 0xffff, 1 << 24, 0xffff_ffff, u64::MAX]
                .get(generator.gen_range(0..7))
                .unwrap();
            let width = (*[1, 2, 4, 8].get(generator.gen_range(0..4)).unwrap()).min(bytes.len() - place);
            bytes[place..place + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << generator.gen_range(0..8);
            }
        }
    }
}
