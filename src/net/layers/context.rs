//! How the network computes what it is asked for: by which arithmetic, and until when. A session sets
//! it for each of its calls; outside a session convolutions are exact and nothing stops them.

use crate::{Error, Result, profile, stop::Stopper};
use std::{cell::RefCell, sync::atomic::AtomicBool, time::Instant};
use tch::Kind;

/// How convolutions are computed whose output is a feature or a picture. Those that decide where
/// something is matched or sampled are always exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arithmetic {
    /// In fp32, rounding no more than the direct form does: 3 x 3 convolutions of many channels may be computed
    /// by Winograd's minimal filtering in tiles of 2 x 2.
    #[default]
    Exact,
    /// In fp32; 3 x 3 convolutions on the CPU by Winograd's minimal filtering in tiles of 4 x 4.
    Winograd,
    /// With features and weights in 16 bits: [`Kind::Half`] or [`Kind::BFloat16`].
    Half(Kind),
}

impl Arithmetic {
    /// The kind of weights and features.
    pub fn kind(self) -> Kind {
        match self {
            Self::Exact | Self::Winograd => Kind::Float,
            Self::Half(kind) => kind,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Context {
    arithmetic: Arithmetic,
    stopper: Option<Stopper>,
    deadline: Option<Instant>,
}

thread_local! {
    static CONTEXT: RefCell<Context> = RefCell::default();
}

/// Runs `work` with this arithmetic, until `stopper` says otherwise. No gradients are kept.
pub fn within<T>(
    arithmetic: Arithmetic,
    stopper: &Stopper,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    within_until(arithmetic, stopper, None, work)
}

/// The same, until `deadline` at most.
pub fn within_until<T>(
    arithmetic: Arithmetic,
    stopper: &Stopper,
    deadline: Option<Instant>,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    /// Puts the former context back, also where `work` panics.
    struct Restore(Context);
    impl Drop for Restore {
        fn drop(&mut self) {
            CONTEXT.replace(std::mem::take(&mut self.0));
        }
    }
    let context = Context {
        arithmetic,
        stopper: Some(stopper.clone()),
        deadline,
    };
    let _restore = Restore(CONTEXT.replace(context));
    profile::piece_starts();
    check()?;
    let done = tch::no_grad(work);
    profile::piece_ends();
    done
}

/// How to compute.
pub fn arithmetic() -> Arithmetic {
    CONTEXT.with_borrow(|context| context.arithmetic)
}

/// Gives up where the work in hand is to stop.
///
/// # Errors
/// [`Error::Stopped`], [`Error::OutOfTime`].
pub fn check() -> Result<()> {
    profile::piece_ends();
    CONTEXT.with_borrow(|context| {
        if context.stopper.as_ref().is_some_and(Stopper::is_stopped) {
            return Err(Error::Stopped);
        }
        match context.deadline {
            Some(deadline) if Instant::now() > deadline => Err(Error::OutOfTime),
            _ => Ok(()),
        }
    })
}

/// Lends the flag that says so to a kernel that looks at it itself.
pub fn with_stop<T>(work: impl FnOnce(Option<&AtomicBool>) -> T) -> T {
    let stopper = CONTEXT.with_borrow(|context| context.stopper.clone());
    profile::piece_ends();
    let done = work(stopper.as_ref().map(Stopper::flag));
    profile::piece_starts();
    done
}
