//! What passes between the data half and the training half of this crate.

use anyhow::{Result, ensure};
use tch::{Device, Tensor};

/// A patch cut out of consecutive frames of a clip. All tensors are fp32 RGB in \[0, 1\] on the CPU; frames come first, in order.
///
/// With LR patches of side p, scale s (4 or 2) and n frames:
#[derive(Debug)]
pub struct ClipPatch {
    /// Where it was cut, for messages and logs.
    pub name: String,
    /// The ultra-wide camera, `[n, 3, p, p]`: the network's input. In adaptation, a patch of the full-resolution frames.
    pub lr: Tensor,
    /// The wide camera, `[n, 3, 2p, 2p]`: the network's reference.
    pub wide: Tensor,
    /// The ultra-wide camera at the output's size, `[n, 3, s p, s p]`: the truth. In adaptation, and where
    /// a teacher tells what is right, there is none and this is `lr` once more.
    pub hr: Tensor,
    /// Patches for the losses that compare with a reference, `[n, 3, s p, s p]` in general (any size
    /// works). In pre-training they show the wide patch's field at the truth's pixel density (for
    /// hd networks the wide patch enlarged twice), in adaptation the tele camera's at the output's.
    pub loss_references: Tensor,
    /// The frames of `lr` without the sensor's noise and the recording's losses, where a teacher is to
    /// see them.
    pub clean: Option<Tensor>,
    /// Where a film is learnt from part by part: which part this is. `lr` then shows frames before and
    /// after it too, `hr` its own alone.
    pub part: Option<Part>,
}

/// A part of a film. The films of a stream follow each other, each part where the one before ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which stream.
    pub stream: u64,
    /// The film's frame that it begins with.
    pub first: usize,
    /// Frames of `lr` before that one.
    pub before: usize,
    /// Its own frames.
    pub frames: usize,
}

impl ClipPatch {
    /// One of its tensors, `what`, as a picture `[1, 3, H, W]` a frame, on a device.
    ///
    /// # Errors
    /// Where it is none of RGB frames, or of another number of them than `lr`.
    pub fn frames(&self, what: &str, x: &Tensor, device: Device) -> Result<Vec<Tensor>> {
        let size = x.size();
        ensure!(
            size.len() == 4 && size[1] == 3,
            "clip patch {}: {what} is {size:?}, [n, 3, H, W] expected",
            self.name
        );
        ensure!(
            size[0] == self.lr.size()[0],
            "clip patch {}: {} frames of {what}",
            self.name,
            size[0]
        );
        let x = x.f_to_device(device)?;
        (0..size[0])
            .map(|i| Ok(x.f_narrow(0, i, 1)?.f_contiguous()?))
            .collect()
    }
}

/// An endless stream of patches that can be started anywhere.
///
/// Patch number k of a run is the same whenever it is asked for: a function of the source's seed and of k, whatever the number of worker
/// threads and wherever the stream was started. That is what makes a resumed run equal to one that was never stopped.
pub trait Source {
    /// The stream from patch number `position` on. Dropping it ends its worker threads.
    ///
    /// # Errors
    /// Where the stream cannot be started.
    fn start(&self, position: u64) -> Result<Box<dyn Iterator<Item = Result<ClipPatch>>>>;
}

/// One frame of a clip held out for validation, each `[1, 3, ..]` fp32 RGB in \[0, 1\] on the CPU.
#[derive(Debug)]
pub struct ValidationFrame {
    /// Ultra-wide, `[1, 3, h, w]`.
    pub lr: Tensor,
    /// Wide, of the same size.
    pub wide: Tensor,
    /// The truth, `[1, 3, s h, s w]`. A source for adaptation, which has none, gives the ultra-wide frame; the output is then compared with it
    /// after being reduced to its size.
    pub hr: Tensor,
}

/// A clip held out for validation, read frame by frame.
pub trait ValidationClip {
    /// Its name.
    fn name(&self) -> &str;
    /// Number of frames.
    fn len(&self) -> usize;
    /// Whether it has no frames.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The tele camera's frame `i` at the ultra-wide input's density, `[1, 3, h, w]`; `None` where the clip has none.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn tele(&self, i: usize) -> Result<Option<Tensor>> {
        let _ = i;
        Ok(None)
    }
    /// Frame `i`, below [`len`](Self::len).
    ///
    /// # Errors
    /// Where it cannot be read.
    fn frame(&self, i: usize) -> Result<ValidationFrame>;
}
