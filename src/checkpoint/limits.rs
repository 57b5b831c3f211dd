//! What reading a file may take. A file may say anything; what is made of it stays within a small multiple of
//! its size.

use super::problem::{Problem, malformed};

/// The largest file that is read. The largest published model has 4.3 M parameters, 17 MB.
pub const MAX_BYTES: u64 = 1 << 30;

/// A pickle or a header of safetensors. The largest published model's pickle has 60 kB.
pub const MAX_DESCRIPTION: usize = 4 << 20;

/// Dimensions of a tensor.
pub const MAX_DIMENSIONS: usize = 8;

/// What all tensors together may take, in file sizes: tensors may share a storage, but not to make
/// a giant of a small file.
pub const MAX_SHARING: usize = 3;

/// What a tensor takes beside its data: its name, libtorch's object and a map's entry.
const TENSOR: usize = 512;
/// What a number of a list takes while the list grows.
const NUMBER: usize = 16;

/// What may be made of a file of `size` bytes, the tensors' data apart. A model is nearly all data,
/// so twice its size is plenty; the first part is for the smallest files.
pub fn memory(size: usize) -> usize {
    (1 << 20) + size.saturating_mul(2)
}

/// Refuses more tensors than a file of this size may have, however small they are.
pub fn check_count(tensors: usize, size: usize) -> Problem<()> {
    if tensors.saturating_mul(TENSOR) > memory(size) {
        return Err(too_much());
    }
    Ok(())
}

/// Refuses a header of safetensors, in a file of this size, that would take too much once it is read: each
/// tensor is an object of its own, and before each number of a list but the first there is a comma.
pub fn check_header(header: &[u8], size: usize) -> Problem<()> {
    let room = |byte: &u8| match byte {
        b'{' => TENSOR,
        b',' => NUMBER,
        _ => 0,
    };
    match header.iter().map(room).sum::<usize>() > memory(size) {
        true => Err(too_much()),
        false => Ok(()),
    }
}

pub fn too_much() -> crate::error::CheckpointProblem {
    malformed("its tensors claim far more data than it holds")
}
