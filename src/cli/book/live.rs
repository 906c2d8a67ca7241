//! The live figures: their static HTML for the pages, and the library as WebAssembly for the browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::jupyter::places::Places;
use crate::cli::progress::Board;
use crate::cli::shell;

/// Its standard library brings the system calls that book/static/live.js provides (book/live/Cargo.toml says why this target).
const TARGET: &str = "wasm32-wasip1";

/// Number of crates in the build, for the length of the progress bar only.
const CRATES: usize = 75;

/// Returns the HTML of a live figure, as it stands before its script runs. An error names the page that asks for it.
pub fn figure(name: &str, page: &str) -> Outcome<String> {
    em_routing::live::html(name).map_err(|error| Failure::new(format!("{page}: {error}")))
}

/// The names of the live figures' pages in the site, without their suffix.
pub fn pages() -> impl Iterator<Item = String> {
    em_routing::live::names().map(|name| format!("figures/{name}"))
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
        return Err(Failure::new(format!(
            "the live figures are compiled for {TARGET}, whose standard library is missing, and rustup cannot add it"
        ))
        .mend(format!(
            "run rustup target add {TARGET}, or install the package with Rust's standard library for WebAssembly (Debian, Ubuntu: libstd-rust-dev-wasm32)"
        )));
    }
    // flags for this machine's processor do not fit; every browser since 2023 has these vectors
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.env("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", "-Ctarget-feature=+simd128");
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
