//! `cargo xtask lint`: what CI checks besides the tests.

mod circles;
mod house;
mod lengths;

use anyhow::{Result, bail};

use crate::project::{Project, features};
use crate::run::{ask, run};

pub fn lint(project: &Project) -> Result<()> {
    shape(project)?;
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

/// Circles that pipelines/ still has. The number only falls.
const LEFT: usize = 10;

/// Fails where files import each other in a circle, or have grown too long.
fn shape(project: &Project) -> Result<()> {
    let roots = house::roots(project)?;
    let circles = circles::find(&house::arrows(&roots)?);
    let (left, new): (Vec<_>, Vec<_>) = circles
        .iter()
        .partition(|circle| circle.is_within(&project.root.join("pipelines")));
    let mut faults: Vec<String> = new
        .iter()
        .map(|circle| circle.told(&project.root))
        .collect();
    if left.len() > LEFT {
        faults.push(format!(
            "pipelines/ has {} circles, {LEFT} of them were known (xtask/src/lint/mod.rs):",
            left.len()
        ));
        faults.extend(left.iter().map(|circle| circle.told(&project.root)));
    }
    faults.extend(lengths::check(&project.root)?);
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{}", faults.join("\n"))
}
