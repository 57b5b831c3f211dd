//! When memory that sessions on a CPU have used goes back to the system.

use crate::native::memory;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Sessions of this process.
static SESSIONS: AtomicUsize = AtomicUsize::new(0);

/// A session's share in the memory that is kept for coming tensors. The last one to go gives it back.
///
/// A session that ends beside others, as a rehearsal does, leaves it to them.
#[derive(Debug)]
pub struct Lease {
    /// Height and width of the frames it was used for last.
    size: Option<(i64, i64)>,
}

impl Lease {
    pub fn new() -> Self {
        SESSIONS.fetch_add(1, Ordering::Relaxed);
        Self { size: None }
    }

    /// A clip of frames of this size begins: what another size has left is of little use.
    pub fn begin(&mut self, size: (i64, i64)) {
        if self.size.replace(size).is_some_and(|last| last != size) {
            memory::trim();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if SESSIONS.fetch_sub(1, Ordering::Relaxed) == 1 {
            memory::trim();
        }
    }
}
