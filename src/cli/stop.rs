//! Ctrl-C and other signals to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::progress::Board;

/// Exit code after Ctrl-C, as shells report it.
pub const INTERRUPTED: u8 = 130;

/// Counts signals to stop. After the first, the caller finishes its current step, which `promise` says; the second ends the
/// program at once.
pub fn on_signals(board: &Board, promise: &'static str) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let (counted, board) = (count.clone(), board.clone());
    // If the handler cannot be set, a signal ends the program at once; saved checkpoints stay valid.
    drop(ctrlc::set_handler(move || match counted.fetch_add(1, Ordering::Relaxed) {
        0 => board.say(&format!("stopping: {promise}; a second Ctrl-C stops at once")),
        _ => std::process::exit(INTERRUPTED.into()),
    }));
    count
}
