//! The network: golden files, checkpoints, figures, and training that gives the same bits for any number of threads and after resuming.

use std::path::PathBuf;

#[path = "../support/chain.rs"]
mod chain;
mod checkpoint;
mod golden;
#[path = "../support/noting.rs"]
mod noting;
mod plain;
mod plots;
#[path = "../support/svg.rs"]
mod svg;

/// A folder that is deleted when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("em-routing-network-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
