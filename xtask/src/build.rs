//! `cargo xtask build` and `cargo xtask demo`: builds of what a user runs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::env::with_front;
use crate::project::Project;
use crate::run::run;

/// The plugin's file name below target/release and target/debug.
pub const PLUGIN_FILE: &str = "libgstrefvsr.so";

pub fn build(project: &Project) -> Result<()> {
    let folder = plugin_and_command(project, Profile::Release)?;
    eprintln!("\nThe plugin is {}", folder.join(PLUGIN_FILE).display());
    eprintln!("Next, in this shell:\n    eval \"$(cargo xtask env)\"\n    gst-inspect-1.0 refvsr");
    Ok(())
}

/// Builds, then runs `refvsr demo`. The debug build is the tests' own, so that a newcomer's two commands compile everything once; libtorch, which
/// does the work, is as fast under either.
pub fn demo(project: &Project, args: &[String]) -> Result<()> {
    let folder = plugin_and_command(project, Profile::Debug)?;
    let mut demo = Command::new(folder.join("refvsr"));
    demo.arg("demo").args(args).current_dir(&project.root);
    demo.env(
        "GST_PLUGIN_PATH",
        with_front(&folder, std::env::var_os("GST_PLUGIN_PATH"))?,
    );
    // A list of plugins of our own: the user's is left as it is, and no stale entry of it hides the new build.
    demo.env(
        "GST_REGISTRY",
        project.target.join("gstreamer-registry-debug.bin"),
    );
    match project.user_library_path() {
        Some(path) => demo.env("LD_LIBRARY_PATH", path),
        None => demo.env_remove("LD_LIBRARY_PATH"),
    };
    run(&mut demo)
}

#[derive(Clone, Copy, PartialEq)]
enum Profile {
    Debug,
    Release,
}

/// Builds what a user runs; gives the folder it is in.
fn plugin_and_command(project: &Project, profile: Profile) -> Result<PathBuf> {
    let (option, name): (&[&str], _) = if profile == Profile::Release {
        (&["--release"], "release")
    } else {
        (&[], "debug")
    };
    eprintln!("build: the plugin and the refvsr command, {name}");
    run(project
        .cargo(&["build", "-p", "gst-plugin-refvsr", "-p", "refvsr-pipelines"])
        .args(option))?;
    let folder = project.target.join(name);
    let plugin = folder.join(PLUGIN_FILE);
    if !plugin.is_file() {
        bail!(
            "cargo built no {}; is build.target set in a cargo configuration?",
            plugin.display()
        );
    }
    Ok(folder)
}
