//! Multi-camera video super-resolution: the RefVSR network (CVPR 2022, [arXiv 2203.14537]) and its streaming session.
//!
//! Phones film one scene with an ultra-wide, a wide and a tele lens. RefVSR takes the ultra-wide video and puts it out at
//! 2 or 4 times its size, with detail borrowed from the other cameras.
//!
//! This crate knows tensors. It knows neither GStreamer (see `gst-plugin-refvsr`) nor the files of a data set.
//!
//! [arXiv 2203.14537]: https://arxiv.org/abs/2203.14537
#![deny(missing_docs)]

mod bundled;
pub mod checkpoint;
pub mod config;
pub mod device;
pub mod error;
pub mod image;
mod layout;
pub mod metrics;
mod native;
pub mod net;
pub mod precision;
pub mod profile;
pub mod session;
mod stop;

pub use bundled::Bundled;
pub use config::ModelConfig;
pub use device::DeviceChoice;
pub use error::{Error, Result};
pub use native::{memory, trace};
pub use net::Network;
pub use precision::Precision;
pub use session::{
    Received, ReducedMatching, Session, SessionOptions, SharedNetwork, Triplet, Unseen, WeakNetwork,
};
pub use stop::Stopper;
