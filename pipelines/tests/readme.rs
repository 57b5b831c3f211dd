//! Every command of README and of the command's pages, run as it stands there: with small recordings of these names, a tiny model,
//! test pictures for cameras and nothing that shows a window.

mod common;

use common::scored::{SIZE, tree};
use common::{Place, said};
use std::path::Path;
use std::process::Command;

const PAGES: [&str; 7] = [
    "README.md",
    "docs/element.md",
    "docs/preview.md",
    "docs/transcode.md",
    "docs/evaluate.md",
    "docs/embedding.md",
    "docs/training.md",
];

/// Commands that build, install, train or wait for other processes; CI runs them or their parts elsewhere.
const ELSEWHERE: [&str; 12] = [
    "apt install ",
    "cargo ",
    "eval ",
    "mpirun ",
    "gst-inspect-1.0 ",
    "refvsr-train ",
    "refvsr adapt ",
    "models/long.sh ",
    "SHORT=1 models/long.sh ",
    "target/release/refvsr-train ",
    "gst-launch-1.0 shmsrc ",
    "gst-launch-1.0 v4l2src device=/dev/video0 ! videoconvert ! video/x-raw,format=I420,",
];

/// The commands of a page's shell listings, one a line, without their comments.
fn commands(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let listings = text.split("```sh\n").skip(1);
    listings
        .flat_map(|rest| {
            let listing = rest.split("```").next().unwrap().replace("\\\n", " ");
            listing.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .map(|line| line.split(" # ").next().unwrap().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// The files that the commands name.
fn lay_out(place: &Place) {
    let model = place.model();
    for name in [
        "RefVSR_small_MFID.pytorch",
        "RefVSR_MFID.pytorch",
        "a.safetensors",
        "own.safetensors",
        "b.pytorch",
        "FILE",
    ] {
        std::fs::copy(&model, place.path(name)).unwrap();
    }
    for name in ["ultrawide.mkv", "wide.mkv"] {
        place.film(name, 4);
    }
    place.make(
        "truth.mkv",
        "videotestsrc num-buffers=4 ! video/x-raw,width=256,height=192,framerate=10/1,format=I420 ! x264enc ! matroskamux \
         ! filesink location={}",
    );
    for name in [
        "ultrawide.mp4",
        "wide.mp4",
        "recordings/beach_UW.mp4",
        "recordings/beach_W.mp4",
    ] {
        std::fs::create_dir_all(place.path("recordings")).unwrap();
        place.make(
            name,
            "videotestsrc num-buffers=4 ! video/x-raw,width=64,height=48,framerate=10/1,format=I420 ! x264enc ! h264parse ! mp4mux \
             ! filesink location={}",
        );
    }
    // The tree, with three cameras, also where the gst-launch-1.0 line looks for it.
    tree(place);
    std::fs::rename(place.path("tree"), place.path("RealMCVSR")).unwrap();
    // Other methods' outputs: the truth itself.
    std::fs::create_dir_all(place.path("results")).unwrap();
    for name in ["results/basicvsr", "results/mine"] {
        std::os::unix::fs::symlink("../RealMCVSR", place.path(name)).unwrap();
    }
    for lens in ["UW", "W", "T"] {
        let folder = place.path("test/LRx4").join(lens).join("0000");
        std::fs::create_dir_all(&folder).unwrap();
        let picture = image::RgbImage::new(SIZE.0 as u32 / 4, SIZE.1 as u32 / 4);
        for n in 0..2 {
            picture.save(folder.join(format!("{n:04}.png"))).unwrap();
        }
    }
}

/// The command with what a test has in place of cameras, windows, GPUs and the bundled model.
fn adapted(command: &str, model: &str) -> String {
    let mut adapted = command
        .replace("autovideosink", "fakesink")
        .replace("device=cuda", "device=cpu")
        .replace("file:///path/to/film.mkv", "file://$PWD/ultrawide.mkv")
        .replace(
            "video-filter='refvsr",
            &format!(
                "video-sink=fakesink audio-sink=fakesink video-filter='refvsr model-file={model}"
            ),
        );
    for camera in ["v4l2src device=/dev/video0", "v4l2src device=/dev/video2"] {
        let pictures = "videotestsrc is-live=true num-buffers=4 ! video/x-raw,width=32,height=24,framerate=5/1";
        adapted = adapted.replace(camera, pictures);
    }
    if adapted.contains("refvsr name=") && !adapted.contains("model-file=") {
        adapted = adapted.replace(
            "refvsr name=sr",
            &format!("refvsr name=sr model-file={model}"),
        );
    }
    let wants = match command.split_whitespace().nth(1) {
        Some(name) if command.starts_with("refvsr ") => name,
        _ => "",
    };
    if ["transcode", "evaluate"].contains(&wants) && !adapted.contains("--model") {
        adapted += &format!(" --model {model}");
    }
    if ["transcode", "evaluate", "info", "preview"].contains(&wants) {
        adapted += " --device cpu";
    }
    if ["transcode", "preview"].contains(&wants) && command.contains(" -u ") {
        adapted += " --overwrite";
    }
    if wants == "doctor" {
        adapted += " --quick";
    }
    adapted
}

#[test]
fn every_command_of_the_pages_runs() {
    let place = Place::new();
    lay_out(&place);
    let model = place.model();
    let built = Path::new(env!("CARGO_BIN_EXE_refvsr")).parent().unwrap();
    let path = format!("{}:{}", built.display(), std::env::var("PATH").unwrap());
    let mut run = 0;
    for page in PAGES {
        for command in commands(page) {
            if ELSEWHERE.iter().any(|start| command.starts_with(start)) {
                continue;
            }
            let adapted = adapted(&command, &model);
            let output = Command::new("sh")
                .args(["-c", &adapted])
                .current_dir(place.0.path())
                .env("PATH", &path)
                .env("GST_PLUGIN_PATH", built)
                .env(
                    "GST_PRESET_PATH",
                    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin/presets"),
                )
                .env(
                    "GST_REGISTRY",
                    Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme-registry.bin"),
                )
                .env("OMP_NUM_THREADS", "1")
                .output()
                .unwrap();
            let said = said(output);
            assert_eq!(said.code, Some(0), "{page}: {command}\n{adapted}\n{said:?}");
            run += 1;
        }
    }
    assert!(run >= 14, "only {run} commands were found");
}

#[test]
fn the_first_page_stays_short() {
    let page = include_str!("../../README.md");
    let lines = page.lines().count();
    assert!(lines <= 150, "README.md has {lines} lines, of at most 150");
}
