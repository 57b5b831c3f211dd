//! Which model a live pipeline goes on with.

mod common;
use common::*;
use gst::prelude::*;

/// A camera whose frames the model for CPUs takes seconds for.
fn viewfinder(model: &str) -> (gst::Pipeline, gst::Element) {
    init();
    let line = format!(
        "videotestsrc is-live=true ! video/x-raw,format=RGB,width=480,height=270,framerate=10/1 ! \
         refvsr name=sr model={model} device=cpu lookahead=0 overload=bypass ! fakesink"
    );
    let pipeline = gst::parse::launch(&line).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let element = pipeline.by_name("sr").unwrap();
    (pipeline, element)
}

fn model_of(element: &gst::Element) -> String {
    let stats = element.property::<gst::Structure>("stats");
    stats.get("model").unwrap()
}

#[test]
fn a_viewfinder_that_is_too_slow_takes_the_live_model_once() {
    let (pipeline, element) = viewfinder("auto");
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let told = loop {
        let message = bus.timed_pop_filtered(
            PATIENCE,
            &[gst::MessageType::Element, gst::MessageType::Error],
        );
        let message = message.expect("a message on the model");
        assert_ne!(message.type_(), gst::MessageType::Error, "{message:?}");
        match message.structure() {
            Some(told) if told.name() == "refvsr-model" => break told.to_owned(),
            _ => (),
        }
    };
    assert_eq!(told.get::<&str>("model").unwrap(), "live");
    assert!(model_of(&element).starts_with("live, "), "{told}");
    // Frames go on, by the new model or beside it, and nothing more is said of the model.
    let out = || {
        let stats = element.property::<gst::Structure>("stats");
        stats.get::<u64>("frames-out").unwrap()
    };
    let before = out();
    let more = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(2),
        &[gst::MessageType::Error, gst::MessageType::Eos],
    );
    assert!(more.is_none(), "{more:?}");
    assert!(out() > before);
    while let Some(message) = bus.pop_filtered(&[gst::MessageType::Element]) {
        assert!(
            message
                .structure()
                .is_none_or(|told| told.name() != "refvsr-model")
        );
    }
    pipeline.set_state(gst::State::Null).unwrap();
}
