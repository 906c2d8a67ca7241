//! Fits two coins with hidden labels by EM, and prints which coin each experiment probably used.
//!
//! `cargo run --release --example coins` prints a summary of the fit, and for each experiment the probability of coin A:
//!
//! ```text
//! 11 iterations: theta_A = 0.80, theta_B = 0.52, -9.7969 nats
//! 5 heads of 10: coin A with 10 %
//! …
//! ```

use em_routing::prelude::*;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let experiments = Experiments::new(&[5, 9, 8, 4, 7], 10)?; // heads of ten tosses each
    let options = CoinOptions { start: Coins::even(&[0.6, 0.5])?, ..Default::default() };
    let fit = Coins::fit(&experiments, &options)?;

    let coins = fit.model();
    println!(
        "{} iterations: theta_A = {:.2}, theta_B = {:.2}, {:.4} nats",
        fit.iterations(),
        coins.thetas[0],
        coins.thetas[1],
        fit.objective()
    );
    let responsibilities = experiments.expectation(coins)?.responsibilities; // 5 x 2
    for (heads, row) in experiments.heads().iter().zip(responsibilities.rows()) {
        println!("{heads} heads of {}: coin A with {:.0} %", experiments.tosses(), 100.0 * row[0]);
    }

    let new = Experiments::new(&[6], 10)?; // an experiment that was not in the fit
    let responsibility = new.expectation(coins)?.responsibilities[[0, 0]];
    println!("a new one with 6 heads: coin A with {:.0} %", 100.0 * responsibility);
    Ok(())
}
