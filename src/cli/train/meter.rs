//! Mean loss and accuracy of a training: over recent steps for the progress bar, between two points of TensorBoard's curves,
//! per epoch for the log.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use em_routing::capsnet::StepReport;

use super::super::progress::seconds;

/// Number of recent steps whose mean the progress bar shows.
const RECENT: usize = 50;

/// Sums over several steps.
#[derive(Clone, Copy, Default)]
struct Sum {
    loss: f64,
    correct: usize,
    images: usize,
    time: Duration,
}

pub struct Meter {
    steps: usize,
    left: usize,
    recent: VecDeque<Sum>,
    since_last_time: Sum,
    epoch: Sum,
    last: Instant,
}

impl Sum {
    fn add(&mut self, other: &Sum) {
        self.loss += other.loss;
        self.correct += other.correct;
        self.images += other.images;
        self.time += other.time;
    }

    /// Returns the mean loss and the accuracy.
    fn means(&self) -> (f64, f64) {
        (self.loss / self.images as f64, self.correct as f64 / self.images as f64)
    }
}

impl Meter {
    /// Starts the clock for a training of `steps` steps.
    pub fn new(steps: usize) -> Meter {
        Meter {
            steps,
            left: steps,
            recent: VecDeque::new(),
            since_last_time: Sum::default(),
            epoch: Sum::default(),
            last: Instant::now(),
        }
    }

    /// Adds a step that has just ended.
    pub fn add(&mut self, report: &StepReport) {
        let now = Instant::now();
        let sum = Sum {
            loss: report.loss * report.images as f64,
            correct: report.correct,
            images: report.images,
            time: now - self.last,
        };
        self.last = now;
        self.left = self.steps - report.step - 1;
        self.since_last_time.add(&sum);
        self.epoch.add(&sum);
        self.recent.push_back(sum);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// Returns the mean loss and the accuracy since the last call.
    pub fn since_last_time(&mut self) -> (f64, f64) {
        std::mem::take(&mut self.since_last_time).means()
    }

    /// Ends the epoch and returns its loss, accuracy and time, over the steps of this run; `None` if this run made no step.
    pub fn epoch(&mut self) -> Option<(f64, f64, Duration)> {
        let sum = std::mem::take(&mut self.epoch);
        let (loss, accuracy) = sum.means();
        (sum.images > 0).then_some((loss, accuracy, sum.time))
    }

    /// Restarts the clock, so that time spent on validation is not counted.
    pub fn restart(&mut self) {
        self.last = Instant::now();
    }

    /// Returns the message of the progress bar.
    pub fn words(&self) -> String {
        let mut sum = Sum::default();
        self.recent.iter().for_each(|step| sum.add(step));
        let (loss, accuracy) = sum.means();
        let rate = sum.images as f64 / sum.time.as_secs_f64().max(1e-9);
        let batch = sum.images as f64 / self.recent.len() as f64;
        let left = Duration::try_from_secs_f64(self.left as f64 * batch / rate).unwrap_or(Duration::MAX);
        format!(
            "loss {loss:.4}, accuracy {:.1} %, {rate:.0} images/s, {} left",
            100.0 * accuracy,
            seconds(left)
        )
    }
}
