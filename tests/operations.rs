//! What a frame has libtorch do: nothing that makes the host wait for a device.

mod common;
mod rig;

use common::{config, network};
use refvsr::{
    ModelConfig, Precision, Session, SessionOptions, Triplet,
    config::{Recurrence, Variant},
    net::registered::registration::{Follower, WIDE_ZOOMS},
    trace::operations,
};
use rig::{Rig, flow_net, leaves, registered_network};
use tch::{Device, Kind, Tensor};

const PHONE: Rig = Rig {
    zoom: 1.93,
    degrees: 1.7,
    shift: (3.7, 5.2),
    parallax: 1.0,
    another_look: true,
};

/// Operations that read a tensor's values on the host, or whose result's size depends on them.
const WAITING: [&str; 10] = [
    "aten::_local_scalar_dense",
    "aten::item",
    "aten::nonzero",
    "aten::count_nonzero",
    "aten::masked_select",
    "aten::is_nonzero",
    "aten::equal",
    "aten::unique",
    // Those that check whether there is a solution.
    "aten::linalg_solve",
    "aten::linalg_inv",
];

#[test]
fn a_frame_never_waits_for_the_device() {
    let refill = ModelConfig {
        variant: Variant::RefVsrIr,
        num_blocks: 1,
        ..config(4, false)
    };
    let clean = ModelConfig {
        recurrence: Recurrence::Clean,
        ..config(4, false)
    };
    for config in [
        config(4, false),
        config(2, false),
        config(4, true),
        clean.clone(),
        refill,
    ] {
        // 16 bits are slow where the processor has no such products; one network is enough.
        let half = (config == clean).then_some(Precision::Bf16);
        for precision in [Precision::Auto].into_iter().chain(half) {
            let network = network(config.clone());
            // Outputs in pairs, where they come in groups: each of two steps is then like all others.
            let group = network.config().backward_group().min(2);
            let options = SessionOptions {
                precision,
                backward_group: Some(group),
                ..Session::options_of(&network)
            };
            let mut session = Session::new(network, options).unwrap();
            let frame = || Tensor::rand([1, 3, 16, 16], (Kind::Float, Device::Cpu));
            let mut step = || {
                let (ultrawide, wide) = (frame(), Some(frame()));
                let (_, names) = operations(|| {
                    session
                        .send(Triplet {
                            ultrawide,
                            wide,
                            tele: None,
                        })
                        .unwrap();
                    while session.receive().unwrap().is_frame() {}
                })
                .unwrap();
                names
            };
            // The first frames prepare weights and constants, once.
            let before: usize = (0..5).map(|_| step().len()).sum();
            assert!(before > 0);
            for _ in 0..2 {
                let names = step();
                let waits: Vec<&String> = names
                    .iter()
                    .filter(|name| WAITING.contains(&name.as_str()))
                    .collect();
                assert!(waits.is_empty(), "{config:?}, {precision}: {waits:?}");
            }
        }
    }
}

#[test]
fn a_registered_frame_waits_only_where_a_camera_is_looked_for() {
    let picture = leaves("waiting", 576, 1024);
    let shot = PHONE.film("waiting", &picture);
    let tele = Rig { zoom: 4.2, ..PHONE }.film("waiting, tele", &picture);
    let network = registered_network();
    let options = SessionOptions {
        precision: Precision::Fp32,
        backward_group: Some(1),
        ..Session::options_of(&network)
    };
    let mut session = Session::new(network, options).unwrap();
    // The operations that wait, and which cameras were seen.
    let mut step = |wide: &Tensor| {
        let triplet = Triplet {
            ultrawide: shot.frame.shallow_clone(),
            wide: Some(wide.shallow_clone()),
            tele: Some(tele.reference.shallow_clone()),
        };
        let ((), mut names) = operations(|| {
            session.send(triplet).unwrap();
            assert!(session.receive().unwrap().is_frame());
        })
        .unwrap();
        names.retain(|name| WAITING.contains(&name.as_str()));
        let (wide, tele) = session.sightings().unwrap();
        (
            names,
            [wide, tele].map(|seen| seen.is_some_and(|s| s.holds)),
        )
    };
    let (waits, seen) = step(&shot.reference);
    assert!(
        !waits.is_empty() && seen == [true; 2],
        "{waits:?}, {seen:?}"
    );
    let none: [String; 0] = [];
    for _ in 0..2 {
        let (waits, seen) = step(&shot.reference);
        assert_eq!((&waits[..], seen), (&none[..], [true; 2]));
    }
    // Nor where a picture does not hold, for as long as the camera is thought to be there.
    let covered = shot.reference.zeros_like() + 0.3;
    for _ in 0..3 {
        let (waits, seen) = step(&covered);
        assert_eq!((&waits[..], seen), (&none[..], [false, true]));
    }
    let (waits, seen) = step(&covered);
    assert!(
        !waits.is_empty() && seen == [false, true],
        "it is looked for"
    );
    // Where nobody asks for sightings, a frame begins with them, before anything else is done for it.
    for asked in [true, false] {
        let triplet = Triplet {
            ultrawide: shot.frame.shallow_clone(),
            wide: Some(shot.reference.shallow_clone()),
            tele: Some(tele.reference.shallow_clone()),
        };
        session.send(triplet).unwrap();
        let ((), names) = operations(|| assert!(session.receive().unwrap().is_frame())).unwrap();
        let waits = |name: &String| WAITING.contains(&name.as_str());
        let Some(last) = names.iter().rposition(waits) else {
            assert!(asked, "nothing was read");
            continue;
        };
        assert!(!asked, "{}", names[last]);
        let work = [
            "aten::grid_sampler",
            "aten::index_select",
            "aten::mv",
            "aten::cat",
        ];
        let begun = names[..last]
            .iter()
            .find(|name| work.contains(&name.as_str()));
        assert_eq!(begun, None, "of {} operations", names.len());
    }
}

#[test]
fn a_lost_camera_costs_nothing_until_it_is_looked_for() {
    let (flow_net, _weights) = flow_net();
    let shot = PHONE.film("lost", &leaves("lost", 576, 1024));
    let covered = shot.reference.zeros_like() + 0.3;
    let mut follower = Follower::new(WIDE_ZOOMS, 2);
    let mut step = |reference: &Tensor| {
        let work = || follower.next(&flow_net, &shot.frame, Some(reference));
        let (result, names) = operations(work).unwrap();
        let (found, next) = result.unwrap();
        follower = next;
        (found.is_some(), names.len())
    };
    assert!(step(&shot.reference).0);
    // Three frames are tried at the old place, and in the fourth it is looked for.
    for _ in 0..4 {
        let (_, operations) = step(&covered);
        assert!(operations > 100, "{operations}");
    }
    for _ in 0..3 {
        assert_eq!(step(&covered), (false, 0));
    }
    assert!(step(&shot.reference).0, "it is looked for again");
}

#[test]
fn operations_are_told_by_name_and_only_inside() {
    let x = Tensor::ones([2, 3], (Kind::Float, Device::Cpu));
    let (sum, names) = operations(|| (&x + &x).sum(Kind::Float)).unwrap();
    assert_eq!(sum.double_value(&[]), 12.0);
    assert!(names.iter().any(|n| n == "aten::add") && names.iter().any(|n| n == "aten::sum"));
    assert!(
        !names.iter().any(|n| n == "aten::item"),
        "what came after is not in it"
    );
}
