//! What becomes of frames that the network would finish too late.
//!
//! A frame is judged before the work on it, by what downstream says (QOS events) and, in live pipelines, by the
//! clock, see [`timing`](super::timing). Frames in time always go through the network, so that an overloaded machine
//! does as many as it can. Where late frames come out enlarged bicubically, all later ones would wait while the network
//! works on one that takes too long: on such a machine none is tried for a while.

use super::{enums::Overload, timing::SLOWEST};
use gst::ClockTime;
use std::time::Duration;

/// Without a late frame for so long an overload is over.
const OVER: ClockTime = ClockTime::SECOND;
/// Dropped frames in a row after which one goes through the network however late it is: on a machine
/// that is always late nothing at all would come out otherwise.
const DROPPED_IN_A_ROW: u64 = 4;
/// After the first frame given up none is tried for so long, then for twice as long, and so on.
const REST: ClockTime = ClockTime::from_seconds(10);
/// But for no longer than this.
const LONGEST_REST: ClockTime = ClockTime::from_seconds(300);

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The network enlarges it.
    Enlarged,
    /// It comes out enlarged bicubically.
    Bypassed,
    /// It does not come out.
    Dropped,
}

/// Why a frame is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lateness {
    /// By the clock.
    Overdue,
    /// Downstream has said that it would not take it.
    Refused,
}

impl Overload {
    /// What becomes of late frames.
    pub fn of_late(self, qos: bool, live: bool) -> Fate {
        match self {
            Self::Drop => Fate::Dropped,
            Self::Bypass => Fate::Bypassed,
            Self::Auto if qos => Fate::Dropped,
            Self::Auto if live => Fate::Bypassed,
            Self::Auto | Self::Wait => Fate::Enlarged,
        }
    }
}

/// What downstream said last of frames that it would drop as too late.
#[derive(Debug, Clone, Copy, Default)]
pub struct Qos {
    earliest: Option<ClockTime>,
    /// How much slower than real time we are.
    proportion: f64,
}

impl Qos {
    /// Takes a QOS event: the frame at `timestamp` (running time) was late by `late`. The next one that can be in
    /// time then starts about twice as much later, as video sinks and decoders reckon.
    pub fn update(
        &mut self,
        proportion: f64,
        late: i64,
        timestamp: Option<ClockTime>,
        frame: Option<ClockTime>,
    ) {
        self.proportion = proportion;
        self.earliest = timestamp.map(|timestamp| {
            let by = late.unsigned_abs().min(ClockTime::MAX.nseconds() / 4);
            let by = ClockTime::from_nseconds(by);
            if late > 0 {
                let doubled = timestamp.saturating_add(by * 2);
                doubled.saturating_add(frame.unwrap_or_default())
            } else {
                timestamp.saturating_sub(by)
            }
        });
    }

    /// Whether a frame at this running time comes too late, and by how much.
    fn lateness(&self, running_time: Option<ClockTime>) -> Option<ClockTime> {
        let (time, earliest) = running_time.zip(self.earliest)?;
        (time < earliest).then(|| earliest - time)
    }
}

/// A frame that comes too late.
#[derive(Debug)]
pub struct Late {
    running_time: Option<ClockTime>,
    stream_time: Option<ClockTime>,
    timestamp: Option<ClockTime>,
    duration: Option<ClockTime>,
    by: ClockTime,
    proportion: f64,
    pub lateness: Lateness,
}

impl Late {
    /// The frame of this buffer, where it comes too late by what downstream has said, or by the clock, which
    /// tells by how much a frame of a running time is late.
    pub fn of(
        frame: &gst::BufferRef,
        segment: Option<&gst::FormattedSegment<ClockTime>>,
        qos: &Qos,
        by_clock: impl FnOnce(ClockTime) -> Option<ClockTime>,
    ) -> Option<Self> {
        let (segment, pts) = segment.zip(frame.pts()).unzip();
        let running_time = segment.zip(pts).and_then(|(s, pts)| s.to_running_time(pts));
        let refused = qos.lateness(running_time);
        Some(Self {
            lateness: match refused {
                Some(_) => Lateness::Refused,
                None => Lateness::Overdue,
            },
            running_time,
            stream_time: segment.zip(pts).and_then(|(s, pts)| s.to_stream_time(pts)),
            timestamp: pts,
            duration: frame.duration(),
            by: refused.max(running_time.and_then(by_clock))?,
            proportion: qos.proportion,
        })
    }

    /// The QOS message that says so.
    pub fn message(&self, live: bool) -> gst::message::QosBuilder<'static> {
        let by = i64::try_from(self.by.nseconds()).unwrap_or(i64::MAX);
        gst::message::Qos::builder(live)
            .running_time(self.running_time)
            .stream_time(self.stream_time)
            .timestamp(self.timestamp)
            .duration(self.duration)
            .values(by, self.proportion, 1_000_000)
    }
}

/// A time of overload: from the first frame that was late until none has been for a second.
#[derive(Debug, Default, Clone, Copy)]
pub struct Episode {
    /// Where the last late frame was, in running time; `None`: there is no overload.
    last: Option<ClockTime>,
    dropped: u64,
    bypassed: u64,
    /// Frames dropped since one came out.
    in_a_row: u64,
}

/// What is to be said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    Begins,
    /// After so many frames dropped and bypassed.
    Ends {
        dropped: u64,
        bypassed: u64,
    },
}

impl Episode {
    /// What becomes of the next frame, where late ones are `of_late`. One that downstream has refused
    /// beforehand is not worth the work in any case.
    pub fn fate(&self, late: Option<Lateness>, of_late: Fate) -> Fate {
        match (late, of_late) {
            (None, _) => Fate::Enlarged,
            (Some(Lateness::Overdue), Fate::Dropped) if self.in_a_row >= DROPPED_IN_A_ROW => {
                Fate::Enlarged
            }
            (Some(_), of_late) => of_late,
        }
    }

    /// Takes note of a frame that comes out, or does not.
    pub fn note(&mut self, time: ClockTime, fate: Fate) -> Option<News> {
        self.in_a_row = match fate {
            Fate::Dropped => self.in_a_row + 1,
            Fate::Enlarged | Fate::Bypassed => 0,
        };
        if fate == Fate::Enlarged {
            let is_over = time.saturating_sub(self.last?) >= OVER;
            return is_over.then(|| {
                let Self {
                    dropped, bypassed, ..
                } = std::mem::take(self);
                News::Ends { dropped, bypassed }
            });
        }
        self.dropped += u64::from(fate == Fate::Dropped);
        self.bypassed += u64::from(fate == Fate::Bypassed);
        self.last.replace(time).is_none().then_some(News::Begins)
    }
}

/// How long the network may work on a frame; frames last `frame`.
pub fn limit(frame: ClockTime) -> Duration {
    Duration::from(SLOWEST.max(frame * 2))
}

/// Whether the network may work on frames, where late ones are bypassed. `R` is a rehearsal, which shows it.
#[derive(Debug)]
pub struct Patience<R> {
    stage: Stage<R>,
    /// The size of the ultra-wide frames it is known for.
    size: Vec<i64>,
    /// The last rest, where no frame has been finished since.
    rest: Option<ClockTime>,
    /// The last frame tried was finished. If the next one is given up, there is no rest: the machine may
    /// have had something else to do.
    forgives: bool,
}

#[derive(Debug)]
enum Stage<R> {
    Unknown,
    Rehearsing(R),
    Ready,
    /// Until this running time.
    Resting(ClockTime),
}

impl<R> Default for Patience<R> {
    fn default() -> Self {
        Self {
            stage: Stage::Unknown,
            size: vec![],
            rest: None,
            forgives: false,
        }
    }
}

impl<R> Patience<R> {
    /// Whether there is to be a rehearsal at this running time, of frames of this size.
    pub fn needs_rehearsal(&self, size: &[i64], now: ClockTime) -> bool {
        match self.stage {
            _ if self.size != size => true,
            Stage::Unknown => true,
            Stage::Rehearsing(_) | Stage::Ready => false,
            Stage::Resting(end) => now >= end,
        }
    }

    /// It has begun.
    pub fn rehearse(&mut self, size: Vec<i64>, rehearsal: R) {
        self.size = size;
        self.stage = Stage::Rehearsing(rehearsal);
        self.forgives = false;
    }

    /// The rehearsal there is at present.
    pub fn rehearsal(&self) -> Option<&R> {
        match &self.stage {
            Stage::Rehearsing(rehearsal) => Some(rehearsal),
            Stage::Unknown | Stage::Ready | Stage::Resting(_) => None,
        }
    }

    /// The rehearsal is over: a frame takes so long, or it was given up. Whether that is fast enough.
    pub fn rehearsed(&mut self, took: Option<Duration>, frame: ClockTime, now: ClockTime) -> bool {
        let fast = took.is_some_and(|took| took <= limit(frame));
        if fast {
            self.stage = Stage::Ready;
        } else {
            self.gave_up(now);
        }
        fast
    }

    /// Before the first frame: one of this size takes so long.
    pub fn warmed_up(&mut self, size: Vec<i64>, took: Option<Duration>) {
        self.size = size;
        self.rehearsed(took, ClockTime::ZERO, ClockTime::ZERO);
    }

    /// Whether no frame is to be tried.
    pub fn rests(&self) -> bool {
        matches!(self.stage, Stage::Resting(_))
    }

    /// A frame was finished.
    pub fn finished(&mut self) {
        self.rest = None;
        self.forgives = true;
    }

    /// A frame was given up at this running time.
    pub fn gave_up(&mut self, now: ClockTime) {
        if std::mem::take(&mut self.forgives) {
            return;
        }
        let length = match self.rest {
            Some(last) => (last * 2).min(LONGEST_REST),
            None => REST,
        };
        self.rest = Some(length);
        self.stage = Stage::Resting(now + length);
    }
}
