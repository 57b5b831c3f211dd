//! Ctrl-C, SIGTERM and SIGHUP: the first one stops the work in an orderly way, a second one ends the program at once.

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Whether the work was asked to stop.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    /// The last signal that came.
    signal: Arc<AtomicUsize>,
}

/// The error of work that was stopped, with the exit code that shells have for it: 130 after Ctrl-C, 143 after SIGTERM.
#[derive(Debug, Clone, Copy)]
pub struct Stopped(pub u8);

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stopped {}

impl Stop {
    /// Listens to the signals from now on, but for those that are to be ignored: `nohup` wants the work to go on without its terminal.
    pub fn on_signals() -> Result<Self> {
        let stop = Self::default();
        let ignored = ignored();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if ignored & (1 << (signal - 1)) != 0 {
                continue;
            }
            signal_hook::flag::register_conditional_default(signal, stop.asked.clone())
                .and_then(|_| {
                    let last = stop.signal.clone();
                    signal_hook::flag::register_usize(signal, last, signal as usize)
                })
                .and_then(|_| signal_hook::flag::register(signal, stop.asked.clone()))
                .context("cannot listen to signals")?;
        }
        Ok(stop)
    }

    /// Stops the work as SIGTERM does.
    pub fn ask(&self) {
        self.signal.store(SIGTERM as usize, Ordering::SeqCst);
        self.asked.store(true, Ordering::SeqCst);
    }

    /// Whether a signal came.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// The exit code of work that was stopped.
    pub fn code(&self) -> u8 {
        128 + self.signal.load(Ordering::SeqCst) as u8
    }

    /// Fails with [`Stopped`] once a signal came.
    pub fn check(&self) -> Result<()> {
        if self.asked() {
            bail!(Stopped(self.code()))
        }
        Ok(())
    }
}

/// The signals that this process ignores, a bit each, as whoever started it has set it up.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}
