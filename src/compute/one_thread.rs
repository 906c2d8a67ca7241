//! What [`threads`](super) is in WebAssembly: the thread of the caller, without rayon, which would be a tenth of a web page's module.

/// Runs `job` on the caller's thread.
pub fn on_threads<R: Send>(_threads: usize, job: impl FnOnce() -> R + Send) -> R {
    job()
}

/// Calls `job` and passes that it may not work in parallel.
pub(super) fn with_pool<R: Send>(_threads: usize, job: impl FnOnce(bool) -> R + Send) -> R {
    job(false)
}

/// Runs both jobs, one after the other.
pub(super) fn join<A: Send, B: Send>(
    left: impl FnOnce() -> A + Send,
    right: impl FnOnce() -> B + Send,
) -> (A, B) {
    (left(), right())
}
