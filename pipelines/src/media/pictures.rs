//! A folder of numbered PNG files: one clip of RealMCVSR.

use anyhow::{Context, Result, bail, ensure};
use gst_app::AppSrc;
use image::{ColorType, DynamicImage};
use refvsr_tools::picture::read;
use std::path::{Path, PathBuf};
use std::thread;

/// The files of a clip, in the order of their numbers.
#[derive(Debug, Clone)]
pub struct Pictures {
    folder: PathBuf,
    files: Vec<PathBuf>,
    framerate: gst::Fraction,
    info: gst_video::VideoInfo,
}

impl Pictures {
    /// Lists a folder and looks at its first file.
    ///
    /// # Errors
    /// One message that names the folder or file: no PNG files, a number left out, a first file that is no PNG.
    pub fn open(folder: &Path, framerate: gst::Fraction) -> Result<Self> {
        let files = list(folder)?;
        let first = read(&files[0])?;
        let format = match first.color() {
            ColorType::Rgb16 | ColorType::Rgba16 | ColorType::L16 | ColorType::La16 => {
                gst_video::VideoFormat::Rgba64Le
            }
            _ => gst_video::VideoFormat::Rgb,
        };
        let info = gst_video::VideoInfo::builder(format, first.width(), first.height())
            .fps(framerate)
            .build()
            .with_context(|| format!("{} is too large a picture", files[0].display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            files,
            framerate,
            info,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The files.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Their format.
    pub fn format(&self) -> &gst_video::VideoInfo {
        &self.info
    }

    /// Hands all frames to `to` from a thread of its own, which ends when `to` takes no more. `failed` is told of a file that cannot
    /// be read.
    pub fn play(&self, to: AppSrc, failed: impl FnOnce(anyhow::Error) + Send + 'static) {
        let clip = self.clone();
        thread::spawn(move || match clip.push_all(&to) {
            Ok(()) => _ = to.end_of_stream(),
            Err(error) => failed(error),
        });
    }

    fn push_all(&self, to: &AppSrc) -> Result<()> {
        to.set_caps(Some(&self.info.to_caps()?));
        for (number, file) in self.files.iter().enumerate() {
            let picture = read(file)?;
            let (width, height) = (picture.width(), picture.height());
            ensure!(
                (width, height) == (self.info.width(), self.info.height()),
                "{} has {width}x{height} pixels, the frames before it {}x{}",
                file.display(),
                self.info.width(),
                self.info.height()
            );
            let mut buffer = self.buffer(picture)?;
            let inner = buffer.make_mut();
            let (pts, end) = (self.time(number), self.time(number + 1));
            inner.set_pts(pts);
            inner.set_duration(end - pts);
            if to.push_buffer(buffer).is_err() {
                // The pipeline is being taken down.
                return Ok(());
            }
        }
        Ok(())
    }

    /// How long all of them last.
    pub fn duration(&self) -> gst::ClockTime {
        self.time(self.files.len())
    }

    /// When frame `number` begins.
    pub fn time(&self, number: usize) -> gst::ClockTime {
        let (frames, seconds) = (
            self.framerate.numer() as u128,
            self.framerate.denom() as u128,
        );
        let time =
            number as u128 * seconds * u128::from(gst::ClockTime::SECOND.nseconds()) / frames;
        gst::ClockTime::from_nseconds(time as u64)
    }

    /// The picture as a buffer of [`Self::format`]; rows are padded as GStreamer has them.
    fn buffer(&self, picture: DynamicImage) -> Result<gst::Buffer> {
        let (bytes, row) = if self.info.format() == gst_video::VideoFormat::Rgba64Le {
            let samples = picture.into_rgba16().into_raw();
            (samples.iter().flat_map(|s| s.to_le_bytes()).collect(), 8)
        } else {
            (picture.into_rgb8().into_raw(), 3)
        };
        let (row, stride) = (
            self.info.width() as usize * row,
            self.info.stride()[0] as usize,
        );
        if row == stride {
            return Ok(gst::Buffer::from_mut_slice(bytes));
        }
        let mut padded = vec![0u8; self.info.size()];
        for (to, from) in padded.chunks_mut(stride).zip(bytes.chunks(row)) {
            to[..row].copy_from_slice(from);
        }
        Ok(gst::Buffer::from_mut_slice(padded))
    }
}

/// The PNG files of a folder, by number. Numbers may start anywhere, but none may be left out.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let (mut numbered, mut other) = (Vec::new(), None);
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot read the folder {}", folder.display()))?
            .path();
        let png = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        match (png, number) {
            (true, Some(number)) => numbered.push((number, path)),
            (true, None) => other = Some(path),
            (false, _) => (),
        }
    }
    numbered.sort();
    if numbered.is_empty() {
        let other = other.map(|other| format!(", but {}", name(&other)));
        bail!(
            "{} holds no PNG files that are named by numbers alone, 0000.png and so on{}",
            folder.display(),
            other.unwrap_or_default()
        )
    }
    for pair in numbered.windows(2) {
        if pair[1].0 == pair[0].0 {
            bail!(
                "{} holds frame {} twice: {} and {}",
                folder.display(),
                pair[0].0,
                name(&pair[0].1),
                name(&pair[1].1)
            )
        }
        if pair[1].0 != pair[0].0 + 1 {
            bail!(
                "{} lacks frame {}: {} follows {}",
                folder.display(),
                pair[0].0 + 1,
                name(&pair[1].1),
                name(&pair[0].1)
            )
        }
    }
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_listed_by_number_and_holes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(
            list(folder.path())
                .unwrap_err()
                .to_string()
                .contains("named by numbers alone")
        );
        for name in ["0009.png", "0010.PNG", "0011.png", "notes.txt", "cover.png"] {
            std::fs::write(path(name), "").unwrap();
        }
        let files = list(folder.path()).unwrap();
        assert_eq!(
            files,
            [path("0009.png"), path("0010.PNG"), path("0011.png")]
        );
        std::fs::remove_file(path("0010.PNG")).unwrap();
        let message = list(folder.path()).unwrap_err().to_string();
        assert!(message.contains("lacks frame 10"), "{message}");
        std::fs::write(path("9.png"), "").unwrap();
        let message = list(folder.path()).unwrap_err().to_string();
        assert!(
            message.contains("holds frame 9 twice: 0009.png and 9.png"),
            "{message}"
        );
        assert!(
            list(&path("none"))
                .unwrap_err()
                .to_string()
                .contains("none")
        );
    }

    #[test]
    fn times_do_not_drift() {
        gst::init().unwrap();
        let clip = Pictures {
            folder: PathBuf::new(),
            files: vec![],
            framerate: gst::Fraction::new(30000, 1001),
            info: gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, 8, 8)
                .build()
                .unwrap(),
        };
        assert_eq!(clip.time(30000), gst::ClockTime::from_seconds(1001));
        assert_eq!(clip.time(1).nseconds(), 33_366_666);
    }
}
