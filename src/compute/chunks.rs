//! Parallel work on chunks of data. Sums are equal to the last bit for any number of threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::threads::{join, with_pool};
use crate::error::{Error, Result};

/// Runs `work` for each chunk on up to `threads` threads (0: one per core) and merges the results by a binary tree over the
/// chunks' numbers:
///
/// ```text
/// sum(first..end) = work(first)                              for one chunk
///                 = sum(first..middle) + sum(middle..end)    else, with middle - first = the largest power of two below end - first
/// ```
///
/// The tree depends only on the number of chunks, so the threads do not change the bits of a floating-point sum. Subtrees
/// are independent; several machines could share them.
///
/// Each item of `chunks` holds the chunk's input and its part of the output. `state` makes the buffers of one thread.
///
/// # Errors
///
/// Returns the error of the first chunk that fails. Returns `None` if there are no chunks.
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
    // A chunk is skipped only after an earlier one failed, and the error of the earlier one is returned.
    sum.map(Some).map_err(|error| error.expect("a chunk is skipped only where an earlier one failed"))
}

/// Runs `work` for each chunk as [`sum_chunks`] does, but without results to merge.
///
/// # Errors
///
/// Returns the error of the first chunk that fails.
pub(crate) fn for_each_chunk<C: Send, T: Send>(
    chunks: impl IntoIterator<Item = C>,
    threads: usize,
    state: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, C) -> Result<()> + Sync,
) -> Result<()> {
    sum_chunks(chunks, threads, state, work, |(), ()| ()).map(Option::unwrap_or_default)
}

/// Runs `job` inside the pool of this many threads (0: one per core), so that each [`sum_chunks`] in `job` finds the
/// threads awake. A fit is one such job: entering the pool once per iteration would cost as much as an iteration over
/// some thousand samples.
pub(crate) fn in_pool<R: Send>(threads: usize, job: impl FnOnce() -> R + Send) -> R {
    with_pool(threads, |_| job())
}

/// The data shared by all nodes of the tree.
struct Tree<'a, T, State, Work, Merge> {
    state: &'a State,
    work: &'a Work,
    merge: &'a Merge,
    /// States that no thread is using.
    states: &'a Mutex<Vec<T>>,
    /// The first chunk known to have failed; later chunks are skipped.
    failed: &'a AtomicUsize,
}

impl<T: Send, State: Fn() -> T + Sync, Work: Sync, Merge: Sync> Tree<'_, T, State, Work, Merge> {
    /// Sums these chunks; `first` is the number of the first chunk. The error `None` means that a chunk was skipped.
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
        let middle = middle(chunks.len());
        let (left, right) = chunks.split_at_mut(middle);
        let (left, right) = if parallel {
            join(|| self.sum(left, first, true), || self.sum(right, first + middle, true))
        } else {
            (self.sum(left, first, false), self.sum(right, first + middle, false))
        };
        let mut sum = left?;
        (self.merge)(&mut sum, right?);
        Ok(sum)
    }
}

/// Locks a mutex even if it is poisoned. The panic reaches the caller, and interrupted results are discarded.
pub(super) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Returns how many of `count` chunks, at least two, are in the left subtree of their sum. So the tree depends only on their number.
pub(super) fn middle(count: usize) -> usize {
    count.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::on_threads;

    /// Draws the tree over this many chunks with brackets.
    fn brackets(chunks: usize, threads: usize) -> String {
        let work = |(): &mut (), chunk: usize| {
            // later chunks finish first
            std::thread::sleep(std::time::Duration::from_micros(100 - chunk as u64));
            Ok(chunk.to_string())
        };
        let merge = |left: &mut String, right: String| *left = format!("({left} {right})");
        sum_chunks(0..chunks, threads, || (), work, merge).unwrap().unwrap_or_default()
    }

    #[test]
    fn the_order_of_summation_depends_only_on_the_number_of_chunks() {
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
    fn the_first_failing_chunk_gives_the_error() {
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
    fn each_chunk_writes_its_own_part_and_states_are_reused() {
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
    fn nested_sums_do_not_deadlock() {
        let count = |chunks: usize| {
            sum_chunks(0..chunks, 2, || (), |(), _| Ok(1), |all, more| *all += more).unwrap().unwrap()
        };
        let work = |(): &mut (), _| Ok(count(5));
        let nested = || sum_chunks(0..6, 3, || (), work, |all, more| *all += more).unwrap().unwrap();
        assert_eq!(nested(), 30);
        assert_eq!(in_pool(2, nested), 30);
    }

    #[test]
    fn work_stays_on_the_requested_threads() {
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
    fn panics_reach_the_caller_and_leave_the_pool_usable() {
        for threads in [1, 2] {
            let work = |(): &mut (), chunk: usize| if chunk == 5 { panic!("on purpose") } else { Ok(()) };
            let panic = std::panic::catch_unwind(|| for_each_chunk(0..9, threads, || (), work)).unwrap_err();
            assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
            assert_eq!(brackets(3, threads), "((0 1) 2)");
        }
    }
}
