//! The tables of `refvsr-train score`.

mod common;

use common::{basicvsr, clip, legacy};
use indicatif::ProgressBar;
use refvsr::{
    ModelConfig, Network,
    checkpoint::{self, Tensors},
    config::Recurrence,
    metrics,
};
use refvsr_train::{
    basicvsr::BasicVsr,
    data::{Split, patches::Stage, validation_clips},
    score::{ScoreOptions, score},
};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

fn options(folder: &Path, basicvsr: Option<PathBuf>) -> ScoreOptions {
    ScoreOptions {
        model: folder.join("model.safetensors"),
        data: folder.join("data"),
        split: Split::Valid,
        clips: None,
        frames: Some(3),
        basicvsr,
        look_ahead: Some(1),
        backward_group: 1,
        device: "cpu".into(),
    }
}

/// The cells of the row that starts with `region`, in the table of that title.
fn row(text: &str, title: &str, region: &str) -> Vec<String> {
    let table = text
        .split("\n\n")
        .find(|t| t.starts_with(&format!("| {title}")))
        .unwrap_or_else(|| panic!("no table '{title}' in\n{text}"));
    let line = table
        .lines()
        .find(|l| l.starts_with(&format!("| {region} ")))
        .unwrap_or_else(|| panic!("no row '{region}' in\n{table}"));
    line.split('|')
        .skip(2)
        .map(|cell| cell.trim().to_owned())
        .filter(|cell| !cell.is_empty())
        .collect()
}

#[test]
fn a_model_that_adds_nothing_scores_as_bicubic() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        clip(&folder.path().join("data"), "valid", name, 4, (160, 128));
    }
    let config = ModelConfig {
        mid_channels: 4,
        num_blocks: 1,
        frame_num: 3,
        recurrence: Recurrence::Clean,
        ..ModelConfig::preset("refvsr-mfid").unwrap()
    };
    let network = Network::new(config, Device::Cpu).unwrap();
    for (_, mut variable) in network.weights().variables() {
        let _ = tch::no_grad(|| variable.zero_());
    }
    checkpoint::save(
        &network,
        &folder.path().join("model.safetensors"),
        Kind::Float,
    )
    .unwrap();

    let text = score(&options(folder.path(), None), &ProgressBar::hidden()).unwrap();
    assert!(text.contains("look-ahead 1, window of 3 frames"), "{text}");
    assert!(
        text.contains("| bicubic | no reference | wide | wide + tele |"),
        "{text}"
    );
    let clips = validation_clips(
        &folder.path().join("data"),
        Split::Valid,
        Stage::Pretrain { scale: 4 },
    )
    .unwrap();
    let mut sum = (0.0, 0.0);
    for i in 0..3 {
        let frame = clips[0].frame(i).unwrap();
        let out = frame
            .lr
            .upsample_bicubic2d([128, 160], false, None, None)
            .clamp(0.0, 1.0);
        sum.0 += metrics::psnr(&out, &frame.hr).unwrap() / 3.0;
        sum.1 += metrics::ssim(&out, &frame.hr).unwrap() / 3.0;
    }
    let expected = format!("{:.3} / {:.4}", sum.0, sum.1);
    assert_eq!(
        row(&text, "a, 3 frames", "whole frame"),
        vec![expected.clone(); 4]
    );
    assert_eq!(
        row(&text, "mean over all frames, 6 frames", "whole frame"),
        vec![expected; 4],
        "both clips show the same"
    );
    for region in [
        "inner 0.9",
        "inner 0.5 (wide)",
        "outside the wide",
        "inner 0.2 (tele)",
    ] {
        assert_eq!(row(&text, "b, 3 frames", region).len(), 4);
    }
}

#[test]
fn basicvsr_stands_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    clip(&folder.path().join("data"), "valid", "a", 4, (128, 128));
    let config = ModelConfig {
        mid_channels: 4,
        num_blocks: 1,
        frame_num: 3,
        ..ModelConfig::preset("refvsr-mfid").unwrap()
    };
    checkpoint::save(
        &Network::new(config, Device::Cpu).unwrap(),
        &folder.path().join("model.safetensors"),
        Kind::Float,
    )
    .unwrap();
    let file = folder.path().join("warm-start.safetensors");
    // As torch saved files once: they are told apart by content.
    let save = |tensors: &Tensors| std::fs::write(&file, legacy(tensors, None)).unwrap();
    save(&basicvsr(1.0));
    let text = score(
        &options(folder.path(), Some(file.clone())),
        &ProgressBar::hidden(),
    )
    .unwrap();
    assert!(
        text.contains("| bicubic | BasicVSR | no reference | wide | wide + tele |"),
        "{text}"
    );

    let mut broken = basicvsr(1.0);
    broken.remove("basicvsr.fusion.weight");
    save(&broken);
    let text = format!(
        "{:#}",
        score(&options(folder.path(), Some(file)), &ProgressBar::hidden()).unwrap_err()
    );
    assert!(
        text.contains("warm-start.safetensors") && text.contains("basicvsr.fusion.weight"),
        "{text}"
    );
}

#[test]
fn basicvsr_looks_both_ways_and_starts_from_its_base() {
    let frames: Vec<Tensor> = (0..3)
        .map(|_| Tensor::rand([1, 3, 32, 40], (Kind::Float, Device::Cpu)))
        .collect();
    let base = frames[1].upsample_bilinear2d([128, 160], false, None, None);
    let nothing = BasicVsr::new(&basicvsr(0.0), Device::Cpu)
        .unwrap()
        .forward(&frames, 1)
        .unwrap();
    assert!(nothing.equal(&base.clamp(0.0, 1.0)));

    let model = BasicVsr::new(&basicvsr(1.0), Device::Cpu).unwrap();
    let out = model.forward(&frames, 1).unwrap();
    for changed in [0, 2] {
        let mut other: Vec<Tensor> = frames.iter().map(Tensor::shallow_clone).collect();
        other[changed] = Tensor::rand([1, 3, 32, 40], (Kind::Float, Device::Cpu));
        assert!(
            !model.forward(&other, 1).unwrap().equal(&out),
            "frame {changed} counts"
        );
    }
    assert!(model.forward(&frames, 3).is_err());
}
