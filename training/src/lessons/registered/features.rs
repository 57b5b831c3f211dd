//! What the trunks of a registered network make of a whole clip patch.

use refvsr::net::{
    flow::SpyNet,
    registered::{RegisteredVsr, warped},
};
use tch::Tensor;

/// Features of every frame of a clip, `[patches, C, h, w]` each, in the clip's order.
#[derive(Debug)]
pub struct Features {
    /// Of the branch from later frames to earlier ones.
    pub backward: Vec<Tensor>,
    /// Of the branch from earlier frames to later ones.
    pub forward: Vec<Tensor>,
}

/// The backward branch through all frames: its feature at each.
///
/// # Errors
/// Where frames differ in size.
pub fn backward(
    network: &RegisteredVsr,
    frames: &[Tensor],
    motions: &Motions,
) -> refvsr::Result<Vec<Tensor>> {
    let mut found: Vec<Tensor> = vec![];
    for (i, frame) in frames.iter().enumerate().rev() {
        let state = match found.last() {
            Some(last) => Some(motions.to_last(last, i)?),
            None => None,
        };
        found.push(network.backward_step(frame, state.as_ref())?);
    }
    found.reverse();
    Ok(found)
}

/// The forward branch through all frames: its feature at each.
///
/// # Errors
/// Where frames differ in size.
pub fn forward(
    network: &RegisteredVsr,
    frames: &[Tensor],
    motions: &Motions,
) -> refvsr::Result<Vec<Tensor>> {
    let mut found: Vec<Tensor> = vec![];
    for (i, frame) in frames.iter().enumerate() {
        let state = match found.last() {
            Some(last) => Some(motions.to_next(last, i)?),
            None => None,
        };
        found.push(network.forward_step(frame, state.as_ref())?);
    }
    Ok(found)
}

/// The way from each frame to its neighbours: sampling positions for [`warped`].
#[derive(Debug)]
pub struct Motions {
    /// From frame i to frame i + 1.
    onward: Vec<Tensor>,
    /// From frame i + 1 to frame i.
    back: Vec<Tensor>,
}

impl Motions {
    /// A feature of frame i - 1 moved to frame i.
    ///
    /// # Errors
    /// Where sizes do not fit.
    pub fn to_next(&self, feature: &Tensor, i: usize) -> refvsr::Result<Tensor> {
        warped(feature, &self.back[i - 1])
    }

    /// A feature of frame i + 1 moved to frame i.
    ///
    /// # Errors
    /// Where sizes do not fit.
    pub fn to_last(&self, feature: &Tensor, i: usize) -> refvsr::Result<Tensor> {
        warped(feature, &self.onward[i])
    }

    /// Of consecutive frames `[1, 3, h, w]`. No gradients pass the flow.
    ///
    /// # Errors
    /// Where frames differ in size.
    pub fn of(network: &RegisteredVsr, frames: &[Tensor]) -> refvsr::Result<Self> {
        Self::found(network, frames, true, true)
    }

    /// The same from each frame to the one before alone, for forward branches.
    ///
    /// # Errors
    /// Where frames differ in size.
    pub fn back(network: &RegisteredVsr, frames: &[Tensor]) -> refvsr::Result<Self> {
        Self::found(network, frames, false, true)
    }

    /// The same from each frame to the next alone, for [`backward`] branches.
    ///
    /// # Errors
    /// Where frames differ in size.
    pub fn onward(network: &RegisteredVsr, frames: &[Tensor]) -> refvsr::Result<Self> {
        Self::found(network, frames, true, false)
    }

    fn found(
        network: &RegisteredVsr,
        frames: &[Tensor],
        onward: bool,
        back: bool,
    ) -> refvsr::Result<Self> {
        tch::no_grad(|| {
            let pyramids = frames
                .iter()
                .map(SpyNet::pyramid)
                .collect::<refvsr::Result<Vec<_>>>()?;
            let pairs = |wanted: bool| {
                let count = if wanted { frames.len() } else { 0 };
                pyramids.iter().zip(pyramids.iter().skip(1)).take(count)
            };
            Ok(Self {
                onward: pairs(onward)
                    .map(|(a, b)| network.motion(a, b))
                    .collect::<refvsr::Result<_>>()?,
                back: pairs(back)
                    .map(|(a, b)| network.motion(b, a))
                    .collect::<refvsr::Result<_>>()?,
            })
        })
    }
}

impl Features {
    /// Of consecutive frames, both branches through all of them.
    ///
    /// # Errors
    /// Where frames differ in size.
    pub fn of(
        network: &RegisteredVsr,
        frames: &[Tensor],
        motions: &Motions,
    ) -> refvsr::Result<Self> {
        Ok(Self {
            backward: backward(network, frames, motions)?,
            forward: forward(network, frames, motions)?,
        })
    }

    /// All of them.
    pub fn both(&self) -> impl Iterator<Item = &Tensor> {
        self.backward.iter().chain(&self.forward)
    }

    /// Both branches joined, a feature a frame.
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn joined(&self, network: &RegisteredVsr) -> refvsr::Result<Vec<Tensor>> {
        self.backward
            .iter()
            .zip(&self.forward)
            .map(|(backward, forward)| network.joined(backward, forward))
            .collect()
    }
}
