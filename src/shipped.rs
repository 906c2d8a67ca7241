//! The files that come with a clone of the repository: MNIST, trained weights, and the results of trainings.
//!
//! The paths are those of the clone that this library was built in. The published package leaves the files out. Only what is at the
//! top of the crate uses this module: figures, commands, notebooks, benchmarks and tests.

use std::path::{Path, PathBuf};

/// The folder with MNIST's four files.
pub fn mnist_folder() -> PathBuf {
    asset("mnist")
}

/// The trained network, which [`CapsNet::load`](crate::capsnet::CapsNet::load) reads.
pub fn mnist_weights() -> PathBuf {
    asset("capsnet/mnist.safetensors")
}

/// The short trainings with one setting changed, which [`read_trials`](crate::figures::records::read_trials) reads.
pub fn ablation_file() -> PathBuf {
    asset("capsnet/ablation.csv")
}

/// The epochs of the full trainings, which [`read_epochs`](crate::figures::records::read_epochs) reads.
pub fn runs_file() -> PathBuf {
    asset("capsnet/runs.csv")
}

fn asset(name: &str) -> PathBuf {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    // by components, so that the path is written as the system writes paths
    name.split('/').fold(assets, |path, part| path.join(part))
}
