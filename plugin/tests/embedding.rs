//! The Rust snippet of docs/embedding.md runs as it is printed.

mod common;
use common::*;
use gst::prelude::*;

/// The pipeline in the page's Rust snippet.
fn printed() -> String {
    let page = include_str!("../../docs/embedding.md");
    let start = page.find("gst::parse::launch(").expect("the snippet");
    page[start..]
        .split('"')
        .nth(1)
        .expect("a pipeline")
        .to_owned()
}

#[test]
fn the_printed_pipeline_enlarges_what_an_application_pushes() {
    let pipeline = parse(&printed());
    let refvsr = pipeline.by_name("refvsr").unwrap();
    refvsr.set_property("model-file", model());
    refvsr.set_property("lookahead", 1);
    refvsr.set_property("device", "cpu");
    pipeline.set_state(gst::State::Playing).unwrap();
    for (name, camera) in [("ultrawide", ULTRAWIDE), ("wide", WIDE)] {
        let source = pipeline.by_name(name).unwrap();
        let source = source.downcast::<gst_app::AppSrc>().unwrap();
        source.set_caps(Some(&caps()));
        for buffer in frames(camera, 0..4) {
            source.push_buffer(buffer).unwrap();
        }
        source.end_of_stream().unwrap();
    }
    let sink = pipeline.by_name("out").unwrap();
    let sink = sink.downcast::<gst_app::AppSink>().unwrap();
    let out = pull_all(&sink);
    assert_times(&out, 0);
    assert_pictures(&out, &expected(&together(0..4), 1));
    pipeline.set_state(gst::State::Null).unwrap();
}
