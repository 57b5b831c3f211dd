//! Frames that share a run of the backward branch.

mod common;
use common::*;
use gst::prelude::*;
use refvsr::{ModelConfig, config::Recurrence};

/// An element with a tiny model of clean recurrence, whose own group is 6.
fn clean_element(folder: &std::path::Path) -> gst::Element {
    let config = ModelConfig {
        mid_channels: 4,
        num_blocks: 1,
        frame_num: 3,
        recurrence: Recurrence::Clean,
        ..ModelConfig::preset("refvsr-mfid").unwrap()
    };
    assert_eq!(config.backward_group(), 6);
    let element = with_lookahead(1);
    element.set_property("model-file", save_model(config, folder));
    element
}

/// How many frames come in before the first one comes out.
fn frames_in_before_the_first(mut rig: Rig) -> u64 {
    for n in 0..11 {
        rig.wide().push(frame(WIDE, n)).unwrap();
        rig.ultrawide.push(frame(ULTRAWIDE, n)).unwrap();
        eventually("the frame is taken", || {
            rig.stat("frames-in") == n as u64 + 1
        });
        // What is ready comes out before the next frame is taken.
        if n > 0 && rig.ultrawide.try_pull().is_some() {
            return n as u64;
        }
    }
    panic!("no frame came out");
}

#[test]
fn files_share_backward_runs_and_live_pipelines_do_not() {
    let folder = tempfile::tempdir().unwrap();
    for (live, asked, ahead) in [(false, -1, 6), (true, -1, 1), (false, 1, 1), (true, 3, 3)] {
        let element = clean_element(folder.path());
        element.set_property("backward-group", asked);
        let mut rig = Rig::new(element);
        rig.ultrawide.set_live(live);
        rig.wide().set_live(live);
        let before = frames_in_before_the_first(rig);
        // The frame itself, `ahead` more, and one that may have been taken while it was computed.
        assert!(
            (ahead..=ahead + 2).contains(&before),
            "live: {live}, backward-group={asked}: {before} frames before the first"
        );
    }
}

#[test]
fn the_first_latency_answered_is_that_of_the_frames_that_follow() {
    let folder = tempfile::tempdir().unwrap();
    let element = clean_element(folder.path());
    let mut rig = Rig::new(element);
    rig.ultrawide.set_live(true);
    eventually("caps", || {
        rig.ultrawide.query_latency() != Some(gst::ClockTime::ZERO)
    });
    let before = rig.ultrawide.query_latency();
    rig.wide().push(frame(WIDE, 0)).unwrap();
    rig.ultrawide.push(frame(ULTRAWIDE, 0)).unwrap();
    eventually("the first frame", || rig.stat("frames-in") == 1);
    assert_eq!(before, Some(FRAME * 2), "the look-ahead and a frame");
    assert_eq!(rig.ultrawide.query_latency(), before);
}
