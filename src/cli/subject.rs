//! What `eval` and `show` look at: a trained network and the images of one part of a set.

use std::path::PathBuf;

use em_routing::capsnet::CapsNet;
use em_routing::data::idx::{ImageSet, Images};
use em_routing::error::Error;
use em_routing::shipped::{mnist_folder, mnist_weights};

use super::failure::{Failure, Outcome};
use super::train::VALIDATION;

#[derive(clap::Args)]
pub struct Subject {
    /// The network: what `train` has written [default: assets/capsnet/mnist.safetensors]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// The folder of the images: MNIST's four file names, plain or .gz [default: assets/mnist]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Which part of the set
    #[arg(long, value_enum, default_value_t = Split::Test)]
    split: Split,
    /// How many of the images to train on are the validation set, the last ones
    #[arg(long, value_name = "N", default_value_t = VALIDATION)]
    validation: usize,
    /// Threads; 0 takes one for each core. The result does not depend on it
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
    /// Reads both.
    pub fn read(&self) -> Outcome<(CapsNet, Images)> {
        let weights = self.weights.clone().unwrap_or_else(mnist_weights);
        let net = CapsNet::load(&weights).map_err(|error| match error {
            Error::Io { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Failure::from(error).mend("train a network (em-routing train), or name one with --weights")
            }
            error => error.into(),
        })?;
        let data = self.data.clone().unwrap_or_else(mnist_folder);
        let classes = net.architecture().classes;
        let images = match self.split {
            Split::Test => ImageSet::load_test(&data, classes)?,
            Split::Validation => ImageSet::load_training(&data, self.validation, classes)?.1,
            Split::Train => ImageSet::load_training(&data, self.validation, classes)?.0,
        };
        Ok((net, images))
    }

    pub fn split(&self) -> Split {
        self.split
    }

    pub fn threads(&self) -> usize {
        self.threads.into()
    }
}
