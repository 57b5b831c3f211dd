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
    let notes: Vec<_> = said
        .err
        .lines()
        .filter(|line| line.contains("note"))
        .collect();
    assert!(notes.is_empty(), "{said:?}");
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

/// The files attached to a recording, by their names, and how many pictures its demuxer takes for covers.
fn attached(file: &str) -> (Vec<String>, usize) {
    let tags = common::tags(&format!(
        "filesrc location={file} ! decodebin ! video/x-raw ! fakesink"
    ));
    let names = tags.iter_tag::<gst::tags::Attachment>().map(|sample| {
        let sample = sample.get();
        let font = sample.buffer().unwrap().map_readable().unwrap();
        assert_eq!(*font, *FONT);
        sample.info().unwrap().get::<String>("filename").unwrap()
    });
    (names.collect(), tags.size::<gst::tags::Image>())
}

const FONT: &[u8; 5000] = &[7; 5000];

/// A Matroska file with fonts behind all else.
fn with_fonts(place: &Place, names: &[&str]) -> String {
    let element = |id: &[u8], content: &[u8]| {
        let size = (1u64 << 56 | content.len() as u64).to_be_bytes();
        [id, &size, content].concat()
    };
    let files = names.iter().enumerate().map(|(n, name)| {
        let parts = [
            element(b"\x46\x6e", name.as_bytes()),
            element(b"\x46\x60", b"font/ttf"),
            element(b"\x46\xae", &[n as u8 + 1]),
            element(b"\x46\x5c", FONT),
        ];
        element(b"\x61\xa7", &parts.concat())
    });
    let attachments = element(b"\x19\x41\xa4\x69", &files.collect::<Vec<_>>().concat());
    let mut file = std::fs::read(place.film("plain.mkv", 6)).unwrap();
    let size = file
        .windows(4)
        .position(|id| id == b"\x18\x53\x80\x67")
        .unwrap()
        + 4;
    let longer =
        u64::from_be_bytes(file[size..size + 8].try_into().unwrap()) + attachments.len() as u64;
    file[size..size + 8].copy_from_slice(&longer.to_be_bytes());
    file.extend(attachments);
    std::fs::write(place.path("fonts.mkv"), file).unwrap();
    place.text("fonts.mkv")
}

#[test]
fn attached_files_go_along_where_the_container_holds_them() {
    let place = Place::new();
    let fonts = with_fonts(&place, &["one.ttf", "two.otf"]);
    let said = well(&place, &fonts, "a.mkv", &[]);
    assert!(!said.err.contains("note"), "{said:?}");
    // Tags tell of the first one only.
    assert_eq!(attached(&place.text("a.mkv")).0, ["one.ttf"]);
    let out = std::fs::read(place.path("a.mkv")).unwrap();
    assert!(out.windows(7).any(|window| window == b"two.otf"));
    let said = well(&place, &fonts, "a.mp4", &[]);
    assert!(
        said.err.contains("2 attached files are left out"),
        "{said:?}"
    );
    // A cover, which is an attached file of a Matroska file.
    for output in ["b.mkv", "b.mp4"] {
        let said = well(&place, &stored("k1.mkv"), output, &[]);
        assert!(!said.err.contains("cover"), "{said:?}");
        assert_eq!(attached(&place.text(output)).1, 1, "{output}");
    }
}

#[test]
fn uncompressed_sound_is_as_long_as_it_was() {
    let place = Place::new();
    let ultrawide = place.make(
        "uw.mkv",
        "matroskamux name=mux ! filesink location={} videotestsrc num-buffers=6 ! video/x-raw,width=64,height=48,framerate=10/1 ! x264enc \
         ! mux. audiotestsrc num-buffers=20 samplesperbuffer=1024 ! audio/x-raw,format=S16LE,rate=32000,channels=1 ! mux.",
    );
    for output in ["a.mov", "a.mkv"] {
        well(&place, &ultrawide, output, &[]);
        let out = place.text(output);
        let (sound, _) = common::pull(&format!(
            "filesrc location={out} ! decodebin ! audio/x-raw ! appsink name=out"
        ));
        let last = sound.last().unwrap();
        assert_eq!(
            (last.pts().unwrap() + last.duration().unwrap()).mseconds(),
            640,
            "{output}"
        );
    }
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
