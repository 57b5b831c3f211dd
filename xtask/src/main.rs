//! The project's own tool: `cargo xtask setup`, `build`, `package`, `test`, `docs`, `lint`, `demo`,
//! `bench`, `env`, `device-check`.
//!
//! It is what makes a bare machine ready, so it depends on neither libtorch nor GStreamer. It speaks on
//! stderr. stdout carries what a caller reads: the lines of `env`, the output of the tests, and the
//! table of `bench`.

// A command-line tool talks through stdout and stderr; the lint guards the library and the plugin.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod build;
mod device_check;
mod env;
mod lint;
mod package;
mod project;
mod run;
mod setup;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use project::Project;
use setup::{Flavour, Wants};

/// Sets up, builds, tests and shows the project: `cargo xtask <command>`
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing: Debian packages and libtorch (into .deps/libtorch)
    ///
    /// A second run finds everything there and is done at once. A libtorch of your own, named by LIBTORCH or
    /// LIBTORCH_USE_PYTORCH, is used as it is.
    Setup {
        /// Also install the package with the demo's footage
        #[arg(long)]
        demo: bool,
        /// Which libtorch to fetch; by default the CUDA one where an NVIDIA driver runs, else the CPU part of it
        #[arg(long, value_enum)]
        libtorch: Option<Flavour>,
    },
    /// Print the export lines of the project's environment, for `eval "$(cargo xtask env)"`
    Env,
    /// Set up what building needs, then build the plugin and the `refvsr` command (release)
    ///
    /// Packages that only using them needs are installed where that is possible, and else named.
    Build,
    /// Set up, then build the Debian package with the plugin, `refvsr` and `refvsr-train`: target/package (docs/packages.md)
    Package {
        /// Also make an OCI image of Debian 12 with the package in it
        #[arg(long)]
        image: bool,
    },
    /// Set up, then run the tests of the whole workspace; ends with the line `N passed, N failed`
    Test {
        /// Passed on to `cargo test`, e.g. `cargo xtask test -- -p refvsr session`
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Write the plugin's documentation cache anew: docs/plugins/gst_plugins_cache.json
    Docs,
    /// Check the format and run clippy with warnings as errors
    Lint,
    /// Set up, build, and make the demo's video and picture in target/demo
    Demo {
        /// Passed on to `refvsr demo`
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Set up, then measure what a frame takes: time, memory, and what each stage has of it
    ///
    /// Prints a table and writes it as JSON to benches/results. A quiet machine gives better figures.
    Bench(bench::Options),
    /// The check on a machine with a CUDA device
    #[command(subcommand)]
    DeviceCheck(DeviceCheck),
}

#[derive(Subcommand)]
enum DeviceCheck {
    /// Gather the check into target/device-check: a folder to carry to the machine with the device
    Pack,
    /// Run the folder's check on this machine, with the libtorch of its python
    Run {
        /// Passed on to the check
        #[arg(last = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    match perform(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> anyhow::Result<ExitCode> {
    let project = Project::find()?;
    match task {
        Task::Setup { demo, libtorch } => setup::setup(
            &project,
            Wants {
                demo,
                tests: true,
                mpi: true,
                libtorch,
                ..Wants::default()
            },
        )?,
        Task::Env => print!("{}", env::lines(&project)?),
        Task::Build => {
            setup::setup(&project, Wants::default())?;
            build::build(&project)?;
        }
        Task::Package { image } => {
            setup::setup(
                &project,
                Wants {
                    package: true,
                    image,
                    ..Wants::default()
                },
            )?;
            package::package(&project, image)?;
        }
        Task::Test { args } => {
            setup::setup(
                &project,
                Wants {
                    tests: true,
                    mpi: true,
                    ..Wants::default()
                },
            )?;
            return test::test(&project, &args);
        }
        Task::Docs => run::run(
            project
                .cargo(&["test", "-p", "gst-plugin-refvsr", "--test", "documentation"])
                .env("REFVSR_REFRESH_DOCS", "1"),
        )?,
        Task::Lint => lint::lint(&project)?,
        Task::Demo { args } => {
            setup::setup(
                &project,
                Wants {
                    demo: true,
                    ..Wants::default()
                },
            )?;
            build::demo(&project, &args)?;
        }
        Task::Bench(options) => bench::bench(&project, &options)?,
        Task::DeviceCheck(DeviceCheck::Pack) => {
            setup::setup(&project, Wants::default())?;
            device_check::pack(&project)?;
        }
        Task::DeviceCheck(DeviceCheck::Run { args }) => device_check::run_here(&project, &args)?,
    }
    Ok(ExitCode::SUCCESS)
}
