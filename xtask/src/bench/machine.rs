//! What was measured on.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

use super::program::Rates;
use crate::run::ask;

/// The machine, the code and the day.
#[derive(Serialize)]
pub struct Machine {
    pub cpu: String,
    /// Sets of instructions that matter here.
    pub features: Vec<String>,
    pub cores: usize,
    pub memory_mib: u64,
    /// Processes that wanted to run as the measuring began; more than none make it noisy.
    pub load: f64,
    pub commit: String,
    pub date: String,
    pub rates: Rates,
}

const FEATURES: [&str; 8] = [
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
];

impl Machine {
    pub fn find(root: &Path) -> Result<Self> {
        let cpuinfo = read("/proc/cpuinfo")?;
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let flags = field("flags").unwrap_or_default();
        let flags: Vec<&str> = flags.split_whitespace().collect();
        let date = ask(Command::new("date").args(["-u", "+%F"]))?.context("`date` failed")?;
        Ok(Self {
            cpu: field("model name").unwrap_or_else(|| "unknown".into()),
            features: FEATURES
                .iter()
                .filter(|feature| flags.contains(feature))
                .map(|&feature| feature.to_owned())
                .collect(),
            cores: std::thread::available_parallelism()?.get(),
            memory_mib: memory_mib(&read("/proc/meminfo")?).unwrap_or(0),
            load: read("/proc/loadavg")?
                .split_whitespace()
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
            commit: commit(root)?,
            date: date.trim().to_owned(),
            rates: Rates::default(),
        })
    }
}

/// A checkout's commit, short, with `+changes` where files differ from it.
pub fn commit(root: &Path) -> Result<String> {
    let git = |words: &[&str]| ask(Command::new("git").arg("-C").arg(root).args(words));
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"])? else {
        return Ok("unknown".into());
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    let changed = changed.is_some_and(|list| !list.trim().is_empty());
    Ok(commit.trim().to_owned() + if changed { "+changes" } else { "" })
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

fn memory_mib(meminfo: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = rest.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_off_the_kernels_list() {
        let text = "MemTotal:       24630244 kB\nMemFree:  1 kB\n";
        assert_eq!(memory_mib(text), Some(24_052));
        assert_eq!(memory_mib("MemFree: 1 kB\n"), None);
    }
}
