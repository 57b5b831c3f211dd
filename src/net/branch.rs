//! The two directions that features travel in.

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Branch {
    /// From later frames to earlier ones.
    Backward,
    /// From earlier frames to later ones.
    Forward,
}
