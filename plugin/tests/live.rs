//! Live streams: what is waited for, and what is shown.

mod common;
#[path = "common/late.rs"]
mod late;

use common::*;
use gst::prelude::*;
use gst_check::Harness;
use refvsr::{Network, Session, SessionOptions, Triplet};
use std::{
    path::Path,
    sync::{Arc, Mutex},
};
use tch::Device;

/// Two live cameras on a clock that stands still until the test moves it.
struct Live {
    element: gst::Element,
    ultrawide: Harness,
    wide: Harness,
}

impl Live {
    fn new(element: gst::Element) -> Self {
        let mut ultrawide = Harness::with_element(&element, Some("ultrawide"), Some("src"));
        ultrawide.set_src_caps(caps());
        let mut wide = Harness::with_element(&element, Some("wide"), None);
        wide.set_src_caps(caps());
        Self {
            element,
            ultrawide,
            wide,
        }
    }

    /// Sends the moment `n` when the clock says `now`, and waits for what comes out.
    fn send(&mut self, n: usize, now: gst::ClockTime) -> gst::Buffer {
        self.clock().set_time(now);
        self.wide.push(frame(WIDE, n)).unwrap();
        self.ultrawide.push(frame(ULTRAWIDE, n)).unwrap();
        pulled(&mut self.ultrawide)
    }

    fn clock(&self) -> gst_check::TestClock {
        self.element.clock().and_downcast().unwrap()
    }
}

/// Without look-ahead; it counts as fast enough, whatever else the machine does.
fn keeping_up() -> gst::Element {
    let element = with_lookahead(0);
    element.set_property("processing-deadline", FRAME.nseconds());
    element
}

#[test]
fn live_streams_go_on_without_what_is_late() {
    // The harness's clock stands still until it is cranked: time is up when the test says so.
    let element = keeping_up();
    let mut ultrawide = gst_check::Harness::with_element(&element, Some("ultrawide"), Some("src"));
    ultrawide.set_src_caps(caps());
    let mut wide = gst_check::Harness::with_element(&element, Some("wide"), None);
    wide.set_src_caps(caps());
    wide.push(frame(WIDE, 0)).unwrap();
    ultrawide.push(frame(ULTRAWIDE, 0)).unwrap();
    let first = ultrawide.pull().unwrap();
    ultrawide.push(frame(ULTRAWIDE, 1)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(ultrawide.buffers_in_queue(), 0, "there is time yet");
    let clock = element
        .clock()
        .and_downcast::<gst_check::TestClock>()
        .unwrap();
    assert!(clock.crank(), "the element waits for its time to be up");
    let second = ultrawide.pull().unwrap();
    let moments = [0, 1].map(|n| (picture(ULTRAWIDE, n), Some(picture(WIDE, 0)), None));
    assert_pictures(&[first, second], &expected(&moments, 0));
    assert_eq!(stat(&element, "missing-references"), 1);
}

#[test]
fn after_a_hole_in_the_ultrawide_stream_the_wide_frame_is_waited_for() {
    let mut live = Live::new(with_lookahead(0));
    live.wide.push(frame(WIDE, 0)).unwrap();
    live.ultrawide.push(frame(ULTRAWIDE, 0)).unwrap();
    let first = live.ultrawide.pull().unwrap();
    // Frames 1 to 4 never come. The fifth comes in time, its wide frame a moment after it.
    live.clock().set_time(FRAME * 5);
    live.ultrawide.push(frame(ULTRAWIDE, 5)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(live.ultrawide.buffers_in_queue(), 0, "there is time yet");
    live.wide.push(frame(WIDE, 5)).unwrap();
    let second = live.ultrawide.pull().unwrap();
    let moments = [0, 5].map(|n| (picture(ULTRAWIDE, n), Some(picture(WIDE, n)), None));
    assert_pictures(&[first, second], &expected(&moments, 0));
    assert_eq!(stat(&live.element, "missing-references"), 0);
}

#[test]
fn a_missing_frame_is_waited_for_half_a_frame_whatever_the_look_ahead() {
    // Away from the start, where there is time before the first frame's latency is over.
    const START: usize = 10;
    for look_ahead in [0, 3] {
        let element = with_lookahead(look_ahead);
        // As fast as that is it counted, whatever else the machine does.
        element.set_property("processing-deadline", FRAME.nseconds());
        let mut live = Live::new(element);
        live.wide.push(frame(WIDE, START)).unwrap();
        live.ultrawide.push(frame(ULTRAWIDE, START)).unwrap();
        eventually("the first frame", || stat(&live.element, "frames-in") == 1);
        for n in 1..4 {
            let due = FRAME * (START + n) as u64 + FRAME / 2;
            live.ultrawide.push(frame(ULTRAWIDE, START + n)).unwrap();
            let waiting = live.clock().wait_for_next_pending_id();
            assert_eq!(waiting.time(), due);
            assert!(live.clock().crank());
            let taken = || stat(&live.element, "frames-in") == n as u64 + 1;
            eventually("time is up", taken);
        }
    }
}

/// The small model's session, for what should come out.
fn session() -> Session {
    let network = Network::load(Path::new(&model()), Device::Cpu).unwrap();
    let options = SessionOptions {
        look_ahead: Some(0),
        ..Session::options_of(&network)
    };
    Session::new(network, options).unwrap()
}

fn send(session: &mut Session, n: usize) {
    let triplet = Triplet {
        ultrawide: to_tensor(&picture(ULTRAWIDE, n), SIZE),
        wide: Some(to_tensor(&picture(WIDE, n), SIZE)),
        tele: None,
    };
    session.send(triplet).unwrap();
}

/// Whether it begins, and how many frames were dropped and bypassed.
fn overload_of(message: &gst::Message) -> Option<(bool, u64, u64)> {
    let told = message.structure()?.to_owned();
    (told.name() == "refvsr-overload").then(|| {
        let count = |name| told.get::<u64>(name).unwrap();
        let overloaded = told.get::<bool>("overloaded").unwrap();
        (overloaded, count("dropped"), count("bypassed"))
    })
}

fn overloads(bus: &gst::Bus) -> Vec<(bool, u64, u64)> {
    std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Element]))
        .filter_map(|message| overload_of(&message))
        .collect()
}

#[test]
fn frames_that_come_too_late_are_enlarged_bicubically_and_the_recurrence_goes_on() {
    let element = keeping_up();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut live = Live::new(element);
    let mut session = session();
    // The third and the fourth frame come far too late, the others in time.
    for (n, now) in [(0, 0), (1, 1), (2, 22), (3, 22), (23, 23), (24, 24)] {
        let late = now > n;
        let out = live.send(n as usize, FRAME * now);
        send(&mut session, n as usize);
        let expected = if late {
            session.bypass()
        } else {
            session.receive()
        };
        let expected = to_bytes(&expected.unwrap().frame().unwrap());
        assert!(bytes(&out) == expected, "frame {n}");
        assert_eq!(out.pts(), Some(FRAME * n));
        let told = told_of(&out);
        assert_eq!(told.get::<bool>("enlarged"), Ok(!late));
        assert_eq!(told.get::<bool>("wide"), Ok(!late));
    }
    let counts = ["frames-out", "frames-bypassed", "frames-dropped"];
    assert_eq!(counts.map(|name| stat(&live.element, name)), [6, 2, 0]);
    assert_eq!(overloads(&bus), [(true, 0, 0)]);
    // No frame is late for a second.
    for n in 25..50 {
        live.send(n, FRAME * n as u64);
    }
    assert_eq!(overloads(&bus), [(false, 0, 2)]);
}

#[test]
fn cameras_that_are_later_than_they_say_are_no_overload() {
    let mut live = Live::new(with_lookahead(0));
    for n in 0..4 {
        live.send(n, FRAME * (n as u64 + 20));
    }
    assert_eq!(stat(&live.element, "frames-bypassed"), 0);
}

#[test]
fn late_frames_are_dropped_or_waited_for_where_that_is_asked_for() {
    for (overload, qos, dropped) in [("drop", false, 1), ("auto", true, 1), ("wait", true, 0)] {
        let element = with_lookahead(0);
        element.set_property_from_str("overload", overload);
        element.set_property("qos", qos);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut live = Live::new(element);
        live.send(0, gst::ClockTime::ZERO);
        live.clock().set_time(FRAME * 20);
        live.wide.push(frame(WIDE, 1)).unwrap();
        live.ultrawide.push(frame(ULTRAWIDE, 1)).unwrap();
        let done =
            || stat(&live.element, "frames-out") + stat(&live.element, "frames-dropped") == 2;
        eventually("the second frame", done);
        assert_eq!(stat(&live.element, "frames-dropped"), dropped, "{overload}");
        let qos = [gst::MessageType::Qos];
        if dropped == 1 {
            wait_for(&bus, &qos); // it follows the count
        } else {
            assert!(bus.pop_filtered(&qos).is_none(), "{overload}");
        }
    }
}

#[test]
fn at_half_of_what_is_needed_every_frame_comes_out_and_two_fifths_by_the_network() {
    const FRAMES: u64 = 60;
    let element = with_lookahead(0);
    let mut live = Live::new(element);
    // On a machine whose time is the clock's: two frames for a frame, a fifth of one to pass it by.
    let (mut now, mut bypassed) = (gst::ClockTime::ZERO, 0);
    for n in 0..FRAMES {
        now = now.max(FRAME * n);
        live.send(n as usize, now);
        let before = std::mem::replace(&mut bypassed, stat(&live.element, "frames-bypassed"));
        now += if bypassed > before {
            FRAME / 5
        } else {
            FRAME * 2
        };
    }
    assert_eq!(stat(&live.element, "frames-out"), FRAMES);
    let enlarged = FRAMES - bypassed;
    assert!(enlarged * 5 >= FRAMES * 2, "{enlarged} of {FRAMES}");
    // It keeps up, but for a second at most by which the latency may grow on a machine that is busy.
    assert!(now < FRAME * (FRAMES + 30), "{now}");
}

/// The wide camera's clock runs fast by 5 thousandths, 60 ms in these 12 seconds.
#[test]
fn what_clocks_drift_is_told_and_made_up_for_if_asked() {
    let second = gst::ClockTime::SECOND;
    for (sync, apart) in [("running-time", 55..=65), ("drift", -5..=5)] {
        let element = with_lookahead(0);
        element.set_property_from_str("sync", sync);
        let mut live = Live::new(element);
        live.ultrawide.set_src_caps(caps_of(SIZE, second));
        live.wide.set_src_caps(caps_of(SIZE, second));
        for n in 0..=12 {
            live.clock().set_time(second * n);
            let fast = second * n + gst::ClockTime::from_mseconds(5) * n;
            let wide = buffer(picture(WIDE, n as usize), fast, second);
            live.wide.push(wide).unwrap();
            let own = buffer(picture(ULTRAWIDE, n as usize), second * n, second);
            live.ultrawide.push(own).unwrap();
            pulled(&mut live.ultrawide);
        }
        let stats = live.element.property::<gst::Structure>("stats");
        let drift = stats.get::<f64>("wide-drift").unwrap();
        assert!((4500.0..5500.0).contains(&drift), "{stats}");
        assert!(
            stats.get::<f64>("ultrawide-drift").unwrap().abs() < 500.0,
            "{stats}"
        );
        let residual = stats.get::<i64>("wide-residual").unwrap() / 1_000_000;
        assert!(apart.contains(&residual), "{sync}: {stats}");
        assert_eq!(stats.get("wide-interval"), Ok(Some(second)), "{stats}");
        assert_eq!(stat(&live.element, "missing-references"), 0);
    }
}

/// The network sets itself up for the first frame. One that is due meanwhile comes out all the same, enlarged
/// bicubically, which is not told as an overload; while there is time, the network is waited for.
#[test]
fn a_live_stream_starts_at_once() {
    init();
    // The bundled model: some tenths of a second on any machine.
    let element = gst::ElementFactory::make("refvsr")
        .property("device", "cpu")
        .property("lookahead", 0)
        .build()
        .unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut live = Live::new(element);
    live.wide.push(frame(WIDE, 0)).unwrap();
    live.ultrawide.push(frame(ULTRAWIDE, 0)).unwrap();
    let sent = || stat(&live.element, "frames-in") == 1;
    eventually("the first frame", sent);
    live.clock().set_time(FRAME * 3);
    let first = pulled(&mut live.ultrawide);
    assert_eq!(told_of(&first).get::<bool>("enlarged"), Ok(false));
    let second = live.send(3, FRAME * 3);
    assert_eq!(told_of(&second).get::<bool>("enlarged"), Ok(true));
    assert_eq!(overloads(&bus), []);
}

/// Elsewhere a rehearsal comes first, for which there is no time here.
#[test]
fn where_the_network_was_set_up_before_the_first_frame_is_enlarged_by_it() {
    for (size, enlarged) in [("16x12", true), ("32x24", false)] {
        let element = with_lookahead(0);
        element.set_property("processing-deadline", 0_u64);
        element.set_property("prewarm", size);
        let mut live = Live::new(element);
        let first = live.send(0, gst::ClockTime::ZERO);
        assert_eq!(
            told_of(&first).get::<bool>("enlarged"),
            Ok(enlarged),
            "{size}"
        );
    }
}

/// The bundled model takes seconds for a frame of this size: the rehearsal shows that, and none
/// is tried for a while. No frame waits for any of it.
#[test]
fn a_viewfinder_goes_on_where_the_network_takes_seconds() {
    const FRAMES: u64 = 30;
    init();
    let camera = format!(
        "videotestsrc is-live=true num-buffers={FRAMES} \
         ! video/x-raw,format=RGB,width=480,height=272,framerate=5/1 ! queue"
    );
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu ! queue ! fakesink {camera} ! r.ultrawide {camera} ! r.wide"
    ));
    let element = pipeline.by_name("r").unwrap();
    // The streaming thread's own time, in which it does not matter what else the machine does.
    let came = Arc::new(Mutex::new(vec![]));
    let noted = came.clone();
    let source = element.static_pad("src").unwrap();
    source.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        noted.lock().unwrap().push(late::worked());
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let last = wait_for(&bus, &[gst::MessageType::Eos, gst::MessageType::Error]);
    assert_eq!(last.type_(), gst::MessageType::Eos, "{last:?}");
    let came = came.lock().unwrap();
    let bypassed = stat(&element, "frames-bypassed");
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(came.len() as u64, FRAMES);
    assert!(bypassed >= FRAMES - 5, "{bypassed} of {FRAMES}");
    let longest = came.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(longest.unwrap() < gst::ClockTime::SECOND * 2, "{longest:?}");
}

/// The network takes longer than a frame, and both cameras come later than they say: by nearly a frame, and by two. A sink that
/// leaves out what ended 5 ms ago shows nearly all: the latency counts by how much the cameras are late, and frames that are
/// bypassed take next to no time.
#[test]
fn frames_of_cameras_that_are_late_are_shown_where_the_network_takes_too_long() {
    let frame = gst::ClockTime::from_mseconds(200);
    for (delay, size, deadline) in [(190, (160, 120), None), (450, (64, 48), Some(frame))] {
        let (shown, bypassed) = late::play(late::Cameras {
            size,
            interval: frame,
            delay: gst::ClockTime::from_mseconds(delay),
            frames: 50,
            deadline,
        });
        assert!(
            shown >= 46,
            "{delay} ms late: {shown} of 50 shown, {bypassed} bypassed"
        );
    }
}
