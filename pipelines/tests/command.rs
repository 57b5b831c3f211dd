//! The built `refvsr` command, and the scripts beside it.

use refvsr::{
    ModelConfig, Network, checkpoint,
    config::{FLOW_LEVELS, Recurrence, Variant},
};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tch::{Device, Kind};

fn refvsr(arguments: &[&str]) -> (bool, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_refvsr"))
        .args(arguments)
        .output()
        .unwrap();
    (
        status.success(),
        format!(
            "{}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        ),
    )
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn info_reads_what_upstream_publishes() {
    let file = root().join("tests/golden/official_format.pytorch");
    let (good, text) = refvsr(&["info", file.to_str().unwrap()]);
    assert!(good, "{text}");
    for row in [
        "RefVSR\n",
        "channels        8",
        "blocks          2 in each trunk",
        "scale           4x",
        "1626410 (1.6 M)",
    ] {
        assert!(text.contains(row), "{row} in\n{text}");
    }
    assert!(!text.contains("unused"));
}

#[test]
fn info_names_the_variant_of_our_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ir.safetensors");
    let config = ModelConfig {
        variant: Variant::RefVsrIr,
        mid_channels: 4,
        num_blocks: 1,
        frame_num: 9,
        scale: 4,
        hd: false,
        reset_interval: None,
        recurrence: Recurrence::Clean,
        flow_levels: FLOW_LEVELS,
        first_looks: 1,
        recorded: false,
    };
    checkpoint::save(
        &Network::new(config, Device::Cpu).unwrap(),
        &file,
        Kind::Half,
    )
    .unwrap();
    let (good, text) = refvsr(&["info", file.to_str().unwrap()]);
    assert!(
        good && text.contains("RefVSR-IR")
            && text.contains("4 frames")
            && text.contains("never")
            && text.contains("clean"),
        "{text}"
    );
}

#[test]
fn every_subcommand_has_a_manual_page() {
    let (good, names) = refvsr(&["man"]);
    assert!(good, "{names}");
    let names: Vec<_> = names.lines().collect();
    for name in ["refvsr", "refvsr-transcode", "refvsr-doctor"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let (good, page) = refvsr(&["man", "refvsr-transcode"]);
    assert!(good && page.contains(".TH refvsr-transcode 1"), "{page}");
    assert!(page.contains("\\-\\-overwrite"), "{page}");
    let (good, message) = refvsr(&["man", "refvsr-fly"]);
    assert!(!good && message.contains("refvsr-compare"), "{message}");
    assert!(refvsr(&["--version"]).1.starts_with("refvsr "));
}

#[test]
fn bad_files_are_one_clear_line() {
    let (good, text) = refvsr(&["info", root().join("README.md").to_str().unwrap()]);
    assert!(
        !good && text.contains("README.md") && text.lines().count() == 1,
        "{text}"
    );
    let (good, text) = refvsr(&["demo", "--model", "no/such/model.pth"]);
    assert!(!good && text.contains("no/such/model.pth"), "{text}");
}

#[test]
fn a_reader_that_goes_ends_nothing_and_a_full_disk_is_told() {
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refvsr"));
        let model = root().join("tests/golden/official_format.pytorch");
        command.arg("info").arg(model);
        command
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let other = writer.try_clone().unwrap();
    let status = command().stdout(writer).stderr(other).status().unwrap();
    assert_eq!(status.code(), Some(0));
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let output = command().stdout(full()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && said.contains("cannot write the output"),
        "{said}"
    );
    let status = Command::new(env!("CARGO_BIN_EXE_refvsr"))
        .args(["info", "no/such/model.pth"])
        .stderr(full())
        .status();
    assert_eq!(status.unwrap().code(), Some(1));
}

/// What writes, renames or removes files.
const WRITES: [&str; 15] = [
    "remove_file",
    "remove_dir",
    "fs::rename",
    "fs::copy",
    "fs::write",
    "hard_link",
    "symlink(",
    "create_dir",
    "File::create",
    "File::options",
    "OpenOptions",
    ".set_len(",
    "tempfile::",
    "rustix::fs",
    "save_with_format",
];

#[test]
fn one_module_alone_writes_renames_and_removes_files() {
    let mut folders = vec![root().join("pipelines/src")];
    let mut looked = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("src/output") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                // The kernel's file by which a process's peak of memory begins anew.
                let code = text.split("#[cfg(test)]").next().unwrap();
                let code = code.replace("fs::write(\"/proc/self/clear_refs\"", "");
                let found = WRITES.iter().find(|call| code.contains(**call));
                assert_eq!(found, None, "{}", path.display());
                looked += 1;
            }
        }
    }
    assert!(looked > 40);
}

#[test]
fn the_scripts_are_shell_and_say_how_they_are_used() {
    let mut scripts = 0;
    for entry in std::fs::read_dir(root().join("pipelines/scripts")).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            Command::new("sh")
                .arg("-n")
                .arg(&path)
                .status()
                .unwrap()
                .success(),
            "{}",
            path.display()
        );
        let Output { status, stderr, .. } = Command::new("sh").arg(&path).output().unwrap();
        assert!(
            status.code() == Some(2) && String::from_utf8_lossy(&stderr).starts_with("usage: "),
            "{}",
            path.display()
        );
        scripts += 1;
    }
    assert_eq!(scripts, 8);
}
