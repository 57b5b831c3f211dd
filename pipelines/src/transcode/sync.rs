//! When the cameras started: by their sound, timecodes or dates.

use crate::element::make;
use crate::media::messages::error_text;
use crate::media::reader::Reader;
use crate::stop::Stop;
use anyhow::{Context, Result, bail, ensure};
use gst::prelude::*;
use gst_app::AppSink;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tch::{Kind, Tensor};

/// How cameras that started at different moments are lined up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sync {
    /// By their sound
    Audio,
    /// By the timecode of the first frame
    Timecode,
    /// By the date in the file, which is often no finer than a second
    CreationTime,
}

/// Samples a second that sound is compared at: an eighth of a millisecond each.
const RATE: i32 = 8000;
/// Sound that is compared, in seconds: enough for any start by hand, and no more than 40 MB.
const LONGEST: usize = 600;
/// How far the best offset must stand out from all others, in standard deviations. Of a million offsets of unrelated noise the best
/// stands out by 5.
const CLEAR: f64 = 8.0;

/// How much later than `ultrawide` the recording `other` started, in nanoseconds.
pub fn offset(sync: Sync, ultrawide: &Reader, other: &Reader, stop: &Stop) -> Result<i64> {
    match sync {
        Sync::Audio => {
            let [a, b] = [ultrawide, other].map(|reader| samples(reader.path(), stop));
            let lag = lag(&a?, &b?).with_context(|| {
                format!(
                    "cannot line up {} with {} by their sound",
                    other.path().display(),
                    ultrawide.path().display()
                )
            })?;
            Ok((lag * 1e9 / f64::from(RATE)).round() as i64)
        }
        Sync::Timecode => {
            let code = |reader: &Reader| {
                reader
                    .timecode()
                    .with_context(|| format!("{} has no timecode", reader.path().display()))
            };
            Ok(code(other)?.since(code(ultrawide)?))
        }
        Sync::CreationTime => {
            let date = |reader: &Reader| {
                creation(reader).with_context(|| {
                    format!(
                        "{} does not say when it was filmed",
                        reader.path().display()
                    )
                })
            };
            Ok((date(other)? - date(ultrawide)?) * 1000)
        }
    }
}

/// Microseconds since 1970.
fn creation(reader: &Reader) -> Option<i64> {
    let tag = reader.tags.get::<gst::tags::DateTime>()?;
    let date = tag.get().to_g_date_time().ok()?.to_utc().ok()?;
    Some(date.to_unix() * 1_000_000 + i64::from(date.microsecond()))
}

/// The sound of a file, all channels together, from time 0 of its picture on.
fn samples(path: &Path, stop: &Stop) -> Result<Vec<f32>> {
    let read = || format!("cannot read the sound of {}", path.display());
    let pipeline = gst::Pipeline::new();
    let source = make("filesrc")?;
    source.set_property("location", path);
    let decoder = make("decodebin")?;
    let sink = AppSink::builder()
        .caps(
            &gst::Caps::builder("audio/x-raw")
                .field("format", "F32LE")
                .field("rate", RATE)
                .field("channels", 1)
                .field("layout", "interleaved")
                .build(),
        )
        .sync(false)
        .max_buffers(16)
        .build();
    let chain = [
        make("audioconvert")?,
        make("audioresample")?,
        sink.clone().upcast(),
    ];
    pipeline.add_many([&source, &decoder])?;
    pipeline.add_many(&chain)?;
    source.link(&decoder)?;
    gst::Element::link_many(&chain)?;
    // Pictures need not be decoded.
    decoder.connect("autoplug-continue", false, |values| {
        let caps = values.get(2)?.get::<gst::Caps>().ok()?;
        let name = caps.structure(0)?.name().to_string();
        let picture = name.starts_with("video/x-h")
            || name.starts_with("video/x-vp")
            || name == "video/x-av1";
        Some((!picture).to_value())
    });
    let target = chain[0]
        .static_pad("sink")
        .context("an element without input")?;
    let input = target.clone();
    decoder.connect_pad_added(move |_, pad| {
        if !target.is_linked() {
            // Anything but sound does not fit.
            _ = pad.link(&target);
        }
    });
    // A short file without sound can end without a word: nothing then reaches the sink, not even the end.
    let streams_known = Arc::new(AtomicBool::new(false));
    let known = streams_known.clone();
    decoder.connect_no_more_pads(move |_| known.store(true, Ordering::Release));
    let silent = || streams_known.load(Ordering::Acquire) && !input.is_linked();
    let found = collect(&pipeline, &sink, silent, stop);
    _ = pipeline.set_state(gst::State::Null);
    let found = found.with_context(read)?;
    ensure!(
        !found.is_empty(),
        "{} has no sound to line it up by",
        path.display()
    );
    Ok(found)
}

fn collect(
    pipeline: &gst::Pipeline,
    sink: &AppSink,
    silent: impl Fn() -> bool,
    stop: &Stop,
) -> Result<Vec<f32>> {
    let bus = pipeline.bus().context("a pipeline without a bus")?;
    _ = pipeline.set_state(gst::State::Playing);
    let mut all: Vec<f32> = Vec::new();
    let longest = LONGEST * RATE as usize;
    while all.len() < longest && !sink.is_eos() {
        stop.check()?;
        if silent() {
            return Ok(vec![]);
        }
        if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error])
            && let gst::MessageView::Error(error) = message.view()
        {
            // Streams that are not connected end the reading of a file without sound.
            if sink
                .static_pad("sink")
                .is_some_and(|pad| pad.peer().is_some_and(|p| p.has_current_caps()))
            {
                bail!(error_text(error))
            }
            return Ok(vec![]);
        }
        let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(100)) else {
            continue;
        };
        let Some(buffer) = sample.buffer() else {
            continue;
        };
        let at = sample.segment().and_then(|segment| {
            segment
                .downcast_ref::<gst::ClockTime>()?
                .to_running_time(buffer.pts()?)
        });
        // A hole in the sound stays one.
        if let Some(at) = at {
            let place = at.nseconds() as usize / (1_000_000_000 / RATE as usize);
            if place > all.len() {
                all.resize(place.min(longest), 0.0);
            }
        }
        let map = buffer.map_readable()?;
        all.extend(
            map.chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        );
    }
    all.truncate(longest);
    Ok(all)
}

/// How many samples later in `a` the sound of `b` is: the peak of their cross-correlation, whitened (GCC-PHAT), so that hum and
/// echo do not smear it.
fn lag(a: &[f32], b: &[f32]) -> Result<f64> {
    let length = (a.len() + b.len()).next_power_of_two() as i64;
    let spectrum = |samples: &[f32]| -> Result<Tensor> {
        let samples = Tensor::f_from_slice(samples)?;
        let centred = samples.f_sub(&samples.f_mean(Kind::Float)?)?;
        Ok(centred.f_fft_rfft(length, 0, "backward")?)
    };
    let cross = spectrum(a)?.f_mul(&spectrum(b)?.f_conj()?)?;
    let size = cross.f_abs()?;
    let floor = size
        .f_mean(Kind::Float)?
        .f_mul_scalar(1e-3)?
        .f_add_scalar(1e-20)?;
    let peaks = cross
        .f_div(&size.f_add(&floor)?)?
        .f_fft_irfft(length, 0, "backward")?;
    let best = peaks.f_argmax(0, false)?.f_int64_value(&[])?;
    let height = peaks.f_double_value(&[best])?;
    let spread = peaks.f_std(false)?.f_double_value(&[])?;
    ensure!(
        height > CLEAR * spread,
        "they have no sound in common (the best offset stands out by {:.1} standard deviations; {CLEAR} are needed)",
        height / spread.max(f64::MIN_POSITIVE)
    );
    Ok(if best > length / 2 {
        best - length
    } else {
        best
    } as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise that is other for every seed.
    fn noise(seed: i64, length: i64) -> Vec<f32> {
        tch::manual_seed(seed);
        Vec::try_from(Tensor::randn([length], (Kind::Float, tch::Device::Cpu))).unwrap()
    }

    #[test]
    fn shifts_both_ways_are_found_under_noise_and_hum() {
        let sound = noise(1, 40_000);
        for (from, expected) in [(3_496, 3_496.0), (0, 0.0)] {
            let mut later: Vec<f32> = sound[from..].to_vec();
            for (n, (value, own)) in later.iter_mut().zip(noise(2, 40_000)).enumerate() {
                *value = 0.3 * *value + 0.2 * own + 0.5 * (n as f32 * 0.04).sin();
            }
            assert_eq!(lag(&sound, &later).unwrap(), expected);
            assert_eq!(lag(&later, &sound).unwrap(), -expected);
        }
    }

    #[test]
    fn unrelated_sound_and_silence_are_errors() {
        for other in [noise(4, 30_000), vec![0.0; 30_000]] {
            let message = lag(&noise(3, 40_000), &other).unwrap_err().to_string();
            assert!(message.contains("no sound in common"), "{message}");
        }
    }
}
