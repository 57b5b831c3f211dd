//! What a file is that holds no model, in a user's words.

/// How much of a text is shown.
const SHOWN: usize = 40;

/// What a file looks like.
pub fn describe(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(512)];
    let kind = match start {
        [] => return "an empty file".into(),
        [0x80, ..] => "a bare pickle, not one of PyTorch's",
        [0x1f, 0x8b, ..] => "a gzip file, to be unpacked first",
        [0x08, _, 0x12, ..] => "an ONNX model, whose weights cannot be read here",
        [0x89, b'H', b'D', b'F', ..] => "an HDF5 file, of Keras for instance",
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => "a TensorFlow Lite model",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "a video, not a model",
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] => "a picture, not a model",
        _ if start.starts_with(b"version https://git-lfs") => {
            "a pointer of Git LFS in place of the file itself (git lfs pull fetches it)"
        }
        _ if is_page(start) => {
            "a web page, as download sites give it in place of the file; fetch the file itself"
        }
        _ => return other(bytes),
    };
    kind.into()
}

/// Whether a text is HTML.
fn is_page(start: &[u8]) -> bool {
    let text = String::from_utf8_lossy(start).to_ascii_lowercase();
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    ["<!doctype html", "<html", "<head", "<?xml"]
        .iter()
        .any(|tag| text.starts_with(tag))
}

fn other(bytes: &[u8]) -> String {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let shown = &line[..line.len().min(SHOWN)];
    let size = bytes.len();
    match std::str::from_utf8(shown) {
        Ok(text) if !text.is_empty() && !text.chars().any(char::is_control) => {
            format!("a text of {size} bytes that begins with '{text}'")
        }
        _ => format!("a file of {size} bytes of an unknown kind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_users_know_them() {
        let cases: [(&[u8], &str); 11] = [
            (b"", "empty"),
            (b"<!DOCTYPE html><html>", "web page"),
            (b"\n <html lang=en>", "web page"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid",
                "Git LFS",
            ),
            (b"404: Not Found", "begins with '404: Not Found'"),
            (b"\x08\x07\x12\x07pytorch", "ONNX"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"\x89HDF\r\n", "HDF5"),
            (b"\0\0\0\x18ftypmp42", "video"),
            (b"\xff\xd8\xff\xe0", "picture"),
            (b"\x01\x02\x03", "3 bytes of an unknown kind"),
        ];
        for (bytes, expected) in cases {
            assert!(
                describe(bytes).contains(expected),
                "{expected}: {}",
                describe(bytes)
            );
        }
    }
}
