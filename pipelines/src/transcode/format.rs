//! Which pixel formats an encoder is offered, so that depth and colour resolution of the recording stay.

use gst_video::{VideoFormat, VideoFormatInfo, VideoInfo};

/// Formats that lose nothing that can be kept, and whether bits are lost nevertheless.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    pub formats: Vec<VideoFormat>,
    pub loses_depth: bool,
}

/// Chooses among what an encoder takes. Pictures in RGB become 4:2:0 for encoders that lose anyway: what has full colour resolution
/// does not play on most devices.
pub fn choose(offered: &[VideoFormat], input: &VideoInfo, lossless: bool) -> Choice {
    let info = |format: &VideoFormat| VideoFormatInfo::from_format(*format);
    let wanted = input.format_info();
    let depth = |info: VideoFormatInfo| info.depth().first().copied().unwrap_or(8).min(16);
    let usable: Vec<_> = offered
        .iter()
        .copied()
        // FFV1 has no RGB of 8 bits without a fourth channel; as padding it would be 0, and players show nothing.
        .filter(|format| {
            !info(format).has_alpha()
                || (*format == VideoFormat::Bgra && lossless)
                || wanted.has_alpha()
        })
        .filter(|format| !matches!(format, VideoFormat::Bgrx | VideoFormat::Rgbx))
        .collect();
    let deepest = usable.iter().map(|f| depth(info(f))).max().unwrap_or(8);
    let least = usable
        .iter()
        .map(|f| depth(info(f)))
        .filter(|bits| *bits >= depth(wanted))
        .min()
        .unwrap_or(deepest);
    let deep: Vec<_> = usable
        .into_iter()
        .filter(|f| depth(info(f)) == least)
        .collect();
    let sampling = |info: VideoFormatInfo| {
        info.is_yuv()
            .then(|| (info.w_sub().get(1).copied(), info.h_sub().get(1).copied()))
    };
    let goal = match sampling(wanted) {
        None if !lossless => Some((Some(1), Some(1))),
        own => own,
    };
    let alike: Vec<_> = deep
        .iter()
        .copied()
        .filter(|f| sampling(info(f)) == goal)
        .collect();
    Choice {
        formats: if alike.is_empty() { deep } else { alike },
        loses_depth: least < depth(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use VideoFormat as F;

    fn chosen(offered: &[F], input: F, lossless: bool) -> (Vec<F>, bool) {
        gst::init().unwrap();
        let input = VideoInfo::builder(input, 64, 64).build().unwrap();
        let choice = choose(offered, &input, lossless);
        (choice.formats, choice.loses_depth)
    }

    const X264: [F; 7] = [
        F::Y444,
        F::Y42b,
        F::I420,
        F::Nv12,
        F::Y44410le,
        F::I42210le,
        F::I42010le,
    ];
    const FFV1: [F; 6] = [F::I420, F::Y444, F::Bgrx, F::Bgra, F::I42010le, F::Gbr12le];

    #[test]
    fn depth_and_colour_resolution_stay() {
        assert_eq!(
            chosen(&X264, F::I42010le, false),
            (vec![F::I42010le], false)
        );
        assert_eq!(
            chosen(&X264, F::P01010le, false),
            (vec![F::I42010le], false)
        );
        assert_eq!(
            chosen(&X264, F::Nv12, false),
            (vec![F::I420, F::Nv12], false)
        );
        assert_eq!(chosen(&X264, F::Y42b, false), (vec![F::Y42b], false));
        assert_eq!(
            chosen(&X264, F::Rgb, false),
            (vec![F::I420, F::Nv12], false)
        );
        assert_eq!(chosen(&FFV1, F::Rgb, true), (vec![F::Bgra], false));
    }

    #[test]
    fn lost_bits_are_told() {
        assert_eq!(
            chosen(&[F::I420], F::P01010le, false),
            (vec![F::I420], true)
        );
        assert!(chosen(&[F::Rgb, F::Rgba], F::Rgba64Le, true).1);
        assert_eq!(chosen(&X264, F::Rgba64Le, false), (vec![F::I42010le], true));
    }
}
