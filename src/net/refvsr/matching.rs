//! Reference matching: for every ultra-wide position the most alike position of the reference frames (paper, section 3.2).

use super::reduced::{self, Field};
use crate::{
    ModelConfig, Result,
    layout::size,
    native,
    net::layers::{
        context,
        conv::{Conv, Then},
        ops::{SLOPE, bicubic, clamp01, imagenet_normalised},
        variables::Path,
    },
    profile::{self, Stage},
};
use tch::{Device, Tensor};

/// Scores held at a time, which bounds the memory of the matching, whatever the frames' sizes. On the CPU
/// they stay in the cache (4 MiB); other devices take larger blocks (256 MiB), as each costs the host
/// some orders.
fn scores_at_a_time(device: Device) -> i64 {
    match device {
        Device::Cpu => 1 << 20,
        _ => 1 << 26,
    }
}

/// Winning pairs whose scores are computed at a time.
const PAIRS: i64 = 1 << 14;

/// The matching network (`feature_match`): the first layers of VGG19 and a 1 x 1 convolution.
#[derive(Debug)]
pub struct FeatureMatch {
    conv1_1: Conv,
    conv1_2: Conv,
    conv2_1: Option<Conv>,
    map: Conv,
    /// Matching runs on a picture reduced so many times before anything else (hd).
    reduce: i64,
}

/// Where each ultra-wide position found its like.
#[derive(Debug)]
pub struct Match {
    /// Cosine similarity, `[1, 1, H, W]` at the ultra-wide frame's size.
    pub confidence: Tensor,
    /// Reference position, `[h_F * w_F]`, int64. With several references theirs count on, one reference after the other.
    pub index: Tensor,
}

/// Height and width of what was searched for, its scores, and the index of what was found.
type Found = ((i64, i64), Tensor, Tensor);

impl FeatureMatch {
    /// `vs` is `feature_match`.
    pub fn new(vs: Path<'_>, config: &ModelConfig) -> Result<Self> {
        let vs = &vs / "feature_extract";
        let deep = config.scale == 2 || config.hd;
        let (map, channels) = if deep { ("map128", 128) } else { ("map64", 64) };
        Ok(Self {
            conv1_1: Conv::new(&vs / 0, 3, 64, 3)?.exact(),
            conv1_2: Conv::new(&vs / 2, 64, 64, 3)?.exact(),
            conv2_1: if deep {
                Some(Conv::new(&vs / 5, 64, 128, 3)?.exact())
            } else {
                None
            },
            map: Conv::new(&vs / map / 0, channels, 16, 1)?.exact(),
            reduce: if config.hd { config.scale / 2 } else { 1 },
        })
    }

    /// Matches an ultra-wide frame `[1, 3, H, W]` with reference frames `[1, 3, h, w]` (each side a multiple
    /// of the matching kernel). With a `step` above 1 blocks of so many positions a side are matched as
    /// one.
    pub fn forward(&self, lr: &Tensor, references: &[&Tensor], step: usize) -> Result<Match> {
        let _stage = profile::stage(Stage::Matching);
        let (h, w) = size(lr);
        let ((h_f, w_f), score, index) = if step > 1 {
            let step = self.step_within(step as i64, lr, references);
            self.search_in_blocks(lr, references, step)?
        } else {
            self.search(lr, references, 1)?
        };
        let confidence = score.f_view([1, 1, h_f, w_f])?;
        let confidence = if (h, w) == (h_f, w_f) {
            confidence
        } else {
            clamp01(&bicubic(&confidence, h, w)?)?
        };
        Ok(Match { confidence, index })
    }

    /// Every position of the frame's features among all of the references', in pictures reduced `step` times:
    /// their height and width, score and index.
    fn search(&self, lr: &Tensor, references: &[&Tensor], step: i64) -> Result<Found> {
        let lr_features = self.features(lr, false, step)?;
        let queries = patches(&lr_features)?.f_transpose(0, 1)?.f_contiguous()?; // [h_F w_F, 144]
        let keys = references
            .iter()
            .map(|r| patches(&self.features(r, true, step)?))
            .collect::<Result<Vec<_>>>()?;
        let (score, index) = best(&queries, &Tensor::f_cat(&keys, 1)?)?;
        Ok((size(&lr_features), score, index))
    }

    /// The same in blocks: one score a block, an index for every position.
    fn search_in_blocks(&self, lr: &Tensor, references: &[&Tensor], step: i64) -> Result<Found> {
        let (blocks, _, coarse) = self.search(lr, references, step)?;
        let field = |frame: &Tensor, reference| Field::new(&self.features(frame, reference, 1)?);
        let fields = references.iter().map(|r| field(r, true));
        let fields = fields.collect::<Result<Vec<_>>>()?;
        let (score, index) = reduced::refined(&field(lr, false)?, &fields, &coarse, step)?;
        Ok((blocks, score, index))
    }

    /// The step, or what is left of it where a picture would have less than two blocks a side.
    fn step_within(&self, step: i64, lr: &Tensor, references: &[&Tensor]) -> i64 {
        let pooled = std::iter::once((lr, 1)).chain(references.iter().map(|&r| (r, 2)));
        let sides = pooled.map(|(picture, pooled)| {
            let (h, w) = size(picture);
            h.min(w) / (self.unit() * pooled)
        });
        let side = sides.min().unwrap_or(0);
        step.min((side - 1).max(1))
    }

    /// Pixels a side of an ultra-wide frame that have one position.
    fn unit(&self) -> i64 {
        self.reduce * if self.conv2_1.is_some() { 2 } else { 1 }
    }

    /// Operations of a full search among references of these heights and widths.
    pub fn cost(&self, lr: (i64, i64), references: &[(i64, i64)]) -> f64 {
        let positions = |(h, w): (i64, i64), pooled: i64| {
            let unit = self.unit() * pooled;
            (h / unit) * (w / unit)
        };
        let keys = references.iter().map(|&r| positions(r, 2)).sum();
        reduced::cost(positions(lr, 1), keys)
    }

    /// Features to match by, `[1, 16, H', W']`, of a picture reduced `step` times.
    fn features(&self, frame: &Tensor, reference: bool, step: i64) -> Result<Tensor> {
        let mut x = imagenet_normalised(frame)?;
        let (h, w) = size(&x);
        if self.reduce > 1 {
            x = x.f_upsample_nearest2d([h / self.reduce, w / self.reduce], None, None)?;
        }
        if reference {
            x = x.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)?;
        }
        if step > 1 {
            let unit = if self.conv2_1.is_some() { 2 } else { 1 } * step;
            x = reduced::reduced(&x, step, unit)?;
        }
        x = self.conv1_1.then(&[&x], Then::lrelu(0.0))?;
        x = self.conv1_2.then(&[&x], Then::lrelu(0.0))?;
        if let Some(conv2_1) = &self.conv2_1 {
            x = x.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?;
            x = conv2_1.then(&[&x], Then::lrelu(0.0))?;
        }
        self.map.then(&[&x], Then::lrelu(SLOPE))
    }
}

/// All 3 x 3 patches of `[1, 16, H, W]` (its edge reflected), each of length 1: `[144, H * W]`.
fn patches(features: &Tensor) -> Result<Tensor> {
    let mut columns = features
        .f_reflection_pad2d([1, 1, 1, 1])?
        .f_im2col([3, 3], [1, 1], [0, 0], [1, 1])?
        .f_squeeze_dim(0)?;
    let length = columns
        .f_square()?
        .f_sum_dim_intlist([0].as_slice(), true, None)?
        .f_sqrt()?
        .f_clamp_min(1e-12)?;
    if columns.requires_grad() {
        return Ok(columns.f_div(&length)?);
    }
    Ok(columns.f_div_(&length)?)
}

/// For every query `[N, 144]` the key of `[144, M]` with the largest dot product: its score `[N]` and index
/// `[N]`.
///
/// The winner is searched for without gradients; its score is then computed anew from the winning pair, so
/// that gradients reach both.
pub(super) fn best(queries: &Tensor, keys: &Tensor) -> Result<(Tensor, Tensor)> {
    let index = tch::no_grad(|| {
        if native::matching::takes(queries, keys) {
            context::with_stop(|stop| {
                count(queries, keys);
                native::matching::best(queries, keys, stop)
            })
        } else {
            best_index(queries, keys, scores_at_a_time(queries.device()))
        }
    })?;
    let keys = keys.f_transpose(0, 1)?.f_contiguous()?; // [M, 144]
    let n = queries.size()[0];
    let scores = (0..n).step_by(PAIRS as usize).map(|row| {
        let len = PAIRS.min(n - row);
        let winners = keys.f_index_select(0, &index.f_narrow(0, row, len)?)?;
        let products = queries.f_narrow(0, row, len)?.f_mul(&winners)?;
        Ok(products.f_sum_dim_intlist([1].as_slice(), false, None)?)
    });
    let scores = scores.collect::<Result<Vec<_>>>()?;
    Ok((Tensor::f_cat(&scores, 0)?, index))
}

/// The best key of each query, by operations of libtorch's alone. At most `budget` scores exist at a time.
fn best_index(queries: &Tensor, keys: &Tensor, budget: i64) -> Result<Tensor> {
    let (n, m) = (queries.size()[0], keys.size()[1]);
    let columns = m.min(budget);
    let rows = (budget / columns).clamp(1, n);
    let blocks = (0..n).step_by(rows as usize).map(|row| {
        context::check()?;
        let queries = queries.f_narrow(0, row, rows.min(n - row))?;
        count(&queries, keys);
        best_index_of_rows(&queries, keys, columns)
    });
    Ok(Tensor::f_cat(&blocks.collect::<Result<Vec<_>>>()?, 0)?)
}

/// Tells the profile of the products of all queries with all keys.
fn count(queries: &Tensor, keys: &Tensor) {
    profile::add_flops(|| 2 * (queries.numel() as u64) * keys.size()[1] as u64);
}

/// The best key of each query, keys taken `columns` at a time with a running maximum; the first of equals wins.
fn best_index_of_rows(queries: &Tensor, keys: &Tensor, columns: i64) -> Result<Tensor> {
    let m = keys.size()[1];
    let part = |column: i64| -> Result<(Tensor, Tensor)> {
        let (score, index) = queries
            .f_matmul(&keys.f_narrow(1, column, columns.min(m - column))?)?
            .f_max_dim(1, false)?;
        Ok((score, index.f_add_scalar(column)?))
    };
    let (mut score, mut index) = part(0)?;
    for column in (columns..m).step_by(columns as usize) {
        let (other, other_index) = part(column)?;
        index = other_index.f_where_self(&other.f_gt_tensor(&score)?, &index)?;
        score = score.f_maximum(&other)?;
    }
    Ok(index)
}

#[cfg(test)]
mod tests;
