//! Gaussian windows, gradients, and the small displacements that follow from both (Lucas and Kanade, IJCAI 1981).

use super::context;
use crate::{Result, layout::size, native};
use std::cell::RefCell;
use tch::{Device, Kind, Tensor};

/// `x` `[N, C, H, W]` under a Gaussian window of `sigma` pixels, edges repeated.
pub fn gaussian(x: &Tensor, sigma: f64) -> Result<Tensor> {
    windowed(x, &window(sigma))
}

/// `x` `[N, C, H, W]` under a window of an odd number of `weights`, the same along rows and along
/// columns, edges repeated.
pub fn windowed(x: &Tensor, weights: &[f32]) -> Result<Tensor> {
    if !x.requires_grad() && native::blur::takes(x) {
        return context::with_stop(|stop| native::blur::separable(x, weights, stop));
    }
    convolved(x, weights)
}

/// The weights along one direction, which reach to three sigma.
fn window(sigma: f64) -> Vec<f32> {
    let radius = (3.0 * sigma).ceil() as i32;
    let weights: Vec<f64> = (-radius..=radius)
        .map(|k| (-0.5 * f64::from(k * k) / (sigma * sigma)).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

/// The same in libtorch's operations, for any device and kind, and for gradients.
fn convolved(x: &Tensor, weights: &[f32]) -> Result<Tensor> {
    let n = weights.len() as i64;
    let radius = n / 2;
    let kernel = constant(weights, x.device(), x.kind())?;
    let shape = x.size();
    let (h, w) = size(x);
    // Every channel is a picture of its own.
    let channels = x.f_reshape([-1, 1, h, w])?;
    let along = |x: &Tensor, padding: [i64; 4], shape: [i64; 4]| -> Result<Tensor> {
        let padded = x.f_replication_pad2d(padding)?;
        Ok(padded.f_conv2d(
            &kernel.f_view(shape)?,
            None::<Tensor>,
            [1, 1],
            [0, 0],
            [1, 1],
            1,
        )?)
    };
    let rows = along(&channels, [radius, radius, 0, 0], [1, 1, 1, n])?;
    let both = along(&rows, [0, 0, radius, radius], [1, 1, n, 1])?;
    Ok(both.f_reshape(shape)?)
}

thread_local! {
    /// Constants as tensors, one a device and kind: sending one to a GPU makes the host wait.
    static KEPT: RefCell<Vec<(Vec<f32>, Tensor)>> = const { RefCell::new(vec![]) };
}

/// So many at most. Sessions use a handful, training draws others at random.
const MOST_KEPT: usize = 64;

/// Numbers that are asked for again and again, on a device: `[numbers]`. They are not to be changed.
///
/// # Errors
/// [`Error::Torch`](crate::Error::Torch) where the device fails.
pub fn constant(numbers: &[f32], device: Device, kind: Kind) -> Result<Tensor> {
    KEPT.with_borrow_mut(|all| {
        let fits = |(known, tensor): &&(Vec<f32>, Tensor)| {
            known == numbers && (tensor.device(), tensor.kind()) == (device, kind)
        };
        if let Some((_, tensor)) = all.iter().find(fits) {
            return Ok(tensor.shallow_clone());
        }
        let tensor = Tensor::f_from_slice(numbers)?
            .f_to_device(device)?
            .f_to_kind(kind)?;
        if all.len() >= MOST_KEPT {
            drop(all.remove(0));
        }
        all.push((numbers.to_vec(), tensor.shallow_clone()));
        Ok(tensor)
    })
}

/// Central differences along x and along y, edges repeated.
pub fn gradient(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let (h, w) = size(x);
    let difference = |padding: [i64; 4], dim: i64, n: i64| -> Result<Tensor> {
        let padded = x.f_replication_pad2d(padding)?;
        Ok(padded
            .f_narrow(dim, 2, n)?
            .f_sub(&padded.f_narrow(dim, 0, n)?)?
            .f_mul_scalar(0.5)?)
    };
    Ok((
        difference([1, 1, 0, 0], 3, w)?,
        difference([0, 0, 1, 1], 2, h)?,
    ))
}

/// The sum of all channels of `x` `[N, C, h, w]`: `[N, 1, h, w]`.
pub fn summed(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_sum_dim_intlist([1i64].as_slice(), true, None::<Kind>)?)
}

/// What the pixels under a Gaussian window say about a displacement, of one picture against another that differs
/// from it by `difference`.
#[derive(Debug)]
pub struct Displaced {
    /// Sums of the gradient's products, damped, `[N, 1, h, w]` each.
    xx: Tensor,
    xy: Tensor,
    yy: Tensor,
    /// Sums of the gradient times the difference.
    x: Tensor,
    y: Tensor,
    damping: Tensor,
    /// The sum of the squared difference.
    pub difference: Tensor,
}

/// How a displacement is damped.
#[derive(Debug, Clone, Copy)]
pub struct Damping {
    /// A difference that no displacement explains (noise, another sharpness) counts as so much of a squared
    /// gradient.
    pub share: f64,
    /// Squared gradient that counts as none.
    pub floor: f64,
}

impl Displaced {
    /// `gradient` and `difference` are `[N, C, h, w]`; where `seen` `[N, 1, h, w]` is 0 nothing counts. `window`
    /// is the Gaussian's sigma in pixels.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where sizes do not fit.
    pub fn new(
        (x, y): (&Tensor, &Tensor),
        difference: &Tensor,
        seen: Option<&Tensor>,
        window: f64,
        damping: Damping,
    ) -> Result<Self> {
        let products = [
            x.f_square()?,
            x.f_mul(y)?,
            y.f_square()?,
            x.f_mul(difference)?,
            y.f_mul(difference)?,
            difference.f_square()?,
        ]
        .iter()
        .map(summed)
        .collect::<Result<Vec<_>>>()?;
        let mut products = Tensor::f_cat(&products, 1)?;
        if let Some(seen) = seen {
            products = products.f_mul(seen)?;
        }
        let sums = gaussian(&products, window)?;
        let sum = |n: i64| sums.f_narrow(1, n, 1);
        let added = sum(5)?
            .f_mul_scalar(damping.share)?
            .f_add_scalar(damping.floor)?;
        Ok(Self {
            xx: sum(0)?.f_add(&added)?,
            xy: sum(1)?,
            yy: sum(2)?.f_add(&added)?,
            x: sum(3)?,
            y: sum(4)?,
            difference: sum(5)?,
            damping: added,
        })
    }

    /// The displacement, `[N, 2, h, w]`, x then y, in pixels.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn displacement(&self) -> Result<Tensor> {
        let Self { xx, xy, yy, .. } = self;
        let determinant = xx.f_mul(yy)?.f_sub(&xy.f_square()?)?;
        let u = yy.f_mul(&self.x)?.f_sub(&xy.f_mul(&self.y)?)?;
        let v = xx.f_mul(&self.y)?.f_sub(&xy.f_mul(&self.x)?)?;
        Ok(Tensor::f_cat(&[u, v], 1)?.f_div(&determinant)?)
    }

    /// How well it is founded along the weaker of the two directions, `[N, 1, h, w]` from 0 to 1.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn confidence(&self) -> Result<Tensor> {
        let Self { xx, xy, yy, .. } = self;
        let half = xx.f_sub(yy)?.f_mul_scalar(0.5)?;
        let weaker = xx
            .f_add(yy)?
            .f_mul_scalar(0.5)?
            .f_sub(&half.f_square()?.f_add(&xy.f_square()?)?.f_sqrt()?)?;
        let founded = weaker.f_sub(&self.damping)?.f_div(&weaker)?;
        Ok(founded.f_clamp(0.0, 1.0)?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// No number of one differs from the other's by more.
    pub(in crate::net) fn close(a: &Tensor, b: &Tensor, tolerance: f64) {
        let off = (a - b).abs().max().double_value(&[]);
        assert!(off <= tolerance, "off by {off}");
    }

    #[test]
    fn a_window_is_made_once_a_device_and_kind() {
        let made = |sigma: f64, kind: Kind| constant(&window(sigma), Device::Cpu, kind).unwrap();
        let first = made(1.25, Kind::Float);
        assert_eq!(made(1.25, Kind::Float).data_ptr(), first.data_ptr());
        for other in [made(1.25, Kind::Double), made(1.5, Kind::Float)] {
            assert_ne!(other.data_ptr(), first.data_ptr());
        }
        assert_eq!(made(1.25, Kind::Double).kind(), Kind::Double);
        for sigma in 0..200 {
            drop(made(f64::from(sigma).mul_add(0.01, 2.0), Kind::Float));
        }
        assert_eq!(KEPT.with_borrow(Vec::len), MOST_KEPT);
    }

    #[test]
    fn a_window_keeps_planes_and_halves_an_edge() {
        let flat = Tensor::full([1, 2, 9, 11], 0.3, (Kind::Float, Device::Cpu));
        close(&gaussian(&flat, 3.0).unwrap(), &flat, 1e-6);
        let edge = Tensor::arange(40, (Kind::Float, Device::Cpu))
            .view([1, 1, 1, 40])
            .ge(20)
            .to_kind(Kind::Float);
        let blurred = gaussian(&edge, 2.0).unwrap();
        let pair = blurred.double_value(&[0, 0, 0, 19]) + blurred.double_value(&[0, 0, 0, 20]);
        assert!((pair - 1.0).abs() < 1e-6);
        // The slope of a blurred step is the window's peak.
        let (x, y) = gradient(&blurred).unwrap();
        let peak = x.max().double_value(&[]);
        assert!((peak - 0.19).abs() < 0.01, "{peak}");
        assert_eq!(y.abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn a_window_is_the_same_in_libtorchs_operations() {
        tch::manual_seed(5);
        for (shape, sigma) in [
            ([1, 3, 40, 131], 8.0),
            ([2, 6, 33, 64], 3.0),
            ([1, 1, 5, 7], 6.0),
            ([1, 2, 1, 1], 1.5),
            ([1, 1, 70, 8], 0.4),
        ] {
            let x = Tensor::randn(shape, (Kind::Float, Device::Cpu));
            let strided = x.transpose(2, 3);
            for x in [&x, &strided] {
                let plain = convolved(x, &window(sigma)).unwrap();
                close(&gaussian(x, sigma).unwrap(), &plain, 3e-6);
            }
        }
    }
}
