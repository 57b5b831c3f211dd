//! What is sent to a session.

use tch::Tensor;

/// What the three cameras saw at one moment. Each is RGB, `[1, 3, H, W]`, f32 in \[0, 1\], on the network's device.
#[derive(Debug)]
pub struct Triplet {
    /// The frame to put out larger.
    pub ultrawide: Tensor,
    /// The wide camera's frame, of any size; `None`: the ultra-wide frame stands in for it.
    pub wide: Option<Tensor>,
    /// The tele camera's frame, of any size, if there is one.
    pub tele: Option<Tensor>,
}

impl Triplet {
    /// The same tensors once more.
    pub fn shallow_clone(&self) -> Self {
        let clone = |x: &Option<Tensor>| x.as_ref().map(Tensor::shallow_clone);
        Self {
            ultrawide: self.ultrawide.shallow_clone(),
            wide: clone(&self.wide),
            tele: clone(&self.tele),
        }
    }
}
