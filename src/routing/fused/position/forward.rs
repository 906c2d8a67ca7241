//! The forward pass of a position: the iterations of the routing, M-step after E-step.

use super::{
    ELEMENTS, Found, GROUP, MOVED, Parameters, Plan, Space, Step, Sums, Votes, accumulate, expectation,
    fetch_next, make_votes, places, weigh, weigh_alike,
};
use crate::compute::simd::{F32s, Simd, Tile, Vector, WithSimd, ZERO, exp, ln, sigmoid};

/// The forward pass at one position. Reads `space.poses` and `space.activations`; [`Space::parents`] returns the result.
pub(in super::super) struct Forward<'a> {
    pub plan: &'a Plan,
    pub parameters: &'a Parameters,
    pub space: &'a mut Space,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with<S: Simd>(self, simd: S) {
        forward(simd, self.plan, self.parameters, self.space);
    }
}

#[inline(always)]
fn forward<S: Simd>(simd: S, plan: &Plan, parameters: &Parameters, space: &mut Space) {
    let blocks = plan.blocks;
    let Space { poses, activations, votes, steps, origins, sums, group, .. } = space;

    // votes, and the sums of the first M-step with the first child's votes as origin
    sums.clear();
    for (at, votes) in votes.chunks_exact_mut(blocks).enumerate() {
        make_votes(simd, plan, parameters, poses, at, votes);
        if at == 0 {
            for (origin, votes) in origins.iter_mut().zip(votes.iter()) {
                *origin = votes[0];
            }
        }
        let mut weights = [ZERO; GROUP];
        weigh_alike(plan, &activations[at * GROUP..][..GROUP], &mut weights);
        for (block, votes) in votes.iter().enumerate() {
            accumulate(simd, votes, &weights, &origins[block], sums, block);
        }
    }
    finish(simd, plan, parameters, 0, votes, activations, steps, origins, sums);

    for iteration in 1..steps.len() {
        let (before, after) = steps.split_at_mut(iteration);
        let (before, step) = (&before[iteration - 1].found.parents, &mut after[0]);
        sums.clear();
        for at in 0..votes.len() / blocks {
            let own = &votes[at * blocks..][..blocks];
            let responsibilities = &mut step.responsibilities[at * blocks..][..blocks];
            expectation(simd, own, before, responsibilities);
            let activations = &activations[at * GROUP..][..GROUP];
            for block in 0..blocks {
                fetch_next(votes, at, blocks, block);
                weigh(simd, &responsibilities[block], activations, &mut group[block]);
                accumulate(simd, &own[block], &group[block], &before[block].means, sums, block);
            }
        }
        for (origin, before) in origins.iter_mut().zip(before) {
            *origin = before.means;
        }
        finish(simd, plan, parameters, iteration, votes, activations, steps, origins, sums);
    }
}

/// Computes masses, means and variances (without their floor) from the sums. Returns whether a mean is too far from the origin
/// ([`MOVED`]).
#[inline(always)]
fn moments<S: Simd>(
    simd: S,
    plan: &Plan,
    before: Option<&Found>,
    found: &mut Found,
    origins: &[Tile],
    sums: &Sums,
) -> bool {
    let (zero, one) = (simd.splat_f32(0.0), simd.splat_f32(1.0));
    let mut moved = zero;
    for (block, part) in places::<S>(plan.blocks) {
        let mask = simd.load_f32(&plan.mask[block], part);
        let mass = zero.if_less(mask, simd.load_f32(&sums.weights[block], part), zero);
        mass.store(&mut found.parents[block].masses, part);
        let divisor = mass + simd.splat_f32(plan.mass_epsilon);
        let share = mass / divisor;
        for h in 0..ELEMENTS {
            let origin = simd.load_f32(&origins[block][h], part);
            let first = simd.load_f32(&sums.offsets[block][h], part);
            // mu = sum q V / S = origin + sum q (V - origin) / S
            let undamped = zero.if_less(mask, origin.multiply_add(share, first / divisor), zero);
            let mean_before = match before {
                Some(before) => simd.load_f32(&before.parents[block].means[h], part),
                None => zero,
            };
            let damping = simd.splat_f32(plan.mean_damping);
            let mean = undamped * (one - damping) + mean_before * damping;
            mean.store(&mut found.parents[block].means[h], part);
            // sum q (V - mu)^2 = sum q (V - origin)^2 - 2 e sum q (V - origin) + e^2 S,  e = mu - origin
            let e = zero.if_less(mask, mean - origin, zero);
            let rest = first - e * mass;
            zero.if_less(mask, rest, zero).store(&mut found.parents[block].rests[h], part);
            let squares = simd.load_f32(&sums.squares[block][h], part) - e * (first + rest);
            let own = zero.if_less(mask, zero.larger(squares / divisor), zero);
            own.store(&mut found.parents[block].own_variances[h], part);
            moved = moved.larger((own * simd.splat_f32(MOVED)).if_less(e * e * share, one, zero));
        }
    }
    moved.largest() > 0.0
}

/// Completes the M-step: computes means, variances, costs and activations from the sums.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn finish<S: Simd>(
    simd: S,
    plan: &Plan,
    parameters: &Parameters,
    iteration: usize,
    votes: &[Votes],
    activations: &[f32],
    steps: &mut [Step],
    origins: &mut [Tile],
    sums: &mut Sums,
) {
    let blocks = plan.blocks;
    let (before, after) = steps.split_at_mut(iteration);
    let step = &mut after[0];
    // If a mean is too far from the origin, sum again with the mean as origin. A parent that has collapsed on one child needs this
    // twice: only then does the mean equal that child's vote to the last bit, so that the variance comes from the other children.
    for again in 0..3 {
        let far =
            moments(simd, plan, before.last().map(|before| &before.found), &mut step.found, origins, sums);
        if !far || again == 2 {
            break;
        }
        for (origin, parents) in origins.iter_mut().zip(&step.found.parents) {
            *origin = parents.means;
        }
        sums.clear();
        let mut weights = [ZERO; GROUP];
        for (at, votes) in votes.chunks_exact(blocks).enumerate() {
            for block in 0..blocks {
                let activations = &activations[at * GROUP..][..GROUP];
                match iteration {
                    0 => weigh_alike(plan, activations, &mut weights),
                    _ => weigh(simd, &step.responsibilities[at * blocks + block], activations, &mut weights),
                }
                accumulate(simd, &votes[block], &weights, &origins[block], sums, block);
            }
        }
    }

    let found = &mut step.found;
    costs(simd, plan, parameters, found);
    activate(simd, plan, parameters, iteration, found);
}

/// Computes deviations, precisions and costs, and the mean and deviation of the costs if they are normalised.
#[inline(always)]
fn costs<S: Simd>(simd: S, plan: &Plan, parameters: &Parameters, found: &mut Found) {
    let (blocks, zero) = (plan.blocks, simd.splat_f32(0.0));
    let mut cost_sums = ZERO;
    for (block, part) in places::<S>(blocks) {
        let mask = simd.load_f32(&plan.mask[block], part);
        let mut log_deviations = zero;
        for h in 0..ELEMENTS {
            let variance = simd.load_f32(&found.parents[block].own_variances[h], part)
                + simd.splat_f32(plan.variance_floor);
            let deviation = variance.sqrt();
            deviation.store(&mut found.parents[block].deviations[h], part);
            log_deviations = log_deviations + ln(simd, deviation + simd.splat_f32(plan.deviation_epsilon));
            let precision = simd.splat_f32(0.5) / variance;
            zero.if_less(mask, precision, zero).store(&mut found.parents[block].precisions[h], part);
        }
        let log_deviations = zero.if_less(mask, log_deviations, zero);
        log_deviations.store(&mut found.parents[block].log_deviations, part);
        // cost = scale sum_h (beta_v + log(sigma_h + epsilon)) S
        let price = simd
            .load_f32(&parameters.beta_v[block], part)
            .multiply_add(simd.splat_f32(ELEMENTS as f32), log_deviations);
        let cost =
            simd.splat_f32(plan.cost_scale) * price * simd.load_f32(&found.parents[block].masses, part);
        (simd.load_f32(&cost_sums, part) + cost).store(&mut cost_sums, part);
        cost.store(&mut found.parents[block].costs, part);
    }
    if plan.normalise_costs {
        found.cost_mean = simd.sum_f32(&cost_sums) / plan.parents as f32;
        let mut squares = ZERO;
        for (block, part) in places::<S>(blocks) {
            let offset = simd.load_f32(&found.parents[block].costs, part) - simd.splat_f32(found.cost_mean);
            let square = zero.if_less(simd.load_f32(&plan.mask[block], part), offset * offset, zero);
            (simd.load_f32(&squares, part) + square).store(&mut squares, part);
        }
        found.cost_deviation = (simd.sum_f32(&squares) / plan.parents as f32).sqrt();
    }
}

/// Computes the activations from the costs, and the log scales for the next E-step.
#[inline(always)]
fn activate<S: Simd>(simd: S, plan: &Plan, parameters: &Parameters, iteration: usize, found: &mut Found) {
    let (zero, one) = (simd.splat_f32(0.0), simd.splat_f32(1.0));
    for (block, part) in places::<S>(plan.blocks) {
        let cost = simd.load_f32(&found.parents[block].costs, part);
        let gain = match plan.normalise_costs {
            true => {
                (simd.splat_f32(found.cost_mean) - cost)
                    / simd.splat_f32(found.cost_deviation + plan.cost_epsilon)
            }
            false => zero - cost,
        };
        // a = sigmoid(lambda (beta_a + gain))
        let logit = simd.splat_f32(plan.inverse_temperatures[iteration])
            * (simd.load_f32(&parameters.beta_a[block], part) + gain);
        let activation = sigmoid(simd, logit);
        logit.store(&mut found.parents[block].logits, part);
        activation.store(&mut found.parents[block].activations, part);
        let log_activation = match plan.activation_epsilon {
            // log sigmoid(x) = min(x, 0) - log(1 + e^-|x|)
            0.0 => zero.smaller(logit) - ln(simd, one + exp(simd, logit.smaller(zero - logit))),
            epsilon => ln(simd, activation + simd.splat_f32(epsilon)),
        };
        let log_scale = log_activation - simd.load_f32(&found.parents[block].log_deviations, part);
        let masked = simd.splat_f32(f32::NEG_INFINITY);
        zero.if_less(simd.load_f32(&plan.mask[block], part), log_scale, masked)
            .store(&mut found.parents[block].log_scales, part);
    }
}
