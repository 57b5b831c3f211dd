//! `cargo xtask build` and `cargo xtask demo`: release builds of what a user runs.

use std::process::Command;

use anyhow::{Result, bail};

use crate::env::with_front;
use crate::project::Project;
use crate::run::run;

/// The plugin's file name below target/release and target/debug.
pub const PLUGIN_FILE: &str = "libgstrefvsr.so";

pub fn build(project: &Project) -> Result<()> {
    release(project)?;
    eprintln!("\nThe plugin is {}", project.target.join("release").join(PLUGIN_FILE).display());
    eprintln!("Next, in this shell:\n    eval \"$(cargo xtask env)\"\n    gst-inspect-1.0 refvsr");
    Ok(())
}

/// Builds, then runs `refvsr demo`. A release build costs a minute more than a debug one, and the demo's conversions and
/// metrics win it back.
pub fn demo(project: &Project, args: &[String]) -> Result<()> {
    release(project)?;
    let release = project.target.join("release");
    let mut demo = Command::new(release.join("refvsr"));
    demo.arg("demo").args(args).current_dir(&project.root);
    demo.env("GST_PLUGIN_PATH", with_front(&release, std::env::var_os("GST_PLUGIN_PATH"))?);
    // A list of plugins of our own: the user's is left as it is, and no stale entry of it hides the new build.
    demo.env("GST_REGISTRY", project.target.join("gstreamer-registry-release.bin"));
    match project.user_library_path() {
        Some(path) => demo.env("LD_LIBRARY_PATH", path),
        None => demo.env_remove("LD_LIBRARY_PATH"),
    };
    run(&mut demo)
}

fn release(project: &Project) -> Result<()> {
    eprintln!("build: the plugin and the refvsr command, release");
    run(&mut project.cargo(&["build", "--release", "-p", "gst-plugin-refvsr", "-p", "refvsr-pipelines"]))?;
    let plugin = project.target.join("release").join(PLUGIN_FILE);
    if !plugin.is_file() {
        bail!("cargo built no {}; is build.target set in a cargo configuration?", plugin.display());
    }
    Ok(())
}
