//! Global average pooling.

use std::ops::Range;
use std::sync::Arc;

use super::{Backward, Batch, Caption, Forward, Grid, Layer, Memory, plain};
use crate::capsnet::parameters::ParameterSpec;
use crate::error::Result;
use crate::routing::fused::LayerOutput;

/// The mean of each feature over all positions.
///
/// ```text
/// y[k] = sum_{r, c} x[r, c, k] / (rows columns)
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Average {
    pub below: Grid,
}

impl Average {
    fn positions(&self) -> usize {
        self.below.rows * self.below.columns
    }
}

impl Layer for Average {
    fn name(&self) -> &'static str {
        "average"
    }

    fn grid(&self) -> Grid {
        Grid { rows: 1, columns: 1, kinds: self.below.kinds }
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        Vec::new()
    }

    fn forward(&self, batch: &Batch, input: &LayerOutput, _keep: bool) -> Result<(LayerOutput, Memory)> {
        let (kinds, share) = (self.below.kinds, 1.0 / self.positions() as f32);
        let mut y = vec![0.0; batch.images * kinds];
        let images = input.activations.chunks_exact(self.positions() * kinds);
        for (y, x) in y.chunks_exact_mut(kinds).zip(images) {
            for x in x.chunks_exact(kinds) {
                y.iter_mut().zip(x).for_each(|(y, x)| *y += share * x);
            }
        }
        Ok((plain(y), Arc::new(())))
    }

    fn backward(
        &self,
        _batch: &Batch,
        _forward: Forward,
        d_output: LayerOutput,
        _with_input: bool,
    ) -> Result<Backward> {
        // y = sum x / positions  gives  dx = dy / positions
        let share = 1.0 / self.positions() as f32;
        let images = d_output.activations.chunks_exact(self.below.kinds);
        let d_x = images.flat_map(|d_y| d_y.repeat(self.positions())).map(|d_y| share * d_y).collect();
        Ok(Backward { d_parameters: Vec::new(), d_input: plain(d_x) })
    }

    fn caption(&self) -> Caption {
        let step = ["mean over", "all positions"].map(str::to_owned);
        Caption { title: "average", step, kinds: "features" }
    }

    fn receptive_field(&self, _rows: Range<usize>, _columns: Range<usize>) -> [Range<usize>; 2] {
        [0..self.below.rows, 0..self.below.columns]
    }
}
