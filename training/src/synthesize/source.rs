//! Videos, through GStreamer, and photos.

use crate::data::png::Picture;
use anyhow::{Context, Result, bail, ensure};
use image::{DynamicImage, ImageDecoder, ImageReader};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

/// Whether a file is a photo by its name (.jpg, .jpeg, .png); all others are taken for videos.
pub fn is_photo(path: &Path) -> bool {
    path.extension().is_some_and(|e| {
        ["jpg", "jpeg", "png"]
            .iter()
            .any(|known| e.eq_ignore_ascii_case(known))
    })
}

/// Reads a photo, turned upright.
///
/// # Errors
/// Where it cannot be read; names it.
pub fn photo(path: &Path) -> Result<Picture> {
    let read = || -> Result<Picture> {
        let mut decoder = ImageReader::open(path)?
            .with_guessed_format()?
            .into_decoder()?;
        let orientation = decoder.orientation()?;
        let mut image = DynamicImage::from_decoder(decoder)?;
        image.apply_orientation(orientation);
        let image = image.into_rgb8();
        Ok(Picture {
            width: image.width() as usize,
            height: image.height() as usize,
            data: image.into_raw(),
        })
    };
    read().with_context(|| format!("photo {}", path.display()))
}

/// The frames of a video, in order. Decoded by a `gst-launch-1.0` process, whatever format GStreamer's plugins understand.
pub struct Video {
    path: PathBuf,
    child: Child,
    frames: BufReader<ChildStdout>,
    messages: File,
    /// Frames read so far.
    count: usize,
    size: Option<(usize, usize)>,
}

impl Video {
    /// Starts decoding.
    ///
    /// # Errors
    /// Where the file or GStreamer is not there.
    pub fn open(path: &Path) -> Result<Self> {
        // The file is the process's standard input: names need no quoting, and formats that must be sought in (MP4) can be.
        const PIPELINE: &str = "fdsrc ! decodebin ! videoconvert ! \
             video/x-raw,format=RGB ! videoflip video-direction=auto ! pnmenc ! fdsink";
        let file = File::open(path).with_context(|| format!("video {}", path.display()))?;
        let messages = tempfile::tempfile().context("a temporary file")?;
        let mut child = Command::new("gst-launch-1.0")
            .arg("--quiet")
            .args(PIPELINE.split_whitespace())
            .stdin(file)
            .stdout(Stdio::piped())
            .stderr(messages.try_clone()?)
            .spawn()
            .context("starting gst-launch-1.0, which decodes videos (Debian: gstreamer1.0-tools, -plugins-good, -plugins-bad, -libav)")?;
        let frames = BufReader::with_capacity(
            1 << 20,
            child.stdout.take().context("no pipe from gst-launch-1.0")?,
        );
        Ok(Self {
            path: path.to_owned(),
            child,
            frames,
            messages,
            count: 0,
            size: None,
        })
    }

    /// The next frame; none after the last.
    ///
    /// # Errors
    /// Where decoding fails, with GStreamer's own words.
    pub fn next_frame(&mut self) -> Result<Option<Picture>> {
        let frame = self
            .read_frame()
            .with_context(|| format!("frame {} of video {}", self.count, self.path.display()))?;
        self.count += usize::from(frame.is_some());
        Ok(frame)
    }

    fn read_frame(&mut self) -> Result<Option<Picture>> {
        if self.frames.fill_buf()?.is_empty() {
            let status = self.child.wait()?;
            ensure!(
                status.success() && self.count > 0,
                "GStreamer could not decode it ({status}): {}",
                self.messages()
            );
            return Ok(None);
        }
        let header = [self.token()?, self.token()?, self.token()?, self.token()?];
        let number = |text: &str| {
            text.parse::<usize>()
                .ok()
                .filter(|n| (1..=65_536).contains(n))
        };
        let [magic, width, height, depth] = &header;
        let (Some(width), Some(height), "P6", "255") = (
            number(width),
            number(height),
            magic.as_str(),
            depth.as_str(),
        ) else {
            bail!(
                "GStreamer put out something else than PPM pictures: {header:?}; {}",
                self.messages()
            );
        };
        let expected = *self.size.get_or_insert((width, height));
        ensure!(
            expected == (width, height),
            "the picture's size changes from {} x {} to {width} x {height}",
            expected.0,
            expected.1
        );
        let mut data = vec![0; width * height * 3];
        if self.frames.read_exact(&mut data).is_err() {
            bail!("GStreamer stopped in mid-frame: {}", self.messages());
        }
        Ok(Some(Picture {
            width,
            height,
            data,
        }))
    }

    /// A word of a PPM header; one white space after it is taken too.
    fn token(&mut self) -> Result<String> {
        let mut token = String::new();
        let mut byte = [0];
        loop {
            self.frames.read_exact(&mut byte)?;
            match byte[0] {
                b'#' => _ = self.frames.read_until(b'\n', &mut vec![])?,
                b if b.is_ascii_whitespace() && token.is_empty() => {}
                b if b.is_ascii_whitespace() => return Ok(token),
                b => token.push(b.into()),
            }
            ensure!(
                token.len() < 16,
                "GStreamer put out something else than PPM pictures"
            );
        }
    }

    /// What GStreamer said, on one line.
    fn messages(&mut self) -> String {
        let mut text = String::new();
        _ = self
            .messages
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.messages.read_to_string(&mut text));
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .take(4)
            .collect();
        if lines.is_empty() {
            "it said nothing".into()
        } else {
            lines.join("; ")
        }
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        _ = self.child.kill(); // it may be waiting for a reader
        _ = self.child.wait();
    }
}
