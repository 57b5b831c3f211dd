//! The pad that puts out how far each pixel's references are to be trusted.

mod common;
mod library {
    pub mod common;
    pub mod rig;
}

use common::*;
use gst::prelude::*;
use gst_check::Harness;
use library::rig::{Rig as Cameras, leaves, registered_model};
use refvsr::{Network, Session, Triplet};
use std::path::Path;
use tch::Device;

/// What the library says of each of these moments.
fn maps(moments: &[Moment]) -> Vec<Vec<u8>> {
    let network = Network::load(Path::new(&model()), Device::Cpu).unwrap();
    let options = refvsr::SessionOptions {
        look_ahead: Some(1),
        ..Session::options_of(&network)
    };
    let mut session = Session::new(network, options).unwrap();
    let mut maps = vec![];
    let mut finish = |session: &mut Session| {
        while session.receive().unwrap().is_frame() {
            let map = session.confidence_map().unwrap().unwrap();
            let bytes = (map * 255.0).round().to_kind(tch::Kind::Uint8);
            maps.push(Vec::<u8>::try_from(&bytes.flatten(0, -1)).unwrap());
        }
    };
    for (ultrawide, wide, _) in moments {
        let triplet = Triplet {
            ultrawide: to_tensor(ultrawide, SIZE),
            wide: wide.as_ref().map(|wide| to_tensor(wide, SIZE)),
            tele: None,
        };
        session.send(triplet).unwrap();
        finish(&mut session);
    }
    session.drain();
    finish(&mut session);
    maps
}

/// All up to the end of the stream.
fn until_eos(harness: &mut Harness) -> Vec<gst::Buffer> {
    let next = || harness.pull_until_eos().expect("no end of stream came");
    std::iter::from_fn(next).collect()
}

#[test]
fn each_frame_has_a_map_of_its_size_and_time() {
    let mut rig = Rig::new(element());
    let mut confidence = Harness::with_element(&rig.element, None, Some("confidence"));
    let out = rig.run(frames(ULTRAWIDE, 0..4), frames(WIDE, 0..4), vec![]);
    assert_pictures(&out, &expected(&together(0..4), 1));

    let grey = until_eos(&mut confidence);
    assert_times(&grey, 0);
    let pad = confidence.sinkpad().unwrap();
    let caps = pad.current_caps().unwrap();
    let caps = caps.structure(0).unwrap();
    assert_eq!(caps.get::<&str>("format"), Ok("GRAY8"));
    assert_eq!(caps.get::<i32>("width"), Ok(SIZE.0 as i32));
    assert_eq!(caps.get::<i32>("height"), Ok(SIZE.1 as i32));
    assert_eq!(
        caps.get::<gst::Fraction>("framerate"),
        Ok(gst::Fraction::new(25, 1))
    );
    let maps = maps(&together(0..4));
    assert!(maps.iter().flatten().any(|&value| value > 0));
    for (n, (buffer, map)) in grey.iter().zip(&maps).enumerate() {
        let bytes = bytes(buffer);
        let off = bytes.iter().zip(map).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off <= Some(1), "frame {n} is off by {off:?}");
    }
}

#[test]
fn the_pad_may_come_and_go_while_playing() {
    let mut rig = Rig::new(with_lookahead(0));
    let send = |rig: &mut Rig, n: usize| {
        rig.wide().push(frame(WIDE, n)).unwrap();
        rig.ultrawide.push(frame(ULTRAWIDE, n)).unwrap();
        pulled(&mut rig.ultrawide)
    };
    send(&mut rig, 0);
    let pad = rig.element.request_pad_simple("confidence").unwrap();
    send(&mut rig, 1);
    let mut harness = Harness::new_empty();
    harness.add_element_src_pad(&pad);
    send(&mut rig, 2);
    assert_eq!(pulled(&mut harness).pts(), Some(FRAME * 2));
    rig.element.release_request_pad(&pad);
    send(&mut rig, 3);
    assert!(rig.element.static_pad("confidence").is_none());
    assert_eq!(harness.buffers_in_queue(), 0);
}

/// A branch that has stopped taking pictures, whether or not it said so.
#[test]
fn a_branch_that_goes_away_does_not_stop_the_video() {
    for release in [true, false] {
        let mut rig = Rig::new(with_lookahead(0));
        let confidence = Harness::with_element(&rig.element, None, Some("confidence"));
        let sink = confidence.sinkpad().unwrap().clone();
        let (blocks, waits) = std::sync::mpsc::channel();
        sink.add_probe(
            gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER,
            move |_, _| {
                let _ = blocks.send(());
                gst::PadProbeReturn::Ok
            },
        );
        rig.wide().push(frame(WIDE, 0)).unwrap();
        rig.ultrawide.push(frame(ULTRAWIDE, 0)).unwrap();
        waits.recv().unwrap(); // the streaming thread is in that branch
        if release {
            let pad = rig.element.static_pad("confidence").unwrap();
            rig.element.release_request_pad(&pad);
        }
        sink.set_active(false).unwrap();
        for n in 1..4 {
            rig.wide().push(frame(WIDE, n)).unwrap();
            rig.ultrawide.push(frame(ULTRAWIDE, n)).unwrap();
        }
        let out: Vec<_> = (0..4).map(|_| pulled(&mut rig.ultrawide)).collect();
        assert_pictures(&out, &expected(&together(0..4), 0));
    }
}

#[test]
fn a_seek_from_there_is_a_seek_of_the_element() {
    let folder = tempfile::tempdir().unwrap();
    let source = "videotestsrc num-buffers=50 ! video/x-raw,width=32,height=24,framerate=25/1";
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu model-file={} ! fakesink sync=false \
         r.confidence ! queue ! appsink name=s sync=false {source} ! r.ultrawide {source} ! r.wide",
        tiny_model(folder.path())
    ));
    pipeline.set_state(gst::State::Paused).unwrap();
    pipeline.state(PATIENCE).0.unwrap();
    let sink = pipeline.by_name("s").unwrap();
    let from = gst::ClockTime::SECOND;
    assert!(sink.seek_simple(gst::SeekFlags::FLUSH, from).is_ok());
    pipeline.state(PATIENCE).0.unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let sink = sink.downcast::<gst_app::AppSink>().unwrap();
    let first = sink.pull_sample().unwrap();
    assert_eq!(first.buffer().unwrap().pts(), Some(from));
    pipeline.set_state(gst::State::Null).unwrap();
}

/// Of a registered model the map is where the wide camera looks, and how alike both pictures are there.
#[test]
fn registered_models_show_the_field_they_found() {
    let cameras = Cameras {
        zoom: 2.05,
        degrees: 0.8,
        shift: (2.0, -1.5),
        parallax: 1.0,
        another_look: true,
    };
    let folder = tempfile::tempdir().unwrap();
    let shot = cameras.film("garden", &leaves("garden", 400, 640));
    let (w, h) = (160, 100);
    let element = element();
    element.set_property("model-file", registered_model(folder.path()));
    element.set_property("lookahead", 0);
    let mut rig = Rig::new(element);
    rig.ultrawide.set_src_caps(caps_of((w, h), FRAME));
    rig.wide().set_src_caps(caps_of((w, h), FRAME));
    let mut confidence = Harness::with_element(&rig.element, None, Some("confidence"));
    let still = |bytes: Vec<u8>| vec![buffer(bytes, gst::ClockTime::ZERO, FRAME)];
    let (ultrawide, wide) = (to_bytes(&shot.frame), to_bytes(&shot.reference));
    rig.run(still(ultrawide), still(wide), vec![]);
    let map = bytes(&until_eos(&mut confidence)[0]);
    let mean = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
        let (n, width) = (rows.len() * columns.len(), w);
        let values = rows.flat_map(|y| columns.clone().map(move |x| y * width + x));
        values.map(|at| f64::from(map[at])).sum::<f64>() / n as f64
    };
    let (inside, left) = (mean(35..65, 55..105), mean(0..h, 0..20));
    assert!(inside > 100.0, "{inside}");
    assert_eq!(left, 0.0);
}

#[test]
fn the_maps_alone_may_be_taken() {
    let source =
        "videotestsrc num-buffers=4 ! video/x-raw,format=RGB,width=16,height=12,framerate=25/1";
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu lookahead=1 model-file={} {source} ! r.ultrawide {source} ! r.wide \
         r.confidence ! queue ! appsink name=s sync=false",
        model()
    ));
    let sink = pipeline.by_name("s").unwrap();
    let sink = sink.downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let maps = pull_all(&sink).len();
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(maps, 4);
}
