//! The registered variant against BasicVSR's published code, and what references change about it.

mod common;
mod rig;

use common::{assert_close, fill, frames, tensors};
use refvsr::{
    ModelConfig,
    config::{FLOW_LEVELS, Recurrence, Variant},
    net::registered::{
        Followers, KeptFeature, Moment, RegisteredVsr,
        registration::{Follower, TELE_ZOOMS, WIDE_ZOOMS, Zooms},
    },
};
use rig::{Rig, flow_net, give_flow, leaves};
use tch::{Device, Kind, Tensor, nn::VarStore};

fn alone(ultrawide: &Tensor) -> Moment<'_> {
    Moment {
        ultrawide,
        wide: None,
        tele: None,
    }
}

fn followers() -> Followers {
    Followers::new(WIDE_ZOOMS, TELE_ZOOMS)
}

/// A network with generated weights; `trained` fusions add something.
fn network(channels: i64, blocks: i64, trained: bool) -> (RegisteredVsr, VarStore) {
    let mut store = VarStore::new(Device::Cpu);
    let config = ModelConfig {
        variant: Variant::Registered,
        mid_channels: channels,
        num_blocks: blocks,
        frame_num: 7,
        scale: 4,
        hd: false,
        reset_interval: None,
        recurrence: Recurrence::Clean,
        flow_levels: FLOW_LEVELS,
        first_looks: 1,
        recorded: false,
    };
    let network = RegisteredVsr::new(&store.root().into(), &config).unwrap();
    fill(&store);
    for (name, mut variable) in store.variables() {
        if !trained && name.contains("_fusion.conv3") {
            let _ = tch::no_grad(|| variable.zero_());
        }
    }
    if trained {
        give_flow(&store);
    }
    store.freeze();
    (network, store)
}

/// The whole clip, frame after frame, every window reaching to its end.
fn whole_clip(network: &RegisteredVsr, clip: &[Moment<'_>]) -> Vec<Tensor> {
    let mut kept: Option<KeptFeature> = None;
    let mut followers = followers();
    (0..clip.len())
        .map(|n| {
            let out;
            let next;
            (out, next, followers) = network
                .forward(&clip[n..], 0, kept.as_ref(), &followers)
                .unwrap();
            kept = Some(next);
            out
        })
        .collect()
}

#[test]
fn untrained_it_is_basicvsr() {
    let data = tensors("basicvsr.safetensors");
    let (network, store) = network(64, 2, false);
    // Generated, this layer is nearly nothing; the stored output is of one that is not.
    let mut last = store.variables().remove("conv_last.weight").unwrap();
    tch::no_grad(|| last *= 50.0);
    let clip = frames(&data["in"]);
    let moments: Vec<Moment<'_>> = clip
        .iter()
        .map(|frame| Moment {
            // References are given, and change nothing.
            wide: Some(frame),
            tele: Some(frame),
            ..alone(frame)
        })
        .collect();
    for (n, out) in whole_clip(&network, &moments).iter().enumerate() {
        assert_close(
            &format!("frame {n}"),
            out,
            &data["out"].narrow(0, n as i64, 1),
            1e-5,
        );
    }
}

#[test]
fn a_feature_kept_is_worth_the_frames_before() {
    let (network, _store) = network(8, 1, false);
    let clip: Vec<Tensor> = (0..4)
        .map(|t| common::scene(1.0, t, 36, 40).to_kind(Kind::Float) / 255.0)
        .collect();
    let moments: Vec<Moment<'_>> = clip.iter().map(alone).collect();
    let streamed = whole_clip(&network, &moments);
    for (n, out) in streamed.iter().enumerate() {
        let (whole, ..) = network.forward(&moments, n, None, &followers()).unwrap();
        assert!(whole.equal(out), "frame {n}");
    }
    // The last frame sees nothing of what follows; the first all of it.
    let (short, ..) = network
        .forward(&moments[..2], 0, None, &followers())
        .unwrap();
    assert!(!short.equal(&streamed[0]));
}

const RIG: Rig = Rig {
    zoom: 2.1,
    degrees: 1.0,
    shift: (3.0, -2.0),
    parallax: 2.0,
    another_look: true,
};

#[test]
fn references_change_their_fields_and_nothing_else() {
    let (network, _store) = network(8, 1, true);
    let picture = leaves("fields", 576, 1024);
    let shot = RIG.film("fields", &picture);
    let tele = Rig {
        zoom: 4.2,
        parallax: 0.5,
        ..RIG
    }
    .film("fields, tele", &picture);
    let frame = &shot.frame;
    let with = |wide: Option<&Tensor>, tele: Option<&Tensor>| {
        let moment = Moment {
            ultrawide: frame,
            wide,
            tele,
        };
        let (out, _, followers) = network.forward(&[moment], 0, None, &followers()).unwrap();
        (out, followers)
    };
    let (neither, nobody) = with(None, None);
    assert!(
        [nobody.wide, nobody.tele]
            .iter()
            .all(|camera| camera.placement().unwrap().is_none())
    );
    // The share of the picture that differs, and whether all that does lies in the inner `part` of
    // it.
    let change = |out: &Tensor, part: f64| {
        let differs = (out - &neither)
            .abs()
            .amax([1i64].as_slice(), true)
            .gt(1e-6);
        let (h, w) = (out.size()[2], out.size()[3]);
        let inner = |n: i64| {
            let kept = (n as f64 * part) as i64;
            ((n - kept) / 2, kept)
        };
        let ((top, rows), (left, columns)) = (inner(h), inner(w));
        let inside = differs.narrow(2, top, rows).narrow(3, left, columns);
        let count = |t: &Tensor| t.sum(Kind::Int64).int64_value(&[]);
        (
            count(&differs) as f64 / (h * w) as f64,
            count(&differs) == count(&inside),
        )
    };
    let (wide, known) = with(Some(&shot.reference), None);
    let (share, inside) = change(&wide, 0.62);
    assert!(inside && (0.12..0.3).contains(&share), "wide: {share}");
    let zoom = known.wide.placement().unwrap().unwrap().zoom;
    assert!((zoom / RIG.zoom - 1.0).abs() < 0.005, "{zoom}");
    assert!(known.tele.placement().unwrap().is_none());

    let (small, known) = with(None, Some(&tele.reference));
    let (share, inside) = change(&small, 0.38);
    assert!(inside && (0.02..0.09).contains(&share), "tele: {share}");
    assert!((known.tele.placement().unwrap().unwrap().zoom / 4.2 - 1.0).abs() < 0.01);

    let (both, _) = with(Some(&shot.reference), Some(&tele.reference));
    assert!(!both.equal(&wide) && !both.equal(&small));

    // Another place's picture is as good as none, bit for bit.
    let other = RIG
        .film("elsewhere", &leaves("elsewhere", 576, 1024))
        .reference;
    let (wrong, known) = with(Some(&other), Some(&other));
    assert!(wrong.equal(&neither) && known.wide.placement().unwrap().is_none());
}

#[test]
fn a_camera_may_be_missing_come_late_be_lost_and_come_back() {
    let (net, _weights) = flow_net();
    let shot = RIG.film("coming and going", &leaves("coming and going", 576, 1024));
    let plain = shot.reference.zeros_like() + 0.3;
    let large = shot
        .reference
        .upsample_bicubic2d([288, 512], false, None, None);
    let (frame, right) = (&shot.frame, Some(&shot.reference));
    let mut follower = Follower::new(WIDE_ZOOMS, 2);
    let steps = [
        ("missing at first", None, false),
        ("late", right, true),
        ("again", right, true),
        ("missing", None, false),
        ("covered", Some(&plain), false),
        ("back", right, true),
        ("of another size", Some(&large.clamp(0.0, 1.0)), true),
    ];
    for (what, reference, holds) in steps {
        let (found, next) = follower.next(&net, frame, reference).unwrap();
        let found = found.and_then(|found| found.read().unwrap());
        assert_eq!(found.is_some(), holds, "{what}");
        follower = next;
        if let Some((track, _)) = found {
            let zoom = track.placement.zoom;
            assert!((zoom / RIG.zoom - 1.0).abs() < 0.005, "{what}: zoom {zoom}");
            let known = follower.placement().unwrap();
            assert_eq!(known, Some(track.placement), "{what}");
        }
    }
    // A range that does not have it: not found, and nothing is made up.
    let far = Follower::new(Zooms::about(3.0), 2);
    let (found, next) = far.next(&net, frame, right).unwrap();
    assert!(found.is_none() && next.placement().unwrap().is_none());
}

#[test]
fn gradients_reach_the_fusion_from_its_zero_start() {
    let (network, mut store) = network(8, 1, true);
    for (name, mut variable) in store.variables() {
        if name.contains("_fusion.conv3") {
            let _ = tch::no_grad(|| variable.zero_());
        }
    }
    store.unfreeze();
    let shot = RIG.film("gradients", &leaves("gradients", 576, 1024));
    let moment = Moment {
        wide: Some(&shot.reference),
        ..alone(&shot.frame)
    };
    let (out, ..) = network.forward(&[moment], 0, None, &followers()).unwrap();
    out.square().mean(Kind::Float).backward();
    let size_of = |name: &str| {
        let gradient = store.variables()[name].grad();
        if gradient.defined() {
            gradient.abs().max().double_value(&[])
        } else {
            0.0
        }
    };
    assert!(size_of("wide_fusion.conv3.weight") > 0.0);
    assert_eq!(
        size_of("tele_fusion.conv3.weight"),
        0.0,
        "no tele, no gradient"
    );
    assert!(size_of("forward_trunk.main.0.weight") > 0.0);
}

#[test]
fn wrong_windows_and_frames_are_refused() {
    let (network, _store) = network(4, 1, false);
    let frame = Tensor::rand([1, 3, 16, 24], (Kind::Float, Device::Cpu));
    let small = frame.narrow(3, 0, 20);
    let grey = frame.narrow(1, 0, 1);
    let refused = |window: &[Moment<'_>], centre: usize, expected: &str| {
        let error = network
            .forward(window, centre, None, &followers())
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused(&[], 0, "position 0 of 0");
    refused(&[alone(&frame)], 1, "position 1 of 1");
    refused(&[alone(&frame), alone(&small)], 0, "frames of one size");
    refused(&[alone(&grey)], 0, "[1, 1, 16, 24]");
    let moment = Moment {
        tele: Some(&grey),
        ..alone(&frame)
    };
    refused(&[moment], 0, "tele frame");
}
