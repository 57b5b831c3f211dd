//! `refvsr transcode` on many clips: trees, shares, interruptions.

mod common;

use common::tree::{SIZE, run, run_well, transcode, tree, wait_for};
use common::{Place, frames, said};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// All files of a finished collection but the manifests, with their contents.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|extension| extension != "json") {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                all.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    all
}

const CLIPS: [(&str, u8); 3] = [("0001", 5), ("0002", 3), ("0003", 4)];

#[test]
fn a_tree_is_done_once_in_its_own_layout_and_shares_make_the_same() {
    let place = Place::new();
    tree(&place, &CLIPS);
    let said = run_well(&place, "out", &[]);
    assert!(said.err.contains("3 clips enlarged"), "{}", said.err);
    let whole = contents(&place.path("out"));
    assert_eq!(whole.len(), 12);
    let (frame, size) = (&whole["test/HR/UW/0001/0004.png"], (SIZE.0 * 4, SIZE.1 * 4));
    assert_eq!(
        image::load_from_memory(frame)
            .unwrap()
            .to_rgb8()
            .dimensions(),
        size
    );

    // Nothing is done twice; another option is another job.
    let said = run_well(&place, "out", &[]);
    assert!(
        said.err.contains("0 clips enlarged") && said.err.contains("3 were finished before"),
        "{}",
        said.err
    );
    let said = run_well(&place, "out", &["--status"]);
    assert!(
        said.out.contains("3 of 3 clips finished (12 frames"),
        "{}",
        said.out
    );
    let said = run(&place, "out", &["--status", "--set", "lookahead=0"]);
    assert!(
        said.code == Some(1) && said.out.contains("0 of 3") && said.out.contains("3 left"),
        "{}",
        said.out
    );

    // Shares make the same, one after the other.
    for shard in ["2/2", "1/2"] {
        run_well(&place, "shared", &["--shard", shard]);
    }
    assert!(contents(&place.path("shared")) == whole);
    // Nothing but the command line says what is a process's share.
    let mut array = transcode(&place, "array", &["--json"]);
    array.envs([
        ("SLURM_ARRAY_TASK_ID", "1"),
        ("SLURM_ARRAY_TASK_COUNT", "2"),
        ("JOB_COMPLETION_INDEX", "1"),
        ("REFVSR_SHARDS", "2"),
    ]);
    let said = common::said(array.output().unwrap());
    assert_eq!(said.out.matches(r#""event":"done""#).count(), 3, "{said:?}");
}

#[test]
fn killed_and_interrupted_work_goes_on_to_the_same_result() {
    let place = Place::new();
    // Long enough not to be done before it is interrupted.
    tree(&place, &[("0001", 5), ("0002", 150), ("0003", 4)]);
    run_well(&place, "whole", &[]);
    let whole = contents(&place.path("whole"));

    let mut child = transcode(&place, "out", &["--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&mut child, &["begin", "0002"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let finished = std::fs::metadata(place.path("out/test/HR/UW/0001/0000.png"))
        .unwrap()
        .modified()
        .unwrap();

    let mut child = transcode(&place, "out", &["--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&mut child, &["begin", "0002"]);
    let interrupted = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    // Not SIGINT, which a shell's background jobs ignore, and so would this one.
    assert_eq!(child.wait().unwrap().code(), Some(143));
    // What is not finished leaves nothing behind.
    let so_far = contents(&place.path("out"));
    assert!(
        so_far
            .iter()
            .all(|(name, bytes)| whole.get(name) == Some(bytes)),
        "{:?}",
        so_far.keys()
    );

    run_well(&place, "out", &[]);
    assert!(contents(&place.path("out")) == whole);
    let again = std::fs::metadata(place.path("out/test/HR/UW/0001/0000.png"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(finished, again, "a finished clip is not done again");
}

#[test]
fn bad_clips_are_named_and_the_rest_is_done() {
    let place = Place::new();
    tree(
        &place,
        &[
            ("corrupt", 3),
            ("good", 3),
            ("hole", 4),
            ("lonely", 2),
            ("short", 4),
        ],
    );
    let lrx4 = place.path("tree/test/LRx4");
    std::fs::write(
        lrx4.join("UW/corrupt/0001.png"),
        b"\x89PNG\r\n\x1a\nrubbish",
    )
    .unwrap();
    std::fs::remove_file(lrx4.join("UW/hole/0002.png")).unwrap();
    std::fs::remove_dir_all(lrx4.join("W/lonely")).unwrap();
    std::fs::remove_file(lrx4.join("W/short/0003.png")).unwrap();
    let said = run(&place, "out", &[]);
    assert_eq!(said.code, Some(1));
    for words in [
        ["corrupt/0001.png", "cannot read"],
        ["UW/hole", "lacks frame 2"],
        ["clip lonely has no wide recording", "W/lonely"],
        ["short", "has 4 frames"],
        ["1 clips enlarged", "4 failed"],
    ] {
        assert!(
            said.err
                .lines()
                .any(|line| words.iter().all(|word| line.contains(word))),
            "{words:?}\n{}",
            said.err
        );
    }
    assert_eq!(place.files("out/test/HR/UW"), ["good"]);
    let said = run(&place, "out", &["--status"]);
    assert!(
        said.code == Some(1) && said.out.contains("1 of 5") && said.out.contains("4 failed"),
        "{}",
        said.out
    );
    // What stands in for missing frames can be said.
    let said = run(&place, "out", &["--set", "on-missing-reference=repeat"]);
    assert_eq!(
        place.files("out/test/HR/UW"),
        ["good", "short"],
        "{}",
        said.err
    );
}

#[test]
fn recordings_of_a_folder_are_found_by_their_names() {
    let place = Place::new();
    std::fs::create_dir(place.path("films")).unwrap();
    for name in ["beach_UW.mkv", "beach_W.mkv", "street_UW.mkv"] {
        place.film(&format!("films/{name}"), 2);
    }
    let (model, folder, output) = (place.model(), place.text("films"), place.text("out"));
    let said = common::refvsr(&[
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
    ]);
    assert!(
        said.code == Some(1) && said.err.contains("street_W.mkv") && said.err.contains("1 failed"),
        "{said:?}"
    );
    assert_eq!(frames(place.path("out/beach.mkv")).0.len(), 2);
}

#[test]
fn messages_that_cannot_be_written_do_not_end_the_work() {
    let place = Place::new();
    tree(&place, &[("0001", 2), ("0002", 2)]);
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = transcode(&place, "out", &[]).stderr(full).status();
    assert_eq!(status.unwrap().code(), Some(0));
    assert_eq!(place.files("out/test/HR/UW"), ["0001", "0002"]);
}

#[test]
fn a_full_disk_is_one_message_and_loses_nothing() {
    let place = Place::new();
    tree(&place, &[("0001", 2), ("0002", 40), ("0003", 2)]);
    let out = place.text("out");
    std::fs::create_dir(&out).unwrap();
    // A file system of one's own, with room for the first clip.
    let script = format!(
        "mount -t tmpfs -o size=160k none {out} || exit 77; \"$@\"; code=$?; find {out} -type f; exit $code"
    );
    let inner = transcode(&place, "out", &[]);
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
    assert_eq!(said.code, Some(75), "{said:?}");
    assert_eq!(said.err.matches("the disk is full").count(), 1, "{said:?}");
    assert!(said.err.contains("0002"), "{said:?}");
    let mut files: Vec<_> = said
        .out
        .lines()
        .map(|line| line.strip_prefix(&out).unwrap())
        .collect();
    files.sort_unstable();
    assert_eq!(
        files,
        [
            "/.refvsr/test/HR/UW/0001.json",
            "/test/HR/UW/0001/0000.png",
            "/test/HR/UW/0001/0001.png"
        ]
    );
}
