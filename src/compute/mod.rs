//! SIMD arithmetic, and parallel sums over chunks of data.

mod chunks;
mod product;
pub(crate) mod simd;
#[cfg_attr(target_family = "wasm", path = "one_thread.rs")]
mod threads;

pub(crate) use chunks::{for_each_chunk, in_pool, sum_chunks};
pub(crate) use product::multiply;
pub use threads::on_threads;
