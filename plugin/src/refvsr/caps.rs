//! Which output caps follow from the ultra-wide caps, and the other way round.

use super::video::{FORMATS, MAX_SIZE, TEMPLATE, Video};
use gst_video::{VideoColorimetry, VideoFormatInfo, VideoInfo};

/// All caps that ultra-wide video of these caps can be put out with, the best first: its own format, then others of its kind,
/// then the rest.
pub fn source_caps(ultrawide: &Video, scale: i32) -> Option<gst::Caps> {
    let enlarged = |side: u32| {
        let side = i32::try_from(side).ok()?.checked_mul(scale)?;
        (side <= MAX_SIZE).then_some(side)
    };
    let width = enlarged(ultrawide.info.width())?;
    let height = enlarged(ultrawide.info.height())?;
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
        match min == max {
            true => structure.set(side, min),
            false if min < max => structure.set(side, gst::IntRange::new(min, max)),
            false => return false,
        }
        return true;
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
