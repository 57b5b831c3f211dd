//! Pictures and tensors: pixel formats, resizing, padding.

pub mod colour;
pub mod pad;
pub mod resize;
