//! Sums over chunks by a fixed binary tree, the same to the bit for any number of threads.

mod workers;

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::error::Result;

/// The number of threads that an option asks for, where 0 means one for each core.
pub(crate) fn thread_count(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        _ => threads,
    }
}

/// Where the threads stand.
struct Progress<S> {
    /// The next chunk that nobody has taken.
    next: usize,
    /// Chunks 0..merged are in `sums`.
    merged: usize,
    sums: Tree<S>,
    /// Finished chunks that wait for an earlier one.
    waiting: BTreeMap<usize, Result<S>>,
    /// No more chunks are to be taken: one has failed.
    stopped: bool,
    /// Threads that sleep until more is merged. Waking them is a system call, which is spared where there are none.
    asleep: usize,
}

/// Merges `work(state, i)` for i in 0..chunks by the [`Tree`] over the numbers i, on up to `threads` threads.
///
/// Each thread makes a `state` (its buffers) and takes the next chunk that is free. A finished chunk waits until all
/// before it are merged, and no thread runs further ahead than a few chunks, so that few sums are held at a time. The
/// error that is returned is that of the first chunk that has one. None if there are no chunks.
pub(crate) fn merge_in_order<S: Send, T>(
    chunks: usize,
    threads: usize,
    state: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, usize) -> Result<S> + Sync,
    merge: impl Fn(&mut S, S) + Sync,
) -> Result<Option<S>> {
    if chunks == 0 {
        return Ok(None);
    }
    let threads = thread_count(threads).min(chunks);
    if threads <= 1 {
        let (mut state, mut sums) = (state(), Tree::default());
        for chunk in 0..chunks {
            sums.push(work(&mut state, chunk)?, &merge);
        }
        return Ok(sums.total(&merge));
    }

    let progress = Mutex::new(Progress {
        next: 0,
        merged: 0,
        sums: Tree::default(),
        waiting: BTreeMap::new(),
        stopped: false,
        asleep: 0,
    });
    let merged_more = Condvar::new();
    let ahead = 4 * threads;

    let worker = || {
        // A thread that panics must not leave the others waiting for its chunk.
        let _stop = StopOnPanic { progress: &progress, merged_more: &merged_more };
        let mut state = state();
        loop {
            let chunk = {
                let mut now = lock(&progress);
                while !now.stopped && now.next < chunks && now.next >= now.merged + ahead {
                    now.asleep += 1;
                    now = merged_more.wait(now).unwrap_or_else(|poisoned| poisoned.into_inner());
                    now.asleep -= 1;
                }
                if now.stopped || now.next >= chunks {
                    return;
                }
                now.next += 1;
                now.next - 1
            };
            let result = work(&mut state, chunk);
            let mut now = lock(&progress);
            now.stopped |= result.is_err();
            now.waiting.insert(chunk, result);
            while let Some(Ok(_)) = now.waiting.get(&now.merged) {
                let first = now.merged;
                let Some(Ok(sum)) = now.waiting.remove(&first) else { unreachable!("it was just there") };
                now.sums.push(sum, &merge);
                now.merged += 1;
            }
            if now.asleep > 0 {
                merged_more.notify_all();
            }
        }
    };
    workers::run(threads - 1, &worker);

    let progress = progress.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    // The chunks before the first that failed were all taken before it, so its error is always the first.
    match progress.waiting.into_values().find_map(|result| result.err()) {
        Some(error) => Err(error),
        None => Ok(progress.sums.total(&merge)),
    }
}

/// Merges sums, pushed in the order of their chunks, by a binary tree that depends on the number of chunks alone:
///
/// ```text
/// sum(first..end) = the chunk itself                         if there is one
///                 = sum(first..middle) + sum(middle..end)    else, with middle - first = the largest power of two below end - first
/// ```
///
/// A tree, unlike a sum from left to right, can be computed in parts that know nothing of each other: by threads, by machines.
struct Tree<S> {
    /// Complete subtrees from left to right, with the number of chunks of each: powers of two that fall.
    subtrees: Vec<(usize, S)>,
}

impl<S> Default for Tree<S> {
    fn default() -> Self {
        Tree { subtrees: Vec::new() }
    }
}

impl<S> Tree<S> {
    fn push(&mut self, sum: S, merge: impl Fn(&mut S, S)) {
        let (mut chunks, mut sum) = (1, sum);
        while let Some((_, mut left)) = self.subtrees.pop_if(|left| left.0 == chunks) {
            merge(&mut left, sum);
            (chunks, sum) = (2 * chunks, left);
        }
        self.subtrees.push((chunks, sum));
    }

    fn total(mut self, merge: impl Fn(&mut S, S)) -> Option<S> {
        let (_, mut total) = self.subtrees.pop()?;
        while let Some((_, mut left)) = self.subtrees.pop() {
            merge(&mut left, total);
            total = left;
        }
        Some(total)
    }
}

/// Poisoned or not: a panic is passed on to the caller, and what it left half done is not used.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

struct StopOnPanic<'a, S> {
    progress: &'a Mutex<Progress<S>>,
    merged_more: &'a Condvar,
}

impl<S> Drop for StopOnPanic<'_, S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(self.progress).stopped = true;
            self.merged_more.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn the_order_of_the_sum_does_not_depend_on_the_threads() {
        for chunks in [0, 1, 2, 7, 100] {
            for threads in [1, 2, 3, 8] {
                let all = merge_in_order(
                    chunks,
                    threads,
                    || (),
                    |(), chunk| {
                        // the later a chunk, the sooner it is ready
                        std::thread::sleep(std::time::Duration::from_micros(100 - chunk as u64));
                        Ok(vec![chunk])
                    },
                    |all, more| all.extend(more),
                );
                assert_eq!(all.unwrap().unwrap_or_default(), (0..chunks).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_tree_depends_on_the_number_of_chunks_alone() {
        let brackets = |chunks: usize, threads: usize| {
            let work = |(): &mut (), chunk: usize| Ok(chunk.to_string());
            let merge = |left: &mut String, right: String| *left = format!("({left} {right})");
            merge_in_order(chunks, threads, || (), work, merge).unwrap().unwrap()
        };
        assert_eq!(brackets(1, 1), "0");
        assert_eq!(brackets(3, 1), "((0 1) 2)");
        assert_eq!(brackets(7, 1), "(((0 1) (2 3)) ((4 5) 6))");
        assert_eq!(brackets(8, 1), "(((0 1) (2 3)) ((4 5) (6 7)))");
        for chunks in 1..40 {
            assert_eq!(brackets(chunks, 3), brackets(chunks, 1));
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
                let error = merge_in_order(50, threads, || (), work, |(), ()| ()).unwrap_err();
                assert!(matches!(error, Error::Impossible { index: 3 }), "{error}");
            }
        }
    }
}
