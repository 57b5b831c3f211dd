//! What the element tells: errors, progress, latency, statistics, quality of service.

mod common;
use common::*;
use gst::prelude::*;
use std::time::{Duration, Instant};

fn with_bus(element: &gst::Element) -> gst::Bus {
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    bus
}

#[test]
fn a_bad_model_file_is_named_and_a_good_one_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.safetensors");
    std::fs::write(&garbage, b"this is no model").unwrap();
    let cut = folder.path().join("cut.pytorch");
    let whole = std::fs::read(golden("official_format.pytorch")).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let absent = folder.path().join("absent.pt");

    let element = element();
    let bus = with_bus(&element);
    for bad in [&garbage, &cut, &absent] {
        let name = bad.to_str().unwrap();
        element.set_property("model-file", name);
        let before = Instant::now();
        assert!(element.set_state(gst::State::Playing).is_err());
        let text = error_on(&bus);
        assert!(text.contains(name), "{text}");
        assert!(before.elapsed() < Duration::from(PATIENCE));
        element.set_state(gst::State::Null).unwrap();
    }
    element.set_property("model-file", model());
    let mut rig = Rig::new(element);
    let out = rig.run(frames(ULTRAWIDE, 0..3), frames(WIDE, 0..3), vec![]);
    assert_pictures(&out, &expected(&together(0..3), 1));
}

#[test]
fn an_absent_device_and_nonsense_are_clear_errors() {
    // No machine has so many, so this holds with CUDA and without.
    for (device, words) in [
        ("cuda:99", &["cuda:99", "CUDA"][..]),
        ("abacus", &["abacus", "auto, cpu, cuda, cuda:N"]),
    ] {
        let element = element();
        let bus = with_bus(&element);
        element.set_property("device", device);
        assert!(element.set_state(gst::State::Paused).is_err());
        let text = error_on(&bus);
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        element.set_state(gst::State::Null).unwrap();
    }
    if !tch::Cuda::is_available() {
        let element = element();
        let bus = with_bus(&element);
        element.set_property("device", "cuda");
        assert!(element.set_state(gst::State::Paused).is_err());
        assert!(error_on(&bus).contains("CUDA"));
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn the_latency_is_the_look_ahead_and_the_processing_deadline() {
    for (look_ahead, live) in [(0, true), (3, true), (3, false)] {
        let element = with_lookahead(look_ahead);
        element.set_property("processing-deadline", 7_000_000_u64);
        let mut rig = Rig::new(element);
        rig.ultrawide.set_live(live);
        rig.ultrawide.push(frame(ULTRAWIDE, 0)).unwrap();
        rig.wide().push(frame(WIDE, 0)).unwrap();
        eventually("the first frame", || rig.stat("frames-in") == 1);
        assert_eq!(
            rig.ultrawide.query_latency(),
            Some(FRAME * look_ahead as u64 + gst::ClockTime::from_mseconds(7))
        );
        rig.element.set_property("processing-deadline", 0_u64);
        assert_eq!(
            rig.ultrawide.query_latency(),
            Some(FRAME * look_ahead as u64)
        );
    }
}

#[test]
fn the_latency_of_a_varying_frame_rate_follows_from_its_limit_or_the_first_frame() {
    for (limit, duration) in [(Some(gst::Fraction::new(50, 1)), FRAME / 2), (None, FRAME)] {
        let mut caps = caps();
        caps.make_mut().set("framerate", gst::Fraction::new(0, 1));
        if let Some(limit) = limit {
            caps.make_mut().set("max-framerate", limit);
        }
        let element = with_lookahead(3);
        element.set_property("processing-deadline", 0_u64);
        let mut rig = Rig::new(element);
        rig.ultrawide.set_src_caps(caps);
        rig.ultrawide.push(frame(ULTRAWIDE, 0)).unwrap();
        rig.wide().push(frame(WIDE, 0)).unwrap();
        eventually("the first frame", || rig.stat("frames-in") == 1);
        assert_eq!(
            rig.ultrawide.query_latency(),
            Some(duration * 3),
            "limit {limit:?}"
        );
    }
}

#[test]
fn a_frame_counts_for_a_frame_of_latency_until_measured() {
    let mut rig = Rig::new(with_lookahead(3));
    rig.ultrawide.push(frame(ULTRAWIDE, 0)).unwrap();
    rig.wide().push(frame(WIDE, 0)).unwrap();
    eventually("the first frame", || rig.stat("frames-in") == 1);
    assert_eq!(rig.ultrawide.query_latency(), Some(FRAME * 4));
}

#[test]
fn frames_without_rate_and_duration_tell_the_latency_by_their_distance() {
    let element = with_lookahead(3);
    element.set_property("processing-deadline", 0_u64);
    let mut rig = Rig::new(element);
    let mut caps = caps();
    caps.make_mut().set("framerate", gst::Fraction::new(0, 1));
    rig.ultrawide.set_src_caps(caps);
    for n in 0..2 {
        let mut untimed = frame(ULTRAWIDE, n);
        untimed
            .get_mut()
            .unwrap()
            .set_duration(gst::ClockTime::NONE);
        rig.ultrawide.push(untimed).unwrap();
        rig.wide().push(frame(WIDE, n)).unwrap();
    }
    eventually("two frames", || rig.stat("frames-in") == 2);
    assert_eq!(rig.ultrawide.query_latency(), Some(FRAME * 3));
}

#[test]
fn loading_the_model_is_reported() {
    let element = element();
    element.set_property_from_str("precision", "fp32-fast");
    let bus = with_bus(&element);
    element.set_state(gst::State::Paused).unwrap();
    let mut texts = vec![];
    while let Some(message) = bus.pop_filtered(&[gst::MessageType::Progress]) {
        if let gst::MessageView::Progress(progress) = message.view() {
            let (kind, code, text) = progress.get();
            assert_eq!(code, "load-model");
            texts.push((kind, text.to_owned()));
        }
    }
    let kinds: Vec<_> = texts.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            gst::ProgressType::Start,
            gst::ProgressType::Continue,
            gst::ProgressType::Complete
        ]
    );
    assert!(texts[0].1.contains(&model()));
    assert!(
        texts[2]
            .1
            .contains("RefVSR, 8 channels, 2 blocks, fp32-fast on cpu"),
        "{texts:?}"
    );
    let stats = element.property::<gst::Structure>("stats");
    assert_eq!(
        stats.get::<&str>("model"),
        Ok("RefVSR, 8 channels, 2 blocks, fp32-fast on cpu")
    );
    element.set_state(gst::State::Null).unwrap();
}

/// What PROGRESS messages there were, up to the end of the loading.
fn loading(bus: &gst::Bus) -> Vec<(gst::ProgressType, String)> {
    let mut told = vec![];
    while !told.last().is_some_and(|(kind, _)| {
        matches!(kind, gst::ProgressType::Complete | gst::ProgressType::Error)
    }) {
        let message = wait_for(bus, &[gst::MessageType::Progress]);
        if let gst::MessageView::Progress(progress) = message.view() {
            let (kind, _, text) = progress.get();
            told.push((kind, text.to_owned()));
        }
    }
    told
}

#[test]
fn an_application_in_ready_sees_the_model_loaded_and_then_plays_at_once() {
    let element = element();
    let bus = with_bus(&element);
    element.set_state(gst::State::Ready).unwrap();
    assert_eq!(loading(&bus).last().unwrap().0, gst::ProgressType::Complete);
    element.set_state(gst::State::Paused).unwrap();
    let more = bus.pop_filtered(&[gst::MessageType::Progress]);
    assert!(more.is_none(), "{more:?}");
    // What is set in READY counts, whatever was loaded there.
    element.set_state(gst::State::Null).unwrap();
    element.set_state(gst::State::Ready).unwrap();
    element.set_property_from_str("precision", "fp32-fast");
    element.set_state(gst::State::Paused).unwrap();
    let stats = element.property::<gst::Structure>("stats");
    assert!(stats.get::<&str>("model").unwrap().contains("fp32-fast"));
    element.set_state(gst::State::Null).unwrap();
}

#[test]
fn the_network_is_set_up_for_a_size_while_the_model_loads() {
    let element = element();
    let bus = with_bus(&element);
    element.set_property("prewarm", "16x12");
    element.set_state(gst::State::Ready).unwrap();
    let told = loading(&bus);
    assert!(
        told.iter()
            .any(|(_, text)| text == "Setting the network up"),
        "{told:?}"
    );
    assert_eq!(told.last().unwrap().0, gst::ProgressType::Complete);
    element.set_state(gst::State::Null).unwrap();
    for nonsense in ["16", "16x", "0x12", "16x12x3", "40000x2"] {
        element.set_property("prewarm", nonsense);
        assert!(element.set_state(gst::State::Paused).is_err());
        let text = error_on(&bus);
        assert!(
            text.contains(nonsense) && text.contains("WIDTHxHEIGHT"),
            "{text}"
        );
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn a_model_with_information_refill_is_named_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = refvsr::ModelConfig {
        mid_channels: 8,
        num_blocks: 1,
        ..refvsr::ModelConfig::preset("refvsr-ir-mfid").unwrap()
    };
    let element = element();
    element.set_property("model-file", save_model(config, folder.path()));
    let bus = with_bus(&element);
    element.set_state(gst::State::Paused).unwrap();
    let message = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Progress]))
        .last()
        .unwrap();
    let gst::MessageView::Progress(progress) = message.view() else {
        unreachable!()
    };
    let (kind, _, text) = progress.get();
    assert_eq!(kind, gst::ProgressType::Complete);
    assert!(text.contains("RefVSR-IR, 8 channels, 1 blocks"), "{text}");
    element.set_state(gst::State::Null).unwrap();
}

#[test]
fn statistics_count() {
    let mut rig = Rig::new(element());
    rig.run(frames(ULTRAWIDE, 0..4), frames(WIDE, 0..2), vec![]);
    let counts = [
        "frames-in",
        "frames-out",
        "frames-dropped",
        "missing-references",
    ]
    .map(|name| rig.stat(name));
    assert_eq!(counts, [4, 4, 0, 2]);
    assert!(rig.stat("mean-latency") > 0 && rig.stat("last-latency") > 0);
    assert!(
        rig.stat("device-memory") > 1_000_000,
        "at least the weights"
    );
}

#[test]
fn late_frames_are_left_out_only_if_asked_for() {
    for drops in [false, true] {
        let element = element();
        if drops {
            element.set_property_from_str("overload", "drop");
        }
        let bus = with_bus(&element);
        let mut rig = Rig::new(element);
        let Rig {
            ultrawide, wide, ..
        } = &mut rig;
        let wide = wide.as_mut().unwrap();
        for n in 0..6 {
            if n == 2 {
                // The sink says of the frame at 0 that it came 50 ms too late: nothing before 140 ms can be in time.
                eventually("the first frame out", || ultrawide.buffers_in_queue() == 1);
                ultrawide.push_upstream_event(gst::event::Qos::new(
                    gst::QOSType::Underflow,
                    2.0,
                    50_000_000,
                    gst::ClockTime::ZERO,
                ));
            }
            wide.push(frame(WIDE, n)).unwrap();
            ultrawide.push(frame(ULTRAWIDE, n)).unwrap();
        }
        wide.push_event(gst::event::Eos::new());
        ultrawide.push_event(gst::event::Eos::new());
        let out = rig.until_eos();
        let all = expected(&together(0..6), 1);
        if drops {
            assert_pictures(&out, &[&all[..1], &all[4..]].concat());
            assert_eq!(rig.stat("frames-dropped"), 3);
            let message = wait_for(&bus, &[gst::MessageType::Qos]);
            let gst::MessageView::Qos(message) = message.view() else {
                unreachable!()
            };
            assert_eq!(message.get().3, Some(FRAME));
        } else {
            assert_pictures(&out, &all);
        }
    }
}

#[test]
fn too_small_a_buffer_is_an_error() {
    let element = element();
    let bus = with_bus(&element);
    let mut rig = Rig::new(element);
    rig.ultrawide
        .push(buffer(vec![0; 10], gst::ClockTime::ZERO, FRAME))
        .unwrap();
    rig.wide().push(frame(WIDE, 0)).unwrap();
    let text = error_on(&bus);
    assert!(
        text.contains("ultrawide") && text.contains("10 bytes"),
        "{text}"
    );
}

#[test]
fn downstream_that_takes_nothing_of_it_is_an_error() {
    let element = element();
    let bus = with_bus(&element);
    let mut rig = Rig::new(element);
    rig.ultrawide.set_sink_caps_str("video/x-raw,width=17");
    rig.ultrawide.push(frame(ULTRAWIDE, 0)).unwrap();
    rig.wide().push(frame(WIDE, 0)).unwrap();
    assert!(error_on(&bus).contains("17"));
}

#[test]
fn nothing_to_enlarge_is_an_error() {
    let pipeline = parse(&format!(
        "videotestsrc num-buffers=3 ! video/x-raw,format=RGB,width=32,height=24 ! r.wide refvsr name=r device=cpu model-file={} ! fakesink",
        model()
    ));
    let error = play(&pipeline).unwrap_err();
    assert!(error.contains("pad ultrawide"), "{error}");
}

#[test]
fn the_default_model_runs() {
    init();
    let element = gst::ElementFactory::make("refvsr")
        .property("device", "cpu")
        .property("lookahead", 1)
        .build()
        .unwrap();
    let mut rig = Rig::new(element);
    assert_times(
        &rig.run(frames(ULTRAWIDE, 0..2), frames(WIDE, 0..2), vec![]),
        0,
    );
}

#[test]
fn the_element_describes_itself() {
    let output = std::process::Command::new("gst-inspect-1.0")
        .arg("refvsr")
        .env("GST_PLUGIN_PATH", plugin_folder())
        .env(
            "GST_REGISTRY",
            std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("registry.bin"),
        )
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = text(&output.stdout);
    let properties = [
        "model-file",
        "device",
        "precision",
        "lookahead",
        "reset-interval",
        "use-tele",
        "pts-tolerance",
        "on-missing-reference",
        "overload",
        "model",
        "stats",
    ];
    for name in properties.into_iter().chain([
        "'ultrawide'",
        "'wide'",
        "'tele'",
        "GstRefVsrPrecision",
        "GstRefVsrMissingReference",
        "GstRefVsrModel",
        "GstRefVsrOverload",
    ]) {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
}

#[test]
fn what_downstream_says_of_late_frames_stays_in_the_element() {
    for drops in [false, true] {
        let element = element();
        if drops {
            element.set_property_from_str("overload", "drop");
        }
        let mut rig = Rig::new(element);
        rig.ultrawide.push(frame(ULTRAWIDE, 0)).unwrap();
        rig.wide().push(frame(WIDE, 0)).unwrap();
        eventually("the first frame", || rig.stat("frames-in") == 1);
        let late = gst::event::Qos::new(gst::QOSType::Underflow, 2.0, 1, gst::ClockTime::ZERO);
        assert!(rig.ultrawide.push_upstream_event(late));
        let events = std::iter::from_fn(|| rig.ultrawide.try_pull_upstream_event());
        assert!(
            events
                .into_iter()
                .all(|event| event.type_() != gst::EventType::Qos)
        );
    }
}

#[test]
fn frames_can_be_left_out_from_the_first_to_the_last() {
    for late in [false, true] {
        let element = with_lookahead(3);
        element.set_property_from_str("overload", "drop");
        let mut rig = Rig::new(element);
        push_and_wait(&mut rig, 0);
        if late {
            let by = gst::ClockTime::from_seconds(100).nseconds() as i64;
            let event =
                gst::event::Qos::new(gst::QOSType::Underflow, 2.0, by, gst::ClockTime::ZERO);
            rig.ultrawide.push_upstream_event(event);
        }
        for n in 1..6 {
            push_and_wait(&mut rig, n);
        }
        rig.wide().push_event(gst::event::Eos::new());
        rig.ultrawide.push_event(gst::event::Eos::new());
        assert_eq!(rig.until_eos().len(), if late { 0 } else { 6 });
        assert_eq!(rig.stat("frames-dropped"), if late { 6 } else { 0 });
    }
}

fn push_and_wait(rig: &mut Rig, n: usize) {
    rig.ultrawide.push(frame(ULTRAWIDE, n)).unwrap();
    rig.wide().push(frame(WIDE, n)).unwrap();
    eventually("the frame is taken", || {
        rig.stat("frames-in") == n as u64 + 1
    });
}

#[test]
fn every_frame_says_which_references_went_into_it() {
    let element = element();
    element.set_property_from_str("on-missing-reference", "self");
    let mut rig = Rig::new(element);
    rig.link_tele();
    let out = rig.run(
        frames(ULTRAWIDE, 0..4),
        frames(WIDE, 0..2),
        frames(TELE, 1..4),
    );
    for (n, buffer) in out.iter().enumerate() {
        let told = told_of(buffer);
        let flags = ["enlarged", "wide", "tele"].map(|name| told.get::<bool>(name).unwrap());
        assert_eq!(flags, [true, n < 2, n >= 1], "frame {n}: {told}");
        let confidence = told.get::<f64>("confidence").unwrap();
        assert!((0.0..=1.0).contains(&confidence), "frame {n}: {told}");
    }
    assert_eq!(out.len(), 4);
}
