//! Paths: the project's folder, and the user's cache outside it.

use std::env;
use std::path::{Path, PathBuf};

use super::failure::{AtPath, Failure, Outcome};

/// The version of evcxr_jupyter that the notebooks are written for and tested with.
pub const EVCXR_VERSION: &str = "0.22.0";

/// The project's folder, and the cache that all clones share.
pub struct Places {
    /// The clone: where Cargo.toml and notebooks/ are.
    pub project: PathBuf,
    /// The folder for what is built or downloaded once per user.
    pub cache: PathBuf,
}

impl Places {
    /// Finds the clone that contains the current folder, or else the one in which this program was built.
    pub fn find() -> Outcome<Places> {
        let here = env::current_dir().map_err(|error| Failure::new(format!("no current folder: {error}")))?;
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR"));
        let project =
            here.ancestors().chain([built_in]).find(|folder| is_project(folder)).ok_or_else(|| {
                Failure::new(format!(
                    "neither {} nor a folder above it is a clone of em-routing",
                    here.display()
                ))
                .mend("change to the folder of your clone and start again")
            })?;
        Ok(Places { project: project.to_path_buf(), cache: cache_folder()? })
    }

    /// Returns the paths for the project in this folder.
    pub fn of(project: &Path) -> Outcome<Places> {
        Ok(Places { project: project.canonicalize().at(project)?, cache: cache_folder()? })
    }

    /// The folder of the notebooks.
    pub fn notebooks(&self) -> PathBuf {
        self.project.join("notebooks")
    }

    /// The folder of the fonts of the figures' PNGs.
    pub fn fonts(&self) -> PathBuf {
        self.project.join("assets").join("fonts")
    }

    /// The folder of the project's own Jupyter data, with its kernelspecs.
    pub fn jupyter(&self) -> PathBuf {
        self.project.join("target").join("jupyter")
    }

    /// The folder of the library compiled for cells, once for all kernels of this clone.
    pub fn kernel_build(&self) -> PathBuf {
        self.project.join("target").join("kernel")
    }

    /// The folder into which set-up installs the kernel.
    pub fn evcxr_root(&self) -> PathBuf {
        self.cache.join(format!("evcxr_jupyter-{EVCXR_VERSION}"))
    }

    /// The folder of the book as a web site.
    pub fn site(&self) -> PathBuf {
        self.project.join("target").join("site")
    }

    /// Environment variables that keep Jupyter's own files in the project's folder.
    pub fn jupyter_variables(&self) -> [(&'static str, PathBuf); 4] {
        let jupyter = self.jupyter();
        [
            ("JUPYTER_DATA_DIR", jupyter.clone()),
            ("JUPYTER_RUNTIME_DIR", jupyter.join("runtime")),
            ("JUPYTERLAB_WORKSPACES_DIR", jupyter.join("workspaces")),
            ("IPYTHONDIR", jupyter.join("ipython")),
        ]
    }
}

fn is_project(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join("Cargo.toml"))
        .is_ok_and(|text| text.contains("name = \"em-routing\""))
        && folder.join("notebooks").is_dir()
}

fn cache_folder() -> Outcome<PathBuf> {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = named("EM_ROUTING_CACHE") {
        return std::path::absolute(&folder).at(&folder);
    }
    let base = if cfg!(windows) {
        named("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        named("HOME").map(|home| home.join("Library/Caches"))
    } else {
        named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("em-routing")).ok_or_else(|| {
        Failure::new("no folder for the cache: there is no home folder")
            .mend("set one: EM_ROUTING_CACHE=/some/folder")
    })
}

/// The FNV-1a hash, the same on every machine. It detects changes, not deliberate tampering.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3))
}

/// Writes a file atomically: it is complete or absent. Creates its folder if needed.
pub fn write_whole(path: &Path, contents: &[u8]) -> Outcome<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).at(folder)?;
    }
    Ok(em_routing::files::write(path, contents)?)
}
