//! The EM loop: alternates E-steps and M-steps, and records the objective of each model.
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
//! The E-step takes `q = p(z | x; theta)`, so that the bound touches; the M-step maximises the bound in `theta`.
//! So the objective never falls (Dempster, Laird and Rubin 1977).

use crate::error::{Error, Result};

/// The result of a fit: the last model, and the objective of each iteration's model.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit<M> {
    /// The fitted model: the last one.
    pub model: M,
    /// `objectives[0]` is the objective of the start, `objectives[t]` that of the model after `t` iterations; never empty.
    /// Higher is better: of the coins and the mixtures it is the log-likelihood in nats.
    pub objectives: Vec<f64>,
    /// The model of each objective, where the options asked for them (`keep_models`); otherwise empty, so that the memory of
    /// a fit does not grow with its iterations.
    pub models: Vec<M>,
    /// Whether the last iteration changed the objective by no more than the tolerance.
    pub converged: bool,
}

impl<M> Fit<M> {
    /// The fitted model.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The fitted model, taken out of the fit.
    #[must_use]
    pub fn into_model(self) -> M {
        self.model
    }

    /// The objective of the fitted model.
    ///
    /// # Panics
    ///
    /// Panics if `objectives` has been emptied.
    #[must_use]
    pub fn objective(&self) -> f64 {
        *self.objectives.last().expect("a fit holds at least the objective of its start")
    }

    /// The number of iterations that were made.
    #[must_use]
    pub fn iterations(&self) -> usize {
        self.objectives.len().saturating_sub(1)
    }

    /// The model of each objective, from the start to the last.
    ///
    /// # Errors
    ///
    /// Returns an error if the fit was not asked to keep its models.
    pub fn kept_models(&self) -> Result<&[M]> {
        match self.models.len() == self.objectives.len() {
            true => Ok(&self.models),
            false => Err(Error::ModelsNotKept),
        }
    }
}

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stop {
    /// The most iterations that are made.
    pub max_iterations: usize,
    /// An iteration that changes the objective by no more than this ends the fit. At 0 only a fixed point ends it early;
    /// a negative one makes all the iterations.
    pub tolerance: f64,
}

impl Default for Stop {
    fn default() -> Self {
        Stop { max_iterations: 100, tolerance: 1e-6 }
    }
}

/// Improves a model until its objective stands still.
///
/// `step` is the E-step and the M-step together: it takes a model and returns the objective *of that model* (which the
/// E-step finds on its way) and the next model. Where `keep_models` is set the fit holds every model beside its objective;
/// otherwise it holds only the last one, and at most two exist at a time.
///
/// Not converging within `stop.max_iterations` is no error: the fit says so and holds the last model.
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
/// Returns an error if `step` does, or if the tolerance is not a number.
pub fn maximise<M: Clone>(
    start: M,
    stop: Stop,
    keep_models: bool,
    mut step: impl FnMut(&M) -> Result<(f64, M)>,
) -> Result<Fit<M>> {
    if stop.tolerance.is_nan() {
        return Err(Error::Setting { name: "tolerance", expected: "a number", value: stop.tolerance });
    }
    let (mut objectives, mut models): (Vec<f64>, Vec<M>) = (Vec::new(), Vec::new());
    let mut model = start;
    loop {
        let (objective, next) = step(&model)?;
        let converged = objectives.last().is_some_and(|before| (objective - before).abs() <= stop.tolerance);
        objectives.push(objective);
        if keep_models {
            models.push(model.clone());
        }
        if converged || objectives.len() > stop.max_iterations {
            return Ok(Fit { model, objectives, models, converged });
        }
        model = next;
    }
}
