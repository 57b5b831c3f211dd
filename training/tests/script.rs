//! `models/train.sh`, all of it, in its short form.

use refvsr::{Bundled, Network, checkpoint::Checkpoint};
use std::{path::Path, process::Command};
use tch::{Device, Tensor};

/// BasicVSR's weights, which the script would fetch: the bundled model has them all.
fn basicvsr(file: &Path) {
    let checkpoint = Bundled::Quality.checkpoint().unwrap();
    let network = Network::from_checkpoint(&checkpoint, Device::Cpu).unwrap();
    let tensors: Vec<(String, Tensor)> = network
        .weights()
        .variables()
        .into_iter()
        .filter(|(name, _)| !name.contains("_fusion.") && !name.contains("_carrier."))
        .collect();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    Tensor::write_safetensors(&tensors, file).unwrap();
}

fn train(folder: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/train.sh");
    let out = Command::new(script)
        .arg(folder)
        .env("SHORT", "1")
        .env("TRAIN", env!("CARGO_BIN_EXE_refvsr-train"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}\n{errors}");
    said + &errors
}

#[test]
fn all_models_are_trained_scored_and_not_trained_again() {
    let folder = tempfile::tempdir().unwrap();
    basicvsr(&folder.path().join("weights/basicvsr.safetensors"));
    train(folder.path());
    let made = |name: &str| folder.path().join(name);
    for (model, blocks) in [("quality", 30), ("light", 10), ("live", 6)] {
        let checkpoint = Checkpoint::read(&made(&format!("{model}.safetensors"))).unwrap();
        assert_eq!(checkpoint.config.num_blocks, blocks);
        assert_eq!(checkpoint.config.recorded, model != "live", "{model}");
        let scores = std::fs::read_to_string(made(&format!("{model}-valid.md"))).unwrap();
        assert!(scores.contains("| whole frame |"), "{scores}");
    }
    let before = std::fs::read(made("light.safetensors")).unwrap();
    let said = train(folder.path());
    assert!(
        said.contains("0 clips made, 1 were there already"),
        "{said}"
    );
    assert!(std::fs::read(made("light.safetensors")).unwrap() == before);
}
