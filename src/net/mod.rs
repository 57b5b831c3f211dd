//! The RefVSR network, one file a block of the paper. Fields are named as the keys of upstream's state dict.
//!
//! [`Network::forward`] is the plain form that reads like the paper: one window in, one frame out. The streaming
//! [`Session`](crate::Session) is made of the same steps and computes each of them only once.

pub mod alignment;
mod bend;
mod blocks;
pub mod carried;
pub(crate) mod context;
pub(crate) mod conv;
pub mod deform;
pub mod edvr;
pub mod flow;
pub mod footage;
pub mod fusion;
pub mod local;
pub mod matching;
pub(crate) mod network;
pub(crate) mod ops;
mod pieces;
pub mod propagation;
pub mod reconstruction;
pub(crate) mod reduced;
pub mod refill;
pub mod registered;
pub mod registration;
mod strips;
pub mod variables;
mod window;

pub use network::Network;
pub use window::{Frame, Kept, Run};
