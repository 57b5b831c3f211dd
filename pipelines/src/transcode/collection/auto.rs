//! What `auto` stands for, decided once for a whole job: its processes may run on machines that differ.

use crate::model::Model;
use crate::transcode::graph::NetworkOptions;
use anyhow::{Context, Result, bail};
use refvsr::{Bundled, DeviceChoice, Precision};

const MODEL: &str = "model";
const PRECISION: &str = "precision";

/// What stands for `auto`; nothing where the user named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auto {
    model: Option<Bundled>,
    precision: Option<Precision>,
}

impl Auto {
    /// What the user was told by another process of the job, else what suits this machine.
    pub fn of(options: &NetworkOptions, told: &[(String, String)]) -> Result<Self> {
        let (mut model, mut precision) = (None, None);
        for (name, value) in told {
            match (name.as_str(), value.parse::<Model>()) {
                (MODEL, Ok(Model::Bundled(bundled))) => model = Some(bundled),
                (MODEL, _) => {
                    bail!("--auto model={value}: expected is the name of a bundled model")
                }
                (PRECISION, _) => precision = Some(value.parse().context("--auto")?),
                _ => bail!("--auto {name}={value}: expected is model=NAME or precision=NAME"),
            }
        }
        let device = || -> Result<_> { Ok(options.device.parse::<DeviceChoice>()?.resolve()?) };
        let named = |(name, value): &(String, String)| name == PRECISION && value != "auto";
        if options.model != Model::Auto {
            model = None;
        } else if model.is_none() {
            model = Some(Bundled::choose(None, device()?)?);
        }
        if options.properties.iter().any(named) {
            precision = None;
        } else if precision.is_none() {
            precision = Some(Precision::Auto.on(device()?));
        }
        Ok(Self { model, precision })
    }

    /// Puts it in place of `auto`.
    pub fn apply(&self, options: &NetworkOptions) -> NetworkOptions {
        let mut options = options.clone();
        if let Some(model) = self.model {
            options.model = Model::Bundled(model);
        }
        if let Some(precision) = self.precision {
            let (name, value) = (PRECISION.to_owned(), precision.to_string());
            options.properties.push((name, value));
        }
        options
    }

    /// The arguments by which another process of the job is told.
    pub fn arguments(&self) -> Vec<String> {
        let model = self.model.map(|model| format!("{MODEL}={}", model.name()));
        let precision = self
            .precision
            .map(|precision| format!("{PRECISION}={precision}"));
        let both = model.into_iter().chain(precision);
        both.map(|word| format!("--auto={word}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(model: Model, properties: &[(&str, &str)]) -> NetworkOptions {
        let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        NetworkOptions {
            model,
            device: "cpu".into(),
            properties: properties.iter().map(owned).collect(),
        }
    }

    #[test]
    fn auto_is_decided_once_and_told_to_others() {
        let told = |words: &[&str]| -> Vec<_> {
            let pair = |word: &&str| word.split_once('=').map(|(a, b)| (a.into(), b.into()));
            words.iter().filter_map(pair).collect()
        };
        let plain = options(Model::Auto, &[]);
        let auto = Auto::of(&plain, &told(&["model=quality", "precision=fp16"])).unwrap();
        assert_eq!(
            auto.arguments(),
            ["--auto=model=quality", "--auto=precision=fp16"]
        );
        let applied = auto.apply(&plain);
        assert_eq!(applied.model, Model::Bundled(Bundled::Quality));
        assert_eq!(applied.properties, told(&["precision=fp16"]));

        let here = Auto::of(&plain, &[]).unwrap();
        assert_eq!(
            here.model,
            Some(Bundled::choose(None, tch::Device::Cpu).unwrap())
        );
        assert!(
            here.precision
                .is_some_and(|precision| precision != Precision::Auto)
        );

        // What the user named stays.
        let named = options(Model::Bundled(Bundled::Light), &[("precision", "fp32")]);
        let auto = Auto::of(&named, &told(&["model=quality"])).unwrap();
        assert_eq!(auto.apply(&named).model, named.model);
        assert!(auto.arguments().is_empty());
        for wrong in ["model=mine.pth", "precision=fp64", "device=cpu"] {
            let message = format!("{:#}", Auto::of(&plain, &told(&[wrong])).unwrap_err());
            assert!(
                message.contains("--auto") && message.contains("expected")
                    || message.contains("fp32"),
                "{message}"
            );
        }
    }
}
