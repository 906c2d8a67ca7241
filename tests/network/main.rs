//! The network: golden files, gradients, and training that is the same for any number of threads and after any stop.

mod golden;
