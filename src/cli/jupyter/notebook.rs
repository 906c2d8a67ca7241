//! Finds notebook files and checks them before anything is executed.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::failure::{AtPath, Failure, Outcome};
use crate::cli::places::Places;

/// The supported version of the notebook format.
const FORMAT: u64 = 4;

/// A notebook to execute.
pub struct Notebook {
    /// The path as the user gave it.
    pub path: PathBuf,
    /// The file itself, with links resolved.
    pub file: PathBuf,
    /// The file name without `.ipynb`, after the folder if that lies in notebooks/, as in `solutions/01_known_labels`. The
    /// outputs are named after it.
    pub name: String,
}

/// The folders in notebooks/ whose notebooks are the project's, too: what the chapters leave out, and the exercises' solutions.
pub const APPENDIX: &str = "appendix";
pub const SOLUTIONS: &str = "solutions";

/// Returns the named notebooks, each file once, or all of the project: the chapters, the appendix, then the solutions. Returns
/// an error if two have the same name.
pub fn find(places: &Places, named: &[PathBuf]) -> Outcome<Vec<Notebook>> {
    let mut paths = named.to_vec();
    if named.is_empty() {
        let chapters = places.notebooks();
        for folder in [chapters.join(APPENDIX), chapters.join(SOLUTIONS), chapters.clone()] {
            if folder == chapters || folder.is_dir() {
                paths.extend(all_in(&folder)?);
            }
        }
        if paths.is_empty() {
            return Err(Failure::new(format!("there is no notebook in {}", chapters.display())));
        }
    }
    paths.sort();
    let own = places.notebooks().canonicalize().ok();
    let mut notebooks: Vec<Notebook> = Vec::new();
    let mut by_name: HashMap<String, PathBuf> = HashMap::new();
    for path in paths {
        if !path.is_file() {
            let what = if path.is_dir() { "is a folder, not a file" } else { "is not a file" };
            return Err(Failure::new(format!("{} {what}", path.display()))
                .mend(format!("name notebooks; the project's are in {}", places.notebooks().display())));
        }
        let file = path.canonicalize().at(&path)?;
        if notebooks.iter().any(|other| other.file == file) {
            continue;
        }
        let mut name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let within = own.as_ref().and_then(|own| file.parent()?.strip_prefix(own).ok());
        for folder in within.into_iter().flat_map(|folders| folders.iter().rev()) {
            name = format!("{}/{name}", folder.to_string_lossy());
        }
        // on some file systems `A.html` and `a.html` are the same file
        if let Some(other) = by_name.insert(name.to_lowercase(), path.clone()) {
            return Err(Failure::new(format!(
                "{} and {} have the same name, so the outputs of one would overwrite the other's",
                other.display(),
                path.display()
            ))
            .mend("execute them one at a time, each with its own --out, or rename one"));
        }
        notebooks.push(Notebook { path, file, name });
    }
    Ok(notebooks)
}

fn all_in(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).at(folder)? {
        let path = entry.at(folder)?.path();
        if path.extension().is_some_and(|extension| extension == "ipynb") && path.is_file() {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Checks that a file is a notebook that can be executed; the error says in one sentence what is wrong and where.
pub fn check(path: &Path) -> Outcome<()> {
    let notebook = read(path)?;
    let wrong = |words: String| Failure::new(format!("{}: {words}", path.display()));
    if let Some(language) = language(&notebook).filter(|language| !language.eq_ignore_ascii_case("rust")) {
        return Err(wrong(format!(
            "its kernel is for {language}, but only notebooks in Rust can be executed"
        ))
        .mend("name notebooks in Rust"));
    }
    let cells = notebook["cells"].as_array().map_or(&[][..], Vec::as_slice);
    for (index, cell) in cells.iter().enumerate() {
        if let Some(words) = fault_of(cell) {
            return Err(wrong(format!("cell {} of {} {words}", index + 1, cells.len())));
        }
    }
    Ok(())
}

/// Returns the first code cell of a notebook, or `None` if it has none or cannot be read.
pub fn first_code_cell(path: &Path) -> Option<String> {
    let notebook = read(path).ok()?;
    let cell = notebook["cells"].as_array()?.iter().find(|cell| cell["cell_type"] == "code")?;
    text(&cell["source"])
}

/// Reads a notebook file; the cells are not checked.
fn read(path: &Path) -> Outcome<Value> {
    let wrong = |words: String| Failure::new(format!("{} {words}", path.display()));
    let bytes = fs::read(path).at(path)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes); // a byte-order mark
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        wrong(format!("is not a notebook: line {line} is not UTF-8"))
    })?;
    let notebook: Value =
        serde_json::from_str(text).map_err(|error| wrong(format!("is not a notebook: not JSON: {error}")))?;
    if !notebook.is_object() {
        return Err(wrong("is not a notebook: its JSON is not an object".to_owned()));
    }
    match notebook["nbformat"].as_u64() {
        Some(FORMAT) => {}
        Some(found) if found < FORMAT => {
            return Err(wrong(format!(
                "is in version {found} of the notebook format, but {FORMAT} is needed"
            ))
            .mend("open it in JupyterLab and save it there, which converts it"));
        }
        Some(found) => {
            return Err(wrong(format!(
                "is in version {found} of the notebook format, but {FORMAT} is needed"
            )));
        }
        None => return Err(wrong("is not a notebook: it has no number `nbformat`".to_owned())),
    }
    if !notebook["nbformat_minor"].is_u64() {
        return Err(wrong("is not a notebook: it has no number `nbformat_minor`".to_owned()));
    }
    if !notebook["metadata"].is_object() {
        return Err(wrong("is not a notebook: it has no object `metadata`".to_owned()));
    }
    match &notebook["cells"] {
        Value::Array(_) => Ok(notebook),
        _ => Err(wrong("is not a notebook: it has no list `cells`".to_owned())),
    }
}

/// Returns the language of the notebook's kernel, if the metadata names it.
fn language(notebook: &Value) -> Option<String> {
    let metadata = &notebook["metadata"];
    let named = [&metadata["kernelspec"]["language"], &metadata["language_info"]["name"]];
    if let Some(language) = named.into_iter().find_map(|name| name.as_str().filter(|name| !name.is_empty())) {
        return Some(language.to_owned());
    }
    let kernel = metadata["kernelspec"]["name"].as_str().unwrap_or_default();
    kernel.to_lowercase().starts_with("python").then(|| "Python".to_owned())
}

/// Returns what is wrong with a cell, or `None`.
fn fault_of(cell: &Value) -> Option<String> {
    if !cell.is_object() {
        return Some("is not an object".to_owned());
    }
    match cell["cell_type"].as_str() {
        Some("code" | "markdown" | "raw") => {}
        Some(kind) => return Some(format!("is of the unknown type {kind:?}")),
        None => return Some("has no `cell_type`".to_owned()),
    }
    if !cell["metadata"].is_object() {
        return Some("has no object `metadata`".to_owned());
    }
    text(&cell["source"]).is_none().then(|| "has no text `source`".to_owned())
}

/// Returns a text that is stored in one piece or as a list of lines.
fn text(source: &Value) -> Option<String> {
    match source {
        Value::String(text) => Some(text.clone()),
        Value::Array(lines) => lines.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said_of(contents: &[u8]) -> Option<String> {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("em-routing-notebook-{}-{count}", std::process::id()));
        fs::write(&path, contents).unwrap();
        let said = check(&path).err().map(|failure| failure.to_string());
        fs::remove_file(&path).unwrap();
        said
    }

    fn notebook(cells: &str, more: &str) -> String {
        format!(r#"{{"nbformat": 4, "nbformat_minor": 5, "metadata": {{{more}}}, "cells": [{cells}]}}"#)
    }

    #[test]
    fn check_accepts_valid_notebooks() {
        for cells in [
            "",
            r#"{"cell_type": "markdown", "metadata": {}, "source": ""}"#,
            r#"{"cell_type": "markdown", "metadata": {}, "source": []}"#,
            r#"{"cell_type": "raw", "metadata": {}, "source": ["a\n", "b"]}"#,
            r#"{"cell_type": "code", "metadata": {}, "source": "let x = 1;"}"#,
        ] {
            for more in ["", r#""kernelspec": {"name": "rust", "language": "rust"}"#] {
                let text = notebook(cells, more);
                assert_eq!(said_of(text.as_bytes()), None);
                assert_eq!(said_of(format!("\u{feff}{text}").as_bytes()), None);
            }
        }
    }

    #[test]
    fn check_reports_what_is_invalid_in_a_notebook_and_where() {
        let good = r#"{"cell_type": "code", "metadata": {}, "source": ""}"#;
        for (text, part) in [
            (String::new(), "line 1 column 0"),
            ("{\n  \"cells\": [\n  nothing".into(), "line 3 column 4"),
            ("[1, 2]".into(), "not an object"),
            ("{}".into(), "`nbformat`"),
            (r#"{"nbformat": 3, "worksheets": []}"#.into(), "version 3"),
            (r#"{"nbformat": 5}"#.into(), "version 5"),
            (r#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}"#.into(), "`cells`"),
            (r#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": {}}"#.into(), "`cells`"),
            (notebook(&format!("{good}, 3"), ""), "cell 2 of 2"),
            (notebook(r#"{"metadata": {}, "source": ""}"#, ""), "`cell_type`"),
            (notebook(r#"{"cell_type": "code", "metadata": {}}"#, ""), "`source`"),
            (notebook(r#"{"cell_type": "code", "metadata": {}, "source": [1]}"#, ""), "`source`"),
            (notebook(r#"{"cell_type": "code", "source": ""}"#, ""), "`metadata`"),
            (notebook(r#"{"cell_type": "heading", "metadata": {}, "source": ""}"#, ""), "heading"),
            (notebook(good, r#""kernelspec": {"name": "python3", "language": "python"}"#), "python"),
            (notebook(good, r#""kernelspec": {"name": "python3"}"#), "Python"),
            (notebook(good, r#""language_info": {"name": "julia"}"#), "julia"),
            ("[".repeat(100_000), "not JSON"),
        ] {
            let said = said_of(text.as_bytes()).unwrap_or_default();
            assert!(said.contains(part), "{part:?} is not in {said:?}");
            assert!(said.lines().next().unwrap().len() < 400, "{said}");
        }
        assert!(said_of(b"{\n\n\"\xff\"}").unwrap().contains("line 3 is not UTF-8"));
    }
}
