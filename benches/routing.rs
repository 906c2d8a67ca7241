//! Times the three capsule layers of the blog's network in the fused kernel.

use std::time::{Duration, Instant};

use em_routing::routing::fused::{InstructionSet, Kernel, LayerInput, LayerShape};
use em_routing::routing::{Reach, RoutingOptions};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const HELP: &str = "\
Times the three capsule layers of the blog's network for 28 x 28 images (32, 32, 32 and 10 capsules, 3 x 3 neighbourhoods): the
forward pass, and the forward and backward pass of a training step. Prints a table and a JSON line for each row.

Usage: cargo bench --bench routing -- [OPTIONS]

Options:
  --batch N        images per batch (default: 8 and 24)
  --threads N      number of threads (default: 1 and 2)
  --iterations N   routing iterations (default 3)
  --rounds N       repetitions of each measurement, of which the shortest counts (default 5)
  --every-path     use every instruction set of this processor, not only the best
  --help           show this help

GFLOP/s are counted from the formulas, with two operations per multiply-add, including the votes and responsibilities that the
backward pass recomputes. The peak is the rate of multiply-adds alone on the same number of threads in the same run, with the
widest vectors of this processor.";

struct Layer {
    kernel: Kernel,
    poses: Vec<f32>,
    activations: Vec<f32>,
    transforms: Vec<f32>,
    betas: Vec<f32>,
    d_poses: Vec<f32>,
    d_activations: Vec<f32>,
    votes: f64,
}

impl Layer {
    fn new(
        shape: LayerShape,
        iterations: usize,
        threads: usize,
        instructions: InstructionSet,
        rng: &mut ChaCha8Rng,
    ) -> Layer {
        let options = RoutingOptions { iterations, ..RoutingOptions::blog() };
        let kernel = Kernel::new(shape, &options, threads)
            .expect("the shape is right")
            .with_instructions(instructions);
        let below = shape.images * shape.height * shape.width * shape.capsules;
        let above = shape.images * kernel.grid().0 * kernel.grid().1 * shape.parents;
        let children = match shape.reach {
            Reach::Neighbourhood { size, .. } => size * size * shape.capsules,
            Reach::Everywhere => shape.height * shape.width * shape.capsules,
        };
        let mut numbers =
            |count: usize, low: f32, high: f32| (0..count).map(|_| rng.gen_range(low..high)).collect();
        Layer {
            poses: numbers(below * 16, -1.0, 1.0),
            activations: numbers(below, 0.1, 0.9),
            transforms: numbers(kernel.transforms() * shape.parents * 16, -1.0, 1.0),
            betas: numbers(shape.parents, -0.4, 0.4),
            d_poses: numbers(above * 16, -1.0, 1.0),
            d_activations: numbers(above, -1.0, 1.0),
            votes: (above * children) as f64,
            kernel,
        }
    }

    fn input(&self) -> LayerInput<'_> {
        let (beta_v, beta_a) = (&self.betas, &self.betas);
        LayerInput {
            poses: &self.poses,
            activations: &self.activations,
            transforms: &self.transforms,
            beta_v,
            beta_a,
        }
    }

    fn forward(&self) {
        std::hint::black_box(self.kernel.forward(&self.input()).expect("the input is right"));
    }

    /// Runs one forward and one backward pass, as a training step does.
    fn train(&self) {
        let input = &self.input();
        let (output, kept) = self.kernel.forward_keeping(input).expect("the input is right");
        std::hint::black_box(output);
        let gradient = self.kernel.backward_kept(input, &kept, &self.d_poses, &self.d_activations);
        std::hint::black_box(gradient.expect("the input is right"));
    }
}

fn network(
    images: usize,
    iterations: usize,
    threads: usize,
    instructions: InstructionSet,
) -> Vec<(&'static str, Layer)> {
    let rng = &mut ChaCha8Rng::seed_from_u64(1);
    let near = |stride| Reach::Neighbourhood { size: 3, stride };
    let mut layer = |side: usize, parents: usize, reach: Reach| {
        let shape = LayerShape { images, height: side, width: side, capsules: 32, parents, reach };
        Layer::new(shape, iterations, threads, instructions, rng)
    };
    vec![
        ("first, 14 x 14 to 6 x 6", layer(14, 32, near(2))),
        ("second, 6 x 6 to 4 x 4", layer(6, 32, near(1))),
        ("class, 4 x 4 to 10", layer(4, 10, Reach::Everywhere)),
    ]
}

/// Operations per vote, from the formulas for its 16 elements.
fn operations(iterations: usize, gradient: bool) -> f64 {
    let again = (iterations - 1) as f64;
    let vote = 16.0 * 8.0;
    let (expectation, exponential, maximisation) = (16.0 * 4.0, 20.0, 16.0 * 5.0);
    let forward = vote + maximisation + again * (expectation + exponential + maximisation);
    // backward: recomputed votes and responsibilities, gradients of weights, sums of d_x, gradients of votes, poses, transforms
    let again_made = vote + again * (expectation + exponential);
    let undo = 16.0 * 5.0 * (again + 1.0) + maximisation * again + 16.0 * (5.0 * (again + 1.0) + 3.0 * again);
    if gradient { forward + again_made + undo + 2.0 * vote } else { forward }
}

/// Returns the shortest time of several runs, in seconds, after one run as warm-up.
fn shortest(rounds: usize, run: impl Fn()) -> f64 {
    run();
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..rounds).map(time).min().unwrap_or(Duration::ZERO).as_secs_f64()
}

/// Measures the GFLOP/s of multiply-adds alone on this number of threads, with the widest vectors of this processor.
fn peak(threads: usize) -> f64 {
    const STEPS: usize = 20_000_000;
    const SUMS: usize = 12;
    #[inline(always)]
    fn multiply_adds(fused: bool) -> usize {
        let mut sums = [[std::hint::black_box(0.5f32); 8]; SUMS];
        let (factor, term) = (std::hint::black_box([0.5f32; 8]), std::hint::black_box([0.25f32; 8]));
        for _ in 0..STEPS {
            for sum in &mut sums {
                for lane in 0..8 {
                    sum[lane] = match fused {
                        true => sum[lane].mul_add(factor[lane], term[lane]),
                        false => sum[lane] * factor[lane] + term[lane],
                    };
                }
            }
        }
        std::hint::black_box(sums);
        STEPS * SUMS * 8
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn eight() -> usize {
        multiply_adds(true)
    }
    // from arrays the compiler makes vectors of only 256 bits, so this uses intrinsics
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn sixteen() -> usize {
        use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};
        let mut sums = [_mm512_set1_ps(std::hint::black_box(0.5)); SUMS];
        let (factor, term) = (_mm512_set1_ps(std::hint::black_box(0.5)), _mm512_set1_ps(0.25));
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, term);
            }
        }
        std::hint::black_box(sums);
        STEPS * SUMS * 16
    }
    let run = || {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512, as just checked.
            return unsafe { sixteen() };
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA, as just checked.
            return unsafe { eight() };
        }
        multiply_adds(false)
    };
    let of_one = run();
    let seconds = shortest(10, || {
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(run))));
    });
    (2 * threads * of_one) as f64 / seconds / 1e9
}

/// Resets the peak memory of this process to its current memory.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Returns the peak memory of this process in MiB, or `None` if the system does not report it.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? / 1024.0)
}

fn option(arguments: &[String], name: &str) -> Option<usize> {
    let at = arguments.iter().position(|argument| argument == name)?;
    match arguments.get(at + 1).and_then(|number| number.parse().ok()) {
        Some(number) if number > 0 => Some(number),
        _ => {
            eprintln!("error: {name} needs a number of at least 1. See --help.");
            std::process::exit(1);
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{HELP}");
        return;
    }
    let one_or = |name: &str, default: &[usize]| match option(&arguments, name) {
        Some(number) => vec![number],
        None => default.to_vec(),
    };
    let (iterations, rounds) = (one_or("--iterations", &[3])[0], one_or("--rounds", &[5])[0]);
    let mut paths = vec![InstructionSet::detect()];
    if arguments.iter().any(|argument| argument == "--every-path") {
        paths = InstructionSet::all();
    }
    println!(
        "| path | batch | threads | pass | layer | ms | images/s | GFLOP/s | of the peak | memory, MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut lines = Vec::new();
    let threads = one_or("--threads", &[1, 2]);
    let peaks: Vec<f64> = threads.iter().map(|&threads| peak(threads)).collect();
    for instructions in paths {
        for (&threads, peak) in threads.iter().zip(&peaks) {
            for batch in one_or("--batch", &[8, 24]) {
                let layers = network(batch, iterations, threads, instructions);
                for gradient in [false, true] {
                    let pass = if gradient { "forward and backward" } else { "forward" };
                    forget_peak();
                    let mut rows: Vec<(&str, f64, f64)> = Vec::new();
                    for (name, layer) in &layers {
                        rows.push((
                            name,
                            shortest(rounds, || if gradient { layer.train() } else { layer.forward() }),
                            layer.votes,
                        ));
                    }
                    let sum = |of: fn(&(&str, f64, f64)) -> f64| rows.iter().map(of).sum::<f64>();
                    rows.push(("all three", sum(|row| row.1), sum(|row| row.2)));
                    let memory = peak_memory(); // of all layers of this pass
                    for (name, seconds, votes) in rows {
                        let images = batch as f64 / seconds;
                        let gflops = votes * operations(iterations, gradient) / seconds / 1e9;
                        println!(
                            "| {instructions} | {batch} | {threads} | {pass} | {name} | {:.2} | {images:.1} | {gflops:.1} | {:.0} % | {:.0} |",
                            seconds * 1e3,
                            100.0 * gflops / peak,
                            memory.unwrap_or(f64::NAN),
                        );
                        lines.push(serde_json::json!({
                            "bench": "routing", "path": instructions.to_string(), "batch": batch, "threads": threads,
                            "iterations": iterations, "pass": pass, "layer": name, "seconds": seconds,
                            "images_per_second": images, "gflops": gflops, "peak_gflops": peak,
                            "peak_memory_mib": memory,
                        }));
                    }
                }
            }
        }
    }
    lines.iter().for_each(|line| println!("{line}"));
}
