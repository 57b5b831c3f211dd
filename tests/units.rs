//! Single blocks against the research code's outputs.

mod common;

use common::{assert_close, config, fill, frames, tensors, uniform, weight};
use refvsr::{
    ModelConfig, Network,
    checkpoint::Tensors,
    config::Recurrence,
    net::{
        Frame, Run,
        flow::{SpyNet, doubled, grid, warp},
        refvsr::{
            alignment::AlignedAttention,
            edvr::Edvr,
            matching::{FeatureMatch, Match},
        },
    },
};
use tch::{Device, Kind, Tensor, nn::VarStore};

fn cases() -> [(&'static str, ModelConfig); 3] {
    [
        ("x4", config(4, false)),
        ("x2", config(2, false)),
        ("hd_x4", config(4, true)),
    ]
}

fn size(x: &Tensor) -> (i64, i64) {
    (x.size()[2], x.size()[3])
}

fn input(data: &Tensors, camera: &str, frame: usize) -> Tensor {
    frames(&data[&format!("in.{camera}")]).swap_remove(frame)
}

#[test]
fn generated_weights_are_the_official_files() {
    let file = tensors("official_format.pytorch");
    for (name, tensor) in &file {
        let bare = name.strip_prefix("module.Network.").unwrap();
        if !bare.contains("sub_mean") {
            assert!(weight(bare, &tensor.size()).equal(tensor), "{name}");
        }
    }
    assert_eq!(file.len(), 252);
}

#[test]
fn flow() {
    let data = tensors("units.safetensors");
    let vs = VarStore::new(Device::Cpu);
    let net = SpyNet::new((vs.root() / "FlowNet").into()).unwrap();
    fill(&vs);
    let pyramid = |i| SpyNet::pyramid(&input(&data, "uw", i)).unwrap();
    assert_close(
        "1 to 0",
        &net.flow(&pyramid(1), &pyramid(0)).unwrap(),
        &data["spynet.flow_1_to_0"],
        1e-4,
    );
    assert_close(
        "0 to 1",
        &net.flow(&pyramid(0), &pyramid(1)).unwrap(),
        &data["spynet.flow_0_to_1"],
        1e-4,
    );
}

#[test]
fn warping() {
    let data = tensors("units.safetensors");
    let (frame, flow) = (input(&data, "uw", 0), &data["warp.flow"]);
    let out = warp(&frame, &grid(flow, (40, 72)).unwrap(), Recurrence::Upstream).unwrap();
    assert_close("warp", &out, &data["warp.out"], 1e-4);
    let flow2 = doubled(flow).unwrap();
    assert_close(
        "flow at twice the size",
        &flow2,
        &data["warp.flow_x2"],
        1e-4,
    );
    let quirk = warp(
        &frame,
        &grid(&flow2, (40, 72)).unwrap(),
        Recurrence::Upstream,
    )
    .unwrap();
    assert_close("quirk", &quirk, &data["warp.quirk_out"], 1e-4);
}

#[test]
fn clean_warping_by_nothing_changes_nothing() {
    let x = Tensor::rand([1, 2, 7, 9], (Kind::Float, Device::Cpu));
    let still = Tensor::zeros([1, 2, 7, 9], (Kind::Float, Device::Cpu));
    assert_close(
        "clean",
        &warp(&x, &grid(&still, (7, 9)).unwrap(), Recurrence::Clean).unwrap(),
        &x,
        1e-5,
    );
    // and by a whole pixel moves whole pixels
    let right = warp(
        &x,
        &grid(
            &(&still + Tensor::from_slice(&[1f32, 0.]).view([1, 2, 1, 1])),
            (7, 9),
        )
        .unwrap(),
        Recurrence::Clean,
    )
    .unwrap();
    assert_close(
        "one pixel",
        &right.narrow(3, 0, 8),
        &x.narrow(3, 1, 8),
        1e-5,
    );
}

fn matched(data: &Tensors, config: &ModelConfig) -> Match {
    let vs = VarStore::new(Device::Cpu);
    let net = FeatureMatch::new((vs.root() / "feature_match").into(), config).unwrap();
    fill(&vs);
    net.forward(&input(data, "uw", 1), &[&input(data, "w", 1)], 1)
        .unwrap()
}

#[test]
fn matching() {
    let data = tensors("units.safetensors");
    for (name, config) in cases() {
        let found = matched(&data, &config);
        assert_close(
            name,
            &found.confidence,
            &data[&format!("match.{name}.confidence")],
            1e-4,
        );
        let index = data[&format!("match.{name}.index")]
            .reshape([-1])
            .to_kind(Kind::Int64);
        assert_eq!(
            found
                .index
                .ne_tensor(&index)
                .sum(Kind::Int64)
                .int64_value(&[]),
            0,
            "{name}: indices differ"
        );
    }
}

#[test]
fn aligned_attention() {
    let data = tensors("units.safetensors");
    let n = 8 * 40 * 72;
    let value = Tensor::from_slice(&uniform("aa.value", n))
        .to_kind(Kind::Float)
        .view([1, 8, 40, 72]);
    let half = value.upsample_bilinear2d([20, 36], false, None, None);
    let (lr, reference) = (input(&data, "uw", 1), input(&data, "w", 1));
    for (name, config) in cases() {
        let k = config.matching_kernel();
        let index = matched(&data, &config).index;
        let vs = VarStore::new(Device::Cpu);
        let aa1 = AlignedAttention::new((vs.root() / "aa1").into(), k / 2).unwrap();
        let aa2 = AlignedAttention::new((vs.root() / "aa2").into(), k).unwrap();
        fill(&vs);
        let out = aa1
            .places(&data["aa.lr_down"], &[&reference], &index, &[size(&half)])
            .unwrap()
            .apply(&[&half])
            .unwrap();
        assert_close(
            &format!("{name}, level 1"),
            &out,
            &data[&format!("aa.{name}.level1")],
            1e-4,
        );
        let places = aa2
            .places(&lr, &[&reference], &index, &[size(&value)])
            .unwrap();
        let out = places.apply(&[&value]).unwrap();
        assert_close(
            &format!("{name}, level 2"),
            &out,
            &data[&format!("aa.{name}.level2")],
            1e-4,
        );
    }
}

#[test]
fn gathered_reference() {
    // The unaligned picture is what a network whose affine head is zero (scales and angle 1) makes of the reference as value.
    let data = tensors("units.safetensors");
    let (lr, reference) = (input(&data, "uw", 1), input(&data, "w", 1));
    for (name, config) in cases() {
        let vs = VarStore::new(Device::Cpu);
        let aa2 =
            AlignedAttention::new((vs.root() / "aa2").into(), config.matching_kernel()).unwrap();
        for (_, mut v) in vs.variables() {
            let _ = tch::no_grad(|| v.zero_());
        }
        let index = matched(&data, &config).index;
        let places = aa2
            .places(&lr, &[&reference], &index, &[size(&reference)])
            .unwrap();
        let out = places.apply(&[&reference]).unwrap();
        assert_close(
            name,
            &out,
            &data[&format!("aa.{name}.level2_unaligned_ref")],
            1e-4,
        );
    }
}

#[test]
fn a_network_with_a_zero_last_convolution_puts_out_the_bicubic_picture() {
    let data = tensors("units.safetensors");
    let network = Network::new(config(4, false), Device::Cpu).unwrap();
    for (name, mut variable) in network.weights().variables() {
        if name.starts_with("conv_last") {
            let _ = tch::no_grad(|| variable.zero_());
        }
    }
    let (lr, wide) = (input(&data, "uw", 1), input(&data, "w", 1));
    let (out, _) = network
        .forward(
            &[Frame {
                lr: &lr,
                references: &[&wide],
            }],
            None,
            Run::Streaming,
        )
        .unwrap();
    assert_close("bicubic", &out, &data["bicubic.up4"].clamp(0.0, 1.0), 1e-5);
}

#[test]
fn edvr_features() {
    let data = tensors("units.safetensors");
    let vs = VarStore::new(Device::Cpu);
    let edvr = Edvr::new((vs.root() / "edvr").into()).unwrap();
    fill(&vs);
    let levels: Vec<_> = (0..5)
        .map(|t| {
            edvr.levels(&(common::scene(1.0, t, 40, 72).to_kind(Kind::Float) / 255.0))
                .unwrap()
        })
        .collect();
    let out = edvr.forward(std::array::from_fn(|i| &levels[i])).unwrap();
    assert_close("edvr", &out.narrow(1, 0, 16), &data["edvr.features"], 1e-5);
}

#[test]
fn the_scene_is_the_stored_input() {
    let data = tensors("units.safetensors");
    for (camera, zoom) in [("uw", 1.0), ("w", 2.0), ("t", 5.0)] {
        for t in 0..3 {
            assert!(
                common::scene(zoom, t, 40, 72)
                    .equal(&data[&format!("in.{camera}")].narrow(0, t, 1)),
                "{camera} {t}"
            );
        }
    }
}
