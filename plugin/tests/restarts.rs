//! Where a clip starts anew within a stream: timestamps jump, or the scene changes.

mod common;
use common::*;
use gst::{ClockTime, prelude::*};
use refvsr::{
    Bundled, ModelConfig, Network,
    config::{Recurrence, Variant},
};

/// A camera's standing picture, and another scene's: four fields.
fn scene(camera: u64, other: bool) -> Vec<u8> {
    if !other {
        return picture(camera, 0);
    }
    let (w, h) = SIZE;
    let bright = |x: usize, y: usize| (x < w / 2) == (y < h / 2);
    let value = |at: usize| if bright(at % w, at / w) { 200 } else { 40 };
    (0..w * h).flat_map(|at| [value(at); 3]).collect()
}

/// Frames of a camera at these times, `of_one` of one scene and as many of the other in turn.
fn footage(camera: u64, times: &[ClockTime], of_one: usize) -> Vec<gst::Buffer> {
    let frame =
        |(n, time): (usize, &ClockTime)| buffer(scene(camera, n / of_one % 2 == 1), *time, FRAME);
    times.iter().enumerate().map(frame).collect()
}

fn moments(frames: usize, other: bool) -> Vec<Moment> {
    let wide = scene(WIDE, other);
    let moment = (scene(ULTRAWIDE, other), Some(wide), None);
    vec![moment; frames]
}

fn regular(frames: usize) -> Vec<ClockTime> {
    (0..frames as u64).map(|n| FRAME * n).collect()
}

struct Played {
    out: Vec<gst::Buffer>,
    told: Vec<gst::Structure>,
    restarts: u64,
    /// What was said of recurrence that ran away, and its count.
    runaways: (Vec<gst::Structure>, u64),
    /// What was said of the footage.
    footage: Vec<gst::Structure>,
}

fn play_clip(element: gst::Element, times: &[ClockTime], of_one: usize) -> Played {
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut rig = Rig::new(element);
    let [ultrawide, wide] = [ULTRAWIDE, WIDE].map(|camera| footage(camera, times, of_one));
    let out = rig.run(ultrawide, wide, vec![]);
    let elements = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Element]));
    let all: Vec<_> = elements
        .filter_map(|message| message.structure().map(ToOwned::to_owned))
        .collect();
    let named = |name: &str| {
        let these = all.iter().filter(|told| told.name() == name);
        these.cloned().collect::<Vec<_>>()
    };
    let (told, runaways) = (
        named("refvsr-clip-restarts"),
        named("refvsr-recurrence-restarted"),
    );
    Played {
        out,
        told,
        restarts: rig.stat("clips-restarted"),
        runaways: (runaways, rig.stat("recurrence-restarted")),
        footage: named("refvsr-footage"),
    }
}

#[test]
fn a_scene_cut_starts_a_new_clip() {
    let element = with_lookahead(2);
    element.set_property_from_str("scene-cut", "on");
    let played = play_clip(element, &regular(8), 5);
    let two_clips = [
        expected(&moments(5, false), 2),
        expected(&moments(3, true), 2),
    ];
    assert_pictures(&played.out, &two_clips.concat());
    assert_times(&played.out, 0);
    assert_eq!(played.restarts, 1);
    let [told] = &played.told[..] else {
        panic!("{:?}", played.told)
    };
    assert_eq!(told.get::<&str>("reason"), Ok("scene-cut"));
    assert_eq!(told.get::<ClockTime>("running-time"), Ok(FRAME * 5));
}

#[test]
fn a_stroboscope_floods_no_bus() {
    let element = with_lookahead(0);
    element.set_property_from_str("scene-cut", "on");
    let played = play_clip(element, &regular(30), 1);
    assert_eq!((played.out.len(), played.restarts), (30, 29));
    assert_eq!(played.told.len(), 2, "{:?}", played.told);
}

#[test]
fn models_as_published_go_on_over_cuts_unless_asked() {
    let both = [moments(3, false), moments(2, true)].concat();
    for asked in ["auto", "off"] {
        let element = element();
        element.set_property_from_str("scene-cut", asked);
        let played = play_clip(element, &regular(5), 3);
        assert_pictures(&played.out, &expected(&both, 1));
        assert_eq!((played.restarts, played.told.len()), (0, 0));
    }
}

#[test]
fn models_of_clean_recurrence_start_anew_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let config = ModelConfig {
        mid_channels: 2,
        num_blocks: 1,
        frame_num: 3,
        recurrence: Recurrence::Clean,
        ..ModelConfig::preset("refvsr-mfid").unwrap()
    };
    let element = element();
    element.set_property("model-file", save_model(config, folder.path()));
    let played = play_clip(element, &regular(5), 3);
    assert_eq!((played.out.len(), played.restarts), (5, 1));
}

/// A model with weights for both kinds of footage says which it takes; others say nothing.
#[test]
fn the_kind_of_footage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = ModelConfig {
        variant: Variant::Registered,
        mid_channels: 2,
        num_blocks: 1,
        frame_num: 3,
        recurrence: Recurrence::Clean,
        flow_levels: 1,
        first_looks: 1,
        recorded: true,
        ..ModelConfig::preset("refvsr-mfid").unwrap()
    };
    let model = save_model(config, folder.path());
    // The rig's frames are RGB.
    for (asked, kind) in [
        ("clean", "clean"),
        ("recorded", "recorded"),
        ("auto", "clean"),
    ] {
        let element = element();
        element.set_property("model-file", &model);
        element.set_property_from_str("footage", asked);
        let played = play_clip(element, &regular(3), 3);
        let footage = played.footage.iter();
        let told: Vec<_> = footage.map(|it| it.get::<&str>("kind").unwrap()).collect();
        assert_eq!(told, [kind], "{asked}");
    }
    assert!(play_clip(element(), &regular(3), 3).footage.is_empty());
    // Two clips of a decoder's format.
    let line = format!(
        "videotestsrc num-buffers=3 ! video/x-raw,format=I420,width=32,height=24 ! refvsr device=cpu model-file={model} ! fakesink"
    );
    let pipeline = gst::parse::launch(&line).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let mut kinds = vec![];
    for message in bus.iter_timed(ClockTime::from_seconds(60)) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => panic!("{error:?}"),
            gst::MessageView::Element(_) => {
                let told = message.structure().unwrap();
                if told.name() == "refvsr-footage" {
                    kinds.push(told.get::<String>("kind").unwrap());
                }
            }
            _ => (),
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(kinds, ["recorded"]);
}

#[test]
fn a_jump_of_timestamps_starts_a_new_clip() {
    let three_then_three = |jump: ClockTime| -> Vec<ClockTime> {
        let late = regular(3).into_iter().map(|time| time + FRAME * 3 + jump);
        regular(3).into_iter().chain(late).collect()
    };
    let times = three_then_three(ClockTime::from_mseconds(1200));
    let played = play_clip(element(), &times, 6);
    let clip = expected(&moments(3, false), 1);
    assert_pictures(&played.out, &[clip.clone(), clip].concat());
    assert_eq!(played.restarts, 1);
    assert_eq!(
        played.told[0].get::<&str>("reason"),
        Ok("timestamps"),
        "{:?}",
        played.told
    );

    let times = three_then_three(ClockTime::from_mseconds(900));
    let played = play_clip(element(), &times, 6);
    assert_pictures(&played.out, &expected(&moments(6, false), 1));
    assert_eq!(played.restarts, 0);
}

#[test]
fn recurrence_that_runs_away_begins_anew_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Bundled::Light.checkpoint().unwrap();
    let network = Network::from_checkpoint(&checkpoint, tch::Device::Cpu).unwrap();
    for (name, mut weight) in network.weights().variables() {
        if name.starts_with("forward_trunk.") {
            let _ = tch::no_grad(|| weight.g_mul_scalar_(1.3));
        }
    }
    let path = folder.path().join("runaway.safetensors");
    refvsr::checkpoint::save(&network, &path, tch::Kind::Float).unwrap();
    for (precision, saved) in [("fp32-fast", true), ("fp32", false)] {
        let element = element();
        element.set_property("model-file", path.to_str().unwrap());
        element.set_property_from_str("precision", precision);
        let played = play_clip(element, &regular(12), 12);
        assert_eq!(played.out.len(), 12);
        let (told, count) = played.runaways;
        assert_eq!(count > 0, saved, "{precision}");
        // Half a second of video: they are told once.
        assert_eq!(told.len(), usize::from(saved), "{precision}: {told:?}");
        if let Some(last) = told.last() {
            assert_eq!(last.name(), "refvsr-recurrence-restarted");
            assert_eq!(last.get::<u64>("count"), Ok(1));
            assert!(last.get::<ClockTime>("running-time").is_ok());
        }
    }
}
