//! What the `stats` property tells.

use super::{
    camera::{Camera, PerCamera},
    overload::Fate,
};
use std::time::Duration;

/// Counts since the element was started.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Ultra-wide frames taken.
    pub frames_in: u64,
    /// Frames put out.
    pub frames_out: u64,
    /// Frames not put out because they would have come too late.
    pub frames_dropped: u64,
    /// Of the frames put out those that were enlarged bicubically, since the network would have been late.
    pub frames_bypassed: u64,
    /// Wide frames (and, where tele is linked and used, tele frames) that an ultra-wide frame had to do without.
    pub missing_references: u64,
    /// Where clips were started anew within a stream.
    pub clips_restarted: u64,
    /// How often recurrence that ran away was begun anew within a clip.
    pub recurrence_restarted: u64,
    /// How the cameras' frames come.
    pub cameras: PerCamera<CameraStats>,
    /// The zoom at which a registered model saw each reference camera last.
    pub zooms_found: PerCamera<Option<f64>>,
    /// What the clip's footage is taken for, where the model has weights for each kind.
    pub footage: Option<&'static str>,
    /// Bytes of device memory held for the weights and for all frames in flight.
    pub device_memory: u64,
    /// The model, as in the PROGRESS messages.
    pub model: String,
    busy: Duration,
    last: Duration,
}

/// How a camera's frames come at present.
#[derive(Debug, Clone, Copy, Default)]
pub struct CameraStats {
    pub interval: Option<gst::ClockTime>,
    /// How long after its time a frame usually comes, in live pipelines.
    pub delay: Option<gst::ClockTime>,
    /// By how many millionths the camera's clock runs fast.
    pub drift: f64,
    /// How much later the frame paired last was filmed than the ultra-wide one, in nanoseconds.
    pub residual: i64,
}

impl Stats {
    /// Nothing counted yet.
    pub fn new(model: String, device_memory: usize) -> Self {
        Self {
            model,
            device_memory: device_memory as u64,
            ..Self::default()
        }
    }

    /// Notes what became of a frame, and how long that took.
    pub fn finished(&mut self, time: Duration, fate: Fate) {
        self.busy += time;
        self.last = time;
        match fate {
            Fate::Enlarged => self.frames_out += 1,
            Fate::Bypassed => {
                self.frames_out += 1;
                self.frames_bypassed += 1;
            }
            Fate::Dropped => self.frames_dropped += 1,
        }
    }

    /// As a structure.
    pub fn to_structure(&self) -> gst::Structure {
        let nanoseconds = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let mean = nanoseconds(self.busy).checked_div(self.frames_out + self.frames_dropped);
        let mut stats = gst::Structure::builder("refvsr-stats")
            .field("frames-in", self.frames_in)
            .field("frames-out", self.frames_out)
            .field("frames-dropped", self.frames_dropped)
            .field("frames-bypassed", self.frames_bypassed)
            .field("missing-references", self.missing_references)
            .field("clips-restarted", self.clips_restarted)
            .field("recurrence-restarted", self.recurrence_restarted)
            .field("mean-latency", mean.unwrap_or(0))
            .field("last-latency", nanoseconds(self.last))
            .field("footage", self.footage.unwrap_or_default())
            .field("device-memory", self.device_memory)
            .field("model", self.model.as_str())
            .build();
        for camera in Camera::ALL {
            let (name, told) = (camera.name(), self.cameras[camera]);
            stats.set(format!("{name}-interval"), told.interval);
            stats.set(format!("{name}-delay"), told.delay);
            stats.set(format!("{name}-drift"), told.drift);
            if camera != Camera::UltraWide {
                stats.set(format!("{name}-residual"), told.residual);
                let zoom = self.zooms_found[camera].unwrap_or(0.0);
                stats.set(format!("{name}-zoom-found"), zoom);
            }
        }
        stats
    }
}
