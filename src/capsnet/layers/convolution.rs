//! A convolution, forward and backward, as matrix products.

use ndarray::{ArrayView2, ArrayViewMut2};

use crate::compute::{Team, for_each_chunk, multiply, sum_over_ranks};
use crate::error::Result;

/// A convolution with a bias.
///
/// ```text
/// y[r, c, f] = b[f] + sum_{i, j, k} x[r s + i - p, c s + j - p, k] w[i, j, k, f]
/// ```
///
/// x is images x height x width x channels, w is size x size x channels x features. x is padded with zeros; the padding p is
/// TensorFlow's `SAME`: y has ceil(height / s) rows, and odd padding has one row less before the image than after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Convolution {
    /// Images in the batch.
    pub images: usize,
    /// Rows of the input x.
    pub height: usize,
    /// Columns of the input x.
    pub width: usize,
    /// Channels of the input x.
    pub channels: usize,
    /// Channels of the output y.
    pub features: usize,
    /// The side of the square window w.
    pub size: usize,
    /// The stride s.
    pub stride: usize,
    /// The number of threads (0: one for each core).
    pub threads: usize,
}

/// The gradient of a loss with respect to the arguments of a [`Convolution`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConvolutionGradient {
    /// The gradient with respect to x; empty unless requested.
    pub d_x: Vec<f32>,
    /// The gradient with respect to w.
    pub d_weights: Vec<f32>,
    /// The gradient with respect to b.
    pub d_bias: Vec<f32>,
}

impl Convolution {
    /// Returns the rows and columns of the output y.
    pub fn grid(&self) -> (usize, usize) {
        (self.height.div_ceil(self.stride), self.width.div_ceil(self.stride))
    }

    /// Computes the output y, images x rows x columns x features.
    pub fn forward(&self, x: &[f32], weights: &[f32], bias: &[f32]) -> Vec<f32> {
        let (positions, window) = (self.positions(), self.window());
        let w = ArrayView2::from_shape((window, self.features), weights).expect("weights fit the shape");
        let mut y = bias.repeat(self.images * positions);
        let patches = || vec![0.0; positions * window];
        let work = |patches: &mut Vec<f32>, (image, y): (usize, &mut [f32])| {
            self.gather(x, image, patches);
            let patches = ArrayView2::from_shape((positions, window), patches).expect("as made");
            let mut y = ArrayViewMut2::from_shape((positions, self.features), y).expect("as made");
            multiply(&patches, &w, true, &mut y);
            Ok(())
        };
        let images = y.chunks_exact_mut(positions * self.features).enumerate();
        for_each_chunk(images, self.threads, patches, work).expect("no image returns an error");
        y
    }

    /// Computes the gradient with respect to x, w and b from `d_y`, the gradient with respect to y. Leaves the gradient of x empty
    /// unless `with_d_x` is true. Skips images whose `d_y` is 0. If a team shares the images of a batch, the gradients of w and b
    /// are those of all images.
    ///
    /// # Errors
    ///
    /// Returns an error only if another process of the team has failed.
    pub fn backward(
        &self,
        team: Option<&dyn Team>,
        x: &[f32],
        weights: &[f32],
        d_y: &[f32],
        with_d_x: bool,
    ) -> Result<ConvolutionGradient> {
        let (positions, window) = (self.positions(), self.window());
        let w = ArrayView2::from_shape((window, self.features), weights).expect("weights fit the shape");
        let image_length = self.height * self.width * self.channels;
        let mut d_x = vec![0.0; if with_d_x { self.images * image_length } else { 0 }];
        let mut parts_of_d_x = d_x.chunks_exact_mut(image_length);
        let images = d_y.chunks_exact(positions * self.features).enumerate();
        let images = images.map(|(image, d_y)| (image, d_y, parts_of_d_x.next().unwrap_or_default()));
        let sums = sum_over_ranks(
            team,
            images.filter(|(_, d_y, _)| d_y.iter().any(|&d| d != 0.0)).collect(),
            self.threads,
            || vec![0.0; positions * window],
            |patches, (image, d_y, d_x)| {
                self.gather(x, image, patches);
                // y = P w + b  gives  dw = P^T dy,  db = sum_positions dy,  dP = dy w^T
                let mut d_bias = vec![0.0; self.features];
                for row in d_y.chunks_exact(self.features) {
                    d_bias.iter_mut().zip(row).for_each(|(sum, d)| *sum += d);
                }
                let d_y = ArrayView2::from_shape((positions, self.features), d_y).expect("as made");
                let mut d_weights = vec![0.0; window * self.features];
                let mut d_w =
                    ArrayViewMut2::from_shape((window, self.features), &mut d_weights).expect("as made");
                let mut p = ArrayViewMut2::from_shape((positions, window), patches).expect("as made");
                multiply(&p.t(), &d_y, false, &mut d_w);
                if with_d_x {
                    multiply(&d_y, &w.t(), false, &mut p);
                    self.scatter(patches, d_x);
                }
                Ok((d_weights, d_bias))
            },
            |all, more| {
                all.0.iter_mut().zip(more.0).for_each(|(all, more)| *all += more);
                all.1.iter_mut().zip(more.1).for_each(|(all, more)| *all += more);
            },
        )?;
        let (d_weights, d_bias) =
            sums.unwrap_or_else(|| (vec![0.0; weights.len()], vec![0.0; self.features]));
        Ok(ConvolutionGradient { d_x, d_weights, d_bias })
    }

    fn positions(&self) -> usize {
        self.grid().0 * self.grid().1
    }

    fn window(&self) -> usize {
        self.size * self.size * self.channels
    }

    /// Yields (index in the patches, index in the image, length) for each window row that lies in the image. Both indices point to
    /// the row's first number.
    fn runs(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let Convolution { height, width, channels, size, stride, .. } = *self;
        let (rows, columns) = self.grid();
        let before = |count: usize, length: usize| ((count - 1) * stride + size).saturating_sub(length) / 2;
        let (above, left) = (before(rows, height), before(columns, width));
        (0..rows * columns * size).filter_map(move |at| {
            let (position, i) = (at / size, at % size);
            let row = (position / columns * stride + i).checked_sub(above).filter(|&row| row < height)?;
            let first = position % columns * stride;
            let (from, to) = (first.max(left), (first + size).min(width + left));
            let patch = at * size * channels + (from - first) * channels;
            Some((patch, (row * width + from - left) * channels, to.saturating_sub(from) * channels))
        })
    }

    /// Fills the patch matrix P: each row is the window of x at one position.
    fn gather(&self, x: &[f32], image: usize, patches: &mut [f32]) {
        let length = self.height * self.width * self.channels;
        let x = &x[image * length..][..length];
        patches.fill(0.0);
        for (patch, pixel, count) in self.runs() {
            patches[patch..][..count].copy_from_slice(&x[pixel..][..count]);
        }
    }

    /// Adds each number of `d_patches` to the gradient of its pixel.
    fn scatter(&self, d_patches: &[f32], d_x: &mut [f32]) {
        for (patch, pixel, count) in self.runs() {
            let (to, from) = (&mut d_x[pixel..][..count], &d_patches[patch..][..count]);
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes y, and with `d_y` the gradients of x, w and b, directly from the formula.
    fn plainly(of: &Convolution, x: &[f32], w: &[f32], b: &[f32], d_y: Option<&[f32]>) -> [Vec<f64>; 4] {
        let Convolution { images, height, width, channels, features, size, stride, .. } = *of;
        let (rows, columns) = of.grid();
        let padding = |count: usize, length: usize| ((count - 1) * stride + size).saturating_sub(length) / 2;
        let (above, left) = (padding(rows, height), padding(columns, width));
        let mut y = vec![0.0; images * rows * columns * features];
        let (mut d_x, mut d_w, mut d_b) = (vec![0.0; x.len()], vec![0.0; w.len()], vec![0.0; features]);
        for (at, y) in y.iter_mut().enumerate() {
            let (f, place) = (at % features, at / features);
            let (c, r, image) = (place % columns, place / columns % rows, place / columns / rows);
            let d = d_y.map_or(0.0, |d_y| f64::from(d_y[at]));
            *y = f64::from(b[f]);
            d_b[f] += d;
            for (i, j, k) in
                (0..size * size * channels).map(|n| (n / channels / size, n / channels % size, n % channels))
            {
                let (row, column) =
                    ((r * stride + i).wrapping_sub(above), (c * stride + j).wrapping_sub(left));
                if row < height && column < width {
                    let pixel = ((image * height + row) * width + column) * channels + k;
                    let weight = ((i * size + j) * channels + k) * features + f;
                    *y += f64::from(x[pixel]) * f64::from(w[weight]);
                    d_x[pixel] += d * f64::from(w[weight]);
                    d_w[weight] += d * f64::from(x[pixel]);
                }
            }
        }
        [y, d_x, d_w, d_b]
    }

    #[test]
    fn convolution_matches_its_formula_for_all_windows_strides_and_sides() {
        let close = |found: &[f32], wanted: &[f64]| {
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(wanted) {
                let error = (f64::from(*found) - wanted).abs();
                assert!(error <= 1e-5, "{found} for {wanted}");
            }
        };
        let noise = |i: usize| ((i * 2654435761) % 1009) as f32 / 500.0 - 1.0;
        for (size, stride, (height, width)) in [1, 3, 5].into_iter().flat_map(|size| {
            [1, 2]
                .into_iter()
                .flat_map(move |stride| [(6, 5), (7, 7), (5, 8)].map(|side| (size, stride, side)))
        }) {
            let of =
                Convolution { images: 4, height, width, channels: 2, features: 3, size, stride, threads: 2 };
            let x: Vec<f32> = (0..4 * height * width * 2).map(noise).collect();
            let w: Vec<f32> = (0..size * size * 6).map(|i| noise(i + 5000)).collect();
            let b = [0.5, -0.25, 0.0];
            close(&of.forward(&x, &w, &b), &plainly(&of, &x, &w, &b, None)[0]);

            let image = of.grid().0 * of.grid().1 * 3;
            let d_y: Vec<f32> = (0..4 * image).map(|i| noise(i + 9000)).collect();
            // the images with a gradient of 0: none, then the second and the last (zeros of both signs), then all
            for still in [&[][..], &[1, 3], &[0, 1, 2, 3]] {
                let mut d_y = d_y.clone();
                for &still in still {
                    d_y[still * image..][..image].fill(if still == 1 { -0.0 } else { 0.0 });
                }
                let [_, d_x, d_w, d_b] = plainly(&of, &x, &w, &b, Some(&d_y));
                let found = of.backward(None, &x, &w, &d_y, true).unwrap();
                close(&found.d_x, &d_x);
                close(&found.d_weights, &d_w);
                close(&found.d_bias, &d_b);
                let without = of.backward(None, &x, &w, &d_y, false).unwrap();
                assert!(without.d_x.is_empty() && without.d_weights == found.d_weights);
            }
            let mut d_y = vec![0.0; 4 * image];
            d_y[2 * image] = f32::NAN;
            assert!(of.backward(None, &x, &w, &d_y, true).unwrap().d_bias[0].is_nan(), "a NaN was left out");
        }
    }
}
