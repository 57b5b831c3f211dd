//! The frames that are learnt from: short clips spread over the recordings, some of them held back.

use crate::frames::{Rect, png};
use crate::output;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::transcode::moment::{Cameras, Moment, frames as count, interval};
use crate::transcode::wishes::Options;
use anyhow::{Context, Result, ensure};
use refvsr::image::resize::bicubic_antialiased;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// Frames of a clip.
pub const CLIP: usize = 2 * AROUND + 1;
const AROUND: usize = 2;
/// Clips of a recording, at most.
const CLIPS: usize = 24;
/// Each so manieth clip is held back.
const HELD_BACK: usize = 6;
/// Ultra-wide pixels a side: reduced frames of fewer are too small to find cameras in.
const LEAST: i64 = 192;
/// Side of the patches that are learnt from, in reduced pixels.
const PATCH: i64 = 64;
/// The version of all this, which is part of a run's identity.
pub const HOW: &str = "frames 1";

/// Frames on the disk.
#[derive(Debug)]
pub struct Frames {
    folder: PathBuf,
    list: List,
}

/// What is on the disk; written when all of it is.
#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    /// Width and height of all frames.
    size: (i64, i64),
    clips: Vec<Clip>,
}

/// Frames that follow one another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Clip {
    name: String,
    /// When its middle frame is in the ultra-wide recording, in nanoseconds.
    pub at: i64,
    held_back: bool,
}

impl Frames {
    /// Reads them from the recordings, whose cameras started `offsets` later, if they are not on the disk yet.
    ///
    /// # Errors
    /// A recording cannot be read, is too short, or its frames are too small; the cameras have too little in common.
    pub fn read(
        folder: &Path,
        cameras: Cameras,
        offsets: &[i64],
        options: &Options,
        stop: &Stop,
    ) -> Result<Self> {
        let mut frames = Self {
            folder: folder.join("frames"),
            list: List::default(),
        };
        let list = folder.join("frames.json");
        if let Ok(text) = std::fs::read(&list) {
            let what = || list.display().to_string();
            frames.list = serde_json::from_slice(&text).with_context(what)?;
            return Ok(frames);
        }
        let (ultrawide, _) = cameras;
        let path = ultrawide.path().display();
        let format = ultrawide.format()?;
        ensure!(
            i64::from(format.width().min(format.height())) >= LEAST,
            "{path} is {}x{}; frames of at least {LEAST} pixels a side expected, which are learnt from at a quarter of their size",
            format.width(),
            format.height()
        );
        let whole = count(ultrawide, options).with_context(|| {
            format!("{path} does not say how long it is, or holds no frame of that part")
        })?;
        let many = CLIPS.min(whole as usize / CLIP);
        ensure!(
            many >= 2,
            "{path} has {whole} frames of that part; at least {} expected, and a minute is better",
            2 * CLIP
        );
        let step = interval(ultrawide, options.framerate)?;
        let from = options.from.map_or(0, |from| from.nseconds() as i64);
        let mut progress = Progress::new(many as u64, "moment", "reading frames");
        for n in 0..many {
            stop.check()?;
            let at = from + ((n as f64 + 0.5) * whole as f64 / many as f64) as i64 * step;
            let moment = Moment::read(cameras, offsets, at, AROUND, options, stop)?;
            frames.keep(&moment)?;
            progress.set(n as u64 + 1);
        }
        progress.finish();
        let held_back = frames.held_back().len();
        ensure!(
            held_back > 0 && held_back < frames.list.clips.len(),
            "the ultra-wide and the wide camera have frames in common at {} of {many} moments; at least 2 expected (--offset and --sync say \
             when a camera started)",
            frames.list.clips.len()
        );
        output::write_own(&list, &serde_json::to_vec(&frames.list)?)?;
        Ok(frames)
    }

    /// Writes a moment's frames, if the wide camera has all of its own.
    fn keep(&mut self, moment: &Moment) -> Result<()> {
        let triplets = &moment.triplets;
        if triplets.len() != CLIP || triplets.iter().any(|triplet| triplet.wide.is_none()) {
            return Ok(());
        }
        let n = self.list.clips.len();
        let clip = Clip {
            name: format!("{n:04}"),
            at: moment.at,
            held_back: n % HELD_BACK == 1,
        };
        for (n, triplet) in triplets.iter().enumerate() {
            let size = (triplet.ultrawide.size()[3], triplet.ultrawide.size()[2]);
            self.list.size = size;
            output::write_own(&self.file(&clip, "UW", n), &png(&triplet.ultrawide)?)?;
            for (lens, seen) in [("W", &triplet.wide), ("T", &triplet.tele)] {
                if let Some(seen) = seen {
                    output::write_own(&self.file(&clip, lens, n), &png(&fitted(seen, size)?)?)?;
                }
            }
        }
        self.list.clips.push(clip);
        Ok(())
    }

    fn file(&self, clip: &Clip, lens: &str, frame: usize) -> PathBuf {
        let split = if clip.held_back { "valid" } else { "train" };
        let folder = self.folder.join(split).join("HR").join(lens);
        folder.join(&clip.name).join(format!("{frame:04}.png"))
    }

    /// Side of the patches to learn from.
    pub fn patch(&self) -> i64 {
        PATCH.min(self.list.size.0.min(self.list.size.1) / 4)
    }

    /// The clips that nothing is learnt from.
    pub fn held_back(&self) -> Vec<&Clip> {
        let clips = self.list.clips.iter();
        clips.filter(|clip| clip.held_back).collect()
    }

    /// A clip as it is learnt from, at a quarter of the size, and the middle frame as it was filmed.
    ///
    /// # Errors
    /// A frame cannot be read.
    pub fn reduced(&self, clip: &Clip) -> Result<(Moment, Tensor)> {
        let read = |lens: &str, n: usize| -> Result<Tensor> {
            let whole = refvsr_tools::picture::tensor(&self.file(clip, lens, n), tch::Device::Cpu)?;
            let side = |side: usize| whole.size()[side] / 4 * 4;
            Ok(whole.f_narrow(2, 0, side(2))?.f_narrow(3, 0, side(3))?)
        };
        let small = |whole: &Tensor| -> Result<Tensor> {
            let size = whole.size();
            crate::frames::rounded(&bicubic_antialiased(whole, size[2] / 4, size[3] / 4)?)
        };
        let triplets = (0..CLIP).map(|n| {
            let tele = self.file(clip, "T", n).exists();
            Ok(refvsr::Triplet {
                ultrawide: small(&read("UW", n)?)?,
                wide: Some(small(&read("W", n)?)?),
                tele: tele.then(|| small(&read("T", n)?)).transpose()?,
            })
        });
        let moment = Moment {
            at: clip.at,
            triplets: triplets.collect::<Result<_>>()?,
            centre: AROUND,
            // Nothing of a coder's work is left at a quarter of the size.
            footage: refvsr::net::footage::Footage::Clean,
        };
        Ok((moment, read("UW", AROUND)?))
    }
}

/// A reference at the ultra-wide frame's size; what lies beyond its form is cut off.
fn fitted(frame: &Tensor, (width, height): (i64, i64)) -> Result<Tensor> {
    let (h, w) = (frame.size()[2], frame.size()[3]);
    let part = Rect {
        width: w.min((h * width / height).max(1)),
        height: h.min((w * height / width).max(1)),
        x: 0,
        y: 0,
    };
    let part = Rect {
        x: (w - part.width) / 2,
        y: (h - part.height) / 2,
        ..part
    };
    match (w, h) == (width, height) {
        true => Ok(frame.shallow_clone()),
        false => Ok(bicubic_antialiased(&part.of(frame)?, height, width)?),
    }
}
