//! One output position: votes, routing, and all of it undone, with what lies between in one thread's scratch.
//!
//! Children go in groups of eight, whose votes stay in the nearest cache while they are weighed and summed; the last group is
//! filled up with children of activation 0. Parents go in blocks of eight lanes, the last filled up and masked.

use super::vector::{Lane, Tile, Vector, ZERO, ZEROS, exp, ln, sigmoid};
use super::{ELEMENTS, SIDE};

/// The children of a group.
pub(super) const GROUP: usize = 8;

/// One number for each child of a group and each parent of a block.
pub(super) type Weights = [Lane; GROUP];

/// The votes of a group for a block.
pub(super) type Votes = [Tile; GROUP];

/// Where parts of the gradient are held so that no product overflows, which would lead to inf - inf. True gradients that large
/// come only of votes, activations and betas that no training has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Of what half a squared offset gains.
    slope: f32,
    /// Of what an offset gains.
    mean_slope: f32,
    /// Of d_x, the gradient of a log-density.
    joint: f32,
}

/// Of what a weight gains, and of the gradient of an activation's logarithm.
const LARGEST_WEIGHT_SLOPE: f32 = 1e33;
const LARGEST_GAIN_SLOPE: f32 = 1e20;

impl Limits {
    /// From the largest sizes of poses and transforms, which bound the votes.
    pub fn new(plan: &Plan, pose: f32, transform: f32) -> Limits {
        let offset = 2.0 * (SIDE as f32 * pose * transform + pose + transform + 2.0);
        Limits {
            slope: 1e34 / ELEMENTS as f32 / offset / offset,
            mean_slope: 1e34 / ELEMENTS as f32 / offset,
            joint: 1e30 / plan.children as f32 / offset / offset,
        }
    }
}

/// From this share on the mean has moved so far from the origin of the sums that the variance about it has lost digits: it is
/// then summed again about the mean.
const MOVED: f32 = 32.0;

/// What is the same at each position.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub children: usize,
    pub parents: usize,
    pub blocks: usize,
    /// The number of transforms; child i takes that of i modulo it.
    pub transforms: usize,
    /// Rows and columns of the layer below, where the votes are told where they come from.
    pub coordinates: Option<(usize, usize)>,
    pub inverse_temperatures: Vec<f32>,
    pub first_responsibility: f32,
    pub normalise_costs: bool,
    pub cost_scale: f32,
    pub deviation_epsilon: f32,
    pub cost_epsilon: f32,
    pub activation_epsilon: f32,
    pub mass_epsilon: f32,
    pub variance_floor: f32,
    pub mean_damping: f32,
    pub stop_gradient: bool,
    /// 1 for a parent, 0 for a lane that is left over.
    pub mask: Vec<Lane>,
}

/// What is learnt, with parents in lanes.
pub(super) struct Parameters {
    /// W, transforms x blocks.
    pub transforms: Vec<Tile>,
    pub beta_v: Vec<Lane>,
    pub beta_a: Vec<Lane>,
    pub limits: Limits,
}

/// What a chunk sums up for the gradient of the parameters.
pub(super) struct ParameterSums {
    pub transforms: Vec<Tile>,
    pub beta_v: Vec<Lane>,
    pub beta_a: Vec<Lane>,
}

impl ParameterSums {
    pub fn new(plan: &Plan) -> ParameterSums {
        ParameterSums {
            transforms: vec![ZEROS; plan.transforms * plan.blocks],
            beta_v: vec![ZERO; plan.blocks],
            beta_a: vec![ZERO; plan.blocks],
        }
    }

    pub fn merge(&mut self, other: &ParameterSums) {
        let pairs = [(&mut self.beta_v, &other.beta_v), (&mut self.beta_a, &other.beta_a)];
        let betas = pairs.into_iter().flat_map(|(own, others)| own.iter_mut().zip(others));
        let transforms = self.transforms.as_flattened_mut().iter_mut();
        for (own, other) in betas.chain(transforms.zip(other.transforms.as_flattened())) {
            for (own, other) in own.0.iter_mut().zip(other.0) {
                *own += other;
            }
        }
    }
}

/// What one iteration leaves, by block: the letters of the routing's table.
struct Step {
    /// R, groups x blocks; that of the first iteration is the same for all and not written.
    responsibilities: Vec<Weights>,
    masses: Vec<Lane>,
    means: Vec<Tile>,
    /// sum_i q_i (V_i - mu): 0 but for damping, the mass epsilon and the rounding of mu, which the gradient has to know where a
    /// parent has collapsed on one child.
    rests: Vec<Tile>,
    /// Without the floor.
    own_variances: Vec<Tile>,
    /// sigma
    deviations: Vec<Tile>,
    /// 1 / (2 sigma^2), 0 where masked.
    precisions: Vec<Tile>,
    /// sum_h log(sigma_h + epsilon)
    log_deviations: Vec<Lane>,
    costs: Vec<Lane>,
    logits: Vec<Lane>,
    activations: Vec<Lane>,
    /// log a_j - sum_h log(sigma_jh + epsilon): what a child without a vote would add to; minus infinity where masked.
    log_scales: Vec<Lane>,
    cost_mean: f32,
    cost_deviation: f32,

    /// Of the gradient. d_x of the E-step **after** this step, groups x blocks.
    d_joint: Vec<Weights>,
    /// Half of what a squared offset gains, then what an offset gains, and the rest of what a weight gains.
    half_slopes: Vec<Tile>,
    slopes: Vec<Tile>,
    constants: Vec<Lane>,
}

/// Scratch of one thread.
pub(super) struct Space {
    /// Of each child, filled up.
    pub poses: Vec<[f32; ELEMENTS]>,
    pub activations: Vec<f32>,
    /// Groups x blocks.
    votes: Vec<Votes>,
    steps: Vec<Step>,
    origins: Vec<Tile>,
    sums: Sums,
    /// Of a group, by block.
    group: Vec<Weights>,
    joint: Vec<Weights>,
    d_votes: Vec<Votes>,

    pub d_parent_poses: Vec<Tile>,
    pub d_parent_activations: Vec<Lane>,
    d_log_deviations: Vec<Lane>,
    d_log_activations: Vec<Lane>,
    d_means: Vec<Tile>,
    d_variances: Vec<Tile>,
    pub d_poses: Vec<[f32; ELEMENTS]>,
    pub d_activations: Vec<f32>,
}

/// sum_i q_i, sum_i q_i (V_i - origin), sum_i q_i (V_i - origin)^2, by block.
struct Sums {
    weights: Vec<Lane>,
    offsets: Vec<Tile>,
    squares: Vec<Tile>,
}

impl Sums {
    fn clear(&mut self) {
        self.weights.fill(ZERO);
        self.offsets.fill(ZEROS);
        self.squares.fill(ZEROS);
    }
}

impl Space {
    pub fn new(plan: &Plan, with_gradient: bool) -> Space {
        let (groups, blocks) = (plan.children.div_ceil(GROUP), plan.blocks);
        let iterations = plan.inverse_temperatures.len();
        let lanes = || vec![ZERO; blocks];
        let tiles = || vec![ZEROS; blocks];
        let weights = |yes: bool| vec![[ZERO; GROUP]; if yes { groups * blocks } else { 0 }];
        let steps = (0..iterations).map(|iteration| Step {
            responsibilities: weights(iteration > 0),
            masses: lanes(),
            means: tiles(),
            rests: tiles(),
            own_variances: tiles(),
            deviations: tiles(),
            precisions: tiles(),
            log_deviations: lanes(),
            costs: lanes(),
            logits: lanes(),
            activations: lanes(),
            log_scales: lanes(),
            cost_mean: 0.0,
            cost_deviation: 0.0,
            d_joint: weights(with_gradient && iteration + 1 < iterations),
            half_slopes: tiles(),
            slopes: tiles(),
            constants: lanes(),
        });
        Space {
            poses: vec![[0.0; ELEMENTS]; groups * GROUP],
            activations: vec![0.0; groups * GROUP],
            votes: vec![[ZEROS; GROUP]; groups * blocks],
            steps: steps.collect(),
            origins: tiles(),
            sums: Sums { weights: lanes(), offsets: tiles(), squares: tiles() },
            group: vec![[ZERO; GROUP]; blocks],
            joint: vec![[ZERO; GROUP]; blocks],
            d_votes: vec![[ZEROS; GROUP]; if with_gradient { blocks } else { 0 }],
            d_parent_poses: tiles(),
            d_parent_activations: lanes(),
            d_log_deviations: lanes(),
            d_log_activations: lanes(),
            d_means: tiles(),
            d_variances: tiles(),
            d_poses: vec![[0.0; ELEMENTS]; groups * GROUP],
            d_activations: vec![0.0; groups * GROUP],
        }
    }

    /// The parents' poses and activations, by block.
    pub fn parents(&self) -> (&[Tile], &[Lane]) {
        let last = self.steps.last().expect("at least one iteration");
        (&last.means, &last.activations)
    }
}

/// V = P W for a block of parents.
#[inline(always)]
fn vote<V: Vector>(pose: &[f32; ELEMENTS], transform: &Tile, vote: &mut Tile) {
    // two rows at a time: each W that is loaded serves twice
    for rows in [0, 2] {
        let mut p = [[V::splat(0.0); SIDE]; 2];
        for k in 0..SIDE {
            p[0][k] = V::splat(pose[rows * SIDE + k]);
            p[1][k] = V::splat(pose[(rows + 1) * SIDE + k]);
        }
        for column in 0..SIDE {
            let w = V::load(&transform[column]);
            let (mut first, mut second) = (p[0][0] * w, p[1][0] * w);
            for k in 1..SIDE {
                let w = V::load(&transform[k * SIDE + column]);
                first = p[0][k].multiply_add(w, first);
                second = p[1][k].multiply_add(w, second);
            }
            first.store(&mut vote[rows * SIDE + column]);
            second.store(&mut vote[(rows + 1) * SIDE + column]);
        }
    }
}

/// dW += P^T dV for a block of parents.
#[inline(always)]
fn vote_to_transform<V: Vector>(pose: &[f32; ELEMENTS], d_vote: &Tile, d_transform: &mut Tile) {
    for k in [0, 2] {
        let mut p = [[V::splat(0.0); SIDE]; 2];
        for row in 0..SIDE {
            p[0][row] = V::splat(pose[row * SIDE + k]);
            p[1][row] = V::splat(pose[row * SIDE + k + 1]);
        }
        for column in 0..SIDE {
            let mut first = V::load(&d_transform[k * SIDE + column]);
            let mut second = V::load(&d_transform[(k + 1) * SIDE + column]);
            for row in 0..SIDE {
                let d = V::load(&d_vote[row * SIDE + column]);
                first = p[0][row].multiply_add(d, first);
                second = p[1][row].multiply_add(d, second);
            }
            first.store(&mut d_transform[k * SIDE + column]);
            second.store(&mut d_transform[(k + 1) * SIDE + column]);
        }
    }
}

/// dP = sum over the parents of dV W^T.
#[inline(always)]
fn vote_to_pose<V: Vector>(d_votes: &[Votes], child: usize, transforms: &[Tile]) -> [f32; ELEMENTS] {
    let mut d_pose = [0.0; ELEMENTS];
    for rows in [0, 2] {
        let mut sums = [V::splat(0.0); 2 * SIDE];
        for (d_vote, transform) in d_votes.iter().zip(transforms) {
            let d_vote = &d_vote[child];
            for column in 0..SIDE {
                let first = V::load(&d_vote[rows * SIDE + column]);
                let second = V::load(&d_vote[(rows + 1) * SIDE + column]);
                for k in 0..SIDE {
                    let w = V::load(&transform[k * SIDE + column]);
                    sums[k] = first.multiply_add(w, sums[k]);
                    sums[SIDE + k] = second.multiply_add(w, sums[SIDE + k]);
                }
            }
        }
        let mut lane = ZERO;
        V::sums(sums).store(&mut lane);
        d_pose[rows * SIDE..][..2 * SIDE].copy_from_slice(&lane.0);
    }
    d_pose
}

/// sum_h (V_h - mean_h)^2 precision_h for a group and a block.
#[inline(always)]
fn distances<V: Vector>(votes: &Votes, means: &Tile, precisions: &Tile) -> [V; GROUP] {
    let mut sums = [V::splat(0.0); GROUP];
    for h in 0..ELEMENTS {
        let (mean, precision) = (V::load(&means[h]), V::load(&precisions[h]));
        for g in 0..GROUP {
            let offset = V::load(&votes[g][h]) - mean;
            sums[g] = (offset * precision).multiply_add(offset, sums[g]);
        }
    }
    sums
}

/// Adds a group's weights to the sums of a block.
#[inline(always)]
fn accumulate<V: Vector>(votes: &Votes, weights: &Weights, origin: &Tile, sums: &mut Sums, block: usize) {
    let mut mass = V::load(&sums.weights[block]);
    for weight in weights {
        mass = mass + V::load(weight);
    }
    mass.store(&mut sums.weights[block]);
    let (offsets, squares) = (&mut sums.offsets[block], &mut sums.squares[block]);
    for four in (0..ELEMENTS).step_by(4) {
        let mut from = [V::splat(0.0); 4];
        let (mut first, mut second) = (from, from);
        for h in 0..4 {
            from[h] = V::load(&origin[four + h]);
            first[h] = V::load(&offsets[four + h]);
            second[h] = V::load(&squares[four + h]);
        }
        for g in 0..GROUP {
            let weight = V::load(&weights[g]);
            for h in 0..4 {
                let offset = V::load(&votes[g][four + h]) - from[h];
                let weighted = weight * offset;
                first[h] = first[h] + weighted;
                second[h] = weighted.multiply_add(offset, second[h]);
            }
        }
        for h in 0..4 {
            first[h].store(&mut offsets[four + h]);
            second[h].store(&mut squares[four + h]);
        }
    }
}

/// The position's forward: from `space.poses` and `space.activations` to [`Space::parents`].
#[inline(always)]
pub(super) fn forward<V: Vector>(plan: &Plan, parameters: &Parameters, space: &mut Space) {
    let blocks = plan.blocks;
    let Space { poses, activations, votes, steps, origins, sums, group, joint, .. } = space;

    // votes, and the sums of the first M-step about the first child's votes
    sums.clear();
    for (at, votes) in votes.chunks_exact_mut(blocks).enumerate() {
        for g in 0..GROUP.min(plan.children - at * GROUP) {
            let child = at * GROUP + g;
            let transforms = &parameters.transforms[child % plan.transforms * blocks..][..blocks];
            for (votes, transform) in votes.iter_mut().zip(transforms) {
                vote::<V>(&poses[child], transform, &mut votes[g]);
            }
            if let Some((height, width)) = plan.coordinates {
                let place = child / plan.transforms;
                let row = V::splat(((place / width) as f32 + 0.5) / height as f32);
                let column = V::splat(((place % width) as f32 + 0.5) / width as f32);
                for votes in votes.iter_mut() {
                    (V::load(&votes[g][0]) + row).store(&mut votes[g][0]);
                    (V::load(&votes[g][1]) + column).store(&mut votes[g][1]);
                }
            }
        }
        if at == 0 {
            for (origin, votes) in origins.iter_mut().zip(votes.iter()) {
                *origin = votes[0];
            }
        }
        let mut weights = [ZERO; GROUP];
        for (weight, activation) in weights.iter_mut().zip(&activations[at * GROUP..][..GROUP]) {
            V::splat(activation * plan.first_responsibility).store(weight);
        }
        for (block, votes) in votes.iter().enumerate() {
            accumulate::<V>(votes, &weights, &origins[block], sums, block);
        }
    }
    finish::<V>(plan, parameters, 0, votes, activations, steps, origins, sums);

    for iteration in 1..steps.len() {
        let (before, after) = steps.split_at_mut(iteration);
        let (before, responsibilities) = (&before[iteration - 1], &mut after[0].responsibilities);
        sums.clear();
        let groups = votes.chunks_exact(blocks).zip(responsibilities.chunks_exact_mut(blocks));
        for ((votes, responsibilities), activations) in groups.zip(activations.chunks_exact(GROUP)) {
            // the E-step of this group
            let mut largest = [V::splat(f32::NEG_INFINITY); GROUP];
            for block in 0..blocks {
                let scale = V::load(&before.log_scales[block]);
                let distances =
                    distances::<V>(&votes[block], &before.means[block], &before.precisions[block]);
                for g in 0..GROUP {
                    let x = scale - distances[g];
                    largest[g] = largest[g].larger(x);
                    x.store(&mut joint[block][g]);
                }
            }
            for g in 0..GROUP {
                largest[g] = V::splat(largest[g].largest());
            }
            let mut total = [V::splat(0.0); GROUP];
            for joint in joint.iter_mut() {
                for g in 0..GROUP {
                    let x = exp(V::load(&joint[g]) - largest[g]);
                    total[g] = total[g] + x;
                    x.store(&mut joint[g]);
                }
            }
            for g in 0..GROUP {
                total[g] = V::splat(1.0 / total[g].sum());
            }
            // its part of the M-step
            for block in 0..blocks {
                for g in 0..GROUP {
                    let responsibility = V::load(&joint[block][g]) * total[g];
                    responsibility.store(&mut responsibilities[block][g]);
                    (responsibility * V::splat(activations[g])).store(&mut group[block][g]);
                }
                accumulate::<V>(&votes[block], &group[block], &before.means[block], sums, block);
            }
        }
        origins.copy_from_slice(&before.means);
        finish::<V>(plan, parameters, iteration, votes, activations, steps, origins, sums);
    }
}

/// From the sums to masses, means and variances without their floor; whether a mean has moved far from the origin.
#[inline(always)]
fn moments<V: Vector>(
    plan: &Plan,
    before: Option<&Step>,
    step: &mut Step,
    origins: &[Tile],
    sums: &Sums,
) -> bool {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let mut moved = zero;
    for block in 0..plan.blocks {
        let mask = V::load(&plan.mask[block]);
        let mass = zero.if_less(mask, V::load(&sums.weights[block]), zero);
        mass.store(&mut step.masses[block]);
        let divisor = mass + V::splat(plan.mass_epsilon);
        let share = mass / divisor;
        for h in 0..ELEMENTS {
            let origin = V::load(&origins[block][h]);
            let first = V::load(&sums.offsets[block][h]);
            // mu = sum q V / S = origin + sum q (V - origin) / S
            let undamped = zero.if_less(mask, origin.multiply_add(share, first / divisor), zero);
            let mean_before = match before {
                Some(before) => V::load(&before.means[block][h]),
                None => zero,
            };
            let damping = V::splat(plan.mean_damping);
            let mean = undamped * (one - damping) + mean_before * damping;
            mean.store(&mut step.means[block][h]);
            // sum q (V - mu)^2 = sum q (V - origin)^2 - 2 e sum q (V - origin) + e^2 S,  e = mu - origin
            let e = zero.if_less(mask, mean - origin, zero);
            let rest = first - e * mass;
            zero.if_less(mask, rest, zero).store(&mut step.rests[block][h]);
            let squares = V::load(&sums.squares[block][h]) - e * (first + rest);
            let own = zero.if_less(mask, zero.larger(squares / divisor), zero);
            own.store(&mut step.own_variances[block][h]);
            moved = moved.larger((own * V::splat(MOVED)).if_less(e * e * share, one, zero));
        }
    }
    moved.largest() > 0.0
}

/// From the sums to means, variances, costs and activations.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn finish<V: Vector>(
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
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let (before, after) = steps.split_at_mut(iteration);
    let step = &mut after[0];
    // The mean that has moved far becomes the origin of new sums. A parent that has collapsed on one child needs this twice:
    // only then is its mean that vote to the last bit, and the variance what the others add.
    for _ in 0..3 {
        if !moments::<V>(plan, before.last(), step, origins, sums) {
            break;
        }
        origins.copy_from_slice(&step.means);
        sums.clear();
        let mut weights = [ZERO; GROUP];
        for (at, votes) in votes.chunks_exact(blocks).enumerate() {
            for block in 0..blocks {
                for g in 0..GROUP {
                    let responsibility = match iteration {
                        0 => V::splat(plan.first_responsibility),
                        _ => V::load(&step.responsibilities[at * blocks + block][g]),
                    };
                    (responsibility * V::splat(activations[at * GROUP + g])).store(&mut weights[g]);
                }
                accumulate::<V>(&votes[block], &weights, &origins[block], sums, block);
            }
        }
    }

    let mut cost_sum = zero;
    for block in 0..blocks {
        let mask = V::load(&plan.mask[block]);
        let mut log_deviations = zero;
        for h in 0..ELEMENTS {
            let variance = V::load(&step.own_variances[block][h]) + V::splat(plan.variance_floor);
            let deviation = variance.sqrt();
            deviation.store(&mut step.deviations[block][h]);
            log_deviations = log_deviations + ln(deviation + V::splat(plan.deviation_epsilon));
            let precision = V::splat(0.5) / variance;
            zero.if_less(mask, precision, zero).store(&mut step.precisions[block][h]);
        }
        let log_deviations = zero.if_less(mask, log_deviations, zero);
        log_deviations.store(&mut step.log_deviations[block]);
        // cost = scale sum_h (beta_v + log(sigma_h + epsilon)) S
        let price =
            V::load(&parameters.beta_v[block]).multiply_add(V::splat(ELEMENTS as f32), log_deviations);
        let cost = V::splat(plan.cost_scale) * price * V::load(&step.masses[block]);
        cost_sum = cost_sum + cost;
        cost.store(&mut step.costs[block]);
    }
    if plan.normalise_costs {
        step.cost_mean = cost_sum.sum() / plan.parents as f32;
        let mut squares = zero;
        for block in 0..blocks {
            let offset = V::load(&step.costs[block]) - V::splat(step.cost_mean);
            squares = squares + zero.if_less(V::load(&plan.mask[block]), offset * offset, zero);
        }
        step.cost_deviation = (squares.sum() / plan.parents as f32).sqrt();
    }
    for block in 0..blocks {
        let cost = V::load(&step.costs[block]);
        let gain = match plan.normalise_costs {
            true => (V::splat(step.cost_mean) - cost) / V::splat(step.cost_deviation + plan.cost_epsilon),
            false => zero - cost,
        };
        // a = sigmoid(lambda (beta_a + gain))
        let logit =
            V::splat(plan.inverse_temperatures[iteration]) * (V::load(&parameters.beta_a[block]) + gain);
        let activation = sigmoid(logit);
        logit.store(&mut step.logits[block]);
        activation.store(&mut step.activations[block]);
        let log_activation = match plan.activation_epsilon {
            // log sigmoid(x) = min(x, 0) - log(1 + e^-|x|)
            0.0 => zero.smaller(logit) - ln(one + exp(logit.smaller(zero - logit))),
            epsilon => ln(activation + V::splat(epsilon)),
        };
        let log_scale = log_activation - V::load(&step.log_deviations[block]);
        let masked = V::splat(f32::NEG_INFINITY);
        zero.if_less(V::load(&plan.mask[block]), log_scale, masked).store(&mut step.log_scales[block]);
    }
}

/// Undoes [`forward`], which `space` still holds: from `space.d_parent_poses` and `space.d_parent_activations` to
/// `space.d_poses` and `space.d_activations`, and adds to the sums of the parameters' gradient.
#[inline(always)]
pub(super) fn backward<V: Vector>(
    plan: &Plan,
    parameters: &Parameters,
    space: &mut Space,
    d_parameters: &mut ParameterSums,
) {
    let blocks = plan.blocks;
    let zero = V::splat(0.0);
    space.d_activations.fill(0.0);
    space.d_log_activations.fill(ZERO);
    space.d_log_deviations.fill(ZERO);
    space.d_variances.fill(ZEROS);
    space.d_means.copy_from_slice(&space.d_parent_poses);
    for iteration in (0..space.steps.len()).rev() {
        slopes::<V>(plan, parameters, space, iteration, d_parameters);
        if iteration == 0 {
            break;
        }
        let Space {
            activations,
            votes,
            steps,
            sums,
            joint,
            d_activations,
            d_log_activations,
            d_log_deviations,
            d_means,
            d_variances,
            ..
        } = &mut *space;
        let (before, after) = steps.split_at_mut(iteration);
        let (before, step) = (&mut before[iteration - 1], &after[0]);
        sums.clear();
        for (at, votes) in votes.chunks_exact(blocks).enumerate() {
            let responsibilities = &step.responsibilities[at * blocks..][..blocks];
            let mut expected = [zero; GROUP];
            for block in 0..blocks {
                let d_weights = weight_slopes::<V>(&votes[block], step, block);
                for g in 0..GROUP {
                    d_weights[g].store(&mut joint[block][g]);
                    let responsibility = V::load(&responsibilities[block][g]);
                    expected[g] = responsibility.multiply_add(d_weights[g], expected[g]);
                }
            }
            // sum_j R_ij d_q_ij: the gradient of a_i, and what the softmax takes off
            for g in 0..GROUP {
                let sum = expected[g].sum();
                d_activations[at * GROUP + g] += sum;
                expected[g] = V::splat(sum);
            }
            if plan.stop_gradient {
                continue;
            }
            let d_joint = &mut before.d_joint[at * blocks..][..blocks];
            for block in 0..blocks {
                for g in 0..GROUP {
                    let weight = V::load(&responsibilities[block][g]) * V::splat(activations[at * GROUP + g]);
                    let d_x = weight * (V::load(&joint[block][g]) - expected[g]);
                    d_x.within(parameters.limits.joint).store(&mut d_joint[block][g]);
                }
                accumulate::<V>(&votes[block], &d_joint[block], &before.means[block], sums, block);
            }
        }
        // of x = log a - sum_h log(sigma_h + epsilon) - sum_h (V_h - mu_h)^2 / (2 sigma^2_h)
        for block in 0..blocks {
            let sum = V::load(&sums.weights[block]);
            sum.store(&mut d_log_activations[block]);
            (zero - sum).store(&mut d_log_deviations[block]);
            for h in 0..ELEMENTS {
                let precision = V::load(&before.precisions[block][h]);
                let double = precision + precision;
                let d_mean = V::load(&d_means[block][h]); // what the damping hands back
                let d_mean = V::load(&sums.offsets[block][h]).multiply_add(double, d_mean);
                d_mean.within(parameters.limits.mean_slope).store(&mut d_means[block][h]);
                let half = (V::load(&sums.squares[block][h]) * precision).within(LARGEST_WEIGHT_SLOPE);
                (half * double).within(LARGEST_WEIGHT_SLOPE).store(&mut d_variances[block][h]);
            }
        }
    }
    d_votes::<V>(plan, parameters, space, d_parameters);
}

/// What each weight R_ij a_i of a group gains through masses, means and variances.
#[inline(always)]
fn weight_slopes<V: Vector>(votes: &Votes, step: &Step, block: usize) -> [V; GROUP] {
    let mut sums = [V::load(&step.constants[block]); GROUP];
    let (means, half_slopes, slopes) = (&step.means[block], &step.half_slopes[block], &step.slopes[block]);
    for h in 0..ELEMENTS {
        let (mean, half, slope) = (V::load(&means[h]), V::load(&half_slopes[h]), V::load(&slopes[h]));
        for g in 0..GROUP {
            let offset = V::load(&votes[g][h]) - mean;
            sums[g] = half.multiply_add(offset, slope).multiply_add(offset, sums[g]);
        }
    }
    for g in 0..GROUP {
        sums[g] = sums[g].within(LARGEST_WEIGHT_SLOPE);
    }
    sums
}

/// Undoes [`finish`]: what votes and weights gain by one iteration, as `half_slopes`, `slopes` and `constants`; `d_means` then
/// holds what the means before gain by damping.
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
    let step = &mut space.steps[iteration];

    // a = sigmoid(logit), logit = lambda (beta_a + gain); d_gains go where the costs' gradients will stand
    let divisor = step.cost_deviation + plan.cost_epsilon;
    let (mut d_gain_sum, mut d_divisor) = (zero, zero);
    for block in 0..blocks {
        let activation = V::load(&step.activations[block]);
        let inactivation = sigmoid(zero - V::load(&step.logits[block]));
        let share = match plan.activation_epsilon {
            0.0 => one,
            epsilon => activation / (activation + V::splat(epsilon)),
        };
        let mut d_logit = V::load(&space.d_log_activations[block]) * share;
        if last {
            d_logit = V::load(&space.d_parent_activations[block]).multiply_add(activation, d_logit);
        }
        let d_gain = V::splat(plan.inverse_temperatures[iteration]) * d_logit * inactivation;
        let d_gain = zero.if_less(V::load(&plan.mask[block]), d_gain.within(LARGEST_GAIN_SLOPE), zero);
        d_gain.store(&mut step.constants[block]);
        let d_beta_a = &mut d_parameters.beta_a[block];
        (V::load(d_beta_a) + d_gain).store(d_beta_a);
        d_gain_sum = d_gain_sum + d_gain;
        let offset = (V::splat(step.cost_mean) - V::load(&step.costs[block])) / V::splat(divisor);
        if plan.normalise_costs {
            d_divisor = d_gain.multiply_add(offset, d_divisor);
        }
    }
    let d_mean = d_gain_sum.sum() / divisor;
    let d_divisor = -d_divisor.sum() / divisor;
    // d sqrt(x)/dx := 0 at 0
    let (d_deviation, deviation) = match step.cost_deviation {
        0.0 => (0.0, 1.0),
        deviation => (d_divisor / plan.parents as f32, deviation),
    };

    for block in 0..blocks {
        let mask = V::load(&plan.mask[block]);
        let d_gain = V::load(&step.constants[block]);
        let d_cost = match plan.normalise_costs {
            true => {
                let offset = (V::load(&step.costs[block]) - V::splat(step.cost_mean)) / V::splat(deviation);
                let d_cost = V::splat(d_mean / plan.parents as f32) - d_gain / V::splat(divisor);
                zero.if_less(mask, offset.multiply_add(V::splat(d_deviation), d_cost), zero)
            }
            false => zero - d_gain,
        };
        // cost = scale (16 beta_v + log_deviations) S
        let mass = V::load(&step.masses[block]);
        let scaled = V::splat(plan.cost_scale) * d_cost;
        let elements = V::splat(ELEMENTS as f32);
        let price =
            V::load(&parameters.beta_v[block]).multiply_add(elements, V::load(&step.log_deviations[block]));
        let d_beta_v = &mut d_parameters.beta_v[block];
        (elements * mass).multiply_add(scaled, V::load(d_beta_v)).store(d_beta_v);
        let d_log_deviations = scaled.multiply_add(mass, V::load(&space.d_log_deviations[block]));
        let mut constant = (price * scaled).within(LARGEST_WEIGHT_SLOPE);

        let mass_epsilon = V::splat(plan.mass_epsilon);
        let divisor = mass + mass_epsilon;
        for h in 0..ELEMENTS {
            // d log(sigma + epsilon) / d variance, 0 where sigma is 0
            let deviation = V::load(&step.deviations[block][h]);
            let twice = (deviation + deviation) * (deviation + V::splat(plan.deviation_epsilon));
            let by_variance = zero.if_less(deviation, d_log_deviations / twice, zero);
            let d_variance = V::load(&space.d_variances[block][h]) + by_variance;
            let half = zero.if_less(mask, d_variance / divisor, zero).within(parameters.limits.slope);
            half.store(&mut step.half_slopes[block][h]);
            let rest = V::load(&step.rests[block][h]);
            let d_mean = V::load(&space.d_means[block][h]) - (half + half) * rest;
            let damping = V::splat(plan.mean_damping);
            (d_mean * damping).within(parameters.limits.mean_slope).store(&mut space.d_means[block][h]);
            let slope = (d_mean * (one - damping) / divisor).within(parameters.limits.mean_slope);
            let slope = zero.if_less(mask, slope, zero);
            slope.store(&mut step.slopes[block][h]);
            // V - mu_undamped = (V - mu) + (epsilon mu - rest) / (S + epsilon)
            let undamped = (mass_epsilon * V::load(&step.means[block][h]) - rest) / divisor;
            constant = constant - half * V::load(&step.own_variances[block][h]) + slope * undamped;
        }
        let constant = zero.if_less(mask, constant.within(LARGEST_WEIGHT_SLOPE), zero);
        constant.store(&mut step.constants[block]);
    }
}

/// All that the votes gain, and from it poses and transforms.
#[inline(always)]
fn d_votes<V: Vector>(
    plan: &Plan,
    parameters: &Parameters,
    space: &mut Space,
    d_parameters: &mut ParameterSums,
) {
    let blocks = plan.blocks;
    let zero = V::splat(0.0);
    let Space { poses, activations, votes, steps, group, d_votes, d_poses, d_activations, .. } = space;
    for (at, votes) in votes.chunks_exact(blocks).enumerate() {
        let activations = &activations[at * GROUP..][..GROUP];
        let mut expected = [zero; GROUP];
        for block in 0..blocks {
            let d_weights = weight_slopes::<V>(&votes[block], &steps[0], block);
            for g in 0..GROUP {
                expected[g] = expected[g] + d_weights[g];
            }
            d_votes[block] = [ZEROS; GROUP];
            for (iteration, step) in steps.iter().enumerate() {
                for g in 0..GROUP {
                    let responsibility = match iteration {
                        0 => V::splat(plan.first_responsibility),
                        _ => V::load(&step.responsibilities[at * blocks + block][g]),
                    };
                    (responsibility * V::splat(activations[g])).store(&mut group[block][g]);
                }
                let d_joint = match iteration + 1 < steps.len() && !plan.stop_gradient {
                    true => Some(&step.d_joint[at * blocks + block]),
                    false => None,
                };
                d_votes_of_step::<V>(&votes[block], &group[block], d_joint, step, block, &mut d_votes[block]);
            }
        }
        for g in 0..GROUP.min(plan.children - at * GROUP) {
            let child = at * GROUP + g;
            d_activations[child] += plan.first_responsibility * expected[g].sum();
            let transform = child % plan.transforms * blocks;
            for block in 0..blocks {
                let d_transform = &mut d_parameters.transforms[transform + block];
                vote_to_transform::<V>(&poses[child], &d_votes[block][g], d_transform);
            }
            d_poses[child] = vote_to_pose::<V>(d_votes, g, &parameters.transforms[transform..][..blocks]);
        }
    }
}

/// Adds what the votes of a group gain by one iteration: q (2 half (V - mu) + slope) - d_x (V - mu) / sigma^2.
#[inline(always)]
fn d_votes_of_step<V: Vector>(
    votes: &Votes,
    weights: &Weights,
    d_joint: Option<&Weights>,
    step: &Step,
    block: usize,
    d_votes: &mut Votes,
) {
    let (means, precisions) = (&step.means[block], &step.precisions[block]);
    let (half_slopes, slopes) = (&step.half_slopes[block], &step.slopes[block]);
    for four in (0..GROUP).step_by(4) {
        let mut q = [V::splat(0.0); 4];
        let mut minus_d_x = q;
        for g in 0..4 {
            q[g] = V::load(&weights[four + g]);
            if let Some(d_joint) = d_joint {
                minus_d_x[g] = V::splat(-2.0) * V::load(&d_joint[four + g]);
            }
        }
        for h in 0..ELEMENTS {
            let (mean, slope) = (V::load(&means[h]), V::load(&slopes[h]));
            let double = V::load(&half_slopes[h]) + V::load(&half_slopes[h]);
            let precision = V::load(&precisions[h]);
            for g in 0..4 {
                let offset = V::load(&votes[four + g][h]) - mean;
                let mut sum = V::load(&d_votes[four + g][h]);
                sum = q[g].multiply_add(double.multiply_add(offset, slope), sum);
                if d_joint.is_some() {
                    sum = minus_d_x[g].multiply_add(offset * precision, sum);
                }
                sum.store(&mut d_votes[four + g][h]);
            }
        }
    }
}
