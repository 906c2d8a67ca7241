//! Copies numbers into lanes and tiles of lanes, and back.

use super::ELEMENTS;
use crate::compute::simd::{Lane, Tile, WIDTH, ZERO, ZEROS};

/// Writes one number for each parent to lanes. Unused places are 0.
pub(super) fn to_lanes(numbers: &[f32], lanes: &mut [Lane]) {
    lanes.fill(ZERO);
    for (lane, numbers) in lanes.iter_mut().zip(numbers.chunks(WIDTH)) {
        lane.0[..numbers.len()].copy_from_slice(numbers);
    }
}

pub(super) fn in_lanes(numbers: &[f32]) -> Vec<Lane> {
    let mut lanes = vec![ZERO; numbers.len().div_ceil(WIDTH)];
    to_lanes(numbers, &mut lanes);
    lanes
}

pub(super) fn from_lanes(lanes: &[Lane], numbers: &mut [f32]) {
    numbers.iter_mut().zip(lanes.iter().flat_map(|lane| lane.0)).for_each(|(to, from)| *to = from);
}

/// Writes parents x 16 numbers to tiles. Unused places are 0.
pub(super) fn to_tiles(numbers: &[f32], parents: usize, tiles: &mut [Tile]) {
    if !parents.is_multiple_of(WIDTH) {
        tiles.fill(ZEROS);
    }
    for (tile, numbers) in tiles.iter_mut().zip(numbers.chunks(WIDTH * ELEMENTS)) {
        for (lane, pose) in numbers.as_chunks::<ELEMENTS>().0.iter().enumerate() {
            for h in 0..ELEMENTS {
                tile[h].0[lane] = pose[h];
            }
        }
    }
}

pub(super) fn from_tiles(tiles: &[Tile], numbers: &mut [f32]) {
    for (parent, pose) in numbers.as_chunks_mut::<ELEMENTS>().0.iter_mut().enumerate() {
        let lanes = &tiles[parent / WIDTH];
        pose.iter_mut().zip(lanes).for_each(|(to, lane)| *to = lane.0[parent % WIDTH]);
    }
}
