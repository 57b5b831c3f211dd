//! The models that are part of this library.

use crate::{Error, Result, checkpoint::Checkpoint};
use refvsr_models::{CONTENTS, FILES};
use std::path::Path;
use tch::Device;

/// One of the bundled models, in the order of the package's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bundled {
    /// Gives the best pictures.
    Quality,
    /// Takes less work.
    Light,
    /// For viewfinders: no look-ahead, and a tenth of `Light`'s work. It takes no tele camera.
    Live,
}

impl Bundled {
    /// All bundled models.
    pub const ALL: [Self; 3] = [Self::Quality, Self::Light, Self::Live];

    /// Its name.
    pub fn name(self) -> &'static str {
        FILES[self as usize].0
    }

    /// Its file in the repository, as in `models/light.safetensors`.
    pub fn file(self) -> String {
        format!("models/{}", FILES[self as usize].1)
    }

    /// The file's content, if this library was built with it.
    pub fn content(self) -> Option<&'static [u8]> {
        CONTENTS[self as usize]
    }

    /// The model that is wanted, or the one for a device: [`Quality`](Self::Quality) on CUDA,
    /// [`Light`](Self::Light) on a CPU, or another one where this library was built without that.
    ///
    /// # Errors
    /// [`Error::Unsupported`], naming the files, where this library was built without it.
    pub fn choose(wanted: Option<Self>, device: Device) -> Result<Self> {
        choose(wanted, device, Self::is_present)
    }

    /// Its weights and config.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where this library was built without it.
    pub fn checkpoint(self) -> Result<Checkpoint> {
        let content = self.content().ok_or_else(|| missing(Some(self)))?;
        Checkpoint::parse(content, Path::new(&self.file()))
    }

    fn is_present(self) -> bool {
        self.content().is_some()
    }
}

fn choose(
    wanted: Option<Bundled>,
    device: Device,
    is_present: impl Fn(Bundled) -> bool,
) -> Result<Bundled> {
    let candidates = match (wanted, device) {
        (Some(one), _) => vec![one],
        (None, Device::Cpu) => vec![Bundled::Light, Bundled::Quality, Bundled::Live],
        (None, _) => vec![Bundled::Quality, Bundled::Light, Bundled::Live],
    };
    let found = candidates.into_iter().find(|&model| is_present(model));
    found.ok_or_else(|| missing(wanted))
}

fn missing(wanted: Option<Bundled>) -> Error {
    let what = match wanted {
        Some(model) => format!("model '{}'", model.name()),
        None => "a bundled model".to_owned(),
    };
    let states = Bundled::ALL.map(|model| {
        let there = if model.is_present() { "" } else { "not " };
        format!("{} was {there}there", model.file())
    });
    Error::Unsupported {
        what,
        why: format!(
            "when this was built {}; name a model file instead",
            states.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Bundled::*, *};

    #[test]
    fn the_device_decides_where_nothing_is_asked_for() {
        let cuda = Device::Cuda(0);
        for (wanted, device, present, expected) in [
            (None, Device::Cpu, &[Quality, Light][..], Some(Light)),
            (None, cuda, &[Quality, Light], Some(Quality)),
            (None, Device::Cpu, &[Quality], Some(Quality)),
            (None, cuda, &[Light], Some(Light)),
            (Some(Quality), Device::Cpu, &[Quality, Light], Some(Quality)),
            (Some(Light), cuda, &[Quality, Light], Some(Light)),
            (Some(Live), cuda, &[Quality, Live], Some(Live)),
            (None, Device::Cpu, &[Live], Some(Live)),
            (Some(Light), Device::Cpu, &[Quality], None),
            (None, Device::Cpu, &[], None),
        ] {
            let found = choose(wanted, device, |model| present.contains(&model));
            assert_eq!(found.ok(), expected, "{wanted:?} on {device:?}");
        }
    }

    #[test]
    fn a_missing_model_is_an_error_that_names_both_files() {
        for (wanted, name) in [(Some(Light), "'light'"), (None, "a bundled model")] {
            let error = choose(wanted, Device::Cpu, |_| false).unwrap_err();
            let text = error.to_string();
            let files = Bundled::ALL.map(Bundled::file);
            assert!(
                text.contains(name) && files.iter().all(|file| text.contains(file)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_bundled_are_models() {
        assert_eq!(
            Bundled::ALL.map(Bundled::name),
            ["quality", "light", "live"]
        );
        let present = Bundled::ALL.into_iter().filter(|model| model.is_present());
        let mut bytes = 0;
        for model in present {
            let checkpoint = model.checkpoint().unwrap();
            assert_eq!(checkpoint.config.scale, 4, "{model:?}");
            bytes += model.content().unwrap().len();
        }
        assert!((1..=34 << 20).contains(&bytes), "{bytes} bytes in all");
    }
}
