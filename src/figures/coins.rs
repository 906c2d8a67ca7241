//! Log-likelihoods of very many experiments, fast enough to be drawn: equal numbers of heads count once.

use std::collections::BTreeMap;

use crate::coin::{Coins, Experiments};
use crate::error::{Error, Result};

/// Fewer experiments are counted one by one.
const FEW: usize = 100;

/// The most different numbers of heads: a heat map evaluates the log-likelihood 25,600 times.
const MOST: usize = 2000;

/// Experiments with the same number of heads.
struct Group {
    heads: f64,
    tails: f64,
    /// log of "n over x".
    log_binomial: f64,
    /// How many experiments.
    count: f64,
}

/// Experiments, of which each number of heads counts once where they are many.
pub(crate) struct Groups<'a> {
    experiments: &'a Experiments,
    /// None where the experiments are few.
    groups: Vec<Group>,
}

impl Groups<'_> {
    /// # Errors
    ///
    /// Returns an error for more than 2000 different numbers of heads.
    pub fn new(experiments: &Experiments) -> Result<Groups<'_>> {
        if experiments.len() <= FEW {
            return Ok(Groups { experiments, groups: Vec::new() });
        }
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for &heads in experiments.heads() {
            *counts.entry(heads).or_default() += 1;
        }
        if counts.len() > MOST {
            let (name, expected) = ("the number of different counts of heads", "at most 2000 in a figure");
            return Err(Error::Setting { name, expected, value: counts.len() as f64 });
        }
        let tosses = experiments.tosses();
        let group = |(heads, count): (u64, usize)| {
            let log_binomial = Experiments::new(&[heads], tosses)?.log_binomial_constant();
            let (heads, tails) = (heads as f64, (tosses - heads) as f64);
            Ok(Group { heads, tails, log_binomial, count: count as f64 })
        };
        let groups = counts.into_iter().map(group).collect::<Result<_>>()?;
        Ok(Groups { experiments, groups })
    }

    /// Whether there are so many experiments that equal ones count once.
    pub fn grouped(&self) -> bool {
        !self.groups.is_empty()
    }

    /// log p(x; theta, phi) as [`Experiments::expectation`] has it; NaN where it has none.
    pub fn log_likelihood(&self, coins: &Coins) -> f64 {
        if self.groups.is_empty() {
            return self.experiments.expectation(coins).map_or(f64::NAN, |found| found.log_likelihood);
        }
        let term = |group: &Group| group.count * log_sum(&group.joint(coins));
        let total: f64 = self.groups.iter().map(term).sum();
        if total.is_finite() { total } else { f64::NAN }
    }

    /// The lower bound at `coins` with the responsibilities of `before`, as [`Experiments::lower_bound`] has it; NaN where
    /// it has none.
    ///
    /// # Errors
    ///
    /// Returns an error for a model that is none or gives an experiment no probability.
    pub fn lower_bound(&self, before: &Coins) -> Result<impl Fn(&Coins) -> f64 + '_> {
        // q_ij, of each experiment or of each group
        let few = match self.groups.is_empty() {
            true => Some(self.experiments.expectation(before)?.responsibilities),
            false => None,
        };
        Coins::new(&before.thetas, &before.weights)?;
        let shares = |group: &Group| -> Result<Vec<f64>> {
            let joint = group.joint(before);
            let log_sum = log_sum(&joint);
            if log_sum == f64::NEG_INFINITY {
                let index = self.experiments.heads().iter().position(|&heads| heads as f64 == group.heads);
                return Err(Error::Impossible { index: index.unwrap_or(0) });
            }
            Ok(joint.into_iter().map(|term| (term - log_sum).exp()).collect())
        };
        let many: Vec<Vec<f64>> = self.groups.iter().map(shares).collect::<Result<_>>()?;
        Ok(move |coins: &Coins| {
            if let Some(q) = &few {
                return self.experiments.lower_bound(q, coins).unwrap_or(f64::NAN);
            }
            // sum_ij q_ij (log p(x_i, z_i = j) - log q_ij), where 0 times anything is 0
            let of_group = |(group, q): (&Group, &Vec<f64>)| -> f64 {
                let terms = q.iter().zip(group.joint(coins)).filter(|(q, _)| **q > 0.0);
                group.count * terms.map(|(q, term)| q * (term - q.ln())).sum::<f64>()
            };
            self.groups.iter().zip(&many).map(of_group).sum()
        })
    }
}

impl Group {
    /// log p(x, z = j) of one of its experiments, for each coin j.
    fn joint(&self, coins: &Coins) -> Vec<f64> {
        // where 0 heads or tails count nothing, however impossible another one would be
        let times_log = |count: f64, p: f64| if count > 0.0 { count * p.ln() } else { 0.0 };
        let of_coin = |(theta, weight): (&f64, &f64)| {
            weight.ln()
                + self.log_binomial
                + times_log(self.heads, *theta)
                + times_log(self.tails, 1.0 - theta)
        };
        coins.thetas.iter().zip(&coins.weights).map(of_coin).collect()
    }
}

/// log sum exp, with the largest term taken out so that nothing underflows.
fn log_sum(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + terms.iter().map(|term| (term - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_the_log_likelihood_and_the_bound_of_their_experiments() {
        let labels: Vec<usize> = (0..1000).map(|i| i % 2).collect();
        let experiments = Experiments::simulate(&labels, &[0.3, 0.8], 12, 5).unwrap();
        let groups = Groups::new(&experiments).unwrap();
        assert!((2..=13).contains(&groups.groups.len()));
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
        assert!(groups.log_likelihood(&impossible).is_nan());
    }

    #[test]
    fn too_many_different_experiments_are_named() {
        let heads: Vec<u64> = (0..3000).collect();
        let experiments = Experiments::new(&heads, 3000).unwrap();
        assert!(matches!(Groups::new(&experiments), Err(Error::Setting { .. })));
    }
}
