//! Where the project's things lie, and which libtorch it is built with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::ask;

/// The version of PyTorch whose libtorch the `tch` in Cargo.toml is made for.
pub const TORCH_VERSION: &str = "2.11.0";

/// The checkout this tool was built in.
pub struct Project {
    pub root: PathBuf,
    /// Cargo's output folder.
    pub target: PathBuf,
}

/// Which libtorch the build uses.
pub enum Libtorch {
    /// `.deps/libtorch`, filled by `cargo xtask setup`.
    Project(PathBuf),
    /// The folder that the user's LIBTORCH names.
    Named(PathBuf),
    /// LIBTORCH_USE_PYTORCH is set: the one inside the `torch` package of the user's python.
    Python,
}

impl Project {
    pub fn find() -> Result<Self> {
        // Cargo sets the variable when it runs this program; what was compiled in serves a direct start.
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
        let root = Path::new(&manifest)
            .parent()
            .context("the xtask crate has no parent folder")?
            .to_path_buf();
        if !root.join("Cargo.lock").is_file() {
            bail!(
                "expected the project in {}, but no Cargo.lock is there; run `cargo xtask` inside the checkout",
                root.display()
            );
        }
        // target/debug/xtask: right also where a configuration puts the output elsewhere.
        let exe = std::env::current_exe().context("cannot tell where this program lies")?;
        let target = exe
            .parent()
            .and_then(Path::parent)
            .map_or_else(|| root.join("target"), Path::to_path_buf);
        Ok(Self { root, target })
    }

    /// Where `setup` keeps what it fetches.
    pub fn deps(&self) -> PathBuf {
        self.root.join(".deps")
    }

    /// The libtorch in force. `.cargo/config.toml` sets LIBTORCH to the project's own folder where the user sets none,
    /// so that value is not the user's.
    pub fn libtorch(&self) -> Libtorch {
        let own = self.deps().join("libtorch");
        if std::env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
            return Libtorch::Python;
        }
        match std::env::var_os("LIBTORCH").map(PathBuf::from) {
            Some(named) if named != own => Libtorch::Named(named),
            _ => Libtorch::Project(own),
        }
    }

    /// The folder with libtorch's shared libraries.
    pub fn libtorch_lib(&self) -> Result<PathBuf> {
        match self.libtorch() {
            Libtorch::Project(folder) | Libtorch::Named(folder) => Ok(folder.join("lib")),
            Libtorch::Python => Ok(python_torch()?.1),
        }
    }

    /// Cargo, run in the checkout.
    pub fn cargo(&self, args: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.args(args).current_dir(&self.root);
        // Back to the variables of a plain `cargo`, which this program's own cargo changed: otherwise the two would
        // undo each other's builds.
        if matches!(self.libtorch(), Libtorch::Project(_)) {
            cargo.env_remove("LIBTORCH");
        }
        match self.user_library_path() {
            Some(path) => cargo.env("LD_LIBRARY_PATH", path),
            None => cargo.env_remove("LD_LIBRARY_PATH"),
        };
        cargo
    }

    /// LD_LIBRARY_PATH without what `cargo run` put in front: folders of the build and of the Rust toolchain.
    pub fn user_library_path(&self) -> Option<OsString> {
        let path = std::env::var_os("LD_LIBRARY_PATH")?;
        // <toolchain>/bin/cargo
        let toolchain = std::env::var_os("CARGO")
            .and_then(|cargo| Some(Path::new(&cargo).parent()?.parent()?.to_path_buf()));
        let kept: Vec<PathBuf> = std::env::split_paths(&path)
            .filter(|folder| !folder.as_os_str().is_empty())
            .filter(|folder| !folder.starts_with(&self.target))
            .filter(|folder| {
                toolchain
                    .as_ref()
                    .is_none_or(|toolchain| !folder.starts_with(toolchain))
            })
            .collect();
        if kept.is_empty() {
            None
        } else {
            std::env::join_paths(kept).ok()
        }
    }
}

/// What turns on the parts of the workspace that need more than it does: training over MPI, where that is installed.
pub fn features() -> Result<&'static [&'static str]> {
    let mpi = ask(Command::new("mpicc").arg("--version"))?.is_some()
        && ask(Command::new("mpirun").arg("--version"))?.is_some();
    if !mpi {
        eprintln!("MPI is not installed (mpicc, mpirun): training over MPI is left out");
    }
    Ok(if mpi {
        &["--features", "refvsr-train/mpi"]
    } else {
        &[]
    })
}

/// Version and library folder of the `torch` package of the user's python.
pub fn python_torch() -> Result<(String, PathBuf)> {
    // The interpreter that torch-sys asks.
    let python = if std::env::var_os("VIRTUAL_ENV").is_some() {
        "python"
    } else {
        "python3"
    };
    let question = "import torch, os; print(torch.__version__); print(os.path.join(os.path.dirname(torch.__file__), 'lib'))";
    let answer = ask(Command::new(python).args(["-c", question]))?;
    let answer = answer.with_context(|| {
        format!("LIBTORCH_USE_PYTORCH is set, but `{python}` cannot import torch; unset the variable or install torch=={TORCH_VERSION}")
    })?;
    let mut lines = answer.lines();
    match (lines.next(), lines.next()) {
        (Some(version), Some(lib)) => Ok((version.to_owned(), PathBuf::from(lib))),
        _ => bail!("`{python}` did not say where its torch lies; it printed {answer:?}"),
    }
}
