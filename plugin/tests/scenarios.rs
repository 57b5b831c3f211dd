//! Whole plays of a pipeline under watch: seeks, rates, pauses, stops, new caps; and that they leave nothing behind.

mod common;
#[path = "common/monitor.rs"]
mod monitor;

use common::*;
use gst::{ClockTime, prelude::*};
use monitor::Monitor;
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// A pipeline of two recordings of so many frames, all its pads watched; the last count is that of
/// the frames shown.
fn player(folder: &Path, moments: usize, monitor: &Monitor) -> (Pipeline, impl Fn() -> usize) {
    let (w, h) = SIZE;
    let mut branches = String::new();
    for (camera, pad) in [(ULTRAWIDE, "ultrawide"), (WIDE, "wide")] {
        let path = folder.join(pad);
        let clip: Vec<u8> = (0..moments).flat_map(|n| picture(camera, n)).collect();
        std::fs::write(&path, clip).unwrap();
        let path = path.to_str().unwrap();
        branches += &format!(
            " filesrc location={path} ! rawvideoparse format=rgb width={w} height={h} framerate=25/1 \
             ! queue ! r.{pad}"
        );
    }
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu lookahead=1 model-file={} ! queue ! fakesink name=s sync=false {branches}",
        model()
    ));
    let count = watch(&pipeline, monitor);
    (pipeline, count)
}

fn watch(pipeline: &gst::Pipeline, monitor: &Monitor) -> impl Fn() -> usize + use<> {
    let pad = |element: &str, pad: &str| {
        let element = pipeline.by_name(element).unwrap();
        element.static_pad(pad).unwrap()
    };
    for name in ["ultrawide", "wide", "src"] {
        let _ = monitor.watch(&pad("r", name));
    }
    monitor.watch(&pad("s", "sink"))
}

#[track_caller]
fn settle(pipeline: &gst::Pipeline, state: gst::State) {
    pipeline.set_state(state).unwrap();
    let (result, reached, _) = pipeline.state(PATIENCE);
    assert_eq!((result.is_ok(), reached), (true, state));
}

#[track_caller]
fn play_to_end(pipeline: &gst::Pipeline) {
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let last = wait_for(&bus, &[gst::MessageType::Eos, gst::MessageType::Error]);
    assert_eq!(last.type_(), gst::MessageType::Eos, "{last:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn seeks() {
    let folder = tempfile::tempdir().unwrap();
    let monitor = Monitor::default();
    let (pipeline, _) = player(folder.path(), 30, &monitor);
    settle(&pipeline, gst::State::Paused);
    for (n, state) in [
        (20, gst::State::Paused),
        (3, gst::State::Playing),
        (25, gst::State::Paused),
        (7, gst::State::Paused),
    ] {
        monitor.seek(&pipeline, 1.0, FRAME * n);
        settle(&pipeline, state);
        if state == gst::State::Paused {
            let here = pipeline.query_position::<ClockTime>();
            assert_eq!(here, Some(FRAME * n), "position after a seek");
        }
    }
    play_to_end(&pipeline);
    monitor.assert_well();
}

#[test]
fn fifty_seeks_of_live_cameras() {
    let monitor = Monitor::default();
    let source =
        "videotestsrc is-live=true ! video/x-raw,format=RGB,width=16,height=12,framerate=50/1";
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu lookahead=1 model-file={} ! queue ! fakesink name=s \
         {source} ! queue ! r.ultrawide {source} ! queue ! r.wide",
        model()
    ));
    let shown = watch(&pipeline, &monitor);
    pipeline.set_state(gst::State::Playing).unwrap();
    for n in 0..50_u64 {
        std::thread::sleep(Duration::from_millis(n * 7 % 60));
        let before = Instant::now();
        monitor.seek(&pipeline, 1.0, FRAME * (n % 9));
        assert!(before.elapsed() < Duration::from(PATIENCE));
    }
    let before = shown();
    eventually("frames after the seeks", || shown() > before + 10);
    pipeline.set_state(gst::State::Null).unwrap();
    monitor.assert_well();
}

#[test]
fn a_seek_that_comes_from_two_sinks_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let monitor = Monitor::default();
    let (pipeline, shown) = player(folder.path(), 30, &monitor);
    let element = pipeline.by_name("r").unwrap();
    let second = gst::parse::bin_from_description("queue ! fakesink sync=false", true).unwrap();
    pipeline.add(&second).unwrap();
    element
        .link_pads(Some("confidence"), &second, Some("sink"))
        .unwrap();
    let maps = monitor.watch(&element.static_pad("confidence").unwrap());
    settle(&pipeline, gst::State::Paused);
    for n in [20, 3, 11, 4] {
        monitor.seek(&pipeline, 1.0, FRAME * n);
        settle(&pipeline, gst::State::Paused);
    }
    let before = (shown(), maps());
    play_to_end(&pipeline);
    monitor.assert_well();
    let (frames, maps) = (shown() - before.0, maps() - before.1);
    assert!(
        frames >= 25 && maps >= 20,
        "{frames} frames and {maps} maps to the end"
    );
}

#[test]
fn a_stream_that_cannot_seek_goes_on_after_a_seek() {
    let source = |pad: &str| {
        format!(
            "appsrc name={pad} format=time caps=video/x-raw,format=RGB,width=16,height=12,framerate=25/1 ! r.{pad}"
        )
    };
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu lookahead=0 model-file={} ! queue ! fakesink name=s sync=false async=false {} {}",
        model(),
        source("ultrawide"),
        source("wide"),
    ));
    let monitor = Monitor::default();
    let shown = watch(&pipeline, &monitor);
    let push = |n: usize| {
        for (camera, name) in [(ULTRAWIDE, "ultrawide"), (WIDE, "wide")] {
            let source = pipeline.by_name(name).unwrap();
            let source = source.downcast::<gst_app::AppSrc>().unwrap();
            source.push_buffer(frame(camera, n)).unwrap();
        }
    };
    pipeline.set_state(gst::State::Playing).unwrap();
    push(0);
    eventually("the first frame", || shown() == 1);
    assert!(
        pipeline
            .seek_simple(gst::SeekFlags::FLUSH, ClockTime::ZERO)
            .is_err()
    );
    push(1);
    eventually("the second frame", || shown() == 2);
    pipeline.set_state(gst::State::Null).unwrap();
    monitor.assert_well();
}

#[test]
fn rates() {
    let folder = tempfile::tempdir().unwrap();
    for rate in [0.25, 0.5, 2.0, 4.0] {
        let monitor = Monitor::default();
        let (pipeline, shown) = player(folder.path(), 30, &monitor);
        settle(&pipeline, gst::State::Paused);
        let before = shown();
        monitor.seek(&pipeline, rate, ClockTime::ZERO);
        settle(&pipeline, gst::State::Paused);
        let prerolled = shown() - before;
        let element = pipeline.by_name("r").unwrap();
        let missing = stat(&element, "missing-references");
        play_to_end(&pipeline);
        monitor.assert_well();
        assert_eq!(
            shown() - before,
            30,
            "{prerolled} of them at rate {rate} in the pause"
        );
        assert_eq!(missing, 0, "rate {rate}");
    }
}

#[test]
fn pauses() {
    let folder = tempfile::tempdir().unwrap();
    let monitor = Monitor::default();
    let (pipeline, shown) = player(folder.path(), 40, &monitor);
    for _ in 0..8 {
        settle(&pipeline, gst::State::Playing);
        settle(&pipeline, gst::State::Paused);
    }
    play_to_end(&pipeline);
    monitor.assert_well();
    assert_eq!(shown(), 40);
}

#[test]
fn twenty_plays_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    // Each start is a new stream, which a monitor knows nothing of.
    let (pipeline, _) = player(folder.path(), 20, &Monitor::default());
    for n in 0..20_u64 {
        pipeline.set_state(gst::State::Playing).unwrap();
        std::thread::sleep(Duration::from_millis(n * 13 % 90));
        pipeline.set_state(gst::State::Null).unwrap();
    }
    drop(pipeline);
    let monitor = Monitor::default();
    let (pipeline, shown) = player(folder.path(), 20, &monitor);
    play_to_end(&pipeline);
    monitor.assert_well();
    assert_eq!(shown(), 20);
}

#[test]
fn new_caps() {
    let monitor = Monitor::default();
    let source = |pad: &str| {
        format!(
            "videotestsrc ! capsfilter name={pad}-caps caps=video/x-raw,format=RGB,width=16,height=12,framerate=25/1 ! r.{pad}"
        )
    };
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu lookahead=1 model-file={} ! queue ! fakesink name=s sync=false {} {}",
        model(),
        source("ultrawide"),
        source("wide"),
    ));
    let shown = watch(&pipeline, &monitor);
    pipeline.set_state(gst::State::Playing).unwrap();
    let sink = pipeline.by_name("s").unwrap().static_pad("sink").unwrap();
    for (camera, width, height) in [
        ("ultrawide", 20, 16),
        ("wide", 24, 12),
        ("ultrawide", 12, 16),
    ] {
        let before = shown();
        eventually("some frames", || shown() > before + 5);
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "RGB")
            .field("width", width)
            .field("height", height)
            .field("framerate", gst::Fraction::new(25, 1))
            .build();
        let filter = pipeline.by_name(&format!("{camera}-caps")).unwrap();
        filter.set_property("caps", &caps);
        if camera == "ultrawide" {
            eventually("frames of the new size", || {
                let caps = sink.current_caps().unwrap();
                let caps = caps.structure(0).unwrap();
                caps.get("width") == Ok(4 * width) && caps.get("height") == Ok(4 * height)
            });
        }
    }
    pipeline.send_event(gst::event::Eos::new());
    let element = pipeline.by_name("r").unwrap();
    let bus = pipeline.bus().unwrap();
    let last = wait_for(&bus, &[gst::MessageType::Eos, gst::MessageType::Error]);
    assert_eq!(last.type_(), gst::MessageType::Eos, "{last:?}");
    assert_eq!(stat(&element, "frames-in"), shown() as u64);
    pipeline.set_state(gst::State::Null).unwrap();
    monitor.assert_well();
}

#[test]
#[ignore = "run under the leaks tracer by `they_leave_nothing_behind`"]
fn everything() {
    seeks();
    fifty_seeks_of_live_cameras();
    rates();
    pauses();
    twenty_plays_and_stops();
    new_caps();
    // SAFETY: nothing of GStreamer is used after this, and this test runs alone in its process.
    unsafe { gst::deinit() };
}

#[test]
fn they_leave_nothing_behind() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "everything", "--nocapture"])
        .envs(LEAKS_TRACER)
        .output()
        .unwrap();
    let (said, log) = (text(&output.stdout), text(&output.stderr));
    assert!(said.contains("1 passed"), "{said}{log}");
    assert_eq!(leaks(&log), Vec::<&str>::new());
}
