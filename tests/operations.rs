//! What a frame has libtorch do: nothing that makes the host wait for a device.

mod common;

use common::{config, network};
use refvsr::{
    ModelConfig, Precision, Session, SessionOptions, Triplet,
    config::{Recurrence, Variant},
    trace::operations,
};
use tch::{Device, Kind, Tensor};

/// Operations that read a tensor's values on the host, or whose result's size depends on them.
const WAITING: [&str; 8] = [
    "aten::_local_scalar_dense",
    "aten::item",
    "aten::nonzero",
    "aten::count_nonzero",
    "aten::masked_select",
    "aten::is_nonzero",
    "aten::equal",
    "aten::unique",
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
                    while session.receive().unwrap().is_some() {}
                });
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
fn operations_are_told_by_name_and_only_inside() {
    let x = Tensor::ones([2, 3], (Kind::Float, Device::Cpu));
    let (sum, names) = operations(|| (&x + &x).sum(Kind::Float));
    assert_eq!(sum.double_value(&[]), 12.0);
    assert!(names.iter().any(|n| n == "aten::add") && names.iter().any(|n| n == "aten::sum"));
    assert!(
        !names.iter().any(|n| n == "aten::item"),
        "what came after is not in it"
    );
}
