//! The scripts, run with the real `gst-launch-1.0`, test pictures for cameras and a tiny model.

mod common;

use common::{Place, Said, frames, said, sound};
use std::path::Path;
use std::process::Command;

/// Runs a script with the element in reach.
fn script(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let built = Path::new(env!("CARGO_BIN_EXE_refvsr")).parent().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(name);
    let output = Command::new("sh")
        .arg(path)
        .args(arguments)
        .env("GST_PLUGIN_PATH", built)
        .env(
            "GST_REGISTRY",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("scripts-registry.bin"),
        )
        .env("OMP_NUM_THREADS", "1")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    said(output)
}

#[track_caller]
fn script_well(name: &str, arguments: &[&str], environment: &[(&str, &str)]) {
    let said = script(name, arguments, environment);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn files_are_enlarged_with_their_sound() {
    let place = Place::new();
    let wide = place.film("w.mkv", 10);
    let ultrawide = place.make(
        "uw.mkv",
        "videotestsrc num-buffers=10 ! video/x-raw,width=64,height=48,framerate=10/1,format=I420 ! x264enc ! matroskamux name=mux \
         ! filesink location={} audiotestsrc num-buffers=43 samplesperbuffer=1024 ! opusenc ! mux.",
    );
    let model = format!("model-file={}", place.model());
    let out = place.text("out.mp4");
    script_well(
        "files.sh",
        &[&ultrawide, &wide, &out, &model, "device=cpu"],
        &[("SOUND", "1")],
    );
    let (large, info) = frames(&out);
    assert_eq!((large.len(), info.width()), (10, 256));
    assert!(!sound(&out).0.is_empty());
    let silent = place.text("silent.mkv");
    script_well(
        "files.sh",
        &[&wide, &wide, &silent, &model, "device=cpu"],
        &[],
    );
    assert_eq!(frames(&silent).0.len(), 10);

    let sink = format!(
        "x264enc ! matroskamux ! filesink location={}",
        place.text("both.mkv")
    );
    script_well(
        "beside-bicubic.sh",
        &[&ultrawide, &wide, &model, "device=cpu"],
        &[("SINK", &sink)],
    );
    let (both, info) = frames(place.path("both.mkv"));
    assert_eq!((both.len(), info.width(), info.height()), (10, 256, 192));
}

#[test]
fn pictures_and_cameras_are_enlarged() {
    let place = Place::new();
    for lens in ["uw", "w"] {
        std::fs::create_dir(place.path(lens)).unwrap();
        for n in 0..3 {
            let picture = image::RgbImage::from_fn(16, 12, |x, y| {
                image::Rgb([x as u8 * 15, y as u8 * 20, n * 60])
            });
            picture
                .save(place.path(&format!("{lens}/{n:04}.png")))
                .unwrap();
        }
    }
    let model = format!("model-file={}", place.model());
    script_well(
        "png-sequence.sh",
        &[
            &place.text("uw"),
            &place.text("w"),
            &place.text("out"),
            &model,
            "device=cpu",
        ],
        &[],
    );
    assert_eq!(place.files("out"), ["0000.png", "0001.png", "0002.png"]);

    let sink = "identity eos-after=4 ! fakesink";
    let small = [
        ("SINK", sink),
        ("WIDTH", "32"),
        ("HEIGHT", "24"),
        ("FPS", "5"),
    ];
    script_well(
        "live.sh",
        &["test", &model, "device=cpu", "lookahead=0"],
        &small,
    );
}

#[test]
fn three_cameras_are_recorded_and_shown() {
    let place = Place::new();
    let model = format!("model-file={}", place.model());
    let out = place.text("recording.mkv");
    let small = [
        ("SINK", "fakesink"),
        ("WIDTH", "32"),
        ("HEIGHT", "24"),
        ("FPS", "5"),
        ("FRAMES", "6"),
    ];
    script_well(
        "cameras.sh",
        &[&out, "test", &model, "device=cpu", "lookahead=0"],
        &small,
    );
    let (recorded, info) = frames(&out);
    assert_eq!((info.width(), info.height()), (128, 96));
    assert_eq!(recorded.len(), 6, "every frame is recorded");
    for (arguments, message) in [
        (vec!["out.avi", "test"], "out.avi ends neither in"),
        (
            vec!["out.mkv", "/no/camera"],
            "/no/camera is no camera device",
        ),
        (vec!["out.mkv"], "usage: cameras.sh"),
    ] {
        let said = script("cameras.sh", &arguments, &[]);
        assert_ne!(said.code, Some(0));
        assert!(said.err.contains(message), "{said:?}");
    }
}

#[test]
fn nvidias_decoders_and_encoder_are_used_or_said_to_be_missing() {
    let place = Place::new();
    let (film, out) = (place.film("film.mkv", 6), place.text("out.mkv"));
    let model = format!("model-file={}", place.model());
    let arguments = [film.as_str(), &film, &out, &model, "device=auto"];
    let plain = [("DECODER", "avdec_h264"), ("ENCODER", "x264enc")];
    script_well("nvidia.sh", &arguments, &plain);
    assert_eq!(frames(&out).0.len(), 6);

    std::fs::remove_file(&out).unwrap();
    let said = script("nvidia.sh", &arguments, &[]);
    let missing = gst::ElementFactory::find("nvh264dec").is_none();
    assert_eq!(said.code == Some(0), !missing, "{said:?}");
    if missing {
        let line = said.err.lines().last().unwrap();
        assert!(
            line.starts_with("nvidia.sh: GStreamer lacks the element nvh264dec: "),
            "{said:?}"
        );
    }
}

#[test]
fn browsers_are_served_or_what_is_missing_is_said() {
    let place = Place::new();
    let model = format!("model-file={}", place.model());
    let arguments = ["test", &model, "device=cpu", "lookahead=0"];
    let (pictures, out) = (place.text("pictures.mkv"), place.path("pictures.mkv"));
    let sink = format!("x264enc ! matroskamux ! filesink location={pictures}");
    let small = [
        ("SINK", sink.as_str()),
        ("WIDTH", "32"),
        ("HEIGHT", "24"),
        ("FPS", "5"),
        ("FRAMES", "6"),
    ];
    script_well("webrtc.sh", &arguments, &small);
    assert_eq!(frames(out).1.width(), 128);
    if gst::ElementFactory::find("webrtcsink").is_none() {
        let said = script("webrtc.sh", &arguments, &[]);
        assert!(
            said.code == Some(1)
                && said
                    .err
                    .starts_with("webrtc.sh: GStreamer lacks the element webrtcsink; "),
            "{said:?}"
        );
    } else {
        let said = script("webrtc.sh", &arguments, &[("PAGE", "/no/page")]);
        let expected = "webrtc.sh: PAGE is /no/page, which has no index.html\n";
        assert!(said.code == Some(1) && said.err == expected, "{said:?}");
    }
}
