//! How densely references are matched.

mod common;
use common::*;
use gst::prelude::*;

#[test]
fn a_step_that_there_is_runs_and_another_is_an_error_that_says_which_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let with_step = |step: u32| {
        let element = with_lookahead(1);
        element.set_property("model-file", tiny_model(folder.path()));
        element.set_property("matching-step", step);
        element
    };
    let mut rig = Rig::new(with_step(2));
    let out = rig.run(frames(ULTRAWIDE, 0..2), frames(WIDE, 0..2), vec![]);
    assert_eq!(out.len(), 2);

    let element = with_step(3);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Paused).is_err());
    let error = error_on(&bus);
    assert!(
        error.contains("matching step is 3, allowed is 1, 2, 4, 8 or 16"),
        "{error}"
    );
    element.set_state(gst::State::Null).unwrap();
}
