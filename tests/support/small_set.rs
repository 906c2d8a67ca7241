//! A small image set in MNIST's form, and the command that trains on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rand::{Rng, SeedableRng};

/// A temporary folder with a small image set in `data`, removed when the test ends.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("em-routing-train-{}-{name}", std::process::id()));
        let data = folder.join("data");
        std::fs::create_dir_all(&data).unwrap();
        let mut generator = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for (part, count) in [("train", 80u32), ("t10k", 20)] {
            let mut images = [&[0, 0, 8, 3][..], &count.to_be_bytes(), &[0, 0, 0, 18, 0, 0, 0, 18]].concat();
            images.extend((0..count * 18 * 18).map(|_| generator.r#gen::<u8>()));
            let mut labels = [&[0, 0, 8, 1][..], &count.to_be_bytes()].concat();
            labels.extend((0..count).map(|image| (image % 3) as u8));
            std::fs::write(data.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
            std::fs::write(data.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
        }
        Folder(folder)
    }

    pub fn out(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns the command `train` on the small set into `out`: 64 steps of a network with few capsules.
    pub fn train(&self, out: &str, more: &[&str]) -> Command {
        self.train_for("4", out, more)
    }

    pub fn train_for(&self, epochs: &str, out: &str, more: &[&str]) -> Command {
        let mut command = em_routing(&["train", "--validation", "16", "--minutes", "0"]);
        command.arg("--data").arg(self.0.join("data")).arg("--out").arg(self.out(out));
        for setting in [
            "height=18",
            "width=18",
            "classes=3",
            "features=2",
            "deep-features=3",
            "primary=2",
            "first=2",
            "second=2",
            "shift=1",
        ] {
            command.args(["--set", setting]);
        }
        command.args(["--batch", "4", "--epochs", epochs]).args(more);
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns the command `em-routing` with these arguments.
pub fn em_routing(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_em-routing"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Returns the checkpoints of a training, sorted by name.
pub fn checkpoints(out: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(out) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("checkpoint-") && name.ends_with(".safetensors")
    });
    paths.sort();
    paths
}
