//! Results shipped beside the weights: the effect of each switch of the recipe, the full trainings, and the trainings on some
//! viewpoints.
//!
//! All are CSV files with a header and one line per run, epoch, view or number, without quotes:
//!
//! ```text
//! setting,seed,images,saturated,kept,error     ablation.csv, grid.csv: one short training
//! default,1,5500,0.01,0.74,0.0787              `default`, or the changes in the syntax of `train --set`
//! iterations=3,1,5500,0.02,0.61,               error: share of misclassified validation images; empty if the training diverged
//!
//! recipe,seed,epochs,epoch,validation_errors,validation_images,test_errors,test_images      runs.csv: an epoch of one training
//! default,1,10,9,31,5000,,
//! default,1,10,10,30,5000,55,10000             the test set is used only after the last epoch
//!
//! set,arm,seed,epochs,parameters,loss,familiar,novel                  viewpoints.csv: one training on familiar views
//! published,plain,1,30,350005,0.01,1.0,0.82                           familiar, novel: shares of correctly classified images
//!
//! set,arm,seed,epochs,part,azimuth,elevation,images,correct           viewpoints-views.csv: its images of one view
//! published,plain,1,30,novel,200,10,10,7
//!
//! claim,measure,arm,seed,digits,epochs,value      claims.csv: a number that decides a claim about capsules
//! attack,error; 0.1,plain,1,5500,1,0.412
//! ```

use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, Result};

/// An invalid field in a results file.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {field} is {found:?}, but should be {expected}")]
pub struct Fault {
    /// The line number, from 1.
    pub line: usize,
    /// The name of the column, or "the line", "the header" or "the file".
    pub field: &'static str,
    /// The expected value, in words.
    pub expected: &'static str,
    /// The text found.
    pub found: String,
}

/// A short training with changed settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// `default`, or the changes: `name=value`, several separated by spaces, or the name of a group.
    pub setting: String,
    /// The seed of the initial weights and of the order of images.
    pub seed: u64,
    /// The number of training images.
    pub images: usize,
    /// The share of routed capsules with an activation below 0.01 or above 0.99 before the first step.
    pub saturated: Option<f64>,
    /// The share of the decrease of the loss promised by the gradient that a step of 0.001 for each parameter keeps, before the
    /// first step. Negative if the loss rises.
    pub kept: Option<f64>,
    /// The share of misclassified validation images; `None` if the training diverged.
    pub error: Option<f64>,
}

/// An epoch of a full training.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochRecord {
    /// The recipe: `default`, `blog`, `cnn`, …
    pub recipe: String,
    /// The seed of the initial weights and of the order of images.
    pub seed: u64,
    /// The number of epochs of the whole training.
    pub epochs: usize,
    /// The number of this epoch, from 1.
    pub epoch: usize,
    /// The share of misclassified validation images.
    pub validation: Option<f64>,
    /// The share of misclassified test images, after the last epoch only.
    pub test: Option<f64>,
}

/// A training on familiar views.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewTrial {
    /// The set of images: `published`, `solids`, `affine` or `development`.
    pub set: String,
    /// The kind of network.
    pub arm: String,
    /// The seed of the images and of the training.
    pub seed: u64,
    /// The number of epochs.
    pub epochs: usize,
    /// The number of parameters.
    pub parameters: usize,
    /// The share of correctly classified images of familiar views; `None` if the training diverged.
    pub familiar: Option<f64>,
    /// The share of correctly classified images of novel views.
    pub novel: Option<f64>,
}

/// The images of one view, classified after a training on familiar views.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewCount {
    /// The set of images.
    pub set: String,
    /// The kind of network.
    pub arm: String,
    /// The seed of the images and of the training.
    pub seed: u64,
    /// The number of epochs.
    pub epochs: usize,
    /// Whether the view is a novel one.
    pub novel: bool,
    /// In degrees.
    pub azimuth: f64,
    /// In degrees.
    pub elevation: f64,
    /// The number of images of this view.
    pub images: usize,
    /// The number of those that were correctly classified.
    pub correct: usize,
}

/// A number that decides a claim about capsules, of one network.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimRecord {
    /// The claim, such as `attack`.
    pub claim: String,
    /// What was measured, such as `error; 0.1`.
    pub measure: String,
    /// The network: `shipped`, `routing-2`, `plain`, …
    pub arm: String,
    /// The seed of the training; 0 for the shipped network.
    pub seed: u64,
    /// The number of digits in training.
    pub digits: usize,
    /// How often each of them was seen, by the networks that do not need more.
    pub epochs: usize,
    /// The number.
    pub value: f64,
}

const CLAIMS: &str = "claim,measure,arm,seed,digits,epochs,value";
const TRIALS: &str = "setting,seed,images,saturated,kept,error";
const EPOCHS: &str = "recipe,seed,epochs,epoch,validation_errors,validation_images,test_errors,test_images";
const VIEW_TRIALS: &str = "set,arm,seed,epochs,parameters,loss,familiar,novel";
const VIEW_COUNTS: &str = "set,arm,seed,epochs,part,azimuth,elevation,images,correct";

/// Reads `ablation.csv` or `grid.csv`.
///
/// # Errors
///
/// Returns an error if the file cannot be read, has a different header or no lines, or has an invalid field; the error
/// names the line.
pub fn read_trials(path: impl AsRef<Path>) -> Result<Vec<Trial>> {
    read(path.as_ref(), TRIALS, |line| {
        Ok(Trial {
            setting: line.word(0)?,
            seed: line.seed(1)?,
            images: line.count(2)?,
            saturated: line.share(3)?,
            kept: line.optional(4, "a number, or nothing", |kept: &f64| kept.is_finite())?,
            error: line.share(5)?,
        })
    })
}

/// Reads `runs.csv`, the epochs of full trainings.
///
/// # Errors
///
/// Returns the errors of [`read_trials`], and an error if an epoch is beyond the last or there are more errors than images.
pub fn read_epochs(path: impl AsRef<Path>) -> Result<Vec<EpochRecord>> {
    read(path.as_ref(), EPOCHS, |line| {
        let epochs = line.count(2)?;
        let share = |at: usize| -> Result<Option<f64>> {
            if line.text(at).is_empty() && line.text(at + 1).is_empty() {
                return Ok(None);
            }
            let images = line.count(at + 1)?;
            let expected = "a whole number, not above the number of images";
            let errors: usize = line.field(at, expected, |&errors| errors <= images)?;
            Ok(Some(errors as f64 / images as f64))
        };
        Ok(EpochRecord {
            recipe: line.word(0)?,
            seed: line.seed(1)?,
            epochs,
            epoch: line.field(3, "from 1 to the number of epochs", |epoch| (1..=epochs).contains(epoch))?,
            validation: share(4)?,
            test: share(6)?,
        })
    })
}

/// Reads `viewpoints.csv`.
///
/// # Errors
///
/// Returns the errors of [`read_trials`].
pub fn read_view_trials(path: impl AsRef<Path>) -> Result<Vec<ViewTrial>> {
    read(path.as_ref(), VIEW_TRIALS, |line| {
        Ok(ViewTrial {
            set: line.word(0)?,
            arm: line.word(1)?,
            seed: line.seed(2)?,
            epochs: line.count(3)?,
            parameters: line.count(4)?,
            familiar: line.share(6)?,
            novel: line.share(7)?,
        })
    })
}

/// Reads `viewpoints-views.csv`.
///
/// # Errors
///
/// Returns the errors of [`read_trials`], and an error if more images are correct than there are.
pub fn read_view_counts(path: impl AsRef<Path>) -> Result<Vec<ViewCount>> {
    read(path.as_ref(), VIEW_COUNTS, |line| {
        let images = line.count(7)?;
        let expected = "a whole number, not above the number of images";
        let part =
            line.field(4, "familiar or novel", |part: &String| part == "familiar" || part == "novel")?;
        Ok(ViewCount {
            set: line.word(0)?,
            arm: line.word(1)?,
            seed: line.seed(2)?,
            epochs: line.count(3)?,
            novel: part == "novel",
            azimuth: line.field(5, "an angle in degrees", |angle: &f64| angle.abs() <= 360.0)?,
            elevation: line.field(6, "an angle in degrees", |angle: &f64| angle.abs() <= 360.0)?,
            images,
            correct: line.field(8, expected, |&correct| correct <= images)?,
        })
    })
}

/// Reads `claims.csv`, the numbers of `cargo bench --bench claims`.
///
/// # Errors
///
/// Returns the errors of [`read_trials`].
pub fn read_claims(path: impl AsRef<Path>) -> Result<Vec<ClaimRecord>> {
    read(path.as_ref(), CLAIMS, |line| {
        Ok(ClaimRecord {
            claim: line.word(0)?,
            measure: line.word(1)?,
            arm: line.word(2)?,
            seed: line.seed(3)?,
            digits: line.count(4)?,
            epochs: line.count(5)?,
            value: line.field(6, "a number", |value: &f64| value.is_finite())?,
        })
    })
}

/// A line of a file with its position; fields are counted from 0.
struct Line<'a> {
    path: &'a Path,
    number: usize,
    header: &'static str,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn fault(&self, field: &'static str, expected: &'static str, found: &str) -> Error {
        Error::file(self.path, Fault { line: self.number, field, expected, found: found.to_owned() })
    }

    fn text(&self, at: usize) -> &'a str {
        self.text.split(',').nth(at).unwrap_or_default().trim()
    }

    fn field<T: FromStr>(&self, at: usize, expected: &'static str, good: impl Fn(&T) -> bool) -> Result<T> {
        let name = self.header.split(',').nth(at).unwrap_or_default();
        self.text(at).parse().ok().filter(good).ok_or_else(|| self.fault(name, expected, self.text(at)))
    }

    /// Parses a field that may be empty.
    fn optional<T: FromStr>(
        &self,
        at: usize,
        expected: &'static str,
        good: impl Fn(&T) -> bool,
    ) -> Result<Option<T>> {
        if self.text(at).is_empty() { Ok(None) } else { self.field(at, expected, good).map(Some) }
    }

    fn word(&self, at: usize) -> Result<String> {
        self.field(at, "not empty", |word: &String| !word.is_empty())
    }

    fn seed(&self, at: usize) -> Result<u64> {
        self.field(at, "a whole number", |_| true)
    }

    /// Parses a share, which is left out if the training diverged.
    fn share(&self, at: usize) -> Result<Option<f64>> {
        self.optional(at, "a share from 0 to 1, or nothing", |share: &f64| (0.0..=1.0).contains(share))
    }

    fn count(&self, at: usize) -> Result<usize> {
        self.field(at, "a whole number of at least 1", |&count| count > 0)
    }
}

/// Parses the lines after the header.
fn read<T>(path: &Path, header: &'static str, record: impl Fn(&Line) -> Result<T>) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let text = text.trim_start_matches('\u{feff}').trim_end(); // no byte-order mark, no empty lines at the end
    let mut records = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let line = Line { path, number: index + 1, header, text };
        if index == 0 && !text.split(',').map(str::trim).eq(header.split(',')) {
            return Err(line.fault("the header", "the names of the columns, in order", text));
        } else if text.split(',').count() != header.split(',').count() {
            return Err(line.fault("the line", "one field per column of the header", text));
        } else if index > 0 {
            records.push(record(&line)?);
        }
    }
    if records.is_empty() {
        let line = Line { path, number: 1, header, text };
        return Err(line.fault("the file", "a header and at least one line", text));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn written(name: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("em-routing-{}-{name}.csv", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn trials_are_read_and_errors_name_the_line() {
        let header = "setting,seed,images,saturated,kept,error\n";
        let lines = "default,1,5500,0.25,-0.5,0.078\nbeta-v=0 beta-a=0,2,5500,,,\n";
        let path = written("trials", &format!("{header}{lines}"));
        let trial = |setting: &str, seed, saturated, kept, error| Trial {
            setting: setting.into(),
            seed,
            images: 5500,
            saturated,
            kept,
            error,
        };
        let expected = [
            trial("default", 1, Some(0.25), Some(-0.5), Some(0.078)),
            trial("beta-v=0 beta-a=0", 2, None, None, None),
        ];
        assert_eq!(read_trials(&path).unwrap(), expected);
        for (text, words) in [
            (String::new(), "line 1: the file"),
            (header.to_owned(), "line 1: the file"),
            ("seed,setting,images,saturated,kept,error\n".to_owned(), "line 1: the header"),
            (format!("{header}default,1,5500,0.1\n"), "line 2: the line"),
            (format!("{header}default,1,5500,,,0.1\n,1,5500,,,0.1\n"), "line 3: setting"),
            (format!("{header}default,one,5500,,,0.1\n"), "line 2: seed is \"one\""),
            (format!("{header}default,1,0,,,0.1\n"), "line 2: images is \"0\""),
            (format!("{header}default,1,5500,,,NaN\n"), "line 2: error is \"NaN\""),
            (format!("{header}default,1,5500,,,7.8\n"), "line 2: error is \"7.8\""),
            (format!("{header}default,1,5500,2,,0.1\n"), "line 2: saturated is \"2\""),
            (format!("{header}default,1,5500,,inf,0.1\n"), "line 2: kept is \"inf\""),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read_trials(&path).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("trials.csv"), "{error}");
        }
        std::fs::write(&path, format!("{header}default,one,5500,,,0.1\n")).unwrap();
        let error = read_trials(&path).unwrap_err();
        let root = std::error::Error::source(&error).and_then(|root| root.downcast_ref());
        assert!(matches!(root, Some(Fault { line: 2, field: "seed", .. })), "{error:?}");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(read_trials(&path), Err(Error::Io { .. })));
    }

    #[test]
    fn claims_are_read_and_errors_name_the_line() {
        let header = "claim,measure,arm,seed,digits,epochs,value\n";
        let path = written("claims", &format!("{header}attack,error; 0.1,plain,1,5500,1,-4e-1\n"));
        let found = read_claims(&path).unwrap();
        assert_eq!((found[0].measure.as_str(), found[0].seed, found[0].value), ("error; 0.1", 1, -0.4));
        for line in ["attack,error,plain,1,5500,1,inf", "attack,,plain,1,5500,1,0", "a,b,plain,-1,5500,1,0"] {
            std::fs::write(&path, format!("{header}{line}\n")).unwrap();
            let error = read_claims(&path).unwrap_err().to_string();
            assert!(error.contains("line 2"), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn epochs_are_read_and_errors_name_the_line() {
        let header = "recipe,seed,epochs,epoch,validation_errors,validation_images,test_errors,test_images\n";
        let path =
            written("epochs", &format!("{header}default,1,2,1,60,5000,,\ndefault,1,2,2,50,5000,99,10000\n"));
        let found = read_epochs(&path).unwrap();
        assert_eq!((found[0].epoch, found[0].test), (1, None));
        assert_eq!((found[1].validation, found[1].test), (Some(0.01), Some(0.0099)));
        for (line, words) in [
            ("default,1,2,3,60,5000,,", "line 2: epoch is \"3\""),
            ("default,1,2,0,60,5000,,", "line 2: epoch is \"0\""),
            ("default,1,2,1,5001,5000,,", "line 2: validation_errors is \"5001\""),
            ("default,1,2,1,60,,,", "line 2: validation_images is \"\""),
            ("default,1,2,1,60,5000,9,", "line 2: test_images is \"\""),
            ("default,1,2,1,60,5000,", "line 2: the line"),
        ] {
            std::fs::write(&path, format!("{header}{line}\n")).unwrap();
            let error = read_epochs(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn trainings_on_views_are_read_and_errors_name_the_line() {
        let header = "set,arm,seed,epochs,parameters,loss,familiar,novel\n";
        let path =
            written("views", &format!("{header}published,plain,1,30,500,0.1,1.0,0.75\nsolids,a,2,4,5,,,\n"));
        let found = read_view_trials(&path).unwrap();
        assert_eq!(
            (found[0].arm.as_str(), found[0].familiar, found[0].novel),
            ("plain", Some(1.0), Some(0.75))
        );
        assert_eq!((found[1].set.as_str(), found[1].epochs, found[1].novel), ("solids", 4, None));
        for (line, words) in [
            ("published,plain,1,30,500,0.1,1.0,75", "line 2: novel is \"75\""),
            ("published,plain,1,30,500,0.1,NaN,0.75", "line 2: familiar is \"NaN\""),
            ("published,plain,1,0,500,0.1,1.0,0.75", "line 2: epochs is \"0\""),
        ] {
            std::fs::write(&path, format!("{header}{line}\n")).unwrap();
            let error = read_view_trials(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let header = "set,arm,seed,epochs,part,azimuth,elevation,images,correct\n";
        std::fs::write(&path, format!("{header}published,plain,1,30,novel,200,10,10,7\n")).unwrap();
        let found = read_view_counts(&path).unwrap();
        assert!(found[0].novel && (found[0].azimuth, found[0].images, found[0].correct) == (200.0, 10, 7));
        for (line, words) in [
            ("published,plain,1,30,other,200,10,10,7", "line 2: part is \"other\""),
            ("published,plain,1,30,novel,400,10,10,7", "line 2: azimuth is \"400\""),
            ("published,plain,1,30,novel,200,10,10,11", "line 2: correct is \"11\""),
        ] {
            std::fs::write(&path, format!("{header}{line}\n")).unwrap();
            let error = read_view_counts(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
