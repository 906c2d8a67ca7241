//! Coin experiments: maximum likelihood with known labels, EM with hidden labels.
//!
//! Somebody picks one of k biased coins, tosses it n times and writes down the number of heads; this is repeated m times.
//! If the labels (the picked coins) are known, [`Experiments::known_maximum`] estimates the coins in closed form. If the
//! labels are hidden, [`Coins::fit`] estimates the coins by EM: it takes [`Experiments`] and [`CoinOptions`] and returns
//! a [`Fit`] of [`Coins`].
//!
//! | letter | meaning | here |
//! |---|---|---|
//! | m | experiments | `experiments.len()` |
//! | n | tosses of each experiment | [`Experiments::tosses`] |
//! | k | coins | `coins.thetas.len()` |
//! | x_i | heads of experiment i | [`Experiments::heads`] |
//! | z_i | the coin of experiment i: known or hidden | `labels`, or `responsibilities` (m x k) |
//! | theta_j | probability of heads of coin j | [`Coins::thetas`] |
//! | pi_j | probability that coin j is picked | [`Coins::weights`] |
//!
//! All logarithms are natural, all likelihoods in nats.
//!
//! ```
//! use em_routing::prelude::*;
//!
//! let experiments = Experiments::new(&[5, 9, 8, 4, 7], 10)?; // heads of ten tosses each
//! let options = CoinOptions { start: Coins::even(&[0.6, 0.5])?, ..Default::default() };
//! let fit = Coins::fit(&experiments, &options)?;
//! assert!(fit.converged);
//! println!("theta {:.2?}, {:.4} nats after {} iterations", fit.model().thetas, fit.objective(), fit.iterations());
//!
//! let coins = fit.into_model();
//! let r = experiments.expectation(&coins)?.responsibilities; // how likely each experiment is from each coin (5 x 2)
//!
//! let new = Experiments::new(&[9], 10)?; // an experiment that the fit has not seen
//! let its_r = new.expectation(&coins)?.responsibilities;
//! assert!(its_r[[0, 0]] > 0.9 && its_r.row(0) == r.row(1)); // nine heads, as the second experiment has
//! # Ok::<(), em_routing::error::Error>(())
//! ```

use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use statrs::function::factorial::ln_binomial;

use crate::em::{self, Fit, Stop};
use crate::error::{Error, Result};

/// The data: the number of heads of each experiment. All experiments have the same number of tosses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Experiments {
    heads: Vec<u64>,
    tosses: u64,
}

/// The model: the probability of heads of each coin, and the probability that each coin is picked.
#[derive(Debug, Clone, PartialEq)]
pub struct Coins {
    /// theta_j, the probability of heads of each coin.
    pub thetas: Vec<f64>,
    /// pi_j, the mixing weights; they add up to 1.
    pub weights: Vec<f64>,
}

/// The result of the E-step for one model; likelihoods are in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// R_ij = p(z_i = j | x_i; theta), m x k; each row adds up to 1.
    pub responsibilities: Array2<f64>,
    /// log p(x; theta), summed over the hidden labels.
    pub log_likelihood: f64,
    /// The evidence lower bound at q = R, where it equals the log-likelihood.
    pub lower_bound: f64,
    /// E_R[log p(x, z; theta)]: the part of the bound that the M-step maximises.
    pub expected_complete_log_likelihood: f64,
    /// sum_ij R_ij log p(x_i | z_i = j; theta): the expected complete-data log-likelihood without its terms in log pi.
    ///
    /// The blog post's second program prints this number as `ll`; the post's first program also omits
    /// [`Experiments::log_binomial_constant`]. This number is neither the log-likelihood nor the lower bound.
    pub expected_conditional_log_likelihood: f64,
}

/// Whether the M-step estimates the mixing weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mixing {
    /// The weights keep their initial values.
    #[default]
    Given,
    /// The M-step sets pi_j = sum_i R_ij / m.
    Estimated,
}

/// Options of [`Coins::fit`].
#[derive(Debug, Clone, PartialEq)]
pub struct CoinOptions {
    /// The initial model, which also sets the number of coins. Default, as in the blog post: two coins with theta = 0.6 and
    /// 0.5, picked equally often.
    pub start: Coins,
    /// Whether the mixing weights are estimated.
    pub mixing: Mixing,
    /// When to stop; the tolerance is in nats.
    pub stop: Stop,
    /// Whether the fit keeps the model of each iteration, for figures.
    pub keep_models: bool,
}

impl Default for CoinOptions {
    fn default() -> Self {
        CoinOptions {
            start: Coins { thetas: vec![0.6, 0.5], weights: vec![0.5, 0.5] },
            mixing: Mixing::Given,
            stop: Stop::default(),
            keep_models: false,
        }
    }
}

impl Experiments {
    /// Takes the number of heads of each experiment and the number of tosses per experiment.
    ///
    /// ```
    /// use em_routing::coin::Experiments;
    /// let experiments = Experiments::new(&[5, 9, 8, 4, 7], 10)?;
    /// assert_eq!(experiments.len(), 5);
    /// println!("{}", Experiments::new(&[5, 11], 10).unwrap_err()); // experiment 1 counts 11 heads in 10 tosses
    /// # Ok::<(), em_routing::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if there are no experiments or no tosses, or if an experiment has more heads than tosses.
    pub fn new(heads: &[u64], tosses: u64) -> Result<Experiments> {
        if heads.is_empty() {
            return Err(Error::Empty { what: "experiments" });
        }
        if tosses == 0 {
            return Err(Error::Empty { what: "tosses" });
        }
        match heads.iter().position(|&heads| heads > tosses) {
            Some(index) => Err(Error::MoreHeadsThanTosses { index, heads: heads[index], tosses }),
            None => Ok(Experiments { heads: heads.to_vec(), tosses }),
        }
    }

    /// Simulates one experiment for each label: `tosses` tosses of coin `labels[i]`, which lands heads with probability
    /// `thetas[labels[i]]`.
    ///
    /// The same seed gives the same heads on every machine.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no labels, no coins or no tosses, if a label names no coin, or if a theta is outside [0, 1].
    pub fn simulate(labels: &[usize], thetas: &[f64], tosses: u64, seed: u64) -> Result<Experiments> {
        check_thetas(thetas)?;
        check_labels(labels, labels.len(), thetas.len())?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let heads: Vec<u64> = labels
            .iter()
            .map(|&label| (0..tosses).filter(|_| rng.r#gen::<f64>() < thetas[label]).count() as u64)
            .collect();
        Experiments::new(&heads, tosses)
    }

    /// Returns the blog post's five experiments of ten tosses with known labels, and these labels (A is 0, B is 1).
    pub fn blog_known() -> (Experiments, Vec<usize>) {
        (Experiments { heads: vec![7, 9, 2, 6, 0], tosses: 10 }, vec![0, 0, 1, 0, 1])
    }

    /// Returns the blog post's five experiments of ten tosses with hidden labels.
    pub fn blog_hidden() -> Experiments {
        Experiments { heads: vec![5, 9, 8, 4, 7], tosses: 10 }
    }

    /// Returns x_i, the number of heads of each experiment.
    pub fn heads(&self) -> &[u64] {
        &self.heads
    }

    /// Returns n, the number of tosses per experiment.
    pub fn tosses(&self) -> u64 {
        self.tosses
    }

    /// Returns m, the number of experiments.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Always returns false: there is at least one experiment.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Returns sum_i log C(n, x_i), the part of every log-likelihood that does not depend on the parameters.
    pub fn log_binomial_constant(&self) -> f64 {
        self.heads.iter().map(|&heads| ln_binomial(self.tosses, heads)).sum()
    }

    /// Returns log p(x_i | z_i = j; theta_j) for each experiment i and coin j, m x k.
    ///
    /// # Formula
    ///
    /// ```text
    /// log p(x | theta) = log C(n, x) + x log theta + (n - x) log(1 - theta),      0 log 0 = 0
    /// ```
    fn log_probabilities(&self, thetas: &[f64]) -> Array2<f64> {
        Array2::from_shape_fn((self.len(), thetas.len()), |(i, j)| {
            let (heads, tails) = (self.heads[i], self.tosses - self.heads[i]);
            ln_binomial(self.tosses, heads)
                + times_log(heads as f64, thetas[j])
                + times_log(tails as f64, 1.0 - thetas[j])
        })
    }

    /// Returns the log-likelihood for known labels: experiment `i` was made with coin `labels[i]`.
    ///
    /// The result is minus infinity if an experiment is impossible, such as one head with theta = 0.
    ///
    /// # Errors
    ///
    /// Returns an error if a label names no coin, if there is not exactly one label per experiment, if there are no coins,
    /// or if a theta is outside [0, 1].
    pub fn known_log_likelihood(&self, labels: &[usize], thetas: &[f64]) -> Result<f64> {
        check_thetas(thetas)?;
        check_labels(labels, self.len(), thetas.len())?;
        let log_probabilities = self.log_probabilities(thetas);
        Ok(labels.iter().enumerate().map(|(i, &label)| log_probabilities[(i, label)]).sum())
    }

    /// Returns the maximum-likelihood estimate for known labels: the heads of each coin divided by its tosses.
    ///
    /// # Formula
    ///
    /// ```text
    /// theta_j = sum_{i: z_i = j} x_i / sum_{i: z_i = j} n
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if a label names no coin, if there is not exactly one label per experiment, if there are no coins,
    /// or if a coin has no experiment.
    pub fn known_maximum(&self, labels: &[usize], coins: usize) -> Result<Vec<f64>> {
        check_labels(labels, self.len(), coins)?;
        // u128, because a sum of numbers of tosses may exceed u64.
        let (mut heads, mut tosses) = (vec![0u128; coins], vec![0u128; coins]);
        for (&label, &count) in labels.iter().zip(&self.heads) {
            heads[label] += u128::from(count);
            tosses[label] += u128::from(self.tosses);
        }
        match tosses.iter().position(|&tosses| tosses == 0) {
            Some(coin) => Err(Error::NeverTossed { coin }),
            None => Ok(heads.iter().zip(&tosses).map(|(&h, &n)| h as f64 / n as f64).collect()),
        }
    }

    /// Finds the estimate of [`Experiments::known_maximum`] numerically, by minimising the negative log-likelihood.
    ///
    /// The minimiser is SLSQP (Kraft 1988, from the crate `slsqp`), a quasi-Newton method with bounds. The models of the
    /// fit are the points at which SLSQP evaluated the function, in order; the objectives are their log-likelihoods. The
    /// last point is the best. The bounds are [1e-9, 1 - 1e-9], since at 0 and 1 the gradient of the logarithm is
    /// infinite.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`Experiments::known_maximum`], if a theta is outside [0, 1], or if the minimiser
    /// fails.
    pub fn minimise_known(&self, labels: &[usize], start: &[f64]) -> Result<Fit<Vec<f64>>> {
        check_thetas(start)?;
        self.known_maximum(labels, start.len())?; // returns an error if there is no maximum
        const EDGE: f64 = 1e-9;
        let trace = std::cell::RefCell::new(Vec::<(Vec<f64>, f64)>::new());
        let negative = |thetas: &[f64], gradient: Option<&mut [f64]>, _: &mut ()| {
            if let Some(gradient) = gradient {
                gradient.fill(0.0);
                for (&label, &heads) in labels.iter().zip(&self.heads) {
                    // d/d theta of -(x log theta + (n - x) log(1 - theta))
                    gradient[label] -=
                        heads as f64 / thetas[label] - (self.tosses - heads) as f64 / (1.0 - thetas[label]);
                }
            }
            let objective = self.known_log_likelihood(labels, thetas).unwrap_or(f64::NAN);
            // The minimiser calls twice per point, for value and gradient; record the point once.
            let mut trace = trace.borrow_mut();
            if trace.last().is_none_or(|(last, _)| last != thetas) {
                trace.push((thetas.to_vec(), objective));
            }
            -objective
        };
        let start: Vec<f64> = start.iter().map(|theta| theta.clamp(EDGE, 1.0 - EDGE)).collect();
        let bounds = vec![(EDGE, 1.0 - EDGE); start.len()];
        #[allow(clippy::type_complexity)]
        // the minimiser needs a function type even for an empty list of constraints
        let unconstrained: [fn(&[f64], Option<&mut [f64]>, &mut ()) -> f64; 0] = [];
        let tolerances = slsqp::StopTols { ftol_rel: 1e-12, ..Default::default() };
        let outcome = slsqp::minimize(negative, &start, &bounds, &unconstrained, (), 500, Some(tolerances));
        let mut trace = trace.into_inner();
        let (best, value, converged) = match outcome {
            Ok((status, best, value)) => {
                (best, value, !matches!(status, slsqp::SuccessStatus::MaxEvalReached))
            }
            // Rounding errors prevent further improvement.
            Err((slsqp::FailStatus::RoundoffLimited, best, value)) => (best, value, true),
            Err((status, _, _)) => return Err(Error::Minimiser { status: format!("{status:?}") }),
        };
        if trace.last().is_none_or(|(last, _)| *last != best) {
            trace.push((best.clone(), -value));
        }
        let (models, objectives) = trace.into_iter().unzip();
        Ok(Fit { model: best, objectives, models, converged })
    }

    /// The E-step: computes the responsibilities, the log-likelihood and the lower bound.
    ///
    /// # Formula
    ///
    /// ```text
    /// R_ij = pi_j p(x_i | theta_j) / sum_l pi_l p(x_i | theta_l)
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the model is not valid (see [`Coins::new`]), or if an experiment is impossible under every coin.
    pub fn expectation(&self, coins: &Coins) -> Result<Expectation> {
        let coins = coins.normalised()?;
        let conditional = self.log_probabilities(&coins.thetas);
        let mut responsibilities = self.joint(&conditional, &coins);
        let mut log_likelihood = 0.0;
        for (index, mut row) in responsibilities.rows_mut().into_iter().enumerate() {
            // log-sum-exp: subtracting the largest term first prevents underflow
            let largest = row.fold(f64::NEG_INFINITY, |largest, &term| largest.max(term));
            if largest == f64::NEG_INFINITY {
                return Err(Error::Impossible { index });
            }
            let log_sum = largest + row.iter().map(|term| (term - largest).exp()).sum::<f64>().ln();
            row.mapv_inplace(|term| (term - log_sum).exp());
            log_likelihood += log_sum;
        }
        let expected = |log_terms: &Array2<f64>| -> f64 {
            responsibilities.iter().zip(log_terms).map(|(&w, &term)| times(w, term)).sum()
        };
        let expected_complete_log_likelihood = expected(&self.joint(&conditional, &coins));
        let entropy = -responsibilities.iter().map(|&w| times_log(w, w)).sum::<f64>();
        Ok(Expectation {
            log_likelihood,
            lower_bound: expected_complete_log_likelihood + entropy,
            expected_complete_log_likelihood,
            expected_conditional_log_likelihood: expected(&conditional),
            responsibilities,
        })
    }

    /// Computes log p(x_i, z_i = j; theta, pi), m x k, from log p(x_i | z_i = j; theta).
    fn joint(&self, conditional: &Array2<f64>, coins: &Coins) -> Array2<f64> {
        let mut joint = conditional.clone();
        for (mut column, &weight) in joint.columns_mut().into_iter().zip(&coins.weights) {
            column.mapv_inplace(|term| term + weight.ln());
        }
        joint
    }

    /// Returns the evidence lower bound for any model and any distribution q over the labels (m x k, rows add up to 1).
    ///
    /// The M-step maximises the bound over the model, for fixed q. The bound equals the log-likelihood at the model whose
    /// E-step gave q.
    ///
    /// # Formula
    ///
    /// ```text
    /// bound(q, theta) = sum_ij q_ij (log p(x_i, z_i = j; theta) - log q_ij)
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the model is not valid (see [`Coins::new`]), or if q has the wrong shape or an entry outside [0, 1].
    pub fn lower_bound(&self, q: &Array2<f64>, coins: &Coins) -> Result<f64> {
        let coins = coins.normalised()?;
        self.check_responsibilities(q, coins.thetas.len())?;
        let joint = self.joint(&self.log_probabilities(&coins.thetas), &coins);
        Ok(q.iter().zip(&joint).map(|(&q, &term)| times(q, term) - times_log(q, q)).sum())
    }

    /// The M-step: returns the coins that maximise the lower bound for these responsibilities.
    ///
    /// If all responsibilities of a coin are 0, the bound does not depend on its theta; the coin keeps its theta from `before`.
    ///
    /// # Formula
    ///
    /// ```text
    /// theta_j = sum_i R_ij x_i / sum_i R_ij n        pi_j = sum_i R_ij / m
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the responsibilities have the wrong shape or lie outside [0, 1], or if `before` is not a valid model.
    pub fn maximisation(
        &self,
        responsibilities: &Array2<f64>,
        before: &Coins,
        mixing: Mixing,
    ) -> Result<Coins> {
        let mut next = before.normalised()?;
        self.check_responsibilities(responsibilities, before.thetas.len())?;
        for (j, column) in responsibilities.columns().into_iter().enumerate() {
            let effective_count = column.sum();
            let weighted = |counts: &dyn Fn(u64) -> u64| -> f64 {
                column.iter().zip(&self.heads).map(|(&w, &heads)| w * counts(heads) as f64).sum()
            };
            let (heads, tails) = (weighted(&|heads| heads), weighted(&|heads| self.tosses - heads));
            if heads + tails > 0.0 {
                // Rounding must not make theta 0 or 1: the experiments that the coin is responsible for would become
                // impossible.
                let (lowest, highest) = (
                    if heads > 0.0 { f64::MIN_POSITIVE } else { 0.0 },
                    if tails > 0.0 { 1f64.next_down() } else { 1.0 },
                );
                next.thetas[j] = (heads / (heads + tails)).clamp(lowest, highest);
            }
            if mixing == Mixing::Estimated {
                next.weights[j] = effective_count / self.len() as f64;
            }
        }
        Ok(next)
    }

    /// Computes the E-step at each model of a fit, for plots and tables.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`Experiments::expectation`], or if the fit has not kept its models
    /// ([`CoinOptions::keep_models`]).
    pub fn expectations(&self, fit: &Fit<Coins>) -> Result<Vec<Expectation>> {
        fit.kept_models()?.iter().map(|coins| self.expectation(coins)).collect()
    }

    fn check_responsibilities(&self, q: &Array2<f64>, coins: usize) -> Result<()> {
        let (rows, columns) = q.dim();
        if rows != self.len() {
            return Err(Error::Length { name: "responsibilities' rows", expected: self.len(), found: rows });
        }
        if columns != coins {
            return Err(Error::Length { name: "responsibilities' columns", expected: coins, found: columns });
        }
        for (index, row) in q.rows().into_iter().enumerate() {
            check_probabilities("responsibilities' row", row.iter())
                .and_then(|()| check_sum("the sum of the responsibilities' row ", row.sum()))
                .map_err(|error| match error {
                    Error::Probability { name, value, .. } => Error::Probability { name, index, value },
                    Error::NotNormalised { name, sum } => {
                        Error::EntryOutOfRange { name, place: vec![index], expected: "1", value: sum }
                    }
                    other => other,
                })?;
        }
        Ok(())
    }
}

impl Coins {
    /// Fits the coins by EM to experiments with hidden labels.
    ///
    /// ```
    /// use em_routing::prelude::*;
    /// let fit = Coins::fit(&Experiments::blog_hidden(), &CoinOptions::default())?;
    /// assert!((fit.model().thetas[0] - 0.7968).abs() < 1e-3 && (fit.objective() + 9.796924).abs() < 1e-5);
    /// # Ok::<(), em_routing::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the start is not a valid model, or if an experiment is impossible under every coin of the start.
    pub fn fit(experiments: &Experiments, options: &CoinOptions) -> Result<Fit<Coins>> {
        em::maximise(options.start.normalised()?, options.stop, options.keep_models, |coins| {
            let expectation = experiments.expectation(coins)?;
            let next = experiments.maximisation(&expectation.responsibilities, coins, options.mixing)?;
            Ok((expectation.log_likelihood, next))
        })
    }

    /// Returns coins that are picked equally often.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no coins, or if a theta is outside [0, 1].
    pub fn even(thetas: &[f64]) -> Result<Coins> {
        check_thetas(thetas)?;
        Ok(Coins { thetas: thetas.to_vec(), weights: vec![1.0 / thetas.len() as f64; thetas.len()] })
    }

    /// Returns coins with these thetas and mixing weights.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no coins, if a probability is outside [0, 1], or if the weights do not add up to 1.
    pub fn new(thetas: &[f64], weights: &[f64]) -> Result<Coins> {
        Coins { thetas: thetas.to_vec(), weights: weights.to_vec() }.normalised()
    }

    /// Validates the model. Divides the weights by their sum if it differs from 1 only by the rounding of f32.
    pub(crate) fn normalised(&self) -> Result<Coins> {
        check_thetas(&self.thetas)?;
        if self.weights.len() != self.thetas.len() {
            let (expected, found) = (self.thetas.len(), self.weights.len());
            return Err(Error::Length { name: "weights", expected, found });
        }
        let rounding = weight_rounding(self.weights.len());
        if let Some(index) = self.weights.iter().position(|weight| !(0.0..=1.0 + rounding).contains(weight)) {
            return Err(Error::Probability { name: "weights", index, value: self.weights[index] });
        }
        let mut coins = self.clone();
        let divisor = weight_sum(self.weights.iter().sum(), self.weights.len())?;
        coins.weights.iter_mut().for_each(|weight| *weight /= divisor);
        Ok(coins)
    }
}

fn check_thetas(thetas: &[f64]) -> Result<()> {
    if thetas.is_empty() {
        return Err(Error::Empty { what: "coins" });
    }
    check_probabilities("thetas", thetas.iter())
}

fn check_probabilities<'a>(name: &'static str, values: impl Iterator<Item = &'a f64>) -> Result<()> {
    for (index, &value) in values.enumerate() {
        if !(0.0..=1.0).contains(&value) {
            return Err(Error::Probability { name, index, value });
        }
    }
    Ok(())
}

/// Returns how far the sum of this many weights may be from 1 after rounding to f32.
pub(crate) fn weight_rounding(weights: usize) -> f64 {
    (weights as f64 * f64::from(f32::EPSILON)).max(1e-9)
}

/// Returns the divisor that normalises `weights` mixing weights with this sum. The divisor is 1 if the weights add up to
/// 1 in f64, so that they keep their exact values.
///
/// # Errors
///
/// Returns an error if the sum differs from 1 by more than rounding to f32 explains.
pub(crate) fn weight_sum(sum: f64, weights: usize) -> Result<f64> {
    match (sum - 1.0).abs() {
        error if error <= 1e-12 => Ok(1.0),
        error if error <= weight_rounding(weights) => Ok(sum),
        _ => Err(Error::NotNormalised { name: "weights", sum }),
    }
}

fn check_sum(name: &'static str, sum: f64) -> Result<()> {
    if (sum - 1.0).abs() <= 1e-9 { Ok(()) } else { Err(Error::NotNormalised { name, sum }) }
}

fn check_labels(labels: &[usize], experiments: usize, coins: usize) -> Result<()> {
    if coins == 0 {
        return Err(Error::Empty { what: "coins" });
    }
    if labels.len() != experiments {
        return Err(Error::Length { name: "labels", expected: experiments, found: labels.len() });
    }
    Error::check_labels("experiment", labels, coins, "coins")
}

/// Returns a b, where 0 times minus infinity is 0: impossible outcomes with probability 0 contribute nothing.
fn times(a: f64, b: f64) -> f64 {
    if a == 0.0 { 0.0 } else { a * b }
}

/// Returns a log b, where 0 log 0 is 0.
fn times_log(a: f64, b: f64) -> f64 {
    times(a, b.ln())
}
