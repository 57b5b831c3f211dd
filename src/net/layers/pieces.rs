//! Large convolutions in pieces of rows. A call of libtorch's cannot be stopped, so none may last long;
//! and what follows a piece finds it in the cache.

use crate::{
    Error, Result,
    layout::{room_like, size},
};
use std::cell::Cell;
use tch::Tensor;

/// Multiplications and additions of a piece, where a single row has no more: some hundredths of a second
/// of two cores.
const MOST: i64 = 2_000_000_000;

thread_local! {
    /// Tests cut small pictures too.
    static MOST_HERE: Cell<i64> = const { Cell::new(MOST) };
}

/// What a convolution sees along an axis. Its kernel is odd, its padding half of it.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub kernel: i64,
    pub stride: i64,
}

/// Rows of a convolution's output, and those of its input that they are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// First row and number of rows of the output.
    output: (i64, i64),
    /// Those of the input.
    input: (i64, i64),
    /// Rows of zeros that are needed above and below the input; none for a whole picture, which the
    /// convolution pads itself.
    zeros: Option<(i64, i64)>,
}

impl Window {
    /// Outputs that an axis of `n` has.
    pub fn outputs(self, n: i64) -> i64 {
        (n - 1).max(0) / self.stride + 1
    }

    /// All rows of a picture of height `h`.
    pub fn whole(self, h: i64) -> Piece {
        Piece {
            output: (0, self.outputs(h)),
            input: (0, h),
            zeros: None,
        }
    }

    fn piece(self, h: i64, first: i64, rows: i64) -> Piece {
        let start = first * self.stride - self.kernel / 2;
        let end = start + (rows - 1) * self.stride + self.kernel;
        let (from, to) = (start.max(0), end.min(h));
        Piece {
            output: (first, rows),
            input: (from, to - from),
            zeros: Some((from - start, end - to)),
        }
    }

    /// The pieces of a picture of height `h` whose rows of output take `row` operations each.
    fn pieces(self, h: i64, row: i64, most: i64) -> Vec<Piece> {
        let rows = self.outputs(h);
        let at_most = (most / row.max(1)).clamp(1, rows);
        if at_most == rows {
            return vec![self.whole(h)];
        }
        // As even as can be: every shape of a piece is a kernel of its own to the library.
        let count = (rows + at_most - 1) / at_most;
        let each = (rows + count - 1) / count;
        (0..rows)
            .step_by(usize::try_from(each).unwrap_or(usize::MAX))
            .map(|first| self.piece(h, first, each.min(rows - first)))
            .collect()
    }
}

impl Piece {
    /// Its rows of the input.
    pub fn of_input(self, x: &Tensor) -> Result<Tensor> {
        Ok(if self.input == (0, size(x).0) {
            x.shallow_clone()
        } else {
            x.f_narrow(2, self.input.0, self.input.1)?
        })
    }

    /// Its rows of a picture `factor` times the output's size.
    pub fn of_output(self, x: &Tensor, factor: i64) -> Result<Tensor> {
        let (first, rows) = self.output;
        Ok(if (first, factor * rows) == (0, size(x).0) {
            x.shallow_clone()
        } else {
            x.f_narrow(2, factor * first, factor * rows)?
        })
    }

    /// Its input with the zeros that it needs above and below, and the rows of padding that are left to
    /// the convolution, whose padding is `padding`.
    pub fn padded(self, x: Tensor, padding: i64) -> Result<(Tensor, i64)> {
        match self.zeros {
            None => Ok((x, padding)),
            Some((0, 0)) => Ok((x, 0)),
            Some((above, below)) => Ok((x.f_constant_pad_nd([0, 0, above, below])?, 0)),
        }
    }
}

/// Computes a picture piece by piece. `work` gives a piece's rows, each `factor` rows of the picture. `row`
/// is the number of operations that a row of the convolution's output takes.
pub fn in_pieces(
    h: i64,
    window: Window,
    row: i64,
    factor: i64,
    mut work: impl FnMut(Piece) -> Result<Tensor>,
) -> Result<Tensor> {
    let pieces = window.pieces(h, row, MOST_HERE.get());
    if let [whole] = pieces[..] {
        return work(whole);
    }
    let mut out: Option<Tensor> = None;
    for piece in pieces {
        let rows = work(piece)?;
        let whole = match out.take() {
            Some(whole) => whole,
            None => room_like(&rows, factor * window.outputs(h))?,
        };
        piece.of_output(&whole, factor)?.f_copy_(&rows)?;
        out = Some(whole);
    }
    out.ok_or_else(|| Error::Broken("a picture without pieces".into()))
}

/// Runs `work` with pieces of at most so many operations.
#[cfg(test)]
pub fn with_pieces_of<T>(most: i64, work: impl FnOnce() -> T) -> T {
    MOST_HERE.set(most);
    let done = work();
    MOST_HERE.set(MOST);
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ModelConfig, Network, Session, Triplet,
        net::layers::{
            context::{self, Arithmetic},
            conv::{Conv, Then},
        },
        profile::record,
        stop::Stopper,
    };
    use tch::{Device, Kind, nn::VarStore};

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    #[test]
    fn pieces_cover_every_row_once_and_see_what_it_is_made_of() {
        for (kernel, stride) in [(1, 1), (3, 1), (3, 2), (5, 2), (5, 8), (7, 1)] {
            let window = Window { kernel, stride };
            for h in [1, 2, 7, 30, 91] {
                for most in [1, 5, 40, 1000] {
                    let all = window.pieces(h, 1, most);
                    let mut next = 0;
                    for piece in &all {
                        let (first, rows) = piece.output;
                        assert_eq!(first, next);
                        assert!(rows >= 1 && (rows <= most || all.len() as i64 == h));
                        let (above, below) = piece.zeros.unwrap_or((0, 0));
                        if piece.zeros.is_some() {
                            let seen = above + piece.input.1 + below;
                            assert_eq!(seen, (rows - 1) * stride + kernel);
                        }
                        next += rows;
                    }
                    assert_eq!(next, window.outputs(h), "{window:?}, {h} rows, {most}");
                }
            }
        }
    }

    #[test]
    fn a_convolution_in_pieces_equals_the_whole() {
        tch::manual_seed(12);
        let vs = VarStore::new(Device::Cpu);
        let root = vs.root();
        let rand = |shape: &[i64]| Tensor::rand(shape, CPU);
        let (a, b) = (rand(&[1, 5, 31, 20]), rand(&[1, 3, 31, 20]));
        let residual = rand(&[1, 12, 31, 20]);
        let cases = [
            (1, 1, Then::lrelu(0.2)),
            (3, 1, Then::add(&residual)),
            (3, 1, Then::shuffle(0.1)),
            (3, 2, Then::lrelu(0.0)),
            (5, 2, Then::NOTHING),
            (5, 4, Then::NOTHING),
            (7, 1, Then::add(&residual)),
        ];
        for (number, (k, stride, then)) in cases.into_iter().enumerate() {
            let conv = Conv::strided((&root / number).into(), 8, 12, k, stride).unwrap();
            let run = |most| {
                let work = || tch::no_grad(|| conv.then(&[&a, &b], then));
                with_pieces_of(most, work).unwrap()
            };
            let whole = run(MOST);
            for most in [1, 200_000, 1_000_000] {
                let cut = run(most);
                assert_eq!(cut.size(), whole.size());
                let off = (cut - &whole).abs().max().double_value(&[]);
                assert!(off < 1e-5, "{k} x {k}, stride {stride}: off by {off:.1e}");
            }
        }
    }

    #[test]
    fn gradients_are_those_of_one_call() {
        tch::manual_seed(13);
        let vs = VarStore::new(Device::Cpu);
        let conv = Conv::new(vs.root().into(), 4, 4, 3).unwrap();
        let x = Tensor::rand([1, 4, 20, 20], CPU);
        let gradient = |most| {
            let out = with_pieces_of(most, || conv.forward(&x)).unwrap();
            vs.variables().values().for_each(|v| {
                let _ = v.grad().defined().then(|| v.grad().zero_());
            });
            out.square().sum(Kind::Float).backward();
            vs.variables()["weight"].grad().copy()
        };
        assert!(gradient(1).equal(&gradient(MOST)));
    }

    #[test]
    fn no_piece_of_a_frames_work_is_larger_than_asked_and_every_one_can_be_the_last() {
        tch::manual_seed(14);
        let config = ModelConfig {
            mid_channels: 8,
            num_blocks: 1,
            frame_num: 3,
            ..ModelConfig::preset("refvsr-mfid").unwrap()
        };
        let picture = || Tensor::rand([1, 3, 64, 64], CPU);
        for precision in [crate::Precision::Fp32, crate::Precision::Fp32Fast] {
            let network = Network::new(config.clone(), Device::Cpu).unwrap();
            let options = crate::SessionOptions {
                precision,
                ..Session::options_of(&network)
            };
            let mut session = Session::new(network, options).unwrap();
            let most = 26_000_000; // the largest row, of the flow, has less
            let ((), profile) = record(|| {
                with_pieces_of(most, || {
                    for _ in 0..3 {
                        let (ultrawide, wide) = (picture(), Some(picture()));
                        let tele = None;
                        session
                            .send(Triplet {
                                ultrawide,
                                wide,
                                tele,
                            })
                            .unwrap();
                        while session.receive().unwrap().is_frame() {}
                    }
                });
            });
            let largest = profile.largest_piece().flops as i64;
            assert!(largest > 0 && largest <= most, "{precision}: {largest}");
        }
        // A stopped convolution gives up at its first piece.
        let vs = VarStore::new(Device::Cpu);
        let conv = Conv::new(vs.root().into(), 8, 8, 7).unwrap().exact();
        let stopper = Stopper::default();
        let stopped = context::within(Arithmetic::Exact, &stopper, || {
            stopper.stop();
            with_pieces_of(1, || conv.forward(&Tensor::rand([1, 8, 9, 9], CPU)))
        });
        assert!(matches!(stopped, Err(Error::Stopped)));
    }
}
