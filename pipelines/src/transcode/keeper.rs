//! The model between one clip and the next.

use super::graph::{self, NetworkOptions};
use crate::exit::TryAgain;
use crate::media::messages::error_text;
use anyhow::{Result, anyhow, bail};
use gst::prelude::*;

/// Keeps the model loaded: elements of one process share its network for as long as one of them is alive, and each clip has an
/// element of its own.
#[derive(Debug)]
pub struct Keeper(gst::Pipeline);

impl Keeper {
    /// Loads the model.
    ///
    /// # Errors
    /// What the element says of a model or device that cannot be used.
    pub fn load(options: &NetworkOptions) -> Result<Self> {
        let keeper = Self(gst::Pipeline::new());
        keeper.0.add(&graph::element(options)?)?;
        if keeper.0.set_state(gst::State::Paused).is_ok() {
            return Ok(keeper);
        }
        let bus = keeper.0.bus();
        let message = bus.and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
        let Some(gst::MessageView::Error(error)) = message.as_ref().map(|m| m.view()) else {
            bail!("the element refvsr does not start")
        };
        let text = error_text(error);
        // The device, or its memory: both may be there again later.
        Err(match error.error().matches(gst::LibraryError::Failed) {
            true => TryAgain(text).into(),
            false => anyhow!(text),
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        _ = self.0.set_state(gst::State::Null);
    }
}
