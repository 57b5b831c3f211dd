//! What is to be set up.

use clap::ValueEnum;

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
