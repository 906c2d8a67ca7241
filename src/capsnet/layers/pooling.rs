//! Max pooling, forward and backward.

/// 2 x 2 max pooling: keeps the largest number of each 2 x 2 window, channel by channel.
///
/// ```text
/// y[r, c, k] = max over i, j in 0..2 of x[2 r + i, 2 c + j, k]
/// ```
///
/// x is images x height x width x channels. If a side is odd, the last row or column of windows is cut off, and y has
/// ceil(height / 2) rows, as many as a convolution of stride 2; with `whole`, it is dropped instead, as PyTorch does by default. A NaN
/// counts as the largest number, so no NaN of a window is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaxPooling {
    /// Rows of the input x.
    pub height: usize,
    /// Columns of the input x.
    pub width: usize,
    /// Channels of x and of y.
    pub channels: usize,
    /// Whether only whole windows count: y then has floor(height / 2) rows.
    pub whole: bool,
}

/// The result of a [`MaxPooling`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pooled {
    /// The output y, images x rows x columns x channels.
    pub y: Vec<f32>,
    /// The position 2 i + j of the maximum in each window; in a tie, the first position.
    pub winners: Vec<u8>,
}

impl MaxPooling {
    /// Returns the rows and columns of the output y.
    pub fn grid(&self) -> (usize, usize) {
        let side = |length: usize| if self.whole { length / 2 } else { length.div_ceil(2) };
        (side(self.height), side(self.width))
    }

    /// Computes the output y and the position of each maximum.
    pub fn forward(&self, x: &[f32]) -> Pooled {
        let places = x.len() / (self.height * self.width);
        let ((rows, columns), channels) = (self.grid(), self.channels);
        let mut y = vec![f32::NEG_INFINITY; places * rows * columns];
        let mut winners = vec![0; y.len()];
        for (from, to, place) in self.places(x.len()) {
            let (y, winners) = (&mut y[to..][..channels], &mut winners[to..][..channels]);
            for ((&x, y), winner) in x[from..][..channels].iter().zip(y).zip(winners) {
                if x > *y || x.is_nan() {
                    (*y, *winner) = (x, place);
                }
            }
        }
        Pooled { y, winners }
    }

    /// Computes the gradient with respect to x from `d_y`, the gradient with respect to y. It is 0 except at the maxima.
    pub fn backward(&self, winners: &[u8], d_y: &[f32]) -> Vec<f32> {
        let (rows, columns) = self.grid();
        let mut d_x = vec![0.0; d_y.len() / (rows * columns) * self.height * self.width];
        for (to, from, place) in self.places(d_x.len()) {
            let (d_y, winners) = (&d_y[from..][..self.channels], &winners[from..][..self.channels]);
            for ((d_x, &d_y), &winner) in d_x[to..][..self.channels].iter_mut().zip(d_y).zip(winners) {
                *d_x = if winner == place { d_y } else { 0.0 };
            }
        }
        d_x
    }

    /// Yields (first index in x, first index in y, place 2 i + j in the window) for each position of x that lies in a window.
    fn places(&self, numbers: usize) -> impl Iterator<Item = (usize, usize, u8)> {
        let MaxPooling { width, height, channels, .. } = *self;
        let (rows, columns) = self.grid();
        (0..numbers / channels).filter_map(move |at| {
            let (image, row, column) = (at / width / height, at / width % height, at % width);
            let to = (image * rows + row / 2) * columns + column / 2;
            let inside = row / 2 < rows && column / 2 < columns;
            inside.then_some((at * channels, to * channels, (row % 2 * 2 + column % 2) as u8))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_pooling_matches_its_formula_for_even_and_odd_sides() {
        let sides = [(4, 6), (5, 4), (6, 7), (3, 3), (1, 1)];
        let cut =
            sides.map(|side| (side, false)).into_iter().chain(sides[..4].iter().map(|&side| (side, true)));
        for ((height, width), whole) in cut {
            let of = MaxPooling { height, width, channels: 3, whole };
            let (rows, columns) = of.grid();
            let x: Vec<f32> =
                (0..2 * height * width * 3).map(|i| ((i * 2654435761) % 1009) as f32 - 500.0).collect();
            let d_y: Vec<f32> = (1..=2 * rows * columns * 3).map(|i| i as f32).collect();
            let Pooled { y, winners } = of.forward(&x);
            assert_eq!(y.len(), d_y.len());
            let mut d_x = vec![0.0; x.len()];
            for (at, &y) in y.iter().enumerate() {
                let (k, c, r, image) =
                    (at % 3, at / 3 % columns, at / 3 / columns % rows, at / 3 / columns / rows);
                let inside = |&(i, j): &(usize, usize)| 2 * r + i < height && 2 * c + j < width;
                let place =
                    |(i, j): (usize, usize)| ((image * height + 2 * r + i) * width + 2 * c + j) * 3 + k;
                let near = [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().filter(inside).map(place);
                let most = near.reduce(|most, at| if x[at] > x[most] { at } else { most }).unwrap();
                assert_eq!(y, x[most]);
                d_x[most] += d_y[at];
            }
            assert_eq!(of.backward(&winners, &d_y), d_x);
        }
    }

    #[test]
    fn max_pooling_picks_the_first_of_equal_maxima_and_passes_a_nan_on() {
        let of = MaxPooling { height: 2, width: 2, channels: 1, whole: false };
        assert_eq!(of.forward(&[1.0; 4]), Pooled { y: vec![1.0], winners: vec![0] });
        for at in 0..4 {
            let mut x = [1.0; 4];
            x[at] = f32::NAN;
            let pooled = of.forward(&x);
            assert!(pooled.y[0].is_nan() && usize::from(pooled.winners[0]) == at);
        }
    }
}
