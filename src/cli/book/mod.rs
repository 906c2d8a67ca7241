//! `em-routing book`: makes the book as a web site, from the notebooks as they are committed and the pages in docs/ and book/.
//!
//! [`source`] stages the pages, Sphinx turns them into HTML (book/conf.py), `cargo doc` adds the library's reference, and
//! [`live`] the library as WebAssembly. Neither Jupyter's kernel nor Node is needed.

mod digit;
mod digits;
mod live;
mod object;
mod server;
mod source;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::command;
use super::failure::{AtPath, Failure, Outcome};
use super::jupyter::setup;
use super::lock::{self, Lock};
use super::places::Places;
use super::progress::{Board, seconds};
use super::python::{Environment, Needs};
use super::shell;

/// The Python packages that make the site.
static SPHINX: Needs =
    Needs { whom: "the book", requirements: include_str!("requirements.txt"), oldest: 11, packages: 65 };

/// Runs `em-routing book`: makes the site in target/site/ and, with `open`, serves it until Ctrl-C.
pub fn command(places: &Places, open: bool, port: Option<u16>) -> Outcome<()> {
    let started = Instant::now();
    let listener = open.then(|| server::listen(port)).transpose()?;
    let target = places.project.join("target");
    let site = places.site();
    {
        let _lock = lock(&target)?;
        let (pages, bytes) = make(places, &target, &site)?;
        say!("\n{pages} pages, {:.1} MB; it took {}.", bytes as f64 / 1e6, seconds(started.elapsed()));
        say!("  {}/index.html   the first page", site.display());
        say!("  {}/             the whole site, for any static web server", site.display());
    }
    let Some(listener) = listener else {
        say!("To read it in a browser, with its live figures:");
        say!("Next: {}", command::again(&[], ["--open"]));
        return Ok(());
    };
    server::open_and_serve(&listener, &site)
}

/// Takes the lock of the site's folders.
fn lock(target: &Path) -> Outcome<Lock> {
    fs::create_dir_all(target).at(target)?;
    let path = target.join("site.lock");
    Lock::try_take(&path)?.ok_or_else(|| {
        Failure::new(format!("another `book` makes the site of this clone: {}", lock::holder(&path)))
            .mend("start again when it has ended")
    })
}

/// Makes the site beside the old one and then replaces it. Returns the numbers of pages and of bytes.
fn make(places: &Places, target: &Path, site: &Path) -> Outcome<(usize, u64)> {
    let board = Board::default();
    let environment = Environment::new(places, &SPHINX);
    fs::create_dir_all(&places.cache).at(&places.cache)?;
    if !environment.is_complete() {
        let _lock = setup::lock(places, &board)?;
        environment.ensure(&board)?;
    }
    let staged = target.join("site-source");
    let pages = source::stage(places, &staged)?;
    let modules = live::compile(places, &board)?;
    let documented = document(places, &board)?;
    let new = target.join("site.part");
    if new.exists() {
        fs::remove_dir_all(&new).at(&new)?; // from an interrupted run
    }
    sphinx(places, &environment, &staged, &new, &board)?;
    for (module, name) in &modules {
        let copy = new.join("_static").join(name);
        fs::copy(module, &copy).at(&copy)?;
    }
    digits::write(&new.join("_static"))?;
    digit::write(&new.join("_static"))?;
    object::write(&new.join("_static"))?;
    let mut bytes = 0;
    for (from, to) in [(staged.join(source::FILES), source::FILES), (documented, "api")] {
        copy_folder(&from, &new.join(to))?;
    }
    measure(&new, &mut bytes)?;
    // the old site stays until the new one can take its place
    let old = target.join("site.old");
    if old.exists() {
        fs::remove_dir_all(&old).at(&old)?; // from an interrupted run
    }
    if site.exists() {
        fs::rename(site, &old).at(site)?;
    }
    fs::rename(&new, site).at(site)?;
    drop(fs::remove_dir_all(&old));
    Ok((pages, bytes))
}

/// Runs Sphinx, and prints its warnings.
fn sphinx(
    places: &Places,
    environment: &Environment,
    staged: &Path,
    site: &Path,
    board: &Board,
) -> Outcome<()> {
    let mut task = board.task("pages");
    let doctrees = places.project.join("target").join("site-doctrees");
    let mut sphinx = Command::new(environment.program("python"));
    sphinx.args(["-m", "sphinx", "--fresh-env", "--no-color", "-b", "html", "-c"]);
    sphinx.arg(places.project.join("book")).arg("-d").arg(doctrees).arg(staged).arg(site);
    shell::follow(&mut sphinx, |line| match line.contains("WARNING") || line.contains("ERROR") {
        true => board.say(&format!("  {line}")),
        false => task.message(line),
    })?;
    task.done(&format!("written by Sphinx to {}", site.display()));
    Ok(())
}

/// Documents the library in a folder of its own, without the crates of other builds, whose compiled crates it uses. Returns
/// the folder of the pages.
fn document(places: &Places, board: &Board) -> Outcome<std::path::PathBuf> {
    let mut task = board.task("the library's reference");
    let target = places.project.join("target").join("site-api");
    let mut cargo = Command::new("cargo");
    cargo.args(["doc", "--no-deps", "--lib", "--locked", "--target-dir"]).arg(&target);
    cargo.current_dir(&places.project).env("CARGO_BUILD_BUILD_DIR", places.project.join("target"));
    shell::follow(&mut cargo, |line| task.message(line.trim()))?;
    task.done("written by cargo doc");
    Ok(target.join("doc"))
}

/// Copies a folder with everything in it, if it exists.
fn copy_folder(from: &Path, to: &Path) -> Outcome<()> {
    if !from.exists() {
        return Ok(());
    }
    fs::create_dir_all(to).at(to)?;
    for entry in fs::read_dir(from).at(from)? {
        let path = entry.at(from)?.path();
        let copy = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(&path, &copy)?;
        } else {
            fs::copy(&path, &copy).at(&copy)?;
        }
    }
    Ok(())
}

/// Adds up the sizes of the files in a folder.
fn measure(folder: &Path, bytes: &mut u64) -> Outcome<()> {
    for entry in fs::read_dir(folder).at(folder)? {
        let path = entry.at(folder)?.path();
        if path.is_dir() {
            measure(&path, bytes)?;
        } else {
            *bytes += fs::metadata(&path).at(&path)?.len();
        }
    }
    Ok(())
}
