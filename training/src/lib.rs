//! Training of RefVSR networks: pre-training on triplets with ground truth, and adaptation to real full-resolution video (paper, section 3.3).
//!
//! The data half ([`data`]) puts out [`batch::ClipPatch`]es; the training half turns them into weights: [`train`] reads from top to bottom.
#![deny(missing_docs)]

pub mod adam;
pub mod batch;
pub mod config;
pub mod contextual;
pub mod data;
pub mod ema;
pub mod export;
pub mod fetch;
pub mod fitting;
pub mod lesson;
pub mod losses;
pub mod parallel;
pub mod precision;
pub mod processor;
pub mod registered;
pub mod saved;
pub mod schedule;
pub mod score;
pub mod step;
pub mod synthesize;
pub mod tensorboard;
pub mod train;
pub mod validate;
pub mod vgg;
pub mod windows;
