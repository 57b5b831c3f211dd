//! The tables of `refvsr-train score`.

mod common;

use common::{clip, registered};
use indicatif::ProgressBar;
use refvsr::{ModelConfig, Network, checkpoint, config::Recurrence, metrics};
use refvsr_train::{
    data::{Split, patches::Stage, validation_clips},
    score::{ScoreOptions, score},
};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

fn options(folder: &Path, basicvsr: Option<PathBuf>) -> ScoreOptions {
    let [model, data] = ["model.safetensors", "data"].map(|name| folder.join(name));
    let mut words = vec![
        model.into_os_string(),
        "--data".into(),
        data.into_os_string(),
    ];
    words.extend(
        "--frames 3 --look-ahead 1 --device cpu"
            .split(' ')
            .map(Into::into),
    );
    ScoreOptions {
        basicvsr,
        ..common::score_options(words)
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
    // Of 16 bits, between those of 8.
    let truths = ["a", "b"].map(|clip| folder.path().join("data/valid/HR/UW").join(clip));
    for truth in &truths {
        for frame in ["0000.png", "0001.png", "0002.png", "0003.png"] {
            let path = truth.join(frame);
            let mut picture = image::open(&path).unwrap().into_rgb16();
            picture
                .iter_mut()
                .for_each(|sample| *sample = sample.saturating_add(128));
            picture.save(&path).unwrap();
        }
    }
    let deep = |path: &Path| {
        let picture = image::open(path).unwrap().into_rgb16();
        let samples: Vec<f32> = picture.iter().map(|s| f32::from(*s) / 65535.0).collect();
        Tensor::from_slice(&samples)
            .view([1, 128, 160, 3])
            .permute([0, 3, 1, 2])
    };
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
    assert!(
        text.contains("look-ahead 1, window of 3 frames, precision fp32"),
        "{text}"
    );
    assert!(
        text.contains("| bicubic | no reference | wide | wide + tele | another's wide | ceiling |"),
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
        let truth = deep(&truths[0].join(format!("{i:04}.png")));
        sum.0 += metrics::psnr(&out, &truth).unwrap() / 3.0;
        sum.1 += metrics::ssim(&out, &truth).unwrap() / 3.0;
    }
    let expected = format!("{:.3} / {:.4}", sum.0, sum.1);
    assert_eq!(
        row(&text, "a, 3 frames", "whole frame")[..5],
        vec![expected.clone(); 5]
    );
    assert_eq!(
        row(&text, "mean over all frames, 6 frames", "whole frame")[..5],
        vec![expected; 5],
        "both clips show the same"
    );
    for region in [
        "inner 0.9",
        "inner 0.5 (wide)",
        "outside the wide",
        "inner 0.2 (tele)",
    ] {
        assert_eq!(row(&text, "b, 3 frames", region).len(), 6);
    }
}

#[test]
fn basicvsr_stands_beside_it_and_untrained_references_add_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        clip(&folder.path().join("data"), "valid", name, 4, (128, 128));
    }
    let network = registered(3);
    for (name, mut variable) in network.weights().variables() {
        if name.contains("_fusion.conv3") {
            let _ = tch::no_grad(|| variable.zero_());
        }
    }
    let file = folder.path().join("model.safetensors");
    checkpoint::save(&network, &file, Kind::Float).unwrap();
    let wanted = ScoreOptions {
        look_ahead: Some(3),
        ..options(folder.path(), Some(file.clone()))
    };
    let text = score(&wanted, &ProgressBar::hidden()).unwrap();
    let names =
        "| bicubic | BasicVSR | no reference | wide | wide + tele | another's wide | ceiling |";
    assert!(text.contains(names), "{text}");
    // The stream's window holds the whole clip, and it is BasicVSR.
    let [_, basicvsr, alone, wide, both, wrong, ceiling] =
        &row(&text, "mean over all frames, 6 frames", "whole frame")[..]
    else {
        panic!("{text}");
    };
    assert_eq!([alone, wide, both, wrong], [basicvsr; 4], "{text}");
    let psnr = |cell: &str| cell.split(' ').next().unwrap().parse::<f64>().unwrap();
    assert!(psnr(ceiling) > psnr(alone) + 1.0, "{text}");
    for line in text.lines().filter(|l| l.starts_with("| wide |")) {
        assert!(line.contains("+0.000 (+0.000 to +0.000)"), "{line}");
    }
    for table in ["first frames, 2 frames", "frames with history, 4 frames"] {
        assert_eq!(row(&text, table, "inner 0.5 (wide)").len(), 7);
    }

    let other = folder.path().join("other.safetensors");
    let config = ModelConfig {
        mid_channels: 4,
        num_blocks: 1,
        ..ModelConfig::preset("refvsr-mfid").unwrap()
    };
    let refvsr = Network::new(config, Device::Cpu).unwrap();
    checkpoint::save(&refvsr, &other, Kind::Float).unwrap();
    let refused = ScoreOptions {
        basicvsr: Some(other),
        ..wanted
    };
    let text = format!("{:#}", score(&refused, &ProgressBar::hidden()).unwrap_err());
    assert!(
        text.contains("other.safetensors") && text.contains("not BasicVSR's weights"),
        "{text}"
    );
}
