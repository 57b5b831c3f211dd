//! Bindings of the C++ kernels beside this file: what libtorch has no fast form of on a CPU.

pub mod blur;
pub mod cuda;
pub mod matching;
pub mod memory;
pub mod rows;
pub mod sample;
pub mod trace;
pub mod winograd;

/// Where the numbers of a tensor lie that is fp32 and on the CPU.
fn data(x: &tch::Tensor) -> *const f32 {
    x.data_ptr().cast::<f32>().cast_const()
}
