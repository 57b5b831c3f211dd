//! The tensors of a file.

use super::problem::{Problem, malformed};
use crate::error::CheckpointProblem;
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// Tensors by name, as files hold them.
pub type Tensors = BTreeMap<String, Tensor>;

/// What the names of the registered variant's carrier start with.
pub const CARRIER: &str = "wide_carrier.";

/// A tensor of raw little-endian bytes, whose number is checked.
pub fn tensor_of(bytes: &[u8], shape: &[i64], kind: Kind) -> Problem<Tensor> {
    let numel = shape
        .iter()
        .try_fold(1i64, |n, &d| if d < 0 { None } else { n.checked_mul(d) });
    let expected = numel
        .and_then(|n| usize::try_from(n).ok())
        .and_then(|n| n.checked_mul(kind.elt_size_in_bytes()));
    if expected != Some(bytes.len()) {
        return Err(CheckpointProblem::Malformed(format!(
            "{} bytes for a tensor of {shape:?} {kind:?}",
            bytes.len()
        )));
    }
    Tensor::f_from_data_size(bytes, shape, kind).map_err(malformed)
}

/// Whether it holds neither NaN nor infinity.
pub fn is_finite(tensor: &Tensor) -> Problem<bool> {
    let finite = tensor
        .f_isfinite()
        .and_then(|t| t.f_all())
        .and_then(|t| t.f_int64_value(&[]))
        .map_err(malformed)?;
    Ok(finite != 0)
}
