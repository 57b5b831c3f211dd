//! Bindings of the C++ kernels beside this file: what libtorch has no fast form of on a CPU.

pub mod blur;
pub mod cuda;
pub mod matching;
pub mod memory;
pub mod rows;
pub mod sample;
pub mod trace;
pub mod winograd;
