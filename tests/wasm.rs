//! Runs the tests of the vector code as WebAssembly with simd128, in Node.

use std::path::Path;
use std::process::{Command, Output};

const TARGET: &str = "wasm32-unknown-unknown";

fn run(command: &mut Command) -> Option<Output> {
    command.output().ok()
}

/// Returns the extra arguments with which cargo can compile for WebAssembly, or the name of what is missing.
fn compiler() -> Result<&'static [&'static str], &'static str> {
    let sysroot = run(Command::new("rustc").args(["--print", "sysroot"])).ok_or("rustc")?;
    let sysroot = String::from_utf8_lossy(&sysroot.stdout).trim().to_owned();
    let library = Path::new(&sysroot).join("lib/rustlib");
    if library.join(TARGET).is_dir() {
        Ok(&[])
    } else if library.join("src/rust/library").is_dir() {
        Ok(&["-Zbuild-std=std,test,panic_abort"])
    } else {
        Err("the target wasm32-unknown-unknown (rustup target add wasm32-unknown-unknown)")
    }
}

#[test]
fn the_vector_code_passes_its_tests_as_webassembly() {
    let left_out = |missing: &str| println!("skipped: the tests as WebAssembly need {missing}");
    if run(Command::new("node").arg("--version")).is_none_or(|node| !node.status.success()) {
        return left_out("Node");
    }
    let arguments = match compiler() {
        Ok(arguments) => arguments,
        Err(missing) => return left_out(missing),
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wasm");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--release", "--lib", "--target", TARGET]).args(arguments).current_dir(&folder);
    cargo.arg("--target-dir").arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("wasm"));
    cargo.env("RUSTFLAGS", "-Ctarget-feature=+simd128");
    cargo.env(
        "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER",
        format!("node {}", folder.join("run.mjs").display()),
    );
    if !arguments.is_empty() {
        // a stable compiler builds the standard library from source only with this
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    let output = run(&mut cargo).expect("cargo runs this test too");
    let words = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let crates_missing = ["failed to download", "failed to get", "Unable to update"];
    if !arguments.is_empty() && crates_missing.iter().any(|error| words.contains(error)) {
        return left_out("a network to compile the standard library");
    }
    assert!(output.status.success() && words.contains("all tests passed in Node"), "{words}");
}
