//! How good the network is on clips it does not learn from, and what the reference camera gives it.

use crate::{config::Validation, data::batch::ValidationClip, losses::seen_by_pixel_losses};
use anyhow::{Context, Result, ensure};
use refvsr::{ModelConfig, Network, Session, SessionOptions, Triplet, metrics};
use refvsr_tools::enlarge::bicubic;
use serde::Serialize;
use std::collections::BTreeMap;
use tch::{Device, Tensor};

/// Means over the frames of one clip.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClipScore {
    /// The clip.
    pub clip: String,
    /// In dB, with the wide camera as reference.
    pub psnr: f64,
    /// The same.
    pub ssim: f64,
    /// In dB, with the ultra-wide frame as its own reference: the difference is what the wide camera gives.
    pub psnr_without_reference: f64,
    /// In dB, of bicubic enlargement.
    pub psnr_bicubic: f64,
}

/// Means over the clips.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// See [`ClipScore::psnr`].
    pub psnr: f64,
    /// See [`ClipScore::ssim`].
    pub ssim: f64,
    /// See [`ClipScore::psnr_without_reference`].
    pub psnr_without_reference: f64,
    /// See [`ClipScore::psnr_bicubic`].
    pub psnr_bicubic: f64,
    /// One by one.
    pub clips: Vec<ClipScore>,
}

/// A network with these weights.
///
/// # Errors
/// Where weights are missing or of other shapes.
pub fn network_of(
    config: &ModelConfig,
    weights: &BTreeMap<String, Tensor>,
    device: Device,
) -> Result<Network> {
    let network = Network::new(config.clone(), device)?;
    for (name, mut variable) in network.weights().variables() {
        let weight = weights
            .get(&name)
            .with_context(|| format!("no weight '{name}'"))?;
        ensure!(
            weight.size() == variable.size(),
            "weight '{name}' is {:?}, {:?} expected",
            weight.size(),
            variable.size()
        );
        tch::no_grad(|| variable.f_copy_(weight))?;
        let _ = variable.set_requires_grad(false);
    }
    Ok(network)
}

/// Runs the clips as a stream, as the element does, and scores the outputs.
///
/// # Errors
/// Where a frame cannot be read or does not fit.
pub fn validate(
    network: Network,
    clips: &[Box<dyn ValidationClip>],
    options: &Validation,
) -> Result<Scores> {
    // As the network is trained: every window by itself, in exact arithmetic.
    let session_options = SessionOptions {
        backward_group: Some(1),
        precision: refvsr::Precision::Fp32,
        ..Session::options_of(&network)
    };
    let mut session = Session::new(network, session_options)?;
    let clips = clips.iter().take(options.clips);
    let clips = clips
        .map(|clip| score(&mut session, clip.as_ref(), options.frames))
        .collect::<Result<Vec<_>>>()?;
    ensure!(!clips.is_empty(), "no clip to validate with");
    let mean =
        |value: fn(&ClipScore) -> f64| clips.iter().map(value).sum::<f64>() / clips.len() as f64;
    Ok(Scores {
        psnr: mean(|c| c.psnr),
        ssim: mean(|c| c.ssim),
        psnr_without_reference: mean(|c| c.psnr_without_reference),
        psnr_bicubic: mean(|c| c.psnr_bicubic),
        clips,
    })
}

fn score(session: &mut Session, clip: &dyn ValidationClip, frames: usize) -> Result<ClipScore> {
    let frames = clip.len().min(frames);
    ensure!(
        frames >= 1,
        "validation clip '{}' has no frames",
        clip.name()
    );
    let (mut with, mut without) = (vec![], vec![]);
    let scale = session.network().config().scale;
    let device = session.network().device();
    for (wide, scores) in [(true, &mut with), (false, &mut without)] {
        stream(
            session,
            frames,
            |i| {
                let frame = clip.frame(i)?;
                let there = |x: Tensor| x.f_to_device(device);
                Ok(Triplet {
                    ultrawide: there(frame.lr)?,
                    wide: wide.then(|| there(frame.wide)).transpose()?,
                    tele: None,
                })
            },
            |i, out| {
                scores.push(compare(scale, clip, i, out)?);
                Ok(())
            },
        )?;
    }
    let mean = |scores: &[Compared], value: fn(&Compared) -> f64| {
        scores.iter().map(value).sum::<f64>() / scores.len().max(1) as f64
    };
    Ok(ClipScore {
        clip: clip.name().to_owned(),
        psnr: mean(&with, |s| s.psnr),
        ssim: mean(&with, |s| s.ssim),
        psnr_without_reference: mean(&without, |s| s.psnr),
        psnr_bicubic: mean(&with, |s| s.bicubic),
    })
}

/// Runs `frames` frames through a session as a clip, from its start to its end; `each` gets every
/// output with its number.
///
/// # Errors
/// Where a frame cannot be read or does not fit, and those of `each`.
pub fn stream(
    session: &mut Session,
    frames: usize,
    mut frame: impl FnMut(usize) -> Result<Triplet>,
    mut each: impl FnMut(usize, &Tensor) -> Result<()>,
) -> Result<()> {
    session.reset();
    let mut done = 0;
    for i in 0..frames {
        session.send(frame(i)?)?;
        if i + 1 == frames {
            session.drain();
        }
        while let Some(out) = session.receive()?.frame() {
            each(done, &out)?;
            done += 1;
        }
    }
    Ok(())
}

struct Compared {
    psnr: f64,
    ssim: f64,
    bicubic: f64,
}

/// Output number `i` against the truth; with a truth of the input's size, its reduction.
fn compare(scale: i64, clip: &dyn ValidationClip, i: usize, out: &Tensor) -> Result<Compared> {
    let frame = clip.frame(i)?;
    let reduce = (frame.hr.size() == frame.lr.size()).then_some(scale);
    let hr = frame.hr.f_to_device(out.device())?;
    let lr = frame.lr.f_to_device(out.device())?;
    let bicubic = bicubic(&lr, scale)?;
    let (ours, bicubic) = (
        seen_by_pixel_losses(out, reduce)?,
        seen_by_pixel_losses(&bicubic, reduce)?,
    );
    Ok(Compared {
        psnr: metrics::psnr(&ours, &hr)?,
        ssim: metrics::ssim(&ours, &hr)?,
        bicubic: metrics::psnr(&bicubic, &hr)?,
    })
}
