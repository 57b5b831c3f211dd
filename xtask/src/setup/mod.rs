//! `cargo xtask setup`: everything a bare machine lacks, step by step; what is there is left as it is.

mod apt;
mod libtorch;
mod pins;
mod pip;
mod wheel;

use anyhow::Result;
use clap::ValueEnum;

use crate::project::Project;

/// What to set up beyond what building needs.
#[derive(Default)]
pub struct Wants {
    /// The demo: what it plays with, and the package with its footage.
    pub demo: bool,
    /// What only the tests use.
    pub tests: bool,
    /// MPI, for training in several processes.
    pub mpi: bool,
    /// What packs the Debian package.
    pub package: bool,
    /// What makes the image, and tries both.
    pub image: bool,
    /// Which libtorch; None chooses by the machine.
    pub libtorch: Option<Flavour>,
}

/// How much of libtorch.
#[derive(Clone, Copy, PartialEq, Debug, ValueEnum)]
pub enum Flavour {
    /// What runs on the processor: 0.5 GB to fetch, 0.5 GB on disk
    Cpu,
    /// All of it, with NVIDIA's libraries: 2.5 GB to fetch, 3.8 GB on disk
    Cuda,
}

pub fn setup(project: &Project, wants: Wants) -> Result<()> {
    apt::install(&wants, libtorch::is_fetched(project, wants.libtorch))?;
    libtorch::install(project, wants.libtorch)
}
