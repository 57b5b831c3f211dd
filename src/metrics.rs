//! Picture quality.
