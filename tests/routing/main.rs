//! EM routing: golden cases, gradients against central differences, properties, and the ladder.

mod golden;
mod gradients;
mod ladder;
mod safety;
mod shares;

use em_routing::routing::RoutingInput;
use ndarray::{Array, Dimension, ShapeBuilder};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The largest error relative to `scale`; NaN if any number is NaN.
fn largest_error<'a>(
    found: impl IntoIterator<Item = &'a f64>,
    expected: impl IntoIterator<Item = &'a f64>,
    scale: f64,
) -> f64 {
    let errors = found.into_iter().zip(expected).map(|(found, expected)| (found - expected).abs() / scale);
    errors.fold(0.0, |largest: f64, error| if error.is_nan() || error > largest { error } else { largest })
}

/// Numbers between `low` and `high`.
fn uniform<D: Dimension, S: ShapeBuilder<Dim = D>>(
    shape: S,
    low: f64,
    high: f64,
    rng: &mut ChaCha8Rng,
) -> Array<f64, D> {
    Array::from_shape_simple_fn(shape, || rng.gen_range(low..high))
}

/// Random votes, activations and betas, of a size at which every term of the gradient matters.
fn random_input(
    [positions, children, parents, elements]: [usize; 4],
    seed: u64,
) -> (RoutingInput, ChaCha8Rng) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let input = RoutingInput::new(
        uniform((positions, children, parents, elements), -1.0, 1.0, &mut rng),
        uniform((positions, children), 0.1, 0.9, &mut rng),
        uniform(parents, -1.0, 1.0, &mut rng),
        uniform(parents, -1.0, 1.0, &mut rng),
    );
    (input, rng)
}
