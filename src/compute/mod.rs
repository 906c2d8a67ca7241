//! SIMD arithmetic, and parallel sums over chunks of data.

mod chunks;
pub(crate) mod simd;

pub use chunks::on_threads;
pub(crate) use chunks::{for_each_chunk, in_pool, sum_chunks};
