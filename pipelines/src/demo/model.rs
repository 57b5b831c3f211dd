//! The models that the demonstration enlarges with.

use super::Args;
use refvsr::Bundled;
use std::path::{Path, PathBuf};

/// A model to enlarge with.
pub struct Model {
    pub name: String,
    /// The element's property that chooses it, and its value.
    pub choice: (&'static str, String),
}

impl Model {
    /// The one that was asked for, else those that come with the element, the better one last.
    pub fn of(args: &Args) -> Vec<Self> {
        let Some(file) = &args.model else {
            let bundled = Bundled::ALL.into_iter().rev();
            return bundled
                .filter(|model| model.content().is_some())
                .map(|model| Self {
                    name: model.name().to_owned(),
                    choice: ("model", model.name().to_owned()),
                })
                .collect();
        };
        let stem = file.file_stem().unwrap_or(file.as_os_str());
        vec![Self {
            name: stem.to_string_lossy().into_owned(),
            choice: ("model-file", file.to_string_lossy().into_owned()),
        }]
    }

    /// The name of the enlarged video.
    pub fn video(&self) -> String {
        format!("{}-4x.mp4", self.name)
    }

    /// Where its frames are kept until they are compared.
    pub fn frames(&self, folder: &Path, wide: bool) -> PathBuf {
        let with = if wide { "with" } else { "without" };
        folder.join(format!("{}-{with}-wide.rgb", self.name))
    }
}
