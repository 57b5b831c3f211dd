//! A live pipeline of cameras that are later than they say, on a machine whose time is its own work's: a test clock that goes
//! on by the processor time of the streaming thread. What else the machine does changes nothing.

use super::common::*;
use gst::{ClockTime, prelude::*};
use gst_check::TestClock;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

/// Two cameras of such frames, which come so long after their times.
#[derive(Clone, Copy)]
pub struct Cameras {
    pub size: (usize, usize),
    pub interval: ClockTime,
    pub delay: ClockTime,
    pub frames: u64,
    /// What the element is told that a frame takes; `None`: it measures that.
    pub deadline: Option<ClockTime>,
}

/// Frames that a pad lets in although the element is at work.
const ROOM: u64 = 3;

struct Machine {
    cameras: Cameras,
    pipeline: Pipeline,
    element: gst::Element,
    sources: [gst_app::AppSrc; 2],
    clock: TestClock,
    /// Moments filmed so far.
    filmed: Mutex<u64>,
    /// Frames that have come to each pad.
    come: [Arc<AtomicU64>; 2],
    /// Frames that have left the element.
    out: AtomicU64,
}

/// Processor time of this thread.
pub fn worked() -> ClockTime {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = told.split(' ').next().and_then(|text| text.parse().ok());
    ClockTime::from_nseconds(nanoseconds.unwrap())
}

impl Machine {
    fn new(cameras: Cameras) -> Self {
        let source = |name: &str| format!("appsrc name={name} is-live=true format=time ! r.{name}");
        let pipeline = parse(&format!(
            "refvsr name=r device=cpu lookahead=0 model-file={} \
             ! fakesink name=s sync=true qos=true max-lateness=5000000 {} {}",
            model(),
            source("ultrawide"),
            source("wide")
        ));
        let clock = TestClock::new();
        pipeline.use_clock(Some(&clock));
        let element = pipeline.by_name("r").unwrap();
        element.set_property("processing-deadline", cameras.deadline);
        let come = ["ultrawide", "wide"].map(|name| {
            let come = Arc::new(AtomicU64::new(0));
            let counted = come.clone();
            let pad = element.static_pad(name).unwrap();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                counted.fetch_add(1, Ordering::SeqCst);
                gst::PadProbeReturn::Ok
            });
            come
        });
        let sources = ["ultrawide", "wide"].map(|name| {
            let source = pipeline.by_name(name).unwrap();
            let source = source.downcast::<gst_app::AppSrc>().unwrap();
            source.set_caps(Some(&caps_of(cameras.size, cameras.interval)));
            source
        });
        Self {
            cameras,
            pipeline,
            element,
            sources,
            clock,
            filmed: Mutex::new(0),
            come,
            out: AtomicU64::new(0),
        }
    }

    /// When the next moment comes; `None`: all have.
    fn next(&self) -> Option<ClockTime> {
        let filmed = *self.filmed.lock().unwrap();
        let Cameras {
            interval,
            delay,
            frames,
            ..
        } = self.cameras;
        (filmed < frames).then(|| interval * filmed + delay)
    }

    /// The clock goes on to this time, and moments come in when it is theirs.
    fn go_on(&self, to: ClockTime) {
        let bus = self.pipeline.bus().unwrap();
        if bus.pop_filtered(&[gst::MessageType::Latency]).is_some() {
            self.pipeline.recalculate_latency().unwrap();
        }
        while let Some(next) = self.next().filter(|next| *next <= to) {
            self.clock.set_time(self.clock.time().max(next));
            self.film();
        }
        self.clock.set_time(self.clock.time().max(to));
    }

    fn film(&self) {
        let mut filmed = self.filmed.lock().unwrap();
        let (n, Cameras { size, interval, .. }) = (*filmed, self.cameras);
        *filmed += 1;
        for (camera, (source, come)) in self.sources.iter().zip(&self.come).enumerate() {
            let picture = picture_of(camera as u64, n as usize, size);
            source
                .push_buffer(buffer(picture, interval * n, interval))
                .unwrap();
            // Behind a frame that waits for room it stays where it is.
            if n < stat(&self.element, "frames-in") + ROOM {
                eventually("a frame comes", || come.load(Ordering::SeqCst) > n);
            }
        }
    }

    /// Frames that were shown, and that the sink left out.
    fn shown(&self) -> (u64, u64) {
        let stats = self.pipeline.by_name("s").unwrap();
        let stats = stats.property::<gst::Structure>("stats");
        (
            stats.get("rendered").unwrap(),
            stats.get("dropped").unwrap(),
        )
    }

    /// Whether the streaming thread rests: it has put out all that has come, or waits for a frame's time in the sink.
    fn rests(&self) -> bool {
        let (shown, dropped) = self.shown();
        let done = shown + dropped;
        let waits = self.out.load(Ordering::SeqCst) > done && self.clock.peek_id_count() == 1;
        waits || done == *self.filmed.lock().unwrap()
    }
}

/// Plays the cameras' film. How many frames were shown, and how many of all were enlarged bicubically.
pub fn play(cameras: Cameras) -> (u64, u64) {
    let machine = Arc::new(Machine::new(cameras));
    let working = Arc::downgrade(&machine);
    let before = Mutex::new(ClockTime::ZERO);
    let source = machine.element.static_pad("src").unwrap();
    source.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let (machine, mut before) = (working.upgrade().unwrap(), before.lock().unwrap());
        machine.go_on(machine.clock.time() + (worked() - *before));
        *before = worked();
        machine.out.fetch_add(1, Ordering::SeqCst);
        gst::PadProbeReturn::Ok
    });
    machine.pipeline.set_state(gst::State::Playing).unwrap();
    loop {
        eventually("the machine rests", || machine.rests());
        let waiting = machine.clock.peek_next_pending_id().map(|id| id.time());
        match (machine.next(), waiting) {
            (Some(next), waiting) if waiting.is_none_or(|time| next <= time) => machine.go_on(next),
            (_, Some(time)) => {
                machine.go_on(time);
                machine.clock.process_next_clock_id();
            }
            (None, None) => break,
            (Some(_), None) => unreachable!(),
        }
    }
    let bypassed = stat(&machine.element, "frames-bypassed");
    let (shown, _) = machine.shown();
    machine.pipeline.set_state(gst::State::Null).unwrap();
    (shown, bypassed)
}
