//! Networks out of model files.

use super::Checkpoint;
use crate::{Network, Result};
use std::path::Path;
use tch::Device;

impl Network {
    /// Loads a model file: upstream's zip-pickle state dict (`.pytorch`, `.pth`, `.pt`) or `.safetensors`, told apart by content.
    ///
    /// # Errors
    /// [`Error::Checkpoint`], naming the file.
    pub fn load(path: &Path, device: Device) -> Result<Self> {
        Self::from_checkpoint(&Checkpoint::read(path)?, device)
    }

    /// The same from bytes in memory; `name` stands in for the file's name in errors.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(bytes: &[u8], name: &str, device: Device) -> Result<Self> {
        Self::from_checkpoint(&Checkpoint::parse(bytes, name.as_ref())?, device)
    }

    /// The network a checkpoint describes, with its weights.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where tensors are missing, of another shape, or not finite. All that is wrong with
    /// them is told, before any memory is taken for the network.
    pub fn from_checkpoint(checkpoint: &Checkpoint, device: Device) -> Result<Self> {
        checkpoint.check_fits(&Self::shapes(&checkpoint.config)?)?;
        let network = Self::new(checkpoint.config.clone(), device)?;
        checkpoint.copy_to(network.weights())?;
        Ok(network)
    }
}
