//! What both enlargements have in common.

use super::carried::Carried;
use tch::Tensor;

/// Output size over input size.
pub const SCALE: i64 = 4;
/// Slope of all its leaky ReLUs.
pub const SLOPE: f64 = 0.1;

/// What is made of a frame's joined features.
#[derive(Debug)]
pub struct Enlarged {
    /// The output, `[1, 3, 4 h, 4 w]`, not limited to \[0, 1\].
    pub picture: Tensor,
    /// What the wide camera's detail adds to the forward branch's feature once this frame is out.
    pub carried: Carried,
}
