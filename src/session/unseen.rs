//! What is to be said where frames are too small for a reference camera to be found in them.

use crate::net::registered::registration::Zooms;
use std::fmt;

/// A reference camera that cannot be found, since it covers too few pixels of the ultra-wide frame. Its
/// frames add nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Unseen {
    /// Which: its frames' name in messages.
    pub what: &'static str,
    /// Height and width of the ultra-wide frames.
    pub frame: (i64, i64),
    /// Height and width of the camera's frames.
    pub reference: (i64, i64),
    /// The zooms at which it is looked for.
    pub zooms: Zooms,
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            frame: (h, w),
            reference: (rows, columns),
            zooms: Zooms { from, to },
        } = self;
        write!(
            f,
            "{w}x{h} frames are too small to find the {what} ({columns}x{rows}) in them, so it adds nothing: \
             that takes frames of more than 32 pixels a side, of which the camera covers 15 at a zoom of \
             {from:.1} to {to:.1}"
        )
    }
}
