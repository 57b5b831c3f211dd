//! The program for CUDA machines, run on the CPU: the same code, on the device that is there.

use std::{path::PathBuf, process::Command};

fn device_check(arguments: &[&str]) -> (bool, String) {
    // target/PROFILE/deps/device_check-HASH -> target/PROFILE/examples/device_check
    let here = std::env::current_exe().unwrap();
    let profile: PathBuf = here.ancestors().nth(2).unwrap().into();
    let program = profile.join("examples/device_check");
    let out = Command::new(&program).args(arguments).output();
    let out = out.unwrap_or_else(|e| {
        panic!(
            "{}: {e}; `cargo test -p refvsr` builds it, `--test device_check` alone does not",
            program.display()
        )
    });
    (
        out.status.success(),
        String::from_utf8_lossy(&out.stdout).into_owned(),
    )
}

#[test]
fn parity_holds_and_says_so() {
    let (good, text) = device_check(&["parity", "--device", "cpu"]);
    assert!(good, "{text}");
    assert_eq!(text.matches("| ok").count(), 6 + 2 + 23, "{text}");
    assert!(!text.contains("FAIL"), "{text}");
}

#[test]
fn bench_prints_its_table() {
    let size = ["--height", "16", "--width", "16", "--frames", "1"];
    let (good, text) = device_check(
        &[
            &["bench", "--device", "cpu", "--presets", "refvsr-small-mfid"],
            &size[..],
        ]
        .concat(),
    );
    assert!(
        good && text.contains("refvsr-small-mfid") && text.contains("16x16 in"),
        "{text}"
    );
    let (good, text) = device_check(
        &[
            &["bench", "--device", "cpu", "--presets", "edvr"],
            &size[..],
        ]
        .concat(),
    );
    assert!(
        !good && text.contains("no preset is named 'edvr'"),
        "{text}"
    );
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let (good, text) = device_check(&["parity", "--device", "cuda:99"]);
    assert!(
        !good && text.contains("device 'cuda:99' is not available"),
        "{text}"
    );
}
