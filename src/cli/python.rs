//! Python environments in the user's cache, one for each text of requirements.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::failure::{AtPath, Failure, Outcome};
use super::places::{Places, fingerprint, write_whole};
use super::progress::Board;
use super::shell;

/// What an environment is made for and from.
pub struct Needs {
    /// The program that needs it, for messages.
    pub whom: &'static str,
    /// The packages with their versions, as pip reads them.
    pub requirements: &'static str,
    /// The minor number of the oldest Python 3 that the packages accept.
    pub oldest: u32,
    /// The number of packages that pip collects, for the length of the progress bar only.
    pub packages: usize,
}

/// A Python environment in the cache. Other requirements get another folder, so that an environment never changes.
pub struct Environment {
    needs: &'static Needs,
    /// The folder of the environment.
    pub folder: PathBuf,
}

impl Environment {
    /// Returns the environment for these needs, which may not exist yet.
    pub fn new(places: &Places, needs: &'static Needs) -> Environment {
        let hash = fingerprint(needs.requirements.as_bytes());
        Environment { needs, folder: places.cache.join(format!("python-{hash:016x}")) }
    }

    /// The path of a program in the environment.
    pub fn program(&self, name: &str) -> PathBuf {
        if cfg!(windows) {
            self.folder.join("Scripts").join(format!("{name}.exe"))
        } else {
            self.folder.join("bin").join(name)
        }
    }

    /// The file that marks the environment as complete; it is written last.
    fn stamp(&self) -> PathBuf {
        self.folder.join("complete")
    }

    /// Whether the environment exists and is complete.
    pub fn is_complete(&self) -> bool {
        self.stamp().is_file() && self.program("python").is_file()
    }

    /// Makes the environment if it is missing. The caller holds the lock of the cache.
    pub fn ensure(&self, board: &Board) -> Outcome<()> {
        if self.is_complete() {
            return Ok(());
        }
        let Needs { whom, oldest, packages, requirements: text } = self.needs;
        let (python, version) = find(*oldest).ok_or_else(|| {
            Failure::new(format!("no Python 3.{oldest} or newer is on the PATH, but {whom} needs one")).mend(
                "install Python 3 (Debian, Ubuntu: apt install python3 python3-venv; Fedora: dnf install python3; macOS: brew install python; Windows: python.org), or name one: EM_ROUTING_PYTHON=/path/to/python3",
            )
        })?;
        let folder = &self.folder;
        if folder.exists() {
            fs::remove_dir_all(folder).at(folder)?; // from an interrupted set-up
        }
        let mut task = board.task(&format!("Python environment for {whom}"));
        task.message(&format!("python -m venv, Python {version}"));
        shell::follow(Command::new(&python).args(["-m", "venv"]).arg(folder), |_| ())?;
        let requirements = folder.join("requirements.txt");
        write_whole(&requirements, text.as_bytes())?;
        let mut collected = 0;
        let mut pip = Command::new(self.program("python"));
        pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", "-r"])
            .arg(&requirements);
        shell::follow(&mut pip, |line| {
            if let Some(package) = line.strip_prefix("Collecting ") {
                collected += 1;
                task.at(collected, collected.max(*packages), &format!("packages; now {package}"));
            } else if line.starts_with("Installing collected") {
                task.message("packages downloaded; installing them");
            }
        })?;
        write_whole(&self.stamp(), b"")?;
        task.done(&folder.display().to_string());
        Ok(())
    }
}

/// Finds Python 3 with at least this minor number: its program and version. If `EM_ROUTING_PYTHON` names a program, no other is
/// tried.
pub fn find(oldest: u32) -> Option<(String, String)> {
    let programs = env::var("EM_ROUTING_PYTHON").map(|named| vec![named]);
    let programs = programs.unwrap_or_else(|_| ["python3", "python"].map(String::from).to_vec());
    programs.into_iter().find_map(|program| {
        let script =
            format!("import sys; assert sys.version_info >= (3, {oldest}); print(sys.version.split()[0])");
        let version = shell::capture(Command::new(&program).args(["-c", &script]))?;
        Some((program, version.trim().to_owned()))
    })
}
