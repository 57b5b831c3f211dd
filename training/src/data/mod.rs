//! Patches and validation clips from RealMCVSR-like folders of PNG frames.

pub mod augment;
pub mod batch;
pub mod patches;
pub mod place;
pub mod png;
pub mod processor;
pub mod random;
pub mod recolour;
pub mod stage;
mod stream;
pub mod tree;
pub mod validation;
pub mod verify;

pub use patches::{PatchOptions, Patches};
pub use tree::Split;
pub use validation::validation_clips;
