//! Which model the commands use, and how often they load it.

mod common;

use common::scored::tree;
use common::{Place, command, refvsr, refvsr_well};
use std::fs::{File, FileTimes};
use std::io::BufRead;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

/// Long ago.
fn old() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

/// When a file was last read.
fn read_at(path: &str) -> SystemTime {
    std::fs::metadata(path).unwrap().accessed().unwrap()
}

/// Makes a file look as if nobody had read it for long.
fn make_unread(path: &str) {
    let file = File::options().append(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_accessed(old()))
        .unwrap();
}

#[test]
fn a_collection_loads_its_model_once() {
    let place = Place::new();
    let (data, model) = (tree(&place), place.model());
    make_unread(&model);
    std::fs::read(&model).unwrap();
    if read_at(&model) == old() {
        // This file system does not note when files are read.
        return;
    }
    let mut child = command(&[
        "transcode",
        "--model",
        &model,
        "--device",
        "cpu",
        "--tree",
        &data,
        "-o",
        &place.text("out"),
        "--json",
    ])
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let first = out.find(|line| line.as_ref().unwrap().contains(r#""event":"begin""#));
    assert!(first.is_some());
    // The model is there when the first clip begins.
    make_unread(&model);
    let done = out.filter(|line| line.as_ref().unwrap().contains(r#""event":"done""#));
    assert_eq!(done.count(), 3);
    assert!(child.wait().unwrap().success());
    assert_eq!(read_at(&model), old(), "the model was read again");
}

#[test]
fn bundled_models_are_named() {
    let place = Place::new();
    let data = tree(&place);
    let said = refvsr_well(&["info", "quality"]);
    for text in [
        "bundled         quality",
        "registered",
        "card: licence",
        "MPL-2.0",
    ] {
        assert!(said.out.contains(text), "{text} in\n{}", said.out);
    }
    let json = place.text("quality.json");
    refvsr_well(&[
        "evaluate",
        &data,
        "--model",
        "quality",
        "--device",
        "cpu",
        "--clips",
        "1",
        "--frames",
        "1",
        "--references",
        "without",
        "--json",
        &json,
    ]);
    let scores = std::fs::read_to_string(&json).unwrap();
    assert!(scores.contains(r#""quality, no reference""#), "{scores}");

    // Where a model was not there when this was built, that is said; a path is a path.
    let out = place.text("out");
    let transcode = |model: &str| {
        refvsr(&[
            "transcode",
            "--model",
            model,
            "--device",
            "cpu",
            "--tree",
            &data,
            "-o",
            &out,
        ])
    };
    if refvsr::Bundled::Light.content().is_none() {
        let said = transcode("light");
        assert!(
            said.code == Some(1) && said.err.contains("models/light.safetensors was not there"),
            "{said:?}"
        );
    }
    let said = transcode("./light");
    assert!(
        said.code == Some(1) && said.err.contains("./light"),
        "{said:?}"
    );
}
