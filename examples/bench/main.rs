//! One measurement of `cargo xtask bench`. Each runs in a process of its own, so that peak memory and
//! system time are its own.
//!
//! ```text
//! bench list                              the cases and forms of this build, for this machine
//! bench machine                           the machine's rates of matrix multiplication
//! bench run CASE FORM FOOTAGE FRAMES [DEVICE]
//!                                         one case in one form; FOOTAGE is raw 1920x1080 RGB video,
//!                                         DEVICE cpu (where none is named) or cuda:N
//! bench stop CASE FORM FOOTAGE TRIES      how late a session stops that is told to at random moments
//! ```
//!
//! Every answer is one line of JSON.
#![allow(clippy::print_stdout)] // a program that prints its answer

mod cases;
#[path = "../../tests/common/mod.rs"]
mod common;
mod engine;
mod footage;
mod process;
mod stop;

use cases::{CASES, Case};
use refvsr::DeviceChoice;
use serde_json::{Value, json};
use std::{error::Error, path::Path, process::ExitCode};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let answer = match words[..] {
        ["list"] => list(),
        ["machine"] => process::rates(),
        ["run", case, form, footage, frames] => {
            run(case, form, Path::new(footage), frames, DeviceChoice::Cpu)
        }
        ["run", case, form, footage, frames, device] => device
            .parse()
            .map_err(Into::into)
            .and_then(|device| run(case, form, Path::new(footage), frames, device)),
        ["stop", case, form, footage, tries] => stop(case, form, Path::new(footage), tries),
        _ => Err("usage: bench list | machine | run CASE FORM FOOTAGE FRAMES [DEVICE] | stop CASE FORM FOOTAGE TRIES".into()),
    };
    match answer {
        Ok(value) => {
            println!("{value}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{}", json!({"error": error.to_string()}));
            ExitCode::FAILURE
        }
    }
}

fn list() -> Result<Value> {
    let cases: Vec<Value> = CASES
        .iter()
        .filter(|case| case.is_there())
        .map(|case| {
            let Case {
                name,
                what,
                size: (height, width),
                frames,
                usual,
                ..
            } = case;
            json!({
                "case": name,
                "what": format!("{what}, {width}x{height}"),
                "frames": frames,
                "usual": usual,
                "forms": engine::forms(case),
            })
        })
        .collect();
    Ok(cases.into())
}

fn case_of(name: &str) -> Result<&'static Case> {
    let case = CASES.iter().find(|c| c.name == name);
    case.ok_or_else(|| format!("there is no case '{name}'").into())
}

fn number(text: &str) -> Result<usize> {
    Ok(text.parse().map_err(|e| format!("'{text}': {e}"))?)
}

fn stop(case: &str, form: &str, footage: &Path, tries: &str) -> Result<Value> {
    let (case, tries) = (case_of(case)?, number(tries)?);
    let mut footage = footage::Footage::open(footage, case.size)?;
    stop::delays(case, form, &mut footage, tries)
}

fn run(
    case: &str,
    form: &str,
    footage: &Path,
    frames: &str,
    device: DeviceChoice,
) -> Result<Value> {
    let (case, frames, device) = (case_of(case)?, number(frames)?, device.resolve()?);
    let mut footage = footage::Footage::open(footage, case.size)?;
    let steady = engine::run(case, form, &mut footage, frames, device)?;
    Ok(json!({
        "seconds": steady.seconds,
        "frames": steady.frames,
        "user": steady.cpu.user,
        "system": steady.cpu.system,
        "peak_mib": process::peak_mib()?,
        "stages": steady.stages,
        "operations": steady.operations,
        "longest_piece": steady.longest_piece,
    }))
}
