//! Training of RefVSR networks: pre-training on triplets with ground truth, and adaptation to real full-resolution video (paper, section 3.3).
//!
//! The data half puts out [`batch::ClipPatch`]es; the training half turns them into weights.
#![deny(missing_docs)]

pub mod adam;
pub mod batch;
pub mod contextual;
pub mod ema;
pub mod losses;
pub mod schedule;
pub mod step;
pub mod vgg;
