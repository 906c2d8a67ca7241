//! Ours beside the peers, on the same data from the same start, in turns.

mod capsnet;
mod machine;
mod mixtures;
mod peer;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
Runs ours and the peers in turns on the same data and prints a table, and a JSON line for each case.

Usage: cargo bench --bench compare -- mixtures [OPTIONS]
       cargo bench --bench compare -- capsnet [--peers ENV] [--rounds N] [--threads N] [--batch N (default 24)]

Options:
  --peers ENV      with the peers: scikit-learn in this Python environment, as benches/peers/setup.sh makes it, and
                   linfa-clustering, which is compiled for it once
  --rounds N       how often each side runs (default 5)
  --threads N      threads of each side (default 2)
  --case CASE      instead of the four cases: gmm:100000x8x16 or kmeans:1000000x16x16 (samples x dimensions x clusters);
                   may be given again
  --growth         also the cost as the samples grow from 10^4 to 10^7, and with one thread and two; draws it as
                   target/cost-growth.svg
  --file GIB       also a fit from a file of this size, larger than its memory
  --help           this

Example, in a minute:
  benches/peers/setup.sh /tmp/peers
  cargo bench --bench compare -- mixtures --peers /tmp/peers --case gmm:20000x8x16 --case kmeans:20000x8x16

The capsule network is the blog's in its full size, three iterations, beside PyTorch's: line by line (naive), and with batched
products and a tuned allocator (opt), both compiled.

Of a run that others disturbed (others_busy above 0.06) no figure is to be quoted.";

/// Starts over with linfa-clustering compiled in: a feature, so that who runs none of this does not wait for it.
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
