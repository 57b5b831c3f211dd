//! `refvsr transcode` on recordings that lack frames, and on disks that lack room.

mod common;

use common::{Place, Said, command, frames, refvsr, said};
use std::process::Command;

/// The times of `count` frames at 10 a second, but for those left out.
fn times_without(count: u64, left_out: &[u64]) -> Vec<u64> {
    (0..count)
        .filter(|n| !left_out.contains(n))
        .map(|n| n * 100)
        .collect()
}

/// Transcodes to `out.mkv` with the tiny model.
fn transcode(place: &Place, ultrawide: &str, wide: &str, more: &[&str]) -> Said {
    let (model, out) = (place.model(), place.text("out.mkv"));
    let all = [
        "transcode",
        "--model",
        &model,
        "--device",
        "cpu",
        "--overwrite",
        "-u",
        ultrawide,
        "-w",
        wide,
        "-o",
        &out,
    ];
    refvsr(&[&all[..], more].concat())
}

/// That one line says what is wrong, and the output is whole nevertheless.
#[track_caller]
fn told(place: &Place, said: &Said, frames_out: usize, text: &str) {
    let lines: Vec<_> = said
        .err
        .lines()
        .filter(|line| line.starts_with("refvsr: "))
        .collect();
    assert!(
        said.code == Some(1) && lines.len() == 1 && lines[0].contains(text),
        "{text}\n{said:?}"
    );
    assert_eq!(frames(place.path("out.mkv")).0.len(), frames_out);
}

#[test]
fn missing_frames_are_named_and_the_rest_is_done() {
    let place = Place::new();
    let whole = place.film_at("whole.mkv", "10/1", &times_without(20, &[]));
    let holes = place.film_at("holes.mkv", "10/1", &times_without(20, &[9, 14, 15]));
    let short = place.film_at("short.mkv", "10/1", &times_without(16, &[]));

    let good = transcode(&place, &short, &whole, &[]);
    assert_eq!(good.code, Some(0), "{good:?}");
    let lacking = "holes.mkv: 3 frames are missing or damaged, at 0.900 s, 1.400 s";
    told(&place, &transcode(&place, &holes, &whole, &[]), 17, lacking);
    told(&place, &transcode(&place, &whole, &holes, &[]), 20, lacking);
    let ended = transcode(&place, &whole, &short, &[]);
    told(
        &place,
        &ended,
        20,
        "short.mkv has none for the frames from 1.600 s to the end",
    );

    // What stands in for them, that the cameras began at different moments, or that it is all the same.
    for (ultrawide, wide, more) in [
        (&whole, &holes, ["--set", "on-missing-reference=repeat"]),
        (&whole, &short, ["--offset", "wide=0.1"]),
        (&holes, &whole, ["--accept-missing", "--json"]),
    ] {
        let said = transcode(&place, ultrawide, wide, &more);
        assert_eq!(said.code, Some(0), "{said:?}");
        let event = said.out.contains(r#""event":"damage""#) && said.out.contains(lacking);
        assert_eq!(event, more[1] == "--json", "{said:?}");
    }
}

#[test]
fn corrupt_frames_are_named_and_the_rest_is_done() {
    let place = Place::new();
    let encoded = |name: &str, encoder: &str, muxer: &str| {
        place.make(
            name,
            &format!(
                "videotestsrc pattern=ball num-buffers=20 ! video/x-raw,width=64,height=48,framerate=10/1,format=I420 \
                 ! {encoder} ! {muxer} ! filesink location={{}}"
            ),
        )
    };
    let wide = encoded("w.mkv", "x264enc", "matroskamux");
    // Every frame stands alone, and the index of the file stays good.
    let pictures = encoded("uw.mov", "jpegenc", "qtmux");
    let mut bytes = std::fs::read(&pictures).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 1500].fill(0xA5);
    std::fs::write(&pictures, bytes).unwrap();
    let said = transcode(&place, &pictures, &wide, &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("uw.mov") && said.err.contains("missing or damaged, at"),
        "{said:?}"
    );
    let left = frames(place.path("out.mkv")).0.len();
    assert!((10..20).contains(&left), "{left}");

    // The second half of the file is not there.
    let cut = encoded("cut.mkv", "x264enc key-int-max=1", "matroskamux");
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let said = transcode(&place, &cut, &wide, &[]);
    let left = frames(place.path("out.mkv")).0.len();
    told(&place, &said, left, "cut.mkv: its picture ends at ");
    assert!(
        said.err.contains(" of 2.000 s") && (5..15).contains(&left),
        "{said:?}"
    );
}

#[test]
fn recordings_of_a_collection_that_lack_frames_are_done_once_and_told_again() {
    let place = Place::new();
    std::fs::create_dir(place.path("films")).unwrap();
    for (name, left_out) in [
        ("a_UW", &[9][..]),
        ("a_W", &[]),
        ("b_UW", &[]),
        ("b_W", &[]),
    ] {
        place.film_at(
            &format!("films/{name}.mkv"),
            "10/1",
            &times_without(16, left_out),
        );
    }
    let (model, folder, output) = (place.model(), place.text("films"), place.text("out"));
    let run = |more: &[&str]| {
        let all = [
            "transcode",
            "--model",
            &model,
            "--device",
            "cpu",
            "--folder",
            &folder,
            "--pattern",
            "{clip}_{lens}.mkv",
            "-o",
            &output,
        ];
        refvsr(&[&all[..], more].concat())
    };
    let text = "a_UW.mkv: 1 frame is missing or damaged, at 0.900 s";
    for summary in ["2 clips enlarged", "2 were finished before"] {
        let said = run(&[]);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(
            said.err.contains(summary) && said.err.contains("1 of them lack frames"),
            "{said:?}"
        );
        assert_eq!(said.err.matches(text).count(), 1, "{said:?}");
    }
    let status = run(&["--status"]);
    assert!(
        status.out.contains(text) && status.out.contains("2 of 2 clips finished"),
        "{status:?}"
    );
    // What no clip would do with is said once, before any.
    for (more, text) in [
        (["--encoder", "nosuchenc"], "nosuchenc"),
        (["--set", "nosuch=1"], "no property nosuch"),
    ] {
        let said = run(&more);
        assert!(
            said.code == Some(1) && said.err.contains(text) && said.err.lines().count() == 1,
            "{said:?}"
        );
    }
    assert_eq!(place.files("out"), [".refvsr", "a.mkv", "b.mkv"]);
}

#[test]
fn a_full_disk_is_one_message_and_leaves_nothing() {
    let place = Place::new();
    let (film, model, out) = (place.film("film.mkv", 20), place.model(), place.text("out"));
    std::fs::create_dir(&out).unwrap();
    let file = place.text("out/film.mkv");
    let inner = command(&[
        "transcode",
        "--model",
        &model,
        "--device",
        "cpu",
        "-u",
        &film,
        "-w",
        &film,
        "-o",
        &file,
        "--codec",
        "ffv1",
    ]);
    // A file system of one's own, with hardly any room.
    let script = format!(
        "mount -t tmpfs -o size=16k none {out} || exit 77; \"$@\"; code=$?; find {out} -type f; exit $code"
    );
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", &script, "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap();
    let said = said(output);
    if said.code == Some(77) || said.err.contains("unshare") {
        // No file system can be mounted here.
        return;
    }
    let text = format!("refvsr: cannot write {file}: the disk is full\n");
    assert_eq!((said.code, said.err), (Some(75), text));
    assert_eq!(said.out, "", "nothing is left");
}
