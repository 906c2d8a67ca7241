//! Fits a mixture to a table with missing values, beside the same fit after mean imputation: how far are the parameters from
//! those that the samples were drawn from?
//!
//! `cargo run --release --example missing_values` prints a table, from 5000 samples of three components in three dimensions.
//! Another seed (default 1) may follow: `cargo run --release --example missing_values -- 2`. With `time` instead of a seed it
//! prints how long an iteration takes, without and with missing values.

use std::time::{Duration, Instant};

use em_routing::prelude::*;
use rand::{Rng, SeedableRng};

const SAMPLES: usize = 5000;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("time") {
        return Ok(time()?);
    }
    let seed = argument.map_or(Ok(1), |seed| seed.parse())?;
    let truth = truth()?;
    let (complete, labels) = truth.sample(SAMPLES, seed)?;
    println!("{SAMPLES} samples, seed {seed}; root mean square errors, and the share of wrong labels");
    println!("missing  method            weights  means  covariances  labels");
    for percent in [0, 10, 30, 50] {
        let data = holed(&complete, percent, seed);
        report(&truth, &labels, &format!("{percent:>5} %  marginalised   "), &Incomplete(&data))?;
        if percent > 0 {
            report(&truth, &labels, &format!("{percent:>5} %  mean imputation"), &imputed(&data))?;
        }
    }
    Ok(())
}

/// The mixture that the samples are drawn from.
fn truth() -> Result<Gmm, Error> {
    let means = array![[0.0, 0.0, 0.0], [3.0, 1.0, -2.0], [-1.0, 3.5, 2.0]];
    let covariances = array![
        [[1.0, 0.6, 0.2], [0.6, 1.5, -0.3], [0.2, -0.3, 0.8]],
        [[0.9, -0.4, 0.3], [-0.4, 0.7, 0.1], [0.3, 0.1, 1.2]],
        [[1.3, 0.0, 0.5], [0.0, 0.6, 0.2], [0.5, 0.2, 1.0]]
    ];
    Gmm::new(array![0.5, 0.3, 0.2], means, Covariances::Full(covariances))
}

/// Removes this share of the values at random.
fn holed(complete: &Array2<f64>, percent: u32, seed: u64) -> Array2<f64> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    complete.mapv(|x| if rng.r#gen::<f64>() < f64::from(percent) / 100.0 { f64::NAN } else { x })
}

/// Prints the time of an iteration with 10 components on one thread: the fastest of five fits of four iterations.
fn time() -> Result<(), Error> {
    println!("samples  columns  covariance   complete     30 % missing");
    for (samples, columns) in [(100_000, 8), (20_000, 32)] {
        for covariance in [CovarianceKind::Full, CovarianceKind::Diagonal] {
            let means = Array2::from_shape_fn((10, columns), |(k, j)| (7 * k + 3 * j + k * j) as f64 % 11.0);
            let truth = Gmm::standard(means, covariance);
            let complete = truth.sample(samples, 1)?.0;
            let stop = Stop { max_iterations: 4, tolerance: -1.0 };
            let start = GmmStart::Given(truth);
            let options =
                GmmOptions { components: 10, covariance, start, stop, threads: 1, ..Default::default() };
            let fastest = |data: &dyn Rows| -> Result<Duration, Error> {
                let mut fastest = Duration::MAX;
                for _ in 0..5 {
                    let begin = Instant::now();
                    Gmm::fit(data, &options)?;
                    fastest = fastest.min(begin.elapsed() / 4);
                }
                Ok(fastest)
            };
            let times = [fastest(&complete)?, fastest(&Incomplete(&holed(&complete, 30, 1)))?];
            let [all, some] = times.map(|time| 1000.0 * time.as_secs_f64());
            println!(
                "{samples:>7}  {columns:>7}  {:<10}  {all:>6.1} ms  {some:>9.1} ms",
                format!("{covariance:?}")
            );
        }
    }
    Ok(())
}

/// Replaces each missing value by the mean of its column: the usual remedy, which makes variances and correlations too small.
fn imputed(data: &Array2<f64>) -> Array2<f64> {
    let mut data = data.clone();
    for mut column in data.columns_mut() {
        let observed: Vec<f64> = column.iter().copied().filter(|x| !x.is_nan()).collect();
        let mean = observed.iter().sum::<f64>() / observed.len() as f64;
        column.mapv_inplace(|x| if x.is_nan() { mean } else { x });
    }
    data
}

/// Fits a mixture and prints a line of the table.
fn report(truth: &Gmm, labels: &Array1<usize>, name: &str, data: &dyn Rows) -> Result<(), Error> {
    let components = truth.weights.len();
    let stop = Stop { max_iterations: 1000, tolerance: 1e-6 };
    let options = GmmOptions { components, restarts: 3, stop, ..Default::default() };
    let model = Gmm::fit(data, &options)?.into_model();
    // each true component is compared with the fitted one of the nearest mean
    let nearest = KMeans { centroids: model.means.clone() }.predict(&truth.means)?;
    let (mut weights, mut means, mut covariances) = (Vec::new(), Vec::new(), Vec::new());
    for (k, &found) in nearest.iter().enumerate() {
        weights.push(model.weights[found] - truth.weights[k]);
        means.extend(&model.means.row(found) - &truth.means.row(k));
        covariances.extend(model.covariance(found) - truth.covariance(k));
    }
    let wrong = model.predict(data)?.iter().zip(labels).filter(|&(&found, &k)| found != nearest[k]).count();
    println!(
        "{name}   {:.3}  {:.3}        {:.3}  {:.1} %",
        root_mean_square(&weights),
        root_mean_square(&means),
        root_mean_square(&covariances),
        100.0 * wrong as f64 / labels.len() as f64
    );
    Ok(())
}

fn root_mean_square(errors: &[f64]) -> f64 {
    (errors.iter().map(|error| error * error).sum::<f64>() / errors.len() as f64).sqrt()
}
