//! Large pictures in strips of rows: the layers at two and four times the frame's size take most of the
//! memory there is, and need only a few rows at a time.

use super::{ops::room_like, registration::Rectangle};
use crate::Result;
use std::cell::Cell;
use tch::Tensor;

/// Memory that the largest feature of a picture may take that is not cut, twice that of a strip; and rows that
/// a strip has at the least: with fewer, the rows around it would be a large part of the work.
const LIMIT: Limit = Limit {
    bytes: 32 << 20,
    least_rows: 96,
};

#[derive(Debug, Clone, Copy)]
struct Limit {
    bytes: i64,
    least_rows: i64,
}

thread_local! {
    /// Tests cut small pictures too.
    static LIMIT_HERE: Cell<Limit> = const { Cell::new(LIMIT) };
}

/// Rows of the frame above and below a strip that are computed with it, since 3 x 3 convolutions see one
/// more row each. Sixteen convolutions at twice the size are within reach of it.
const HALO: i64 = 8;
/// The same of a part of a strip: eight convolutions at four times the size are within reach of it. A part
/// has a third of a strip's rows at the least.
const PART_HALO: i64 = 2;
/// Strips and parts start at multiples of so many rows of the frame, so that a convolution's tiles lie in them
/// as they do in the whole picture.
const UNIT: i64 = 4;

/// Rows of a frame, counted at the frame's own size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strip {
    /// First row, of the halo above.
    first: i64,
    /// Rows, with both halos.
    rows: i64,
    /// Rows of the halo above.
    above: i64,
    /// Rows without halos.
    kept: i64,
}

impl Strip {
    /// All `rows` of a frame.
    pub fn whole(rows: i64) -> Self {
        Self {
            first: 0,
            rows,
            above: 0,
            kept: rows,
        }
    }

    /// First row and number of rows, with halos, of a picture `factor` times the frame's size.
    pub fn span(self, factor: i64) -> (i64, i64) {
        (factor * self.first, factor * self.rows)
    }

    /// The strip of a picture `[1, C, factor * h, w]`, with halos.
    pub fn of(self, x: &Tensor, factor: i64) -> Result<Tensor> {
        let (first, rows) = self.span(factor);
        Ok(x.f_narrow(2, first, rows)?)
    }

    /// The rows of a part of the frame that lie in this strip, halos left out: `part` is counted from the
    /// strip's first row, the answer from the frame's. `None` where there are none.
    pub fn kept_rows(self, part: Rectangle) -> Option<Rectangle> {
        let top = part.top.max(self.above);
        let height = (part.top + part.height).min(self.above + self.kept) - top;
        (height > 0).then_some(Rectangle {
            top: self.first + top,
            height,
            ..part
        })
    }

    /// First row of the halo above.
    pub fn first(self) -> i64 {
        self.first
    }

    /// What was computed of a strip without its halos.
    pub fn kept(self, x: &Tensor, factor: i64) -> Result<Tensor> {
        Ok(x.f_narrow(2, factor * self.above, factor * self.kept)?)
    }

    /// Computes a picture of the rows that the strip keeps, `factor` times their size, part by part: for
    /// layers that reach less far and need more memory than those the strip was cut for. Parts are counted
    /// from the strip's first row; otherwise as [`in_strips`].
    pub fn in_parts(
        self,
        largest: Largest,
        factor: i64,
        mut work: impl FnMut(Strip) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Limit { bytes, least_rows } = LIMIT_HERE.get();
        let limit = Limit {
            bytes,
            least_rows: (least_rows / 3).max(UNIT),
        };
        let rows = Rows {
            first: self.above,
            count: self.kept,
            of: self.rows,
        };
        join(&strips(rows, largest, limit, PART_HALO), factor, &mut work)
    }
}

/// The largest features that are made of a strip.
#[derive(Debug, Clone, Copy)]
pub struct Largest {
    /// Their channels.
    pub channels: i64,
    /// Their size as a multiple of the frame's.
    pub factor: i64,
    /// The frame's width.
    pub width: i64,
}

/// Rows of a frame that are to be computed.
#[derive(Debug, Clone, Copy)]
struct Rows {
    first: i64,
    count: i64,
    /// Rows there are.
    of: i64,
}

/// The strips of these rows.
fn strips(rows: Rows, largest: Largest, limit: Limit, halo: i64) -> Vec<Strip> {
    let Largest {
        channels,
        factor,
        width,
    } = largest;
    let row = (4 * channels * width * factor * factor).max(1);
    let most = if rows.count * row <= limit.bytes {
        rows.count.max(1)
    } else {
        (limit.bytes / 2 / row - 2 * halo).max(limit.least_rows) / UNIT * UNIT
    };
    (0..rows.count)
        .step_by(usize::try_from(most).unwrap_or(usize::MAX))
        .map(|start| {
            let kept = most.min(rows.count - start);
            let start = rows.first + start;
            let first = (start - halo).max(0);
            let end = (start + kept + halo).min(rows.of);
            Strip {
                first,
                rows: end - first,
                above: start - first,
                kept,
            }
        })
        .collect()
}

/// Computes a picture `[1, C, factor * h, factor * w]` of a frame of `h` x `w` pixels strip by strip. `work`
/// gives what the strip keeps of it.
pub fn in_strips(
    (h, width): (i64, i64),
    (channels, largest): (i64, i64),
    factor: i64,
    mut work: impl FnMut(Strip) -> Result<Tensor>,
) -> Result<Tensor> {
    let rows = Rows {
        first: 0,
        count: h,
        of: h,
    };
    let largest = Largest {
        channels,
        factor: largest,
        width,
    };
    join(
        &strips(rows, largest, LIMIT_HERE.get(), HALO),
        factor,
        &mut work,
    )
}

fn join(
    strips: &[Strip],
    factor: i64,
    work: &mut dyn FnMut(Strip) -> Result<Tensor>,
) -> Result<Tensor> {
    if let [whole] = strips {
        return work(*whole);
    }
    let rows = strips.iter().map(|strip| strip.kept).sum::<i64>();
    let (mut out, mut from): (Option<Tensor>, i64) = (None, 0);
    for strip in strips {
        let part = work(*strip)?;
        let whole = match out.take() {
            Some(whole) => whole,
            None => room_like(&part, factor * rows)?,
        };
        whole
            .f_narrow(2, factor * from, factor * strip.kept)?
            .f_copy_(&part)?;
        from += strip.kept;
        out = Some(whole);
    }
    out.ok_or_else(|| crate::Error::Broken("a picture without strips".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    const LARGEST: Largest = Largest {
        channels: 8,
        factor: 4,
        width: 96,
    };

    fn whole(of: i64) -> Rows {
        Rows {
            first: 0,
            count: of,
            of,
        }
    }

    #[test]
    fn strips_cover_every_row_once_and_start_at_whole_units() {
        let cases = [1, 7, 64, 270, 1080].map(whole).into_iter().chain([Rows {
            first: 8,
            count: 97,
            of: 110,
        }]);
        for (rows, halo) in cases.flat_map(|rows| [(rows, HALO), (rows, PART_HALO)]) {
            for bytes in [1, 1 << 20, 8 << 20, 1 << 40] {
                let limit = Limit {
                    bytes,
                    least_rows: 16,
                };
                let all = strips(rows, LARGEST, limit, halo);
                let mut next = rows.first;
                for s in &all {
                    assert_eq!((s.first + s.above, (next - rows.first) % UNIT), (next, 0));
                    assert!(s.above == halo || s.first == 0);
                    let below = s.first + s.rows - next - s.kept;
                    assert!(
                        below == halo || s.first + s.rows == rows.of,
                        "{s:?} of {rows:?}"
                    );
                    next += s.kept;
                }
                assert_eq!(next, rows.first + rows.count);
            }
        }
    }

    #[test]
    fn a_network_in_strips_gives_the_picture_of_the_whole() {
        use crate::{
            ModelConfig, Network,
            net::{Frame, Run},
        };
        for hd in [false, true] {
            tch::manual_seed(8);
            let config = ModelConfig {
                mid_channels: if hd { 8 } else { 32 },
                num_blocks: 1,
                hd,
                ..ModelConfig::preset("refvsr-mfid").unwrap()
            };
            let network = Network::new(config, Device::Cpu).unwrap();
            let rand = || Tensor::rand([1, 3, 96, 24], (Kind::Float, Device::Cpu));
            let (frames, wide) = ([rand(), rand()], [rand(), rand()]);
            let references: Vec<[&Tensor; 1]> = wide.iter().map(|w| [w]).collect();
            let window: Vec<Frame<'_>> = (frames.iter().zip(&references))
                .map(|(lr, references)| Frame { lr, references })
                .collect();
            let cut = Limit {
                bytes: 1,
                least_rows: 16,
            };
            let picture = |limit| {
                LIMIT_HERE.set(limit);
                let out = tch::no_grad(|| network.forward_about(&window, 0, None, Run::Streaming));
                LIMIT_HERE.set(LIMIT);
                out.unwrap().0
            };
            let (whole, cut) = (picture(LIMIT), picture(cut));
            let off = (whole - cut).abs().max().double_value(&[]);
            assert!(off <= 1e-6, "hd {hd}: off by {off:.1e}");
        }
    }

    #[test]
    fn the_registered_variant_in_strips_gives_the_picture_of_the_whole() {
        use crate::{
            ModelConfig, Network,
            config::{Recurrence, Variant},
            net::{fusion::Detail, registered::Details, registration::Rectangle},
        };
        tch::manual_seed(9);
        let config = ModelConfig {
            variant: Variant::Registered,
            mid_channels: 8,
            num_blocks: 1,
            recurrence: Recurrence::Clean,
            ..ModelConfig::preset("refvsr-mfid").unwrap()
        };
        let network = Network::new(config, Device::Cpu).unwrap();
        for (name, mut weights) in network.weights().variables() {
            if name.contains("_fusion.conv3") || name.contains("_carrier.") {
                tch::no_grad(|| weights.copy_(&(weights.rand_like() * 0.1)));
            }
        }
        let rand = |shape: [i64; 4]| Tensor::rand(shape, (Kind::Float, Device::Cpu));
        // Neither field starts or ends where a strip does.
        let detail = |density: i64, top: i64, height: i64| {
            let (h, w) = (density * height, density * 16);
            let input = rand([1, 12, h, w]);
            let _ = input.narrow(1, 11, 1).fill_(1.0);
            Some(Detail {
                input,
                field: Rectangle {
                    top,
                    left: 4,
                    height,
                    width: 16,
                },
                density,
            })
        };
        let details = Details {
            wide: detail(2, 13, 70),
            tele: detail(4, 41, 22),
        };
        let (joined, frame) = (rand([1, 8, 96, 24]), rand([1, 3, 96, 24]));
        let net = network.registered().unwrap();
        let picture = |details: &Details, least_rows| {
            LIMIT_HERE.set(Limit {
                bytes: 1,
                least_rows,
            });
            let out = tch::no_grad(|| net.enlarged(&joined, &frame, details));
            LIMIT_HERE.set(LIMIT);
            let out = out.unwrap();
            (out.picture, out.carried.onto(&joined).unwrap())
        };
        let off = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
        let (whole, cut) = (picture(&details, 96), picture(&details, 16));
        for (whole, cut) in [(&whole.0, &cut.0), (&whole.1, &cut.1)] {
            assert!(off(whole, cut) <= 1e-6, "off by {:.1e}", off(whole, cut));
        }
        let without = picture(&Details::default(), 96);
        assert!(
            off(&whole.0, &without.0) > 1e-3,
            "the references add something"
        );
        assert!(without.1.equal(&joined), "nothing is carried");
        // What is carried lies in the wide camera's field, and is the same without the picture.
        let carried = &whole.1 - &joined;
        let field = carried.narrow(2, 13, 70).narrow(3, 4, 16);
        let sum = |t: &Tensor| t.abs().sum(Kind::Double).double_value(&[]);
        assert!(sum(&field) > 1.0 && (sum(&carried) - sum(&field)).abs() < 1e-3);
        let wide = details.wide.as_ref().unwrap();
        let alone = tch::no_grad(|| net.with_carried(&joined, &joined, wide)).unwrap();
        assert!(off(&alone, &whole.1) <= 1e-6);
    }

    #[test]
    fn a_chain_of_convolutions_in_strips_equals_the_whole() {
        tch::manual_seed(2);
        let rand = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let (x, weight) = (rand(&[1, 4, 2 * 91, 30]), rand(&[4, 4, 3, 3]) * 0.2);
        let convolved = |x: Tensor| {
            (0..13).fold(x, |x, _| {
                x.conv2d::<Tensor>(&weight, None, [1, 1], [1, 1], [1, 1], 1)
            })
        };
        let uncut = convolved(x.shallow_clone());
        let limit = Limit {
            bytes: 1 << 17,
            least_rows: 16,
        };
        let largest = Largest {
            channels: 4,
            width: 15,
            ..LARGEST
        };
        let all = strips(whole(91), largest, limit, HALO);
        assert!(all.len() > 2);
        let joined = join(&all, 2, &mut |s| s.kept(&convolved(s.of(&x, 2)?), 2)).unwrap();
        assert_eq!(joined.size(), uncut.size());
        let off = (joined - &uncut).abs().max().double_value(&[]);
        assert!(
            off <= 1e-5 * uncut.abs().max().double_value(&[]),
            "off by {off:.1e}"
        );
    }
}
