//! `refvsr-train distil`.

mod common;

use common::{basicvsr, clip, legacy};
use indicatif::ProgressBar;
use refvsr::checkpoint::read_tensors;
use refvsr_train::{
    config::Config,
    distil::{DistilOptions, Phase, distil},
    train::initial_network,
};
use std::{fs, path::Path};
use tch::Device;

fn options(folder: &Path) -> DistilOptions {
    DistilOptions {
        data: folder.join("data"),
        weights: vec![folder.join("warm-start.safetensors")],
        output: folder.join("made/distilled.safetensors"),
        feature_steps: 8,
        picture_steps: 2,
        rate: 1e-3,
        seed: 0,
        device: "cpu".into(),
    }
}

#[test]
fn features_come_nearer_and_training_starts_from_them() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    for split in ["train", "valid"] {
        clip(&options.data, split, "a", 9, (320, 320));
    }
    fs::write(&options.weights[0], legacy(&basicvsr(1.0), None)).unwrap();

    let mut fits = vec![];
    distil(&options, &ProgressBar::hidden(), |phase, fit| fits.push((phase, fit))).unwrap();
    assert_eq!(fits.iter().map(|(phase, _)| *phase).collect::<Vec<_>>(), [Phase::Before, Phase::Features, Phase::Pictures]);
    assert!(fits[1].1.features < 0.9 * fits[0].1.features, "{fits:?}");
    assert!(fits.iter().all(|(_, fit)| fit.psnr_basicvsr == fits[0].1.psnr_basicvsr && fit.psnr.is_finite()), "{fits:?}");

    let weights = format!("start.weights={:?}", [&options.weights[0], &options.output]);
    let network = initial_network(&Config::load("default", &[weights]).unwrap(), Device::Cpu).unwrap();
    let (fitted, weights) = (read_tensors(&options.output).unwrap(), network.weights().variables());
    for layer in ["upsample1.upsample_conv", "feat_fusion_BWFW.1.0", "feat_decoder_BWFW.RBs.3.conv2", "conv_last"] {
        let name = format!("{layer}.weight");
        assert!(weights[&name].equal(&fitted[&name]), "{name}");
    }
    assert!(!fitted.keys().any(|name| name.contains("resblocks.main")), "the trunks are not in it");
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let error = |options: &DistilOptions| format!("{:#}", distil(options, &ProgressBar::hidden(), |_, _| ()).unwrap_err());
    assert!(error(&options).contains("warm-start.safetensors"), "{}", error(&options));
    let mut broken = basicvsr(1.0);
    broken.remove("basicvsr.upconv1.weight");
    fs::write(&options.weights[0], legacy(&broken, None)).unwrap();
    let text = error(&options);
    assert!(text.contains("warm-start.safetensors") && text.contains("basicvsr.upconv1.weight"), "{text}");
    fs::write(&options.weights[0], legacy(&basicvsr(1.0), None)).unwrap();
    assert!(error(&options).contains("data"), "{}", error(&options));
}
