//! SIMD arithmetic, and parallel sums over chunks of data.

mod chunks;
mod message;
mod product;
pub(crate) mod simd;
mod team;
#[cfg_attr(target_family = "wasm", path = "one_thread.rs")]
mod threads;

pub(crate) use chunks::{for_each_chunk, in_pool, sum_chunks};
pub(crate) use message::{Message, message_of_fields};
pub(crate) use product::multiply;
pub use team::Team;
#[cfg(test)]
pub(crate) use team::tests::on_ranks;
pub(crate) use team::{agree, gather, parts, sum_in_team, sum_over_ranks};
pub use threads::on_threads;

/// Returns the name of the vector instructions that this process computes with, such as `avx2`. Other instructions round
/// differently.
#[must_use]
pub fn instruction_set() -> &'static str {
    simd::InstructionSet::detect().name()
}
