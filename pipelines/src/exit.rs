//! How this command ends, for those who start it: shells, schedulers, scripts.

use crate::output::{Busy, DiskFull};
use crate::stop::Stopped;
use std::io::ErrorKind;

/// The work, or an input of it, is at fault: another attempt ends the same way.
pub const BAD: u8 = 1;
/// Another attempt, later or on another machine, may well go better (`EX_TEMPFAIL` of sysexits.h).
pub const AGAIN: u8 = 75;

/// An error that another attempt may not meet.
#[derive(Debug, Clone)]
pub struct TryAgain(pub String);

impl std::fmt::Display for TryAgain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TryAgain {}

/// The exit code of an error.
pub fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref() {
        Some(Stopped(code)) => *code,
        None if may_pass(error) => AGAIN,
        None => BAD,
    }
}

/// Whether another attempt may go better.
pub fn may_pass(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<DiskFull>()
            || cause.is::<Busy>()
            || cause.is::<TryAgain>()
            || cause.downcast_ref().is_some_and(passes)
    })
}

/// Whether what the operating system refuses today it may do tomorrow: no memory, no room, too many open files, a network file
/// system that is away.
fn passes(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let kinds = [
        ErrorKind::Interrupted,
        ErrorKind::OutOfMemory,
        ErrorKind::QuotaExceeded,
        ErrorKind::ResourceBusy,
        ErrorKind::StaleNetworkFileHandle,
        ErrorKind::StorageFull,
        ErrorKind::TimedOut,
        ErrorKind::WouldBlock,
        ErrorKind::NetworkDown,
        ErrorKind::NetworkUnreachable,
        ErrorKind::HostUnreachable,
        ErrorKind::ConnectionAborted,
        ErrorKind::ConnectionReset,
        ErrorKind::NotConnected,
    ];
    let codes = [Errno::IO, Errno::MFILE, Errno::NFILE, Errno::NOLCK];
    kinds.contains(&error.kind()) || Errno::from_io_error(error).is_some_and(|e| codes.contains(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use std::path::PathBuf;

    #[test]
    fn what_may_pass_is_tried_again() {
        let system = |code| std::io::Error::from_raw_os_error(code);
        let again: [anyhow::Error; 5] = [
            DiskFull(PathBuf::from("a")).into(),
            Busy(PathBuf::from("a")).into(),
            TryAgain("no memory".into()).into(),
            system(5).into(),
            system(116).into(),
        ];
        for error in again {
            assert_eq!(code(&error), AGAIN, "{error}");
            assert_eq!(code(&error.context("clip a")), AGAIN);
        }
        for bad in [system(2), system(13), system(20)] {
            let error = Err::<(), _>(bad).context("cannot read a").unwrap_err();
            assert_eq!(code(&error), BAD, "{error:#}");
        }
        assert_eq!(code(&anyhow::anyhow!("a holds no video")), BAD);
    }
}
