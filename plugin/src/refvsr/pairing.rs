//! Which frame of another camera belongs to an ultra-wide frame: the nearest in running time.
//!
//! Pure logic. A [`Pairing`] sees one camera's frames in order and holds at most three of them: the newest that is
//! not after the ultra-wide frame, the last before that if that is a gap, and the one after it, which
//! stays queued on its pad: it may belong to later ultra-wide frames too.

use super::timing::SAME_MOMENT;
use gst::ClockTime;

/// A frame of another camera, or a gap in its stream, with its place in running time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped<T> {
    /// Where it starts.
    pub time: ClockTime,
    /// How long it lasts, where known.
    pub duration: Option<ClockTime>,
    /// The frame; `None`: a gap.
    pub frame: Option<T>,
}

impl<T> Stamped<T> {
    /// A gap that lasts over `time`: whatever comes later, the camera saw nothing then.
    fn is_gap_over(&self, time: ClockTime) -> bool {
        self.frame.is_none()
            && self.time <= time
            && self
                .duration
                .is_some_and(|d| time < self.time.saturating_add(d))
    }
}

/// What became of an ultra-wide frame's search.
#[derive(Debug, PartialEq, Eq)]
pub enum Pair<'a, T> {
    /// The nearest frame, and it is near enough.
    Found(&'a T),
    /// No frame is near enough.
    Missing,
    /// A frame that has not come yet may be nearer.
    Undecided,
}

/// One camera's frames, paired to the ultra-wide frames.
#[derive(Debug)]
pub struct Pairing<T> {
    last: Option<Stamped<T>>,
    /// The last frame where `last` is a gap.
    before_gap: Option<Stamped<T>>,
    next: Option<Stamped<T>>,
}

impl<T> Default for Pairing<T> {
    fn default() -> Self {
        Self {
            last: None,
            before_gap: None,
            next: None,
        }
    }
}

impl<T> Pairing<T> {
    /// The head of the pad's queue, if it has been shown already.
    pub fn head(&self) -> Option<&Stamped<T>> {
        self.next.as_ref()
    }

    /// Shows the head of the pad's queue. It stays there until [`Self::advance`] says so.
    pub fn show(&mut self, head: Stamped<T>) {
        self.next = Some(head);
    }

    /// There is no head at present.
    pub fn hide(&mut self) {
        self.next = None;
    }

    /// Whether the head is not after `time`, so that [`Self::advance`] would move on.
    pub fn is_due(&self, time: ClockTime) -> bool {
        self.next.as_ref().is_some_and(|next| next.time <= time)
    }

    /// Moves on past the head if it is not after `time`; then it must be taken off the pad, and there is a new head to show.
    pub fn advance(&mut self, time: ClockTime) -> bool {
        let due = self.is_due(time);
        if due {
            let passed = std::mem::replace(&mut self.last, self.next.take());
            let is_gap = |s: &Option<Stamped<T>>| s.as_ref().is_some_and(|s| s.frame.is_none());
            if !is_gap(&self.last) {
                self.before_gap = None;
            } else if !is_gap(&passed) {
                self.before_gap = passed;
            }
        }
        due
    }

    /// The camera's last frame, if it is no older than `limit`.
    pub fn latest(&self, time: ClockTime, limit: ClockTime) -> Option<&T> {
        [&self.last, &self.before_gap]
            .into_iter()
            .flatten()
            .filter(|s| time <= s.time.saturating_add(limit))
            .find_map(|s| s.frame.as_ref())
    }

    /// The nearest frame to `time` that is no further than `tolerance` away; of two equally near ones the earlier.
    /// `complete`: no frame but those shown will come in time.
    pub fn choose(&self, time: ClockTime, tolerance: ClockTime, complete: bool) -> Pair<'_, T> {
        let distance = |s: &Stamped<T>| s.time.max(time) - s.time.min(time);
        if let Some(last) = &self.last {
            if last.is_gap_over(time) {
                return Pair::Missing;
            }
            if distance(last) <= SAME_MOMENT.min(tolerance) {
                return last.frame.as_ref().map_or(Pair::Missing, Pair::Found);
            }
        }
        if self.next.is_none() && !complete {
            return Pair::Undecided;
        }
        let nearest = [&self.last, &self.next]
            .into_iter()
            .flatten()
            .min_by_key(|s| distance(s));
        match nearest {
            Some(s) if distance(s) <= tolerance => {
                s.frame.as_ref().map_or(Pair::Missing, Pair::Found)
            }
            _ => Pair::Missing,
        }
    }
}

/// What the bus was told of a camera's missing frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missing {
    /// Where it was last told that they begin to be missing.
    told: Option<ClockTime>,
    /// That is so at present, as far as was told.
    begun: bool,
    /// Those that were missing since they were last told.
    frames: u64,
}

impl Missing {
    /// Takes note of an ultra-wide frame. Returns what is to be told: whether frames begin to be missing, and how many were
    /// when they come again. A second passes before it is told again that they begin to.
    pub fn note(&mut self, time: ClockTime, found: bool) -> Option<(bool, u64)> {
        self.frames += u64::from(!found);
        let recent = |told: ClockTime| (told..told + ClockTime::SECOND).contains(&time);
        if found && self.begun {
            self.begun = false;
            return Some((false, std::mem::take(&mut self.frames)));
        }
        let begins = !found && !self.begun && !self.told.is_some_and(recent);
        begins.then(|| {
            (self.begun, self.told) = (true, Some(time));
            (true, 0)
        })
    }
}
