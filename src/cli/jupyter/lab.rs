//! `em-routing lab`: JupyterLab in the notebooks' folder.

use std::process::Command;

use super::places::Places;
use super::setup;
use crate::cli::failure::{AtPath, Outcome};
use crate::cli::progress::Board;

/// What keeps JupyterLab from asking the network at its start, and from asking the reader whether it may.
const OFFLINE: [&str; 3] = [
    // no news, and no question about them
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    // the default lists what PyPI offers
    "--LabApp.extension_manager=readonly",
];

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
        .args(OFFLINE)
        .envs(places.jupyter_variables());
    if no_browser {
        lab.arg("--no-browser");
    }
    if running_as_root() {
        lab.arg("--allow-root"); // as in a container; still bound to 127.0.0.1, with its token
    }
    become_it(&mut lab).at(&program)
}

/// JupyterLab takes this process's place: a signal to the one is a signal to the other, and neither outlives the other.
#[cfg(unix)]
fn become_it(lab: &mut Command) -> std::io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    Err(lab.exec())
}

/// Elsewhere it is a child, and Ctrl-C is for it alone: it asks back, and this process ends when it does.
#[cfg(not(unix))]
fn become_it(lab: &mut Command) -> std::io::Result<()> {
    drop(ctrlc::set_handler(|| ()));
    match lab.status()? {
        status if status.success() => Ok(()),
        status => Err(std::io::Error::other(format!("JupyterLab ended with {status}"))),
    }
}

fn running_as_root() -> bool {
    cfg!(unix) && super::shell::capture(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0")
}
