//! Reference alignment: what the matching found, gathered from the reference and bent into place (paper,
//! section 3.2).

use super::{
    blocks::ResBlock,
    conv::{Conv, Then},
    ops::{GRID, Outside, SLOPE, activated, bicubic, channels_last, sample, size},
    strips::in_strips,
};
use crate::{
    Result,
    profile::{self, Stage},
};
use tch::{Kind, Tensor, nn::Path};

/// Aligned attention (`aa1`, `aa2`) with blocks of k x k pixels.
#[derive(Debug)]
pub struct AlignedAttention {
    block: i64,
    align: Option<Align>,
    /// Blocks are left as they lie while every one is predicted to lie straight.
    skips_idle: bool,
}

/// Where each pixel of an aligned feature comes from: a function of a frame and its references.
#[derive(Debug)]
pub struct Places {
    /// Pixel numbers `[2H * 2W]`, int32. With several references theirs count on.
    pixels: Tensor,
    /// Row and column in what was gathered, padded by 1, `[2H, 2W]` each; none where blocks lie straight.
    bent: Option<[Tensor; 2]>,
    /// 2H, 2W.
    size: (i64, i64),
    /// Rows between a pixel and where it comes from, at most.
    reach: i64,
}

impl Places {
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        std::iter::once(&self.pixels).chain(self.bent.iter().flatten())
    }

    /// Features of the references, `[1, C, h, w]` each, rearranged to follow the ultra-wide frame:
    /// `[1, C, 2H, 2W]`.
    pub fn apply(&self, values: &[&Tensor]) -> Result<Tensor> {
        self.apply_rows(values, (0, self.size.0))
    }

    /// Rows `first..first + rows` of what [`apply`](Self::apply) gives.
    pub fn apply_rows(&self, values: &[&Tensor], (first, rows): (i64, i64)) -> Result<Tensor> {
        let _stage = profile::stage(Stage::Alignment);
        let (h, w) = self.size;
        let gathered = |first: i64, rows: i64| -> Result<Tensor> {
            let pixels = self.pixels.f_narrow(0, first * w, rows * w)?;
            gather(values, &pixels, (rows, w))
        };
        let Some([y, x]) = &self.bent else {
            return gathered(first, rows);
        };
        // Pixels come from as far as `reach` rows away.
        let from = (first - self.reach).max(0);
        let end = (first + rows + self.reach).min(h);
        let [y, x] = [y.f_narrow(0, first, rows)?, x.f_narrow(0, first, rows)?];
        let source = Bent {
            padded: padded(&gathered(from, end - from)?, from == 0, end == h)?,
            rows_before: if from == 0 { 0 } else { from + 1 },
            size: (h + 2, w + 2),
        };
        source.at(&[y, x])
    }
}

impl AlignedAttention {
    /// `vs` is `aa1` (on half-size input, k = K/2) or `aa2` (k = K). For k = 1 it has no weights.
    pub fn new(vs: Path<'_>, k: i64) -> Result<Self> {
        let align = if k > 1 {
            Some(Align::new(&vs / "align", k)?)
        } else {
            None
        };
        Ok(Self {
            block: k,
            align,
            skips_idle: false,
        })
    }

    /// See [`Network::skip_idle`](crate::Network::skip_idle): where every block is predicted to lie
    /// straight, only gathering is left.
    pub fn skip_idle(&mut self) {
        self.skips_idle = true;
    }

    /// Where the features of the references, of these sizes, come to lie for the ultra-wide frame `lr`
    /// `[1, 3, H, W]`. `references` are the frames themselves, always at full size; `index` is the
    /// matching's.
    pub fn places(
        &self,
        lr: &Tensor,
        references: &[&Tensor],
        index: &Tensor,
        values: &[(i64, i64)],
    ) -> Result<Places> {
        let _stage = profile::stage(Stage::Alignment);
        let k = self.block;
        if references.len() != values.len() {
            return Err(crate::Error::Broken(format!(
                "{} reference frames with {} feature maps",
                references.len(),
                values.len()
            )));
        }
        let (h, w) = size(lr);
        let out = (2 * h, 2 * w);
        let counts: Vec<i64> = values.iter().map(|(h, w)| (h / k) * (w / k)).collect();
        let pixels = pixels(values, &counts, index, k, out)?;
        let align = match &self.align {
            Some(align) if !(self.skips_idle && align.is_idle()?) => Some(align),
            _ => None,
        };
        let bent = match align {
            None => None,
            Some(align) => {
                // On half-size input the frames have four times as many blocks as the features, and the
                // same index points elsewhere: so upstream does, and so its weights were trained.
                let sizes: Vec<(i64, i64)> = references.iter().map(|r| size(r)).collect();
                let found = if sizes == values {
                    gather(references, &pixels, out)?
                } else {
                    let pixels = self::pixels(&sizes, &counts, index, k, out)?;
                    gather(references, &pixels, out)?
                };
                let affine = align.affine(&found, &bicubic(lr, out.0, out.1)?, k)?;
                Some(positions(out, &affine, k)?)
            }
        };
        Ok(Places {
            pixels,
            bent,
            size: out,
            // Offsets of half a block, three times as large and turned, from a place within the block.
            reach: 4 * k,
        })
    }
}

/// The pixel numbers of blocks: block number `index[p]` of the sources, of these sizes, is put at place p
/// of a picture of size `out`. `counts` says how many block numbers belong to each source; a source's
/// numbers start where the former's end, and so do its pixels.
fn pixels(
    sources: &[(i64, i64)],
    counts: &[i64],
    index: &Tensor,
    k: i64,
    out: (i64, i64),
) -> Result<Tensor> {
    let (rows, columns) = (out.0 / k, out.1 / k);
    let taps = Tensor::f_arange(k, (Kind::Int64, index.device()))?;
    let (down, right) = (taps.f_view([k, 1, 1])?, taps.f_view([1, 1, k])?);
    let index = index.f_view([rows, 1, columns, 1])?;
    let (mut first_block, mut first_pixel) = (0, 0);
    let mut pixels: Option<Tensor> = None;
    for (&(h, w), &count) in sources.iter().zip(counts) {
        let local = index.f_sub_scalar(first_block)?;
        let row = local.f_divide_scalar_mode(w / k, "floor")?;
        let column = local.f_sub(&row.f_mul_scalar(w / k)?)?;
        let row = row.f_mul_scalar(k)?.f_add(&down)?;
        let column = column.f_mul_scalar(k)?.f_add(&right)?;
        let source = row
            .f_mul_scalar(w)?
            .f_add(&column)?
            .f_add_scalar(first_pixel)?;
        pixels = Some(match pixels {
            None => source,
            Some(before) => source.f_where_self(&index.f_ge(first_block)?, &before)?,
        });
        first_block += count;
        first_pixel += h * w;
    }
    match pixels {
        Some(pixels) => Ok(pixels.f_to_kind(Kind::Int)?.f_reshape([-1])?),
        None => Err(crate::Error::Broken("no references to gather from".into())),
    }
}

/// Pixels of the sources `[1, C, h, w]`, by number, as a picture `[1, C, H, W]`.
fn gather(sources: &[&Tensor], pixels: &Tensor, (h, w): (i64, i64)) -> Result<Tensor> {
    let channels = size_channels(sources.first().copied());
    let tables = sources.iter().map(|s| {
        let rows = channels_last(s)?.f_permute([0, 2, 3, 1])?;
        Ok(rows.f_reshape([-1, channels])?)
    });
    let tables = tables.collect::<Result<Vec<_>>>()?;
    let table = match &tables[..] {
        [one] => one.shallow_clone(),
        several => Tensor::f_cat(several, 0)?,
    };
    let rows = table.f_index_select(0, pixels)?;
    Ok(rows.f_view([1, h, w, channels])?.f_permute([0, 3, 1, 2])?)
}

fn size_channels(picture: Option<&Tensor>) -> i64 {
    picture.and_then(|p| p.size().get(1).copied()).unwrap_or(0)
}

/// Predicts how each block lies (two scales and an angle).
#[derive(Debug)]
struct Align {
    conv1: (Conv, ResBlock),
    p_conv: (Conv, ResBlock, Conv),
}

impl Align {
    fn new(vs: Path<'_>, k: i64) -> Result<Self> {
        let (conv1, p_conv) = (&vs / "conv1", &vs / "p_conv");
        Ok(Self {
            conv1: (
                Conv::new(&conv1 / 0, 3, 32, 5)?.fp32(),
                ResBlock::new(&conv1 / 2, 32, SLOPE)?.fp32(),
            ),
            p_conv: (
                Conv::strided(&p_conv / 0, 64, 32, 5, k)?.fp32(),
                ResBlock::new(&p_conv / 2, 32, SLOPE)?.fp32(),
                Conv::new(&p_conv / 4, 32, 3, 1)?.fp32(),
            ),
        })
    }

    /// Whether it predicts nothing but blocks that lie straight.
    fn is_idle(&self) -> Result<bool> {
        self.p_conv.2.is_idle()
    }

    /// Row scale, column scale and angle of each block, `[1, 3, H/k, W/k]`, 1 where nothing is to be
    /// done, from the gathered frame and the upscaled ultra-wide frame, `[1, 3, H, W]` each.
    fn affine(&self, reference: &Tensor, query: &Tensor, k: i64) -> Result<Tensor> {
        let (h, w) = size(query);
        let features = |x: &Tensor| -> Result<Tensor> {
            let y = self.conv1.0.then(&[x], Then::lrelu(SLOPE))?;
            activated(self.conv1.1.forward(&y)?, SLOPE)
        };
        // A pixel for each block; what it is made of is as large as the picture, in strips of blocks.
        let x = in_strips((h / k, w / k), (32, k), 1, |strip| {
            let reference = features(&strip.of(reference, k)?)?;
            let query = features(&strip.of(query, k)?)?;
            self.p_conv
                .0
                .then(&[&reference, &query], Then::lrelu(SLOPE))
        })?;
        let x = activated(self.p_conv.1.forward(&x)?, SLOPE)?;
        let affine = self.p_conv.2.forward(&x)?.f_add_scalar(1.0)?;
        Ok(affine.f_clamp(-3.0, 3.0)?)
    }
}

/// Radians that one unit of the predicted angle stands for. A sixth of a turn, cut to the digits the
/// published weights were trained with.
#[allow(clippy::approx_constant)]
const ANGLE: f64 = 1.0472;

/// A gathered picture, or some rows of it, to sample from at [`positions`].
struct Bent {
    /// Padded by a pixel where the picture ends.
    padded: Tensor,
    /// Rows of the padded picture before the first one of `padded`.
    rows_before: i64,
    /// Of the whole padded picture.
    size: (i64, i64),
}

impl Bent {
    /// Samples at row and column, `[H, W]` each.
    fn at(&self, positions: &[Tensor; 2]) -> Result<Tensor> {
        if positions[0].requires_grad() {
            // In training pictures are whole.
            channels_last(&sample_corners(&self.padded, positions)?)
        } else {
            self.sample_grid(positions)
        }
    }

    /// The same by a sampler: faster, and equal but for gradients at whole positions. Where a position is
    /// at or beyond the border, upstream's two weights along an axis add up to 2, not 1: hence the
    /// factors.
    fn sample_grid(&self, [y, x]: &[Tensor; 2]) -> Result<Tensor> {
        let (h, w) = size(&self.padded);
        let unit = |p: &Tensor, last: i64| -> Result<Tensor> {
            Ok(p.f_mul_scalar(2.0 / last as f64)?.f_sub_scalar(1.0)?)
        };
        let local = if self.rows_before == 0 {
            y.shallow_clone()
        } else {
            y.f_sub_scalar(self.rows_before)?
        };
        let grid = Tensor::f_stack(&[unit(x, w - 1)?, unit(&local, h - 1)?], 2)?;
        let sampled = sample(&self.padded, &grid.f_unsqueeze(0)?, Outside::Edge, true)?;
        let doubled = |p: &Tensor, last: i64| -> Result<Tensor> {
            let beyond = p.f_lt(0.0)?.f_logical_or(&p.f_ge(last)?)?;
            Ok(beyond.f_to_kind(sampled.kind())?.f_add_scalar(1.0)?)
        };
        let (last_y, last_x) = (self.size.0 - 1, self.size.1 - 1);
        let factor = doubled(y, last_y)?.f_mul(&doubled(x, last_x)?)?;
        let factor = factor.f_unsqueeze(0)?.f_unsqueeze(0)?;
        if sampled.requires_grad() {
            return Ok(sampled.f_mul(&factor)?);
        }
        let mut sampled = sampled;
        Ok(sampled.f_mul_(&factor)?)
    }
}

/// A pixel more on the left and right, and above and below where the picture ends there, by reflection.
fn padded(x: &Tensor, top: bool, bottom: bool) -> Result<Tensor> {
    Ok(x.f_reflection_pad2d([1, 1, i64::from(top), i64::from(bottom)])?)
}

/// Where in `values`, padded by 1, each pixel comes from: row and column, `[H, W]` each. Sums are in upstream's order: many positions are whole numbers but for the last bit, and
/// which side they lie on decides the gradient.
fn positions((h, w): (i64, i64), affine: &Tensor, k: i64) -> Result<[Tensor; 2]> {
    let affine = affine.f_to_kind(GRID)?;
    let options = (GRID, affine.device());
    let (rows, columns) = (h / k, w / k);
    let r = ((k - 1) / 2) as f64;
    let part =
        |i: i64| -> Result<Tensor> { Ok(affine.f_select(1, i)?.f_view([rows, 1, columns, 1])?) };
    let taps = Tensor::f_arange(k, options)?.f_sub_scalar(r + 0.5)?; // offsets from the block's middle
    let offset_y = part(0)?.f_mul(&taps.f_view([1, k, 1, 1])?)?; // [rows, k, columns, 1]
    let offset_x = part(1)?.f_mul(&taps.f_view([1, 1, 1, k])?)?; // [rows, 1, columns, k]
    let angle = part(2)?.f_sub_scalar(1.0)?.f_mul_scalar(ANGLE)?;
    let (sin, cos) = (angle.f_sin()?, angle.f_cos()?);
    let start = |n: i64| -> Result<Tensor> {
        Ok(Tensor::f_arange(n, options)?
            .f_mul_scalar(k as f64)?
            .f_add_scalar(1.0)?)
    };
    let y = offset_y.f_mul(&cos)?.f_sub(&offset_x.f_mul(&sin)?)?;
    let x = offset_y.f_mul(&sin)?.f_add(&offset_x.f_mul(&cos)?)?;
    let y = y
        .f_add_scalar(r + 0.5)?
        .f_add(&start(rows)?.f_view([rows, 1, 1, 1])?)?;
    let x = x
        .f_add_scalar(r + 0.5)?
        .f_add(&start(columns)?.f_view([1, 1, columns, 1])?)?;
    Ok([y.f_reshape([h, w])?, x.f_reshape([h, w])?])
}

/// Upstream's own bilinear kernel as it is: the corners before and behind a position are clamped to the picture and the position is too, each for itself. `padded` `[1, C, H + 2, W + 2]`.
fn sample_corners(padded: &Tensor, [y, x]: &[Tensor; 2]) -> Result<Tensor> {
    let (channels, (h, w), out) = (size_channels(Some(padded)), size(padded), y.size());
    let corners = |p: &Tensor, last: f64| -> Result<[(Tensor, Tensor); 2]> {
        let floor = p.detach().f_floor()?;
        let (before, behind) = (
            floor.f_clamp(0.0, last)?,
            floor.f_add_scalar(1.0)?.f_clamp(0.0, last)?,
        );
        let p = p.f_clamp(0.0, last)?;
        let weights = (
            before.f_sub(&p)?.f_add_scalar(1.0)?,
            p.f_sub(&behind)?.f_add_scalar(1.0)?,
        );
        Ok([
            (before.f_to_kind(Kind::Int64)?, weights.0),
            (behind.f_to_kind(Kind::Int64)?, weights.1),
        ])
    };
    let (rows, columns) = (corners(y, (h - 1) as f64)?, corners(x, (w - 1) as f64)?);
    let pixels = padded.f_reshape([channels, h * w])?;
    let mut sum = Tensor::f_zeros(
        [1, channels, out[0], out[1]],
        (padded.kind(), padded.device()),
    )?;
    for (row, weight_y) in &rows {
        for (column, weight_x) in &columns {
            let number = row.f_mul_scalar(w)?.f_add(column)?;
            let corner = pixels
                .f_index_select(1, &number.f_reshape([-1])?)?
                .f_view_as(&sum)?;
            sum =
                sum.f_add(&corner.f_mul(&weight_y.f_mul(weight_x)?.f_to_kind(padded.kind())?)?)?;
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// Upstream's kernel as the facts state it, a pixel at a time.
    fn sample_plainly(values: &Tensor, affine: &Tensor, k: i64) -> Tensor {
        let (h, w) = size(values);
        let padded = values.reflection_pad2d([1, 1, 1, 1]);
        let (last_y, last_x) = ((h + 1) as f64, (w + 1) as f64);
        let out = values.zeros_like();
        let r = ((k - 1) / 2) as f64;
        for (row, column) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            let (by, bx, i, j) = (row / k, column / k, (row % k) as f64, (column % k) as f64);
            let a = |n: i64| affine.double_value(&[0, n, by, bx]);
            let (oy, ox) = ((i - r - 0.5) * a(0), (j - r - 0.5) * a(1));
            let (sin, cos) = ((a(2) - 1.0) * ANGLE).sin_cos();
            let y = oy * cos - ox * sin + r + 0.5 + 1.0 + (k * by) as f64;
            let x = oy * sin + ox * cos + r + 0.5 + 1.0 + (k * bx) as f64;
            let axis = |p: f64, last: f64| {
                let (lt, rb) = (
                    p.floor().clamp(0.0, last),
                    (p.floor() + 1.0).clamp(0.0, last),
                );
                let p = p.clamp(0.0, last);
                [(lt as i64, 1.0 + (lt - p)), (rb as i64, 1.0 - (rb - p))]
            };
            for (sy, wy) in axis(y, last_y) {
                for (sx, wx) in axis(x, last_x) {
                    let mut pixel = out.select(2, row).select(2, column);
                    let _ = pixel.g_add_(&(padded.select(2, sy).select(2, sx) * (wy * wx)));
                }
            }
        }
        out
    }

    fn bend(values: &Tensor, places: &[Tensor; 2]) -> Tensor {
        let (h, w) = size(values);
        let padded = padded(values, true, true).unwrap();
        let bent = Bent {
            padded,
            rows_before: 0,
            size: (h + 2, w + 2),
        };
        bent.at(places).unwrap()
    }

    #[test]
    fn rows_alone_equal_those_of_the_whole() {
        tch::manual_seed(4);
        for k in [1, 2, 4, 8] {
            let (h, w) = (16 * k, 3 * k);
            let values = Tensor::rand([1, 3, h, w], (Kind::Float, Device::Cpu));
            let affine = Tensor::rand([1, 3, 16, 3], (Kind::Float, Device::Cpu)) * 6.0 - 3.0;
            let index = Tensor::randint(48, [48], (Kind::Int64, Device::Cpu));
            for bent in [None, Some(positions((h, w), &affine, k).unwrap())] {
                let places = Places {
                    pixels: pixels(&[(h, w)], &[48], &index, k, (h, w)).unwrap(),
                    bent,
                    size: (h, w),
                    reach: 4 * k,
                };
                let whole = places.apply(&[&values]).unwrap();
                for (first, rows) in [(0, h), (0, 3), (5, 6), (7 * k, 2 * k), (h - 4, 4)] {
                    let some = places.apply_rows(&[&values], (first, rows)).unwrap();
                    let off = (some - whole.narrow(2, first, rows)).abs().max();
                    let off = off.double_value(&[]);
                    assert!(off < 1e-5, "k = {k}, rows {first} + {rows}: {off:.1e}");
                }
            }
        }
    }

    #[test]
    fn sampling_is_upstreams_kernel() {
        tch::manual_seed(1);
        for k in [2, 4, 8] {
            let values = Tensor::rand([1, 3, 2 * k, 3 * k], (Kind::Double, Device::Cpu));
            let affine = Tensor::rand([1, 3, 2, 3], (Kind::Double, Device::Cpu)) * 6.0 - 3.0; // far beyond the borders, too
            let plain = sample_plainly(&values, &affine, k);
            for trained in [false, true] {
                let affine = affine.set_requires_grad(trained);
                let places = positions(size(&values), &affine, k).unwrap();
                let sampled = bend(&values, &places);
                let off = (sampled.detach() - &plain).abs().max().double_value(&[]);
                assert!(off < 1e-4, "k = {k}, trained: {trained}: {off}");
            }
        }
    }

    #[test]
    fn ones_leave_everything_in_place() {
        let values = Tensor::rand([1, 2, 8, 12], (Kind::Float, Device::Cpu));
        let ones = Tensor::ones([1, 3, 4, 6], (Kind::Float, Device::Cpu));
        let same = bend(&values, &positions(size(&values), &ones, 2).unwrap());
        assert!((same - values).abs().max().double_value(&[]) < 1e-5);
    }

    /// Blocks of 2 x 2 pixels by number.
    fn blocks(sources: &[&Tensor], counts: &[i64], index: &Tensor, out: (i64, i64)) -> Tensor {
        let sizes: Vec<(i64, i64)> = sources.iter().map(|s| size(s)).collect();
        let pixels = pixels(&sizes, counts, index, 2, out).unwrap();
        gather(sources, &pixels, out).unwrap()
    }

    #[test]
    fn gathers_whole_blocks_by_number() {
        let picture = Tensor::arange(2 * 4 * 6, (Kind::Float, Device::Cpu)).view([1, 2, 4, 6]);
        let index = Tensor::from_slice(&[5i64, 0, 0, 3, 2, 1]);
        let out = blocks(&[&picture], &[6], &index, (4, 6));
        for (place, number) in [5, 0, 0, 3, 2, 1].into_iter().enumerate() {
            let block = |p: &Tensor, n: i64| p.narrow(2, n / 3 * 2, 2).narrow(3, n % 3 * 2, 2);
            assert!(block(&out, place as i64).equal(&block(&picture, number)));
        }
    }

    #[test]
    fn numbers_go_on_from_one_source_to_the_next() {
        let wide = Tensor::zeros([1, 1, 4, 4], (Kind::Float, Device::Cpu));
        let tele = Tensor::ones([1, 1, 2, 4], (Kind::Float, Device::Cpu));
        let index = Tensor::from_slice(&[0i64, 3, 4, 5]);
        let out = blocks(&[&wide, &tele], &[4, 2], &index, (4, 4));
        assert_eq!(
            Vec::<f64>::try_from(out.slice(2, 0, 4, 2).slice(3, 0, 4, 2).reshape([-1])).unwrap(),
            [0., 0., 1., 1.]
        );
        // Where a source has more blocks than positions, the next one's blocks still start right.
        let index = Tensor::from_slice(&[0i64, 1, 2, 3]);
        let out = blocks(&[&wide, &tele], &[2, 2], &index, (4, 4));
        assert_eq!(
            Vec::<f64>::try_from(out.slice(2, 0, 4, 2).slice(3, 0, 4, 2).reshape([-1])).unwrap(),
            [0., 0., 1., 1.]
        );
    }
}
