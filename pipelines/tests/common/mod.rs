//! Tiny models and clips for the tests of the command, and what is in the files that it writes.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod belongings;
pub mod cameras;
pub mod scored;
pub mod tree;

use gst::prelude::*;
use refvsr::{
    ModelConfig, Network, checkpoint,
    config::{FLOW_LEVELS, Recurrence, Variant},
};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tch::{Device, Kind};

/// A network that is done in milliseconds.
const TINY: ModelConfig = ModelConfig {
    variant: Variant::RefVsr,
    mid_channels: 2,
    num_blocks: 1,
    frame_num: 3,
    scale: 4,
    hd: false,
    reset_interval: None,
    recurrence: Recurrence::Clean,
    flow_levels: FLOW_LEVELS,
    first_looks: 1,
    recorded: false,
};

/// What the command said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The command, or the build of it that `REFVSR_TEST_COMMAND` names. Where `REFVSR_TEST_TRACE` names a folder, every run leaves a record there of what it wrote, renamed and removed
/// (`tests/traced.py`).
pub fn command(arguments: &[&str]) -> Command {
    let built = std::env::var_os("REFVSR_TEST_COMMAND")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_refvsr").into());
    let mut command = match std::env::var_os("REFVSR_TEST_TRACE") {
        None => Command::new(built),
        Some(folder) => {
            let mut trace = Command::new("strace");
            trace.args([
                "-f", "-ff", "-qq", "-y", "-v", "-s", "4096", "-e", TRACED, "-o",
            ]);
            let run = tempfile::Builder::new().prefix("run-").tempdir_in(folder);
            trace.arg(run.unwrap().keep().join("trace")).arg(built);
            trace
        }
    };
    command.args(arguments).env("OMP_NUM_THREADS", "1");
    command
}

/// System calls that make, write over, rename or remove files.
const TRACED: &str = "trace=execve,creat,open,openat,openat2,truncate,link,linkat,symlink,symlinkat,readlink,readlinkat,mkdir,mkdirat,\
                      rename,renameat,renameat2,unlink,unlinkat,rmdir";

#[track_caller]
pub fn refvsr(arguments: &[&str]) -> Said {
    belongings::watched(arguments, || said(command(arguments).output().unwrap()))
}

pub fn said(output: Output) -> Said {
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The command, which must succeed.
#[track_caller]
pub fn refvsr_well(arguments: &[&str]) -> Said {
    let said = refvsr(arguments);
    assert_eq!(
        said.code,
        Some(0),
        "{arguments:?}\n{}\n{}",
        said.out,
        said.err
    );
    said
}

/// A folder of a test's own.
pub struct Place(pub tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        gst::init().unwrap();
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A model that is done in milliseconds.
    pub fn model(&self) -> String {
        self.saved("tiny.safetensors", TINY, 1)
    }

    /// A model of scale 2.
    pub fn model_of_scale_2(&self) -> String {
        self.saved("two.safetensors", ModelConfig { scale: 2, ..TINY }, 1)
    }

    /// Another one, whose pictures differ.
    pub fn other_model(&self) -> String {
        self.saved("other.safetensors", TINY, 2)
    }

    /// A model that matches nothing, for frames of a usual size.
    pub fn light_model(&self) -> String {
        let light = ModelConfig {
            variant: Variant::Registered,
            frame_num: 1,
            flow_levels: 2,
            ..TINY
        };
        self.saved("light.safetensors", light, 1)
    }

    /// A registered model that can learn, with all that a model's file can say of it.
    pub fn pupil(&self) -> String {
        let pupil = ModelConfig {
            variant: Variant::Registered,
            frame_num: 1,
            flow_levels: 2,
            reset_interval: Some(30),
            recorded: true,
            ..TINY
        };
        self.saved("pupil.safetensors", pupil, 1)
    }

    fn saved(&self, name: &str, config: ModelConfig, seed: i64) -> String {
        let path = self.path(name);
        if !path.exists() {
            let _alone = cameras::CHANCE.lock();
            tch::manual_seed(seed);
            let network = Network::new(config, Device::Cpu).unwrap();
            // A flow network that knows nothing finds no motion, which registration can make up for.
            for (name, mut weight) in network.weights().variables() {
                if name.starts_with("spynet.") {
                    let _ = tch::no_grad(|| weight.zero_());
                }
            }
            checkpoint::save(&network, &path, Kind::Float).unwrap();
        }
        path.to_str().unwrap().to_owned()
    }

    /// Everything in the folder, hidden files too, but for the model.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Writes a file with a pipeline; `{}` stands for its path.
    #[track_caller]
    pub fn make(&self, name: &str, description: &str) -> String {
        let path = self.text(name);
        play(&description.replace("{}", &path));
        path
    }

    /// A recording of moving test pictures, 64x48 at 10 frames a second, without loss.
    pub fn film(&self, name: &str, frames: u32) -> String {
        self.make(
            name,
            &format!(
                "videotestsrc pattern=ball num-buffers={frames} ! video/x-raw,width=64,height=48,framerate=10/1,format=I420 \
                 ! x264enc ! matroskamux ! filesink location={{}}"
            ),
        )
    }
}

impl Place {
    /// A recording of 64x48 whose frames are at these times in milliseconds, in a file that tells this frame rate; 0/1 is none.
    pub fn film_at(&self, name: &str, framerate: &str, times: &[u64]) -> String {
        let path = self.text(name);
        let pipeline = gst::parse::launch(&format!(
            "appsrc name=in format=time caps=video/x-raw,format=I420,width=64,height=48,framerate={framerate} ! x264enc bframes=2 \
             ! h264parse ! matroskamux ! filesink location={path}"
        ))
        .unwrap();
        let bin = pipeline.downcast_ref::<gst::Bin>().unwrap();
        let source = bin.by_name("in").unwrap();
        let source = source.downcast::<gst_app::AppSrc>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        for (n, time) in times.iter().enumerate() {
            let mut buffer = gst::Buffer::from_mut_slice(vec![n as u8 * 12; 64 * 48 * 3 / 2]);
            let time = gst::ClockTime::from_mseconds(*time);
            buffer.get_mut().unwrap().set_pts(time);
            source.push_buffer(buffer).unwrap();
        }
        source.end_of_stream().unwrap();
        let bus = pipeline.bus().unwrap();
        let end = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus.timed_pop_filtered(gst::ClockTime::NONE, &end).unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(message.type_(), gst::MessageType::Eos);
        path
    }
}

/// Plays a pipeline to its end.
#[track_caller]
pub fn play(description: &str) {
    let pipeline = gst::parse::launch(description).unwrap();
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let message = bus
        .timed_pop_filtered(
            gst::ClockTime::NONE,
            &[gst::MessageType::Eos, gst::MessageType::Error],
        )
        .unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    if let gst::MessageView::Error(error) = message.view() {
        panic!("{description}: {} {:?}", error.error(), error.debug());
    }
}

/// All buffers that come out of a description that ends in `appsink name=out`, and their format.
#[track_caller]
pub fn pull(description: &str) -> (Vec<gst::Buffer>, gst::Caps) {
    let pipeline = gst::parse::launch(description).unwrap();
    let bin = pipeline.downcast_ref::<gst::Bin>().unwrap();
    let sink = bin
        .by_name("out")
        .unwrap()
        .downcast::<gst_app::AppSink>()
        .unwrap();
    sink.set_property("sync", false);
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut buffers = vec![];
    let mut caps = gst::Caps::new_empty();
    while let Ok(sample) = sink.pull_sample() {
        caps = sample.caps_owned().unwrap();
        let segment = sample
            .segment()
            .unwrap()
            .downcast_ref::<gst::ClockTime>()
            .unwrap()
            .clone();
        let mut buffer = sample.buffer_owned().unwrap();
        let pts = buffer.pts().and_then(|pts| segment.to_running_time(pts));
        buffer.make_mut().set_pts(pts);
        buffers.push(buffer);
    }
    pipeline.set_state(gst::State::Null).unwrap();
    (buffers, caps)
}

/// The frames of a file, decoded.
pub fn frames(file: impl AsRef<Path>) -> (Vec<gst::Buffer>, gst_video::VideoInfo) {
    let file = file.as_ref().display();
    let (frames, caps) = pull(&format!(
        "filesrc location={file} ! decodebin ! video/x-raw ! appsink name=out"
    ));
    let info = gst_video::VideoInfo::from_caps(&caps).expect("no video came out");
    (frames, info)
}

/// How long a file is, as it says.
pub fn length(file: &str) -> gst::ClockTime {
    let description = format!("filesrc location={file} ! decodebin ! fakesink");
    let pipeline = gst::parse::launch(&description).unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    let (reached, ..) = pipeline.state(gst::ClockTime::NONE);
    reached.unwrap();
    let length = pipeline.query_duration().unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    length
}

/// What a file says of itself, up to its first frame.
pub fn tags(description: &str) -> gst::TagList {
    let pipeline = gst::parse::launch(description).unwrap();
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    let mut all = gst::TagList::new();
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Tag(tag) => {
                all = all.merge(&tag.tags(), gst::TagMergeMode::Append);
            }
            gst::MessageView::AsyncDone(_) => break,
            gst::MessageView::Error(error) => panic!("{description}: {}", error.error()),
            _ => (),
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    all
}

/// The times of frames in milliseconds.
pub fn times(frames: &[gst::Buffer]) -> Vec<u64> {
    frames
        .iter()
        .map(|frame| frame.pts().unwrap().mseconds())
        .collect()
}

/// The sound of a file as it lies in it: all bytes, and the time of the first piece.
pub fn sound(file: impl AsRef<Path>) -> (Vec<u8>, gst::ClockTime) {
    let file = file.as_ref();
    let demuxer = match file.extension().unwrap().to_str().unwrap() {
        "mkv" | "webm" => "matroskademux",
        _ => "qtdemux",
    };
    let (packets, _) = pull(&format!(
        "filesrc location={} ! {demuxer} name=d d.audio_0 ! appsink name=out",
        file.display()
    ));
    let first = packets[0].pts().unwrap();
    (
        packets
            .iter()
            .flat_map(|packet| packet.map_readable().unwrap().to_vec())
            .collect(),
        first,
    )
}
