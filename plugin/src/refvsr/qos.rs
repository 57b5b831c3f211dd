//! Which frames downstream would drop as too late.

use super::{
    overload::{Lateness, Now},
    work::Segment,
};
use gst::ClockTime;

/// What downstream said last.
#[derive(Debug, Clone, Copy, Default)]
pub struct Qos {
    earliest: Option<ClockTime>,
    /// How much slower than real time we are.
    pub proportion: f64,
}

impl Qos {
    /// Takes a QOS event: the frame at `timestamp` (running time) was late by `late`. The next one that can be in time then starts about
    /// twice as much later, as video sinks and decoders reckon.
    pub fn update(
        &mut self,
        proportion: f64,
        late: i64,
        timestamp: Option<ClockTime>,
        frame: Option<ClockTime>,
    ) {
        self.proportion = proportion;
        self.earliest = timestamp.map(|timestamp| {
            let by =
                ClockTime::from_nseconds(late.unsigned_abs().min(ClockTime::MAX.nseconds() / 4));
            if late > 0 {
                timestamp
                    .saturating_add(by * 2)
                    .saturating_add(frame.unwrap_or_default())
            } else {
                timestamp.saturating_sub(by)
            }
        });
    }

    /// Whether a frame at this running time comes too late, and by how much.
    pub fn lateness(&self, running_time: Option<ClockTime>) -> Option<ClockTime> {
        running_time
            .zip(self.earliest)
            .and_then(|(t, earliest)| (t < earliest).then(|| earliest - t))
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
    /// How late the frame of this buffer would come by what downstream has said, or now by the clock, if it
    /// would.
    pub fn of(
        frame: &gst::BufferRef,
        segment: Option<&Segment>,
        qos: &Qos,
        now: Option<Now>,
    ) -> Option<Self> {
        let (segment, pts) = segment.zip(frame.pts()).unzip();
        let running_time = segment.zip(pts).and_then(|(s, pts)| s.to_running_time(pts));
        let by_clock = now
            .zip(running_time)
            .and_then(|(now, time)| now.lateness(time));
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
            by: refused.max(by_clock)?,
            proportion: qos.proportion,
        })
    }

    /// The QOS message that says so.
    pub fn message(&self, live: bool) -> gst::message::QosBuilder<'static> {
        gst::message::Qos::builder(live)
            .running_time(self.running_time)
            .stream_time(self.stream_time)
            .timestamp(self.timestamp)
            .duration(self.duration)
            .values(
                i64::try_from(self.by.nseconds()).unwrap_or(i64::MAX),
                self.proportion,
                1_000_000,
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_before_the_earliest_are_late() {
        let ms = ClockTime::from_mseconds;
        let mut qos = Qos::default();
        assert_eq!(qos.lateness(Some(ms(0))), None);
        qos.update(1.5, 10_000_000, Some(ms(100)), Some(ms(40)));
        assert_eq!(qos.lateness(Some(ms(120))), Some(ms(40)));
        assert_eq!(qos.lateness(Some(ms(160))), None);
        assert_eq!(qos.lateness(None), None);
        qos.update(1.0, -10_000_000, Some(ms(200)), Some(ms(40)));
        assert_eq!(qos.lateness(Some(ms(195))), None);
        qos.update(1.0, i64::MIN, Some(ms(200)), None);
        qos.update(1.0, i64::MAX, Some(ms(200)), None);
        assert!(qos.lateness(Some(ms(195))).is_some());
    }
}
