//! What is printed. Whoever reads it may have gone, which ends nothing; a disk that is full is told at the end.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::OnceLock;

static LOST: OnceLock<std::io::Error> = OnceLock::new();

/// Prints to the output. Use it by [`out!`].
pub fn out(text: Arguments) {
    let mut out = stdout().lock();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        _ = LOST.set(error);
    }
}

/// Prints to the error stream. Use it by [`err!`].
pub fn err(text: Arguments) {
    _ = stderr().lock().write_fmt(text);
}

/// Why something that was printed to the output is lost, if it is.
pub fn lost() -> Option<&'static std::io::Error> {
    LOST.get()
}

/// A line to the output.
macro_rules! out {
    ($($text:tt)*) => {
        $crate::say::out(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// A line to the error stream.
macro_rules! err {
    ($($text:tt)*) => {
        $crate::say::err(format_args!("{}\n", format_args!($($text)*)))
    };
}
