//! One frame's registration from where the last one ended.

use super::{
    comparison::{Laid, lay},
    fit::Fit,
    lucas_kanade::{Pair, Pass},
    placement::Placement,
    sampling::{Interpolation, doubled, filled, inside, pixels, sample},
    similarity::Similarity,
    tone::Tone,
    verdict::{Place, Verdict},
};
use crate::{
    Result,
    layout::size,
    net::{
        flow::{self, SpyNet},
        layers::{
            ops::bilinear,
            rectangle::{Rectangle, crop, uncrop},
        },
    },
};
use tch::{Kind, Tensor};

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

/// Lays `reference` on `frame`, starting from `start`. `frame` is `[1, 3, h, w]`, `reference`
/// `[1, 3, H, W]` from [`at_density`](super::at_density), both RGB in \[0, 1\] and f32.
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
        .field(sizes.0, sizes.1, MARGIN, flow::MULTIPLE)
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
