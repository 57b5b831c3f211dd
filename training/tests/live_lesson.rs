//! The live model's lesson, on a network so small that a step takes milliseconds.

mod common;

use common::photos;
use refvsr::Network;
use refvsr_train::{
    config::Config,
    data::batch::{ClipPatch, Source},
    films::{Filming, Options},
    optimise::{StepReport, Trainer, parallel::Processes},
    precision::Precision,
    run::{initial_network, lesson},
};
use std::collections::BTreeMap;
use tch::{Device, Tensor};

struct Rig {
    config: Config,
    films: Filming,
}

impl Rig {
    fn new(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        photos(folder.path());
        let all: Vec<String> = [
            "model.mid_channels=4",
            "model.num_blocks=1",
            "data.patch=24",
            "data.windows=3",
            "films.streams=4",
            "films.recorded=0",
            "references.wide=0.5",
            "optimiser.warmup=0",
        ]
        .iter()
        .chain(more)
        .map(|&text| text.to_owned())
        .collect();
        let config = Config::load("live", &all).unwrap();
        let options = Options {
            films: config.films.clone().unwrap(),
            patch: config.data.patch,
            scale: 4,
            part: config.data.windows,
            ahead: 0,
            augment: true,
            recoloured: 0.3,
            seed: 3,
        };
        let films = Filming::open(folder.path(), options).unwrap();
        Self { config, films }
    }

    fn trainer(&self) -> Trainer {
        let network = initial_network(&self.config, Device::Cpu).unwrap();
        let lesson = lesson(&self.config, network, Precision::Fp32).unwrap();
        Trainer::new(lesson, self.config.recipe(Precision::Fp32)).unwrap()
    }

    /// Trains on batches of two from patch `from` on.
    fn train(&self, trainer: &mut Trainer, from: u64, batches: usize) -> Vec<StepReport> {
        let mut steps = vec![];
        let mut patches = self.films.start(from).unwrap();
        for _ in 0..batches {
            let batch: Vec<ClipPatch> = patches.by_ref().take(2).map(Result::unwrap).collect();
            trainer
                .train_on(&batch, &Processes::one(), |step| steps.push(step.clone()))
                .unwrap();
        }
        steps
    }
}

fn weights(network: &Network) -> BTreeMap<String, Tensor> {
    let all = network.weights().variables().into_iter();
    all.map(|(name, w)| (name, w.detach().copy())).collect()
}

#[test]
fn everything_learns_at_once() {
    let rig = Rig::new(&[]);
    let mut trainer = rig.trainer();
    let before = weights(trainer.network());
    let steps = rig.train(&mut trainer, 0, 16);
    assert!(steps.iter().all(|s| s.total.is_finite() && !s.skipped));
    for (name, weight) in &weights(trainer.network()) {
        assert!(!before[name].equal(weight), "{name}");
    }
    // The fusion stays where it is asked to, as for a second set.
    let rig = Rig::new(&["optimiser.frozen=[\"wide_fusion.\"]"]);
    let mut trainer = rig.trainer();
    rig.train(&mut trainer, 0, 2);
    for (name, weight) in &weights(trainer.network()) {
        let same = before[name].equal(weight);
        assert_eq!(same, name.starts_with("wide_fusion."), "{name}");
    }
}

#[test]
fn a_resumed_run_equals_one_that_was_never_stopped() {
    let rig = Rig::new(&[]);
    let mut whole = rig.trainer();
    rig.train(&mut whole, 0, 6);
    let mut first = rig.trainer();
    rig.train(&mut first, 0, 4);
    let mut second = rig.trainer();
    second
        .restore(&first.state(), first.steps(), first.updates(), None)
        .unwrap();
    rig.train(&mut second, 8, 2);
    let other = weights(second.network());
    for (name, weight) in &weights(whole.network()) {
        assert!(other[name].equal(weight), "{name}");
    }
}

#[test]
fn a_config_without_films_or_references_is_refused() {
    let refused = |overrides: &[&str], why: &str| {
        let all: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
        let message = format!("{:#}", Config::load("live", &all).unwrap_err());
        assert!(message.contains(why), "{overrides:?}: {message}");
    };
    refused(&["lesson=steady"], "start.teacher");
    refused(&["lesson=windows"], "not for variant Live");
    refused(&["lesson=fusion", "data.recoloured=0"], "[films]");
    refused(&["references.wide=2"], "references");
    refused(&["stage=adapt"], "pretrain");
}
