//! Nothing is leaked, and memory does not grow with the clip.

mod common;
use common::*;
use gst::prelude::*;

/// Plays a pipeline under the leaks tracer. Returns whether it ended well, and what there was to say.
fn traced(arguments: &str) -> (bool, String) {
    let output = gst_launch(arguments, &LEAKS_TRACER);
    let log = text(&output.stderr);
    assert_eq!(leaks(&log), Vec::<&str>::new());
    (output.status.success(), log)
}

#[test]
fn nothing_is_leaked() {
    let source = "videotestsrc num-buffers=6 ! video/x-raw,format=I420,width=16,height=12 !";
    let refvsr = format!(
        "-q refvsr name=r device=cpu lookahead=2 model-file={} ! fakesink",
        model()
    );
    let (well, log) = traced(&format!(
        "{refvsr} {source} r.ultrawide {source} r.wide {source} r.tele"
    ));
    assert!(well, "{log}");
}

#[test]
fn nothing_is_leaked_by_an_error_in_mid_stream() {
    let source = |frames| {
        format!("videotestsrc num-buffers={frames} ! video/x-raw,format=I420,width=16,height=12 !")
    };
    let (many, few) = (source(50), source(4));
    let refvsr = format!(
        "-q refvsr name=r device=cpu lookahead=2 on-missing-reference=error model-file={} ! fakesink",
        model()
    );
    let (well, log) = traced(&format!(
        "{refvsr} {many} r.ultrawide {few} r.wide {many} r.tele"
    ));
    assert!(!well && log.contains("on-missing-reference"), "{log}");
}

#[test]
fn memory_is_flat_over_500_frames() {
    // Small, so that it does not take long: what could grow does not depend on it.
    let folder = tempfile::tempdir().unwrap();
    let model = tiny_model(folder.path());
    let source = "num-buffers=500 ! video/x-raw,format=RGB,width=64,height=48,framerate=25/1 !";
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu lookahead=3 model-file={model} ! fakesink name=s \
         videotestsrc pattern=ball {source} r.ultrawide videotestsrc {source} r.wide",
    ));
    let element = pipeline.by_name("r").unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let mut after_100 = None;
    loop {
        let message = bus.timed_pop_filtered(
            gst::ClockTime::from_mseconds(20),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        );
        if after_100.is_none() && stat(&element, "frames-out") >= 100 {
            after_100 = Some(resident());
        }
        if let Some(message) = message {
            assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
            break;
        }
    }
    assert_eq!(stat(&element, "frames-out"), 500);
    let (before, after) = (after_100.unwrap(), resident());
    // A frame's features take 200 kB and more (2 channels, 4 times the size): 400 frames' would not go unnoticed.
    assert!(
        after < before + (48 << 20),
        "{} MB after 100 frames, {} MB after 500",
        before >> 20,
        after >> 20
    );
    pipeline.set_state(gst::State::Null).unwrap();
}
