//! `refvsr doctor`: what is there, what is missing, and what to do about it.

use crate::model::Model;
use crate::{element, speed};
use anyhow::Result;
use gst::prelude::*;
use refvsr::DeviceChoice;
use std::process::ExitCode;
use std::time::Duration;
use tch::{Cuda, Device};

/// Arguments of `refvsr doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave out the benchmark, which takes ten seconds or a little more
    #[arg(long)]
    quick: bool,
}

/// What the pipelines of this project use, with Debian's packages; without the first ones nothing works.
const ELEMENTS: [(&str, &str, &str, bool); 12] = [
    ("filesrc", "libgstreamer1.0-0", "reading files", true),
    ("decodebin", "gstreamer1.0-plugins-base", "decoding", true),
    (
        "videoconvert",
        "gstreamer1.0-plugins-base",
        "pixel formats",
        true,
    ),
    (
        "matroskamux",
        "gstreamer1.0-plugins-good",
        "writing .mkv",
        true,
    ),
    ("mp4mux", "gstreamer1.0-plugins-good", "writing .mp4", true),
    (
        "avdec_h264",
        "gstreamer1.0-libav",
        "decoding what cameras record",
        true,
    ),
    (
        "h264parse",
        "gstreamer1.0-plugins-bad",
        "writing H.264",
        true,
    ),
    (
        "x264enc",
        "gstreamer1.0-plugins-ugly",
        "encoding H.264",
        true,
    ),
    (
        "x265enc",
        "gstreamer1.0-plugins-bad",
        "encoding H.265",
        false,
    ),
    ("vp9enc", "gstreamer1.0-plugins-good", "encoding VP9", false),
    ("av1enc", "gstreamer1.0-plugins-bad", "encoding AV1", false),
    ("v4l2src", "gstreamer1.0-plugins-good", "cameras", false),
];

/// Size of the benchmark's frames: small, so that a processor is done in ten seconds, and what a GPU is used for.
const SIZE: (i64, i64) = (64, 36);
const CUDA_SIZE: (i64, i64) = (480, 270);
const TIME: Duration = Duration::from_secs(10);

/// Tells how things are, one line each.
#[derive(Default)]
struct Findings {
    bad: usize,
}

impl Findings {
    fn good(&self, what: &str) {
        out!("ok       {what}");
    }

    /// Something that can do without.
    fn lacks(&self, what: &str, remedy: &str) {
        out!("lacking  {what}: {remedy}");
    }

    fn bad(&mut self, what: &str, remedy: &str) {
        self.bad += 1;
        out!("BAD      {what}: {remedy}");
    }
}

/// Looks at everything.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut findings = Findings::default();
    match gst::init() {
        Ok(()) => gstreamer(&mut findings),
        Err(error) => findings.bad(
            "GStreamer",
            &format!("it does not start ({error}); on Debian: apt-get install gstreamer1.0-tools"),
        ),
    }
    libtorch(&findings);
    precision(&findings);
    graphics(&findings);
    plugin(&mut findings);
    if !args.quick {
        benchmark(&mut findings);
    }
    Ok(if findings.bad == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn gstreamer(findings: &mut Findings) {
    let version = gst::version();
    let text = gst::version_string();
    match (version.0, version.1) >= (1, 22) {
        true => findings.good(&text),
        false => findings.bad(&text, "1.22 or later is needed; Debian 12 has it"),
    }
    for (element, package, what, needed) in ELEMENTS {
        let text = format!("{element} ({what})");
        let remedy = format!("on Debian: apt-get install {package}");
        match (gst::ElementFactory::find(element), needed) {
            (Some(_), _) => findings.good(&text),
            (None, true) => findings.bad(&text, &remedy),
            (None, false) => findings.lacks(&text, &remedy),
        }
    }
    let hardware: Vec<_> = gst::ElementFactory::factories_with_type(
        gst::ElementFactoryType::VIDEO_ENCODER,
        gst::Rank::NONE,
    )
    .into_iter()
    .filter(|factory| factory.has_type(gst::ElementFactoryType::HARDWARE))
    .map(|factory| factory.name().to_string())
    .collect();
    match hardware.is_empty() {
        true => findings.lacks(
            "encoders in hardware",
            "processors encode; nvcodec, va or vaapi plugins would offer a GPU's (--encoder)",
        ),
        false => findings.good(&format!("encoders in hardware: {}", hardware.join(", "))),
    }
}

/// The file of libtorch that this process has loaded.
fn library() -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps
        .lines()
        .find(|line| line.ends_with("libtorch_cpu.so"))?;
    line.split_once('/').map(|(_, path)| format!("/{path}"))
}

fn libtorch(findings: &Findings) {
    let place = library().unwrap_or_else(|| "of unknown place".to_owned());
    let beside = std::path::Path::new(&place).with_file_name("libtorch_cuda.so");
    let flavour = match (DeviceChoice::Cuda(0).resolve(), beside.exists()) {
        (Ok(_), _) => "with CUDA",
        (Err(_), true) => "with a CUDA part that finds no device",
        (Err(_), false) => "for the processor only",
    };
    findings.good(&format!("libtorch {flavour}, {place}"));
}

/// What `precision=auto` means on this processor, and why.
fn precision(findings: &Findings) {
    let chosen = refvsr::Precision::Auto.on(Device::Cpu);
    let why = match refvsr::precision::measured() {
        Some(times) => format!(
            "measured: a convolution takes {:.1} ms in fp32-fast and {:.1} ms in bf16, which has to save a fifth",
            times.fp32_fast.as_secs_f64() * 1e3,
            times.bf16.as_secs_f64() * 1e3
        ),
        None => "it has no AVX512-BF16 for this library's kernels".to_owned(),
    };
    findings.good(&format!(
        "precision=auto is {chosen} on this processor ({why})"
    ));
}

fn graphics(findings: &Findings) {
    let driver = std::fs::read_to_string("/proc/driver/nvidia/version").ok();
    let Some(driver) = driver.as_deref().and_then(|text| text.lines().next()) else {
        findings.lacks("NVIDIA driver", "none is loaded; everything runs on the processor (apt-get install nvidia-driver, where there is such a GPU)");
        return;
    };
    findings.good(driver.trim());
    let cards = std::fs::read_dir("/proc/driver/nvidia/gpus")
        .into_iter()
        .flatten()
        .flatten();
    for card in cards {
        let text = std::fs::read_to_string(card.path().join("information")).unwrap_or_default();
        if let Some(model) = text.lines().find_map(|line| line.strip_prefix("Model:")) {
            findings.good(&format!("GPU {}", model.trim()));
        }
    }
    match DeviceChoice::Cuda(0).resolve() {
        Ok(_) => findings.good(&format!(
            "CUDA devices for libtorch: {}",
            Cuda::device_count()
        )),
        Err(error) => findings.lacks(
            "CUDA",
            &format!("{error}; from a package, LD_LIBRARY_PATH has to name the folder torch/lib of PyTorch 2.11.0 with CUDA (pip install \
                 torch==2.11.0); in a checkout, cargo xtask setup --libtorch cuda fetches it"),
        ),
    }
}

fn plugin(findings: &mut Findings) {
    match element::init().and_then(|()| element::make("refvsr")) {
        Ok(element) => {
            let plugin = element.factory().and_then(|factory| factory.plugin());
            let place = plugin
                .and_then(|plugin| plugin.filename())
                .map_or_else(String::new, |path| format!(", {}", path.display()));
            findings.good(&format!("element refvsr{place}"));
        }
        Err(error) => findings.bad(
            "element refvsr",
            &format!("{error:#}; GST_DEBUG=GST_PLUGIN_LOADING:4 gst-inspect-1.0 refvsr says more"),
        ),
    }
}

fn benchmark(findings: &mut Findings) {
    let device = DeviceChoice::Auto.resolve().unwrap_or(Device::Cpu);
    let size = match device {
        Device::Cuda(_) => CUDA_SIZE,
        _ => SIZE,
    };
    match Model::Auto.network(device).and_then(|network| speed::measure(network, size, TIME)) {
        Ok(speed) => findings.good(&format!(
            "benchmark on {device:?}: {:.3} s a frame of {}x{} with the bundled model that suits it, \
             {:.0} MiB of weights and remembered frames",
            speed.seconds_per_frame,
            size.0,
            size.1,
            speed.bytes as f64 / f64::from(1 << 20)
        )),
        Err(error) => findings.bad("benchmark", &format!("{error:#}")),
    }
}
