//! Reference matching: for every ultra-wide position the most alike position of the reference frames (paper, section 3.2).

use super::{
    context,
    conv::{Conv, Then},
    ops::{SLOPE, bicubic, clamp01, imagenet_normalised, size},
};
use crate::{
    ModelConfig, Result, native,
    profile::{self, Stage},
};
use tch::{Tensor, nn::Path};

/// Scores held at a time. Bounds the memory of the matching, whatever the frames' sizes: 2^24 fp32 scores are 64 MiB.
const SCORES: i64 = 1 << 24;

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

    /// Matches an ultra-wide frame `[1, 3, H, W]` with reference frames `[1, 3, h, w]` (each side a multiple of the matching kernel).
    pub fn forward(&self, lr: &Tensor, references: &[&Tensor]) -> Result<Match> {
        let _stage = profile::stage(Stage::Matching);
        let lr_features = self.features(lr, false)?;
        let (h, w) = size(lr);
        let (h_f, w_f) = size(&lr_features);
        let queries = patches(&lr_features)?.f_transpose(0, 1)?.f_contiguous()?; // [h_F w_F, 144]
        let keys = references
            .iter()
            .map(|r| patches(&self.features(r, true)?))
            .collect::<Result<Vec<_>>>()?;
        let (score, index) = best(&queries, &Tensor::f_cat(&keys, 1)?)?;
        let confidence = score.f_view([1, 1, h_f, w_f])?;
        let confidence = if (h, w) == (h_f, w_f) {
            confidence
        } else {
            clamp01(&bicubic(&confidence, h, w)?)?
        };
        Ok(Match { confidence, index })
    }

    /// Features to match by, `[1, 16, H', W']`.
    fn features(&self, frame: &Tensor, reference: bool) -> Result<Tensor> {
        let mut x = imagenet_normalised(frame)?;
        let (h, w) = size(&x);
        if self.reduce > 1 {
            x = x.f_upsample_nearest2d([h / self.reduce, w / self.reduce], None, None)?;
        }
        if reference {
            x = x.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)?;
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
            context::with_stop(|stop| native::matching::best(queries, keys, stop))
        } else {
            best_index(queries, keys, SCORES)
        }
    })?;
    profile::add_flops(|| 2 * (queries.numel() as u64) * keys.size()[1] as u64);
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
        best_index_of_rows(&queries.f_narrow(0, row, rows.min(n - row))?, keys, columns)
    });
    Ok(Tensor::f_cat(&blocks.collect::<Result<Vec<_>>>()?, 0)?)
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
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn unit_rows(n: i64, seed: i64) -> Tensor {
        tch::manual_seed(seed);
        let x = Tensor::randn([n, 144], (Kind::Float, Device::Cpu));
        &x / x
            .square()
            .sum_dim_intlist([1].as_slice(), true, None)
            .sqrt()
    }

    /// The plain form: the whole score matrix.
    fn whole(queries: &Tensor, keys: &Tensor) -> (Tensor, Tensor) {
        queries.matmul(keys).max_dim(1, false)
    }

    #[test]
    fn any_chunking_finds_what_the_whole_matrix_holds() {
        let queries = unit_rows(211, 1);
        let keys = unit_rows(97, 2).transpose(0, 1).contiguous();
        let (score, index) = whole(&queries, &keys);
        for budget in [1, 7, 97, 98, 500, 1 << 24] {
            let found = best_index(&queries, &keys, budget).unwrap();
            assert!(found.equal(&index), "budget {budget}");
        }
        let (found_score, found) = best(&queries, &keys).unwrap();
        assert!(found.equal(&index));
        assert!((found_score - score).abs().max().double_value(&[]) < 1e-6);
    }

    #[test]
    fn the_first_of_equals_wins() {
        // One-hot rows, whose dot products have no rounding that could part equals.
        let queries = Tensor::eye_m(5, 144, (Kind::Float, Device::Cpu));
        let keys = Tensor::cat(&[&queries, &queries], 0).transpose(0, 1);
        let numbers = |index: Tensor| Vec::<i64>::try_from(index).unwrap();
        for budget in [3, 40, 1 << 24] {
            let index = best_index(&queries, &keys, budget).unwrap();
            assert_eq!(numbers(index), [0, 1, 2, 3, 4], "budget {budget}");
        }
        assert_eq!(numbers(best(&queries, &keys).unwrap().1), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn gradients_reach_both_halves_of_the_winning_pair() {
        let (queries, keys) = (
            unit_rows(6, 4).set_requires_grad(true),
            unit_rows(4, 5).set_requires_grad(true),
        );
        let (score, index) = best(&queries, &keys.transpose(0, 1)).unwrap();
        score.sum(Kind::Float).backward();
        assert!(queries.grad().equal(&keys.detach().index_select(0, &index)));
        let uses = index.bincount::<Tensor>(None, 4);
        for key in 0..4 {
            let touched = keys.grad().get(key).abs().max().double_value(&[]) > 0.0;
            assert_eq!(touched, uses.int64_value(&[key]) > 0);
        }
    }
}
