//! Golden data: generated weights, stored inputs and outputs.
#![allow(dead_code)] // each test file uses its own part

use refvsr::{
    ModelConfig, Network,
    checkpoint::Tensors,
    config::{FLOW_LEVELS, Recurrence, Variant},
};
use std::{collections::BTreeMap, path::PathBuf};
use tch::{Device, Kind, Tensor, nn::VarStore};

pub fn golden(name: &str) -> PathBuf {
    let folder = std::env::var_os("REFVSR_GOLDEN").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden"),
        PathBuf::from,
    );
    folder.join(name)
}

pub fn tensors(name: &str) -> Tensors {
    refvsr::checkpoint::read_tensors(&golden(name)).unwrap()
}

/// The stream of numbers in [-1, 1) that belongs to a name: splitmix64, seeded by the name's 64-bit FNV-1a hash.
pub fn uniform(name: &str, n: usize) -> Vec<f64> {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let number = |k: u64| {
        let mut z = seed.wrapping_add(k.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 * (-53f64).exp2() * 2.0 - 1.0
    };
    (1..=n as u64).map(number).collect()
}

/// The generated weight of this name.
pub fn weight(name: &str, shape: &[i64]) -> Tensor {
    let n: i64 = shape.iter().product();
    let factor = match shape {
        [_, a, b, c] => {
            let gain = if name.ends_with("conv2.weight") {
                0.25
            } else if name.contains("conf_fusion") || name.contains("feat_fusion") {
                2.0
            } else if name.ends_with("conv_last.weight") {
                0.02
            } else {
                1.0
            };
            (3.0 / (a * b * c) as f64).sqrt() * 0.8 * gain
        }
        _ => 0.05,
    };
    let values: Vec<f64> = uniform(name, n as usize)
        .into_iter()
        .map(|u| u * factor)
        .collect();
    Tensor::from_slice(&values).to_kind(Kind::Float).view(shape)
}

/// Fills all variables with the weights of their names.
pub fn fill(vs: &VarStore) {
    for (name, mut variable) in vs.variables() {
        tch::no_grad(|| variable.copy_(&weight(&name, &variable.size())));
    }
}

pub fn network(config: ModelConfig) -> Network {
    network_on(config, Device::Cpu)
}

pub fn network_on(config: ModelConfig, device: Device) -> Network {
    let network = Network::new(config, device).unwrap();
    fill(network.weights());
    network
}

pub fn config(scale: i64, hd: bool) -> ModelConfig {
    ModelConfig {
        variant: Variant::RefVsr,
        mid_channels: 8,
        num_blocks: 2,
        frame_num: 3,
        scale,
        hd,
        reset_interval: None,
        recurrence: Recurrence::Upstream,
        flow_levels: FLOW_LEVELS,
        first_looks: 1,
        recorded: false,
    }
}

/// A golden clip: its config, and which outputs were kept.
pub struct Clip {
    pub name: String,
    pub config: ModelConfig,
    pub ultrawide: Vec<Tensor>,
    pub wide: Vec<Tensor>,
    pub kept: Vec<(usize, Tensor)>,
    pub mean_std: Vec<(f64, f64)>,
}

/// All golden clips.
pub fn clips() -> Vec<Clip> {
    let data = tensors("network.safetensors");
    let configs: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&std::fs::read(golden("network.json")).unwrap()).unwrap();
    configs
        .into_iter()
        .map(|(name, c)| {
            let number = |key: &str| c[key].as_i64().unwrap();
            let config = ModelConfig {
                variant: if c["variant"] == "RefVSR_IR" {
                    Variant::RefVsrIr
                } else {
                    Variant::RefVsr
                },
                mid_channels: number("mid_channels"),
                num_blocks: number("num_blocks"),
                frame_num: number("frame_num") as usize,
                reset_interval: c["reset_branch"].as_u64().map(|n| n as usize),
                ..config(number("scale"), c["flag_HD_in"].as_bool().unwrap())
            };
            let out = &data[&format!("{name}.out")];
            let numbers = |key: &str| {
                c[key]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|v| v.as_f64().unwrap())
                    .collect::<Vec<_>>()
            };
            Clip {
                ultrawide: frames(&data[&format!("{name}.uw")]),
                wide: frames(&data[&format!("{name}.w")]),
                kept: numbers("kept")
                    .iter()
                    .enumerate()
                    .map(|(k, &i)| (i as usize, out.narrow(0, k as i64, 1)))
                    .collect(),
                mean_std: numbers("frame_mean")
                    .into_iter()
                    .zip(numbers("frame_std"))
                    .collect(),
                name,
                config,
            }
        })
        .collect()
}

/// Frames `[N, 3, H, W]` of bytes as a list of `[1, 3, H, W]` in [0, 1].
pub fn frames(bytes: &Tensor) -> Vec<Tensor> {
    (0..bytes.size()[0])
        .map(|i| bytes.narrow(0, i, 1).to_kind(Kind::Float) / 255.0)
        .collect()
}

/// Largest and mean absolute difference.
pub fn difference(a: &Tensor, b: &Tensor) -> (f64, f64) {
    assert_eq!(a.size(), b.size());
    let d = (a - b).abs();
    (
        d.max().double_value(&[]),
        d.mean(Kind::Double).double_value(&[]),
    )
}

#[track_caller]
pub fn assert_close(what: &str, a: &Tensor, b: &Tensor, tolerance: f64) {
    let (max, _) = difference(a, b);
    assert!(
        max <= tolerance,
        "{what}: off by {max:.3e}, {tolerance:e} allowed"
    );
}

/// A frame of the golden data's closed-form scene, `[1, 3, h, w]` bytes: `zoom` 1 is the ultra-wide camera's view, 2 the wide one's, 5 the tele one's.
pub fn scene(zoom: f64, t: i64, h: i64, w: i64) -> Tensor {
    use std::f64::consts::TAU;
    let mut bytes = Vec::with_capacity((3 * h * w) as usize);
    for c in 0..3 {
        let c = f64::from(c);
        for (row, column) in (0..h).flat_map(|row| (0..w).map(move |column| (row, column))) {
            let at = |i: i64, n: i64| ((i as f64 + 0.5) / n as f64 - 0.5) / zoom + 0.5;
            let (x, y) = (
                at(column, w) + 0.010 * t as f64,
                at(row, h) + 0.006 * t as f64,
            );
            let r = (x - 0.5).hypot(y - 0.45);
            let v = 0.5
                + 0.16 * (TAU * (3.0 * x + 2.0 * y) + 1.3 * c).sin()
                + 0.13 * (TAU * (7.0 * x - 5.0 * y) + 0.7 * c).sin()
                + 0.10
                    * (TAU * (29.0 * x + 3.0 * y)).sin()
                    * (TAU * (5.0 * x + 31.0 * y) + c).sin()
                + 0.10 * (60.0 * r * (1.0 + 0.2 * c) - 0.4 * t as f64).sin();
            bytes.push((255.0 * v + 0.5).floor() as u8);
        }
    }
    Tensor::from_slice(&bytes).view([1, 3, h, w])
}
