//! Planes of bytes to tensors of codes and back. Bytes are copied once; all else happens on the tensor's device.

use super::format::{Description, ImageLayout, PlaneSize};
use crate::{Error, Result, native::cuda};
use std::marker::PhantomData;
use tch::{Device, Kind, Tensor};

/// One plane to read: rows of `stride` bytes.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The bytes, from the first pixel on.
    pub data: &'a [u8],
    /// Bytes from one row to the next, at least a row's worth.
    pub stride: usize,
}

/// One plane to write: rows of `stride` bytes. Bytes past a row's pixels are left alone.
#[derive(Debug)]
pub struct PlaneMut<'a> {
    /// The bytes, from the first pixel on.
    pub data: &'a mut [u8],
    /// Bytes from one row to the next, at least a row's worth.
    pub stride: usize,
}

/// The pixels of a plane that has been found large enough: `[rows, row_bytes]`, borrowed from the caller.
pub(super) struct Rows<'a> {
    view: Tensor,
    borrowed: PhantomData<&'a [u8]>,
}

/// As [`Rows`], to write to.
pub(super) struct RowsMut<'a> {
    view: Tensor,
    borrowed: PhantomData<&'a mut [u8]>,
}

/// The rows of all planes of a picture to read.
pub(super) fn rows<'a>(layout: &ImageLayout, planes: &[Plane<'a>]) -> Result<Vec<Rows<'a>>> {
    let sizes = plane_sizes(layout, planes.len())?;
    let view = |(index, (plane, size)): (usize, (&Plane<'a>, PlaneSize))| {
        check(layout, index, size, plane.data.len(), plane.stride)?;
        // SAFETY: the size was checked on the line above. `Rows` holds on to the borrow of the bytes and only ever reads them.
        let view = unsafe { view(plane.data.as_ptr(), plane.data.len(), plane.stride, size)? };
        Ok(Rows {
            view,
            borrowed: PhantomData,
        })
    };
    planes.iter().zip(sizes).enumerate().map(view).collect()
}

/// The rows of all planes of a picture to write.
pub(super) fn rows_mut<'a>(
    layout: &ImageLayout,
    planes: &'a mut [PlaneMut<'_>],
) -> Result<Vec<RowsMut<'a>>> {
    let sizes = plane_sizes(layout, planes.len())?;
    let view = |(index, (plane, size)): (usize, (&'a mut PlaneMut<'_>, PlaneSize))| {
        check(layout, index, size, plane.data.len(), plane.stride)?;
        // SAFETY: the size was checked on the line above. `RowsMut` holds on to the only borrow of the bytes, which is a mutable one.
        let view = unsafe {
            view(
                plane.data.as_mut_ptr(),
                plane.data.len(),
                plane.stride,
                size,
            )?
        };
        Ok(RowsMut {
            view,
            borrowed: PhantomData,
        })
    };
    planes.iter_mut().zip(sizes).enumerate().map(view).collect()
}

impl Rows<'_> {
    /// Some of the rows.
    pub(super) fn part(&self, first: usize, rows: usize) -> Result<Self> {
        Ok(Self {
            view: self.view.f_narrow(0, first as i64, rows as i64)?,
            borrowed: PhantomData,
        })
    }

    /// A copy of the pixels' bytes on `device`, u8. To a CUDA device they go through pinned memory, which
    /// the device reads while the host goes on; libtorch keeps that memory until it has been read.
    pub(super) fn upload(&self, device: Device) -> Result<Tensor> {
        match device {
            Device::Cuda(_) => self.upload_by(device, |bytes| {
                Ok(cuda::pinned(bytes).unwrap_or_else(|| bytes.shallow_clone()))
            }),
            _ => Ok(self.view.f_to_device_(device, Kind::Uint8, false, true)?),
        }
    }

    /// A copy on `device` by way of what `stage` makes of the bytes, without waiting for the device.
    fn upload_by(
        &self,
        device: Device,
        stage: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let staged = stage(&self.view)?;
        Ok(staged.f_to_device_(device, Kind::Uint8, true, true)?)
    }
}

impl RowsMut<'_> {
    /// Copies bytes, u8 `[rows, row_bytes]`, from any device over so many rows of pixels from `first` on.
    pub(super) fn fill(&mut self, first: usize, bytes: &Tensor) -> Result<()> {
        let mut part = self.view.f_narrow(0, first as i64, bytes.size()[0])?;
        part.f_copy_(bytes)?;
        Ok(())
    }
}

/// The sizes of a layout's planes, where as many of them were given.
fn plane_sizes(layout: &ImageLayout, count: usize) -> Result<Vec<PlaneSize>> {
    let sizes = layout.planes()?;
    if sizes.len() == count {
        return Ok(sizes);
    }
    let what = format!("planes of a {} picture", layout.format.name());
    Err(Error::Shape {
        what,
        actual: count.to_string(),
        expected: sizes.len().to_string(),
    })
}

/// Refuses a plane without room for its pixels.
fn check(
    layout: &ImageLayout,
    index: usize,
    size: PlaneSize,
    length: usize,
    stride: usize,
) -> Result<()> {
    let refused = |actual, expected| {
        let what = format!(
            "plane {index} of a {} x {} {} picture",
            layout.width,
            layout.height,
            layout.format.name()
        );
        Err(Error::Shape {
            what,
            actual,
            expected,
        })
    };
    if stride < size.row_bytes {
        return refused(
            format!("stride of {stride} bytes"),
            format!("at least {}", size.row_bytes),
        );
    }
    let needed = size
        .rows
        .saturating_sub(1)
        .checked_mul(stride)
        .and_then(|above| above.checked_add(size.row_bytes));
    match needed {
        Some(needed) if needed <= length => Ok(()),
        Some(needed) => refused(
            format!("{length} bytes"),
            format!("at least {needed} at a stride of {stride}"),
        ),
        None => refused(
            format!("{length} bytes"),
            format!(
                "{} rows at a stride of {stride}, more than there can be",
                size.rows
            ),
        ),
    }
}

/// A tensor over the pixels of a plane, u8 `[rows, row_bytes]`, which skips what lies between the rows.
///
/// # Safety
/// The plane must have passed [`check`]; the `length` bytes at `data` must outlive the tensor and may only be written through it where
/// they are mutably borrowed.
unsafe fn view(data: *const u8, length: usize, stride: usize, size: PlaneSize) -> Result<Tensor> {
    // The stride of a single row can be any number. In all other cases it is at most the length, and so fits an i64.
    let stride = stride.min(length);
    let shape = [size.rows as i64, size.row_bytes as i64];
    // SAFETY: by this function's own contract.
    Ok(
        unsafe {
            Tensor::f_from_blob(data, &shape, &[stride as i64, 1], Kind::Uint8, Device::Cpu)?
        },
    )
}

/// Bytes `[rows, row_bytes]` of pixels of `count` samples to codes `[rows, columns]` of each of them, f32.
pub(super) fn decode(bytes: &Tensor, description: &Description, count: i64) -> Result<Vec<Tensor>> {
    let rows = bytes.size()[0];
    let codes = if description.sample_bytes() == 1 {
        bytes.f_reshape([rows, -1, count])?
    } else {
        let bytes = bytes.f_reshape([rows, -1, count, 2])?.f_totype(Kind::Int)?;
        let words = bytes
            .f_select(3, 1)?
            .f_mul_scalar(256)?
            .f_add(&bytes.f_select(3, 0)?)?;
        words
            .f_bitwise_right_shift_tensor_scalar(i64::from(description.shift))?
            .f_bitwise_and(description.max())?
    };
    Ok(codes.f_totype(Kind::Float)?.f_unbind(2)?)
}

/// Codes `[rows, columns]` of each sample of a pixel, whole numbers in f32, to bytes `[rows, row_bytes]`.
pub(super) fn encode(codes: &[Tensor], description: &Description) -> Result<Tensor> {
    let codes = Tensor::f_stack(codes, 2)?;
    let bytes = if description.sample_bytes() == 1 {
        codes
    } else {
        let words = codes
            .f_totype(Kind::Int)?
            .f_bitwise_left_shift_tensor_scalar(i64::from(description.shift))?;
        let (low, high) = (
            words.f_bitwise_and(255)?,
            words.f_bitwise_right_shift_tensor_scalar(8)?,
        );
        Tensor::f_stack(&[low, high], 3)?
    };
    Ok(bytes.f_totype(Kind::Uint8)?.f_flatten(1, -1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staged_upload_has_the_pixels_and_none_of_what_lies_between_rows() {
        let mut data: Vec<u8> = (0..20).collect();
        let size = PlaneSize {
            rows: 3,
            row_bytes: 4,
        };
        // SAFETY: the plane has rows of 4 bytes at a stride of 7, which lie in the vector.
        let view = unsafe { view(data.as_ptr(), data.len(), 7, size).unwrap() };
        let rows = Rows {
            view,
            borrowed: PhantomData,
        };
        let staged = |bytes: &Tensor| Ok(bytes.f_contiguous()?);
        let uploads = [
            rows.upload(Device::Cpu).unwrap(),
            rows.upload_by(Device::Cpu, staged).unwrap(),
        ];
        drop(rows);
        data.fill(255); // uploads are copies
        for upload in uploads {
            let bytes = Vec::<i64>::try_from(upload.reshape([-1]).to_kind(Kind::Int64)).unwrap();
            assert_eq!(bytes, [0, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 17]);
        }
    }
}
