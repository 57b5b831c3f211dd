//! Pictures whose form changes in the middle of a recording.

use gst_video::{VideoInfo, VideoInterlaceMode};

/// What the caps say of the bytes in a buffer. Everything else is the whole recording's.
const OF_BUFFERS: [&str; 8] = [
    "format",
    "width",
    "height",
    "pixel-aspect-ratio",
    "colorimetry",
    "chroma-site",
    "interlace-mode",
    "field-order",
];

/// The caps of the first picture, with what says how a later one's bytes lie. The frame rate in them stays the first: encoders would
/// begin anew at another one, and frames have times of their own.
pub fn form(first: &gst::Caps, new: &gst::Caps) -> gst::Caps {
    let mut caps = first.clone();
    let inner = caps.make_mut();
    if let (Some(to), Some(from)) = (inner.structure_mut(0), new.structure(0)) {
        for field in OF_BUFFERS {
            match from.value(field) {
                Ok(value) => to.set_value(field, value.clone()),
                Err(_) => to.remove_field(field),
            }
        }
    }
    caps
}

/// What changes from one picture to the next, in words; none where nothing does that matters.
pub fn words(old: &gst::Caps, new: &gst::Caps) -> Option<String> {
    let (old, new) = (
        VideoInfo::from_caps(old).ok()?,
        VideoInfo::from_caps(new).ok()?,
    );
    let size = |info: &VideoInfo| format!("{}x{}", info.width(), info.height());
    let shape = |info: &VideoInfo| format!("{}:{}", info.par().numer(), info.par().denom());
    let format = |info: &VideoInfo| info.format().to_str().to_string();
    let colours = |info: &VideoInfo| info.colorimetry().to_string();
    let all: [(&str, [String; 2]); 4] = [
        ("size", [&old, &new].map(size)),
        ("shape of pixels", [&old, &new].map(shape)),
        ("pixel format", [&old, &new].map(format)),
        ("colours", [&old, &new].map(colours)),
    ];
    let changes: Vec<_> = all
        .iter()
        .filter(|(_, [old, new])| old != new)
        .map(|(what, [old, new])| format!("{what} from {old} to {new}"))
        .collect();
    (!changes.is_empty()).then(|| changes.join(", "))
}

/// How the lines of a picture were filmed at several moments; none where the picture is whole.
pub fn interlacing(caps: &gst::CapsRef) -> Option<&'static str> {
    let info = VideoInfo::from_caps(caps).ok()?;
    match info.interlace_mode() {
        VideoInterlaceMode::Progressive => None,
        VideoInterlaceMode::Mixed => Some("partly interlaced"),
        _ => Some("interlaced"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(width: i32, rate: i32) -> gst::Caps {
        gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", width)
            .field("height", 48)
            .field("framerate", gst::Fraction::new(rate, 1))
            .build()
    }

    #[test]
    fn the_form_follows_and_the_frame_rate_stays() {
        gst::init().unwrap();
        let first = caps(64, 25);
        let light = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", 64)
            .field("height", 48)
            .field("framerate", gst::Fraction::new(25, 1))
            .field("content-light-level", "1000:400")
            .build();
        assert_eq!(form(&first, &caps(96, 50)), caps(96, 25));
        let lit = form(&light, &caps(96, 25));
        assert_eq!(
            lit.structure(0).unwrap().get("content-light-level"),
            Ok("1000:400")
        );
        assert_eq!(words(&first, &caps(64, 50)), None);
        let text = words(&first, &caps(96, 25)).unwrap();
        assert_eq!(text, "size from 64x48 to 96x48");
        assert_eq!(interlacing(&first), None);
    }
}
