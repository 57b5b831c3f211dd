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
    // The sink changes no state at a flush: GStreamer's bins lose such changes where seeks follow each other at once.
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu model=quality lookahead=1 model-file={} ! appsink name=s sync=false async=false {branches}",
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
    let out = pull_all(&sink);
    assert_times(&out, 4);
    assert_pictures(&out, &expected(&together(4..12), 1));
    let errors = pipeline.bus().unwrap();
    let error = errors.pop_filtered(&[gst::MessageType::Error]);
    assert!(error.is_none(), "{error:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

/// Two sources that push what they are told to, the wide one through an identity.
fn pushed(lookahead: usize) -> (Pipeline, [gst_app::AppSrc; 2]) {
    let pipeline = parse(&format!(
        "appsrc name=u format=time ! r.ultrawide appsrc name=w format=time ! identity name=i ! r.wide \
         refvsr name=r lookahead={lookahead} device=cpu model-file={} ! fakesink sync=false async=false",
        model()
    ));
    let sources = ["u", "w"].map(|name| {
        let source = pipeline.by_name(name).unwrap();
        source.downcast::<gst_app::AppSrc>().unwrap()
    });
    for source in &sources {
        source.set_caps(Some(&caps()));
    }
    (pipeline, sources)
}

/// Does it on a thread of its own, which must be done within the tests' patience.
#[track_caller]
fn without_hanging(what: &str, act: impl FnOnce() + Send + 'static) {
    let (sender, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        act();
        sender.send(()).unwrap();
    });
    let done = done.recv_timeout(Duration::from(PATIENCE));
    assert!(done.is_ok(), "{what} hangs");
}

/// The wide camera's frames are far ahead, so that its thread waits in the element.
#[test]
fn pads_of_a_blocked_camera_come_and_go_and_the_element_stops() {
    for relinked in [false, true] {
        let (pipeline, [ultrawide, wide]) = pushed(0);
        let element = pipeline.by_name("r").unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        ultrawide.push_buffer(frame(ULTRAWIDE, 0)).unwrap();
        for n in 0..6 {
            wide.push_buffer(frame(WIDE, n)).unwrap();
        }
        eventually("the first frame", || stat(&element, "frames-out") == 1);
        // A thread of the source's waits for room: it takes no more of what is queued.
        eventually("the wide camera waits", || {
            let queued = wide.current_level_buffers();
            std::thread::sleep(Duration::from_millis(50));
            (1..6).contains(&queued) && queued == wide.current_level_buffers()
        });
        let source = pipeline.by_name("i").unwrap().static_pad("src").unwrap();
        without_hanging("unlinking", move || {
            let pad = source.peer().unwrap();
            source.unlink(&pad).unwrap();
            if relinked {
                source.link(&pad).unwrap();
                source.unlink(&pad).unwrap();
            }
            // After the time in which pads used to be given up.
            std::thread::sleep(Duration::from_millis(1500));
            if relinked {
                element.release_request_pad(&pad);
            }
        });
        without_hanging("stopping", move || {
            pipeline.set_state(gst::State::Null).unwrap();
        });
    }
}

#[test]
fn the_end_of_the_ultrawide_camera_alone_ends_the_pipeline() {
    let (pipeline, [ultrawide, wide]) = pushed(3);
    let element = pipeline.by_name("r").unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for n in 0..6 {
        ultrawide.push_buffer(frame(ULTRAWIDE, n)).unwrap();
        wide.push_buffer(frame(WIDE, n)).unwrap();
    }
    ultrawide.end_of_stream().unwrap();
    let bus = pipeline.bus().unwrap();
    let last = wait_for(&bus, &[gst::MessageType::Eos, gst::MessageType::Error]);
    assert_eq!(last.type_(), gst::MessageType::Eos, "{last:?}");
    assert_eq!(stat(&element, "frames-out"), 6);
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
