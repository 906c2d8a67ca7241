//! The live figures in the browser, behind a few functions for the book's scripts, without a generator of bindings. Texts pass
//! through the module's memory as UTF-8.
//!
//! With the feature `figures` the module answers for `em_routing::live`, with the feature `network` for the figures of the network.

use std::alloc::{Layout, alloc, dealloc};

#[cfg(feature = "network")]
mod network;

#[cfg(feature = "figures")]
use em_routing::live::answer as answered;
#[cfg(feature = "network")]
use network::answer as answered;

/// The layout of a text of `length` bytes; `None` if there is no such memory.
fn layout(length: usize) -> Option<Layout> {
    Layout::array::<u8>(length.max(1)).ok()
}

/// Returns memory for a text of `length` bytes, or null.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(length: usize) -> *mut u8 {
    // SAFETY: a layout has at least one byte
    layout(length).map_or(std::ptr::null_mut(), |layout| unsafe { alloc(layout) })
}

/// Takes back memory that [`allocate`] or [`answer`] returned.
///
/// # Safety
///
/// `text` must come from one of them, with this length, and must not be used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn release(text: *mut u8, length: usize) {
    if let Some(layout) = layout(length).filter(|_| !text.is_null()) {
        // SAFETY: both functions allocate with this layout, as the caller vouches
        unsafe { dealloc(text, layout) }
    }
}

/// Answers a request of the script. Returns the answer's address in the upper 32 bits and its length in the lower ones.
///
/// # Safety
///
/// `request` must point to `length` bytes that were written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn answer(request: *const u8, length: usize) -> u64 {
    // SAFETY: as the caller vouches
    let request = unsafe { std::slice::from_raw_parts(request, length) };
    let answer = answered(&String::from_utf8_lossy(request));
    let (text, length) = (allocate(answer.len()), answer.len());
    if text.is_null() {
        return 0;
    }
    // SAFETY: `text` has room for the answer, and new memory does not overlap it
    unsafe { std::ptr::copy_nonoverlapping(answer.as_ptr(), text, length) };
    (text as u64) << 32 | length as u64
}

/// Gives the module a file, such as weights or images, under a name that its figures know.
///
/// # Safety
///
/// `name` and `file` must point to as many bytes as their lengths say.
#[cfg(feature = "network")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn give(name: *const u8, name_length: usize, file: *const u8, length: usize) {
    // SAFETY: as the caller vouches
    let (name, file) =
        unsafe { (std::slice::from_raw_parts(name, name_length), std::slice::from_raw_parts(file, length)) };
    network::give(&String::from_utf8_lossy(name), file);
}

/// Returns the address of a file of the module in the upper 32 bits and its length in the lower ones; 0 if there is none. It stays
/// where it is until the module is called again.
///
/// # Safety
///
/// `name` must point to `length` bytes that were written.
#[cfg(feature = "network")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn file(name: *const u8, length: usize) -> u64 {
    // SAFETY: as the caller vouches
    let name = unsafe { std::slice::from_raw_parts(name, length) };
    network::file(&String::from_utf8_lossy(name))
}
