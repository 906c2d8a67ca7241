//! The position's forward undone, last iteration first.

use super::super::vector::WIDTH;
use super::{
    ELEMENTS, Found, GROUP, ParameterSums, Parameters, Parents, Plan, SIDE, Slopes, Space, Step, Tile,
    Vector, Votes, Weights, ZERO, ZEROS, accumulate, expectation, fetch_next, make_votes, places, sigmoid,
    weigh, weigh_alike,
};

/// Of what a weight gains, and of the gradient of an activation's logarithm.
const LARGEST_WEIGHT_SLOPE: f32 = 1e33;
const LARGEST_GAIN_SLOPE: f32 = 1e20;

/// Undoes [`forward`], of which `space` holds what each iteration has found: from `space.d_parent_poses` and
/// `space.d_parent_activations` to `space.d_poses` and `space.d_activations`, and adds to the sums of the parameters' gradient.
#[inline(always)]
pub(in super::super) fn backward<V: Vector>(
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
        slopes::<V>(plan, parameters, space, iteration, d_parameters);
        space.sums.clear();
        for at in 0..groups {
            if iteration == last {
                remake::<V>(plan, parameters, space, at);
            }
            weights_of_group::<V>(plan, parameters, space, iteration, at);
        }
        slopes_before::<V>(plan, parameters, space, iteration);
    }
    slopes::<V>(plan, parameters, space, 0, d_parameters);
    for at in 0..groups {
        if last == 0 {
            remake::<V>(plan, parameters, space, at);
        }
        votes_of_group::<V>(plan, parameters, space, at, d_parameters);
    }
}

/// Votes and responsibilities of a group, as the forward pass has made them.
#[inline(always)]
fn remake<V: Vector>(plan: &Plan, parameters: &Parameters, space: &mut Space, at: usize) {
    let group = at * plan.blocks..(at + 1) * plan.blocks;
    let votes = &mut space.votes[group.clone()];
    make_votes::<V>(plan, parameters, &space.poses, at, votes);
    for iteration in 1..space.steps.len() {
        let (before, after) = space.steps.split_at_mut(iteration);
        let responsibilities = &mut after[0].responsibilities[group.clone()];
        expectation::<V>(votes, &before[iteration - 1].found.parents, responsibilities);
    }
}

/// What the weights R_ij a_i of a group gain by an iteration, and through them the E-step before it.
#[inline(always)]
fn weights_of_group<V: Vector>(
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
        fetch_next::<V>(votes, at, blocks, block);
        for part in 0..V::PARTS {
            let d_weights =
                weight_slopes::<V>(&own[block], &step.found.parents[block], &step.slopes[block], part);
            for g in 0..GROUP {
                d_weights[g].store(&mut group[block][g], part);
                let responsibility = V::load(&responsibilities[block][g], part);
                let sum = responsibility.multiply_add(d_weights[g], V::load(&expected[g], part));
                sum.store(&mut expected[g], part);
            }
        }
    }
    // sum_j R_ij d_q_ij: the gradient of a_i, and what the softmax takes off
    let mut sums = [0.0; GROUP];
    for g in 0..GROUP {
        sums[g] = V::sum(&expected[g]);
        d_activations[at * GROUP + g] += sums[g];
    }
    if plan.stop_gradient {
        return;
    }
    let d_joint = &mut before.d_joint[at * blocks..][..blocks];
    for block in 0..blocks {
        for part in 0..V::PARTS {
            for g in 0..GROUP {
                let weight =
                    V::load(&responsibilities[block][g], part) * V::splat(activations[at * GROUP + g]);
                let d_x = weight * (V::load(&group[block][g], part) - V::splat(sums[g]));
                d_x.within(parameters.limits.joint).store(&mut d_joint[block][g], part);
            }
        }
        accumulate::<V>(&own[block], &d_joint[block], &before.found.parents[block].means, all_sums, block);
    }
}

/// What the parents before an iteration gain through its E-step, whose d_x are summed up.
#[inline(always)]
fn slopes_before<V: Vector>(plan: &Plan, parameters: &Parameters, space: &mut Space, iteration: usize) {
    let Space { steps, sums, d_log_activations, d_log_deviations, d_means, d_variances, .. } = space;
    let before = &steps[iteration - 1].found.parents;
    // of x = log a - sum_h log(sigma_h + epsilon) - sum_h (V_h - mu_h)^2 / (2 sigma^2_h)
    for (block, part) in places::<V>(plan.blocks) {
        let sum = V::load(&sums.weights[block], part);
        sum.store(&mut d_log_activations[block], part);
        (V::splat(0.0) - sum).store(&mut d_log_deviations[block], part);
        for h in 0..ELEMENTS {
            let precision = V::load(&before[block].precisions[h], part);
            let double = precision + precision;
            let d_mean = V::load(&d_means[block][h], part); // what the damping hands back
            let d_mean = V::load(&sums.offsets[block][h], part).multiply_add(double, d_mean);
            d_mean.within(parameters.limits.mean_slope).store(&mut d_means[block][h], part);
            let half = (V::load(&sums.squares[block][h], part) * precision).within(LARGEST_WEIGHT_SLOPE);
            (half * double).within(LARGEST_WEIGHT_SLOPE).store(&mut d_variances[block][h], part);
        }
    }
}

/// What each weight R_ij a_i of a group gains through masses, means and variances.
#[inline(always)]
fn weight_slopes<V: Vector>(votes: &Votes, parents: &Parents, slopes: &Slopes, part: usize) -> [V; GROUP] {
    let mut sums = [V::load(&slopes.constants, part); GROUP];
    for h in 0..ELEMENTS {
        let mean = V::load(&parents.means[h], part);
        let (half, slope) = (V::load(&slopes.halves[h], part), V::load(&slopes.slopes[h], part));
        for g in 0..GROUP {
            let offset = V::load(&votes[g][h], part) - mean;
            sums[g] = half.multiply_add(offset, slope).multiply_add(offset, sums[g]);
        }
    }
    for g in 0..GROUP {
        sums[g] = sums[g].within(LARGEST_WEIGHT_SLOPE);
    }
    sums
}

/// Undoes [`finish`]: what votes and weights gain by one iteration, as [`Slopes`]; `d_means` then holds what the means
/// before gain by damping.
#[inline(always)]
fn slopes<V: Vector>(
    plan: &Plan,
    parameters: &Parameters,
    space: &mut Space,
    iteration: usize,
    d_parameters: &mut ParameterSums,
) {
    let blocks = plan.blocks;
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let last = iteration + 1 == space.steps.len();
    let Step { found, slopes, .. } = &mut space.steps[iteration];

    // a = sigmoid(logit), logit = lambda (beta_a + gain); d_gains go where the costs' gradients will stand
    for (block, part) in places::<V>(blocks) {
        let parents = &found.parents[block];
        let activation = V::load(&parents.activations, part);
        let inactivation = sigmoid(zero - V::load(&parents.logits, part));
        let share = match plan.activation_epsilon {
            0.0 => one,
            epsilon => activation / (activation + V::splat(epsilon)),
        };
        let mut d_logit = V::load(&space.d_log_activations[block], part) * share;
        if last {
            d_logit = V::load(&space.d_parent_activations[block], part).multiply_add(activation, d_logit);
        }
        let d_gain = V::splat(plan.inverse_temperatures[iteration]) * d_logit * inactivation;
        let d_gain = zero.if_less(V::load(&plan.mask[block], part), d_gain.within(LARGEST_GAIN_SLOPE), zero);
        d_gain.store(&mut slopes[block].constants, part);
        let d_beta_a = &mut d_parameters.beta_a[block];
        (V::load(d_beta_a, part) + d_gain).store(d_beta_a, part);
    }
    if plan.normalise_costs {
        normalisation(plan, found, slopes);
    }

    for (block, part) in places::<V>(blocks) {
        let (parents, own) = (&found.parents[block], &mut slopes[block]);
        let mask = V::load(&plan.mask[block], part);
        let d_cost = match plan.normalise_costs {
            true => V::load(&own.constants, part),
            false => zero - V::load(&own.constants, part),
        };
        // cost = scale (16 beta_v + log_deviations) S
        let mass = V::load(&parents.masses, part);
        let scaled = V::splat(plan.cost_scale) * d_cost;
        let elements = V::splat(ELEMENTS as f32);
        let price = V::load(&parameters.beta_v[block], part)
            .multiply_add(elements, V::load(&parents.log_deviations, part));
        let d_beta_v = &mut d_parameters.beta_v[block];
        (elements * mass).multiply_add(scaled, V::load(d_beta_v, part)).store(d_beta_v, part);
        let d_log_deviations = scaled.multiply_add(mass, V::load(&space.d_log_deviations[block], part));
        let mut constant = (price * scaled).within(LARGEST_WEIGHT_SLOPE);

        let mass_epsilon = V::splat(plan.mass_epsilon);
        let divisor = mass + mass_epsilon;
        for h in 0..ELEMENTS {
            // d log(sigma + epsilon) / d variance, 0 where sigma is 0
            let deviation = V::load(&parents.deviations[h], part);
            let twice = (deviation + deviation) * (deviation + V::splat(plan.deviation_epsilon));
            let by_variance = zero.if_less(deviation, d_log_deviations / twice, zero);
            let d_variance = V::load(&space.d_variances[block][h], part) + by_variance;
            let half = zero.if_less(mask, d_variance / divisor, zero).within(parameters.limits.slope);
            half.store(&mut own.halves[h], part);
            let rest = V::load(&parents.rests[h], part);
            let d_mean = V::load(&space.d_means[block][h], part) - (half + half) * rest;
            let damping = V::splat(plan.mean_damping);
            (d_mean * damping).within(parameters.limits.mean_slope).store(&mut space.d_means[block][h], part);
            let slope = (d_mean * (one - damping) / divisor).within(parameters.limits.mean_slope);
            let slope = zero.if_less(mask, slope, zero);
            slope.store(&mut own.slopes[h], part);
            // V - mu_undamped = (V - mu) + (epsilon mu - rest) / (S + epsilon)
            let undamped = (mass_epsilon * V::load(&parents.means[h], part) - rest) / divisor;
            constant = constant - half * V::load(&parents.own_variances[h], part) + slope * undamped;
        }
        let constant = zero.if_less(mask, constant.within(LARGEST_WEIGHT_SLOPE), zero);
        constant.store(&mut own.constants, part);
    }
}

/// Undoes gain_j = (mean - cost_j) / (sd + epsilon): the constants, which hold what the gains gain, then hold what the costs do.
///
/// In f64: where few parents compete, this is a small difference of large numbers (of two parents it is 0 but for epsilon).
#[inline(always)]
fn normalisation(plan: &Plan, found: &Found, slopes: &mut [Slopes]) {
    let count = plan.parents as f64;
    let cost = |j: usize| f64::from(found.parents[j / WIDTH].costs.0[j % WIDTH]);
    let mean = (0..plan.parents).map(cost).sum::<f64>() / count;
    let squares = (0..plan.parents).map(|j| (cost(j) - mean) * (cost(j) - mean)).sum::<f64>();
    // equal costs may deviate by the rounding of their mean in f32, which the forward pass then divided by
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
    // d sqrt(x)/dx := 0 at 0, which the forward pass has found in f32
    let by_deviation = if found.cost_deviation == 0.0 { 0.0 } else { d_divisor / deviation };
    for j in 0..plan.parents {
        let constant = &mut slopes[j / WIDTH].constants.0[j % WIDTH];
        let d_cost = (d_mean + (cost(j) - mean) * by_deviation) / count - f64::from(*constant) / divisor;
        *constant = d_cost as f32;
    }
}

/// All that the votes of a group gain, and from it poses and transforms.
#[inline(always)]
fn votes_of_group<V: Vector>(
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
        fetch_next::<V>(votes, at, blocks, block);
        let votes = &votes[at * blocks + block];
        for part in 0..V::PARTS {
            let first = &steps[0];
            let d_weights =
                weight_slopes::<V>(votes, &first.found.parents[block], &first.slopes[block], part);
            for g in 0..GROUP {
                (V::load(&expected[g], part) + d_weights[g]).store(&mut expected[g], part);
            }
        }
        for (iteration, step) in steps.iter().enumerate() {
            let mut weights = [ZERO; GROUP];
            match iteration {
                0 => weigh_alike(plan, activations, &mut weights),
                _ => weigh::<V>(&step.responsibilities[at * blocks + block], activations, &mut weights),
            }
            let d_joint = match iteration + 1 < steps.len() && !plan.stop_gradient {
                true => Some(&step.d_joint[at * blocks + block]),
                false => None,
            };
            let (parents, slopes) = (&step.found.parents[block], &step.slopes[block]);
            for part in 0..V::PARTS {
                d_votes_of_step::<V>(
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
            V::fetch(&parameters.transforms[next]);
            V::fetch(&d_parameters.transforms[next]);
            for part in 0..V::PARTS {
                vote_to_transform::<V>(&poses[child], &d_votes[g], &mut d_parameters.transforms[tile], part);
                vote_to_pose::<V>(&d_votes[g], &parameters.transforms[tile], &mut d_pose_lanes[g], part);
            }
        }
    }
    for g in 0..children {
        let child = at * GROUP + g;
        d_activations[child] += plan.first_responsibility * V::sum(&expected[g]);
        d_poses[child] = V::sums(&d_pose_lanes[g]);
    }
}

/// Adds what the votes of a group gain by one iteration (the first begins the sum): q (2 half (V - mu) + slope) - d_x (V - mu) / sigma^2.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn d_votes_of_step<V: Vector>(
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
        let mut q = [V::splat(0.0); 4];
        let mut minus_d_x = q;
        for g in 0..4 {
            q[g] = V::load(&weights[four + g], part);
            if let Some(d_joint) = d_joint {
                minus_d_x[g] = V::splat(-2.0) * V::load(&d_joint[four + g], part);
            }
        }
        for h in 0..ELEMENTS {
            let (mean, slope) = (V::load(&parents.means[h], part), V::load(&slopes.slopes[h], part));
            let double = V::load(&slopes.halves[h], part) + V::load(&slopes.halves[h], part);
            let precision = V::load(&parents.precisions[h], part);
            for g in 0..4 {
                let offset = V::load(&votes[four + g][h], part) - mean;
                let mut sum = if is_first { V::splat(0.0) } else { V::load(&d_votes[four + g][h], part) };
                sum = q[g].multiply_add(double.multiply_add(offset, slope), sum);
                if d_joint.is_some() {
                    sum = minus_d_x[g].multiply_add(offset * precision, sum);
                }
                sum.store(&mut d_votes[four + g][h], part);
            }
        }
    }
}

/// dW += P^T dV for a block of parents.
#[inline(always)]
fn vote_to_transform<V: Vector>(pose: &[f32; ELEMENTS], d_vote: &Tile, d_transform: &mut Tile, part: usize) {
    for k in [0, 2] {
        let mut p = [[V::splat(0.0); SIDE]; 2];
        for row in 0..SIDE {
            p[0][row] = V::splat(pose[row * SIDE + k]);
            p[1][row] = V::splat(pose[row * SIDE + k + 1]);
        }
        for column in 0..SIDE {
            let mut first = V::load(&d_transform[k * SIDE + column], part);
            let mut second = V::load(&d_transform[(k + 1) * SIDE + column], part);
            for row in 0..SIDE {
                let d = V::load(&d_vote[row * SIDE + column], part);
                first = p[0][row].multiply_add(d, first);
                second = p[1][row].multiply_add(d, second);
            }
            first.store(&mut d_transform[k * SIDE + column], part);
            second.store(&mut d_transform[(k + 1) * SIDE + column], part);
        }
    }
}

/// dP += dV W^T, lane by lane: the sum over the lanes is left for the end.
#[inline(always)]
fn vote_to_pose<V: Vector>(d_vote: &Tile, transform: &Tile, d_pose: &mut Tile, part: usize) {
    for rows in [0, 2] {
        let mut sums = [V::splat(0.0); 2 * SIDE];
        for k in 0..2 * SIDE {
            sums[k] = V::load(&d_pose[rows * SIDE + k], part);
        }
        for column in 0..SIDE {
            let first = V::load(&d_vote[rows * SIDE + column], part);
            let second = V::load(&d_vote[(rows + 1) * SIDE + column], part);
            for k in 0..SIDE {
                let w = V::load(&transform[k * SIDE + column], part);
                sums[k] = first.multiply_add(w, sums[k]);
                sums[SIDE + k] = second.multiply_add(w, sums[SIDE + k]);
            }
        }
        for k in 0..2 * SIDE {
            sums[k].store(&mut d_pose[rows * SIDE + k], part);
        }
    }
}
