//! What an output shows of its recurrence, as numbers on the device.

use crate::{
    Result,
    image::{enlarge::bicubic, resize::bicubic_antialiased},
    net::state::Joined,
};
use tch::{Kind, Tensor};

/// Every so many rows of features are looked at: recurrence that runs away does so in patches of many rows.
const ROWS: i64 = 4;

/// Root mean squares of what an output is made of. None of them needs the truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signs {
    /// The residual: the output, reduced as the input was, less the input.
    pub residual: f64,
    /// The input's contrast from pixel to pixel, which a residual grows with.
    pub contrast: f64,
    /// The forward branch's feature.
    pub forward: f64,
    /// The backward branch's, whose runs are always short.
    pub backward: f64,
}

impl Signs {
    /// Those of an output `picture` `[1, 3, scale*h, scale*w]` of the frame `lr` `[1, 3, h, w]`, as four
    /// numbers on their device: nothing waits for it.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn measure(
        picture: &Tensor,
        lr: &Tensor,
        forward: &Joined,
        backward: &Joined,
    ) -> Result<Tensor> {
        let mean = lr.f_avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None::<i64>)?;
        let signs = [
            residual(picture, lr)?,
            root_mean_square(&lr.f_sub(&mean)?)?,
            root_mean_square(&some_rows(forward)?)?,
            root_mean_square(&some_rows(backward)?)?,
        ];
        Ok(Tensor::f_stack(&signs, 0)?)
    }

    /// Brings what [`measure`](Self::measure) gave from the device, and waits for it.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where the device fails.
    pub fn read(measured: &Tensor) -> Result<Self> {
        let mut values = [0.0f32; 4];
        measured.f_copy_data(&mut values, 4)?;
        let [residual, contrast, forward, backward] = values.map(f64::from);
        Ok(Self {
            residual,
            contrast,
            forward,
            backward,
        })
    }
}

/// The residual of bicubic enlargement of the frame `lr` by `scale`, one number on its device.
///
/// # Errors
/// [`Error::Torch`](crate::Error::Torch) where memory runs out.
pub fn plain_residual(lr: &Tensor, scale: i64) -> Result<Tensor> {
    residual(&bicubic(lr, scale)?, lr)
}

fn residual(picture: &Tensor, lr: &Tensor) -> Result<Tensor> {
    let size = lr.size();
    root_mean_square(&bicubic_antialiased(picture, size[2], size[3])?.f_sub(lr)?)
}

fn some_rows(joined: &Joined) -> Result<Tensor> {
    Ok(joined.feature().f_slice(2, 0, None, ROWS)?)
}

fn root_mean_square(values: &Tensor) -> Result<Tensor> {
    let root = (values.numel().max(1) as f64).sqrt();
    Ok(values
        .f_norm_scalaropt_dtype(2.0, Kind::Float)?
        .f_div_scalar(root)?)
}
