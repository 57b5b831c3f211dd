//! `refvsr-train score --long`: what it has to see.

mod common;

use common::registered;
use indicatif::ProgressBar;
use refvsr::{Network, checkpoint};
use refvsr_train::{
    data::png::{self, Picture},
    score::score,
};
use serde_json::Value;
use std::{fs, path::Path, process::Command};
use tch::Kind;

/// A photo of fine texture in colours.
fn photo(path: &Path, tilt: f64) {
    let (width, height) = (640usize, 480usize);
    let data = (0..width * height * 3)
        .map(|i| {
            let (c, x, y) = (i % 3, (i / 3 % width) as f64, (i / 3 / width) as f64);
            let wave = (x / (3.0 + c as f64) + tilt * y).sin() * (y / 5.0 - x / 23.0).cos();
            (128.0 + 60.0 * wave + 40.0 * (x / 61.0 + y / 47.0).sin()) as u8
        })
        .collect();
    let picture = Picture {
        width,
        height,
        data,
    };
    png::write(path, &picture).unwrap();
}

fn saved(network: &Network, path: &Path) {
    checkpoint::save(network, path, Kind::Float).unwrap();
}

/// Runs `score --long` on the photos in a folder; the tables, and the rows.
fn long(folder: &Path, models: &[&str], more: &str) -> (String, Vec<Value>) {
    let file = |name: &str| folder.join(name).into_os_string();
    let mut words = vec![
        file(models[0]),
        "--long".into(),
        "--json".into(),
        file("rows.jsonl"),
    ];
    for model in &models[1..] {
        words.extend(["--against".into(), file(model)]);
    }
    words.push("--sources".into());
    words.push(file("a.png"));
    if folder.join("b.png").exists() {
        words.push(file("b.png"));
    }
    words.extend("--precision fp32 --device cpu".split(' ').map(Into::into));
    words.extend(more.split_whitespace().map(Into::into));
    let text = score(&common::score_options(words), &ProgressBar::hidden()).unwrap();
    let rows = fs::read_to_string(folder.join("rows.jsonl")).unwrap();
    // What an interrupted run left of a line stays where it is.
    let rows = rows
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    (text, rows.collect())
}

fn of<'a>(rows: &'a [Value], model: &str, references: &str) -> Vec<&'a Value> {
    let wanted = |row: &&Value| row["model"] == model && row["references"] == references;
    rows.iter().filter(wanted).collect()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// A network whose recurrence is left as it was drawn, or multiplied.
fn network(gain: f64) -> Network {
    let network = registered(3);
    for (name, mut variable) in network.weights().variables() {
        // Drawn anew, its pictures are noise: a tenth of that is a model near bicubic enlargement.
        if name.starts_with("conv_last") {
            tch::no_grad(|| variable.copy_(&(&variable * 0.1)));
        }
        if name.starts_with("forward_resblocks") || name.starts_with("forward_trunk") {
            tch::no_grad(|| variable.copy_(&(&variable * gain)));
        }
    }
    network
}

#[test]
fn a_planted_runaway_falls_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photo(&folder.join("a.png"), 0.1);
    saved(&network(1.0), &folder.join("steady.safetensors"));
    saved(&network(6.0), &folder.join("runaway.safetensors"));
    let models = ["steady.safetensors", "runaway.safetensors"];
    let more = "--frames 14 --size 128x96 --only tripod --noise 1 --references none";
    let (text, rows) = long(folder, &models, more);
    let slope = |model: &str| number(&of(&rows, model, "no reference")[0]["psnr"]["slope"]);
    let (steady, runaway) = (slope("steady"), slope("runaway"));
    assert!(
        runaway < -5.0 && steady.abs() < 1.0,
        "{steady} {runaway}\n{text}"
    );
    for row in of(&rows, "bicubic", "") {
        assert_eq!(row["psnr"]["segments"].as_array().unwrap().len(), 10);
        assert!(number(&row["psnr"]["slope"]).abs() < 1.0, "{row}");
        // Bicubic enlargement, reduced, is nearly the input.
        assert!(number(&row["residual"]["segments"][0]) < 12.0, "{row}");
    }
    for row in of(&rows, "truth", "") {
        // A tripod: nothing moves in the truth.
        let steps = &row["steps"];
        assert_eq!(
            [&steps["largest"], &steps["warping"]].map(number),
            [0.0; 2],
            "{row}"
        );
        // The input differs from the reduced truth by its noise of one code.
        let noise = number(&row["residual"]["segments"][0]);
        assert!((0.9..1.2).contains(&noise), "{noise}");
    }
    for title in ["a.png, tripod, noise 1, 14 frames: PSNR, dB", "all clips"] {
        assert!(text.contains(&format!("| {title} |")), "{title}\n{text}");
    }
}

#[test]
fn every_reference_has_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photo(&folder.join("a.png"), 0.1);
    photo(&folder.join("b.png"), 0.4);
    saved(&network(1.0), &folder.join("model.safetensors"));
    let csv = folder.join("rows.csv");
    let more = format!(
        "--frames 3 --size 128x96 --only stop-and-go --noise 0 --csv {}",
        csv.display()
    );
    let (text, rows) = long(folder, &["model.safetensors"], &more);
    // Two photos; truth, bicubic and three kinds of references.
    assert_eq!(rows.len(), 2 * (2 + 3));
    for references in ["no reference", "wide", "another's wide"] {
        assert_eq!(of(&rows, "model", references).len(), 2, "{text}");
        assert!(text.contains(&format!("| model, {references} |")), "{text}");
    }
    let table = fs::read_to_string(csv).unwrap();
    assert_eq!(table.lines().count(), 1 + rows.len());
    let columns = |line: &str| line.split(',').count();
    let head = columns(table.lines().next().unwrap());
    assert!(table.lines().all(|line| columns(line) == head), "{table}");
}

#[test]
fn coarser_quantizers_lower_the_score_and_rows_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photo(&folder.join("a.png"), 0.2);
    saved(&network(1.0), &folder.join("model.safetensors"));
    let more = "--frames 8 --size 192x128 --only pan --noise 0 \
         --quantizer none,18,28,38 --references none";
    let (text, rows) = long(folder, &["model.safetensors"], more);
    assert_eq!(rows.len(), 4 * 3);
    let found: Vec<f64> = of(&rows, "bicubic", "")
        .into_iter()
        .map(|row| number(&row["psnr"]["segments"][0]))
        .collect();
    assert!(found.is_sorted_by(|a, b| a > b), "{found:?}\n{text}");
    // What is known where the camera went brings the truth's frames onto each other.
    let pan = of(&rows, "truth", "")[0];
    let [step, warping] = ["median", "warping"].map(|what| number(&pan["steps"][what]));
    assert!(step > 1.5 && warping < step / 3.0, "{step} {warping}");

    // The same once more measures nothing, also after an interruption in mid-line.
    let file = folder.join("rows.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    let (again, _) = long(folder, &["model.safetensors"], more);
    assert_eq!(
        (&again, &fs::read_to_string(&file).unwrap()),
        (&text, &whole)
    );
    fs::write(&file, &whole[..whole.len() - 20]).unwrap();
    let (again, rows) = long(folder, &["model.safetensors"], more);
    assert_eq!((again, rows.len()), (text, 12));
}

#[test]
fn what_is_asked_for_wrongly_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.safetensors");
    saved(&registered(1), &model);
    let says = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refvsr-train"));
        let out = command
            .arg("score")
            .arg(&model)
            .args(more)
            .output()
            .unwrap();
        assert!(!out.status.success());
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    assert!(says(&["--long"]).contains("--sources"));
    assert!(says(&["--only", "tripod"]).contains("--long"));
    assert!(says(&[]).contains("--data"));
    let text = says(&["--long", "--sources", "/no/such.jpg"]);
    assert!(text.contains("/no/such.jpg"), "{text}");
    let other = folder.path().join("notes.txt");
    fs::write(&other, "something else\n").unwrap();
    let other = other.to_str().unwrap();
    let text = says(&["--long", "--sources", other, "--json", other]);
    assert!(
        text.contains("notes.txt is there and holds no rows"),
        "{text}"
    );
}
