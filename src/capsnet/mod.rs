//! The matrix-capsule network: what its training makes small.

pub mod loss;
