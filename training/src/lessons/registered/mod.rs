//! Lessons for the registered variant.

pub mod camera;
pub mod features;
pub mod fusion;
pub mod own;
pub mod trunks;
