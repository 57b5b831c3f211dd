//! One clock: when the cameras' frames come, what a frame costs, and what follows from both.
//!
//! Pure logic. It is told of frames that arrive and of work that is done, and asked how far apart frames may
//! lie, until when to wait, how long a frame is on its way, and which frames are late. All times are running times.

use super::{
    camera::{Camera, PerCamera},
    enums::Sync,
    pace::Pace,
    recent::Recent,
};
use gst::ClockTime;
use std::time::Duration;

/// A frame that takes longer, and a camera that comes later than another by more, is no matter of latency.
pub const SLOWEST: ClockTime = ClockTime::SECOND;
/// The first frames take longer, while memory and kernels are set up.
pub const WARM_UP: usize = 2;
/// Times closer than this are the same moment: containers round times to a millisecond.
pub const SAME_MOMENT: ClockTime = ClockTime::from_mseconds(1);
/// Frames of all cameras after which the latency that they needed is let go of.
const NEEDED: usize = 256;
/// Frames whose work is looked at.
const COSTS: usize = 32;
/// Frames that a live pad queues beside those that are held.
const QUEUED: u64 = 2;
/// Frames that may lie in a pad's queue without keeping the camera waiting.
const UNHINDERED: usize = 2;

/// What is known of the cameras, the machine and the pipeline.
#[derive(Debug, Default, Clone)]
pub struct Timing {
    look_ahead: u64,
    paces: PerCamera<Pace>,
    /// How long the last frames took.
    costs: Recent<Duration, COSTS>,
    finished: usize,
    /// Frames that one frame takes.
    takes: u64,
    /// The latency before the element, as upstream and the user say; `None` where the pipeline is not live.
    upstream: Option<ClockTime>,
    /// By how much the cameras are later, and were of late.
    excess: ClockTime,
    excesses: Recent<ClockTime, NEEDED>,
}

impl Timing {
    pub fn new(look_ahead: usize) -> Self {
        Self {
            look_ahead: look_ahead as u64,
            takes: 1,
            ..Self::default()
        }
    }

    /// Another number of frames has to follow a frame.
    pub fn set_look_ahead(&mut self, look_ahead: usize) {
        self.look_ahead = look_ahead as u64;
    }

    /// The latency before the element. A frame has as long for its references to come.
    pub fn set_upstream(&mut self, upstream: Option<ClockTime>) {
        self.upstream = upstream;
    }

    /// The same as it was set.
    pub fn upstream(&self) -> Option<ClockTime> {
        self.upstream
    }

    /// New caps of a camera say how long its frames last, or at least, or do not.
    pub fn claim(&mut self, camera: Camera, lasts: Option<ClockTime>, at_least: Option<ClockTime>) {
        let pace = &mut self.paces[camera];
        pace.varies = lasts.is_none();
        pace.claimed = lasts.or(at_least).or(pace.claimed);
        pace.measured = None;
        (pace.last, pace.distances) = (None, Recent::default());
    }

    /// A camera's frame has come, `now` by the clock if there is one.
    pub fn came(
        &mut self,
        camera: Camera,
        time: ClockTime,
        duration: Option<ClockTime>,
        now: Option<ClockTime>,
    ) {
        let unhindered = self.paces[camera].queued <= UNHINDERED;
        self.paces[camera].came(time, duration, self.upstream.is_some());
        // A frame that waited for room was late because of us.
        if let Some(now) = now.filter(|_| unhindered) {
            self.delayed(camera, now.saturating_sub(time));
            self.count_delays();
        }
    }

    /// A frame of this time by the camera comes, `now` by the clock if there is one; its sensor time, if it carries one.
    pub fn observe(
        &mut self,
        camera: Camera,
        time: ClockTime,
        now: Option<ClockTime>,
        sensor: Option<ClockTime>,
    ) {
        let pace = &mut self.paces[camera];
        if let Some(sensor) = sensor {
            pace.offsets.push(apart(sensor, time));
        }
        // By arrivals only where there are no sensor times.
        let told = sensor.or(now.filter(|_| pace.offsets.last().is_none()));
        if let Some(told) = told {
            pace.drift.note(time, apart(told, time));
        }
    }

    /// By how much a frame of this time is moved for pairing, in nanoseconds.
    pub fn shift(
        &self,
        sync: Sync,
        camera: Camera,
        time: ClockTime,
        sensor: Option<ClockTime>,
    ) -> i64 {
        let own = &self.paces[Camera::UltraWide];
        match (sync, sensor.zip(own.offsets.median())) {
            (Sync::ReferenceTimestamp, Some((sensor, base))) => {
                apart(sensor, time).saturating_sub(base)
            }
            (Sync::Drift, _) if camera != Camera::UltraWide => {
                let drifts = [&self.paces[camera].drift, &own.drift].map(|d| d.grown(time));
                drifts[0].saturating_sub(drifts[1])
            }
            _ => 0,
        }
    }

    /// A camera's interval and usual delay, and by how many millionths its clock runs fast.
    pub fn told(&self, camera: Camera) -> (Option<ClockTime>, Option<ClockTime>, f64) {
        let pace = &self.paces[camera];
        (
            pace.interval(),
            pace.delays.median(),
            pace.drift.millionths(),
        )
    }

    fn delayed(&mut self, camera: Camera, by: ClockTime) {
        let own = self.paces[Camera::UltraWide].lags.last();
        let pace = &mut self.paces[camera];
        pace.delays.push(by);
        match (camera, own) {
            (Camera::UltraWide, _) => pace.lags.push(by),
            (_, Some(own)) => pace.lags.push(by.saturating_sub(own).min(SLOWEST)),
            (_, None) => (),
        }
    }

    /// A camera's frame was taken.
    pub fn taken(&mut self, camera: Camera) {
        let queued = &mut self.paces[camera].queued;
        *queued = queued.saturating_sub(1);
    }

    /// A camera was flushed: its next frames may be of another time.
    pub fn forget_frames(&mut self, camera: Camera) {
        self.paces[camera].forget_frames();
    }

    /// A camera is gone, or is not used any more.
    pub fn forget(&mut self, camera: Camera) {
        self.paces[camera] = Pace::default();
    }

    /// The distance of two ultra-wide frames.
    pub fn interval(&self) -> ClockTime {
        self.paces[Camera::UltraWide].interval().unwrap_or_default()
    }

    /// How far from an ultra-wide frame that lasts so long a camera's frame may lie: half of the longer distance of the
    /// two streams' frames, and a little for rounding. In steady streams no frame is missing then. Where nothing is known yet, `unknown`.
    pub fn tolerance(
        &self,
        camera: Camera,
        lasts: Option<ClockTime>,
        unknown: ClockTime,
    ) -> ClockTime {
        let spread = |camera| self.paces[camera].spread(self.upstream.is_some());
        let [own, other] = [Camera::UltraWide, camera].map(spread);
        match lasts.max(own).max(other) {
            Some(spread) => (spread / 2).saturating_add(SAME_MOMENT),
            None => unknown,
        }
    }

    /// Until when an ultra-wide frame of this time waits for these cameras' frames: half a frame longer than any camera
    /// says or shows that it takes.
    pub fn wait_until(&self, time: ClockTime, cameras: &[Camera]) -> ClockTime {
        let own = &self.paces[Camera::UltraWide];
        let own = own.lag().max(own.lags.last().unwrap_or_default());
        let come = own.max(self.upstream.unwrap_or_default());
        let wait = |&camera: &Camera| {
            let pace = &self.paces[camera];
            let frame = pace.interval().max(Some(self.interval()));
            // And an eighth of what is unsteady.
            let lag = pace.lag() + pace.lag() / 8;
            lag.saturating_add(frame.unwrap_or_default() / 2)
        };
        let longest = cameras.iter().map(wait).max().unwrap_or_default();
        time.saturating_add(come).saturating_add(longest)
    }

    /// A frame took so long.
    pub fn took(&mut self, time: Duration) {
        self.finished += 1;
        let frame = self.interval();
        if self.finished <= WARM_UP || frame.is_zero() {
            return;
        }
        self.costs.push(time);
        let longest = self.longest_cost().min(SLOWEST);
        let needed = longest.nseconds().div_ceil(frame.nseconds()).max(1);
        // It rises at once, and falls when no frame of late would have needed it.
        if needed > self.takes || self.costs.is_full() {
            self.takes = needed;
        }
    }

    /// A rehearsal has shown that a frame takes so long; the first frames count from now on.
    pub fn rehearsed(&mut self, time: Duration) {
        self.finished = self.finished.max(WARM_UP);
        self.took(time);
    }

    /// The element's least latency, and the most that there is room for. `deadline`: the time a frame takes, as
    /// the user has fixed it. The time is counted in whole frames, at least one: a machine that keeps up with the
    /// stream takes no longer than a frame on average, and a latency that follows every millisecond would make
    /// live pipelines jump.
    pub fn latency(&self, deadline: Option<ClockTime>) -> (ClockTime, Option<ClockTime>) {
        let least = self.own_latency(deadline).saturating_add(self.excess);
        let most = self
            .frames(self.look_ahead + QUEUED)
            .saturating_add(self.excess);
        (least, (!self.interval().is_zero()).then(|| most.max(least)))
    }

    /// When a frame of this time is due downstream; `None` where the pipeline is not live. A camera may be later still
    /// than the latency makes up for; a frame is not late for that.
    pub fn due(&self, time: ClockTime, deadline: Option<ClockTime>) -> Option<ClockTime> {
        let upstream = self.upstream?.saturating_add(self.excess);
        let delay = self.paces[Camera::UltraWide].least_delay();
        let latency = delay
            .max(upstream)
            .saturating_add(self.own_latency(deadline));
        Some(time.saturating_add(latency))
    }

    /// By how much a frame of this time would be late if work on it began now, where it would be too late. It may be by
    /// less than a frame: one whose references were waited for comes half a frame late.
    pub fn lateness(
        &self,
        time: ClockTime,
        now: ClockTime,
        deadline: Option<ClockTime>,
    ) -> Option<ClockTime> {
        // As long as the slowest of the last ones, but no longer than the latency has room for. So a frame
        // that work begins on in time counts as being in time.
        let takes = self.longest_cost().min(self.room(deadline));
        let (due, done) = (self.due(time, deadline)?, now.saturating_add(takes));
        let slack = self.interval() / 4 * 3;
        (done > due.saturating_add(slack)).then(|| done - due)
    }

    /// The look-ahead and the work.
    fn own_latency(&self, deadline: Option<ClockTime>) -> ClockTime {
        let room = self.room(deadline);
        self.frames(self.look_ahead).saturating_add(room)
    }

    fn room(&self, deadline: Option<ClockTime>) -> ClockTime {
        deadline.unwrap_or_else(|| self.frames(self.takes))
    }

    /// How long the slowest of the last frames took.
    fn longest_cost(&self) -> ClockTime {
        let longest = self.costs.max().unwrap_or_default();
        ClockTime::try_from(longest).unwrap_or(ClockTime::MAX)
    }

    /// Counts the cameras' delays into the latency, in quarters of a frame. They rise at once, and fall when none of
    /// late needed them: the bus is told of every change.
    fn count_delays(&mut self) {
        let Some(upstream) = self.upstream else {
            (self.excess, self.excesses) = Default::default();
            return;
        };
        let lag = Camera::REFERENCES.map(|camera| self.paces[camera].lag());
        let own = self.paces[Camera::UltraWide].least_delay();
        let latest = own.saturating_add(lag[0].max(lag[1]));
        let excess = latest.saturating_sub(upstream).min(SLOWEST);
        let step = (self.interval() / 4).max(SAME_MOMENT);
        // Less than half of a step is what pushing a frame through a pipeline takes.
        let steps = match excess <= step / 2 {
            true => 0,
            false => excess.nseconds().div_ceil(step.nseconds()),
        };
        self.excesses.push(step * steps);
        self.excess = self.excesses.max().unwrap_or_default();
    }

    fn frames(&self, count: u64) -> ClockTime {
        let time = self.interval().nseconds().saturating_mul(count);
        ClockTime::from_nseconds(time.min(ClockTime::MAX.nseconds() / 4))
    }
}

/// How much later one time is than another, in nanoseconds.
pub fn apart(a: ClockTime, b: ClockTime) -> i64 {
    (a.nseconds() as i64).wrapping_sub(b.nseconds() as i64)
}
