//! Footage as cameras leave it behind: how they were held, and what their files give back.

pub mod recorded;
pub mod shot;
