//! A feature layer: a convolution, which may halve height and width, and a ReLU.

use std::ops::Range;
use std::sync::Arc;

use super::convolution::Convolution;
use super::pooling::{MaxPooling, Pooled};
use super::{Backward, Batch, Caption, Forward, Grid, Layer, Memory, plain, relu_backward};
use crate::capsnet::Pooling;
use crate::capsnet::parameters::{Draw, ParameterSpec};
use crate::error::Result;
use crate::routing::fused::LayerOutput;

/// A convolution, halved by max pooling or a stride of 2 or not at all, and a ReLU. A NaN stays a NaN.
///
/// ```text
/// f[r, c, k] = max(0, y[2 r + i, 2 c + j, k] for i, j in 0..2)    y: the convolution, stride 1     Some(Pooling::Max)
/// f[r, c, k] = max(0, y[r, c, k])                                 y: the convolution, stride 2     Some(Pooling::None)
/// f[r, c, k] = max(0, y[r, c, k])                                 y: the convolution, stride 1     None
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Features {
    pub name: &'static str,
    pub title: &'static str,
    pub below: Grid,
    /// Features at each position.
    pub features: usize,
    /// The side of the square window.
    pub size: usize,
    /// How height and width are halved; `None` keeps them.
    pub pooling: Option<Pooling>,
    /// Whether max pooling drops the last row or column of an odd side instead of pooling a cut-off window.
    pub whole: bool,
    /// A factor on Xavier's bound for the initial weights.
    pub gain: f64,
}

impl Features {
    fn convolution(&self, batch: &Batch) -> Convolution {
        let (images, threads, features, size) = (batch.images, batch.threads, self.features, self.size);
        let Grid { rows: height, columns: width, kinds: channels } = self.below;
        let stride = if self.pooling == Some(Pooling::None) { 2 } else { 1 };
        Convolution { images, height, width, channels, features, size, stride, threads }
    }

    fn max_pooling(&self) -> Option<MaxPooling> {
        let Grid { rows: height, columns: width, .. } = self.below;
        let (channels, whole) = (self.features, self.whole);
        (self.pooling == Some(Pooling::Max)).then_some(MaxPooling { height, width, channels, whole })
    }
}

impl Layer for Features {
    fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the grid of the input, or one with half the rows and columns, rounded up or, with whole windows, down.
    fn grid(&self) -> Grid {
        let side = |length: usize| match self.pooling {
            None => length,
            Some(Pooling::Max) if self.whole => length / 2,
            Some(_) => length.div_ceil(2),
        };
        Grid { rows: side(self.below.rows), columns: side(self.below.columns), kinds: self.features }
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        let (window, channels) = (self.size * self.size, self.below.kinds);
        let shape = [self.size, self.size, channels, self.features];
        let draw = Draw::xavier(self.gain, window * channels, window * self.features);
        vec![
            ParameterSpec::new(format!("{}.weights", self.name), &shape, draw).decayed(),
            ParameterSpec::new(format!("{}.bias", self.name), &[self.features], Draw::Zero),
        ]
    }

    /// Computes the features. With max pooling, keeps the position of the maximum in each 2 x 2 window.
    fn forward(&self, batch: &Batch, input: &LayerOutput, _keep: bool) -> Result<(LayerOutput, Memory)> {
        let [weights, bias] = batch.parameters();
        let y = self.convolution(batch).forward(&input.activations, weights, bias);
        // max(ReLU(y)) = ReLU(max(y)), and ReLU after pooling is a quarter of the work
        let Pooled { y: mut features, winners } = match self.max_pooling() {
            None => Pooled { y, winners: Vec::new() },
            Some(pooling) => pooling.forward(&y),
        };
        features.iter_mut().for_each(|f| *f = if *f < 0.0 { 0.0 } else { *f });
        Ok((plain(features), Arc::new(winners)))
    }

    fn backward(
        &self,
        batch: &Batch,
        forward: Forward,
        d_output: LayerOutput,
        with_input: bool,
    ) -> Result<Backward> {
        let [weights, _] = batch.parameters();
        let mut d_y = d_output.activations;
        relu_backward(&mut d_y, &forward.output.activations);
        if let Some(pooling) = self.max_pooling() {
            d_y = pooling.backward(forward.memory::<Vec<u8>>(), &d_y);
        }
        let x = &forward.input.activations;
        let d = self.convolution(batch).backward(batch.team(), x, weights, &d_y, with_input)?;
        Ok(Backward { d_parameters: vec![d.d_weights, d.d_bias], d_input: plain(d.d_x) })
    }

    fn caption(&self) -> Caption {
        let size = self.size;
        let step = match self.pooling {
            Some(Pooling::None) => "stride 2, ReLU",
            Some(Pooling::Max) => "ReLU, max pooling",
            None => "ReLU",
        };
        let step = [format!("{size} × {size} convolution,"), step.to_owned()];
        Caption { title: self.title, step, kinds: "channels" }
    }

    fn receptive_field(&self, rows: Range<usize>, columns: Range<usize>) -> [Range<usize>; 2] {
        // the window of one convolution, or of two pooled neighbours, padded as in TensorFlow
        let side = |features: Range<usize>, length: usize| {
            let (size, half) = (self.size, length.div_ceil(2));
            let (step, window, padding) = match self.pooling {
                Some(Pooling::None) => (2, size, ((half - 1) * 2 + size).saturating_sub(length) / 2),
                Some(Pooling::Max) => (2, size + 1, (size - 1) / 2),
                None => (1, size, (size - 1) / 2),
            };
            let first = (step * features.start).saturating_sub(padding);
            first..(step * (features.end - 1) + window - padding).min(length)
        };
        [side(rows, self.below.rows), side(columns, self.below.columns)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_match_their_formula_with_and_without_pooling() {
        let noise = |i: usize| ((i * 2654435761) % 1009) as f32 / 500.0 - 1.0;
        let ways = [Some(Pooling::None), Some(Pooling::Max), None];
        for (size, pooling) in [5, 3].into_iter().flat_map(|size| ways.map(|pooling| (size, pooling))) {
            let below = Grid { rows: 9, columns: 12, kinds: 2 };
            let layer = Features {
                name: "f",
                title: "f",
                below,
                features: 3,
                size,
                pooling,
                whole: false,
                gain: 1.0,
            };
            let x: Vec<f32> = (0..2 * 9 * 12 * 2).map(noise).collect();
            let w: Vec<f32> = (0..size * size * 6).map(|i| noise(i + 5000)).collect();
            let b = [0.5, -0.25, 0.0];
            let batch = Batch { images: 2, threads: 1, parameters: vec![&w, &b], dropout: None, share: None };
            let y = layer.convolution(&batch).forward(&x, &w, &b);
            let found = layer.forward(&batch, &plain(x), false).unwrap().0.activations;
            let (rows, columns) = if pooling.is_some() { (5, 6) } else { (9, 12) };
            assert_eq!(layer.grid(), Grid { rows, columns, kinds: 3 });
            assert_eq!(found.len(), 2 * rows * columns * 3);
            for (at, &found) in found.iter().enumerate() {
                let (k, c) = (at % 3, at / 3 % columns);
                let (r, image) = (at / 3 / columns % rows, at / 3 / columns / rows);
                let wanted = match pooling {
                    Some(Pooling::None) | None => y[at],
                    Some(Pooling::Max) => (0..4)
                        .map(|n| (2 * r + n / 2, 2 * c + n % 2))
                        .filter(|&(row, column)| row < 9 && column < 12)
                        .map(|(row, column)| y[((image * 9 + row) * 12 + column) * 3 + k])
                        .fold(f32::NEG_INFINITY, f32::max),
                };
                assert_eq!(
                    found,
                    wanted.max(0.0),
                    "feature {at} with {size} x {size} and pooling {pooling:?}"
                );
            }
        }
    }
}
