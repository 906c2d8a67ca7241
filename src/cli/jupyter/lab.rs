//! `em-routing lab`: opens JupyterLab in the notebooks' folder.

use std::process::Command;

use super::{environment, setup};
use crate::cli::failure::{AtPath, Outcome};
use crate::cli::places::Places;
use crate::cli::progress::Board;
use crate::cli::shell;

/// Options that keep JupyterLab from using the network at its start, and from asking the user for permission.
const OFFLINE: [&str; 3] = [
    // no news, and no question about news
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    // the default lists packages from PyPI
    "--LabApp.extension_manager=readonly",
];

/// Sets up the kernel, then runs JupyterLab until it is stopped.
pub fn lab(places: &Places, no_browser: bool, port: u16) -> Outcome<()> {
    setup::ensure(places, &Board::default())?;
    say!("JupyterLab listens on this machine only; Ctrl-C ends it. Its address with the token is below.");
    let site = places.site();
    if site.join("index.html").is_file() {
        say!(
            "The book is beside it, at http://127.0.0.1:{port}/static/index.html (if the port is taken, at JupyterLab's)."
        );
    }
    let program = environment(places).program("jupyter-lab");
    let mut lab = Command::new(&program);
    lab.arg("--ip=127.0.0.1")
        .arg(format!("--port={port}"))
        // The whole clone, because chapters link to README and docs; it opens in the folder of the notebooks.
        .arg(format!("--ServerApp.root_dir={}", places.project.display()))
        .arg(format!("--ServerApp.preferred_dir={}", places.notebooks().display()))
        // The server looks for files of /static/ here first, and ends together with the site.
        .arg(format!("--ServerApp.extra_static_paths={}", site.display()))
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

/// Replaces this process by JupyterLab: signals reach JupyterLab directly, and neither process outlives the other.
#[cfg(unix)]
fn become_it(lab: &mut Command) -> std::io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    Err(lab.exec())
}

/// Runs JupyterLab as a child. This process ignores Ctrl-C, which JupyterLab handles, and ends when JupyterLab does.
#[cfg(not(unix))]
fn become_it(lab: &mut Command) -> std::io::Result<()> {
    drop(ctrlc::set_handler(|| ()));
    match lab.status()? {
        status if status.success() => Ok(()),
        status => Err(std::io::Error::other(format!("JupyterLab ended with {status}"))),
    }
}

fn running_as_root() -> bool {
    cfg!(unix) && shell::capture(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0")
}
