//! Which output caps follow from the ultra-wide caps, and the other way round.

use super::video::{FORMATS, MAX_SIZE, TEMPLATE, Video};
use gst_video::{VideoColorimetry, VideoFormatInfo, VideoInfo};

/// All caps that ultra-wide video of these caps can be put out with, the best first: its own format, then others of its kind,
/// then the rest.
pub fn source_caps(ultrawide: &Video, scale: i32) -> Option<gst::Caps> {
    let width = i32::try_from(ultrawide.info.width())
        .ok()?
        .checked_mul(scale)?;
    let height = i32::try_from(ultrawide.info.height())
        .ok()?
        .checked_mul(scale)?;
    if width > MAX_SIZE || height > MAX_SIZE {
        return None;
    }
    let own = ultrawide.info.format();
    let mut base = ultrawide.caps.structure(0)?.to_owned();
    base.set("width", width);
    base.set("height", height);
    base.set("interlace-mode", "progressive");
    // Said outright: what is taken for granted depends on the height.
    base.set("colorimetry", ultrawide.info.colorimetry().to_string());

    let mut caps = gst::Caps::new_empty();
    let all = caps.get_mut()?;
    all.append_structure(base.clone());
    let is_rgb = |format| VideoFormatInfo::from_format(format).is_rgb();
    let others = |rgb| {
        FORMATS
            .iter()
            .map(|(f, _)| *f)
            .filter(move |f| *f != own && is_rgb(*f) == rgb)
            .map(|f| f.to_str().to_string())
    };
    for same_kind in [true, false] {
        let mut other = base.clone();
        other.set(
            "format",
            gst::List::new(others(ultrawide.info.is_rgb() == same_kind)),
        );
        if !same_kind {
            // Set when the format has been chosen.
            other.remove_fields(["colorimetry", "chroma-site"]);
        }
        all.append_structure(other);
    }
    Some(caps)
}

/// Fixes the caps to put out, of those that downstream takes. Where the choice crosses from R'G'B' to Y'CbCr or back, transfer
/// function and primaries stay.
pub fn fixate_source(ultrawide: &Video, mut caps: gst::Caps) -> gst::Caps {
    caps.truncate();
    caps.fixate();
    let crossing = caps
        .structure(0)
        .is_some_and(|s| !s.has_field("colorimetry"));
    if crossing && let Ok(info) = VideoInfo::from_caps(&caps) {
        let (ours, usual) = (ultrawide.info.colorimetry(), info.colorimetry());
        let colorimetry = VideoColorimetry::new(
            usual.range(),
            usual.matrix(),
            ours.transfer(),
            ours.primaries(),
        );
        caps.make_mut().set("colorimetry", colorimetry.to_string());
    }
    caps
}

/// Which ultra-wide caps lead to an output that downstream takes.
pub fn ultrawide_caps(downstream: &gst::Caps, scale: i32) -> gst::Caps {
    let mut caps = gst::Caps::new_empty();
    if let Some(all) = caps.get_mut() {
        for (structure, features) in downstream.iter_with_features() {
            let mut input = structure.to_owned();
            // Formats are converted, and chroma and colours with them.
            input.remove_fields(["format", "colorimetry", "chroma-site"]);
            if ["width", "height"]
                .into_iter()
                .all(|side| divide(&mut input, side, scale))
            {
                all.append_structure_full(input, Some(features.to_owned()));
            }
        }
    }
    caps.intersect_with_mode(&TEMPLATE, gst::CapsIntersectMode::First)
}

/// Divides a size, or a range or list of sizes. `false`: nothing remains.
fn divide(structure: &mut gst::Structure, side: &str, scale: i32) -> bool {
    if scale <= 0 {
        return false;
    }
    let Ok(value) = structure.value(side).cloned() else {
        return true;
    };
    let one = |n: i32| (n % scale == 0).then_some(n / scale);
    if let Ok(n) = value.get::<i32>() {
        return one(n).map(|n| structure.set(side, n)).is_some();
    }
    if let Ok(range) = value.get::<gst::IntRange<i32>>() {
        let (min, max) = (
            range.min() / scale + i32::from(range.min() % scale > 0),
            range.max() / scale,
        );
        return match min.cmp(&max) {
            std::cmp::Ordering::Less => {
                structure.set(side, gst::IntRange::new(min, max));
                true
            }
            std::cmp::Ordering::Equal => {
                structure.set(side, min);
                true
            }
            std::cmp::Ordering::Greater => false,
        };
    }
    if let Ok(list) = value.get::<gst::List>() {
        let sizes: Vec<i32> = list
            .iter()
            .filter_map(|v| v.get::<i32>().ok())
            .filter_map(one)
            .collect();
        structure.set(side, gst::List::new(sizes.iter().copied()));
        return !sizes.is_empty();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::refvsr::image::colour::{Matrix, Range};
    use std::str::FromStr;

    fn video(caps: &str) -> Video {
        gst::init().unwrap();
        Video::new(&gst::Caps::from_str(caps).unwrap()).unwrap()
    }

    fn chosen(caps: &str, downstream: &str) -> Option<gst::Caps> {
        let video = video(caps);
        let caps = source_caps(&video, 4).unwrap();
        let caps = caps.intersect_with_mode(
            &gst::Caps::from_str(downstream).unwrap(),
            gst::CapsIntersectMode::First,
        );
        (!caps.is_empty()).then(|| fixate_source(&video, caps))
    }

    #[test]
    fn source_keeps_everything_but_the_size() {
        let input = "video/x-raw,format=NV12,width=160,height=120,framerate=24000/1001,pixel-aspect-ratio=8/9,colorimetry=bt709,chroma-site=mpeg2";
        let caps = chosen(input, "video/x-raw").unwrap();
        let s = caps.structure(0).unwrap();
        assert_eq!(
            (s.get::<i32>("width"), s.get::<i32>("height")),
            (Ok(640), Ok(480))
        );
        assert_eq!(s.get::<&str>("format"), Ok("NV12"));
        assert_eq!(s.get::<&str>("colorimetry"), Ok("bt709"));
        assert_eq!(s.get::<&str>("chroma-site"), Ok("mpeg2"));
        assert_eq!(s.get("framerate"), Ok(gst::Fraction::new(24000, 1001)));
        assert_eq!(s.get("pixel-aspect-ratio"), Ok(gst::Fraction::new(8, 9)));
    }

    #[test]
    fn colorimetry_does_not_change_with_the_height() {
        // 240 lines mean BT.601 where nothing is said, 960 would mean BT.709.
        let caps = chosen(
            "video/x-raw,format=I420,width=320,height=240",
            "video/x-raw",
        )
        .unwrap();
        let out = Video::new(&caps).unwrap();
        assert_eq!(out.layout.matrix, Matrix::Bt601);
        assert_eq!(out.layout.range, Range::Limited);
    }

    #[test]
    fn downstream_may_choose_another_format() {
        let input = "video/x-raw,format=I420,width=16,height=16,colorimetry=bt709";
        let caps = chosen(input, "video/x-raw,format={RGB,NV12}").unwrap();
        assert_eq!(
            caps.structure(0).unwrap().get::<&str>("format"),
            Ok("NV12"),
            "the same kind first"
        );
        let caps = chosen(input, "video/x-raw,format=RGB").unwrap();
        let out = Video::new(&caps).unwrap();
        assert_eq!(
            (out.layout.matrix, out.layout.range),
            (Matrix::Rgb, Range::Full)
        );
        assert_eq!(
            out.info.colorimetry().primaries(),
            gst_video::VideoColorPrimaries::Bt709
        );
        let caps = chosen(
            "video/x-raw,format=RGB,width=16,height=16",
            "video/x-raw,format=I420",
        )
        .unwrap();
        let out = Video::new(&caps).unwrap();
        assert_eq!(
            (out.layout.matrix, out.layout.range),
            (Matrix::Bt601, Range::Limited)
        );
        assert!(chosen(input, "video/x-raw,format=GRAY8").is_none());
        assert!(chosen(input, "video/x-raw,width=17").is_none());
    }

    #[test]
    fn interlaced_unknown_and_oversized_video_is_refused() {
        gst::init().unwrap();
        let caps = gst::Caps::from_str(
            "video/x-raw,format=I420,width=16,height=16,interlace-mode=interleaved",
        )
        .unwrap();
        assert!(Video::new(&caps).unwrap_err().contains("interlaced"));
        let caps = gst::Caps::from_str("video/x-raw,format=GRAY8,width=16,height=16").unwrap();
        let why = Video::new(&caps).unwrap_err().to_uppercase();
        assert!(why.contains("GRAY8"), "{why}");
        let caps = gst::Caps::from_str(
            "video/x-raw,format=I420,width=16,height=16,multiview-mode=side-by-side",
        )
        .unwrap();
        assert!(Video::new(&caps).unwrap_err().contains("stereo"));
        assert!(source_caps(&video("video/x-raw,format=RGB,width=20000,height=16"), 4).is_none());
    }

    #[test]
    fn sizes_downstream_wants_are_divided() {
        gst::init().unwrap();
        let size = |caps: &str| {
            let caps = ultrawide_caps(&gst::Caps::from_str(caps).unwrap(), 4);
            caps.structure(0).map(|s| {
                (
                    s.value("width").unwrap().clone(),
                    s.value("height").unwrap().clone(),
                )
            })
        };
        let (w, h) = size("video/x-raw,width=1920,height=[5,63]").unwrap();
        assert_eq!(w.get::<i32>().unwrap(), 480);
        let h = h.get::<gst::IntRange<i32>>().unwrap();
        assert_eq!((h.min(), h.max()), (2, 15));
        assert!(size("video/x-raw,width=1921").is_none());
        assert!(size("video/x-raw,width=[5,7]").is_none());
        let (w, _) = size("video/x-raw,width={8,9,12},height=4").unwrap();
        assert_eq!(w.get::<gst::List>().unwrap().len(), 2);
        assert!(size("video/x-raw,format=I420,width=8,height=8").is_some());
    }
}
