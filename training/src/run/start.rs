//! What a run begins with: a network and its lesson.

use crate::{
    config::{Config, LessonKind, Stage},
    data::random::{Random, hash},
    fetch::WARM_START,
    fitting::fitting,
    lessons::{
        Lesson,
        registered::{
            fusion::Fusion,
            live::Live,
            steady::Steady,
            trunks::{Trunks, thinned},
        },
        windows::Windows,
    },
    losses::{Losses, vgg::Vgg},
    precision::Precision,
};
use anyhow::{Context, Result, bail, ensure};
use refvsr::{
    Network,
    checkpoint::{Checkpoint, read_tensors},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};
use tch::{Device, Tensor};

/// What the config wants learnt, by a network.
///
/// # Errors
/// Where the losses need a VGG19 file that cannot be read, or lesson and network do not fit.
pub fn lesson(config: &Config, network: Network, precision: Precision) -> Result<Box<dyn Lesson>> {
    let losses: Losses = config.loss.terms.parse()?;
    Ok(match config.lesson {
        LessonKind::Windows => {
            let vgg = if losses.needs_vgg() {
                let file = vgg_file(config)?;
                Some(Vgg::load(&file, config.loss.layer, network.device())?)
            } else {
                None
            };
            let frozen = config.optimiser.frozen.clone();
            Box::new(Windows::new(network, losses, frozen, precision, vgg)?)
        }
        LessonKind::Trunks => {
            let teacher = Network::load(&config.start.teacher, network.device())?;
            let (weight, recoloured) = (config.loss.features, config.data.recoloured);
            Box::new(Trunks::new(
                network,
                teacher,
                losses,
                weight,
                recoloured,
                config.seed,
            )?)
        }
        LessonKind::Steady => {
            let teacher = Network::load(&config.start.teacher, network.device())?;
            let frozen = config.optimiser.frozen.clone();
            let (weight, seed) = (config.loss.features, config.seed);
            Box::new(Steady::new(network, teacher, losses, weight, frozen, seed)?)
        }
        LessonKind::Live => {
            let references = config.references.clone();
            let references = references.context("no section [references]")?;
            let frozen = config.optimiser.frozen.clone();
            Box::new(Live::new(network, losses, references, frozen, config.seed)?)
        }
        LessonKind::Fusion => {
            let references = config.references.clone();
            let frozen = config.optimiser.frozen.clone();
            Box::new(Fusion::new(
                network,
                losses,
                references,
                frozen,
                config.seed,
            )?)
        }
    })
}

/// The VGG19 file of the config.
fn vgg_file(config: &Config) -> Result<PathBuf> {
    let path = &config.loss.vgg;
    ensure!(
        !path.as_os_str().is_empty(),
        "the losses {} need VGG19: fetch-weights makes a file, --set loss.vgg=FILE names it",
        config.loss.terms
    );
    Ok(path.clone())
}

/// The network a run begins with: fresh weights by the seed, then `start.zero`, what `start.teacher` gives, `start.weights` and `start.checkpoint` in this order.
///
/// # Errors
/// Where a file cannot be read or nothing in it fits; for an adaptation without a checkpoint.
pub fn initial_network(config: &Config, device: Device) -> Result<Network> {
    Ok(started(config, device)?.0)
}

/// The same for a run that is about to train: weights that stay as they are must come from a file.
///
/// # Errors
/// As [`initial_network`], and where a frozen weight is a random number.
pub fn network_to_train(config: &Config, device: Device) -> Result<Network> {
    let (network, given) = started(config, device)?;
    let variables = network.weights().variables();
    for prefix in &config.optimiser.frozen {
        let mut random: Vec<_> = variables
            .keys()
            .filter(|name| name.starts_with(prefix.as_str()) && !given.contains(*name))
            .collect();
        random.sort();
        if let Some(first) = random.first() {
            bail!(
                "optimiser.frozen keeps '{prefix}' as it is, but {} of its weights came from no file and are random, '{first}' for one; \
                 `refvsr-train fetch-weights --output weights` makes weights/{WARM_START}, and \
                 --set start.weights='[\"weights/{WARM_START}\"]' begins with it",
                random.len()
            );
        }
    }
    Ok(network)
}

/// The network a run begins with, and the names of the weights that a file or `start.zero` has given.
fn started(config: &Config, device: Device) -> Result<(Network, BTreeSet<String>)> {
    let mut given = BTreeSet::new();
    let network = Network::new(config.model.clone(), device)?;
    let mut variables: BTreeMap<String, Tensor> =
        network.weights().variables().into_iter().collect();
    draw(&mut variables, config.seed)?;
    for prefix in &config.start.zero {
        let mut found = false;
        for (name, variable) in variables
            .iter_mut()
            .filter(|(name, _)| name.starts_with(prefix.as_str()))
        {
            let _ = tch::no_grad(|| variable.f_zero_())?;
            given.insert(name.clone());
            found = true;
        }
        ensure!(found, "start.zero: no weight's name starts with '{prefix}'");
    }
    if config.lesson.has_teacher() {
        let teacher = Network::load(&config.start.teacher, Device::Cpu)?;
        let weights = thinned(&teacher, config.model.num_blocks);
        for (name, variable) in &mut variables {
            let weight = fitting(&weights, name, variable)
                .with_context(|| format!("start.teacher {}", config.start.teacher.display()))?;
            tch::no_grad(|| variable.f_copy_(weight))?;
            given.insert(name.clone());
        }
    }
    for weights in &config.start.weights {
        let path = weights.file();
        let tensors = read_tensors(path)?;
        let mut found = false;
        for (name, variable) in &mut variables {
            if !weights.takes(name) {
                continue;
            }
            if let Some(t) = named(&tensors, name).filter(|t| t.size() == variable.size()) {
                tch::no_grad(|| variable.f_copy_(t))?;
                given.insert(name.clone());
                found = true;
            }
        }
        ensure!(
            found,
            "start.weights: nothing in {} fits the config's model",
            path.display()
        );
    }
    let from = &config.start.checkpoint;
    if from.as_os_str().is_empty() {
        ensure!(
            config.stage == Stage::Pretrain,
            "adaptation starts from a pre-trained model: --set start.checkpoint=FILE, or --from FILE"
        );
    } else {
        let checkpoint = Checkpoint::read(from)?;
        let tensors = checkpoint.tensors();
        let mut unfit = vec![];
        for (name, variable) in &mut variables {
            match tensors.get(name) {
                Some(t) if t.size() == variable.size() => {
                    tch::no_grad(|| variable.f_copy_(t))?;
                    given.insert(name.clone());
                }
                // An hd network looks at twice as deep a layer for matching, and at larger blocks: those weights are new.
                _ if checkpoint.config.hd != config.model.hd && grown(name) => (),
                _ if checkpoint.may_lack(name) => {
                    let _ = tch::no_grad(|| variable.f_zero_())?;
                    given.insert(name.clone());
                }
                _ => unfit.push(name.clone()),
            }
        }
        unfit.sort();
        if let Some(first) = unfit.first() {
            bail!(
                "start.checkpoint {}: {} weights do not fit the config's model, '{first}' for one",
                from.display(),
                unfit.len()
            );
        }
    }
    Ok((network, given))
}

/// A weight in a file: by its name, or, of the feature extractor, by its name in EDVR's own files.
fn named<'a>(tensors: &'a BTreeMap<String, Tensor>, name: &str) -> Option<&'a Tensor> {
    let own = || {
        name.strip_prefix("edvr.").and_then(|bare| {
            tensors
                .get(&format!("generator.{bare}"))
                .or_else(|| tensors.get(bare))
        })
    };
    tensors.get(name).or_else(own)
}

/// Fresh weights, uniform within 1/sqrt(fan-in) as PyTorch's convolutions start. Each is a function of the seed and its name, whatever else draws
/// random numbers in this process, and on every device.
fn draw(variables: &mut BTreeMap<String, Tensor>, seed: u64) -> Result<()> {
    let fan_in = |shape: &[i64]| shape.iter().skip(1).product::<i64>() as f64;
    let fans: BTreeMap<String, f64> = variables
        .iter()
        .map(|(name, v)| (name.clone(), fan_in(&v.size())))
        .collect();
    for (name, variable) in variables {
        let weight = name
            .strip_suffix(".bias")
            .map_or(name.clone(), |stem| format!("{stem}.weight"));
        let fan = fans
            .get(&weight)
            .with_context(|| format!("'{name}' has no weight beside it"))?;
        let mut random = Random::new(seed, hash(name), 0);
        let bound = 1.0 / fan.sqrt();
        let values: Vec<f32> = (0..variable.numel())
            .map(|_| (random.between(-1.0, 1.0) * bound) as f32)
            .collect();
        let values = Tensor::f_from_slice(&values)?.f_view(variable.size().as_slice())?;
        tch::no_grad(|| variable.f_copy_(&values))?;
    }
    Ok(())
}

/// Weights an hd network has and another has not.
fn grown(name: &str) -> bool {
    [
        "feature_match.feature_extract.5.",
        "feature_match.feature_extract.map128.",
        "aa1.align.",
    ]
    .iter()
    .any(|p| name.starts_with(p))
}
