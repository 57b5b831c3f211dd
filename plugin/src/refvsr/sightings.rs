//! Where registered models see the reference cameras: in the statistics, and on the bus.

use super::{camera::Camera, element::RefVsr, log::CAT, work::Work};
use ::refvsr::net::registration::{Placement, Sighting};
use gst::{prelude::*, subclass::prelude::*};

impl RefVsr {
    /// Takes note of where the cameras were seen in the frame that was sent last. Where one was found, at
    /// first or after it was lost, the bus is told.
    pub fn note_sightings(&self, work: &mut Work) {
        let (wide, tele) = work.session.sightings();
        for (camera, sighting) in [(Camera::Wide, wide), (Camera::Tele, tele)] {
            let Some(sighting) = sighting else { continue };
            let zoom = sighting.placement.zoom;
            self.state().stats.zooms_found[camera] = Some(zoom);
            if is_news(&mut work.seen[camera], &sighting) {
                self.tell_found(camera, sighting.placement);
            }
        }
    }

    fn tell_found(&self, camera: Camera, placement: Placement) {
        let (name, (x, y)) = (camera.name(), placement.shift);
        let degrees = placement.rotation.to_degrees();
        let details = gst::Structure::builder("refvsr-camera-found")
            .field("pad", name)
            .field("zoom", placement.zoom)
            .field("rotation", degrees)
            .field("shift-x", x)
            .field("shift-y", y)
            .build();
        let text = format!(
            "Found the {name} camera at zoom {:.3}, {degrees:.1} degrees, {x:.1} and {y:.1} pixels off the centre",
            placement.zoom
        );
        gst::info!(CAT, imp = self, "{text}");
        let message = gst::message::Info::builder(gst::StreamError::Decode, &text)
            .details(details)
            .src(&*self.obj())
            .build();
        if self.obj().post_message(message).is_err() {
            gst::debug!(
                CAT,
                imp = self,
                "No bus takes the message of a camera found"
            );
        }
    }
}

/// Whether a camera is found that was not `seen` before, which is brought up to date.
fn is_news(seen: &mut bool, sighting: &Sighting) -> bool {
    if sighting.lost {
        *seen = false;
    }
    sighting.holds && !std::mem::replace(seen, *seen || sighting.holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_news_at_first_and_after_it_was_lost() {
        let at = |holds, lost| Sighting {
            placement: Placement::centred(2.0),
            agreement: 0.8,
            holds,
            lost,
        };
        let mut seen = false;
        let news = [
            (true, false),
            (true, false),
            (false, false),
            (true, false),
            (false, false),
            (false, true),
            (false, true),
            (true, false),
            (true, false),
        ]
        .map(|(holds, lost)| is_news(&mut seen, &at(holds, lost)));
        let expected = [true, false, false, false, false, false, false, true, false];
        assert_eq!(news, expected);
    }
}
