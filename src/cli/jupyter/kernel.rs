//! The Jupyter kernel: evcxr_jupyter with the library compiled in advance, optimised for this processor, without debug checks.
//!
//! Tested on Linux. Nothing here is specific to Linux, but macOS and Windows are untested.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use super::{COMPILE_ONCE, setup};
use crate::cli::command;
use crate::cli::failure::{AtPath, Failure, Outcome};
use crate::cli::lock::Lock;
use crate::cli::places::{Places, write_whole};
use crate::cli::shell::{self, Guarded};

/// Age at which the folders of killed kernels are removed.
const STALE: Duration = Duration::from_secs(2 * 24 * 3600);

/// Time between two checks whether the kernel and Jupyter still run.
const POLL: Duration = Duration::from_millis(100);

const PREFIX: &str = "em-routing-kernel-";

/// The file that a kernel locks while it runs, in its folder of cells.
const LOCK: &str = "lock";

/// Code that runs before the reader's first cell. The panic hook prints only the panic's message, not a backtrace through the
/// kernel and not the second panic that follows there. The variable makes the type inference start now, which takes seconds.
const PRELUDE: &str = r#"use em_routing::prelude::*;
std::panic::set_hook(Box::new(|panic| {
    let payload = panic.payload();
    let words = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    match words {
        Some(words) if words.contains("cannot unwind") => {}
        words => eprintln!("panicked: {}", words.unwrap_or("without a message")),
    }
}));
let _awake = 0;
"#;

/// Runs a kernel until it ends.
pub fn launch(project: &Path, connection_file: &Path, strict: bool) -> Outcome<()> {
    let jupyter = parent();
    let places = Places::of(project)?;
    let evcxr_path = setup::find_evcxr(&places).ok_or_else(|| {
        Failure::new("evcxr_jupyter is not installed")
            .mend("set up the kernel, then start it again")
            .next(command::line(["setup"]))
    })?;
    let kernels = places.project.join("target").join("kernels");
    let own = format!("{PREFIX}{}", std::process::id());
    // The cells' package lies outside the project, so that cargo does not count it as part of a workspace around the clone.
    let folder = env::temp_dir().join(&own);
    let shared = env::var_os(COMPILE_ONCE).is_some();
    let build = if shared { places.kernel_build() } else { kernels.join(&own) };
    remove_stale(&env::temp_dir());
    remove_stale(&kernels);
    // A killed kernel with the same number has left its folders: hard links in them would be written through.
    drop(fs::remove_dir_all(&folder));
    if !shared {
        drop(fs::remove_dir_all(&build));
    }
    fs::create_dir_all(&folder).at(&folder)?;
    let alive = Lock::try_take(&folder.join(LOCK))?;
    let outcome = prepare(&places, &folder, &build, strict).and_then(|()| {
        let status = run(&mut evcxr(&evcxr_path, &folder, connection_file), jupyter)?;
        match status.success() {
            true => Ok(()),
            false => Err(Failure::new(format!("evcxr_jupyter ended with {status}"))),
        }
    });
    drop(alive);
    drop(fs::remove_dir_all(&folder));
    if !shared {
        drop(fs::remove_dir_all(&build));
    }
    outcome
}

/// Returns the line that begins every notebook, with its path resolved. evcxr resolves the path in a notebook's own line from the
/// notebook's folder (`..` in notebooks/, `../..` in a folder below) and then compares texts: the same line costs no time.
fn dependency(project: &Path) -> String {
    format!(":dep em-routing = {{ path = \"{}\", default-features = false }}", escape(project))
}

fn escape(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"")
}

fn prepare(places: &Places, folder: &Path, build: &Path, strict: bool) -> Outcome<()> {
    let compiled = places.kernel_build();
    if build != compiled && compiled.is_dir() {
        link_tree(&compiled, build)?;
    }
    let config = folder.join("config");
    // Cells are built here, with a copy of Cargo.lock so that they use the tested versions.
    let cells = folder.join("cells");
    fs::create_dir_all(&cells).at(&cells)?;
    let lock = places.project.join("Cargo.lock");
    fs::copy(&lock, cells.join("Cargo.lock")).at(&lock)?;
    let mut commands =
        vec![format!(":build_env CARGO_BUILD_BUILD_DIR={}", build.display()), dependency(&places.project)];
    if strict {
        // A panic then ends the cell's process, which the runner detects. Otherwise it would count as success.
        commands.push(":preserve_vars_on_panic 0".into());
    }
    // One piece of code, because evcxr reloads every source file into its type inference for each piece that it executes.
    let prelude = format!("{}\n{PRELUDE}", commands.join("\n"));
    write_whole(&config.join("prelude.rs"), prelude.as_bytes())
}

/// Runs the kernel until it ends. Kills it when Jupyter, the parent process, is gone: a killed Jupyter does not stop its kernels.
fn run(evcxr: &mut Command, jupyter: u32) -> Outcome<ExitStatus> {
    let mut kernel = Guarded::start(evcxr, Stdio::inherit)?;
    loop {
        let ended = kernel.try_wait().map_err(|error| Failure::new(format!("evcxr_jupyter: {error}")))?;
        if let Some(status) = ended {
            return Ok(status);
        }
        if parent() != jupyter {
            kernel.end();
            drop(kernel.wait());
            return Err(Failure::new("Jupyter has ended, so the kernel was stopped"));
        }
        std::thread::sleep(POLL);
    }
}

/// Returns the parent process; its number changes when the parent ends.
#[cfg(unix)]
fn parent() -> u32 {
    std::os::unix::process::parent_id()
}

/// Other systems do not report the parent.
#[cfg(not(unix))]
fn parent() -> u32 {
    0
}

fn evcxr(evcxr: &Path, folder: &Path, connection_file: &Path) -> Command {
    let mut command = Command::new(evcxr);
    command
        .arg("--control_file")
        .arg(connection_file)
        .env("EVCXR_CONFIG_DIR", folder.join("config"))
        .env("EVCXR_TMPDIR", folder.join("cells"))
        // evcxr's own profile has optimisation level 2 and debug checks: 18 times slower on an array loop.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false")
        .env("CARGO_PROFILE_DEV_OVERFLOW_CHECKS", "false")
        .env("CARGO_PROFILE_DEV_INCREMENTAL", "false")
        // evcxr overwrites RUSTFLAGS, but not this variable.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Cprefer-dynamic\u{1f}-Ctarget-cpu=native");
    // With prefer-dynamic a cell needs the standard library's shared object.
    if let Some(libraries) = shell::capture(Command::new("rustc").args(["--print", "target-libdir"])) {
        let name = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };
        let mut paths = vec![PathBuf::from(libraries.trim())];
        paths.extend(env::var_os(name).iter().flat_map(env::split_paths));
        command.env(name, env::join_paths(paths).unwrap_or_else(|_| OsString::from(libraries.trim())));
    }
    command
}

/// Gives a kernel its own build folder, without compiling and almost without copying.
///
/// Kernels cannot share a folder: each compiles its cells into a file of the same name, and would load another kernel's cell.
/// Files that the compiler replaces as a whole are hard-linked. Files that cargo writes in place are copied with their
/// modification times, by which cargo knows what is fresh. The cells' own files are left out.
fn link_tree(from: &Path, to: &Path) -> Outcome<()> {
    fs::create_dir_all(to).at(to)?;
    for entry in fs::read_dir(from).at(from)? {
        let entry = entry.at(from)?;
        let (source, name) = (entry.path(), entry.file_name());
        let target = to.join(&name);
        let name = name.to_string_lossy();
        if name.starts_with("ctx") || name.starts_with("libctx") {
            continue;
        }
        if source.is_dir() {
            link_tree(&source, &target)?;
            continue;
        }
        let replaced_as_a_whole =
            [".rlib", ".rmeta", ".so", ".dylib", ".dll"].iter().any(|end| name.ends_with(end));
        if replaced_as_a_whole && fs::hard_link(&source, &target).is_ok() {
            continue;
        }
        fs::copy(&source, &target).at(&target)?;
        let modified = entry.metadata().and_then(|metadata| metadata.modified()).at(&source)?;
        let copied = fs::File::options().write(true).open(&target).at(&target)?;
        copied.set_modified(modified).at(&target)?;
    }
    Ok(())
}

/// Removes the folders that killed kernels left behind.
fn remove_stale(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age > STALE));
        let name = entry.file_name();
        if old && name.to_string_lossy().starts_with(PREFIX) && !is_alive(&name) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Whether the kernel with folders of this name still runs: then it holds the lock.
fn is_alive(name: &OsStr) -> bool {
    let lock = env::temp_dir().join(name).join(LOCK);
    lock.is_file() && matches!(Lock::try_take(&lock), Ok(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_alive_while_it_holds_its_lock() {
        let name = format!("{PREFIX}test-{}", std::process::id());
        let folder = env::temp_dir().join(&name);
        fs::create_dir_all(&folder).unwrap();
        let held = Lock::try_take(&folder.join(LOCK)).unwrap();
        assert!(held.is_some() && is_alive(OsStr::new(&name)));
        drop(held);
        assert!(!is_alive(OsStr::new(&name)));
        fs::remove_dir_all(&folder).unwrap();
        assert!(!is_alive(OsStr::new(&name)));
    }
}
