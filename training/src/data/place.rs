//! Where patches are cut: the same part of the scene from each camera, give or take a few pixels.

use super::{random::Random, tree::Lens};
use anyhow::{Result, ensure};

/// Where the patches of one clip start, `[x, y]` in pixels of each camera's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// In the ultra-wide frames.
    pub ultrawide: [usize; 2],
    /// In the wide frames of the same density.
    pub wide: [usize; 2],
    /// In the tele frames of the same density.
    pub tele: [usize; 2],
}

/// Largest shift of wide patches against where the focal lengths put them, in their own pixels.
const WIDE_SHIFT: usize = 30;
/// The same of tele patches.
const TELE_SHIFT: usize = 60;

/// Draws a place for an ultra-wide patch of side `patch` in frames of `size` (width, height). The
/// ultra-wide patch lies inside the field of the camera `within`. With frame width W the wide patch starts at (x - W/4) 2 + d, d uniform in
/// 0..=30, the tele patch at (x - 8 W/20) 5 + d', d' in 0..=60; both span the same part of the
/// scene (2 and 5 times as many pixels).
///
/// In frames too small for the full shift, the shift ends at the frame's edge.
///
/// # Errors
/// Where a patch does not fit the frame at all.
pub fn place(
    random: &mut Random,
    size: (usize, usize),
    patch: usize,
    within: Lens,
) -> Result<Place> {
    let mut place = Place {
        ultrawide: [0; 2],
        wide: [0; 2],
        tele: [0; 2],
    };
    for (axis, side) in [size.0, size.1].into_iter().enumerate() {
        ensure!(
            patch * within.zoom() <= side,
            "frames of {} x {} pixels are too small for ultra-wide patches of {patch}: the {within} patch is {} pixels large; \
             choose patches of at most {}",
            size.0,
            size.1,
            patch * within.zoom(),
            size.0.min(size.1) / within.zoom()
        );
        // The narrowest camera sees [first, first + side / zoom) of the ultra-wide frame.
        let (zoom, shift) = match within {
            Lens::Ultrawide => (1, 0),
            Lens::Wide => (2, WIDE_SHIFT),
            Lens::Tele => (5, TELE_SHIFT),
        };
        let first = (side * (zoom - 1)).div_ceil(2 * zoom);
        let last = (side * (zoom + 1) / (2 * zoom))
            .saturating_sub(patch + shift / zoom)
            .max(first)
            .min(side - patch);
        let first = first.min(last);
        let x = first + random.below((last - first + 1) as u64) as usize;
        place.ultrawide[axis] = x;
        place.wide[axis] = start(random, x, side, Lens::Wide, 2 * patch, WIDE_SHIFT);
        place.tele[axis] = start(random, x, side, Lens::Tele, 5 * patch, TELE_SHIFT);
    }
    Ok(place)
}

/// Where a patch of another camera starts, kept inside its frame.
fn start(
    random: &mut Random,
    x: usize,
    side: usize,
    lens: Lens,
    patch: usize,
    shift: usize,
) -> usize {
    let d = random.below(shift as u64 + 1) as usize;
    let at = match lens {
        Lens::Ultrawide => x + d,
        Lens::Wide => (2 * x + d).saturating_sub(side / 2),
        Lens::Tele => (5 * x + d).saturating_sub(2 * side),
    };
    at.min(side.saturating_sub(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realmcvsr_sizes_follow_the_formulas() {
        for k in 0..2000 {
            // Pre-training: LR frames, patches of 64.
            let p = place(&mut Random::new(1, 0, k), (480, 270), 64, Lens::Wide).unwrap();
            for (axis, side) in [480usize, 270].into_iter().enumerate() {
                let (x, w) = (p.ultrawide[axis], p.wide[axis]);
                assert!(x >= side / 4 && x + 64 <= side * 3 / 4);
                let d = w as i64 - (2 * x as i64 - side as i64 / 2);
                assert!((0..=30).contains(&d) && w + 128 <= side, "{p:?}");
            }
            // Adaptation: full resolution, patches of 128.
            let p = place(&mut Random::new(1, 1, k), (1920, 1080), 128, Lens::Tele).unwrap();
            for (axis, side) in [1920usize, 1080].into_iter().enumerate() {
                let (x, w, t) = (p.ultrawide[axis], p.wide[axis], p.tele[axis]);
                assert!(x >= side * 2 / 5 && x + 128 <= side * 3 / 5);
                assert!(
                    (0..=30).contains(&(w as i64 - (2 * x as i64 - side as i64 / 2)))
                        && w + 256 <= side
                );
                assert!(
                    (0..=60).contains(&(t as i64 - (5 * x as i64 - 2 * side as i64)))
                        && t + 640 <= side,
                    "{p:?}"
                );
            }
        }
    }

    #[test]
    fn small_frames_shorten_the_shift() {
        for k in 0..200 {
            let p = place(&mut Random::new(1, 0, k), (40, 32), 16, Lens::Wide).unwrap();
            assert!(
                p.wide[0] + 32 <= 40 && p.wide[1] == 0 && p.ultrawide[0] + 16 <= 40,
                "{p:?}"
            );
            place(&mut Random::new(1, 0, k), (81, 80), 16, Lens::Tele).unwrap();
        }
        let text = place(&mut Random::new(0, 0, 0), (40, 30), 16, Lens::Wide)
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("40 x 30") && text.contains("at most 15"),
            "{text}"
        );
    }
}
