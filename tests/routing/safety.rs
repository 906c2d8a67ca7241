//! Hostile votes, activations and betas: the default stays finite, and what is wrong with an input is said.

use em_routing::routing::{Routing, RoutingGradient};

/// Fails unless every number of the trace and of the gradient is finite.
#[track_caller]
pub fn assert_finite(name: &str, routing: &Routing, gradient: &RoutingGradient) {
    for (iteration, step) in routing.trace.iter().enumerate() {
        let all = step.responsibilities.iter().chain(&step.masses).chain(&step.means).chain(&step.variances);
        let mut all = all.chain(&step.costs).chain(&step.logits).chain(&step.activations);
        assert!(all.all(|value| value.is_finite()), "{name}: iteration {iteration}: {step:?}");
    }
    let all = gradient.d_votes.iter().chain(&gradient.d_activations);
    let mut all = all.chain(&gradient.d_beta_v).chain(&gradient.d_beta_a);
    assert!(all.all(|value| value.is_finite()), "{name}: {gradient:?}");
}
