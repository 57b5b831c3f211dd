//! What networks keep of films that are learnt from part by part.

use crate::data::batch::{ClipPatch, Part};
use anyhow::{Context, Result, ensure};
use refvsr::checkpoint::Tensors;
use std::{cell::RefCell, collections::BTreeMap};
use tch::{Device, Tensor};

/// What a saved state calls the features.
const STREAM: &str = "stream.";

/// What each stream's last part ended with.
#[derive(Debug, Default)]
pub struct Streams(RefCell<BTreeMap<u64, Kept>>);

/// A stream's forward feature `[1, C, p, p]`.
#[derive(Debug)]
struct Kept {
    feature: Tensor,
    /// The film's frame that it leads to.
    next: usize,
}

impl Streams {
    /// What a stream's last part ended with, if `part` goes on from there. A film begins without one,
    /// and so does a part whose step before failed.
    pub fn before(&self, part: Part) -> Option<Tensor> {
        let streams = self.0.borrow();
        let kept = streams.get(&part.stream)?;
        (part.first > 0 && kept.next == part.first).then(|| kept.feature.shallow_clone())
    }

    /// A part ended with this feature.
    pub fn keep(&self, part: Part, feature: Tensor) {
        let next = part.first + part.frames;
        let mut streams = self.0.borrow_mut();
        streams.insert(part.stream, Kept { feature, next });
    }

    /// A stream's feature may be bad.
    pub fn forget(&self, part: Part) {
        self.0.borrow_mut().remove(&part.stream);
    }

    /// All of them by names of their own.
    pub fn memory(&self) -> Tensors {
        let streams = self.0.borrow();
        let named = streams.iter().map(|(stream, kept)| {
            (
                format!("{STREAM}{stream}.{}", kept.next),
                kept.feature.shallow_clone(),
            )
        });
        named.collect()
    }

    /// Takes up what [`memory`](Self::memory) gave, among other tensors of a saved state.
    ///
    /// # Errors
    /// Where a name has another form.
    pub fn remember(&self, state: &Tensors, device: Device) -> Result<()> {
        let mut streams = BTreeMap::new();
        for (name, feature) in state {
            let Some(rest) = name.strip_prefix(STREAM) else {
                continue;
            };
            let numbers = rest
                .split_once('.')
                .and_then(|(stream, next)| Some((stream.parse().ok()?, next.parse().ok()?)));
            let (stream, next) =
                numbers.with_context(|| format!("'{name}' names no stream and frame"))?;
            let feature = feature.f_to_device(device)?;
            streams.insert(stream, Kept { feature, next });
        }
        self.0.replace(streams);
        Ok(())
    }
}

/// Which part of a film a patch is, and its frames with those shown before and after.
///
/// # Errors
/// Where it is none, or lacks frames.
pub fn part_of(patch: &ClipPatch, device: Device) -> Result<(Part, Vec<Tensor>)> {
    let part = patch
        .part
        .with_context(|| format!("clip patch {} is no part of a film", patch.name))?;
    let frames = patch.frames("lr", &patch.lr, device)?;
    ensure!(
        part.before + part.frames <= frames.len() && patch.hr.size()[0] == part.frames as i64,
        "clip patch {}: {} frames and {} of truth for a part of {} after {}",
        patch.name,
        frames.len(),
        patch.hr.size()[0],
        part.frames,
        part.before
    );
    Ok((part, frames))
}
