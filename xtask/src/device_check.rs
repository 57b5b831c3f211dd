//! `cargo xtask device-check`: a folder to carry to a machine with a CUDA device, and its run there.
//!
//! That machine needs neither Rust nor this checkout: only a python with the right torch, whose libtorch the check uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::project::{Project, TORCH_VERSION};
use crate::run::run;

/// The check: an example of the library, built in release.
const EXAMPLE: &str = "device_check";

/// What it compares with.
const GOLDEN: &str = "tests/golden";

/// What the folder may weigh.
const LIMIT: u64 = 64 << 20;

fn folder(project: &Project) -> PathBuf {
    project.target.join("device-check")
}

pub fn pack(project: &Project) -> Result<()> {
    run(&mut project.cargo(&[
        "build",
        "--release",
        "--package",
        "refvsr",
        "--example",
        EXAMPLE,
    ]))?;
    let folder = folder(project);
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;

    let built = project.target.join("release/examples").join(EXAMPLE);
    run(Command::new("strip")
        .arg("-o")
        .arg(folder.join(EXAMPLE))
        .arg(built))?;
    let golden = project.root.join(GOLDEN);
    copy_tree(&golden, &folder.join("golden"))
        .with_context(|| format!("cannot copy {}", golden.display()))?;
    let script = folder.join("run.sh");
    fs::write(&script, script_text())
        .with_context(|| format!("cannot write {}", script.display()))?;

    let size = weight(&folder)?;
    if size > LIMIT {
        bail!(
            "{} weighs {} MiB, at most {} are allowed; take golden files out",
            folder.display(),
            size >> 20,
            LIMIT >> 20
        );
    }
    eprintln!(
        "\n{} is packed: {:.1} MiB. On the machine with the device:\n    sh device-check/run.sh",
        folder.display(),
        size as f64 / f64::from(1 << 20)
    );
    Ok(())
}

pub fn run_here(project: &Project, args: &[String]) -> Result<()> {
    let script = folder(project).join("run.sh");
    if !script.is_file() {
        bail!(
            "{} is not there; make it with `cargo xtask device-check pack`",
            script.display()
        );
    }
    run(Command::new("sh").arg(script).args(args))
}

/// Finds python's libtorch and runs the check with it.
fn script_text() -> String {
    format!(
        r#"#!/bin/sh
# Runs the device check with the libtorch of this machine's python (torch {TORCH_VERSION}). Arguments go to the check;
# without any, it compares and then measures.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
torch=$(python3 -c 'import importlib.util, os
spec = importlib.util.find_spec("torch")
print(os.path.dirname(spec.origin) if spec and spec.origin else "")') || {{
    echo "error: python3 does not run; expected one with torch {TORCH_VERSION}" >&2
    exit 1
}}
if [ -z "$torch" ]; then
    echo "error: python3 ($(command -v python3)) has no torch; expected {TORCH_VERSION}: python3 -m pip install torch=={TORCH_VERSION}" >&2
    exit 1
fi
version=$(sed -n "s/^__version__ = '\([^'+]*\).*/\1/p" "$torch/version.py")
if [ "$version" != "{TORCH_VERSION}" ]; then
    echo "error: $torch is torch $version; expected {TORCH_VERSION}" >&2
    exit 1
fi
export LD_LIBRARY_PATH="$torch/lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
export REFVSR_GOLDEN="$here/golden"
check() {{
    echo "\$ LD_LIBRARY_PATH=$LD_LIBRARY_PATH REFVSR_GOLDEN=$REFVSR_GOLDEN $here/{EXAMPLE} $*" >&2
    "$here/{EXAMPLE}" "$@"
}}
# fp32 is compared as fp32: TF32 convolutions agree to three digits only.
parity() {{
    export NVIDIA_TF32_OVERRIDE=0
    check parity "$@"
}}
if [ $# -eq 0 ]; then
    (parity)
    check bench
elif [ "$1" = parity ]; then
    shift
    parity "$@"
else
    check "$@"
fi
"#
    )
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Bytes of all files below the folder.
fn weight(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let path = entry
            .with_context(|| format!("cannot list {}", folder.display()))?
            .path();
        bytes += if path.is_dir() {
            weight(&path)?
        } else {
            path.metadata()
                .with_context(|| format!("cannot read {}", path.display()))?
                .len()
        };
    }
    Ok(bytes)
}
