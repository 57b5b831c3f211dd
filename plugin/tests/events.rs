//! What comes with the streams: tags, custom events, stream starts, gaps, caps and rates.

mod common;
use common::*;
use gst::prelude::*;
use std::sync::{Arc, Mutex};

/// What came out, in order.
#[derive(Debug, Clone)]
enum Item {
    Event(gst::Event),
    Frame(gst::Buffer),
}

/// Notes all that comes out of an element.
fn record(element: &gst::Element) -> Arc<Mutex<Vec<Item>>> {
    let items = Arc::new(Mutex::new(vec![]));
    let noted = items.clone();
    let kinds = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER;
    let source = element.static_pad("src").unwrap();
    source.add_probe(kinds, move |_, info| {
        let item = match &info.data {
            Some(gst::PadProbeData::Event(event)) => Item::Event(event.clone()),
            Some(gst::PadProbeData::Buffer(buffer)) => Item::Frame(buffer.clone()),
            _ => return gst::PadProbeReturn::Ok,
        };
        noted.lock().unwrap().push(item);
        gst::PadProbeReturn::Ok
    });
    items
}

/// A line for each item: an event's type, or a frame's number.
fn lines(items: &[Item]) -> Vec<String> {
    let line = |item: &Item| match item {
        Item::Event(event) => event.type_().to_string(),
        Item::Frame(buffer) => (buffer.pts().unwrap() / FRAME.nseconds())
            .nseconds()
            .to_string(),
    };
    items.iter().map(line).collect()
}

fn custom(name: &str) -> gst::Event {
    gst::event::CustomDownstream::new(gst::Structure::new_empty(name))
}

/// The wide frame first: an ultra-wide one behind a gap is let in when the gap is taken, and that waits for
/// something on the wide pad.
fn push_together(rig: &mut Rig, range: std::ops::Range<usize>) {
    for n in range {
        rig.wide().push(frame(WIDE, n)).unwrap();
        rig.ultrawide.push(frame(ULTRAWIDE, n)).unwrap();
    }
}

fn end(rig: &mut Rig) {
    rig.wide().push_event(gst::event::Eos::new());
    rig.ultrawide.push_event(gst::event::Eos::new());
}

#[test]
fn stream_tags_toc_and_group_come_out_before_the_first_frame() {
    let element = element();
    let mut rig = Rig::new(element.clone());
    let items = record(&element);
    let group = gst::GroupId::next();
    for (pad, id) in [
        (&mut rig.ultrawide, "phone/1"),
        (rig.wide.as_mut().unwrap(), "phone/2"),
    ] {
        pad.push_event(gst::event::StreamStart::builder(id).group_id(group).build());
        pad.set_src_caps(caps());
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        pad.push_event(gst::event::Segment::new(&segment));
    }
    let mut tags = gst::TagList::new();
    tags.get_mut()
        .unwrap()
        .add::<gst::tags::ImageOrientation>(&"rotate-90", gst::TagMergeMode::Append);
    rig.ultrawide.push_event(gst::event::Tag::new(tags));
    let mut others = gst::TagList::new();
    others
        .get_mut()
        .unwrap()
        .add::<gst::tags::Title>(&"the wide camera's", gst::TagMergeMode::Append);
    rig.wide().push_event(gst::event::Tag::new(others));
    let toc = gst::Toc::new(gst::TocScope::Global);
    rig.ultrawide.push_event(gst::event::Toc::new(&toc, false));
    push_together(&mut rig, 0..3);
    end(&mut rig);
    rig.until_eos();

    let items = items.lock().unwrap();
    assert_eq!(
        lines(&items),
        [
            "stream-start",
            "caps",
            "segment",
            "tag",
            "toc",
            "0",
            "1",
            "2",
            "eos"
        ]
    );
    let Item::Event(start) = &items[0] else {
        unreachable!()
    };
    let gst::EventView::StreamStart(start) = start.view() else {
        unreachable!()
    };
    assert_eq!(start.group_id(), Some(group));
    assert!(
        start.stream_id().starts_with("phone/1"),
        "{}",
        start.stream_id()
    );
    let Item::Event(tag) = &items[3] else {
        unreachable!()
    };
    let gst::EventView::Tag(tag) = tag.view() else {
        unreachable!()
    };
    let orientation = tag.tag().get::<gst::tags::ImageOrientation>().unwrap();
    assert_eq!(orientation.get(), "rotate-90");
}

#[test]
fn segments_and_the_end_carry_the_ultra_wide_streams_numbers() {
    let element = element();
    let mut rig = Rig::new(element.clone());
    let items = record(&element);
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_stop(FRAME * 9);
    let (news, end) = (gst::Seqnum::next(), gst::Seqnum::next());
    let numbered = gst::event::Segment::builder(&segment).seqnum(news);
    rig.ultrawide.push_event(numbered.build());
    // What comes before the first frame makes the element announce the segment itself.
    rig.ultrawide.push_event(custom("early"));
    rig.wide().push_event(gst::event::Segment::new(&segment));
    push_together(&mut rig, 0..3);
    let numbered = gst::event::Eos::builder().seqnum(end);
    rig.ultrawide.push_event(numbered.build());
    rig.wide().push_event(gst::event::Eos::new());
    rig.until_eos();

    let of_segments_and_end = |item: &Item| match item {
        Item::Event(event) => {
            let kinds = [gst::EventType::Segment, gst::EventType::Eos];
            kinds.contains(&event.type_()).then(|| event.seqnum())
        }
        Item::Frame(_) => None,
    };
    let items = items.lock().unwrap();
    let numbers: Vec<_> = items.iter().filter_map(of_segments_and_end).collect();
    assert_eq!(numbers, [news, end]);
}

#[test]
fn injected_orientation_reaches_downstream() {
    let source = "videotestsrc num-buffers=3 ! video/x-raw,format=RGB,width=16,height=12";
    let output = gst_launch_well(&format!(
        "-t {source} ! taginject tags=image-orientation=rotate-90 ! r.ultrawide {source} ! r.wide \
         refvsr name=r device=cpu lookahead=0 model-file={} ! fakesink",
        model()
    ));
    assert!(
        text(&output.stdout).contains("rotate-90"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn events_keep_their_place_between_the_frames() {
    let element = with_lookahead(3);
    let mut rig = Rig::new(element.clone());
    let items = record(&element);
    push_together(&mut rig, 0..7);
    rig.ultrawide.push_event(custom("cut"));
    rig.wide().push_event(custom("not-ours"));
    push_together(&mut rig, 7..9);
    end(&mut rig);
    rig.until_eos();
    let items = items.lock().unwrap();
    let after: Vec<String> = lines(&items)[3..].to_vec();
    let wanted = [
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "custom-downstream",
        "7",
        "8",
        "eos",
    ];
    assert_eq!(after, wanted);
    let Item::Event(event) = &items[10] else {
        unreachable!()
    };
    assert!(event.has_name("cut"));
}

#[test]
fn sticky_events_held_outlive_a_flush() {
    let element = with_lookahead(3);
    let mut rig = Rig::new(element.clone());
    let items = record(&element);
    push_together(&mut rig, 0..2);
    eventually("the frames before the flush", || rig.stat("frames-in") == 2);
    let mut tags = gst::TagList::new();
    tags.get_mut()
        .unwrap()
        .add::<gst::tags::Title>(&"kept", gst::TagMergeMode::Append);
    rig.ultrawide.push_event(gst::event::Tag::new(tags));
    rig.ultrawide.push_event(custom("dropped"));
    // What a flush finds on its way may still come out before it. A query waits until all before it is held.
    let pad = rig.element.static_pad("ultrawide").unwrap();
    assert!(pad.query(&mut gst::query::Allocation::new(Some(&caps()), false)));
    let seqnum = gst::Seqnum::next();
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    for event in [
        gst::event::FlushStart::builder().seqnum(seqnum).build(),
        gst::event::FlushStop::builder(true).seqnum(seqnum).build(),
        gst::event::Segment::new(&segment),
    ] {
        rig.ultrawide.push_event(event.clone());
        rig.wide().push_event(event);
    }
    items
        .lock()
        .unwrap()
        .retain(|item| !matches!(item, Item::Frame(_)));
    push_together(&mut rig, 0..2);
    end(&mut rig);
    rig.until_eos();
    let lines = lines(&items.lock().unwrap());
    assert!(
        !lines.contains(&"custom-downstream".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.ends_with(&["tag", "0", "1", "eos"].map(str::to_owned)),
        "{lines:?}"
    );
}

#[test]
fn a_leading_gap_comes_out_after_the_segment() {
    let element = element();
    let mut rig = Rig::new(element.clone());
    let items = record(&element);
    let gap = gst::event::Gap::builder(gst::ClockTime::ZERO).duration(FRAME);
    rig.ultrawide.push_event(gap.build());
    push_together(&mut rig, 1..4);
    end(&mut rig);
    rig.until_eos();
    assert_eq!(
        lines(&items.lock().unwrap()),
        [
            "stream-start",
            "caps",
            "segment",
            "gap",
            "1",
            "2",
            "3",
            "eos"
        ]
    );
}

#[test]
fn a_new_frame_rate_does_not_start_a_new_clip() {
    let element = with_lookahead(3);
    let mut rig = Rig::new(element.clone());
    let items = record(&element);
    push_together(&mut rig, 0..4);
    eventually("the frames at the old rate", || rig.stat("frames-in") == 4);
    eventually("the first frame out", || rig.stat("frames-out") == 1);
    rig.ultrawide.set_src_caps(caps_of(SIZE, FRAME / 2));
    push_together(&mut rig, 4..5);
    eventually("the first frame at the new rate", || {
        rig.stat("frames-in") == 5
    });
    eventually("the second frame out", || rig.stat("frames-out") >= 2);
    assert_eq!(rig.stat("frames-out"), 2, "nothing was drained");
    push_together(&mut rig, 5..6);
    end(&mut rig);
    assert_pictures(&rig.until_eos(), &expected(&together(0..6), 3));
    assert_eq!(
        lines(&items.lock().unwrap())[3..],
        ["0", "1", "2", "3", "caps", "4", "5", "eos"]
    );
}

#[test]
fn slow_motion_pairs_as_full_speed_does() {
    for rate in [0.25, 1.0, 4.0] {
        let mut rig = Rig::new(element());
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_rate(rate);
        rig.ultrawide.push_event(gst::event::Segment::new(&segment));
        rig.wide().push_event(gst::event::Segment::new(&segment));
        let off = gst::ClockTime::from_mseconds(10);
        let wide = (0..8).map(|n| buffer(picture(WIDE, n), FRAME * n as u64 + off, FRAME));
        let out = rig.run(frames(ULTRAWIDE, 0..8), wide.collect(), vec![]);
        assert_eq!(rig.stat("missing-references"), 0, "rate {rate}");
        assert_pictures(&out, &expected(&together(0..8), 1));
    }
}

#[test]
fn the_position_is_that_of_the_last_frame_out() {
    let mut rig = Rig::new(with_lookahead(3));
    push_together(&mut rig, 0..6);
    eventually("three frames out", || rig.stat("frames-out") == 3);
    let source = rig.element.static_pad("src").unwrap();
    // The third frame is counted just before it goes out.
    eventually("the third frame's position", || {
        source.query_position::<gst::ClockTime>() == Some(FRAME * 2)
    });
    let other = source.query_position::<gst::format::Bytes>();
    assert_eq!(other, None);
}

#[test]
fn the_frame_after_a_dropped_one_is_discontinuous() {
    let element = element();
    element.set_property_from_str("overload", "drop");
    let mut rig = Rig::new(element);
    push_together(&mut rig, 0..2);
    eventually("the first frame out", || {
        rig.ultrawide.buffers_in_queue() == 1
    });
    let late = gst::event::Qos::new(
        gst::QOSType::Underflow,
        2.0,
        50_000_000,
        gst::ClockTime::ZERO,
    );
    rig.ultrawide.push_upstream_event(late);
    push_together(&mut rig, 2..6);
    end(&mut rig);
    let flags: Vec<_> = rig
        .until_eos()
        .iter()
        .map(|b| b.flags().contains(gst::BufferFlags::DISCONT))
        .collect();
    assert_eq!(flags, [true, true, false], "frames 0, 4 and 5");
}

#[test]
fn a_pointers_place_is_told_to_the_ultrawide_camera_in_its_pixels() {
    let mut rig = Rig::new(element());
    push_together(&mut rig, 0..2);
    eventually("the first frame", || rig.stat("frames-in") >= 1);
    let structure = gst::Structure::builder("application/x-gst-navigation")
        .field("event", "mouse-move")
        .field("pointer_x", 40.0)
        .field("pointer_y", 12.0)
        .build();
    let event = gst::event::Navigation::new(structure);
    assert!(rig.ultrawide.push_upstream_event(event));
    let told = std::iter::from_fn(|| rig.ultrawide.try_pull_upstream_event())
        .find(|event| event.type_() == gst::EventType::Navigation)
        .expect("it goes upstream");
    let place = ["pointer_x", "pointer_y"].map(|field| told.structure().unwrap().get(field));
    assert_eq!(place, [Ok(10.0), Ok(3.0)]);
}
