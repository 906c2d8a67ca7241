//! Coins: results against an independent reference, properties, and rejected arguments.

use em_routing::error::Error;
use em_routing::prelude::*;
use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert, proptest};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/coins.json")).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    let error = (found - expected).abs();
    assert!(error <= tolerance * expected.abs().max(1.0), "{what}: {found}, but {expected} is expected");
}

/// Options for exactly this many iterations.
fn all_of(iterations: usize) -> CoinOptions {
    let stop = Stop { max_iterations: iterations, tolerance: -1.0 };
    CoinOptions { stop, keep_models: true, ..Default::default() }
}

/// The same options with this start.
fn from(start: Coins, options: CoinOptions) -> CoinOptions {
    CoinOptions { start, ..options }
}

#[test]
fn every_iteration_matches_the_reference() {
    let mut compared = 0;
    for case in golden()["coin_em"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let experiments = Experiments::new(&counts(&case["heads"]), case["n"].as_u64().unwrap()).unwrap();
        let start = Coins::even(&[number(&case["theta_A0"]), number(&case["theta_B0"])]).unwrap();
        let constant = experiments.log_binomial_constant();
        close(constant, number(&case["log_comb_const"]), 1e-12, name);
        // Program one omits the binomial coefficients from its number, program two does not. With 2,000 tosses program one's
        // probabilities underflow to 0/0; its rows are empty there.
        for (program, left_out) in [("v1", constant), ("v2", 0.0)] {
            let rows = case[program].as_array().unwrap();
            let fit = Coins::fit(&experiments, &from(start.clone(), all_of(rows.len()))).unwrap();
            let expectations = experiments.expectations(&fit).unwrap();
            for (t, row) in rows.iter().enumerate().filter(|(_, row)| row["ll"].is_number()) {
                let what = format!("{name}, {program}, iteration {}", t + 1);
                close(fit.models[t + 1].thetas[0], number(&row["theta_A"]), 1e-10, &what);
                close(fit.models[t + 1].thetas[1], number(&row["theta_B"]), 1e-10, &what);
                let blog = expectations[t].expected_conditional_log_likelihood - left_out;
                close(blog, number(&row["ll"]), 1e-10, &what);
                if row["observed_ll_before"].is_number() {
                    let observed = expectations[t].log_likelihood - left_out;
                    close(observed, number(&row["observed_ll_before"]), 1e-10, &what);
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 1000, "only {compared} iterations were compared");
}

#[test]
fn fits_reproduce_both_outputs_printed_in_the_blog() {
    let case = golden()["coin_em"][0].clone();
    let experiments = Experiments::blog_hidden();
    let fit = Coins::fit(&experiments, &all_of(9)).unwrap();
    let expectations = experiments.expectations(&fit).unwrap();
    for (program, left_out) in [("v1", experiments.log_binomial_constant()), ("v2", 0.0)] {
        let rows = case[program].as_array().unwrap();
        assert_eq!(rows.len(), 9);
        for (t, row) in rows.iter().enumerate() {
            let thetas = &fit.models[t + 1].thetas;
            let ll = expectations[t].expected_conditional_log_likelihood - left_out;
            let printed = format!("theta_A = {:.2}, theta_B = {:.2}, ll = {ll:.2}", thetas[0], thetas[1]);
            assert_eq!(printed, row["printed"].as_str().unwrap(), "{program}, iteration {}", t + 1);
        }
    }
}

#[test]
fn the_fit_of_the_blog_converges_to_the_known_probabilities() {
    let experiments = Experiments::blog_hidden();
    let stop = Stop { max_iterations: 1000, tolerance: 1e-13 };
    let options = CoinOptions { stop, keep_models: true, ..Default::default() };
    let fit = Coins::fit(&experiments, &options).unwrap();
    assert!(fit.converged);
    close(fit.model().thetas[0], 0.7968, 5e-5, "theta_A");
    close(fit.model().thetas[1], 0.5196, 5e-5, "theta_B");
    close(fit.objective(), -9.796924, 1e-7, "log-likelihood");
    let first =
        [-11.320587, -10.085982, -9.949840, -9.854551, -9.811671, -9.799782, -9.797402, -9.796999, -9.796936];
    for (found, expected) in fit.objectives.iter().copied().zip(first) {
        close(found, expected, 1e-7, "log-likelihood per iteration");
    }
    for expectation in experiments.expectations(&fit).unwrap() {
        close(expectation.lower_bound, expectation.log_likelihood, 1e-13, "bound");
        let gap =
            expectation.expected_conditional_log_likelihood - expectation.expected_complete_log_likelihood;
        close(gap, 5.0 * 2f64.ln(), 1e-13, "the blog's number and the expected complete log-likelihood");
    }
}

#[test]
fn the_minimiser_agrees_with_the_closed_form_solution_if_labels_are_known() {
    let reference = &golden()["complete_mle"];
    let (experiments, labels) = Experiments::blog_known();
    let closed = experiments.known_maximum(&labels, 2).unwrap();
    let expected = number(&reference["neg_loglik_at_closed_form"]);
    close(closed[0], 22.0 / 30.0, 1e-15, "theta_A");
    close(closed[1], 0.1, 1e-15, "theta_B");
    close(-experiments.known_log_likelihood(&labels, &closed).unwrap(), expected, 1e-12, "closed form");
    let fit = experiments.minimise_known(&labels, &[0.5, 0.5]).unwrap();
    close(-fit.objective(), expected, 1e-10, "minimiser");
    for (found, expected) in fit.model().iter().zip(&closed) {
        close(*found, *expected, 1e-5, "minimiser's theta");
    }
    assert!(fit.models.iter().all(|thetas| thetas.iter().all(|theta| (0.0..=1.0).contains(theta))));
    assert_eq!(fit.models[0], [0.5, 0.5]);
}

#[test]
fn the_minimiser_finds_a_maximum_at_probabilities_of_0_and_1() {
    let experiments = Experiments::new(&[0, 0, 10], 10).unwrap();
    let fit = experiments.minimise_known(&[0, 0, 1], &[0.5, 0.5]).unwrap();
    assert!(fit.model()[0] < 1e-6 && fit.model()[1] > 1.0 - 1e-6, "{:?}", fit.model());
    assert!(fit.objective() > -1e-4, "{}", fit.objective());
}

#[test]
fn coins_that_start_with_equal_probabilities_keep_them_equal() {
    let experiments = Experiments::blog_hidden();
    let fit = Coins::fit(&experiments, &from(Coins::even(&[0.3, 0.3]).unwrap(), all_of(50))).unwrap();
    for model in &fit.models {
        assert_eq!(model.thetas[0], model.thetas[1]);
    }
    close(fit.model().thetas[0], 33.0 / 50.0, 1e-12, "the pooled share of heads");
}

#[test]
fn estimated_weights_reach_a_higher_likelihood_than_fixed_weights() {
    let experiments = Experiments::blog_hidden();
    let given = Coins::fit(&experiments, &all_of(2000)).unwrap();
    let options = CoinOptions { mixing: Mixing::Estimated, ..all_of(2000) };
    let estimated = Coins::fit(&experiments, &options).unwrap();
    assert!(estimated.objective() > given.objective() + 1e-3);
    close(estimated.model().weights.iter().sum(), 1.0, 1e-12, "weights");
}

#[test]
fn the_seed_determines_the_simulated_tosses() {
    let labels: Vec<usize> = (0..2000).map(|i| i % 2).collect();
    let once = Experiments::simulate(&labels, &[0.8, 0.3], 10, 7).unwrap();
    assert_eq!(once, Experiments::simulate(&labels, &[0.8, 0.3], 10, 7).unwrap());
    assert_ne!(once, Experiments::simulate(&labels, &[0.8, 0.3], 10, 8).unwrap());
    let thetas = once.known_maximum(&labels, 2).unwrap();
    // 10,000 tosses each: four standard errors are 0.016 and 0.018
    assert!((thetas[0] - 0.8).abs() < 0.016 && (thetas[1] - 0.3).abs() < 0.019, "{thetas:?}");
}

#[test]
fn errors_name_the_invalid_argument_and_its_index() {
    let experiments = Experiments::blog_hidden();
    let (known, labels) = Experiments::blog_known();
    let fit = |thetas: &[f64], weights: &[f64]| {
        let start = Coins { thetas: thetas.to_vec(), weights: weights.to_vec() };
        Coins::fit(&experiments, &from(start, CoinOptions::default())).map(drop)
    };
    let even = [0.5, 0.5];
    let responsibilities = array![[0.5, 0.5], [0.5, 0.5], [0.5, f64::NAN], [0.5, 0.5], [0.5, 0.5]];
    let coins = Coins::even(&even).unwrap();
    let cases: Vec<(em_routing::error::Result<()>, &str)> = vec![
        (Experiments::new(&[], 10).map(drop), "there are no experiments"),
        (Experiments::new(&[0, 0], 0).map(drop), "there are no tosses"),
        (Experiments::new(&[5, 11], 10).map(drop), "experiment 1 counts 11 heads in 10 tosses"),
        (Coins::even(&[]).map(drop), "there are no coins"),
        (Coins::even(&[0.5, 1.5]).map(drop), "thetas[1] is 1.5"),
        (Coins::even(&[-0.1]).map(drop), "thetas[0] is -0.1"),
        (Coins::even(&[0.5, f64::NAN]).map(drop), "thetas[1] is NaN"),
        (Coins::new(&even, &[0.5, 0.6]).map(drop), "weights add up to 1.1"),
        (fit(&[0.5, f64::NAN], &even), "thetas[1] is NaN"),
        (fit(&even, &[1.0]), "weights has length 1, but 2"),
        (fit(&even, &[-0.5, 1.5]), "weights[0] is -0.5"),
        (fit(&[0.0, 0.0], &even), "sample 0 has probability 0"),
        (fit(&[0.0, 0.5], &[1.0, 0.0]), "sample 0 has probability 0"),
        (known.known_maximum(&labels, 0).map(drop), "there are no coins"),
        (known.known_maximum(&[0, 0], 2).map(drop), "labels has length 2, but 5"),
        (known.known_maximum(&[0, 0, 2, 0, 1], 2).map(drop), "experiment 2 has label 2"),
        (known.known_maximum(&labels, 3).map(drop), "coin 2 was never tossed"),
        (known.minimise_known(&labels, &[0.5, f64::INFINITY]).map(drop), "thetas[1] is inf"),
        (known.minimise_known(&labels, &[0.5; 3]).map(drop), "coin 2 was never tossed"),
        (Experiments::simulate(&[0, 1], &[0.5], 10, 1).map(drop), "experiment 1 has label 1"),
        (Experiments::simulate(&[0], &[f64::NAN], 10, 1).map(drop), "thetas[0] is NaN"),
        (Experiments::simulate(&[0], &[0.5], 0, 1).map(drop), "there are no tosses"),
        (Experiments::simulate(&[], &[0.5], 5, 1).map(drop), "there are no experiments"),
        (experiments.lower_bound(&responsibilities, &coins).map(drop), "row[2] is NaN"),
        (experiments.lower_bound(&array![[0.5, 0.5]], &coins).map(drop), "rows has length 1, but 5"),
        (
            experiments.maximisation(&Array2::from_elem((5, 2), 0.7), &coins, Mixing::Given).map(drop),
            "the sum of the responsibilities' row [0] is 1.4, but should be 1",
        ),
        (
            maximise(0.0, Stop { tolerance: f64::NAN, ..Default::default() }, false, |x: &f64| Ok((*x, *x)))
                .map(drop),
            "tolerance is NaN",
        ),
    ];
    for (index, (outcome, words)) in cases.into_iter().enumerate() {
        let error: Error = outcome.expect_err(words);
        assert!(error.to_string().contains(words), "case {index}: {error} (expected: {words})");
    }
}

#[test]
fn each_objective_of_a_fit_belongs_to_the_model_at_the_same_index() {
    let experiments = Experiments::blog_hidden();
    let fit = Coins::fit(&experiments, &from(Coins::even(&[0.9, 0.1]).unwrap(), all_of(20))).unwrap();
    assert_eq!((fit.models.len(), fit.iterations(), fit.converged), (21, 20, false));
    for (&objective, model) in fit.objectives.iter().zip(&fit.models) {
        close(objective, experiments.expectation(model).unwrap().log_likelihood, 0.0, "objective");
    }
    assert_eq!((fit.models.last(), fit.objectives.len()), (Some(&fit.model), 21));
    let none = Coins::fit(&experiments, &from(Coins::even(&[0.9, 0.1]).unwrap(), all_of(0))).unwrap();
    assert_eq!((none.objectives.len(), none.model()), (1, &none.models[0]));
}

#[test]
fn a_fit_keeps_only_its_last_model_by_default() {
    let experiments = Experiments::blog_hidden();
    let start = Coins::even(&[0.9, 0.1]).unwrap();
    let options = from(start, all_of(20));
    let kept = Coins::fit(&experiments, &options).unwrap();
    let alone = Coins::fit(&experiments, &CoinOptions { keep_models: false, ..options }).unwrap();
    assert!(alone.models.is_empty());
    assert_eq!((alone.model(), &alone.objectives), (kept.model(), &kept.objectives));
    let error = experiments.expectations(&alone).unwrap_err();
    assert!(error.to_string().contains("keep_models: true"), "{error}");
    assert_eq!(alone.into_model(), kept.model);
}

#[test]
fn weights_rounded_to_f32_are_normalised() {
    let experiments = Experiments::blog_hidden();
    let rounded: Vec<f64> = [0.1f32, 0.7, 0.2].iter().map(|&weight| f64::from(weight)).collect();
    let off = rounded.iter().sum::<f64>() - 1.0;
    assert!(off.abs() > 1e-9, "{off:e}");
    let thetas = vec![0.2, 0.5, 0.8];
    let coins = Coins::new(&thetas, &rounded).unwrap();
    close(coins.weights.iter().sum(), 1.0, 1e-15, "weights");
    let literal = Coins { thetas, weights: rounded };
    let found = experiments.expectation(&literal).unwrap();
    assert_eq!(found, experiments.expectation(&coins).unwrap());
    let fit = Coins::fit(&experiments, &from(literal, all_of(3))).unwrap();
    assert_eq!((&fit.models[0], fit.objectives[0]), (&coins, found.log_likelihood));
    // one coin whose weight exceeds 1 by rounding
    assert_eq!(Coins::new(&[0.5], &[1.00000006]).unwrap().weights, [1.0]);
    assert!(matches!(Coins::new(&[0.5], &[1.00001]), Err(Error::Probability { index: 0, .. })));
    assert!(matches!(Coins::new(&[0.5, 0.5], &[0.5, 0.50001]), Err(Error::NotNormalised { .. })));
}

/// Random experiments, and coins under which they are possible.
fn problems() -> impl Strategy<Value = (Experiments, Coins)> {
    (1u64..60, 1usize..12, 1usize..5).prop_flat_map(|(tosses, experiments, coins)| {
        let heads = prop::collection::vec(0..=tosses, experiments);
        let thetas = prop::collection::vec(0.001f64..0.999, coins);
        let shares = prop::collection::vec(0.05f64..1.0, coins);
        (heads, thetas, shares).prop_map(move |(heads, thetas, shares)| {
            let sum: f64 = shares.iter().sum();
            let weights: Vec<f64> = shares.iter().map(|share| share / sum).collect();
            (Experiments::new(&heads, tosses).unwrap(), Coins::new(&thetas, &weights).unwrap())
        })
    })
}

proptest! {
    #[test]
    fn the_likelihood_never_falls((experiments, start) in problems(), estimated in any::<bool>()) {
        let mixing = if estimated { Mixing::Estimated } else { Mixing::Given };
        let fit = Coins::fit(&experiments, &CoinOptions { start, mixing, ..all_of(40) }).unwrap();
        for pair in fit.objectives.windows(2) {
            let fall = pair[0] - pair[1];
            prop_assert!(fall <= 1e-10 * pair[0].abs().max(1.0), "fell by {fall}");
        }
    }

    #[test]
    fn responsibilities_sum_to_1_and_their_bound_is_the_log_likelihood((experiments, coins) in problems()) {
        let found = experiments.expectation(&coins).unwrap();
        for row in found.responsibilities.rows() {
            prop_assert!((row.sum() - 1.0).abs() <= 1e-12);
        }
        let gap = (found.log_likelihood - found.lower_bound).abs();
        prop_assert!(gap <= 1e-11 * found.log_likelihood.abs().max(1.0), "gap {gap}");
        let again = experiments.lower_bound(&found.responsibilities, &coins).unwrap();
        prop_assert!((again - found.lower_bound).abs() <= 1e-11 * again.abs().max(1.0));
    }

    #[test]
    fn the_bound_never_exceeds_the_log_likelihood((experiments, coins) in problems(), share in 0.01f64..0.99) {
        let k = coins.thetas.len();
        let q = Array2::from_shape_fn((experiments.len(), k), |(_, j)| match (k, j) {
            (1, _) => 1.0,
            (_, 0) => share,
            _ => (1.0 - share) / (k - 1) as f64,
        });
        let log_likelihood = experiments.expectation(&coins).unwrap().log_likelihood;
        let bound = experiments.lower_bound(&q, &coins).unwrap();
        prop_assert!(bound <= log_likelihood + 1e-9 * log_likelihood.abs().max(1.0));
    }

    #[test]
    fn the_m_step_maximises_the_bound((experiments, coins) in problems(), shift in -0.05f64..0.05) {
        let q = experiments.expectation(&coins).unwrap().responsibilities;
        let best = experiments.maximisation(&q, &coins, Mixing::Given).unwrap();
        let bound = experiments.lower_bound(&q, &best).unwrap();
        for j in 0..best.thetas.len() {
            let mut other = best.clone();
            other.thetas[j] = (other.thetas[j] + shift).clamp(0.0, 1.0);
            let there = experiments.lower_bound(&q, &other).unwrap();
            prop_assert!(there <= bound + 1e-9 * bound.abs().max(1.0), "{there} over {bound}");
        }
    }

    #[test]
    fn the_order_of_coins_and_experiments_does_not_change_a_fit((experiments, start) in problems()) {
        let mirrored: Vec<u64> = experiments.heads().iter().rev().copied().collect();
        let mirrored = Experiments::new(&mirrored, experiments.tosses()).unwrap();
        let turned = Coins {
            thetas: start.thetas.iter().rev().copied().collect(),
            weights: start.weights.iter().rev().copied().collect(),
        };
        let run = |experiments: &Experiments, start: Coins| {
            Coins::fit(experiments, &CoinOptions { start, mixing: Mixing::Estimated, ..all_of(10) }).unwrap()
        };
        let (one, two) = (run(&experiments, start), run(&mirrored, turned));
        for (a, b) in one.model().thetas.iter().zip(two.model().thetas.iter().rev()) {
            prop_assert!((a - b).abs() <= 1e-9, "{a} and {b}");
        }
        prop_assert!((one.objective() - two.objective()).abs() <= 1e-9 * one.objective().abs().max(1.0));
    }

    #[test]
    fn fitting_never_panics_for_any_input(
        heads in prop::collection::vec(any::<u64>(), 0..4),
        tosses in any::<u64>(),
        thetas in prop::collection::vec(any::<f64>(), 0..4),
        labels in prop::collection::vec(0usize..5, 0..4),
    ) {
        if let Ok(experiments) = Experiments::new(&heads, tosses) {
            if let Ok(coins) = Coins::even(&thetas)
                && let Ok(fit) = Coins::fit(&experiments, &from(coins.clone(), all_of(5)))
            {
                prop_assert!(fit.objective().is_finite());
                prop_assert!(fit.model().thetas.iter().all(|theta| (0.0..=1.0).contains(theta)));
            }
            drop(experiments.known_maximum(&labels, 3));
            drop(experiments.minimise_known(&labels, &thetas));
        }
    }
}
