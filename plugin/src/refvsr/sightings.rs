//! Where registered models see the reference cameras: in the statistics, and on the bus.

use super::{
    camera::{Camera, PerCamera},
    element::RefVsr,
    log::CAT,
    work::Work,
};
use ::refvsr::net::registered::registration::{Placement, Sighting};
use gst::subclass::prelude::*;
use tch::Tensor;

/// What the network was given for a frame.
#[derive(Debug, Default)]
pub struct Sources {
    /// The cameras whose pictures it was given, or of which a registered model has used them.
    pub used: PerCamera<bool>,
    /// How much later those were filmed, in nanoseconds.
    pub residuals: PerCamera<Option<i64>>,
    /// How well registered models' references agreed with the frame, see
    /// [`Sighting`](::refvsr::net::registered::registration::Sighting).
    pub agreement: PerCamera<Option<f64>>,
    /// Mean confidence of the matching, one number on the device; of other models.
    pub confidence: Option<Tensor>,
    /// What the pad `confidence` puts out, `[H, W]` of 8 bits on the device; if there is the pad.
    pub confidence_map: Option<Tensor>,
}

impl RefVsr {
    /// What became of the pictures `given` of the reference cameras with the frame that was received last.
    /// Takes note of where registered models saw the cameras; where one was found, at first or after
    /// it was lost, the bus is told.
    pub fn sources(
        &self,
        work: &mut Work,
        residuals: PerCamera<Option<i64>>,
    ) -> Result<Sources, gst::FlowError> {
        // First, since it waits for all that the device has been told to do.
        let (wide, tele) = work.session.sightings().map_err(|e| self.failed(&e))?;
        let confidence = work.session.confidence().map_err(|e| self.failed(&e))?;
        let matches = confidence.is_some();
        let mut sources = Sources {
            confidence,
            confidence_map: self.confidence_map(work)?,
            residuals,
            ..Sources::default()
        };
        for (camera, sighting) in [(Camera::Wide, wide), (Camera::Tele, tele)] {
            let given = residuals[camera].is_some();
            let held = given && sighting.is_some_and(|sighting| sighting.holds);
            sources.used[camera] = given && (matches || held);
            let Some(sighting) = sighting else { continue };
            sources.agreement[camera] = held.then_some(sighting.agreement);
            let zoom = sighting.placement.zoom;
            self.state().stats.zooms_found[camera] = Some(zoom);
            if is_news(&mut work.seen[camera], &sighting) {
                self.tell_found(camera, sighting.placement);
            }
        }
        Ok(sources)
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
        let message = gst::message::Info::builder(gst::ResourceError::Settings, &text)
            .details(details)
            .src(&*self.obj());
        self.post(message.build());
    }
}

/// Whether a camera is found that was not `seen` before, which is brought up to date.
fn is_news(seen: &mut bool, sighting: &Sighting) -> bool {
    if sighting.lost {
        *seen = false;
    }
    sighting.holds && !std::mem::replace(seen, *seen || sighting.holds)
}
