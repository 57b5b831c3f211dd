//! Where a clip ends and the next begins: flushes, seeks, new caps, states.

mod common;
use common::*;
use gst::prelude::*;
use std::time::{Duration, Instant};

fn push_together(rig: &mut Rig, range: std::ops::Range<usize>) {
    let Rig {
        ultrawide, wide, ..
    } = rig;
    for n in range {
        ultrawide.push(frame(ULTRAWIDE, n)).unwrap();
        wide.as_mut().unwrap().push(frame(WIDE, n)).unwrap();
    }
}

fn end(rig: &mut Rig) {
    rig.wide().push_event(gst::event::Eos::new());
    rig.ultrawide.push_event(gst::event::Eos::new());
}

/// Flushes both pads as a seek does, and sends a new segment.
fn flush(rig: &mut Rig) {
    let seqnum = gst::Seqnum::next();
    let start = gst::event::FlushStart::builder().seqnum(seqnum).build();
    let stop = gst::event::FlushStop::builder(true).seqnum(seqnum).build();
    let segment = gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new());
    for event in [start, stop, segment] {
        rig.ultrawide.push_event(event.clone());
        if let Some(wide) = &mut rig.wide {
            wide.push_event(event);
        }
    }
}

#[test]
fn a_flush_forgets_everything() {
    let mut rig = Rig::new(element());
    push_together(&mut rig, 5..9);
    eventually("the frames before the flush", || rig.stat("frames-in") == 4);
    flush(&mut rig);
    while rig.ultrawide.try_pull().is_some() {}
    push_together(&mut rig, 0..4);
    end(&mut rig);
    let out = rig.until_eos();
    assert_times(&out, 0);
    assert_pictures(&out, &expected(&together(0..4), 1));
}

#[test]
fn a_flush_in_the_middle_of_the_work_does_no_harm() {
    for wait in [0, 5, 20, 60] {
        let mut rig = Rig::new(with_lookahead(3));
        push_together(&mut rig, 0..4);
        std::thread::sleep(Duration::from_millis(wait));
        flush(&mut rig);
        while rig.ultrawide.try_pull().is_some() {}
        push_together(&mut rig, 0..4);
        end(&mut rig);
        assert_pictures(&rig.until_eos(), &expected(&together(0..4), 3));
    }
}

#[test]
fn a_flush_with_an_unlinked_pad_comes_through() {
    let mut rig = Rig::without_wide(element());
    let _wide = rig.element.request_pad_simple("wide").unwrap();
    for n in 0..2 {
        rig.ultrawide.push(frame(ULTRAWIDE, n)).unwrap();
    }
    eventually("the first frames without a wide camera", || {
        rig.stat("frames-in") == 2
    });
    flush(&mut rig);
    while rig.ultrawide.try_pull().is_some() {}
    for n in 0..3 {
        rig.ultrawide.push(frame(ULTRAWIDE, n)).unwrap();
    }
    rig.ultrawide.push_event(gst::event::Eos::new());
    let moments: Vec<Moment> = (0..3)
        .map(|n| (picture(ULTRAWIDE, n), None, None))
        .collect();
    assert_pictures(&rig.until_eos(), &expected(&moments, 1));
}

#[test]
fn a_flush_of_the_ultrawide_pad_alone_starts_a_new_clip() {
    let mut rig = Rig::new(element());
    push_together(&mut rig, 0..3);
    eventually("the frames before the flush", || rig.stat("frames-in") == 3);
    rig.ultrawide.push_event(gst::event::FlushStart::new());
    rig.ultrawide.push_event(gst::event::FlushStop::new(true));
    rig.ultrawide
        .push_event(gst::event::Segment::new(&gst::FormattedSegment::<
            gst::ClockTime,
        >::new()));
    while rig.ultrawide.try_pull().is_some() {}
    push_together(&mut rig, 3..6);
    end(&mut rig);
    let out = rig.until_eos();
    assert_times(&out, 3);
    assert_pictures(&out, &expected(&together(3..6), 1));
}

/// The three events of one pad's flush.
fn flush_pad(h: &mut gst_check::Harness, seqnum: gst::Seqnum) {
    h.push_event(gst::event::FlushStart::builder().seqnum(seqnum).build());
    h.push_event(gst::event::FlushStop::builder(true).seqnum(seqnum).build());
    h.push_event(gst::event::Segment::new(&gst::FormattedSegment::<
        gst::ClockTime,
    >::new()));
}

#[test]
fn a_flush_that_comes_pad_after_pad_loses_nothing() {
    for wide_first in [false, true] {
        let mut rig = Rig::new(element());
        push_together(&mut rig, 5..8);
        eventually("the frames before the flush", || rig.stat("frames-in") == 3);
        // Frames from before wait on both pads, and belong to nothing that comes after.
        rig.ultrawide.push(frame(ULTRAWIDE, 8)).unwrap();
        rig.wide().push(frame(WIDE, 30)).unwrap();
        let seqnum = gst::Seqnum::next();
        let Rig {
            ultrawide, wide, ..
        } = &mut rig;
        let wide = wide.as_mut().unwrap();
        let mut pads = [(ULTRAWIDE, ultrawide), (WIDE, wide)];
        if wide_first {
            pads.reverse();
        }
        for (camera, pad) in &mut pads {
            flush_pad(pad, seqnum);
            pad.push(frame(*camera, 0)).unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
        while rig.ultrawide.try_pull().is_some() {}
        push_together(&mut rig, 1..4);
        end(&mut rig);
        let mut out = rig.until_eos();
        // One from before may have been on its way out when the flush came, since a flush without a
        // seek is not for what is downstream.
        if out[0].pts() >= Some(FRAME * 5) {
            out.remove(0);
        }
        assert_times(&out, 0);
        assert_pictures(&out, &expected(&together(0..4), 1));
    }
}

#[test]
fn a_flush_of_the_wide_pad_alone_forgets_its_frames() {
    let mut rig = Rig::new(element());
    push_together(&mut rig, 0..2);
    rig.wide().push(frame(WIDE, 30)).unwrap();
    rig.ultrawide.push(frame(ULTRAWIDE, 2)).unwrap();
    eventually("the frames before the flush", || rig.stat("frames-in") == 3);
    flush_pad(rig.wide(), gst::Seqnum::next());
    push_together(&mut rig, 3..5);
    end(&mut rig);
    let used = [0, 1, 1, 3, 4];
    let moments: Vec<Moment> = used
        .iter()
        .enumerate()
        .map(|(n, &w)| (picture(ULTRAWIDE, n), Some(picture(WIDE, w)), None))
        .collect();
    assert_pictures(&rig.until_eos(), &expected(&moments, 1));
}

#[test]
fn pads_may_come_and_go_while_a_flush_is_under_way() {
    for (step, name) in [0, 1, 2]
        .into_iter()
        .flat_map(|step| [(step, "requested"), (step, "released"), (step, "unlinked")])
    {
        let mut rig = Rig::new(element());
        push_together(&mut rig, 5..8);
        eventually("the frames before the flush", || rig.stat("frames-in") == 3);
        let mut tele = None;
        if name != "requested" {
            rig.link_tele();
            tele = rig.element.static_pad("tele");
        }
        let seqnum = gst::Seqnum::next();
        let start = gst::event::FlushStart::builder().seqnum(seqnum).build();
        let stop = gst::event::FlushStop::builder(true).seqnum(seqnum).build();
        let segment = gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new());
        for (n, event) in [start, stop, segment].into_iter().enumerate() {
            rig.ultrawide.push_event(event.clone());
            // The tele camera sees the flush as far as until it is unlinked or released.
            if let Some(tele) = tele.as_ref().filter(|_| n <= step && n < 2) {
                tele.peer().map(|peer| peer.push_event(event.clone()));
            }
            if n == step {
                match name {
                    "requested" => tele = rig.element.request_pad_simple("tele"),
                    "unlinked" => {
                        let tele = tele.take().unwrap();
                        tele.peer().unwrap().unlink(&tele).unwrap();
                    }
                    _ => rig.element.release_request_pad(&tele.take().unwrap()),
                }
            }
            rig.wide().push_event(event);
        }
        while rig.ultrawide.try_pull().is_some() {}
        push_together(&mut rig, 0..4);
        end(&mut rig);
        let out = rig.until_eos();
        assert_pictures(&out, &expected(&together(0..4), 1));
    }
}

/// Two rawvideoparse branches, which can seek.
fn files(folder: &std::path::Path, frames: usize) -> String {
    let (w, h) = SIZE;
    let mut out = String::new();
    for (camera, pad) in [(ULTRAWIDE, "ultrawide"), (WIDE, "wide")] {
        let path = folder.join(pad);
        std::fs::write(
            &path,
            (0..frames)
                .flat_map(|n| picture(camera, n))
                .collect::<Vec<_>>(),
        )
        .unwrap();
        out += &format!(
            " filesrc location={} ! rawvideoparse format=rgb width={w} height={h} framerate=25/1 ! r.{pad}",
            path.to_str().unwrap()
        );
    }
    out
}

#[test]
fn a_seek_gives_the_frames_of_a_fresh_run() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu lookahead=1 model-file={} ! appsink name=s sync=false async=false {}",
        model(),
        files(folder.path(), 8)
    ));
    let sink = pipeline
        .by_name("s")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let first = pull_all(&sink);
    assert_pictures(&first, &expected(&together(0..8), 1));
    for start in [0, 5, 2] {
        pipeline
            .seek_simple(
                gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE,
                FRAME * start as u64,
            )
            .unwrap();
        let out = pull_all(&sink);
        assert_times(&out, start);
        assert_pictures(&out, &expected(&together(start..8), 1));
    }
    // And one while frames are on their way.
    pipeline
        .seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::ZERO)
        .unwrap();
    sink.pull_sample().unwrap();
    pipeline
        .seek_simple(gst::SeekFlags::FLUSH, FRAME * 4)
        .unwrap();
    assert_pictures(&pull_all(&sink), &expected(&together(4..8), 1));
    let whole = expected(&together(0..8), 1);
    for wait in [0, 1, 2, 5, 10, 20, 40] {
        pipeline
            .seek_simple(gst::SeekFlags::FLUSH, FRAME * 5)
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        pipeline
            .seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::ZERO)
            .unwrap();
        assert_pictures(&pull_all(&sink), &whole);
    }
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn new_ultrawide_caps_start_a_new_clip() {
    const OTHER: (usize, usize) = (20, 16);
    let mut rig = Rig::new(with_lookahead(3));
    let feed = |h: &mut gst_check::Harness, camera: u64| {
        for n in 0..4 {
            h.push(frame(camera, n)).unwrap();
        }
        h.set_src_caps(caps_of(OTHER, FRAME));
        for n in 4..7 {
            h.push(buffer(
                picture_of(camera, n, OTHER),
                FRAME * n as u64,
                FRAME,
            ))
            .unwrap();
        }
        h.push_event(gst::event::Eos::new());
    };
    let Rig {
        ultrawide, wide, ..
    } = &mut rig;
    std::thread::scope(|scope| {
        scope.spawn(|| feed(ultrawide, ULTRAWIDE));
        scope.spawn(|| feed(wide.as_mut().unwrap(), WIDE));
    });
    let out = rig.until_eos();
    assert_times(&out, 0);
    let other: Vec<Moment> = (4..7)
        .map(|n| {
            (
                picture_of(ULTRAWIDE, n, OTHER),
                Some(picture_of(WIDE, n, OTHER)),
                None,
            )
        })
        .collect();
    assert_pictures(
        &out,
        &[expected(&together(0..4), 3), expected_of(&other, 3, OTHER)].concat(),
    );
    let widths: Vec<i32> = std::iter::from_fn(|| rig.ultrawide.try_pull_event())
        .filter_map(|event| match event.view() {
            gst::EventView::Caps(caps) => caps.caps().structure(0).unwrap().get("width").ok(),
            _ => None,
        })
        .collect();
    assert_eq!(widths, [64, 80]);
}

#[test]
fn wide_caps_change_in_mid_stream() {
    // The same picture stored another way must give the same result, from the very frame on.
    let mut rig = Rig::new(element());
    let Rig {
        ultrawide, wide, ..
    } = &mut rig;
    let wide = wide.as_mut().unwrap();
    for n in 0..6 {
        if n == 3 {
            let (w, h) = SIZE;
            let caps = gst_video::VideoCapsBuilder::new()
                .format(gst_video::VideoFormat::Bgrx)
                .width(w as i32)
                .height(h as i32)
                .framerate(gst::Fraction::new(25, 1))
                .build();
            wide.set_src_caps(caps);
        }
        let rgb = picture(WIDE, n);
        let data = if n < 3 {
            rgb
        } else {
            rgb.chunks(3).flat_map(|p| [p[2], p[1], p[0], 0]).collect()
        };
        wide.push(buffer(data, FRAME * n as u64, FRAME)).unwrap();
        ultrawide.push(frame(ULTRAWIDE, n)).unwrap();
    }
    end(&mut rig);
    let out = rig.until_eos();
    assert_times(&out, 0);
    assert_pictures(&out, &expected(&together(0..6), 1));
}

#[test]
fn a_new_segment_starts_a_new_clip() {
    let mut rig = Rig::new(element());
    push_together(&mut rig, 0..3);
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_base(FRAME * 3);
    rig.ultrawide.push_event(gst::event::Segment::new(&segment));
    rig.wide().push_event(gst::event::Segment::new(&segment));
    push_together(&mut rig, 0..3);
    end(&mut rig);
    let out = rig.until_eos();
    let twice = [expected(&together(0..3), 1), expected(&together(0..3), 1)].concat();
    assert_pictures(&out, &twice);
}

#[test]
fn it_plays_twice_and_cycles_through_its_states() {
    let (w, h) = SIZE;
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu lookahead=1 model-file={} ! video/x-raw,format=RGB ! fakesink name=s \
         videotestsrc num-buffers=4 pattern=ball ! video/x-raw,format=RGB,width={w},height={h},framerate=25/1 ! r.ultrawide \
         videotestsrc num-buffers=4 pattern=circular ! video/x-raw,format=RGB,width={w},height={h},framerate=25/1 ! r.wide",
        model()
    ));
    let (sender, receiver) = std::sync::mpsc::channel();
    let sink = pipeline.by_name("s").unwrap().static_pad("sink").unwrap();
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        sender
            .send(bytes(&info.buffer().unwrap().to_owned()))
            .unwrap();
        gst::PadProbeReturn::Ok
    });
    let bus = pipeline.bus().unwrap();
    let mut runs = vec![];
    for state in [gst::State::Ready, gst::State::Null, gst::State::Ready] {
        pipeline.set_state(gst::State::Playing).unwrap();
        wait_for(&bus, &[gst::MessageType::Eos]);
        pipeline.set_state(state).unwrap();
        runs.push(receiver.try_iter().collect::<Vec<_>>());
    }
    assert_eq!(runs[0].len(), 4);
    assert!(runs.iter().all(|run| *run == runs[0]));
    for state in [
        gst::State::Paused,
        gst::State::Ready,
        gst::State::Paused,
        gst::State::Playing,
        gst::State::Paused,
        gst::State::Null,
    ] {
        pipeline.set_state(state).unwrap();
    }
    assert_eq!(pipeline.state(PATIENCE).1, gst::State::Null);
}

#[test]
fn it_stops_in_the_middle_of_the_work() {
    // Without a limit to the video: the network is always at work.
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu lookahead=3 model-file={} ! fakesink \
         videotestsrc ! video/x-raw,format=RGB,width=64,height=48 ! r.ultrawide \
         videotestsrc ! video/x-raw,format=RGB,width=64,height=48 ! r.wide",
        model()
    ));
    let element = pipeline.by_name("r").unwrap();
    for frames in [1, 3, 5] {
        pipeline.set_state(gst::State::Playing).unwrap();
        eventually("work", || stat(&element, "frames-in") >= frames);
        let before = Instant::now();
        pipeline.set_state(gst::State::Null).unwrap();
        assert!(
            before.elapsed() < Duration::from(PATIENCE),
            "stopping took {:?}",
            before.elapsed()
        );
    }
}

#[test]
fn two_elements_work_side_by_side() {
    let mut rigs = [Rig::new(element()), Rig::new(with_lookahead(3))];
    std::thread::scope(|scope| {
        for (rig, look_ahead) in rigs.iter_mut().zip([1, 3]) {
            scope.spawn(move || {
                let out = rig.run(frames(ULTRAWIDE, 0..6), frames(WIDE, 0..6), vec![]);
                assert_pictures(&out, &expected(&together(0..6), look_ahead));
            });
        }
    });
}
