//! What displacements have in common: a scaling rotation, by least squares and on the device.
//!
//! With p = (x, y) a position in the ultra-wide frame and q = (u, v) the one in the reference that
//! belongs to it, the similarity is
//! u = cos x + sin y + e, v = cos y - sin x + f,
//! where cos and sin are those of the angle times the scale. Everything about it is a sum over pairs
//! of [`TERMS`] numbers each, so a repetition is two products with them and a few small operations.
//! Few, because telling a GPU what to do takes longer than such work.

use super::similarity::Similarity;
use crate::{Result, net::layers::local::constant};
use tch::{Device, Kind, Tensor};

/// Pairs that lie off the fit lose weight in so many repetitions.
const ROUNDS: usize = 8;
/// Fewer pixels of weight say nothing; neither do pixels in one place, with a lower variance; and no
/// lens has a smaller squared scale.
const LEAST: [f32; 3] = [16.0, 4.0, 1e-6];

/// Numbers of a pair: 1, x, y, u, v, p p, p q, y u - x v, q q.
const TERMS: i64 = 9;

/// Sums of products of two numbers of a vector: (which sum, the one number, the other, factor).
type Products = [(i64, i64, i64, f32)];

/// The variance of p, and its covariances with q along and across, of the means of [`TERMS`].
const SPREADS: [(i64, i64, i64, f32); 9] = [
    (0, 0, 5, 1.0),
    (0, 1, 1, -1.0),
    (0, 2, 2, -1.0),
    (1, 0, 6, 1.0),
    (1, 1, 3, -1.0),
    (1, 2, 4, -1.0),
    (2, 0, 7, 1.0),
    (2, 2, 3, -1.0),
    (2, 1, 4, 1.0),
];

/// e, f and the squared scale, of 1, x, y, u, v (means), cos, sin.
const OFFSETS: [(i64, i64, i64, f32); 8] = [
    (0, 0, 3, 1.0),
    (0, 5, 1, -1.0),
    (0, 6, 2, -1.0),
    (1, 0, 4, 1.0),
    (1, 5, 2, -1.0),
    (1, 6, 1, 1.0),
    (2, 5, 5, 1.0),
    (2, 6, 6, 1.0),
];

/// What each of a pair's terms adds to 1 + 4 d d, with d its distance from the fit in pixels of the
/// frame: of 1, cos, sin, e, f and the squared scale, times the latter.
const DISTANCES: [(i64, i64, i64, f32); 13] = [
    (0, 0, 5, 1.0),
    (0, 3, 3, 4.0),
    (0, 4, 4, 4.0),
    (1, 1, 3, 8.0),
    (1, 2, 4, -8.0),
    (2, 2, 3, 8.0),
    (2, 1, 4, 8.0),
    (3, 0, 3, -8.0),
    (4, 0, 4, -8.0),
    (5, 0, 5, 4.0),
    (6, 0, 1, -8.0),
    (7, 0, 2, -8.0),
    (8, 0, 0, 4.0),
];

/// The similarity that brings pairs of positions nearest to one another.
#[derive(Debug)]
pub struct Fit {
    /// What was found; the one asked about where there was nothing to fit to.
    pub similarity: Similarity,
    /// Whether there was anything to fit to: one truth value.
    pub founded: Tensor,
}

impl Fit {
    /// Of `positions` in the ultra-wide frame and `targets` in the reference, both `[1, 2, h, w]`,
    /// with `weight` `[1, 1, h, w]`. Pairs that lie off it (things nearer than the background) lose
    /// weight in repetitions. `known` is given where there is nothing to fit to.
    pub fn new(
        positions: &Tensor,
        targets: &Tensor,
        weight: &Tensor,
        known: &Similarity,
    ) -> Result<Self> {
        let pairs = Pairs::new(positions, targets)?;
        let weight = weight.f_reshape([-1])?.f_to_kind(Kind::Double)?;
        let mut solution = pairs.solve(&weight)?;
        for _ in 1..ROUNDS {
            // Half the weight at half a pixel, little far off.
            let nearer = weight.f_div(&pairs.distances(&solution)?)?;
            solution = pairs.solve(&nearer)?;
        }
        // What is no number is not greater either.
        let least = constant(&LEAST, weight.device(), Kind::Double)?;
        let founded = solution.founded_on.f_ge_tensor(&least)?.f_all()?;
        let numbers = solution.numbers.f_where_self(&founded, known.numbers())?;
        Ok(Self {
            similarity: Similarity::of(numbers),
            founded,
        })
    }
}

/// Pairs of positions to which a similarity is fitted, whatever their weights.
struct Pairs {
    /// `[TERMS, pairs]`
    terms: Tensor,
    spreads: Tensor,
    offsets: Tensor,
    distances: Tensor,
}

/// A fit for some weights.
struct Solution {
    /// As [`Similarity`] has them, `[6]`: cos, sin and the means of x, y, u and v.
    numbers: Tensor,
    /// 1, cos, sin, e, f and the squared scale, `[6]`.
    about: Tensor,
    /// What [`LEAST`] is asked of, `[3]`.
    founded_on: Tensor,
}

impl Pairs {
    fn new(positions: &Tensor, targets: &Tensor) -> Result<Self> {
        let part = |t: &Tensor, channel: i64| -> Result<Tensor> {
            Ok(t.f_select(1, channel)?
                .f_to_kind(Kind::Double)?
                .f_reshape([-1])?)
        };
        let (x, y) = (part(positions, 0)?, part(positions, 1)?);
        let (u, v) = (part(targets, 0)?, part(targets, 1)?);
        let sum = |a: [&Tensor; 2], b: [&Tensor; 2]| a[0].f_mul(a[1])?.f_add(&b[0].f_mul(b[1])?);
        let terms = [
            &x.f_ones_like()?,
            &x,
            &y,
            &u,
            &v,
            &sum([&x, &x], [&y, &y])?,
            &sum([&x, &u], [&y, &v])?,
            &y.f_mul(&u)?.f_sub(&x.f_mul(&v)?)?,
            &sum([&u, &u], [&v, &v])?,
        ];
        let device = x.device();
        Ok(Self {
            terms: Tensor::f_stack(&terms, 0)?,
            spreads: products(&SPREADS, (3, TERMS), device)?,
            offsets: products(&OFFSETS, (3, 7), device)?,
            distances: products(&DISTANCES, (TERMS, 6), device)?,
        })
    }

    /// For these weights, `[pairs]`.
    fn solve(&self, weight: &Tensor) -> Result<Solution> {
        let sums = self.terms.f_mv(weight)?;
        let total = sums.f_narrow(0, 0, 1)?;
        let means = sums.f_div(&total)?;
        let spreads = summed(&self.spreads, &means)?;
        let spread = spreads.f_narrow(0, 0, 1)?;
        let turn = spreads.f_narrow(0, 1, 2)?.f_div(&spread)?; // cos, sin
        let offsets = summed(
            &self.offsets,
            &Tensor::f_cat(&[&means.f_narrow(0, 0, 5)?, &turn], 0)?,
        )?;
        Ok(Solution {
            numbers: Tensor::f_cat(&[&turn, &means.f_narrow(0, 1, 4)?], 0)?,
            about: Tensor::f_cat(&[&means.f_narrow(0, 0, 1)?, &turn, &offsets], 0)?,
            founded_on: Tensor::f_cat(&[&total, &spread, &offsets.f_narrow(0, 2, 1)?], 0)?,
        })
    }

    /// 1 + 4 d d for each pair, with d its distance from a fit in pixels of the frame, `[pairs]`.
    fn distances(&self, from: &Solution) -> Result<Tensor> {
        let square = from.about.f_narrow(0, 5, 1)?;
        let parts = summed(&self.distances, &from.about)?.f_div(&square)?;
        Ok(self.terms.f_transpose(0, 1)?.f_mv(&parts)?)
    }
}

/// [`Products`] as a matrix `[sums, n n]` for [`summed`], of vectors of n numbers.
fn products(of: &Products, (sums, n): (i64, i64), device: Device) -> Result<Tensor> {
    let mut matrix = vec![0.0f32; (sums * n * n) as usize];
    for &(sum, a, b, factor) in of {
        matrix[((sum * n + a) * n + b) as usize] = factor;
    }
    Ok(constant(&matrix, device, Kind::Double)?.f_view([sums, n * n])?)
}

/// The sums of products of a vector's numbers that a matrix of [`products`] asks for.
fn summed(products: &Tensor, of: &Tensor) -> Result<Tensor> {
    Ok(products.f_mv(&of.f_outer(of)?.f_view([-1])?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::registered::registration::{placement::Placement, sampling::pixels};

    const PLACEMENT: Placement = Placement {
        zoom: 2.1,
        rotation: 0.05,
        shift: (7.0, -3.0),
    };
    const SIZES: ((i64, i64), (f64, f64)) = ((72, 128), (72.0, 128.0));

    fn similarity(placement: Placement) -> Similarity {
        placement.similarity(SIZES.0, SIZES.1, Device::Cpu).unwrap()
    }

    #[test]
    fn a_fit_is_that_of_its_equations() {
        tch::manual_seed(4);
        let of = (Kind::Double, Device::Cpu);
        let positions = pixels(3, 9, 10, 12, Device::Cpu)
            .unwrap()
            .to_kind(Kind::Double);
        let known = similarity(Placement::centred(2.0));
        let targets = similarity(PLACEMENT).apply(&positions).unwrap();
        let targets = targets + Tensor::randn([1, 2, 10, 12], of) * 0.6;
        let weight = Tensor::rand([1, 1, 10, 12], of);
        let each = |t: &Tensor, n: i64| t.select(1, n).view([-1]);
        let (x, y) = (each(&positions, 0), each(&positions, 1));
        let (zero, one) = (x.zeros_like(), x.ones_like());
        let rows = [
            Tensor::stack(&[&x, &y, &one, &zero], 1),
            Tensor::stack(&[&y, &-&x, &zero, &one], 1),
        ];
        let rows = Tensor::cat(&rows, 0); // [2 pairs, 4] of cos, sin, e, f
        let wanted = Tensor::cat(&[each(&targets, 0), each(&targets, 1)], 0);
        let mut weights = weight.view([-1]);
        let mut found = zero;
        for _ in 0..ROUNDS {
            let both = Tensor::cat(&[&weights, &weights], 0).unsqueeze(1);
            let squares = (&rows * &both).transpose(0, 1).matmul(&rows);
            let products = (&rows * &both).transpose(0, 1).matmul(&wanted.unsqueeze(1));
            found = Tensor::linalg_solve(&squares, &products, true).squeeze_dim(1);
            let off = (&wanted - rows.mv(&found))
                .view([2, -1])
                .square()
                .sum_dim_intlist([0i64].as_slice(), false, Kind::Double);
            let square = found.narrow(0, 0, 2).square().sum(Kind::Double);
            weights = weight.view([-1]) / (off / square * 4.0 + 1.0);
        }
        let fit = Fit::new(&positions, &targets, &weight, &known).unwrap();
        let expected = rows.mv(&found).view([1, 2, 10, 12]);
        let off = (fit.similarity.apply(&positions).unwrap() - expected).abs();
        assert!(off.max().double_value(&[]) < 1e-8, "{off}");
    }

    #[test]
    fn a_fit_finds_the_placement_in_spite_of_a_near_thing() {
        let positions = pixels(10, 20, 40, 64, Device::Cpu).unwrap();
        let targets = similarity(PLACEMENT).apply(&positions).unwrap();
        // A quarter of the field is 5 pixels nearer.
        let mut near = targets.narrow(3, 0, 16).narrow(1, 0, 1);
        near += 10.5;
        let weight = Tensor::ones([1, 1, 40, 64], (Kind::Float, Device::Cpu));
        let start = similarity(Placement::centred(2.0));
        let fit = Fit::new(&positions, &targets, &weight, &start).unwrap();
        assert_eq!(fit.founded.int64_value(&[]), 1);
        let numbers = Vec::<f64>::try_from(fit.similarity.numbers()).unwrap();
        let found = Placement::of(&numbers, SIZES.0, SIZES.1).unwrap();
        assert!(
            (found.zoom / PLACEMENT.zoom - 1.0).abs() < 0.005
                && (found.rotation - PLACEMENT.rotation).abs() < 0.003
                && (found.shift.0 - PLACEMENT.shift.0).abs() < 0.5
                && (found.shift.1 - PLACEMENT.shift.1).abs() < 0.2,
            "{found:?}"
        );
        for nothing in [&weight * 0.0, &weight * f64::NAN] {
            let fit = Fit::new(&positions, &targets, &nothing, &start).unwrap();
            assert_eq!(fit.founded.int64_value(&[]), 0);
            let same = fit.similarity.numbers().equal(start.numbers());
            assert!(same, "as it was");
        }
    }
}
