//! `em-routing lab`: JupyterLab in the notebooks' folder.

use std::process::Command;

use super::failure::{AtPath, Failure, Outcome};
use super::places::Places;
use super::progress::Board;
use super::setup;

/// Sets up, then runs JupyterLab until it is stopped.
pub fn lab(places: &Places, no_browser: bool, port: u16) -> Outcome<()> {
    setup::ensure(places, &Board::default())?;
    say!("JupyterLab on this machine only; Ctrl-C here ends it. Its address, with its token, is below.");
    let program = places.environment_program("jupyter-lab");
    let mut lab = Command::new(&program);
    lab.arg("--ip=127.0.0.1")
        .arg(format!("--port={port}"))
        .arg(format!("--ServerApp.root_dir={}", places.notebooks().display()))
        // A kernel with a cold cache needs longer than the usual minute.
        .arg("--MappingKernelManager.kernel_info_timeout=600")
        .envs(places.jupyter_variables());
    if no_browser {
        lab.arg("--no-browser");
    }
    if running_as_root() {
        lab.arg("--allow-root"); // as in a container; still bound to 127.0.0.1, with its token
    }
    // Ctrl-C is for JupyterLab, which asks back; this program ends when it does.
    drop(ctrlc::set_handler(|| ()));
    let status = lab.status().at(&program)?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("JupyterLab ended with {status}"))) }
}

fn running_as_root() -> bool {
    cfg!(unix) && super::shell::capture(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0")
}
