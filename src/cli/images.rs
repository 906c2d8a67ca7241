//! The images that commands read from a folder, and what mends a set that does not fit.

use std::path::{Path, PathBuf};

use em_routing::capsnet::Settings;
use em_routing::data::idx::{Form, ImageSet, Images};
use em_routing::error::Error;
use em_routing::shipped::mnist_folder;

use super::command;
use super::failure::{Failure, Outcome};

/// One validation image of so many, as of MNIST's 60,000, where a count is proposed.
const SHARE: usize = 12;

/// A folder with the four files of a set, named as MNIST's are.
pub struct Source {
    folder: PathBuf,
    form: Form,
}

impl Source {
    /// The folder that was named, else MNIST's, whose files are of this form.
    pub fn new(named: Option<&Path>, form: Form) -> Source {
        Source { folder: named.map_or_else(mnist_folder, Path::to_path_buf), form }
    }

    /// The images to train on, and the last `validation` of them, which are kept from it. Of those to train on, `least` should
    /// remain, and of those that are kept too: what is proposed where there are fewer.
    pub fn training(&self, validation: usize, least: [usize; 2]) -> Outcome<(Images, Images)> {
        let error = match ImageSet::load_training(&self.folder, validation, self.form) {
            Ok(images) => return Ok(images),
            Err(error) => error,
        };
        // the one error that is about a count
        let all = match error {
            Error::Setting { .. } => ImageSet::load_training(&self.folder, 0, self.form)?.0.len(),
            error => return Err(error.into()),
        };
        let failure = Failure::new(format!(
            "{} holds {all} images to train on, so that {validation} of them cannot be kept for validation",
            self.folder.display()
        ));
        let proposed = (all / SHARE).min(all.saturating_sub(least[0])).max(least[1]);
        if proposed >= all {
            return Err(failure);
        }
        let count = proposed.to_string();
        Err(failure
            .mend(format!("add --validation {proposed}, say; it may be up to {}", all - 1))
            .next(command::again(&[], ["--validation", &count])))
    }

    /// The test set.
    pub fn test(&self) -> Outcome<Images> {
        Ok(ImageSet::load_test(&self.folder, self.form)?)
    }

    /// The least number of classes that has a place for each label of the set.
    pub fn classes_of_labels(&self) -> Option<usize> {
        let all = Form { classes: 256, ..self.form }; // what a byte can tell apart
        let train = ImageSet::load_training(&self.folder, 0, all).ok()?.0;
        let test = ImageSet::load_test(&self.folder, all).map_or_else(|_| Vec::new(), |images| images.labels);
        train.labels.iter().chain(&test).max().map(|&label| usize::from(label) + 1)
    }
}

/// The settings, of those that are printed, with which a network of `config` takes these images; none if nothing makes it fit.
pub fn fitting_settings(config: &Settings, images: &Images) -> Option<Vec<String>> {
    let mut fitting = config.clone();
    let architecture = &mut fitting.architecture;
    (architecture.height, architecture.width, architecture.channels) = (images.height, images.width, 1);
    fitting.recipe.shift = fitting.recipe.shift.min(images.height.min(images.width) - 1);
    if fitting.check().is_err() {
        fitting.architecture.deep_features = 0; // they need larger images
        fitting.check().ok()?;
    }
    let settings = config.settings().into_iter().zip(fitting.settings());
    let changed = settings.filter(|(before, now)| before != now);
    Some(changed.map(|(_, (name, value))| format!("{name}={value}")).collect())
}

/// `--set` before each setting.
pub fn set(settings: &[String]) -> Vec<&str> {
    settings.iter().flat_map(|setting| ["--set", setting]).collect()
}
