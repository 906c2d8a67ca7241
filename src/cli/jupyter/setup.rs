//! `em-routing setup`: installs the kernel and its Python environment. Each step does only what is missing, and an interrupted
//! step is repeated or continued.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::{COMPILE_ONCE, EXECUTE, environment, notebook};
use crate::cli::command;
use crate::cli::failure::{AtPath, Failure, Outcome};
use crate::cli::lock::{self, Lock};
use crate::cli::places::{EVCXR_VERSION, Places, fingerprint, write_whole};
use crate::cli::progress::Board;
use crate::cli::shell;

/// Name of the kernel for readers: a panic is printed, and the notebook continues.
pub const KERNEL: &str = "em-routing";

/// Name of the kernel for `run` and the tests: a panic ends the run.
pub const STRICT_KERNEL: &str = "em-routing-strict";

/// Number of crates in the kernel's build, for the length of the progress bar only.
const EVCXR_CRATES: usize = 273;

/// Time limit for compiling the library for the kernel: many times what two cores need.
const WARM_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs `em-routing setup`.
pub fn command(places: &Places, user: bool) -> Outcome<()> {
    let board = Board::default();
    ensure(places, &board)?;
    if user {
        let folder = user_kernels()?;
        write_kernelspecs(places, &folder)?;
        say!("The kernel is available in your own Jupyter: {}", folder.join(KERNEL).display());
    }
    say!("The set-up is complete. To execute the notebooks, or to read and edit them:");
    say!("Next: {}\nNext: {}", command::line(["run"]), command::line(["lab"]));
    Ok(())
}

/// Does the missing steps of the set-up.
pub fn ensure(places: &Places, board: &Board) -> Outcome<()> {
    fs::create_dir_all(&places.cache).at(&places.cache)?;
    let _lock = lock(places, board)?;
    sources(board)?;
    kernel(places, board)?;
    environment(places).ensure(board)?;
    write_kernelspecs(places, &places.jupyter().join("kernels"))?;
    library(places, board)
}

/// Takes the lock of the cache, because two builds at once would disturb each other.
pub fn lock(places: &Places, board: &Board) -> Outcome<Lock> {
    let path = places.cache.join("lock");
    if let Some(lock) = Lock::try_take(&path)? {
        return Ok(lock);
    }
    board.say(&format!("another set-up is running ({}); this one waits for it", lock::holder(&path)));
    Lock::wait(&path)
}

/// Finds the standard library's sources. Without them the kernel's type inference does not know `Vec` and `Result`.
pub fn find_sources() -> Option<PathBuf> {
    let sysroot = shell::capture(Command::new("rustc").args(["--print", "sysroot"]))?;
    let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
    let named = env::var_os("RUST_SRC_PATH").map(PathBuf::from);
    [Some(sources), named].into_iter().flatten().find(|path| path.join("core").is_dir())
}

fn sources(board: &Board) -> Outcome<()> {
    if find_sources().is_some() {
        return Ok(());
    }
    if shell::capture(Command::new("rustc").arg("--version")).is_none() {
        return Err(Failure::new("rustc is not on the PATH, but the kernel compiles each cell with it")
            .mend("install Rust (https://rustup.rs), open a new shell and start again"));
    }
    if shell::capture(Command::new("rustup").arg("--version")).is_none() {
        return Err(Failure::new("the standard library's sources are missing, and there is no rustup to add them")
            .mend("install the package that holds them (often named rust-src), or set RUST_SRC_PATH to its library folder"));
    }
    let mut task = board.task("standard library's sources");
    shell::follow(Command::new("rustup").args(["component", "add", "rust-src"]), |line| task.message(line))?;
    task.done("the component rust-src, added by rustup to your toolchain");
    Ok(())
}

/// Finds the kernel: the one that set-up installed, or else the user's own of the same version.
pub fn find_evcxr(places: &Places) -> Option<PathBuf> {
    let program = format!("evcxr_jupyter{}", env::consts::EXE_SUFFIX);
    let ours = places.evcxr_root().join("bin").join(&program);
    if ours.is_file() {
        return Some(ours);
    }
    let listed = shell::capture(Command::new("cargo").args(["install", "--list"]))?;
    let wanted = format!("evcxr_jupyter v{EVCXR_VERSION}:");
    listed.lines().any(|line| line.trim_end() == wanted).then_some(())?;
    let root = ["CARGO_INSTALL_ROOT", "CARGO_HOME"].iter().find_map(env::var_os).map(PathBuf::from);
    let root = root.or_else(|| {
        env::var_os("HOME")
            .or_else(|| env::var_os("USERPROFILE"))
            .map(|home| PathBuf::from(home).join(".cargo"))
    });
    root.map(|root| root.join("bin").join(&program)).filter(|path| path.is_file())
}

fn kernel(places: &Places, board: &Board) -> Outcome<()> {
    if find_evcxr(places).is_some() {
        return Ok(());
    }
    let root = places.evcxr_root();
    let package = format!("evcxr_jupyter@{EVCXR_VERSION}");
    if shell::capture(Command::new("cargo").args(["binstall", "-V"])).is_some() {
        let mut task = board.task("evcxr_jupyter");
        let mut binstall = Command::new("cargo");
        binstall
            .args(["binstall", "--no-confirm", "--disable-strategies", "compile", "--root"])
            .arg(&root)
            .arg(&package);
        if shell::follow(&mut binstall, |line| task.message(line)).is_ok() && find_evcxr(places).is_some() {
            task.done("downloaded by cargo-binstall");
            return Ok(());
        }
        task.done("cargo-binstall has no binary for this machine: building it instead");
    }
    // A separate build folder, kept until the end, so that an interrupted build can continue.
    let build = places.cache.join(format!("evcxr_jupyter-{EVCXR_VERSION}-build"));
    let mut task = board.task("evcxr_jupyter (built once)");
    let mut compiled = 0;
    let mut install = Command::new("cargo");
    install
        .args(["install", "--locked", "--root"])
        .arg(&root)
        .arg(&package)
        .env("CARGO_TARGET_DIR", &build)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    shell::follow(&mut install, |line| {
        if let Some(krate) = line.trim_start().strip_prefix("Compiling ") {
            compiled += 1;
            task.at(compiled, EVCXR_CRATES.max(compiled), &format!("crates; now {krate}"));
        } else {
            task.message(line.trim());
        }
    })?;
    drop(fs::remove_dir_all(&build));
    task.done(&root.display().to_string());
    Ok(())
}

/// Writes both kernelspecs; they start this program.
fn write_kernelspecs(places: &Places, folder: &Path) -> Outcome<()> {
    let program = command::own_path().ok_or_else(|| Failure::new("this program's own path is unknown"))?;
    for (name, title, strict) in
        [(KERNEL, "Rust (em-routing)", false), (STRICT_KERNEL, "Rust (em-routing, strict: for tests)", true)]
    {
        let mut arguments = vec![
            json!(program),
            json!("kernel"),
            json!("--project"),
            json!(places.project),
            json!("--connection-file"),
            json!("{connection_file}"),
        ];
        if strict {
            arguments.push(json!("--strict"));
        }
        let specification = json!({
            "argv": arguments,
            "display_name": title,
            "language": "rust",
            "interrupt_mode": "message",
        });
        let text = format!("{specification:#}\n");
        let path = folder.join(name).join("kernel.json");
        if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            write_whole(&path, text.as_bytes())?;
        }
    }
    Ok(())
}

fn user_kernels() -> Outcome<PathBuf> {
    let home = |name: &str| env::var_os(name).map(PathBuf::from);
    let jupyter = match home("JUPYTER_DATA_DIR") {
        Some(folder) => Some(folder),
        None if cfg!(windows) => home("APPDATA").map(|folder| folder.join("jupyter")),
        None if cfg!(target_os = "macos") => home("HOME").map(|folder| folder.join("Library/Jupyter")),
        None => home("XDG_DATA_HOME")
            .or_else(|| home("HOME").map(|folder| folder.join(".local/share")))
            .map(|folder| folder.join("jupyter")),
    };
    jupyter
        .map(|folder| folder.join("kernels"))
        .ok_or_else(|| Failure::new("the user's Jupyter folder cannot be found: there is no home folder"))
}

/// Hashes everything that the compiled library depends on. If the hash changes, set-up compiles the library again.
fn library_fingerprint(places: &Places) -> Outcome<String> {
    let mut text = shell::capture(Command::new("rustc").arg("--version")).unwrap_or_default();
    let mut pending = vec![
        places.project.join("src"),
        places.project.join("Cargo.toml"),
        places.project.join("Cargo.lock"),
    ];
    let mut files = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path).at(&path)? {
                pending.push(entry.at(&path)?.path());
            }
        } else {
            files.push(path);
        }
    }
    files.sort();
    // cells use neither the commands nor the book's figures
    let unused = ["cli", "live"].map(|folder| places.project.join("src").join(folder));
    for path in files.iter().filter(|path| !unused.iter().any(|folder| path.starts_with(folder))) {
        let contents = fs::read(path).at(path)?;
        text.push_str(&format!("{} {:016x}\n", path.display(), fingerprint(&contents)));
    }
    Ok(format!("{:016x}", fingerprint(text.as_bytes())))
}

fn library_stamp(places: &Places) -> PathBuf {
    places.kernel_build().join("complete")
}

/// Whether the current version of the library is compiled for cells.
pub fn has_library(places: &Places) -> bool {
    library_fingerprint(places)
        .is_ok_and(|now| fs::read_to_string(library_stamp(places)).is_ok_and(|then| then == now))
}

/// The shipped notebooks, in notebooks/. A reader's own notebooks beside them need not compile, so set-up does not run their cells.
pub const SHIPPED: [&str; 13] = [
    "01_known_labels",
    "02_hidden_labels",
    "03_kmeans",
    "04_gaussian_mixtures",
    "05_matrix_capsules",
    "06_routing",
    "07_gradient",
    "08_network",
    "09_training",
    "10_viewpoints",
    "11_clinic",
    "appendix/beside_linfa",
    "appendix/fast_kernel",
];

/// The first cell of most notebooks, which loads the library.
const LIBRARY: &str =
    ":dep em-routing = { path = \"..\", default-features = false }\nuse em_routing::prelude::*;";

/// Returns `LIBRARY`, then the other first cells of the shipped notebooks and of the chapters' solutions, each once, as in
/// notebooks/: set-up runs them there, so the library's path in a folder below is shortened.
fn first_cells(places: &Places) -> Vec<String> {
    let mut cells = vec![LIBRARY.to_owned()];
    let solutions = SHIPPED.map(|name| format!("{}/{name}", notebook::SOLUTIONS));
    for name in SHIPPED.map(String::from).into_iter().chain(solutions) {
        let cell = notebook::first_code_cell(&places.notebooks().join(format!("{name}.ipynb")));
        let cell = cell.map(|cell| match name.contains('/') {
            true => cell.replace(r#"path = "../..""#, r#"path = "..""#),
            false => cell,
        });
        cells.extend(cell.filter(|cell| !cells.contains(cell)));
    }
    cells
}

/// Starts a kernel once to compile the library, a cell, a closure and a display, so that no reader waits for it.
///
/// A failure is reported but does not stop the set-up, because a reader's first cell then compiles what it needs.
fn library(places: &Places, board: &Board) -> Outcome<()> {
    if has_library(places) {
        return Ok(());
    }
    let mut task = board.task("the library, for the kernel");
    task.message("compiled once for all cells of this clone");
    let script = places.jupyter().join("execute.py");
    write_whole(&script, EXECUTE.as_bytes())?;
    let mut python = Command::new(environment(places).program("python"));
    python
        .arg(&script)
        .args(["--warm", STRICT_KERNEL])
        .arg(places.notebooks())
        .arg(json!(first_cells(places)).to_string())
        .env(COMPILE_ONCE, "1")
        .envs(places.jupyter_variables());
    let (mut finished, mut failed) = (false, Vec::new());
    let outcome = shell::follow_within(&mut python, WARM_LIMIT, |line| {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return };
        match event["event"].as_str() {
            Some("finished") => finished = true,
            Some("failed") => failed.push(event["words"].as_str().unwrap_or_default().to_owned()),
            _ => task.message(event["line"].as_str().unwrap_or_default()),
        }
    });
    for words in &failed {
        board.say(&format!("  a notebook's first cell does not compile: {}", words.replace('\n', "\n    ")));
    }
    if finished {
        write_whole(&library_stamp(places), library_fingerprint(places)?.as_bytes())?;
        task.done("compiled; cells only link it");
        return Ok(());
    }
    drop(task);
    let words = match outcome {
        Err(failure) if failed.is_empty() => failure.to_string(),
        _ => "the kernel did not run its first cell".to_owned(),
    };
    board.say(&format!(
        "  the library was not compiled beforehand, so a notebook's first cell takes longer: {words}"
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_notebooks_exist_and_the_first_loads_the_library() {
        let notebooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks");
        let missing: Vec<&str> =
            SHIPPED.into_iter().filter(|name| !notebooks.join(format!("{name}.ipynb")).is_file()).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let first = notebooks.join(format!("{}.ipynb", SHIPPED[0]));
        assert_eq!(notebook::first_code_cell(&first).as_deref(), Some(LIBRARY));
    }
}
