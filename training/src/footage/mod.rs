//! Footage as cameras leave it behind.

pub mod recorded;
