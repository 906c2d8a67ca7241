//! The arguments that `eval` and `show` share: a trained network, and one split of an image set.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use em_routing::capsnet::CapsNet;
use em_routing::data::idx::Images;
use em_routing::error::Error;
use em_routing::shipped::mnist_weights;

use super::command;
use super::failure::{Failure, Outcome};
use super::images::Source;
use super::train::VALIDATION;
use super::train::folder::Folder;

#[derive(clap::Args)]
pub struct Subject {
    /// Network to load, as written by `train` [default: assets/capsnet/mnist.safetensors]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Folder with the image set: four files with the names of MNIST's files, uncompressed or .gz [default: assets/mnist]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Split of the image set to use
    #[arg(long, value_enum, default_value_t = Split::Test)]
    split: Split,
    /// Size of the validation set: the last N training images
    #[arg(long, value_name = "N", default_value_t = VALIDATION)]
    validation: usize,
    /// Number of threads, 0 for one per core; does not affect the result
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    threads: u16,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Split {
    Test,
    Validation,
    Train,
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Split::Test => "test",
            Split::Validation => "validation",
            Split::Train => "train",
        })
    }
}

impl Subject {
    /// Reads the network and the images.
    pub fn read(&self) -> Outcome<(CapsNet, Images)> {
        let weights = self.weights.clone().unwrap_or_else(mnist_weights);
        let net = CapsNet::load(&weights).map_err(|error| self.explain_weights(&weights, error))?;
        let source = Source::new(self.data.as_deref(), net.architecture().form());
        let images = match self.split {
            Split::Test => source.test()?,
            Split::Validation => source.training(self.validation, [1, 1])?.1,
            Split::Train => source.training(self.validation, [1, 0])?.0,
        };
        if images.is_empty() {
            return Err(Failure::new(format!("there are no {} images: --validation is 0", self.split))
                .mend("keep one or more for validation")
                .next(command::again(&[], ["--validation", "1"])));
        }
        let config = net.architecture();
        let (expected, found) = ((config.height, config.width), (images.height, images.width));
        if expected != found {
            let Images { height, width, .. } = images;
            return Err(Failure::new(format!(
                "the network in {} takes images of {} x {}, but these are {height} x {width}",
                weights.display(),
                config.height,
                config.width,
            ))
            .mend("name images of that size with --data, or a network for these images with --weights"));
        }
        Ok((net, images))
    }

    /// Adds a remedy to an error about weights: a network or checkpoint in the same folder, or the shipped network.
    fn explain_weights(&self, weights: &Path, error: Error) -> Failure {
        let Error::Io { .. } = error else { return error.into() };
        let failure = Failure::from(error);
        let folder = if weights.is_dir() { Some(weights) } else { weights.parent() };
        let network = folder.map(|folder| folder.join("network.safetensors"));
        if let Some(network) = network.filter(|network| network != weights && network.is_file()) {
            return failure
                .mend("name the network written by `train`")
                .next(command::again::<OsString>(&[], ["--weights".into(), command::path(&network)]));
        }
        let checkpoints = folder.map(|folder| Folder::new(folder.to_path_buf()).checkpoints());
        if let Some(Ok(checkpoints)) = checkpoints
            && let Some((_, newest)) = checkpoints.last()
        {
            return failure
                .mend("this training is not finished: name its newest checkpoint, or resume it first")
                .next(command::again::<OsString>(&[], ["--weights".into(), command::path(newest)]));
        }
        let failure = failure.mend("use --weights to name a network written by em-routing train");
        match self.data.is_none() && mnist_weights().is_file() {
            true => failure.next(command::again::<OsString>(
                &[],
                ["--weights".into(), mnist_weights().into_os_string()],
            )),
            false => failure,
        }
    }

    /// Returns the arguments that select the same network and images again.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        for (flag, path) in [("--weights", &self.weights), ("--data", &self.data)] {
            if let Some(path) = path {
                arguments.extend([flag.into(), command::path(path)]);
            }
        }
        arguments.extend(["--split".into(), self.split.to_string().into()]);
        if self.validation != VALIDATION {
            arguments.extend(["--validation".into(), self.validation.to_string().into()]);
        }
        arguments
    }

    /// Returns where `render` writes the viewpoints of the test images; `None` for other images.
    pub fn viewpoints(&self) -> Option<PathBuf> {
        let data = self.data.as_ref().filter(|_| matches!(self.split, Split::Test));
        data.map(|data| data.join("t10k.csv"))
    }

    pub fn split(&self) -> Split {
        self.split
    }

    pub fn threads(&self) -> usize {
        self.threads.into()
    }
}
