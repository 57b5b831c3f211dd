//! Files that are no recordings, before anything waits for them.

use anyhow::{Result, bail};
use image::ImageFormat;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// What may be given in place of a recording.
const EXPECTED: &str = "a video file or a folder of numbered PNG files is expected";

/// Fails where a path leads to something that cannot be read several times, or to a picture. What is not there is told where it is
/// opened.
pub fn check(path: &Path) -> Result<()> {
    let shown = path.display();
    let Ok(data) = std::fs::metadata(path) else {
        return Ok(());
    };
    let kind = data.file_type();
    let special = [
        (
            kind.is_fifo(),
            "a pipe, whose content can be read only once (write it to a file first)",
        ),
        (kind.is_socket(), "a socket"),
        (kind.is_char_device(), "a device"),
    ];
    if let Some((_, what)) = special.iter().find(|(is, _)| *is) {
        bail!("{shown} is {what}; {EXPECTED}")
    }
    if kind.is_file() && data.len() == 0 {
        bail!("{shown} is empty; {EXPECTED}")
    }
    if let Some(format) = picture(path) {
        bail!("{shown} is a picture ({format}), not a recording; {EXPECTED}")
    }
    Ok(())
}

/// The format of a picture. A stream of JPEG pictures begins like one of them.
fn picture(path: &Path) -> Option<&'static str> {
    let mut start = [0; 32];
    let length = File::open(path)
        .and_then(|mut file| file.read(&mut start))
        .ok()?;
    match image::guess_format(&start[..length]).ok()? {
        ImageFormat::Gif => Some("GIF, whose animation has no end"),
        ImageFormat::Jpeg if is_single(path)? => Some("JPEG"),
        ImageFormat::Png => Some("PNG"),
        ImageFormat::WebP => Some("WebP"),
        ImageFormat::Tiff => Some("TIFF"),
        ImageFormat::Bmp => Some("BMP"),
        ImageFormat::OpenExr => Some("OpenEXR"),
        _ => None,
    }
}

/// Larger files are no single pictures.
const LARGEST_PICTURE: u64 = 64 << 20;

/// Whether no picture begins where a JPEG picture ends.
fn is_single(path: &Path) -> Option<bool> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(LARGEST_PICTURE).read_to_end(&mut bytes).ok()?;
    let goes_on = |four: &[u8]| four == [0xff, 0xd9, 0xff, 0xd8];
    Some((bytes.len() as u64) < LARGEST_PICTURE && !bytes.windows(4).any(goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_recording_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let said = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            check(&path)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        assert!(said(b"GIF89a@\0").contains("GIF"));
        assert!(said(b"\x89PNG\r\n\x1a\n").contains("PNG"));
        assert!(said(b"").contains("is empty"));
        let jpeg = b"\xff\xd8\xff\xe0 a picture \xff\xd9";
        assert!(said(jpeg).contains("JPEG"));
        for good in [&jpeg.repeat(2)[..], b"\0\0\0\x18ftypmp42", b"\x1aE\xdf\xa3"] {
            assert_eq!(said(good), "");
        }
        let device = check(Path::new("/dev/null")).unwrap_err().to_string();
        assert!(device.contains("/dev/null is a device"), "{device}");
        check(&folder.path().join("none")).unwrap();
    }
}
