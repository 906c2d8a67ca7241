//! Measures memory, for tests that a size claimed by a file is not allocated and that memory does not grow.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which also records each thread's largest request, current memory and peak.
struct Noting;

thread_local! {
    pub static LARGEST: Cell<usize> = const { Cell::new(0) };
    /// Bytes that this thread has allocated minus those that it has freed.
    pub static HELD: Cell<isize> = const { Cell::new(0) };
    /// Peak of [`HELD`] since this was last set.
    pub static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn note(requested: usize, freed: usize) {
    LARGEST.set(LARGEST.get().max(requested));
    HELD.set(HELD.get() + requested as isize - freed as isize);
    PEAK.set(PEAK.get().max(HELD.get()));
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

// SAFETY: every call is passed on unchanged to the system's allocator.
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
