//! Which model a command uses: a bundled one by name, or a file.

use anyhow::{Context, Result};
use refvsr::{Bundled, Network, checkpoint::Checkpoint};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tch::Device;

/// A model as the command line names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Model {
    /// The bundled one that suits the device.
    #[default]
    Auto,
    Bundled(Bundled),
    File(PathBuf),
}

impl FromStr for Model {
    type Err = Infallible;

    /// `auto`, `quality`, `light`, `live`, or a path; a file of such a name is given as `./light`.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let bundled = Bundled::ALL.into_iter().find(|model| model.name() == text);
        Ok(bundled.map_or_else(|| Self::File(text.into()), Self::Bundled))
    }
}

impl Model {
    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Auto | Self::Bundled(_) => None,
        }
    }

    /// The element's property that asks for it, and its value.
    pub fn property(&self) -> (&'static str, String) {
        match self {
            Self::Auto => ("model", "auto".to_owned()),
            Self::Bundled(model) => ("model", model.name().to_owned()),
            Self::File(path) => ("model-file", path.to_string_lossy().into_owned()),
        }
    }

    /// A short name: the bundled model's, or the file's without its folder and ending.
    pub fn name(&self, device: Device) -> Result<String> {
        Ok(match self {
            Self::Auto => Bundled::choose(None, device)?.name().to_owned(),
            Self::Bundled(model) => model.name().to_owned(),
            Self::File(path) => {
                let stem = path.file_stem().unwrap_or_default();
                stem.to_string_lossy().into_owned()
            }
        })
    }

    /// Its weights and config.
    pub fn checkpoint(&self, device: Device) -> Result<Checkpoint> {
        Ok(match self {
            Self::Auto => Bundled::choose(None, device)?.checkpoint()?,
            Self::Bundled(model) => model.checkpoint()?,
            Self::File(path) => Checkpoint::read(path)?,
        })
    }

    /// The network, on a device.
    pub fn network(&self, device: Device) -> Result<Network> {
        Ok(Network::from_checkpoint(&self.checkpoint(device)?, device)?)
    }

    /// SHA-256 of its file's content, by which a job is known again.
    pub fn digest(&self, device: Device) -> Result<String> {
        let mut digest = Sha256::new();
        let bundled = match self {
            Self::Auto => Some(Bundled::choose(None, device)?),
            Self::Bundled(model) => Some(*model),
            Self::File(path) => {
                digest_file(&mut digest, path)?;
                None
            }
        };
        if let Some(model) = bundled {
            // One that is not there is told where it is loaded.
            digest.update(model.content().unwrap_or_default());
        }
        let bytes = digest.finalize();
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn digest_file(digest: &mut Sha256, path: &Path) -> Result<()> {
    let unreadable = || format!("cannot read the model {}", path.display());
    let mut file = std::fs::File::open(path).with_context(unreadable)?;
    let mut part = vec![0; 1 << 20];
    loop {
        match file.read(&mut part).with_context(unreadable)? {
            0 => return Ok(()),
            n => digest.update(&part[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(text: &str) -> Model {
        text.parse().unwrap_or_default()
    }

    #[test]
    fn names_of_bundled_models_and_paths_are_told_apart() {
        assert_eq!(model("auto"), Model::Auto);
        assert_eq!(model("quality"), Model::Bundled(Bundled::Quality));
        assert_eq!(model("light"), Model::Bundled(Bundled::Light));
        for path in ["./light", "a/quality", "quality.safetensors", "Auto"] {
            assert_eq!(model(path).file(), Some(Path::new(path)));
        }
        assert_eq!(model("quality").property(), ("model", "quality".into()));
        assert_eq!(model("a.pth").property(), ("model-file", "a.pth".into()));
        assert_eq!(model("b/a.pth").name(Device::Cpu).unwrap(), "a");
        assert_eq!(model("quality").name(Device::Cpu).unwrap(), "quality");
    }

    #[test]
    fn models_are_known_by_their_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        std::fs::write(&path, "abc").unwrap();
        let sum = Model::File(path).digest(Device::Cpu).unwrap();
        assert_eq!(
            sum,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let missing = Model::File(folder.path().join("none"));
        let message = format!("{:#}", missing.digest(Device::Cpu).unwrap_err());
        assert!(message.contains("none"), "{message}");
        let present = model("auto").digest(Device::Cpu).unwrap();
        assert!(present.len() == 64 && present != sum);
    }
}
