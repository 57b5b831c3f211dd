//! `refvsr transcode --sync`: when cameras started.

mod common;

use common::{Place, Said, play, refvsr};
use gst::prelude::*;

/// Lines two recordings up and writes `out.mkv`.
fn line_up(place: &Place, ultrawide: &str, wide: &str, sync: &str) -> Said {
    let (model, out) = (place.model(), place.text("out.mkv"));
    refvsr(&[
        "transcode",
        "--model",
        &model,
        "--device",
        "cpu",
        "-u",
        ultrawide,
        "-w",
        wide,
        "-o",
        &out,
        "--sync",
        sync,
        "--overwrite",
    ])
}

/// How much later the wide camera started, in seconds, as the command says.
#[track_caller]
fn found(said: &Said) -> f64 {
    assert_eq!(said.code, Some(0), "{said:?}");
    let text = said.err.split("started ").nth(1).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn timecodes_tell_when_a_camera_started() {
    let place = Place::new();
    // The ball is where the timecode says, so that the wide picture shows what belongs to the ultra-wide one.
    let film = |name: &str, timecode: &str, frames: u32| {
        place.make(
            name,
            &format!(
                "videotestsrc num-buffers={frames} ! video/x-raw,width=64,height=48,framerate=10/1,format=I420 \
                 ! timecodestamper set=always source=internal set-internal-timecode={timecode} ! x264enc ! h264parse ! qtmux \
                 ! filesink location={{}}"
            ),
        )
    };
    let early = film("early.mov", "10:11:12:07", 10);
    let late = film("late.mov", "10:11:13:02", 5);
    assert_eq!(found(&line_up(&place, &early, &late, "timecode")), 0.5);
    assert_eq!(found(&line_up(&place, &late, &early, "timecode")), -0.5);
    let without = place.film("none.mkv", 3);
    let said = line_up(&place, &early, &without, "timecode");
    assert!(
        said.code == Some(1) && said.err.contains("none.mkv has no timecode"),
        "{said:?}"
    );
}

/// A Matroska file that says when it was made.
fn matroska(place: &Place, name: &str, date: &str) -> String {
    let path = place.text(name);
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers=6 ! video/x-raw,width=64,height=48,framerate=10/1,format=I420 ! x264enc ! matroskamux name=mux \
         ! filesink location={path}"
    ))
    .unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let date = gst::glib::DateTime::from_iso8601(date, None).unwrap();
    let muxer = pipeline.by_name("mux").unwrap();
    muxer.set_property("creation-time", date);
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    bus.timed_pop_filtered(gst::ClockTime::NONE, &[gst::MessageType::Eos])
        .unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    path
}

/// An MP4 file that says when it was made, in seconds since 1904.
fn mp4(place: &Place, name: &str, date: u32) -> String {
    let path = place.make(
        name,
        "videotestsrc num-buffers=20 ! video/x-raw,width=64,height=48,framerate=10/1,format=I420 ! x264enc ! h264parse ! mp4mux \
         ! filesink location={}",
    );
    let mut bytes = std::fs::read(&path).unwrap();
    let header = bytes.windows(4).position(|w| w == b"mvhd").unwrap();
    // Version 0 counts in 32 bits, version 1 in 64; the time is the first field.
    let low = header + 8 + if bytes[header + 4] == 1 { 4 } else { 0 };
    bytes[low..low + 4].copy_from_slice(&date.to_be_bytes());
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn dates_tell_when_a_camera_started() {
    let place = Place::new();
    let early = matroska(&place, "early.mkv", "2026-02-03T10:00:00.250Z");
    let late = matroska(&place, "late.mkv", "2026-02-03T11:00:00.550+01:00");
    let offset = found(&line_up(&place, &early, &late, "creation-time"));
    assert!((offset - 0.3).abs() < 1e-4, "{offset}");
    let (early, late) = (
        mp4(&place, "early.mp4", 3_850_000_000),
        mp4(&place, "late.mp4", 3_850_000_001),
    );
    assert_eq!(found(&line_up(&place, &early, &late, "creation-time")), 1.0);

    let undated = place.text("undated.avi");
    play(&format!(
        "videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48,framerate=10/1,format=I420 ! x264enc ! avimux \
         ! filesink location={undated}"
    ));
    let said = line_up(&place, &early, &undated, "creation-time");
    assert!(
        said.code == Some(1)
            && said
                .err
                .contains("undated.avi does not say when it was filmed"),
        "{said:?}"
    );
}

#[test]
fn the_sound_tells_when_a_camera_started() {
    let place = Place::new();
    // One noise, which each camera records from another moment on.
    let samples: Vec<i16> = {
        let (buffers, _) = common::pull(
            "audiotestsrc wave=pink-noise num-buffers=200 samplesperbuffer=1024 ! audio/x-raw,format=S16LE,rate=48000,channels=1 ! appsink name=out",
        );
        let bytes: Vec<u8> = buffers
            .iter()
            .flat_map(|b| b.map_readable().unwrap().to_vec())
            .collect();
        bytes
            .chunks_exact(2)
            .map(|b| i16::from_le_bytes([b[0], b[1]]))
            .collect()
    };
    let record = |name: &str, skip: usize| {
        let raw = place.text("sound.raw");
        let bytes: Vec<u8> = samples[skip..]
            .iter()
            .flat_map(|s| s.to_le_bytes())
            .collect();
        std::fs::write(&raw, bytes).unwrap();
        place.make(
            name,
            &format!(
                "videotestsrc num-buffers=30 ! video/x-raw,width=64,height=48,framerate=10/1,format=I420 ! x264enc ! h264parse \
                 ! matroskamux name=mux ! filesink location={{}} \
                 filesrc location={raw} ! rawaudioparse use-sink-caps=false format=pcm pcm-format=s16le sample-rate=48000 num-channels=1 \
                 ! audioconvert ! opusenc ! mux."
            ),
        )
    };
    let (ultrawide, wide) = (record("uw.mkv", 0), record("w.mkv", 48 * 437));
    let offset = found(&line_up(&place, &ultrawide, &wide, "audio"));
    assert!((offset - 0.437).abs() < 0.005, "{offset}");
    // The other way round the wide camera started before.
    let offset = found(&line_up(&place, &wide, &ultrawide, "audio"));
    assert!((offset + 0.437).abs() < 0.005, "{offset}");

    let silent = place.film("silent.mkv", 30);
    let said = line_up(&place, &ultrawide, &silent, "audio");
    assert!(
        said.code == Some(1) && said.err.contains("silent.mkv has no sound"),
        "{said:?}"
    );
}

/// A recording of the kind that GStreamer cannot write.
fn stored(name: &str) -> String {
    format!("{}/tests/media/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn timecodes_go_on_over_midnight() {
    let place = Place::new();
    let (before, after) = (stored("tcu.mov"), stored("tcw.mov"));
    let offset = found(&line_up(&place, &before, &after, "timecode"));
    assert!(offset.abs() < 1.0 && offset != 0.0, "{offset}");
    assert_eq!(
        found(&line_up(&place, &after, &before, "timecode")),
        -offset
    );
}

#[test]
fn cameras_that_never_filmed_together_are_refused_and_little_used_ones_told() {
    let place = Place::new();
    let (early, late) = (
        mp4(&place, "early.mp4", 3_850_000_000),
        mp4(&place, "late.mp4", 3_850_003_601),
    );
    let said = line_up(&place, &early, &late, "creation-time");
    let text = "have no moment in common: the wide camera started +3601.000 s after";
    assert!(said.code == Some(1) && said.err.contains(text), "{said:?}");
    assert!(said.err.contains("other time zones"), "{said:?}");
    assert!(!place.path("out.mkv").exists());

    let (model, out) = (place.model(), place.text("out.mkv"));
    for (offset, code) in [
        ("wide=5", 1),
        ("wide=-2.5", 1),
        ("wide=1.3", 1),
        ("wide=0.7", 0),
    ] {
        let said = refvsr(&[
            "transcode",
            "--model",
            &model,
            "--device",
            "cpu",
            "-u",
            &early,
            "-w",
            &late,
            "-o",
            &out,
            "--overwrite",
            "--offset",
            offset,
        ]);
        assert_eq!(said.code, Some(code), "{offset} {said:?}");
        if offset == "wide=1.3" {
            let text = "late.mp4 was used in 7 of 20 frames only";
            assert!(said.err.contains(text), "{said:?}");
        }
    }
}

#[test]
fn a_camera_that_is_not_there_has_no_offset() {
    let place = Place::new();
    let (model, film, out) = (place.model(), place.film("a.mkv", 3), place.text("out.mkv"));
    let said = refvsr(&[
        "transcode",
        "--model",
        &model,
        "-u",
        &film,
        "-w",
        &film,
        "-o",
        &out,
        "--offset",
        "tele=1",
    ]);
    assert!(
        said.code == Some(1) && said.err.contains("needs the tele camera's recording"),
        "{said:?}"
    );
}
