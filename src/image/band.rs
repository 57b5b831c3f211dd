//! Large pictures are converted in bands of rows, so that nothing else of a picture's size is needed.

use super::format::{ImageLayout, PlaneSize};

/// Pixels of a band, about.
const PIXELS: usize = 1 << 20;
/// Rows that are converted with a band and not used, on either side: those its chroma depends on.
const MARGIN: usize = 2;

/// Some rows of a picture. All but the last band have an even number of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Band {
    /// The first of its rows.
    pub(super) first: usize,
    /// How many it has.
    pub(super) rows: usize,
    /// Rows above it that are converted too.
    pub(super) above: usize,
    /// The same below.
    below: usize,
}

/// The bands of a picture, top to bottom.
pub(super) fn bands(layout: &ImageLayout) -> impl Iterator<Item = Band> + use<> {
    let (height, width) = (layout.height, layout.width.max(1));
    let most = (PIXELS / width / 2 * 2).max(2);
    (0..height).step_by(most).map(move |first| {
        let rows = most.min(height - first);
        Band {
            first,
            rows,
            above: MARGIN.min(first),
            below: MARGIN.min(height - first - rows),
        }
    })
}

impl Band {
    /// The layout of its rows and those converted with them.
    pub(super) fn layout(self, picture: &ImageLayout) -> ImageLayout {
        ImageLayout {
            height: self.above + self.rows + self.below,
            ..*picture
        }
    }

    /// The first row that is converted.
    pub(super) fn start(self) -> usize {
        self.first - self.above
    }

    /// The same in rows of one of the picture's planes, which may have one row to two of the picture's.
    pub(super) fn in_plane(self, plane: PlaneSize, picture: &ImageLayout) -> Self {
        if plane.rows == picture.height {
            return self;
        }
        Self {
            first: self.first / 2,
            rows: self.rows.div_ceil(2),
            above: self.above / 2,
            below: self.below.div_ceil(2),
        }
    }

    /// Rows that are converted.
    pub(super) fn height(self) -> usize {
        self.above + self.rows + self.below
    }
}
