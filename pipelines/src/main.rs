//! The `refvsr` command: what a model file is, whole recordings enlarged, and a demonstration of the GStreamer element on real
//! footage.
//!
//! It reaches the element only by name, through GStreamer, as any application would.

#[macro_use]
mod say;

mod adapt;
mod canvas;
mod card;
mod compare;
mod crops;
mod demo;
mod doctor;
mod element;
mod evaluate;
mod exit;
mod frames;
mod gst;
mod info;
mod media;
mod model;
mod output;
mod peak;
mod preview;
mod progress;
mod speed;
mod stop;
mod transcode;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// Multi-camera video super-resolution with the GStreamer element `refvsr`.
#[derive(Debug, Parser)]
#[command(
    name = "refvsr",
    version,
    arg_required_else_help = true,
    propagate_version = true,
    after_help = AFTER_HELP
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  refvsr demo                               films, enlarges and scores a short clip; see target/demo/
  refvsr demo --model my.safetensors        the same with a model of yours
  refvsr transcode -u uw.mp4 -w w.mp4 -o out.mp4      enlarges a recording
  refvsr preview -u uw.mp4 -w w.mp4         what each model would make of it, as a page
  refvsr adapt -u uw.mp4 -w w.mp4           a model that has learnt from your cameras
  refvsr evaluate RealMCVSR                 scores the bundled model that suits the device
  refvsr compare out.mkv truth.mkv          PSNR, SSIM and the worst frames
  refvsr doctor                             what is installed, and what is missing
  refvsr info refvsr-small-mfid.pytorch     what is in a model file; quality, light and live are the bundled ones

The element itself is used from GStreamer: gst-inspect-1.0 refvsr lists its pads and properties,
and pipelines/scripts/ (installed: /usr/share/refvsr/scripts/) holds ready gst-launch-1.0 lines for files,
PNG sequences and live cameras.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what a model file is: its variant, size, window, scale and recurrence
    Info(info::Args),
    /// Enlarge recordings: two or three video files, or folders of PNG files, to one
    Transcode(Box<transcode::Args>),
    /// Show what models make of three moments of recordings, what was found in them, and what the whole job takes
    Preview(preview::Args),
    /// Let a model learn from recordings of your own cameras
    Adapt(adapt::Args),
    /// Score models on RealMCVSR, or data in its layout: PSNR, SSIM, fields of view, time and memory
    Evaluate(evaluate::Args),
    /// Compare two videos, folders of pictures, or trees of them: PSNR, SSIM, the worst frames
    Compare(compare::Args),
    /// Say what is installed, what is missing, and what to do about it
    Doctor(doctor::Args),
    /// Make a two-camera clip from real footage, enlarge it 4x through GStreamer and compare with the truth
    Demo(demo::Args),
    /// Print the manual pages
    #[command(hide = true)]
    Man(refvsr_man::Args),
}

fn main() -> ExitCode {
    if refvsr_tools::folder::is_gone() {
        err!("{}", refvsr_tools::folder::NOTE);
    }
    let result = match Cli::parse().command {
        Command::Info(args) => info::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Transcode(args) => transcode::run(&args),
        Command::Preview(args) => preview::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Adapt(args) => adapt::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Evaluate(args) => evaluate::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Compare(args) => compare::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Demo(args) => demo::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Man(args) => man(&args).map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => match say::lost() {
            None => code,
            Some(error) => {
                err!("refvsr: cannot write the output: {error}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            err!("refvsr: {error:#}");
            ExitCode::from(exit::code(&error))
        }
    }
}

fn man(args: &refvsr_man::Args) -> anyhow::Result<()> {
    out!("{}", refvsr_man::print(Cli::command(), args)?.trim_end());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
