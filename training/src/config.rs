//! A run's config: a TOML file, with single values overridden from the command line.

use crate::{
    contents, data::processor::check_shares, films::Films, lessons::registered::camera::References,
    losses::Losses, losses::vgg::Layer, optimise::Recipe, precision::Precision,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use refvsr::ModelConfig;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The configs that come with this program, by name.
pub const PRESETS: [(&str, &str); 18] = [
    ("refvsr-mfid", include_str!("../configs/refvsr-mfid.toml")),
    ("refvsr-l1", include_str!("../configs/refvsr-l1.toml")),
    (
        "refvsr-small-mfid",
        include_str!("../configs/refvsr-small-mfid.toml"),
    ),
    (
        "refvsr-small-l1",
        include_str!("../configs/refvsr-small-l1.toml"),
    ),
    ("refvsr-ir-l1", include_str!("../configs/refvsr-ir-l1.toml")),
    (
        "refvsr-ir-mfid",
        include_str!("../configs/refvsr-ir-mfid.toml"),
    ),
    (
        "refvsr-mfid-8k",
        include_str!("../configs/refvsr-mfid-8k.toml"),
    ),
    (
        "refvsr-small-mfid-8k",
        include_str!("../configs/refvsr-small-mfid-8k.toml"),
    ),
    ("quality", include_str!("../configs/quality.toml")),
    (
        "quality-steady",
        include_str!("../configs/quality-steady.toml"),
    ),
    ("light-trunks", include_str!("../configs/light-trunks.toml")),
    ("light", include_str!("../configs/light.toml")),
    ("light-steady", include_str!("../configs/light-steady.toml")),
    (
        "light-recorded",
        include_str!("../configs/light-recorded.toml"),
    ),
    (
        "quality-recorded",
        include_str!("../configs/quality-recorded.toml"),
    ),
    ("live", include_str!("../configs/live.toml")),
    ("own", include_str!("../configs/own.toml")),
    ("tiny", include_str!("../configs/tiny.toml")),
];

/// Everything a run depends on. The files in `configs/` say of every value why it is what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which of the two stages.
    pub stage: Stage,
    /// What all chance comes from: fresh weights and the patches drawn.
    pub seed: u64,
    /// `auto`, `cpu`, `cuda`, `cuda:N`.
    pub device: String,
    /// What is trained, and on what [default: windows, the paper's].
    #[serde(default)]
    pub lesson: LessonKind,
    /// The network.
    pub model: ModelConfig,
    /// Where its weights come from.
    pub start: Start,
    /// What it learns from.
    pub data: Data,
    /// What it is to lower.
    pub loss: Loss,
    /// How references drawn for a fusion differ from the truth: where `lesson` is `fusion` and `stage`
    /// `pretrain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<References>,
    /// What films are like, where `lesson` is `steady` or `live`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub films: Option<Films>,
    /// How its weights move.
    pub optimiser: Optimiser,
    /// How it is judged on the way.
    pub validation: Validation,
    /// What is written.
    pub output: Output,
}

/// The paper's two stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Learning from triplets whose truth is known.
    Pretrain,
    /// Learning from full-resolution video, for which there is no truth.
    Adapt,
}

/// What is trained. See [`lesson`](crate::lessons).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LessonKind {
    /// RefVSR: windows of clips with all their weights, but for those in `optimiser.frozen`.
    #[default]
    Windows,
    /// The registered variant: what its references add, all else as it is.
    Fusion,
    /// The registered variant: trunks of fewer blocks than those of `start.teacher`, whose features
    /// and picture they learn to give.
    Trunks,
    /// The registered variant: a forward trunk that stays as good over long films as `start.teacher`'s
    /// is in its first frames.
    Steady,
    /// The live variant: all of it, from films.
    Live,
}

impl LessonKind {
    /// Whether it learns from `start.teacher`, which it begins as.
    pub fn has_teacher(self) -> bool {
        matches!(self, Self::Trunks | Self::Steady)
    }

    /// Whether it learns from films.
    pub fn has_films(self) -> bool {
        matches!(self, Self::Steady | Self::Live)
    }
}

/// See [`Config::start`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// A model file whose weights are taken up; all must fit, but for those of the matching where `hd` differs. Empty: none.
    pub checkpoint: PathBuf,
    /// In this order: files with some of the weights, by upstream's names (`fetch-weights` makes one); those of equal name and shape are taken up. The weights of
    /// `edvr` are also taken from a file of EDVR's own, with mmediting's `generator.` before its names or without.
    pub weights: Vec<Weights>,
    /// Where `lesson` is `trunks` or `steady`: the model file whose features (and, by trunks, picture) are
    /// learnt, and which every other weight is taken from [default: none].
    #[serde(default)]
    pub teacher: PathBuf,
    /// Fresh weights whose names start so begin as zero.
    pub zero: Vec<String>,
}

/// A file with weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Weights {
    /// All that fit are taken up.
    All(PathBuf),
    /// Some of them.
    Some {
        /// The file.
        file: PathBuf,
        /// Beginnings of the names of those that are taken up.
        only: Vec<String>,
    },
}

impl Start {
    /// A number for what its files hold.
    ///
    /// # Errors
    /// Names a file that cannot be read.
    pub fn contents(&self) -> Result<u64> {
        let named = |path: &&Path| !path.as_os_str().is_empty();
        let weights = self.weights.iter().map(Weights::file);
        let files = [self.checkpoint.as_path(), self.teacher.as_path()];
        contents::number(files.into_iter().filter(named).chain(weights))
    }
}

impl Weights {
    /// The file.
    pub fn file(&self) -> &Path {
        match self {
            Self::All(file) | Self::Some { file, .. } => file,
        }
    }

    /// Whether the weight of that name is taken up.
    pub fn takes(&self, name: &str) -> bool {
        match self {
            Self::All(_) => true,
            Self::Some { only, .. } => only.iter().any(|start| name.starts_with(start.as_str())),
        }
    }
}

/// See [`Config::data`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The data folder; where `lesson` is `steady`, one with photos.
    pub root: PathBuf,
    /// Side of the ultra-wide patches.
    pub patch: usize,
    /// Windows cut from a clip: a patch has so many frames plus the window's length minus 1, of
    /// which some may repeat the clip's ends ([`Config::repeats`]). Where `lesson` is `steady`: frames of
    /// a part of a film.
    pub windows: usize,
    /// Places drawn for each patch, of which the one with most detail (in its truth; where `lesson` is
    /// `trunks`, in its input) is cut: plain walls teach little [default: 1, as published].
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub places: usize,
    /// Rotated and flipped patches.
    pub augment: bool,
    /// Where a lesson has a teacher: share of patches (or films) whose colours are changed at random [default: 0].
    #[serde(default, skip_serializing_if = "is_none")]
    pub recoloured: f64,
    /// Threads that decode and cut.
    pub workers: usize,
    /// Patches each of them may have ready.
    pub ahead: usize,
}

/// See [`Config::loss`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Weighted sum: `1*L1_lf+0.05*MFID_ref_X_mu+0.01*FID_hr`.
    pub terms: String,
    /// Weight of the features' mean absolute difference, where a lesson has a teacher [default: 0].
    #[serde(default)]
    pub features: f64,
    /// The layer of VGG19 the contextual losses see.
    pub layer: Layer,
    /// The VGG19 file; empty where no contextual loss is used.
    pub vgg: PathBuf,
}

/// See [`Config::optimiser`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimiser {
    /// Learning rate at the first step.
    pub rate: f64,
    /// Learning rate at the last.
    pub final_rate: f64,
    /// Steps in all, one a window.
    pub steps: u64,
    /// Steps over which the rate rises from nothing to the cosine's [default: 0, as published].
    #[serde(default)]
    pub warmup: u64,
    /// Clip patches a step, in each process.
    pub batch: usize,
    /// `fp32`, `tf32` or `fp16`; without the key `fp32`.
    #[serde(default)]
    pub precision: Precision,
    /// Longest gradient.
    pub clip_norm: f64,
    /// Decay of the weights' running average; 0: none is kept.
    pub ema: f64,
    /// Names, or beginnings of names, of weights that stay as they are; `start` must give them.
    pub frozen: Vec<String>,
}

/// See [`Config::validation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// After every so many steps, at the next clip patch's end. 0: only at the end of the run.
    pub every: u64,
    /// The first so many clips. 0: no validation.
    pub clips: usize,
    /// The first so many frames of each.
    pub frames: usize,
}

/// See [`Config::output`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The state is saved after so many steps, at the next clip patch's end.
    pub save_every: u64,
    /// A strip of pictures for TensorBoard after so many steps.
    pub picture_every: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(share: &f64) -> bool {
    *share == 0.0
}

fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_one(n: &usize) -> bool {
    *n == 1
}

impl Config {
    /// A config file, or one of [`PRESETS`] by name, with overrides `a.b=value`.
    ///
    /// # Errors
    /// Where there is no such file, for unknown keys, values of a wrong type or outside their range.
    pub fn load(name: &str, overrides: &[String]) -> Result<Self> {
        let text = match PRESETS.iter().find(|(preset, _)| *preset == name) {
            Some((_, text)) => (*text).to_owned(),
            None => fs::read_to_string(name).with_context(|| {
                let names: Vec<_> = PRESETS.iter().map(|(n, _)| *n).collect();
                format!(
                    "config '{name}' is neither a file that can be read nor one of {}",
                    names.join(", ")
                )
            })?,
        };
        Self::parse(&text, overrides).with_context(|| format!("config '{name}'"))
    }

    /// The same from text.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self> {
        let mut table: toml::Table = text.parse()?;
        for text in overrides {
            set(&mut table, text).with_context(|| format!("--set {text}"))?;
        }
        let config: Self = toml::Value::Table(table).try_into()?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        self.model.validate()?;
        self.loss.terms.parse::<Losses>()?;
        let o = &self.optimiser;
        let positive = |name: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                Err(anyhow!("{name} is {value}, more than 0 expected"))
            }
        };
        positive("optimiser.rate", o.rate)?;
        positive("optimiser.clip_norm", o.clip_norm)?;
        ensure!(
            (0.0..=o.rate).contains(&o.final_rate),
            "optimiser.final_rate is {}, 0 to optimiser.rate expected",
            o.final_rate
        );
        ensure!(
            o.precision == Precision::Fp32 || self.device != "cpu",
            "optimiser.precision is {}, which needs a CUDA device, and device is cpu; --set optimiser.precision=fp32, or another device",
            o.precision
        );
        ensure!(
            (0.0..1.0).contains(&o.ema),
            "optimiser.ema is {}, 0 (none) to below 1 expected",
            o.ema
        );
        let counts = [
            ("optimiser.steps", o.steps),
            ("optimiser.batch", o.batch as u64),
            ("data.windows", self.data.windows as u64),
            ("data.places", self.data.places as u64),
            ("data.workers", self.data.workers as u64),
            ("data.ahead", self.data.ahead as u64),
            ("validation.frames", self.validation.frames as u64),
            ("output.save_every", self.output.save_every),
            ("output.picture_every", self.output.picture_every),
        ];
        for (name, count) in counts {
            ensure!(count >= 1, "{name} is 0, at least 1 expected");
        }
        let (patch, multiple) = (self.data.patch, self.model.size_multiple());
        let fits = i64::try_from(patch).is_ok_and(|p| p % multiple == 0 && p >= 2 * multiple);
        ensure!(
            fits,
            "data.patch is {patch}, a multiple of {multiple} and at least {} expected for this model",
            2 * multiple
        );
        let registered = self.model.variant.registers();
        let lessons = registered == (self.lesson != LessonKind::Windows);
        ensure!(
            lessons,
            "lesson is {:?}, which is not for variant {:?}",
            self.lesson,
            self.model.variant
        );
        ensure!(
            self.lesson.has_teacher() != self.start.teacher.as_os_str().is_empty(),
            "start.teacher is '{}' and lesson {:?}; the lessons trunks and steady need a teacher, the others have none",
            self.start.teacher.display(),
            self.lesson
        );
        check_shares("data", &[("recoloured", self.data.recoloured)])?;
        ensure!(
            self.data.recoloured == 0.0 || self.lesson.has_teacher() || self.lesson.has_films(),
            "data.recoloured is {}; only the lessons trunks, steady and live know what any colours should become, 0 expected",
            self.data.recoloured
        );
        if let Some(references) = &self.references {
            references.check()?;
        }
        let drawn = match self.lesson {
            LessonKind::Fusion => self.stage == Stage::Pretrain,
            lesson => lesson == LessonKind::Live,
        };
        ensure!(
            self.references.is_some() == drawn,
            "a section [references] is for lesson = \"fusion\" with stage = \"pretrain\" and for lesson = \"live\", which need one"
        );
        if let Some(films) = &self.films {
            films.check()?;
        }
        ensure!(
            self.films.is_some() == self.lesson.has_films(),
            "a section [films] is for the lessons steady and live, which need one"
        );
        ensure!(
            self.stage == Stage::Pretrain
                || !(self.lesson.has_teacher() || self.lesson.has_films()),
            "the lessons trunks, steady and live are for stage = \"pretrain\""
        );
        if self.stage == Stage::Adapt && !self.model.hd && !registered {
            bail!(
                "model.hd is false; adaptation makes a model for full-resolution input, which needs true"
            );
        }
        Ok(())
    }

    /// As a TOML file, every value in it.
    ///
    /// # Errors
    /// Where a value has no form in TOML.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string(self)?)
    }

    /// Frames of a clip patch: those of its windows, or, where a lesson sees the whole patch both
    /// ways, one an output.
    pub fn frames(&self) -> usize {
        match self.lesson {
            LessonKind::Windows => self.data.windows + self.model.frame_num - 1,
            _ => self.data.windows,
        }
    }

    /// How many of them repeat a frame at each end of a training clip: half a window, as published,
    /// unless windows end with the clip.
    pub fn repeats(&self) -> usize {
        if self.model.repeats_clip_ends() {
            self.model.look_ahead()
        } else {
            0
        }
    }

    /// How the steps are made, computing in `precision`.
    pub fn recipe(&self, precision: Precision) -> Recipe {
        let Optimiser {
            rate,
            final_rate,
            steps,
            warmup,
            clip_norm,
            ema,
            ..
        } = self.optimiser;
        let ema = (ema > 0.0).then_some(ema);
        Recipe {
            rate,
            final_rate,
            steps,
            warmup,
            clip_norm,
            ema,
            scaled: precision == Precision::Fp16,
            tf32: precision == Precision::Tf32,
        }
    }

    /// Names of the values in which two configs differ.
    ///
    /// # Errors
    /// Where a value has no form in TOML.
    pub fn difference(&self, other: &Self) -> Result<Vec<String>> {
        let flat = |c: &Self| -> Result<_> { Ok(flattened("", &toml::Value::try_from(c)?)) };
        let (mut a, mut b) = (flat(self)?, flat(other)?);
        a.retain(|entry| {
            !b.iter().any(|other| other == entry) || {
                b.retain(|other| other != entry);
                false
            }
        });
        let mut names: Vec<String> = a.into_iter().chain(b).map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }
}

fn flattened(name: &str, value: &toml::Value) -> Vec<(String, toml::Value)> {
    match value {
        toml::Value::Table(table) => {
            let inner = |key: &str| {
                if name.is_empty() {
                    key.to_owned()
                } else {
                    format!("{name}.{key}")
                }
            };
            table
                .iter()
                .flat_map(|(key, value)| flattened(&inner(key), value))
                .collect()
        }
        other => vec![(name.to_owned(), other.clone())],
    }
}

/// Sets `a.b=value`; what is no TOML value is taken as text, so that paths need no quotes.
fn set(table: &mut toml::Table, text: &str) -> Result<()> {
    let (name, value) = text
        .split_once('=')
        .context("NAME=VALUE expected, as in optimiser.rate=1e-4")?;
    let value = value.trim();
    let parsed = format!("v = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut t| t.remove("v"));
    let value = parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut keys: Vec<&str> = name.trim().split('.').collect();
    let last = keys.pop().unwrap_or_default();
    let mut table = table;
    for key in keys {
        let inner = table
            .get_mut(key)
            .with_context(|| format!("there is no section '{key}'"))?;
        table = inner
            .as_table_mut()
            .with_context(|| format!("'{key}' is no section"))?;
    }
    // A whole number will do where a fraction is expected.
    let value = match (table.get(last), &value) {
        (Some(toml::Value::Float(_)), toml::Value::Integer(n)) => toml::Value::Float(*n as f64),
        _ => value,
    };
    table.insert(last.to_owned(), value);
    Ok(())
}

/// Reads a run's saved config.
///
/// # Errors
/// Where it cannot be read.
pub fn read(path: &Path) -> Result<Config> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Config::parse(&text, &[]).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_parse_and_are_the_papers() {
        for (name, text) in PRESETS {
            let config = Config::parse(text, &[]).unwrap_or_else(|e| panic!("{name}: {e:#}"));
            if let Ok(model) = ModelConfig::preset(name) {
                assert_eq!(config.model, model, "{name}");
                assert_eq!(
                    config.stage,
                    if model.hd {
                        Stage::Adapt
                    } else {
                        Stage::Pretrain
                    },
                    "{name}"
                );
            }
            assert_eq!(
                Config::parse(&config.to_toml().unwrap(), &[]).unwrap(),
                config,
                "{name}"
            );
            let bare = text.lines().filter(|l| {
                l.contains(" = ") && !l.trim_start().starts_with('#') && !l.contains(" # ")
            });
            assert_eq!(
                bare.collect::<Vec<_>>(),
                Vec::<&str>::new(),
                "{name}: every value says why"
            );
        }
    }

    #[test]
    fn overrides_are_typed_and_unknown_keys_refused() {
        let text = PRESETS[0].1;
        let with = |overrides: &[&str]| {
            Config::parse(
                text,
                &overrides
                    .iter()
                    .map(|s| (*s).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let config = with(&[
            "optimiser.rate=1",
            "data.root=/some/where",
            "optimiser.frozen=[\"a\", \"b\"]",
            "seed = 7",
        ])
        .unwrap();
        assert_eq!(
            (
                config.optimiser.rate,
                config.seed,
                config.optimiser.frozen.len()
            ),
            (1.0, 7, 2)
        );
        assert_eq!(config.data.root, Path::new("/some/where"));
        assert_eq!(
            config.difference(&with(&[]).unwrap()).unwrap(),
            ["data.root", "optimiser.frozen", "optimiser.rate", "seed"]
        );
        for (bad, why) in [
            ("optimiser.speed=1", "speed"),
            ("nothing.at=1", "nothing"),
            ("seed.a=1", "seed"),
            ("seed", "NAME=VALUE"),
            ("optimiser.steps=0", "optimiser.steps is 0"),
            ("optimiser.rate=fast", "invalid type"),
            ("loss.terms=L7", "L7"),
            ("data.patch=63", "data.patch is 63"),
            ("stage=adapt", "model.hd"),
            (
                "optimiser.precision=bf16",
                "bf16', which tch's autocast cannot do; fp32, tf32 or fp16",
            ),
            (
                "optimiser.precision=half",
                "'half', fp32, tf32 or fp16 expected",
            ),
        ] {
            let message = format!("{:#}", with(&[bad]).unwrap_err());
            assert!(message.contains(why), "{bad}: {message}");
        }
    }
}
