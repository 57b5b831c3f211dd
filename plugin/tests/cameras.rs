//! Reference cameras that registered models find.

mod common;
mod library {
    pub mod common;
    pub mod rig;
}

use common::*;
use gst::prelude::*;
use library::rig::{Rig as Cameras, leaves, registered_model};
use tch::Tensor;

const ZOOM: f64 = 2.05;

fn element_with(model: &str) -> gst::Element {
    init();
    gst::ElementFactory::make("refvsr")
        .property("model-file", model)
        .property("device", "cpu")
        .property("backward-group", 1)
        .build()
        .unwrap()
}

/// What both cameras see at one moment, as bytes, and its size.
fn shot(seed: &str) -> (Vec<u8>, Vec<u8>, (usize, usize)) {
    let cameras = Cameras {
        zoom: ZOOM,
        degrees: 0.8,
        shift: (2.0, -1.5),
        parallax: 1.0,
        another_look: true,
    };
    let shot = cameras.film(seed, &leaves(seed, 400, 640));
    let bytes = |t: &Tensor| to_bytes(t);
    (bytes(&shot.frame), bytes(&shot.reference), (160, 100))
}

fn infos(bus: &gst::Bus) -> Vec<gst::Structure> {
    std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Info]))
        .filter_map(|message| match message.view() {
            gst::MessageView::Info(info) => info.details().map(ToOwned::to_owned),
            _ => None,
        })
        .collect()
}

struct Stage {
    rig: Rig,
    bus: gst::Bus,
    sent: usize,
    size: (usize, usize),
}

impl Stage {
    fn new(element: gst::Element, size: (usize, usize)) -> Self {
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut rig = Rig::new(element);
        rig.ultrawide.set_src_caps(caps_of(size, FRAME));
        rig.wide().set_src_caps(caps_of(size, FRAME));
        Self {
            rig,
            bus,
            sent: 0,
            size,
        }
    }

    /// Sends a moment and waits until it has come out.
    fn send(&mut self, ultrawide: &[u8], wide: &[u8]) -> gst::Buffer {
        let frame = |data: &[u8], n: usize| buffer(data.to_vec(), FRAME * n as u64, FRAME);
        assert_eq!(ultrawide.len(), self.size.0 * self.size.1 * 3);
        self.rig.wide().push(frame(wide, self.sent)).unwrap();
        self.rig
            .ultrawide
            .push(frame(ultrawide, self.sent))
            .unwrap();
        self.sent += 1;
        pulled(&mut self.rig.ultrawide)
    }

    fn zoom_found(&self) -> f64 {
        let stats = self.rig.element.property::<gst::Structure>("stats");
        stats.get("wide-zoom-found").unwrap()
    }
}

#[test]
fn a_camera_is_found_and_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let (ultrawide, wide, size) = shot("garden");
    let (elsewhere, _, _) = shot("street");
    let mut stage = Stage::new(element_with(&registered_model(folder.path())), size);
    assert_eq!(stage.zoom_found(), 0.0);
    stage.send(&ultrawide, &elsewhere);
    assert_eq!((stage.zoom_found(), infos(&stage.bus).len()), (0.0, 0));
    for _ in 0..3 {
        stage.send(&ultrawide, &wide);
    }
    let found = stage.zoom_found();
    assert!((found / ZOOM - 1.0).abs() < 0.005, "{found}");
    let told = infos(&stage.bus);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].name(), "refvsr-camera-found");
    assert_eq!(told[0].get::<&str>("pad"), Ok("wide"));
    let zoom = told[0].get::<f64>("zoom").unwrap();
    assert!((zoom / ZOOM - 1.0).abs() < 0.01, "{zoom}");

    // It shows something else for a moment, which is no loss.
    stage.send(&ultrawide, &elsewhere);
    stage.send(&ultrawide, &wide);
    assert_eq!(infos(&stage.bus).len(), 0);

    // It shows something else for some time, then what it did before.
    for _ in 0..4 {
        stage.send(&ultrawide, &elsewhere);
    }
    assert_eq!(infos(&stage.bus).len(), 0);
    // It is looked for in the eighth frame from when it was covered.
    for _ in 4..8 {
        stage.send(&ultrawide, &wide);
    }
    assert_eq!(infos(&stage.bus).len(), 1);

    // Flushed, the clip is forgotten; the camera has not moved.
    stage
        .rig
        .ultrawide
        .push_event(gst::event::FlushStart::new());
    stage
        .rig
        .ultrawide
        .push_event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    stage
        .rig
        .ultrawide
        .push_event(gst::event::Segment::new(&segment));
    stage.send(&ultrawide, &wide);
    assert_eq!(infos(&stage.bus).len(), 0);
}

#[test]
fn a_zoom_given_is_where_the_search_starts_and_may_change_while_playing() {
    let folder = tempfile::tempdir().unwrap();
    let (ultrawide, wide, size) = shot("garden");
    let element = element_with(&registered_model(folder.path()));
    assert_eq!(element.property::<f64>("wide-zoom"), 0.0);
    element.set_property("wide-zoom", 3.0);
    let mut stage = Stage::new(element, size);
    stage.send(&ultrawide, &wide);
    assert_eq!(stage.zoom_found(), 0.0, "it is not near 3");
    stage.rig.element.set_property("wide-zoom", 2.1);
    stage.send(&ultrawide, &wide);
    let found = stage.zoom_found();
    assert!((found / ZOOM - 1.0).abs() < 0.005, "{found}");
    // The pad's own zoom counts for more than the element's.
    let pad = stage.rig.element.static_pad("wide").unwrap();
    pad.set_property("zoom", 3.0);
    let out = stage.send(&ultrawide, &wide);
    assert_eq!(told_of(&out).get::<bool>("wide"), Ok(false));
    pad.set_property("zoom", 2.0);
    let out = stage.send(&ultrawide, &wide);
    assert_eq!(told_of(&out).get::<bool>("wide"), Ok(true));
    assert!(told_of(&out).get::<f64>("wide-agreement").unwrap() > 0.5);
    assert!(!told_of(&out).has_field("confidence"));
}

#[test]
fn a_zoom_out_of_range_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let element = element_with(&tiny_model(folder.path()));
    element.set_property("wide-zoom", 0.01);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Paused).is_err());
    let text = error_on(&bus);
    assert!(text.contains("wide zoom is 0.01"), "{text}");
    element.set_state(gst::State::Null).unwrap();
}
