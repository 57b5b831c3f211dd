//! The losses, the optimiser and whole training steps against the research code.

#[path = "../../tests/common/mod.rs"]
mod common;

use common::{config, golden, network, scene, tensors, uniform};
use refvsr::{checkpoint::Tensors, config::ModelConfig};
use refvsr_train::{
    data::batch::ClipPatch,
    lessons::windows::Windows,
    losses::vgg::{CONVS, Layer, Vgg},
    losses::{Losses, Target, blurred, gaussian},
    optimise::parallel::Processes,
    optimise::schedule::cosine,
    optimise::{Recipe, Trainer},
    precision::Precision,
};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

fn json() -> Value {
    serde_json::from_slice(&std::fs::read(golden("training.json")).unwrap()).unwrap()
}

fn vgg(layer: &Value) -> Vgg {
    let layer: Layer = serde_json::from_value(layer.clone()).unwrap();
    let mut weights = Tensors::new();
    for (i, input, output) in CONVS {
        let make = |name: &str, shape: &[i64], factor: f64| {
            let n: i64 = shape.iter().product();
            let values: Vec<f64> = uniform(&format!("vgg19.features.{i}.{name}"), n as usize)
                .iter()
                .map(|u| u * factor)
                .collect();
            (
                format!("features.{i}.{name}"),
                Tensor::from_slice(&values).to_kind(Kind::Float).view(shape),
            )
        };
        weights.extend([
            make(
                "weight",
                &[output, input, 3, 3],
                (3.0 / (input * 9) as f64).sqrt() * 1.4,
            ),
            make("bias", &[output], 0.05),
        ]);
    }
    Vgg::new(&weights, layer, Device::Cpu).unwrap()
}

/// Rounding in the last place of an fp32 number near 1. A contextual loss is -ln(c) of a mean c of
/// at most 1, so it is off by the rounding of c, however small the loss itself is.
const ROUNDING: f64 = f32::EPSILON as f64;

/// Within a share of what is expected, and `absolute` besides.
#[track_caller]
fn assert_near(what: &str, actual: f64, expected: f64, relative: f64, absolute: f64) {
    let off = (actual - expected).abs();
    let allowed = relative * expected.abs() + absolute;
    assert!(
        off <= allowed,
        "{what}: {actual}, {expected} expected; off by {off:.2e}, {allowed:.2e} allowed"
    );
}

/// How far the sum of `n` trained weights may be off, in units of the learning rate.
///
/// Adam's first steps move a weight by about the learning rate, whichever way its gradient points
/// and however small that is. So a direction that is down to rounding moves the weight by a whole
/// step, and n such directions move the sum by sqrt(n) steps. Few weights have such gradients, but
/// those that bend reference blocks do: the gradient with respect to a sampling position jumps where
/// the position is a whole number, as many are but for the last bit.
fn rounded_directions(name: &str, n: usize) -> f64 {
    let bends = name.starts_with("aa1.align.") || name.starts_with("aa2.align.");
    (n as f64).sqrt() * if bends { 2.0 } else { 0.2 }
}

/// Frames of the scene, `[n, 3, side, side]` in [0, 1].
fn frames(zoom: f64, n: i64, side: i64) -> Tensor {
    let frames: Vec<Tensor> = (0..n).map(|t| scene(zoom, t, side, side)).collect();
    Tensor::cat(&frames, 0).to_kind(Kind::Float) / 255.0
}

#[test]
fn losses_and_their_gradients() {
    let (json, data) = (json(), tensors("training.safetensors"));
    let mut gradients = 0;
    for (name, entry) in json
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| name.starts_with("loss."))
    {
        let vgg = vgg(&entry["vgg_layer"]);
        let losses: Losses = entry["spec"].as_str().unwrap().parse().unwrap();
        let adaptation = name == "loss.adaptation";
        let (sr, references) = match adaptation {
            true => (
                data["loss.sr"]
                    .upsample_bicubic2d([128, 128], false, None, None)
                    .clamp(0.0, 1.0),
                frames(5.0, 2, 128),
            ),
            false => (
                data["loss.sr"].shallow_clone(),
                data["loss.ref"].squeeze_dim(0),
            ),
        };
        let sr = sr.detach().set_requires_grad(true);
        let features = vgg.features_of_all(&references).unwrap();
        let target = Target {
            hr: &data["loss.hr"],
            reference_features: Some(&features),
            reduce: adaptation.then_some(4),
        };
        let report = losses.of(&sr, target, Some(&vgg), Precision::Fp32).unwrap();
        let value = report.total.value.double_value(&[]);
        assert_near(
            name,
            value,
            entry["value"].as_f64().unwrap(),
            1e-4,
            ROUNDING,
        );
        assert_near(
            name,
            report.parts.iter().map(|(_, v)| v.double_value(&[])).sum(),
            value,
            1e-5,
            ROUNDING,
        );

        report.total.graph.backward();
        let gradient = sr.grad();
        let tolerance = if name.ends_with("_L2") { 1e-3 } else { 1e-4 };
        assert_near(
            &format!("{name}, gradient"),
            gradient.norm().double_value(&[]),
            entry["grad_l2"].as_f64().unwrap(),
            tolerance,
            0.0,
        );
        if let Some(expected) = data.get(&format!("{name}.grad")) {
            let off =
                (&gradient - expected).norm().double_value(&[]) / expected.norm().double_value(&[]);
            assert!(off < 1e-4, "{name}: gradient off by {off:.2e}");
            gradients += 1;
        }
        let psnr =
            refvsr_train::lessons::windows::psnr(&sr, &data["loss.hr"], adaptation.then_some(4))
                .unwrap();
        assert_near(
            &format!("{name}, PSNR"),
            psnr.double_value(&[]),
            entry["psnr"].as_f64().unwrap(),
            1e-5,
            0.0,
        );
    }
    assert_eq!(gradients, 4);
}

#[test]
fn the_blur() {
    let expected = &tensors("training.safetensors")["gaussian.kernel"];
    assert!(
        (gaussian().unwrap() - expected)
            .abs()
            .max()
            .double_value(&[])
            < 1e-7
    );
    let x = Tensor::ones([1, 3, 5, 7], (Kind::Float, Device::Cpu));
    let y = blurred(&x).unwrap();
    assert_eq!(y.size(), [1, 3, 7, 9]);
    assert!((y - 1.0).abs().max().double_value(&[]) < 1e-6);
}

#[test]
fn the_learning_rate() {
    let json = json();
    let schedule = &json["lr_schedule"];
    let number = |key: &str| schedule[key].as_f64().unwrap();
    for (n, rate) in schedule["at"].as_object().unwrap() {
        let step = n.parse::<u64>().unwrap().saturating_sub(1);
        assert_near(
            n,
            cosine(step, 1000, number("lr_init"), number("eta_min")),
            rate.as_f64().unwrap(),
            1e-9,
            0.0,
        );
    }
}

/// Trains as the trace did and compares.
fn trace(name: &str) {
    let json = json();
    let trace = &json[name];
    let hd = trace["flag_HD_in"].as_bool().unwrap();
    let number = |key: &str| trace[key].as_i64().unwrap();
    let iterations = trace["iterations"].as_array().unwrap();
    let (t, p, windows) = (
        number("frame_num"),
        number("lr_patch"),
        iterations.len() as i64,
    );
    let config = ModelConfig {
        frame_num: t as usize,
        mid_channels: number("mid_channels"),
        num_blocks: number("num_blocks"),
        ..config(4, hd)
    };
    let n = windows + t - 1;
    let lr = frames(1.0, n, p);
    let patch = ClipPatch {
        name: name.into(),
        wide: frames(2.0, n, 2 * p),
        hr: if hd {
            lr.shallow_clone()
        } else {
            frames(1.0, n, 4 * p)
        },
        loss_references: frames(if hd { 5.0 } else { 2.0 }, n, 4 * p),
        clean: None,
        part: None,
        lr,
    };
    let rate = 2e-4;
    let recipe = Recipe {
        rate,
        final_rate: 1e-6,
        steps: 300_000,
        warmup: 0,
        clip_norm: 1.0,
        ema: None,
        scaled: false,
        tf32: false,
    };
    let lesson = Windows::new(
        network(config),
        trace["spec"].as_str().unwrap().parse().unwrap(),
        vec!["FlowNet.".into()],
        Precision::Fp32,
        Some(vgg(&trace["vgg_layer"])),
    )
    .unwrap();
    let mut trainer = Trainer::new(Box::new(lesson), recipe).unwrap();
    let mut k = 0;
    trainer
        .train_on(&[patch], &Processes::one(), |report| {
            let expected = &iterations[k];
            let near = |what: &str, actual: f64| {
                // Gradients of sampling positions jump (see `rounded_directions`), losses do not.
                let relative = if what == "grad_norm" { 2e-3 } else { 1e-3 };
                assert_near(
                    &format!("{name}, step {k}, {what}"),
                    actual,
                    expected[what].as_f64().unwrap(),
                    relative,
                    ROUNDING,
                );
            };
            near("total", report.total);
            near("psnr", report.psnr);
            near("grad_norm", report.gradient_norm);
            assert_near(
                "lr",
                report.rate,
                expected["lr"].as_f64().unwrap(),
                1e-9,
                0.0,
            );
            for (part, value) in &report.parts {
                near(part, *value);
            }
            k += 1;
        })
        .unwrap();
    assert_eq!(k, iterations.len());

    let weights = trainer.network().weights().variables();
    let mut compared = 0;
    for (key, figures) in trace["final_parameters_sum_and_l2"].as_object().unwrap() {
        if key.starts_with("feature_match.sub_mean") {
            continue;
        }
        let value = weights[key].to_kind(Kind::Double);
        let (sum, length) = (figures[0].as_f64().unwrap(), figures[1].as_f64().unwrap());
        let off = (value.sum(Kind::Double).double_value(&[]) - sum).abs();
        let allowed = 1e-3 * length + rate * rounded_directions(key, value.numel());
        assert!(
            off <= allowed,
            "{name}, {key}: sum off by {off:.2e}, {allowed:.2e} allowed"
        );
        let stretched = (value.norm().double_value(&[]) / length - 1.0).abs();
        assert!(
            stretched <= 1e-3,
            "{name}, {key}: length off by {stretched:.2e}"
        );
        compared += 1;
    }
    let trained = weights
        .keys()
        .filter(|k| !k.starts_with("FlowNet."))
        .count();
    assert!(
        compared >= trained,
        "{compared} parameters compared of {trained}"
    );
}

#[test]
fn trace_of_pretraining() {
    trace("trace.pretrain");
}

#[test]
fn trace_of_pretraining_with_l1() {
    trace("trace.pretrain_l1");
}

#[test]
fn trace_of_adaptation() {
    trace("trace.adaptation");
}
