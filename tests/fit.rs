//! The commands `fit`, `predict`, `score`, `sample` and `describe` as a user runs them, with tables in all kinds of files.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use em_routing::data::{csv, tables};
use em_routing::prelude::*;
use em_routing::samples::iris;
use rand::{Rng, SeedableRng};

#[path = "support/command.rs"]
mod command;
#[path = "support/folder.rs"]
mod folder;

use command::{em_routing, fails, next, said, succeeds};
use folder::Folder;

/// A folder with iris as CSV, .npy and .npz, the last stored as `numpy.savez` does.
fn iris_folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    let names = iris::FEATURES.map(str::to_owned);
    csv::write(folder.0.join("iris.csv"), Some(&names), &iris::measurements()).unwrap();
    npy::write(folder.0.join("iris.npy"), &iris::measurements(), npy::Precision::F64).unwrap();
    let bytes = std::fs::read(folder.0.join("iris.npy")).unwrap();
    folder.write("iris.npz", &npz(&[("x", &bytes), ("y", &bytes)]));
    folder
}

/// A zip archive of stored members.
fn npz(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, contents) in members {
        let place = bytes.len() as u32;
        let name = format!("{name}.npy");
        let mut fields = [20u16, 0, 0, 0, 0].map(u16::to_le_bytes).concat();
        fields.extend([0, contents.len() as u32, contents.len() as u32].map(u32::to_le_bytes).concat());
        fields.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
        bytes.extend([b"PK\x03\x04", &fields[..], name.as_bytes(), contents].concat());
        directory.extend([b"PK\x01\x02\x14\x00", &fields[..], &[0; 10], &place.to_le_bytes()].concat());
        directory.extend(name.as_bytes());
    }
    let (place, count) = (bytes.len() as u32, members.len() as u16);
    bytes.extend(&directory);
    bytes.extend([b"PK\x05\x06\0\0\0\0", &[count, count].map(u16::to_le_bytes).concat()[..]].concat());
    bytes.extend([directory.len() as u32, place].map(u32::to_le_bytes).concat());
    bytes.extend([0, 0]);
    bytes
}

fn gmm(folder: &Folder, name: &str) -> Gmm {
    Gmm::load(folder.0.join(name)).unwrap()
}

fn bytes(folder: &Folder, name: &str) -> Vec<u8> {
    std::fs::read(folder.0.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn files(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(&folder.0).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn fits_equal_those_of_the_library_for_each_format_and_number_of_threads() {
    let folder = iris_folder("formats");
    let options = GmmOptions { components: 3, restarts: 3, seed: 5, ..Default::default() };
    let expected = Gmm::fit(&iris::measurements(), &options).unwrap().into_model();
    expected.save(folder.0.join("expected.json")).unwrap();
    let expected = gmm(&folder, "expected.json");
    for (file, threads) in [("iris.csv", 1), ("iris.csv", 3), ("iris.npy", 2), ("iris.npz --array x", 2)] {
        let words = format!("fit mixture {file} --components 3 --restarts 3 --seed 5 --threads {threads}");
        let said = succeeds(&folder, &format!("{words} --out {threads}.json"));
        assert!(said.contains("Next: "), "{said}");
        assert_eq!(gmm(&folder, &format!("{threads}.json")), expected, "{file}");
    }
    assert_eq!(bytes(&folder, "1.json"), bytes(&folder, "3.json"));

    let options = KMeansOptions { clusters: 4, restarts: 2, seed: 1, ..Default::default() };
    let expected = KMeans::fit(&iris::measurements(), &options).unwrap().into_model();
    succeeds(&folder, "fit kmeans iris.csv --clusters 4 --restarts 2 --seed 1 --out means.json");
    assert_eq!(KMeans::load(folder.0.join("means.json")).unwrap(), expected);
    for kind in [CovarianceKind::Tied, CovarianceKind::Diagonal, CovarianceKind::Spherical] {
        let options = GmmOptions { components: 2, covariance: kind, ..Default::default() };
        let expected = Gmm::fit(&iris::measurements(), &options).unwrap().into_model();
        let kind = format!("{kind:?}").to_lowercase();
        succeeds(&folder, &format!("fit mixture iris.npy --components 2 --covariance {kind}"));
        expected.save(folder.0.join("expected.json")).unwrap();
        assert_eq!(gmm(&folder, "model.json"), gmm(&folder, "expected.json"), "{kind}");
    }
    // only outputs are left
    assert!(!files(&folder).iter().any(|name| name.starts_with('.') || name.contains("checkpoint")));
    assert!(!files(&folder).iter().any(|name| name.ends_with("lock")));
}

#[test]
fn several_files_are_one_table_and_columns_must_agree() {
    let folder = iris_folder("several");
    let text = String::from_utf8(bytes(&folder, "iris.csv")).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    folder.write("a.csv", format!("{header}\n{}\n", rows[..70].join("\n")).as_bytes());
    // without a header, separated by semicolons, with quotes, blank lines and Windows' ends of lines
    let other = rows[70..110].join("\r\n\r\n").replace(',', "\";\"").replace("\r\n\r\n", "\"\r\n\r\n\"");
    folder.write("b.txt", format!("\"{other}\"\r\n").as_bytes());
    let last = iris::measurements().slice(s![110.., ..]).to_owned();
    npy::write(folder.0.join("c.npy"), &last, npy::Precision::F64).unwrap();
    succeeds(&folder, "fit mixture a.csv b.txt c.npy --components 3 --out parts.json");
    succeeds(&folder, "fit mixture iris.csv --components 3 --out whole.json");
    assert_eq!(bytes(&folder, "parts.json"), bytes(&folder, "whole.json"));
    let paths: Vec<PathBuf> = ["a.csv", "b.txt", "c.npy"].iter().map(|name| folder.0.join(name)).collect();
    let mut table = tables::Tables::open(&paths, None).unwrap();
    table.select(&[3, 1]);
    let all = iris::measurements();
    for range in [0..150, 60..75, 69..71, 100..150, 110..111, 150..150] {
        let expected: Vec<f64> = range.clone().flat_map(|row| [all[(row, 3)], all[(row, 1)]]).collect();
        assert_eq!(table.read(range, &mut data::RowBuffer::default()).unwrap(), expected);
    }
    folder.write("narrow.csv", b"x,y\n1,2\n");
    folder.write("named.csv", b"sepal length,sepal width,petal width,petal length\n1,2,3,4\n");
    fails(
        &folder,
        "fit mixture iris.csv narrow.csv --components 2",
        &["narrow.csv", "has 2 columns", "has 4"],
    );
    fails(
        &folder,
        "fit mixture iris.csv named.csv --components 2",
        &["named.csv", "column 3", "petal width"],
    );
    fails(&folder, "fit mixture none.csv --components 2", &["none.csv"]);
}

#[test]
fn a_bad_or_missing_cell_is_named_with_a_remedy_that_works() {
    let folder = Folder::new("cells");
    let row = |i: usize| format!("{}.5,{},{}\n", i, i % 7, if i == 40 { "x" } else { "1e3" });
    let text: String = std::iter::once("a,b,\"c, d\"\n".to_owned()).chain((0..60).map(row)).collect();
    folder.write("t.csv", text.as_bytes());
    let said = fails(
        &folder,
        "fit mixture t.csv --components 2",
        &["t.csv: line 42, column 3 (c, d) is \"x\", which is not a number", "--columns=a,b"],
    );
    next(&folder, &said);
    assert_eq!(gmm(&folder, "model.json").means.ncols(), 2);
    std::fs::remove_file(folder.0.join("model.json")).unwrap();
    let empty = |i: usize| format!("{i},,{}\n", i % 5);
    let text: String = std::iter::once("a,b,\"c, d\"\n".to_owned()).chain((0..60).map(empty)).collect();
    folder.write("t.csv", text.as_bytes());
    let said = fails(
        &folder,
        "fit mixture t.csv --components 2",
        &["column b has no number in the rows that count", "--columns=a,3"],
    );
    next(&folder, &said);
    fails(&folder, "fit kmeans t.csv --columns e --components 2", &["no column \"e\"", "a, b, c, d"]);
    folder.write("ragged.csv", b"a,b\n1,2\n3\n");
    fails(&folder, "fit kmeans ragged.csv --components 1", &["ragged.csv", "line 3 has 1 fields", "has 2"]);
    folder.write("comma.csv", b"a;b\n1,5;2\n2,5;3\n");
    let said = fails(&folder, "fit kmeans comma.csv --components 1 --columns a", &["tr , . < "]);
    let remedy = said.lines().find_map(|line| line.split_once("decimal comma: ")).unwrap().1;
    assert!(Command::new("sh").args(["-c", remedy]).current_dir(&folder.0).status().unwrap().success());
    succeeds(&folder, "fit kmeans comma-fixed.csv --components 1");
    folder.write("empty.csv", b"");
    fails(&folder, "fit kmeans empty.csv --components 1", &["empty.csv", "no rows"]);
    folder.write("infinite.csv", b"1,2\n3,inf\n");
    fails(&folder, "fit kmeans infinite.csv --components 1", &["line 2, column 2 is inf"]);
}

#[test]
fn a_quote_that_is_not_closed_is_an_error_and_a_field_of_several_lines_is_none() {
    let folder = Folder::new("quotes");
    let words = "fit kmeans t.csv --columns x,y --components 1";
    let rows = "7,8,d\n9,10,e\n".repeat(1000);
    for (text, line) in [
        ("x,y,t\n1,2,a\n3,4,\"b\n5,6,c\n", 3),
        ("x,y,t\n1,2,a\n3,4,\"b\n5,6,\"c\"\n9,10,d\n", 3), // the next opening quote closes it
        ("x,y,t\n\"1,2,a\n3,4,b", 2),
        ("\u{feff}x,y,\"t\n1,2,a\n", 1),
        (&format!("x;y;t\r\n1;2;a\r\n3;\"4;b\r\n{rows}"), 3),
        (&format!("x,y,t\n{rows}1,\"2,a\n{rows}\"\n"), 2002),
    ] {
        folder.write("t.csv", text.as_bytes());
        let at = format!("t.csv: the quote that opens on line {line} is not closed");
        fails(&folder, words, &[&at]);
    }
    let comment = "a \"\"word\"\", a comma\n".repeat(99);
    folder.write(
        "t.csv",
        format!("\u{feff}\"x\",\"y\",\"t\"\n1,2,\"{comment}\"\n\"3\",4,5\" wide\n").as_bytes(),
    );
    let said = succeeds(&folder, words);
    assert!(said.contains("2 rows, 2 of 3 columns"), "{said}");
}

#[test]
fn no_output_replaces_an_input_and_names_must_match() {
    let folder = iris_folder("inputs");
    let before = std::fs::read(folder.0.join("iris.csv")).unwrap();
    fails(&folder, "fit mixture iris.csv --components 2 --out iris.csv", &["iris.csv is also an input"]);
    succeeds(&folder, "fit mixture iris.csv --components 2");
    for words in ["predict model.json iris.csv --out iris.csv", "score model.json iris.csv --out ./iris.csv"]
    {
        fails(&folder, words, &["is also an input"]);
    }
    fails(&folder, "sample model.json --out model.json", &["model.json is also an input"]);
    assert_eq!(std::fs::read(folder.0.join("iris.csv")).unwrap(), before);
    if cfg!(unix) {
        fails(&folder, "fit mixture iris.csv --components 2 --out /dev/null", &["not a regular file"]);
    }
    let text = String::from_utf8(before).unwrap();
    let (_, rows) = text.split_once('\n').unwrap();
    folder
        .write("other.csv", format!("petal width,petal length,sepal width,sepal_length\n{rows}").as_bytes());
    fails(&folder, "score model.json other.csv", &["no column \"sepal length\""]);
    folder.write("twice.csv", format!("a,a,b,c\n{rows}").as_bytes());
    succeeds(&folder, "fit mixture twice.csv --components 2 --out twice.json");
    let mean = |words: &str| succeeds(&folder, words).lines().last().unwrap().to_owned();
    assert_eq!(mean("score twice.json twice.csv"), mean("score model.json iris.csv"));
    fails(&folder, "fit mixture iris.csv --components 2 --columns 1,1 --out x.json", &["twice"]);
    fails(&folder, "fit mixture iris.csv --components 2 --floor=-1 --out x.json", &["--floor is -1"]);
}

#[test]
fn missing_values_are_integrated_out_and_counted() {
    let folder = iris_folder("missing");
    let text = std::fs::read_to_string(folder.0.join("iris.csv")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut data = iris::measurements();
    for (row, column, word) in [(3, 0, ""), (17, 2, "NA"), (17, 3, "NaN"), (90, 1, "")] {
        let mut fields: Vec<&str> = lines[row + 1].split(',').collect();
        fields[column] = word;
        lines[row + 1] = fields.join(",");
        data[[row, column]] = f64::NAN;
    }
    folder.write("holes.csv", (lines.join("\n") + "\n").as_bytes());
    let said = succeeds(&folder, "fit mixture holes.csv --components 3 --restarts 2 --out holes.json");
    for words in ["4 of 600 numbers are missing", "sepal length 1", "petal width 1", "integrates over them"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let options = GmmOptions { components: 3, restarts: 2, ..Default::default() };
    let fit = Gmm::fit(&Incomplete(&data), &options).unwrap();
    assert_eq!(gmm(&folder, "holes.json"), fit.into_model());
    assert!(succeeds(&folder, "score holes.json holes.csv").contains("mean log-density"));
    succeeds(&folder, "predict holes.json holes.csv --out labels.csv");
    let labels = std::fs::read_to_string(folder.0.join("labels.csv")).unwrap();
    assert!(labels.lines().count() == 151 && !labels.contains("NaN"), "{labels}");
    succeeds(&folder, "describe holes.json holes.csv --figures figures");
    succeeds(&folder, "fit kmeans holes.csv --components 3 --out clusters.json");
    succeeds(&folder, "predict clusters.json holes.csv --out clusters.csv");
}

#[test]
fn the_number_of_components_is_chosen_by_the_criterion() {
    let folder = iris_folder("criterion");
    let fit = |k: usize| {
        let options = GmmOptions { components: k, restarts: 2, ..Default::default() };
        let model = Gmm::fit(&iris::measurements(), &options).unwrap().into_model();
        (model.criteria(&iris::measurements()).unwrap(), model)
    };
    let fits: Vec<_> = (1..=4).map(fit).collect();
    for (name, of) in
        [("bic", (|c| c.bic) as fn(&gmm::Criteria) -> f64), ("aic", |c| c.aic), ("icl", |c| c.icl)]
    {
        let words = "fit mixture iris.csv --components 1..4 --restarts 2 --criterion";
        let said = succeeds(&folder, &format!("{words} {name}"));
        let best = fits.iter().min_by(|a, b| of(&a.0).total_cmp(&of(&b.0))).unwrap();
        assert_eq!(gmm(&folder, "model.json").means, best.1.means, "{name}");
        assert!(fits.iter().all(|fit| said.contains(&format!("{:.2}", fit.0.bic))), "{said}");
    }
    let said = fails(&folder, "fit kmeans iris.csv --columns 1,3 --components 2..4", &["no likelihood"]);
    next(&folder, &said);
    assert_eq!(gmm(&folder, "model.json").means.ncols(), 2);
    succeeds(&folder, "fit mixture iris.csv --components 1..4");
    let said =
        fails(&folder, "fit mixture iris.csv --components 200", &["200 components, but only 150 rows"]);
    assert!(said.contains("--components 150"));
    succeeds(&folder, "describe model.json iris.csv --figures figures");
    for figure in ["pairs.svg", "criteria.svg"] {
        let text = std::fs::read_to_string(folder.0.join("figures").join(figure)).unwrap();
        assert!(text.starts_with("<svg") && text.len() > 2000, "{figure}");
    }
    let said = succeeds(&folder, "describe model.json");
    assert!(said.contains("petal width") && said.contains("BIC"), "{said}");
}

#[test]
fn weights_count_rows_as_often_as_they_say() {
    let folder = Folder::new("weights");
    let row = |i: usize| [(i % 5) as f64 + 0.1 * (i % 3) as f64, (i * i % 11) as f64];
    let weight = |i: usize| i % 4;
    let text: String = (0..60).map(|i| format!("{:?},{},{:?}\n", row(i)[0], weight(i), row(i)[1])).collect();
    folder.write("t.csv", format!("x,times,y\n{text}").as_bytes());
    succeeds(&folder, "fit mixture t.csv --components 2 --weights times");
    let data = Array2::from_shape_fn((60, 2), |(i, j)| row(i)[j]);
    let weights: Vec<f64> = (0..60).map(|i| weight(i) as f64).collect();
    let options = GmmOptions { components: 2, ..Default::default() };
    let expected = Gmm::fit_weighted(&data, &weights, &options).unwrap().into_model();
    expected.save(folder.0.join("expected.json")).unwrap();
    assert_eq!(gmm(&folder, "model.json"), gmm(&folder, "expected.json"));
    // `score` and `describe` weigh as the fit did, or say that they do not
    let criteria = expected.criteria_weighted(&data, &weights).unwrap();
    let mean = criteria.log_likelihood / weights.iter().sum::<f64>();
    let said = succeeds(&folder, "score model.json t.csv");
    assert!(said.contains("weight in column times") && said.contains(&format!("{mean} nats")), "{said}");
    let said = succeeds(&folder, "describe model.json t.csv");
    assert!(said.contains(&format!("{:.2}", criteria.bic)), "{said}");
    folder.write("plain.csv", b"x,y\n1,2\n3,4\n");
    for command in ["score", "describe"] {
        let said = succeeds(&folder, &format!("{command} model.json plain.csv"));
        assert!(said.contains("column times, which this table lacks"), "{said}");
    }
    succeeds(&folder, "fit kmeans t.csv --components 2 --weights times --out k.json");
    let repeated: Vec<usize> = (0..60).flat_map(|i| std::iter::repeat_n(i, weight(i))).collect();
    let repeated = data.select(Axis(0), &repeated);
    let model = KMeans::load(folder.0.join("k.json")).unwrap();
    let expected = model.inertia(&repeated).unwrap();
    let said = succeeds(&folder, "score k.json t.csv");
    let found = said.lines().find_map(|line| line.strip_prefix("inertia of 60 rows: ")).unwrap();
    assert!((found.parse::<f64>().unwrap() - expected).abs() <= 1e-12 * expected, "{said}");
    let said = succeeds(&folder, "describe k.json t.csv");
    for size in model.sizes(&repeated, None).unwrap() {
        assert!(said.contains(&format!("  {size}  ")), "{size}: {said}");
    }
    // without a header, a number of the fit may be another column here
    folder.write("t.csv", text.as_bytes());
    succeeds(&folder, "fit kmeans t.csv --components 2 --weights 2 --out k.json");
    folder.write("plain.csv", b"1,2\n3,4\n");
    assert!(succeeds(&folder, "score k.json plain.csv").contains("which this table lacks"));

    folder.write("t.csv", text.replace(",2,", ",0,").replace(",1,", ",0,").replace(",3,", ",0,").as_bytes());
    fails(&folder, "fit mixture t.csv --components 2 --weights 2", &["the weights of the rows add up to 0"]);
    folder.write("t.csv", format!("x,times,y\n{text}1,-1,2\n").as_bytes());
    fails(&folder, "fit mixture t.csv --components 2 --weights times", &["the weight of line 62 is -1"]);
}

/// Runs the fit, kills it after a random time, resumes it with other numbers of threads, and so on to its end.
fn kill_and_resume(folder: &Folder, words: &str, longest: u64, generator: &mut impl Rng) -> usize {
    let mut kills = 0;
    loop {
        let threads = generator.gen_range(1..=3);
        let mut child = em_routing(folder, &format!("{words} --resume --threads {threads}")).spawn().unwrap();
        // longer after each kill, so that the fit ends: a process must live until it has saved something
        std::thread::sleep(Duration::from_millis(generator.gen_range(5..longest + 10 * kills as u64)));
        let before = child.try_wait().unwrap();
        child.kill().unwrap(); // SIGKILL on Unix
        let status = child.wait().unwrap();
        match before {
            Some(_) => assert!(status.success(), "{words}"),
            None => kills += 1,
        }
        if before.is_some() {
            return kills;
        }
        assert!(kills < 2000, "no progress");
    }
}

#[test]
fn a_fit_that_is_killed_repeatedly_ends_with_the_same_bytes() {
    let folder = Folder::new("killed");
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let data = Array2::from_shape_simple_fn((20_000, 6), || generator.r#gen::<f64>());
    csv::write(folder.0.join("t.csv"), None, &data).unwrap();
    for words in [
        "fit mixture t.csv --components 2..4 --restarts 2 --iterations 60 --tolerance -1",
        "fit kmeans t.csv --components 9 --restarts 3 --seed 2",
    ] {
        let started = Instant::now();
        succeeds(&folder, &format!("{words} --out whole.json"));
        let longest = (started.elapsed().as_millis() as u64 / 2).max(40); // half of a whole fit, so that most runs are killed
        let mut kills = 0;
        for round in 0..3 {
            kills +=
                kill_and_resume(&folder, &format!("{words} --out {round}.json"), longest, &mut generator);
            assert_eq!(bytes(&folder, &format!("{round}.json")), bytes(&folder, "whole.json"));
        }
        assert!(kills > 0, "no run was killed");
    }
    assert_eq!(files(&folder), ["0.json", "1.json", "2.json", "t.csv", "whole.json"]);
}

/// SIGTERM is handled like Ctrl-C.
#[cfg(unix)]
#[test]
fn a_signal_keeps_the_last_model_and_prints_how_to_continue() {
    let folder = Folder::new("signal");
    let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(8);
    let data = Array2::from_shape_simple_fn((20_000, 6), || generator.r#gen::<f64>());
    npy::write(folder.0.join("t.npy"), &data, npy::Precision::F64).unwrap();
    // more iterations than any machine makes before the signal
    let words = "fit mixture t.npy --components 8 --tolerance -1 --iterations 3000";
    let child = em_routing(&folder, words).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(900));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(said(&output).contains("best model so far"), "{}", said(&output));
    assert_eq!(gmm(&folder, "model.json").means.dim(), (8, 6));
    // another fit must not overwrite the state
    fails(&folder, words, &["model.json.checkpoint is from an earlier fit", "--resume"]);
    fails(
        &folder,
        &format!("{words} --seed 3 --resume"),
        &["--seed was 0, but is 3", "rm model.json.checkpoint"],
    );
    next(&folder, &said(&output));
    succeeds(&folder, &format!("{words} --out whole.json"));
    assert_eq!(bytes(&folder, "model.json"), bytes(&folder, "whole.json"));
}

fn read(path: &Path) -> Array2<f64> {
    let table = tables::Tables::open(&[path.to_path_buf()], None).unwrap();
    let mut buffer = data::RowBuffer::default();
    let values = table.read(0..table.samples(), &mut buffer).unwrap().to_vec();
    Array2::from_shape_vec((table.samples(), table.dimensions()), values).unwrap()
}

#[test]
fn a_model_labels_scores_and_draws_rows() {
    let folder = iris_folder("use");
    succeeds(&folder, "fit mixture iris.csv --components 3");
    let (model, flowers) = (gmm(&folder, "model.json"), iris::measurements());
    for out in ["l.csv", "l.npy"] {
        succeeds(&folder, &format!("predict model.json iris.csv --out {out}"));
        let found = read(&folder.0.join(out));
        assert_eq!(found.column(0).mapv(|label| label as usize), model.predict(&flowers).unwrap());
        assert_eq!(found.slice(s![.., 1..]), model.responsibilities(&flowers).unwrap());
    }
    let said = succeeds(&folder, "score model.json iris.npy --out s.csv");
    assert_eq!(read(&folder.0.join("s.csv")).column(0), model.log_density(&flowers).unwrap());
    let mean = model.log_likelihood(&flowers).unwrap() / 150.0;
    assert!(said.contains(&format!("mean log-density: {mean} nats")), "{said}");
    succeeds(&folder, "sample model.json --rows 20 --seed 4 --out d.csv --labels");
    let (drawn, labels) = model.sample(20, 4).unwrap();
    assert_eq!(read(&folder.0.join("d.csv")).slice(s![.., ..4]), drawn);
    assert_eq!(read(&folder.0.join("d.csv")).column(4), labels.mapv(|label| label as f64));

    // columns are found by their names, in another order and beside text
    let text: String =
        flowers.rows().into_iter().map(|x| format!("a,{},{},{},{}\n", x[3], x[2], x[1], x[0])).collect();
    let header = "species,petal width,petal length,sepal width,sepal length\n";
    folder.write("other.csv", format!("{header}{text}").as_bytes());
    succeeds(&folder, "predict model.json other.csv --out o.csv");
    assert_eq!(bytes(&folder, "o.csv"), bytes(&folder, "l.csv"));
    folder.write("narrow.csv", b"sepal length,x\n1,2\n");
    fails(&folder, "predict model.json narrow.csv --out o.csv", &["no column \"sepal width\""]);
    let said = fails(&folder, "predict model.json iris.csv --out o.txt", &["neither in .csv nor in .npy"]);
    next(&folder, &said);
    fails(&folder, "predict iris.csv iris.csv --out o.csv", &["iris.csv does not hold a model"]);
    // a table in the place of the model is not read to its end
    let sparse = std::fs::File::create(folder.0.join("large.csv")).unwrap();
    (&sparse).write_all(b"a,b\n1,2\n").unwrap();
    sparse.set_len(1 << 36).unwrap();
    fails(&folder, "describe large.csv iris.csv", &["large.csv does not hold a model", "begin with {"]);

    succeeds(&folder, "fit kmeans iris.csv --components 3 --columns 1,4 --out means.json");
    let model = KMeans::load(folder.0.join("means.json")).unwrap();
    let flowers = flowers.select(Axis(1), &[0, 3]);
    succeeds(&folder, "predict means.json iris.csv --out m.npy");
    let found = read(&folder.0.join("m.npy"));
    assert_eq!(found.column(0).mapv(|label| label as usize), model.predict(&flowers).unwrap());
    assert_eq!(found.column(1), model.squared_distances(&flowers).unwrap().mapv(f64::sqrt));
    succeeds(&folder, "describe means.json iris.csv --figures figures");
    let said = fails(&folder, "sample means.json --out d.csv", &["K-means is no distribution"]);
    assert!(next(&folder, &said).contains("mixture"));

    // the next step uses the same columns, and folders of outputs are made
    folder.write("renamed.csv", format!("text,a,-b,c,d\n{text}").as_bytes());
    let said = succeeds(&folder, "predict model.json renamed.csv --columns d,c,-b,a --out new/o.csv");
    assert_eq!(bytes(&folder, "new/o.csv"), bytes(&folder, "l.csv"));
    assert!(next(&folder, &said).contains(&format!("{mean} nats")));
    succeeds(&folder, "score model.json iris.csv --out new/er/s.csv");
    succeeds(&folder, "sample model.json --out newest/d.csv");
    let said = succeeds(&folder, "describe model.json renamed.csv --columns d,c,-b,a");
    next(&folder, &said);
    assert!(folder.0.join("figures/pairs.svg").is_file());
}

#[test]
fn a_row_without_any_value_gets_the_mixing_weights_or_the_first_cluster_at_distance_0() {
    let folder = Folder::new("empty-rows");
    folder.write("t.csv", b"a,b\n1,2\n3,4\n5,7\n1,3\n");
    folder.write("empty.csv", b"a,b\n1,2\n,\n");
    succeeds(&folder, "fit mixture t.csv --components 2");
    succeeds(&folder, "predict model.json empty.csv --out l.csv");
    let (found, weights) = (read(&folder.0.join("l.csv")), gmm(&folder, "model.json").weights);
    assert_eq!(found.slice(s![1, 1..]), weights);
    assert_eq!(found[(1, 0)], if weights[1] > weights[0] { 1.0 } else { 0.0 });
    succeeds(&folder, "score model.json empty.csv --out s.csv");
    assert_eq!(read(&folder.0.join("s.csv"))[(1, 0)], 0.0);
    succeeds(&folder, "fit kmeans t.csv --components 2 --out k.json");
    succeeds(&folder, "predict k.json empty.csv --out l.csv");
    assert_eq!(read(&folder.0.join("l.csv")).row(1), array![0.0, 0.0]);
}

#[test]
fn covariances_larger_than_the_memory_are_refused_before_the_fit() {
    let folder = Folder::new("wide");
    npy::write(folder.0.join("t.npy"), &Array2::zeros((300, 20_000)), npy::Precision::F64).unwrap();
    if cfg!(target_os = "linux") {
        let words = "fit mixture t.npy --components 300";
        fails(&folder, words, &["take about 7680 GB of memory", "--covariance diagonal"]);
    }
}

/// A killed process leaves a hidden file. The next one with the same output removes it, but no file that a living one writes.
#[test]
fn leftovers_of_killed_processes_are_removed_and_files_of_living_ones_are_not() {
    let folder = iris_folder("leftovers");
    succeeds(&folder, "fit mixture iris.csv --components 2");
    let others =
        [".model.json.copy.7-0.part", ".model.json.7-x.part", ".other.csv.7-0.part", ".l.csv.7-2.part"];
    let leftovers = [
        ".model.json.7-0.part",
        ".model.json.checkpoint.7-1.part",
        ".model.json.numbers.npy.7-0.part",
        ".l.csv.7-0.part",
    ];
    for name in others.iter().chain(&leftovers) {
        folder.write(name, b"1");
    }
    let held = std::fs::File::open(folder.0.join(".l.csv.7-2.part")).unwrap();
    held.try_lock().unwrap();
    succeeds(&folder, "fit mixture iris.csv --components 2");
    succeeds(&folder, "predict model.json iris.csv --out l.csv");
    let found = files(&folder);
    assert!(others.iter().all(|name| found.contains(&(*name).to_owned())), "{found:?}");
    assert!(!leftovers.iter().any(|name| found.contains(&(*name).to_owned())), "{found:?}");

    // a process that is killed while it writes
    let words = "sample model.json --rows 3000000 --out big.csv";
    let mut child = em_routing(&folder, words).spawn().unwrap();
    let is_written = |name: &String| name.starts_with(".big.csv.");
    while !files(&folder).iter().any(is_written) {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        std::thread::sleep(Duration::from_millis(2));
    }
    // another one with the same output leaves its file alone
    succeeds(&folder, "sample model.json --rows 5 --out big.csv");
    let count = files(&folder).iter().filter(|name| is_written(name)).count();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(count, 1);
    succeeds(&folder, "sample model.json --rows 5 --out big.csv");
    assert!(!files(&folder).iter().any(is_written));
}
