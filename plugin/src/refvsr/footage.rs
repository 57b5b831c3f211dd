//! What kind of footage clips are, told to applications.

use super::{element::RefVsr, work::Work};
use ::refvsr::{Seen, net::footage::Footage};
use gst::ClockTime;

impl RefVsr {
    /// Says what the clip's footage is taken for, where that is another kind than the last clip's.
    pub fn tell_footage(&self, work: &mut Work, time: Option<ClockTime>) {
        let Some(Seen { footage, recorded }) = work.session.seen_footage() else {
            return;
        };
        if work.told_footage.replace(footage) == Some(footage) {
            return;
        }
        let kind = match footage {
            Footage::Clean => "clean",
            Footage::Recorded => "recorded",
        };
        self.state().stats.footage = Some(kind);
        let told = gst::Structure::builder("refvsr-footage")
            .field("kind", kind)
            .field("running-time", time)
            .field_if_some("recorded", recorded)
            .build();
        self.tell(told);
    }
}
