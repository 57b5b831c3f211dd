//! A run's config: a TOML file, with single values overridden from the command line.

mod sections;

pub use sections::{Data, LessonKind, Loss, Optimiser, Output, Stage, Start, Validation, Weights};

use crate::{
    data::processor::check_shares, films::Films, lessons::registered::camera::References,
    losses::Losses, optimise::Recipe, precision::Precision,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use refvsr::ModelConfig;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

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
mod tests;
