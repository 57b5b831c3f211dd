//! The RefVSR network, one file a block of the paper. Fields are named as the keys of upstream's state dict.
//!
//! [`Network::forward`] is the plain form that reads like the paper: one window in, one frame out. The streaming
//! [`Session`](crate::Session) is made of the same steps and computes each of them only once.

pub mod alignment;
pub mod deform;
pub mod edvr;
pub mod flow;
mod layers;
pub mod matching;
mod network;
pub mod propagation;
pub mod reconstruction;
pub mod refill;

pub use network::{Frame, Kept, Network, Run};
