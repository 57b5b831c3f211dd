//! Finding what is to be restored.

use anyhow::{Context, Result, ensure};
use refvsr::checkpoint::Tensors;
use tch::Tensor;

/// The tensor of that name, if it has the shape of the one it is for.
///
/// # Errors
/// Where it is missing or of another shape.
pub fn fitting<'a>(tensors: &'a Tensors, name: &str, place: &Tensor) -> Result<&'a Tensor> {
    let found = tensors
        .get(name)
        .with_context(|| format!("it has no '{name}'"))?;
    ensure!(
        found.size() == place.size(),
        "'{name}' is {:?}, {:?} expected",
        found.size(),
        place.size()
    );
    Ok(found)
}
