//! Matching at a reduced density: frames that are larger than a model's matching is made for are matched
//! in blocks of positions. Every block is looked for in pictures reduced so many times, then its place is
//! found to the position about what was found there.

use crate::{
    Error, Result,
    layout::{channels_last, round_up, size},
    net::layers::context,
};
use tch::{Kind, Tensor};

/// Operations of a frame's search that are taken without being asked for: 640x360 at scale 4 has 3.8e12,
/// the sizes of the paper (480x270, and 1920x1080 with hd) 1.2e12.
const MOST: f64 = 4e12;

/// The steps there are.
pub const STEPS: [usize; 5] = [1, 2, 4, 8, 16];

/// Blocks whose places are found at a time: so many that their candidates stay in the cache.
const BLOCKS: i64 = 512;

/// How often each neighbour's place is tried.
const PASSES: usize = 2;

/// Numbers that a position is compared by: 3 x 3 features of 16 channels.
const DEPTH: f64 = 144.0;

/// Operations of a search for so many positions among so many.
pub fn cost(queries: i64, keys: i64) -> f64 {
    2.0 * DEPTH * queries as f64 * keys as f64
}

/// The smallest step whose search takes no longer than what is taken unasked.
pub fn step_for(cost: f64) -> usize {
    let fits = |step: &usize| cost / (*step as f64).powi(4) <= MOST;
    STEPS
        .into_iter()
        .find(fits)
        .unwrap_or(STEPS[STEPS.len() - 1])
}

/// A picture `step` times smaller, its sides first brought to multiples of `unit` by repeating its edge.
pub fn reduced(picture: &Tensor, step: i64, unit: i64) -> Result<Tensor> {
    let (h, w) = size(picture);
    let missing = |n: i64| round_up(n, unit) - n;
    let padded = match (missing(h), missing(w)) {
        (0, 0) => picture.shallow_clone(),
        (below, right) => picture.f_replication_pad2d([0, right, 0, below])?,
    };
    Ok(padded.f_avg_pool2d([step, step], [step, step], [0, 0], false, true, None)?)
}

/// Features at full density of a frame or a reference, padded so that every position has a patch.
pub struct Field {
    /// Rows of `[16]`, the padded picture's pixels in reading order.
    rows: Tensor,
    /// Height and width without padding.
    size: (i64, i64),
}

impl Field {
    /// Of features `[1, 16, H, W]`.
    pub fn new(features: &Tensor) -> Result<Self> {
        let padded = channels_last(&features.f_reflection_pad2d([1, 1, 1, 1])?)?;
        Ok(Self {
            rows: padded.f_permute([0, 2, 3, 1])?.f_reshape([-1, 16])?,
            size: size(features),
        })
    }

    /// Number of positions.
    fn positions(&self) -> i64 {
        self.size.0 * self.size.1
    }

    /// The features of a window of `n` x `n` padded pixels for each of the rows and columns `[B]` of its
    /// corner: `[B, n, n, 16]`. Beyond the picture its last pixels are repeated.
    fn windows(&self, row: &Tensor, column: &Tensor, n: i64) -> Result<Tensor> {
        let (h, w) = (self.size.0 + 2, self.size.1 + 2);
        let taps = Tensor::f_arange(n, (Kind::Int64, row.device()))?;
        let along = |corner: &Tensor, shape: [i64; 3], last: i64| -> Result<Tensor> {
            let at = corner.f_view([-1, 1, 1])?.f_add(&taps.f_view(shape)?)?;
            Ok(at.f_clamp(0, last)?)
        };
        let rows = along(row, [1, -1, 1], h - 1)?;
        let pixels = rows
            .f_mul_scalar(w)?
            .f_add(&along(column, [1, 1, -1], w - 1)?)?;
        let found = self.rows.f_index_select(0, &pixels.f_reshape([-1])?)?;
        Ok(found.f_view([-1, n, n, 16])?)
    }
}

/// A grid of positions in blocks of `step` x `step`, the last of which may be cut off.
#[derive(Clone, Copy)]
struct Blocks {
    size: (i64, i64),
    step: i64,
}

impl Blocks {
    /// Blocks along both axes.
    fn count(self) -> (i64, i64) {
        let count = |n: i64| round_up(n, self.step) / self.step;
        (count(self.size.0), count(self.size.1))
    }

    /// Row and column of the middle of the blocks of these numbers.
    fn middle(self, block: &Tensor) -> Result<(Tensor, Tensor)> {
        let row = block.f_divide_scalar_mode(self.count().1, "floor")?;
        let column = block.f_sub(&row.f_mul_scalar(self.count().1)?)?;
        let place = |block: Tensor, n: i64| -> Result<Tensor> {
            let first = block.f_mul_scalar(self.step)?;
            Ok(first.f_add_scalar(self.step / 2)?.f_clamp_max(n - 1)?)
        };
        Ok((place(row, self.size.0)?, place(column, self.size.1)?))
    }

    /// The values `[blocks]` at every position of the blocks, `[positions]`.
    fn each_position(self, values: &Tensor) -> Result<Tensor> {
        let ((rows, columns), step) = (self.count(), self.step);
        let all = values
            .f_view([rows, 1, columns, 1])?
            .f_expand([rows, step, columns, step], false)?
            .f_reshape([rows * step, columns * step])?;
        let of_grid = all.f_narrow(0, 0, self.size.0)?;
        Ok(of_grid.f_narrow(1, 0, self.size.1)?.f_reshape([-1])?)
    }
}

/// Finds the places of a frame's blocks. `coarse` `[blocks]` says for each block of `query` which block of
/// the references it is most like; with several references theirs count on. Gives the cosine similarity
/// `[blocks]` of each block's middle to what was found for it, and for every position of the frame the
/// number `[positions]` of its like.
pub fn refined(
    query: &Field,
    references: &[Field],
    coarse: &Tensor,
    step: i64,
) -> Result<(Tensor, Tensor)> {
    let of = |field: &Field| Blocks {
        size: field.size,
        step,
    };
    let blocks = of(query);
    let every = Tensor::f_arange(coarse.size()[0], (Kind::Int64, coarse.device()))?;
    let all = blocks.middle(&every)?;
    let (mut scores, mut index) = (None, None);
    let (mut first_block, mut first_position) = (0, 0);
    for reference in references {
        let theirs = of(reference).count();
        // Blocks of other references are looked for in this one too, and left out below.
        let local = coarse
            .f_sub_scalar(first_block)?
            .f_clamp(0, theirs.0 * theirs.1 - 1)?;
        let search = Search {
            query,
            reference,
            middles: &all,
        };
        let start = of(reference).middle(&local)?;
        let found = search.about(&start, step / 2 + 1)?;
        let [score, places @ ..] = search.propagated(found, blocks)?;
        let numbers = spread(blocks, &all, &places, reference.size)?;
        let numbers = numbers.f_add_scalar(first_position)?;
        // From this reference's first block on it is its own, or one that comes later.
        let own = coarse.f_ge(first_block)?;
        let own_positions = blocks.each_position(&own)?;
        scores = Some(chosen(scores, score, &own)?);
        index = Some(chosen(index, numbers, &own_positions)?);
        first_block += theirs.0 * theirs.1;
        first_position += reference.positions();
    }
    match (scores, index) {
        (Some(scores), Some(index)) => Ok((scores, index)),
        _ => Err(Error::Broken("no references to match with".into())),
    }
}

fn chosen(before: Option<Tensor>, new: Tensor, own: &Tensor) -> Result<Tensor> {
    match before {
        None => Ok(new),
        Some(before) => Ok(new.f_where_self(own, &before)?),
    }
}

/// A frame's blocks, looked for in one reference.
struct Search<'a> {
    query: &'a Field,
    reference: &'a Field,
    /// Row and column of every block's middle, `[blocks]` each.
    middles: &'a (Tensor, Tensor),
}

impl Search<'_> {
    /// The best place of each block within `reach` rows and columns of `places`: its cosine similarity, row
    /// and column, `[blocks]` each.
    fn about(&self, places: &(Tensor, Tensor), reach: i64) -> Result<[Tensor; 3]> {
        let count = places.0.size()[0];
        let mut found = vec![];
        for first in (0..count).step_by(BLOCKS as usize) {
            context::check()?;
            let part = |t: &Tensor| t.f_narrow(0, first, BLOCKS.min(count - first));
            let (row, column) = (part(&self.middles.0)?, part(&self.middles.1)?);
            let patches = self.query.windows(&row, &column, 3)?;
            let about = (part(&places.0)?, part(&places.1)?);
            found.push(best_about(&patches, self.reference, about, reach)?);
        }
        let joined = |n: usize| -> Result<Tensor> {
            let parts: Vec<&Tensor> = found.iter().map(|f| &f[n]).collect();
            Ok(Tensor::f_cat(&parts, 0)?)
        };
        Ok([joined(0)?, joined(1)?, joined(2)?])
    }

    /// What was found, but where a block lies better as a neighbour of it lies there (as in PatchMatch,
    /// Barnes et al., SIGGRAPH 2009): a block whose reduced picture was found in the wrong place is put
    /// right by those beside it.
    fn propagated(&self, mut found: [Tensor; 3], blocks: Blocks) -> Result<[Tensor; 3]> {
        let grid = [blocks.count().0, blocks.count().1];
        for neighbour in [[0, 1], [1, 0], [0, -1], [-1, 0]].repeat(PASSES) {
            let beside = |place: &Tensor, middle: &Tensor| -> Result<Tensor> {
                let motion = place.f_sub(middle)?.f_view(grid)?;
                let motion = motion.f_roll(neighbour, [0, 1])?.f_reshape([-1])?;
                Ok(motion.f_add(middle)?)
            };
            let (row, column) = self.middles;
            let places = (beside(&found[1], row)?, beside(&found[2], column)?);
            let other = self.about(&places, 1)?;
            let better = other[0].f_gt_tensor(&found[0])?;
            for (found, other) in found.iter_mut().zip(&other) {
                *found = other.f_where_self(&better, found)?;
            }
        }
        Ok(found)
    }
}

/// For each of the patches `[B, 3, 3, 16]` the best position of `reference` within `reach` rows and columns
/// of a place: cosine similarity, row and column, `[B]` each.
fn best_about(
    patches: &Tensor,
    reference: &Field,
    (row, column): (Tensor, Tensor),
    reach: i64,
) -> Result<[Tensor; 3]> {
    let n = 2 * reach + 1;
    let corner = |middle: &Tensor, size: i64| -> Result<Tensor> {
        Ok(middle.f_sub_scalar(reach)?.f_clamp(0, (size - n).max(0))?)
    };
    let (h, w) = reference.size;
    let (row, column) = (corner(&row, h)?, corner(&column, w)?);
    let window = reference.windows(&row, &column, n + 2)?;
    let squares = sum_last(&window.f_square()?)?;
    let (mut products, mut lengths) = (None, None);
    for (down, right) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
        let at = |t: &Tensor| t.f_narrow(1, down, n)?.f_narrow(2, right, n);
        let tap = patches.f_narrow(1, down, 1)?.f_narrow(2, right, 1)?;
        products = Some(plus(products, sum_last(&at(&window)?.f_mul(&tap)?)?)?);
        lengths = Some(plus(lengths, at(&squares)?)?);
    }
    let (Some(products), Some(lengths)) = (products, lengths) else {
        return Err(Error::Broken("a patch without taps".into()));
    };
    let own = sum_last(&patches.f_square()?)?.f_sum_dim_intlist([1, 2].as_slice(), true, None)?;
    let lengths = lengths.f_mul(&own)?.f_sqrt()?.f_clamp_min(1e-12)?;
    let scores = products.f_div(&lengths)?.f_reshape([-1, n * n])?;
    let (score, best) = scores.f_max_dim(1, false)?;
    let down = best.f_divide_scalar_mode(n, "floor")?;
    let right = best.f_sub(&down.f_mul_scalar(n)?)?;
    Ok([
        score,
        row.f_add(&down)?.f_clamp_max(h - 1)?,
        column.f_add(&right)?.f_clamp_max(w - 1)?,
    ])
}

fn sum_last(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_sum_dim_intlist([-1].as_slice(), false, None)?)
}

fn plus(sum: Option<Tensor>, x: Tensor) -> Result<Tensor> {
    match sum {
        None => Ok(x),
        Some(sum) => Ok(sum.f_add(&x)?),
    }
}

/// For every position of the frame the number of the position of a reference of this size that lies to its
/// block's place as it lies to the block's middle.
fn spread(
    blocks: Blocks,
    (row, column): &(Tensor, Tensor),
    [found_row, found_column]: &[Tensor; 2],
    (h, w): (i64, i64),
) -> Result<Tensor> {
    let options = (Kind::Int64, row.device());
    let down = Tensor::f_arange(blocks.size.0, options)?.f_view([-1, 1])?;
    let right = Tensor::f_arange(blocks.size.1, options)?.f_view([1, -1])?;
    let moved = |found: &Tensor, middle: &Tensor, own: &Tensor, n: i64| -> Result<Tensor> {
        let motion = blocks.each_position(&found.f_sub(middle)?)?;
        let motion = motion.f_view([blocks.size.0, blocks.size.1])?;
        Ok(motion.f_add(own)?.f_clamp(0, n - 1)?)
    };
    let rows = moved(found_row, row, &down, h)?;
    let columns = moved(found_column, column, &right, w)?;
    Ok(rows.f_mul_scalar(w)?.f_add(&columns)?.f_reshape([-1])?)
}
