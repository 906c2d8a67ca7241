//! The live figures: their static HTML for the pages, and the library as WebAssembly for the browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::failure::{Failure, Outcome};
use crate::cli::places::Places;
use crate::cli::progress::Board;
use crate::cli::shell;

/// Its standard library brings the system calls that book/static/live.js provides (book/live/Cargo.toml says why this target).
const TARGET: &str = "wasm32-wasip1";

/// Number of crates in the build, for the length of the progress bar only.
const CRATES: usize = 75;

/// The figures of the network, whose HTML is in book/figures/, and which have a script and a module of their own.
const NETWORK: [(&str, &str); 2] = [
    ("digit", include_str!("../../../book/figures/digit.html")),
    ("train", include_str!("../../../book/figures/train.html")),
];

/// Returns the HTML of a live figure, as it stands before its script runs. An error names the page that asks for it.
pub fn figure(name: &str, page: &str) -> Outcome<String> {
    if let Some((_, html)) = NETWORK.iter().find(|(known, _)| *known == name) {
        return Ok((*html).to_owned());
    }
    em_routing::live::html(name).map_err(|error| Failure::new(format!("{page}: {error}")))
}

/// The names of the live figures' pages in the site, without their suffix.
pub fn pages() -> impl Iterator<Item = String> {
    let network = NETWORK.iter().map(|(name, _)| *name);
    em_routing::live::names().chain(network).map(|name| format!("figures/{name}"))
}

/// The modules that are built from book/live/: their feature and their profile there, and their file name in the site.
const MODULES: [(&str, &str, &str); 2] =
    [("figures", "release", "live.wasm"), ("network", "network", "network.wasm")];

/// Compiles book/live/ for the browser. Returns the modules' paths and their file names in the site.
pub fn compile(places: &Places, board: &Board) -> Outcome<Vec<(PathBuf, &'static str)>> {
    if !has_target() && !add_target() {
        return Err(Failure::new(format!(
            "the live figures are compiled for {TARGET}, whose standard library is missing, and rustup cannot add it"
        ))
        .mend(format!(
            "run rustup target add {TARGET}, or install the package with Rust's standard library for WebAssembly (Debian, Ubuntu: libstd-rust-dev-wasm32)"
        )));
    }
    let modules = MODULES.into_iter();
    modules.map(|(feature, profile, name)| Ok((module(places, board, feature, profile)?, name))).collect()
}

/// Compiles the module of a feature. Returns its path.
fn module(places: &Places, board: &Board, feature: &str, profile: &str) -> Outcome<PathBuf> {
    let manifest = places.project.join("book").join("live").join("Cargo.toml");
    let target = places.project.join("target").join("live").join(feature);
    let mut task = board.task(&format!("the library, for the browser: {feature}"));
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--profile", profile, "--locked", "--target", TARGET, "--no-default-features"]);
    cargo.args(["--features", feature, "--manifest-path"]).arg(manifest).arg("--target-dir").arg(&target);
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
    let module = target.join(TARGET).join(profile).join("em_routing_live.wasm");
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
