//! `refvsr transcode` writes over and removes nothing that it did not write.

mod common;

use common::belongings::Snapshot;
use common::{Place, Said, command, frames, refvsr, refvsr_well, said};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs it with the tiny model on the CPU.
macro_rules! transcode {
    ($run:ident, $place:expr, $($argument:expr),* $(,)?) => {
        $run(&["transcode", "--model", &$place.model(), "--device", "cpu", $($argument),*])
    };
}

/// A folder of frames.
fn pictures(place: &Place, name: &str, frames: u8) -> String {
    fs::create_dir_all(place.path(name)).unwrap();
    for n in 0..frames {
        let picture = image::RgbImage::from_fn(24, 16, |x, y| {
            image::Rgb([(x * 9) as u8 ^ n, (y * 9) as u8, n.wrapping_mul(16)])
        });
        let file = place.path(name).join(format!("{n:04}.png"));
        picture.save(file).unwrap();
    }
    place.text(name)
}

/// That it was refused before any work, with such words, and nothing is different; proposing `--overwrite` would not help.
#[track_caller]
fn refused(place: &Place, arguments: &[&str], words: &[&str]) {
    for more in [&[][..], &["--overwrite"]] {
        let before = Snapshot::of(place.0.path());
        let model = place.model();
        let all = [
            &["transcode", "--model", &model, "--device", "cpu"],
            arguments,
            more,
        ]
        .concat();
        let said = refvsr(&all);
        before.check(&[]);
        assert!(
            said.code == Some(1) && words.iter().all(|word| said.err.contains(word)),
            "{all:?} {said:?}"
        );
        assert!(!said.err.contains("frames in"), "{said:?}");
    }
}

#[test]
fn recordings_below_an_output_of_a_collection_stay() {
    let place = Place::new();
    for name in ["day1/UW.mkv", "day1/W.mkv"] {
        fs::create_dir_all(place.path("trip/day1")).unwrap();
        place.film(&format!("trip/{name}"), 2);
    }
    symlink("trip", place.path("link")).unwrap();
    let [trip, link] = ["trip", "link"].map(|name| place.text(name));
    for output in [&trip, &link] {
        let arguments = ["--folder", &trip, "--pattern", "{clip}/{lens}.mkv"];
        let arguments = [&arguments[..], &["--format", "png", "-o", output]].concat();
        refused(&place, &arguments, &["day1", "lies in it"]);
    }
}

#[test]
fn ground_truth_stays() {
    let place = Place::new();
    for lens in ["UW", "W"] {
        pictures(&place, &format!("set/test/LRx4/{lens}/0001"), 2);
        pictures(&place, &format!("set/test/HR/{lens}/0001"), 2);
        pictures(&place, &format!("copy/test/HR/{lens}/0001"), 2);
    }
    let [set, inside, copy] = ["set", "set/out", "copy"].map(|name| place.text(name));
    for output in [&set, &inside] {
        refused(
            &place,
            &["--tree", &set, "-o", output],
            &["the data set", "choose another folder"],
        );
    }
    // Another copy of the truth is no part of the data set, and no less somebody's.
    refused(
        &place,
        &["--tree", &set, "-o", &copy],
        &["0000.png", "did not write"],
    );
}

#[test]
fn folders_with_files_of_others_stay() {
    let place = Place::new();
    let (uw, w) = (pictures(&place, "in/UW", 2), pictures(&place, "in/W", 2));
    for name in ["recs", "photos/beach"] {
        fs::create_dir_all(place.path(name)).unwrap();
    }
    fs::write(place.path("photos/beach/IMG_1.jpg"), "x").unwrap();
    for lens in ["UW", "W"] {
        place.film(&format!("recs/beach_{lens}.mkv"), 2);
    }
    let [recs, photos, beach] = ["recs", "photos", "photos/beach/"].map(|name| place.text(name));
    let collection = ["--folder", &recs, "--pattern", "{clip}_{lens}.mkv"];
    refused(
        &place,
        &[&collection[..], &["--format", "png", "-o", &photos]].concat(),
        &["IMG_1.jpg", "did not write"],
    );
    refused(
        &place,
        &["-u", &uw, "-w", &w, "-o", &beach],
        &["IMG_1.jpg", "did not write"],
    );
    // A file in the place of the manifests' folder: what is written could not be known again.
    fs::create_dir(place.path("odd")).unwrap();
    fs::write(place.path("odd/.refvsr"), "x").unwrap();
    let odd = place.text("odd/");
    refused(
        &place,
        &["-u", &uw, "-w", &w, "-o", &odd],
        &["odd/.refvsr", "is a file, not a folder"],
    );
    // Above, below and in place of what is read, by a link too.
    symlink("in", place.path("link")).unwrap();
    for (output, words) in [
        ("in/", "lies in it"),
        ("link/", "lies in it"),
        (".", "lies in it"),
        ("in/UW/out/", "it lies in"),
        ("link/W/out.mkv", "it lies in"),
        ("link/UW/", "both read and written"),
    ] {
        let output = place.text(output);
        refused(&place, &["-u", &uw, "-w", &w, "-o", &output], &[words]);
    }
}

#[test]
fn frames_are_written_anew_where_they_are_the_commands_own() {
    let place = Place::new();
    let (uw, w) = (pictures(&place, "UW", 3), pictures(&place, "W", 3));
    let out = place.text("out/");
    let again = |more: &[&str]| -> Said {
        let model = place.model();
        let all = ["transcode", "--model", &model, "--device", "cpu"];
        refvsr(&[&all[..], &["-u", &uw, "-w", &w, "-o", &out], more].concat())
    };
    // An empty folder is as good as none, and stays the same one.
    fs::create_dir(place.path("out")).unwrap();
    let before = Snapshot::of(place.0.path());
    assert_eq!(again(&[]).code, Some(0));
    before.check(&[]);
    let frames = ["0000.png", "0001.png", "0002.png"];
    assert_eq!(place.files("out"), [&[".refvsr"][..], &frames].concat());
    let said = again(&[]);
    assert!(
        said.code == Some(1) && said.err.contains("--overwrite"),
        "{said:?}"
    );

    // Frames that are no longer there are not left of the older ones; hidden files and the folder stay.
    fs::write(place.path("out/.DS_Store"), "x").unwrap();
    for folder in ["UW", "W"] {
        fs::remove_file(place.path(folder).join("0002.png")).unwrap();
    }
    assert_eq!(again(&["--overwrite"]).code, Some(0));
    let names = [".DS_Store", ".refvsr", "0000.png", "0001.png"];
    assert_eq!(place.files("out"), names);

    // What the user has changed is not the command's any more.
    fs::write(place.path("out/0001.png"), "retouched").unwrap();
    let said = again(&["--overwrite"]);
    assert!(
        said.code == Some(1) && said.err.contains("0001.png"),
        "{said:?}"
    );
    fs::remove_file(place.path("out/0001.png")).unwrap();
    fs::write(place.path("out/0007.png"), "another's").unwrap();
    let said = again(&["--overwrite"]);
    assert!(
        said.code == Some(1) && said.err.contains("0007.png"),
        "{said:?}"
    );
}

#[test]
fn collections_ask_for_overwrite_too() {
    let place = Place::new();
    fs::create_dir(place.path("recs")).unwrap();
    fs::create_dir(place.path("out")).unwrap();
    for clip in ["a", "b"] {
        for lens in ["UW", "W"] {
            place.film(&format!("recs/{clip}_{lens}.mkv"), 2);
        }
    }
    fs::write(place.path("out/a.mkv"), "a film of the user's").unwrap();
    let run = |more: &[&str]| {
        let (model, recs, out) = (place.model(), place.text("recs"), place.text("out"));
        let all = [
            "transcode",
            "--model",
            &model,
            "--device",
            "cpu",
            "-o",
            &out,
        ];
        let clips = ["--folder", &recs, "--pattern", "{clip}_{lens}.mkv"];
        said(
            command(&[&all[..], &clips, more].concat())
                .output()
                .unwrap(),
        )
    };
    let before = Snapshot::of(place.0.path());
    let said = run(&[]);
    before.check(&[]);
    assert!(
        said.code == Some(1) && said.err.contains("a.mkv is there already; --overwrite"),
        "{said:?}"
    );
    assert_eq!(frames(place.path("out/b.mkv")).0.len(), 2);
    // Another job would write over the finished one.
    let said = run(&["--crf", "30"]);
    assert!(said.err.contains("b.mkv is there already"), "{said:?}");
    before.check(&[]);
    let said = run(&["--overwrite"]);
    assert!(
        said.code == Some(0) && said.err.contains("1 clips enlarged"),
        "{said:?}"
    );
    assert_eq!(frames(place.path("out/a.mkv")).0.len(), 2);
}

#[test]
fn what_appears_during_the_work_stays() {
    let place = Place::new();
    let (uw, w) = (pictures(&place, "UW", 90), pictures(&place, "W", 90));
    for (output, appears) in [("a.mkv", "a.mkv"), ("b/", "b"), ("c/", "c/0001.png")] {
        let (model, out) = (place.model(), place.text(output));
        let arguments = ["-u", &uw, "-w", &w, "-o", &out, "--json"];
        let all = ["transcode", "--model", &model, "--device", "cpu"];
        let mut child = command(&[&all[..], &arguments].concat());
        let mut child = child
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let part = || {
            fs::read_dir(place.0.path())
                .unwrap()
                .flatten()
                .any(|entry| {
                    let path = entry.path();
                    let partial = path.extension().is_some_and(|end| end == "part");
                    partial && (path.is_file() || path.join("0000.png").exists())
                })
        };
        while !part() {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let path = place.path(appears);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "somebody's").unwrap();
        let said = said(child.wait_with_output().unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's");
        assert!(
            said.code == Some(1) && said.err.is_empty() && said.out.contains("appeared"),
            "{output} {said:?}"
        );
        assert!(!part(), "{output}");
    }
}

#[test]
fn links_are_followed_and_names_may_be_as_long_as_the_file_system_allows() {
    let place = Place::new();
    let (uw, w) = (place.film("uw.mkv", 2), place.film("w.mkv", 2));
    fs::create_dir(place.path("big")).unwrap();
    symlink("big/out.mkv", place.path("link.mkv")).unwrap();
    symlink("big", place.path("folder")).unwrap();
    let link = place.text("link.mkv");
    for more in [&[][..], &["--overwrite"]] {
        let model = place.model();
        let all = [
            "transcode",
            "--model",
            &model,
            "--device",
            "cpu",
            "-o",
            &link,
        ];
        refvsr_well(&[&all[..], &["-u", &uw, "-w", &w], more].concat());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(frames(place.path("big/out.mkv")).0.len(), 2);
    }
    let long = ["x".repeat(251) + ".mkv", "日".repeat(83) + ".mkv"];
    for name in [&long[0], &long[1], &format!("folder/{}/", "é".repeat(127))] {
        transcode!(
            refvsr_well,
            place,
            "-u",
            &uw,
            "-w",
            &w,
            "-o",
            &place.text(name)
        );
        assert!(place.path(name).exists());
    }
    let name = place.text(&("x".repeat(252) + ".mkv"));
    let said = transcode!(refvsr, place, "-u", &uw, "-w", &w, "-o", &name);
    assert!(
        said.code == Some(1) && said.err.contains("too long"),
        "{said:?}"
    );
}

#[test]
fn percent_signs_in_names_stand_for_themselves() {
    let place = Place::new();
    let (uw, w) = (pictures(&place, "UW", 2), pictures(&place, "W", 2));
    for name in ["100%done", "take %d", "a%s", "n%n%n"] {
        let out = place.text(&format!("{name}/"));
        transcode!(refvsr_well, place, "-u", &uw, "-w", &w, "-o", &out);
        assert_eq!(place.files(name), ["0000.png", "0001.png"]);
    }
}

/// Runs a shell script as root of a mount namespace; none where this machine allows no such thing.
fn mounted(script: &str, inner: &Command) -> Option<Said> {
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script, "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap();
    let said = said(output);
    (said.code != Some(77) && !said.err.contains("unshare")).then_some(said)
}

#[test]
fn mount_points_are_written_into_and_other_mounts_of_inputs_are_known() {
    let place = Place::new();
    let (uw, w) = (pictures(&place, "in/UW", 2), pictures(&place, "in/W", 2));
    fs::create_dir(place.path("disk")).unwrap();
    let [disk, input] = ["disk", "in"].map(|name| place.text(name));
    let model = place.model();
    let all = [
        "transcode",
        "--model",
        &model,
        "--device",
        "cpu",
        "--overwrite",
    ];
    let inner = command(&[&all[..], &["-u", &uw, "-w", &w, "-o", &disk]].concat());
    // A disk has a folder of its own; the second run replaces the first one's frames.
    let script = format!(
        "mount -t tmpfs none {disk} || exit 77; mkdir {disk}/lost+found; \"$@\" && \"$@\"; code=$?; ls {disk}; exit $code"
    );
    if let Some(said) = mounted(&script, &inner) {
        assert!(
            said.code == Some(0) && said.out.contains("0001.png"),
            "{said:?}"
        );
    }
    let script = format!("mount --bind {input} {disk} || exit 77; \"$@\"");
    if let Some(said) = mounted(&script, &inner) {
        assert!(
            said.code == Some(1) && said.err.contains("lies in it"),
            "{said:?}"
        );
    }
    assert_eq!(place.files("in"), ["UW", "W"]);
}

#[test]
fn a_terminal_that_goes_stops_the_work_but_not_under_nohup() {
    let place = Place::new();
    let (uw, w) = (pictures(&place, "UW", 60), pictures(&place, "W", 60));
    for (name, before, code) in [("a", "", Some(129)), ("b", "trap '' HUP; ", Some(0))] {
        let (model, out) = (place.model(), place.text(name) + "/");
        let all = ["transcode", "--model", &model, "--device", "cpu"];
        let inner = command(&[&all[..], &["-u", &uw, "-w", &w, "-o", &out]].concat());
        let mut child = Command::new("sh")
            .args(["-c", &format!("{before} exec \"$@\""), "sh"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .env("OMP_NUM_THREADS", "1")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let listens = |child: u32| {
            let parts = fs::read_dir(place.0.path()).unwrap().flatten();
            let begun = parts.filter(|e| e.path().join("0000.png").exists()).count() > 2;
            begun || !Path::new(&format!("/proc/{child}")).exists()
        };
        while !listens(child.id()) && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let id = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-HUP", &id])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(child.wait().unwrap().code(), code, "{name}");
        assert_eq!(place.path(name).exists(), code == Some(0));
    }
}
