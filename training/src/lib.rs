//! Training of RefVSR networks: pre-training on triplets with ground truth, and adaptation to real full-resolution video (paper, section 3.3).
//!
//! The data half ([`data`]) puts out [`batch::ClipPatch`]es; the training half turns them into weights: [`train`] reads from top to bottom.
#![deny(missing_docs)]

pub mod config;
pub mod contents;
pub mod data;
pub mod fetch;
pub mod films;
pub mod fitting;
pub mod footage;
pub mod lessons;
pub mod losses;
pub mod optimise;
pub mod precision;
pub mod run;
pub mod score;
pub mod synthesize;
