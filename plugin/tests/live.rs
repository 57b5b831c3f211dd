//! Live streams: what is waited for, and what is shown.

mod common;
use common::*;
use gst::prelude::*;
use gst_check::Harness;

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

    fn clock(&self) -> gst_check::TestClock {
        self.element.clock().and_downcast().unwrap()
    }
}

#[test]
fn live_streams_go_on_without_what_is_late() {
    // The harness's clock stands still until it is cranked: time is up when the test says so.
    let element = with_lookahead(0);
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
        let mut live = Live::new(with_lookahead(look_ahead));
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
