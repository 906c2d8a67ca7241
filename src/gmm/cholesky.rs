//! The Cholesky factor of a covariance, and its inverse.

/// A pivot below this times its diagonal element is rounding error: the matrix is singular. An exactly singular
/// covariance, such as that of points on a line, leaves a pivot of about 1e-16 times the number of dimensions.
pub(super) const SINGULAR: f64 = 1e-14;

/// Returns the lower triangular L with L L^T = A, row by row (d x d), or None if A (d x d, symmetric) is not positive definite.
///
/// ```text
/// L_jj = sqrt(A_jj - sum_{m<j} L_jm^2)        L_ij = (A_ij - sum_{m<j} L_im L_jm) / L_jj,    i > j
/// ```
pub(super) fn cholesky(matrix: &[f64], dimensions: usize) -> Option<Vec<f64>> {
    let d = dimensions;
    let mut factor = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            let known: f64 = (0..j).map(|m| factor[i * d + m] * factor[j * d + m]).sum();
            let rest = matrix[i * d + j] - known;
            if i == j {
                if !(rest > SINGULAR * matrix[i * d + i] && rest.is_finite()) {
                    return None;
                }
                factor[i * d + i] = rest.sqrt();
            } else {
                factor[i * d + j] = rest / factor[j * d + j];
            }
        }
    }
    Some(factor)
}

/// Returns W = L^-1, lower triangular like L, or None if a number overflows.
pub(super) fn invert(factor: &[f64], dimensions: usize) -> Option<Vec<f64>> {
    let d = dimensions;
    let mut inverse = vec![0.0; d * d];
    for column in 0..d {
        for i in column..d {
            let known: f64 = (column..i).map(|m| factor[i * d + m] * inverse[m * d + column]).sum();
            let unit = if i == column { 1.0 } else { 0.0 };
            inverse[i * d + column] = (unit - known) / factor[i * d + i];
        }
    }
    inverse.iter().all(|value| value.is_finite()).then_some(inverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cholesky_factor_times_its_inverse_is_the_identity() {
        let matrix = [4.0, 2.0, 0.6, 2.0, 5.0, -1.0, 0.6, -1.0, 3.0];
        let factor = cholesky(&matrix, 3).unwrap();
        let inverse = invert(&factor, 3).unwrap();
        for i in 0..3 {
            for j in 0..3 {
                let product: f64 = (0..3).map(|m| factor[i * 3 + m] * factor[j * 3 + m]).sum();
                assert!((product - matrix[i * 3 + j]).abs() <= 1e-15 * 5.0);
                let unit: f64 = (0..3).map(|m| inverse[i * 3 + m] * factor[m * 3 + j]).sum();
                assert!((unit - f64::from(u8::from(i == j))).abs() <= 1e-15 * 5.0);
            }
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_has_no_cholesky_factor() {
        assert_eq!(cholesky(&[0.0], 1), None);
        assert_eq!(cholesky(&[f64::NAN], 1), None);
        assert_eq!(cholesky(&[0.1 * 0.1, 0.1 * 0.3, 0.1 * 0.3, 0.3 * 0.3], 2), None);
        assert_eq!(cholesky(&[1.0, 2.0, 2.0, 1.0], 2), None);
        assert!(cholesky(&[1.0, 1.0 - 1e-12, 1.0 - 1e-12, 1.0], 2).is_some());
    }
}
