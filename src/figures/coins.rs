//! Shared by the coin figures: log-likelihoods, with experiments grouped so that a heat map is fast enough.

use std::collections::BTreeMap;

use statrs::function::factorial::ln_binomial;

use super::checks;
use crate::coin::{Coins, Experiments};
use crate::draw::{Axis, Point, letter};
use crate::em::Fit;
use crate::error::{Error, Result};

/// The maximum number of distinct head counts. More would be slow: a heat map evaluates the log-likelihood 16,384 times.
const MOST: usize = 2000;

/// Heat maps stay this far inside (0, 1), because the log-likelihood may be infinite at 0 and at 1.
const EDGE: f64 = 1e-4;

/// The range of a probability.
pub(super) const UNIT: (f64, f64) = (0.0, 1.0);

/// Clamps theta to slightly inside (0, 1).
pub(super) fn inside(theta: f64) -> f64 {
    theta.clamp(EDGE, 1.0 - EDGE)
}

/// θ with the coin's letter as a subscript.
pub(super) fn theta(coin: usize) -> String {
    format!("θ_{{{}}}", letter(coin))
}

/// The axis of a coin's theta.
pub(super) fn theta_axis(coin: usize) -> Axis {
    Axis::new(format!("{}, probability of heads", theta(coin)), 0.0, 1.0).no_grid()
}

/// The two thetas of each model of a fit, as points.
///
/// # Errors
///
/// Returns an error if the fit has no steps, lacks its models or has an objective that is not finite, or if the thetas are
/// not two probabilities.
pub(super) fn path<M>(fit: &Fit<M>, thetas: fn(&M) -> &[f64]) -> Result<Vec<Point>> {
    checks::steps(fit)?;
    checks::finite("an objective", fit.objectives.iter().copied())?;
    let place = |model| {
        let thetas = thetas(model);
        checks::length("the fit's thetas", 2, thetas.len())?;
        Coins::even(thetas).map(|_| (thetas[0], thetas[1]))
    };
    fit.kept_models()?.iter().map(place).collect()
}

/// Experiments with the same number of heads.
struct Group {
    heads: f64,
    tails: f64,
    /// The logarithm of the binomial coefficient "n over x".
    log_binomial: f64,
    /// The number of experiments in the group.
    count: f64,
    /// The index of the group's first experiment.
    first: usize,
}

/// Experiments grouped by their number of heads.
pub(super) struct Groups(Vec<Group>);

impl Groups {
    /// Groups all experiments.
    ///
    /// # Errors
    ///
    /// Returns an error for more than 2000 distinct numbers of heads.
    pub fn new(experiments: &Experiments) -> Result<Groups> {
        Groups::chosen(experiments, |_| true)
    }

    /// Groups each coin's experiments, by their labels.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Groups::new`].
    pub fn of_coins(experiments: &Experiments, labels: &[usize], coins: usize) -> Result<Vec<Groups>> {
        (0..coins).map(|coin| Groups::chosen(experiments, |index| labels[index] == coin)).collect()
    }

    fn chosen(experiments: &Experiments, chosen: impl Fn(usize) -> bool) -> Result<Groups> {
        let mut counts: BTreeMap<u64, (usize, f64)> = BTreeMap::new();
        for (index, &heads) in experiments.heads().iter().enumerate().filter(|(index, _)| chosen(*index)) {
            counts.entry(heads).or_insert((index, 0.0)).1 += 1.0;
        }
        let name = "the number of different counts of heads";
        checks::at_most(name, counts.len(), MOST, "at most 2000 in a figure")?;
        let n = experiments.tosses();
        let group = |(x, (first, count))| {
            let (heads, tails, log_binomial) = (x as f64, (n - x) as f64, ln_binomial(n, x));
            Group { heads, tails, log_binomial, count, first }
        };
        Ok(Groups(counts.into_iter().map(group).collect()))
    }

    /// log p(x; theta, pi) as in [`Experiments::expectation`]: minus infinity if an experiment is impossible.
    pub fn log_likelihood(&self, coins: &Coins) -> f64 {
        let logs = logarithms(coins);
        self.0.iter().map(|group| group.count * log_sum(group.joint(&logs))).sum()
    }

    /// The log-likelihood if one coin made all experiments.
    pub fn of_one_coin(&self, theta: f64) -> f64 {
        self.log_likelihood(&Coins { thetas: vec![theta], weights: vec![1.0] })
    }

    /// Returns the lower bound as a function of the model, with the responsibilities at `before`, as in
    /// [`Experiments::lower_bound`].
    ///
    /// # Errors
    ///
    /// Returns an error if the model is invalid or gives an experiment probability 0.
    pub fn lower_bound(&self, before: &Coins) -> Result<impl Fn(&Coins) -> f64 + '_> {
        let logs = logarithms(&before.normalised()?);
        let shares = |group: &Group| -> Result<Vec<f64>> {
            let sum = log_sum(group.joint(&logs));
            match sum == f64::NEG_INFINITY {
                true => Err(Error::Impossible { index: group.first }),
                false => Ok(group.joint(&logs).map(|term| (term - sum).exp()).collect()),
            }
        };
        let shares = self.0.iter().map(shares).collect::<Result<Vec<_>>>()?;
        Ok(move |coins: &Coins| {
            let logs = logarithms(coins);
            // sum_j q_ij (log p(x_i, z_i = j) - log q_ij), with 0 times anything counted as 0
            let of_group = |(group, q): (&Group, &Vec<f64>)| {
                let terms = q.iter().zip(group.joint(&logs)).filter(|(q, _)| **q > 0.0);
                group.count * terms.map(|(q, term)| q * (term - q.ln())).sum::<f64>()
            };
            self.0.iter().zip(&shares).map(of_group).sum()
        })
    }
}

impl Group {
    /// log p(x, z = j) of one experiment of the group, for each coin j, from the coins' [`logarithms`].
    fn joint(&self, logs: &[[f64; 3]]) -> impl Iterator<Item = f64> + Clone {
        // a count of 0 contributes 0, even if the logarithm is minus infinity
        let times = |count: f64, log: f64| if count > 0.0 { count * log } else { 0.0 };
        logs.iter().map(move |&[weight, head, tail]| {
            weight + self.log_binomial + times(self.heads, head) + times(self.tails, tail)
        })
    }
}

/// log pi, log theta and log (1 - theta) of each coin.
fn logarithms(coins: &Coins) -> Vec<[f64; 3]> {
    let of_coin = |(theta, weight): (&f64, &f64)| [weight.ln(), theta.ln(), (1.0 - theta).ln()];
    coins.thetas.iter().zip(&coins.weights).map(of_coin).collect()
}

/// Computes log sum exp of the terms; subtracts the largest term first to avoid underflow.
fn log_sum(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + terms.map(|term| (term - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grouped_experiments_have_the_same_likelihood_and_bound_as_single_ones() {
        let labels: Vec<usize> = (0..1000).map(|i| i % 2).collect();
        let experiments = Experiments::simulate(&labels, &[0.3, 0.8], 12, 5).unwrap();
        let groups = Groups::new(&experiments).unwrap();
        assert!((2..=13).contains(&groups.0.len()));
        let before = Coins::new(&[0.4, 0.6], &[0.3, 0.7]).unwrap();
        let bound = groups.lower_bound(&before).unwrap();
        let q = experiments.expectation(&before).unwrap().responsibilities;
        for thetas in [[0.3, 0.8], [0.01, 0.99], [0.5, 0.5]] {
            let coins = Coins::new(&thetas, &[0.6, 0.4]).unwrap();
            let exact = experiments.expectation(&coins).unwrap().log_likelihood;
            assert!((groups.log_likelihood(&coins) - exact).abs() <= 1e-10 * exact.abs());
            let exact = experiments.lower_bound(&q, &coins).unwrap();
            assert!((bound(&coins) - exact).abs() <= 1e-10 * exact.abs());
        }
        let impossible = Coins::even(&[0.0, 0.0]).unwrap();
        assert_eq!(groups.log_likelihood(&impossible), f64::NEG_INFINITY);
        assert!(matches!(groups.lower_bound(&impossible), Err(Error::Impossible { .. })));
    }

    #[test]
    fn log_likelihoods_of_single_coins_add_up_to_that_of_all_experiments() {
        let (experiments, labels) = Experiments::blog_known();
        let own = Groups::of_coins(&experiments, &labels, 2).unwrap();
        let exact = experiments.known_log_likelihood(&labels, &[0.7, 0.1]).unwrap();
        assert!((own[0].of_one_coin(0.7) + own[1].of_one_coin(0.1) - exact).abs() < 1e-12);
    }

    #[test]
    fn too_many_distinct_counts_are_an_error() {
        let heads: Vec<u64> = (0..3000).collect();
        let experiments = Experiments::new(&heads, 3000).unwrap();
        assert!(matches!(Groups::new(&experiments), Err(Error::Setting { .. })));
    }
}
