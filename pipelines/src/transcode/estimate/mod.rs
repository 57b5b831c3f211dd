//! How long a job takes and how large its output becomes, from a few of its frames: they are enlarged at a small size, and encoded.

mod coding;
mod enlarging;

pub use super::report::minutes;
pub use coding::coding;
pub use enlarging::enlarging;

use super::container::Container;
use super::moment::{self, Cameras, Moment};
use super::wishes::Options;
use crate::stop::{Stop, Stopped};
use anyhow::{Context, Result};
use refvsr::{DeviceChoice, SharedNetwork};
use tch::Device;

/// What a job takes, about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub seconds: f64,
    /// Of the output.
    pub bytes: u64,
}

/// What encoding a frame takes, about.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    pub seconds: f64,
    pub bytes: f64,
}

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Video(Container),
    /// PNG files.
    Pictures,
}

impl Estimate {
    /// Of so many frames. A processor does one after the other, a GPU enlarges while the processor encodes.
    pub fn new(frames: u64, device: Device, enlarging: f64, coding: Cost) -> Self {
        let seconds = match device {
            Device::Cpu => enlarging + coding.seconds,
            _ => enlarging.max(coding.seconds),
        };
        Self {
            seconds: frames as f64 * seconds,
            bytes: (frames as f64 * coding.bytes) as u64,
        }
    }

    /// In words.
    pub fn words(seconds: f64, bytes: u64) -> String {
        format!("about {} and {}", minutes(seconds), size(bytes))
    }
}

/// `340 MB`.
pub fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        ..1e6 => format!("{:.0} kB", (bytes / 1e3).max(1.0)),
        ..1e9 => format!("{:.0} MB", bytes / 1e6),
        ..1e12 => format!("{:.1} GB", bytes / 1e9),
        _ => format!("{:.1} TB", bytes / 1e12),
    }
}

/// Clips of fewer input pixels in all are done before much could be told.
const LEAST: u64 = 8_000_000;
/// Frames before and after the one that is looked at.
const AROUND: usize = 3;

/// What enlarging recordings takes, as `options` say; none where they are short, or nothing can be found out, which is for the work
/// itself to tell. The references started `offsets` after the ultra-wide camera.
///
/// # Errors
/// The work was stopped.
pub fn of_job(
    cameras: Cameras,
    offsets: &[i64],
    form: Form,
    options: &Options,
    stop: &Stop,
) -> Result<Option<Estimate>> {
    match estimated(cameras, offsets, form, options, stop) {
        Err(error) if error.is::<Stopped>() => Err(error),
        found => Ok(found.unwrap_or_default()),
    }
}

fn estimated(
    cameras: Cameras,
    offsets: &[i64],
    form: Form,
    options: &Options,
    stop: &Stop,
) -> Result<Option<Estimate>> {
    let ultrawide = cameras.0;
    let frames = moment::frames(ultrawide, options).context("a length that is not known")?;
    let format = ultrawide.format()?;
    if frames * u64::from(format.width()) * u64::from(format.height()) < LEAST {
        return Ok(None);
    }
    let network = &options.network;
    let device = network.device.parse::<DeviceChoice>()?.resolve()?;
    let precision = network.property("precision").unwrap_or("auto").parse()?;
    let model = SharedNetwork::from(network.model.network(device)?);
    let step = moment::interval(ultrawide, options.framerate)?;
    let from = options.from.map_or(0, |from| from.nseconds() as i64);
    let middle = from + step * frames as i64 / 2;
    let shown = Moment::read(cameras, offsets, middle, AROUND, options, stop)?.triplets;
    let enlarging = enlarging(&model, precision, &shown, stop)?;
    let scale = model.config().scale;
    let coding = coding(&shown, scale, form, &options.encoder, step, stop)?;
    Ok(Some(Estimate::new(frames, device, enlarging, coding)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_in_words() {
        assert_eq!(size(12), "1 kB");
        assert_eq!(size(340_400_000), "340 MB");
        assert_eq!(size(3_440_000_000), "3.4 GB");
        let words = Estimate::words(605.0, 51_000_000);
        assert_eq!(words, "about 10:05 and 51 MB");
    }

    #[test]
    fn a_processor_enlarges_and_encodes_in_turn() {
        let coding = Cost {
            seconds: 0.5,
            bytes: 10.0,
        };
        let on = |device| Estimate::new(100, device, 1.0, coding);
        assert_eq!(
            (on(Device::Cpu).seconds, on(Device::Cuda(0)).seconds),
            (150.0, 100.0)
        );
        assert_eq!(on(Device::Cpu).bytes, 1000);
    }
}
