//! Pads that come, go, and are linked or not.

use super::{camera::Camera, element::RefVsr, log::CAT, unlinked};
use gst::{ClockTime, prelude::*, subclass::prelude::*};
use gst_base::{AggregatorPad, prelude::*};

impl RefVsr {
    /// The one pad that can be requested.
    pub fn new_tele(&self, template: &gst::PadTemplate) -> Option<AggregatorPad> {
        let name = Camera::Tele.name();
        if template.name_template() != name || self.pad(Camera::Tele).is_some() {
            gst::error!(CAT, imp = self, "Pad '{name}' can be requested once");
            return None;
        }
        let pad = gst::PadBuilder::<super::RefVsrPad>::from_template(template)
            .name(name)
            .build()
            .upcast::<AggregatorPad>();
        self.follow_links(&pad);
        if self.running(|_| ()).is_some() {
            self.watch_unlinked();
        }
        Some(pad)
    }

    /// A pad of the same name may be requested again.
    pub fn forget_pad(&self, camera: Camera) {
        let old = self.running(|running| {
            running.epochs.replace_pad(camera);
            running.videos[camera].take()
        });
        drop(old);
        self.forget_flushed();
    }

    /// A pad is waited for while something is linked to it.
    pub fn follow_links(&self, pad: &AggregatorPad) {
        let element = self.obj().downgrade();
        pad.connect_linked(move |pad, _| {
            if let Some(element) = element.upgrade()
                && element.imp().unlinked.revive(pad)
            {
                element.imp().running(|running| running.epochs.settle());
            }
        });
        let element = self.obj().downgrade();
        pad.connect_unlinked(move |_, _| {
            if let Some(element) = element.upgrade()
                && element.current_state() >= gst::State::Paused
            {
                element.imp().watch_unlinked();
            }
        });
    }

    /// Sees every event that leaves through the source pad.
    pub fn follow_leaving(&self) {
        let element = self.obj().downgrade();
        let kinds = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
        self.obj()
            .src_pad()
            .add_probe(kinds, move |_, info| match element.upgrade() {
                Some(element) => element.imp().see_leaving(info),
                None => gst::PadProbeReturn::Ok,
            });
    }

    /// Passes the ultra-wide pad's flush on to pads that would otherwise never get it.
    pub fn flush_unlinked(&self, event: &gst::Event) {
        for (_, pad) in self.references().filter(|(_, pad)| !pad.is_linked()) {
            self.unlinked.flush(&pad, event);
        }
    }

    /// Ends the pads that are not linked when the time of grace is over.
    pub fn watch_unlinked(&self) {
        self.watch(unlinked::GRACE, Self::end_unlinked);
    }

    /// Gives up when nothing has been linked to the ultra-wide pad for long: the other streams wait
    /// for it.
    pub fn watch_ultrawide(&self) {
        self.watch(unlinked::ULTRAWIDE_GRACE, |imp| {
            if !imp.ultrawide.is_linked() && imp.running(|_| ()).is_some() {
                let text = "Nothing is linked to pad ultrawide, whose video is to be enlarged";
                gst::element_imp_error!(imp, gst::StreamError::Failed, ("{text}"));
            }
        });
    }

    /// Looks at the pads after a while, unless the element stops before.
    fn watch(&self, grace: ClockTime, look: impl FnOnce(&Self) + Send + 'static) {
        let element = self.obj().downgrade();
        self.unlinked.watch(grace, move || {
            if let Some(element) = element.upgrade() {
                // Not on the clock's own thread, which serves the whole process.
                element.call_async(|element| look(element.imp()));
            }
        });
    }

    fn end_unlinked(&self) {
        if self.running(|_| ()).is_none() {
            return; // stopped meanwhile
        }
        for (_, pad) in self.references() {
            if self.unlinked.end(&pad) {
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Failed,
                    (
                        "Nothing is linked to pad {}: all its frames count as missing (see on-missing-reference)",
                        pad.name()
                    )
                );
            }
        }
    }
}
