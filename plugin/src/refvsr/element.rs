//! The element's own data, and how its threads share it.
//!
//! # Locks
//!
//! There are two locks, `settings` and `state`. Each is held for a moment only: never over a call
//! into the base class, the bus or the network, and never while a buffer, an event or the work is
//! let go of, since a buffer's owner may call back into the element. A thread that needs the work
//! for longer takes [`Work`] out of the state and puts it back.

use super::{
    camera::Camera,
    log::CAT,
    model::Loading,
    settings::Settings,
    state::{Running, State},
    work::{Turn, Work},
};
use gst::{prelude::*, subclass::prelude::*};
use gst_base::AggregatorPad;
use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub struct RefVsr {
    pub ultrawide: AggregatorPad,
    pub settings: Mutex<Settings>,
    pub state: Mutex<State>,
    /// Something has changed that a thread may wait for, with the state's lock.
    pub changed: Condvar,
}

impl RefVsr {
    /// The state, locked; also where a thread panicked with it, of which the bindings have told the bus.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at or changes the running state, locked; `None` while the element is stopped.
    pub fn running<R>(&self, look: impl FnOnce(&mut Running) -> R) -> Option<R> {
        self.state().running.as_mut().map(look)
    }

    /// The settings as they are at present.
    pub fn settings(&self) -> Settings {
        self.settings.lock().unwrap().clone()
    }

    /// Waits while it is so and the element runs, but no longer than this. Whether it still is so then.
    pub fn wait_while(
        &self,
        longest: Duration,
        mut is_so: impl FnMut(&mut Running) -> bool,
    ) -> bool {
        let end = Instant::now() + longest;
        let mut state = self.state();
        loop {
            let running = state.running.as_mut();
            let is_so = running.is_some_and(|running| !running.stopping && is_so(running));
            let left = end.saturating_duration_since(Instant::now());
            if !is_so || left.is_zero() {
                return is_so;
            }
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Wakes the threads that wait for something to change. It has changed by now; with the lock, none of
    /// them is just about to wait.
    pub fn notify(&self) {
        drop(self.state());
        self.changed.notify_all();
    }

    /// The pad of a camera; a reference camera has one only if it was requested.
    pub fn pad(&self, camera: Camera) -> Option<AggregatorPad> {
        match camera {
            Camera::UltraWide => Some(self.ultrawide.clone()),
            Camera::Wide | Camera::Tele => self.obj().static_pad(camera.name()).and_downcast(),
        }
    }

    /// A reference camera's pad.
    pub fn reference_pad(&self, camera: Camera) -> Option<super::RefVsrPad> {
        self.pad(camera)?.downcast().ok()
    }

    /// The reference cameras' pads.
    pub fn references(&self) -> impl Iterator<Item = (Camera, AggregatorPad)> {
        Camera::REFERENCES
            .into_iter()
            .filter_map(|camera| Some((camera, self.pad(camera)?)))
    }

    /// Takes the work out of the state, unless another thread has it or the element is stopped.
    pub fn take_work(&self, timeout: bool) -> Option<(Work, Turn)> {
        let work = self.running(Running::take_work)??;
        Some(self.with_turn(work, timeout))
    }

    /// Work, and the turn in which it is done.
    pub fn with_turn(&self, work: Work, timeout: bool) -> (Work, Turn) {
        let turn = Turn {
            epoch: work.epoch,
            timeout,
            settings: self.settings(),
            started: Instant::now(),
        };
        (work, turn)
    }

    /// Puts the work back, without what was flushed meanwhile.
    pub fn put_back(&self, work: Work) {
        let mut work = Some(work);
        loop {
            let flushed = self.running(|running| {
                let epoch = work.as_ref().map_or(0, |work| work.epoch);
                let flushed: Vec<Camera> = Camera::ALL
                    .into_iter()
                    .filter(|&camera| running.epochs.left(camera, epoch))
                    .collect();
                if flushed.is_empty()
                    && let Some(work) = work.take()
                {
                    running.put_back(work);
                }
                (flushed, running.epochs.current())
            });
            // With no lock held, the work of a stopped element and the frames flushed are dropped.
            let Some((work, (flushed, epoch))) = work.as_mut().zip(flushed) else {
                return;
            };
            for camera in flushed {
                work.forget(camera);
            }
            work.epoch = epoch;
        }
    }

    /// Loads the model on a thread of its own, where an application can show its PROGRESS messages.
    pub fn begin_loading(&self) {
        match Loading::begin(self.obj().clone().upcast(), self.settings()) {
            Ok(loading) => self.state().loading = Some(loading),
            Err(why) => gst::warning!(CAT, imp = self, "No thread to load the model on: {why}"),
        }
    }

    /// Whether the ultra-wide pad was flushed since the turn began, or will be, or the element stopped.
    pub fn is_over(&self, turn: &Turn) -> bool {
        self.running(|running| running.is_over(turn.epoch))
            .unwrap_or(true)
    }
}
