//! A camera app in small: three cameras, a viewfinder, and a recording, around the element `refvsr`.
//!
//! The cameras are threads that paint; each has a clock of its own, which drifts, and now and then a frame is lost. What an app would
//! take from its camera stack goes into `appsrc` with the time the camera gives it. Two recordings are made, the second with
//! another look-ahead. Every frame that the ultra-wide camera has filmed is in its recording.
//!
//! ```sh
//! cargo run -p refvsr-pipelines --example recorder -- FOLDER [MODEL]
//! ```
#![allow(clippy::print_stdout, reason = "an app talks to its user")]

use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gst_app::AppSrc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const WIDTH: usize = 64;
const HEIGHT: usize = 48;
const FRAMES_PER_SECOND: u32 = 10;
/// How long a recording takes.
const LENGTH: Duration = Duration::from_secs(2);

/// A camera: its pad of the element, how many millionths its clock runs fast, and which frames get lost.
struct Camera {
    pad: &'static str,
    drift: i32,
    lost_every: u32,
}

const CAMERAS: [Camera; 3] = [
    Camera {
        pad: "ultrawide",
        drift: 0,
        lost_every: 11,
    },
    Camera {
        pad: "wide",
        drift: 300,
        lost_every: 7,
    },
    Camera {
        pad: "tele",
        drift: -500,
        lost_every: 5,
    },
];

/// Everything between the cameras and the file. What the network would be late with is enlarged bicubically; frames wait in
/// `appsrc` meanwhile, which stops no camera. The viewfinder alone leaves frames out rather than hold up the recording.
const PIPELINE: &str = "
    refvsr name=sr overload=bypass ! queue ! tee name=t
    t. ! queue leaky=downstream max-size-buffers=1 ! videoconvert ! fakesink name=viewfinder sync=false
    t. ! queue max-size-buffers=30 max-size-bytes=0 max-size-time=0 ! videoconvert ! x264enc tune=zerolatency ! h264parse
       ! matroskamux ! filesink name=file async=false
    appsrc name=ultrawide max-bytes=0 ! sr.ultrawide
    appsrc name=wide max-bytes=0 ! sr.wide
    appsrc name=tele max-bytes=0 ! sr.tele";

/// The app's pipeline. It lives as long as the app does; recordings come and go.
struct Recorder {
    pipeline: gst::Pipeline,
    refvsr: gst::Element,
    file: gst::Element,
    cameras: Vec<AppSrc>,
}

impl Recorder {
    fn new(model: Option<&str>) -> Result<Self> {
        let pipeline = gst::parse::launch(PIPELINE)?
            .downcast::<gst::Pipeline>()
            .map_err(|_| anyhow::anyhow!("the description is no pipeline"))?;
        let find = |name: &str| {
            pipeline
                .by_name(name)
                .with_context(|| format!("no element {name}"))
        };
        let refvsr = find("sr")?;
        if let Some(model) = model {
            refvsr.set_property("model-file", model);
        }
        let caps = gst_video::VideoCapsBuilder::new()
            .format(gst_video::VideoFormat::Rgb)
            .width(WIDTH as i32)
            .height(HEIGHT as i32)
            .framerate(gst::Fraction::new(FRAMES_PER_SECOND as i32, 1))
            .build();
        let camera = |camera: &Camera| -> Result<AppSrc> {
            let source = find(camera.pad)?
                .downcast::<AppSrc>()
                .map_err(|_| anyhow::anyhow!("{} is no appsrc", camera.pad))?;
            source.set_caps(Some(&caps));
            source.set_format(gst::Format::Time);
            source.set_is_live(true);
            Ok(source)
        };
        Ok(Self {
            cameras: CAMERAS.iter().map(camera).collect::<Result<_>>()?,
            file: find("file")?,
            refvsr,
            pipeline,
        })
    }

    /// Makes one recording.
    fn record(&self, path: &str, look_ahead: i32) -> Result<()> {
        // Both may be changed while nothing runs.
        self.refvsr.set_property("lookahead", look_ahead);
        self.file.set_property("location", path);
        let bus = self.pipeline.bus().context("a pipeline without a bus")?;
        bus.set_flushing(false);
        let started = self.pipeline.set_state(gst::State::Playing);
        let stop = Arc::new(AtomicBool::new(false));
        let mut cameras = match started {
            Ok(_) => self.start_cameras(&stop),
            // The message on the bus says why.
            Err(_) => vec![],
        };
        let mut filmed = vec![];
        let end = Instant::now() + LENGTH;
        let outcome = loop {
            if Instant::now() >= end && !cameras.is_empty() {
                // The orderly end: cameras stop, each stream ends, the element puts out what it holds, the file is closed.
                stop.store(true, Ordering::Relaxed);
                let ended = cameras.drain(..).map(JoinHandle::join);
                filmed = ended.map(Result::unwrap_or_default).collect();
                for source in &self.cameras {
                    source.end_of_stream()?;
                }
            }
            let Some(message) = bus.timed_pop(gst::ClockTime::from_mseconds(50)) else {
                continue;
            };
            match self.heard(&message) {
                Ok(false) => (),
                Ok(true) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        stop.store(true, Ordering::Relaxed);
        let stats = self.refvsr.property::<gst::Structure>("stats");
        self.pipeline.set_state(gst::State::Null)?;
        outcome?;
        let count = |name: &str| stats.get::<u64>(name).unwrap_or(0);
        println!(
            "{path}: {} of {} frames, {} references were missing",
            count("frames-out"),
            filmed.first().copied().unwrap_or(0),
            count("missing-references")
        );
        Ok(())
    }

    /// What an app does about messages. True at the end of the recording.
    fn heard(&self, message: &gst::Message) -> Result<bool> {
        match message.view() {
            gst::MessageView::Eos(_) => return Ok(true),
            gst::MessageView::Error(error) => {
                let source = error
                    .src()
                    .map(|source| source.name().to_string())
                    .unwrap_or_default();
                bail!("{source}: {}", error.error())
            }
            gst::MessageView::Warning(warning) => println!("warning: {}", warning.error()),
            // Loading the model takes a moment: a spinner, say.
            gst::MessageView::Progress(progress) => println!("{}", progress.get().2),
            // The network is slower or faster than it was: sinks are told.
            gst::MessageView::Latency(_) => _ = self.pipeline.recalculate_latency(),
            _ => (),
        }
        Ok(false)
    }

    fn start_cameras(&self, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<u64>> {
        CAMERAS
            .iter()
            .zip(&self.cameras)
            .map(|(camera, source)| {
                let (source, stop) = (source.clone(), stop.clone());
                thread::spawn(move || film(camera, &source, &stop))
            })
            .collect()
    }
}

/// What a camera does: a frame every tenth of a second by its own clock. Returns how many it has filmed.
fn film(camera: &Camera, source: &AppSrc, stop: &AtomicBool) -> u64 {
    let start = Instant::now();
    let mut filmed = 0;
    let period = Duration::from_secs(1) / FRAMES_PER_SECOND;
    for number in 0.. {
        let due = period * number;
        if let Some(wait) = due.checked_sub(start.elapsed()) {
            thread::sleep(wait);
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if number % camera.lost_every == camera.lost_every - 1 {
            continue;
        }
        let nanoseconds = due.as_nanos() as i64;
        let pts = nanoseconds + nanoseconds / 1_000_000 * i64::from(camera.drift);
        let mut buffer = gst::Buffer::from_mut_slice(paint(number));
        buffer
            .make_mut()
            .set_pts(gst::ClockTime::from_nseconds(pts.unsigned_abs()));
        buffer
            .make_mut()
            .set_duration(gst::ClockTime::from_nseconds(period.as_nanos() as u64));
        if source.push_buffer(buffer).is_err() {
            // The recording is over, or has failed; the bus tells.
            break;
        }
        filmed += 1;
    }
    filmed
}

fn paint(number: u32) -> Vec<u8> {
    let value = |n: usize| (n as u32 * 3 + number * 5) as u8;
    (0..WIDTH * HEIGHT * 3).map(value).collect()
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("usage: recorder FOLDER [MODEL]")?;
    let model = arguments.next();
    gst::init()?;
    let recorder = Recorder::new(model.as_deref())?;
    for (name, look_ahead) in [("first.mkv", 0), ("second.mkv", 2)] {
        recorder.record(&format!("{folder}/{name}"), look_ahead)?;
    }
    Ok(())
}
