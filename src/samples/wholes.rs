//! Simulated votes in the plane: parts vote for three wholes, but only two exist.

use ndarray::{Array1, Array2, Array3, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::routing::RoutingInput;

/// The votes of children (parts) for the positions of three wholes A, B and C; only A and B exist. See [`two_wholes`].
#[derive(Debug, Clone, PartialEq)]
pub struct Wholes {
    /// V_ijh, the votes, children x parents x elements: 24 x 3 x 2, the layout of the ladder.
    pub votes: Array3<f64>,
    /// a_i, the activation of each child.
    pub activations: Array1<f64>,
    /// The whole that each child belongs to: 0 (A), 1 (B) or none.
    pub wholes: Vec<Option<usize>>,
}

/// Simulates ten parts of a whole A, eight parts of a whole B and six children without a whole, in this order. Each child
/// votes for the positions of A, B and a third whole C.
///
/// The parts of A agree on the position of A, and the parts of B agree on the position of B. Almost all other votes are
/// scattered, so active children do not agree on C. Three of the six children without a whole have activations of only
/// 0.04 and agree on C, which does not exist. They do not mislead routing that weighs children by activation. The same
/// seed gives the same votes.
pub fn two_wholes(seed: u64) -> Wholes {
    const PARTS: [usize; 2] = [10, 8];
    const CHILDREN: usize = 24;
    const FAINT: usize = 3;
    const PLACES: [(f64, f64); 3] = [(-2.4, 1.3), (2.6, 0.9), (0.3, -2.3)];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let wholes: Vec<Option<usize>> = (0..CHILDREN)
        .map(|i| match i {
            i if i < PARTS[0] => Some(0),
            i if i < PARTS[0] + PARTS[1] => Some(1),
            _ => None,
        })
        .collect();
    let faint = |i: usize| i >= CHILDREN - FAINT;
    let normal = |rng: &mut ChaCha8Rng| -> f64 { rng.sample(StandardNormal) };
    let mut votes = Array3::zeros((CHILDREN, 3, 2));
    for (i, whole) in wholes.iter().enumerate() {
        for (j, place) in PLACES.into_iter().enumerate() {
            let agrees = *whole == Some(j) || (faint(i) && j == 2);
            let (x, y): (f64, f64) = match agrees {
                true => (place.0 + 0.3 * normal(&mut rng), place.1 + 0.3 * normal(&mut rng)),
                false => (rng.gen_range(-5.0..5.0), rng.gen_range(-3.8..3.8)),
            };
            votes[(i, j, 0)] = x;
            votes[(i, j, 1)] = y;
        }
    }
    let activations = (0..CHILDREN).map(|i| if faint(i) { 0.04 } else { rng.gen_range(0.85..1.0) }).collect();
    Wholes { votes, activations, wholes }
}

impl Wholes {
    /// Returns the votes as the input of [`RoutingInput::route`]: one position, all betas 0.
    pub fn input(&self) -> RoutingInput {
        let parents = self.votes.dim().1;
        let activations: Array2<f64> = self.activations.clone().insert_axis(Axis(0));
        let betas = || Array1::zeros(parents);
        RoutingInput::new(self.votes.clone().insert_axis(Axis(0)), activations, betas(), betas())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_votes_of_parts_agree_only_on_the_whole_they_belong_to() {
        let Wholes { votes, activations, wholes } = two_wholes(3);
        let spread = |j: usize, keep: &dyn Fn(usize) -> bool| {
            let own: Vec<usize> = (0..24).filter(|&i| keep(i)).collect();
            let mean = |h| own.iter().map(|&i| votes[(i, j, h)]).sum::<f64>() / own.len() as f64;
            let square = |h| own.iter().map(|&i| (votes[(i, j, h)] - mean(h)).powi(2)).sum::<f64>();
            ((square(0) + square(1)) / (2.0 * own.len() as f64)).sqrt()
        };
        for j in 0..2 {
            assert!(spread(j, &|i| wholes[i] == Some(j)) < 0.6);
            assert!(spread(j, &|i| wholes[i] != Some(j)) > 1.2);
        }
        assert!(spread(2, &|i| activations[i] > 0.5) > 1.2);
        assert_eq!(two_wholes(3), two_wholes(3));
        assert_ne!(two_wholes(3), two_wholes(4));
    }
}
