//! What kind of footage clips are: chosen, and told to applications.

use super::{
    element::RefVsr,
    enums,
    video::Video,
    work::{Turn, Work},
};
use ::refvsr::net::footage::Footage;
use gst::ClockTime;

impl RefVsr {
    /// At a clip's start: video whose colour has less density than its brightness was made for encoders.
    pub fn choose_footage(&self, work: &mut Work, video: &Video, time: ClockTime, turn: &Turn) {
        if !work.session.network().config().recorded {
            return;
        }
        let footage = match turn.settings.footage {
            enums::Footage::Clean => Footage::Clean,
            enums::Footage::Recorded => Footage::Recorded,
            enums::Footage::Auto if video.has_coarse_colour() => Footage::Recorded,
            enums::Footage::Auto => Footage::Clean,
        };
        work.session.set_footage(footage);
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
            .build();
        self.tell(told);
    }
}
