//! What to run on a machine with a CUDA device: does it compute what the CPU and the research code compute, and how fast?
//!
//! ```text
//! device_check parity [--device auto|cpu|cuda|cuda:N]
//! device_check bench  [--device ...] [--height 270] [--width 480] [--frames 8] [--presets refvsr-small-mfid,refvsr-mfid,refvsr-ir-mfid]
//! ```
//!
//! `cargo xtask device-check pack` carries it to such a machine. Set `NVIDIA_TF32_OVERRIDE=0` for `parity`: with TF32 convolutions fp32 results agree
//! to three digits only.
#![allow(clippy::print_stdout)] // a program that prints a table

#[path = "../tests/common/mod.rs"]
mod common;

use refvsr::{
    DeviceChoice, ModelConfig, Network, Precision, Result, Session, SessionOptions, Triplet,
    image::colour::{self, ChromaSite, ImageLayout, Matrix, PixelFormat, Plane, PlaneMut, Range},
    net::{Frame, Run},
};
use std::time::Instant;
use tch::{Cuda, Device, Kind, Tensor};

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        arguments
            .iter()
            .position(|a| a == name)
            .and_then(|i| arguments.get(i + 1))
            .map(String::as_str)
    };
    let number = |name: &str, default: i64| {
        option(name).map_or(Ok(default), |text| {
            text.parse::<i64>()
                .map_err(|e| format!("{name} {text}: {e}"))
        })
    };
    let run = || -> std::result::Result<bool, String> {
        let device = option("--device")
            .unwrap_or("auto")
            .parse::<DeviceChoice>()
            .and_then(DeviceChoice::resolve)
            .map_err(|e| e.to_string())?;
        println!("device: {device:?}");
        match arguments.first().map(String::as_str) {
            Some("parity") => parity(device).map_err(|e| e.to_string()),
            Some("bench") => {
                let (h, w, frames) = (number("--height", 270)?, number("--width", 480)?, number("--frames", 8)?);
                let presets = option("--presets").unwrap_or("refvsr-small-mfid,refvsr-mfid,refvsr-ir-mfid");
                bench(device, (h, w), frames, presets).map(|()| true).map_err(|e| e.to_string())
            }
            _ => Err("usage: device_check parity|bench [--device D] [--height H] [--width W] [--frames N]".into()),
        }
    };
    match run() {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::FAILURE,
        Err(message) => {
            println!("{message}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// One line of the table; whether it holds.
fn line(what: &str, found: f64, allowed: f64) -> bool {
    let good = found <= allowed;
    println!(
        "| {what:40} | {found:9.2e} | {allowed:7.0e} | {} |",
        if good { "ok  " } else { "FAIL" }
    );
    good
}

/// Golden clips through the session on the device, and pixel formats against the CPU's.
fn parity(device: Device) -> Result<bool> {
    println!(
        "| {:40} | largest difference | allowed | |",
        "against the research code, fp32"
    );
    let mut good = true;
    for clip in common::clips() {
        let network = common::network_on(clip.config.clone(), device);
        let options = SessionOptions {
            precision: Precision::Fp32,
            ..Session::options_of(&network)
        };
        let mut session = Session::new(network, options)?;
        let mut out = vec![];
        for (u, w) in clip.ultrawide.iter().zip(&clip.wide) {
            session.send(Triplet {
                ultrawide: u.to_device(device),
                wide: Some(w.to_device(device)),
                tele: None,
            })?;
            out.extend(session.receive()?);
        }
        session.drain();
        while let Some(frame) = session.receive()? {
            out.push(frame);
        }
        let off = clip
            .kept
            .iter()
            .map(|(i, expected)| common::difference(&out[*i].to_device(Device::Cpu), expected).0);
        good &= line(&clip.name, off.fold(0.0, f64::max), 2e-4);
    }
    for format in PixelFormat::ALL {
        good &= line(
            &format!("{} to RGB and back, codes", format.name()),
            convert(format, device)?,
            1.0,
        );
    }
    Ok(good)
}

/// The largest difference in codes (bytes) between the device's conversion of a picture and the CPU's.
fn convert(format: PixelFormat, device: Device) -> Result<f64> {
    let matrix = if format.is_yuv() {
        Matrix::Bt709
    } else {
        Matrix::Rgb
    };
    let range = if format.is_yuv() {
        Range::Limited
    } else {
        Range::Full
    };
    let site = ChromaSite {
        horizontally_cosited: true,
        vertically_cosited: false,
    };
    let layout = ImageLayout {
        format,
        width: 50,
        height: 38,
        matrix,
        range,
        site,
    };
    let sizes = layout.planes()?;
    let data: Vec<Vec<u8>> = sizes
        .iter()
        .map(|s| {
            (0..s.row_bytes * s.rows)
                .map(|i| (i * 37 % 251) as u8)
                .collect()
        })
        .collect();
    let converted = |device: Device| -> Result<Vec<Vec<u8>>> {
        let planes: Vec<Plane<'_>> = data
            .iter()
            .zip(&sizes)
            .map(|(d, s)| Plane {
                data: d,
                stride: s.row_bytes,
            })
            .collect();
        let rgb = colour::to_tensor(&layout, &planes, device)?;
        let mut out: Vec<Vec<u8>> = data.iter().map(|d| vec![0; d.len()]).collect();
        let mut planes: Vec<PlaneMut<'_>> = out
            .iter_mut()
            .zip(&sizes)
            .map(|(d, s)| PlaneMut {
                data: d,
                stride: s.row_bytes,
            })
            .collect();
        colour::from_tensor(&rgb, &layout, &mut planes)?;
        Ok(out)
    };
    let (here, there) = (converted(Device::Cpu)?, converted(device)?);
    // The low byte of a 16-bit code may turn over where the high one differs by one; only 8-bit formats are compared closely.
    let words = matches!(
        format,
        PixelFormat::P010Le | PixelFormat::I42010Le | PixelFormat::Rgba64Le
    );
    let codes = |bytes: &[u8]| -> Vec<i64> {
        if words {
            bytes
                .chunks(2)
                .map(|b| i64::from(u16::from_le_bytes([b[0], b[1]])) >> 6)
                .collect()
        } else {
            bytes.iter().map(|&b| i64::from(b)).collect()
        }
    };
    let off = here
        .iter()
        .zip(&there)
        .flat_map(|(a, b)| codes(a).into_iter().zip(codes(b)))
        .map(|(a, b)| (a - b).abs())
        .max();
    Ok(off.unwrap_or(0) as f64)
}

fn synchronize(device: Device) {
    if let Device::Cuda(n) = device {
        Cuda::synchronize(n as i64);
    }
}

/// Seconds a frame, the plain form against the session.
fn bench(device: Device, (h, w): (i64, i64), frames: i64, presets: &str) -> Result<()> {
    println!("{w}x{h} in, {} frames, fp32, random weights", frames);
    println!("| preset               | plain, s/frame | session, s/frame | ratio | session MiB |");
    for name in presets.split(',') {
        let config = ModelConfig::preset(name)?;
        let m = config.look_ahead();
        let picture = || Tensor::f_rand([1, 3, h, w], (Kind::Float, device));
        let (lr, wide) = (picture()?, picture()?);

        let network = Network::new(config, device)?;
        let (lr_padded, wide_padded) = (network.pad(&lr)?, network.pad(&wide)?);
        let references = [&wide_padded];
        let window = vec![
            Frame {
                lr: &lr_padded,
                references: &references
            };
            2 * m + 1
        ];
        let plain = || tch::no_grad(|| network.forward(&window, None, Run::Streaming));
        let (_, kept) = plain()?;
        synchronize(device);
        let start = Instant::now();
        let _frame = tch::no_grad(|| network.forward(&window, Some(&kept), Run::Streaming))?;
        synchronize(device);
        let plain = start.elapsed().as_secs_f64();

        let options = SessionOptions {
            reset_interval: None,
            ..Session::options_of(&network)
        };
        let mut session = Session::new(network, options)?;
        let send = |session: &mut Session| {
            session.send(Triplet {
                ultrawide: lr.shallow_clone(),
                wide: Some(wide.shallow_clone()),
                tele: None,
            })
        };
        for _ in 0..=m + 1 {
            send(&mut session)?;
            session.receive()?;
        }
        synchronize(device);
        let start = Instant::now();
        for _ in 0..frames {
            send(&mut session)?;
            session.receive()?;
        }
        synchronize(device);
        let streamed = start.elapsed().as_secs_f64() / frames as f64;
        let mib = session.memory() >> 20;
        println!(
            "| {name:20} | {plain:14.3} | {streamed:16.3} | {:5.2} | {mib:11} |",
            plain / streamed
        );
    }
    Ok(())
}
