//! The exact gradient of the routing: backpropagation through the passes of `reference.rs` in reverse order. Comments quote each
//! pass.

use ndarray::{Array1, Array2, Array3, Array4, ArrayView3, Axis};

use super::reference::{Contests, CostSpread, log_deviation, sigmoid, undamped_mean};
use super::{Routing, RoutingGradient, RoutingInput, RoutingOptions, RoutingStart, RoutingStep};

/// The gradient of the loss with respect to the results of one M-step.
struct StepGradient {
    /// The gradient of the means, positions x parents x elements.
    d_means: Array3<f64>,
    /// The gradient of the variances, positions x parents x elements.
    d_variances: Array3<f64>,
    /// The gradient of sum_h log(sigma_jh + epsilon), positions x parents.
    d_log_deviations: Array2<f64>,
    /// The gradient of log(a_j + epsilon), positions x parents.
    d_log_activations: Array2<f64>,
}

impl StepGradient {
    fn zeros(input: &RoutingInput) -> StepGradient {
        let (positions, _, parents, elements) = input.votes.dim();
        StepGradient {
            d_means: Array3::zeros((positions, parents, elements)),
            d_variances: Array3::zeros((positions, parents, elements)),
            d_log_deviations: Array2::zeros((positions, parents)),
            d_log_activations: Array2::zeros((positions, parents)),
        }
    }
}

pub(super) fn backward(
    input: &RoutingInput,
    options: &RoutingOptions,
    routing: &Routing,
    d_poses: &Array3<f64>,
    d_activations: &Array2<f64>,
) -> RoutingGradient {
    let (positions, children, parents, elements) = input.votes.dim();
    let mut gradient = RoutingGradient {
        d_votes: Array4::zeros((positions, children, parents, elements)),
        d_activations: Array2::zeros((positions, children)),
        d_beta_v: Array1::zeros(parents),
        d_beta_a: Array1::zeros(parents),
    };
    let nothing = Array2::zeros((positions, parents));
    let mut d_step = StepGradient { d_means: d_poses.clone(), ..StepGradient::zeros(input) };
    for (iteration, step) in routing.trace.iter().enumerate().rev() {
        // The loss depends directly only on the activations of the last step; the others act through the next E-step.
        let d_activations = if iteration + 1 == routing.trace.len() { d_activations } else { &nothing };
        let undo = Undo { input, options, step };
        let (d_responsibilities, d_means_before) = undo.maximisation(d_step, d_activations, &mut gradient);
        d_step = StepGradient::zeros(input);
        // The means and variances from which R was computed; those of a start are constants, and a uniform R depends on none.
        let before = match (iteration, &options.start) {
            (0, RoutingStart::Uniform | RoutingStart::One) => None,
            (0, RoutingStart::Parents(start)) => {
                let everywhere = (positions, parents, elements);
                start.means.broadcast(everywhere).zip(start.variances.broadcast(everywhere))
            }
            _ => {
                let before = &routing.trace[iteration - 1];
                Some((before.means.view(), before.variances.view()))
            }
        };
        if let Some(before) = before.filter(|_| !options.stop_gradient_at_responsibilities) {
            undo.expectation(before, &d_responsibilities, &mut d_step, &mut gradient);
        }
        d_step.d_means += &d_means_before;
    }
    gradient
}

/// The data for backpropagation through one iteration.
struct Undo<'a> {
    input: &'a RoutingInput,
    options: &'a RoutingOptions,
    step: &'a RoutingStep,
}

impl Undo<'_> {
    /// Backpropagates through the M-step. Adds to the gradient of the inputs, and returns the gradients of R and of the previous
    /// means.
    fn maximisation(
        &self,
        d_step: StepGradient,
        d_activations: &Array2<f64>,
        gradient: &mut RoutingGradient,
    ) -> (Array3<f64>, Array3<f64>) {
        let Undo { input, options, step } = self;
        let (positions, children, parents, elements) = input.votes.dim();
        let cost_scale = options.cost_scale.factor(children, parents);
        let mut d_responsibilities = Array3::zeros((positions, children, parents));
        let mut d_means_before = Array3::zeros((positions, parents, elements));
        for p in 0..positions {
            let d_costs =
                self.activations(p, d_step.d_log_activations.row(p), d_activations.row(p), gradient);
            for j in 0..parents {
                let mass = step.masses[(p, j)];
                let divisor = mass + options.mass_epsilon;
                let variances = step.variances.slice(ndarray::s![p, j, ..]);

                // pass M4 was: cost_j = scale sum_h (beta_v,j + log(sigma_jh + epsilon)) S_j
                let log_deviations: f64 = variances.iter().map(|&v| log_deviation(v, options)).sum();
                let price = elements as f64 * input.beta_v[j] + log_deviations;
                let d_mass = cost_scale * price * d_costs[j];
                gradient.d_beta_v[j] += cost_scale * elements as f64 * mass * d_costs[j];
                let d_log_deviation = d_step.d_log_deviations[(p, j)] + cost_scale * mass * d_costs[j];

                // the gradient of each weight R_ij a_i
                let mut d_weights = vec![d_mass; children];
                for h in 0..elements {
                    let mean = step.means[(p, j, h)];
                    let deviation = variances[h].sqrt();

                    // log(sigma_jh + epsilon), sigma = sqrt(variance): d sigma = d variance / (2 sigma), or 0 where sigma is 0
                    let mut d_variance = d_step.d_variances[(p, j, h)];
                    if deviation > 0.0 {
                        let slope = 1.0 / (2.0 * deviation * (deviation + options.deviation_epsilon));
                        d_variance += slope * d_log_deviation;
                    }

                    // pass M3 was: sigma^2_jh = sum_i R_ij a_i (V_ijh - mu_jh)^2 / S_j + floor
                    let mut d_mean = d_step.d_means[(p, j, h)];
                    let own_variance = variances[h] - options.variance_floor;
                    for (i, d_weight) in d_weights.iter_mut().enumerate() {
                        let weight = step.responsibilities[(p, i, j)] * input.activations[(p, i)];
                        let offset = input.votes[(p, i, j, h)] - mean;
                        *d_weight += d_variance * (offset * offset - own_variance) / divisor;
                        let d_offset = d_variance * 2.0 * weight * offset / divisor;
                        gradient.d_votes[(p, i, j, h)] += d_offset;
                        d_mean -= d_offset;
                    }

                    // pass M2 was: mu_jh = (1 - damping) sum_i R_ij a_i V_ijh / S_j + damping mu_jh(before)
                    let undamped = undamped_mean(input, &step.responsibilities, divisor, [p, j, h]);
                    let d_undamped = (1.0 - options.mean_damping) * d_mean;
                    d_means_before[(p, j, h)] = options.mean_damping * d_mean;
                    for (i, d_weight) in d_weights.iter_mut().enumerate() {
                        let weight = step.responsibilities[(p, i, j)] * input.activations[(p, i)];
                        *d_weight += d_undamped * (input.votes[(p, i, j, h)] - undamped) / divisor;
                        gradient.d_votes[(p, i, j, h)] += d_undamped * weight / divisor;
                    }
                }

                // pass M1 was: S_j = sum_i R_ij a_i, and each weight R_ij a_i
                for (i, d_weight) in d_weights.into_iter().enumerate() {
                    d_responsibilities[(p, i, j)] = input.activations[(p, i)] * d_weight;
                    gradient.d_activations[(p, i)] += step.responsibilities[(p, i, j)] * d_weight;
                }
            }
        }
        (d_responsibilities, d_means_before)
    }

    /// Backpropagates through pass M5 at one position. Returns the gradient of each parent's cost.
    fn activations(
        &self,
        p: usize,
        d_log_activations: ndarray::ArrayView1<f64>,
        d_activations: ndarray::ArrayView1<f64>,
        gradient: &mut RoutingGradient,
    ) -> Array1<f64> {
        let Undo { options, step, .. } = self;
        // pass M5 was: a_j = sigmoid(logit_j), logit_j = lambda (beta_a,j + gain_j), and log(a_j + epsilon) for the E-step
        let parents = step.costs.ncols();
        let d_gains = Array1::from_shape_fn(parents, |j| {
            let activation = step.activations[(p, j)];
            let inactivation = sigmoid(-step.logits[(p, j)]); // 1 - a without cancellation
            let share = match options.activation_epsilon {
                0.0 => 1.0,
                epsilon => activation / (activation + epsilon),
            };
            let d_logit =
                d_activations[j] * activation * inactivation + d_log_activations[j] * share * inactivation;
            step.inverse_temperature * d_logit
        });
        gradient.d_beta_a += &d_gains;
        let Some(spread) = CostSpread::over_parents(&step.costs, p, options) else {
            return -d_gains; // gain_j = -cost_j
        };
        // gain_j = (mean - cost_j) / (deviation + epsilon), mean and deviation of the costs of all parents
        let costs = step.costs.row(p);
        let d_mean = d_gains.sum() / spread.divisor;
        let d_divisor = -(0..parents).map(|j| d_gains[j] * (spread.mean - costs[j])).sum::<f64>()
            / spread.divisor.powi(2);
        Array1::from_shape_fn(parents, |j| {
            let d_deviation = match spread.deviation {
                0.0 => 0.0, // d sqrt(x)/dx := 0 at 0
                deviation => (costs[j] - spread.mean) / (parents as f64 * deviation),
            };
            d_mean / parents as f64 - d_gains[j] / spread.divisor + d_divisor * d_deviation
        })
    }

    /// Backpropagates through the E-step that computed R from these means and variances. Adds to the gradients of the votes and of
    /// the previous step.
    fn expectation(
        &self,
        (means, variances): (ArrayView3<f64>, ArrayView3<f64>),
        d_responsibilities: &Array3<f64>,
        d_step: &mut StepGradient,
        gradient: &mut RoutingGradient,
    ) {
        let Undo { input, options, step } = self;
        let (positions, children, parents, elements) = input.votes.dim();

        // pass E2 was: R_ij = exp(x_ij) / sum_k exp(x_ik), over the parents that compete for the child
        let contests = Contests::of(input, options);
        let mut expected = vec![0.0; contests.count];
        for ((p, i, j), r) in step.responsibilities.indexed_iter() {
            expected[contests.index(p, i)] += r * d_responsibilities[(p, i, j)];
        }
        let d_log_joint = Array3::from_shape_fn((positions, children, parents), |(p, i, j)| {
            let r = step.responsibilities[(p, i, j)];
            r * (d_responsibilities[(p, i, j)] - expected[contests.index(p, i)])
        });

        // pass E1 was: x_ij = log a_j - sum_h log(sigma_jh + epsilon) - sum_h (V_ijh - mu_jh)^2 / (2 sigma^2_jh)
        let sum_over_children: Array2<f64> = d_log_joint.sum_axis(Axis(1));
        d_step.d_log_activations += &sum_over_children;
        d_step.d_log_deviations -= &sum_over_children;
        for ((p, i, j), &d_x) in d_log_joint.indexed_iter() {
            for h in 0..elements {
                let variance = variances[(p, j, h)];
                let offset = input.votes[(p, i, j, h)] - means[(p, j, h)];
                let d_offset = -d_x * offset / variance;
                gradient.d_votes[(p, i, j, h)] += d_offset;
                d_step.d_means[(p, j, h)] -= d_offset;
                d_step.d_variances[(p, j, h)] += d_x * (offset / variance).powi(2) / 2.0;
            }
        }
    }
}
