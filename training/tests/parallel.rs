//! Training in several processes, through mpirun.
#![cfg(feature = "mpi")]

mod common;

use common::{clip, logged_steps, tiny_run, wait_for};
use refvsr_train::{
    run::LAST,
    run::saved::{self, Progress},
};
use std::{
    path::Path,
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_refvsr-train");

fn data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    clip(folder.path(), "train", "a", 5, (192, 160));
    clip(folder.path(), "train", "b", 4, (160, 128));
    clip(folder.path(), "train", "c", 4, (160, 128));
    folder
}

fn ready(mut command: Command) -> Command {
    command
        .env("OMP_NUM_THREADS", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// One process without mpirun.
fn alone(args: &[String]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(args);
    ready(command).output().unwrap()
}

/// One process for each list of arguments.
fn together(args: [&[String]; 2]) -> Command {
    let mut command = Command::new("mpirun");
    // Tests may run as root, in a container, on fewer cores than processes.
    command.args([
        "--allow-run-as-root",
        "--oversubscribe",
        "--bind-to",
        "none",
    ]);
    command.args(["--mca", "btl_vader_single_copy_mechanism", "none"]);
    command
        .args(["-np", "1", PROGRAM])
        .args(args[0])
        .args([":", "-np", "1", PROGRAM])
        .args(args[1]);
    ready(command)
}

#[track_caller]
fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The largest difference between the states of two runs.
#[track_caller]
fn off(a: &Path, b: &Path) -> f64 {
    let ((a, at), (b, bt)) = (
        saved::load::<Progress>(&a.join(LAST)).unwrap(),
        saved::load::<Progress>(&b.join(LAST)).unwrap(),
    );
    assert_eq!(
        (at.steps, at.updates, at.patches),
        (bt.steps, bt.updates, bt.patches)
    );
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    a.iter()
        .map(|(name, tensor)| (tensor - &b[name]).abs().max().double_value(&[]))
        .fold(0.0, f64::max)
}

#[test]
fn two_processes_train_as_one_does_with_twice_the_batch() {
    let data = data();
    let at = |name: &str| data.path().join(name);
    let args = |run: &Path, batch: &str| {
        tiny_run(
            data.path(),
            run,
            &["optimiser.steps=16", "output.save_every=4", batch],
        )
    };
    let (one, two, stopped) = (at("one"), at("two"), at("stopped"));
    assert_success(&alone(&args(&one, "optimiser.batch=2")));

    let both = args(&two, "optimiser.batch=1");
    assert_success(&together([&both, &both]).output().unwrap());
    let difference = off(&two, &one);
    assert!(difference < 1e-5, "{difference:e}");
    // One of them writes.
    let (ours, theirs) = (logged_steps(&two), logged_steps(&one));
    assert_eq!((ours.len(), theirs.len()), (16, 16));
    for (a, b) in ours.iter().zip(&theirs) {
        for figure in ["loss", "psnr", "gradient_norm"] {
            let (a, b) = (a[figure].as_f64().unwrap(), b[figure].as_f64().unwrap());
            assert!(
                (a - b).abs() < 1e-4 * b.abs(),
                "{figure}: {a}, {b} expected"
            );
        }
    }

    // Another number of processes needs another batch; then the data go on where they stopped.
    let message = alone(&args(&two, "optimiser.batch=1"));
    let message = String::from_utf8_lossy(&message.stderr);
    assert!(
        message.contains(
            "2 (optimiser.batch = 1, processes 2); here 1 (optimiser.batch = 1, processes 1)"
        ),
        "{message}"
    );
    let both = args(&stopped, "optimiser.batch=1");
    let child = together([&both, &both]).spawn().unwrap();
    wait_for("a save", || stopped.join(LAST).exists());
    // mpirun passes this signal on.
    assert!(
        Command::new("kill")
            .args(["-USR1", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert_success(&child.wait_with_output().unwrap());
    let steps = saved::load::<Progress>(&stopped.join(LAST))
        .unwrap()
        .1
        .steps;
    assert!((4..16).contains(&steps), "stopped after step {steps}");
    assert_success(&alone(&args(&stopped, "optimiser.batch=2")));
    let difference = off(&stopped, &one);
    assert!(difference < 1e-5, "{difference:e}");
}

#[test]
fn what_is_not_finite_in_one_process_is_skipped_by_all() {
    let data = data();
    let run = data.path().join("run");
    let args = |terms: &str| tiny_run(data.path(), &run, &["optimiser.steps=24", terms]);
    let output = together([&args("loss.terms=1*L1"), &args("loss.terms=1e39*L1")])
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && message.contains("10 steps in a row"),
        "{message}"
    );
    // The first process, whose own loss is a number, writes the log.
    let steps = logged_steps(&run);
    assert!(
        steps.len() == 10 && steps.iter().all(|step| step["skipped"] == true),
        "{steps:?}"
    );
}

#[test]
fn an_error_in_one_process_ends_all() {
    let data = data();
    let run = data.path().join("run");
    let good = tiny_run(data.path(), &run, &["optimiser.steps=1000000"]);
    let bad = tiny_run(
        &data.path().join("nowhere"),
        &run,
        &["optimiser.steps=1000000"],
    );
    for args in [[&good[..], &bad[..]], [&bad, &good]] {
        let output = together(args).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && message.contains("of 2: ") && message.contains("nowhere"),
            "{message}"
        );
    }
}
