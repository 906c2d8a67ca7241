//! The EM loop: alternates E-steps and M-steps, and records the objective of each iteration.
//!
//! [`maximise`] takes a start, a rule for stopping ([`Stop`]) and a function that makes one iteration. It returns a
//! [`Fit`]: the last model and the objective of every iteration. Coins, K-means and mixtures all use this loop.
//!
//! # Formula
//!
//! With hidden labels `z` and any distribution `q` over them, Jensen's inequality gives for each model `theta`
//!
//! ```text
//! log p(x; theta)  =  E_q[log p(x, z; theta) - log q(z)]  +  KL(q || p(z | x; theta))
//!                     `------- lower bound -----------'     `---------- >= 0 --------'
//! ```
//!
//! The E-step sets `q = p(z | x; theta)`, which makes the divergence 0: the bound touches the log-likelihood. The M-step
//! maximises the bound in `theta`. So the objective never falls (Dempster, Laird and Rubin 1977).

use std::ops::ControlFlow;

use crate::error::{Error, Result};

/// The result of a fit: the last model, and the objective of each iteration.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit<M> {
    /// The fitted model: the model of the last iteration.
    pub model: M,
    /// `objectives[t]` is the objective of the model after `t` iterations; `objectives[0]` is that of the start. Never
    /// empty. Higher is better: coins and mixtures use the log-likelihood in nats.
    pub objectives: Vec<f64>,
    /// The model of each objective if the option `keep_models` is set. Otherwise empty, so that memory use does not grow.
    pub models: Vec<M>,
    /// Whether the last iteration changed the objective by at most the tolerance.
    pub converged: bool,
}

impl<M> Fit<M> {
    /// Borrows the fitted model.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.model
    }

    /// Returns the fitted model and drops the rest of the fit.
    #[must_use]
    pub fn into_model(self) -> M {
        self.model
    }

    /// Returns the objective of the fitted model.
    ///
    /// # Panics
    ///
    /// Panics if `objectives` has been emptied.
    #[must_use]
    pub fn objective(&self) -> f64 {
        *self.objectives.last().expect("a fit holds at least the objective of its start")
    }

    /// Returns the number of iterations.
    #[must_use]
    pub fn iterations(&self) -> usize {
        self.objectives.len().saturating_sub(1)
    }

    /// Returns the model of each objective, from the start to the last.
    ///
    /// # Errors
    ///
    /// Returns an error if the fit did not keep its models (option `keep_models`).
    pub fn kept_models(&self) -> Result<&[M]> {
        match self.models.len() == self.objectives.len() {
            true => Ok(&self.models),
            false => Err(Error::ModelsNotKept),
        }
    }
}

/// The rule for stopping.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stop {
    /// The maximum number of iterations.
    pub max_iterations: usize,
    /// The fit ends after an iteration that changes the objective by at most this tolerance. With 0 only a fixed point
    /// ends the fit early; with a negative tolerance the fit always runs `max_iterations`.
    pub tolerance: f64,
}

impl Default for Stop {
    fn default() -> Self {
        Stop { max_iterations: 100, tolerance: 1e-6 }
    }
}

/// Improves a model until its objective no longer changes.
///
/// `step` makes one iteration, an E-step and an M-step: it takes a model and returns the objective *of that model* (a
/// by-product of the E-step) and the next model. With `keep_models` the fit holds every model. Without it, at most two
/// models exist at a time.
///
/// Reaching `stop.max_iterations` is not an error: the fit has `converged: false`.
///
/// ```
/// use em_routing::em::{Stop, maximise};
/// // Newton's steps towards the square root of 2; the objective is minus the squared error.
/// let fit = maximise(1.0, Stop::default(), false, |x: &f64| {
///     Ok((-(x * x - 2.0).powi(2), (x + 2.0 / x) / 2.0))
/// })?;
/// assert!(fit.converged && (fit.model() - 2f64.sqrt()).abs() < 1e-6);
/// # Ok::<(), em_routing::error::Error>(())
/// ```
///
/// # Errors
///
/// Returns the error of `step`, or an error if the tolerance is NaN.
pub fn maximise<M: Clone>(
    start: M,
    stop: Stop,
    keep_models: bool,
    step: impl FnMut(&M) -> Result<(f64, M)>,
) -> Result<Fit<M>> {
    let mut course = Course { run: Some(Run { model: start, objectives: Vec::new() }), ..Course::default() };
    course.finish_run(stop, keep_models, step, &mut |_| ControlFlow::Continue(()))?;
    Ok(course.best.expect("nothing stops this run before its end"))
}

/// A run between two iterations. The rest of the run depends on nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct Run<M> {
    /// The model of the next iteration.
    pub model: M,
    /// The objectives of the models before it.
    pub objectives: Vec<f64>,
}

/// A fit between two iterations: save it, and the fit can go on from there to the same bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Course<M> {
    /// The number of runs that have ended.
    pub ended: usize,
    /// The best of the runs that have ended.
    pub best: Option<Fit<M>>,
    /// The current run; None before its start is known.
    pub run: Option<Run<M>>,
}

impl<M> Default for Course<M> {
    fn default() -> Course<M> {
        Course { ended: 0, best: None, run: None }
    }
}

impl<M> Course<M> {
    /// Returns the model of the best run so far, including the current one. None before the first iteration.
    #[must_use]
    pub fn best_model(&self) -> Option<&M> {
        let now = self.run.as_ref().filter(|run| !run.objectives.is_empty());
        let best = self.best.as_ref();
        match (best, now) {
            (Some(best), Some(now)) if now.objectives.last() > best.objectives.last() => Some(&now.model),
            (best, now) => best.map(Fit::model).or(now.map(|now| &now.model)),
        }
    }

    /// Drops the current run, such as one whose component has collapsed.
    pub(crate) fn drop_run(&mut self) {
        self.run = None;
        self.ended += 1;
    }
}

impl<M: Clone> Course<M> {
    /// Makes the iterations of the current run, and keeps the run if it is the best one. Returns false if `watch`, which is
    /// called before each iteration, has stopped it.
    pub(crate) fn finish_run(
        &mut self,
        stop: Stop,
        keep_models: bool,
        mut step: impl FnMut(&M) -> Result<(f64, M)>,
        watch: &mut dyn FnMut(&Course<M>) -> ControlFlow<()>,
    ) -> Result<bool> {
        if stop.tolerance.is_nan() {
            return Err(Error::Setting { name: "tolerance", expected: "a number", value: stop.tolerance });
        }
        let mut models = Vec::new();
        loop {
            if watch(self).is_break() {
                return Ok(false);
            }
            let Some(run) = &mut self.run else { return Ok(true) };
            let (objective, next) = step(&run.model)?;
            let before = run.objectives.last();
            let converged = before.is_some_and(|before| (objective - before).abs() <= stop.tolerance);
            run.objectives.push(objective);
            if keep_models {
                models.push(run.model.clone());
            }
            if !(converged || run.objectives.len() > stop.max_iterations) {
                run.model = next;
                continue;
            }
            self.ended += 1;
            if let Some(Run { model, objectives }) = self.run.take()
                && self.best.as_ref().is_none_or(|best| objective > best.objective())
            {
                self.best = Some(Fit { model, objectives, models, converged });
            }
            return Ok(true);
        }
    }
}
