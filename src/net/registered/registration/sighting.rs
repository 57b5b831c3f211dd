//! Where a reference camera was seen.

use super::placement::Placement;

/// A reference camera as it was seen last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    /// Where it looks.
    pub placement: Placement,
    /// How alike its picture and the ultra-wide one were, see [`Laid::agreement`](super::Laid::agreement).
    pub agreement: f64,
    /// Its last picture held. `false`: it shows something else at present.
    pub holds: bool,
    /// It has not held for so long that it is looked for anew.
    pub lost: bool,
}
