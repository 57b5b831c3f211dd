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
#[path = "../tests/rig/mod.rs"]
mod rig;

use refvsr::{
    Bundled, DeviceChoice, ModelConfig, Network, Precision, Result, Session, SessionOptions,
    Triplet,
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
        let moments = clip.ultrawide.iter().zip(&clip.wide);
        let out = played(Session::new(network, options)?, moments, device)?;
        let off = clip
            .kept
            .iter()
            .map(|(i, expected)| common::difference(&out[*i], expected).0);
        good &= line(&clip.name, off.fold(0.0, f64::max), 2e-4);
    }
    good &= registered(device)?;
    for format in PixelFormat::ALL {
        good &= line(
            &format!("{} to RGB and back, codes", format.name()),
            convert(format, device)?,
            1.0,
        );
    }
    Ok(good)
}

/// What a session on a device makes of ultra-wide and wide frames, on the CPU.
fn played<'a>(
    mut session: Session,
    moments: impl Iterator<Item = (&'a Tensor, &'a Tensor)>,
    device: Device,
) -> Result<Vec<Tensor>> {
    let mut out = vec![];
    for (ultrawide, wide) in moments {
        session.send(Triplet {
            ultrawide: ultrawide.f_to_device(device)?,
            wide: Some(wide.f_to_device(device)?),
            tele: None,
        })?;
        out.extend(session.receive()?.frame());
    }
    session.drain();
    while let Some(frame) = session.receive()?.frame() {
        out.push(frame);
    }
    let here = |frame: Tensor| Ok(frame.f_to_device(Device::Cpu)?);
    out.into_iter().map(here).collect()
}

/// The bundled model with a wide camera: the device against the CPU, and the fastest precision against fp32.
fn registered(device: Device) -> Result<bool> {
    let picture = rig::leaves("device check", 420, 720);
    let clip: Vec<(Tensor, Tensor)> = (0..2)
        .map(|t| {
            let seen = picture.narrow(2, 3 * t, 400).narrow(3, 7 * t, 640);
            let cameras = rig::Rig {
                zoom: 2.05,
                degrees: 0.8,
                shift: (2.0, -1.5),
                parallax: 1.0,
                another_look: true,
            };
            let shot = cameras.film("device check", &seen);
            (shot.frame, shot.reference)
        })
        .collect();
    let checkpoint = Bundled::Quality.checkpoint()?;
    let streamed = |device: Device, precision: Precision| -> Result<Tensor> {
        let network = Network::from_checkpoint(&checkpoint, device)?;
        let options = SessionOptions {
            precision,
            backward_group: Some(1),
            look_ahead: Some(0),
            ..Session::options_of(&network)
        };
        let moments = clip.iter().map(|(ultrawide, wide)| (ultrawide, wide));
        let out = played(Session::new(network, options)?, moments, device)?;
        Ok(Tensor::f_cat(&out, 0)?)
    };
    let exact = streamed(Device::Cpu, Precision::Fp32)?;
    let here = streamed(device, Precision::Fp32)?;
    let mut good = line(
        "quality with a wide camera, fp32",
        common::difference(&here, &exact).0,
        2e-4,
    );
    // Below 3.2e-3 is above 50 dB.
    let fast = Precision::Auto.on(device);
    let rms = |x: &Tensor| -> Result<f64> {
        let off = x.f_sub(&here)?.f_square()?.f_mean(Kind::Double)?;
        Ok(off.f_sqrt()?.f_double_value(&[])?)
    };
    good &= line(
        &format!("the same in {fast}, against fp32, rms"),
        rms(&streamed(device, fast)?)?,
        3.2e-3,
    );
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
    println!("{w}x{h} in, {frames} frames, random weights; plain in fp32");
    println!(
        "| preset               | plain, s/frame | precision  | session, s/frame | ratio | session MiB |"
    );
    for name in presets.split(',') {
        let config = ModelConfig::preset(name)?;
        let m = config.look_ahead();
        let picture = || Tensor::f_rand([1, 3, h, w], (Kind::Float, device));
        let (lr, wide) = (picture()?, picture()?);

        let network = Network::new(config.clone(), device)?;
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
        drop((network, kept));

        for precision in [Precision::Fp32, Precision::Auto] {
            let network = Network::new(config.clone(), device)?;
            let options = SessionOptions {
                precision,
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
                _ = session.receive()?;
            }
            synchronize(device);
            let start = Instant::now();
            for _ in 0..frames {
                send(&mut session)?;
                _ = session.receive()?;
            }
            synchronize(device);
            let streamed = start.elapsed().as_secs_f64() / frames as f64;
            let (precision, mib) = (precision.on(device).to_string(), session.memory() >> 20);
            println!(
                "| {name:20} | {plain:14.3} | {precision:10} | {streamed:16.3} | {:5.2} | {mib:11} |",
                plain / streamed
            );
        }
    }
    Ok(())
}
