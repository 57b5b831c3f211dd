//! `cargo xtask package`: the Debian package, and the OCI image with it.

use std::process::Command;

use anyhow::Result;

use crate::project::Project;
use crate::run::run;

/// What is built for the package.
const PARTS: [&str; 6] = [
    "-p",
    "gst-plugin-refvsr",
    "-p",
    "refvsr-pipelines",
    "-p",
    "refvsr-train",
];

pub fn package(project: &Project, image: bool) -> Result<()> {
    eprintln!("build: the plugin, the refvsr command and refvsr-train, release");
    run(project.cargo(&["build", "--release"]).args(PARTS))?;
    let scripts = project.root.join("packaging");
    let output = project.target.join("package");
    run(Command::new(scripts.join("deb.sh"))
        .arg(project.target.join("release"))
        .arg(&output))?;
    if image {
        let package = format!("refvsr_{}_amd64.deb", env!("CARGO_PKG_VERSION"));
        run(Command::new(scripts.join("image.sh"))
            .arg(output.join(package))
            .arg(&output))?;
    }
    Ok(())
}
