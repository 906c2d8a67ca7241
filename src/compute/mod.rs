//! How numbers are computed: several at a time, and sums over chunks of data on several threads.

mod chunks;
pub(crate) mod simd;

pub use chunks::on_threads;
pub(crate) use chunks::{for_each_chunk, in_pool, sum_chunks};
