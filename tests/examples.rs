//! Runs the examples and checks what they print. Each example runs in a child process: this program again, with the example's
//! name in the environment, so that nothing is built twice.

use std::process::Command;

#[path = "../examples/coins.rs"]
mod coins;
#[path = "../examples/digit.rs"]
mod digit;
#[path = "../examples/missing_values.rs"]
mod missing_values;
#[path = "../examples/mixture_npy.rs"]
mod mixture_npy;

const EXAMPLE: &str = "EM_ROUTING_EXAMPLE";

fn main() {
    let outcome = match std::env::var(EXAMPLE).as_deref() {
        Ok("coins") => coins::main(),
        Ok("digit") => digit::main(),
        Ok("missing_values") => missing_values::main(),
        Ok("mixture_npy") => mixture_npy::main(),
        _ => return run_all(),
    };
    if let Err(error) = outcome {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn run_all() {
    prints(
        "coins",
        &[],
        &["iterations: theta_A = 0.80, theta_B = 0.52", "9 heads of 10: coin A with 9", "a new one"],
    );
    prints("mixture_npy", &[], &["150 x 4", "2 components: BIC 5", "component 1: weight 0.667, 100 rows"]);
    let table = ["30 %  marginalised      0.006  0.023", "30 %  mean imputation   0.143  1.183"];
    prints("missing_values", &[], &table);
    prints("digit", &["0"], &["7: 0.", "the network says 7, the label 7"]);
    fails("mixture_npy", "no such file.npy", "no such file.npy: ");
    fails("missing_values", "seed", "invalid digit");
    fails("digit", "10000", "image 10000: there are 10000 (from 0)");
    println!("4 examples run");
}

fn run(example: &str, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(EXAMPLE, example).args(arguments).output().unwrap()
}

/// Asserts that the example succeeds and prints all of these words.
fn prints(example: &str, arguments: &[&str], words: &[&str]) {
    let output = run(example, arguments);
    let (printed, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{example}: {errors}");
    for words in words {
        assert!(printed.contains(words), "{example} does not print {words:?}:\n{printed}");
    }
}

/// Asserts that the example fails with these words.
fn fails(example: &str, argument: &str, words: &str) {
    let output = run(example, &[argument]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains(words), "{example}: {errors}");
}
