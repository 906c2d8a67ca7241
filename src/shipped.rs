//! Paths of the files in a clone of the repository: MNIST, trained weights, and recorded training results.
//!
//! The paths are those of the clone in which this library was built. The published package has none of these files. Only the
//! top of the crate uses this module: figures, live figures, commands, notebooks, examples, benchmarks and tests.

use std::path::{Path, PathBuf};

/// Returns the folder with MNIST's four files.
pub fn mnist_folder() -> PathBuf {
    asset("mnist")
}

/// Returns the file of the trained network's weights, for [`CapsNet::load`](crate::capsnet::CapsNet::load).
pub fn mnist_weights() -> PathBuf {
    asset("capsnet/mnist.safetensors")
}

/// Returns the file of the grid (short trainings with all combinations of four choices), for
/// [`read_trials`](crate::figures::records::read_trials).
pub fn grid_file() -> PathBuf {
    asset("capsnet/grid.csv")
}

/// Returns the file of the ablation (short trainings with one setting changed), for
/// [`read_trials`](crate::figures::records::read_trials).
pub fn ablation_file() -> PathBuf {
    asset("capsnet/ablation.csv")
}

/// Returns the file with the results of each epoch of the full trainings, for
/// [`read_epochs`](crate::figures::records::read_epochs).
pub fn runs_file() -> PathBuf {
    asset("capsnet/runs.csv")
}

/// Returns the file of the trainings on familiar viewpoints, which `cargo bench --bench viewpoints` writes, for
/// [`read_view_trials`](crate::figures::records::read_view_trials).
pub fn viewpoints_file() -> PathBuf {
    asset("capsnet/viewpoints.csv")
}

/// Returns the file with the results of these trainings by view, for
/// [`read_view_counts`](crate::figures::records::read_view_counts).
pub fn views_file() -> PathBuf {
    asset("capsnet/viewpoints-views.csv")
}

/// Returns the files of two networks that were trained on familiar views of the published shapes
/// ([`shapes`](crate::samples::views::shapes)) with seed 1: one with capsules, and a plain one of about the same size.
pub fn views_weights() -> [PathBuf; 2] {
    ["views-capsules", "views-plain"].map(|name| asset(&format!("capsnet/{name}.safetensors")))
}

/// Returns the file of the claims about capsules, which `cargo bench --bench claims` writes.
pub fn claims_file() -> PathBuf {
    asset("capsnet/claims.csv")
}

fn asset(name: &str) -> PathBuf {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    // join the components one by one, so that the path has the system's separators
    name.split('/').fold(assets, |path, part| path.join(part))
}
