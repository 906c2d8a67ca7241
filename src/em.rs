//! The one loop: an E-step that lets the model speak, an M-step that improves it, and a trace of both.
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

/// A model and the objective **of this model**: of the coins and the mixtures the log-likelihood in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct Step<M> {
    /// The model.
    pub model: M,
    /// Its objective; higher is better.
    pub objective: f64,
}

/// What a fit leaves: each model that it went through, from the start to the last.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit<M> {
    /// `trace[0]` is the start and `trace[t]` the model after `t` iterations; it is never empty.
    pub trace: Vec<Step<M>>,
    /// Whether the last iteration changed the objective by no more than the tolerance.
    pub converged: bool,
}

impl<M> Fit<M> {
    /// The last step of the trace.
    pub fn last(&self) -> &Step<M> {
        self.trace.last().expect("a trace holds at least its start")
    }

    /// The fitted model.
    pub fn model(&self) -> &M {
        &self.last().model
    }

    /// The objective of the fitted model.
    pub fn objective(&self) -> f64 {
        self.last().objective
    }

    /// The number of iterations that were made.
    pub fn iterations(&self) -> usize {
        self.trace.len() - 1
    }

    /// The objective of each step, from the start on.
    pub fn objectives(&self) -> Vec<f64> {
        self.trace.iter().map(|step| step.objective).collect()
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
/// E-step finds on its way) and the next model. So model and objective of a [`Step`] always belong together.
///
/// Not converging within `stop.max_iterations` is no error: the fit says so and holds the last model.
///
/// ```
/// use em_routing::em::{Stop, maximise};
/// // Newton's steps towards the square root of 2; the objective is minus the squared error.
/// let fit = maximise(1.0, Stop::default(), |x: &f64| {
///     Ok((-(x * x - 2.0).powi(2), (x + 2.0 / x) / 2.0))
/// })?;
/// assert!(fit.converged && (fit.model() - 2f64.sqrt()).abs() < 1e-6);
/// # Ok::<(), em_routing::error::Error>(())
/// ```
///
/// # Errors
///
/// What `step` returns, and a tolerance that is not a number.
pub fn maximise<M>(start: M, stop: Stop, mut step: impl FnMut(&M) -> Result<(f64, M)>) -> Result<Fit<M>> {
    if stop.tolerance.is_nan() {
        return Err(Error::Setting { name: "tolerance", expected: "a number", value: stop.tolerance });
    }
    let mut trace: Vec<Step<M>> = Vec::new();
    let mut model = start;
    loop {
        let (objective, next) = step(&model)?;
        let converged =
            trace.last().is_some_and(|before| (objective - before.objective).abs() <= stop.tolerance);
        trace.push(Step { model, objective });
        if converged || trace.len() > stop.max_iterations {
            return Ok(Fit { trace, converged });
        }
        model = next;
    }
}
