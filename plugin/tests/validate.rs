//! GStreamer's own validation tool plays seeks, pauses and new caps and must report nothing.
//!
//! Debian does not package the tool; it is built from `gst-devtools` of GStreamer's sources (`-Dvalidate=enabled`).
//! `cargo xtask test -- -p gst-plugin-refvsr --test validate -- --ignored` runs these with it on `PATH`.

mod common;
use common::*;
use std::{path::Path, process::Command};

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/validate");

/// Plays a pipeline by a scenario of `tests/validate`.
#[track_caller]
fn validate(scenario: &str, pipeline: &str) {
    let output = Command::new("gst-validate-1.0")
        .arg(format!("--set-scenario={SCENARIOS}/{scenario}.scenario"))
        .args(pipeline.split_whitespace())
        .env("GST_PLUGIN_PATH", plugin_folder())
        .output()
        .expect("gst-validate-1.0 is needed");
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Issues found: 0"), "{said}");
}

/// The element, and what shows its frames in time.
fn shown() -> String {
    let model = model();
    format!(
        "refvsr name=r device=cpu model-file={model} ! queue ! videoconvert ! fakesink sync=true"
    )
}

/// The same behind two recordings of ten seconds, not compressed.
fn recordings(folder: &Path) -> String {
    let mut pipeline = shown();
    for pad in ["ultrawide", "wide"] {
        let file = folder.join(pad);
        let file = file.display();
        gst_launch_well(&format!(
            "videotestsrc pattern=ball num-buffers=100 \
             ! video/x-raw,format=I420,width=64,height=48,framerate=10/1 \
             ! matroskamux ! filesink location={file}"
        ));
        pipeline += &format!(" filesrc location={file} ! matroskademux ! queue ! r.{pad}");
    }
    pipeline
}

#[test]
#[ignore = "needs gst-validate-1.0"]
fn seeks() {
    let folder = tempfile::tempdir().unwrap();
    validate("seek", &recordings(folder.path()));
}

#[test]
#[ignore = "needs gst-validate-1.0"]
fn pauses() {
    let folder = tempfile::tempdir().unwrap();
    validate("pause", &recordings(folder.path()));
}

/// The ultra-wide camera's. The tool expects an element to send on the caps of every camera, which one
/// whose output does not depend on the wide camera's size must not do; `clips.rs` has those.
#[test]
#[ignore = "needs gst-validate-1.0"]
fn new_caps() {
    let pipeline = shown()
        + " videotestsrc pattern=ball num-buffers=60 ! video/x-raw,width=64,height=48,framerate=10/1 \
           ! tee name=t t. ! videoscale \
           ! capsfilter name=caps caps=video/x-raw,width=64,height=48 ! queue ! r.ultrawide \
           t. ! queue ! r.wide";
    validate("caps", &pipeline);
}
