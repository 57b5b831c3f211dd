//! `refvsr adapt`: tiny runs, from recordings to a model.

mod common;

use common::{Place, cameras::Filmed, command, refvsr, refvsr_well, said};
use refvsr::checkpoint::Checkpoint;
use refvsr::image::resize::bicubic_antialiased;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// Frames by which the wide camera started later, a tenth of a second each.
const LATER: i64 = 3;

/// Both cameras' recordings of a scene.
fn film(place: &Place, seed: i64) {
    let ultrawide = Filmed {
        seed,
        size: (256, 192),
        frames: 18,
        zoom: 1.0,
        late: 0,
    };
    ultrawide.record(place, "uw.mkv");
    let wide = Filmed {
        zoom: 2.0,
        late: LATER,
        ..ultrawide
    };
    wide.record(place, "w.mkv");
}

/// The words that adapt the small model to these recordings, in so many steps.
fn words(place: &Place, output: &str) -> Vec<String> {
    let mut words: Vec<String> = ["adapt", "--device", "cpu", "--steps", "15"]
        .map(str::to_owned)
        .into();
    for (option, value) in [
        ("-u", place.text("uw.mkv")),
        ("-w", place.text("w.mkv")),
        ("-o", place.text(output)),
        ("--model", place.pupil()),
    ] {
        words.extend([option.to_owned(), value]);
    }
    words
}

fn adapt(place: &Place, output: &str, more: &[&str]) -> common::Said {
    let words = words(place, output);
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.extend(more);
    refvsr_well(&words)
}

/// The folders of works on a model.
fn works(place: &Place, name: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(place.path(name)).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

fn log(work: &Path) -> String {
    std::fs::read_to_string(work.join("run/log.jsonl")).unwrap_or_default()
}

#[test]
fn a_model_learns_from_what_was_filmed_and_from_nothing_else() {
    let place = Place::new();
    film(&place, 11);
    let said = adapt(&place, "own.safetensors", &[]);
    assert!(
        said.err.contains("started +0.3000 s after the ultra-wide"),
        "{said:?}"
    );
    assert!(said.out.contains("step 15 of 15"), "{said:?}");
    assert!(said.out.contains("pupil, before"), "{said:?}");
    let picture = image::open(place.path("own.png")).unwrap();
    assert!(picture.width() > 4 * 384, "{picture:?}");

    // Its fusions have learnt, the rest is as it was, and the file says the same of it.
    let (before, after) = (place.pupil(), place.text("own.safetensors"));
    let read = |path: &str| Checkpoint::read(Path::new(path)).unwrap();
    let (before, after) = (read(&before), read(&after));
    assert_eq!(before.config, after.config);
    let half = |x: &Tensor| x.to_kind(Kind::Half);
    let differs = |(name, x): &(&String, &Tensor)| !half(x).equal(&half(&after.tensors()[*name]));
    let changed: Vec<_> = before.tensors().iter().filter(differs).collect();
    assert!(!changed.is_empty(), "{said:?}");
    for (name, _) in changed {
        assert!(
            name.starts_with("wide_fusion.") || name.starts_with("wide_carrier."),
            "{name} has changed"
        );
    }

    // Frames are spread, some are held back, and the cameras' lie at the same moments.
    let [work] = works(&place, "own.adapt").try_into().unwrap();
    let clips = |split: &str| {
        works(
            &place,
            work.join("frames")
                .join(split)
                .join("HR/UW")
                .to_str()
                .unwrap(),
        )
    };
    assert_eq!((clips("train").len(), clips("valid").len()), (1, 1));
    let frame = |lens: &str, n: i64| {
        let file = work.join(format!("frames/train/HR/{lens}/0000/{n:04}.png"));
        refvsr_tools::picture::tensor(&file, Device::Cpu).unwrap()
    };
    let middle = frame("UW", 2).narrow(2, 48, 96).narrow(3, 64, 128);
    let away = |n: i64| {
        let wide = bicubic_antialiased(&frame("W", n), 96, 128).unwrap();
        (wide - &middle).abs().mean(Kind::Double).double_value(&[])
    };
    assert!(
        away(2) < 0.3 * away(1).min(away(3)),
        "{} {}",
        away(2),
        away(1)
    );

    // Nothing is written over unasked.
    let all = words(&place, "own.safetensors");
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let again = refvsr(&all);
    assert!(
        again.code == Some(1) && again.err.contains("--overwrite"),
        "{again:?}"
    );
    // Other recordings of the same names, lengths and sizes are another run.
    let first = std::fs::read(place.path("own.safetensors")).unwrap();
    film(&place, 12);
    adapt(&place, "own.safetensors", &["--overwrite"]);
    let second = std::fs::read(place.path("own.safetensors")).unwrap();
    assert!(first != second, "the first model again");
    assert_eq!(works(&place, "own.adapt").len(), 2);
    // What has been learnt is not learnt anew.
    film(&place, 11);
    let known = log(&work);
    adapt(&place, "own.safetensors", &["--overwrite"]);
    assert!(std::fs::read(place.path("own.safetensors")).unwrap() == first);
    let events = |log: &str| log.matches("\"event\":\"step\"").count();
    assert_eq!(events(&log(&work)), events(&known));
}

/// Waits until a run has made a step.
#[track_caller]
fn first_step(place: &Place, child: &mut Child) {
    let begun = Instant::now();
    while !works(place, "b.adapt")
        .iter()
        .any(|work| log(work).contains("\"event\":\"step\""))
    {
        assert_eq!(child.try_wait().unwrap(), None);
        assert!(begun.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_was_interrupted_goes_on_and_ends_as_if_it_had_not_been() {
    let place = Place::new();
    film(&place, 11);
    adapt(&place, "a.safetensors", &[]);
    // Once asked to stop, once killed: the trainer then ends with it, and saves what it has.
    for signal in ["TERM", "KILL"] {
        let all = words(&place, "b.safetensors");
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let mut child = command(&all)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        first_step(&place, &mut child);
        let id = child.id().to_string();
        let signal_option = format!("-{signal}");
        let sent = std::process::Command::new("kill")
            .args([signal_option, id])
            .status();
        assert!(sent.unwrap().success());
        let ended = said(child.wait_with_output().unwrap());
        assert!(!place.path("b.safetensors").exists());
        if signal == "TERM" {
            assert_eq!(ended.code, Some(143), "{ended:?}");
            assert!(ended.err.contains("goes on after step"), "{ended:?}");
        }
    }
    let said = adapt(&place, "b.safetensors", &[]);
    assert!(said.out.contains("going on after step"), "{said:?}");
    let read = |name: &str| std::fs::read(place.path(name)).unwrap();
    assert!(read("a.safetensors") == read("b.safetensors"));
}

#[test]
fn what_cannot_be_learnt_from_is_told_in_one_line() {
    let place = Place::new();
    let film = place.film("film.mkv", 20);
    let large = |name: &str, frames: u32| {
        place.make(
            name,
            &format!(
                "videotestsrc num-buffers={frames} ! video/x-raw,width=256,height=192,framerate=10/1,format=I420 ! x264enc ! matroskamux ! filesink location={{}}"
            ),
        )
    };
    let (short, long) = (large("short.mkv", 9), large("long.mkv", 20));
    let (other, two) = (place.model(), place.model_of_scale_2());
    let (pupil, page) = (place.pupil(), place.text("own.html"));
    std::fs::write(place.path("text.mkv"), "no video").unwrap();
    let text = place.text("text.mkv");
    let cases: [(&[&str], &str); 9] = [
        (&["-u", &film, "-w", &film], "film.mkv is 64x48"),
        (&["-u", &short, "-w", &short], "short.mkv has 9 frames"),
        (&["-u", &long, "-w", &text], "text.mkv"),
        (
            &["-u", &long, "-w", &long, "--model", &other],
            "RefVsr network",
        ),
        (&["-u", &long, "-w", &long, "--model", &two], "expected"),
        (&["-u", &long, "-w", &long, "--model", &text], "text.mkv"),
        (
            &["-u", &long, "-w", &long, "-o", &page],
            "ends in .safetensors",
        ),
        (
            &["-u", &long, "-w", &long, "--model", "live"],
            "is a Live network; quality, light",
        ),
        (
            &["-u", &long, "-w", &long, "--offset", "wide=50"],
            "no moment in common",
        ),
    ];
    for (words, expected) in cases {
        let output = place.text("own.safetensors");
        let mut all = vec!["adapt", "--device", "cpu"];
        for (option, value) in [("-o", &output), ("--model", &pupil)] {
            if !words.contains(&option) {
                all.extend([option, value]);
            }
        }
        all.extend(words);
        let said = refvsr(&all);
        assert_eq!(said.code, Some(1), "{words:?} {said:?}");
        assert!(said.err.contains(expected), "{words:?} {said:?}");
        let lines = said.err.lines().filter(|line| !line.starts_with("note: "));
        assert_eq!(lines.count(), 1, "{words:?} {said:?}");
        assert!(!place.path("own.safetensors").exists() && !place.path("own.png").exists());
    }
    // Without the program that trains.
    let alone = place.path("refvsr");
    std::fs::copy(env!("CARGO_BIN_EXE_refvsr"), &alone).unwrap();
    let mut command = std::process::Command::new(&alone);
    let output = place.text("own.safetensors");
    command.args(["adapt", "-u", &long, "-w", &long, "-o", &output]);
    let said = said(command.output().unwrap());
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("refvsr-train is missing"), "{said:?}");
}
