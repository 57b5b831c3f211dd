//! How a camera was held: the eight ways a picture can be turned and mirrored (tag `image-orientation`).

/// What has to be done to a picture to see it upright: first mirrored left to right, then turned clockwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orientation {
    mirrored: bool,
    /// Quarter turns clockwise, 0 to 3.
    turns: u8,
}

impl Orientation {
    /// Reads the tag's value: `rotate-90` or `flip-rotate-90`, for instance. Anything else is upright. The tag mirrors after it turns.
    pub fn from_tag(tag: &str) -> Self {
        let (mirrored, rest) = match tag.strip_prefix("flip-") {
            Some(rest) => (true, rest),
            None => (false, tag),
        };
        let turns = match rest {
            "rotate-0" => 0,
            "rotate-90" => 1,
            "rotate-180" => 2,
            "rotate-270" => 3,
            _ => return Self::default(),
        };
        let turns = if mirrored { (4 - turns) % 4 } else { turns };
        Self { mirrored, turns }
    }

    /// Reads the matrix by which a QuickTime or MP4 track is shown: where it takes (1, 0) and (0, 1), y downwards. Sizes do not matter.
    pub fn from_matrix(right: (i32, i32), down: (i32, i32)) -> Option<Self> {
        let sign = |(x, y): (i32, i32)| match x.unsigned_abs() > y.unsigned_abs() {
            true => (x.signum(), 0),
            false => (0, y.signum()),
        };
        let wanted = (sign(right), sign(down));
        (0..8)
            .map(|n| Self {
                mirrored: n >= 4,
                turns: n % 4,
            })
            .find(|way| (way.moved((1, 0)), way.moved((0, 1))) == wanted)
    }

    /// Where the pixel (x, y) of a square picture with sides from -1 to 1 goes, y downwards.
    fn moved(self, (x, y): (i32, i32)) -> (i32, i32) {
        let start = if self.mirrored { (-x, y) } else { (x, y) };
        (0..self.turns).fold(start, |(x, y), _| (-y, x))
    }

    /// Whether nothing has to be done.
    pub fn is_upright(self) -> bool {
        self == Self::default()
    }

    /// This, and then `next`.
    pub fn then(self, next: Self) -> Self {
        // A turn before a mirror is the opposite turn after it.
        let turns = if next.mirrored {
            4 - self.turns
        } else {
            self.turns
        };
        Self {
            mirrored: self.mirrored != next.mirrored,
            turns: (turns + next.turns) % 4,
        }
    }

    /// What undoes it.
    pub fn inverse(self) -> Self {
        let turns = if self.mirrored {
            self.turns
        } else {
            4 - self.turns
        };
        Self {
            mirrored: self.mirrored,
            turns: turns % 4,
        }
    }

    /// The `method` of `videoflip` that does it.
    pub fn videoflip_method(self) -> &'static str {
        match (self.mirrored, self.turns) {
            (false, 0) => "none",
            (false, 1) => "clockwise",
            (false, 2) => "rotate-180",
            (false, _) => "counterclockwise",
            (true, 0) => "horizontal-flip",
            (true, 1) => "upper-right-diagonal",
            (true, 2) => "vertical-flip",
            (true, _) => "upper-left-diagonal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Orientation> {
        (0..8).map(|n| Orientation {
            mirrored: n >= 4,
            turns: n % 4,
        })
    }

    #[test]
    fn composition_is_one_after_the_other() {
        for a in all() {
            for b in all() {
                for point in [(1, 0), (0, 1), (2, 3)] {
                    assert_eq!(
                        a.then(b).moved(point),
                        b.moved(a.moved(point)),
                        "{a:?} {b:?}"
                    );
                }
            }
            assert!(
                a.then(a.inverse()).is_upright() && a.inverse().then(a).is_upright(),
                "{a:?}"
            );
        }
    }

    #[test]
    fn tags_and_videoflip_agree_as_in_gstreamer() {
        for (tag, method) in [
            ("rotate-90", "clockwise"),
            ("rotate-270", "counterclockwise"),
            ("flip-rotate-0", "horizontal-flip"),
            ("flip-rotate-90", "upper-left-diagonal"),
            ("flip-rotate-180", "vertical-flip"),
            ("flip-rotate-270", "upper-right-diagonal"),
        ] {
            assert_eq!(
                Orientation::from_tag(tag).videoflip_method(),
                method,
                "{tag}"
            );
        }
        assert!(Orientation::from_tag("sideways").is_upright());
    }

    #[test]
    fn matrices_turn_as_they_say() {
        let one = 1 << 16;
        for way in all() {
            let scaled = |(x, y): (i32, i32)| (x * one, y * one);
            let matrix = (scaled(way.moved((1, 0))), scaled(way.moved((0, 1))));
            assert_eq!(Orientation::from_matrix(matrix.0, matrix.1), Some(way));
        }
        assert_eq!(Orientation::from_matrix((0, 0), (0, 0)), None);
    }
}
