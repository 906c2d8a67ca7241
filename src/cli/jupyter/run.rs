//! `em-routing run`: draws the figures, sets up the kernel, executes the notebooks in it and writes them as HTML.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use em_routing::draw::Palette;
use em_routing::figures::all;
use serde_json::Value;

use super::notebook::{self, Notebook};
use super::{EXECUTE, environment, setup};
use crate::cli::command;
use crate::cli::failure::{AtPath, Failure, Outcome};
use crate::cli::figures;
use crate::cli::lock::{self, Lock};
use crate::cli::places::{Places, fingerprint, write_whole};
use crate::cli::progress::{Board, seconds};
use crate::cli::shell;

/// The result of executing one notebook.
#[derive(Default)]
struct Executed {
    name: String,
    cells: usize,
    kernel_seconds: Option<f64>,
    first_figure: Option<f64>,
    cell_seconds: Vec<f64>,
    /// Name and SVG of each figure shown.
    figures: Vec<(String, String)>,
    /// Hash of the file when it was read, to detect a later change.
    fingerprint: u64,
    failure: Option<Failure>,
}

/// Executes the named notebooks, or all of the project, and writes them to `out`; with `save` also back into the clone.
pub fn run(places: &Places, named: &[PathBuf], out: &Path, save: bool, jobs: usize) -> Outcome<()> {
    let started = Instant::now();
    let notebooks = notebook::find(places, named)?;
    let mut unreadable = notebooks.iter().filter_map(|notebook| notebook::check(&notebook.path).err());
    // a named notebook must be readable; if none is named, an unreadable one may be the reader's own and fails alone, later
    if let Some(failure) = unreadable.next()
        && (!named.is_empty() || unreadable.count() + 1 == notebooks.len())
    {
        return Err(failure);
    }
    let out = resolve(out)?;
    check_out(places, &notebooks, &out)?;
    fs::create_dir_all(&out).at(&out)?;
    let _locks = locks(places, &out, save)?;
    let drawn = figures::draw_all(&out.join("figures"), Palette::Light)?;
    let board = Board::default();
    setup::ensure(places, &board)?;
    let mut done = execute_all(places, &notebooks, &out, jobs, &board)?;
    let figures = write_figures(&out, &done)?;
    report(&done);
    let failures: Vec<String> =
        done.iter_mut().filter_map(|executed| executed.failure.take()).map(|f| f.to_string()).collect();
    if !failures.is_empty() {
        return Err(Failure::new(format!(
            "{} of {} notebooks failed\n{}",
            failures.len(),
            notebooks.len(),
            failures.join("\n")
        )));
    }
    let saved = if save { keep(places, &notebooks, &done, &figures, &out) } else { Ok(()) };
    let shown: usize = done.iter().map(|executed| executed.figures.len()).sum();
    say!(
        "\n{} notebooks executed, {drawn} figures drawn, {shown} figures shown in notebooks; it took {}.",
        done.len(),
        seconds(started.elapsed())
    );
    say!("  {}/*.html       open one in a browser", out.display());
    say!("  {}/*.ipynb      the notebooks with their outputs", out.display());
    say!("  {}/figures/     every figure as SVG", out.display());
    saved?;
    say!("To change a cell and run it yourself:\nNext: {}", command::line(["lab"]));
    Ok(())
}

/// Resolves links and `..` in a path whose last parts may not exist yet.
fn resolve(path: &Path) -> Outcome<PathBuf> {
    let absolute = std::path::absolute(path).at(path)?;
    let mut resolved = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            part => {
                resolved.push(part);
                resolved = resolved.canonicalize().unwrap_or(resolved);
            }
        }
    }
    Ok(resolved)
}

/// Returns an error if writing to `out` would overwrite an executed notebook or the clone's own files.
fn check_out(places: &Places, notebooks: &[Notebook], out: &Path) -> Outcome<()> {
    let lower = |path: &Path| path.to_string_lossy().to_lowercase();
    let taken = |folder: PathBuf| folder.canonicalize().is_ok_and(|folder| out.starts_with(folder));
    let own = [places.notebooks(), places.project.join("assets")].into_iter().find(|own| taken(own.clone()));
    let overwritten = notebooks.iter().find(|notebook| {
        let written = lower(&out.join(format!("{}.ipynb", notebook.name)));
        notebooks.iter().any(|other| lower(&other.file) == written)
    });
    let words = match (own, overwritten) {
        (_, Some(notebook)) => format!("would overwrite {}", notebook.path.display()),
        (Some(own), None) => format!("lies in {}, whose files are the clone's own", own.display()),
        (None, None) => return Ok(()),
    };
    let book = places.project.join("target").join("book");
    Err(Failure::new(format!("--out {} {words}", out.display()))
        .mend("name another folder; --save writes outputs into the notebooks themselves")
        .next(command::again(&[], ["--out".as_ref(), book.as_os_str()])))
}

/// Takes the locks of a run: on the output folder and, with `save`, on the clone's notebooks.
fn locks(places: &Places, out: &Path, save: bool) -> Outcome<Vec<Lock>> {
    let mut paths = vec![(out.join(".lock"), format!("writes to {}", out.display()))];
    if save {
        let folder = places.jupyter();
        fs::create_dir_all(&folder).at(&folder)?;
        paths.push((folder.join("save.lock"), "saves notebooks of this clone".to_owned()));
    }
    let take = |(path, what): (PathBuf, String)| {
        Lock::try_take(&path)?.ok_or_else(|| {
            Failure::new(format!("another `run` {what}: {}", lock::holder(&path)))
                .mend("start again when it has ended, or name another folder with --out")
        })
    };
    paths.into_iter().map(take).collect()
}

/// Executes the notebooks, `jobs` at a time; returns the results in the order of their names.
fn execute_all(
    places: &Places,
    notebooks: &[Notebook],
    out: &Path,
    jobs: usize,
    board: &Board,
) -> Outcome<Vec<Executed>> {
    let script = places.jupyter().join("execute.py");
    write_whole(&script, EXECUTE.as_bytes())?;
    let queue = Mutex::new(notebooks.iter());
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(notebooks.len()) {
            scope.spawn(|| {
                loop {
                    let Some(notebook) = queue.lock().ok().and_then(|mut queue| queue.next()) else { return };
                    let result = execute(places, &script, notebook, out, board);
                    if let Ok(mut results) = results.lock() {
                        results.push(result);
                    }
                }
            });
        }
    });
    let mut done = results.into_inner().unwrap_or_default();
    done.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(done)
}

fn execute(places: &Places, script: &Path, notebook: &Notebook, out: &Path, board: &Board) -> Executed {
    let name = notebook.name.clone();
    let mut executed = Executed { name: name.clone(), ..Executed::default() };
    let contents = notebook::check(&notebook.path).and_then(|()| fs::read(&notebook.file).at(&notebook.file));
    match contents {
        Ok(contents) => executed.fingerprint = fingerprint(&contents),
        Err(failure) => return Executed { failure: Some(failure), ..executed },
    }
    let mut task = board.task(&name);
    task.message("starting the kernel");
    let started = Instant::now();
    let mut failed = None;
    let executed_path = out.join(format!("{name}.ipynb"));
    let mut python = Command::new(environment(places).program("python"));
    python
        .arg(script)
        .arg(setup::STRICT_KERNEL)
        .arg(command::path(&notebook.path))
        .arg(&executed_path)
        .arg(out.join(format!("{name}.html")))
        .arg(places.fonts())
        .envs(places.jupyter_variables());
    if let Some(folder) = executed_path.parent()
        && let Err(failure) = fs::create_dir_all(folder).at(folder)
    {
        return Executed { failure: Some(failure), ..executed };
    }
    let outcome = shell::follow(&mut python, |line| {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return };
        let number = event["number"].as_u64().unwrap_or(0) as usize;
        let text = |key: &str| event[key].as_str().unwrap_or("").to_owned();
        match event["event"].as_str() {
            Some("kernel") => {
                executed.cells = event["cells"].as_u64().unwrap_or(0) as usize;
                executed.kernel_seconds = event["seconds"].as_f64();
            }
            Some("cell") => task.at(number.saturating_sub(1), executed.cells, &text("line")),
            Some("done") => {
                executed.cell_seconds.extend(event["seconds"].as_f64());
                if event["figure"] == true && executed.first_figure.is_none() {
                    executed.first_figure = Some(started.elapsed().as_secs_f64());
                }
            }
            Some("figure") => executed.figures.push((text("name"), text("svg"))),
            Some("failed" | "unreadable") => failed = Some(event),
            _ => {}
        }
    });
    let path = notebook.path.display();
    executed.failure = match (failed, outcome) {
        (Some(event), _) => Some(failure_of(&path.to_string(), &event, executed.cells)),
        (None, Err(failure)) => Some(Failure::new(format!("{path}: {failure}"))),
        (None, Ok(())) => None,
    };
    if executed.failure.is_none() {
        task.done(&format!("{} cells, {} figures", executed.cells, executed.figures.len()));
    }
    executed
}

/// Builds the error of a notebook, about one cell or about the file.
fn failure_of(notebook: &str, event: &Value, cells: usize) -> Failure {
    let text = |key: &str| event[key].as_str().unwrap_or("").trim().to_owned();
    if event["event"] == "unreadable" {
        return Failure::new(format!("{notebook}: {}", text("words")));
    }
    Failure::new(format!(
        "{notebook}, code cell {} of {cells}:\n{}\n\n{}",
        event["number"],
        indent(&text("source")),
        indent(&text("words")),
    ))
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// Prints the times that a reader waits: for the kernel, the first figure and later cells.
fn report(done: &[Executed]) {
    for executed in done {
        let kernel =
            executed.kernel_seconds.map_or("no kernel".into(), |seconds| format!("kernel {seconds:.1} s"));
        let figure =
            executed.first_figure.map_or("no figure".into(), |s| format!("first figure after {s:.1} s"));
        let mut later: Vec<f64> = executed.cell_seconds.iter().skip(1).copied().collect();
        later.sort_by(f64::total_cmp);
        let median = later.get(later.len() / 2).map_or("no later cell".into(), |median| {
            format!("later cells {median:.1} s (median of {})", later.len())
        });
        say!("  {:<34} {kernel}, {figure}, {median}", executed.name);
    }
}

/// Writes the figures that the notebooks show beside the drawn ones. Returns the file names for each notebook.
///
/// If two different figures have the same name, the later one is prefixed with the name of its notebook.
fn write_figures(out: &Path, done: &[Executed]) -> Outcome<Vec<Vec<String>>> {
    let folder = out.join("figures");
    let path = |name: &str| folder.join(format!("{name}.svg"));
    let mut written: HashMap<String, String> = HashMap::new();
    for (name, _) in all() {
        written.insert(name.to_lowercase(), fs::read_to_string(path(name)).at(&folder)?);
    }
    let mut names = Vec::new();
    for executed in done {
        let mut own = Vec::new();
        for (name, svg) in &executed.figures {
            let beside = format!("{}-{name}", executed.name.replace('/', "-"));
            let numbered = (2..).map(|number| format!("{beside}-{number}"));
            let mut candidates = [name.clone(), beside.clone()].into_iter().chain(numbered);
            let free = |candidate: &String| {
                written.get(&candidate.to_lowercase()).is_none_or(|contents| contents == svg)
            };
            let Some(given) = candidates.find(free) else { continue };
            if written.insert(given.to_lowercase(), svg.clone()).is_none() {
                write_whole(&path(&given), svg.as_bytes())?;
            }
            if given != *name {
                say!("  another figure is named {name}: that in {} is saved as {given}.svg", executed.name);
            }
            own.push(given);
        }
        names.push(own);
    }
    Ok(names)
}

/// Writes the outputs back into the notebooks, and the figures of the chapters and the appendix into assets/figures/. All
/// committed outputs are made this way.
fn keep(
    places: &Places,
    notebooks: &[Notebook],
    done: &[Executed],
    figures: &[Vec<String>],
    out: &Path,
) -> Outcome<()> {
    let copy =
        |from: &Path, to: &Path| fs::read(from).at(from).and_then(|contents| write_whole(to, &contents));
    let folder = places.notebooks().canonicalize().at(&places.notebooks())?;
    let illustrated = [folder.join(notebook::APPENDIX), folder];
    let (mut saved, mut changed, mut names, mut others) = (0, Vec::new(), Vec::new(), 0);
    for (executed, figures) in done.iter().zip(figures) {
        let Some(notebook) = notebooks.iter().find(|notebook| notebook.name == executed.name) else {
            continue;
        };
        let now = fs::read(&notebook.file).at(&notebook.file)?;
        if fingerprint(&now) != executed.fingerprint {
            changed.push(notebook.path.display().to_string());
            continue;
        }
        copy(&out.join(format!("{}.ipynb", notebook.name)), &notebook.file)?;
        saved += 1;
        if illustrated.iter().any(|folder| notebook.file.parent() == Some(folder)) {
            names.extend(figures.iter().map(String::as_str));
            names.extend(all().map(|(name, _)| *name));
        } else {
            others += figures.len();
        }
    }
    names.sort();
    names.dedup();
    let kept = places.project.join("assets").join("figures");
    for name in &names {
        copy(&out.join("figures").join(format!("{name}.svg")), &kept.join(format!("{name}.svg")))?;
    }
    say!("saved: {saved} notebooks in place, {} figures in {}", names.len(), kept.display());
    if others > 0 {
        say!(
            "  {others} figures of other notebooks than chapters and appendix stay in {}/figures",
            out.display()
        );
    }
    match changed.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!("changed during execution, so not saved: {}", changed.join(", ")))
            .mend(format!("execute it again; the outputs of the old version are in {}", out.display()))),
    }
}
