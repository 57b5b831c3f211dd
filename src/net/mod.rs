//! The networks: [RefVSR](refvsr), the paper's, and the [registered](registered) variant, our own, made of the same [layers].
//!
//! [`Network::forward`] is the plain form that reads like the paper: one window in, one frame out. The streaming
//! [`Session`](crate::Session) is made of the same steps and computes each of them only once.

pub(crate) mod branch;
pub mod flow;
pub mod footage;
pub(crate) mod found;
mod frame;
pub mod layers;
pub(crate) mod network;
pub mod refvsr;
pub mod registered;
mod sizes;
pub mod state;

pub use frame::Frame;
pub use network::Network;
pub use refvsr::window::{Kept, Run};
