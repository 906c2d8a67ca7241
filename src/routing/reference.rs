//! EM routing in f64, written loop by loop, like its equations. Passes are numbered; `gradient.rs` differentiates them in reverse.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3};

use super::{Competition, Routing, RoutingInput, RoutingOptions, RoutingStart, RoutingStep};

pub(super) fn forward(input: &RoutingInput, options: &RoutingOptions) -> Routing {
    let mut responsibilities = first_responsibilities(input, options);
    let mut trace: Vec<RoutingStep> = Vec::new();
    for iteration in 0..options.iterations {
        let inverse_temperature = options.inverse_temperature.at(iteration, options.iterations);
        let step = maximisation(input, options, responsibilities, trace.last(), inverse_temperature);
        trace.push(step);
        if iteration + 1 == options.iterations {
            break;
        }
        let step = trace.last().expect("just pushed");
        let log_activations = step.logits.mapv(|logit| log_activation(logit, options.activation_epsilon));
        let parents = (step.means.view(), step.variances.view(), log_activations.view());
        responsibilities = expectation(input, options, parents);
    }
    Routing { trace }
}

fn first_responsibilities(input: &RoutingInput, options: &RoutingOptions) -> Array3<f64> {
    let (positions, children, parents, elements) = input.votes.dim();
    let shape = (positions, children, parents);
    match &options.start {
        RoutingStart::Uniform => softmax(Array3::zeros(shape), input, options),
        RoutingStart::One => Array3::ones(shape),
        RoutingStart::Parents(start) => {
            let everywhere = (positions, parents, elements);
            let means = start.means.broadcast(everywhere).expect("the start is checked");
            let variances = start.variances.broadcast(everywhere).expect("the start is checked");
            let log_weights = start.weights.mapv(|weight| (weight + options.activation_epsilon).ln());
            let log_weights = log_weights.broadcast((positions, parents)).expect("the start is checked");
            expectation(input, options, (means, variances, log_weights))
        }
    }
}

/// The M-step: masses, means, variances, costs and activations, from the responsibilities.
pub(super) fn maximisation(
    input: &RoutingInput,
    options: &RoutingOptions,
    responsibilities: Array3<f64>,
    before: Option<&RoutingStep>,
    inverse_temperature: f64,
) -> RoutingStep {
    let RoutingInput { votes, activations, beta_v, beta_a, .. } = input;
    let (positions, children, parents, elements) = votes.dim();
    let mut masses = Array2::zeros((positions, parents));
    let mut means = Array3::zeros((positions, parents, elements));
    let mut variances = Array3::zeros((positions, parents, elements));
    let mut costs = Array2::zeros((positions, parents));
    let mut logits = Array2::zeros((positions, parents));
    let cost_scale = options.cost_scale.factor(children, parents);

    for p in 0..positions {
        for j in 0..parents {
            // pass M1: S_j = sum_i R_ij a_i
            let weight = |i: usize| responsibilities[(p, i, j)] * activations[(p, i)];
            masses[(p, j)] = (0..children).map(weight).sum();
            let divisor = masses[(p, j)] + options.mass_epsilon;
            let mut log_deviations = 0.0;
            for h in 0..elements {
                // pass M2: mu_jh = (1 - damping) sum_i R_ij a_i V_ijh / S_j + damping mu_jh(before)
                let mean = undamped_mean(input, &responsibilities, divisor, [p, j, h]);
                let mean_before = before.map_or(0.0, |step| step.means[(p, j, h)]);
                let mean = (1.0 - options.mean_damping) * mean + options.mean_damping * mean_before;
                means[(p, j, h)] = mean;

                // pass M3: sigma^2_jh = sum_i R_ij a_i (V_ijh - mu_jh)^2 / S_j + floor
                let squares =
                    (0..children).map(|i| weight(i) * (votes[(p, i, j, h)] - mean).powi(2)).sum::<f64>();
                variances[(p, j, h)] = squares / divisor + options.variance_floor;

                log_deviations += log_deviation(variances[(p, j, h)], options);
            }
            // pass M4: cost_j = scale sum_h (beta_v,j + log(sigma_jh + epsilon)) S_j
            let price = elements as f64 * beta_v[j] + log_deviations;
            costs[(p, j)] = cost_scale * price * masses[(p, j)];
        }
        // pass M5: a_j = sigmoid(lambda (beta_a,j - cost_j)), with normalised costs if the options say so
        let spread = CostSpread::over_parents(&costs, p, options);
        for j in 0..parents {
            let gain = match &spread {
                Some(spread) => (spread.mean - costs[(p, j)]) / spread.divisor,
                None => -costs[(p, j)],
            };
            logits[(p, j)] = inverse_temperature * (beta_a[j] + gain);
        }
    }
    let activations = logits.mapv(sigmoid);
    RoutingStep {
        responsibilities,
        masses,
        means,
        variances,
        costs,
        logits,
        activations,
        inverse_temperature,
    }
}

/// Computes the mean before damping, sum_i R_ij a_i V_ijh / divisor.
pub(super) fn undamped_mean(
    input: &RoutingInput,
    responsibilities: &Array3<f64>,
    divisor: f64,
    [p, j, h]: [usize; 3],
) -> f64 {
    let sum: f64 = (0..input.votes.dim().1)
        .map(|i| responsibilities[(p, i, j)] * input.activations[(p, i)] * input.votes[(p, i, j, h)])
        .sum();
    sum / divisor
}

/// The mean and standard deviation of the costs over the parents of a position.
pub(super) struct CostSpread {
    pub mean: f64,
    pub deviation: f64,
    /// The standard deviation plus the cost epsilon.
    pub divisor: f64,
}

impl CostSpread {
    /// Computes the spread of the costs at position p. Returns `None` if the options do not normalise the costs.
    pub(super) fn over_parents(
        costs: &Array2<f64>,
        p: usize,
        options: &RoutingOptions,
    ) -> Option<CostSpread> {
        if !options.normalise_costs {
            return None;
        }
        let costs = costs.row(p);
        let parents = costs.len() as f64;
        let mean = costs.sum() / parents;
        let deviation = (costs.iter().map(|cost| (cost - mean).powi(2)).sum::<f64>() / parents).sqrt();
        Some(CostSpread { mean, deviation, divisor: deviation + options.cost_epsilon })
    }
}

/// The E-step: computes R, positions x children x parents, from means, variances and log a_j.
///
/// log p_ij omits the term with log 2 pi, which is the same for all parents.
fn expectation(
    input: &RoutingInput,
    options: &RoutingOptions,
    (means, variances, log_activations): (ArrayView3<f64>, ArrayView3<f64>, ArrayView2<f64>),
) -> Array3<f64> {
    let (positions, children, parents, elements) = input.votes.dim();
    let mut log_joint = Array3::zeros((positions, children, parents));
    for p in 0..positions {
        for j in 0..parents {
            let log_deviations: f64 =
                (0..elements).map(|h| log_deviation(variances[(p, j, h)], options)).sum();
            for i in 0..children {
                // pass E1: log a_j p_ij = log a_j - sum_h log(sigma_jh + epsilon) - sum_h (V_ijh - mu_jh)^2 / (2 sigma^2_jh)
                let square = |h: usize| (input.votes[(p, i, j, h)] - means[(p, j, h)]).powi(2);
                let distance: f64 = (0..elements).map(|h| square(h) / (2.0 * variances[(p, j, h)])).sum();
                log_joint[(p, i, j)] = log_activations[(p, j)] - log_deviations - distance;
            }
        }
    }
    // pass E2: R_ij = a_j p_ij / sum_k a_k p_ik
    softmax(log_joint, input, options)
}

/// Computes exp(x_ij) / sum_k exp(x_ik) over the parents k that compete for the child. Subtracts the largest x first to avoid
/// overflow.
fn softmax(mut x: Array3<f64>, input: &RoutingInput, options: &RoutingOptions) -> Array3<f64> {
    let contests = Contests::of(input, options);
    let mut largest = vec![f64::NEG_INFINITY; contests.count];
    for ((p, i, _), &x) in x.indexed_iter() {
        let contest = contests.index(p, i);
        largest[contest] = largest[contest].max(x);
    }
    let mut sums = vec![0.0; contests.count];
    for ((p, i, _), x) in x.indexed_iter_mut() {
        let contest = contests.index(p, i);
        *x = (*x - largest[contest]).exp();
        sums[contest] += *x;
    }
    for ((p, i, _), x) in x.indexed_iter_mut() {
        *x /= sums[contests.index(p, i)];
    }
    x
}

/// The groups within which responsibilities add up to 1: each child at each position, or all children that are the same capsule.
pub(super) struct Contests {
    pub count: usize,
    children: usize,
    /// The rank of each child's capsule among the distinct capsules, positions x children.
    capsules: Option<Array2<usize>>,
}

impl Contests {
    pub(super) fn of(input: &RoutingInput, options: &RoutingOptions) -> Contests {
        let (positions, children, ..) = input.votes.dim();
        let capsules = match options.competition {
            Competition::Position => None,
            Competition::AllPositions => input.capsules.as_ref(),
        };
        let Some(capsules) = capsules else {
            return Contests { count: positions * children, children, capsules: None };
        };
        let mut names: Vec<usize> = capsules.iter().copied().collect();
        names.sort_unstable();
        names.dedup();
        let ranks = capsules.mapv(|name| names.binary_search(&name).expect("each is among them"));
        Contests { count: names.len(), children, capsules: Some(ranks) }
    }

    pub(super) fn index(&self, p: usize, i: usize) -> usize {
        self.capsules.as_ref().map_or(p * self.children + i, |capsules| capsules[(p, i)])
    }
}

/// Computes log(sigma + epsilon) from the variance.
pub(super) fn log_deviation(variance: f64, options: &RoutingOptions) -> f64 {
    (variance.sqrt() + options.deviation_epsilon).ln()
}

/// Computes 1 / (1 + e^-x).
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Computes log(a + epsilon), a = sigmoid(logit). If epsilon is 0, computes log a from the logit, since a may round to 0.
pub(super) fn log_activation(logit: f64, epsilon: f64) -> f64 {
    if epsilon > 0.0 {
        return (sigmoid(logit) + epsilon).ln();
    }
    // log sigmoid(x) = min(x, 0) - log(1 + e^-|x|)
    logit.min(0.0) - (-logit.abs()).exp().ln_1p()
}
