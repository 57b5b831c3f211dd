//! The real footage that the demonstration films.
//!
//! `VID_20191220_170832.mp4`, 41 frames of 1920x1080 from a phone, © 2019-2020 Joao Eriberto Mota Filho, licensed CC-BY-SA-4.0, from the
//! Debian package `forensics-samples-files` (Debian 12: 1.1.4-5; its `copyright` file says so for `original-files/*`).
//! What the demonstration writes is adapted from it and falls under the same licence.

use super::triplet::SOURCE;
use crate::frames::Reader;
use crate::gst::{Launch, Pipeline};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// The Debian package that holds the footage.
pub const PACKAGE: &str = "forensics-samples-files";
/// Where the package puts it.
const PATH: &str = "/usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4";
/// Whose it is and how it may be used.
pub const CREDIT: &str = "Joao Eriberto Mota Filho, CC-BY-SA-4.0";

/// A video file to film.
#[derive(Debug)]
pub struct Footage {
    path: PathBuf,
    /// Its source and licence, for people to read.
    pub credit: String,
}

impl Footage {
    /// The user's own file, or the package's.
    pub fn find(own: Option<&Path>) -> Result<Self> {
        let footage = match own {
            Some(path) => Self {
                path: path.to_owned(),
                credit: path.display().to_string(),
            },
            None => Self {
                path: PATH.into(),
                credit: format!("{CREDIT}, Debian package {PACKAGE}"),
            },
        };
        let found = footage.path.is_file();
        ensure!(
            found || own.is_none(),
            "there is no file {}",
            footage.path.display()
        );
        ensure!(
            found,
            "the footage {PATH} is missing; on Debian: apt-get install --no-install-recommends {PACKAGE} (or name a video of yours with --footage)"
        );
        Ok(footage)
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its file's name.
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// Decodes the first `frames` frames to raw RGB of size [`SOURCE`] (other shapes get black borders) in `folder`.
    pub fn decode(&self, frames: usize, folder: &Path, launch: Launch) -> Result<Reader> {
        let raw = folder.join("footage.rgb");
        Pipeline::new(None)
            .line(
                "filesrc location={} ! decodebin ! videoconvert ! videoscale method=lanczos add-borders=true",
                &[&self.path.to_string_lossy()],
            )
            .line(
                "! video/x-raw,format=RGB,width={},height={},pixel-aspect-ratio=1/1",
                &[&SOURCE.width.to_string(), &SOURCE.height.to_string()],
            )
            .line("! identity eos-after={} ! filesink location={}", &[&(frames + 1).to_string(), &raw.to_string_lossy()])
            .run(launch, || ())
            .with_context(|| format!("cannot decode {}", self.path.display()))?;
        let reader = Reader::open(&raw, SOURCE)?;
        ensure!(
            reader.len() >= frames,
            "{} has only {} of the {frames} frames asked for; lower --frames",
            self.path.display(),
            reader.len()
        );
        Ok(reader)
    }
}
