//! One output position: its votes, the routing and the gradient. Intermediate results are in the scratch memory of one thread.
//!
//! Children are processed in groups of eight, whose votes stay in the first-level cache while they are weighted and summed; the
//! last group is padded with children of activation 0. Parents are processed in blocks of sixteen, the last one padded and masked.
//! A [`Lane`] holds one number for each parent of a block and is processed in [`Simd::PARTS`] vectors.
//!
//! No closure here may hold a vector: such a closure would be compiled without the instruction set of the surrounding function.
//! Closures over indices are fine.

#![allow(clippy::needless_range_loop, reason = "an index runs over several arrays side by side")]

mod forward;
#[cfg(test)]
#[path = "../../../../tests/unit/position.rs"]
mod tests;
mod undo;

use super::{ELEMENTS, SIDE};
use crate::compute::simd::{F32s, Lane, Simd, Tile, Vector, ZERO, ZEROS, exp, prefetch};
pub(super) use forward::Forward;
pub(super) use undo::Backward;

/// The number of children in a group.
pub(super) const GROUP: usize = 8;

/// One number for each child of a group and each parent of a block.
pub(super) type Weights = [Lane; GROUP];

/// The votes of a group for a block.
pub(super) type Votes = [Tile; GROUP];

/// Clamps on parts of the gradient, so that no product overflows and leads to inf - inf. Gradients of this size do not occur with
/// the votes, activations and betas of a real training.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The clamp on [`Slopes::halves`].
    slope: f32,
    /// The clamp on [`Slopes::slopes`] and on the gradient of the means.
    mean_slope: f32,
    /// The clamp on d_x, the gradient of x_ij = log a_j p_ij.
    joint: f32,
}

impl Limits {
    /// Computes the clamps from the largest absolute values of poses and transforms, which bound the votes.
    pub fn new(plan: &Plan, pose: f32, transform: f32) -> Limits {
        let offset = 2.0 * (SIDE as f32 * pose * transform + pose + transform + 2.0);
        Limits {
            slope: 1e34 / ELEMENTS as f32 / offset / offset,
            mean_slope: 1e34 / ELEMENTS as f32 / offset,
            joint: 1e30 / plan.children as f32 / offset / offset,
        }
    }
}

/// The largest (mean - origin)^2 / variance. Beyond it, the variance has lost digits to cancellation, and everything is summed
/// again with the mean as origin.
const MOVED: f32 = 32.0;

/// Weights q = R a below this are 0: their products would become subnormal numbers, with which processors compute up to 30 times
/// slower. In a network whose activations are all near 0, most weights are as small.
const SMALLEST_WEIGHT: f32 = 1e-30;

/// The sizes and options that are the same at each position.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub children: usize,
    pub parents: usize,
    pub blocks: usize,
    /// The number of transforms for each parent. Child i uses the transform at index i modulo this number.
    pub transforms: usize,
    /// Rows and columns of the layer below, if coordinates are added to the votes.
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
    /// 1 for a parent, 0 for padding.
    pub mask: Vec<Lane>,
}

impl Plan {
    /// Returns the first option that is not finite in f32, with its value.
    pub fn first_infinite(&self) -> Option<(&'static str, f32)> {
        let numbers = [
            ("cost_scale", self.cost_scale),
            ("deviation_epsilon", self.deviation_epsilon),
            ("cost_epsilon", self.cost_epsilon),
            ("activation_epsilon", self.activation_epsilon),
            ("mass_epsilon", self.mass_epsilon),
            ("variance_floor", self.variance_floor),
        ];
        let lambdas = self.inverse_temperatures.iter().map(|&lambda| ("inverse_temperature", lambda));
        numbers.into_iter().chain(lambdas).find(|(_, number)| !number.is_finite())
    }
}

/// The parameters of a layer, with parents in lanes.
pub(super) struct Parameters {
    /// The transforms W, transforms x blocks.
    pub transforms: Vec<Tile>,
    pub beta_v: Vec<Lane>,
    pub beta_a: Vec<Lane>,
    pub limits: Limits,
}

/// The gradient of the parameters, summed over the positions of a chunk.
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

/// The results of one iteration for a block of parents, in the letters of the routing's table.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Parents {
    masses: Lane,
    means: Tile,
    /// sum_i q_i (V_i - mu): 0 except for damping, the mass epsilon and the rounding of mu. The gradient needs this sum if a parent
    /// has collapsed on one child.
    rests: Tile,
    /// sigma^2 without the floor.
    own_variances: Tile,
    /// The standard deviations sigma.
    deviations: Tile,
    /// 1 / (2 sigma^2), 0 where masked.
    precisions: Tile,
    /// The sum of log(sigma_h + epsilon) over the elements h.
    log_deviations: Lane,
    costs: Lane,
    logits: Lane,
    activations: Lane,
    /// log a_j - sum_h log(sigma_jh + epsilon): the part of x_ij that is the same for all children; minus infinity where masked.
    log_scales: Lane,
}

/// The results of one iteration. The gradient at a position needs only the input and the results of all iterations.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The results for the parents, by block.
    parents: Vec<Parents>,
    cost_mean: f32,
    cost_deviation: f32,
}

/// The gradient dL/dq_ij of the weights q_ij = R_ij a_i, for a block of parents. It is a quadratic in the offset V - mu with the
/// coefficients a (`halves`), b (`slopes`) and c (`constants`): sum_h (a_h (V_h - mu_h)^2 + b_h (V_h - mu_h)) + c.
#[derive(Clone, Copy)]
#[repr(C)]
struct Slopes {
    halves: Tile,
    slopes: Tile,
    constants: Lane,
}

/// Results and gradients of one iteration.
struct Step {
    found: Found,
    /// The responsibilities R, groups x blocks. Empty in the first iteration, where all R are equal.
    responsibilities: Vec<Weights>,
    /// The gradient d_x of the E-step **after** this step, groups x blocks.
    d_joint: Vec<Weights>,
    /// The slopes, by block.
    slopes: Vec<Slopes>,
}

/// The scratch memory of one thread.
pub(super) struct Space {
    /// The poses of the children, padded to whole groups.
    pub poses: Vec<[f32; ELEMENTS]>,
    pub activations: Vec<f32>,
    /// The votes, groups x blocks.
    votes: Vec<Votes>,
    steps: Vec<Step>,
    origins: Vec<Tile>,
    sums: Sums,
    /// The weights of one group, by block.
    group: Vec<Weights>,
    d_votes: Votes,
    /// The pose gradients of one group, not yet summed over the lanes.
    d_pose_lanes: Votes,

    pub d_parent_poses: Vec<Tile>,
    pub d_parent_activations: Vec<Lane>,
    d_log_deviations: Vec<Lane>,
    d_log_activations: Vec<Lane>,
    d_means: Vec<Tile>,
    d_variances: Vec<Tile>,
    pub d_poses: Vec<[f32; ELEMENTS]>,
    pub d_activations: Vec<f32>,
}

/// The sums of an M-step, by block: sum_i q_i, sum_i q_i (V_i - origin) and sum_i q_i (V_i - origin)^2.
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
        let parents = Parents {
            masses: ZERO,
            means: ZEROS,
            rests: ZEROS,
            own_variances: ZEROS,
            deviations: ZEROS,
            precisions: ZEROS,
            log_deviations: ZERO,
            costs: ZERO,
            logits: ZERO,
            activations: ZERO,
            log_scales: ZERO,
        };
        let slopes = Slopes { halves: ZEROS, slopes: ZEROS, constants: ZERO };
        let steps = (0..iterations).map(|iteration| Step {
            found: Found { parents: vec![parents; blocks], cost_mean: 0.0, cost_deviation: 0.0 },
            responsibilities: weights(iteration > 0),
            d_joint: weights(with_gradient && iteration + 1 < iterations),
            slopes: vec![slopes; if with_gradient { blocks } else { 0 }],
        });
        Space {
            poses: vec![[0.0; ELEMENTS]; groups * GROUP],
            activations: vec![0.0; groups * GROUP],
            votes: vec![[ZEROS; GROUP]; groups * blocks],
            steps: steps.collect(),
            origins: tiles(),
            sums: Sums { weights: lanes(), offsets: tiles(), squares: tiles() },
            group: vec![[ZERO; GROUP]; blocks],
            d_votes: [ZEROS; GROUP],
            d_pose_lanes: [ZEROS; GROUP],
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

    /// Returns the parents' poses and activations, block by block.
    pub fn parents(&self) -> impl Iterator<Item = (Tile, Lane)> {
        let last = self.steps.last().expect("at least one iteration");
        last.found.parents.iter().map(|parents| (parents.means, parents.activations))
    }

    /// Returns the results that the gradient at this position needs.
    pub fn keep(&self) -> Vec<Found> {
        self.steps.iter().map(|step| step.found.clone()).collect()
    }

    /// Restores the results that [`Space::keep`] returned, for [`Backward`].
    pub fn restore(&mut self, kept: &[Found]) {
        self.steps.iter_mut().zip(kept).for_each(|(step, kept)| step.found.clone_from(kept));
    }
}

/// Computes the votes V = P W of a child for a block of parents.
#[inline(always)]
fn vote<S: Simd>(simd: S, pose: &[f32; ELEMENTS], transform: &Tile, vote: &mut Tile, part: usize) {
    // two rows at a time, so that each loaded W is used twice
    for rows in [0, 2] {
        let mut p = [[simd.splat_f32(0.0); SIDE]; 2];
        for k in 0..SIDE {
            p[0][k] = simd.splat_f32(pose[rows * SIDE + k]);
            p[1][k] = simd.splat_f32(pose[(rows + 1) * SIDE + k]);
        }
        for column in 0..SIDE {
            let w = simd.load_f32(&transform[column], part);
            let (mut first, mut second) = (p[0][0] * w, p[1][0] * w);
            for k in 1..SIDE {
                let w = simd.load_f32(&transform[k * SIDE + column], part);
                first = p[0][k].multiply_add(w, first);
                second = p[1][k].multiply_add(w, second);
            }
            first.store(&mut vote[rows * SIDE + column], part);
            second.store(&mut vote[(rows + 1) * SIDE + column], part);
        }
    }
}

/// Yields (block, part) for each part of each block.
#[inline(always)]
fn places<S: Simd>(blocks: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..blocks).flat_map(|block| (0..S::PARTS).map(move |part| (block, part)))
}

/// Computes the votes of a group of children.
#[inline(always)]
fn make_votes<S: Simd>(
    simd: S,
    plan: &Plan,
    parameters: &Parameters,
    poses: &[[f32; ELEMENTS]],
    at: usize,
    votes: &mut [Votes],
) {
    let blocks = plan.blocks;
    for g in 0..GROUP.min(plan.children - at * GROUP) {
        let child = at * GROUP + g;
        let transforms = transforms_of(plan, &parameters.transforms, child);
        let next = transforms_of(plan, &parameters.transforms, child + GROUP);
        for block in 0..blocks {
            prefetch(&next[block]);
            for part in 0..S::PARTS {
                vote(simd, &poses[child], &transforms[block], &mut votes[block][g], part);
            }
        }
        if let Some((height, width)) = plan.coordinates {
            let place = child / plan.transforms;
            let row = simd.splat_f32(((place / width) as f32 + 0.5) / height as f32);
            let column = simd.splat_f32(((place % width) as f32 + 0.5) / width as f32);
            for votes in votes.iter_mut() {
                for part in 0..S::PARTS {
                    (simd.load_f32(&votes[g][0], part) + row).store(&mut votes[g][0], part);
                    (simd.load_f32(&votes[g][1], part) + column).store(&mut votes[g][1], part);
                }
            }
        }
    }
}

/// Returns the transforms of a child, by block.
#[inline(always)]
fn transforms_of<'a>(plan: &Plan, transforms: &'a [Tile], child: usize) -> &'a [Tile] {
    &transforms[child % plan.transforms * plan.blocks..][..plan.blocks]
}

/// Computes sum_h (V_h - mean_h)^2 precision_h for a group and a block.
#[inline(always)]
fn distances<S: Simd>(simd: S, votes: &Votes, parents: &Parents, part: usize) -> [S::F32; GROUP] {
    let mut sums = [simd.splat_f32(0.0); GROUP];
    for h in 0..ELEMENTS {
        let (mean, precision) =
            (simd.load_f32(&parents.means[h], part), simd.load_f32(&parents.precisions[h], part));
        for g in 0..GROUP {
            let offset = simd.load_f32(&votes[g][h], part) - mean;
            sums[g] = (offset * precision).multiply_add(offset, sums[g]);
        }
    }
    sums
}

/// The E-step of a group: computes R from the parents of the previous iteration.
#[inline(always)]
fn expectation<S: Simd>(simd: S, votes: &[Votes], before: &[Parents], responsibilities: &mut [Weights]) {
    let mut largest = [simd.splat_f32(f32::NEG_INFINITY); GROUP];
    for ((votes, before), joint) in votes.iter().zip(before).zip(responsibilities.iter_mut()) {
        for part in 0..S::PARTS {
            let scale = simd.load_f32(&before.log_scales, part);
            let distances = distances(simd, votes, before, part);
            for g in 0..GROUP {
                let x = scale - distances[g];
                largest[g] = largest[g].larger(x);
                x.store(&mut joint[g], part);
            }
        }
    }
    for g in 0..GROUP {
        largest[g] = simd.splat_f32(largest[g].largest());
    }
    let mut totals = [ZERO; GROUP];
    for joint in responsibilities.iter_mut() {
        for part in 0..S::PARTS {
            for g in 0..GROUP {
                let x = exp(simd, simd.load_f32(&joint[g], part) - largest[g]);
                (simd.load_f32(&totals[g], part) + x).store(&mut totals[g], part);
                x.store(&mut joint[g], part);
            }
        }
    }
    let mut inverses = largest;
    for g in 0..GROUP {
        inverses[g] = simd.splat_f32(1.0 / simd.sum_f32(&totals[g]));
    }
    for responsibilities in responsibilities {
        for part in 0..S::PARTS {
            for g in 0..GROUP {
                (simd.load_f32(&responsibilities[g], part) * inverses[g])
                    .store(&mut responsibilities[g], part);
            }
        }
    }
}

/// Prefetches the votes of the next group, since the inner caches cannot hold the votes of a whole position.
#[inline(always)]
fn fetch_next(votes: &[Votes], at: usize, blocks: usize, block: usize) {
    if let Some(next) = votes.get((at + 1) * blocks + block) {
        next.iter().for_each(prefetch);
    }
}

/// Adds a group's weighted votes to the sums of a block.
#[inline(always)]
fn accumulate<S: Simd>(
    simd: S,
    votes: &Votes,
    weights: &Weights,
    origin: &Tile,
    sums: &mut Sums,
    block: usize,
) {
    let (masses, offsets, squares) =
        (&mut sums.weights[block], &mut sums.offsets[block], &mut sums.squares[block]);
    // the elements whose sums stay in registers: without fused multiply-add, each product needs a register too
    let tall = if S::FUSED { 4 } else { 2 };
    for part in 0..S::PARTS {
        let mut mass = simd.load_f32(masses, part);
        for weight in weights {
            mass = mass + simd.load_f32(weight, part);
        }
        mass.store(masses, part);
        for at in (0..ELEMENTS).step_by(tall) {
            let mut from = [simd.splat_f32(0.0); 4];
            let (mut first, mut second) = (from, from);
            for h in 0..tall {
                from[h] = simd.load_f32(&origin[at + h], part);
                first[h] = simd.load_f32(&offsets[at + h], part);
                second[h] = simd.load_f32(&squares[at + h], part);
            }
            for g in 0..GROUP {
                let weight = simd.load_f32(&weights[g], part);
                for h in 0..tall {
                    let offset = simd.load_f32(&votes[g][at + h], part) - from[h];
                    let weighted = weight * offset;
                    first[h] = first[h] + weighted;
                    second[h] = weighted.multiply_add(offset, second[h]);
                }
            }
            for h in 0..tall {
                first[h].store(&mut offsets[at + h], part);
                second[h].store(&mut squares[at + h], part);
            }
        }
    }
}

/// Computes the weights q = R a for a group and a block. A weight below [`SMALLEST_WEIGHT`] is 0.
#[inline(always)]
fn weigh<S: Simd>(simd: S, responsibilities: &Weights, activations: &[f32], weights: &mut Weights) {
    let (smallest, zero) = (simd.splat_f32(SMALLEST_WEIGHT), simd.splat_f32(0.0));
    for g in 0..GROUP {
        for part in 0..S::PARTS {
            let weight = simd.load_f32(&responsibilities[g], part) * simd.splat_f32(activations[g]);
            weight.if_less(smallest, zero, weight).store(&mut weights[g], part);
        }
    }
}

/// Computes the weights q = R a in the first iteration, where all R are equal.
#[inline(always)]
fn weigh_alike(plan: &Plan, activations: &[f32], weights: &mut Weights) {
    for (weight, activation) in weights.iter_mut().zip(activations) {
        weight.0.fill(activation * plan.first_responsibility);
    }
}
