//! The apps of `docs/embedding.md` and the recorder example, compiled and run.

mod common;

use common::{Place, Said, frames, said};
use std::path::{Path, PathBuf};
use std::process::Command;

fn built() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_refvsr"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Runs an app with the element in reach.
fn app(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Said {
    let output = Command::new(program.as_ref())
        .args(arguments)
        .env("GST_PLUGIN_PATH", built())
        .env(
            "GST_REGISTRY",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("apps-registry.bin"),
        )
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap();
    said(output)
}

/// The code block of this language in the page.
fn listing(language: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/embedding.md");
    let text = std::fs::read_to_string(page).unwrap();
    let block = text.split(&format!("```{language}\n")).nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

#[test]
fn the_recorder_makes_two_recordings() {
    let place = Place::new();
    let (folder, model) = (place.text(""), place.model());
    let recorder = app(built().join("examples/recorder"), &[&folder, &model]);
    assert_eq!(recorder.code, Some(0), "{recorder:?}");
    assert!(
        recorder.out.contains("references were missing"),
        "{recorder:?}"
    );
    for name in ["first.mkv", "second.mkv"] {
        let (film, info) = frames(place.path(name));
        assert_eq!(info.width(), 256);
        let all = format!("{name}: {0} of {0} frames", film.len());
        assert!(
            !film.is_empty() && recorder.out.contains(&all),
            "{all}: {recorder:?}"
        );
    }
    let said = app(
        built().join("examples/recorder"),
        &[&folder, "no-such-model.pth"],
    );
    assert!(
        said.code == Some(1) && said.err.contains("no-such-model.pth"),
        "{said:?}"
    );
}

#[test]
fn the_apps_of_the_page_run() {
    let place = Place::new();
    let (ultrawide, wide, model) = (
        place.film("uw.mkv", 4),
        place.film("w.mkv", 4),
        place.model(),
    );
    let source = place.path("app.py");
    std::fs::write(&source, listing("python")).unwrap();
    let out = place.text("python.mkv");
    // The system's own interpreter has GStreamer's bindings (Debian: python3-gi, gir1.2-gstreamer-1.0).
    let python = app(
        "/usr/bin/python3",
        &[source.to_str().unwrap(), &ultrawide, &wide, &model, &out],
    );
    assert!(
        python.code == Some(0) && python.out.contains("missing-references"),
        "{python:?}"
    );
    assert_eq!(frames(&out).0.len(), 4);

    let (source, program) = (place.path("app.c"), place.path("app"));
    std::fs::write(&source, listing("c")).unwrap();
    let build = format!(
        "cc -Wall -Werror {} -o {} $(pkg-config --cflags --libs gstreamer-1.0)",
        source.display(),
        program.display()
    );
    let compiled = said(Command::new("sh").args(["-c", &build]).output().unwrap());
    assert_eq!(compiled.code, Some(0), "{compiled:?}");
    let out = place.text("c.mkv");
    let ran = app(&program, &[&ultrawide, &wide, &model, &out]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(frames(&out).0.len(), 4);
    let bad = app(&program, &[&ultrawide, &wide, "no-such-model.pth", &out]);
    assert!(
        bad.code == Some(1) && bad.err.contains("no-such-model.pth"),
        "{bad:?}"
    );
}
