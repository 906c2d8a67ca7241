//! The results at a position, bit for bit, with each instruction set of this machine. (tests/wasm runs WebAssembly in Node.)

use super::*;
use crate::compute::simd::{InstructionSet, WIDTH};

fn number(i: usize) -> f32 {
    ((i as u64 * 2_654_435_761) % 10_007) as f32 / 5_000.0 - 1.0
}

fn lanes(blocks: usize, seed: usize) -> Vec<Lane> {
    (0..blocks).map(|block| Lane(std::array::from_fn(|i| number(seed + block * WIDTH + i)))).collect()
}

fn tiles(count: usize, seed: usize) -> Vec<Tile> {
    let tile = |at: usize| lanes(ELEMENTS, seed + at * WIDTH * ELEMENTS).try_into().expect("sixteen lanes");
    (0..count).map(tile).collect()
}

fn plan(children: usize, parents: usize, normalise_costs: bool) -> Plan {
    let blocks = parents.div_ceil(WIDTH);
    let mask =
        |block: usize| Lane(std::array::from_fn(|i| if block * WIDTH + i < parents { 1.0 } else { 0.0 }));
    Plan {
        children,
        parents,
        blocks,
        transforms: children,
        coordinates: normalise_costs.then_some((1, children)),
        inverse_temperatures: vec![0.5, 1.0, 2.0],
        first_responsibility: 1.0 / parents as f32,
        normalise_costs,
        cost_scale: 1.0 / children as f32,
        deviation_epsilon: 1e-6,
        cost_epsilon: 1e-6,
        activation_epsilon: if normalise_costs { 1e-8 } else { 0.0 },
        mass_epsilon: 1e-8,
        variance_floor: 1e-4,
        mean_damping: 0.1,
        stop_gradient: false,
        mask: (0..blocks).map(mask).collect(),
    }
}

/// Returns the bits of all results of a forward and a backward pass.
fn bits(plan: &Plan, instructions: InstructionSet) -> Vec<u32> {
    let transforms = tiles(plan.transforms * plan.blocks, 1);
    let (beta_v, beta_a) = (lanes(plan.blocks, 2), lanes(plan.blocks, 3));
    let limits = Limits::new(plan, 1.0, 1.0);
    let parameters = &Parameters { transforms, beta_v, beta_a, limits };
    let mut space = Space::new(plan, true);
    for child in 0..plan.children {
        space.poses[child] = std::array::from_fn(|h| number(child * ELEMENTS + h + 4));
        space.activations[child] = number(child + 5).abs();
    }
    space.d_parent_poses = tiles(plan.blocks, 6);
    space.d_parent_activations = lanes(plan.blocks, 7);
    let mut sums = ParameterSums::new(plan);
    instructions.run(Forward { plan, parameters, space: &mut space });
    instructions.run(Backward { plan, parameters, space: &mut space, sums: &mut sums });
    let (poses, activations): (Vec<_>, Vec<_>) = space.parents().unzip();
    let lanes = poses.iter().chain(&sums.transforms).flatten();
    let lanes = lanes.chain(&activations).chain(&sums.beta_v).chain(&sums.beta_a).flat_map(|lane| lane.0);
    let below = space.d_poses.into_iter().flatten().chain(space.d_activations);
    lanes.chain(below).map(f32::to_bits).collect()
}

#[test]
fn instruction_sets_that_round_alike_agree_bit_for_bit_for_all_sizes() {
    for children in 1..=18 {
        for parents in [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33] {
            for normalise_costs in [false, true] {
                let plan = plan(children, parents, normalise_costs);
                for fused in [false, true] {
                    let sets = InstructionSet::all().into_iter().filter(|set| set.is_fused() == fused);
                    let all: Vec<_> = sets.map(|set| (set, bits(&plan, set))).collect();
                    for (set, found) in &all {
                        let finite = found.iter().all(|&bits| f32::from_bits(bits).is_finite());
                        assert!(finite, "{set}: {children} children, {parents} parents");
                        let as_first = found == &all[0].1;
                        assert!(as_first, "{set} and {}: {children} children, {parents} parents", all[0].0);
                    }
                }
            }
        }
    }
}
