//! For tests that no size which a file only promises is allocated, and that memory does not grow.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which notes this thread's largest request, what it holds, and the most that it has held.
struct Noting;

thread_local! {
    pub static LARGEST: Cell<usize> = const { Cell::new(0) };
    /// What this thread has allocated less what it has freed, in bytes.
    pub static HELD: Cell<isize> = const { Cell::new(0) };
    /// The most that it has held since this was last set.
    pub static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn note(requested: usize, freed: usize) {
    LARGEST.set(LARGEST.get().max(requested));
    HELD.set(HELD.get() + requested as isize - freed as isize);
    PEAK.set(PEAK.get().max(HELD.get()));
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller keeps the contract, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, layout.size());
        // SAFETY: the caller keeps the contract, which is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size, layout.size());
        // SAFETY: the caller keeps the contract, which is the system's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
