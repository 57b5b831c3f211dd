//! One network for several sessions.

use crate::Network;
use std::{
    ops::Deref,
    sync::{Arc, Weak},
};

/// A network whose weights do not change any more. Its clones share them, and so do their sessions,
/// whatever threads they run on.
///
/// What convolutions keep of their weights is made for one [`Precision`](crate::Precision) at a time:
/// sessions that share a network should have the same.
#[derive(Debug, Clone)]
pub struct SharedNetwork(Arc<Network>);

impl From<Network> for SharedNetwork {
    fn from(mut network: Network) -> Self {
        network.freeze();
        network.skip_idle();
        Self(Arc::new(network))
    }
}

impl Deref for SharedNetwork {
    type Target = Network;

    fn deref(&self) -> &Network {
        &self.0
    }
}

impl SharedNetwork {
    /// A handle that does not keep it alive.
    pub fn downgrade(&self) -> WeakNetwork {
        WeakNetwork(Arc::downgrade(&self.0))
    }
}

/// A [`SharedNetwork`] that is there for as long as something else uses it.
#[derive(Debug, Clone)]
pub struct WeakNetwork(Weak<Network>);

impl WeakNetwork {
    /// The network, if it is still there.
    pub fn upgrade(&self) -> Option<SharedNetwork> {
        self.0.upgrade().map(SharedNetwork)
    }
}
