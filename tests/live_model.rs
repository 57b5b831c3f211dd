//! The live variant: one branch, without look-ahead, in a session and as a model file.

mod common;
mod rig;

use common::fill;
use refvsr::{
    ModelConfig, Network, Precision, Received, Session, SessionOptions, Triplet,
    checkpoint::{Checkpoint, save},
    config::{Recurrence, Variant},
    net::{
        flow::SpyNet,
        registered::{
            Followers, Moment,
            registration::{TELE_ZOOMS, WIDE_ZOOMS},
        },
    },
};
use rig::{Rig, leaves};
use tch::{Device, Kind, Tensor};

fn config(variant: Variant) -> ModelConfig {
    ModelConfig {
        variant,
        mid_channels: 8,
        num_blocks: 1,
        frame_num: if variant == Variant::Live { 1 } else { 3 },
        scale: 4,
        hd: false,
        reset_interval: None,
        recurrence: Recurrence::Clean,
        flow_levels: if variant == Variant::Live { 0 } else { 1 },
        first_looks: 1,
        recorded: false,
    }
}

/// Generated weights, of which the fusion adds something.
fn network(variant: Variant) -> Network {
    let mut network = Network::new(config(variant), Device::Cpu).unwrap();
    fill(network.weights());
    network.freeze();
    network
}

fn session(network: Network) -> Session {
    let options = SessionOptions {
        precision: Precision::Fp32,
        backward_group: Some(1),
        ..Session::options_of(&network)
    };
    Session::new(network, options).unwrap()
}

/// A camera that pans, and a wide one that is missing once.
fn clip() -> Vec<Triplet> {
    let picture = leaves("viewfinder", 420, 720);
    let rig = Rig {
        zoom: 2.05,
        degrees: 0.8,
        shift: (2.0, -1.5),
        parallax: 1.0,
        another_look: true,
    };
    let moment = |t: i64| {
        let seen = picture.narrow(2, 3 * t, 400).narrow(3, 7 * t, 640);
        let film = rig.film("viewfinder", &seen);
        Triplet {
            ultrawide: film.frame,
            wide: (t != 1).then_some(film.reference),
            tele: None,
        }
    };
    (0..4).map(moment).collect()
}

/// What comes out of a session that nothing is kept back by.
fn at_once(session: &mut Session, moment: &Triplet) -> Tensor {
    session.send(moment.shallow_clone()).unwrap();
    session.receive().unwrap().frame().expect("no look-ahead")
}

#[test]
fn a_session_is_the_plain_form_bit_for_bit_and_waits_for_nothing() {
    let plain = network(Variant::Live);
    let net = plain.registered().unwrap();
    let mut live = session(network(Variant::Live));
    assert_eq!(live.look_ahead(), 0);
    let (mut kept, mut followers) = (None, Followers::new(WIDE_ZOOMS, TELE_ZOOMS));
    for (n, moment) in clip().iter().enumerate() {
        let shown = Moment {
            ultrawide: &moment.ultrawide,
            wide: moment.wide.as_ref(),
            tele: None,
        };
        let (out, next, known) = net.forward(&[shown], 0, kept.as_ref(), &followers).unwrap();
        assert!(
            at_once(&mut live, moment).equal(&out.clamp(0.0, 1.0)),
            "{n}"
        );
        (kept, followers) = (Some(next), known);
    }
    let seen = live.sightings().unwrap().0.unwrap();
    assert!((seen.placement.zoom - 2.05).abs() < 0.03, "{seen:?}");
    assert!(followers.wide.placement().unwrap().is_some());
}

#[test]
fn the_wide_camera_changes_its_field_alone() {
    let clip = clip();
    let with = at_once(&mut session(network(Variant::Live)), &clip[0]);
    let alone = Triplet {
        wide: None,
        ..clip[0].shallow_clone()
    };
    let without = at_once(&mut session(network(Variant::Live)), &alone);
    let change = (with - without)
        .abs()
        .sum_dim_intlist([0i64, 1].as_slice(), false, Kind::Float);
    let (h, w) = (change.size()[0], change.size()[1]);
    let inner = change
        .narrow(0, h * 3 / 8, h / 4)
        .narrow(1, w * 3 / 8, w / 4);
    assert!(inner.max().double_value(&[]) > 1e-4);
    let corner = change.narrow(0, 0, h / 8).narrow(1, 0, w / 8);
    assert_eq!(corner.max().double_value(&[]), 0.0);
}

#[test]
fn its_file_tells_what_it_is() {
    let network = network(Variant::Live);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.safetensors");
    save(&network, &path, Kind::Float).unwrap();
    assert_eq!(
        Checkpoint::read(&path).unwrap().config,
        config(Variant::Live)
    );
    // Its tensors alone say the same.
    let tensors: Vec<_> = network.weights().variables().into_iter().collect();
    Tensor::write_safetensors(&tensors, &path).unwrap();
    assert_eq!(
        Checkpoint::read(&path).unwrap().config,
        config(Variant::Live)
    );
    assert!(tensors.iter().all(|(name, _)| !name.contains("backward")));
}

#[test]
fn motion_is_found_without_a_network() {
    let picture = leaves("moving", 200, 320);
    let part = |x: i64, y: i64| picture.narrow(2, 20 + y, 128).narrow(3, 30 + x, 224);
    let pyramid = |x: &Tensor| SpyNet::pyramid(x).unwrap();
    let network = network(Variant::Live);
    let net = network.registered().unwrap();
    for (x, y) in [(0, 0), (1, -1), (5, 3)] {
        let flow = net
            .flow_net()
            .flow(&pyramid(&part(0, 0)), &pyramid(&part(x, y)))
            .unwrap();
        let off = |channel: i64, by: i64| {
            let inner = flow.select(1, channel).narrow(1, 16, 96).narrow(2, 16, 192);
            (inner + by).abs().median().double_value(&[])
        };
        assert!(
            off(0, x) < 0.3 && off(1, y) < 0.3,
            "{x} {y}: {} {}",
            off(0, x),
            off(1, y)
        );
    }
}

#[test]
fn it_takes_over_a_clip_from_a_larger_model() {
    let clip = clip();
    let mut large = session(network(Variant::Registered));
    assert_eq!(large.look_ahead(), 1);
    for moment in &clip[..2] {
        large.send(moment.shallow_clone()).unwrap();
    }
    assert!(large.receive().unwrap().is_frame());
    // The second frame is still there, and nothing else is known.
    let mut live = session(network(Variant::Live));
    live.take_over(&mut large).unwrap();
    let mut alone = session(network(Variant::Live));
    let first = live.receive().unwrap().frame().unwrap();
    assert_eq!(live.receive().unwrap(), Received::NeedsMore);
    assert!(first.equal(&at_once(&mut alone, &clip[1])));
    assert_eq!(at_once(&mut live, &clip[2]).size(), first.size());
    // The large one is at a clip's start, of any size.
    let small = Triplet {
        ultrawide: clip[0].ultrawide.narrow(2, 0, 32),
        wide: None,
        tele: None,
    };
    large.send(small).unwrap();
    let matching = Network::new(
        ModelConfig {
            mid_channels: 4,
            num_blocks: 1,
            frame_num: 3,
            ..ModelConfig::preset("refvsr-mfid").unwrap()
        },
        Device::Cpu,
    );
    let options = Session::options_of(matching.as_ref().unwrap());
    let mut matching = Session::new(matching.unwrap(), options).unwrap();
    let refused = matching.take_over(&mut large).unwrap_err();
    assert!(refused.to_string().contains("register"), "{refused}");
}
