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
mod fit;
mod follower;
mod lucas_kanade;
mod placement;
mod sampling;
mod similarity;
mod tone;
mod verdict;
mod zoom;

pub use comparison::{Laid, lay};
pub use follower::{Follower, Sighting};
pub use placement::{Placement, Rectangle};
pub use sampling::{Interpolation, pixels, sample};
pub use similarity::Similarity;
pub use verdict::{Place, Verdict};
pub use zoom::{TELE_ZOOMS, WIDE_ZOOMS, Zooms, can_be_found, search};

use super::{
    flow::SpyNet,
    ops::{bilinear, size},
};
use crate::{
    Result,
    image::resize::{bicubic_antialiased, check_reference_area},
};
use fit::Fit;
use lucas_kanade::{Pair, Pass};
use sampling::{doubled, filled, inside};
use tch::{Kind, Tensor};
use tone::Tone;

/// What a frame's registration starts from: the last frame's.
#[derive(Debug)]
pub struct Track {
    /// Where the reference camera looks.
    pub placement: Placement,
    /// What the placement leaves, `[1, 2, h, w]` in ultra-wide pixels over the whole frame; `None`:
    /// nothing is known of it.
    pub flow: Option<Tensor>,
}

impl Track {
    /// The same tensor once more.
    pub fn shallow_clone(&self) -> Self {
        Self {
            placement: self.placement,
            flow: self.flow.as_ref().map(Tensor::shallow_clone),
        }
    }
}

impl From<Placement> for Track {
    fn from(placement: Placement) -> Self {
        Self {
            placement,
            flow: None,
        }
    }
}

/// A reference laid on a part of the ultra-wide frame.
#[derive(Debug)]
pub struct Registered {
    /// The part of the frame.
    pub field: Rectangle,
    /// Pixels that cover an ultra-wide pixel in each direction: 2 for the wide camera, 4 for the
    /// tele camera.
    pub density: i64,
    /// The reference on it, `[1, 3, d height, d width]` with d the density and the field's sides. Where
    /// it does not hold, its mask is 0.
    pub laid: Laid,
    /// What its placement leaves, as [`Track::flow`].
    pub flow: Tensor,
    /// Whether it holds, and where its camera looks.
    pub verdict: Verdict,
}

impl Registered {
    /// What the next frame starts from, and how well this one agreed; `None`: the reference does not
    /// hold. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where the device fails.
    pub fn read(&self) -> Result<Option<(Track, f64)>> {
        let place = self.verdict.read()?;
        Ok(place.map(
            |Place {
                 placement,
                 agreement,
             }| {
                let flow = Some(self.flow.shallow_clone());
                (Track { placement, flow }, agreement)
            },
        ))
    }
}

/// Pixels about the field in which the flow network looks for what the field shows.
const MARGIN: i64 = 16;
/// The flow network takes sides of multiples of this as they are.
const FLOW_MULTIPLE: i64 = 32;
/// Pixels that the field has about the reference as it lay in the last frame: for its mask to fade out
/// in, and for what it has moved since.
const EDGE: i64 = 2;
/// The field's sides are multiples of this, so that its size rarely changes while the placement
/// drifts.
const FIELD_MULTIPLE: i64 = 8;
/// Wide windows first, for things that the flow network missed, then the fine ones.
const PASSES: [Pass; 2] = [
    Pass {
        window: 6.0,
        steps: 2,
        smoothing: 6.0,
    },
    Pass {
        window: 3.0,
        steps: 4,
        smoothing: 4.0,
    },
];
/// A picture's density may be off by this: resizing it would blur its finest detail.
const NEARLY: f64 = 1.1;

/// The density of reference pictures, in pixels an ultra-wide pixel in each direction, and a
/// picture at it.
///
/// `picture` `[1, 3, H, W]` is resized so that `density` of its pixels cover an ultra-wide pixel at
/// this zoom; it is not touched where the density is right to a tenth already.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where that would make it more than 32 times as large as the
/// ultra-wide frame, [`Error::Torch`](crate::Error::Torch) where memory runs out.
pub fn at_density(
    picture: &Tensor,
    ultrawide: (i64, i64),
    zoom: f64,
    density: i64,
) -> Result<Tensor> {
    let (factor, (h, w)) = dense("reference frame", size(picture), ultrawide, zoom, density)?;
    if (1.0 / NEARLY..NEARLY).contains(&factor) {
        return Ok(picture.shallow_clone());
    }
    Ok(bicubic_antialiased(picture, h, w)?.f_clamp(0.0, 1.0)?)
}

/// How many times larger each side of a picture of this size (height, width) is at the density, and its
/// size there. `what` stands for it in the error, if that is absurd.
fn dense(
    what: &str,
    (h, w): (i64, i64),
    ultrawide: (i64, i64),
    zoom: f64,
    density: i64,
) -> Result<(f64, (i64, i64))> {
    let factor = (ultrawide.1 * density) as f64 / zoom / w as f64;
    let scaled = |n: i64| ((n as f64 * factor).round() as i64).max(1);
    let wanted = (scaled(h), scaled(w));
    let given = format!("{w}x{h} at zoom {}", (zoom * 1000.0).round() / 1000.0);
    check_reference_area(what, &given, wanted, ultrawide)?;
    Ok((factor, wanted))
}

/// Lays `reference` on `frame`, starting from `start`. `frame` is `[1, 3, h, w]`, `reference`
/// `[1, 3, H, W]` from [`at_density`], both RGB in \[0, 1\] and f32.
///
/// A reference that shows something else, or has no detail to go by, does not hold: its mask is 0
/// then, and it is to be treated as missing. `None` where it lies outside of the frame. How much it has
/// to agree follows from where `start` looks, and so does its field.
///
/// # Errors
/// [`Error::Torch`](crate::Error::Torch) where memory runs out.
pub fn register(
    flow_net: &SpyNet,
    frame: &Tensor,
    reference: &Tensor,
    density: i64,
    start: &Track,
) -> Result<Option<Registered>> {
    let (ultrawide, (h, w)) = (size(frame), size(reference));
    if h < density || w < density {
        return Ok(None);
    }
    let small = reference.f_avg_pool2d(
        [density, density],
        [density, density],
        [0, 0],
        false,
        true,
        None,
    )?;
    // Rows and columns that do not fill a pixel are not in the small picture, but in its size.
    let d = density as f64;
    let sizes = (ultrawide, (h as f64 / d, w as f64 / d));
    let Some(around) = start
        .placement
        .field(sizes.0, sizes.1, MARGIN, FLOW_MULTIPLE)
    else {
        return Ok(None);
    };
    let part = crop(frame, around)?;
    let grid = pixels(
        around.top,
        around.left,
        around.height,
        around.width,
        frame.device(),
    )?;
    let Some(field) = start
        .placement
        .field(sizes.0, sizes.1, EDGE, FIELD_MULTIPLE)
        .and_then(|field| field.within(around))
    else {
        return Ok(None);
    };
    let mut similarity = start
        .placement
        .similarity(sizes.0, sizes.1, frame.device())?;

    // The reference as it would lie if nothing had changed, in the frame's tone.
    let before = match &start.flow {
        Some(flow) => crop(flow, around)?,
        None => grid.f_zeros_like()?,
    };
    let positions = similarity.apply(&grid.f_add(&before)?)?;
    let seen = inside(&positions, sizes.1)?;
    let warped = sample(&small, &positions, Interpolation::Bicubic)?;
    let tone = Tone::of_statistics(&part, &warped, &seen)?;
    let small = tone.apply(&small)?;

    let warped = filled(&tone.apply(&warped)?, &part, &seen)?;
    let moved = flow_net.flow(&SpyNet::pyramid(&part)?, &SpyNet::pyramid(&warped)?)?;
    let pair = Pair::new(&part, &grid, &small, sizes.1);
    // After each pass what all pixels have in common goes to the similarity, the flow keeps the
    // rest.
    let mut flow = before.f_add(&moved)?;
    let mut founded = Tensor::f_ones([0i64; 0], (Kind::Bool, frame.device()))?;
    for pass in PASSES {
        let (refined, confidence) = pair.refine(&flow, &similarity, pass)?;
        let targets = similarity.apply(&grid.f_add(&refined)?)?;
        let fit = Fit::new(&grid, &targets, &confidence, &similarity)?;
        flow = fit.similarity.undo_all(&targets)?.f_sub(&grid)?;
        similarity = fit.similarity;
        founded = founded.f_logical_and(&fit.founded)?;
    }

    let own = field.relative_to(around);
    let positions = similarity.apply(&crop(&grid.f_add(&flow)?, own)?)?;
    let picture = full_density(reference, &crop(&flow, own)?, field, density, &similarity)?;
    let seen = inside(&positions, sizes.1)?.f_mul(&bordered(field, frame)?)?;
    let laid = lay(&crop(frame, field)?, &picture, &seen, density)?;
    let holds = laid.holds(start.placement.is_expected(ultrawide.1))?;
    let holds = holds.f_logical_and(&founded)?;
    Ok(Some(Registered {
        field,
        density,
        verdict: Verdict::new(&similarity, &laid.agreement, &holds, sizes)?,
        laid: laid.only_where(&holds)?,
        flow: uncrop(&flow, around, ultrawide)?,
    }))
}

/// 1 in a field of `frame`, but for its outermost pixels where the frame goes on, which are 0: there the
/// mask has to end, wherever the reference does. `[1, 1, height, width]`.
fn bordered(field: Rectangle, frame: &Tensor) -> Result<Tensor> {
    let (h, w) = size(frame);
    let side = |goes_on: bool| i64::from(goes_on);
    let (top, left) = (side(field.top > 0), side(field.left > 0));
    let bottom = side(field.top + field.height < h);
    let right = side(field.left + field.width < w);
    let (rows, columns) = (field.height - top - bottom, field.width - left - right);
    let inner = Tensor::f_ones([1, 1, rows, columns], (frame.kind(), frame.device()))?;
    Ok(inner.f_constant_pad_nd([left, right, top, bottom])?)
}

/// The reference on the field's pixel grid of `density` times the frame's, `[1, 3, d height, d
/// width]`.
fn full_density(
    reference: &Tensor,
    flow: &Tensor,
    field: Rectangle,
    density: i64,
    similarity: &Similarity,
) -> Result<Tensor> {
    let d = density as f64;
    let (rows, columns) = (density * field.height, density * field.width);
    let fine = pixels(
        density * field.top,
        density * field.left,
        rows,
        columns,
        flow.device(),
    )?;
    // Pixel k of the finer grid has its centre at (k + 1/2) / d - 1/2 of the coarser one.
    let coarse = fine.f_add_scalar(0.5)?.f_div_scalar(d)?.f_sub_scalar(0.5)?;
    let flow = bilinear(flow, rows, columns, false)?;
    let positions = similarity
        .apply(&coarse.f_add(&flow)?)?
        .f_add_scalar(0.5)?
        .f_mul_scalar(d)?
        .f_sub_scalar(0.5)?;
    // Bicubic interpolation takes half of the finest detail away in the middle between pixels, but
    // keeps what is twice as coarse.
    let positions = positions.f_mul_scalar(2.0)?;
    sample(&doubled(reference)?, &positions, Interpolation::Bicubic)
}

impl Rectangle {
    /// The part of it that lies in `outer`.
    fn within(self, outer: Self) -> Option<Self> {
        let cut = |first: i64, n: i64, outer_first: i64, outer_n: i64| {
            let start = first.max(outer_first);
            let end = (first + n).min(outer_first + outer_n);
            (end - start >= FIELD_MULTIPLE).then_some((start, end - start))
        };
        let (top, height) = cut(self.top, self.height, outer.top, outer.height)?;
        let (left, width) = cut(self.left, self.width, outer.left, outer.width)?;
        Some(Self {
            top,
            left,
            height,
            width,
        })
    }

    fn relative_to(self, outer: Self) -> Self {
        Self {
            top: self.top - outer.top,
            left: self.left - outer.left,
            ..self
        }
    }
}

/// A part of `[1, C, h, w]`.
///
/// # Errors
/// [`Error::Torch`](crate::Error::Torch) where it does not lie inside.
pub fn crop(x: &Tensor, part: Rectangle) -> Result<Tensor> {
    Ok(x.f_narrow(2, part.top, part.height)?
        .f_narrow(3, part.left, part.width)?)
}

/// The opposite of [`crop`]: zero around it.
fn uncrop(x: &Tensor, part: Rectangle, (height, width): (i64, i64)) -> Result<Tensor> {
    let right = width - part.left - part.width;
    let bottom = height - part.top - part.height;
    Ok(x.f_constant_pad_nd([part.left, right, part.top, bottom])?)
}
