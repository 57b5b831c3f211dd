//! The footage that is measured on: the demo's, decoded once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run::run;

/// 41 frames of 1920x1080 from a phone, in the Debian package that the demo films.
const VIDEO: &str = "/usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4";

/// Decodes the footage to raw RGB below the build's folder, where it stays for the next time.
pub fn decode(target: &Path) -> Result<PathBuf> {
    let folder = target.join("bench");
    let raw = folder.join("footage-1920x1080.rgb");
    if raw.is_file() {
        return Ok(raw);
    }
    ensure!(
        Path::new(VIDEO).is_file(),
        "the footage {VIDEO} is missing; `cargo xtask setup --demo` installs it"
    );
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let part = folder.join("footage.part");
    let source = format!("location={VIDEO}");
    let sink = format!("location={}", part.display());
    let caps = "video/x-raw,format=RGB,width=1920,height=1080,pixel-aspect-ratio=1/1";
    let pipeline = [
        &[
            "-q",
            "filesrc",
            &source,
            "!",
            "decodebin",
            "!",
            "videoconvert",
        ][..],
        &[
            "!",
            "videoscale",
            "add-borders=true",
            "!",
            caps,
            "!",
            "filesink",
            &sink,
        ],
    ];
    run(Command::new("gst-launch-1.0").args(pipeline.concat()))?;
    fs::rename(&part, &raw).with_context(|| format!("cannot write {}", raw.display()))?;
    Ok(raw)
}
