//! Trees of RealMCVSR's layout, and the command on them.

use super::belongings::Snapshot;
use super::{Place, Said, command, said};
use std::io::BufRead;
use std::process::{Child, Command};

/// Width and height of the clips' frames.
pub const SIZE: (u32, u32) = (24, 16);

/// A tree of RealMCVSR's layout: the clips with so many frames, in `test/LRx4/{UW,W}`.
pub fn tree(place: &Place, clips: &[(&str, u8)]) -> String {
    for (clip, frames) in clips {
        for (lens, camera) in [("UW", 0), ("W", 90)] {
            let folder = place.path("tree/test/LRx4").join(lens).join(clip);
            std::fs::create_dir_all(&folder).unwrap();
            for n in 0..*frames {
                let picture = image::RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
                    image::Rgb([
                        (x * 9) as u8 ^ n,
                        (y * 9) as u8 + camera,
                        n.wrapping_mul(16),
                    ])
                });
                picture.save(folder.join(format!("{n:04}.png"))).unwrap();
            }
        }
    }
    place.text("tree")
}

pub fn transcode(place: &Place, output: &str, more: &[&str]) -> Command {
    let (model, tree, output) = (place.model(), place.text("tree"), place.text(output));
    let mut command = command(&[
        "transcode",
        "--model",
        &model,
        "--device",
        "cpu",
        "--tree",
        &tree,
        "-o",
        &output,
    ]);
    // What processes measure of the processor, each for itself, may differ.
    command.args(["--set", "precision=fp32-fast"]).args(more);
    command
}

#[track_caller]
pub fn run(place: &Place, output: &str, more: &[&str]) -> Said {
    let before = Snapshot::of(place.0.path());
    let said = said(transcode(place, output, more).output().unwrap());
    before.check(&[]);
    said
}

#[track_caller]
pub fn run_well(place: &Place, output: &str, more: &[&str]) -> Said {
    let said = run(place, output, more);
    assert_eq!(said.code, Some(0), "{said:?}");
    said
}

/// Waits for an event with such a text on the child's output.
pub fn wait_for(child: &mut Child, texts: &[&str]) {
    let out = std::io::BufReader::new(child.stdout.as_mut().unwrap());
    for line in out.lines() {
        let line = line.unwrap();
        if texts.iter().all(|text| line.contains(text)) {
            return;
        }
    }
    panic!("{texts:?} did not come");
}

/// The process that enlarges for a command.
pub fn worker(command: &Child) -> u32 {
    let parent = |id: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        rest.split_whitespace().nth(1)?.parse().ok()
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let mut ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.find(|id| parent(*id) == Some(command.id())).unwrap()
}

/// Sends a signal.
#[track_caller]
pub fn signal(name: &str, process: u32) {
    let told = Command::new("kill")
        .args([name, &process.to_string()])
        .status();
    assert!(told.unwrap().success());
}
