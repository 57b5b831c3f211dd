//! The folder that a command is started in.
//!
//! libtorch's arithmetic library (MKL) ends the process before `main` where the current folder is gone: a terminal may well stand in one that was
//! removed. What the linker finds in `.preinit_array` runs before the libraries' own beginnings.

use std::sync::atomic::{AtomicBool, Ordering};

static GONE: AtomicBool = AtomicBool::new(false);

/// A folder that is always there, and in which nobody can make a file by mistake.
const INSTEAD: &str = "/proc";

extern "C" fn leave_what_is_gone() {
    if rustix::process::getcwd(Vec::new()).is_err() {
        let left = rustix::process::chdir(INSTEAD).is_ok();
        GONE.store(left, Ordering::Relaxed);
    }
}

// SAFETY: The section holds addresses of functions that the dynamic loader calls once, in the only thread, with all libraries in place but not
// begun. The function needs none of them: it makes two system calls.
#[used]
#[unsafe(link_section = ".preinit_array")]
static BEFORE_ALL: extern "C" fn() = leave_what_is_gone;

/// Whether the folder that this process was started in is gone. Names are then looked for elsewhere, where there are none.
pub fn is_gone() -> bool {
    GONE.load(Ordering::Relaxed)
}

/// What to say then.
pub const NOTE: &str =
    "note: the folder that this was started in is gone; names have to begin with /";
