//! Stops and seeks in the middle of the work, and who may ask what when.

mod common;
use common::*;
use gst::prelude::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// The larger bundled model, on pictures of which a CPU works at each for minutes.
#[test]
fn a_stop_does_not_wait_for_the_frame_in_work() {
    let source = "videotestsrc ! video/x-raw,format=RGB,width=1280,height=720,framerate=25/1";
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu model=quality lookahead=3 ! fakesink {source} ! r.ultrawide {source} ! r.wide"
    ));
    pipeline.set_state(gst::State::Playing).unwrap();
    let element = pipeline.by_name("r").unwrap();
    eventually("a frame in work", || stat(&element, "frames-in") >= 1);
    let before = Instant::now();
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(
        before.elapsed() < Duration::from(PATIENCE),
        "{:?}",
        before.elapsed()
    );
}

#[test]
fn a_seek_does_not_wait_for_the_frame_in_work() {
    let source = "videotestsrc ! video/x-raw,format=RGB,width=1280,height=720,framerate=25/1";
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu model=quality lookahead=0 ! fakesink {source} ! r.ultrawide {source} ! r.wide"
    ));
    pipeline.set_state(gst::State::Playing).unwrap();
    let element = pipeline.by_name("r").unwrap();
    eventually("a frame in work", || stat(&element, "frames-in") >= 1);
    let before = Instant::now();
    let flags = gst::SeekFlags::FLUSH;
    pipeline.seek_simple(flags, gst::ClockTime::SECOND).unwrap();
    let took = before.elapsed();
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(took < Duration::from(PATIENCE), "{took:?}");
}

#[test]
fn a_seek_does_not_wait_for_the_frame_in_work_and_work_goes_on_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let (w, h) = SIZE;
    let mut branches = String::new();
    for (camera, pad) in [(ULTRAWIDE, "ultrawide"), (WIDE, "wide")] {
        let path = folder.path().join(pad);
        let clip: Vec<u8> = (0..12).flat_map(|n| picture(camera, n)).collect();
        std::fs::write(&path, clip).unwrap();
        branches += &format!(
            " filesrc location={} ! rawvideoparse format=rgb width={w} height={h} framerate=25/1 ! r.{pad}",
            path.to_str().unwrap()
        );
    }
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu model=quality lookahead=1 model-file={} ! appsink name=s sync=false {branches}",
        model()
    ));
    let sink = pipeline.by_name("s").unwrap();
    let sink = sink.downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for n in 0..50_usize {
        std::thread::sleep(Duration::from_millis(n as u64 * 7 % 40));
        pipeline
            .seek_simple(gst::SeekFlags::FLUSH, FRAME * (n % 8) as u64)
            .unwrap();
    }
    pipeline
        .seek_simple(gst::SeekFlags::FLUSH, FRAME * 4)
        .unwrap();
    let out: Vec<_> = std::iter::from_fn(|| sink.pull_sample().ok())
        .map(|sample| sample.buffer_owned().unwrap())
        .collect();
    assert_times(&out, 4);
    assert_pictures(&out, &expected(&together(4..12), 1));
    pipeline.set_state(gst::State::Null).unwrap();
}

/// A frame's memory that asks the element for its statistics when it is let go of.
struct Asking {
    data: Vec<u8>,
    element: gst::Element,
    freed: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Asking {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        stat(&self.element, "frames-in");
        self.freed.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn whoever_lets_go_of_a_buffer_may_ask_the_element() {
    let freed = Arc::new(AtomicUsize::new(0));
    let element = with_lookahead(3);
    let asking = |camera, n| {
        let mut buffer = gst::Buffer::from_slice(Asking {
            data: picture(camera, n),
            element: element.clone(),
            freed: freed.clone(),
        });
        let b = buffer.get_mut().unwrap();
        b.set_pts(FRAME * n as u64);
        b.set_duration(FRAME);
        buffer
    };
    let mut rig = Rig::new(element.clone());
    for n in 0..5 {
        rig.ultrawide.push(asking(ULTRAWIDE, n)).unwrap();
        rig.wide().push(asking(WIDE, n)).unwrap();
    }
    eventually("frames in", || rig.stat("frames-in") == 5);
    let seqnum = gst::Seqnum::next();
    for event in [
        gst::event::FlushStart::builder().seqnum(seqnum).build(),
        gst::event::FlushStop::builder(true).seqnum(seqnum).build(),
    ] {
        rig.ultrawide.push_event(event.clone());
        rig.wide().push_event(event);
    }
    eventually("all frames are let go of", || {
        freed.load(Ordering::SeqCst) == 10
    });
    drop(rig);
}

#[test]
fn it_plays_and_stops_twenty_times() {
    let folder = tempfile::tempdir().unwrap();
    let source = "videotestsrc ! video/x-raw,format=RGB,width=16,height=12,framerate=25/1";
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu model=quality lookahead=1 model-file={} ! fakesink {source} ! r.ultrawide {source} ! r.wide",
        tiny_model(folder.path())
    ));
    let element = pipeline.by_name("r").unwrap();
    for n in 0..20 {
        pipeline.set_state(gst::State::Playing).unwrap();
        eventually("frames", || stat(&element, "frames-out") > n % 3);
        pipeline.set_state(gst::State::Null).unwrap();
    }
}
