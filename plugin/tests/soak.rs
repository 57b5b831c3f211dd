//! A long run of everything that happens to streams: holes, gaps, ends and seeks at random moments. What comes
//! out is known frame by frame, and memory stays as it is. `REFVSR_SOAK_FRAMES=20000` makes it long.

mod common;
use common::*;
use gst::prelude::*;
use gst_check::Harness;
use refvsr::{
    ModelConfig,
    config::{Recurrence, Variant},
};
use std::{collections::BTreeSet, path::Path, thread::JoinHandle, time::Duration};

const SIZE: (usize, usize) = (64, 48);
const SEED: u64 = 7;

/// A model that takes a few milliseconds a frame. Its references are read and paired, but add nothing.
fn quick_model(folder: &Path) -> String {
    let config = ModelConfig {
        variant: Variant::Registered,
        mid_channels: 2,
        num_blocks: 1,
        frame_num: 5,
        scale: 4,
        hd: false,
        reset_interval: None,
        recurrence: Recurrence::Clean,
        flow_levels: 1,
        first_looks: 1,
        recorded: false,
    };
    save_model(config, folder)
}

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

/// What a camera sends for one moment.
#[derive(Clone, Copy, PartialEq)]
enum Sent {
    Frame,
    Gap,
    Nothing,
}

/// A camera's part of a section of the run.
struct Part {
    /// By the moment's number.
    sent: Vec<(usize, Sent)>,
}

impl Part {
    fn new(dice: &mut Dice, first: usize, moments: usize) -> Self {
        let pick = |dice: &mut Dice| match dice.below(10) {
            0 => Sent::Nothing,
            1 => Sent::Gap,
            _ => Sent::Frame,
        };
        let sent = (first..first + moments).map(|n| (n, pick(dice))).collect();
        Self { sent }
    }

    fn frames(&self) -> BTreeSet<usize> {
        let frames = self.sent.iter().filter(|(_, sent)| *sent == Sent::Frame);
        frames.map(|(n, _)| *n).collect()
    }

    /// Sends it all, from a thread of its own as cameras do. Whether it got to the end.
    fn feed(&self, pad: gst::Pad, pictures: Vec<gst::Memory>) -> JoinHandle<bool> {
        let sent = self.sent.clone();
        std::thread::spawn(move || {
            for (n, sent) in sent {
                let time = FRAME * n as u64;
                let well = match sent {
                    Sent::Nothing => true,
                    Sent::Gap => {
                        pad.push_event(gst::event::Gap::builder(time).duration(FRAME).build())
                    }
                    Sent::Frame => {
                        let mut buffer = gst::Buffer::new();
                        let b = buffer.get_mut().unwrap();
                        b.append_memory(pictures[n % pictures.len()].clone());
                        b.set_pts(time);
                        b.set_duration(FRAME);
                        pad.push(buffer).is_ok()
                    }
                };
                if !well {
                    return false;
                }
            }
            pad.push_event(gst::event::Eos::new())
        })
    }
}

struct Stage {
    element: gst::Element,
    harnesses: [Harness; 3],
    pads: [gst::Pad; 3],
    pictures: [Vec<gst::Memory>; 3],
}

impl Stage {
    fn new(element: gst::Element) -> Self {
        let harnesses = [("ultrawide", Some("src")), ("wide", None), ("tele", None)];
        let harnesses = harnesses.map(|(sink, source)| {
            let mut harness = Harness::with_element(&element, Some(sink), source);
            harness.set_live(false);
            harness.set_src_caps(caps_of(SIZE, FRAME));
            harness
        });
        let pads = [0, 1, 2].map(|camera: usize| harnesses[camera].srcpad().unwrap().clone());
        let pictures = [ULTRAWIDE, WIDE, TELE].map(|camera| {
            let memory = |n| gst::Memory::from_slice(picture_of(camera, n, SIZE));
            (0..5).map(memory).collect()
        });
        Self {
            element,
            harnesses,
            pads,
            pictures,
        }
    }

    /// Seeks: what is under way is forgotten, and a new segment begins at the moment `n`.
    fn flush(&self, n: usize) {
        let seqnum = gst::Seqnum::next();
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(FRAME * n as u64);
        segment.set_time(FRAME * n as u64);
        let start = gst::event::FlushStart::builder().seqnum(seqnum).build();
        let stop = gst::event::FlushStop::builder(true).seqnum(seqnum).build();
        let segment = gst::event::Segment::builder(&segment)
            .seqnum(seqnum)
            .build();
        for event in [start, stop, segment] {
            for pad in &self.pads {
                pad.push_event(event.clone());
            }
        }
    }

    fn pull_all(&mut self) -> Vec<gst::Buffer> {
        std::iter::from_fn(|| self.harnesses[0].try_pull()).collect()
    }
}

/// Checks that the frames are those that were sent, in order, from the first on. Those behind may be
/// missing.
#[track_caller]
fn check(out: &[gst::Buffer], ultrawide: &BTreeSet<usize>) {
    let sent = ultrawide.iter().take(out.len());
    let number =
        |buffer: &gst::Buffer| (buffer.pts().unwrap() / FRAME.nseconds()).nseconds() as usize;
    let came: Vec<_> = out.iter().map(number).collect();
    assert_eq!(came, sent.copied().collect::<Vec<_>>());
    for buffer in out {
        assert_eq!(told_of(buffer).get("enlarged"), Ok(true));
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "figures of a long run")]
fn nothing_is_lost_and_memory_is_flat_whatever_happens() {
    let asked = std::env::var("REFVSR_SOAK_FRAMES").ok();
    let wanted: usize = asked.map_or(600, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let element = with_lookahead(2);
    element.set_property("model-file", quick_model(folder.path()));
    element.set_property_from_str("on-missing-reference", "self");
    let mut stage = Stage::new(element);
    let mut dice = Dice(SEED);
    let (mut out, mut sections, mut cut_short) = (0, 0, 0);
    let mut settled = None;
    while out < wanted {
        let (first, moments) = (dice.below(1000) as usize, 5 + dice.below(120) as usize);
        stage.flush(first);
        stage.pull_all();
        let missing_before = stat(&stage.element, "missing-references");
        let parts = [(); 3].map(|()| Part::new(&mut dice, first, moments));
        let [ultrawide, wide, tele] = [0, 1, 2].map(|camera: usize| parts[camera].frames());
        let feeds = [0, 1, 2].map(|camera: usize| {
            parts[camera].feed(stage.pads[camera].clone(), stage.pictures[camera].clone())
        });
        let ends_early = dice.below(3) == 0;
        if ends_early {
            std::thread::sleep(Duration::from_millis(dice.below(500)));
            let before = stage.pull_all();
            check(&before, &ultrawide);
            out += before.len();
            stage.flush(first);
            cut_short += 1;
        }
        let well = feeds.map(|feed| feed.join().unwrap());
        if !ends_early {
            assert!(well[0], "the ultra-wide camera was told to stop");
            let frames = ultrawide.len();
            let mut all = vec![];
            eventually("the section's end", || {
                all.extend(stage.pull_all());
                all.len() >= frames
            });
            check(&all, &ultrawide);
            let missing: usize = [wide, tele]
                .iter()
                .map(|frames| ultrawide.difference(frames).count())
                .sum();
            let counted = stat(&stage.element, "missing-references") - missing_before;
            assert_eq!(counted, missing as u64);
            out += all.len();
        }
        sections += 1;
        if settled.is_none() && out >= wanted / 5 {
            settled = Some(resident());
        }
    }
    let (before, after) = (settled.unwrap(), resident());
    let state = stat(&stage.element, "frames-out");
    println!(
        "{out} frames in {sections} sections, {cut_short} cut short by a seek; \
         {} MB resident after a fifth, {} MB at the end; frames-out {state}",
        before >> 20,
        after >> 20
    );
    assert!(state >= out as u64);
    assert!(after < before + (20 << 20), "{before} to {after} bytes");
}
