//! Compares this library with peers on the same data from the same start, in alternating rounds.

mod capsnet;
mod machine;
mod mixtures;
mod peer;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
Times this library and its peers in alternating rounds on the same data. Prints a table, and a JSON line for each case.

Usage: cargo bench --bench compare -- mixtures [OPTIONS]
       cargo bench --bench compare -- capsnet [--peers ENV] [--rounds N] [--threads N] [--batch N (default 24)]

Options:
  --peers ENV      include the peers: scikit-learn in the Python environment ENV, made by benches/peers/setup.sh, and
                   linfa-clustering, which is compiled once
  --rounds N       rounds of each side (default 5)
  --threads N      threads of each side (default 2)
  --case CASE      replace the four default cases: gmm:100000x8x16 or kmeans:1000000x16x16 (samples x dimensions x
                   clusters); may be repeated
  --growth         also measure the cost for 10^4 to 10^7 samples, with one thread and with --threads; draws
                   target/cost-growth.svg
  --file GIB       also fit from a file of this size, which may exceed the memory
  --help           show this help

Example, in a minute:
  benches/peers/setup.sh /tmp/peers
  cargo bench --bench compare -- mixtures --peers /tmp/peers --case gmm:20000x8x16 --case kmeans:20000x8x16

The capsule network is the blog's at full size with three iterations. Its peers are two compiled PyTorch versions: a line-by-line
translation (naive), and one with batched products and a tuned allocator (opt).

Do not quote numbers of a run that other processes disturbed (others_busy above 0.06).";

/// Starts this bench again with linfa-clustering compiled in. It is a feature, so that only those who need it compile it.
fn with_peers(arguments: &[String]) -> Outcome<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut bench = std::process::Command::new(cargo);
    bench.args(["bench", "--bench", "compare", "--features", "peers", "--"]).args(arguments);
    let status = bench.current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    if status.success() { Ok(()) } else { Err(format!("the comparison ended with {status}").into()) }
}

fn main() {
    // Cargo adds --bench of its own accord.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("mixtures") if !arguments.iter().any(|argument| argument == "--help") => {
            mixtures::Options::parse(&arguments[1..]).and_then(|options| {
                let peers = arguments.iter().any(|argument| argument == "--peers");
                if peers && !cfg!(feature = "peers") {
                    with_peers(&arguments)
                } else {
                    mixtures::run(&options)
                }
            })
        }
        Some("capsnet") if !arguments.iter().any(|argument| argument == "--help") => {
            capsnet::Options::parse(&arguments[1..]).and_then(|options| capsnet::run(&options))
        }
        None | Some("mixtures" | "capsnet" | "--help") => {
            println!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("{other}? See --help.").into()),
    };
    if let Err(error) = outcome {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}
