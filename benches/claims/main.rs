//! The critics' claims about capsules, each measured: trains small networks on MNIST, or loads them, and judges each claim.

mod networks;
mod robust;
mod routing;
mod table;
mod verdicts;

use std::path::PathBuf;
use std::time::Instant;

use em_routing::capsnet::CapsNet;
use em_routing::data::idx::{ImageSet, Images};
use em_routing::shipped;

use self::networks::{Budget, SHIPPED, network};
use self::routing::Measures;
use self::table::Table;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
Measures what critics, and the authors, claim of capsules, and prints each claim with its number, its limit and a verdict. Trains small
networks on MNIST on one thread and keeps them in target/claims/; the shipped network is measured beside.

Usage: cargo bench --bench claims -- [OPTIONS]

Options:
  --seeds N    train with seeds 1 to N (default 3)
  --digits N   train on the first N digits (default 5500); polarity uses at most 1000
  --epochs N   see them N times (default 1); networks without routing or with pooling learn slowly and see them 3 N times
  --test N     classify the first N test digits (default 1000); attack 250 of them
  --few N      route N of them in f64, where each responsibility is read or replaced (default 20)
  --only NAME  measure only this claim; may be repeated. The claims are listed below
  --out FILE   CSV file (claim,measure,arm,seed,digits,epochs,value) to which each measurement adds lines (default
               assets/capsnet/claims.csv). Those that it already holds are skipped. Use one file per --digits, --epochs, --test and --few
  --help       show this help

Claims:
  shares       responsibilities replaced by uniform, random or shuffled ones; networks trained without routing (Paik et al. 2019)
  iterations   the class and the entropy of the responsibilities by number of iterations (Paik et al. 2019)
  starvation   do responsibilities depend on the image, do capsules starve, does the gradient vanish (Mitterreiter et al. 2023)
  negative     negated poses, negated images (Peer et al. 2021)
  polarity     a network trained to tell digits from negatives (Peer et al. 2021)
  affine       digits rotated by up to 20 degrees, sheared and scaled (Gu and Tresp 2020)
  attack       the fast gradient sign method (Hinton et al. 2018)

Example, in two minutes:
  cargo bench --bench claims -- --seeds 1 --digits 1000 --test 200 --few 10 --out target/claims.csv";

/// The claims and the networks that each measures. The networks of a seed are trained when the first claim needs them.
const CLAIMS: [(&str, &[&str]); 7] = [
    ("shares", &["shipped", "routing-2", "routing-1"]),
    ("iterations", &["shipped", "routing-2"]),
    ("starvation", &["shipped", "routing-2"]),
    ("negative", &["shipped", "routing-2", "plain"]),
    ("polarity", &["polarity"]),
    ("affine", &["shipped", "routing-2", "routing-1", "plain", "plain-pooled"]),
    ("attack", &["routing-2", "routing-1", "plain", "plain-pooled"]),
];

struct Options {
    seeds: u64,
    budget: Budget,
    test: usize,
    few: usize,
    only: Vec<String>,
    out: PathBuf,
}

impl Options {
    fn parse(arguments: &[String]) -> Outcome<Options> {
        let budget = Budget { digits: 5_500, epochs: 1 };
        let out = shipped::claims_file();
        let mut options = Options { seeds: 3, budget, test: 1000, few: 20, only: Vec::new(), out };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().cloned().ok_or(format!("{argument} needs a value"));
            let number = |text: String, most: usize| match text.parse() {
                Ok(number) if (1..=most).contains(&number) => Ok(number),
                _ => Err(format!("{argument} needs a whole number from 1 to {most}")),
            };
            match argument.as_str() {
                "--seeds" => options.seeds = number(value()?, 1000)? as u64,
                "--digits" => options.budget.digits = number(value()?, 55_000)?,
                "--epochs" => options.budget.epochs = number(value()?, 1000)?,
                "--test" => options.test = number(value()?, 10_000)?,
                "--few" => options.few = number(value()?, 10_000)?,
                "--only" => options.only.push(value()?),
                "--out" => options.out = value()?.into(),
                other => return Err(format!("{other}? See --help.").into()),
            }
        }
        options.few = options.few.min(options.test);
        let unknown = options.only.iter().find(|name| !CLAIMS.iter().any(|claim| claim.0 == *name));
        match unknown {
            Some(name) => Err(format!("there is no claim {name}. See --help.").into()),
            None => Ok(options),
        }
    }
}

/// The digits of one seed's measurements.
struct Digits {
    all: ImageSet,
    test: Images,
    few: Images,
}

fn measures(
    claim: &str,
    (arm, net): (&str, &CapsNet),
    seed: u64,
    digits: &Digits,
    get: impl Fn(&str) -> Outcome<CapsNet>,
) -> Outcome<Measures> {
    let Digits { all, test, few } = digits;
    match claim {
        "shares" => routing::replaced_shares(net, test, few, seed),
        "iterations" => routing::iterations(net, test, few),
        "starvation" => routing::starvation(net, test, few),
        "negative" if arm == "plain" => {
            Ok(vec![("negated image: same class".to_owned(), routing::negated_image(net, test)?)])
        }
        "negative" => routing::negatives(net, test),
        "polarity" => routing::polarity(net, test),
        "affine" => robust::affine_errors(net, test, &robust::affine(all, test.len(), seed)?),
        "attack" => {
            let other = if arm.starts_with("plain") { "routing-2" } else { "plain" };
            robust::attacked(net, &get(other)?, &test.slice(0..test.len().min(250)))
        }
        _ => Err(format!("there is no claim {claim}").into()),
    }
}

fn run(options: &Options) -> Outcome<()> {
    let all = ImageSet::load(shipped::mnist_folder(), 5000)?;
    let (test, few) = (all.test.slice(0..options.test), all.test.slice(0..options.few));
    let digits = Digits { all, test, few };
    let mut table = Table::read(&options.out)?;
    // seed by seed, so that a stopped bench has all claims of the first seeds; seed 0 stands for the shipped network
    for seed in 0..=options.seeds {
        let budget = if seed == 0 { SHIPPED } else { options.budget };
        for (claim, arms) in CLAIMS {
            if !options.only.is_empty() && !options.only.iter().any(|name| name == claim) {
                continue;
            }
            for arm in arms.iter().filter(|arm| (**arm == "shipped") == (seed == 0)) {
                if table.has(claim, arm, seed, budget) {
                    continue;
                }
                let get = |arm: &str| network(arm, seed, budget, &digits.all);
                let net = get(arm)?; // a training is not part of the time
                let began = Instant::now();
                let measures = measures(claim, (arm, &net), seed, &digits, get)?;
                eprintln!("{claim}, {arm}, seed {seed}: measured in {:.0} s", began.elapsed().as_secs_f64());
                table.add(claim, arm, seed, budget, measures)?;
            }
        }
    }
    verdicts::print(&table, options.seeds, options.budget);
    println!("\nAll numbers are in {}.", options.out.display());
    Ok(())
}

fn main() {
    // Cargo adds --bench of its own accord.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{HELP}");
        return;
    }
    if let Err(error) = Options::parse(&arguments).and_then(|options| run(&options)) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}
