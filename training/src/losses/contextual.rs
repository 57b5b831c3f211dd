//! The contextual loss (Mechrez et al., ECCV 2018) and its bilateral form CoBi (Zhang et al., CVPR 2019), as RefVSR uses them: how much of y's
//! content is found in x, wherever it lies.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

/// Which of the published forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Form {
    /// CoBi: nearness in the picture counts for a tenth.
    pub spatial: bool,
    /// x is centred by its own mean, not by y's (`_X_mu`).
    pub own_mean: bool,
    /// Squared distances of raw features (`_L2`) in place of cosine distances of centred ones.
    pub squared: bool,
}

/// A loss: its value, and a tensor whose gradient is the loss's. The two differ because gradients are computed piece by piece, so that few
/// distances are held at a time.
#[derive(Debug)]
pub struct Loss {
    /// The value, a scalar without history.
    pub value: Tensor,
    /// A scalar of some value or other whose derivative is right.
    pub graph: Tensor,
}

impl Loss {
    /// A loss that is its own graph.
    pub fn plain(x: Tensor) -> Self {
        Self {
            value: x.detach(),
            graph: x,
        }
    }

    /// Weighted.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn times(&self, weight: f64) -> Result<Self> {
        Ok(Self {
            value: self.value.f_mul_scalar(weight)?,
            graph: self.graph.f_mul_scalar(weight)?,
        })
    }

    /// The sum of both.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn plus(&self, other: &Self) -> Result<Self> {
        Ok(Self {
            value: self.value.f_add(&other.value)?,
            graph: self.graph.f_add(&other.graph)?,
        })
    }
}

const EPSILON: f64 = 1e-5;
/// The bandwidth h of exp((1 - d) / h).
const BANDWIDTH: f64 = 0.5;
/// Distances held at a time, unless a single pair of pictures has more: 2^24 take 64 MiB, a few times over for their gradients.
const DISTANCES: i64 = 1 << 24;
/// CoBi's share of spatial similarity.
const SPATIAL: f64 = 0.1;

/// CX(x, y): x `[1, C, h, w]` is compared with every picture of y `[N, C, H, W]` (x is repeated for each), features of one layer. Means are taken over
/// all pictures and positions. Features may be fp16; the gradients gathered here are not scaled and would vanish in it, so all this is fp32.
///
/// # Errors
/// Where channels differ, or sizes in the form that needs them equal.
pub fn contextual(x: &Tensor, y: &Tensor, form: Form) -> Result<Loss> {
    let (xs, ys) = (x.size(), y.size());
    ensure!(
        xs.len() == 4 && ys.len() == 4 && xs[0] == 1 && xs[1] == ys[1],
        "contextual loss between features {xs:?} and {ys:?}"
    );
    ensure!(
        !form.squared || xs[2] * xs[3] == ys[2] * ys[3],
        "the _L2 form compares features of one size, not {xs:?} and {ys:?}"
    );
    // Leaves in place of x and y: gradients are gathered in them and some pictures' distances freed before the next ones' are made.
    let (x, y) = (&x.f_to_kind(Kind::Float)?, &y.f_to_kind(Kind::Float)?);
    let leaf = |t: &Tensor| t.detach().set_requires_grad(t.requires_grad());
    let (x_leaf, y_leaf) = (leaf(x), leaf(y));
    let pictures = ys[0];
    let at_once = (DISTANCES / (xs[2] * xs[3] * ys[2] * ys[3]).max(1)).clamp(1, pictures.max(1));
    let mut value = Tensor::f_zeros([], (Kind::Float, x.device()))?;
    for n in (0..pictures).step_by(usize::try_from(at_once)?) {
        let (x, y) = centred(&x_leaf, &y_leaf, n, at_once.min(pictures - n), form)?;
        let loss = pairs(&x, &y, (xs[2], xs[3]), (ys[2], ys[3]), form)?
            .f_sum(Kind::Float)?
            .f_div_scalar(pictures as f64)?;
        if loss.requires_grad() {
            loss.f_backward()?;
        }
        value = value.f_add(&loss.detach())?;
    }
    let mut graph = Tensor::f_zeros([], (Kind::Float, x.device()))?;
    for (tensor, leaf) in [(x, x_leaf), (y, y_leaf)] {
        let gradient = leaf.grad();
        if gradient.defined() {
            graph = graph.f_add(&tensor.f_mul(&gradient)?.f_sum(Kind::Float)?)?;
        }
    }
    Ok(Loss { value, graph })
}

/// x, `[1, C, P]`, and `count` pictures of y from `n` on, `[count, C, Q]`, centred as the form wants.
fn centred(x: &Tensor, y: &Tensor, n: i64, count: i64, form: Form) -> Result<(Tensor, Tensor)> {
    let some = y.f_narrow(0, n, count)?;
    if form.squared {
        return Ok((x.f_flatten(2, 3)?, some.f_flatten(2, 3)?));
    }
    let mean = |t: &Tensor| t.f_mean_dim([0, 2, 3].as_slice(), true, None);
    let y_mean = mean(y)?;
    let x_mean = if form.own_mean {
        mean(x)?
    } else {
        y_mean.shallow_clone()
    };
    Ok((
        x.f_sub(&x_mean)?.f_flatten(2, 3)?,
        some.f_sub(&y_mean)?.f_flatten(2, 3)?,
    ))
}

/// The losses `[N]` of x `[1, C, P]` with each of y `[N, C, Q]`.
fn pairs(
    x: &Tensor,
    y: &Tensor,
    x_size: (i64, i64),
    y_size: (i64, i64),
    form: Form,
) -> Result<Tensor> {
    let distance = if form.squared {
        squared(x, y)?
    } else {
        cosine(x, y)?
    }; // [N, P, Q]
    let mut similarity = normalised(&distance)?;
    if form.spatial {
        let grids = (grid(x_size, x)?, grid(y_size, x)?);
        let near = normalised(&squared(&grids.0, &grids.1)?)?; // [1, P, Q]
        similarity = similarity
            .f_mul_scalar(1.0 - SPATIAL)?
            .f_add(&near.f_mul_scalar(SPATIAL)?)?;
    }
    // For each position of y the most similar of x, weighted by how alike the two are before normalisation.
    let (found, at) = similarity.f_max_dim(1, true)?; // [N, 1, Q]
    let weight = exponential(&distance.f_gather(1, &at, false)?)?;
    let sum = |t: &Tensor| t.f_sum_dim_intlist([1, 2].as_slice(), false, None); // [N]
    let share = sum(&found.f_mul(&weight)?)?.f_div(&sum(&weight)?)?;
    Ok(share.f_add_scalar(EPSILON)?.f_log()?.f_neg()?)
}

fn cosine(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let unit = |t: &Tensor| -> Result<Tensor> {
        let length = t
            .f_norm_scalaropt_dim(2.0, [1].as_slice(), true)?
            .f_clamp_min(1e-12)?;
        Ok(t.f_div(&length)?)
    };
    let cosine = unit(x)?.f_transpose(1, 2)?.f_matmul(&unit(y)?)?;
    Ok(cosine.f_neg()?.f_add_scalar(1.0)?.f_clamp_min(0.0)?)
}

/// Squared distances; the norm of y is taken at x's position, as in the published code (for the spatial term that norm is x's own).
fn squared(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let norm = |t: &Tensor| {
        t.f_square()?
            .f_sum_dim_intlist([1].as_slice(), false, None)?
            .f_unsqueeze(2)
    }; // [N, P, 1]
    let y_norm = if x.size()[2] == y.size()[2] {
        norm(y)?
    } else {
        norm(x)?
    };
    let product = x.f_transpose(1, 2)?.f_matmul(y)?;
    Ok(norm(x)?
        .f_add(&y_norm)?
        .f_sub(&product.f_mul_scalar(2.0)?)?
        .f_clamp_min(0.0)?)
}

/// Distances `[N, P, Q]` to similarities that add up to one over y's positions.
fn normalised(distance: &Tensor) -> Result<Tensor> {
    let least = distance.f_min_dim(2, true)?.0.f_add_scalar(EPSILON)?;
    let weight = exponential(&distance.f_div(&least)?)?;
    let sum = weight
        .f_sum_dim_intlist([2].as_slice(), true, None)?
        .f_add_scalar(EPSILON)?;
    Ok(weight.f_div(&sum)?)
}

fn exponential(distance: &Tensor) -> Result<Tensor> {
    Ok(distance
        .f_neg()?
        .f_add_scalar(1.0)?
        .f_div_scalar(BANDWIDTH)?
        .f_exp()?)
}

/// Positions (row / (H + 1), column / (W + 1)) of a picture, `[1, 2, H * W]`.
fn grid((h, w): (i64, i64), like: &Tensor) -> Result<Tensor> {
    let options = (Kind::Float, like.device());
    let rows = Tensor::f_arange(h, options)?
        .f_div_scalar((h + 1) as f64)?
        .f_view([h, 1])?
        .f_expand([h, w], false)?;
    let columns = Tensor::f_arange(w, options)?
        .f_div_scalar((w + 1) as f64)?
        .f_view([1, w])?
        .f_expand([h, w], false)?;
    Ok(Tensor::f_stack(&[rows.f_reshape([-1])?, columns.f_reshape([-1])?], 0)?.f_unsqueeze(0)?)
}
