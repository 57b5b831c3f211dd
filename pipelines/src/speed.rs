//! How fast a model is here, measured.

use crate::peak;
use anyhow::{Context, Result};
use refvsr::{Network, Session, Triplet};
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    pub seconds_per_frame: f64,
    /// Bytes of weights and remembered frames.
    pub bytes: usize,
    /// The most memory that the process held meanwhile; on a GPU not that of the GPU.
    pub peak: Option<u64>,
    /// Frames that were measured.
    pub frames: usize,
}

/// Runs a network on noise of this size (width, height) until `time` has passed, at least for one frame after the first ones, which
/// set things up.
pub fn measure(network: Network, (width, height): (i64, i64), time: Duration) -> Result<Speed> {
    let device = network.device();
    let options = Session::options_of(&network);
    let mut session = Session::new(network, options)?;
    let camera = || Tensor::f_rand([1, 3, height, width], (Kind::Float, device));
    let (mut frames, mut bytes, mut began) = (0, 0, None);
    peak::reset();
    let first = Instant::now();
    loop {
        session.send(Triplet {
            ultrawide: camera()?,
            wide: Some(camera()?),
            tele: None,
        })?;
        while let Some(frame) = session.receive()?.frame() {
            // Waits for a GPU to be done.
            _ = frame.f_to_device(Device::Cpu)?;
            bytes = bytes.max(session.memory());
            match began {
                None => began = Some(Instant::now()),
                Some(_) => frames += 1,
            }
        }
        if frames > 0 && first.elapsed() >= time {
            let began = began.context("no frame came out")?;
            return Ok(Speed {
                seconds_per_frame: began.elapsed().as_secs_f64() / f64::from(frames),
                bytes,
                peak: peak::bytes(),
                frames: frames as usize,
            });
        }
    }
}
