//! The element's own data, and how its threads share it.
//!
//! # Locks
//!
//! There are two locks, `settings` and `state`. Each is held for a moment only: never over a call
//! into the base class, the bus or the network, and never while a buffer, an event or the work is
//! let go of, since a buffer's owner may call back into the element. A thread that needs the work
//! for longer takes [`Work`] out of the state and puts it back.
//!
//! The one exception is the lock of the pads that were ended, in [`Unlinked`]. It is held over their
//! events so that an end and its taking back keep their order; the streaming thread never takes it.

use super::{
    camera::Camera,
    settings::Settings,
    state::{Running, State},
    unlinked::Unlinked,
    work::{Turn, Work},
};
use gst::{prelude::*, subclass::prelude::*};
use gst_base::AggregatorPad;
use std::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

pub struct RefVsr {
    pub ultrawide: AggregatorPad,
    pub wide: AggregatorPad,
    pub settings: Mutex<Settings>,
    pub state: Mutex<State>,
    pub unlinked: Unlinked,
}

impl RefVsr {
    /// The state, locked.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Looks at or changes the running state, locked; `None` while the element is stopped.
    pub fn running<R>(&self, look: impl FnOnce(&mut Running) -> R) -> Option<R> {
        self.state().running.as_mut().map(look)
    }

    /// The settings as they are at present.
    pub fn settings(&self) -> Settings {
        self.settings.lock().unwrap().clone()
    }

    /// The pad of a camera; the tele camera has one only if it was requested.
    pub fn pad(&self, camera: Camera) -> Option<AggregatorPad> {
        match camera {
            Camera::UltraWide => Some(self.ultrawide.clone()),
            Camera::Wide => Some(self.wide.clone()),
            Camera::Tele => self.obj().static_pad(camera.name()).and_downcast(),
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

    /// Whether the ultra-wide pad was flushed since the turn began, or will be, or the element stopped.
    pub fn is_over(&self, turn: &Turn) -> bool {
        let look = |running: &mut Running| {
            running.epochs.left(Camera::UltraWide, turn.epoch) || running.epochs.is_seeking()
        };
        self.running(look).unwrap_or(true)
    }
}
