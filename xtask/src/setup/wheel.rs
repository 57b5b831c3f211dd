//! Unpacking chosen files of a wheel, which is a zip archive.

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use zip::ZipArchive;

/// An opened wheel.
pub struct Wheel {
    archive: ZipArchive<BufReader<File>>,
    name: String,
}

impl Wheel {
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let archive = ZipArchive::new(BufReader::new(file))
            .with_context(|| format!("{} is no readable zip archive", path.display()))?;
        Ok(Self {
            archive,
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        })
    }

    /// Its file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True when it holds the file.
    pub fn holds(&self, file: &str) -> bool {
        self.archive.index_for_name(file).is_some()
    }

    /// Writes every file for which `place` names a path, relative to `folder`, and shows a bar. Returns how many.
    pub fn unpack(
        &mut self,
        folder: &Path,
        place: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<usize> {
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        for index in 0..self.archive.len() {
            let entry = self
                .archive
                .by_index(index)
                .with_context(|| format!("{} is damaged", self.name))?;
            let name = entry.name()?;
            if let Some(path) = place(&name).filter(|_| entry.is_file()) {
                if path
                    .components()
                    .any(|component| !matches!(component, Component::Normal(_)))
                {
                    bail!(
                        "{} holds {name:?}, which would lie outside the folder",
                        self.name
                    );
                }
                chosen.push((index, path));
                bytes += entry.size();
            }
        }
        eprintln!(
            "unpacking {} file(s), {:.1} MB, of {}",
            chosen.len(),
            bytes as f64 / 1e6,
            self.name
        );
        let bar = bar(bytes);
        for (index, path) in &chosen {
            let path = folder.join(path);
            self.write(*index, &path, &bar)
                .with_context(|| format!("cannot unpack {} from {}", path.display(), self.name))?;
        }
        bar.finish_and_clear();
        Ok(chosen.len())
    }

    fn write(&mut self, index: usize, path: &Path, bar: &ProgressBar) -> Result<()> {
        let mut entry = self.archive.by_index(index)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::create(path)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            // At the end this also compares the checksum.
            let count = entry.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            file.write_all(&buffer[..count])?;
            bar.inc(count as u64);
        }
        let mode = entry.unix_mode().map_or(0o644, |mode| mode & 0o777 | 0o600);
        file.set_permissions(PermissionsExt::from_mode(mode))?;
        Ok(())
    }
}

fn bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    if let Ok(style) =
        ProgressStyle::with_template("  [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar
}
