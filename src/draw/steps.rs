//! Which steps of a long course are shown.

/// The iterations of a fit to draw, `most` + 1 at most (and `most` above 1): the start, the end, and more of the first than
/// of the others.
pub fn shown_iterations(iterations: usize, most: usize) -> Vec<usize> {
    if iterations <= most {
        return (0..=iterations).collect();
    }
    // The share of the iterations that are over grows as a power of that of the frames.
    let power = (iterations as f64).ln() / (most as f64).ln();
    let step = |i: usize| ((i as f64).powf(power).round() as usize).clamp(i, iterations - (most - i));
    (0..=most).map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_fits_are_thinned_out_and_keep_their_ends() {
        assert_eq!(shown_iterations(3, 12), [0, 1, 2, 3]);
        for iterations in [13, 40, 300] {
            let shown = shown_iterations(iterations, 12);
            assert_eq!((shown[0], shown[1], shown[12]), (0, 1, iterations));
            assert!(shown.len() == 13 && shown.windows(2).all(|pair| pair[0] < pair[1]), "{shown:?}");
        }
    }
}
