//! Clips that kill what reads them, and things that are no recordings.

mod common;

use common::tree::{run, transcode, tree, wait_for, worker};
use common::{Place, command, refvsr};
use std::io::Read;
use std::process::{Child, Command, Stdio};

/// What is left to read of a child's output, and how it ended.
fn end(mut child: Child) -> (String, Option<i32>) {
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    (text, child.wait().unwrap().code())
}

/// Kills a command's worker by a signal. Of SIGSEGV the first one is the runtime's, which puts the usual way in its place.
fn crash(name: &str, command: &Child) {
    let stat = format!("/proc/{}/stat", worker(command));
    let lives = || {
        let stat = std::fs::read_to_string(&stat).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with('Z'))
    };
    let id = worker(command).to_string();
    while lives() {
        _ = Command::new("kill").args([name, &id]).status();
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_clip_that_kills_its_decoder_ends_alone() {
    let place = Place::new();
    tree(&place, &[("0001", 2), ("0002", 200), ("0003", 2)]);
    // For want of memory, another attempt may go better; where a decoder crashes, it does not.
    for (name, code) in [("-KILL", 75), ("-SEGV", 1), ("-ABRT", 1)] {
        let mut child = transcode(&place, "out", &["--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for(&mut child, &["begin", "0002"]);
        crash(name, &child);
        let (text, ended) = end(child);
        assert_eq!(ended, Some(code), "{name}: {text}");
        assert!(text.contains(r#""event":"error","clip":"0002""#), "{text}");
        assert!(text.contains(r#""clip":"0003""#), "{text}");
        assert_eq!(place.files("out/test/HR/UW"), ["0001", "0003"], "{name}");
    }
    let status = run(&place, "out", &["--status"]);
    assert!(
        status.out.contains("0002: a decoder") && status.out.contains("crashed (SIGABRT)"),
        "{status:?}"
    );
}

#[test]
fn a_recording_that_kills_its_decoder_is_told() {
    let place = Place::new();
    let (model, film, out) = (
        place.model(),
        place.film("uw.mkv", 300),
        place.text("out.mkv"),
    );
    let mut child = command(&[
        "transcode",
        "--model",
        &model,
        "-u",
        &film,
        "-w",
        &film,
        "-o",
        &out,
        "--json",
    ])
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    wait_for(&mut child, &["begin"]);
    crash("-SEGV", &child);
    let (text, code) = end(child);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("uw.mkv") && text.contains("crashed (SIGSEGV)"),
        "{text}"
    );
    let left = place.files("");
    assert!(!left.iter().any(|name| name.ends_with(".part")), "{left:?}");
}

#[test]
fn what_is_no_recording_is_refused_at_once() {
    let place = Place::new();
    let (model, film, out) = (place.model(), place.film("w.mkv", 2), place.text("out.mkv"));
    let told = |input: &str| {
        refvsr(&[
            "transcode",
            "--model",
            &model,
            "-u",
            input,
            "-w",
            &film,
            "-o",
            &out,
        ])
    };
    let pipe = place.text("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let gif = place.text("an.gif");
    std::fs::write(&gif, b"GIF89a\x10\0\x10\0\x80\0\0\xff\xff\xff\0\0\0;").unwrap();
    let grey = format!("{}/tests/media/gray10.mkv", env!("CARGO_MANIFEST_DIR"));
    // GStreamer's decoder has no memory for pixels without a name, and now and then crashes before it says so.
    let of_grey = [
        "no name for its kind of pixels (video/x-ffv)",
        "plugin of GStreamer crashed (SIGSEGV)",
    ];
    for (input, words) in [
        (&grey, &of_grey[..]),
        (&pipe, &["is a pipe"]),
        (&gif, &["is a picture (GIF"]),
        (&"/dev/null".into(), &["is a device"]),
    ] {
        let said = told(input);
        let is_told = words.iter().any(|words| said.err.contains(words));
        assert!(
            said.code == Some(1) && said.err.contains(input.as_str()) && is_told,
            "{said:?}"
        );
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
    }
}

#[test]
fn a_folder_that_is_gone_is_no_place_to_start_in_and_no_reason_to_fail() {
    let place = Place::new();
    let (model, film) = (place.model(), place.film("uw.mkv", 2));
    for (output, code) in [(place.text("out.mkv"), 0), ("out.mkv".into(), 1)] {
        let gone = place.path("gone");
        std::fs::create_dir(&gone).unwrap();
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
            &output,
        ]);
        let output = Command::new("sh")
            .args(["-c", "rmdir \"$PWD\" && exec \"$@\"", "sh"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .env("OMP_NUM_THREADS", "1")
            .current_dir(&gone)
            .output()
            .unwrap();
        let said = common::said(output);
        assert_eq!(said.code, Some(code), "{said:?}");
        assert!(said.err.contains("names have to begin with /"), "{said:?}");
        assert_eq!(
            said.err.contains("cannot write out.mkv"),
            code == 1,
            "{said:?}"
        );
    }
    assert!(place.path("out.mkv").exists());
}
