//! The gradient at a position: backpropagation through [`super::forward`], last iteration first.

use super::{
    ELEMENTS, Found, GROUP, ParameterSums, Parameters, Parents, Plan, SIDE, Slopes, Space, Step, Tile, Votes,
    Weights, accumulate, expectation, fetch_next, make_votes, places, weigh, weigh_alike,
};
use crate::compute::simd::{F32s, Simd, Vector, WIDTH, WithSimd, ZERO, ZEROS, clamp, prefetch, sigmoid};

/// The clamp on |dL/dq_ij|, so that products stay finite in f32.
const LARGEST_WEIGHT_SLOPE: f32 = 1e33;
/// The clamp on |dL/dgain_j|, so that products stay finite in f32.
const LARGEST_GAIN_SLOPE: f32 = 1e20;

/// Backpropagates through [`super::forward`], whose results are in `space`. Reads `space.d_parent_poses` and
/// `space.d_parent_activations`, writes `space.d_poses` and `space.d_activations`, and adds to the sums of the parameters'
/// gradient.
pub(in super::super) struct Backward<'a> {
    pub plan: &'a Plan,
    pub parameters: &'a Parameters,
    pub space: &'a mut Space,
    pub sums: &'a mut ParameterSums,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) {
        backward(simd, self.plan, self.parameters, self.space, self.sums);
    }
}

#[inline(always)]
fn backward<S: Simd>(
    simd: S,
    plan: &Plan,
    parameters: &Parameters,
    space: &mut Space,
    d_parameters: &mut ParameterSums,
) {
    space.d_activations.fill(0.0);
    space.d_log_activations.fill(ZERO);
    space.d_log_deviations.fill(ZERO);
    space.d_variances.fill(ZEROS);
    space.d_means.copy_from_slice(&space.d_parent_poses);
    let (groups, last) = (space.votes.len() / plan.blocks, space.steps.len() - 1);
    for iteration in (1..=last).rev() {
        slopes(simd, plan, parameters, space, iteration, d_parameters);
        space.sums.clear();
        for at in 0..groups {
            if iteration == last {
                remake(simd, plan, parameters, space, at);
            }
            weights_of_group(simd, plan, parameters, space, iteration, at);
        }
        slopes_before(simd, plan, parameters, space, iteration);
    }
    slopes(simd, plan, parameters, space, 0, d_parameters);
    for at in 0..groups {
        if last == 0 {
            remake(simd, plan, parameters, space, at);
        }
        votes_of_group(simd, plan, parameters, space, at, d_parameters);
    }
}

/// Computes the votes and responsibilities of a group again, as in the forward pass.
#[inline(always)]
fn remake<S: Simd>(simd: S, plan: &Plan, parameters: &Parameters, space: &mut Space, at: usize) {
    let group = at * plan.blocks..(at + 1) * plan.blocks;
    let votes = &mut space.votes[group.clone()];
    make_votes(simd, plan, parameters, &space.poses, at, votes);
    for iteration in 1..space.steps.len() {
        let (before, after) = space.steps.split_at_mut(iteration);
        let responsibilities = &mut after[0].responsibilities[group.clone()];
        expectation(simd, votes, &before[iteration - 1].found.parents, responsibilities);
    }
}

/// Computes the gradient of a group's weights q_ij = R_ij a_i in an iteration, and backpropagates it through the E-step before.
#[inline(always)]
fn weights_of_group<S: Simd>(
    simd: S,
    plan: &Plan,
    parameters: &Parameters,
    space: &mut Space,
    iteration: usize,
    at: usize,
) {
    let blocks = plan.blocks;
    let Space { activations, votes, steps, sums: all_sums, group, d_activations, .. } = space;
    let (before, after) = steps.split_at_mut(iteration);
    let (before, step) = (&mut before[iteration - 1], &after[0]);
    let own = &votes[at * blocks..][..blocks];
    let responsibilities = &step.responsibilities[at * blocks..][..blocks];
    let mut expected = [ZERO; GROUP];
    for block in 0..blocks {
        fetch_next(votes, at, blocks, block);
        for part in 0..S::PARTS {
            let d_weights =
                weight_slopes(simd, &own[block], &step.found.parents[block], &step.slopes[block], part);
            for g in 0..GROUP {
                d_weights[g].store(&mut group[block][g], part);
                let responsibility = simd.load_f32(&responsibilities[block][g], part);
                let sum = responsibility.multiply_add(d_weights[g], simd.load_f32(&expected[g], part));
                sum.store(&mut expected[g], part);
            }
        }
    }
    // sum_j R_ij d_q_ij: the gradient of a_i, and the term that the gradient of the softmax subtracts
    let mut sums = [0.0; GROUP];
    for g in 0..GROUP {
        sums[g] = simd.sum_f32(&expected[g]);
        d_activations[at * GROUP + g] += sums[g];
    }
    if plan.stop_gradient {
        return;
    }
    let d_joint = &mut before.d_joint[at * blocks..][..blocks];
    for block in 0..blocks {
        for part in 0..S::PARTS {
            for g in 0..GROUP {
                let weight = simd.load_f32(&responsibilities[block][g], part)
                    * simd.splat_f32(activations[at * GROUP + g]);
                let d_x = weight * (simd.load_f32(&group[block][g], part) - simd.splat_f32(sums[g]));
                clamp(simd, d_x, parameters.limits.joint).store(&mut d_joint[block][g], part);
            }
        }
        accumulate(simd, &own[block], &d_joint[block], &before.found.parents[block].means, all_sums, block);
    }
}

/// Computes the gradient of the previous iteration's parents through the E-step, from the sums of d_x.
#[inline(always)]
fn slopes_before<S: Simd>(
    simd: S,
    plan: &Plan,
    parameters: &Parameters,
    space: &mut Space,
    iteration: usize,
) {
    let Space { steps, sums, d_log_activations, d_log_deviations, d_means, d_variances, .. } = space;
    let before = &steps[iteration - 1].found.parents;
    // gradient of x = log a - sum_h log(sigma_h + epsilon) - sum_h (V_h - mu_h)^2 / (2 sigma^2_h)
    for (block, part) in places::<S>(plan.blocks) {
        let sum = simd.load_f32(&sums.weights[block], part);
        sum.store(&mut d_log_activations[block], part);
        (simd.splat_f32(0.0) - sum).store(&mut d_log_deviations[block], part);
        for h in 0..ELEMENTS {
            let precision = simd.load_f32(&before[block].precisions[h], part);
            let double = precision + precision;
            let d_mean = simd.load_f32(&d_means[block][h], part); // from the damping
            let d_mean = simd.load_f32(&sums.offsets[block][h], part).multiply_add(double, d_mean);
            clamp(simd, d_mean, parameters.limits.mean_slope).store(&mut d_means[block][h], part);
            let half = simd.load_f32(&sums.squares[block][h], part) * precision;
            let half = clamp(simd, half, LARGEST_WEIGHT_SLOPE);
            clamp(simd, half * double, LARGEST_WEIGHT_SLOPE).store(&mut d_variances[block][h], part);
        }
    }
}

/// Computes the gradient of each weight q_ij = R_ij a_i of a group through masses, means and variances: the quadratic of [`Slopes`].
#[inline(always)]
fn weight_slopes<S: Simd>(
    simd: S,
    votes: &Votes,
    parents: &Parents,
    slopes: &Slopes,
    part: usize,
) -> [S::F32; GROUP] {
    let mut sums = [simd.load_f32(&slopes.constants, part); GROUP];
    for h in 0..ELEMENTS {
        let mean = simd.load_f32(&parents.means[h], part);
        let (half, slope) = (simd.load_f32(&slopes.halves[h], part), simd.load_f32(&slopes.slopes[h], part));
        for g in 0..GROUP {
            let offset = simd.load_f32(&votes[g][h], part) - mean;
            sums[g] = half.multiply_add(offset, slope).multiply_add(offset, sums[g]);
        }
    }
    for g in 0..GROUP {
        sums[g] = clamp(simd, sums[g], LARGEST_WEIGHT_SLOPE);
    }
    sums
}

/// Backpropagates through [`finish`](super::finish): computes the [`Slopes`] of one iteration. Afterwards, `d_means` holds the
/// gradient of the previous means through the damping.
#[inline(always)]
fn slopes<S: Simd>(
    simd: S,
    plan: &Plan,
    parameters: &Parameters,
    space: &mut Space,
    iteration: usize,
    d_parameters: &mut ParameterSums,
) {
    gain_slopes(simd, plan, space, iteration, d_parameters);
    let blocks = plan.blocks;
    let (zero, one) = (simd.splat_f32(0.0), simd.splat_f32(1.0));
    let Step { found, slopes, .. } = &mut space.steps[iteration];
    if plan.normalise_costs {
        normalisation(plan, found, slopes);
    }

    for (block, part) in places::<S>(blocks) {
        let (parents, own) = (&found.parents[block], &mut slopes[block]);
        let mask = simd.load_f32(&plan.mask[block], part);
        let d_cost = match plan.normalise_costs {
            true => simd.load_f32(&own.constants, part),
            false => zero - simd.load_f32(&own.constants, part),
        };
        // cost = scale (16 beta_v + log_deviations) S
        let mass = simd.load_f32(&parents.masses, part);
        let scaled = simd.splat_f32(plan.cost_scale) * d_cost;
        let elements = simd.splat_f32(ELEMENTS as f32);
        let price = simd
            .load_f32(&parameters.beta_v[block], part)
            .multiply_add(elements, simd.load_f32(&parents.log_deviations, part));
        let d_beta_v = &mut d_parameters.beta_v[block];
        (elements * mass).multiply_add(scaled, simd.load_f32(d_beta_v, part)).store(d_beta_v, part);
        let d_log_deviations = scaled.multiply_add(mass, simd.load_f32(&space.d_log_deviations[block], part));
        let mut constant = clamp(simd, price * scaled, LARGEST_WEIGHT_SLOPE);

        let mass_epsilon = simd.splat_f32(plan.mass_epsilon);
        let divisor = mass + mass_epsilon;
        for h in 0..ELEMENTS {
            // d log(sigma + epsilon) / d variance, 0 where sigma is 0
            let deviation = simd.load_f32(&parents.deviations[h], part);
            let twice = (deviation + deviation) * (deviation + simd.splat_f32(plan.deviation_epsilon));
            let by_variance = zero.if_less(deviation, d_log_deviations / twice, zero);
            let d_variance = simd.load_f32(&space.d_variances[block][h], part) + by_variance;
            let half = zero.if_less(mask, d_variance / divisor, zero);
            let half = clamp(simd, half, parameters.limits.slope);
            half.store(&mut own.halves[h], part);
            let rest = simd.load_f32(&parents.rests[h], part);
            let d_mean = simd.load_f32(&space.d_means[block][h], part) - (half + half) * rest;
            let damping = simd.splat_f32(plan.mean_damping);
            clamp(simd, d_mean * damping, parameters.limits.mean_slope)
                .store(&mut space.d_means[block][h], part);
            let slope = d_mean * (one - damping) / divisor;
            let slope = clamp(simd, slope, parameters.limits.mean_slope);
            let slope = zero.if_less(mask, slope, zero);
            slope.store(&mut own.slopes[h], part);
            // V - mu_undamped = (V - mu) + (epsilon mu - rest) / (S + epsilon)
            let undamped = (mass_epsilon * simd.load_f32(&parents.means[h], part) - rest) / divisor;
            constant = constant - half * simd.load_f32(&parents.own_variances[h], part) + slope * undamped;
        }
        let constant = zero.if_less(mask, clamp(simd, constant, LARGEST_WEIGHT_SLOPE), zero);
        constant.store(&mut own.constants, part);
    }
}

/// Backpropagates through a_j = sigmoid(lambda (beta_a + gain_j)). Afterwards, the constants of the [`Slopes`] hold the gradient of
/// the gains.
#[inline(always)]
fn gain_slopes<S: Simd>(
    simd: S,
    plan: &Plan,
    space: &mut Space,
    iteration: usize,
    d_parameters: &mut ParameterSums,
) {
    let (blocks, last) = (plan.blocks, iteration + 1 == space.steps.len());
    let (zero, one) = (simd.splat_f32(0.0), simd.splat_f32(1.0));
    let Step { found, slopes, .. } = &mut space.steps[iteration];
    // a = sigmoid(logit), logit = lambda (beta_a + gain); the constants hold d_gain until d_cost replaces it
    for (block, part) in places::<S>(blocks) {
        let parents = &found.parents[block];
        let activation = simd.load_f32(&parents.activations, part);
        let inactivation = sigmoid(simd, zero - simd.load_f32(&parents.logits, part));
        let share = match plan.activation_epsilon {
            0.0 => one,
            epsilon => activation / (activation + simd.splat_f32(epsilon)),
        };
        let mut d_logit = simd.load_f32(&space.d_log_activations[block], part) * share;
        if last {
            d_logit =
                simd.load_f32(&space.d_parent_activations[block], part).multiply_add(activation, d_logit);
        }
        let d_gain = simd.splat_f32(plan.inverse_temperatures[iteration]) * d_logit * inactivation;
        let d_gain = clamp(simd, d_gain, LARGEST_GAIN_SLOPE);
        let d_gain = zero.if_less(simd.load_f32(&plan.mask[block], part), d_gain, zero);
        d_gain.store(&mut slopes[block].constants, part);
        let d_beta_a = &mut d_parameters.beta_a[block];
        (simd.load_f32(d_beta_a, part) + d_gain).store(d_beta_a, part);
    }
}

/// Backpropagates through gain_j = (mean - cost_j) / (sd + epsilon): in the constants of the [`Slopes`], replaces the gradient of
/// the gains by the gradient of the costs.
///
/// Computes in f64, since with few parents the gradient is a small difference of large numbers (with two parents, 0 except for
/// epsilon).
#[inline(always)]
fn normalisation(plan: &Plan, found: &Found, slopes: &mut [Slopes]) {
    let count = plan.parents as f64;
    let cost = |j: usize| f64::from(found.parents[j / WIDTH].costs.0[j % WIDTH]);
    let mean = (0..plan.parents).map(cost).sum::<f64>() / count;
    let squares = (0..plan.parents).map(|j| (cost(j) - mean) * (cost(j) - mean)).sum::<f64>();
    // if all costs are equal, the forward pass may have divided by a deviation that is only the rounding of their mean in f32
    let deviation = match (squares / count).sqrt() {
        0.0 => f64::from(found.cost_deviation),
        deviation => deviation,
    };
    let divisor = deviation + f64::from(plan.cost_epsilon);
    let (mut d_mean, mut d_divisor) = (0.0, 0.0);
    for j in 0..plan.parents {
        let d_gain = f64::from(slopes[j / WIDTH].constants.0[j % WIDTH]) / divisor;
        d_mean += d_gain;
        d_divisor += d_gain * ((cost(j) - mean) / divisor);
    }
    // d sqrt(x)/dx := 0 at 0, if the forward pass found 0 in f32
    let by_deviation = if found.cost_deviation == 0.0 { 0.0 } else { d_divisor / deviation };
    for j in 0..plan.parents {
        let constant = &mut slopes[j / WIDTH].constants.0[j % WIDTH];
        let d_cost = (d_mean + (cost(j) - mean) * by_deviation) / count - f64::from(*constant) / divisor;
        *constant = d_cost as f32;
    }
}

/// Computes the total gradient of a group's votes, and from it the gradients of the group's poses and transforms.
#[inline(always)]
fn votes_of_group<S: Simd>(
    simd: S,
    plan: &Plan,
    parameters: &Parameters,
    space: &mut Space,
    at: usize,
    d_parameters: &mut ParameterSums,
) {
    let blocks = plan.blocks;
    let Space { poses, activations, votes, steps, d_votes, d_pose_lanes, d_poses, d_activations, .. } = space;
    let activations = &activations[at * GROUP..][..GROUP];
    let children = GROUP.min(plan.children - at * GROUP);
    let mut expected = [ZERO; GROUP];
    *d_pose_lanes = [ZEROS; GROUP];
    for block in 0..blocks {
        fetch_next(votes, at, blocks, block);
        let votes = &votes[at * blocks + block];
        for part in 0..S::PARTS {
            let first = &steps[0];
            let d_weights =
                weight_slopes(simd, votes, &first.found.parents[block], &first.slopes[block], part);
            for g in 0..GROUP {
                (simd.load_f32(&expected[g], part) + d_weights[g]).store(&mut expected[g], part);
            }
        }
        for (iteration, step) in steps.iter().enumerate() {
            let mut weights = [ZERO; GROUP];
            match iteration {
                0 => weigh_alike(plan, activations, &mut weights),
                _ => weigh(simd, &step.responsibilities[at * blocks + block], activations, &mut weights),
            }
            let d_joint = match iteration + 1 < steps.len() && !plan.stop_gradient {
                true => Some(&step.d_joint[at * blocks + block]),
                false => None,
            };
            let (parents, slopes) = (&step.found.parents[block], &step.slopes[block]);
            for part in 0..S::PARTS {
                d_votes_of_step(
                    simd,
                    votes,
                    &weights,
                    d_joint,
                    parents,
                    slopes,
                    iteration == 0,
                    d_votes,
                    part,
                );
            }
        }
        for g in 0..children {
            let child = at * GROUP + g;
            let tile = child % plan.transforms * blocks + block;
            let next = (child + GROUP) % plan.transforms * blocks + block;
            prefetch(&parameters.transforms[next]);
            prefetch(&d_parameters.transforms[next]);
            for part in 0..S::PARTS {
                vote_to_transform(simd, &poses[child], &d_votes[g], &mut d_parameters.transforms[tile], part);
                vote_to_pose(simd, &d_votes[g], &parameters.transforms[tile], &mut d_pose_lanes[g], part);
            }
        }
    }
    for g in 0..children {
        let child = at * GROUP + g;
        d_activations[child] += plan.first_responsibility * simd.sum_f32(&expected[g]);
        d_poses[child] = simd.sums_f32(&d_pose_lanes[g]);
    }
}

/// Adds the gradient of a group's votes in one iteration: q (2 half (V - mu) + slope) - d_x (V - mu) / sigma^2. The first iteration
/// overwrites.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn d_votes_of_step<S: Simd>(
    simd: S,
    votes: &Votes,
    weights: &Weights,
    d_joint: Option<&Weights>,
    parents: &Parents,
    slopes: &Slopes,
    is_first: bool,
    d_votes: &mut Votes,
    part: usize,
) {
    for four in (0..GROUP).step_by(4) {
        let mut q = [simd.splat_f32(0.0); 4];
        let mut minus_d_x = q;
        for g in 0..4 {
            q[g] = simd.load_f32(&weights[four + g], part);
            if let Some(d_joint) = d_joint {
                minus_d_x[g] = simd.splat_f32(-2.0) * simd.load_f32(&d_joint[four + g], part);
            }
        }
        for h in 0..ELEMENTS {
            let (mean, slope) =
                (simd.load_f32(&parents.means[h], part), simd.load_f32(&slopes.slopes[h], part));
            let double = simd.load_f32(&slopes.halves[h], part) + simd.load_f32(&slopes.halves[h], part);
            let precision = simd.load_f32(&parents.precisions[h], part);
            for g in 0..4 {
                let offset = simd.load_f32(&votes[four + g][h], part) - mean;
                let mut sum =
                    if is_first { simd.splat_f32(0.0) } else { simd.load_f32(&d_votes[four + g][h], part) };
                sum = q[g].multiply_add(double.multiply_add(offset, slope), sum);
                if d_joint.is_some() {
                    sum = minus_d_x[g].multiply_add(offset * precision, sum);
                }
                sum.store(&mut d_votes[four + g][h], part);
            }
        }
    }
}

/// Adds P^T dV to dW for a block of parents.
#[inline(always)]
fn vote_to_transform<S: Simd>(
    simd: S,
    pose: &[f32; ELEMENTS],
    d_vote: &Tile,
    d_transform: &mut Tile,
    part: usize,
) {
    for k in [0, 2] {
        let mut p = [[simd.splat_f32(0.0); SIDE]; 2];
        for row in 0..SIDE {
            p[0][row] = simd.splat_f32(pose[row * SIDE + k]);
            p[1][row] = simd.splat_f32(pose[row * SIDE + k + 1]);
        }
        for column in 0..SIDE {
            let mut first = simd.load_f32(&d_transform[k * SIDE + column], part);
            let mut second = simd.load_f32(&d_transform[(k + 1) * SIDE + column], part);
            for row in 0..SIDE {
                let d = simd.load_f32(&d_vote[row * SIDE + column], part);
                first = p[0][row].multiply_add(d, first);
                second = p[1][row].multiply_add(d, second);
            }
            first.store(&mut d_transform[k * SIDE + column], part);
            second.store(&mut d_transform[(k + 1) * SIDE + column], part);
        }
    }
}

/// Adds dV W^T to dP, lane by lane. The sum over the lanes follows at the end.
#[inline(always)]
fn vote_to_pose<S: Simd>(simd: S, d_vote: &Tile, transform: &Tile, d_pose: &mut Tile, part: usize) {
    for rows in [0, 2] {
        let mut sums = [simd.splat_f32(0.0); 2 * SIDE];
        for k in 0..2 * SIDE {
            sums[k] = simd.load_f32(&d_pose[rows * SIDE + k], part);
        }
        for column in 0..SIDE {
            let first = simd.load_f32(&d_vote[rows * SIDE + column], part);
            let second = simd.load_f32(&d_vote[(rows + 1) * SIDE + column], part);
            for k in 0..SIDE {
                let w = simd.load_f32(&transform[k * SIDE + column], part);
                sums[k] = first.multiply_add(w, sums[k]);
                sums[SIDE + k] = second.multiply_add(w, sums[SIDE + k]);
            }
        }
        for k in 0..2 * SIDE {
            sums[k].store(&mut d_pose[rows * SIDE + k], part);
        }
    }
}
