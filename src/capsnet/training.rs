//! Training: repeats batch, forward pass, loss, backward pass and update.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::adam::Adam;
use super::layers::Share;
use super::loss::{cross_entropy, spread_loss};
use super::network::CapsNet;
use super::parameters::Parameters;
use super::recipe::{Loss, Recipe};
use super::settings::Settings;
use crate::compute::{Team, agree};
use crate::data::idx::Images;
use crate::error::{Error, Result};
use ndarray::Array2;

/// The random stream for the shifts of the first step. Lower streams draw the parameters and the image order of each epoch.
const SHIFTS: u64 = 1 << 63;
/// The random stream for the dropout of the first step.
const DROPOUT: u64 = 1 << 62;

/// A network in training: everything that the next step depends on, except the images.
///
/// [`Training::step`] trains on the next batch and returns a [`StepReport`]; [`Training::result`] returns the trained network. Seed
/// and epoch determine the order of the images; seed and step determine their shifts and the dropout. The data loader has no other state. An
/// incomplete last batch of an epoch is dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// The network after the last step.
    pub net: CapsNet,
    /// The training recipe.
    pub recipe: Recipe,
    /// Adam's moments.
    pub adam: Adam,
    /// The running average of the parameters, if the recipe asks for one.
    pub average: Option<Parameters>,
    /// Steps so far.
    pub step: usize,
    /// The seed of the initial draw of the parameters, and of the order and the shifts of the images.
    pub seed: u64,
    /// The number of threads (0: one per core). It does not change the result.
    pub threads: usize,
    /// The current epoch's number and image order.
    order: Option<(usize, Vec<usize>)>,
}

/// The report of a training step. The loss and the classifications are those of the parameters before the step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// The number of the step, from 0.
    pub step: usize,
    /// The loss, averaged over the batch.
    pub loss: f64,
    /// Images in the batch.
    pub images: usize,
    /// Correctly classified images.
    pub correct: usize,
    /// The margin of the loss.
    pub margin: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// The length of the gradient before clipping.
    pub gradient_length: f64,
}

impl Training {
    /// Creates a training before its first step. `threads` is the number of threads (0: one per core).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Settings::check`] and [`CapsNet::new`].
    pub fn new(settings: Settings, seed: u64, threads: usize) -> Result<Training> {
        settings.check()?;
        let Settings { architecture, recipe } = settings;
        let net = CapsNet::new(architecture, seed)?;
        let average = (recipe.averaging > 0.0).then(|| net.parameters().clone());
        let adam = Adam::new(net.parameters().len());
        Ok(Training { net, recipe, adam, average, step: 0, seed, threads, order: None })
    }

    /// Restores a training after `step` steps from the contents of a file.
    pub(super) fn resumed(
        net: CapsNet,
        recipe: Recipe,
        adam: Adam,
        average: Option<Parameters>,
        step: usize,
        seed: u64,
        threads: usize,
    ) -> Training {
        Training { net, recipe, adam, average, step, seed, threads, order: None }
    }

    /// Returns the architecture and the recipe.
    pub fn settings(&self) -> Settings {
        Settings { architecture: self.net.architecture().clone(), recipe: self.recipe }
    }

    /// Returns the number of steps in an epoch with this number of images.
    pub fn steps_per_epoch(&self, images: usize) -> usize {
        images / self.recipe.batch
    }

    /// Returns the number of steps in the whole training with this number of images.
    pub fn steps(&self, images: usize) -> usize {
        self.steps_per_epoch(images) * self.recipe.epochs
    }

    /// Checks that the network can be trained on these images.
    ///
    /// # Errors
    ///
    /// Returns an error if the recipe is invalid, if there are fewer images than a batch takes, or if they do not have the size that the
    /// network expects.
    pub fn check(&self, data: &Images) -> Result<()> {
        self.recipe.check()?;
        if self.steps_per_epoch(data.len()) == 0 {
            return Err(Error::BatchTooLarge { batch: self.recipe.batch, images: data.len() });
        }
        self.net.pixels(data, &[0]).map(drop)
    }

    /// Checks that these processes can share a batch.
    ///
    /// # Errors
    ///
    /// Returns an error if there are more processes than images in a batch.
    pub fn check_team(&self, team: Option<&dyn Team>) -> Result<()> {
        match team.map_or(1, Team::size) {
            size if size <= self.recipe.batch => Ok(()),
            size => Err(Error::BatchTooSmall { batch: self.recipe.batch, ranks: size }),
        }
    }

    /// Trains on the next batch: forward pass, loss, backward pass, update.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Training::check`], and an error if a label is not a class or if a number is no longer finite.
    pub fn step(&mut self, data: &Images) -> Result<StepReport> {
        self.step_in_team(data, None)
    }

    /// Trains on the next batch as [`Training::step`] does, together with other processes: each computes a part of the batch's
    /// images, and all make the same update. The result has the same bits for any number of processes.
    ///
    /// All processes hold the same training and the same images.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Training::step`] and of [`Training::check_team`], and [`Error::OtherRank`] if another process has
    /// failed.
    pub fn step_in_team(&mut self, data: &Images, team: Option<&dyn Team>) -> Result<StepReport> {
        self.check(data)?;
        self.check_team(team)?;
        let recipe = self.recipe;
        // the recipe may have been changed since the last step
        self.average = (recipe.averaging > 0.0)
            .then(|| self.average.take().unwrap_or_else(|| self.net.parameters().clone()));
        let steps_per_epoch = self.steps_per_epoch(data.len());
        let batch = self.batch(data.len(), steps_per_epoch);
        let labels: Vec<usize> = batch.iter().map(|&image| usize::from(data.labels[image])).collect();
        let own = team.map_or(0..batch.len(), |team| team.part(batch.len()));
        let share = team.map(|team| Share { team, first: own.start, all: batch.len() });
        let margin = recipe.margin(self.step, steps_per_epoch);
        let learning_rate = recipe.learning_rate(self.step, steps_per_epoch);

        let pixels = match recipe.shift as i64 {
            0 => self.net.pixels(data, &batch[own.clone()])?,
            most => {
                let rng = &mut self.random(SHIFTS + self.step as u64);
                // drawn as i64: the draws of an isize depend on the processor
                let mut pixels = || rng.gen_range(-most..=most) as isize;
                let moves: Vec<[isize; 2]> = batch.iter().map(|_| [pixels(), pixels()]).collect();
                let moved = data.moved(&batch[own.clone()], &moves[own.clone()]);
                self.net.pixels(&moved, &(0..own.len()).collect::<Vec<_>>())?
            }
        };
        // The pixels are checked to be finite, so a number out of range comes from the parameters: the bad output of one layer is
        // the bad input of the next.
        let diverged = |error| match error {
            Error::EntryOutOfRange { .. } => Error::Diverged { step: self.step, what: error.to_string() },
            error => error,
        };
        let rng = &mut self.random(DROPOUT + self.step as u64);
        let dropout = (recipe.dropout > 0.0).then_some((recipe.dropout, rng));
        let pass = self.net.forward_training(&pixels, self.threads, dropout, share).map_err(diverged);
        let classes = self.net.architecture().classes;
        let (pass, activations) = match team {
            None => {
                let pass = pass?;
                let all = pass.classes().activations.clone();
                (pass, all)
            }
            Some(team) => {
                let (pass, all) = agree(team, pass, |pass| pass.classes().activations.clone())?;
                (pass, all.concat())
            }
        };
        let (loss, d_activations) = recipe.loss.of_batch(&activations, &labels, margin, recipe.mean_loss)?;
        let d_own = &d_activations[own.start * classes..own.end * classes];
        let gradient = self.net.backward_training(&pass, d_own, self.threads, share).map_err(diverged)?;
        let gradient_length = gradient.length();
        if !(loss.is_finite() && gradient_length <= recipe.clipping.longest()) {
            let what = if loss.is_finite() { not_finite(&gradient) } else { format!("the loss is {loss}") };
            return Err(Error::Diverged { step: self.step, what });
        }
        self.adam.update(self.net.parameters_mut(), &gradient, learning_rate, &recipe);

        if let Some(average) = &mut self.average {
            // the decay is smaller at first, to forget the early, worse parameters sooner: min(decay, (1 + t) / (10 + t))
            let t = self.step as f64;
            let decay = recipe.averaging.min((1.0 + t) / (10.0 + t)) as f32;
            for (average, now) in average.numbers_mut().iter_mut().zip(self.net.parameters().numbers()) {
                *average = decay * *average + (1.0 - decay) * now;
            }
        }
        let chosen = activations.chunks_exact(classes).map(most_active);
        let correct = chosen.zip(&labels).filter(|(chosen, label)| chosen == *label).count();
        let report = StepReport {
            step: self.step,
            loss,
            images: batch.len(),
            correct,
            margin,
            learning_rate,
            gradient_length,
        };
        self.step += 1;
        Ok(report)
    }

    /// Returns the averaged parameters if the recipe averages. Before the first step that does, they are those of the network.
    pub(super) fn averaged(&self) -> Option<&Parameters> {
        (self.recipe.averaging > 0.0).then(|| self.average.as_ref().unwrap_or(self.net.parameters()))
    }

    /// Returns the network to evaluate and save. It has the averaged parameters if the recipe averages.
    pub fn result(&self) -> CapsNet {
        let mut net = self.net.clone();
        if let Some(average) = self.averaged() {
            net.parameters_mut().numbers_mut().copy_from_slice(average.numbers());
        }
        net
    }

    /// Returns the generator of a random stream of this training's seed.
    fn random(&self, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        rng
    }

    /// Returns the indices of the images of the next step.
    fn batch(&mut self, images: usize, steps_per_epoch: usize) -> Vec<usize> {
        let (epoch, at) = (self.step / steps_per_epoch, self.step % steps_per_epoch);
        let batch = self.recipe.batch;
        if !matches!(&self.order, Some((of, order)) if *of == epoch && order.len() == images) {
            let mut rng = self.random(epoch as u64 + 1); // stream 0 drew the parameters
            let mut order: Vec<usize> = (0..images).collect();
            order.shuffle(&mut rng);
            self.order = Some((epoch, order));
        }
        let (_, order) = self.order.as_ref().expect("just made");
        order[at * batch..][..batch].to_vec()
    }
}

/// Returns the mean spread loss of a batch and its gradient, as [`Loss::of_batch`].
///
/// # Errors
///
/// Returns an error in the cases of [`Loss::of_batch`].
pub fn batch_loss(activations: &[f32], labels: &[usize], margin: f64, mean: bool) -> Result<(f64, Vec<f32>)> {
    Loss::Spread.of_batch(activations, labels, margin, mean)
}

impl Loss {
    /// Returns the mean loss of a batch and a gradient with respect to the class activations (images x classes, flat). The
    /// gradient is that of the mean loss if `mean` is true, otherwise that of the summed loss. Only the spread loss has a margin.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no labels, if the number of activations is not a multiple of the number of labels, or if a
    /// label is not a class.
    pub fn of_batch(
        self,
        activations: &[f32],
        labels: &[usize],
        margin: f64,
        mean: bool,
    ) -> Result<(f64, Vec<f32>)> {
        let images = labels.len();
        if images == 0 {
            return Err(Error::Empty { what: "labels" });
        }
        let wide = activations.iter().map(|&a| f64::from(a)).collect();
        let wide = Array2::from_shape_vec((images, activations.len() / images), wide).map_err(|_| {
            let expected = activations.len().next_multiple_of(images);
            Error::Length { name: "the activations of the classes", expected, found: activations.len() }
        })?;
        let (loss, d_activations) = match self {
            Loss::Spread => spread_loss(&wide, labels, margin)?,
            Loss::CrossEntropy => cross_entropy(&wide, labels)?,
        };
        let scale = if mean { 1.0 / images as f64 } else { 1.0 };
        Ok((loss / images as f64, d_activations.iter().map(|d| (d * scale) as f32).collect()))
    }
}

/// Names the part of a gradient that is not finite.
fn not_finite(gradient: &Parameters) -> String {
    let is_bad =
        |range: &std::ops::Range<usize>| gradient.numbers()[range.clone()].iter().any(|d| !d.is_finite());
    match gradient.parts().iter().find(|part| is_bad(&part.range)) {
        Some(part) => format!("the gradient of {}", part.name),
        None => "the length of the gradient".to_owned(),
    }
}

/// Returns the most active class; in a tie, the first one.
pub fn most_active(activations: &[f32]) -> usize {
    let mut best = 0;
    for (class, activation) in activations.iter().enumerate() {
        if activation > &activations[best] {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capsnet::Settings;
    use crate::compute::on_ranks;

    fn images() -> Images {
        let pixels = (0..12 * 17 * 17).map(|i| (i * i % 37 * 6 + i / 300) as u8).collect();
        let labels = [0, 1, 2, 0, 2, 1].repeat(2);
        Images { pixels, labels, height: 17, width: 17, classes: 3 }
    }

    /// Settings of a small network of three classes for [`images`].
    fn small(mut settings: Settings, changes: &str) -> Settings {
        let sizes =
            "height = 17\nwidth = 17\nfeatures = 2\ndeep-features = 2\nprimary = 2\nfirst = 2\nsecond = 2";
        settings.set_lines(&format!("{sizes}\nclasses = 3\n{changes}")).unwrap();
        settings
    }

    #[test]
    fn any_number_of_processes_trains_to_the_same_bits() {
        for (settings, changes) in [
            (Settings::default(), "batch = 7\nmargin = constant:0.9"),
            (Settings::default(), "batch = 4\nshift = 2\nmean-loss = false\niterations = 3"),
            // most images have a loss of 0 and no gradient
            (Settings::blog(), "batch = 6\nmargin = constant:0.01\nlearning-rate = 0.02"),
            (Settings::plain(), "batch = 5"),
            (Settings::plain_pooled(), "batch = 4\nshift = 1"),
        ] {
            let settings = small(settings, changes);
            let trained = |team: Option<&dyn Team>, threads| {
                let mut training = Training::new(settings.clone(), 5, threads).unwrap();
                let step = |_| training.step_in_team(&images(), team).unwrap();
                let reports: Vec<StepReport> = (0..5).map(step).collect();
                (reports, training.net, training.average)
            };
            let expected = trained(None, 1);
            for ranks in 1..=4 {
                for found in on_ranks(ranks, |team| trained(Some(team), 1 + ranks % 2)) {
                    assert!(found == expected, "{ranks} processes, {changes}");
                }
            }
        }
    }

    #[test]
    fn all_processes_end_with_the_error_of_one() {
        let mut settings = small(Settings::default(), "batch = 4");
        let start = |settings: &Settings| Training::new(settings.clone(), 1, 1).unwrap();
        let errors = on_ranks(3, |team| {
            let mut training = start(&settings);
            if team.rank() == 1 {
                training.net.parameters_mut().numbers_mut().fill(f32::NAN);
            }
            training.step_in_team(&images(), Some(team)).unwrap_err()
        });
        assert!(matches!(errors[1], Error::Diverged { step: 0, .. }), "{}", errors[1]);
        for rank in [0, 2] {
            assert!(matches!(errors[rank], Error::OtherRank { rank: 1 }), "{}", errors[rank]);
        }
        settings.recipe.batch = 2;
        let errors = on_ranks(3, |team| start(&settings).step_in_team(&images(), Some(team)).unwrap_err());
        assert!(errors.iter().all(|error| matches!(error, Error::BatchTooSmall { batch: 2, ranks: 3 })));
    }

    #[test]
    fn a_gradient_whose_square_overflows_is_an_error() {
        let trained = |clipping: &str| {
            let settings =
                small(Settings::plain(), &format!("batch = 4\nclipping = {clipping}\ndropout = 0"));
            let mut training = Training::new(settings, 1, 1).unwrap();
            // the logits are moderate, but the gradient of the hidden layer is that of the class weights
            for (part, factor) in [("hidden.weights", 1e-22), ("hidden.bias", 0.0), ("class.weights", 1e23)] {
                let numbers = training.net.parameters_mut().part_mut(part).unwrap();
                numbers.iter_mut().for_each(|number| *number *= factor);
            }
            training.step(&images()).map(|report| report.gradient_length)
        };
        let error = trained("none").unwrap_err();
        assert!(
            matches!(&error, Error::Diverged { what, .. } if what == "the length of the gradient"),
            "{error}"
        );
        assert!(trained("whole:1").unwrap() > 2e19);
    }

    #[test]
    fn the_error_for_divergence_at_step_0_blames_the_initialisation() {
        let settings = small(Settings::default(), "batch = 4");
        for setting in ["pose-gain = 1e30", "transform-deviation = 1e30", "feature-gain = 1e30"] {
            let mut settings = settings.clone();
            settings.set_lines(setting).unwrap();
            let mut training = Training::new(settings, 1, 1).unwrap();
            let text = training.step(&images()).unwrap_err().to_string();
            assert!(
                text.starts_with("step 0 ") && text.contains("the start is to blame"),
                "{setting}: {text}"
            );
            assert!(!text.contains("learning rate"), "{setting}: {text}");
        }
        let later = Error::Diverged { step: 7, what: "the gradient of first.transforms".into() };
        assert!(later.to_string().contains("lower learning rate"), "{later}");
    }
}
