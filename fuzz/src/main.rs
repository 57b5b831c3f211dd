//! `refvsr-fuzz`: attacks one reader, or all, from a seed.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use anyhow::{Context, Result, bail};
use clap::Parser;
use refvsr_fuzz::{
    attack::{Budget, Target, attack, once},
    targets::{self, TARGETS},
};
use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Attacks what reads other people's bytes with changed inputs.
#[derive(Debug, Parser)]
struct Args {
    /// One of the targets, or `all`
    target: String,
    /// Which inputs: the same seed makes the same ones [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// How long, each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many inputs at most, each target
    #[arg(long, default_value_t = u64::MAX)]
    cases: u64,
    /// Reads this file alone, and says what came of it
    #[arg(long)]
    input: Option<PathBuf>,
    /// Where the input of a finding is written, and the input at hand
    #[arg(long, default_value = "target/fuzz")]
    output: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("refvsr-fuzz: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The number of findings.
fn run(args: &Args) -> Result<usize> {
    let chosen: Vec<_> = TARGETS
        .iter()
        .filter(|target| args.target == "all" || args.target == target.name)
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        bail!(
            "target '{}' is not one of {}, all",
            args.target,
            names.join(", ")
        )
    }
    targets::init()?;
    std::fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot make the folder {}", args.output.display()))?;
    let mut findings = 0;
    for target in chosen {
        findings += usize::from(!is_sound(target, args)?);
    }
    Ok(findings)
}

fn is_sound(target: &Target, args: &Args) -> Result<bool> {
    let name = target.name;
    if let Some(path) = &args.input {
        let input =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let read = once(target, &input);
        match &read {
            Ok(said) => println!("{name}: {said}"),
            Err(fault) => println!("{name}: {fault}"),
        }
        return Ok(read.is_ok());
    }
    let seed = args.seed.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap_or_default().as_secs()
    });
    let budget = Budget {
        cases: args.cases,
        time: Duration::from_secs(args.seconds),
    };
    let begun = Instant::now();
    let last = args.output.join(format!("{name}-last.bin"));
    match attack(target, seed, budget, Some(&last)) {
        Ok(report) => {
            println!(
                "{name} --seed {seed}: {} inputs in {:.0} s, {} answers, at most {} KiB and {:.0} ms",
                report.cases,
                begun.elapsed().as_secs_f64(),
                report.answers,
                report.memory >> 10,
                report.time.as_secs_f64() * 1000.0
            );
            Ok(true)
        }
        Err(finding) => {
            let path = args.output.join(format!("{name}-{seed}.bin"));
            std::fs::write(&path, &finding.input)
                .with_context(|| format!("cannot write {}", path.display()))?;
            println!(
                "{name} --seed {seed}: {}; an input of {} bytes: {}",
                finding.fault,
                finding.input.len(),
                path.display()
            );
            Ok(false)
        }
    }
}
