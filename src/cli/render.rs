//! `em-routing render`: draws image sets with known viewpoints, as files that `train` and `eval` read.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use em_routing::capsnet::Settings;
use em_routing::data::idx::ImageSet;
use em_routing::data::norb::SmallNorb;
use em_routing::samples::views::{self, Crop, ViewSet};
use em_routing::shipped::mnist_folder;

use super::command;
use super::failure::Outcome;
use super::images::fitting_settings;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    set: Set,
}

#[derive(Subcommand)]
enum Set {
    /// Five shapes of points in space, a published test: 450 images to train on, novel azimuths
    Published {
        #[command(flatten)]
        drawn: Drawn,
    },
    /// Five kinds of solid bodies in the manner of smallNORB, ten instances each: 8,100 images to train on
    Solids {
        #[command(flatten)]
        drawn: Drawn,
        /// What differs in novel views
        #[arg(long, value_enum, default_value_t = Split::Azimuth)]
        split: Split,
    },
    /// Digits: shifted in training, in novel views also rotated, sheared and scaled, in the ranges of affNIST
    Affine {
        /// Folder with the image set: four files with the names of MNIST's files [default: assets/mnist]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        #[command(flatten)]
        seeded: Seeded,
    },
    /// Photographs of smallNORB, from its own six files (…-training-dat.mat, …)
    Smallnorb {
        /// Folder with the files, plain or .gz
        folder: PathBuf,
        /// What differs in novel views
        #[arg(long, value_enum, default_value_t = Split::Azimuth)]
        split: Split,
        /// Side of the images: 48 for whole photographs, 32 for their middle; both have half the resolution
        #[arg(long, value_enum, default_value_t = Size::Middle)]
        size: Size,
        /// Camera of the stereo pair
        #[arg(long, value_enum, default_value_t = Camera::Left)]
        camera: Camera,
        #[command(flatten)]
        out: Out,
    },
}

#[derive(clap::Args)]
struct Out {
    /// Folder for the files [default: target/views/SET]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Seeded {
    /// Random seed of everything that is drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    out: Out,
}

#[derive(clap::Args)]
struct Drawn {
    /// Side of the images, in pixels
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(16..=256))]
    size: u16,
    #[command(flatten)]
    seeded: Seeded,
}

#[derive(Clone, Copy, ValueEnum)]
enum Split {
    Azimuth,
    Elevation,
}

#[derive(Clone, Copy, ValueEnum)]
enum Size {
    #[value(name = "32")]
    Middle,
    #[value(name = "48")]
    Whole,
}

#[derive(Clone, Copy, ValueEnum)]
enum Camera {
    Left,
    Right,
}

impl From<Split> for views::Split {
    fn from(split: Split) -> views::Split {
        match split {
            Split::Azimuth => views::Split::Azimuth,
            Split::Elevation => views::Split::Elevation,
        }
    }
}

/// Draws or converts a set, writes it and prints how to train and evaluate on it.
pub fn render(arguments: &Arguments) -> Outcome<()> {
    let (name, out, set) = match &arguments.set {
        Set::Published { drawn: Drawn { size, seeded } } => {
            ("published", &seeded.out, views::shapes(usize::from(*size), seeded.seed)?)
        }
        Set::Solids { drawn: Drawn { size, seeded }, split } => {
            ("solids", &seeded.out, views::solids(usize::from(*size), (*split).into(), seeded.seed)?)
        }
        Set::Affine { data, seeded } => {
            let digits = ImageSet::load(data.clone().unwrap_or_else(mnist_folder), 0)?;
            ("affine", &seeded.out, views::affine_digits(&digits, seeded.seed)?)
        }
        Set::Smallnorb { folder, split, size, camera, out } => {
            let (training, testing) =
                (SmallNorb::read(folder, "training")?, SmallNorb::read(folder, "testing")?);
            let crop = match size {
                Size::Middle => Crop::Middle,
                Size::Whole => Crop::Whole,
            };
            (
                "smallnorb",
                out,
                views::small_norb(&training, &testing, (*split).into(), crop, *camera as usize)?,
            )
        }
    };
    let out = out.out.clone().unwrap_or_else(|| Path::new("target").join("views").join(name));
    set.write(&out)?;
    report(&set, &out);
    Ok(())
}

fn report(set: &ViewSet, out: &Path) {
    let (familiar, novel) = (out.join("familiar"), out.join("novel"));
    let sides = |views: &views::Views| format!("{} x {}", views.images.height, views.images.width);
    for (views, file, what) in [
        (&set.train, familiar.join("train"), "to train on"),
        (&set.familiar, familiar.join("t10k"), "of familiar views"),
        (&set.novel, novel.join("t10k"), "of novel views"),
    ] {
        let (count, sides, file) = (views.images.len(), sides(views), file.display());
        say!(
            "{count} images of {sides} {what}: {file}-images-idx3-ubyte, with their viewpoints in {file}.csv"
        );
    }
    let images = &set.train.images;
    let mut config = Settings::default();
    config.architecture.classes = images.classes;
    // a network with deep features does not take small images
    let mut settings = fitting_settings(&config, images).unwrap_or_default();
    settings.push(format!("classes={}", images.classes));
    let trained = out.join("trained");
    let mut train = vec!["train".into(), "--data".into(), command::path(&familiar)];
    settings.into_iter().for_each(|setting| train.extend(["--set".into(), setting.into()]));
    train.extend(["--all-images".into(), "--out".into(), command::path(&trained)]);
    say!("To train a network, then to measure its error on familiar and on novel views:");
    say!("Next: {}", command::line(train));
    for folder in [familiar, novel] {
        let weights = command::path(&trained.join("network.safetensors"));
        say!(
            "Then: {}",
            command::line([
                "eval".into(),
                "--weights".into(),
                weights,
                "--data".into(),
                command::path(&folder)
            ])
        );
    }
}
