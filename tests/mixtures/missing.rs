//! Missing values: mixtures against the formulas.

use em_routing::data::Incomplete;
use em_routing::em::Stop;
use em_routing::gmm::{CovarianceKind, Covariances, Gmm, GmmOptions, GmmStart, GmmStatistics};
use ndarray::{Array1, Array2, Array3, Axis, array, s};

use super::{close, close_each};

const NAN: f64 = f64::NAN;

/// Three overlapping components in three dimensions.
pub fn model(kind: CovarianceKind) -> Gmm {
    let weights = array![0.5, 0.3, 0.2];
    let means = array![[0.0, 0.0, 0.0], [3.0, 1.0, -2.0], [-1.0, 3.5, 2.0]];
    let matrices = Array3::from_shape_vec(
        (3, 3, 3),
        vec![
            1.0, 0.6, 0.2, 0.6, 1.5, -0.3, 0.2, -0.3, 0.8, 0.9, -0.4, 0.3, -0.4, 0.7, 0.1, 0.3, 0.1, 1.2,
            1.3, 0.0, 0.5, 0.0, 0.6, 0.2, 0.5, 0.2, 1.0,
        ],
    );
    let covariances = Covariances::from_matrices(kind, &weights, matrices.unwrap()).unwrap();
    Gmm::new(weights, means, covariances).unwrap()
}

/// Replaces this share of the numbers by NaN, at random.
pub fn holed(data: &Array2<f64>, share: f64, seed: u64) -> Array2<f64> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    data.mapv(|x| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        if ((state >> 11) as f64) < share * (1u64 << 53) as f64 { NAN } else { x }
    })
}

pub fn sample(kind: CovarianceKind, samples: usize, seed: u64) -> Array2<f64> {
    holed(&model(kind).sample(samples, seed).unwrap().0, 0.3, seed)
}

/// Returns log of the integral of the density over the missing values of a row, by the trapezoidal rule. For a smooth density
/// that is 0 at the ends, the rule converges exponentially: this step is a fifth of the smallest standard deviation.
fn integrated(model: &Gmm, row: &[f64]) -> f64 {
    const STEP: f64 = 0.12;
    let missing: Vec<usize> = (0..row.len()).filter(|&j| row[j].is_nan()).collect();
    let line: Vec<f64> = (-125..=135).map(|i| f64::from(i) * STEP).collect();
    let points = line.len().pow(missing.len() as u32);
    let grid = Array2::from_shape_fn((points, row.len()), |(point, j)| {
        match missing.iter().position(|&column| column == j) {
            Some(at) => line[point / line.len().pow(at as u32) % line.len()],
            None => row[j],
        }
    });
    let log_density = model.log_density(&grid).unwrap();
    let cell = STEP.powi(missing.len() as i32);
    (log_density.iter().map(|log| log.exp()).sum::<f64>() * cell).ln()
}

#[test]
fn the_log_density_is_the_integral_over_the_missing_values() {
    for &kind in CovarianceKind::ALL {
        let (model, data) = (model(kind), sample(kind, 40, 1));
        let found = model.log_density(&Incomplete(&data)).unwrap();
        let all_missing = |row: &[f64]| row.iter().all(|x| x.is_nan());
        let expected: Array1<f64> = data
            .rows()
            .into_iter()
            .map(|row| row.to_vec())
            .map(|row| if all_missing(&row) { 0.0 } else { integrated(&model, &row) })
            .collect();
        let pairs = data.rows().into_iter().filter(|row| row.iter().filter(|x| x.is_nan()).count() == 2);
        assert!(pairs.count() >= 3);
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-10, "{kind:?}: {found} instead of {expected}");
        }
        let sum = model.log_likelihood(&Incomplete(&data)).unwrap();
        assert!((sum - expected.sum()).abs() <= 1e-10 * expected.sum().abs());
        let criteria = model.criteria(&Incomplete(&data)).unwrap();
        assert!((criteria.log_likelihood - sum).abs() <= 1e-10 * sum.abs());
    }
}

#[test]
fn wide_rows_of_many_patterns_match_the_models_of_their_columns() {
    const D: usize = 130;
    // the identity plus u u^T / 2 is positive definite
    let covariance =
        |i: usize, j: usize| 0.5 * (i as f64).cos() * (j as f64).cos() + if i == j { 1.0 } else { 0.0 };
    let matrices = Array3::from_shape_fn((2, D, D), |(k, i, j)| (1.0 + k as f64) * covariance(i, j));
    let means = Array2::from_shape_fn((2, D), |(k, j)| 0.02 * (k * j) as f64);
    let model = Gmm::new(array![0.4, 0.6], means, Covariances::Full(matrices.clone())).unwrap();
    let complete = model.sample(80, 4).unwrap().0;
    let mut data = holed(&complete, 0.3, 4);
    // pairs of columns that lie 64 apart, several rows for each pair
    for row in 0..40 {
        data.row_mut(row).assign(&complete.row(row));
        data[(row, row % 3)] = NAN;
        data[(row, row % 3 + 64)] = NAN;
    }
    let found = model.log_density(&Incomplete(&data)).unwrap();
    let mut merged: Option<GmmStatistics> = None;
    for (i, row) in data.rows().into_iter().enumerate() {
        let observed: Vec<usize> = (0..D).filter(|&j| !row[j].is_nan()).collect();
        let marginal = Gmm::new(
            model.weights.clone(),
            model.means.select(Axis(1), &observed),
            Covariances::Full(matrices.select(Axis(1), &observed).select(Axis(2), &observed)),
        );
        let values = row.select(Axis(0), &observed).insert_axis(Axis(0));
        let expected = marginal.unwrap().log_density(&values).unwrap()[0];
        assert!((found[i] - expected).abs() <= 1e-11 * expected.abs(), "{} instead of {expected}", found[i]);
        let one = model.statistics(&Incomplete(&data.slice(s![i..i + 1, ..])), None).unwrap();
        match &mut merged {
            None => merged = Some(one),
            Some(all) => all.merge(&one),
        }
    }
    let (all, merged) = (model.statistics(&Incomplete(&data), None).unwrap(), merged.unwrap());
    close("first moments", &all.first_moments, &merged.first_moments, 1e-10);
    close("second moments", &all.second_moments, &merged.second_moments, 1e-10);
}

/// Solves A x = b (n x n) by Gaussian elimination.
fn solve(mut a: Array2<f64>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for pivot in 0..n {
        for row in pivot + 1..n {
            let factor = a[(row, pivot)] / a[(pivot, pivot)];
            for column in pivot..n {
                a[(row, column)] -= factor * a[(pivot, column)];
            }
            b[row] -= factor * b[pivot];
        }
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|column| a[(row, column)] * b[column]).sum();
        b[row] = (b[row] - known) / a[(row, row)];
    }
    b
}

/// Returns the completed sample (d) and the covariance of its missing values (d x d) under a component.
fn completed(model: &Gmm, component: usize, row: &[f64]) -> (Array1<f64>, Array2<f64>) {
    let (sigma, mean) = (model.covariance(component), model.means.row(component));
    let (missing, observed): (Vec<usize>, Vec<usize>) = (0..row.len()).partition(|&j| row[j].is_nan());
    let oo = sigma.select(Axis(0), &observed).select(Axis(1), &observed);
    let shift = solve(oo.clone(), observed.iter().map(|&j| row[j] - mean[j]).collect());
    let (mut x, mut covariance) = (Array1::from(row.to_vec()), Array2::zeros(sigma.dim()));
    for &i in &missing {
        x[i] = mean[i] + observed.iter().zip(&shift).map(|(&j, shift)| sigma[(i, j)] * shift).sum::<f64>();
        let regression = solve(oo.clone(), observed.iter().map(|&j| sigma[(i, j)]).collect());
        for &l in &missing {
            let explained = observed.iter().zip(&regression).map(|(&j, a)| sigma[(l, j)] * a);
            covariance[(i, l)] = sigma[(i, l)] - explained.sum::<f64>();
        }
    }
    (x, covariance)
}

#[test]
fn the_m_step_is_that_of_the_formulas() {
    for &kind in CovarianceKind::ALL {
        let (model, data) = (model(kind), sample(kind, 300, 2));
        let weights: Vec<f64> = (0..300).map(|i| [1.0, 0.5, 2.0, 0.0][i % 4]).collect();
        let statistics = model.statistics(&Incomplete(&data), Some(&weights)).unwrap();
        let found = statistics.maximisation(&model, 1e-3);
        let responsibilities = model.responsibilities(&Incomplete(&data)).unwrap();
        let counted: Vec<usize> =
            (0..300).filter(|&i| weights[i] > 0.0 && data.row(i).iter().any(|x| !x.is_nan())).collect();
        let total: f64 = counted.iter().map(|&i| weights[i]).sum();
        let (mut shares, mut means) = (Array1::zeros(3), Array2::zeros((3, 3)));
        let mut matrices = Array3::zeros((3, 3, 3));
        for k in 0..3 {
            let w = |i: usize| weights[i] * responsibilities[(i, k)];
            let of = |i: usize| completed(&model, k, &data.row(i).to_vec());
            let count: f64 = counted.iter().map(|&i| w(i)).sum();
            let mut mean = Array1::<f64>::zeros(3);
            counted.iter().for_each(|&i| mean.scaled_add(w(i) / count, &of(i).0));
            let mut matrix = Array2::<f64>::zeros((3, 3));
            for &i in &counted {
                let (x, covariance) = of(i);
                let z = (&x - &mean).insert_axis(Axis(1));
                matrix.scaled_add(w(i) / count, &(z.dot(&z.t()) + covariance));
            }
            shares[k] = count / total;
            means.row_mut(k).assign(&mean);
            matrices.index_axis_mut(Axis(0), k).assign(&(matrix + Array2::<f64>::eye(3) * 1e-3));
        }
        let covariances = Covariances::from_matrices(kind, &shares, matrices).unwrap();
        close("weights", &found.weights, &shares, 1e-12);
        close("means", &found.means, &means, 1e-12);
        close("covariances", &found.covariances.values(), &covariances.values(), 1e-12);
    }
}

#[test]
fn the_maximum_has_a_closed_form_if_only_the_second_column_misses_values() {
    // Anderson 1957: the regression of x2 on x1 in the complete rows, and the moments of x1 in all rows
    let (mut data, _) = model(CovarianceKind::Full).sample(200, 3).unwrap();
    data.remove_index(Axis(1), 2);
    let complete = data.slice(s![..120, ..]).to_owned();
    data.slice_mut(s![120.., 1]).fill(NAN);
    let stop = Stop { max_iterations: 10_000, tolerance: 1e-13 };
    let options = GmmOptions { regularisation: 0.0, stop, ..Default::default() };
    let fit = Gmm::fit(&Incomplete(&data), &options).unwrap();
    assert!(fit.converged);
    let mean = |x: &Array2<f64>, j: usize| x.column(j).mean().unwrap();
    let moment = |x: &Array2<f64>, i: usize, j: usize| {
        let (mi, mj) = (mean(x, i), mean(x, j));
        x.rows().into_iter().map(|row| (row[i] - mi) * (row[j] - mj)).sum::<f64>() / x.nrows() as f64
    };
    let slope = moment(&complete, 0, 1) / moment(&complete, 0, 0);
    let residual = moment(&complete, 1, 1) - slope * moment(&complete, 0, 1);
    let first = data.slice(s![.., ..1]).to_owned();
    let (mean_1, variance_1) = (mean(&first, 0), moment(&first, 0, 0));
    let mean_2 = mean(&complete, 1) + slope * (mean_1 - mean(&complete, 0));
    let expected = [
        mean_1,
        mean_2,
        variance_1,
        slope * variance_1,
        slope * variance_1,
        residual + slope * slope * variance_1,
    ];
    let found = fit.model().means.iter().chain(fit.model().covariances.values()).copied().collect::<Vec<_>>();
    close_each("the maximum", &found, &expected, 1e-6);
}

#[test]
fn a_converged_fit_is_a_stationary_point_of_the_log_likelihood() {
    for &kind in CovarianceKind::ALL {
        let data = sample(kind, 300, 4);
        let stop = Stop { max_iterations: 20_000, tolerance: 1e-12 };
        let start = GmmStart::Given(model(kind));
        let options = GmmOptions {
            components: 3,
            covariance: kind,
            start,
            regularisation: 0.0,
            stop,
            ..Default::default()
        };
        let fit = Gmm::fit(&Incomplete(&data), &options).unwrap();
        assert!(fit.converged);
        let slope = |change: &dyn Fn(&mut Gmm, f64)| {
            let at = |step: f64| {
                let mut model = fit.model().clone();
                change(&mut model, step);
                model.log_likelihood(&Incomplete(&data)).unwrap()
            };
            (at(1e-4) - at(-1e-4)) / 2e-4
        };
        let mut slopes = Vec::new();
        for k in 0..3 {
            for j in 0..3 {
                slopes.push(slope(&|model, step| model.means[(k, j)] += step));
                slopes.push(slope(&|model, step| match &mut model.covariances {
                    Covariances::Full(full) => {
                        full[(k, j, (j + 1) % 3)] += step;
                        full[(k, (j + 1) % 3, j)] += step;
                    }
                    Covariances::Tied(tied) => tied[(j, j)] += step,
                    Covariances::Diagonal(diagonal) => diagonal[(k, j)] += step,
                    Covariances::Spherical(spherical) => spherical[k] += step,
                }));
            }
            slopes.push(slope(&|model, step| {
                model.weights[k] += step;
                model.weights[(k + 1) % 3] -= step;
            }));
        }
        for slope in slopes {
            assert!(slope.abs() <= 2e-3, "{kind:?}: {slope}");
        }
    }
}
