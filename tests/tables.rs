//! Awkward tables: their columns, sizes and faults, as the commands `fit`, `score`, `sample` and `describe` take them.

use em_routing::data::csv::{self, CsvFile, Fault};
use em_routing::prelude::*;
use em_routing::samples::iris;

#[path = "support/command.rs"]
mod command;
#[path = "support/folder.rs"]
mod folder;

use command::{em_routing, fails, next, said, succeeds};
use folder::Folder;

/// The mean log-density that `score` prints.
fn mean_log_density(said: &str) -> f64 {
    let line = said.lines().find_map(|line| line.strip_prefix("mean log-density: ")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// The final log-likelihood that `fit mixture` prints.
fn log_likelihood(said: &str) -> f64 {
    let (_, rest) = said.split_once("log-likelihood ").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn columns_without_a_name_are_found_by_number_beside_columns_named_by_numbers() {
    let folder = Folder::new("numbered");
    // as pandas writes an index and columns without names
    let rows = (0..40).map(|i| format!("{i},{},{},{}\n", (i * 7) % 11, (i * i) % 13, i % 3));
    folder.write("pandas.csv", (",1,2,target\n".to_owned() + &rows.collect::<String>()).as_bytes());
    let fitted = log_likelihood(&succeeds(&folder, "fit mixture pandas.csv --components 1"));
    let mean = mean_log_density(&succeeds(&folder, "score model.json pandas.csv"));
    assert!((40.0 * mean - fitted).abs() < 1e-3, "{fitted} in the fit, {} in score", 40.0 * mean);

    succeeds(&folder, "fit mixture pandas.csv --components 1 --columns 2,target --out named.json");
    folder.write("other.csv", b"p,q,r,target\n1,2,3,4\n");
    fails(&folder, "score named.json other.csv", &["there is no column \"2\"; there are: p, q, r, target"]);
    folder.write("narrow.csv", b"1,2\n3,4\n");
    fails(&folder, "score model.json narrow.csv", &["takes a column \"1\"", "--columns"]);
}

#[test]
fn the_command_after_sample_scores_the_columns_in_the_order_of_the_model() {
    let folder = Folder::new("drawn");
    let table = iris::measurements();
    npy::write(folder.0.join("iris.npy"), &table, npy::Precision::F64).unwrap();
    succeeds(&folder, "fit mixture iris.npy --components 2 --columns 4,1");
    let model = Gmm::load(folder.0.join("model.json")).unwrap();
    let drawn = model.sample(300, 0).unwrap().0;
    let expected = model.log_likelihood(&drawn).unwrap() / 300.0;
    for out in ["d.csv", "d.npy"] {
        let said = succeeds(&folder, &format!("sample model.json --rows 300 --out {out}"));
        let mean = mean_log_density(&next(&folder, &said));
        assert!((mean - expected).abs() < 1e-9, "{out}: {mean}, not {expected}");
    }
    assert!(!succeeds(&folder, "sample model.json --rows 0 --out d.csv").contains("Next:"));
    for rows in ["18446744073709551615", "1000000000000000"] {
        fails(&folder, &format!("sample model.json --rows {rows} --out d.csv"), &["fit into memory"]);
    }
}

#[test]
fn a_first_line_may_be_longer_than_the_part_that_shows_the_separator() {
    let folder = Folder::new("wide");
    let header: Vec<String> = (0..9000).map(|column| format!("column-{column}")).collect();
    let row =
        |value: usize| (0..9000).map(|column| (column + value).to_string()).collect::<Vec<_>>().join(";");
    for (name, end) in [("lf.csv", "\n"), ("cr.csv", "\r"), ("crlf.csv", "\r\n")] {
        let text = [header.join(";"), row(0), row(1)].map(|line| line + end).concat();
        let table = CsvFile::open(folder.write(name, text.as_bytes())).unwrap();
        assert_eq!((table.samples(), table.columns()), (2, 9000), "{name}");
        assert_eq!(table.names().unwrap(), header);
    }
}

#[test]
fn a_word_for_a_missing_value_is_named_with_its_remedy() {
    let folder = Folder::new("null");
    let path = folder.write("t.csv", b"x,y\n1,2\n3,null\n5,6\n");
    let table = CsvFile::open(&path).unwrap();
    let error = table.read(0..3, &mut data::RowBuffer::default()).unwrap_err();
    assert!(matches!(error.fault(), Some(Fault::Cell { line: 3, column: 2, .. })), "{error}");
    assert!(error.to_string().ends_with("; if it is missing, leave the field empty or write NA"), "{error}");
}

#[test]
fn an_output_that_names_a_folder_is_refused_before_the_work() {
    let folder = Folder::new("slash");
    folder.write("t.csv", b"x,y\n1,2\n3,4\n5,6\n");
    fails(&folder, "fit kmeans t.csv --components 2 --out a/b/", &["a/b/ is a folder", "--out"]);
    succeeds(&folder, "fit kmeans t.csv --components 2");
    fails(&folder, "predict model.json t.csv --out a/b/", &["a/b/ is a folder"]);
    assert!(!folder.0.join("a").exists());
}

#[test]
fn clusters_and_components_without_rows_are_named() {
    let folder = Folder::new("few-points");
    folder.write("t.csv", b"x\n1\n1\n1\n9\n9\n9\n");
    let said = succeeds(&folder, "fit kmeans t.csv --components 3");
    assert!(said.contains("1 cluster has no rows"), "{said}");
    next(&folder, &said); // a single column has no figure, so this command must not ask for one
    assert!(!said.contains("--figures"), "{said}");
    let said = succeeds(&folder, "fit mixture t.csv --components 3 --out m.json");
    let empty = Gmm::load(folder.0.join("m.json")).unwrap().weights.iter().filter(|&&w| w == 0.0).count();
    assert_eq!(said.matches("has no rows").count(), empty, "{said}");
    assert!(empty > 0, "{said}");
}

#[test]
fn the_caution_about_the_floor_ends_when_its_command_is_followed() {
    let folder = Folder::new("units");
    let small = iris::measurements() * 1e-3; // in kilometres rather than metres, say
    csv::write(folder.0.join("small.csv"), None, &small).unwrap();
    let said = succeeds(&folder, "fit mixture small.csv --components 3");
    let caution =
        said.lines().find(|line| line.contains("a smaller one: ")).unwrap_or_else(|| panic!("{said}"));
    let command = caution.split_once("a smaller one: ").unwrap().1;
    let output =
        std::process::Command::new("sh").args(["-c", command]).current_dir(&folder.0).output().unwrap();
    let better = command::said(&output);
    assert!(output.status.success() && !better.contains("caution"), "{better}");
    assert!(log_likelihood(&better) > log_likelihood(&said));

    folder.write("constant.csv", b"x,y\n1,5\n2,5\n4,5\n7,5\n");
    let said = succeeds(&folder, "fit mixture constant.csv --components 1");
    assert!(said.contains("all rows have nearly the same y"), "{said}");
}

#[test]
fn options_out_of_range_are_named_as_they_are_typed() {
    let folder = Folder::new("options");
    folder.write("t.csv", b"x,y\n1,2\n3,4\n5,6\n");
    fails(&folder, "fit mixture t.csv --components 1 --floor -1", &["--floor is -1"]);
    fails(&folder, "fit mixture t.csv --components 1 --tolerance NaN", &["--tolerance is NaN"]);
    let output = em_routing(&folder, "fit mixture t.csv --components 1 --tolerance -1").output().unwrap();
    assert!(output.status.success(), "{}", said(&output)); // never stops before the last iteration
}
