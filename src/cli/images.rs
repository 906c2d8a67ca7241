//! Reads image sets for the commands, and proposes settings for a set that does not fit.

use std::path::{Path, PathBuf};

use em_routing::capsnet::Settings;
use em_routing::data::idx::{Form, ImageSet, Images};
use em_routing::error::Error;
use em_routing::shipped::mnist_folder;

use super::command;
use super::failure::{Failure, Outcome};

/// A proposed validation set has one of this many images, like 5,000 of MNIST's 60,000.
const SHARE: usize = 12;

/// A folder with an image set: four files named as MNIST's.
pub struct Source {
    folder: PathBuf,
    form: Form,
}

impl Source {
    /// Uses the folder `named`, or MNIST's if none is named. The files in it have the form `form`.
    pub fn new(named: Option<&Path>, form: Form) -> Source {
        Source { folder: named.map_or_else(mnist_folder, Path::to_path_buf), form }
    }

    /// Reads the training images and splits off the last `validation` of them as the validation set. If there are too few, the
    /// error proposes a size that leaves at least `least[0]` images for training and `least[1]` for validation.
    pub fn training(&self, validation: usize, least: [usize; 2]) -> Outcome<(Images, Images)> {
        let error = match ImageSet::load_training(&self.folder, validation, self.form) {
            Ok(images) => return Ok(images),
            Err(error) => error,
        };
        // the only error about the number of images
        let all = match error {
            Error::Setting { .. } => ImageSet::load_training(&self.folder, 0, self.form)?.0.len(),
            error => return Err(error.into()),
        };
        let failure = Failure::new(format!(
            "{} holds {all} images to train on, too few to keep {validation} of them for validation",
            self.folder.display()
        ));
        let proposed = (all / SHARE).min(all.saturating_sub(least[0])).max(least[1]);
        if proposed >= all {
            return Err(failure);
        }
        let count = proposed.to_string();
        Err(failure
            .mend(format!("add --validation {proposed}, for example; up to {} are possible", all - 1))
            .next(command::again(&[], ["--validation", &count])))
    }

    /// Reads the test set.
    pub fn test(&self) -> Outcome<Images> {
        Ok(ImageSet::load_test(&self.folder, self.form)?)
    }

    /// Returns the smallest number of classes that covers every label of the set.
    pub fn classes_of_labels(&self) -> Option<usize> {
        let all = Form { classes: 256, ..self.form }; // all values of a byte
        let train = ImageSet::load_training(&self.folder, 0, all).ok()?.0;
        let test = ImageSet::load_test(&self.folder, all).map_or_else(|_| Vec::new(), |images| images.labels);
        train.labels.iter().chain(&test).max().map(|&label| usize::from(label) + 1)
    }
}

/// Returns the settings to change in `config` so that its network takes these images, or `None` if no change makes it fit.
pub fn fitting_settings(config: &Settings, images: &Images) -> Option<Vec<String>> {
    let mut fitting = config.clone();
    let architecture = &mut fitting.architecture;
    (architecture.height, architecture.width, architecture.channels) = (images.height, images.width, 1);
    fitting.recipe.shift = fitting.recipe.shift.min(images.height.min(images.width) - 1);
    if fitting.check().is_err() {
        fitting.architecture.deep_features = 0; // deep features need larger images
        fitting.check().ok()?;
    }
    let settings = config.settings().into_iter().zip(fitting.settings());
    let changed = settings.filter(|(before, now)| before != now);
    Some(changed.map(|(_, (name, value))| format!("{name}={value}")).collect())
}

/// Puts `--set` before each setting.
pub fn set(settings: &[String]) -> Vec<&str> {
    settings.iter().flat_map(|setting| ["--set", setting]).collect()
}
