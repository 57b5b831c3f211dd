//! One measurement of `cargo xtask bench`. Each runs in a process of its own, so that peak memory and
//! system time are its own.
//!
//! ```text
//! bench list                              the cases and forms of this build, for this machine
//! bench machine                           the machine's rates of matrix multiplication
//! bench run CASE FORM FOOTAGE FRAMES      one case in one form; FOOTAGE is raw 1920x1080 RGB video
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
#[path = "../../tests/rig/mod.rs"]
mod rig;

use cases::{CASES, Case};
use serde_json::{Value, json};
use std::{error::Error, path::Path, process::ExitCode};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let answer = match words[..] {
        ["list"] => list(),
        ["machine"] => process::rates(),
        ["run", case, form, footage, frames] => run(case, form, Path::new(footage), frames),
        _ => Err("usage: bench list | bench machine | bench run CASE FORM FOOTAGE FRAMES".into()),
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

fn run(case: &str, form: &str, footage: &Path, frames: &str) -> Result<Value> {
    let case = CASES
        .iter()
        .find(|c| c.name == case)
        .ok_or_else(|| format!("there is no case '{case}'"))?;
    let frames: usize = frames
        .parse()
        .map_err(|e| format!("frames '{frames}': {e}"))?;
    let mut footage = footage::Footage::open(footage, case.size)?;
    let steady = engine::run(case, form, &mut footage, frames)?;
    Ok(json!({
        "seconds": steady.seconds,
        "frames": steady.frames,
        "user": steady.cpu.user,
        "system": steady.cpu.system,
        "peak_mib": process::peak_mib()?,
        "stages": steady.stages,
    }))
}
