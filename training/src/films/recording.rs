//! Encoders that films go through, as those of cameras and phones.

use crate::{
    data::random::Random,
    footage::recorded::{Chroma, Encoder, Recording},
};

/// Shares of the encoders, with the finest and the coarsest quantizer drawn.
const ENCODERS: [(f64, Encoder, u32, u32); 3] = [
    (0.6, Encoder::X264, 16, 38),
    (0.25, Encoder::X265, 16, 38),
    (0.15, Encoder::Vp9, 20, 52),
];
/// Frames from one key frame to the next: from those of cameras for editing to those of streams.
const GROUPS: (f64, f64) = (8.0, 250.0);

/// Draws a recording for so large a share of films.
pub fn draw(random: &mut Random, share: f64) -> Option<Recording> {
    if share <= 0.0 || random.between(0.0, 1.0) >= share {
        return None;
    }
    let mut left = random.between(0.0, 1.0);
    let mut drawn = ENCODERS[0];
    for each in ENCODERS {
        drawn = each;
        if left < each.0 {
            break;
        }
        left -= each.0;
    }
    let (_, encoder, finest, coarsest) = drawn;
    let group = GROUPS.0 * (GROUPS.1 / GROUPS.0).powf(random.between(0.0, 1.0));
    Some(Recording {
        encoder,
        quantizer: finest + random.below(u64::from(coarsest - finest) + 1) as u32,
        group: group.round() as u32,
        chroma: Chroma::Quarter,
    })
}
