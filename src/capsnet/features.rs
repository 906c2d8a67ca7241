//! A layer of features: a convolution whose answers are halved and cut off at 0.

use super::Pooling;
use super::convolution::{Convolution, ConvolutionGradient};
use super::pooling::{MaxPooling, Pooled};

/// A convolution, halved, and a ReLU.
///
/// ```text
/// f[r, c, k] = max(0, y[2 r + i, 2 c + j, k] for i, j in 0..2)    y the convolution's at every place     Pooling::Max
/// f[r, c, k] = max(0, y[r, c, k])                                 y the convolution's, two places apart  Pooling::None
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureLayer {
    /// Images of a batch.
    pub images: usize,
    /// Rows and columns of x.
    pub sides: (usize, usize),
    /// Channels of x.
    pub channels: usize,
    /// Channels of f.
    pub features: usize,
    /// Rows and columns of the window.
    pub size: usize,
    /// How x's sides are halved.
    pub pooling: Pooling,
    /// 0: one thread for each core.
    pub threads: usize,
}

impl FeatureLayer {
    /// Rows and columns of f: half of x's, rounded up.
    pub fn grid(&self) -> (usize, usize) {
        (self.sides.0.div_ceil(2), self.sides.1.div_ceil(2))
    }

    /// f, none negative, and which of the 2 x 2 places each is from (empty without pooling). A NaN stays one.
    pub fn forward(&self, x: &[f32], weights: &[f32], bias: &[f32]) -> Pooled {
        // max(ReLU(y)) = ReLU(max(y)), in a quarter of the work
        let y = self.convolution().forward(x, weights, bias);
        let mut features = match self.max_pooling() {
            None => Pooled { y, winners: Vec::new() },
            Some(pooling) => pooling.forward(&y),
        };
        features.y.iter_mut().for_each(|f| *f = if *f < 0.0 { 0.0 } else { *f });
        features
    }

    /// The gradient, from that with respect to f, and from f and the places that it is from. That of x is left empty unless it is
    /// asked for.
    pub fn backward(
        &self,
        x: &[f32],
        weights: &[f32],
        (features, winners): (&[f32], &[u8]),
        d_features: &[f32],
        with_d_x: bool,
    ) -> ConvolutionGradient {
        // ReLU: what was cut off gains nothing
        let cut = d_features.iter().zip(features).map(|(&d, &f)| if f > 0.0 { d } else { 0.0 });
        let mut d_y: Vec<f32> = cut.collect();
        if let Some(pooling) = self.max_pooling() {
            d_y = pooling.backward(winners, &d_y);
        }
        self.convolution().backward(x, weights, &d_y, with_d_x)
    }

    fn convolution(&self) -> Convolution {
        let FeatureLayer { images, sides: (height, width), channels, features, size, threads, .. } = *self;
        let stride = match self.pooling {
            Pooling::None => 2,
            Pooling::Max => 1,
        };
        Convolution { images, height, width, channels, features, size, stride, threads }
    }

    fn max_pooling(&self) -> Option<MaxPooling> {
        let FeatureLayer { sides: (height, width), features, .. } = *self;
        (self.pooling == Pooling::Max).then_some(MaxPooling { height, width, channels: features })
    }
}
