//! What the bus is told, and what goes wrong in a stream, as a flow.

use super::{element::RefVsr, log::CAT};
use gst::{prelude::*, subclass::prelude::*};
use gst_base::{AGGREGATOR_FLOW_NEED_DATA, AggregatorPad, prelude::*};

impl RefVsr {
    /// Posts an element message.
    pub fn tell(&self, told: gst::Structure) {
        gst::info!(CAT, imp = self, "{told}");
        let message = gst::message::Element::builder(told).src(&*self.obj());
        if self.obj().post_message(message.build()).is_err() {
            gst::debug!(CAT, imp = self, "No bus takes the message");
        }
    }

    pub fn no_caps(&self, pad: &AggregatorPad) -> gst::FlowError {
        gst::element_imp_error!(
            self,
            gst::CoreError::Negotiation,
            ("Pad {} got a buffer before caps", pad.name())
        );
        gst::FlowError::NotNegotiated
    }

    pub fn not_negotiated(&self) -> gst::FlowError {
        let source = self.obj().src_pad().clone();
        if source.pad_flags().contains(gst::PadFlags::FLUSHING) {
            return gst::FlowError::Flushing;
        }
        let downstream = source.peer_query_caps(None);
        gst::element_imp_error!(
            self,
            gst::CoreError::Negotiation,
            ("Downstream takes no video that the ultra-wide video can be put out as: {downstream}")
        );
        gst::FlowError::NotNegotiated
    }

    pub fn bad_frame(&self, pad: &AggregatorPad, why: &str) -> gst::FlowError {
        gst::element_imp_error!(
            self,
            gst::StreamError::Decode,
            ("Frame on pad {}: {why}", pad.name())
        );
        gst::FlowError::Error
    }

    pub fn bad_output(&self, why: &str) -> gst::FlowError {
        gst::element_imp_error!(
            self,
            gst::StreamError::Encode,
            ("A finished frame could not be put out: {why}")
        );
        gst::FlowError::Error
    }

    /// The session gave up, because it was told to or because something is wrong.
    pub fn failed(&self, error: &::refvsr::Error) -> gst::FlowError {
        if let ::refvsr::Error::Stopped = error {
            return AGGREGATOR_FLOW_NEED_DATA;
        }
        gst::element_imp_error!(
            self,
            gst::LibraryError::Failed,
            ("The network failed: {error}")
        );
        gst::FlowError::Error
    }
}
