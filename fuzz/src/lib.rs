//! Attacks on everything that reads other people's bytes: inputs are changed at random, from a
//! seed, and each has to be read or refused within a model of time and memory, without a panic.
//!
//! There is no feedback from the compiler here, as `cargo fuzz` has it from a nightly one: an
//! input that makes a reader say something new is kept and changed further.

pub mod allocation;
pub mod attack;
pub mod mutate;
pub mod targets;

// Readers of the command and of the element, which are no libraries.
#[allow(unused)]
#[path = "../../pipelines/src/media/atoms.rs"]
mod atoms;
#[allow(unused)]
#[path = "../../plugin/src/refvsr/caps.rs"]
mod caps;
#[allow(unused)]
#[path = "../../pipelines/src/media/ebml.rs"]
mod ebml;
#[allow(unused)]
#[path = "../../pipelines/src/transcode/manifest.rs"]
mod manifest;
#[allow(unused)]
#[path = "../../pipelines/src/transcode/collection/names.rs"]
mod names;
#[allow(unused)]
#[path = "../../pipelines/src/output/mod.rs"]
mod output;
#[allow(unused)]
#[path = "../../pipelines/src/media/timecode.rs"]
mod timecode;
#[allow(unused)]
#[path = "../../plugin/src/refvsr/video.rs"]
mod video;
