//! The parts of a picture in which there is most to see.

use crate::frames::Rect;
use anyhow::Result;
use tch::Tensor;

/// The crops of a size (width, height), within `field` and beside it, in which `loss` `[1, C, H, W]` is most, of those that lie whole steps of
/// `step` pixels from the top left corner. None where no crop fits.
pub fn choose(
    loss: &Tensor,
    size: (i64, i64),
    step: i64,
    field: &Rect,
) -> Result<(Option<Rect>, Option<Rect>)> {
    let loss = loss.f_mean_dim([1i64].as_slice(), true, None)?;
    let means = loss.f_avg_pool2d(
        [size.1, size.0],
        [step, step],
        [0, 0],
        false,
        true,
        None::<i64>,
    )?;
    let (rows, columns) = (means.size()[2], means.size()[3]);
    let all = Vec::<f32>::try_from(means.f_reshape([-1])?)?;
    let (mut here, mut there) = ((f32::MIN, None), (f32::MIN, None));
    for row in 0..rows {
        for column in 0..columns {
            let crop = Rect {
                x: column * step,
                y: row * step,
                width: size.0,
                height: size.1,
            };
            let best = if contains(field, &crop) {
                &mut here
            } else if apart(field, &crop) {
                &mut there
            } else {
                continue;
            };
            let mean = all[(row * columns + column) as usize];
            if mean > best.0 {
                *best = (mean, Some(crop));
            }
        }
    }
    Ok((here.1, there.1))
}

fn contains(outer: &Rect, r: &Rect) -> bool {
    r.x >= outer.x
        && r.y >= outer.y
        && r.x + r.width <= outer.x + outer.width
        && r.y + r.height <= outer.y + outer.height
}

/// Whether the two do not touch, with a few pixels to spare.
fn apart(a: &Rect, b: &Rect) -> bool {
    let spare = 8;
    b.x >= a.x + a.width + spare
        || b.x + b.width + spare <= a.x
        || b.y >= a.y + a.height + spare
        || b.y + b.height + spare <= a.y
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn crops_lie_where_detail_is_lost() {
        let (width, height, size) = (1024, 576, (152, 112));
        let field = Rect {
            x: 256,
            y: 144,
            width: 512,
            height: 288,
        };
        let loss = Tensor::zeros([1, 3, height, width], (Kind::Float, Device::Cpu));
        let _ = loss.narrow(2, 300, 20).narrow(3, 600, 20).fill_(1.0);
        let _ = loss.narrow(2, 20, 20).narrow(3, 900, 20).fill_(1.0);
        let (here, there) = choose(&loss, size, 4, &field).unwrap();
        let (here, there) = (here.unwrap(), there.unwrap());
        assert!(contains(&field, &here) && apart(&field, &there));
        let dot = |x, y| Rect {
            x,
            y,
            width: 20,
            height: 20,
        };
        assert!(contains(&here, &dot(600, 300)), "{here:?}");
        assert!(contains(&there, &dot(900, 20)), "{there:?}");
        for crop in [here, there] {
            assert_eq!((crop.x % 4, crop.y % 4), (0, 0), "whole input pixels");
            let whole = Rect {
                x: 0,
                y: 0,
                width,
                height,
            };
            assert!(contains(&whole, &crop));
        }
        let small = Rect { width: 90, ..field };
        assert_eq!(choose(&loss, size, 4, &small).unwrap().0, None);
    }
}
