//! Routing with given responsibilities, and the entropy of responsibilities.

use em_routing::error::Error;
use em_routing::routing::RoutingOptions;
use ndarray::Array3;

use super::{largest_error, random_input};

#[test]
fn a_step_with_the_routings_own_responsibilities_is_its_last_step() {
    for iterations in 1..=4 {
        for options in [RoutingOptions::default(), RoutingOptions::blog()] {
            let options = RoutingOptions { iterations, ..options };
            let (input, _) = random_input([2, 7, 4, 5], iterations as u64);
            let routing = input.route(&options).unwrap();
            let own = routing.last().responsibilities.clone();
            assert_eq!(&input.step_with(own, &options).unwrap(), routing.last());
            // uniform responsibilities are the first step of a routing with a constant lambda
            let uniform = Array3::from_elem((2, 7, 4), 0.25);
            let step = input.step_with(uniform, &options).unwrap();
            assert_eq!(step.means, routing.trace[0].means);
            assert_eq!(step.costs, routing.trace[0].costs);
        }
    }
}

#[test]
fn entropies_are_right_for_known_shares_and_never_above_their_bound() {
    let options = RoutingOptions { iterations: 4, ..RoutingOptions::default() };
    let (input, _) = random_input([2, 5, 3, 4], 8);
    let routing = input.route(&options).unwrap();
    let log_parents = 3f64.ln();
    let first = routing.trace[0].entropies();
    assert!(largest_error(&first, &first.mapv(|_| log_parents), 1.0) <= 1e-12);
    for step in &routing.trace {
        assert!(step.entropies().iter().all(|entropy| (0.0..=log_parents + 1e-12).contains(entropy)));
    }
    let mut shares = Array3::zeros((2, 5, 3));
    shares[(0, 0, 1)] = 1.0;
    shares[(0, 1, 0)] = 0.5;
    shares[(0, 1, 2)] = 0.5;
    let entropies = input.step_with(shares, &options).unwrap().entropies();
    assert_eq!(entropies[(0, 0)], 0.0);
    assert!((entropies[(0, 1)] - 2f64.ln()).abs() <= 1e-15);
}

#[test]
fn responsibilities_that_do_not_fit_are_errors() {
    let (input, _) = random_input([1, 3, 2, 4], 1);
    let options = RoutingOptions::default();
    let step = |shares: Array3<f64>| input.step_with(shares, &options).unwrap_err();
    assert!(matches!(step(Array3::zeros((1, 2, 3))), Error::Shape { .. }));
    for bad in [-0.1, 1.1, f64::NAN] {
        assert!(matches!(step(Array3::from_elem((1, 3, 2), bad)), Error::EntryOutOfRange { .. }));
    }
    let none = RoutingOptions { iterations: 0, ..RoutingOptions::default() };
    assert!(input.step_with(Array3::zeros((1, 3, 2)), &none).is_err());
}
