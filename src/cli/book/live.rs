//! The live figures: their static HTML for the pages, and the library as WebAssembly for the browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::jupyter::places::Places;
use crate::cli::jupyter::setup;
use crate::cli::progress::Board;
use crate::cli::shell;

const TARGET: &str = "wasm32-unknown-unknown";

/// Number of crates in the build, for the length of the progress bar only.
const CRATES: usize = 100;

/// Returns the HTML of a live figure, as it stands before its script runs.
pub fn figure(name: &str) -> Outcome<String> {
    Ok(em_routing::live::html(name)?)
}

/// Compiles book/live/ for the browser. Returns the path of the module.
pub fn compile(places: &Places, board: &Board) -> Outcome<PathBuf> {
    let folder = places.project.join("book").join("live");
    let target = places.project.join("target").join("live");
    let mut task = board.task("the library, for the browser");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "--target", TARGET, "--manifest-path"]);
    cargo.arg(folder.join("Cargo.toml")).arg("--target-dir").arg(&target);
    if !has_target() && !add_target() {
        if setup::find_sources().is_none() {
            return Err(Failure::new(format!(
                "the standard library for {TARGET} is missing, and rustup cannot add it"
            ))
            .mend(format!(
                "run rustup target add {TARGET}, or install the standard library's sources (rustup component add rust-src) and start again"
            )));
        }
        // a stable compiler builds the standard library from source only with this variable
        cargo.arg("-Zbuild-std=std,panic_abort").env("RUSTC_BOOTSTRAP", "1");
    }
    // flags for this machine's processor do not fit; every current browser has these vectors
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-Ctarget-feature=+simd128");
    let mut compiled = 0;
    shell::follow(&mut cargo, |line| {
        if let Some(krate) = line.trim_start().strip_prefix("Compiling ") {
            compiled += 1;
            task.at(compiled, CRATES.max(compiled), &format!("crates; now {krate}"));
        }
    })?;
    let module = target.join(TARGET).join("release").join("em_routing_live.wasm");
    let size = std::fs::metadata(&module).map_or(0, |file| file.len());
    task.done(&format!("WebAssembly, {} kB", size / 1000));
    Ok(module)
}

/// Whether the toolchain has the standard library of the target.
fn has_target() -> bool {
    let folder = shell::capture(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]));
    folder.is_some_and(|folder| Path::new(folder.trim()).is_dir())
}

fn add_target() -> bool {
    shell::capture(Command::new("rustup").args(["target", "add", TARGET])).is_some() && has_target()
}
