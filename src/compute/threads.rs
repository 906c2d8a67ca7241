//! Pools of threads, by rayon.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rayon_core::{ThreadPool, ThreadPoolBuilder};

use super::chunks::lock;

pub(super) use rayon_core::join;

/// Returns the number of threads for the option `threads`, where 0 means one per core.
fn thread_count(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        _ => threads,
    }
}

/// Runs `job` on this many threads (0: one per core), but at most 64, or one per core if there are more cores.
///
/// Inside `job`, every parallel computation of this crate, such as [`Gmm::predict`](crate::gmm::Gmm::predict), uses these
/// threads instead of all cores; so does a fit whose option `threads` is not 1. Results do not depend on the number of threads.
/// The threads are kept for the next job until the process ends.
/// Calling from a thread of your own rayon pool has the same effect: the work stays in that pool.
///
/// ```
/// use em_routing::prelude::*;
/// let data = array![[0.0, 0.0], [0.0, 1.0], [9.0, 9.0], [9.0, 8.0]];
/// let model = KMeans { centroids: array![[0.0, 0.0], [9.0, 9.0]] };
/// let labels = on_threads(1, || model.predict(&data))?;
/// assert_eq!(labels, model.predict(&data)?);
/// # Ok::<(), em_routing::error::Error>(())
/// ```
pub fn on_threads<R: Send>(threads: usize, job: impl FnOnce() -> R + Send) -> R {
    match pool(thread_count(threads)) {
        Some(pool) => pool.install(job),
        None => job(),
    }
}

/// Calls `job` on a pool of this many threads (0: one per core) and passes whether `job` may work in parallel. Inside a
/// pool (of [`on_threads`] or the caller) the work stays in that pool, whose threads would idle otherwise.
pub(super) fn with_pool<R: Send>(threads: usize, job: impl FnOnce(bool) -> R + Send) -> R {
    if threads != 1 && rayon_core::current_thread_index().is_some() {
        return job(true);
    }
    let threads = thread_count(threads);
    match (threads > 1).then(|| pool(threads)).flatten() {
        Some(pool) => pool.install(|| job(true)),
        None => job(false),
    }
}

/// A pool has at most this many threads, or one per core if there are more cores: beyond, threads wait for each other.
const MOST: usize = 64;

/// Returns the pool of this many threads, created at its first use. Returns None if the system cannot start threads.
fn pool(threads: usize) -> Option<Arc<ThreadPool>> {
    static POOLS: Mutex<BTreeMap<usize, Arc<ThreadPool>>> = Mutex::new(BTreeMap::new());
    let threads = threads.min(thread_count(0).max(MOST));
    let mut pools = lock(&POOLS);
    if let Some(pool) = pools.get(&threads) {
        return Some(pool.clone());
    }
    let pool = Arc::new(ThreadPoolBuilder::new().num_threads(threads).build().ok()?);
    pools.insert(threads, pool.clone());
    Some(pool)
}
