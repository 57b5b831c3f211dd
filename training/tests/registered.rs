//! The registered variant without references, and BasicVSR as the score tables have it: one network
//! under two sets of names.

mod common;

use common::basicvsr;
use refvsr::net::{
    registered::{Followers, Moment, RegisteredVsr},
    registration::{TELE_ZOOMS, WIDE_ZOOMS},
};
use refvsr_train::basicvsr::BasicVsr;
use tch::{Device, Kind, Tensor, nn::VarStore};

/// The name in BasicVSR's own file of one in `warm-start.safetensors`.
fn own_name(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    Some(match parts[..] {
        [
            "FlowNet",
            "basic_module",
            level,
            "basic_module",
            j,
            "conv",
            rest,
        ] => format!(
            "spynet.basic_module.{level}.basic_module.{}.{rest}",
            2 * j.parse::<usize>().ok()?
        ),
        ["basicvsr", layer, rest] => format!("{layer}.{rest}"),
        ["upsample2", "upsample_conv", rest] => format!("upconv2.{rest}"),
        ["conv_hr" | "conv_last", _] => name.to_owned(),
        ["forward_resblocks" | "backward_resblocks", ..] => name.replacen("resblocks", "trunk", 1),
        _ => return None,
    })
}

#[test]
fn both_give_the_same_pictures() {
    tch::manual_seed(11);
    let tensors = basicvsr(1.0);
    let known = BasicVsr::new(&tensors, Device::Cpu).unwrap();
    let mut store = VarStore::new(Device::Cpu);
    let network = RegisteredVsr::new(&store.root(), 64, 1, 6).unwrap();
    let mut variables = store.variables();
    for (name, tensor) in &tensors {
        let variable = own_name(name).and_then(|name| variables.remove(&name));
        if let Some(mut variable) = variable {
            tch::no_grad(|| variable.copy_(tensor));
        }
    }
    assert!(
        variables.keys().all(|name| name.contains("_fusion.")),
        "without a counterpart: {:?}",
        variables.keys()
    );
    store.freeze();

    let clip: Vec<Tensor> = (0..3)
        .map(|_| Tensor::rand([1, 3, 20, 28], (Kind::Float, Device::Cpu)))
        .collect();
    let moments: Vec<Moment<'_>> = clip
        .iter()
        .map(|frame| Moment {
            ultrawide: frame,
            wide: Some(frame),
            tele: None,
        })
        .collect();
    let followers = Followers::new(WIDE_ZOOMS, TELE_ZOOMS);
    for n in 0..clip.len() {
        let expected = known.forward(&clip, n).unwrap();
        let (out, ..) = network.forward(&moments, n, None, &followers).unwrap();
        let off = (out.clamp(0.0, 1.0) - expected)
            .abs()
            .max()
            .double_value(&[]);
        assert!(off <= 1e-5, "frame {n}: off by {off:.2e}");
    }
}
