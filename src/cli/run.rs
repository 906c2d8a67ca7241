//! `em-routing run`: the figures, the set-up, the notebooks in the real kernel, and the book that comes of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::Value;

use super::failure::{AtPath, Failure, Outcome};
use super::figures;
use super::places::{Places, write_whole};
use super::progress::{Board, seconds};
use super::setup;
use super::shell;

/// The Python side: it speaks Jupyter's protocol, and tells of each cell in a line of JSON.
pub const EXECUTE: &str = include_str!("execute.py");

/// What came of one notebook.
struct Executed {
    name: String,
    cells: usize,
    kernel_seconds: f64,
    first_figure: Option<f64>,
    cell_seconds: Vec<f64>,
    figures: Vec<String>,
}

/// Draws, sets up, executes, writes.
pub fn run(places: &Places, named: &[PathBuf], out: &Path, save: bool, jobs: usize) -> Outcome<()> {
    let started = Instant::now();
    let notebooks = notebooks(places, named)?;
    let out = std::path::absolute(out).at(out)?;
    let drawn = figures::draw_all(&out.join("figures"))?;
    let board = Board::default();
    setup::ensure(places, &board)?;
    let script = places.jupyter().join("execute.py");
    write_whole(&script, EXECUTE.as_bytes())?;

    let queue = Mutex::new(notebooks.iter());
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(notebooks.len()) {
            scope.spawn(|| {
                loop {
                    let Some(notebook) = queue.lock().ok().and_then(|mut queue| queue.next()) else { return };
                    let result = execute(places, &script, notebook, &out, &board);
                    if let Ok(mut results) = results.lock() {
                        results.push(result);
                    }
                }
            });
        }
    });
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    for result in results.into_inner().unwrap_or_default() {
        match result {
            Ok(executed) => done.push(executed),
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    done.sort_by(|a, b| a.name.cmp(&b.name));
    report(&done);
    if !failures.is_empty() {
        return Err(Failure::new(format!(
            "{} of {} notebooks failed\n{}",
            failures.len(),
            notebooks.len(),
            failures.join("\n")
        )));
    }
    if save {
        keep(places, &notebooks, &done, &out)?;
    }
    let shown: usize = done.iter().map(|executed| executed.figures.len()).sum();
    say!(
        "\n{} notebooks executed, {drawn} figures drawn, {shown} of them in the notebooks, in {}.",
        done.len(),
        seconds(started.elapsed())
    );
    say!("  {}/*.html       open one in a browser", out.display());
    say!("  {}/*.ipynb      the same as notebooks, with their outputs", out.display());
    say!("  {}/figures/     every figure as SVG", out.display());
    say!("Next: cargo run --release -- lab, to change a cell and run it yourself.");
    Ok(())
}

/// The notebooks that were named, or all.
fn notebooks(places: &Places, named: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut paths = named.to_vec();
    if named.is_empty() {
        let folder = places.notebooks();
        for entry in fs::read_dir(&folder).at(&folder)? {
            let path = entry.at(&folder)?.path();
            if path.extension().is_some_and(|extension| extension == "ipynb") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::new(format!("no notebook is in {}", places.notebooks().display())));
    }
    for path in &paths {
        if !path.is_file() {
            return Err(Failure::new(format!("{} is not a file", path.display()))
                .mend(format!("the notebooks are in {}", places.notebooks().display())));
        }
    }
    Ok(paths)
}

fn stem(notebook: &Path) -> String {
    notebook.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn execute(places: &Places, script: &Path, notebook: &Path, out: &Path, board: &Board) -> Outcome<Executed> {
    let name = stem(notebook);
    let mut task = board.task(&name);
    task.message("the kernel starts");
    let started = Instant::now();
    let mut executed = Executed {
        name: name.clone(),
        cells: 0,
        kernel_seconds: 0.0,
        first_figure: None,
        cell_seconds: Vec::new(),
        figures: Vec::new(),
    };
    let mut failed = None;
    let mut python = Command::new(places.environment_program("python"));
    python
        .arg(script)
        .arg(setup::STRICT_KERNEL)
        .arg(notebook)
        .arg(out.join(format!("{name}.ipynb")))
        .arg(out.join(format!("{name}.html")))
        .arg(out.join("figures"))
        .envs(places.jupyter_variables());
    let outcome = shell::follow(&mut python, |line| {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return };
        let number = event["number"].as_u64().unwrap_or(0) as usize;
        match event["event"].as_str() {
            Some("kernel") => {
                executed.cells = event["cells"].as_u64().unwrap_or(0) as usize;
                executed.kernel_seconds = event["seconds"].as_f64().unwrap_or(f64::NAN);
            }
            Some("cell") => task.at(number - 1, executed.cells, event["line"].as_str().unwrap_or("")),
            Some("done") => {
                executed.cell_seconds.push(event["seconds"].as_f64().unwrap_or(f64::NAN));
                if event["figure"] == true && executed.first_figure.is_none() {
                    executed.first_figure = Some(started.elapsed().as_secs_f64());
                }
            }
            Some("figures") => {
                let names = event["names"].as_array().map(Vec::as_slice).unwrap_or_default();
                executed.figures = names.iter().filter_map(|name| name.as_str().map(String::from)).collect();
            }
            Some("failed") => failed = Some(event),
            _ => {}
        }
    });
    if let Some(event) = failed {
        let text = |key: &str| event[key].as_str().unwrap_or("").trim().to_owned();
        return Err(Failure::new(format!(
            "{}, code cell {} of {}:\n{}\n\n{}",
            notebook.display(),
            event["number"],
            executed.cells,
            indent(&text("source")),
            indent(&text("words")),
        )));
    }
    outcome.map_err(|failure| Failure::new(format!("{}: {failure}", notebook.display())))?;
    task.done(&format!("{} cells, {} figures", executed.cells, executed.figures.len()));
    Ok(executed)
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// The times that a reader feels.
fn report(done: &[Executed]) {
    for executed in done {
        let mut later: Vec<f64> = executed.cell_seconds.iter().skip(1).copied().collect();
        later.sort_by(f64::total_cmp);
        let median = later.get(later.len() / 2).copied().unwrap_or(f64::NAN);
        let figure =
            executed.first_figure.map_or("no figure".into(), |s| format!("first figure after {s:.1} s"));
        say!(
            "  {:<34} kernel {:.1} s, {figure}, a later cell {median:.1} s (median of {})",
            executed.name,
            executed.kernel_seconds,
            later.len()
        );
    }
}

/// Writes the outputs back: the one way in which the committed ones are made.
fn keep(places: &Places, notebooks: &[PathBuf], done: &[Executed], out: &Path) -> Outcome<()> {
    let copy =
        |from: &Path, to: &Path| fs::read(from).at(from).and_then(|contents| write_whole(to, &contents));
    for notebook in notebooks {
        copy(&out.join(format!("{}.ipynb", stem(notebook))), notebook)?;
    }
    let figures = places.project.join("assets").join("figures");
    let drawn = em_routing::gallery::FIGURES.iter().map(|entry| entry.name);
    let mut names: Vec<&str> =
        drawn.chain(done.iter().flat_map(|executed| executed.figures.iter().map(String::as_str))).collect();
    names.sort();
    names.dedup();
    for name in &names {
        copy(&out.join("figures").join(format!("{name}.svg")), &figures.join(format!("{name}.svg")))?;
    }
    say!("saved: {} notebooks in place, {} figures in {}", notebooks.len(), names.len(), figures.display());
    Ok(())
}
