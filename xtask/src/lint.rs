//! `cargo xtask lint`: what CI checks besides the tests.

use anyhow::{Result, bail};

use crate::project::{Project, features};
use crate::run::{ask, run};

pub fn lint(project: &Project) -> Result<()> {
    for (tool, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if ask(&mut project.cargo(&[tool, "--version"]))?.is_none() {
            bail!(
                "`cargo {tool}` is not installed; install it with `rustup component add {component}`"
            );
        }
    }
    run(&mut project.cargo(&["fmt", "--check"]))?;
    run(project
        .cargo(&["clippy", "--workspace", "--all-targets"])
        .args(features()?)
        .args(["--", "-D", "warnings"]))
}
