//! `refvsr transcode` on recordings with sound, subtitles, chapters and several pictures.

mod common;

use common::{Place, Said, frames, play, pull, refvsr, sound};

/// A recording of the kind that GStreamer cannot write.
fn stored(name: &str) -> String {
    format!("{}/tests/media/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Enlarges with a short wide recording and checks that the picture is whole.
#[track_caller]
fn well(place: &Place, ultrawide: &str, output: &str, more: &[&str]) -> Said {
    let (model, out, wide) = (place.model(), place.text(output), place.film("w.mkv", 20));
    let all = [
        "transcode",
        "--model",
        &model,
        "--device",
        "cpu",
        "-u",
        ultrawide,
        "-w",
        &wide,
        "-o",
        &out,
    ];
    let said = refvsr(&[&all[..], more].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(frames(&out).0.len(), frames(ultrawide).0.len(), "{said:?}");
    said
}

/// How many tracks of a kind a file has, as its demuxer names them.
fn tracks(file: &str, kind: &str) -> usize {
    let demuxer = match file.rsplit('.').next() {
        Some("mkv" | "webm") => "matroskademux",
        Some("ts") => "tsdemux",
        _ => "qtdemux",
    };
    let pipeline =
        gst::parse::launch(&format!("filesrc location={file} ! {demuxer} name=d")).unwrap();
    use gst::prelude::*;
    let bin = pipeline.downcast_ref::<gst::Bin>().unwrap();
    let (sent, found) = std::sync::mpsc::channel();
    let (kind, end) = (kind.to_owned(), sent.clone());
    let demuxer = bin.by_name("d").unwrap();
    demuxer.connect_pad_added(move |_, pad| {
        if pad.name().starts_with(&kind) {
            sent.send(true).unwrap();
        }
    });
    demuxer.connect_no_more_pads(move |_| end.send(false).unwrap());
    pipeline.set_state(gst::State::Paused).unwrap();
    let count = found.iter().take_while(|more| *more).count();
    pipeline.set_state(gst::State::Null).unwrap();
    count
}

#[test]
fn sound_that_nothing_decodes_is_left_out_and_the_rest_stays() {
    let place = Place::new();
    for (output, left) in [("a.mkv", 1), ("a.mp4", 1), ("a.ts", 1)] {
        let said = well(&place, &stored("apac.mov"), output, &[]);
        let told = said.err.contains("apac is left out") && said.err.contains("no decoder");
        assert!(told, "{said:?}");
        assert_eq!(tracks(&place.text(output), "audio"), left, "{output}");
    }
    let said = well(&place, &stored("apac.mov"), "silent.mkv", &["--no-sound"]);
    assert!(!said.err.contains("note"), "{said:?}");
    assert_eq!(tracks(&place.text("silent.mkv"), "audio"), 0);
}

#[test]
fn sound_that_a_file_does_not_hold_is_encoded_anew() {
    let place = Place::new();
    for output in ["a.mp4", "a.ts"] {
        let said = well(&place, &stored("ea.mkv"), output, &[]);
        assert!(said.err.contains("avenc_aac encodes it anew"), "{said:?}");
        assert_eq!(tracks(&place.text(output), "audio"), 1, "{output}");
    }
    let said = well(&place, &stored("ea.mkv"), "a.mkv", &[]);
    assert!(!said.err.contains("note"), "{said:?}");
    for (encoder, output) in [
        ("flacenc", "b.mp4"),
        ("avenc_ac3", "b.webm"),
        ("lamemp3enc", "c.ts"),
    ] {
        let ultrawide = place.make(
            "uw.mkv",
            &format!(
                "matroskamux name=mux ! filesink location={{}} videotestsrc num-buffers=6 ! video/x-raw,width=64,height=48,framerate=10/1 \
                 ! x264enc ! mux. audiotestsrc num-buffers=30 ! audio/x-raw,rate=48000,channels=2 ! {encoder} ! mux."
            ),
        );
        well(
            &place,
            &ultrawide,
            output,
            &[
                "--preset",
                if output.ends_with("webm") {
                    "8"
                } else {
                    "ultrafast"
                },
            ],
        );
        assert_eq!(tracks(&place.text(output), "audio"), 1, "{encoder}");
    }
}

#[test]
fn sound_may_begin_late_and_end_early() {
    let place = Place::new();
    let ultrawide = place.make(
        "uw.mkv",
        "matroskamux name=mux ! filesink location={} videotestsrc num-buffers=20 ! video/x-raw,width=64,height=48,framerate=10/1 \
         ! x264enc ! queue max-size-time=0 max-size-buffers=0 ! mux. \
         audiotestsrc num-buffers=5 samplesperbuffer=4800 timestamp-offset=1000000000 ! audio/x-raw,rate=48000,channels=1 ! opusenc ! queue \
         max-size-time=0 ! mux.",
    );
    for output in ["a.mkv", "a.mp4"] {
        well(&place, &ultrawide, output, &[]);
        let (bytes, first) = sound(place.path(output));
        assert_eq!(bytes, sound(&ultrawide).0);
        assert!(
            first.mseconds().abs_diff(1000) < 30 || output == "a.mp4",
            "{first}"
        );
    }
}

#[test]
fn subtitles_and_chapters_are_kept_or_told() {
    let place = Place::new();
    let said = well(&place, &stored("k1.mkv"), "a.mkv", &[]);
    assert!(
        said.err.contains("the cover picture is left out"),
        "{said:?}"
    );
    let out = place.text("a.mkv");
    let (texts, _) = pull(&format!(
        "filesrc location={out} ! matroskademux name=d d.subtitle_0 ! appsink name=out"
    ));
    let text = texts[0].map_readable().unwrap();
    assert_eq!(std::str::from_utf8(&text).unwrap(), "Hello");
    let bytes = std::fs::read(&out).unwrap();
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(has(b"OneC") || has(b"One"), "no chapter");
    assert!(has(b"Two"), "no second chapter");

    let said = well(&place, &stored("k1.mkv"), "a.mp4", &[]);
    assert!(said.err.contains("the chapters are left out"), "{said:?}");
    assert_eq!(tracks(&place.text("a.mp4"), "subtitle"), 1);
    let said = well(&place, &stored("k1.mkv"), "a.ts", &[]);
    assert!(
        said.err.contains("subtitles") && said.err.contains("left out"),
        "{said:?}"
    );
}

#[test]
fn of_several_pictures_the_default_or_largest_is_taken_and_told() {
    let place = Place::new();
    let (model, out, wide) = (place.model(), place.text("a.mkv"), place.film("w.mkv", 10));
    let pictures = place.text("two.mov");
    play(&format!(
        "qtmux name=mux ! filesink location={pictures} videotestsrc num-buffers=5 ! video/x-raw,width=32,height=24,framerate=10/1 ! x264enc \
         ! h264parse ! mux. videotestsrc num-buffers=5 ! video/x-raw,width=64,height=48,framerate=10/1 ! x264enc ! h264parse ! mux."
    ));
    for ultrawide in [stored("k5.mkv"), pictures] {
        let all = [
            "transcode",
            "--model",
            &model,
            "--device",
            "cpu",
            "--overwrite",
            "-u",
            &ultrawide,
            "-w",
            &wide,
            "-o",
            &out,
        ];
        let said = refvsr(&all);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(
            said.err.contains("holds 2 pictures; one is taken"),
            "{said:?}"
        );
        assert_eq!(frames(&out).1.width(), 256);
    }
}
