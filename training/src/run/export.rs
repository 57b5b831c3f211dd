//! A run's best weights as a model file with a card.

use super::card;
use crate::{config, run};
use anyhow::{Context, Result, ensure};
use refvsr::{ModelConfig, Network, checkpoint};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};
use tch::{Device, Kind, Tensor};

/// Precision of the numbers in a model file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Numbers {
    /// 16 bits: half the size; the network computes in what it is told to, whatever the file has.
    Fp16,
    /// 32 bits: as trained.
    Fp32,
}

/// Weights that are multiplied by a number, `NAME=FACTOR`: all whose names start with NAME.
#[derive(Debug, Clone, PartialEq)]
pub struct Gain {
    /// What their names start with.
    pub name: String,
    /// The number.
    pub factor: f64,
}

/// What becomes of a run's weights on their way into a model file.
#[derive(Debug, Default, clap::Args)]
pub struct Changes {
    /// Frames in the model's window, in place of the run's: a network with clean recurrence that was
    /// trained with short windows serves longer ones as well.
    #[arg(long, value_name = "FRAMES")]
    pub window: Option<usize>,
    /// Outputs after which the model's recurrence starts anew, in place of the run's; 0 for never. A registered
    /// network that is not steady over long still shots needs it.
    #[arg(long, value_name = "OUTPUTS")]
    pub reset_interval: Option<usize>,
    /// Takes the mean of the run's weights and those of this model file; may be given several times.
    /// Runs that went on from the same weights, with other patches, are often better together than
    /// each alone.
    #[arg(long = "average", value_name = "FILE")]
    pub average: Vec<PathBuf>,
    /// Takes the trunks of this model file, a network of the same form, as those for recorded footage.
    #[arg(long, value_name = "FILE")]
    pub recorded: Option<PathBuf>,
    /// Multiplies all weights whose names start with NAME. A last layer that learnt with a robust
    /// loss may give a little less than it should: the quality model's wide_fusion.conv3. was given
    /// 1.25 before its last runs.
    #[arg(long = "gain", value_name = "NAME=FACTOR")]
    pub gains: Vec<Gain>,
}

/// The mean of a network's weights and those of model files, in place of its own.
fn average(network: &Network, files: &[PathBuf]) -> Result<()> {
    let mut variables = network.weights().variables();
    for file in files {
        let other = Network::load(file, Device::Cpu)?;
        let others = other.weights().variables();
        let shapes = |all: &HashMap<String, Tensor>| {
            let shapes = all.iter().map(|(name, t)| (name.clone(), t.size()));
            shapes.collect::<BTreeMap<_, _>>()
        };
        ensure!(
            shapes(&others) == shapes(&variables),
            "{} is another network than the run's: {:?}, not {:?}",
            file.display(),
            other.config(),
            network.config()
        );
        for (name, variable) in &mut variables {
            let _ = tch::no_grad(|| variable.f_add_(&others[name]))?;
        }
    }
    for variable in variables.values_mut() {
        let _ = tch::no_grad(|| variable.f_div_scalar_((files.len() + 1) as f64))?;
    }
    Ok(())
}

/// The network with the trunks of a model file as those for recorded footage.
fn with_recorded(network: Network, file: &Path) -> Result<Network> {
    let second = Network::load(file, Device::Cpu)?;
    let form = |network: &Network| ModelConfig {
        recorded: false,
        reset_interval: None,
        ..network.config().clone()
    };
    ensure!(
        form(&second) == form(&network),
        "{} is another network than the run's: {:?}, not {:?}",
        file.display(),
        second.config(),
        network.config()
    );
    let config = ModelConfig {
        recorded: true,
        ..network.config().clone()
    };
    let both = Network::new(config, Device::Cpu)?;
    let [first, second] = [&network, &second].map(|network| network.weights().variables());
    for (name, mut variable) in both.weights().variables() {
        let weight = match name.strip_prefix("recorded.") {
            Some(name) => second.get(name),
            None => first.get(&name),
        };
        let weight = weight.with_context(|| format!("no weight for {name}"))?;
        tch::no_grad(|| variable.f_copy_(weight))?;
    }
    Ok(both)
}

impl FromStr for Gain {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let parsed = s.split_once('=').and_then(|(name, factor)| {
            let factor = factor.parse().ok().filter(|f: &f64| f.is_finite())?;
            let name = Some(name.to_owned()).filter(|name| !name.is_empty())?;
            Some(Self { name, factor })
        });
        parsed.ok_or_else(|| format!("'{s}' is not NAME=FACTOR, as in wide_fusion.conv3.=1.2"))
    }
}

impl Gain {
    fn apply(&self, network: &Network) -> Result<()> {
        let mut found = false;
        for (name, mut weight) in network.weights().variables() {
            if name.starts_with(&self.name) {
                found = true;
                let _ = tch::no_grad(|| weight.f_mul_scalar_(self.factor))?;
            }
        }
        ensure!(
            found,
            "the network has no weights whose names start with '{}'",
            self.name
        );
        Ok(())
    }
}

/// Writes the best weights of the run in `folder`, with `changes`, to `output` (`.safetensors`), and a
/// card beside it: `.md`, or `.new.md` where somebody has edited that. The card's path.
///
/// # Errors
/// Where the run has no best weights yet, a gain names none of them, another file is of another
/// network, or files cannot be read or written.
pub fn export(
    folder: &Path,
    output: &Path,
    numbers: Numbers,
    changes: &Changes,
) -> Result<PathBuf> {
    ensure!(
        output.extension().is_some_and(|e| e == "safetensors"),
        "{} should end in .safetensors, by which the format is known",
        output.display()
    );
    let best = folder.join(run::BEST);
    ensure!(
        best.exists(),
        "{} is not there: the run has neither been validated nor finished yet",
        best.display()
    );
    let mut checkpoint = checkpoint::Checkpoint::read(&best)?;
    checkpoint.config.frame_num = changes.window.unwrap_or(checkpoint.config.frame_num);
    if let Some(interval) = changes.reset_interval {
        checkpoint.config.reset_interval = (interval > 0).then_some(interval);
    }
    let network = Network::from_checkpoint(&checkpoint, Device::Cpu)?;
    average(&network, &changes.average)?;
    for gain in &changes.gains {
        gain.apply(&network)?;
    }
    let network = match &changes.recorded {
        Some(file) => with_recorded(network, file)?,
        None => network,
    };
    let kind = match numbers {
        Numbers::Fp16 => Kind::Half,
        Numbers::Fp32 => Kind::Float,
    };
    let config = config::read(&folder.join(run::CONFIG))?;
    let scores = folder.join("best.json");
    let scores = fs::read_to_string(&scores).with_context(|| scores.display().to_string())?;
    let scores = serde_json::from_str(&scores)?;
    let text = self::card(output, numbers, &network, &config, &scores)?;
    // Both are written at the end, each as a whole.
    checkpoint::save(&network, output, kind)?;
    card::write(&output.with_extension("md"), &text)
}

fn card(
    output: &Path,
    numbers: Numbers,
    network: &Network,
    config: &config::Config,
    best: &serde_json::Value,
) -> Result<String> {
    let name = output.file_stem().unwrap_or_default().to_string_lossy();
    let values: usize = network
        .weights()
        .variables()
        .values()
        .map(tch::Tensor::numel)
        .sum();
    let step = &best["step"];
    let of = config.optimiser.steps;
    let scores = match &best["scores"] {
        serde_json::Value::Null => format!(
            "The weights of step {step} of {of}. The run had no validation, so there are no scores here.\n"
        ),
        scores => format!(
            "The weights of step {step} of {of}, on the clips held out for validation (at most {} frames of each), RGB.\n\n{}",
            config.validation.frames,
            table(scores)
        ),
    };
    let model = network.config();
    Ok(format!(
        "# {name}\n\n\
        A {} network, x{}, {} channels, {} blocks, windows of {} frames; {:.2} million values in {}.\n\n\
        Data and their licences: *to be written by whoever publishes this file.*\n\n\
        ## Scores\n\n{scores}\n\
        ## Config\n\n```toml\n{}```\n",
        match model.variant {
            refvsr::config::Variant::RefVsr => "RefVSR",
            refvsr::config::Variant::RefVsrIr => "RefVSR-IR",
            refvsr::config::Variant::Registered => "registered",
            refvsr::config::Variant::Live => "live",
        },
        model.scale,
        model.mid_channels,
        model.num_blocks,
        model.frame_num,
        values as f64 / 1e6,
        match numbers {
            Numbers::Fp16 => "fp16",
            Numbers::Fp32 => "fp32",
        },
        config.to_toml()?,
    ))
}

/// A validation's scores, clip by clip.
fn table(scores: &serde_json::Value) -> String {
    let figure = |v: &serde_json::Value, digits: usize| {
        v.as_f64().map_or("?".into(), |x| format!("{x:.digits$}"))
    };
    let rows: Vec<String> = scores["clips"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| {
            let clip = c["clip"].as_str().unwrap_or("?");
            let figures = [
                ("psnr", 3),
                ("ssim", 4),
                ("psnr_without_reference", 3),
                ("psnr_bicubic", 3),
            ]
            .map(|(key, d)| figure(&c[key], d));
            format!("| {clip} | {} |", figures.join(" | "))
        })
        .collect();
    let mean = [
        ("psnr", 3),
        ("ssim", 4),
        ("psnr_without_reference", 3),
        ("psnr_bicubic", 3),
    ]
    .map(|(key, d)| figure(&scores[key], d));
    format!(
        "| clip | PSNR | SSIM | PSNR without reference | PSNR bicubic |\n|---|---|---|---|---|\n{}\n| mean | {} |\n",
        rows.join("\n"),
        mean.join(" | "),
    )
}
