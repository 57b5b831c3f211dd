//! The networks of this process, which elements with the same model share.

use ::refvsr::{Bundled, Error, Network, Precision, SharedNetwork, WeakNetwork};
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};
use tch::Device;

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Bundled(Bundled),
    /// A file as it was: another one may come to lie there.
    File {
        path: PathBuf,
        modified: Option<SystemTime>,
        bytes: Option<u64>,
    },
}

impl Source {
    /// A file as it is at present.
    pub fn file(path: &Path) -> Self {
        let data = std::fs::metadata(path).ok();
        Self::File {
            path: path.to_owned(),
            modified: data.as_ref().and_then(|data| data.modified().ok()),
            bytes: data.map(|data| data.len()),
        }
    }
}

/// What elements have to have in common to share a network.
#[derive(Debug, PartialEq)]
pub struct Key {
    pub source: Source,
    pub device: Device,
    pub precision: Precision,
}

static NETWORKS: Mutex<Vec<(Key, WeakNetwork)>> = Mutex::new(Vec::new());

/// The network of this key: another element's, or the one that `load` gives. Elements that ask for it
/// meanwhile wait, and share it.
pub fn shared(
    key: Key,
    load: impl FnOnce() -> Result<Network, Error>,
) -> Result<SharedNetwork, Error> {
    let mut networks = NETWORKS.lock().unwrap_or_else(PoisonError::into_inner);
    networks.retain(|(_, network)| network.upgrade().is_some());
    let known = networks.iter().find(|(known, _)| *known == key);
    if let Some(network) = known.and_then(|(_, network)| network.upgrade()) {
        return Ok(network);
    }
    let network = SharedNetwork::from(load()?);
    networks.push((key, network.downgrade()));
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::refvsr::ModelConfig;

    fn load() -> Result<Network, Error> {
        let config = ModelConfig {
            mid_channels: 2,
            num_blocks: 1,
            ..ModelConfig::preset("refvsr-mfid")?
        };
        Network::new(config, Device::Cpu)
    }

    fn weights_at(network: &Network) -> usize {
        network.weights().variables()["conv_last.weight"].data_ptr() as usize
    }

    #[test]
    fn a_network_is_shared_for_as_long_as_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        std::fs::write(&path, "one").unwrap();
        let key = |precision| Key {
            source: Source::file(&path),
            device: Device::Cpu,
            precision,
        };
        let first = shared(key(Precision::Fp32), load).unwrap();
        let never = || unreachable!("it is there");
        let second = shared(key(Precision::Fp32), never).unwrap();
        assert_eq!(weights_at(&first), weights_at(&second));
        let other = shared(key(Precision::Bf16), load).unwrap();
        assert_ne!(weights_at(&first), weights_at(&other));
        let before = key(Precision::Fp32);
        std::fs::write(&path, "another").unwrap();
        assert_ne!(before, key(Precision::Fp32));
        drop(first);
        assert!(shared(before, || unreachable!("the second one has it")).is_ok());

        let failed = shared(key(Precision::Fp16), || Err(Error::Drained));
        assert!(failed.is_err());
        let later = shared(key(Precision::Fp16), load).unwrap();
        let gone = later.downgrade();
        drop(later);
        assert!(gone.upgrade().is_none());
    }
}
