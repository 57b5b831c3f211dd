//! What the bus is told, and what goes wrong in a stream, as a flow.

use super::{element::RefVsr, log::CAT};
use gst::{CoreError, FlowError, LibraryError, StreamError, prelude::*, subclass::prelude::*};
use gst_base::{AGGREGATOR_FLOW_NEED_DATA, AggregatorPad, prelude::*};

impl RefVsr {
    /// Posts an element message.
    pub fn tell(&self, told: gst::Structure) {
        gst::info!(CAT, imp = self, "{told}");
        let message = gst::message::Element::builder(told);
        self.post(message.src(&*self.obj()).build());
    }

    pub fn post(&self, message: gst::Message) {
        if let Err(why) = self.obj().post_message(message) {
            gst::debug!(CAT, imp = self, "No bus takes a message: {why}");
        }
    }

    pub fn post_error(&self, kind: impl gst::MessageErrorDomain, text: &str) {
        gst::element_imp_error!(self, kind, ("{text}"));
    }

    /// Posts an error, with which the stream ends.
    pub fn error(&self, kind: impl gst::MessageErrorDomain, text: &str) -> FlowError {
        self.post_error(kind, text);
        FlowError::Error
    }

    fn negotiation_error(&self, text: &str) -> FlowError {
        self.post_error(CoreError::Negotiation, text);
        FlowError::NotNegotiated
    }

    pub fn no_caps(&self, pad: &AggregatorPad) -> FlowError {
        self.negotiation_error(&format!("Pad {} got a buffer before caps", pad.name()))
    }

    pub fn not_negotiated(&self) -> FlowError {
        let source = self.obj().src_pad().clone();
        if source.pad_flags().contains(gst::PadFlags::FLUSHING) {
            return FlowError::Flushing;
        }
        self.negotiation_error(&format!(
            "Downstream takes no video that the ultra-wide video can be put out as: {}",
            source.peer_query_caps(None)
        ))
    }

    /// Downstream of the pad that tells of the matching takes no such pictures.
    pub fn no_confidence(&self, pad: &gst::Pad) -> FlowError {
        let name = pad.name();
        self.negotiation_error(&format!(
            "Downstream of pad {name} takes no GRAY8 video of this size"
        ))
    }

    pub fn bad_frame(&self, pad: &AggregatorPad, why: &str) -> FlowError {
        let text = format!("Frame on pad {}: {why}", pad.name());
        self.error(StreamError::Decode, &text)
    }

    pub fn bad_output(&self, why: &str) -> FlowError {
        let text = format!("A finished frame could not be put out: {why}");
        self.error(StreamError::Encode, &text)
    }

    /// The session gave up, because it was told to or because something is wrong.
    pub fn failed(&self, error: &::refvsr::Error) -> FlowError {
        match error {
            ::refvsr::Error::Stopped => AGGREGATOR_FLOW_NEED_DATA,
            _ => self.error(
                LibraryError::Failed,
                &format!("The network failed: {error}"),
            ),
        }
    }
}
