//! Damaged and hostile recordings through the whole command, each in a process of its own: it ends,
//! takes little, says one clear thing, and calls nothing whole that is not.
//!
//! `REFVSR_TEST_MUTATIONS` says how many (a few by default; `tests/nightly.sh` takes 2,000),
//! `REFVSR_TEST_SEED` which.
#![allow(clippy::print_stdout, reason = "a run that failed has to be repeated")]

mod common;
#[allow(dead_code)]
#[path = "../../fuzz/src/mutate.rs"]
mod mutate;

use common::{Place, Said, command, frames, said};
use mutate::{Random, mutated};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Time of a processor that a recording of a second may take. A clock's would depend on what else the machine does.
const MOST_TIME: Duration = Duration::from_secs(20);
/// Time of a clock after which it hangs, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(300);
/// Memory that all processes of the command may take together.
const MOST_MEMORY: u64 = 2 << 30;

const FRAMES: usize = 8;

/// Containers and codecs, as GStreamer writes them; `{}` is the file.
const MADE: [(&str, &str); 9] = [
    (
        "h264.mkv",
        "x264enc bframes=2 key-int-max=4 ! matroskamux name=m",
    ),
    ("h264.mp4", "x264enc key-int-max=4 ! mp4mux name=m"),
    ("h264.ts", "x264enc key-int-max=4 ! mpegtsmux name=m"),
    (
        "h265.mkv",
        "x265enc key-int-max=4 ! h265parse ! matroskamux name=m",
    ),
    ("vp8.webm", "vp8enc deadline=1 ! webmmux name=m"),
    ("vp9.webm", "vp9enc deadline=1 ! webmmux name=m"),
    ("jpeg.mov", "jpegenc ! qtmux name=m"),
    ("jpeg.avi", "jpegenc ! avimux name=m"),
    ("theora.ogg", "theoraenc ! oggmux name=m"),
];

/// Those of `tests/media` that are no larger than a changed one may be.
const STORED: [&str; 11] = [
    "apac.mov",
    "cc.ts",
    "ea.mkv",
    "full_range_bt709.mp4",
    "gray10.mkv",
    "hdr.mp4",
    "int_u.mts",
    "k1.mkv",
    "mat_r90flip.mp4",
    "tcu.mov",
    "tel.mpg",
];

struct Recording {
    name: String,
    bytes: Vec<u8>,
    /// Frames, of those whose file says how long it is.
    frames: Option<usize>,
}

fn recordings(place: &Place) -> Vec<Recording> {
    let mut all = vec![];
    for (name, way) in MADE {
        let path = place.make(
            name,
            &format!(
                "videotestsrc pattern=ball num-buffers={FRAMES} ! video/x-raw,width=64,height=48,framerate=10/1,format=I420 \
                 ! {way} ! filesink location={{}}"
            ),
        );
        let says = ["mkv", "mp4", "mov"].iter().any(|end| name.ends_with(end));
        all.push(Recording {
            name: name.to_owned(),
            bytes: fs::read(path).unwrap(),
            frames: says.then_some(FRAMES),
        });
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media");
    all.extend(STORED.map(|name| Recording {
        name: name.to_owned(),
        bytes: fs::read(folder.join(name)).unwrap(),
        frames: None,
    }));
    all
}

/// A changed recording, and whether it was only cut off.
fn changed(random: &mut Random, recording: &Recording) -> (Vec<u8>, bool) {
    let bytes = &recording.bytes;
    match random.below(5) {
        0 => (bytes[..random.below(bytes.len())].to_vec(), true),
        // Two pieces in each other's place.
        1 => {
            let mut bytes = bytes.clone();
            let size = 1 + random.below(bytes.len() / 4);
            let first = random.below(bytes.len() - 2 * size);
            let second = first + size + random.below(bytes.len() - first - 2 * size + 1);
            let (front, back) = bytes.split_at_mut(second);
            front[first..first + size].swap_with_slice(&mut back[..size]);
            (bytes, false)
        }
        _ => {
            let words = [
                "moov",
                "mdat",
                "\0\0\0\u{1}",
                "\u{1a}E",
                "OggS",
                "RIFF",
                "G",
            ];
            (mutated(random, std::slice::from_ref(bytes), &words), false)
        }
    }
}

/// What the command and the processes that it started have taken.
#[derive(Debug, Default)]
struct Taken {
    time: Duration,
    memory: u64,
}

impl Taken {
    fn of(process: u32) -> Self {
        let mut all = Self::default();
        let mut waiting = vec![process];
        while let Some(process) = waiting.pop() {
            let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}"));
            let stat = read("stat").unwrap_or_default();
            // Behind the name, which may hold anything: user and system time are the 12th and 13th, of a hundredth of a second.
            let fields = stat.rsplit(')').next().unwrap_or_default();
            let ticks = fields.split_whitespace().skip(11).take(2);
            let ticks: u64 = ticks.filter_map(|n| n.parse::<u64>().ok()).sum();
            all.time += Duration::from_millis(10 * ticks);
            let status = read("status").unwrap_or_default();
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let peak =
                peak.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
            all.memory += peak.unwrap_or(0) << 10;
            let children = read(&format!("task/{process}/children")).unwrap_or_default();
            waiting.extend(
                children
                    .split_whitespace()
                    .filter_map(|n| n.parse::<u32>().ok()),
            );
        }
        all
    }
}

/// Waits for the command; what is wrong with what it took.
fn watched(mut child: Child) -> Result<Said, String> {
    let begun = Instant::now();
    loop {
        if child.try_wait().unwrap().is_some() {
            return Ok(said(child.wait_with_output().unwrap()));
        }
        let taken = Taken::of(child.id());
        let wrong = taken.time > MOST_TIME || taken.memory > MOST_MEMORY;
        if wrong || begun.elapsed() > PATIENCE {
            _ = child.kill();
            let output = said(child.wait_with_output().unwrap());
            return Err(format!("{taken:?} after {:?}: {output:?}", begun.elapsed()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What is wrong with how the command took a recording.
fn wrong(
    place: &Place,
    recording: &Recording,
    cut: bool,
    path: &Path,
    wide: &str,
) -> Option<String> {
    let out = place.path("out.mkv");
    _ = fs::remove_file(&out);
    let (model, shown) = (place.model(), out.to_str().unwrap());
    let child = command(&[
        "transcode",
        "--model",
        &model,
        "--device",
        "cpu",
        "-w",
        wide,
        "-o",
        shown,
        "-u",
    ])
    .arg(path)
    .stdin(Stdio::null())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let said = match watched(child) {
        Ok(said) => said,
        Err(wrong) => return Some(wrong),
    };
    let lines = said
        .err
        .lines()
        .filter(|line| line.starts_with("refvsr: "))
        .count();
    let has_panicked = said.err.contains("panicked");
    match said.code {
        Some(0) if lines == 0 && !has_panicked => {
            let count = frames(&out).0.len();
            let lacks = cut && recording.frames.is_some_and(|all| count < all);
            (count == 0 || lacks).then(|| format!("{count} frames were called whole: {said:?}"))
        }
        Some(1 | 75) if lines == 1 && !has_panicked => None,
        _ => Some(format!("{said:?}")),
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn hostile_recordings_are_refused_or_told() {
    let count = number("REFVSR_TEST_MUTATIONS").unwrap_or(3);
    let seed = number("REFVSR_TEST_SEED").unwrap_or(1);
    let place = Place::new();
    let wide = place.film("wide.mkv", FRAMES as u32);
    let all = recordings(&place);
    let mut ends = [0; 3];
    let mut failed = vec![];
    for case in 0..count {
        // Each case by itself, so that one can be repeated without those before it.
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(case));
        let recording = random.one(&all).unwrap();
        let (bytes, cut) = changed(&mut random, recording);
        let path = place.path(&format!("{case}-{}", recording.name));
        fs::write(&path, bytes).unwrap();
        match wrong(&place, recording, cut, &path, &wide) {
            None => {
                ends[usize::from(!place.path("out.mkv").exists())] += 1;
                fs::remove_file(&path).unwrap();
            }
            Some(wrong) => {
                ends[2] += 1;
                let kept = std::env::temp_dir()
                    .join(format!("refvsr-hostile-{seed}-{case}-{}", recording.name));
                fs::copy(&path, &kept).unwrap();
                println!("{}: {wrong}", kept.display());
                failed.push(case);
            }
        }
    }
    println!(
        "seed {seed}: {count} recordings, {} enlarged, {} refused, {} wrong",
        ends[0], ends[1], ends[2]
    );
    assert!(failed.is_empty(), "seed {seed}, cases {failed:?}");
}
