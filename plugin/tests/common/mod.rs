//! What the element's tests share: a small model, made-up cameras, harnesses, and what should come out.
#![allow(dead_code)] // each test file uses its own part

use gst::prelude::*;
use gst_check::Harness;
use refvsr::{
    Network, Session, Triplet,
    image::colour::{ChromaSite, ImageLayout, Matrix, PixelFormat, Plane, PlaneMut, Range},
};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{LazyLock, Once},
    time::Duration,
};
use tch::{Device, Tensor};

/// Size of the made-up ultra-wide and wide video, and of what comes out.
pub const SIZE: (usize, usize) = (16, 12);
pub const SCALE: usize = 4;
/// A frame's duration.
pub const FRAME: gst::ClockTime = gst::ClockTime::from_mseconds(40);
/// Nothing in these tests takes as long, unless it hangs.
pub const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(120);

pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstrefvsr::plugin_register_static().unwrap();
    });
}

/// A file of the golden data.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// A small model, as upstream stores it: without its look-ahead and reset interval.
pub fn model() -> String {
    golden("official_format.pytorch")
        .to_str()
        .unwrap()
        .to_owned()
}

/// Saves a model, untrained, that is quicker still. Its window is its only frame.
pub fn tiny_model(folder: &Path) -> String {
    let config = refvsr::ModelConfig {
        mid_channels: 2,
        num_blocks: 1,
        frame_num: 1,
        ..refvsr::ModelConfig::preset("refvsr-mfid").unwrap()
    };
    save_model(config, folder)
}

pub fn save_model(config: refvsr::ModelConfig, folder: &Path) -> String {
    let path = folder.join("model.safetensors");
    refvsr::checkpoint::save(
        &Network::new(config, Device::Cpu).unwrap(),
        &path,
        tch::Kind::Float,
    )
    .unwrap();
    path.to_str().unwrap().to_owned()
}

/// The element with the small model on the CPU and a look-ahead of 1.
pub fn element() -> gst::Element {
    with_lookahead(1)
}

pub fn with_lookahead(frames: i32) -> gst::Element {
    init();
    let element = gst::ElementFactory::make("refvsr")
        .property("model-file", model())
        .property("device", "cpu")
        .build()
        .unwrap();
    element.set_property("lookahead", frames);
    element
}

/// A camera's picture number `n`: a moving pattern, other for every camera. RGB, rows without padding.
pub fn picture_of(camera: u64, n: usize, (width, height): (usize, usize)) -> Vec<u8> {
    let mut out = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                let (x, y, c) = (x as f64 / width as f64, y as f64 / height as f64, c as f64);
                let phase = n as f64 * 0.7 + camera as f64 * 2.1 + c;
                let v = 0.5
                    + 0.25 * (9.0 * x + 4.0 * y + phase).sin()
                    + 0.2 * (31.0 * x - 17.0 * y + 2.0 * phase).cos();
                out.push((v * 255.0).round().clamp(0.0, 255.0) as u8);
            }
        }
    }
    out
}

pub fn picture(camera: u64, n: usize) -> Vec<u8> {
    picture_of(camera, n, SIZE)
}

pub const ULTRAWIDE: u64 = 0;
pub const WIDE: u64 = 1;
pub const TELE: u64 = 2;

pub fn caps_of((width, height): (usize, usize), frame: gst::ClockTime) -> gst::Caps {
    gst_video::VideoCapsBuilder::new()
        .format(gst_video::VideoFormat::Rgb)
        .width(width as i32)
        .height(height as i32)
        .framerate(gst::Fraction::new(1000, frame.mseconds() as i32))
        .build()
}

pub fn caps() -> gst::Caps {
    caps_of(SIZE, FRAME)
}

pub fn buffer(data: Vec<u8>, pts: gst::ClockTime, duration: gst::ClockTime) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(data);
    let b = buffer.get_mut().unwrap();
    b.set_pts(pts);
    b.set_duration(duration);
    buffer
}

/// Frame `n` of a camera at the usual rate.
pub fn frame(camera: u64, n: usize) -> gst::Buffer {
    buffer(picture(camera, n), FRAME * n as u64, FRAME)
}

pub fn frames(camera: u64, range: std::ops::Range<usize>) -> Vec<gst::Buffer> {
    range.map(|n| frame(camera, n)).collect()
}

fn layout((width, height): (usize, usize)) -> ImageLayout {
    let site = ChromaSite {
        horizontally_cosited: false,
        vertically_cosited: false,
    };
    ImageLayout {
        format: PixelFormat::Rgb,
        width,
        height,
        matrix: Matrix::Rgb,
        range: Range::Full,
        site,
    }
}

pub fn to_tensor(rgb: &[u8], size: (usize, usize)) -> Tensor {
    refvsr::image::colour::to_tensor(
        &layout(size),
        &[Plane {
            data: rgb,
            stride: size.0 * 3,
        }],
        Device::Cpu,
    )
    .unwrap()
}

pub fn to_bytes(picture: &Tensor) -> Vec<u8> {
    let size = picture.size();
    let (width, height) = (size[3] as usize, size[2] as usize);
    let mut data = vec![0; width * height * 3];
    refvsr::image::colour::from_tensor(
        picture,
        &layout((width, height)),
        &mut [PlaneMut {
            data: &mut data,
            stride: width * 3,
        }],
    )
    .unwrap();
    data
}

/// One moment: the ultra-wide picture, and the others where there are any.
pub type Moment = (Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);

/// Moments whose frames all came and belong together.
pub fn together(range: std::ops::Range<usize>) -> Vec<Moment> {
    range
        .map(|n| (picture(ULTRAWIDE, n), Some(picture(WIDE, n)), None))
        .collect()
}

/// What the library makes of a clip.
pub fn expected(moments: &[Moment], look_ahead: usize) -> Vec<Vec<u8>> {
    expected_of(moments, look_ahead, SIZE)
}

pub fn expected_of(moments: &[Moment], look_ahead: usize, size: (usize, usize)) -> Vec<Vec<u8>> {
    let network = Network::load(Path::new(&model()), Device::Cpu).unwrap();
    let options = refvsr::SessionOptions {
        look_ahead: Some(look_ahead),
        ..Session::options_of(&network)
    };
    let mut session = Session::new(network, options).unwrap();
    let mut out = Vec::new();
    for (ultrawide, wide, tele) in moments {
        let [wide, tele] = [wide, tele].map(|p| p.as_ref().map(|p| to_tensor(p, size)));
        session
            .send(Triplet {
                ultrawide: to_tensor(ultrawide, size),
                wide,
                tele,
            })
            .unwrap();
        while let Some(picture) = session.receive().unwrap().frame() {
            out.push(to_bytes(&picture));
        }
    }
    session.drain();
    while let Some(picture) = session.receive().unwrap().frame() {
        out.push(to_bytes(&picture));
    }
    out
}

/// The element between harnesses, one a pad. Nothing is live unless asked for.
pub struct Rig {
    pub element: gst::Element,
    pub ultrawide: Harness,
    pub wide: Option<Harness>,
    pub tele: Option<Harness>,
}

impl Rig {
    pub fn new(element: gst::Element) -> Self {
        let mut rig = Self::without_wide(element);
        rig.link_wide();
        rig
    }

    pub fn without_wide(element: gst::Element) -> Self {
        let mut ultrawide = Harness::with_element(&element, Some("ultrawide"), Some("src"));
        ultrawide.set_live(false);
        ultrawide.set_src_caps(caps());
        Self {
            element,
            ultrawide,
            wide: None,
            tele: None,
        }
    }

    pub fn link_wide(&mut self) {
        let mut wide = Harness::with_element(&self.element, Some("wide"), None);
        wide.set_live(false);
        wide.set_src_caps(caps());
        self.wide = Some(wide);
    }

    pub fn link_tele(&mut self) {
        let mut tele = Harness::with_element(&self.element, Some("tele"), None);
        tele.set_live(false);
        tele.set_src_caps(caps());
        self.tele = Some(tele);
    }

    pub fn wide(&mut self) -> &mut Harness {
        self.wide.as_mut().unwrap()
    }

    /// Feeds each pad its frames and the end, each from a thread of its own as cameras do, and returns all that comes out.
    pub fn run(
        &mut self,
        ultrawide: Vec<gst::Buffer>,
        wide: Vec<gst::Buffer>,
        tele: Vec<gst::Buffer>,
    ) -> Vec<gst::Buffer> {
        let Self {
            ultrawide: u,
            wide: w,
            tele: t,
            ..
        } = self;
        std::thread::scope(|scope| {
            let feed = |h: &mut Harness, frames: Vec<gst::Buffer>| {
                for frame in frames {
                    // After the end of the ultra-wide stream the others are told to stop.
                    if h.push(frame).is_err() {
                        break;
                    }
                }
                h.push_event(gst::event::Eos::new());
            };
            scope.spawn(move || feed(u, ultrawide));
            if let Some(w) = w {
                scope.spawn(move || feed(w, wide));
            }
            if let Some(t) = t {
                scope.spawn(move || feed(t, tele));
            }
        });
        self.until_eos()
    }

    /// All buffers up to the end of the stream.
    pub fn until_eos(&mut self) -> Vec<gst::Buffer> {
        let mut out = Vec::new();
        while let Some(buffer) = self
            .ultrawide
            .pull_until_eos()
            .expect("no end of stream came")
        {
            out.push(buffer);
        }
        out
    }

    pub fn stat(&self, name: &str) -> u64 {
        stat(&self.element, name)
    }
}

pub fn stat(element: &gst::Element, name: &str) -> u64 {
    element
        .property::<gst::Structure>("stats")
        .get(name)
        .unwrap()
}

pub fn bytes(buffer: &gst::Buffer) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

/// Asserts that the pictures are the expected ones, and says which are not.
#[track_caller]
pub fn assert_pictures(out: &[gst::Buffer], expected: &[Vec<u8>]) {
    assert_eq!(out.len(), expected.len(), "frames out");
    let wrong: Vec<usize> = (0..out.len())
        .filter(|&n| bytes(&out[n]) != expected[n])
        .collect();
    assert!(wrong.is_empty(), "frames {wrong:?} differ");
}

/// Asserts that timestamps and durations are the usual ones, from the given frame on.
#[track_caller]
pub fn assert_times(out: &[gst::Buffer], from: usize) {
    for (n, buffer) in out.iter().enumerate() {
        assert_eq!(
            (buffer.pts(), buffer.duration()),
            (Some(FRAME * (from + n) as u64), Some(FRAME)),
            "frame {n}"
        );
    }
}

/// All buffers that come until the stream's end.
#[track_caller]
pub fn pull_all(sink: &gst_app::AppSink) -> Vec<gst::Buffer> {
    let pulled = std::iter::from_fn(|| sink.try_pull_sample(PATIENCE));
    let all = pulled.filter_map(|sample| sample.buffer_owned()).collect();
    assert!(sink.is_eos(), "the stream does not end");
    all
}

/// Waits for a message of one of these types.
#[track_caller]
pub fn wait_for(bus: &gst::Bus, types: &[gst::MessageType]) -> gst::Message {
    bus.timed_pop_filtered(PATIENCE, types)
        .expect("no message came")
}

/// Text of the first error on the bus.
#[track_caller]
pub fn error_on(bus: &gst::Bus) -> String {
    match wait_for(bus, &[gst::MessageType::Error]).view() {
        gst::MessageView::Error(error) => error.error().to_string(),
        other => panic!("{other:?}"),
    }
}

/// A pipeline of its own bus, played to its end. Returns the messages of an error, if there is one.
#[track_caller]
pub fn play(pipeline: &gst::Pipeline) -> Result<(), String> {
    let bus = pipeline.bus().unwrap();
    let started = pipeline.set_state(gst::State::Playing);
    let message = match started {
        Err(_) => wait_for(&bus, &[gst::MessageType::Error]),
        Ok(_) => wait_for(&bus, &[gst::MessageType::Error, gst::MessageType::Eos]),
    };
    pipeline.set_state(gst::State::Null).unwrap();
    match message.view() {
        gst::MessageView::Error(error) => Err(error.error().to_string()),
        _ => Ok(()),
    }
}

/// A test's pipeline. Where the test fails it is left to play: let go of then, it would take the process along, and with
/// that what failed.
#[derive(Clone)]
pub struct Pipeline(gst::Pipeline);

impl std::ops::Deref for Pipeline {
    type Target = gst::Pipeline;

    fn deref(&self) -> &gst::Pipeline {
        &self.0
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::mem::forget(self.0.clone());
        }
    }
}

pub fn parse(description: &str) -> Pipeline {
    init();
    Pipeline(gst::parse::launch(description).unwrap().downcast().unwrap())
}

/// Runs the real `gst-launch-1.0` with the plugin as it was built.
pub fn gst_launch(arguments: &str, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new("gst-launch-1.0");
    command
        .args(arguments.split_whitespace())
        .env("GST_PLUGIN_PATH", plugin_folder())
        .env(
            "GST_REGISTRY",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("registry.bin"),
        )
        .envs(environment.iter().copied());
    command
        .output()
        .expect("gst-launch-1.0 (Debian: gstreamer1.0-tools) is needed")
}

/// The same, which must succeed.
#[track_caller]
pub fn gst_launch_well(arguments: &str) -> Output {
    let output = gst_launch(arguments, &[]);
    assert!(
        output.status.success(),
        "{arguments}\n{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

/// Bytes of this process's resident memory.
pub fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 4096
}

/// Environment in which a process tells, when it lets go of GStreamer, of all objects still there.
pub const LEAKS_TRACER: [(&str, &str); 3] = [
    ("GST_TRACERS", "leaks"),
    ("GST_DEBUG", "GST_TRACER:7"),
    ("GST_DEBUG_NO_COLOR", "1"),
];

/// What the leaks tracer told.
#[track_caller]
pub fn leaks(log: &str) -> Vec<&str> {
    assert!(log.contains("object-alive"), "the tracer was at work");
    log.lines()
        .filter(|line| line.contains("object-alive,"))
        .filter(|line| !line.contains("build_format"))
        .collect()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const PLUGIN: &str = "libgstrefvsr.so";

/// The plugin's shared library, as it was built for this test.
pub fn plugin_file() -> PathBuf {
    let binary = std::env::current_exe().unwrap();
    let built = binary
        .ancestors()
        .skip(1)
        .map(|folder| folder.join(PLUGIN))
        .find(|path| path.exists());
    built.expect("the plugin was not built")
}

/// A folder with the plugin's shared library and nothing else (beside this test's binary lie libraries that are no plugins).
pub fn plugin_folder() -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin");
        std::fs::create_dir_all(&folder).unwrap();
        let link = folder.join(format!("new-{}", std::process::id()));
        std::os::unix::fs::symlink(plugin_file(), &link).unwrap();
        std::fs::rename(link, folder.join(PLUGIN)).unwrap();
        folder
    });
    FOLDER.clone()
}

/// Tries until it is so, for a while.
#[track_caller]
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from(PATIENCE);
    while !so() {
        assert!(std::time::Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The next buffer that comes out. A pull of its own waits for a minute, which a busy machine may miss.
#[track_caller]
pub fn pulled(harness: &mut Harness) -> gst::Buffer {
    let mut pulls = std::iter::repeat_with(|| harness.pull()).take(10);
    pulls.find_map(Result::ok).expect("no buffer came out")
}

/// What the meta of a frame that came out says of how it was made.
#[track_caller]
pub fn told_of(buffer: &gst::Buffer) -> gst::Structure {
    let meta = gst::meta::CustomMeta::from_buffer(buffer, "GstRefVsrMeta").unwrap();
    meta.structure().to_owned()
}
