//! Sizes of pictures, and how they lie in memory.

use crate::{Error, Result};
use tch::Tensor;

/// The smallest multiple of `unit` that is not less than `n`.
pub fn round_up(n: i64, unit: i64) -> i64 {
    (n + unit - 1) / unit * unit
}

/// Height and width of an RGB picture `[1, 3, H, W]`; `what` stands for it in the error.
///
/// # Errors
/// [`Error::Shape`] for anything else.
pub fn rgb_size(what: &str, picture: &Tensor) -> Result<(i64, i64)> {
    match picture.size()[..] {
        [1, 3, h, w] if h > 0 && w > 0 => Ok((h, w)),
        ref other => Err(Error::Shape {
            what: what.into(),
            actual: format!("{other:?}"),
            expected: "RGB, [1, 3, H, W] with H and W at least 1".into(),
        }),
    }
}

/// Height and width of an `[N, C, H, W]` tensor.
pub fn size(x: &Tensor) -> (i64, i64) {
    match x.size()[..] {
        [_, _, h, w] => (h, w),
        _ => (0, 0),
    }
}

/// The same values with the channels last in memory. Costs nothing where they are.
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_permute([0, 2, 3, 1])?
        .f_contiguous()?
        .f_permute([0, 3, 1, 2])?)
}

/// Room for a picture of `rows` rows, of the kind and in the layout of `part`, a picture of some of them.
pub fn room_like(part: &Tensor, rows: i64) -> Result<Tensor> {
    let size = part.size();
    let (n, c, w) = (size[0], size[1], size[3]);
    let last = part.stride()[1] == 1 && c > 1;
    let order = if last { [0, 2, 3, 1] } else { [0, 1, 2, 3] };
    Ok(Tensor::f_empty_permuted(
        [n, c, rows, w],
        order,
        (part.kind(), part.device()),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn numbers_are_rounded_up_to_multiples() {
        let all: Vec<i64> = [0, 1, 7, 8, 9].map(|n| round_up(n, 8)).to_vec();
        assert_eq!(all, [0, 8, 8, 8, 16]);
    }

    #[test]
    fn what_is_no_rgb_picture_is_refused_by_name() {
        let picture = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        assert_eq!(rgb_size("frame", &picture(&[1, 3, 4, 6])).unwrap(), (4, 6));
        for shape in [&[1, 3, 0, 6][..], &[2, 3, 4, 6], &[1, 1, 4, 6], &[3, 4, 6]] {
            let error = rgb_size("wide frame", &picture(shape))
                .unwrap_err()
                .to_string();
            let found = format!("{shape:?}");
            assert!(
                error.contains("wide frame") && error.contains(&found),
                "{error}"
            );
        }
    }
}
