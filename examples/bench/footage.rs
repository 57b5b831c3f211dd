//! What two cameras would have seen of real footage.

use crate::Result;
use refvsr::image::resize::bicubic_antialiased;
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};
use tch::{Kind, Tensor};

/// The footage's size.
const SOURCE: (i64, i64) = (1080, 1920);

/// Raw 8-bit RGB video of 1920x1080, seen by cameras of one frame size.
pub struct Footage {
    file: File,
    frames: usize,
    size: (i64, i64),
}

/// An ultra-wide and a wide frame, `[1, 3, H, W]` in \[0, 1\].
pub type Moment = (Tensor, Tensor);

impl Footage {
    /// Opens a file, for frames of `size` (height, width).
    pub fn open(path: &Path, size: (i64, i64)) -> Result<Self> {
        let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let bytes = file.metadata()?.len();
        let one = (3 * SOURCE.0 * SOURCE.1) as u64;
        if bytes < one || bytes % one != 0 {
            let text = "no whole number of 1920x1080 RGB frames";
            return Err(format!("{} holds {bytes} bytes, {text}", path.display()).into());
        }
        Ok(Self {
            file,
            frames: (bytes / one) as usize,
            size,
        })
    }

    /// The first `n` moments. Past its end the footage runs backwards, and so on.
    pub fn moments(&mut self, n: usize) -> Result<Vec<Moment>> {
        let last = self.frames - 1;
        (0..n)
            .map(|i| {
                let at = i % (2 * last).max(1);
                self.moment(if at <= last { at } else { 2 * last - at })
            })
            .collect()
    }

    fn moment(&mut self, frame: usize) -> Result<Moment> {
        let mut bytes = vec![0; (3 * SOURCE.0 * SOURCE.1) as usize];
        self.file
            .seek(SeekFrom::Start((frame * bytes.len()) as u64))?;
        self.file.read_exact(&mut bytes)?;
        let packed = Tensor::f_from_data_size(&bytes, &[1, SOURCE.0, SOURCE.1, 3], Kind::Uint8)?;
        let whole = packed
            .f_permute([0, 3, 1, 2])?
            .f_to_kind(Kind::Float)?
            .f_div_scalar(255.0)?;
        let (h, w) = self.size;
        // The largest part with the frames' aspect, and of it the middle half for the wide camera.
        let height = SOURCE.0.min(SOURCE.1 * h / w);
        let width = SOURCE.1.min(SOURCE.0 * w / h);
        let seen = |height, width| -> Result<Tensor> {
            let part = whole
                .f_narrow(2, (SOURCE.0 - height) / 2, height)?
                .f_narrow(3, (SOURCE.1 - width) / 2, width)?;
            Ok(bicubic_antialiased(&part, h, w)?)
        };
        Ok((seen(height, width)?, seen(height / 2, width / 2)?))
    }
}
