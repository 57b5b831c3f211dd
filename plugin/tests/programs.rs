//! What applications may do to the element, in any order and from two threads: link, unlink, request, release, seek,
//! flush, pause, stop and change caps at random moments. Nothing hangs and nothing is left behind.
//! `REFVSR_PROGRAMS=200` runs as many.

mod common;

use common::*;
use gst::prelude::*;
use std::{
    path::Path,
    process::Command,
    sync::{
        Mutex,
        mpsc::{RecvTimeoutError, channel},
    },
    time::Duration,
};

/// A program that a machine of any speed has done, unless it hangs.
const PATIENT: Duration = Duration::from_secs(60);

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % n
    }
}

/// A camera of the pipeline: a source that can seek or is live, and a queue.
fn camera(pipeline: &gst::Pipeline, live: bool) -> [gst::Element; 2] {
    let make = |name: &str| gst::ElementFactory::make(name).build().unwrap();
    let [source, filter, queue] = ["videotestsrc", "capsfilter", "queue"].map(make);
    source.set_property("is-live", live);
    filter.set_property("caps", caps());
    pipeline.add_many([&source, &filter, &queue]).unwrap();
    gst::Element::link_many([&source, &filter, &queue]).unwrap();
    for element in [&source, &filter, &queue] {
        element.sync_state_with_parent().unwrap();
    }
    [filter, queue]
}

/// One at a time: the events of two flushes must not mix in a pad, which GStreamer's queues do not survive.
static FLUSHES: Mutex<()> = Mutex::new(());

/// One at a time: what GStreamer does where two threads request or release a pad of one name is undefined.
static REQUESTS: Mutex<()> = Mutex::new(());

/// One of the things that an application does.
fn step(dice: &mut Dice, pipeline: &gst::Pipeline, cameras: &[[gst::Element; 2]; 3]) {
    let refvsr = pipeline.by_name("r").unwrap();
    let which = 1 + dice.below(2) as usize;
    let name = ["ultrawide", "wide", "tele"][which];
    let source = cameras[which][1].static_pad("src").unwrap();
    match dice.below(11) {
        0 => {
            let _one = REQUESTS.lock().unwrap();
            if refvsr.static_pad(name).is_none() {
                let _ = refvsr.request_pad_simple(name);
            }
        }
        1 => {
            let _one = REQUESTS.lock().unwrap();
            if let Some(pad) = refvsr.static_pad(name) {
                refvsr.release_request_pad(&pad);
            }
        }
        2 | 3 => {
            let _one = REQUESTS.lock().unwrap();
            let pad = refvsr
                .static_pad(name)
                .or_else(|| refvsr.request_pad_simple(name));
            let _ = pad.map(|pad| source.link(&pad));
        }
        4 => {
            let _ = source.peer().map(|pad| source.unlink(&pad));
        }
        5 => {
            let _one = FLUSHES.lock().unwrap();
            let flags = gst::SeekFlags::FLUSH;
            let _ = pipeline.seek_simple(flags, FRAME * dice.below(20));
        }
        6 => {
            let _one = FLUSHES.lock().unwrap();
            let seqnum = gst::Seqnum::next();
            let start = gst::event::FlushStart::builder().seqnum(seqnum).build();
            let stop = gst::event::FlushStop::builder(false).seqnum(seqnum).build();
            for event in [start, stop] {
                cameras[which][1]
                    .static_pad("sink")
                    .unwrap()
                    .send_event(event);
            }
        }
        7 => {
            let _ = pipeline.set_state(gst::State::Paused);
        }
        8 => {
            let _ = pipeline.set_state(gst::State::Playing);
        }
        9 if dice.below(4) == 0 => {
            pipeline.set_state(gst::State::Null).unwrap();
            let _ = pipeline.set_state(gst::State::Playing);
        }
        _ => {
            let size = [SIZE, (20, 16)][dice.below(2) as usize];
            cameras[dice.below(3) as usize][0].set_property("caps", caps_of(size, FRAME));
        }
    }
    std::thread::sleep(Duration::from_millis(dice.below(8)));
}

/// The program of this number, to its end.
fn run(number: u64, model: &str) {
    let mut dice = Dice(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let live = dice.below(2) == 0;
    let pipeline = parse(&format!(
        "refvsr name=r device=cpu lookahead=1 model-file={model} ! queue ! fakesink sync={live} async=false"
    ));
    let cameras = [(); 3].map(|()| camera(&pipeline, live));
    let refvsr = pipeline.by_name("r").unwrap();
    cameras[0][1]
        .link_pads(Some("src"), &refvsr, Some("ultrawide"))
        .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    std::thread::scope(|scope| {
        for thread in [number, number + 1_000_000] {
            let (pipeline, cameras) = (&pipeline, &cameras);
            scope.spawn(move || {
                let mut dice = Dice(thread.wrapping_mul(0xD134_2543_DE82_EF95) | 1);
                for _ in 0..12 {
                    step(&mut dice, pipeline, cameras);
                }
            });
        }
    });
    pipeline.set_state(gst::State::Null).unwrap();
}

fn run_all(count: u64) {
    init();
    let folder = tempfile::tempdir().unwrap();
    let model = tiny_model(Path::new(folder.path()));
    for number in 0..count {
        let (sender, done) = channel::<()>();
        let model = model.clone();
        let thread = std::thread::spawn(move || {
            run(number, &model);
            drop(sender);
        });
        let hangs = done.recv_timeout(PATIENT) == Err(RecvTimeoutError::Timeout);
        assert!(!hangs, "program {number} hangs");
        assert!(thread.join().is_ok(), "program {number}");
    }
}

#[test]
#[ignore = "run under the leaks tracer by `random_programs_neither_hang_nor_leak`"]
fn programs() {
    let asked = std::env::var("REFVSR_PROGRAMS").ok();
    run_all(asked.map_or(5, |n| n.parse().unwrap()));
    // SAFETY: nothing of GStreamer is used after this, and this test runs alone in its process.
    unsafe { gst::deinit() };
}

#[test]
fn random_programs_neither_hang_nor_leak() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "programs", "--nocapture"])
        .envs(LEAKS_TRACER)
        .output()
        .unwrap();
    let (said, log) = (text(&output.stdout), text(&output.stderr));
    assert!(said.contains("1 passed"), "{said}{log}");
    assert_eq!(leaks(&log), Vec::<&str>::new());
}
