//! Reference alignment: what the matching found, gathered from the reference and bent into place (paper,
//! section 3.2).

use super::bend::{Bent, positions, reflected};
use crate::{
    Result,
    layout::{channels_last, size},
    net::layers::{
        blocks::ResBlock,
        conv::{Conv, Then},
        ops::{SLOPE, activated, bicubic},
        strips::in_strips,
        variables::Path,
    },
    profile::{self, Stage},
};
use tch::{Kind, Tensor};

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
    /// Pixel numbers `[2H, 2W]`, int32. With several references theirs count on. Where blocks are bent, a
    /// pixel more at each side, by reflection.
    pixels: Tensor,
    /// Row and column in what is gathered, `[2H, 2W]` each; none where blocks lie straight.
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
        let Some([y, x]) = &self.bent else {
            return gather(values, &self.pixels.f_narrow(0, first, rows)?);
        };
        // Pixels come from as far as `reach` rows away. A picture of h rows is padded to h + 2.
        let h = self.size.0;
        let from = (first - self.reach).max(0);
        let end = (first + rows + self.reach).min(h);
        let from = if from == 0 { 0 } else { from + 1 };
        let end = if end == h { h + 2 } else { end + 1 };
        let source = Bent {
            padded: gather(values, &self.pixels.f_narrow(0, from, end - from)?)?,
            rows_before: from,
            first,
            size: self.size,
            reach: self.reach,
        };
        source.at(&[y.f_narrow(0, first, rows)?, x.f_narrow(0, first, rows)?])
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
                    gather(references, &pixels)?
                } else {
                    let pixels = self::pixels(&sizes, &counts, index, k, out)?;
                    gather(references, &pixels)?
                };
                let affine = align.affine(&found, &bicubic(lr, out.0, out.1)?, k)?;
                Some(positions(out, &affine, k)?)
            }
        };
        Ok(Places {
            pixels: match bent {
                Some(_) => reflected(&pixels)?,
                None => pixels,
            },
            bent,
            size: out,
            // Offsets of half a block, three times as large and turned, from a place within the block.
            reach: 4 * k,
        })
    }
}

/// The pixel numbers of blocks: block number `index[p]` of the sources, of these sizes, is put at place p
/// of a picture of size `out`. `counts` says how many block numbers belong to each source; a source's
/// numbers start where the former's end, and so do its pixels. `[out]`, int32.
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
        Some(pixels) => Ok(pixels.f_to_kind(Kind::Int)?.f_reshape([out.0, out.1])?),
        None => Err(crate::Error::Broken("no references to gather from".into())),
    }
}

/// Pixels of the sources `[1, C, h, w]`, by number `[H, W]`, as a picture `[1, C, H, W]`.
fn gather(sources: &[&Tensor], pixels: &Tensor) -> Result<Tensor> {
    let (h, w) = (pixels.size()[0], pixels.size()[1]);
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
    let rows = table.f_index_select(0, &pixels.f_reshape([-1])?)?;
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
            let both = [&reference, &query];
            strip.kept(&self.p_conv.0.then(&both, Then::lrelu(SLOPE))?, 1)
        })?;
        let x = activated(self.p_conv.1.forward(&x)?, SLOPE)?;
        let affine = self.p_conv.2.forward(&x)?.f_add_scalar(1.0)?;
        Ok(affine.f_clamp(-3.0, 3.0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn rows_alone_equal_those_of_the_whole() {
        tch::manual_seed(4);
        for k in [1, 2, 4, 8] {
            let (h, w) = (16 * k, 11 * k);
            let values = Tensor::rand([1, 3, h, w], (Kind::Float, Device::Cpu));
            let affine = Tensor::rand([1, 3, 16, 11], (Kind::Float, Device::Cpu)) * 6.0 - 3.0;
            let index = Tensor::randint(176, [176], (Kind::Int64, Device::Cpu));
            for bent in [None, Some(positions((h, w), &affine, k).unwrap())] {
                let pixels = pixels(&[(h, w)], &[176], &index, k, (h, w)).unwrap();
                let places = Places {
                    pixels: match bent {
                        Some(_) => reflected(&pixels).unwrap(),
                        None => pixels,
                    },
                    bent,
                    size: (h, w),
                    reach: 4 * k,
                };
                let whole = places.apply(&[&values]).unwrap();
                for (first, rows) in [(0, h), (0, 3), (5, 6), (7 * k, 2 * k), (h - 4, 4)] {
                    let some = places.apply_rows(&[&values], (first, rows)).unwrap();
                    let off = (some - whole.narrow(2, first, rows)).abs().max();
                    let off = off.double_value(&[]);
                    // Positions of up to 130 rows have a last bit of 1e-5 pixels, and values up to 1 a
                    // pixel of slope, twice that at the border.
                    assert!(off < 5e-5, "k = {k}, rows {first} + {rows}: {off:.1e}");
                }
            }
        }
    }

    /// Blocks of 2 x 2 pixels by number.
    fn blocks(sources: &[&Tensor], counts: &[i64], index: &Tensor, out: (i64, i64)) -> Tensor {
        let sizes: Vec<(i64, i64)> = sources.iter().map(|s| size(s)).collect();
        let pixels = pixels(&sizes, counts, index, 2, out).unwrap();
        gather(sources, &pixels).unwrap()
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
