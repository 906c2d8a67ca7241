//! How the numbers are computed: sums over chunks of data on several threads.

mod chunks;

pub(crate) use chunks::{for_each_chunk, in_pool, sum_chunks};
