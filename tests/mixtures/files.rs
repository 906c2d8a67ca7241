//! `.npy` files: fits have the same bits as in memory, and invalid files give clear errors.

use std::path::PathBuf;

use em_routing::data::npy::{Fault, NpyFile, Precision, write};
use em_routing::data::{RowBuffer, Rows};
use em_routing::em::Stop;
use em_routing::error::Error;
use em_routing::gmm::{Gmm, GmmOptions, GmmStart};
use em_routing::kmeans::{KMeans, KMeansOptions};
use ndarray::Array2;

use super::blobs;

/// A path unique to each test; its file is removed when the test ends.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Temporary {
        Temporary(std::env::temp_dir().join(format!("em-routing-{}-{name}.npy", std::process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_fit_from_a_file_equals_the_fit_in_memory() {
    for (samples, dimensions) in [(1, 1), (5000, 3), (4096, 16), (130, 700)] {
        let file = Temporary::new(&format!("fit-{samples}"));
        let data = blobs(samples, dimensions, 4, 7);
        for precision in [Precision::F64, Precision::F32] {
            write(&file.0, &data, precision).unwrap();
            let on_disk = NpyFile::open(&file.0).unwrap();
            assert_eq!((on_disk.samples(), on_disk.dimensions()), data.dim());
            let data = match precision {
                Precision::F64 => data.clone(),
                Precision::F32 => data.mapv(|x| f64::from(x as f32)),
            };
            let clusters = samples.min(4);
            let stop = Stop { max_iterations: 3, tolerance: 0.0 };
            let options = KMeansOptions { clusters, stop, ..Default::default() };
            let memory = KMeans::fit(&data, &options).unwrap();
            assert_eq!(memory, KMeans::fit(&on_disk, &options).unwrap());
            assert_eq!(memory.model().predict(&data).unwrap(), memory.model().predict(&on_disk).unwrap());
            if dimensions > 100 {
                continue;
            }
            for start in [GmmStart::KMeans, GmmStart::RandomResponsibilities] {
                let options = GmmOptions { components: clusters, start, stop, ..Default::default() };
                let memory = Gmm::fit(&data, &options).unwrap();
                assert_eq!(memory, Gmm::fit(&on_disk, &options).unwrap());
            }
        }
    }
}

#[test]
fn every_memory_layout_gives_the_same_fit() {
    let data = blobs(300, 4, 3, 8);
    let options = GmmOptions { components: 3, ..Default::default() };
    let expected = Gmm::fit(&data, &options).unwrap();
    let columns = data.t().as_standard_layout().to_owned();
    assert_eq!(expected, Gmm::fit(&columns.t(), &options).unwrap());
    let mut wide = Array2::from_elem((600, 8), f64::NAN);
    wide.slice_mut(ndarray::s![..;2, 1..5]).assign(&data);
    assert_eq!(expected, Gmm::fit(&wide.slice(ndarray::s![..;2, 1..5]), &options).unwrap());
}

#[test]
fn a_table_written_to_a_file_is_read_back_unchanged() {
    let file = Temporary::new("back");
    let data = blobs(777, 5, 4, 9);
    write(&file.0, &data, Precision::F64).unwrap();
    let bytes = std::fs::read(&file.0).unwrap();
    assert_eq!(bytes.len() % 64, (777 * 5 * 8) % 64, "the numbers begin at a multiple of 64");
    let mut buffer = RowBuffer::default();
    let on_disk = NpyFile::open(&file.0).unwrap();
    assert_eq!(on_disk.precision(), Precision::F64);
    for range in [0..777, 3..5, 776..777, 8..8] {
        let expected: Vec<f64> = data.slice(ndarray::s![range.clone(), ..]).iter().copied().collect();
        assert_eq!(on_disk.read(range, &mut buffer).unwrap(), expected);
    }
}

#[test]
fn a_failed_write_leaves_no_partial_file() {
    let missing =
        std::env::temp_dir().join(format!("em-routing-{}-missing", std::process::id())).join("a.npy");
    assert!(matches!(write(&missing, &blobs(3, 2, 1, 1), Precision::F64), Err(Error::Io { .. })));
    assert!(matches!(NpyFile::open(&missing), Err(Error::Io { .. })));

    struct Broken;
    impl Rows for Broken {
        fn samples(&self) -> usize {
            10
        }
        fn dimensions(&self) -> usize {
            2
        }
        fn read<'a>(
            &'a self,
            _: std::ops::Range<usize>,
            _: &'a mut RowBuffer,
        ) -> em_routing::error::Result<&'a [f64]> {
            Err(Error::Empty { what: "numbers" })
        }
    }
    let file = Temporary::new("broken");
    write(&file.0, &blobs(3, 2, 1, 1), Precision::F64).unwrap();
    let before = std::fs::read(&file.0).unwrap();
    assert!(matches!(write(&file.0, &Broken, Precision::F64), Err(Error::Empty { .. })));
    assert_eq!(std::fs::read(&file.0).unwrap(), before, "the old file stays");
    assert!(matches!(KMeans::fit(&Broken, &KMeansOptions::default()), Err(Error::Empty { .. })));

    /// Forgets the last row of each range.
    struct Short(Array2<f64>);
    impl Rows for Short {
        fn samples(&self) -> usize {
            self.0.nrows()
        }
        fn dimensions(&self) -> usize {
            self.0.ncols()
        }
        fn read<'a>(
            &'a self,
            range: std::ops::Range<usize>,
            buffer: &'a mut RowBuffer,
        ) -> em_routing::error::Result<&'a [f64]> {
            self.0.read(range.start..range.end - 1, buffer)
        }
    }
    let options = KMeansOptions { clusters: 2, ..Default::default() };
    let error = KMeans::fit(&Short(blobs(30, 2, 2, 1)), &options).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 60, found: 58, .. }), "{error}");
    let weights: Vec<f64> = (0..30).map(|i| f64::from(i % 3)).collect();
    let error = KMeans::fit_weighted(&Short(blobs(30, 2, 2, 1)), &weights, &options).unwrap_err();
    assert!(matches!(error, Error::Length { .. }), "{error}");
}

fn npy(version: u8, header: &str, body: usize) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    match version {
        1 => bytes.extend((header.len() as u16).to_le_bytes()),
        _ => bytes.extend((header.len() as u32).to_le_bytes()),
    }
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0; body]);
    bytes
}

/// Faults hold system errors, which cannot be compared; their debug output can.
#[track_caller]
fn assert_same(found: impl std::fmt::Debug, expected: impl std::fmt::Debug) {
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
}

#[test]
fn errors_say_why_a_data_file_is_invalid() {
    let file = Temporary::new("fault");
    let open = |bytes: &[u8]| {
        std::fs::write(&file.0, bytes).unwrap();
        match NpyFile::open(&file.0) {
            Err(Error::File { path, source, .. }) => {
                assert_eq!(path, file.0);
                *source.downcast::<Fault>().unwrap()
            }
            other => panic!("{other:?}"),
        }
    };
    let header = |kind: &str, fortran: &str, shape: &str| {
        format!("{{'descr': {kind}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
    };
    let good = npy(1, &header("'<f8'", "False", "(2, 3)"), 48);
    assert_same(open(b""), Fault::Magic);
    assert_same(open(b"1.0,2.0\n3.0,4.0\n"), Fault::Text { delimiter: Some(','), header: false });
    assert_same(open(&npy(4, "", 0)), Fault::Version { major: 4 });
    for length in 8..good.len() {
        let fault = open(&good[..length]);
        let Fault::Truncated { expected, found } = fault else { panic!("{length} bytes: {fault}") };
        assert!(found == length as u64 && expected > found && expected <= good.len() as u64);
    }
    let faults = [
        (header("'<c16'", "False", "(2, 3)"), Fault::Kind { descriptor: "<c16".into() }),
        (header("'>f16'", "False", "(2, 3)"), Fault::Kind { descriptor: ">f16".into() }),
        (header("'|O'", "False", "(2, 3)"), Fault::Kind { descriptor: "|O".into() }),
        (header("'<U4'", "False", "(2, 3)"), Fault::Kind { descriptor: "<U4".into() }),
        (header("'<f8'", "False", "(6,)"), Fault::Dimensions { shape: vec![6] }),
        (header("'<f8'", "False", "()"), Fault::Dimensions { shape: vec![] }),
        (header("'<f8'", "False", "(1, 2, 3)"), Fault::Dimensions { shape: vec![1, 2, 3] }),
        (
            header("'<f8'", "False", "(9000000000000000000, 3)"),
            Fault::Dimensions { shape: vec![9000000000000000000, 3] },
        ),
    ];
    for (header, fault) in faults {
        assert_same(open(&npy(1, &header, 48)), &fault);
        assert_same(open(&npy(2, &header, 48)), &fault);
    }
    for header in ["", "{}", "{'descr': '<f8', 'fortran_order': Maybe, 'shape': (2, 3)}", "(2, x)"] {
        assert!(matches!(open(&npy(1, header, 48)), Fault::Header { .. }), "{header}");
    }
    let record = header("[('a', '<f8'), ('b', '<f8')]", "False", "(3,)");
    assert!(matches!(open(&npy(1, &record, 48)), Fault::Kind { .. }));
    for version in 1..=3 {
        std::fs::write(&file.0, npy(version, &header("'<f8'", "False", "(2, 3)"), 48)).unwrap();
        assert_eq!(NpyFile::open(&file.0).unwrap().samples(), 2);
    }
    std::fs::write(&file.0, b"").unwrap();
    let words = NpyFile::open(&file.0).unwrap_err().to_string();
    assert!(words.starts_with(&format!("{}: not a .npy file", file.0.display())), "{words}");
}

#[test]
fn truncating_a_file_while_reading_is_an_error() {
    let file = Temporary::new("cut");
    write(&file.0, &blobs(5000, 3, 4, 7), Precision::F64).unwrap();
    let data = NpyFile::open(&file.0).unwrap();
    std::fs::OpenOptions::new().write(true).open(&file.0).unwrap().set_len(60_000).unwrap();
    for threads in [1, 2, 3] {
        let options = KMeansOptions { threads, ..Default::default() };
        assert!(matches!(KMeans::fit(&data, &options), Err(Error::Io { .. })));
    }
}

#[test]
fn errors_give_the_row_and_the_column_of_a_non_finite_number() {
    let file = Temporary::new("nan");
    for (row, column, value) in [(0, 0, f64::NAN), (4321, 2, f64::INFINITY), (4999, 1, f64::NEG_INFINITY)] {
        let mut data = blobs(5000, 3, 4, 7);
        data[(row, column)] = value;
        data[(4999, 2)] = f64::NAN; // a later one
        write(&file.0, &data, Precision::F64).unwrap();
        let on_disk = NpyFile::open(&file.0).unwrap();
        let sources: [&dyn Rows; 2] = [&data, &on_disk];
        for source in sources {
            for threads in [1, 2, 3] {
                let kmeans =
                    KMeans::fit(source, &KMeansOptions { threads, ..Default::default() }).unwrap_err();
                let mixture = Gmm::fit(source, &GmmOptions { threads, ..Default::default() }).unwrap_err();
                for error in [kmeans, mixture] {
                    assert!(
                        matches!(error, Error::NonFinite { row: r, column: c, .. } if (r, c) == (row, column)),
                        "{error}"
                    );
                }
            }
        }
    }
}
