//! K-means and Gaussian mixtures: seconds per iteration, from the difference between a longer and a shorter fit.

use std::path::{Path, PathBuf};
use std::time::Instant;

use em_routing::data::npy::{self, NpyFile, Precision};
use em_routing::data::{RowBuffer, Rows};
use em_routing::draw::{Figure, Label, Palette, Pen, Point, component, log_curves};
use em_routing::em::Stop;
use em_routing::gmm::{CovarianceKind, Gmm, GmmOptions, GmmStart};
use em_routing::kmeans::{KMeans, KMeansOptions, KMeansStart};
use ndarray::{Array2, Axis};
use serde_json::{Value, json};

use crate::Outcome;
use crate::machine::{Watch, forget_peak, median, memory};
use crate::peer::{Peer, number};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Algorithm {
    Gmm,
    KMeans,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    algorithm: Algorithm,
    samples: usize,
    dimensions: usize,
    clusters: usize,
}

pub struct Options {
    peers: Option<PathBuf>,
    rounds: usize,
    threads: usize,
    cases: Vec<Case>,
    growth: bool,
    file_gib: Option<f64>,
}

impl Options {
    pub fn parse(arguments: &[String]) -> Outcome<Options> {
        let mut options =
            Options { peers: None, rounds: 5, threads: 2, cases: Vec::new(), growth: false, file_gib: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--peers" => options.peers = Some(value()?.into()),
                "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
                "--threads" => options.threads = value()?.parse()?,
                "--case" => options.cases.push(Case::parse(value()?)?),
                "--growth" => options.growth = true,
                "--file" => options.file_gib = Some(value()?.parse()?),
                other => return Err(format!("{other}? See --help.").into()),
            }
        }
        if options.cases.is_empty() {
            for case in ["gmm:1000000x16x16", "gmm:100000x8x16", "kmeans:1000000x16x16", "kmeans:100000x8x16"]
            {
                options.cases.push(Case::parse(case)?);
            }
        }
        Ok(options)
    }
}

impl Case {
    fn parse(text: &str) -> Outcome<Case> {
        let wrong = || format!("{text} is not a case such as gmm:100000x8x16");
        let (algorithm, sizes) = text.split_once(':').ok_or_else(wrong)?;
        let algorithm = match algorithm {
            "gmm" => Algorithm::Gmm,
            "kmeans" => Algorithm::KMeans,
            _ => return Err(wrong().into()),
        };
        let sizes: Vec<usize> =
            sizes.split('x').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
        match sizes[..] {
            [samples, dimensions, clusters] if clusters >= 1 && samples >= clusters && dimensions >= 1 => {
                Ok(Case { algorithm, samples, dimensions, clusters })
            }
            _ => Err(wrong().into()),
        }
    }

    /// Returns the iterations of the shorter and of the longer fit.
    fn iterations(&self) -> (usize, usize) {
        match self.algorithm {
            Algorithm::Gmm if self.samples >= 500_000 => (1, 3), // peers take seconds per iteration
            Algorithm::Gmm => (2, 12),
            Algorithm::KMeans if self.samples >= 500_000 => (2, 6),
            Algorithm::KMeans => (2, 42),
        }
    }

    fn name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Gmm => "gmm",
            Algorithm::KMeans => "kmeans",
        }
    }

    /// Draws samples from overlapping Gaussians, and takes some of the samples as the start.
    fn draw(&self) -> Outcome<(Array2<f64>, Array2<f64>)> {
        let corners = Array2::from_shape_fn((self.clusters, self.dimensions), |(k, j)| {
            ((k * 31 + j * 17 + k * j * 7) % 61) as f64 / 10.0 - 3.0
        });
        let (data, _) = Gmm::standard(corners, CovarianceKind::Spherical).sample(self.samples, 1)?;
        let step = self.samples / self.clusters;
        let start = data.select(Axis(0), &(0..self.clusters).map(|k| k * step).collect::<Vec<_>>());
        Ok((data, start))
    }

    /// Returns the seconds of a fit by this library.
    fn fit(&self, data: &dyn Rows, start: &Array2<f64>, iterations: usize, threads: usize) -> Outcome<f64> {
        let stop = Stop { max_iterations: iterations, tolerance: -1.0 };
        let began = Instant::now();
        let made = match self.algorithm {
            Algorithm::Gmm => {
                let start = GmmStart::Given(Gmm::standard(start.clone(), CovarianceKind::Full));
                let components = self.clusters;
                Gmm::fit(data, &GmmOptions { components, start, stop, threads, ..Default::default() })?
                    .iterations()
            }
            Algorithm::KMeans => {
                let start = KMeansStart::Given(start.clone());
                let clusters = self.clusters;
                KMeans::fit(data, &KMeansOptions { clusters, start, stop, threads, ..Default::default() })?
                    .iterations()
            }
        };
        assert_eq!(made, iterations);
        Ok(began.elapsed().as_secs_f64())
    }

    /// Returns this library's seconds per iteration.
    fn ours(&self, data: &dyn Rows, start: &Array2<f64>, threads: usize) -> Outcome<f64> {
        let (few, many) = self.iterations();
        let short = self.fit(data, start, few, threads)?;
        Ok((self.fit(data, start, many, threads)? - short) / (many - few) as f64)
    }
}

/// One side of the comparison, with the results of its rounds.
struct Side {
    name: String,
    seconds: Vec<f64>,
    others_busy: Vec<f64>,
    peak_mib: f64,
}

impl Side {
    fn new(name: String) -> Side {
        Side { name, seconds: Vec::new(), others_busy: Vec::new(), peak_mib: f64::NAN }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "s_per_iteration": median(&self.seconds),
            "rounds": self.seconds,
            "others_busy": median(&self.others_busy),
            "peak_mib_above_data": self.peak_mib,
        })
    }
}

pub fn run(options: &Options) -> Outcome<()> {
    let folder = std::env::temp_dir().join(format!("em-routing-compare-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = run_in(options, &folder);
    std::fs::remove_dir_all(&folder)?;
    outcome
}

fn run_in(options: &Options, folder: &Path) -> Outcome<()> {
    println!(
        "{:<7} {:>9} {:>4} {:>4}  {:<26} {:>14} {:>7} {:>11} {:>7}",
        "", "n", "d", "k", "", "s / iteration", "ratio", "peak (MiB)", "others"
    );
    for case in &options.cases {
        let sides = compare(options, case, folder)?;
        let ours = median(&sides[0].seconds);
        for side in &sides {
            let seconds = median(&side.seconds);
            let peak = if side.peak_mib.is_nan() { "-".to_string() } else { format!("{:.1}", side.peak_mib) };
            println!(
                "{:<7} {:>9} {:>4} {:>4}  {:<26} {:>14.6} {:>7.2} {:>11} {:>7.3}",
                case.name(),
                case.samples,
                case.dimensions,
                case.clusters,
                side.name,
                seconds,
                seconds / ours,
                peak,
                median(&side.others_busy)
            );
        }
        let line = json!({
            "case": case.name(), "n": case.samples, "d": case.dimensions, "k": case.clusters,
            "threads": options.threads, "sides": sides.iter().map(Side::json).collect::<Vec<_>>(),
        });
        println!("{line}");
    }
    if options.growth {
        growth(options)?;
    }
    if let Some(gib) = options.file_gib {
        from_file(options, gib, folder)?;
    }
    Ok(())
}

/// Times all sides in alternating rounds; the first is this library.
fn compare(options: &Options, case: &Case, folder: &Path) -> Outcome<Vec<Side>> {
    let (data, start) = case.draw()?;
    let mut sides = vec![Side::new("em-routing".into())];
    let mut peer = match &options.peers {
        Some(environment) => {
            let (data_path, start_path) = (folder.join("data.npy"), folder.join("start.npy"));
            npy::write(&data_path, &data, Precision::F64)?;
            npy::write(&start_path, &start, Precision::F64)?;
            let peer = start_peer(environment, case, &data_path, &start_path, options.threads)?;
            sides.push(Side::new(peer.name.clone()));
            Some(peer)
        }
        None => None,
    };
    for round in 1..=options.rounds {
        let watch = Watch::new(std::process::id());
        forget_peak();
        let before = memory("VmRSS");
        sides[0].seconds.push(case.ours(&data, &start, options.threads)?);
        // Only the first round shows the full peak, because later rounds reuse its memory.
        sides[0].peak_mib = sides[0].peak_mib.max(memory("VmHWM") - before);
        sides[0].others_busy.push(watch.others_busy());
        if let Some(peer) = &mut peer {
            let watch = Watch::new(peer.id());
            let (seconds, peak_mib) = peer_round(peer)?;
            sides[1].seconds.push(seconds);
            sides[1].peak_mib = sides[1].peak_mib.max(peak_mib);
            sides[1].others_busy.push(watch.others_busy());
        }
        #[cfg(feature = "peers")]
        {
            let at = 1 + usize::from(peer.is_some());
            if sides.len() == at {
                sides.push(Side::new("linfa-clustering 0.8.1".into()));
            }
            let watch = Watch::new(std::process::id());
            sides[at].seconds.push(linfa::seconds(case, &data, &start)?);
            sides[at].others_busy.push(watch.others_busy());
        }
        let latest = |side: &Side| format!("{} {:.6}", side.name, side.seconds.last().unwrap_or(&f64::NAN));
        let latest = sides.iter().map(latest).collect::<Vec<_>>().join(", ");
        eprintln!(
            "{}, {} samples, round {round} of {}, s / iteration: {latest}",
            case.name(),
            case.samples,
            options.rounds
        );
    }
    Ok(sides)
}

/// Starts scikit-learn with this data and this start.
fn start_peer(environment: &Path, case: &Case, data: &Path, start: &Path, threads: usize) -> Outcome<Peer> {
    let (few, many) = case.iterations();
    let mut arguments = vec![case.name().to_owned()];
    arguments.extend([data, start].map(|path| path.display().to_string()));
    arguments.extend([few, many, threads].map(|number| number.to_string()));
    Peer::start(environment, "mixtures.py", &arguments, &[])
}

/// Returns the peer's seconds per iteration and its peak memory above the data, in MiB.
fn peer_round(peer: &mut Peer) -> Outcome<(f64, f64)> {
    let answer = peer.round()?;
    let iterations = number(&answer, "iterations")?;
    if iterations < 1.0 {
        return Err("the peer converged at once: choose a harder case".into());
    }
    Ok(((number(&answer, "many")? - number(&answer, "few")?) / iterations, number(&answer, "peak_mib")?))
}

/// Measures the cost over the number of samples, with one thread and with all, and draws it.
fn growth(options: &Options) -> Outcome<()> {
    let sizes = [10_000, 100_000, 1_000_000, 10_000_000];
    let mut curves: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for (algorithm, name) in [(Algorithm::Gmm, "gmm"), (Algorithm::KMeans, "kmeans")] {
        let mut rows = Vec::new();
        for samples in sizes {
            let case = Case { algorithm, samples, dimensions: 16, clusters: 16 };
            let (data, start) = case.draw()?;
            let (mut one, mut all) = (Vec::new(), Vec::new());
            for _ in 0..options.rounds {
                one.push(case.ours(&data, &start, 1)?);
                all.push(case.ours(&data, &start, options.threads)?);
            }
            let (one, all) = (median(&one), median(&all));
            println!(
                "{name:<7} {samples:>9}   16   16  {:>10.1} ns per sample, {:>5.2} times as fast with {} threads as with one",
                all / samples as f64 * 1e9,
                one / all,
                options.threads
            );
            rows.push(json!({"n": samples, "s_per_iteration": all, "s_per_iteration_one_thread": one}));
        }
        println!(
            "{}",
            json!({"case": "growth", "algorithm": name, "threads": options.threads, "rows": rows})
        );
        let number = |row: &Value, key: &str| row[key].as_f64().unwrap_or(f64::NAN);
        let points = rows.iter().map(|row| (number(row, "n"), number(row, "s_per_iteration"))).collect();
        curves.push((if name == "gmm" { "Gaussian mixture" } else { "K-means" }, points));
    }
    let curves: Vec<(&str, &[(f64, f64)])> =
        curves.iter().map(|(name, points)| (*name, points.as_slice())).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join("cost-growth.svg");
    cost_growth(&curves)?.save(&path, Palette::Light)?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Draws the seconds per iteration over the number of samples. A cost in proportion to the samples follows the dashed line of
/// slope 1 through the first point.
fn cost_growth(curves: &[(&str, &[Point])]) -> em_routing::error::Result<Figure> {
    let axes = ["number of samples", "time per iteration (s)"];
    let title = "Time per iteration over the number of samples";
    let mut chart = log_curves("cost-growth", title, axes, curves)?;
    let mut labels = Vec::new();
    for (index, (name, points)) in curves.iter().enumerate() {
        let place = |(samples, seconds): Point| (samples.log10(), seconds.log10());
        let (first, last) = (place(points[0]), place(points[points.len() - 1]));
        let proportional = (last.0, first.1 + last.0 - first.0);
        chart.line([first, proportional], Pen::new(component(index), 1.2).dashed(4.0, 4.0));
        let (at, text) = (last.1, name.to_string());
        labels.push(Label { at, tint: component(index), text, note: String::new() });
    }
    chart.labels(&labels, false);
    chart.finish()
}

/// Samples computed when they are read, to write a file larger than the memory.
struct Synthetic {
    samples: usize,
    chunk: Array2<f64>,
}

impl Rows for Synthetic {
    fn samples(&self) -> usize {
        self.samples
    }

    fn dimensions(&self) -> usize {
        self.chunk.ncols()
    }

    fn read<'a>(
        &'a self,
        range: std::ops::Range<usize>,
        buffer: &'a mut RowBuffer,
    ) -> em_routing::error::Result<&'a [f64]> {
        buffer.values.clear();
        // repeats the chunk, shifted a little each time
        let rows = self.chunk.nrows();
        for sample in range {
            let shift = (sample / rows) as f64 * 1e-6;
            buffer.values.extend(self.chunk.row(sample % rows).iter().map(|value| value + shift));
        }
        Ok(&buffer.values)
    }
}

/// Fits from a file and prints the time and the peak memory.
fn from_file(options: &Options, gib: f64, folder: &Path) -> Outcome<()> {
    let path = folder.join("large.npy");
    let samples = (gib * f64::from(1 << 30) / (16.0 * 8.0)) as usize;
    for (algorithm, name) in [(Algorithm::Gmm, "gmm"), (Algorithm::KMeans, "kmeans")] {
        let case = Case { algorithm, samples: 100_000.min(samples), dimensions: 16, clusters: 16 };
        let (chunk, start) = case.draw()?;
        if !path.exists() {
            npy::write(&path, &Synthetic { samples, chunk }, Precision::F64)?;
        }
        let file = NpyFile::open(&path)?;
        forget_peak();
        let seconds = case.fit(&file, &start, 2, options.threads)?;
        println!(
            "{}",
            json!({"case": "file", "algorithm": name, "gib": gib, "n": samples, "d": 16, "k": 16, "iterations": 2,
                   "seconds": seconds, "peak_mib": memory("VmHWM")})
        );
    }
    Ok(())
}

#[cfg(feature = "peers")]
mod linfa {
    use super::*;
    use ::linfa::DatasetBase;
    use ::linfa::prelude::{Fit, ParamGuard};
    use linfa_clustering::{GaussianMixtureModel, GmmError, GmmInitMethod, KMeansInit};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// Returns the seconds per iteration. linfa's mixture does not accept a given start; it begins with the same random
    /// responsibilities each time, so that the difference between two fits is the cost of the iterations alone. (Its start by
    /// K-means, ten runs of up to 300 iterations, takes minutes for 1,000,000 samples.)
    pub fn seconds(case: &Case, data: &Array2<f64>, start: &Array2<f64>) -> Outcome<f64> {
        let dataset = DatasetBase::from(data.view());
        let rng = || ChaCha8Rng::seed_from_u64(1);
        let fit = |iterations: usize| -> Outcome<f64> {
            let began = Instant::now();
            match case.algorithm {
                Algorithm::KMeans => {
                    let parameters = linfa_clustering::KMeans::params_with_rng(case.clusters, rng())
                        .init_method(KMeansInit::Precomputed(start.clone()))
                        .n_runs(1)
                        .tolerance(f64::MIN_POSITIVE)
                        .max_n_iterations(iterations as u64);
                    parameters.check()?.fit(&dataset)?;
                }
                Algorithm::Gmm => {
                    let parameters = GaussianMixtureModel::params_with_rng(case.clusters, rng())
                        .init_method(GmmInitMethod::Random)
                        .n_runs(1)
                        .tolerance(f64::MIN_POSITIVE)
                        .max_n_iterations(iterations as u64);
                    match parameters.check()?.fit(&dataset) {
                        // linfa reports a fit that has not converged as an error; here it is intended.
                        Ok(_) | Err(GmmError::NotConverged(_)) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Ok(began.elapsed().as_secs_f64())
        };
        let (few, many) = case.iterations();
        let short = fit(few)?;
        Ok((fit(many)? - short) / (many - few) as f64)
    }
}
