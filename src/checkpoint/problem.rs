//! What is wrong with a file, before it is known by name.

use crate::{Error, error::CheckpointProblem};
use std::path::Path;

pub type Problem<T> = std::result::Result<T, CheckpointProblem>;

pub fn at(path: &Path, problem: CheckpointProblem) -> Error {
    Error::Checkpoint {
        path: path.to_owned(),
        problem,
    }
}

pub fn malformed(error: impl std::fmt::Display) -> CheckpointProblem {
    CheckpointProblem::Malformed(error.to_string())
}
