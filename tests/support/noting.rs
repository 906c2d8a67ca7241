//! An allocator that records requests, for tests of memory use.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator; records this thread's largest request, its allocated bytes and their peak.
struct Noting;

thread_local! {
    pub static LARGEST: Cell<usize> = const { Cell::new(0) };
    /// The bytes that this thread has allocated and not yet freed.
    pub static HELD: Cell<isize> = const { Cell::new(0) };
    /// The maximum of `HELD` since this was last set.
    pub static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn note(requested: usize, freed: usize) {
    LARGEST.set(LARGEST.get().max(requested));
    HELD.set(HELD.get() + requested as isize - freed as isize);
    PEAK.set(PEAK.get().max(HELD.get()));
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

// SAFETY: every call is forwarded unchanged to the system's allocator.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller upholds the contract, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, layout.size());
        // SAFETY: the caller upholds the contract, which is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size, layout.size());
        // SAFETY: the caller upholds the contract, which is the system's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
