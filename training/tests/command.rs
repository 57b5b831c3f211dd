//! The refvsr-train command itself.

mod common;

use common::{clip, logged_steps, tiny_run, wait_for};
use refvsr_train::{
    data::random::Random,
    run::LAST,
    run::saved::{self, Progress},
};
use std::{
    path::Path,
    process::{Command, Output, Stdio},
    thread::sleep,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;

fn command(args: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refvsr-train"));
    command
        .args(args)
        .env("OMP_NUM_THREADS", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn output(args: &[String]) -> Output {
    command(args).output().unwrap()
}

#[track_caller]
fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    clip(folder.path(), "train", "a", 5, (192, 160));
    clip(folder.path(), "train", "b", 4, (160, 128));
    folder
}

/// A random number to begin with: that of REFVSR_TEST_SEED, else another one each time.
fn seed() -> u64 {
    let given = std::env::var("REFVSR_TEST_SEED")
        .ok()
        .map(|seed| seed.parse().unwrap());
    given.unwrap_or_else(|| {
        SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .subsec_nanos()
            .into()
    })
}

#[test]
#[allow(clippy::print_stdout)] // shown where the test fails
fn a_run_killed_at_any_moment_ends_where_an_undisturbed_one_does() {
    const STEPS: u64 = 36;
    let data = data();
    let at = |name: &str| data.path().join(name);
    let args = |run: &Path| {
        let steps = format!("optimiser.steps={STEPS}");
        let mut args = tiny_run(
            data.path(),
            run,
            &[
                &steps,
                "optimiser.batch=2",
                "output.save_every=4",
                "output.picture_every=8",
            ],
        );
        args.extend(["--resume".to_owned(), "auto".to_owned()]);
        args
    };
    assert_success(&output(&args(&at("whole"))));
    let (expected, progress) = saved::load::<Progress>(&at("whole").join(LAST)).unwrap();
    assert_eq!((progress.steps, progress.patches), (STEPS, STEPS));

    let seed = seed();
    println!("REFVSR_TEST_SEED={seed}");
    let mut random = Random::new(seed, 0, 0);
    let run = at("killed");
    // Each time some steps on, at any point of a step or of a save; at the end undisturbed.
    for _ in 0..3 {
        let so_far = logged_steps(&run).len();
        let mut child = command(&args(&run)).spawn().unwrap();
        let steps = so_far + 1 + random.below(8) as usize;
        wait_for("a save and some steps", || {
            run.join(LAST).exists() && logged_steps(&run).len() >= steps
        });
        sleep(Duration::from_micros(random.below(20_000)));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "it was killed too late");
    }
    assert_success(&output(&args(&run)));
    assert!(
        logged_steps(&run).len() > STEPS as usize,
        "some steps were made twice"
    );

    let (tensors, resumed) = saved::load::<Progress>(&run.join(LAST)).unwrap();
    assert_eq!(resumed, progress);
    assert_eq!(
        tensors.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (name, tensor) in &tensors {
        assert!(tensor.equal(&expected[name]), "{name} differs");
    }
}

#[test]
fn one_patch_is_learnt_by_heart() {
    let data = data();
    let run = data.path().join("run");
    let with = |clip: &str| {
        let mut args = tiny_run(
            data.path(),
            &run,
            &[
                "optimiser.steps=60",
                "optimiser.rate=3e-3",
                "output.picture_every=20",
            ],
        );
        args.extend(["--overfit".to_owned(), clip.to_owned()]);
        output(&args)
    };
    let message = with("c");
    let message = String::from_utf8_lossy(&message.stderr);
    assert!(message.contains("--overfit c: no such clip"), "{message}");
    assert_success(&with("b"));
    let losses: Vec<f64> = logged_steps(&run)
        .iter()
        .map(|step| step["loss"].as_f64().unwrap())
        .collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!(
        mean(&losses[50..]) < 0.3 * mean(&losses[..10]),
        "{losses:?}"
    );
}

#[test]
fn processes_that_do_not_know_of_each_other_are_refused() {
    let data = data();
    // Of MPICH's mpirun, and of srun that was not told to begin MPI.
    for name in ["PMI_SIZE", "SLURM_STEP_NUM_TASKS"] {
        let output = command(&tiny_run(data.path(), &data.path().join("run"), &[]))
            .env(name, "3")
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success()
                && message.contains("3 processes were started, this one sees 1"),
            "{name}: {message}"
        );
    }
}

#[test]
fn a_folder_is_trained_in_by_one_process_at_a_time() {
    let data = data();
    let run = data.path().join("run");
    let mut args = tiny_run(data.path(), &run, &["optimiser.steps=1000000"]);
    args.extend(["--resume".to_owned(), "auto".to_owned()]);
    let mut first = command(&args).spawn().unwrap();
    wait_for("some steps", || !logged_steps(&run).is_empty());
    let second = output(&args);
    let message = String::from_utf8_lossy(&second.stderr);
    assert!(
        !second.status.success() && message.contains("another process trains in"),
        "{message}"
    );
    first.kill().unwrap();
    first.wait().unwrap();
    // The lock ended with its process.
    let mut args = tiny_run(data.path(), &run, &["optimiser.steps=1"]);
    args.extend(["--resume".to_owned(), "auto".to_owned()]);
    let third = output(&args);
    let message = String::from_utf8_lossy(&third.stderr);
    assert!(!message.contains("another process"), "{message}");
}

#[test]
fn fp16_on_the_cpu_is_refused_or_with_auto_said_to_be_fp32() {
    let data = data();
    let run = data.path().join("auto");
    let auto = output(&tiny_run(
        data.path(),
        &run,
        &[
            "optimiser.precision=fp16",
            "device=auto",
            "optimiser.steps=1",
        ],
    ));
    assert_success(&auto);
    let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    let begun: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    let precision = if begun["device"] == "Cpu" {
        "fp32"
    } else {
        "fp16"
    };
    assert_eq!(begun["precision"], precision);
    assert_eq!(
        String::from_utf8_lossy(&auto.stderr).contains("no CUDA device: training in fp32"),
        precision == "fp32"
    );

    let output = output(&tiny_run(
        data.path(),
        &data.path().join("run"),
        &["optimiser.precision=fp16"],
    ));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && message.contains("needs a CUDA device, and device is cpu"),
        "{message}"
    );
}

/// Upstream's recurrence repeats the clip's first frame, and an hd network reads full resolution.
#[test]
fn pretraining_of_an_hd_network_makes_its_steps() {
    let data = data();
    let run = data.path().join("hd");
    let changes = [
        "model.hd=true",
        "model.recurrence=\"upstream\"",
        "data.patch=16",
        "optimiser.steps=2",
    ];
    assert_success(&output(&tiny_run(data.path(), &run, &changes)));
    let steps = logged_steps(&run);
    assert_eq!(steps.len(), 2);
    assert!(
        steps
            .iter()
            .all(|step| step["psnr"].as_f64().unwrap() > 5.0)
    );
}
