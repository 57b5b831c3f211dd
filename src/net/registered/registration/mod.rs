//! Registration: a reference camera's picture laid on the ultra-wide frame to a fraction of a
//! pixel.
//!
//! A [`Placement`] (zoom, rotation, shift) says where the other camera looks, found by [`search`]
//! in a clip's first frames. [`register`] finds what remains, parallax for the most part: optical
//! flow, then Lucas-Kanade steps. Nothing here is learnt but the flow network, and nothing is kept
//! between calls: what the next frame starts from is a value, [`Track`].
//!
//! [`register`] never waits for the device: whether a reference holds, and where its camera looks,
//! is computed there, and takes effect there. The host reads it when it asks for it
//! ([`Registered::read`]). Only [`search`] waits.
//!
//! The pixel at p of the ultra-wide frame is seen at `similarity(p + flow)` in the reference
//! brought to the ultra-wide frame's density. Flows are in ultra-wide pixels, positions of pixel
//! centres whole numbers.

mod comparison;
mod density;
mod fit;
mod follower;
mod last;
mod lucas_kanade;
mod placement;
mod register;
mod sampling;
mod sighting;
mod similarity;
mod tone;
mod verdict;
mod zoom;

pub use comparison::{Laid, lay};
pub use density::at_density;
pub use follower::Follower;
pub use placement::Placement;
pub use register::{Registered, Track, register};
pub use sampling::{Interpolation, pixels, sample};
pub use sighting::Sighting;
pub use similarity::Similarity;
pub use verdict::{Place, Verdict};
pub use zoom::{TELE_ZOOMS, WIDE_ZOOMS, Zooms, can_be_found, search};
