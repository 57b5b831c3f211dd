//! `cargo xtask setup`: everything a bare machine lacks, step by step; what is there is left as it is.

mod apt;
mod libtorch;
mod pins;
mod pip;
mod wants;
mod wheel;

pub use wants::{Flavour, Wants};

use anyhow::Result;

use crate::project::Project;

pub fn setup(project: &Project, wants: Wants) -> Result<()> {
    apt::install(&wants, libtorch::is_fetched(project, wants.libtorch))?;
    libtorch::install(project, wants.libtorch)
}
