//! Work that takes long can be told to stop, from any thread.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A handle that stops a [`Session`](crate::Session)'s work. Clones are handles of the same session.
///
/// A call in work when [`stop`](Self::stop) is called gives up within some tenths of a second with
/// [`Error::Stopped`](crate::Error::Stopped), and so does every later one until
/// [`rearm`](Self::rearm). The session is then as it was before the call.
#[derive(Debug, Clone, Default)]
pub struct Stopper(Arc<AtomicBool>);

impl Stopper {
    /// Stops the work in hand and refuses more.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Lets work go on.
    pub fn rearm(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether work is to stop.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0
    }
}
