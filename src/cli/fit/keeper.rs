//! Watches a fit: shows its progress, saves checkpoints, and stops it on a signal.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use em_routing::em::{Course, Run};
use em_routing::kmeans::KMeans;

use super::super::failure::{Failure, Outcome};
use super::super::model::{Model, Rated};
use super::super::progress::Task;
use super::Job;
use super::checkpoint::{Checkpoint, Stored};

/// The time from one checkpoint to the next, in multiples of the time that writing the last one took: checkpoints cost at most
/// 5 % of a fit.
const PAUSE: u32 = 20;

/// Watches the fit with one number of components.
pub struct Keeper<'a> {
    job: &'a Job<'a>,
    done: usize,
    criteria: &'a [Rated],
    chosen: Option<&'a Model>,
    task: Task,
    saved: Instant,
    cost: Duration,
    failure: Option<Failure>,
}

impl<'a> Keeper<'a> {
    pub fn new(
        job: &'a Job<'a>,
        name: &str,
        done: usize,
        criteria: &'a [Rated],
        chosen: Option<&'a Model>,
    ) -> Keeper<'a> {
        let (task, saved) = (job.board.task(name), Instant::now());
        Keeper { job, done, criteria, chosen, task, saved, cost: Duration::from_millis(2), failure: None }
    }

    /// Is called before each iteration.
    pub fn watch<M: Stored>(&mut self, fit: &Course<M>, start: Option<&Course<KMeans>>) -> ControlFlow<()> {
        let ranks = self.job.ranks;
        let flow = if ranks.is_first() { self.keep(fit, start) } else { ControlFlow::Continue(()) };
        ranks.follow_first(flow)
    }

    fn keep<M: Stored>(&mut self, fit: &Course<M>, start: Option<&Course<KMeans>>) -> ControlFlow<()> {
        self.show(fit, start);
        let stopped = self.job.stop.load(Ordering::Relaxed) > 0;
        if !stopped && self.saved.elapsed() < PAUSE * self.cost {
            return ControlFlow::Continue(());
        }
        let begun = Instant::now();
        let (settings, chosen) = (self.job.settings.clone(), self.chosen);
        let checkpoint = Checkpoint::new(settings, self.done, self.criteria.to_vec(), chosen, fit, start);
        let saved = checkpoint.save(&self.job.places.checkpoint);
        self.saved = Instant::now();
        self.cost = self.saved - begun;
        match saved {
            Ok(()) if !stopped => ControlFlow::Continue(()),
            Ok(()) => ControlFlow::Break(()),
            Err(failure) => {
                self.failure = Some(failure);
                ControlFlow::Break(())
            }
        }
    }

    fn show<M: Stored>(&mut self, fit: &Course<M>, start: Option<&Course<KMeans>>) {
        let most = self.job.arguments.stop().max_iterations;
        let run = match self.job.arguments.restarts {
            1 => String::new(),
            restarts => format!("run {} of {restarts}, ", fit.ended + 1),
        };
        match start.and_then(|start| start.run.as_ref()) {
            Some(start) => {
                self.task.message(&format!("{run}start by K-means, iteration {}", start.objectives.len()))
            }
            None => {
                let objectives = fit.run.as_ref().map_or(&[][..], |run: &Run<M>| &run.objectives);
                let value = objectives.last().map_or(String::new(), |&value| match M::HAS_LIKELIHOOD {
                    true => format!("log-likelihood {value:.4}"),
                    false => format!("inertia {:.4}", -value),
                });
                self.task.at(objectives.len(), most, &format!("{run}{value}"));
            }
        }
    }

    /// Returns the task, which may go on, or the error of a checkpoint that could not be written.
    pub fn end(self) -> Outcome<Task> {
        self.failure.map_or(Ok(self.task), Err)
    }
}
