//! Records what the library computes, bit for bit, to check that a refactoring does not change results.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};

use em_routing::capsnet::{CapsNet, Settings, Training};
use em_routing::draw::Palette;
use em_routing::figures;
use em_routing::prelude::*;
use em_routing::routing::fused::InstructionSet;
use em_routing::shipped::{mnist_folder, mnist_weights};

const HELP: &str = "\
Computes a record of results and compares it with target/record.txt, which --write made before a change; fails if anything
differs. The record holds, for each instruction set of this processor: hashes of the parameters after 200 training steps (seed 1)
of the default network and of the blog's, hashes of the objectives of K-means and of mixtures of all covariance kinds, and the
errors of the shipped network on MNIST's test set. It also holds a hash of each figure.

Bits may depend on the processor and on the C library's exp and log, so compare before and after a change on the same machine.

Usage: cargo bench --bench record -- [OPTIONS]

Options:
  --write    write the record to target/record.txt instead of comparing
  --quick    skip the networks
  --help     show this help

It takes 6 minutes on two cores of a processor with AVX-512; with --quick, 20 seconds.";

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--help"] => {
            println!("{HELP}");
            Ok(true)
        }
        [] => compare(false, false),
        ["--quick"] => compare(true, false),
        ["--write"] => compare(false, true),
        // internal: the program calls itself, once for each instruction set
        ["--numbers"] => numbers(false).map(|()| true),
        ["--numbers", "--quick"] => numbers(true).map(|()| true),
        _ => Err(format!("unknown arguments {arguments:?}; --help lists them").into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Computes the record and compares it with the file, or writes it. Returns whether they agree.
fn compare(quick: bool, write: bool) -> Outcome<bool> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join("record.txt");
    let mut rows = BTreeMap::new();
    for instructions in InstructionSet::all() {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--numbers").args(quick.then_some("--quick"));
        let output = command.env("EM_ROUTING_INSTRUCTIONS", instructions.name()).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        for line in String::from_utf8(output.stdout)?.lines() {
            println!("{} {line}", instructions.name());
            let (name, value) = line.split_once(" = ").ok_or("a line of the record has no =")?;
            rows.insert(format!("{} {name}", instructions.name()), value.to_owned());
        }
    }
    for (name, draw) in figures::all() {
        rows.insert(format!("figure {name}"), hash(draw()?.svg(Palette::Light).bytes()));
    }
    if write {
        let lines: String = rows.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        std::fs::create_dir_all(path.parent().ok_or("no folder")?)?;
        std::fs::write(&path, lines)?;
        println!("{} rows written to {}", rows.len(), path.display());
        return Ok(true);
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("{}: {error}. Before a change, write it with --write.", path.display()))?;
    let recorded: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(" = ")).collect();
    let mut different = 0;
    for (name, value) in &rows {
        let before = recorded.get(name.as_str()).copied().unwrap_or("absent");
        if before != value {
            println!("differs: {name}: {before} in the record, {value} now");
            different += 1;
        }
    }
    let is_skipped = |name: &str| quick && name.contains("network");
    for (name, value) in recorded.iter().filter(|(name, _)| !rows.contains_key(**name) && !is_skipped(name)) {
        println!("gone: {name}: {value} in the record");
        different += 1;
    }
    println!("{} rows computed, {different} differ from {}", rows.len(), path.display());
    Ok(different == 0)
}

/// Prints the rows of the current instruction set.
fn numbers(quick: bool) -> Outcome<()> {
    let (data, _) = em_routing::samples::two_gaussians(20_000, 1);
    for (name, start) in [("random points", KMeansStart::RandomPoints), ("k-means++", KMeansStart::PlusPlus)]
    {
        let fit =
            KMeans::fit(&data, &KMeansOptions { clusters: 7, start, restarts: 2, ..Default::default() })?;
        println!("k-means from {name} = {}", hash_f64(&fit.objectives));
    }
    for &covariance in CovarianceKind::ALL {
        for (name, start) in
            [("k-means", GmmStart::KMeans), ("random responsibilities", GmmStart::RandomResponsibilities)]
        {
            let fit =
                Gmm::fit(&data, &GmmOptions { components: 3, covariance, start, ..Default::default() })?;
            println!("mixture {covariance:?} from {name} = {}", hash_f64(&fit.objectives));
        }
    }
    if quick {
        return Ok(());
    }
    let (images, _) = ImageSet::load_training(mnist_folder(), 5000, 10)?;
    for (name, settings) in [("default", Settings::default()), ("blog", Settings::blog())] {
        let mut training = Training::new(settings, 1, 0)?;
        for _ in 0..200 {
            training.step(&images)?;
        }
        let numbers = training.net.parameters().numbers();
        println!("{name} network after 200 steps = {}", hash(numbers.iter().flat_map(|x| x.to_le_bytes())));
    }
    let net = CapsNet::load(mnist_weights())?;
    let evaluation = net.evaluate(&ImageSet::load_test(mnist_folder(), 10)?, 0, |_| ())?;
    println!("errors of the shipped network = {} of {}", evaluation.errors(), evaluation.labels.len());
    println!(
        "activations of the shipped network = {}",
        hash(evaluation.activations.iter().flat_map(|activation| activation.to_le_bytes()))
    );
    Ok(())
}

fn hash_f64(numbers: &[f64]) -> String {
    hash(numbers.iter().flat_map(|number| number.to_le_bytes()))
}

/// FNV-1a, 64 bits.
fn hash(bytes: impl IntoIterator<Item = u8>) -> String {
    let hash = bytes.into_iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}
