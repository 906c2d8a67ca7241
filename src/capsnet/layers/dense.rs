//! A dense layer: every output depends on every number of the input.

use std::ops::Range;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::convolution::Convolution;
use super::{Backward, Batch, Caption, Dropout, Forward, Grid, Layer, Memory, Share, plain, relu_backward};
use crate::capsnet::parameters::{Draw, ParameterSpec};
use crate::compute::gather;
use crate::error::Result;
use crate::routing::fused::{LayerOutput, check_numbers};

/// A linear map of the whole input, and a ReLU if `relu` is true.
///
/// ```text
/// y[f] = b[f] + sum_n x[n] w[n, f]    n: all positions and kinds of the input
/// ```
///
/// With dropout, each x\[n\] is replaced by 0 with the probability p, else by x\[n\] / (1 - p), so that its mean stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dense {
    pub name: &'static str,
    pub below: Grid,
    pub outputs: usize,
    pub relu: bool,
    /// A factor on Xavier's bound for the initial weights.
    pub gain: f64,
}

impl Dense {
    fn inputs(&self) -> usize {
        self.below.rows * self.below.columns * self.below.kinds
    }

    /// Returns the map as a 1 x 1 convolution over one image whose positions are the images of the batch: one matrix product.
    fn map(&self, batch: &Batch, images: usize) -> Convolution {
        Convolution {
            images: 1,
            height: images,
            width: 1,
            channels: self.inputs(),
            features: self.outputs,
            size: 1,
            stride: 1,
            threads: batch.threads,
        }
    }
}

/// Returns the factor of each number of the input: 0 or 1 / (1 - p). The draws for the `before` numbers of other processes come
/// first.
fn factors(dropout: Dropout, before: usize, count: usize) -> Vec<f32> {
    let rng = &mut ChaCha8Rng::seed_from_u64(dropout.seed);
    let kept = (1.0 / (1.0 - dropout.probability)) as f32;
    let draws = (0..before + count).map(|_| if rng.gen_bool(dropout.probability) { 0.0 } else { kept });
    draws.skip(before).collect()
}

fn product(x: &[f32], factors: &[f32]) -> Vec<f32> {
    x.iter().zip(factors).map(|(x, factor)| x * factor).collect()
}

impl Layer for Dense {
    fn name(&self) -> &'static str {
        self.name
    }

    fn grid(&self) -> Grid {
        Grid { rows: 1, columns: 1, kinds: self.outputs }
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        let (inputs, outputs) = (self.inputs(), self.outputs);
        let draw = Draw::xavier(self.gain, inputs, outputs);
        vec![
            ParameterSpec::new(format!("{}.weights", self.name), &[inputs, outputs], draw).decayed(),
            ParameterSpec::new(format!("{}.bias", self.name), &[outputs], Draw::Zero),
        ]
    }

    /// Computes the output, and keeps the factors of the dropout.
    fn forward(&self, batch: &Batch, input: &LayerOutput, _keep: bool) -> Result<(LayerOutput, Memory)> {
        let ([weights, bias], x) = (batch.parameters(), &input.activations);
        let before = batch.share.map_or(0, |share| share.first * self.inputs());
        let factors = batch.dropout.map(|dropout| factors(dropout, before, x.len()));
        let dropped = factors.as_ref().map(|factors| product(x, factors));
        let mut y = self.map(batch, batch.images).forward(dropped.as_deref().unwrap_or(x), weights, bias);
        // the classification would not notice a NaN
        let name = "the output of a dense layer";
        check_numbers(name, &[batch.images, self.outputs], &y, "finite", f32::is_finite)?;
        if self.relu {
            y.iter_mut().for_each(|y| *y = y.max(0.0));
        }
        Ok((plain(y), Arc::new(factors)))
    }

    fn backward(
        &self,
        batch: &Batch,
        forward: Forward,
        d_output: LayerOutput,
        with_input: bool,
    ) -> Result<Backward> {
        let ([weights, _], x) = (batch.parameters(), &forward.input.activations);
        let mut d_y = d_output.activations;
        if self.relu {
            relu_backward(&mut d_y, &forward.output.activations);
        }
        // y = (f x) w + b  gives  dx = f (dy w^T)
        let factors = forward.memory::<Option<Vec<f32>>>().as_deref();
        let dropped = factors.map(|factors| product(x, factors));
        let x = dropped.as_deref().unwrap_or(x);
        let mut d = match batch.share {
            None => self.map(batch, batch.images).backward(None, x, weights, &d_y, with_input)?,
            // A matrix product sums over all images at once, so each process computes the whole and keeps its part of dx.
            Some(Share { team, first, all }) => {
                let (x, d_y) = (gather(team, Ok(x.to_vec()))?.concat(), gather(team, Ok(d_y))?.concat());
                let mut d = self.map(batch, all).backward(None, &x, weights, &d_y, with_input)?;
                let own = first * self.inputs()..(first + batch.images) * self.inputs();
                d.d_x = d.d_x.get(own).map(<[f32]>::to_vec).unwrap_or_default();
                d
            }
        };
        if let Some(factors) = factors {
            d.d_x.iter_mut().zip(factors).for_each(|(d, factor)| *d *= factor);
        }
        Ok(Backward { d_parameters: vec![d.d_weights, d.d_bias], d_input: plain(d.d_x) })
    }

    fn caption(&self) -> Caption {
        let step = ["all inputs,", if self.relu { "ReLU" } else { "linear" }].map(str::to_owned);
        Caption { title: self.name, step, kinds: if self.relu { "features" } else { "classes" } }
    }

    fn receptive_field(&self, _rows: Range<usize>, _columns: Range<usize>) -> [Range<usize>; 2] {
        [0..self.below.rows, 0..self.below.columns]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: usize) -> f32 {
        ((i * 2654435761) % 1009) as f32 / 500.0 - 1.0
    }

    /// The loss sum_n y_n c_n with fixed c is linear in the parameters and the input where no ReLU changes side.
    #[test]
    fn the_gradient_with_dropout_matches_differences() {
        let below = Grid { rows: 2, columns: 3, kinds: 2 };
        for (relu, probability) in [(false, None), (true, None), (false, Some(0.3)), (true, Some(0.3))] {
            let layer = Dense { name: "d", below, outputs: 4, relu, gain: 1.0 };
            let dropout = probability.map(|probability| Dropout { probability, seed: 5 });
            let numbers: Vec<f32> = (0..48 + 4 + 36).map(noise).collect();
            let coefficients: Vec<f32> = (0..12).map(|i| noise(i + 700)).collect();
            let run = |numbers: &[f32]| {
                let parameters = vec![&numbers[..48], &numbers[48..52]];
                let batch = Batch { images: 3, threads: 1, parameters, dropout, share: None };
                let input = plain(numbers[52..].to_vec());
                let (output, memory) = layer.forward(&batch, &input, true).unwrap();
                let products = output.activations.iter().zip(&coefficients);
                let loss: f64 = products.map(|(y, c)| f64::from(*y) * f64::from(*c)).sum();
                let forward = Forward { input: &input, output: &output, memory: &memory };
                let d = layer.backward(&batch, forward, plain(coefficients.clone()), true).unwrap();
                (loss, [&d.d_parameters[0][..], &d.d_parameters[1], &d.d_input.activations].concat())
            };
            let (_, gradient) = run(&numbers);
            assert_eq!(gradient.len(), numbers.len());
            for (at, d) in gradient.into_iter().enumerate() {
                let moved = |by: f32| {
                    let mut numbers = numbers.clone();
                    numbers[at] += by;
                    run(&numbers).0
                };
                let difference = (moved(0.01) - moved(-0.01)) / 0.02;
                assert!((difference - f64::from(d)).abs() <= 1e-3, "{at}: {d} for {difference}");
            }
        }
    }

    #[test]
    fn dropout_drops_its_share_and_keeps_the_mean() {
        let factors = factors(Dropout { probability: 0.25, seed: 3 }, 0, 40_000);
        let dropped = factors.iter().filter(|&&factor| factor == 0.0).count();
        assert!((dropped as f64 / 40_000.0 - 0.25).abs() < 0.01);
        assert!(factors.iter().all(|&factor| factor == 0.0 || factor == 4.0 / 3.0));
    }
}
