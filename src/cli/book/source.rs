//! Stages the pages of the site: the notebooks and Markdown files of the repository, with links that hold in the site.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path};

use serde_json::{Value, json};

use super::live;
use crate::cli::failure::{AtPath, Failure, Outcome};
use crate::cli::jupyter::notebook::SOLUTIONS;
use crate::cli::jupyter::setup::SHIPPED;
use crate::cli::places::Places;

/// The folder of the site with copies of files that are not pages.
pub const FILES: &str = "files";

/// Pages of the repository with another path in the site.
const MOVED: [(&str, &str); 2] =
    [("book/index.md", "index.md"), ("book/solutions.md", "notebooks/solutions/index.md")];

/// Pages with the same path in the site; those of docs/, book/figures/ and notebooks/ come to them.
const KEPT: [&str; 3] = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"];

/// What a link to a place that is no page leads to.
const INSTEAD: [(&str, &str); 3] = [
    ("README.md#chapters", "index.md#chapters"),
    ("notebooks", "index.md#chapters"),
    ("notebooks/solutions", "notebooks/solutions/index.md"),
];

/// The line of the table of contents that stands for the pages of the live figures, in the order of the figures.
const LIVE_PAGES: &str = "figures/*";

/// From where the HTML of a live figure names its files, whatever page holds the figure.
const LIVE_HTML: &str = "book/figures/digit.html";

/// The pages that are staged, and the files that they link to.
struct Source<'a> {
    project: &'a Path,
    /// The path of each page in the site by its path in the repository.
    pages: BTreeMap<String, String>,
    /// Paths in the repository of the files that are not pages.
    files: BTreeSet<String>,
}

/// Writes the pages, and the files that they link to, into an empty folder. Returns the number of pages.
pub fn stage(places: &Places, folder: &Path) -> Outcome<usize> {
    if folder.exists() {
        fs::remove_dir_all(folder).at(folder)?;
    }
    let mut source =
        Source { project: &places.project, pages: pages(&places.project)?, files: BTreeSet::new() };
    for (from, to) in source.pages.clone() {
        let path = places.project.join(&from);
        let text = fs::read_to_string(&path).at(&path)?;
        let text = match from.ends_with(".ipynb") {
            true => source.notebook(&text, &from, &to)?,
            false => source.markdown(&text, &from, &to)?,
        };
        write(&folder.join(&to), text.as_bytes())?;
    }
    for file in &source.files {
        let path = places.project.join(file);
        write(&folder.join(copy_of(file)), &fs::read(&path).at(&path)?)?;
    }
    Ok(source.pages.len())
}

/// Writes a file of the staged folder, which needs no syncing.
fn write(path: &Path, contents: &[u8]) -> Outcome<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).at(folder)?;
    }
    fs::write(path, contents).at(path)
}

/// Lists the pages: their paths in the repository and in the site.
fn pages(project: &Path) -> Outcome<BTreeMap<String, String>> {
    let same = |path: String| (path.clone(), path);
    let mut pages: BTreeMap<String, String> =
        MOVED.map(|(from, to)| (from.to_owned(), to.to_owned())).into_iter().collect();
    pages.extend(KEPT.map(|path| same(path.to_owned())));
    for name in SHIPPED {
        pages.extend([same(format!("notebooks/{name}.ipynb"))]);
        let solution = format!("notebooks/{SOLUTIONS}/{name}.ipynb");
        pages.extend(project.join(&solution).is_file().then(|| same(solution)));
    }
    for (from, to) in [("docs", "docs"), ("book/figures", "figures")] {
        let folder = project.join(from);
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).at(&folder)? {
            let name = entry.at(&folder)?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".md") {
                pages.insert(format!("{from}/{name}"), format!("{to}/{name}"));
            }
        }
    }
    Ok(pages)
}

/// The path in the site of the copy of a file. Text gets the suffix that every server and browser shows as text.
fn copy_of(file: &str) -> String {
    let shown = [".svg", ".png", ".txt", ".html"].iter().any(|suffix| file.ends_with(suffix));
    format!("{FILES}/{file}{}", if shown { "" } else { ".txt" })
}

impl Source<'_> {
    /// Rewrites the links of a Markdown text and puts the live figures in the place of their marks.
    fn markdown(&mut self, text: &str, from: &str, to: &str) -> Outcome<String> {
        let mut lines = Vec::new();
        for line in text.lines() {
            let mark = line.trim().strip_prefix("<!-- live:").and_then(|rest| rest.strip_suffix("-->"));
            if line == LIVE_PAGES {
                let is_there = |page: &String| self.pages.values().any(|to| *to == format!("{page}.md"));
                lines.extend(live::pages().filter(is_there));
                continue;
            }
            lines.push(match mark {
                Some(name) => {
                    let figure = live::figure(name.trim(), from)?;
                    let figure = self.links(&figure, LIVE_HTML, to, "src=\"", '"');
                    format!("```{{raw}} html\n{figure}\n```")
                }
                None => {
                    let line = self.links(line, from, to, "](", ')');
                    self.links(&line, from, to, "src=\"", '"')
                }
            });
        }
        Ok(lines.join("\n") + "\n")
    }

    /// Rewrites the links of a line, each between `open` and `close`.
    fn links(&mut self, line: &str, from: &str, to: &str, open: &str, close: char) -> String {
        let mut pieces = line.split(open);
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (target, rest) = piece.split_at(piece.find(close).unwrap_or(0));
            // an image is a file beside the pages, for Sphinx and for HTML alike
            let image = open == "src=\"" || out.rfind('[').is_some_and(|at| out[..at].ends_with('!'));
            let new = self.target(target, from, to, image);
            out += open;
            out += new.as_deref().unwrap_or(target);
            out += rest;
        }
        out
    }

    /// Returns the link in the site for a link in the repository, or `None` if it stays as it is.
    fn target(&mut self, target: &str, from: &str, to: &str, image: bool) -> Option<String> {
        if target.is_empty() || target.starts_with('#') || target.contains(':') {
            return None;
        }
        let (path, anchor) = target.split_at(target.find('#').unwrap_or(target.len()));
        let path = resolve(Path::new(from).parent()?, path)?;
        let up = "../".repeat(to.matches('/').count());
        let whole = format!("{path}{anchor}");
        let instead = INSTEAD.iter().find(|(place, _)| *place == whole);
        if let Some(page) = instead.map(|(_, page)| *page).or(self.pages.get(&path).map(String::as_str)) {
            let anchor = if instead.is_some() { "" } else { anchor };
            return Some(format!("{up}{page}{anchor}"));
        }
        let module = format!("{path}/mod.rs");
        let file = if self.project.join(&module).is_file() { module } else { path };
        if !self.project.join(&file).is_file() {
            return None; // Sphinx names it in a warning
        }
        // `repo:` is a scheme of conf.py: a link within the site that leads to no page of Sphinx
        let scheme = if image { "" } else { "repo:" };
        let library =
            file.strip_prefix("src/").filter(|rest| rest.ends_with(".rs") && !rest.starts_with("cli/"));
        if let Some(rest) = library {
            return Some(format!("{scheme}{up}api/src/em_routing/{rest}.html"));
        }
        let copy = copy_of(&file);
        self.files.insert(file);
        Some(format!("{scheme}{up}{copy}"))
    }

    /// Rewrites the Markdown cells of a notebook, and leaves of each figure the SVG with its words as alternative text.
    fn notebook(&mut self, text: &str, from: &str, to: &str) -> Outcome<String> {
        let wrong = |words: String| Failure::new(format!("{from}: {words}"));
        let mut notebook: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let cells = notebook["cells"].as_array_mut().ok_or_else(|| wrong("it has no cells".into()))?;
        for cell in cells {
            if cell["cell_type"] == "markdown" {
                let text = joined(&cell["source"]);
                cell["source"] = json!(self.markdown(&text, from, to)?);
            }
            let mut words = None;
            for output in cell["outputs"].as_array_mut().into_iter().flatten() {
                let Some(data) = output["data"].as_object_mut() else { continue };
                if data.contains_key("image/svg+xml") {
                    data.remove("image/png");
                    words = data.remove("text/plain");
                }
            }
            if let Some(words) = words {
                cell["metadata"]["mystnb"] = json!({"image": {"alt": joined(&words).trim()}});
            }
        }
        Ok(notebook.to_string())
    }
}

/// A notebook's text, which is a string or a list of lines.
fn joined(text: &Value) -> String {
    match text {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        text => text.as_str().unwrap_or_default().to_owned(),
    }
}

/// Resolves a relative path within the repository, or returns `None` if it leads out of it.
fn resolve(folder: &Path, path: &str) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in folder.join(path).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir => drop(parts.pop()?),
            Component::CurDir => (),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_mends_links_to_pages_to_the_library_and_to_other_files() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut source = Source { project, pages: pages(project).unwrap(), files: BTreeSet::new() };
        for (line, mended) in [
            ("[a](02_hidden_labels.ipynb)", "[a](../notebooks/02_hidden_labels.ipynb)"),
            ("[a](../docs/map.md#sections-of-the-post)", "[a](../docs/map.md#sections-of-the-post)"),
            (
                "[a](../README.md#chapters), [b](../README.md#start)",
                "[a](../index.md#chapters), [b](../README.md#start)",
            ),
            ("[a](solutions)", "[a](../notebooks/solutions/index.md)"),
            ("[a](../src/em.rs)", "[a](repo:../api/src/em_routing/em.rs.html)"),
            ("[a](../src/capsnet/layers)", "[a](repo:../api/src/em_routing/capsnet/layers/mod.rs.html)"),
            ("[a](../src/cli/train.rs)", "[a](repo:../files/src/cli/train.rs.txt)"),
            ("[a](../LICENSE)", "[a](repo:../files/LICENSE.txt)"),
            ("![a](../assets/figures/starts.svg)", "![a](../files/assets/figures/starts.svg)"),
            (
                "<img src=\"../assets/figures/starts.svg\">",
                "<img src=\"../files/assets/figures/starts.svg\">",
            ),
            (
                "[a](https://example.org/) [b](#here) `x[i](j)`",
                "[a](https://example.org/) [b](#here) `x[i](j)`",
            ),
        ] {
            let found =
                source.markdown(line, "notebooks/01_known_labels.ipynb", "notebooks/01_known_labels.ipynb");
            assert_eq!(found.unwrap(), format!("{mended}\n"), "{line}");
        }
        let copied: Vec<&str> = source.files.iter().map(String::as_str).collect();
        assert_eq!(copied, ["LICENSE", "assets/figures/starts.svg", "src/cli/train.rs"]);
    }

    #[test]
    fn markdown_puts_a_live_figure_in_the_place_of_its_mark() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut source = Source { project, pages: BTreeMap::new(), files: BTreeSet::new() };
        let mut markdown = |text: &str| source.markdown(text, "a.md", "a.md");
        let text = markdown("before\n\n<!-- live: bound -->\n\nafter").unwrap();
        assert!(
            text.starts_with("before\n\n```{raw} html\n") && text.ends_with("\n```\n\nafter\n"),
            "{text}"
        );
        assert!(text.contains("data-live=\"bound\""), "{text}");
        assert!(
            markdown("<!-- live: no-such-figure -->").unwrap_err().to_string().contains("no-such-figure")
        );
    }
}
