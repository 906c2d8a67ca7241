//! The ladder from a Gaussian mixture to EM routing: five rungs, each with one change from the rung before.
//!
//! | rung | what changes | still EM? |
//! |---|---|---|
//! | [`routing_1`] | nothing: a mixture of diagonal Gaussians | yes: the log-likelihood never falls |
//! | [`routing_2`] | an activation a_j, which measures how well the votes agree, replaces the mixing weight pi_j | no: a_j maximises no objective |
//! | [`routing_3`] | the children's activations weight the samples | as rung 2; with pi_j it would be EM on weighted samples |
//! | [`routing_4`] | the cost counts the mass sum_i a_i R_ij instead of sum_i r_ij, which is 1 | as rung 2 |
//! | [`routing_final`] | each parent has its own votes, and the M-step comes first | as rung 2 |
//!
//! Votes are children x parents x elements (V_ijh) on every rung, so that rungs can be compared. If a child has one pose for all
//! parents, as in the blog's rungs 1 to 4, [`shared_votes`] makes its votes. Parents that start equal then stay equal, so rungs 1
//! to 4 need a start, such as [`Parents::from_responsibilities`]. Each rung returns a trace with a [`LadderStep`] for each
//! iteration: the responsibilities of the E-step and the parents of the M-step.

use ndarray::{Array1, Array2, Array3, Axis};

use super::reference::sigmoid;
use super::{InverseTemperature, Parents, check_activations, check_each, check_shape, check_votes};
use crate::error::{Error, Result};

/// Options of the rungs.
#[derive(Debug, Clone, PartialEq)]
pub struct LadderOptions {
    /// The number of iterations. Each has an E-step and an M-step.
    pub iterations: usize,
    /// The schedule of lambda.
    pub inverse_temperature: InverseTemperature,
    /// beta_v of all parents. The ladder adds it once for each parent, as in the blog's equations; the blog's program and
    /// [`RoutingInput`](super::RoutingInput) add it once for each element of the pose.
    pub beta_v: f64,
    /// beta_a of all parents.
    pub beta_a: f64,
    /// A floor added to each variance to keep parents from collapsing. With 0, the equations are the blog's.
    pub variance_floor: f64,
}

impl Default for LadderOptions {
    fn default() -> Self {
        LadderOptions {
            iterations: 3,
            inverse_temperature: InverseTemperature::Linear,
            beta_v: 0.0,
            beta_a: 0.0,
            variance_floor: 1e-6,
        }
    }
}

/// One iteration of a rung.
#[derive(Debug, Clone, PartialEq)]
pub struct LadderStep {
    /// R_ij, children x parents: the responsibility of parent j for child i. Rows add up to 1.
    pub responsibilities: Array2<f64>,
    /// r_ij, children x parents: the share of parent j's mass that comes from child i. Columns add up to 1.
    pub shares: Array2<f64>,
    /// The parents after the M-step; their weights are pi_j on rung 1 and a_j on the others.
    pub parents: Parents,
    /// cost_j, one for each parent, in nats; `None` on rung 1.
    pub costs: Option<Array1<f64>>,
    /// lambda; `None` on rung 1.
    pub inverse_temperature: Option<f64>,
    /// The [`Parents::log_likelihood`] of the parents after the M-step. From rung 3 on, the children's activations weight it.
    pub log_likelihood: f64,
}

/// Returns the votes of children whose pose (children x elements) is the same for all parents: V_ij = P_i.
pub fn shared_votes(poses: &Array2<f64>, parents: usize) -> Array3<f64> {
    let (children, elements) = poses.dim();
    Array3::from_shape_fn((children, parents, elements), |(i, _, h)| poses[(i, h)])
}

/// Rung 1: a mixture of diagonal Gaussians, whose samples are the votes.
///
/// With [`shared_votes`], the results are those of [`Gmm`](crate::gmm::Gmm) with diagonal covariances.
///
/// # Errors
///
/// Returns an error if there is nothing to route or no iteration, if shapes do not fit, if a number is not finite or too large
/// (votes beyond 1e100, betas beyond 1e60, activations beyond 1e30), if an option is out of its range, or if the variance of a
/// parent falls to 0.
pub fn routing_1(votes: &Array3<f64>, start: &Parents, options: &LadderOptions) -> Result<Vec<LadderStep>> {
    let everyone = Array1::ones(votes.dim().0);
    check(votes, &everyone, Some(start), options)?;
    let mut trace = Vec::new();
    let mut parents = start.clone();
    for _ in 0..options.iterations {
        let log_p = log_densities(votes, &parents); // p_ij = N(V_ij; mu_j, sigma^2_j)
        let responsibilities = posterior(&log_p, &parents.weights); // R_ij = pi_j p_ij / sum_k pi_k p_ik
        let shares = per_parent(&responsibilities); // r_ij = R_ij / sum_i R_ij
        // M_j = sum_i r_ij V_ij, sigma^2_j = sum_i r_ij (V_ij - M_j)^2
        parents = gaussians(votes, &shares, &parents, options);
        parents.weights = responsibilities.sum_axis(Axis(0)) / votes.dim().0 as f64; // pi_j = 1/n sum_i R_ij
        trace.push(LadderStep {
            log_likelihood: log_likelihood(votes, &everyone, &parents),
            parents: parents.clone(),
            costs: None,
            inverse_temperature: None,
            responsibilities,
            shares,
        });
    }
    finite(trace)
}

/// Rung 2: an activation replaces the mixing weight.
///
/// pi_j cannot tell whether a whole is present: it is normalised over the parents, and it ignores whether their votes agree.
///
/// # Errors
///
/// Returns the errors of [`routing_1`].
pub fn routing_2(votes: &Array3<f64>, start: &Parents, options: &LadderOptions) -> Result<Vec<LadderStep>> {
    let everyone = Array1::ones(votes.dim().0);
    check(votes, &everyone, Some(start), options)?;
    let mut trace = Vec::new();
    let mut parents = start.clone();
    for iteration in 0..options.iterations {
        let log_p = log_densities(votes, &parents); // p_ij = N(V_ij; mu_j, sigma^2_j)
        let responsibilities = posterior(&log_p, &parents.weights); // R_ij = a_j p_ij / sum_k a_k p_ik
        let shares = per_parent(&responsibilities); // r_ij = R_ij / sum_i R_ij
        // M_j = sum_i r_ij V_ij, sigma^2_j = sum_i r_ij (V_ij - M_j)^2
        parents = gaussians(votes, &shares, &parents, options);
        // cost_j = (beta_v + sum_h ln sigma_jh) sum_i r_ij
        let costs = prices(&parents, options) * shares.sum_axis(Axis(0));
        let lambda = options.inverse_temperature.at(iteration, options.iterations);
        parents.weights = activations(&costs, lambda, options); // a_j = sigmoid(lambda (beta_a - cost_j))
        trace.push(LadderStep {
            log_likelihood: log_likelihood(votes, &everyone, &parents),
            parents: parents.clone(),
            costs: Some(costs),
            inverse_temperature: Some(lambda),
            responsibilities,
            shares,
        });
    }
    finite(trace)
}

/// Rung 3: the M-step weights each child by its activation.
///
/// # Errors
///
/// Returns the errors of [`routing_1`].
pub fn routing_3(
    votes: &Array3<f64>,
    child_activations: &Array1<f64>,
    start: &Parents,
    options: &LadderOptions,
) -> Result<Vec<LadderStep>> {
    check(votes, child_activations, Some(start), options)?;
    let mut trace = Vec::new();
    let mut parents = start.clone();
    for iteration in 0..options.iterations {
        let log_p = log_densities(votes, &parents); // p_ij = N(V_ij; mu_j, sigma^2_j)
        let responsibilities = posterior(&log_p, &parents.weights); // R_ij = a_j p_ij / sum_k a_k p_ik
        let received = weighted(&responsibilities, child_activations); // a_i R_ij
        let shares = per_parent(&received); // r_ij = a_i R_ij / sum_i a_i R_ij
        // M_j = sum_i r_ij V_ij, sigma^2_j = sum_i r_ij (V_ij - M_j)^2
        parents = gaussians(votes, &shares, &parents, options);
        // cost_j = (beta_v + sum_h ln sigma_jh) sum_i r_ij
        let costs = prices(&parents, options) * shares.sum_axis(Axis(0));
        let lambda = options.inverse_temperature.at(iteration, options.iterations);
        parents.weights = activations(&costs, lambda, options); // a_j = sigmoid(lambda (beta_a - cost_j))
        trace.push(LadderStep {
            log_likelihood: log_likelihood(votes, child_activations, &parents),
            parents: parents.clone(),
            costs: Some(costs),
            inverse_temperature: Some(lambda),
            responsibilities,
            shares,
        });
    }
    finite(trace)
}

/// Rung 4: the cost counts the mass that a parent receives.
///
/// The blog calls this a simplification, but it is a change: sum_i r_ij is always 1, whereas sum_i a_i R_ij is the mass of
/// parent j.
///
/// # Errors
///
/// Returns the errors of [`routing_1`].
pub fn routing_4(
    votes: &Array3<f64>,
    child_activations: &Array1<f64>,
    start: &Parents,
    options: &LadderOptions,
) -> Result<Vec<LadderStep>> {
    check(votes, child_activations, Some(start), options)?;
    let mut trace = Vec::new();
    let mut parents = start.clone();
    for iteration in 0..options.iterations {
        let log_p = log_densities(votes, &parents); // p_ij = N(V_ij; mu_j, sigma^2_j)
        let responsibilities = posterior(&log_p, &parents.weights); // R_ij = a_j p_ij / sum_k a_k p_ik
        let received = weighted(&responsibilities, child_activations); // a_i R_ij
        let shares = per_parent(&received); // r_ij = a_i R_ij / sum_i a_i R_ij
        // M_j = sum_i r_ij V_ij, sigma^2_j = sum_i r_ij (V_ij - M_j)^2
        parents = gaussians(votes, &shares, &parents, options);
        // cost_j = (beta_v + sum_h ln sigma_jh) sum_i a_i R_ij
        let costs = prices(&parents, options) * received.sum_axis(Axis(0));
        let lambda = options.inverse_temperature.at(iteration, options.iterations);
        parents.weights = activations(&costs, lambda, options); // a_j = sigmoid(lambda (beta_a - cost_j))
        trace.push(LadderStep {
            log_likelihood: log_likelihood(votes, child_activations, &parents),
            parents: parents.clone(),
            costs: Some(costs),
            inverse_temperature: Some(lambda),
            responsibilities,
            shares,
        });
    }
    finite(trace)
}

/// The final rung: rung 4 with separate votes for each parent. The M-step comes first, since nothing is known of the parents yet.
///
/// This is the paper's routing: [`RoutingInput::route`](super::RoutingInput::route) with costs that are not normalised. The
/// ladder adds `beta_v` once for each parent, `route` once for each element of a pose, so `route` takes the ladder's `beta_v` divided
/// by the number of elements.
///
/// # Errors
///
/// Returns the errors of [`routing_1`].
pub fn routing_final(
    votes: &Array3<f64>,
    child_activations: &Array1<f64>,
    options: &LadderOptions,
) -> Result<Vec<LadderStep>> {
    check(votes, child_activations, None, options)?;
    let (children, k, _) = votes.dim();
    let mut trace: Vec<LadderStep> = Vec::new();
    let mut parents = Parents::unknown(votes);
    for iteration in 0..options.iterations {
        let responsibilities = if iteration == 0 {
            Array2::from_elem((children, k), 1.0 / k as f64) // R_ij = 1/k
        } else {
            let log_p = log_densities(votes, &parents); // p_ij = N(V_ij; mu_j, sigma^2_j)
            posterior(&log_p, &parents.weights) // R_ij = a_j p_ij / sum_k a_k p_ik
        };
        let received = weighted(&responsibilities, child_activations); // a_i R_ij
        let shares = per_parent(&received); // r_ij = a_i R_ij / sum_i a_i R_ij
        // M_j = sum_i r_ij V_ij, sigma^2_j = sum_i r_ij (V_ij - M_j)^2
        parents = gaussians(votes, &shares, &parents, options);
        // cost_j = (beta_v + sum_h ln sigma_jh) sum_i a_i R_ij
        let costs = prices(&parents, options) * received.sum_axis(Axis(0));
        let lambda = options.inverse_temperature.at(iteration, options.iterations);
        parents.weights = activations(&costs, lambda, options); // a_j = sigmoid(lambda (beta_a - cost_j))
        trace.push(LadderStep {
            log_likelihood: log_likelihood(votes, child_activations, &parents),
            parents: parents.clone(),
            costs: Some(costs),
            inverse_temperature: Some(lambda),
            responsibilities,
            shares,
        });
    }
    finite(trace)
}

impl Parents {
    /// Computes a start for the ladder: the M-step of rung 1 for these responsibilities (children x parents).
    ///
    /// # Errors
    ///
    /// Returns an error if shapes do not fit, or if a number of the votes, the options or the responsibilities is not finite or out of
    /// its range. Without a variance floor a variance may be 0, which is an error of [`routing_1`].
    pub fn from_responsibilities(
        votes: &Array3<f64>,
        responsibilities: &Array2<f64>,
        options: &LadderOptions,
    ) -> Result<Parents> {
        let (children, k, _) = votes.dim();
        check(votes, &Array1::ones(children), None, options)?;
        check_shape("the responsibilities", &[children, k], responsibilities.shape())?;
        check_activations("responsibilities", responsibilities)?;
        let shares = per_parent(responsibilities);
        let mut parents = gaussians(votes, &shares, &Parents::unknown(votes), options);
        parents.weights = responsibilities.sum_axis(Axis(0)) / children as f64;
        Ok(parents)
    }

    /// Returns the log-likelihood of the votes, in nats, under the mixture of these parents. The weights are divided by their
    /// sum. Each child is weighted by its activation.
    ///
    /// ```text
    /// sum_i a_i log sum_j w_j N(V_ij; mu_j, sigma^2_j) / sum_j w_j
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if shapes do not fit, or if a number is not finite or out of its range.
    pub fn log_likelihood(&self, votes: &Array3<f64>, child_activations: &Array1<f64>) -> Result<f64> {
        check(votes, child_activations, Some(self), &LadderOptions::default())?;
        match log_likelihood(votes, child_activations, self) {
            value if value.is_finite() => Ok(value),
            value => Err(Error::Setting { name: "the log-likelihood", expected: FINITE, value }),
        }
    }

    /// Returns standard Gaussians, the initial parents. A parent that never receives any mass keeps its Gaussian.
    fn unknown(votes: &Array3<f64>) -> Parents {
        let (_, k, elements) = votes.dim();
        Parents {
            means: Array2::zeros((k, elements)),
            variances: Array2::ones((k, elements)),
            weights: Array1::from_elem(k, 1.0 / k as f64),
        }
    }
}

fn check(
    votes: &Array3<f64>,
    child_activations: &Array1<f64>,
    start: Option<&Parents>,
    options: &LadderOptions,
) -> Result<()> {
    let (children, parents, elements) = votes.dim();
    let sizes = [
        (children, "children"),
        (parents, "parents"),
        (elements, "elements of a pose"),
        (options.iterations, "iterations"),
    ];
    if let Some((_, what)) = sizes.into_iter().find(|(size, _)| *size == 0) {
        return Err(Error::Empty { what });
    }
    check_votes("votes", votes)?;
    check_shape("the activations", &[children], child_activations.shape())?;
    check_activations("activations", child_activations)?;
    if let Some(start) = start {
        start.check(parents, elements)?;
    }
    for (name, value) in [("beta_v", options.beta_v), ("beta_a", options.beta_a)] {
        if !value.is_finite() {
            return Err(Error::Setting { name, expected: "finite", value });
        }
        if value.abs() > 1e60 {
            return Err(Error::Setting { name, expected: "within 1e60 of 0", value });
        }
    }
    options.inverse_temperature.check()?;
    let value = options.variance_floor;
    if !(0.0..f64::INFINITY).contains(&value) {
        return Err(Error::Setting { name: "variance_floor", expected: "finite and not negative", value });
    }
    Ok(())
}

const FINITE: &str = "finite: use smaller votes or larger variances";

/// Returns the steps if all of their numbers are finite.
///
/// # Errors
///
/// Returns an error if a variance is 0, or if the votes are so large compared to the variances that a number overflows.
fn finite(trace: Vec<LadderStep>) -> Result<Vec<LadderStep>> {
    for step in &trace {
        let (name, expected) = ("the parents' variances", "positive: use a variance_floor above 0");
        check_each(name, &step.parents.variances, expected, |variance| variance > 0.0)?;
        check_each(name, &step.parents.variances, FINITE, f64::is_finite)?;
        check_each("the responsibilities", &step.responsibilities, FINITE, f64::is_finite)?;
        check_each("the shares", &step.shares, FINITE, f64::is_finite)?;
        check_each("the parents' means", &step.parents.means, FINITE, f64::is_finite)?;
        check_each("the parents' weights", &step.parents.weights, FINITE, f64::is_finite)?;
        if let Some(costs) = &step.costs {
            check_each("the costs", costs, FINITE, f64::is_finite)?;
        }
        let value = step.log_likelihood;
        if !value.is_finite() {
            return Err(Error::Setting { name: "the log-likelihood", expected: FINITE, value });
        }
    }
    Ok(trace)
}

/// Computes the log densities log p_ij, children x parents.
///
/// ```text
/// log p_ij = - sum_h (log sigma_jh + 1/2 log 2 pi + (V_ijh - mu_jh)^2 / (2 sigma^2_jh))
/// ```
fn log_densities(votes: &Array3<f64>, parents: &Parents) -> Array2<f64> {
    let (children, k, elements) = votes.dim();
    Array2::from_shape_fn((children, k), |(i, j)| {
        let log_density = |h: usize| {
            let variance = parents.variances[(j, h)];
            let square = (votes[(i, j, h)] - parents.means[(j, h)]).powi(2);
            -0.5 * ((2.0 * std::f64::consts::PI).ln() + variance.ln() + square / variance)
        };
        (0..elements).map(log_density).sum()
    })
}

/// Computes the responsibilities R_ij = w_j p_ij / sum_k w_k p_ik, children x parents.
fn posterior(log_p: &Array2<f64>, weights: &Array1<f64>) -> Array2<f64> {
    let mut joint = log_p + &weights.mapv(f64::ln);
    for mut row in joint.rows_mut() {
        let log_sum = log_sum_exp(row.iter().copied());
        row.mapv_inplace(|log_joint| (log_joint - log_sum).exp());
    }
    joint
}

fn log_likelihood(votes: &Array3<f64>, child_activations: &Array1<f64>, parents: &Parents) -> f64 {
    let log_weights = (&parents.weights / parents.weights.sum()).mapv(f64::ln);
    let joint = log_densities(votes, parents) + &log_weights;
    joint.rows().into_iter().zip(child_activations).map(|(row, a)| a * log_sum_exp(row.iter().copied())).sum()
}

/// Computes log sum_k exp(x_k). Subtracts the largest x first to avoid underflow.
fn log_sum_exp(x: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = x.clone().fold(f64::NEG_INFINITY, f64::max);
    largest + x.map(|x| (x - largest).exp()).sum::<f64>().ln()
}

/// Computes a_i R_ij, children x parents.
fn weighted(responsibilities: &Array2<f64>, child_activations: &Array1<f64>) -> Array2<f64> {
    responsibilities * &child_activations.view().insert_axis(Axis(1))
}

/// Computes x_ij / sum_i x_ij, children x parents. The result is 0 for a parent without mass.
fn per_parent(received: &Array2<f64>) -> Array2<f64> {
    let masses = received.sum_axis(Axis(0));
    Array2::from_shape_fn(received.dim(), |(i, j)| match masses[j] {
        0.0 => 0.0,
        mass => received[(i, j)] / mass,
    })
}

/// Computes M_j = sum_i r_ij V_ij and sigma^2_j = sum_i r_ij (V_ij - M_j)^2. A parent without shares keeps its Gaussian.
fn gaussians(
    votes: &Array3<f64>,
    shares: &Array2<f64>,
    before: &Parents,
    options: &LadderOptions,
) -> Parents {
    let (children, k, elements) = votes.dim();
    let mut parents = before.clone();
    for j in 0..k {
        if shares.column(j).sum() == 0.0 {
            continue;
        }
        for h in 0..elements {
            let mean: f64 = (0..children).map(|i| shares[(i, j)] * votes[(i, j, h)]).sum();
            let square = |i: usize| (votes[(i, j, h)] - mean).powi(2);
            let variance: f64 = (0..children).map(|i| shares[(i, j)] * square(i)).sum();
            parents.means[(j, h)] = mean;
            parents.variances[(j, h)] = variance + options.variance_floor;
        }
    }
    parents
}

/// Computes beta_v + sum_h log sigma_jh for each parent: the cost of a unit of mass.
fn prices(parents: &Parents, options: &LadderOptions) -> Array1<f64> {
    parents.variances.mapv(|variance| 0.5 * variance.ln()).sum_axis(Axis(1)) + options.beta_v
}

/// Computes a_j = sigmoid(lambda (beta_a - cost_j)) for each parent, clamped above 0 so that log a_j is finite.
fn activations(costs: &Array1<f64>, lambda: f64, options: &LadderOptions) -> Array1<f64> {
    costs.mapv(|cost| sigmoid(lambda * (options.beta_a - cost)).max(f64::MIN_POSITIVE))
}
