//! Responsibilities by themselves: routing with given ones, and how undecided they are.

use ndarray::{Array2, Array3, Axis};

use super::{Routing, RoutingInput, RoutingOptions, RoutingStep, check_each, check_shape, reference};
use crate::error::Result;

impl RoutingInput {
    /// Makes one M-step with these responsibilities (positions x children x parents) in place of the routing's own, with the lambda
    /// of the last iteration. Shows what a trained layer owes to its routing: compare with uniform or random responsibilities.
    ///
    /// There is no earlier step: if [`RoutingOptions::mean_damping`] is not 0, the means are damped towards 0.
    ///
    /// ```
    /// use em_routing::prelude::*;
    /// use ndarray::Array4;
    /// let votes = Array4::from_shape_vec((1, 3, 2, 1), vec![1.0, -5.0, 1.1, 0.0, 0.9, 6.0]).unwrap();
    /// let input = RoutingInput::new(votes, array![[1.0, 1.0, 1.0]], array![0.0, 0.0], array![0.0, 0.0]);
    /// let options = RoutingOptions::default();
    /// let routed = input.route(&options)?;
    /// let own = input.step_with(routed.last().responsibilities.clone(), &options)?;
    /// assert_eq!(&own, routed.last());
    /// # Ok::<(), em_routing::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`RoutingInput::route`], and an error if the responsibilities have another shape or are not from 0 to 1.
    pub fn step_with(&self, responsibilities: Array3<f64>, options: &RoutingOptions) -> Result<RoutingStep> {
        self.check(options)?;
        let (positions, children, parents, _) = self.votes.dim();
        check_shape("the responsibilities", &[positions, children, parents], responsibilities.shape())?;
        check_each("responsibilities", &responsibilities, "from 0 to 1", |r| (0.0..=1.0).contains(&r))?;
        let lambda = options.inverse_temperature.at(options.iterations - 1, options.iterations);
        let step = reference::maximisation(self, options, responsibilities, None, lambda);
        let mut routing = Routing { trace: vec![step] };
        routing.check(options)?;
        Ok(routing.trace.remove(0))
    }
}

impl RoutingStep {
    /// Returns the entropy of each child's responsibilities in nats, positions x children: 0 if one parent has the whole child, the
    /// logarithm of the number of parents if all have equal shares.
    pub fn entropies(&self) -> Array2<f64> {
        self.responsibilities.map_axis(Axis(2), |shares| {
            let terms = shares.iter().filter(|share| **share > 0.0).map(|share| share * share.ln());
            0.0 - terms.sum::<f64>()
        })
    }
}
