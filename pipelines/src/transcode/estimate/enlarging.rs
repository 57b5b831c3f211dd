//! How long a network takes for a frame.

use crate::stop::Stop;
use anyhow::{Context, Result, bail};
use refvsr::image::resize::bicubic_antialiased;
use refvsr::{Precision, Session, SharedNetwork, Triplet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tch::{Device, Tensor};

/// Ultra-wide pixels of frames that a processor enlarges to measure.
const MEASURED: f64 = 96.0 * 54.0;
/// How long to measure; two outputs are waited for in any case.
const LONGEST: Duration = Duration::from_secs(10);

/// Seconds that this network takes for a frame of a stream of these, which are shown forwards and backwards over and over. On a
/// processor it sees them at a small size: the time goes with the pixels.
pub fn enlarging(
    network: &SharedNetwork,
    precision: Precision,
    frames: &[Triplet],
    stop: &Stop,
) -> Result<f64> {
    let size = |x: &Tensor| (x.size()[2], x.size()[3]);
    let first = frames.first().context("no frames to measure with")?;
    let (height, width) = size(&first.ultrawide);
    let tele = frames.iter().any(|frame| frame.tele.is_some());
    let key = (
        format!("{:?}", network.config()),
        precision,
        height,
        width,
        tele,
    );
    static KNOWN: Mutex<Vec<(Key, f64)>> = Mutex::new(Vec::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, seconds)) = known().iter().find(|(known, _)| *known == key) {
        return Ok(*seconds);
    }
    let device = network.device();
    let pixels = (height * width) as f64;
    let factor = match device {
        Device::Cpu => (MEASURED / pixels).min(1.0).sqrt(),
        _ => 1.0,
    };
    let small = |x: &Tensor| -> Result<Tensor> {
        let (h, w) = size(x);
        let side = |n: i64| ((n as f64 * factor).round() as i64).max(1);
        let reduced = bicubic_antialiased(x, side(h), side(w))?;
        Ok(reduced.f_clamp(0.0, 1.0)?.f_to_device(device)?)
    };
    let other = |x: &Option<Tensor>| x.as_ref().map(small).transpose();
    let shown = frames
        .iter()
        .map(|frame| {
            Ok(Triplet {
                ultrawide: small(&frame.ultrawide)?,
                wide: other(&frame.wide)?,
                tele: other(&frame.tele)?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let (h, w) = size(&shown[0].ultrawide);
    let seconds = streamed(network, precision, &shown, stop)? * pixels / (h * w) as f64;
    known().push((key, seconds));
    Ok(seconds)
}

/// What the time of a frame depends on.
type Key = (String, Precision, i64, i64, bool);

/// Seconds a frame as a stream.
fn streamed(
    network: &SharedNetwork,
    precision: Precision,
    frames: &[Triplet],
    stop: &Stop,
) -> Result<f64> {
    // So many outputs share a run of the backward branch.
    let group = network.config().backward_group();
    let options = refvsr::SessionOptions {
        precision,
        ..Session::options_of(network)
    };
    let mut session = Session::new(network.clone(), options)?;
    let there_and_back = (0..frames.len()).chain((1..frames.len().saturating_sub(1)).rev());
    let (start, mut began, mut done) = (Instant::now(), None, 0);
    for n in there_and_back.cycle() {
        stop.check()?;
        session.send(frames[n].shallow_clone())?;
        while let Some(frame) = session.receive()?.frame() {
            // Waits for a GPU to be done.
            _ = frame.f_to_device(Device::Cpu)?;
            let Some(began) = began else {
                began = Some(Instant::now());
                continue;
            };
            done += 1;
            if done == group || start.elapsed() > LONGEST {
                return Ok(began.elapsed().as_secs_f64() / done as f64);
            }
        }
    }
    bail!("no frames to measure with")
}

#[cfg(test)]
mod tests {
    use super::*;
    use refvsr::Network;
    use refvsr::config::{ModelConfig, Recurrence, Variant};
    use tch::Kind;

    #[test]
    fn a_stream_is_measured_once_a_size() {
        tch::manual_seed(7);
        let config = ModelConfig {
            variant: Variant::Registered,
            mid_channels: 4,
            num_blocks: 1,
            flow_levels: 2,
            recurrence: Recurrence::Clean,
            ..ModelConfig::preset("refvsr-mfid").unwrap()
        };
        let network = SharedNetwork::from(Network::new(config, Device::Cpu).unwrap());
        let seconds = |height| {
            let camera = || Tensor::rand([1, 3, height, 96], (Kind::Float, Device::Cpu));
            let frames: Vec<_> = (0..3)
                .map(|_| Triplet {
                    ultrawide: camera(),
                    wide: Some(camera()),
                    tele: None,
                })
                .collect();
            enlarging(&network, Precision::Fp32, &frames, &Stop::default()).unwrap()
        };
        let (small, large) = (seconds(54), seconds(540));
        assert!(small > 0.0 && large.is_finite());
        assert_eq!((seconds(54), seconds(540)), (small, large));
    }
}
