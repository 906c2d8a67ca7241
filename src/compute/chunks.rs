//! Work on chunks of data by several threads, with sums that are the same to the bit for any number of threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rayon_core::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// The number of threads that an option asks for, where 0 means one for each core.
fn thread_count(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        _ => threads,
    }
}

/// Runs `work` for each chunk on up to `threads` threads (0: one for each core) and merges what it returns by a binary tree over the
/// chunks' numbers:
///
/// ```text
/// sum(first..end) = work(first)                              for one chunk
///                 = sum(first..middle) + sum(middle..end)    else, with middle - first = the largest power of two below end - first
/// ```
///
/// The tree depends on the number of chunks alone, so the bits of a floating-point sum do not depend on the threads. Subtrees know
/// nothing of each other, so that several machines could share them.
///
/// `chunks` holds for each chunk what it reads and the part of the output that it writes. `state` makes the buffers of a thread.
///
/// # Errors
///
/// Returns the error of the first chunk that has one. Returns `None` if there are no chunks.
pub(crate) fn sum_chunks<C: Send, T: Send, S: Send>(
    chunks: impl IntoIterator<Item = C>,
    threads: usize,
    state: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, C) -> Result<S> + Sync,
    merge: impl Fn(&mut S, S) + Sync,
) -> Result<Option<S>> {
    let mut chunks: Vec<Option<C>> = chunks.into_iter().map(Some).collect();
    if chunks.is_empty() {
        return Ok(None);
    }
    let threads = if chunks.len() > 1 { threads } else { 1 };
    let states = Mutex::new(Vec::new());
    let failed = AtomicUsize::new(usize::MAX);
    let tree = Tree { state: &state, work: &work, merge: &merge, states: &states, failed: &failed };
    let sum = with_pool(threads, |parallel| tree.sum(&mut chunks, 0, parallel));
    // A skipped chunk comes after one that failed, whose error is therefore returned in its place.
    sum.map(Some).map_err(|error| error.expect("a chunk is skipped only where an earlier one failed"))
}

/// [`sum_chunks`] where each chunk only writes its part of the output.
///
/// # Errors
///
/// Returns the error of the first chunk that has one.
pub(crate) fn for_each_chunk<C: Send, T: Send>(
    chunks: impl IntoIterator<Item = C>,
    threads: usize,
    state: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, C) -> Result<()> + Sync,
) -> Result<()> {
    sum_chunks(chunks, threads, state, work, |(), ()| ()).map(Option::unwrap_or_default)
}

/// Runs `job` in the pool of so many threads (0: one for each core), so that the [`sum_chunks`] in it find its threads awake. A fit
/// wraps its iterations in this: handing each iteration to the pool anew would cost as much as an iteration over some thousand samples.
pub(crate) fn in_pool<R: Send>(threads: usize, job: impl FnOnce() -> R + Send) -> R {
    with_pool(threads, |_| job())
}

/// Runs `job` on so many threads (0: one for each core).
///
/// Everything in this crate that computes on all cores, like [`Gmm::predict`](crate::gmm::Gmm::predict), uses these threads instead
/// when it is called in `job`; so does a fit whose options leave its `threads` at 0. Results do not depend on the number of threads.
/// A thread of a rayon pool of the caller's own has the same effect: the work stays in that pool.
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

/// Calls `job` on a pool of so many threads (0: one for each core), and tells it whether it may share its work among them. Within a
/// pool, that of [`on_threads`] or one of the caller's own, it stays there: going over to another would leave the threads of the first
/// idle.
fn with_pool<R: Send>(threads: usize, job: impl FnOnce(bool) -> R + Send) -> R {
    if threads != 1 && rayon_core::current_thread_index().is_some() {
        return job(true);
    }
    let threads = thread_count(threads);
    match (threads > 1).then(|| pool(threads)).flatten() {
        Some(pool) => pool.install(|| job(true)),
        None => job(false),
    }
}

/// The pool of so many threads, made at its first use. None where the system starts no threads, as in a web page.
fn pool(threads: usize) -> Option<Arc<ThreadPool>> {
    static POOLS: Mutex<BTreeMap<usize, Arc<ThreadPool>>> = Mutex::new(BTreeMap::new());
    let mut pools = lock(&POOLS);
    if let Some(pool) = pools.get(&threads) {
        return Some(pool.clone());
    }
    let pool = Arc::new(ThreadPoolBuilder::new().num_threads(threads).build().ok()?);
    pools.insert(threads, pool.clone());
    Some(pool)
}

/// What all the nodes of the tree share.
struct Tree<'a, T, State, Work, Merge> {
    state: &'a State,
    work: &'a Work,
    merge: &'a Merge,
    /// States that no thread uses at the moment.
    states: &'a Mutex<Vec<T>>,
    /// The first chunk that is known to have failed: later ones are skipped.
    failed: &'a AtomicUsize,
}

impl<T: Send, State: Fn() -> T + Sync, Work: Sync, Merge: Sync> Tree<'_, T, State, Work, Merge> {
    /// The sum of these chunks, of which the first has the number `first`. An error of `None` is a chunk that was skipped.
    fn sum<C: Send, S: Send>(
        &self,
        chunks: &mut [Option<C>],
        first: usize,
        parallel: bool,
    ) -> std::result::Result<S, Option<Error>>
    where
        Work: Fn(&mut T, C) -> Result<S>,
        Merge: Fn(&mut S, S),
    {
        if let [chunk] = chunks {
            if self.failed.load(Ordering::Relaxed) < first {
                return Err(None);
            }
            let chunk = chunk.take().expect("each chunk is visited once");
            let idle = lock(self.states).pop();
            let mut state = idle.unwrap_or_else(self.state);
            let sum = (self.work)(&mut state, chunk);
            lock(self.states).push(state);
            return sum.map_err(|error| {
                self.failed.fetch_min(first, Ordering::Relaxed);
                Some(error)
            });
        }
        let middle = chunks.len().next_power_of_two() / 2;
        let (left, right) = chunks.split_at_mut(middle);
        let (left, right) = if parallel {
            rayon_core::join(|| self.sum(left, first, true), || self.sum(right, first + middle, true))
        } else {
            (self.sum(left, first, false), self.sum(right, first + middle, false))
        };
        let mut sum = left?;
        (self.merge)(&mut sum, right?);
        Ok(sum)
    }
}

/// Poisoned or not: a panic is passed on to the caller, and what it left half done is not used.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree over so many chunks, in brackets.
    fn brackets(chunks: usize, threads: usize) -> String {
        let work = |(): &mut (), chunk: usize| {
            // the later a chunk, the sooner it is ready
            std::thread::sleep(std::time::Duration::from_micros(100 - chunk as u64));
            Ok(chunk.to_string())
        };
        let merge = |left: &mut String, right: String| *left = format!("({left} {right})");
        sum_chunks(0..chunks, threads, || (), work, merge).unwrap().unwrap_or_default()
    }

    #[test]
    fn the_tree_depends_on_the_number_of_chunks_alone() {
        assert_eq!(brackets(0, 2), "");
        assert_eq!(brackets(1, 1), "0");
        assert_eq!(brackets(3, 1), "((0 1) 2)");
        assert_eq!(brackets(7, 1), "(((0 1) (2 3)) ((4 5) 6))");
        assert_eq!(brackets(8, 1), "(((0 1) (2 3)) ((4 5) (6 7)))");
        for chunks in [2, 7, 37, 100] {
            for threads in [2, 3, 8] {
                assert_eq!(brackets(chunks, threads), brackets(chunks, 1));
            }
        }
    }

    #[test]
    fn the_first_chunk_that_fails_names_the_error() {
        for threads in [1, 2, 3] {
            for _ in 0..20 {
                let work = |(): &mut (), chunk: usize| match chunk {
                    3 => {
                        std::thread::sleep(std::time::Duration::from_micros(300));
                        Err(Error::Impossible { index: 3 })
                    }
                    5 => Err(Error::Impossible { index: 5 }),
                    _ => Ok(()),
                };
                let error = for_each_chunk(0..50, threads, || (), work).unwrap_err();
                assert!(matches!(error, Error::Impossible { index: 3 }), "{error}");
            }
        }
    }

    #[test]
    fn each_chunk_writes_its_own_part_and_a_state_is_used_again() {
        let made = AtomicUsize::new(0);
        for threads in [1, 3] {
            let mut output = vec![0; 103];
            let state = || made.fetch_add(1, Ordering::Relaxed);
            let write = |_: &mut usize, (number, part): (usize, &mut [usize])| {
                part.iter_mut().enumerate().for_each(|(at, value)| *value = number * 10 + at);
                Ok(())
            };
            for_each_chunk(output.chunks_mut(10).enumerate(), threads, state, write).unwrap();
            assert_eq!(output, (0..103).collect::<Vec<_>>());
        }
        assert!(made.into_inner() <= 1 + 3);
    }

    #[test]
    fn sums_within_sums_and_within_a_pool_end() {
        let count = |chunks: usize| {
            sum_chunks(0..chunks, 2, || (), |(), _| Ok(1), |all, more| *all += more).unwrap().unwrap()
        };
        let work = |(): &mut (), _| Ok(count(5));
        let nested = || sum_chunks(0..6, 3, || (), work, |all, more| *all += more).unwrap().unwrap();
        assert_eq!(nested(), 30);
        assert_eq!(in_pool(2, nested), 30);
    }

    #[test]
    fn the_work_stays_on_the_threads_that_were_asked_for() {
        let threads_of = || {
            let seen = Mutex::new(std::collections::BTreeSet::new());
            let work = |(): &mut (), _| {
                lock(&seen).insert(rayon_core::current_num_threads());
                Ok(())
            };
            for_each_chunk(0..20, 0, || (), work).unwrap();
            seen.into_inner().unwrap().into_iter().collect::<Vec<_>>()
        };
        for threads in [1, 2, 3] {
            assert_eq!(on_threads(threads, threads_of), [threads]);
        }
        assert_eq!(on_threads(3, || on_threads(1, threads_of)), [1]);
    }

    #[test]
    fn a_panic_is_passed_on_and_the_threads_work_on() {
        for threads in [1, 2] {
            let work = |(): &mut (), chunk: usize| if chunk == 5 { panic!("on purpose") } else { Ok(()) };
            let panic = std::panic::catch_unwind(|| for_each_chunk(0..9, threads, || (), work)).unwrap_err();
            assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
            assert_eq!(brackets(3, threads), "((0 1) 2)");
        }
    }
}
