//! The presets that come with the element.

mod common;
use common::*;
use gst::prelude::*;
use std::path::Path;

/// Where they lie in the checkout.
const PRESETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/presets");

/// A property's value as a launch line would have it.
fn value(element: &gst::Element, name: &str) -> String {
    let value = element.property_value(name);
    value.serialize().unwrap().to_string()
}

#[test]
fn every_preset_sets_what_its_file_says() {
    init();
    // One thread: GStreamer reads the folder's name once.
    gst::Preset::set_app_dir(PRESETS).unwrap();
    let text = std::fs::read_to_string(Path::new(PRESETS).join("GstRefVsr.prs")).unwrap();
    let element = gst::ElementFactory::make("refvsr").build().unwrap();
    let presets = element.dynamic_cast_ref::<gst::Preset>().unwrap();
    let mut names: Vec<_> = presets
        .preset_names()
        .iter()
        .map(ToString::to_string)
        .collect();
    names.sort();
    names.retain(|name| text.contains(&format!("[{name}]"))); // the user may have others
    assert_eq!(names, ["Archive", "Recorder", "Viewfinder"]);
    // Each sets all that any of them sets: another may have been loaded before.
    let mut same = None;
    for name in names {
        presets.load_preset(&name).unwrap();
        let section = text.split(&format!("[{name}]")).nth(1).unwrap();
        let lines = section
            .lines()
            .skip(1)
            .take_while(|line| !line.starts_with('['));
        let settings = lines.filter_map(|line| line.split_once('='));
        let mut found = vec![];
        for (property, wanted) in settings.filter(|(property, _)| !property.starts_with("_meta")) {
            assert_eq!(value(&element, property), wanted, "{property} of {name}");
            found.push(property);
        }
        assert_eq!(same.get_or_insert(found.clone()), &found, "{name}");
        assert!(presets.meta(&name, "comment").is_some(), "{name}");
    }
}

#[test]
fn a_launch_line_takes_a_preset() {
    let source = "videotestsrc num-buffers=2 ! video/x-raw,format=RGB,width=16,height=12";
    let line = format!(
        "refvsr name=r device=cpu model-file={} @preset=Viewfinder ! fakesink {source} ! r.ultrawide {source} ! r.wide",
        model()
    );
    let output = gst_launch(&line, &[("GST_PRESET_PATH", PRESETS)]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The launch lines of the element's documentation, on files and live test pictures.
#[test]
fn documented_pipelines_run() {
    let source = include_str!("../src/refvsr/mod.rs");
    let blocks = source
        .split("```bash")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let lines: Vec<String> = blocks
        .map(|block| {
            let lines = block
                .lines()
                .map(|line| line.trim_start_matches(" *").trim_end_matches('\\'));
            lines.collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(lines.len(), 2, "files and live");
    let folder = tempfile::tempdir().unwrap();
    let small = "video/x-raw,format=I420,width=16,height=12,framerate=25/1";
    for name in ["ultrawide", "wide"] {
        let file = folder.path().join(format!("{name}.mkv"));
        let file = file.to_str().unwrap();
        gst_launch_well(&format!(
            "videotestsrc num-buffers=4 ! {small} ! x264enc ! matroskamux ! filesink location={file}"
        ));
    }
    let model = tiny_model(folder.path());
    for line in lines {
        let (command, arguments) = line.trim().split_once(' ').unwrap();
        assert_eq!(command, "gst-launch-1.0");
        let mut arguments = arguments
            .replace("name=r", &format!("name=r device=cpu model-file={model}"))
            .replace("@preset=Archive", "@preset=Archive lookahead=0")
            .replace("autovideosink", "fakesink");
        for file in ["out.mkv", "ultrawide.mkv", "wide.mkv"] {
            let place = folder.path().join(file);
            arguments = arguments.replace(&format!("={file}"), &format!("={}", place.display()));
        }
        for device in [0, 2] {
            let test = format!("videotestsrc is-live=true num-buffers=4 ! {small}");
            arguments = arguments.replace(&format!("v4l2src device=/dev/video{device}"), &test);
        }
        let output = gst_launch(&arguments, &[("GST_PRESET_PATH", PRESETS)]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{arguments}\n{said}");
    }
    assert!(
        std::fs::metadata(folder.path().join("out.mkv"))
            .unwrap()
            .len()
            > 1000
    );
}
