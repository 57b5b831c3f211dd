//! What this process and this machine take and give.

use crate::Result;
use serde_json::{Value, json};
use std::{fs, ops::Sub, time::Instant};
use tch::{Device, Kind, Tensor};

/// Seconds of processor time, of all threads.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    pub user: f64,
    pub system: f64,
}

impl Cpu {
    /// This process's so far.
    pub fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        // The program's name, the second field, may hold anything; it ends with the last bracket.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let seconds = |field: usize| -> Result<f64> {
            let ticks: f64 = fields
                .get(field)
                .ok_or("/proc/self/stat is short")?
                .parse()?;
            Ok(ticks / 100.0) // Linux tells ticks of 1/100 s to all programs
        };
        Ok(Self {
            user: seconds(11)?,
            system: seconds(12)?,
        })
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            user: self.user - before.user,
            system: self.system - before.system,
        }
    }
}

/// The most memory that was ever resident, in MiB.
pub fn peak_mib() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .ok_or("/proc/self/status does not tell VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// Whether the processor has instructions for bf16. Without them bf16 is far slower than fp32.
pub fn computes_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// GFLOP/s of products of 2048 x 2048 matrices: the best of a few. None for bf16 where the processor
/// lacks it.
pub fn rates() -> Result<Value> {
    const N: i64 = 2048;
    let rate = |kind: Kind| -> Result<f64> {
        let a = Tensor::f_rand([N, N], (Kind::Float, Device::Cpu))?.f_to_kind(kind)?;
        let mut best = f64::INFINITY;
        for _ in 0..6 {
            let start = Instant::now();
            let _product = a.f_matmul(&a)?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        Ok(2.0 * (N as f64).powi(3) / best / 1e9)
    };
    let bf16 = computes_bf16().then(|| rate(Kind::BFloat16)).transpose()?;
    Ok(json!({"fp32": rate(Kind::Float)?, "bf16": bf16}))
}
