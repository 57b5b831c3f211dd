//! Films a take, enlarges it with each model, scores it and draws a picture of it.

use super::{
    model::Model,
    picture, score,
    take::Take,
    triplet::{self, CAMERA, SCALE, TRUTH, WIDE},
};
use crate::frames::{Reader, Writer};
use crate::gst::{Launch, Pipeline};
use crate::output::{Partial, Shelf};
use crate::progress::Progress;
use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tch::Tensor;

const FRAMES_PER_SECOND: u32 = 30;

pub const ULTRAWIDE: &str = "ultrawide.mkv";
pub const WIDE_ANGLE: &str = "wide.mkv";
pub const PICTURE: &str = "side-by-side.png";
/// What a take is made with.
pub struct Studio<'a> {
    pub take: Take,
    pub frames: usize,
    pub device: &'a str,
    pub models: &'a [Model],
    pub credit: &'a str,
    pub work: &'a Path,
    pub plugin_path: Option<OsString>,
    pub launch: Launch<'a>,
}

impl Studio<'_> {
    /// Films, enlarges, scores and draws it; gives the videos to watch.
    pub fn show(&self, source: &mut Reader, shelf: &mut Shelf) -> Result<Vec<PathBuf>> {
        let Self {
            take,
            frames,
            work,
            launch,
            ..
        } = *self;
        out!(
            "[1/4] Filming {frames} frames with two cameras ({})",
            self.credit
        );
        let (ultrawide, wide) = (
            shelf.path(&take.file(ULTRAWIDE)),
            shelf.path(&take.file(WIDE_ANGLE)),
        );
        self.film(source)?;
        for name in [ULTRAWIDE, WIDE_ANGLE] {
            let file = shelf.begin(&take.file(name))?;
            self.encode(name, file.path())?;
            shelf.finish(&take.file(name), file)?;
        }
        out!(
            "      {} and {}, {CAMERA} each",
            ultrawide.display(),
            wide.display()
        );

        out!("[2/4] Enlarging {SCALE} times, to {TRUTH}");
        let mut small = self.decode(&ultrawide)?;
        let mut truth = Reader::open(&work.join("truth.rgb"), TRUTH)?;
        let base = score::score(&mut truth, &WIDE, |n| {
            launch.stop.check()?;
            score::bicubic(&small.frame(n)?)
        })?;
        let mut scores = vec![("bicubic".to_owned(), base)];
        let mut watched = vec![];
        for model in self.models {
            // What the wide camera gives is what changes where it is missing.
            for wide in [None, Some(&wide)] {
                let name = match wide {
                    Some(_) => model.name.clone(),
                    None => format!("{}, no wide camera", model.name),
                };
                let target = take.file(&model.video());
                let video = wide.map(|_| shelf.path(&target));
                let raw = model.frames(work, wide.is_some());
                let cameras = [Some(ultrawide.as_path()), wide.map(PathBuf::as_path)];
                let pipeline = |video: Option<&Path>| self.enlarge(model, cameras, video, &raw);
                let shown = pipeline(video.as_deref()).command_line();
                out!("\n{name}:\n\n{shown}\n");
                let file = wide.map(|_| shelf.begin(&target)).transpose()?;
                let partial = file.as_ref().map(Partial::path);
                let seconds = watch(&pipeline(partial), &raw, frames as u64, launch)?;
                if let Some(file) = file {
                    shelf.finish(&target, file)?;
                }
                out!(
                    "{:.2} seconds a frame ({frames} frames in {seconds:.1} s, start-up included)",
                    seconds / frames as f64
                );
                let mut ours = Reader::open(&raw, TRUTH)?;
                ensure!(
                    ours.len() == frames,
                    "the element put out {} frames for {frames}; see {}",
                    ours.len(),
                    launch.log.display()
                );
                let scored = score::score(&mut truth, &WIDE, |n| {
                    launch.stop.check()?;
                    ours.frame(n)
                })?;
                scores.push((name, scored));
                watched.extend(video);
            }
        }

        out!("\n[3/4] PSNR / SSIM against the truth\n");
        out!("{:26}{:24}in the wide camera's field", "", "whole frames");
        for (name, scores) in &scores {
            out!("{name:26}{:24}{}", scores.whole.to_string(), scores.inside);
        }
        for (model, pair) in self.models.iter().zip(scores[1..].chunks_exact(2)) {
            out!(
                "The wide camera gives {} {:+.2} dB in its field.",
                model.name,
                pair[1].1.inside.psnr - pair[0].1.inside.psnr
            );
        }

        out!("\n[4/4] Drawing the side-by-side picture");
        let middle = frames / 2;
        let mut wide = self.decode(&wide)?;
        let shown = self.models.last().context("no model")?;
        let enlarged = |wide: bool| -> Result<Tensor> {
            Reader::open(&shown.frames(work, wide), TRUTH)?.frame(middle)
        };
        let moment = picture::Moment {
            ultrawide: small.frame(middle)?,
            wide: wide.frame(middle)?,
            alone: enlarged(false)?,
            ours: enlarged(true)?,
            truth: truth.frame(middle)?,
        };
        let words = picture::Words {
            frame: middle,
            scores: &scores,
            credit: self.credit,
        };
        let picture = picture::draw(&moment, &WIDE, &words)?.png()?;
        let file = shelf.begin(&take.file(PICTURE))?;
        file.write(&picture)?;
        shelf.finish(&take.file(PICTURE), file)?;
        Ok(watched)
    }

    /// Makes `ultrawide.rgb`, `wide.rgb` and `truth.rgb`.
    fn film(&self, source: &mut Reader) -> Result<()> {
        tch::manual_seed(0); // the noise
        let file = |name| Writer::create(&self.work.join(name));
        let (mut ultrawide, mut wide, mut truth) = (
            file("ultrawide.rgb")?,
            file("wide.rgb")?,
            file("truth.rgb")?,
        );
        for n in 0..self.frames {
            self.launch.stop.check()?;
            let shot = triplet::shoot(&source.frame(self.take.of_footage(n))?, &WIDE)?;
            ultrawide.push(&self.take.sensed(&shot.ultrawide)?)?;
            wide.push(&self.take.sensed(&shot.wide)?)?;
            truth.push(&shot.truth)?;
        }
        ultrawide.finish()?;
        wide.finish()?;
        truth.finish()
    }

    /// Turns `<name>.rgb` into a video file.
    fn encode(&self, name: &str, video: &Path) -> Result<()> {
        let raw = self.work.join(name).with_extension("rgb");
        let (width, height) = (CAMERA.width.to_string(), CAMERA.height.to_string());
        Pipeline::new(None)
            .line(
                "filesrc location={} ! rawvideoparse format=rgb",
                &[&raw.to_string_lossy()],
            )
            .line(
                "width={} height={} framerate={}/1",
                &[&width, &height, &FRAMES_PER_SECOND.to_string()],
            )
            .line(self.take.encoder(), &[])
            .line("! filesink location={}", &[&video.to_string_lossy()])
            .run(self.launch, || ())
            .with_context(|| format!("cannot write {}", video.display()))
    }

    /// A camera's recording as its frames come out of the decoder.
    fn decode(&self, video: &Path) -> Result<Reader> {
        let name = video.file_name().context("a video without a name")?;
        let raw = self.work.join(name).with_extension("decoded.rgb");
        Pipeline::new(None)
            .line(
                "filesrc location={} ! decodebin ! videoconvert ! video/x-raw,format=RGB ! filesink location={}",
                &[&video.to_string_lossy(), &raw.to_string_lossy()],
            )
            .run(self.launch, || ())
            .with_context(|| format!("cannot decode {}", video.display()))?;
        Reader::open(&raw, CAMERA)
    }

    /// A pipeline of the demonstration: one or two files in, raw frames for the comparison out, and a
    /// video file where one is wanted.
    fn enlarge(
        &self,
        model: &Model,
        [ultrawide, wide]: [Option<&Path>; 2],
        video: Option<&Path>,
        raw: &Path,
    ) -> Pipeline {
        let format = self.take.format();
        let camera = format!(
            "filesrc location={{}} ! decodebin ! videoconvert ! video/x-raw,format={format} ! queue ! sr."
        );
        let mut pipeline = Pipeline::new(self.plugin_path.clone());
        for (name, file) in [("ultrawide", ultrawide), ("wide", wide)] {
            if let Some(file) = file {
                pipeline = pipeline.line(&format!("{camera}{name}"), &[&file.to_string_lossy()]);
            }
        }
        let (property, value) = &model.choice;
        let pipeline = pipeline.line(
            &format!(
                "refvsr name=sr device={{}} {property}={{}} ! video/x-raw,format=RGB ! tee name=t"
            ),
            &[self.device, value],
        );
        let pipeline = match video {
            // By default the encoder holds frames back, so that its file would wait for more while the other file's
            // first frame waits for it.
            // (async=false on the sinks is no way out: next to decodebin, GStreamer 1.22 then loses the end of the stream now and then.)
            Some(video) => pipeline
                .line(
                    "t. ! queue ! videoconvert ! video/x-raw,format=I420 ! x264enc tune=zerolatency",
                    &[],
                )
                .line("pass=quant quantizer=16 ! h264parse ! mp4mux", &[])
                .line("! filesink location={}", &[&video.to_string_lossy()]),
            None => pipeline,
        };
        pipeline.line(
            "t. ! queue ! filesink location={}",
            &[&raw.to_string_lossy()],
        )
    }
}

/// Runs the pipeline while showing how many frames are in the file `raw`; gives the seconds it took.
fn watch(pipeline: &Pipeline, raw: &Path, frames: u64, launch: Launch) -> Result<f64> {
    let mut progress = Progress::new(frames, "frame", "loading the model");
    let start = Instant::now();
    let result = pipeline.run(launch, || {
        if let Ok(file) = std::fs::metadata(raw) {
            progress.set((file.len() / TRUTH.bytes()).min(frames));
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    progress.finish();
    result.map(|()| seconds)
}
