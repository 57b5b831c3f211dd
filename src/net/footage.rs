//! What kind of footage frames are.

/// Which weights footage is for, where a model has some for each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Footage {
    /// As a camera's sensor gives it in good light, each pixel with a colour of its own.
    #[default]
    Clean,
    /// As video is recorded: colour at half the density of brightness, and back from an encoder.
    Recorded,
}
