//! The models that are measured.

use crate::fetch::package::sha256;
use anyhow::Result;
use refvsr::{Network, Precision, Session};
use std::path::Path;
use tch::Device;

/// How models run.
#[derive(Debug, Clone, Copy)]
pub struct Running<'a> {
    /// The device's name.
    pub device: &'a str,
    /// Number format.
    pub precision: Precision,
    /// Frames of look-ahead in place of the model's own.
    pub look_ahead: Option<usize>,
    /// Frames that share a run of the backward branch, in place of what the element does.
    pub backward_group: Option<usize>,
    /// Frames of a clip.
    pub frames: usize,
}

/// A model and where it is from.
pub struct Model {
    pub name: String,
    /// The file's content.
    pub sum: String,
    /// How its session runs, in words.
    pub running: String,
    pub session: Session,
}

impl Model {
    pub fn open(path: &Path, running: &Running<'_>, device: Device) -> Result<Self> {
        let network = Network::load(path, device)?;
        let mut options = Session::options_of(&network);
        options.look_ahead = running.look_ahead;
        options.backward_group = running.backward_group;
        options.precision = running.precision;
        let name = path.file_stem().unwrap_or(path.as_os_str());
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            sum: sha256(path)?,
            running: format!("{options:?}"),
            session: Session::new(network, options)?,
        })
    }
}
