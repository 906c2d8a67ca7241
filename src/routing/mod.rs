//! EM routing between two layers of capsules: the hidden label of a part is the whole it belongs to.
//!
//! | letter | meaning | here |
//! |---|---|---|
//! | p | positions: each is routed on its own, unless [`Competition::AllPositions`] | first axis |
//! | i | children: the capsules below that vote at a position | |
//! | j | parents: the capsules above | |
//! | h | elements of a pose, 16 for a 4 x 4 matrix | last axis |
//! | V_ijh | vote of child i for the pose of parent j | [`RoutingInput::votes`] |
//! | a_i | activation of child i | [`RoutingInput::activations`] |
//! | R_ij | responsibility of parent j for child i; the capsule papers call it the assignment | [`RoutingStep::responsibilities`] |
//! | S_j | mass: the total weight that parent j receives | [`RoutingStep::masses`] |
//! | mu_jh, sigma^2_jh | mean and variance of the parent's Gaussian | [`RoutingStep::means`], [`RoutingStep::variances`] |
//! | cost_j | cost of describing the parent's votes, in nats | [`RoutingStep::costs`] |
//! | a_j | activation of parent j | [`RoutingStep::activations`] |
//! | lambda | inverse temperature | [`RoutingStep::inverse_temperature`] |
//!
//! # Formula
//!
//! A Gaussian mixture (chapter 4) with two changes: each component sees its own copy of the samples (its votes), and the mixing
//! weights are replaced by activations, which measure how well the votes agree:
//!
//! ```text
//! S_j        = sum_i R_ij a_i                                                              (M-step)
//! mu_jh      = sum_i R_ij a_i V_ijh / S_j
//! sigma^2_jh = sum_i R_ij a_i (V_ijh - mu_jh)^2 / S_j
//! cost_j     = sum_h (beta_v,j + log sigma_jh) S_j
//! a_j        = sigmoid(lambda (beta_a,j - cost_j))
//!
//! p_ij       = prod_h N(V_ijh; mu_jh, sigma^2_jh)                                          (E-step)
//! R_ij       = a_j p_ij / sum_k a_k p_ik
//! ```
//!
//! [`ladder`] derives these equations from the mixture, one change at a time.
//!
//! # Use
//!
//! Put votes, activations and betas into a [`RoutingInput`] and call [`RoutingInput::route`] with [`RoutingOptions`]. It
//! returns a [`Routing`]: one [`RoutingStep`] for each iteration, the last with the parents' poses and activations. This is the
//! reference: it computes in f64 and has an option for each difference between the published programs.
//! [`RoutingInput::gradient`] computes the exact gradient. [`CapsuleLayer`] also computes the votes of a layer from poses and
//! transforms, and takes the gradient back to them. [`fused`] does the same in f32, many times faster.

pub mod fused;
mod gradient;
pub mod ladder;
mod layer;
pub(crate) mod reference;
mod shares;

use ndarray::{Array1, Array2, Array3, Array4};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::words::words;
pub use ladder::{LadderOptions, LadderStep};
pub use layer::{CapsuleLayer, CapsuleLayerGradient, CapsuleLayerRun, Capsules, Patches, Reach};
pub use layer::{ELEMENTS, SIDE, add_coordinates, votes, votes_gradient};

/// The input of the routing: votes, activations and betas.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutingInput {
    /// The votes V, positions x children x parents x elements.
    pub votes: Array4<f64>,
    /// The children's activations a_i, positions x children. None is negative.
    pub activations: Array2<f64>,
    /// beta_v, one number for each parent: a cost for each unit of mass and each element.
    pub beta_v: Array1<f64>,
    /// beta_a, one number for each parent: the cost below which the parent's activation exceeds 1/2 (unless costs are
    /// normalised).
    pub beta_a: Array1<f64>,
    /// The index of each child's capsule in the layer below, positions x children. A capsule in several patches is a child at
    /// several positions. Only [`Competition::AllPositions`] needs these indices; [`Patches::capsules`] holds them.
    pub capsules: Option<Array2<usize>>,
}

/// Options of [`RoutingInput::route`]. Each field is a point on which the published programs differ.
///
/// | program | where |
/// |---|---|
/// | the blog | `matrix_capsules_em_routing` of the blog post that this crate follows |
/// | the paper | Hinton, Sabour and Frosst, Matrix capsules with EM routing, ICLR 2018, procedure 1 |
/// | Google's | google-research/google-research, `capsule_em/em_layers.py` |
/// | IBM's | IBM/matrix-capsules-with-em-routing, `em_routing.py` (Gritzman 2019) |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RoutingOptions {
    /// The number of M-steps, with an E-step between each two. All programs use 3; 2 often train better.
    pub iterations: usize,
    /// The schedule of lambda.
    pub inverse_temperature: InverseTemperature,
    /// The responsibilities of the first M-step. They also decide whether the M-step or the E-step comes first.
    #[serde(rename = "routing-start")]
    pub start: RoutingStart,
    /// Which parents compete for a child.
    pub competition: Competition,
    /// Whether the costs are normalised to mean 0 and standard deviation 1 over the parents of a position: yes in the blog, no in
    /// the paper and in the programs of Google and IBM.
    ///
    /// ```text
    /// a_j = sigmoid(lambda (beta_a,j + (mean_k cost_k - cost_j) / (sd_k cost_k + cost_epsilon)))
    /// ```
    pub normalise_costs: bool,
    /// The factor on the costs.
    pub cost_scale: CostScale,
    /// An epsilon added to sigma inside each logarithm: 1e-9 in the blog, 0 elsewhere.
    pub deviation_epsilon: f64,
    /// An epsilon added to the standard deviation of normalised costs: 1e-9 in the blog.
    pub cost_epsilon: f64,
    /// An epsilon added to a_j inside its logarithm in the E-step: 1e-9 in the blog. With 0, log a_j is computed from the logit
    /// and stays finite even where a_j rounds to 0 (Google).
    pub activation_epsilon: f64,
    /// An epsilon added to the mass S_j when it divides means and variances: 1e-7 in Google's convolutional layer, 1e-5 in its
    /// class layer, a small number in IBM's code. It is 0 in the blog and the paper, where a parent without mass leads to 0 /
    /// 0.
    pub mass_epsilon: f64,
    /// A floor added to each variance: 5e-4 in Google's code, 1e-9 in IBM's. It is 0 in the blog and the paper, where a parent
    /// whose votes are all equal leads to 0 / 0.
    pub variance_floor: f64,
    /// The share of the previous mean in each new mean: 0.1 in Google's code, 0 elsewhere. Before the first iteration, the mean
    /// is 0.
    ///
    /// ```text
    /// mu_j = (1 - damping) sum_i R_ij a_i V_ij / S_j + damping mu_j(before)
    /// ```
    pub mean_damping: f64,
    /// Whether the gradient treats R as a constant, so that only the M-steps are differentiated. All programs differentiate
    /// through every iteration.
    #[serde(rename = "stop-gradient")]
    pub stop_gradient_at_responsibilities: bool,
    /// Whether a layer that routes from everywhere ([`Reach::Everywhere`]: the class layer) adds the position of each child to its
    /// votes ([`add_coordinates`]), as all programs do. If not, its result does not depend on where its children are.
    /// [`RoutingInput::route`], which is given the votes, ignores this option.
    pub coordinate_addition: bool,
}

/// The schedule of lambda, the inverse temperature of the activations, over the iterations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum InverseTemperature {
    /// From 1 to min(T, 3) in equal steps over the T iterations, as in the blog.
    Linear,
    /// limit (1 - 0.95^(t+1)) in iteration t, counted from 0. The limit is 0.01 for the paper's authors and IBM, 1 for Google.
    Saturating {
        /// The limit of lambda after many iterations.
        limit: f64,
    },
    /// The same lambda in each iteration.
    Constant(f64),
}

/// The responsibilities of the first M-step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RoutingStart {
    /// One over the number of parents that compete for the child, as in the paper and all programs. The M-step comes first.
    Uniform,
    /// 1, as in the blog's text. Means and variances are those of `Uniform`; masses and costs are multiplied by the number of
    /// parents.
    One,
    /// The result of an E-step with these parents. They are the same at each position and constant for the gradient. The
    /// mixture and the blog's equations have this order of steps.
    Parents(Box<Parents>),
}

/// Which parents compete for a child. Over these parents, the child's responsibilities add up to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Competition {
    /// The parents of one position, as in the blog. A capsule below that is in several patches counts once in each.
    Position,
    /// The parents of all positions whose patches contain the capsule, as in the paper and in the programs of Google and IBM.
    AllPositions,
}

/// The factor on the costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CostScale {
    /// 1, as in the blog, the paper and Google's code.
    One,
    /// 1 / children, so that lambda and the betas mean the same in layers of all sizes (Gritzman's second pitfall).
    PerChild,
    /// factor * parents / children, as in IBM's code, for the same purpose as `PerChild`.
    PerChildOfParent {
        /// The factor: 100 in IBM's code.
        factor: f64,
    },
}

/// The Gaussians of the parents of one position.
#[derive(Debug, Clone, PartialEq)]
pub struct Parents {
    /// The means mu, parents x elements.
    pub means: Array2<f64>,
    /// The variances sigma^2, parents x elements.
    pub variances: Array2<f64>,
    /// The weight of each parent's density: pi_j in a mixture, the activation a_j in routing.
    pub weights: Array1<f64>,
}

/// The result of the routing: a step for each iteration.
#[derive(Debug, Clone, PartialEq)]
pub struct Routing {
    /// The steps in order, one for each iteration; never empty.
    pub trace: Vec<RoutingStep>,
}

/// One iteration: the responsibilities at its beginning and the results of its M-step.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutingStep {
    /// The responsibilities R, positions x children x parents.
    pub responsibilities: Array3<f64>,
    /// The masses S_j, positions x parents.
    pub masses: Array2<f64>,
    /// The means mu, positions x parents x elements.
    pub means: Array3<f64>,
    /// The variances sigma^2 including the floor, positions x parents x elements.
    pub variances: Array3<f64>,
    /// The costs cost_j before normalisation, positions x parents, in nats.
    pub costs: Array2<f64>,
    /// The arguments of the sigmoid, including lambda, positions x parents.
    pub logits: Array2<f64>,
    /// The parents' activations a_j, positions x parents.
    pub activations: Array2<f64>,
    /// The inverse temperature lambda.
    pub inverse_temperature: f64,
}

/// Gradients with respect to the parts of a [`RoutingInput`], with the same shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutingGradient {
    /// The gradient of the votes.
    pub d_votes: Array4<f64>,
    /// The gradient of the children's activations.
    pub d_activations: Array2<f64>,
    /// The gradient of beta_v.
    pub d_beta_v: Array1<f64>,
    /// The gradient of beta_a.
    pub d_beta_a: Array1<f64>,
}

words!(InverseTemperature, "linear, saturating:LIMIT or constant:LAMBDA":
    "linear" => Linear; "saturating" => Saturating { limit }, "constant" => Constant);
words!(RoutingStart, "uniform or one": "uniform" => Uniform, "one" => One; ; else "parents");
words!(Competition, "position or all-positions": "position" => Position, "all-positions" => AllPositions;);
words!(CostScale, "one, per-child or per-child-of-parent:FACTOR":
    "one" => One, "per-child" => PerChild; "per-child-of-parent" => PerChildOfParent { factor });

impl RoutingOptions {
    /// Returns the options of the blog's program, as printed.
    ///
    /// As in the blog's formula, 0 / 0 makes the result NaN at a position in three cases: if all children are inactive; if an
    /// E-step evaluates a parent whose votes are all equal (or that has only one child); or if all responsibilities of a parent
    /// underflow to 0, which in f32 takes a lead of another parent of about 60 nats. The blog's gradient is also NaN where
    /// it differentiates the square root of 0; this crate takes d sqrt(x)/dx as 0 there.
    pub fn blog() -> RoutingOptions {
        RoutingOptions {
            iterations: 3,
            inverse_temperature: InverseTemperature::Linear,
            start: RoutingStart::Uniform,
            competition: Competition::Position,
            normalise_costs: true,
            cost_scale: CostScale::One,
            deviation_epsilon: 1e-9,
            cost_epsilon: 1e-9,
            activation_epsilon: 1e-9,
            mass_epsilon: 0.0,
            variance_floor: 0.0,
            mean_damping: 0.0,
            stop_gradient_at_responsibilities: false,
            coordinate_addition: true,
        }
    }

    /// Returns the options of the paper's equations, except that parents compete only within a position; set
    /// [`Competition::AllPositions`] for competition across positions.
    ///
    /// 0 / 0 occurs in the same cases as with [`RoutingOptions::blog`]. The cost of a parent whose votes are all equal is minus
    /// infinity.
    pub fn paper() -> RoutingOptions {
        RoutingOptions {
            inverse_temperature: InverseTemperature::Saturating { limit: 0.01 },
            normalise_costs: false,
            deviation_epsilon: 0.0,
            cost_epsilon: 0.0,
            activation_epsilon: 0.0,
            ..RoutingOptions::blog()
        }
    }
}

impl Default for RoutingOptions {
    /// Returns the options of the paper's equations with Google's variance floor and mass epsilon. Outputs and gradients are
    /// finite for activations up to 1e8 and for votes and betas up to 1e8 in size.
    fn default() -> Self {
        RoutingOptions { mass_epsilon: 1e-7, variance_floor: 5e-4, ..RoutingOptions::paper() }
    }
}

impl InverseTemperature {
    /// Returns lambda in one iteration (counted from 0) of `iterations`.
    pub fn at(self, iteration: usize, iterations: usize) -> f64 {
        match self {
            InverseTemperature::Linear => {
                let last = (iterations as f64).min(3.0);
                1.0 + (last - 1.0) * iteration as f64 / (iterations as f64 - 1.0).max(1.0)
            }
            InverseTemperature::Saturating { limit } => limit * (1.0 - 0.95f64.powf(iteration as f64 + 1.0)),
            InverseTemperature::Constant(lambda) => lambda,
        }
    }
}

impl InverseTemperature {
    /// Checks that lambda is not negative: a negative lambda would activate parents whose votes disagree.
    fn check(self) -> Result<()> {
        match self {
            InverseTemperature::Linear => Ok(()),
            InverseTemperature::Saturating { limit: lambda } | InverseTemperature::Constant(lambda) => {
                check_factor("inverse_temperature", lambda)
            }
        }
    }
}

impl CostScale {
    fn factor(self, children: usize, parents: usize) -> f64 {
        match self {
            CostScale::One => 1.0,
            CostScale::PerChild => 1.0 / children as f64,
            CostScale::PerChildOfParent { factor } => factor * parents as f64 / children as f64,
        }
    }
}

impl Routing {
    /// Returns the last step of the trace.
    pub fn last(&self) -> &RoutingStep {
        self.trace.last().expect("at least one iteration is made")
    }

    /// Checks that all numbers are finite, unless the options lead to 0 / 0 as described in [`RoutingOptions::blog`].
    fn check(&self, options: &RoutingOptions) -> Result<()> {
        let divides_0_by_0 = |step: &RoutingStep| {
            options.mass_epsilon == 0.0 && step.masses.iter().any(|&mass| mass == 0.0)
                || options.variance_floor == 0.0 && step.variances.iter().any(|&variance| variance == 0.0)
        };
        match self.check_finite() {
            Err(_) if self.trace.iter().any(divides_0_by_0) => Ok(()),
            outcome => outcome,
        }
    }

    fn check_finite(&self) -> Result<()> {
        const FINITE: &str = "finite: use smaller votes, a larger variance_floor or, with normalised costs, a larger cost_epsilon";
        for step in &self.trace {
            check_each("the routing's responsibilities", &step.responsibilities, FINITE, f64::is_finite)?;
            check_each("the routing's masses", &step.masses, FINITE, f64::is_finite)?;
            check_each("the routing's means", &step.means, FINITE, f64::is_finite)?;
            check_each("the routing's variances", &step.variances, FINITE, f64::is_finite)?;
            check_each("the routing's costs", &step.costs, FINITE, f64::is_finite)?;
            check_each("the routing's logits", &step.logits, FINITE, f64::is_finite)?;
            check_each("the routing's activations", &step.activations, FINITE, f64::is_finite)?;
        }
        Ok(())
    }

    /// Returns the parents' poses: the means of the last iteration, positions x parents x elements.
    pub fn poses(&self) -> &Array3<f64> {
        &self.last().means
    }

    /// Returns the parents' activations, positions x parents.
    pub fn activations(&self) -> &Array2<f64> {
        &self.last().activations
    }
}

impl RoutingInput {
    /// Creates an input from votes (positions x children x parents x elements), activations and betas, without `capsules`.
    pub fn new(
        votes: Array4<f64>,
        activations: Array2<f64>,
        beta_v: Array1<f64>,
        beta_a: Array1<f64>,
    ) -> RoutingInput {
        RoutingInput { votes, activations, beta_v, beta_a, capsules: None }
    }

    /// Routes the votes and returns the results of every iteration.
    ///
    /// ```
    /// use em_routing::prelude::*;
    /// use ndarray::Array4;
    /// // Three children, two parents, one element: the children agree on parent 0 and not on parent 1.
    /// let votes = Array4::from_shape_vec((1, 3, 2, 1), vec![1.0, -5.0, 1.1, 0.0, 0.9, 6.0]).unwrap();
    /// let input = RoutingInput::new(votes, array![[1.0, 1.0, 1.0]], array![0.0, 0.0], array![0.0, 0.0]);
    /// let routing = input.route(&RoutingOptions::blog())?;
    /// assert!((routing.poses()[(0, 0, 0)] - 1.0).abs() < 0.1);
    /// assert!(routing.activations()[(0, 0)] > routing.activations()[(0, 1)]);
    /// # Ok::<(), em_routing::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if there is nothing to route or no iteration, if shapes do not fit, if a number is not finite or too
    /// large (votes beyond 1e100, betas beyond 1e60, activations beyond 1e30), if an activation is negative, or if an option is
    /// out of its range. Also returns an error if a result is not finite, unless the options lead to 0 / 0 as described in
    /// [`RoutingOptions::blog`].
    pub fn route(&self, options: &RoutingOptions) -> Result<Routing> {
        self.check(options)?;
        let routing = reference::forward(self, options);
        routing.check(options)?;
        Ok(routing)
    }

    /// Computes the gradient of a loss with respect to the votes, activations and betas, through every iteration.
    ///
    /// `routing` is the result of [`RoutingInput::route`] with the same options; `d_poses` (positions x parents x elements) and
    /// `d_activations` (positions x parents) are the gradients of the loss with respect to the poses and activations in
    /// `routing`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`RoutingInput::route`], and an error if `routing` or a gradient has another shape, or if the result
    /// overflows. Numbers in `routing`, `d_poses` or `d_activations` that are not finite are passed on without an error.
    pub fn gradient(
        &self,
        options: &RoutingOptions,
        routing: &Routing,
        d_poses: &Array3<f64>,
        d_activations: &Array2<f64>,
    ) -> Result<RoutingGradient> {
        self.check(options)?;
        let (positions, children, parents, elements) = self.votes.dim();
        if routing.trace.len() != options.iterations {
            let (expected, found) = (options.iterations, routing.trace.len());
            return Err(Error::Length { name: "the routing's trace", expected, found });
        }
        for step in &routing.trace {
            let found = step.responsibilities.shape();
            check_shape("the routing's responsibilities", &[positions, children, parents], found)?;
            for found in [step.means.shape(), step.variances.shape()] {
                check_shape("the routing's Gaussians", &[positions, parents, elements], found)?;
            }
            for table in [&step.masses, &step.costs, &step.logits, &step.activations] {
                check_shape("the routing's activations", &[positions, parents], table.shape())?;
            }
        }
        check_shape("d_poses", &[positions, parents, elements], d_poses.shape())?;
        check_shape("d_activations", &[positions, parents], d_activations.shape())?;
        let gradient = gradient::backward(self, options, routing, d_poses, d_activations);
        let given = d_poses.iter().chain(d_activations).all(|d| d.is_finite());
        if given && routing.check_finite().is_ok() {
            check_finite("the gradient of the votes", &gradient.d_votes)?;
            check_finite("the gradient of the activations", &gradient.d_activations)?;
            check_finite("the gradient of beta_v", &gradient.d_beta_v)?;
            check_finite("the gradient of beta_a", &gradient.d_beta_a)?;
        }
        Ok(gradient)
    }

    fn check(&self, options: &RoutingOptions) -> Result<()> {
        let (positions, children, parents, elements) = self.votes.dim();
        for (size, what) in [
            (positions, "positions"),
            (children, "children"),
            (parents, "parents"),
            (elements, "elements of a pose"),
            (options.iterations, "iterations"),
        ] {
            if size == 0 {
                return Err(Error::Empty { what });
            }
        }
        check_shape("the activations", &[positions, children], self.activations.shape())?;
        check_shape("beta_v", &[parents], self.beta_v.shape())?;
        check_shape("beta_a", &[parents], self.beta_a.shape())?;
        check_votes("votes", &self.votes)?;
        check_beta("beta_v", &self.beta_v)?;
        check_beta("beta_a", &self.beta_a)?;
        check_activations("activations", &self.activations)?;
        match (&self.capsules, options.competition) {
            (Some(capsules), _) => check_shape("the capsules", &[positions, children], capsules.shape())?,
            (None, Competition::AllPositions) => {
                return Err(Error::Empty { what: "capsule indices for Competition::AllPositions" });
            }
            (None, Competition::Position) => {}
        }
        if let RoutingStart::Parents(start) = &options.start {
            start.check(parents, elements)?;
        }
        options.check()
    }
}

impl RoutingOptions {
    pub(crate) fn check(&self) -> Result<()> {
        let not_negative = [
            ("deviation_epsilon", self.deviation_epsilon),
            ("cost_epsilon", self.cost_epsilon),
            ("activation_epsilon", self.activation_epsilon),
            ("mass_epsilon", self.mass_epsilon),
            ("variance_floor", self.variance_floor),
        ];
        for (name, value) in not_negative {
            if !(0.0..f64::INFINITY).contains(&value) {
                return Err(Error::Setting { name, expected: "finite and not negative", value });
            }
        }
        let value = self.mean_damping;
        if !(0.0..1.0).contains(&value) {
            return Err(Error::Setting { name: "mean_damping", expected: "at least 0 and below 1", value });
        }
        self.inverse_temperature.check()?;
        if let CostScale::PerChildOfParent { factor: value } = self.cost_scale {
            check_factor("cost_scale", value)?;
        }
        Ok(())
    }
}

/// Checks a factor. A negative factor would make agreement a cost; a very large factor would overflow.
fn check_factor(name: &'static str, value: f64) -> Result<()> {
    match value {
        value if !(0.0..f64::INFINITY).contains(&value) => {
            Err(Error::Setting { name, expected: "finite and not negative", value })
        }
        value if value > 1e30 => Err(Error::Setting { name, expected: "at most 1e30", value }),
        _ => Ok(()),
    }
}

impl Parents {
    /// Checks the numbers of parents and elements, and that all variances and weights are positive.
    fn check(&self, parents: usize, elements: usize) -> Result<()> {
        check_shape("the start's means", &[parents, elements], self.means.shape())?;
        check_shape("the start's variances", &[parents, elements], self.variances.shape())?;
        check_shape("the start's weights", &[parents], self.weights.shape())?;
        check_votes("the start's means", &self.means)?;
        check_each("the start's variances", &self.variances, "positive", |v| v > 0.0 && v.is_finite())?;
        check_each("the start's weights", &self.weights, "positive", |w| w > 0.0 && w.is_finite())
    }
}

fn check_shape(name: &'static str, expected: &[usize], found: &[usize]) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Shape { name, expected: expected.to_vec(), found: found.to_vec() })
}

fn check_finite<D: ndarray::Dimension>(name: &'static str, array: &ndarray::Array<f64, D>) -> Result<()> {
    check_each(name, array, "finite", f64::is_finite)
}

/// Checks votes or means: they must be finite and small enough that their squares do not overflow.
fn check_votes<D: ndarray::Dimension>(name: &'static str, array: &ndarray::Array<f64, D>) -> Result<()> {
    check_finite(name, array)?;
    check_each(name, array, "within 1e100 of 0", |vote| vote.abs() <= 1e100)
}

fn check_beta(name: &'static str, array: &Array1<f64>) -> Result<()> {
    check_finite(name, array)?;
    check_each(name, array, "within 1e60 of 0", |beta| beta.abs() <= 1e60)
}

fn check_activations<D: ndarray::Dimension>(
    name: &'static str,
    array: &ndarray::Array<f64, D>,
) -> Result<()> {
    check_each(name, array, "finite and not negative", |a| (0.0..f64::INFINITY).contains(&a))?;
    check_each(name, array, "at most 1e30", |a| a <= 1e30)
}

fn check_each<D: ndarray::Dimension>(
    name: &'static str,
    array: &ndarray::Array<f64, D>,
    expected: &'static str,
    is_good: impl Fn(f64) -> bool,
) -> Result<()> {
    let bad = array.view().into_dyn().indexed_iter().find_map(|(place, &value)| {
        (!is_good(value)).then(|| (ndarray::Dimension::slice(&place).to_vec(), value))
    });
    match bad {
        Some((place, value)) => Err(Error::EntryOutOfRange { name, place, expected, value }),
        None => Ok(()),
    }
}
