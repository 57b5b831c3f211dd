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
use std::{fs, path::Path, sync::atomic::AtomicBool};
use tch::Device;

static NEVER: AtomicBool = AtomicBool::new(false);

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
    assert!(
        distil(&options, &NEVER, &ProgressBar::hidden(), |phase, fit| fits
            .push((phase, fit)))
        .unwrap()
    );
    assert_eq!(
        fits.iter().map(|(phase, _)| *phase).collect::<Vec<_>>(),
        [Phase::Before, Phase::Features, Phase::Pictures]
    );
    assert!(fits[1].1.features < 0.9 * fits[0].1.features, "{fits:?}");
    assert!(
        fits.iter()
            .all(|(_, fit)| fit.psnr_basicvsr == fits[0].1.psnr_basicvsr && fit.psnr.is_finite()),
        "{fits:?}"
    );

    let weights = format!("start.weights={:?}", [&options.weights[0], &options.output]);
    let network =
        initial_network(&Config::load("default", &[weights]).unwrap(), Device::Cpu).unwrap();
    let (fitted, weights) = (
        read_tensors(&options.output).unwrap(),
        network.weights().variables(),
    );
    for layer in [
        "upsample1.upsample_conv",
        "feat_fusion_BWFW.1.0",
        "feat_decoder_BWFW.RBs.3.conv2",
        "conv_last",
    ] {
        let name = format!("{layer}.weight");
        assert!(weights[&name].equal(&fitted[&name]), "{name}");
    }
    assert!(
        !fitted.keys().any(|name| name.contains("resblocks.main")),
        "the trunks are not in it"
    );
}

#[test]
fn work_stopped_after_every_step_ends_where_undisturbed_work_does() {
    let folder = tempfile::tempdir().unwrap();
    let whole = DistilOptions {
        feature_steps: 1,
        ..options(folder.path())
    };
    let stopped = DistilOptions {
        output: folder.path().join("stopped.safetensors"),
        ..whole.clone()
    };
    for split in ["train", "valid"] {
        clip(&whole.data, split, "a", 9, (320, 320));
    }
    fs::write(&whole.weights[0], legacy(&basicvsr(1.0), None)).unwrap();
    let distil = |options: &DistilOptions, stop| {
        distil(
            options,
            &AtomicBool::new(stop),
            &ProgressBar::hidden(),
            |_, _| (),
        )
    };
    assert!(distil(&whole, false).unwrap());

    let state = folder.path().join("stopped.safetensors.state");
    for _ in 0..2 {
        assert!(!distil(&stopped, true).unwrap());
        assert!(state.exists() && !stopped.output.exists());
    }
    let other = format!(
        "{:#}",
        distil(
            &DistilOptions {
                seed: 1,
                ..stopped.clone()
            },
            false
        )
        .unwrap_err()
    );
    assert!(
        other.contains("stopped.safetensors.state") && other.contains("other work"),
        "{other}"
    );
    assert!(distil(&stopped, false).unwrap() && !state.exists());

    let (a, b) = (
        read_tensors(&whole.output).unwrap(),
        read_tensors(&stopped.output).unwrap(),
    );
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, tensor) in &a {
        assert!(tensor.equal(&b[name]), "{name} differs");
    }
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let error = |options: &DistilOptions| {
        format!(
            "{:#}",
            distil(options, &NEVER, &ProgressBar::hidden(), |_, _| ()).unwrap_err()
        )
    };
    assert!(
        error(&options).contains("warm-start.safetensors"),
        "{}",
        error(&options)
    );
    let mut broken = basicvsr(1.0);
    broken.remove("basicvsr.upconv1.weight");
    fs::write(&options.weights[0], legacy(&broken, None)).unwrap();
    let text = error(&options);
    assert!(
        text.contains("warm-start.safetensors") && text.contains("basicvsr.upconv1.weight"),
        "{text}"
    );
    fs::write(&options.weights[0], legacy(&basicvsr(1.0), None)).unwrap();
    assert!(error(&options).contains("data"), "{}", error(&options));
}
