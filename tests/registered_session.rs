//! The registered variant in a session, and as a model file.

mod common;
mod rig;

use common::{assert_close, fill, frames, tensors};
use refvsr::{
    Error, ModelConfig, Network, Precision, Received, Session, SessionOptions, Triplet,
    checkpoint::{Checkpoint, save},
    config::{FLOW_LEVELS, Recurrence, Variant},
    net::{
        footage::Footage,
        registered::{
            Followers, KeptFeature, Moment, RegisteredVsr,
            registration::{TELE_ZOOMS, WIDE_ZOOMS},
        },
    },
};
use rig::{Rig, give_flow, leaves};
use std::path::Path;
use tch::{Device, Kind, Tensor};

fn config(channels: i64, blocks: i64) -> ModelConfig {
    ModelConfig {
        variant: Variant::Registered,
        mid_channels: channels,
        num_blocks: blocks,
        frame_num: 3,
        scale: 4,
        hd: false,
        reset_interval: None,
        recurrence: Recurrence::Clean,
        flow_levels: FLOW_LEVELS,
        first_looks: 1,
        recorded: false,
    }
}

/// Generated weights, of which the fusions add something, and a flow network that knows its trade.
fn network() -> Network {
    let network = Network::new(config(8, 1), Device::Cpu).unwrap();
    fill(network.weights());
    give_flow(network.weights());
    network
}

fn exact(network: &Network) -> SessionOptions {
    SessionOptions {
        precision: Precision::Fp32,
        backward_group: Some(1),
        ..Session::options_of(network)
    }
}

/// Four moments: a camera that pans, a wide one that is missing once, a tele one that comes late.
fn clip() -> Vec<(Tensor, Option<Tensor>, Option<Tensor>)> {
    let picture = leaves("panning", 420, 720);
    let rig = |zoom: f64| Rig {
        zoom,
        degrees: 0.8,
        shift: (2.0, -1.5),
        parallax: 1.0,
        another_look: true,
    };
    (0..4)
        .map(|t| {
            let seen = picture.narrow(2, 3 * t, 400).narrow(3, 7 * t, 640);
            let wide = rig(2.05).film("panning", &seen);
            let tele = rig(4.0).film("panning, tele", &seen);
            (
                wide.frame,
                (t != 1).then_some(wide.reference),
                (t > 1).then_some(tele.reference),
            )
        })
        .collect()
}

fn streamed(
    session: &mut Session,
    clip: &[(Tensor, Option<Tensor>, Option<Tensor>)],
) -> Vec<Tensor> {
    let mut out = vec![];
    for (ultrawide, wide, tele) in clip {
        let copy = |t: &Option<Tensor>| t.as_ref().map(Tensor::shallow_clone);
        session
            .send(Triplet {
                ultrawide: ultrawide.shallow_clone(),
                wide: copy(wide),
                tele: copy(tele),
            })
            .unwrap();
        while let Some(frame) = session.receive().unwrap().frame() {
            out.push(frame);
        }
    }
    session.drain();
    while let Some(frame) = session.receive().unwrap().frame() {
        out.push(frame);
    }
    out
}

type Clip = Vec<(Tensor, Option<Tensor>, Option<Tensor>)>;

/// The plain form's outputs with windows of `m` frames to both sides, and what it then knows of the cameras.
fn plain_outputs(net: &RegisteredVsr, clip: &Clip, m: usize) -> (Vec<Tensor>, Followers) {
    let moments: Vec<Moment<'_>> = clip
        .iter()
        .map(|(ultrawide, wide, tele)| Moment {
            ultrawide,
            wide: wide.as_ref(),
            tele: tele.as_ref(),
        })
        .collect();
    let mut followers = Followers::new(WIDE_ZOOMS, TELE_ZOOMS);
    let mut kept: Option<KeptFeature> = None;
    let mut outputs = vec![];
    for n in 0..clip.len() {
        let (start, end) = (n.saturating_sub(m), (n + m + 1).min(clip.len()));
        let out;
        let next;
        (out, next, followers) = net
            .forward(&moments[start..end], n - start, kept.as_ref(), &followers)
            .unwrap();
        kept = Some(next);
        outputs.push(out.clamp(0.0, 1.0));
    }
    (outputs, followers)
}

#[test]
fn a_session_is_the_plain_form_bit_for_bit() {
    let clip = clip();
    let mut plain = network();
    plain.freeze();
    let net = plain.registered().unwrap();
    // Windows of three, and whole clips from one shared backward run.
    for (m, group) in [(1usize, 1usize), (3, 4)] {
        let (expected, followers) = plain_outputs(net, &clip, m);
        let (wide, tele) = (
            followers.wide.placement().unwrap(),
            followers.tele.placement().unwrap(),
        );
        assert!(wide.is_some() && tele.is_some(), "{wide:?} {tele:?}");

        let network = network();
        let options = SessionOptions {
            look_ahead: Some(m),
            backward_group: Some(group),
            ..exact(&network)
        };
        let mut session = Session::new(network, options).unwrap();
        // A second clip knows nothing of the first.
        for round in 0..2 {
            let out = streamed(&mut session, &clip);
            assert_eq!(out.len(), clip.len());
            for (n, (out, expected)) in out.iter().zip(&expected).enumerate() {
                let (off, _) = common::difference(out, expected);
                assert!(
                    out.equal(expected),
                    "m {m}, clip {round}, frame {n}: off by {off:e}"
                );
            }
            assert!(session.memory() > session.network().weight_bytes());
            session.reset();
        }
    }
}

/// Each kind of footage goes through its own trunks, all else alike.
#[test]
fn recorded_footage_has_trunks_of_its_own() {
    let network = || {
        let config = ModelConfig {
            recorded: true,
            ..config(8, 1)
        };
        let mut network = Network::new(config, Device::Cpu).unwrap();
        fill(network.weights());
        give_flow(network.weights());
        network.freeze();
        network
    };
    let clip: Clip = clip().into_iter().take(2).collect();
    let plain = network();
    let [clean, recorded] = [Footage::Clean, Footage::Recorded].map(|footage| {
        let net = plain.registered_for(footage).unwrap();
        plain_outputs(net, &clip, 1).0
    });
    assert!(!clean[0].equal(&recorded[0]));
    let options = SessionOptions {
        look_ahead: Some(1),
        ..exact(&plain)
    };
    let mut session = Session::new(network(), options).unwrap();
    for (footage, expected) in [
        (Footage::Clean, &clean),
        (Footage::Recorded, &recorded),
        (Footage::Clean, &clean),
    ] {
        session.set_footage(footage);
        for (out, expected) in streamed(&mut session, &clip).iter().zip(expected) {
            assert!(out.equal(expected), "{footage:?}");
        }
        session.reset();
    }
    // A clip under way goes on as what it began as.
    let moment = |n: usize| Triplet {
        ultrawide: clip[n].0.shallow_clone(),
        wide: clip[n].1.as_ref().map(Tensor::shallow_clone),
        tele: None,
    };
    session.send(moment(0)).unwrap();
    session.set_footage(Footage::Recorded);
    session.send(moment(1)).unwrap();
    let out = session.receive().unwrap().frame().unwrap();
    assert!(out.equal(&clean[0]));
    // Files keep both sets.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.safetensors");
    save(&plain, &path, Kind::Float).unwrap();
    let back = Network::load(&path, Device::Cpu).unwrap();
    let net = back.registered_for(Footage::Recorded).unwrap();
    let out = plain_outputs(net, &clip, 1).0;
    assert_close("read back", &out[1], &recorded[1], 1e-6);
}

/// Detail of the wide camera is in the frames that come after, also where they have none of their own: an
/// untrained carrier gives them as they were.
#[test]
fn detail_is_carried_on_to_later_frames() {
    let last_frame = |carries: bool, wide: bool| {
        let network = network();
        let gain = if carries { 100.0 } else { 0.0 };
        for (name, weight) in network.weights().variables() {
            if name.starts_with("wide_carrier.") {
                let _ = tch::no_grad(|| weight.shallow_clone().g_mul_scalar_(gain));
            }
        }
        let options = exact(&network);
        let mut session = Session::new(network, options).unwrap();
        let mut clip = clip();
        for (n, (_, of_wide, of_tele)) in clip.iter_mut().enumerate() {
            *of_tele = None;
            if !wide || n == 3 {
                *of_wide = None;
            }
        }
        streamed(&mut session, &clip).pop().unwrap()
    };
    let off = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
    let alone = last_frame(false, false);
    assert_eq!(
        off(&last_frame(true, false), &alone),
        0.0,
        "nothing to carry"
    );
    assert_eq!(
        off(&last_frame(false, true), &alone),
        0.0,
        "nothing carries"
    );
    let carried = off(&last_frame(true, true), &alone);
    assert!(carried > 1e-4, "{carried:e}");
}

/// The golden network under BasicVSR's names, as its own file would hold it.
fn basicvsr_file(folder: &Path) -> std::path::PathBuf {
    let network = Network::new(config(64, 2), Device::Cpu).unwrap();
    fill(network.weights());
    let mut tensors: Vec<(String, Tensor)> = network
        .weights()
        .variables()
        .into_iter()
        .filter(|(name, _)| !name.contains("_fusion.") && !name.contains("_carrier."))
        .map(|(name, t)| {
            let gain = if name == "conv_last.weight" {
                50.0
            } else {
                1.0
            };
            (name, t.detach() * gain)
        })
        .collect();
    for constant in ["spynet.mean", "spynet.std"] {
        let three = Tensor::ones([1, 3, 1, 1], (Kind::Float, Device::Cpu));
        tensors.push((constant.into(), three));
    }
    let file = folder.join("basicvsr.safetensors");
    Tensor::write_safetensors(&tensors, &file).unwrap();
    file
}

#[test]
fn basicvsrs_own_file_is_known_and_played_as_basicvsr() {
    let folder = tempfile::tempdir().unwrap();
    let file = basicvsr_file(folder.path());
    let checkpoint = Checkpoint::read(&file).unwrap();
    let expected = ModelConfig {
        frame_num: 7,
        ..config(64, 2)
    };
    assert_eq!(checkpoint.config, expected);
    let network = Network::from_checkpoint(&checkpoint, Device::Cpu).unwrap();
    assert!(checkpoint.unused(&network).is_empty());

    let data = tensors("basicvsr.safetensors");
    let clip: Vec<_> = frames(&data["in"])
        .into_iter()
        .map(|frame| (frame.shallow_clone(), Some(frame), None))
        .collect();
    let options = exact(&network);
    let mut session = Session::new(network, options).unwrap();
    for (n, out) in streamed(&mut session, &clip).iter().enumerate() {
        let expected = data["out"].narrow(0, n as i64, 1).clamp(0.0, 1.0);
        assert_close(&format!("frame {n}"), out, &expected, 1e-5);
    }
}

#[test]
fn a_saved_model_comes_back_and_half_a_fusion_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    let network = network();
    save(&network, &file, Kind::Float).unwrap();
    let again = Network::load(&file, Device::Cpu).unwrap();
    assert_eq!(again.config(), network.config());
    for (name, t) in network.weights().variables() {
        assert!(again.weights().variables()[&name].equal(&t), "{name}");
    }

    // A carrier of zeros takes no room in the file, and comes back.
    let mut variables = network.weights().variables();
    for name in ["wide_carrier.weight", "wide_carrier.bias"] {
        let _ = tch::no_grad(|| variables.get_mut(name).unwrap().zero_());
    }
    let smaller = folder.path().join("smaller.safetensors");
    save(&network, &smaller, Kind::Float).unwrap();
    let names: Vec<String> = Tensor::read_safetensors(&smaller)
        .unwrap()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names.len() + 2, variables.len(), "{names:?}");
    let again = Network::load(&smaller, Device::Cpu).unwrap();
    for (name, t) in network.weights().variables() {
        let same = again.weights().variables()[&name].equal(&t);
        assert!(same, "{name}");
    }

    let mut some: Vec<(String, Tensor)> = network
        .weights()
        .variables()
        .into_iter()
        .map(|(name, t)| (name, t.detach()))
        .collect();
    some.retain(|(name, _)| name != "wide_fusion.conv2.weight");
    let half = folder.path().join("half.safetensors");
    Tensor::write_safetensors(&some, &half).unwrap();
    let error = Network::load(&half, Device::Cpu).unwrap_err().to_string();
    assert!(
        error.contains("half.safetensors") && error.contains("wide_fusion.conv2.weight"),
        "{error}"
    );
}

#[test]
fn a_zoom_of_zero_is_for_networks_that_find_it() {
    let registered = network();
    let options = Session::options_of(&registered);
    assert_eq!((options.wide_zoom, options.tele_zoom), (0.0, 0.0));
    Session::new(registered, options).unwrap();
    let matching = Network::new(common::config(4, false), Device::Cpu).unwrap();
    let options = SessionOptions {
        wide_zoom: 0.0,
        ..Session::options_of(&matching)
    };
    let error = Session::new(matching, options).unwrap_err().to_string();
    assert!(error.contains("wide zoom is 0"), "{error}");
}

#[test]
fn the_confidence_map_shows_the_fields() {
    let network = network();
    let (ultrawide, wide, _) = clip().swap_remove(0);
    let wide = wide.unwrap();
    let options = exact(&network);
    let mut session = Session::new(network, options).unwrap();
    session
        .send(Triplet {
            ultrawide: ultrawide.shallow_clone(),
            wide: Some(wide.shallow_clone()),
            tele: None,
        })
        .unwrap();
    assert!(session.confidence_map().unwrap().is_none());
    session.drain();
    let _ = session.receive().unwrap().frame().unwrap();
    let map = session.confidence_map().unwrap().unwrap();
    let (h, w) = (ultrawide.size()[2], ultrawide.size()[3]);
    assert_eq!(map.size(), [1, 1, h, w]);
    let mean = |top, left, height, width| {
        let part = map.narrow(2, top, height).narrow(3, left, width);
        part.mean(Kind::Float).double_value(&[])
    };
    assert!(mean(h * 3 / 8, w * 3 / 8, h / 4, w / 4) > 0.4);
    assert_eq!(mean(0, 0, h, w / 8), 0.0, "outside of the field");
    assert!(
        session.confidence().unwrap().is_none(),
        "nothing is matched"
    );
    // The plain form, which sees that frame alone.
    let plain = session.network().confidence(refvsr::net::Frame {
        lr: &session.network().pad(&ultrawide).unwrap(),
        references: &[&session.network().pad(&wide).unwrap()],
    });
    let plain = plain.unwrap().narrow(2, 0, h).narrow(3, 0, w);
    assert_close("confidence", &map, &plain, 1e-5);
}

#[test]
fn a_session_begins_with_the_cameras_of_another() {
    let network = network();
    let options = exact(&network);
    let mut first = Session::new(network, options).unwrap();
    let clip = clip();
    let (mut second, mut told_otherwise) = (first.sibling(), first.sibling());
    told_otherwise.set_zooms(2.0, 0.0).unwrap();
    streamed(&mut first, &clip);
    let (wide, tele) = first.sightings().unwrap();
    assert!(wide.is_some() && tele.is_some());

    told_otherwise.begin_with_cameras_of(&mut first);
    assert_eq!(
        told_otherwise.sightings().unwrap(),
        (None, None),
        "other zooms"
    );
    second.begin_with_cameras_of(&mut first);
    assert_eq!(second.sightings().unwrap(), (wide, tele));
    // Of a plain frame nothing is found, but the cameras are known.
    let plain = Triplet {
        ultrawide: clip[0].0.ones_like() * 0.5,
        wide: clip[0].1.as_ref().map(|wide| wide.ones_like() * 0.5),
        tele: None,
    };
    second.send(plain).unwrap();
    second.drain();
    let _ = second.receive().unwrap().frame().unwrap();
    let sighting = second.sightings().unwrap().0.unwrap();
    assert!(!sighting.holds && !sighting.lost, "{sighting:?}");
    assert_eq!(sighting.placement, wide.unwrap().placement);
    second.reset();
    assert_eq!(second.sightings().unwrap(), (None, None), "a new clip");
}

#[test]
fn a_frame_that_was_given_up_changes_no_sighting() {
    let network = network();
    let options = exact(&network);
    let mut session = Session::new(network, options).unwrap();
    let clip = clip();
    let mut last = (None, None);
    for (ultrawide, wide, tele) in &clip {
        let copy = |t: &Option<Tensor>| t.as_ref().map(Tensor::shallow_clone);
        session
            .send(Triplet {
                ultrawide: ultrawide.shallow_clone(),
                wide: copy(wide),
                tele: copy(tele),
            })
            .unwrap();
        let mut allowed = std::time::Duration::ZERO;
        loop {
            match session.receive_until(std::time::Instant::now() + allowed) {
                Err(Error::OutOfTime) => assert_eq!(session.sightings().unwrap(), last),
                Ok(Received::NeedsMore) => break,
                frame => {
                    assert!(frame.unwrap().is_frame());
                    last = session.sightings().unwrap();
                }
            }
            allowed = allowed * 3 / 2 + std::time::Duration::from_millis(1);
        }
    }
    assert!(last.0.is_some());
}

#[test]
fn references_of_absurd_sizes_are_refused_when_they_are_sent() {
    let network = network();
    let options = exact(&network);
    let mut session = Session::new(network, options).unwrap();
    let frame = |h: i64, w: i64| Tensor::ones([1, 3, h, w], (Kind::Float, Device::Cpu)) * 0.5;
    let triplet = |wide: Option<Tensor>, tele: Option<Tensor>| Triplet {
        ultrawide: frame(54, 96),
        wide,
        tele,
    };
    // One that needs no resizing to be absurd: its width is right.
    for (h, w) in [(32767, 1), (9000, 2), (32767, 148)] {
        for (sent, named, zoom) in [
            (triplet(Some(frame(h, w)), None), "wide frame", "1.3"),
            (triplet(None, Some(frame(h, w))), "tele frame", "3.2"),
        ] {
            let text = session.send(sent).unwrap_err().to_string();
            let given = format!("{named}: {w}x{h} at zoom {zoom}, which makes ");
            assert!(
                text.starts_with(&given) && text.contains("32 times"),
                "{text}"
            );
        }
    }
    // Flat ones are no trouble, and those that a phone films neither, upright or across.
    for (h, w) in [(1, 32767), (1, 1), (192, 108), (1080, 1920)] {
        session
            .send(triplet(Some(frame(h, w)), Some(frame(h, w))))
            .unwrap();
        session.drain();
        assert!(session.receive().unwrap().is_frame(), "{w}x{h}");
        session.reset();
    }
    // What becomes absurd by a zoom that is set later does not hold, and ends nothing.
    session
        .send(triplet(Some(frame(1080, 1920)), None))
        .unwrap();
    session.set_zooms(0.1, 0.0).unwrap();
    session.drain();
    assert!(session.receive().unwrap().is_frame());
    let refused = triplet(Some(frame(1080, 1920)), None);
    session.reset();
    let text = session.send(refused).unwrap_err().to_string();
    assert!(text.contains("1920x1080 at zoom 0.089"), "{text}");
}

#[test]
fn frames_that_are_too_small_for_references_are_told() {
    let network = network();
    let options = exact(&network);
    let mut session = Session::new(network, options).unwrap();
    let frame = |h: i64, w: i64| Tensor::ones([1, 3, h, w], (Kind::Float, Device::Cpu)) * 0.5;
    let triplet = |h: i64, w: i64, wide: bool, tele: bool| Triplet {
        ultrawide: frame(h, w),
        wide: wide.then(|| frame(54, 96)),
        tele: tele.then(|| frame(54, 96)),
    };
    // No frame of up to 32 pixels a side is registered, nor a tele camera that covers a dozen of them.
    for (h, w, wide, tele, told) in [
        (32, 48, true, false, Some("wide frame")),
        (27, 48, true, true, Some("wide frame")),
        (45, 80, true, true, Some("tele frame")),
        (45, 80, true, false, None),
        (32, 48, false, false, None),
        (90, 160, true, true, None),
    ] {
        session.reset();
        session.send(triplet(h, w, wide, tele)).unwrap();
        let text = session.unseen().map(|unseen| unseen.to_string());
        let Some(what) = told else {
            assert_eq!(text, None, "{w}x{h}");
            continue;
        };
        let zooms = if what == "wide frame" {
            "1.3 to 3.4"
        } else {
            "3.2 to 11.0"
        };
        let start = format!("{w}x{h} frames are too small to find the {what} (96x54) in them");
        let text = text.unwrap();
        assert!(text.starts_with(&start) && text.ends_with(zooms), "{text}");
    }
    // It is not known before there is a frame to see.
    session.reset();
    assert!(session.unseen().is_none());
}
