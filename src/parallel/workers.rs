//! Threads that wait for the next piece of work.
//!
//! Starting a thread, or waking one that sleeps, can take as long as a whole iteration over some thousand samples, above all in a
//! virtual machine whose processor has gone to sleep with it. So a thread that has done its part stays, and looks out for the next
//! for a moment before it sleeps.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::lock;

/// How long a thread looks out for what it waits for before it sleeps: longer than what lies between two iterations.
const PATIENCE: Duration = Duration::from_micros(200);

/// Those that wait for work: as many as have ever worked at the same time.
static IDLE: Mutex<Vec<Worker>> = Mutex::new(Vec::new());

struct Worker {
    desk: Arc<Desk>,
    thread: Thread,
}

/// Where a worker finds its job.
#[derive(Default)]
struct Desk {
    job: Mutex<Option<Job>>,
    /// Set after a job is laid down, so that who looks out for one needs no lock. The job may have been taken back since.
    has_job: AtomicBool,
}

struct Job {
    /// It lives until `end` has heard that the job is done, for [`run`] waits so long.
    work: &'static (dyn Fn() + Sync),
    end: Arc<End>,
}

/// What the caller waits for.
struct End {
    /// Workers that have not ended.
    working: AtomicUsize,
    /// Of one that panicked.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    caller: Thread,
}

/// Runs `work` on this thread and on up to so many others at the same time, and returns when all have ended. `work` returns where
/// nothing is left to do, so that it does not matter how many take part. A panic of one of the others is passed on.
pub(super) fn run(others: usize, work: &(dyn Fn() + Sync)) {
    let end = Arc::new(End {
        working: AtomicUsize::new(0),
        panic: Mutex::new(None),
        caller: std::thread::current(),
    });
    {
        let mut helpers = Helpers { end: &end, all: Vec::with_capacity(others) }; // waits even where `work` panics here
        // SAFETY: it is called by the helpers alone. They have ended, or have not begun and never will, when `helpers` is dropped,
        // and so long `work` is borrowed.
        let work = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(work) };
        for _ in 0..others {
            let Some(helper) = worker() else { break };
            end.working.fetch_add(1, Ordering::Relaxed);
            *lock(&helper.desk.job) = Some(Job { work, end: end.clone() });
            helper.desk.has_job.store(true, Ordering::Release);
            helper.thread.unpark();
            helpers.all.push(helper);
        }
        work();
    }
    if let Some(panic) = lock(&end.panic).take() {
        resume_unwind(panic);
    }
}

struct Helpers<'a> {
    end: &'a Arc<End>,
    all: Vec<Worker>,
}

impl Drop for Helpers<'_> {
    fn drop(&mut self) {
        for helper in self.all.drain(..) {
            // who has not begun by now need not: the work is done
            let mut job = lock(&helper.desk.job);
            if job.take_if(|job| Arc::ptr_eq(&job.end, self.end)).is_some() {
                drop(job);
                self.end.working.fetch_sub(1, Ordering::Relaxed);
                lock(&IDLE).push(helper);
            }
        }
        until(|| self.end.working.load(Ordering::Acquire) == 0);
    }
}

/// One that is idle, or a new one.
fn worker() -> Option<Worker> {
    let idle = lock(&IDLE).pop();
    idle.or_else(|| {
        let desk = Arc::new(Desk::default());
        let own = desk.clone();
        let handle = std::thread::Builder::new().spawn(move || stay(&own)).ok()?;
        Some(Worker { desk, thread: handle.thread().clone() })
    })
}

/// A worker's life. It ends with the program.
fn stay(desk: &Arc<Desk>) {
    loop {
        until(|| desk.has_job.swap(false, Ordering::Acquire));
        let Some(Job { work, end }) = lock(&desk.job).take() else { continue };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            *lock(&end.panic) = Some(panic);
        }
        // idle before the caller hears of it: its next piece of work then finds this thread
        lock(&IDLE).push(Worker { desk: desk.clone(), thread: std::thread::current() });
        if end.working.fetch_sub(1, Ordering::Release) == 1 {
            end.caller.unpark();
        }
    }
}

/// Returns when it is so. Whoever makes it so wakes this thread.
fn until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() < PATIENCE {
            std::hint::spin_loop();
        } else {
            std::thread::park(); // returns at once where it has been woken since the last time
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_shared_again_and_again_and_within_work() {
        for others in [0, 1, 3] {
            for _ in 0..200 {
                let (left, inner) = (AtomicUsize::new(50), AtomicUsize::new(0));
                let next = |left: &AtomicUsize| {
                    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                        .is_ok()
                };
                run(others, &|| {
                    while next(&left) {
                        run(1, &|| {
                            inner.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
                let inner = inner.into_inner();
                assert!(
                    (50..=100).contains(&inner),
                    "{inner} calls of 50 pieces of work for one or two threads"
                );
            }
        }
    }

    #[test]
    fn others_take_part() {
        let threads = Mutex::new(std::collections::HashSet::new());
        run(2, &|| {
            lock(&threads).insert(std::thread::current().id());
            while lock(&threads).len() < 3 {
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn a_panic_is_passed_on_after_all_have_ended() {
        for on_the_caller in [true, false] {
            let (caller, begun, ended) =
                (std::thread::current().id(), AtomicUsize::new(0), AtomicUsize::new(0));
            let work = || {
                begun.fetch_add(1, Ordering::Relaxed);
                while begun.load(Ordering::Relaxed) < 2 {
                    std::thread::yield_now();
                }
                if (std::thread::current().id() == caller) == on_the_caller {
                    panic!("on purpose");
                }
                std::thread::sleep(Duration::from_millis(2));
                ended.fetch_add(1, Ordering::Relaxed);
            };
            let panic = catch_unwind(AssertUnwindSafe(|| run(1, &work))).unwrap_err();
            assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
            assert_eq!(ended.load(Ordering::Relaxed), 1);
        }
        run(1, &|| ()); // the worker that panicked works on
    }
}
