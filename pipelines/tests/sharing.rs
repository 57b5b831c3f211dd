//! Work that engines share: lists of clips, single clips of them, exit codes, the scripts for clusters.

mod common;

use common::tree::{run, run_well, signal, transcode, tree, wait_for, worker};
use common::{Place, said};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// What `--list` says, by clip.
fn list(place: &Place, output: &str, more: &[&str]) -> BTreeMap<String, serde_json::Value> {
    let said = run_well(place, output, &[&["--list"], more].concat());
    let lines = said.out.lines();
    let all = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    all.map(|line| (line["clip"].as_str().unwrap().to_owned(), line))
        .collect()
}

#[test]
fn an_engine_shares_the_work_by_the_list() {
    let place = Place::new();
    tree(&place, &[("0001", 2), ("bad one", 2), ("it's", 2)]);
    let lrx4 = place.path("tree/test/LRx4");
    std::fs::write(lrx4.join("W/bad one/0001.png"), "rubbish").unwrap();
    let all = list(&place, "out", &[]);
    let names: Vec<_> = all.keys().collect();
    assert_eq!(names, ["0001", "bad one", "it's"]);
    let clip = &all["it's"];
    assert_eq!(clip["state"], "left");
    assert_eq!(
        clip["inputs"]["wide"],
        lrx4.join("W/it's").to_str().unwrap()
    );
    let output = place.path("out/test/HR/UW/it's");
    assert_eq!(clip["output"], output.to_str().unwrap());
    assert!(!place.path("out").exists(), "a list is only a list");

    // Each line says what does its clip, with an exit code that is right for it.
    for (name, code) in [("0001", 0), ("bad one", 1), ("0001", 0)] {
        let run = all[name]["run"].as_array().unwrap();
        let run: Vec<_> = run.iter().map(|word| word.as_str().unwrap()).collect();
        let status = Command::new(run[0]).args(&run[1..]).status();
        assert_eq!(status.unwrap().code(), Some(code), "{name}");
    }
    let all = list(&place, "out", &[]);
    let states: Vec<_> = all
        .values()
        .map(|clip| clip["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["done", "failed", "left"]);
    assert_eq!(all["0001"]["frames"], 2);
    let error = all["bad one"]["error"].as_str().unwrap();
    assert!(error.contains("W/bad one/0001.png"), "{error}");

    // For shells: what is not done, whatever the names are.
    let commands = run_well(&place, "out", &["--list=commands"]).out;
    assert_eq!(commands.lines().count(), 2, "{commands}");
    let line = commands.lines().last().unwrap();
    let status = Command::new("sh")
        .args(["-c", line])
        .current_dir("/")
        .status();
    assert_eq!(status.unwrap().code(), Some(0), "{line}");
    assert_eq!(place.files("out/test/HR/UW/it's").len(), 2);

    let said = run(&place, "out", &["--only", "none"]);
    assert!(
        said.code == Some(1) && said.err.contains("no clip none"),
        "{said:?}"
    );
}

#[test]
fn splits_and_formats_are_known_apart() {
    let place = Place::new();
    tree(&place, &[("0001", 2)]);
    let test = place.path("tree/test");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(&test)
        .arg(place.path("tree/valid"))
        .status();
    assert!(copied.unwrap().success());
    for _ in 0..2 {
        for more in [
            &["--split", "test"],
            &["--split", "valid"],
            &["--format", "mkv"],
        ] {
            run_well(&place, "out", more);
        }
    }
    // A frame rate makes another video; the folder is the same, however it is spelt.
    let said = run(
        &place,
        "out/../out",
        &["--format", "mkv", "--framerate", "25"],
    );
    assert!(
        said.code == Some(1) && said.err.contains("which was made with \"framerate 30/1\""),
        "{said:?}"
    );
    std::os::unix::fs::symlink(place.path("tree"), place.path("link")).unwrap();
    let (model, link, out) = (place.model(), place.text("link"), place.text("link/../out"));
    let said = common::refvsr_well(&[
        "transcode",
        "--model",
        &model,
        "--device",
        "cpu",
        "--set",
        "precision=fp32-fast",
        "--tree",
        &link,
        "-o",
        &out,
        "--format",
        "mkv",
        "--json",
    ]);
    assert!(said.out.contains(r#""event":"skipped""#), "{said:?}");
}

#[test]
fn auto_is_decided_once_for_a_job() {
    let place = Place::new();
    let tree = tree(&place, &[("0001", 1)]);
    let out = place.text("out");
    let common = ["transcode", "--tree", &tree, "-o", &out, "--device", "cpu"];
    let list = |more: &[&str]| -> Vec<String> {
        let said = common::refvsr_well(&[&common[..], &["--list"], more].concat());
        let line: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        let run = line["run"].as_array().unwrap().iter();
        run.map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let run = list(&[]);
    assert!(run.contains(&"--auto=model=light".to_owned()), "{run:?}");
    assert!(
        run.iter().any(|word| word.starts_with("--auto=precision=")),
        "{run:?}"
    );
    // Another machine of the job does as it is told.
    let told = ["--auto", "model=quality", "--auto=precision=bf16"];
    let run = list(&told);
    assert_eq!(
        run.iter().filter(|word| word.starts_with("--auto")).count(),
        2
    );
    assert!(run.contains(&"--auto=model=quality".to_owned()), "{run:?}");
    // What was named is not auto.
    let run = list(&["--model", "light", "--set", "precision=fp32"]);
    assert!(
        !run.iter().any(|word| word.starts_with("--auto")),
        "{run:?}"
    );
}

#[test]
fn two_processes_do_not_write_one_output() {
    let place = Place::new();
    tree(&place, &[("0001", 250), ("0002", 2)]);
    // A process that is at work, and stays so.
    let begin = || {
        let mut child = transcode(&place, "out", &["--json", "--only", "0001"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for(&mut child, &["begin"]);
        let folder = place.path("out/test/HR/UW");
        let holds = |folder: &Path| {
            std::fs::read_dir(folder)
                .into_iter()
                .flatten()
                .flatten()
                .count()
        };
        let begun = || {
            std::fs::read_dir(&folder)
                .into_iter()
                .flatten()
                .flatten()
                .any(|part| holds(&part.path()) > 1)
        };
        while !begun() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        signal("-STOP", worker(&child));
        child
    };
    let mut child = begin();
    let states = list(&place, "out", &[]);
    assert_eq!(states["0001"]["state"], "running");
    let other = run(&place, "out", &["--only", "0001"]);
    assert!(
        other.code == Some(75) && other.err.contains("another process is writing"),
        "{other:?}"
    );
    // The one is told to stop, as a scheduler does.
    signal("-CONT", worker(&child));
    signal("-TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(list(&place, "out", &[])["0001"]["state"], "left");

    // A killed one leaves nothing that keeps the next from it.
    let mut child = begin();
    signal("-CONT", worker(&child));
    child.kill().unwrap();
    child.wait().unwrap();
    run_well(&place, "out", &["--only", "0001"]);
    assert_eq!(place.files("out/test/HR/UW"), ["0001"]);
}

#[test]
fn a_file_system_without_locks_is_told() {
    if Command::new("strace").arg("-V").output().is_err() {
        return;
    }
    let place = Place::new();
    tree(&place, &[("0001", 1)]);
    let inner = transcode(&place, "out", &[]);
    let output = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "inject=flock:error=ENOSYS",
        ])
        .arg(inner.get_program())
        .args(inner.get_args())
        .output()
        .unwrap();
    let said = said(output);
    assert!(
        said.code == Some(0) && said.err.contains("no locks"),
        "{said:?}"
    );
}

/// A folder with commands that stand in for those of Slurm.
fn slurm(place: &Place) -> String {
    let scripts = [
        ("sbatch", "echo \"$REFVSR_FIRST $*\" >> submitted"),
        (
            "scontrol",
            "echo \"$*\" >> asked; echo 'MaxArraySize            = 3'",
        ),
    ];
    std::fs::create_dir(place.path("bin")).unwrap();
    for (name, script) in scripts {
        let path = place.path("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    }
    format!("{}:{}", place.text("bin"), std::env::var("PATH").unwrap())
}

#[test]
fn the_cluster_scripts_run_what_they_say() {
    let place = Place::new();
    tree(&place, &[("0001", 2), ("0002", 40), ("0003", 2)]);
    let cluster = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster");
    let path = slurm(&place);
    let slurm = |arguments: &[&str], task: Option<&str>| {
        let mut slurm = Command::new("bash");
        slurm.arg(cluster.join("slurm.sh")).args(arguments);
        slurm.env("REFVSR", env!("CARGO_BIN_EXE_refvsr"));
        slurm.env("PATH", &path).current_dir(place.0.path());
        slurm.env_remove("SLURM_ARRAY_TASK_ID");
        if let Some(task) = task {
            let (first, id) = task.split_once('+').unwrap();
            slurm.envs([("SLURM_ARRAY_TASK_ID", id), ("REFVSR_FIRST", first)]);
            slurm.env("SLURM_ARRAY_JOB_ID", "7");
        }
        slurm
    };
    let model = place.model();
    let submit = [
        "clips", "--tree", "tree", "-o", "out", "--device", "cpu", "--model", &model,
    ];
    let said = said(slurm(&submit, None).output().unwrap());
    assert!(
        said.code == Some(0) && said.out.contains("3 clips are left"),
        "{said:?}"
    );
    let submitted = std::fs::read_to_string(place.path("submitted")).unwrap();
    let arrays: Vec<_> = submitted
        .lines()
        .map(|line| line.split_once(" /").unwrap().0)
        .collect();
    assert_eq!(arrays, ["0 --array=1-2", "2 --array=1-1"]);
    let clips = place.text("clips");

    // The last task; then one that the scheduler stops, which is queued again.
    let status = slurm(&[&clips], Some("2+1")).status().unwrap();
    assert_eq!(
        (status.code(), place.files("out/test/HR/UW")),
        (Some(0), vec!["0003".into()])
    );
    let mut task = slurm(&[&clips], Some("0+2")).spawn().unwrap();
    let folder = place.path("out/test/HR/UW");
    let begun = || {
        std::fs::read_dir(&folder)
            .unwrap()
            .flatten()
            .any(|entry| std::fs::read_dir(entry.path()).unwrap().count() > 3)
    };
    while !begun() && task.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let told = Command::new("kill")
        .args(["-TERM", &task.id().to_string()])
        .status();
    assert!(told.unwrap().success());
    assert_eq!(task.wait().unwrap().code(), Some(143));
    let asked = std::fs::read_to_string(place.path("asked")).unwrap();
    assert!(asked.contains("requeue 7_2"), "{asked}");
    assert_eq!(place.files("out/test/HR/UW"), ["0003"]);

    // The Job's pod runs a line of the same list.
    let job = std::fs::read_to_string(cluster.join("kubernetes.yaml")).unwrap();
    let command = job
        .lines()
        .find_map(|line| line.trim().strip_prefix("command:"))
        .unwrap();
    let command: Vec<String> = serde_json::from_str(command.trim()).unwrap();
    let script = command[2].replace("/data/clips", &clips);
    let status = Command::new(&command[0])
        .args([&command[1], &script])
        .env("JOB_COMPLETION_INDEX", "0")
        .status();
    assert_eq!(status.unwrap().code(), Some(0));
    assert_eq!(place.files("out/test/HR/UW"), ["0001", "0003"]);
}
