//! The networks of this process, which elements with the same model share.

use ::refvsr::{Bundled, Error, Network, Precision, SharedNetwork, WeakNetwork};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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

/// A network that elements may share; locked while it is loaded.
type Slot = Arc<Mutex<Option<WeakNetwork>>>;

/// Locked for a moment only, so that elements with other models do not wait for one that loads.
static NETWORKS: Mutex<Vec<(Key, Slot)>> = Mutex::new(Vec::new());

/// A slot, locked, and the network in it.
fn network_in(slot: &Slot) -> (MutexGuard<'_, Option<WeakNetwork>>, Option<SharedNetwork>) {
    let known = slot.lock().unwrap_or_else(PoisonError::into_inner);
    let network = known.as_ref().and_then(WeakNetwork::upgrade);
    (known, network)
}

/// The slot of this key, a new one if there is none; slots that nobody uses any more are gone.
fn slot(key: Key) -> Slot {
    let mut networks = NETWORKS.lock().unwrap_or_else(PoisonError::into_inner);
    // Another thread that has a slot loads its network, or waits for it.
    networks.retain(|(_, slot)| Arc::strong_count(slot) > 1 || network_in(slot).1.is_some());
    if let Some((_, slot)) = networks.iter().find(|(known, _)| *known == key) {
        return slot.clone();
    }
    let slot = Slot::default();
    networks.push((key, slot.clone()));
    slot
}

/// The network of this key: another element's, or the one that `load` gives. Elements that ask for it
/// meanwhile wait, and share it.
pub fn shared(
    key: Key,
    load: impl FnOnce() -> Result<Network, Error>,
) -> Result<SharedNetwork, Error> {
    let slot = slot(key);
    let (mut known, network) = network_in(&slot);
    if let Some(network) = network {
        return Ok(network);
    }
    let network = SharedNetwork::from(load()?);
    *known = Some(network.downgrade());
    Ok(network)
}
