//! `em-routing doctor`: lists what is installed and what is missing.

use std::path::Path;
use std::process::Command;

use super::{environment, setup};
use crate::cli::command;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::places::{EVCXR_VERSION, Places};
use crate::cli::{python, shell};

/// Prints a line for each requirement of the notebooks; returns an error if one is missing.
pub fn doctor(places: &Places) -> Outcome<()> {
    say!("project  {}\ncache    {}\n", places.project.display(), places.cache.display());
    let version = |program: &str, argument: &str| {
        shell::capture(Command::new(program).arg(argument))
            .map(|text| text.lines().next().unwrap_or("").to_owned())
    };
    let setup = command::line(["setup"]);
    let setup = setup.as_str();
    let environment = environment(places);
    let rows: [(&str, Option<String>, &str); 9] = [
        ("Rust compiler", version("rustc", "--version"), "install Rust: https://rustup.rs"),
        ("cargo", version("cargo", "--version"), "install Rust: https://rustup.rs"),
        (
            "linker",
            version("cc", "--version").or_else(|| cfg!(windows).then(|| "found by cargo".to_owned())),
            "install a C compiler (Debian, Ubuntu: apt install build-essential)",
        ),
        (
            "standard library's sources",
            setup::find_sources().map(|path| path.display().to_string()),
            "rustup component add rust-src",
        ),
        (
            "evcxr_jupyter",
            setup::find_evcxr(places).map(|path| format!("{EVCXR_VERSION}, {}", path.display())),
            setup,
        ),
        (
            "Python",
            python::find(10).map(|(program, version)| format!("{version}, {program}")),
            "install Python 3.10 or newer",
        ),
        (
            "Python environment",
            environment.is_complete().then(|| {
                let lab = environment.program("jupyter-lab").display().to_string();
                let version = version(&lab, "--version").unwrap_or_default();
                format!("JupyterLab {version}, {}", environment.folder.display())
            }),
            setup,
        ),
        (
            "kernelspec",
            Some(places.jupyter().join("kernels").join(setup::KERNEL).join("kernel.json"))
                .filter(|path| starts_a_program(path))
                .map(|path| path.display().to_string()),
            setup,
        ),
        (
            "the library, for the kernel",
            setup::has_library(places).then(|| places.kernel_build().display().to_string()),
            setup,
        ),
    ];
    let (mut missing, mut yours) = (0, 0);
    for (name, found, mend) in rows {
        match found {
            Some(found) => say!("ok       {name:<28} {found}"),
            None => {
                missing += 1;
                yours += usize::from(mend.starts_with("install"));
                say!("MISSING  {name:<28} {mend}");
            }
        }
    }
    if missing > 0 {
        let verb = if missing == 1 { "is" } else { "are" };
        let failure = Failure::new(format!("{missing} of these {verb} missing")).mend(
            "follow each remedy: install Rust, a linker and Python yourself; setup installs everything else",
        );
        return Err(if yours == 0 { failure.next(setup) } else { failure });
    }
    say!("\nNothing is missing. To execute the notebooks, or to read and edit them:");
    say!("Next: {}\nNext: {}", command::line(["run"]), command::line(["lab"]));
    Ok(())
}

/// Whether this kernelspec exists and names a program that exists.
fn starts_a_program(kernelspec: &Path) -> bool {
    let Ok(text) = std::fs::read(kernelspec) else { return false };
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(&text) else { return false };
    json["argv"][0].as_str().is_some_and(|program| Path::new(program).is_file())
}
