//! The chain of sources of an error.

use std::error::Error;

/// Returns the error and its sources, the root cause last.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source()).collect()
}
