//! Frames as networks take them.

use tch::Tensor;

/// One moment of a window, of a size that [`Network::pad`] gives.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The ultra-wide frame, `[1, 3, H, W]`, RGB in \[0, 1\].
    pub lr: &'a Tensor,
    /// The frames to borrow detail from, `[1, 3, h, w]` each, one of their pixels covering half a pixel of `lr`.
    pub references: &'a [&'a Tensor],
}
