//! What an encoder takes for a frame.

use super::{Cost, Form};
use crate::element::make;
use crate::frames::to_bytes;
use crate::media::messages::error_text;
use crate::stop::Stop;
use crate::transcode::encoder::{self, Codec, EncoderOptions};
use crate::transcode::{format, graph, sound};
use anyhow::{Context, Result, bail, ensure};
use gst::prelude::*;
use gst_app::AppSink;
use refvsr::Triplet;
use refvsr::image::enlarge::bicubic;
use std::time::{Duration, Instant};

/// How long to wait for the next piece.
const LONGEST: Duration = Duration::from_secs(120);
/// From one frame that stands by itself to the next, where an encoder has others.
const KEY: f64 = 250.0;

/// What encoding takes a frame of these, enlarged, `step` nanoseconds apart.
pub fn coding(
    frames: &[Triplet],
    scale: i64,
    form: Form,
    options: &EncoderOptions,
    step: i64,
    stop: &Stop,
) -> Result<Cost> {
    let first = frames.first().context("no frames to measure with")?;
    let size = first.ultrawide.size();
    let (height, width) = (size[2] * scale, size[3] * scale);
    let rate = gst::Fraction::approximate_f64(1e9 / step as f64).context("an odd frame rate")?;
    let info = gst_video::VideoInfo::builder(
        gst_video::VideoFormat::Rgb,
        u32::try_from(width)?,
        u32::try_from(height)?,
    )
    .fps(rate)
    .build()?;
    let (formats, encoder, shown) = match form {
        Form::Pictures => (vec![gst_video::VideoFormat::Rgb], make("pngenc")?, 1),
        Form::Video(container) => {
            let (encoder, codec) = encoder::choose(options, container.default_codec())?;
            let lossless = codec == Codec::Ffv1;
            let choice = format::choose(&graph::offered(&encoder), &info, lossless);
            (choice.formats, encoder, frames.len())
        }
    };
    let pipeline = gst::Pipeline::new();
    let source = sound::source(&info.to_caps()?, u64::MAX);
    let sink = AppSink::builder().sync(false).build();
    let chain = [
        source.clone().upcast(),
        make("videoconvert")?,
        graph::formats(&formats)?,
        encoder,
        sink.clone().upcast(),
    ];
    pipeline.add_many(&chain)?;
    gst::Element::link_many(&chain)?;
    // Rows are padded to four bytes; a picture's are no shorter than the frame's.
    let (row, stride) = (width as usize * 3, info.stride()[0] as usize);
    let start = Instant::now();
    pipeline.set_state(gst::State::Playing)?;
    let mut pushed = Duration::ZERO;
    for (n, frame) in frames.iter().take(shown).enumerate() {
        stop.check()?;
        let making = Instant::now();
        let packed = to_bytes(&bicubic(&frame.ultrawide, scale)?)?;
        let mut padded = vec![0; info.size()];
        for (to, from) in padded.chunks_mut(stride).zip(packed.chunks(row)) {
            to[..row].copy_from_slice(from);
        }
        let mut buffer = gst::Buffer::from_mut_slice(padded);
        let inner = buffer.make_mut();
        inner.set_pts(gst::ClockTime::from_nseconds(n as u64 * step as u64));
        inner.set_duration(gst::ClockTime::from_nseconds(step as u64));
        pushed += making.elapsed();
        source.push_buffer(buffer)?;
    }
    source.end_of_stream()?;
    let collected = collect(&pipeline, &sink, stop);
    let seconds = start.elapsed().saturating_sub(pushed).as_secs_f64();
    _ = pipeline.set_state(gst::State::Null);
    let (keys, deltas) = collected?;
    let mean = |of: &[usize]| of.iter().sum::<usize>() as f64 / of.len().max(1) as f64;
    let (key, delta) = (mean(&keys), mean(&deltas));
    Ok(Cost {
        seconds: seconds / shown as f64,
        bytes: match deltas.is_empty() {
            true => key,
            false => delta + (key - delta) / KEY,
        },
    })
}

/// Sizes of encoded frames that stand by themselves, and of the others.
fn collect(
    pipeline: &gst::Pipeline,
    sink: &AppSink,
    stop: &Stop,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let (mut keys, mut deltas, mut last) = (Vec::new(), Vec::new(), Instant::now());
    while !sink.is_eos() && last.elapsed() < LONGEST {
        stop.check()?;
        let sample = sink.try_pull_sample(gst::ClockTime::from_mseconds(100));
        let Some(buffer) = sample.as_ref().and_then(|sample| sample.buffer()) else {
            let bus = pipeline.bus().context("a pipeline without a bus")?;
            if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error])
                && let gst::MessageView::Error(error) = message.view()
            {
                bail!("frames cannot be encoded: {}", error_text(error))
            }
            continue;
        };
        last = Instant::now();
        match buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) {
            true => deltas.push(buffer.size()),
            false => keys.push(buffer.size()),
        }
    }
    if keys.is_empty() {
        // Not every encoder of single pictures says that they stand by themselves.
        std::mem::swap(&mut keys, &mut deltas);
    }
    ensure!(!keys.is_empty(), "the encoder gives nothing");
    Ok((keys, deltas))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcode::container::Container;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn frames_are_weighed_as_the_encoder_writes_them() {
        gst::init().unwrap();
        tch::manual_seed(7);
        let scene = Tensor::rand([1, 3, 12, 16], (Kind::Float, Device::Cpu));
        let scene = bicubic(&scene, 8).unwrap().clamp(0.0, 1.0);
        let frames: Vec<_> = (0..5)
            .map(|k| Triplet {
                ultrawide: scene.narrow(2, k, 64).narrow(3, 2 * k, 95),
                wide: None,
                tele: None,
            })
            .collect();
        let cost = |form, options: &EncoderOptions| {
            coding(&frames, 2, form, options, 33_333_333, &Stop::default()).unwrap()
        };
        let plain = EncoderOptions::default();
        let coarse = EncoderOptions {
            crf: Some(40),
            ..plain.clone()
        };
        let video = Form::Video(Container::Matroska);
        let (fine, coarse) = (cost(video, &plain), cost(video, &coarse));
        assert!(fine.bytes > 1.5 * coarse.bytes, "{fine:?} {coarse:?}");
        let png = cost(Form::Pictures, &plain);
        let raw = f64::from(190 * 128 * 3);
        assert!(png.bytes > 0.1 * raw && png.bytes < 1.1 * raw, "{png:?}");
    }
}
