//! `cargo xtask test`: the whole workspace's tests, and one line that sums them up.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::env::with_front;
use crate::project::{Project, features};
use crate::run::{run, shown};

/// Ends a test program that hangs, so that the others run and the summary comes. Cargo names the program, and the program
/// the tests that it has not ended yet.
const RUNNER: &str =
    "target.'cfg(all())'.runner=['timeout', '--foreground', '--kill-after=10', '1200']";

pub fn test(project: &Project, args: &[String]) -> Result<ExitCode> {
    let chosen = args
        .iter()
        .take_while(|arg| *arg != "--")
        .any(|arg| arg.starts_with("-p") || arg.starts_with("--package"));
    let packages = if chosen {
        vec![]
    } else {
        [&["--workspace"], features()?].concat()
    };

    // The plugin itself, for tests that start it by name through GStreamer. Building the very targets of `cargo test`
    // keeps the dependencies' features, and with them their builds, the same in both commands.
    if !chosen {
        run(project
            .cargo(&["build", "--lib", "--bins", "--examples", "--tests"])
            .args(&packages))?;
    }

    let debug = project.target.join("debug");
    let mut cargo = project.cargo(&["test", "--no-fail-fast", "--config", RUNNER]);
    cargo.args(&packages).args(args);
    cargo.env(
        "GST_PLUGIN_PATH",
        with_front(&debug, std::env::var_os("GST_PLUGIN_PATH"))?,
    );
    // A list of plugins of our own: the user's is left as it is, and no stale entry of it hides the new build.
    cargo.env(
        "GST_REGISTRY",
        project.target.join("gstreamer-registry-debug.bin"),
    );

    // The tests run side by side as it is; threads of libtorch's in each of them would only wait for one another.
    if std::env::var_os("OMP_NUM_THREADS").is_none() {
        cargo.env("OMP_NUM_THREADS", "1");
    }

    eprintln!("$ {}", shown(&cargo));
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let Some(output) = child.stdout.take() else {
        bail!("cargo's output cannot be read")
    };
    let mut summary =
        pass_through(output, std::io::stdout()).context("cannot pass the tests' output on")?;
    let status = child.wait().context("cannot wait for cargo")?;

    if !status.success() && summary.failed == 0 {
        eprintln!(
            "error: `cargo test` failed ({status}) with no failed test counted: a test did not build or its program crashed (see above); counted as one failure"
        );
        summary.failed = 1;
    }
    println!("\n{} passed, {} failed", summary.passed, summary.failed);
    Ok(if status.success() && summary.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Copies the runner's output line by line as it comes and adds up its results.
fn pass_through(output: impl Read, mut to: impl Write) -> std::io::Result<Summary> {
    let mut summary = Summary::default();
    let (mut output, mut line) = (BufReader::new(output), Vec::new());
    while output.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        summary.add(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(summary)
}

#[derive(Default, Debug, PartialEq)]
struct Summary {
    passed: u64,
    failed: u64,
}

impl Summary {
    /// Adds a line like `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.02s`;
    /// other lines count nothing.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        let counts = counts
            .split_once(". ")
            .map_or(counts, |(_verdict, counts)| counts);
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_summed() {
        let output = "\nrunning 2 tests\ntest a ... ok\ntest passed ... FAILED\n\n\
            test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n\
            running 3 tests\n3 passed; 3 failed\n\
            test result: ok. 39 passed; 0 failed; 2 ignored; 0 measured; 7 filtered out; finished in 1.25s";
        let mut summary = Summary::default();
        output.lines().for_each(|line| summary.add(line));
        assert_eq!(
            summary,
            Summary {
                passed: 40,
                failed: 1
            }
        );
    }

    #[test]
    fn output_is_copied_and_a_last_line_without_its_end_counts() {
        let output = b"test result: ok. 2 passed; 0 failed; 0 ignored";
        let mut copy = Vec::new();
        let summary = pass_through(&output[..], &mut copy).unwrap();
        assert_eq!(copy, output);
        assert_eq!(
            summary,
            Summary {
                passed: 2,
                failed: 0
            }
        );
    }
}
