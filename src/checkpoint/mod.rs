//! Model files: upstream's zip-pickle state dicts and safetensors.
//!
//! Files are untrusted. Whatever is in one, reading it ends in a [`Checkpoint`] or in an [`Error::Checkpoint`] that names the file; no code in a
//! file is run, and memory stays within a small multiple of the file's size.

mod describe;
mod fit;
mod limits;
mod load;
mod pickle;
mod problem;
mod safetensors;
mod tensors;
mod unknown;

pub use tensors::Tensors;

use crate::{ModelConfig, Result, error::CheckpointProblem};
use limits::MAX_BYTES;
use problem::{Problem, at};
use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};
use tch::Kind;

/// A model read from a file: weights by upstream's names (without `module.Network.`), and the config they belong to.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    tensors: Tensors,
    /// From the file's metadata where it has some, else read off the tensors' names and shapes and completed from the published presets. May be
    /// changed before a network is made of it.
    pub config: ModelConfig,
}

impl Checkpoint {
    /// Reads a model file, told apart by content: a PyTorch state dict (zip format, or the older one) or safetensors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`], naming the file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_limited(path).map_err(|problem| at(path, problem))?;
        Self::parse(&bytes, path)
    }

    /// The same from bytes in memory; `path` stands for them in errors, and its file name may tell two presets apart that are of one shape.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let read = || -> Problem<Self> {
            let (tensors, stated) = parse_tensors(bytes)?;
            let tensors = without_prefix(tensors)?;
            let config = match stated {
                Some(config) => config,
                None => describe::config_of(&tensors, path)?,
            };
            config
                .validate()
                .map_err(|e| CheckpointProblem::Config(Box::new(e)))?;
            Ok(Self {
                path: path.to_owned(),
                tensors,
                config,
            })
        };
        read().map_err(|problem| at(path, problem))
    }

    /// The tensors.
    pub fn tensors(&self) -> &Tensors {
        &self.tensors
    }
}

/// Reads the tensors of a file of either format as they are, under the names they have there.
///
/// # Errors
/// [`Error::Checkpoint`], naming the file.
pub fn read_tensors(path: &Path) -> Result<Tensors> {
    read_limited(path)
        .and_then(|bytes| Ok(parse_tensors(&bytes)?.0))
        .map_err(|problem| at(path, problem))
}

/// Saves a network's weights with its config as safetensors, floating-point numbers of `kind` ([`Kind::Float`] or [`Kind::Half`]). The file
/// appears whole or not at all. Of the registered variant a carrier of zeros, which adds nothing, is left out.
///
/// # Errors
/// [`Error::Checkpoint`] where the file cannot be written or a weight is not finite (in half precision: is too large).
pub fn save(network: &crate::Network, path: &Path, kind: Kind) -> Result<()> {
    let save = || -> Problem<()> {
        let bytes = safetensors::bytes_of(network, kind)?;
        // Beside the target, so that it can be renamed; removed if anything goes wrong.
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut part = tempfile::Builder::new()
            .permissions(permissions())
            .tempfile_in(folder)?;
        part.write_all(&bytes)?;
        part.as_file().sync_all()?;
        part.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    save().map_err(|problem| at(path, problem))
}

/// Those of any new file: the process's mask is taken off by the system.
#[cfg(unix)]
fn permissions() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

fn read_limited(path: &Path) -> Problem<Vec<u8>> {
    // Before it is opened: opening a pipe waits for a writer, and a device may never end.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() {
            "a folder"
        } else {
            "a pipe or device"
        };
        return Err(CheckpointProblem::UnknownFormat {
            found: found.into(),
        });
    }
    if metadata.len() > MAX_BYTES {
        return Err(CheckpointProblem::TooLarge {
            actual: metadata.len(),
            limit: MAX_BYTES,
        });
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The tensors of a file, and its config where it states one.
fn parse_tensors(bytes: &[u8]) -> Problem<(Tensors, Option<ModelConfig>)> {
    match bytes {
        [b'P', b'K', 3, 4, ..] => Ok((pickle::parse(bytes)?, None)),
        [_, _, _, _, _, _, _, _, b'{', ..] => safetensors::parse(bytes),
        [0x80, _, ..] if bytes.starts_with(pickle::LEGACY) => {
            Ok((pickle::parse_legacy(bytes)?, None))
        }
        _ => Err(CheckpointProblem::UnknownFormat {
            found: unknown::describe(bytes),
        }),
    }
}

/// Drops what training wrappers put before upstream's names.
fn without_prefix(tensors: Tensors) -> Problem<Tensors> {
    let mut stripped = Tensors::new();
    for (name, tensor) in tensors {
        let bare = name.strip_prefix("module.").unwrap_or(&name);
        let bare = bare.strip_prefix("Network.").unwrap_or(bare);
        if stripped.insert(bare.to_owned(), tensor).is_some() {
            return Err(CheckpointProblem::Malformed(format!(
                "two tensors are named '{bare}' (one of them '{name}')"
            )));
        }
    }
    // Constants of upstream's, not weights: the mean and standard deviation that the matching, and
    // BasicVSR's flow network, take out of their input.
    stripped.retain(|name, _| {
        let constant = name.starts_with("feature_match.sub_mean.")
            || ["spynet.mean", "spynet.std"].contains(&name.as_str());
        !constant
    });
    Ok(stripped)
}
