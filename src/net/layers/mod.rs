//! What networks are made of: convolutions and blocks of them, operations, and the variables that hold weights.

pub(crate) mod blocks;
pub(crate) mod context;
pub(crate) mod conv;
pub mod deform;
pub mod local;
pub(crate) mod ops;
mod pieces;
pub mod rectangle;
pub(crate) mod strips;
pub mod variables;
